//! Frame to shapes: where every rectangle, line, letter and cell of a picture in a file stands, and in which colour.
//!
//! ```text
//! Heatmap ─► heatmap ─┐
//! Map ─────► map ─────┼─► Scene: rectangles, lines, areas, text, one grid ──┬─► png
//! Chart ───► chart ───┘   (page: title and footer around it)                └─► svg
//! ```
//!
//! PNG and SVG draw the same scene and are the same picture. Lengths are in units of the layout, y points down. What has
//! edges is put on whole device pixels here ([`Scene::snap`]), so that a back end need not decide.

mod axes;
mod chart;
pub(super) mod font;
mod heatmap;
mod legend;
mod map;
mod page;

use super::color::Rgb;
use super::{Frame, Options, Paper, RenderError};
use font::Weight;

/// Lays a frame out.
///
/// # Errors
///
/// Nothing stands at the prices asked for.
pub(super) fn draw(frame: &Frame, options: &Options, paper: Paper) -> Result<Scene, RenderError> {
    match frame {
        Frame::Heatmap(frame) => heatmap::draw(frame, options, paper),
        Frame::Map(frame) => map::draw(frame, options, paper),
        Frame::Chart(frame) => Ok(chart::draw(frame, options, paper)),
    }
}

/// A picture as shapes, in drawing order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) background: Rgb,
    /// What the picture is called, for those who cannot see it.
    pub(super) title: String,
    pub(super) items: Vec<Item>,
    ratio: f64,
}

/// A shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Rectangle(Area, Paint),
    Line(Vec<(f64, f64)>, Stroke),
    /// A closed polygon.
    Polygon(Vec<(f64, f64)>, Paint),
    Text(Text),
    Grid(Grid),
}

/// A colour and how much of what is below it covers, 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paint {
    pub(super) color: Rgb,
    pub(super) alpha: f64,
}

impl Paint {
    fn opaque(color: Rgb) -> Self {
        Self { color, alpha: 1.0 }
    }

    fn sheer(color: Rgb, alpha: f64) -> Self {
        Self { color, alpha }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stroke {
    pub(super) paint: Paint,
    pub(super) width: f64,
    /// Lengths of the dashes and of the gaps.
    pub(super) dash: Option<(f64, f64)>,
}

impl Stroke {
    fn solid(color: Rgb, width: f64) -> Self {
        Self { paint: Paint::opaque(color), width, dash: None }
    }

    fn dashed(color: Rgb, width: f64, dash: f64) -> Self {
        Self { dash: Some((dash, dash)), ..Self::solid(color, width) }
    }
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn between(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self { left, top, width: (right - left).max(0.0), height: (bottom - top).max(0.0) }
    }
}

/// Which part of a text stands at its x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub(super) x: f64,
    /// Of the baseline.
    pub(super) y: f64,
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) anchor: Anchor,
    pub(super) color: Rgb,
    /// Drawn around the letters, so that they can be read on anything.
    pub(super) halo: Option<Rgb>,
    pub(super) content: String,
}

impl Text {
    /// The letters, and the x of the first one.
    pub(super) fn lay_out(&self) -> (font::Run, f64) {
        let run = font::lay_out(&self.content, self.weight);
        let width = run.width / font::UNITS * self.size;
        let start = match self.anchor {
            Anchor::Start => self.x,
            Anchor::Middle => self.x - width / 2.0,
            Anchor::End => self.x - width,
        };
        (run, start)
    }
}

/// Colours of the cells of a heatmap, and which cell each device pixel shows.
///
/// Cells and pixels are kept apart: few cells on a large paper take little memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    pub(super) area: Area,
    /// For every column of pixels the column of cells.
    pub(super) across: Vec<usize>,
    /// For every row of pixels, from the top, the row of cells.
    pub(super) down: Vec<usize>,
    columns: usize,
    /// Row by row.
    colors: Vec<Rgb>,
}

impl Grid {
    fn new(area: Area, across: Vec<usize>, down: Vec<usize>, columns: usize, colors: Vec<Rgb>) -> Self {
        Self { area, across, down, columns, colors }
    }

    /// The colours of a row of cells.
    fn cells(&self, row: usize) -> &[Rgb] {
        self.colors.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }

    /// The pixels of a row of cells, from left to right.
    pub(super) fn pixels(&self, row: usize) -> impl Iterator<Item = Rgb> {
        let cells = self.cells(row);
        self.across.iter().map(|&column| cells.get(column).copied().unwrap_or(Rgb(0, 0, 0)))
    }
}

impl Scene {
    fn new(paper: Paper, background: Rgb) -> Self {
        Self {
            width: f64::from(paper.width),
            height: f64::from(paper.height),
            background,
            title: String::new(),
            items: Vec::new(),
            ratio: paper.ratio,
        }
    }

    /// The nearest edge between two device pixels.
    fn snap(&self, length: f64) -> f64 {
        (length * self.ratio).round() / self.ratio
    }

    /// The nearest width of whole device pixels, one at least.
    fn whole(&self, width: f64) -> f64 {
        (width * self.ratio).round().max(1.0) / self.ratio
    }

    /// The device pixels of a length.
    fn pixels(&self, length: f64) -> usize {
        (length * self.ratio).round().max(0.0) as usize
    }

    /// A rectangle with its edges between device pixels; one that is there at all is at least one pixel wide and high.
    fn rectangle(&mut self, area: Area, paint: Paint) {
        if !(area.left.is_finite() && area.top.is_finite() && area.width.is_finite() && area.height.is_finite()) {
            return;
        }
        let (left, top) = (self.snap(area.left), self.snap(area.top));
        let width = self.whole(self.snap(area.right()) - left);
        let height = self.whole(self.snap(area.bottom()) - top);
        self.items.push(Item::Rectangle(Area { left, top, width, height }, paint));
    }

    fn fill(&mut self, area: Area, color: Rgb) {
        self.rectangle(area, Paint::opaque(color));
    }

    /// A horizontal line of whole pixels.
    fn level(&mut self, left: f64, right: f64, y: f64, width: f64, color: Rgb) {
        let width = self.whole(width);
        self.fill(Area { left, top: y - width / 2.0, width: right - left, height: width }, color);
    }

    /// A vertical line of whole pixels.
    fn upright(&mut self, x: f64, top: f64, bottom: f64, width: f64, color: Rgb) {
        let width = self.whole(width);
        self.fill(Area { left: x - width / 2.0, top, width, height: bottom - top }, color);
    }

    fn line(&mut self, points: Vec<(f64, f64)>, stroke: Stroke) {
        if points.len() > 1 {
            self.items.push(Item::Line(points, stroke));
        }
    }

    /// A horizontal or vertical line, dashed, in the middle of device pixels.
    fn dashed(&mut self, from: (f64, f64), to: (f64, f64), color: Rgb, width: f64, dash: f64) {
        let width = self.whole(width);
        let is_odd = self.pixels(width) % 2 == 1;
        let shift = if is_odd { 0.5 / self.ratio } else { 0.0 };
        let place = |scene: &Self, length: f64| scene.snap(length - shift) + shift;
        let (from, to) = if from.0 == to.0 {
            let x = place(self, from.0);
            ((x, from.1), (x, to.1))
        } else {
            let y = place(self, from.1);
            ((from.0, y), (to.0, y))
        };
        self.line(vec![from, to], Stroke::dashed(color, width, dash));
    }

    fn polygon(&mut self, points: Vec<(f64, f64)>, paint: Paint) {
        if points.len() > 2 {
            self.items.push(Item::Polygon(points, paint));
        }
    }

    fn text(&mut self, mut text: Text) {
        text.content = font::clean(&text.content);
        // A baseline between two rows of pixels would blur every letter.
        text.y = self.snap(text.y);
        if !text.content.is_empty() && text.x.is_finite() && text.y.is_finite() {
            self.items.push(Item::Text(text));
        }
    }
}

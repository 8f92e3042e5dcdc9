//! What surrounds every picture in a file: the title, what the query set, and the footer that says what is shown.

use super::super::color::Rgb;
use super::super::frame::Origin;
use super::super::palette::Palette;
use super::super::{Options, Paper};
use super::font::{self, CAP_HEIGHT, Weight};
use super::{Anchor, Area, Scene, Text};

/// Width and height at which sizes are as stated.
const USUAL: (f64, f64) = (1_600.0, 900.0);
/// Labels, in units at the usual size.
const EM: f64 = 12.5;
/// The smallest label that can be read.
const SMALLEST_EM: f64 = 9.5;

/// A sheet of paper with its colours and sizes.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) scene: Scene,
    pub(super) palette: Palette,
    /// Size of the labels of the axes.
    pub(super) em: f64,
    /// Distance of everything from the edges of the paper.
    pub(super) margin: f64,
}

impl Page {
    pub(super) fn new(options: &Options, paper: Paper) -> Self {
        let palette = Palette::of(options.theme);
        let size = (f64::from(paper.width) / USUAL.0).min(f64::from(paper.height) / USUAL.1);
        // Text grows and shrinks less than the paper: a small picture still has to be read.
        let em = (EM * size.powf(0.7)).max(SMALLEST_EM);
        Self {
            scene: Scene::new(paper, palette.background),
            palette,
            em,
            margin: em * if size < 0.4 { 0.6 } else { 1.2 },
        }
    }

    /// Lines that a block of text may take.
    fn most_lines(&self) -> usize {
        match self.scene.height / self.em {
            lines if lines < 30.0 => 1,
            lines if lines < 50.0 => 2,
            _ => 3,
        }
    }

    /// Draws the title and what the query set below it; returns where they end.
    pub(super) fn head(&mut self, options: &Options, subject: &str, parts: &[String]) -> f64 {
        let title = font::clean(options.title.as_deref().unwrap_or(subject));
        let (left, width) = (self.margin, self.scene.width - 2.0 * self.margin);
        let size = self.em * 1.5;
        let mut y = self.margin * 0.8 + size * CAP_HEIGHT;
        let shown = font::shortened(&title, Weight::Bold, size, width);
        self.text(&shown, (left, y), Style::label(self.palette.strong).sized(size).bold());
        self.scene.title = title;
        let size = self.em;
        for line in wrapped(parts, Weight::Regular, size, width, self.most_lines()) {
            y += size * 1.6;
            self.text(&line, (left, y), Style::label(self.palette.ink).sized(size));
        }
        y + size * 0.9
    }

    /// Draws the footer, the first of its parts in bold; returns where it begins.
    pub(super) fn foot(&mut self, parts: &[String]) -> f64 {
        let size = self.em * 0.92;
        let (left, width) = (self.margin, self.scene.width - 2.0 * self.margin);
        let lines = wrapped(parts, Weight::Bold, size, width, self.most_lines());
        let step = size * 1.5;
        let bottom = self.scene.height - self.margin * 0.8;
        let first = bottom - step * lines.len().saturating_sub(1) as f64;
        for (index, line) in lines.iter().enumerate() {
            let y = first + step * index as f64;
            let style = Style::label(self.palette.faint).sized(size);
            let bold = parts.first().filter(|part| index == 0 && line.starts_with(part.as_str()));
            let Some(bold) = bold else {
                self.text(line, (left, y), style);
                continue;
            };
            self.text(bold, (left, y), Style { color: self.palette.strong, ..style }.bold());
            let rest = line.get(bold.len()..).unwrap_or_default();
            // A blank at the end of bold text is as wide as at the start of regular text.
            let x = left + font::width(bold, Weight::Bold, size);
            self.text(rest, (x, y), style);
        }
        first - size - self.em * 0.7
    }

    /// Draws a line of text.
    pub(super) fn text(&mut self, content: &str, (x, y): (f64, f64), style: Style) {
        let size = style.size.unwrap_or(self.em);
        let Style { weight, anchor, color, halo, .. } = style;
        self.scene.text(Text { x, y, size, weight, anchor, color, halo, content: content.to_owned() });
    }

    /// The baseline of a label whose letters are in the middle of `y`.
    pub(super) fn baseline(&self, y: f64) -> f64 {
        y + self.em * CAP_HEIGHT / 2.0
    }

    pub(super) fn width(&self, text: &str) -> f64 {
        font::width(text, Weight::Regular, self.em)
    }

    /// A label on a filled rectangle, `area` being that of the letters.
    pub(super) fn tag(&mut self, area: Area, label: &str, fill: Rgb, color: Rgb) {
        self.scene.fill(area, fill);
        let middle = (area.left + area.right()) / 2.0;
        let y = self.baseline(area.top + area.height / 2.0);
        self.text(label, (middle, y), Style::label(color).bold().anchored(Anchor::Middle));
    }
}

/// How a line of text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) color: Rgb,
    size: Option<f64>,
    weight: Weight,
    anchor: Anchor,
    halo: Option<Rgb>,
}

impl Style {
    pub(super) fn label(color: Rgb) -> Self {
        Self { color, size: None, weight: Weight::Regular, anchor: Anchor::Start, halo: None }
    }

    pub(super) fn bold(self) -> Self {
        Self { weight: Weight::Bold, ..self }
    }

    pub(super) fn sized(self, size: f64) -> Self {
        Self { size: Some(size), ..self }
    }

    pub(super) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(super) fn with_halo(self, color: Rgb) -> Self {
        Self { halo: Some(color), ..self }
    }
}

/// The first parts of every footer: whether these are estimates, and of which share of the book.
pub(super) fn origin_parts(origin: &Origin) -> Vec<String> {
    [origin.label()].into_iter().chain(origin.coverage.clone()).collect()
}

/// Parts set off by dots on as few lines as they need; what does not fit on `most_lines` ends in an ellipsis.
fn wrapped(parts: &[String], weight: Weight, size: f64, width: f64, most_lines: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts.iter().map(|part| font::clean(part)).filter(|part| !part.is_empty()) {
        let is_last = lines.len() == most_lines;
        match lines.last_mut() {
            Some(line) => {
                let longer = format!("{line} · {part}");
                if is_last || font::width(&longer, weight, size) <= width {
                    *line = longer;
                } else {
                    lines.push(part);
                }
            }
            None => lines.push(part),
        }
    }
    lines.iter().map(|line| font::shortened(line, weight, size, width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_wrap_at_dots_and_the_last_line_is_shortened() {
        let parts: Vec<String> = (0..9).map(|index| format!("parameter {index}")).collect();
        let width = font::width("parameter 0 · parameter 1 · parameter 2", Weight::Regular, 10.0) + 1.0;
        let lines = wrapped(&parts, Weight::Regular, 10.0, width, 10);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "parameter 0 · parameter 1 · parameter 2");
        let lines = wrapped(&parts, Weight::Regular, 10.0, width, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert!(wrapped(&[], Weight::Regular, 10.0, width, 2).is_empty());
    }
}

//! Shapes to the bytes of a PNG file.
//!
//! Device pixels are units of the layout times [`Paper::ratio`]. Letters are filled outlines: no font of the system is
//! read. The picture covers all of its paper, so that the file needs no alpha channel.

use std::collections::BTreeMap;

use arrow::error::ArrowError;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint as Ink, Path, PathBuilder, Pixmap, PremultipliedColorU8, Rect,
    Stroke as Pen, StrokeDash, Transform,
};

use super::color::Rgb;
use super::scene::font::{self, Part, Weight};
use super::scene::{Area, Grid, Item, Paint, Scene, Stroke, Text};
use super::{Paper, RenderError};

/// Pixels as an encoder takes them: three bytes each.
const CHANNELS: usize = 3;

/// Draws the shapes.
///
/// # Errors
///
/// The pixels do not fit in memory.
pub(super) fn encode(scene: &Scene, paper: Paper) -> Result<Vec<u8>, RenderError> {
    let pixels = |length: f64| (length * paper.ratio).round().max(1.0) as u32;
    let (width, height) = (pixels(scene.width), pixels(scene.height));
    let mut canvas = Canvas::new(width, height, paper.ratio)?;
    canvas.pixmap.fill(opaque(scene.background));
    for item in &scene.items {
        canvas.draw(item);
    }
    let mut bytes = Vec::with_capacity(canvas.pixmap.pixels().len() * CHANNELS);
    for pixel in canvas.pixmap.pixels() {
        bytes.extend_from_slice(&[pixel.red(), pixel.green(), pixel.blue()]);
    }
    file(width, height, &bytes, png::Compression::Fast)
}

/// A grid alone as a PNG file, one pixel per device pixel.
///
/// # Errors
///
/// As [`encode`].
pub(super) fn encode_grid(grid: &Grid) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::with_capacity(grid.across.len() * grid.down.len() * CHANNELS);
    for &row in &grid.down {
        bytes.extend(grid.pixels(row).flat_map(|Rgb(red, green, blue)| [red, green, blue]));
    }
    file(grid.across.len() as u32, grid.down.len() as u32, &bytes, png::Compression::Balanced)
}

fn file(width: u32, height: u32, pixels: &[u8], compression: png::Compression) -> Result<Vec<u8>, RenderError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(compression);
    let write = |encoder: png::Encoder<'_, &mut Vec<u8>>| -> Result<(), png::EncodingError> {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(pixels)?;
        writer.finish()
    };
    write(encoder).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    Ok(out)
}

struct Canvas {
    pixmap: Pixmap,
    ratio: f64,
    /// Outlines in the units of the font: a letter is read from the font once.
    glyphs: BTreeMap<(Weight, u16), Option<Path>>,
}

impl Canvas {
    fn new(width: u32, height: u32, ratio: f64) -> Result<Self, RenderError> {
        let pixmap = Pixmap::new(width, height)
            .ok_or_else(|| ArrowError::MemoryError(format!("a picture of {width}x{height} pixels")))?;
        Ok(Self { pixmap, ratio, glyphs: BTreeMap::new() })
    }

    fn scale(&self) -> Transform {
        let ratio = self.ratio as f32;
        Transform::from_scale(ratio, ratio)
    }

    fn draw(&mut self, item: &Item) {
        match item {
            Item::Rectangle(area, paint) => self.rectangle(*area, *paint),
            Item::Line(points, stroke) => self.line(points, *stroke),
            Item::Polygon(points, paint) => {
                if let Some(path) = path(points, true) {
                    let scale = self.scale();
                    self.pixmap.fill_path(&path, &ink(*paint), FillRule::Winding, scale, None);
                }
            }
            Item::Text(text) => self.text(text),
            Item::Grid(grid) => self.grid(grid),
        }
    }

    fn rectangle(&mut self, area: Area, paint: Paint) {
        // Scaled here and not by the canvas: the layout put the edges between pixels, and a rounding error must not
        // smear them over two.
        let edge = |length: f64| (length * self.ratio).round() as f32;
        let (left, top) = (edge(area.left), edge(area.top));
        let (right, bottom) = (edge(area.left + area.width), edge(area.top + area.height));
        if let Some(rect) = Rect::from_ltrb(left, top, right, bottom) {
            self.pixmap.fill_rect(rect, &ink(paint), Transform::identity(), None);
        }
    }

    fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let dash = stroke.dash.and_then(|(dash, gap)| StrokeDash::new(vec![dash as f32, gap as f32], 0.0));
        let pen = Pen {
            width: stroke.width as f32,
            line_cap: if dash.is_some() { LineCap::Butt } else { LineCap::Round },
            line_join: LineJoin::Round,
            dash,
            ..Pen::default()
        };
        if let Some(path) = path(points, false) {
            let scale = self.scale();
            self.pixmap.stroke_path(&path, &ink(stroke.paint), &pen, scale, None);
        }
    }

    fn text(&mut self, text: &Text) {
        let (run, start) = text.lay_out();
        let size = text.size / font::UNITS * self.ratio;
        let mut letters = PathBuilder::new();
        for glyph in &run.glyphs {
            let outline = self.glyphs.entry((text.weight, glyph.id)).or_insert_with(|| outline(glyph.id, text.weight));
            let x = start * self.ratio + glyph.x * size;
            let place =
                Transform::from_row(size as f32, 0.0, 0.0, -size as f32, x as f32, (text.y * self.ratio) as f32);
            if let Some(letter) = outline.clone().and_then(|outline| outline.transform(place)) {
                letters.push_path(&letter);
            }
        }
        let Some(path) = letters.finish() else {
            return;
        };
        if let Some(halo) = text.halo {
            let pen =
                Pen { width: (text.size * self.ratio * 0.28) as f32, line_join: LineJoin::Round, ..Pen::default() };
            self.pixmap.stroke_path(&path, &ink(Paint { color: halo, alpha: 0.85 }), &pen, Transform::identity(), None);
        }
        let paint = ink(Paint { color: text.color, alpha: 1.0 });
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// Copies the colours of cells to their pixels; no cell is blended with its neighbours.
    fn grid(&mut self, grid: &Grid) {
        let left = (grid.area.left * self.ratio).round() as usize;
        let top = (grid.area.top * self.ratio).round() as usize;
        let width = self.pixmap.width() as usize;
        let pixels = self.pixmap.pixels_mut();
        let mut before: Option<(usize, std::ops::Range<usize>)> = None;
        for (y, &row) in grid.down.iter().enumerate() {
            let start = (top + y) * width + left;
            let within = start..start + grid.across.len().min(width.saturating_sub(left));
            if within.end > pixels.len() {
                return;
            }
            if let Some((_, same)) = before.clone().filter(|(before, _)| *before == row) {
                pixels.copy_within(same, within.start);
            } else if let Some(line) = pixels.get_mut(within.clone()) {
                for (pixel, color) in line.iter_mut().zip(grid.pixels(row)) {
                    *pixel = premultiplied(color);
                }
            }
            before = Some((row, within));
        }
    }
}

fn outline(id: u16, weight: Weight) -> Option<Path> {
    let mut path = PathBuilder::new();
    for part in font::outline(id, weight) {
        match part {
            Part::Move(x, y) => path.move_to(x, y),
            Part::Line(x, y) => path.line_to(x, y),
            Part::Quad(x1, y1, x, y) => path.quad_to(x1, y1, x, y),
            Part::Cubic(x1, y1, x2, y2, x, y) => path.cubic_to(x1, y1, x2, y2, x, y),
            Part::Close => path.close(),
        }
    }
    path.finish()
}

fn path(points: &[(f64, f64)], is_closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        match index {
            0 => path.move_to(x as f32, y as f32),
            _ => path.line_to(x as f32, y as f32),
        }
    }
    if is_closed {
        path.close();
    }
    path.finish()
}

fn ink(paint: Paint) -> Ink<'static> {
    let mut ink = Ink::default();
    let Rgb(red, green, blue) = paint.color;
    ink.set_color_rgba8(red, green, blue, (paint.alpha.clamp(0.0, 1.0) * 255.0).round() as u8);
    ink.anti_alias = true;
    ink
}

fn opaque(Rgb(red, green, blue): Rgb) -> Color {
    Color::from_rgba8(red, green, blue, u8::MAX)
}

fn premultiplied(Rgb(red, green, blue): Rgb) -> PremultipliedColorU8 {
    // A colour that covers all is its own product.
    PremultipliedColorU8::from_rgba(red, green, blue, u8::MAX).unwrap_or(PremultipliedColorU8::TRANSPARENT)
}

#[cfg(test)]
mod tests {
    use super::super::frame::{
        Candle, Chart, ChartX, Frame, Heatmap, LayeredBy, Map, MapRow, Panel, Pool, PoolSide, PriceAxis, SeriesMark,
        TimeAxis, Tone, Unit,
    };
    use super::super::{Options, Prices, Theme, color, samples, scene, to_png, to_svg};
    use super::*;

    /// Twelve hours × ten prices; hour 5 is a gap, hour 6 is empty.
    fn heatmap() -> Heatmap {
        let (columns, rows) = (12, 10);
        let mut cells = vec![0.0; columns * rows];
        for column in (0..columns).filter(|column| !matches!(column, 5 | 6)) {
            for row in [0, 1, 2, 7, 8, 9] {
                cells[column * rows + row] = 1.0e6 * (row + 1) as f64;
            }
        }
        let mut is_present = vec![true; columns];
        is_present[5] = false;
        Heatmap {
            exchanges: vec!["binance".to_owned()],
            symbol: Some("BTCUSDT".to_owned()),
            cells,
            is_present,
            current: vec![Some(105.0); columns],
            last_usd: (6.0e6, 2.7e7),
            ..samples::heatmap(columns, rows)
        }
    }

    fn pools() -> Vec<Pool> {
        let pool = |side, low| Pool { distance: Some(0.03), ..samples::pool(side, low, low + 3.0, 1.0e7) };
        vec![pool(PoolSide::Short, 107.0), pool(PoolSide::Long, 100.0)]
    }

    /// Twenty buckets of longs below a price of 100 and twenty of shorts above it.
    fn map() -> Map {
        let row = |k: usize| {
            let (is_long, usd) = (k < 20, 1.0e6 + 1.0e5 * k as f64);
            MapRow {
                cumulative_long_usd: is_long.then(|| 1.0e6 * (20 - k) as f64),
                cumulative_short_usd: (!is_long).then(|| 1.0e6 * (k - 19) as f64),
                ..match is_long {
                    true => samples::row(80.0 + k as f64, usd, 0.0),
                    false => samples::row(80.0 + k as f64, 0.0, usd),
                }
            }
        };
        let map = samples::map((0..40).map(row).collect());
        let layers = [("10x", 3.0e5), ("20x", 3.0e5), ("30x", 3.0e5)];
        Map {
            symbol: Some("BTCUSDT".to_owned()),
            pools: pools(),
            ..samples::layered(map, LayeredBy::Leverage, &layers)
        }
    }

    fn chart(x: ChartX, values: &[(f64, f64)]) -> Chart {
        let mut intervals = samples::series("interval", SeriesMark::Interval, Tone::Kind(31), values);
        for point in &mut intervals.points {
            point.interval = Some((-1.0, f64::NAN));
        }
        let panel = |unit| Panel {
            unit,
            labels: vec!["a".to_owned(), "b".to_owned()],
            ..samples::panel(
                "USD",
                vec![
                    samples::series("line", SeriesMark::Line, Tone::Long, values),
                    samples::series("bar", SeriesMark::Bar, Tone::Short, values),
                    intervals.clone(),
                ],
            )
        };
        samples::chart(x, [Unit::Usd, Unit::Percent, Unit::Price, Unit::Number].map(panel).to_vec())
    }

    struct Picture {
        width: usize,
        bytes: Vec<u8>,
    }

    impl Picture {
        fn of(frame: &Frame, options: &Options, paper: Paper) -> Self {
            let file = to_png(frame, options, paper).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut bytes).unwrap();
            assert_eq!(info.color_type, png::ColorType::Rgb);
            let height = (f64::from(paper.height) * paper.ratio).round() as u32;
            assert_eq!((info.width, info.height), ((f64::from(paper.width) * paper.ratio).round() as u32, height));
            Self { width: info.width as usize, bytes }
        }

        fn at(&self, x: f64, y: f64) -> Rgb {
            let index = (y as usize * self.width + x as usize) * CHANNELS;
            Rgb(self.bytes[index], self.bytes[index + 1], self.bytes[index + 2])
        }

        fn has(&self, color: Rgb, (left, top): (f64, f64), (right, bottom): (f64, f64)) -> bool {
            let columns = || left as usize..right as usize;
            (top as usize..bottom as usize).any(|y| columns().any(|x| self.at(x as f64, y as f64) == color))
        }
    }

    /// The cells of the picture: the first grid of its scene.
    fn plot(frame: &Frame, options: &Options, paper: Paper) -> Area {
        let scene = scene::draw(frame, options, paper).unwrap();
        let grids =
            scene.items.iter().filter_map(|item| if let Item::Grid(grid) = item { Some(grid.area) } else { None });
        grids.reduce(|a, b| if a.width > b.width { a } else { b }).unwrap()
    }

    #[test]
    fn cells_have_the_colours_of_the_scale() {
        let frame = Frame::Heatmap(heatmap());
        for ratio in [1.0, 1.5, 2.0] {
            let prices = Some(Prices::Between(100.0, 110.0));
            let options = Options { prices, scale: color::Scale::Sqrt, ..Options::default() };
            let paper = Paper { width: 900, height: 500, ratio };
            let (picture, plot) = (Picture::of(&frame, &options, paper), plot(&frame, &options, paper));
            let of = |column: f64, row: f64| {
                let x = plot.left + (column + 0.5) / 12.0 * plot.width;
                // Above the middle of the row, where no line of the price is.
                let y = plot.top + (1.0 - (row + 0.7) / 10.0) * plot.height;
                picture.at(x * ratio, y * ratio)
            };
            // The mean of 1, 2, 3, 8, 9, 10 million is 5.5: below 4.675 all is hidden, 10 is the brightest.
            let scale = color::ColorScale::new(4.675e6, 1.0e7, color::Scale::Sqrt);
            for (row, usd) in [(7.0, 8.0e6), (8.0, 9.0e6), (9.0, 1.0e7)] {
                let (found, expected) = (of(2.0, row), scale.color(usd));
                let difference =
                    [found.0.abs_diff(expected.0), found.1.abs_diff(expected.1), found.2.abs_diff(expected.2)];
                assert!(difference.iter().all(|channel| *channel <= 1), "{found:?} {expected:?}");
            }
            assert_eq!(of(2.0, 9.0), Rgb(253, 231, 37));
        }
    }

    #[test]
    fn what_is_hidden_is_nothing_and_a_gap_is_paper() {
        let frame = Frame::Heatmap(heatmap());
        let options = Options { prices: Some(Prices::Between(100.0, 110.0)), ..Options::default() };
        let paper = Paper { width: 900, height: 500, ratio: 1.0 };
        let (picture, plot) = (Picture::of(&frame, &options, paper), plot(&frame, &options, paper));
        let of = |column: f64, row: f64| {
            picture
                .at(plot.left + (column + 0.5) / 12.0 * plot.width, plot.top + (1.0 - (row + 0.7) / 10.0) * plot.height)
        };
        let background = scene::draw(&frame, &options, paper).unwrap().background;
        assert_eq!(of(2.0, 0.0), color::NOTHING, "below the threshold");
        assert_eq!(of(6.0, 8.0), color::NOTHING, "an empty book");
        assert_eq!(of(5.0, 8.0), background, "no book");
        // Cells end where their column ends: nothing is blurred.
        let edge = plot.left + 5.0 / 12.0 * plot.width;
        let y = plot.top + 0.13 * plot.height;
        assert_ne!(picture.at(edge.round() - 1.0, y), background);
        assert_eq!(picture.at(edge.round() + 1.0, y), background);
    }

    #[test]
    fn the_price_has_a_tag_and_the_title_letters() {
        let frame = Frame::Heatmap(heatmap());
        let paper = Paper { width: 900, height: 500, ratio: 1.0 };
        for (theme, ink) in [(Theme::Dark, Rgb(255, 255, 255)), (Theme::Light, Rgb(24, 26, 34))] {
            let options = Options { theme, ..Options::default() };
            let (picture, plot) = (Picture::of(&frame, &options, paper), plot(&frame, &options, paper));
            assert!(picture.has(ink, (plot.left + plot.width + 3.0, plot.top), (900.0, plot.top + plot.height)));
            let title = match theme {
                Theme::Dark => Rgb(240, 241, 245),
                Theme::Light => Rgb(22, 24, 32),
            };
            assert!(picture.has(title, (0.0, 0.0), (400.0, plot.top - 10.0)));
        }
    }

    #[test]
    fn candles_are_drawn_and_merged_where_they_are_many() {
        for count in [12, 3_000] {
            let candle = |k: usize| Candle {
                open: 104.0,
                high: 106.0,
                low: 103.0,
                close: if k < count / 2 { 105.0 } else { 103.5 },
            };
            let heatmap = Heatmap {
                time: TimeAxis { count, ..heatmap().time },
                cells: vec![1.0e6; count * 10],
                is_present: vec![true; count],
                current: vec![None; count],
                candles: (0..count).map(|k| Some(candle(k))).collect(),
                ..heatmap()
            };
            let (options, paper) = (Options::default(), Paper { width: 900, height: 500, ratio: 1.0 });
            let frame = Frame::Heatmap(heatmap);
            let (picture, plot) = (Picture::of(&frame, &options, paper), plot(&frame, &options, paper));
            let (top, bottom, middle) = (plot.top, plot.top + plot.height, plot.left + plot.width / 2.0);
            assert!(picture.has(Rgb(255, 255, 255), (plot.left, top), (middle, bottom)), "{count}");
            assert!(picture.has(Rgb(255, 76, 84), (middle, top), (plot.left + plot.width, bottom)), "{count}");
        }
    }

    #[test]
    fn a_letter_is_read_from_the_font_once() {
        let mut canvas = Canvas::new(200, 40, 1.0).unwrap();
        let text = |content: &str, x: f64| Text {
            x,
            y: 30.0,
            size: 20.0,
            weight: Weight::Regular,
            anchor: scene::Anchor::Start,
            color: Rgb(255, 255, 255),
            halo: Some(Rgb(0, 0, 0)),
            content: content.to_owned(),
        };
        canvas.text(&text("abba", 0.0));
        canvas.text(&text("ab", 100.0));
        assert_eq!(canvas.glyphs.len(), 2);
        assert!(canvas.pixmap.pixels().iter().any(|pixel| pixel.red() == 255));
    }

    #[test]
    fn same_frame_same_bytes() {
        let paper = Paper { width: 640, height: 360, ratio: 1.25 };
        for frame in [Frame::Heatmap(heatmap()), Frame::Map(map())] {
            let options = Options::default();
            assert_eq!(to_png(&frame, &options, paper).unwrap(), to_png(&frame, &options, paper).unwrap());
            assert_eq!(to_svg(&frame, &options, paper).unwrap(), to_svg(&frame, &options, paper).unwrap());
        }
    }

    #[test]
    fn every_size_has_a_picture() {
        let huge = Heatmap { cells: vec![1.0e24; 120], pools: pools(), last_usd: (1.0e24, 1.0e24), ..heatmap() };
        let tiny = Heatmap {
            price: PriceAxis { low: 1.0e-8, step: 1.0e-10, count: 10 },
            current: vec![Some(1.05e-8); 12],
            ..heatmap()
        };
        let single = Heatmap {
            time: TimeAxis { count: 1, ..heatmap().time },
            price: PriceAxis { low: 100.0, step: 1.0, count: 1 },
            cells: vec![5.0],
            is_present: vec![true],
            current: vec![Some(100.5)],
            ..heatmap()
        };
        let bare =
            Map { layers: Vec::new(), layered_by: LayeredBy::Nothing, current: None, pools: Vec::new(), ..map() };
        let one_row = Map { rows: map().rows.into_iter().take(1).collect(), ..bare.clone() };
        let hour = 3_600_000.0;
        let values: Vec<(f64, f64)> = (0..50).map(|k| (k as f64 * hour, (k as f64 - 20.0) * 1.0e22)).collect();
        let gaps = [(0.0, f64::NAN), (hour, 1.0), (2.0 * hour, f64::NAN), (3.0 * hour, f64::INFINITY)];
        let dense: Vec<(f64, f64)> = (0..20_000).map(|k| (k as f64 * hour, (k % 7) as f64)).collect();
        let charts = [
            chart(ChartX::Time, &values),
            chart(ChartX::Time, &gaps),
            chart(ChartX::Time, &dense),
            chart(ChartX::Time, &[]),
            chart(ChartX::Time, &[(hour, 5.0)]),
            chart(ChartX::Time, &[(hour, 5.0), (2.0 * hour, 5.0)]),
            chart(ChartX::Number("step".to_owned()), &[(0.0, 1.0e-8), (1.0, 1.1e-8)]),
            chart(ChartX::Number("a name that is much longer than there is room for".to_owned()), &[(0.0, 0.0)]),
            chart(ChartX::Value, &[(0.1, 0.0), (f64::NAN, 1.0), (-0.2, 1.0)]),
            chart(ChartX::Value, &[]),
            Chart::default(),
        ];
        let heatmaps = [heatmap(), huge, tiny, single].map(Frame::Heatmap);
        let maps = [map(), bare, one_row].map(Frame::Map);
        let frames: Vec<Frame> = heatmaps.into_iter().chain(maps).chain(charts.map(Frame::Chart)).collect();
        let papers = [
            (320, 240, 1.0),
            (320, 240, 0.5),
            (2_000, 240, 1.0),
            (320, 1_500, 1.0),
            (320, 240, 8.0),
            (3_840, 2_160, 1.0),
        ];
        for (width, height, ratio) in papers {
            let is_large = f64::from(width) * f64::from(height) * ratio * ratio > 1.0e6;
            let paper = Paper { width, height, ratio };
            for (index, frame) in frames.iter().enumerate() {
                // The largest papers once for every kind of frame: they take time and know no other cases.
                if is_large && ![0, 4, 7].contains(&index) {
                    continue;
                }
                let theme = if index % 2 == 0 { Theme::Dark } else { Theme::Light };
                let options = Options { theme, title: Some("a title ".repeat(40)), ..Options::default() };
                let _picture = Picture::of(frame, &options, paper);
                assert!(to_svg(frame, &options, paper).unwrap().ends_with("</svg>\n"));
            }
        }
    }

    #[test]
    fn prices_without_rows_have_no_picture() {
        let options = Options { prices: Some(Prices::Between(1.0, 2.0)), ..Options::default() };
        for frame in [Frame::Heatmap(heatmap()), Frame::Map(map())] {
            let error = to_png(&frame, &options, Paper::default()).unwrap_err();
            assert!(matches!(error, RenderError::Empty { .. }), "{error}");
        }
    }

    #[test]
    fn a_map_has_red_longs_on_the_left_and_green_shorts_on_the_right() {
        let paper = Paper { width: 900, height: 500, ratio: 1.0 };
        let picture = Picture::of(&Frame::Map(map()), &Options::default(), paper);
        let (red, green) = (Rgb(240, 80, 90), Rgb(48, 190, 130));
        // Within the plot: above it stand the legend and the pools, which have the same colours.
        let (left, middle, right) = (80.0, 450.0, 830.0);
        assert!(
            picture.has(red, (left, 130.0), (middle - 10.0, 440.0))
                && !picture.has(red, (middle + 10.0, 130.0), (right, 440.0))
        );
        assert!(
            picture.has(green, (middle + 10.0, 130.0), (right, 440.0))
                && !picture.has(green, (left, 130.0), (middle - 10.0, 440.0))
        );
    }
}

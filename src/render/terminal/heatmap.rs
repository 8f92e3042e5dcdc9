//! Time × price as half blocks: the notional as colour, the price and the largest pools over it.
//!
//! ```text
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀┤ 98,000              two cells above each other in one character:
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀┃          ◄ $2.4M    ▀ has the upper one as foreground, the lower one as background
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀◄ 97,432.1            the current price
//! ──┴──────────┴────────
//! Feb 10     12:00                  UTC
//! $12K ▀▀▀▀▀▀▀▀▀▀▀▀ $1.2M                    colours
//! ```

use std::ops::Range;

use super::super::axis;
use super::super::color::{self, ColorDepth, ColorScale, Rgb};
use super::super::frame::{Heatmap, Pool, PoolSide, ignored_label};
use super::super::view::{self, View, Visible};
use super::super::{Options, RenderError, Screen, raster};
use super::canvas::{Canvas, Style};
use super::title::{Title, heads};
use super::{HUES, INK, PRICE, draw_footer, draw_x_axis, footer, length};

/// How much of white covers the cells between the low and the high of a column: what stands there still shows.
const RANGE: f64 = 0.42;
/// The body of a candle that fell, where there is room for bodies.
const FALLEN: Rgb = Rgb(255, 92, 92);
/// A bright cell next to the price is dimmed to this, so that white stays visible on yellow.
const SHADOW: f64 = 0.4;
/// Brightness from which on a cell needs the shadow.
const SHADOW_FROM: f64 = 0.42;
/// From this width on there is room for pools beside the prices.
const WIDTH_WITH_POOLS: usize = 110;

/// Draws a heatmap; see [`super::draw`].
pub(super) fn draw(heatmap: &Heatmap, options: &Options, screen: Screen) -> Result<String, RenderError> {
    let view = View::of(heatmap, options)?;
    let (low, high) = (view.low, view.high);
    let (width, height) = screen.size();
    let heads = heads(&heatmap.subject(), Some((heatmap.time.first_ms, heatmap.time.last_ms())));
    let title = Title::new(options, &heads, &heatmap.origin, width);
    let footer = heatmap_footer(heatmap, view.visible, options, &title, (width, height));
    // Title, time axis and its labels, colours.
    let lines = height.saturating_sub(4 + footer.len().max(1)).max(1);

    // Without colour a character is one cell; with colour it is two, one above the other.
    let halves = if screen.color == ColorDepth::None { 1 } else { 2 };
    let half_rows = lines * halves;
    let to_line = |price: f64| {
        let row = (price - low) / (high - low) * half_rows as f64;
        let row = (row >= 0.0 && row < half_rows as f64).then_some(row as usize);
        // The upper edge belongs to the uppermost row.
        let row = row.or_else(|| (price == high).then_some(half_rows - 1));
        row.map(|row| lines - 1 - row / halves)
    };
    let labels = PriceLabels::new(low, high, lines, heatmap.last_price());
    let pools = Pools::new(heatmap, &view, lines, to_line);
    let gutter = if width >= WIDTH_WITH_POOLS { pools.width } else { 0 };
    let columns = width.saturating_sub(labels.width + 1 + gutter).max(1);

    let mut canvas = Canvas::new(width, height);
    title.draw(&mut canvas);
    let across = raster::spans(0.0, 1.0, heatmap.time.count, 0.0, heatmap.time.count as f64, columns);
    let along = raster::spans(heatmap.price.low, heatmap.price.step, heatmap.price.count, low, high, half_rows);
    let pooled: Vec<Option<f64>> = across
        .iter()
        .flat_map(|across| {
            let is_present = heatmap.is_present.get(across.clone()).is_some_and(|present| present.contains(&true));
            along.iter().map(move |along| {
                is_present.then(|| raster::largest(&heatmap.cells, heatmap.price.count, across, along))
            })
        })
        .collect();
    let brightest = view::brightest(&pooled, view.visible);
    let scale = ColorScale::new(view.visible.threshold_usd, brightest, options.scale);
    let marks = price_marks(heatmap, &across, (low, high), half_rows);
    if screen.color == ColorDepth::None {
        for (x, (cells, marks)) in pooled.chunks(lines).zip(marks.chunks(lines)).enumerate() {
            for (y, (usd, mark)) in cells.iter().zip(marks).rev().enumerate() {
                let character = match mark {
                    Mark::Close | Mark::Body | Mark::FallenBody => 'o',
                    Mark::Range => '|',
                    Mark::None => usd.map_or(' ', |usd| scale.character(usd)),
                };
                canvas.put(x, 1 + y, character, Style::PLAIN);
            }
        }
    } else {
        for (x, colors) in with_marks(&pooled, &marks, &scale, half_rows).chunks(half_rows).enumerate() {
            for (y, pair) in colors.rchunks(2).enumerate() {
                let (lower, upper) = (pair.first().copied().flatten(), pair.last().copied().flatten());
                let (character, style) = half_block(upper, lower);
                canvas.put(x, 1 + y, character, style);
            }
        }
    }

    labels.draw(&mut canvas, columns, lines, screen.color, to_line, &pools);
    if gutter > 0 {
        pools.draw(
            &mut canvas,
            columns + 1 + labels.width,
            labels.current.as_ref().and_then(|(price, _)| to_line(*price)),
        );
    }
    let time = axis::time_labels(heatmap.time.first_ms, heatmap.time.end_ms(), columns);
    draw_x_axis(&mut canvas, &time, columns, 1 + lines, "UTC");
    draw_color_scale(&mut canvas, &scale, 3 + lines, width, screen.color);
    draw_footer(&mut canvas, 4 + lines, &footer);
    Ok(canvas.into_text(screen.color))
}

/// What the price leaves in half a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Range,
    Body,
    FallenBody,
    Close,
}

/// Draws the price into half rows, column by column: the candles, or a line through the current prices.
fn price_marks(heatmap: &Heatmap, across: &[Range<usize>], view: (f64, f64), half_rows: usize) -> Vec<Mark> {
    let mut marks = vec![Mark::None; across.len() * half_rows];
    let (low, high) = view;
    let position = |price: f64| (price - low) / (high - low) * half_rows as f64;
    let mut fill = |x: usize, from: f64, to: f64, mark: Mark| {
        let (from, to) = (position(from.min(to)), position(from.max(to)));
        if to < 0.0 || from > half_rows as f64 {
            return;
        }
        let last = half_rows - 1;
        let rows = (from.max(0.0) as usize).min(last)..=(to.max(0.0) as usize).min(last);
        let column = marks.get_mut(x * half_rows..(x + 1) * half_rows).unwrap_or_default();
        column.get_mut(rows).unwrap_or_default().fill(mark);
    };
    let mut previous: Option<f64> = None;
    for (x, buckets) in across.iter().enumerate() {
        if let Some(candle) = heatmap.candle(buckets.clone()) {
            // A bucket that is repeated has room for a body with a wick, and a free column to the next candle.
            let repeats = across.iter().filter(|other| *other == buckets).count();
            if repeats < 3 {
                fill(x, candle.low, candle.high, Mark::Range);
                fill(x, candle.close, candle.close, Mark::Close);
            } else {
                let first = across.iter().position(|other| other == buckets).unwrap_or(x);
                if x == first + (repeats - 1) / 2 {
                    fill(x, candle.low, candle.high, Mark::Range);
                }
                if x + 1 != first + repeats {
                    let body = if candle.close < candle.open { Mark::FallenBody } else { Mark::Body };
                    fill(x, candle.open, candle.close, body);
                }
            }
            previous = Some(candle.close);
            continue;
        }
        let prices: Vec<f64> =
            heatmap.current.get(buckets.clone()).unwrap_or_default().iter().flatten().copied().collect();
        let Some(&close) = prices.last() else {
            previous = None;
            continue;
        };
        // The line is connected: it begins where the previous column ended.
        let (lowest, highest) = prices
            .iter()
            .copied()
            .chain(previous)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), price| (price.min(low), price.max(high)));
        fill(x, lowest, highest, Mark::Range);
        fill(x, close, close, Mark::Close);
        previous = Some(close);
    }
    marks
}

/// The colours of all half characters: cells, the price over them, and its shadow on what is bright beside it.
fn with_marks(pooled: &[Option<f64>], marks: &[Mark], scale: &ColorScale, half_rows: usize) -> Vec<Option<Rgb>> {
    let has_mark = |index: usize, offset: isize| {
        let row = (index % half_rows) as isize + offset;
        let is_within = (0..half_rows as isize).contains(&row);
        is_within && marks.get(index.wrapping_add_signed(offset)).is_some_and(|mark| *mark != Mark::None)
    };
    pooled
        .iter()
        .zip(marks)
        .enumerate()
        .map(|(index, (usd, mark))| match mark {
            Mark::Close | Mark::Body => Some(PRICE),
            Mark::FallenBody => Some(FALLEN),
            Mark::Range => {
                // Dark first: on yellow the range must be seen as well as on purple.
                let color = usd.map_or(color::NOTHING, |usd| scale.color(usd));
                Some(color.dimmed(SHADOW).blended(PRICE, RANGE))
            }
            Mark::None => {
                let color = scale.color((*usd)?);
                let is_shadowed = color.brightness() >= SHADOW_FROM && (has_mark(index, 1) || has_mark(index, -1));
                Some(if is_shadowed { color.dimmed(SHADOW) } else { color })
            }
        })
        .collect()
}

fn half_block(upper: Option<Rgb>, lower: Option<Rgb>) -> (char, Style) {
    match (upper, lower) {
        (None, None) => (' ', Style::PLAIN),
        // One colour alone is a background: text copied out of the terminal stays free of blocks.
        (Some(upper), Some(lower)) if upper == lower => (' ', Style::PLAIN.on(upper)),
        (Some(upper), Some(lower)) => ('▀', Style::foreground(upper).on(lower)),
        (Some(upper), None) => ('▀', Style::foreground(upper)),
        (None, Some(lower)) => ('▄', Style::foreground(lower)),
    }
}

/// The price axis: round numbers and the current price.
#[derive(Debug)]
struct PriceLabels {
    round: Vec<(f64, String)>,
    current: Option<(f64, String)>,
    /// Characters of the longest label with the blanks around it.
    width: usize,
}

impl PriceLabels {
    fn new(low: f64, high: f64, lines: usize, current: Option<f64>) -> Self {
        // A label every three lines, two where there are few.
        let spacing = if lines < 12 { 2.0 } else { 3.0 };
        let (step, decimals) = axis::round_step((high - low) / lines as f64 * spacing);
        let round: Vec<(f64, String)> =
            axis::multiples(low, high, step).into_iter().map(|price| (price, axis::decimal(price, decimals))).collect();
        let current = current.map(|price| (price, axis::decimal(price, decimals.max(axis::price_decimals(price)))));
        let longest = round.iter().chain(&current).map(|(_, label)| length(label)).max().unwrap_or(0);
        Self { round, current, width: longest + 2 }
    }

    fn draw(
        &self,
        canvas: &mut Canvas,
        x: usize,
        lines: usize,
        depth: ColorDepth,
        line_of: impl Fn(f64) -> Option<usize>,
        pools: &Pools,
    ) {
        const TOP: usize = 1;
        let ink = Style::foreground(INK);
        let tick = |canvas: &mut Canvas, line: usize, plain: char, pool: char| {
            let (character, style) = match pools.side_at(line) {
                Some(side) => (pool, Style::foreground(HUES.side(side))),
                None => (plain, ink),
            };
            canvas.put(x, TOP + line, character, style);
        };
        for line in 0..lines {
            tick(canvas, line, '│', '┃');
        }
        let end = x + 1 + self.width;
        let current = self.current.as_ref().and_then(|(price, label)| line_of(*price).map(|line| (line, label)));
        for (price, label) in &self.round {
            let Some(line) = line_of(*price) else {
                continue;
            };
            tick(canvas, line, '┤', '┨');
            if current.is_none_or(|(current, _)| current != line) {
                canvas.text_before(end - 1, TOP + line, label, ink);
            }
        }
        if let Some((line, label)) = current {
            let highlight = Style { is_bold: true, ..Style::foreground(Rgb(0, 0, 0)).on(PRICE) };
            if depth != ColorDepth::None {
                for column in x + 1..end {
                    canvas.put(column, TOP + line, ' ', highlight);
                }
            }
            canvas.put(x, TOP + line, '◄', Style::foreground(PRICE));
            canvas.text_before(end - 1, TOP + line, label, highlight);
        }
    }
}

/// The largest pools of each side that are in the picture, and the lines they cover.
#[derive(Debug)]
struct Pools {
    /// Line, side, notional and distance; largest first.
    labels: Vec<(usize, PoolSide, String, String)>,
    /// The side of the pool that covers each line.
    sides: Vec<Option<PoolSide>>,
    /// Characters of a label; 0 without pools.
    width: usize,
}

impl Pools {
    fn new(heatmap: &Heatmap, view: &View, lines: usize, line_of: impl Fn(f64) -> Option<usize>) -> Self {
        // A few stand out, all of them would hide each other.
        let most = (lines / 8).clamp(2, 6);
        let current = heatmap.last_price();
        let mut chosen: Vec<(usize, &Pool)> = Vec::new();
        for side in [PoolSide::Long, PoolSide::Short] {
            let pools = heatmap.pools.iter().filter(|pool| pool.side == side && pool.usd.is_finite());
            let mut count = 0;
            for pool in pools {
                let Some(line) = line_of(pool.price) else { continue };
                let is_free =
                    chosen.iter().all(|(other, _)| *other != line) && current.and_then(&line_of) != Some(line);
                if is_free && count < most {
                    chosen.push((line, pool));
                    count += 1;
                }
            }
        }
        let mut sides = vec![None; lines];
        for (line, pool) in &chosen {
            for (index, side) in sides.iter_mut().enumerate() {
                let middle = view.high - (index as f64 + 0.5) * (view.high - view.low) / lines as f64;
                if index == *line || (pool.low..pool.high).contains(&middle) {
                    *side = Some(pool.side);
                }
            }
        }
        let distance = |pool: &Pool| {
            let from_price = current.filter(|price| *price > 0.0).map(|price| (pool.price - price) / price);
            pool.distance.or(from_price).map(axis::signed_percent).unwrap_or_default()
        };
        let labels: Vec<(usize, PoolSide, String, String)> =
            chosen.iter().map(|(line, pool)| (*line, pool.side, axis::usd(pool.usd), distance(pool))).collect();
        let width = labels.iter().map(|label| length(&Self::text(label, &labels))).max().unwrap_or(0);
        Self { labels, sides, width }
    }

    fn side_at(&self, line: usize) -> Option<PoolSide> {
        self.sides.get(line).copied().flatten()
    }

    /// The columns of all labels are aligned.
    fn text(label: &(usize, PoolSide, String, String), all: &[(usize, PoolSide, String, String)]) -> String {
        let usd = all.iter().map(|label| length(&label.2)).max().unwrap_or(0);
        let distance = all.iter().map(|label| length(&label.3)).max().unwrap_or(0);
        format!("◄ {:>usd$} {:>distance$}", label.2, label.3)
    }

    fn draw(&self, canvas: &mut Canvas, x: usize, current: Option<usize>) {
        for label in self.labels.iter().filter(|label| current != Some(label.0)) {
            canvas.text(x, 1 + label.0, &Self::text(label, &self.labels), Style::foreground(HUES.side(label.1)));
        }
    }
}

fn draw_color_scale(canvas: &mut Canvas, scale: &ColorScale, y: usize, width: usize, depth: ColorDepth) {
    const PARTS: usize = 4;
    let ink = Style::foreground(INK);
    let labels: Vec<String> = (0..=PARTS)
        .map(|part| {
            let prefix = if part == PARTS { "≥" } else { "" };
            prefix.to_string() + &axis::usd(scale.usd(part as f64 / PARTS as f64))
        })
        .collect();
    let text: usize = labels.iter().map(|label| length(label) + 2).sum();
    let part_width = (width.min(90).saturating_sub(text) / PARTS).max(1);
    let mut x = 0;
    for (part, label) in labels.iter().enumerate() {
        x = canvas.text(x, y, label, ink) + 1;
        if part == PARTS {
            break;
        }
        for step in 0..part_width {
            let position = (part as f64 + (step as f64 + 0.5) / part_width as f64) / PARTS as f64;
            match depth {
                ColorDepth::None => canvas.put(x, y, color::character(position), Style::PLAIN),
                _ => canvas.put(x, y, ' ', Style::PLAIN.on(color::viridis(position))),
            }
            x += 1;
        }
        x += 1;
    }
}

fn heatmap_footer(
    heatmap: &Heatmap,
    visible: Visible,
    options: &Options,
    title: &Title,
    size: (usize, usize),
) -> Vec<String> {
    let max = format!("max {}", axis::usd(visible.max_usd));
    let counts = format!("{} of {} cells", axis::count(visible.hidden), axis::count(visible.cells));
    let limit = axis::usd(visible.threshold_usd);
    let scale = format!("scale: {}", options.scale.name());
    let threshold = axis::given(options.threshold);
    let long = format!("max cell {}", axis::usd(visible.max_usd));
    let whole = format!("threshold {threshold} × mean: {counts} below {limit} hidden");
    let middle = format!("threshold {threshold}: {counts} hidden");
    let ignored: Vec<String> = ignored_label(heatmap.ignored_rows).into_iter().collect();
    let candidates = [
        [vec![long, whole.clone(), scale.clone()], ignored.clone()].concat(),
        [vec![max.clone(), whole, scale.clone()], ignored.clone()].concat(),
        [vec![max.clone(), middle, scale.clone()], ignored].concat(),
        vec![max.clone(), format!("threshold {threshold}: {} hidden", axis::count(visible.hidden)), scale.clone()],
        vec![max, format!("{} hidden", axis::count(visible.hidden)), scale],
    ];
    let mut more: Vec<String> = heatmap.hidden_side(visible.threshold_usd).into_iter().collect();
    more.extend(heatmap.origin.coverage.iter().cloned());
    if heatmap.is_present.contains(&false) {
        more.push(heatmap.coverage_label());
    }
    let (longs, shorts) = heatmap.last_usd;
    more.push(format!("last: longs {} shorts {}", axis::usd(longs), axis::usd(shorts)));
    footer(&candidates, &more, title, size)
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::{self, heatmap};
    use super::super::super::{Candle, PriceAxis, Scale};
    use super::*;

    fn each(columns: usize) -> Vec<Range<usize>> {
        raster::spans(0.0, 1.0, columns, 0.0, columns as f64, columns)
    }

    fn with_pools() -> Heatmap {
        let mut heatmap = heatmap(3, 40);
        heatmap.cells.fill(1.0e6);
        heatmap.current = vec![Some(120.0); 3];
        let pool = |side, low: f64, usd| samples::pool(side, low, low + 2.0, usd);
        heatmap.pools = vec![
            pool(PoolSide::Short, 130.0, 9.0e6),
            pool(PoolSide::Long, 105.0, 7.0e6),
            pool(PoolSide::Long, 119.0, 6.0e6),
            pool(PoolSide::Long, 900.0, 5.0e6),
        ];
        heatmap
    }

    #[test]
    fn pools_stand_beside_the_prices_where_there_is_room() {
        let heatmap = with_pools();
        let screen = |width, color| Screen { width, height: 40, color };
        let picture = draw(&heatmap, &Options::default(), screen(120, ColorDepth::None)).unwrap();
        assert_eq!(picture.matches("◄ $9M +9.17 %").count(), 1, "{picture}");
        assert_eq!(picture.matches("◄ $7M -11.7 %").count(), 1, "{picture}");
        // The line of the price is its own, and one pool is not in the picture.
        assert!(!picture.contains("$6M") && !picture.contains("$5M"), "{picture}");
        let narrow = draw(&heatmap, &Options::default(), screen(100, ColorDepth::TrueColor)).unwrap();
        assert!(!narrow.contains("$9M") && (narrow.contains('┃') || narrow.contains('┨')), "{narrow}");
    }

    #[test]
    fn odd_prices_and_amounts_stay_within_the_screen() {
        for (low, step, usd) in [(1e-8, 1e-10, 1e24), (0.0, 1e14, 1e-8), (1e15 - 40.0, 1.0, 1.0)] {
            let mut heatmap = with_pools();
            heatmap.price = PriceAxis { low, step, count: 40 };
            heatmap.cells.fill(usd);
            heatmap.current = vec![Some(low + step); 3];
            for pool in &mut heatmap.pools {
                (pool.price, pool.low, pool.high) = (low + 3.0 * step, f64::NAN, low);
            }
            for (width, height) in [(40, 12), (80, 24), (200, 60), (110, 30)] {
                let picture =
                    draw(&heatmap, &Options::default(), Screen { width, height, color: ColorDepth::None }).unwrap();
                assert!(picture.lines().count() <= usize::from(height), "{picture}");
                assert!(picture.lines().all(|line| length(line) <= usize::from(width)), "{picture}");
            }
        }
    }

    #[test]
    fn gaps_and_coverage_are_in_the_footer() {
        let mut heatmap = heatmap(4, 8);
        heatmap.cells.fill(1.0e6);
        heatmap.is_present = vec![true, false, true, true];
        heatmap.origin.coverage = Some("book: half".to_owned());
        let picture = draw(&heatmap, &Options::default(), Screen { width: 200, ..Screen::default() }).unwrap();
        assert!(picture.contains("scale: linear · book: half · 3 of 4 steps · last: longs $0 shorts $0"), "{picture}");
    }

    #[test]
    fn the_line_is_connected_and_ends_at_gaps() {
        let mut heatmap = heatmap(4, 8);
        heatmap.current = vec![Some(101.5), Some(104.5), None, Some(106.5)];
        let marks = price_marks(&heatmap, &each(4), (100.0, 108.0), 8);
        let column = |x: usize| -> String {
            marks[x * 8..(x + 1) * 8]
                .iter()
                .map(|mark| match mark {
                    Mark::None => '.',
                    Mark::Range => '|',
                    _ => 'o',
                })
                .collect()
        };
        assert_eq!([column(0), column(1), column(2), column(3)], [".o......", ".|||o...", "........", "......o."]);
    }

    #[test]
    fn candles_have_bodies_where_a_bucket_has_room() {
        let mut heatmap = heatmap(2, 8);
        let candle = Candle { open: 104.5, high: 106.5, low: 101.5, close: 102.5 };
        heatmap.candles = vec![Some(candle), None];
        let across = raster::spans(0.0, 1.0, 2, 0.0, 2.0, 8);
        let marks = price_marks(&heatmap, &across, (100.0, 108.0), 8);
        let of = |x: usize| &marks[x * 8..(x + 1) * 8];
        assert_eq!(of(0)[2..5], [Mark::FallenBody; 3]);
        assert_eq!(of(0)[5], Mark::None);
        assert_eq!((of(1)[1], of(1)[6]), (Mark::Range, Mark::Range));
        assert_eq!(of(3), [Mark::None; 8], "a column between two candles stays free");
    }

    #[test]
    fn yellow_next_to_the_price_is_shadowed() {
        let scale = ColorScale::new(1.0, 10.0, Scale::Linear);
        let pooled = [Some(10.0), Some(10.0), Some(10.0), None];
        let marks = [Mark::Close, Mark::None, Mark::None, Mark::None];
        let yellow = Rgb(253, 231, 37);
        assert_eq!(
            with_marks(&pooled, &marks, &scale, 4),
            [Some(PRICE), Some(yellow.dimmed(SHADOW)), Some(yellow), None],
        );
    }

    #[test]
    fn half_blocks_show_two_cells() {
        let (red, blue) = (Rgb(255, 0, 0), Rgb(0, 0, 255));
        assert_eq!(half_block(Some(red), Some(blue)), ('▀', Style::foreground(red).on(blue)));
        assert_eq!(half_block(Some(red), Some(red)), (' ', Style::PLAIN.on(red)));
        assert_eq!(half_block(None, Some(blue)), ('▄', Style::foreground(blue)));
        assert_eq!(half_block(None, None), (' ', Style::PLAIN));
    }
}

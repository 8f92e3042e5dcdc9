//! Frame to text for a terminal: half blocks, axes, a colour scale and a footer, in the size asked for.
//!
//! ```text
//! title
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀┤ 98,000     two cells above each other in one character:
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀│            ▀ has the upper one as foreground, the lower one as background
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀◄ 97,432.1   the current price
//! ──┴──────────┴────────
//! Feb 10     12:00                  UTC
//! $12K ▀▀▀▀▀▀▀▀▀▀▀▀ $1.2M           colours
//! footer                            what was hidden, which scale
//! ```

mod map;

use std::ops::Range;

use arrow::array::RecordBatch;

use super::axis::{self, TimeLabel};
use super::canvas::{Canvas, Style};
use super::color::{self, ColorDepth, ColorScale, Rgb};
use super::frame::{Frame, Heatmap, PriceAxis};
use super::{Options, RenderError, raster};

/// Axes, numbers and the footer.
const INK: Rgb = Rgb(150, 150, 160);
/// The close of a column.
const PRICE: Rgb = Rgb(255, 255, 255);
/// How much of white covers the cells between the low and the high of a column: what stands there still shows.
const RANGE: f64 = 0.42;
/// The body of a candle that fell, where there is room for bodies.
const FALLEN: Rgb = Rgb(255, 92, 92);
/// A bright cell next to the price is dimmed to this, so that white stays visible on yellow.
const SHADOW: f64 = 0.4;
/// Brightness from which on a cell needs the shadow.
const SHADOW_FROM: f64 = 0.42;
/// Share of the drawn cells that are not brighter than full yellow: a single giant must not darken all others.
const BRIGHTEST: f64 = 0.995;

/// Draws the heatmap or map among the results of a script's statements.
///
/// Returns at most [`Options::height`] lines of at most [`Options::width`] characters, each ended by a line break. It is
/// a pure function: the caller finds out the size of the terminal and its colours, and prints.
///
/// # Errors
///
/// Those of [`Frame::try_from_results`], and [`RenderError::TooSmall`] or [`RenderError::InvalidOption`].
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
/// use liqsql::render::{ColorDepth, Options, draw};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heatmap = RecordBatch::try_from_iter([
///     ("ts", Arc::new(TimestampMillisecondArray::from(vec![0, 0])) as ArrayRef),
///     ("price_low", Arc::new(Float64Array::from(vec![95.0, 104.0]))),
///     ("price_high", Arc::new(Float64Array::from(vec![96.0, 105.0]))),
///     ("side", Arc::new(StringArray::from(vec!["long", "short"]))),
///     ("notional_usd", Arc::new(Float64Array::from(vec![1.0e6, 2.0e6]))),
///     ("price", Arc::new(Float64Array::from(vec![100.0, 100.0]))),
/// ])?;
/// let options = Options { color: ColorDepth::None, ..Options::default() };
/// let picture = draw(&[vec![heatmap]], &options)?;
/// assert!(picture.starts_with("liquidation heatmap · 1970-01-01 00:00 UTC · estimated"));
/// # Ok(())
/// # }
/// ```
pub fn draw(results: &[Vec<RecordBatch>], options: &Options) -> Result<String, RenderError> {
    // Before the rows: a size that cannot work needs no grid.
    options.validate()?;
    match Frame::try_from_results(results)? {
        Frame::Heatmap(heatmap) => draw_heatmap(&heatmap, options),
        Frame::Map(map) => map::draw_map(&map, options),
    }
}

/// What the threshold leaves of a heatmap.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Visible {
    /// Cells below this are hidden.
    threshold_usd: f64,
    /// Cells with something in them.
    cells: usize,
    /// Those below the threshold.
    hidden: usize,
    max_usd: f64,
    /// Rows of the grid, lowest and one past the highest, in which something is visible.
    rows: (usize, usize),
}

impl Visible {
    fn of(heatmap: &Heatmap, within: &Range<usize>, threshold: f64) -> Option<Self> {
        let cells = || {
            heatmap
                .cells
                .chunks_exact(heatmap.price.count)
                .flat_map(|column| column[within.clone()].iter().enumerate())
                .filter(|(_, usd)| **usd > 0.0)
                .map(|(row, &usd)| (row + within.start, usd))
        };
        let (mut count, mut sum, mut max_usd) = (0usize, 0.0, 0.0f64);
        for (_, usd) in cells() {
            count += 1;
            sum += usd;
            max_usd = max_usd.max(usd);
        }
        if count == 0 {
            return None;
        }
        // A heatmap in which all cells are equal must not vanish under a threshold above one.
        let threshold_usd = (threshold * sum / count as f64).min(max_usd);
        let (mut hidden, mut rows) = (0, (usize::MAX, 0));
        for (row, usd) in cells() {
            if usd < threshold_usd {
                hidden += 1;
            } else {
                rows = (rows.0.min(row), rows.1.max(row + 1));
            }
        }
        Some(Self { threshold_usd, cells: count, hidden, max_usd, rows })
    }
}

fn draw_heatmap(heatmap: &Heatmap, options: &Options) -> Result<String, RenderError> {
    let axis = heatmap.price;
    let within = match options.prices {
        Some((low, high)) => rows_within(axis, low, high),
        None => 0..axis.count,
    };
    let Some(visible) = Visible::of(heatmap, &within, options.threshold) else {
        return Err(nothing_at_these_prices(axis.low, axis.high(), options.prices));
    };
    let (low, high) = options.prices.unwrap_or_else(|| {
        let low = axis.low + axis.step * visible.rows.0 as f64;
        let high = axis.low + axis.step * visible.rows.1 as f64;
        with_price(low, high, heatmap)
    });

    let (width, height) = options.size();
    let lines = height - 5;
    let labels = PriceLabels::new(low, high, lines, last_price(heatmap));
    let columns = width - labels.width - 1;

    let mut canvas = Canvas::new(width, height);
    draw_title(&mut canvas, options, &heatmap_title(heatmap, width));

    // Without colour a character is one cell; with colour it is two, one above the other.
    let halves = if options.color == ColorDepth::None { 1 } else { 2 };
    let across = raster::spans(0.0, 1.0, heatmap.time.count, 0.0, heatmap.time.count as f64, columns);
    let along = raster::spans(axis.low, axis.step, axis.count, low, high, lines * halves);
    let pooled: Vec<Option<f64>> = across
        .iter()
        .flat_map(|across| {
            let is_present = heatmap.is_present[across.clone()].contains(&true);
            along.iter().map(move |along| {
                is_present.then(|| raster::largest(&heatmap.cells, heatmap.price.count, across, along))
            })
        })
        .collect();
    let scale = ColorScale::new(visible.threshold_usd, brightest(&pooled, visible), options.scale);
    let half_rows = lines * halves;
    let to_half_row = |price: f64| {
        let row = (price - low) / (high - low) * half_rows as f64;
        (row >= 0.0 && row < half_rows as f64).then_some(row as usize).or_else(|| {
            // The upper edge belongs to the uppermost row.
            (price == high).then_some(half_rows - 1)
        })
    };
    let marks = price_marks(heatmap, &across, (low, high), half_rows);
    match options.color {
        ColorDepth::None => {
            for x in 0..columns {
                for y in 0..lines {
                    let row = lines - 1 - y;
                    let character = match marks[x * half_rows + row] {
                        Mark::Close | Mark::Body | Mark::FallenBody => 'o',
                        Mark::Range => '|',
                        Mark::None => pooled[x * half_rows + row].map_or(' ', |usd| scale.character(usd)),
                    };
                    canvas.put(x, 1 + y, character, Style::PLAIN);
                }
            }
        }
        ColorDepth::TrueColor | ColorDepth::Ansi256 => {
            let colors = with_marks(&pooled, &marks, &scale, half_rows);
            for x in 0..columns {
                for y in 0..lines {
                    let upper = half_rows - 1 - 2 * y;
                    let pair = (colors[x * half_rows + upper], colors[x * half_rows + upper - 1]);
                    let (character, style) = half_block(pair.0, pair.1);
                    canvas.put(x, 1 + y, character, style);
                }
            }
        }
    }

    labels.draw(&mut canvas, columns, 1, lines, options.color, |price| {
        to_half_row(price).map(|row| lines - 1 - row / halves)
    });
    let time = axis::time_labels(heatmap.time.first_ms, heatmap.time.end_ms(), columns);
    draw_time_axis(&mut canvas, &time, columns, 1 + lines);
    draw_color_scale(&mut canvas, &scale, 3 + lines, width, options.color);
    let footer = heatmap_footer(heatmap, visible, options, width);
    canvas.text(0, 4 + lines, &footer, Style::foreground(INK));
    Ok(canvas.into_text(options.color))
}

/// Rows whose centre lies between two prices.
fn rows_within(axis: PriceAxis, low: f64, high: f64) -> Range<usize> {
    let row = |price: f64| (((price - axis.low) / axis.step - 0.5).ceil().clamp(0.0, axis.count as f64)) as usize;
    row(low)..row(high)
}

fn nothing_at_these_prices(low: f64, high: f64, prices: Option<(f64, f64)>) -> RenderError {
    let found = format!(
        "{} to {}",
        axis::decimal(low, axis::price_decimals(low)),
        axis::decimal(high, axis::price_decimals(high))
    );
    let reason = match prices {
        Some((from, to)) => {
            format!("no cell between the 'prices' {from} and {to}, the rows have {found}")
        }
        None => format!("no cell at the prices {found}"),
    };
    RenderError::Empty { reason }
}

/// Widens the view so that the price is in it, by at most a fifth on each side: rows that were filtered to a narrow band
/// are meant to fill the picture even if price was elsewhere for most of the time.
fn with_price(low: f64, high: f64, heatmap: &Heatmap) -> (f64, f64) {
    let margin = (high - low) / 5.0;
    let candles = heatmap.candles.iter().flatten().flat_map(|candle| [candle.low, candle.high]);
    let prices = heatmap.current.iter().flatten().copied().chain(candles);
    let (lowest, highest) =
        prices.fold((low, high), |(lowest, highest), price| (price.min(lowest), price.max(highest)));
    (lowest.max(low - margin), highest.min(high + margin))
}

fn last_price(heatmap: &Heatmap) -> Option<f64> {
    let candle = heatmap.candles.last().copied().flatten().map(|candle| candle.close);
    candle.or_else(|| heatmap.current.iter().rev().find_map(|price| *price))
}

/// The notional that is drawn in full yellow.
fn brightest(pooled: &[Option<f64>], visible: Visible) -> f64 {
    let mut drawn: Vec<f64> =
        pooled.iter().flatten().copied().filter(|usd| *usd > 0.0 && *usd >= visible.threshold_usd).collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let index = (drawn.len().saturating_sub(1) as f64 * BRIGHTEST).round() as usize;
    drawn.get(index).copied().unwrap_or(visible.max_usd)
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
        for row in (from.max(0.0) as usize).min(last)..=(to.max(0.0) as usize).min(last) {
            marks[x * half_rows + row] = mark;
        }
    };
    let mut previous: Option<f64> = None;
    for (x, buckets) in across.iter().enumerate() {
        let candles = heatmap.candles.get(buckets.clone()).unwrap_or_default().iter().flatten().copied();
        let candle = candles.reduce(|whole, next| super::Candle {
            open: whole.open,
            high: whole.high.max(next.high),
            low: whole.low.min(next.low),
            close: next.close,
        });
        if let Some(candle) = candle {
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
        let prices: Vec<f64> = heatmap.current[buckets.clone()].iter().flatten().copied().collect();
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
        (0..half_rows as isize).contains(&row) && marks[index.wrapping_add_signed(offset)] != Mark::None
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
        let longest = round.iter().chain(&current).map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        Self { round, current, width: longest + 2 }
    }

    fn draw(
        &self,
        canvas: &mut Canvas,
        x: usize,
        top: usize,
        lines: usize,
        depth: ColorDepth,
        line_of: impl Fn(f64) -> Option<usize>,
    ) {
        let ink = Style::foreground(INK);
        for line in 0..lines {
            canvas.put(x, top + line, '│', ink);
        }
        let end = x + 1 + self.width;
        let current = self.current.as_ref().and_then(|(price, label)| line_of(*price).map(|line| (line, label)));
        for (price, label) in &self.round {
            let Some(line) = line_of(*price) else {
                continue;
            };
            canvas.put(x, top + line, '┤', ink);
            if current.is_none_or(|(current, _)| current != line) {
                canvas.text_before(end - 1, top + line, label, ink);
            }
        }
        if let Some((line, label)) = current {
            let highlight = Style { is_bold: true, ..Style::foreground(Rgb(0, 0, 0)).on(PRICE) };
            if depth != ColorDepth::None {
                for column in x + 1..end {
                    canvas.put(column, top + line, ' ', highlight);
                }
            }
            canvas.put(x, top + line, '◄', Style::foreground(PRICE));
            canvas.text_before(end - 1, top + line, label, highlight);
        }
    }
}

fn draw_title(canvas: &mut Canvas, options: &Options, default: &str) {
    let title = options.title.as_deref().unwrap_or(default);
    canvas.text(0, 0, &shortened(title, options.size().0), Style::BOLD);
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn heatmap_title(heatmap: &Heatmap, width: usize) -> String {
    let subject = heatmap.subject();
    let short_subject = subject.replace("liquidation ", "");
    let days = axis::days(heatmap.time.first_ms, heatmap.time.last_ms());
    let estimated = "estimated".to_string();
    first_that_fits(
        [
            vec![subject.clone(), heatmap.range_label(), estimated.clone()],
            vec![subject.clone(), format!("{days} UTC"), estimated.clone()],
            vec![short_subject.clone(), days, estimated.clone()],
            vec![subject, estimated.clone()],
            vec![short_subject, estimated],
        ],
        width,
    )
}

fn draw_time_axis(canvas: &mut Canvas, labels: &[TimeLabel], columns: usize, y: usize) {
    let ink = Style::foreground(INK);
    for x in 0..columns {
        canvas.put(x, y, '─', ink);
    }
    canvas.put(columns, y, '┘', ink);
    for label in labels {
        canvas.put(label.tick, y, '┴', ink);
        // A date among hours stands out.
        let is_date = label.text.starts_with(|first: char| first.is_alphabetic());
        canvas.text(label.start, y + 1, &label.text, if is_date { Style::foreground(PRICE) } else { ink });
    }
    let last = labels.last().map_or(0, |label| label.start + label.text.len() + 1);
    if last <= columns {
        canvas.text(columns + 1, y + 1, "UTC", ink);
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
    let text: usize = labels.iter().map(|label| label.chars().count() + 2).sum();
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

fn heatmap_footer(heatmap: &Heatmap, visible: Visible, options: &Options, width: usize) -> String {
    let max = format!("max {}", axis::usd(visible.max_usd));
    let counts = format!("{} of {} cells", axis::count(visible.hidden), axis::count(visible.cells));
    let limit = axis::usd(visible.threshold_usd);
    let scale = format!("scale: {}", options.scale.name());
    let mut more = Vec::new();
    if heatmap.ignored_rows > 0 {
        more.push(format!("{} rows with nulls ignored", axis::count(heatmap.ignored_rows)));
    }
    let sides = format!("longs {} shorts {}", axis::usd(heatmap.last_usd.0), axis::usd(heatmap.last_usd.1));
    let threshold = options.threshold;
    let long = format!("max cell {}", axis::usd(visible.max_usd));
    let whole = format!("threshold {threshold} × mean: {counts} below {limit} hidden");
    let middle = format!("threshold {threshold}: {counts} hidden");
    let most = [vec![long, whole.clone(), scale.clone()], more.clone(), vec![format!("last: {sides}")]].concat();
    let candidates = [
        most,
        [vec![max.clone(), whole, scale.clone()], more.clone()].concat(),
        [vec![max.clone(), middle, scale.clone()], more.clone()].concat(),
        vec![max.clone(), format!("threshold {threshold}: {} hidden", axis::count(visible.hidden)), scale.clone()],
        vec![max, format!("{} hidden", axis::count(visible.hidden)), scale],
    ];
    first_that_fits(candidates, width)
}

fn first_that_fits<const N: usize>(candidates: [Vec<String>; N], width: usize) -> String {
    let texts: Vec<String> = candidates.into_iter().map(|parts| parts.join(" · ")).collect();
    let fitting = texts.iter().find(|text| text.chars().count() <= width);
    fitting.or(texts.last()).map(|text| shortened(text, width)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Candle, TimeAxis};
    use super::*;

    fn heatmap(columns: usize, rows: usize) -> Heatmap {
        Heatmap {
            exchanges: Vec::new(),
            symbol: None,
            time: TimeAxis { first_ms: 0, step_ms: 3_600_000, count: columns },
            price: PriceAxis { low: 100.0, step: 1.0, count: rows },
            cells: vec![0.0; columns * rows],
            is_present: vec![true; columns],
            current: vec![None; columns],
            candles: Vec::new(),
            max_usd: 0.0,
            last_usd: (0.0, 0.0),
            ignored_rows: 0,
        }
    }

    fn each(columns: usize) -> Vec<Range<usize>> {
        raster::spans(0.0, 1.0, columns, 0.0, columns as f64, columns)
    }

    #[test]
    fn the_threshold_is_a_share_of_the_mean_of_cells_that_are_not_empty() {
        let mut heatmap = heatmap(2, 4);
        heatmap.cells = vec![0.0, 1.0, 9.0, 0.0, 0.0, 0.0, 5.0, 0.0];
        let visible = Visible::of(&heatmap, &(0..4), 0.8).unwrap();
        // The mean of 1, 9 and 5 is 5.
        let expected = Visible { threshold_usd: 4.0, cells: 3, hidden: 1, max_usd: 9.0, rows: (2, 3) };
        assert_eq!(visible, expected);
        assert_eq!(Visible::of(&heatmap, &(3..4), 0.8), None);
        // Above the largest cell a threshold would hide all.
        assert_eq!(Visible::of(&heatmap, &(0..4), 100.0).unwrap().threshold_usd, 9.0);
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
        let scale = ColorScale::new(1.0, 10.0, super::super::Scale::Linear);
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

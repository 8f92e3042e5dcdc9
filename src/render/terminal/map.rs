//! A map as horizontal bars: price from top to bottom, shorts above the current price, longs below it.
//!
//! Unlike the cells of a heatmap, the buckets of a line are summed: a bar is an amount in USD that stands between two
//! prices, and the amounts of all lines add up to the total in the footer.

use super::super::axis;
use super::super::canvas::{Canvas, Style};
use super::super::color::{ColorDepth, Rgb};
use super::super::frame::{Map, MapRow};
use super::super::{Options, RenderError};
use super::{INK, PRICE, draw_title, first_that_fits, nothing_at_these_prices};

/// Positions that falling prices liquidate.
const LONG: Rgb = Rgb(38, 178, 158);
/// Positions that rising prices liquidate.
const SHORT: Rgb = Rgb(240, 88, 86);
/// The cumulative curve of a map.
const CURVE: Rgb = Rgb(225, 225, 232);

/// One line of a map: whole buckets of price, or the part of them on one side of the current price.
#[derive(Debug, Clone, Copy, PartialEq)]
struct MapLine {
    /// `None` for the part above the current price, which is what it begins at.
    low: Option<f64>,
    is_above: bool,
    long_usd: f64,
    short_usd: f64,
    cumulative_long_usd: Option<f64>,
    cumulative_short_usd: Option<f64>,
}

/// Draws a map; see [`super::draw`].
pub(super) fn draw_map(map: &Map, options: &Options) -> Result<String, RenderError> {
    let (width, height) = options.size();
    let within = |row: &&MapRow| {
        let middle = (row.low + row.high) / 2.0;
        options.prices.is_none_or(|(low, high)| middle >= low && middle < high)
    };
    let rows: Vec<MapRow> = map.rows.iter().filter(within).copied().collect();
    let lowest = map.rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let highest = map.rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    if rows.iter().all(|row| row.long_usd + row.short_usd <= 0.0) {
        return Err(nothing_at_these_prices(lowest, highest, options.prices));
    }
    // Title, heading, the line of the current price and the one it may part, footer.
    let (lines, step) = map_lines(&rows, map.current, height - 5);
    let split = map.current.map(|_| lines.iter().filter(|line| line.is_above).count());

    let decimals = (0..=12).find(|&decimals| is_written_by(step, decimals)).unwrap_or(12);
    let label = |price: f64| axis::decimal(price, decimals);
    let current = map.current.map(|price| axis::decimal(price, decimals.max(axis::price_decimals(price))));
    let price_width = lines
        .iter()
        .filter_map(|line| line.low)
        .map(|low| label(low).chars().count())
        .chain(current.iter().map(|label| label.chars().count()))
        .chain([10])
        .max()
        .unwrap_or(10);
    const AMOUNT: usize = 8;
    const CUMULATIVE: usize = 11;
    let bar_start = price_width + 2;
    let bar_width = width.saturating_sub(bar_start + AMOUNT + CUMULATIVE);
    let max_usd = lines.iter().map(|line| line.long_usd + line.short_usd).fold(0.0, f64::max);
    let max_cumulative = lines
        .iter()
        .flat_map(|line| [line.cumulative_long_usd, line.cumulative_short_usd])
        .flatten()
        .fold(0.0, f64::max);

    let mut canvas = Canvas::new(width, height);
    let at = map.at_ms.map(|ms| format!("{} UTC", axis::instant(ms)));
    let estimated = "estimated".to_string();
    let title = first_that_fits(
        [
            [map.subject()].into_iter().chain(at).chain([estimated.clone()]).collect(),
            vec![map.subject(), estimated.clone()],
            vec![map.subject().replace("liquidation ", ""), estimated],
        ],
        width,
    );
    draw_title(&mut canvas, options, &title);
    let ink = Style::foreground(INK);
    canvas.text_before(price_width, 1, "price from", ink);
    let mut x = bar_start + draw_bar(&mut canvas, bar_start, 1, 1.0, SHORT, options.color);
    x = canvas.text(x, 1, " short above  ", ink);
    x += draw_bar(&mut canvas, x, 1, 1.0, LONG, options.color);
    x = canvas.text(x, 1, " long below  ", ink);
    if x + 12 < width - AMOUNT - CUMULATIVE {
        canvas.text(x, 1, "│ cumulative", Style::foreground(CURVE));
    }
    canvas.text_before(width - CUMULATIVE, 1, "notional", ink);
    canvas.text_before(width, 1, "cumulative", ink);

    let mut y = 2;
    for (index, line) in lines.iter().enumerate() {
        if split == Some(index) {
            draw_current_price(&mut canvas, y, price_width, current.as_deref(), width, options.color);
            y += 1;
        }
        if let Some(low) = line.low {
            canvas.text_before(price_width, y, &label(low), ink);
        }
        canvas.put(price_width + 1, y, '│', ink);
        let scaled = |usd: f64| usd / max_usd * bar_width as f64;
        let bars = if line.is_above {
            [(line.short_usd, SHORT), (line.long_usd, LONG)]
        } else {
            [(line.long_usd, LONG), (line.short_usd, SHORT)]
        };
        let mut bar = bar_start;
        for (usd, side) in bars {
            bar += draw_bar(&mut canvas, bar, y, scaled(usd), side, options.color);
        }
        let cumulative = if line.is_above { line.cumulative_short_usd } else { line.cumulative_long_usd };
        let cumulative = cumulative.or(line.cumulative_long_usd).or(line.cumulative_short_usd);
        let usd = line.long_usd + line.short_usd;
        if usd > 0.0 {
            canvas.text_before(width - CUMULATIVE, y, &axis::usd(usd), ink);
        }
        if let Some(cumulative) = cumulative {
            canvas.text_before(width, y, &axis::usd(cumulative), ink);
            let at = (cumulative / max_cumulative * bar_width as f64) as usize;
            let at = at.min(bar_width.saturating_sub(1));
            let under = if (at as f64) < scaled(usd).floor() { Some(bars[0].1) } else { None };
            let style = Style { background: under, ..Style::foreground(CURVE) };
            canvas.put(bar_start + at, y, '│', style);
        }
        y += 1;
    }
    if split == Some(lines.len()) {
        draw_current_price(&mut canvas, y, price_width, current.as_deref(), width, options.color);
        y += 1;
    }
    let footer = map_footer(&rows, step, decimals, map.ignored_rows, width);
    canvas.text(0, y, &footer, ink);
    let text = canvas.into_text(options.color);
    // Few buckets make a short picture: no blank lines below it.
    Ok(text.lines().take(y + 1).flat_map(|line| [line, "\n"]).collect())
}

fn is_written_by(step: f64, decimals: usize) -> bool {
    let scaled = step * 10f64.powi(decimals as i32);
    scaled >= 0.5 && (scaled - scaled.round()).abs() < 1e-6 * scaled
}

fn draw_current_price(
    canvas: &mut Canvas,
    y: usize,
    price_width: usize,
    label: Option<&str>,
    width: usize,
    depth: ColorDepth,
) {
    let Some(label) = label else { return };
    let highlight = Style { is_bold: true, ..Style::foreground(Rgb(0, 0, 0)).on(PRICE) };
    canvas.text_before(price_width, y, label, highlight);
    canvas.put(price_width + 1, y, '◄', Style::foreground(PRICE));
    for x in price_width + 2..width {
        canvas.put(x, y, if depth == ColorDepth::None { '-' } else { '╌' }, Style::foreground(INK));
    }
}

/// Lines of equal height from the highest price to the lowest, and that height. An amount is the sum over the line.
///
/// The line in which the current price lies is parted: shorts above it, longs below it.
fn map_lines(rows: &[MapRow], current: Option<f64>, most_lines: usize) -> (Vec<MapLine>, f64) {
    let low = rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    let bucket = rows.iter().map(|row| row.high - row.low).fold(f64::INFINITY, f64::min);
    // Lines begin at a multiple of their height. Edges are computed prices: a hair beyond a line is not a new line.
    let bounds = |step: f64| ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
    let step = line_step(bucket, |step| {
        let (first, end) = bounds(step);
        end - first <= most_lines as f64
    });
    let (first, end) = bounds(step);
    let count = ((end - first) as usize).clamp(1, most_lines.max(1));
    let mut lines: Vec<MapLine> = (0..count)
        .rev()
        .map(|index| {
            let low = (first + index as f64) * step;
            MapLine {
                low: Some(low),
                is_above: current.is_some_and(|price| low + step / 2.0 >= price),
                long_usd: 0.0,
                short_usd: 0.0,
                cumulative_long_usd: None,
                cumulative_short_usd: None,
            }
        })
        .collect();
    let largest = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    };
    for row in rows {
        let index = (((row.low + row.high) / 2.0 / step).floor() - first).clamp(0.0, (count - 1) as f64) as usize;
        let Some(line) = lines.get_mut(count - 1 - index) else {
            continue;
        };
        line.long_usd += row.long_usd;
        line.short_usd += row.short_usd;
        line.cumulative_long_usd = largest(line.cumulative_long_usd, row.cumulative_long_usd);
        line.cumulative_short_usd = largest(line.cumulative_short_usd, row.cumulative_short_usd);
    }
    let parted = current
        .and_then(|price| lines.iter().position(|line| line.low.is_some_and(|low| low < price && price < low + step)));
    if let Some(index) = parted
        && let Some(&line) = lines.get(index)
    {
        let above = MapLine { low: None, is_above: true, long_usd: 0.0, cumulative_long_usd: None, ..line };
        let below = MapLine { is_above: false, short_usd: 0.0, cumulative_short_usd: None, ..line };
        let parts = [(above.short_usd > 0.0).then_some(above), Some(below)];
        lines.splice(index..=index, parts.into_iter().flatten());
    }
    (lines, step)
}

/// The smallest round height that is a whole number of buckets and of which `fits` is true.
fn line_step(bucket: f64, fits: impl Fn(f64) -> bool) -> f64 {
    // Doubling stays whole whatever the bucket. A round height is preferred where it is no coarser.
    let mut doubled = bucket;
    while !fits(doubled) && doubled.is_finite() {
        doubled *= 2.0;
    }
    let is_whole = |step: f64| {
        let buckets = step / bucket;
        buckets >= 1.0 && (buckets - buckets.round()).abs() < 1e-6
    };
    let exponent = bucket.log10().floor() as i32;
    (exponent..=doubled.log10().floor() as i32)
        .flat_map(|exponent| [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0].map(|factor| factor * 10f64.powi(exponent)))
        .take_while(|&step| step <= doubled)
        .find(|&step| is_whole(step) && fits(step))
        .unwrap_or(doubled)
}

/// Draws the bar of a side and returns the characters it takes.
///
/// Eighths of a block show what a whole character cannot; without colour the sides differ by character.
fn draw_bar(canvas: &mut Canvas, x: usize, y: usize, length: f64, side: Rgb, depth: ColorDepth) -> usize {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if length <= 0.0 {
        return 0;
    }
    // What stands somewhere is seen, however short.
    let eighths = (length * 8.0).round().max(1.0) as usize;
    let (whole, part) = match depth {
        ColorDepth::None => (eighths.div_ceil(8), None),
        _ => (eighths / 8, (eighths % 8).checked_sub(1).and_then(|index| EIGHTHS.get(index))),
    };
    let full = match depth {
        ColorDepth::None if side == LONG => '=',
        ColorDepth::None => '#',
        _ => '█',
    };
    for column in x..x + whole {
        canvas.put(column, y, full, Style::foreground(side));
    }
    if let Some(&part) = part {
        canvas.put(x + whole, y, part, Style::foreground(side));
        return whole + 1;
    }
    whole
}

fn map_footer(rows: &[MapRow], step: f64, decimals: usize, ignored_rows: usize, width: usize) -> String {
    let long: f64 = rows.iter().map(|row| row.long_usd).sum();
    let short: f64 = rows.iter().map(|row| row.short_usd).sum();
    let sides = format!("longs {} · shorts {}", axis::usd(long), axis::usd(short));
    let line = format!("a line sums {} of price", axis::decimal(step, decimals));
    let mut most = vec![sides.clone(), line.clone()];
    if ignored_rows > 0 {
        most.push(format!("{} rows with nulls ignored", axis::count(ignored_rows)));
    }
    first_that_fits([most, vec![sides.clone(), line], vec![sides]], width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_map_are_whole_buckets_and_keep_the_sum() {
        let rows: Vec<MapRow> = (0..97)
            .map(|k| MapRow {
                low: 90_000.0 + 100.0 * f64::from(k),
                high: 90_100.0 + 100.0 * f64::from(k),
                long_usd: if k < 50 { 1.0 } else { 0.0 },
                short_usd: if k < 50 { 0.0 } else { 1.0 },
                cumulative_long_usd: None,
                cumulative_short_usd: None,
            })
            .collect();
        let (lines, step) = map_lines(&rows, Some(95_000.0), 20);
        assert_eq!(step, 500.0);
        assert_eq!(lines.len(), 20);
        assert_eq!(lines.iter().map(|line| line.long_usd + line.short_usd).sum::<f64>(), 97.0);
        assert!(lines.iter().all(|line| line.is_above == (line.short_usd > 0.0)));
        // Within a line the price parts the sides.
        let (lines, _) = map_lines(&rows, Some(95_020.0), 20);
        assert_eq!(lines.len(), 21);
        // Buckets that are not round are doubled.
        assert_eq!(line_step(0.7, |step| step > 2.0), 2.8);
    }
}

//! A map as horizontal bars: price from top to bottom, shorts above the current price, longs below it.
//!
//! Unlike the cells of a heatmap, the buckets of a line are summed: a bar is an amount in USD that stands between two
//! prices, and the amounts of all lines add up to the total in the footer.

use super::super::axis;
use super::super::color::{ColorDepth, Rgb};
use super::super::frame::{LayeredBy, Map, MapRow, NOT_STATED, PoolSide, ignored_label};
use super::super::{Options, RenderError, Screen, view};
use super::canvas::{Canvas, Style};
use super::title::{Title, heads};
use super::{HUES, INK, PRICE, blocks, draw_footer, footer, length};

/// The cumulative curves: the colours of their sides, brighter, so that they show on the bars.
const LONG_CURVE: Rgb = Rgb(255, 150, 150);
const SHORT_CURVE: Rgb = Rgb(120, 240, 180);
/// What the curve crosses is dimmed to this.
const UNDER_CURVE: f64 = 0.45;

/// Characters of the two columns of numbers.
const AMOUNT: usize = 8;
const CUMULATIVE: usize = 11;

/// One line of a map: whole buckets of price, or the part of them on one side of the current price.
#[derive(Debug, Clone, PartialEq)]
struct MapLine {
    /// `None` for the part above the current price, which is what it begins at.
    low: Option<f64>,
    is_above: bool,
    long: Amounts,
    short: Amounts,
    cumulative_long_usd: Option<f64>,
    cumulative_short_usd: Option<f64>,
}

/// The notional of one side.
#[derive(Debug, Clone, PartialEq, Default)]
struct Amounts {
    usd: f64,
    /// Its parts, beside the layers of the map.
    layers: Vec<f64>,
}

impl MapLine {
    fn usd(&self) -> f64 {
        self.long.usd + self.short.usd
    }

    /// What the curve has reached here, and its colour.
    fn cumulative(&self) -> Option<(f64, Rgb)> {
        let long = self.cumulative_long_usd.map(|usd| (usd, LONG_CURVE));
        let short = self.cumulative_short_usd.map(|usd| (usd, SHORT_CURVE));
        if self.is_above { short.or(long) } else { long.or(short) }
    }
}

/// How a part of a bar looks.
#[derive(Debug, Clone, PartialEq)]
struct Fill {
    name: String,
    color: Rgb,
    /// Without colour.
    character: char,
}

/// Draws a map; see [`super::draw`].
pub(super) fn draw(map: &Map, options: &Options, screen: Screen) -> Result<String, RenderError> {
    let size = screen.size();
    let (width, height) = size;
    let rows = view::rows_of_map(map, options)?;
    let heads = heads(&map.subject(), map.at_ms.map(|at| (at, at)));
    let title = Title::new(options, &heads, &map.origin, width);
    // Title, heading, the line of the current price and the one it may part, footer.
    let (mut lines, mut step) = map_lines(map, &rows, height.saturating_sub(5));
    let mut footer = map_footer(map, &rows, step, &title, size);
    if footer.len() > 1 {
        (lines, step) = map_lines(map, &rows, height.saturating_sub(4 + footer.len()));
        footer = map_footer(map, &rows, step, &title, size);
    }
    let split = map.current.map(|_| lines.iter().filter(|line| line.is_above).count());

    let decimals = axis::step_decimals(step);
    let label = |price: f64| axis::decimal(price, decimals);
    let current = map.current.map(|price| axis::decimal(price, decimals.max(axis::price_decimals(price))));
    let labels = lines.iter().filter_map(|line| line.low).map(|low| length(&label(low)));
    let price_width = labels.chain(current.iter().map(|label| length(label))).fold(10, usize::max);
    let bar_start = price_width + 2;
    let bar_width = width.saturating_sub(bar_start + AMOUNT + CUMULATIVE);
    let max_usd = lines.iter().map(MapLine::usd).fold(0.0, f64::max);
    let max_cumulative = lines.iter().filter_map(MapLine::cumulative).map(|(usd, _)| usd).fold(0.0, f64::max);

    let fills = fills(map);
    let mut canvas = Canvas::new(width, height);
    title.draw(&mut canvas);
    draw_heading(&mut canvas, &fills, price_width, width, screen.color);

    let mut y = 2;
    for (index, line) in lines.iter().enumerate() {
        if split == Some(index) {
            draw_current_price(&mut canvas, y, price_width, current.as_deref(), width, screen.color);
            y += 1;
        }
        let ink = Style::foreground(INK);
        if let Some(low) = line.low {
            canvas.text_before(price_width, y, &label(low), ink);
        }
        match pool_at(map, line, step) {
            Some(side) => canvas.put(price_width + 1, y, '┃', Style::foreground(HUES.side(side))),
            None => canvas.put(price_width + 1, y, '│', ink),
        }
        let under = draw_bar(&mut canvas, (bar_start, y), &parts(line, &fills, max_usd, bar_width), screen.color);
        let usd = line.usd();
        if usd > 0.0 {
            canvas.text_before(width.saturating_sub(CUMULATIVE), y, &axis::usd(usd), ink);
        }
        if let Some((cumulative, color)) = line.cumulative() {
            canvas.text_before(width, y, &axis::usd(cumulative), ink);
            let at = (cumulative / max_cumulative * bar_width as f64) as usize;
            let at = at.min(bar_width.saturating_sub(1));
            let under = under.get(at).copied().flatten().map(|under| under.dimmed(UNDER_CURVE));
            let character = if screen.color == ColorDepth::None { '│' } else { '┃' };
            canvas.put(bar_start + at, y, character, Style { background: under, ..Style::foreground(color) });
        }
        y += 1;
    }
    if split == Some(lines.len()) {
        draw_current_price(&mut canvas, y, price_width, current.as_deref(), width, screen.color);
        y += 1;
    }
    draw_footer(&mut canvas, y, &footer);
    let text = canvas.into_text(screen.color);
    // Few buckets make a short picture: no blank lines below it.
    Ok(text.lines().take(y + footer.len()).flat_map(|line| [line, "\n"]).collect())
}

/// The sides, or the layers.
fn fills(map: &Map) -> Vec<Fill> {
    // From the lightest to the heaviest.
    const CHARACTERS: [char; 8] = ['.', ':', '-', '+', '=', '*', '%', '#'];
    if map.layered_by == LayeredBy::Nothing || map.layers.is_empty() {
        let side = |name: &str, color, character| Fill { name: name.to_owned(), color, character };
        return vec![side("short above", HUES.short, '#'), side("long below", HUES.long, '=')];
    }
    let count = map.layers.iter().filter(|layer| layer.name != NOT_STATED).count();
    let character = |index: usize| {
        let last = CHARACTERS.len() - 1;
        let position = if count > CHARACTERS.len() { index % (last + 1) } else { index * last / (count - 1).max(1) };
        CHARACTERS.get(position).copied().unwrap_or('#')
    };
    let layers = map.layers.iter().zip(HUES.layers(map)).enumerate();
    layers
        .map(|(index, (layer, color))| {
            let character = if layer.name == NOT_STATED { '?' } else { character(index) };
            Fill { name: layer.name.clone(), color, character }
        })
        .collect()
}

/// The parts of a line's bar with their lengths in characters.
fn parts<'a>(line: &MapLine, fills: &'a [Fill], max_usd: f64, bar_width: usize) -> Vec<(f64, &'a Fill)> {
    let scaled = |usd: f64| usd / max_usd * bar_width as f64;
    let (near, far) = if line.is_above { (&line.short, &line.long) } else { (&line.long, &line.short) };
    if near.layers.is_empty() && far.layers.is_empty() {
        let [short, long] = fills else { return Vec::new() };
        let sides = if line.is_above { [short, long] } else { [long, short] };
        let amounts = [near.usd, far.usd].into_iter().zip(sides);
        return amounts.filter(|(usd, _)| *usd > 0.0).map(|(usd, fill)| (scaled(usd), fill)).collect();
    }
    let layers = fills.iter().enumerate().map(|(index, fill)| {
        let of = |side: &Amounts| side.layers.get(index).copied().unwrap_or(0.0);
        (scaled(of(near) + of(far)), fill)
    });
    layers.filter(|(length, _)| *length > 0.0).collect()
}

/// The heading of the columns, and what the colours of the bars are.
fn draw_heading(canvas: &mut Canvas, fills: &[Fill], price_width: usize, width: usize, depth: ColorDepth) {
    let ink = Style::foreground(INK);
    canvas.text_before(price_width, 1, "price from", ink);
    let end = width.saturating_sub(AMOUNT + CUMULATIVE);
    let mut x = price_width + 2;
    for (index, fill) in fills.iter().enumerate() {
        let is_last = index + 1 == fills.len();
        if x + 2 + length(&fill.name) + if is_last { 0 } else { 2 } >= end {
            if x + 1 < end {
                canvas.text(x, 1, "…", ink);
            }
            x = end;
            break;
        }
        let glyph = if depth == ColorDepth::None { fill.character } else { '█' };
        canvas.put(x, 1, glyph, Style::foreground(fill.color));
        x = canvas.text(x + 2, 1, &fill.name, ink) + 2;
    }
    const CURVES: &str = "│ cumulative";
    if x + length(CURVES) < end {
        canvas.text(x, 1, CURVES, ink);
    }
    canvas.text_before(width.saturating_sub(CUMULATIVE), 1, "notional", ink);
    canvas.text_before(width, 1, "cumulative", ink);
}

/// The side of the pool that lies in a line.
fn pool_at(map: &Map, line: &MapLine, step: f64) -> Option<PoolSide> {
    let low = line.low.or(map.current)?;
    let high = line.low.map_or(low, |low| low + step);
    let pool = map.pools.iter().find(|pool| {
        let middle = (low + high) / 2.0;
        (pool.low..pool.high).contains(&middle) || (low..high).contains(&pool.price)
    });
    pool.map(|pool| pool.side)
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
fn map_lines(map: &Map, rows: &[usize], most_lines: usize) -> (Vec<MapLine>, f64) {
    let chosen = || rows.iter().filter_map(|&index| map.rows.get(index).map(|row| (index, row)));
    let low = chosen().map(|(_, row)| row.low).fold(f64::INFINITY, f64::min);
    let high = chosen().map(|(_, row)| row.high).fold(f64::NEG_INFINITY, f64::max);
    let bucket = chosen().map(|(_, row)| row.high - row.low).fold(f64::INFINITY, f64::min);
    // Lines begin at a multiple of their height. Edges are computed prices: a hair beyond a line is not a new line.
    let bounds = |step: f64| ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
    let step = line_step(bucket, |step| {
        let (first, end) = bounds(step);
        end - first <= most_lines as f64
    });
    let (first, end) = bounds(step);
    let count = ((end - first) as usize).clamp(1, most_lines.max(1));
    let none = Amounts { usd: 0.0, layers: vec![0.0; map.layers.len()] };
    let mut lines: Vec<MapLine> = (0..count)
        .rev()
        .map(|index| {
            let low = (first + index as f64) * step;
            MapLine {
                low: Some(low),
                is_above: map.current.is_some_and(|price| low + step / 2.0 >= price),
                long: none.clone(),
                short: none.clone(),
                cumulative_long_usd: None,
                cumulative_short_usd: None,
            }
        })
        .collect();
    let largest = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    };
    for (row_index, row) in chosen() {
        let index = (((row.low + row.high) / 2.0 / step).floor() - first).clamp(0.0, (count - 1) as f64) as usize;
        let Some(line) = lines.get_mut(count - 1 - index) else {
            continue;
        };
        add(&mut line.long, map, row_index, row.long_usd, row);
        add(&mut line.short, map, row_index, row.short_usd, row);
        line.cumulative_long_usd = largest(line.cumulative_long_usd, row.cumulative_long_usd);
        line.cumulative_short_usd = largest(line.cumulative_short_usd, row.cumulative_short_usd);
    }
    let parted = map
        .current
        .and_then(|price| lines.iter().position(|line| line.low.is_some_and(|low| low < price && price < low + step)));
    if let Some(index) = parted
        && let Some(line) = lines.get(index).cloned()
    {
        let above =
            MapLine { low: None, is_above: true, long: none.clone(), cumulative_long_usd: None, ..line.clone() };
        let below = MapLine { is_above: false, short: none, cumulative_short_usd: None, ..line };
        let parts = [(above.short.usd > 0.0).then_some(above), Some(below)];
        lines.splice(index..=index, parts.into_iter().flatten());
    }
    (lines, step)
}

/// Adds one side of a row. Layers do not tell the sides apart: a row that has both, which is the one of the current price,
/// is shared out in proportion.
fn add(side: &mut Amounts, map: &Map, index: usize, usd: f64, row: &MapRow) {
    side.usd += usd;
    let whole = row.long_usd + row.short_usd;
    if whole <= 0.0 {
        return;
    }
    for (sum, layer) in side.layers.iter_mut().zip(&map.layers) {
        *sum += layer.usd.get(index).copied().unwrap_or(0.0) * (usd / whole);
    }
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

/// Draws the parts of a bar from `x` on, and returns the colour of each character it takes.
///
/// Eighths of a block show what a whole character cannot; without colour the parts differ by character.
fn draw_bar(canvas: &mut Canvas, at: (usize, usize), parts: &[(f64, &Fill)], depth: ColorDepth) -> Vec<Option<Rgb>> {
    let (x, y) = at;
    let resolution = if depth == ColorDepth::None { 1 } else { 8 };
    let mut sum = 0.0;
    let mut end = 0;
    let mut ends: Vec<(usize, &Fill)> = Vec::with_capacity(parts.len());
    for (length, fill) in parts {
        sum += length;
        let rounded = (sum * resolution as f64).round() as usize;
        // Of a few parts each is seen, however short.
        end = if parts.len() <= 2 { rounded.max(end + 1) } else { rounded.max(end) };
        ends.push((end, fill));
    }
    if depth == ColorDepth::None {
        // A character that is begun is drawn.
        end = end.max(((sum * 8.0).round() as usize).div_ceil(8));
    }
    if let Some(last) = ends.last_mut() {
        last.0 = end.max(1);
        end = last.0;
    }
    let fill_at = |part: usize| ends.iter().find(|(end, _)| part < *end).map(|(_, fill)| *fill);
    let mut colors = Vec::new();
    for column in 0..end.div_ceil(resolution) {
        if depth == ColorDepth::None {
            let Some(fill) = fill_at(column) else { continue };
            canvas.put(x + column, y, fill.character, Style::PLAIN);
            colors.push(Some(fill.color));
        } else {
            let parts: [Option<Rgb>; 8] = std::array::from_fn(|part| fill_at(column * 8 + part).map(|fill| fill.color));
            let (character, style) = blocks::from_left(parts);
            canvas.put(x + column, y, character, style);
            let [_, _, _, middle, ..] = parts;
            colors.push(middle);
        }
    }
    colors
}

fn map_footer(map: &Map, rows: &[usize], step: f64, title: &Title, size: (usize, usize)) -> Vec<String> {
    let sum = |of: fn(&MapRow) -> f64| -> f64 { rows.iter().filter_map(|&index| map.rows.get(index)).map(of).sum() };
    let sides = vec![
        format!("longs {}", axis::usd(sum(|row| row.long_usd))),
        format!("shorts {}", axis::usd(sum(|row| row.short_usd))),
    ];
    let line = format!("a line sums {} of price", axis::step(step));
    let with_line = [sides.as_slice(), &[line]].concat();
    let most = with_line.iter().cloned().chain(ignored_label(map.ignored_rows)).collect();
    let more: Vec<String> = map.origin.coverage.iter().cloned().collect();
    footer(&[most, with_line, sides], &more, title, size)
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::*;

    fn map() -> Map {
        let rows: Vec<MapRow> = (0..97)
            .map(|k| MapRow {
                low: 90_000.0 + 100.0 * f64::from(k),
                high: 90_100.0 + 100.0 * f64::from(k),
                long_usd: if k < 50 { 1.0 } else { 0.0 },
                short_usd: if k < 50 { 0.0 } else { 1.0 },
                cumulative_long_usd: (k < 50).then_some(50.0 - f64::from(k)),
                cumulative_short_usd: (k >= 50).then_some(f64::from(k) - 49.0),
            })
            .collect();
        Map { current: Some(95_000.0), ..samples::map(rows) }
    }

    fn layered(layered_by: LayeredBy) -> Map {
        samples::layered(map(), layered_by, &[("5x", 0.25), ("20x", 0.25), ("100x", 0.5)])
    }

    #[test]
    fn lines_of_a_map_are_whole_buckets_and_keep_the_sum() {
        let rows: Vec<usize> = (0..97).collect();
        let (lines, step) = map_lines(&map(), &rows, 20);
        assert_eq!(step, 500.0);
        assert_eq!(lines.len(), 20);
        assert_eq!(lines.iter().map(MapLine::usd).sum::<f64>(), 97.0);
        assert!(lines.iter().all(|line| line.is_above == (line.short.usd > 0.0)));
        // Within a line the price parts the sides.
        let (lines, _) = map_lines(&Map { current: Some(95_020.0), ..map() }, &rows, 20);
        assert_eq!(lines.len(), 21);
        // Buckets that are not round are doubled.
        assert_eq!(line_step(0.7, |step| step > 2.0), 2.8);
    }

    #[test]
    fn layers_are_parts_of_their_side() {
        let mut map = layered(LayeredBy::Leverage);
        // The bucket of the current price has both sides.
        map.rows[50].long_usd = 3.0;
        map.current = Some(95_020.0);
        let rows: Vec<usize> = (0..97).collect();
        let (lines, _) = map_lines(&map, &rows, 20);
        let below = lines.iter().find(|line| !line.is_above).unwrap();
        assert_eq!(below.long, Amounts { usd: 3.0, layers: vec![0.1875, 0.1875, 0.375] });
    }

    #[test]
    fn without_colour_layers_differ_by_character() {
        let screen = Screen { width: 80, height: 24, color: ColorDepth::None };
        let picture = draw(&layered(LayeredBy::Exchange), &Options::default(), screen).unwrap();
        assert!(picture.contains(". 5x  + 20x  # 100x  │ cumulative"), "{picture}");
        assert!(picture.contains("............+++++++++++++"), "{picture}");
    }

    #[test]
    fn what_is_not_stated_has_a_mark_of_its_own() {
        let mut map = layered(LayeredBy::Leverage);
        map.layers[2].name = NOT_STATED.to_owned();
        let screen = Screen { width: 80, height: 24, color: ColorDepth::None };
        let picture = draw(&map, &Options::default(), screen).unwrap();
        assert!(picture.contains(". 5x  # 20x  ? not stated  │ cumulative"), "{picture}");
        assert!(picture.contains("............#############??????????"), "{picture}");
    }

    #[test]
    fn a_bar_of_layers_has_their_colours_and_eighths() {
        let fill = |color| Fill { name: String::new(), color, character: '#' };
        let (blue, red) = (fill(Rgb(0, 0, 255)), fill(Rgb(255, 0, 0)));
        let mut canvas = Canvas::new(4, 1);
        let colors = draw_bar(&mut canvas, (0, 0), &[(1.5, &blue), (1.25, &red)], ColorDepth::TrueColor);
        assert_eq!(colors, [Some(blue.color), Some(blue.color), Some(red.color)]);
        let text = canvas.into_text(ColorDepth::TrueColor);
        assert_eq!(text, "\x1b[38;2;0;0;255m█\x1b[48;2;255;0;0m▌\x1b[0m\x1b[38;2;255;0;0m▊\x1b[0m\n",);
    }

    #[test]
    fn odd_prices_and_amounts_stay_within_the_screen() {
        for (factor, usd) in [(1e-13, 1e24), (1e9, 1e-8)] {
            let mut map = layered(LayeredBy::Leverage);
            for row in &mut map.rows {
                (row.low, row.high) = (row.low * factor, row.high * factor);
                (row.long_usd, row.cumulative_long_usd) = (row.long_usd * usd, Some(usd));
            }
            map.current = None;
            for (width, height) in [(40, 12), (80, 24), (200, 60)] {
                for color in [ColorDepth::None, ColorDepth::TrueColor] {
                    let picture = draw(&map, &Options::default(), Screen { width, height, color }).unwrap();
                    assert!(picture.lines().count() <= usize::from(height), "{picture}");
                    let is_within = picture.lines().all(|line| length(line) <= usize::from(width));
                    assert!(is_within || color != ColorDepth::None, "{picture}");
                }
            }
        }
    }

    #[test]
    fn curves_have_the_colours_of_their_sides() {
        let picture = draw(&map(), &Options::default(), Screen::default()).unwrap();
        let color = |color: Rgb| format!("38;2;{};{};{}m", color.0, color.1, color.2);
        let (above, below) = picture.split_once("95,000.0").unwrap();
        assert!(above.contains(&color(SHORT_CURVE)) && !above.contains(&color(LONG_CURVE)), "{picture}");
        assert!(below.contains(&color(LONG_CURVE)) && !below.contains(&color(SHORT_CURVE)), "{picture}");
    }
}

//! Panels above each other with one x axis: lines as braille dots, bars as blocks from the zero line.
//!
//! ```text
//! USD  ━ long_usd $1.2B  ━ short_usd $900M     the legend of a panel, with the last values
//! ⣀⡠⠤⠒⠒⠉⠉⠉⠒⠒⠤⢄⣀                    ┤  $1.2B
//!              ⠉⠒⠢⠤⠔⠒⠉⠉⠉⠒⠤⣀⡀     │
//! funding_rate  █ funding_rate 0.01 %
//! ▁▂▃▄▅▆▇█▇▆▅▄▃▂▁                 ┤ 0.01 %
//! ──┴──────────┴──────────┴───────┘
//! Feb 10     Feb 17     Feb 24      UTC
//! ```

use super::super::axis::{self, TimeLabel};
use super::super::color::{ColorDepth, Rgb};
use super::super::frame::{Chart, ChartX, Panel, Point, Series, SeriesMark, Unit};
use super::super::{Options, RenderError, Screen};
use super::blocks::{self, Dots};
use super::canvas::{Canvas, Style};
use super::title::{Title, heads};
use super::{FAINT, HUES, INK, TWO_LINE_FOOTER, draw_footer, draw_x_axis, footer, length, shortened};

/// A legend and four lines: less shows nothing.
const LEAST_PANEL: usize = 5;
const HOUR: f64 = 3.6e6;

/// Draws a chart of lines and bars; see [`super::draw`].
pub(super) fn draw(chart: &Chart, options: &Options, screen: Screen) -> Result<String, RenderError> {
    let size = screen.size();
    let (width, height) = size;
    let Some(x_axis) = XAxis::of(chart) else {
        return Err(RenderError::Empty { reason: "no series has a number".to_owned() });
    };
    let instants = (chart.x == ChartX::Time).then_some((x_axis.first as i64, x_axis.last as i64));
    let title = Title::new(options, &heads(&chart.subject, instants), &chart.origin, width);
    // Title, x axis and its labels, footer.
    let most_lines = height.saturating_sub(3 + if height >= TWO_LINE_FOOTER { 2 } else { 1 });
    let count = chart.panels.len().min((most_lines / LEAST_PANEL).max(1));
    let left_out = chart.panels.get(count..).unwrap_or_default();
    let footer = chart_footer(chart, left_out, &title, size);
    let lines = height.saturating_sub(3 + footer.len());
    let heights = (0..count).map(|index| lines / count.max(1) + usize::from(index < lines % count.max(1)));
    let panels: Vec<(&Panel, Legend, YScale, usize)> = chart
        .panels
        .iter()
        .zip(heights)
        .map(|(panel, lines)| {
            let legend = Legend::new(panel, width, lines);
            let lines = lines.saturating_sub(legend.lines.len()).max(1);
            (panel, legend, YScale::of(panel, lines), lines)
        })
        .collect();
    let labels = panels.iter().flat_map(|(_, _, scale, _)| &scale.ticks).map(|(_, label)| length(label)).max();
    let columns = width.saturating_sub(labels.unwrap_or(0) + 3).max(1);

    let mut canvas = Canvas::new(width, height);
    title.draw(&mut canvas);
    let mut top = 1;
    for (panel, legend, scale, lines) in &panels {
        legend.draw(&mut canvas, panel, top, screen.color);
        top += legend.lines.len();
        let plot = Plot { top, lines: *lines, columns, x_axis, scale, depth: screen.color };
        plot.draw(&mut canvas, panel);
        top += lines;
    }
    let (ticks, unit) = x_axis.labels(&chart.x, columns);
    draw_x_axis(&mut canvas, &ticks, columns, top, unit);
    draw_footer(&mut canvas, top + 2, &footer);
    Ok(canvas.into_text(screen.color))
}

/// What a reader must know that the panels do not show.
pub(super) fn chart_footer(chart: &Chart, left_out: &[Panel], title: &Title, size: (usize, usize)) -> Vec<String> {
    let mut notes = Vec::new();
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|panel| panel.title.as_str()).collect();
        notes.push(format!("no room for: {}", names.join(", ")));
    }
    notes.extend(chart.notes.iter().cloned());
    let fewer = notes.get(..1).unwrap_or_default().to_vec();
    let more: Vec<String> = chart.origin.coverage.iter().cloned().collect();
    footer(&[notes, fewer], &more, title, size)
}

/// The first and last x, and where the axis ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct XAxis {
    first: f64,
    last: f64,
    end: f64,
    /// Whether each x is a whole number.
    is_whole: bool,
}

impl XAxis {
    fn of(chart: &Chart) -> Option<Self> {
        let series = || chart.panels.iter().flat_map(|panel| &panel.series);
        let xs = || series().flat_map(drawn).map(|point| point.x);
        let (first, last) = xs().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if first > last {
            return None;
        }
        // A bar covers the time from its instant to the next.
        let bars = series().filter(|series| series.mark == SeriesMark::Bar);
        let step = bars.filter_map(smallest_step).fold(0.0, f64::max);
        let least = if chart.x == ChartX::Time { HOUR } else { 1.0 };
        let end = if last + step > first { last + step } else { first + least.max(first.abs() * 1e-6) };
        Some(Self { first, last, end, is_whole: xs().all(|x| x == x.trunc()) })
    }

    /// 0..=1 from the left.
    fn share(self, x: f64) -> f64 {
        ((x - self.first) / (self.end - self.first)).clamp(0.0, 1.0)
    }

    /// The labels, and what they count.
    fn labels(self, x: &ChartX, columns: usize) -> (Vec<TimeLabel>, &str) {
        let name = match x {
            ChartX::Time => return (axis::time_labels(self.first as i64, self.end as i64, columns), "UTC"),
            ChartX::Number(name) => name.as_str(),
            ChartX::Value => "",
        };
        let least = (self.end - self.first) / columns as f64 * 8.0;
        (number_labels(self.first, self.end, if self.is_whole { least.max(1.0) } else { least }, columns), name)
    }
}

/// Labels at multiples of a round number on an axis of plain numbers. Where one does not fit it is left out.
pub(super) fn number_labels(low: f64, high: f64, least: f64, columns: usize) -> Vec<TimeLabel> {
    let (step, decimals) = axis::round_step(least);
    let mut labels: Vec<TimeLabel> = Vec::new();
    for value in axis::multiples(low, high, step) {
        let text = tick_text(Unit::Number, value, decimals);
        let tick = ((value - low) / (high - low) * columns as f64) as usize;
        let tick = tick.min(columns.saturating_sub(1));
        let start = tick.saturating_sub(length(&text) / 2).min(columns.saturating_sub(length(&text)));
        if labels.last().is_none_or(|last| last.start + length(&last.text) < start) {
            labels.push(TimeLabel { ms: 0, tick, start, text });
        }
    }
    labels
}

/// The points that have a place, by x.
fn drawn(series: &Series) -> impl Iterator<Item = &Point> {
    series.points.iter().filter(|point| point.is_drawn())
}

fn smallest_step(series: &Series) -> Option<f64> {
    let xs: Vec<f64> = drawn(series).map(|point| point.x).collect();
    xs.iter().zip(xs.iter().skip(1)).map(|(a, b)| b - a).filter(|step| *step > 0.0).reduce(f64::min)
}

/// The values of a panel's lower and upper edge, and its labels.
#[derive(Debug, Clone, PartialEq)]
struct YScale {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl YScale {
    fn of(panel: &Panel, lines: usize) -> Self {
        let has_bars = panel.series.iter().any(|series| series.mark == SeriesMark::Bar);
        let (mut low, mut high) = panel
            .series
            .iter()
            .flat_map(drawn)
            .map(|point| point.y)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Bars begin at zero. Amounts that come near it are shown in proportion to each other.
        let is_near_zero = low > 0.0 && low < high * 0.4;
        if has_bars || panel.unit == Unit::Usd && is_near_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let margin = if high == 0.0 { 1.0 } else { high.abs() * 0.05 };
            (low, high) = (low - margin, high + margin);
        } else {
            let margin = (high - low) * 0.03;
            let widened = (low - margin, high + margin);
            (low, high) = (if low == 0.0 { low } else { widened.0 }, if high == 0.0 { high } else { widened.1 });
        }
        if has_bars && low < 0.0 && high > 0.0 && lines > 1 {
            // Zero lies between two lines, so that bars are whole on both sides of it.
            let below = (-low / (high - low) * lines as f64).round().clamp(1.0, lines as f64 - 1.0);
            let unit = (-low / below).max(high / (lines as f64 - below));
            (low, high) = (-unit * below, unit * (lines as f64 - below));
        }
        Self { low, high, ticks: ticks(panel.unit, low, high, lines) }
    }

    /// From the upper edge down, in parts of which the panel has `parts`.
    fn position(&self, value: f64, parts: usize) -> f64 {
        (self.high - value) / (self.high - self.low) * parts as f64
    }

    fn index(&self, value: f64, parts: usize) -> usize {
        // A hair of rounding must not move zero, which lies between two lines, to the upper one.
        ((self.position(value, parts) + 1e-9).max(0.0) as usize).min(parts.saturating_sub(1))
    }
}

/// Round values with labels that differ: some lines apart, closer where that would leave but one.
fn ticks(unit: Unit, low: f64, high: f64, lines: usize) -> Vec<(f64, String)> {
    let line = (high - low) / lines as f64;
    let spacings = [if lines < 12 { 2.0 } else { 3.0 }, 1.5, 1.0];
    let candidates = spacings.map(|spacing| ticks_apart(unit, low, high, line * spacing));
    let sufficient = candidates.iter().find(|ticks| ticks.len() > 1).or(candidates.first());
    sufficient.cloned().unwrap_or_default()
}

fn ticks_apart(unit: Unit, low: f64, high: f64, least: f64) -> Vec<(f64, String)> {
    let mut least = least;
    for _ in 0..8 {
        let (step, decimals) = axis::round_step(least);
        let labels: Vec<(f64, String)> = axis::multiples(low, high, step)
            .into_iter()
            .map(|value| (value, tick_text(unit, value, decimals)))
            .collect();
        if labels.iter().zip(labels.iter().skip(1)).all(|(a, b)| a.1 != b.1) {
            return labels;
        }
        // Money is written in three digits: values that are closer than those share a label.
        least = step * 1.01;
    }
    Vec::new()
}

fn tick_text(unit: Unit, value: f64, decimals: usize) -> String {
    const LONGEST: usize = 14;
    let text = match unit {
        Unit::Usd | Unit::Percent => unit.text(value),
        Unit::Price | Unit::Number => axis::decimal(value, decimals),
    };
    if length(&text) <= LONGEST { text } else { format!("{value:.1e}") }
}

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    color: Rgb,
    /// Without colour: the letter of a line, or what a bar is filled with.
    character: char,
}

/// A line that needs no letter to be told apart.
const ONLY_LINE: char = '━';

fn looks(panel: &Panel) -> Vec<Look> {
    const LETTERS: [char; 12] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];
    const FILLS: [char; 8] = ['#', '=', '+', ':', '%', '*', '-', '.'];
    let mut bars = 0;
    let has_one_line = panel.series.iter().filter(|series| series.mark != SeriesMark::Bar).count() == 1;
    panel
        .series
        .iter()
        .zip(HUES.series(panel))
        .enumerate()
        .map(|(index, (series, color))| {
            let character = if series.mark == SeriesMark::Bar {
                bars += 1;
                FILLS.iter().cycle().nth(bars - 1)
            } else if has_one_line {
                Some(&ONLY_LINE)
            } else {
                LETTERS.iter().cycle().nth(index)
            };
            Look { color, character: character.copied().unwrap_or('*') }
        })
        .collect()
}

/// The name of a panel and of its series, with their last values where there is room.
#[derive(Debug, Clone, PartialEq)]
struct Legend {
    title: String,
    /// Line by line: the position of a series and its text.
    lines: Vec<Vec<(usize, String)>>,
    /// Series without room.
    left_out: usize,
}

impl Legend {
    /// A legend may take a fifth of its panel.
    fn new(panel: &Panel, width: usize, panel_lines: usize) -> Self {
        let most_lines = (panel_lines / LEAST_PANEL).max(1);
        // One line that is named as its panel needs its name once.
        let is_named_twice = matches!(panel.series.as_slice(), [only] if only.name == panel.title);
        let title = if is_named_twice { String::new() } else { shortened(&panel.title, width / 2) };
        let with_values = Self::laid_out(panel, &title, width, most_lines, true);
        if with_values.left_out == 0 { with_values } else { Self::laid_out(panel, &title, width, most_lines, false) }
    }

    fn laid_out(panel: &Panel, title: &str, width: usize, most_lines: usize, with_values: bool) -> Self {
        const MORE: usize = 10;
        let start = if title.is_empty() { 0 } else { length(title) + 2 };
        let count = panel.series.len();
        let mut legend = Self { title: title.to_owned(), lines: vec![Vec::new()], left_out: 0 };
        let mut x = start;
        for (index, series) in panel.series.iter().enumerate() {
            let last = drawn(series).last().filter(|_| with_values);
            let value = last.map(|point| format!(" {}", panel.unit.text(point.y))).unwrap_or_default();
            let text = series.name.clone() + &value;
            let is_full = legend.lines.len() == most_lines;
            let reserved = if is_full && index + 1 < count { MORE } else { 0 };
            if x > start && x + 2 + length(&text) + reserved > width {
                if is_full {
                    legend.left_out = count - index;
                    return legend;
                }
                legend.lines.push(Vec::new());
                x = start;
            }
            let text = shortened(&text, width.saturating_sub(x + 2));
            x += length(&text) + 4;
            if let Some(line) = legend.lines.last_mut() {
                line.push((index, text));
            }
        }
        legend
    }

    fn draw(&self, canvas: &mut Canvas, panel: &Panel, top: usize, depth: ColorDepth) {
        let looks = looks(panel);
        let ink = Style::foreground(INK);
        let title = canvas.text(0, top, &self.title, Style::BOLD);
        let start = if title == 0 { 0 } else { title + 2 };
        for (line, items) in self.lines.iter().enumerate() {
            let mut x = start;
            for (index, text) in items {
                let (Some(series), Some(look)) = (panel.series.get(*index), looks.get(*index)) else { continue };
                let glyph = match (depth, series.mark) {
                    (ColorDepth::None, _) => look.character,
                    (_, SeriesMark::Bar) => '█',
                    (_, SeriesMark::Line | SeriesMark::Interval) => ONLY_LINE,
                };
                canvas.put(x, top + line, glyph, Style::foreground(look.color));
                x = canvas.text(x + 2, top + line, text, ink) + 2;
            }
            if self.left_out > 0 && line + 1 == self.lines.len() {
                canvas.text(x, top + line, &format!("+{} more", self.left_out), ink);
            }
        }
    }
}

/// A bar within one column: from zero to a value.
#[derive(Debug, Clone, Copy)]
struct Bar {
    value: f64,
    look: Look,
}

/// Where a panel is drawn.
#[derive(Debug, Clone, Copy)]
struct Plot<'a> {
    top: usize,
    lines: usize,
    columns: usize,
    x_axis: XAxis,
    scale: &'a YScale,
    depth: ColorDepth,
}

impl Plot<'_> {
    fn draw(self, canvas: &mut Canvas, panel: &Panel) {
        let looks = looks(panel);
        self.draw_axis(canvas);
        let bars = self.draw_bars(canvas, panel, &looks);
        let mut dots = Dots::new(self.columns, self.lines);
        for (series, look) in panel.series.iter().zip(&looks).filter(|(series, _)| series.mark != SeriesMark::Bar) {
            self.trace(&mut dots, series, *look);
        }
        for (x, y, character, color) in dots.characters() {
            let under = bars.get(x * self.lines + y).copied().flatten().map(|color| color.dimmed(0.45));
            canvas.put(x, self.top + y, character, Style { background: under, ..Style::foreground(color) });
        }
        for (index, (series, look)) in panel.series.iter().zip(&looks).enumerate() {
            self.draw_marks(canvas, series, *look, index);
        }
    }

    fn draw_axis(self, canvas: &mut Canvas) {
        let ink = Style::foreground(INK);
        for line in 0..self.lines {
            canvas.put(self.columns, self.top + line, '│', ink);
        }
        let width = self.scale.ticks.iter().map(|(_, label)| length(label)).max().unwrap_or(0);
        let mut last = None;
        for (value, label) in self.scale.ticks.iter().rev() {
            let line = self.scale.index(*value, self.lines);
            if last == Some(line) {
                continue;
            }
            last = Some(line);
            canvas.put(self.columns, self.top + line, '┤', ink);
            canvas.text_before(self.columns + 2 + width, self.top + line, label, ink);
            if self.depth != ColorDepth::None {
                for x in 0..self.columns {
                    canvas.put(x, self.top + line, '┈', Style::foreground(FAINT));
                }
            }
        }
    }

    /// Draws the bars, and returns the colour of each character they fill.
    fn draw_bars(self, canvas: &mut Canvas, panel: &Panel, looks: &[Look]) -> Vec<Option<Rgb>> {
        let mut filled = vec![None; self.columns * self.lines];
        let count = panel.series.iter().filter(|series| series.mark == SeriesMark::Bar).count();
        if count == 0 {
            return filled;
        }
        let mut columns: Vec<Vec<Bar>> = vec![Vec::new(); self.columns];
        let bars = panel.series.iter().zip(looks).filter(|(series, _)| series.mark == SeriesMark::Bar);
        for (position, (series, look)) in bars.enumerate() {
            // Where several points share a column the largest is drawn.
            let mut values: Vec<Option<f64>> = vec![None; self.columns];
            let step = smallest_step(series).unwrap_or(self.x_axis.end - self.x_axis.first);
            let has_gaps = step / (self.x_axis.end - self.x_axis.first) * self.columns as f64 >= 2.0;
            for point in drawn(series) {
                let column = |x: f64| (self.x_axis.share(x) * self.columns as f64).round() as usize;
                let (from, end) = (column(point.x).min(self.columns.saturating_sub(1)), column(point.x + step));
                let width = end.saturating_sub(from).max(1);
                // A free column to the next bar, if there is room; bars beside each other, if each has its column.
                let width = if has_gaps { (width - 1).max(1) } else { width };
                let each = width / count;
                let (from, width) = if each >= 1 { (from + position * each, each) } else { (from, width) };
                for value in values.iter_mut().skip(from).take(width) {
                    if value.is_none_or(|value| value.abs() < point.y.abs()) {
                        *value = Some(point.y);
                    }
                }
            }
            for (column, value) in columns.iter_mut().zip(values) {
                column.extend(value.filter(|value| *value != 0.0).map(|value| Bar { value, look: *look }));
            }
        }
        for (x, mut bars) in columns.into_iter().enumerate() {
            // The shorter ones stand before the longer ones.
            bars.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
            let parts = self.parts(&bars);
            for (y, cell) in parts.chunks(8).rev().enumerate() {
                let looks: [Option<Look>; 8] = std::array::from_fn(|part| cell.get(part).copied().flatten());
                let [_, _, _, middle, ..] = looks;
                if looks.iter().all(Option::is_none) {
                    continue;
                }
                let (character, style) = if self.depth == ColorDepth::None {
                    // What is begun at the zero line is drawn.
                    let begun = middle.or(looks.iter().flatten().next().copied());
                    (begun.map_or(' ', |look| look.character), Style::PLAIN)
                } else {
                    blocks::from_below(looks.map(|look| look.map(|look| look.color)))
                };
                canvas.put(x, self.top + y, character, style);
                if let Some(filled) = filled.get_mut(x * self.lines + y) {
                    *filled = middle.map(|look| look.color);
                }
            }
        }
        filled
    }

    /// The eighths of a column from the lowest up.
    fn parts(self, bars: &[Bar]) -> Vec<Option<Look>> {
        let count = self.lines * 8;
        let mut parts = vec![None; count];
        let from_below = |value: f64| {
            let position = count as f64 - self.scale.position(value, count);
            (position.round().max(0.0) as usize).min(count)
        };
        let zero = from_below(0.0);
        for bar in bars {
            // However small, it is seen.
            let range = match from_below(bar.value) {
                end if bar.value > 0.0 => zero.min(count - 1)..end.max(zero + 1).min(count),
                end => end.min(zero.saturating_sub(1))..zero.max(1),
            };
            parts.get_mut(range).unwrap_or_default().fill(Some(bar.look));
        }
        parts
    }

    /// Draws a line as dots.
    fn trace(self, dots: &mut Dots, series: &Series, look: Look) {
        let (across, down) = dots.size();
        let at = |x: f64, y: f64| {
            let x = (self.x_axis.share(x) * across as f64) as usize;
            (x.min(across.saturating_sub(1)), self.scale.index(y, down))
        };
        let mut previous = None;
        for point in &series.points {
            if !point.is_drawn() {
                previous = None;
                continue;
            }
            let here = at(point.x, point.y);
            dots.line(previous.unwrap_or(here), here, look.color);
            previous = Some(here);
        }
    }

    /// Draws what dots alone do not show: points without neighbours, and without colour the letters of the lines.
    fn draw_marks(self, canvas: &mut Canvas, series: &Series, look: Look, index: usize) {
        if series.mark == SeriesMark::Bar {
            return;
        }
        let has_letters = self.depth == ColorDepth::None && look.character != ONLY_LINE;
        let apart = (self.columns / 6).clamp(6, 24);
        // The letters of lines that lie on each other stand beside each other.
        let mut next = if series.points.len() > 6 { index * 2 } else { 0 };
        let count = series.points.len();
        let is_present =
            |index: Option<usize>| index.and_then(|index| series.points.get(index)).is_some_and(Point::is_drawn);
        for (position, point) in series.points.iter().enumerate().filter(|(_, point)| point.is_drawn()) {
            let x = ((self.x_axis.share(point.x) * self.columns as f64) as usize).min(self.columns.saturating_sub(1));
            let y = self.top + self.scale.index(point.y, self.lines);
            let is_alone = !is_present(position.checked_sub(1)) && !is_present(Some(position + 1));
            if has_letters && (x >= next || is_alone || count <= 6) {
                canvas.put(x, y, look.character, Style::PLAIN);
                next = x + apart;
            } else if is_alone {
                canvas.put(x, y, '●', Style::foreground(look.color));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::Tone;
    use super::super::super::samples::{self, panel};
    use super::*;

    const DAY: f64 = 24.0 * HOUR;

    /// A value a day.
    fn series(name: &str, mark: SeriesMark, values: &[f64]) -> Series {
        let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(day, &y)| (day as f64 * DAY, y)).collect();
        samples::series(name, mark, Tone::Neutral, &points)
    }

    fn chart(panels: Vec<Panel>) -> Chart {
        samples::chart(ChartX::Time, panels)
    }

    fn plain(width: u16, height: u16) -> Screen {
        Screen { width, height, color: ColorDepth::None }
    }

    #[test]
    fn a_line_is_dots_and_a_bar_stands_on_zero() {
        let chart = chart(vec![
            panel(
                "up",
                vec![
                    series("one", SeriesMark::Line, &[0.0, 5.0, 10.0]),
                    series("two", SeriesMark::Line, &[10.0, f64::NAN, 2.0]),
                ],
            ),
            panel("bars", vec![series("bar", SeriesMark::Bar, &[1.0, -1.0, 0.5])]),
        ]);
        let picture = draw(&chart, &Options::default(), plain(44, 15)).unwrap();
        let expected = "\
things · origin not stated
up  a one 10  b two 2
b                    ⢀⣀⠤⠔⠊a            ┤ 10
                ⢀⣀⠤⠒⠊⠁                 │
           ⣀⡠a⠒⠉⠁                      ┤  5
     ⢀⣀⠤⠒⠊⠉                            │
a⠤⠔⠒⠉⠁                    b            ┤  0
bars  # bar 0.5
############                           ┤  1
############              ############ │
             ############              ┤  0
             ############              ┤ -1
                                       │
┴────────────┴────────────┴────────────┘
1970       Jan 2        Jan 3           UTC
";
        assert_eq!(picture, expected, "{picture}");
        let colored = draw(&chart, &Options::default(), Screen { color: ColorDepth::TrueColor, ..plain(44, 15) });
        assert!(colored.unwrap().contains('█'));
    }

    #[test]
    fn a_legend_takes_more_lines_where_a_panel_has_many() {
        let names = ["opened by longs", "opened by shorts", "closed by longs", "closed by shorts"];
        let panel = panel("USD", names.map(|name| series(name, SeriesMark::Line, &[1.0, 2.0])).to_vec());
        let legend = Legend::new(&panel, 50, 20);
        assert_eq!(legend.lines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let legend = Legend::new(&panel, 50, 5);
        assert_eq!((legend.lines.len(), legend.left_out), (1, 3));
    }

    #[test]
    fn bars_on_both_sides_have_zero_between_two_lines() {
        let scale = YScale::of(&panel("", vec![series("", SeriesMark::Bar, &[3.0, -1.0])]), 8);
        let zero = scale.position(0.0, 8);
        assert!((zero - zero.round()).abs() < 1e-9, "{scale:?}");
        assert!(scale.low <= -1.0 && scale.high >= 3.0, "{scale:?}");
    }

    #[test]
    fn panels_without_room_are_named() {
        let line = || vec![series("x", SeriesMark::Line, &[1.0, 2.0, 3.0])];
        let chart = chart(["a", "b", "c", "d", "e", "f"].into_iter().map(|name| panel(name, line())).collect());
        let picture = draw(&chart, &Options::default(), plain(80, 24)).unwrap();
        assert!(picture.contains("no room for: e, f"), "{picture}");
        assert_eq!(picture.lines().count(), 24, "{picture}");
    }

    #[test]
    fn labels_of_ticks_differ() {
        for (low, high) in [(1.93e9, 1.97e9), (0.0, 1e24), (1e-8, 2e-8), (-1e-12, 1e-12), (99.99, 100.01)] {
            for unit in [Unit::Usd, Unit::Percent, Unit::Price, Unit::Number] {
                let ticks = ticks(unit, low, high, 10);
                for pair in ticks.windows(2) {
                    assert_ne!(pair[0].1, pair[1].1, "{unit:?} {low} {high}");
                }
                assert!(ticks.iter().all(|(_, label)| length(label) <= 14), "{ticks:?}");
            }
        }
    }

    #[test]
    fn odd_values_draw_something_within_the_screen() {
        let odd = [
            vec![f64::NAN, 1.0, f64::NAN],
            vec![5.0],
            vec![0.0; 4],
            vec![1e24, 1e-8, -1e24],
            vec![1e-8, 2e-8],
            vec![f64::INFINITY, 1.0, f64::MAX],
            (0..5_000).map(|index| f64::from(index).sin()).collect(),
        ];
        for values in &odd {
            for mark in [SeriesMark::Line, SeriesMark::Bar, SeriesMark::Interval] {
                for x in [ChartX::Time, ChartX::Number("step".to_owned())] {
                    for color in [ColorDepth::None, ColorDepth::Ansi256] {
                        let chart = Chart { x: x.clone(), ..chart(vec![panel("p", vec![series("s", mark, values)])]) };
                        for (width, height) in [(40, 12), (80, 24), (200, 60)] {
                            let screen = Screen { width, height, color };
                            let picture = draw(&chart, &Options::default(), screen).unwrap();
                            assert!(picture.lines().count() <= usize::from(height), "{picture}");
                            if color == ColorDepth::None {
                                assert!(picture.lines().all(|line| length(line) <= usize::from(width)), "{picture}");
                            }
                        }
                    }
                }
            }
        }
        let nothing = chart(vec![panel("p", vec![series("s", SeriesMark::Line, &[f64::NAN])])]);
        assert!(draw(&nothing, &Options::default(), plain(80, 24)).is_err());
    }
}

//! Values with their intervals, one line for each, on an axis with a zero line.
//!
//! ```text
//! spearman_long
//! over price_move            │          ├─────●─────┤       0.084 [0.051, 0.117]
//! over autoregression        │   ├───●───┤                  0.051 [0.02, 0.08]
//!                    ────────┴────────┴────────┴────────
//!                            0      0.05      0.1
//! ```
//!
//! A value whose interval reaches zero may be nothing at all: it is drawn in grey.

use super::super::color::Rgb;
use super::super::frame::{Chart, Panel, Point};
use super::super::{Options, RenderError, Screen};
use super::canvas::{Canvas, Style};
use super::chart::{chart_footer, number_labels};
use super::title::{Title, heads};
use super::{FAINT, HUES, INK, draw_footer, length, shortened};

/// Panels whose ranges differ by no more share one axis.
const ALIKE: f64 = 8.0;

/// Draws values with intervals; see [`super::draw`].
pub(super) fn draw(chart: &Chart, options: &Options, screen: Screen) -> Result<String, RenderError> {
    let size = screen.size();
    let (width, height) = size;
    let ranges: Vec<(f64, f64)> = chart.panels.iter().map(range).collect();
    if chart.panels.iter().all(|panel| points(panel).next().is_none()) {
        return Err(RenderError::Empty { reason: "no series has a number".to_owned() });
    }
    let spans = || ranges.iter().map(|(low, high)| high - low);
    let (least, most) = (spans().fold(f64::INFINITY, f64::min), spans().fold(0.0, f64::max));
    let has_one_unit = chart.panels.iter().zip(chart.panels.iter().skip(1)).all(|(a, b)| a.unit == b.unit);
    let is_shared = has_one_unit && most <= least * ALIKE;
    let whole = ranges.iter().fold((0.0f64, 0.0f64), |whole, range| (whole.0.min(range.0), whole.1.max(range.1)));

    let title = Title::new(options, &heads(&chart.subject, None), &chart.origin, width);
    // Title, footer, and the axis if it is shared.
    let reserved = 2 + chart_footer(chart, &[], &title, size).len().max(1) + if is_shared { 2 } else { 0 };
    let mut room = (height + 1).saturating_sub(reserved);
    let mut shown: Vec<(&Panel, (f64, f64), usize)> = Vec::new();
    for (panel, range) in chart.panels.iter().zip(&ranges) {
        let around = if is_shared { 1 } else { 3 };
        // The first panel is drawn in part, if it must be.
        let lines =
            if shown.is_empty() { panel.labels.len().min(room.saturating_sub(around)) } else { panel.labels.len() };
        if lines == 0 || lines + around > room {
            break;
        }
        room -= lines + around;
        shown.push((panel, if is_shared { whole } else { *range }, lines));
    }
    let left_out = chart.panels.get(shown.len()..).unwrap_or_default();
    let mut chart_with_notes = chart.clone();
    let hidden: usize = shown.iter().map(|(panel, _, lines)| panel.labels.len() - lines).sum();
    if hidden > 0 {
        chart_with_notes.notes.insert(0, format!("no room for {hidden} more lines"));
    }
    let footer = chart_footer(&chart_with_notes, left_out, &title, size);

    let layout = Layout::of(&shown, width);
    let mut canvas = Canvas::new(width, height);
    title.draw(&mut canvas);
    let mut y = 1;
    for (panel, range, lines) in &shown {
        canvas.text(0, y, &shortened(&panel.title, width), Style::BOLD);
        layout.draw_panel(&mut canvas, panel, *range, y + 1, *lines);
        y += 1 + lines;
        if !is_shared {
            layout.draw_axis(&mut canvas, *range, y);
            y += 2;
        }
    }
    if is_shared {
        layout.draw_axis(&mut canvas, whole, y);
        y += 2;
    }
    draw_footer(&mut canvas, y, &footer);
    let text = canvas.into_text(screen.color);
    // Few values make a short picture: no blank lines below it.
    Ok(text.lines().take((y + footer.len()).min(height)).flat_map(|line| [line, "\n"]).collect())
}

/// The points that have a place, with the colour of their series.
fn points(panel: &Panel) -> impl Iterator<Item = (&Point, Rgb)> {
    panel.series.iter().zip(HUES.series(panel)).flat_map(|(series, color)| {
        series.points.iter().filter(|point| point.is_drawn_as_value()).map(move |point| (point, color))
    })
}

/// From the least to the largest value, zero included, with a margin.
fn range(panel: &Panel) -> (f64, f64) {
    let values = points(panel).flat_map(|(point, _)| {
        let (low, high) = point.drawn_interval().unwrap_or((point.x, point.x));
        [point.x, low, high]
    });
    let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let margin = if high > low { (high - low) * 0.04 } else { 1.0 };
    (
        if low < 0.0 || high == low { low - margin } else { low },
        if high > 0.0 || high == low { high + margin } else { high },
    )
}

/// The columns of labels, axis and numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    start: usize,
    columns: usize,
    width: usize,
    has_intervals: bool,
}

impl Layout {
    fn of(shown: &[(&Panel, (f64, f64), usize)], width: usize) -> Self {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let labels = longest(&mut shown.iter().flat_map(|(panel, ..)| &panel.labels).map(|label| length(label)));
        let start = labels.min(width * 2 / 5) + 2;
        let numbers = |has_intervals: bool| {
            longest(&mut shown.iter().flat_map(|(panel, ..)| {
                points(panel).map(move |(point, _)| length(&number(panel, point, has_intervals)))
            }))
        };
        // An axis of a few characters says less than the numbers of its intervals.
        const LEAST: usize = 16;
        let has_intervals = width >= start + LEAST + 2 + numbers(true);
        let columns = width.saturating_sub(start + 2 + numbers(has_intervals)).max(1);
        Self { start, columns, width, has_intervals }
    }

    fn column(self, value: f64, (low, high): (f64, f64)) -> usize {
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.start + ((share * self.columns as f64) as usize).min(self.columns.saturating_sub(1))
    }

    fn draw_panel(self, canvas: &mut Canvas, panel: &Panel, range: (f64, f64), top: usize, lines: usize) {
        let ink = Style::foreground(INK);
        let zero = self.column(0.0, range);
        for (line, label) in panel.labels.iter().take(lines).enumerate() {
            canvas.text(0, top + line, &shortened(label, self.start - 2), ink);
            canvas.put(zero, top + line, '│', Style::foreground(FAINT));
        }
        for (point, color) in points(panel).filter(|(point, _)| point.y < lines as f64) {
            let y = top + point.y as usize;
            let interval = point.drawn_interval();
            let is_nothing = interval.is_some_and(|(low, high)| low <= 0.0 && high >= 0.0);
            let style = Style::foreground(if is_nothing { INK } else { color });
            if let Some((low, high)) = interval {
                let (from, to) = (self.column(low, range), self.column(high, range));
                for x in from..=to {
                    canvas.put(x, y, if x == zero { '┼' } else { '─' }, style);
                }
                canvas.put(from, y, '├', style);
                canvas.put(to, y, '┤', style);
            }
            canvas.put(self.column(point.x, range), y, '●', style);
            canvas.text_before(self.width, y, &number(panel, point, self.has_intervals), style);
        }
    }

    fn draw_axis(self, canvas: &mut Canvas, range: (f64, f64), y: usize) {
        let ink = Style::foreground(INK);
        for x in self.start..self.start + self.columns {
            canvas.put(x, y, '─', ink);
        }
        let least = (range.1 - range.0) / self.columns as f64 * 10.0;
        for label in number_labels(range.0, range.1, least, self.columns) {
            canvas.put(self.start + label.tick, y, '┴', ink);
            canvas.text(self.start + label.start, y + 1, &label.text, ink);
        }
    }
}

/// `0.084 [0.051, 0.117]`.
fn number(panel: &Panel, point: &Point, with_interval: bool) -> String {
    let value = panel.unit.text(point.x);
    match point.drawn_interval().filter(|_| with_interval) {
        Some((low, high)) => format!("{value} [{}, {}]", panel.unit.text(low), panel.unit.text(high)),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{ChartX, ColorDepth, SeriesMark, Tone, samples};
    use super::*;

    fn panel(title: &str, values: &[(f64, Option<(f64, f64)>)]) -> Panel {
        let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(line, value)| (value.0, line as f64)).collect();
        let mut series = samples::series("", SeriesMark::Interval, Tone::Kind(0), &points);
        for (point, value) in series.points.iter_mut().zip(values) {
            point.interval = value.1;
        }
        let labels = (0..values.len()).map(|line| format!("over null {line}")).collect();
        Panel { labels, ..samples::panel(title, vec![series]) }
    }

    fn chart(panels: Vec<Panel>) -> Chart {
        Chart { subject: "scores".to_owned(), ..samples::chart(ChartX::Value, panels) }
    }

    #[test]
    fn values_are_dots_in_their_intervals() {
        let chart = chart(vec![panel("spearman", &[(0.5, Some((0.25, 0.75))), (-0.1, Some((-0.4, 0.2)))])]);
        let screen = Screen { width: 72, height: 12, color: ColorDepth::None };
        let picture = draw(&chart, &Options::default(), screen).unwrap();
        let expected = "\
scores · origin not stated
spearman
over null 0                │       ├────────●───────┤   0.5 [0.25, 0.75]
over null 1   ├─────────●──┼──────┤                     -0.1 [-0.4, 0.2]
             ──────────────┴────────────────┴─────────
                          0.0              0.5
";
        assert_eq!(picture, expected, "{picture}");
    }

    #[test]
    fn odd_values_draw_something_within_the_screen() {
        let odd = [
            vec![(0.0, None)],
            vec![(f64::NAN, None), (1.0, Some((f64::NAN, 2.0)))],
            vec![(1e24, Some((-1e24, 1e24)))],
            vec![(1e-8, Some((1e-8, 1e-8))); 50],
        ];
        for values in &odd {
            for panels in [1, 3, 20] {
                let chart = chart((0..panels).map(|_| panel("p", values)).collect());
                for (width, height) in [(40, 12), (80, 24), (200, 60)] {
                    let screen = Screen { width, height, color: ColorDepth::None };
                    let picture = draw(&chart, &Options::default(), screen).unwrap();
                    assert!(picture.lines().count() <= usize::from(height), "{picture}");
                    assert!(picture.lines().all(|line| length(line) <= usize::from(width)), "{picture}");
                }
            }
        }
    }
}

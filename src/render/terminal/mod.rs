//! Frame to text for a terminal: half blocks, braille and axes, in the size asked for.
//!
//! ```text
//! title                              what, when, whether it is an estimate, what the query set
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀┤ 98,000      the picture: `heatmap`, `map`, `chart`, `intervals`
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀◄ 97,432.1
//! footer                             what was hidden, which scale, how much of the book
//! ```
//!
//! Each file draws one kind of frame on a `canvas`. What they share is here, the footer and the x axis, and in `title`.

mod blocks;
mod canvas;
mod chart;
mod heatmap;
mod intervals;
mod map;
mod title;

use self::canvas::{Canvas, Style};
use self::title::Title;
use super::axis::TimeLabel;
use super::color::{self, Hues, Rgb};
use super::frame::{ChartX, Frame};
use super::{Options, RenderError, Screen};

/// Axes, numbers and the footer.
const INK: Rgb = Rgb(150, 150, 160);
/// Lines of a grid, behind everything.
const FAINT: Rgb = Rgb(72, 72, 80);
/// The close of a column.
const PRICE: Rgb = Rgb(255, 255, 255);
/// A terminal has its own paper, which is mostly dark.
const HUES: &Hues = &color::ON_DARK;

/// From this height on a second line of the footer costs the picture little.
const TWO_LINE_FOOTER: usize = 30;

/// Draws a frame; see [`super::to_text`]. Options and screen have been checked.
///
/// # Errors
///
/// Nothing stands at the prices asked for.
pub(super) fn draw(frame: &Frame, options: &Options, screen: Screen) -> Result<String, RenderError> {
    match frame {
        Frame::Heatmap(heatmap) => heatmap::draw(heatmap, options, screen),
        Frame::Map(map) => map::draw(map, options, screen),
        Frame::Chart(chart) if chart.x == ChartX::Value => intervals::draw(chart, options, screen),
        Frame::Chart(chart) => chart::draw(chart, options, screen),
    }
}

const SEPARATOR: &str = " · ";

/// The lines below a picture: the first of `candidates` that fits, then as much of `more`, most important first, and of
/// what the title left out. High pictures have two lines for that if one does not hold all.
fn footer(candidates: &[Vec<String>], more: &[String], title: &Title, (width, height): (usize, usize)) -> Vec<String> {
    let must: Vec<String> = title.untold_kind.iter().cloned().collect();
    let candidates: Vec<Vec<String>> = candidates.iter().map(|parts| [must.as_slice(), parts].concat()).collect();
    let more = [more, &title.untold_parameters].concat();
    let all = [candidates.first().cloned().unwrap_or_default(), more.clone()].concat().join(SEPARATOR);
    if length(&all) <= width {
        return vec![all].into_iter().filter(|line| !line.is_empty()).collect();
    }
    let first = first_that_fits(&candidates, width);
    let lines = if height >= TWO_LINE_FOOTER {
        let (second, _) = with_appended(String::new(), &more, width);
        vec![first, second]
    } else {
        vec![with_appended(first, &more, width).0]
    };
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn draw_footer(canvas: &mut Canvas, y: usize, lines: &[String]) {
    for (line, text) in lines.iter().enumerate() {
        canvas.text(0, y + line, text, Style::foreground(INK));
    }
}

/// Appends parts up to the first that does not fit, and counts them.
fn with_appended(text: String, parts: &[String], width: usize) -> (String, usize) {
    let mut text = text;
    for (index, part) in parts.iter().enumerate() {
        let longer = if text.is_empty() { part.clone() } else { format!("{text}{SEPARATOR}{part}") };
        if length(&longer) > width {
            return (text, index);
        }
        text = longer;
    }
    (text, parts.len())
}

fn first_that_fits(candidates: &[Vec<String>], width: usize) -> String {
    let texts: Vec<String> = candidates.iter().map(|parts| parts.join(SEPARATOR)).collect();
    let fitting = texts.iter().find(|text| length(text) <= width);
    fitting.or(texts.last()).map(|text| shortened(text, width)).unwrap_or_default()
}

fn shortened(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Characters of a text: the columns it takes.
fn length(text: &str) -> usize {
    text.chars().count()
}

/// The line below a picture with its ticks, and below it their labels and what they count.
fn draw_x_axis(canvas: &mut Canvas, labels: &[TimeLabel], columns: usize, y: usize, unit: &str) {
    let ink = Style::foreground(INK);
    for x in 0..columns {
        canvas.put(x, y, '─', ink);
    }
    canvas.put(columns, y, '┘', ink);
    for label in labels {
        canvas.put(label.tick, y, '┴', ink);
        // A date among hours stands out.
        let is_date = label.text.starts_with(|first: char| first.is_alphabetic());
        canvas.text(label.start, y + 1, &label.text, if is_date { Style::PLAIN } else { ink });
    }
    let start = (columns + 1).min(canvas.width().saturating_sub(length(unit)));
    if labels.last().is_none_or(|label| label.start + length(&label.text) < start) {
        canvas.text(start, y + 1, unit, ink);
    }
}

#[cfg(test)]
mod tests {
    use super::title::tests::{heads, origin};
    use super::*;

    #[test]
    fn the_footer_says_what_a_title_of_the_caller_does_not() {
        let options = Options { title: Some("mine".to_owned()), ..Options::default() };
        let title = Title::new(&options, &heads(), &origin(), 80);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (80, 24)), ["estimated · a · model zones · step 1h"]);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (30, 24)), ["estimated · a · model zones"]);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (30, 40)), ["estimated · a", "model zones · step 1h"],);
    }
}

//! Frame to text for a terminal: half blocks, braille and axes, in the size asked for.
//!
//! ```text
//! title                              what, when, whether it is an estimate, what the query set
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀┤ 98,000      the picture: `heatmap`, `map`, `chart`, `intervals`
//! ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀◄ 97,432.1
//! footer                             what was hidden, which scale, how much of the book
//! ```
//!
//! Each file draws one kind of frame on a `canvas`; what they share is here: the title, the footer, the time axis and the
//! colours of the sides.

mod blocks;
mod canvas;
mod chart;
mod heatmap;
mod intervals;
mod map;

use self::canvas::{Canvas, Style};
use super::axis::TimeLabel;
use super::color::Rgb;
use super::frame::{ChartX, Frame, Origin, PoolSide, Tone};
use super::{Options, RenderError, Screen};

/// Axes, numbers and the footer.
const INK: Rgb = Rgb(150, 150, 160);
/// Lines of a grid, behind everything.
const FAINT: Rgb = Rgb(72, 72, 80);
/// The close of a column.
const PRICE: Rgb = Rgb(255, 255, 255);
/// Positions that falling prices liquidate: their forced orders sell.
const LONG: Rgb = Rgb(222, 74, 78);
/// Positions that rising prices liquidate: their forced orders buy.
const SHORT: Rgb = Rgb(34, 170, 120);

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

/// The first line, and what of the origin found no room in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Title {
    text: String,
    /// Whether amounts are estimates, if the title does not say it: the footer has to.
    untold_kind: Option<String>,
    /// Model and parameters, most important first.
    untold_parameters: Vec<String>,
}

impl Title {
    /// `heads` is what the picture shows, the most complete one first.
    fn new(options: &Options, heads: &[Vec<String>], origin: &Origin, width: usize) -> Self {
        let kind = origin.label();
        let label = origin.parameters_label();
        let parameters: Vec<String> =
            label.split(SEPARATOR).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if let Some(title) = &options.title {
            return Self { text: shortened(title, width), untold_kind: Some(kind), untold_parameters: parameters };
        }
        let texts = heads.iter().map(|head| [head.as_slice(), std::slice::from_ref(&kind)].concat().join(SEPARATOR));
        let fitting = texts.enumerate().find(|(_, text)| length(text) <= width);
        let (text, untold_parameters) = match fitting {
            Some((0, text)) => {
                let (text, count) = with_appended(text, &parameters, width);
                (text, parameters.get(count..).unwrap_or_default().to_vec())
            }
            Some((_, text)) => (text, parameters),
            None => {
                let head = heads.last().map(|head| head.join(SEPARATOR)).unwrap_or_default();
                let room = width.saturating_sub(length(&kind) + length(SEPARATOR));
                (format!("{}{SEPARATOR}{kind}", shortened(&head, room)), parameters)
            }
        };
        Self { text, untold_kind: None, untold_parameters }
    }

    fn draw(&self, canvas: &mut Canvas) {
        canvas.text(0, 0, &self.text, Style::BOLD);
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

fn side_color(side: PoolSide) -> Rgb {
    match side {
        PoolSide::Long => LONG,
        PoolSide::Short => SHORT,
    }
}

/// Exchanges, shocks, presets: told apart, and never taken for a side.
const KINDS: [Rgb; 10] = [
    Rgb(86, 156, 255),
    Rgb(255, 176, 59),
    Rgb(186, 130, 255),
    Rgb(64, 208, 214),
    Rgb(240, 224, 90),
    Rgb(255, 121, 198),
    Rgb(150, 180, 120),
    Rgb(200, 150, 110),
    Rgb(130, 140, 200),
    Rgb(190, 190, 200),
];

/// From the lowest leverage to the highest.
const HEAT: [Rgb; 6] =
    [Rgb(72, 108, 230), Rgb(40, 170, 205), Rgb(128, 196, 92), Rgb(244, 205, 66), Rgb(244, 132, 44), Rgb(222, 50, 92)];

/// The colour of a series; `repeat` counts those of the same tone before it in its panel.
fn tone_color(tone: Tone, repeat: usize) -> Rgb {
    const LONGS: [Rgb; 4] = [LONG, Rgb(244, 150, 96), Rgb(240, 120, 190), Rgb(255, 190, 190)];
    const SHORTS: [Rgb; 4] = [SHORT, Rgb(150, 214, 90), Rgb(70, 205, 205), Rgb(190, 240, 215)];
    const NEUTRALS: [Rgb; 2] = [Rgb(205, 205, 214), INK];
    let cycled = |colors: &[Rgb], index: usize| colors.iter().cycle().nth(index % colors.len().max(1)).copied();
    match tone {
        Tone::Long => cycled(&LONGS, repeat),
        Tone::Short => cycled(&SHORTS, repeat),
        Tone::Neutral => cycled(&NEUTRALS, repeat),
        Tone::Kind(kind) => cycled(&KINDS, kind),
    }
    .unwrap_or(INK)
}

/// The colour of one of several steps from cool to hot.
fn heat(index: usize, count: usize) -> Rgb {
    let position = if count > 1 { index as f64 / (count - 1) as f64 } else { 0.5 } * (HEAT.len() - 1) as f64;
    let (below, above) = (HEAT.get(position.floor() as usize), HEAT.get(position.ceil() as usize));
    match (below, above) {
        (Some(&below), Some(&above)) => below.blended(above, position.fract()),
        _ => INK,
    }
}

#[cfg(test)]
mod tests {
    use super::super::OriginKind;
    use super::*;

    fn origin() -> Origin {
        Origin {
            kind: OriginKind::Estimated,
            model: Some("zones".to_owned()),
            parameters: vec![("step".to_owned(), "1h".to_owned())],
            coverage: None,
            ..Origin::default()
        }
    }

    fn heads() -> Vec<Vec<String>> {
        vec![vec!["binance BTCUSDT map".to_owned(), "2026".to_owned()], vec!["BTCUSDT map".to_owned()]]
    }

    #[test]
    fn the_title_drops_parameters_before_the_range_and_never_the_origin() {
        let title = |width| Title::new(&Options::default(), &heads(), &origin(), width);
        assert_eq!(title(80).text, "binance BTCUSDT map · 2026 · estimated · model zones · step 1h");
        assert_eq!(title(55).text, "binance BTCUSDT map · 2026 · estimated · model zones");
        assert_eq!(title(55).untold_parameters, ["step 1h"]);
        assert_eq!(title(38).text, "binance BTCUSDT map · 2026 · estimated");
        assert_eq!(title(30).text, "BTCUSDT map · estimated");
        assert_eq!(title(20).text, "BTCUSDT… · estimated");
    }

    #[test]
    fn the_footer_says_what_a_title_of_the_caller_does_not() {
        let options = Options { title: Some("mine".to_owned()), ..Options::default() };
        let title = Title::new(&options, &heads(), &origin(), 80);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (80, 24)), ["estimated · a · model zones · step 1h"]);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (30, 24)), ["estimated · a · model zones"]);
        assert_eq!(footer(&[vec!["a".to_owned()]], &[], &title, (30, 40)), ["estimated · a", "model zones · step 1h"],);
    }

    #[test]
    fn leverage_is_cool_to_hot() {
        assert_eq!(heat(0, 5), HEAT[0]);
        assert_eq!(heat(4, 5), HEAT[5]);
        assert_eq!(heat(0, 1), HEAT[2].blended(HEAT[3], 0.5));
    }
}

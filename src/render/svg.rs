//! Shapes to the text of an SVG file.
//!
//! One picture without fonts, scripts, style sheets or links: letters are outlines that stand in the file once and are
//! used by reference, and every line of text carries its content as `aria-label`, so that it can be found and read
//! aloud. The cells of a heatmap are one PNG in the file. Names and numbers follow from the shapes alone: same scene,
//! same bytes.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::scene::font::{self, Part, Weight};
use super::scene::{Grid, Item, Paint, Scene, Stroke, Text};
use super::{RenderError, png};

/// Draws the shapes.
///
/// # Errors
///
/// As [`png::encode`], for the cells.
pub(super) fn encode(scene: &Scene) -> Result<String, RenderError> {
    let mut out = String::new();
    let mut grids = Vec::new();
    for item in &scene.items {
        if let Item::Grid(grid) = item {
            grids.push(STANDARD.encode(png::encode_grid(grid)?));
        }
    }
    // Writing to a string cannot fail.
    let _written = write(&mut out, scene, &grids);
    Ok(out)
}

fn write(out: &mut String, scene: &Scene, grids: &[String]) -> fmt::Result {
    let (width, height) = (Length(scene.width), Length(scene.height));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{}\">",
        Escaped(&scene.title),
    )?;
    writeln!(out, "<title>{}</title>", Escaped(&scene.title))?;
    write_glyphs(out, scene)?;
    writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>", scene.background)?;
    let mut grids = grids.iter();
    for item in &scene.items {
        match item {
            Item::Rectangle(area, paint) => {
                write!(out, "<rect x=\"{}\" y=\"{}\"", Length(area.left), Length(area.top))?;
                write!(out, " width=\"{}\" height=\"{}\"", Length(area.width), Length(area.height))?;
                writeln!(out, "{}/>", Fill(*paint))?;
            }
            Item::Line(points, stroke) => {
                write!(out, "<path d=\"{}\" fill=\"none\"", Outline(points, ""))?;
                writeln!(out, "{}/>", Pen(*stroke))?;
            }
            Item::Polygon(points, paint) => writeln!(out, "<path d=\"{}\"{}/>", Outline(points, "Z"), Fill(*paint))?,
            Item::Text(text) => write_text(out, text)?,
            Item::Grid(grid) => write_grid(out, grid, grids.next().map_or("", String::as_str))?,
        }
    }
    writeln!(out, "</svg>")
}

/// The outlines of all letters of the picture, each once.
fn write_glyphs(out: &mut String, scene: &Scene) -> fmt::Result {
    let mut used: BTreeSet<(Weight, u16)> = BTreeSet::new();
    for item in &scene.items {
        if let Item::Text(text) = item {
            used.extend(text.lay_out().0.glyphs.iter().map(|glyph| (text.weight, glyph.id)));
        }
    }
    writeln!(out, "<defs>")?;
    for (weight, id) in used {
        let outline = font::outline(id, weight);
        if outline.is_empty() {
            continue;
        }
        write!(out, "<path id=\"{}\" d=\"", Name(weight, id))?;
        for part in outline {
            match part {
                Part::Move(x, y) => write!(out, "M{x} {y}")?,
                Part::Line(x, y) => write!(out, "L{x} {y}")?,
                Part::Quad(x1, y1, x, y) => write!(out, "Q{x1} {y1} {x} {y}")?,
                Part::Cubic(x1, y1, x2, y2, x, y) => write!(out, "C{x1} {y1} {x2} {y2} {x} {y}")?,
                Part::Close => write!(out, "Z")?,
            }
        }
        writeln!(out, "\"/>")?;
    }
    writeln!(out, "</defs>")
}

fn write_text(out: &mut String, text: &Text) -> fmt::Result {
    let (run, start) = text.lay_out();
    let scale = text.size / font::UNITS;
    write!(out, "<g aria-label=\"{}\" fill=\"{}\"", Escaped(&text.content), text.color)?;
    if let Some(halo) = text.halo {
        // In the units of the font, as all within the group.
        write!(out, " stroke=\"{}\" stroke-opacity=\"0.85\" stroke-width=\"{}\"", halo, 0.28 * font::UNITS)?;
        write!(out, " stroke-linejoin=\"round\" paint-order=\"stroke\"")?;
    }
    write!(out, " transform=\"translate({} {})", Length(start), Length(text.y))?;
    write!(out, " scale({scale:.6} {:.6})\">", -scale)?;
    for glyph in &run.glyphs {
        if !font::outline(glyph.id, text.weight).is_empty() {
            write!(out, "<use href=\"#{}\" x=\"{}\"/>", Name(text.weight, glyph.id), glyph.x)?;
        }
    }
    writeln!(out, "</g>")
}

fn write_grid(out: &mut String, grid: &Grid, png: &str) -> fmt::Result {
    let area = grid.area;
    write!(out, "<image x=\"{}\" y=\"{}\"", Length(area.left), Length(area.top))?;
    write!(out, " width=\"{}\" height=\"{}\"", Length(area.width), Length(area.height))?;
    write!(out, " preserveAspectRatio=\"none\" image-rendering=\"pixelated\" style=\"image-rendering:pixelated\"")?;
    writeln!(out, " href=\"data:image/png;base64,{png}\"/>")
}

/// A length with the decimals that can be seen.
struct Length(f64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 1_000.0).round() / 1_000.0;
        // Minus zero is zero.
        write!(f, "{}", if rounded == 0.0 { 0.0 } else { rounded })
    }
}

struct Fill(Paint);

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " fill=\"{}\"", self.0.color)?;
        if self.0.alpha < 1.0 { write!(f, " fill-opacity=\"{}\"", Length(self.0.alpha)) } else { Ok(()) }
    }
}

struct Pen(Stroke);

impl fmt::Display for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stroke { paint, width, dash } = self.0;
        write!(f, " stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"", paint.color, Length(width))?;
        if paint.alpha < 1.0 {
            write!(f, " stroke-opacity=\"{}\"", Length(paint.alpha))?;
        }
        match dash {
            Some((dash, gap)) => write!(f, " stroke-dasharray=\"{} {}\"", Length(dash), Length(gap)),
            None => write!(f, " stroke-linecap=\"round\""),
        }
    }
}

struct Outline<'a>(&'a [(f64, f64)], &'static str);

impl fmt::Display for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(x, y)) in self.0.iter().enumerate() {
            write!(f, "{}{} {}", if index == 0 { "M" } else { "L" }, Length(x), Length(y))?;
        }
        f.write_str(self.1)
    }
}

/// The name of a letter within the file.
struct Name(Weight, u16);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.0 {
            Weight::Regular => 'r',
            Weight::Bold => 'b',
        };
        write!(f, "{weight}{}", self.1)
    }
}

/// Text between tags or in an attribute: names come from data, and data is not markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in font::clean(self.0).chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{ChartX, Frame, Map, Panel, SeriesMark, Tone};
    use super::super::samples::{self, row};
    use super::super::{Options, Paper, to_svg};
    use super::*;

    fn map(symbol: &str) -> Frame {
        let rows = vec![row(98.0, 2.0e6, 0.0), row(101.0, 0.0, 3.0e6)];
        Frame::Map(Map { symbol: Some(symbol.to_owned()), ..samples::map(rows) })
    }

    #[test]
    fn names_are_text_and_not_markup() {
        let symbol = "<script>alert(\"1\")</script>&'\u{0}\u{1b}\u{ffff}";
        let text = to_svg(&map(symbol), &Options::default(), Paper::default()).unwrap();
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{fffd}\u{fffd}\u{fffd}"));
        assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'));
    }

    #[test]
    fn text_can_be_found_and_every_letter_is_defined_once() {
        let text = to_svg(&map("BTCUSDT"), &Options::default(), Paper::default()).unwrap();
        assert!(text.contains("<title>BTCUSDT liquidation map</title>"));
        assert!(text.contains("aria-label=\"BTCUSDT liquidation map\""));
        assert!(text.contains("role=\"img\"") && !text.contains("<text"));
        let used: BTreeSet<&str> = text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(used.len() > 20);
        for name in used {
            assert_eq!(text.matches(&format!("<path id=\"{name}\"")).count(), 1, "{name}");
        }
    }

    #[test]
    fn values_without_a_place_leave_no_trace() {
        let odd =
            [(0.5, 0.0), (1e308, 1.0), (f64::NAN, 2.0), (f64::NEG_INFINITY, 3.0), (3.0, f64::INFINITY), (1.0, 4.0)];
        for x in [ChartX::Value, ChartX::Time, ChartX::Number("step".to_owned())] {
            for mark in [SeriesMark::Line, SeriesMark::Bar, SeriesMark::Interval] {
                let mut series = samples::series("s", mark, Tone::Kind(0), &odd);
                for point in &mut series.points {
                    point.interval = Some((-1e308, 2.0));
                }
                series.points[0].interval = Some((0.25, 0.75));
                let panel = Panel { labels: vec!["a".to_owned(); 6], ..samples::panel("p", vec![series]) };
                let frame = Frame::Chart(samples::chart(x.clone(), vec![panel]));
                let text = to_svg(&frame, &Options::default(), Paper::default()).unwrap();
                assert!(!text.contains("NaN") && !text.contains("inf"), "{x:?} {mark:?}: {text}");
                assert_eq!(text.contains("whiskers"), x == ChartX::Value, "{x:?} {mark:?}");
            }
        }
    }

    #[test]
    fn lengths_have_no_noise() {
        let texts = [Length(1.0 / 3.0), Length(-0.000_01), Length(12.0)].map(|length| length.to_string());
        assert_eq!(texts, ["0.333", "0", "12"]);
    }
}

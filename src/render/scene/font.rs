//! The font of every picture in a file: widths of text, and glyphs as outlines.
//!
//! DejaVu Sans is compiled in: a picture looks the same on a server without fonts. All lengths are in the units of the
//! font, of which [`UNITS`] are one em; y points up.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::super::axis::is_harmful;

/// Units of an em in both weights of DejaVu Sans.
pub(in super::super) const UNITS: f64 = 2048.0;
/// Height of a digit and of a capital letter, as a share of an em.
pub(in super::super) const CAP_HEIGHT: f64 = 0.73;

/// How heavy text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Weight {
    Regular,
    Bold,
}

/// A letter in a line of text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Glyph {
    pub(in super::super) id: u16,
    /// From the start of the line.
    pub(in super::super) x: f64,
}

/// A line of text, laid out.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in super::super) struct Run {
    pub(in super::super) glyphs: Vec<Glyph>,
    pub(in super::super) width: f64,
}

/// A part of an outline, with absolute coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Part {
    Move(f32, f32),
    Line(f32, f32),
    Quad(f32, f32, f32, f32),
    Cubic(f32, f32, f32, f32, f32, f32),
    Close,
}

fn face(weight: Weight) -> Option<&'static Face<'static>> {
    static REGULAR: OnceLock<Option<Face<'static>>> = OnceLock::new();
    static BOLD: OnceLock<Option<Face<'static>>> = OnceLock::new();
    let (cell, bytes): (_, fn() -> &'static [u8]) = match weight {
        Weight::Regular => (&REGULAR, dejavu::sans::regular),
        Weight::Bold => (&BOLD, dejavu::sans::bold),
    };
    cell.get_or_init(|| Face::parse(bytes(), 0).ok()).as_ref()
}

/// Places the letters of a line, kerned. A letter that the font lacks is its empty box.
pub(in super::super) fn lay_out(text: &str, weight: Weight) -> Run {
    let Some(face) = face(weight) else {
        return Run::default();
    };
    let mut run = Run::default();
    let mut previous = None;
    for letter in text.chars() {
        let id = face.glyph_index(letter).unwrap_or(GlyphId(0));
        run.width += previous.map_or(0.0, |previous| kerning(face, previous, id));
        run.glyphs.push(Glyph { id: id.0, x: run.width });
        run.width += f64::from(face.glyph_hor_advance(id).unwrap_or(0));
        previous = Some(id);
    }
    run
}

fn kerning(face: &Face<'_>, left: GlyphId, right: GlyphId) -> f64 {
    let tables = face.tables().kern.iter().flat_map(|kern| kern.subtables);
    let mut pairs = tables.filter(|table| table.horizontal && !table.variable);
    f64::from(pairs.find_map(|table| table.glyphs_kerning(left, right)).unwrap_or(0))
}

/// The width of a line in the units of `size`.
pub(in super::super) fn width(text: &str, weight: Weight, size: f64) -> f64 {
    lay_out(text, weight).width / UNITS * size
}

/// The text if it fits, else as much of its beginning as fits and an ellipsis.
pub(in super::super) fn shortened(text: &str, weight: Weight, size: f64, most: f64) -> String {
    if width(text, weight, size) <= most {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let first = |count: usize| {
        let beginning: String = letters.iter().take(count).collect();
        format!("{}…", beginning.trim_end())
    };
    // Widths grow with the letters, so that halving finds the longest beginning.
    let (mut fits, mut too_long) = (0, letters.len());
    while too_long - fits > 1 {
        let middle = (fits + too_long) / 2;
        if width(&first(middle), weight, size) <= most {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    if fits == 0 { String::new() } else { first(fits) }
}

/// The outline of a glyph; empty for a blank.
pub(in super::super) fn outline(id: u16, weight: Weight) -> Vec<Part> {
    let mut parts = Outline(Vec::new());
    if let Some(face) = face(weight) {
        // A glyph without an outline is a blank: nothing to draw.
        let _bounds = face.outline_glyph(GlyphId(id), &mut parts);
    }
    parts.0
}

struct Outline(Vec<Part>);

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.push(Part::Move(x, y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.push(Part::Line(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.push(Part::Quad(x1, y1, x, y));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.push(Part::Cubic(x1, y1, x2, y2, x, y));
    }

    fn close(&mut self) {
        self.0.push(Part::Close);
    }
}

/// Text without what would break a line or hide what it says: each such character becomes a replacement character.
pub(in super::super) fn clean(text: &str) -> String {
    text.chars().map(|letter| if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_are_there_and_have_the_same_em() {
        for weight in [Weight::Regular, Weight::Bold] {
            assert_eq!(f64::from(face(weight).unwrap().units_per_em()), UNITS);
        }
        assert!(width("binance", Weight::Bold, 10.0) > width("binance", Weight::Regular, 10.0));
    }

    #[test]
    fn digits_are_equally_wide_and_pairs_are_kerned() {
        assert_eq!(width("111", Weight::Regular, 10.0), width("888", Weight::Regular, 10.0));
        assert!(
            width("AV", Weight::Regular, 10.0) < width("A", Weight::Regular, 10.0) + width("V", Weight::Regular, 10.0)
        );
    }

    #[test]
    fn what_does_not_fit_is_shortened() {
        let text = "binance BTCUSDT liquidation heatmap";
        let all = width(text, Weight::Regular, 10.0);
        assert_eq!(shortened(text, Weight::Regular, 10.0, all), text);
        let short = shortened(text, Weight::Regular, 10.0, all / 2.0);
        assert!(short.ends_with('…') && short.starts_with("binance"), "{short}");
        assert!(width(&short, Weight::Regular, 10.0) <= all / 2.0);
        assert_eq!(shortened(text, Weight::Regular, 10.0, 1.0), "");
        assert_eq!(shortened("", Weight::Regular, 10.0, 0.0), "");
    }

    #[test]
    fn blanks_have_no_outline() {
        let id = |letter| lay_out(letter, Weight::Regular).glyphs[0].id;
        assert!(outline(id(" "), Weight::Regular).is_empty());
        assert!(outline(id("a"), Weight::Regular).len() > 5);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(clean("a\u{1b}[2J\n\u{202e}b"), "a\u{fffd}[2J\u{fffd}\u{fffd}b");
    }
}

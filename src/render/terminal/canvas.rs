//! A rectangle of styled characters, and how it becomes text with escape sequences.
//!
//! Writing outside the rectangle is cut off, so that what draws on it needs no bounds of its own.

use std::fmt::Write;

use super::super::axis::is_harmful;
use super::super::color::{ColorDepth, Rgb};

/// How a character looks; `None` is the terminal's own colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    pub(super) foreground: Option<Rgb>,
    pub(super) background: Option<Rgb>,
    pub(super) is_bold: bool,
}

impl Style {
    pub(super) const PLAIN: Self = Self { foreground: None, background: None, is_bold: false };
    pub(super) const BOLD: Self = Self { foreground: None, background: None, is_bold: true };

    pub(super) fn foreground(color: Rgb) -> Self {
        Self { foreground: Some(color), ..Self::PLAIN }
    }

    pub(super) fn on(self, background: Rgb) -> Self {
        Self { background: Some(background), ..self }
    }
}

#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    cells: Vec<(char, Style)>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, cells: vec![(' ', Style::PLAIN); width * height] }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn put(&mut self, x: usize, y: usize, character: char, style: Style) {
        if x < self.width
            && let Some(cell) = self.cells.get_mut(y * self.width + x)
        {
            *cell = (character, style);
        }
    }

    /// Writes a text from `x` on and returns the column after it.
    ///
    /// Names come from data: what commands a terminal, or turns text around, must not reach it.
    pub(super) fn text(&mut self, x: usize, y: usize, text: &str, style: Style) -> usize {
        let mut end = x;
        for character in text.chars() {
            self.put(end, y, if is_harmful(character) { '?' } else { character }, style);
            end += 1;
        }
        end
    }

    /// Writes a text that ends before column `end`.
    pub(super) fn text_before(&mut self, end: usize, y: usize, text: &str, style: Style) {
        self.text(end.saturating_sub(text.chars().count()), y, text, style);
    }

    /// The lines, each ended by a line break, without blanks at their ends.
    pub(super) fn into_text(self, depth: ColorDepth) -> String {
        let mut out = String::with_capacity(self.cells.len() * 8);
        for line in self.cells.chunks(self.width.max(1)) {
            let length = line
                .iter()
                .rposition(|&(character, style)| character != ' ' || style.background.is_some())
                .map_or(0, |last| last + 1);
            let mut current = Style::PLAIN;
            for &(character, style) in line.iter().take(length) {
                if depth != ColorDepth::None {
                    change_style(&mut out, current, style, depth);
                    current = style;
                }
                out.push(character);
            }
            if current != Style::PLAIN {
                out.push_str("\x1b[0m");
            }
            out.push('\n');
        }
        out
    }
}

fn change_style(out: &mut String, from: Style, to: Style, depth: ColorDepth) {
    if from == to {
        return;
    }
    let mut from = from;
    let loses_something = from.is_bold && !to.is_bold
        || from.foreground.is_some() && to.foreground.is_none()
        || from.background.is_some() && to.background.is_none();
    if loses_something {
        out.push_str("\x1b[0m");
        from = Style::PLAIN;
    }
    if to.is_bold && !from.is_bold {
        out.push_str("\x1b[1m");
    }
    if from.foreground != to.foreground {
        push_color(out, 38, to.foreground, depth);
    }
    if from.background != to.background {
        push_color(out, 48, to.background, depth);
    }
}

fn push_color(out: &mut String, selector: u8, color: Option<Rgb>, depth: ColorDepth) {
    let Some(color) = color else { return };
    // Writing to a String cannot fail.
    let _ = match depth {
        ColorDepth::TrueColor => write!(out, "\x1b[{selector};2;{};{};{}m", color.0, color.1, color.2),
        ColorDepth::Ansi256 => write!(out, "\x1b[{selector};5;{}m", color.ansi256()),
        ColorDepth::None => Ok(()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_written_only_where_the_style_changes() {
        let red = Style::foreground(Rgb(255, 0, 0));
        let mut canvas = Canvas::new(6, 2);
        canvas.text(0, 0, "ab", red);
        canvas.text(2, 0, "c", Style::PLAIN);
        canvas.text_before(6, 1, "z", red.on(Rgb(0, 0, 0)));
        let text = canvas.into_text(ColorDepth::TrueColor);
        assert_eq!(text, "\x1b[38;2;255;0;0mab\x1b[0mc\n     \x1b[38;2;255;0;0m\x1b[48;2;0;0;0mz\x1b[0m\n");
    }

    #[test]
    fn names_cannot_smuggle_escapes_and_what_leaves_the_canvas_is_cut() {
        let mut canvas = Canvas::new(4, 1);
        canvas.text(0, 0, "a\x1b[31mb", Style::BOLD);
        canvas.put(0, 9, 'x', Style::PLAIN);
        assert_eq!(canvas.into_text(ColorDepth::None), "a?[3\n");
    }
}

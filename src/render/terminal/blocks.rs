//! Parts of a character: eighths of a block, and the dots of braille.

use super::super::color::Rgb;
use super::canvas::Style;

/// One to seven eighths from the left.
const LEFT: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// One to seven eighths from below.
const LOWER: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];

/// The character that comes closest to eight parts from left to right.
pub(super) fn from_left(parts: [Option<Rgb>; 8]) -> (char, Style) {
    block(parts, LEFT, '▐', '▕')
}

/// The character that comes closest to eight parts from the lowest up.
pub(super) fn from_below(parts: [Option<Rgb>; 8]) -> (char, Style) {
    block(parts, LOWER, '▀', '▔')
}

/// A character has two colours at most, and blocks that grow from the far end come in halves and eighths only.
fn block(parts: [Option<Rgb>; 8], growing: [char; 7], far_half: char, far_eighth: char) -> (char, Style) {
    let [near, .., far] = parts;
    let filled = parts.iter().flatten().count();
    let glyph = |eighths: usize| growing.get(eighths.clamp(1, 8) - 1).copied().unwrap_or('█');
    match (near, far) {
        (Some(near), Some(far)) if near == far => ('█', Style::foreground(near)),
        (Some(near), Some(far)) => {
            let count = parts.iter().filter(|part| **part == Some(near)).count().min(7);
            (glyph(count), Style::foreground(near).on(far))
        }
        (Some(near), None) => {
            let most = parts.iter().flatten().copied().max_by_key(|color| {
                (parts.iter().filter(|part| **part == Some(*color)).count(), usize::from(*color == near))
            });
            (glyph(filled), Style::foreground(most.unwrap_or(near)))
        }
        (None, Some(far)) => {
            let character = match filled {
                6.. => '█',
                2..6 => far_half,
                _ => far_eighth,
            };
            (character, Style::foreground(far))
        }
        (None, None) => (' ', Style::PLAIN),
    }
}

/// Lines of dots, two by four in a character.
#[derive(Debug)]
pub(super) struct Dots {
    /// Characters in a line.
    columns: usize,
    lines: usize,
    /// Dots and the colour of the last line through them.
    cells: Vec<(u8, Rgb)>,
}

impl Dots {
    pub(super) fn new(columns: usize, lines: usize) -> Self {
        Self { columns, lines, cells: vec![(0, Rgb(0, 0, 0)); columns * lines] }
    }

    /// Dots across and down.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.columns * 2, self.lines * 4)
    }

    pub(super) fn set(&mut self, x: usize, y: usize, color: Rgb) {
        // Unicode numbers the dots by columns, but for the lowest row, which came later.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let bit = BITS.get(x % 2).and_then(|column| column.get(y % 4)).copied().unwrap_or_default();
        if x / 2 < self.columns
            && let Some(cell) = self.cells.get_mut(y / 4 * self.columns + x / 2)
        {
            *cell = (cell.0 | bit, color);
        }
    }

    /// A straight line, both ends included.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize), color: Rgb) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
        let between =
            |from: usize, to: usize, share: f64| (from as f64 + (to as f64 - from as f64) * share).round() as usize;
        for step in 0..=steps {
            let share = if steps == 0 { 0.0 } else { step as f64 / steps as f64 };
            self.set(between(from.0, to.0, share), between(from.1, to.1, share), color);
        }
    }

    /// The characters that have dots, with their colours.
    pub(super) fn characters(&self) -> impl Iterator<Item = (usize, usize, char, Rgb)> {
        let columns = self.columns.max(1);
        self.cells.iter().enumerate().filter(|(_, (bits, _))| *bits != 0).map(move |(index, &(bits, color))| {
            let character = char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
            (index % columns, index / columns, character, color)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Rgb = Rgb(1, 0, 0);
    const B: Rgb = Rgb(2, 0, 0);

    fn parts(counts: &[(usize, Option<Rgb>)]) -> [Option<Rgb>; 8] {
        let mut all = counts.iter().flat_map(|&(count, color)| vec![color; count]);
        std::array::from_fn(|_| all.next().flatten())
    }

    #[test]
    fn a_block_shows_where_one_colour_ends_and_the_next_begins() {
        assert_eq!(from_left(parts(&[(8, Some(A))])), ('█', Style::foreground(A)));
        assert_eq!(from_left(parts(&[(3, Some(A))])), ('▍', Style::foreground(A)));
        assert_eq!(from_left(parts(&[(3, Some(A)), (5, Some(B))])), ('▍', Style::foreground(A).on(B)));
        // Three colours with nothing: the length stays exact, the larger part gives the colour.
        assert_eq!(from_left(parts(&[(1, Some(A)), (4, Some(B))])), ('▋', Style::foreground(B)));
        assert_eq!(from_below(parts(&[(4, None), (4, Some(A))])), ('▀', Style::foreground(A)));
        assert_eq!(from_below([None; 8]), (' ', Style::PLAIN));
    }

    #[test]
    fn dots_are_braille() {
        let mut dots = Dots::new(2, 1);
        dots.line((0, 3), (3, 0), A);
        let drawn: Vec<(usize, usize, char, Rgb)> = dots.characters().collect();
        assert_eq!(drawn, [(0, 0, '⡠', A), (1, 0, '⠊', A)]);
        // Outside nothing happens.
        dots.set(99, 99, A);
    }
}

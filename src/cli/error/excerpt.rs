//! The place of a fault as a person sees it: its line, cut to what fits, and a mark under the fault.
//!
//! ```text
//!   5 | SELECT ts, clse FROM candles
//!     |            ^^^^
//! ```

use std::fmt;

use datafusion::sql::sqlparser::tokenizer::Span;

use crate::cli::output::width;

/// Columns of the terminal that the text of a line may take.
const ROOM: usize = 100;

/// Of these, columns that stay before the fault when the line must be cut.
const BEFORE: usize = 40;

/// Columns for which a tab stands: enough to show an indentation, not enough to push the fault aside.
const TAB: &str = "    ";

/// One line of a script with a range of it marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    line: u64,
    text: String,
    /// Columns of the terminal before the mark.
    indent: usize,
    /// Columns of the mark, at least one.
    length: usize,
}

impl Excerpt {
    /// Cuts the line of `place` out of `source`. Of a place that spans lines, the first line is shown and marked to its
    /// end. None if the place is not in the source, or the line holds one of the `secrets`.
    pub(crate) fn of(source: &str, place: Span, secrets: &[String]) -> Option<Self> {
        let line = source.split('\n').nth(usize::try_from(place.start.line.checked_sub(1)?).ok()?)?;
        if secrets.iter().any(|secret| line.contains(secret.as_str())) {
            return None;
        }
        let first = usize::try_from(place.start.column.checked_sub(1)?).ok()?;
        let end =
            if place.end.line > place.start.line { usize::MAX } else { usize::try_from(place.end.column).ok()? - 1 };
        // Every letter as it is shown, with its columns in the terminal.
        let letters: Vec<(String, usize)> = line
            .trim_end_matches('\r')
            .chars()
            .map(|letter| match letter {
                '\t' => (TAB.to_owned(), TAB.len()),
                // Whatever else moves the cursor must not reach the terminal.
                letter if letter.is_control() => (" ".to_owned(), 1),
                letter => (letter.to_string(), width(letter.encode_utf8(&mut [0; 4]))),
            })
            .collect();
        // Columns before every letter, and after the last: generated lines can be megabytes long.
        let mut before = Vec::with_capacity(letters.len() + 1);
        before.push(0);
        before.extend(letters.iter().scan(0, |sum, (_, columns)| {
            *sum += columns;
            Some(*sum)
        }));
        let columns = |from: usize, to: usize| before[to] - before[from];
        let first = first.min(letters.len());
        let end = end.clamp(first, letters.len());
        let (mut start, mut stop) = (0, letters.len());
        if columns(start, stop) > ROOM {
            while columns(start, first) > BEFORE {
                start += 1;
            }
            while columns(start, stop) > ROOM {
                stop -= 1;
            }
            // Near the end of a line there is more room before the fault.
            while start > 0 && columns(start - 1, stop) <= ROOM {
                start -= 1;
            }
        }
        let mut text: String = letters[start..stop].iter().map(|(shown, _)| shown.as_str()).collect();
        let mut indent = columns(start, first);
        if start > 0 {
            text.insert(0, '…');
            indent += 1;
        }
        if stop < letters.len() {
            text.push('…');
        }
        let length = columns(first, end.min(stop).max(first)).max(1);
        Some(Self { line: place.start.line, text: text.trim_end().to_owned(), indent, length })
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = number.len().max(3);
        writeln!(f, "{number:>gutter$} | {}", self.text)?;
        write!(f, "{:gutter$} | {}{}", "", " ".repeat(self.indent), "^".repeat(self.length))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Location;

    use super::*;

    fn marked(source: &str, line: u64, from: u64, to: u64) -> String {
        let place = Span::new(Location::new(line, from), Location::new(line, to));
        Excerpt::of(source, place, &[]).expect("a place in the source").to_string()
    }

    #[test]
    fn the_mark_lies_under_the_fault() {
        assert_eq!(marked("SELECT 1;\nSELECT ab\n", 2, 8, 10), "  2 | SELECT ab\n    |        ^^");
        assert_eq!(marked("\tSELECT\tab", 1, 9, 11), "  1 |     SELECT    ab\n    |               ^^");
        assert_eq!(marked("SELECT '人生', ab", 1, 14, 16), "  1 | SELECT '人生', ab\n    |                ^^");
        // The end of the statement.
        assert_eq!(marked("SELECT a +\r\n", 1, 11, 12), "  1 | SELECT a +\n    |           ^");
        let thousandth = format!("{}SELECT ab", "\n".repeat(1233));
        assert_eq!(marked(&thousandth, 1234, 8, 10), "1234 | SELECT ab\n     |        ^^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_fault() {
        let source = format!("{}ab{}", "x".repeat(500), "y".repeat(500));
        let text = marked(&source, 1, 501, 503);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("  1 | …{}ab{}…", "x".repeat(40), "y".repeat(58)));
        assert_eq!(lines[1].find('^'), Some(6 + 41));
        let at_the_end = marked(&format!("{}ab", "x".repeat(500)), 1, 501, 503);
        assert!(at_the_end.starts_with(&format!("  1 | …{}ab\n", "x".repeat(98))), "{at_the_end}");
        // A fault that is longer than a line of the terminal.
        let text = marked(&"x".repeat(500), 1, 1, 501);
        assert_eq!(text.lines().map(|line| line.chars().count()).max(), Some(6 + 101));
    }

    #[test]
    fn nothing_in_it_moves_the_cursor_or_is_secret() {
        assert!(!marked("SELECT \u{1b}[2J x", 1, 8, 9).contains('\u{1b}'));
        let place = Span::new(Location::new(1, 1), Location::new(1, 2));
        assert_eq!(Excerpt::of("OPTIONS ('x' 'hush')", place, &["hush".to_owned()]), None);
        let elsewhere = Span::new(Location::new(7, 1), Location::new(7, 2));
        assert_eq!(Excerpt::of("SELECT 1", elsewhere, &[]), None);
    }
}

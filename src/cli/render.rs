//! Pictures in the terminal: how much room and how many colours there are. What is drawn is `crate::render`'s affair.

use std::io::{self, IsTerminal};
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use terminal_size::{Height, Width};

use super::error::Failure;
use crate::render::{ColorDepth, Options};

/// Columns and rows of a picture where nothing tells how large the terminal is.
const FALLBACK: (u16, u16) = (100, 30);

/// Rows of a terminal that stay free for the prompt and the command above the picture.
const FREE_ROWS: u16 = 2;

/// Draws results to text. `size` is columns and rows; None is the terminal's.
///
/// # Errors
/// The results have no columns that a picture can show.
pub(crate) fn picture(results: &[Vec<RecordBatch>], size: Option<(u16, u16)>) -> Result<String, Failure> {
    let color = colors(io::stdout().is_terminal(), |name| std::env::var(name).ok());
    drawn(results, size.unwrap_or_else(room), color)
}

fn drawn(results: &[Vec<RecordBatch>], (width, height): (u16, u16), color: ColorDepth) -> Result<String, Failure> {
    let options = Options { width, height, color, ..Options::default() };
    let mut picture = crate::render::draw(results, &options).map_err(|error| Failure::new(error.to_string()))?;
    if !picture.ends_with('\n') {
        picture.push('\n');
    }
    Ok(picture)
}

/// Draws results to a text file: `.txt` in letters, `.ans` with the colours of a terminal.
///
/// # Errors
/// Another ending, the results have no columns that a picture can show, or the file cannot be written.
pub(crate) fn to_file(results: &[Vec<RecordBatch>], path: &Path, size: Option<(u16, u16)>) -> Result<(), Failure> {
    let color = match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => ColorDepth::None,
        Some("ans") => ColorDepth::TrueColor,
        _ => {
            let path = path.display();
            return Err(Failure::new(format!("a picture's file must end in .txt or .ans, was '{path}'")));
        }
    };
    let picture = drawn(results, size.unwrap_or(FALLBACK), color)?;
    std::fs::write(path, picture).map_err(|error| Failure::new(format!("cannot write '{}': {error}", path.display())))
}

fn room() -> (u16, u16) {
    if io::stdout().is_terminal()
        && let Some((Width(columns), Height(rows))) = terminal_size::terminal_size()
        && columns > 0
    {
        return (columns, rows.saturating_sub(FREE_ROWS).max(1));
    }
    let side =
        |name| std::env::var(name).ok().and_then(|text| text.trim().parse::<u16>().ok()).filter(|side| *side > 0);
    (side("COLUMNS").unwrap_or(FALLBACK.0), side("LINES").unwrap_or(FALLBACK.1))
}

/// How many colours the reader of standard output can see. `NO_COLOR` (no-color.org) outranks everything.
fn colors(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> ColorDepth {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
    if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return ColorDepth::None;
    }
    let forced = is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE");
    if !forced && (!is_terminal || variable("TERM").is_some_and(|terminal| terminal == "dumb")) {
        return ColorDepth::None;
    }
    match variable("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => ColorDepth::TrueColor,
        _ => ColorDepth::Ansi256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(is_terminal: bool, variables: &[(&str, &str)]) -> ColorDepth {
        colors(is_terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colors_follow_the_environment() {
        assert!(matches!(seen(true, &[]), ColorDepth::Ansi256));
        assert!(matches!(seen(true, &[("COLORTERM", "truecolor")]), ColorDepth::TrueColor));
        assert!(matches!(seen(true, &[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), ColorDepth::None));
        assert!(matches!(seen(false, &[("COLORTERM", "truecolor")]), ColorDepth::None));
        assert!(matches!(seen(false, &[("FORCE_COLOR", "1")]), ColorDepth::Ansi256));
        assert!(matches!(seen(true, &[("TERM", "dumb")]), ColorDepth::None));
    }
}

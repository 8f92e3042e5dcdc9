//! How much a chart can hold: lines in a legend, panels above each other.

use super::super::RenderError;
use super::super::frame::Panel;

/// Lines that a legend can hold.
pub(super) const MOST_LINES: usize = 12;
/// Panels that a picture can hold.
const MOST_PANELS: usize = 6;

/// # Errors
///
/// A legend cannot hold so many.
pub(super) fn check_lines(count: usize) -> Result<(), RenderError> {
    if count > MOST_LINES {
        return Err(RenderError::TooManyLines { count, most: MOST_LINES });
    }
    Ok(())
}

/// The panels that are drawn; the others are named in a note.
pub(super) fn drawn(mut panels: Vec<Panel>, notes: &mut Vec<String>) -> Vec<Panel> {
    if panels.len() > MOST_PANELS {
        let left_out: Vec<String> = panels.drain(MOST_PANELS..).map(|panel| panel.title).collect();
        notes.push(format!("not drawn: {}", left_out.join(", ")));
    }
    panels
}

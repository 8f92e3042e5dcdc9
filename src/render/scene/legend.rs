//! What the colours of a picture in a file stand for.

use super::super::color::Rgb;
use super::Area;
use super::font::{self, Weight};
use super::page::{Page, Style};

/// An entry of a legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) color: Rgb,
    pub(super) is_line: bool,
}

/// Draws entries of a legend into an area, whose height may be exceeded; returns where they end.
pub(super) fn draw(page: &mut Page, entries: &[Entry], area: Area) -> f64 {
    let em = page.em;
    let (mut x, mut y) = (area.left, area.top + em * 0.9);
    for entry in entries {
        let is_heading = entry.color == page.palette.background;
        let mark = if is_heading { 0.0 } else { em * 1.5 };
        let name = font::shortened(&entry.name, Weight::Regular, em, (area.width - mark).max(em * 3.0));
        let width = mark + page.width(&name) + em * 1.2;
        if x > area.left && x + width - em * 1.2 > area.right() {
            (x, y) = (area.left, y + em * 1.6);
        }
        let middle = y - em * 0.36;
        if entry.is_line {
            page.scene.level(x, x + em * 1.1, middle, em * 0.2, entry.color);
        } else if !is_heading {
            let side = em * 0.8;
            page.scene.fill(Area { left: x, top: middle - side / 2.0, width: side, height: side }, entry.color);
        }
        let name_x = if is_heading { x } else { x + mark - if entry.is_line { 0.0 } else { em * 0.3 } };
        page.text(&name, (name_x, y), Style::label(page.palette.ink));
        x += if is_heading { width - em * 0.6 } else { width };
    }
    if entries.is_empty() { area.top } else { y + em * 0.6 }
}

//! What the axes of several kinds of pictures have in common: the labels of time, and how the current price is written.

use super::super::axis;
use super::page::{Page, Style};
use super::{Anchor, Area};

/// Draws the labels of an axis of time below a plot.
pub(super) fn draw_ticks_of_time(page: &mut Page, plot: Area, first: i64, end: i64) {
    let em = page.em;
    let (edge, ink, strong) = (page.palette.edge, page.palette.ink, page.palette.strong);
    page.scene.level(plot.left, plot.right(), plot.bottom(), 1.0, edge);
    let ticks = axis::time_labels(first, end, (plot.width / (em * 0.72)) as usize);
    let is_date = |text: &str| !text.contains(':') || text.starts_with(|letter: char| letter.is_alphabetic());
    let has_clock = ticks.iter().any(|tick| !is_date(&tick.text));
    for tick in &ticks {
        let x = plot.left + (tick.ms - first) as f64 / (end - first) as f64 * plot.width;
        page.scene.upright(x, plot.bottom(), plot.bottom() + em * 0.4, 1.0, edge);
        let is_date = is_date(&tick.text);
        let style = Style::label(if is_date { strong } else { ink }).anchored(Anchor::Middle);
        let style = if is_date && has_clock { style.bold() } else { style };
        let half = page.width(&tick.text) * 0.55;
        let x = x.clamp(plot.left + half, (plot.right() - half).max(plot.left + half));
        page.text(&tick.text, (x, plot.bottom() + em * 1.5), style);
    }
    let style = Style::label(page.palette.faint).sized(em * 0.92);
    page.text("UTC", (plot.right() + em * 0.6, plot.bottom() + em * 1.5), style);
}

/// A price as its market writes it, without the zeros that the labels around it lack.
pub(super) fn current_label(price: f64, decimals: usize) -> String {
    let fine = axis::price_decimals(price).max(decimals);
    let needed = (decimals..fine).find(|&decimals| {
        let scaled = price * 10f64.powi(decimals as i32);
        (scaled - scaled.round()).abs() < 1e-3
    });
    axis::decimal(price, needed.unwrap_or(fine))
}

//! Panels above each other that share their x, lines and bars; or values with their intervals on labelled lines. Each
//! panel has its own scale and legend.
//!
//! ```text
//! title
//! price   ─ close                     a panel: title, legend, round values at the left
//! │ ╱╲__╱
//! USD     ▪ liquidated long ▪ …
//! │ ▐ ▌▐
//! └─────────── Feb 10   Feb 12 ──     one x axis below all, or one per panel where x is the value
//! ```

use super::super::color::Rgb;
use super::super::frame::{Chart, ChartX, LATEST_MS, Panel, Point, Series, SeriesMark, Unit};
use super::super::{Options, Paper, axis};
use super::axes::draw_ticks_of_time;
use super::font::Weight;
use super::legend::{self, Entry};
use super::page::{Page, Style, origin_parts};
use super::{Anchor, Area, Paint, Scene, Stroke, font};

/// Share of its place that a group of bars takes.
const BARS: f64 = 0.8;

/// Lays a chart out. One without points is its title and empty panels.
pub(super) fn draw(chart: &Chart, options: &Options, paper: Paper) -> Scene {
    let mut page = Page::new(options, paper);
    let across = across(chart);
    let top = page.head(options, &chart.subject, &subject_parts(chart, across));
    let bottom = page.foot(&footer_parts(chart));
    let em = page.em;
    let has_own_axes = chart.x == ChartX::Value;
    let axis_height = em * 2.1;
    let heights: Vec<f64> = chart.panels.iter().map(|panel| height(chart, panel)).collect();
    let whole: f64 = heights.iter().sum();
    let room = bottom - top - if has_own_axes { 0.0 } else { em * 1.4 };
    let left = left_of_plots(&page, chart);
    let mut last = None;
    let mut next = top;
    for (panel, share) in chart.panels.iter().zip(heights) {
        let height = room * share / whole;
        let place = Area { left, top: next, width: right_of_plots(&page) - left, height };
        next += height;
        last = Some(match chart.x {
            ChartX::Value => draw_values(&mut page, panel, place, axis_height),
            ChartX::Time | ChartX::Number(_) => draw_panel(&mut page, panel, place, across),
        });
    }
    if let (Some(plot), Some(across)) = (last, across) {
        match &chart.x {
            ChartX::Time => {
                let end = (across.high as i64).max((across.low as i64).saturating_add(1));
                draw_ticks_of_time(&mut page, plot, across.low as i64, end);
            }
            ChartX::Number(name) => draw_numbers(&mut page, plot, across, name),
            ChartX::Value => {}
        }
    }
    page.scene
}

/// The height of a panel in relation to the others: where values stand on labelled lines, lines are equally high.
fn height(chart: &Chart, panel: &Panel) -> f64 {
    if chart.x == ChartX::Value { panel.labels.len() as f64 + 2.0 } else { 1.0 }
}

fn subject_parts(chart: &Chart, across: Option<Span>) -> Vec<String> {
    let range = across.filter(|_| chart.x == ChartX::Time).map(|_| {
        let xs = points(chart).map(|point| point.x);
        let (first, last) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (x.min(low), x.max(high)));
        format!("{} UTC", axis::instants(first as i64, last as i64))
    });
    range.into_iter().chain(chart.origin.parameter_parts()).collect()
}

fn footer_parts(chart: &Chart) -> Vec<String> {
    let mut parts = origin_parts(&chart.origin);
    parts.extend(chart.notes.iter().cloned());
    let values = || chart.panels.iter().flat_map(drawn_values);
    if chart.x == ChartX::Value && values().any(|point| point.drawn_interval().is_some()) {
        parts.push("whiskers: the stated interval".to_owned());
    }
    parts
}

/// All that has a place where x is a time or a number.
fn points(chart: &Chart) -> impl Iterator<Item = &Point> {
    chart.panels.iter().flat_map(drawn)
}

fn drawn(panel: &Panel) -> impl Iterator<Item = &Point> {
    panel.series.iter().flat_map(|series| &series.points).filter(|point| point.is_drawn())
}

/// All that has a place where x is a value.
fn drawn_values(panel: &Panel) -> impl Iterator<Item = &Point> {
    panel.series.iter().flat_map(|series| &series.points).filter(|point| point.is_drawn_as_value())
}

/// What an axis shows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    /// Covers all values; a single one has room around it.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        if high - low > low.abs().max(high.abs()) * 1e-12 {
            return Some(Self { low, high });
        }
        let room = if low == 0.0 { 1.0 } else { low.abs() * 0.01 };
        Some(Self { low: low - room, high: high + room })
    }

    fn widened(self, share: f64) -> Self {
        let room = (self.high - self.low) * share;
        Self { low: self.low - room, high: self.high + room }
    }

    fn with_zero(self) -> Self {
        Self { low: self.low.min(0.0), high: self.high.max(0.0) }
    }

    /// Where a value lies, 0 at the lower end.
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// The x of all panels, with room for half a bar at its ends.
fn across(chart: &Chart) -> Option<Span> {
    if chart.x == ChartX::Value {
        return None;
    }
    let span = Span::of(points(chart).map(|point| point.x))?;
    let has_bars = chart.panels.iter().flat_map(|panel| &panel.series).any(|series| series.mark == SeriesMark::Bar);
    let step = chart.panels.iter().flat_map(|panel| &panel.series).filter_map(step_of).fold(f64::INFINITY, f64::min);
    match has_bars && step.is_finite() {
        true => Some(Span { low: span.low - step / 2.0, high: span.high + step / 2.0 }),
        false => Some(span),
    }
}

/// The smallest distance between two points of a series, gaps included.
fn step_of(series: &Series) -> Option<f64> {
    let xs: Vec<f64> = series.points.iter().map(|point| point.x).filter(|x| x.abs() <= LATEST_MS as f64).collect();
    xs.iter().zip(xs.iter().skip(1)).map(|(a, b)| b - a).filter(|step| *step > 0.0).reduce(f64::min)
}

fn left_of_plots(page: &Page, chart: &Chart) -> f64 {
    let labels = || chart.panels.iter().flat_map(|panel| &panel.labels);
    let widest = match chart.x {
        ChartX::Value => labels().map(|label| page.width(&font::clean(label))).fold(0.0, f64::max),
        ChartX::Time | ChartX::Number(_) => {
            let ends = chart.panels.iter().filter_map(|panel| Some((panel, values(panel)?)));
            let labels =
                ends.flat_map(|(panel, span)| value_ticks(panel, span, 6.0).into_iter().map(|(_, label)| label));
            labels.map(|label| page.width(&label)).fold(0.0, f64::max)
        }
    };
    page.scene.snap(page.margin + widest.min(page.scene.width * 0.33) + page.em * 0.8)
}

fn right_of_plots(page: &Page) -> f64 {
    // "UTC" stands right of the time axis.
    page.scene.snap(page.scene.width - page.margin - page.em * 2.6)
}

/// The values of a panel, with a little room above and below them.
fn values(panel: &Panel) -> Option<Span> {
    let span = Span::of(drawn(panel).map(|point| point.y))?;
    let has_bars = panel.series.iter().any(|series| series.mark == SeriesMark::Bar);
    // Amounts that reach down to near zero are read from zero.
    let is_near_zero = span.low >= 0.0 && span.low < span.high * 0.35;
    if has_bars || is_near_zero {
        let span = span.with_zero();
        let room = (span.high - span.low) * 0.06;
        let low = if span.low < 0.0 { span.low - room } else { 0.0 };
        let high = if span.high > 0.0 { span.high + room } else { 0.0 };
        return Some(Span { low, high });
    }
    Some(span.widened(0.06))
}

/// Round values within a span, written so that neighbours differ.
fn value_ticks(panel: &Panel, span: Span, lines: f64) -> Vec<(f64, String)> {
    let (step, decimals) = axis::round_step((span.high - span.low) / lines.max(1.0));
    let ticks: Vec<f64> = axis::multiples(span.low, span.high, step);
    // One value alone gives no scale.
    if ticks.len() < 2 && lines < 6.0 {
        return value_ticks(panel, span, lines.max(1.0) * 1.5);
    }
    let short: Vec<String> = ticks.iter().map(|&value| panel.unit.text(value)).collect();
    let are_different = short.windows(2).all(|pair| pair.first() != pair.last());
    if are_different && panel.unit != Unit::Price {
        return ticks.into_iter().zip(short).collect();
    }
    ticks.into_iter().map(|value| (value, axis::decimal(value, decimals))).collect()
}

/// Draws a panel with its scale, and returns the area of its plot.
fn draw_panel(page: &mut Page, panel: &Panel, place: Area, across: Option<Span>) -> Area {
    let em = page.em;
    let colors = page.palette.hues.series(panel);
    let top = draw_legend(page, panel, &colors, place);
    let bottom = page.scene.snap(place.bottom() - em * 0.9).max(page.scene.snap(top) + 4.0);
    let plot = Area::between(place.left, page.scene.snap(top), place.right(), bottom);
    page.scene.fill(plot, page.palette.plot);
    let (Some(across), Some(values)) = (across, values(panel)) else {
        let style = Style::label(page.palette.faint).anchored(Anchor::Middle);
        page.text("no values", ((plot.left + plot.right()) / 2.0, (plot.top + plot.bottom()) / 2.0), style);
        return plot;
    };
    for (value, label) in value_ticks(panel, values, (plot.height / (em * 2.4)).clamp(1.0, 10.0)) {
        let y = plot.bottom() - values.share(value) * plot.height;
        let line = if value == 0.0 { page.palette.edge } else { page.palette.grid };
        page.scene.level(plot.left, plot.right(), y, 1.0, line);
        let style = Style::label(page.palette.ink).anchored(Anchor::End);
        let baseline = page.baseline(y.clamp(plot.top + em * 0.2, plot.bottom() - em * 0.2));
        page.text(&label, (plot.left - em * 0.5, baseline), style);
    }
    let to = Place { across, values, plot };
    draw_bars(page, panel, &colors, to);
    let has_bars = panel.series.iter().any(|series| series.mark == SeriesMark::Bar);
    for (series, &color) in panel.series.iter().zip(&colors) {
        if series.mark != SeriesMark::Bar {
            draw_line(page, series, color, to, has_bars);
        }
    }
    plot
}

/// Draws a panel's title and legend at its top; returns where the plot begins.
fn draw_legend(page: &mut Page, panel: &Panel, colors: &[Rgb], place: Area) -> f64 {
    let em = page.em;
    let left = page.margin;
    let title = font::shortened(&font::clean(&panel.title), Weight::Bold, em, page.scene.width * 0.4);
    page.text(&title, (left, place.top + em * 0.9), Style::label(page.palette.strong).bold());
    let width = font::width(&title, Weight::Bold, em) + em * 1.4;
    let mut entries: Vec<Entry> = Vec::new();
    for (series, &color) in panel.series.iter().zip(colors) {
        let name = font::clean(&series.name);
        if !name.is_empty() && (panel.series.len() > 1 || name != panel.title) {
            entries.push(Entry { name, color, is_line: series.mark != SeriesMark::Bar });
        }
    }
    // Where panels are low the legend must leave room for what it explains: what does not fit on a line is left out.
    let area = Area { left: left + width, top: place.top, width: place.right() - left - width, height: 0.0 };
    let has_room = place.height > em * 9.0;
    if !has_room {
        let mut used = 0.0;
        entries.retain(|entry| {
            used += page.width(&entry.name) + em * 2.7;
            used <= area.width + em * 1.2
        });
    }
    let bottom = legend::draw(page, &entries, area);
    bottom.max(place.top + em * 1.5)
}

/// Values to units of the layout.
#[derive(Debug, Clone, Copy)]
struct Place {
    across: Span,
    values: Span,
    plot: Area,
}

impl Place {
    fn x(&self, x: f64) -> f64 {
        self.plot.left + self.across.share(x) * self.plot.width
    }

    fn y(&self, y: f64) -> f64 {
        self.plot.bottom() - self.values.share(y).clamp(0.0, 1.0) * self.plot.height
    }
}

/// Bars of one x side by side; where they are thinner than a pixel, the extremes of every pixel.
fn draw_bars(page: &mut Page, panel: &Panel, colors: &[Rgb], to: Place) {
    let bars: Vec<(&Series, Rgb)> =
        panel.series.iter().zip(colors.iter().copied()).filter(|(series, _)| series.mark == SeriesMark::Bar).collect();
    let steps = bars.iter().filter_map(|(series, _)| step_of(series));
    let step = steps.fold(f64::INFINITY, f64::min).min(to.across.high - to.across.low);
    let room = step / (to.across.high - to.across.low) * to.plot.width * BARS;
    let most = page.em * 4.0 * bars.len() as f64;
    let room = room.min(most);
    let pixel = 1.0 / page.scene.ratio;
    let each = room / bars.len().max(1) as f64;
    let is_apart = each >= pixel;
    let zero = to.y(0.0);
    for (position, &(series, color)) in bars.iter().enumerate() {
        let (shift, width) = match is_apart {
            true => (each * position as f64 - room / 2.0, each),
            false => (-room.max(pixel) / 2.0, room.max(pixel)),
        };
        let alpha = if is_apart || bars.len() == 1 { 1.0 } else { 0.65 };
        for (left, low, high) in extremes(&series.points, &to, pixel) {
            for value in [low.min(0.0), high.max(0.0)].into_iter().filter(|value| *value != 0.0) {
                let y = to.y(value);
                let area = Area { left: left + shift, top: y.min(zero), width, height: (y - zero).abs() };
                page.scene.rectangle(area, Paint::sheer(color, alpha));
            }
        }
    }
}

/// Points that share a pixel as one: its x, the least and the largest value.
fn extremes(points: &[Point], to: &Place, pixel: f64) -> Vec<(f64, f64, f64)> {
    let mut out: Vec<(f64, f64, f64)> = Vec::new();
    for point in points.iter().filter(|point| point.is_drawn()) {
        let x = to.x(point.x);
        match out.last_mut() {
            Some((last, low, high)) if (x - *last).abs() < pixel => {
                *low = low.min(point.y);
                *high = high.max(point.y);
            }
            _ => out.push((x, point.y, point.y)),
        }
    }
    out
}

/// A line that breaks at gaps. Of many points in one pixel the first, the extremes and the last are drawn.
///
/// Over bars a line has an edge in the colour of the plot.
fn draw_line(page: &mut Page, series: &Series, color: Rgb, to: Place, is_over_bars: bool) {
    let pixel = 1.0 / page.scene.ratio;
    let width = page.em * 0.14;
    let parts = series.points.split(|point| !point.is_drawn());
    for part in parts.filter(|part| !part.is_empty()) {
        let line = thinned(part, &to, pixel);
        if let [(x, y)] = line.as_slice() {
            draw_dot(page, (*x, *y), page.em * 0.26, color);
        }
        if is_over_bars {
            page.scene.line(line.clone(), Stroke::solid(page.palette.plot, width * 2.6));
        }
        page.scene.line(line, Stroke::solid(color, width));
    }
    // Few points are shown as such: a straight line between two of them is not a measurement.
    if series.points.len() <= 60 && to.plot.width / series.points.len().max(1) as f64 > page.em {
        for point in series.points.iter().filter(|point| point.is_drawn()) {
            draw_dot(page, (to.x(point.x), to.y(point.y)), page.em * 0.22, color);
        }
    }
}

fn thinned(points: &[Point], to: &Place, pixel: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    let mut rest = points;
    while let Some(first) = rest.first() {
        let start = to.x(first.x);
        let count = rest.iter().take_while(|point| to.x(point.x) - start < pixel).count().max(1);
        let (together, after) = rest.split_at(count);
        let ys = || together.iter().map(|point| to.y(point.y));
        if count <= 3 {
            out.extend(together.iter().map(|point| (to.x(point.x), to.y(point.y))));
        } else {
            let (low, high) = ys().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
            let ends = [ys().next(), Some(low), Some(high), ys().next_back()];
            out.extend(ends.into_iter().flatten().map(|y| (start, y)));
        }
        rest = after;
    }
    out
}

/// A dot is a short polygon: the only round shape a scene has.
fn draw_dot(page: &mut Page, (x, y): (f64, f64), radius: f64, color: Rgb) {
    const CORNERS: u32 = 20;
    let corner = |index: u32| {
        let angle = std::f64::consts::TAU * f64::from(index) / f64::from(CORNERS);
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    page.scene.polygon((0..CORNERS).map(corner).collect(), Paint::opaque(color));
}

fn draw_numbers(page: &mut Page, plot: Area, across: Span, name: &str) {
    let em = page.em;
    page.scene.level(plot.left, plot.right(), plot.bottom(), 1.0, page.palette.edge);
    let (step, decimals) = axis::round_step((across.high - across.low) / (plot.width / (em * 7.0)).max(1.0));
    // Steps are counted: there is nothing between two of them.
    let (step, decimals) = if step < 1.0 && across.high - across.low >= 1.0 { (1.0, 0) } else { (step, decimals) };
    let y = plot.bottom() + em * 1.5;
    for value in axis::multiples(across.low, across.high, step) {
        let x = plot.left + across.share(value) * plot.width;
        page.scene.upright(x, plot.bottom(), plot.bottom() + em * 0.4, 1.0, page.palette.edge);
        page.text(&axis::decimal(value, decimals), (x, y), Style::label(page.palette.ink).anchored(Anchor::Middle));
    }
    let style = Style::label(page.palette.faint).anchored(Anchor::End);
    let name = font::shortened(&font::clean(name), Weight::Regular, em, plot.left - em);
    let place = (plot.left - em * 0.8, y);
    page.text(&name, place, style);
}

/// Draws labelled lines with a dot and its interval on each; x is the value. Returns the area of the plot.
fn draw_values(page: &mut Page, panel: &Panel, place: Area, axis_height: f64) -> Area {
    let em = page.em;
    let colors = page.palette.hues.series(panel);
    let top = draw_legend(page, panel, &colors, place);
    let bottom = (place.bottom() - axis_height - em * 0.3).max(top + 4.0);
    let plot = Area::between(place.left, page.scene.snap(top), place.right(), page.scene.snap(bottom));
    page.scene.fill(plot, page.palette.plot);
    let ends = |point: &Point| {
        let (low, high) = point.drawn_interval().unwrap_or((point.x, point.x));
        [point.x, low, high, 0.0]
    };
    let Some(across) = Span::of(drawn_values(panel).flat_map(ends)).map(|span| span.widened(0.06)) else {
        return plot;
    };
    let x_of = |value: f64| plot.left + across.share(value).clamp(0.0, 1.0) * plot.width;
    for (value, label) in value_ticks(panel, across, (plot.width / (em * 8.0)).clamp(1.0, 12.0)) {
        let line = if value == 0.0 { page.palette.edge } else { page.palette.grid };
        let width = if value == 0.0 { 2.0 } else { 1.0 };
        page.scene.upright(x_of(value), plot.top, plot.bottom(), width, line);
        let style = Style::label(page.palette.ink).anchored(Anchor::Middle);
        page.text(&label, (x_of(value), plot.bottom() + em * 1.4), style);
    }
    let count = panel.labels.len().max(1) as f64;
    let y_of = |line: f64| plot.top + (line + 0.5) / count * plot.height;
    // Labels that would overlap are left out, evenly.
    let every = ((em * 1.25) / (plot.height / count)).ceil().max(1.0) as usize;
    for (index, label) in panel.labels.iter().enumerate().step_by(every) {
        let label = font::shortened(&font::clean(label), Weight::Regular, em, plot.left - page.margin - em * 0.7);
        let y = page.baseline(y_of(index as f64));
        let style = Style::label(page.palette.ink).anchored(Anchor::End);
        page.text(&label, (plot.left - em * 0.6, y), style);
    }
    for (series, &color) in panel.series.iter().zip(&colors) {
        for point in series.points.iter().filter(|point| point.is_drawn_as_value()) {
            let y = y_of(point.y).clamp(plot.top, plot.bottom());
            if let Some((low, high)) = point.drawn_interval() {
                page.scene.level(x_of(low), x_of(high), y, em * 0.16, color);
                for end in [low, high] {
                    page.scene.upright(x_of(end), y - em * 0.3, y + em * 0.3, em * 0.12, color);
                }
            }
            draw_dot(page, (x_of(point.x), y), em * 0.36, color);
        }
    }
    plot
}

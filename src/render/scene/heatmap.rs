//! Time × price as coloured cells, with the candles over them and the pools beside them.
//!
//! ```text
//! title                                    what, and below it when, which model, which parameters
//! ┌─┐ ┌─────────────────────────┐ 96,000
//! │ │ │ cells and candles       │ 95,000 ] short $2.4M · +3.1 %
//! │ │ │- - - - - - - - - - - - -│[94,210]
//! └─┘ └─────────────────────────┘ 93,000
//! scale Feb 10    12:00          UTC
//! footer                                   estimated or not, what is hidden, what stands
//! ```

use std::ops::Range;

use super::super::color::{ColorScale, Rgb};
use super::super::frame::{Candle, Heatmap, Pool, PoolSide, ignored_label};
use super::super::palette::Colors;
use super::super::view::{self, View, Visible};
use super::super::{Options, Paper, RenderError, axis, raster};
use super::axes::{current_label, draw_ticks_of_time};
use super::page::{Page, Style, origin_parts};
use super::{Anchor, Area, Grid, Paint, Scene, Stroke};

/// The narrowest candle that shows whether it rose, with its gap, in units.
const NARROWEST_CANDLE: f64 = 3.6;
/// Share of a column that the body of a candle takes.
const BODY: f64 = 0.72;
/// Pools that are named on each side.
const MOST_POOLS: usize = 6;
/// Share of the paper that the names of pools may take.
const MOST_GUTTER: f64 = 0.2;

/// Lays a heatmap out.
///
/// # Errors
///
/// Nothing stands at the prices asked for.
pub(super) fn draw(heatmap: &Heatmap, options: &Options, paper: Paper) -> Result<Scene, RenderError> {
    let view = View::of(heatmap, options)?;
    let mut page = Page::new(options, paper);
    let top = page.head(options, &heatmap.subject(), &subject_parts(heatmap));
    let sides = Sides::new(&page, heatmap, view);
    // The footer states how candles were merged, which depends on the width only.
    let merged = candles_in_one(heatmap, page.scene.width - sides.left - sides.right());
    let bottom = page.foot(&footer_parts(heatmap, view.visible, options, merged));
    let plot = plot(&page, &sides, top, bottom);

    let pooled = Pooled::new(heatmap, view, page.scene.pixels(plot.width), page.scene.pixels(plot.height));
    let brightest = view::brightest(&pooled.usd, view.visible);
    let scale = ColorScale::new(view.visible.threshold_usd, brightest, options.scale);
    let colors = Colors::new(scale, options.theme);
    let grid = pooled.grid(plot, &colors, page.palette.background);
    page.scene.items.push(super::Item::Grid(grid));

    let prices = Prices { view, plot };
    let price = heatmap.last_price();
    if let Some(y) = price.and_then(|price| prices.y_within(price)) {
        let (color, dash) = (page.palette.price, page.em * 0.4);
        page.scene.dashed((plot.left, y), (plot.right(), y), color, 1.0, dash);
    }
    draw_prices_traded(&mut page, heatmap, &prices, merged);
    draw_gaps(&mut page, plot, &heatmap.is_present);
    draw_color_scale(&mut page, plot, &scale, &colors, view.visible);
    draw_time_axis(&mut page, plot, heatmap);
    draw_price_axis(&mut page, &prices, sides.prices, price);
    draw_pools(&mut page, &prices, &heatmap.pools, &sides);
    Ok(page.scene)
}

/// What stands below the title: when, and what the query set.
fn subject_parts(heatmap: &Heatmap) -> Vec<String> {
    let cell = format!("cell {}", heatmap.cell_label());
    [heatmap.range_label()].into_iter().chain(heatmap.origin.parameter_parts()).chain([cell]).collect()
}

fn footer_parts(heatmap: &Heatmap, visible: Visible, options: &Options, merged: usize) -> Vec<String> {
    let mut parts = origin_parts(&heatmap.origin);
    parts.push(heatmap.coverage_label());
    parts.push(format!(
        "standing at the end: longs {}, shorts {}",
        axis::usd(heatmap.last_usd.0),
        axis::usd(heatmap.last_usd.1)
    ));
    parts.push(format!("largest cell {}", axis::usd(visible.max_usd)));
    parts.push(format!(
        "threshold {} × mean: {} of {} cells below {} hidden",
        axis::given(options.threshold),
        axis::count(visible.hidden),
        axis::count(visible.cells),
        axis::usd(visible.threshold_usd),
    ));
    parts.push(format!("intensity: {}", options.scale.name()));
    parts.extend(heatmap.hidden_side(visible.threshold_usd));
    if merged > 1 && !heatmap.candles.is_empty() {
        let span = heatmap.time.step_ms.saturating_mul(merged as i64);
        parts.push(format!("candles of {}", axis::duration(span)));
    }
    parts.extend(ignored_label(heatmap.ignored_rows));
    parts
}

/// What stands left and right of the cells.
#[derive(Debug, Clone, Copy)]
struct Sides {
    /// The colour scale, with the margin of the paper.
    left: f64,
    /// The labels of the price axis.
    prices: f64,
    /// The pools, 0 where there is no room for their names.
    pools: f64,
    margin: f64,
}

impl Sides {
    fn new(page: &Page, heatmap: &Heatmap, view: View) -> Self {
        let em = page.em;
        let widest = [view.low, view.high].into_iter().chain(heatmap.last_price()).fold(0.0, f64::max);
        let decimals = axis::price_decimals(view.high).max(axis::round_step((view.high - view.low) / 20.0).1);
        // The tag of the current price is bold.
        let prices = page.width(&axis::decimal(widest, decimals)) * 1.1 + em * 1.6;
        let names = heatmap.pools.iter().map(|pool| page.width(&pool.label_with_side()));
        let pools = names.fold(0.0, f64::max) + em * 2.2;
        let has_room = !heatmap.pools.is_empty() && pools <= page.scene.width * MOST_GUTTER;
        Self {
            left: page.margin + em * 2.2 + page.width("≥$999M"),
            prices,
            pools: if has_room { pools } else { 0.0 },
            margin: page.margin * if has_room { 0.5 } else { 0.3 },
        }
    }

    fn right(&self) -> f64 {
        self.prices + self.pools + self.margin
    }
}

fn plot(page: &Page, sides: &Sides, top: f64, bottom: f64) -> Area {
    let scene = &page.scene;
    let below = page.em * 1.9;
    Area::between(
        scene.snap(sides.left),
        scene.snap(top),
        scene.snap((scene.width - sides.right()).max(sides.left + page.em)),
        scene.snap((bottom - below).max(top + page.em)),
    )
}

/// Price to y.
#[derive(Debug, Clone, Copy)]
struct Prices {
    view: View,
    plot: Area,
}

impl Prices {
    fn y(&self, price: f64) -> f64 {
        self.plot.bottom() - (price - self.view.low) / (self.view.high - self.view.low) * self.plot.height
    }

    fn y_within(&self, price: f64) -> Option<f64> {
        let y = self.y(price);
        (y >= self.plot.top && y <= self.plot.bottom()).then_some(y)
    }

    /// The part of a range of prices that is seen, upper edge first.
    fn range(&self, low: f64, high: f64) -> Option<(f64, f64)> {
        let (top, bottom) = (self.y(high), self.y(low));
        let is_seen = bottom >= self.plot.top && top <= self.plot.bottom();
        is_seen.then(|| (top.max(self.plot.top), bottom.min(self.plot.bottom())))
    }
}

/// The largest cell of every part of the picture that can be told apart.
///
/// Where pixels are finer than cells, several pixels share one entry; where they are coarser, one entry is the maximum
/// of several cells.
struct Pooled {
    /// Column by column, the lowest row first. `None` is a gap in the data.
    usd: Vec<Option<f64>>,
    rows: usize,
    columns: usize,
    across: Vec<usize>,
    /// From the top.
    down: Vec<usize>,
}

impl Pooled {
    fn new(heatmap: &Heatmap, view: View, width: usize, height: usize) -> Self {
        let (time, price) = (heatmap.time, heatmap.price);
        let across = raster::spans(0.0, 1.0, time.count, 0.0, time.count as f64, width);
        let along = raster::spans(price.low, price.step, price.count, view.low, view.high, height);
        let (across, columns) = distinct(across);
        let (along, rows) = distinct(along);
        let down = along.iter().rev().map(|row| rows.len() - 1 - row).collect();
        let mut usd = Vec::with_capacity(columns.len() * rows.len());
        let mut largest = vec![0.0; price.count];
        for within in &columns {
            if !heatmap.is_present.get(within.clone()).unwrap_or_default().contains(&true) {
                usd.extend(rows.iter().map(|_| None));
                continue;
            }
            // Cells of a column stand side by side in memory: whole columns are compared first, then rows.
            largest.fill(0.0);
            let cells = heatmap.cells.get(within.start * price.count..within.end * price.count).unwrap_or_default();
            for column in cells.chunks_exact(price.count) {
                for (largest, &cell) in largest.iter_mut().zip(column) {
                    *largest = if cell > *largest { cell } else { *largest };
                }
            }
            usd.extend(rows.iter().map(|row| {
                let cells = largest.get(row.clone()).unwrap_or_default();
                Some(cells.iter().fold(0.0, |most: f64, &cell| if cell > most { cell } else { most }))
            }));
        }
        Self { usd, rows: rows.len(), columns: columns.len(), across, down }
    }

    fn grid(self, plot: Area, colors: &Colors, gap: Rgb) -> Grid {
        let mut cells = vec![gap; self.usd.len()];
        for (column, usd) in self.usd.chunks(self.rows.max(1)).enumerate() {
            for (row, usd) in usd.iter().rev().enumerate() {
                if let (Some(cell), Some(usd)) = (cells.get_mut(row * self.columns + column), usd) {
                    *cell = colors.of(*usd);
                }
            }
        }
        Grid::new(plot, self.across, self.down, self.columns, cells)
    }
}

/// Which of the different ranges each one is, and those; equal ranges stand side by side.
fn distinct(ranges: Vec<Range<usize>>) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut different: Vec<Range<usize>> = Vec::new();
    let mut positions = Vec::with_capacity(ranges.len());
    for range in ranges {
        if different.last() != Some(&range) {
            different.push(range);
        }
        positions.push(different.len() - 1);
    }
    (positions, different)
}

/// Columns that share a candle, so that each candle can be read.
fn candles_in_one(heatmap: &Heatmap, width: f64) -> usize {
    let column = width / heatmap.time.count.max(1) as f64;
    (NARROWEST_CANDLE / column).ceil().clamp(1.0, heatmap.time.count.max(1) as f64) as usize
}

/// The candles, or a line through the prices of the columns where no result has candles.
fn draw_prices_traded(page: &mut Page, heatmap: &Heatmap, prices: &Prices, merged: usize) {
    let count = heatmap.time.count;
    let column = prices.plot.width / count.max(1) as f64;
    if heatmap.candles.is_empty() {
        draw_price_line(page, heatmap, prices, column);
        return;
    }
    let mut shapes = Vec::new();
    for start in (0..count).step_by(merged.max(1)) {
        let end = (start + merged).min(count);
        if let Some(candle) = heatmap.candle(start..end) {
            let (left, right) = (prices.plot.left + start as f64 * column, prices.plot.left + end as f64 * column);
            shapes.push((candle, CandleShape::new(&page.scene, prices, candle, left, right)));
        }
    }
    let edge = page.scene.whole(0.7);
    let outline = Paint::sheer(page.palette.outline, 0.8);
    // All edges first: they must not cover the body beside them.
    for (_, shape) in &shapes {
        for area in [shape.wick, shape.body].into_iter().flatten() {
            let grown = Area::between(area.left - edge, area.top - edge, area.right() + edge, area.bottom() + edge);
            page.scene.rectangle(grown, outline);
        }
    }
    for (candle, shape) in &shapes {
        let color = if candle.close < candle.open { page.palette.fallen } else { page.palette.risen };
        for area in [shape.wick, shape.body].into_iter().flatten() {
            page.scene.fill(area, color);
        }
    }
}

struct CandleShape {
    wick: Option<Area>,
    body: Option<Area>,
}

impl CandleShape {
    /// The body is an odd number of pixels wider than the wick on neither side: both have the same middle.
    fn new(scene: &Scene, prices: &Prices, candle: Candle, left: f64, right: f64) -> Self {
        let width = right - left;
        let pixel = 1.0 / scene.ratio;
        let wick = scene.whole((width * 0.12).clamp(1.0, 2.5));
        let mut body = scene.whole(width * BODY);
        if (scene.pixels(body) + scene.pixels(wick)) % 2 == 1 {
            body = if body > wick + pixel { body - pixel } else { body + pixel };
        }
        let start = scene.snap(left + (width - body) / 2.0);
        let area = |low: f64, high: f64, left: f64, width: f64| {
            let (top, bottom) = prices.range(low, high)?;
            let bottom = scene.snap(bottom).max(scene.snap(top) + pixel);
            Some(Area::between(left, scene.snap(top), left + width, bottom))
        };
        Self {
            wick: area(candle.low, candle.high, start + (body - wick) / 2.0, wick),
            body: area(candle.open.min(candle.close), candle.open.max(candle.close), start, body),
        }
    }
}

/// Names the gaps that are wide enough for it: a column without rows is no empty book.
fn draw_gaps(page: &mut Page, plot: Area, is_present: &[bool]) {
    const NAME: &str = "no data";
    let column = plot.width / is_present.len().max(1) as f64;
    let needed = page.width(NAME) + page.em;
    let mut start = 0;
    for gap in is_present.chunk_by(|a, b| a == b) {
        let width = gap.len() as f64 * column;
        if gap.first() == Some(&false) && width >= needed {
            let middle = plot.left + start as f64 * column + width / 2.0;
            let style = Style::label(page.palette.faint).anchored(Anchor::Middle).with_halo(page.palette.background);
            page.text(NAME, (middle, plot.bottom() - page.em), style);
        }
        start += gap.len();
    }
}

/// A line through the prices, each of which stands at the beginning of its column and holds to the end of the last one.
fn draw_price_line(page: &mut Page, heatmap: &Heatmap, prices: &Prices, column: f64) {
    let count = heatmap.current.len();
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (index, price) in heatmap.current.iter().enumerate() {
        let x = prices.plot.left + index as f64 * column;
        match (price.and_then(|price| prices.y_within(price)), lines.last_mut()) {
            (Some(y), Some(line)) => {
                line.push((x, y));
                if index + 1 == count {
                    line.push((x + column, y));
                }
            }
            (None, Some(line)) if !line.is_empty() => lines.push(Vec::new()),
            _ => {}
        }
    }
    let width = page.em * 0.13;
    for line in lines {
        let line = match line.as_slice() {
            // One column alone is a dash.
            &[(x, y)] => vec![(x, y), (x + column, y)],
            _ => line,
        };
        let under = Stroke { paint: Paint::sheer(page.palette.outline, 0.7), width: width * 2.4, dash: None };
        page.scene.line(line.clone(), under);
        page.scene.line(line, Stroke::solid(page.palette.risen, width));
    }
}

fn draw_color_scale(page: &mut Page, plot: Area, scale: &ColorScale, colors: &Colors, visible: Visible) {
    let em = page.em;
    let bar_left = page.scene.snap(page.margin);
    let width = page.scene.whole(em * 0.9);
    let hidden = if visible.hidden > 0 { em * 1.1 } else { 0.0 };
    let bar = Area::between(bar_left, plot.top, bar_left + width, page.scene.snap(plot.bottom() - hidden * 1.5));
    let rows = page.scene.pixels(bar.height);
    let steps = (0..rows).map(|row| colors.at(1.0 - row as f64 / rows.saturating_sub(1).max(1) as f64)).collect();
    let across = vec![0; page.scene.pixels(width)];
    page.scene.items.push(super::Item::Grid(Grid::new(bar, across, (0..rows).collect(), 1, steps)));
    let (ink, edge) = (page.palette.ink, page.palette.edge);
    let label_left = bar.right() + em * 0.75;
    let parts = ((bar.height / (em * 5.0)) as usize).clamp(1, 8);
    let mut before = None;
    for part in 0..=parts {
        let position = part as f64 / parts as f64;
        let y = bar.bottom() - position * bar.height;
        let prefix = if part == parts { "≥" } else { "" };
        let label = format!("{prefix}{}", axis::usd(scale.usd(position)));
        // Near a high threshold, or where a square root begins, neighbours are the same amount in three digits.
        if before.as_ref() == Some(&label) {
            continue;
        }
        before = Some(label.clone());
        page.scene.level(bar.right(), bar.right() + em * 0.35, y, 1.0, edge);
        // The outer labels stay beside the bar.
        let y = page.baseline(y.clamp(bar.top + em * 0.4, bar.bottom() - em * 0.4));
        let most = plot.left - label_left - em * 0.3;
        let label = super::font::shortened(&label, super::Weight::Regular, em, most);
        page.text(&label, (label_left, y), Style::label(ink));
    }
    if hidden > 0.0 {
        let swatch = Area::between(bar.left, plot.bottom() - hidden, bar.right(), plot.bottom());
        page.scene.fill(swatch, edge);
        let line = page.scene.whole(1.0);
        let inner = Area::between(
            page.scene.snap(swatch.left) + line,
            page.scene.snap(swatch.top) + line,
            page.scene.snap(swatch.right()) - line,
            page.scene.snap(swatch.bottom()) - line,
        );
        page.scene.fill(inner, colors.nothing);
        let y = page.baseline(swatch.top + hidden / 2.0);
        page.text("hidden", (label_left, y), Style::label(page.palette.faint));
    }
    let y = plot.bottom() + em * 1.5;
    let style = Style::label(page.palette.faint).sized(em * 0.92);
    page.text("USD in a cell", (page.margin, y), style);
}

fn draw_time_axis(page: &mut Page, plot: Area, heatmap: &Heatmap) {
    draw_ticks_of_time(page, plot, heatmap.time.first_ms, heatmap.time.end_ms());
}

fn draw_price_axis(page: &mut Page, prices: &Prices, width: f64, current: Option<f64>) {
    let (em, plot, view) = (page.em, prices.plot, prices.view);
    let (edge, ink) = (page.palette.edge, page.palette.ink);
    let lines = (plot.height / (em * 3.4)).max(2.0);
    let (step, decimals) = axis::round_step((view.high - view.low) / lines);
    page.scene.upright(plot.right(), plot.top, plot.bottom(), 1.0, edge);
    let tag = current.map(|price| (price, prices.y(price).clamp(plot.top, plot.bottom())));
    for price in axis::multiples(view.low, view.high, step) {
        let y = prices.y(price);
        page.scene.level(plot.right(), plot.right() + em * 0.4, y, 1.0, edge);
        let is_under_tag = tag.is_some_and(|(_, tag)| (tag - y).abs() < em * 1.5);
        if !is_under_tag && y > plot.top + em * 0.4 && y < plot.bottom() - em * 0.3 {
            let (x, y) = (plot.right() + em * 0.8, page.baseline(y));
            page.text(&axis::decimal(price, decimals), (x, y), Style::label(ink));
        }
    }
    if let Some((price, y)) = tag {
        let height = em * 1.6;
        let label = current_label(price, decimals);
        // A price outside the picture is named at the edge it lies behind.
        let arrow = match prices.y_within(price) {
            Some(_) => "",
            None if price > view.high => "↑",
            None => "↓",
        };
        let area = Area { left: plot.right(), top: y - height / 2.0, width: width - em * 0.2, height };
        let (fill, color) = (page.palette.price, page.palette.on_price);
        page.tag(area, &format!("{arrow}{label}"), fill, color);
    }
}

/// Marks the prices of the largest pools of each side, and names those whose names do not overlap.
fn draw_pools(page: &mut Page, prices: &Prices, pools: &[Pool], sides: &Sides) {
    let (em, plot) = (page.em, prices.plot);
    let has_names = sides.pools > 0.0;
    let left = plot.right() + if has_names { sides.prices + em * 0.3 } else { em * 0.1 };
    let step = em * 1.5;
    let mut taken: Vec<f64> = Vec::new();
    for side in [PoolSide::Short, PoolSide::Long] {
        let color = page.palette.hues.side(side);
        let seen = pools.iter().filter(|pool| pool.side == side);
        let seen = seen.filter_map(|pool| Some((pool, prices.range(pool.low, pool.high)?)));
        for (pool, (top, bottom)) in seen.take(MOST_POOLS) {
            let at = prices.y(pool.price).clamp(top, bottom);
            let y = at.clamp(plot.top + em * 0.5, plot.bottom() - em * 0.5);
            // A name may move a little from its price if another stands there.
            let near = [0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2].map(|shift| y + shift * step);
            let is_free = |y: &f64| taken.iter().all(|other| (other - y).abs() >= step);
            let Some(y) = near.into_iter().find(is_free) else { continue };
            let width = page.scene.whole(em * 0.28);
            // Pools can touch: a pixel on each side keeps them apart.
            let (top, bottom) = (top + 1.0, (bottom - 1.0).max(top + 2.0));
            page.scene.fill(Area { left, top, width, height: bottom - top }, color);
            if has_names {
                // The same mark where the cells end, so that the eye finds the level.
                let beside = Area { left: plot.right(), top, width: width * 0.75, height: bottom - top };
                page.scene.fill(beside, color);
                taken.push(y);
                let joint = (left + width, left + em * 1.1);
                let stroke = Stroke::solid(color, 1.0);
                page.scene.line(vec![(joint.0, at), (joint.0 + em * 0.25, at), (joint.1, y)], stroke);
                let style = Style::label(color);
                let baseline = page.baseline(y);
                page.text(&pool.label_with_side(), (joint.1 + em * 0.3, baseline), style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::super::Item;
    use super::*;

    /// The white lines of the price, as columns and prices.
    fn price_lines(current: Vec<Option<f64>>) -> Vec<Vec<(f64, f64)>> {
        let cells = vec![1.0e6; current.len() * 10];
        let heatmap = Heatmap { cells, current, ..samples::heatmap(4, 10) };
        let options =
            Options { prices: Some(super::super::super::Prices::Between(100.0, 110.0)), ..Options::default() };
        let scene = draw(&heatmap, &options, Paper::default()).unwrap();
        let plot = scene.items.iter().find_map(|item| if let Item::Grid(grid) = item { Some(grid.area) } else { None });
        let (plot, risen) = (plot.unwrap(), super::super::super::palette::Palette::of(options.theme).risen);
        let place = |(x, y): &(f64, f64)| {
            let price = 110.0 - (y - plot.top) / plot.height * 10.0;
            (((x - plot.left) / plot.width * 4.0 * 1e6).round() / 1e6, (price * 1e6).round() / 1e6)
        };
        let lines = scene.items.iter().filter_map(|item| match item {
            Item::Line(points, stroke) if stroke.paint.color == risen && stroke.dash.is_none() => Some(points),
            _ => None,
        });
        lines.map(|points| points.iter().map(place).collect()).collect()
    }

    #[test]
    fn a_price_stands_at_the_beginning_of_its_column() {
        let all = price_lines(vec![Some(102.0), Some(104.0), Some(105.0), Some(107.0)]);
        assert_eq!(all, [[(0.0, 102.0), (1.0, 104.0), (2.0, 105.0), (3.0, 107.0), (4.0, 107.0)]]);
        let gaps = price_lines(vec![Some(102.0), None, Some(105.0), None]);
        assert_eq!(gaps, [[(0.0, 102.0), (1.0, 102.0)], [(2.0, 105.0), (3.0, 105.0)]]);
    }

    #[test]
    fn the_size_of_a_cell_keeps_its_digits() {
        let mut heatmap = Heatmap { cells: vec![1.0; 8], ..samples::heatmap(2, 4) };
        heatmap.price.step = 12.25;
        assert_eq!(subject_parts(&heatmap).last().map(String::as_str), Some("cell 1 h × 12.25"));
        heatmap.ignored_rows = 1;
        let view = View::of(&heatmap, &Options::default()).unwrap();
        let footer = footer_parts(&heatmap, view.visible, &Options::default(), 1);
        assert_eq!(footer.last().map(String::as_str), Some("1 row with nulls ignored"));
    }
}

//! Amounts by price at one instant as upright bars, and what adds up from the current price outward as curves.
//!
//! ```text
//! title
//! ▪ 5x ▪ 10x … ─ all longs down to a price  ─ all shorts up to a price
//!  $  ┌──────────────┊─────────────┐ $
//!     │╲_    ▐       ┊     ▌   __╱ │        left axis: bars, right axis: curves
//!     │▌ ╲__▐▐▐__    ┊ __▌▌_╱▌▌    │
//!     └──────────────┊─────────────┘
//!     80,000      [82,533]     86,000
//! ```
//!
//! A bar is an amount between two prices: bars of several buckets are sums, and their sum is what the footer states.

use super::super::color::Rgb;
use super::super::frame::{LayeredBy, Map, MapRow, PoolSide, ignored_label};
use super::super::{Options, Paper, RenderError, axis, view};
use super::axes::current_label;
use super::font::Weight;
use super::legend::{self, Entry};
use super::page::{Page, Style, origin_parts};
use super::{Anchor, Area, Paint, Scene, Stroke, font};

/// The narrowest bar with its gap, in units.
const NARROWEST_BAR: f64 = 3.0;
/// Pools that are named on each side.
const MOST_POOLS: usize = 4;

/// Lays a map out.
///
/// # Errors
///
/// Nothing stands at the prices asked for.
pub(super) fn draw(map: &Map, options: &Options, paper: Paper) -> Result<Scene, RenderError> {
    let seen = view::rows_of_map(map, options)?;
    let rows: Vec<MapRow> = seen.iter().filter_map(|&index| map.rows.get(index)).copied().collect();
    let (low, high) = prices_of(map, options, &rows)?;
    let mut page = Page::new(options, paper);
    let em = page.em;
    let top = page.head(options, &map.subject(), &subject_parts(map));
    let layers = Layers::of(map, &page);
    let entries = layers.legend(map, &rows, &page);
    let area = Area { left: page.margin, top, width: page.scene.width - 2.0 * page.margin, height: 0.0 };
    let top = legend::draw(&mut page, &entries, area);
    let (left, right) = (page.margin + page.width("$999M") + em, page.margin + page.width("$999M") + em);
    let width = page.scene.width - left - right;
    let bars = Bars::new(&seen, map, &layers, (low, high), (width / NARROWEST_BAR) as usize);
    let bottom = page.foot(&footer_parts(map, &rows, &bars));

    let strip = if map.pools.is_empty() { 0.0 } else { em * 3.4 };
    let has_pools = strip > 0.0 && bottom - top > em * 22.0;
    let plot = Area::between(
        page.scene.snap(left),
        page.scene.snap(top + em * 0.4 + if has_pools { strip } else { 0.0 }),
        page.scene.snap((left + width).max(left + em)),
        page.scene.snap((bottom - em * 2.1).max(top + em * 2.0)),
    );
    page.scene.fill(plot, page.palette.plot);
    let prices = Prices { low, high, plot };
    let amounts = Amounts::new(plot, bars.largest(), em);
    let sums = Amounts::new(plot, rows.iter().filter_map(largest_sum).fold(0.0, f64::max), em);
    draw_amounts(&mut page, &amounts, &sums, rows.iter().any(|row| largest_sum(row).is_some()));
    draw_curves(&mut page, map, &rows, prices, &sums, Part::Areas);
    draw_bars(&mut page, &bars, &layers, prices, &amounts);
    draw_curves(&mut page, map, &rows, prices, &sums, Part::Lines);
    draw_price_axis(&mut page, prices, map.current);
    if has_pools {
        draw_pools(&mut page, map, prices);
    }
    Ok(page.scene)
}

fn subject_parts(map: &Map) -> Vec<String> {
    let at = map.at_ms.map(|ms| format!("{} UTC", axis::instant(ms)));
    at.into_iter().chain(map.origin.parameter_parts()).collect()
}

fn footer_parts(map: &Map, rows: &[MapRow], bars: &Bars) -> Vec<String> {
    let mut parts = origin_parts(&map.origin);
    let long: f64 = rows.iter().map(|row| row.long_usd).sum();
    let short: f64 = rows.iter().map(|row| row.short_usd).sum();
    parts.push(format!("longs {}, shorts {}", axis::usd(long), axis::usd(short)));
    parts.push(format!("a bar sums {} of price", axis::step(bars.step)));
    parts.push(format!("largest bar {}", axis::usd(bars.largest())));
    parts.extend(ignored_label(map.ignored_rows));
    parts
}

/// The prices at the left and the right edge.
fn prices_of(map: &Map, options: &Options, rows: &[MapRow]) -> Result<(f64, f64), RenderError> {
    if let Some(prices) = options.prices {
        return prices.around(map.current);
    }
    let low = rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    // The current price is in the picture unless it is far from all that stands.
    let margin = (high - low) / 5.0;
    let current = map.current.unwrap_or(low);
    Ok((low.min(current.max(low - margin)), high.max(current.min(high + margin))))
}

fn largest_sum(row: &MapRow) -> Option<f64> {
    match (row.cumulative_long_usd, row.cumulative_short_usd) {
        (Some(long), Some(short)) => Some(long.max(short)),
        (one, other) => one.or(other),
    }
}

/// What bars are stacked of, from the bottom.
#[derive(Debug)]
struct Layers {
    parts: Vec<(String, Rgb)>,
    is_by_side: bool,
}

impl Layers {
    fn of(map: &Map, page: &Page) -> Self {
        let palette = page.palette;
        if !map.layers.is_empty() {
            let names = map.layers.iter().map(|layer| layer.name.clone());
            return Self { parts: names.zip(palette.hues.layers(map)).collect(), is_by_side: false };
        }
        // The colours of the curves, so that one picture has one colour for longs; subdued, so that curves stand out.
        let subdued = |color: Rgb| color.blended(palette.plot, 0.3);
        let parts = vec![
            ("longs".to_owned(), subdued(palette.cumulative_long)),
            ("shorts".to_owned(), subdued(palette.cumulative_short)),
        ];
        Self { parts, is_by_side: true }
    }

    /// USD of every part in a row.
    fn usd(&self, map: &Map, index: usize) -> Vec<f64> {
        if self.is_by_side {
            return map.rows.get(index).map_or_else(Vec::new, |row| vec![row.long_usd, row.short_usd]);
        }
        map.layers.iter().map(|layer| layer.usd.get(index).copied().unwrap_or(0.0)).collect()
    }

    fn legend(&self, map: &Map, rows: &[MapRow], page: &Page) -> Vec<Entry> {
        let parts = self.parts.iter().map(|(name, color)| Entry { name: name.clone(), color: *color, is_line: false });
        let sum = |of: fn(&MapRow) -> Option<f64>| rows.iter().filter_map(of).reduce(f64::max);
        // Where there is no room the mark of a line says that these are the curves.
        let names = match page.scene.width > page.em * 45.0 {
            true => ["cumulative longs", "cumulative shorts"],
            false => ["longs", "shorts"],
        };
        let curves = [
            (sum(|row| row.cumulative_long_usd), names[0], page.palette.cumulative_long),
            (sum(|row| row.cumulative_short_usd), names[1], page.palette.cumulative_short),
        ];
        let curves = curves.into_iter().filter_map(|(sum, name, color)| {
            Some(Entry { name: format!("{name} {}", axis::usd(sum?)), color, is_line: true })
        });
        let by = match map.layered_by {
            LayeredBy::Leverage => Some("leverage"),
            LayeredBy::Exchange => Some("exchange"),
            LayeredBy::Nothing => None,
        };
        let by = by.map(|by| Entry { name: format!("{by}:"), color: page.palette.background, is_line: false });
        by.into_iter().chain(parts).chain(curves).collect()
    }
}

/// Price to x.
#[derive(Debug, Clone, Copy)]
struct Prices {
    low: f64,
    high: f64,
    plot: Area,
}

impl Prices {
    fn x(&self, price: f64) -> f64 {
        let x = self.plot.left + (price - self.low) / (self.high - self.low) * self.plot.width;
        x.clamp(self.plot.left, self.plot.right())
    }

    fn has(&self, price: f64) -> bool {
        price >= self.low && price <= self.high
    }
}

/// USD to y.
#[derive(Debug, Clone, Copy)]
struct Amounts {
    plot: Area,
    step: f64,
    top: f64,
    has_any: bool,
}

impl Amounts {
    fn new(plot: Area, largest: f64, em: f64) -> Self {
        let lines = (plot.height / (em * 4.5)).clamp(2.0, 8.0);
        let has_any = largest > 0.0 && largest.is_finite();
        let largest = if has_any { largest } else { 1.0 };
        let step = axis::round_step(largest / lines).0;
        Self { plot, step, top: largest * 1.06, has_any }
    }

    fn y(&self, usd: f64) -> f64 {
        self.plot.bottom() - (usd / self.top).clamp(0.0, 1.0) * self.plot.height
    }
}

fn draw_amounts(page: &mut Page, amounts: &Amounts, sums: &Amounts, has_sums: bool) {
    let (plot, em) = (amounts.plot, page.em);
    let (ink, grid, faint) = (page.palette.ink, page.palette.grid, page.palette.faint);
    for usd in axis::multiples(0.0, amounts.top, amounts.step) {
        let y = amounts.y(usd);
        page.scene.level(plot.left, plot.right(), y, 1.0, grid);
        let style = Style::label(ink).anchored(Anchor::End);
        let place = (plot.left - em * 0.5, page.baseline(y));
        page.text(&axis::usd(usd), place, style);
    }
    if has_sums && sums.has_any {
        for usd in axis::multiples(0.0, sums.top, sums.step) {
            let y = sums.y(usd);
            page.scene.level(plot.right(), plot.right() + em * 0.3, y, 1.0, page.palette.edge);
            let place = (plot.right() + em * 0.6, page.baseline(y));
            page.text(&axis::usd(usd), place, Style::label(faint));
        }
        let place = (page.scene.width - page.margin * 0.5, plot.bottom() + em * 1.5);
        let style = Style::label(faint).sized(em * 0.92).anchored(Anchor::End);
        page.text("curves", place, style);
    }
    if amounts.has_any {
        let place = (page.margin * 0.5, plot.bottom() + em * 1.5);
        page.text("bars", place, Style::label(faint).sized(em * 0.92));
    }
}

/// Bars of equal width, each the sum of what stands between two prices.
#[derive(Debug)]
struct Bars {
    low: f64,
    step: f64,
    /// By bar, then by layer.
    usd: Vec<Vec<f64>>,
}

impl Bars {
    fn new(seen: &[usize], map: &Map, layers: &Layers, (low, high): (f64, f64), most: usize) -> Self {
        let rows = || seen.iter().filter_map(|&index| map.rows.get(index).map(|row| (index, row)));
        let narrowest = rows().map(|(_, row)| row.high - row.low).fold(f64::INFINITY, f64::min);
        let step = bar_step(narrowest, high - low, most.max(1));
        // Bars begin at multiples of their width; the hair keeps a computed edge from starting a bar of its own.
        let first = (low / step + 1e-6).floor();
        let count = ((high / step - 1e-6).ceil() - first).clamp(1.0, most as f64 + 2.0) as usize;
        let mut usd = vec![vec![0.0; layers.parts.len()]; count];
        for (index, row) in rows() {
            let (from, to) = (row.low / step - first, row.high / step - first);
            let amounts = layers.usd(map, index);
            for bar in
                (from + 1e-6).floor().max(0.0) as usize..=((to - 1e-6).ceil().max(1.0) as usize - 1).min(count - 1)
            {
                let covered = (to.min(bar as f64 + 1.0) - from.max(bar as f64)) / (to - from);
                // Computed edges miss each other by a hair: what is nearly whole is whole.
                let covered = if covered > 1.0 - 1e-5 { 1.0 } else { covered.max(0.0) };
                for (sum, amount) in usd.get_mut(bar).into_iter().flatten().zip(&amounts) {
                    *sum += amount * covered;
                }
            }
        }
        Self { low: first * step, step, usd }
    }

    fn largest(&self) -> f64 {
        self.usd.iter().map(|parts| parts.iter().sum()).fold(0.0, f64::max)
    }
}

/// The smallest width that is a round number of buckets and of which at most `most` cover the prices.
fn bar_step(bucket: f64, prices: f64, most: usize) -> f64 {
    let fits = |step: &f64| prices / step <= most as f64;
    let factors = (0..15).flat_map(|exponent| [1.0, 2.0, 2.5, 5.0].map(|factor| factor * 10f64.powi(exponent)));
    // Half buckets would part what stands together.
    let mut steps = factors.filter(|factor| factor.fract() == 0.0).map(|factor| factor * bucket);
    steps.find(fits).unwrap_or(prices / most as f64)
}

fn draw_bars(page: &mut Page, bars: &Bars, layers: &Layers, prices: Prices, amounts: &Amounts) {
    let pixel = 1.0 / page.scene.ratio;
    for (index, parts) in bars.usd.iter().enumerate() {
        let low = bars.low + bars.step * index as f64;
        let (left, right) = (page.scene.snap(prices.x(low)), page.scene.snap(prices.x(low + bars.step)));
        if right - left < pixel / 2.0 {
            continue;
        }
        // A gap of a pixel parts neighbours, where there is room for it.
        let gap = if right - left >= 2.5 * pixel { page.scene.whole((right - left) * 0.12) } else { 0.0 };
        let mut sum = 0.0;
        for (usd, (_, color)) in parts.iter().zip(&layers.parts).filter(|(usd, _)| **usd > 0.0) {
            let (bottom, top) = (page.scene.snap(amounts.y(sum)), page.scene.snap(amounts.y(sum + usd)));
            sum += usd;
            if bottom > top {
                page.scene.fill(Area::between(left, top, right - gap, bottom), *color);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Areas,
    Lines,
}

fn draw_curves(page: &mut Page, map: &Map, rows: &[MapRow], prices: Prices, sums: &Amounts, part: Part) {
    let floor = prices.plot.bottom();
    let mut rows: Vec<&MapRow> = rows.iter().collect();
    rows.sort_by(|a, b| a.low.total_cmp(&b.low));
    // From the current price outward: what stands up to the outer edge of a bucket is reached there.
    let longs = rows.iter().rev().filter_map(|row| Some((row.low, row.high, row.cumulative_long_usd?)));
    let shorts = rows.iter().filter_map(|row| Some((row.high, row.low, row.cumulative_short_usd?)));
    let curve = |rows: Vec<(f64, f64, f64)>, end: f64| -> Vec<(f64, f64)> {
        let Some(&(_, inner, _)) = rows.first() else { return Vec::new() };
        let starts_at_price = map.current.is_some_and(|current| prices.has(current));
        let start = if starts_at_price { map.current.unwrap_or(inner) } else { inner };
        let first = starts_at_price.then_some((prices.x(start), floor));
        let last = rows.last().map(|&(_, _, usd)| (end, sums.y(usd)));
        let middle = rows.iter().map(|&(outer, _, usd)| (prices.x(outer), sums.y(usd)));
        first.into_iter().chain(middle).chain(last).collect()
    };
    let curves = [
        (curve(longs.collect(), prices.plot.left), page.palette.cumulative_long),
        (curve(shorts.collect(), prices.plot.right()), page.palette.cumulative_short),
    ];
    for (points, color) in curves {
        let ends = points.first().copied().zip(points.last().copied());
        let Some(((first, _), (last, _))) = ends else { continue };
        match part {
            Part::Areas => {
                let closed = points.into_iter().chain([(last, floor), (first, floor)]).collect();
                page.scene.polygon(closed, Paint::sheer(color, 0.13));
            }
            Part::Lines => {
                let under = Stroke { paint: Paint::sheer(page.palette.plot, 0.75), width: page.em * 0.42, dash: None };
                page.scene.line(points.clone(), under);
                page.scene.line(points, Stroke::solid(color, page.em * 0.19));
            }
        }
    }
}

fn draw_price_axis(page: &mut Page, prices: Prices, current: Option<f64>) {
    let (plot, em) = (prices.plot, page.em);
    let (ink, edge) = (page.palette.ink, page.palette.edge);
    page.scene.level(plot.left, plot.right(), plot.bottom(), 1.0, edge);
    let widest = page.width(&axis::decimal(prices.high, axis::price_decimals(prices.high))) + em * 1.4;
    let (step, decimals) = axis::round_step((prices.high - prices.low) / (plot.width / widest.max(em * 5.0)).max(1.0));
    let y = plot.bottom() + em * 1.5;
    let tag = current.filter(|price| prices.has(*price)).map(|price| {
        let label = current_label(price, decimals);
        let half = font::width(&label, Weight::Bold, em) / 2.0 + em * 0.5;
        let most = (plot.right() + em * 2.0 - half).max(plot.left + half);
        (prices.x(price), prices.x(price).clamp(plot.left + half, most), half, label)
    });
    for price in axis::multiples(prices.low, prices.high, step) {
        let x = prices.x(price);
        page.scene.upright(x, plot.bottom(), plot.bottom() + em * 0.4, 1.0, edge);
        let label = axis::decimal(price, decimals);
        let half = page.width(&label) / 2.0;
        let is_under_tag = tag.as_ref().is_some_and(|(_, tag, width, _)| (tag - x).abs() < width + half + em * 0.3);
        if !is_under_tag && x - half > 0.0 && x + half < page.scene.width {
            page.text(&label, (x, y), Style::label(ink).anchored(Anchor::Middle));
        }
    }
    if let Some((x, middle, half, label)) = tag {
        let (color, on) = (page.palette.price, page.palette.on_price);
        page.scene.dashed((x, plot.top), (x, plot.bottom()), color, 1.0, em * 0.4);
        let area = Area { left: middle - half, top: plot.bottom() + em * 0.25, width: half * 2.0, height: em * 1.6 };
        page.tag(area, &label, color, on);
    }
}

/// Brackets above the prices of the largest pools, with their names where these do not overlap.
fn draw_pools(page: &mut Page, map: &Map, prices: Prices) {
    let (em, plot) = (page.em, prices.plot);
    let mut taken: Vec<(f64, f64, usize)> = Vec::new();
    for side in [PoolSide::Long, PoolSide::Short] {
        let color = match side {
            PoolSide::Long => page.palette.cumulative_long,
            PoolSide::Short => page.palette.cumulative_short,
        };
        let seen = map.pools.iter().filter(|pool| pool.side == side);
        for pool in seen.filter(|pool| pool.high > prices.low && pool.low < prices.high).take(MOST_POOLS) {
            let (left, right) = (prices.x(pool.low), prices.x(pool.high));
            let label = pool.label_with_side();
            let half = page.width(&label) / 2.0;
            let middle = ((left + right) / 2.0).clamp(plot.left + half, (plot.right() - half).max(plot.left + half));
            let is_free = |line: usize| {
                let overlaps = |&(from, to, other): &(f64, f64, usize)| {
                    other == line && from < middle + half + em && to > middle - half - em
                };
                !taken.iter().any(overlaps)
            };
            let Some(line) = (0..2).find(|&line| is_free(line)) else { continue };
            taken.push((middle - half, middle + half, line));
            let thick = page.scene.whole(em * 0.22);
            page.scene.fill(Area { left, top: plot.top - thick - 1.0, width: right - left, height: thick }, color);
            let y = plot.top - em * (0.75 + 1.35 * line as f64);
            page.text(&label, (middle, y), Style::label(color).anchored(Anchor::Middle));
        }
    }
}

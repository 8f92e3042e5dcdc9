//! Are forced orders where the map is full, among the prices that a bar went through?
//!
//! In: the bars of one market, before each bar the map, and after it the forced orders that it saw. Out: the share of the
//! orders in the quarter of the traversed cells in which the map has most, beside null models.
//!
//! ```text
//!   previous close ──┐      cells of 5 bp in ln(price): longs from there down to the low,
//!          ┌──┐      ├──    shorts up to the high, the first and the last whole
//!          │  │ bar  ├──
//!          └──┘      ├──    each is ranked within its session (UTC day) and side
//!           low ─────┴──
//! ```
//!
//! * **Begin of the way**: the previous close, the price at which the map was taken; on the first bar, and after a hole, the
//!   open.
//! * **Ranks**: USD of the map in the cell BEFORE the bar. The top quarter is a quarter of the cells of a session and side;
//!   cells of equal USD that straddle its limit are in it in part, all alike, so a map that says the same everywhere, or
//!   nothing, gets 25 %. Ranks go over the bars from that of the session's first order to that of its last: before and
//!   after nothing tells that anybody was listening.
//! * **Null models** rank the same cells: `chance` is 25 %; `farthest` and `nearest` know only how far from the begin of
//!   the way a cell is; `freshness` knows how long ago price last traded in it, most first, never traded before all.
//! * **Rows**: `top_quarter_usd_share` and `top_quarter_order_share` of the orders in traversed cells, the gain over each
//!   null model, and what is left out: `not_traversed_usd_share` and `not_traversed_order_share`.
//! * **The price of an order** must be the one at which it was triggered. A feed that gives the limit of the forced order, as
//!   Binance does, gives about the bankruptcy price: a maintenance margin rate below the liquidation price of a long, above
//!   that of a short, and in no traversed cell. Divide it by 1 − rate for longs, by 1 + rate for shorts (the rate of the
//!   lowest bracket where the position is not known).
//! * **Intervals** resample UTC days, or hours where fewer than [`LEAST_DAYS`] days have orders; then they are too narrow, for
//!   orders come in cascades. With fewer than that many hours there is none.
//!
//! Invariant: the rank of a cell depends on the map before its bar; which cells it is compared with depends on the session.
//! Held are the cells of one session, one instant a cell of price ever traded, and sums by hour.

use std::ops::Range;

use super::Score;
use super::map::Map;
use super::means::{DAY, HOUR, LEAST_BLOCKS, Means, Names, Resampling};
use crate::model::bar::Bar;
use crate::model::side::Side;

/// Width of a cell in ln(price).
const CELL: f64 = 5e-4;

/// Share of the cells that is the top.
const TOP: f64 = 0.25;

/// Days with orders from which intervals resample days.
pub const LEAST_DAYS: usize = LEAST_BLOCKS;

/// Cells added beyond what is needed when the range of prices grows.
const SLACK: i32 = 512;

/// A single forced order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedOrder {
    /// When, milliseconds since the epoch.
    pub ts: i64,
    /// The side of the position that was liquidated.
    pub side: Side,
    /// The price at which it was triggered, quote per base, positive.
    pub price: f64,
    /// Its USD. Orders without any are passed over.
    pub usd: f64,
}

/// What a cell is ranked by: the map, then the null models.
const RANKINGS: usize = 4;

/// A cell that a bar went through.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Open of the bar.
    ts: i64,
    /// Greater is nearer to the top.
    keys: [f64; RANKINGS],
    usd: f64,
    orders: u64,
}

/// Where in the session the cells of the current bar stand.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    /// Index of the first one, the nearest to the begin of the way.
    start: usize,
    /// Its number; the others follow, downwards for longs.
    first: i32,
    count: usize,
}

/// When price last traded in each cell.
#[derive(Debug, Clone, Default)]
struct LastTraded {
    first: i32,
    ts: Vec<i64>,
}

/// Before all bars.
const NEVER: i64 = i64::MIN;

impl LastTraded {
    fn of(&self, cell: i32) -> i64 {
        let place = usize::try_from(i64::from(cell) - i64::from(self.first));
        place.ok().and_then(|place| self.ts.get(place)).copied().unwrap_or(NEVER)
    }

    fn trade(&mut self, low: i32, high: i32, ts: i64) {
        if self.ts.is_empty() {
            self.first = low - SLACK;
        } else if low < self.first {
            let added = (self.first - low + SLACK) as usize;
            self.ts.splice(0..0, std::iter::repeat_n(NEVER, added));
            self.first -= added as i32;
        }
        let needed = (high - self.first + 1) as usize;
        if needed > self.ts.len() {
            self.ts.resize(needed + SLACK as usize, NEVER);
        }
        self.ts[(low - self.first) as usize..=(high - self.first) as usize].fill(ts);
    }
}

/// Scores of one side, by hour.
#[derive(Debug, Clone)]
struct Shares {
    usd: Means<5>,
    orders: Means<5>,
    lost_usd: Means<1>,
    lost_orders: Means<1>,
}

impl Shares {
    fn new() -> Shares {
        Shares { usd: Means::new(), orders: Means::new(), lost_usd: Means::new(), lost_orders: Means::new() }
    }

    fn and(&self, other: &Shares) -> Shares {
        Shares {
            usd: self.usd.clone().and(&other.usd),
            orders: self.orders.clone().and(&other.orders),
            lost_usd: self.lost_usd.clone().and(&other.lost_usd),
            lost_orders: self.lost_orders.clone().and(&other.lost_orders),
        }
    }

    fn lose(&mut self, ts: i64, usd: f64, orders: u64, lost: f64) {
        let hour = ts.div_euclid(HOUR);
        self.lost_usd.add(hour, usd, [lost], orders);
        self.lost_orders.add(hour, orders as f64, [lost], orders);
    }
}

/// What was met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// Cells that were traversed within the test range.
    pub cells: u64,
    /// Orders that were scored, those in no traversed cell included.
    pub orders: u64,
    /// Those in no traversed cell.
    pub not_traversed: u64,
}

/// Scores one market.
///
/// ```
/// use liqsql::model::bar::Bar;
/// use liqsql::model::score::means::Resampling;
/// use liqsql::model::score::orders::{ForcedOrder, OrderScores};
/// use liqsql::model::side::Side;
/// use liqsql::model::snapshot::{PriceCell, Snapshot};
///
/// let bar = |ts, low, close| Bar {
///     ts, open: 100.0, high: 100.0, low, close, volume: 1.0, open_interest: None, open_interest_close: None,
/// };
/// // All that the map has are longs between 99.10 and 99.15; that is where one of two orders is.
/// let cell = PriceCell { side: Side::Long, leverage: None, low: 99.10, high: 99.15, usd: 1e6 };
/// let map = Snapshot { ts: 0, price: Some(100.0), cells: vec![cell] };
/// let order = |ts, price| ForcedOrder { ts, side: Side::Long, price, usd: 500.0 };
///
/// let mut scores = OrderScores::new(60_000, None);
/// scores.bar(&bar(0, 100.0, 100.0), &map);
/// scores.bar(&bar(60_000, 99.0, 99.5), &map);
/// scores.order(&order(61_000, 99.12));
/// scores.order(&order(62_000, 99.62));
/// scores.end();
/// let rows = scores.rows(Resampling { seed: 1, resamples: 100 });
/// let of = |score, null| rows.iter().find(|r| (r.score, r.null, r.side) == (score, null, None)).and_then(|r| r.value);
/// // The cells in which the map has nothing share what the full ones leave of the quarter.
/// assert!(of("top_quarter_order_share", None).is_some_and(|share| share > 0.5));
/// assert_eq!(of("top_quarter_order_share", Some("chance")), Some(0.25));
/// assert_eq!(of("top_quarter_order_share", Some("farthest")), Some(0.5));
/// assert_eq!(of("not_traversed_order_share", None), Some(0.0));
/// ```
#[derive(Debug, Clone)]
pub struct OrderScores {
    interval: i64,
    test: Option<Range<i64>>,
    last: Option<Bar>,
    traded: LastTraded,
    session: Option<i64>,
    /// Cells of the session, by side, in order of time.
    cells: [Vec<Cell>; 2],
    ways: [Way; 2],
    shares: [Shares; 2],
    counts: OrderCounts,
    usd: Vec<f64>,
}

impl OrderScores {
    /// Begins a series of bars of a length in milliseconds. Bars that open within `test` are scored, `None` for all.
    pub fn new(interval: i64, test: Option<Range<i64>>) -> OrderScores {
        OrderScores {
            interval,
            test,
            last: None,
            traded: LastTraded::default(),
            session: None,
            cells: [Vec::new(), Vec::new()],
            ways: [Way::default(); 2],
            shares: [Shares::new(), Shares::new()],
            counts: OrderCounts::default(),
            usd: Vec::new(),
        }
    }

    fn is_scored(&self, ts: i64) -> bool {
        self.test.as_ref().is_none_or(|test| test.contains(&ts))
    }

    /// Takes the next bar, and the map as it stood before it ([`Replay::begin`] done, [`Replay::end`] not).
    ///
    /// [`Replay::begin`]: crate::model::replay::Replay::begin
    /// [`Replay::end`]: crate::model::replay::Replay::end
    pub fn bar(&mut self, bar: &Bar, map: &(impl Map + ?Sized)) {
        let session = bar.ts.div_euclid(DAY);
        if self.session.replace(session) != Some(session) {
            self.close_session();
        }
        let before = self.last.filter(|last| bar.ts - last.ts < self.interval.saturating_mul(2));
        let from = before.map_or(bar.open, |last| last.close);
        let (begin, is_scored) = (cell_of(from), self.is_scored(bar.ts));
        for side in Side::BOTH {
            let (end, goes) = match side {
                Side::Long => (cell_of(bar.low), bar.low < from),
                Side::Short => (cell_of(bar.high), bar.high > from),
            };
            let cells = &mut self.cells[side.index()];
            let count = if goes && is_scored { begin.abs_diff(end) as usize + 1 } else { 0 };
            self.ways[side.index()] = Way { start: cells.len(), first: begin, count };
            if count == 0 {
                continue;
            }
            self.usd.clear();
            self.usd.resize(count, 0.0);
            map.add_to_bins(side, f64::from(begin.min(end)) * CELL, CELL, &mut self.usd);
            for step in 0..count {
                let (place, number) = match side {
                    Side::Long => (count - 1 - step, begin - step as i32),
                    Side::Short => (step, begin + step as i32),
                };
                let traded = self.traded.of(number);
                let age = if traded == NEVER { f64::INFINITY } else { (bar.ts - traded) as f64 };
                let keys = [self.usd[place], step as f64, -(step as f64), age];
                cells.push(Cell { ts: bar.ts, keys, usd: 0.0, orders: 0 });
            }
            self.counts.cells += count as u64;
        }
        self.traded.trade(cell_of(bar.low), cell_of(bar.high), bar.ts);
        self.last = Some(*bar);
    }

    /// Takes an order that happened in the last bar; one that did not is in no traversed cell.
    pub fn order(&mut self, order: &ForcedOrder) {
        let its_bar =
            self.last.map(|bar| bar.ts).filter(|ts| (*ts..ts.saturating_add(self.interval)).contains(&order.ts));
        if !self.is_scored(its_bar.unwrap_or(order.ts)) || order.usd <= 0.0 {
            return;
        }
        self.counts.orders += 1;
        let Way { start, first, count } = self.ways[order.side.index()];
        let outward = match order.side {
            Side::Long => i64::from(first) - i64::from(cell_of(order.price)),
            Side::Short => i64::from(cell_of(order.price)) - i64::from(first),
        };
        let step = usize::try_from(outward).ok().filter(|step| its_bar.is_some() && *step < count);
        match step.and_then(|step| self.cells[order.side.index()].get_mut(start + step)) {
            Some(cell) => {
                cell.usd += order.usd;
                cell.orders += 1;
            }
            None => {
                self.counts.not_traversed += 1;
                self.shares[order.side.index()].lose(order.ts, order.usd, 1, 1.0);
            }
        }
    }

    /// Ranks the cells of the session that is over.
    fn close_session(&mut self) {
        let with_orders = || self.cells.iter().flatten().filter(|cell| cell.orders > 0).map(|cell| cell.ts);
        if let (Some(first), Some(last)) = (with_orders().min(), with_orders().max()) {
            for (cells, shares) in self.cells.iter().zip(&mut self.shares) {
                let from = cells.partition_point(|cell| cell.ts < first);
                let to = cells.partition_point(|cell| cell.ts <= last);
                rank(&cells[from..to], shares);
            }
        }
        self.cells.iter_mut().for_each(Vec::clear);
        self.ways = [Way::default(); 2];
    }

    /// Returns what was met so far.
    pub fn counts(&self) -> OrderCounts {
        self.counts
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.cells.iter().map(Vec::capacity).sum::<usize>() * size_of::<Cell>()
            + self.traded.ts.capacity() * size_of::<i64>()
            + self.shares.iter().map(|shares| 4 * shares.usd.blocks() * 16 * size_of::<f64>()).sum::<usize>()
    }

    /// There are no more bars and orders: the last session is over.
    pub fn end(&mut self) {
        self.close_session();
    }

    /// Adds the scores of another market, which has ended as this one has. Cells were ranked within each.
    pub fn add(&mut self, other: &OrderScores) {
        for (shares, others) in self.shares.iter_mut().zip(&other.shares) {
            *shares = shares.and(others);
        }
        self.counts.cells += other.counts.cells;
        self.counts.orders += other.counts.orders;
        self.counts.not_traversed += other.counts.not_traversed;
    }

    /// Writes the report of the sessions that are over: both sides together, longs, shorts.
    pub fn rows(&self, resampling: Resampling) -> Vec<Score> {
        let [long, short] = &self.shares;
        let both = long.and(short);
        let hours_a_block = if both.lost_usd.joined(24).blocks() >= LEAST_DAYS { 24 } else { 1 };
        let nulls = [None, Some("chance"), Some("farthest"), Some("nearest"), Some("freshness")];
        let mut rows = Vec::new();
        for (side, shares) in [(None, &both), (Some(Side::Long), long), (Some(Side::Short), short)] {
            for (means, score, gain) in [
                (&shares.usd, "top_quarter_usd_share", "top_quarter_usd_share_gain"),
                (&shares.orders, "top_quarter_order_share", "top_quarter_order_share_gain"),
            ] {
                means.joined(hours_a_block).rows(&Names { score, gain, nulls }, side, resampling, &mut rows);
            }
            for (means, score) in
                [(&shares.lost_usd, "not_traversed_usd_share"), (&shares.lost_orders, "not_traversed_order_share")]
            {
                let names = Names { score, gain: score, nulls: [None] };
                means.joined(hours_a_block).rows(&names, side, resampling, &mut rows);
            }
        }
        rows
    }
}

/// Returns the cell in which a price lies.
fn cell_of(price: f64) -> i32 {
    (price.ln() / CELL).floor() as i32
}

/// Adds the orders of a session and side to its shares.
fn rank(cells: &[Cell], shares: &mut Shares) {
    let mut tops = vec![[0.0; RANKINGS]; cells.len()];
    let mut order: Vec<usize> = (0..cells.len()).collect();
    let keys: [fn(&Cell) -> f64; RANKINGS] = [|c| c.keys[0], |c| c.keys[1], |c| c.keys[2], |c| c.keys[3]];
    for (ranking, key) in keys.into_iter().enumerate() {
        let key = |cell: &usize| key(&cells[*cell]);
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        let mut left = TOP * cells.len() as f64;
        for equal in order.chunk_by(|a, b| key(a) == key(b)) {
            let share = (left / equal.len() as f64).clamp(0.0, 1.0);
            left -= equal.len() as f64;
            equal.iter().for_each(|cell| tops[*cell][ranking] = share);
        }
    }
    for (cell, [map, far, near, fresh]) in cells.iter().zip(tops).filter(|(cell, _)| cell.orders > 0) {
        let (hour, values) = (cell.ts.div_euclid(HOUR), [map, TOP, far, near, fresh]);
        shares.usd.add(hour, cell.usd, values, cell.orders);
        shares.orders.add(hour, cell.orders as f64, values, cell.orders);
        shares.lose(cell.ts, cell.usd, cell.orders, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;

    const MINUTE: i64 = 60_000;
    const RESAMPLING: Resampling = Resampling { seed: 3, resamples: 200 };

    /// A map that says of every cell, by its number, what stands there.
    struct CellMap<F>(F);

    impl<F: Fn(Side, i32) -> f64> Map for CellMap<F> {
        fn add_to_bins(&self, side: Side, ln_low: f64, width: f64, bins: &mut [f64]) {
            assert_eq!(width, CELL);
            let first = (ln_low / CELL).round() as i32;
            for (number, bin) in (first..).zip(bins) {
                *bin += (self.0)(side, number);
            }
        }
    }

    /// The price in the middle of a cell.
    fn middle(cell: i32) -> f64 {
        ((f64::from(cell) + 0.5) * CELL).exp()
    }

    /// A bar from the middle of one cell to that of another, over a low and a high.
    fn bar(minute: i64, cells: [i32; 4]) -> Bar {
        let [open, high, low, close] = cells.map(middle);
        Bar { ts: minute * MINUTE, open, high, low, close, volume: 1.0, open_interest: None, open_interest_close: None }
    }

    fn order(minute: i64, side: Side, cell: i32, usd: f64) -> ForcedOrder {
        ForcedOrder { ts: minute * MINUTE + 30_000, side, price: middle(cell), usd }
    }

    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        move || (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn value(rows: &[Score], score: &str, null: Option<&str>, side: Option<Side>) -> f64 {
        let row = rows.iter().find(|row| row.score == score && row.null == null && row.side == side);
        row.and_then(|row| row.value).unwrap_or_else(|| panic!("{score} {null:?} {side:?}: {rows:#?}"))
    }

    #[test]
    fn worked_by_hand() {
        let mut scores = OrderScores::new(MINUTE, None);
        let map = CellMap(|side: Side, cell: i32| match (side, cell) {
            (Side::Long, 95) => 9.0,
            (Side::Long, 97) => 5.0,
            _ => 0.0,
        });
        // The first bar has an open only: from cell 100 down to 98 and up to 101.
        scores.bar(&bar(0, [100, 101, 98, 99]), &map);
        scores.order(&order(0, Side::Long, 99, 10.0));
        // From the previous close in 99, not the open in 98, down to 95: 99 98 97 96 95. Up to 99: the cell of the close
        // itself, but not above the close: nothing.
        scores.bar(&bar(1, [98, 99, 95, 96]), &map);
        scores.order(&order(1, Side::Long, 95, 30.0));
        scores.order(&order(1, Side::Long, 94, 60.0));
        scores.order(&order(1, Side::Short, 99, 100.0));
        assert_eq!(scores.counts(), OrderCounts { cells: 3 + 2 + 5, orders: 4, not_traversed: 2 });
        scores.end();
        let rows = scores.rows(RESAMPLING);
        // Of the eight long cells two are the top quarter: those in which the map has 9 and 5.
        let long = |score, null| value(&rows, score, null, Some(Side::Long));
        assert_eq!(long("top_quarter_usd_share", None), 0.75);
        assert_eq!(long("top_quarter_order_share", None), 0.5);
        assert_eq!(long("top_quarter_order_share", Some("chance")), 0.25);
        // The farthest two are 95 and 96; the nearest are two of 100, 99.
        assert_eq!(long("top_quarter_usd_share", Some("farthest")), 0.75);
        assert_eq!(long("top_quarter_usd_share", Some("nearest")), 0.0);
        // Never traded before are the three of the first bar and 97, 96, 95 of the second: two sixths of each count.
        assert!((long("top_quarter_order_share", Some("freshness")) - 2.0 / 6.0).abs() < 1e-12);
        assert!((long("top_quarter_usd_share_gain", Some("freshness")) - (0.75 - 2.0 / 6.0)).abs() < 1e-12);
        assert_eq!(long("not_traversed_usd_share", None), 0.6);
        assert_eq!(value(&rows, "not_traversed_usd_share", None, Some(Side::Short)), 1.0);
        assert_eq!(value(&rows, "not_traversed_order_share", None, None), 0.5);
    }

    #[test]
    fn freshness_is_the_time_since_price_last_traded_there() {
        let mut scores = OrderScores::new(MINUTE, None);
        let map = CellMap(|_, _| 1.0);
        scores.bar(&bar(0, [100, 100, 90, 100]), &map);
        scores.bar(&bar(1, [100, 100, 95, 100]), &map);
        // 100 … 93: of 94 and 93 the last trade is two minutes ago, of the others one. Sessions begin with the first order.
        scores.bar(&bar(2, [100, 100, 93, 100]), &map);
        scores.order(&order(2, Side::Long, 94, 1.0));
        scores.order(&order(2, Side::Long, 93, 1.0));
        scores.order(&order(2, Side::Long, 95, 1.0));
        scores.end();
        let rows = scores.rows(RESAMPLING);
        assert!((value(&rows, "top_quarter_order_share", Some("freshness"), None) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(value(&rows, "top_quarter_order_share", None, None), 0.25);
    }

    #[test]
    fn after_a_hole_the_way_begins_at_the_open() {
        let map = CellMap(|_, _| 1.0);
        for (minute, cells) in [(1, 21), (3, 11)] {
            let mut scores = OrderScores::new(MINUTE, None);
            scores.bar(&bar(0, [100, 100, 100, 100]), &map);
            let before = scores.counts().cells;
            scores.bar(&bar(minute, [90, 90, 80, 80]), &map);
            assert_eq!(scores.counts().cells - before, cells);
        }
    }

    /// A market of some days, with orders in cells that a rule picks, and a map.
    fn market(
        seed: u64,
        days: i64,
        pick: impl Fn(i64, Side, i32, f64) -> bool,
        map: impl Fn(i64, Side, i32) -> f64,
    ) -> Vec<Score> {
        let mut next = random(seed);
        let mut scores = OrderScores::new(5 * MINUTE, None);
        let mut price = 10_000.0f64;
        for i in 0..days * 288 {
            let ts = i * 5 * MINUTE;
            let open = price;
            price += (next() - 0.5) * 12.0;
            let (high, low) = (open.max(price) + 4.0 * next(), open.min(price) - 4.0 * next());
            let at = |steps: f64| (steps * 5e-4).exp();
            let bar = Bar {
                ts,
                open: at(open),
                high: at(high),
                low: at(low),
                close: at(price),
                volume: 1.0,
                open_interest: None,
                open_interest_close: None,
            };
            scores.bar(&bar, &CellMap(|side, cell| map(i, side, cell)));
            for side in Side::BOTH {
                let (low, high) = match side {
                    Side::Long => (low, open),
                    Side::Short => (open, high),
                };
                for cell in low.floor() as i32..=high.floor() as i32 {
                    let draw = next();
                    if pick(i, side, cell, draw) {
                        scores.order(&ForcedOrder { ts: ts + 1, side, price: middle(cell), usd: 1.0 + draw });
                    }
                }
            }
        }
        scores.end();
        scores.rows(RESAMPLING)
    }

    fn hash(i: i64, side: Side, cell: i32, seed: u64) -> f64 {
        let mixed = (i as u64) << 32 ^ (cell as u64) << 2 ^ side.index() as u64;
        random(mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed)()
    }

    #[test]
    fn a_map_that_knows_finds_all_and_a_constant_one_a_quarter() {
        let full = |i, side, cell| if hash(i, side, cell, 1) < 0.1 { 1.0 + hash(i, side, cell, 2) } else { 0.0 };
        let orders = |i, side, cell, _| full(i, side, cell) > 0.0;
        let rows = market(1, 8, orders, full);
        for side in [None, Some(Side::Long), Some(Side::Short)] {
            assert_eq!(value(&rows, "top_quarter_usd_share", None, side), 1.0);
            assert_eq!(value(&rows, "top_quarter_order_share", None, side), 1.0);
            assert_eq!(value(&rows, "not_traversed_order_share", None, side), 0.0);
        }
        let gain = rows.iter().find(|row| row.score.ends_with("gain") && row.null == Some("freshness")).unwrap();
        assert!(gain.low.is_some_and(|low| low > 0.5), "{gain:?}");
        let rows = market(1, 8, orders, |_, _, _| 7.0);
        assert!((value(&rows, "top_quarter_usd_share", None, None) - 0.25).abs() < 1e-12);
        // The same amounts in the cells of the bar before.
        let shuffled = value(
            &market(1, 8, orders, |i, side, cell| full(i - 1, side, cell)),
            "top_quarter_order_share",
            None,
            None,
        );
        assert!((shuffled - 0.25).abs() < 0.05, "{shuffled}");
    }

    #[test]
    fn random_maps_do_not_beat_chance() {
        let (mut sum, mut squares, mut significant) = (0.0, 0.0, 0);
        for seed in 0..200 {
            let rows = market(seed, 5, |_, _, _, draw| draw < 0.05, |i, side, cell| hash(i, side, cell, seed));
            let gain = rows.iter().find(|row| {
                row.score == "top_quarter_order_share_gain" && row.null == Some("chance") && row.side.is_none()
            });
            let gain = gain.unwrap();
            sum += gain.value.unwrap();
            squares += gain.value.unwrap().powi(2);
            significant += usize::from(gain.low.is_some_and(|low| low > 0.0));
        }
        let (mean, deviation) = (sum / 200.0, (squares / 200.0).sqrt());
        assert!(mean.abs() < 3.0 * deviation / 200f64.sqrt(), "{mean} ± {deviation}");
        // 2.5 % would be 5; five days are few for an interval.
        assert!(significant <= 25, "{significant} of 200 were significant");
    }

    #[test]
    fn later_bars_change_nothing_before() {
        let map = |i, side, cell| hash(i, side, cell, 4);
        let orders = |_: i64, _: Side, _: i32, draw: f64| draw < 0.05;
        let cut = |i: i64, side: Side, cell: i32, draw: f64| i < 6 * 288 && orders(i, side, cell, draw);
        assert_eq!(market(4, 9, cut, map), market(4, 6, orders, map));
    }

    #[test]
    fn a_reflected_market_has_its_sides_swapped() {
        let mut next = random(6);
        let (mut one, mut other) = (OrderScores::new(MINUTE, None), OrderScores::new(MINUTE, None));
        let swap = |side| if side == Side::Long { Side::Short } else { Side::Long };
        let mut close = 0;
        for minute in 0..3000 {
            let open = close;
            close += (next() * 11.0) as i32 - 5;
            let (high, low) = (open.max(close) + (next() * 3.0) as i32, open.min(close) - (next() * 3.0) as i32);
            let amount = |side: Side, cell: i32| (hash(minute, side, cell, 8) * 20.0).floor();
            one.bar(&bar(minute, [open, high, low, close]), &CellMap(amount));
            // Cell c becomes −1 − c, so that its middle is reflected about 0.
            let reflected = [open, low, high, close].map(|cell| -1 - cell);
            other.bar(&bar(minute, reflected), &CellMap(|side, cell| amount(swap(side), -1 - cell)));
            for side in Side::BOTH {
                let cell = if side == Side::Long { low } else { high };
                if next() < 0.3 {
                    one.order(&order(minute, side, cell, 1.0));
                    other.order(&order(minute, swap(side), -1 - cell, 1.0));
                }
            }
        }
        assert_eq!(
            (one.counts().orders, one.counts().not_traversed),
            (other.counts().orders, other.counts().not_traversed)
        );
        one.end();
        other.end();
        let (one, other) = (one.rows(RESAMPLING), other.rows(RESAMPLING));
        for row in &one {
            let twin = other
                .iter()
                .find(|twin| (twin.score, twin.null, twin.side) == (row.score, row.null, row.side.map(swap)));
            let twin = twin.unwrap();
            assert!(row.value.zip(twin.value).is_none_or(|(a, b)| (a - b).abs() < 1e-9), "{row:?} {twin:?}");
            assert_eq!((row.value.is_some(), row.n), (twin.value.is_some(), twin.n));
        }
    }

    #[test]
    fn markets_add_up() {
        let map = CellMap(|_: Side, cell: i32| if cell == 97 { 2.0 } else { 0.0 });
        let market = |cell| {
            let mut scores = OrderScores::new(MINUTE, None);
            scores.bar(&bar(0, [100, 100, 97, 100]), &map);
            scores.order(&order(0, Side::Long, cell, 1.0));
            scores.end();
            scores
        };
        let mut both = market(97);
        both.add(&market(98));
        assert_eq!(both.counts(), OrderCounts { cells: 8, orders: 2, not_traversed: 0 });
        assert_eq!(value(&both.rows(RESAMPLING), "top_quarter_order_share", None, None), 0.5);
    }

    #[test]
    fn what_is_outside_the_test_range_is_not_scored() {
        let mut scores = OrderScores::new(MINUTE, Some(MINUTE..2 * MINUTE));
        let map = CellMap(|_, _| 1.0);
        for minute in 0..3 {
            scores.bar(&bar(minute, [100, 100, 96, 100]), &map);
            scores.order(&order(minute, Side::Long, 97, 1.0));
        }
        assert_eq!(scores.counts(), OrderCounts { cells: 5, orders: 1, not_traversed: 0 });
    }
}

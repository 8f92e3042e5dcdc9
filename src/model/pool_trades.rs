//! What trading on pools would have brought, beside trading on levels that hold nothing in particular.
//!
//! In: frames of pools and bars of one market, in order of time. Out: the trades of one rule, three lists side by side: on
//! the pools, on their mirrors, and on random levels at about their distance.
//!
//! ```text
//! exit_at_pool     frame: the largest pool ──► enter at the next open, towards it
//!                  target its peak · stop as far on the other side of the entry
//!
//! sweep_reversal   a bar reaches the peak, and it or a later one within `confirm` closes back on price's side of it
//!                  ──► enter at the next open, away from it: above swept longs buy, below swept shorts sell
//!                  stop `stop_buffer` beyond the extreme · target as far on the other side of the entry
//!
//! pool_to_pool     enters and stops as sweep_reversal · target the largest pool on the other side; without one no trade
//!
//!      ───────── peak of shorts ─────────┬──┬───        swept, closed back inside
//!                                  ┌─┐ ┌─┘  └─▶ sell
//!                       ┌───┐  ┌───┘ └─┘        │
//!      ──────────┐ ┌────┘   └──┘                ▼ target
//!      ───────── peak of longs ─────────────────────
//! ```
//!
//! * **Pools** that count are those of the last frame within `max_distance` of its price, with the peak on its side's own
//!   side. They count until the next frame, but no longer than the shortest time between two frames so far (after the
//!   first frame: than the horizon): where a query leaves frames out, older pools do not stand in for them. A level that
//!   price goes through during a trade is gone until the next frame.
//! * **One position** at a time in each list, and one trade a pool (by its number). `exit_at_pool` enters the three lists at
//!   the same open, when none of them holds a position, so their trades are pairs; in the other rules each list waits
//!   for its own sweeps.
//! * **Mirror**: price² / peak, the level as far away in ln(price) on the other side, in each frame anew; so is every other
//!   pool of the frame, and `pool_to_pool` goes from mirror to mirror. **Random**: side by a coin, distance between four
//!   fifths and five quarters of the pool's, both drawn from the seed, the number of the pool and the frame.
//! * **Entry** is at the open of the next bar, never within the bar that gives the signal; if there is none within the
//!   length of a bar, or it opens beyond stop or target, there is no trade.
//! * **Exit**: at the stop, at the target, or at the close of the last bar within the horizon. The order of prices within a
//!   bar is not known: where it reaches stop and target, the stop was first (`is_ambiguous` says so). A bar that opens beyond
//!   the stop exits at its open; one that opens beyond the target exits at the target, not better. After a hole over the end
//!   of the horizon the exit is at the next open.
//! * **Costs**: fee and slippage of both orders, each on its own notional, as if all were taken at the market. Funding,
//!   margin and the trade's own liquidation are left out.
//!
//! These are the rules that guides tell, as tests of them. They are no advice: pools were not found to be reached more often
//! than mirrors, and what a list shows must be seen beside the two others.
//!
//! Invariant: an entry depends on frames and bars that ended at or before its open; a trade with an exit depends on no bar
//! after the one that ends it. Held are the pools of a frame, three positions at most, a bit for each number traded, and
//! finished trades that wait for an earlier one still open.

use std::collections::VecDeque;

use super::bar::Bar;
use super::pools::Pool;
use super::score::Score;
use super::score::means::{DAY, HOUR, Means, Names, Resampling};
use super::side::Side;
use super::touches::{Seen, beyond, farther, has_reached, other, reach};

/// What is traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeRule {
    /// Towards the largest pool, out at it.
    ExitAtPool,
    /// Away from a pool that was swept.
    SweepReversal,
    /// From a pool that was swept to the largest on the other side.
    PoolToPool,
}

impl TradeRule {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["exit_at_pool", "sweep_reversal", "pool_to_pool"];

    /// Reads a name of [`TradeRule::NAMES`].
    pub fn from_name(name: &str) -> Option<TradeRule> {
        [TradeRule::ExitAtPool, TradeRule::SweepReversal, TradeRule::PoolToPool]
            .into_iter()
            .find(|rule| rule.name() == name)
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Which list a trade belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// On the pool itself.
    Pool,
    /// On its mirror.
    Mirror,
    /// On a random level at about its distance.
    Random,
}

impl Basis {
    /// All, in the order in which trades of one instant come.
    pub const ALL: [Basis; 3] = [Basis::Pool, Basis::Mirror, Basis::Random];

    /// Returns the name as written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Pool => "pool",
            Basis::Mirror => "mirror",
            Basis::Random => "random",
        }
    }
}

/// Why a trade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Price reached the target.
    Target,
    /// Price reached the stop.
    Stop,
    /// The horizon was over.
    Horizon,
    /// It did not: the bars end before.
    Open,
}

impl Reason {
    /// Returns the name as written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Target => "target",
            Reason::Stop => "stop",
            Reason::Horizon => "horizon",
            Reason::Open => "open",
        }
    }
}

/// Everything that changes the trades, apart from frames and bars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeSettings {
    /// What is traded.
    pub rule: TradeRule,
    /// Pools farther from price than this fraction do not count.
    pub max_distance: f64,
    /// Longest time in a trade, milliseconds.
    pub horizon: i64,
    /// Time from the open of the bar that sweeps to the close back inside, milliseconds. The bar itself always counts.
    pub confirm: i64,
    /// How far beyond the extreme of a sweep the stop is, a fraction of it.
    pub stop_buffer: f64,
    /// Fee of each order, basis points of its notional.
    pub fee_bps: f64,
    /// What each order loses to the market, basis points of its notional.
    pub slippage_bps: f64,
    /// Seed of the random levels.
    pub seed: u64,
}

impl TradeSettings {
    /// Returns a rule's settings: within 5 %, for a day, confirmed within an hour, stops 5 bp beyond the extreme, 5 bp fee
    /// (takers on most venues) and 2 bp slippage an order.
    pub fn of(rule: TradeRule) -> TradeSettings {
        TradeSettings {
            rule,
            max_distance: 0.05,
            horizon: DAY,
            confirm: HOUR,
            stop_buffer: 0.0005,
            fee_bps: 5.0,
            slippage_bps: 2.0,
            seed: 0,
        }
    }
}

/// How a trade ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    /// Open of the bar whose price or open ended it, close of the one that ended it by its close; milliseconds since the
    /// epoch.
    pub ts: i64,
    /// Price of the exit, before slippage.
    pub price: f64,
    /// The bar reached stop and target: the stop was taken.
    pub is_ambiguous: bool,
    /// ±(exit / entry − 1), a fraction of the entry notional.
    pub gross_return: f64,
    /// Fees of both orders, a fraction of the entry notional.
    pub fees: f64,
    /// Slippage of both orders, the same.
    pub slippage: f64,
}

impl Ending {
    /// Returns what is left after fees and slippage.
    pub fn net_return(&self) -> f64 {
        self.gross_return - self.fees - self.slippage
    }
}

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// Which list it belongs to.
    pub basis: Basis,
    /// Number of the pool, or of the pool whose mirror or random level this is.
    pub pool_id: i64,
    /// Instant of the frame in which that pool was seen, milliseconds since the epoch.
    pub frame_ts: i64,
    /// USD of that pool.
    pub pool_usd: f64,
    /// The level that gave the signal, quote per base.
    pub level: f64,
    /// Side of the position that was opened.
    pub side: Side,
    /// Open of the bar of the entry.
    pub entry_ts: i64,
    /// Its open, before slippage.
    pub entry_price: f64,
    /// Where it ends with a gain.
    pub target: f64,
    /// Where it ends with a loss.
    pub stop: f64,
    /// Why it ended.
    pub reason: Reason,
    /// How it ended; `None` if it did not.
    pub ending: Option<Ending>,
}

impl Trade {
    /// Takes in a bar from its entry on; returns whether the trade is over.
    fn see(&mut self, bar: &Bar, interval: i64, settings: &TradeSettings) -> bool {
        let over = self.entry_ts.saturating_add(settings.horizon);
        // Its target lies where levels of the other side stand, its stop where those of its own side do.
        let (towards_stop, towards_target) = reach(self.side, bar);
        let stopped = has_reached(self.side, self.stop, towards_stop);
        let hit = has_reached(other(self.side), self.target, towards_target);
        if bar.ts >= over {
            self.end(Reason::Horizon, bar.ts, bar.open, false, settings);
        } else if has_reached(self.side, self.stop, bar.open) {
            self.end(Reason::Stop, bar.ts, bar.open, false, settings);
        } else if has_reached(other(self.side), self.target, bar.open) {
            self.end(Reason::Target, bar.ts, self.target, false, settings);
        } else if stopped {
            self.end(Reason::Stop, bar.ts, self.stop, hit, settings);
        } else if hit {
            self.end(Reason::Target, bar.ts, self.target, false, settings);
        } else if bar.ts.saturating_add(interval) >= over {
            self.end(Reason::Horizon, bar.ts.saturating_add(interval), bar.close, false, settings);
        }
        self.ending.is_some()
    }

    fn end(&mut self, reason: Reason, ts: i64, price: f64, is_ambiguous: bool, settings: &TradeSettings) {
        let ratio = price / self.entry_price;
        let cost = |bps: f64| bps * 1e-4 * (1.0 + ratio);
        self.reason = reason;
        self.ending = Some(Ending {
            ts,
            price,
            is_ambiguous,
            gross_return: self.side.sign() * (ratio - 1.0),
            fees: cost(settings.fee_bps),
            slippage: cost(settings.slippage_bps),
        });
    }
}

/// A level that a list looks at.
#[derive(Debug, Clone, Copy)]
struct Level {
    pool_id: i64,
    usd: f64,
    side: Side,
    price: f64,
}

/// A level that price went through.
#[derive(Debug, Clone, Copy)]
struct Swept {
    level: Level,
    frame_ts: i64,
    /// Open of the bar that went through it.
    since: i64,
    /// Furthest price since then.
    extreme: f64,
}

/// An entry at the next open.
#[derive(Debug, Clone, Copy)]
struct Order {
    level: Level,
    frame_ts: i64,
    side: Side,
    /// When it was known.
    known: i64,
    /// `None` for as far from the entry as the other one.
    target: Option<f64>,
    stop: Option<f64>,
}

impl Order {
    /// Returns the trade at an open, `None` where it opens beyond stop or target.
    fn enter(&self, basis: Basis, bar: &Bar) -> Option<Trade> {
        let mirrored = |level: f64| bar.open * (bar.open / level);
        let (target, stop) = match (self.target, self.stop) {
            (Some(target), Some(stop)) => (target, stop),
            (Some(target), None) => (target, mirrored(target)),
            (None, Some(stop)) => (mirrored(stop), stop),
            (None, None) => return None,
        };
        let between = !has_reached(self.side, stop, bar.open) && !has_reached(other(self.side), target, bar.open);
        between.then_some(Trade {
            basis,
            pool_id: self.level.pool_id,
            frame_ts: self.frame_ts,
            pool_usd: self.level.usd,
            level: self.level.price,
            side: self.side,
            entry_ts: bar.ts,
            entry_price: bar.open,
            target,
            stop,
            reason: Reason::Open,
            ending: None,
        })
    }
}

/// One of the three lists.
#[derive(Debug, Clone)]
struct List {
    basis: Basis,
    levels: Vec<Level>,
    swept: Vec<Swept>,
    order: Option<Order>,
    position: Option<Trade>,
    traded: Seen,
}

impl List {
    fn new(basis: Basis) -> List {
        List { basis, levels: Vec::new(), swept: Vec::new(), order: None, position: None, traded: Seen::default() }
    }

    fn enter(&mut self, trade: Trade) {
        self.traded.see(trade.pool_id);
        self.position = Some(trade);
        self.swept.clear();
    }

    /// Takes in a bar during which there is no position: its sweeps, and its close back inside.
    fn watch(&mut self, bar: &Bar, interval: i64, frame: Option<&Frame>, settings: &TradeSettings) {
        let closed = bar.ts.saturating_add(interval);
        for swept in &mut self.swept {
            swept.extreme = farther(swept.level.side, swept.extreme, reach(swept.level.side, bar).0);
        }
        self.swept.retain(|swept| closed - swept.since <= settings.confirm);
        if let Some(frame) = frame {
            let (swept, traded) = (&mut self.swept, &self.traded);
            self.levels.retain(|level| {
                let extreme = reach(level.side, bar).0;
                let through = has_reached(level.side, level.price, extreme);
                if through && !traded.has(level.pool_id) {
                    // A level that was swept before and came back with a later frame is the same sweep no more.
                    swept.retain(|swept| swept.level.pool_id != level.pool_id);
                    swept.push(Swept { level: *level, frame_ts: frame.ts, since: bar.ts, extreme });
                }
                !through
            });
        }
        let inside = self.swept.iter().filter(|swept| !has_reached(swept.level.side, swept.level.price, bar.close));
        let Some(swept) =
            inside.copied().reduce(|best, swept| if is_larger(&swept.level, &best.level) { swept } else { best })
        else {
            return;
        };
        let side = swept.level.side;
        let target = match settings.rule {
            TradeRule::PoolToPool => {
                let levels = self.levels.iter().filter(|level| {
                    let distance = beyond(level.side, bar.close, level.price);
                    level.side != side && distance > 0.0 && distance <= settings.max_distance && frame.is_some()
                });
                let target = levels.reduce(|best, level| if is_larger(level, best) { level } else { best });
                match target {
                    Some(level) => Some(level.price),
                    None => return,
                }
            }
            _ => None,
        };
        let buffer = 1.0 + settings.stop_buffer;
        let stop = match side {
            Side::Long => swept.extreme / buffer,
            Side::Short => swept.extreme * buffer,
        };
        self.order =
            Some(Order { level: swept.level, frame_ts: swept.frame_ts, side, known: closed, target, stop: Some(stop) });
        self.swept.clear();
    }
}

/// Whether a level holds more than another; of equal ones the older pool comes first.
fn is_larger(one: &Level, other: &Level) -> bool {
    one.usd > other.usd || (one.usd == other.usd && one.pool_id < other.pool_id)
}

/// A frame: the levels that count.
#[derive(Debug, Clone)]
struct Frame {
    ts: i64,
    price: f64,
    pools: Vec<Level>,
}

/// Trades one market by one rule.
///
/// ```
/// use liqsql::model::bar::Bar;
/// use liqsql::model::pool_trades::{Basis, PoolTrades, Reason, TradeRule, TradeSettings};
/// use liqsql::model::pools::Pool;
/// use liqsql::model::side::Side;
///
/// let hour = 3_600_000;
/// let pool = Pool {
///     id: 1, born_ts: 0, side: Side::Short, price_low: 101.0, price_high: 103.0, peak_price: 102.0,
///     usd: 1e6, share: 1.0, rank: 1,
/// };
/// let bar = |i: i64, open, high, low| Bar {
///     ts: i * hour, open, high, low, close: open, volume: 1.0, open_interest: None, open_interest_close: None,
/// };
/// let mut trades = PoolTrades::new(TradeSettings::of(TradeRule::ExitAtPool), hour);
/// trades.frame(0, 100.0, &[pool]);
/// trades.bar(&bar(0, 100.0, 101.0, 99.0));
/// trades.bar(&bar(1, 100.5, 102.5, 100.0));
/// let trade = trades.pop().unwrap();
/// assert_eq!((trade.basis, trade.side, trade.reason), (Basis::Pool, Side::Long, Reason::Target));
/// let ending = trade.ending.unwrap();
/// assert!((ending.gross_return - 0.02).abs() < 1e-12);
/// // 5 bp of fee and 2 bp of slippage on 1 and on 1.02.
/// assert!((ending.net_return() - (0.02 - 7e-4 * 2.02)).abs() < 1e-12);
/// // On the mirror the same was sold towards 98.04, and stopped at 102.
/// assert_eq!(trades.pop().map(|trade| (trade.basis, trade.reason)), Some((Basis::Mirror, Reason::Stop)));
/// ```
#[derive(Debug, Clone)]
pub struct PoolTrades {
    settings: TradeSettings,
    interval: i64,
    /// Frames that wait for a bar that opens at or after them.
    waiting: VecDeque<Frame>,
    frame: Option<Frame>,
    last_frame_ts: Option<i64>,
    /// Shortest time between two frames so far.
    step: Option<i64>,
    lists: [List; 3],
    /// In order of entries.
    finished: Vec<Trade>,
}

impl PoolTrades {
    /// Begins a market with bars of a length in milliseconds.
    pub fn new(settings: TradeSettings, interval: i64) -> PoolTrades {
        PoolTrades {
            settings,
            interval,
            waiting: VecDeque::new(),
            frame: None,
            last_frame_ts: None,
            step: None,
            lists: Basis::ALL.map(List::new),
            finished: Vec::new(),
        }
    }

    /// Takes the pools of a frame. Frames come in order of time, each before the first bar that opens at or after it.
    pub fn frame(&mut self, ts: i64, price: f64, pools: &[Pool]) {
        if let Some(step) = self.last_frame_ts.replace(ts).map(|last| ts - last).filter(|step| *step > 0) {
            self.step = Some(self.step.map_or(step, |shortest| shortest.min(step)));
        }
        let pools = pools.iter().filter_map(|pool| {
            let distance = beyond(other(pool.side), pool.peak_price, price);
            let counts = distance > 0.0 && distance <= self.settings.max_distance;
            counts.then_some(Level { pool_id: pool.id, usd: pool.usd, side: pool.side, price: pool.peak_price })
        });
        self.waiting.push_back(Frame { ts, price, pools: pools.collect() });
    }

    /// Takes the next bar, which opens after the last one.
    pub fn bar(&mut self, bar: &Bar) {
        let mut is_new = false;
        while let Some(frame) = self.waiting.pop_front_if(|frame| frame.ts <= bar.ts) {
            self.frame = Some(frame);
            is_new = true;
        }
        if let Some(frame) = self.frame.as_ref().filter(|_| is_new) {
            let seed = self.settings.seed;
            for list in &mut self.lists {
                list.levels.clear();
                list.levels.extend(frame.pools.iter().map(|level| place(list.basis, level, frame, seed)));
            }
        }
        let frame = self
            .frame
            .as_ref()
            .filter(|frame| bar.ts < frame.ts.saturating_add(self.step.unwrap_or(self.settings.horizon)));
        let mut free = self.lists.each_ref().map(|list| list.position.is_none());
        if self.settings.rule == TradeRule::ExitAtPool {
            if let Some(frame) = frame.filter(|frame| is_new && bar.ts - frame.ts < self.interval)
                && free == [true; 3]
            {
                enter_together(&mut self.lists, frame, bar);
            }
        } else {
            for (list, free) in self.lists.iter_mut().zip(&mut free) {
                let Some(order) = list.order.take().filter(|order| bar.ts - order.known < self.interval) else {
                    continue;
                };
                if let Some(trade) = order.enter(list.basis, bar) {
                    list.enter(trade);
                    *free = false;
                }
            }
        }
        for (list, free) in self.lists.iter_mut().zip(free) {
            if let Some(mut trade) = list.position.take() {
                if trade.see(bar, self.interval, &self.settings) {
                    let place = self.finished.partition_point(|other| in_order(other) <= in_order(&trade));
                    self.finished.insert(place, trade);
                } else {
                    list.position = Some(trade);
                }
            }
            if free && self.settings.rule != TradeRule::ExitAtPool {
                list.watch(bar, self.interval, frame, &self.settings);
            } else {
                // What price goes through during a trade is swept, and no sweep of a later bar.
                list.levels.retain(|level| !has_reached(level.side, level.price, reach(level.side, bar).0));
            }
        }
    }

    /// There are no more bars: trades that are open stay so.
    pub fn end(&mut self) {
        self.finished.extend(self.lists.iter_mut().filter_map(|list| list.position.take()));
        self.finished.sort_by_key(in_order);
    }

    /// Takes out the next trade that is over, in order of entries; of one instant pool, mirror, random.
    pub fn pop(&mut self) -> Option<Trade> {
        let next = in_order(self.finished.first()?);
        let open = self.lists.iter().filter_map(|list| list.position.as_ref()).map(in_order).min();
        if open.is_some_and(|open| open < next) { None } else { Some(self.finished.remove(0)) }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let levels = |frame: &Frame| frame.pools.capacity() * size_of::<Level>() + size_of::<Frame>();
        self.waiting.iter().chain(&self.frame).map(levels).sum::<usize>()
            + self
                .lists
                .iter()
                .map(|list| {
                    list.levels.capacity() * size_of::<Level>()
                        + list.swept.capacity() * size_of::<Swept>()
                        + list.traded.memory()
                })
                .sum::<usize>()
            + self.finished.capacity() * size_of::<Trade>()
    }
}

fn in_order(trade: &Trade) -> (i64, Basis) {
    (trade.entry_ts, trade.basis)
}

/// Enters all three lists towards the largest pool of a frame, or none of them.
fn enter_together(lists: &mut [List; 3], frame: &Frame, bar: &Bar) {
    let largest = (0..frame.pools.len()).reduce(|best, place| {
        let (one, other) = (&frame.pools[place], &frame.pools[best]);
        if is_larger(one, other) { place } else { best }
    });
    let Some(largest) = largest.filter(|place| !lists[0].traded.has(frame.pools[*place].pool_id)) else { return };
    let trades = lists.each_ref().map(|list| {
        let level = list.levels[largest];
        let side = other(level.side);
        let order = Order { level, frame_ts: frame.ts, side, known: frame.ts, target: Some(level.price), stop: None };
        order.enter(list.basis, bar)
    });
    if let [Some(pool), Some(mirror), Some(random)] = trades {
        for (list, trade) in lists.iter_mut().zip([pool, mirror, random]) {
            list.enter(trade);
        }
    }
}

/// Returns where a list sees the level of a pool.
fn place(basis: Basis, level: &Level, frame: &Frame, seed: u64) -> Level {
    match basis {
        Basis::Pool => *level,
        Basis::Mirror => Level { side: other(level.side), price: frame.price * (frame.price / level.price), ..*level },
        Basis::Random => {
            /// ln(5/4): from four fifths to five quarters of the distance.
            const SPREAD: f64 = 0.223_143_551_314_209_76;
            let mut state = seed;
            for part in [level.pool_id as u64, frame.ts as u64] {
                state = split_mix(state ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93));
            }
            let side = if state & 1 == 0 { Side::Long } else { Side::Short };
            let uniform = (split_mix(state) >> 11) as f64 / (1u64 << 53) as f64;
            let distance = (level.price / frame.price).ln().abs() * (SPREAD * (2.0 * uniform - 1.0)).exp();
            Level { side, price: frame.price * (-side.sign() * distance).exp(), ..*level }
        }
    }
}

/// Mixes 64 bits well (SplitMix64, Steele, Lea and Flood 2014).
fn split_mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What the three lists brought.
///
/// Rows: the means of `net_return` and `gross_return`, and `target_share`, of the trades on pools, of those on the null models
/// `mirror` and `random`, and the gain over them, by side of the position. Intervals resample the UTC days of the entries.
#[derive(Debug, Clone)]
pub struct TradeRates {
    /// Per side: net, gross, target.
    sides: [[Means<3>; 3]; 2],
}

impl Default for TradeRates {
    fn default() -> Self {
        TradeRates { sides: std::array::from_fn(|_| std::array::from_fn(|_| Means::new())) }
    }
}

const RATES: [(&str, &str); 3] =
    [("net_return", "net_return_gain"), ("gross_return", "gross_return_gain"), ("target_share", "target_share_gain")];

impl TradeRates {
    /// Adds a trade; one that did not end adds nothing.
    pub fn add(&mut self, trade: &Trade) {
        let Some(ending) = trade.ending else { return };
        let (column, day) = (trade.basis as usize, trade.entry_ts.div_euclid(DAY));
        let hit = f64::from(u8::from(trade.reason == Reason::Target));
        let values = [ending.net_return(), ending.gross_return, hit];
        for (means, value) in self.sides[trade.side.index()].iter_mut().zip(values) {
            means.add_to(column, day, 1.0, value, 1);
        }
    }

    /// Writes the report: both sides together, longs, shorts.
    pub fn rows(&self, resampling: Resampling) -> Vec<Score> {
        let [long, short] = &self.sides;
        let mut rows = Vec::new();
        for side in [None, Some(Side::Long), Some(Side::Short)] {
            for (i, (score, gain)) in RATES.into_iter().enumerate() {
                let means = match side {
                    Some(Side::Long) => long[i].clone(),
                    Some(Side::Short) => short[i].clone(),
                    None => long[i].clone().and(&short[i]),
                };
                let nulls = [None, Some(Basis::Mirror.name()), Some(Basis::Random.name())];
                means.rows(&Names { score, gain, nulls }, side, resampling, &mut rows);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;

    const MINUTE: i64 = 60_000;

    fn settings(rule: TradeRule) -> TradeSettings {
        TradeSettings { horizon: 20 * MINUTE, confirm: 3 * MINUTE, ..TradeSettings::of(rule) }
    }

    fn pool(id: i64, side: Side, peak_price: f64, usd: f64) -> Pool {
        Pool {
            id,
            born_ts: 0,
            side,
            price_low: peak_price * 0.999,
            price_high: peak_price * 1.001,
            peak_price,
            usd,
            share: 0.5,
            rank: 1,
        }
    }

    fn bar(minute: i64, [open, high, low, close]: [f64; 4]) -> Bar {
        let ts = minute * MINUTE;
        Bar { ts, open, high, low, close, volume: 1.0, open_interest: None, open_interest_close: None }
    }

    /// A bar that stays where it is.
    fn calm(minute: i64, price: f64) -> Bar {
        bar(minute, [price; 4])
    }

    /// Minute, price and pools.
    type FrameAt = (i64, f64, Vec<Pool>);

    fn run(settings: TradeSettings, frames: &[FrameAt], bars: &[Bar], end: bool) -> Vec<Trade> {
        let mut trades = PoolTrades::new(settings, MINUTE);
        let mut frames = frames.iter().peekable();
        let mut found = Vec::new();
        for bar in bars {
            while let Some((minute, price, pools)) = frames.next_if(|frame| frame.0 * MINUTE <= bar.ts) {
                trades.frame(minute * MINUTE, *price, pools);
            }
            trades.bar(bar);
            found.extend(std::iter::from_fn(|| trades.pop()));
        }
        if end {
            trades.end();
            found.extend(std::iter::from_fn(|| trades.pop()));
        }
        found
    }

    fn on(basis: Basis, trades: &[Trade]) -> Vec<Trade> {
        trades.iter().copied().filter(|trade| trade.basis == basis).collect()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn exit_at_pool_by_hand() {
        // The largest within 5 % is the second: shorts at 102. The third is too far.
        let pools =
            vec![pool(1, Side::Long, 99.0, 5.0), pool(2, Side::Short, 102.0, 9.0), pool(3, Side::Short, 110.0, 99.0)];
        let bars =
            [calm(0, 100.0), bar(1, [100.2, 101.0, 99.9, 100.5]), bar(2, [100.5, 102.1, 100.4, 101.0]), calm(3, 101.0)];
        let found = run(settings(TradeRule::ExitAtPool), &[(1, 100.0, pools)], &bars, true);
        let [trade] = on(Basis::Pool, &found)[..] else { panic!("{found:?}") };
        assert_eq!((trade.pool_id, trade.side, trade.entry_ts, trade.entry_price), (2, Side::Long, MINUTE, 100.2));
        assert!(trade.target == 102.0 && near(trade.stop, 100.2 * 100.2 / 102.0));
        let ending = trade.ending.unwrap();
        assert_eq!((trade.reason, ending.ts, ending.price), (Reason::Target, 2 * MINUTE, 102.0));
        let gross = 102.0 / 100.2 - 1.0;
        assert!(near(ending.gross_return, gross) && near(ending.fees, 5e-4 * (2.0 + gross)));
        assert!(near(ending.slippage, 2e-4 * (2.0 + gross)) && near(ending.net_return(), gross - 7e-4 * (2.0 + gross)));
        // The mirror of 102 about 100; its stop is nearer to the pool than the pool's target is, as the entry is.
        let [mirror] = on(Basis::Mirror, &found)[..] else { panic!("{found:?}") };
        assert_eq!((mirror.side, mirror.entry_ts, mirror.reason), (Side::Short, MINUTE, Reason::Open));
        assert!(near(mirror.target, 1e4 / 102.0) && near(mirror.stop, 100.2 * 100.2 * 102.0 / 1e4));
        assert_eq!(on(Basis::Random, &found).len(), 1);
    }

    #[test]
    fn of_stop_and_target_in_one_bar_the_stop_comes_first() {
        let pools = vec![pool(1, Side::Short, 101.0, 1.0)];
        let end = |cells| {
            let found = run(
                settings(TradeRule::ExitAtPool),
                &[(0, 100.0, pools.clone())],
                &[calm(0, 100.0), bar(1, cells)],
                false,
            );
            on(Basis::Pool, &found).first().map(|trade| (trade.reason, trade.ending.unwrap()))
        };
        let (reason, ending) = end([100.0, 101.5, 98.5, 100.0]).unwrap();
        assert!(reason == Reason::Stop && ending.is_ambiguous && near(ending.price, 1e4 / 101.0));
        // A bar that opens beyond the stop exits there; one that opens beyond the target, at the target.
        let (reason, ending) = end([98.0, 101.5, 97.0, 100.0]).unwrap();
        assert!(reason == Reason::Stop && !ending.is_ambiguous && ending.price == 98.0);
        let (reason, ending) = end([102.0, 102.0, 98.5, 100.0]).unwrap();
        assert!(reason == Reason::Target && !ending.is_ambiguous && ending.price == 101.0);
        assert_eq!(end([100.0, 100.5, 99.5, 100.0]), None);
    }

    #[test]
    fn a_trade_ends_with_its_horizon() {
        let frames = [(0, 100.0, vec![pool(1, Side::Short, 101.0, 1.0)])];
        let bars: Vec<Bar> = (0..20).map(|minute| calm(minute, 100.0 + 0.01 * minute as f64)).collect();
        let trade = on(Basis::Pool, &run(settings(TradeRule::ExitAtPool), &frames, &bars, false))[0];
        let ending = trade.ending.unwrap();
        assert_eq!((trade.reason, ending.ts, ending.price), (Reason::Horizon, 20 * MINUTE, bars[19].close));
        // A bar less, and nothing is known; after a hole the next open counts.
        assert_eq!(run(settings(TradeRule::ExitAtPool), &frames, &bars[..19], false), []);
        let hole: Vec<Bar> = bars[..5].iter().copied().chain([bar(60, [99.5, 105.0, 90.0, 99.0])]).collect();
        let trade = on(Basis::Pool, &run(settings(TradeRule::ExitAtPool), &frames, &hole, false))[0];
        assert_eq!((trade.reason, trade.ending.unwrap().price), (Reason::Horizon, 99.5));
    }

    #[test]
    fn no_entry_without_a_bar_at_once_or_beyond_the_target() {
        let frames = [(0, 100.0, vec![pool(1, Side::Short, 101.0, 1.0)])];
        for (bars, entries) in [(vec![calm(0, 100.0)], 3), (vec![calm(1, 100.0)], 0), (vec![calm(0, 101.0)], 0)] {
            assert_eq!(run(settings(TradeRule::ExitAtPool), &frames, &bars, true).len(), entries, "{bars:?}");
        }
    }

    #[test]
    fn a_pool_is_traded_once_and_a_list_holds_one_position() {
        let one = || vec![pool(1, Side::Short, 101.0, 2.0)];
        let both = || vec![pool(1, Side::Short, 101.0, 2.0), pool(2, Side::Long, 99.0, 3.0)];
        let frames = [(0, 100.0, one()), (5, 100.0, both()), (25, 100.0, one()), (30, 100.0, both())];
        let bars: Vec<Bar> = (0..60).map(|minute| calm(minute, 100.0)).collect();
        let found = run(settings(TradeRule::ExitAtPool), &frames, &bars, true);
        let entries: Vec<_> =
            on(Basis::Pool, &found).iter().map(|trade| (trade.pool_id, trade.entry_ts / MINUTE)).collect();
        assert_eq!(entries, [(1, 0), (2, 30)]);
    }

    #[test]
    fn sweep_reversal_by_hand() {
        let frames = [(0, 100.0, vec![pool(1, Side::Long, 99.0, 5.0)])];
        let bars = [
            calm(0, 100.0),
            // Through the peak, and closed beyond it; then deeper, and back inside.
            bar(1, [100.0, 100.0, 98.8, 98.9]),
            bar(2, [98.9, 99.4, 98.5, 99.3]),
            bar(3, [99.4, 99.9, 99.2, 99.8]),
            bar(4, [99.8, 100.5, 99.7, 100.4]),
        ];
        let found = run(settings(TradeRule::SweepReversal), &frames, &bars, true);
        let [trade] = found[..] else { panic!("{found:?}") };
        assert_eq!((trade.basis, trade.pool_id, trade.level, trade.side), (Basis::Pool, 1, 99.0, Side::Long));
        assert_eq!((trade.entry_ts, trade.entry_price), (3 * MINUTE, 99.4));
        let stop = 98.5 / 1.0005;
        assert!(near(trade.stop, stop) && near(trade.target, 99.4 * 99.4 / stop));
        assert_eq!((trade.reason, trade.ending.unwrap().ts), (Reason::Target, 4 * MINUTE));
        // Back inside too late: three minutes from the open of the bar that swept are over with the third bar.
        for (wait, trades) in [(1, 1), (2, 0)] {
            let mut late = bars[..2].to_vec();
            late.extend((0..wait).map(|i| bar(2 + i, [98.9; 4])));
            late.push(bar(2 + wait, [98.9, 99.4, 98.5, 99.3]));
            late.push(calm(3 + wait, 99.4));
            assert_eq!(run(settings(TradeRule::SweepReversal), &frames, &late, true).len(), trades);
        }
    }

    #[test]
    fn pool_to_pool_by_hand() {
        let pools = vec![
            pool(1, Side::Short, 101.0, 5.0),
            pool(2, Side::Long, 98.0, 3.0),
            pool(3, Side::Long, 97.0, 4.0),
            pool(4, Side::Long, 90.0, 50.0),
        ];
        // Through the shorts at 101 and back inside in one bar: sold at the next open, to the larger of the near longs.
        let bars = [
            calm(0, 100.0),
            bar(1, [100.0, 101.5, 100.0, 100.8]),
            bar(2, [100.7, 100.9, 98.5, 98.6]),
            bar(3, [98.6, 98.7, 96.9, 97.5]),
        ];
        let found = run(settings(TradeRule::PoolToPool), &[(0, 100.0, pools.clone())], &bars, true);
        let trade = on(Basis::Pool, &found)[0];
        assert_eq!((trade.pool_id, trade.side, trade.entry_ts, trade.target), (1, Side::Short, 2 * MINUTE, 97.0));
        assert!(near(trade.stop, 101.5 * 1.0005));
        let ending = trade.ending.unwrap();
        assert!(trade.reason == Reason::Target && near(ending.gross_return, 1.0 - 97.0 / 100.7));
        // Of the mirrors, 100²/98 = 102.04 and 103.09, none was reached.
        assert_eq!(on(Basis::Mirror, &found), []);
        // Without longs within reach there is no trade.
        let alone = vec![pools[0], pools[3]];
        assert_eq!(on(Basis::Pool, &run(settings(TradeRule::PoolToPool), &[(0, 100.0, alone)], &bars, true)), []);
    }

    #[test]
    fn old_pools_do_not_stand_in_for_frames_that_are_missing() {
        let longs = |id| vec![pool(id, Side::Long, 99.0, 5.0)];
        let sweep = |minute| [bar(minute, [100.0, 100.0, 98.8, 99.5]), calm(minute + 1, 99.5)];
        let bars = |from: i64| -> Vec<Bar> { (0..from).map(|minute| calm(minute, 100.0)).chain(sweep(from)).collect() };
        let rule = settings(TradeRule::SweepReversal);
        // Frames every two minutes, the last one at 4.
        let frames = [(0, 100.0, longs(1)), (2, 100.0, longs(2)), (4, 100.0, longs(3))];
        let traded = |from| on(Basis::Pool, &run(rule, &frames, &bars(from), true)).first().map(|trade| trade.pool_id);
        assert_eq!((traded(5), traded(6)), (Some(3), None));
    }

    /// A walk with frames of pools on both sides.
    fn market(seed: u64, minutes: i64) -> (Vec<FrameAt>, Vec<Bar>) {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let mut next = move || (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let (mut frames, mut bars, mut x, mut id) = (Vec::new(), Vec::new(), 0.0f64, 0);
        for minute in 0..minutes {
            if minute % 10 == 0 {
                let pools = (0..4).map(|_| {
                    id += 1;
                    let side = if next() < 0.5 { Side::Long } else { Side::Short };
                    pool(id, side, 100.0 * (x - side.sign() * (0.0005 + 0.004 * next())).exp(), 1.0 + next())
                });
                frames.push((minute, 100.0 * x.exp(), pools.collect()));
            }
            let open = x;
            let mut path = [0.0; 8];
            for step in &mut path {
                x += 0.0007 * (next() - 0.5);
                *step = x;
            }
            let high = path.iter().fold(open, |a, b| a.max(*b));
            let low = path.iter().fold(open, |a, b| a.min(*b));
            bars.push(bar(minute, [open, high, low, x].map(|x| 100.0 * x.exp())));
        }
        (frames, bars)
    }

    const RULES: [TradeRule; 3] = [TradeRule::ExitAtPool, TradeRule::SweepReversal, TradeRule::PoolToPool];

    #[test]
    fn later_bars_change_no_trade_that_ended_before() {
        let (frames, bars) = market(1, 3000);
        for rule in RULES {
            let whole = run(settings(rule), &frames, &bars, true);
            assert!(Basis::ALL.iter().all(|basis| on(*basis, &whole).len() > 20), "{rule:?}");
            for until in [500, 1111, 2222] {
                let cut = run(settings(rule), &frames, &bars[..until], true);
                // What is open at the end of the shorter series ends in the longer one, with the same entry.
                assert!(cut.len() > 20);
                for (a, b) in cut.iter().zip(&whole) {
                    match a.ending {
                        Some(_) => assert_eq!(a, b),
                        None => assert_eq!(*a, Trade { reason: Reason::Open, ending: None, ..*b }),
                    }
                }
                // Other bars from there on change nothing before either.
                let mut other = bars.clone();
                for bar in &mut other[until..] {
                    (bar.open, bar.high, bar.low, bar.close) = (50.0, 150.0, 50.0, 150.0);
                }
                let other = run(settings(rule), &frames, &other, true);
                let until = until as i64 * MINUTE;
                let ended = |trades: &[Trade]| {
                    let ended = trades.iter().filter(|trade| trade.ending.is_some_and(|ending| ending.ts < until));
                    ended.copied().collect::<Vec<_>>()
                };
                assert_eq!(ended(&other), ended(&whole));
            }
        }
    }

    #[test]
    fn trades_are_in_order_and_do_not_overlap_within_a_list() {
        let (frames, bars) = market(2, 3000);
        for rule in RULES {
            let found = run(settings(rule), &frames, &bars, true);
            assert!(found.is_sorted_by_key(in_order));
            for basis in Basis::ALL {
                let list = on(basis, &found);
                assert!(list.windows(2).all(|pair| pair[0].ending.unwrap().ts <= pair[1].entry_ts));
                let mut ids: Vec<i64> = list.iter().map(|trade| trade.pool_id).collect();
                ids.sort_unstable();
                assert!(ids.is_sorted_by(|a, b| a < b), "one trade a pool");
            }
            for trade in found.iter().filter(|trade| trade.ending.is_some()) {
                let ending = trade.ending.unwrap();
                assert!(trade.frame_ts <= trade.entry_ts && ending.ts >= trade.entry_ts);
                assert!((trade.side.sign() * (trade.target - trade.entry_price)) > 0.0);
                assert!((trade.side.sign() * (trade.stop - trade.entry_price)) < 0.0);
                assert!(ending.net_return() < ending.gross_return);
            }
            if rule == TradeRule::ExitAtPool {
                let pairs = Basis::ALL.map(|basis| {
                    on(basis, &found).iter().map(|trade| (trade.pool_id, trade.entry_ts)).collect::<Vec<_>>()
                });
                assert!(pairs[0] == pairs[1] && pairs[1] == pairs[2], "the three lists enter together");
            }
        }
    }

    #[test]
    fn a_reflected_market_has_reflected_trades() {
        let (frames, bars) = market(3, 2000);
        let turned = |price: f64| 1e4 / price;
        let reflected_frames: Vec<_> = frames
            .iter()
            .map(|(minute, price, pools)| {
                let pools = pools.iter().map(|pool| Pool {
                    side: other(pool.side),
                    peak_price: turned(pool.peak_price),
                    price_low: turned(pool.price_high),
                    price_high: turned(pool.price_low),
                    ..*pool
                });
                (*minute, turned(*price), pools.collect::<Vec<_>>())
            })
            .collect();
        let reflected_bars: Vec<Bar> = bars
            .iter()
            .map(|bar| Bar {
                open: turned(bar.open),
                high: turned(bar.low),
                low: turned(bar.high),
                close: turned(bar.close),
                ..*bar
            })
            .collect();
        for rule in RULES {
            let (one, two) = (
                run(settings(rule), &frames, &bars, true),
                run(settings(rule), &reflected_frames, &reflected_bars, true),
            );
            for basis in [Basis::Pool, Basis::Mirror] {
                let (one, two) = (on(basis, &one), on(basis, &two));
                // The random list of exit_at_pool decides when the three are free again, so only the first is compared.
                let compared = if rule == TradeRule::ExitAtPool { 1 } else { one.len() };
                assert!(rule == TradeRule::ExitAtPool || (one.len() == two.len() && one.len() > 10));
                for (a, b) in one.iter().zip(&two).take(compared) {
                    assert_eq!(
                        (a.pool_id, a.side, a.entry_ts, a.reason),
                        (b.pool_id, other(b.side), b.entry_ts, b.reason)
                    );
                    let (end_a, end_b) = (a.ending.unwrap(), b.ending.unwrap());
                    assert!(end_a.ts == end_b.ts && (end_a.price * end_b.price / 1e4 - 1.0).abs() < 1e-9);
                    assert!(
                        (a.target * b.target / 1e4 - 1.0).abs() < 1e-9 && (a.stop * b.stop / 1e4 - 1.0).abs() < 1e-9
                    );
                }
            }
            // On the pools of the one market as on the mirrors of the other with the same frames.
            if rule != TradeRule::ExitAtPool {
                let swapped: Vec<_> = frames
                    .iter()
                    .map(|(minute, price, pools)| {
                        let mirror = |peak: f64| price * (price / peak);
                        let pools = pools.iter().map(|p| pool(p.id, other(p.side), mirror(p.peak_price), p.usd));
                        (*minute, *price, pools.collect::<Vec<_>>())
                    })
                    .collect();
                let on_mirrors = on(Basis::Mirror, &run(settings(rule), &frames, &bars, true));
                let on_swapped = on(Basis::Pool, &run(settings(rule), &swapped, &bars, true));
                assert_eq!(on_mirrors.len(), on_swapped.len());
                assert!(
                    on_mirrors.iter().zip(&on_swapped).all(|(a, b)| a.entry_ts == b.entry_ts && a.reason == b.reason)
                );
            }
        }
    }

    #[test]
    fn random_pools_bring_no_more_than_their_mirrors() {
        for rule in RULES {
            let (mut sum, mut squares) = (0.0, 0.0);
            for seed in 0..200 {
                let (frames, bars) = market(seed, 800);
                let mut rates = TradeRates::default();
                // Twenty minutes stand for a day.
                let found = run(TradeSettings { seed, ..settings(rule) }, &frames, &bars, true);
                found.iter().for_each(|trade| rates.add(&Trade { entry_ts: trade.entry_ts * 72, ..*trade }));
                let rows = rates.rows(Resampling { seed, resamples: 2 });
                let gain = rows
                    .iter()
                    .find(|row| row.score == "net_return_gain" && row.null == Some("mirror") && row.side.is_none());
                let gain = gain.unwrap().value.unwrap();
                sum += gain;
                squares += gain * gain;
            }
            let (mean, deviation) = (sum / 200.0, (squares / 200.0).sqrt());
            assert!(mean.abs() < 3.0 * deviation / 200f64.sqrt(), "{rule:?}: {mean} ± {deviation}");
        }
    }

    #[test]
    fn random_levels_are_at_about_the_distance_and_depend_on_the_seed() {
        let frame = Frame { ts: 0, price: 100.0, pools: Vec::new() };
        let mut above = 0;
        for id in 0..2000 {
            let level = Level { pool_id: id, usd: 1.0, side: Side::Short, price: 102.0 };
            let random = place(Basis::Random, &level, &frame, 7);
            let ratio = (random.price / 100.0).ln().abs() / 1.02f64.ln();
            assert!((0.8 - 1e-12..=1.25 + 1e-12).contains(&ratio), "{ratio}");
            assert_eq!(random.side == Side::Short, random.price > 100.0);
            above += i32::from(random.side == Side::Short);
            assert_eq!(random.price, place(Basis::Random, &level, &frame, 7).price);
            assert_ne!(random.price, place(Basis::Random, &level, &frame, 8).price);
        }
        assert!((900..1100).contains(&above), "{above}");
    }

    #[test]
    fn frames_may_be_taken_before_the_bar_that_runs_over_them() {
        // A bar that opened before a frame and is taken after it leaves all as it was.
        let (frames, bars) = market(5, 600);
        let shifted: Vec<_> = bars.iter().map(|bar| Bar { ts: bar.ts + 30_000, ..*bar }).collect();
        for rule in RULES {
            let expected = run(settings(rule), &frames, &shifted, true);
            let mut trades = PoolTrades::new(settings(rule), MINUTE);
            let (mut found, mut next) = (Vec::new(), frames.iter().peekable());
            for bar in &shifted {
                while let Some((minute, price, pools)) = next.next_if(|frame| frame.0 * MINUTE <= bar.ts + MINUTE) {
                    trades.frame(minute * MINUTE, *price, pools);
                }
                trades.bar(bar);
                found.extend(std::iter::from_fn(|| trades.pop()));
            }
            trades.end();
            found.extend(std::iter::from_fn(|| trades.pop()));
            assert_eq!(found, expected, "{rule:?}");
        }
    }
}

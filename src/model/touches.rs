//! Whether price reached a pool, and whether it reached the other side as often.
//!
//! In: frames of pools and bars of one market, in order of time. Out: one row for each pool, when it was first seen: what
//! price did at its peak within the horizon, and at a matched level that holds nothing in particular.
//!
//! ```text
//!   mirror = price² / peak   ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─   as far above, in ln(price), as the peak is below
//!                    ┌┐
//!   price  ─●──┐ ┌───┘└┐        ┌──────┐ reversal    how far price came back beyond the level after the bar that
//!     frame │  └─┘     └┐    ┌──┘      └──           reached it: furthest price back / level − 1; below 0 if it
//!   peak    │ ▔▔▔▔▔▔▔▔▔▔└┐┌──┘▔▔▔▔▔▔▔▔▔▔▔▔           never came back
//!           │            └┘ overshoot                how far it went beyond: level / lowest − 1
//!           ├──────────── horizon ───────┤
//! ```
//!
//! * **The level** of a pool is its peak, the middle of its largest cell. It is reached by the first bar that opens at or
//!   after the frame, within the horizon, and whose low (for longs) is at or below it. `reached_ts` is that bar's open: the
//!   moment within the bar is not known.
//! * Prices above and below are compared by their ratio, so a reflected market gives reflected rows, fraction for fraction.
//! * **Once a pool**: the first frame in which its number appears. A pool whose peak does not stand on its side's own side
//!   of the price is passed over; what is left out before is up to the caller.
//! * **Finished**: a row of whose horizon more than a tenth has no bars, whose horizon is not over, or for which no bar tells for as long again that it is over, or
//!   without any bar within it, has no results at all. To keep what was already reached would count hits and forget misses.
//! * The mirror may be in a pool of the other side; `mirror_is_empty` says that it is in none of the frame.
//!
//! Price moved to where it stands, and what it left behind holds fewer levels and was traded more lately than what is
//! ahead. So even an estimate of nothing but old prices has reach rates of its own, and the mirror, not 50 %, is the measure.
//!
//! Invariant: a row depends on its frame, and on bars that open within its horizon at or after the frame. Held are the
//! pools whose horizon is not over, and one bit for each number seen.

use std::collections::{BTreeMap, VecDeque};

use super::bar::Bar;
use super::pools::Pool;
use super::score::Score;
use super::score::means::{DAY, Means, Names, Resampling};
use super::side::Side;

/// Part of a horizon that bars must tell of, but for one bar.
const LEAST_WATCHED: f64 = 0.9;

/// For how long a pool is watched, and what a near miss is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TouchRule {
    /// Time after the frame, milliseconds.
    pub horizon: i64,
    /// A level that price did not reach was nearly reached within this fraction of it.
    pub near: f64,
}

impl Default for TouchRule {
    fn default() -> Self {
        TouchRule { horizon: DAY, near: 0.001 }
    }
}

/// What price did at a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Approach {
    /// Open of the bar that reached it, milliseconds since the epoch; `None` if none did.
    pub reached_ts: Option<i64>,
    /// How far price went beyond, a fraction of the level; `None` if it did not reach it.
    pub overshoot: Option<f64>,
    /// How far price came back beyond the level after the bar that reached it, a fraction of the level, negative if it
    /// stayed beyond; `None` if it did not reach the level, or no bar came after.
    pub reversal: Option<f64>,
    /// How near price came, a fraction of the level; 0 if it reached it.
    pub nearest_approach: f64,
    /// Price came near and did not reach it.
    pub near_miss: bool,
}

/// A pool, when it was first seen, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Touch {
    /// Instant of the frame, milliseconds since the epoch.
    pub ts: i64,
    /// Price at the frame, quote per base.
    pub price: f64,
    /// The pool as it was seen then.
    pub pool: Pool,
    /// The level as far on the other side of the price.
    pub mirror_price: f64,
    /// No pool of the frame holds the mirror.
    pub mirror_is_empty: bool,
    /// What price did at the pool, and at the mirror; `None` where the horizon is not over.
    pub results: Option<[Approach; 2]>,
}

impl Touch {
    /// Returns how long after the frame the bar opened that reached the pool, milliseconds.
    pub fn time_to_reach(&self) -> Option<i64> {
        self.results.and_then(|[pool, _]| pool.reached_ts).map(|reached| reached - self.ts)
    }

    /// The same for the mirror.
    pub fn mirror_time_to_reach(&self) -> Option<i64> {
        self.results.and_then(|[_, mirror]| mirror.reached_ts).map(|reached| reached - self.ts)
    }
}

/// Returns by how much price lies beyond a level of a side, a fraction; negative before it.
pub(super) fn beyond(side: Side, level: f64, price: f64) -> f64 {
    match side {
        Side::Long => level / price - 1.0,
        Side::Short => price / level - 1.0,
    }
}

/// Returns how far a price lies before a level of a side, as a fraction; negative beyond it.
fn before(side: Side, level: f64, price: f64) -> f64 {
    match side {
        Side::Long => price / level - 1.0,
        Side::Short => level / price - 1.0,
    }
}

/// Returns the other side.
pub(super) fn other(side: Side) -> Side {
    match side {
        Side::Long => Side::Short,
        Side::Short => Side::Long,
    }
}

/// Returns how far a bar reached towards the levels of a side, and how far away from them.
pub(super) fn reach(side: Side, bar: &Bar) -> (f64, f64) {
    match side {
        Side::Long => (bar.low, bar.high),
        Side::Short => (bar.high, bar.low),
    }
}

/// Returns whether a price has come to a level of a side, or beyond.
pub(super) fn has_reached(side: Side, level: f64, price: f64) -> bool {
    match side {
        Side::Long => price <= level,
        Side::Short => price >= level,
    }
}

/// Returns the price farther in the direction of the levels of a side.
pub(super) fn farther(side: Side, one: f64, other: f64) -> f64 {
    match side {
        Side::Long => one.min(other),
        Side::Short => one.max(other),
    }
}

/// A level that is watched.
#[derive(Debug, Clone, Copy)]
struct Watch {
    side: Side,
    level: f64,
    reached_ts: Option<i64>,
    /// Furthest price in the direction of the level.
    furthest: Option<f64>,
    /// Furthest price back after the bar that reached it.
    back: Option<f64>,
}

impl Watch {
    fn new(side: Side, level: f64) -> Watch {
        Watch { side, level, reached_ts: None, furthest: None, back: None }
    }

    fn see(&mut self, bar: &Bar) {
        let (towards, away) = reach(self.side, bar);
        self.furthest = Some(self.furthest.map_or(towards, |price| farther(self.side, price, towards)));
        if self.reached_ts.is_some() {
            self.back = Some(self.back.map_or(away, |price| farther(other(self.side), price, away)));
        } else if has_reached(self.side, self.level, towards) {
            self.reached_ts = Some(bar.ts);
        }
    }

    fn result(&self, near: f64) -> Option<Approach> {
        let furthest = self.furthest?;
        let reached = self.reached_ts.is_some();
        let nearest_approach = before(self.side, self.level, furthest).max(0.0);
        Some(Approach {
            reached_ts: self.reached_ts,
            overshoot: reached.then(|| beyond(self.side, self.level, furthest)),
            reversal: self.back.map(|back| before(self.side, self.level, back)),
            nearest_approach: if reached { 0.0 } else { nearest_approach },
            near_miss: !reached && nearest_approach <= near,
        })
    }
}

#[derive(Debug, Clone)]
struct Open {
    touch: Touch,
    /// Bars that were seen within the horizon.
    bars: i64,
    watches: [Watch; 2],
}

/// Numbers that were seen: a bit each, for numbers that are given one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(BTreeMap<i64, u64>);

impl Seen {
    /// Marks a number as seen; returns whether it was not.
    pub(super) fn see(&mut self, number: i64) -> bool {
        let bits = self.0.entry(number.div_euclid(64)).or_insert(0);
        let bit = 1 << number.rem_euclid(64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }

    /// Returns whether a number was seen.
    pub(super) fn has(&self, number: i64) -> bool {
        self.0.get(&number.div_euclid(64)).is_some_and(|bits| bits & (1 << number.rem_euclid(64)) != 0)
    }

    /// Returns the bytes held, about.
    pub(super) fn memory(&self) -> usize {
        self.0.len() * 2 * size_of::<(i64, u64)>()
    }
}

/// What was met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TouchCounts {
    /// Pools that are watched, or were.
    pub pools: u64,
    /// Pools passed over because their peak was not on their own side of the price.
    pub misplaced: u64,
}

/// Watches the pools of one market.
///
/// ```
/// use liqsql::model::bar::Bar;
/// use liqsql::model::pools::Pool;
/// use liqsql::model::side::Side;
/// use liqsql::model::touches::{TouchRule, Touches};
///
/// let hour = 3_600_000;
/// let pool = Pool {
///     id: 1, born_ts: 0, side: Side::Long, price_low: 97.0, price_high: 99.0, peak_price: 98.0,
///     usd: 1e6, share: 1.0, rank: 1,
/// };
/// let bar = |ts, high, low| Bar {
///     ts, open: 99.0, high, low, close: 99.0, volume: 1.0, open_interest: None, open_interest_close: None,
/// };
/// let mut touches = Touches::new(TouchRule { horizon: 3 * hour, near: 0.001 }, hour);
/// touches.frame(0, 100.0, &[pool]);
/// touches.bar(&bar(0, 100.5, 98.5));
/// touches.bar(&bar(hour, 99.0, 96.0));
/// assert_eq!(touches.pop(), None); // the horizon is not over
/// touches.bar(&bar(2 * hour, 101.92, 97.5));
/// let touch = touches.pop().unwrap();
/// let [at_pool, at_mirror] = touch.results.unwrap();
/// assert_eq!(touch.time_to_reach(), Some(hour));
/// assert!((at_pool.overshoot.unwrap() - (98.0 / 96.0 - 1.0)).abs() < 1e-12);
/// assert!((at_pool.reversal.unwrap() - 0.04).abs() < 1e-12);
/// // The mirror at 100²/98 = 102.04 was nearly reached.
/// assert!(at_mirror.reached_ts.is_none() && !at_mirror.near_miss && at_mirror.nearest_approach < 0.0012);
/// ```
#[derive(Debug, Clone)]
pub struct Touches {
    rule: TouchRule,
    interval: i64,
    seen: Seen,
    /// In order of time, in which their horizons end.
    open: VecDeque<Open>,
    finished: VecDeque<Touch>,
    counts: TouchCounts,
}

impl Touches {
    /// Begins a market with bars of a length in milliseconds.
    pub fn new(rule: TouchRule, interval: i64) -> Touches {
        Touches {
            rule,
            interval,
            seen: Seen::default(),
            open: VecDeque::new(),
            finished: VecDeque::new(),
            counts: TouchCounts::default(),
        }
    }

    /// Takes the pools of a frame. Frames come in order of time, each before the first bar that opens at or after it.
    pub fn frame(&mut self, ts: i64, price: f64, pools: &[Pool]) {
        for pool in pools {
            if has_reached(pool.side, pool.peak_price, price) {
                self.counts.misplaced += 1;
                continue;
            }
            if !self.seen.see(pool.id) {
                continue;
            }
            self.counts.pools += 1;
            let mirror_price = price * (price / pool.peak_price);
            let holds_mirror = |other: &Pool| (other.price_low..=other.price_high).contains(&mirror_price);
            self.open.push_back(Open {
                touch: Touch {
                    ts,
                    price,
                    pool: *pool,
                    mirror_price,
                    mirror_is_empty: !pools.iter().any(holds_mirror),
                    results: None,
                },
                bars: 0,
                watches: [Watch::new(pool.side, pool.peak_price), Watch::new(other(pool.side), mirror_price)],
            });
        }
    }

    /// Takes the next bar, which opens after the last one.
    pub fn bar(&mut self, bar: &Bar) {
        let TouchRule { horizon, near } = self.rule;
        for open in &mut self.open {
            if (open.touch.ts..open.touch.ts.saturating_add(horizon)).contains(&bar.ts) {
                open.bars += 1;
                open.watches.iter_mut().for_each(|watch| watch.see(bar));
            }
        }
        let is_over = |open: &Open| bar.ts.saturating_add(self.interval) >= open.touch.ts.saturating_add(horizon);
        while let Some(mut open) = self.open.pop_front_if(|open| is_over(open)) {
            let end = open.touch.ts.saturating_add(horizon);
            let watched = (open.bars.saturating_add(1)).saturating_mul(self.interval) as f64;
            if bar.ts <= end.saturating_add(horizon) && watched >= LEAST_WATCHED * horizon as f64 {
                let [pool, mirror] = open.watches.map(|watch| watch.result(near));
                open.touch.results = pool.zip(mirror).map(|(pool, mirror)| [pool, mirror]);
            }
            self.finished.push_back(open.touch);
        }
    }

    /// There are no more bars: what came of the pools whose horizon is not over is not known.
    pub fn end(&mut self) {
        self.finished.extend(self.open.drain(..).map(|open| open.touch));
    }

    /// Takes out the next row of which all is said, in order of time.
    pub fn pop(&mut self) -> Option<Touch> {
        self.finished.pop_front()
    }

    /// Returns what was met so far.
    pub fn counts(&self) -> TouchCounts {
        self.counts
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.seen.memory() + self.open.capacity() * size_of::<Open>() + self.finished.capacity() * size_of::<Touch>()
    }
}

/// How often pools are reached, and how often their mirrors.
///
/// Rows: `reached_share` and `near_miss_share` of the pools, of the null model `mirror`, and the gain; then
/// `reached_share_beside_empty` of the pools whose mirror is in no pool. Intervals resample the UTC days of the frames; a
/// horizon reaches into the next day, so they are somewhat narrow.
#[derive(Debug, Clone)]
pub struct TouchRates {
    /// Per side: reached, nearly reached, reached where the mirror is empty.
    sides: [[Means<2>; 3]; 2],
}

impl Default for TouchRates {
    fn default() -> Self {
        TouchRates { sides: std::array::from_fn(|_| std::array::from_fn(|_| Means::new())) }
    }
}

const RATES: [(&str, &str); 3] = [
    ("reached_share", "reached_share_gain"),
    ("near_miss_share", "near_miss_share_gain"),
    ("reached_share_beside_empty", "reached_share_beside_empty_gain"),
];

impl TouchRates {
    /// Adds a row; one that is not finished adds nothing.
    pub fn add(&mut self, touch: &Touch) {
        let Some(results) = touch.results else { return };
        let day = touch.ts.div_euclid(DAY);
        let share = |is: fn(&Approach) -> bool| results.each_ref().map(|result| f64::from(u8::from(is(result))));
        let reached = share(|result| result.reached_ts.is_some());
        let [all, near, beside_empty] = &mut self.sides[touch.pool.side.index()];
        all.add(day, 1.0, reached, 1);
        near.add(day, 1.0, share(|result| result.near_miss), 1);
        if touch.mirror_is_empty {
            beside_empty.add(day, 1.0, reached, 1);
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
                means.rows(&Names { score, gain, nulls: [None, Some("mirror")] }, side, resampling, &mut rows);
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
    const RULE: TouchRule = TouchRule { horizon: 10 * MINUTE, near: 0.001 };

    fn pool(id: i64, side: Side, peak_price: f64) -> Pool {
        Pool {
            id,
            born_ts: 0,
            side,
            price_low: peak_price * 0.995,
            price_high: peak_price * 1.005,
            peak_price,
            usd: 1e6,
            share: 0.5,
            rank: 1,
        }
    }

    fn bar(minute: i64, high: f64, low: f64) -> Bar {
        let close = (high * low).sqrt();
        Bar {
            ts: minute * MINUTE,
            open: close,
            high,
            low,
            close,
            volume: 1.0,
            open_interest: None,
            open_interest_close: None,
        }
    }

    /// Minute, price and pools.
    type FrameAt = (i64, f64, Vec<Pool>);

    fn rows(touches: &mut Touches) -> Vec<Touch> {
        std::iter::from_fn(|| touches.pop()).collect()
    }

    /// Frames of pools by minute, then bars by minute, of which frames come first.
    fn run(frames: &[FrameAt], bars: &[Bar], end: bool) -> Vec<Touch> {
        let mut touches = Touches::new(RULE, MINUTE);
        let mut frames = frames.iter().peekable();
        for bar in bars {
            while let Some((minute, price, pools)) = frames.next_if(|frame| frame.0 * MINUTE <= bar.ts) {
                touches.frame(minute * MINUTE, *price, pools);
            }
            touches.bar(bar);
        }
        if end {
            touches.end();
        }
        rows(&mut touches)
    }

    #[test]
    fn a_pool_of_shorts_that_is_swept() {
        // Peak at 102, mirror at 100²/102 = 98.039.
        let bars: Vec<Bar> = (0..10)
            .map(|minute| match minute {
                3 => bar(minute, 102.0, 100.0),
                4 => bar(minute, 104.04, 101.0),
                7 => bar(minute, 100.0, 98.10),
                _ => bar(minute, 101.0, 99.0),
            })
            .collect();
        let found = run(&[(0, 100.0, vec![pool(7, Side::Short, 102.0)])], &bars, false);
        let [touch] = found[..] else { panic!("{found:?}") };
        let [at_pool, at_mirror] = touch.results.unwrap();
        assert_eq!((touch.ts, touch.pool.id, touch.time_to_reach()), (0, 7, Some(3 * MINUTE)));
        assert_eq!((at_pool.nearest_approach, at_pool.near_miss), (0.0, false));
        assert!((at_pool.overshoot.unwrap() - 0.02).abs() < 1e-12);
        assert!((at_pool.reversal.unwrap() - (102.0 / 98.10 - 1.0)).abs() < 1e-12);
        let mirror = 100.0 * 100.0 / 102.0;
        assert!((touch.mirror_price - mirror).abs() < 1e-9 && touch.mirror_is_empty);
        assert_eq!((at_mirror.reached_ts, at_mirror.overshoot, at_mirror.reversal), (None, None, None));
        assert!((at_mirror.nearest_approach - (98.10 / mirror - 1.0)).abs() < 1e-12);
        assert!(at_mirror.near_miss && touch.mirror_time_to_reach().is_none());
    }

    #[test]
    fn a_wall_is_one_row_and_its_own_bars_count_only() {
        let frames = [
            (0, 100.0, vec![pool(1, Side::Long, 98.0)]),
            (5, 100.0, vec![pool(1, Side::Long, 98.0), pool(2, Side::Long, 97.0)]),
        ];
        // 97 is reached before the second frame, in which its pool is first seen; and by the last bar.
        let bars: Vec<Bar> =
            (0..15).map(|minute| bar(minute, 101.0, if minute == 4 || minute == 14 { 96.0 } else { 99.0 })).collect();
        let found = run(&frames, &bars, true);
        let reached: Vec<_> = found.iter().map(|touch| (touch.pool.id, touch.ts, touch.time_to_reach())).collect();
        assert_eq!(reached, [(1, 0, Some(4 * MINUTE)), (2, 5 * MINUTE, Some(9 * MINUTE))]);
        // Nothing came after the bar that reached the second.
        assert_eq!(found[1].results.unwrap()[0].reversal, None);
        // A bar that opened before the frame does not count, whenever it is taken.
        let mut touches = Touches::new(RULE, MINUTE);
        touches.frame(MINUTE / 2, 100.0, &[pool(1, Side::Long, 98.0)]);
        touches.bar(&bar(0, 101.0, 90.0));
        (1..12).for_each(|minute| touches.bar(&bar(minute, 101.0, 99.0)));
        assert_eq!(rows(&mut touches)[0].results.unwrap()[0].reached_ts, None);
    }

    #[test]
    fn what_is_not_over_is_not_known() {
        let frames = [(0, 100.0, vec![pool(1, Side::Long, 98.0)])];
        let until = |last: i64| (0..last).map(|minute| bar(minute, 101.0, 97.0)).collect::<Vec<_>>();
        assert_eq!(run(&frames, &until(9), false), []);
        assert_eq!(run(&frames, &until(9), true)[0].results, None);
        assert!(run(&frames, &until(10), false)[0].results.is_some());
        // The next bar comes too late to tell that the horizon was seen to its end.
        for (late, known) in [(20, true), (21, false)] {
            let bars: Vec<Bar> = until(9).into_iter().chain([bar(late, 101.0, 97.0)]).collect();
            assert_eq!(run(&frames, &bars, false)[0].results.is_some(), known);
        }
        // No bar within the horizon.
        assert_eq!(run(&frames, &[bar(12, 101.0, 97.0)], true)[0].results, None);
    }

    #[test]
    fn a_peak_on_the_wrong_side_is_passed_over() {
        let mut touches = Touches::new(RULE, MINUTE);
        touches.frame(0, 100.0, &[pool(1, Side::Long, 100.0), pool(2, Side::Short, 99.0), pool(3, Side::Short, 101.0)]);
        assert_eq!(touches.counts(), TouchCounts { pools: 1, misplaced: 2 });
        // In a later frame it counts.
        touches.frame(MINUTE, 100.0, &[pool(1, Side::Long, 99.0)]);
        assert_eq!(touches.counts(), TouchCounts { pools: 2, misplaced: 2 });
    }

    #[test]
    fn the_mirror_may_be_in_a_pool() {
        let pools = vec![pool(1, Side::Long, 98.0), pool(2, Side::Short, 102.3), pool(3, Side::Short, 104.0)];
        let bars: Vec<Bar> = (0..10).map(|minute| bar(minute, 101.0, 99.0)).collect();
        let found = run(&[(0, 100.0, pools)], &bars, false);
        assert_eq!(found.iter().map(|touch| touch.mirror_is_empty).collect::<Vec<_>>(), [false, false, true]);
    }

    /// A market of bars around a walk, with frames every quarter of an hour of pools at random distances.
    fn market(seed: u64, minutes: i64, pull: f64) -> (Vec<FrameAt>, Vec<Bar>) {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let mut next = move || (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let (mut frames, mut bars, mut x, mut id) = (Vec::new(), Vec::new(), 0.0f64, 0);
        let mut target = 0.0;
        for minute in 0..minutes {
            if minute % 15 == 0 {
                id += 1;
                let side = if next() < 0.5 { Side::Long } else { Side::Short };
                target = -side.sign() * (0.002 + 0.006 * next());
                frames.push((minute, 100.0 * x.exp(), vec![pool(id, side, 100.0 * (x + target).exp())]));
            }
            let open = x;
            x += 0.002 * (next() - 0.5) + pull * target;
            let (high, low) = (open.max(x) + 0.0005 * next(), open.min(x) - 0.0005 * next());
            bars.push(Bar {
                open: 100.0 * open.exp(),
                close: 100.0 * x.exp(),
                ..bar(minute, 100.0 * high.exp(), 100.0 * low.exp())
            });
        }
        (frames, bars)
    }

    fn gain(touches: &[Touch], seed: u64) -> Score {
        let mut rates = TouchRates::default();
        // Twenty minutes stand for a day, so that there are blocks to resample.
        touches.iter().for_each(|touch| rates.add(&Touch { ts: touch.ts * 72, ..*touch }));
        let rows = rates.rows(Resampling { seed, resamples: 200 });
        *rows.iter().find(|row| row.score == "reached_share_gain" && row.side.is_none()).unwrap()
    }

    #[test]
    fn random_pools_are_reached_no_more_often_than_their_mirrors() {
        let (mut sum, mut squares, mut significant) = (0.0, 0.0, 0);
        for seed in 0..200 {
            let (frames, bars) = market(seed, 3000, 0.0);
            let gain = gain(&run(&frames, &bars, true), seed);
            sum += gain.value.unwrap();
            squares += gain.value.unwrap().powi(2);
            significant += usize::from(gain.low.is_some_and(|low| low > 0.0));
        }
        let (mean, deviation) = (sum / 200.0, (squares / 200.0).sqrt());
        assert!(mean.abs() < 3.0 * deviation / 200f64.sqrt(), "{mean} ± {deviation}");
        assert!(significant <= 13, "{significant} of 200 were significant");
        // Pools that price is drawn to are.
        let (frames, bars) = market(1, 3000, 0.05);
        let gain = gain(&run(&frames, &bars, true), 1);
        assert!(gain.low.is_some_and(|low| low > 0.1), "{gain:?}");
    }

    #[test]
    fn later_bars_change_nothing_before() {
        let (frames, bars) = market(3, 600, 0.0);
        let whole = run(&frames, &bars, true);
        for until in [100, 255, 500] {
            let cut = run(&frames, &bars[..until], true);
            let known = cut.iter().filter(|touch| touch.results.is_some());
            assert!(known.clone().count() >= until / 15 - 1);
            assert!(known.zip(&whole).all(|(a, b)| a == b));
        }
    }

    #[test]
    fn a_reflected_market_has_its_sides_swapped() {
        let (frames, bars) = market(4, 900, 0.01);
        let turned = |price: f64| 1e4 / price;
        let reflected_pools = |pools: &Vec<Pool>| -> Vec<Pool> {
            let reflected = pools.iter().map(|pool| Pool {
                side: other(pool.side),
                price_low: turned(pool.price_high),
                price_high: turned(pool.price_low),
                peak_price: turned(pool.peak_price),
                ..*pool
            });
            reflected.collect()
        };
        let reflected_frames: Vec<_> =
            frames.iter().map(|(minute, price, pools)| (*minute, turned(*price), reflected_pools(pools))).collect();
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
        let (one, two) = (run(&frames, &bars, true), run(&reflected_frames, &reflected_bars, true));
        assert_eq!(one.len(), two.len());
        let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        };
        for (a, b) in one.iter().zip(&two) {
            assert_eq!((a.ts, a.pool.id, a.results.is_some()), (b.ts, b.pool.id, b.results.is_some()));
            for (a, b) in a.results.iter().flatten().zip(b.results.iter().flatten()) {
                assert!(a.reached_ts == b.reached_ts && near(a.overshoot, b.overshoot) && near(a.reversal, b.reversal));
                assert!((a.nearest_approach - b.nearest_approach).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut touches = Touches::new(RULE, MINUTE);
        for minute in 0..20_000 {
            touches.frame(minute * MINUTE, 100.0, &[pool(minute, Side::Long, 98.0)]);
            touches.bar(&bar(minute, 101.0, 99.0));
            while touches.pop().is_some() {}
            assert!(touches.open.len() <= 10);
        }
        assert!(touches.seen.0.len() <= 20_000 / 64 + 1 && touches.memory() < 32_000);
    }
}

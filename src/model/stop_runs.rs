//! Where stops were run: bars of unusual volume and unusual reach, and how much of the move came back.
//!
//! When price runs into many stops at once, they are executed at the market: volume and movement burst together. So a
//! burst is a bar in which both stand out from the bars before it, and neighbouring bursts of one direction are one run.
//!
//! ```text
//!   displacement   d = max(ln(open/low), ln(high/open))      down where the first is the larger, else up
//!   scores         z = (x − mean)/deviation                  of volume and of d, over the bars that opened in the
//!                                                            `window` before the bar, itself not included
//!   burst          z_volume ≥ volume_z and z_displacement ≥ displacement_z
//!
//!   price_from ──┐                                ┌── close of the horizon
//!                └─┐          ┌───┐     ┌─────────┘
//!                  └─┐    ┌───┘   └─────┘
//!   price_to         └────┘  best: the furthest price back
//!                ├─ run ─┤├────────── horizon ────┤
//!                ts     end_ts
//!
//!   reversal        (best − price_to)/(price_from − price_to)
//!   close_reversal  (close of the horizon − price_to)/(price_from − price_to)
//! ```
//!
//! A fall runs the stops of longs, a rise those of shorts: the side is that of the positions. It is a guess about why
//! volume and price moved, as good as the thresholds; nobody publishes whose stops were executed.
//!
//! * A bar has scores once [`LEAST_BARS`] bars are in its window, and a score of a quantity only where that quantity
//!   varied. The deviation is that of a population (divided by the count).
//! * A run is at most as long as the horizon, but at least a bar; a burst that would make it longer begins the next run. A
//!   bar is a neighbour if less than a bar is missing between.
//! * The horizon is seen through the bars after the run that open before its end. Where there is none, where the data end
//!   before it is over, or where no bar tells that it is over for as long again, both reversals are not known. So what is
//!   said of a run depends on bars that open no later than [`Rule::reach`] after it began, and no row waits longer.
//!
//! Invariant: nothing depends on how the bars were cut into batches, and mean and deviation do not drift (see `Window`).

use std::collections::VecDeque;

use super::bar::Bar;
use super::side::Side;

/// Fewest bars from which a mean and a deviation are taken.
pub const LEAST_BARS: usize = 30;

/// A deviation below this share of the mean is what rounding leaves of none.
const ROUNDING: f64 = 1e-9;

/// When a bar is a burst, and for how long its aftermath is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Time before a bar with which it is compared, milliseconds.
    pub window: i64,
    /// Least score of the volume.
    pub volume_z: f64,
    /// Least score of the displacement.
    pub displacement_z: f64,
    /// Time after a run in which price may come back, and the longest run; milliseconds.
    pub horizon: i64,
}

impl Rule {
    /// Returns how long after its first bar opened the last bar opens on which anything said of a run depends, for bars
    /// of a length.
    pub fn reach(&self, interval: i64) -> i64 {
        self.longest(interval).saturating_add(self.horizon).saturating_add(self.horizon)
    }

    fn longest(&self, interval: i64) -> i64 {
        self.horizon.max(interval)
    }
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRun {
    /// Open of its first bar, milliseconds since the epoch.
    pub ts: i64,
    /// Close of its last bar.
    pub end_ts: i64,
    /// Side of the positions whose stops were run: long where price fell.
    pub side: Side,
    /// Number of bars.
    pub bars: u32,
    /// Open of the first bar, quote per base.
    pub price_from: f64,
    /// Furthest price of the run.
    pub price_to: f64,
    /// Traded quantity, base units.
    pub volume: f64,
    /// The same, each bar at (high + low + close)/3.
    pub notional_usd: f64,
    /// Largest score of the volume of a bar.
    pub volume_z: f64,
    /// Largest score of the displacement of a bar.
    pub displacement_z: f64,
    /// Share of the move that came back at some time within the horizon; `None` where that is not known.
    pub reversal: Option<f64>,
    /// The same at the end of the horizon.
    pub close_reversal: Option<f64>,
}

impl StopRun {
    fn begin(bar: &Bar, interval: i64, burst: &Burst) -> StopRun {
        let mut run = StopRun {
            ts: bar.ts,
            end_ts: bar.ts,
            side: burst.side,
            bars: 0,
            price_from: bar.open,
            price_to: bar.open,
            volume: 0.0,
            notional_usd: 0.0,
            volume_z: f64::NEG_INFINITY,
            displacement_z: f64::NEG_INFINITY,
            reversal: None,
            close_reversal: None,
        };
        run.add(bar, interval, burst);
        run
    }

    fn add(&mut self, bar: &Bar, interval: i64, burst: &Burst) {
        self.end_ts = bar.ts.saturating_add(interval);
        self.bars += 1;
        self.price_to = match self.side {
            Side::Long => self.price_to.min(bar.low),
            Side::Short => self.price_to.max(bar.high),
        };
        self.volume += bar.volume;
        self.notional_usd += bar.volume * ((bar.high + bar.low + bar.close) / 3.0);
        self.volume_z = self.volume_z.max(burst.volume_z);
        self.displacement_z = self.displacement_z.max(burst.displacement_z);
    }

    /// Returns the move as a signed fraction of the price before it.
    pub fn displacement(&self) -> f64 {
        self.price_to / self.price_from - 1.0
    }

    fn share_back(&self, price: f64) -> f64 {
        (price - self.price_to) / (self.price_from - self.price_to)
    }
}

/// A bar that stands out.
#[derive(Debug, Clone, Copy)]
struct Burst {
    side: Side,
    volume_z: f64,
    displacement_z: f64,
}

/// A run whose horizon is not over.
#[derive(Debug, Clone, Copy)]
struct Watched {
    run: StopRun,
    /// Furthest price back and last close so far.
    seen: Option<(f64, f64)>,
}

impl Watched {
    /// Takes in a bar after the run; returns whether the horizon is over.
    fn see(&mut self, bar: &Bar, interval: i64, horizon: i64) -> bool {
        let end = self.run.end_ts.saturating_add(horizon);
        if bar.ts < end {
            let best = self.seen.map(|(best, _)| best);
            let best = match self.run.side {
                Side::Long => best.map_or(bar.high, |best| best.max(bar.high)),
                Side::Short => best.map_or(bar.low, |best| best.min(bar.low)),
            };
            self.seen = Some((best, bar.close));
            if bar.ts.saturating_add(interval) < end {
                return false;
            }
        }
        if bar.ts <= end.saturating_add(horizon)
            && let Some((best, close)) = self.seen
        {
            self.run.reversal = Some(self.run.share_back(best));
            self.run.close_reversal = Some(self.run.share_back(close));
        }
        true
    }
}

/// Finds the runs of one series of bars, in order.
///
/// ```
/// use liqsql::model::bar::Bar;
/// use liqsql::model::side::Side;
/// use liqsql::model::stop_runs::{Rule, StopRuns};
///
/// let minute = 60_000;
/// let bar = |i: i64, open: f64, low: f64, close: f64, volume: f64| Bar {
///     ts: i * minute, open, high: open, low, close, volume, open_interest: None, open_interest_close: None,
/// };
/// let rule = Rule { window: 60 * minute, volume_z: 3.0, displacement_z: 3.0, horizon: 2 * minute };
/// let mut runs = StopRuns::new(rule, minute);
/// // A calm half hour: volumes of 8 and 12, lows 0.1 and 0.3 below the open.
/// for i in 0..30 {
///     let (low, volume) = if i % 2 == 0 { (99.9, 8.0) } else { (99.7, 12.0) };
///     runs.next(&bar(i, 100.0, low, 100.0, volume));
/// }
/// runs.next(&bar(30, 100.0, 98.0, 98.2, 20.0)); // volume at (20 − 10)/2 = 5 deviations
/// runs.next(&bar(31, 98.2, 98.1, 98.2, 10.0));
/// assert_eq!(runs.pop(), None); // the horizon of two minutes is not over
/// runs.next(&bar(32, 99.0, 98.5, 98.5, 10.0));
/// let run = runs.pop().unwrap();
/// assert_eq!((run.ts, run.end_ts, run.side, run.bars), (30 * minute, 31 * minute, Side::Long, 1));
/// assert_eq!((run.price_from, run.price_to, run.volume_z.round()), (100.0, 98.0, 5.0));
/// // Of the 2 that price fell, 1 came back, and half of that stayed.
/// assert_eq!((run.reversal, run.close_reversal), (Some(0.5), Some(0.25)));
/// ```
#[derive(Debug, Clone)]
pub struct StopRuns {
    rule: Rule,
    interval: i64,
    window: Window,
    /// The run that the next bar may belong to, and the open of its last bar.
    current: Option<(StopRun, i64)>,
    /// In order of time, in which their horizons end.
    watched: VecDeque<Watched>,
    finished: VecDeque<StopRun>,
    counts: Counts,
}

/// What was met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bars that stood out.
    pub bursts: usize,
    /// Runs that they made.
    pub runs: usize,
    /// Bars that could not be scored: too few before them, or no variation.
    pub unscored: usize,
}

impl StopRuns {
    /// Begins a series of bars of a length in milliseconds.
    pub fn new(rule: Rule, interval: i64) -> StopRuns {
        StopRuns {
            rule,
            interval,
            window: Window::default(),
            current: None,
            watched: VecDeque::new(),
            finished: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes the next bar, which opens after the last one. Its prices are positive and finite, its volume is not negative.
    pub fn next(&mut self, bar: &Bar) {
        self.window.forget_before(bar.ts.saturating_sub(self.rule.window));
        let down = (bar.open / bar.low).ln();
        let up = (bar.high / bar.open).ln();
        let displacement = down.max(up);
        // Where price reached equally far both ways, where it ended tells.
        let side = if down > up || (down == up && bar.close <= bar.open) { Side::Long } else { Side::Short };
        let [volumes, displacements] = self.window.moments();
        let burst = match (volumes.score(bar.volume), displacements.score(displacement)) {
            (Some(volume_z), Some(displacement_z)) => {
                let stands_out = volume_z >= self.rule.volume_z && displacement_z >= self.rule.displacement_z;
                stands_out.then_some(Burst { side, volume_z, displacement_z })
            }
            _ => {
                self.counts.unscored += 1;
                None
            }
        };
        self.counts.bursts += usize::from(burst.is_some());
        self.follow(bar, burst);
        while let Some(mut first) = self.watched.pop_front() {
            if first.see(bar, self.interval, self.rule.horizon) {
                self.finished.push_back(first.run);
            } else {
                self.watched.push_front(first);
                break;
            }
        }
        // Horizons end in order: of those behind the first that goes on, none is over.
        for watched in self.watched.iter_mut().skip(1) {
            watched.see(bar, self.interval, self.rule.horizon);
        }
        self.window.add(bar.ts, [bar.volume, displacement]);
    }

    /// Adds a burst to the current run or begins one with it; ends the current run where it does not go on.
    fn follow(&mut self, bar: &Bar, burst: Option<Burst>) {
        if let Some((run, last)) = &mut self.current
            && let Some(burst) = &burst
            && burst.side == run.side
            && bar.ts - *last < self.interval.saturating_mul(2)
            && bar.ts.saturating_add(self.interval) - run.ts <= self.rule.longest(self.interval)
        {
            run.add(bar, self.interval, burst);
            *last = bar.ts;
            return;
        }
        self.close();
        if let Some(burst) = burst {
            self.current = Some((StopRun::begin(bar, self.interval, &burst), bar.ts));
        }
    }

    fn close(&mut self) {
        if let Some((run, _)) = self.current.take() {
            self.counts.runs += 1;
            self.watched.push_back(Watched { run, seen: None });
        }
    }

    /// There are no more bars: what came back after the last runs is not known.
    pub fn end(&mut self) {
        self.close();
        self.finished.extend(self.watched.drain(..).map(|watched| watched.run));
    }

    /// Takes out the next run of which all is said, in order of time.
    pub fn pop(&mut self) -> Option<StopRun> {
        self.finished.pop_front()
    }

    /// Returns what was met so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.window.memory()
            + self.watched.capacity() * size_of::<Watched>()
            + self.finished.capacity() * size_of::<StopRun>()
    }
}

/// Count, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(value: f64) -> Moments {
        Moments { count: 1.0, mean: value, squares: 0.0 }
    }

    /// Both together: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances" (1979). Equal means add nothing, so values that do not vary have exactly no deviation.
    fn join(&self, other: &Moments) -> Moments {
        if self.count == 0.0 {
            return *other;
        }
        if other.count == 0.0 {
            return *self;
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + distance * (other.count / count),
            squares: self.squares + other.squares + distance * distance * (self.count * other.count / count),
        }
    }

    /// Returns how many deviations a value lies above the mean; `None` for too few values, or none that vary.
    fn score(&self, value: f64) -> Option<f64> {
        let deviation = (self.squares / self.count).sqrt();
        let known = self.count >= LEAST_BARS as f64 && deviation > self.mean.abs() * ROUNDING;
        known.then(|| (value - self.mean) / deviation)
    }
}

/// Volume and displacement of the bars of the last `window`, and their moments.
///
/// Two stacks, so that moments are only ever joined and nothing is ever subtracted: what a spike adds is gone with it, to
/// the last digit, and the error does not grow with the length of the series.
///
/// ```text
///        front: moments of each bar with all later ones of front      back: bars, and their moments together
///        [abcd] [bcd] [cd] [d]                                         e f g       [efg]
///   oldest ▲ leaves here                                                     newest enters here ▲
///
///   of all = [abcd] joined with [efg]; when front is empty, back is turned over into it
/// ```
#[derive(Debug, Clone, Default)]
struct Window {
    /// The oldest is last.
    front: Vec<(i64, [Moments; 2])>,
    back: Vec<(i64, [f64; 2])>,
    back_moments: [Moments; 2],
}

impl Window {
    fn add(&mut self, ts: i64, values: [f64; 2]) {
        self.back.push((ts, values));
        for (moments, value) in self.back_moments.iter_mut().zip(values) {
            *moments = moments.join(&Moments::of(value));
        }
    }

    fn forget_before(&mut self, ts: i64) {
        loop {
            if self.front.is_empty() {
                if self.back.first().is_none_or(|(oldest, _)| *oldest >= ts) {
                    return;
                }
                self.turn_over();
            }
            match self.front.last() {
                Some((oldest, _)) if *oldest < ts => self.front.pop(),
                _ => return,
            };
        }
    }

    fn turn_over(&mut self) {
        let mut later = [Moments::default(); 2];
        for (ts, values) in self.back.drain(..).rev() {
            for (moments, value) in later.iter_mut().zip(values) {
                *moments = Moments::of(value).join(moments);
            }
            self.front.push((ts, later));
        }
        self.back_moments = [Moments::default(); 2];
    }

    fn moments(&self) -> [Moments; 2] {
        let mut all = self.front.last().map_or([Moments::default(); 2], |(_, moments)| *moments);
        for (moments, back) in all.iter_mut().zip(&self.back_moments) {
            *moments = moments.join(back);
        }
        all
    }

    fn memory(&self) -> usize {
        self.front.capacity() * size_of::<(i64, [Moments; 2])>() + self.back.capacity() * size_of::<(i64, [f64; 2])>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn bar(minute: i64, open: f64, high: f64, low: f64, close: f64, volume: f64) -> Bar {
        let ts = minute * MINUTE;
        Bar { ts, open, high, low, close, volume, open_interest: None, open_interest_close: None }
    }

    fn rule(horizon: i64) -> Rule {
        Rule { window: 60 * MINUTE, volume_z: 3.0, displacement_z: 3.0, horizon: horizon * MINUTE }
    }

    /// Thirty calm bars: volumes 8 and 12 (mean 10, deviation 2), lows 0.1 and 0.3 below the open.
    fn calm() -> Vec<Bar> {
        (0..30)
            .map(|i| {
                let (low, volume) = if i % 2 == 0 { (99.9, 8.0) } else { (99.7, 12.0) };
                bar(i, 100.0, 100.05, low, 100.0, volume)
            })
            .collect()
    }

    fn found(rule: Rule, bars: impl IntoIterator<Item = Bar>) -> (Vec<StopRun>, Counts) {
        let mut runs = StopRuns::new(rule, MINUTE);
        let mut found = Vec::new();
        for bar in bars {
            runs.next(&bar);
            found.extend(std::iter::from_fn(|| runs.pop()));
        }
        runs.end();
        found.extend(std::iter::from_fn(|| runs.pop()));
        (found, runs.counts())
    }

    fn after_calm(rule: Rule, more: &[Bar]) -> Vec<StopRun> {
        found(rule, calm().into_iter().chain(more.iter().copied())).0
    }

    #[test]
    fn neighbours_of_one_direction_are_one_run() {
        let runs = after_calm(
            rule(3),
            &[
                bar(30, 100.0, 100.0, 98.0, 98.4, 40.0),
                bar(31, 98.4, 98.5, 95.0, 96.0, 80.0),
                bar(32, 96.0, 97.0, 95.5, 96.5, 10.0),
                bar(33, 96.5, 97.5, 96.5, 97.0, 10.0),
                bar(34, 97.0, 97.2, 96.0, 96.0, 10.0),
            ],
        );
        let [run] = runs.as_slice() else { panic!("{runs:?}") };
        assert_eq!((run.ts, run.end_ts, run.side, run.bars), (30 * MINUTE, 32 * MINUTE, Side::Long, 2));
        assert_eq!((run.price_from, run.price_to, run.volume), (100.0, 95.0, 120.0));
        assert!((run.displacement() + 0.05).abs() < 1e-15);
        assert!((run.notional_usd - (40.0 * 296.4 / 3.0 + 80.0 * 289.5 / 3.0)).abs() < 1e-9);
        // Of the first bar: (40 − 10)/2. The second is compared with a window that holds the first.
        assert!((run.volume_z - 15.0).abs() < 1e-12, "{}", run.volume_z);
        // 97.5 and 96 of the 5 from 95 to 100.
        assert_eq!((run.reversal, run.close_reversal), (Some(0.5), Some(0.2)));
    }

    #[test]
    fn a_rise_runs_the_stops_of_shorts() {
        let runs = after_calm(
            rule(1),
            &[bar(30, 100.0, 104.0, 100.0, 103.0, 40.0), bar(31, 103.0, 103.5, 101.0, 102.0, 10.0)],
        );
        let [run] = runs.as_slice() else { panic!("{runs:?}") };
        assert_eq!((run.side, run.price_to), (Side::Short, 104.0));
        assert_eq!((run.reversal, run.close_reversal), (Some(0.75), Some(0.5)));
    }

    #[test]
    fn a_turn_begins_another_run_and_price_may_go_on() {
        let runs = after_calm(
            rule(1),
            &[
                bar(30, 100.0, 100.0, 96.0, 96.0, 400.0),
                bar(31, 96.0, 104.0, 96.0, 104.0, 4000.0),
                bar(32, 105.0, 106.0, 105.0, 106.0, 10.0),
            ],
        );
        let sides: Vec<Side> = runs.iter().map(|run| run.side).collect();
        assert_eq!(sides, [Side::Long, Side::Short]);
        // The second run is the horizon of the first: it came back twice over.
        assert_eq!((runs[0].reversal, runs[0].close_reversal), (Some(2.0), Some(2.0)));
        // Price went further: less than nothing came back.
        assert_eq!((runs[1].reversal, runs[1].close_reversal), (Some(-0.125), Some(-0.25)));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let burst = bar(30, 100.0, 100.0, 98.0, 98.0, 40.0);
        let calm_at = |minute| bar(minute, 99.0, 99.0, 98.5, 98.5, 10.0);
        let reversal = |more: &[Bar]| {
            let runs = after_calm(rule(3), &[&[burst], more].concat());
            assert_eq!(runs.len(), 1);
            (runs[0].reversal, runs[0].close_reversal)
        };
        let known = (Some(0.5), Some(0.25));
        // The horizon is 31, 32 and 33, over at 34.
        assert_eq!(reversal(&[]), (None, None));
        assert_eq!(reversal(&[calm_at(31), calm_at(32)]), (None, None));
        assert_eq!(reversal(&[calm_at(31), calm_at(32), calm_at(33)]), known);
        // A later bar tells that it is over, up to 37.
        assert_eq!(reversal(&[calm_at(31), calm_at(34)]), known);
        assert_eq!(reversal(&[calm_at(31), calm_at(37)]), known);
        assert_eq!(reversal(&[calm_at(31), calm_at(38)]), (None, None));
        // No bar in it.
        assert_eq!(reversal(&[calm_at(34)]), (None, None));
    }

    #[test]
    fn a_run_is_no_longer_than_the_horizon() {
        let fall = |i: i64| {
            let open = 100.0 * 0.9f64.powi(i as i32);
            bar(30 + i, open, open, open * 0.9, open * 0.9, 100.0 * 10f64.powi(i as i32))
        };
        let falls: Vec<Bar> = (0..5).map(fall).collect();
        let loose = |horizon| Rule { displacement_z: 0.5, ..rule(horizon) };
        let bars = |horizon| after_calm(loose(horizon), &falls).iter().map(|run| run.bars).collect::<Vec<_>>();
        assert_eq!(bars(2), [2, 2, 1]);
        assert_eq!(bars(9), [5]);
        // Even where the horizon is shorter than a bar.
        let short = Rule { horizon: 1, ..loose(1) };
        assert_eq!(after_calm(short, &falls).iter().map(|run| run.bars).collect::<Vec<_>>(), [1; 5]);
        // A missing bar ends it.
        let gap = [falls[0], Bar { ts: falls[2].ts, ..falls[1] }];
        assert_eq!(after_calm(loose(9), &gap).iter().map(|run| run.bars).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn scores_need_thirty_bars_that_vary() {
        let burst = bar(30, 100.0, 100.0, 98.0, 98.0, 40.0);
        assert_eq!(found(rule(1), calm().into_iter().skip(1).chain([burst])).0, []);
        let (runs, counts) = found(rule(1), calm().into_iter().chain([burst]));
        assert_eq!((runs.len(), counts), (1, Counts { bursts: 1, runs: 1, unscored: 30 }));
        let same_volume = calm().into_iter().map(|bar| Bar { volume: 10.1, ..bar });
        let (runs, counts) = found(rule(1), same_volume.chain([burst]));
        assert_eq!((runs.len(), counts.unscored), (0, 31));
        // The window counts, not the length of the series: at minute 75 only the bars of 15 to 29 are in it.
        assert_eq!(found(rule(1), calm().into_iter().chain([Bar { ts: 75 * MINUTE, ..burst }])).0, []);
    }

    #[test]
    fn either_threshold_alone_is_not_enough() {
        assert_eq!(after_calm(rule(1), &[bar(30, 100.0, 100.0, 98.0, 98.0, 12.0)]), []);
        assert_eq!(after_calm(rule(1), &[bar(30, 100.0, 100.0, 99.8, 98.0, 40.0)]), []);
        // The threshold of 3 is at a volume of 16.
        assert_eq!(after_calm(rule(1), &[bar(30, 100.0, 100.0, 98.0, 98.0, 16.01)]).len(), 1);
        assert_eq!(after_calm(rule(1), &[bar(30, 100.0, 100.0, 98.0, 98.0, 15.99)]), []);
    }

    /// Numbers that look random and are the same everywhere.
    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// A market with gaps, bursts and calm, of bars of a minute.
    fn market(seed: u64, count: usize) -> Vec<Bar> {
        let mut next = random(seed);
        let (mut minute, mut price) = (0, 100.0);
        (0..count)
            .map(|_| {
                minute += if next() < 0.03 { 1 + (next() * 9.0) as i64 } else { 1 };
                let size = if next() < 0.06 { 0.02 } else { 0.001 };
                let open = price;
                let close = open * (1.0 + size * (next() - 0.5));
                let (high, low) = (open.max(close) * (1.0 + size * next()), open.min(close) * (1.0 - size * next()));
                price = close;
                bar(minute, open, high, low, close, 10.0 * next() * if size > 0.01 { 20.0 } else { 1.0 })
            })
            .collect()
    }

    /// The definition, as slow as it is plain.
    fn reference(rule: Rule, bars: &[Bar]) -> Vec<StopRun> {
        let displacement = |bar: &Bar| (bar.open / bar.low).ln().max((bar.high / bar.open).ln());
        let score = |i: usize, value: &dyn Fn(&Bar) -> f64| {
            let window: Vec<f64> =
                bars[..i].iter().filter(|bar| bar.ts >= bars[i].ts - rule.window).map(value).collect();
            let count = window.len() as f64;
            let mean = window.iter().sum::<f64>() / count;
            let deviation = (window.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
            (window.len() >= LEAST_BARS).then(|| (value(&bars[i]) - mean) / deviation)
        };
        let mut runs: Vec<(StopRun, usize)> = Vec::new();
        for (i, bar) in bars.iter().enumerate() {
            let (Some(volume_z), Some(displacement_z)) = (score(i, &|bar| bar.volume), score(i, &displacement)) else {
                continue;
            };
            if volume_z < rule.volume_z || displacement_z < rule.displacement_z {
                continue;
            }
            let side = if bar.open / bar.low >= bar.high / bar.open { Side::Long } else { Side::Short };
            let burst = Burst { side, volume_z, displacement_z };
            match runs.last_mut() {
                Some((run, last))
                    if *last + 1 == i
                        && run.side == side
                        && bar.ts == run.end_ts
                        && bar.ts + MINUTE - run.ts <= rule.horizon =>
                {
                    run.add(bar, MINUTE, &burst);
                    *last = i;
                }
                _ => runs.push((StopRun::begin(bar, MINUTE, &burst), i)),
            }
        }
        for (run, last) in &mut runs {
            let end = run.end_ts + rule.horizon;
            let after = &bars[*last + 1..];
            let within: Vec<&Bar> = after.iter().filter(|bar| bar.ts < end).collect();
            let over = after.iter().find(|bar| bar.ts + MINUTE >= end);
            if let (Some(close), Some(over)) = (within.last(), over)
                && over.ts <= end + rule.horizon
            {
                let best = match run.side {
                    Side::Long => within.iter().map(|bar| bar.high).fold(0.0, f64::max),
                    Side::Short => within.iter().map(|bar| bar.low).fold(f64::MAX, f64::min),
                };
                run.reversal = Some(run.share_back(best));
                run.close_reversal = Some(run.share_back(close.close));
            }
        }
        runs.into_iter().map(|(run, _)| run).collect()
    }

    #[test]
    fn the_same_as_the_definition() {
        let mut total = 0;
        for seed in 0..40 {
            let bars = market(seed, 1500);
            for horizon in [1, 4, 30] {
                let rule = Rule { volume_z: 1.5, displacement_z: 1.5, ..rule(horizon) };
                let (fast, slow) = (found(rule, bars.iter().copied()).0, reference(rule, &bars));
                assert_eq!(fast.len(), slow.len(), "seed {seed}");
                total += fast.len();
                for (fast, slow) in fast.iter().zip(&slow) {
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
                    assert!(near(fast.volume_z, slow.volume_z) && near(fast.displacement_z, slow.displacement_z));
                    let same = StopRun { volume_z: slow.volume_z, displacement_z: slow.displacement_z, ..*fast };
                    assert_eq!(same, *slow, "seed {seed}");
                }
            }
        }
        assert!(total > 2000, "{total} runs");
    }

    /// A prefix of the bars gives the same runs, but for those that are still watched; and a run needs no bar that opens
    /// later than the rule says.
    #[test]
    fn nothing_depends_on_what_comes_later_than_the_reach() {
        for seed in 0..20 {
            let bars = market(seed, 800);
            for horizon in [1, 7] {
                let rule = Rule { volume_z: 1.5, displacement_z: 1.5, ..rule(horizon) };
                let all = found(rule, bars.iter().copied()).0;
                for cut in (40..800).step_by(13) {
                    let until = bars[cut - 1].ts;
                    let prefix = found(rule, bars[..cut].iter().copied()).0;
                    let settled = |runs: &[StopRun]| -> Vec<StopRun> {
                        runs.iter().filter(|run| run.ts + rule.reach(MINUTE) <= until).copied().collect()
                    };
                    assert_eq!(settled(&prefix), settled(&all), "seed {seed}, {cut} bars");
                }
            }
        }
    }

    #[test]
    fn the_reciprocal_price_swaps_the_sides() {
        for seed in 0..20 {
            let bars = market(seed, 1000);
            let mirror = |bar: &Bar| Bar {
                open: 1.0 / bar.open,
                high: 1.0 / bar.low,
                low: 1.0 / bar.high,
                close: 1.0 / bar.close,
                ..*bar
            };
            let rule = Rule { volume_z: 1.5, displacement_z: 1.5, ..rule(5) };
            let plain = found(rule, bars.iter().copied()).0;
            let mirrored = found(rule, bars.iter().map(mirror)).0;
            let told = |run: &StopRun| (run.ts, run.end_ts, run.bars, run.volume.to_bits(), run.reversal.is_some());
            assert!(plain.iter().map(told).eq(mirrored.iter().map(told)), "seed {seed}");
            assert!(plain.iter().zip(&mirrored).all(|(a, b)| a.side != b.side));
        }
    }

    /// A spike that dwarfs everything leaves nothing behind when it leaves the window, and a million bars do not add up to
    /// an error.
    #[test]
    fn the_moments_do_not_drift() {
        let mut next = random(7);
        let mut window = Window::default();
        for i in 0..1_000_000i64 {
            let spike = if i % 997 == 0 { 1e15 } else { 1.0 };
            window.forget_before(i - 288);
            window.add(i, [spike * (1000.0 + next()), 1e-3 * next()]);
        }
        let mut values = Vec::new();
        for i in 1_000_000..1_000_400i64 {
            let value = 1000.0 + next();
            values.push(value);
            window.forget_before(i - 288);
            window.add(i, [value, value]);
        }
        let [volumes, _] = window.moments();
        let recent = &values[values.len() - volumes.count as usize..];
        let mean = recent.iter().sum::<f64>() / volumes.count;
        let squares: f64 = recent.iter().map(|x| (x - mean) * (x - mean)).sum();
        assert_eq!(volumes.count, 289.0);
        assert!((volumes.mean / mean - 1.0).abs() < 1e-15, "{} {mean}", volumes.mean);
        assert!((volumes.squares / squares - 1.0).abs() < 1e-11, "{} {squares}", volumes.squares);
        assert!(window.memory() < 64 * 1024, "{} bytes", window.memory());
    }

    #[test]
    fn values_that_do_not_vary_have_no_deviation_however_long() {
        let mut window = Window::default();
        for i in 0..10_000 {
            window.forget_before(i - 100);
            window.add(i, [0.1, 1.0 / 3.0]);
            assert!(window.moments().iter().all(|moments| moments.squares == 0.0));
        }
    }
}

//! Does what the map says was swept agree with what was liquidated, hour by hour? (MODEL.md §5, score S1)
//!
//! In: the bars of one (exchange, symbol) through a [`Replay`] of a [`Book`], and realised liquidations. Out: rank
//! correlations, and how much better the logarithm of realised USD is predicted with the map than without it, each with
//! an interval. The map only counts for what it adds to a null model:
//!
//! ```text
//!   bars ──► HourlyReplay ──► one Hour a clock hour ──┐
//!                                                    ├─► score_hourly ─► Score: value, low, high
//!   liquidations ─────────► Realised, by hour ───────┘
//!
//!   null             knows of an hour
//!   move             its drop, rise and range, their squares and logarithms, its volume, |ΔOI|
//!   autoregression   that, and what was liquidated in the hour before and the 24 before
//!   freshness        that of `move`, and how far it went beyond the extremes of the last 1 … 168 hours
//! ```
//!
//! Which hours count: every bar of the hour is there, and the bar before it, it traded, and the open interest at its end
//! is known; truth covers it and the hour before. Other hours are neither fitted nor scored, because what their missing
//! bars swept is unknown while their liquidations are not. Truth covers all hours from its first row to its last; an
//! hour between without a row had none.
//!
//! Invariant: a [`Hour`] and its features depend on nothing after its end, so bars and truth that stop earlier leave
//! earlier hours as they are; what is fitted is fitted on the train range alone. The scores do not depend on the order
//! in which rows of truth come.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::Score;
use super::bootstrap::DayBlocks;
use super::means::Resampling;
use super::statistics::{LeastSquares, Order, RankCorrelations};
use crate::model::bar::Bar;
use crate::model::book::Book;
use crate::model::replay::Replay;
use crate::model::side::Side;

/// Length of an hour in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// Windows, in hours before an hour, whose extremes are compared with its own.
pub const EXCURSION_HOURS: [usize; 7] = [1, 3, 6, 12, 24, 72, 168];

/// Hours over which the autoregressive null averages.
const MEMORY_HOURS: i64 = 24;

/// Added to a price move before its logarithm is taken: 2 basis points.
const MOVE_FLOOR: f64 = 2e-4;

/// Added to |ΔOI| before its logarithm is taken, base units.
const OPEN_INTEREST_FLOOR: f64 = 10.0;

/// Share of the map's mean that is its unit: `ln(1 + x / (0.01 × mean))`.
const MAP_UNIT: f64 = 0.01;

/// Realised USD are added up in whole millionths, so that their order does not matter.
const MICROS: f64 = 1e6;

/// What one clock hour (UTC) of bars did, and what the map said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hour {
    /// Its beginning, milliseconds since the epoch.
    pub ts: i64,
    /// Whether all its bars are there, in unbroken succession.
    pub is_whole: bool,
    /// Close of the bar that ends where the hour begins; `None` if that bar is missing.
    pub previous_close: Option<f64>,
    /// Lowest price.
    pub low: f64,
    /// Highest price.
    pub high: f64,
    /// Traded quantity, base units.
    pub volume: f64,
    /// Change of the open interest that the model used, base units; `None` if unknown at the beginning or the end.
    pub open_interest_change: Option<f64>,
    /// USD that the map says were liquidated, at liquidation prices: longs, shorts.
    pub swept_usd: [f64; 2],
    /// The same by tier, in the order of the parameters.
    pub swept_by_tier: Vec<[f64; 2]>,
    /// ln(lowest low of the last 1, 3, … 168 hours / low), zero unless the hour went below it. A window that reaches
    /// back before the first bar is cut there.
    pub new_low: [f64; 7],
    /// ln(high / highest high of the last 1, 3, … 168 hours), zero unless the hour went above it.
    pub new_high: [f64; 7],
}

impl Hour {
    /// Returns what [`Null::Move`] knows, without the intercept; `None` if the hour does not count.
    fn price_move(&self) -> Option<[f64; 10]> {
        let previous = self.previous_close.filter(|price| *price > 0.0 && self.is_whole)?;
        let change = self.open_interest_change?;
        if self.volume <= 0.0 || self.low <= 0.0 {
            return None;
        }
        let drop = libm::log(previous / self.low).max(0.0);
        let rise = libm::log(self.high / previous).max(0.0);
        let range = libm::log(self.high / self.low);
        Some([
            drop,
            rise,
            range,
            drop * drop,
            rise * rise,
            libm::log(drop + MOVE_FLOOR),
            libm::log(rise + MOVE_FLOOR),
            libm::log(range + MOVE_FLOOR),
            libm::log(self.volume),
            libm::log(change.abs() + OPEN_INTEREST_FLOOR),
        ])
    }
}

/// Of [`Hour::price_move`], those that rank hours differently: the others are monotone in them.
const MOVES_THAT_RANK: [usize; 5] = [0, 1, 2, 8, 9];

/// Adds bars up to hours.
///
/// A replay feeds it through [`HourlyReplay`]; a map from elsewhere gives what it says each bar swept.
///
/// ```
/// use liqsql::model::bar::Bar;
/// use liqsql::model::score::hourly::Hours;
/// let bar = |i: i64, low, close| Bar {
///     ts: i * 1_800_000, open: 100.0, high: 101.0, low, close, volume: 5.0,
///     open_interest: None, open_interest_close: None,
/// };
/// let mut hours = Hours::new(1_800_000).ok_or("bars must divide an hour")?;
/// for (i, low, close, open_interest) in [(0, 99.0, 100.0, 50.0), (1, 98.0, 99.0, 52.0), (2, 97.0, 98.0, 49.0), (3, 97.5, 98.0, 48.0)] {
///     // What the map says this bar swept: 10 USD of longs.
///     hours.take(&bar(i, low, close), Some(open_interest), [10.0, 0.0], &[]);
/// }
/// let hours = hours.finish();
/// let second = &hours[1];
/// assert_eq!((second.previous_close, second.low, second.volume), (Some(99.0), 97.0, 10.0));
/// assert_eq!((second.open_interest_change, second.swept_usd), (Some(-4.0), [20.0, 0.0]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hours {
    interval: i64,
    rows: Vec<Hour>,
    current: Option<Hour>,
    /// Low and high of earlier hours, newest first, as far back as the longest window.
    extremes: VecDeque<(i64, f64, f64)>,
    /// End and close of the last bar.
    last: Option<(i64, f64)>,
    /// Open interest after the last bar, and before the current hour.
    open_interest: Option<f64>,
    open_interest_before: Option<f64>,
}

impl Hours {
    /// Starts without hours. `interval` is the length of a bar in milliseconds; `None` unless it divides an hour.
    pub fn new(interval: i64) -> Option<Hours> {
        (interval > 0 && HOUR % interval == 0).then(|| Hours {
            interval,
            rows: Vec::new(),
            current: None,
            extremes: VecDeque::new(),
            last: None,
            open_interest: None,
            open_interest_before: None,
        })
    }

    /// Takes a bar, in order of time: the open interest after it, base units, if it is known when the bar closes, and
    /// the USD that the map says it swept, longs and shorts, in all and by tier (as many tiers each time).
    pub fn take(&mut self, bar: &Bar, open_interest: Option<f64>, swept_usd: [f64; 2], swept_by_tier: &[[f64; 2]]) {
        let ts = bar.ts.div_euclid(HOUR) * HOUR;
        let follows = self.last.is_some_and(|(end, _)| end == bar.ts);
        if self.current.as_ref().is_none_or(|hour| hour.ts != ts) {
            self.end_hour();
            self.open_interest_before = self.open_interest.filter(|_| follows);
            self.current = Some(Hour {
                ts,
                is_whole: bar.ts == ts,
                previous_close: self.last.filter(|_| follows && bar.ts == ts).map(|(_, close)| close),
                low: bar.low,
                high: bar.high,
                volume: 0.0,
                open_interest_change: None,
                swept_usd: [0.0; 2],
                swept_by_tier: vec![[0.0; 2]; swept_by_tier.len()],
                new_low: [0.0; 7],
                new_high: [0.0; 7],
            });
        } else if let Some(hour) = &mut self.current {
            hour.is_whole &= follows;
        }
        if let Some(hour) = &mut self.current {
            hour.low = hour.low.min(bar.low);
            hour.high = hour.high.max(bar.high);
            hour.volume += bar.volume;
            for side in [0, 1] {
                hour.swept_usd[side] += swept_usd[side];
                for (sum, swept) in hour.swept_by_tier.iter_mut().zip(swept_by_tier) {
                    sum[side] += swept[side];
                }
            }
        }
        self.last = Some((bar.ts + self.interval, bar.close));
        self.open_interest = open_interest;
    }

    fn end_hour(&mut self) {
        let Some(mut hour) = self.current.take() else { return };
        hour.is_whole &= self.last.is_some_and(|(end, _)| end == hour.ts + HOUR);
        hour.open_interest_change =
            self.open_interest.zip(self.open_interest_before).map(|(after, before)| after - before);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut earlier = self.extremes.iter().peekable();
        for (i, window) in EXCURSION_HOURS.into_iter().enumerate() {
            let from = hour.ts - window as i64 * HOUR;
            while let Some((_, earlier_low, earlier_high)) = earlier.next_if(|(ts, ..)| *ts >= from) {
                low = low.min(*earlier_low);
                high = high.max(*earlier_high);
            }
            if low.is_finite() && hour.low > 0.0 {
                hour.new_low[i] = libm::log(low / hour.low).max(0.0);
                hour.new_high[i] = libm::log(hour.high / high).max(0.0);
            }
        }
        self.extremes.push_front((hour.ts, hour.low, hour.high));
        let oldest = hour.ts - EXCURSION_HOURS[EXCURSION_HOURS.len() - 1] as i64 * HOUR;
        while self.extremes.back().is_some_and(|(ts, ..)| *ts < oldest) {
            self.extremes.pop_back();
        }
        self.rows.push(hour);
    }

    /// Returns the hours that have a bar, in order of time.
    pub fn finish(mut self) -> Vec<Hour> {
        self.end_hour();
        self.rows
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let tiers = self.rows.first().map_or(0, |hour| hour.swept_by_tier.len());
        self.rows.capacity() * (size_of::<Hour>() + tiers * size_of::<[f64; 2]>())
            + self.extremes.capacity() * size_of::<(i64, f64, f64)>()
    }
}

/// Runs bars through a book and adds up by hour what it sweeps, in the scale of its parameters.
///
/// ```
/// use liqsql::model::score::hourly::HourlyReplay;
/// use liqsql::model::{bar::Bar, book::Book, parameters::Parameters, replay::Replay};
///
/// let parameters = Parameters::default();
/// let replay = Replay::new(&parameters, 300_000, Vec::new(), Book::new(&parameters));
/// let mut hourly = HourlyReplay::new(replay).ok_or("bars must divide an hour")?;
/// for i in 0..36 {
///     // Flat for two hours, then 12 % lower: longs of 10x and more are swept.
///     let price = if i < 24 { 100.0 } else { 88.0 };
///     hourly.take(&Bar {
///         ts: i * 300_000, open: price, high: price, low: price, close: price, volume: 10.0,
///         open_interest: Some(1000.0 + i as f64), open_interest_close: Some(1001.0 + i as f64),
///     });
/// }
/// let hours = hourly.finish();
/// assert_eq!(hours.len(), 3);
/// assert!(hours[1].swept_usd == [0.0, 0.0] && hours[2].swept_usd[0] > 0.0);
/// assert_eq!(hours[2].open_interest_change, Some(12.0));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone)]
pub struct HourlyReplay {
    replay: Replay<Book>,
    /// A bar that ended while its open interest at the close was unknown.
    waiting: Option<Bar>,
    hours: Hours,
    by_tier: Vec<[f64; 2]>,
}

impl HourlyReplay {
    /// Takes a replay that has seen no bar; `None` unless its bars divide an hour.
    pub fn new(replay: Replay<Book>) -> Option<HourlyReplay> {
        let hours = Hours::new(replay.interval())?;
        let by_tier = vec![[0.0; 2]; replay.standing().leverages().len()];
        Some(HourlyReplay { replay, waiting: None, hours, by_tier })
    }

    /// Takes the next bar.
    pub fn take(&mut self, bar: &Bar) {
        if let Some(waiting) = self.waiting.take() {
            self.replay.settle(Some(bar));
            // After a gap the next bar's open interest is no longer that at the end of the waiting one.
            self.add(&waiting, bar.ts == waiting.ts + self.replay.interval());
        }
        self.replay.begin(bar);
        self.replay.end(bar);
        if self.replay.is_pending() {
            self.waiting = Some(*bar);
        } else {
            self.add(bar, true);
        }
    }

    fn add(&mut self, bar: &Bar, is_known: bool) {
        let book = self.replay.standing();
        let mut swept = [0.0; 2];
        for (tier, by_side) in self.by_tier.iter_mut().enumerate() {
            for side in Side::BOTH {
                by_side[side.index()] = book.total(side, tier).flow.liquidated_usd;
                swept[side.index()] += by_side[side.index()];
            }
        }
        self.hours.take(bar, self.replay.open_interest().filter(|_| is_known), swept, &self.by_tier);
    }

    /// Returns the replay.
    pub fn replay(&self) -> &Replay<Book> {
        &self.replay
    }

    /// Returns the hours that have a bar, in order of time.
    pub fn finish(mut self) -> Vec<Hour> {
        if let Some(waiting) = self.waiting.take() {
            self.replay.settle(None);
            self.add(&waiting, false);
        }
        self.hours.finish()
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.replay.standing().memory() + self.hours.memory()
    }
}

/// Liquidations that happened, by clock hour.
///
/// ```
/// use liqsql::model::score::hourly::{HOUR, Realised};
/// use liqsql::model::side::Side;
/// let mut realised = Realised::default();
/// realised.add(10, Side::Long, 100.0);
/// realised.add(20, Side::Long, 50.0);
/// realised.add(2 * HOUR, Side::Short, 7.0);
/// assert_eq!(realised.usd(0), Some([150.0, 0.0]));
/// // Between the first and the last row an hour without one had none; outside nothing is known.
/// assert_eq!((realised.usd(HOUR), realised.usd(3 * HOUR)), (Some([0.0, 0.0]), None));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Realised {
    /// Millionths of USD by beginning of the hour: longs, shorts. Whole numbers, so that the order of rows does not
    /// show in the last digit.
    hours: BTreeMap<i64, [i128; 2]>,
}

impl Realised {
    /// Adds a liquidation, or the sum of several, of positions on a side: finite, not negative, USD.
    pub fn add(&mut self, ts: i64, side: Side, usd: f64) {
        debug_assert!(usd.is_finite() && usd >= 0.0, "Invariant: realised USD are finite and not negative");
        let hour = self.hours.entry(ts.div_euclid(HOUR) * HOUR).or_default();
        let total = &mut hour[side.index()];
        // What no market has is cut off, not wrapped around.
        *total = total.saturating_add((usd * MICROS).round() as i128);
    }

    /// Returns the beginnings of the first and the last hour that have a row.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((*self.hours.first_key_value()?.0, *self.hours.last_key_value()?.0))
    }

    /// Returns the USD of the hour that begins at `ts`, longs and shorts; `None` outside the span.
    pub fn usd(&self, ts: i64) -> Option<[f64; 2]> {
        let (first, last) = self.span()?;
        let usd = self.hours.get(&ts).map_or([0.0; 2], |hour| hour.map(|micros| micros as f64 / MICROS));
        (first <= ts && ts <= last).then_some(usd)
    }

    /// Returns the bytes held, about.
    pub fn memory(&self) -> usize {
        self.hours.len() * size_of::<(i64, [i128; 2])>()
    }
}

/// What is known of an hour without a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// Price move, volume and change of open interest of the hour itself.
    Move,
    /// That, and what was liquidated before.
    Autoregression,
    /// That of `Move`, and how long ago its extremes were last traded.
    Freshness,
}

impl Null {
    /// In the order in which they are reported.
    pub const ALL: [Null; 3] = [Null::Move, Null::Autoregression, Null::Freshness];

    /// Returns the name as in tables.
    pub fn name(self) -> &'static str {
        match self {
            Null::Move => "move",
            Null::Autoregression => "autoregression",
            Null::Freshness => "freshness",
        }
    }
}

/// Hours that count, column by column.
#[derive(Debug, Clone)]
pub(in crate::model) struct Sample {
    pub(in crate::model) ts: Vec<i64>,
    /// Ten columns.
    price_move: Vec<Vec<f64>>,
    /// By side: the hour before, the mean of the 24 before.
    past: [Vec<Vec<f64>>; 2],
    /// New lows and new highs of seven windows.
    freshness: Vec<Vec<f64>>,
    /// By side.
    pub(in crate::model) realised: [Vec<f64>; 2],
    /// By side: ln(1 + realised USD).
    pub(in crate::model) y: [Vec<f64>; 2],
    /// By side.
    pub(in crate::model) swept: [Vec<f64>; 2],
    /// By tier and side.
    pub(in crate::model) swept_by_tier: Vec<[Vec<f64>; 2]>,
}

impl Sample {
    /// Takes the hours of a range that count.
    pub(in crate::model) fn new(hours: &[Hour], realised: &Realised, range: &Range<i64>) -> Sample {
        let tiers = hours.first().map_or(0, |hour| hour.swept_by_tier.len());
        let mut sample = Sample {
            ts: Vec::new(),
            price_move: vec![Vec::new(); 10],
            past: [vec![Vec::new(); 2], vec![Vec::new(); 2]],
            freshness: vec![Vec::new(); 2 * EXCURSION_HOURS.len()],
            realised: [Vec::new(), Vec::new()],
            y: [Vec::new(), Vec::new()],
            swept: [Vec::new(), Vec::new()],
            swept_by_tier: vec![[Vec::new(), Vec::new()]; tiers],
        };
        for hour in hours.iter().filter(|hour| range.contains(&hour.ts)) {
            let Some(price_move) = hour.price_move() else { continue };
            let Some((usd, past)) = realised.usd(hour.ts).zip(past(realised, hour.ts)) else { continue };
            sample.ts.push(hour.ts);
            push(&mut sample.price_move, price_move);
            push(&mut sample.freshness, hour.new_low.into_iter().chain(hour.new_high));
            for side in [0, 1] {
                push(&mut sample.past[side], past[side]);
                sample.realised[side].push(usd[side]);
                sample.y[side].push(libm::log1p(usd[side]));
                sample.swept[side].push(hour.swept_usd[side]);
                for (column, swept) in sample.swept_by_tier.iter_mut().zip(&hour.swept_by_tier) {
                    column[side].push(swept[side]);
                }
            }
        }
        sample
    }

    pub(in crate::model) fn len(&self) -> usize {
        self.ts.len()
    }

    /// Returns what a null model knows of a side.
    pub(in crate::model) fn columns(&self, null: Null, side: usize) -> Vec<&[f64]> {
        let more: &[Vec<f64>] = match null {
            Null::Move => &[],
            Null::Autoregression => &self.past[side],
            Null::Freshness => &self.freshness,
        };
        self.price_move.iter().chain(more).map(Vec::as_slice).collect()
    }
}

fn push(columns: &mut [Vec<f64>], values: impl IntoIterator<Item = f64>) {
    for (column, value) in columns.iter_mut().zip(values) {
        column.push(value);
    }
}

/// By side: ln(1 + USD) of the hour before, and the mean of those of the 24 before, as far as truth covers them.
fn past(realised: &Realised, ts: i64) -> Option<[[f64; 2]; 2]> {
    let y = |back: i64| realised.usd(ts - back * HOUR).map(|usd| usd.map(libm::log1p));
    let last = y(1)?;
    let known: Vec<[f64; 2]> = (1..=MEMORY_HOURS).map_while(y).collect();
    Some([0, 1].map(|side| {
        let sum: f64 = known.iter().map(|hour| hour[side]).sum();
        [last[side], sum / known.len() as f64]
    }))
}

/// What the map says of hours, as a column for a fit: ln(1 + x / (0.01 × its mean on the train range)).
///
/// `None` if nothing was swept there.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct MapFeature {
    unit: f64,
}

impl MapFeature {
    pub(in crate::model) fn new(train: &[f64]) -> Option<MapFeature> {
        let unit = MAP_UNIT * train.iter().sum::<f64>() / train.len() as f64;
        (unit > 0.0 && unit.is_finite()).then_some(MapFeature { unit })
    }

    pub(in crate::model) fn of(self, swept: &[f64]) -> Vec<f64> {
        swept.iter().map(|x| libm::log1p(x / self.unit)).collect()
    }
}

/// Returns the squared errors on the test hours of a fit on the train hours, with what a map says or without.
///
/// `map` is what it swept in the hours of train and test.
pub(in crate::model) fn squared_errors(
    train: &Sample,
    test: &Sample,
    null: Null,
    side: usize,
    map: Option<(&[f64], &[f64])>,
) -> Option<Vec<f64>> {
    let (mut of_train, mut of_test) = (train.columns(null, side), test.columns(null, side));
    let added = match map {
        None => None,
        Some((swept_train, swept_test)) => {
            let feature = MapFeature::new(swept_train)?;
            Some((feature.of(swept_train), feature.of(swept_test)))
        }
    };
    if let Some((map_train, map_test)) = &added {
        of_train.push(map_train);
        of_test.push(map_test);
    }
    let predicted = LeastSquares::fit(&of_train, &train.y[side])?.predict(&of_test)?;
    Some(predicted.iter().zip(&test.y[side]).map(|(predicted, y)| (y - predicted) * (y - predicted)).collect())
}

/// Sums by day from which R² of several fits follow.
pub(in crate::model) struct ErrorSums<const N: usize> {
    /// By day: for each fit its squared errors.
    errors: Vec<[f64; N]>,
    /// By day: hours, y and y², y measured from its mean.
    spread: Vec<[f64; 3]>,
    is_defined: [bool; N],
}

impl<const N: usize> ErrorSums<N> {
    pub(in crate::model) fn new(days: &DayBlocks, y: &[f64], fits: &[Option<Vec<f64>>; N]) -> ErrorSums<N> {
        let mean = y.iter().sum::<f64>() / (y.len() as f64).max(1.0);
        ErrorSums {
            errors: days.sums(|i| std::array::from_fn(|fit| fits[fit].as_ref().map_or(0.0, |errors| errors[i]))),
            spread: days.sums(|i| [1.0, y[i] - mean, (y[i] - mean) * (y[i] - mean)]),
            is_defined: std::array::from_fn(|fit| fits[fit].is_some()),
        }
    }

    /// Returns R² of each fit where each day counts so often.
    pub(in crate::model) fn r_squared(&self, counts: &[f64]) -> [Option<f64>; N] {
        let errors = DayBlocks::total(&self.errors, counts);
        let [n, sum, squares] = DayBlocks::total(&self.spread, counts);
        let spread = squares - sum * sum / n;
        // Relative to the squares, what is left of a y that does not vary is rounding.
        let varies = n > 0.0 && spread > 1e-12 * squares;
        std::array::from_fn(|fit| (varies && self.is_defined[fit]).then(|| 1.0 - errors[fit] / spread))
    }
}

/// Scores hours of a map against what was liquidated in them.
///
/// Null models and their gain are fitted on `train` and scored on `test`, half-open ranges of milliseconds; ranks and
/// ratios are those of `test` alone. R² is one minus squared errors over those of the test's own mean. The nulls are
/// least squares on ln(1 + USD), the map joins as one more column, ln(1 + x/(0.01 × its mean on train)), so a map's unit
/// does not matter. `partial_rank` is the rank correlation given the ranks of what [`Null::Move`] knows. Intervals are
/// drawn over days of `test`; the fit stays as it is.
///
/// Rows: `spearman`, `r2` of each null, `r2_gain` over each, `partial_rank` and `usd_ratio` (swept / realised), each for
/// longs, shorts and both: the mean of the two sides, of `usd_ratio` the ratio of the sums.
pub fn score_hourly(
    hours: &[Hour],
    realised: &Realised,
    train: &Range<i64>,
    test: &Range<i64>,
    resampling: Resampling,
) -> Vec<Score> {
    const NULLS: usize = Null::ALL.len();
    let (train, test) = (Sample::new(hours, realised, train), Sample::new(hours, realised, test));
    let days = DayBlocks::new(&test.ts);

    let errors = [0, 1].map(|side| {
        let map = (train.swept[side].as_slice(), test.swept[side].as_slice());
        let fits: [Option<Vec<f64>>; 2 * NULLS] = std::array::from_fn(|fit| {
            let map = (fit >= NULLS).then_some(map);
            squared_errors(&train, &test, Null::ALL[fit % NULLS], side, map)
        });
        ErrorSums::new(&days, &test.y[side], &fits)
    });
    // Controls first, then swept and realised of each side.
    let moves = MOVES_THAT_RANK.map(|i| test.price_move[i].as_slice());
    let ranked = moves.into_iter().chain([0, 1].into_iter().flat_map(|s| [&test.swept[s][..], &test.realised[s][..]]));
    let orders: Option<Vec<Order>> = ranked.map(Order::new).collect();
    let controls: Vec<usize> = (0..MOVES_THAT_RANK.len()).collect();
    let usd = days.sums(|i| [test.swept[0][i], test.swept[1][i], test.realised[0][i], test.realised[1][i]]);

    let statistics = |counts: &[f64]| {
        let correlations = orders.as_ref().map(|orders| RankCorrelations::new(orders, &days.weights(counts)));
        let ranks = |given: &[usize]| {
            both([0, 1].map(|side| {
                let swept = controls.len() + 2 * side;
                correlations.as_ref()?.given(swept, swept + 1, given)
            }))
        };
        let fits = [0, 1].map(|side: usize| errors[side].r_squared(counts));
        let alone = |null: usize| both([0, 1].map(|side: usize| fits[side][null]));
        let gain = |null: usize| both([0, 1].map(|side: usize| Some(fits[side][NULLS + null]? - fits[side][null]?)));
        let [long, short, realised_long, realised_short] = DayBlocks::total(&usd, counts);
        let ratio = |swept: f64, realised: f64| (realised > 0.0).then(|| swept / realised);
        let ratios = [
            ratio(long, realised_long),
            ratio(short, realised_short),
            ratio(long + short, realised_long + realised_short),
        ];
        let mut values = Vec::from(ranks(&[]));
        values.extend((0..NULLS).flat_map(alone));
        values.extend((0..NULLS).flat_map(gain));
        values.extend(ranks(&controls));
        values.extend(ratios);
        values
    };

    let values = statistics(&days.once());
    let intervals = days.intervals(resampling.seed, resampling.resamples, statistics);
    let with_null = |score: &'static str| Null::ALL.map(|null| (score, Some(null.name())));
    let mut names = vec![("spearman", None)];
    names.extend(with_null("r2"));
    names.extend(with_null("r2_gain"));
    names.extend([("partial_rank", Some(Null::Move.name())), ("usd_ratio", None)]);
    let sides = [Some(Side::Long), Some(Side::Short), None];
    let names = names.into_iter().flat_map(|(score, null)| sides.map(|side| (score, null, side)));
    let results = values.into_iter().zip(intervals);
    let n = test.len() as u64;
    names
        .zip(results)
        .map(|((score, null, side), (value, interval))| {
            // Where the hours themselves do not determine a value, some resamples of them may seem to.
            let interval = interval.filter(|_| value.is_some());
            let (low, high) = (interval.map(|interval| interval.low), interval.map(|interval| interval.high));
            Score { score, null, side, value, low, high, n }
        })
        .collect()
}

/// Longs, shorts and their mean.
fn both([long, short]: [Option<f64>; 2]) -> [Option<f64>; 3] {
    [long, short, long.zip(short).map(|(long, short)| (long + short) / 2.0)]
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::model::parameters::Parameters;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * HOUR;
    const RESAMPLING: Resampling = Resampling { seed: 1, resamples: 200 };

    fn uniform(generator: &mut Pcg64Mcg) -> f64 {
        (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn bar(ts: i64, open: f64, close: f64) -> Bar {
        let (high, low) = (open.max(close) * 1.001, open.min(close) * 0.999);
        Bar { ts, open, high, low, close, volume: 10.0, open_interest: None, open_interest_close: None }
    }

    /// A market of 15-minute bars with an open interest at the open of each bar and, if asked for, at its close.
    fn market(bars: usize, seed: u64, with_close: bool) -> Vec<Bar> {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let (mut price, mut open_interest) = (100.0, 1000.0);
        (0..bars as i64)
            .map(|i| {
                let next = price * (1.0 + 0.02 * (uniform(&mut generator) - 0.5));
                let after = open_interest * (1.0 + 0.02 * (uniform(&mut generator) - 0.5));
                let bar = Bar {
                    volume: 20.0 + 200.0 * uniform(&mut generator),
                    open_interest: Some(open_interest),
                    open_interest_close: with_close.then_some(after),
                    ..bar(i * 15 * MINUTE, price, next)
                };
                (price, open_interest) = (next, after);
                bar
            })
            .collect()
    }

    fn run(bars: &[Bar]) -> Vec<Hour> {
        let parameters = Parameters::default();
        let book = Book::new(&parameters);
        let mut hourly = HourlyReplay::new(Replay::new(&parameters, 15 * MINUTE, Vec::new(), book)).unwrap();
        bars.iter().for_each(|bar| hourly.take(bar));
        hourly.finish()
    }

    fn score(scores: &[Score], name: &str, null: Option<&str>, side: Option<Side>) -> Score {
        *scores.iter().find(|score| (score.score, score.null, score.side) == (name, null, side)).unwrap()
    }

    /// Days of hours, what was realised in them, and what a map says of them.
    ///
    /// Realised USD are some when the hour goes beyond a threshold, more the farther, times a part that nothing but the
    /// map can know; in many hours there are none.
    fn synthetic(days: i64, seed: u64, map: impl Fn(&mut Pcg64Mcg, f64) -> f64) -> (Vec<Hour>, Realised) {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let mut of_map = Pcg64Mcg::seed_from_u64(seed + 1_000_000);
        let mut realised = Realised::default();
        let mut hours = Hours::new(HOUR).unwrap();
        let mut price = 100.0;
        for i in 0..days * 24 {
            let close = price * (1.0 + 0.02 * (uniform(&mut generator) - 0.5));
            let moved = [1.0 - close.min(price) * 0.999 / price, close.max(price) * 1.001 / price - 1.0];
            let usd = moved.map(|moved| {
                let hidden = libm::exp(4.0 * (uniform(&mut generator) - 0.5));
                if moved > 0.003 { 1e7 * moved * hidden } else { 0.0 }
            });
            for side in Side::BOTH {
                realised.add(i * HOUR, side, usd[side.index()]);
            }
            let swept = usd.map(|usd| map(&mut of_map, usd));
            hours.take(&bar(i * HOUR, price, close), Some(1000.0 + 100.0 * uniform(&mut generator)), swept, &[]);
            price = close;
        }
        (hours.finish(), realised)
    }

    fn scores(hours: &[Hour], realised: &Realised, days: i64) -> Vec<Score> {
        score_hourly(hours, realised, &(0..days / 2 * DAY), &(days / 2 * DAY..days * DAY), RESAMPLING)
    }

    #[test]
    fn a_perfect_map() {
        let (hours, realised) = synthetic(40, 1, |_, usd| usd);
        let scores = scores(&hours, &realised, 40);
        for side in [Some(Side::Long), Some(Side::Short), None] {
            let of = |name, null| score(&scores, name, null, side);
            let all = of("spearman", None);
            assert_eq!((all.value, all.low, all.high, all.n), (Some(1.0), Some(1.0), Some(1.0), 20 * 24));
            assert!((of("usd_ratio", None).value.unwrap() - 1.0).abs() < 1e-12);
            for null in Null::ALL {
                let (alone, gain) = (of("r2", Some(null.name())), of("r2_gain", Some(null.name())));
                assert!(alone.value.unwrap() < 0.95 && gain.low.unwrap() > 0.03, "{alone:?} {gain:?}");
            }
            assert!(of("partial_rank", Some("move")).value.unwrap() > 0.999);
        }
        assert_eq!(scores.len(), 27);
    }

    #[test]
    fn a_shuffled_map_says_nothing() {
        let (mut hours, realised) = synthetic(40, 2, |_, usd| usd);
        let swept: Vec<[f64; 2]> = hours.iter().map(|hour| hour.swept_usd).collect();
        let n = hours.len();
        // 577 has no factor in common with 960: every hour gets another one's.
        hours.iter_mut().enumerate().for_each(|(i, hour)| hour.swept_usd = swept[(i * 577 + 100) % n]);
        let scores = scores(&hours, &realised, 40);
        let both = |name, null| score(&scores, name, null, None);
        assert!(both("spearman", None).value.unwrap().abs() < 0.1);
        assert!(both("partial_rank", Some("move")).value.unwrap().abs() < 0.1);
        for null in Null::ALL {
            assert!(both("r2_gain", Some(null.name())).low.unwrap() < 0.0);
        }
    }

    #[test]
    fn random_maps_do_not_beat_chance() {
        let mut values = [const { Vec::new() }; 5];
        for seed in 0..200 {
            let map = |generator: &mut Pcg64Mcg, _: f64| libm::exp(6.0 * uniform(generator));
            let (hours, realised) = synthetic(20, 100 + seed, map);
            let all = score_hourly(
                &hours,
                &realised,
                &(0..10 * DAY),
                &(10 * DAY..20 * DAY),
                Resampling { seed, resamples: 0 },
            );
            let of = |name, null| score(&all, name, null, None).value.unwrap();
            values[0].push(of("spearman", None));
            values[1].push(of("partial_rank", Some("move")));
            for (values, null) in values[2..].iter_mut().zip(Null::ALL) {
                values.push(of("r2_gain", Some(null.name())));
            }
        }
        for (i, values) in values.iter().enumerate() {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
            let error = (variance / n).sqrt();
            assert!(mean < 2.0 * error, "score {i}: {mean} ± {error}");
            // Of ranks chance is zero; one more column that says nothing costs a little R².
            assert!(mean > if i < 2 { -2.0 * error } else { -0.01 }, "score {i}: {mean} ± {error}");
        }
    }

    #[test]
    fn the_unit_of_a_map_does_not_matter() {
        let noisy = |generator: &mut Pcg64Mcg, usd: f64| usd * (0.5 + uniform(generator)) + 1e4 * uniform(generator);
        let (mut hours, realised) = synthetic(30, 3, noisy);
        let before = scores(&hours, &realised, 30);
        for hour in &mut hours {
            hour.swept_usd = hour.swept_usd.map(|usd| usd * 1e-7);
        }
        for (before, after) in before.iter().zip(scores(&hours, &realised, 30)) {
            let (a, b) = (before.value.unwrap(), after.value.unwrap());
            match before.score {
                "usd_ratio" => assert!((a * 1e-7 / b - 1.0).abs() < 1e-9),
                "r2_gain" => assert!((a - b).abs() < 1e-9 && a > 0.0),
                _ => assert_eq!((before.value, before.low, before.high), (after.value, after.low, after.high)),
            }
        }
    }

    /// What only repeats the null gains nothing over it: a map of fresh lows over the null that knows them.
    #[test]
    fn a_map_of_what_a_null_knows_gains_nothing_over_it() {
        let (mut hours, _) = synthetic(60, 4, |_, _| 0.0);
        let mut realised = Realised::default();
        let mut generator = Pcg64Mcg::seed_from_u64(4);
        for hour in &mut hours {
            for side in Side::BOTH {
                let fresh = if side == Side::Long { hour.new_low } else { hour.new_high };
                let usd = 1e6 * (fresh[2] + fresh[4]);
                hour.swept_usd[side.index()] = usd;
                realised.add(hour.ts, side, usd * (0.5 + uniform(&mut generator)));
            }
        }
        let scores = scores(&hours, &realised, 60);
        let gain = |null| score(&scores, "r2_gain", Some(null), None).value.unwrap();
        assert!(gain("move") > 0.2, "{}", gain("move"));
        assert!(gain("freshness") < 0.6 * gain("move"), "{} {}", gain("freshness"), gain("move"));
    }

    #[test]
    fn nothing_sees_the_future() {
        for with_close in [true, false] {
            let bars = market(4 * 24 * 9, 5, with_close);
            let mut realised = Realised::default();
            let mut generator = Pcg64Mcg::seed_from_u64(6);
            for i in 0..9 * 24 {
                realised.add(i * HOUR + 1, Side::BOTH[i as usize % 2], 1e5 * uniform(&mut generator));
            }
            let all = run(&bars);
            assert!(all[30..].iter().all(|hour| hour.is_whole && hour.swept_by_tier.len() == 10));
            let whole = Sample::new(&all, &realised, &(0..i64::MAX));
            for last in [24, 25, 100, 191] {
                let cut = run(&bars[..4 * last]);
                assert_eq!(cut.len(), last);
                let mut known = Realised::default();
                for hour in 0..last as i64 {
                    for side in Side::BOTH {
                        known.add(hour * HOUR, side, realised.usd(hour * HOUR).unwrap()[side.index()]);
                    }
                }
                let sample = Sample::new(&cut, &known, &(0..i64::MAX));
                // Where open interest comes with the next bar, the last hour is not known yet.
                let counted = if with_close { last - 1 } else { last - 2 };
                assert_eq!(sample.len(), counted);
                for side in [0, 1] {
                    for null in Null::ALL {
                        for (cut, whole) in sample.columns(null, side).iter().zip(whole.columns(null, side)) {
                            assert_eq!(*cut, &whole[..counted]);
                        }
                    }
                    assert_eq!(sample.swept[side], whole.swept[side][..counted]);
                    assert_eq!(sample.y[side], whole.y[side][..counted]);
                }
            }
        }
    }

    /// With the open interest at the close in its own column or in the next bar's, the hours are the same.
    #[test]
    fn open_interest_may_come_late() {
        let at_close = run(&market(4 * 48, 7, true));
        let late = run(&market(4 * 48, 7, false));
        assert_eq!(at_close[..47], late[..47]);
        assert_eq!((late[47].open_interest_change, late[47].swept_usd), (None, at_close[47].swept_usd));
    }

    #[test]
    fn missing_bars() {
        let bars = market(4 * 12, 8, false);
        // Missing: the second bar of hour 3, the first of hour 6, all of hours 8 and 9.
        let missing = |i: usize| i == 13 || i == 24 || (32..40).contains(&i);
        let kept: Vec<Bar> = bars.iter().enumerate().filter(|(i, _)| !missing(*i)).map(|(_, bar)| *bar).collect();
        let hours = run(&kept);
        let counts: Vec<i64> =
            hours.iter().filter(|hour| hour.price_move().is_some()).map(|hour| hour.ts / HOUR).collect();
        // Not 0: nothing before it. Not 5 and 7, nor 11, the last: their open interest at the end would come with the
        // next bar. Not 10: no bar before it.
        assert_eq!(counts, [1, 2, 4]);
        assert_eq!(hours.iter().map(|hour| hour.ts / HOUR).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]);
        // Bars that do not begin with the hour never make one.
        let mut off = Hours::new(15 * MINUTE).unwrap();
        (0..12).for_each(|i| off.take(&bar(i * 15 * MINUTE + MINUTE, 1.0, 1.0), Some(1.0), [0.0; 2], &[]));
        assert!(off.finish().iter().all(|hour| !hour.is_whole));
        assert!(Hours::new(7 * MINUTE).is_none() && Hours::new(4 * HOUR).is_none() && Hours::new(0).is_none());
    }

    #[test]
    fn excursions_by_hand() {
        let mut hours = Hours::new(HOUR).unwrap();
        for (i, low) in [96.0, 99.0, 98.0, 99.0, 97.0].into_iter().enumerate() {
            let flat = Bar { high: 101.0, low, ..bar(i as i64 * HOUR, 100.0, 100.0) };
            hours.take(&flat, Some(1.0), [0.0; 2], &[]);
        }
        let hours = hours.finish();
        let last = &hours[4];
        // Below the lows of the last hour (99) and of the last three (98), not below that of the last six (96).
        assert_eq!(last.new_low[..3], [libm::log(99.0 / 97.0), libm::log(98.0 / 97.0), 0.0]);
        assert_eq!((last.new_low[6], last.new_high), (0.0, [0.0; 7]));
        assert_eq!(hours[0].new_low, [0.0; 7]);
    }

    #[test]
    fn realised_do_not_depend_on_order() {
        let rows: Vec<f64> = (1..500).map(|i| 1e7 / f64::from(i * 7919 % 509)).collect();
        let (mut forth, mut back) = (Realised::default(), Realised::default());
        rows.iter().for_each(|usd| forth.add(5, Side::Long, *usd));
        rows.iter().rev().for_each(|usd| back.add(HOUR - 1, Side::Long, *usd));
        assert_eq!(forth.usd(0), back.usd(0));
        let mut before = Realised::default();
        before.add(-1, Side::Short, 3.0);
        assert_eq!((before.usd(-HOUR), before.usd(0)), (Some([0.0, 3.0]), None));
    }

    #[test]
    fn autoregression_by_hand() {
        let mut realised = Realised::default();
        for (hour, usd) in [(0, 9.0), (1, 99.0), (30, 0.0)] {
            realised.add(hour * HOUR, Side::Long, usd);
        }
        assert_eq!(past(&realised, 0), None);
        assert_eq!(past(&realised, HOUR).unwrap()[0], [libm::log1p(9.0); 2]);
        assert_eq!(
            past(&realised, 2 * HOUR).unwrap()[0],
            [libm::log1p(99.0), (libm::log1p(99.0) + libm::log1p(9.0)) / 2.0]
        );
        // The 24 hours before hour 25 do not hold hour 0.
        assert_eq!(past(&realised, 25 * HOUR).unwrap()[0], [0.0, libm::log1p(99.0) / 24.0]);
        assert_eq!(past(&realised, 31 * HOUR).unwrap(), [[0.0; 2]; 2]);
        assert_eq!(past(&realised, 32 * HOUR), None);
    }

    #[test]
    fn hours_that_determine_nothing_have_no_score() {
        let (hours, realised) = synthetic(20, 9, |_, _| 0.0);
        let empty = score_hourly(&[], &realised, &(0..DAY), &(DAY..2 * DAY), RESAMPLING);
        assert!(empty.iter().all(|score| (score.value, score.low, score.n) == (None, None, 0)));
        assert_eq!(empty.len(), 27);
        let unknown = scores(&hours, &Realised::default(), 20);
        assert!(unknown.iter().all(|score| score.value.is_none()));
        // A map that sweeps nothing has no rank and no gain; the nulls stand without it.
        for score in scores(&hours, &realised, 20) {
            match score.score {
                "r2" => assert!(score.value.is_some()),
                "usd_ratio" => assert_eq!(score.value, Some(0.0)),
                _ => assert_eq!((score.value, score.low, score.high), (None, None, None)),
            }
        }
        // One day of test: values, but no interval.
        let (hours, realised) = synthetic(20, 9, |_, usd| usd);
        for score in score_hourly(&hours, &realised, &(0..19 * DAY), &(19 * DAY..20 * DAY), RESAMPLING) {
            assert_eq!((score.low, score.high, score.n), (None, None, 24));
            assert!(score.value.is_some());
        }
    }
}

//! The highest and lowest price of the last day, week and month.
//!
//! In: prices or bars in order of time. Out: whether a range of prices holds the extreme of a window that ends now.
//!
//! ```text
//!   highs kept   ▪ 9  (all that a later one has reached are gone: they are the highest of no window any more)
//!                     ▪ 7
//!                           ▪ 4  ▪ 3   now
//!   30d ├─────────────────────────────┤   the first one within a window is its highest
//!            7d ├─────────────────────┤
//!                        24h ├────────┤
//! ```
//!
//! A window counts only where history reaches back to its beginning without a hole of more than a day: else every high
//! would be the high of 30 days in a young history. What is kept is at most 30 days of strictly falling highs and rising
//! lows.

use std::collections::VecDeque;

use super::side::Side;

const DAY: i64 = 86_400_000;

/// How far beyond a range its extreme may lie, as a fraction of the limit.
const TOLERANCE: f64 = 0.001;

/// Time that must be given before an instant so that every window that ends at it is known: the longest, and a hole.
pub const HISTORY: i64 = 31 * DAY;

/// A window that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
}

impl Window {
    /// The longest first.
    const ALL: [Window; 3] = [Window::Month, Window::Week, Window::Day];

    /// Returns the name as written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Window::Day => "24h",
            Window::Week => "7d",
            Window::Month => "30d",
        }
    }

    /// Returns its length in milliseconds.
    pub fn length(self) -> i64 {
        match self {
            Window::Day => DAY,
            Window::Week => 7 * DAY,
            Window::Month => 30 * DAY,
        }
    }
}

/// Prices that are the extreme of some window, oldest first.
#[derive(Debug, Clone, Default)]
struct Ladder(VecDeque<(i64, f64)>);

impl Ladder {
    /// Takes a price; `beats` says whether it is at least as extreme as an older one.
    fn take(&mut self, ts: i64, price: f64, beats: impl Fn(f64, f64) -> bool) {
        while self.0.back().is_some_and(|(_, older)| beats(price, *older)) {
            self.0.pop_back();
        }
        self.0.push_back((ts, price));
        while self.0.front().is_some_and(|(oldest, _)| *oldest < ts.saturating_sub(HISTORY)) {
            self.0.pop_front();
        }
    }

    /// Returns the extreme of all at or after an instant.
    fn since(&self, from: i64) -> Option<f64> {
        let first = self.0.partition_point(|(ts, _)| *ts < from);
        self.0.get(first).map(|(_, price)| *price)
    }
}

/// The extremes of one market.
///
/// ```
/// use liqsql::model::extremes::{Extremes, Window};
/// use liqsql::model::side::Side;
///
/// const DAY: i64 = 86_400_000;
/// let mut extremes = Extremes::default();
/// for (day, price) in [(0, 110.0), (1, 120.0), (2, 105.0), (3, 112.0)] {
///     extremes.take(day * DAY, day * DAY, price, price);
/// }
/// // From the second to the third day price was highest at 112; the week before is not known.
/// assert_eq!(extremes.held_by(Side::Short, 3 * DAY, 112.0, 113.0), Some(Window::Day));
/// assert_eq!(extremes.held_by(Side::Short, 3 * DAY, 119.0, 121.0), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Extremes {
    highs: Ladder,
    lows: Ladder,
    /// Beginning and end of what is known without a hole.
    known: Option<(i64, i64)>,
}

impl Extremes {
    /// Takes a bar that has closed, or a price (`opened` = `closed`). They come in order of time.
    pub fn take(&mut self, opened: i64, closed: i64, high: f64, low: f64) {
        let since = match self.known {
            Some((since, last)) if opened.saturating_sub(last) <= DAY => since,
            _ => opened,
        };
        self.known = Some((since, closed));
        self.highs.take(opened, high, |new, old| new >= old);
        self.lows.take(opened, low, |new, old| new <= old);
    }

    /// Returns the longest window up to now whose extreme lies within a range, give or take 0.1 %: the highest price for
    /// a pool of shorts, the lowest for one of longs. A bar is within a window if it opened within.
    pub fn held_by(&self, side: Side, now: i64, price_low: f64, price_high: f64) -> Option<Window> {
        let (since, last) = self.known?;
        if now.saturating_sub(last) > DAY {
            return None;
        }
        let ladder = match side {
            Side::Long => &self.lows,
            Side::Short => &self.highs,
        };
        let range = price_low * (1.0 - TOLERANCE)..=price_high * (1.0 + TOLERANCE);
        Window::ALL.into_iter().find(|window| {
            let from = now.saturating_sub(window.length());
            since <= from && ladder.since(from).is_some_and(|price| range.contains(&price))
        })
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        (self.highs.0.capacity() + self.lows.0.capacity()) * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn take_hours(extremes: &mut Extremes, hours: std::ops::RangeInclusive<i64>, price: impl Fn(i64) -> f64) {
        for hour in hours {
            extremes.take(hour * HOUR, hour * HOUR, price(hour), price(hour));
        }
    }

    #[test]
    fn the_longest_window_is_reported() {
        let mut extremes = Extremes::default();
        // 100, but 130 at the start, 120 in hour 600 and 110 in hour 710.
        take_hours(&mut extremes, 0..=720, |hour| match hour {
            0 => 130.0,
            600 => 120.0,
            710 => 110.0,
            _ => 100.0,
        });
        let held = |side, low, high| extremes.held_by(side, 720 * HOUR, low, high);
        assert_eq!(held(Side::Short, 129.0, 131.0), Some(Window::Month));
        assert_eq!(held(Side::Short, 119.0, 121.0), Some(Window::Week));
        assert_eq!(held(Side::Short, 109.0, 111.0), Some(Window::Day));
        assert_eq!(held(Side::Short, 100.0, 105.0), None);
        assert_eq!(held(Side::Long, 99.0, 101.0), Some(Window::Month));
        assert_eq!(held(Side::Long, 109.0, 111.0), None);
        // An hour later the first one is out of the month, and 120 is the highest of it.
        extremes.take(721 * HOUR, 721 * HOUR, 100.0, 100.0);
        assert_eq!(extremes.held_by(Side::Short, 721 * HOUR, 129.0, 131.0), None);
        assert_eq!(extremes.held_by(Side::Short, 721 * HOUR, 119.0, 121.0), Some(Window::Month));
    }

    #[test]
    fn a_tenth_of_a_percent_is_near_enough() {
        let mut extremes = Extremes::default();
        take_hours(&mut extremes, 0..=24, |_| 100.0);
        for (low, high, holds) in
            [(100.05, 101.0, true), (100.2, 101.0, false), (99.0, 99.95, true), (99.0, 99.8, false)]
        {
            assert_eq!(extremes.held_by(Side::Short, 24 * HOUR, low, high).is_some(), holds, "{low} to {high}");
        }
    }

    #[test]
    fn a_young_history_has_no_long_window() {
        let mut extremes = Extremes::default();
        take_hours(&mut extremes, 0..=23, |_| 100.0);
        assert_eq!(extremes.held_by(Side::Short, 23 * HOUR, 99.0, 101.0), None);
        take_hours(&mut extremes, 24..=200, |_| 100.0);
        assert_eq!(extremes.held_by(Side::Short, 24 * HOUR, 99.0, 101.0), Some(Window::Day));
        assert_eq!(extremes.held_by(Side::Short, 200 * HOUR, 99.0, 101.0), Some(Window::Week));
    }

    #[test]
    fn a_hole_begins_the_history_anew() {
        let mut extremes = Extremes::default();
        take_hours(&mut extremes, 0..=800, |_| 100.0);
        // A hole of a day is none; a longer one is, also the one after the last price.
        take_hours(&mut extremes, 824..=824, |_| 100.0);
        assert_eq!(extremes.held_by(Side::Short, 824 * HOUR, 99.0, 101.0), Some(Window::Month));
        assert_eq!(extremes.held_by(Side::Short, 848 * HOUR, 99.0, 101.0), Some(Window::Month));
        assert_eq!(extremes.held_by(Side::Short, 849 * HOUR, 99.0, 101.0), None);
        take_hours(&mut extremes, 849..=872, |_| 100.0);
        assert_eq!(extremes.held_by(Side::Short, 872 * HOUR, 99.0, 101.0), None);
        take_hours(&mut extremes, 873..=873, |_| 100.0);
        assert_eq!(extremes.held_by(Side::Short, 873 * HOUR, 99.0, 101.0), Some(Window::Day));
    }

    #[test]
    fn bars_count_from_their_open() {
        let mut extremes = Extremes::default();
        for day in 0..3 {
            let high = [150.0, 120.0, 110.0][day as usize];
            extremes.take(day * DAY, (day + 1) * DAY, high, 90.0);
        }
        // Of three days the last one is within the 24 hours up to its close.
        assert_eq!(extremes.held_by(Side::Short, 3 * DAY, 109.0, 111.0), Some(Window::Day));
        assert_eq!(extremes.held_by(Side::Short, 3 * DAY, 119.0, 121.0), None);
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_longest_window() {
        let mut extremes = Extremes::default();
        take_hours(&mut extremes, 0..=5000, |hour| 1000.0 - hour as f64 / 10.0);
        assert!(extremes.highs.0.len() <= 31 * 24 + 1 && extremes.lows.0.len() == 1);
    }
}

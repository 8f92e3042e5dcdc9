//! How far a number would move had other days happened: the day-block bootstrap.
//!
//! In: the instants of the observations, and a statistic of how often each UTC day counts. Out: the interval in which
//! the statistic falls for 95 % of resamples of whole days, drawn with replacement.
//!
//! ```text
//!   days         1  2  3  4  5
//!   a resample   ×1 ×0 ×2 ×1 ×1   ─► the statistic, days counted so often ─┐
//!   …                                                                     ├─► 2.5 % … 97.5 %
//! ```
//!
//! Hours of one day are alike: an interval that drew single hours would be far too narrow. Days are not independent
//! either, so these intervals are still somewhat narrow. What was fitted on other days stays as it was fitted.
//!
//! Invariant: the same instants, seed and number of resamples give the same draws, so statistics that are computed
//! together are compared on the same resamples; a bound is finite or there is none.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

const DAY: i64 = 86_400_000;

/// Resamples where nothing else is asked for.
pub const RESAMPLES: usize = 1000;

/// Share of resamples below the lower bound, and above the upper one.
const TAIL: f64 = 0.025;

/// An interval that holds a statistic in 95 % of the resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % of the resamples lie above.
    pub high: f64,
}

/// Observations by UTC day.
///
/// ```
/// use liqsql::model::score::bootstrap::DayBlocks;
///
/// // Three values an hour apart on each of 20 days; the mean of a resample from sums by day.
/// let hour = |i: i64| (i / 3) * 86_400_000 + (i % 3) * 3_600_000;
/// let (ts, values): (Vec<i64>, Vec<f64>) = (0..60).map(|i| (hour(i), (i % 7) as f64)).unzip();
/// let days = DayBlocks::new(&ts);
/// let sums = days.sums(|i| [values[i], 1.0]);
/// let mean = |counts: &[f64]| {
///     let [sum, n] = DayBlocks::total(&sums, counts);
///     vec![(n > 0.0).then(|| sum / n)]
/// };
/// let all = mean(&days.once())[0];
/// let interval = days.intervals(7, 1000, mean)[0];
/// assert!(all.zip(interval).is_some_and(|(all, i)| i.low < all && all < i.high));
/// ```
#[derive(Debug, Clone)]
pub struct DayBlocks {
    days: usize,
    /// Day of each observation, counted from the first.
    day_of: Vec<usize>,
}

impl DayBlocks {
    /// Groups observations, given by their instants in milliseconds, by day. Their order does not matter.
    pub fn new(ts: &[i64]) -> DayBlocks {
        let day = |ts: &i64| ts.div_euclid(DAY);
        let mut days: Vec<i64> = ts.iter().map(day).collect();
        days.sort_unstable();
        days.dedup();
        let day_of = ts.iter().map(|ts| days.partition_point(|known| *known < day(ts))).collect();
        DayBlocks { days: days.len(), day_of }
    }

    /// Returns how many days have an observation.
    pub fn days(&self) -> usize {
        self.days
    }

    /// Returns the counts of the sample itself: every day once.
    pub fn once(&self) -> Vec<f64> {
        vec![1.0; self.days]
    }

    /// Returns how often each observation counts where its day counts so often.
    pub fn weights(&self, counts: &[f64]) -> Vec<f64> {
        self.day_of.iter().map(|&day| counts[day]).collect()
    }

    /// Returns sums by day of what `values` says of each observation.
    pub fn sums<const N: usize>(&self, values: impl Fn(usize) -> [f64; N]) -> Vec<[f64; N]> {
        let mut sums = vec![[0.0; N]; self.days];
        for (i, &day) in self.day_of.iter().enumerate() {
            for (sum, value) in sums[day].iter_mut().zip(values(i)) {
                *sum += value;
            }
        }
        sums
    }

    /// Returns the sums of a resample from sums by day.
    pub fn total<const N: usize>(sums: &[[f64; N]], counts: &[f64]) -> [f64; N] {
        let mut total = [0.0; N];
        for (sums, count) in sums.iter().zip(counts) {
            for (total, sum) in total.iter_mut().zip(sums) {
                *total += count * sum;
            }
        }
        total
    }

    /// Returns the interval of each of the statistics that `statistics` computes from how often each day counts.
    ///
    /// It is called once a resample and returns as many each time. A resample on which a statistic is undefined does
    /// not count for it; there is no interval where that is so for half of them, nor with fewer than two days.
    pub fn intervals(
        &self,
        seed: u64,
        resamples: usize,
        mut statistics: impl FnMut(&[f64]) -> Vec<Option<f64>>,
    ) -> Vec<Option<Interval>> {
        let mut draws: Vec<Vec<f64>> = Vec::new();
        if self.days < 2 || resamples == 0 {
            return vec![None; statistics(&self.once()).len()];
        }
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let mut counts = vec![0.0; self.days];
        for _ in 0..resamples {
            counts.fill(0.0);
            for _ in 0..self.days {
                counts[below(&mut generator, self.days)] += 1.0;
            }
            let values = statistics(&counts);
            draws.resize_with(values.len().max(draws.len()), Vec::new);
            for (draws, value) in draws.iter_mut().zip(values) {
                draws.extend(value.filter(|value| value.is_finite()));
            }
        }
        draws.into_iter().map(|draws| interval(draws, resamples)).collect()
    }
}

/// Uniform in `0..bound`.
fn below(generator: &mut Pcg64Mcg, bound: usize) -> usize {
    ((u128::from(generator.next_u64()) * bound as u128) >> 64) as usize
}

fn interval(mut draws: Vec<f64>, resamples: usize) -> Option<Interval> {
    if draws.is_empty() || 2 * draws.len() <= resamples {
        return None;
    }
    draws.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: quantile(&draws, TAIL), high: quantile(&draws, 1.0 - TAIL) })
}

/// The quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn uniform(generator: &mut Pcg64Mcg) -> f64 {
        (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    fn mean_interval(days: &DayBlocks, values: &[f64], seed: u64) -> Interval {
        let sums = days.sums(|i| [values[i], 1.0]);
        let mean = |counts: &[f64]| {
            let [sum, n] = DayBlocks::total(&sums, counts);
            vec![Some(sum / n)]
        };
        days.intervals(seed, 400, mean)[0].unwrap()
    }

    /// The mean of 60 days of 24 hours whose values share a part by day: the interval holds the true mean, zero, about
    /// as often as it says. Drawn by single hours it would hold it far less often.
    #[test]
    fn coverage() {
        let ts: Vec<i64> = (0..60 * 24).map(|i| i * HOUR).collect();
        // As if each hour were a day of its own.
        let apart: Vec<i64> = (0..60 * 24).map(|i| i * DAY).collect();
        let (by_day, by_hour) = (DayBlocks::new(&ts), DayBlocks::new(&apart));
        let mut generator = Pcg64Mcg::seed_from_u64(1);
        let (mut held, mut held_by_hour) = (0, 0);
        for sample in 0..300 {
            let mut shared = 0.0;
            let values: Vec<f64> = (0..60 * 24)
                .map(|i| {
                    if i % 24 == 0 {
                        shared = uniform(&mut generator);
                    }
                    shared + uniform(&mut generator)
                })
                .collect();
            let holds = |interval: Interval| usize::from(interval.low < 0.0 && 0.0 < interval.high);
            held += holds(mean_interval(&by_day, &values, sample));
            held_by_hour += holds(mean_interval(&by_hour, &values, sample));
        }
        assert!((273..=297).contains(&held), "{held} of 300");
        assert!(held_by_hour < 150, "{held_by_hour} of 300");
    }

    #[test]
    fn draws_depend_on_the_seed_alone() {
        let ts: Vec<i64> = (0..240).map(|i| i * HOUR).collect();
        let values: Vec<f64> = (0..240).map(|i| f64::from(i * 7919 % 241)).collect();
        let days = DayBlocks::new(&ts);
        let interval = mean_interval(&days, &values, 5);
        assert_eq!(interval, mean_interval(&days, &values, 5));
        assert_ne!(interval, mean_interval(&days, &values, 6));
        // Statistics that are computed together see the same resamples.
        let both = days.intervals(5, 100, |counts| vec![Some(counts[0]), Some(counts[0]), Some(-counts[0])]);
        assert_eq!(both[0], both[1]);
        assert!(both[0].zip(both[2]).is_some_and(|(a, b)| (a.low, a.high) == (-b.high, -b.low)));
        // Pinned, so that another platform or a changed generator is noticed.
        let mut first = Vec::new();
        days.intervals(7, 1, |counts| {
            first = counts.to_vec();
            vec![]
        });
        assert_eq!(first, [0.0, 0.0, 5.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn days_are_utc_days_in_any_order() {
        let days = DayBlocks::new(&[DAY, DAY - 1, 0, 5 * DAY + 3, -1]);
        assert_eq!(days.days(), 4);
        assert_eq!(days.weights(&[1.0, 2.0, 3.0, 4.0]), [3.0, 2.0, 2.0, 4.0, 1.0]);
        assert_eq!(days.sums(|i| [i as f64]), [[4.0], [3.0], [0.0], [3.0]]);
        assert_eq!(DayBlocks::total(&[[4.0], [3.0], [0.0], [3.0]], &[2.0, 0.0, 1.0, 1.0]), [11.0]);
    }

    #[test]
    fn what_is_undefined_has_no_interval() {
        let one_day = DayBlocks::new(&[0, HOUR]);
        assert_eq!(one_day.intervals(1, 100, |_| vec![Some(1.0), None]), [None, None]);
        assert_eq!(DayBlocks::new(&[]).intervals(1, 100, |_| vec![Some(1.0)]), [None]);
        let days = DayBlocks::new(&[0, DAY, 2 * DAY]);
        assert_eq!(days.intervals(1, 0, |_| vec![Some(1.0)]), [None]);
        // Undefined, or not finite, on most resamples; and on a few.
        let mut calls = 0;
        let intervals = days.intervals(1, 100, |_| {
            calls += 1;
            vec![(calls > 60).then_some(1.0), Some(if calls > 60 { 1.0 } else { f64::NAN }), (calls > 9).then_some(2.0)]
        });
        assert_eq!(intervals[..2], [None, None]);
        assert_eq!(intervals[2], Some(Interval { low: 2.0, high: 2.0 }));
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [0.0, 1.0, 2.0, 3.0, 10.0];
        assert_eq!((quantile(&sorted, 0.0), quantile(&sorted, 1.0)), (0.0, 10.0));
        assert_eq!((quantile(&sorted, 0.5), quantile(&sorted, 0.875)), (2.0, 6.5));
        assert_eq!(quantile(&[4.0], 0.3), 4.0);
    }
}

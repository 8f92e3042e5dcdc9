//! Weighted means of a map and of its null models over blocks of time, beside each other.
//!
//! In: values with their weights and blocks, the first column the map's, the others those of null models. Out: the rows
//! of a report: the mean of the map, of each null model, and their differences, all on the same resamples of blocks.
//!
//! Fewer than [`LEAST_BLOCKS`] blocks give no interval: resampling two or three says next to nothing of what others would.
//!
//! Invariant: blocks are summed in order of time and values within a block in the order in which they came, so the same
//! values give the same rows.

use std::collections::BTreeMap;

use super::Score;
use super::bootstrap::DayBlocks;
use crate::model::side::Side;

/// Milliseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Fewest blocks that give an interval.
pub const LEAST_BLOCKS: usize = 5;

/// How intervals are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Seed of the draws.
    pub seed: u64,
    /// Number of resamples.
    pub resamples: usize,
}

/// What the rows are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<const N: usize> {
    /// Of the means.
    pub(crate) score: &'static str,
    /// Of the differences.
    pub(crate) gain: &'static str,
    /// Of the columns; the first is the map's and has none.
    pub(crate) nulls: [Option<&'static str>; N],
}

/// Sums of one block: weights, and weights times values, by column.
#[derive(Debug, Clone, Copy)]
struct Sums<const N: usize> {
    weights: [f64; N],
    values: [f64; N],
}

impl<const N: usize> Sums<N> {
    const ZERO: Sums<N> = Sums { weights: [0.0; N], values: [0.0; N] };

    fn add(&mut self, other: &Sums<N>) {
        for i in 0..N {
            self.weights[i] += other.weights[i];
            self.values[i] += other.values[i];
        }
    }

    fn means(&self) -> [Option<f64>; N] {
        std::array::from_fn(|i| (self.weights[i] > 0.0).then(|| self.values[i] / self.weights[i]))
    }
}

/// Means of `N` columns.
#[derive(Debug, Clone)]
pub(crate) struct Means<const N: usize> {
    blocks: BTreeMap<i64, Sums<N>>,
    counts: [u64; N],
}

impl<const N: usize> Means<N> {
    pub(crate) fn new() -> Self {
        Means { blocks: BTreeMap::new(), counts: [0; N] }
    }

    /// Adds a value of every column; `block` is the number of the block, `count` how many observations it is.
    pub(crate) fn add(&mut self, block: i64, weight: f64, values: [f64; N], count: u64) {
        for (column, value) in values.into_iter().enumerate() {
            self.add_to(column, block, weight, value, count);
        }
    }

    /// Adds a value of one column.
    pub(crate) fn add_to(&mut self, column: usize, block: i64, weight: f64, value: f64, count: u64) {
        let sums = self.blocks.entry(block).or_insert(Sums::ZERO);
        sums.weights[column] += weight;
        sums.values[column] += weight * value;
        self.counts[column] += count;
    }

    /// Returns the number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the means of these values and others.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (block, sums) in &other.blocks {
            self.blocks.entry(*block).or_insert(Sums::ZERO).add(sums);
        }
        for (count, others) in self.counts.iter_mut().zip(other.counts) {
            *count += others;
        }
        self
    }

    /// Returns the same means over blocks of `many` blocks each.
    pub(crate) fn joined(&self, many: i64) -> Self {
        let mut joined = Means { blocks: BTreeMap::new(), counts: self.counts };
        for (block, sums) in &self.blocks {
            joined.blocks.entry(block.div_euclid(many)).or_insert(Sums::ZERO).add(sums);
        }
        joined
    }

    /// Writes the rows: the map, then each null model, then the gain over each.
    pub(crate) fn rows(&self, names: &Names<N>, side: Option<Side>, resampling: Resampling, rows: &mut Vec<Score>) {
        let blocks: Vec<Sums<N>> = self.blocks.values().copied().collect();
        let statistics = |counts: &[f64]| {
            let mut total = Sums::<N>::ZERO;
            for (sums, count) in blocks.iter().zip(counts) {
                for i in 0..N {
                    total.weights[i] += count * sums.weights[i];
                    total.values[i] += count * sums.values[i];
                }
            }
            let means = total.means();
            let gains = means[1..].iter().map(|null| means[0].zip(*null).map(|(map, null)| map - null));
            means.iter().copied().chain(gains).collect::<Vec<_>>()
        };
        // Whatever the length of a block, its number stands for a day.
        let days: Vec<i64> = (0..blocks.len() as i64).map(|block| block * DAY).collect();
        let intervals = DayBlocks::new(&days).intervals(resampling.seed, resampling.resamples, statistics);
        for (i, value) in statistics(&vec![1.0; blocks.len()]).into_iter().enumerate() {
            let (score, column, n) = match i {
                _ if i < N => (names.score, i, self.counts[i]),
                _ => (names.gain, i - N + 1, self.counts[0].min(self.counts[i - N + 1])),
            };
            let interval = intervals.get(i).copied().flatten().filter(|_| blocks.len() >= LEAST_BLOCKS);
            rows.push(Score {
                score,
                null: names.nulls[column],
                side,
                value,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                n,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<2> = Names { score: "mean", gain: "mean_gain", nulls: [None, Some("null")] };
    const RESAMPLING: Resampling = Resampling { seed: 1, resamples: 500 };

    #[test]
    fn means_and_gains_are_weighted() {
        let mut means = Means::new();
        means.add(0, 1.0, [4.0, 1.0], 1);
        means.add(1, 3.0, [0.0, 1.0], 2);
        let mut rows = Vec::new();
        means.rows(&NAMES, None, RESAMPLING, &mut rows);
        let values: Vec<_> = rows.iter().map(|row| (row.score, row.null, row.value, row.n)).collect();
        let expected = [
            ("mean", None, Some(1.0), 3),
            ("mean", Some("null"), Some(1.0), 3),
            ("mean_gain", Some("null"), Some(0.0), 3),
        ];
        assert_eq!(values, expected);
        assert!(rows.iter().all(|row| row.low.is_none() && row.high.is_none()), "two blocks have no interval");
    }

    #[test]
    fn intervals_are_those_of_resampled_blocks() {
        let mut means = Means::new();
        for block in 0..10 {
            // Of the map 0 or 2, in blocks of hundreds; the mean of ten has a deviation of 1/√10.
            (0..100).for_each(|_| means.add(block, 1.0, [2.0 * (block % 2) as f64, 1.0], 1));
        }
        let mut rows = Vec::new();
        means.rows(&NAMES, None, RESAMPLING, &mut rows);
        assert_eq!((rows[1].low, rows[1].high), (Some(1.0), Some(1.0)), "the same in every resample");
        let (low, high) = (rows[0].low.unwrap(), rows[0].high.unwrap());
        assert!((0.2..0.6).contains(&low) && (1.4..1.8).contains(&high), "{low} to {high}");
        assert!((rows[2].low.unwrap() - (low - 1.0)).abs() < 1e-12, "drawn on the same resamples");
    }

    #[test]
    fn without_values_there_are_rows_without_value() {
        let mut rows = Vec::new();
        Means::<2>::new().rows(&NAMES, Some(Side::Long), RESAMPLING, &mut rows);
        assert!(rows.len() == 3 && rows.iter().all(|row| row.value.is_none() && row.low.is_none() && row.n == 0));
        let mut one = Means::<2>::new();
        one.add(0, 1.0, [1.0, 2.0], 1);
        rows.clear();
        one.rows(&NAMES, None, RESAMPLING, &mut rows);
        assert!(rows[0].value == Some(1.0) && rows[0].low.is_none(), "one block has no interval");
    }

    #[test]
    fn joined_blocks_have_the_same_means() {
        let mut hours = Means::<2>::new();
        for hour in 0..48 {
            hours.add(hour, 1.0, [hour as f64, 1.0], 1);
        }
        let days = hours.joined(24);
        assert_eq!((hours.blocks(), days.blocks()), (48, 2));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        hours.rows(&NAMES, None, RESAMPLING, &mut a);
        days.rows(&NAMES, None, RESAMPLING, &mut b);
        assert_eq!((a[0].value, a[0].n), (b[0].value, b[0].n));
    }
}

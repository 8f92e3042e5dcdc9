//! Which mix of leverages makes what the map says was swept most like what was liquidated? (MODEL.md §3)
//!
//! In: hours of a book with a starting mix, and realised liquidations. Out: the fitted mix, the share of the book that
//! feeds report, and whether the fit is better than the start on time that it has not seen.
//!
//! The book is linear in the weights `w`: a tier that had all the capital would sweep `X = swept / w` in an hour, and
//! any other mix sweeps `Xw`. Over hours and sides, with the logarithms θ of the weights,
//!
//! ```text
//!   mean (ln(Xw + 3000) − ln(y + 3000))²  +  0.02 × mean((θ − θ_prior) − their mean)²        w = exp θ
//! ```
//!
//! is minimised and `w` then normalised. The prior is the starting mix. It is required: without it tiers that are never
//! swept grow without bound, and what the data leave open stays as it was. Because the prior is blind to the sum of the
//! weights, the fit also finds the level at which realised liquidations stand to the book, in the mean of logarithms;
//! [`Calibration::coverage`] is the ratio of USD, which is what an expected amount means.
//!
//! What data can say: how the tiers that are swept stand to one another. How much capital stands in tiers that are never
//! reached is the prior's, for it cannot be told from coverage: half as much in all swept tiers and twice the coverage
//! sweep the same. Neighbouring tiers are swept together, so single weights are mostly the prior's too;
//! [`FittedTier::from_prior`] says how much.
//!
//! Invariant: only hours of the train range enter the fit, only those of the test range the gain. Tiers of the starting
//! mix that have no weight have none afterwards. The same hours and seed give the same bits.

use std::f64::consts::LN_2;
use std::fmt;
use std::ops::Range;

use super::leverage::Mix;
use super::score::bootstrap::{DayBlocks, Interval};
use super::score::hourly::{ErrorSums, Hour, Null, Realised, Sample, squared_errors};
use super::score::means::Resampling;
use super::score::statistics::{Order, RankCorrelations, solve};

/// Added to USD before their logarithm is taken: below it hours are all the same to the fit.
const FLOOR_USD: f64 = 3000.0;

/// How strongly the fit is held to the prior.
const PULL: f64 = 0.02;

/// A tier of which at least this part of a shift of its prior shows in the fit is not identified by the data,
const LARGEST_SHARE_OF_PRIOR: f64 = 0.5;

/// nor is one whose interval spans at least this factor: a factor of two either way.
const WIDEST_INTERVAL: f64 = 4.0;

/// Refits on resampled days, at most: an interval of weights needs fewer than one of a gain.
const REFITS: usize = 200;

/// Steps of the minimisation, at most; ten are usual.
const STEPS: usize = 200;

/// Where no step goes down even so damped, the minimum is reached as far as rounding lets it.
const LARGEST_DAMPING: f64 = 1e6;

/// The minimisation ends where no ln(weight) moves by more than this,
const SMALLEST_STEP: f64 = 1e-9;

/// or this, in refits of which only the spread is read.
const SMALLEST_STEP_OF_REFITS: f64 = 1e-4;

/// A fitted mix and what speaks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// In the order of the starting mix.
    pub tiers: Vec<FittedTier>,
    /// Realised USD over swept USD on the train range, under the fitted mix: `coverage` of the model's parameters.
    pub coverage: f64,
    /// The same under the starting mix.
    pub start_coverage: f64,
    /// What is minimised, on the train range, under the fitted mix.
    pub objective: f64,
    /// The same under the starting mix, at its best level.
    pub start_objective: f64,
    /// Comparisons on the test range.
    pub gains: Vec<Gain>,
    /// Whether the fitted mix should be used: the interval of its gain in `log_error` on the test range is above zero.
    pub is_recommended: bool,
    /// Hours of the train range that count.
    pub train_hours: usize,
    /// Hours of the test range that count.
    pub test_hours: usize,
}

/// One leverage of a fitted mix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FittedTier {
    /// Notional / initial margin.
    pub leverage: f64,
    /// Share of capital in the starting mix, the prior.
    pub start: f64,
    /// Share of capital, fitted.
    pub weight: f64,
    /// Where the fitted share lies in 95 % of refits on resampled days of the train range; the prior stays, so a tier
    /// that the data say nothing of has a narrow interval too. `None` with fewer than two days.
    pub interval: Option<Interval>,
    /// How much of a shift of this tier's prior shows in its fitted weight, 0 … 1: where the odds of the prior, share
    /// against all other tiers, are doubled, it is the change of the fit's ln(odds) over ln 2. 1: the weight is the prior's.
    pub from_prior: f64,
    /// Whether the data say more of this weight than the prior does, and the same on most days: `from_prior` is below ½
    /// and the bounds of `interval` are less than a factor of 4 apart.
    pub is_identified: bool,
}

/// The fitted mix against the starting one on time that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// `log_error`: mean (ln(USD + 3000), mapped − realised)², the level fitted on the train range for each mix; less
    /// is better. `r2`: of ln(1 + USD), the map beside [`Null::Move`], mean of sides. `spearman`: mean of sides.
    pub measure: &'static str,
    /// Under the starting mix.
    pub start: Option<f64>,
    /// Under the fitted mix.
    pub fitted: Option<f64>,
    /// How much better the fitted one is; below zero: worse.
    pub gain: Option<f64>,
    /// Interval of the gain over days of the test range.
    pub interval: Option<Interval>,
}

/// Why a mix cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Train and test share an instant: a gain would not be held out.
    Overlap,
    /// Hours by tier and mix do not have the same number of tiers.
    Tiers {
        /// Tiers of the hours.
        hours: usize,
        /// Tiers of the mix.
        mix: usize,
    },
    /// Fewer hours of the train range count than the fit needs.
    FewHours {
        /// Hours that count.
        found: usize,
        /// Hours that are needed.
        needed: usize,
    },
    /// The book sweeps nothing in the train range.
    NothingSwept,
    /// Nothing was liquidated in the train range.
    NothingRealised,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Overlap => write!(f, "train and test overlap"),
            Unfit::Tiers { hours, mix } => write!(f, "hours are by {hours} tiers, the mix has {mix}"),
            Unfit::FewHours { found, needed } => {
                write!(f, "train has {found} hours with all bars and with truth, {needed} are needed")
            }
            Unfit::NothingSwept => write!(f, "the map sweeps nothing in train"),
            Unfit::NothingRealised => write!(f, "nothing was liquidated in train"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Fits the shares of capital of a mix.
///
/// `hours` are those of a [`HourlyReplay`](super::score::hourly::HourlyReplay) in the scale
/// [`Book`](super::parameters::Scale::Book), `mix` is the one that it used, the start and the prior. Where margin rules
/// drop tiers in the course of time the book is linear in the weights only as long as the same tiers are in use; the fit
/// is then approximate. `train` and `test` are half-open ranges of milliseconds that do not overlap.
///
/// # Errors
///
/// [`Unfit`], where nothing can be fitted. Without an hour of test the mix is fitted, its gains are unknown, and it is
/// not recommended.
pub fn calibrate(
    hours: &[Hour],
    realised: &Realised,
    mix: &Mix,
    train: &Range<i64>,
    test: &Range<i64>,
    resampling: Resampling,
) -> Result<Calibration, Unfit> {
    if train.start < test.end && test.start < train.end {
        return Err(Unfit::Overlap);
    }
    let tiers = hours.iter().map(|hour| hour.swept_by_tier.len()).find(|tiers| *tiers != mix.tiers.len());
    if let Some(tiers) = tiers {
        return Err(Unfit::Tiers { hours: tiers, mix: mix.tiers.len() });
    }
    let (train, test) = (Sample::new(hours, realised, train), Sample::new(hours, realised, test));
    let used: Vec<usize> = (0..mix.tiers.len()).filter(|&tier| mix.tiers[tier].weight > 0.0).collect();
    if used.is_empty() {
        return Err(Unfit::NothingSwept);
    }
    let needed = used.len() + 2;
    if train.len() < needed {
        return Err(Unfit::FewHours { found: train.len(), needed });
    }
    let sum: f64 = used.iter().map(|&tier| mix.tiers[tier].weight).sum();
    let start: Vec<f64> = used.iter().map(|&tier| mix.tiers[tier].weight / sum).collect();
    let [of_train, of_test] = [&train, &test].map(|sample| Rows::new(sample, mix, &used));
    let swept: f64 = of_train.mapped(&start).iter().sum();
    let liquidated: f64 = of_train.realised.iter().sum();
    if swept <= 0.0 {
        return Err(Unfit::NothingSwept);
    }
    if liquidated <= 0.0 {
        return Err(Unfit::NothingRealised);
    }

    let prior: Vec<f64> = start.iter().map(|weight| libm::log(*weight)).collect();
    let once = vec![1.0; of_train.len()];
    let level = of_train.level(&start, libm::log(liquidated / swept));
    let from: Vec<f64> = prior.iter().map(|theta| theta + level).collect();
    let start_objective = of_train.objective(&from, &prior, &once);
    let fitted = of_train.fit(from.clone(), &prior, &once, SMALLEST_STEP);
    let objective = of_train.objective(&fitted, &prior, &once);
    let shares = shares(&fitted);

    let is_narrow = |interval: Interval| interval.high < WIDEST_INTERVAL * interval.low;
    let intervals = of_train.share_intervals(&train, &fitted, &prior, resampling);
    let mut all: Vec<FittedTier> = mix.tiers.iter().map(|tier| FittedTier::unused(tier.leverage)).collect();
    for (i, &tier) in used.iter().enumerate() {
        let from_prior = of_train.share_of_prior(i, &fitted, &prior, &once);
        all[tier] = FittedTier {
            leverage: mix.tiers[tier].leverage,
            start: start[i],
            weight: shares[i],
            interval: intervals[i],
            from_prior,
            is_identified: from_prior < LARGEST_SHARE_OF_PRIOR && intervals[i].is_some_and(is_narrow),
        };
    }

    let gains = gains([&train, &test], [&of_train, &of_test], [&from, &fitted], resampling);
    let is_recommended =
        gains.iter().any(|gain| gain.measure == LOG_ERROR && gain.interval.is_some_and(|interval| interval.low > 0.0));
    Ok(Calibration {
        tiers: all,
        coverage: liquidated / of_train.mapped(&shares).iter().sum::<f64>(),
        start_coverage: liquidated / swept,
        objective,
        start_objective,
        gains,
        is_recommended,
        train_hours: train.len(),
        test_hours: test.len(),
    })
}

const LOG_ERROR: &str = "log_error";

impl FittedTier {
    /// A tier without weight.
    fn unused(leverage: f64) -> FittedTier {
        FittedTier { leverage, start: 0.0, weight: 0.0, interval: None, from_prior: 1.0, is_identified: false }
    }
}

/// Weights of one, from the logarithms of weights.
fn shares(theta: &[f64]) -> Vec<f64> {
    // Measured from the largest, so that no exponential overflows.
    let largest = theta.iter().fold(f64::NEG_INFINITY, |largest, theta| largest.max(*theta));
    let weights: Vec<f64> = theta.iter().map(|theta| libm::exp(theta - largest)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// A row an hour and side: what each tier would sweep with all the capital, and what was liquidated.
///
/// Longs of all hours first, then shorts.
struct Rows {
    tiers: usize,
    /// Row by row.
    swept: Vec<f64>,
    realised: Vec<f64>,
    /// ln(realised + 3000).
    target: Vec<f64>,
}

impl Rows {
    fn new(sample: &Sample, mix: &Mix, used: &[usize]) -> Rows {
        let mut rows = Rows { tiers: used.len(), swept: Vec::new(), realised: Vec::new(), target: Vec::new() };
        for side in [0, 1] {
            for (hour, &usd) in sample.realised[side].iter().enumerate() {
                let swept = |tier: usize| sample.swept_by_tier[tier][side][hour] / mix.tiers[tier].weight;
                rows.swept.extend(used.iter().map(|&tier| swept(tier)));
                rows.realised.push(usd);
                rows.target.push(libm::log(usd + FLOOR_USD));
            }
        }
        rows
    }

    fn len(&self) -> usize {
        self.realised.len()
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.swept.chunks_exact(self.tiers)
    }

    /// What a mix sweeps, row by row.
    fn mapped(&self, weights: &[f64]) -> Vec<f64> {
        self.rows().map(|row| row.iter().zip(weights).map(|(swept, weight)| swept * weight).sum()).collect()
    }

    /// Squared errors of the logarithms, row by row.
    fn errors(&self, theta: &[f64]) -> Vec<f64> {
        let weights: Vec<f64> = theta.iter().map(|theta| libm::exp(*theta)).collect();
        let rest = |(mapped, target): (f64, &f64)| libm::log(mapped + FLOOR_USD) - target;
        self.mapped(&weights).into_iter().zip(&self.target).map(rest).map(|rest| rest * rest).collect()
    }

    /// What is minimised, where each row counts so often.
    fn objective(&self, theta: &[f64], prior: &[f64], counts: &[f64]) -> f64 {
        let errors: f64 = self.errors(theta).iter().zip(counts).map(|(error, count)| error * count).sum();
        let strayed: f64 = strayed(theta, prior).iter().map(|strayed| strayed * strayed).sum();
        errors / counts.iter().sum::<f64>() + PULL * strayed / self.tiers as f64
    }

    /// Half the gradient and half the second derivatives, the latter by column.
    fn derivatives(&self, theta: &[f64], prior: &[f64], counts: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let n = self.tiers;
        let weights: Vec<f64> = theta.iter().map(|theta| libm::exp(*theta)).collect();
        let total: f64 = counts.iter().sum();
        let (mut gradient, mut curvature) = (vec![0.0; n], vec![vec![0.0; n]; n]);
        let mut slope = vec![0.0; n];
        for ((row, target), count) in self.rows().zip(&self.target).zip(counts) {
            if *count == 0.0 {
                continue;
            }
            for ((slope, swept), weight) in slope.iter_mut().zip(row).zip(&weights) {
                *slope = swept * weight;
            }
            let mapped = slope.iter().sum::<f64>() + FLOOR_USD;
            let rest = libm::log(mapped) - target;
            slope.iter_mut().for_each(|slope| *slope /= mapped);
            for (i, column) in curvature.iter_mut().enumerate() {
                let share = slope[i] * count / total;
                gradient[i] += rest * share;
                for (entry, slope) in column.iter_mut().zip(&slope[..=i]) {
                    *entry += (1.0 - rest) * share * slope;
                }
                column[i] += rest * share;
            }
        }
        let pull = PULL / n as f64;
        for (i, (strayed, column)) in strayed(theta, prior).into_iter().zip(&mut curvature).enumerate() {
            gradient[i] += pull * strayed;
            column[..=i].iter_mut().for_each(|entry| *entry -= pull / n as f64);
            column[i] += pull;
        }
        // Half of the columns is filled; the other half mirrors it.
        for i in 1..n {
            let (before, from) = curvature.split_at_mut(i);
            for (column, entry) in before.iter_mut().zip(&from[0]) {
                column[i] = *entry;
            }
        }
        (gradient, curvature)
    }

    /// Minimises the objective by Newton's method, damped as Levenberg and Marquardt do: the damping grows until a step
    /// goes down, so that it also finds its way where the curvature is not positive.
    fn fit(&self, mut theta: Vec<f64>, prior: &[f64], counts: &[f64], smallest_step: f64) -> Vec<f64> {
        let mut objective = self.objective(&theta, prior, counts);
        let mut damping = 1e-4;
        for _ in 0..STEPS {
            let (gradient, mut curvature) = self.derivatives(&theta, prior, counts);
            for (i, column) in curvature.iter_mut().enumerate() {
                column[i] += damping;
            }
            let step = solve(curvature, gradient);
            let next: Vec<f64> = theta.iter().zip(&step).map(|(theta, step)| theta - step).collect();
            let there = self.objective(&next, prior, counts);
            let longest = step.iter().fold(0.0, |longest: f64, step| longest.max(step.abs()));
            if there < objective {
                (theta, objective, damping) = (next, there, (damping / 10.0).max(1e-12));
            } else {
                damping *= 10.0;
            }
            if longest < smallest_step || damping > LARGEST_DAMPING {
                break;
            }
        }
        theta
    }

    /// The best ln(factor) for a mix that stays as it is.
    fn level(&self, weights: &[f64], from: f64) -> f64 {
        let one = Rows {
            tiers: 1,
            swept: self.mapped(weights),
            realised: self.realised.clone(),
            target: self.target.clone(),
        };
        one.fit(vec![from], &[0.0], &vec![1.0; self.len()], SMALLEST_STEP)[0]
    }

    /// Returns [`FittedTier::from_prior`] of a tier.
    fn share_of_prior(&self, tier: usize, fitted: &[f64], prior: &[f64], counts: &[f64]) -> f64 {
        if self.tiers == 1 {
            return 1.0;
        }
        let mut moved = prior.to_vec();
        moved[tier] += LN_2;
        let refitted = self.fit(fitted.to_vec(), &moved, counts, SMALLEST_STEP);
        let log_odds = |theta: &[f64]| {
            let share = shares(theta)[tier];
            libm::log(share) - libm::log1p(-share)
        };
        let change = (log_odds(&refitted) - log_odds(fitted)) / LN_2;
        // Where a share is all or nothing to the last digit, its odds say nothing.
        if change.is_finite() { change.clamp(0.0, 1.0) } else { 1.0 }
    }

    fn share_intervals(
        &self,
        sample: &Sample,
        fitted: &[f64],
        prior: &[f64],
        resampling: Resampling,
    ) -> Vec<Option<Interval>> {
        let days = DayBlocks::new(&sample.ts);
        days.intervals(resampling.seed, resampling.resamples.min(REFITS), |counts| {
            let of_hours = days.weights(counts);
            let counts = [of_hours.as_slice(), of_hours.as_slice()].concat();
            shares(&self.fit(fitted.to_vec(), prior, &counts, SMALLEST_STEP_OF_REFITS)).into_iter().map(Some).collect()
        })
    }
}

/// How far the logarithms of weights are from the prior, apart from a common factor.
fn strayed(theta: &[f64], prior: &[f64]) -> Vec<f64> {
    let apart: Vec<f64> = theta.iter().zip(prior).map(|(theta, prior)| theta - prior).collect();
    let mean = apart.iter().sum::<f64>() / apart.len() as f64;
    apart.into_iter().map(|apart| apart - mean).collect()
}

/// Compares two mixes (start, fitted), given as the logarithms of weights at their level, on test hours.
fn gains(samples: [&Sample; 2], rows: [&Rows; 2], thetas: [&[f64]; 2], resampling: Resampling) -> Vec<Gain> {
    let [train, test] = samples;
    let hours = test.len();
    let days = DayBlocks::new(&test.ts);
    let errors = thetas.map(|theta| rows[1].errors(theta));
    let errors = days.sums(|hour| {
        let of = |mix: usize| errors[mix][hour] + errors[mix][hours + hour];
        [of(0), of(1), 2.0]
    });
    // By mix: what it sweeps in the hours of train and test, longs then shorts.
    let swept = thetas.map(|theta| [0, 1].map(|sample: usize| rows[sample].mapped(&shares(theta))));
    let of_side = |mix: usize, sample: usize, side: usize| {
        let half = samples[sample].len();
        &swept[mix][sample][side * half..(side + 1) * half]
    };
    let fits = [0, 1].map(|side| {
        let fits = [0, 1].map(|mix| {
            squared_errors(train, test, Null::Move, side, Some((of_side(mix, 0, side), of_side(mix, 1, side))))
        });
        ErrorSums::new(&days, &test.y[side], &fits)
    });
    let orders: Option<Vec<Order>> = [0, 1]
        .into_iter()
        .flat_map(|side| [of_side(0, 1, side), of_side(1, 1, side), test.realised[side].as_slice()])
        .map(Order::new)
        .collect();
    // Start and fitted of each measure.
    let measures = |counts: &[f64]| -> [[Option<f64>; 2]; 3] {
        let [start, fitted, n] = DayBlocks::total(&errors, counts);
        let log_errors = [start, fitted].map(|sum| (n > 0.0).then(|| sum / n));
        let r2 = [0, 1].map(|side: usize| fits[side].r_squared(counts));
        let correlations = orders.as_ref().map(|orders| RankCorrelations::new(orders, &days.weights(counts)));
        let rank = |mix: usize| {
            let of = |side: usize| correlations.as_ref()?.between(3 * side + mix, 3 * side + 2);
            mean(of(0), of(1))
        };
        [log_errors, [0, 1].map(|mix: usize| mean(r2[0][mix], r2[1][mix])), [rank(0), rank(1)]]
    };
    let difference = |[start, fitted]: [Option<f64>; 2]| fitted.zip(start).map(|(fitted, start)| fitted - start);
    // Of errors, fewer are better.
    let gained = |[log_errors, r2, rank]: [[Option<f64>; 2]; 3]| {
        [difference([log_errors[1], log_errors[0]]), difference(r2), difference(rank)]
    };
    let values = measures(&days.once());
    let intervals = days.intervals(resampling.seed, resampling.resamples, |counts| Vec::from(gained(measures(counts))));
    let names = [LOG_ERROR, "r2", "spearman"];
    names
        .into_iter()
        .zip(values)
        .zip(gained(values))
        .zip(intervals)
        .map(|(((measure, [start, fitted]), gain), interval)| Gain {
            measure,
            start,
            fitted,
            gain,
            interval: interval.filter(|_| gain.is_some()),
        })
        .collect()
}

fn mean(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| (a + b) / 2.0)
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::model::bar::Bar;
    use crate::model::book::Book;
    use crate::model::parameters::Parameters;
    use crate::model::replay::Replay;
    use crate::model::score::hourly::{HOUR, HourlyReplay};
    use crate::model::side::Side;

    const DAY: i64 = 24 * HOUR;
    const RESAMPLING: Resampling = Resampling { seed: 1, resamples: 100 };

    fn uniform(generator: &mut Pcg64Mcg) -> f64 {
        (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn mix(weights: &[f64]) -> Mix {
        let tiers: Vec<(f64, f64, f64)> = weights.iter().enumerate().map(|(i, w)| (2.0 + i as f64, *w, 0.1)).collect();
        Mix::from_log_offsets(&tiers)
    }

    /// Hours in which each tier would sweep, with all the capital, what `unit` draws, and in which `level` × a true mix
    /// × e^(noise) is realised.
    fn market(
        days: i64,
        start: &Mix,
        truth: &[f64],
        noise: f64,
        mut unit: impl FnMut(&mut Pcg64Mcg) -> Vec<f64>,
    ) -> (Vec<Hour>, Realised) {
        const LEVEL: f64 = 0.1;
        let mut generator = Pcg64Mcg::seed_from_u64(11);
        let mut realised = Realised::default();
        let hour = |i: i64| {
            let units = [0; 2].map(|_| unit(&mut generator));
            for side in Side::BOTH {
                let usd: f64 = units[side as usize].iter().zip(truth).map(|(unit, weight)| unit * weight).sum();
                let shock = libm::exp(noise * (uniform(&mut generator) + uniform(&mut generator) - 1.0));
                realised.add(i * HOUR, side, LEVEL * usd * shock);
            }
            let by_tier: Vec<[f64; 2]> =
                start.tiers.iter().enumerate().map(|(l, tier)| units.each_ref().map(|u| u[l] * tier.weight)).collect();
            Hour {
                ts: i * HOUR,
                is_whole: true,
                previous_close: Some(100.0),
                low: 99.0 - uniform(&mut generator),
                high: 101.0 + uniform(&mut generator),
                volume: 10.0 + uniform(&mut generator),
                open_interest_change: Some(uniform(&mut generator)),
                swept_usd: [0, 1].map(|side| by_tier.iter().map(|tier| tier[side]).sum()),
                swept_by_tier: by_tier,
                new_low: [0.0; 7],
                new_high: [0.0; 7],
            }
        };
        let hours = (0..days * 24).map(hour).collect();
        (hours, realised)
    }

    fn fit(hours: &[Hour], realised: &Realised, start: &Mix, days: i64) -> Calibration {
        calibrate(hours, realised, start, &(0..days / 2 * DAY), &(days / 2 * DAY..days * DAY), RESAMPLING).unwrap()
    }

    /// Each tier swept in half of the hours, apart from the others.
    fn apart(tiers: usize) -> impl FnMut(&mut Pcg64Mcg) -> Vec<f64> {
        move |generator| {
            let swept = |generator: &mut Pcg64Mcg| {
                let usd = 1e6 * libm::exp(4.0 * uniform(generator));
                if uniform(generator) < 0.5 { usd } else { 0.0 }
            };
            (0..tiers).map(|_| swept(generator)).collect()
        }
    }

    #[test]
    fn a_known_mix_is_found() {
        let (start, truth) = (mix(&[0.25; 4]), [0.55, 0.25, 0.15, 0.05]);
        let (hours, realised) = market(40, &start, &truth, 1.0, apart(4));
        let found = fit(&hours, &realised, &start, 40);
        // The prior draws all weights towards a quarter, the small ones most: within 16 % of the truth.
        for (tier, truth) in found.tiers.iter().zip(truth) {
            assert!((tier.weight / truth - 1.0).abs() < 0.16, "{tier:?} is not {truth}");
            assert!(tier.is_identified && tier.from_prior < 0.1, "{tier:?}");
            assert!(tier.interval.is_some_and(|interval| interval.low < tier.weight && tier.weight < interval.high));
        }
        assert!((found.tiers.iter().map(|tier| tier.weight).sum::<f64>() - 1.0).abs() < 1e-12);
        // The mean of e^noise is 1.08.
        assert!((found.coverage / 0.108 - 1.0).abs() < 0.05, "{}", found.coverage);
        assert!(found.is_recommended && found.objective < found.start_objective);
        for gain in found.gains.iter().filter(|gain| gain.measure != "r2") {
            assert!(gain.interval.is_some_and(|interval| interval.low > 0.0), "{gain:?}");
        }
        assert_eq!((found.train_hours, found.test_hours), (20 * 24 - 1, 20 * 24));
    }

    #[test]
    fn a_mix_that_was_right_is_not_replaced() {
        let truth = [0.55, 0.25, 0.15, 0.05];
        let start = mix(&truth);
        let (hours, realised) = market(40, &start, &truth, 3.0, apart(4));
        let found = fit(&hours, &realised, &start, 40);
        assert!(!found.is_recommended, "{:?}", found.gains);
    }

    #[test]
    fn tiers_that_are_never_swept_stay_with_the_prior() {
        let (start, truth) = (mix(&[0.4, 0.3, 0.2, 0.1]), [0.0, 0.6, 0.3, 0.1]);
        let mut swept = apart(4);
        let (hours, realised) = market(40, &start, &truth, 1.0, |generator| {
            let mut unit = swept(generator);
            unit[0] = 0.0;
            unit
        });
        let found = fit(&hours, &realised, &start, 40);
        let first = found.tiers[0];
        assert!(first.from_prior > 0.9 && !first.is_identified, "{first:?}");
        assert!((first.weight / first.start - 1.0).abs() < 0.25, "{first:?}");
        assert!(found.tiers[1..].iter().all(|tier| tier.weight < 1.0 && tier.weight > 0.0));
    }

    /// Two tiers that are swept together: their sum is known, how it is split is the prior's.
    #[test]
    fn what_is_swept_together_is_not_told_apart() {
        let (start, truth) = (mix(&[0.3, 0.3, 0.4]), [0.5, 0.4, 0.1]);
        let mut swept = apart(2);
        let (hours, realised) = market(40, &start, &truth, 0.5, |generator| {
            let unit = swept(generator);
            vec![unit[0], unit[0], unit[1]]
        });
        let found = fit(&hours, &realised, &start, 40).tiers;
        assert!((found[0].weight / found[1].weight - 1.0).abs() < 1e-6, "{found:?}");
        assert!(((found[0].weight + found[1].weight) / 0.9 - 1.0).abs() < 0.05, "{found:?}");
        assert_eq!(found.iter().map(|tier| tier.is_identified).collect::<Vec<_>>(), [false, false, true], "{found:?}");
    }

    #[test]
    fn nothing_near_the_fit_is_better() {
        let (start, truth) = (mix(&[0.25; 4]), [0.55, 0.25, 0.15, 0.05]);
        let (hours, realised) = market(10, &start, &truth, 2.0, apart(4));
        let sample = Sample::new(&hours, &realised, &(0..i64::MAX));
        let rows = Rows::new(&sample, &start, &[0, 1, 2, 3]);
        let (prior, once) = (vec![libm::log(0.25); 4], vec![1.0; rows.len()]);
        let fitted = rows.fit(prior.clone(), &prior, &once, SMALLEST_STEP);
        let least = rows.objective(&fitted, &prior, &once);
        let mut generator = Pcg64Mcg::seed_from_u64(3);
        for step in [1e-3, 0.1, 1.0, 5.0] {
            for _ in 0..50 {
                let near: Vec<f64> =
                    fitted.iter().map(|theta| theta + step * (uniform(&mut generator) - 0.5)).collect();
                assert!(rows.objective(&near, &prior, &once) > least);
            }
        }
        // The derivatives are those of the objective, twice.
        let (gradient, _) = rows.derivatives(&prior, &prior, &once);
        for i in 0..4 {
            let at = |step: f64| {
                let mut theta = prior.clone();
                theta[i] += step;
                rows.objective(&theta, &prior, &once)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((2.0 * gradient[i] - slope).abs() < 1e-7, "{} {slope}", gradient[i]);
        }
    }

    /// The objective as written in MODEL.md, for one hour and two tiers.
    #[test]
    fn objective_by_hand() {
        let rows = Rows { tiers: 2, swept: vec![1e5, 4e5], realised: vec![2e4], target: vec![libm::log(2.3e4)] };
        let (theta, prior) = ([libm::log(0.1), libm::log(0.05)], [libm::log(0.5), libm::log(0.5)]);
        // Xw = 10,000 + 20,000; θ − θ_prior = ln 0.2, ln 0.1, half of ln 2 on either side of their mean.
        let by_hand = (33_000f64 / 23_000.0).ln().powi(2) + 0.02 * (2f64.ln() / 2.0).powi(2);
        assert!((rows.objective(&theta, &prior, &[1.0]) - by_hand).abs() < 1e-12);
    }

    #[test]
    fn a_tier_without_weight_has_none_afterwards() {
        let (start, truth) = (mix(&[0.0, 0.5, 0.5]), [0.3, 0.6, 0.1]);
        let (hours, realised) = market(20, &start, &truth, 1.0, apart(3));
        let found = fit(&hours, &realised, &start, 20);
        assert_eq!((found.tiers[0].weight, found.tiers[0].is_identified), (0.0, false));
        assert!(found.tiers[1].weight > found.tiers[2].weight);
        // A single tier has all the capital, whatever was liquidated.
        let (one, truth) = (mix(&[1.0]), [1.0]);
        let (hours, realised) = market(20, &one, &truth, 1.0, apart(1));
        let found = fit(&hours, &realised, &one, 20);
        assert_eq!((found.tiers[0].weight, found.is_recommended), (1.0, false));
    }

    #[test]
    fn what_cannot_be_fitted() {
        let (start, truth) = (mix(&[0.5, 0.5]), [0.5, 0.5]);
        let (mut hours, realised) = market(10, &start, &truth, 1.0, apart(2));
        let (train, test) = (0..5 * DAY, 5 * DAY..10 * DAY);
        let run = |hours: &[Hour], realised: &Realised, mix: &Mix, train: &Range<i64>| {
            calibrate(hours, realised, mix, train, &test, RESAMPLING).map(|found| found.train_hours)
        };
        assert_eq!(run(&hours, &realised, &start, &train), Ok(119));
        assert_eq!(run(&hours, &realised, &start, &(0..5 * DAY + 1)), Err(Unfit::Overlap));
        assert_eq!(run(&hours, &realised, &mix(&[1.0]), &train), Err(Unfit::Tiers { hours: 2, mix: 1 }));
        assert_eq!(run(&hours, &realised, &start, &(0..3 * HOUR)), Err(Unfit::FewHours { found: 2, needed: 4 }));
        assert_eq!(run(&[], &realised, &start, &train), Err(Unfit::FewHours { found: 0, needed: 4 }));
        let mut none = Realised::default();
        (0..240).for_each(|i| none.add(i * HOUR, Side::Long, 0.0));
        assert_eq!(run(&hours, &none, &start, &train), Err(Unfit::NothingRealised));
        for hour in &mut hours {
            hour.swept_by_tier.fill([0.0; 2]);
        }
        assert_eq!(run(&hours, &realised, &start, &train), Err(Unfit::NothingSwept));
        let message = Unfit::FewHours { found: 2, needed: 4 }.to_string();
        assert_eq!(message, "train has 2 hours with all bars and with truth, 4 are needed");
    }

    /// What a tier sweeps is its weight times what it would sweep with all the capital.
    #[test]
    fn the_book_is_linear_in_the_weights() {
        let run = |weights: &[f64]| {
            let parameters = Parameters { weights: weights.to_vec(), ..Parameters::default() };
            let replay = Replay::new(&parameters, HOUR / 4, Vec::new(), Book::new(&parameters));
            let mut hourly = HourlyReplay::new(replay).unwrap();
            let mut generator = Pcg64Mcg::seed_from_u64(2);
            let mut price = 100.0;
            for i in 0..4 * 24 * 5 {
                let close = price * (1.0 + 0.03 * (uniform(&mut generator) - 0.5));
                let (high, low) = (close.max(price), close.min(price));
                let open_interest = Some(1000.0 + 50.0 * uniform(&mut generator));
                let volume = 300.0 * uniform(&mut generator);
                hourly.take(&Bar {
                    ts: i * HOUR / 4,
                    open: price,
                    high,
                    low,
                    close,
                    volume,
                    open_interest,
                    open_interest_close: None,
                });
                price = close;
            }
            let weights = parameters.mix(None).tiers.into_iter().map(|tier| tier.weight).collect::<Vec<_>>();
            let units = move |hour: &Hour| -> Vec<f64> {
                hour.swept_by_tier.iter().zip(&weights).flat_map(|(swept, w)| swept.map(|usd| usd / w)).collect()
            };
            hourly.finish().iter().map(units).collect::<Vec<_>>()
        };
        let (default, equal) = (run(&Parameters::default().weights), run(&[1.0; 10]));
        let mut swept = 0;
        for (a, b) in default.iter().flatten().zip(equal.iter().flatten()) {
            assert!((a - b).abs() <= 1e-9 * a.abs(), "{a} is not {b}");
            swept += usize::from(*a > 0.0);
        }
        assert!(swept > 1000, "{swept}");
    }
}

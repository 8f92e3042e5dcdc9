//! Does the map put its USD where real liquidation prices are?
//!
//! In: bars that have closed, and at each instant for which positions (or liquidations) with a liquidation price are
//! known, the price, a map and those positions. Out: how much better than a uniform guess the map knows their prices, in
//! nats per USD, beside null models.
//!
//! ```text
//!   x = ln(liquidation price / price)         bins of 0.005
//!
//!   −0.3 ├┬┬┬┬ longs ┬┬┬┬┤ 0 ├┬┬┬┬ shorts ┬┬┬┬┤ +0.3       support: 60 bins a side, 120 together
//!          ▂▃▅▃▂▁▁▁▃▆█▆▂   ▂▅▇▅▃▂▁▁▂▃▂▁                    p = 0.99 × share of the map in the bin + 0.01 × uniform
//!
//!   score = Σ USD × ln(p / uniform) / Σ USD                0: no better than uniform; ln 120 = 4.79 nats at most
//! ```
//!
//! * **Both sides together**: the map's shares of all 120 bins, so it also says how much stands on each side. **One side**:
//!   its shares of that side's 60 bins. Where a map has nothing within the support it says uniform.
//! * **Support**: ±30 % in ln(price), −25.9 % to +35.0 %. What lies farther is no part of the score; its share of the USD
//!   is the row `beyond_range_usd_share`. So is a position on the wrong side, a long above the price (`wrong_side_usd_share`):
//!   price has moved since, or what the source says is stale; a map has no place for it.
//! * **Null models**, all on the same support and mixed with the same 1 %: `uniform`; `laplace_spot`, two exponentials around
//!   the price; `laplace_mean`, the same around the mean close of the look-back; `volume_profile`, what was traded at each
//!   price in the look-back. The Laplace scales are the best on the train range, for both sides and for each. Without rows
//!   in a train range they are the best on the scored rows themselves, which favours the null models: they are then called
//!   `…_in_sample`. Where nothing is known of the look-back its mean is the price and its profile is uniform.
//! * **Intervals** resample whole UTC days. A position that stands for weeks is in every snapshot of them, and days are not
//!   independent of each other, so the intervals are too narrow.
//!
//! Invariant: what is taken at an instant depends on that instant and earlier bars; only the scales know the whole train
//! range. Held is one row for each instant, side and bin with a position, besides the bars of the look-back.

use std::ops::Range;

use super::Score;
use super::look_back::LookBack;
use super::map::Map;
use super::means::{DAY, Means, Names, Resampling};
use crate::model::bar::Bar;
use crate::model::side::Side;

/// Width of a bin in ln(price).
const BIN: f64 = 0.005;

/// Bins of a side: 0.3 in ln(price).
const BINS: usize = 60;

/// Share of the uniform density that is mixed into every density.
const UNIFORM: f64 = 0.01;

/// Laplace scales are sought between these, in ln(price): from half a bin to what is uniform on the support.
const SCALES: Range<f64> = 0.0025..1000.0;

/// A real position, or a liquidation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiquidationPrice {
    /// The side of the position.
    pub side: Side,
    /// Its liquidation price, quote per base, positive.
    pub price: f64,
    /// Its USD, as the source states them. Rows without any are passed over.
    pub usd: f64,
}

/// What is scored.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRules {
    /// Instants from which null models are fitted, milliseconds since the epoch.
    pub train: Option<Range<i64>>,
    /// Instants that are scored, `None` for all.
    pub test: Option<Range<i64>>,
    /// Time before an instant that null models know, milliseconds; 30 days where nothing else is asked for.
    pub look_back: i64,
}

impl Default for PriceRules {
    fn default() -> Self {
        PriceRules { train: None, test: None, look_back: 30 * DAY }
    }
}

/// Bins of both sides, each from the price outward.
type Bins = [[f64; BINS]; 2];

/// ln(p / uniform) of a bin: among both sides, and among its own.
#[derive(Debug, Clone, Copy)]
struct Nats {
    together: f64,
    alone: f64,
}

/// The positions of one instant in one bin.
#[derive(Debug, Clone, Copy)]
struct Held {
    day: i64,
    train: bool,
    test: bool,
    side: Side,
    bin: usize,
    usd: f64,
    count: u64,
    map: Nats,
    profile: Nats,
    /// ln(mean of the look-back / price).
    mean: f64,
}

/// What was met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriceCounts {
    /// Instants that were scored.
    pub instants: u64,
    /// Those at which the map had nothing within the support.
    pub empty_maps: u64,
    /// Positions that were scored, those outside the support included.
    pub positions: u64,
}

/// Scores one market.
///
/// ```
/// use liqsql::model::score::means::Resampling;
/// use liqsql::model::score::prices::{LiquidationPrice, PriceRules, PriceScores};
/// use liqsql::model::side::Side;
/// use liqsql::model::snapshot::{PriceCell, Snapshot};
///
/// // All that the map has is one cell of longs, 2 % below the price, within one bin; half of the USD are there.
/// let cell = PriceCell { side: Side::Long, leverage: None, low: 97.9, high: 98.0, usd: 5.0 };
/// let map = Snapshot { ts: 0, price: Some(100.0), cells: vec![cell] };
/// let long = |price, usd| LiquidationPrice { side: Side::Long, price, usd };
/// let mut scores = PriceScores::new(PriceRules::default());
/// scores.instant(0, 100.0, &map, &[long(97.95, 700.0), long(90.0, 700.0), long(20.0, 600.0)]);
///
/// let rows = scores.rows(Resampling { seed: 1, resamples: 100 });
/// let of = |score, null| rows.iter().find(|r| (r.score, r.null, r.side) == (score, null, None)).and_then(|r| r.value);
/// let (right, wrong) = ((0.99f64 * 120.0 + 0.01).ln(), 0.01f64.ln());
/// assert!(of("nats_per_usd", None).is_some_and(|nats| (nats - (right + wrong) / 2.0).abs() < 1e-9));
/// assert_eq!(of("nats_per_usd", Some("uniform")), Some(0.0));
/// assert_eq!(of("beyond_range_usd_share", None), Some(0.3));
/// ```
#[derive(Debug, Clone)]
pub struct PriceScores {
    rules: PriceRules,
    look_back: LookBack,
    held: Vec<Held>,
    /// By side: whether a position is beyond the support, and whether it is on the wrong side of the price.
    outside: [[Means<1>; 2]; 2],
    counts: PriceCounts,
}

const BEYOND: usize = 0;
const WRONG_SIDE: usize = 1;

impl PriceScores {
    /// Begins without bars and positions.
    pub fn new(rules: PriceRules) -> PriceScores {
        let look_back = LookBack::new(rules.look_back);
        let means = || [Means::new(), Means::new()];
        PriceScores { rules, look_back, held: Vec::new(), outside: [means(), means()], counts: PriceCounts::default() }
    }

    /// Takes the next bar, which has closed by all instants that follow.
    pub fn bar(&mut self, bar: &Bar) {
        self.look_back.bar(bar);
    }

    /// Takes an instant, at which all bars that have closed are known, with the price, the map as it stood, and the
    /// positions of that instant.
    pub fn instant(&mut self, ts: i64, price: f64, map: &(impl Map + ?Sized), positions: &[LiquidationPrice]) {
        let train = self.rules.train.as_ref().is_some_and(|range| range.contains(&ts));
        let test = self.rules.test.as_ref().is_none_or(|range| range.contains(&ts));
        if !train && !test {
            return;
        }
        self.look_back.forget(ts);
        let (ln_price, day) = (price.ln(), ts.div_euclid(DAY));
        let mut found = [[(0.0, 0u64); BINS]; 2];
        for position in positions.iter().filter(|position| position.usd > 0.0) {
            let outward = -position.side.sign() * (position.price.ln() - ln_price);
            let bin = (outward / BIN).floor();
            let (wrong_side, beyond) = (outward < 0.0, bin >= BINS as f64);
            if !wrong_side && !beyond {
                let (usd, count) = &mut found[position.side.index()][bin as usize];
                *usd += position.usd;
                *count += 1;
            }
            if test {
                self.counts.positions += 1;
                let outside = &mut self.outside[position.side.index()];
                outside[BEYOND].add(day, position.usd, [f64::from(u8::from(beyond))], 1);
                outside[WRONG_SIDE].add(day, position.usd, [f64::from(u8::from(wrong_side))], 1);
            }
        }
        let map = outward_bins(ln_price, |side, ln_low, bins| map.add_to_bins(side, ln_low, BIN, bins));
        let profile = outward_bins(ln_price, |_, ln_low, bins| self.look_back.add_to_bins(ln_low, BIN, bins));
        if test {
            self.counts.instants += 1;
            self.counts.empty_maps += u64::from(map.iter().flatten().all(|usd| *usd <= 0.0));
        }
        let mean = self.look_back.mean().map_or(0.0, |mean| mean.ln() - ln_price);
        let (map, profile) = (Density::of(map), Density::of(profile));
        for side in Side::BOTH {
            for (bin, &(usd, count)) in found[side.index()].iter().enumerate().filter(|(_, (_, count))| *count > 0) {
                let (map, profile) = (map.nats(side, bin), profile.nats(side, bin));
                self.held.push(Held { day, train, test, side, bin, usd, count, map, profile, mean });
            }
        }
    }

    /// Adds the positions of another market, scored by the same rules.
    pub fn add(&mut self, other: &PriceScores) {
        self.held.extend_from_slice(&other.held);
        for (outside, others) in self.outside.iter_mut().flatten().zip(other.outside.iter().flatten()) {
            *outside = outside.clone().and(others);
        }
        self.counts.instants += other.counts.instants;
        self.counts.empty_maps += other.counts.empty_maps;
        self.counts.positions += other.counts.positions;
    }

    /// Returns what was met so far.
    pub fn counts(&self) -> PriceCounts {
        self.counts
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.look_back.memory() + self.held.capacity() * size_of::<Held>()
    }

    /// Writes the report: for both sides together, then for longs and for shorts, `nats_per_usd` of the map and of each
    /// null model, `nats_per_usd_gain` over each, the `laplace_scale` of each fit, and what was outside the support.
    pub fn rows(&self, resampling: Resampling) -> Vec<Score> {
        let mut rows = Vec::new();
        for side in [None, Some(Side::Long), Some(Side::Short)] {
            self.nats(side, resampling, &mut rows);
            for (kind, score) in [(BEYOND, "beyond_range_usd_share"), (WRONG_SIDE, "wrong_side_usd_share")] {
                let names = Names { score, gain: score, nulls: [None] };
                let [long, short] = &self.outside;
                let means = match side {
                    Some(Side::Long) => long[kind].clone(),
                    Some(Side::Short) => short[kind].clone(),
                    None => long[kind].clone().and(&short[kind]),
                };
                means.rows(&names, side, resampling, &mut rows);
            }
        }
        rows
    }

    fn nats(&self, side: Option<Side>, resampling: Resampling, rows: &mut Vec<Score>) {
        let held = || self.held.iter().filter(|held| side.is_none_or(|side| side == held.side));
        let in_sample = !held().any(|held| held.train);
        let fitted_on: Vec<&Held> = held().filter(|held| if in_sample { held.test } else { held.train }).collect();
        let [spot, mean] = [Centre::Spot, Centre::Mean].map(|centre| {
            let nats = |scale: f64| fitted_on.iter().map(|held| held.usd * laplace(held, centre, scale, side)).sum();
            (!fitted_on.is_empty()).then(|| best_scale(nats))
        });
        let own = |nats: &Nats| if side.is_some() { nats.alone } else { nats.together };
        let mut means = Means::new();
        for held in held().filter(|held| held.test) {
            let fit = |centre, scale: Option<f64>| scale.map_or(0.0, |scale| laplace(held, centre, scale, side));
            let nulls = [0.0, fit(Centre::Spot, spot), fit(Centre::Mean, mean), own(&held.profile)];
            let [uniform, spot, mean, profile] = nulls;
            means.add(held.day, held.usd, [own(&held.map), uniform, spot, mean, profile], held.count);
        }
        let [spot_name, mean_name] = if in_sample {
            ["laplace_spot_in_sample", "laplace_mean_in_sample"]
        } else {
            ["laplace_spot", "laplace_mean"]
        };
        let nulls = [None, Some("uniform"), Some(spot_name), Some(mean_name), Some("volume_profile")];
        means.rows(&Names { score: "nats_per_usd", gain: "nats_per_usd_gain", nulls }, side, resampling, rows);
        let n = fitted_on.iter().map(|held| held.count).sum();
        for (null, value) in [(spot_name, spot), (mean_name, mean)] {
            rows.push(Score { score: "laplace_scale", null: Some(null), side, value, low: None, high: None, n });
        }
    }
}

/// Fills the bins of both sides, given by what adds to bins of rising price.
fn outward_bins(ln_price: f64, add: impl Fn(Side, f64, &mut [f64])) -> Bins {
    Side::BOTH.map(|side| {
        let mut bins = [0.0; BINS];
        match side {
            Side::Long => {
                add(side, ln_price - BIN * BINS as f64, &mut bins);
                bins.reverse();
            }
            Side::Short => add(side, ln_price, &mut bins),
        }
        bins
    })
}

/// Amounts over the support.
struct Density {
    bins: Bins,
    /// Per side.
    totals: [f64; 2],
}

impl Density {
    fn of(bins: Bins) -> Density {
        let totals = bins.map(|bins| bins.iter().sum());
        Density { bins, totals }
    }

    fn nats(&self, side: Side, bin: usize) -> Nats {
        let amount = self.bins[side.index()][bin];
        let share = |total: f64, bins: usize| if total > 0.0 { amount / total } else { 1.0 / bins as f64 };
        Nats {
            together: nats(share(self.totals[0] + self.totals[1], 2 * BINS), 2 * BINS),
            alone: nats(share(self.totals[side.index()], BINS), BINS),
        }
    }
}

/// Returns ln(p / uniform) of a share among bins, uniform mixed in.
fn nats(share: f64, bins: usize) -> f64 {
    ((1.0 - UNIFORM) * share * bins as f64 + UNIFORM).ln()
}

#[derive(Debug, Clone, Copy)]
enum Centre {
    Spot,
    Mean,
}

/// Returns the nats of a Laplace density at the bin of some positions; on one side's support, or on both.
fn laplace(held: &Held, centre: Centre, scale: f64, side: Option<Side>) -> f64 {
    let centre = match centre {
        Centre::Spot => 0.0,
        Centre::Mean => held.mean,
    };
    // From the price outward on both sides, so that mirrored markets have mirrored densities.
    let at = |outward: f64, side: Side| -side.sign() * outward - centre;
    let mass = |from: f64, to: f64, side: Side| {
        let (a, b) = (at(from, side), at(to, side));
        laplace_mass(a.min(b) / scale, a.max(b) / scale)
    };
    let reach = BIN * BINS as f64;
    let bin = mass(held.bin as f64 * BIN, (held.bin + 1) as f64 * BIN, held.side);
    let (all, bins) = match side {
        Some(side) => (mass(0.0, reach, side), BINS),
        None => (mass(0.0, reach, Side::Long) + mass(0.0, reach, Side::Short), 2 * BINS),
    };
    nats(if all > 0.0 { bin / all } else { 1.0 / bins as f64 }, bins)
}

/// Returns ∫ exp(−|x|) / 2 from `a` to `b`, exact far from the centre too.
fn laplace_mass(a: f64, b: f64) -> f64 {
    // On one side of the centre, from the nearer limit outward.
    let tail = |near: f64, far: f64| -0.5 * (-near).exp() * (near - far).exp_m1();
    if a >= 0.0 {
        tail(a, b)
    } else if b <= 0.0 {
        tail(-b, -a)
    } else {
        tail(0.0, -a) + tail(0.0, b)
    }
}

/// Finds the scale at which a function is greatest: on a grid in ln(scale), then by golden sections around its best.
fn best_scale(nats: impl Fn(f64) -> f64) -> f64 {
    const POINTS: usize = 48;
    const SECTIONS: usize = 40;
    let (low, high) = (SCALES.start.ln(), SCALES.end.ln());
    let step = (high - low) / (POINTS - 1) as f64;
    let at = |point: usize| low + step * point as f64;
    let mut best = (0, f64::NEG_INFINITY);
    for point in 0..POINTS {
        let value = nats(at(point).exp());
        if value > best.1 {
            best = (point, value);
        }
    }
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut from, mut to) = ((at(best.0) - step).max(low), (at(best.0) + step).min(high));
    let inner = |from: f64, to: f64| (to - ratio * (to - from), from + ratio * (to - from));
    let (mut a, mut b) = inner(from, to);
    let (mut at_a, mut at_b) = (nats(a.exp()), nats(b.exp()));
    for _ in 0..SECTIONS {
        if at_a >= at_b {
            (to, b, at_b) = (b, a, at_a);
            a = inner(from, to).0;
            at_a = nats(a.exp());
        } else {
            (from, a, at_a) = (a, b, at_b);
            b = inner(from, to).1;
            at_b = nats(b.exp());
        }
    }
    (0.5 * (from + to)).exp()
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::model::snapshot::{PriceCell, Snapshot};

    const HOUR: i64 = 3_600_000;
    const RESAMPLING: Resampling = Resampling { seed: 3, resamples: 200 };

    /// A map given by its bins, from the price outward; `reflected` has the sides swapped.
    #[derive(Clone)]
    struct BinMap(Bins);

    impl Map for BinMap {
        fn add_to_bins(&self, side: Side, _ln_low: f64, width: f64, bins: &mut [f64]) {
            assert_eq!((width, bins.len()), (BIN, BINS));
            let own = self.0[side.index()];
            for (i, bin) in bins.iter_mut().enumerate() {
                *bin += own[if side == Side::Long { BINS - 1 - i } else { i }];
            }
        }
    }

    struct Random(Pcg64Mcg);

    impl Random {
        fn new(seed: u64) -> Random {
            Random(Pcg64Mcg::seed_from_u64(seed))
        }

        /// Uniform in [0, 1).
        fn next(&mut self) -> f64 {
            (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
        }

        fn side(&mut self) -> Side {
            if self.next() < 0.5 { Side::Long } else { Side::Short }
        }

        fn map(&mut self) -> BinMap {
            // A few bins hold most, as in a real map.
            BinMap([(); 2].map(|()| [(); BINS].map(|()| (6.0 * self.next()).exp())))
        }
    }

    /// The price in the middle of a bin.
    fn middle(price: f64, side: Side, bin: usize) -> f64 {
        price * (-side.sign() * (bin as f64 + 0.5) * BIN).exp()
    }

    fn value(rows: &[Score], score: &str, null: Option<&str>, side: Option<Side>) -> f64 {
        let row = rows.iter().find(|row| row.score == score && row.null == null && row.side == side);
        row.and_then(|row| row.value).unwrap_or_else(|| panic!("{score} {null:?} {side:?}: {rows:#?}"))
    }

    #[test]
    fn worked_by_hand() {
        // The map: longs 3 USD in bin 0, shorts 1 USD in bin 10. Positions: long 100 in bin 0, short 300 in bin 10, short
        // 100 in bin 11, long 50 above the price, short 450 beyond 30 %.
        let mut map = BinMap([[0.0; BINS]; 2]);
        (map.0[0][0], map.0[1][10]) = (3.0, 1.0);
        let position = |side, price, usd| LiquidationPrice { side, price, usd };
        let positions = [
            position(Side::Long, 99.9, 100.0),
            position(Side::Short, middle(100.0, Side::Short, 10), 300.0),
            position(Side::Short, middle(100.0, Side::Short, 11), 100.0),
            position(Side::Long, 101.0, 50.0),
            position(Side::Short, 136.0, 450.0),
            position(Side::Short, 110.0, 0.0),
        ];
        let mut scores = PriceScores::new(PriceRules::default());
        scores.instant(0, 100.0, &map, &positions);
        assert_eq!(scores.counts(), PriceCounts { instants: 1, empty_maps: 0, positions: 5 });
        let rows = scores.rows(RESAMPLING);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        let p = |share: f64, bins: f64| (0.99 * share * bins + 0.01).ln();
        let nats = |side| value(&rows, "nats_per_usd", None, side);
        near(nats(None), (100.0 * p(0.75, 120.0) + 300.0 * p(0.25, 120.0) + 100.0 * p(0.0, 120.0)) / 500.0);
        near(nats(Some(Side::Long)), p(1.0, 60.0));
        near(nats(Some(Side::Short)), (300.0 * p(1.0, 60.0) + 100.0 * p(0.0, 60.0)) / 400.0);
        near(value(&rows, "wrong_side_usd_share", None, None), 0.05);
        near(value(&rows, "wrong_side_usd_share", None, Some(Side::Long)), 50.0 / 150.0);
        near(value(&rows, "beyond_range_usd_share", None, None), 0.45);
        near(value(&rows, "beyond_range_usd_share", None, Some(Side::Long)), 0.0);
        // Nothing is known of bars: the profile is uniform, and both Laplace densities stand at the price.
        near(value(&rows, "nats_per_usd", Some("volume_profile"), None), 0.0);
        let [spot, mean] = ["laplace_spot_in_sample", "laplace_mean_in_sample"]
            .map(|null| value(&rows, "nats_per_usd", Some(null), None));
        near(spot, mean);
        near(value(&rows, "nats_per_usd_gain", Some("uniform"), None), nats(None));
        near(value(&rows, "nats_per_usd_gain", Some("laplace_spot_in_sample"), None), nats(None) - spot);
        // One day has no interval.
        assert!(rows.iter().all(|row| row.low.is_none()));
        assert_eq!(rows.iter().find(|row| row.score == "nats_per_usd").map(|row| row.n), Some(3));
    }

    #[test]
    fn a_laplace_density_sums_to_one_and_its_scale_is_found() {
        for (a, b, mass) in
            [(-50.0, 50.0, 1.0), (0.0, 2.0, 0.5 - 0.5 * (-2f64).exp()), (-2.0, 0.0, 0.5 - 0.5 * (-2f64).exp())]
        {
            assert!((laplace_mass(a, b) - mass).abs() < 1e-15);
        }
        assert!((laplace_mass(700.0, 701.0) / (-700f64).exp() - 0.5 * (1.0 - (-1f64).exp())).abs() < 1e-12);
        // Positions drawn from a scale of 0.06: 200 per bin and side in proportion.
        let mut scores =
            PriceScores::new(PriceRules { train: Some(0..HOUR), test: Some(HOUR..2 * HOUR), look_back: DAY });
        let positions: Vec<LiquidationPrice> = (0..BINS)
            .flat_map(|bin| Side::BOTH.map(|side| (side, bin)))
            .map(|(side, bin)| LiquidationPrice {
                side,
                price: middle(100.0, side, bin),
                usd: laplace_mass(bin as f64 * BIN / 0.06, (bin + 1) as f64 * BIN / 0.06),
            })
            .collect();
        let empty = BinMap([[0.0; BINS]; 2]);
        scores.instant(0, 100.0, &empty, &positions);
        scores.instant(HOUR, 100.0, &empty, &positions[..60]);
        let rows = scores.rows(RESAMPLING);
        for side in [None, Some(Side::Long), Some(Side::Short)] {
            let scale = value(&rows, "laplace_scale", Some("laplace_spot"), side);
            // The 1 % of uniform that is mixed in makes the best scale a little narrower.
            assert!((0.055..0.0601).contains(&scale), "{scale}");
            assert_eq!(value(&rows, "nats_per_usd", None, side), 0.0, "an empty map says uniform");
            assert!(value(&rows, "nats_per_usd", Some("laplace_spot"), side) > 0.3);
        }
        assert_eq!(scores.counts().empty_maps, 1);
    }

    #[test]
    fn the_look_back_knows_where_price_was() {
        let bar = |day: i64, price: f64| Bar {
            ts: day * DAY,
            open: price,
            high: price * 1.001,
            low: price * 0.999,
            close: price,
            volume: 10.0,
            open_interest: None,
            open_interest_close: None,
        };
        let mut scores = PriceScores::new(PriceRules::default());
        for day in 0..20 {
            scores.bar(&bar(day, 110.0));
        }
        // Shorts around 110, where price was; it stands at 100 now.
        let empty = BinMap([[0.0; BINS]; 2]);
        for day in 20..25 {
            let shorts =
                [109.0, 110.0, 111.0, 113.0].map(|price| LiquidationPrice { side: Side::Short, price, usd: 1.0 });
            scores.instant(day * DAY, 100.0, &empty, &shorts);
        }
        let rows = scores.rows(RESAMPLING);
        let nats = |null| value(&rows, "nats_per_usd", Some(null), None);
        assert!(nats("laplace_mean_in_sample") > nats("laplace_spot_in_sample") + 1.0);
        // One of four is where volume was, the others are where none was.
        assert!((nats("volume_profile") - (0.25 * (0.99f64 * 120.0 * 0.5).ln() + 0.75 * 0.01f64.ln())).abs() < 0.3);
    }

    #[test]
    fn the_truth_itself_is_the_best_map() {
        let mut random = Random::new(1);
        let (mut perfect, mut shuffled) =
            (PriceScores::new(PriceRules::default()), PriceScores::new(PriceRules::default()));
        for day in 0..30 {
            let truth = random.map();
            let positions: Vec<LiquidationPrice> = Side::BOTH
                .into_iter()
                .flat_map(|side| (0..BINS).map(move |bin| (side, bin)))
                .map(|(side, bin)| LiquidationPrice {
                    side,
                    price: middle(50.0, side, bin),
                    usd: truth.0[side.index()][bin],
                })
                .collect();
            perfect.instant(day * DAY, 50.0, &truth, &positions);
            // The same amounts at other places.
            let mut other = truth.clone();
            for i in (1..2 * BINS).rev() {
                let j = (random.next() * (i + 1) as f64) as usize;
                let (a, b) = (other.0[i / BINS][i % BINS], other.0[j / BINS][j % BINS]);
                (other.0[i / BINS][i % BINS], other.0[j / BINS][j % BINS]) = (b, a);
            }
            shuffled.instant(day * DAY, 50.0, &other, &positions);
        }
        let (perfect, shuffled) = (perfect.rows(RESAMPLING), shuffled.rows(RESAMPLING));
        for side in [None, Some(Side::Long), Some(Side::Short)] {
            let best = value(&perfect, "nats_per_usd", None, side);
            assert!(best > 0.7 && best < 4.79, "{best}");
            for null in ["uniform", "laplace_spot_in_sample", "laplace_mean_in_sample", "volume_profile"] {
                let gain = perfect
                    .iter()
                    .find(|row| row.score == "nats_per_usd_gain" && row.null == Some(null) && row.side == side);
                assert!(gain.is_some_and(|row| row.low.is_some_and(|low| low > 0.5)));
            }
            assert!(value(&shuffled, "nats_per_usd", None, side) < -0.5);
        }
    }

    #[test]
    fn the_book_that_made_the_positions_beats_other_books() {
        use crate::model::book::Book;
        use crate::model::parameters::{Parameters, Preset};
        use crate::model::replay::Replay;
        let mut random = Random::new(11);
        let books = [Preset::Default, Preset::NeverCloses, Preset::Uncalibrated].map(Parameters::preset);
        let mut replays = books.map(|book| Replay::new(&book, HOUR / 12, Vec::new(), Book::new(&book)));
        let mut scores = [(); 3].map(|()| PriceScores::new(PriceRules::default()));
        let (mut ln_price, mut open_interest) = (0.0f64, 1e5);
        for i in 0..12 * 24 * 20 {
            let open = ln_price;
            ln_price += 0.004 * (random.next() - 0.5);
            let after = open_interest * (1.0 + 0.01 * (random.next() - 0.5));
            let bar = Bar {
                ts: i * HOUR / 12,
                open: open.exp(),
                high: (open.max(ln_price) + 0.0005).exp(),
                low: (open.min(ln_price) - 0.0005).exp(),
                close: ln_price.exp(),
                volume: 2e3 * random.next(),
                open_interest: Some(open_interest),
                open_interest_close: Some(after),
            };
            open_interest = after;
            for (replay, scores) in replays.iter_mut().zip(&mut scores) {
                replay.begin(&bar);
                replay.end(&bar);
                scores.bar(&bar);
            }
            if i % 144 == 143 {
                // Every sixth bucket of the first book stands for a position.
                let truth = replays[0].standing();
                let buckets = Side::BOTH.into_iter().flat_map(|side| {
                    (0..truth.leverages().len()).flat_map(move |tier| {
                        let buckets = truth.buckets(side, tier).into_iter().filter(|(bucket, _)| bucket % 6 == 0);
                        buckets.map(move |(bucket, quantity)| {
                            let price = crate::model::prices::centre(bucket);
                            LiquidationPrice { side, price, usd: quantity * price }
                        })
                    })
                });
                let positions: Vec<LiquidationPrice> = buckets.collect();
                for (replay, scores) in replays.iter().zip(&mut scores) {
                    scores.instant(bar.ts + HOUR / 12, bar.close, replay, &positions);
                }
            }
        }
        let [own, never_closes, uncalibrated] =
            scores.map(|scores| value(&scores.rows(RESAMPLING), "nats_per_usd", None, None));
        assert!(own > never_closes + 0.05 && own > uncalibrated + 0.05, "{own} {never_closes} {uncalibrated}");
    }

    #[test]
    fn random_maps_do_not_beat_uniform() {
        let mut above = 0;
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut scores = PriceScores::new(PriceRules::default());
            for day in 0..20 {
                let map = random.map();
                let positions = [(); 20].map(|()| {
                    let (side, bin) = (random.side(), (random.next() * 20.0) as usize);
                    LiquidationPrice { side, price: middle(10.0, side, bin), usd: (3.0 * random.next()).exp() }
                });
                scores.instant(day * DAY, 10.0, &map, &positions);
            }
            let rows = scores.rows(Resampling { seed, resamples: 2 });
            above += usize::from(value(&rows, "nats_per_usd", None, None) > 0.0);
        }
        assert_eq!(above, 0);
    }

    #[test]
    fn a_reflected_market_has_its_sides_swapped() {
        let mut random = Random::new(5);
        let (mut one, mut other) = (PriceScores::new(PriceRules::default()), PriceScores::new(PriceRules::default()));
        for day in 0..10 {
            let map = random.map();
            let reflected = BinMap([map.0[1], map.0[0]]);
            let positions = [(); 30].map(|()| (random.side(), (random.next() * 66.0) as usize, random.next()));
            let at = |price: f64, swap: bool| {
                positions.map(|(side, bin, usd)| {
                    let side = match (side, swap) {
                        (Side::Long, true) => Side::Short,
                        (Side::Short, true) => Side::Long,
                        (side, false) => side,
                    };
                    LiquidationPrice { side, price: middle(price, side, bin), usd }
                })
            };
            one.instant(day * DAY, 2.0, &map, &at(2.0, false));
            other.instant(day * DAY, 0.5, &reflected, &at(0.5, true));
        }
        let (one, other) = (one.rows(RESAMPLING), other.rows(RESAMPLING));
        for row in &one {
            let side = row.side.map(|side| if side == Side::Long { Side::Short } else { Side::Long });
            let twin = other.iter().find(|twin| (twin.score, twin.null, twin.side) == (row.score, row.null, side));
            let twin = twin.unwrap();
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9 * (1.0 + a.abs()),
                (a, b) => a == b,
            };
            assert!(near(row.value, twin.value) && near(row.low, twin.low) && row.n == twin.n, "{row:?} {twin:?}");
        }
    }

    #[test]
    fn markets_add_up() {
        let market = |usd: [f64; 2]| {
            let mut map = BinMap([[0.0; BINS]; 2]);
            map.0[0][4] = 1.0;
            let mut scores = PriceScores::new(PriceRules::default());
            let position = |bin, usd| LiquidationPrice { side: Side::Long, price: middle(7.0, Side::Long, bin), usd };
            scores.instant(0, 7.0, &map, &[position(4, usd[0]), position(70, usd[1])]);
            scores
        };
        let mut both = market([3.0, 1.0]);
        both.add(&market([1.0, 3.0]));
        let rows = both.rows(RESAMPLING);
        assert_eq!(both.counts(), PriceCounts { instants: 2, empty_maps: 0, positions: 4 });
        assert!((value(&rows, "nats_per_usd", None, None) - (0.99f64 * 120.0 + 0.01).ln()).abs() < 1e-12);
        assert_eq!(value(&rows, "beyond_range_usd_share", None, None), 0.5);
    }

    #[test]
    fn later_bars_and_instants_change_nothing_before() {
        let mut random = Random::new(9);
        let bars: Vec<Bar> = (0..400)
            .map(|hour| {
                let price = 100.0 + random.next();
                Bar {
                    ts: hour * HOUR,
                    open: price,
                    high: price * 1.01,
                    low: price * 0.99,
                    close: price,
                    volume: random.next(),
                    open_interest: None,
                    open_interest_close: None,
                }
            })
            .collect();
        let cell = |low, usd| PriceCell { side: Side::Long, leverage: None, low, high: low + 1.0, usd };
        let map =
            |i: usize| Snapshot { ts: 0, price: Some(bars[i].close), cells: vec![cell(90.0, 1.0), cell(95.0, 2.0)] };
        let feed = |hours: usize, test: Range<i64>| {
            let mut scores =
                PriceScores::new(PriceRules { train: Some(0..100 * HOUR), test: Some(test), look_back: 2 * DAY });
            for (i, bar) in bars.iter().enumerate().take(hours) {
                scores.bar(bar);
                let longs =
                    [91.2, 95.5, 97.0].map(|price| LiquidationPrice { side: Side::Long, price, usd: bar.volume });
                scores.instant((i as i64 + 1) * HOUR, bar.close, &map(i), &longs);
            }
            scores.rows(RESAMPLING)
        };
        assert_eq!(feed(400, 0..200 * HOUR), feed(200, 0..200 * HOUR));
    }
}

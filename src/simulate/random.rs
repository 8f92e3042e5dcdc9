//! Answers "what does chance say next?" with the same bits on every platform.
//!
//! The generator is PCG. The distributions are written here on `libm`, because a distribution crate reaches `ln` and
//! `exp` through `num-traits`, and another dependency may switch that crate to the platform's C library, whose last
//! bits differ between systems.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// One independent stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    generator: Pcg64Mcg,
    /// The polar method makes normals in pairs; this is the second one.
    spare_normal: Option<f64>,
}

/// Mixes a counter into 64 well-spread bits (SplitMix64, Steele, Lea and Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Draw {
    /// Returns the stream `stream` of `seed`. Streams keep markets independent: adding one leaves the others as they were.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed;
        let mut mixed = split_mix(&mut state) ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let high = split_mix(&mut mixed);
        let low = split_mix(&mut mixed);
        Self { generator: Pcg64Mcg::new((u128::from(high) << 64) | u128::from(low)), spare_normal: None }
    }

    /// Uniform in [0, 1), 53 bits.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in 0..bound; `bound` must be positive.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.generator.next_u64()) * bound as u128) >> 64) as usize
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Standard normal (Marsaglia's polar method).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                let scale = (-2.0 * libm::log(s) / s).sqrt();
                self.spare_normal = Some(v * scale);
                return u * scale;
            }
        }
    }

    /// Lognormal with the given median and standard deviation of the logarithm.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// Poisson count. Means above 30 use the rounded normal approximation: the tail does not matter at such counts.
    pub(super) fn poisson(&mut self, mean: f64) -> usize {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            let count = (mean + mean.sqrt() * self.normal()).round();
            return if count > 0.0 { count as usize } else { 0 };
        }
        let limit = libm::exp(-mean);
        let mut product = self.uniform();
        let mut count = 0;
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    /// Picks an index with probability proportional to its weight.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let total: f64 = weights.clone().sum();
        let mut target = self.uniform() * total;
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            last = index;
            if target < weight {
                break;
            }
            target -= weight;
        }
        last
    }
}

/// A mean-reverting random process around zero (Ornstein-Uhlenbeck), exact for any step.
#[derive(Debug, Clone)]
pub(super) struct MeanReverting {
    pub(super) value: f64,
    decay: f64,
    kick: f64,
}

impl MeanReverting {
    /// `memory_seconds` is the time to forget 63 % of a deviation; `deviation` is the stationary standard deviation.
    pub(super) fn new(memory_seconds: f64, deviation: f64, step_seconds: f64, draw: &mut Draw) -> Self {
        let decay = libm::exp(-step_seconds / memory_seconds);
        Self { value: deviation * draw.normal(), decay, kick: deviation * (1.0 - decay * decay).sqrt() }
    }

    /// Moves one step with the standard normal `shock`.
    pub(super) fn advance(&mut self, shock: f64) {
        self.value = self.value * self.decay + self.kick * shock;
    }
}

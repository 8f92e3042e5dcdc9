//! Where price was in the last days, and where it was traded: what a null model knows that has no map.
//!
//! In: closed bars in order of time. Out: the mean of their closes, and the volume by price, each bar's spread evenly
//! over the 2 bp buckets from its low to its high.
//!
//! What is held is the bars of the look-back and one number a bucket. Volumes are added as bars come and subtracted as they
//! leave; on the first bar of a UTC day all is summed anew, so that rounding does not grow.

use std::collections::VecDeque;

use super::map::spread;
use crate::model::bar::Bar;
use crate::model::prices::{BUCKET_WIDTH, bucket_of};

const DAY: i64 = 86_400_000;

/// Buckets added beyond what is needed when the range grows.
const SLACK: i32 = 512;

#[derive(Debug, Clone, Copy)]
struct Held {
    ts: i64,
    low: i32,
    high: i32,
    close: f64,
    volume: f64,
}

/// The bars of the look-back.
#[derive(Debug, Clone)]
pub struct LookBack {
    length: i64,
    bars: VecDeque<Held>,
    closes: f64,
    first: i32,
    volumes: Vec<f64>,
}

impl LookBack {
    /// Begins without bars; `length` in milliseconds.
    pub fn new(length: i64) -> LookBack {
        LookBack { length, bars: VecDeque::new(), closes: 0.0, first: 0, volumes: Vec::new() }
    }

    /// Takes the next bar that has closed.
    pub fn bar(&mut self, bar: &Bar) {
        let held = Held {
            ts: bar.ts,
            low: bucket_of(bar.low.ln()),
            high: bucket_of(bar.high.ln()),
            close: bar.close,
            volume: bar.volume,
        };
        let new_day = self.bars.back().is_some_and(|last| last.ts.div_euclid(DAY) != bar.ts.div_euclid(DAY));
        self.cover(held.low, held.high);
        self.add(&held, 1.0);
        self.bars.push_back(held);
        self.forget(bar.ts);
        if new_day {
            self.sum();
        }
    }

    /// Drops the bars that opened longer than the look-back before an instant.
    pub fn forget(&mut self, now: i64) {
        let from = now.saturating_sub(self.length);
        while let Some(held) = self.bars.front().copied().filter(|held| held.ts < from) {
            self.bars.pop_front();
            self.add(&held, -1.0);
        }
    }

    fn cover(&mut self, low: i32, high: i32) {
        if self.volumes.is_empty() {
            self.first = low - SLACK;
        } else if low < self.first {
            let added = (self.first - low + SLACK) as usize;
            self.volumes.splice(0..0, std::iter::repeat_n(0.0, added));
            self.first -= added as i32;
        }
        let needed = (high - self.first + 1) as usize;
        if needed > self.volumes.len() {
            self.volumes.resize(needed + SLACK as usize, 0.0);
        }
    }

    fn add(&mut self, held: &Held, times: f64) {
        let each = times * held.volume / f64::from(held.high - held.low + 1);
        self.closes += times * held.close;
        for volume in &mut self.volumes[(held.low - self.first) as usize..=(held.high - self.first) as usize] {
            *volume += each;
        }
    }

    fn sum(&mut self) {
        self.closes = 0.0;
        self.volumes.fill(0.0);
        let bars = std::mem::take(&mut self.bars);
        for held in &bars {
            self.add(held, 1.0);
        }
        self.bars = bars;
    }

    /// Returns the mean of the closes, `None` without bars.
    pub fn mean(&self) -> Option<f64> {
        (!self.bars.is_empty()).then(|| self.closes / self.bars.len() as f64)
    }

    /// Adds the traded volume, base units, to bins of equal width in ln(price).
    pub fn add_to_bins(&self, ln_low: f64, width: f64, bins: &mut [f64]) {
        for (bucket, volume) in (self.first..).zip(&self.volumes) {
            let limits = (f64::from(bucket) * BUCKET_WIDTH, f64::from(bucket + 1) * BUCKET_WIDTH);
            if *volume > 0.0 {
                spread(*volume, limits, ln_low, width, bins);
            }
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.bars.capacity() * size_of::<Held>() + self.volumes.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn bar(hour: i64, low: f64, high: f64, volume: f64) -> Bar {
        let close = (low + high) / 2.0;
        Bar { ts: hour * HOUR, open: close, high, low, close, volume, open_interest: None, open_interest_close: None }
    }

    fn volumes(look_back: &LookBack) -> Vec<f64> {
        let mut bins = vec![0.0; 60];
        look_back.add_to_bins(95f64.ln(), 0.005, &mut bins);
        bins
    }

    #[test]
    fn volume_is_spread_from_low_to_high() {
        let mut look_back = LookBack::new(DAY);
        assert_eq!(look_back.mean(), None);
        // 25 buckets of 2 bp are a bin of 0.005: two thirds of the second bar's volume are in the first bin.
        let low = (26_000.0 * BUCKET_WIDTH).exp();
        let middle = |buckets: f64| ((26_000.0 + buckets - 0.5) * BUCKET_WIDTH).exp();
        look_back.bar(&bar(0, middle(1.0), middle(25.0), 5.0));
        look_back.bar(&bar(1, middle(1.0), middle(30.0), 6.0));
        let mut bins = [0.0; 3];
        look_back.add_to_bins(low.ln(), 0.005, &mut bins);
        assert!((bins[0] - 10.0).abs() < 1e-9 && (bins[1] - 1.0).abs() < 1e-9 && bins[2] == 0.0, "{bins:?}");
    }

    #[test]
    fn what_is_older_is_forgotten_and_sums_do_not_drift() {
        let price = |hour: i64| 100.0 + 10.0 * (hour as f64 / 37.0).sin();
        let each = |hour: i64| bar(hour, price(hour), price(hour) * 1.003, 1.0 + (hour % 5) as f64 / 3.0);
        let mut long_fed = LookBack::new(DAY);
        (0..5000).for_each(|hour| long_fed.bar(&each(hour)));
        let mut fresh = LookBack::new(DAY);
        // A bar that opened a day ago is within.
        (4999 - 24..5000).for_each(|hour| fresh.bar(&each(hour)));
        assert_eq!(long_fed.bars.len(), 25);
        assert!((long_fed.mean().unwrap() - fresh.mean().unwrap()).abs() < 1e-9);
        for (a, b) in volumes(&long_fed).iter().zip(volumes(&fresh)) {
            assert!((a - b).abs() < 1e-9, "{a} and {b}");
        }
        long_fed.forget(6000 * HOUR);
        assert_eq!(long_fed.mean(), None);
        assert!(volumes(&long_fed).iter().all(|volume| volume.abs() < 1e-9));
    }
}

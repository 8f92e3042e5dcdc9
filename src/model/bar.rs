//! What the model reads, and the open interest it uses where none is published.

/// One bar of one (exchange, symbol).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Open of the bar, milliseconds since the epoch.
    pub ts: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded quantity, base units.
    pub volume: f64,
    /// Open interest when the bar opens, base units of one side.
    pub open_interest: Option<f64>,
    /// Open interest when the bar closes.
    pub open_interest_close: Option<f64>,
}

const DAY: f64 = 86_400_000.0;

/// Ratio of open interest to the 30-day mean of daily volume where no open interest is published.
const SHARE_OF_DAILY_VOLUME: f64 = 0.45;

/// Span of that mean, in days.
const MEAN_DAYS: f64 = 30.0;

/// Open interest estimated from volume alone: 0.45 × the 30-day exponential mean of daily base volume.
///
/// The mean is normalised by the sum of its weights since the first bar, so that it is unbiased from the start.
#[derive(Debug, Clone)]
pub(crate) struct VolumeOpenInterest {
    decay: f64,
    bars_per_day: f64,
    sum: f64,
    weight: f64,
}

impl VolumeOpenInterest {
    pub(crate) fn new(interval: i64) -> Self {
        let bars_per_day = DAY / interval as f64;
        let alpha = 2.0 / (MEAN_DAYS * bars_per_day + 1.0);
        VolumeOpenInterest { decay: 1.0 - alpha, bars_per_day, sum: 0.0, weight: 0.0 }
    }

    /// Takes in one bar's volume and returns the open interest after it.
    pub(crate) fn after(&mut self, volume: f64) -> f64 {
        self.sum = self.sum * self.decay + volume;
        self.weight = self.weight * self.decay + 1.0;
        SHARE_OF_DAILY_VOLUME * self.bars_per_day * self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_volume_gives_its_share_from_the_first_bar() {
        let mut estimate = VolumeOpenInterest::new(300_000);
        for _ in 0..1000 {
            // 288 bars a day of 10 base units are 2,880 a day.
            assert!((estimate.after(10.0) - 0.45 * 2880.0).abs() < 1e-9);
        }
    }
}

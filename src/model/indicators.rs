//! Three indicators of a price series, value by value: EMA, RSI and ATR.
//!
//! In: the values of one series, in order. Out: after each value the indicator, or none while it warms up. Each holds a
//! few numbers, whatever the number of periods `n` and however long the series.
//!
//! ```text
//! EMA   E_n = mean of the first n values              E_t = E_{t−1} + 2/(n+1) · (x_t − E_{t−1})
//! RSI   up, down: Wilder's averages of max(x_t − x_{t−1}, 0) and max(x_{t−1} − x_t, 0)
//!       RSI = 100 · up/(up + down)                     = 100 − 100/(1 + up/down)
//! ATR   Wilder's average of the true range: max(high, last close) − min(low, last close); high − low at first
//!
//! Wilder's average   W_n = mean of the first n         W_t = (W_{t−1} · (n − 1) + x_t)/n
//! ```
//!
//! ```text
//!   value       1   2   …   n   n+1
//!   EMA, ATR    ·   ·   ·   ●    ●        · warms up
//!   RSI         ·   ·   ·   ·    ●        (n changes need n+1 values)
//! ```
//!
//! These are the seeds of J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978), and of the worksheets of
//! StockCharts, whose numbers the tests hold. TA-Lib seeds EMA and RSI so too; it leaves the range of the first bar out of
//! ATR, which therefore begins a bar later and differs less and less. TradingView begins an EMA with the first value.
//!
//! Where nothing moved, `up + down` is zero and the RSI is 50, which says nothing in either direction. Sources differ here:
//! StockCharts and TradingView give 100, TA-Lib 0.

/// Wilder's average: the mean of the first `n` values, then each value with a weight of 1/n.
#[derive(Debug, Clone, PartialEq)]
struct WilderAverage {
    periods: f64,
    seen: f64,
    /// The sum while it warms up, then the average.
    held: f64,
}

impl WilderAverage {
    fn new(periods: u32) -> WilderAverage {
        WilderAverage { periods: f64::from(periods), seen: 0.0, held: 0.0 }
    }

    fn next(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.periods {
            self.seen += 1.0;
            self.held += value;
            if self.seen < self.periods {
                return None;
            }
            self.held /= self.periods;
        } else {
            self.held = (self.held * (self.periods - 1.0) + value) / self.periods;
        }
        Some(self.held)
    }
}

/// Exponential moving average.
///
/// ```
/// use liqsql::model::indicators::Ema;
///
/// let mut ema = Ema::new(3);
/// let averages: Vec<Option<f64>> = [1.0, 2.0, 6.0, 7.0].into_iter().map(|value| ema.next(value)).collect();
/// // The mean of 1, 2 and 6 is 3; then half the way to 7.
/// assert_eq!(averages, [None, None, Some(3.0), Some(5.0)]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ema {
    periods: f64,
    seen: f64,
    /// The sum while it warms up, then the average.
    held: f64,
}

impl Ema {
    /// Begins a series. `periods` is at least 1.
    pub fn new(periods: u32) -> Ema {
        Ema { periods: f64::from(periods), seen: 0.0, held: 0.0 }
    }

    /// Takes the next value, which is finite; returns the average, or none while it warms up.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.periods {
            self.seen += 1.0;
            self.held += value;
            if self.seen < self.periods {
                return None;
            }
            self.held /= self.periods;
        } else {
            self.held += 2.0 / (self.periods + 1.0) * (value - self.held);
        }
        Some(self.held)
    }
}

/// Relative strength index, 0 to 100.
///
/// ```
/// use liqsql::model::indicators::Rsi;
///
/// let mut rsi = Rsi::new(2);
/// assert_eq!([10.0, 13.0].map(|value| rsi.next(value)), [None, None]);
/// // Up 3, down 1: three quarters of the movement was upwards.
/// assert_eq!(rsi.next(12.0), Some(75.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rsi {
    last: Option<f64>,
    up: WilderAverage,
    down: WilderAverage,
}

impl Rsi {
    /// Begins a series. `periods` is at least 1.
    pub fn new(periods: u32) -> Rsi {
        Rsi { last: None, up: WilderAverage::new(periods), down: WilderAverage::new(periods) }
    }

    /// Takes the next value, which is finite; returns the index, or none while it warms up.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        let last = self.last.replace(value)?;
        let up = self.up.next((value - last).max(0.0));
        let down = self.down.next((last - value).max(0.0));
        let (up, down) = up.zip(down)?;
        Some(if up + down > 0.0 { 100.0 * up / (up + down) } else { 50.0 })
    }
}

/// Average true range, in the unit of the prices.
///
/// ```
/// use liqsql::model::indicators::Atr;
///
/// let mut atr = Atr::new(2);
/// assert_eq!(atr.next(12.0, 10.0, 11.0), None);
/// // It opened with a gap: from the last close, 11, up to 15. The mean of 2 and 4.
/// assert_eq!(atr.next(15.0, 14.0, 14.0), Some(3.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Atr {
    last_close: Option<f64>,
    average: WilderAverage,
}

impl Atr {
    /// Begins a series. `periods` is at least 1.
    pub fn new(periods: u32) -> Atr {
        Atr { last_close: None, average: WilderAverage::new(periods) }
    }

    /// Takes the next bar, whose prices are finite; returns the average, or none while it warms up.
    pub fn next(&mut self, high: f64, low: f64, close: f64) -> Option<f64> {
        let last = self.last_close.replace(close);
        let range = last.map_or(high - low, |last| high.max(last) - low.min(last));
        self.average.next(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with numbers that a source prints with some decimals; `None` where it prints nothing.
    fn same_as_published(found: &[Option<f64>], published: &[f64], decimals: i32) {
        let first = found.iter().position(Option::is_some).expect("it warms up");
        let found: Vec<f64> = found[first..].iter().map(|value| value.expect("no gaps")).collect();
        assert_eq!(found.len(), published.len());
        let half_a_digit = 0.5 * 10f64.powi(-decimals);
        for (i, (found, published)) in found.iter().zip(published).enumerate() {
            assert!((found - published).abs() <= half_a_digit * 1.000001, "{i}: {found} instead of {published}");
        }
    }

    /// StockCharts, ChartSchool, "Relative Strength Index (RSI)", worksheet cs-rsi.xls: QQQQ, 14 days, December 2009 to
    /// February 2010. The closes are printed with four decimals, the index here with two.
    #[test]
    fn rsi_of_the_worksheet() {
        let closes = [
            44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
            45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515,
            45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
        ];
        let published = [
            70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87,
            45.46, 37.30, 33.08, 37.77,
        ];
        let mut rsi = Rsi::new(14);
        let found = closes.map(|close| rsi.next(close));
        assert_eq!(found.iter().position(Option::is_some), Some(14));
        same_as_published(&found, &published, 2);
    }

    /// StockCharts, ChartSchool, "Average True Range (ATR)", worksheet cs-atr.xls: QQQQ, 14 days, April and May 2010. The
    /// bars are printed whole, the average with six decimals.
    #[test]
    fn atr_of_the_worksheet() {
        let bars = [
            (48.70, 47.79, 48.16),
            (48.72, 48.14, 48.61),
            (48.90, 48.39, 48.75),
            (48.87, 48.37, 48.63),
            (48.82, 48.24, 48.74),
            (49.05, 48.635, 49.03),
            (49.20, 48.94, 49.07),
            (49.35, 48.86, 49.32),
            (49.92, 49.50, 49.91),
            (50.19, 49.87, 50.13),
            (50.12, 49.20, 49.53),
            (49.66, 48.90, 49.50),
            (49.88, 49.43, 49.75),
            (50.19, 49.725, 50.03),
            (50.36, 49.26, 50.31),
            (50.57, 50.09, 50.52),
            (50.65, 50.30, 50.41),
            (50.43, 49.21, 49.34),
            (49.63, 48.98, 49.37),
            (50.33, 49.61, 50.23),
            (50.29, 49.20, 49.2375),
            (50.17, 49.43, 49.93),
            (49.32, 48.08, 48.43),
            (48.50, 47.64, 48.18),
            (48.3201, 41.55, 46.57),
            (46.80, 44.2833, 45.41),
            (47.80, 47.31, 47.77),
            (48.39, 47.20, 47.72),
            (48.66, 47.90, 48.62),
            (48.79, 47.7301, 47.85),
        ];
        let published = [
            0.555, 0.593929, 0.585791, 0.568949, 0.615452, 0.617920, 0.642354, 0.674329, 0.692770, 0.775429, 0.781470,
            1.209229, 1.302620, 1.380290, 1.366698, 1.336219, 1.316482,
        ];
        let mut atr = Atr::new(14);
        let found = bars.map(|(high, low, close)| atr.next(high, low, close));
        assert_eq!(found.iter().position(Option::is_some), Some(13));
        same_as_published(&found, &published, 6);
    }

    /// StockCharts, ChartSchool, "Moving Averages - Simple and Exponential", worksheet cs-movavg.xls: Intel, 10 days,
    /// March to May 2010. The prices are printed with four decimals, the average with two.
    #[test]
    fn ema_of_the_worksheet() {
        let closes = [
            22.2734, 22.1940, 22.0847, 22.1741, 22.1840, 22.1344, 22.2337, 22.4323, 22.2436, 22.2933, 22.1542, 22.3926,
            22.3816, 22.6109, 23.3558, 24.0519, 23.7530, 23.8324, 23.9516, 23.6338, 23.8225, 23.8722, 23.6537, 23.1870,
            23.0976, 23.3260, 22.6805, 23.0976, 22.4025, 22.1725,
        ];
        let published = [
            22.22, 22.21, 22.24, 22.27, 22.33, 22.52, 22.80, 22.97, 23.13, 23.28, 23.34, 23.43, 23.51, 23.54, 23.47,
            23.40, 23.39, 23.26, 23.23, 23.08, 22.92,
        ];
        let mut ema = Ema::new(10);
        let found = closes.map(|close| ema.next(close));
        assert_eq!(found.iter().position(Option::is_some), Some(9));
        same_as_published(&found, &published, 2);
    }

    #[test]
    fn of_one_period_each_is_the_last_value() {
        let (mut ema, mut rsi, mut atr) = (Ema::new(1), Rsi::new(1), Atr::new(1));
        assert_eq!([3.0, 7.0, 5.0].map(|value| ema.next(value)), [Some(3.0), Some(7.0), Some(5.0)]);
        assert_eq!([3.0, 7.0, 5.0, 5.0].map(|value| rsi.next(value)), [None, Some(100.0), Some(0.0), Some(50.0)]);
        assert_eq!(atr.next(9.0, 7.0, 8.0), Some(2.0));
        assert_eq!(atr.next(6.0, 5.0, 5.0), Some(3.0));
    }

    #[test]
    fn a_series_that_stands_still_is_neither_up_nor_down() {
        let mut rsi = Rsi::new(14);
        let last = (0..100).map(|_| rsi.next(7.0)).last();
        assert_eq!(last, Some(Some(50.0)));
    }

    /// Against the definitions written as sums: an EMA is the seed and every later value with a weight that halves and
    /// halves again, and nothing of it is lost over a long series.
    #[test]
    fn a_long_series_does_not_drift() {
        let values: Vec<f64> = (0..200_000).map(|i| 30_000.0 + 1000.0 * (f64::from(i) * 0.37).sin()).collect();
        let (mut ema, mut rsi) = (Ema::new(50), Rsi::new(14));
        let (mut last_ema, mut last_rsi) = (0.0, 0.0);
        for value in &values {
            last_ema = ema.next(*value).unwrap_or_default();
            last_rsi = rsi.next(*value).unwrap_or_default();
        }
        // The oldest of these weighs (49/51)^3000 and (13/14)^3000, which is nothing.
        let recent = &values[values.len() - 3000..];
        let (mut sum, mut weight) = (0.0, 1.0);
        for value in recent.iter().rev() {
            sum += value * weight * 2.0 / 51.0;
            weight *= 1.0 - 2.0 / 51.0;
        }
        assert!((last_ema / sum - 1.0).abs() < 1e-13, "{last_ema} {sum}");
        let (mut up, mut down, mut weight) = (0.0, 0.0, 1.0);
        for pair in recent.windows(2).rev() {
            up += weight * (pair[1] - pair[0]).max(0.0);
            down += weight * (pair[0] - pair[1]).max(0.0);
            weight *= 13.0 / 14.0;
        }
        assert!((last_rsi - 100.0 * up / (up + down)).abs() < 1e-11, "{last_rsi}");
    }
}

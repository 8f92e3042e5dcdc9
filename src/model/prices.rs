//! The internal price axis: buckets of 2 basis points in the logarithm of price.
//!
//! Bucket `k` covers `[k·w, (k+1)·w)` of ln(price), `w` = 0.0002; its centre is `(k+½)·w`. Everything that stands is
//! held in these buckets; display cells are a rebinning. No exponential is taken per bucket and bar: the table of
//! centre prices grows with the range of prices that was seen, and is shared by all ladders of a book.

/// Width of a bucket in ln(price).
pub const BUCKET_WIDTH: f64 = 2e-4;

/// Buckets in a unit of ln(price).
const BUCKETS_PER_UNIT: f64 = 5000.0;

/// Buckets added beyond what is needed when a table grows, so that a drifting market grows it rarely.
const SLACK: i32 = 1024;

/// Returns the bucket that holds `ln_price`.
#[inline]
pub fn bucket_of(ln_price: f64) -> i32 {
    /// Farther from a whole number than rounding can move the product, for any price that a double holds.
    const NEAR: f64 = 1e-6;
    // A product and a truncation instead of a division and a call of the C library: this is done for every cohort.
    let product = ln_price * BUCKETS_PER_UNIT;
    let truncated = product as i32;
    let below = truncated - i32::from(f64::from(truncated) > product);
    let fraction = product - f64::from(below);
    if (NEAR..=1.0 - NEAR).contains(&fraction) { below } else { exact_bucket_of(ln_price) }
}

#[cold]
fn exact_bucket_of(ln_price: f64) -> i32 {
    (ln_price / BUCKET_WIDTH).floor() as i32
}

/// Returns the lowest bucket whose centre is at or above `ln_price`.
#[inline]
pub fn first_centre_at_or_above(ln_price: f64) -> i32 {
    (ln_price / BUCKET_WIDTH - 0.5).ceil() as i32
}

/// Returns the highest bucket whose centre is at or below `ln_price`.
#[inline]
pub fn last_centre_at_or_below(ln_price: f64) -> i32 {
    (ln_price / BUCKET_WIDTH - 0.5).floor() as i32
}

/// Returns the price at the centre of a bucket.
pub fn centre(bucket: i32) -> f64 {
    ((f64::from(bucket) + 0.5) * BUCKET_WIDTH).exp()
}

/// Returns the price at the lower edge of a bucket.
fn edge(bucket: i32) -> f64 {
    (f64::from(bucket) * BUCKET_WIDTH).exp()
}

/// Centre prices of a contiguous range of buckets.
///
/// Invariant: the values depend on the bucket alone, never on the order in which the table grew, so that a book
/// resumed elsewhere computes the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    first: i32,
    centres: Vec<f64>,
    /// Lower edges; one more than centres.
    edges: Vec<f64>,
}

impl Prices {
    /// Makes the table cover `low ..= high`.
    #[inline]
    pub fn cover(&mut self, low: i32, high: i32) {
        if low < self.first || high >= self.end() {
            self.grow(low, high);
        }
    }

    #[cold]
    fn grow(&mut self, low: i32, high: i32) {
        if self.centres.is_empty() {
            self.first = low - SLACK;
            self.extend_to(high + SLACK);
            return;
        }
        if low < self.first {
            let first = low - SLACK;
            let added = first..self.first;
            self.centres.splice(0..0, added.clone().map(centre));
            self.edges.splice(0..0, added.map(edge));
            self.first = first;
        }
        if high >= self.end() {
            self.extend_to(high + SLACK);
        }
    }

    fn extend_to(&mut self, last: i32) {
        let from = self.end();
        self.centres.extend((from..=last).map(centre));
        self.edges.truncate((from - self.first) as usize);
        self.edges.extend((from..=last + 1).map(edge));
    }

    fn end(&self) -> i32 {
        self.first + self.centres.len() as i32
    }

    /// Returns the centre prices of `low ..= high`, which must be covered.
    #[inline]
    pub fn centres(&self, low: i32, high: i32) -> &[f64] {
        &self.centres[(low - self.first) as usize..=(high - self.first) as usize]
    }

    /// Returns the sum of the centre prices of `low ..= high`, which must be covered, in constant time.
    ///
    /// The centres are a geometric series: their sum is the difference of the outer edges times a constant. The
    /// relative error stays below 1e-10, the rounding of the exponent over the width of a bucket.
    #[inline]
    pub fn sum(&self, low: i32, high: i32) -> f64 {
        // exp(w/2) / (exp(w) − 1) = 1 / (2·sinh(w/2)).
        const PER_EDGE: f64 = 4_999.999_991_666_667;
        (self.edges[(high + 1 - self.first) as usize] - self.edges[(low - self.first) as usize]) * PER_EDGE
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        (self.centres.capacity() + self.edges.capacity()) * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_centres_agree() {
        for price in [1e-8f64, 0.07, 1.0, 3_210.5, 98_765.4, 1e7] {
            let bucket = bucket_of(price.ln());
            assert!((centre(bucket) / price - 1.0).abs() <= 1.001e-4);
            assert_eq!(first_centre_at_or_above(centre(bucket).ln() - 1e-9), bucket);
            assert_eq!(last_centre_at_or_below(centre(bucket).ln() + 1e-9), bucket);
        }
    }

    #[test]
    fn the_table_does_not_depend_on_how_it_grew() {
        let mut at_once = Prices::default();
        at_once.cover(-9000, 9000);
        let mut grown = Prices::default();
        for (low, high) in [(10, 20), (-2000, 5), (3000, 3001), (-9000, -8000), (8000, 9000)] {
            grown.cover(low, high);
        }
        assert_eq!(grown.centres(-9000, 9000), at_once.centres(-9000, 9000));
        assert_eq!(grown.sum(-9000, 9000), at_once.sum(-9000, 9000));
    }

    #[test]
    fn a_sum_is_the_sum() {
        let mut prices = Prices::default();
        prices.cover(57_000, 58_000);
        for (low, high) in [(57_000, 57_000), (57_100, 57_107), (57_000, 58_000)] {
            let sum: f64 = prices.centres(low, high).iter().sum();
            assert!((prices.sum(low, high) / sum - 1.0).abs() < 1e-10);
        }
    }
}

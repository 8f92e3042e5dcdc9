//! What a map says stands in equal bins of ln(price): a book, or cells that were read back.
//!
//! ```text
//!   buckets, cells   ▕▆▆▆▆▆▏▃▃▃▃▃▏█████▏     each is spread evenly over what it covers: a bucket of the book in ln(price),
//!   bins           ▏   ▏   ▏   ▏   ▏         a cell of a map in price, as its readers do
//! ```
//!
//! Invariant: what lies within the bins is added whole, none of it twice, and what only touches a bin adds nothing to it.
//! So a bin of which the map says nothing holds zero exactly, and bins of equal amounts are equal as far as their sums round.

use crate::model::book::{Book, EMPTY_SHARE};
use crate::model::prices::BUCKET_WIDTH;
use crate::model::replay::Replay;
use crate::model::side::Side;
use crate::model::snapshot::Snapshot;

/// Limits nearer to the limit of a bin than this part of its width are that limit.
const TOUCHING: f64 = 1e-6;

/// Something that says how many USD stand where.
pub trait Map {
    /// Adds the USD of a side to bins of equal `width` in ln(price), the first of which begins at `ln_low`.
    fn add_to_bins(&self, side: Side, ln_low: f64, width: f64, bins: &mut [f64]);
}

/// Returns a limit in bins from the first one on.
fn place(ln_price: f64, ln_low: f64, width: f64) -> f64 {
    let place = (ln_price - ln_low) / width;
    let whole = place.round();
    if (place - whole).abs() < TOUCHING { whole } else { place }
}

/// Returns the bins that `from .. to`, in bins, overlaps.
fn overlapped(from: f64, to: f64, bins: usize) -> std::ops::Range<usize> {
    let end = to.ceil().clamp(0.0, bins as f64) as usize;
    (from.floor().max(0.0) as usize).min(end)..end
}

/// Spreads an amount evenly in ln(price) over `ln_from .. ln_to`, as far as bins are there.
pub(super) fn spread(amount: f64, (ln_from, ln_to): (f64, f64), ln_low: f64, width: f64, bins: &mut [f64]) {
    let (from, to) = (place(ln_from, ln_low, width), place(ln_to, ln_low, width));
    for i in overlapped(from, to, bins.len()) {
        let overlap = to.min((i + 1) as f64) - from.max(i as f64);
        bins[i] += amount * (overlap / (to - from));
    }
}

/// As it stands; after [`Replay::begin`] of a bar that is what stands before the bar.
///
/// [`Replay::begin`]: crate::model::replay::Replay::begin
impl Map for Book {
    fn add_to_bins(&self, side: Side, ln_low: f64, width: f64, bins: &mut [f64]) {
        let Some((occupied_low, occupied_high)) = self.occupied(side) else { return };
        let ln_high = ln_low + width * bins.len() as f64;
        let low = ((ln_low / BUCKET_WIDTH).floor() as i32).max(occupied_low);
        let high = ((ln_high / BUCKET_WIDTH).ceil() as i32).min(occupied_high);
        if low > high {
            return;
        }
        // What is empty in a frame of the book is empty here.
        let empty = self.quantity(side) * EMPTY_SHARE;
        let mut quantities = vec![0.0; (high - low + 1) as usize];
        for tier in 0..self.leverages().len() {
            let (first, stored, scale) = self.part(side, tier, low, high);
            for (quantity, stored) in quantities.iter_mut().skip((first - low) as usize).zip(stored) {
                let stands = stored * scale;
                *quantity += if stands < empty { 0.0 } else { stands };
            }
        }
        let factor = self.usd_factor();
        for ((bucket, quantity), price) in (low..=high).zip(quantities).zip(self.prices().centres(low, high)) {
            if quantity > 0.0 {
                let limits = (f64::from(bucket) * BUCKET_WIDTH, f64::from(bucket + 1) * BUCKET_WIDTH);
                spread(quantity * price * factor, limits, ln_low, width, bins);
            }
        }
    }
}

impl Map for Replay<Book> {
    fn add_to_bins(&self, side: Side, ln_low: f64, width: f64, bins: &mut [f64]) {
        self.standing().add_to_bins(side, ln_low, width, bins);
    }
}

/// A cell holds positions on their own side of the frame's price only, spread evenly in price. The cells must be sorted.
impl Map for Snapshot {
    fn add_to_bins(&self, side: Side, ln_low: f64, width: f64, bins: &mut [f64]) {
        let edge = |i: usize| (ln_low + i as f64 * width).exp();
        for cell in self.side(side) {
            let (low, high) = cell.own_part(self.price);
            let (from, to) = (place(low.ln(), ln_low, width), place(high.ln(), ln_low, width));
            if cell.usd <= 0.0 || low > cell.high || high < cell.low {
                continue;
            }
            if from < to {
                for i in overlapped(from, to, bins.len()) {
                    let lower = if from >= i as f64 { low } else { edge(i) };
                    let upper = if to <= (i + 1) as f64 { high } else { edge(i + 1) };
                    bins[i] += cell.usd * ((upper - lower) / (high - low));
                }
            } else {
                // What stands at the price itself is in the bin that begins there: below for longs, above for shorts.
                let bin = if side == Side::Long { from.ceil() - 1.0 } else { from.floor() };
                if bin >= 0.0
                    && let Some(bin) = bins.get_mut(bin as usize)
                {
                    *bin += cell.usd;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bar::Bar;
    use crate::model::parameters::Parameters;
    use crate::model::snapshot::PriceCell;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs()
    }

    #[test]
    fn five_buckets_are_two_cells_of_five_basis_points() {
        let mut bins = [0.0; 4];
        for bucket in 500..505 {
            let limits = (f64::from(bucket) * BUCKET_WIDTH, f64::from(bucket + 1) * BUCKET_WIDTH);
            spread(1.0, limits, 199.0 * 5e-4, 5e-4, &mut bins);
        }
        // 500 × 2 bp is the lower limit of cell 200; the middle bucket is halved, and nothing spills over.
        assert_eq!((bins[0], bins[3]), (0.0, 0.0));
        assert!(near(bins[1], 2.5) && near(bins[2], 2.5), "{bins:?}");
    }

    #[test]
    fn a_book_and_its_cells_say_the_same() {
        let mut replay = Replay::new(&Parameters::default(), 300_000, Vec::new(), Book::new(&Parameters::default()));
        let bar = |i: i64, price: f64| Bar {
            ts: i * 300_000,
            open: price,
            high: price * 1.002,
            low: price * 0.998,
            close: price,
            volume: 50.0,
            open_interest: Some(1000.0),
            open_interest_close: Some(1000.0 + i as f64),
        };
        for i in 0..50 {
            let bar = bar(i, 100.0 + (i % 7) as f64 * 0.1);
            replay.begin(&bar);
            replay.end(&bar);
        }
        let book = replay.standing();
        for side in Side::BOTH {
            // Bins that begin with a bucket: both ways give the sum of the book's buckets.
            let ln_low = if side == Side::Long { 20_000.0 * BUCKET_WIDTH } else { 23_026.0 * BUCKET_WIDTH };
            let (width, n) = (30.0 * BUCKET_WIDTH, 100);
            let mut bins = vec![0.0; n];
            replay.add_to_bins(side, ln_low, width, &mut bins);
            let mut expected = vec![0.0; n];
            let first = (ln_low / BUCKET_WIDTH).round() as i32;
            for tier in 0..book.leverages().len() {
                for (bucket, quantity) in book.buckets(side, tier) {
                    let bin = (bucket - first).div_euclid(30);
                    if (0..n as i32).contains(&bin) {
                        expected[bin as usize] += quantity * crate::model::prices::centre(bucket);
                    }
                }
            }
            assert!(expected.iter().sum::<f64>() > 0.0);
            assert!(bins.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{side}");
            // As cells of those limits, read back.
            let cells = bins.iter().enumerate().map(|(i, usd)| PriceCell {
                side,
                leverage: None,
                low: (ln_low + i as f64 * width).exp(),
                high: (ln_low + (i + 1) as f64 * width).exp(),
                usd: *usd,
            });
            let snapshot = Snapshot { ts: 0, price: None, cells: cells.collect() };
            let mut again = vec![0.0; n];
            snapshot.add_to_bins(side, ln_low, width, &mut again);
            assert_eq!(again, bins);
        }
    }

    #[test]
    fn cells_are_cut_at_the_price() {
        let cell = |side, low, high, usd| PriceCell { side, leverage: None, low, high, usd };
        let snapshot = Snapshot {
            ts: 0,
            price: Some(100.0),
            cells: vec![
                cell(Side::Long, 98.0, 102.0, 8.0),
                cell(Side::Long, 100.0, 102.0, 1.0),
                cell(Side::Long, 101.0, 102.0, 99.0),
                cell(Side::Short, 98.0, 102.0, 16.0),
            ],
        };
        let (ln_low, width) = (0.99f64.ln() + 100f64.ln(), -(0.99f64.ln()));
        let mut bins = [0.0; 3];
        snapshot.add_to_bins(Side::Long, ln_low, width, &mut bins);
        // Half of the first lies within 99 to 100; the second touches the price from above: what is there is at the price.
        assert!(near(bins[0], 5.0) && bins[1] == 0.0 && bins[2] == 0.0, "{bins:?}");
        let mut bins = [0.0; 3];
        snapshot.add_to_bins(Side::Short, ln_low, width, &mut bins);
        // Shorts from 100 to 102: half of what is between goes by price, 1/0.99 of the first bin's 100.
        assert!(bins[0] == 0.0 && near(bins[1], 8.0 * (100.0 / 0.99 - 100.0)), "{bins:?}");
        assert!(near(bins[1] + bins[2], 16.0), "{bins:?}");
    }
}

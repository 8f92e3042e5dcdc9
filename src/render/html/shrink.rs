//! A grid larger than any screen made smaller before it is embedded: the largest of a block of cells stands for the block.
//!
//! Sums would show amounts that stand at no price, and means would wash out the thin levels that matter most. Times and
//! prices stay where they are: a block of three columns is one column of thrice the step.

use std::borrow::Cow;
use std::ops::Range;

use super::super::frame::{Band, Heatmap, PriceAxis, Sides, TimeAxis};

/// Columns and rows that a page holds of one grid; more than a screen can show.
pub(super) const MOST: (usize, usize) = (1_600, 1_000);
/// Values that a page holds in all its grids: some hundred megabytes of text.
const MOST_VALUES: usize = 32_000_000;
/// Fewer columns and rows than these would show nothing any more.
const LEAST: usize = 100;

/// How many columns and how many rows became one.
pub(super) type Factors = (usize, usize);

/// The columns and rows that each of the grids may have so that all fit on one page.
pub(super) fn most_for(heatmaps: &[&Heatmap]) -> (usize, usize) {
    let mut most = MOST;
    let values = |most: (usize, usize)| -> usize {
        let of = |heatmap: &&Heatmap| {
            let (across, along) = factors(heatmap, most);
            let cells = heatmap.time.count.div_ceil(across) * heatmap.price.count.div_ceil(along);
            cells * (1 + heatmap.bands.len())
        };
        heatmaps.iter().map(of).sum()
    };
    while values(most) > MOST_VALUES && most.1 / 2 >= LEAST {
        most = (most.0 / 2, most.1 / 2);
    }
    most
}

fn factors(heatmap: &Heatmap, most: (usize, usize)) -> Factors {
    (heatmap.time.count.div_ceil(most.0).max(1), heatmap.price.count.div_ceil(most.1).max(1))
}

/// The heatmap with at most so many columns and rows, and how many became one. Amounts that belong to the whole
/// ([`Heatmap::max_usd`], [`Heatmap::last_usd`]) stay as they are.
pub(super) fn shrunk(heatmap: &Heatmap, most: (usize, usize)) -> (Cow<'_, Heatmap>, Factors) {
    let (across, along) = factors(heatmap, most);
    if (across, along) == (1, 1) {
        return (Cow::Borrowed(heatmap), (1, 1));
    }
    let columns = blocks(heatmap.time.count, across);
    let rows = blocks(heatmap.price.count, along);
    let bands = heatmap.bands.iter();
    let small = Heatmap {
        exchanges: heatmap.exchanges.clone(),
        symbol: heatmap.symbol.clone(),
        origin: heatmap.origin.clone(),
        time: TimeAxis {
            first_ms: heatmap.time.first_ms,
            step_ms: heatmap.time.step_ms.saturating_mul(across as i64),
            count: columns.len(),
        },
        price: PriceAxis { low: heatmap.price.low, step: heatmap.price.step * along as f64, count: rows.len() },
        cells: pooled(&heatmap.cells, heatmap.price.count, &columns, &rows, 0.0, f64::max),
        sides: pooled(&heatmap.sides, heatmap.price.count, &columns, &rows, Sides::NONE, Sides::with),
        bands: bands
            .map(|band| Band {
                name: band.name.clone(),
                cells: pooled(&band.cells, heatmap.price.count, &columns, &rows, 0.0, f64::max),
            })
            .collect(),
        is_present: columns.iter().map(|block| within(&heatmap.is_present, block).contains(&true)).collect(),
        // The price at the beginning of the block, as that of a column is the one at its beginning.
        current: columns.iter().map(|block| within(&heatmap.current, block).iter().find_map(|price| *price)).collect(),
        candles: match heatmap.candles.is_empty() {
            true => Vec::new(),
            false => columns.iter().map(|block| heatmap.candle(block.clone())).collect(),
        },
        pools: heatmap.pools.clone(),
        max_usd: heatmap.max_usd,
        last_usd: heatmap.last_usd,
        ignored_rows: heatmap.ignored_rows,
    };
    (Cow::Owned(small), (across, along))
}

fn blocks(count: usize, size: usize) -> Vec<Range<usize>> {
    (0..count).step_by(size).map(|first| first..(first + size).min(count)).collect()
}

fn within<'a, T>(values: &'a [T], block: &Range<usize>) -> &'a [T] {
    values.get(block.clone()).unwrap_or_default()
}

fn pooled<T: Copy>(
    grid: &[T],
    height: usize,
    columns: &[Range<usize>],
    rows: &[Range<usize>],
    nothing: T,
    both: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(columns.len() * rows.len());
    for columns in columns {
        for rows in rows {
            let parts = columns
                .clone()
                .flat_map(|column| within(grid, &(column * height + rows.start..column * height + rows.end)));
            out.push(parts.copied().fold(nothing, &both));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::Candle;
    use super::*;

    fn heatmap(columns: usize, rows: usize) -> Heatmap {
        Heatmap {
            time: TimeAxis { first_ms: 1_000, step_ms: 10, count: columns },
            price: PriceAxis { low: 50.0, step: 0.5, count: rows },
            cells: (0..columns * rows).map(|index| (index % 97) as f64).collect(),
            sides: vec![Sides::LONG; columns * rows],
            is_present: vec![true; columns],
            current: (0..columns).map(|column| Some(column as f64)).collect(),
            ..Heatmap::default()
        }
    }

    #[test]
    fn a_grid_that_fits_is_not_touched() {
        let heatmap = heatmap(20, 30);
        let (small, factors) = shrunk(&heatmap, (20, 30));
        assert!(matches!(small, Cow::Borrowed(_)));
        assert_eq!(factors, (1, 1));
    }

    #[test]
    fn the_largest_cell_of_a_block_stays_at_its_time_and_price() {
        let mut heatmap = heatmap(7, 5);
        heatmap.cells = vec![1.0; 35];
        heatmap.cells[4 * 5 + 3] = 9.0;
        heatmap.sides[4 * 5 + 2] = Sides::SHORT;
        heatmap.is_present[6] = false;
        let candle = |open, high, low, close| Some(Candle { open, high, low, close });
        heatmap.candles = vec![None; 7];
        heatmap.candles[3] = candle(1.0, 3.0, 0.5, 2.0);
        heatmap.candles[5] = candle(2.0, 4.0, 1.0, 3.0);
        heatmap.bands = vec![Band { name: "100x".to_owned(), cells: heatmap.cells.clone() }];
        let (small, factors) = shrunk(&heatmap, (3, 3));
        assert_eq!(factors, (3, 2));
        assert_eq!(small.time, TimeAxis { first_ms: 1_000, step_ms: 30, count: 3 });
        assert_eq!(small.price, PriceAxis { low: 50.0, step: 1.0, count: 3 });
        assert_eq!(small.cells, [1.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(small.bands[0].cells, small.cells);
        assert_eq!(small.sides[4].bits(), 3);
        assert_eq!(small.is_present, [true, true, false]);
        assert_eq!(small.current, [Some(0.0), Some(3.0), Some(6.0)]);
        assert_eq!(small.candles, [None, candle(1.0, 4.0, 0.5, 3.0), None]);
    }

    #[test]
    fn every_maximum_survives() {
        let heatmap = heatmap(3_210, 2_001);
        let (small, factors) = shrunk(&heatmap, MOST);
        assert_eq!(factors, (3, 3));
        assert_eq!((small.time.count, small.price.count), (1_070, 667));
        for (column, cells) in heatmap.cells.chunks_exact(2_001).enumerate().step_by(17) {
            for (row, usd) in cells.iter().enumerate() {
                assert!(small.cells[column / 3 * 667 + row / 3] >= *usd);
            }
        }
    }

    #[test]
    fn many_large_grids_share_the_page() {
        let one = heatmap(1_600, 1_000);
        assert_eq!(most_for(&[&one]), MOST);
        assert_eq!(most_for(&vec![&one; 64]), (800, 500));
    }
}

//! A grid larger than any screen made smaller before it is embedded: the largest of a block of cells stands for the block.
//!
//! Sums would show amounts that stand at no price, and means would wash out the thin levels that matter most. Times and
//! prices stay where they are: a block of three columns is one column of thrice the step.
//!
//! No mean, count or sum can be worked out from maxima: [`Totals`] are those of the whole grid.

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
/// ([`Heatmap::last_usd`]) stay as they are.
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
        last_usd: heatmap.last_usd,
        ignored_rows: heatmap.ignored_rows,
    };
    (Cow::Owned(small), (across, along))
}

/// What the columns of a smaller grid no longer tell of the whole one; each list has an entry per column of the smaller.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Totals {
    /// Of the cells at the prices asked for: their sum, how many are not empty, and the largest.
    pub(super) sums: Vec<f64>,
    pub(super) counts: Vec<f64>,
    pub(super) largest: Vec<f64>,
    /// All that stands at [`shown_columns`], at any price.
    pub(super) longs: Vec<f64>,
    pub(super) shorts: Vec<f64>,
}

/// Sums up a grid of a heatmap, all cells or a band, by blocks of so many columns. Only `rows` count, except for what
/// stands.
pub(super) fn totals(heatmap: &Heatmap, grid: &[f64], across: usize, rows: &Range<usize>) -> Totals {
    let height = heatmap.price.count;
    let mut totals = Totals::default();
    for block in blocks(heatmap.time.count, across) {
        let cells = block.flat_map(|column| within(grid, &(column * height + rows.start..column * height + rows.end)));
        let (mut sum, mut count, mut largest) = (0.0, 0.0, 0.0f64);
        for &usd in cells.filter(|usd| **usd > 0.0) {
            sum += usd;
            count += 1.0;
            largest = largest.max(usd);
        }
        totals.sums.push(sum);
        totals.counts.push(count);
        totals.largest.push(largest);
    }
    (totals.longs, totals.shorts) =
        shown_columns(heatmap, across).into_iter().map(|column| standing(heatmap, grid, column)).unzip();
    totals
}

/// The column of the whole grid whose sums stand for a block of columns: the last one that has data.
pub(super) fn shown_columns(heatmap: &Heatmap, across: usize) -> Vec<usize> {
    let last = |block: Range<usize>| {
        let is_present = within(&heatmap.is_present, &block);
        block.start + is_present.iter().rposition(|is_present| *is_present).unwrap_or(block.len() - 1)
    };
    blocks(heatmap.time.count, across).into_iter().map(last).collect()
}

/// Long and short notional of one column of a grid; where both stand in a cell, price tells them apart.
pub(super) fn standing(heatmap: &Heatmap, grid: &[f64], column: usize) -> (f64, f64) {
    let PriceAxis { low, step, count } = heatmap.price;
    let range = column * count..(column + 1) * count;
    let current = heatmap.current.get(column).copied().flatten();
    let cells = within(grid, &range).iter().zip(within(&heatmap.sides, &range)).enumerate();
    cells.fold((0.0, 0.0), |(long, short), (row, (&usd, &sides))| match (sides, current) {
        (Sides::LONG, _) => (long + usd, short),
        (Sides::SHORT, _) => (long, short + usd),
        (_, None) => (long + usd / 2.0, short + usd / 2.0),
        (_, Some(price)) if low + (row as f64 + 0.5) * step < price => (long + usd, short),
        (_, Some(_)) => (long, short + usd),
    })
}

/// The largest cell of the last column in which only longs stand, and that of shorts.
pub(super) fn largest_at_end(heatmap: &Heatmap, grid: &[f64]) -> (f64, f64) {
    let first = heatmap.time.count.saturating_sub(1) * heatmap.price.count;
    let largest = |side: Sides| {
        let cells = grid.iter().zip(&heatmap.sides).skip(first);
        cells.filter(|(_, sides)| **sides == side).map(|(usd, _)| *usd).fold(0.0, f64::max)
    };
    (largest(Sides::LONG), largest(Sides::SHORT))
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
    use super::super::super::samples;
    use super::*;

    fn heatmap(columns: usize, rows: usize) -> Heatmap {
        Heatmap {
            time: TimeAxis { first_ms: 1_000, step_ms: 10, count: columns },
            price: PriceAxis { low: 50.0, step: 0.5, count: rows },
            cells: (0..columns * rows).map(|index| (index % 97) as f64).collect(),
            sides: vec![Sides::LONG; columns * rows],
            current: (0..columns).map(|column| Some(column as f64)).collect(),
            ..samples::heatmap(columns, rows)
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
    fn totals_are_those_of_the_whole_grid() {
        let mut heatmap = heatmap(5, 4);
        // Column by column: the second one is a gap, in the last one price is between the second and the third row.
        heatmap.cells =
            [[0.0, 2.0, 4.0, 0.0], [0.0; 4], [1.0, 1.0, 1.0, 1.0], [0.0, 8.0, 0.0, 3.0], [5.0, 6.0, 7.0, 0.5]].concat();
        heatmap.sides = vec![Sides::SHORT; 20];
        heatmap.sides[16..19].copy_from_slice(&[Sides::LONG, Sides::LONG.with(Sides::SHORT), Sides::NONE]);
        heatmap.is_present[1] = false;
        heatmap.current[4] = Some(51.0);
        let all = totals(&heatmap, &heatmap.cells, 2, &(0..4));
        let expected = Totals {
            sums: vec![6.0, 15.0, 18.5],
            counts: vec![2.0, 6.0, 4.0],
            largest: vec![4.0, 8.0, 7.0],
            longs: vec![0.0, 0.0, 11.0],
            shorts: vec![6.0, 11.0, 7.5],
        };
        assert_eq!(all, expected);
        assert_eq!(shown_columns(&heatmap, 2), [0, 3, 4]);
        // Prices that are asked for restrict the mean, not what stands.
        let some = totals(&heatmap, &heatmap.cells, 2, &(1..3));
        assert_eq!(
            (some.sums, some.counts, some.largest),
            (vec![6.0, 10.0, 13.0], vec![2.0, 3.0, 2.0], vec![4.0, 8.0, 7.0])
        );
        assert_eq!((some.longs, some.shorts), (expected.longs, expected.shorts));
        assert_eq!(largest_at_end(&heatmap, &heatmap.cells), (5.0, 0.5));
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

//! Rows of a heatmap to its dense grid.
//!
//! A bucket wider than the smallest one is spread over the rows it covers in proportion, so that the sum over a column is
//! what the rows say.

use std::collections::{BTreeMap, BTreeSet};

use super::super::frame::{Band, Heatmap, PoolSide, PriceAxis, Sides, TimeAxis};
use super::super::{RenderError, axis};
use super::MOST_CELLS;
use super::cells::{Cell, Cells};
use super::leverages::Leverages;

impl Cells {
    pub(super) fn heatmap(&self, with_bands: bool) -> Result<Heatmap, RenderError> {
        let instants: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.ts).collect();
        let (time_step, columns) = time_steps(&instants);
        let (low, price_step, rows) = price_steps(&self.rows);
        let leverages = match with_bands {
            true => Leverages::of(self.rows.iter().map(|row| row.leverage)),
            false => Leverages::default(),
        };
        let grids = 1 + leverages.names.len() as u64;
        // A wide bucket is written to all rows that it covers.
        let covered: f64 = self.rows.iter().map(|row| (row.high - row.low) / price_step).sum();
        let is_too_much = covered * grids as f64 > 4.0 * MOST_CELLS as f64;
        let cells = columns.checked_mul(rows).and_then(|cells| cells.checked_mul(grids));
        if is_too_much || cells.is_none_or(|cells| cells > MOST_CELLS) {
            return Err(RenderError::TooManyCells { columns, time_step: axis::duration(time_step), rows, price_step });
        }
        let time =
            TimeAxis { first_ms: instants.first().copied().unwrap_or(0), step_ms: time_step, count: columns as usize };
        let price = PriceAxis { low, step: price_step, count: rows as usize };

        let mut cells = vec![0.0; time.count * price.count];
        let mut sides = vec![Sides::NONE; cells.len()];
        let mut bands: Vec<Band> = Vec::new();
        for name in &leverages.names {
            bands.push(Band { name: name.clone(), cells: vec![0.0; cells.len()] });
        }
        let mut is_present = vec![false; time.count];
        let mut last_usd = (0.0, 0.0);
        // Each exchange repeats its price on every row of a frame: the mean is over distinct prices.
        let mut prices: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for row in &self.rows {
            let Some(column) = row.ts.and_then(|ts| time.column(ts)) else {
                continue;
            };
            is_present[column] = true;
            let within = column * price.count..(column + 1) * price.count;
            let side = if row.side == PoolSide::Long { Sides::LONG } else { Sides::SHORT };
            spread(price, row, |index, usd| {
                if let Some(cell) = cells[within.clone()].get_mut(index) {
                    *cell += usd;
                    if usd > 0.0 {
                        let sides = &mut sides[within.start + index];
                        *sides = sides.with(side);
                    }
                }
            });
            if let Some(band) = bands.get_mut(leverages.position(row.leverage)) {
                spread(price, row, |index, usd| {
                    if let Some(cell) = band.cells[within.clone()].get_mut(index) {
                        *cell += usd;
                    }
                });
            }
            if column + 1 == time.count {
                match row.side {
                    PoolSide::Long => last_usd.0 += row.usd,
                    PoolSide::Short => last_usd.1 += row.usd,
                }
            }
            if let Some(price) = row.price {
                prices.entry(column).or_default().insert(price.to_bits());
            }
        }
        let mut current = vec![None; time.count];
        for (column, prices) in prices {
            let sum: f64 = prices.iter().map(|&bits| f64::from_bits(bits)).sum();
            current[column] = Some(sum / prices.len() as f64);
        }
        Ok(Heatmap { time, price, cells, sides, bands, is_present, current, last_usd, ..Heatmap::default() })
    }
}

/// The smallest difference of two instants, and the columns needed to place them all.
fn time_steps(instants: &BTreeSet<i64>) -> (i64, u64) {
    let (Some(&first), Some(&last)) = (instants.first(), instants.last()) else {
        return (1, 0);
    };
    let step = instants
        .iter()
        .zip(instants.iter().skip(1))
        .map(|(earlier, later)| later.saturating_sub(*earlier))
        .min()
        // One frame alone says nothing about its step; an hour is what a heatmap has by default.
        .unwrap_or(3_600_000)
        .max(1);
    (step, (last.abs_diff(first) / step.unsigned_abs()).saturating_add(1))
}

/// The lowest price, the smallest bucket and the number of rows that cover all buckets.
fn price_steps(rows: &[Cell]) -> (f64, f64, u64) {
    let low = rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    let step = rows.iter().map(|row| row.high - row.low).fold(f64::INFINITY, f64::min);
    let count = (high - low) / step;
    // Edges are computed prices: they are a whole number of steps apart only up to rounding.
    if (count - count.round()).abs() < SNAP {
        (low, (high - low) / count.round(), count.round() as u64)
    } else {
        (low, step, count.ceil() as u64)
    }
}

/// Parts of a row by which an edge may miss the grid and still be meant to lie on it.
const SNAP: f64 = 1e-3;

/// Parts a bucket over the rows of the grid that it covers, in proportion.
fn spread(axis: PriceAxis, cell: &Cell, mut add: impl FnMut(usize, f64)) {
    let snapped = |price: f64| {
        let edge = (price - axis.low) / axis.step;
        if (edge - edge.round()).abs() < SNAP { edge.round() } else { edge }
    };
    let (from, to) = (snapped(cell.low), snapped(cell.high));
    let width = to - from;
    for row in from.floor().max(0.0) as usize..to.ceil() as usize {
        let covered = to.min(row as f64 + 1.0) - from.max(row as f64);
        add(row, if width > 0.0 { cell.usd * (covered / width) } else { cell.usd });
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::{cell, cells};
    use super::*;

    const LONG: PoolSide = PoolSide::Long;

    #[test]
    fn missing_instants_are_gaps() {
        let heatmap = cells(vec![
            cell(0, 100.0, 101.0, LONG, 1.0),
            cell(10, 100.0, 101.0, LONG, 2.0),
            cell(30, 102.0, 103.0, PoolSide::Short, 3.0),
        ])
        .heatmap(true)
        .unwrap();
        assert_eq!(heatmap.time, TimeAxis { first_ms: 0, step_ms: 10, count: 4 });
        assert_eq!(heatmap.price, PriceAxis { low: 100.0, step: 1.0, count: 3 });
        assert_eq!(heatmap.is_present, [true, true, false, true]);
        assert_eq!(heatmap.cells, [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!(heatmap.last_usd, (0.0, 3.0));
        assert_eq!((heatmap.sides[0], heatmap.sides[11], heatmap.sides[1]), (Sides::LONG, Sides::SHORT, Sides::NONE));
    }

    #[test]
    fn a_wide_bucket_is_spread_and_its_sum_is_kept() {
        let rows = vec![cell(0, 100.0, 101.0, LONG, 1.0), cell(0, 100.5, 102.5, LONG, 8.0)];
        assert_eq!(cells(rows).heatmap(true).unwrap().cells, [3.0, 4.0, 2.0]);
    }

    #[test]
    fn buckets_of_a_tenth_of_a_cent_land_in_their_row() {
        let rows =
            (0..1_000).map(|k| cell(0, f64::from(k) * 1e-3, f64::from(k + 1) * 1e-3, LONG, f64::from(k))).collect();
        let heatmap = cells(rows).heatmap(true).unwrap();
        assert_eq!(heatmap.price.count, 1_000);
        assert!(heatmap.cells.iter().enumerate().all(|(k, &usd)| usd == k as f64));
    }

    #[test]
    fn cells_without_a_leverage_are_a_band_of_their_own() {
        let of = |leverage, low: f64, usd| Cell { leverage, ..cell(0, low, low + 1.0, LONG, usd) };
        let rows = vec![of(Some(20.0), 100.0, 1.0), of(None, 100.0, 2.0), of(None, 101.0, 4.0)];
        let heatmap = cells(rows).heatmap(true).unwrap();
        assert_eq!(heatmap.cells, [3.0, 4.0]);
        let bands: Vec<_> = heatmap.bands.iter().map(|band| (band.name.as_str(), band.cells.as_slice())).collect();
        assert_eq!(bands, [("20x", &[1.0, 0.0][..]), ("not stated", &[2.0, 4.0])]);
        let none = cells(vec![of(None, 100.0, 2.0)]).heatmap(true).unwrap();
        assert!(none.bands.is_empty());
    }

    #[test]
    fn a_grid_that_does_not_fit_is_refused() {
        let at = |ts| cell(ts, 0.1, 0.1 + 0.2, LONG, 1.0);
        let error = cells(vec![at(0), at(1), at(3_600_000_000)]).heatmap(true).unwrap_err().to_string();
        assert!(error.contains("3600000001 time buckets of 1 ms × 1 prices of 0.2,"), "{error}");
    }
}

//! Rows of a heatmap to its dense grid.
//!
//! A bucket wider than the smallest one is spread over the rows it covers in proportion, so that the sum over a column is
//! what the rows say.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::super::frame::{Band, Heatmap, PoolSide, PriceAxis, Sides, TimeAxis};
use super::super::{RenderError, axis};
use super::MOST_CELLS;
use super::cells::Cells;
use super::leverages::Leverages;
use super::packed::Place;

impl Cells {
    pub(super) fn heatmap(&self, with_bands: bool) -> Result<Heatmap, RenderError> {
        let instants: BTreeSet<i64> = self.moments().filter_map(|(_, moment)| moment.ts).collect();
        let (time_step, columns) = time_steps(&instants);
        let (low, price_step, rows) = price_steps(self.places().map(|(_, place)| place.edges()));
        let leverages = match with_bands {
            true => Leverages::of(self.places().map(|(_, place)| place.leverage())),
            false => Leverages::default(),
        };
        let grids = 1 + leverages.names.len() as u64;
        // A wide bucket is written to all rows that it covers.
        let height = |(low, high): (f64, f64)| (high - low) / price_step;
        let heights: Vec<f64> = self.packed.places.iter().map(|place| height(place.edges())).collect();
        let covered: f64 = self.rows().map(|row| heights[row.place]).sum();
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
        // Each exchange repeats its price on every row of a frame: the mean is over distinct prices.
        let mut prices: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        let mut columns = vec![None; self.packed.moments.len()];
        for (position, moment) in self.moments() {
            let Some(column) = moment.ts.and_then(|ts| time.column(ts)) else { continue };
            columns[position] = Some(column);
            is_present[column] = true;
            if let Some(price) = moment.price() {
                prices.entry(column).or_default().insert(price.to_bits());
            }
        }
        let mut covers = vec![Cover::default(); self.packed.places.len()];
        for (position, place) in self.places() {
            covers[position] = Cover::of(price, place, &leverages);
        }
        let mut last_usd = (0.0, 0.0);
        for row in self.rows() {
            let Some(column) = columns[row.moment] else { continue };
            let cover = &covers[row.place];
            let within = column * price.count..(column + 1) * price.count;
            let (column_cells, column_sides) = (&mut cells[within.clone()], &mut sides[within.clone()]);
            cover.spread(row.usd, |index, usd| {
                if let (Some(cell), Some(sides)) = (column_cells.get_mut(index), column_sides.get_mut(index)) {
                    *cell += usd;
                    if usd > 0.0 {
                        *sides = sides.with(cover.side);
                    }
                }
            });
            if let Some(band) = bands.get_mut(cover.band) {
                let column_cells = &mut band.cells[within];
                cover.spread(row.usd, |index, usd| {
                    if let Some(cell) = column_cells.get_mut(index) {
                        *cell += usd;
                    }
                });
            }
            if column + 1 == time.count {
                if cover.side == Sides::LONG {
                    last_usd.0 += row.usd;
                } else {
                    last_usd.1 += row.usd;
                }
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

/// The lowest price, the smallest bucket and the number of rows that cover all buckets (low, high).
fn price_steps(buckets: impl Iterator<Item = (f64, f64)>) -> (f64, f64, u64) {
    let (mut low, mut high, mut step) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
    for (from, to) in buckets {
        low = low.min(from);
        high = high.max(to);
        step = step.min(to - from);
    }
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

/// The rows of the grid that a bucket covers, and what it adds to.
#[derive(Debug, Clone, Default)]
struct Cover {
    /// Its edges, in rows.
    from: f64,
    to: f64,
    rows: Range<usize>,
    side: Sides,
    /// Position of its band.
    band: usize,
}

impl Cover {
    fn of(axis: PriceAxis, place: &Place, leverages: &Leverages) -> Self {
        let snapped = |price: f64| {
            let edge = (price - axis.low) / axis.step;
            if (edge - edge.round()).abs() < SNAP { edge.round() } else { edge }
        };
        let (low, high) = place.edges();
        let (from, to) = (snapped(low), snapped(high));
        let rows = from.floor().max(0.0) as usize..to.ceil() as usize;
        let side = if place.side() == PoolSide::Long { Sides::LONG } else { Sides::SHORT };
        Self { from, to, rows, side, band: leverages.position(place.leverage()) }
    }

    /// Parts the bucket over its rows in proportion.
    fn spread(&self, usd: f64, mut add: impl FnMut(usize, f64)) {
        let width = self.to - self.from;
        // Most buckets are one row.
        if self.rows.len() == 1 && width == 1.0 {
            return add(self.rows.start, usd);
        }
        for row in self.rows.clone() {
            let covered = self.to.min(row as f64 + 1.0) - self.from.max(row as f64);
            add(row, if width > 0.0 { usd * (covered / width) } else { usd });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::{cell, cells};
    use super::super::packed::Cell;
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

//! The book at an instant, in display cells.
//!
//! In: a book, the current price, a price step. Out: the cells of one frame, longs first, each side by rising price.
//! Display cell `k` covers `[k·step, (k+1)·step)`; a 2 bp bucket goes whole to the cell of its centre. A side is shown
//! only on its own side of the price: what stands beyond it waits for the next bar's sweep and is counted instead.
//!
//! Invariant: the cells of a coarse grid are sums of the cells of a finer one whose step divides it.

use super::book::{Book, EMPTY_SHARE};
use super::prices::{BUCKET_WIDTH, Prices, first_centre_at_or_above, last_centre_at_or_below};
use super::side::Side;
use super::smooth::{Smoother, TooFine};
use super::snapshot::PriceCell;

/// One display cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The side of the positions.
    pub side: Side,
    /// Index of the tier, `None` for all tiers together.
    pub tier: Option<usize>,
    /// Position on the grid: the cell covers `[index·step, (index+1)·step)`.
    pub index: i64,
    /// Base quantity × liquidation price.
    pub notional_usd: f64,
}

/// Display cells over the bucket axis.
#[derive(Debug, Clone)]
pub struct Grid {
    step: f64,
    /// Lower limit of cell 0.
    origin: f64,
    /// Steps per unit where that is a whole number, so that limits print without rounding noise.
    per_unit: Option<f64>,
    first: i32,
    index: Vec<i64>,
}

/// What a frame left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hidden {
    /// Occupied buckets that stand on the wrong side of the price.
    pub beyond_price: u64,
}

/// Where a frame is taken, and what of it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Current price.
    pub price: f64,
    /// Levels farther from price than this fraction are left out.
    pub max_distance: f64,
    /// Whether tiers are kept apart.
    pub by_leverage: bool,
}

impl Grid {
    /// Makes a grid of cells `step` wide, in quote per base.
    pub fn new(step: f64) -> Grid {
        let per_unit = (1.0 / step).round();
        let per_unit = (per_unit >= 1.0 && (per_unit * step - 1.0).abs() < 1e-12).then_some(per_unit);
        Grid { step, origin: 0.0, per_unit, first: 0, index: Vec::new() }
    }

    /// Finds the grid on which cells of one height stand, as somebody else's map has it: the shortest step and origin, as
    /// a reader would write them, that give the limits of the cells. `None` where cells differ in height, or stand
    /// between each other's limits.
    pub fn of_cells(cells: &[PriceCell]) -> Option<Grid> {
        let first = cells.first()?;
        let low = cells.iter().fold(first.low, |low, cell| low.min(cell.low));
        let high = cells.iter().fold(first.high, |high, cell| high.max(cell.high));
        let count = ((high - low) / (first.high - first.low)).round();
        let rounding = 4.0 * f64::EPSILON * high;
        let step = shortest((high - low) / count, rounding / count);
        let offset = low - (low / step).round() * step;
        let origin = if offset.abs() <= rounding + 1e-6 * step {
            0.0
        } else {
            shortest(low - (low / step).floor() * step, rounding)
        };
        let grid = Grid { origin, ..Grid::new(step) };
        let stands = |cell: &PriceCell| {
            let index = grid.index_of(cell);
            (grid.price_low(index) - cell.low).abs() <= 1e-4 * step
                && (grid.price_low(index + 1) - cell.high).abs() <= 1e-4 * step
        };
        (step > 0.0 && step.is_finite() && cells.iter().all(stands)).then_some(grid)
    }

    /// Returns the position of a cell that stands on the grid.
    pub fn index_of(&self, cell: &PriceCell) -> i64 {
        ((cell.low - self.origin) / self.step).round() as i64
    }

    /// Whether another grid has the same limits.
    pub fn is_same(&self, other: &Grid) -> bool {
        self.step == other.step && self.origin == other.origin
    }

    /// Returns the step.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// Returns the lower limit of a cell; its upper limit is the lower limit of the next.
    pub fn price_low(&self, index: i64) -> f64 {
        self.origin
            + match self.per_unit {
                Some(per_unit) => index as f64 / per_unit,
                None => index as f64 * self.step,
            }
    }

    /// Returns the cell in which a price lies.
    pub fn cell_at(&self, price: f64) -> i64 {
        let above = price - self.origin;
        let mut index = match self.per_unit {
            Some(per_unit) => (above * per_unit).floor() as i64,
            None => (above / self.step).floor() as i64,
        };
        // The limits as they are printed decide, whatever the division rounds to.
        if self.price_low(index) > price {
            index -= 1;
        } else if self.price_low(index + 1) <= price {
            index += 1;
        }
        index
    }

    /// Returns the smallest step that makes sense at a price: the width of one bucket.
    pub fn smallest_step(price: f64) -> f64 {
        price * BUCKET_WIDTH.exp_m1()
    }

    /// Returns the step used where none is given: 0.1 % of a price, rounded to 1, 2 or 5 times a power of ten.
    pub fn default_step(price: f64) -> f64 {
        let wanted = price / 1000.0;
        let exponent = wanted.log10().floor();
        let power = 10f64.powi(exponent as i32);
        let mantissa = wanted / power;
        // Limits between 1, 2, 5 and 10 are their geometric means.
        let rounded = if mantissa < std::f64::consts::SQRT_2 {
            1.0
        } else if mantissa < 10f64.sqrt() {
            2.0
        } else if mantissa < 50f64.sqrt() {
            5.0
        } else {
            10.0
        };
        // Division keeps 0.2 what a reader writes as 0.2; multiplication by an inexact power does not.
        if exponent < 0.0 { rounded / 10f64.powi(-(exponent as i32)) } else { rounded * power }
    }

    fn cover(&mut self, low: i32, high: i32, prices: &Prices) {
        let end = self.first + self.index.len() as i32;
        if self.index.is_empty() || low < self.first || high >= end {
            let (low, high) =
                if self.index.is_empty() { (low, high) } else { (low.min(self.first), high.max(end - 1)) };
            self.index = prices.centres(low, high).iter().map(|price| self.cell_at(*price)).collect();
            self.first = low;
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.index.capacity() * size_of::<i64>()
    }
}

/// Returns the number of fewest digits that lies within a tolerance.
fn shortest(value: f64, tolerance: f64) -> f64 {
    let rounded = (0..17).map(|digits| format!("{value:.digits$e}").parse::<f64>().unwrap_or(value));
    rounded.into_iter().find(|rounded| (rounded - value).abs() <= tolerance).unwrap_or(value)
}

/// Writes the cells of one frame, reusing its buffers from frame to frame.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The cells: longs first; within a side by tier, then by rising price.
    pub cells: Vec<Cell>,
    /// USD of the largest cell.
    pub largest: f64,
    /// What was left out.
    pub hidden: Hidden,
    amounts: Vec<f64>,
}

impl Frame {
    /// Takes the book as it stands.
    pub fn take(&mut self, book: &Book, grid: &mut Grid, view: &View) {
        self.cells.clear();
        self.largest = 0.0;
        self.hidden = Hidden::default();
        for side in Side::BOTH {
            let Some((occupied_low, occupied_high)) = book.occupied(side) else { continue };
            let ln_price = view.price.ln();
            let (low, high) = match side {
                Side::Long => {
                    let farthest = view.price * (1.0 - view.max_distance);
                    let low = if farthest > 0.0 { first_centre_at_or_above(farthest.ln()) } else { i32::MIN };
                    (low, last_centre_at_or_below(ln_price))
                }
                Side::Short => {
                    let farthest = view.price * (1.0 + view.max_distance);
                    (first_centre_at_or_above(ln_price), last_centre_at_or_below(farthest.ln()))
                }
            };
            let beyond = match side {
                Side::Long => (high + 1, occupied_high),
                Side::Short => (occupied_low, low - 1),
            };
            self.hidden.beyond_price += count_occupied(book, side, beyond);
            let (low, high) = (low.max(occupied_low), high.min(occupied_high));
            if low > high {
                continue;
            }
            grid.cover(low, high, book.prices());
            let empty = book.quantity(side) * EMPTY_SHARE;
            if view.by_leverage {
                for tier in 0..book.leverages().len() {
                    self.add_up(book, side, tier..tier + 1, (low, high), empty);
                    self.emit(book, grid, side, Some(tier), low, high);
                }
            } else {
                self.add_up(book, side, 0..book.leverages().len(), (low, high), empty);
                self.emit(book, grid, side, None, low, high);
            }
        }
        self.largest = self.cells.iter().fold(0.0, |largest, cell| cell.notional_usd.max(largest));
    }

    /// Spreads the cells as a model does; the smoother must be one for the grid of the frame.
    ///
    /// # Errors
    ///
    /// The cells are too fine for the smoother's bandwidth.
    pub fn smooth(&mut self, smoother: &mut Smoother, price: f64) -> Result<(), TooFine> {
        smoother.spread_frame(price, &mut self.cells)?;
        self.largest = self.cells.iter().fold(0.0, |largest, cell| cell.notional_usd.max(largest));
        Ok(())
    }

    /// Sums quantities by bucket over tiers, always in the same order.
    fn add_up(&mut self, book: &Book, side: Side, tiers: std::ops::Range<usize>, range: (i32, i32), empty: f64) {
        let (low, high) = range;
        self.amounts.clear();
        self.amounts.resize((high - low + 1) as usize, 0.0);
        for tier in tiers {
            let (first, stored, scale) = book.part(side, tier, low, high);
            if stored.is_empty() {
                continue;
            }
            let amounts = &mut self.amounts[(first - low) as usize..];
            for (amount, stored) in amounts.iter_mut().zip(stored) {
                let quantity = stored * scale;
                *amount += if quantity < empty { 0.0 } else { quantity };
            }
        }
    }

    fn emit(&mut self, book: &Book, grid: &Grid, side: Side, tier: Option<usize>, low: i32, high: i32) {
        let prices = book.prices().centres(low, high);
        let indices = &grid.index[(low - grid.first) as usize..=(high - grid.first) as usize];
        let factor = book.usd_factor();
        let mut current = i64::MIN;
        let mut usd = 0.0;
        for ((&amount, &price), &index) in self.amounts.iter().zip(prices).zip(indices) {
            if index != current {
                if usd > 0.0 {
                    self.cells.push(Cell { side, tier, index: current, notional_usd: usd * factor });
                }
                current = index;
                usd = 0.0;
            }
            usd += amount * price;
        }
        if usd > 0.0 {
            self.cells.push(Cell { side, tier, index: current, notional_usd: usd * factor });
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>() + self.amounts.capacity() * size_of::<f64>()
    }
}

fn count_occupied(book: &Book, side: Side, (low, high): (i32, i32)) -> u64 {
    if low > high {
        return 0;
    }
    let occupied = |tier| book.part(side, tier, low, high).1.iter().filter(|stored| **stored > 0.0).count() as u64;
    (0..book.leverages().len()).map(occupied).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_steps_are_one_two_five() {
        for (price, step) in [
            (90_320.5, 100.0),
            (3_000.0, 2.0),
            (4_000.0, 5.0),
            (0.1359, 0.0001),
            (0.1459, 0.0002),
            (0.28, 0.0002),
            (1.0, 0.001),
            (150.0, 0.2),
        ] {
            assert_eq!(Grid::default_step(price), step, "at {price}");
        }
    }

    #[test]
    fn a_grid_is_found_from_its_cells() {
        for (step, origin) in [(0.1, 0.0), (50.0, 0.0), (1.0 / 3.0, 0.0), (0.0002, 0.0), (50.0, 12.5), (7.0, 3.0)] {
            let grid = Grid { origin, ..Grid::new(step) };
            let cell = |index: i64| PriceCell {
                side: Side::Long,
                leverage: None,
                low: grid.price_low(index),
                high: grid.price_low(index + 1),
                usd: 1.0,
            };
            let cells: Vec<PriceCell> = [9000, 9001, 9007, 12_345].map(cell).to_vec();
            let found = Grid::of_cells(&cells).unwrap();
            assert!((found.step() - step).abs() < 1e-12 * step && (found.origin - origin).abs() < 1e-9, "{found:?}");
            for cell in &cells {
                let index = found.index_of(cell);
                assert!((found.price_low(index) - cell.low).abs() < 1e-9 * cell.low);
            }
            if origin == 0.0 && step != 1.0 / 3.0 {
                assert!(found.is_same(&grid), "{step}");
            }
        }
        let cell = |low: f64, high: f64| PriceCell { side: Side::Long, leverage: None, low, high, usd: 1.0 };
        assert!(Grid::of_cells(&[cell(100.0, 101.0), cell(101.0, 103.0)]).is_none());
        assert!(Grid::of_cells(&[cell(100.0, 101.0), cell(101.5, 102.5)]).is_none());
        assert!(Grid::of_cells(&[]).is_none());
    }

    #[test]
    fn limits_print_as_a_reader_writes_them() {
        assert_eq!(Grid::new(0.1).price_low(3), 0.3);
        assert_eq!(Grid::new(0.0002).price_low(7), 0.0014);
        assert_eq!(Grid::new(50.0).price_low(1800), 90_000.0);
        assert_eq!(Grid::new(0.3).price_low(2), 0.6);
    }

    #[test]
    fn the_index_table_does_not_depend_on_how_it_grew() {
        let mut prices = Prices::default();
        prices.cover(50_000, 60_000);
        let (mut at_once, mut grown) = (Grid::new(20.0), Grid::new(20.0));
        at_once.cover(50_000, 60_000, &prices);
        for (low, high) in [(55_000, 55_100), (50_000, 51_000), (59_000, 60_000)] {
            grown.cover(low, high, &prices);
        }
        assert_eq!((at_once.first, &at_once.index), (grown.first, &grown.index));
    }
}

//! Exact levels, broad areas, or a wide book: the three models of a map.
//!
//! In: the cells of one side of a frame, on a grid of equal steps, and the current price. Out: the same USD, spread over
//! the cells around. Nothing is added, nothing is lost, and nothing crosses the price.
//!
//! ```text
//! cell i at x = ln(middle of its own part)          share of cell j = [Φ((b − x)/σ) − Φ((a − x)/σ)] / sum over j
//!                                                   a, b = ln of the limits of j, cut at the price
//! ```
//!
//! `Φ` is the normal distribution; cells within four `σ` of `x` take part, whole. Cut and renormalised at the price, so that of
//! a level beside it all stays on its side.
//!
//! | model | σ in ln(price) | what else |
//! |---|---|---|
//! | `precise` | none | the levels as they are |
//! | `zones` | 0.25 % | |
//! | `deep` | 1 % | in the estimating functions a book of its own: wicks leave a part, age closes, wider jitter |
//!
//! Vendors sell three models too and document none of them; these are named for what they do, and their values are not
//! comparable with anybody's, nor with each other's.

use std::error::Error;
use std::fmt;

use super::grid::{Cell, Grid};
use super::parameters::Parameters;
use super::side::Side;

/// Cells whose nearest limit is farther than this many `σ` take no part: beyond are 0.006 % of the mass.
const REACH: f64 = 4.0;

/// Shares that are remembered at most, 32 MB of them; the spreads of further cells are made anew for each frame.
const MOST_HELD: usize = 1 << 22;

/// Cells over which one level may be spread: a thousand times what a map in steps of 0.1 % needs for `zones`.
const MOST_CELLS_OF_A_LEVEL: f64 = 20_000.0;

/// Cells over which one side of a frame may be spread.
const MOST_CELLS_OF_A_SIDE: f64 = 1_000_000.0;

const DAY: f64 = 86_400_000.0;

/// A model of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Model {
    /// The levels as they are.
    #[default]
    Precise,
    /// Broad areas: a Gaussian of 0.25 % in ln(price).
    Zones,
    /// A wide book: a Gaussian of 1 % in ln(price), over a book with parameters of its own.
    Deep,
}

impl Model {
    /// Names as written in SQL, each with its aliases.
    pub const NAMES: &'static [&'static [&'static str]] =
        &[&["precise", "model1", "1"], &["zones", "model2", "2"], &["deep", "model3", "3"]];

    /// Reads the first of each of [`Model::NAMES`].
    pub fn from_name(name: &str) -> Option<Model> {
        [Model::Precise, Model::Zones, Model::Deep].into_iter().find(|model| model.name() == name)
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize][0]
    }

    /// Returns the standard deviation of its smoothing in ln(price); `None` where it does not smooth.
    pub fn bandwidth(self) -> Option<f64> {
        match self {
            Model::Precise => None,
            Model::Zones => Some(0.0025),
            Model::Deep => Some(0.01),
        }
    }

    /// Sets what the model changes of the book itself: nothing, apart from `deep`.
    pub fn apply(self, parameters: &mut Parameters) {
        if self == Model::Deep {
            parameters.wick_retention = 0.25;
            parameters.age_half_life = Some(30.0 * DAY);
            parameters.jitter = 0.9;
        }
    }
}

/// How a cell is spread: shares of the cells from `first` on, summing to one.
#[derive(Debug, Clone, Default)]
struct Spread {
    first: i64,
    shares: Vec<f64>,
}

impl Spread {
    /// Makes the sum one; leaves no shares where there is nothing to share.
    fn normalise(&mut self) {
        let total: f64 = self.shares.iter().sum();
        if total > 0.0 {
            self.shares.iter_mut().for_each(|share| *share /= total);
        } else {
            self.shares.clear();
        }
    }
}

/// The spread of a whole cell that is cut nowhere.
#[derive(Debug, Clone)]
struct Known {
    /// Where the level stands.
    middle: f64,
    spread: Spread,
    /// The same before the sum was made one: what a limit cuts off is cut from these.
    parts: Vec<f64>,
}

/// Where the spread of each cell is, by rising position.
///
/// Cells are asked for in rising order, most often one after the other, so the place after the last one found is looked at
/// first.
#[derive(Debug, Clone, Default)]
struct Places {
    sorted: Vec<(i64, usize)>,
    next: usize,
}

impl Places {
    fn get(&mut self, index: i64) -> Option<usize> {
        let at = match self.sorted.get(self.next) {
            Some((guess, _)) if *guess == index => self.next,
            _ => self.sorted.binary_search_by_key(&index, |(known, _)| *known).ok()?,
        };
        self.next = at + 1;
        Some(self.sorted[at].1)
    }

    fn insert(&mut self, index: i64, place: usize) {
        let at = self.sorted.partition_point(|(known, _)| *known < index);
        self.sorted.insert(at, (index, place));
        self.next = at + 1;
    }
}

/// Cells so fine that smoothing them would take gigabytes, or hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TooFine {
    /// Height of a cell, quote per base.
    pub step: f64,
    /// Standard deviation in ln(price).
    pub sigma: f64,
    /// Cells over which the highest level would be spread, about.
    pub level: f64,
    /// Cells over which its side would be spread, at most.
    pub side: f64,
}

impl fmt::Display for TooFine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooFine { step, sigma, level, side } = self;
        write!(
            f,
            "cells of {step} are too fine for a bandwidth of {sigma}: a level would be spread over {level:.0} of them and \
             a side over {side:.0}, at most {MOST_CELLS_OF_A_LEVEL} and {MOST_CELLS_OF_A_SIDE} are allowed"
        )
    }
}

impl Error for TooFine {}

/// Spreads cells on one grid.
///
/// ```
/// use liqsql::model::{grid::Grid, side::Side, smooth::Smoother};
/// let mut smoother = Smoother::new(Grid::new(1.0), 0.01);
/// let mut out = Vec::new();
/// // 100 USD of longs right below a price of 100 stay below it.
/// smoother.spread(Side::Long, Some(100.0), &[(99, 100.0)], &mut out)?;
/// let total: f64 = out.iter().map(|(_, usd)| usd).sum();
/// assert!((total - 100.0).abs() < 1e-9);
/// assert!(out.iter().all(|(cell, _)| *cell <= 99));
/// # Ok::<(), liqsql::model::smooth::TooFine>(())
/// ```
#[derive(Debug, Clone)]
pub struct Smoother {
    grid: Grid,
    sigma: f64,
    /// Spreads of cells too far from the price to be cut, which never change.
    known: Vec<Known>,
    places: Places,
    /// How many shares they hold.
    held: usize,
    /// The spread of a cell near the price.
    near: Spread,
    amounts: Vec<f64>,
}

impl Smoother {
    /// Makes a smoother for cells of a grid; `sigma` is in ln(price).
    pub fn new(grid: Grid, sigma: f64) -> Smoother {
        Smoother {
            grid,
            sigma,
            known: Vec::new(),
            places: Places::default(),
            held: 0,
            near: Spread::default(),
            amounts: Vec::new(),
        }
    }

    /// Returns the grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.known.capacity() * size_of::<Known>()
            + self.places.sorted.capacity() * size_of::<(i64, usize)>()
            + (self.held + self.near.shares.capacity() + self.amounts.capacity()) * size_of::<f64>()
    }

    /// Spreads the cells of one side, given as (position on the grid, USD) by rising position; appends the result in the
    /// same form. With a price, longs stay below it and shorts above.
    ///
    /// # Errors
    ///
    /// The cells are too fine for the bandwidth.
    pub fn spread(
        &mut self,
        side: Side,
        price: Option<f64>,
        cells: &[(i64, f64)],
        out: &mut Vec<(i64, f64)>,
    ) -> Result<(), TooFine> {
        self.check(cells)?;
        let reach = (REACH * self.sigma).exp();
        let (floor, ceiling) = match (price, side) {
            (None, _) => (0.0, f64::INFINITY),
            (Some(price), Side::Long) => (0.0, price),
            (Some(price), Side::Short) => (price, f64::INFINITY),
        };
        // Cells whose spreads do not meet are spread apart: what lies between them takes no memory.
        let apart = |a: &(i64, f64), b: &(i64, f64)| {
            self.grid.price_low(a.0 + 1) * reach < self.grid.price_low(b.0) / reach - self.grid.step()
        };
        let groups: Vec<&[(i64, f64)]> = cells.chunk_by(|a, b| !apart(a, b)).collect();
        for group in groups {
            self.spread_group(group, (floor, ceiling), reach, out);
        }
        Ok(())
    }

    /// Refuses cells that are too fine for the bandwidth, before anything is allocated for them.
    fn check(&self, cells: &[(i64, f64)]) -> Result<(), TooFine> {
        let (Some((lowest, _)), Some((highest, _))) = (cells.first(), cells.last()) else { return Ok(()) };
        let step = self.grid.step();
        let level = 2.0 * (REACH * self.sigma).sinh() * self.grid.price_low(highest + 1) / step + 1.0;
        let side = ((highest - lowest) as f64 + level).min(cells.len() as f64 * level);
        if level > MOST_CELLS_OF_A_LEVEL || side > MOST_CELLS_OF_A_SIDE {
            return Err(TooFine { step, sigma: self.sigma, level, side });
        }
        Ok(())
    }

    fn spread_group(
        &mut self,
        cells: &[(i64, f64)],
        (floor, ceiling): (f64, f64),
        reach: f64,
        out: &mut Vec<(i64, f64)>,
    ) {
        let (Some(&(lowest, _)), Some(&(highest, _))) = (cells.first(), cells.last()) else { return };
        let first = self.grid.cell_at(self.grid.price_low(lowest) / reach);
        let last = self.grid.cell_at(self.grid.price_low(highest + 1) * reach);
        self.amounts.clear();
        self.amounts.resize((last - first + 1) as usize, 0.0);
        for &(index, usd) in cells.iter().filter(|(_, usd)| *usd > 0.0) {
            let (low, high) = (self.grid.price_low(index), self.grid.price_low(index + 1));
            let is_whole = low >= floor && high <= ceiling;
            if is_whole && let Some(place) = self.learn(index) {
                let known = &self.known[place];
                if low / reach >= floor && high * reach <= ceiling {
                    add(&mut self.amounts, first, &known.spread, usd);
                } else {
                    let mut near = std::mem::take(&mut self.near);
                    self.cut(&mut near, known, floor, ceiling);
                    if near.shares.is_empty() {
                        self.amounts[(index - first) as usize] += usd;
                    }
                    add(&mut self.amounts, first, &near, usd);
                    self.near = near;
                }
                continue;
            }
            let mut near = std::mem::take(&mut self.near);
            let middle = (low.clamp(floor, ceiling) + high.clamp(floor, ceiling)) / 2.0;
            self.fill(&mut near, middle, floor, ceiling);
            near.normalise();
            if near.shares.is_empty() {
                // Nothing of the grid around it is on its side, by rounding: it stays.
                self.amounts[(index - first) as usize] += usd;
            }
            add(&mut self.amounts, first, &near, usd);
            self.near = near;
        }
        let spread = self.amounts.iter().enumerate().filter(|(_, usd)| **usd > 0.0);
        out.extend(spread.map(|(place, usd)| (first + place as i64, *usd)));
    }

    /// Spreads the cells of a frame of the book, which stand by side, tier and rising price, and keeps that order.
    ///
    /// # Errors
    ///
    /// The cells are too fine for the bandwidth.
    pub fn spread_frame(&mut self, price: f64, cells: &mut Vec<Cell>) -> Result<(), TooFine> {
        let precise = std::mem::take(cells);
        let (mut group, mut spread) = (Vec::new(), Vec::new());
        for of_group in precise.chunk_by(|a, b| a.side == b.side && a.tier == b.tier) {
            let Cell { side, tier, .. } = of_group[0];
            group.clear();
            group.extend(of_group.iter().map(|cell| (cell.index, cell.notional_usd)));
            spread.clear();
            self.spread(side, Some(price), &group, &mut spread)?;
            cells.extend(spread.iter().map(|&(index, notional_usd)| Cell { side, tier, index, notional_usd }));
        }
        Ok(())
    }

    /// Makes the spread of a whole cell that is cut nowhere; returns its place, `None` where too many are known.
    fn learn(&mut self, index: i64) -> Option<usize> {
        if let Some(place) = self.places.get(index) {
            return Some(place);
        }
        if self.held >= MOST_HELD {
            return None;
        }
        let mut spread = Spread::default();
        let middle = (self.grid.price_low(index) + self.grid.price_low(index + 1)) / 2.0;
        self.fill(&mut spread, middle, 0.0, f64::INFINITY);
        let parts = spread.shares.clone();
        spread.normalise();
        // Nothing of the grid around it is there, by rounding: it is not known, and stays where it is.
        if spread.shares.is_empty() {
            return None;
        }
        self.held += spread.shares.capacity() + parts.capacity();
        self.places.insert(index, self.known.len());
        self.known.push(Known { middle, spread, parts });
        Some(self.known.len() - 1)
    }

    /// Writes the spread of a whole cell that a limit cuts: as [`Smoother::fill`] would, but only what the limit goes
    /// through is computed, the rest is known.
    fn cut(&self, near: &mut Spread, known: &Known, floor: f64, ceiling: f64) {
        let last_known = known.spread.first + known.parts.len() as i64 - 1;
        let (mut first, mut last) = (known.spread.first, last_known);
        if floor > 0.0 {
            first = first.max(self.grid.cell_at(floor));
        }
        if ceiling < f64::INFINITY {
            last = last.min(self.grid.cell_at(ceiling));
        }
        near.first = first;
        near.shares.clear();
        near.shares.extend_from_slice(
            &known.parts[(first - known.spread.first) as usize..(last + 1 - known.spread.first) as usize],
        );
        for index in [first, last] {
            let (low, high) = (self.grid.price_low(index), self.grid.price_low(index + 1));
            if low < floor || high > ceiling {
                let centre = known.middle.ln();
                let part =
                    self.below(high.clamp(floor, ceiling), centre) - self.below(low.clamp(floor, ceiling), centre);
                near.shares[(index - first) as usize] = part.max(0.0);
            }
        }
        near.normalise();
    }

    /// Twice the part of a level at `centre` (ln of its price) that is spread below a price, less one.
    fn below(&self, price: f64, centre: f64) -> f64 {
        libm::erf((price.ln() - centre) / (self.sigma * std::f64::consts::SQRT_2))
    }

    /// Writes how a level at a price is spread over the cells around, as far as they lie between two limits, in parts of
    /// any sum.
    fn fill(&self, spread: &mut Spread, middle: f64, floor: f64, ceiling: f64) {
        let reach = (REACH * self.sigma).exp();
        let centre = middle.ln();
        // A grid that begins above zero has no cell below its first.
        let first = self.grid.cell_at((middle / reach).max(floor)).max(0);
        let last = self.grid.cell_at((middle * reach).min(ceiling));
        spread.first = first;
        spread.shares.clear();
        let mut from = self.below(self.grid.price_low(first).clamp(floor, ceiling), centre);
        for index in first..=last {
            let to = self.below(self.grid.price_low(index + 1).clamp(floor, ceiling), centre);
            spread.shares.push((to - from).max(0.0));
            from = to;
        }
    }
}

fn add(amounts: &mut [f64], first: i64, spread: &Spread, usd: f64) {
    let from = (spread.first - first).max(0) as usize;
    for (amount, share) in amounts[from..].iter_mut().zip(&spread.shares) {
        *amount += share * usd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(step: f64, sigma: f64, side: Side, price: Option<f64>, cells: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let mut out = Vec::new();
        Smoother::new(Grid::new(step), sigma).spread(side, price, cells, &mut out).unwrap();
        out
    }

    fn total(cells: &[(i64, f64)]) -> f64 {
        cells.iter().map(|(_, usd)| usd).sum()
    }

    #[test]
    fn a_level_becomes_a_gaussian() {
        // One σ of 1 % around ln(1000.5), in cells of 1: the cell 10 above holds Φ over its limits, as a table gives it.
        let out = spread(1.0, 0.01, Side::Short, None, &[(1000, 1.0)]);
        let of = |index: i64| out.iter().find(|(i, _)| *i == index).unwrap().1;
        let phi = |z: f64| 0.5 * (1.0 + libm::erf(z / 2f64.sqrt()));
        let z = |price: f64| (price / 1000.5f64).ln() / 0.01;
        let within = phi(z(1042.0)) - phi(z(961.0));
        assert!((of(1010) - (phi(z(1011.0)) - phi(z(1010.0))) / within).abs() < 1e-12);
        assert!((total(&out) - 1.0).abs() < 1e-12);
        let one_sigma: f64 = out.iter().filter(|(i, _)| (991..=1009).contains(i)).map(|(_, usd)| usd).sum();
        // Φ(0.945) − Φ(−0.954) = 0.8277 − 0.1700.
        assert!((one_sigma - 0.6577).abs() < 2e-4, "{one_sigma}");
    }

    #[test]
    fn nothing_crosses_the_price() {
        for side in Side::BOTH {
            let cells: Vec<(i64, f64)> = match side {
                Side::Long => (980..=1000).map(|i| (i, 1.0)).collect(),
                Side::Short => (1000..=1020).map(|i| (i, 1.0)).collect(),
            };
            for price in [1000.0, 1000.4, 1000.999] {
                let out = spread(1.0, 0.0025, side, Some(price), &cells);
                assert!((total(&out) - 21.0).abs() < 1e-12, "{side} {price}");
                match side {
                    Side::Long => assert!(out.iter().all(|(i, _)| (*i as f64) <= price)),
                    Side::Short => assert!(out.iter().all(|(i, _)| (*i + 1) as f64 > price)),
                }
            }
        }
    }

    #[test]
    fn far_cells_are_spread_the_same_from_memory_and_by_themselves() {
        let cells: Vec<(i64, f64)> = (400..=990).map(|i| (i, f64::from(i as i32 % 7 + 1))).collect();
        let mut smoother = Smoother::new(Grid::new(1.0), 0.01);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        smoother.spread(Side::Long, Some(1000.0), &cells, &mut first).unwrap();
        smoother.spread(Side::Long, Some(1000.0), &cells, &mut second).unwrap();
        assert_eq!(first, second);
        // Price far away cuts nothing: linear, so the sum of the parts.
        let (near, far) = cells.split_at(300);
        let (mut parts, mut whole) = (Vec::new(), Vec::new());
        smoother.spread(Side::Long, Some(5000.0), near, &mut parts).unwrap();
        smoother.spread(Side::Long, Some(5000.0), far, &mut parts).unwrap();
        smoother.spread(Side::Long, Some(5000.0), &cells, &mut whole).unwrap();
        for (index, usd) in whole {
            let sum: f64 = parts.iter().filter(|(i, _)| *i == index).map(|(_, usd)| usd).sum();
            assert!((usd - sum).abs() < 1e-9);
        }
    }

    #[test]
    fn far_cells_take_no_memory_between_them() {
        let mut smoother = Smoother::new(Grid::new(0.01), 0.0001);
        let mut out = Vec::new();
        smoother.spread(Side::Short, Some(1.0), &[(200, 1.0), (10_000_000, 2.0)], &mut out).unwrap();
        assert!((total(&out) - 3.0).abs() < 1e-12);
        assert!(smoother.amounts.capacity() < 100_000, "{}", smoother.amounts.capacity());
    }

    #[test]
    fn cells_that_are_too_fine_are_refused() {
        let mut smoother = Smoother::new(Grid::new(0.0001), 0.01);
        let mut out = Vec::new();
        let refused = smoother.spread(Side::Short, None, &[(1_000_000, 1.0)], &mut out).unwrap_err();
        assert!(refused.level > MOST_CELLS_OF_A_LEVEL && out.is_empty());
        // Each level by itself is narrow enough; a hundred of them that do not meet are not.
        let mut smoother = Smoother::new(Grid::new(1.0), 0.0001);
        let cells: Vec<(i64, f64)> = (0..100).map(|i| (4_000_000 + i * 200_000, 1.0)).collect();
        let refused = smoother.spread(Side::Short, None, &cells, &mut out).unwrap_err();
        assert!(refused.level < MOST_CELLS_OF_A_LEVEL && refused.side > MOST_CELLS_OF_A_SIDE, "{refused}");
        assert!(smoother.spread(Side::Short, None, &cells[..10], &mut out).is_ok());
    }

    #[test]
    fn a_width_far_below_the_step_leaves_levels_where_they_are() {
        let out = spread(100.0, 1e-6, Side::Long, Some(950.0), &[(3, 1.0), (9, 2.0)]);
        assert_eq!(out, [(3, 1.0), (9, 2.0)]);
    }
}

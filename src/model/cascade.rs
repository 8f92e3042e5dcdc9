//! What a shock of the price sets off: forced orders that move the price, which forces more orders.
//!
//! In: the cells of a frame, its price, a shock, and how much USD of forced orders move the price by one per cent. Out:
//! the steps of the chain, one by one.
//!
//! ```text
//!   price P ──────┤ step 1 ├───────┤ step 2 ├──┤3├ end           a fall; what stands below each price_from and above
//!                 P(1+s)           │           │               price_to is liquidated and makes the next step
//!          liquidates L₁ ──────────┘  L₂ ──────┘  L₃ = 0
//! ```
//!
//! - Step 1 is the shock itself: from P to P(1 + s). A fall hits longs, a rise hits shorts.
//! - Step k liquidates L_k, what stands between its two prices ([`PriceCell::usd_between`]: a cell that is crossed partly
//!   gives its share by price within its own part). A price is crossed once: the chain never turns.
//! - Step k + 1 moves on from there, in the same direction, by L_k / depth per cent of the price at which it begins.
//! - The chain ends before a move below [`SMALLEST_MOVE`] per cent, which is the case where nothing was liquidated, and
//!   at a price of zero. So the last forced orders always make their move: where nothing stands any more they make a
//!   step that liquidates nothing, and the last `price_to` is where the chain ends.
//! - amplification_k = (L_k / move_k in per cent) / depth = move_{k+1} / move_k. Above 1 each move sets off a larger
//!   one: the chain runs away until it finds less.
//!
//! Invariants: the cumulative sum never falls and never exceeds what stands on the side. Cells cut finer, each part with
//! its share, give the same chain. More depth ends the chain no later where its moves are small: as moves are per cent
//! of a price that itself moves, the same USD in two orders move a fall a little less, and a rise a little more, than in
//! one. With depths that differ by more than the share of the price that the largest single move of either takes, the
//! chain with more depth never liquidates more.
//!
//! What it leaves out: everybody else. Depth is one number, on both sides and at every price; nobody buys the fall, no
//! maker withdraws, and no position is opened or closed on the way. It orders situations by how fragile they are; it
//! does not say where price goes.

use super::side::Side;
use super::snapshot::{PriceCell, Snapshot};

/// A move below this many per cent of the price ends the chain: it is out of fuel.
pub const SMALLEST_MOVE: f64 = 1e-4;

/// One step of a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CascadeStep {
    /// The side that is hit: longs where price falls.
    pub side: Side,
    /// Price before.
    pub price_from: f64,
    /// Price after; for the last step where the chain ends.
    pub price_to: f64,
    /// What the move liquidates.
    pub liquidated_usd: f64,
    /// The same with all steps before.
    pub cumulative_usd: f64,
    /// Liquidated per move, over depth per move. Above 1 the next move is larger than this one.
    pub amplification: f64,
}

/// The chain that a shock sets off, step by step.
///
/// ```
/// use liqsql::model::cascade::Cascade;
/// use liqsql::model::side::Side;
/// use liqsql::model::snapshot::{PriceCell, Snapshot};
///
/// // 30 USD of longs between 96 and 99; the price is 100 and falls by 2 %; 10 USD move it by 1 %.
/// let cells = vec![PriceCell { side: Side::Long, leverage: None, low: 96.0, high: 99.0, usd: 30.0 }];
/// let snapshot = Snapshot { ts: 0, price: Some(100.0), cells };
/// let steps: Vec<_> = Cascade::new(&snapshot, 100.0, -0.02, 10.0).collect();
/// // Down to 98: a third of the cell, 10 USD. They move price by 1 % of 98, to 97.02, where 9.80 USD more are hit.
/// assert_eq!((steps[0].price_to, steps[0].liquidated_usd), (98.0, 10.0));
/// assert!((steps[1].price_to - 97.02).abs() < 1e-9 && (steps[1].liquidated_usd - 9.8).abs() < 1e-9);
/// // In the end all of it.
/// assert!((steps.last().map_or(0.0, |step| step.cumulative_usd) - 30.0).abs() < 1e-9);
/// ```
#[derive(Debug, Clone)]
pub struct Cascade {
    side: Side,
    price: f64,
    depth: f64,
    /// Cells of the side that were not reached, the nearest last.
    ahead: Vec<PriceCell>,
    /// Cells that were reached and are not yet behind.
    crossed: Vec<PriceCell>,
    /// Where the next step begins and the move it makes, in per cent; `None` at the end.
    next: Option<(f64, f64)>,
    cumulative: f64,
}

impl Cascade {
    /// Prepares the chain of a shock, a fraction above −1 that is not 0, of a price; `depth` is the USD of forced orders
    /// that move the price by one per cent. The cells of the snapshot must be sorted.
    pub fn new(snapshot: &Snapshot, price: f64, shock: f64, depth: f64) -> Cascade {
        let side = if shock < 0.0 { Side::Long } else { Side::Short };
        let mut ahead = snapshot.side(side).to_vec();
        match side {
            Side::Long => ahead.sort_by(|a, b| a.high.total_cmp(&b.high)),
            Side::Short => ahead.reverse(),
        }
        Cascade {
            side,
            price,
            depth,
            ahead,
            crossed: Vec::new(),
            next: Some((price, 100.0 * shock.abs())),
            cumulative: 0.0,
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        (self.ahead.capacity() + self.crossed.capacity()) * size_of::<PriceCell>()
    }

    /// Takes what stands between two prices, which continue the ones of the call before.
    fn cross(&mut self, from: f64, to: f64) -> f64 {
        let side = self.side;
        let reached = |cell: &PriceCell| match side {
            Side::Long => cell.high > to,
            Side::Short => cell.low < to,
        };
        while let Some(cell) = self.ahead.pop_if(|cell| reached(cell)) {
            self.crossed.push(cell);
        }
        let (low, high) = if from < to { (from, to) } else { (to, from) };
        let liquidated = self.crossed.iter().map(|cell| cell.usd_between(Some(self.price), low, high)).sum();
        self.crossed.retain(|cell| match side {
            Side::Long => cell.low < to,
            Side::Short => cell.high > to,
        });
        liquidated
    }
}

impl Iterator for Cascade {
    type Item = CascadeStep;

    fn next(&mut self) -> Option<CascadeStep> {
        let (price_from, percent) = self.next.take()?;
        // Price does not fall below zero, nor rise to infinity.
        let price_to = (price_from * (1.0 - self.side.sign() * percent / 100.0)).clamp(0.0, f64::MAX);
        let liquidated_usd = self.cross(price_from, price_to);
        self.cumulative += liquidated_usd;
        let move_next = liquidated_usd / self.depth;
        if move_next >= SMALLEST_MOVE && price_to > 0.0 {
            self.next = Some((price_to, move_next));
        }
        // A fall cannot be longer than to zero, whatever the orders.
        let percent = if self.side == Side::Long { percent.min(100.0) } else { percent };
        Some(CascadeStep {
            side: self.side,
            price_from,
            price_to,
            liquidated_usd,
            cumulative_usd: self.cumulative,
            amplification: liquidated_usd / percent / self.depth,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(side: Side, low: f64, high: f64, usd: f64) -> PriceCell {
        PriceCell { side, leverage: None, low, high, usd }
    }

    fn snapshot(cells: &[PriceCell]) -> Snapshot {
        let mut snapshot = Snapshot { ts: 0, price: Some(100.0), cells: cells.to_vec() };
        snapshot.sort();
        snapshot
    }

    fn run(cells: &[PriceCell], shock: f64, depth: f64) -> Vec<CascadeStep> {
        Cascade::new(&snapshot(cells), 100.0, shock, depth).collect()
    }

    fn total(steps: &[CascadeStep]) -> f64 {
        steps.last().map_or(0.0, |step| step.cumulative_usd)
    }

    fn end(steps: &[CascadeStep]) -> f64 {
        steps.last().map_or(f64::NAN, |step| step.price_to)
    }

    /// A small generator: markets of cells of many heights on both sides, the one at the price cut by it.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        fn market(&mut self) -> Vec<PriceCell> {
            let mut cells = Vec::new();
            for side in Side::BOTH {
                let mut distance = -0.5 * self.next();
                while distance < 30.0 {
                    let height = 0.05 + 2.0 * self.next().powi(2);
                    let far = distance + height;
                    if far > 0.0 && self.next() < 0.8 {
                        let (low, high) = match side {
                            Side::Long => (100.0 - far, 100.0 - distance),
                            Side::Short => (100.0 + distance, 100.0 + far),
                        };
                        cells.push(cell(side, low, high, (6.0 * self.next()).exp()));
                    }
                    distance = far;
                }
            }
            cells
        }

        fn shock(&mut self) -> f64 {
            let size = 0.001 + 0.08 * self.next();
            if self.next() < 0.5 { size } else { -size }
        }
    }

    #[test]
    fn the_last_orders_move_the_price_and_the_chain_ends_there() {
        // 98 → the whole cell, 40 USD: 4 % of 98, to 94.08, where nothing stands.
        let steps = run(&[cell(Side::Long, 98.0, 99.0, 40.0)], -0.02, 10.0);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].liquidated_usd, steps[0].amplification), (40.0, 2.0));
        assert!((steps[1].price_to - 94.08).abs() < 1e-9);
        assert_eq!((steps[1].liquidated_usd, steps[1].cumulative_usd, steps[1].amplification), (0.0, 40.0, 0.0));
    }

    #[test]
    fn a_shock_that_hits_nothing_is_one_step() {
        for (shock, to) in [(-0.02, 98.0), (0.02, 102.0)] {
            let steps = run(&[cell(Side::Long, 90.0, 91.0, 40.0), cell(Side::Short, 110.0, 111.0, 40.0)], shock, 10.0);
            assert_eq!((steps.len(), steps[0].price_to, total(&steps)), (1, to, 0.0));
        }
        assert_eq!(run(&[], -0.02, 10.0).len(), 1);
    }

    #[test]
    fn price_stops_at_zero() {
        let steps = run(&[cell(Side::Long, 98.0, 99.0, 5000.0), cell(Side::Long, 0.0, 1.0, 7.0)], -0.02, 10.0);
        assert_eq!((steps.len(), end(&steps), total(&steps)), (2, 0.0, 5007.0));
        // The move is all of the price, not the 500 % of the orders.
        assert_eq!(steps[1].amplification, 7.0 / 100.0 / 10.0);
    }

    #[test]
    fn a_rise_without_depth_stays_a_number() {
        let steps = run(&[cell(Side::Short, 101.0, 102.0, 1e12)], 0.02, 1e-300);
        assert_eq!((steps.len(), end(&steps), total(&steps)), (2, f64::MAX, 1e12));
    }

    #[test]
    fn a_move_too_small_ends_it() {
        // 0.0009 USD over 10 USD per % are 0.00009 %.
        let steps = run(&[cell(Side::Long, 98.0, 99.0, 0.000_9), cell(Side::Long, 97.0, 98.0, 1e6)], -0.02, 10.0);
        assert_eq!(steps.len(), 1);
        let steps = run(&[cell(Side::Long, 98.0, 99.0, 0.001_1), cell(Side::Long, 97.0, 98.0, 1e6)], -0.02, 10.0);
        assert!(steps.len() > 1);
    }

    #[test]
    fn what_stands_at_the_price_goes_first() {
        let steps = run(&[cell(Side::Long, 100.0, 101.0, 3.0), cell(Side::Long, 101.0, 102.0, 9.0)], -0.02, 10.0);
        assert_eq!(steps[0].liquidated_usd, 3.0);
        let steps = run(&[cell(Side::Short, 99.0, 100.0, 3.0), cell(Side::Short, 98.0, 99.0, 9.0)], 0.02, 10.0);
        assert_eq!(steps[0].liquidated_usd, 3.0);
    }

    #[test]
    fn the_sum_never_falls_and_never_exceeds_what_stands() {
        let mut random = Random(1);
        for _ in 0..300 {
            let (cells, shock, depth) = (random.market(), random.shock(), (8.0 * random.next()).exp());
            let steps = run(&cells, shock, depth);
            let side = if shock < 0.0 { Side::Long } else { Side::Short };
            let all: f64 = cells.iter().filter(|cell| cell.side == side).map(|cell| cell.usd).sum();
            let mut before = (0.0, 100.0);
            for step in &steps {
                assert!(step.cumulative_usd >= before.0 && step.cumulative_usd <= all * (1.0 + 1e-12));
                assert_eq!(step.price_from, before.1);
                before = (step.cumulative_usd, step.price_to);
            }
            // The sum is what stands between the first price and the last.
            let (low, high) = (end(&steps).min(100.0), end(&steps).max(100.0));
            let between: f64 =
                cells.iter().filter(|c| c.side == side).map(|c| c.usd_between(Some(100.0), low, high)).sum();
            assert!((total(&steps) - between).abs() <= 1e-9 * between.max(1.0));
        }
    }

    #[test]
    fn amplification_is_the_next_move_over_this_one() {
        let mut random = Random(2);
        for _ in 0..100 {
            let steps = run(&random.market(), random.shock(), 30.0 + (6.0 * random.next()).exp());
            let moves: Vec<f64> = steps.iter().map(|step| (step.price_to / step.price_from - 1.0).abs()).collect();
            for (step, pair) in steps.iter().zip(moves.windows(2)).filter(|(_, pair)| pair[1] < 1.0) {
                assert!((step.amplification - pair[1] / pair[0]).abs() <= 1e-6 * step.amplification);
            }
        }
    }

    #[test]
    fn finer_cells_give_the_same_chain() {
        let mut random = Random(3);
        for _ in 0..100 {
            let (cells, shock, depth) = (random.market(), random.shock(), (8.0 * random.next()).exp());
            let fine: Vec<PriceCell> = cells
                .iter()
                .flat_map(|cell| {
                    let (low, high) = cell.own_part(Some(100.0));
                    let edge = move |i: i32| if i == 7 { high } else { low + (high - low) * f64::from(i) / 7.0 };
                    (0..7).map(move |i| PriceCell { low: edge(i), high: edge(i + 1), usd: cell.usd / 7.0, ..*cell })
                })
                .collect();
            let (coarse, fine) = (run(&cells, shock, depth), run(&fine, shock, depth));
            assert_eq!(coarse.len(), fine.len());
            for (a, b) in coarse.iter().zip(&fine) {
                assert!((a.price_to - b.price_to).abs() <= 1e-9 * a.price_from);
                assert!((a.liquidated_usd - b.liquidated_usd).abs() <= 1e-9 * a.cumulative_usd);
            }
        }
    }

    #[test]
    fn more_depth_never_liquidates_more() {
        let mut random = Random(4);
        let mut compared = 0;
        for _ in 0..1000 {
            let (cells, shock, depth) = (random.market(), random.shock(), (8.0 * random.next()).exp());
            let deeper = depth * (1.0 + random.next());
            let (shallow, deep) = (run(&cells, shock, depth), run(&cells, shock, deeper));
            // Beyond the shock itself, which both share.
            let largest = |steps: &[CascadeStep]| {
                steps.iter().skip(1).map(|step| (step.price_to / step.price_from - 1.0).abs()).fold(0.0, f64::max)
            };
            let allowed = match shock < 0.0 {
                true => deeper * (1.0 - largest(&deep)) >= depth,
                false => deeper >= depth * (1.0 + largest(&shallow)),
            };
            if allowed {
                compared += 1;
                assert!(total(&deep) <= total(&shallow) * (1.0 + 1e-12), "{shock} {depth} {deeper}");
            }
        }
        assert!(compared > 500, "{compared}");
    }

    #[test]
    fn a_mirror_swaps_the_sides() {
        let mirrored = |cells: &[PriceCell]| -> Vec<PriceCell> {
            let other = |side| if side == Side::Long { Side::Short } else { Side::Long };
            cells.iter().map(|c| cell(other(c.side), 200.0 - c.high, 200.0 - c.low, c.usd)).collect()
        };
        let mut random = Random(5);
        for _ in 0..200 {
            let (cells, shock) = (random.market(), random.shock());
            // The shock itself is a mirror image.
            let (steps, images) = (run(&cells, shock, 100.0), run(&mirrored(&cells), -shock, 100.0));
            assert_ne!(steps[0].side, images[0].side);
            let near = |a: f64, b: f64, tolerance: f64| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0);
            assert!(near(steps[0].liquidated_usd, images[0].liquidated_usd, 1e-9));
            assert!(near(200.0 - steps[0].price_to, images[0].price_to, 1e-12));
        }
        // Of the moves after it a fall takes less USD per price than a rise, as each is per cent of its own price: the
        // difference is of second order. One even cell on each side, moves of half a per cent in all.
        let cells = [cell(Side::Long, 90.0, 100.0, 1000.0)];
        let (steps, images) = (run(&cells, -0.003, 200.0), run(&mirrored(&cells), 0.003, 200.0));
        assert_eq!(steps.len(), images.len());
        for (step, image) in steps.iter().zip(&images) {
            assert!((200.0 - step.price_to - image.price_to).abs() < 1e-4 * 100.0);
        }
    }
}

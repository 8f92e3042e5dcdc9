//! A frame read back: what stands at one instant, in price cells.
//!
//! A heatmap or a map, the estimate's own or a vendor's, is where the reading functions begin: they know its cells, not
//! the book behind them. A cell holds positions of one side; only the part of it on that side of the price can hold any.
//!
//! ```text
//!        low ├──────── long ────────▶┤ price ├──── short ───┤ high        of the cell that contains the price
//! ```

use std::cmp::Ordering;

use super::side::Side;

/// One cell of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceCell {
    /// The side of the positions.
    pub side: Side,
    /// Their leverage, `None` for all together.
    pub leverage: Option<f64>,
    /// Lower limit, quote per base.
    pub low: f64,
    /// Upper limit, quote per base, above the lower one.
    pub high: f64,
    /// USD that stand in the cell, zero or more.
    pub usd: f64,
}

impl PriceCell {
    /// Tells in which order cells are emitted: longs first, each side by rising price, then by leverage.
    pub fn order(&self, other: &PriceCell) -> Ordering {
        let leverage = |cell: &PriceCell| cell.leverage.unwrap_or(0.0);
        self.side
            .cmp(&other.side)
            .then(self.low.total_cmp(&other.low).then(self.high.total_cmp(&other.high)))
            .then(leverage(self).total_cmp(&leverage(other)))
    }

    /// Returns the part of the cell on its side's own side of the price; empty (low = high) if the cell only touches it.
    pub fn own_part(&self, price: Option<f64>) -> (f64, f64) {
        match (price, self.side) {
            (None, _) => (self.low, self.high),
            (Some(price), Side::Long) => (self.low.min(price), self.high.min(price)),
            (Some(price), Side::Short) => (self.low.max(price), self.high.max(price)),
        }
    }

    /// Returns what of the cell stands between two prices: its share by price within its own part.
    ///
    /// The limit nearer to the side's inner end belongs to the range, the outer one does not: longs stand in (low, high],
    /// shorts in [low, high). So neighbouring ranges share nothing and leave nothing out, and what stands at the current
    /// price itself, in a cell that only touches it, is in the range that begins there. A cell wholly beyond the price
    /// holds nothing.
    pub fn usd_between(&self, price: Option<f64>, low: f64, high: f64) -> f64 {
        let (own_low, own_high) = self.own_part(price);
        if own_low < own_high {
            let overlap = own_high.min(high) - own_low.max(low);
            return if overlap > 0.0 { self.usd * (overlap / (own_high - own_low)).min(1.0) } else { 0.0 };
        }
        let touches = self.low <= own_low && own_low <= self.high;
        let within = match self.side {
            Side::Long => low < own_low && own_low <= high,
            Side::Short => low <= own_low && own_low < high,
        };
        if touches && within { self.usd } else { 0.0 }
    }
}

/// What one (exchange, symbol) has at one instant: cells, or something made of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot<C = PriceCell> {
    /// Instant, milliseconds since the epoch.
    pub ts: i64,
    /// Current price, `None` where it is not known.
    pub price: Option<f64>,
    /// The cells; after [`Snapshot::sort`] longs first, each side by rising price, then by leverage.
    pub cells: Vec<C>,
}

impl Snapshot {
    /// Brings the cells into the order in which every function emits them.
    pub fn sort(&mut self) {
        self.cells.sort_by(PriceCell::order);
    }

    /// Adds up the leverages: afterwards each side has one cell a place, without empty ones. The cells must be sorted.
    pub fn join_leverages(&mut self) {
        self.cells.dedup_by(|next, kept| {
            let same = next.side == kept.side && next.low == kept.low && next.high == kept.high;
            if same {
                kept.usd += next.usd;
                kept.leverage = None;
            }
            same
        });
        self.cells.retain_mut(|cell| {
            cell.leverage = None;
            cell.usd > 0.0
        });
    }

    /// Returns the cells of a side. The cells must be sorted.
    pub fn side(&self, side: Side) -> &[PriceCell] {
        let shorts = self.cells.partition_point(|cell| cell.side == Side::Long);
        match side {
            Side::Long => &self.cells[..shorts],
            Side::Short => &self.cells[shorts..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(side: Side, leverage: Option<f64>, low: f64, usd: f64) -> PriceCell {
        PriceCell { side, leverage, low, high: low + 1.0, usd }
    }

    #[test]
    fn leverages_add_up() {
        let mut snapshot = Snapshot {
            ts: 0,
            price: Some(10.5),
            cells: vec![
                cell(Side::Short, Some(5.0), 12.0, 1.0),
                cell(Side::Long, Some(10.0), 9.0, 2.0),
                cell(Side::Long, Some(5.0), 9.0, 4.0),
                cell(Side::Long, Some(5.0), 8.0, 0.0),
            ],
        };
        snapshot.sort();
        snapshot.join_leverages();
        assert_eq!(snapshot.side(Side::Long), [cell(Side::Long, None, 9.0, 6.0)]);
        assert_eq!(snapshot.side(Side::Short), [cell(Side::Short, None, 12.0, 1.0)]);
    }

    #[test]
    fn a_cell_holds_only_what_is_on_its_own_side() {
        assert_eq!(cell(Side::Long, None, 10.0, 1.0).own_part(Some(10.25)), (10.0, 10.25));
        assert_eq!(cell(Side::Short, None, 10.0, 1.0).own_part(Some(10.25)), (10.25, 11.0));
        assert_eq!(cell(Side::Short, None, 10.0, 1.0).own_part(None), (10.0, 11.0));
    }

    #[test]
    fn a_cell_gives_its_share_by_price() {
        // [10, 10.5] is the longs' part: three fifths of it lie above 10.2.
        let long = cell(Side::Long, None, 10.0, 100.0);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(long.usd_between(Some(10.5), 10.2, 10.5), 60.0));
        assert!(near(long.usd_between(Some(10.5), 9.0, 10.2), 40.0));
        assert_eq!(long.usd_between(Some(10.5), 5.0, 20.0), 100.0);
        assert_eq!(long.usd_between(Some(10.5), 8.0, 9.0), 0.0);
        // What stands at the price itself is in the range that begins there, on either side.
        assert_eq!(long.usd_between(Some(10.0), 9.0, 10.0), 100.0);
        assert_eq!(long.usd_between(Some(10.0), 10.0, 11.0), 0.0);
        let short = cell(Side::Short, None, 9.0, 100.0);
        assert_eq!(short.usd_between(Some(10.0), 10.0, 11.0), 100.0);
        assert_eq!(short.usd_between(Some(10.0), 9.0, 10.0), 0.0);
        // Beyond the price nothing stands.
        assert_eq!(long.usd_between(Some(9.5), 0.0, 20.0), 0.0);
        assert_eq!(short.usd_between(Some(10.5), 0.0, 20.0), 0.0);
    }
}

//! Rows of a map to its ladder of prices: what stands in each bucket, its layers, and the sums from the price outward.

use std::collections::BTreeSet;

use super::super::frame::{Layer, LayeredBy, Map, MapRow, PoolSide};
use super::super::{RenderError, axis};
use super::cells::{Cells, stated};
use super::columns::is_price;
use super::leverages::Leverages;
use super::packed::Cell;

impl Cells {
    pub(super) fn map(&self) -> Result<Map, RenderError> {
        let cells: Vec<Cell> = self.cells().collect();
        let instants: BTreeSet<i64> = cells.iter().filter_map(|row| row.ts).collect();
        if let (Some(&first), Some(&last)) = (instants.first(), instants.last())
            && instants.len() > 1
        {
            return Err(RenderError::SeveralInstants {
                count: instants.len(),
                first: axis::instant(first),
                last: axis::instant(last),
            });
        }
        // The stated sums are each of one exchange or leverage, even where no bucket is shared.
        let first = cells.first().map(|row| (row.owner, row.leverage.map(f64::to_bits)));
        let is_summed = cells.iter().any(|row| Some((row.owner, row.leverage.map(f64::to_bits))) != first);
        let layering = Layering::of(self);

        let mut rows: Vec<MapRow> = Vec::new();
        let layer = |name: &String| Layer { name: name.clone(), usd: Vec::new() };
        let mut layers: Vec<Layer> = layering.names.iter().map(layer).collect();
        for cell in &cells {
            if rows.last().is_none_or(|row| (row.low, row.high) != (cell.low, cell.high)) {
                rows.push(MapRow {
                    low: cell.low,
                    high: cell.high,
                    long_usd: 0.0,
                    short_usd: 0.0,
                    cumulative_long_usd: None,
                    cumulative_short_usd: None,
                });
                for layer in &mut layers {
                    layer.usd.push(0.0);
                }
            }
            let Some(row) = rows.last_mut() else { continue };
            match cell.side {
                PoolSide::Long => {
                    row.long_usd += cell.usd;
                    row.cumulative_long_usd = cell.cumulative_usd;
                }
                PoolSide::Short => {
                    row.short_usd += cell.usd;
                    row.cumulative_short_usd = cell.cumulative_usd;
                }
            }
            if let Some(sum) = layers.get_mut(layering.position(cell)).and_then(|layer| layer.usd.last_mut()) {
                *sum += cell.usd;
            }
        }
        if is_summed {
            accumulate(&mut rows);
        }
        Ok(Map {
            at_ms: instants.first().copied(),
            current: current_price(&cells),
            rows,
            layers,
            layered_by: layering.by,
            ..Map::default()
        })
    }
}

/// Which layer each row belongs to. Rows that do not say are a layer of their own, the last one.
struct Layering {
    by: LayeredBy,
    names: Vec<String>,
    leverages: Leverages,
    /// Of each owner, the position of its exchange.
    exchanges: Vec<usize>,
}

impl Layering {
    fn of(cells: &Cells) -> Self {
        let leverages = Leverages::of(cells.places().map(|(_, place)| place.leverage()));
        let found = cells.names(|owner| owner.exchange.as_ref());
        let position = |name: &Option<String>| found.iter().position(|known| known == name).unwrap_or(found.len());
        let exchanges = cells.packed.owners.iter().map(|owner| position(&owner.exchange)).collect();
        let (by, names) = if !leverages.names.is_empty() {
            (LayeredBy::Leverage, leverages.names.clone())
        } else if found.len() > 1 {
            (LayeredBy::Exchange, stated(found))
        } else {
            (LayeredBy::Nothing, Vec::new())
        };
        Self { by, names, leverages, exchanges }
    }

    fn position(&self, cell: &Cell) -> usize {
        match self.by {
            LayeredBy::Leverage => self.leverages.position(cell.leverage),
            LayeredBy::Exchange | LayeredBy::Nothing => {
                self.exchanges.get(cell.owner as usize).copied().unwrap_or_default()
            }
        }
    }
}

fn accumulate(rows: &mut [MapRow]) {
    let mut sum = 0.0;
    for row in rows.iter_mut().rev().filter(|row| row.long_usd > 0.0) {
        sum += row.long_usd;
        row.cumulative_long_usd = Some(sum);
    }
    sum = 0.0;
    for row in rows.iter_mut().filter(|row| row.short_usd > 0.0) {
        sum += row.short_usd;
        row.cumulative_short_usd = Some(sum);
    }
}

/// The mean of the stated prices, else the price from which the distances are measured, else the middle of the sides.
fn current_price(rows: &[Cell]) -> Option<f64> {
    let stated: BTreeSet<u64> = rows.iter().filter_map(|row| row.price).map(f64::to_bits).collect();
    if !stated.is_empty() {
        return Some(stated.iter().map(|&bits| f64::from_bits(bits)).sum::<f64>() / stated.len() as f64);
    }
    let nearest = rows
        .iter()
        .filter_map(|row| row.distance.filter(|distance| *distance > -1.0).map(|distance| (distance, row)))
        .min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    if let Some((distance, row)) = nearest {
        return Some((row.low + row.high) / 2.0 / (1.0 + distance)).filter(|price| is_price(*price));
    }
    let longs = rows.iter().filter(|row| row.side == PoolSide::Long).map(|row| row.high).reduce(f64::max);
    let shorts = rows.iter().filter(|row| row.side == PoolSide::Short).map(|row| row.low).reduce(f64::min);
    match (longs, shorts) {
        (Some(below), Some(above)) => Some((below + above) / 2.0),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::{cell, cells, cells_of};
    use super::*;

    const LONG: PoolSide = PoolSide::Long;

    fn layers(map: &Map) -> Vec<(&str, &[f64])> {
        map.layers.iter().map(|layer| (layer.name.as_str(), layer.usd.as_slice())).collect()
    }

    #[test]
    fn several_exchanges_of_a_map_are_accumulated_anew() {
        let rows = vec![
            cell(0, 98.0, 99.0, LONG, 1.0),
            cell(0, 99.0, 100.0, LONG, 2.0),
            Cell { owner: 1, ..cell(0, 99.0, 100.0, LONG, 4.0) },
            cell(0, 101.0, 102.0, PoolSide::Short, 8.0),
        ];
        let map = cells_of(&[Some("a"), Some("b")], rows).map().unwrap();
        let sums: Vec<_> = map.rows.iter().map(|row| row.cumulative_long_usd).collect();
        assert_eq!(sums, [Some(7.0), Some(6.0), None]);
        assert_eq!(map.rows[2].cumulative_short_usd, Some(8.0));
        assert_eq!(map.current, Some(100.5));
    }

    #[test]
    fn curves_of_several_exchanges_are_summed_even_where_they_share_no_bucket() {
        let of = |owner: u32, low: f64, usd: f64, sum: f64| Cell {
            owner,
            cumulative_usd: Some(sum),
            ..cell(0, low, low + 1.0, LONG, usd)
        };
        let rows = vec![of(0, 99.0, 1.0, 1.0), of(1, 98.0, 2.0, 2.0), of(0, 97.0, 4.0, 5.0)];
        let map = cells_of(&[Some("a"), Some("b")], rows).map().unwrap();
        let sums: Vec<_> = map.rows.iter().map(|row| row.cumulative_long_usd).collect();
        assert_eq!(sums, [Some(7.0), Some(3.0), Some(1.0)]);
    }

    #[test]
    fn what_states_no_leverage_or_exchange_is_a_layer_of_its_own() {
        let of = |leverage, low: f64, usd| Cell { leverage, ..cell(0, low, low + 1.0, LONG, usd) };
        let rows = vec![of(Some(10.0), 97.0, 1.0), of(None, 98.0, 9.0), of(Some(20.0), 99.0, 2.0)];
        let map = cells(rows).map().unwrap();
        assert_eq!(map.layered_by, LayeredBy::Leverage);
        let expected: [(&str, &[f64]); 3] =
            [("10x", &[1.0, 0.0, 0.0]), ("20x", &[0.0, 0.0, 2.0]), ("not stated", &[0.0, 9.0, 0.0])];
        assert_eq!(layers(&map), expected);
        assert!(cells(vec![of(None, 98.0, 9.0)]).map().unwrap().layers.is_empty());

        let rows = vec![cell(0, 97.0, 98.0, LONG, 1.0), Cell { owner: 1, ..cell(0, 98.0, 99.0, LONG, 9.0) }];
        let map = cells_of(&[None, Some("bybit")], rows).map().unwrap();
        assert_eq!(map.layered_by, LayeredBy::Exchange);
        let expected: [(&str, &[f64]); 2] = [("bybit", &[0.0, 9.0]), ("not stated", &[1.0, 0.0])];
        assert_eq!(layers(&map), expected);
    }
}

//! What is drawn over a heatmap or a map: candles and pools.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use arrow::array::{Array, RecordBatch};

use super::super::frame::{Candle, Pool, PoolSide, TimeAxis};
use super::super::{RenderError, axis};
use super::{Kind, Rows, columns, is_price};

/// The last results of a script that are candles and pools.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overlays<'a> {
    candles: &'a [RecordBatch],
    pools: &'a [RecordBatch],
}

/// Whose candles and pools are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) symbol: Option<&'a str>,
    pub(super) exchanges: &'a [String],
    pub(super) model: Option<&'a str>,
}

impl Whose<'_> {
    /// Rows that do not say whose they are belong to every picture.
    fn owns(&self, symbol: Option<&str>, exchange: Option<&str>, model: Option<&str>) -> bool {
        let is_other =
            |own: Option<&str>, row: Option<&str>| matches!((own, row), (Some(own), Some(row)) if own != row);
        let is_other_exchange = exchange
            .is_some_and(|exchange| !self.exchanges.is_empty() && !self.exchanges.iter().any(|own| own == exchange));
        !is_other(self.symbol, symbol) && !is_other_exchange && !is_other(self.model, model)
    }
}

impl<'a> Overlays<'a> {
    pub(super) fn of(results: &'a [Rows]) -> Self {
        let last = |kind| {
            let found = results.iter().rev().find(|result| Kind::of(result) == Some(kind));
            found.map_or(&[][..], |result| result.batches.as_slice())
        };
        Self { candles: last(Kind::Candles), pools: last(Kind::Pools) }
    }

    /// Per column of the time axis the candle of the bars that open within it, the mean over exchanges. Empty if there
    /// are none.
    pub(super) fn candles(&self, whose: Whose<'_>, time: TimeAxis) -> Result<Vec<Option<Candle>>, RenderError> {
        /// The candles of several exchanges at one instant.
        struct Sum {
            open: f64,
            close: f64,
            high: f64,
            low: f64,
            count: f64,
        }
        let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
        let mut symbols = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for batch in self.candles {
            let ts = columns::time(batch, "ts")?;
            let open = columns::number(batch, "open")?;
            let high = columns::number(batch, "high")?;
            let low = columns::number(batch, "low")?;
            let close = columns::number(batch, "close")?;
            let names = columns::optional_text(batch, "symbol")?;
            let exchanges = columns::optional_text(batch, "exchange")?;
            for row in 0..batch.num_rows() {
                let name = columns::text_value(names.as_ref(), row);
                let is_incomplete = [&open, &high, &low, &close]
                    .iter()
                    .any(|column| column.is_null(row) || !is_price(&column.value(row)));
                let is_owned = whose.owns(name, columns::text_value(exchanges.as_ref(), row), None);
                if !is_owned || is_incomplete || ts.is_null(row) || time.column(ts.value(row)).is_none() {
                    continue;
                }
                super::cells::insert_name(&mut symbols, name);
                let exchange = columns::text_value(exchanges.as_ref(), row).unwrap_or_default();
                if !seen.insert((ts.value(row), exchange.to_owned(), name.unwrap_or_default().to_owned())) {
                    return Err(RenderError::Ambiguous {
                        what: format!("the candle of {}", axis::instant(ts.value(row))),
                        advice: "add the column that tells them apart ('exchange', 'symbol'), or filter with WHERE",
                    });
                }
                let sum = sums.entry(ts.value(row)).or_insert(Sum {
                    open: 0.0,
                    close: 0.0,
                    high: f64::NEG_INFINITY,
                    low: f64::INFINITY,
                    count: 0.0,
                });
                sum.open += open.value(row);
                sum.close += close.value(row);
                sum.high = sum.high.max(high.value(row));
                sum.low = sum.low.min(low.value(row));
                sum.count += 1.0;
            }
        }
        if symbols.len() > 1 {
            return Err(RenderError::SeveralSymbols { symbols: symbols.into_iter().collect() });
        }
        if sums.is_empty() {
            return Ok(Vec::new());
        }
        let mut candles: Vec<Option<Candle>> = vec![None; time.count];
        for (ts, sum) in sums {
            let Some(candle) = time.column(ts).and_then(|column| candles.get_mut(column)) else {
                continue;
            };
            let candle = candle.get_or_insert(Candle {
                open: sum.open / sum.count,
                high: sum.high,
                low: sum.low,
                close: sum.close / sum.count,
            });
            candle.high = candle.high.max(sum.high);
            candle.low = candle.low.min(sum.low);
            candle.close = sum.close / sum.count;
        }
        Ok(candles)
    }

    /// The pools of the last instant within these, largest first. Pools of another time are of another price.
    pub(super) fn pools(&self, whose: Whose<'_>, within: RangeInclusive<i64>) -> Result<Vec<Pool>, RenderError> {
        let mut latest = i64::MIN;
        let mut pools = Vec::new();
        for batch in self.pools {
            let ts = columns::time(batch, "ts")?;
            let low = columns::number(batch, "price_low")?;
            let high = columns::number(batch, "price_high")?;
            let side = columns::text(batch, "side")?;
            let usd = columns::number(batch, "notional_usd")?;
            let peak = columns::optional_number(batch, "peak_price")?;
            let distance = columns::optional_number(batch, "distance")?;
            let symbol = columns::optional_text(batch, "symbol")?;
            let exchange = columns::optional_text(batch, "exchange")?;
            let model = columns::optional_text(batch, "model")?;
            for row in 0..batch.num_rows() {
                let is_incomplete = ts.is_null(row)
                    || side.is_null(row)
                    || [&low, &high, &usd].iter().any(|column| column.is_null(row));
                let is_owned = whose.owns(
                    columns::text_value(symbol.as_ref(), row),
                    columns::text_value(exchange.as_ref(), row),
                    columns::text_value(model.as_ref(), row),
                );
                if is_incomplete || !is_owned || !within.contains(&ts.value(row)) {
                    continue;
                }
                if ts.value(row) < latest {
                    continue;
                }
                if ts.value(row) > latest {
                    latest = ts.value(row);
                    pools.clear();
                }
                let (low, high) = super::cells::bucket(&low, &high, row)?;
                pools.push(Pool {
                    side: match super::cells::side_at(&side, row)? {
                        super::cells::Side::Long => PoolSide::Long,
                        super::cells::Side::Short => PoolSide::Short,
                    },
                    low,
                    high,
                    price: columns::value(peak.as_ref(), row).filter(is_price).unwrap_or((low + high) / 2.0),
                    usd: super::cells::bounded(&usd, row, "notional_usd", 0.0, super::LARGEST_USD)?,
                    distance: columns::value(distance.as_ref(), row).filter(|distance| distance.is_finite()),
                });
            }
        }
        pools.sort_by(|a, b| b.usd.total_cmp(&a.usd).then(a.low.total_cmp(&b.low)));
        Ok(pools)
    }
}

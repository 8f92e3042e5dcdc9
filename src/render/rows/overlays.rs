//! What is drawn over a heatmap, candles and pools, and over a map: pools.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use arrow::array::{Array, Float64Array, RecordBatch};

use super::super::frame::{Candle, LARGEST_VALUE, Pool, TimeAxis};
use super::super::{RenderError, axis};
use super::cells::{none_last, stated};
use super::names::Texts;
use super::packed::LARGEST_DISTANCE;
use super::{Kind, Rows, columns};

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

/// What is drawn over one picture, and how many rows of it had nulls.
#[derive(Debug)]
pub(super) struct Overlay<T> {
    pub(super) found: Vec<T>,
    pub(super) ignored_rows: usize,
}

/// The candles of several exchanges at one instant.
#[derive(Debug, Clone, Copy)]
struct Together {
    open: f64,
    close: f64,
    high: f64,
    low: f64,
    count: f64,
}

impl Together {
    fn with(self, candle: Candle) -> Self {
        Self {
            open: self.open + candle.open,
            close: self.close + candle.close,
            high: self.high.max(candle.high),
            low: self.low.min(candle.low),
            count: self.count + 1.0,
        }
    }

    fn candle(&self) -> Candle {
        Candle { open: self.open / self.count, high: self.high, low: self.low, close: self.close / self.count }
    }
}

impl Default for Together {
    fn default() -> Self {
        Self { open: 0.0, close: 0.0, high: f64::NEG_INFINITY, low: f64::INFINITY, count: 0.0 }
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

    /// Per column of the time axis the candle of the bars that open within it, see
    /// [`Heatmap::candles`](super::super::frame::Heatmap::candles).
    pub(super) fn candles(&self, whose: Whose<'_>, time: TimeAxis) -> Result<Overlay<Option<Candle>>, RenderError> {
        let mut found: Vec<(i64, Candle)> = Vec::new();
        let (mut symbols, mut exchanges_seen, mut has_unstated) = (Texts::default(), Texts::default(), false);
        let mut seen = HashSet::new();
        let mut ignored_rows = 0;
        for batch in self.candles {
            let ts = columns::time(batch, "ts")?;
            let prices = Prices::of(batch)?;
            let names = columns::optional_text(batch, "symbol")?;
            let exchanges = columns::optional_text(batch, "exchange")?;
            for row in 0..batch.num_rows() {
                let name = columns::text_value(names.as_ref(), row);
                let exchange = columns::text_value(exchanges.as_ref(), row);
                let is_outside = ts.is_valid(row) && time.column(ts.value(row)).is_none();
                if !whose.owns(name, exchange, None) || is_outside {
                    continue;
                }
                let (Some(candle), true) = (prices.candle(row)?, ts.is_valid(row)) else {
                    ignored_rows += 1;
                    continue;
                };
                has_unstated |= name.is_none();
                let symbol = name.map(|name| symbols.number(name));
                let exchange = exchange.map(|exchange| exchanges_seen.number(exchange));
                if !seen.insert((ts.value(row), exchange, symbol)) {
                    return Err(RenderError::Ambiguous {
                        what: format!("the candle of {}", axis::instant(ts.value(row))),
                        advice: "add the column that tells them apart ('exchange', 'symbol'), or filter with WHERE",
                    });
                }
                found.push((ts.value(row), candle));
            }
        }
        let unstated = has_unstated.then_some(None);
        let symbols: BTreeSet<Option<String>> = symbols.found.into_iter().map(Some).chain(unstated).collect();
        if symbols.len() > 1 {
            return Err(RenderError::SeveralSymbols { symbols: stated(none_last(symbols)) });
        }
        if found.is_empty() {
            return Ok(Overlay { found: Vec::new(), ignored_rows });
        }
        // Those of one instant stay in the order of the rows.
        found.sort_by_key(|(ts, _)| *ts);
        let mut candles: Vec<Option<Candle>> = vec![None; time.count];
        for instant in found.chunk_by(|(a, _), (b, _)| a == b) {
            let column = instant.first().and_then(|(ts, _)| time.column(*ts));
            let Some(candle) = column.and_then(|column| candles.get_mut(column)) else { continue };
            let together = instant.iter().fold(Together::default(), |together, (_, candle)| together.with(*candle));
            let next = together.candle();
            *candle = Some(match *candle {
                Some(whole) => whole.followed_by(next),
                None => next,
            });
        }
        Ok(Overlay { found: candles, ignored_rows })
    }

    /// The pools of the last instant within these, largest first. Pools of another time are of another price.
    pub(super) fn pools(&self, whose: Whose<'_>, within: RangeInclusive<i64>) -> Result<Overlay<Pool>, RenderError> {
        let mut latest = i64::MIN;
        let (mut found, mut ignored_rows) = (Vec::new(), 0);
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
                let is_owned = whose.owns(
                    columns::text_value(symbol.as_ref(), row),
                    columns::text_value(exchange.as_ref(), row),
                    columns::text_value(model.as_ref(), row),
                );
                if !is_owned || ts.is_valid(row) && !within.contains(&ts.value(row)) {
                    continue;
                }
                let is_incomplete = ts.is_null(row)
                    || side.is_null(row)
                    || [&low, &high, &usd].iter().any(|column| column.is_null(row));
                if is_incomplete {
                    ignored_rows += 1;
                    continue;
                }
                if ts.value(row) < latest {
                    continue;
                }
                if ts.value(row) > latest {
                    latest = ts.value(row);
                    found.clear();
                }
                let (low, high) = columns::bucket(&low, &high, row)?;
                let peak = columns::optional_price(peak.as_ref(), row, "peak_price")?;
                let distances = -1.0..=LARGEST_DISTANCE;
                found.push(Pool {
                    side: columns::side(&side, row)?,
                    low,
                    high,
                    price: peak.unwrap_or((low + high) / 2.0),
                    usd: columns::bounded(&usd, row, "notional_usd", 0.0..=LARGEST_VALUE)?,
                    distance: columns::optional_bounded(distance.as_ref(), row, "distance", distances)?,
                });
            }
        }
        found.sort_by(|a: &Pool, b: &Pool| b.usd.total_cmp(&a.usd).then(a.low.total_cmp(&b.low)));
        Ok(Overlay { found, ignored_rows })
    }
}

/// The prices of a batch of candles.
struct Prices {
    open: Float64Array,
    high: Float64Array,
    low: Float64Array,
    close: Float64Array,
}

/// By how much of it a price that was computed may lie outside of its candle.
const HAIR: f64 = 1e-9;

impl Prices {
    fn of(batch: &RecordBatch) -> Result<Self, RenderError> {
        let of = |name| columns::number(batch, name);
        Ok(Self { open: of("open")?, high: of("high")?, low: of("low")?, close: of("close")? })
    }

    /// A row's candle, `None` if one of its prices is null.
    ///
    /// # Errors
    ///
    /// A price that is none, or that lies outside of the candle.
    fn candle(&self, row: usize) -> Result<Option<Candle>, RenderError> {
        if [&self.open, &self.high, &self.low, &self.close].iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let low = columns::price(&self.low, row, "low")?;
        let high = columns::price(&self.high, row, "high")?;
        if high < low {
            let allowed = format!("a price of at least 'low' ({})", axis::given(low));
            return Err(columns::wrong_value("high", allowed, axis::given(high)));
        }
        let within = |column, name| {
            let price = columns::price(column, row, name)?;
            if price < low * (1.0 - HAIR) || price > high * (1.0 + HAIR) {
                let allowed = format!("a price from 'low' to 'high' ({} to {})", axis::given(low), axis::given(high));
                return Err(columns::wrong_value(name, allowed, axis::given(price)));
            }
            Ok(price.clamp(low, high))
        };
        Ok(Some(Candle { open: within(&self.open, "open")?, high, low, close: within(&self.close, "close")? }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::PoolSide;
    use super::super::super::samples::{self, instants, numbers, words};
    use super::*;

    const ALL: Whose<'_> = Whose { symbol: None, exchanges: &[], model: None };
    const TIME: TimeAxis = TimeAxis { first_ms: 0, step_ms: 10, count: 3 };

    /// Candles (ts, [open, high, low, close]) with the names in a column.
    fn candles(rows: &[(Option<i64>, [Option<f64>; 4])], names: Option<(&str, &[Option<&str>])>) -> Rows {
        let price = |at: usize| numbers(&rows.iter().map(|row| row.1[at]).collect::<Vec<_>>());
        let mut columns = vec![("ts", instants(&rows.iter().map(|row| row.0).collect::<Vec<_>>()))];
        columns.extend(["open", "high", "low", "close"].into_iter().enumerate().map(|(at, name)| (name, price(at))));
        columns.extend(names.map(|(name, values)| (name, words(values))));
        samples::rows(columns)
    }

    fn read(rows: Rows, whose: Whose<'_>) -> Result<Overlay<Option<Candle>>, String> {
        Overlays::of(&[rows]).candles(whose, TIME).map_err(|error| error.to_string())
    }

    fn sound(open: f64) -> [Option<f64>; 4] {
        [Some(open), Some(105.0), Some(95.0), Some(100.0)]
    }

    #[test]
    fn candles_with_nulls_are_counted_where_they_would_be_drawn() {
        let mut broken = sound(99.0);
        broken[2] = None;
        let rows = [(Some(0), sound(99.0)), (Some(10), broken), (None, sound(99.0)), (Some(90), broken)];
        let all = read(candles(&rows, None), ALL).unwrap();
        assert_eq!((all.found.iter().flatten().count(), all.ignored_rows), (1, 2));
        let names: &[Option<&str>] = &[Some("A"), Some("B"), Some("A"), Some("A")];
        let whose = Whose { symbol: Some("A"), ..ALL };
        assert_eq!(read(candles(&rows, Some(("symbol", names))), whose).unwrap().ignored_rows, 1);
    }

    #[test]
    fn a_candle_that_cannot_be_is_an_error() {
        let said = |prices: [f64; 4]| read(candles(&[(Some(0), prices.map(Some))], None), ALL).map(|_| ());
        let wrong = |said: &str| Err(format!("render: column {said}"));
        let prices = "must hold prices above 0, of at most 1e15, was";
        assert_eq!(said([100.0, f64::NAN, 99.0, 100.5]), wrong(&format!("'high' {prices} NaN")));
        assert_eq!(said([-100.0, 101.0, 99.0, 100.5]), wrong(&format!("'open' {prices} -100")));
        assert_eq!(
            said([100.0, 99.2, 101.8, 100.5]),
            wrong("'high' must hold a price of at least 'low' (101.8), was 99.2")
        );
        assert_eq!(
            said([100.0, 101.0, 99.0, 500.0]),
            wrong("'close' must hold a price from 'low' to 'high' (99 to 101), was 500")
        );
        // What was computed may miss by a hair.
        assert_eq!(said([100.0, 101.0, 99.0, 101.0 + 1e-12]), Ok(()));
        // Those of another market, or of another time, are not looked at.
        let odd = [Some(-1.0); 4];
        assert!(read(candles(&[(Some(999), odd)], None), ALL).is_ok());
        let other = candles(&[(Some(0), odd)], Some(("symbol", &[Some("B")])));
        assert!(read(other, Whose { symbol: Some("A"), ..ALL }).is_ok());
    }

    #[test]
    fn exchanges_share_a_candle_from_the_lowest_to_the_highest() {
        let rows = [
            (Some(0), [100.0, 105.0, 99.0, 104.0].map(Some)),
            (Some(0), [102.0, 103.0, 90.0, 100.0].map(Some)),
            (Some(5), [101.0, 110.0, 100.0, 109.0].map(Some)),
        ];
        let names: &[Option<&str>] = &[Some("a"), Some("b"), Some("a")];
        let found = read(candles(&rows, Some(("exchange", names))), ALL).unwrap().found;
        assert_eq!(found, [Some(Candle { open: 101.0, high: 110.0, low: 90.0, close: 109.0 }), None, None]);
    }

    #[test]
    fn candles_of_a_symbol_are_not_mixed_with_those_of_none() {
        let rows = [(Some(0), sound(99.0)), (Some(0), sound(98.0))];
        let error = read(candles(&rows, Some(("symbol", &[Some("A"), None]))), ALL).unwrap_err();
        assert!(error.contains("found 2: A, not stated"), "{error}");
    }

    #[test]
    fn pools_with_nulls_are_counted_and_odd_ones_refused() {
        let pools = |usd: Option<f64>, peak: f64| {
            let rows = samples::rows(vec![
                ("ts", instants(&[Some(0)])),
                ("pool_id", numbers(&[Some(1.0)])),
                ("side", words(&[Some("long")])),
                ("price_low", numbers(&[Some(90.0)])),
                ("price_high", numbers(&[Some(92.0)])),
                ("peak_price", numbers(&[Some(peak)])),
                ("notional_usd", numbers(&[usd])),
            ]);
            Overlays::of(&[rows]).pools(ALL, 0..=0).map_err(|error| error.to_string())
        };
        let nulls = pools(None, 90.5).unwrap();
        assert_eq!((nulls.found.len(), nulls.ignored_rows), (0, 1));
        assert_eq!(pools(Some(1.0), 91.0).unwrap().found, [samples::pool(PoolSide::Long, 90.0, 92.0, 1.0)]);
        let error = pools(Some(1.0), -1.0).unwrap_err();
        assert_eq!(error, "render: column 'peak_price' must hold prices above 0, of at most 1e15, was -1");
    }
}

//! Answers "how do the rows look as tables?": the simulated market as Arrow record batches, one per market table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{Candle, SimulatedMarket};

/// Names of the tables, in the order in which [`SimulatedMarket::tables`] returns them.
pub const TABLE_NAMES: [&str; 8] =
    ["candles", "trades", "open_interest", "funding", "liquidations", "positions", "leverage_tiers", "daily_candles"];

/// Columns under construction: name, whether NULL may occur, values.
struct Columns(Vec<(Field, ArrayRef)>);

impl Columns {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn time(mut self, name: &str, values: impl Iterator<Item = i64>) -> Self {
        let array = TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC");
        let data_type = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        self.0.push((Field::new(name, data_type, false), Arc::new(array)));
        self
    }

    fn text<'a>(mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        self.0.push((Field::new(name, DataType::Utf8, false), Arc::new(StringArray::from_iter_values(values))));
        self
    }

    fn number(mut self, name: &str, values: impl Iterator<Item = f64>) -> Self {
        self.0.push((Field::new(name, DataType::Float64, false), Arc::new(Float64Array::from_iter_values(values))));
        self
    }

    fn optional(mut self, name: &str, values: impl Iterator<Item = Option<f64>>) -> Self {
        let array: Float64Array = values.collect();
        self.0.push((Field::new(name, DataType::Float64, true), Arc::new(array)));
        self
    }

    fn finish(self) -> Result<RecordBatch, String> {
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = self.0.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| error.to_string())
    }
}

impl SimulatedMarket {
    /// Returns every table with its name, rows sorted by `ts`, exchange and symbol.
    ///
    /// # Errors
    ///
    /// None in practice; Arrow's own error is passed on as text.
    pub fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>, String> {
        TABLE_NAMES.iter().map(|name| Ok((*name, self.table(name)?))).collect()
    }

    /// Returns one table by its name.
    ///
    /// # Errors
    ///
    /// If there is no table of that name.
    pub fn table(&self, name: &str) -> Result<RecordBatch, String> {
        match name {
            "candles" => self.candle_table(&self.candles),
            "daily_candles" => self.candle_table(&self.daily_candles),
            "trades" => {
                let rows = &self.trades;
                self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
                    .number("price", rows.iter().map(|row| row.price))
                    .number("size", rows.iter().map(|row| row.size))
                    .text("side", rows.iter().map(|row| if row.is_buy { "buy" } else { "sell" }))
                    .finish()
            }
            "open_interest" => {
                let rows = &self.open_interest;
                self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
                    .number("open_interest", rows.iter().map(|row| row.open_interest))
                    .finish()
            }
            "funding" => {
                let rows = &self.funding;
                self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
                    .number("funding_rate", rows.iter().map(|row| row.funding_rate))
                    .number("interval_hours", rows.iter().map(|row| row.interval_hours))
                    .finish()
            }
            "liquidations" => {
                let rows = &self.liquidations;
                self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
                    .text("side", rows.iter().map(|row| row.side.name()))
                    .optional("price", rows.iter().map(|row| row.price))
                    .optional("bankruptcy_price", rows.iter().map(|row| row.bankruptcy_price))
                    .number("size", rows.iter().map(|row| row.size))
                    .number("notional_usd", rows.iter().map(|row| row.notional_usd))
                    .finish()
            }
            "positions" => {
                let rows = &self.positions;
                self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
                    .text("account", rows.iter().map(|row| row.account.as_str()))
                    .text("side", rows.iter().map(|row| row.side.name()))
                    .number("size", rows.iter().map(|row| row.size))
                    .number("entry_price", rows.iter().map(|row| row.entry_price))
                    .number("leverage", rows.iter().map(|row| row.leverage))
                    .optional("liquidation_price", rows.iter().map(|row| row.liquidation_price))
                    .number("notional_usd", rows.iter().map(|row| row.notional_usd))
                    .finish()
            }
            "leverage_tiers" => {
                let rows = &self.leverage_tiers;
                Columns::new()
                    .text("exchange", rows.iter().map(|row| self.markets[row.market].exchange.as_str()))
                    .text("symbol", rows.iter().map(|row| self.markets[row.market].symbol.as_str()))
                    .time("known_since", rows.iter().map(|row| row.known_since_ms))
                    .text("unit", rows.iter().map(|_| "quote_notional"))
                    .number("floor", rows.iter().map(|row| row.floor))
                    .number("cap", rows.iter().map(|row| row.cap))
                    .number("maintenance_margin_rate", rows.iter().map(|row| row.maintenance_margin_rate))
                    .number("max_leverage", rows.iter().map(|row| row.max_leverage))
                    .number("maintenance_amount", rows.iter().map(|row| row.maintenance_amount))
                    .finish()
            }
            other => Err(format!("'{other}' is not a simulated table; they are {}", TABLE_NAMES.join(", "))),
        }
    }

    /// The three columns that every keyed table begins with.
    fn keyed(&self, times: impl Iterator<Item = i64>, keys: impl Iterator<Item = usize> + Clone) -> Columns {
        Columns::new()
            .time("ts", times)
            .text("exchange", keys.clone().map(|key| self.markets[key].exchange.as_str()))
            .text("symbol", keys.map(|key| self.markets[key].symbol.as_str()))
    }

    fn candle_table(&self, rows: &[Candle]) -> Result<RecordBatch, String> {
        self.keyed(rows.iter().map(|row| row.ts_ms), rows.iter().map(|row| row.market))
            .number("open", rows.iter().map(|row| row.open))
            .number("high", rows.iter().map(|row| row.high))
            .number("low", rows.iter().map(|row| row.low))
            .number("close", rows.iter().map(|row| row.close))
            .number("volume", rows.iter().map(|row| row.volume))
            .optional("taker_buy_volume", rows.iter().map(|row| row.taker_buy_volume))
            .finish()
    }
}

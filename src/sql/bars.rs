//! Rows of `bars` or `candles` as the model takes them, each checked.
//!
//! A bar with a NULL, NaN, infinite or non-positive price, with high below low, with a negative volume or open interest,
//! or out of order is a defect of the data, and what the model would make of it is worse than an error. So it is one,
//! which names the key, the instant, the column and the value, unless the query says `on_bad_rows => 'skip'`.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::physical_plan::metrics::Count;

use super::exec::time_text;
use super::keys::Key;
use crate::market::tables::MODEL_BARS;
use crate::market::{Column, Layout};
use crate::model::bar::Bar;
use crate::model::side::Side;

/// Prices outside are taken for defects: no market trades there, and the price axis would need gigabytes.
const PRICES: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// Instants outside are taken for defects: with these no sum of an instant and a length of time overflows.
const INSTANTS: std::ops::RangeInclusive<i64> = -6_311_520_000_000_000..=6_311_520_000_000_000;

/// What is done with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRows {
    /// The query fails with an error that names the row.
    Error,
    /// The row is left out and counted.
    Skip,
}

impl BadRows {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["error", "skip"];

    /// Reads a name of [`BadRows::NAMES`].
    pub fn from_name(name: &str) -> BadRows {
        if name == "skip" { BadRows::Skip } else { BadRows::Error }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Why a row cannot be used. Boxed, because rows are read into results and hardly any has a defect.
#[derive(Debug)]
pub struct Defect(Box<Parts>);

#[derive(Debug)]
struct Parts {
    column: &'static str,
    must: String,
    was: String,
    exchange: String,
    symbol: String,
    ts: Option<i64>,
}

impl Defect {
    /// Makes a defect of what a key has at an instant.
    pub fn of(key: &Key, ts: i64, column: &'static str, must: impl Into<String>, was: impl Into<String>) -> Defect {
        Defect(Box::new(Parts {
            column,
            must: must.into(),
            was: was.into(),
            exchange: key.exchange.clone(),
            symbol: key.symbol.clone(),
            ts: Some(ts),
        }))
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { column, must, was, exchange, symbol, ts } = self.0.as_ref();
        let ts = ts.map_or_else(|| "NULL".to_owned(), time_text);
        write!(f, "'{column}' must {must}, was {was} at ({exchange}, {symbol}, {ts})")
    }
}

/// Counts or raises defects.
#[derive(Debug, Clone)]
pub struct Judge {
    function: &'static str,
    bad_rows: BadRows,
    skipped: Count,
}

impl Judge {
    /// Makes a judge for a function; `skipped` counts the rows left out.
    pub fn new(function: &'static str, bad_rows: BadRows, skipped: Count) -> Judge {
        Judge { function, bad_rows, skipped }
    }

    /// Returns the function for which it judges.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Leaves a row out, or makes the error.
    pub fn judge(&self, defect: &Defect) -> Result<()> {
        match self.bad_rows {
            BadRows::Skip => {
                self.skipped.add(1);
                Ok(())
            }
            BadRows::Error => Err(self.error(defect)),
        }
    }

    fn error(&self, defect: &Defect) -> DataFusionError {
        exec_datafusion_err!("{}: {defect}; on_bad_rows => 'skip' leaves such rows out", self.function)
    }

    /// Checks that a row comes after the last one of its key, and not within half a bar of it.
    pub fn check_order(
        &self,
        exchange: &str,
        symbol: &str,
        ts: i64,
        last: Option<i64>,
        interval: Option<i64>,
    ) -> Result<bool> {
        let Some(last) = last else { return Ok(true) };
        let spacing = ts - last;
        let must = if ts == last {
            "not occur twice for a key".to_owned()
        } else if spacing < 0 {
            format!("not go backwards (it follows {})", time_text(last))
        } else if let Some(interval) = interval.filter(|interval| spacing * 2 < *interval) {
            format!("not be closer than half a bar of {} ms to the one before ({})", interval, time_text(last))
        } else {
            return Ok(true);
        };
        let key = Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() };
        self.judge(&Defect::of(&key, ts, "ts", must, time_text(ts))).map(|()| false)
    }
}

/// The columns of one batch, in the market's types.
#[derive(Debug)]
pub struct Rows {
    columns: &'static [Column],
    arrays: Vec<ArrayRef>,
    ts: TimestampMillisecondArray,
    exchange: StringViewArray,
    symbol: StringViewArray,
    rows: usize,
}

impl Rows {
    /// Converts a batch; `columns` begin with ts, exchange, symbol.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn try_new(function: &str, columns: &'static [Column], layout: &Layout, batch: &RecordBatch) -> Result<Rows> {
        let arrays = layout
            .normalise(batch)
            .map_err(|error| exec_datafusion_err!("{function}: a column cannot be read: {error}"))?;
        let position = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or(0);
        Ok(Rows {
            columns,
            ts: arrays[position("ts")].as_primitive::<TimestampMillisecondType>().clone(),
            exchange: arrays[position("exchange")].as_string_view().clone(),
            symbol: arrays[position("symbol")].as_string_view().clone(),
            arrays,
            rows: batch.num_rows(),
        })
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the exchange of a row; empty where it is NULL, which [`Rows::instant`] refuses.
    pub fn exchange(&self, row: usize) -> &str {
        if self.exchange.is_null(row) { "" } else { self.exchange.value(row) }
    }

    /// Returns the symbol of a row; empty where it is NULL, which [`Rows::instant`] refuses.
    pub fn symbol(&self, row: usize) -> &str {
        if self.symbol.is_null(row) { "" } else { self.symbol.value(row) }
    }

    /// Returns a column of numbers by its position in the declaration.
    pub fn numbers(&self, position: usize) -> &Float64Array {
        self.arrays[position].as_primitive::<Float64Type>()
    }

    /// Returns a column by its position in the declaration.
    pub fn array(&self, position: usize) -> &ArrayRef {
        &self.arrays[position]
    }

    /// Returns a column of texts by its position in the declaration.
    pub fn texts(&self, position: usize) -> &StringViewArray {
        self.arrays[position].as_string_view()
    }

    /// Makes a defect of a row.
    pub fn defect(&self, row: usize, column: &'static str, must: impl Into<String>, was: impl Into<String>) -> Defect {
        let text = |array: &StringViewArray| {
            if array.is_null(row) { "NULL".to_owned() } else { array.value(row).to_owned() }
        };
        Defect(Box::new(Parts {
            column,
            must: must.into(),
            was: was.into(),
            exchange: text(&self.exchange),
            symbol: text(&self.symbol),
            ts: self.ts.is_valid(row).then(|| self.ts.value(row)),
        }))
    }

    /// Returns the instant of a row whose time and key are not NULL.
    pub fn instant(&self, row: usize) -> Result<i64, Defect> {
        if self.exchange.is_null(row) {
            return Err(self.defect(row, "exchange", "not be NULL", "NULL"));
        }
        self.instant_of_symbol(row)
    }

    /// Returns the instant of a row whose time and symbol are not NULL; its exchange may be.
    pub fn instant_of_symbol(&self, row: usize) -> Result<i64, Defect> {
        if self.symbol.is_null(row) {
            return Err(self.defect(row, "symbol", "not be NULL", "NULL"));
        }
        if self.ts.is_null(row) {
            return Err(self.defect(row, "ts", "not be NULL", "NULL"));
        }
        let ts = self.ts.value(row);
        if !INSTANTS.contains(&ts) {
            return Err(self.defect(row, "ts", "be within 200,000 years of 1970", format!("{ts} ms")));
        }
        Ok(ts)
    }

    /// Returns a number, `None` for NULL.
    pub fn optional(&self, row: usize, position: usize) -> Option<f64> {
        let numbers = self.numbers(position);
        numbers.is_valid(row).then(|| numbers.value(row))
    }

    /// Returns a price: not NULL, finite, positive.
    pub fn price(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match self.optional(row, position) {
            Some(price) if PRICES.contains(&price) => Ok(price),
            other => {
                let must = format!("be a price between {:e} and {:e}", PRICES.start(), PRICES.end());
                Err(self.defect(row, self.columns[position].name, must, shown(other)))
            }
        }
    }

    /// Returns a quantity: not NULL, finite, zero or more.
    pub fn quantity(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match self.optional(row, position) {
            Some(quantity) if quantity.is_finite() && quantity >= 0.0 => Ok(quantity),
            other => Err(self.defect(row, self.columns[position].name, "be zero or a positive number", shown(other))),
        }
    }

    /// Returns a side: `long` or `short`.
    pub fn side(&self, row: usize, position: usize) -> Result<Side, Defect> {
        let sides = self.texts(position);
        let name = sides.is_valid(row).then(|| sides.value(row));
        name.and_then(Side::from_name).ok_or_else(|| {
            let was = name.map_or_else(|| "NULL".to_owned(), |name| format!("'{name}'"));
            self.defect(row, self.columns[position].name, "be 'long' or 'short'", was)
        })
    }

    /// Returns a quantity that may be NULL.
    pub fn optional_quantity(&self, row: usize, position: usize) -> Result<Option<f64>, Defect> {
        match self.optional(row, position) {
            None => Ok(None),
            Some(_) => self.quantity(row, position).map(Some),
        }
    }

    /// Returns a row of `bars` as the model takes it. The rows must have been read with [`MODEL_BARS`].
    pub fn bar(&self, row: usize) -> Result<Bar, Defect> {
        debug_assert_eq!(self.columns, MODEL_BARS, "Invariant: the layout is that of bars");
        let mut bar = self.candle(row)?;
        bar.open_interest = self.optional_quantity(row, 8)?;
        bar.open_interest_close = self.optional_quantity(row, 9)?;
        Ok(bar)
    }

    /// Returns a row of `candles` as a bar without open interest. Both begin with the same columns.
    pub fn candle(&self, row: usize) -> Result<Bar, Defect> {
        let bar = Bar {
            ts: self.instant(row)?,
            open: self.price(row, 3)?,
            high: self.price(row, 4)?,
            low: self.price(row, 5)?,
            close: self.price(row, 6)?,
            volume: self.quantity(row, 7)?,
            open_interest: None,
            open_interest_close: None,
        };
        if bar.high < bar.low {
            return Err(self.defect(row, "high", format!("not be below 'low' ({})", bar.low), bar.high.to_string()));
        }
        Ok(bar)
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

//! The last value at or before an instant, per key, over a stream of (key, instant, value).
//!
//! In: batches in the order in which the exec gets them, by time over all keys or by key then time. Out: lookups at
//! instants that never go backwards for a key. Only values that a later lookup can still reach are kept.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::Result;

use super::bars::{Judge, Rows};
use super::exec::Arrival;
use super::keys::{Key, Keyed};
use super::stream::Stream;
use crate::market::Column;

/// A stream of values by key and time.
#[derive(Debug)]
pub struct Values {
    stream: Stream,
    held: Held,
}

#[derive(Debug)]
struct Held {
    column: &'static str,
    /// Position of the value among the columns.
    value: usize,
    /// Whether negative values are allowed.
    signed: bool,
    keys: Keyed<VecDeque<(i64, f64)>>,
}

/// How a stream is read.
#[derive(Debug)]
pub struct Reading {
    /// The function that reads.
    pub function: &'static str,
    /// The argument that is read.
    pub parameter: &'static str,
    /// Columns of the table; they begin with ts, exchange, symbol.
    pub columns: &'static [Column],
    /// Name of the column with the value.
    pub value: &'static str,
    /// Whether negative values are allowed.
    pub signed: bool,
    /// What is done with unusable rows.
    pub judge: Judge,
    /// The order in which keys arrive.
    pub arrival: Arrival,
}

impl Values {
    /// Starts to read a stream of a schema.
    ///
    /// # Errors
    ///
    /// The schema lacks a column or has one of a wrong type.
    pub fn try_new(reading: Reading, schema: &Schema) -> Result<Values> {
        let Reading { function, parameter, columns, value: column, signed, judge, arrival } = reading;
        let stream = Stream::try_new(function, parameter, columns, schema, judge, arrival)?;
        let value = columns.iter().position(|known| known.name == column).unwrap_or(columns.len() - 1);
        Ok(Values { stream, held: Held { column, value, signed, keys: Keyed::default() } })
    }

    /// Takes the next batch; `None` is the end.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn feed(&mut self, batch: Option<&RecordBatch>) -> Result<()> {
        self.stream.feed(batch)
    }

    /// Reads on until every value of a key at or before an instant is known; returns whether it is, else the next batch
    /// is needed. No later lookup, of any key where keys are interleaved, is at an instant before `from`.
    ///
    /// # Errors
    ///
    /// A row cannot be used.
    pub fn reach(&mut self, key: &Key, ts: i64, from: i64) -> Result<bool> {
        let Values { stream, held } = self;
        stream.read_to(key, ts, |judge, rows, row, instant| held.take(judge, rows, row, instant, from))
    }

    /// Returns the last value of a key at or before an instant, not older than `tolerance` milliseconds.
    ///
    /// Values before `from` that no lookup at or after it can reach are dropped.
    pub fn lookup(&mut self, key: &Key, ts: i64, from: i64, tolerance: Option<i64>) -> Option<f64> {
        let keys = &mut self.held.keys;
        let place = keys.place(&key.exchange, &key.symbol, |_| VecDeque::new())?;
        let (_, values) = keys.get_mut(place)?;
        while values.len() > 1 && values[1].0 <= from {
            values.pop_front();
        }
        let (instant, value) = values.iter().rev().find(|(instant, _)| *instant <= ts)?;
        (tolerance.is_none_or(|tolerance| ts - instant <= tolerance)).then_some(*value)
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.held.keys.values().map(|values| values.capacity() * size_of::<(i64, f64)>()).sum()
    }
}

impl Held {
    fn take(&mut self, judge: &Judge, rows: &Rows, row: usize, instant: i64, from: i64) -> Result<()> {
        // NULL says that nothing is known then: the last value holds.
        let Some(value) = rows.optional(row, self.value) else { return Ok(()) };
        if !value.is_finite() || (value < 0.0 && !self.signed) {
            let must = if self.signed { "be a finite number" } else { "be zero or a positive number" };
            return judge.judge(&rows.defect(row, self.column, must, value.to_string()));
        }
        let (exchange, symbol) = (rows.exchange(row), rows.symbol(row));
        let Some(place) = self.keys.place(exchange, symbol, |_| VecDeque::new()) else { return Ok(()) };
        let Some((_, values)) = self.keys.get_mut(place) else { return Ok(()) };
        match values.back_mut() {
            // Of several values of one instant the last counts.
            Some((last, known)) if *last == instant => *known = value,
            Some((last, _)) if *last > instant => {
                let last = *last;
                judge.check_order(exchange, symbol, instant, Some(last), None)?;
            }
            _ => {
                values.push_back((instant, value));
                while values.len() > 1 && values[1].0 <= from {
                    values.pop_front();
                }
            }
        }
        Ok(())
    }
}

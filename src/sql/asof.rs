//! The last value at or before an instant, per key, over a stream of (key, instant, value).
//!
//! In: batches in the order in which the exec gets them, by time over all keys or by key then time. Out: lookups at
//! instants that never go backwards for a key. Only values that a later lookup can still reach are kept.

use std::cmp::Ordering;
use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, exec_err};

use super::bars::{Judge, Rows};
use super::exec::Arrival;
use super::keys::{Key, Keyed};
use crate::market::{Column, Layout};

/// A stream of values by key and time.
#[derive(Debug)]
pub struct Values {
    function: &'static str,
    columns: &'static [Column],
    layout: Layout,
    /// Position of the value among the columns.
    value: usize,
    /// Whether negative values are allowed.
    signed: bool,
    judge: Judge,
    arrival: Arrival,
    batch: Option<(Rows, usize)>,
    ended: bool,
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
        let Reading { function, parameter, columns, value, signed, judge, arrival } = reading;
        let layout = match Layout::find(columns, schema) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{function}: '{parameter}' {error}"),
        };
        let value = columns.iter().position(|column| column.name == value).unwrap_or(columns.len() - 1);
        let keys = Keyed::default();
        Ok(Values { function, columns, layout, value, signed, judge, arrival, batch: None, ended: false, keys })
    }

    /// Takes the next batch; `None` is the end.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn feed(&mut self, batch: Option<&RecordBatch>) -> Result<()> {
        match batch {
            Some(batch) => self.batch = Some((Rows::try_new(self.function, self.columns, &self.layout, batch)?, 0)),
            None => self.ended = true,
        }
        Ok(())
    }

    /// Reads on until every value of a key at or before an instant is known; returns whether it is, else the next batch
    /// is needed. No later lookup, of any key where keys are interleaved, is at an instant before `from`.
    ///
    /// # Errors
    ///
    /// A row cannot be used.
    pub fn reach(&mut self, key: &Key, ts: i64, from: i64) -> Result<bool> {
        loop {
            let Some((rows, row)) = &mut self.batch else { return Ok(self.ended) };
            if *row >= rows.len() {
                self.batch = None;
                continue;
            }
            let instant = match rows.instant(*row) {
                Ok(instant) => instant,
                Err(defect) => {
                    self.judge.judge(&defect)?;
                    *row += 1;
                    continue;
                }
            };
            let ahead = match self.arrival {
                Arrival::ByTime => instant > ts,
                Arrival::ByKey => {
                    let name = (rows.exchange(*row), rows.symbol(*row));
                    match name.cmp(&(key.exchange.as_str(), key.symbol.as_str())) {
                        // A key without candles: nothing will ask for it.
                        Ordering::Less => {
                            *row += 1;
                            continue;
                        }
                        Ordering::Equal => instant > ts,
                        Ordering::Greater => true,
                    }
                }
            };
            if ahead {
                return Ok(true);
            }
            let taken = *row;
            *row += 1;
            self.take(taken, instant, from)?;
        }
    }

    fn take(&mut self, row: usize, instant: i64, from: i64) -> Result<()> {
        let Some((rows, _)) = &self.batch else { return Ok(()) };
        // NULL says that nothing is known then: the last value holds.
        let Some(value) = rows.optional(row, self.value) else { return Ok(()) };
        if !value.is_finite() || (value < 0.0 && !self.signed) {
            let must = if self.signed { "be a finite number" } else { "be zero or a positive number" };
            let defect = rows.defect(row, self.columns[self.value].name, must, value.to_string());
            return self.judge.judge(&defect);
        }
        let (exchange, symbol) = (rows.exchange(row), rows.symbol(row));
        let Some(place) = self.keys.place(exchange, symbol, |_| VecDeque::new()) else { return Ok(()) };
        let Some((_, values)) = self.keys.get_mut(place) else { return Ok(()) };
        match values.back_mut() {
            // Of several values of one instant the last counts.
            Some((last, known)) if *last == instant => *known = value,
            Some((last, _)) if *last > instant => {
                let last = *last;
                self.judge.check_order(exchange, symbol, instant, Some(last), None)?;
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

    /// Returns the last value of a key at or before an instant, not older than `tolerance` milliseconds.
    ///
    /// Values before `from` that no lookup at or after it can reach are dropped.
    pub fn lookup(&mut self, key: &Key, ts: i64, from: i64, tolerance: Option<i64>) -> Option<f64> {
        let place = self.keys.place(&key.exchange, &key.symbol, |_| VecDeque::new())?;
        let (_, values) = self.keys.get_mut(place)?;
        while values.len() > 1 && values[1].0 <= from {
            values.pop_front();
        }
        let (instant, value) = values.iter().rev().find(|(instant, _)| *instant <= ts)?;
        (tolerance.is_none_or(|tolerance| ts - instant <= tolerance)).then_some(*value)
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.keys.values().map(|values| values.capacity() * size_of::<(i64, f64)>()).sum()
    }
}

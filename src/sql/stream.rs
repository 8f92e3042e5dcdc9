//! A further input of a function, read up to the instants of the first.
//!
//! In: batches in the order in which the exec gets them, by time over all keys or by key then time. Out: each usable row
//! once, in order, as soon as an instant at or after it is asked for. Nothing is held but the batch that is being read.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, exec_err};

use super::bars::{Judge, Rows};
use super::exec::Arrival;
use super::keys::Key;
use crate::market::{Column, Layout};

/// Rows of an input by key and time.
#[derive(Debug)]
pub struct Stream {
    function: &'static str,
    columns: &'static [Column],
    layout: Layout,
    judge: Judge,
    arrival: Arrival,
    batch: Option<(Rows, usize)>,
    ended: bool,
}

impl Stream {
    /// Starts to read an input of a schema; `columns` begin with ts, exchange, symbol.
    ///
    /// # Errors
    ///
    /// The schema lacks a column or has one of a wrong type.
    pub fn try_new(
        function: &'static str,
        parameter: &str,
        columns: &'static [Column],
        schema: &Schema,
        judge: Judge,
        arrival: Arrival,
    ) -> Result<Stream> {
        let layout = match Layout::find(columns, schema) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{function}: '{parameter}' {error}"),
        };
        Ok(Stream { function, columns, layout, judge, arrival, batch: None, ended: false })
    }

    /// Returns what judges unusable rows.
    pub fn judge(&self) -> &Judge {
        &self.judge
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

    /// Hands over the rows at or before an instant that were not handed over yet: of every key where keys are
    /// interleaved, else of this key alone. Returns whether there are no more, else the next batch is needed.
    ///
    /// # Errors
    ///
    /// A row cannot be used, or `take` fails.
    pub fn read_to(
        &mut self,
        key: &Key,
        ts: i64,
        mut take: impl FnMut(&Judge, &Rows, usize, i64) -> Result<()>,
    ) -> Result<bool> {
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
                        // A key that the first input does not have: nothing will ask for it.
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
            take(&self.judge, rows, *row, instant)?;
            *row += 1;
        }
    }
}

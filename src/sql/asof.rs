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
use super::keys::Key;
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
    keys: Vec<(Key, VecDeque<(i64, f64)>)>,
    /// Places of the keys in order of their names.
    sorted: Vec<usize>,
    /// Where the key of the last value taken is found, and that of the last look-up.
    taken: Trail,
    looked_up: Trail,
}

/// Where a key was found last: keys that are interleaved mostly come in the same turn again.
#[derive(Debug, Default)]
struct Trail {
    last: usize,
    /// By place, the place that followed it.
    next: Vec<usize>,
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
        let (keys, sorted, taken, looked_up) = (Vec::new(), Vec::new(), Trail::default(), Trail::default());
        Ok(Values { stream, held: Held { column, value, signed, keys, sorted, taken, looked_up } })
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
        let Held { keys, sorted, looked_up, .. } = &mut self.held;
        let place = looked_up.place(keys, sorted, &key.exchange, &key.symbol);
        let (_, values) = &mut keys[place];
        while values.len() > 1 && values[1].0 <= from {
            values.pop_front();
        }
        let (instant, value) = values.iter().rev().find(|(instant, _)| *instant <= ts)?;
        (tolerance.is_none_or(|tolerance| ts - instant <= tolerance)).then_some(*value)
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let keys = &self.held.keys;
        let values: usize = keys.iter().map(|(_, values)| values.capacity() * size_of::<(i64, f64)>()).sum();
        values + keys.capacity() * size_of::<(Key, VecDeque<(i64, f64)>)>()
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
        let place = self.taken.place(&mut self.keys, &mut self.sorted, exchange, symbol);
        let (_, values) = &mut self.keys[place];
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

impl Trail {
    /// Returns the place of a key, made if it is new.
    fn place(
        &mut self,
        keys: &mut Vec<(Key, VecDeque<(i64, f64)>)>,
        sorted: &mut Vec<usize>,
        exchange: &str,
        symbol: &str,
    ) -> usize {
        let is =
            |place: usize| keys.get(place).is_some_and(|(key, _)| key.symbol == symbol && key.exchange == exchange);
        if is(self.last) {
            return self.last;
        }
        let next = self.next.get(self.last).copied().filter(|next| is(*next));
        let place = next.unwrap_or_else(|| {
            let name = |place: &usize| (keys[*place].0.exchange.as_str(), keys[*place].0.symbol.as_str());
            match sorted.binary_search_by(|place| name(place).cmp(&(exchange, symbol))) {
                Ok(found) => sorted[found],
                Err(before) => {
                    let key = Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() };
                    sorted.insert(before, keys.len());
                    keys.push((key, VecDeque::new()));
                    keys.len() - 1
                }
            }
        });
        self.next.resize(keys.len(), 0);
        self.next[self.last] = place;
        self.last = place;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_place_in_whatever_turn_keys_come() {
        let (mut keys, mut sorted) = (Vec::new(), Vec::new());
        let mut trails = [Trail::default(), Trail::default()];
        let mut known: Vec<(String, String)> = Vec::new();
        let mut state = 7_u64;
        for step in 0..5000_usize {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Turns that repeat, then turns by chance, then runs of one key.
            let number = match step {
                0..1000 => step % 7,
                1000..3000 => (state >> 33) as usize % (1 + step / 20),
                _ => step / 50,
            };
            let (exchange, symbol) = (format!("e{}", number % 3), format!("s{}", number / 3));
            let trail = &mut trails[(state >> 60) as usize % 2];
            let place = trail.place(&mut keys, &mut sorted, &exchange, &symbol);
            let name = (exchange, symbol);
            let expected = known.iter().position(|known| *known == name).unwrap_or(known.len());
            if expected == known.len() {
                known.push(name);
            }
            assert_eq!(place, expected);
            assert_eq!((&keys[place].0.exchange, &keys[place].0.symbol), (&known[place].0, &known[place].1));
        }
        assert_eq!(keys.len(), known.len());
    }
}

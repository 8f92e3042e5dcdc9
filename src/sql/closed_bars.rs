//! Bars that have closed by an instant, per key.
//!
//! In: bars or candles in order of time. Out: each bar once, when an instant at or after its close is asked for. A bar is
//! stamped with its open; it has closed when the next one of its key opens, or when the shortest distance between two
//! bars of the key so far is over, whichever is first.
//!
//! Invariant: what is handed over at an instant depends on bars that opened at or before it only, never on how they were
//! batched.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::Result;

use super::bars::{Judge, Rows};
use super::exec::Arrival;
use super::keys::{Key, Keyed};
use super::stream::Stream;
use crate::market::Column;
use crate::market::tables::CANDLES;
use crate::model::bar::Bar;

/// What is read of the bars.
pub static BAR_COLUMNS: &[Column] = &[
    CANDLES.columns[0],
    CANDLES.columns[1],
    CANDLES.columns[2],
    CANDLES.columns[3],
    CANDLES.columns[4],
    CANDLES.columns[5],
    CANDLES.columns[6],
    CANDLES.columns[7],
];

/// A bar and the instant at which it had closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosedBar {
    /// When it had closed, milliseconds since the epoch.
    pub closed: i64,
    /// The bar, without open interest.
    pub bar: Bar,
}

/// Bars of an input, by key.
#[derive(Debug)]
pub struct ClosedBars {
    stream: Stream,
    arrival: Arrival,
    held: Keyed<State>,
    current: Option<Key>,
    keep: Option<i64>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether bars of this key were ever asked for.
    asked: bool,
    /// Bars that have closed and were not handed over.
    closed: VecDeque<ClosedBar>,
    /// The last bar, and whether it was handed over already.
    last: Option<(Bar, bool)>,
    shortest: Option<i64>,
}

impl State {
    fn take(&mut self, bar: Bar) {
        if let Some((last, handed_over)) = self.last.replace((bar, false)) {
            let distance = bar.ts - last.ts;
            let shortest = self.shortest.map_or(distance, |shortest| shortest.min(distance));
            self.shortest = Some(shortest);
            if !handed_over {
                self.closed.push_back(ClosedBar { closed: last.ts + shortest, bar: last });
            }
        }
    }
}

impl ClosedBars {
    /// Starts to read an input. With `keep`, bars that closed longer than so many milliseconds before the last instant
    /// asked for are dropped, of any key. Without, only those are of keys that nobody has asked for yet.
    ///
    /// # Errors
    ///
    /// The schema lacks a column or has one of a wrong type.
    pub fn try_new(
        parameter: &str,
        schema: &Schema,
        judge: Judge,
        arrival: Arrival,
        keep: Option<i64>,
    ) -> Result<ClosedBars> {
        let stream = Stream::try_new(judge.function(), parameter, BAR_COLUMNS, schema, judge, arrival)?;
        Ok(ClosedBars { stream, arrival, held: Keyed::default(), current: None, keep })
    }

    /// Takes the next batch; `None` is the end.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn feed(&mut self, batch: Option<&RecordBatch>) -> Result<()> {
        self.stream.feed(batch)
    }

    /// Reads on until every bar of a key that has closed by an instant is known; returns whether it is, else the next
    /// batch is needed. Instants never go backwards, for any key where keys are interleaved.
    ///
    /// # Errors
    ///
    /// A bar cannot be used.
    pub fn reach(&mut self, key: &Key, ts: i64) -> Result<bool> {
        if self.arrival == Arrival::ByKey
            && self.current.as_ref() != Some(key)
            && let Some(last) = self.current.replace(key.clone())
            && let Some(place) = self.held.place(&last.exchange, &last.symbol, |_| State::default())
        {
            self.held.remove(place);
        }
        let (held, keep, oldest) = (&mut self.held, self.keep, ts.saturating_sub(self.keep.unwrap_or(0)));
        self.stream.read_to(key, ts, |judge, rows, row, _| take(held, judge, rows, row, (keep.is_some(), oldest)))
    }

    /// Hands over the bars of a key that have closed by an instant which was reached, oldest first.
    pub fn take(&mut self, key: &Key, ts: i64, mut each: impl FnMut(&ClosedBar)) {
        let Some(place) = self.held.place(&key.exchange, &key.symbol, |_| State::default()) else { return };
        let Some((_, state)) = self.held.get_mut(place) else { return };
        state.asked = true;
        for bar in state.closed.drain(..) {
            each(&bar);
        }
        if let (Some((bar, handed_over @ false)), Some(shortest)) = (&mut state.last, state.shortest)
            && bar.ts + shortest <= ts
        {
            *handed_over = true;
            each(&ClosedBar { closed: bar.ts + shortest, bar: *bar });
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let of_key = |state: &State| size_of::<State>() + state.closed.capacity() * size_of::<ClosedBar>();
        self.held.values().map(of_key).sum()
    }
}

fn take(
    held: &mut Keyed<State>,
    judge: &Judge,
    rows: &Rows,
    row: usize,
    (of_any_key, oldest): (bool, i64),
) -> Result<()> {
    let bar = match rows.candle(row) {
        Ok(bar) => bar,
        Err(defect) => return judge.judge(&defect),
    };
    let (exchange, symbol) = (rows.exchange(row), rows.symbol(row));
    let Some(place) = held.place(exchange, symbol, |_| State::default()) else { return Ok(()) };
    let Some((_, state)) = held.get_mut(place) else { return Ok(()) };
    let last = state.last.map(|(last, _)| last.ts);
    if judge.check_order(exchange, symbol, bar.ts, last, None)? {
        state.take(bar);
        if of_any_key || !state.asked {
            while state.closed.front().is_some_and(|bar| bar.closed < oldest) {
                state.closed.pop_front();
            }
        }
    }
    Ok(())
}

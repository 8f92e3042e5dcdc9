//! Rows of a heatmap or map, gathered into frames: what the functions that read them share of their runs.
//!
//! In: rows with ts, exchange, symbol, side, price_low, price_high and notional_usd; price and leverage may be absent.
//! Out: one [`Snapshot`] per (exchange, symbol, ts), its cells sorted, as soon as the next instant or key begins. Frames of
//! one instant come in order of their keys.
//!
//! ```text
//!   by time   t1 A A B B A │ t2 B A …      ─► (A, t1) (B, t1) (A, t2) …
//!   by key    A t1 t1 │ t2 t2 │ B t1 …     ─► (A, t1) (A, t2) (B, t1) …
//! ```
//!
//! Invariant: of a frame all rows have one price, longs begin at or below it and shorts end at or above it. A row that
//! breaks it cannot be used; where such rows are left out, the first usable row of the frame tells its price.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, exec_err};
use datafusion::physical_plan::metrics::Count;

use super::bars::{Defect, Judge, Rows as BarRows};
use super::bounds::TimeBounds;
use super::exec::{Arrival, Run, Start, Step};
use super::keys::Key;
use super::rows::Rows;
use super::spec::{Fallback, Parameter, ParameterKind};
use crate::market::{Column, Kind, Layout};
use crate::model::side::Side;
use crate::model::snapshot::{PriceCell, Snapshot};

/// What is read of a heatmap or map.
pub static FRAME_COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::optional("price", Kind::Number, "quote per base", "current price"),
    Column::new("side", Kind::Text, "", "side of the positions: long or short"),
    Column::optional("leverage", Kind::Number, "", "leverage of the positions; null for all together"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the cell"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the cell"),
    Column::new("notional_usd", Kind::Number, "USD", "what stands in the cell"),
];

const PRICE: usize = 3;
const SIDE: usize = 4;
const LEVERAGE: usize = 5;
const PRICE_LOW: usize = 6;
const PRICE_HIGH: usize = 7;
const NOTIONAL_USD: usize = 8;

/// The argument of functions that read frames over time.
pub const HEATMAP_PARAMETER: Parameter = Parameter {
    name: "heatmap",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "rows of liq_heatmap, liq_bucket or liq_smooth, or any with their columns",
};

/// The argument of functions that read one frame or several, each by itself.
pub const MAP_PARAMETER: Parameter = Parameter {
    name: "map",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "rows of liq_map, or of a heatmap: each of its frames is a map",
};

/// What a row of a frame is read as.
pub trait FrameCell: Sized + Send + Debug {
    /// The columns that are read; they begin with ts, exchange, symbol and price.
    fn columns() -> &'static [Column];
    /// Reads a row at the current price.
    ///
    /// # Errors
    ///
    /// A value is not as it must be.
    fn read(batch: &BarRows, row: usize, price: Option<f64>) -> Result<Self, Defect>;
    /// Brings the cells of a frame into order.
    fn sort(cells: &mut [Self]);
}

/// Gathers rows into frames.
#[derive(Debug)]
pub struct Frames<C = PriceCell> {
    function: &'static str,
    layout: Layout,
    judge: Judge,
    frames: Count,
    arrival: Arrival,
    batch: Option<(BarRows, usize)>,
    ended: bool,
    /// Frames that are being filled, all of one instant.
    filling: BTreeMap<Key, Snapshot<C>>,
    at: i64,
    /// The key whose rows come, where keys come one after the other.
    current: Option<Key>,
    ready: VecDeque<(Key, Snapshot<C>)>,
    /// Buffers of frames that were given back.
    spare: Vec<Vec<C>>,
}

impl<C: FrameCell> Frames<C> {
    /// Starts to read an input; `parameter` is the argument's name.
    ///
    /// # Errors
    ///
    /// The schema lacks a column or has one of a wrong type.
    pub fn try_new(parameter: &str, schema: &Schema, judge: Judge, start: &Start<'_>) -> Result<Frames<C>> {
        let function = judge.function();
        let layout = match Layout::find(C::columns(), schema) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{function}: '{parameter}' {error}"),
        };
        Ok(Frames {
            function,
            layout,
            judge,
            frames: start.counter("frames"),
            arrival: start.arrival,
            batch: None,
            ended: false,
            filling: BTreeMap::new(),
            at: i64::MIN,
            current: None,
            ready: VecDeque::new(),
            spare: Vec::new(),
        })
    }

    /// Takes the next batch; `None` is the end.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn feed(&mut self, batch: Option<RecordBatch>) -> Result<()> {
        match batch {
            Some(batch) => {
                self.batch = Some((BarRows::try_new(self.function, C::columns(), &self.layout, &batch)?, 0));
            }
            None => self.ended = true,
        }
        Ok(())
    }

    /// Whether the input has ended. Frames may still be ready.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Returns the next frame that is complete, its cells sorted; `None` if more rows are needed or all have left.
    ///
    /// # Errors
    ///
    /// A row cannot be used, or rows are out of order.
    pub fn next_frame(&mut self) -> Result<Option<(Key, Snapshot<C>)>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.frames.add(1);
                return Ok(Some(frame));
            }
            let Some((batch, row)) = self.batch.take() else {
                if !self.ended || self.filling.is_empty() {
                    return Ok(None);
                }
                self.flush();
                continue;
            };
            if row < batch.len() {
                let row = self.take_run(&batch, row)?;
                self.batch = Some((batch, row));
            }
        }
    }

    /// Takes back a frame whose rows were used, to fill its buffer again.
    pub fn give_back(&mut self, snapshot: Snapshot<C>) {
        self.spare.push(snapshot.cells);
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let filling = self.filling.values().chain(self.ready.iter().map(|(_, snapshot)| snapshot));
        let cells = filling.map(|snapshot| snapshot.cells.capacity()).sum::<usize>()
            + self.spare.iter().map(Vec::capacity).sum::<usize>();
        cells * size_of::<C>()
    }

    /// Takes the rows from one on that belong to one frame; returns the row after them.
    fn take_run(&mut self, batch: &BarRows, row: usize) -> Result<usize> {
        let ts = match batch.instant(row) {
            Ok(ts) => ts,
            Err(defect) => return self.judge.judge(&defect).map(|()| row + 1),
        };
        let (exchange, symbol) = (batch.exchange(row), batch.symbol(row));
        let same_key = |key: &Key| key.symbol == symbol && key.exchange == exchange;
        if self.arrival == Arrival::ByKey && !self.current.as_ref().is_some_and(same_key) {
            let key = Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() };
            if self.current.as_ref().is_some_and(|current| *current > key) {
                return exec_err!(
                    "{}: the rows of ({key}) are not together, though the plan says that they are",
                    self.function
                );
            }
            self.flush();
            self.current = Some(key);
            self.at = ts;
            return Ok(row);
        }
        if ts > self.at {
            self.flush();
            self.at = ts;
            return Ok(row);
        }
        if ts < self.at {
            // Never true of what the plan promised; a file that was declared sorted may break the promise.
            self.judge.check_order(exchange, symbol, ts, Some(self.at), None)?;
            return Ok(row + 1);
        }
        // Equal views are equal texts; rows of unequal ones are met again as rows of their own.
        let (exchanges, symbols) = (batch.texts(1).views(), batch.texts(2).views());
        let together = |next: usize| {
            exchanges[next] == exchanges[row]
                && symbols[next] == symbols[row]
                && batch.instant(next).is_ok_and(|of_row| of_row == ts)
        };
        let end = (row + 1..batch.len()).find(|next| !together(*next)).unwrap_or(batch.len());
        let key = match &self.current {
            Some(key) => key.clone(),
            None => Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() },
        };
        let spare = &mut self.spare;
        let snapshot = self.filling.entry(key).or_insert_with(|| {
            let mut cells = spare.pop().unwrap_or_default();
            cells.clear();
            Snapshot { ts, price: batch.optional(row, PRICE), cells }
        });
        for row in row..end {
            match read(batch, row, snapshot) {
                Ok(cell) => snapshot.cells.push(cell),
                Err(defect) => self.judge.judge(&defect)?,
            }
        }
        Ok(end)
    }

    /// The frames that are being filled are complete.
    fn flush(&mut self) {
        for (key, mut snapshot) in std::mem::take(&mut self.filling) {
            if snapshot.cells.is_empty() {
                self.spare.push(snapshot.cells);
            } else {
                C::sort(&mut snapshot.cells);
                self.ready.push_back((key, snapshot));
            }
        }
    }
}

/// Reads one row; the first row of a frame told its price.
fn read<C: FrameCell>(batch: &BarRows, row: usize, frame: &mut Snapshot<C>) -> Result<C, Defect> {
    let price = match batch.optional(row, PRICE) {
        None => None,
        Some(_) => Some(batch.price(row, PRICE)?),
    };
    if frame.cells.is_empty() {
        // Rows before this one may have been left out.
        frame.price = price;
    } else if price != frame.price {
        let shown = |price: Option<f64>| price.map_or_else(|| "NULL".to_owned(), |price| price.to_string());
        let must = format!("be the same in all rows of a frame ({})", shown(frame.price));
        return Err(batch.defect(row, "price", must, shown(price)));
    }
    C::read(batch, row, price)
}

impl FrameCell for PriceCell {
    fn columns() -> &'static [Column] {
        FRAME_COLUMNS
    }

    fn read(batch: &BarRows, row: usize, price: Option<f64>) -> Result<PriceCell, Defect> {
        cell(batch, row, price)
    }

    fn sort(cells: &mut [PriceCell]) {
        cells.sort_by(PriceCell::order);
    }
}

fn cell(batch: &BarRows, row: usize, price: Option<f64>) -> Result<PriceCell, Defect> {
    let side = batch.side(row, SIDE)?;
    let (low, high) = (batch.quantity(row, PRICE_LOW)?, batch.price(row, PRICE_HIGH)?);
    if low >= high {
        return Err(batch.defect(row, "price_low", format!("be below 'price_high' ({high})"), low.to_string()));
    }
    match (side, price) {
        (Side::Long, Some(price)) if low > price => {
            let must = format!("not be above 'price' ({price}) for a long");
            return Err(batch.defect(row, "price_low", must, low.to_string()));
        }
        (Side::Short, Some(price)) if high < price => {
            let must = format!("not be below 'price' ({price}) for a short");
            return Err(batch.defect(row, "price_high", must, high.to_string()));
        }
        _ => {}
    }
    let leverage = match batch.optional(row, LEVERAGE) {
        Some(leverage) if !(leverage.is_finite() && leverage > 0.0) => {
            return Err(batch.defect(row, "leverage", "be a positive number or NULL", leverage.to_string()));
        }
        leverage => leverage,
    };
    Ok(PriceCell { side, leverage, low, high, usd: batch.quantity(row, NOTIONAL_USD)? })
}

/// Reads all frames of a gathered relation, by key and in order of time, whatever the order of the rows.
///
/// # Errors
///
/// A column is missing, or a row cannot be used and bad rows are errors.
pub fn snapshots(
    parameter: &str,
    schema: &Schema,
    batches: &[RecordBatch],
    judge: &Judge,
) -> Result<BTreeMap<Key, Vec<Snapshot>>> {
    let function = judge.function();
    let layout = match Layout::find(FRAME_COLUMNS, schema) {
        Ok(layout) => layout,
        Err(error) => return exec_err!("{function}: '{parameter}' {error}"),
    };
    let mut found: BTreeMap<Key, BTreeMap<i64, Snapshot>> = BTreeMap::new();
    for batch in batches {
        let rows = BarRows::try_new(function, FRAME_COLUMNS, &layout, batch)?;
        for row in 0..rows.len() {
            let ts = match rows.instant(row) {
                Ok(ts) => ts,
                Err(defect) => {
                    judge.judge(&defect)?;
                    continue;
                }
            };
            let key = Key { exchange: rows.exchange(row).to_owned(), symbol: rows.symbol(row).to_owned() };
            let frame = found.entry(key).or_default().entry(ts);
            let frame = frame.or_insert_with(|| Snapshot { ts, price: None, cells: Vec::new() });
            match read(&rows, row, frame) {
                Ok(cell) => frame.cells.push(cell),
                Err(defect) => judge.judge(&defect)?,
            }
        }
    }
    let sorted = |(key, frames): (Key, BTreeMap<i64, Snapshot>)| {
        let mut frames: Vec<Snapshot> = frames.into_values().filter(|frame| !frame.cells.is_empty()).collect();
        frames.iter_mut().for_each(|frame| PriceCell::sort(&mut frame.cells));
        (key, frames)
    };
    Ok(found.into_iter().map(sorted).collect())
}

/// Returns the time of the input that gives the frames of the wanted time, where each stands for itself.
///
/// A millisecond more: rows finer than one belong to the frame at its start. What is read too much makes frames that
/// are not wanted.
pub fn frame_time(wanted: &TimeBounds) -> TimeBounds {
    TimeBounds { from: wanted.from, to: wanted.to.map(|to| to.saturating_add(1)) }
}

/// Returns the price of a frame, which the functions that reckon from it must know; `None` to leave the frame out.
///
/// # Errors
///
/// It is not known.
pub fn known_price(judge: &Judge, key: &Key, frame: &Snapshot) -> Result<Option<f64>> {
    if frame.price.is_none() {
        let must = "be known, as all is reckoned from it (liq_bucket knows it with 'prices')";
        judge.judge(&Defect::of(key, frame.ts, "price", must, "NULL"))?;
    }
    Ok(frame.price)
}

/// What a function does with each frame.
pub trait FrameKernel: Send + Debug {
    /// Takes the next frame, its cells sorted, and appends the rows that follow from it.
    ///
    /// # Errors
    ///
    /// The frame cannot be used.
    fn frame(&mut self, key: &Key, frame: &mut Snapshot, rows: &mut Rows) -> Result<()>;
    /// No frame of this key comes any more.
    fn leave(&mut self, _key: &Key) {}
    /// Returns the bytes held.
    fn memory(&self) -> usize;
}

/// The run of a function with frames as its one input.
#[derive(Debug)]
pub struct FrameRun {
    frames: Frames,
    kernel: Box<dyn FrameKernel>,
    arrival: Arrival,
    last: Option<Key>,
    batch_size: usize,
    rows: Rows,
}

impl FrameRun {
    /// Starts a partition.
    pub fn new(frames: Frames, kernel: Box<dyn FrameKernel>, rows: Rows, start: &Start<'_>) -> FrameRun {
        FrameRun { frames, kernel, arrival: start.arrival, last: None, batch_size: start.batch_size, rows }
    }
}

impl Run for FrameRun {
    fn feed(&mut self, _input: usize, batch: Option<RecordBatch>) -> Result<()> {
        self.frames.feed(batch)
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            if let Some((key, mut frame)) = self.frames.next_frame()? {
                self.kernel.frame(&key, &mut frame, &mut self.rows)?;
                self.frames.give_back(frame);
                if self.arrival == Arrival::ByKey
                    && self.last.as_ref() != Some(&key)
                    && let Some(last) = self.last.replace(key)
                {
                    self.kernel.leave(&last);
                }
            } else if !self.frames.is_ended() {
                return Ok(Step::Read(0));
            } else if !self.rows.is_empty() {
                return Ok(Step::Ready(self.rows.finish()?));
            } else {
                return Ok(Step::Done);
            }
        }
    }

    fn memory(&self) -> usize {
        self.frames.memory() + self.kernel.memory() + self.rows.memory()
    }
}

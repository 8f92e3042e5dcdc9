//! `liq_bucket`: liquidation prices that are known, as a heatmap.
//!
//! In: rows with a side, a liquidation price and an amount in USD: real positions, or a vendor's export. Rows of one `ts`
//! are one snapshot. Out: heatmap columns, a row per step, price cell and side in which something stands.
//!
//! ```text
//!   snapshots   s1   s2      s3                     s4
//!   steps     ├───────────┼───────────┼───────────┼───────────┤
//!   frames              T=s2        T=s3         (none)      T=s4
//! ```
//!
//! A frame at `T`, a multiple of `step` since the epoch, is the newest snapshot of the key within (T − step, T]: nothing
//! later than `T` is in it, and a step without a snapshot has no frame.
//!
//! With `prices`, `price` is the last one known at `T`: the newest `price` at or before it, or the `close` of the newest
//! bar that has ended by then (a bar is stamped with its open; it has ended when the next one opens or the shortest
//! distance between two bars so far is over). Then a long above `price` or a short below is counted (`beyond_price`) and
//! left out. Without, or before the first price, `price` is NULL and everything is kept.
//!
//! A row without a liquidation price (NULL, or 0 as some exchanges write it) is counted and left out, and so is one that
//! is 2^53 cells or more from zero (`beyond_grid`), which no price reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::tables::POSITIONS;
use crate::market::{Column, Kind, Layout};
use crate::model::grid::Grid;
use crate::model::side::Side;
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Defect, Judge, Rows as BarRows};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::keys::Key;
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame, a multiple of step"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::optional("price", Kind::Number, "quote per base", "current price; null where prices has none"),
    Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
    Column::optional("leverage", Kind::Number, "", "null: positions of every leverage together"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the cell, included"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the cell, excluded"),
    Column::new("notional_usd", Kind::Number, "USD", "sum of the amounts of the rows in the cell"),
    Column::new("intensity", Kind::Number, "0..1", "notional_usd / the largest of the same frame"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_bucket",
    summary: "Heatmap of liquidation prices that are known: real positions or a vendor's export",
    parameters: &[
        Parameter {
            name: "rows",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "rows with ts, exchange, symbol, side, liquidation_price and an amount in USD",
        },
        Parameter {
            name: "price_step",
            kind: ParameterKind::Number(Limits::POSITIVE),
            fallback: Fallback::Required,
            unit: "quote",
            doc: "height of a price cell",
        },
        Parameter {
            name: "step",
            kind: ParameterKind::Interval,
            fallback: Fallback::Required,
            unit: "",
            doc: "time between frames",
        },
        Parameter {
            name: "prices",
            kind: ParameterKind::Relation,
            fallback: Fallback::Derived("none"),
            unit: "",
            doc: "current prices: ts, exchange, symbol and price, or the close of candles",
        },
        Parameter {
            name: "usd",
            kind: ParameterKind::Name,
            fallback: Fallback::Value("'notional_usd'"),
            unit: "",
            doc: "column of rows that holds the amount",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_bucket(positions, 200, INTERVAL '1 hour', prices => candles) LIMIT 10",
};

/// What is read of the rows beside the amount.
const READ: &[Column] = &[
    POSITIONS.columns[0],
    POSITIONS.columns[1],
    POSITIONS.columns[2],
    POSITIONS.columns[4],
    Column::new("liquidation_price", Kind::Number, "quote per base", "price; null if there is none"),
];

/// The same with the amount under its usual name, so that nothing else is read.
const READ_NOTIONAL: &[Column] = &[READ[0], READ[1], READ[2], READ[3], READ[4], POSITIONS.columns[9]];

/// What is read of the prices.
const PRICES: &[Column] = &[
    POSITIONS.columns[0],
    POSITIONS.columns[1],
    POSITIONS.columns[2],
    Column::optional("price", Kind::Number, "quote per base", "price at the instant"),
    Column::optional("close", Kind::Number, "quote per base", "price at the end of the bar"),
];

/// Positions in what is read of the prices.
const PRICE: usize = 3;
const CLOSE: usize = 4;

/// From here on neighbouring cells are not told apart by a number.
const FARTHEST_CELL: f64 = 9_007_199_254_740_992.0;

/// The function.
#[derive(Debug)]
pub struct LiqBucket;

impl TableFunction for LiqBucket {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (Some(price_step), Some(step)) = (arguments.number("price_step")?, arguments.interval("step")?) else {
            return internal_err!("{}: 'price_step' and 'step' are required", SPEC.name);
        };
        let usd = arguments.text("usd")?.unwrap_or_else(|| "notional_usd".to_owned());
        let wanted = if usd == "notional_usd" { Wanted::Columns(READ_NOTIONAL) } else { Wanted::All(READ) };
        let mut inputs = vec![Input { parameter: "rows", relation: arguments.relation("rows")?, wanted }];
        let prices = arguments.optional_relation("prices")?;
        let operator = Bucket {
            price_step,
            step,
            has_prices: prices.is_some(),
            usd,
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        if let Some(relation) = prices {
            inputs.push(Input { parameter: "prices", relation, wanted: Wanted::Columns(PRICES) });
        }
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Bucket {
    price_step: f64,
    step: i64,
    has_prices: bool,
    usd: String,
    bad_rows: BadRows,
}

impl Operator for Bucket {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("price_step", self.price_step.to_string()),
            ("step", length_text(self.step)),
            ("prices", if self.has_prices { "given" } else { "none" }.to_owned()),
            ("usd", self.usd.clone()),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        if self.has_prices { vec![keyed_by_market(), keyed_by_market()] } else { vec![keyed_by_market()] }
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        let floor = |ts: i64| ts.div_euclid(self.step).saturating_mul(self.step);
        let ceiling = |ts: i64| floor(ts.saturating_add(self.step - 1));
        // A millisecond more: rows finer than one belong to the frame at its start. What is read too much makes frames
        // that are not wanted. The last price may be of any age, so prices have no lower bound.
        let to = wanted.to.map(|to| floor(to).saturating_add(1));
        let from = wanted.from.map(|from| ceiling(from).saturating_sub(self.step));
        vec![TimeBounds { from, to }, TimeBounds { from: None, to }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let find = |columns, input: usize, parameter: &str| {
            let layout = Layout::find(columns, &start.schemas[input]);
            layout.map_err(|error| exec_datafusion_err!("{}: '{parameter}' {error}", SPEC.name))
        };
        let mut feeds = vec![Feed::new(READ, find(READ, 0, "rows")?)];
        let mut price_column = PRICE;
        if self.has_prices {
            let layout = find(PRICES, 1, "prices")?;
            price_column = match (layout.has("price"), layout.has("close")) {
                (true, _) => PRICE,
                (false, true) => CLOSE,
                (false, false) => {
                    return exec_err!("{}: 'prices' must have a column 'price' or 'close'", SPEC.name);
                }
            };
            feeds.push(Feed::new(PRICES, layout));
        }
        Ok(Box::new(BucketRun {
            amounts: Amounts::find(&self.usd, &start.schemas[0])?,
            amount: Float64Array::from(Vec::<f64>::new()),
            feeds,
            price_column,
            judge: Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows")),
            counters: Counters {
                rows: start.counter("rows"),
                frames: start.counter("frames"),
                cells: start.counter("cells"),
                replaced: start.counter("replaced_snapshots"),
                beyond_price: start.counter("beyond_price"),
                beyond_grid: start.counter("beyond_grid"),
                without_liquidation_price: start.counter("without_liquidation_price"),
            },
            grid: Grid::new(self.price_step),
            step: self.step,
            wanted: start.wanted,
            arrival: start.arrival,
            batch_size: start.batch_size,
            rows: Rows::try_new(&self.schema(), start.projection)?,
            keys: BTreeMap::new(),
            cells: Default::default(),
            frame: None,
        }))
    }
}

/// The column of amounts, whose name is an argument.
struct Amounts {
    name: &'static str,
    position: usize,
}

impl Amounts {
    fn find(name: &str, schema: &Schema) -> Result<Amounts> {
        let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        match schema.column_with_name(name) {
            Some((position, field)) if Kind::Number.accepts(field.data_type()) => {
                Ok(Amounts { name: if name == "notional_usd" { "notional_usd" } else { "usd" }, position })
            }
            Some((_, field)) => exec_err!(
                "{}: 'usd' must name a column of numbers, was '{name}', which is {}",
                SPEC.name,
                field.data_type()
            ),
            None => exec_err!(
                "{}: 'usd' must name a column of rows, was '{name}'; there are: {}",
                SPEC.name,
                found.join(", ")
            ),
        }
    }

    fn of(&self, batch: &RecordBatch) -> Result<Float64Array> {
        let strict = CastOptions { safe: false, ..Default::default() };
        let array = cast_with_options(batch.column(self.position), &DataType::Float64, &strict)?;
        Ok(array.as_primitive::<Float64Type>().clone())
    }
}

/// Rows of one input as they come.
struct Feed {
    columns: &'static [Column],
    layout: Layout,
    batch: Option<BarRows>,
    next: usize,
    ended: bool,
    /// Key and instant of the last row, which the next one must not precede.
    last: Option<(Key, i64)>,
}

impl Feed {
    fn new(columns: &'static [Column], layout: Layout) -> Feed {
        Feed { columns, layout, batch: None, next: 0, ended: false, last: None }
    }

    /// Returns the batch and position of the next row.
    fn row(&self) -> Option<(&BarRows, usize)> {
        self.batch.as_ref().filter(|batch| self.next < batch.len()).map(|batch| (batch, self.next))
    }

    fn is_waiting(&self) -> bool {
        !self.ended && self.row().is_none()
    }
}

#[derive(Debug)]
struct Counters {
    rows: Count,
    frames: Count,
    cells: Count,
    replaced: Count,
    beyond_price: Count,
    beyond_grid: Count,
    without_liquidation_price: Count,
}

/// The newest snapshot of a key, and the prices that may be current.
#[derive(Debug, Default)]
struct State {
    snapshot_ts: Option<i64>,
    /// Side, liquidation price and amount of its rows.
    snapshot: Vec<(Side, f64, f64)>,
    price: Option<(i64, f64)>,
    price_before: Option<f64>,
    /// Shortest distance between two bars so far.
    bar: Option<i64>,
}

impl State {
    /// Returns the price that is known at an instant, all rows up to which were taken.
    fn price_at(&self, ts: i64, is_close: bool) -> Option<f64> {
        let (opened, price) = self.price?;
        let ended = !is_close || self.bar.is_some_and(|bar| opened + bar <= ts);
        if ended { Some(price) } else { self.price_before }
    }

    fn take_price(&mut self, ts: i64, price: f64) {
        if let Some((last, before)) = self.price.replace((ts, price)) {
            self.price_before = Some(before);
            let distance = ts - last;
            self.bar = Some(self.bar.map_or(distance, |shortest| shortest.min(distance)));
        }
    }
}

/// The cells of one side of a frame.
#[derive(Debug, Default)]
struct Cells {
    /// Cells of the levels and their amounts, in order of the rows.
    levels: Vec<(i64, f64)>,
    /// Cells in which something stands, in order of the price, and their sums.
    sums: Vec<(i64, f64)>,
    /// Sums by distance from the lowest cell; used where cells are close to one another.
    dense: Vec<f64>,
}

impl Cells {
    fn add(&mut self, index: i64, usd: f64) {
        self.levels.push((index, usd));
    }

    /// Makes the sums of the levels. Whichever way is taken, a cell is zero and then its amounts in order of the rows: the
    /// same number to the last bit.
    fn sum(&mut self) {
        self.sums.clear();
        let first = self.levels.iter().fold(i64::MAX, |first, (index, _)| first.min(*index));
        let last = self.levels.iter().fold(i64::MIN, |last, (index, _)| last.max(*index));
        // A cell that is walked over costs less than a level that is sorted.
        let width = last.checked_sub(first).and_then(|width| usize::try_from(width).ok());
        match width.filter(|width| *width < 8 * self.levels.len()) {
            Some(width) => {
                self.dense.clear();
                self.dense.resize(width + 1, 0.0);
                for (index, usd) in self.levels.drain(..) {
                    self.dense[(index - first) as usize] += usd;
                }
                self.sums.extend((first..).zip(&self.dense).filter(|(_, usd)| **usd > 0.0).map(|(i, usd)| (i, *usd)));
            }
            None => {
                // Stable: within a cell the order of the rows is kept.
                self.levels.sort_by_key(|(index, _)| *index);
                for cell in self.levels.chunk_by(|(one, _), (other, _)| one == other) {
                    let usd = cell.iter().fold(0.0, |sum, (_, usd)| sum + usd);
                    if usd > 0.0 {
                        self.sums.push((cell[0].0, usd));
                    }
                }
                self.levels.clear();
            }
        }
    }

    fn memory(&self) -> usize {
        size_of::<(i64, f64)>() * (self.levels.capacity() + self.sums.capacity())
            + size_of::<f64>() * self.dense.capacity()
    }
}

struct BucketRun {
    amounts: Amounts,
    /// The amounts of the batch that is being taken.
    amount: Float64Array,
    /// The rows, then the prices.
    feeds: Vec<Feed>,
    price_column: usize,
    judge: Judge,
    counters: Counters,
    grid: Grid,
    step: i64,
    wanted: TimeBounds,
    arrival: Arrival,
    batch_size: usize,
    rows: Rows,
    /// In order of the names, in which the frames of one instant leave.
    keys: BTreeMap<Key, State>,
    /// The cells of the frame that leaves, longs first.
    cells: [Cells; 2],
    /// The frame that is being filled: of all keys, or of the one key where keys come one after the other.
    frame: Option<(Option<Key>, i64)>,
}

impl BucketRun {
    /// Returns the input whose next row comes first; `None` at the end.
    ///
    /// At the same instant the order does not matter: a frame leaves once all up to its instant is taken.
    fn next_input(&self) -> Option<usize> {
        let mut first: Option<(usize, (&str, &str, i64))> = None;
        for (input, feed) in self.feeds.iter().enumerate() {
            let Some((batch, row)) = feed.row() else { continue };
            // A row without an instant or key is judged at once.
            let Ok(ts) = batch.instant(row) else { return Some(input) };
            let place = match self.arrival {
                Arrival::ByTime => ("", "", ts),
                Arrival::ByKey => (batch.exchange(row), batch.symbol(row), ts),
            };
            if first.is_none_or(|(_, least)| place < least) {
                first = Some((input, place));
            }
        }
        first.map(|(input, _)| input)
    }

    /// Takes the next row of an input, and those after it of the same key and instant.
    fn take(&mut self, input: usize) -> Result<()> {
        let Some((batch, row)) = self.feeds[input].row() else { return Ok(()) };
        let ts = match batch.instant(row) {
            Ok(ts) => ts,
            Err(defect) => {
                self.judge.judge(&defect)?;
                self.feeds[input].next += 1;
                return Ok(());
            }
        };
        let key = Key { exchange: batch.exchange(row).to_owned(), symbol: batch.symbol(row).to_owned() };
        if !self.check_order(input, &key, ts)? {
            self.feeds[input].next += 1;
            return Ok(());
        }
        self.enter(&key, ts);
        self.feeds[input].last = Some((key.clone(), ts));
        if input == 0 { self.take_snapshot(&key, ts) } else { self.take_prices(&key) }
    }

    fn check_order(&self, input: usize, key: &Key, ts: i64) -> Result<bool> {
        let Some((last_key, last_ts)) = &self.feeds[input].last else { return Ok(true) };
        // A ts that occurs again is part of the same snapshot, or a price that replaces the one before.
        if last_key == key && ts < *last_ts {
            return self.judge.check_order(&key.exchange, &key.symbol, ts, Some(*last_ts), None);
        }
        let backwards = match self.arrival {
            Arrival::ByTime => ts < *last_ts,
            Arrival::ByKey => key < last_key,
        };
        if backwards {
            return exec_err!(
                "{}: the rows of ({key}) are not in order, though the plan says that they are",
                SPEC.name
            );
        }
        Ok(true)
    }

    /// Emits what is complete before a row of a key and instant is taken.
    fn enter(&mut self, key: &Key, ts: i64) {
        let complete = match &self.frame {
            Some((Some(of), _)) if of != key => true,
            Some((_, at)) => ts > *at,
            None => false,
        };
        if complete {
            self.emit();
        }
        if self.arrival == Arrival::ByKey {
            // Prices and rows of the keys before will not come again.
            while let Some(entry) = self.keys.first_entry()
                && entry.key() < key
            {
                entry.remove();
            }
        }
    }

    fn take_snapshot(&mut self, key: &Key, ts: i64) -> Result<()> {
        let feed = &mut self.feeds[0];
        let Some(batch) = &feed.batch else { return Ok(()) };
        let at = ts.div_euclid(self.step) * self.step + if ts.rem_euclid(self.step) == 0 { 0 } else { self.step };
        if !self.keys.contains_key(key) {
            self.keys.insert(key.clone(), State::default());
        }
        let Some(state) = self.keys.get_mut(key) else { return Ok(()) };
        if state.snapshot_ts != Some(ts) {
            if state.snapshot_ts.replace(ts).is_some() {
                self.counters.replaced.add(1);
            }
            state.snapshot.clear();
        }
        self.frame = Some(((self.arrival == Arrival::ByKey).then(|| key.clone()), at));
        let first = feed.next;
        let same_key = first..batch.key_end(first);
        // Where not every row of the batch has an instant, each is asked.
        let others = match batch.instants() {
            Some(instants) => instants[same_key.clone()].iter().position(|of_row| *of_row != ts),
            None => same_key.clone().skip(1).position(|row| batch.instant(row).ok() != Some(ts)).map(|more| more + 1),
        };
        let end = others.map_or(same_key.end, |taken| first + taken);
        state.snapshot.reserve(end - first);
        let mut skipped = 0;
        let mut taken = 0;
        for row in first..end {
            feed.next = row + 1;
            match level(batch, row, &self.amounts, &self.amount) {
                Ok(Some(level)) => {
                    taken += 1;
                    state.snapshot.push(level);
                }
                Ok(None) => skipped += 1,
                Err(defect) => self.judge.judge(&defect)?,
            }
        }
        self.counters.rows.add(taken);
        self.counters.without_liquidation_price.add(skipped);
        Ok(())
    }

    /// Takes the next price, and those after it of the same key that come before the next row and the end of the frame.
    fn take_prices(&mut self, key: &Key) -> Result<()> {
        let next_row = self.feeds[0].row().and_then(|(batch, row)| {
            let same = batch.symbol(row) == key.symbol && batch.exchange(row) == key.exchange;
            (same || self.arrival == Arrival::ByTime).then(|| batch.instant(row).ok()).flatten()
        });
        let frame_end = self.frame.as_ref().map(|(_, at)| *at);
        let until = next_row.into_iter().chain(frame_end).min().unwrap_or(i64::MAX);
        let feed = &mut self.feeds[1];
        let Some(batch) = &feed.batch else { return Ok(()) };
        if !self.keys.contains_key(key) {
            self.keys.insert(key.clone(), State::default());
        }
        let Some(state) = self.keys.get_mut(key) else { return Ok(()) };
        let is_close = self.price_column == CLOSE;
        let first = feed.next;
        for row in first..batch.key_end(first) {
            let Ok(ts) = batch.instant(row) else { break };
            let backwards = feed.last.as_ref().is_some_and(|(_, last)| ts < *last);
            if row > first && (ts > until || backwards) {
                break;
            }
            feed.next = row + 1;
            if let Some((_, last)) = &mut feed.last {
                *last = ts;
            }
            match batch.price(row, self.price_column) {
                Ok(price) => {
                    let last = state.price.map(|(last, _)| last).filter(|_| is_close);
                    if self.judge.check_order(&key.exchange, &key.symbol, ts, last, None)? {
                        state.take_price(ts, price);
                    }
                }
                Err(defect) => self.judge.judge(&defect)?,
            }
        }
        Ok(())
    }

    /// Emits the frame that is being filled.
    fn emit(&mut self) {
        let Some((_, at)) = self.frame.take() else { return };
        for (key, state) in &mut self.keys {
            if state.snapshot_ts.take().is_none() {
                continue;
            }
            if !self.wanted.contain(at) {
                state.snapshot.clear();
                continue;
            }
            let price = state.price_at(at, self.price_column == CLOSE);
            let (mut beyond_price, mut beyond_grid) = (0, 0);
            for (side, level, usd) in state.snapshot.drain(..) {
                let beyond = match side {
                    Side::Long => price.is_some_and(|price| level > price),
                    Side::Short => price.is_some_and(|price| level < price),
                };
                if beyond {
                    beyond_price += 1;
                } else if level / self.grid.step() >= FARTHEST_CELL {
                    beyond_grid += 1;
                } else {
                    self.cells[side.index()].add(self.grid.cell_at(level), usd);
                }
            }
            for cells in &mut self.cells {
                cells.sum();
            }
            let cells = || self.cells.iter().flat_map(|cells| &cells.sums);
            let largest = cells().fold(0.0, |largest: f64, (_, usd)| largest.max(*usd));
            let n = cells().count();
            self.rows.time(0, at, n);
            self.rows.text(1, &key.exchange, n);
            self.rows.text(2, &key.symbol, n);
            for (side, cells) in Side::BOTH.into_iter().zip(&self.cells) {
                self.rows.text(4, side.name(), cells.sums.len());
            }
            match price {
                Some(price) => self.rows.number_n(3, price, n),
                None => (0..n).for_each(|_| self.rows.optional_number(3, None)),
            }
            (0..n).for_each(|_| self.rows.optional_number(5, None));
            self.rows.numbers(6, cells().map(|(index, _)| self.grid.price_low(*index)));
            self.rows.numbers(7, cells().map(|(index, _)| self.grid.price_low(index + 1)));
            self.rows.numbers(8, cells().map(|(_, usd)| *usd));
            self.rows.numbers(9, cells().map(|(_, usd)| usd / largest));
            self.rows.end(n);
            self.counters.frames.add(1);
            self.counters.cells.add(n);
            self.counters.beyond_price.add(beyond_price);
            self.counters.beyond_grid.add(beyond_grid);
        }
    }
}

/// Reads side, liquidation price and amount of a row; `None` if it has no liquidation price.
fn level(
    batch: &BarRows,
    row: usize,
    amounts: &Amounts,
    amount: &Float64Array,
) -> Result<Option<(Side, f64, f64)>, Defect> {
    let side = batch.side(row, 3)?;
    let price = match batch.optional(row, 4) {
        None | Some(0.0) => return Ok(None),
        Some(price) if price.is_finite() && price > 0.0 => price,
        Some(price) => {
            let must = "be a positive number, or NULL or 0 for none";
            return Err(batch.defect(row, "liquidation_price", must, price.to_string()));
        }
    };
    match amount.is_valid(row).then(|| amount.value(row)) {
        Some(usd) if usd.is_finite() && usd >= 0.0 => Ok(Some((side, price, usd))),
        other => {
            let was = other.map_or_else(|| "NULL".to_owned(), |usd| usd.to_string());
            Err(batch.defect(row, amounts.name, "be zero or a positive number", was))
        }
    }
}

impl Run for BucketRun {
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()> {
        let feed = &mut self.feeds[input];
        feed.next = 0;
        match batch {
            Some(batch) => {
                feed.batch = Some(BarRows::try_new(SPEC.name, feed.columns, &feed.layout, &batch)?);
                if input == 0 {
                    self.amount = self.amounts.of(&batch)?;
                }
            }
            None => {
                feed.batch = None;
                feed.ended = true;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            // Prices after the last frame change nothing and are not read.
            let more = !self.feeds[0].ended || self.frame.is_some();
            if let Some(input) = self.feeds.iter().position(Feed::is_waiting).filter(|_| more) {
                return Ok(Step::Read(input));
            }
            if let Some(input) = self.next_input().filter(|_| more) {
                self.take(input)?;
            } else if self.frame.is_some() {
                self.emit();
            } else if !self.rows.is_empty() {
                return Ok(Step::Ready(self.rows.finish()?));
            } else {
                return Ok(Step::Done);
            }
        }
    }

    fn memory(&self) -> usize {
        let level = size_of::<(Side, f64, f64)>();
        let states = self.keys.values().map(|state| size_of::<State>() + state.snapshot.capacity() * level);
        states.sum::<usize>() + self.cells.iter().map(Cells::memory).sum::<usize>() + self.rows.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_same_sums_however_far_apart_they_are() {
        for spread in [0, 1, 7, 1_000, 1 << 40] {
            for count in [0_u64, 1, 2, 300] {
                let mut state = 7_u64;
                let mut next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    state >> 33
                };
                let mut cells = Cells::default();
                let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
                for _ in 0..count {
                    let (index, usd) = ((next() % 20) as i64 * spread - 3, (next() % 5) as f64 * 0.1);
                    cells.add(index, usd);
                    *sums.entry(index).or_default() += usd;
                }
                cells.sum();
                sums.retain(|_, usd| *usd > 0.0);
                assert_eq!(cells.sums, sums.into_iter().collect::<Vec<_>>(), "{count} levels, {spread} apart");
                assert!(cells.levels.is_empty());
            }
        }
    }
}

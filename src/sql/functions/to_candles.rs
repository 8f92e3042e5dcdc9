//! `to_candles`: trades, or finer candles, become price bars.
//!
//! In: `trades` or `candles`, told apart by their columns: a relation with a `price` holds trades. Out: a bar per key and
//! interval in which there is a row, stamped with its open, a multiple of the interval since the epoch. An interval
//! without rows has no bar. Candles coarser than the interval are not split: each becomes the bar in which it opens.
//!
//! Bars leave in the order in which rows come: over keys that are interleaved by time, the bars of all keys leave
//! together when time passes the end of their interval.
//!
//! Invariant: the volume of the bars is the volume of the rows, and so is the taker's part of it where every row tells.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::tables::CANDLES;
use crate::market::{Column, Kind, Layout};
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Defect, Judge, Rows as BarRows, Word};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::keys::{Key, Keyed};
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::relation::Relation;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "to_candles",
    summary: "Price bars of trades or of finer candles",
    parameters: &[
        Parameter {
            name: "trades_or_candles",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "trades (price, size, side; the side may be absent) or candles",
        },
        Parameter {
            name: "interval",
            kind: ParameterKind::Interval,
            fallback: Fallback::Required,
            unit: "",
            doc: "length of a bar; bars open at its multiples since the epoch",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(CANDLES.columns),
    example: "SELECT * FROM to_candles(candles, INTERVAL '1 hour') \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT' LIMIT 10",
};

/// What is read where the relation holds trades.
const TRADE_COLUMNS: &[Column] = &[
    CANDLES.columns[0],
    CANDLES.columns[1],
    CANDLES.columns[2],
    Column::new("price", Kind::Number, "quote per base", "trade price"),
    Column::new("size", Kind::Number, "base", "traded quantity"),
    Column::optional("side", Kind::Text, "", "side of the taker: buy or sell"),
];

/// What is read of a relation before it is known which of the two it is.
const EITHER: &[Column] = &[
    CANDLES.columns[0],
    CANDLES.columns[1],
    CANDLES.columns[2],
    optional(TRADE_COLUMNS[3]),
    optional(TRADE_COLUMNS[4]),
    TRADE_COLUMNS[5],
    optional(CANDLES.columns[3]),
    optional(CANDLES.columns[4]),
    optional(CANDLES.columns[5]),
    optional(CANDLES.columns[6]),
    optional(CANDLES.columns[7]),
    CANDLES.columns[8],
];

const fn optional(column: Column) -> Column {
    Column { optional: true, ..column }
}

const BUY: Word = Word::new("buy");
const SELL: Word = Word::new("sell");

/// The function.
#[derive(Debug)]
pub struct ToCandles;

impl TableFunction for ToCandles {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let Some(interval) = arguments.interval("interval")? else {
            return internal_err!("{}: 'interval' is required", SPEC.name);
        };
        let bad_rows = BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error"));
        let input = trades_or_candles(arguments.relation("trades_or_candles")?);
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(Candles { interval, bad_rows }), vec![input])))
    }
}

fn trades_or_candles(relation: Relation) -> Input {
    Input { parameter: "trades_or_candles", relation, wanted: Wanted::Columns(EITHER) }
}

/// The candles of a relation, as a table, for functions that take trades and read candles.
pub(super) fn candles_of(relation: Relation, interval: i64, bad_rows: BadRows) -> Arc<dyn TableProvider> {
    Arc::new(FunctionTable::within(Arc::new(Candles { interval, bad_rows }), vec![trades_or_candles(relation)]))
}

#[derive(Debug, Clone)]
struct Candles {
    interval: i64,
    bad_rows: BadRows,
}

impl Operator for Candles {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("interval", length_text(self.interval)), ("on_bad_rows", self.bad_rows.name().to_owned())]
    }

    fn readings(&self) -> Vec<Reading> {
        vec![keyed_by_market()]
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        let floor = |ts: i64| ts.div_euclid(self.interval).saturating_mul(self.interval);
        vec![TimeBounds {
            from: wanted.from.map(|from| floor(from.saturating_add(self.interval - 1))),
            // The first instant of the next bar too: rows finer than a millisecond lie between, and its own bar is not
            // emitted.
            to: wanted.to.map(|to| floor(to).saturating_add(self.interval)),
        }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let schema = &start.schemas[0];
        let trades = schema.field_with_name("price").is_ok();
        let (columns, kind) = if trades { (TRADE_COLUMNS, "trades") } else { (CANDLES.columns, "candles") };
        let layout = match Layout::find(columns, schema) {
            Ok(layout) => layout,
            Err(error) => {
                let told = if trades { "with 'price'" } else { "without 'price'" };
                return exec_err!("{}: 'trades_or_candles' ({told}, so read as {kind}) {error}", SPEC.name);
            }
        };
        Ok(Box::new(CandlesRun {
            columns,
            layout,
            trades,
            judge: Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows")),
            read: start.counter(kind),
            bars: start.counter("bars"),
            interval: self.interval,
            wanted: start.wanted,
            arrival: start.arrival,
            batch_size: start.batch_size,
            rows: Rows::try_new(&self.schema(), start.projection)?,
            keys: Keyed::default(),
            order: BTreeMap::new(),
            current: None,
            frame_end: None,
            batch: None,
            ended: false,
        }))
    }
}

/// A bar that is being filled.
#[derive(Debug, Clone, Copy)]
struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    /// `None` once a part of it is not known.
    taker_buy_volume: Option<f64>,
}

impl Bar {
    fn of_trade(price: f64, size: f64, bought: Option<bool>) -> Bar {
        let taker_buy_volume = bought.map(|bought| if bought { size } else { 0.0 });
        Bar { open: price, high: price, low: price, close: price, volume: size, taker_buy_volume }
    }

    fn add(&mut self, next: &Bar) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.volume += next.volume;
        self.taker_buy_volume = self.taker_buy_volume.zip(next.taker_buy_volume).map(|(sum, more)| sum + more);
    }
}

/// A batch of trades whose instants, prices and sizes can all be used. Sides are checked one by one.
struct Trades<'a> {
    ts: &'a [i64],
    prices: &'a [f64],
    sizes: &'a [f64],
    sides: &'a StringViewArray,
}

/// What a trade tells of its taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    Bought,
    Sold,
    NotTold,
    /// Neither word is written there.
    Unknown,
}

impl Trades<'_> {
    fn of(batch: &BarRows) -> Option<Trades<'_>> {
        Some(Trades {
            ts: batch.instants()?,
            prices: batch.prices(3)?,
            sizes: batch.quantities(4)?,
            sides: batch.texts(5),
        })
    }

    /// Adds trades to a bar, until one goes back in time, is at or after its end, or has another word for its side;
    /// returns how many were added.
    fn fill(&self, rows: Range<usize>, last_ts: &mut i64, end: i64, bar: &mut Bar) -> usize {
        let views = self.sides.views();
        let of_view = |row: usize| match views[row] {
            view if BUY.is(view) => Taker::Bought,
            view if SELL.is(view) => Taker::Sold,
            _ => Taker::Unknown,
        };
        match self.sides.nulls() {
            None => self.fill_with(rows, last_ts, end, bar, of_view),
            Some(nulls) => {
                let or_null = |row: usize| if nulls.is_null(row) { Taker::NotTold } else { of_view(row) };
                self.fill_with(rows, last_ts, end, bar, or_null)
            }
        }
    }

    #[inline]
    fn fill_with(
        &self,
        rows: Range<usize>,
        last_ts: &mut i64,
        end: i64,
        bar: &mut Bar,
        taker: impl Fn(usize) -> Taker,
    ) -> usize {
        let from = rows.start;
        // Kept apart from the bar, these stay in registers.
        let (mut high, mut low, mut close, mut volume) = (bar.high, bar.low, bar.close, bar.volume);
        let (mut told, mut bought) = (bar.taker_buy_volume.is_some(), bar.taker_buy_volume.unwrap_or(0.0));
        let mut last = *last_ts;
        let mut taken = 0;
        let columns = self.ts[rows.clone()].iter().zip(&self.prices[rows.clone()]).zip(&self.sizes[rows]);
        for ((&ts, &price), &size) in columns {
            let taker = taker(from + taken);
            if ts < last || ts >= end || taker == Taker::Unknown {
                break;
            }
            last = ts;
            high = if price > high { price } else { high };
            low = if price < low { price } else { low };
            close = price;
            volume += size;
            told &= taker != Taker::NotTold;
            bought += if taker == Taker::Bought { size } else { 0.0 };
            taken += 1;
        }
        *last_ts = last;
        let taker_buy_volume = told.then_some(bought);
        *bar = Bar { open: bar.open, high, low, close, volume, taker_buy_volume };
        taken
    }
}

#[derive(Debug, Default)]
struct State {
    last_ts: Option<i64>,
    /// Open and end of the bar that is being filled, and the bar.
    filling: Option<(i64, i64, Bar)>,
}

struct CandlesRun {
    columns: &'static [Column],
    layout: Layout,
    trades: bool,
    judge: Judge,
    read: Count,
    bars: Count,
    interval: i64,
    wanted: TimeBounds,
    arrival: Arrival,
    batch_size: usize,
    rows: Rows,
    keys: Keyed<State>,
    /// Places by name, the order in which bars of one interval leave.
    order: BTreeMap<Key, usize>,
    current: Option<usize>,
    /// End of the interval in which all keys are, where their rows are interleaved.
    frame_end: Option<i64>,
    batch: Option<(BarRows, usize)>,
    ended: bool,
}

impl CandlesRun {
    /// Takes rows of the batch until it ends or enough bars are ready; returns where it stopped.
    fn take_rows(&mut self, batch: &BarRows, from: usize) -> Result<usize> {
        let trades = if self.trades { Trades::of(batch) } else { None };
        let mut row = from;
        while row < batch.len() && self.rows.len() < self.batch_size {
            row = self.take_run(batch, trades.as_ref(), row..batch.key_end(row))?;
        }
        Ok(row)
    }

    /// Takes rows of one key until they end or enough bars are ready; returns where it stopped.
    fn take_run(&mut self, batch: &BarRows, trades: Option<&Trades<'_>>, rows: Range<usize>) -> Result<usize> {
        let mut row = rows.start;
        let mut same_key = false;
        while row < rows.end && self.rows.len() < self.batch_size {
            if same_key && let Some(trades) = trades {
                let next = self.fill(trades, row..rows.end);
                if next > row {
                    row = next;
                    continue;
                }
            }
            same_key = match read_row(batch, row, self.trades) {
                Ok((ts, bar)) => self.take_row(batch, row, same_key, ts, &bar)?,
                Err(defect) => {
                    self.judge.judge(&defect)?;
                    false
                }
            };
            row += 1;
        }
        Ok(row)
    }

    /// Adds trades to the bar of the current key, until one is of another bar, or not as it must be; returns where it
    /// stopped.
    fn fill(&mut self, trades: &Trades<'_>, rows: Range<usize>) -> usize {
        let current = self.current.and_then(|place| self.keys.get_mut(place));
        let Some((_, State { last_ts: Some(last_ts), filling: Some((_, end, bar)) })) = current else {
            return rows.start;
        };
        let from = rows.start;
        let taken = trades.fill(rows, last_ts, *end, bar);
        self.read.add(taken);
        from + taken
    }

    /// Adds a row to the bar of its key; returns whether it was used.
    fn take_row(&mut self, batch: &BarRows, row: usize, same_key: bool, ts: i64, bar: &Bar) -> Result<bool> {
        let (exchange, symbol) = (batch.exchange(row), batch.symbol(row));
        let place = match self.current {
            Some(place) if same_key => place,
            _ => self.enter_key(exchange, symbol)?,
        };
        let Some((_, state)) = self.keys.get_mut(place) else { return Ok(false) };
        // Trades may share an instant, candles may not.
        let may_repeat = self.trades && state.last_ts == Some(ts);
        if !may_repeat && !self.judge.check_order(exchange, symbol, ts, state.last_ts, None)? {
            return Ok(false);
        }
        state.last_ts = Some(ts);
        self.read.add(1);
        if let Some((start, end, filling)) = &mut state.filling
            && (*start..*end).contains(&ts)
        {
            filling.add(bar);
            return Ok(true);
        }
        let start = ts.div_euclid(self.interval) * self.interval;
        let end = start.saturating_add(self.interval);
        match self.arrival {
            Arrival::ByKey => self.flush(place),
            Arrival::ByTime => match self.frame_end {
                Some(frame_end) if frame_end > end => {
                    return exec_err!(
                        "{}: the rows of ({exchange}, {symbol}) are not in order of ts, though the plan says that they are",
                        SPEC.name
                    );
                }
                Some(frame_end) if frame_end == end => {}
                _ => {
                    self.flush_all();
                    self.frame_end = Some(end);
                }
            },
        }
        if let Some((_, state)) = self.keys.get_mut(place) {
            state.filling = Some((start, end, *bar));
        }
        Ok(true)
    }

    fn enter_key(&mut self, exchange: &str, symbol: &str) -> Result<usize> {
        let mut made = None;
        let place = self.keys.place(exchange, symbol, |key| {
            made = Some(key.clone());
            State::default()
        });
        let Some(place) = place else {
            return exec_err!(
                "{}: the rows of ({exchange}, {symbol}) are not together, though the plan says that they are",
                SPEC.name
            );
        };
        if let Some(key) = made {
            self.order.insert(key, place);
        }
        if let Some(previous) = self.current.replace(place)
            && previous != place
            && self.arrival == Arrival::ByKey
        {
            self.flush(previous);
            self.keys.remove(previous);
        }
        Ok(place)
    }

    fn flush_all(&mut self) {
        let places: Vec<usize> = self.order.values().copied().collect();
        for place in places {
            self.flush(place);
        }
    }

    /// Emits the bar of a key that is being filled.
    fn flush(&mut self, place: usize) {
        let Some((key, state)) = self.keys.get_mut(place) else { return };
        let Some((start, _, bar)) = state.filling.take() else { return };
        if !self.wanted.contain(start) {
            return;
        }
        self.rows.time(0, start, 1);
        self.rows.text(1, &key.exchange, 1);
        self.rows.text(2, &key.symbol, 1);
        self.rows.number(3, bar.open);
        self.rows.number(4, bar.high);
        self.rows.number(5, bar.low);
        self.rows.number(6, bar.close);
        self.rows.number(7, bar.volume);
        self.rows.optional_number(8, bar.taker_buy_volume);
        self.rows.end(1);
        self.bars.add(1);
    }
}

/// Reads a trade or a candle as the bar of its own.
fn read_row(batch: &BarRows, row: usize, trades: bool) -> Result<(i64, Bar), Defect> {
    let ts = batch.instant(row)?;
    if trades {
        let (price, size) = (batch.price(row, 3)?, batch.quantity(row, 4)?);
        let bought = bought(batch.texts(5), row)
            .map_err(|was| batch.defect(row, "side", "be 'buy' or 'sell'", format!("'{was}'")))?;
        return Ok((ts, Bar::of_trade(price, size, bought)));
    }
    let candle = batch.candle(row)?;
    let bar = Bar {
        open: candle.open,
        high: candle.high,
        low: candle.low,
        close: candle.close,
        volume: candle.volume,
        taker_buy_volume: batch.optional_quantity(row, 8)?,
    };
    Ok((ts, bar))
}

/// Whether the taker bought, `None` where it is not told; another word is returned as the error.
fn bought(sides: &StringViewArray, row: usize) -> Result<Option<bool>, &str> {
    if sides.is_null(row) {
        return Ok(None);
    }
    match sides.value(row) {
        side if side.eq_ignore_ascii_case("buy") => Ok(Some(true)),
        side if side.eq_ignore_ascii_case("sell") => Ok(Some(false)),
        other => Err(other),
    }
}

impl Run for CandlesRun {
    fn feed(&mut self, _input: usize, batch: Option<RecordBatch>) -> Result<()> {
        match batch {
            Some(batch) => self.batch = Some((BarRows::try_new(SPEC.name, self.columns, &self.layout, &batch)?, 0)),
            None => {
                self.ended = true;
                self.flush_all();
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            if let Some((batch, row)) = self.batch.take() {
                let row = self.take_rows(&batch, row)?;
                if row < batch.len() {
                    self.batch = Some((batch, row));
                }
            } else if !self.ended {
                return Ok(Step::Read(0));
            } else if !self.rows.is_empty() {
                return Ok(Step::Ready(self.rows.finish()?));
            } else {
                return Ok(Step::Done);
            }
        }
    }

    fn memory(&self) -> usize {
        let of_key = size_of::<State>() + 2 * size_of::<Key>();
        self.order.len() * of_key + self.rows.memory()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, TimestampMillisecondArray};
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionContext, col};

    use super::*;

    /// Trades of two keys, one after the other or by turns, in batches of so many rows.
    async fn candles(trades: &RecordBatch, of_batch: usize, interval: &str) -> String {
        // With more partitions rows are exchanged, in batches of another length.
        let context = SessionContext::new_with_config(crate::sql::session_config().with_target_partitions(1));
        crate::sql::register_all(&context).unwrap();
        let batches = (0..trades.num_rows()).step_by(of_batch);
        let batches = batches.map(|from| trades.slice(from, of_batch.min(trades.num_rows() - from))).collect();
        let table = MemTable::try_new(trades.schema(), vec![batches]).unwrap();
        let order = vec![vec![col("ts").sort(true, false)]];
        context.register_table("trades", Arc::new(table.with_sort_order(order))).unwrap();
        let sql = format!(
            "SELECT * FROM to_candles(trades, INTERVAL '{interval}', on_bad_rows => 'skip') ORDER BY ts, symbol"
        );
        let answer = context.sql(&sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&answer).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_batch_at_once_makes_the_bars_that_rows_make_one_by_one() {
        for (block, defects) in [(1, false), (40, false), (1000, false), (40, true), (1000, true)] {
            let mut state = 7_u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let mut ts = -100_000;
            let (mut times, mut symbols, mut prices, mut sizes, mut sides) = (vec![], vec![], vec![], vec![], vec![]);
            for row in 0..1000 {
                ts += (next() % 1500) as i64;
                times.push(if defects && row % 97 == 0 && row % block > 5 { ts - 20_000 } else { ts });
                symbols.push(if row / block % 2 == 0 { "BTCUSDT" } else { "ETHUSDT" });
                prices.push(if defects && row % 89 == 0 { None } else { Some(100.0 + (next() % 50) as f64 * 0.1) });
                sizes.push(if defects && row % 83 == 0 { f64::NAN } else { (next() % 1000) as f64 * 0.001 });
                sides.push(match next() % 200 {
                    0 => None,
                    1 if defects => Some("long"),
                    2..100 => Some("buy"),
                    100..110 => Some("Buy"),
                    _ => Some("sell"),
                });
            }
            let trades = RecordBatch::try_from_iter_with_nullable([
                ("ts", Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")) as ArrayRef, true),
                ("exchange", Arc::new(StringViewArray::from(vec!["binance"; 1000])), true),
                ("symbol", Arc::new(StringViewArray::from(symbols)), true),
                ("price", Arc::new(Float64Array::from(prices)), true),
                ("size", Arc::new(Float64Array::from(sizes)), true),
                ("side", Arc::new(StringViewArray::from(sides)), true),
            ])
            .unwrap();
            for interval in ["1 second", "1 minute", "1 day"] {
                let one_by_one = candles(&trades, 1, interval).await;
                assert_eq!(candles(&trades, 1000, interval).await, one_by_one, "{block} {defects} {interval}");
                assert_eq!(candles(&trades, 130, interval).await, one_by_one, "{block} {defects} {interval}");
            }
        }
    }
}

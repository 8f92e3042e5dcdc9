//! `liq_bars`: candles with open interest and funding beside them, as the model reads them.
//!
//! In: candles, and optionally open interest and funding. Out: a row per candle, with the last open interest at or before
//! its open (`open_interest`) and at or before its close (`open_interest_close`), and the last settled funding rate.
//!
//! An open interest older than `tolerance` at the instant it is wanted for counts as unknown: NULL. Funding is settled
//! every few hours and has no tolerance.
//!
//! Where the length of a bar is not given it is the smallest difference in `ts` among the first 100 candles of the key,
//! or those of its first 7 days if fewer. Rows are held back until it is known, and leave in the order in which they
//! came: a sorted input stays sorted.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::Layout;
use crate::market::tables::{BARS, CANDLES, FUNDING, OPEN_INTEREST};
use crate::model::bar::Bar;
use crate::sql::arguments::Arguments;
use crate::sql::asof::{self, Values};
use crate::sql::bars::{BadRows, Judge, Rows as MarketRows};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::keys::{Key, Keyed};
use crate::sql::model_run::{BARS_TO_INFER, SINGLE_BAR, TIME_TO_INFER, pushed_bound};
use crate::sql::model_settings::{INTERVAL, ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_bars",
    summary: "Candles with open interest and funding beside them, as the estimating functions read them",
    parameters: &[
        Parameter {
            name: "candles",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "price bars",
        },
        Parameter {
            name: "open_interest",
            kind: ParameterKind::Relation,
            fallback: Fallback::Derived("none: the model estimates it from volume"),
            unit: "",
            doc: "open interest of one side over time",
        },
        Parameter {
            name: "funding",
            kind: ParameterKind::Relation,
            fallback: Fallback::Derived("none"),
            unit: "",
            doc: "settled funding rates",
        },
        INTERVAL,
        Parameter {
            name: "tolerance",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '15 minutes'"),
            unit: "",
            doc: "oldest open interest that still counts",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(BARS.columns),
    example: "SELECT * FROM liq_bars(candles, open_interest => open_interest, funding => funding) \
              WHERE exchange = 'bybit' AND symbol = 'ETHUSDT' LIMIT 5",
};

/// The function.
#[derive(Debug)]
pub struct LiqBars;

impl TableFunction for LiqBars {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let mut inputs = vec![Input {
            parameter: "candles",
            relation: arguments.relation("candles")?,
            wanted: Wanted::Columns(CANDLES.columns),
        }];
        let mut optional = |parameter, columns| -> Result<Option<usize>> {
            let Some(relation) = arguments.optional_relation(parameter)? else { return Ok(None) };
            inputs.push(Input { parameter, relation, wanted: Wanted::Columns(columns) });
            Ok(Some(inputs.len() - 1))
        };
        let open_interest = optional("open_interest", OPEN_INTEREST.columns)?;
        let funding = optional("funding", FUNDING.columns)?;
        let operator = LiqBarsOperator {
            open_interest,
            funding,
            interval: arguments.interval("interval")?,
            tolerance: arguments.interval("tolerance")?.unwrap_or(15 * 60_000),
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct LiqBarsOperator {
    /// Positions of the inputs.
    open_interest: Option<usize>,
    funding: Option<usize>,
    interval: Option<i64>,
    tolerance: i64,
    bad_rows: BadRows,
}

impl Operator for LiqBarsOperator {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let given = |input: Option<usize>| if input.is_some() { "given" } else { "none" }.to_owned();
        vec![
            ("open_interest", given(self.open_interest)),
            ("funding", given(self.funding)),
            ("interval", self.interval.map_or_else(|| "inferred".to_owned(), length_text)),
            ("tolerance", length_text(self.tolerance)),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        let inputs = 1 + usize::from(self.open_interest.is_some()) + usize::from(self.funding.is_some());
        (0..inputs).map(|_| keyed_by_market()).collect()
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        // One bar more, because a row is judged by its distance from the one before; or, where the first candles tell the
        // length of a bar, as much as they need. Values before a bound count too: the last one is what holds.
        let before = self.interval.unwrap_or(TIME_TO_INFER);
        let candles = TimeBounds {
            from: wanted.from.map(|from| from.saturating_sub(before)),
            to: pushed_bound(wanted.to, self.interval),
        };
        let close = candles.to.zip(self.interval).map(|(to, interval)| to.saturating_add(interval));
        let mut times = vec![candles];
        if self.open_interest.is_some() {
            let from = candles.from.map(|from| from.saturating_sub(self.tolerance));
            times.push(TimeBounds { from, to: close });
        }
        if self.funding.is_some() {
            times.push(TimeBounds { from: None, to: candles.to });
        }
        times
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let layout = match Layout::find(CANDLES.columns, &start.schemas[0]) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{}: 'candles' {error}", SPEC.name),
        };
        let judge = Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows"));
        let values = |input: Option<usize>, parameter, columns, value, signed| -> Result<Option<(usize, Values)>> {
            let Some(input) = input else { return Ok(None) };
            let reading = asof::Reading {
                function: SPEC.name,
                parameter,
                columns,
                value,
                signed,
                judge: judge.clone(),
                arrival: start.arrival,
            };
            Ok(Some((input, Values::try_new(reading, &start.schemas[input])?)))
        };
        let open_interest = values(self.open_interest, "open_interest", OPEN_INTEREST.columns, "open_interest", false)?;
        let funding = values(self.funding, "funding", FUNDING.columns, "funding_rate", true)?;
        Ok(Box::new(LiqBarsRun {
            layout,
            rows: Rows::try_new(&self.schema(), start.projection)?,
            batch_size: start.batch_size,
            arrival: start.arrival,
            interval: self.interval,
            tolerance: self.tolerance,
            bars: start.counter("bars"),
            judge,
            open_interest,
            funding,
            keys: Keyed::default(),
            current: None,
            batch: None,
            ended: false,
            latest: i64::MIN,
            waiting: VecDeque::new(),
        }))
    }
}

#[derive(Debug)]
struct State {
    first_ts: i64,
    last_ts: i64,
    seen: usize,
    smallest: Option<i64>,
    /// Known length of a bar.
    interval: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    place: usize,
    bar: Bar,
    taker_buy_volume: Option<f64>,
}

struct LiqBarsRun {
    layout: Layout,
    rows: Rows,
    batch_size: usize,
    arrival: Arrival,
    interval: Option<i64>,
    tolerance: i64,
    bars: Count,
    judge: Judge,
    open_interest: Option<(usize, Values)>,
    funding: Option<(usize, Values)>,
    keys: Keyed<State>,
    current: Option<usize>,
    batch: Option<(MarketRows, usize)>,
    ended: bool,
    /// Latest instant over all keys.
    latest: i64,
    /// Candles in order of arrival whose row is not made yet.
    waiting: VecDeque<Waiting>,
}

impl LiqBarsRun {
    fn take_row(&mut self, batch: &MarketRows, row: usize) -> Result<()> {
        let bar = match batch.candle(row) {
            Ok(bar) => bar,
            Err(defect) => return self.judge.judge(&defect),
        };
        let (exchange, symbol) = (batch.exchange(row), batch.symbol(row));
        let interval = self.interval;
        let new = |_: &Key| State { first_ts: bar.ts, last_ts: i64::MIN, seen: 0, smallest: None, interval };
        let Some(place) = self.keys.place(exchange, symbol, new) else {
            return exec_err!(
                "{}: the rows of ({exchange}, {symbol}) are not together, though the plan says that they are",
                SPEC.name
            );
        };
        if self.current != Some(place)
            && let Some(previous) = self.current.replace(place)
            && self.arrival == Arrival::ByKey
        {
            // The clock of keys that come one after the other starts anew with each.
            self.latest = bar.ts;
            if let Some((_, state)) = self.keys.get_mut(previous) {
                state.settle();
            }
        }
        let Some((_, state)) = self.keys.get_mut(place) else { return Ok(()) };
        let last = (state.seen > 0).then_some(state.last_ts);
        if !self.judge.check_order(exchange, symbol, bar.ts, last, state.interval)? {
            return Ok(());
        }
        if bar.ts - state.first_ts > TIME_TO_INFER {
            state.settle();
        }
        if let Some(last) = last {
            let difference = bar.ts - last;
            state.smallest = Some(state.smallest.map_or(difference, |known| known.min(difference)));
        }
        state.seen += 1;
        state.last_ts = bar.ts;
        if state.interval.is_none() && state.seen >= BARS_TO_INFER {
            state.settle();
        }
        self.latest = self.latest.max(bar.ts);
        let taker_buy_volume = match batch.optional_quantity(row, 8) {
            Ok(volume) => volume,
            Err(defect) => return self.judge.judge(&defect),
        };
        self.bars.add(1);
        self.waiting.push_back(Waiting { place, bar, taker_buy_volume });
        Ok(())
    }

    /// Makes the row of the candle that waits longest; returns what is needed if it cannot be made yet.
    fn release(&mut self) -> Result<Release> {
        let Some(&Waiting { place, bar, taker_buy_volume }) = self.waiting.front() else {
            return Ok(Release::Candles);
        };
        let Some((key, state)) = self.keys.get_mut(place) else { return Ok(Release::Candles) };
        if state.interval.is_none() && (self.ended || self.latest - state.first_ts > TIME_TO_INFER) {
            state.settle();
        }
        let Some(interval) = state.interval else { return Ok(Release::Candles) };
        let close = bar.ts.saturating_add(interval);
        let mut known = [None; 3];
        if let Some((input, values)) = &mut self.open_interest {
            if !values.reach(key, close, bar.ts)? {
                return Ok(Release::Input(*input));
            }
            known[0] = values.lookup(key, bar.ts, bar.ts, Some(self.tolerance));
            known[1] = values.lookup(key, close, bar.ts, Some(self.tolerance));
        }
        if let Some((input, values)) = &mut self.funding {
            if !values.reach(key, bar.ts, bar.ts)? {
                return Ok(Release::Input(*input));
            }
            known[2] = values.lookup(key, bar.ts, bar.ts, None);
        }
        let rows = &mut self.rows;
        rows.time(0, bar.ts, 1);
        rows.text(1, &key.exchange, 1);
        rows.text(2, &key.symbol, 1);
        for (column, value) in [(3, bar.open), (4, bar.high), (5, bar.low), (6, bar.close), (7, bar.volume)] {
            rows.number(column, value);
        }
        rows.optional_number(8, taker_buy_volume);
        for (column, value) in (9..).zip(known) {
            rows.optional_number(column, value);
        }
        rows.end(1);
        self.waiting.pop_front();
        Ok(Release::Row)
    }
}

impl State {
    fn settle(&mut self) {
        if self.interval.is_none() {
            self.interval = Some(self.smallest.unwrap_or(SINGLE_BAR));
        }
    }
}

/// What came of the attempt to make a row.
enum Release {
    Row,
    /// More candles are needed.
    Candles,
    /// More of another input is needed.
    Input(usize),
}

impl Run for LiqBarsRun {
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()> {
        for (position, values) in [&mut self.open_interest, &mut self.funding].into_iter().flatten() {
            if *position == input {
                return values.feed(batch.as_ref());
            }
        }
        match batch {
            Some(batch) => {
                self.batch = Some((MarketRows::try_new(SPEC.name, CANDLES.columns, &self.layout, &batch)?, 0));
            }
            None => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            match self.release()? {
                Release::Row => continue,
                Release::Input(input) => return Ok(Step::Read(input)),
                Release::Candles => {}
            }
            if let Some((batch, row)) = self.batch.take() {
                if row < batch.len() {
                    self.take_row(&batch, row)?;
                    self.batch = Some((batch, row + 1));
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
        let values = [&self.open_interest, &self.funding];
        values.into_iter().flatten().map(|(_, values)| values.memory()).sum::<usize>()
            + self.waiting.capacity() * size_of::<Waiting>()
            + self.rows.memory()
    }
}

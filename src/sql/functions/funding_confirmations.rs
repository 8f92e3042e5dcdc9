//! `funding_confirmations`: what funding and the largest pools say together, and how often that came true.
//!
//! In: the pools of `liq_pools` (ts, exchange, symbol, price, side, peak_price, notional_usd), settled funding rates, and, if
//! wanted, bars that tell what price did afterwards. Out: a row per frame of pools. A frame without any pool is not in
//! `pools`, so it has no row. The rule and its table are in [`crate::model::signals`].
//!
//! ```text
//!   pools of (exchange, symbol, ts) ─► magnet ─────┐
//!   last funding rate at ts ─► per 8 hours ────────┼─► direction, confirmations, reasons
//!   bars closed by ts ─► earlier cases that are over ─► hit_rate beside base_rate
//! ```
//!
//! The rates are counted as time goes on: a row knows only cases whose horizon was over by its `ts`, so that a row never
//! changes when later data come. The last row of a key knows the whole history.
//!
//! Invariant: a prefix of the inputs gives a prefix of the rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::tables::FUNDING;
use crate::market::{Column, Kind};
use crate::model::signals::{History, Pool, Rule, Signal};
use crate::model::snapshot::Snapshot;
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Defect, Judge, Rows as BarRows};
use crate::sql::bounds::TimeBounds;
use crate::sql::closed_bars::{BAR_COLUMNS, ClosedBars};
use crate::sql::exec::{Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::frames::{FrameCell, Frames, frame_time};
use crate::sql::keys::{Key, Keyed};
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};
use crate::sql::stream::Stream;

const HOUR: i64 = 3_600_000;

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame of pools"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("price", Kind::Number, "quote per base", "current price"),
    Column::new("direction", Kind::Text, "", "up, down or none: where the signals say that price goes"),
    Column::new("confirmations", Kind::Integer, "", "how many of the two signals say so: 0, 1 or 2"),
    Column::optional("magnet_price", Kind::Number, "quote per base", "peak of the pool that is said to attract"),
    Column::optional("magnet_usd", Kind::Number, "USD", "what stands in it"),
    Column::optional("distance", Kind::Number, "fraction", "(magnet_price − price) / price"),
    Column::optional("funding_rate", Kind::Number, "fraction per interval", "last settled rate at ts"),
    Column::optional("funding_state", Kind::Text, "", "overbought, oversold or neutral; null if no rate is known"),
    Column::new("reasons", Kind::Text, "", "what speaks for it, in words"),
    Column::optional("hit_rate", Kind::Number, "share", "how often price went that way after the same signals before"),
    Column::optional(
        "base_rate",
        Kind::Number,
        "share",
        "how often price went that way anyway, over all frames before",
    ),
    Column::optional("cases", Kind::Integer, "", "earlier frames with the same signals whose horizon was over"),
    Column::optional("episodes", Kind::Integer, "", "those of the cases that do not overlap"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "funding_confirmations",
    summary: "What funding and the largest pools say together, and how often that came true",
    parameters: &[
        Parameter {
            name: "pools",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "rows of liq_pools",
        },
        Parameter {
            name: "funding",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "settled funding rates",
        },
        Parameter {
            name: "max_distance",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: false,
                high: 10.0,
                words: "a fraction above 0, at most 10",
            }),
            fallback: Fallback::Value("0.05"),
            unit: "fraction of price",
            doc: "pools whose peak is farther from the price are no magnets",
        },
        Parameter {
            name: "dominance",
            kind: ParameterKind::Number(Limits {
                low: 1.0,
                low_included: true,
                high: f64::MAX,
                words: "a number of at least 1",
            }),
            fallback: Fallback::Value("1.25"),
            unit: "",
            doc: "how many times the largest pool on the other side a magnet is",
        },
        Parameter {
            name: "funding_threshold",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: true,
                high: 1.0,
                words: "a fraction between 0 and 1",
            }),
            fallback: Fallback::Value("0.0001"),
            unit: "fraction per 8 hours",
            doc: "overbought above it, oversold below minus it",
        },
        Parameter {
            name: "tolerance",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '24 hours'"),
            unit: "",
            doc: "a funding rate older than this is not known any more",
        },
        Parameter {
            name: "bars",
            kind: ParameterKind::Relation,
            fallback: Fallback::Derived("none: hit_rate and what follows are null"),
            unit: "",
            doc: "bars or candles that tell what price did after each signal",
        },
        Parameter {
            name: "horizon",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '24 hours'"),
            unit: "",
            doc: "time after a frame at which price is compared, with bars",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM funding_confirmations(liq_pools(liq_heatmap(liq_bars(candles, \
              open_interest => open_interest), step => INTERVAL '8 hours')), funding) WHERE symbol = 'BTCUSDT' LIMIT 10",
};

/// What is read of the pools.
const POOL_COLUMNS: &[Column] = &[
    COLUMNS[0],
    COLUMNS[1],
    COLUMNS[2],
    Column::optional("price", Kind::Number, "quote per base", "current price"),
    Column::new("side", Kind::Text, "", "side of the positions: long or short"),
    Column::new("peak_price", Kind::Number, "quote per base", "middle of the largest cell"),
    Column::new("notional_usd", Kind::Number, "USD", "what stands in the pool"),
];

impl FrameCell for Pool {
    fn columns() -> &'static [Column] {
        POOL_COLUMNS
    }

    fn read(batch: &BarRows, row: usize, price: Option<f64>) -> Result<Pool, Defect> {
        if price.is_none() {
            let must = "be known: it tells what is above and below (liq_bucket takes it from 'prices')";
            return Err(batch.defect(row, "price", must, "NULL"));
        }
        Ok(Pool { side: batch.side(row, 4)?, peak_price: batch.price(row, 5)?, usd: batch.quantity(row, 6)? })
    }

    fn sort(pools: &mut [Pool]) {
        pools.sort_by(|a, b| a.side.cmp(&b.side).then(a.peak_price.total_cmp(&b.peak_price)));
    }
}

/// The function.
#[derive(Debug)]
pub struct FundingConfirmations;

impl TableFunction for FundingConfirmations {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let bars = arguments.optional_relation("bars")?;
        if bars.is_none() && arguments.has("horizon") {
            return plan_err!("{}: 'horizon' goes only with 'bars'", SPEC.name);
        }
        let operator = Confirmations {
            rule: Rule {
                max_distance: arguments.number("max_distance")?.unwrap_or(0.05),
                dominance: arguments.number("dominance")?.unwrap_or(1.25),
                funding_threshold: arguments.number("funding_threshold")?.unwrap_or(0.0001),
            },
            tolerance: arguments.interval("tolerance")?.unwrap_or(24 * HOUR),
            horizon: bars.is_some().then_some(arguments.interval("horizon")?.unwrap_or(24 * HOUR)),
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        let mut inputs = vec![
            Input { parameter: "pools", relation: arguments.relation("pools")?, wanted: Wanted::Columns(POOL_COLUMNS) },
            Input {
                parameter: "funding",
                relation: arguments.relation("funding")?,
                wanted: Wanted::Columns(FUNDING.columns),
            },
        ];
        if let Some(relation) = bars {
            inputs.push(Input { parameter: "bars", relation, wanted: Wanted::Columns(BAR_COLUMNS) });
        }
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Confirmations {
    rule: Rule,
    tolerance: i64,
    /// Set where bars are given.
    horizon: Option<i64>,
    bad_rows: BadRows,
}

impl Operator for Confirmations {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("max_distance", self.rule.max_distance.to_string()),
            ("dominance", self.rule.dominance.to_string()),
            ("funding_threshold", self.rule.funding_threshold.to_string()),
            ("tolerance", length_text(self.tolerance)),
            ("bars", if self.horizon.is_some() { "given" } else { "none" }.to_owned()),
            ("horizon", self.horizon.map_or_else(|| "none".to_owned(), length_text)),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        vec![keyed_by_market(); 2 + usize::from(self.horizon.is_some())]
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        // Earlier frames are the cases that are counted; without bars each frame stands by itself.
        let from = if self.horizon.is_some() { None } else { wanted.from };
        let funding = from.map(|from| from.saturating_sub(self.tolerance));
        let to = frame_time(wanted).to;
        vec![TimeBounds { from, to }, TimeBounds { from: funding, to }, TimeBounds { from: None, to }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let judge = Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows"));
        let stream = |input: usize, parameter, columns| {
            Stream::try_new(SPEC.name, parameter, columns, &start.schemas[input], judge.clone(), start.arrival)
        };
        let bars = match self.horizon {
            Some(_) => Some(ClosedBars::try_new("bars", &start.schemas[2], judge.clone(), start.arrival, None)?),
            None => None,
        };
        Ok(Box::new(ConfirmationsRun {
            operator: self.clone(),
            frames: Frames::try_new("pools", &start.schemas[0], judge.clone(), &start)?,
            funding: stream(1, "funding", FUNDING.columns)?,
            bars,
            keys: Keyed::default(),
            current: None,
            frame: None,
            signals: start.counter("signals"),
            without_funding: start.counter("without_funding"),
            wanted: start.wanted,
            arrival: start.arrival,
            batch_size: start.batch_size,
            rows: Rows::try_new(&self.schema(), start.projection)?,
        }))
    }
}

/// A settled rate and the length of its interval.
#[derive(Debug, Clone, Copy)]
struct Settled {
    ts: i64,
    rate: f64,
    interval_hours: f64,
}

#[derive(Debug)]
struct State {
    funding: Option<Settled>,
    history: Option<History>,
}

#[derive(Debug)]
struct ConfirmationsRun {
    operator: Confirmations,
    frames: Frames<Pool>,
    funding: Stream,
    bars: Option<ClosedBars>,
    keys: Keyed<State>,
    /// The key whose frames come, where keys come one after the other.
    current: Option<Key>,
    /// The frame that waits for funding and bars to reach it.
    frame: Option<(Key, Snapshot<Pool>)>,
    signals: Count,
    without_funding: Count,
    wanted: TimeBounds,
    arrival: Arrival,
    batch_size: usize,
    rows: Rows,
}

/// Reads a settled rate.
fn settled(batch: &BarRows, row: usize, ts: i64) -> Result<Settled, Defect> {
    let rate = match batch.optional(row, 3) {
        Some(rate) if rate.is_finite() => rate,
        other => {
            let was = other.map_or_else(|| "NULL".to_owned(), |rate| rate.to_string());
            return Err(batch.defect(row, "funding_rate", "be a finite number", was));
        }
    };
    match batch.optional(row, 4) {
        Some(interval_hours) if interval_hours.is_finite() && interval_hours > 0.0 => {
            Ok(Settled { ts, rate, interval_hours })
        }
        other => {
            let was = other.map_or_else(|| "NULL".to_owned(), |hours| hours.to_string());
            Err(batch.defect(row, "interval_hours", "be a positive number", was))
        }
    }
}

impl ConfirmationsRun {
    /// Returns the input of which more is needed before the waiting frame can be judged.
    fn missing(&mut self) -> Result<Option<usize>> {
        let Some((key, frame)) = &self.frame else { return Ok(None) };
        let (keys, horizon) = (&mut self.keys, self.operator.horizon);
        let new = |_: &Key| State { funding: None, history: horizon.map(History::new) };
        let known = self.funding.read_to(key, frame.ts, |judge, batch, row, ts| {
            let settled = match settled(batch, row, ts) {
                Ok(settled) => settled,
                Err(defect) => return judge.judge(&defect),
            };
            let (exchange, symbol) = (batch.exchange(row), batch.symbol(row));
            let Some(place) = keys.place(exchange, symbol, new) else { return Ok(()) };
            let Some((_, state)) = keys.get_mut(place) else { return Ok(()) };
            // Of several rates of one instant the last counts.
            match state.funding.map(|last| last.ts).filter(|last| *last > ts) {
                Some(last) => judge.check_order(exchange, symbol, ts, Some(last), None).map(|_| ()),
                None => {
                    state.funding = Some(settled);
                    Ok(())
                }
            }
        })?;
        if !known {
            return Ok(Some(1));
        }
        let reached = match &mut self.bars {
            Some(bars) => bars.reach(key, frame.ts)?,
            None => true,
        };
        Ok(if reached { None } else { Some(2) })
    }

    fn judge(&mut self, key: &Key, frame: &Snapshot<Pool>) {
        let horizon = self.operator.horizon;
        let new = |_: &Key| State { funding: None, history: horizon.map(History::new) };
        let Some(place) = self.keys.place(&key.exchange, &key.symbol, new) else { return };
        let Some((_, state)) = self.keys.get_mut(place) else { return };
        let Some(price) = frame.price else { return };
        let funding = state.funding.filter(|funding| frame.ts - funding.ts <= self.operator.tolerance);
        let rate_per_8h = funding.map(|funding| funding.rate * 8.0 / funding.interval_hours);
        let rule = &self.operator.rule;
        let signal = rule.judge(price, &frame.cells, rate_per_8h);
        let rates = match (&mut state.history, &mut self.bars) {
            (Some(history), Some(bars)) => {
                bars.take(key, frame.ts, |closed| history.close(closed.closed, closed.bar.close));
                history.settle(frame.ts);
                let rates = history.rates(&signal);
                history.open(frame.ts, price, &signal);
                Some(rates)
            }
            _ => None,
        };
        self.signals.add(usize::from(signal.confirmations > 0));
        self.without_funding.add(usize::from(funding.is_none()));
        if !self.wanted.contain(frame.ts) {
            return;
        }
        let Signal { direction, confirmations, magnet, .. } = signal;
        let rows = &mut self.rows;
        rows.time(0, frame.ts, 1);
        rows.text(1, &key.exchange, 1);
        rows.text(2, &key.symbol, 1);
        rows.number(3, price);
        rows.text(4, direction.name(), 1);
        rows.integer(5, i64::from(confirmations));
        rows.optional_number(6, magnet.map(|magnet| magnet.pool.peak_price));
        rows.optional_number(7, magnet.map(|magnet| magnet.pool.usd));
        rows.optional_number(8, magnet.map(|magnet| magnet.distance));
        rows.optional_number(9, funding.map(|funding| funding.rate));
        rows.optional_text(10, signal.funding.map(|state| state.name()));
        if rows.wants(11) {
            rows.text(11, &signal.reasons(rule, rate_per_8h), 1);
        }
        rows.optional_number(12, rates.and_then(|rates| rates.hit_rate));
        rows.optional_number(13, rates.and_then(|rates| rates.base_rate));
        rows.optional_integer(14, rates.map(|rates| rates.cases as i64));
        rows.optional_integer(15, rates.map(|rates| rates.episodes as i64));
        rows.end(1);
    }
}

impl Run for ConfirmationsRun {
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()> {
        match (input, &mut self.bars) {
            (0, _) => self.frames.feed(batch),
            (1, _) => self.funding.feed(batch.as_ref()),
            (_, Some(bars)) => bars.feed(batch.as_ref()),
            _ => Ok(()),
        }
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            if let Some(input) = self.missing()? {
                return Ok(Step::Read(input));
            }
            if let Some((key, frame)) = self.frame.take() {
                self.judge(&key, &frame);
                self.frames.give_back(frame);
                if self.arrival == Arrival::ByKey
                    && self.current.as_ref() != Some(&key)
                    && let Some(last) = self.current.replace(key)
                    && let Some(place) =
                        self.keys.place(&last.exchange, &last.symbol, |_| State { funding: None, history: None })
                {
                    self.keys.remove(place);
                }
            } else if let Some(frame) = self.frames.next_frame()? {
                self.frame = Some(frame);
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
        let of_key = |state: &State| size_of::<State>() + state.history.as_ref().map_or(0, History::memory);
        self.keys.values().map(of_key).sum::<usize>()
            + self.frames.memory()
            + self.bars.as_ref().map_or(0, ClosedBars::memory)
            + self.rows.memory()
    }
}

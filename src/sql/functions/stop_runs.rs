//! `stop_runs`: where stops were run, and how much of the move came back.
//!
//! In: candles; or trades, or finer candles, with an `interval`, which [`to_candles`] makes candles of that length of
//! first. Out: a row per run, in order of time within a key; its equations are in [`crate::model::stop_runs`].
//!
//! A row leaves when its horizon is over. It depends on bars that opened up to [`Rule::reach`] after it: a run, and twice
//! the horizon. An upper bound on `ts` is pushed into the bars with that much more; a lower bound only chooses rows,
//! because a run begins where the one before it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use super::to_candles::{self, candles_of};
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::leverage::MarginRule;
use crate::model::stop_runs::{self, Counts, LEAST_BARS, Rule, StopRun};
use crate::sql::arguments::Arguments;
use crate::sql::bars::BadRows;
use crate::sql::bounds::TimeBounds;
use crate::sql::closed_bars::BAR_COLUMNS;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel, ModelRun, TIME_TO_INFER};
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::relation::Relation;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "open of the first bar of the run"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("side", Kind::Text, "", "side of the positions whose stops were run: long where price fell"),
    Column::new("end_ts", Kind::Time, "", "close of the last bar of the run"),
    Column::new("bars", Kind::Integer, "", "bars of the run"),
    Column::new("price_from", Kind::Number, "quote per base", "open of the first bar"),
    Column::new("price_to", Kind::Number, "quote per base", "furthest price of the run"),
    Column::new("displacement", Kind::Number, "fraction", "price_to / price_from - 1"),
    Column::new("volume", Kind::Number, "base", "traded in the run"),
    Column::new("notional_usd", Kind::Number, "USD", "the same, each bar at (high + low + close) / 3"),
    Column::new("volume_z", Kind::Number, "deviations", "largest score of the volume of a bar of the run"),
    Column::new("displacement_z", Kind::Number, "deviations", "largest score of the displacement of a bar of the run"),
    Column::optional(
        "reversal",
        Kind::Number,
        "fraction",
        "share of the move that came back at some time within the horizon; null if the horizon is not over",
    ),
    Column::optional("close_reversal", Kind::Number, "fraction", "the same at the end of the horizon"),
];

const SCORE: Limits = Limits { low: 0.0, low_included: true, high: f64::MAX, words: "zero or a positive number" };

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "stop_runs",
    summary: "Clusters of executed stops: bursts of volume and movement, and how much of the move came back",
    parameters: &[
        Parameter {
            name: "trades_or_candles",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "candles; with interval also trades or finer candles",
        },
        Parameter {
            name: "interval",
            kind: ParameterKind::Interval,
            fallback: Fallback::Derived("that of the candles, which are taken as they are"),
            unit: "",
            doc: "length of the candles that are made of the rows first; coarser candles are not split, and their runs not joined",
        },
        Parameter {
            name: "window",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '24 hours'"),
            unit: "",
            doc: "time before a bar with which it is compared, at least 30 bars",
        },
        Parameter {
            name: "volume_z",
            kind: ParameterKind::Number(SCORE),
            fallback: Fallback::Value("3"),
            unit: "deviations",
            doc: "least score of the volume of a burst",
        },
        Parameter {
            name: "displacement_z",
            kind: ParameterKind::Number(SCORE),
            fallback: Fallback::Value("3"),
            unit: "deviations",
            doc: "least score of the displacement of a burst: the larger of ln(open/low) and ln(high/open)",
        },
        Parameter {
            name: "horizon",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '1 hour'"),
            unit: "",
            doc: "time after a run in which price may come back, and the longest run",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM stop_runs(candles) WHERE exchange = 'binance' AND symbol = 'BTCUSDT' LIMIT 10",
};

const DAY: i64 = 86_400_000;

const HOUR: i64 = 3_600_000;

/// The longest horizon.
const LONGEST_HORIZON: i64 = 30 * DAY;

/// The function.
#[derive(Debug)]
pub struct StopRuns;

impl TableFunction for StopRuns {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let operator = Runs {
            rule: Rule {
                window: arguments.interval("window")?.unwrap_or(DAY),
                volume_z: arguments.number("volume_z")?.unwrap_or(3.0),
                displacement_z: arguments.number("displacement_z")?.unwrap_or(3.0),
                horizon: arguments.interval("horizon")?.unwrap_or(HOUR),
            },
            interval: arguments.interval("interval")?,
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        if operator.rule.horizon > LONGEST_HORIZON {
            // Every run is watched to its end: a horizon of years would be watched by all of them at once.
            return plan_err!(
                "{}: 'horizon' must be at most {}, was {}",
                SPEC.name,
                length_text(LONGEST_HORIZON),
                length_text(operator.rule.horizon)
            );
        }
        let mut relation = arguments.relation("trades_or_candles")?;
        if let Some(interval) = operator.interval {
            if let Some(was) = too_short(operator.rule.window, interval) {
                return plan_err!("{}: {was}", SPEC.name);
            }
            let candles = provider_as_source(candles_of(relation, interval, operator.bad_rows));
            let plan = LogicalPlanBuilder::scan(to_candles::SPEC.name, candles, None)?.build()?;
            relation = Relation::Planned(Arc::new(plan));
        }
        let input = Input { parameter: "trades_or_candles", relation, wanted: Wanted::Columns(BAR_COLUMNS) };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), vec![input])))
    }
}

/// Returns the words of the error if a window cannot hold enough bars.
fn too_short(window: i64, interval: i64) -> Option<String> {
    (window / interval < LEAST_BARS as i64).then(|| {
        let (window, interval) = (length_text(window), length_text(interval));
        format!("'window' must hold at least {LEAST_BARS} bars, was {window} with bars of {interval}")
    })
}

#[derive(Debug, Clone)]
struct Runs {
    rule: Rule,
    interval: Option<i64>,
    bad_rows: BadRows,
}

impl Operator for Runs {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("interval", self.interval.map_or_else(|| "inferred".to_owned(), length_text)),
            ("window", length_text(self.rule.window)),
            ("volume_z", self.rule.volume_z.to_string()),
            ("displacement_z", self.rule.displacement_z.to_string()),
            ("horizon", length_text(self.rule.horizon)),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        vec![keyed_by_market()]
    }

    fn keeps(&self) -> Keeps {
        Keeps::WithinKeys
    }

    fn advice(&self, found: &Schema) -> Option<&'static str> {
        let trades = self.interval.is_none() && found.field_with_name("price").is_ok();
        trades.then_some("interval => INTERVAL '5 minutes' makes candles of trades")
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        // Where the length of the bars is not given it may be up to that time, in which also the bars lie that tell it.
        let reach = self.rule.reach(self.interval.unwrap_or(TIME_TO_INFER));
        vec![TimeBounds { from: None, to: wanted.to.map(|to| to.saturating_add(reach)) }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let counters = Counters {
            bursts: start.counter("bursts"),
            runs: start.counter("runs"),
            unscored: start.counter("unscored"),
        };
        let (rule, wanted) = (self.rule, start.wanted);
        let make = Box::new(move |_key: &Key, interval: i64, _rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            Ok(Box::new(KeyRuns {
                runs: stop_runs::StopRuns::new(rule, interval),
                too_short: too_short(rule.window, interval),
                bars: 0,
                wanted,
                counters: counters.clone(),
                counted: Counts::default(),
            }))
        });
        let bars = BarsInput { parameter: "trades_or_candles", interval: self.interval, bad_rows: self.bad_rows };
        Ok(Box::new(ModelRun::over_bars(self, &bars, BTreeMap::new(), &start, make)?))
    }
}

#[derive(Debug, Clone)]
struct Counters {
    bursts: Count,
    runs: Count,
    unscored: Count,
}

#[derive(Debug)]
struct KeyRuns {
    runs: stop_runs::StopRuns,
    /// Said once there are as many bars as a window must hold: of fewer nobody expects a score.
    too_short: Option<String>,
    bars: usize,
    wanted: TimeBounds,
    counters: Counters,
    /// What the counters have of this key.
    counted: Counts,
}

impl KeyRuns {
    fn emit(&mut self, key: &Key, rows: &mut Rows) {
        while let Some(run) = self.runs.pop() {
            if self.wanted.contain(run.ts) {
                emit(key, &run, rows);
            }
        }
        let counts = self.runs.counts();
        self.counters.bursts.add(counts.bursts - self.counted.bursts);
        self.counters.runs.add(counts.runs - self.counted.runs);
        self.counters.unscored.add(counts.unscored - self.counted.unscored);
        self.counted = counts;
    }
}

fn emit(key: &Key, run: &StopRun, rows: &mut Rows) {
    rows.time(0, run.ts, 1);
    rows.text(1, &key.exchange, 1);
    rows.text(2, &key.symbol, 1);
    rows.text(3, run.side.name(), 1);
    rows.time(4, run.end_ts, 1);
    rows.integer(5, i64::from(run.bars));
    rows.number(6, run.price_from);
    rows.number(7, run.price_to);
    rows.number(8, run.displacement());
    rows.number(9, run.volume);
    rows.number(10, run.notional_usd);
    rows.number(11, run.volume_z);
    rows.number(12, run.displacement_z);
    rows.optional_number(13, run.reversal);
    rows.optional_number(14, run.close_reversal);
    rows.end(1);
}

impl KeyModel for KeyRuns {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        self.bars += 1;
        if self.bars > LEAST_BARS
            && let Some(was) = &self.too_short
        {
            return exec_err!("{}: {was} of ({key})", SPEC.name);
        }
        self.runs.next(bar);
        self.emit(key, rows);
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.runs.end();
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        self.emit(key, rows);
        false
    }

    fn memory(&self) -> usize {
        size_of::<KeyRuns>() + self.runs.memory()
    }
}

//! `liq_flows`: what each bar opened, closed and swept, and what stands after it.
//!
//! In: bars. Out: a row per bar and side, longs first; with `by_leverage` a row per bar, side and leverage. Summed by
//! hour, `liquidated_usd` is the series to compare with realised liquidations.
//!
//! Of a lower bound on `ts`, bars are read from `warmup` before it (see [`crate::sql::model_settings`]).
//!
//! Invariant: over the bars, opened = closed + liquidated + standing; with closing => 'hazard' and scale => 'book',
//! `standing_size` of a side never exceeds `open_interest`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use super::liq_heatmap::BY_LEVERAGE;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::book::{Book, Counts, Totals};
use crate::model::leverage::MarginRule;
use crate::model::replay::Replay;
use crate::model::side::Side;
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{KeyModel, ModelRun};
use crate::sql::model_settings::{ModelSettings, WARMUP, model_parameters};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "open of the bar"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("side", Kind::Text, "", "side of the positions"),
    Column::optional("leverage", Kind::Number, "", "leverage of the positions, null unless by_leverage"),
    Column::optional("open_interest", Kind::Number, "base", "open interest after the bar, as the model used it"),
    Column::new("opened_usd", Kind::Number, "USD", "opened by the bar, at liquidation prices"),
    Column::new("closed_usd", Kind::Number, "USD", "closed in the bar without liquidation, at liquidation prices"),
    Column::new("liquidated_usd", Kind::Number, "USD", "swept by the bar, at liquidation prices"),
    Column::new("standing_usd", Kind::Number, "USD", "what stands after the bar, at liquidation prices"),
    Column::new("standing_size", Kind::Number, "base", "what stands after the bar"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_flows",
    summary: "What each bar opened, closed and swept, and what stands after it",
    parameters: model_parameters![BY_LEVERAGE, WARMUP],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT date_trunc('hour', ts) AS hour, side, sum(liquidated_usd) AS liquidated_usd \
              FROM liq_flows(liq_bars(candles, open_interest => open_interest)) WHERE symbol = 'BTCUSDT' \
              GROUP BY hour, side ORDER BY liquidated_usd DESC LIMIT 10",
};

/// Bars after which the counters of EXPLAIN ANALYZE are brought up to date.
const BARS_BETWEEN_COUNTS: u64 = 1024;

/// The function.
#[derive(Debug)]
pub struct LiqFlows;

impl TableFunction for LiqFlows {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (settings, inputs) = ModelSettings::bind(arguments)?;
        let by_leverage = arguments.boolean("by_leverage")?.unwrap_or(false);
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(Flows { settings, by_leverage }), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Flows {
    settings: ModelSettings,
    by_leverage: bool,
}

impl Operator for Flows {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("by_leverage", self.by_leverage.to_string())];
        settings.extend(self.settings.shown());
        settings
    }

    fn readings(&self) -> Vec<Reading> {
        self.settings.readings()
    }

    fn keeps(&self) -> Keeps {
        Keeps::WithinKeys
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        // The flows of the last wanted bar may follow from the open interest of the next one, however late it comes.
        vec![TimeBounds { from: self.settings.first_bar(wanted.from), to: None }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let (cohorts, swept) = (start.counter("cohorts"), start.counter("swept"));
        let (operator, wanted) = (self.clone(), start.wanted);
        let make = Box::new(move |_key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let parameters = &operator.settings.parameters;
            Ok(Box::new(KeyFlows {
                replay: Replay::new(parameters, interval, rules, Book::new(parameters)),
                by_leverage: operator.by_leverage,
                wanted,
                pending: None,
                last: None,
                cohorts: cohorts.clone(),
                swept: swept.clone(),
                counted: Counts::default(),
            }))
        });
        Ok(Box::new(ModelRun::start(self, &self.settings, &start, make)?))
    }
}

#[derive(Debug)]
struct KeyFlows {
    replay: Replay<Book>,
    by_leverage: bool,
    wanted: TimeBounds,
    /// The bar whose row waits for the open interest at its close.
    pending: Option<i64>,
    /// The row that became known only at the end.
    last: Option<i64>,
    cohorts: Count,
    swept: Count,
    counted: Counts,
}

impl KeyFlows {
    /// Adds what the book has worked since the last time. Not per bar: counters are shared between threads.
    fn count(&mut self) {
        let now = self.replay.standing().counts();
        self.cohorts.add((now.cohorts - self.counted.cohorts) as usize);
        self.swept.add((now.swept - self.counted.swept) as usize);
        self.counted = now;
    }

    fn emit(&self, key: &Key, ts: i64, rows: &mut Rows) {
        if !self.wanted.contain(ts) {
            return;
        }
        let book = self.replay.standing();
        let mut row = |side: Side, leverage: Option<f64>, total: Totals| {
            rows.time(0, ts, 1);
            rows.text(1, &key.exchange, 1);
            rows.text(2, &key.symbol, 1);
            rows.text(3, side.name(), 1);
            rows.optional_number(4, leverage);
            rows.optional_number(5, self.replay.open_interest());
            rows.number(6, total.flow.opened_usd);
            rows.number(7, total.flow.closed_usd);
            rows.number(8, total.flow.liquidated_usd);
            rows.number(9, total.standing_usd);
            rows.number(10, total.standing_size);
            rows.end(1);
        };
        if self.by_leverage {
            for side in Side::BOTH {
                for (tier, leverage) in book.leverages().iter().enumerate() {
                    row(side, Some(*leverage), book.total(side, tier));
                }
            }
        } else {
            for (side, total) in Side::BOTH.into_iter().zip(book.totals()) {
                row(side, None, total);
            }
        }
    }
}

impl KeyModel for KeyFlows {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        self.replay.settle(Some(bar));
        if let Some(ts) = self.pending.take() {
            self.emit(key, ts, rows);
        }
        self.replay.begin(bar);
        self.replay.end(bar);
        if self.replay.is_pending() {
            self.pending = Some(bar.ts);
        } else {
            self.emit(key, bar.ts, rows);
        }
        if self.replay.bars().is_multiple_of(BARS_BETWEEN_COUNTS) {
            self.count();
        }
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.replay.settle(None);
        self.count();
        self.last = self.pending.take();
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        if let Some(ts) = self.last.take() {
            self.emit(key, ts, rows);
        }
        false
    }

    fn memory(&self) -> usize {
        self.replay.standing().memory()
    }
}

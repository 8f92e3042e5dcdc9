//! `liq_levels`: what became of every cohort.
//!
//! In: bars. Out: a row per (bar, side, tier, jitter) that opened something, as it is after the last bar whose close is at
//! or before `at`. A cohort is what one bar opened on one side with one leverage and one jitter.
//!
//! Invariant: opened_usd = closed_usd + liquidated_usd + open_usd within 1e-9. Rows of cohorts of which nothing stands
//! come as soon as that is known, the others at the end, so that memory holds only what stands; sort by `level_id` if
//! order matters.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use super::liq_map::{AT, Until};
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::levels::{Fate, Level, Levels};
use crate::model::leverage::MarginRule;
use crate::model::replay::Replay;
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, time_text};
use crate::sql::keys::Key;
use crate::sql::model_run::{KeyModel, ModelRun, pushed_bound};
use crate::sql::model_settings::{ModelSettings, model_parameters};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("level_id", Kind::Integer, "", "running number within the key, in order of opening, from 1"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("side", Kind::Text, "", "side of the positions"),
    Column::new("leverage", Kind::Number, "", "leverage of the positions"),
    Column::new("jitter", Kind::Number, "ln(distance)", "offset of the cohort within its tier"),
    Column::new("opened_ts", Kind::Time, "", "open of the bar that opened it"),
    Column::new("entry_low", Kind::Number, "quote per base", "lowest entry price"),
    Column::new("entry_high", Kind::Number, "quote per base", "highest entry price"),
    Column::new("entry_price", Kind::Number, "quote per base", "middle of the entry prices"),
    Column::new("liquidation_low", Kind::Number, "quote per base", "liquidation price of the lowest entry"),
    Column::new("liquidation_high", Kind::Number, "quote per base", "liquidation price of the highest entry"),
    Column::new("liquidation_price", Kind::Number, "quote per base", "middle of the liquidation prices"),
    Column::new("opened_usd", Kind::Number, "USD", "opened, at liquidation prices"),
    Column::new("closed_usd", Kind::Number, "USD", "closed without liquidation so far, at liquidation prices"),
    Column::new("liquidated_usd", Kind::Number, "USD", "swept so far, at liquidation prices"),
    Column::new("open_usd", Kind::Number, "USD", "what stands, at liquidation prices"),
    Column::optional("liquidated_ts", Kind::Time, "", "open of the last bar that swept a part of it"),
    Column::new("fate", Kind::Text, "", "open, swept (nothing stands, a part was liquidated) or closed"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_levels",
    summary: "Every cohort of estimated positions, with its liquidation price and its fate",
    parameters: model_parameters![AT],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT side, fate, count(*) AS levels, sum(opened_usd) AS opened_usd \
              FROM liq_levels(liq_bars(candles, open_interest => open_interest), at => TIMESTAMP '2026-01-03') \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT' GROUP BY side, fate ORDER BY side, fate",
};

/// The function.
#[derive(Debug)]
pub struct LiqLevels;

impl TableFunction for LiqLevels {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (settings, inputs) = ModelSettings::bind(arguments)?;
        let at = arguments.timestamp("at")?;
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(LevelRecords { settings, at }), inputs)))
    }
}

#[derive(Debug, Clone)]
struct LevelRecords {
    settings: ModelSettings,
    at: Option<i64>,
}

impl Operator for LevelRecords {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("at", self.at.map_or_else(|| "after the last bar".to_owned(), time_text))];
        settings.extend(self.settings.shown());
        settings
    }

    fn readings(&self) -> Vec<Reading> {
        self.settings.readings()
    }

    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        vec![TimeBounds { from: None, to: pushed_bound(self.at, self.settings.interval) }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let counters = Counters {
            cohorts: start.counter("cohorts"),
            swept: start.counter("swept"),
            closed: start.counter("closed"),
        };
        let operator = self.clone();
        let make = Box::new(move |_key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let parameters = &operator.settings.parameters;
            Ok(Box::new(KeyLevels {
                until: Some(Until::new(Replay::new(parameters, interval, rules, Levels::new(parameters)), operator.at)),
                leverages: parameters.tiers.clone(),
                jitters: parameters.jitters(),
                remaining: VecDeque::new(),
                counters: counters.clone(),
            }))
        });
        Ok(Box::new(ModelRun::start(self, &self.settings, &start, make)?))
    }
}

#[derive(Debug, Clone)]
struct Counters {
    cohorts: Count,
    swept: Count,
    closed: Count,
}

#[derive(Debug)]
struct KeyLevels {
    /// `None` after the end.
    until: Option<Until<Levels>>,
    leverages: Vec<f64>,
    jitters: Vec<f64>,
    remaining: VecDeque<Level>,
    counters: Counters,
}

impl KeyLevels {
    fn emit(&self, key: &Key, level: &Level, rows: &mut Rows) {
        rows.integer(0, level.id);
        rows.text(1, &key.exchange, 1);
        rows.text(2, &key.symbol, 1);
        rows.text(3, level.side.name(), 1);
        rows.number(4, self.leverages[level.tier]);
        rows.number(5, self.jitters[level.jitter]);
        rows.time(6, level.opened_ts, 1);
        rows.number(7, level.entry_low);
        rows.number(8, level.entry_high);
        rows.number(9, (level.entry_low + level.entry_high) / 2.0);
        rows.number(10, level.liquidation_low);
        rows.number(11, level.liquidation_high);
        rows.number(12, (level.liquidation_low + level.liquidation_high) / 2.0);
        rows.number(13, level.opened_usd);
        rows.number(14, level.closed_usd);
        rows.number(15, level.liquidated_usd);
        rows.number(16, level.open_usd);
        rows.optional_time(17, level.liquidated_ts);
        rows.text(18, level.fate.name(), 1);
        rows.end(1);
        match level.fate {
            Fate::Swept => self.counters.swept.add(1),
            Fate::Closed => self.counters.closed.add(1),
            Fate::Open => {}
        }
    }
}

impl KeyModel for KeyLevels {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        let Some(until) = &mut self.until else { return Ok(()) };
        let before = until.replay.standing().opened();
        until.bar(bar);
        let levels = until.replay.standing_mut();
        self.counters.cohorts.add((levels.opened() - before) as usize);
        if levels.finished() > 0 {
            for level in levels.take_finished() {
                self.emit(key, &level, rows);
            }
        }
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        if let Some(mut until) = self.until.take()
            && until.end().is_some()
        {
            self.remaining = until.replay.into_standing().into_levels().into();
        }
        Ok(())
    }

    fn drain(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool {
        for _ in 0..limit {
            match self.remaining.pop_front() {
                Some(level) => self.emit(key, &level, rows),
                None => return false,
            }
        }
        true
    }

    fn memory(&self) -> usize {
        self.until.as_ref().map_or(0, |until| until.replay.standing().memory())
            + self.remaining.capacity() * size_of::<Level>()
    }
}

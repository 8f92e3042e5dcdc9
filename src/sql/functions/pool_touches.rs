//! `pool_touches`: whether price reached a pool, beside a mirror level at the same distance.
//!
//! In: pools, and the bars of the same markets. Out: a row per pool, when it was first seen: what price did at its peak
//! within the horizon, and at the mirror. A wall that persists is one pool and counts once. Rules and terms are in
//! [`crate::model::touches`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::touches::{Approach, Touch, TouchRule, Touches};
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel};
use crate::sql::model_settings::{INTERVAL, ON_BAD_ROWS, length_text};
use crate::sql::pool_frames::{self, Frames, LATER_BARS, POOLS};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame in which the pool was first seen"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("pool_id", Kind::Integer, "", "number of the pool"),
    Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
    Column::new("price", Kind::Number, "quote per base", "price at the frame"),
    Column::new("peak_price", Kind::Number, "quote per base", "the level: middle of the pool's largest cell"),
    Column::new("notional_usd", Kind::Number, "USD", "what stood in the pool"),
    Column::new("rank", Kind::Integer, "", "1 for the largest of its side in the frame"),
    Column::new("distance", Kind::Number, "fraction of price", "(peak_price - price) / price"),
    Column::new("is_finished", Kind::Boolean, "", "whether the bars reach beyond the horizon; else all below is NULL"),
    Column::optional("is_reached", Kind::Boolean, "", "whether price reached the level within the horizon"),
    Column::optional("reached_ts", Kind::Time, "", "open of the bar that reached it"),
    Column::optional("hours_to_reach", Kind::Number, "hours", "from the frame to the open of that bar"),
    Column::optional("overshoot", Kind::Number, "fraction of the level", "how far price went beyond it"),
    Column::optional(
        "reversal",
        Kind::Number,
        "fraction of the level",
        "how far price came back after that bar; negative: it did not",
    ),
    Column::optional(
        "nearest_approach",
        Kind::Number,
        "fraction of the level",
        "how near price came; 0 if it was reached",
    ),
    Column::optional("near_miss", Kind::Boolean, "", "whether price came within near and did not reach it"),
    Column::new("mirror_price", Kind::Number, "quote per base", "price² / peak_price: as far on the other side"),
    Column::new("mirror_is_empty", Kind::Boolean, "", "whether no pool of the frame holds the mirror"),
    Column::optional("mirror_is_reached", Kind::Boolean, "", "the same of the mirror level"),
    Column::optional("mirror_reached_ts", Kind::Time, "", "the same of the mirror level"),
    Column::optional("mirror_hours_to_reach", Kind::Number, "hours", "the same of the mirror level"),
    Column::optional("mirror_overshoot", Kind::Number, "fraction of the level", "the same of the mirror level"),
    Column::optional("mirror_reversal", Kind::Number, "fraction of the level", "the same of the mirror level"),
    Column::optional("mirror_nearest_approach", Kind::Number, "fraction of the level", "the same of the mirror level"),
    Column::optional("mirror_near_miss", Kind::Boolean, "", "the same of the mirror level"),
];

/// What a near miss is.
pub(super) const NEAR: Parameter = Parameter {
    name: "near",
    kind: ParameterKind::Number(Limits {
        low: 0.0,
        low_included: true,
        high: 0.5,
        words: "a fraction between 0 and 0.5",
    }),
    fallback: Fallback::Value("0.001"),
    unit: "fraction of the level",
    doc: "a near miss comes as near as this and does not reach the level",
};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "pool_touches",
    summary: "Whether price reached each pool within a horizon, beside a mirror level at the same distance",
    parameters: &[
        POOLS,
        LATER_BARS,
        Parameter {
            name: "horizon",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '24 hours'"),
            unit: "",
            doc: "time after the frame within which a level is reached or not",
        },
        NEAR,
        INTERVAL,
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT side, count(*) AS pools, avg(CAST(is_reached AS DOUBLE)) AS reached, \
              avg(CAST(mirror_is_reached AS DOUBLE)) AS mirror_reached FROM pool_touches(liq_pools(liq_heatmap(liq_bars(candles, \
              open_interest => open_interest))), candles) WHERE symbol = 'BTCUSDT' AND is_finished GROUP BY side",
};

/// The function.
#[derive(Debug)]
pub struct PoolTouches;

impl TableFunction for PoolTouches {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let default = TouchRule::default();
        let rule = TouchRule {
            horizon: arguments.interval("horizon")?.unwrap_or(default.horizon),
            near: arguments.number("near")?.unwrap_or(default.near),
        };
        let (bars, inputs) = pool_frames::bind(arguments)?;
        let operator = TouchTable { rule, bars };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct TouchTable {
    rule: TouchRule,
    bars: BarsInput,
}

impl Operator for TouchTable {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("horizon", length_text(self.rule.horizon)),
            ("near", self.rule.near.to_string()),
            ("interval", self.bars.interval.map_or_else(|| "inferred".to_owned(), length_text)),
            ("on_bad_rows", self.bars.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        pool_frames::readings()
    }

    fn keeps(&self) -> Keeps {
        Keeps::WithinKeys
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        // A row waits for bars up to the end of its horizon.
        Vec::new()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let (rule, wanted) = (self.rule, start.wanted);
        pool_frames::start(self, &self.bars, &start, move |interval, frames| {
            Box::new(KeyTouches { touches: Touches::new(rule, interval), frames, wanted })
        })
    }
}

#[derive(Debug)]
struct KeyTouches {
    touches: Touches,
    frames: Frames,
    wanted: TimeBounds,
}

impl KeyTouches {
    /// Gives the frames up to an instant.
    fn give(&mut self, until: i64) {
        for frame in self.frames.until(until) {
            self.touches.frame(frame.ts, frame.price, &frame.pools);
        }
    }

    fn emit(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool {
        let mut emitted = 0;
        while emitted < limit {
            let Some(touch) = self.touches.pop() else { return false };
            if self.wanted.contain(touch.ts) {
                write(key, &touch, rows);
                emitted += 1;
            }
        }
        true
    }
}

fn write(key: &Key, touch: &Touch, rows: &mut Rows) {
    let pool = &touch.pool;
    rows.time(0, touch.ts, 1);
    rows.text(1, &key.exchange, 1);
    rows.text(2, &key.symbol, 1);
    rows.integer(3, pool.id);
    rows.text(4, pool.side.name(), 1);
    rows.number(5, touch.price);
    rows.number(6, pool.peak_price);
    rows.number(7, pool.usd);
    rows.integer(8, pool.rank);
    rows.number(9, (pool.peak_price - touch.price) / touch.price);
    rows.optional_boolean(10, Some(touch.results.is_some()));
    approach(11, touch.results.map(|[own, _]| own), touch.time_to_reach(), rows);
    rows.number(18, touch.mirror_price);
    rows.optional_boolean(19, Some(touch.mirror_is_empty));
    approach(20, touch.results.map(|[_, mirror]| mirror), touch.mirror_time_to_reach(), rows);
    rows.end(1);
}

/// Writes the seven columns of a level from one on.
fn approach(first: usize, result: Option<Approach>, time: Option<i64>, rows: &mut Rows) {
    const HOUR: f64 = 3_600_000.0;
    let reached = result.and_then(|result| result.reached_ts);
    rows.optional_boolean(first, result.map(|_| reached.is_some()));
    rows.optional_time(first + 1, reached);
    rows.optional_number(first + 2, time.map(|time| time as f64 / HOUR));
    rows.optional_number(first + 3, result.and_then(|result| result.overshoot));
    rows.optional_number(first + 4, result.and_then(|result| result.reversal));
    rows.optional_number(first + 5, result.map(|result| result.nearest_approach));
    rows.optional_boolean(first + 6, result.map(|result| result.near_miss));
}

impl KeyModel for KeyTouches {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        self.give(bar.ts);
        self.touches.bar(bar);
        self.emit(key, usize::MAX, rows);
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.give(i64::MAX);
        self.touches.end();
        Ok(())
    }

    fn drain(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool {
        self.emit(key, limit, rows)
    }

    fn memory(&self) -> usize {
        self.touches.memory() + self.frames.memory()
    }
}

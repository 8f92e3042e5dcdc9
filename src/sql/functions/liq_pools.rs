//! `liq_pools`: the pools of each frame of a heatmap, each with a number that it keeps over time.
//!
//! In: rows of a heatmap: liq_heatmap, liq_bucket, liq_smooth, a vendor's. Out: a row per frame and pool, longs then
//! shorts, each side by rising price. What a pool is and when two of them are the same is said in
//! [`crate::model::pools`].
//!
//! ```text
//!   heatmap  t1 ▁▆█▆▁▁▅▅   t2 ▁▆▇▆▁▁▁▁   t3 ▁▅▇▁▁▁▅▆
//!   rows           1   2         1            1   2
//! ```
//!
//! `min_share` leaves rows out at the end and changes nothing else: a pool that is not shown keeps its number. The
//! numbers of a key depend on all its frames, so a lower bound on `ts` leaves rows out as well and narrows no input.
//!
//! `at_extreme` is the longest of 24 hours, 7 and 30 days up to the frame whose highest price lies in a pool of shorts, or
//! whose lowest lies in one of longs, give or take 0.1 % ([`crate::model::extremes`]). The prices are the `price` of the
//! frames, or with `bars` the high and low of the bars that have closed by then, which also know of wicks. NULL where
//! there is none, or where history does not reach back that far.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::extremes::{Extremes, HISTORY};
use crate::model::pools::{PoolRules, Pools};
use crate::model::snapshot::{PriceCell, Snapshot};
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Judge};
use crate::sql::bounds::TimeBounds;
use crate::sql::closed_bars::{BAR_COLUMNS, ClosedBars};
use crate::sql::exec::{Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::frames::{FRAME_COLUMNS, Frames, HEATMAP_PARAMETER, frame_time};
use crate::sql::keys::Key;
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market, length_text};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const DAY: i64 = 86_400_000;

const COLUMNS: &[Column] = &[
    Column::new("pool_id", Kind::Integer, "", "number of the pool within (exchange, symbol), in order of birth"),
    Column::new("ts", Kind::Time, "", "instant of the frame"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
    Column::optional("price", Kind::Number, "quote per base", "current price; null where the heatmap has none"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the pool"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the pool"),
    Column::new("peak_price", Kind::Number, "quote per base", "middle of its largest cell"),
    Column::new("notional_usd", Kind::Number, "USD", "what stands in the pool"),
    Column::new("share", Kind::Number, "0..1", "notional_usd / all that stands on its side in the frame"),
    Column::new("rank", Kind::Integer, "", "1 for the largest of its side in the frame"),
    Column::optional("distance", Kind::Number, "fraction of price", "(peak_price - price) / price"),
    Column::new("width", Kind::Number, "fraction of price", "(price_high - price_low) / peak_price"),
    Column::new("born_ts", Kind::Time, "", "instant of the frame in which it was first seen"),
    Column::optional(
        "at_extreme",
        Kind::Text,
        "",
        "24h, 7d or 30d: longest window whose high (short) or low (long) lies in the pool; null if none",
    ),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_pools",
    summary: "Pools of a heatmap: neighbouring bright cells, each with a number that it keeps over time",
    parameters: &[
        HEATMAP_PARAMETER,
        Parameter {
            name: "threshold",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: true,
                high: f64::MAX,
                words: "zero or a positive number",
            }),
            fallback: Fallback::Value("0.85"),
            unit: "of the mean",
            doc: "a cell belongs to a pool from this multiple of the mean cell of its frame",
        },
        Parameter {
            name: "min_share",
            kind: ParameterKind::Number(FRACTION),
            fallback: Fallback::Value("0"),
            unit: "fraction",
            doc: "pools with a smaller share of their side are left out",
        },
        Parameter {
            name: "memory",
            kind: ParameterKind::Interval,
            fallback: Fallback::Value("INTERVAL '24 hours'"),
            unit: "",
            doc: "a pool that fades and comes back within keeps its number",
        },
        Parameter {
            name: "bars",
            kind: ParameterKind::Relation,
            fallback: Fallback::Derived("none: the extremes are those of the heatmap's price"),
            unit: "",
            doc: "bars or candles whose highs and lows are the extremes",
        },
        Parameter {
            name: "valley",
            kind: ParameterKind::Number(FRACTION),
            fallback: Fallback::Value("0.8"),
            unit: "of the lesser peak",
            doc: "bright cells are cut into two pools where they fall below this part of both peaks; 0 for never",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_pools(liq_heatmap(liq_bars(candles, open_interest => open_interest)), min_share => 0.05) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT' LIMIT 10",
};

const FRACTION: Limits = Limits { low: 0.0, low_included: true, high: 1.0, words: "a fraction from 0 to 1" };

/// The function.
#[derive(Debug)]
pub struct LiqPools;

impl TableFunction for LiqPools {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let mut inputs = vec![Input {
            parameter: "heatmap",
            relation: arguments.relation("heatmap")?,
            wanted: Wanted::Columns(FRAME_COLUMNS),
        }];
        let bars = arguments.optional_relation("bars")?;
        let operator = PoolsOperator {
            rules: PoolRules {
                threshold: arguments.number("threshold")?.unwrap_or(0.85),
                valley: arguments.number("valley")?.unwrap_or(0.8),
                memory: arguments.interval("memory")?.unwrap_or(DAY),
            },
            min_share: arguments.number("min_share")?.unwrap_or(0.0),
            has_bars: bars.is_some(),
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        if let Some(relation) = bars {
            inputs.push(Input { parameter: "bars", relation, wanted: Wanted::Columns(BAR_COLUMNS) });
        }
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct PoolsOperator {
    rules: PoolRules,
    min_share: f64,
    has_bars: bool,
    bad_rows: BadRows,
}

impl Operator for PoolsOperator {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("threshold", self.rules.threshold.to_string()),
            ("min_share", self.min_share.to_string()),
            ("memory", length_text(self.rules.memory)),
            ("bars", if self.has_bars { "given" } else { "none" }.to_owned()),
            ("valley", self.rules.valley.to_string()),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        if self.has_bars { vec![keyed_by_market(), keyed_by_market()] } else { vec![keyed_by_market()] }
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        vec![TimeBounds { from: None, to: frame_time(wanted).to }; 2]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let judge = Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows"));
        let bars = match start.schemas.get(1) {
            Some(schema) => Some(ClosedBars::try_new("bars", schema, judge.clone(), start.arrival, Some(HISTORY))?),
            None => None,
        };
        Ok(Box::new(PoolsRun {
            frames: Frames::try_new("heatmap", &start.schemas[0], judge, &start)?,
            bars,
            waiting: None,
            rules: self.rules,
            min_share: self.min_share,
            wanted: start.wanted,
            arrival: start.arrival,
            keys: BTreeMap::new(),
            pools: start.counter("pools"),
            born: start.counter("born"),
            hidden: start.counter("below_min_share"),
            batch_size: start.batch_size,
            rows: Rows::try_new(&self.schema(), start.projection)?,
        }))
    }
}

/// What is known of a key.
#[derive(Debug)]
struct State {
    pools: Pools,
    extremes: Extremes,
}

struct PoolsRun {
    frames: Frames,
    bars: Option<ClosedBars>,
    /// A frame for which bars must be read first.
    waiting: Option<(Key, Snapshot)>,
    rules: PoolRules,
    min_share: f64,
    wanted: TimeBounds,
    arrival: Arrival,
    keys: BTreeMap<Key, State>,
    pools: Count,
    born: Count,
    hidden: Count,
    batch_size: usize,
    rows: Rows,
}

impl PoolsRun {
    /// Takes a frame by whose instant all bars are known.
    fn take(&mut self, key: &Key, frame: &mut Snapshot) {
        if !self.keys.contains_key(key) {
            if self.arrival == Arrival::ByKey {
                // No frame of the key before comes any more.
                self.keys.clear();
            }
            let state = State { pools: Pools::new(self.rules), extremes: Extremes::default() };
            self.keys.insert(key.clone(), state);
        }
        let Some(State { pools, extremes }) = self.keys.get_mut(key) else { return };
        match &mut self.bars {
            Some(bars) => bars.take(key, frame.ts, |closed| {
                extremes.take(closed.bar.ts, closed.closed, closed.bar.high, closed.bar.low);
            }),
            None => {
                if let Some(price) = frame.price {
                    extremes.take(frame.ts, frame.ts, price, price);
                }
            }
        }
        frame.join_leverages();
        let found = pools.frame(frame);
        self.pools.add(found.len());
        self.born.add(found.iter().filter(|pool| pool.born_ts == frame.ts).count());
        if !self.wanted.contain(frame.ts) {
            return;
        }
        let rows = &mut self.rows;
        for pool in found {
            if pool.share < self.min_share {
                self.hidden.add(1);
                continue;
            }
            let extreme = extremes.held_by(pool.side, frame.ts, pool.price_low, pool.price_high);
            rows.integer(0, pool.id);
            rows.time(1, frame.ts, 1);
            rows.text(2, &key.exchange, 1);
            rows.text(3, &key.symbol, 1);
            rows.text(4, pool.side.name(), 1);
            rows.optional_number(5, frame.price);
            rows.number(6, pool.price_low);
            rows.number(7, pool.price_high);
            rows.number(8, pool.peak_price);
            rows.number(9, pool.usd);
            rows.number(10, pool.share);
            rows.integer(11, pool.rank);
            rows.optional_number(12, frame.price.map(|price| (pool.peak_price - price) / price));
            rows.number(13, (pool.price_high - pool.price_low) / pool.peak_price);
            rows.time(14, pool.born_ts, 1);
            rows.optional_text(15, extreme.map(|window| window.name()));
            rows.end(1);
        }
    }
}

impl Run for PoolsRun {
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()> {
        match &mut self.bars {
            Some(bars) if input == 1 => bars.feed(batch.as_ref()),
            _ => self.frames.feed(batch),
        }
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            let next = match self.waiting.take() {
                Some(frame) => Some(frame),
                None => self.frames.next_frame()?,
            };
            if let Some((key, mut frame)) = next {
                if let Some(bars) = &mut self.bars
                    && !bars.reach(&key, frame.ts)?
                {
                    self.waiting = Some((key, frame));
                    return Ok(Step::Read(1));
                }
                self.take(&key, &mut frame);
                self.frames.give_back(frame);
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
        let of_key = |state: &State| size_of::<State>() + state.pools.memory() + state.extremes.memory();
        let waiting = self.waiting.as_ref().map_or(0, |(_, frame)| frame.cells.capacity() * size_of::<PriceCell>());
        self.frames.memory()
            + waiting
            + self.bars.as_ref().map_or(0, ClosedBars::memory)
            + self.keys.values().map(of_key).sum::<usize>()
            + self.rows.memory()
    }
}

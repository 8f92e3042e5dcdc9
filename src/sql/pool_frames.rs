//! Pools of `liq_pools`, read whole, by key and frame: what the functions share that follow pools through later bars.
//!
//! In: rows of `liq_pools`. Out: per key its frames in order of time, each with its price and its pools.
//!
//! Invariant: of a frame all rows have one price; rows without a price cannot be used, as distances start there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};

use super::bars::{BadRows, Judge, Rows as BarRows};
use super::exec::{Operator, Reading, Run, Start};
use super::keys::Key;
use super::model_run::{BarsInput, KeyModel, ModelRun};
use super::model_settings::keyed_by_market;
use super::provider::{Input, Wanted};
use super::spec::{Fallback, Parameter, ParameterKind};
use crate::market::tables::MODEL_BARS;
use crate::market::{Column, Kind, Layout};
use crate::model::leverage::MarginRule;
use crate::model::pools::Pool;
use crate::sql::arguments::Arguments;

/// The relation of pools.
pub const POOLS: Parameter = Parameter {
    name: "pools",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "rows of liq_pools, read whole; of a heatmap whose frames have a price",
};

/// The relation of bars in which pools are followed.
pub const LATER_BARS: Parameter = Parameter {
    name: "bars",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "bars or candles of the same markets, from the first frame on",
};

/// What is read of them.
static POOL_COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("pool_id", Kind::Integer, "", "number of the pool"),
    Column::new("side", Kind::Text, "", "side of the positions"),
    Column::new("price", Kind::Number, "quote per base", "current price"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit"),
    Column::new("peak_price", Kind::Number, "quote per base", "middle of its largest cell"),
    Column::new("notional_usd", Kind::Number, "USD", "what stands in it"),
    Column::new("share", Kind::Number, "0..1", "of its side in the frame"),
    Column::new("rank", Kind::Integer, "", "1 for the largest of its side"),
    Column::new("born_ts", Kind::Time, "", "instant of the frame in which it was first seen"),
];

/// The pools of one instant.
#[derive(Debug, Clone)]
pub struct PoolFrame {
    /// Milliseconds since the epoch.
    pub ts: i64,
    /// Current price.
    pub price: f64,
    /// By side, rank and number.
    pub pools: Vec<Pool>,
}

/// The frames of every key, in order of time.
type PoolFrames = BTreeMap<Key, Vec<PoolFrame>>;

/// Binds what the functions share that follow pools through bars: the bars, and both inputs.
///
/// # Errors
///
/// An argument is not as it must be.
pub fn bind(arguments: &Arguments<'_>) -> Result<(BarsInput, Vec<Input>)> {
    let bars = BarsInput {
        parameter: "bars",
        interval: arguments.interval("interval")?,
        bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
    };
    let input = |parameter, wanted| {
        Ok::<_, DataFusionError>(Input { parameter, relation: arguments.relation(parameter)?, wanted })
    };
    Ok((bars, vec![input("bars", Wanted::Columns(MODEL_BARS))?, input("pools", Wanted::Columns(POOL_COLUMNS))?]))
}

/// How both inputs are read: bars in order, pools whole.
pub fn readings() -> Vec<Reading> {
    vec![keyed_by_market(), Reading::Gathered]
}

/// Starts a partition; `make` makes the state of a key of its bars' length and its frames.
///
/// # Errors
///
/// A column is missing, or a row of pools cannot be used and bad rows are errors.
pub fn start(
    operator: &dyn Operator,
    bars: &BarsInput,
    start: &Start<'_>,
    make: impl Fn(i64, Frames) -> Box<dyn KeyModel> + Send + 'static,
) -> Result<Box<dyn Run>> {
    let judge = Judge::new(operator.function(), bars.bad_rows, start.counter("bad_rows"));
    let all = Arc::new(pool_frames(&start.schemas[1], &start.gathered[1], &judge)?);
    let make = Box::new(move |key: &Key, interval: i64, _rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
        Ok(make(interval, Frames { all: Arc::clone(&all), key: key.clone(), next: 0 }))
    });
    Ok(Box::new(ModelRun::over_bars(operator, bars, BTreeMap::new(), start, make)?))
}

/// The frames of a key, handed over as time passes.
#[derive(Debug)]
pub struct Frames {
    all: Arc<PoolFrames>,
    key: Key,
    /// The first frame that was not handed over.
    next: usize,
}

impl Frames {
    /// Hands over the frames up to an instant that were not handed over yet.
    pub fn until(&mut self, ts: i64) -> &[PoolFrame] {
        let frames = self.all.get(&self.key).map_or(&[][..], Vec::as_slice);
        let due = frames.get(self.next..).unwrap_or(&[]);
        let due = &due[..due.partition_point(|frame| frame.ts <= ts)];
        self.next += due.len();
        due
    }

    /// Bytes that the frames of the key take, about.
    pub fn memory(&self) -> usize {
        let frames = self.all.get(&self.key).map_or(&[][..], Vec::as_slice);
        frames.iter().map(|frame| size_of::<PoolFrame>() + frame.pools.capacity() * size_of::<Pool>()).sum()
    }
}

/// Reads the gathered pools.
///
/// # Errors
///
/// A column is missing, or a row cannot be used and bad rows are errors.
fn pool_frames(schema: &SchemaRef, batches: &[RecordBatch], judge: &Judge) -> Result<PoolFrames> {
    let function = judge.function();
    let layout =
        Layout::find(POOL_COLUMNS, schema).map_err(|error| exec_datafusion_err!("{function}: 'pools' {error}"))?;
    let mut found: BTreeMap<Key, BTreeMap<i64, PoolFrame>> = BTreeMap::new();
    for batch in batches {
        let rows = BarRows::try_new(function, POOL_COLUMNS, &layout, batch)?;
        let integers = |position: usize| rows.array(position).as_primitive::<Int64Type>().clone();
        let (ids, ranks) = (integers(3), integers(11));
        let born = rows.array(12).as_primitive::<TimestampMillisecondType>().clone();
        for row in 0..rows.len() {
            let read = || {
                let ts = rows.instant(row)?;
                for (name, is_null) in
                    [("pool_id", ids.is_null(row)), ("rank", ranks.is_null(row)), ("born_ts", born.is_null(row))]
                {
                    if is_null {
                        return Err(rows.defect(row, name, "not be NULL", "NULL"));
                    }
                }
                let pool = Pool {
                    id: ids.value(row),
                    born_ts: born.value(row),
                    side: rows.side(row, 4)?,
                    price_low: rows.quantity(row, 6)?,
                    price_high: rows.price(row, 7)?,
                    peak_price: rows.price(row, 8)?,
                    usd: rows.quantity(row, 9)?,
                    share: rows.quantity(row, 10)?,
                    rank: ranks.value(row),
                };
                Ok((ts, rows.price(row, 5)?, pool))
            };
            let (ts, price, pool) = match read() {
                Ok(read) => read,
                Err(defect) => {
                    judge.judge(&defect)?;
                    continue;
                }
            };
            let key = Key { exchange: rows.exchange(row).to_owned(), symbol: rows.symbol(row).to_owned() };
            let frame = found.entry(key).or_default().entry(ts);
            let frame = frame.or_insert_with(|| PoolFrame { ts, price, pools: Vec::new() });
            if frame.price != price {
                let must = format!("be the same in all rows of a frame ({})", frame.price);
                judge.judge(&rows.defect(row, "price", must, price.to_string()))?;
                continue;
            }
            frame.pools.push(pool);
        }
    }
    let sorted = |(key, frames): (Key, BTreeMap<i64, PoolFrame>)| {
        let mut frames: Vec<PoolFrame> = frames.into_values().collect();
        for frame in &mut frames {
            frame.pools.sort_by_key(|pool| (pool.side.index(), pool.rank, pool.id));
        }
        (key, frames)
    };
    Ok(found.into_iter().map(sorted).collect())
}

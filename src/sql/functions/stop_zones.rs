//! `stop_zones`: where not to put a stop.
//!
//! In: frames of a map or heatmap, and a position: side, entry price, the largest loss that is accepted. Out: per frame
//! the price bands between the entry and that loss, nearest to the entry first, each with what stands in it on the same
//! side of the market ([`stop_zones`]).
//!
//! It says where a stop would be filled among the forced orders of others. It does not say that price goes there, nor
//! that it turns there, and it knows no stops, only liquidations: a clear band is not a safe one.
//!
//! The price of a frame must be known, as bands beyond it are no place for a stop. Each frame stands for itself, so any
//! bound on `ts` is pushed into the input.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::side::Side;
use crate::model::snapshot::Snapshot;
use crate::model::stop_zones::{StopRange, Verdict, stop_zones};
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Judge};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::frames::{FRAME_COLUMNS, FrameKernel, FrameRun, Frames, MAP_PARAMETER, frame_time, known_price};
use crate::sql::keys::Key;
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const SIDES: &[&str] = &["long", "short"];

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the map"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("side", Kind::Text, "", "side of the position, and of those that stand in the band"),
    Column::new("entry_price", Kind::Number, "quote per base", "entry of the position"),
    Column::new("price", Kind::Number, "quote per base", "current price"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the band"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the band"),
    Column::new("loss", Kind::Number, "fraction", "part of the entry price that is lost at the middle of the band"),
    Column::new("exposure_usd", Kind::Number, "USD", "what stands in the band on the same side"),
    Column::new(
        "cumulative_usd",
        Kind::Number,
        "USD",
        "what is liquidated on the way from the current price to the far edge of the band",
    ),
    Column::optional(
        "share",
        Kind::Number,
        "0..1",
        "exposure_usd / that of all bands; null if passed or all are empty",
    ),
    Column::optional(
        "rank",
        Kind::Integer,
        "",
        "1 = least exposure, of equal ones the nearest to entry; null if passed",
    ),
    Column::new(
        "verdict",
        Kind::Text,
        "",
        "passed: beyond the current price; crowded: exposure_usd at least threshold × the mean; else clear",
    ),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "stop_zones",
    summary: "Where not to put a stop: what stands in the price bands between an entry and the largest loss",
    parameters: &[
        MAP_PARAMETER,
        Parameter {
            name: "side",
            kind: ParameterKind::Choice(SIDES),
            fallback: Fallback::Required,
            unit: "",
            doc: "side of your position",
        },
        Parameter {
            name: "entry_price",
            kind: ParameterKind::Number(Limits {
                high: 1e12,
                words: "a positive number, at most 1e12",
                ..Limits::POSITIVE
            }),
            fallback: Fallback::Derived("the current price of each frame"),
            unit: "quote per base",
            doc: "entry of your position",
        },
        Parameter {
            name: "max_loss",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: false,
                high: 1.0,
                words: "a fraction above 0, at most 1",
            }),
            fallback: Fallback::Value("0.05"),
            unit: "fraction of entry_price",
            doc: "largest loss that you accept",
        },
        Parameter {
            name: "bands",
            kind: ParameterKind::Number(Limits {
                low: 1.0,
                low_included: true,
                high: 1000.0,
                words: "a whole number between 1 and 1000",
            }),
            fallback: Fallback::Value("20"),
            unit: "",
            doc: "equal price bands between entry and the largest loss",
        },
        Parameter {
            name: "threshold",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: true,
                high: f64::MAX,
                words: "zero or a positive number",
            }),
            fallback: Fallback::Value("1"),
            unit: "× mean exposure",
            doc: "exposure from which a band is crowded; the mean is of the bands that are not passed",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM stop_zones(liq_map(liq_bars(candles, open_interest => open_interest)), 'long', 82000) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT'",
};

/// The function.
#[derive(Debug)]
pub struct StopZones;

impl TableFunction for StopZones {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let Some(side) = arguments.choice("side")?.and_then(Side::from_name) else {
            return internal_err!("{}: 'side' is required", SPEC.name);
        };
        let entry_price = arguments.number("entry_price")?;
        let range = StopRange {
            side,
            entry_price: entry_price.unwrap_or(0.0),
            max_loss: arguments.number("max_loss")?.unwrap_or(0.05),
            bands: arguments.whole_number("bands")?.unwrap_or(20),
            threshold: arguments.number("threshold")?.unwrap_or(1.0),
        };
        let bad_rows = BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error"));
        let map =
            Input { parameter: "map", relation: arguments.relation("map")?, wanted: Wanted::Columns(FRAME_COLUMNS) };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(StopOperator { range, entry_price, bad_rows }), vec![map])))
    }
}

#[derive(Debug, Clone)]
struct StopOperator {
    range: StopRange,
    /// `None` for the current price of each frame.
    entry_price: Option<f64>,
    bad_rows: BadRows,
}

impl Operator for StopOperator {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("side", self.range.side.name().to_owned()),
            ("entry_price", self.entry_price.map_or_else(|| "current price".to_owned(), |price| price.to_string())),
            ("max_loss", self.range.max_loss.to_string()),
            ("bands", self.range.bands.to_string()),
            ("threshold", self.range.threshold.to_string()),
            ("on_bad_rows", self.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        vec![keyed_by_market()]
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        vec![frame_time(wanted)]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let judge = Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows"));
        let frames = Frames::try_new("map", &start.schemas[0], judge.clone(), &start)?;
        let kernel = StopKernel {
            judge,
            range: self.range,
            entry_price: self.entry_price,
            wanted: start.wanted,
            bands: start.counter("bands"),
            crowded: start.counter("crowded"),
            passed: start.counter("passed"),
        };
        let rows = Rows::try_new(&self.schema(), start.projection)?;
        Ok(Box::new(FrameRun::new(frames, Box::new(kernel), rows, &start)))
    }
}

#[derive(Debug)]
struct StopKernel {
    judge: Judge,
    range: StopRange,
    entry_price: Option<f64>,
    wanted: TimeBounds,
    bands: Count,
    crowded: Count,
    passed: Count,
}

impl FrameKernel for StopKernel {
    fn frame(&mut self, key: &Key, frame: &mut Snapshot, rows: &mut Rows) -> Result<()> {
        if !self.wanted.contain(frame.ts) {
            return Ok(());
        }
        let Some(price) = known_price(&self.judge, key, frame)? else { return Ok(()) };
        let range = StopRange { entry_price: self.entry_price.unwrap_or(price), ..self.range };
        let zones = stop_zones(frame, price, &range);
        let n = zones.len();
        rows.time(0, frame.ts, n);
        rows.text(1, &key.exchange, n);
        rows.text(2, &key.symbol, n);
        rows.text(3, self.range.side.name(), n);
        rows.number_n(4, range.entry_price, n);
        rows.number_n(5, price, n);
        rows.numbers(6, zones.iter().map(|zone| zone.low));
        rows.numbers(7, zones.iter().map(|zone| zone.high));
        rows.numbers(8, zones.iter().map(|zone| zone.loss));
        rows.numbers(9, zones.iter().map(|zone| zone.exposure_usd));
        rows.numbers(10, zones.iter().map(|zone| zone.cumulative_usd));
        for zone in &zones {
            rows.optional_number(11, zone.share);
            rows.optional_integer(12, zone.rank.and_then(|rank| i64::try_from(rank).ok()));
            rows.text(13, zone.verdict.name(), 1);
        }
        rows.end(n);
        let count = |verdict| zones.iter().filter(|zone| zone.verdict == verdict).count();
        self.bands.add(n);
        self.crowded.add(count(Verdict::Crowded));
        self.passed.add(count(Verdict::Passed));
        Ok(())
    }

    fn memory(&self) -> usize {
        0
    }
}

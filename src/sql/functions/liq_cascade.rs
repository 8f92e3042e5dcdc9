//! `liq_cascade`: what a shock of the price would set off.
//!
//! In: frames of a map or heatmap, shocks, and how much USD of forced orders move the price by one per cent. Out: per frame
//! and shock the steps of the chain ([`Cascade`]), in the order of the shocks as given.
//!
//! ```text
//!   frame ─► shock 1 ─► step 1, 2, 3 …       each step: price_from ─► price_to, what it liquidates,
//!         ─► shock 2 ─► step 1, 2 …          and whether the next one is larger (amplification above 1)
//! ```
//!
//! The last row of a chain shows where it ends: its `price_to` is the price there and its `cumulative_usd` all that was
//! liquidated. Where the forced orders of one step find nothing more, the next row is the move that they still make, with
//! `liquidated_usd` 0. Rows are made one by one, so that a chain of many steps takes no memory.
//!
//! The USD of the map are taken as they are. A book as if everybody stayed (`scale => 'book'` of the estimating functions)
//! holds about ten times what realised feeds report, and its chains run away where markets did not: give `liq_map` or
//! `liq_heatmap` `scale => 'expected'`, or depth on the same scale.
//!
//! The price of a frame must be known. Each frame stands for itself, so any bound on `ts` is pushed into the input.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::cascade::Cascade;
use crate::model::snapshot::{PriceCell, Snapshot};
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Judge};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::frames::{FRAME_COLUMNS, Frames, MAP_PARAMETER, frame_time, known_price};
use crate::sql::keys::Key;
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the map"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("shock", Kind::Number, "fraction", "the shock that begins the chain"),
    Column::new("step", Kind::Integer, "", "1 is the shock itself"),
    Column::new("side", Kind::Text, "", "side that is hit: long where price falls"),
    Column::new("price_from", Kind::Number, "quote per base", "price before the step"),
    Column::new("price_to", Kind::Number, "quote per base", "price after it; of the last step where the chain ends"),
    Column::new("liquidated_usd", Kind::Number, "USD", "what the step liquidates"),
    Column::new("cumulative_usd", Kind::Number, "USD", "the same with all steps before"),
    Column::new(
        "amplification",
        Kind::Number,
        "",
        "liquidated per move / depth per move: above 1 the next move is larger than this one",
    ),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_cascade",
    summary: "What a shock of the price sets off: forced orders that move the price, step by step",
    parameters: &[
        Parameter {
            doc: "rows of liq_map(…, scale => 'expected') or of a heatmap; the scale 'book' holds several times what is \
                  liquidated in fact, and runs away",
            ..MAP_PARAMETER
        },
        Parameter {
            name: "depth_usd_per_pct",
            kind: ParameterKind::Number(Limits {
                low: 1e-6,
                low_included: true,
                high: f64::MAX,
                words: "a positive number of at least 0.000001",
            }),
            fallback: Fallback::Required,
            unit: "USD per %",
            doc: "forced orders that move the price by one per cent",
        },
        Parameter {
            name: "shock",
            kind: ParameterKind::NumberList(Limits {
                low: -1.0,
                low_included: false,
                high: 1.0,
                words: "a fraction above -1, at most 1, not 0",
            }),
            fallback: Fallback::Value("-0.02"),
            unit: "fraction of price",
            doc: "first move of the price; each of several begins a chain of its own",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_cascade(liq_map(liq_bars(candles, open_interest => open_interest), scale => 'expected'), \
              5e7, shock => [-0.05, 0.05]) WHERE exchange = 'binance' AND symbol = 'BTCUSDT'",
};

/// The function.
#[derive(Debug)]
pub struct LiqCascade;

impl TableFunction for LiqCascade {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let Some(depth) = arguments.number("depth_usd_per_pct")? else {
            return internal_err!("{}: 'depth_usd_per_pct' is required", SPEC.name);
        };
        let shocks = arguments.number_list("shock")?.unwrap_or_else(|| vec![-0.02]);
        if shocks.contains(&0.0) {
            return arguments.refuse("shock", &0);
        }
        let operator = CascadeOperator {
            depth,
            shocks,
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        let map =
            Input { parameter: "map", relation: arguments.relation("map")?, wanted: Wanted::Columns(FRAME_COLUMNS) };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), vec![map])))
    }
}

#[derive(Debug, Clone)]
struct CascadeOperator {
    depth: f64,
    shocks: Vec<f64>,
    bad_rows: BadRows,
}

impl Operator for CascadeOperator {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let shocks: Vec<String> = self.shocks.iter().map(f64::to_string).collect();
        vec![
            ("depth_usd_per_pct", self.depth.to_string()),
            ("shock", format!("[{}]", shocks.join(", "))),
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
        Ok(Box::new(CascadeRun {
            frames: Frames::try_new("map", &start.schemas[0], judge.clone(), &start)?,
            judge,
            chains: start.counter("chains"),
            steps: start.counter("steps"),
            operator: self.clone(),
            wanted: start.wanted,
            batch_size: start.batch_size,
            rows: Rows::try_new(&self.schema(), start.projection)?,
            frame: None,
        }))
    }
}

/// A frame whose chains are being followed.
struct Shocked {
    key: Key,
    frame: Snapshot,
    price: f64,
    /// Position of the next shock.
    next: usize,
    /// The chain of the shock before it, and how many of its steps were taken.
    chain: Option<(f64, Cascade, i64)>,
}

struct CascadeRun {
    frames: Frames,
    judge: Judge,
    chains: Count,
    steps: Count,
    operator: CascadeOperator,
    wanted: TimeBounds,
    batch_size: usize,
    rows: Rows,
    frame: Option<Shocked>,
}

impl CascadeRun {
    /// Appends rows of the current frame until a batch is full or the frame has no more; then it is given back.
    fn follow(&mut self) {
        let Some(shocked) = &mut self.frame else { return };
        while self.rows.len() < self.batch_size {
            if let Some((shock, chain, taken)) = &mut shocked.chain {
                let Some(step) = chain.next() else {
                    shocked.chain = None;
                    continue;
                };
                *taken += 1;
                self.steps.add(1);
                self.rows.time(0, shocked.frame.ts, 1);
                self.rows.text(1, &shocked.key.exchange, 1);
                self.rows.text(2, &shocked.key.symbol, 1);
                self.rows.number(3, *shock);
                self.rows.integer(4, *taken);
                self.rows.text(5, step.side.name(), 1);
                self.rows.number(6, step.price_from);
                self.rows.number(7, step.price_to);
                self.rows.number(8, step.liquidated_usd);
                self.rows.number(9, step.cumulative_usd);
                self.rows.number(10, step.amplification);
                self.rows.end(1);
            } else if let Some(shock) = self.operator.shocks.get(shocked.next) {
                shocked.next += 1;
                self.chains.add(1);
                shocked.chain =
                    Some((*shock, Cascade::new(&shocked.frame, shocked.price, *shock, self.operator.depth), 0));
            } else {
                if let Some(done) = self.frame.take() {
                    self.frames.give_back(done.frame);
                }
                return;
            }
        }
    }
}

impl Run for CascadeRun {
    fn feed(&mut self, _input: usize, batch: Option<RecordBatch>) -> Result<()> {
        self.frames.feed(batch)
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            self.follow();
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            if let Some((key, frame)) = self.frames.next_frame()? {
                let price = if self.wanted.contain(frame.ts) { known_price(&self.judge, &key, &frame)? } else { None };
                match price {
                    Some(price) => self.frame = Some(Shocked { key, frame, price, next: 0, chain: None }),
                    None => self.frames.give_back(frame),
                }
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
        let chain = |shocked: &Shocked| {
            shocked.frame.cells.capacity() * size_of::<PriceCell>()
                + shocked.chain.as_ref().map_or(0, |(_, chain, _)| chain.memory())
        };
        self.frames.memory() + self.frame.as_ref().map_or(0, chain) + self.rows.memory()
    }
}

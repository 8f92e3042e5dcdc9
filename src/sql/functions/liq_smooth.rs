//! `liq_smooth`: exact levels as broad areas.
//!
//! In: a heatmap or map, the estimate's own or a vendor's: cells of equal height. Out: heatmap columns, the same USD per
//! (ts, side, leverage), spread in ln(price) by a Gaussian that is cut and renormalised at `price`. The equation is in
//! [`crate::model::smooth`].
//!
//! ```text
//!        ▂                    ▁▂▃▅▇▅▃▂▁
//!   ─────█──────┤ price  ─►  ──────────┤ price        the area is the same, and none of it crosses the price
//! ```
//!
//! `zones`, the default, spreads by 0.25 %, `deep` by 1 %, `precise` gives the cells back as they are; `bandwidth` says another width.
//! The parameters of a book belong to the functions that estimate one: `liq_heatmap(…, model => 'deep')` also changes those.
//! For `zones` both ways give the same rows.
//!
//! Invariant: mass per (ts, side, leverage) is conserved to 1e-9.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use super::liq_heatmap::MODEL;
use crate::market::{Column, Kind};
use crate::model::grid::Grid;
use crate::model::smooth::{Model, Smoother};
use crate::model::snapshot::{PriceCell, Snapshot};
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Judge};
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, time_text};
use crate::sql::frames::{FRAME_COLUMNS, FrameKernel, FrameRun, Frames, HEATMAP_PARAMETER, frame_time};
use crate::sql::keys::Key;
use crate::sql::model_settings::{ON_BAD_ROWS, keyed_by_market};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::optional("price", Kind::Number, "quote per base", "current price; null where the heatmap has none"),
    Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
    Column::optional("leverage", Kind::Number, "", "leverage of the positions, null for all together"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the cell, included"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the cell, excluded"),
    Column::new("notional_usd", Kind::Number, "USD", "what stands in the cell after smoothing"),
    Column::new("intensity", Kind::Number, "0..1", "notional_usd / the largest of the same frame"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_smooth",
    summary: "A heatmap or map smoothed along the price: exact levels become broad areas",
    parameters: &[
        HEATMAP_PARAMETER,
        Parameter {
            fallback: Fallback::Value("'zones'"),
            doc: "how wide: not at all, 0.25 % or 1 % in ln price",
            ..MODEL
        },
        Parameter {
            name: "bandwidth",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: false,
                high: 0.1,
                words: "a fraction of price above 0, at most 0.1",
            }),
            fallback: Fallback::Derived("0.0025 for 'zones', 0.01 for 'deep'"),
            unit: "ln(price)",
            doc: "standard deviation of the Gaussian",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_smooth(liq_bucket(positions, 200, INTERVAL '1 hour', prices => candles)) LIMIT 10",
};

/// The function.
#[derive(Debug)]
pub struct LiqSmooth;

impl TableFunction for LiqSmooth {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let model = arguments.choice("model")?.and_then(Model::from_name).unwrap_or(Model::Zones);
        let bandwidth = arguments.number("bandwidth")?;
        if bandwidth.is_some() && model == Model::Precise {
            return plan_err!(
                "{}: 'bandwidth' goes only with model => 'zones' or 'deep', model was 'precise'",
                SPEC.name
            );
        }
        let operator = Smooth {
            model,
            bandwidth: bandwidth.or(model.bandwidth()),
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        let relation = arguments.relation("heatmap")?;
        let inputs = vec![Input { parameter: "heatmap", relation, wanted: Wanted::Columns(FRAME_COLUMNS) }];
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Smooth {
    model: Model,
    bandwidth: Option<f64>,
    bad_rows: BadRows,
}

impl Operator for Smooth {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("model", self.model.name().to_owned()),
            ("bandwidth", self.bandwidth.map_or_else(|| "none".to_owned(), |sigma| sigma.to_string())),
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
        // Each frame is smoothed by itself.
        vec![frame_time(wanted)]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let judge = Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows"));
        let frames = Frames::try_new("heatmap", &start.schemas[0], judge, &start)?;
        let kernel = Kernel {
            sigma: self.bandwidth,
            keys: BTreeMap::new(),
            cells: start.counter("cells"),
            group: Vec::new(),
            spread: Vec::new(),
        };
        let rows = Rows::try_new(&self.schema(), start.projection)?;
        Ok(Box::new(FrameRun::new(frames, Box::new(kernel), rows, &start)))
    }
}

#[derive(Debug)]
struct Kernel {
    sigma: Option<f64>,
    /// What smooths the cells of a key; made again where its grid changes.
    keys: BTreeMap<Key, Smoother>,
    cells: Count,
    group: Vec<(i64, f64)>,
    spread: Vec<(i64, f64)>,
}

impl Kernel {
    fn smooth(&mut self, key: &Key, sigma: f64, frame: &mut Snapshot) -> Result<()> {
        let Some(grid) = Grid::of_cells(&frame.cells) else {
            return exec_err!(
                "{}: the cells of a frame must be equally high and next to each other ('price_low', 'price_high'), which those \
                 of ({key}, {}) are not",
                SPEC.name,
                time_text(frame.ts)
            );
        };
        if !self.keys.get(key).is_some_and(|known| known.grid().is_same(&grid)) {
            self.keys.insert(key.clone(), Smoother::new(grid, sigma));
        }
        let Some(smoother) = self.keys.get_mut(key) else { return Ok(()) };
        let price = frame.price;
        let by_group = |a: &PriceCell, b: &PriceCell| {
            let leverage = |cell: &PriceCell| cell.leverage.unwrap_or(0.0);
            a.side.cmp(&b.side).then(leverage(a).total_cmp(&leverage(b)))
        };
        let mut precise = std::mem::take(&mut frame.cells);
        // Stable: within a group they stay sorted by price.
        precise.sort_by(by_group);
        for cells in precise.chunk_by(|a, b| by_group(a, b).is_eq()) {
            self.group.clear();
            self.group.extend(cells.iter().map(|cell| (smoother.grid().index_of(cell), cell.usd)));
            self.spread.clear();
            smoother.spread(cells[0].side, price, &self.group, &mut self.spread).map_err(|fine| {
                exec_datafusion_err!(
                    "{}: the heatmap cannot be smoothed at ({key}, {}): {fine}",
                    SPEC.name,
                    time_text(frame.ts)
                )
            })?;
            frame.cells.extend(self.spread.iter().map(|&(index, usd)| PriceCell {
                low: smoother.grid().price_low(index),
                high: smoother.grid().price_low(index + 1),
                usd,
                ..cells[0]
            }));
        }
        frame.sort();
        Ok(())
    }
}

impl FrameKernel for Kernel {
    fn frame(&mut self, key: &Key, frame: &mut Snapshot, rows: &mut Rows) -> Result<()> {
        if let Some(sigma) = self.sigma {
            self.smooth(key, sigma, frame)?;
        }
        frame.cells.retain(|cell| cell.usd > 0.0);
        let largest = frame.cells.iter().fold(0.0, |largest: f64, cell| largest.max(cell.usd));
        let n = frame.cells.len();
        rows.time(0, frame.ts, n);
        rows.text(1, &key.exchange, n);
        rows.text(2, &key.symbol, n);
        for cell in &frame.cells {
            rows.optional_number(3, frame.price);
            rows.text(4, cell.side.name(), 1);
            rows.optional_number(5, cell.leverage);
            rows.number(6, cell.low);
            rows.number(7, cell.high);
            rows.number(8, cell.usd);
            rows.number(9, cell.usd / largest);
        }
        rows.end(n);
        self.cells.add(n);
        Ok(())
    }

    fn leave(&mut self, key: &Key) {
        self.keys.remove(key);
    }

    fn memory(&self) -> usize {
        self.keys.values().map(Smoother::memory).sum::<usize>()
            + (self.group.capacity() + self.spread.capacity()) * size_of::<(i64, f64)>()
    }
}

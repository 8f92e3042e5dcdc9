//! `liq_heatmap`: where liquidations stand, over time and price.
//!
//! In: bars. Out: a row per time step, price cell and side in which something stands.
//!
//! A row at `ts`, a multiple of `step` since the epoch, is the book after every bar whose close is at or before `ts`,
//! and before the bar within which `ts` falls. `price` is the close of the last bar in the book. There is no row before
//! the first bar has closed, in a gap of the data, or after the last bar.
//!
//! `model` says how the book is shown (see [`crate::model::smooth`]): `precise` is what stands; `zones` is that, smoothed as
//! [`liq_smooth`](super::liq_smooth) smooths it; `deep` is another book, with `wick_retention`, `age_half_life` and a wider `jitter`,
//! smoothed more. Smoothing moves nothing across the price and keeps the USD of a side, so it may reach a little farther
//! than `max_distance`, by which the levels are chosen.
//!
//! Invariant: a prefix of the bars gives a prefix of the rows of each key. So an upper bound on `ts` is pushed into the
//! bars. Of a lower bound what was opened before still stands: bars are read from `warmup` before it (see
//! [`crate::sql::model_settings`]).

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::book::{Book, Counts};
use crate::model::grid::{Frame, Grid, View};
use crate::model::leverage::MarginRule;
use crate::model::replay::Replay;
use crate::model::smooth::{Model, Smoother, TooFine};
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, time_text};
use crate::sql::keys::Key;
use crate::sql::model_run::{KeyModel, ModelRun, pushed_bound};
use crate::sql::model_settings::{ModelSettings, WARMUP, length_text, model_parameters};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const HOUR: i64 = 3_600_000;

/// Time within which a book that starts empty is still filling near the price.
const WARM_UP: i64 = 7 * 24 * HOUR;

pub(crate) const PRICE_STEP: Parameter = Parameter {
    name: "price_step",
    kind: ParameterKind::Number(Limits::POSITIVE),
    fallback: Fallback::Derived("0.1 % of the key's first close that is read, rounded to 1-2-5"),
    unit: "quote",
    doc: "height of a price cell",
};

pub(crate) const MODEL: Parameter = Parameter {
    name: "model",
    kind: ParameterKind::Alias(Model::NAMES),
    fallback: Fallback::Value("'precise'"),
    unit: "",
    doc: "exact levels, broad areas (a Gaussian of 0.25 % in ln price), or a wide book of its own (1 %)",
};

pub(crate) const MAX_DISTANCE: Parameter = Parameter {
    name: "max_distance",
    kind: ParameterKind::Number(Limits {
        low: 0.0,
        low_included: false,
        high: 10.0,
        words: "a fraction above 0, at most 10",
    }),
    fallback: Fallback::Value("0.5"),
    unit: "fraction of price",
    doc: "levels farther from the price are left out",
};

pub(crate) const BY_LEVERAGE: Parameter = Parameter {
    name: "by_leverage",
    kind: ParameterKind::Boolean,
    fallback: Fallback::Value("false"),
    unit: "",
    doc: "whether each leverage has rows of its own",
};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the frame, a multiple of step"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("price", Kind::Number, "quote per base", "current price: the last close before the frame"),
    Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
    Column::optional("leverage", Kind::Number, "", "leverage of the positions, null unless by_leverage"),
    Column::new("price_low", Kind::Number, "quote per base", "lower limit of the cell, included"),
    Column::new("price_high", Kind::Number, "quote per base", "upper limit of the cell, excluded"),
    Column::new(
        "notional_usd",
        Kind::Number,
        "USD",
        "what would be liquidated here: base quantity × liquidation price",
    ),
    Column::new("intensity", Kind::Number, "0..1", "notional_usd / the largest of the same frame"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_heatmap",
    summary: "Estimated liquidation levels over time and price",
    parameters: model_parameters![
        Parameter {
            name: "step",
            kind: ParameterKind::Interval,
            fallback: Fallback::Derived("one hour, or the bar if longer"),
            unit: "",
            doc: "time between frames",
        },
        PRICE_STEP,
        MODEL,
        MAX_DISTANCE,
        BY_LEVERAGE,
        WARMUP,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), \
              step => INTERVAL '1 hour', price_step => 200) WHERE exchange = 'binance' AND symbol = 'BTCUSDT' LIMIT 10",
};

/// The function.
#[derive(Debug)]
pub struct LiqHeatmap;

impl TableFunction for LiqHeatmap {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (settings, inputs) = ModelSettings::bind(arguments)?;
        let step = arguments.interval("step")?;
        if let (Some(step), Some(interval)) = (step, settings.interval)
            && step < interval
        {
            return plan_err!(
                "{}: 'step' must not be shorter than a bar ({}), was {}",
                SPEC.name,
                length_text(interval),
                length_text(step)
            );
        }
        let operator = Heatmap {
            settings,
            step,
            price_step: arguments.number("price_step")?,
            max_distance: arguments.number("max_distance")?.unwrap_or(0.5),
            by_leverage: arguments.boolean("by_leverage")?.unwrap_or(false),
        };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Heatmap {
    settings: ModelSettings,
    step: Option<i64>,
    price_step: Option<f64>,
    max_distance: f64,
    by_leverage: bool,
}

impl Operator for Heatmap {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("step", self.step.map_or_else(|| "1h or the bar".to_owned(), length_text)),
            ("price_step", self.price_step.map_or_else(|| "0.1% of the first close".to_owned(), |s| s.to_string())),
            ("model", self.settings.model.name().to_owned()),
            ("max_distance", self.max_distance.to_string()),
            ("by_leverage", self.by_leverage.to_string()),
        ];
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
        let to = pushed_bound(wanted.to, self.settings.interval);
        vec![TimeBounds { from: self.settings.first_bar(wanted.from), to }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let counters = Counters {
            frames: start.counter("frames"),
            warming_up: start.counter("warming_up_frames"),
            cells: start.counter("cells"),
            beyond_price: start.counter("beyond_price"),
            cohorts: start.counter("cohorts"),
            swept: start.counter("swept"),
        };
        let (operator, wanted) = (self.clone(), start.wanted);
        let make = Box::new(move |key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let step = operator.step.unwrap_or_else(|| interval.max(HOUR));
            if step < interval {
                return exec_err!(
                    "{}: 'step' must not be shorter than the bars of ({key}), which are {}, was {}",
                    SPEC.name,
                    length_text(interval),
                    length_text(step)
                );
            }
            let parameters = &operator.settings.parameters;
            Ok(Box::new(KeyHeatmap {
                replay: Replay::new(parameters, interval, rules, Book::new(parameters)),
                grid: None,
                frame: Frame::default(),
                model: operator.settings.model,
                smoother: None,
                step,
                price_step: operator.price_step,
                max_distance: operator.max_distance,
                by_leverage: operator.by_leverage,
                wanted,
                first_ts: None,
                last_frame: None,
                last_close: 0.0,
                counters: counters.clone(),
                counted: Counts::default(),
            }))
        });
        Ok(Box::new(ModelRun::start(self, &self.settings, &start, make)?))
    }
}

#[derive(Debug, Clone)]
struct Counters {
    frames: Count,
    warming_up: Count,
    cells: Count,
    beyond_price: Count,
    cohorts: Count,
    swept: Count,
}

impl Counters {
    /// Adds what a book has worked since the last time. Not per bar: counters are shared between threads.
    fn work(&self, counted: &mut Counts, now: Counts) {
        self.cohorts.add((now.cohorts - counted.cohorts) as usize);
        self.swept.add((now.swept - counted.swept) as usize);
        *counted = now;
    }
}

#[derive(Debug)]
struct KeyHeatmap {
    replay: Replay<Book>,
    grid: Option<Grid>,
    frame: Frame,
    model: Model,
    smoother: Option<Smoother>,
    step: i64,
    price_step: Option<f64>,
    max_distance: f64,
    by_leverage: bool,
    wanted: TimeBounds,
    first_ts: Option<i64>,
    last_frame: Option<i64>,
    last_close: f64,
    counters: Counters,
    counted: Counts,
}

/// Makes the grid of a key from its first close.
///
/// # Errors
///
/// The step is finer than the model's own buckets.
pub(crate) fn grid_of(function: &str, key: &Key, price_step: Option<f64>, first_close: f64) -> Result<Grid> {
    let smallest = Grid::smallest_step(first_close);
    match price_step {
        None => Ok(Grid::new(Grid::default_step(first_close))),
        Some(step) if step < smallest => {
            exec_err!(
                "{function}: 'price_step' must be at least {} for ({key}), the width of the model's buckets (0.02 % of \
                 price), was {step}",
                rounded_up(smallest)
            )
        }
        Some(step) => Ok(Grid::new(step)),
    }
}

/// Says that a map cannot be smoothed. The default step follows the first close: a price that has risen a hundredfold since
/// has a hundred times the cells.
pub(crate) fn too_fine(function: &str, key: &Key, ts: i64, fine: TooFine) -> DataFusionError {
    exec_datafusion_err!("{function}: 'price_step' must be larger for this model at ({key}, {}): {fine}", time_text(ts))
}

/// Rounds up to three digits, so that the number in the message is itself accepted.
fn rounded_up(value: f64) -> f64 {
    let power = 10f64.powi(2 - value.log10().floor() as i32);
    (value * power).ceil() / power
}

impl KeyHeatmap {
    fn emit(&mut self, key: &Key, ts: i64, rows: &mut Rows) -> Result<()> {
        let grid = match &mut self.grid {
            Some(grid) => grid,
            none => none.insert(grid_of(SPEC.name, key, self.price_step, self.last_close)?),
        };
        let book = self.replay.standing();
        let view = View { price: self.last_close, max_distance: self.max_distance, by_leverage: self.by_leverage };
        self.frame.take(book, grid, &view);
        if let Some(sigma) = self.model.bandwidth() {
            let smoother = self.smoother.get_or_insert_with(|| Smoother::new(Grid::new(grid.step()), sigma));
            self.frame.smooth(smoother, self.last_close).map_err(|fine| too_fine(SPEC.name, key, ts, fine))?;
        }
        let (cells, largest) = (&self.frame.cells, self.frame.largest);
        let n = cells.len();
        rows.time(0, ts, n);
        rows.text(1, &key.exchange, n);
        rows.text(2, &key.symbol, n);
        rows.number_n(3, self.last_close, n);
        for cell in cells {
            rows.text(4, cell.side.name(), 1);
        }
        let leverages = book.leverages();
        for cell in cells {
            rows.optional_number(5, cell.tier.map(|tier| leverages[tier]));
        }
        rows.numbers(6, cells.iter().map(|cell| grid.price_low(cell.index)));
        rows.numbers(7, cells.iter().map(|cell| grid.price_low(cell.index + 1)));
        rows.numbers(8, cells.iter().map(|cell| cell.notional_usd));
        rows.numbers(9, cells.iter().map(|cell| cell.notional_usd / largest));
        rows.end(n);
        self.counters.work(&mut self.counted, book.counts());
        self.counters.frames.add(1);
        self.counters.cells.add(n);
        self.counters.beyond_price.add(self.frame.hidden.beyond_price as usize);
        if self.first_ts.is_some_and(|first| ts - first < WARM_UP) {
            self.counters.warming_up.add(1);
        }
        Ok(())
    }
}

impl KeyModel for KeyHeatmap {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        self.replay.begin(bar);
        let next = bar.ts.div_euclid(self.step) + i64::from(bar.ts.rem_euclid(self.step) != 0);
        let ts = next * self.step;
        // Bars may overlap by up to half an interval; the first that reaches a frame is the one before which it stands.
        let reached = ts < bar.ts + self.replay.interval() && self.last_frame.is_none_or(|last| ts > last);
        if self.first_ts.is_some() && reached {
            self.last_frame = Some(ts);
            if self.wanted.contain(ts) {
                self.emit(key, ts, rows)?;
            }
        }
        self.replay.end(bar);
        if self.first_ts.is_none() {
            self.first_ts = Some(bar.ts);
            self.grid = Some(grid_of(SPEC.name, key, self.price_step, bar.close)?);
        }
        self.last_close = bar.close;
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.counters.work(&mut self.counted, self.replay.standing().counts());
        Ok(())
    }

    fn drain(&mut self, _key: &Key, _limit: usize, _rows: &mut Rows) -> bool {
        false
    }

    fn memory(&self) -> usize {
        self.replay.standing().memory()
            + self.frame.memory()
            + self.grid.as_ref().map_or(0, Grid::memory)
            + self.smoother.as_ref().map_or(0, Smoother::memory)
    }
}

//! `liq_map`: where liquidations stand at one instant.
//!
//! In: bars. Out: a row per price cell and side at `at`: the book after every bar whose close is at or before `at`;
//! without `at`, after the last bar of each key, and `ts` is its close. A key without a closed bar has no rows. `model` is as in
//! [`liq_heatmap`](super::liq_heatmap). With `at`, bars are read from `warmup` before it, so a key whose bars ended before
//! that has no rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use super::liq_heatmap::{BY_LEVERAGE, MAX_DISTANCE, MODEL, PRICE_STEP, grid_of, too_fine};
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::book::Book;
use crate::model::grid::{Cell, Frame, Grid, View};
use crate::model::leverage::MarginRule;
use crate::model::replay::Replay;
use crate::model::side::Side;
use crate::model::smooth::Smoother;
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, time_text};
use crate::sql::keys::Key;
use crate::sql::model_run::{KeyModel, ModelRun, pushed_bound};
use crate::sql::model_settings::{ModelSettings, WARMUP, model_parameters};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};

pub(crate) const AT: Parameter = Parameter {
    name: "at",
    kind: ParameterKind::Timestamp,
    fallback: Fallback::Derived("after the last bar"),
    unit: "",
    doc: "instant of the snapshot; later bars are not used",
};

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "instant of the map"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("price", Kind::Number, "quote per base", "current price: the last close"),
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
    Column::new(
        "cumulative_usd",
        Kind::Number,
        "USD",
        "what stands on this side from the price out to this cell, all leverages",
    ),
    Column::new("distance", Kind::Number, "fraction", "(middle of the cell − price) / price"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_map",
    summary: "Estimated liquidation levels at one instant, with cumulative curves",
    parameters: model_parameters![AT, PRICE_STEP, MODEL, MAX_DISTANCE, BY_LEVERAGE, WARMUP],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT * FROM liq_map(liq_bars(candles, open_interest => open_interest), max_distance => 0.05) \
              WHERE symbol = 'BTCUSDT'",
};

/// The function.
#[derive(Debug)]
pub struct LiqMap;

impl TableFunction for LiqMap {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (settings, inputs) = ModelSettings::bind(arguments)?;
        let operator = Map {
            settings,
            at: arguments.timestamp("at")?,
            price_step: arguments.number("price_step")?,
            max_distance: arguments.number("max_distance")?.unwrap_or(0.5),
            by_leverage: arguments.boolean("by_leverage")?.unwrap_or(false),
        };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Map {
    settings: ModelSettings,
    at: Option<i64>,
    price_step: Option<f64>,
    max_distance: f64,
    by_leverage: bool,
}

impl Operator for Map {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("at", self.at.map_or_else(|| "after the last bar".to_owned(), time_text)),
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

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        // A bound on ts says which maps are wanted, not which bars: the one map of a key is at its own last bar.
        vec![TimeBounds { from: self.settings.first_bar(self.at), to: pushed_bound(self.at, self.settings.interval) }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let (cells, beyond_price) = (start.counter("cells"), start.counter("beyond_price"));
        let operator = self.clone();
        let make = Box::new(move |_key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let parameters = &operator.settings.parameters;
            Ok(Box::new(KeyMap {
                until: Until::new(Replay::new(parameters, interval, rules, Book::new(parameters)), operator.at),
                first_close: None,
                last_close: 0.0,
                operator: operator.clone(),
                waiting: None,
                cells: cells.clone(),
                beyond_price: beyond_price.clone(),
            }))
        });
        Ok(Box::new(ModelRun::start(self, &self.settings, &start, make)?))
    }
}

/// A replay that stops at an instant.
#[derive(Debug)]
pub(crate) struct Until<S> {
    pub(crate) replay: Replay<S>,
    at: Option<i64>,
    /// Close of the last bar within.
    pub(crate) last_close_ts: Option<i64>,
    stopped: bool,
}

impl<S: crate::model::replay::Standing> Until<S> {
    pub(crate) fn new(replay: Replay<S>, at: Option<i64>) -> Self {
        Until { replay, at, last_close_ts: None, stopped: false }
    }

    /// Takes a bar; returns whether it lies within.
    ///
    /// The bar within which the instant falls is begun only: its open tells the open interest then.
    pub(crate) fn bar(&mut self, bar: &Bar) -> bool {
        if self.stopped {
            return false;
        }
        let close = bar.ts + self.replay.interval();
        match self.at {
            Some(at) if close > at => {
                if bar.ts <= at {
                    self.replay.begin(bar);
                }
                self.stopped = true;
                false
            }
            _ => {
                self.replay.begin(bar);
                self.replay.end(bar);
                self.last_close_ts = Some(close);
                true
            }
        }
    }

    /// There are no more bars; returns the instant of the snapshot, `None` if no bar lies within.
    pub(crate) fn end(&mut self) -> Option<i64> {
        if self.at.is_none() {
            self.replay.settle(None);
        }
        self.last_close_ts.map(|close| self.at.unwrap_or(close))
    }
}

#[derive(Debug)]
struct KeyMap {
    until: Until<Book>,
    first_close: Option<f64>,
    last_close: f64,
    operator: Map,
    waiting: Option<(i64, Frame, Grid)>,
    cells: Count,
    beyond_price: Count,
}

impl KeyModel for KeyMap {
    fn bar(&mut self, _key: &Key, bar: &Bar, _rows: &mut Rows) -> Result<()> {
        if self.until.bar(bar) {
            self.first_close.get_or_insert(bar.close);
            self.last_close = bar.close;
        }
        Ok(())
    }

    fn end(&mut self, key: &Key) -> Result<()> {
        if let (Some(ts), Some(first_close)) = (self.until.end(), self.first_close) {
            let mut grid = grid_of(SPEC.name, key, self.operator.price_step, first_close)?;
            let mut frame = Frame::default();
            let view = View {
                price: self.last_close,
                max_distance: self.operator.max_distance,
                by_leverage: self.operator.by_leverage,
            };
            frame.take(self.until.replay.standing(), &mut grid, &view);
            if let Some(sigma) = self.operator.settings.model.bandwidth() {
                let mut smoother = Smoother::new(Grid::new(grid.step()), sigma);
                frame.smooth(&mut smoother, self.last_close).map_err(|fine| too_fine(SPEC.name, key, ts, fine))?;
            }
            // By rising price within a side, whatever the leverage.
            frame.cells.sort_by_key(|cell| (cell.side, cell.index, cell.tier));
            self.waiting = Some((ts, frame, grid));
        }
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        let Some((ts, frame, grid)) = self.waiting.take() else { return false };
        let cumulative = cumulative(&frame.cells);
        let leverages = self.until.replay.standing().leverages();
        let n = frame.cells.len();
        rows.time(0, ts, n);
        rows.text(1, &key.exchange, n);
        rows.text(2, &key.symbol, n);
        rows.number_n(3, self.last_close, n);
        for (cell, cumulative) in frame.cells.iter().zip(cumulative) {
            let (low, high) = (grid.price_low(cell.index), grid.price_low(cell.index + 1));
            rows.text(4, cell.side.name(), 1);
            rows.optional_number(5, cell.tier.map(|tier| leverages[tier]));
            rows.number(6, low);
            rows.number(7, high);
            rows.number(8, cell.notional_usd);
            rows.number(9, cumulative);
            rows.number(10, ((low + high) / 2.0 - self.last_close) / self.last_close);
        }
        rows.end(n);
        self.cells.add(n);
        self.beyond_price.add(frame.hidden.beyond_price as usize);
        false
    }

    fn memory(&self) -> usize {
        self.until.replay.standing().memory()
            + self.waiting.as_ref().map_or(0, |(_, frame, grid)| frame.memory() + grid.memory())
    }
}

/// Sums from the price outwards, each side by itself, over cells sorted by side and rising price.
///
/// Cells of one price and several leverages all carry the sum up to and including that price.
fn cumulative(cells: &[Cell]) -> Vec<f64> {
    let mut sums = vec![0.0; cells.len()];
    let shorts = cells.partition_point(|cell| cell.side == Side::Long);
    let mut walk = |places: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0.0;
        let mut same_price: Vec<usize> = Vec::new();
        for place in places {
            if same_price.last().is_some_and(|last| cells[*last].index != cells[place].index) {
                same_price.drain(..).for_each(|done| sums[done] = sum);
            }
            sum += cells[place].notional_usd;
            same_price.push(place);
        }
        same_price.into_iter().for_each(|done| sums[done] = sum);
    };
    walk(&mut (0..shorts).rev());
    walk(&mut (shorts..cells.len()));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_run_outwards_from_the_price() {
        let cell = |side, index, tier, notional_usd| Cell { side, tier, index, notional_usd };
        let cells = [
            cell(Side::Long, 7, Some(0), 1.0),
            cell(Side::Long, 9, Some(0), 2.0),
            cell(Side::Long, 9, Some(1), 4.0),
            cell(Side::Short, 11, Some(0), 8.0),
            cell(Side::Short, 11, Some(1), 16.0),
            cell(Side::Short, 12, Some(0), 32.0),
        ];
        assert_eq!(cumulative(&cells), [7.0, 6.0, 6.0, 24.0, 24.0, 56.0]);
    }
}

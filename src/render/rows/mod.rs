//! Rows of query results to frames: which result is drawn as what, found by the names of its columns.
//!
//! ```text
//! ts     price_low price_high side  notional_usd          price ▲
//! 00:00  97,000    97,100     long  1.2e6                       │ . █ █ .     dense grid, USD,
//! 01:00  97,000    97,100     long  1.2e6           ──►         │ █ █ . ×     × = no frame at this ts
//! 03:00  98,000    98,100     short 4.0e5                       └───────► ts
//! ```
//!
//! | a result with the columns | is |
//! |---|---|
//! | `price_low`, `price_high`, `side`, `notional_usd`, `cumulative_usd` | a map |
//! | `ts`, `price_low`, `price_high`, `side`, `notional_usd` | a heatmap |
//! | those and `pool_id` | pools, drawn over a heatmap or a map of their time, or alone as a map |
//! | `ts`, `open`, `high`, `low`, `close` | candles, drawn over a heatmap |
//! | `shock`, `step`, `price_from`, `price_to`, `liquidated_usd`, `cumulative_usd` | a cascade |
//! | `score`, `null_model`, `value`, `low`, `high` | scores with their intervals |
//! | `ts` and any number | series over time |
//!
//! Extra columns are ignored. The sides of a cell are summed, as traders know the picture: price itself separates long
//! from short. So are several exchanges and leverages at one instant and price. Rows with a null in what is needed are
//! left out and counted; a value that cannot be is an error that names its column.

mod builder;
mod cascade;
mod cells;
pub(super) mod columns;
mod grid;
mod ladder;
mod leverages;
mod names;
mod overlays;
mod packed;
mod panels;
mod scores;
mod series;

use arrow::array::RecordBatch;

pub use self::builder::RowsBuilder;
use self::cells::Cells;
pub(super) use self::columns::LARGEST_PRICE;
use self::overlays::Overlays;
use super::frame::{ChartX, Frame, Origin};
use super::{RenderError, axis};

/// Cells a dense grid may have: 400 MB.
pub(super) const MOST_CELLS: u64 = 50_000_000;
/// Combinations of symbol, model and exchange on one page.
pub(super) const MOST_PICTURES: usize = 64;

/// The rows of one statement, and what is known of how they were made.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// In the order of the result. Those of a heatmap that [`RowsBuilder`] made are one batch of dictionaries, of the columns
    /// that are drawn.
    pub batches: Vec<RecordBatch>,
    /// Where they come from.
    pub origin: Origin,
}

impl From<Vec<RecordBatch>> for Rows {
    fn from(batches: Vec<RecordBatch>) -> Self {
        Self { batches, origin: Origin::default() }
    }
}

/// Which of the rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only these instants. `None` is all.
    pub range: Option<TimeRange>,
}

/// A part of the time that rows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRange {
    /// So many milliseconds before the last row, up to it.
    Last(i64),
    /// From and to, both inclusive, in milliseconds since the epoch.
    Between(Option<i64>, Option<i64>),
}

impl TimeRange {
    /// Whether an instant is within, given the last instant of the rows.
    fn contains(self, ms: i64, last: i64) -> bool {
        match self {
            Self::Last(length) => ms > last.saturating_sub(length) && ms <= last,
            Self::Between(from, to) => from.is_none_or(|from| ms >= from) && to.is_none_or(|to| ms <= to),
        }
    }

    fn label(self) -> String {
        let side = |ms: Option<i64>| ms.map(axis::instant).unwrap_or_default();
        match self {
            Self::Last(length) => format!("the last {}", axis::duration(length)),
            Self::Between(from, to) => format!("{}..{}", side(from), side(to)),
        }
    }
}

/// What a result is, by its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heatmap,
    Map,
    Pools,
    Candles,
    Cascade,
    Scores,
    Series,
}

const HEATMAP_COLUMNS: [&str; 5] = ["ts", "price_low", "price_high", "side", "notional_usd"];
const MAP_COLUMNS: [&str; 5] = ["price_low", "price_high", "side", "notional_usd", "cumulative_usd"];
const CANDLE_COLUMNS: [&str; 5] = ["ts", "open", "high", "low", "close"];
const CASCADE_COLUMNS: [&str; 6] = ["shock", "step", "price_from", "price_to", "liquidated_usd", "cumulative_usd"];
const SCORE_COLUMNS: [&str; 5] = ["score", "null_model", "value", "low", "high"];

impl Kind {
    fn of(result: &Rows) -> Option<Self> {
        Self::of_batch(result.batches.first()?)
    }

    fn of_batch(batch: &RecordBatch) -> Option<Self> {
        let has = |names: &[&'static str]| missing(batch, names).is_empty();
        if has(&HEATMAP_COLUMNS) && has(&["pool_id"]) {
            Some(Self::Pools)
        } else if has(&MAP_COLUMNS) {
            Some(Self::Map)
        } else if has(&HEATMAP_COLUMNS) {
            Some(Self::Heatmap)
        } else if has(&CANDLE_COLUMNS) {
            Some(Self::Candles)
        } else if has(&CASCADE_COLUMNS) {
            Some(Self::Cascade)
        } else if has(&SCORE_COLUMNS) {
            Some(Self::Scores)
        } else if series::is_series(batch) {
            Some(Self::Series)
        } else {
            None
        }
    }

    /// What is drawn if a script has several: a picture before a series, a series before what is drawn over others.
    fn precedence(self) -> u8 {
        match self {
            Self::Heatmap | Self::Map | Self::Cascade | Self::Scores => 2,
            Self::Series => 1,
            Self::Pools | Self::Candles => 0,
        }
    }
}

impl Frame {
    /// Finds what is to be drawn among the results of a script's statements and lays it out.
    ///
    /// Columns are found by name, extra columns are ignored. Of several results the last one is drawn that is a heatmap, a
    /// map, a cascade or scores; without one, all that are series over time, below each other. Candles and pools are those of the
    /// last such results; candles are drawn over a heatmap, pools over a heatmap or a map, and either alone only if there
    /// is nothing else.
    ///
    /// # Errors
    ///
    /// [`RenderError`] if there is no such result or it is empty, if a column has an unusable type or value, if there
    /// are several symbols or models, or if the grid would have more than 50 million cells.
    pub fn try_from_results(results: &[Rows], selection: &Selection) -> Result<Self, RenderError> {
        let (kind, result) = the_one(results)?;
        let overlays = Overlays::of(results);
        match kind {
            Kind::Map | Kind::Heatmap | Kind::Pools => {
                Cells::read(result, kind != Kind::Heatmap, selection)?.into_frame(&overlays, &result.origin)
            }
            _ => chart_of(kind, result, results, selection),
        }
    }

    /// How many pictures the results hold, of which [`Frame::try_from_results`] draws the last.
    pub fn count(results: &[Rows]) -> usize {
        let precedence = |result: &Rows| Kind::of(result).map_or(0, Kind::precedence);
        results.iter().filter(|result| precedence(result) == 2).count()
    }

    /// Lays out everything that can be drawn among the results of a script's statements, in their order. Heatmaps and
    /// maps of several symbols, models and exchanges become one frame each; of several exchanges their sum comes first.
    ///
    /// # Errors
    ///
    /// As [`Frame::try_from_results`], but for several symbols and models, of which there may be up to 64 combinations.
    pub fn all_from_results(results: &[Rows], selection: &Selection) -> Result<Vec<Self>, RenderError> {
        let (best, only) = the_one(results)?;
        let overlays = Overlays::of(results);
        let mut frames = Vec::new();
        for result in results {
            let Some(kind) = Kind::of(result) else { continue };
            let is_drawn = if best.precedence() == 0 { std::ptr::eq(result, only) } else { kind.precedence() > 0 };
            if !is_drawn {
                continue;
            }
            match kind {
                Kind::Map | Kind::Heatmap | Kind::Pools => frames.extend(
                    Cells::read(result, kind != Kind::Heatmap, selection)?.into_frames(&overlays, &result.origin)?,
                ),
                // All series are one chart, in the place of the first.
                Kind::Series if frames.iter().any(Self::is_over_time) => {}
                // Beside pictures, a row of what holds now is no series.
                Kind::Series if best == Kind::Series || series::has_several_instants(result)? => {
                    frames.push(chart_of(kind, result, results, selection)?);
                }
                Kind::Series => {}
                _ => frames.push(chart_of(kind, result, results, selection)?),
            }
            if frames.len() > MOST_PICTURES {
                return Err(RenderError::TooManyPictures { count: frames.len() });
            }
        }
        Ok(frames)
    }
}

impl Frame {
    fn is_over_time(&self) -> bool {
        matches!(self, Self::Chart(chart) if chart.x == ChartX::Time)
    }
}

fn chart_of(kind: Kind, result: &Rows, results: &[Rows], selection: &Selection) -> Result<Frame, RenderError> {
    match kind {
        Kind::Cascade => cascade::cascade(result),
        Kind::Scores => scores::scores(result),
        Kind::Series => {
            let all: Vec<&Rows> = results.iter().filter(|result| Kind::of(result) == Some(Kind::Series)).collect();
            series::series(&all, selection)
        }
        _ => series::series(&[result], selection),
    }
    .map(Frame::Chart)
}

/// The result that is drawn.
fn the_one(results: &[Rows]) -> Result<(Kind, &Rows), RenderError> {
    let drawable = results.iter().filter_map(|result| Kind::of(result).map(|kind| (kind, result)));
    // The last of equals.
    drawable.max_by_key(|(kind, _)| kind.precedence()).ok_or_else(|| nothing_found(results))
}

fn missing(batch: &RecordBatch, names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().filter(|name| !columns::has(batch, name)).collect()
}

fn nothing_found(results: &[Rows]) -> RenderError {
    // The result that comes closest is the one that was meant.
    let closest = results
        .iter()
        .filter_map(|result| result.batches.first())
        .min_by_key(|batch| missing(batch, &HEATMAP_COLUMNS).len());
    match closest {
        Some(batch) => RenderError::MissingColumns {
            missing: missing(batch, &HEATMAP_COLUMNS),
            found: batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
        },
        None => RenderError::Empty { reason: "the results have no rows".to_string() },
    }
}

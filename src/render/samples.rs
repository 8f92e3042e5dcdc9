//! Frames and rows from which tests start: each test changes what it is about.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};

use super::Rows;
use super::frame::{
    Chart, ChartX, Heatmap, Layer, LayeredBy, Map, MapRow, Panel, Point, Pool, PoolSide, PriceAxis, Series, SeriesMark,
    Sides, TimeAxis, Tone,
};

/// An empty grid of hours from the epoch on and of prices from 100 on. All of it has data, none of it a price.
pub(super) fn heatmap(columns: usize, rows: usize) -> Heatmap {
    Heatmap {
        time: TimeAxis { first_ms: 0, step_ms: 3_600_000, count: columns },
        price: PriceAxis { low: 100.0, step: 1.0, count: rows },
        cells: vec![0.0; columns * rows],
        sides: vec![Sides::NONE; columns * rows],
        is_present: vec![true; columns],
        current: vec![None; columns],
        ..Heatmap::default()
    }
}

/// A bucket of one unit of price that is reached first from the current price.
pub(super) fn row(low: f64, long_usd: f64, short_usd: f64) -> MapRow {
    MapRow {
        low,
        high: low + 1.0,
        long_usd,
        short_usd,
        cumulative_long_usd: (long_usd > 0.0).then_some(long_usd),
        cumulative_short_usd: (short_usd > 0.0).then_some(short_usd),
    }
}

/// Buckets around a current price of 100.
pub(super) fn map(rows: Vec<MapRow>) -> Map {
    Map { rows, current: Some(100.0), ..Map::default() }
}

/// The map with layers (name, USD in every bucket).
pub(super) fn layered(map: Map, layered_by: LayeredBy, layers: &[(&str, f64)]) -> Map {
    let count = map.rows.len();
    let layers = layers.iter().map(|&(name, usd)| Layer { name: name.to_owned(), usd: vec![usd; count] }).collect();
    Map { layers, layered_by, ..map }
}

/// A pool whose brightest price is its middle.
pub(super) fn pool(side: PoolSide, low: f64, high: f64, usd: f64) -> Pool {
    Pool { side, low, high, price: (low + high) / 2.0, usd, distance: None }
}

/// Points (x, y) without intervals.
pub(super) fn series(name: &str, mark: SeriesMark, tone: Tone, points: &[(f64, f64)]) -> Series {
    let points = points.iter().map(|&(x, y)| Point { x, y, interval: None }).collect();
    Series { name: name.to_owned(), mark, tone, points }
}

pub(super) fn panel(title: &str, series: Vec<Series>) -> Panel {
    Panel { title: title.to_owned(), series, ..Panel::default() }
}

pub(super) fn chart(x: ChartX, panels: Vec<Panel>) -> Chart {
    Chart { subject: "things".to_owned(), x, panels, ..Chart::default() }
}

pub(super) fn numbers(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub(super) fn words(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn instants(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values.to_vec()))
}

/// A result of one batch.
pub(super) fn rows(columns: Vec<(&str, ArrayRef)>) -> Rows {
    Rows::from(vec![RecordBatch::try_from_iter(columns).expect("columns of one length")])
}

//! Pictures from a laid-out frame: PNG, SVG, the page and the terminal.
//!
//! ```sh
//! cargo bench --bench pictures
//! ```
//!
//! The grid is 2,000 columns × 1,000 prices of a book that drifts: every cell holds something, half of it below the
//! threshold. Throughput counts cells of the grid.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liqsql::render::{
    Candle, ColorDepth, Frame, Heatmap, Options, Paper, PriceAxis, Screen, Sides, TimeAxis, to_html, to_png, to_svg,
    to_text,
};

const HOUR: i64 = 3_600_000;

/// A grid of levels that come and go, with candles through its middle.
fn frame(columns: usize, rows: usize) -> Frame {
    let price = PriceAxis { low: 80_000.0, step: 20.0, count: rows };
    let time = TimeAxis { first_ms: 1_770_681_600_000, step_ms: HOUR, count: columns };
    let mut cells = Vec::with_capacity(columns * rows);
    // A fixed linear congruential generator: the same grid in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let levels: Vec<f64> = (0..rows)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 40) as f64 / f64::from(1 << 24)).powi(3) * 1e7
        })
        .collect();
    let middle = |column: usize| rows as f64 * (0.5 + 0.2 * (column as f64 / 130.0).sin());
    for column in 0..columns {
        for (row, level) in levels.iter().enumerate() {
            let distance = (row as f64 - middle(column)).abs() / rows as f64;
            cells.push(if distance < 0.03 { 0.0 } else { level * (0.2 + distance) });
        }
    }
    let at = |column: usize| price.low + price.step * middle(column);
    let candles = (0..columns).map(|column| {
        let (open, close) = (at(column), at(column + 1));
        Some(Candle { open, close, high: open.max(close) + 40.0, low: open.min(close) - 40.0 })
    });
    Frame::Heatmap(Heatmap {
        exchanges: vec!["binance".to_owned()],
        symbol: Some("BTCUSDT".to_owned()),
        sides: vec![Sides::LONG; cells.len()],
        is_present: vec![true; columns],
        current: (0..columns).map(|column| Some(at(column))).collect(),
        candles: candles.collect(),
        time,
        price,
        cells,
        ..Heatmap::default()
    })
}

fn pictures(criterion: &mut Criterion) {
    let options = Options::default();
    let large = frame(2_000, 1_000);
    let usual = frame(288, 400);
    let mut group = criterion.benchmark_group("picture");
    group.sample_size(20).throughput(Throughput::Elements(2_000 * 1_000));
    group.bench_function("png 1600x900 of 2000x1000", |bencher| {
        bencher.iter(|| to_png(black_box(&large), &options, Paper::default()).unwrap())
    });
    group.bench_function("png 1600x900 at 2x of 2000x1000", |bencher| {
        let paper = Paper { ratio: 2.0, ..Paper::default() };
        bencher.iter(|| to_png(black_box(&large), &options, paper).unwrap())
    });
    group.bench_function("svg of 2000x1000", |bencher| {
        bencher.iter(|| to_svg(black_box(&large), &options, Paper::default()).unwrap())
    });
    group.bench_function("html of 2000x1000", |bencher| {
        bencher.iter(|| to_html(std::slice::from_ref(black_box(&large)), &options).unwrap())
    });
    group.bench_function("terminal 200x60 of 2000x1000", |bencher| {
        let screen = Screen { width: 200, height: 60, color: ColorDepth::TrueColor };
        bencher.iter(|| to_text(black_box(&large), &options, screen).unwrap())
    });
    group.throughput(Throughput::Elements(288 * 400));
    group.bench_function("png 1600x900 of 288x400", |bencher| {
        bencher.iter(|| to_png(black_box(&usual), &options, Paper::default()).unwrap())
    });
    group.finish();
}

criterion_group!(benches, pictures);
criterion_main!(benches);

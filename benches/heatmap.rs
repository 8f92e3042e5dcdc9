//! What an estimate costs: the model alone, and the same bars through SQL beside a plain scan of their columns.
//!
//! Bars of one pair of the embedded sample (75 days of five minutes); throughput is in bars per second.

// The macros of the harness make items without docs; a bench that cannot start has nothing to report.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use liqsql::model::bar::Bar;
use liqsql::model::book::Book;
use liqsql::model::parameters::Parameters;
use liqsql::model::replay::Replay;
use tokio::runtime::Runtime;

const BARS: &str = "liq_bars((SELECT * FROM candles WHERE exchange = 'binance' AND symbol = 'BTCUSDT'), \
                    open_interest => open_interest)";

fn session(runtime: &Runtime) -> SessionContext {
    let context = SessionContext::new_with_config(liqsql::session_config());
    runtime.block_on(async {
        liqsql::register_all(&context).expect("the functions register");
        liqsql::sql::sample::register(&context).await.expect("the sample loads");
    });
    context
}

fn rows(runtime: &Runtime, context: &SessionContext, sql: &str) -> usize {
    let batches = runtime.block_on(async { context.sql(sql).await?.collect().await }).expect("the query runs");
    batches.iter().map(|batch| batch.num_rows()).sum()
}

fn bars(runtime: &Runtime, context: &SessionContext) -> Vec<Bar> {
    let sql = format!("SELECT ts, open, high, low, close, volume, open_interest, open_interest_close FROM {BARS}");
    let batches = runtime.block_on(async { context.sql(&sql).await?.collect().await }).expect("the query runs");
    let mut bars = Vec::new();
    for batch in &batches {
        let ts = batch.column(0).as_primitive::<TimestampMillisecondType>();
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Float64Type>().value(row);
        let optional = |column: usize, row: usize| batch.column(column).is_valid(row).then(|| number(column, row));
        bars.extend((0..batch.num_rows()).map(|row| Bar {
            ts: ts.value(row),
            open: number(1, row),
            high: number(2, row),
            low: number(3, row),
            close: number(4, row),
            volume: number(5, row),
            open_interest: optional(6, row),
            open_interest_close: optional(7, row),
        }));
    }
    bars
}

fn heatmap(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let context = session(&runtime);
    let bars = bars(&runtime, &context);
    let mut group = criterion.benchmark_group("one pair of the sample");
    group.throughput(Throughput::Elements(bars.len() as u64)).sample_size(20);
    group.bench_function("model alone, 10 tiers x 5 jitters", |bencher| {
        let parameters = Parameters::default();
        bencher.iter(|| {
            let mut replay = Replay::new(&parameters, 300_000, Vec::new(), Book::new(&parameters));
            for bar in &bars {
                replay.begin(bar);
                replay.end(bar);
            }
            black_box(replay.standing().totals())
        });
    });
    for (name, sql) in [
        (
            "plain scan of the columns",
            "SELECT ts, open, high, low, close, volume FROM candles \
                                       WHERE exchange = 'binance' AND symbol = 'BTCUSDT'"
                .to_owned(),
        ),
        ("liq_bars", format!("SELECT * FROM {BARS}")),
        ("liq_flows", format!("SELECT * FROM liq_flows({BARS})")),
        ("liq_map", format!("SELECT * FROM liq_map({BARS})")),
        ("liq_heatmap, hourly, within 10 %", format!("SELECT * FROM liq_heatmap({BARS}, max_distance => 0.1)")),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(rows(&runtime, &context, &sql))));
    }
    group.finish();
}

criterion_group!(benches, heatmap);
criterion_main!(benches);

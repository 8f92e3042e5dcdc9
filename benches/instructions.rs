//! Kernels whose instructions are counted, so that a change that costs time is seen on any machine, however busy.
//!
//! ```sh
//! .ci/instructions                       # counts under valgrind, compares with benches/instructions.txt
//! cargo bench --profile dev --bench instructions -- list
//! cargo bench --profile dev --bench instructions -- model_10x5 3      # the kernel, three times
//! ```
//!
//! A kernel is prepared, then run as often as told: what one pass costs is the difference of two counts, without the
//! preparation. Queries are planned in the preparation, on one thread and one partition, over rows in memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use liqsql::market::tables::{BARS, CANDLES, OPEN_INTEREST, POSITIONS, TRADES};
use liqsql::model::bar::Bar;
use liqsql::model::book::Book;
use liqsql::model::grid::{Frame, Grid, View};
use liqsql::model::parameters::Parameters;
use liqsql::model::pools::{PoolRules, Pools};
use liqsql::model::replay::Replay;
use liqsql::model::smooth::{Model, Smoother};
use liqsql::model::snapshot::{PriceCell, Snapshot};

use market::Walk;

// The other bench uses the rest.
#[allow(dead_code)]
mod market;

const PRICE_STEP: f64 = 60.0;
const MAX_DISTANCE: f64 = 0.1;

/// Bars before the first frame, and bars between frames.
const WARM_UP: usize = 3000;
const BETWEEN_FRAMES: usize = 12;

/// One pass over the data of a kernel; returns something that depends on all of it.
type Pass = Box<dyn FnMut() -> usize>;

struct Kernel {
    name: &'static str,
    /// What is counted: a pass is so many of it.
    unit: &'static str,
    units: usize,
    prepare: fn(usize) -> Pass,
}

const KERNELS: &[Kernel] = &[
    Kernel { name: "model_10x5", unit: "bar", units: 3000, prepare: model_10x5 },
    Kernel { name: "model_4", unit: "bar", units: 20_000, prepare: model_4 },
    Kernel { name: "frame", unit: "frame", units: 100, prepare: frame },
    Kernel { name: "smoothing", unit: "frame", units: 100, prepare: smoothing },
    Kernel { name: "pools", unit: "frame", units: 100, prepare: pools },
    Kernel { name: "liq_bars", unit: "row", units: 20_000, prepare: liq_bars },
    Kernel { name: "liq_heatmap", unit: "bar", units: 10_000, prepare: liq_heatmap },
    Kernel { name: "liq_map", unit: "bar", units: 20_000, prepare: liq_map },
    Kernel { name: "liq_bucket", unit: "row", units: 30_000, prepare: liq_bucket },
    Kernel { name: "to_candles", unit: "row", units: 100_000, prepare: to_candles },
    Kernel { name: "asof_join", unit: "row", units: 50_000, prepare: asof_join },
];

// ── The model ───────────────────────────────────────────────────────────────────────────────────────────────────────

fn model(parameters: Parameters, count: usize) -> Pass {
    let bars = Walk::USUAL.bars(count);
    Box::new(move || market::replay(&parameters, &bars).bars() as usize)
}

fn model_10x5(count: usize) -> Pass {
    model(Parameters::default(), count)
}

fn model_4(count: usize) -> Pass {
    model(market::four_tiers(), count)
}

/// Calls with the book of the default assumptions before every twelfth bar, with its price.
fn each_book(count: usize, mut see: impl FnMut(&Bar, &Book)) {
    let parameters = Parameters::default();
    let bars = Walk::USUAL.bars(WARM_UP + count * BETWEEN_FRAMES);
    let mut replay = Replay::new(&parameters, market::INTERVAL_MS, Vec::new(), Book::new(&parameters));
    for (i, bar) in bars.iter().enumerate() {
        if i >= WARM_UP && (i - WARM_UP).is_multiple_of(BETWEEN_FRAMES) {
            see(bar, replay.standing());
        }
        replay.begin(bar);
        replay.end(bar);
    }
}

fn view(bar: &Bar) -> View {
    View { price: bar.open, max_distance: MAX_DISTANCE, by_leverage: false }
}

/// Frames with their prices, as the book gives them.
fn frames(count: usize) -> Vec<(Bar, Frame)> {
    let mut grid = Grid::new(PRICE_STEP);
    let mut frames = Vec::with_capacity(count);
    each_book(count, |bar, book| {
        let mut frame = Frame::default();
        frame.take(book, &mut grid, &view(bar));
        frames.push((*bar, frame));
    });
    frames
}

fn frame(count: usize) -> Pass {
    let mut last = None;
    each_book(1, |bar, book| last = Some((view(bar), book.clone())));
    let (view, book) = last.unwrap();
    let mut grid = Grid::new(PRICE_STEP);
    let mut frame = Frame::default();
    Box::new(move || {
        // One book, from prices within half a percent of its own.
        let cells = (0..count).map(|i| {
            let price = view.price * (0.995 + 0.01 * i as f64 / count as f64);
            frame.take(&book, &mut grid, &View { price, ..view });
            frame.cells.len()
        });
        cells.sum()
    })
}

fn smoothing(count: usize) -> Pass {
    let frames = frames(count);
    let mut smoother = Smoother::new(Grid::new(PRICE_STEP), Model::Zones.bandwidth().unwrap());
    Box::new(move || {
        let cells = frames.iter().map(|(bar, frame)| {
            let mut frame = frame.clone();
            frame.smooth(&mut smoother, bar.open).unwrap();
            frame.cells.len()
        });
        cells.sum()
    })
}

fn pools(count: usize) -> Pass {
    let grid = Grid::new(PRICE_STEP);
    let snapshots: Vec<Snapshot> = frames(count)
        .iter()
        .map(|(bar, frame)| {
            let cells = frame.cells.iter().map(|cell| PriceCell {
                side: cell.side,
                leverage: None,
                low: grid.price_low(cell.index),
                high: grid.price_low(cell.index + 1),
                usd: cell.notional_usd,
            });
            Snapshot { ts: bar.ts, price: Some(bar.open), cells: cells.collect() }
        })
        .collect();
    Box::new(move || {
        let mut pools = Pools::new(PoolRules { threshold: 0.85, valley: 0.8, memory: 86_400_000 });
        snapshots.iter().map(|snapshot| pools.frame(snapshot).len()).sum()
    })
}

// ── Queries ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Plans a query over tables in memory; a pass executes the plan.
fn query(tables: &[(&str, RecordBatch)], sql: &str) -> Pass {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let context = SessionContext::new_with_config(liqsql::session_config().with_target_partitions(1));
    liqsql::register_all(&context).unwrap();
    for (name, rows) in tables {
        context.register_table(*name, market::in_memory(market::batches(rows))).unwrap();
    }
    let plan = runtime.block_on(async { context.sql(sql).await?.create_physical_plan().await }).unwrap();
    Box::new(move || {
        let batches = runtime.block_on(collect(Arc::clone(&plan), context.task_ctx())).unwrap();
        batches.iter().map(RecordBatch::num_rows).sum()
    })
}

const FOUR_TIERS: &str = "tiers => [10, 25, 50, 100], weights => [1, 1, 1, 1], jitter => 0, price_step => 60";

fn bars_table(count: usize) -> (&'static str, RecordBatch) {
    ("bars", market::with_keys(&BARS, &market::bars(&Walk::USUAL.bars(count))))
}

fn candles_and_open_interest(count: usize) -> [(&'static str, RecordBatch); 2] {
    let bars = Walk::USUAL.bars(count);
    [
        ("candles", market::with_keys(&CANDLES, &market::candles(&bars))),
        ("open_interest", market::with_keys(&OPEN_INTEREST, &market::open_interest(&bars))),
    ]
}

fn liq_bars(count: usize) -> Pass {
    query(&candles_and_open_interest(count), "SELECT * FROM liq_bars(candles, open_interest => open_interest)")
}

fn liq_heatmap(count: usize) -> Pass {
    query(&[bars_table(count)], &format!("SELECT * FROM liq_heatmap(bars, {FOUR_TIERS}, max_distance => 0.1)"))
}

fn liq_map(count: usize) -> Pass {
    query(&[bars_table(count)], &format!("SELECT * FROM liq_map(bars, {FOUR_TIERS})"))
}

fn liq_bucket(count: usize) -> Pass {
    let positions = market::with_keys(&POSITIONS, &market::positions(count));
    query(&[("positions", positions)], "SELECT * FROM liq_bucket(positions, 60, INTERVAL '1 hour')")
}

fn to_candles(count: usize) -> Pass {
    let trades = market::with_keys(&TRADES, &market::Trades::new(count).day().unwrap());
    query(&[("trades", trades)], "SELECT * FROM to_candles(trades, INTERVAL '1 minute')")
}

fn asof_join(count: usize) -> Pass {
    query(&candles_and_open_interest(count), "SELECT * FROM asof_join(candles, open_interest)")
}

// ── Calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match arguments.as_slice() {
        [] => println!("the counts are made by .ci/instructions; `list` names the kernels, NAME PASSES runs one"),
        [list] if list == "list" => {
            for kernel in KERNELS {
                println!("{} {} {}", kernel.name, kernel.unit, kernel.units);
            }
        }
        [name, passes] => {
            let kernel = KERNELS.iter().find(|kernel| kernel.name == name);
            let kernel = kernel.unwrap_or_else(|| panic!("no kernel is called '{name}'; see `list`"));
            let mut pass = (kernel.prepare)(kernel.units);
            for _ in 0..passes.parse().unwrap_or_else(|_| panic!("passes must be a whole number, was '{passes}'")) {
                assert!(black_box(pass()) > 0, "{name} gave nothing");
            }
        }
        more => panic!("expected `list`, or a kernel and a number of passes, was '{}'", more.join(" ")),
    }
}

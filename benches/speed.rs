//! What the estimates cost, in bars and rows per second, beside a plain scan of the columns that they read.
//!
//! ```sh
//! cargo bench --bench speed                                # or --profile dev, without a release build
//! cargo bench --bench speed -- 'work|scan'                 # only what matches
//! python3 benches/peers.py                                 # DuckDB and Polars on the same files
//! ```
//!
//! Criterion runs every case; at the end one table shows the median of its samples, the ratio to the scan and the peak of
//! memory, beside what is the best known elsewhere and what is to be reached.
//!
//! - **Data** are random walks from fixed seeds, written once to `liqsql-bench-data-v1` in the folder for temporary files
//!   and read from there, as a data root. They are in the page cache, and footers are held by the session.
//! - **A query** is planned and run anew in every pass, and its rows are dropped as they come.
//! - **The scan** drains the same Parquet columns in the same session. Where a case reads tables that are in memory, the
//!   scan is that of the files they were read from, and is not part of the case.
//! - **Memory** is counted by the allocator in a pass of its own, which is not timed: the largest sum of what was
//!   allocated since the case began, the buffers of the engine and of the Parquet reader included.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
// The allocator that counts: the trait is unsafe to implement, and nothing else here is.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use liqsql::ingest::parquet::write_file;
use liqsql::market::tables::{BARS, CANDLES, OPEN_INTEREST, POSITIONS, TRADES};
use liqsql::model::bar::Bar;
use liqsql::model::parameters::Parameters;
use tokio::runtime::Runtime;

use market::Walk;

// The other bench uses the rest.
#[allow(dead_code)]
mod market;

const YEAR: usize = 105_120;
const TRADES_COUNT: usize = 10_000_000;
const POSITIONS_COUNT: usize = 100_000;
const MODEL_BARS: usize = 49_000;
const SYMBOLS: usize = 16;
const BARS_PER_SYMBOL: usize = 26_280;
const SAMPLES: usize = 10;

/// As [`market::four_tiers`].
const FOUR_TIERS: &str = "tiers => [10, 25, 50, 100], weights => [1, 1, 1, 1], jitter => 0";

/// An hourly heatmap within a tenth of price, in steps of about a thousandth.
const HOURLY: &str = "step => INTERVAL '1 hour', price_step => 60, max_distance => 0.1";

const BARS_OF_ROOT: &str = "liq_bars(candles, open_interest => open_interest)";
const SCAN_OF_CANDLES: &str = "SELECT ts, open, high, low, close, volume FROM candles";
const SCAN_OF_OPEN_INTEREST: &str = "SELECT ts, open_interest FROM open_interest";

/// Counts bytes while it is told to.
struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

fn count(bytes: i64) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if bytes > 0 {
            PEAK.fetch_max(held, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator with the arguments it came with, and its result is returned as it is;
// counting touches atomics alone, so it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the largest number of bytes that were held at a time beyond those at the start.
fn peak_of(work: &mut dyn FnMut() -> usize) -> u64 {
    HELD.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    black_box(work());
    IS_COUNTING.store(false, Ordering::Relaxed);
    PEAK.load(Ordering::Relaxed).max(0) as u64
}

// ── Data ────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn data() -> PathBuf {
    std::env::temp_dir().join("liqsql-bench-data-v1")
}

/// Returns a data root, written first if it is not there: beside its place, then renamed, so that it is whole.
fn root(name: &str, write: impl FnOnce(&Path)) -> PathBuf {
    let place = data().join(name);
    if !place.is_dir() {
        let half = data().join(format!(".{name}.{}.tmp", std::process::id()));
        let _ = fs::remove_dir_all(&half);
        println!("writing {}", place.display());
        write(&half);
        if fs::rename(&half, &place).is_err() {
            // Another run was faster; the rows are the same.
            assert!(place.is_dir(), "{} cannot be written", place.display());
            fs::remove_dir_all(&half).unwrap();
        }
    }
    place
}

/// Writes bars of one market by year.
fn write_bars(root: &Path, symbol: &str, bars: &[Bar]) {
    for year in bars.chunk_by(|a, b| year_of(a.ts) == year_of(b.ts)) {
        for (table, rows) in [(&CANDLES, market::candles(year)), (&OPEN_INTEREST, market::open_interest(year))] {
            let folder = format!("{}/exchange=binance/symbol={symbol}/year={}", table.name, year_of(year[0].ts));
            write_file(&root.join(folder).join("part.parquet"), table, &rows).unwrap();
        }
    }
}

fn year_of(ts: i64) -> i32 {
    use chrono::Datelike;
    chrono::DateTime::from_timestamp_millis(ts).unwrap().year()
}

/// Returns a root with some years of bars of one market.
fn history(name: &str, walk: Walk, years: usize) -> PathBuf {
    root(name, |root| write_bars(root, "BTCUSDT", &walk.bars(years * YEAR)))
}

fn symbol(i: usize) -> String {
    format!("COIN{i:02}USDT")
}

fn many_symbols() -> PathBuf {
    root("symbols-16", |root| {
        for i in 0..SYMBOLS {
            let walk = Walk { seed: 100 + i as u64, ..Walk::USUAL };
            write_bars(root, &symbol(i), &walk.bars(BARS_PER_SYMBOL));
        }
    })
}

fn trades() -> PathBuf {
    root("trades", |root| {
        let mut trades = market::Trades::new(TRADES_COUNT);
        let mut day = chrono::DateTime::from_timestamp_millis(market::START_MS).unwrap();
        while let Some(rows) = trades.day() {
            let folder = format!("trades/exchange=binance/symbol=BTCUSDT/date={}", day.format("%Y-%m-%d"));
            write_file(&root.join(folder).join("part.parquet"), &TRADES, &rows).unwrap();
            day += chrono::TimeDelta::days(1);
        }
    })
}

fn positions() -> PathBuf {
    root("positions", |root| {
        let path = root.join("positions/exchange=hyperliquid/symbol=BTCUSDC/date=2018-01-01/part.parquet");
        write_file(&path, &POSITIONS, &market::positions(POSITIONS_COUNT)).unwrap();
    })
}

// ── Queries ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A session over a data root, or over none.
struct Session<'a> {
    runtime: &'a Runtime,
    context: SessionContext,
}

impl<'a> Session<'a> {
    fn new(runtime: &'a Runtime, partitions: usize) -> Session<'a> {
        let config = liqsql::session_config().with_target_partitions(partitions);
        let context = SessionContext::new_with_config(config);
        liqsql::register_all(&context).unwrap();
        Session { runtime, context }
    }

    fn over(runtime: &'a Runtime, root: &Path, partitions: usize) -> Session<'a> {
        let session = Session::new(runtime, partitions);
        runtime.block_on(liqsql::sql::root::register(&session.context, root.to_str().unwrap())).unwrap();
        session
    }

    /// Runs queries one after the other, drops their rows and returns how many there were.
    fn drain(&self, queries: &[&str]) -> usize {
        self.runtime.block_on(async {
            let mut rows = 0;
            for sql in queries {
                let mut stream = self.context.sql(sql).await.unwrap().execute_stream().await.unwrap();
                while let Some(batch) = stream.next().await {
                    rows += black_box(batch.unwrap()).num_rows();
                }
            }
            rows
        })
    }

    /// Reads a table of the root into memory, in its order, which is declared.
    fn hold(&self, table: &str, held: &str) {
        let batches = self
            .runtime
            .block_on(async { self.context.sql(&format!("SELECT * FROM {table}")).await?.collect().await })
            .unwrap();
        self.context.register_table(held, market::in_memory(batches)).unwrap();
    }
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What is measured, and what it is compared with.
#[derive(Clone, Copy)]
struct Case<'a> {
    group: &'static str,
    work: &'a str,
    /// Elsewhere, as published or measured.
    best_known: &'static str,
    target: &'static str,
    /// The case that scans the columns which this one reads.
    scan: Option<&'a str>,
    /// Bars or rows that go in.
    rows: usize,
}

struct Measured {
    group: &'static str,
    work: String,
    best_known: &'static str,
    target: &'static str,
    scan: Option<String>,
    rows: usize,
    median: Duration,
    peak: u64,
}

struct Speed {
    criterion: Criterion,
    measured: Vec<Measured>,
    /// Fewest samples of which a median was taken.
    samples: usize,
}

impl Speed {
    /// Runs one case, unless the command line leaves it out.
    fn run(&mut self, case: Case<'_>, mut work: impl FnMut() -> usize) {
        let mut peak = None;
        let mut samples: Vec<Duration> = Vec::new();
        let mut group = self.criterion.benchmark_group(case.group);
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(1000))
            .throughput(Throughput::Elements(case.rows as u64));
        group.bench_function(case.work, |bencher| {
            if peak.is_none() {
                assert!(black_box(work()) > 0, "{} has no rows", case.work);
                peak = Some(peak_of(&mut work));
            }
            bencher.iter_custom(|passes| {
                let start = Instant::now();
                for _ in 0..passes {
                    black_box(work());
                }
                let time = start.elapsed();
                samples.push(time / passes as u32);
                time
            });
        });
        group.finish();
        let Some(peak) = peak else { return };
        // Criterion's own samples come last, after those of its warm-up.
        let mut samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
        samples.sort();
        self.samples = self.samples.min(samples.len());
        let median = (samples[samples.len() / 2] + samples[(samples.len() - 1) / 2]) / 2;
        self.measured.push(Measured {
            group: case.group,
            work: case.work.to_owned(),
            best_known: case.best_known,
            target: case.target,
            scan: case.scan.map(str::to_owned),
            rows: case.rows,
            median,
            peak,
        });
    }

    fn scan(&mut self, session: &Session<'_>, work: &str, rows: usize, queries: &[&str]) {
        let case = Case { group: "scan", work, best_known: "", target: "", scan: None, rows };
        self.run(case, || session.drain(queries));
    }

    fn query(&mut self, session: &Session<'_>, case: Case<'_>, sql: &str) {
        self.run(case, || session.drain(&[sql]));
    }

    fn scaling(&mut self, session: &Session<'_>, work: &str, rows: usize, sql: &str) {
        self.query(session, Case { group: "scaling", work, best_known: "", target: "", scan: None, rows }, sql);
    }
}

/// The work of which numbers are to be reached, and the scans beside it.
fn work(speed: &mut Speed, runtime: &Runtime, partitions: usize) {
    const WORK: Case<'_> = Case { group: "work", work: "", best_known: "", target: "", scan: None, rows: 0 };

    let year = Session::over(runtime, &history("history-1", Walk::USUAL, 1), partitions);
    speed.scan(&year, "105,120 candles", YEAR, &[SCAN_OF_CANDLES]);
    let scan = "105,120 candles and open interest";
    speed.scan(&year, scan, YEAR, &[SCAN_OF_CANDLES, SCAN_OF_OPEN_INTEREST]);
    let case = Case {
        work: "heatmap, 105,120 bars x 4 tiers",
        best_known: "6 s (TypeScript)",
        target: "< 0.25 s, scan x 2",
        scan: Some(scan),
        rows: YEAR,
        ..WORK
    };
    speed.query(&year, case, &format!("SELECT * FROM liq_heatmap({BARS_OF_ROOT}, {FOUR_TIERS}, {HOURLY})"));
    let case = Case {
        work: "heatmap of candles alone, 105,120 x 4 tiers",
        target: "< 0.25 s, scan x 2",
        scan: Some("105,120 candles"),
        rows: YEAR,
        ..WORK
    };
    speed.query(&year, case, &format!("SELECT * FROM liq_heatmap(candles, {FOUR_TIERS}, {HOURLY})"));
    let case = Case {
        work: "heatmap, 105,120 bars x 10 tiers x 5 jitters",
        target: "< 0.8 s",
        scan: Some(scan),
        rows: YEAR,
        ..WORK
    };
    speed.query(&year, case, &format!("SELECT * FROM liq_heatmap({BARS_OF_ROOT}, {HOURLY})"));

    let years = Session::over(runtime, &history("history-4", Walk::USUAL, 4), partitions);
    let scan = "420,480 candles and open interest";
    speed.scan(&years, scan, 4 * YEAR, &[SCAN_OF_CANDLES, SCAN_OF_OPEN_INTEREST]);
    speed.scan(&years, "420,480 candles", 4 * YEAR, &[SCAN_OF_CANDLES]);
    let case = Case {
        work: "final map, 420,480 bars x 4 tiers",
        best_known: "0.217 s (DuckDB)",
        target: "< 0.10 s, scan x 2",
        scan: Some(scan),
        rows: 4 * YEAR,
        ..WORK
    };
    speed.query(&years, case, &format!("SELECT * FROM liq_map({BARS_OF_ROOT}, {FOUR_TIERS}, price_step => 60)"));
    let case = Case {
        work: "final map of candles alone, 420,480 x 4 tiers",
        target: "< 0.10 s, scan x 2",
        scan: Some("420,480 candles"),
        rows: 4 * YEAR,
        ..WORK
    };
    speed.query(&years, case, &format!("SELECT * FROM liq_map(candles, {FOUR_TIERS}, price_step => 60)"));

    let traded = Session::over(runtime, &trades(), partitions);
    speed.scan(&traded, "10 M trades: price, size, side", TRADES_COUNT, &["SELECT price, size, side FROM trades"]);
    speed.scan(
        &traded,
        "10 M trades: ts, price, size, side",
        TRADES_COUNT,
        &["SELECT ts, price, size, side FROM trades"],
    );
    let case = Case {
        work: "bucketed map, 10 M trades x 4 tiers",
        best_known: "0.46 s (Polars)",
        target: "< 0.40 s",
        scan: Some("10 M trades: price, size, side"),
        rows: TRADES_COUNT,
        ..WORK
    };
    speed.query(&traded, case, BUCKETED);
    let case = Case {
        work: "candles of a minute from 10 M trades",
        best_known: "0.37 s (Polars)",
        target: "< 0.35 s",
        scan: Some("10 M trades: ts, price, size, side"),
        rows: TRADES_COUNT,
        ..WORK
    };
    speed.query(&traded, case, CANDLES_OF_TRADES);

    let held = Session::over(runtime, &positions(), partitions);
    held.hold("positions", "positions_held");
    speed.scan(
        &held,
        "100,000 positions",
        POSITIONS_COUNT,
        &["SELECT ts, side, liquidation_price, notional_usd FROM positions"],
    );
    let case = Case {
        work: "100,000 positions to a map, after the scan",
        best_known: "0.53 s (Python)",
        target: "< 0.005 s",
        scan: Some("100,000 positions"),
        rows: POSITIONS_COUNT,
        ..WORK
    };
    speed.query(&held, case, "SELECT * FROM liq_bucket(positions_held, 60, INTERVAL '1 hour')");

    years.hold("candles", "candles_held");
    years.hold("open_interest", "open_interest_held");
    let case = Case {
        work: "as-of join, 420,480 x 420,480, after the scan",
        best_known: "0.029 s (Polars)",
        target: "< 0.03 s",
        scan: Some(scan),
        rows: 4 * YEAR,
        ..WORK
    };
    speed.query(&years, case, "SELECT * FROM asof_join(candles_held, open_interest_held)");
}

/// What each trade opened, at four leverages: added up by side and price, of which there are few, before the tiers
/// multiply the rows.
const BUCKETED: &str = "
    WITH opened AS (
        SELECT CASE side WHEN 'buy' THEN 'long' ELSE 'short' END AS side, price, size
        FROM (SELECT side, price, sum(size) AS size FROM trades GROUP BY side, price)
    ), tiers AS (
        SELECT * FROM (VALUES (10.0, 0.25), (25.0, 0.25), (50.0, 0.25), (100.0, 0.25)) AS tiers (leverage, weight)
    ), levels AS (
        SELECT side, size * weight AS size, liq_price_at_leverage(side, price, leverage, 0.004) AS liquidation_price
        FROM opened CROSS JOIN tiers
    )
    SELECT side, floor(liquidation_price / 60) * 60 AS price_low, sum(size * liquidation_price) AS notional_usd
    FROM levels GROUP BY 1, 2";

const CANDLES_OF_TRADES: &str = "SELECT * FROM to_candles(trades, INTERVAL '1 minute')";

/// The model without a query, and the same bars through one.
fn model(speed: &mut Speed, runtime: &Runtime, partitions: usize) {
    let bars = Walk::USUAL.bars(MODEL_BARS);
    let session = Session::new(runtime, partitions);
    let rows = market::with_keys(&BARS, &market::bars(&bars));
    session.context.register_table("bars", market::in_memory(market::batches(&rows))).unwrap();

    let four = market::four_tiers();
    let case = |work| Case { group: "model", work, best_known: "", target: "", scan: None, rows: MODEL_BARS };
    let default = Parameters::default();
    speed.run(case("model alone, 49,000 bars x 10 tiers x 5 jitters"), || replay(&default, &bars));
    let sql = "SELECT count(*) FROM liq_flows(bars)";
    speed.query(&session, case("count(*) of liq_flows, 10 tiers x 5 jitters"), sql);
    speed.run(case("model alone, 49,000 bars x 4 tiers"), || replay(&four, &bars));
    let sql = format!("SELECT count(*) FROM liq_flows(bars, {FOUR_TIERS})");
    speed.query(&session, case("count(*) of liq_flows, 4 tiers"), &sql);
}

fn replay(parameters: &Parameters, bars: &[Bar]) -> usize {
    let replay = market::replay(parameters, bars);
    black_box(replay.standing().totals());
    replay.bars() as usize
}

/// How the cost grows with what goes in and what comes out; each case differs from the first in one thing.
fn scaling(speed: &mut Speed, runtime: &Runtime, partitions: usize) {
    let heatmap = |tiers: &str, hourly: &str| format!("SELECT * FROM liq_heatmap({BARS_OF_ROOT}, {tiers}, {hourly})");
    let usual = heatmap(FOUR_TIERS, HOURLY);
    for years in [1, 2, 4, 8] {
        let session = Session::over(runtime, &history(&format!("history-{years}"), Walk::USUAL, years), partitions);
        let work = match years {
            1 => "heatmap, a year, 4 tiers, usual price, cells of 60".to_owned(),
            years => format!("heatmap, history x {years}"),
        };
        speed.scaling(&session, &work, years * YEAR, &usual);
    }
    let year = Session::over(runtime, &history("history-1", Walk::USUAL, 1), partitions);
    let one_tier = "tiers => [25], weights => [1], jitter => 0";
    for (work, tiers) in [("heatmap, 1 tier", one_tier), ("heatmap, 10 tiers", "jitter => 0")] {
        speed.scaling(&year, work, YEAR, &heatmap(tiers, HOURLY));
    }
    for (walk, name) in [(Walk::QUIET, "quiet"), (Walk::VOLATILE, "volatile")] {
        let session = Session::over(runtime, &history(name, walk, 1), partitions);
        speed.scaling(&session, &format!("heatmap, {name} price"), YEAR, &usual);
    }
    for step in [600, 15] {
        let hourly = format!("step => INTERVAL '1 hour', price_step => {step}, max_distance => 0.1");
        speed.scaling(&year, &format!("heatmap, cells of {step}"), YEAR, &heatmap(FOUR_TIERS, &hourly));
    }
    for (symbols, parts) in [(1, 1), (4, 1), (16, 1), (4, 2), (16, 2)] {
        let session = Session::over(runtime, &many_symbols(), parts);
        let names: Vec<String> = (0..symbols).map(|i| format!("'{}'", symbol(i))).collect();
        let sql = format!("{usual} WHERE symbol IN ({})", names.join(", "));
        let work = format!("heatmap, symbols: {symbols}, partitions: {parts}");
        speed.scaling(&session, &work, symbols * BARS_PER_SYMBOL, &sql);
    }
    // With as many partitions as there are cores they are among the work above.
    for parts in [1, 2].into_iter().filter(|parts| *parts != partitions) {
        let session = Session::over(runtime, &trades(), parts);
        speed.scaling(&session, &format!("bucketed map, partitions: {parts}"), TRADES_COUNT, BUCKETED);
        let work = format!("candles of a minute, partitions: {parts}");
        speed.scaling(&session, &work, TRADES_COUNT, CANDLES_OF_TRADES);
    }
}

/// What one symbol needs, over as long a history as there is.
fn memory(speed: &mut Speed, runtime: &Runtime, partitions: usize) {
    let case = |work, rows| Case { group: "memory", work, best_known: "", target: "< 64 MB", scan: None, rows };
    let bars = Walk::USUAL.bars(8 * YEAR);
    let four = market::four_tiers();
    speed.run(case("state of the model, 8 years x 4 tiers", 8 * YEAR), || replay(&four, &bars));
    let default = Parameters::default();
    speed.run(case("state of the model, 1 year x 10 tiers x 5 jitters", YEAR), || replay(&default, &bars[..YEAR]));
    let session = Session::over(runtime, &history("history-8", Walk::USUAL, 8), partitions);
    let sql = format!("SELECT * FROM liq_map({BARS_OF_ROOT}, {FOUR_TIERS}, price_step => 60)");
    speed.query(&session, case("final map from Parquet, 8 years x 4 tiers", 8 * YEAR), &sql);
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

fn print_conditions(samples: usize, partitions: usize) {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = std::env::current_exe().ok().and_then(|path| {
        let folder = path.parent()?.parent()?.file_name()?.to_string_lossy().into_owned();
        Some(if folder == "debug" { "dev".to_owned() } else { folder })
    });
    println!(
        "conditions: {cores} cores ({}), {partitions} partitions unless stated, profile {}, debug assertions {}; median of \
         {samples} samples after a warm-up, queries planned in each;\nfiles of {} in the page cache, footers held; bars of \
         five minutes, fixed seeds; heatmaps hourly, within 10 % of price, at 0.1 %; peak: allocator's, one untimed pass",
        cpu.unwrap_or_else(|| "unknown".to_owned()),
        profile.unwrap_or_else(|| "unknown".to_owned()),
        if cfg!(debug_assertions) { "on" } else { "off" },
        data().display(),
    );
}

/// Writes a rate with its unit: `1.25 M/s`.
fn rate(rows: usize, time: Duration) -> String {
    match rows as f64 / time.as_secs_f64() {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate => format!("{:.0} k/s", rate / 1e3),
    }
}

fn print_table(measured: &[Measured]) {
    let scans: BTreeMap<&str, Duration> =
        measured.iter().filter(|m| m.group == "scan").map(|m| (m.work.as_str(), m.median)).collect();
    println!(
        "{:<51} | {:<16} | {:<18} | {:>10} | {:>13} | {:>10} | {:>8}",
        "work", "best known", "target", "ours", "ratio to scan", "throughput", "peak MB"
    );
    for group in ["work", "memory", "scan", "model", "scaling"] {
        let rows: Vec<&Measured> = measured.iter().filter(|m| m.group == group).collect();
        if rows.is_empty() {
            continue;
        }
        println!("{}", "-".repeat(145));
        for m in rows {
            let scan = m.scan.as_deref().and_then(|scan| scans.get(scan));
            println!(
                "{:<51} | {:<16} | {:<18} | {:>8.4} s | {:>13} | {:>10} | {:>8.1}",
                if group == "scan" { format!("scan of {}", m.work) } else { m.work.clone() },
                m.best_known,
                m.target,
                m.median.as_secs_f64(),
                scan.map_or(String::new(), |scan| format!("{:.2}", m.median.as_secs_f64() / scan.as_secs_f64())),
                rate(m.rows, m.median),
                m.peak as f64 / 1e6,
            );
        }
    }
}

fn main() {
    let criterion = Criterion::default().without_plots().configure_from_args();
    let mut speed = Speed { criterion, measured: Vec::new(), samples: SAMPLES };
    let runtime = Runtime::new().unwrap();
    let partitions = std::thread::available_parallelism().map_or(1, usize::from);
    fs::create_dir_all(data()).unwrap();
    work(&mut speed, &runtime, partitions);
    model(&mut speed, &runtime, partitions);
    memory(&mut speed, &runtime, partitions);
    scaling(&mut speed, &runtime, partitions);
    // A single pass, as `--test` makes, is no measurement.
    if !speed.measured.is_empty() && speed.samples == SAMPLES {
        println!();
        print_conditions(speed.samples, partitions);
        print_table(&speed.measured);
    }
}

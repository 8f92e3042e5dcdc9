//! What a query reads: over a data root only the columns, files, row groups and rows that the answer needs, no sort, no
//! exchange, and not more after a LIMIT is reached.
//!
//! Counted are bytes and rows that the scans report, never time.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, displayable, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use liqsql::simulate::wide::WideMarket;
use tempfile::TempDir;

/// Two symbols, 100 days of minutes: two row groups and eight pages in each file of candles.
const MINUTES: WideMarket = WideMarket { seed: 7, symbols: 2, days: 100, interval_ms: 60_000 };
/// Six symbols, 20 days of five minutes.
const SYMBOLS: WideMarket = WideMarket { seed: 7, symbols: 6, days: 20, interval_ms: 300_000 };

const FLOWS: &str = "liq_flows(liq_bars(candles, open_interest => open_interest))";
const ONE_DAY: &str = "symbol = 'BTCUSDT' AND ts >= TIMESTAMP '2026-03-01' AND ts < TIMESTAMP '2026-03-02'";

fn root(market: WideMarket) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    market.write(root.path(), 2).unwrap();
    root
}

async fn session(root: &Path, partitions: usize) -> SessionContext {
    let config = liqsql::session_config().with_target_partitions(partitions);
    let context = SessionContext::new_with_config(config);
    liqsql::register_all(&context).unwrap();
    liqsql::sql::root::register(&context, root.to_str().unwrap()).await.unwrap();
    context
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

/// The scans of a plan.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    if (plan.as_ref() as &dyn Any).is::<DataSourceExec>() {
        return vec![Arc::clone(plan)];
    }
    plan.children().into_iter().flat_map(scans).collect()
}

/// Bytes and rows that the scans of an executed plan read.
fn read(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let metrics = scans(plan).into_iter().map(|scan| scan.metrics().unwrap());
    metrics
        .map(|metrics| {
            let bytes = metrics.sum_by_name("bytes_scanned").map_or(0, |bytes| bytes.as_usize());
            (bytes, metrics.output_rows().unwrap_or(0))
        })
        .fold((0, 0), |(bytes, rows), (more_bytes, more_rows)| (bytes + more_bytes, rows + more_rows))
}

async fn run(context: &SessionContext, sql: &str) -> (Arc<dyn ExecutionPlan>, String) {
    let plan = plan(context, sql).await;
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    (plan, arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
}

/// Files of a table of a root.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn size(folder: &Path) -> usize {
    files(folder).iter().map(|file| fs::metadata(file).unwrap().len() as usize).sum()
}

#[tokio::test]
async fn a_day_of_a_symbol_reads_little_more_than_itself() {
    let root = root(MINUTES);
    let context = session(root.path(), 2).await;
    let candles = size(&root.path().join("candles"));
    let (all, _) = run(&context, &format!("SELECT * FROM candles WHERE {ONE_DAY}")).await;
    let (bytes, rows) = read(&all);
    assert_eq!(rows, 1440, "{}", text(&all));
    // One page of eight in one file of two, and the dictionaries of its row group's prices.
    assert!(bytes * 4 < candles, "{bytes} of {candles} bytes");
    let (narrow, _) = run(&context, &format!("SELECT close FROM candles WHERE {ONE_DAY}")).await;
    assert!(read(&narrow).0 * 3 < bytes, "{} of {bytes} bytes", read(&narrow).0);
    assert!(!text(&narrow).contains("ETHUSDT"), "{}", text(&narrow));
}

#[tokio::test]
async fn an_estimate_decodes_only_its_columns_and_keys() {
    let root = root(SYMBOLS);
    let context = session(root.path(), 2).await;
    let sql =
        format!("SELECT sum(liquidated_usd) FROM {FLOWS} WHERE symbol = 'BTCUSDT' AND ts < TIMESTAMP '2026-01-06'");
    let (plan, _) = run(&context, &sql).await;
    let text = text(&plan);
    let (above, below) = text.split_once("LiqFlowsExec").unwrap();
    assert!(!above.contains("SortExec"), "{text}");
    for unwanted in ["SortExec", "RepartitionExec", "SIM003USDT", "CoalescePartitionsExec"] {
        assert!(!below.contains(unwanted), "{unwanted} is in\n{text}");
    }
    assert!(below.contains("projection=[ts, liquidated_usd]"), "{text}");
}

/// Bounds on time go from function to function, and no filter stands between them, above which rows of one key would be
/// dealt round to idle cores and gathered again.
#[tokio::test]
async fn functions_of_functions_are_bounded_in_time_without_an_exchange() {
    let root = root(SYMBOLS);
    let context = session(root.path(), 2).await;
    let heatmap = "liq_heatmap(liq_bars(candles, open_interest => open_interest, interval => INTERVAL '5 minutes'), \
                   interval => INTERVAL '5 minutes')";
    let of_days = |days: &str| {
        format!(
            "SELECT ts, side, price, notional_usd FROM {heatmap} WHERE symbol = 'BTCUSDT' AND {days} ORDER BY 1, 2, 3, 4"
        )
    };
    let (plan, bounded) = run(&context, &of_days("ts < TIMESTAMP '2026-01-06 12:00:00'")).await;
    let shown = text(&plan);
    let (_, below) = shown.split_once("LiqHeatmapExec").unwrap();
    assert!(!below.contains("RepartitionExec") && !below.contains("FilterExec"), "{shown}");
    // Five days and a half of bars, one more, and the open interest at their closes; whole pages of less than a row group.
    assert!(read(&plan).1 < 2 * 6 * 288, "{:?}\n{shown}", read(&plan));
    // The same question in words that are no bound.
    let unbounded = of_days("CASE WHEN ts < TIMESTAMP '2026-01-06 12:00:00' THEN true END");
    assert_eq!(run(&context, &unbounded).await.1, bounded);
    // What a function makes beyond the bounds of its reader does not leave it.
    let bars = "SELECT ts FROM liq_bars(candles) WHERE symbol = 'BTCUSDT' AND ts <= TIMESTAMP '2026-01-03'";
    let (plan, _) = run(&context, bars).await;
    let function = std::iter::successors(Some(&plan), |plan| plan.children().first().copied())
        .find(|plan| plan.name() == "LiqBarsExec")
        .unwrap();
    assert_eq!(function.metrics().unwrap().output_rows(), Some(2 * 288 + 1));
}

#[tokio::test]
async fn keys_run_side_by_side_without_sort_or_exchange() {
    let root = root(SYMBOLS);
    let more_cores_than_keys = session(root.path(), 8).await;
    let context = session(root.path(), 2).await;
    let map = "liq_map(liq_bars(candles, open_interest => open_interest), at => TIMESTAMP '2026-01-12')";
    for sql in [
        format!("SELECT * FROM {FLOWS}"),
        format!("SELECT * FROM {map}"),
        "SELECT * FROM to_candles(candles, INTERVAL '1 hour')".to_owned(),
        "SELECT exchange, symbol, ts, sum(volume) OVER (PARTITION BY exchange, symbol ORDER BY ts) FROM candles"
            .to_owned(),
    ] {
        let plan = plan(&context, &sql).await;
        let shown = text(&plan);
        assert!(!shown.contains("SortExec") && !shown.contains("RepartitionExec"), "{shown}");
        assert_eq!(plan.output_partitioning().partition_count(), 2, "{shown}");
    }
    for of in [FLOWS, map] {
        let few = plan(&more_cores_than_keys, &format!("SELECT * FROM {of} WHERE symbol < 'F'")).await;
        assert_eq!(few.output_partitioning().partition_count(), 2, "{}", text(&few));
        assert!(!text(&few).contains("RepartitionExec"), "{}", text(&few));
    }
    let all = run(&context, &format!("SELECT symbol, count(*) FROM {FLOWS} GROUP BY symbol ORDER BY symbol")).await.1;
    let alone = session(root.path(), 1).await;
    let by_one = run(&alone, &format!("SELECT symbol, count(*) FROM {FLOWS} GROUP BY symbol ORDER BY symbol")).await.1;
    assert_eq!(all, by_one);
    assert_eq!(all.matches("USDT").count(), 6, "{all}");
}

#[tokio::test]
async fn a_limit_stops_reading() {
    let root = root(MINUTES);
    for partitions in [1, 2, 4] {
        let context = session(root.path(), partitions).await;
        let (plan, found) = run(&context, &format!("SELECT ts FROM {FLOWS} LIMIT 5")).await;
        assert_eq!(found.lines().count(), 5 + 4, "{found}");
        assert!(text(&plan).contains("fetch=5"), "{}", text(&plan));
        let (_, rows) = read(&plan);
        // Of 345,600, in batches of 8192, two partitions. Where cores are idle, the flows read up to four batches of bars
        // ahead and the bars four of candles and all four of open interest.
        let batches = if partitions == 4 { 8 + 4 } else { 2 + 1 };
        assert!(rows <= 2 * batches * 8192, "{rows} rows on {partitions} partitions\n{}", text(&plan));
        assert!(!text(&plan).contains("RepartitionExec"), "{}", text(&plan));
        let (_, found) = run(&context, &format!("SELECT ts FROM {FLOWS} LIMIT 5 OFFSET 7")).await;
        assert_eq!(found.lines().count(), 5 + 4, "{found}");
        let (_, found) =
            run(&context, &format!("SELECT ts FROM {FLOWS} WHERE standing_usd > 0 AND side = 'long' LIMIT 3")).await;
        assert_eq!(found.lines().count(), 3 + 4, "{found}");
    }
}

#[tokio::test]
async fn limited_rows_are_the_first_ones() {
    let root = root(SYMBOLS);
    let context = session(root.path(), 2).await;
    let of_one = format!("SELECT * FROM {FLOWS} WHERE symbol = 'BTCUSDT'");
    let all = run(&context, &of_one).await.1;
    for limit in [1, 3, 1000] {
        let limited = run(&context, &format!("{of_one} LIMIT {limit}")).await.1;
        let rows = |table: &str| -> Vec<String> {
            let cells = table.lines().skip(3).take(limit);
            cells.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(rows(&limited), rows(&all));
    }
    let (plan, none) = run(&context, &format!("{of_one} LIMIT 0")).await;
    assert_eq!((read(&plan), none.lines().count()), ((0, 0), 2));
}

#[tokio::test]
async fn counting_decodes_no_column() {
    let root = root(MINUTES);
    let context = session(root.path(), 2).await;
    let (plan, found) = run(&context, "SELECT count(*) AS n FROM candles").await;
    assert!(found.contains("288000"), "{found}");
    let footers = 64 * 1024 * files(&root.path().join("candles")).len();
    assert!(read(&plan).0 < footers, "{} bytes\n{}", read(&plan).0, text(&plan));
    let (plan, found) = run(&context, &format!("SELECT count(*) AS n FROM {FLOWS}")).await;
    assert!(found.contains("576000"), "{found}");
    assert!(text(&plan).contains("projection=[]"), "{}", text(&plan));
}

/// All but the files that tell the columns are unreadable, and planning does not notice.
#[tokio::test]
async fn planning_reads_no_file() {
    let root = root(WideMarket { days: 2, ..SYMBOLS });
    let every = files(root.path());
    let told = |file: &Path| ["BTCUSDT", "SIM006USDT"].iter().any(|symbol| file.to_string_lossy().contains(symbol));
    for file in every.iter().filter(|file| !told(file)) {
        fs::write(file, "no Parquet at all").unwrap();
    }
    let context = session(root.path(), 2).await;
    let text = text(&plan(&context, &format!("SELECT * FROM {FLOWS}")).await);
    assert!(text.contains("SIM004USDT"), "{text}");
    let error = context.sql(&format!("SELECT * FROM {FLOWS}")).await.unwrap().collect().await.unwrap_err();
    assert!(error.strip_backtrace().contains("Parquet"), "{error}");
}

/// The same rows, whoever works beside: one thread or several, one partition or more.
#[test]
fn reading_ahead_changes_no_row() {
    let root = root(SYMBOLS);
    let sql = format!("SELECT * FROM {FLOWS} WHERE symbol = 'ETHUSDT' ORDER BY ts, side");
    let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut answers = Vec::new();
    for partitions in [1, 2, 3] {
        let several = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for runtime in [one_thread(), several] {
            answers.push(runtime.block_on(async { run(&session(root.path(), partitions).await, &sql).await.1 }));
        }
    }
    assert!(answers[0].lines().count() > 2 * 20 * 288);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

/// What was read ahead is given back with the stream, and does not come before its memory is there.
#[tokio::test]
async fn what_is_read_ahead_is_accounted_for() -> Result<()> {
    let root = root(MINUTES);
    let limited = |bytes: usize| {
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)));
        let config = liqsql::session_config().with_target_partitions(4);
        SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap())
    };
    let sql = format!("SELECT ts, standing_usd FROM {FLOWS} WHERE symbol = 'BTCUSDT'");
    for (bytes, enough) in [(64 << 20, true), (64 << 10, false)] {
        let context = limited(bytes);
        liqsql::register_all(&context)?;
        liqsql::sql::root::register(&context, root.path().to_str().unwrap()).await?;
        let plan = plan(&context, &sql).await;
        let mut stream = execute_stream(plan, context.task_ctx())?;
        match (enough, stream.next().await) {
            (true, Some(Ok(batch))) => assert!(batch.num_rows() > 0),
            (false, Some(Err(error))) => assert!(error.strip_backtrace().contains("Resources exhausted"), "{error}"),
            (_, other) => panic!("{bytes} bytes gave {other:?}"),
        }
        drop(stream);
        let pool = Arc::clone(&context.runtime_env().memory_pool);
        for _ in 0..1000 {
            if pool.reserved() == 0 {
                break;
            }
            // A task ends when it next yields.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(pool.reserved(), 0, "{bytes}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_row_read_ahead_is_an_error() {
    let root = root(SYMBOLS);
    let context = session(root.path(), 4).await;
    let bad = "(SELECT ts, exchange, symbol, open, high, low, CASE WHEN ts = TIMESTAMP '2026-01-09' THEN -1 ELSE close \
               END AS close, volume FROM candles)";
    let sql = format!("SELECT count(*) FROM liq_flows(liq_bars({bad})) WHERE symbol = 'BTCUSDT'");
    let error = context.sql(&sql).await.unwrap().collect().await.unwrap_err().strip_backtrace();
    assert!(error.contains("BTCUSDT") && error.contains("2026-01-09"), "{error}");
}

/// Bars of any length show the same market.
#[tokio::test]
async fn longer_bars_of_a_wide_market_are_made_of_shorter_ones() {
    let minutes = root(WideMarket { days: 3, ..MINUTES });
    let hours = root(WideMarket { days: 3, interval_ms: 3_600_000, ..MINUTES });
    let columns = "ts, symbol, open, high, low, close, round(volume, 3) AS v, round(taker_buy_volume, 3) AS t";
    let resampled = format!("SELECT {columns} FROM to_candles(candles, INTERVAL '1 hour') ORDER BY symbol, ts");
    let resampled = run(&session(minutes.path(), 2).await, &resampled).await.1;
    let written = format!("SELECT {columns} FROM candles ORDER BY symbol, ts");
    assert_eq!(run(&session(hours.path(), 2).await, &written).await.1, resampled);
    let (minutes, hours) = (files(&minutes.path().join("open_interest")), files(&hours.path().join("open_interest")));
    for (one, other) in minutes.iter().zip(&hours) {
        assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
    }
}

#[test]
fn a_wide_market_is_the_same_at_any_time_and_on_any_number_of_threads() {
    let market = WideMarket { seed: 3, symbols: 3, days: 400, interval_ms: 3_600_000 };
    let roots = [1, 3].map(|threads| {
        let root = tempfile::tempdir().unwrap();
        (market.write(root.path(), threads).unwrap(), root)
    });
    let [(written, one), (again, other)] = roots;
    assert_eq!(written, again);
    let rows: Vec<(&str, usize, usize)> = written.iter().map(|table| (table.table, table.rows, table.files)).collect();
    assert_eq!(rows, [("candles", 3 * 400 * 24, 6), ("open_interest", 3 * 400 * 288, 6), ("funding", 3 * 400 * 3, 6)]);
    let (one_files, other_files) = (files(one.path()), files(other.path()));
    assert_eq!(one_files.len(), 18);
    for (file, again) in one_files.iter().zip(&other_files) {
        assert_eq!(file.strip_prefix(one.path()).unwrap(), again.strip_prefix(other.path()).unwrap());
        assert_eq!(fs::read(file).unwrap(), fs::read(again).unwrap());
    }
    let more = tempfile::tempdir().unwrap();
    WideMarket { symbols: 4, ..market }.write(more.path(), 2).unwrap();
    let added = files(&more.path().join("candles"));
    assert_eq!(fs::read(&added[0]).unwrap(), fs::read(&one_files[0]).unwrap(), "a further symbol changes no other");
}

#[test]
fn what_a_wide_market_cannot_be_is_said() {
    let market = WideMarket { seed: 1, symbols: 1, days: 1, interval_ms: 60_000 };
    for (market, said) in [
        (WideMarket { symbols: 0, ..market }, "'symbols' must be 1 to 999, was 0"),
        (WideMarket { days: 40_000, ..market }, "'days' must be 1 to 36525, was 40000"),
        (
            WideMarket { interval_ms: 420_000, ..market },
            "whole minutes that fill a day, such as 1m, 5m or 1h, was 420000",
        ),
        (WideMarket { interval_ms: -60_000, ..market }, "was -60000 ms"),
        (WideMarket { interval_ms: 1_000, ..market }, "was 1000 ms"),
    ] {
        let error = market.write(Path::new("nowhere/at/all"), 1).unwrap_err().to_string();
        assert!(error.contains(said), "{said} is not in {error}");
    }
}

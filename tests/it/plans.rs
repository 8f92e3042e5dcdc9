//! What the engine plans: over a data root with 1, 2 and 100 keys nothing is sorted, predicates reach the files, and
//! EXPLAIN shows every parameter.
//!
//! Plans are searched, not compared whole, so that a new version of the engine may print them differently.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use datafusion::prelude::SessionContext;
use liqsql::ingest::parquet::write_root;
use liqsql::market::table;

const BAR: i64 = 300_000;
const START: i64 = 1_767_225_600_000;

fn column(name: &str, ts: &[i64], value: impl Fn(i64) -> f64) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(ts.iter().map(|ts| Some(value(*ts))).collect::<Float64Array>()))
}

/// Writes candles and open interest of some keys, 60 bars each, into a data root.
fn write_keys(root: &Path, keys: &[(String, String)]) {
    let ts: Vec<i64> = (0..60).map(|bar| START + bar * BAR).collect();
    for (exchange, symbol) in keys {
        let shared = |ts: &[i64]| -> Vec<(String, ArrayRef)> {
            vec![
                ("ts".to_owned(), Arc::new(TimestampMillisecondArray::from(ts.to_vec()).with_timezone("UTC"))),
                ("exchange".to_owned(), Arc::new(StringArray::from(vec![exchange.as_str(); ts.len()]))),
                ("symbol".to_owned(), Arc::new(StringArray::from(vec![symbol.as_str(); ts.len()]))),
            ]
        };
        let wave = |ts: i64| 100.0 + ((ts / BAR) as f64 * 0.7).sin();
        let mut candles = shared(&ts);
        candles.extend([
            column("open", &ts, wave),
            column("high", &ts, |ts| wave(ts) + 0.5),
            column("low", &ts, |ts| wave(ts) - 0.5),
            column("close", &ts, wave),
            column("volume", &ts, |_| 10.0),
        ]);
        let mut open_interest = shared(&ts);
        open_interest.push(column("open_interest", &ts, |_| 1000.0));
        let mut funding = shared(&ts[..1]);
        funding.extend([column("funding_rate", &ts[..1], |_| 0.0002), column("interval_hours", &ts[..1], |_| 8.0)]);
        for (name, columns) in [("candles", candles), ("open_interest", open_interest), ("funding", funding)] {
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            write_root(root, table(name).unwrap(), &batch).unwrap();
        }
    }
}

fn keys(count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (["binance", "bybit"][i % 2].to_owned(), format!("COIN{:02}USDT", i / 2))).collect()
}

async fn session(root: &Path) -> SessionContext {
    let context = SessionContext::new_with_config(liqsql::session_config().with_target_partitions(2));
    liqsql::register_all(&context).unwrap();
    liqsql::sql::root::register(&context, root.to_str().unwrap()).await.unwrap();
    context
}

async fn text(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

const HEATMAP: &str = "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), price_step => 0.1)";

#[tokio::test]
async fn nothing_is_sorted_over_1_2_and_100_keys() {
    for count in [1, 2, 100] {
        let root = tempfile::tempdir().unwrap();
        write_keys(root.path(), &keys(count));
        let context = session(root.path()).await;
        let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {HEATMAP}")).await;
        assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{count} keys:\n{plan}");
        let groups = if count == 1 { "{1 group" } else { "{2 groups" };
        assert!(plan.contains(groups), "{count} keys:\n{plan}");
        let found =
            text(&context, &format!("SELECT count(DISTINCT (exchange, symbol)) AS keys FROM ({HEATMAP})")).await;
        assert!(found.contains(&format!("| {count} ")), "{found}");
    }
}

#[tokio::test]
async fn neither_windows_nor_stop_runs_sort() {
    for count in [1, 2, 100] {
        let root = tempfile::tempdir().unwrap();
        write_keys(root.path(), &keys(count));
        let context = session(root.path()).await;
        for sql in [
            "SELECT * FROM stop_runs(candles)",
            "SELECT * FROM stop_runs(candles, INTERVAL '15 minutes')",
            "SELECT ts, exchange, symbol, ema(close, 5) OVER series, rsi(close, 5) OVER series, \
             atr(high, low, close, 5) OVER series FROM candles \
             WINDOW series AS (PARTITION BY exchange, symbol ORDER BY ts)",
        ] {
            let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
            assert!(!plan.contains("SortExec"), "{count} keys:\n{plan}");
            let streams = plan.contains("BoundedWindowAggExec")
                || (plan.contains("StopRunsExec") && !plan.contains("RepartitionExec"));
            assert!(streams, "{count} keys:\n{plan}");
        }
    }
}

#[tokio::test]
async fn stop_runs_read_what_the_last_wanted_one_needs() {
    let root = tempfile::tempdir().unwrap();
    write_keys(root.path(), &keys(2));
    let context = session(root.path()).await;
    let sql = "SELECT * FROM stop_runs(candles, INTERVAL '5 minutes', horizon => INTERVAL '20 minutes') \
               WHERE symbol = 'COIN00USDT' AND ts BETWEEN '2026-01-01 02:00:00' AND '2026-01-01 03:00:00'";
    let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
    for wanted in [
        "interval=5m, window=1d, volume_z=3, displacement_z=3, horizon=20m, on_bad_rows=error",
        "pushed=[symbol = COIN00USDT]",
        // A run of 20 minutes and twice the horizon: 04:00, and the bar that opens then.
        "ToCandlesExec: interval=5m, on_bad_rows=error, ts <= 2026-01-01T04:00:00Z",
        "predicate=ts@0 <= 1767240300000",
    ] {
        assert!(plan.contains(wanted), "{wanted} is not in\n{plan}");
    }
    assert!(!plan.contains("predicate=ts@0 >="), "{plan}");
    let analyzed = text(&context, "EXPLAIN ANALYZE SELECT * FROM stop_runs(candles)").await;
    for counter in ["bars=120", "bad_rows=0", "bursts=0", "runs=0", "unscored=120"] {
        assert!(analyzed.contains(counter), "{counter} is not in\n{analyzed}");
    }
}

#[tokio::test]
async fn one_key_comes_out_in_order_of_time() {
    let root = tempfile::tempdir().unwrap();
    write_keys(root.path(), &keys(4));
    let context = session(root.path()).await;
    let sql = format!(
        "EXPLAIN FORMAT INDENT SELECT ts, price_low, notional_usd FROM ({HEATMAP}) \
                       WHERE exchange = 'bybit' AND symbol = 'COIN01USDT' ORDER BY ts"
    );
    let plan = text(&context, &sql).await;
    assert!(!plan.contains("SortExec"), "{plan}");
    assert!(plan.contains("exchange=bybit/symbol=COIN01USDT") && !plan.contains("COIN00USDT"), "{plan}");
}

/// Functions that read a heatmap take it in the order in which it comes, and so do those that read bars beside it.
#[tokio::test]
async fn pools_of_a_heatmap_need_no_sort() {
    let pools = format!("SELECT ts, pool_id, rank FROM liq_pools(({HEATMAP}), bars => candles)");
    for count in [1, 2, 100] {
        let root = tempfile::tempdir().unwrap();
        write_keys(root.path(), &keys(count));
        let context = session(root.path()).await;
        for sql in [&pools, &format!("{pools} WHERE exchange = 'binance' AND symbol = 'COIN00USDT' ORDER BY ts")] {
            let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
            assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{count} keys:\n{plan}");
        }
        let found =
            text(&context, &format!("SELECT count(DISTINCT (exchange, symbol)) AS keys FROM liq_pools(({HEATMAP}))"))
                .await;
        assert!(found.contains(&format!("| {count} ")), "{found}");
    }
}

/// The longest chain of functions, over a data root of any number of keys.
#[tokio::test]
async fn functions_that_read_each_other_need_no_sort() {
    let chain = format!(
        "funding_confirmations(liq_pools(liq_smooth(({HEATMAP}), model => 'zones')), funding, bars => candles)"
    );
    for count in [1, 2, 100] {
        let root = tempfile::tempdir().unwrap();
        write_keys(root.path(), &keys(count));
        let context = session(root.path()).await;
        for sql in [
            format!("SELECT * FROM {chain}"),
            format!("SELECT * FROM liq_cascade(({HEATMAP}), 1000)"),
            format!("SELECT * FROM stop_zones(({HEATMAP}), 'long', 100)"),
        ] {
            let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
            assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{count} keys:\n{plan}");
        }
        let states = format!("SELECT count(DISTINCT (exchange, symbol)) AS keys, max(funding_state) FROM {chain}");
        let found = text(&context, &states).await;
        assert!(found.contains(&format!("| {count} ")) && found.contains("overbought"), "{found}");
    }
}

#[tokio::test]
async fn predicates_reach_the_files() {
    let root = tempfile::tempdir().unwrap();
    write_keys(root.path(), &keys(100));
    let context = session(root.path()).await;
    let sql = "EXPLAIN FORMAT INDENT SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), \
                       interval => INTERVAL '5 minutes') WHERE symbol = 'COIN07USDT' \
                       AND ts >= TIMESTAMP '2026-01-01 02:00:00' AND ts <= TIMESTAMP '2026-01-01 03:00:00'";
    let plan = text(&context, sql).await;
    for wanted in [
        "pushed=[symbol = COIN07USDT]",
        "ts >= 2026-01-01T02:00:00Z",
        "ts <= 2026-01-01T03:00:00Z",
        "symbol=COIN07USDT/year=2026",
        // What was opened before still stands: 180 days of warm-up before the lower bound. Seven days more on either side:
        // among the bars from which liq_bars infers their length.
        "warmup=180d",
        "reads ts >= 2025-07-05T02:00:00Z",
        "predicate=ts@0 >= 1751076000000 AND ts@0 <= 1767841200000",
    ] {
        assert!(plan.contains(wanted), "{wanted} is not in\n{plan}");
    }
    assert!(!plan.contains("COIN08USDT"), "{plan}");
}

#[tokio::test]
async fn every_parameter_is_shown() {
    let root = tempfile::tempdir().unwrap();
    write_keys(root.path(), &keys(1));
    let context = session(root.path()).await;
    let plan = text(&context, &format!("EXPLAIN FORMAT INDENT {HEATMAP}")).await;
    for wanted in [
        "step=1h or the bar",
        "price_step=0.1",
        "max_distance=0.5",
        "by_leverage=false",
        "preset=default",
        "mix=[2x 0.145, 3x 0.213, 5x 0.294, 10x 0.176, 20x 0.068, 25x 0.050, 50x 0.022, 75x 0.014, 100x 0.003, 125x 0.014]",
        "maintenance_margin_rate=0.004",
        "jitter=0.6",
        "churn=0.05",
        "opening=turnover",
        "closing=hazard",
        "entry=uniform",
        "scale=book",
        "interval=inferred",
        "on_bad_rows=error",
        "tolerance=15m",
    ] {
        assert!(plan.contains(wanted), "{wanted} is not in\n{plan}");
    }
    let analyzed = text(&context, &format!("EXPLAIN ANALYZE {HEATMAP}")).await;
    for counter in ["bars=", "frames=", "cells=", "cohorts=", "swept=", "beyond_price=", "warming_up_frames="] {
        assert!(analyzed.contains(counter), "{counter} is not in\n{analyzed}");
    }
}

#[tokio::test]
async fn cascades_and_stop_zones_are_read_without_a_sort() {
    for count in [1, 2, 100] {
        let root = tempfile::tempdir().unwrap();
        write_keys(root.path(), &keys(count));
        let context = session(root.path()).await;
        for call in [
            format!("liq_cascade(({HEATMAP}), 1e5, shock => [-0.01, 0.02])"),
            format!("stop_zones(({HEATMAP}), 'long', 100)"),
        ] {
            let plan = text(&context, &format!("EXPLAIN FORMAT INDENT SELECT * FROM {call}")).await;
            assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{count} keys:\n{plan}");
            let found = text(&context, &format!("SELECT count(DISTINCT (exchange, symbol)) AS keys FROM {call}")).await;
            assert!(found.contains(&format!("| {count} ")), "{found}");
        }
    }
    let root = tempfile::tempdir().unwrap();
    write_keys(root.path(), &keys(1));
    let context = session(root.path()).await;
    for (call, counters) in [
        ("liq_cascade(({HEATMAP}), 1e5)", ["frames=", "chains=", "steps=", "bad_rows="]),
        ("stop_zones(({HEATMAP}), 'long', 100)", ["frames=", "bands=", "crowded=", "passed="]),
    ] {
        let call = call.replace("{HEATMAP}", HEATMAP);
        let analyzed = text(&context, &format!("EXPLAIN ANALYZE SELECT * FROM {call}")).await;
        for counter in counters {
            assert!(analyzed.contains(counter), "{counter} is not in\n{analyzed}");
        }
    }
}

#[tokio::test]
async fn a_root_without_market_tables_says_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let context = SessionContext::new();
    let error = liqsql::sql::root::register(&context, root.path().to_str().unwrap()).await.unwrap_err();
    assert!(
        error.strip_backtrace().contains("holds no market table; looked for a folder or a .parquet file named candles")
    );
    let error = liqsql::sql::root::register(&context, "no/such/folder").await.unwrap_err();
    assert!(error.strip_backtrace().contains("'no/such/folder' must be a folder, there is none of that name"));
}

//! Defects that were found and fixed, each named for what it was.

use std::path::Path;

use arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use liqsql::ingest::parquet::write_root;
use liqsql::market::table;

use crate::slt::{message, query, with_large_stack};

async fn session(partitions: usize) -> SessionContext {
    let context = SessionContext::new_with_config(liqsql::session_config().with_target_partitions(partitions));
    liqsql::register_all(&context).unwrap();
    liqsql::sql::sample::register(&context).await.unwrap();
    context
}

/// Hourly candles and the open interest of the sample, as a data root.
async fn hourly_root(root: &Path) -> SessionContext {
    let sample = session(1).await;
    for (name, sql) in [
        ("candles", "SELECT * FROM to_candles(candles, INTERVAL '1 hour')"),
        ("open_interest", "SELECT * FROM open_interest"),
    ] {
        let batches = sample.sql(sql).await.unwrap().collect().await.unwrap();
        let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
        write_root(root, table(name).unwrap(), &batch).unwrap();
    }
    let context = SessionContext::new_with_config(liqsql::session_config().with_target_partitions(1));
    liqsql::register_all(&context).unwrap();
    liqsql::sql::root::register(&context, root.to_str().unwrap()).await.unwrap();
    context
}

#[test]
fn the_length_of_a_bar_is_inferred_for_every_key_of_a_root() {
    with_large_stack(|| async {
        let root = tempfile::tempdir().unwrap();
        let context = hourly_root(root.path()).await;
        let changes = |interval: &str| {
            format!(
                "SELECT exchange, symbol, sum(abs(open_interest_close - open_interest)) FROM \
                 liq_bars(candles, open_interest => open_interest{interval}) GROUP BY 1, 2 ORDER BY 1, 2"
            )
        };
        let inferred = query(&context, &changes("")).await;
        assert_eq!(inferred.len(), 4);
        assert_eq!(inferred, query(&context, &changes(", interval => INTERVAL '1 hour'")).await);
    });
}

#[test]
fn the_last_row_of_a_key_comes_before_the_next_key() {
    with_large_stack(|| async {
        let root = tempfile::tempdir().unwrap();
        let context = hourly_root(root.path()).await;
        // Without a later open interest the last bar of each key is completed only at its end.
        let sql = "SELECT exchange, symbol, ts, side FROM liq_flows(liq_bars(candles, open_interest => \
                   (SELECT * FROM open_interest WHERE ts < TIMESTAMP '2026-03-16')), \
                   interval => INTERVAL '1 hour') ORDER BY exchange, symbol, ts";
        let rows = query(&context, sql).await;
        assert!(rows.len() > 10_000 && rows.is_sorted_by(|a, b| a[..3] <= b[..3]));
    });
}

#[test]
fn rows_that_lie_by_a_part_of_the_key_still_meet() {
    with_large_stack(|| async {
        let sql = "SELECT exchange, symbol, count(*), count(open_interest) FROM asof_join(to_candles((SELECT * FROM \
                   (SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY ts, exchange) AS n FROM candles) \
                   WHERE n > 0), INTERVAL '1 hour'), open_interest) GROUP BY 1, 2 ORDER BY 1, 2";
        for partitions in [1, 4, 8] {
            let rows = query(&session(partitions).await, sql).await;
            assert!(rows.len() == 4 && rows.iter().all(|row| row[2] == "1800" && row[3] == "1800"), "{rows:?}");
        }
    });
}

#[test]
fn overlapping_bars_do_not_make_a_frame_twice() {
    with_large_stack(|| async {
        let context = session(1).await;
        let bars = "(SELECT to_timestamp_seconds(s) AS ts, 'a' AS exchange, 'b' AS symbol, 100.0 AS open, 101.0 AS high, \
                    99.0 AS low, 100.0 AS close, 10.0 AS volume FROM (VALUES (3000), (3300), (3450), (3600), (3900)) AS t(s))";
        let sql = format!(
            "SELECT ts, count(*), count(DISTINCT (side, price_low)) FROM \
             liq_heatmap({bars}, step => INTERVAL '5 minutes', interval => INTERVAL '5 minutes') GROUP BY ts ORDER BY ts"
        );
        let rows = query(&context, &sql).await;
        assert!(rows.len() >= 3 && rows.iter().all(|row| row[1] == row[2]), "{rows:?}");
    });
}

#[test]
fn a_tolerance_finer_than_the_times_is_not_widened() {
    with_large_stack(|| async {
        let context = session(1).await;
        let at = |second: i32| format!("arrow_cast({second}, 'Timestamp(Second, None)') AS ts, 1 AS k");
        let sql = format!(
            "SELECT v FROM asof_join((SELECT {}), (SELECT {}, 7 AS v), by => ['k'], \
             tolerance => INTERVAL '500 milliseconds')",
            at(10),
            at(9)
        );
        assert_eq!(query(&context, &sql).await, [["NULL"]]);
    });
}

#[test]
fn a_predicate_on_a_key_of_another_type_stays_on_the_left() {
    with_large_stack(|| async {
        let context = session(1).await;
        let sql = "SELECT v FROM asof_join((SELECT TIMESTAMP '2026-01-01' AS ts, 3 AS k), \
                   (SELECT TIMESTAMP '2026-01-01' AS ts, 3.0 AS k, 5 AS v), by => ['k']) WHERE k / 2 = 1";
        assert_eq!(query(&context, sql).await, [["5"]]);
    });
}

#[test]
fn instants_at_the_limits_are_defects_of_the_row() {
    with_large_stack(|| async {
        let context = session(1).await;
        for limit in [i64::MIN + 1, i64::MAX] {
            for function in ["liq_bars", "liq_map", "liq_heatmap", "liq_flows", "liq_levels"] {
                let sql = format!(
                    "SELECT * FROM {function}((SELECT arrow_cast(v, 'Timestamp(Millisecond, Some(\"UTC\"))') AS ts, \
                     'a' AS exchange, 'b' AS symbol, 1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close, 1.0 AS volume \
                     FROM (VALUES (0), ({limit})) AS t(v)))"
                );
                let error = context.sql(&sql).await.unwrap().collect().await.unwrap_err();
                assert!(message(&error).contains("'ts' must be within 200,000 years of 1970"), "{function}: {error}");
            }
        }
    });
}

#[test]
fn a_column_that_one_key_lacks_is_there_for_the_others() {
    with_large_stack(|| async {
        let root = tempfile::tempdir().unwrap();
        let sample = session(1).await;
        for (exchange, columns) in [("binance", "*"), ("bybit", "ts, exchange, symbol, open, high, low, close, volume")]
        {
            let sql = format!("SELECT {columns} FROM candles WHERE exchange = '{exchange}' AND symbol = 'BTCUSDT'");
            let batches = sample.sql(&sql).await.unwrap().collect().await.unwrap();
            let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
            write_root(root.path(), table("candles").unwrap(), &batch).unwrap();
        }
        let context = SessionContext::new_with_config(liqsql::session_config());
        liqsql::sql::root::register(&context, root.path().to_str().unwrap()).await.unwrap();
        let sql = "SELECT exchange, count(*), count(taker_buy_volume) FROM candles GROUP BY 1 ORDER BY 1";
        assert_eq!(query(&context, sql).await, [["binance", "21600", "21600"], ["bybit", "21600", "0"]]);
    });
}

#[test]
fn calls_with_different_arguments_are_different() {
    with_large_stack(|| async {
        let context = session(1).await;
        // Scalar subqueries that look alike to the optimiser are computed once: these differ in an argument or an input.
        let count = |symbol: &str, interval: &str| {
            let candles = format!("(SELECT * FROM candles WHERE symbol = '{symbol}')");
            format!("SELECT count(*) FROM to_candles({candles}, INTERVAL '{interval}')")
        };
        let counts = [count("BTCUSDT", "1 hour"), count("BTCUSDT", "1 day"), count("none", "1 hour")];
        let mut expected = Vec::new();
        for count in &counts {
            expected.push(query(&context, count).await[0][0].clone());
        }
        // Rows that a plan does not display tell them apart too.
        let sum = |last: u32| {
            let rows = format!("(VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, {last})) AS v (i, volume)");
            let candle = "to_timestamp_seconds(1767225600 + 60 * i) AS ts, 'a' AS exchange, 'B' AS symbol, 1 AS open, \
                          1 AS high, 1 AS low, 1 AS close";
            format!("SELECT sum(volume) FROM to_candles((SELECT {candle}, volume FROM {rows}), INTERVAL '1 day')")
        };
        let found = query(&context, &format!("SELECT ({}) AS one, ({}) AS two", sum(1), sum(500))).await;
        assert_eq!(found, [["7.0", "506.0"]]);
        let [hours, days, none] = counts;
        let together = format!("SELECT ({hours}) AS hours, ({days}) AS days, ({none}) AS none");
        assert_eq!(query(&context, &together).await, vec![expected]);
    });
}

#[test]
fn a_mistyped_function_is_named_and_not_the_one_in_its_arguments() {
    with_large_stack(|| async {
        let context = session(1).await;
        for (sql, said) in [
            ("liq_smoth(liq_heatmap(candles))", "table function 'liq_smoth' not found, did you mean 'liq_smooth'?"),
            ("liq_mpa(candles)", "table function 'liq_mpa' not found, did you mean 'liq_map'?"),
        ] {
            let error = context.sql(&format!("SELECT * FROM {sql}")).await.unwrap_err();
            assert_eq!(message(&error), said);
        }
        // The engine's own functions stay its own.
        assert_eq!(query(&context, "SELECT count(*) FROM generate_series(1, 3)").await, [["3"]]);
    });
}

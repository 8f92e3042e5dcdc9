//! `liqsql ingest`: exchanges' own files to a data root that the same program then reads.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn liqsql(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liqsql"))
        .env_remove("LIQSQL_DATA")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = liqsql(folder, arguments);
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{arguments:?}");
    text(&output.stdout)
}

fn refused(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = liqsql(folder, arguments);
    (output.status.code(), text(&output.stderr).lines().next().unwrap_or_default().to_owned())
}

/// An hour of minutes from 2026-01-01 on, without a header, as older files of the archive are.
fn klines() -> String {
    (0..60)
        .map(|minute| {
            let (open, close) = (100.0 + f64::from(minute), 101.0 + f64::from(minute));
            let ts = 1_767_225_600_000_i64 + i64::from(minute) * 60_000;
            format!("{ts},{open},{},{},{close},5,{},500,9,2,200,0\n", close + 1.0, open - 1.0, ts + 59_999)
        })
        .collect()
}

#[test]
fn files_of_the_archive_become_a_root_that_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("BTCUSDT-1m-2026-01-01.csv"), klines()).expect("a file");
    let metrics = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,\
        sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n\
        2026-01-01 00:00:00,BTCUSDT,1000,100000,1,1,1,1\n2026-01-01 00:05:00,BTCUSDT,1100,110000,1,1,1,1\n";
    fs::write(at.join("BTCUSDT-metrics-2026-01-01.csv"), metrics).expect("a file");
    let summary = printed(at, &["ingest", "binance", "klines", "BTCUSDT-1m-*.csv", "--to", "root"]);
    assert!(summary.contains("| binance  | BTCUSDT | 60      | 0          |"), "{summary}");
    assert_eq!(
        printed(at, &["--quiet", "ingest", "binance", "metrics", "BTCUSDT-metrics-2026-01-01.csv", "--to", "root"]),
        ""
    );
    let sql = "SELECT count(*) AS bars, max(high) AS high, sum(taker_buy_volume) AS taken, max(open_interest) AS held \
               FROM liq_bars(candles, open_interest => open_interest)";
    let answer = printed(at, &["--data", "root", "--format", "csv", "-c", sql]);
    assert_eq!(answer, "bars,high,taken,held\n60,161.0,120.0,1100.0\n");
    // Nothing is sorted, as the root declares its order.
    let plan = printed(at, &["--data", "root", "-c", &format!("EXPLAIN {sql}")]);
    assert!(!plan.contains("SortExec"), "{plan}");
    // The same once more: nothing is written.
    let again = printed(at, &["ingest", "binance", "klines", "BTCUSDT-1m-2026-01-01.csv", "--to", "root"]);
    assert!(again.contains("| 60      | 60         | 0        | 60       | 0 "), "{again}");
}

#[test]
fn mistakes_are_told_before_anything_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("a.csv"), klines()).expect("a file");
    for (arguments, message) in [
        (&["ingest"][..], "say whose files and of which kind; --list shows what can be read"),
        (&["ingest", "nobody", "klines", "a.csv", "--to", "r"], "the exchange must be one of binance, bybit, okx"),
        (&["ingest", "binance", "bars", "a.csv", "--to", "r"], "of binance the kind must be one of klines, metrics"),
        (&["ingest", "binance", "klines", "a.csv"], "say the data root to write to with --to"),
        (&["ingest", "binance", "klines", "--to", "r"], "say which files"),
        (&["ingest", "binance", "klines", "b.csv", "--to", "r"], "'b.csv' is no file"),
        (&["ingest", "binance", "klines", "b*.csv", "--to", "r"], "no file is like 'b*.csv'"),
        (&["ingest", "binance", "klines", "a.csv", "--to", "s3://b/r"], "--to must be a folder, was 's3://b/r'"),
    ] {
        let (code, said) = refused(at, arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(said.starts_with(&format!("error: ingest: {message}")), "{said}");
        assert!(!at.join("r").exists());
    }
    let (code, said) = refused(at, &["ingest", "binance", "klines", "a.csv", "--to", "r"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("a.csv: the file's name does not begin with a symbol"), "{said}");
    let list = printed(at, &["ingest", "--list"]);
    for reader in liqsql::ingest::readers() {
        assert!(list.contains(reader.kind) && list.contains(reader.about), "{reader:?}");
    }
}

#[test]
fn bad_rows_are_named_or_counted_and_a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("BTCUSDT-1m-2026-01-01.csv"), klines().replacen(",105,", ",105x,", 1)).expect("a file");
    let arguments = ["ingest", "binance", "klines", "BTCUSDT-1m-2026-01-01.csv", "--to", "root"];
    let (code, said) = refused(at, &arguments);
    assert_eq!(code, Some(1));
    assert!(said.contains("BTCUSDT-1m-2026-01-01.csv:") && said.contains("must be a number, was '105x'"), "{said}");
    let dry = liqsql(at, &[&arguments[..], &["--on-bad-rows", "skip", "--dry-run"]].concat());
    let said = text(&dry.stderr);
    assert!(said.contains("1 bad rows were left out") || said.contains("2 bad rows were left out"), "{said}");
    assert!(said.contains("nothing was written"), "{said}");
    let left = |folder: &Path| fs::read_dir(folder).map(Iterator::count).unwrap_or_default();
    assert_eq!(left(&at.join("root")), 0);
}

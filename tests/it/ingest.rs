//! `liqsql ingest`: exchanges' own files to a data root that the same program then reads.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::s3_server::{Fault, Kind, S3Server, outcome};

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
        (
            &["ingest", "binance", "klines", "a.csv", "--to", "ftp://b/r"],
            "--to must be a folder or s3://bucket/folder, was 'ftp://b/r'",
        ),
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

#[test]
fn a_root_in_a_bucket_is_written_like_one_on_disk() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (early, late): (Vec<_>, Vec<_>) = klines().lines().map(str::to_owned).enumerate().partition(|(i, _)| *i < 40);
    let joined = |lines: Vec<(usize, String)>| lines.into_iter().map(|(_, line)| line + "\n").collect::<String>();
    fs::write(at.join("BTCUSDT-1m-a.csv"), joined(early)).expect("a file");
    fs::write(at.join("BTCUSDT-1m-b.csv"), joined(late)).expect("a file");
    let on_disk = at.join("root").display().to_string();
    let mut summaries = Vec::new();
    for root in [on_disk.as_str(), "s3://market/folder/root"] {
        for file in ["BTCUSDT-1m-a.csv", "BTCUSDT-1m-b.csv", "BTCUSDT-1m-b.csv"] {
            let mut command = server.liqsql();
            command.current_dir(at).args(["ingest", "binance", "klines", file, "--to", root]);
            let (code, stdout, stderr) = outcome(&mut command);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{root} {file}");
            summaries.push(stdout);
        }
    }
    assert_eq!(summaries[..3], summaries[3..]);
    let path = "candles/exchange=binance/symbol=BTCUSDT/year=2026/part.parquet";
    let uploaded = fs::read(server.bucket().join("folder/root").join(path)).expect("the object");
    assert_eq!(uploaded, fs::read(at.join("root").join(path)).expect("the file"));
    // Half of an upload is not seen, and the error says what the store said.
    server.fail(Kind::Put, "part.parquet", Fault::Answer(403, "AccessDenied"), 9);
    let mut command = server.liqsql();
    fs::write(at.join("ETHUSDT-1m-a.csv"), klines()).expect("a file");
    command.current_dir(at).args([
        "ingest",
        "binance",
        "klines",
        "ETHUSDT-1m-a.csv",
        "--to",
        "s3://market/folder/root",
    ]);
    let (code, _, stderr) = outcome(&mut command);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: ingest: s3://market/folder/root/candles/exchange=binance/symbol=ETHUSDT/year=2026/part.parquet cannot be written"), "{stderr}");
    assert!(!server.bucket().join("folder/root/candles/exchange=binance/symbol=ETHUSDT").exists());
    // A place that is none is refused before anything is read.
    for (root, message) in [
        ("ftp://host/root", "--to must be a folder or s3://bucket/folder"),
        ("https://host/root", "--to must be a folder or s3://bucket/folder"),
        ("s3://market/*/root", "a root must be a folder or s3://bucket/folder"),
    ] {
        let mut command = server.liqsql();
        command.current_dir(at).args(["ingest", "binance", "klines", "ETHUSDT-1m-a.csv", "--to", root]);
        let (code, _, stderr) = outcome(&mut command);
        assert!(code != Some(0) && stderr.contains(message), "{root}: {stderr}");
    }
}

/// The files in `data/files` are the sample's candles in the shape of the public archive.
#[test]
fn the_files_in_the_shape_of_an_archive_are_the_sample() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for day in ["2026-01-01", "2026-01-02"] {
        let sql = format!(
            "SELECT CAST(to_unixtime(ts) * 1000 AS BIGINT) AS open_time, open, high, low, close, round(volume, 3) AS volume, \
             CAST(to_unixtime(ts) * 1000 + 3599999 AS BIGINT) AS close_time, round(volume * close, 2) AS quote_volume, 0 AS count, \
             round(taker_buy_volume, 3) AS taker_buy_volume, round(taker_buy_volume * close, 2) AS taker_buy_quote_volume, 0 AS ignore \
             FROM to_candles(candles, INTERVAL '1 hour') WHERE exchange = 'binance' AND symbol = 'BTCUSDT' \
             AND ts >= TIMESTAMP '{day}' AND ts < TIMESTAMP '{day}' + INTERVAL '1 day'"
        );
        let made = printed(root, &["--format", "csv", "-c", &sql]);
        let path = root.join(format!("data/files/BTCUSDT-1h-{day}.csv"));
        if std::env::var_os("LIQSQL_COMPLETE").is_some() {
            fs::write(&path, &made).expect("a file");
        }
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), made, "LIQSQL_COMPLETE=1 writes {}", path.display());
    }
}

/// What is written as a vendor's answer is read back as the same map.
#[test]
fn a_heatmap_as_coinglass_answers_it_is_the_same_heatmap() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rows = "liq_heatmap(liq_bars(candles, open_interest => open_interest), price_step => 500) WHERE exchange = 'binance' \
                AND symbol = 'BTCUSDT' AND ts BETWEEN TIMESTAMP '2026-02-01' AND TIMESTAMP '2026-02-01 06:00:00'";
    let candles = "SELECT * FROM candles WHERE exchange = 'binance' AND symbol = 'BTCUSDT' AND \
                   ts >= TIMESTAMP '2026-01-31 23:00:00' AND ts < TIMESTAMP '2026-02-01 06:00:00'";
    let heatmap = format!("SELECT * FROM {rows}; {candles}");
    assert_eq!(printed(at, &["--format", "coinglass", "--output", "answer.json", "-c", &heatmap]), "");
    let answer = fs::read_to_string(at.join("answer.json")).expect("the answer");
    assert!(answer.starts_with(r#"{"code":"0","msg":"success","data":{"y_axis":["#), "{}", &answer[..80]);
    let columns = "SELECT ts, price, side, price_low, price_high, round(notional_usd, 3) AS usd FROM";
    let order = "ORDER BY ts, price_low, side";
    let again = "read_market('coinglass', 'heatmap', 'answer.json', symbol => 'BTCUSDT', venue => 'binance')";
    // In the one cell that holds the price both sides may stand, which an answer cannot tell apart.
    let of = |from: &str| {
        let own = format!("{columns} (SELECT * FROM {from}) WHERE price <= price_low OR price >= price_high {order}");
        printed(at, &["--format", "csv", "-c", &own])
    };
    let (written, read) = (of(rows), of(again));
    assert!(written.lines().count() > 500, "{}", written.lines().count());
    assert!(written == read, "what is read back differs from what was written");
    // It is made of all results of a script: a result alone, or none that fits, is refused.
    let (code, said) = refused(at, &["--format", "coinglass", "-c", "SELECT 1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no result is a heatmap or a map"), "{said}");
}

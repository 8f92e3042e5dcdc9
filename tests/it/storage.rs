//! Files, folders and patterns, here, in a bucket and on the web: what is read, how much of it, and what is said when it
//! cannot be.
//!
//! The program runs against a server in this process; see [`crate::s3_server`].

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::s3_server::{ACCESS_KEY, Asked, Fault, Kind, S3Server, SECRET_KEY, outcome};

/// Far longer than any of these takes, and far shorter than a client without bounds waits.
const PROMPTLY: Duration = Duration::from_secs(20);

/// What a statement prints as CSV.
fn printed(mut command: Command, sql: &str) -> String {
    let (code, stdout, stderr) = outcome(command.args(["--quiet", "--format", "csv", "-c", sql]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{sql}");
    stdout
}

/// What is said about a statement that must fail, in one line.
fn refused(mut command: Command, sql: &str) -> String {
    let start = Instant::now();
    let (code, _, stderr) = outcome(command.args(["--quiet", "-c", sql]));
    assert_eq!(code, Some(1), "{sql}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{sql}: {stderr}");
    assert!(start.elapsed() < PROMPTLY, "{sql} took {:?}: {stderr}", start.elapsed());
    stderr
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// Three CSV files in folders that are columns.
fn write_keyed(folder: &Path) {
    write(&folder.join("symbol=BTC/year=2024/part.csv"), "a,b\n1,x\n");
    write(&folder.join("symbol=BTC/year=2025/part.csv"), "a,b\n2,x\n3,y\n");
    write(&folder.join("symbol=ETH/year=2025/part.csv"), "a,b\n4,z\n");
}

/// A root whose candles are these files, each with the one bar of 2026-01-01.
fn write_bars(server: &S3Server, root: &Path, files: &[&str]) {
    let bar = server.web().join("bar.parquet");
    if !bar.exists() {
        let sql = format!(
            "COPY (SELECT arrow_cast(TIMESTAMP '2026-01-01', 'Timestamp(Millisecond, Some(\"UTC\"))') AS ts, \
             1.5 AS close) TO '{}'",
            bar.display()
        );
        printed(server.liqsql_without_keys(), &sql);
    }
    for file in files {
        let file = root.join("candles").join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::copy(&bar, &file).expect("a file");
    }
}

/// The program on a root in the bucket: here, and through the server.
fn on_root(server: &S3Server, root: &str) -> [Command; 2] {
    [server.bucket().join(root).display().to_string(), format!("s3://market/{root}")].map(|root| {
        let mut command = server.liqsql();
        command.args(["--data", &root]);
        command
    })
}

/// A simulated market in the bucket; its path on disk.
fn simulated(server: &S3Server) -> String {
    let root = server.bucket().join("root").display().to_string();
    let (code, _, stderr) = outcome(
        server.liqsql_without_keys().args(["--quiet", "simulate", "--seed", "1", "--days", "3", "--to", &root]),
    );
    assert_eq!(code, Some(0), "{stderr}");
    root
}

fn count(asked: &[Asked], kind: Kind) -> usize {
    asked.iter().filter(|asked| asked.kind == kind).count()
}

/// Size of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("an entry") {
            entry_data if entry_data.is_dir() => size(&entry.path()),
            entry_data => entry_data.len(),
        })
        .sum()
}

#[test]
fn a_root_in_a_bucket_is_the_root_on_disk() {
    let server = S3Server::start();
    let on_disk = simulated(&server);
    for sql in [
        "SELECT * FROM candles ORDER BY exchange, symbol, ts",
        "SELECT * FROM liquidations ORDER BY 1, 2, 3, 4, 5, 6, 7",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
        "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest, funding => funding), \
         price_step => 500) WHERE symbol = 'BTCUSDT' ORDER BY ts, exchange, price, side",
    ] {
        let read = |root: &str| {
            let mut command = server.liqsql();
            command.args(["--data", root]);
            printed(command, sql)
        };
        let here = read(&on_disk);
        assert!(here.lines().count() > 3, "{sql}: {here}");
        assert!(read("s3://market/root") == here, "{sql}");
    }
}

/// One exchange, one symbol, one day out of many: nothing else is listed or read.
#[test]
fn a_root_is_read_where_the_predicates_point() {
    let server = S3Server::start();
    let on_disk = simulated(&server);
    let run = |sql: &str| {
        server.reset();
        let mut command = server.liqsql();
        command.args(["--data", "s3://market/root/"]);
        let rows = printed(command, sql);
        (rows, server.asked())
    };
    // What it costs to open the root, whatever is asked of it: 1 list of tables; for each of 7 tables, 1 list of
    // exchanges, 2 of symbols and 4 of files, and 4 footers. `leverage_tiers`, `daily_candles` have fewer.
    let (_, opening) = run("SELECT 1 AS one");
    assert!(count(&opening, Kind::List) <= 1 + 7 * 7, "{opening:?}");
    assert!(count(&opening, Kind::Get) <= 7 * 4, "{opening:?}");
    let wanted = "exchange=bybit/symbol=BTCUSDT/date=2026-01-01/";
    let (rows, asked) =
        run("SELECT count(*) AS n, sum(notional_usd) > 0 AS some FROM liquidations WHERE exchange = 'bybit' AND \
         symbol = 'BTCUSDT' AND ts < TIMESTAMP '2026-01-02'");
    assert!(rows.ends_with(",true\n"), "{rows}");
    let in_table = |asked: &&Asked| asked.key.contains("liquidations");
    // The opening reads the newest files, of the 3rd.
    let read: Vec<&Asked> = asked
        .iter()
        .filter(in_table)
        .filter(|asked| asked.kind == Kind::Get && !asked.key.contains("date=2026-01-03"))
        .collect();
    assert!(!read.is_empty() && read.iter().all(|asked| asked.key.contains(wanted)), "{read:?}");
    let (lists, before) = (count(&asked, Kind::List), count(&opening, Kind::List));
    // Exchanges, symbols of one, files of one key; and as many for the keys of the candles.
    assert!(lists <= before + 5, "{lists} lists, {before} of them for the opening");
    let listed_elsewhere =
        |asked: &Asked| asked.kind == Kind::List && asked.key.contains("liquidations/exchange=binance");
    let elsewhere = |asked: &[Asked]| asked.iter().filter(|asked| listed_elsewhere(asked)).count();
    assert_eq!(elsewhere(&asked), elsewhere(&opening));
    let bytes: usize = read.iter().map(|asked| asked.bytes).sum();
    let whole = size(&Path::new(&on_disk).join("liquidations"));
    assert!((bytes as u64) < whole / 4, "{bytes} of {whole} bytes");
}

/// A snapshot of one day holds bars of others.
#[test]
fn folders_above_a_root_say_nothing_of_its_files() {
    let server = S3Server::start();
    for root in ["snap/date=2020-01-01", "year=2020/exchange=other/symbol=OTHER/root"] {
        write_bars(&server, &server.bucket().join(root), &["exchange=x/symbol=YUSDT/part.parquet"]);
        for command in on_root(&server, root) {
            let sql = "SELECT exchange, symbol, close FROM candles WHERE ts >= TIMESTAMP '2026-01-01'";
            assert_eq!(printed(command, sql), "exchange,symbol,close\nx,YUSDT,1.5\n", "{root}");
        }
    }
}

/// With and without predicates on the key, the same files are the table's.
#[test]
fn a_root_has_one_layout() {
    let server = S3Server::start();
    let other = "exchange=x/symbol=ZUSDT/part.parquet";
    for (i, (file, named)) in [
        ("symbol=YUSDT/exchange=x/part.parquet", "candles/symbol=YUSDT/"),
        ("v1/exchange=x/symbol=YUSDT/part.parquet", "candles/v1/"),
        ("exchange=x/v1/symbol=YUSDT/part.parquet", "candles/exchange=x/v1/"),
        ("part.parquet", "candles/part.parquet"),
        ("exchange=x/part.parquet", "candles/exchange=x/part.parquet"),
        ("exchange=x/symbol=YUSDT/symbol=Z/part.parquet", "candles/exchange=x/symbol=YUSDT/symbol=Z/part.parquet"),
    ]
    .into_iter()
    .enumerate()
    {
        let root = format!("odd{i}");
        write_bars(&server, &server.bucket().join(&root), &[file, other]);
        for command in on_root(&server, &root) {
            let message = refused(command, "SELECT 1");
            let expected = format!("{root}/{named}' does not lie in folders exchange=…/symbol=…");
            assert!(message.contains(&expected), "{file}: {message}");
        }
    }
    let files = [
        "exchange=x/symbol=YUSDT/part.parquet",
        "exchange=x/symbol=YUSDT/_temporary/part.parquet",
        "exchange=x/symbol=YUSDT/.part.parquet",
        "exchange=x/_old/part.parquet",
        "exchange=x/_part.parquet",
        "_staged/part.parquet",
        ".cache/exchange=x/symbol=YUSDT/part.parquet",
    ];
    write_bars(&server, &server.bucket().join("marked"), &files);
    for predicate in ["", " WHERE exchange = 'x'", " WHERE symbol = 'YUSDT' AND ts >= TIMESTAMP '2026-01-01'"] {
        for command in on_root(&server, "marked") {
            let sql = format!("SELECT count(close) AS n FROM candles{predicate}");
            assert_eq!(printed(command, &sql), "n\n1\n", "{predicate}");
        }
    }
}

/// What cannot stand in a path is encoded by whoever writes, and decoded by whoever reads.
#[test]
fn values_in_the_names_of_folders_are_decoded() {
    let server = S3Server::start();
    for place in ["enc/", "s3://market/enc/"] {
        let sql = format!(
            "COPY (SELECT 'BTC/USDT' AS s, 1 AS x UNION ALL SELECT '100%', 2 UNION ALL SELECT '币安', 3) TO '{place}' \
             STORED AS CSV PARTITIONED BY (s)"
        );
        printed(server.liqsql(), &sql);
        let all = printed(server.liqsql(), &format!("SELECT x, s FROM '{place}' ORDER BY x"));
        assert_eq!(all, "x,s\n1,BTC/USDT\n2,100%\n3,币安\n", "{place}");
        for row in all.lines().skip(1) {
            let (_, value) = row.split_once(',').expect("two columns");
            for from in [place.to_owned(), format!("{place}*/*.csv"), format!("{place}s=*/*.csv")] {
                let sql = format!("SELECT x, s FROM '{from}' WHERE s = '{value}'");
                assert_eq!(printed(server.liqsql(), &sql), format!("x,s\n{row}\n"), "{from}");
            }
        }
    }
    // No value is not a text.
    write(&server.web().join("../none/s=__HIVE_DEFAULT_PARTITION__/part.csv"), "x\n4\n");
    write(&server.web().join("../none/s=%5F/part.csv"), "x\n5\n");
    for (predicate, expected) in [("s IS NULL", "x\n4\n"), ("s = '_'", "x\n5\n")] {
        let sql = format!("SELECT x FROM 'none/' WHERE {predicate}");
        assert_eq!(printed(server.liqsql_without_keys(), &sql), expected, "{predicate}");
    }
    // Two names of folders may be the same value.
    let files = ["BTC%2FUSDT", "B%54C%2FUSDT", "100%"].map(|symbol| format!("exchange=x/symbol={symbol}/part.parquet"));
    write_bars(&server, &server.bucket().join("coded"), &files.each_ref().map(String::as_str));
    for (predicate, expected) in [
        ("", "100%,1\nBTC/USDT,2\n"),
        (" WHERE exchange = 'x'", "100%,1\nBTC/USDT,2\n"),
        (" WHERE symbol = 'BTC/USDT'", "BTC/USDT,2\n"),
        (" WHERE symbol = '100%'", "100%,1\n"),
    ] {
        for command in on_root(&server, "coded") {
            let sql = format!("SELECT symbol, count(close) AS n FROM candles{predicate} GROUP BY 1 ORDER BY 1");
            assert_eq!(printed(command, &sql), format!("symbol,n\n{expected}"), "{predicate}");
        }
    }
}

/// After a wildcard, too.
#[test]
fn names_in_a_pattern_are_those_of_the_folders() {
    let server = S3Server::start();
    let folder = server.web().join("..");
    for name in ["币安", "a~b", "5%", "{a}", "a|b", "c#d", "%2F"] {
        for x in [1, 2] {
            for folder in [&folder, &server.bucket()] {
                write(&folder.join(format!("u/x={x}/sym={name}/part.csv")), &format!("a\n{x}\n"));
            }
        }
        for place in [format!("u/*/sym={name}/*.csv"), format!("s3://market/u/x=[12]/sym={name}/part.csv")] {
            for (predicate, expected) in [("", "a,x\n1,1\n2,2\n"), (" WHERE x = '1'", "a,x\n1,1\n")] {
                let sql = format!("SELECT a, x FROM '{place}'{predicate} ORDER BY a");
                assert_eq!(printed(server.liqsql(), &sql), expected, "{sql}");
            }
        }
    }
    let message = refused(server.liqsql(), "SELECT * FROM 'u/x=[12]/../x=1/*/*.csv'");
    assert!(
        message.contains("'u/x=[12]/../x=1/*/*.csv' is not a pattern: '..' is not the name of a folder"),
        "{message}"
    );
}

#[test]
fn a_root_with_a_password_is_refused_and_not_shown() {
    let server = S3Server::start();
    for root in [
        "s3://AK:HUNTER2@bucket/root",
        "s3://HUNTER2@bucket",
        "s3://AK:HUN/HUNTER2@bucket/root",
        "s3:///AK:HUNTER2@bucket/root",
        "https://user:HUNTER2@host/root",
        "file://user:HUNTER2@host/root",
        "s3://market/root?token=HUNTER2",
        "s3://market/root#HUNTER2",
    ] {
        let mut command = server.liqsql();
        command.args(["--data", root]);
        let message = refused(command, "SELECT 1");
        assert!(
            message.contains("a data root must be a folder or a URL without user, password and query"),
            "{root}: {message}"
        );
        assert!(!message.contains("HUNTER2") && !message.contains("AK:"), "{root}: {message}");
    }
    // An @ in a folder's name is none of a user.
    write_bars(&server, &server.bucket().join("a@b"), &["exchange=x/symbol=YUSDT/part.parquet"]);
    for command in on_root(&server, "a@b") {
        assert_eq!(printed(command, "SELECT close FROM candles"), "close\n1.5\n");
    }
}

/// Files that say how they are sorted are not sorted again.
#[test]
fn a_file_keeps_its_order() {
    let server = S3Server::start();
    simulated(&server);
    for place in ["candles/exchange=bybit/symbol=BTCUSDT/year=2026/part.parquet", "candles/*/symbol=BTC*/**/*.parquet"]
    {
        let plan = |symbols: &str| {
            let sql = format!("EXPLAIN SELECT ts, close FROM 's3://market/root/{place}' WHERE {symbols} ORDER BY ts");
            printed(server.liqsql(), &sql)
        };
        assert!(!plan("exchange = 'bybit'").contains("SortExec"), "{place}: {}", plan("exchange = 'bybit'"));
    }
    // Two keys one after the other are not in order of time.
    let sql = "SELECT ts FROM 's3://market/root/candles/' ORDER BY ts";
    let rows = printed(server.liqsql(), sql);
    assert!(rows.lines().skip(1).is_sorted() && rows.lines().count() == 3457, "{} rows", rows.lines().count());
}

/// Of a large file, only the row groups and columns that are asked for; of keyed folders, only those that pass.
#[test]
fn only_what_is_needed_is_read() {
    let server = S3Server::start();
    for (day, first) in [("2026-01-01", 0), ("2026-01-02", 200_000), ("2026-01-03", 400_000)] {
        for symbol in ["BTC", "ETH"] {
            let file = server.bucket().join(format!("big/symbol={symbol}/date={day}/part.parquet"));
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            let sql = format!(
                "COPY (SELECT value + {first} AS n, sin(value * 1.7) AS wave, cos(value * 0.3) AS other \
                 FROM generate_series(1, 200000) ORDER BY 1) TO '{}' \
                 OPTIONS ('format.max_row_group_size' '20000')",
                file.display()
            );
            printed(server.liqsql_without_keys(), &sql);
        }
    }
    let whole = size(&server.bucket().join("big"));
    assert!(whole > 10_000_000, "{whole} bytes");
    for from in ["'s3://market/big/'", "'s3://market/big/**/*.parquet'", "'s3://market/big/symbol=*/date=*/*.parquet'"]
    {
        server.reset();
        let sql = format!(
            "SELECT count(*) AS n, round(sum(wave), 6) AS wave FROM {from} WHERE symbol = 'ETH' AND \
             date = '2026-01-02' AND n BETWEEN 250001 AND 250100"
        );
        let rows = printed(server.liqsql(), &sql);
        assert!(rows.starts_with("n,wave\n100,"), "{rows}");
        let asked = server.asked();
        let elsewhere = |asked: &&Asked| asked.kind == Kind::Get && !asked.key.contains("symbol=ETH/date=2026-01-02");
        // The columns are told by footers, before the predicate is known; they are 64 KiB each.
        let footers: usize = asked.iter().filter(elsewhere).map(|asked| asked.bytes).sum();
        assert!(footers <= 6 * 70_000, "{from}: {footers} bytes of other files");
        let bytes: usize = asked.iter().map(|asked| asked.bytes).sum();
        assert!((bytes as u64) < whole / 10, "{from}: {bytes} of {whole} bytes");
        let read = asked.iter().filter(|asked| asked.kind == Kind::Get && asked.bytes > 70_000).count();
        assert!(read <= 2, "{from}: {asked:?}");
        // One list for the columns; then symbols, dates of one, files of one.
        assert!(count(&asked, Kind::List) <= 8, "{from}: {asked:?}");
        assert!(count(&asked, Kind::Get) <= 6 * 2 + 4, "{from}: {asked:?}");
    }
}

#[test]
fn folders_files_and_patterns_are_read_alike_everywhere() {
    let server = S3Server::start();
    write_keyed(&server.bucket().join("dir"));
    write_keyed(&server.web().join("../dir"));
    write(&server.bucket().join("dir/_SUCCESS"), "");
    for (what, expected) in [
        ("dir/", "1,x,BTC,2024\n2,x,BTC,2025\n3,y,BTC,2025\n4,z,ETH,2025\n"),
        ("dir", "1,x,BTC,2024\n2,x,BTC,2025\n3,y,BTC,2025\n4,z,ETH,2025\n"),
        ("dir/symbol=BTC/", "1,x,BTC,2024\n2,x,BTC,2025\n3,y,BTC,2025\n"),
        ("dir/symbol=B*/year=2025/*.csv", "2,x,BTC,2025\n3,y,BTC,2025\n"),
        ("dir/*/year=2025/p?rt.csv", "2,x,BTC,2025\n3,y,BTC,2025\n4,z,ETH,2025\n"),
        ("dir/**/*.csv", "1,x,BTC,2024\n2,x,BTC,2025\n3,y,BTC,2025\n4,z,ETH,2025\n"),
        ("dir/symbol=[AE]*/**/part.csv", "4,z,ETH,2025\n"),
        ("dir/symbol=ETH/year=2025/part.csv", "4,z,ETH,2025\n"),
    ] {
        for place in [what.to_owned(), format!("./{what}"), format!("s3://market/{what}")] {
            let rows = printed(server.liqsql(), &format!("SELECT * FROM '{place}' ORDER BY a"));
            assert_eq!(rows, format!("a,b,symbol,year\n{expected}"), "{place}");
            let sql = format!("SELECT a FROM '{place}' WHERE symbol = 'ETH' AND year = 2025 AND b = 'z'");
            let expected = if expected.contains("ETH") { "a\n4\n" } else { "a\n" };
            assert_eq!(printed(server.liqsql(), &sql), expected, "{place}");
        }
        let sql = format!(
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://market/{what}'; SELECT a, b FROM t ORDER BY a"
        );
        let columns: String = expected
            .lines()
            .map(|line| format!("{}\n", line.split(',').take(2).collect::<Vec<_>>().join(",")))
            .collect();
        assert_eq!(printed(server.liqsql(), &sql), format!("a,b\n{columns}"), "{what}");
    }
    // What a pattern leaves out is not even looked into.
    server.reset();
    printed(server.liqsql(), "SELECT * FROM 's3://market/dir/symbol=B*/year=2025/*.csv'");
    let asked = server.asked();
    assert!(asked.iter().all(|asked| !asked.key.contains("ETH") && !asked.key.contains("2024")), "{asked:?}");
}

#[test]
fn other_kinds_of_files_are_told_by_their_endings() {
    let server = S3Server::start();
    write(&server.bucket().join("x.tsv"), "a\tb\n1\t2\n");
    write(&server.bucket().join("x.ndjson"), "{\"a\":1,\"b\":2}\n");
    for place in ["s3://market/x.tsv", "s3://market/x.ndjson"] {
        assert_eq!(printed(server.liqsql(), &format!("SELECT a, b FROM '{place}'")), "a,b\n1,2\n", "{place}");
    }
    let (sql, place) = ("COPY (SELECT 1 AS a, 2 AS b) TO", "s3://market/x.csv.gz");
    printed(server.liqsql(), &format!("{sql} '{place}' STORED AS CSV OPTIONS ('format.compression' 'gzip')"));
    assert_eq!(printed(server.liqsql(), &format!("SELECT * FROM '{place}'")), "a,b\n1,2\n");
    assert_eq!(fs::read(server.bucket().join("x.csv.gz")).expect("a file")[..2], [0x1f, 0x8b]);
}

#[test]
fn what_is_written_to_a_bucket_can_be_read() {
    let server = S3Server::start();
    let sql = "COPY (SELECT value AS n FROM generate_series(1, 100000)) TO 's3://market/out/n.parquet'; \
               SELECT count(*) AS n, sum(n) AS total FROM 's3://market/out/n.parquet'";
    assert!(printed(server.liqsql(), sql).ends_with("n,total\n100000,5000050000\n"));
    // Files that come later are seen by what was made before.
    let sql = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{place}/'; \
               CREATE VIEW v AS SELECT * FROM '{place}/*.csv'; \
               SELECT count(*) AS n FROM t; SELECT count(*) AS n FROM v; \
               COPY (SELECT 2 AS a) TO '{place}/2.csv'; \
               SELECT count(*) AS n FROM t; SELECT count(*) AS n FROM v";
    write(&server.bucket().join("later/1.csv"), "a\n1\n");
    write(&server.web().join("../later/1.csv"), "a\n1\n");
    for place in ["later", "s3://market/later"] {
        let rows = printed(server.liqsql(), &sql.replace("{place}", place));
        let counts: Vec<&str> = rows.lines().filter(|line| line.parse::<u8>().is_ok()).collect();
        assert!(counts.starts_with(&["1", "1"]) && counts.ends_with(&["2", "2"]), "{place}: {rows}");
    }
    for ending in ["csv", "parquet"] {
        server.reset();
        server.fail(Kind::Put, "x.", Fault::Answer(404, "NoSuchBucket"), 9);
        let message = refused(server.liqsql(), &format!("COPY (SELECT 1 AS a) TO 's3://other/x.{ending}'"));
        assert!(message.contains("s3://other: there is no such bucket"), "{message}");
    }
    server.fail(Kind::Put, "y.csv", Fault::Answer(403, "AccessDenied"), 9);
    let message = refused(server.liqsql(), "COPY (SELECT 1 AS a) TO 's3://market/y.csv'");
    assert!(message.contains("s3://market/y.csv cannot be written: access denied (403 AccessDenied)"), "{message}");
}

#[test]
fn options_reach_a_bucket_and_are_never_shown() {
    let server = S3Server::start();
    write(&server.bucket().join("x.csv"), "a\n1\n");
    let options = format!(
        "OPTIONS ('aws.endpoint' '{}', 'aws.allow_http' 'true', 'aws.access_key_id' '{ACCESS_KEY}', \
         'aws.secret_access_key' '{SECRET_KEY}'",
        server.endpoint()
    );
    let create =
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://market/x.csv' {options}, 'has_header' 'true')");
    assert_eq!(printed(server.liqsql_without_keys(), &format!("{create}; SELECT * FROM t")), "a\n1\n");
    let copy = format!("COPY (SELECT 7 AS a) TO 's3://market/y.csv' {options})");
    let rows = printed(server.liqsql_without_keys(), &format!("{copy}; SELECT * FROM 's3://market/y.csv'"));
    assert!(rows.ends_with("a\n7\n"), "{rows}");
    // `printed` checks that no key is in there.
    for sql in [
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.df_settings",
        "SHOW ALL",
        "SHOW CREATE TABLE t",
        "EXPLAIN VERBOSE SELECT * FROM t",
    ] {
        assert!(!printed(server.liqsql_without_keys(), &format!("{create}; {sql}")).is_empty(), "{sql}");
    }
    assert!(printed(server.liqsql_without_keys(), &format!("EXPLAIN {copy}")).contains("CopyTo"));
    for (sql, message) in [
        (
            create.replace("'aws.endpoint'", "'aws.endpiont'"),
            "there is no option 'aws.endpiont', did you mean 'aws.endpoint'?",
        ),
        (create.replace("s3://market/x.csv", "x.csv"), "options 'aws.…' are for s3://, the location is 'x.csv'"),
        (create.replace("'true',", "'maybe',"), "'aws.allow_http' must be true or false, was 'maybe'"),
        (format!("{create} oops"), "found: oops"),
    ] {
        let found = refused(server.liqsql_without_keys(), &sql);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn wrong_keys_and_wrong_places_are_told_apart() {
    let server = S3Server::start();
    write(&server.bucket().join("dir/prices.parquet"), "junk, not Parquet");
    write(&server.bucket().join("notes/a.txt"), "text");
    let wrong_secret = |sql: &str| {
        let mut command = server.liqsql();
        command.env("AWS_SECRET_ACCESS_KEY", "wrong");
        refused(command, sql)
    };
    for sql in [
        "SELECT * FROM 's3://market/dir/'",
        "SELECT * FROM 's3://market/dir/prices.parquet'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://market/dir/'",
        "COPY (SELECT 1 AS a) TO 's3://market/dir/x.csv'",
    ] {
        let message = wrong_secret(sql);
        assert!(message.contains("s3://market/dir/"), "{message}");
        assert!(message.contains("403 SignatureDoesNotMatch"), "{message}");
        assert!(message.contains("check AWS_SECRET_ACCESS_KEY"), "{message}");
    }
    let mut command = server.liqsql();
    let (code, _, message) =
        outcome(command.env("AWS_SECRET_ACCESS_KEY", "wrong").args(["--data", "s3://market/dir", "-c", "SELECT 1"]));
    assert_eq!(code, Some(1));
    assert!(
        message.starts_with("error: s3://market/dir/ cannot be listed: the secret key does not belong"),
        "{message}"
    );

    server.fail(Kind::List, "dir/", Fault::Answer(403, "InvalidAccessKeyId"), 1);
    let message = refused(server.liqsql(), "SELECT * FROM 's3://market/dir/'");
    assert!(
        message.contains("does not know the access key (403 InvalidAccessKeyId); check AWS_ACCESS_KEY_ID"),
        "{message}"
    );

    for (sql, expected) in [
        (
            "SELECT * FROM 's3://no-such-bucket/dir/'",
            "s3://no-such-bucket: there is no such bucket at 'http://127.0.0.1:",
        ),
        (
            "SELECT * FROM 's3://no-such-bucket/x.parquet'",
            "s3://no-such-bucket: there is no such bucket at 'http://127.0.0.1:",
        ),
        (
            "SELECT * FROM 's3://market/dir/price.parquet'",
            "'s3://market/dir/price.parquet' does not exist, did you mean 's3://market/dir/prices.parquet'?",
        ),
        (
            "SELECT * FROM 's3://market/nothing/'",
            "folder 's3://market/nothing/' holds no files; looked for .parquet, .csv",
        ),
        ("SELECT * FROM 's3://market/notes/'", "'s3://market/notes/' holds only .txt (1); looked for .parquet, .csv"),
        (
            "SELECT * FROM 's3://market/notes/*.csv'",
            "no file matches 's3://market/notes/*.csv': folder 's3://market/notes/' holds .txt (1)",
        ),
        (
            "SELECT * FROM 's3://market/dir/prices.parquet'",
            "'s3://market/dir/prices.parquet' cannot be read as parquet: ",
        ),
        (
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://market/nothing/'",
            "folder 's3://market/nothing/' holds no files",
        ),
        (
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://market/notes/'",
            "'s3://market/notes/' holds no parquet files, only .txt (1)",
        ),
        ("SELECT * FROM 'gs://bucket/x.parquet'", "cannot read 'gs://bucket/x.parquet': known are s3://"),
    ] {
        let message = refused(server.liqsql(), sql);
        assert!(message.contains(expected), "{message}");
    }
    let mut command = server.liqsql();
    let (_, _, message) = outcome(command.args(["--data", "s3://market/notes", "-c", "SELECT 1"]));
    assert!(message.contains("'s3://market/notes' holds no market table; looked for"), "{message}");
    assert!(message.contains("it holds a.txt"), "{message}");
}

#[test]
fn what_would_hang_or_puzzle_is_said_at_once() {
    let server = S3Server::start();
    let sql = "SELECT * FROM 's3://market/x.parquet'";
    let message = refused(server.liqsql_without_keys(), sql);
    assert!(
        message.contains("s3://market: there are no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        "{message}"
    );
    let mut command = server.liqsql();
    command.env_remove("AWS_ALLOW_HTTP");
    let message = refused(command, sql);
    assert!(message.contains("is not encrypted; to use it all the same set AWS_ALLOW_HTTP=true"), "{message}");
    let mut command = server.liqsql();
    command.env("AWS_TIMEOUT", "soon");
    let message = refused(command, sql);
    assert!(message.contains("AWS_TIMEOUT must be a time such as '5s', '500ms' or '2m', was 'soon'"), "{message}");
    assert!(server.asked().is_empty());
}

#[test]
fn two_failures_are_outlived() {
    let server = S3Server::start();
    write(&server.bucket().join("x.csv"), "a\n1\n");
    for fault in [Fault::Answer(503, "SlowDown"), Fault::Answer(500, "InternalError"), Fault::BreakOff] {
        server.reset();
        server.fail(Kind::Get, "x.csv", fault, 2);
        server.fail(Kind::Head, "x.csv", fault, 1);
        assert_eq!(printed(server.liqsql(), "SELECT * FROM 's3://market/x.csv'"), "a\n1\n", "{fault:?}");
    }
    server.reset();
    server.fail(Kind::Get, "x.csv", Fault::Silence, 1);
    let mut command = server.liqsql();
    command.env("AWS_TIMEOUT", "500ms");
    assert_eq!(printed(command, "SELECT * FROM 's3://market/x.csv'"), "a\n1\n");
}

/// Without bounds, the client would go on for three minutes.
#[test]
fn lasting_failures_are_told_in_bounded_time() {
    let server = S3Server::start();
    let rows: String = (0..5000).map(|row| format!("{row},{}\n", row * 7)).collect();
    write(&server.bucket().join("dir/x.csv"), &format!("a,b\n{rows}"));
    for (kind, fault, expected) in [
        (
            Kind::Get,
            Fault::Answer(503, "SlowDown"),
            "dir/x.csv cannot be read: the server answered 503 SlowDown to all 3 tries",
        ),
        (
            Kind::List,
            Fault::Answer(503, "SlowDown"),
            "dir/ cannot be listed: the server answered 503 SlowDown to all 3 tries",
        ),
        (Kind::Get, Fault::Silence, "dir/x.csv cannot be read: no answer within 300ms (3 tries)"),
        (Kind::List, Fault::Silence, "dir/ cannot be listed: no answer within 300ms (3 tries)"),
        (
            Kind::Get,
            Fault::SilenceWithin,
            "dir/x.csv cannot be read: the answer stopped: nothing more came within 300ms",
        ),
        (Kind::Get, Fault::CutShort, "dir/x.csv cannot be read: the answer was cut short"),
        (Kind::Get, Fault::BreakOff, "dir/x.csv cannot be read: 'http://127.0.0.1:"),
    ] {
        server.reset();
        server.fail(kind, "", fault, usize::MAX);
        let mut command = server.liqsql();
        command.env("AWS_TIMEOUT", "300ms").env("AWS_MAX_RETRIES", "2");
        let message = refused(command, "SELECT * FROM 's3://market/dir/'");
        assert!(message.contains(&format!("error: s3://market/{expected}")), "{fault:?}: {message}");
        assert!(server.asked().len() <= 40, "{:?}", server.asked().len());
    }
    // The same of a root, of Parquet, and of what an option bounds.
    simulated(&server);
    server.reset();
    server.fail(Kind::Get, "candles/", Fault::Answer(503, "SlowDown"), usize::MAX);
    let mut command = server.liqsql();
    command.env("AWS_MAX_RETRIES", "1");
    let (code, _, message) = outcome(command.args(["--data", "s3://market/root", "-c", "SELECT 1"]));
    assert_eq!(code, Some(1), "{message}");
    assert!(
        message.contains("part.parquet cannot be read: the server answered 503 SlowDown to all 2 tries"),
        "{message}"
    );
    server.reset();
    server.fail(Kind::Get, "candles/", Fault::CutShort, usize::MAX);
    let sql = "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://market/root/candles/' \
               OPTIONS ('aws.timeout' '300ms', 'aws.max_retries' '0')";
    let message = refused(server.liqsql(), sql);
    assert!(message.contains("part.parquet cannot be read: the answer was cut short"), "{message}");
    // A port where nobody listens.
    let mut command = server.liqsql();
    command.env("AWS_ENDPOINT", "http://127.0.0.1:1");
    let message = refused(command, "SELECT * FROM 's3://market/dir/'");
    assert!(
        message.contains("s3://market/dir/ cannot be listed: 'http://127.0.0.1:1' refuses connections"),
        "{message}"
    );
}

#[test]
fn files_on_the_web_are_read_and_not_written() {
    let server = S3Server::start();
    let file = server.web().join("x.parquet").display().to_string();
    printed(server.liqsql_without_keys(), &format!("COPY (SELECT 1 AS a, 'b c' AS b) TO '{file}'"));
    let web = format!("{}/web", server.endpoint());
    let run = |sql: &str| printed(server.liqsql_without_keys(), sql);
    assert_eq!(run(&format!("SELECT * FROM '{web}/x.parquet'")), "a,b\n1,b c\n");
    let create = format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{web}/x.parquet'");
    assert_eq!(run(&format!("{create}; SELECT b FROM t")), "b\nb c\n");
    // What is wrong with the settings of buckets does not matter here.
    let mut command = server.liqsql_without_keys();
    command.env("AWS_ACCESS_KEY_ID", "alone").env("AWS_ENDPOINT", "nowhere");
    assert_eq!(printed(command, &format!("SELECT a FROM '{web}/x.parquet'")), "a\n1\n");
    let signed = format!("{web}/x.parquet?X-Amz-Signature={SECRET_KEY}");
    for (sql, expected) in [
        (format!("SELECT * FROM '{web}/y.parquet'"), "/web/y.parquet' does not exist"),
        (format!("SELECT * FROM '{web}/'"), "cannot be listed; name one file"),
        (format!("SELECT * FROM '{web}/*.parquet'"), "cannot be listed; name one file"),
        (format!("SELECT * FROM '{web}/x'"), "/web/x' does not exist"),
        (format!("SELECT * FROM '{signed}'"), "/web/x.parquet?***': a URL with a query, such as a signed one"),
        (format!("COPY (SELECT 1) TO '{web}/z.parquet'"), "http and https are only read; write to a file or to s3://"),
        (format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{signed}'"), "/web/x.parquet?***'"),
        (format!("SELECT * FROM 'https://user:{SECRET_KEY}@host/x.parquet'"), "'https://***@host/x.parquet'"),
    ] {
        let message = refused(server.liqsql_without_keys(), &sql);
        assert!(message.contains(expected), "{message}");
    }
    server.fail(Kind::Web, "x.parquet", Fault::Answer(503, ""), usize::MAX);
    let mut command = server.liqsql_without_keys();
    command.env("AWS_MAX_RETRIES", "1");
    let message = refused(command, &format!("SELECT * FROM '{web}/x.parquet'"));
    assert!(message.contains("/web/x.parquet cannot be read: the server answered 503 to all 2 tries"), "{message}");
}

#[test]
fn mistakes_about_local_files_are_said() {
    let server = S3Server::start();
    let here = server.web();
    let at = |name: &str| here.join("..").join(name);
    write_keyed(&at("dir"));
    write(&at("prices.csv"), "a\n1\n");
    write(&at("bad.parquet"), "this is no Parquet file");
    write(&at("notes/a.txt"), "text");
    write(&at("mixed/a.csv"), "a\n1\n");
    write(&at("mixed/a.ndjson"), "{\"a\":1}\n");
    write(&at("uneven/x=1/a.csv"), "a\n1\n");
    write(&at("uneven/b.csv"), "a\n1\n");
    write(&at("twice/a=1/a=2/b.csv"), "b\n1\n");
    fs::create_dir_all(at("empty")).expect("a folder");
    for (name, expected) in [
        ("price.csv", "file 'price.csv' does not exist, did you mean 'prices.csv'?"),
        ("dir/symbol=BTC/year=2025/prat.csv", "did you mean 'dir/symbol=BTC/year=2025/part.csv'?"),
        ("zzz.parquet", "file 'zzz.parquet' does not exist\n"),
        ("drx/", "folder 'drx/' does not exist"),
        ("empty", "folder 'empty' holds no files; looked for .parquet, .csv"),
        ("notes/", "'notes/' holds only .txt (1); looked for .parquet, .csv"),
        ("notes/a.txt", "cannot tell what is in 'notes/a.txt' by its ending"),
        ("notes/*.csv", "no file matches 'notes/*.csv': folder 'notes/' holds .txt (1)"),
        ("nowhere/*.csv", "no file matches 'nowhere/*.csv': folder 'nowhere/' does not exist"),
        ("mixed/", "'mixed/' holds files of several kinds: .csv (1), .ndjson (1); name one, such as 'mixed/*."),
        ("uneven/", "mixes files of different folders"),
        ("twice/", "'twice/' cannot be one table: 'a=1/a=2/b.csv' lies in two folders 'a=…', and only one of them"),
        ("twice/**/*.csv", "'a=1/a=2/b.csv' lies in two folders 'a=…'"),
        ("twice/a=1/a=2/b.csv", "'twice/a=1/a=2/b.csv' lies in two folders 'a=…'"),
        ("dir/[", "is not a pattern"),
        ("bad.parquet", "'bad.parquet' cannot be read as parquet: "),
        ("no_such_table", "no table 'no_such_table'"),
    ] {
        let message = refused(server.liqsql_without_keys(), &format!("SELECT * FROM '{name}'"));
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!message.contains("bug") && !message.contains("nternal"), "{name}: {message}");
    }
    // A file that is named like a pattern, and one in the home folder.
    write(&at("x[1].csv"), "a\n5\n");
    assert_eq!(printed(server.liqsql_without_keys(), "SELECT * FROM 'x[1].csv'"), "a\n5\n");
    assert_eq!(printed(server.liqsql_without_keys(), "SELECT * FROM '~/prices.csv'"), "a\n1\n");
    // Options of an external table hold for patterns, too.
    let sql = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'mixed/*.csv' OPTIONS ('has_header' 'false'); \
               SELECT count(*) AS n FROM t";
    assert_eq!(printed(server.liqsql_without_keys(), sql), "n\n2\n");
}

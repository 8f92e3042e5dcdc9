//! Ten million aggregated trades from a CSV file, as an archive publishes them, to sorted Parquet files of a data root.
//!
//! ```sh
//! cargo bench --bench ingest            # or --profile dev, without a release build
//! ```
//!
//! The file (about 700 MB) is written once to the folder for temporary files, and removed. Each case is run three times and
//! the fastest is shown, beside the time that reading the same bytes takes, so that the share of the disk shows. The
//! peak of memory is that of the whole process (Linux). Cases: in order of time; the same in blocks that are out of
//! order, so that runs are merged; and repeated, where every row is there already.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use liqsql::ingest::find_reader;
use liqsql::ingest::job::{Folder, Job, Summary};
use liqsql::ingest::reading::{BadRows, Settings};

const ROWS: u64 = 10_000_000;
/// 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;

/// Trades of about twelve days, ten a second; every `block` of rows is written after the one that follows it.
fn write(path: &Path, block: Option<u64>) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    writeln!(out, "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker").unwrap();
    // A fixed linear congruential generator: the same file in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for row in 0..ROWS {
        let id = match block {
            Some(block) => ((row / block) ^ 1) * block + row % block,
            None => row,
        };
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let price = 90_000 + (id / 5_000) % 3_000 + (state >> 60);
        let (tenths, size) = ((state >> 50) % 10, 1 + (state >> 44) % 9_999);
        let ts = START_MS + id * 100;
        let maker = if state >> 63 == 0 { "true" } else { "false" };
        writeln!(out, "{id},{price}.{tenths},0.{size:04},{},{},{ts},{maker}", id * 2, id * 2 + 1).unwrap();
    }
    out.flush().unwrap();
}

fn ingest(root: &Path, file: &Path) -> Summary {
    let files = [file.to_owned()];
    let folder = Folder { root: root.to_owned() };
    let job = Job {
        reader: find_reader("binance", "aggTrades").unwrap(),
        files: &files,
        settings: Settings::default(),
        bad_rows: BadRows::Error,
        dry_run: false,
        scratch: folder.scratch(),
        progress: std::sync::Arc::default(),
    };
    job.run(&folder).unwrap()
}

/// The fastest of three.
fn fastest(mut work: impl FnMut()) -> Duration {
    let timed = (0..3).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    timed.min().unwrap()
}

fn peak_mb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn main() {
    let folder = std::env::temp_dir().join(format!("liqsql-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let named = |name: &str| -> PathBuf { folder.join(name) };
    println!("{:<40} {:>9} {:>14} {:>10}", "ten million aggregated trades", "seconds", "million rows/s", "peak MB");
    let show = |what: &str, time: Duration| {
        let rate = ROWS as f64 / time.as_secs_f64() / 1e6;
        let peak = peak_mb().map_or("?".to_owned(), |peak| peak.to_string());
        println!("{what:<40} {:>9.2} {rate:>14.2} {peak:>10}", time.as_secs_f64());
    };
    for (what, block) in [("in order of time", None), ("in blocks of 200,000 out of order", Some(200_000))] {
        let file = named("BTCUSDT-aggTrades-2026-01.csv");
        write(&file, block);
        let read = fastest(|| {
            let mut source = File::open(&file).unwrap();
            let mut chunk = vec![0; 1 << 18];
            while source.read(&mut chunk).unwrap() > 0 {}
        });
        show("reading the bytes", read);
        let root = named("root");
        let time = fastest(|| {
            let _ = fs::remove_dir_all(&root);
            let summary = ingest(&root, &file);
            let key = summary.keys.values().next().unwrap();
            assert_eq!((key.rows_in, key.rows_out, key.duplicates), (ROWS, ROWS, 0));
        });
        show(what, time);
        if block.is_none() {
            let time = fastest(|| {
                let summary = ingest(&root, &file);
                assert_eq!(summary.keys.values().next().unwrap().duplicates, ROWS);
            });
            show("all there already", time);
        }
        fs::remove_dir_all(&root).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

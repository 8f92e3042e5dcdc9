//! `liqsql simulate`: runs the simulator and writes its market.

use std::path::Path;

use super::arguments::Simulate;
use super::error::Failure;
use super::note;
use crate::ingest::parquet::{write_file, write_root};
use crate::market::table;
use crate::simulate::wide::WideMarket;
use crate::simulate::{SimulationConfig, simulate};

/// Bars of a day.
const BARS_PER_DAY: usize = 288;
const FIVE_MINUTES_MS: i64 = 300_000;

/// Writes a simulated market to a data root, or as one file per table, as the sample in the binary is.
///
/// # Errors
/// The root cannot be written to.
pub(crate) async fn run(arguments: &Simulate, quiet: bool) -> Result<(), Failure> {
    if let Some(symbols) = arguments.symbols {
        return run_wide(arguments, usize::from(symbols), quiet);
    }
    let mut config = SimulationConfig::sample(arguments.seed);
    if !arguments.sample {
        config.bars = arguments.days as usize * BARS_PER_DAY;
        let end = config.end_ms();
        config.snapshots_ms.retain(|ts| *ts < end);
        config.snapshots_ms.push(end);
        config.news.retain(|news| news.at_ms < end);
        config.trade_windows.retain(|window| window.from_ms < end);
    }
    let market = simulate(&config).map_err(Failure::new)?;
    let root = Path::new(&arguments.to);
    for (name, batch) in market.tables().map_err(Failure::new)? {
        let Some(table) = table(name) else { continue };
        let written = if arguments.sample {
            let path = root.join(format!("{name}.parquet"));
            write_file(&path, table, &batch).map(|()| vec![path])
        } else {
            write_root(root, table, &batch)
        };
        let written = written.map_err(|error| Failure::new(error.to_string()))?;
        if !quiet {
            report(name, batch.num_rows(), written.len());
        }
    }
    Ok(())
}

fn run_wide(arguments: &Simulate, symbols: usize, quiet: bool) -> Result<(), Failure> {
    let market = WideMarket {
        seed: arguments.seed,
        symbols,
        days: arguments.days as usize,
        interval_ms: arguments.bar.unwrap_or(FIVE_MINUTES_MS),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let written = market.write(Path::new(&arguments.to), threads).map_err(|error| Failure::new(error.to_string()))?;
    for table in written.iter().filter(|_| !quiet) {
        report(table.table, table.rows, table.files);
    }
    Ok(())
}

fn report(table: &str, rows: usize, files: usize) {
    let noun = if files == 1 { "file" } else { "files" };
    note(&format!("{table}: {rows} rows in {files} {noun}"));
}

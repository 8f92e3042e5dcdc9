//! From exchanges' own files to market tables: rows read, checked and written in the layout that a data root has.
//!
//! ```text
//! file ──► source ──► reader ──► out ──► spool ──► merge ──► plausible ──► files of the root
//!        unpacked   one exchange, each row sorted runs, with what   one key in    put in place
//!                   one kind      checked  by key       is there    order of time whole
//! ```
//!
//! In: files as downloaded (`.csv`, `.json`, also packed as `.zip`, `.gz`, `.lz4`). Out: Parquet files under
//! `{root}/{table}/exchange=…/symbol=…/year=YYYY/part.parquet`, or by day for tables kept by day, sorted by `ts`. The
//! invariants: no file is ever seen half written, nothing is put in place if any file was wrong, reading the same files
//! again changes nothing, memory does not grow with the files, and every row that is left out is counted.
//!
//! # Two at once, and what is left behind
//!
//! Several processes may write to one root: files are read at the same time, and put in place by one after the other, each
//! merging with what the one before it put there. What is under way is in a folder of the root that no reader looks into
//! (`.ingest-…`); it is removed in the end, also after an error, and if the process was killed, by the next one. A root
//! that was not there before is not there after an error. Roots in a bucket have no lock: there the last one wins.
//!
//! # Adding an exchange
//!
//! It is one file and one line: a module with its `READERS`, and its name in [`READERS`]. A reader says whose files it reads
//! and which table their rows are of, and turns lines into rows. Everything else is done for it: unpacking, naming file and
//! line of a bad row, checking ranges, the trigger of a bankruptcy price ([`trigger`]), sorting, repetitions, mistakes of units
//! ([`plausible`]), writing.
//!
//! ```
//! use liqsql::error::Result;
//! use liqsql::ingest::delimited::Delimited;
//! use liqsql::ingest::reading::{BadRow, BadRows, Entry, Out, Reader, Row, Settings, Sink, Value, identity_of};
//! use liqsql::ingest::{source::Source, symbols::canonical};
//! use liqsql::market::tables::LIQUIDATIONS;
//!
//! /// What is read: one entry per kind of file.
//! static READERS: &[Reader] = &[Reader {
//!     exchange: "example",
//!     kind: "liquidations",
//!     table: &LIQUIDATIONS,
//!     about: "forced orders, CSV",
//!     read: liquidations,
//! }];
//!
//! fn liquidations(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
//!     // Columns by name; these, if the file has no header.
//!     let file = Delimited::open(source, &["time", "market", "order", "price", "size"])?;
//!     let [ts, market, order] = ["time", "market", "order"].map(|name| file.column(name));
//!     let [price, size] = ["price", "size"].map(|name| file.column(name));
//!     let (ts, market, order, price, size) = (ts?, market?, order?, price?, size?);
//!     file.each(out, |record, out| {
//!         let entry = || -> Result<Entry<5>, BadRow> {
//!             // The side of the position: who is forced to sell held a long.
//!             let side = match record.text(order)? {
//!                 "sell" => "long",
//!                 "buy" => "short",
//!                 other => return Err(BadRow::new("order", "sell or buy", other)),
//!             };
//!             let (price, size) = (record.number(price)?, record.number(size)?);
//!             let [bankruptcy, size, usd] = [price, size, size * price].map(Value::Number);
//!             Ok(Entry {
//!                 symbol: canonical(record.text(market)?),
//!                 ts: record.instant(ts)?, // s, ms, µs, ns or a date: its size tells
//!                 identity: Some(identity_of(record.bytes())), // a line that stands twice is one liquidation
//!                 values: [Value::Text(side), Value::Null, bankruptcy, size, usd], // the trigger is worked out
//!             })
//!         };
//!         out.give(record.line, "example", entry()).map(Ok)
//!     })
//! }
//!
//! // A test: a text goes in, rows come out.
//! #[derive(Default)]
//! struct Rows(Vec<String>);
//!
//! impl Sink for Rows {
//!     fn take(&mut self, row: &Row<'_>) -> Result<()> {
//!         self.0.push(format!("{} {} {:?}", row.ts, row.symbol, row.values[1]));
//!         Ok(())
//!     }
//! }
//!
//! let text = "time,market,order,price,size\n1767225600,BTC-USDT,sell,49800,2\n1767225601,BTC-USDT,hold,1,1\n";
//! let mut rows = Rows::default();
//! let mut out = Out::new(&LIQUIDATIONS, BadRows::Skip, &mut rows);
//! out.begin("a.csv");
//! (READERS[0].read)(&mut Source::of_bytes("a.csv", text.as_bytes()), &Settings::default(), &mut out)?;
//! assert_eq!(out.first_bad.as_deref(), Some("a.csv:3: 'order' must be sell or buy, was 'hold'"));
//! assert_eq!(rows.0, ["1767225600000 BTCUSDT Number(50000.0)"]);
//! # Ok::<(), liqsql::error::Error>(())
//! ```

pub mod binance;
pub mod bybit;
pub mod ccxt;
pub mod coinalyze;
pub mod coinglass;
pub mod delimited;
pub mod documents;
pub mod freqtrade;
pub mod hyperliquid;
pub mod job;
mod merge;
pub mod okx;
pub mod parquet;
pub mod plausible;
pub mod reading;
pub mod scratch;
pub mod settlement;
pub mod source;
pub mod spool;
pub mod symbols;
pub mod table;
#[cfg(test)]
mod taken;
pub mod tardis;
pub mod trigger;

use std::path::{Path, PathBuf};

use reading::Reader;

use crate::error::{Error, Result};

/// Every reader, one line per exchange.
pub static READERS: &[&[Reader]] = &[
    binance::READERS,
    bybit::READERS,
    okx::READERS,
    hyperliquid::READERS,
    tardis::READERS,
    ccxt::READERS,
    freqtrade::READERS,
    coinalyze::READERS,
    coinglass::READERS,
    table::READERS,
];

/// Returns every reader.
pub fn readers() -> impl Iterator<Item = &'static Reader> {
    READERS.iter().copied().flatten()
}

/// Finds the reader of a kind of file.
///
/// # Errors
///
/// There is none; the error says which there are.
pub fn find_reader(exchange: &str, kind: &str) -> Result<&'static Reader> {
    let of_exchange: Vec<&'static Reader> =
        readers().filter(|reader| reader.exchange.eq_ignore_ascii_case(exchange)).collect();
    if of_exchange.is_empty() {
        let mut known: Vec<&str> = readers().map(|reader| reader.exchange).collect();
        known.dedup();
        return Err(Error::new(format!("the exchange must be one of {}, was '{exchange}'", known.join(", "))));
    }
    let known = || of_exchange.iter().map(|reader| reader.kind).collect::<Vec<_>>().join(", ");
    of_exchange
        .iter()
        .find(|reader| reader.kind.eq_ignore_ascii_case(kind))
        .copied()
        .ok_or_else(|| Error::new(format!("of {exchange} the kind must be one of {}, was '{kind}'", known())))
}

/// Refuses what would be ignored: settings of files that hold them already.
///
/// # Errors
///
/// Names the setting.
pub fn check_settings(reader: &Reader, settings: &reading::Settings) -> Result<()> {
    let is_vendor = ["ccxt", "freqtrade", "coinalyze", "coinglass", "table"].contains(&reader.exchange);
    let is_own = reader.exchange == "table";
    let unused = if settings.exchange.is_some() && !is_vendor {
        Some(("venue", "files that do not name their exchange"))
    } else if settings.price.is_some() && (reader.exchange, reader.kind) != ("coinglass", "map") {
        Some(("price", "a vendor's map"))
    } else if (!settings.columns.is_empty() || !settings.values.is_empty()) && !is_own {
        Some(("column and value", "one's own tables (exchange 'table')"))
    } else {
        None
    };
    match unused {
        Some((setting, what)) => Err(Error::new(format!(
            "{setting}: goes with {what}, not with those of {} {}",
            reader.exchange, reader.kind
        ))),
        None => Ok(()),
    }
}

/// The files that a path or a pattern names: one file, or every file that matches, by name.
///
/// # Errors
///
/// There is none.
pub fn files_like(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(['*', '?', '[']) {
        return match path.is_file() {
            true => Ok(vec![path.to_owned()]),
            false => Err(Error::new(format!("'{text}' is no file"))),
        };
    }
    let found = glob::glob(&text).map_err(|error| Error::because(format!("'{text}' is no pattern"), error))?;
    let found = found.collect::<std::result::Result<Vec<PathBuf>, _>>();
    let found = found.map_err(|error| Error::because(format!("looking for '{text}'"), error))?;
    let files: Vec<PathBuf> = found.into_iter().filter(|path| path.is_file()).collect();
    match files.is_empty() {
        true => Err(Error::new(format!("no file is like '{text}'"))),
        false => Ok(files),
    }
}

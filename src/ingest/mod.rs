//! From exchanges' own files to market tables: rows read, checked and written in the layout that a data root has.
//!
//! ```text
//! file ──► source ──► reader ──► rows ──► spool ──► files of the root
//!        unpacked   one exchange,  checked,  sorted, without    merged with what is there,
//!                   one kind       by key    duplicates         put in place whole
//! ```
//!
//! In: files as downloaded (`.csv`, `.json`, also packed as `.zip`, `.gz`, `.lz4`). Out: Parquet files under
//! `{root}/{table}/exchange=…/symbol=…/year=YYYY/part.parquet`, or by day for tables kept by day, sorted by `ts`. The
//! invariants: no file is ever seen half written, reading the same files again changes nothing, and every row that is
//! left out is counted.
//!
//! A new exchange is one file with its `READERS` and one line in [`READERS`].

pub mod binance;
pub mod bybit;
pub mod delimited;
pub mod documents;
pub mod hyperliquid;
pub mod job;
pub mod okx;
pub mod parquet;
pub mod reading;
pub mod source;
pub mod spool;
pub mod symbols;
pub mod tardis;

use reading::Reader;

/// Every reader, one line per exchange.
pub static READERS: &[&[Reader]] =
    &[binance::READERS, bybit::READERS, okx::READERS, hyperliquid::READERS, tardis::READERS];

/// Returns every reader.
pub fn readers() -> impl Iterator<Item = &'static Reader> {
    READERS.iter().copied().flatten()
}

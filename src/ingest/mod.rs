//! From rows of a market table to files, in the layout that a data root has.
//!
//! In: record batches with a market table's columns. Out: Parquet files under
//! `{root}/{table}/exchange=…/symbol=…/year=YYYY/part.parquet`, or by day for tables kept by day, sorted by `ts`.

pub mod parquet;

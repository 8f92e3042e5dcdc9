//! What is true: the market tables, their columns, units and keys, and how a user's rows become them.
//!
//! In: any record batch whose columns carry the right names. Out: the same columns in one form each, whatever the
//! source: timestamps as `Timestamp(Millisecond, UTC)`, text as `Utf8View`, numbers as `Float64`. Nothing here knows the
//! model or the query engine.
//!
//! Invariant: a value is converted or refused, never guessed; a refusal names the column, its type, and what is
//! allowed.

pub mod normalise;
pub mod tables;

pub use normalise::{Layout, MarketError};
pub use tables::{Column, Kind, TABLES, Table, table};

//! Crypto liquidation heatmaps in SQL: table functions on [Apache DataFusion](datafusion), and a program around them.
//!
//! ```text
//! exchange files ─► ingest ─► market tables ─► model ─► sql ─► render
//! ```
//!
//! One call adds the functions to any session; then a query turns candles and open interest into a heatmap:
//!
//! ```
//! use datafusion::prelude::SessionContext;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let context = SessionContext::new_with_config(liqsql::session_config());
//! liqsql::register_all(&context)?;
//! liqsql::sql::sample::register(&context).await?; // a simulated market; register your own tables instead
//!
//! let heatmap = context
//!     .sql(
//!         "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), step => INTERVAL '1 hour', \
//!          price_step => 50)
//!          WHERE exchange = 'binance' AND symbol = 'BTCUSDT' AND ts < TIMESTAMP '2026-01-03'",
//!     )
//!     .await?;
//! assert!(heatmap.count().await? > 1000);
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`market`] | what is true: the market tables, their columns, units and keys |
//! | [`ingest`] | files of market tables |
//! | [`simulate`] | a market with known positions, which tests the estimate and fills the sample |
//! | [`model`] | what is estimated: pure Rust, no engine, no clock |
//! | [`sql`] | how it is asked: table functions and scalars |
#![cfg_attr(feature = "pictures", doc = "| [`render`] | how it is seen |")]
#![cfg_attr(feature = "cli", doc = "| [`cli`] | the program |")]
//!
//! # What a map is, and what it is not
//!
//! It is an estimate: nobody publishes who holds what. It shows where forced orders would come from if price went there,
//! not that price goes there. See [`model`] for the equations and every assumption; `EXPLAIN` shows the ones in use.

#[cfg(feature = "cli")]
pub mod cli;
pub mod error;
pub mod ingest;
pub mod market;
pub mod model;
#[cfg(feature = "pictures")]
pub mod render;
pub mod simulate;
pub mod sql;

pub use sql::{register_all, session_config};

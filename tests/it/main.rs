//! Tests from outside: one binary, because each would link the engine again.
// In a test a failed expectation is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
// Modules of one binary: `pub` says what they offer each other.
#![allow(unreachable_pub)]

#[cfg(feature = "cli")]
mod browser;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "pictures")]
mod coinglass;
#[cfg(feature = "cli")]
mod files;
mod golden;
#[cfg(feature = "cli")]
mod ingest;
mod inputs;
mod layering;
#[cfg(feature = "cli")]
mod long_work;
#[cfg(feature = "cli")]
mod mistakes;
#[cfg(feature = "cli")]
mod pictures;
mod plans;
mod pools;
mod properties;
#[cfg(feature = "cli")]
mod queries;
mod readme;
mod reference;
mod registry;
mod regressions;
#[cfg(feature = "cli")]
mod render;
#[cfg(all(feature = "cli", feature = "s3"))]
mod s3_server;
mod scans;
mod simulator;
mod slt;
mod smoothing;
#[cfg(all(feature = "cli", feature = "s3"))]
mod storage;
#[cfg(unix)]
mod terminal;
mod truth;

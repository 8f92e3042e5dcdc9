//! Tests from outside: one binary, because each would link the engine again.
// In a test a failed expectation is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod render;
mod simulator;

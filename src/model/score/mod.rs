//! How good a map is, always beside what could be said without it.
//!
//! In: a map at each instant, and what became known of realised liquidations, real positions or forced orders. Out: rows
//! of [`Score`].
//!
//! | file | question it answers |
//! |---|---|
//! | [`hourly`] | does what the map says was swept rank, and add to, what was liquidated hour by hour |
//! | [`prices`] | does the map put its USD where real liquidation prices are |
//! | [`orders`] | are forced orders where the map is full, among the prices that a bar went through |
//! | [`map`] | what a map, a book or cells read back, says stands in equal bins of ln(price) |
//! | [`means`] | means of the map and of its null models, with intervals |
//! | [`look_back`] | where price was, and was traded, in the last days |
//! | [`statistics`] | correlations of ranks and least squares, finite or nothing |
//! | [`bootstrap`] | how far a number would move had other days happened |

pub mod bootstrap;
pub mod hourly;
pub mod look_back;
pub mod map;
pub mod means;
pub mod orders;
pub mod prices;
pub mod statistics;

use super::side::Side;

/// One row of a report.
///
/// Three kinds of rows share a name of `score`: without `null` the value of the map itself; with `null` the value of that
/// null model on the same data; and, where `score` ends in `_gain`, how much the map is above that null model. And
/// `partial_rank` is the map's, given what the null model knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// What is measured.
    pub score: &'static str,
    /// The null model, `None` for the map itself.
    pub null: Option<&'static str>,
    /// The side of the positions, `None` for both together.
    pub side: Option<Side>,
    /// The value; `None` where there is nothing to measure.
    pub value: Option<f64>,
    /// Lower limit of its interval; `None` where there is no interval.
    pub low: Option<f64>,
    /// Upper limit of its interval.
    pub high: Option<f64>,
    /// Observations that it rests on.
    pub n: u64,
}

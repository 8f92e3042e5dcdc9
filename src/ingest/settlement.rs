//! When funding is settled, and how long the intervals are.
//!
//! In: settlements whose interval the exchange may not state, or rates that run and change until they are settled. Out: rows
//! of `funding`. Where no interval is stated it is the distance to the nearer neighbour, so that a gap on one side does not
//! count as an interval; where the file shows none, or the neighbours are too far apart, it is the exchange's usual one.

use std::collections::BTreeMap;

use super::reading::{Out, Row, Value};
use crate::error::Result;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// No interval is longer: what is further apart lacks settlements between.
const LONGEST_HOURS: f64 = 8.0;

/// Hours between settlements of most markets of an exchange.
fn usual_hours(exchange: &str) -> f64 {
    if exchange == "hyperliquid" { 1.0 } else { 8.0 }
}

/// A settlement whose interval may not be known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Where it stands in the file.
    pub line: u64,
    /// BASEQUOTE in upper case.
    pub symbol: String,
    /// When it was, in milliseconds.
    pub ts: i64,
    /// Fraction per interval.
    pub rate: f64,
    /// The interval, if the exchange states it.
    pub hours: Option<f64>,
}

/// Pushes the settlements of a file, each with the interval that the exchange states, or else the one that the file shows,
/// or else the usual one. All that a file holds of a symbol must be given at once.
///
/// # Errors
///
/// A row cannot be used and bad rows are errors, or it cannot be kept.
pub fn give_settlements(exchange: &str, settlements: &[Settlement], out: &mut Out<'_>) -> Result<()> {
    let mut instants: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for settlement in settlements {
        instants.entry(&settlement.symbol).or_default().push(settlement.ts);
    }
    for instants in instants.values_mut() {
        instants.sort_unstable();
        instants.dedup();
    }
    for Settlement { line, symbol, ts, rate, hours } in settlements {
        let shown = || instants.get(symbol.as_str()).and_then(|instants| shown_hours(instants, *ts));
        let hours = hours.or_else(shown).unwrap_or_else(|| usual_hours(exchange));
        let values = [Value::Number(*rate), Value::Number(hours)];
        out.push(*line, &Row { exchange, symbol, ts: *ts, identity: None, values: &values })?;
    }
    Ok(())
}

/// The distance to the nearer neighbour in whole hours, if that is an interval and not a gap.
fn shown_hours(instants: &[i64], ts: i64) -> Option<f64> {
    let hours = |from: i64, to: i64| (to.saturating_sub(from) as f64 / HOUR_MS as f64).round();
    let at = instants.partition_point(|instant| *instant < ts);
    let before = instants[..at].iter().rev().map(|before| hours(*before, ts)).find(|hours| *hours >= 1.0);
    let after = instants[at..].iter().map(|after| hours(ts, *after)).find(|hours| *hours >= 1.0);
    before.into_iter().chain(after).reduce(f64::min).filter(|hours| *hours <= LONGEST_HOURS)
}

/// The last rate that was seen for a settlement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Where it stands in the file.
    pub line: u64,
    /// When it was stated, in milliseconds.
    pub ts: i64,
    /// Fraction per interval.
    pub rate: f64,
}

/// Rates that run: files that state again and again what the next settlement will be, of which the last one is settled.
#[derive(Debug, Default)]
pub struct Running {
    markets: BTreeMap<(String, String), BTreeMap<i64, Seen>>,
}

impl Running {
    /// Takes the rate that was stated for a settlement.
    pub fn see(&mut self, exchange: &str, symbol: &str, settled: i64, seen: Seen) {
        let settlements = self.markets.entry((exchange.to_owned(), symbol.to_owned())).or_default();
        let last = settlements.entry(settled).or_insert(seen);
        if last.ts <= seen.ts {
            *last = seen;
        }
    }

    /// Pushes the settlements whose last rate was seen near enough: `is_final` is told how long before the settlement, in
    /// milliseconds, and whether a later settlement of the market was seen.
    ///
    /// # Errors
    ///
    /// A row cannot be used and bad rows are errors, or it cannot be kept.
    pub fn give(self, hours: Option<f64>, is_final: fn(i64, bool) -> bool, out: &mut Out<'_>) -> Result<()> {
        for ((exchange, symbol), settlements) in self.markets {
            // Settlements that are not final yet show the interval, too.
            let instants: Vec<i64> = settlements.keys().copied().collect();
            let settled: Vec<Settlement> = settlements
                .into_iter()
                .filter(|(ts, seen)| is_final(ts.saturating_sub(seen.ts), instants.last().is_some_and(|end| ts < end)))
                .map(|(ts, Seen { line, rate, .. })| {
                    let hours = hours.or_else(|| shown_hours(&instants, ts));
                    Settlement { line, symbol: symbol.clone(), ts, rate, hours }
                })
                .collect();
            give_settlements(&exchange, &settled, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_distance_to_the_nearer_neighbour() {
        let hours = |hours: &[i64]| hours.iter().map(|hour| hour * HOUR_MS).collect::<Vec<_>>();
        assert_eq!(shown_hours(&hours(&[8, 24, 32]), 24 * HOUR_MS), Some(8.0));
        assert_eq!(shown_hours(&hours(&[8]), 8 * HOUR_MS), None);
        assert_eq!(shown_hours(&hours(&[8, 80]), 80 * HOUR_MS), None);
        // A stamp that is some milliseconds late, and one that stands twice.
        assert_eq!(shown_hours(&[0, 8 * HOUR_MS, 8 * HOUR_MS + 7], 8 * HOUR_MS), Some(8.0));
        // An interval that changes within a file.
        assert_eq!(shown_hours(&hours(&[0, 8, 16, 20, 24]), 8 * HOUR_MS), Some(8.0));
        assert_eq!(shown_hours(&hours(&[0, 8, 16, 20, 24]), 24 * HOUR_MS), Some(4.0));
    }
}

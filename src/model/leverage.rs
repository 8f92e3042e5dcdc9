//! Which leverages are assumed, with which share of the capital, and how far from the entry each is liquidated.
//!
//! A tier is a leverage with a weight. Its distance from entry to liquidation follows from the maintenance margin rate:
//!
//! ```text
//! long  d = 1 − (1 − 1/L)/(1 − rate)      short  d = (1 + 1/L)/(1 + rate) − 1
//! ```
//!
//! Nobody is liquidated exactly there: margin is shared, added, taken; brackets differ; other venues differ. So every
//! tier is split equally over multipliers `exp(x)` of its distance, the jitter, at most 60 %.

use super::margin::{Bracket, BracketUnit};
use super::side::Side;

/// Tiers with a distance at or below this (5 bp) on either side are dropped: price crosses them within a bar.
pub const SMALLEST_DISTANCE: f64 = 0.0005;

/// The largest distance from entry to liquidation; beyond it other risks than margin close a position.
pub const LARGEST_DISTANCE: f64 = 0.6;

/// Distance at which the turnover factor is one: a position that is liquidated 10 % away.
const TURNOVER_DISTANCE: f64 = 0.10;

/// Returns the fraction of the entry price between entry and liquidation.
pub fn distance(side: Side, leverage: f64, maintenance_margin_rate: f64) -> f64 {
    match side {
        Side::Long => 1.0 - (1.0 - 1.0 / leverage) / (1.0 - maintenance_margin_rate),
        Side::Short => (1.0 + 1.0 / leverage) / (1.0 + maintenance_margin_rate) - 1.0,
    }
}

/// Returns the offsets in ln(distance) over which every tier is split equally.
///
/// `half_width` 0.6 gives −0.6, −0.3, 0, 0.3, 0.6; zero gives one offset, no jitter.
pub fn jitter_offsets(half_width: f64) -> Vec<f64> {
    if half_width == 0.0 { vec![0.0] } else { [-1.0, -0.5, 0.0, 0.5, 1.0].iter().map(|x| x * half_width).collect() }
}

/// Margin rules of one (exchange, symbol) from an instant on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginRule {
    /// First instant at which the rule is known, milliseconds since the epoch.
    pub known_since: i64,
    /// Maintenance margin rate, a fraction.
    pub maintenance_margin_rate: f64,
    /// Largest leverage allowed.
    pub max_leverage: f64,
}

impl MarginRule {
    /// Returns the rule for a position of `notional` under brackets sorted by floor; `None` for an empty table.
    pub fn from_brackets(known_since: i64, brackets: &[Bracket], notional: f64) -> Option<MarginRule> {
        let holds = |bracket: &&Bracket| match bracket.unit {
            BracketUnit::QuoteNotional => notional <= bracket.cap,
            // Limits in contracts or coins cannot be compared with a notional without a price: the first bracket.
            BracketUnit::BaseSize => true,
        };
        let bracket = brackets.iter().find(holds).or(brackets.last())?;
        Some(MarginRule {
            known_since,
            maintenance_margin_rate: bracket.maintenance_margin_rate,
            max_leverage: bracket.max_leverage,
        })
    }
}

/// A tier as the book uses it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Notional / initial margin.
    pub leverage: f64,
    /// Share of what opens, normalised over the tiers in use; zero if the tier is dropped.
    pub weight: f64,
    /// How much faster than a 10 %-distant position this one turns over.
    pub turnover: f64,
    /// For each jitter, what is added to ln(entry) to reach ln(liquidation price): long, short.
    pub log_offsets: Vec<[f64; 2]>,
    /// The same as factors: liquidation price / entry.
    pub factors: Vec<[f64; 2]>,
}

impl Tier {
    fn new(leverage: f64, weight: f64, turnover: f64, log_offsets: Vec<[f64; 2]>) -> Tier {
        let factors = log_offsets.iter().map(|offsets| offsets.map(f64::exp)).collect();
        Tier { leverage, weight, turnover, log_offsets, factors }
    }
}

/// Every tier with its distances under one maintenance margin rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// In the order of the parameters, dropped tiers included with weight zero.
    pub tiers: Vec<Tier>,
}

impl Mix {
    /// Resolves leverages and weights under a maintenance margin rate and a leverage limit.
    ///
    /// A tier is dropped where its distance is at or below [`SMALLEST_DISTANCE`] on either side or its leverage is
    /// above `max_leverage`; the remaining weights are normalised to sum to one.
    pub fn new(
        leverages: &[f64],
        weights: &[f64],
        maintenance_margin_rate: f64,
        max_leverage: f64,
        jitter_offsets: &[f64],
    ) -> Mix {
        let usable = |leverage: f64| {
            leverage <= max_leverage
                && Side::BOTH.iter().all(|&side| distance(side, leverage, maintenance_margin_rate) > SMALLEST_DISTANCE)
        };
        let total: f64 = leverages.iter().zip(weights).filter(|(l, _)| usable(**l)).map(|(_, w)| w).sum();
        let tiers = leverages
            .iter()
            .zip(weights)
            .map(|(&leverage, &weight)| {
                let long = distance(Side::Long, leverage, maintenance_margin_rate);
                let short = distance(Side::Short, leverage, maintenance_margin_rate);
                let weight = if usable(leverage) && total > 0.0 { weight / total } else { 0.0 };
                let log_offsets = jitter_offsets
                    .iter()
                    .map(|x| {
                        let multiplier = x.exp();
                        [
                            (-(long * multiplier).min(LARGEST_DISTANCE)).ln_1p(),
                            (short * multiplier).min(LARGEST_DISTANCE).ln_1p(),
                        ]
                    })
                    .collect();
                Tier::new(leverage, weight, TURNOVER_DISTANCE / long.max(SMALLEST_DISTANCE), log_offsets)
            })
            .collect();
        Mix { tiers }
    }

    /// Builds a mix whose liquidation prices stand at stated offsets from ln(entry), the same distance on both sides.
    ///
    /// This is the model's own mirror-symmetric form, for properties that the unequal distances of longs and shorts
    /// would hide. Each item is (leverage, weight, offset in ln(price)).
    pub fn from_log_offsets(tiers: &[(f64, f64, f64)]) -> Mix {
        let total: f64 = tiers.iter().map(|t| t.1).sum();
        let tiers = tiers
            .iter()
            .map(|&(leverage, weight, offset)| {
                let turnover = TURNOVER_DISTANCE / (1.0 - (-offset).exp());
                Tier::new(leverage, weight / total, turnover, vec![[-offset, offset]])
            })
            .collect();
        Mix { tiers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_margin_rule() {
        // 10x, 0.4 %: long level at 0.9/0.996 of entry, short at 1.1/1.004.
        assert!((distance(Side::Long, 10.0, 0.004) - (1.0 - 0.9 / 0.996)).abs() < 1e-15);
        assert!((distance(Side::Short, 10.0, 0.004) - (1.1 / 1.004 - 1.0)).abs() < 1e-15);
    }

    #[test]
    fn higher_leverage_is_liquidated_nearer() {
        for side in Side::BOTH {
            let distances: Vec<f64> = [2.0, 3.0, 5.0, 25.0, 125.0].iter().map(|&l| distance(side, l, 0.004)).collect();
            assert!(distances.is_sorted_by(|a, b| a > b));
        }
    }

    #[test]
    fn unusable_tiers_are_dropped_and_the_rest_normalised() {
        // At a rate of 1 % a 100x position would be liquidated at its entry; 75x is above the limit of 50x.
        let mix = Mix::new(&[10.0, 50.0, 75.0, 100.0], &[0.3, 0.1, 0.3, 0.3], 0.01, 50.0, &[0.0]);
        let weights: Vec<f64> = mix.tiers.iter().map(|t| t.weight).collect();
        assert!((weights[0] - 0.75).abs() < 1e-15 && (weights[1] - 0.25).abs() < 1e-15);
        assert_eq!(weights[2..], [0.0, 0.0]);
    }

    #[test]
    fn brackets_are_chosen_by_notional() {
        let bracket = |floor, cap, rate, max_leverage| Bracket {
            unit: BracketUnit::QuoteNotional,
            floor,
            cap,
            maintenance_margin_rate: rate,
            max_leverage,
            maintenance_amount: 0.0,
        };
        let table = [bracket(0.0, 300e3, 0.004, 150.0), bracket(300e3, 800e3, 0.005, 100.0)];
        let rate = |notional| MarginRule::from_brackets(0, &table, notional).map(|rule| rule.maintenance_margin_rate);
        assert_eq!(rate(0.0), Some(0.004));
        assert_eq!(rate(300e3), Some(0.004));
        assert_eq!(rate(300_001.0), Some(0.005));
        assert_eq!(rate(1e12), Some(0.005));
        assert_eq!(MarginRule::from_brackets(0, &[], 0.0), None);
    }
}

//! How much opens in a bar: three rules.
//!
//! With volume `V`, open interest before and after `OI0`, `OI1` (base units), `up = max(OI1 − OI0, 0)` and
//! `down = max(OI0 − OI1, 0)`, what changes hands without changing open interest is `max(V − |ΔOI|, 0)`; half of it
//! opens on each side, and the share `churn` of that is new positions rather than market making. Under the hazard
//! closing a tier churns faster the nearer its liquidation, and never more than half of open interest in a bar:
//!
//! ```text
//! g_L = min(churn · τ_L · max(V − |ΔOI|, 0)/2, min(OI0, OI1)/2)
//! ```

use std::fmt;

/// The rule by which positions open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A rise of open interest, and the churn beneath it. Measured to be the best of the three.
    Turnover,
    /// Volume alone.
    Volume,
    /// A rise of open interest alone.
    OpenInterest,
}

impl Opening {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["turnover", "volume", "open_interest"];

    /// Reads a name of [`Opening::NAMES`].
    pub fn from_name(name: &str) -> Option<Opening> {
        match name {
            "turnover" => Some(Opening::Turnover),
            "volume" => Some(Opening::Volume),
            "open_interest" => Some(Opening::OpenInterest),
            _ => None,
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

/// What one bar traded, in base units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traded {
    pub(crate) volume: f64,
    pub(crate) open_interest_before: f64,
    pub(crate) open_interest_after: f64,
}

impl Traded {
    /// Rise of open interest.
    pub(crate) fn up(&self) -> f64 {
        (self.open_interest_after - self.open_interest_before).max(0.0)
    }

    /// Fall of open interest.
    pub(crate) fn down(&self) -> f64 {
        (self.open_interest_before - self.open_interest_after).max(0.0)
    }

    /// What changed hands on each side without changing open interest.
    pub(crate) fn unexplained(&self) -> f64 {
        let change = (self.open_interest_after - self.open_interest_before).abs();
        (self.volume - change).max(0.0) / 2.0
    }

    /// Churn of a tier under the hazard closing (`g_L`), per side.
    pub(crate) fn churned(&self, churn: f64, turnover: f64) -> f64 {
        let bound = self.open_interest_before.min(self.open_interest_after) / 2.0;
        (churn * turnover * self.unexplained()).min(bound)
    }

    /// What opens per side under the hazard closing, for a tier of weight one that churns `churned`.
    pub(crate) fn opened_with_hazard(&self, opening: Opening, churned: f64) -> f64 {
        match opening {
            Opening::Turnover => self.up() + churned,
            Opening::Volume => churned,
            Opening::OpenInterest => self.up(),
        }
    }

    /// What opens per side where closing does not depend on turnover, for a tier of weight one.
    pub(crate) fn opened_without_hazard(&self, opening: Opening, churn: f64) -> f64 {
        match opening {
            Opening::Turnover => self.up() + churn * self.unexplained(),
            Opening::Volume => churn * self.volume / 2.0,
            Opening::OpenInterest => self.up(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in Opening::NAMES {
            assert_eq!(Opening::from_name(name).map(|o| o.to_string()).as_deref(), Some(*name));
        }
        assert_eq!(Opening::from_name("oi"), None);
    }

    #[test]
    fn turnover_splits_volume_into_rise_and_churn() {
        let traded = Traded { volume: 100.0, open_interest_before: 1000.0, open_interest_after: 1020.0 };
        assert_eq!((traded.up(), traded.down(), traded.unexplained()), (20.0, 0.0, 40.0));
        // churn 5 % of 40 at turnover 2 is 4; far below half of open interest.
        assert_eq!(traded.churned(0.05, 2.0), 4.0);
        assert_eq!(traded.opened_with_hazard(Opening::Turnover, 4.0), 24.0);
        assert_eq!(traded.opened_without_hazard(Opening::Volume, 0.05), 2.5);
        // A thin market: never more than half of open interest.
        let thin = Traded { volume: 1e6, open_interest_before: 10.0, open_interest_after: 8.0 };
        assert_eq!(thin.churned(0.05, 2.0), 4.0);
    }
}

//! How much leaves in a bar without being liquidated: three rules.
//!
//! All are age-blind and proportional, so that one factor per tier holds for all that stands in it:
//!
//! ```text
//! hazard     keep_L = max(0, 1 − (down + g_L)/OI0)     what falls with open interest, and what churns
//! half_life  keep   = 2^(−bar length / half life)
//! never      keep   = 1                                levels leave only when price sweeps them
//! ```
//!
//! Under `hazard`, and only there, the book is bounded: what stands on a side never exceeds open interest.

use std::fmt;

use super::opening::Traded;

/// The rule by which positions leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Closing {
    /// With open interest and with turnover, the faster the nearer the liquidation.
    Hazard,
    /// Not at all: what paid maps say of themselves. Overstates what stands 20 to 30 times.
    Never,
    /// By age alone.
    HalfLife {
        /// Time after which half is left, in milliseconds.
        milliseconds: f64,
    },
}

impl Closing {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["hazard", "never", "half_life"];

    /// Returns the share that stays, for a tier that churns `churned` in a bar of `interval` milliseconds.
    pub(crate) fn keep(&self, traded: &Traded, churned: f64, interval: i64) -> f64 {
        match self {
            Closing::Hazard => {
                let leaving = traded.down() + churned;
                if leaving == 0.0 {
                    1.0
                } else if traded.open_interest_before > 0.0 {
                    (1.0 - leaving / traded.open_interest_before).max(0.0)
                } else {
                    0.0
                }
            }
            Closing::Never => 1.0,
            Closing::HalfLife { milliseconds } => (-(interval as f64) / milliseconds).exp2(),
        }
    }

    /// Whether what stands is bounded by open interest.
    pub fn is_bounded_by_open_interest(&self) -> bool {
        matches!(self, Closing::Hazard)
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Closing::Hazard => "hazard",
            Closing::Never => "never",
            Closing::HalfLife { .. } => "half_life",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays() {
        let traded = Traded { volume: 0.0, open_interest_before: 100.0, open_interest_after: 90.0 };
        assert_eq!(Closing::Hazard.keep(&traded, 5.0, 0), 0.85);
        assert_eq!(Closing::Hazard.keep(&traded, 500.0, 0), 0.0);
        assert_eq!(Closing::Never.keep(&traded, 500.0, 0), 1.0);
        assert_eq!(Closing::HalfLife { milliseconds: 1000.0 }.keep(&traded, 0.0, 2000), 0.25);
    }

    #[test]
    fn without_open_interest_nothing_stays() {
        let traded = Traded { volume: 0.0, open_interest_before: 0.0, open_interest_after: 5.0 };
        assert_eq!(Closing::Hazard.keep(&traded, 0.0, 0), 1.0);
        let traded = Traded { volume: 9.0, open_interest_before: 0.0, open_interest_after: 0.0 };
        assert_eq!(Closing::Hazard.keep(&traded, 1.0, 0), 0.0);
    }
}

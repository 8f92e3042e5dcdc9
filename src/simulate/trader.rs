//! Answers "who trades, how large, with what leverage, and when do they leave?".
//!
//! Every account is a [`Trader`] with a lasting style, size and leverage habit. A [`Plan`] is one position it wants:
//! side, size, leverage, extra collateral, holding time and, perhaps, a stop-loss, a take-profit or the habit of adding
//! margin. Holding times are lognormal and do not depend on the distance to liquidation; leverage is drawn from round
//! numbers. Both are deliberately unlike what the estimator assumes.

use super::random::Draw;

/// A way of trading.
#[derive(Debug)]
pub(super) struct Style {
    /// Share of the standing positions, by count.
    pub(super) count_share: f64,
    /// Share of the standing positions, by size.
    pub(super) size_share: f64,
    pub(super) holding_median_seconds: f64,
    pub(super) holding_sigma: f64,
    /// Standard deviation of the logarithm of size between accounts.
    size_sigma: f64,
    leverages: &'static [(f64, f64)],
    stop_loss_chance: f64,
    stop_loss_median: f64,
    take_profit_chance: f64,
    take_profit_median: f64,
    adds_margin_chance: f64,
    extra_collateral_chance: f64,
    /// Weight of the crowd's mood in the choice of side; negative means against the crowd.
    mood_weight: f64,
    /// Constant lean in log odds; hedgers lean short.
    lean: f64,
}

/// From the fastest to the slowest.
pub(super) const STYLES: [Style; 4] = [
    // Scalpers: minutes to hours.
    Style {
        count_share: 0.21,
        size_share: 0.032,
        holding_median_seconds: 5_400.0,
        holding_sigma: 1.1,
        size_sigma: 1.3,
        leverages: &[
            (5.0, 5.0),
            (10.0, 20.0),
            (20.0, 22.0),
            (25.0, 8.0),
            (30.0, 6.0),
            (50.0, 20.0),
            (75.0, 5.0),
            (100.0, 11.0),
            (125.0, 2.5),
            (150.0, 0.5),
        ],
        stop_loss_chance: 0.55,
        stop_loss_median: 0.006,
        take_profit_chance: 0.6,
        take_profit_median: 0.006,
        adds_margin_chance: 0.12,
        extra_collateral_chance: 0.3,
        mood_weight: 0.5,
        lean: 0.0,
    },
    // Day traders.
    Style {
        count_share: 0.34,
        size_share: 0.15,
        holding_median_seconds: 25_000.0,
        holding_sigma: 1.15,
        size_sigma: 1.5,
        leverages: &[
            (3.0, 6.0),
            (5.0, 18.0),
            (7.0, 3.0),
            (8.0, 3.0),
            (10.0, 27.0),
            (12.0, 2.0),
            (15.0, 6.0),
            (20.0, 14.0),
            (25.0, 4.0),
            (40.0, 1.0),
            (50.0, 4.0),
            (100.0, 1.5),
        ],
        stop_loss_chance: 0.60,
        stop_loss_median: 0.015,
        take_profit_chance: 0.5,
        take_profit_median: 0.018,
        adds_margin_chance: 0.25,
        extra_collateral_chance: 0.35,
        mood_weight: 1.3,
        lean: 0.0,
    },
    // Swing traders: days to weeks.
    Style {
        count_share: 0.37,
        size_share: 0.52,
        holding_median_seconds: 330_000.0,
        holding_sigma: 0.95,
        size_sigma: 1.6,
        leverages: &[
            (1.0, 3.0),
            (2.0, 15.0),
            (3.0, 22.0),
            (4.0, 5.0),
            (5.0, 25.0),
            (8.0, 3.0),
            (10.0, 18.0),
            (15.0, 2.5),
            (20.0, 5.0),
            (25.0, 1.5),
        ],
        stop_loss_chance: 0.45,
        stop_loss_median: 0.05,
        take_profit_chance: 0.4,
        take_profit_median: 0.08,
        adds_margin_chance: 0.35,
        extra_collateral_chance: 0.5,
        mood_weight: 1.1,
        lean: 0.1,
    },
    // Hedgers and carry traders: weeks to months, against the crowd.
    Style {
        count_share: 0.08,
        size_share: 0.298,
        holding_median_seconds: 1_500_000.0,
        holding_sigma: 0.9,
        size_sigma: 1.4,
        leverages: &[(1.0, 30.0), (2.0, 35.0), (3.0, 22.0), (5.0, 13.0)],
        stop_loss_chance: 0.05,
        stop_loss_median: 0.2,
        take_profit_chance: 0.1,
        take_profit_median: 0.25,
        adds_margin_chance: 0.7,
        extra_collateral_chance: 0.7,
        mood_weight: -0.5,
        lean: -0.3,
    },
];

impl Style {
    /// Mean holding time if nothing else closes the position, seconds.
    pub(super) fn holding_mean_seconds(&self) -> f64 {
        self.holding_median_seconds * libm::exp(0.5 * self.holding_sigma * self.holding_sigma)
    }
}

/// An account and its habits.
#[derive(Debug, Clone)]
pub(super) struct Trader {
    pub(super) style: usize,
    /// Size relative to the mean of the style.
    size_factor: f64,
    usual_leverage: f64,
}

/// What a trader sees when choosing a side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    /// Crowd sentiment, about -2..2, positive is bullish.
    pub(super) sentiment: f64,
    /// Net long share of the traders' book, -1..1; crowded sides cost funding and attract the other side.
    pub(super) imbalance: f64,
    /// Probability that a trader forgets its care: more leverage, no stop. Grows before scripted events.
    pub(super) greed: f64,
}

/// One position that a trader wants to open.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) long: bool,
    /// Size relative to the mean of the style.
    pub(super) size_factor: f64,
    pub(super) leverage: f64,
    /// Collateral beyond the initial margin, as a multiple of it (cross margin).
    pub(super) extra_collateral: f64,
    pub(super) holding_ms: i64,
    /// Distance below (long) or above (short) entry, as a share of price.
    pub(super) stop_loss: Option<f64>,
    pub(super) take_profit: Option<f64>,
    pub(super) adds_margin: bool,
}

/// Draws `count` accounts of a style; their sizes are scaled so that the mean is exactly one.
pub(super) fn recruit(style: usize, count: usize, draw: &mut Draw) -> Vec<Trader> {
    let habits = &STYLES[style];
    let mut traders: Vec<Trader> = (0..count)
        .map(|_| {
            let size_factor = draw.lognormal(1.0, habits.size_sigma).min(60.0);
            Trader { style, size_factor, usual_leverage: draw_leverage(habits, size_factor, draw) }
        })
        .collect();
    let total: f64 = traders.iter().map(|trader| trader.size_factor).sum();
    let mean = total / count.max(1) as f64;
    for trader in &mut traders {
        trader.size_factor /= mean;
    }
    traders
}

/// The larger the account, the more careful: it takes the smallest of several draws.
fn draw_leverage(habits: &Style, size_factor: f64, draw: &mut Draw) -> f64 {
    let draws = match size_factor {
        size if size < 0.7 => 1,
        size if size < 3.0 => 2,
        size if size < 10.0 => 3,
        _ => 4,
    };
    let mut smallest = f64::INFINITY;
    for _ in 0..draws {
        let index = draw.weighted(habits.leverages.iter().map(|(_, weight)| *weight));
        smallest = smallest.min(habits.leverages[index].0);
    }
    smallest
}

impl Trader {
    /// Draws the next position of this trader.
    pub(super) fn plan(&self, mood: Mood, draw: &mut Draw) -> Plan {
        let habits = &STYLES[self.style];
        let log_odds = habits.mood_weight * mood.sentiment - 6.0 * mood.imbalance + habits.lean;
        let long = draw.chance(1.0 / (1.0 + libm::exp(-log_odds)));
        let greedy = draw.chance(mood.greed);
        let leverage = if greedy {
            draw_leverage(habits, 0.0, draw).max(self.usual_leverage)
        } else if draw.chance(0.75) {
            self.usual_leverage
        } else {
            draw_leverage(habits, self.size_factor, draw)
        };
        // The mean of the lognormal is one, so that the style's mean size holds.
        let size_factor = self.size_factor * draw.lognormal(0.835, 0.6);
        let extra_collateral = if !greedy && draw.chance(habits.extra_collateral_chance) {
            draw.lognormal(0.6, 0.9).min(8.0)
        } else {
            0.0
        };
        let holding_seconds = draw.lognormal(habits.holding_median_seconds, habits.holding_sigma);
        let stop_loss = draw
            .chance(habits.stop_loss_chance)
            .then(|| draw.lognormal(habits.stop_loss_median, 0.6).min(0.8))
            .filter(|_| !greedy);
        let take_profit =
            draw.chance(habits.take_profit_chance).then(|| draw.lognormal(habits.take_profit_median, 0.7).min(0.8));
        let adds_margin = draw.chance(habits.adds_margin_chance);
        Plan {
            long,
            size_factor,
            leverage,
            extra_collateral,
            holding_ms: (holding_seconds * 1_000.0) as i64 + 1,
            stop_loss,
            take_profit,
            adds_margin,
        }
    }
}

/// Rounds a number of order units as people do: often to one or two leading digits.
pub(super) fn round_as_people_do(units: f64, draw: &mut Draw) -> i64 {
    let whole = units.round().max(1.0) as i64;
    let digits = match draw.uniform() {
        u if u < 0.25 => 1,
        u if u < 0.75 => 2,
        u if u < 0.9 => 3,
        _ => return whole,
    };
    let limit = [10_i64, 100, 1_000][digits - 1];
    let mut unit = 1_i64;
    while whole / unit >= limit {
        unit *= 10;
    }
    ((whole + unit / 2) / unit * unit).max(1)
}

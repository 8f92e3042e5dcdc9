//! Answers "where does price go next, before anybody is forced to trade?": the exogenous price process.
//!
//! One common factor and one own process per symbol. Volatility is a product of three mean-reverting processes (half an
//! hour, ten hours, ten days), an intraday and weekly season, and a self-exciting part that jumps with large moves and
//! with forced orders. Returns add jumps, regimes (trend or range) and scripted [`News`]. Forced orders arrive from the
//! exchanges as a signed share of open interest and move price: part of it for good, part of it for about two hours.
//! Nothing here knows about positions.

use super::random::{Draw, MeanReverting};
use super::{News, SymbolConfig};

/// Seconds in a day.
pub(super) const DAY_SECONDS: f64 = 86_400.0;
const DAY_MS: i64 = 86_400_000;

/// Share of a forced order's impact that stays in the price.
const LASTING_SHARE: f64 = 0.5;
/// Seconds until 63 % of the passing impact has gone.
const IMPACT_MEMORY_SECONDS: f64 = 7_200.0;
/// Largest move that forced orders can cause in one sub-step, in log price.
const LARGEST_IMPACT: f64 = 0.004;

/// Volatility on several time scales, relative to its median of about 1.
#[derive(Debug, Clone)]
struct Volatility {
    minutes: MeanReverting,
    hours: MeanReverting,
    days: MeanReverting,
    /// Aftermath of large moves that fades within the hour, and one that lasts for hours.
    excitement: f64,
    excitement_decay: f64,
    unrest: f64,
    unrest_decay: f64,
}

impl Volatility {
    fn new(step_seconds: f64, draw: &mut Draw) -> Self {
        Self {
            minutes: MeanReverting::new(1_800.0, 0.28, step_seconds, draw),
            hours: MeanReverting::new(36_000.0, 0.38, step_seconds, draw),
            days: MeanReverting::new(10.0 * DAY_SECONDS, 0.30, step_seconds, draw),
            excitement: 0.0,
            excitement_decay: libm::exp(-step_seconds / 2_100.0),
            unrest: 0.0,
            unrest_decay: libm::exp(-step_seconds / 25_000.0),
        }
    }

    /// `move_shock` is the standard normal of the price move; falls raise volatility more than rises do.
    fn advance(&mut self, move_shock: f64, draw: &mut Draw) {
        self.minutes.advance(draw.normal());
        let own = draw.normal();
        self.hours.advance(-0.3 * move_shock + 0.954 * own);
        self.days.advance(draw.normal());
        let surprise = (move_shock.abs() - 2.0).max(0.0);
        self.excitement *= self.excitement_decay;
        self.unrest *= self.unrest_decay;
        self.excite(0.04 * surprise);
    }

    fn excite(&mut self, amount: f64) {
        self.excitement = (self.excitement + amount).min(2.5);
        self.unrest = (self.unrest + 0.25 * amount).min(1.2);
    }

    fn level(&self) -> f64 {
        libm::exp(self.minutes.value + self.hours.value + self.days.value) * (1.0 + self.excitement + self.unrest)
    }

    /// How much more is traded than usual; volume follows volatility less than one to one.
    fn activity(&self) -> f64 {
        let calm = libm::exp(0.75 * (self.minutes.value + self.hours.value) + 0.4 * self.days.value);
        calm * libm::pow(1.0 + self.excitement + self.unrest, 0.9)
    }
}

/// A spell of the market: a drift, or a pull towards a level.
#[derive(Debug, Clone)]
struct Regime {
    ends_ms: i64,
    /// Log return per day, in that day's standard deviations: quiet markets do not run.
    drift: f64,
    /// Pull to `anchor` per day.
    pull: f64,
    anchor: f64,
}

/// One symbol's reference price (the index that all exchanges share).
#[derive(Debug, Clone)]
pub(super) struct SymbolPrice {
    /// Log price without passing impact.
    lasting: f64,
    /// Impact of forced orders that has not faded yet, in log price.
    passing: f64,
    /// What an impatient order moves and the next one moves back within minutes, in log price: it makes wicks.
    flutter: f64,
    beta: f64,
    own_daily_volatility: f64,
    /// Log price that the market does not leave for ever.
    long_run: f64,
    volatility: Volatility,
    regime: Regime,
    /// Exponential mean of the log price over about a day: what momentum traders compare with.
    slow_mean: f64,
    /// This step's move in standard deviations.
    pub(super) standard_move: f64,
    /// Trading intensity, 1 on a usual day.
    pub(super) activity: f64,
    draw: Draw,
}

impl SymbolPrice {
    /// Natural logarithm of the reference price.
    pub(super) fn log_price(&self) -> f64 {
        self.lasting + self.passing + self.flutter
    }

    /// Log distance from the mean of about the last day, positive after a rise.
    pub(super) fn momentum(&self) -> f64 {
        self.log_price() - self.slow_mean
    }
}

/// The reference prices of all symbols, moving together.
#[derive(Debug, Clone)]
pub(super) struct ReferencePrices {
    pub(super) symbols: Vec<SymbolPrice>,
    factor_daily_volatility: f64,
    /// Pull to the starting level per day: invisible over days, it keeps months within a plausible range.
    long_run_pull: f64,
    factor: Volatility,
    step_seconds: f64,
    impact_decay: f64,
    slow_decay: f64,
    flutter_decay: f64,
    draw: Draw,
}

/// Activity by the time of day (UTC) and of the week, mean about 1: three sessions, the American one largest, calm weekends.
pub(super) fn season(ts_ms: i64) -> f64 {
    let day = ts_ms.div_euclid(DAY_MS);
    let hour = ts_ms.rem_euclid(DAY_MS) as f64 / 3_600_000.0;
    let bump = |centre: f64, width: f64| {
        // Hours wrap at midnight.
        let raw = (hour - centre).abs();
        let distance = raw.min(24.0 - raw) / width;
        libm::exp(-0.5 * distance * distance)
    };
    let sessions =
        0.66 + 0.28 * bump(0.8, 1.3) + 0.30 * bump(8.0, 1.6) + 0.95 * bump(14.6, 2.0) + 0.25 * bump(19.5, 2.5);
    // Day 0 of the epoch was a Thursday.
    let weekday = (day + 3).rem_euclid(7);
    if weekday >= 5 { sessions * 0.62 } else { sessions * 1.08 }
}

impl ReferencePrices {
    /// Starts all symbols at their configured prices; `factor_daily_volatility` is the standard deviation of the common
    /// factor's daily log return in a median hour.
    pub(super) fn new(
        symbols: &[SymbolConfig],
        factor_daily_volatility: f64,
        step_seconds: f64,
        seed: u64,
        stream: u64,
    ) -> Self {
        Self::of_many(symbols, 0, factor_daily_volatility, step_seconds, seed, stream)
    }

    /// The same for some of many symbols, which begin with number `first`: whoever simulates each alone gets the prices
    /// that all would have together, for they share the factor and nothing else.
    pub(super) fn of_many(
        symbols: &[SymbolConfig],
        first: u64,
        factor_daily_volatility: f64,
        step_seconds: f64,
        seed: u64,
        stream: u64,
    ) -> Self {
        let mut draw = Draw::new(seed, stream);
        let factor = Volatility::new(step_seconds, &mut draw);
        let symbols = symbols
            .iter()
            .zip(first..)
            .map(|(symbol, index)| {
                let mut draw = Draw::new(seed, stream + 1 + index);
                let log_price = libm::log(symbol.start_price);
                SymbolPrice {
                    lasting: log_price,
                    passing: 0.0,
                    flutter: 0.0,
                    beta: symbol.beta,
                    own_daily_volatility: symbol.own_daily_volatility,
                    long_run: log_price,
                    volatility: Volatility::new(step_seconds, &mut draw),
                    regime: Regime { ends_ms: i64::MIN, drift: 0.0, pull: 0.0, anchor: log_price },
                    slow_mean: log_price,
                    standard_move: 0.0,
                    activity: 1.0,
                    draw,
                }
            })
            .collect();
        Self {
            symbols,
            factor_daily_volatility,
            long_run_pull: 0.015,
            factor,
            step_seconds,
            impact_decay: libm::exp(-step_seconds / IMPACT_MEMORY_SECONDS),
            slow_decay: libm::exp(-step_seconds / DAY_SECONDS),
            flutter_decay: libm::exp(-step_seconds / 80.0),
            draw,
        }
    }

    /// Lets prices wander as far as they like: for years of history, whose ends are fixed otherwise.
    pub(super) fn without_long_run_pull(mut self) -> Self {
        self.long_run_pull = 0.0;
        self
    }

    /// Moves every symbol by one step that opens at `ts_ms`.
    ///
    /// `forced[i]` is what forced orders bought (positive) or sold since the last step, in units of the notional that
    /// moves price by one percent.
    pub(super) fn advance(&mut self, ts_ms: i64, forced: &[f64], news: &[News]) {
        let seasonal = season(ts_ms).sqrt();
        let root_day = (self.step_seconds / DAY_SECONDS).sqrt();
        let day_share = self.step_seconds / DAY_SECONDS;
        let shock = self.draw.normal();
        let mut factor_shock = shock;
        let five_minutes = (300.0 / self.step_seconds).sqrt().max(0.3);
        if self.draw.chance(1.3 * day_share) {
            factor_shock += five_minutes * 2.2 * self.draw.normal();
        }
        let mut arrived = 0.0;
        for item in news {
            if ts_ms >= item.at_ms && ts_ms < item.at_ms + item.duration_ms {
                arrived += item.log_return * self.step_seconds * 1_000.0 / item.duration_ms as f64;
                self.factor.excite(4.0 * self.step_seconds * 1_000.0 / item.duration_ms as f64);
            }
        }
        let leader_forced = forced.first().copied().unwrap_or(0.0);
        self.factor.advance(factor_shock, &mut self.draw);
        let factor_scale = self.factor_daily_volatility * root_day * seasonal * self.factor.level();
        let factor_activity = self.factor.activity();
        for (index, symbol) in self.symbols.iter_mut().enumerate() {
            let mut own_shock = symbol.draw.normal();
            if symbol.draw.chance(0.5 * day_share) {
                own_shock += five_minutes * 2.0 * symbol.draw.normal();
            }
            symbol.volatility.advance(own_shock, &mut symbol.draw);
            let own_scale = symbol.own_daily_volatility * root_day * seasonal * symbol.volatility.level();
            let noise = symbol.beta * factor_scale * factor_shock + own_scale * own_shock;
            let scale = (symbol.beta * factor_scale * symbol.beta * factor_scale + own_scale * own_scale).sqrt();

            // What happens to the leader drags the others along, in part.
            let mut pressure = forced.get(index).copied().unwrap_or(0.0);
            if index > 0 {
                pressure += 0.5 * symbol.beta * leader_forced;
            }
            let impact = (0.01 * pressure).clamp(-LARGEST_IMPACT, LARGEST_IMPACT);
            symbol.volatility.excite(8.0 * impact.abs());
            if index == 0 {
                self.factor.excite(4.0 * impact.abs());
            }

            if ts_ms >= symbol.regime.ends_ms {
                symbol.regime = next_regime(ts_ms, symbol.log_price(), &mut symbol.draw);
            }
            let drift = (symbol.regime.drift * scale / root_day
                - symbol.regime.pull * (symbol.lasting - symbol.regime.anchor)
                - self.long_run_pull * (symbol.lasting - symbol.long_run))
                * day_share;
            symbol.lasting += noise + drift + symbol.beta * arrived + LASTING_SHARE * impact;
            symbol.passing = symbol.passing * self.impact_decay + (1.0 - LASTING_SHARE) * impact;
            let kick = (1.0 - self.flutter_decay * self.flutter_decay).sqrt();
            // A share of what a usual five minutes move, and now and then much more.
            let reach = 0.26 * scale / root_day * (300.0 / DAY_SECONDS).sqrt();
            let burst = if symbol.draw.chance(0.01) { 4.0 } else { 1.0 };
            symbol.flutter = symbol.flutter * self.flutter_decay + kick * reach * burst * symbol.draw.normal();
            symbol.slow_mean = symbol.slow_mean * self.slow_decay + symbol.log_price() * (1.0 - self.slow_decay);
            symbol.standard_move = (noise + symbol.beta * arrived + impact) / scale;
            let own_activity = symbol.volatility.activity();
            symbol.activity = (seasonal
                * seasonal
                * libm::pow(factor_activity, 0.75)
                * libm::pow(own_activity, 0.35)
                * (0.7 + 0.37 * symbol.standard_move.abs().min(4.0)))
            .min(14.0);
        }
    }
}

/// Draws the next spell: ranges are a little more common than trends, and last a few days.
fn next_regime(ts_ms: i64, log_price: f64, draw: &mut Draw) -> Regime {
    let days = draw.lognormal(3.0, 0.7).clamp(0.5, 14.0);
    let ends_ms = ts_ms + (days * DAY_MS as f64) as i64;
    let kind = draw.uniform();
    let strength = 0.10 + 0.40 * draw.uniform();
    if kind < 0.28 {
        Regime { ends_ms, drift: strength, pull: 0.0, anchor: log_price }
    } else if kind < 0.53 {
        Regime { ends_ms, drift: -strength, pull: 0.0, anchor: log_price }
    } else {
        Regime { ends_ms, drift: 0.0, pull: 0.5, anchor: log_price }
    }
}

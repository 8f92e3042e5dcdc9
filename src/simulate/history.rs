//! Answers "what came before the sample?": daily candles of earlier years, from the price process without traders.
//!
//! The path is tilted in log price so that it begins at the configured price and ends where the sample opens; daily
//! ranges come from the steps within each day.

use super::price::{DAY_SECONDS, ReferencePrices};
use super::random::Draw;
use super::{Candle, SimulationConfig};

/// Steps within a day of history.
const STEPS: usize = 96;
const DAY_MS: i64 = 86_400_000;
const STAND_IN_FOR_TRADERS: f64 = 1.9;

/// Returns `days` daily candles per symbol (outer index: symbol) that end at `end_ms` at the prices `last_prices`.
///
/// `base_volume[i]` is the usual volume of a day, base units. The market index of the candles is left at 0.
pub(super) fn daily_history(
    config: &SimulationConfig,
    days: usize,
    end_ms: i64,
    last_prices: &[f64],
    base_volume: &[f64],
) -> Vec<Vec<Candle>> {
    let step_seconds = DAY_SECONDS / STEPS as f64;
    let step_ms = DAY_MS / STEPS as i64;
    let start_ms = end_ms - days as i64 * DAY_MS;
    // Without forced orders and short bursts the process is calmer than the recorded market; this makes up for it.
    let mut symbols = config.symbols.clone();
    for symbol in &mut symbols {
        symbol.own_daily_volatility *= STAND_IN_FOR_TRADERS;
    }
    let volatility = config.daily_volatility * STAND_IN_FOR_TRADERS;
    let mut prices =
        ReferencePrices::new(&symbols, volatility, step_seconds, config.seed, 1_000).without_long_run_pull();
    let count = config.symbols.len();
    let mut paths: Vec<Vec<f64>> = prices.symbols.iter().map(|symbol| vec![symbol.log_price()]).collect();
    let mut activity = vec![vec![0.0_f64; days]; count];
    for step in 0..days * STEPS {
        let ts_ms = start_ms + step as i64 * step_ms;
        prices.advance(ts_ms, &[], &[]);
        for (index, symbol) in prices.symbols.iter().enumerate() {
            paths[index].push(symbol.log_price());
            activity[index][step / STEPS] += symbol.activity / STEPS as f64;
        }
    }
    let mut draw = Draw::new(config.seed, 1_900);
    let mut histories = Vec::with_capacity(count);
    for (index, symbol) in config.symbols.iter().enumerate() {
        let path = &paths[index];
        let steps = (path.len() - 1) as f64;
        let first = libm::log(symbol.history_start_price);
        let last = libm::log(last_prices[index]);
        let (raw_first, raw_last) = (path[0], path[path.len() - 1]);
        let tilt = ((last - raw_last) - (first - raw_first)) / steps.max(1.0);
        let unit = libm::pow(10.0, f64::from(symbol.price_decimals)).round();
        let lot = libm::pow(10.0, f64::from(symbol.size_decimals)).round();
        let at = |step: usize| {
            let log_price = path[step] + (first - raw_first) + tilt * step as f64;
            (libm::exp(log_price) * unit).round() / unit
        };
        let mut candles = Vec::with_capacity(days);
        for (day, usual) in activity[index].iter().enumerate() {
            let from = day * STEPS;
            let (open, close) = (at(from), at(from + STEPS));
            let mut high = open.max(close);
            let mut low = open.min(close);
            for step in from..=from + STEPS {
                high = high.max(at(step));
                low = low.min(at(step));
            }
            let ts_ms = start_ms + day as i64 * DAY_MS;
            // Fewer contracts stood in earlier years.
            let growth = 0.55 + 0.45 * (day as f64 / days as f64);
            let volume = base_volume[index] * growth * usual * draw.lognormal(1.0, 0.14);
            let direction = (close / open - 1.0).clamp(-0.08, 0.08);
            let taker_share = 0.5 + 0.25 * direction + 0.006 * draw.normal();
            candles.push(Candle {
                ts_ms,
                market: 0,
                open,
                high,
                low,
                close,
                volume: (volume * lot).round() / lot,
                taker_buy_volume: Some((volume * taker_share * lot).round() / lot),
            });
        }
        histories.push(candles);
    }
    histories
}

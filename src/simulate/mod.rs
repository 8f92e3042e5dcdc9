//! A SIMULATED market whose positions are known exactly, from a seed: ground truth for the estimate, and the sample data.
//!
//! In goes a [`SimulationConfig`]; out comes a [`SimulatedMarket`]: candles, trades, open interest, funding, liquidations
//! and the positions themselves, as rows and as Arrow tables. Nothing in it ever happened on an exchange.
//!
//! ```text
//!  random numbers ─► price process ─► last and mark price of each exchange ─► stops, liquidations, exits, entries
//!                        ▲                                                              │
//!                        └──────────────── forced orders push price ◄───────────────────┤
//!                                                                                       └─► tables
//! ```
//!
//! Invariants:
//! - The same configuration gives the same bytes on every platform. Random numbers are PCG, every transcendental function
//!   is `libm`'s, and there is no clock. Threads share nothing: one runs the market with traders, and one each symbol of a
//!   wide market.
//! - Every trade has two sides, whole lots and a price on the tick. Open interest equals the sum of long sizes and the sum
//!   of short sizes; volume equals the sum of trade sizes.
//! - After every sub-step no position stands beyond the margin rule of its exchange.
//!
//! It must not share what the estimator in [`crate::model`] assumes, or agreement would mean nothing. Here openings follow
//! intensity and not turnover; holding times are lognormal and know nothing of the distance to liquidation; leverage comes
//! in round numbers, each account with its own habit; longs and shorts are unequal (market makers hold the rest);
//! stop-losses, take-profits, added margin, cross collateral, brackets and funding all move or end positions. Only the
//! margin rule itself is taken from the model.
//!
//! | file | question it answers |
//! |---|---|
//! | `random` | what chance says next |
//! | `price` | where price goes before anybody is forced to trade |
//! | `trader` | who trades, how large, with what leverage, and when they leave |
//! | `exchange` | what happens to the positions |
//! | `history` | what came before the sample |
//! | [`tables`] | how the rows look as tables |
//! | [`wide`] | how a data root of many symbols and years is filled: the price process alone, without traders |

mod exchange;
mod history;
mod price;
mod random;
pub mod tables;
mod trader;
pub mod wide;

use crate::model::margin::{Bracket, BracketUnit};
use crate::model::side::Side;
use exchange::{Market, Moment};
use price::{DAY_SECONDS, ReferencePrices};
use random::{Draw, MeanReverting};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// A symbol, the same on every exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct SymbolConfig {
    /// For example `BTCUSDT`.
    pub name: String,
    /// Price at the beginning of the warm-up, quote per base.
    pub start_price: f64,
    /// Price at the beginning of the daily history.
    pub history_start_price: f64,
    /// Decimal places of the tick: 1 is a tick of 0.1.
    pub price_decimals: u32,
    /// Decimal places of the lot: 3 is a lot of 0.001 base.
    pub size_decimals: u32,
    /// Sizes that people trade are multiples of this many lots. It keeps volumes short numbers (a power of two times a
    /// whole number compresses far better than thousandths).
    pub lots_per_order_unit: u32,
    /// How strongly the symbol follows the common factor. The first symbol leads and usually has 1.
    pub beta: f64,
    /// Standard deviation of the daily log return that is the symbol's own, in a median hour.
    pub own_daily_volatility: f64,
    /// Share of the symbol's usual open interest (all exchanges) that moves price by one percent when it is forced to
    /// trade at once.
    pub depth: f64,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeConfig {
    /// Lower case, for example `binance`.
    pub name: String,
    /// Hours between funding payments.
    pub funding_interval_hours: u32,
}

/// One bracket of a margin rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TierConfig {
    /// Upper limit of the notional, quote currency.
    pub cap: f64,
    /// Fraction of the notional.
    pub maintenance_margin_rate: f64,
    /// Largest leverage allowed.
    pub max_leverage: f64,
}

/// One symbol on one exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketConfig {
    /// Name of an exchange of the configuration.
    pub exchange: String,
    /// Name of a symbol of the configuration.
    pub symbol: String,
    /// Usual open interest, base units, one side.
    pub open_interest: f64,
    /// Usual number of standing positions; sizes follow, so that open interest is as given.
    pub standing_positions: usize,
    /// Brackets by rising cap.
    pub tiers: Vec<TierConfig>,
}

impl MarketConfig {
    /// The margin table with deductions that make the maintenance margin continuous:
    /// amount_k = amount_(k-1) + floor_k × (rate_k − rate_(k-1)), as both exchanges publish it.
    fn brackets(&self) -> Vec<Bracket> {
        let mut floor = 0.0;
        let mut rate = self.tiers.first().map_or(0.0, |tier| tier.maintenance_margin_rate);
        let mut amount = 0.0;
        self.tiers
            .iter()
            .map(|tier| {
                // Amounts are published in whole cents.
                amount = ((amount + floor * (tier.maintenance_margin_rate - rate)) * 100.0_f64).round() / 100.0;
                let bracket = Bracket {
                    unit: BracketUnit::QuoteNotional,
                    floor,
                    cap: tier.cap,
                    maintenance_margin_rate: tier.maintenance_margin_rate,
                    max_leverage: tier.max_leverage,
                    maintenance_amount: amount,
                };
                floor = tier.cap;
                rate = tier.maintenance_margin_rate;
                bracket
            })
            .collect()
    }
}

/// A scripted event: a move of the common factor that positions were crowded against.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Start, milliseconds since the epoch.
    pub at_ms: i64,
    /// How long the move takes.
    pub duration_ms: i64,
    /// Log return of the common factor over the duration, without what forced orders add.
    pub log_return: f64,
    /// How much sentiment leans the wrong way before, in its own units (1 is a strong lean).
    pub crowding: f64,
    /// How long before the event the crowd gathers.
    pub crowding_ms: i64,
}

/// A time span of one market in which every trade is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeWindow {
    /// Name of an exchange.
    pub exchange: String,
    /// Name of a symbol.
    pub symbol: String,
    /// First millisecond.
    pub from_ms: i64,
    /// First millisecond after the window.
    pub to_ms: i64,
}

/// Everything that decides what is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationConfig {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Symbols; the first one leads the others.
    pub symbols: Vec<SymbolConfig>,
    /// Exchanges.
    pub exchanges: Vec<ExchangeConfig>,
    /// Which symbol trades where.
    pub markets: Vec<MarketConfig>,
    /// Standard deviation of the common factor's daily log return in a median hour.
    pub daily_volatility: f64,
    /// Open of the first bar, milliseconds since the epoch.
    pub start_ms: i64,
    /// Recorded bars.
    pub bars: usize,
    /// Length of a bar.
    pub interval_ms: i64,
    /// Sub-steps of a bar; stops and liquidations act at their prices.
    pub substeps: usize,
    /// Bars simulated before the first recorded one, so that positions of all ages stand.
    pub warm_up_bars: usize,
    /// Scripted events.
    pub news: Vec<News>,
    /// Where trades are recorded.
    pub trade_windows: Vec<TradeWindow>,
    /// When all positions are recorded: opens of bars, or the end.
    pub snapshots_ms: Vec<i64>,
    /// Days of daily candles of the first exchange, ending with the recorded bars; 0 for none.
    pub history_days: usize,
}

/// The exchange and the symbol of a market.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarketName {
    /// Lower case.
    pub exchange: String,
    /// Upper case.
    pub symbol: String,
}

/// A bar. Prices are quote per base, volumes base units.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// Open of the bar.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// First trade.
    pub open: f64,
    /// Highest trade.
    pub high: f64,
    /// Lowest trade.
    pub low: f64,
    /// Last trade.
    pub close: f64,
    /// Sum of trade sizes.
    pub volume: f64,
    /// Sum of the sizes of trades in which the aggressor bought.
    pub taker_buy_volume: Option<f64>,
}

/// A trade.
#[derive(Debug, Clone, PartialEq)]
pub struct Trade {
    /// When it happened.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Quote per base.
    pub price: f64,
    /// Base units.
    pub size: f64,
    /// Whether the aggressor bought.
    pub is_buy: bool,
}

/// Open interest at an instant: the open of a bar, or the close of the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenInterest {
    /// The instant.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Base units, one side.
    pub open_interest: f64,
}

/// A funding payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Funding {
    /// When it was paid.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Fraction per interval; longs pay where positive.
    pub funding_rate: f64,
    /// Length of the interval.
    pub interval_hours: f64,
}

/// A forced close, whole or in part.
#[derive(Debug, Clone, PartialEq)]
pub struct Liquidation {
    /// When the forced order traded.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Side of the position, not of the forced order.
    pub side: Side,
    /// Trigger: the liquidation price of the position.
    pub price: Option<f64>,
    /// Price at which the margin is gone.
    pub bankruptcy_price: Option<f64>,
    /// Base units that were closed.
    pub size: f64,
    /// Size × trigger price.
    pub notional_usd: f64,
}

/// One position at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionSnapshot {
    /// The instant.
    pub ts_ms: i64,
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Account, unique within a market; `maker-…` are market makers.
    pub account: String,
    /// Side of the position.
    pub side: Side,
    /// Base units.
    pub size: f64,
    /// Quote per base.
    pub entry_price: f64,
    /// Notional over initial margin, as chosen at the opening.
    pub leverage: f64,
    /// `None` where price cannot reach one, and for market makers, who are margined across venues.
    pub liquidation_price: Option<f64>,
    /// Size × mark price.
    pub notional_usd: f64,
}

/// One row of the exchanges' margin tables.
#[derive(Debug, Clone, PartialEq)]
pub struct LeverageTier {
    /// Index into [`SimulatedMarket::markets`].
    pub market: usize,
    /// Since when the row holds.
    pub known_since_ms: i64,
    /// Lower limit of the notional, quote currency.
    pub floor: f64,
    /// Upper limit of the notional, quote currency.
    pub cap: f64,
    /// Fraction of the notional.
    pub maintenance_margin_rate: f64,
    /// Largest leverage allowed.
    pub max_leverage: f64,
    /// Deduction from notional × rate, quote currency.
    pub maintenance_amount: f64,
}

/// What was simulated. Rows are sorted by time, then exchange, then symbol.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedMarket {
    /// Markets, sorted; rows refer to them by index.
    pub markets: Vec<MarketName>,
    /// Bars of the configured interval.
    pub candles: Vec<Candle>,
    /// Every trade inside the configured windows.
    pub trades: Vec<Trade>,
    /// One row per bar (its open), and one at the close of the last bar.
    pub open_interest: Vec<OpenInterest>,
    /// Funding payments.
    pub funding: Vec<Funding>,
    /// Every forced close.
    pub liquidations: Vec<Liquidation>,
    /// Every position at the configured instants.
    pub positions: Vec<PositionSnapshot>,
    /// The margin tables.
    pub leverage_tiers: Vec<LeverageTier>,
    /// Daily bars of the first exchange over the configured history.
    pub daily_candles: Vec<Candle>,
    /// Largest amount, as a share of price, by which any position stood beyond its liquidation price after a
    /// sub-step. Zero: the margin rule was enforced.
    pub worst_margin_breach: f64,
}

fn tiers(rows: &[(f64, f64, f64)]) -> Vec<TierConfig> {
    rows.iter()
        .map(|&(cap, maintenance_margin_rate, max_leverage)| TierConfig { cap, maintenance_margin_rate, max_leverage })
        .collect()
}

impl SimulationConfig {
    /// Seed of the bundled sample.
    pub const SAMPLE_SEED: u64 = 9;

    /// The configuration of the bundled sample: two symbols on two exchanges, 75 days of five-minute bars from
    /// 2026-01-01, a short squeeze in January and a cascade of longs at the end of February.
    pub fn sample(seed: u64) -> Self {
        let start_ms = 1_767_225_600_000;
        let days = 75;
        let cascade_ms = start_ms + 57 * DAY_MS + 14 * HOUR_MS + 35 * MINUTE_MS;
        let squeeze_ms = start_ms + 23 * DAY_MS + 15 * HOUR_MS + 10 * MINUTE_MS;
        let mut snapshots_ms: Vec<i64> = [0, 20, 40].iter().map(|day| start_ms + day * DAY_MS).collect();
        snapshots_ms.push(start_ms + 57 * DAY_MS + 13 * HOUR_MS + 35 * MINUTE_MS);
        snapshots_ms.push(start_ms + days * DAY_MS);
        snapshots_ms.sort_unstable();
        let cascade_day = start_ms + 57 * DAY_MS;
        let binance_btc = [
            (300e3, 0.004, 150.0),
            (800e3, 0.005, 100.0),
            (3e6, 0.0065, 75.0),
            (12e6, 0.01, 50.0),
            (70e6, 0.02, 25.0),
            (100e6, 0.025, 20.0),
            (230e6, 0.05, 10.0),
            (480e6, 0.1, 5.0),
            (800e6, 0.15, 3.0),
            (1.8e9, 0.5, 1.0),
        ];
        let binance_eth = [
            (300e3, 0.004, 150.0),
            (800e3, 0.005, 100.0),
            (3e6, 0.0065, 75.0),
            (12e6, 0.01, 50.0),
            (50e6, 0.02, 25.0),
            (65e6, 0.025, 20.0),
            (150e6, 0.05, 10.0),
            (320e6, 0.1, 5.0),
            (530e6, 0.15, 3.0),
            (1.2e9, 0.5, 1.0),
        ];
        let bybit_btc = [
            (2e6, 0.005, 100.0),
            (10e6, 0.01, 50.0),
            (20e6, 0.015, 33.33),
            (40e6, 0.02, 25.0),
            (80e6, 0.03, 16.0),
            (160e6, 0.05, 10.0),
            (400e6, 0.1, 5.0),
            (1e9, 0.25, 2.0),
        ];
        let bybit_eth = [
            (1.5e6, 0.005, 100.0),
            (8e6, 0.01, 50.0),
            (15e6, 0.015, 33.33),
            (30e6, 0.02, 25.0),
            (60e6, 0.03, 16.0),
            (120e6, 0.05, 10.0),
            (300e6, 0.1, 5.0),
            (800e6, 0.25, 2.0),
        ];
        let market =
            |exchange: &str, symbol: &str, open_interest: f64, standing_positions: usize, rows: &[(f64, f64, f64)]| {
                MarketConfig {
                    exchange: exchange.to_owned(),
                    symbol: symbol.to_owned(),
                    open_interest,
                    standing_positions,
                    tiers: tiers(rows),
                }
            };
        Self {
            seed,
            symbols: vec![
                SymbolConfig {
                    name: "BTCUSDT".to_owned(),
                    start_price: 91_000.0,
                    history_start_price: 41_000.0,
                    price_decimals: 1,
                    size_decimals: 3,
                    lots_per_order_unit: 250,
                    beta: 1.0,
                    own_daily_volatility: 0.002,
                    depth: 0.042,
                },
                SymbolConfig {
                    name: "ETHUSDT".to_owned(),
                    start_price: 3_150.0,
                    history_start_price: 2_750.0,
                    price_decimals: 2,
                    size_decimals: 3,
                    lots_per_order_unit: 5_000,
                    beta: 1.2,
                    own_daily_volatility: 0.0052,
                    depth: 0.042,
                },
            ],
            exchanges: vec![
                ExchangeConfig { name: "binance".to_owned(), funding_interval_hours: 8 },
                ExchangeConfig { name: "bybit".to_owned(), funding_interval_hours: 8 },
            ],
            markets: vec![
                market("binance", "BTCUSDT", 88_000.0, 3_200, &binance_btc),
                market("binance", "ETHUSDT", 1_900_000.0, 2_400, &binance_eth),
                market("bybit", "BTCUSDT", 50_000.0, 1_800, &bybit_btc),
                market("bybit", "ETHUSDT", 860_000.0, 1_400, &bybit_eth),
            ],
            daily_volatility: 0.0084,
            start_ms,
            bars: (days * DAY_MS / (5 * MINUTE_MS)) as usize,
            interval_ms: 5 * MINUTE_MS,
            substeps: 20,
            warm_up_bars: 14 * 288,
            news: vec![
                News {
                    at_ms: squeeze_ms,
                    duration_ms: 40 * MINUTE_MS,
                    log_return: 0.022,
                    crowding: 1.0,
                    crowding_ms: 3 * DAY_MS,
                },
                News {
                    at_ms: cascade_ms,
                    duration_ms: 32 * MINUTE_MS,
                    log_return: -0.036,
                    crowding: 0.9,
                    crowding_ms: 5 * DAY_MS,
                },
            ],
            trade_windows: vec![TradeWindow {
                exchange: "binance".to_owned(),
                symbol: "BTCUSDT".to_owned(),
                from_ms: cascade_day,
                to_ms: cascade_day + DAY_MS,
            }],
            snapshots_ms,
            history_days: 1_461,
        }
    }

    /// A few days of one small symbol on two exchanges, for tests and examples.
    pub fn small(seed: u64) -> Self {
        let mut config = Self::sample(seed);
        let days = 4;
        config.symbols.truncate(1);
        config.markets.retain(|market| market.symbol == "BTCUSDT");
        for market in &mut config.markets {
            market.open_interest /= 10.0;
            market.standing_positions /= 8;
        }
        config.bars = days * 288;
        config.substeps = 10;
        config.warm_up_bars = 3 * 288;
        config.news = vec![News {
            at_ms: config.start_ms + 2 * DAY_MS + 14 * HOUR_MS,
            duration_ms: 35 * MINUTE_MS,
            log_return: -0.03,
            crowding: 0.9,
            crowding_ms: 2 * DAY_MS,
        }];
        config.trade_windows = config
            .exchanges
            .iter()
            .map(|exchange| TradeWindow {
                exchange: exchange.name.clone(),
                symbol: "BTCUSDT".to_owned(),
                from_ms: config.start_ms,
                to_ms: config.start_ms + days as i64 * DAY_MS,
            })
            .collect();
        config.snapshots_ms = (0..=days as i64).map(|day| config.start_ms + day * DAY_MS).collect();
        config.history_days = 30;
        config
    }

    /// Close of the last recorded bar.
    pub fn end_ms(&self) -> i64 {
        self.start_ms + self.bars as i64 * self.interval_ms
    }

    /// Checks that the configuration can be simulated.
    ///
    /// # Errors
    ///
    /// A sentence that names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("'{name}' must be a positive number, was {value}"))
            }
        };
        if self.symbols.is_empty() || self.exchanges.is_empty() || self.markets.is_empty() {
            return Err("'symbols', 'exchanges' and 'markets' must not be empty".to_owned());
        }
        if self.bars == 0 || self.substeps == 0 {
            return Err(format!("'bars' and 'substeps' must be positive, were {} and {}", self.bars, self.substeps));
        }
        if self.interval_ms <= 0 || self.interval_ms % self.substeps as i64 != 0 {
            return Err(format!(
                "'interval_ms' must be a positive multiple of 'substeps' ({}), was {}",
                self.substeps, self.interval_ms
            ));
        }
        if self.start_ms % self.interval_ms != 0 {
            return Err(format!(
                "'start_ms' must be a multiple of 'interval_ms' ({}), was {}",
                self.interval_ms, self.start_ms
            ));
        }
        if self.history_days > 0 && (self.start_ms % DAY_MS != 0 || DAY_MS % self.interval_ms != 0) {
            return Err(format!(
                "'history_days' needs bars that fill days and a start at midnight, was start {} and interval {}",
                self.start_ms, self.interval_ms
            ));
        }
        positive("daily_volatility", self.daily_volatility)?;
        for symbol in &self.symbols {
            positive("start_price", symbol.start_price)?;
            positive("history_start_price", symbol.history_start_price)?;
            positive("depth", symbol.depth)?;
            positive("lots_per_order_unit", f64::from(symbol.lots_per_order_unit))?;
            if symbol.price_decimals > 9 || symbol.size_decimals > 9 {
                return Err(format!("decimals of '{}' must be at most 9", symbol.name));
            }
            let finite = symbol.beta.is_finite() && symbol.own_daily_volatility.is_finite();
            if !finite
                || symbol.own_daily_volatility < 0.0
                || (symbol.beta == 0.0 && symbol.own_daily_volatility == 0.0)
            {
                return Err(format!(
                    "'{}' must have a finite 'beta' and 'own_daily_volatility', one not zero",
                    symbol.name
                ));
            }
        }
        for exchange in &self.exchanges {
            if exchange.funding_interval_hours == 0 || 24 % exchange.funding_interval_hours != 0 {
                return Err(format!(
                    "'funding_interval_hours' must divide 24, was {}",
                    exchange.funding_interval_hours
                ));
            }
        }
        for (index, market) in self.markets.iter().enumerate() {
            if !self.symbols.iter().any(|symbol| symbol.name == market.symbol) {
                return Err(format!("market symbol '{}' is not among 'symbols'", market.symbol));
            }
            if !self.exchanges.iter().any(|exchange| exchange.name == market.exchange) {
                return Err(format!("market exchange '{}' is not among 'exchanges'", market.exchange));
            }
            let twice = self.markets[..index]
                .iter()
                .any(|other| other.symbol == market.symbol && other.exchange == market.exchange);
            if twice {
                return Err(format!("market '{} {}' is there twice", market.exchange, market.symbol));
            }
            positive("open_interest", market.open_interest)?;
            positive("standing_positions", market.standing_positions as f64)?;
            let rising = market.tiers.windows(2).all(|pair| {
                pair[0].cap < pair[1].cap && pair[0].maintenance_margin_rate <= pair[1].maintenance_margin_rate
            });
            let sound = market.tiers.iter().all(|tier| {
                tier.cap > 0.0
                    && tier.maintenance_margin_rate > 0.0
                    && tier.maintenance_margin_rate < 1.0
                    && tier.max_leverage >= 1.0
                    && tier.maintenance_margin_rate * tier.max_leverage < 1.0
            });
            if market.tiers.is_empty() || !rising || !sound {
                return Err(format!(
                    "'tiers' of '{} {}' must rise in cap and rate, with rates in (0, 1) below 1 / max_leverage",
                    market.exchange, market.symbol
                ));
            }
        }
        for news in &self.news {
            if news.duration_ms <= 0 || news.crowding_ms < 0 {
                return Err(format!("'news' must last a positive time, was {} ms", news.duration_ms));
            }
        }
        Ok(())
    }
}

/// What the crowd of one symbol feels.
#[derive(Debug)]
struct Crowd {
    feeling: MeanReverting,
    appetite: MeanReverting,
    /// Grows with liquidations and heals over days: people who lost their margin do not come back at once.
    wound: f64,
    draw: Draw,
}

impl Crowd {
    fn new(step_seconds: f64, mut draw: Draw) -> Self {
        Self {
            feeling: MeanReverting::new(2.5 * DAY_SECONDS, 0.45, step_seconds, &mut draw),
            appetite: MeanReverting::new(6.0 * DAY_SECONDS, 0.22, step_seconds, &mut draw),
            wound: 0.0,
            draw,
        }
    }
}

/// Runs the simulation.
///
/// # Errors
///
/// If the configuration is not valid (see [`SimulationConfig::validate`]).
///
/// ```
/// use liqsql::simulate::{SimulationConfig, simulate};
///
/// let market = simulate(&SimulationConfig::small(7))?;
/// assert_eq!(market.candles.len(), 2 * 4 * 288);
/// assert_eq!(market, simulate(&SimulationConfig::small(7))?);
/// # Ok::<(), String>(())
/// ```
pub fn simulate(config: &SimulationConfig) -> Result<SimulatedMarket, String> {
    config.validate()?;
    let substep_ms = config.interval_ms / config.substeps as i64;
    let step_seconds = substep_ms as f64 / 1_000.0;
    let first_ms = config.start_ms - config.warm_up_bars as i64 * config.interval_ms;

    let mut order: Vec<&MarketConfig> = config.markets.iter().collect();
    order.sort_by(|a, b| (&a.exchange, &a.symbol).cmp(&(&b.exchange, &b.symbol)));
    let mut markets = Vec::with_capacity(order.len());
    // Index of each market's symbol.
    let mut symbol_of = Vec::with_capacity(order.len());
    for (key, market) in order.iter().enumerate() {
        let found = (
            config.symbols.iter().position(|symbol| symbol.name == market.symbol),
            config.exchanges.iter().find(|exchange| exchange.name == market.exchange),
        );
        let (Some(symbol), Some(exchange)) = found else {
            return Err(format!("market '{} {}' is not configured", market.exchange, market.symbol));
        };
        let draw = Draw::new(config.seed, 100 + key as u64);
        symbol_of.push(symbol);
        markets.push(Market::new(key, exchange, &config.symbols[symbol], market, step_seconds, draw));
    }
    let mut prices = ReferencePrices::new(&config.symbols, config.daily_volatility, step_seconds, config.seed, 1);
    let mut crowds: Vec<Crowd> = (0..config.symbols.len())
        .map(|index| Crowd::new(step_seconds, Draw::new(config.seed, 500 + index as u64)))
        .collect();
    for market in &mut markets {
        market.populate(first_ms);
    }

    let healing = libm::exp(-step_seconds / (2.5 * DAY_SECONDS));
    let mut forced_usd = vec![0.0; config.symbols.len()];
    let mut pressure = vec![0.0; config.symbols.len()];
    for bar in 0..config.warm_up_bars + config.bars {
        let bar_ms = first_ms + bar as i64 * config.interval_ms;
        let recording = bar >= config.warm_up_bars;
        for (key, market) in markets.iter_mut().enumerate() {
            market.recording = recording;
            market.record_trades = config.trade_windows.iter().any(|window| {
                window.exchange == order[key].exchange
                    && window.symbol == order[key].symbol
                    && bar_ms >= window.from_ms
                    && bar_ms < window.to_ms
            });
            if recording {
                market.record_open_interest(bar_ms);
                if config.snapshots_ms.contains(&bar_ms) {
                    market.record_positions(bar_ms);
                }
            }
            market.settle_funding(bar_ms);
        }
        for substep in 0..config.substeps {
            let ts_ms = bar_ms + substep as i64 * substep_ms;
            // Forced amounts so far become pressure in units of one percent of price.
            for symbol in 0..config.symbols.len() {
                let usual: f64 = (0..markets.len())
                    .filter(|key| symbol_of[*key] == symbol)
                    .map(|key| markets[key].usual_open_interest_usd())
                    .sum();
                pressure[symbol] =
                    if usual > 0.0 { forced_usd[symbol] / (config.symbols[symbol].depth * usual) } else { 0.0 };
                forced_usd[symbol] = 0.0;
            }
            prices.advance(ts_ms, &pressure, &config.news);
            let shared = crowds.first_mut().map_or(0.0, |crowd| crowd.draw.normal());
            for (symbol, crowd) in crowds.iter_mut().enumerate() {
                let own = crowd.draw.normal();
                crowd.feeling.advance(if symbol == 0 { shared } else { 0.7 * shared + 0.714 * own });
                let own = crowd.draw.normal();
                crowd.appetite.advance(own);
                crowd.wound *= healing;
            }
            for (key, market) in markets.iter_mut().enumerate() {
                let symbol = symbol_of[key];
                let state = &prices.symbols[symbol];
                let crowd = &mut crowds[symbol];
                let lean: f64 = config.news.iter().map(|news| crowd_before(news, ts_ms)).sum();
                let trend = state.momentum() / 0.03;
                let sentiment = crowd.feeling.value + 0.6 * trend / (1.0 + trend.abs()) + 0.12 + lean;
                let moment = Moment {
                    ts_ms,
                    duration_ms: substep_ms,
                    log_reference: state.log_price(),
                    standard_move: state.standard_move,
                    activity: state.activity,
                    sentiment,
                    greed: (0.03 + 0.06 * sentiment.abs() + 0.5 * lean.abs()).min(0.6),
                    appetite: libm::exp(crowd.appetite.value - crowd.wound + 0.25 * lean.abs()),
                };
                let forced = market.step(&moment);
                let usual = market.usual_open_interest_usd();
                crowd.wound = (crowd.wound + 1.5 * forced.liquidated_usd.abs() / usual).min(1.2);
                forced_usd[symbol] += forced.liquidated_usd + 0.18 * forced.stopped_usd;
            }
        }
        for market in &mut markets {
            if recording {
                market.finish_bar(bar_ms);
            }
        }
    }
    let end_ms = config.end_ms();
    for market in &mut markets {
        market.record_open_interest(end_ms);
        if config.snapshots_ms.contains(&end_ms) {
            market.record_positions(end_ms);
        }
    }

    let names = order
        .iter()
        .map(|market| MarketName { exchange: market.exchange.clone(), symbol: market.symbol.clone() })
        .collect();
    let known_since_ms = config.start_ms.min(end_ms - config.history_days as i64 * DAY_MS);
    let leverage_tiers = order.iter().enumerate().flat_map(|(market, settings)| {
        settings.brackets().into_iter().map(move |bracket| LeverageTier {
            market,
            known_since_ms,
            floor: bracket.floor,
            cap: bracket.cap,
            maintenance_margin_rate: bracket.maintenance_margin_rate,
            max_leverage: bracket.max_leverage,
            maintenance_amount: bracket.maintenance_amount,
        })
    });
    let mut result = SimulatedMarket {
        markets: names,
        candles: Vec::new(),
        trades: Vec::new(),
        open_interest: Vec::new(),
        funding: Vec::new(),
        liquidations: Vec::new(),
        positions: Vec::new(),
        leverage_tiers: leverage_tiers.collect(),
        daily_candles: Vec::new(),
        worst_margin_breach: markets.iter().map(|market| market.worst_breach).fold(0.0, f64::max),
    };
    for market in &mut markets {
        result.candles.append(&mut market.candles);
        result.trades.append(&mut market.trades);
        result.open_interest.append(&mut market.open_interest);
        result.funding.append(&mut market.funding);
        result.liquidations.append(&mut market.liquidations);
        result.positions.append(&mut market.positions);
    }
    // Markets were appended in key order and the sort is stable, so equal times stay in the order of their keys.
    result.candles.sort_by_key(|row| row.ts_ms);
    result.trades.sort_by_key(|row| row.ts_ms);
    result.open_interest.sort_by_key(|row| row.ts_ms);
    result.funding.sort_by_key(|row| row.ts_ms);
    result.liquidations.sort_by_key(|row| row.ts_ms);
    result.positions.sort_by_key(|row| row.ts_ms);
    result.daily_candles = daily_candles(config, &result);
    Ok(result)
}

/// Sentiment against an event before it comes, growing linearly.
fn crowd_before(news: &News, ts_ms: i64) -> f64 {
    let from_ms = news.at_ms - news.crowding_ms;
    if ts_ms < from_ms || ts_ms >= news.at_ms {
        return 0.0;
    }
    let share = (ts_ms - from_ms) as f64 / news.crowding_ms as f64;
    let direction = if news.log_return < 0.0 { 1.0 } else { -1.0 };
    direction * news.crowding * share
}

/// Joins the history before the recorded bars with the recorded bars by day, for the first exchange.
fn daily_candles(config: &SimulationConfig, simulated: &SimulatedMarket) -> Vec<Candle> {
    if config.history_days == 0 {
        return Vec::new();
    }
    let recorded_days = (config.end_ms() - config.start_ms).div_euclid(DAY_MS)
        + i64::from((config.end_ms() - config.start_ms).rem_euclid(DAY_MS) != 0);
    let days = (config.history_days as i64 - recorded_days).max(0) as usize;
    let exchange = &config.exchanges[0].name;
    // Market of each symbol on the first exchange, if it is traded there.
    let keys: Vec<Option<usize>> = config
        .symbols
        .iter()
        .map(|symbol| {
            simulated.markets.iter().position(|market| market.symbol == symbol.name && market.exchange == *exchange)
        })
        .collect();
    let mut daily: Vec<Candle> = Vec::new();
    let mut last_prices = Vec::new();
    let mut base_volume = Vec::new();
    for (symbol, key) in config.symbols.iter().zip(&keys) {
        let begin = daily.len();
        let mut volume = 0.0;
        for candle in simulated.candles.iter().filter(|candle| Some(candle.market) == *key) {
            let ts_ms = candle.ts_ms.div_euclid(DAY_MS) * DAY_MS;
            volume += candle.volume;
            match daily[begin..].last_mut() {
                Some(day) if day.ts_ms == ts_ms => {
                    day.high = day.high.max(candle.high);
                    day.low = day.low.min(candle.low);
                    day.close = candle.close;
                    day.volume += candle.volume;
                    day.taker_buy_volume = day.taker_buy_volume.zip(candle.taker_buy_volume).map(|(a, b)| a + b);
                }
                _ => daily.push(Candle { ts_ms, ..candle.clone() }),
            }
        }
        let lot = libm::pow(10.0, f64::from(symbol.size_decimals)).round();
        for day in &mut daily[begin..] {
            // Sums of decimals carry binary dust.
            day.volume = (day.volume * lot).round() / lot;
            day.taker_buy_volume = day.taker_buy_volume.map(|taker| (taker * lot).round() / lot);
        }
        last_prices.push(daily.get(begin).map_or(symbol.start_price, |day| day.open));
        base_volume.push(volume / recorded_days.max(1) as f64);
    }
    let histories = history::daily_history(config, days, config.start_ms, &last_prices, &base_volume);
    for (history, key) in histories.into_iter().zip(&keys) {
        if let Some(key) = key {
            daily.extend(history.into_iter().map(|candle| Candle { market: *key, ..candle }));
        }
    }
    daily.sort_by_key(|candle| (candle.ts_ms, candle.market));
    daily
}

//! The simulated market: same seed, same bytes; sums that hold exactly; and the look of a real market.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use liqsql::model::margin::{Bracket, BracketUnit, liquidation_price_bracketed};
use liqsql::model::side::Side;
use liqsql::simulate::{Candle, Liquidation, PositionSnapshot, SimulatedMarket, SimulationConfig, simulate};
use sha2::{Digest, Sha256};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// SHA-256 of [`fingerprint`] of the small configuration with seed 1. A change of it is a change of the market: make it
/// only on purpose, and rebuild the sample in `data/` with it.
const SMALL_FINGERPRINT: &str = "2ced0114f6d8810b7f72b3225ce2ffb9c7bcf47971f929894e8d9bbc04396c11";

fn small() -> &'static SimulatedMarket {
    static MARKET: OnceLock<SimulatedMarket> = OnceLock::new();
    MARKET.get_or_init(|| simulate(&SimulationConfig::small(1)).expect("the small configuration is valid"))
}

fn sample() -> &'static SimulatedMarket {
    static MARKET: OnceLock<SimulatedMarket> = OnceLock::new();
    MARKET.get_or_init(|| {
        simulate(&SimulationConfig::sample(SimulationConfig::SAMPLE_SEED)).expect("the sample configuration is valid")
    })
}

/// Hashes times and numbers as little-endian bytes and text as UTF-8, table by table and row by row.
fn fingerprint(market: &SimulatedMarket) -> String {
    let mut hash = Sha256::new();
    let number = |hash: &mut Sha256, value: f64| hash.update(value.to_le_bytes());
    let optional = |hash: &mut Sha256, value: Option<f64>| hash.update(value.unwrap_or(-1.0).to_le_bytes());
    let key = |hash: &mut Sha256, ts_ms: i64, key: usize| {
        hash.update(ts_ms.to_le_bytes());
        hash.update(market.markets[key].exchange.as_bytes());
        hash.update(market.markets[key].symbol.as_bytes());
    };
    for row in market.candles.iter().chain(&market.daily_candles) {
        key(&mut hash, row.ts_ms, row.market);
        for value in [row.open, row.high, row.low, row.close, row.volume] {
            number(&mut hash, value);
        }
        optional(&mut hash, row.taker_buy_volume);
    }
    for row in &market.trades {
        key(&mut hash, row.ts_ms, row.market);
        number(&mut hash, row.price);
        number(&mut hash, row.size);
        hash.update([u8::from(row.is_buy)]);
    }
    for row in &market.open_interest {
        key(&mut hash, row.ts_ms, row.market);
        number(&mut hash, row.open_interest);
    }
    for row in &market.funding {
        key(&mut hash, row.ts_ms, row.market);
        number(&mut hash, row.funding_rate);
        number(&mut hash, row.interval_hours);
    }
    for row in &market.liquidations {
        key(&mut hash, row.ts_ms, row.market);
        hash.update(row.side.name().as_bytes());
        optional(&mut hash, row.price);
        optional(&mut hash, row.bankruptcy_price);
        number(&mut hash, row.size);
        number(&mut hash, row.notional_usd);
    }
    for row in &market.positions {
        key(&mut hash, row.ts_ms, row.market);
        hash.update(row.account.as_bytes());
        hash.update(row.side.name().as_bytes());
        for value in [row.size, row.entry_price, row.leverage, row.notional_usd] {
            number(&mut hash, value);
        }
        optional(&mut hash, row.liquidation_price);
    }
    for row in &market.leverage_tiers {
        key(&mut hash, row.known_since_ms, row.market);
        for value in [row.floor, row.cap, row.maintenance_margin_rate, row.max_leverage, row.maintenance_amount] {
            number(&mut hash, value);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole lots of 0.001.
fn lots(size: f64) -> i64 {
    (size * 1_000.0).round() as i64
}

fn key_of(market: &SimulatedMarket, exchange: &str, symbol: &str) -> usize {
    market
        .markets
        .iter()
        .position(|name| name.exchange == exchange && name.symbol == symbol)
        .expect("the market is simulated")
}

fn candles_of(market: &SimulatedMarket, key: usize) -> Vec<&Candle> {
    market.candles.iter().filter(|candle| candle.market == key).collect()
}

#[test]
fn same_seed_same_market() {
    let again = simulate(&SimulationConfig::small(1)).expect("valid");
    assert!(*small() == again, "two runs of one seed must be equal");
    assert_eq!(fingerprint(small()), fingerprint(&again));
}

#[test]
fn different_seed_different_market() {
    let other = simulate(&SimulationConfig::small(2)).expect("valid");
    assert_ne!(fingerprint(small()), fingerprint(&other));
}

#[test]
fn fingerprint_of_seed_one_is_pinned() {
    assert_eq!(fingerprint(small()), SMALL_FINGERPRINT);
}

#[test]
fn open_interest_is_the_sum_of_longs_and_of_shorts() {
    for market in [small(), sample()] {
        let mut sums: BTreeMap<(i64, usize), [i64; 2]> = BTreeMap::new();
        for position in &market.positions {
            sums.entry((position.ts_ms, position.market)).or_default()[position.side as usize] += lots(position.size);
        }
        assert!(!sums.is_empty());
        for row in &market.open_interest {
            assert!(row.open_interest > 0.0, "open interest was {} at {}", row.open_interest, row.ts_ms);
            if let Some([longs, shorts]) = sums.remove(&(row.ts_ms, row.market)) {
                assert_eq!(longs, shorts);
                assert_eq!(longs, lots(row.open_interest));
            }
        }
        assert!(sums.is_empty(), "every snapshot has its open interest");
    }
}

#[test]
fn volume_is_the_sum_of_trade_sizes() {
    // The small configuration records every trade.
    let market = small();
    let mut bars: BTreeMap<(i64, usize), (i64, i64, f64, f64)> = BTreeMap::new();
    for trade in &market.trades {
        let bar = trade.ts_ms.div_euclid(300_000) * 300_000;
        let sums = bars.entry((bar, trade.market)).or_insert((0, 0, f64::NEG_INFINITY, f64::INFINITY));
        sums.0 += lots(trade.size);
        sums.1 += if trade.is_buy { lots(trade.size) } else { 0 };
        sums.2 = sums.2.max(trade.price);
        sums.3 = sums.3.min(trade.price);
    }
    assert_eq!(bars.len(), market.candles.len());
    for candle in &market.candles {
        let (volume, taker, high, low) = bars[&(candle.ts_ms, candle.market)];
        assert_eq!(volume, lots(candle.volume));
        assert_eq!(taker, lots(candle.taker_buy_volume.expect("always simulated")));
        assert_eq!((high, low), (candle.high, candle.low));
    }
}

#[test]
fn candles_are_sound_and_on_the_tick() {
    for market in [small(), sample()] {
        for candle in market.candles.iter().chain(&market.daily_candles) {
            assert!(candle.low > 0.0);
            assert!(candle.low <= candle.open.min(candle.close), "{candle:?}");
            assert!(candle.high >= candle.open.max(candle.close), "{candle:?}");
            assert!(candle.volume > 0.0);
            let taker = candle.taker_buy_volume.expect("always simulated");
            assert!((0.0..=candle.volume).contains(&taker));
            let unit = if market.markets[candle.market].symbol == "BTCUSDT" { 10.0 } else { 100.0 };
            for price in [candle.open, candle.high, candle.low, candle.close] {
                assert_eq!(price, (price * unit).round() / unit, "{price} is not on the tick");
            }
        }
    }
}

#[test]
fn margin_rule_is_enforced() {
    for market in [small(), sample()] {
        assert_eq!(market.worst_margin_breach, 0.0);
        for PositionSnapshot { side, size, entry_price, leverage, liquidation_price, notional_usd, .. } in
            &market.positions
        {
            assert!(*size > 0.0 && *entry_price > 0.0);
            assert!((1.0..=150.0).contains(leverage));
            if let Some(price) = liquidation_price {
                assert!(*price > 0.0, "{side} at {entry_price}");
                // Prices are on the tick and notionals in cents, hence the tolerance.
                let mark = notional_usd / size;
                assert!(side.sign() * (mark - price) / mark > -1e-5, "{side} {price} is beyond the mark {mark}");
            }
        }
    }
}

#[test]
fn liquidations_carry_trigger_and_bankruptcy() {
    for market in [small(), sample()] {
        assert!(!market.liquidations.is_empty());
        for Liquidation { side, price, bankruptcy_price, size, notional_usd, .. } in &market.liquidations {
            let trigger = price.expect("the trigger is known here");
            assert!(*size > 0.0);
            assert!((notional_usd - size * trigger).abs() <= 0.0051);
            if let Some(bankruptcy) = bankruptcy_price {
                match side {
                    Side::Long => assert!(*bankruptcy < trigger, "a long is closed before its margin is gone"),
                    Side::Short => assert!(*bankruptcy > trigger, "a short is closed before its margin is gone"),
                }
            }
        }
    }
}

#[test]
fn leverage_tiers_are_continuous_and_price_positions() {
    let market = sample();
    for key in 0..market.markets.len() {
        let rows: Vec<_> = market.leverage_tiers.iter().filter(|tier| tier.market == key).collect();
        assert!(rows.len() > 1);
        for pair in rows.windows(2) {
            assert_eq!(pair[0].cap, pair[1].floor);
            let at_edge = |row: usize| pair[1].floor * pair[row].maintenance_margin_rate - pair[row].maintenance_amount;
            assert!((at_edge(0) - at_edge(1)).abs() < 0.02);
        }
        let brackets: Vec<Bracket> = rows
            .iter()
            .map(|row| Bracket {
                unit: BracketUnit::QuoteNotional,
                floor: row.floor,
                cap: row.cap,
                maintenance_margin_rate: row.maintenance_margin_rate,
                max_leverage: row.max_leverage,
                maintenance_amount: row.maintenance_amount,
            })
            .collect();
        // Nobody has less margin than the initial margin less funding, so no level is much nearer than the plain one.
        for position in market.positions.iter().filter(|position| position.market == key) {
            let Some(actual) = position.liquidation_price else {
                continue;
            };
            let margin = position.size * position.entry_price / position.leverage;
            let plain =
                liquidation_price_bracketed(position.side, position.entry_price, position.size, margin, &brackets, 0.0)
                    .and_then(|priced| priced.liquidation_price);
            if let Some(plain) = plain {
                let nearer = position.side.sign() * (actual - plain) / position.entry_price;
                assert!(nearer < 0.05, "{position:?} is {nearer} nearer than its leverage alone says");
            }
        }
    }
}

#[test]
fn rows_are_sorted_and_complete() {
    let market = sample();
    let config = SimulationConfig::sample(SimulationConfig::SAMPLE_SEED);
    assert!(market.markets.is_sorted());
    assert_eq!(market.candles.len(), 4 * config.bars);
    assert_eq!(market.open_interest.len(), 4 * (config.bars + 1));
    assert_eq!(market.open_interest.last().map(|row| row.ts_ms), Some(config.end_ms()));
    assert!(market.candles.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.open_interest.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.funding.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.trades.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.liquidations.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.positions.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.daily_candles.is_sorted_by_key(|row| (row.ts_ms, row.market)));
    assert!(market.trades.len() < 150_000);
    for (name, batch) in market.tables().expect("tables can be built") {
        assert!(batch.num_rows() > 0, "{name} is empty");
    }
    assert!(market.table("prices").is_err());
}

#[test]
fn daily_candles_end_with_the_sample() {
    let market = sample();
    let key = key_of(market, "binance", "ETHUSDT");
    let days: Vec<_> = market.daily_candles.iter().filter(|candle| candle.market == key).collect();
    assert_eq!(days.len(), 1_461);
    assert!(days.windows(2).all(|pair| pair[1].ts_ms - pair[0].ts_ms == DAY_MS));
    let bars = candles_of(market, key);
    for (day, bars) in days[1_461 - 75..].iter().zip(bars.chunks(288)) {
        assert_eq!(day.ts_ms, bars[0].ts_ms);
        assert_eq!(day.open, bars[0].open);
        assert_eq!(day.close, bars[287].close);
        assert_eq!(day.high, bars.iter().map(|bar| bar.high).fold(0.0, f64::max));
        assert_eq!(day.low, bars.iter().map(|bar| bar.low).fold(f64::INFINITY, f64::min));
        assert_eq!(lots(day.volume), bars.iter().map(|bar| lots(bar.volume)).sum::<i64>());
    }
    let seam = days[1_461 - 75].open / days[1_461 - 76].close;
    assert!((seam - 1.0).abs() < 1e-4, "history must join the sample, ratio was {seam}");
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let centre = mean(values);
    let variance: f64 = values.iter().map(|value| (value - centre) * (value - centre)).sum();
    let covariance: f64 = values.windows(lag + 1).map(|window| (window[0] - centre) * (window[lag] - centre)).sum();
    covariance / variance
}

#[test]
fn returns_look_like_a_market() {
    let market = sample();
    for key in 0..market.markets.len() {
        let bars = candles_of(market, key);
        let returns: Vec<f64> = bars.windows(2).map(|pair| (pair[1].close / pair[0].close).ln()).collect();
        let sizes: Vec<f64> = returns.iter().map(|value| value.abs()).collect();
        for lag in 1..=12 {
            let memory = autocorrelation(&sizes, lag);
            assert!(memory > 0.1, "volatility must cluster; at lag {lag} of market {key} it was {memory}");
        }
        let linear = autocorrelation(&returns, 1);
        assert!(linear.abs() < 0.1, "returns must not predict the next; market {key} had {linear}");
        let centre = mean(&returns);
        let second = mean(&returns.iter().map(|value| (value - centre).powi(2)).collect::<Vec<_>>());
        let fourth = mean(&returns.iter().map(|value| (value - centre).powi(4)).collect::<Vec<_>>());
        let kurtosis = fourth / (second * second);
        assert!(kurtosis > 4.0, "tails must be fat; kurtosis of market {key} was {kurtosis}");
        let mut ranges: Vec<f64> = bars.iter().map(|bar| 1e4 * (bar.high / bar.low).ln()).collect();
        ranges.sort_by(f64::total_cmp);
        let median = ranges[ranges.len() / 2];
        assert!((6.0..25.0).contains(&median), "median range of market {key} was {median} bp");
    }
}

#[test]
fn the_sample_has_one_cascade_in_its_last_third() {
    let market = sample();
    let config = SimulationConfig::sample(SimulationConfig::SAMPLE_SEED);
    for (key, name) in market.markets.iter().enumerate() {
        let bars = candles_of(market, key);
        let (mut deepest, mut when) = (0.0, 0);
        for window in bars.windows(12) {
            let mut high = 0.0_f64;
            for bar in window {
                high = high.max(bar.high);
                if bar.low / high - 1.0 < deepest {
                    deepest = bar.low / high - 1.0;
                    when = bar.ts_ms;
                }
            }
        }
        assert!(deepest < -0.04, "the worst hour of {name:?} fell {deepest}");
        let share = (when - config.start_ms) as f64 / (config.end_ms() - config.start_ms) as f64;
        assert!(share > 2.0 / 3.0, "the cascade of {name:?} came at {share} of the sample");

        let mut hours = vec![0.0; (config.bars / 12).max(1)];
        let rows = market.liquidations.iter().filter(|row| row.market == key && row.side == Side::Long);
        for row in rows {
            hours[((row.ts_ms - config.start_ms) / HOUR_MS) as usize] += row.notional_usd;
        }
        let cascade = ((when - config.start_ms) / HOUR_MS) as usize;
        let worst = hours[cascade.saturating_sub(1)..=cascade].iter().copied().fold(0.0, f64::max);
        // Many hours liquidate nothing, so the mean is the harder comparison.
        assert!(worst > 10.0 * mean(&hours), "the cascade hour liquidated {worst}, the mean hour {}", mean(&hours));
        hours.sort_by(f64::total_cmp);
        assert!(worst > 10.0 * hours[hours.len() / 2]);
    }
}

#[test]
fn activity_is_in_proportion_to_open_interest() {
    let market = sample();
    for key in 0..market.markets.len() {
        let bars = candles_of(market, key);
        let open_interest: Vec<_> = market.open_interest.iter().filter(|row| row.market == key).collect();
        let mut turnover = Vec::new();
        let mut liquidated = Vec::new();
        for (day, chunk) in bars.chunks(288).enumerate() {
            let standing = open_interest[day * 288].open_interest;
            turnover.push(chunk.iter().map(|bar| bar.volume).sum::<f64>() / standing);
            let (from, to) = (chunk[0].ts_ms, chunk[0].ts_ms + DAY_MS);
            let usd: f64 = market
                .liquidations
                .iter()
                .filter(|row| row.market == key && (from..to).contains(&row.ts_ms))
                .map(|row| row.notional_usd)
                .sum();
            liquidated.push(usd / (standing * chunk[0].open));
        }
        turnover.sort_by(f64::total_cmp);
        liquidated.sort_by(f64::total_cmp);
        let middle = turnover.len() / 2;
        assert!((1.0..5.0).contains(&turnover[middle]), "turnover a day was {} of open interest", turnover[middle]);
        assert!((0.0005..0.012).contains(&liquidated[middle]), "liquidated a day was {}", liquidated[middle]);
        assert!(liquidated[liquidated.len() - 1] > 0.03);
    }
}

#[test]
fn invalid_configurations_say_what_is_allowed() {
    let mut config = SimulationConfig::small(1);
    config.substeps = 7;
    assert_eq!(
        simulate(&config).expect_err("7 does not divide the interval"),
        "'interval_ms' must be a positive multiple of 'substeps' (7), was 300000"
    );
    let mut config = SimulationConfig::small(1);
    config.markets[0].symbol = "DOGEUSDT".to_owned();
    assert_eq!(
        simulate(&config).expect_err("the symbol is unknown"),
        "market symbol 'DOGEUSDT' is not among 'symbols'"
    );
    let mut config = SimulationConfig::small(1);
    config.symbols[0].start_price = -5.0;
    assert_eq!(simulate(&config).expect_err("negative"), "'start_price' must be a positive number, was -5");
}

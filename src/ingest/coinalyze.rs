//! Coinalyze: answers of its API (v1) that the user has saved, one per file or one per line.
//!
//! In: `ohlcv-history`, `open-interest-history`, `funding-rate-history` and `liquidation-history`, lists of `{"symbol":
//! "BTCUSDT_PERP.A", "history": […]}` with instants in seconds. Out: rows of the market tables, of perpetuals of
//! Binance, Bybit, OKX and Hyperliquid; a symbol's last letter is the vendor's code of the exchange. What the
//! documentation leaves open is decided here, and said:
//!
//! - An answer does not say whether `convert_to_usd` was asked for. Open interest is read as without it, in base units,
//!   and refused where there cannot be as many coins. Sums of liquidations need USD, so the kind is named for them.
//!   Inverse contracts are in USD either way.
//! - Open interest at `t` is `o`, the state when the interval begins. Bybit states both sides and lately one side, too;
//!   which of them the vendor keeps is not known, and Bybit is refused.
//! - A funding rate is in per cent and stays until the next settlement, so bars of an hour or less show when it was
//!   settled: at the hours of 8 h, 4 h, 2 h or 1 h that all its changes keep to. The last hour of a file is left out;
//!   it may not have been over.
//! - In `liquidation-history` `l` is what longs lost and `s` what shorts lost; elsewhere `l` is the low. Sums stand at
//!   the start of their interval. The newest interval of a file is left out: a sum that grows would be taken twice.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::documents::{each_value, list, number, optional_number, text, time};
use super::hyperliquid::symbol_of_coin;
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value};
use super::settlement::{HOUR_MS, Settlement, give_settlements};
use super::source::Source;
use super::symbols::{canonical, is_inverse};
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, LIQUIDATIONS, OPEN_INTEREST};

const VENDOR: &str = "coinalyze";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader {
        exchange: VENDOR,
        kind: "ohlcv-history",
        table: &CANDLES,
        about: "candles of linear markets",
        read: candles,
    },
    Reader {
        exchange: VENDOR,
        kind: "open-interest-history",
        table: &OPEN_INTEREST,
        about: "open interest of linear markets in base units (without convert_to_usd)",
        read: open_interest,
    },
    Reader {
        exchange: VENDOR,
        kind: "funding-rate-history",
        table: &FUNDING,
        about: "funding, of bars of at most 1hour",
        read: funding,
    },
    Reader {
        exchange: VENDOR,
        kind: "liquidation-history-usd",
        table: &LIQUIDATIONS,
        about: "sums of liquidations per interval in USD (with convert_to_usd=true), but for the newest",
        read: liquidations,
    },
];

/// A market.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Market {
    exchange: &'static str,
    /// BASEQUOTE in upper case.
    symbol: String,
}

impl Market {
    /// `BTCUSDT_PERP.A` (Binance), `BTCUSDT.6` and `BTCPERP.6` (Bybit), `BTCUSD_PERP.3` (OKX), `BTC.H` (Hyperliquid).
    fn of(name: &str) -> Result<Market, BadRow> {
        let bad = |allowed: &str| BadRow::new("symbol", allowed, name);
        let Some((market, code)) = name.rsplit_once('.') else {
            return Err(bad("a market and the code of its exchange, as in BTCUSDT_PERP.A"));
        };
        let perpetual = |market: &str| {
            let is_name = market.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            (is_name && ["USDT", "USDC", "USD"].iter().any(|quote| market.ends_with(quote))).then(|| canonical(market))
        };
        let (exchange, symbol) = match code {
            // Without the ending it is spot or has a date.
            "A" => ("binance", market.strip_suffix("_PERP").and_then(perpetual)),
            "3" => ("okx", market.strip_suffix("_PERP").and_then(perpetual)),
            // Bybit's perpetuals in USDC are named for the coin alone.
            "6" => {
                let in_usdc = market.strip_suffix("PERP").and_then(|coin| perpetual(&format!("{coin}USDC")));
                ("bybit", in_usdc.or_else(|| perpetual(market)))
            }
            "H" => ("hyperliquid", symbol_of_coin(market)),
            _ => return Err(bad("of Binance (.A), Bybit (.6), OKX (.3) or Hyperliquid (.H)")),
        };
        let symbol =
            symbol.ok_or_else(|| bad("a perpetual, as in BTCUSDT_PERP.A, BTCUSDT.6, BTCUSDT_PERP.3 or BTC.H"))?;
        Ok(Market { exchange, symbol })
    }

    /// Checks that quantities are in base units, which the vendor's of inverse contracts are not.
    fn check_linear(&self) -> Result<(), BadRow> {
        match is_inverse(&self.symbol) {
            true => {
                let allowed =
                    "a linear market: inverse contracts are counted in USD, and there is no price to convert them";
                Err(BadRow::new("symbol", allowed, &self.symbol))
            }
            false => Ok(()),
        }
    }
}

/// Reads every entry of the history of every market, with the instant at which its interval starts. What `check`
/// refuses of a market leaves the others.
fn each_entry(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    check: fn(&Market) -> Result<(), BadRow>,
    mut each: impl FnMut(&Market, i64, &Json, u64, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    each_value(source, out, |value, line, out| {
        for answer in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            let found = history(answer).and_then(|(market, entries)| check(&market).map(|()| (market, entries)));
            let (market, entries) = match found {
                Ok(found) => found,
                Err(bad) => {
                    out.refuse(line, &bad)?;
                    continue;
                }
            };
            for entry in entries {
                match time(entry, "t") {
                    Ok(ts) => each(&market, ts, entry, line, out)?,
                    Err(bad) => out.refuse(line, &bad)?,
                }
            }
        }
        Ok(Ok(()))
    })
}

fn history(answer: &Json) -> Result<(Market, &[Json]), BadRow> {
    if let Some(message) = answer.get("message").and_then(Json::as_str) {
        return Err(BadRow(format!("the answer is an error: {message}")));
    }
    Ok((Market::of(text(answer, "symbol")?)?, list(answer, "history")?))
}

fn candles(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_entry(source, out, Market::check_linear, |market, ts, entry, line, out| {
        let values = candle(entry);
        let candle = values.map(|values| Entry { symbol: market.symbol.clone(), ts, identity: None, values });
        out.give(line, market.exchange, candle)
    })
}

fn candle(entry: &Json) -> Result<[Value<'static>; 6], BadRow> {
    // 'bv' is what takers bought.
    let taker = optional_number(entry, "bv")?.map_or(Value::Null, Value::Number);
    let [open, high, low, close, volume] = ["o", "h", "l", "c", "v"].map(|name| number(entry, name).map(Value::Number));
    Ok([open?, high?, low?, close?, volume?, taker])
}

/// Coins that there can be at most, of the two whose open interest is asked for most.
const MOST_COINS: [(&str, f64); 2] = [("BTC", 21e6), ("ETH", 200e6)];

fn open_interest(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_entry(source, out, check_one_side, |market, ts, entry, line, out| {
        let most = MOST_COINS.iter().find(|(coin, _)| market.symbol.starts_with(&format!("{coin}USD")));
        let state = number(entry, "o").and_then(|amount| match most {
            Some((_, most)) if amount > *most => {
                let allowed = format!("coins, of which there are at most {most}: ask without convert_to_usd");
                Err(BadRow::new("o", &allowed, amount))
            }
            _ => Ok([Value::Number(amount)]),
        });
        let state = state.map(|values| Entry { symbol: market.symbol.clone(), ts, identity: None, values });
        out.give(line, market.exchange, state)
    })
}

fn check_one_side(market: &Market) -> Result<(), BadRow> {
    if market.exchange == "bybit" {
        let allowed = "of another exchange: Bybit states open interest of both sides and of one, and the vendor not which it \
                       keeps; Bybit's own is read";
        return Err(BadRow::new("symbol", allowed, &market.symbol));
    }
    market.check_linear()
}

/// The last rate of an hour, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Rate {
    line: u64,
    ts: i64,
    rate: f64,
}

fn funding(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let name = source.name.clone();
    // By hour since the epoch. When rates are settled shows in all of them together.
    let mut markets: BTreeMap<Market, BTreeMap<i64, Rate>> = BTreeMap::new();
    each_entry(
        source,
        out,
        |_| Ok(()),
        |market, ts, entry, line, out| {
            let rate = match number(entry, "c") {
                Ok(percent) => Rate { line, ts, rate: percent / 100.0 },
                Err(bad) => return out.refuse(line, &bad),
            };
            let rates = markets.entry(market.clone()).or_default();
            let last = rates.entry(ts.div_euclid(HOUR_MS)).or_insert(rate);
            if last.ts <= ts {
                *last = rate;
            }
            Ok(())
        },
    )?;
    for (Market { exchange, symbol }, mut rates) in markets {
        let steps = rates.keys().zip(rates.keys().skip(1)).map(|(one, next)| next - one);
        if steps.min().is_some_and(|hours| hours > 1) {
            return Err(Error::new(format!(
                "{name}: bars of {symbol} are longer than an hour, in which settlements do not show: ask for interval=1hour"
            )));
        }
        rates.pop_last();
        let hours = if exchange == "hyperliquid" { 1 } else { interval_hours(&rates) };
        let settled = rates.iter().filter(|(hour, _)| *hour % hours == 0);
        let settlements: Vec<Settlement> = settled
            .map(|(hour, Rate { line, rate, .. })| Settlement {
                line: *line,
                symbol: symbol.clone(),
                ts: hour * HOUR_MS,
                rate: *rate,
                hours: Some(hours as f64),
            })
            .collect();
        give_settlements(exchange, &settlements, out)?;
    }
    Ok(())
}

/// The longest interval of which every change of the rate is a multiple.
fn interval_hours(rates: &BTreeMap<i64, Rate>) -> i64 {
    let pairs = rates.iter().zip(rates.iter().skip(1));
    // Of a gap it is not known in which hour the rate changed.
    let changes = pairs.filter(|((one, before), (next, after))| *next - *one == 1 && before.rate != after.rate);
    let changes: Vec<i64> = changes.map(|(_, (hour, _))| *hour).collect();
    [8, 4, 2].into_iter().find(|hours| changes.iter().all(|hour| hour % hours == 0)).unwrap_or(1)
}

/// What longs and what shorts lost in an interval, in USD, and where it stands.
type Sums = BTreeMap<(i64, Market), (u64, [(&'static str, f64); 2])>;

fn liquidations(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let name = source.name.clone();
    // A later answer knows better.
    let mut sums = Sums::new();
    each_entry(
        source,
        out,
        |_| Ok(()),
        |market, ts, entry, line, out| {
            let amount = |name: &str| match number(entry, name)? {
                amount if amount >= 0.0 => Ok(amount),
                amount => Err(BadRow::new(name, "a number of at least 0", amount)),
            };
            match (amount("l"), amount("s")) {
                (Ok(longs), Ok(shorts)) => {
                    sums.insert((ts, market.clone()), (line, [("long", longs), ("short", shorts)]));
                    Ok(())
                }
                (Err(bad), _) | (_, Err(bad)) => out.refuse(line, &bad),
            }
        },
    )?;
    let newest = sums.last_key_value().map(|((ts, _), _)| *ts);
    if !sums.is_empty() && sums.keys().all(|(ts, _)| Some(*ts) == newest) {
        return Err(Error::new(format!("{name}: holds one interval, which may not have been over: ask for more")));
    }
    for ((ts, Market { exchange, symbol }), (line, sides)) in sums {
        for (side, usd) in sides.into_iter().filter(|(_, usd)| *usd > 0.0 && Some(ts) != newest) {
            let values = [Value::Text(side), Value::Null, Value::Null, Value::Null, Value::Number(usd)];
            out.push(line, &Row { exchange, symbol: &symbol, ts, identity: None, values: &values })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reading::BadRows;
    use super::super::taken::{Taken, read as read_rows, rows};
    use super::*;

    const START: i64 = 1_767_225_600;

    fn taken(kind: &str, text: &str) -> Result<Vec<Taken>> {
        rows(READERS, kind, "a", text, &Settings::default())
    }

    fn read(kind: &str, text: &str) -> Vec<(String, i64, String)> {
        let rows = taken(kind, text).unwrap();
        rows.into_iter()
            .map(|row| (format!("{} {}", row.exchange, row.symbol), row.ts / 1_000 - START, row.values))
            .collect()
    }

    fn refusal(kind: &str, text: &str) -> String {
        taken(kind, text).unwrap_err().to_string()
    }

    fn answer(symbol: &str, entries: &[String]) -> String {
        format!(r#"{{"symbol":"{symbol}","history":[{}]}}"#, entries.join(","))
    }

    #[test]
    fn markets_are_told_by_their_names() {
        for (name, exchange, symbol) in [
            ("BTCUSDT_PERP.A", "binance", "BTCUSDT"),
            ("BTCUSD_PERP.A", "binance", "BTCUSD"),
            ("1000PEPEUSDT_PERP.A", "binance", "1000PEPEUSDT"),
            ("BTCUSDT.6", "bybit", "BTCUSDT"),
            ("BTCUSD.6", "bybit", "BTCUSD"),
            ("BTCPERP.6", "bybit", "BTCUSDC"),
            ("BTCUSDC_PERP.3", "okx", "BTCUSDC"),
            ("BTC.H", "hyperliquid", "BTCUSDC"),
            ("kPEPE.H", "hyperliquid", "KPEPEUSDC"),
        ] {
            assert_eq!(Market::of(name), Ok(Market { exchange, symbol: symbol.to_owned() }), "{name}");
        }
        for (name, why) in [
            ("BTCUSDT", "a market and the code of its exchange, as in BTCUSDT_PERP.A"),
            ("BTCUSD_PERP.0", "of Binance (.A), Bybit (.6), OKX (.3) or Hyperliquid (.H)"),
            ("BTC_USDT.Y", "of Binance (.A)"),
            // Spot markets, and contracts with a date.
            ("BTCUSDT.A", "a perpetual, as in BTCUSDT_PERP.A"),
            ("BTCUSDT.3", "a perpetual"),
            ("sBTCUSDT.6", "a perpetual"),
            ("BTCUSDH26.6", "a perpetual"),
            ("BTC-26JUN26.6", "a perpetual"),
            ("@107.H", "a perpetual"),
        ] {
            let bad = Market::of(name).unwrap_err().0;
            assert!(bad.contains(why) && bad.contains(&format!("was '{name}'")), "{bad}");
        }
    }

    #[test]
    fn candles_have_what_takers_bought() {
        let bar = |t: i64, more: &str| format!(r#"{{"t":{t},"o":100,"h":110,"l":90,"c":105,"v":1.5{more}}}"#);
        let full = bar(START, r#","bv":0.5,"tx":10,"btx":5"#);
        let both = format!(
            "[{},{}]",
            answer("BTCUSDT_PERP.A", &[full.clone(), bar(START + 60, "")]),
            answer("BTC.H", &[bar(START, "")])
        );
        let found = read("ohlcv-history", &both);
        let expected = [
            ("binance BTCUSDT".to_owned(), 0, "100 110 90 105 1.5 0.5".to_owned()),
            ("binance BTCUSDT".to_owned(), 60, "100 110 90 105 1.5 null".to_owned()),
            ("hyperliquid BTCUSDC".to_owned(), 0, "100 110 90 105 1.5 null".to_owned()),
        ];
        assert_eq!(found, expected);
        assert_eq!(read("ohlcv-history", &format!("{both}\n{both}\n")).len(), 6);
        let with = |from: &str, to: &str| {
            refusal("ohlcv-history", &format!("[{}]", answer("BTCUSDT_PERP.A", &[full.replace(from, to)])))
        };
        for (from, to, why) in [
            ("\"v\":1.5", "\"v\":null", "a:1: has no 'v'"),
            ("\"h\":110", "\"h\":101", "must lie between low 90 and high 101"),
            ("\"bv\":0.5", "\"bv\":-1", "'taker_buy_volume' must be a number of at least 0, was '-1'"),
            ("\"t\"", "\"time\"", "has no 't'"),
            ("\"o\":100", "\"o\":\"x\"", "'o' must be a number, was '\"x\"'"),
        ] {
            assert!(with(from, to).contains(why), "{}", with(from, to));
        }
        let inverse = refusal("ohlcv-history", &answer("BTCUSD.6", &[full]));
        assert!(
            inverse.contains("'symbol' must be a linear market: inverse contracts are counted in USD"),
            "{inverse}"
        );
    }

    fn state(t: i64, open: &str) -> String {
        format!(r#"{{"t":{t},"o":{open},"h":99999,"l":1,"c":5}}"#)
    }

    #[test]
    fn open_interest_is_the_state_when_the_interval_begins() {
        let text = format!(
            "[{},{}]",
            answer("BTCUSDT_PERP.A", &[state(START, "78602.843"), state(START + 3600, "78600")]),
            answer("BTCUSDT_PERP.3", &[state(START, "30000")])
        );
        let expected = [
            ("binance BTCUSDT".to_owned(), 0, "78602.843".to_owned()),
            ("binance BTCUSDT".to_owned(), 3600, "78600".to_owned()),
            ("okx BTCUSDT".to_owned(), 0, "30000".to_owned()),
        ];
        assert_eq!(read("open-interest-history", &text), expected);
    }

    #[test]
    fn open_interest_in_usd_or_of_two_sides_is_refused() {
        for (symbol, open, why) in [
            (
                "BTCUSDT_PERP.A",
                "7000000000",
                "'o' must be coins, of which there are at most 21000000: ask without convert_to_usd",
            ),
            ("ETHUSDT_PERP.A", "5000000000", "'o' must be coins"),
            ("BTCUSD_PERP.A", "1", "'symbol' must be a linear market"),
            ("BTCUSDT.6", "1", "'symbol' must be of another exchange: Bybit states open interest of both sides"),
            ("BTCUSDT_PERP.A", "-1", "'open_interest' must be a number of at least 0, was '-1'"),
            ("BTCUSDT_PERP.A", "null", "has no 'o'"),
        ] {
            let bad = refusal("open-interest-history", &answer(symbol, &[state(START, open)]));
            assert!(bad.contains(why), "{bad}");
        }
        // Of a coin of which there are very many it cannot be told.
        assert_eq!(read("open-interest-history", &answer("DOGEUSDT_PERP.A", &[state(START, "5e9")])).len(), 1);
        // One market that is refused leaves the others.
        let text = format!("[{},{}]", answer("BTCUSDT.6", &[]), answer("BTC.H", &[state(START, "1")]));
        let read =
            read_rows(READERS, "open-interest-history", "a", &text, &Settings::default(), BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (1, 1));
    }

    /// A bar of the rate in per cent.
    fn rate(minutes: i64, percent: f64) -> String {
        format!(r#"{{"t":{},"o":9,"h":9,"l":9,"c":{percent}}}"#, START + minutes * 60)
    }

    fn hourly(rates: &[(i64, f64)]) -> Vec<String> {
        let bars =
            rates.iter().flat_map(|(hours, percent)| std::iter::repeat_n(*percent, usize::try_from(*hours).unwrap()));
        bars.enumerate().map(|(hour, percent)| rate(hour as i64 * 60, percent)).collect()
    }

    #[test]
    fn rates_in_per_cent_stay_until_the_next_settlement() {
        let text = answer("BTCUSDT.6", &hourly(&[(8, 0.004036), (8, 0.009078), (8, -0.01), (1, 0.01)]));
        let row = |hours: i64, values: &str| ("bybit BTCUSDT".to_owned(), hours * 3600, values.to_owned());
        // The last hour may not have been over.
        let expected = [row(0, "0.00004036 8"), row(8, "0.00009078 8"), row(16, "-0.0001 8")];
        assert_eq!(read("funding-rate-history", &text), expected);
        // A rate that stays the same is settled, too.
        let text = answer("BTCUSDT.6", &hourly(&[(16, 0.01), (9, 0.02)]));
        let expected = [row(0, "0.0001 8"), row(8, "0.0001 8"), row(16, "0.0002 8")];
        assert_eq!(read("funding-rate-history", &text), expected);
        let text = answer("BTCUSDT.6", &hourly(&[(4, 0.01), (8, 0.02), (1, 0.02)]));
        let expected = [row(0, "0.0001 4"), row(4, "0.0002 4"), row(8, "0.0002 4")];
        assert_eq!(read("funding-rate-history", &text), expected);
    }

    #[test]
    fn hyperliquid_settles_every_hour() {
        let found = read("funding-rate-history", &answer("BTC.H", &hourly(&[(3, 0.00125)])));
        let row = |hours: i64| ("hyperliquid BTCUSDC".to_owned(), hours * 3600, "0.0000125 1".to_owned());
        assert_eq!(found, [row(0), row(1)]);
    }

    #[test]
    fn the_last_bar_of_an_hour_counts() {
        // The new rate comes some minutes late; bars of an hour that is missing say nothing of a change.
        let bars = [(0, 0.01), (30, 0.01), (8 * 60, 0.01), (8 * 60 + 5, 0.02), (8 * 60 + 59, 0.02), (9 * 60, 0.02)];
        let bars: Vec<_> = bars.iter().map(|(minutes, percent)| rate(*minutes, *percent)).collect();
        let found = read("funding-rate-history", &answer("BTCUSDT_PERP.A", &bars));
        let row = |hours: i64, values: &str| ("binance BTCUSDT".to_owned(), hours * 3600, values.to_owned());
        assert_eq!(found, [row(0, "0.0001 8"), row(8, "0.0002 8")]);
    }

    #[test]
    fn bars_in_which_settlements_do_not_show_are_refused() {
        let bars: Vec<_> = [0, 240, 480].map(|minutes| rate(minutes, 0.01)).to_vec();
        let long = refusal("funding-rate-history", &answer("BTCUSDT_PERP.A", &bars));
        assert!(long.contains("a: bars of BTCUSDT are longer than an hour"), "{long}");
        let bad =
            refusal("funding-rate-history", &answer("BTCUSDT_PERP.A", &[rate(0, 0.01).replace("\"c\"", "\"x\"")]));
        assert!(bad.contains("a:1: has no 'c'"), "{bad}");
    }

    fn sums(t: i64, longs: &str, shorts: &str) -> String {
        format!(r#"{{"t":{t},"l":{longs},"s":{shorts}}}"#)
    }

    #[test]
    fn sums_of_liquidations_stand_at_the_start_of_their_interval() {
        let text = format!(
            "[{},{}]",
            answer(
                "BTCUSDT_PERP.A",
                &[sums(START, "1000.5", "20"), sums(START + 3600, "0", "7"), sums(START + 7200, "9", "9")]
            ),
            answer("BTCUSD.6", &[sums(START, "5", "0")])
        );
        let row = |market: &str, t: i64, values: &str| (market.to_owned(), t, values.to_owned());
        let expected = [
            row("binance BTCUSDT", 0, "long null null null 1000.5"),
            row("binance BTCUSDT", 0, "short null null null 20"),
            row("bybit BTCUSD", 0, "long null null null 5"),
            row("binance BTCUSDT", 3600, "short null null null 7"),
        ];
        assert_eq!(read("liquidation-history-usd", &text), expected);
        // A later answer knows better, and does not add.
        let later = text.replace("1000.5", "1001").replace("\"l\":9", "\"l\":10");
        assert_eq!(read("liquidation-history-usd", &format!("{text}\n{later}\n"))[0].2, "long null null null 1001");
    }

    #[test]
    fn sums_that_cannot_be_used_are_refused() {
        let one = refusal("liquidation-history-usd", &answer("BTCUSDT_PERP.A", &[sums(START, "1", "2")]));
        assert!(one.contains("a: holds one interval, which may not have been over: ask for more"), "{one}");
        for (entry, why) in [
            (sums(START, "-1", "2"), "'l' must be a number of at least 0, was '-1'"),
            (sums(START, "1", "null"), "has no 's'"),
            (sums(START, "1", "2").replace("\"t\"", "\"x\""), "has no 't'"),
        ] {
            let bad = refusal("liquidation-history-usd", &answer("BTCUSDT_PERP.A", &[entry]));
            assert!(bad.contains(why), "{bad}");
        }
    }

    #[test]
    fn answers_that_are_errors_are_told() {
        for (text, why) in [
            (r#"{"message":"Invalid API key"}"#, "a:1: the answer is an error: Invalid API key"),
            (r#"[{"symbol":"BTCUSDT_PERP.A"}]"#, "has no 'history'"),
            (r#"[{"history":[]}]"#, "has no 'symbol'"),
            ("5", "has no 'symbol'"),
            ("", "the file is empty"),
        ] {
            for reader in READERS {
                let bad = refusal(reader.kind, text);
                assert!(bad.contains(why), "{} {text}: {bad}", reader.kind);
            }
        }
    }
}

//! CCXT: what the methods of that library return, dumped as JSON, one answer per file or one per line.
//!
//! In: `ohlcv`, `trades`, `openInterestHistory`, `fundingRateHistory`, `liquidations` (also of `watchLiquidations` and
//! `fetchMyLiquidations`) and `leverageTiers`. Out: rows of the market tables. The shapes are those of CCXT 4.5.90,
//! whose source says which field of an exchange's answer stands where.
//!
//! The library gives all exchanges one shape, not one meaning, and an answer does not name its exchange: the user does
//! (`--venue`). What is read of whom:
//!
//! | | Binance | Bybit | OKX | Hyperliquid |
//! |---|---|---|---|---|
//! | volume of candles | base | base | base | base |
//! | amount of trades, contracts of liquidations | base, inverse: contracts | base, inverse: USD | contracts | coins |
//! | open interest | base, inverse: `openInterestValue` in coins | both sides, halved; inverse refused | contracts, `baseVolume` in base | coins |
//! | side of a liquidation | order | **position** | order | order |
//! | price of a liquidation | average fill | bankruptcy | bankruptcy | fill |
//! | limits of brackets | USD, inverse: coins | USD, inverse: coins | contracts | none |
//!
//! Markets have CCXT's names: `BTC/USDT:USDT` is the linear perpetual, `BTC/USD:BTC` the inverse one, `BTC/USDT` is
//! spot and becomes a market of `{exchange}-spot`. The last candle of an answer may not be over yet; a later answer
//! replaces it. Of a message of OKX with several liquidations the library keeps the first.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::documents::{as_number, each_value, number, optional_number, text, time};
use super::freqtrade;
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value, day_of, identity_of};
use super::settlement::{Settlement, give_settlements};
use super::source::Source;
use super::symbols::{canonical, contract_usd, is_inverse};
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, TRADES};

const VENDOR: &str = "ccxt";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader { exchange: VENDOR, kind: "ohlcv", table: &CANDLES, about: "candles of fetchOHLCV", read: ohlcv },
    Reader { exchange: VENDOR, kind: "trades", table: &TRADES, about: "public trades of fetchTrades", read: trades },
    Reader {
        exchange: VENDOR,
        kind: "openInterestHistory",
        table: &OPEN_INTEREST,
        about: "open interest of fetchOpenInterestHistory",
        read: open_interest,
    },
    Reader {
        exchange: VENDOR,
        kind: "fundingRateHistory",
        table: &FUNDING,
        about: "funding of fetchFundingRateHistory",
        read: funding,
    },
    Reader {
        exchange: VENDOR,
        kind: "liquidations",
        table: &LIQUIDATIONS,
        about: "liquidations of watchLiquidations or fetchMyLiquidations",
        read: liquidations,
    },
    Reader {
        exchange: VENDOR,
        kind: "leverageTiers",
        table: &LEVERAGE_TIERS,
        about: "margin brackets of fetchLeverageTiers or fetchMarketLeverageTiers; the file's name holds the date",
        read: leverage_tiers,
    },
];

/// An exchange of which it is known what CCXT's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Venue {
    Binance,
    Bybit,
    Okx,
    Hyperliquid,
}

impl Venue {
    /// The exchange that the user says.
    pub(super) fn of(source: &Source<'_>, settings: &Settings) -> Result<Venue> {
        let known = "binance, bybit, okx or hyperliquid";
        let Some(said) = &settings.exchange else {
            return Err(Error::new(format!(
                "{}: the file does not say of which exchange it is: say --venue ({known})",
                source.name
            )));
        };
        match said.to_ascii_lowercase().as_str() {
            "binance" | "binanceusdm" | "binancecoinm" => Ok(Venue::Binance),
            "bybit" => Ok(Venue::Bybit),
            "okx" => Ok(Venue::Okx),
            "hyperliquid" => Ok(Venue::Hyperliquid),
            _ => Err(Error::new(format!(
                "--venue must be {known}, was '{said}': of other exchanges it is not known in which units CCXT's numbers \
                 are"
            ))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Venue::Binance => "binance",
            Venue::Bybit => "bybit",
            Venue::Okx => "okx",
            Venue::Hyperliquid => "hyperliquid",
        }
    }
}

/// How a market is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// At once: a spot market.
    Spot,
    /// In the quote currency.
    Linear,
    /// In the coin; contracts are worth USD.
    Inverse,
}

/// A market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Market {
    pub(super) venue: Venue,
    /// BASEQUOTE in upper case.
    pub(super) symbol: String,
    pub(super) settled: Settled,
}

impl Market {
    /// The market of a name: `BTC/USDT:USDT`, `BTC/USD:BTC-261225`, `BTC/USDT` (spot), or `BTCUSDT` (the perpetual).
    pub(super) fn of(venue: Venue, name: &str) -> Result<Market, BadRow> {
        let bad = |allowed: &str| BadRow::new("symbol", allowed, name);
        let (pair, settlement) = match name.split_once(':') {
            Some((pair, settlement)) => (pair, Some(settlement)),
            None => (name, None),
        };
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let Some((base, quote)) = pair.split_once('/').filter(|(base, quote)| is_word(base) && is_word(quote)) else {
            if settlement.is_some() || !is_word(pair) {
                return Err(bad("a market, as in BTC/USDT:USDT"));
            }
            let settled = if is_inverse(name) { Settled::Inverse } else { Settled::Linear };
            return Ok(Market { venue, symbol: canonical(name), settled });
        };
        let symbol = canonical(pair);
        let Some(settlement) = settlement else { return Ok(Market { venue, symbol, settled: Settled::Spot }) };
        let (currency, date) = match settlement.split_once('-') {
            Some((currency, date)) => (currency, Some(date)),
            None => (settlement, None),
        };
        let settled = match currency {
            _ if currency == quote => Settled::Linear,
            _ if currency == base => Settled::Inverse,
            _ => return Err(bad("settled in its quote currency or in its coin")),
        };
        let symbol = match (date, venue) {
            (None, _) => symbol,
            (Some(date), Venue::Binance) if is_date(date) => format!("{symbol}_{date}"),
            (Some(date), Venue::Okx) if is_date(date) => format!("{symbol}{date}"),
            // Bybit names them by month, and options have a strike behind the date.
            (Some(_), _) => return Err(bad("a perpetual, or a dated future of Binance or OKX")),
        };
        Ok(Market { venue, symbol, settled })
    }

    /// Under which name its rows stand: spot markets under one of their own, for they have the symbols of perpetuals.
    pub(super) fn exchange(&self) -> String {
        let suffix = if self.settled == Settled::Spot { "-spot" } else { "" };
        format!("{}{suffix}", self.venue.name())
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The one market of a file that does not name it in its rows.
pub(super) fn market_of(source: &Source<'_>, settings: &Settings) -> Result<Market> {
    let venue = Venue::of(source, settings)?;
    let named = freqtrade::Named::of(&source.file).map(|named| named.pair);
    let failed = |bad: BadRow| Error::new(format!("{}: {}", source.name, bad.0));
    let market = |name: &String| Market::of(venue, name).map_err(failed);
    match (named.as_ref().map(market).transpose()?, settings.symbol.as_ref().map(market).transpose()?) {
        (Some(named), Some(said)) if named != said => Err(Error::new(format!(
            "{}: the file is named for {} of {}, --symbol says {} of {}",
            source.name,
            named.symbol,
            named.exchange(),
            said.symbol,
            said.exchange()
        ))),
        (Some(market), _) | (None, Some(market)) => Ok(market),
        (None, None) => Err(Error::new(format!(
            "{}: neither its rows nor its name tell the symbol (as BTC_USDT_USDT-1h.json does): say --symbol",
            source.name
        ))),
    }
}

/// What a contract is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Contract {
    /// Base units.
    Base(f64),
    /// USD, settled in the coin.
    Usd(f64),
}

impl Contract {
    /// So many contracts in base units, and in USD, at this price.
    fn worth(self, contracts: f64, price: f64) -> (f64, f64) {
        match self {
            Contract::Base(size) => (contracts * size, contracts * size * price),
            Contract::Usd(usd) => (contracts * usd / price, contracts * usd),
        }
    }
}

/// Base units per contract of linear swaps of OKX, as its API states them.
const CONTRACT_SIZES: [(&str, f64); 2] = [("BTCUSDT", 0.01), ("ETHUSDT", 0.1)];

/// The markets of a file's rows. What `--contract-size` says holds for one of them only.
struct Markets<'s> {
    venue: Venue,
    settings: &'s Settings,
    /// The market of which the size was said: that of `--symbol`, or the first that needs it.
    said_for: Option<String>,
}

impl<'s> Markets<'s> {
    fn new(source: &Source<'_>, settings: &'s Settings) -> Result<Markets<'s>> {
        let venue = Venue::of(source, settings)?;
        let said_for = match &settings.symbol {
            Some(name) => Some(Market::of(venue, name).map_err(|bad| Error::new(bad.0))?.symbol),
            None => None,
        };
        Ok(Markets { venue, settings, said_for })
    }

    /// The market of a row, which must be one of contracts.
    fn of(&self, entry: &Json) -> Result<Market, BadRow> {
        let named = entry.get("symbol").and_then(Json::as_str).or(self.settings.symbol.as_deref());
        let market = Market::of(self.venue, named.ok_or_else(|| BadRow("has no 'symbol'".to_owned()))?)?;
        match market.settled {
            Settled::Spot => Err(BadRow::new("symbol", "a market of contracts, as in BTC/USDT:USDT", market.symbol)),
            _ => Ok(market),
        }
    }

    /// What a contract of a market is worth; `stated` is the size that the row states, or from which it can be worked
    /// out.
    fn contract(&mut self, market: &Market, stated: Option<f64>) -> Result<Contract, BadRow> {
        let symbol = &market.symbol;
        let (make, known): (fn(f64) -> Contract, Option<f64>) = match (market.settled, self.venue) {
            (Settled::Inverse, Venue::Bybit) => (Contract::Usd, Some(1.0)),
            (Settled::Inverse, _) => (Contract::Usd, Some(contract_usd(symbol))),
            (_, Venue::Okx) => {
                let found = CONTRACT_SIZES.iter().find(|(known, _)| known == symbol);
                (Contract::Base, found.map(|(_, size)| *size))
            }
            _ => return Ok(Contract::Base(1.0)),
        };
        let said = self.settings.contract_size;
        let said_for_this = said.filter(|_| self.said_for.as_ref() == Some(symbol));
        if let Some(size) = said_for_this.or(stated).or(known) {
            return Ok(make(size));
        }
        match (said, &self.said_for) {
            (Some(size), None) => {
                self.said_for = Some(symbol.clone());
                Ok(make(size))
            }
            (Some(_), Some(other)) => {
                let allowed = format!("{other}, for which --contract-size was said, or a market of which it is known");
                Err(BadRow::new("symbol", &allowed, symbol))
            }
            (None, _) => {
                let allowed = "a market of which the contract's size is known: say --contract-size (base units)";
                Err(BadRow::new("symbol", allowed, symbol))
            }
        }
    }
}

/// Reads every entry of every answer: a line may hold one, or a list of them.
fn each_entry(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    mut each: impl FnMut(&Json, u64, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    each_value(source, out, |value, line, out| {
        let entries = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        entries.iter().try_for_each(|entry| each(entry, line, out)).map(Ok)
    })
}

/// Reads every row of every answer: rows are lists of values, and a line may hold one, or a list of them.
pub(super) fn each_row(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    mut each: impl FnMut(&Json, u64, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    each_value(source, out, |value, line, out| {
        let rows = match value.as_array() {
            Some(rows) if rows.iter().all(Json::is_array) => rows.as_slice(),
            _ => std::slice::from_ref(value),
        };
        rows.iter().try_for_each(|row| each(row, line, out)).map(Ok)
    })
}

fn ohlcv(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let market = market_of(source, settings)?;
    let exchange = market.exchange();
    each_row(source, out, |row, line, out| out.give(line, &exchange, candle(row, &market.symbol)))
}

/// A candle: `[instant, open, high, low, close, volume]`.
pub(super) fn candle(row: &Json, symbol: &str) -> Result<Entry<6>, BadRow> {
    let Some([ts, numbers @ ..]) = row.as_array().map(Vec::as_slice).filter(|row| row.len() == 6) else {
        return Err(BadRow(format!("must be [instant, open, high, low, close, volume], was {row}")));
    };
    let ts = time(&serde_json::json!({ "instant": ts }), "instant")?;
    let mut values = [Value::Null; 6];
    for ((value, number), name) in values.iter_mut().zip(numbers).zip(["open", "high", "low", "close", "volume"]) {
        *value = Value::Number(as_number(number).ok_or_else(|| BadRow::new(name, "a number", number))?);
    }
    Ok(Entry { symbol: symbol.to_owned(), ts, identity: None, values })
}

fn trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut markets = Markets::new(source, settings)?;
    let exchange = markets.venue.name();
    each_entry(source, out, |entry, line, out| out.give(line, exchange, trade(entry, &mut markets)))
}

fn trade(entry: &Json, markets: &mut Markets<'_>) -> Result<Entry<3>, BadRow> {
    // Of an account's own trades the side is the account's, whether it took or made.
    if let Some(order) = entry.get("order").filter(|order| !order.is_null()) {
        return Err(BadRow::new("order", "empty, as it is of public trades", order));
    }
    let market = markets.of(entry)?;
    let side = match text(entry, "side")? {
        "buy" => "buy",
        "sell" => "sell",
        other => return Err(BadRow::new("side", "buy or sell", other)),
    };
    let (price, amount) = (number(entry, "price")?, number(entry, "amount")?);
    let cost = optional_number(entry, "cost")?;
    let size = cost.filter(|_| price > 0.0 && amount > 0.0).map(|cost| match market.settled {
        // Cost is in the quote currency, of inverse contracts in coins.
        Settled::Inverse => cost * price / amount,
        _ => cost / (price * amount),
    });
    let (base, _) = markets.contract(&market, size)?.worth(amount, price);
    let id = entry.get("id").and_then(Json::as_str).filter(|id| !id.is_empty());
    Ok(Entry {
        symbol: market.symbol,
        ts: time(entry, "timestamp")?,
        identity: id.map(|id| identity_of(id.as_bytes())),
        values: [Value::Number(price), Value::Number(base), Value::Text(side)],
    })
}

fn open_interest(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut markets = Markets::new(source, settings)?;
    let exchange = markets.venue.name();
    each_entry(source, out, |entry, line, out| match open_interest_entry(entry, &mut markets) {
        Ok((symbol, ts, Interest { base, usd })) => {
            let values = [Value::Number(base)];
            out.push_with_value(line, &Row { exchange, symbol: &symbol, ts, identity: None, values: &values }, usd)
        }
        Err(bad) => out.refuse(line, &bad),
    })
}

/// Open interest of one side, and what it is worth, if the row says so.
#[derive(Debug, Clone, Copy)]
struct Interest {
    base: f64,
    usd: Option<f64>,
}

fn open_interest_entry(entry: &Json, markets: &mut Markets<'_>) -> Result<(String, i64, Interest), BadRow> {
    let market = markets.of(entry)?;
    let refused = |why: &str| BadRow::new("symbol", why, &market.symbol);
    let amount = || number(entry, "openInterestAmount");
    let value = || optional_number(entry, "openInterestValue");
    let interest = match (markets.venue, market.settled) {
        // The amount is in contracts of USD, the value in coins.
        (Venue::Binance, Settled::Inverse) => {
            let (contracts, base) = (amount()?, number(entry, "openInterestValue")?);
            Interest { base, usd: Some(markets.contract(&market, None)?.worth(contracts, 1.0).1) }
        }
        (Venue::Binance, _) => Interest { base: amount()?, usd: value()? },
        (Venue::Bybit, Settled::Inverse) => {
            return Err(refused(
                "a linear market: inverse open interest is in USD, and there is no price to convert it",
            ));
        }
        (Venue::Bybit, _) => {
            let info = entry.get("info").unwrap_or(&Json::Null);
            let base = match optional_number(info, "singleOpenInterest")? {
                Some(one_side) => one_side,
                None => amount()? / 2.0,
            };
            Interest { base, usd: None }
        }
        (Venue::Okx, settled) => {
            let base = match optional_number(entry, "baseVolume")? {
                Some(base) => base,
                None if settled == Settled::Inverse => {
                    let why = "a linear market, or have 'baseVolume': contracts are worth USD, and there is no price";
                    return Err(refused(why));
                }
                None => markets.contract(&market, None)?.worth(amount()?, 1.0).0,
            };
            Interest { base, usd: value()? }
        }
        (Venue::Hyperliquid, _) => Interest { base: amount()?, usd: None },
    };
    Ok((market.symbol, time(entry, "timestamp")?, interest))
}

fn funding(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let markets = Markets::new(source, settings)?;
    // The interval shows in the distance of a symbol's rows, so all are read first: a few thousand per symbol and year.
    let mut settlements = Vec::new();
    each_entry(source, out, |entry, line, out| match settlement(entry, line, &markets) {
        Ok(settlement) => {
            settlements.push(settlement);
            Ok(())
        }
        Err(bad) => out.refuse(line, &bad),
    })?;
    give_settlements(markets.venue.name(), &settlements, out)
}

fn settlement(entry: &Json, line: u64, markets: &Markets<'_>) -> Result<Settlement, BadRow> {
    if entry.get("fundingTimestamp").is_some() {
        let why = "is of fetchFundingRate: a rate that runs and is not settled; fetchFundingRateHistory has those";
        return Err(BadRow(why.to_owned()));
    }
    let (ts, rate) = (time(entry, "timestamp")?, number(entry, "fundingRate")?);
    Ok(Settlement { line, symbol: markets.of(entry)?.symbol, ts: settled_at(ts), rate, hours: None })
}

/// Settlement is on the hour; the stamps of Binance and Hyperliquid are some milliseconds late.
pub(super) fn settled_at(ts: i64) -> i64 {
    ts.div_euclid(60_000).saturating_mul(60_000)
}

fn liquidations(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut markets = Markets::new(source, settings)?;
    let exchange = markets.venue.name();
    each_entry(source, out, |entry, line, out| out.give(line, exchange, liquidation(entry, &mut markets)))
}

fn liquidation(entry: &Json, markets: &mut Markets<'_>) -> Result<Entry<5>, BadRow> {
    let market = markets.of(entry)?;
    let side = match (text(entry, "side")?, markets.venue) {
        // Bybit states the side of the position, the others that of the order which closes it.
        ("buy", Venue::Bybit) | ("sell", Venue::Binance | Venue::Okx | Venue::Hyperliquid) => "long",
        ("sell", Venue::Bybit) | ("buy", Venue::Binance | Venue::Okx | Venue::Hyperliquid) => "short",
        (other, _) => return Err(BadRow::new("side", "buy or sell", other)),
    };
    let price = number(entry, "price")?;
    let info = entry.get("info").unwrap_or(&Json::Null);
    let first = |names: [&str; 2]| -> Result<Option<f64>, BadRow> {
        let [one, other] = names.map(|name| optional_number(info, name));
        Ok(one?.or(other?).filter(|number| *number > 0.0))
    };
    let mut contracts = number(entry, "contracts")?;
    let (trigger, bankruptcy) = match markets.venue {
        Venue::Binance => {
            // The price is the average of what was paid, near the mark price. The limit price of the order, near the
            // bankruptcy price, and all that was filled are in the exchange's own message.
            contracts = first(["z", "executedQty"])?.unwrap_or(contracts);
            match first(["p", "price"])? {
                Some(limit) => (Value::Null, Value::Number(limit)),
                None => (Value::Number(price), Value::Null),
            }
        }
        Venue::Bybit | Venue::Okx => (Value::Null, Value::Number(price)),
        Venue::Hyperliquid => (Value::Number(price), Value::Null),
    };
    let stated = optional_number(entry, "contractSize")?.filter(|size| *size > 0.0);
    let (base, usd) = markets.contract(&market, stated)?.worth(contracts, price);
    Ok(Entry {
        symbol: market.symbol,
        ts: time(entry, "timestamp")?,
        // The library keeps what it has seen and returns it again.
        identity: Some(identity_of(entry.to_string().as_bytes())),
        values: [Value::Text(side), trigger, bankruptcy, Value::Number(base), Value::Number(usd)],
    })
}

/// A bracket.
#[derive(Debug, Clone)]
struct Tier {
    line: u64,
    floor: f64,
    cap: Option<f64>,
    rate: f64,
    max_leverage: f64,
    /// As the exchange states it.
    deduction: Option<f64>,
}

fn leverage_tiers(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut markets = Markets::new(source, settings)?;
    if markets.venue == Venue::Hyperliquid {
        return Err(Error::new(format!(
            "{}: CCXT has no brackets of hyperliquid: its own 'meta' is read",
            source.name
        )));
    }
    let known_since = day_of(source, "leverageTiers-2026-01-31.json")?;
    // A market's brackets may stand in a list of their own, so all are read first.
    let mut found: BTreeMap<String, (Market, Vec<Tier>)> = BTreeMap::new();
    each_value(source, out, |value, line, out| {
        for (name, entry) in tiers_in(value) {
            match tier(entry, name, line, &markets) {
                Ok((market, tier)) => {
                    found.entry(market.symbol.clone()).or_insert_with(|| (market, Vec::new())).1.push(tier);
                }
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        Ok(Ok(()))
    })?;
    for (market, tiers) in found.into_values() {
        give_tiers(&market, tiers, known_since, &mut markets, out)?;
    }
    Ok(())
}

/// The brackets in an answer, each with the name under which its list stands: `{"BTC/USDT:USDT": […]}`, a list, or one.
fn tiers_in(value: &Json) -> Vec<(Option<&str>, &Json)> {
    match value {
        Json::Array(entries) => entries.iter().map(|entry| (None, entry)).collect(),
        Json::Object(lists) if !lists.is_empty() && lists.values().all(Json::is_array) => lists
            .iter()
            .flat_map(|(name, entries)| {
                entries.as_array().into_iter().flatten().map(move |entry| (Some(name.as_str()), entry))
            })
            .collect(),
        entry => vec![(None, entry)],
    }
}

fn tier(entry: &Json, name: Option<&str>, line: u64, markets: &Markets<'_>) -> Result<(Market, Tier), BadRow> {
    let market = match (entry.get("symbol").and_then(Json::as_str), name) {
        (None, Some(name)) => markets.of(&serde_json::json!({ "symbol": name }))?,
        _ => markets.of(entry)?,
    };
    let info = entry.get("info").unwrap_or(&Json::Null);
    let (deduction, mut rate) = (
        match markets.venue {
            Venue::Binance => optional_number(info, "cum")?,
            Venue::Bybit => optional_number(info, "mmDeduction")?,
            // The rate holds for the whole position.
            Venue::Okx | Venue::Hyperliquid => Some(0.0),
        },
        number(entry, "maintenanceMarginRate")?,
    );
    let max_leverage = number(entry, "maxLeverage")?;
    // Some answers of Bybit are in percent, which shows: the maintenance margin is less than the initial one.
    if markets.venue == Venue::Bybit && rate * max_leverage >= 1.0 {
        rate /= 100.0;
    }
    if rate * max_leverage >= 1.0 {
        let allowed = format!("less than 1 / maxLeverage ({max_leverage})");
        return Err(BadRow::new("maintenanceMarginRate", &allowed, rate));
    }
    let (floor, cap) = (number(entry, "minNotional")?, optional_number(entry, "maxNotional")?);
    Ok((market, Tier { line, floor, cap, rate, max_leverage, deduction }))
}

/// Pushes the brackets of a market.
fn give_tiers(
    market: &Market,
    mut tiers: Vec<Tier>,
    known_since: i64,
    markets: &mut Markets<'_>,
    out: &mut Out<'_>,
) -> Result<()> {
    let bounds = |tier: &Tier| (tier.cap.unwrap_or(f64::INFINITY), tier.floor);
    tiers.sort_by(|one, other| {
        let ((one, one_floor), (other, other_floor)) = (bounds(one), bounds(other));
        one.total_cmp(&other).then(one_floor.total_cmp(&other_floor))
    });
    let mut before: Option<(f64, f64, f64)> = None;
    for mut tier in tiers {
        // CCXT takes Bybit's brackets in the order of their ids, and the cap of the one before for the floor.
        if markets.venue == Venue::Bybit {
            tier.floor = before.map_or(0.0, |(cap, _, _)| cap);
        }
        // Where the exchange does not state it: what keeps the margin continuous from bracket to bracket.
        let deduction = tier.deduction.or(match before {
            Some((cap, rate, deduction)) if cap == tier.floor => Some(deduction + cap * (tier.rate - rate)),
            None if tier.floor == 0.0 => Some(0.0),
            _ => None,
        });
        let entry = tier_entry(&tier, deduction, market, known_since, markets);
        before = tier.cap.zip(deduction).map(|(cap, deduction)| (cap, tier.rate, deduction));
        out.give(tier.line, markets.venue.name(), entry)?;
    }
    Ok(())
}

fn tier_entry(
    tier: &Tier,
    deduction: Option<f64>,
    market: &Market,
    known_since: i64,
    markets: &mut Markets<'_>,
) -> Result<Entry<7>, BadRow> {
    let (unit, size) = match (markets.venue, market.settled) {
        (Venue::Okx, Settled::Inverse) => {
            let allowed =
                "a linear market: inverse contracts are worth USD, and brackets are in base units per contract";
            return Err(BadRow::new("symbol", allowed, &market.symbol));
        }
        (Venue::Okx, _) => match markets.contract(market, None)? {
            Contract::Base(size) | Contract::Usd(size) => ("contracts", Value::Number(size)),
        },
        (_, Settled::Inverse) => ("base", Value::Null),
        _ => ("quote_notional", Value::Null),
    };
    let deduction = deduction.ok_or_else(|| {
        let allowed = "where the bracket before ends, as the brackets have no deductions of their own";
        BadRow::new("minNotional", allowed, tier.floor)
    })?;
    let values = [
        Value::Text(unit),
        Value::Number(tier.floor),
        tier.cap.map_or(Value::Null, Value::Number),
        Value::Number(tier.rate),
        Value::Number(tier.max_leverage),
        Value::Number(deduction),
        size,
    ];
    Ok(Entry { symbol: market.symbol.clone(), ts: known_since, identity: None, values })
}

#[cfg(test)]
mod tests {
    use super::super::reading::{BadRows, Sink};
    use super::super::taken::{Taken, read as read_rows, rows};
    use super::*;

    fn settings(venue: &str) -> Settings {
        Settings { exchange: Some(venue.to_owned()), ..Settings::default() }
    }

    fn sized(venue: &str, symbol: Option<&str>, size: f64) -> Settings {
        Settings { symbol: symbol.map(str::to_owned), contract_size: Some(size), ..settings(venue) }
    }

    fn taken(kind: &str, venue: &str, text: &str) -> Result<Vec<Taken>> {
        rows(READERS, kind, "dump.json", text, &settings(venue))
    }

    fn read(kind: &str, venue: &str, text: &str) -> Taken {
        taken(kind, venue, text).unwrap().remove(0)
    }

    fn refusal(kind: &str, venue: &str, text: &str) -> String {
        taken(kind, venue, text).unwrap_err().to_string()
    }

    #[test]
    fn the_exchange_must_be_said() {
        let nobody = rows(READERS, "trades", "a", "[]", &Settings::default()).unwrap_err().to_string();
        assert_eq!(
            nobody,
            "a: the file does not say of which exchange it is: say --venue (binance, bybit, okx or hyperliquid)"
        );
        let other = refusal("trades", "gate", "[]");
        assert!(other.starts_with("--venue must be binance, bybit, okx or hyperliquid, was 'gate'"), "{other}");
        for (said, exchange) in [("BinanceUSDM", "binance"), ("binancecoinm", "binance"), ("OKX", "okx")] {
            assert_eq!(read("openInterestHistory", said, INTEREST).exchange, exchange);
        }
    }

    #[test]
    fn markets_are_told_by_their_names() {
        let market = |venue, name| Market::of(venue, name).map(|market| (market.symbol, market.settled));
        for (name, symbol, settled) in [
            ("BTC/USDT:USDT", "BTCUSDT", Settled::Linear),
            ("BTC/USDC:USDC", "BTCUSDC", Settled::Linear),
            ("BTC/USD:BTC", "BTCUSD", Settled::Inverse),
            ("BTC/USDT", "BTCUSDT", Settled::Spot),
            ("1000PEPE/USDT:USDT", "1000PEPEUSDT", Settled::Linear),
            ("BTC/USD:BTC-261225", "BTCUSD_261225", Settled::Inverse),
            ("ETH/BTC:BTC", "ETHBTC", Settled::Linear),
            ("btcusdt", "BTCUSDT", Settled::Linear),
            ("BTCUSD", "BTCUSD", Settled::Inverse),
        ] {
            assert_eq!(market(Venue::Binance, name), Ok((symbol.to_owned(), settled)), "{name}");
        }
        assert_eq!(market(Venue::Okx, "BTC/USD:BTC-261225").unwrap().0, "BTCUSD261225");
        for (venue, name, why) in [
            (Venue::Bybit, "BTC/USDT:USDT-261225", "a perpetual, or a dated future of Binance or OKX"),
            (Venue::Okx, "BTC/USD:BTC-261225-50000-C", "a perpetual, or a dated future"),
            (Venue::Binance, "BTC/USD:USDC", "settled in its quote currency or in its coin"),
            (Venue::Hyperliquid, "XYZ-TSLA/USDC:USDC", "a market, as in BTC/USDT:USDT"),
            (Venue::Binance, "", "a market, as in BTC/USDT:USDT"),
            (Venue::Binance, ":USDT", "a market, as in BTC/USDT:USDT"),
            (Venue::Binance, "/USDT:USDT", "a market, as in BTC/USDT:USDT"),
        ] {
            let bad = market(venue, name).unwrap_err().0;
            assert!(bad.contains(why) && bad.contains(&format!("was '{name}'")), "{bad}");
        }
        let market = Market::of(Venue::Binance, "BTC/USDT").unwrap();
        assert_eq!(market.exchange(), "binance-spot");
    }

    const CANDLES_OF_A_MINUTE: &str =
        "[[1767225600000, 100.0, 110.0, 90.0, 105.0, 1.5], [1767225660000, 105, 105, 105, 105, 0]]";

    #[test]
    fn candles_are_of_the_market_that_the_name_tells() {
        for (file, said, exchange, symbol) in [
            ("BTC_USDT_USDT-1m.json", None, "binance", "BTCUSDT"),
            ("BTCUSDT-1m.json", None, "binance", "BTCUSDT"),
            ("BTC_USD_BTC.json", None, "binance", "BTCUSD"),
            ("BTC_USDT-1m.json", None, "binance-spot", "BTCUSDT"),
            ("dump.json", Some("BTC/USDT:USDT"), "binance", "BTCUSDT"),
            ("dump.json", Some("BTC/USDT"), "binance-spot", "BTCUSDT"),
            ("dump.json", Some("BTCUSDT"), "binance", "BTCUSDT"),
            ("BTC_USDT_USDT-1m.json", Some("BTCUSDT"), "binance", "BTCUSDT"),
        ] {
            let settings = Settings { symbol: said.map(str::to_owned), ..settings("binance") };
            let rows = rows(READERS, "ohlcv", file, CANDLES_OF_A_MINUTE, &settings).unwrap();
            let found: Vec<_> = rows.iter().map(|row| (row.ts, row.values.as_str())).collect();
            let expected =
                [(1_767_225_600_000, "100 110 90 105 1.5 null"), (1_767_225_660_000, "105 105 105 105 0 null")];
            assert_eq!(found, expected, "{file}");
            assert_eq!((rows[0].exchange.as_str(), rows[0].symbol.as_str()), (exchange, symbol), "{file}");
        }
        let nameless = refusal("ohlcv", "binance", CANDLES_OF_A_MINUTE);
        assert!(nameless.contains("dump.json: neither its rows nor its name tell the symbol"), "{nameless}");
        let settings = Settings { symbol: Some("BTC/USDT".to_owned()), ..settings("binance") };
        let other = rows(READERS, "ohlcv", "BTCUSDT-1m.json", "[]", &settings).unwrap_err().to_string();
        assert!(other.contains("named for BTCUSDT of binance, --symbol says BTCUSDT of binance-spot"), "{other}");
    }

    #[test]
    fn candles_come_in_one_list_or_in_pages_or_in_lines() {
        let settings = Settings { symbol: Some("BTCUSDT".to_owned()), ..settings("bybit") };
        let (one, other) = ("[1767225600000,1,1,1,1,1]", "[1767225660000,2,2,2,2,2]");
        for text in [
            format!("[{one},{other}]"),
            format!("[{one}]\n[{other}]\n[]\n"),
            format!("{one}\n{other}\n"),
            format!("[\n  {one},\n  {other}\n]\n"),
            format!("[[{one},{other}]]"),
        ] {
            let found = rows(READERS, "ohlcv", "a", &text, &settings).unwrap();
            assert_eq!(
                found.iter().map(|row| row.ts).collect::<Vec<_>>(),
                [1_767_225_600_000, 1_767_225_660_000],
                "{text}"
            );
        }
    }

    #[test]
    fn bad_candles_are_named() {
        let with = |row: &str| {
            let settings = Settings { symbol: Some("BTCUSDT".to_owned()), ..settings("okx") };
            rows(READERS, "ohlcv", "a", &format!("[{row}]"), &settings).unwrap_err().to_string()
        };
        for (row, why) in [
            (
                "[1767225600000,1,1,1,1]",
                "a:1: must be [instant, open, high, low, close, volume], was [1767225600000,1,1,1,1]",
            ),
            ("[1767225600000,1,1,1,1,null]", "'volume' must be a number, was 'null'"),
            ("[1767225600000,1,1,1,1,-1]", "'volume' must be a number of at least 0, was '-1'"),
            ("[1767225600000,\"x\",1,1,1,1]", "'open' must be a number, was '\"x\"'"),
            ("[null,1,1,1,1,1]", "has no 'instant'"),
            ("[\"soon\",1,1,1,1,1]", "'instant' must be an instant, was '\"soon\"'"),
            ("[1767225600000,2,1,1,1,1]", "must lie between low 1 and high 1"),
            ("{\"open\":1}", "must be [instant, open, high, low, close, volume], was {\"open\":1}"),
        ] {
            let bad = with(row);
            assert!(bad.contains(why), "{row}: {bad}");
        }
    }

    fn trade_of(symbol: &str, price: f64, amount: f64, cost: &str) -> String {
        format!(
            r#"[{{"info":{{}},"id":"7","timestamp":1767225600000,"datetime":"2026-01-01T00:00:00.000Z","symbol":"{symbol}","order":null,"type":null,"takerOrMaker":"taker","side":"sell","price":{price},"amount":{amount},"cost":{cost},"fee":null,"fees":[]}}]"#
        )
    }

    #[test]
    fn amounts_of_trades_become_base_units() {
        for (venue, symbol, amount, cost, size) in [
            ("binance", "BTC/USDT:USDT", 0.5, "25000", "0.5"),
            ("binance", "BTC/USD:BTC", 20.0, "0.04", "0.04"),
            ("binance", "BTC/USD:BTC", 20.0, "null", "0.04"),
            ("binance", "ETH/USD:ETH", 20.0, "null", "0.004"),
            ("bybit", "BTC/USDT:USDT", 0.5, "25000", "0.5"),
            ("bybit", "BTC/USD:BTC", 1000.0, "0.02", "0.02"),
            ("okx", "BTC/USDT:USDT", 7.0, "null", "0.07"),
            ("okx", "BTC/USD:BTC", 7.0, "null", "0.014"),
            // The contract's size shows in the cost.
            ("okx", "SOL/USDT:USDT", 7.0, "350000", "7"),
            ("okx", "DOGE/USDT:USDT", 7.0, "350000000", "7000"),
            ("hyperliquid", "BTC/USDC:USDC", 0.5, "25000", "0.5"),
        ] {
            let row = read("trades", venue, &trade_of(symbol, 50_000.0, amount, cost));
            assert_eq!(row.values, format!("50000 {size} sell"), "{venue} {symbol}");
            assert_eq!((row.exchange.as_str(), row.ts), (venue, 1_767_225_600_000));
            assert_eq!(row.identity, Some(identity_of(b"7")));
        }
        let nameless = trade_of("BTC/USDT:USDT", 1.0, 1.0, "null").replace("\"7\"", "null");
        assert_eq!(read("trades", "binance", &nameless).identity, None);
    }

    #[test]
    fn bad_trades_are_named() {
        let trade = trade_of("BTC/USDT:USDT", 50_000.0, 1.0, "null");
        for (from, to, why) in [
            ("\"sell\"", "null", "dump.json:1: has no 'side'"),
            ("\"sell\"", "\"long\"", "'side' must be buy or sell, was 'long'"),
            ("\"order\":null", "\"order\":\"8\"", "'order' must be empty, as it is of public trades, was '\"8\"'"),
            ("50000", "-1", "'price' must be a positive number, was '-1'"),
            ("\"amount\":1", "\"amount\":0", "'size' must be a positive number, was '0'"),
            ("\"amount\":1", "\"amount\":null", "has no 'amount'"),
            ("1767225600000", "null", "has no 'timestamp'"),
            (
                "\"BTC/USDT:USDT\"",
                "\"BTC/USDT\"",
                "'symbol' must be a market of contracts, as in BTC/USDT:USDT, was 'BTCUSDT'",
            ),
            ("\"BTC/USDT:USDT\"", "null", "has no 'symbol'"),
        ] {
            let bad = refusal("trades", "binance", &trade.replacen(from, to, 1));
            assert!(bad.contains(why), "{bad}");
        }
        let sizeless = refusal("trades", "okx", &trade_of("SOL/USDT:USDT", 100.0, 1.0, "null"));
        assert!(sizeless.contains("say --contract-size (base units), was 'SOLUSDT'"), "{sizeless}");
    }

    #[test]
    fn one_contract_size_is_that_of_one_market() {
        let trades = |symbols: &[&str]| {
            let lines: Vec<_> = symbols.iter().map(|symbol| trade_of(symbol, 100.0, 3.0, "null")).collect();
            lines.join("\n")
        };
        let both = trades(&["SOL/USDT:USDT", "BTC/USDT:USDT", "SOL/USDT:USDT"]);
        let found = rows(READERS, "trades", "a", &both, &sized("okx", None, 2.0)).unwrap();
        let sizes: Vec<_> = found.iter().map(|row| row.numbers[1]).collect();
        assert_eq!(sizes, [Some(6.0), Some(0.03), Some(6.0)]);
        let two = trades(&["SOL/USDT:USDT", "XRP/USDT:USDT"]);
        let refused = rows(READERS, "trades", "a", &two, &sized("okx", None, 2.0)).unwrap_err().to_string();
        assert!(refused.contains("a:2: 'symbol' must be SOLUSDT, for which --contract-size was said"), "{refused}");
        // What was said of a market counts more than what is known of it.
        let said = sized("okx", Some("BTC/USDT:USDT"), 0.001);
        let found = rows(READERS, "trades", "a", &trades(&["BTC/USDT:USDT"]), &said).unwrap();
        assert_eq!(found[0].values, "100 0.003 sell");
        let bad = sized("okx", Some("BTC/USDT:BUSD"), 0.001);
        assert!(
            rows(READERS, "trades", "a", "[]", &bad).unwrap_err().to_string().contains("'symbol' must be settled in")
        );
    }

    const INTEREST: &str = r#"[{"symbol":"BTC/USDT:USDT","baseVolume":75375.6,"quoteVolume":3248828883.7,"openInterestAmount":75375.6,"openInterestValue":3248828883.7,"timestamp":1642179900000,"datetime":"2022-01-14T17:05:00.000Z","info":{"symbol":"BTCUSDT","sumOpenInterest":"75375.6","sumOpenInterestValue":"3248828883.7","timestamp":1642179900000}}]"#;

    fn interest_of(symbol: &str, amount: &str, value: &str, base: &str, info: &str) -> String {
        format!(
            r#"[{{"symbol":"{symbol}","baseVolume":{base},"openInterestAmount":{amount},"openInterestValue":{value},"timestamp":1642179900000,"info":{info}}}]"#
        )
    }

    #[test]
    fn open_interest_is_of_one_side_in_base_units() {
        let row = read("openInterestHistory", "binance", INTEREST);
        assert_eq!((row.symbol.as_str(), row.ts, row.values.as_str()), ("BTCUSDT", 1_642_179_900_000, "75375.6"));
        for (venue, symbol, amount, value, base, info, expected) in [
            // Contracts of 100 USD, and their value in coins.
            ("binance", "BTC/USD:BTC", "13069401", "15796.5", "null", "{}", "15796.5"),
            ("bybit", "BTC/USDT:USDT", "461134.5", "null", "null", r#"{"openInterest":"461134.5"}"#, "230567.25"),
            (
                "bybit",
                "BTC/USDT:USDT",
                "300",
                "null",
                "null",
                r#"{"openInterest":"300","singleOpenInterest":"149"}"#,
                "149",
            ),
            ("okx", "BTC/USDT:USDT", "2500000", "2200000000", "25000.5", "[]", "25000.5"),
            ("okx", "BTC/USD:BTC", "2500000", "250000000", "2800.5", "[]", "2800.5"),
            ("okx", "BTC/USDT:USDT", "2500000", "null", "null", "[]", "25000"),
            ("hyperliquid", "BTC/USDC:USDC", "30000.5", "null", "null", "{}", "30000.5"),
        ] {
            let row = read("openInterestHistory", venue, &interest_of(symbol, amount, value, base, info));
            assert_eq!((row.exchange.as_str(), row.values.as_str()), (venue, expected), "{venue} {symbol}");
        }
        let sol = interest_of("SOL/USDT:USDT", "100", "null", "null", "[]");
        let found = rows(READERS, "openInterestHistory", "a", &sol, &sized("okx", None, 2.0)).unwrap();
        assert_eq!(found[0].values, "200");
    }

    /// What a unit of each row's open interest is worth.
    #[derive(Default)]
    struct Worths(Vec<f64>);

    impl Sink for Worths {
        fn take(&mut self, _row: &Row<'_>) -> Result<()> {
            Ok(())
        }

        fn note_worth(&mut self, _row: &Row<'_>, worth: f64) {
            self.0.push(worth);
        }
    }

    #[test]
    fn the_value_of_open_interest_tells_its_price() {
        for (venue, symbol, amount, value, base, expected) in [
            ("binance", "BTC/USDT:USDT", "2", "100000", "null", &[50_000.0][..]),
            ("binance", "BTC/USD:BTC", "1000", "2", "null", &[50_000.0]),
            ("binance", "ETH/USD:ETH", "1000", "5", "null", &[2_000.0]),
            ("okx", "BTC/USDT:USDT", "200", "100000", "2", &[50_000.0]),
            ("okx", "BTC/USDT:USDT", "200", "null", "2", &[]),
            ("bybit", "BTC/USDT:USDT", "200", "100000", "null", &[]),
            ("hyperliquid", "BTC/USDC:USDC", "200", "100000", "null", &[]),
        ] {
            let text = interest_of(symbol, amount, value, base, "{}");
            let reader = READERS.iter().find(|reader| reader.kind == "openInterestHistory").unwrap();
            let mut worths = Worths::default();
            let mut out = Out::new(reader.table, BadRows::Error, &mut worths);
            (reader.read)(&mut Source::of_bytes("a", text.as_bytes()), &settings(venue), &mut out).unwrap();
            assert_eq!(worths.0, expected, "{venue} {symbol}");
        }
    }

    #[test]
    fn open_interest_that_cannot_be_used_is_refused() {
        for (venue, text, why) in [
            ("bybit", interest_of("BTC/USD:BTC", "null", "5", "null", "{}"), "inverse open interest is in USD"),
            (
                "okx",
                interest_of("BTC/USD:BTC", "5", "500", "null", "{}"),
                "contracts are worth USD, and there is no price",
            ),
            ("okx", interest_of("SOL/USDT:USDT", "5", "500", "null", "{}"), "say --contract-size"),
            // A sum over all contracts of a coin.
            ("okx", interest_of("BTC/USDT:USDT", "null", "500", "null", "{}"), "has no 'openInterestAmount'"),
            (
                "okx",
                interest_of("BTC/USDT:USDT", "5", "500", "5", "{}").replace("\"BTC/USDT:USDT\"", "null"),
                "has no 'symbol'",
            ),
            // Of fetchOpenInterest, which states contracts only.
            ("binance", interest_of("BTC/USD:BTC", "5", "null", "null", "{}"), "has no 'openInterestValue'"),
            (
                "binance",
                interest_of("BTC/USDT:USDT", "-1", "1", "null", "{}"),
                "'open_interest' must be a number of at least 0",
            ),
            (
                "hyperliquid",
                interest_of("BTC/USDC:USDC", "5", "1", "null", "{}").replace("1642179900000", "null"),
                "has no 'timestamp'",
            ),
        ] {
            let bad = refusal("openInterestHistory", venue, &text);
            assert!(bad.contains(why), "{venue} {text}: {bad}");
        }
    }

    fn rate_of(symbol: &str, ts: i64, rate: &str) -> String {
        format!(r#"{{"info":{{}},"symbol":"{symbol}","fundingRate":{rate},"timestamp":{ts},"datetime":""}}"#)
    }

    #[test]
    fn funding_intervals_show_in_the_file() {
        let start = 1_767_225_600_000;
        let rates = [
            rate_of("BTC/USDT:USDT", start + 3, "0.0001"),
            rate_of("BTC/USDT:USDT", start + 28_800_008, "-0.0002"),
            rate_of("ETH/USDT:USDT", start, "0.0003"),
            rate_of("ETH/USDT:USDT", start + 14_400_000, "0.0003"),
            rate_of("SOL/USDT:USDT", start, "0"),
        ];
        let found = taken("fundingRateHistory", "binance", &format!("[{}]", rates.join(","))).unwrap();
        let found: Vec<_> =
            found.iter().map(|row| (row.symbol.as_str(), row.ts - start, row.values.as_str())).collect();
        assert_eq!(
            found,
            [
                ("BTCUSDT", 0, "0.0001 8"),
                ("BTCUSDT", 28_800_000, "-0.0002 8"),
                ("ETHUSDT", 0, "0.0003 4"),
                ("ETHUSDT", 14_400_000, "0.0003 4"),
                ("SOLUSDT", 0, "0 8"),
            ]
        );
        let alone = rate_of("BTC/USDC:USDC", start + 31, "0.0000125");
        assert_eq!(read("fundingRateHistory", "hyperliquid", &alone).values, "0.0000125 1");
    }

    #[test]
    fn rates_that_run_and_bad_ones_are_refused() {
        let rate = rate_of("BTC/USDT:USDT", 1_767_225_600_000, "0.0001");
        for (from, to, why) in [
            ("\"info\":{}", "\"fundingTimestamp\":1", "a rate that runs and is not settled"),
            ("\"fundingRate\":0.0001", "\"fundingRate\":\"x\"", "'fundingRate' must be a number, was '\"x\"'"),
            ("\"timestamp\":1767225600000", "\"timestamp\":5", "'ts' must be an instant between 2009 and 2100"),
            ("BTC/USDT:USDT", "BTC/USDT", "'symbol' must be a market of contracts"),
        ] {
            let bad = refusal("fundingRateHistory", "bybit", &rate.replace(from, to));
            assert!(bad.contains(why), "{bad}");
        }
    }

    fn liquidation_of(symbol: &str, contracts: f64, size: &str, price: f64, side: &str, info: &str) -> String {
        format!(
            r#"[{{"info":{info},"symbol":"{symbol}","contracts":{contracts},"contractSize":{size},"price":{price},"side":{side},"baseValue":1,"quoteValue":1,"timestamp":1767225600000,"datetime":""}}]"#
        )
    }

    fn liquidated(venue: &str, text: &str) -> String {
        let row = read("liquidations", venue, text);
        assert_eq!((row.exchange.as_str(), row.ts), (venue, 1_767_225_600_000));
        assert!(row.identity.is_some());
        row.values
    }

    #[test]
    fn the_side_of_a_liquidation_is_the_positions() {
        for (venue, side, position) in [
            ("binance", "sell", "long"),
            ("binance", "buy", "short"),
            ("bybit", "buy", "long"),
            ("bybit", "sell", "short"),
            ("okx", "sell", "long"),
            ("okx", "buy", "short"),
            ("hyperliquid", "sell", "long"),
            ("hyperliquid", "buy", "short"),
        ] {
            let text = liquidation_of("BTC/USDC:USDC", 1.0, "0.01", 50_000.0, &format!("\"{side}\""), "{}");
            let values = liquidated(venue, &text);
            assert!(values.starts_with(&format!("{position} ")), "{venue} {side}: {values}");
        }
    }

    #[test]
    fn contracts_of_liquidations_become_base_units_and_usd() {
        let of = |venue, symbol, contracts, size| {
            let text = liquidation_of(symbol, contracts, size, 50_000.0, "\"sell\"", "{}");
            let values = liquidated(venue, &text);
            values.rsplit(' ').take(2).map(str::to_owned).collect::<Vec<_>>().join(" usd, base ")
        };
        for (venue, symbol, contracts, size, expected) in [
            ("binance", "BTC/USDT:USDT", 0.5, "1", "25000 usd, base 0.5"),
            ("binance", "BTC/USD:BTC", 20.0, "100", "2000 usd, base 0.04"),
            ("binance", "ETH/USD:ETH", 20.0, "null", "200 usd, base 0.004"),
            ("bybit", "BTC/USDT:USDT", 0.5, "1", "25000 usd, base 0.5"),
            ("bybit", "BTC/USD:BTC", 2000.0, "1", "2000 usd, base 0.04"),
            ("okx", "BTC/USDT:USDT", 13.0, "0.01", "6500 usd, base 0.13"),
            ("okx", "BTC/USDT:USDT", 13.0, "null", "6500 usd, base 0.13"),
            ("okx", "IOST/USDT:USDT", 13.0, "1000", "650000000 usd, base 13000"),
            ("okx", "BTC/USD:BTC", 13.0, "100", "1300 usd, base 0.026"),
            ("hyperliquid", "BTC/USDC:USDC", 0.5, "1", "25000 usd, base 0.5"),
        ] {
            assert_eq!(of(venue, symbol, contracts, size), expected, "{venue} {symbol}");
        }
    }

    #[test]
    fn the_price_of_a_liquidation_is_what_the_exchange_prints() {
        let of = |venue, info| {
            let text = liquidation_of("BTC/USDC:USDC", 2.0, "0.01", 50_000.0, "\"buy\"", info);
            let row = read("liquidations", venue, &text);
            (row.numbers[0], row.numbers[1])
        };
        // The average fill is near the mark price, the limit price near the bankruptcy price.
        assert_eq!(of("binance", "{}"), (Some(50_000.0), None));
        let (trigger, bankruptcy) = of("binance", r#"{"p":"50200","ap":"50000","l":"2","z":"3"}"#);
        assert_eq!(bankruptcy, Some(50_200.0));
        assert!((trigger.unwrap() - 50_200.0 / 1.004).abs() < 1.0, "{trigger:?}");
        assert_eq!(of("binance", r#"{"price":"50200","avgPrice":"50000","executedQty":"2"}"#).1, Some(50_200.0));
        assert_eq!(of("bybit", "{}").1, Some(50_000.0));
        assert_eq!(of("okx", "{}").1, Some(50_000.0));
        assert_eq!(of("hyperliquid", "{}"), (Some(50_000.0), None));
        // The last fill is not all that was filled.
        let text = liquidation_of("BTC/USDT:USDT", 2.0, "1", 50_000.0, "\"buy\"", r#"{"p":"50200","l":"2","z":"3"}"#);
        assert!(liquidated("binance", &text).ends_with(" 3 150000"));
    }

    #[test]
    fn liquidations_that_were_seen_twice_are_one() {
        let one = liquidation_of("BTC/USDT:USDT", 2.0, "1", 50_000.0, "\"buy\"", "{}");
        let text = format!("{one}\n{one}\n{}\n", one.replace("\"contracts\":2", "\"contracts\":3"));
        let found = taken("liquidations", "bybit", &text).unwrap();
        assert_eq!(found[0].identity, found[1].identity);
        assert_ne!(found[0].identity, found[2].identity);
    }

    #[test]
    fn bad_liquidations_are_named() {
        let one = liquidation_of("BTC/USDT:USDT", 2.0, "1", 50_000.0, "\"buy\"", "{}");
        for (from, to, why) in [
            // Of fetchMyLiquidations of Bybit, which has no side.
            ("\"buy\"", "null", "dump.json:1: has no 'side'"),
            ("\"buy\"", "\"Buy\"", "'side' must be buy or sell, was 'Buy'"),
            ("\"contracts\":2", "\"contracts\":-2", "'size' must be a positive number, was '-2'"),
            ("\"price\":50000", "\"price\":0", "'bankruptcy_price' must be a positive number, was '0'"),
            ("\"price\":50000", "\"price\":null", "has no 'price'"),
            ("\"timestamp\":1767225600000", "\"timestamp\":null", "has no 'timestamp'"),
        ] {
            let bad = refusal("liquidations", "bybit", &one.replace(from, to));
            assert!(bad.contains(why), "{bad}");
        }
        let sizeless = liquidation_of("IOST/USDT:USDT", 2.0, "null", 50_000.0, "\"buy\"", "{}");
        assert!(refusal("liquidations", "okx", &sizeless).contains("say --contract-size"));
        let text = format!("{one}\n{}\n", one.replace("\"buy\"", "null"));
        let read = read_rows(READERS, "liquidations", "a", &text, &settings("bybit"), BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad, read.first_bad.as_deref()), (1, 1, Some("a:2: has no 'side'")));
    }

    fn tier_of(tier: u32, symbol: &str, floor: &str, cap: &str, rate: f64, leverage: u32, info: &str) -> String {
        format!(
            r#"{{"tier":{tier},"symbol":{symbol},"currency":"USDT","minNotional":{floor},"maxNotional":{cap},"maintenanceMarginRate":{rate},"maxLeverage":{leverage},"info":{info}}}"#
        )
    }

    fn tiers(venue: &str, text: &str) -> Result<Vec<String>> {
        let found = rows(READERS, "leverageTiers", "leverageTiers-2026-01-31.json", text, &settings(venue))?;
        assert!(found.iter().all(|row| row.ts == 1_769_817_600_000));
        Ok(found.into_iter().map(|row| format!("{} {}", row.symbol, row.values)).collect())
    }

    #[test]
    fn brackets_of_binance_have_their_deductions_or_continue() {
        let btc = "\"BTC/USDT:USDT\"";
        let stated = [
            tier_of(1, btc, "0", "300000", 0.004, 150, r#"{"cum":"0.0"}"#),
            tier_of(2, btc, "300000", "800000", 0.005, 100, r#"{"cum":"300.0"}"#),
        ]
        .join(",");
        let derived = stated.replace(r#"{"cum":"0.0"}"#, "{}").replace(r#"{"cum":"300.0"}"#, "null");
        for text in [
            format!("{{\"BTC/USDT:USDT\":[{stated}]}}"),
            format!("[{derived}]"),
            format!("{{\"BTC/USDT:USDT\":[{}]}}", derived.replace(btc, "null")),
        ] {
            let expected = [
                "BTCUSDT quote_notional 0 300000 0.004 150 0 null",
                "BTCUSDT quote_notional 300000 800000 0.005 100 300 null",
            ];
            assert_eq!(tiers("binance", &text).unwrap(), expected, "{text}");
        }
        let coins = tier_of(1, "\"BTC/USD:BTC\"", "0", "5", 0.004, 125, r#"{"cum":"0"}"#);
        assert_eq!(tiers("binance", &coins).unwrap(), ["BTCUSD base 0 5 0.004 125 0 null"]);
    }

    #[test]
    fn brackets_of_bybit_begin_where_the_one_before_ends() {
        let btc = "\"BTC/USDT:USDT\"";
        // By id, the larger bracket may stand first, and its floor is the cap of another.
        let text = [
            tier_of(1, btc, "0", "800000", 0.005, 100, r#"{"mmDeduction":"510"}"#),
            tier_of(2, btc, "800000", "300000", 0.0033, 150, r#"{"mmDeduction":""}"#),
        ]
        .join(",");
        assert_eq!(
            tiers("bybit", &format!("[{text}]")).unwrap(),
            [
                "BTCUSDT quote_notional 0 300000 0.0033 150 0 null",
                "BTCUSDT quote_notional 300000 800000 0.005 100 510 null",
            ]
        );
        // Inverse ones are in coins, and may be in percent.
        let text = tier_of(1, "\"BTC/USD:BTC\"", "0", "150", 0.5, 100, "{}");
        assert_eq!(tiers("bybit", &format!("[{text}]")).unwrap(), ["BTCUSD base 0 150 0.005 100 0 null"]);
    }

    #[test]
    fn brackets_of_okx_are_in_contracts() {
        let text = [
            tier_of(1, "\"BTC/USDT:USDT\"", "0", "1000", 0.004, 100, "{}"),
            tier_of(2, "\"BTC/USDT:USDT\"", "1000.01", "2000", 0.005, 75, "{}"),
        ]
        .join(",");
        assert_eq!(
            tiers("okx", &format!("[{text}]")).unwrap(),
            ["BTCUSDT contracts 0 1000 0.004 100 0 0.01", "BTCUSDT contracts 1000.01 2000 0.005 75 0 0.01"]
        );
        let inverse = tiers("okx", &text.replace("BTC/USDT:USDT", "BTC/USD:BTC").replace("},{", "}\n{")).unwrap_err();
        assert!(inverse.to_string().contains("'symbol' must be a linear market"), "{inverse}");
    }

    #[test]
    fn bad_brackets_are_named() {
        let btc = "\"BTC/USDT:USDT\"";
        let one = tier_of(1, btc, "0", "300000", 0.004, 150, "{}");
        for (venue, text, why) in [
            (
                "binance",
                one.replace("0.004", "0.4"),
                "'maintenanceMarginRate' must be less than 1 / maxLeverage (150), was '0.4'",
            ),
            ("binance", one.replace("\"minNotional\":0", "\"minNotional\":null"), "has no 'minNotional'"),
            (
                "binance",
                one.replace("\"minNotional\":0", "\"minNotional\":5"),
                "'minNotional' must be where the bracket before ends",
            ),
            ("binance", one.replace("0.004", "-1"), "'maintenance_margin_rate' must be a positive number, was '-1'"),
            ("binance", one.replace("BTC/USDT:USDT", "BTC/USDT"), "'symbol' must be a market of contracts"),
            ("hyperliquid", one.clone(), "CCXT has no brackets of hyperliquid: its own 'meta' is read"),
        ] {
            let bad = tiers(venue, &text).unwrap_err().to_string();
            assert!(bad.contains(why), "{bad}");
        }
        let open = tiers("binance", &one.replace("300000", "null")).unwrap();
        assert_eq!(open, ["BTCUSDT quote_notional 0 null 0.004 150 0 null"]);
        let undated = rows(READERS, "leverageTiers", "tiers.json", &one, &settings("okx")).unwrap_err().to_string();
        assert!(undated.contains("as in leverageTiers-2026-01-31.json"), "{undated}");
    }

    #[test]
    fn what_is_no_dump_is_an_error() {
        for (text, why) in [("", "the file is empty"), ("[{", "EOF"), ("nonsense", "no JSON"), ("5", "has no 'symbol'")]
        {
            let bad = refusal("trades", "binance", text);
            assert!(bad.contains(why), "{text}: {bad}");
        }
    }
}

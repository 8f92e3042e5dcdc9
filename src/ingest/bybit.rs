//! Bybit: trades of its public archive (public.bybit.com), answers of its API (v5), recorded streams.
//!
//! In: `trades`, the CSV of `trading/{SYMBOL}/`; `open-interest`, `funding` and `risk-limit`, answers of
//! `/v5/market/open-interest`, `/v5/market/funding/history` and `/v5/market/risk-limit`, one per file or one per line;
//! `liquidations`, messages of `allLiquidation.{symbol}`, one per line. Out: rows of the market tables. The formats are
//! those of Bybit's documentation, as far as the project's reference quotes it.
//!
//! Inverse contracts are worth 1 USD: their quantities become base units at the row's price. Open interest counts both
//! sides and is halved. The side of a liquidation is the position's, unlike Binance's: Buy is a long. Its price is the
//! bankruptcy price; the trigger is worked out from it (see [`super::trigger`]).

use serde_json::Value as Json;

use super::delimited::{Delimited, Field, Record};
use super::documents::{each_value, list, member, number, optional_number, text, time};
use super::plausible::Guard;
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value, check_named, day_in, identity_of};
use super::settlement::{Settlement, give_settlements};
use super::source::Source;
use super::symbols::{canonical, is_inverse};
use crate::error::Result;
use crate::market::tables::{FUNDING, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, TRADES};

const EXCHANGE: &str = "bybit";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader { exchange: EXCHANGE, kind: "trades", table: &TRADES, about: "trades of the archive", read: trades },
    Reader {
        exchange: EXCHANGE,
        kind: "open-interest",
        table: &OPEN_INTEREST,
        about: "open interest of the API (linear)",
        read: open_interest,
    },
    Reader { exchange: EXCHANGE, kind: "funding", table: &FUNDING, about: "funding history of the API", read: funding },
    Reader {
        exchange: EXCHANGE,
        kind: "liquidations",
        table: &LIQUIDATIONS,
        about: "allLiquidation messages of the stream, one per line",
        read: liquidations,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "risk-limit",
        table: &LEVERAGE_TIERS,
        about: "margin brackets of the API, known since the time of the answer",
        read: risk_limit,
    },
];

/// The market that a file of the archive is named for: `BTCUSDT2025-02-14.csv`.
fn named_for(file: &str) -> Option<&str> {
    let stem = file.split('.').next()?;
    let (name, day) = stem.split_at_checked(stem.len().checked_sub(10)?)?;
    let is_name = name.len() >= 5 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (is_name && day_in(day).is_some()).then_some(name)
}

/// The market of the last row: nearly every row is of the same one.
#[derive(Default)]
struct Market {
    /// The one that the file is named for.
    named: Option<String>,
    name: String,
    symbol: String,
    is_inverse: bool,
}

impl Market {
    fn follow(&mut self, name: &str) -> Result<(), BadRow> {
        if self.name != name {
            check_named(self.named.as_deref(), "symbol", name)?;
            let named = self.named.take();
            *self = Market { named, name: name.to_owned(), symbol: canonical(name), is_inverse: is_inverse(name) };
        }
        Ok(())
    }
}

/// Columns of a file of trades.
struct TradeFields {
    ts: Field,
    symbol: Field,
    side: Field,
    size: Field,
    price: Field,
    id: Field,
    foreign_notional: Option<Field>,
}

const TRADE_COLUMNS: [&str; 10] = [
    "timestamp",
    "symbol",
    "side",
    "size",
    "price",
    "tickDirection",
    "trdMatchID",
    "grossValue",
    "homeNotional",
    "foreignNotional",
];

fn trades(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let named = named_for(&source.file).filter(|_| out.guard() == Guard::Refuse).map(str::to_owned);
    // Columns by name: since 2026 a column 'RPI' stands behind the others.
    let file = Delimited::open(source, &TRADE_COLUMNS)?;
    let fields = TradeFields {
        ts: file.column("timestamp")?,
        symbol: file.column("symbol")?,
        side: file.column("side")?,
        size: file.column("size")?,
        price: file.column("price")?,
        id: file.column("trdMatchID")?,
        foreign_notional: file.optional("foreignNotional"),
    };
    let mut market = Market { named, ..Market::default() };
    file.each(out, |record, out| match trade(record, &fields, &mut market) {
        Ok((ts, identity, values)) => {
            let row = Row { exchange: EXCHANGE, symbol: &market.symbol, ts, identity, values: &values };
            out.push(record.line, &row).map(Ok)
        }
        Err(bad) => Ok(Err(bad)),
    })
}

/// Time, identity and values of a trade.
type Trade = (i64, Option<u64>, [Value<'static>; 3]);

fn trade(record: &Record<'_>, fields: &TradeFields, market: &mut Market) -> Result<Trade, BadRow> {
    market.follow(record.text(fields.symbol)?)?;
    let side = match record.text(fields.side)? {
        "Buy" => "buy",
        "Sell" => "sell",
        other => return Err(BadRow::new("side", "Buy or Sell", other)),
    };
    let (price, size) = (record.number(fields.price)?, record.number(fields.size)?);
    if let Some(foreign) = record.optional_number(fields.foreign_notional)? {
        agrees(market, price, size, foreign)?;
    }
    let base = if market.is_inverse { size / price } else { size };
    let id = record.text(fields.id)?;
    let identity = (!id.is_empty()).then(|| identity_of(id.as_bytes()));
    Ok((record.instant(fields.ts)?, identity, [Value::Number(price), Value::Number(base), Value::Text(side)]))
}

/// Checks that the row is of the kind of contract that its symbol says: 'foreignNotional' is size × price of linear
/// contracts and size / price of inverse ones. The other kind would be wrong by the square of the price.
fn agrees(market: &Market, price: f64, size: f64, foreign: f64) -> Result<(), BadRow> {
    // Near 1 the two cannot be told apart, and what is not positive is said of its own column.
    let is_clear = price > 0.0 && size > 0.0 && foreign > 0.0 && price.ln().abs() > 0.7;
    let ratio = (foreign / size).ln() * price.ln().signum();
    if !is_clear || (ratio < 0.0) == market.is_inverse {
        return Ok(());
    }
    let allowed = if market.is_inverse { "size / price (inverse)" } else { "size × price (linear)" };
    Err(BadRow::new("foreignNotional", &format!("{allowed} of {}", market.name), foreign))
}

/// What an answer of the API holds, and the list in it.
fn answered(answer: &Json) -> Result<(&Json, &[Json]), BadRow> {
    if let Some(code) = optional_number(answer, "retCode")?.filter(|code| *code != 0.0) {
        let message = answer.get("retMsg").and_then(Json::as_str).unwrap_or_default();
        return Err(BadRow(format!("the answer is an error: retCode {code} {message}")));
    }
    let result = member(answer, "result")?;
    Ok((result, list(result, "list")?))
}

/// Whether what an answer holds is of inverse contracts.
fn is_inverse_answer(result: &Json, name: &str) -> bool {
    match result.get("category").and_then(Json::as_str) {
        Some(category) => category == "inverse",
        None => is_inverse(name),
    }
}

fn open_interest(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_value(source, out, |answer, line, out| {
        let (symbol, entries) = match open_interest_answer(answer, settings) {
            Ok(found) => found,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            out.give(line, EXCHANGE, open_interest_entry(entry, &symbol))?;
        }
        Ok(Ok(()))
    })
}

/// The symbol of an answer and its entries.
fn open_interest_answer<'v>(answer: &'v Json, settings: &Settings) -> Result<(String, &'v [Json]), BadRow> {
    let (result, entries) = answered(answer)?;
    let named = result.get("symbol").and_then(Json::as_str).filter(|name| !name.is_empty());
    let name = match (named, settings.symbol.as_deref()) {
        (Some(named), Some(said)) if canonical(named) != canonical(said) => {
            return Err(BadRow::new("symbol", &format!("{said}, as --symbol says"), named));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(BadRow("has no 'symbol': say --symbol".to_owned())),
    };
    if is_inverse_answer(result, name) {
        let allowed = "of a linear market: inverse open interest is in USD, and the answer has no price to convert it";
        return Err(BadRow::new("symbol", allowed, name));
    }
    Ok((canonical(name), entries))
}

fn open_interest_entry(entry: &Json, symbol: &str) -> Result<Entry<1>, BadRow> {
    // 'openInterest' sums both sides; 'singleOpenInterest', since June 2026, is one.
    let one_side = match optional_number(entry, "singleOpenInterest")? {
        Some(single) => single,
        None => number(entry, "openInterest")? / 2.0,
    };
    let ts = time(entry, "timestamp")?;
    Ok(Entry { symbol: symbol.to_owned(), ts, identity: None, values: [Value::Number(one_side)] })
}

fn funding(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    // The interval may show in another answer of the file, so all are read first: a few thousand per symbol and year.
    let mut settlements = Vec::new();
    each_value(source, out, |answer, line, out| {
        let entries = match answered(answer) {
            Ok((_, entries)) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            match settlement(entry, line) {
                Ok(settlement) => settlements.push(settlement),
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        Ok(Ok(()))
    })?;
    give_settlements(EXCHANGE, &settlements, out)
}

fn settlement(entry: &Json, line: u64) -> Result<Settlement, BadRow> {
    Ok(Settlement {
        line,
        symbol: canonical(text(entry, "symbol")?),
        ts: time(entry, "fundingRateTimestamp")?,
        rate: number(entry, "fundingRate")?,
        hours: optional_number(entry, "fundingIntervalHour")?,
    })
}

fn liquidations(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_value(source, out, |message, line, out| {
        // What the stream says of the subscription itself, and answers to a ping.
        if message.get("topic").is_none() && message.get("op").is_some() {
            return Ok(Ok(()));
        }
        let entries = match liquidation_entries(message) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            out.give(line, EXCHANGE, liquidation(entry))?;
        }
        Ok(Ok(()))
    })
}

fn liquidation_entries(message: &Json) -> Result<&[Json], BadRow> {
    let topic = text(message, "topic")?;
    if !topic.starts_with("allLiquidation.") {
        return Err(BadRow::new("topic", "allLiquidation.{symbol}", topic));
    }
    list(message, "data")
}

fn liquidation(entry: &Json) -> Result<Entry<5>, BadRow> {
    let name = text(entry, "s")?;
    let side = match text(entry, "S")? {
        "Buy" => "long",
        "Sell" => "short",
        other => return Err(BadRow::new("S", "Buy or Sell", other)),
    };
    let (bankruptcy, quantity) = (number(entry, "p")?, number(entry, "v")?);
    let (size, usd) = match is_inverse(name) {
        true => (quantity / bankruptcy, quantity),
        false => (quantity, quantity * bankruptcy),
    };
    let [bankruptcy, size, usd] = [bankruptcy, size, usd].map(Value::Number);
    // A stream that was recorded twice has the same entry twice.
    let identity = Some(identity_of(entry.to_string().as_bytes()));
    let values = [Value::Text(side), Value::Null, bankruptcy, size, usd];
    Ok(Entry { symbol: canonical(name), ts: time(entry, "T")?, identity, values })
}

/// A bracket before its floor is known.
struct Bracket {
    symbol: String,
    unit: &'static str,
    cap: f64,
    rate: f64,
    max_leverage: f64,
    deduction: f64,
}

fn risk_limit(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_value(source, out, |answer, line, out| {
        let (known_since, result, entries) = match risk_limit_answer(answer) {
            Ok(found) => found,
            Err(bad) => return Ok(Err(bad)),
        };
        let mut brackets = Vec::new();
        for entry in entries {
            match bracket(entry, result) {
                Ok(bracket) => brackets.push(bracket),
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        give_brackets(brackets, known_since, line, out).map(Ok)
    })
}

fn risk_limit_answer(answer: &Json) -> Result<(i64, &Json, &[Json]), BadRow> {
    let (result, entries) = answered(answer)?;
    Ok((time(answer, "time")?, result, entries))
}

fn bracket(entry: &Json, result: &Json) -> Result<Bracket, BadRow> {
    let name = text(entry, "symbol")?;
    let max_leverage = number(entry, "maxLeverage")?;
    // Some answers state margins in percent, which the largest leverage shows.
    let product = number(entry, "initialMargin")? * max_leverage;
    let scale = match product {
        0.5..2.0 => 1.0,
        50.0..200.0 => 100.0,
        _ => return Err(BadRow::new("initialMargin", "1 / maxLeverage, or that in percent", &entry["initialMargin"])),
    };
    Ok(Bracket {
        symbol: canonical(name),
        // Linear limits are values in the quote currency, inverse ones in coins.
        unit: if is_inverse_answer(result, name) { "base" } else { "quote_notional" },
        cap: number(entry, "riskLimitValue")?,
        rate: number(entry, "maintenanceMargin")? / scale,
        max_leverage,
        deduction: optional_number(entry, "mmDeduction")?.unwrap_or(0.0),
    })
}

/// Pushes brackets, each from where the one before it ends.
fn give_brackets(mut brackets: Vec<Bracket>, known_since: i64, line: u64, out: &mut Out<'_>) -> Result<()> {
    brackets.sort_by(|one, other| one.symbol.cmp(&other.symbol).then(one.cap.total_cmp(&other.cap)));
    let mut before: Option<(String, f64)> = None;
    for bracket in brackets {
        let floor = before.filter(|(symbol, _)| *symbol == bracket.symbol).map_or(0.0, |(_, cap)| cap);
        let values = [
            Value::Text(bracket.unit),
            Value::Number(floor),
            Value::Number(bracket.cap),
            Value::Number(bracket.rate),
            Value::Number(bracket.max_leverage),
            Value::Number(bracket.deduction),
            Value::Null,
        ];
        let symbol = &bracket.symbol;
        out.push(line, &Row { exchange: EXCHANGE, symbol, ts: known_since, identity: None, values: &values })?;
        before = Some((bracket.symbol, bracket.cap));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::taken::{Taken, near, rows};
    use super::*;

    fn read_with(kind: &str, text: &str, settings: &Settings) -> Result<Vec<Taken>> {
        rows(READERS, kind, "a", text, settings)
    }

    fn read(kind: &str, text: &str) -> Vec<Taken> {
        read_with(kind, text, &Settings::default()).unwrap()
    }

    fn refusal(kind: &str, text: &str) -> String {
        read_with(kind, text, &Settings::default()).unwrap_err().to_string()
    }

    const HEADER: &str =
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional";
    const LINEAR: &str = "1739502302.9294,BTCUSDT,Buy,0.5,100000,PlusTick,0b4a,5e+12,0.5,50000";

    #[test]
    fn linear_trades_are_in_base_units() {
        for (header, row) in [
            (HEADER.to_owned(), LINEAR.to_owned()),
            (format!("{HEADER},RPI"), format!("{LINEAR},0")),
            (format!("RPI,{HEADER}"), format!("1,{LINEAR}")),
        ] {
            let rows = read("trades", &format!("{header}\n{row}\n"));
            assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_739_502_302_929));
            assert_eq!(rows[0].numbers, [Some(100_000.0), Some(0.5)]);
            assert_eq!((rows[0].texts[0].as_str(), rows[0].identity), ("buy", Some(identity_of(b"0b4a"))));
        }
    }

    #[test]
    fn inverse_trades_become_base_units() {
        for name in ["BTCUSD", "BTCUSDZ26"] {
            let text = format!("{HEADER}\n1739502302.9,{name},Sell,1000,50000,MinusTick,x,2000000,1000,0.02\n");
            let rows = read("trades", &text);
            near(&rows[0].numbers, &[50_000.0, 0.02]);
            assert_eq!((rows[0].symbol.as_str(), rows[0].texts[0].as_str()), (name, "sell"));
        }
    }

    #[test]
    fn bad_trades_are_named() {
        let with = |from: &str, to: &str| refusal("trades", &format!("{HEADER}\n{}\n", LINEAR.replacen(from, to, 1)));
        assert!(with("Buy", "buy").starts_with("a:2: 'side' must be Buy or Sell, was 'buy'"));
        assert!(with("100000", "-1").contains("'price' must be a positive number, was '-1'"));
        assert!(with("0.5", "x").contains("'size' must be a number, was 'x'"));
        assert!(with("1739502302.9294", "soon").contains("'timestamp' must be an instant, was 'soon'"));
        assert!(
            with("BTCUSDT", "BTCUSD")
                .contains("'foreignNotional' must be size / price (inverse) of BTCUSD, was '50000'")
        );
        assert!(with(",50000", "").contains("has 9 fields, the file has 10 columns"));
        let spot = refusal("trades", "id,timestamp,price,volume,side,rpi\n1,1739502302929,1,1,buy,0\n");
        assert!(spot.contains("has no column 'symbol'"), "{spot}");
    }

    #[test]
    fn trades_are_of_the_market_in_the_name() {
        let text = format!("{HEADER}\n{LINEAR}\n");
        let read = |file: &str| rows(READERS, "trades", file, &text, &Settings::default());
        for file in ["BTCUSDT2025-02-14.csv", "all2025-02-14.csv", "2025-02-14.csv", "ü.csv"] {
            assert_eq!(read(file).unwrap().len(), 1, "{file}");
        }
        let other = read("1000PEPEUSDT2025-02-14.csv").unwrap_err().to_string();
        assert!(other.contains("'symbol' must be 1000PEPEUSDT, for which the file is named, was 'BTCUSDT'"), "{other}");
    }

    #[test]
    fn trades_without_an_id_are_rows_of_their_own() {
        let rows = read("trades", &format!("{HEADER}\n{}\n", LINEAR.replace("0b4a", "")));
        assert_eq!(rows[0].identity, None);
    }

    fn interest(symbol: &str, category: &str, entry: &str) -> String {
        format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"symbol":"{symbol}","category":"{category}","list":[{entry}],"nextPageCursor":""}},"time":1672053548579}}"#
        )
    }

    #[test]
    fn open_interest_is_of_one_side() {
        let both = r#"{"openInterest":"461134384.5","timestamp":"1669571400000"}"#;
        let one = r#"{"openInterest":"300","singleOpenInterest":"149","timestamp":"1669571700000"}"#;
        let rows = read("open-interest", &interest("BTCUSDT", "linear", &format!("{both},{one}")));
        assert_eq!(rows.iter().map(|row| row.ts).collect::<Vec<_>>(), [1_669_571_400_000, 1_669_571_700_000]);
        assert_eq!((rows[0].symbol.as_str(), rows[0].numbers[0]), ("BTCUSDT", Some(230_567_192.25)));
        assert_eq!(rows[1].numbers[0], Some(149.0));
    }

    #[test]
    fn open_interest_that_cannot_be_used_is_refused() {
        let entry = r#"{"openInterest":"461134384","timestamp":"1669571400000"}"#;
        let inverse = refusal("open-interest", &interest("BTCUSD", "inverse", entry));
        assert!(inverse.contains("inverse open interest is in USD") && inverse.contains("was 'BTCUSD'"), "{inverse}");
        let nameless = r#"{"result":{"list":[{"openInterest":"8","timestamp":"1669571400000"}]}}"#;
        assert!(refusal("open-interest", nameless).contains("has no 'symbol': say --symbol"));
        let said = Settings { symbol: Some("ETHUSDT".to_owned()), ..Settings::default() };
        assert_eq!(read_with("open-interest", nameless, &said).unwrap()[0].symbol, "ETHUSDT");
        let other = read_with("open-interest", &interest("BTCUSDT", "linear", entry), &said).unwrap_err().to_string();
        assert!(other.contains("'symbol' must be ETHUSDT, as --symbol says, was 'BTCUSDT'"), "{other}");
        let error = refusal("open-interest", r#"{"retCode":10001,"retMsg":"params error","result":{}}"#);
        assert!(error.contains("retCode 10001 params error"), "{error}");
        let bad = interest("BTCUSDT", "linear", r#"{"openInterest":"x","timestamp":"1669571400000"}"#);
        assert!(refusal("open-interest", &bad).contains(r#"'openInterest' must be a number, was '"x"'"#));
    }

    fn rates(entries: &str) -> String {
        format!(r#"{{"retCode":0,"result":{{"category":"linear","list":[{entries}]}},"time":1672051897447}}"#)
    }

    #[test]
    fn funding_intervals_are_stated_or_shown_or_usual() {
        let entry = |symbol: &str, hour: i64, more: &str| {
            let ts = 1_672_041_600_000 + hour * 3_600_000;
            format!(r#"{{"symbol":"{symbol}","fundingRate":"-0.0001","fundingRateTimestamp":"{ts}"{more}}}"#)
        };
        let first =
            [entry("ETHPERP", 8, ""), entry("A1USDT", 0, ""), entry("GAPUSDT", 0, ""), entry("GAPUSDT", 24, "")];
        let second = [entry("ETHPERP", 4, ""), entry("B1USDT", 0, r#","fundingIntervalHour":2"#)];
        let text = format!("{}\n{}\n", rates(&first.join(",")), rates(&second.join(",")));
        let rows = read("funding", &text);
        let found: Vec<_> = rows.iter().map(|row| (row.symbol.as_str(), row.numbers[1].unwrap())).collect();
        let gap = ("GAPUSDT", 8.0);
        assert_eq!(found, [("ETHPERP", 4.0), ("A1USDT", 8.0), gap, gap, ("ETHPERP", 4.0), ("B1USDT", 2.0)]);
        assert_eq!((rows[1].ts, rows[1].numbers[0]), (1_672_041_600_000, Some(-0.0001)));
        let bad = refusal(
            "funding",
            &rates(r#"{"symbol":"BTCUSDT","fundingRate":"","fundingRateTimestamp":"1672041600000"}"#),
        );
        assert!(bad.contains(r#"'fundingRate' must be a number, was '""'"#), "{bad}");
    }

    const MESSAGE: &str = r#"{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}"#;

    #[test]
    fn the_side_of_a_liquidation_is_the_position() {
        let rows = read("liquidations", MESSAGE);
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("ROSEUSDT", 1_739_502_302_929));
        assert_eq!(rows[0].texts, ["short"]);
        near(&rows[0].numbers, &[0.04499 / 1.004, 0.04499, 20_000.0, 899.8]);
        let rows = read("liquidations", &MESSAGE.replace("Sell", "Buy"));
        assert_eq!(rows[0].texts, ["long"]);
        near(&rows[0].numbers, &[0.04499 / 0.996, 0.04499, 20_000.0, 899.8]);
    }

    #[test]
    fn inverse_liquidations_are_in_usd() {
        let message = MESSAGE.replace("ROSEUSDT", "BTCUSD").replace("0.04499", "50000");
        near(&read("liquidations", &message)[0].numbers, &[49_800.0, 50_000.0, 0.4, 20_000.0]);
        let long = message.replace("Sell", "Buy");
        near(&read("liquidations", &long)[0].numbers, &[50_200.0, 50_000.0, 0.4, 20_000.0]);
    }

    #[test]
    fn streams_hold_more_than_liquidations() {
        let entry = r#"{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}"#;
        let two = MESSAGE.replace(entry, &format!("{entry},{}", entry.replace("20000", "7")));
        let text = format!("{}\n{two}\n{MESSAGE}\n", r#"{"success":true,"ret_msg":"","op":"subscribe","conn_id":"x"}"#);
        let rows = read("liquidations", &text);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].identity, rows[2].identity);
        assert_ne!(rows[0].identity, rows[1].identity);
        assert!(
            refusal("liquidations", &MESSAGE.replace("Sell", "SELL")).contains("'S' must be Buy or Sell, was 'SELL'")
        );
        assert!(
            refusal("liquidations", &MESSAGE.replace("0.04499", "0")).contains("must be a positive number, was '0'")
        );
        let topic = refusal("liquidations", &MESSAGE.replace("allLiquidation", "publicTrade"));
        assert!(topic.contains("'topic' must be allLiquidation.{symbol}, was 'publicTrade.ROSEUSDT'"), "{topic}");
        assert!(refusal("liquidations", r#"{"topic":"allLiquidation.A"}"#).contains("has no 'data'"));
    }

    fn limits(category: &str, entries: &str) -> String {
        format!(r#"{{"retCode":0,"result":{{"category":"{category}","list":[{entries}]}},"time":1672054488010}}"#)
    }

    #[test]
    fn linear_brackets_are_of_quote_value() {
        let second = r#"{"id":2,"symbol":"BTCUSDT","riskLimitValue":"800000","maintenanceMargin":"0.005","initialMargin":"0.01","isLowestRisk":0,"maxLeverage":"100.00","mmDeduction":"510"}"#;
        let first = r#"{"id":1,"symbol":"BTCUSDT","riskLimitValue":"300000","maintenanceMargin":"0.0033","initialMargin":"0.00667","isLowestRisk":1,"maxLeverage":"150.00","mmDeduction":""}"#;
        let rows = read("risk-limit", &limits("linear", &format!("{second},{first}")));
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_672_054_488_010));
        assert_eq!(rows[0].texts, ["quote_notional"]);
        assert_eq!(rows[0].numbers, [Some(0.0), Some(300_000.0), Some(0.0033), Some(150.0), Some(0.0), None]);
        assert_eq!(rows[1].numbers, [Some(300_000.0), Some(800_000.0), Some(0.005), Some(100.0), Some(510.0), None]);
        let odd = refusal("risk-limit", &limits("linear", &first.replace("0.00667", "0.2")));
        assert!(odd.contains("'initialMargin' must be 1 / maxLeverage, or that in percent, was"), "{odd}");
        let bad = refusal("risk-limit", &limits("linear", &first.replace("300000", "-1")));
        assert!(bad.contains("'cap' must be a positive number, was '-1'"), "{bad}");
    }

    #[test]
    fn inverse_brackets_are_of_coins_and_in_percent() {
        let entry = r#"{"id":1,"symbol":"BTCUSD","riskLimitValue":"150","maintenanceMargin":"0.5","initialMargin":"1","isLowestRisk":1,"maxLeverage":"100.00"}"#;
        let other = entry.replace("BTCUSD", "ETHUSD").replace("150", "3000");
        let rows = read("risk-limit", &limits("inverse", &format!("{entry},{other}")));
        assert_eq!(rows[0].texts, ["base"]);
        assert_eq!(rows[0].numbers, [Some(0.0), Some(150.0), Some(0.005), Some(100.0), Some(0.0), None]);
        // Another symbol begins at nothing.
        assert_eq!(rows[1].numbers[0], Some(0.0));
        let timeless = limits("inverse", entry).replace("\"time\"", "\"at\"");
        assert!(refusal("risk-limit", &timeless).contains("has no 'time'"));
    }
}

//! Binance: files of its public archive (data.binance.vision), recorded streams, and answers of its API.
//!
//! In: `klines`, `metrics`, `fundingRate`, `aggTrades`, `trades`, `liquidationSnapshot` as the archive holds them, with and
//! without a header, in ms and µs; `forceOrder` messages, one per line, raw or wrapped by a combined stream;
//! `leverageBracket` answers. Out: rows of the market tables. COIN-M contracts are worth 100 USD (BTC) or 10 USD (others):
//! their quantities become base units at the row's price.
//!
//! The side of a forced order is the order's: SELL closes a long. Its price is the limit price, near the bankruptcy price;
//! the trigger is worked out from it (see [`super::trigger`]).

use serde_json::Value as Json;

use super::delimited::{Delimited, Field, Record};
use super::documents::{each_value, list, member, number, optional_number, text, time};
use super::plausible::Steps;
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value, check_named, day_of, identity_of};
use super::source::Source;
use super::symbols::{canonical, contract_usd, is_inverse};
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, TRADES};

const EXCHANGE: &str = "binance";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader { exchange: EXCHANGE, kind: "klines", table: &CANDLES, about: "candles of the archive", read: klines },
    Reader {
        exchange: EXCHANGE,
        kind: "metrics",
        table: &OPEN_INTEREST,
        about: "open interest of the archive (USDⓈ-M)",
        read: metrics,
    },
    Reader { exchange: EXCHANGE, kind: "fundingRate", table: &FUNDING, about: "funding of the archive", read: funding },
    Reader {
        exchange: EXCHANGE,
        kind: "aggTrades",
        table: &TRADES,
        about: "aggregated trades of the archive",
        read: agg_trades,
    },
    Reader { exchange: EXCHANGE, kind: "trades", table: &TRADES, about: "single trades of the archive", read: trades },
    Reader {
        exchange: EXCHANGE,
        kind: "liquidationSnapshot",
        table: &LIQUIDATIONS,
        about: "forced orders of the archive",
        read: liquidation_snapshot,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "forceOrder",
        table: &LIQUIDATIONS,
        about: "forced orders of the stream, one message per line",
        read: force_orders,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "leverageBracket",
        table: &LEVERAGE_TIERS,
        about: "margin brackets of the API; the file's name holds the date since when they are known",
        read: leverage_brackets,
    },
];

/// The symbol that a file of the archive is named for: `BTCUSDT-1m-2026-02.csv`.
fn symbol_of(source: &Source<'_>, settings: &Settings) -> Result<String> {
    let named = source.file.split_once('-').map(|(symbol, _)| symbol).filter(|symbol| {
        symbol.len() >= 5
            && symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    match (named, settings.symbol.as_deref()) {
        (Some(named), Some(said)) if canonical(named) != canonical(said) => {
            Err(Error::new(format!("{}: the file is named for {named}, --symbol says {said}", source.name)))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name.to_owned()),
        (None, None) => Err(Error::new(format!(
            "{}: the file's name does not begin with a symbol (as in BTCUSDT-1m-2026-02.csv): say --symbol",
            source.name
        ))),
    }
}

/// A quantity of COIN-M contracts in USD.
fn usd(quantity: f64, name: &str, settings: &Settings) -> f64 {
    quantity * settings.contract_size.unwrap_or_else(|| contract_usd(name))
}

const KLINES: [&str; 12] = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
];

fn klines(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let name = symbol_of(source, settings)?;
    let symbol = canonical(&name);
    // Of COIN-M the volumes are contracts, and what is called quote volume is in base units.
    let (volume, taker) = match is_inverse(&name) {
        true => ("quote_volume", "taker_buy_quote_volume"),
        false => ("volume", "taker_buy_volume"),
    };
    let (path, mut steps) = (source.name.clone(), Steps::named(&source.file));
    let file = Delimited::open(source, &KLINES)?;
    let ts = file.column("open_time")?;
    let prices = [file.column("open")?, file.column("high")?, file.column("low")?, file.column("close")?];
    let (volume, taker) = (file.column(volume)?, file.optional(taker));
    file.each(out, |record, out| {
        let row = || -> Result<(i64, [Value<'_>; 6]), BadRow> {
            let [open, high, low, close] = prices.map(|field| record.number(field));
            let taker = record.optional_number(taker)?.map_or(Value::Null, Value::Number);
            let volume = Value::Number(record.number(volume)?);
            let [open, high, low, close] = [open?, high?, low?, close?].map(Value::Number);
            Ok((record.instant(ts)?, [open, high, low, close, volume, taker]))
        };
        let row = row();
        if let Ok((ts, _)) = &row {
            steps.see(*ts);
        }
        push(record, out, &symbol, row, None)
    })?;
    steps.check(&path, out.guard())
}

/// Pushes what could be read of a record.
fn push<const N: usize>(
    record: &Record<'_>,
    out: &mut Out<'_>,
    symbol: &str,
    row: Result<(i64, [Value<'_>; N]), BadRow>,
    identity: Option<u64>,
) -> Result<Result<(), BadRow>> {
    match row {
        Ok((ts, values)) => {
            let row = Row { exchange: EXCHANGE, symbol, ts, identity, values: &values };
            out.push(record.line, &row).map(Ok)
        }
        Err(bad) => Ok(Err(bad)),
    }
}

const METRICS: [&str; 8] = [
    "create_time",
    "symbol",
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
];

fn metrics(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    // The symbol stands in every row; the file's name, where it has one, must agree.
    let named = symbol_of(source, settings).ok();
    let file = Delimited::open(source, &METRICS)?;
    let (ts, name) = (file.column("create_time")?, file.column("symbol")?);
    let (amount, value) = (file.column("sum_open_interest")?, file.optional("sum_open_interest_value"));
    file.each(out, |record, out| {
        let read = || -> Result<(i64, &str, f64, Option<f64>), BadRow> {
            let symbol = record.text(name)?;
            check_named(named.as_deref(), "symbol", symbol)?;
            if is_inverse(symbol) {
                return Err(BadRow::new("symbol", "of a USDⓈ-M market: COIN-M open interest is in contracts", symbol));
            }
            Ok((record.instant(ts)?, symbol, record.number(amount)?, record.optional_number(value)?))
        };
        match read() {
            Ok((ts, symbol, amount, value)) => {
                let (symbol, values) = (canonical(symbol), [Value::Number(amount)]);
                let row = Row { exchange: EXCHANGE, symbol: &symbol, ts, identity: None, values: &values };
                out.push_with_value(record.line, &row, value).map(Ok)
            }
            Err(bad) => Ok(Err(bad)),
        }
    })
}

fn funding(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let symbol = canonical(&symbol_of(source, settings)?);
    let file = Delimited::open(source, &["calc_time", "funding_interval_hours", "last_funding_rate"])?;
    let (ts, hours) = (file.column("calc_time")?, file.column("funding_interval_hours")?);
    let rate = file.column("last_funding_rate")?;
    file.each(out, |record, out| {
        let row = || -> Result<(i64, [Value<'_>; 2]), BadRow> {
            // Settlement is on the hour; the stamp is some milliseconds late.
            let settled = record.instant(ts)?.div_euclid(1_000) * 1_000;
            Ok((settled, [Value::Number(record.number(rate)?), Value::Number(record.number(hours)?)]))
        };
        push(record, out, &symbol, row(), None)
    })
}

const AGG_TRADES: [&str; 7] =
    ["agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker"];

fn agg_trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    trades_with(source, settings, out, &AGG_TRADES, ["agg_trade_id", "quantity", "transact_time"])
}

fn trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let columns = ["id", "price", "qty", "quote_qty", "time", "is_buyer_maker"];
    trades_with(source, settings, out, &columns, ["id", "qty", "time"])
}

fn trades_with(
    source: &mut Source<'_>,
    settings: &Settings,
    out: &mut Out<'_>,
    columns: &[&str],
    [id, quantity, ts]: [&str; 3],
) -> Result<()> {
    let name = symbol_of(source, settings)?;
    let symbol = canonical(&name);
    let file = Delimited::open(source, columns)?;
    let (id, price, quantity): (Field, Field, Field) =
        (file.column(id)?, file.column("price")?, file.column(quantity)?);
    let (ts, maker) = (file.column(ts)?, file.column("is_buyer_maker")?);
    let is_inverse = is_inverse(&name);
    file.each(out, |record, out| {
        let mut identity = None;
        let row = || -> Result<(i64, [Value<'_>; 3]), BadRow> {
            identity = Some(record.id(id)?);
            let price = record.number(price)?;
            let quantity = record.number(quantity)?;
            let size = if is_inverse { usd(quantity, &name, settings) / price } else { quantity };
            // The maker bought, so the taker sold.
            let side = if record.boolean(maker)? { "sell" } else { "buy" };
            Ok((record.instant(ts)?, [Value::Number(price), Value::Number(size), Value::Text(side)]))
        };
        let row = { row }();
        push(record, out, &symbol, row, identity)
    })
}

/// A forced order.
#[derive(Debug, Clone, Copy)]
struct ForcedOrder<'r> {
    /// Of the order.
    side: &'r str,
    /// Limit price, near the bankruptcy price of the position.
    price: f64,
    average_price: f64,
    quantity: f64,
}

impl ForcedOrder<'_> {
    /// The columns of `liquidations` after the key.
    fn values(&self, name: &str, settings: &Settings) -> Result<[Value<'static>; 5], BadRow> {
        let side = match self.side {
            "SELL" => "long",
            "BUY" => "short",
            other => return Err(BadRow::new("side", "SELL or BUY", other)),
        };
        let paid = if self.average_price > 0.0 { self.average_price } else { self.price };
        let (size, usd) = match is_inverse(name) {
            true => (usd(self.quantity, name, settings) / paid, usd(self.quantity, name, settings)),
            false => (self.quantity, self.quantity * paid),
        };
        let [bankruptcy, size, usd] = [self.price, size, usd].map(Value::Number);
        Ok([Value::Text(side), Value::Null, bankruptcy, size, usd])
    }
}

fn liquidation_snapshot(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let name = symbol_of(source, settings)?;
    let symbol = canonical(&name);
    let columns = [
        "time",
        "side",
        "order_type",
        "time_in_force",
        "original_quantity",
        "price",
        "average_price",
        "order_status",
        "last_fill_quantity",
        "accumulated_fill_quantity",
    ];
    let file = Delimited::open(source, &columns)?;
    let (ts, side, price) = (file.column("time")?, file.column("side")?, file.column("price")?);
    let average = file.column("average_price")?;
    let (filled, original) = (file.column("accumulated_fill_quantity")?, file.column("original_quantity")?);
    file.each(out, |record, out| {
        let row = || -> Result<(i64, [Value<'_>; 5]), BadRow> {
            let filled = record.number(filled)?;
            let order = ForcedOrder {
                side: record.text(side)?,
                price: record.number(price)?,
                average_price: record.number(average)?,
                quantity: if filled > 0.0 { filled } else { record.number(original)? },
            };
            Ok((record.instant(ts)?, order.values(&name, settings)?))
        };
        // In some months every row stands twice.
        push(record, out, &symbol, row(), Some(identity_of(record.bytes())))
    })
}

fn force_orders(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_value(source, out, |value, line, out| {
        // A combined stream wraps the message, an array stream makes lists of them.
        let message = value.get("data").unwrap_or(value);
        let messages = message.as_array().map_or(std::slice::from_ref(message), Vec::as_slice);
        messages.iter().try_for_each(|message| out.give(line, EXCHANGE, force_order(message, settings)))?;
        Ok(Ok(()))
    })
}

fn force_order(message: &Json, settings: &Settings) -> Result<Entry<5>, BadRow> {
    let order = member(message, "o")?;
    let name = text(order, "s")?;
    let filled = optional_number(order, "z")?.filter(|filled| *filled > 0.0);
    let forced = ForcedOrder {
        side: text(order, "S")?,
        price: number(order, "p")?,
        average_price: optional_number(order, "ap")?.unwrap_or(0.0),
        quantity: match filled {
            Some(filled) => filled,
            None => number(order, "q")?,
        },
    };
    Ok(Entry {
        symbol: canonical(name),
        ts: time(order, "T")?,
        // A stream that was recorded twice has the same message twice.
        identity: Some(identity_of(order.to_string().as_bytes())),
        values: forced.values(name, settings)?,
    })
}

fn leverage_brackets(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let known_since = day_of(source, "leverageBracket-2026-01-31.json")?;
    each_value(source, out, |value, line, out| {
        let brackets = match list(value, "brackets") {
            Ok(brackets) => brackets,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in brackets {
            out.give(line, EXCHANGE, bracket(value, entry, known_since))?;
        }
        Ok(Ok(()))
    })
}

fn bracket(market: &Json, bracket: &Json, known_since: i64) -> Result<Entry<7>, BadRow> {
    // COIN-M counts in coins, and its API misspells the floor.
    let is_base = bracket.get("qtyCap").is_some();
    let (unit, floor, cap) = match is_base {
        true => {
            let floor = optional_number(bracket, "qtylFloor")?.or(optional_number(bracket, "qtyFloor")?);
            ("base", floor, "qtyCap")
        }
        false => ("quote_notional", optional_number(bracket, "notionalFloor")?, "notionalCap"),
    };
    let values = [
        Value::Text(unit),
        Value::Number(floor.unwrap_or(0.0)),
        Value::Number(number(bracket, cap)?),
        Value::Number(number(bracket, "maintMarginRatio")?),
        Value::Number(number(bracket, "initialLeverage")?),
        Value::Number(optional_number(bracket, "cum")?.unwrap_or(0.0)),
        Value::Null,
    ];
    Ok(Entry { symbol: canonical(text(market, "symbol")?), ts: known_since, identity: None, values })
}

#[cfg(test)]
mod tests {
    use super::super::reading::BadRows;
    use super::super::taken::{self, rows};
    use super::*;

    #[test]
    fn a_bad_entry_leaves_the_others_of_its_message() {
        let order = |side: &str| {
            format!(r#"{{"o":{{"s":"BTCUSDT","S":"{side}","q":"1","p":"50000","ap":"50100","T":1767225600460}}}}"#)
        };
        let message = format!(r#"{{"stream":"!forceOrder@arr","data":[{},{}]}}"#, order("HOLD"), order("SELL"));
        let read =
            taken::read(READERS, "forceOrder", "a.jsonl", &message, &Settings::default(), BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (1, 1));
        assert_eq!(read.rows[0].texts, ["long"]);
        assert_eq!(read.first_bad.unwrap(), "a.jsonl:1: 'side' must be SELL or BUY, was 'HOLD'");

        let bracket = r#"{"notionalFloor":0,"notionalCap":5000,"maintMarginRatio":0.01,"initialLeverage":50,"cum":0}"#;
        let text = format!(r#"[{{"symbol":"BTCUSDT","brackets":[{},{bracket}]}}]"#, bracket.replace("0.01", "\"x\""));
        let file = "leverageBracket-2026-01-31.json";
        let read = taken::read(READERS, "leverageBracket", file, &text, &Settings::default(), BadRows::Skip);
        assert_eq!(read.map(|read| (read.rows.len(), read.bad)).unwrap(), (1, 1));
        let undated = rows(READERS, "leverageBracket", "a.json", &text, &Settings::default()).unwrap_err().to_string();
        assert!(undated.contains("into the file's name, as in leverageBracket-2026-01-31.json"), "{undated}");
    }

    #[test]
    fn coin_margined_quantities_become_base_units() {
        let text = "1,50000,7,1,1,1767225600000,true\n";
        let file = |symbol: &str| format!("{symbol}-aggTrades-2026-01.csv");
        let read = |symbol: &str| rows(READERS, "aggTrades", &file(symbol), text, &Settings::default()).unwrap();
        assert_eq!(read("BTCUSD_PERP")[0].values, "50000 0.014 sell");
        assert_eq!(read("ETHUSD_PERP")[0].values, "50000 0.0014 sell");
        assert_eq!(read("BTCUSDT")[0].values, "50000 7 sell");
    }
}

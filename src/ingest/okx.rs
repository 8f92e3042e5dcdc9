//! OKX: files of its public archive (static.okx.com), answers of its API (v5), recorded streams; swaps and futures.
//!
//! In: `trades`, `candles` and `funding`, CSV of the archive; `open-interest` and `position-tiers`, answers of the API;
//! `liquidations`, messages of `liquidation-orders`, one per line. Out: rows of the market tables. The formats are those
//! of OKX's documentation, as far as the project's reference quotes it.
//!
//! Sizes are contracts: contracts × contract value is base units, or, of inverse contracts, USD, which become base units
//! at the row's price. A file's day begins at 16:00 UTC and its rows are in no order; neither matters here. The price of a
//! liquidation is the bankruptcy price; the trigger is worked out from it (see [`super::trigger`]).

use serde_json::Value as Json;

use super::delimited::{Delimited, Field, Record};
use super::documents::{as_number, each_value, list, number, text, time};
use super::plausible::Guard;
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value, check_named, day_of, identity_of};
use super::settlement::{Settlement, give_settlements};
use super::source::Source;
use super::symbols::{canonical, contract_usd, is_inverse};
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, TRADES};

const EXCHANGE: &str = "okx";

/// Base units per contract of linear swaps, as the API states them.
const CONTRACT_SIZES: [(&str, f64); 2] = [("BTC-USDT-SWAP", 0.01), ("ETH-USDT-SWAP", 0.1)];

/// What is read.
pub static READERS: &[Reader] = &[
    Reader { exchange: EXCHANGE, kind: "trades", table: &TRADES, about: "trades of the archive", read: trades },
    Reader { exchange: EXCHANGE, kind: "candles", table: &CANDLES, about: "candles of the archive", read: candles },
    Reader { exchange: EXCHANGE, kind: "funding", table: &FUNDING, about: "funding of the archive", read: funding },
    Reader {
        exchange: EXCHANGE,
        kind: "open-interest",
        table: &OPEN_INTEREST,
        about: "open interest history of the API, which names no symbol",
        read: open_interest,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "liquidations",
        table: &LIQUIDATIONS,
        about: "liquidation-orders messages of the stream, one per line",
        read: liquidations,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "position-tiers",
        table: &LEVERAGE_TIERS,
        about: "margin brackets of the API; the file's name holds the date since when they are known",
        read: position_tiers,
    },
];

/// What a contract is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Contract {
    /// Base units.
    Linear(f64),
    /// USD.
    Inverse(f64),
}

impl Contract {
    /// So many contracts in base units, and in USD, at this price.
    fn worth(self, contracts: f64, price: f64) -> (f64, f64) {
        match self {
            Contract::Linear(base) => (contracts * base, contracts * base * price),
            Contract::Inverse(usd) => (contracts * usd / price, contracts * usd),
        }
    }
}

/// A market, by which the rows of a file are read.
#[derive(Debug, Clone)]
struct Market {
    name: String,
    symbol: String,
    contract: Contract,
}

/// The market that a file of the archive is named for: `BTC-USDT-SWAP-trades-2026-05-28.csv`.
fn named_for(source: &Source<'_>, out: &Out<'_>) -> Option<String> {
    let parts: Vec<&str> = source.file.split('-').take(3).collect();
    let is_coin =
        |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let name = parts.join("-");
    let is_name = check_derivative("", &name).is_ok() && parts.iter().take(2).all(|part| is_coin(part));
    (is_name && out.guard() == Guard::Refuse).then_some(name)
}

/// The markets of one file. What `--contract-size` says holds for one of them only.
struct Markets<'s> {
    settings: &'s Settings,
    /// The one that the file is named for.
    named: Option<String>,
    /// The market of which the size was said: that of `--symbol`, or the first that needs it.
    said_for: Option<String>,
    last: Option<Market>,
}

impl<'s> Markets<'s> {
    fn new(settings: &'s Settings) -> Markets<'s> {
        Markets { settings, named: None, said_for: settings.symbol.as_deref().map(canonical), last: None }
    }

    /// Looks up a market; nearly every row is of the same one as the row before.
    fn find(&mut self, column: &str, name: &str) -> Result<Market, BadRow> {
        match &self.last {
            Some(last) if last.name == name => {}
            _ => {
                check_derivative(column, name)?;
                check_named(self.named.as_deref(), column, name)?;
                let contract = self.contract(column, name)?;
                self.last = Some(Market { name: name.to_owned(), symbol: canonical(name), contract });
            }
        }
        self.last.clone().ok_or_else(|| BadRow::new(column, "a market", name))
    }

    fn contract(&mut self, column: &str, name: &str) -> Result<Contract, BadRow> {
        let symbol = canonical(name);
        let is_inverse = is_inverse(name);
        let known = match is_inverse {
            true => Some(contract_usd(name)),
            false => CONTRACT_SIZES.iter().find(|(known, _)| *known == name).map(|(_, size)| *size),
        };
        let is_said_for = self.said_for.as_ref().is_none_or(|said| *said == symbol);
        let size = match (known, self.settings.contract_size) {
            (known, Some(said)) if is_said_for && (known.is_none() || self.said_for.is_some()) => {
                self.said_for = Some(symbol);
                said
            }
            (Some(known), _) => known,
            (None, Some(_)) => {
                let said = self.said_for.as_deref().unwrap_or_default();
                let allowed = format!("{said}, for which --contract-size was said, or a market of which it is known");
                return Err(BadRow::new(column, &allowed, name));
            }
            (None, None) => {
                let allowed =
                    "a market of which the contract's value is known: say --contract-size (ctVal × ctMult of OKX)";
                return Err(BadRow::new(column, allowed, name));
            }
        };
        Ok(if is_inverse { Contract::Inverse(size) } else { Contract::Linear(size) })
    }
}

/// Checks that a name is of a swap or a future: of spot markets the same columns mean other units.
fn check_derivative(column: &str, name: &str) -> Result<(), BadRow> {
    let parts: Vec<&str> = name.split('-').collect();
    match parts.as_slice() {
        [_, _, last] if *last == "SWAP" || last.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(BadRow::new(column, "a swap or a future, as in BTC-USDT-SWAP", name)),
    }
}

/// Pushes what could be read of a record.
fn push<const N: usize>(
    record: &Record<'_>,
    out: &mut Out<'_>,
    row: Result<Entry<N>, BadRow>,
) -> Result<Result<(), BadRow>> {
    match row {
        Ok(entry) => out.give(record.line, EXCHANGE, Ok(entry)).map(Ok),
        Err(bad) => Ok(Err(bad)),
    }
}

/// Columns of a file of trades.
struct TradeFields {
    name: Field,
    id: Field,
    side: Field,
    price: Field,
    size: Field,
    ts: Field,
}

fn trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    // Columns by name: since 2026 a column 'source' stands behind the others.
    let columns = ["instrument_name", "trade_id", "side", "price", "size", "created_time"];
    let named = named_for(source, out);
    let file = Delimited::open(source, &columns)?;
    let [name, id, side, price, size, ts] = columns.map(|name| file.column(name));
    let fields = TradeFields { name: name?, id: id?, side: side?, price: price?, size: size?, ts: ts? };
    let mut markets = Markets { named, ..Markets::new(settings) };
    file.each(out, |record, out| push(record, out, trade(record, &fields, &mut markets)))
}

fn trade(record: &Record<'_>, fields: &TradeFields, markets: &mut Markets<'_>) -> Result<Entry<3>, BadRow> {
    let market = markets.find("instrument_name", record.text(fields.name)?)?;
    let side = match record.text(fields.side)? {
        "buy" => "buy",
        "sell" => "sell",
        other => return Err(BadRow::new("side", "buy or sell", other)),
    };
    let (price, contracts) = (record.number(fields.price)?, record.number(fields.size)?);
    let (size, _) = market.contract.worth(contracts, price);
    Ok(Entry {
        symbol: market.symbol,
        ts: record.instant(fields.ts)?,
        identity: Some(record.id(fields.id)?),
        values: [Value::Number(price), Value::Number(size), Value::Text(side)],
    })
}

fn candles(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let columns =
        ["instrument_name", "open", "high", "low", "close", "vol", "vol_ccy", "vol_quote", "open_time", "confirm"];
    let named = named_for(source, out);
    let file = Delimited::open(source, &columns)?;
    let (name, ts, confirm) = (file.column("instrument_name")?, file.column("open_time")?, file.column("confirm")?);
    // 'vol' is contracts, 'vol_ccy' base units.
    let numbers = ["open", "high", "low", "close", "vol_ccy"].map(|name| file.column(name));
    let [open, high, low, close, volume] = numbers;
    let numbers = [open?, high?, low?, close?, volume?];
    file.each(out, |record, out| {
        match record.boolean(confirm) {
            Ok(true) => {}
            // The bar was not over yet: no bad row, but none to keep.
            Ok(false) => return Ok(Ok(())),
            Err(bad) => return Ok(Err(bad)),
        }
        push(record, out, candle(record, named.as_deref(), name, ts, numbers))
    })
}

fn candle(
    record: &Record<'_>,
    named: Option<&str>,
    name: Field,
    ts: Field,
    numbers: [Field; 5],
) -> Result<Entry<6>, BadRow> {
    let name = record.text(name)?;
    check_derivative("instrument_name", name)?;
    check_named(named, "instrument_name", name)?;
    let [open, high, low, close, volume] = numbers.map(|field| record.number(field).map(Value::Number));
    let values = [open?, high?, low?, close?, volume?, Value::Null];
    Ok(Entry { symbol: canonical(name), ts: record.instant(ts)?, identity: None, values })
}

fn funding(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let columns = ["instrument_name", "funding_rate", "funding_time"];
    let named = named_for(source, out);
    let file = Delimited::open(source, &columns)?;
    let [name, rate, ts] = columns.map(|name| file.column(name));
    let (name, rate, ts) = (name?, rate?, ts?);
    // The interval shows in the distance of a symbol's rows, so all are read first: a day of all swaps is a thousand.
    let mut settlements = Vec::new();
    file.each(out, |record, _| {
        let settlement = || -> Result<Settlement, BadRow> {
            let name = record.text(name)?;
            check_derivative("instrument_name", name)?;
            check_named(named.as_deref(), "instrument_name", name)?;
            let (symbol, line) = (canonical(name), record.line);
            Ok(Settlement { line, symbol, ts: record.instant(ts)?, rate: record.number(rate)?, hours: None })
        };
        Ok(settlement().map(|settlement| settlements.push(settlement)))
    })?;
    give_settlements(EXCHANGE, &settlements, out)
}

/// The list in an answer or a message.
fn answered(answer: &Json) -> Result<&[Json], BadRow> {
    if let Some(code) = answer.get("code").and_then(Json::as_str).filter(|code| *code != "0") {
        let message = answer.get("msg").and_then(Json::as_str).unwrap_or_default();
        return Err(BadRow(format!("the answer is an error: code {code} {message}")));
    }
    list(answer, "data")
}

fn open_interest(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let Some(name) = settings.symbol.as_deref() else {
        return Err(Error::new(format!("{}: the answer names no symbol: say --symbol", source.name)));
    };
    let symbol = canonical(name);
    each_value(source, out, |answer, line, out| {
        let entries = match answered(answer) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            match open_interest_entry(entry) {
                Ok((ts, amount, usd)) => {
                    let values = [Value::Number(amount)];
                    let row = Row { exchange: EXCHANGE, symbol: &symbol, ts, identity: None, values: &values };
                    out.push_with_value(line, &row, usd)?;
                }
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        Ok(Ok(()))
    })
}

/// Time, amount and value of an entry.
fn open_interest_entry(entry: &Json) -> Result<(i64, f64, Option<f64>), BadRow> {
    // Instant, contracts, base units, USD.
    let [at, _, base, usd] = entry.as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(BadRow::new("data", "rows of 4 values (time, contracts, base, USD)", entry));
    };
    let ts = time(&serde_json::json!({ "ts": at }), "ts")?;
    let amount = as_number(base).ok_or_else(|| BadRow::new("oi in base units", "a number", base))?;
    Ok((ts, amount, as_number(usd)))
}

fn liquidations(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut markets = Markets::new(settings);
    each_value(source, out, |message, line, out| {
        // What the stream says of the subscription itself.
        if message.get("event").is_some() && message.get("data").is_none() {
            return Ok(Ok(()));
        }
        let entries = match answered(message) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            give_liquidations(entry, line, &mut markets, out)?;
        }
        Ok(Ok(()))
    })
}

/// Pushes the liquidations of one market.
fn give_liquidations(entry: &Json, line: u64, markets: &mut Markets<'_>, out: &mut Out<'_>) -> Result<()> {
    let found = text(entry, "instId").and_then(|name| Ok((markets.find("instId", name)?, list(entry, "details")?)));
    match found {
        Ok((market, details)) => {
            details.iter().try_for_each(|detail| out.give(line, EXCHANGE, liquidation(detail, &market)))
        }
        Err(bad) => out.refuse(line, &bad),
    }
}

fn liquidation(detail: &Json, market: &Market) -> Result<Entry<5>, BadRow> {
    let side = match text(detail, "posSide")? {
        "long" => "long",
        "short" => "short",
        // An account in net mode: the order that closes it tells, sold is a long.
        "net" => match text(detail, "side")? {
            "sell" => "long",
            "buy" => "short",
            other => return Err(BadRow::new("side", "buy or sell", other)),
        },
        other => return Err(BadRow::new("posSide", "long, short or net", other)),
    };
    let bankruptcy = number(detail, "bkPx")?;
    let (size, usd) = market.contract.worth(number(detail, "sz")?, bankruptcy);
    let [bankruptcy, size, usd] = [bankruptcy, size, usd].map(Value::Number);
    Ok(Entry {
        symbol: market.symbol.clone(),
        ts: time(detail, "ts")?,
        // A stream that was recorded twice has the same detail twice.
        identity: Some(identity_of(detail.to_string().as_bytes())),
        values: [Value::Text(side), Value::Null, bankruptcy, size, usd],
    })
}

fn position_tiers(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let known_since = day_of(source, "position-tiers-2026-01-31.json")?;
    let mut markets = Markets::new(settings);
    each_value(source, out, |answer, line, out| {
        let entries = match answered(answer) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            out.give(line, EXCHANGE, tier(entry, known_since, &mut markets))?;
        }
        Ok(Ok(()))
    })
}

fn tier(entry: &Json, known_since: i64, markets: &mut Markets<'_>) -> Result<Entry<7>, BadRow> {
    let found = ["instId", "instFamily", "uly"].iter().find_map(|column| {
        let name = entry.get(*column).and_then(Json::as_str).filter(|name| !name.is_empty())?;
        Some((*column, name))
    });
    let (column, name) = found.ok_or_else(|| BadRow("has no 'instId', 'instFamily' or 'uly'".to_owned()))?;
    // Brackets of swaps hold for the family, which is named without an ending.
    let name = if column != "instId" { format!("{name}-SWAP") } else { name.to_owned() };
    let market = markets.find(column, &name)?;
    let Contract::Linear(size) = market.contract else {
        let allowed = "a linear market: inverse contracts are worth USD, and brackets are in base units per contract";
        return Err(BadRow::new(column, allowed, name));
    };
    let values = [
        Value::Text("contracts"),
        Value::Number(number(entry, "minSz")?),
        Value::Number(number(entry, "maxSz")?),
        Value::Number(number(entry, "mmr")?),
        Value::Number(number(entry, "maxLever")?),
        // The rate holds for the whole position, so nothing is deducted.
        Value::Number(0.0),
        Value::Number(size),
    ];
    Ok(Entry { symbol: market.symbol, ts: known_since, identity: None, values })
}

#[cfg(test)]
mod tests {
    use super::super::taken::{Taken, near, rows};
    use super::*;

    fn read_as(kind: &str, name: &str, text: &str, settings: &Settings) -> Result<Vec<Taken>> {
        rows(READERS, kind, name, text, settings)
    }

    fn read(kind: &str, text: &str) -> Vec<Taken> {
        read_as(kind, "a-2026-05-28", text, &Settings::default()).unwrap()
    }

    fn refusal(kind: &str, text: &str) -> String {
        read_as(kind, "a-2026-05-28", text, &Settings::default()).unwrap_err().to_string()
    }

    fn said(symbol: Option<&str>, contract_size: Option<f64>) -> Settings {
        Settings { symbol: symbol.map(str::to_owned), contract_size, ..Settings::default() }
    }

    const TRADES_HEADER: &str = "instrument_name,trade_id,side,price,size,created_time";

    fn trade_of(name: &str) -> String {
        format!("{TRADES_HEADER}\n{name},7,sell,50000,20,1767196800123\n")
    }

    #[test]
    fn contracts_become_base_units() {
        for (name, symbol, size) in [
            ("BTC-USDT-SWAP", "BTCUSDT", 0.2),
            ("ETH-USDT-SWAP", "ETHUSDT", 2.0),
            ("BTC-USD-SWAP", "BTCUSD", 0.04),
            ("ETH-USD-SWAP", "ETHUSD", 0.004),
            ("BTC-USD-261225", "BTCUSD261225", 0.04),
        ] {
            let rows = read("trades", &trade_of(name));
            assert_eq!((rows[0].symbol.as_str(), rows[0].ts, rows[0].identity), (symbol, 1_767_196_800_123, Some(7)));
            assert_eq!(rows[0].texts, ["sell"]);
            near(&rows[0].numbers, &[50_000.0, size]);
        }
        let with_source = format!("{TRADES_HEADER},source\nBTC-USDT-SWAP,7,buy,50000,20,1767196800123,1\n");
        assert_eq!(read("trades", &with_source)[0].texts, ["buy"]);
    }

    #[test]
    fn contract_sizes_are_said_where_they_are_not_known() {
        let other = trade_of("SOL-USDT-SWAP");
        let error = refusal("trades", &other);
        assert!(error.contains("say --contract-size") && error.contains("was 'SOL-USDT-SWAP'"), "{error}");
        let rows = read_as("trades", "a", &other, &said(None, Some(1.5))).unwrap();
        near(&rows[0].numbers, &[50_000.0, 30.0]);
        // It is of one market, not of every one in the file.
        let two = format!("{other}XRP-USDT-SWAP,8,sell,2,20,1767196800123\n");
        let error = read_as("trades", "a", &two, &said(None, Some(1.5))).unwrap_err().to_string();
        assert!(error.contains("SOLUSDT, for which --contract-size was said"), "{error}");
        let rows = read_as("trades", "a", &trade_of("BTC-USDT-SWAP"), &said(Some("SOLUSDT"), Some(1.0))).unwrap();
        near(&rows[0].numbers, &[50_000.0, 0.2]);
    }

    #[test]
    fn bad_trades_are_named() {
        let with = |from: &str, to: &str| refusal("trades", &trade_of("BTC-USDT-SWAP").replace(from, to));
        assert!(with(",sell,", ",short,").contains(":2: 'side' must be buy or sell, was 'short'"));
        assert!(with("50000", "-1").contains("'price' must be a positive number, was '-1'"));
        assert!(with(",7,", ",x,").contains("'trade_id' must be a whole number, was 'x'"));
        assert!(with("-SWAP", "").contains("'instrument_name' must be a swap or a future, as in BTC-USDT-SWAP, was"));
        assert!(with("trade_id", "id").contains("has no column 'trade_id'"));
    }

    #[test]
    fn rows_are_of_the_market_in_the_name() {
        let read = |file: &str| read_as("trades", file, &trade_of("BTC-USDT-SWAP"), &Settings::default());
        for file in ["BTC-USDT-SWAP-trades-2026-05-28.csv", "allswap-trades-2026-05-28.csv", "a-b-2026"] {
            assert_eq!(read(file).unwrap().len(), 1, "{file}");
        }
        let other = read("BTC-USD-SWAP-trades-2026-05-28.csv").unwrap_err().to_string();
        assert!(other.contains("must be BTC-USD-SWAP, for which the file is named, was 'BTC-USDT-SWAP'"), "{other}");
        let row = "BTC-USDT-SWAP,-0.0001,1767196800000";
        let funding = format!("instrument_name,funding_rate,funding_time\n{row}\n");
        let file = "ETH-USDT-SWAP-fundingrates-2026-05.csv";
        let other = read_as("funding", file, &funding, &Settings::default()).unwrap_err().to_string();
        assert!(other.contains("must be ETH-USDT-SWAP, for which the file is named"), "{other}");
    }

    const CANDLES_HEADER: &str = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm";

    #[test]
    fn candles_count_base_units_and_only_bars_that_are_over() {
        let row = "BTC-USDT-SWAP,100,110,90,105,2000,20,2080,1767196800000,1";
        let open = "BTC-USDT-SWAP,100,110,90,105,2000,20,2080,1767196860000,0";
        let rows = read("candles", &format!("{CANDLES_HEADER}\n{row}\n{open}\n"));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_767_196_800_000));
        assert_eq!(rows[0].numbers, [Some(100.0), Some(110.0), Some(90.0), Some(105.0), Some(20.0), None]);
        let with = |from: &str, to: &str| refusal("candles", &format!("{CANDLES_HEADER}\n{}\n", row.replace(from, to)));
        assert!(with(",110,", ",95,").contains("open 100 and close 105 must lie between low 90 and high 95"));
        assert!(with(",20,", ",-20,").contains("'volume' must be a number of at least 0, was '-20'"));
        assert!(with("00000,1", "00000,2").contains("'confirm' must be true or false, was '2'"));
        assert!(with("-SWAP", "").contains("was 'BTC-USDT'"));
        assert!(refusal("candles", "ts,open\n1,2\n").contains("has no column 'instrument_name'"));
    }

    #[test]
    fn funding_intervals_show_in_the_file() {
        let header = "instrument_name,funding_rate,funding_time";
        let rows = read(
            "funding",
            &format!(
                "{header}\nBTC-USDT-SWAP,-0.0001,1767196800000\nETH-USDT-SWAP,0.0002,1767211200000\n\
                 ETH-USDT-SWAP,0.0003,1767196800000\n"
            ),
        );
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_767_196_800_000));
        assert_eq!(rows[0].numbers, [Some(-0.0001), Some(8.0)]);
        assert_eq!(rows[1].numbers, [Some(0.0002), Some(4.0)]);
        let error = refusal("funding", &format!("{header}\nBTC-USDT-SWAP,x,1767196800000\n"));
        assert!(error.contains(":2: 'funding_rate' must be a number, was 'x'"), "{error}");
        assert!(refusal("funding", "instrument_name,rate\n").contains("has no column 'funding_rate'"));
    }

    #[test]
    fn open_interest_is_the_base_column() {
        let text = r#"{"code":"0","msg":"","data":[["1767196800000","2500000","25000.5","2200000000"]]}"#;
        let rows = read_as("open-interest", "a", text, &said(Some("BTC-USDT-SWAP"), None)).unwrap();
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_767_196_800_000));
        assert_eq!(rows[0].numbers, [Some(25_000.5)]);
        assert!(refusal("open-interest", text).contains("names no symbol: say --symbol"));
        let with = |from: &str, to: &str| {
            let settings = said(Some("BTCUSDT"), None);
            read_as("open-interest", "a", &text.replace(from, to), &settings).unwrap_err().to_string()
        };
        assert!(with(r#","2200000000""#, "").contains("'data' must be rows of 4 values"));
        assert!(with("25000.5", "x").contains(r#"'oi in base units' must be a number, was '"x"'"#));
        assert!(with(r#""code":"0""#, r#""code":"50011""#).contains("the answer is an error: code 50011"));
    }

    const MESSAGE: &str = r#"{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"50000","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}"#;

    #[test]
    fn liquidations_are_of_positions_in_base_units() {
        let rows = read("liquidations", MESSAGE);
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_692_266_434_010));
        assert_eq!(rows[0].texts, ["short"]);
        near(&rows[0].numbers, &[50_000.0 / 1.004, 50_000.0, 0.13, 6_500.0]);
        let inverse = MESSAGE.replace("BTC-USDT", "BTC-USD").replace("short", "long");
        let rows = read("liquidations", &inverse);
        assert_eq!((rows[0].symbol.as_str(), rows[0].texts[0].as_str()), ("BTCUSD", "long"));
        near(&rows[0].numbers, &[50_200.0, 50_000.0, 0.026, 1_300.0]);
    }

    #[test]
    fn net_positions_are_told_by_the_order() {
        let net = MESSAGE.replace("short", "net");
        let text = format!("{}\n{net}\n{net}\n{}\n", r#"{"event":"subscribe"}"#, net.replace("\"buy\"", "\"sell\""));
        let rows = read("liquidations", &text);
        assert_eq!(rows.iter().map(|row| row.texts[0].as_str()).collect::<Vec<_>>(), ["short", "short", "long"]);
        assert_eq!(rows[0].identity, rows[1].identity);
        assert_ne!(rows[0].identity, rows[2].identity);
        let with = |from: &str, to: &str| refusal("liquidations", &MESSAGE.replace(from, to));
        assert!(with("short", "both").contains("'posSide' must be long, short or net, was 'both'"));
        assert!(with("50000", "").contains(r#"'bkPx' must be a number, was '""'"#));
        assert!(with("BTC-USDT-SWAP", "IOST-USDT-SWAP").contains("say --contract-size"));
    }

    #[test]
    fn brackets_are_in_contracts() {
        let text = r#"{"code":"0","data":[{"baseMaxLoan":"","imr":"0.01","instFamily":"BTC-USDT","instId":"","maxLever":"100","maxSz":"1000","minSz":"0","mmr":"0.004","tier":"1","uly":"BTC-USDT"}]}"#;
        let rows = read("position-tiers", text);
        assert_eq!((rows[0].symbol.as_str(), rows[0].ts), ("BTCUSDT", 1_779_926_400_000));
        assert_eq!(rows[0].texts, ["contracts"]);
        let expected = [0.0, 1_000.0, 0.004, 100.0, 0.0, 0.01].map(Some);
        assert_eq!(rows[0].numbers, expected);
        let undated = read_as("position-tiers", "tiers.json", text, &Settings::default()).unwrap_err().to_string();
        assert!(undated.contains("into the file's name"), "{undated}");
        let with = |from: &str, to: &str| refusal("position-tiers", &text.replace(from, to));
        assert!(with("BTC-USDT", "BTC-USD").contains("'instFamily' must be a linear market"));
        assert!(with("0.004", "0").contains("'maintenance_margin_rate' must be a positive number, was '0'"));
        assert!(with("BTC-USDT", "").contains("has no 'instId', 'instFamily' or 'uly'"));
    }
}

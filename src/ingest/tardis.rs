//! Tardis.dev: downloadable files of separated values, which have one shape for all exchanges.
//!
//! In: `https://datasets.tardis.dev/v1/{exchange}/{type}/{YYYY}/{MM}/{DD}/{SYMBOL}.csv.gz` of the types `trades`,
//! `liquidations` and `derivative_ticker`, instants in µs. Out: rows of the market tables, whose exchange and symbol stand in
//! each row: `binance-futures` and `binance-delivery` become `binance`, `okex-swap` becomes `okx`, Binance's spot market,
//! which Tardis calls `binance`, becomes `binance-spot`; Hyperliquid's coins become COIN + `USDC`, its spot markets and
//! those of builders are left out.
//!
//! Quantities are in the exchange's units: coins on Binance USDⓈ-M, Bybit linear and Hyperliquid, contracts of 100 USD
//! (BTC) or 10 USD (others) on Binance COIN-M, USD on Bybit inverse. On every other exchange, OKX among them, they are
//! contracts whose size the file does not say, and the user must. Bybit's open interest sums both sides and is halved.
//!
//! The side of a liquidation is the order's: `sell` closes a long. Binance, Bybit and OKX print the bankruptcy price; the
//! trigger is worked out from it (see [`super::trigger`]).
//!
//! Funding: rows state the rate for a `funding_timestamp` that lies ahead. The last rate that was seen for it is the settled
//! one. The `funding_timestamp` that is current where a file ends has a row only if the file runs to it.

use super::delimited::{Delimited, Field, Record};
use super::hyperliquid::symbol_of_coin;
use super::plausible::Guard;
use super::reading::{BadRow, Out, Reader, Row, Settings, Value, check_named, day_in, identity_of};
use super::settlement::{Running, Seen};
use super::source::Source;
use super::symbols::{canonical, contract_usd, is_inverse};
use crate::error::{Error, Result};
use crate::market::tables::{FUNDING, LIQUIDATIONS, OPEN_INTEREST, TRADES};

const VENDOR: &str = "tardis";

/// How near to a settlement the end of a file must be for the settlement to be in it.
const END_OF_FILE_MS: i64 = 5 * 60_000;

/// What is read.
pub static READERS: &[Reader] = &[
    Reader { exchange: VENDOR, kind: "trades", table: &TRADES, about: "trades of any exchange", read: trades },
    Reader {
        exchange: VENDOR,
        kind: "liquidations",
        table: &LIQUIDATIONS,
        about: "liquidations of any exchange",
        read: liquidations,
    },
    Reader {
        exchange: VENDOR,
        kind: "derivative_ticker",
        table: &OPEN_INTEREST,
        about: "open interest of any exchange",
        read: open_interest,
    },
    Reader {
        exchange: VENDOR,
        kind: "derivative_ticker-funding",
        table: &FUNDING,
        about: "funding of the same files: the last rate before each settlement",
        read: funding,
    },
];

/// What one of a market's `amount` is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// This many base units.
    Base(f64),
    /// This many USD, settled in the coin.
    Usd(f64),
}

impl Unit {
    /// An amount in base units, at this price.
    fn base(self, amount: f64, price: f64) -> f64 {
        match self {
            Unit::Base(size) => amount * size,
            Unit::Usd(usd) => amount * usd / price,
        }
    }

    /// An amount in USD, at this price.
    fn usd(self, amount: f64, price: f64) -> f64 {
        match self {
            Unit::Base(size) => amount * size * price,
            Unit::Usd(usd) => amount * usd,
        }
    }
}

/// A market of a file.
#[derive(Debug, Clone, PartialEq)]
struct Market {
    /// As the file names them.
    named: (String, String),
    exchange: String,
    /// `None` if the market is left out.
    symbol: Option<String>,
}

impl Market {
    fn of(exchange: &str, name: &str) -> Market {
        let ours = match exchange {
            "binance-futures" | "binance-delivery" => "binance",
            // The spot market: under 'binance' it would be mixed with the perpetual of the same symbol.
            "binance" => "binance-spot",
            "okex-swap" => "okx",
            other => other,
        };
        let symbol = if exchange == "hyperliquid" { symbol_of_coin(name) } else { Some(canonical(name)) };
        Market { named: (exchange.to_owned(), name.to_owned()), exchange: ours.to_ascii_lowercase(), symbol }
    }

    /// What its amounts are; `None` if the file does not say.
    fn unit(&self, settings: &Settings) -> Option<Unit> {
        let (exchange, name) = (self.named.0.as_str(), self.named.1.as_str());
        match exchange {
            "binance-delivery" => Some(Unit::Usd(settings.contract_size.unwrap_or_else(|| contract_usd(name)))),
            "bybit" if is_inverse(name) => Some(Unit::Usd(1.0)),
            "binance" | "binance-futures" | "bybit" | "bybit-spot" | "hyperliquid" => Some(Unit::Base(1.0)),
            _ if is_inverse(name) => settings.contract_size.map(Unit::Usd),
            _ => settings.contract_size.map(Unit::Base),
        }
    }

    /// Whether one `--contract-size` is that of this market alone.
    fn is_sized_by_user(&self) -> bool {
        self.unit(&Settings::default()).is_none()
    }
}

/// The market that a file is named for: `BTCUSDT.csv`, or `binance-futures_trades_2026-01-01_BTCUSDT.csv` as the vendor's
/// own client writes it. Files of many markets are named for what they have in common, such as `PERPETUALS`.
fn named_for(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(".csv")?;
    let dated = stem.split('_').find(|part| day_in(part).is_some());
    let name = match dated {
        Some(day) => stem.split_once(day)?.1.strip_prefix('_')?,
        None => stem,
    };
    let is_name = name.len() >= 5
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
        && ["USD", "USDC", "USDT"].iter().any(|quote| name.contains(quote));
    is_name.then_some(name)
}

/// What a file is called, and the market that it is named for.
#[derive(Debug)]
struct Names {
    file: String,
    market: Option<String>,
}

impl Names {
    fn of(source: &Source<'_>, out: &Out<'_>) -> Names {
        let market = named_for(&source.file).filter(|_| out.guard() == Guard::Refuse);
        Names { file: source.name.clone(), market: market.map(str::to_owned) }
    }
}

/// Finds the market of each row; it is the same one in most files.
#[derive(Debug)]
struct Markets<'s> {
    names: Names,
    settings: &'s Settings,
    exchange: Field,
    symbol: Field,
    /// The market for which the user said the size of a contract.
    sized: Option<String>,
    current: Option<(Market, Option<Unit>)>,
}

impl<'s> Markets<'s> {
    fn new(names: Names, settings: &'s Settings, columns: &Delimited<'_, '_>) -> Result<Markets<'s>> {
        let (exchange, symbol) = (columns.column("exchange")?, columns.column("symbol")?);
        Ok(Markets { names, settings, exchange, symbol, sized: None, current: None })
    }

    /// The market of a row, and what its amounts are, if that is known.
    fn of(&mut self, record: &Record<'_>) -> Result<&(Market, Option<Unit>), BadRow> {
        let (exchange, symbol) = (record.text(self.exchange)?, record.text(self.symbol)?);
        let is_other = |(market, _): &(Market, Option<Unit>)| market.named.0 != exchange || market.named.1 != symbol;
        if self.current.as_ref().is_some_and(is_other) {
            self.current = None;
        }
        if self.current.is_none() {
            check_named(self.names.market.as_deref(), "symbol", symbol)?;
        }
        let settings = self.settings;
        Ok(self.current.get_or_insert_with(|| {
            let market = Market::of(exchange, symbol);
            let unit = market.unit(settings);
            (market, unit)
        }))
    }

    /// Exchange, symbol and unit of a row whose amounts count; `None` if its market is left out.
    ///
    /// The outer error ends the work: no row of the file can be read without the size of a contract.
    fn sized(&mut self, record: &Record<'_>) -> Result<Result<Option<(Market, Unit)>, BadRow>> {
        let (market, unit) = match self.of(record) {
            Ok((market, _)) if market.symbol.is_none() => return Ok(Ok(None)),
            Ok((market, unit)) => (market.clone(), *unit),
            Err(bad) => return Ok(Err(bad)),
        };
        let (exchange, name) = (&market.named.0, &market.named.1);
        let Some(unit) = unit else {
            return Err(Error::new(format!(
                "{}: amounts of {name} on '{exchange}' are contracts, and the file does not say how large one is: say \
                 --contract-size (base units per contract, USD of an inverse one)",
                self.names.file
            )));
        };
        if market.is_sized_by_user() {
            let sized = self.sized.get_or_insert_with(|| name.clone());
            if sized != name {
                return Err(Error::new(format!(
                    "{}: has contracts of {sized} and of {name}, one --contract-size cannot be that of both: read a file \
                     per symbol",
                    self.names.file
                )));
            }
        }
        Ok(Ok(Some((market, unit))))
    }
}

/// What a row becomes: its instant, what makes it the same as another, and its values; `None` leaves it out.
type Read<const N: usize> = Result<Option<(i64, u64, [Value<'static>; N])>, BadRow>;

/// Pushes what is read of every row whose market is not left out.
fn each_sized<const N: usize>(
    file: Delimited<'_, '_>,
    mut markets: Markets<'_>,
    out: &mut Out<'_>,
    mut read: impl FnMut(&Record<'_>, &Market, Unit) -> Read<N>,
) -> Result<()> {
    file.each(out, |record, out| {
        let (market, unit) = match markets.sized(record)? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(())),
            Err(bad) => return Ok(Err(bad)),
        };
        match read(record, &market, unit) {
            Ok(Some((ts, identity, values))) => {
                let symbol = market.symbol.as_deref().unwrap_or_default();
                let row = Row { exchange: &market.exchange, symbol, ts, identity: Some(identity), values: &values };
                out.push(record.line, &row).map(Ok)
            }
            Ok(None) => Ok(Ok(())),
            Err(bad) => Ok(Err(bad)),
        }
    })
}

const PRINTS: [&str; 8] = ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"];

/// The columns of trades and liquidations.
#[derive(Debug, Clone, Copy)]
struct Prints {
    ts: Field,
    id: Field,
    side: Field,
    price: Field,
    amount: Field,
}

impl Prints {
    fn of(file: &Delimited<'_, '_>) -> Result<Prints> {
        let [ts, id, side] = [file.column("timestamp")?, file.column("id")?, file.column("side")?];
        Ok(Prints { ts, id, side, price: file.column("price")?, amount: file.column("amount")? })
    }

    /// The id, or where there is none the whole line.
    fn identity(&self, record: &Record<'_>) -> Result<u64, BadRow> {
        let id = record.text(self.id)?;
        Ok(identity_of(if id.is_empty() { record.bytes() } else { id.as_bytes() }))
    }

    /// Whether the order bought.
    fn has_bought(&self, record: &Record<'_>) -> Result<bool, BadRow> {
        match record.text(self.side)? {
            "buy" => Ok(true),
            "sell" => Ok(false),
            other => Err(BadRow::new("side", "buy or sell", other)),
        }
    }

    /// The price, by which amounts may have to be divided.
    fn price(&self, record: &Record<'_>) -> Result<f64, BadRow> {
        let price = record.number(self.price)?;
        if price > 0.0 { Ok(price) } else { Err(BadRow::new("price", "a positive number", price)) }
    }
}

fn trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let names = Names::of(source, out);
    let file = Delimited::open(source, &PRINTS)?;
    let (markets, prints) = (Markets::new(names, settings, &file)?, Prints::of(&file)?);
    each_sized(file, markets, out, |record, _, unit| {
        let side = if prints.has_bought(record)? { "buy" } else { "sell" };
        let price = prints.price(record)?;
        let size = unit.base(record.number(prints.amount)?, price);
        let values = [Value::Number(price), Value::Number(size), Value::Text(side)];
        Ok(Some((record.instant(prints.ts)?, prints.identity(record)?, values)))
    })
}

fn liquidations(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let names = Names::of(source, out);
    let file = Delimited::open(source, &PRINTS)?;
    let (markets, prints) = (Markets::new(names, settings, &file)?, Prints::of(&file)?);
    each_sized(file, markets, out, |record, market, unit| {
        // The order that closes a long sells.
        let side = if prints.has_bought(record)? { "short" } else { "long" };
        let (price, amount) = (prints.price(record)?, record.number(prints.amount)?);
        let (trigger, bankruptcy) = match market.exchange.as_str() {
            "binance" | "bybit" | "okx" => (Value::Null, Value::Number(price)),
            _ => (Value::Number(price), Value::Null),
        };
        let [size, usd] = [unit.base(amount, price), unit.usd(amount, price)].map(Value::Number);
        let values = [Value::Text(side), trigger, bankruptcy, size, usd];
        Ok(Some((record.instant(prints.ts)?, prints.identity(record)?, values)))
    })
}

const TICKERS: [&str; 11] = [
    "exchange",
    "symbol",
    "timestamp",
    "local_timestamp",
    "funding_timestamp",
    "funding_rate",
    "predicted_funding_rate",
    "open_interest",
    "last_price",
    "index_price",
    "mark_price",
];

fn open_interest(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let names = Names::of(source, out);
    let file = Delimited::open(source, &TICKERS)?;
    let (ts, amount) = (file.column("timestamp")?, file.column("open_interest")?);
    let prices = [file.column("mark_price")?, file.column("last_price")?];
    let markets = Markets::new(names, settings, &file)?;
    each_sized(file, markets, out, |record, market, unit| {
        let Some(amount) = record.optional_number(Some(amount))? else { return Ok(None) };
        let price = match unit {
            Unit::Base(_) => 1.0,
            Unit::Usd(_) => price_of(record, prices)?,
        };
        let sides = if market.exchange == "bybit" { 2.0 } else { 1.0 };
        let values = [Value::Number(unit.base(amount, price) / sides)];
        Ok(Some((record.instant(ts)?, identity_of(record.bytes()), values)))
    })
}

/// The mark price, or where there is none the last price.
fn price_of(record: &Record<'_>, prices: [Field; 2]) -> Result<f64, BadRow> {
    for field in prices {
        if let Some(price) = record.optional_number(Some(field))?.filter(|price| *price > 0.0) {
            return Ok(price);
        }
    }
    Err(BadRow(
        "has neither 'mark_price' nor 'last_price', without which open interest in USD has no base units".to_owned(),
    ))
}

fn funding(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let names = Names::of(source, out);
    let file = Delimited::open(source, &TICKERS)?;
    let (ts, rate, settled) =
        (file.column("timestamp")?, file.column("funding_rate")?, file.column("funding_timestamp")?);
    let mut markets = Markets::new(names, settings, &file)?;
    let mut running = Running::default();
    file.each(out, |record, _| {
        let mut read = || -> Result<(), BadRow> {
            let (Market { exchange, symbol, .. }, _) = markets.of(record)?;
            let (Some(symbol), Some(rate)) = (symbol, record.optional_number(Some(rate))?) else { return Ok(()) };
            if record.text(settled)?.is_empty() {
                return Ok(());
            }
            let (settled, seen) = (record.instant(settled)?, record.instant(ts)?);
            running.see(exchange, symbol, settled, Seen { line: record.line, ts: seen, rate });
            Ok(())
        };
        Ok(read())
    })?;
    // The rate of a settlement that the file does not reach may still change.
    running.give(None, |before, has_later| has_later || before <= END_OF_FILE_MS, out)
}

#[cfg(test)]
mod tests {
    use super::super::settlement::HOUR_MS;
    use super::super::taken::{Taken, rows};
    use super::*;

    /// 2026-01-01 00:00 UTC.
    const DAY: i64 = 1_767_225_600_000;

    fn read_all(kind: &str, text: &str, contract_size: Option<f64>) -> Result<Vec<Taken>> {
        rows(READERS, kind, "a.csv", text, &Settings { contract_size, ..Settings::default() })
    }

    /// Exchange, symbol, instant and values.
    type Short = (String, String, i64, String);

    fn read(kind: &str, text: &str, contract_size: Option<f64>) -> Vec<Short> {
        let rows = read_all(kind, text, contract_size).unwrap();
        rows.into_iter().map(|row| (row.exchange, row.symbol, row.ts, row.values)).collect()
    }

    fn error(kind: &str, text: &str, contract_size: Option<f64>) -> String {
        read_all(kind, text, contract_size).err().unwrap().to_string()
    }

    fn row(exchange: &str, symbol: &str, ts: i64, values: &str) -> Short {
        (exchange.to_owned(), symbol.to_owned(), ts, values.to_owned())
    }

    fn prints(rows: &str) -> String {
        format!("exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n{rows}")
    }

    #[test]
    fn trades_are_in_base_units() {
        let text = prints(
            "binance-futures,BTCUSDT,1767225600123456,1767225600125000,11,buy,50000,0.5\n\
             binance-delivery,BTCUSD_PERP,1767225600123456,1767225600125000,12,sell,50000,7\n\
             binance-delivery,ETHUSD_PERP,1767225600123456,1767225600125000,12,sell,2000,7\n\
             binance,BTCUSDT,1767225600123456,1767225600125000,11,buy,50000,0.5\n\
             bybit,BTCUSDT,1767225600123456,1767225600125000,c7a5-uuid,sell,50000,0.25\n\
             bybit,BTCUSD,1767225600123456,1767225600125000,c7a6-uuid,sell,50000,100\n\
             bybit,BTCUSDH24,1767225600123456,1767225600125000,c7a6-uuid,sell,50000,100\n\
             hyperliquid,BTC,1767225600123456,1767225600125000,1,buy,50000,2\n\
             hyperliquid,@107,1767225600123456,1767225600125000,1,buy,50000,2\n",
        );
        let ts = DAY + 123;
        let expected = [
            row("binance", "BTCUSDT", ts, "50000 0.5 buy"),
            row("binance", "BTCUSD", ts, "50000 0.014 sell"),
            row("binance", "ETHUSD", ts, "2000 0.035 sell"),
            row("binance-spot", "BTCUSDT", ts, "50000 0.5 buy"),
            row("bybit", "BTCUSDT", ts, "50000 0.25 sell"),
            row("bybit", "BTCUSD", ts, "50000 0.002 sell"),
            row("bybit", "BTCUSDH24", ts, "50000 0.002 sell"),
            row("hyperliquid", "BTCUSDC", ts, "50000 2 buy"),
        ];
        assert_eq!(read("trades", &text, None), expected);
    }

    #[test]
    fn contracts_need_their_size() {
        let linear = "okex-swap,BTC-USDT-SWAP,1767225600123456,1767225600125000,1,buy,50000,3\n";
        let inverse = "okex-swap,BTC-USD-SWAP,1767225600123456,1767225600125000,1,buy,50000,3\n";
        for kind in ["trades", "liquidations"] {
            let message = error(kind, &prints(linear), None);
            assert!(message.starts_with("a.csv: amounts of BTC-USDT-SWAP on 'okex-swap' are contracts"), "{message}");
            assert!(message.contains("--contract-size"), "{message}");
        }
        assert_eq!(read("trades", &prints(linear), Some(0.01)), [row("okx", "BTCUSDT", DAY + 123, "50000 0.03 buy")]);
        assert_eq!(read("trades", &prints(inverse), Some(100.0)), [row("okx", "BTCUSD", DAY + 123, "50000 0.006 buy")]);
        let message = error("trades", &prints(&[linear, inverse].concat()), Some(0.01));
        assert!(message.contains("one --contract-size cannot be that of both"), "{message}");
        // What is in base units already is not multiplied.
        let text = prints("binance-futures,BTCUSDT,1767225600123456,1767225600125000,11,buy,50000,0.5\n");
        assert_eq!(read("trades", &text, Some(0.01))[0].3, "50000 0.5 buy");
    }

    #[test]
    fn bad_rows_are_named() {
        let text = prints("binance-futures,BTCUSDT,1767225600123456,1767225600125000,11,unknown,50000,0.5\n");
        let message = error("trades", &text, None);
        assert!(message.starts_with("a.csv:2: 'side' must be buy or sell, was 'unknown'"), "{message}");
        let message = error("trades", &text.replace("unknown,50000", "buy,-1"), None);
        assert!(message.starts_with("a.csv:2: 'price' must be a positive number, was '-1'"), "{message}");
        let message = error("liquidations", "exchange,symbol\n", None);
        assert!(message.contains("has no column 'timestamp'"), "{message}");
    }

    #[test]
    fn files_are_named_for_one_market_or_for_many() {
        for (file, market) in [
            ("BTCUSDT.csv", Some("BTCUSDT")),
            ("binance-futures_trades_2026-01-01_BTCUSDT.csv", Some("BTCUSDT")),
            ("binance-delivery_trades_2026-01-01_BTCUSD_PERP.csv", Some("BTCUSD_PERP")),
            ("okex-swap_trades_2026-01-01_BTC-USDT-SWAP.csv", Some("BTC-USDT-SWAP")),
            ("binance-futures_trades_2026-01-01_PERPETUALS.csv", None),
            ("a.csv", None),
            ("mine_BTCUSDT.csv", None),
        ] {
            assert_eq!(named_for(file), market, "{file}");
        }
        let text = prints("binance-futures,BTCUSDT,1767225600123456,1767225600125000,11,buy,50000,0.5\n");
        let other = rows(READERS, "trades", "ETHUSDT.csv", &text, &Settings::default()).unwrap_err().to_string();
        assert!(other.contains("'symbol' must be ETHUSDT, for which the file is named, was 'BTCUSDT'"), "{other}");
        assert_eq!(rows(READERS, "trades", "BTCUSDT.csv", &text, &Settings::default()).unwrap().len(), 1);
    }

    #[test]
    fn the_id_or_else_the_line_is_the_identity() {
        let text = prints(
            "bybit,BTCUSDT,1767225600123456,1767225600125000,a,sell,50000,1\n\
             bybit,BTCUSDT,1767225600123456,1767225600125999,a,sell,50000,1\n\
             bybit,BTCUSDT,1767225600123456,1767225600125000,,sell,50000,1\n\
             bybit,BTCUSDT,1767225600123456,1767225600125000,,sell,50000,1\n\
             bybit,BTCUSDT,1767225600123456,1767225600125000,,sell,50000,2\n",
        );
        let rows = read_all("liquidations", &text, None).unwrap();
        let identities: Vec<_> = rows.into_iter().map(|row| row.identity.unwrap()).collect();
        assert_eq!(identities[0], identities[1]);
        assert_eq!(identities[2], identities[3]);
        assert!(identities[3] != identities[4] && identities[0] != identities[2]);
    }

    #[test]
    fn liquidations_have_the_side_of_the_position_and_the_trigger() {
        let text = prints(
            "binance-futures,BTCUSDT,1767225600123456,1767225600125000,,sell,49800,0.5\n\
             binance-futures,BTCUSDT,1767225600123456,1767225600125000,,buy,50200,0.5\n\
             binance-delivery,BTCUSD_PERP,1767225600123456,1767225600125000,,sell,50000,7\n\
             bybit,BTCUSD,1767225600123456,1767225600125000,,buy,50000,100\n\
             hyperliquid,BTC,1767225600123456,1767225600125000,,sell,50000,2\n",
        );
        let ts = DAY + 123;
        let expected = [
            row("binance", "BTCUSDT", ts, "long 50000 49800 0.5 24900"),
            row("binance", "BTCUSDT", ts, "short 50000 50200 0.5 25100"),
            row("binance", "BTCUSD", ts, "long 50200 50000 0.014 700"),
            row("bybit", "BTCUSD", ts, "short 49800 50000 0.002 100"),
            row("hyperliquid", "BTCUSDC", ts, "long 50000 null 2 100000"),
        ];
        assert_eq!(read("liquidations", &text, None), expected);
        let text = prints("okex-swap,BTC-USDT-SWAP,1767225600123456,1767225600125000,,sell,49800,50\n");
        let expected = [row("okx", "BTCUSDT", ts, "long 50000 49800 0.5 24900")];
        assert_eq!(read("liquidations", &text, Some(0.01)), expected);
    }

    fn tickers(rows: &str) -> String {
        format!(
            "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,\
             last_price,index_price,mark_price\n{rows}"
        )
    }

    #[test]
    fn open_interest_is_in_base_units_of_one_side() {
        let text = tickers(
            "binance-futures,BTCUSDT,1767225600123456,1767225600125000,,,,80000.5,50001,50000,50000\n\
             binance-futures,BTCUSDT,1767225600124456,1767225600125000,,,,,50001,50000,50000\n\
             bybit,BTCUSDT,1767225600123456,1767225600125000,,,,60000,50001,50000,50000\n\
             bybit,BTCUSD,1767225600123456,1767225600125000,,,,1000000,50001,50000,50000\n\
             binance-delivery,BTCUSD_PERP,1767225600123456,1767225600125000,,,,1000,50000,50000,\n\
             hyperliquid,BTC,1767225600123456,1767225600125000,,,,30000,50001,50000,50000\n",
        );
        let ts = DAY + 123;
        let expected = [
            row("binance", "BTCUSDT", ts, "80000.5"),
            row("bybit", "BTCUSDT", ts, "30000"),
            row("bybit", "BTCUSD", ts, "10"),
            row("binance", "BTCUSD", ts, "2"),
            row("hyperliquid", "BTCUSDC", ts, "30000"),
        ];
        assert_eq!(read("derivative_ticker", &text, None), expected);
        let text = tickers("okex-swap,BTC-USDT-SWAP,1767225600123456,1767225600125000,,,,200,1,1,1\n");
        assert_eq!(read("derivative_ticker", &text, Some(0.01)), [row("okx", "BTCUSDT", ts, "2")]);
        assert!(error("derivative_ticker", &text, None).contains("--contract-size"));
        let text = tickers("bybit,BTCUSD,1767225600123456,1767225600125000,,,,1000,,,\n");
        assert!(error("derivative_ticker", &text, None).contains("has neither 'mark_price' nor 'last_price'"));
    }

    /// A row at this hour of the day for the settlement at that hour.
    fn ticker(market: &str, hour: f64, settled: i64, rate: &str) -> String {
        let ts = (DAY + (hour * HOUR_MS as f64) as i64) * 1000;
        format!("{market},{ts},{ts},{},{rate},,,1,1,1\n", (DAY + settled * HOUR_MS) * 1000)
    }

    #[test]
    fn the_last_rate_before_a_settlement_is_settled() {
        let market = "binance-futures,BTCUSDT";
        let rows = [
            ticker(market, 0.0, 8, "0.0003"),
            ticker(market, 7.9, 8, "0.0001"),
            ticker(market, 7.95, 8, ""),
            ticker(market, 8.1, 16, "-0.0002"),
            ticker(market, 15.99, 16, "-0.00025"),
            ticker(market, 23.999, 24, "0.0004"),
        ];
        let hour = |hour: i64| DAY + hour * HOUR_MS;
        let expected = [
            row("binance", "BTCUSDT", hour(8), "0.0001 8"),
            row("binance", "BTCUSDT", hour(16), "-0.00025 8"),
            row("binance", "BTCUSDT", hour(24), "0.0004 8"),
        ];
        assert_eq!(read("derivative_ticker-funding", &tickers(&rows.concat()), None), expected);
        // Cut short: the rate of 16:00 may still change. Contracts need no size here.
        let market = "okex-swap,BTC-USDT-SWAP";
        let rows = [ticker(market, 3.0, 4, "0.0001"), ticker(market, 5.0, 8, "0.0002")];
        let expected = [row("okx", "BTCUSDT", hour(4), "0.0001 4")];
        assert_eq!(read("derivative_ticker-funding", &tickers(&rows.concat()), None), expected);
    }

    #[test]
    fn a_settlement_alone_has_the_usual_interval() {
        let rows = ticker("hyperliquid,BTC", 0.99, 1, "0.0000125");
        assert_eq!(read("derivative_ticker-funding", &tickers(&rows), None)[0].3, "0.0000125 1");
        let rows = ticker("bybit,BTCUSDT", 7.99, 8, "0.0001");
        assert_eq!(read("derivative_ticker-funding", &tickers(&rows), None)[0].3, "0.0001 8");
    }

    #[test]
    fn bad_funding_is_named() {
        let text = tickers(&ticker("bybit,BTCUSDT", 7.99, 8, "x"));
        let message = error("derivative_ticker-funding", &text, None);
        assert!(message.starts_with("a.csv:2: 'funding_rate' must be a number, was 'x'"), "{message}");
    }
}

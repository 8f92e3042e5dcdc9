//! One's own files: rows that are a market table already, whatever their columns are called.
//!
//! In: CSV with a header, or JSON with an object per row, also packed. Out: rows of the table that the kind names. A
//! column is found by the name that the market table gives it, by a usual one (`timestamp`, `px`, `qty`), or by what the
//! user says (`--column ts=open_time`); one value for all rows can be given (`--value interval_hours=8`). Units are those
//! of the market tables: nothing is converted, and what looks wrong is refused as for every other reader.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::delimited::{Delimited, Field};
use super::documents::each_value;
use super::reading::{BadRow, Out, Reader, Row, Settings, Value, columns, instant, time_column};
use super::source::Source;
use super::symbols::canonical;
use crate::error::{Error, Result};
use crate::market::tables::{
    CANDLES, Column, FUNDING, Kind, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, POSITIONS, TRADES, Table,
};

const NAME: &str = "table";

/// The kinds of rows.
pub static READERS: &[Reader] = &[
    reader(&CANDLES, "price bars", read::<0>),
    reader(&TRADES, "trades; side: buy or sell, of the taker", read::<1>),
    reader(&OPEN_INTEREST, "open interest, base units of one side", read::<2>),
    reader(&FUNDING, "settled funding rates, fractions", read::<3>),
    reader(&LIQUIDATIONS, "liquidations; side: long or short, of the position", read::<4>),
    reader(&POSITIONS, "open positions; side: long or short", read::<5>),
    reader(&LEVERAGE_TIERS, "margin brackets", read::<6>),
];

const fn reader(
    table: &'static Table,
    about: &'static str,
    read: fn(&mut Source<'_>, &Settings, &mut Out<'_>) -> Result<()>,
) -> Reader {
    Reader { exchange: NAME, kind: table.name, table, about, read }
}

/// Names under which columns usually come, our own first.
const USUAL: &[(&str, &[&str])] = &[
    ("ts", &["timestamp", "time", "open_time", "date", "datetime", "create_time", "calc_time", "t"]),
    ("symbol", &["pair", "instrument", "coin"]),
    ("exchange", &["venue"]),
    ("open", &["o"]),
    ("high", &["h"]),
    ("low", &["l"]),
    ("close", &["c"]),
    ("volume", &["v", "vol"]),
    ("price", &["px", "p"]),
    ("size", &["sz", "qty", "quantity"]),
    ("side", &["direction"]),
    ("open_interest", &["oi", "sum_open_interest"]),
    ("funding_rate", &["rate", "funding", "last_funding_rate"]),
    ("interval_hours", &["funding_interval_hours"]),
    ("account", &["user", "address"]),
    ("entry_price", &["entry_px"]),
    ("liquidation_price", &["liquidation_px"]),
    ("notional_usd", &["usd", "position_value_usd"]),
];

fn read<const KIND: usize>(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let Some(reader) = READERS.get(KIND) else { return Ok(()) };
    let wanted = Wanted::of(reader.table, settings)?;
    match source.peek()? {
        Some(b'{' | b'[') => wanted.objects(source, out),
        _ => wanted.lines(source, out),
    }
}

/// Where a column of the table comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// A column that the user named.
    Named(String),
    /// A value that the user gave.
    Given(String),
    /// A column of a usual name.
    Usual,
}

/// The columns of a table and where they come from: its time, `exchange`, `symbol`, then the others.
#[derive(Debug)]
struct Wanted {
    table: &'static Table,
    columns: Vec<(Column, Origin)>,
}

impl Wanted {
    /// Resolves what the user says.
    fn of(table: &'static Table, settings: &Settings) -> Result<Wanted> {
        let own = |name: &str| table.columns.iter().find(|column| column.name == name).copied();
        let leading = [time_column(table), "exchange", "symbol"].into_iter().filter_map(own);
        let all: Vec<Column> = leading.chain(columns(table).copied()).collect();
        let names = || all.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        for (said, _) in settings.columns.iter().chain(&settings.values) {
            if !all.iter().any(|column| column.name == said) {
                return Err(Error::new(format!("{} has no column '{said}', it has {}", table.name, names())));
            }
        }
        let said = |list: &[(String, String)], name: &str| {
            list.iter().find(|(said, _)| said == name).map(|(_, value)| value.clone())
        };
        let columns = all.iter().map(|column| {
            let given = said(&settings.values, column.name).or_else(|| match column.name {
                "exchange" => settings.exchange.clone(),
                "symbol" => settings.symbol.clone(),
                _ => None,
            });
            let origin = match (given, said(&settings.columns, column.name)) {
                (Some(_), Some(_)) => {
                    return Err(Error::new(format!("'{}' is given as a column and as a value", column.name)));
                }
                (Some(value), None) => Origin::Given(value),
                (None, Some(theirs)) => Origin::Named(theirs),
                (None, None) => Origin::Usual,
            };
            Ok((*column, origin))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Wanted { table, columns })
    }

    fn lines(&self, source: &mut Source<'_>, out: &mut Out<'_>) -> Result<()> {
        let name = source.name.clone();
        let file = Delimited::open(source, &[])?;
        let mut fields: Vec<Option<Field>> = Vec::with_capacity(self.columns.len());
        for (column, origin) in &self.columns {
            let field = match origin {
                Origin::Given(_) => None,
                Origin::Named(theirs) => Some(file.column(theirs)?),
                Origin::Usual => spellings(column.name).find_map(|spelling| file.optional(spelling)),
            };
            if field.is_none() && !column.optional && !matches!(origin, Origin::Given(_)) {
                return Err(Error::new(format!("{name}: {}, found {}", lacks(column), file.names().join(", "))));
            }
            fields.push(field);
        }
        file.each(out, |record, out| {
            let cell = |position: usize| match fields.get(position).copied().flatten() {
                Some(field) => record.text(field).map(|text| Some(Cow::Borrowed(text))),
                None => Ok(None),
            };
            self.push(record.line, cell, out)
        })
    }

    fn objects(&self, source: &mut Source<'_>, out: &mut Out<'_>) -> Result<()> {
        each_value(source, out, |value, line, out| {
            let cell = |position: usize| {
                let Some((column, origin)) = self.columns.get(position) else { return Ok(None) };
                let member = match origin {
                    Origin::Given(_) => return Ok(None),
                    Origin::Named(theirs) => value.get(theirs),
                    Origin::Usual => spellings(column.name).find_map(|spelling| value.get(spelling)),
                };
                Ok(match member {
                    None | Some(Json::Null) => None,
                    Some(Json::String(text)) => Some(Cow::Borrowed(text.trim())),
                    Some(Json::Number(number)) => Some(Cow::Owned(number.to_string())),
                    Some(other) => return Err(BadRow::new(column.name, "a number or a text", other)),
                })
            };
            self.push(line, cell, out)
        })
    }

    /// Pushes one row, of which a cell is the text at the position of a column.
    fn push<'r>(
        &self,
        line: u64,
        cell: impl Fn(usize) -> Result<Option<Cow<'r, str>>, BadRow>,
        out: &mut Out<'_>,
    ) -> Result<Result<(), BadRow>> {
        let texts = || -> Result<Vec<Option<Cow<'_, str>>>, BadRow> {
            let texts = self.columns.iter().enumerate().map(|(position, (column, origin))| {
                let text = match origin {
                    Origin::Given(value) => Some(Cow::Borrowed(value.as_str())),
                    _ => cell(position)?,
                };
                match text.filter(|text| !text.is_empty()) {
                    None if !column.optional => Err(BadRow(lacks(column))),
                    text => Ok(text),
                }
            });
            texts.collect()
        };
        let texts = match texts() {
            Ok(texts) => texts,
            Err(bad) => return Ok(Err(bad)),
        };
        let text = |position: usize| texts.get(position).and_then(Option::as_deref).unwrap_or_default();
        let Some(ts) = instant(text(0)) else {
            return Ok(Err(BadRow::new(time_column(self.table), "an instant", text(0))));
        };
        let (exchange, symbol) = (text(1).to_ascii_lowercase(), canonical(text(2)));
        let values = texts.iter().zip(&self.columns).skip(3).map(|(text, (column, _))| match text {
            None => Ok(Value::Null),
            Some(text) if column.kind == Kind::Text && column.name == "side" => side(self.table, text),
            Some(text) if column.kind == Kind::Text => Ok(Value::Text(text)),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Value::Number(number)),
                Err(_) => Err(BadRow::new(column.name, "a number", text)),
            },
        });
        match values.collect::<Result<Vec<_>, _>>() {
            // Two equal lines may be two trades.
            Ok(values) => {
                let row = Row { exchange: &exchange, symbol: &symbol, ts, identity: None, values: &values };
                out.push(line, &row).map(Ok)
            }
            Err(bad) => Ok(Err(bad)),
        }
    }
}

fn spellings(name: &'static str) -> impl Iterator<Item = &'static str> {
    let name = if name == "known_since" { "ts" } else { name };
    let usual = USUAL.iter().filter(move |(ours, _)| *ours == name).flat_map(|(_, theirs)| theirs.iter().copied());
    std::iter::once(name).chain(usual)
}

fn lacks(column: &Column) -> String {
    let way = match column.name {
        "exchange" => "--venue binance".to_owned(),
        "symbol" => "--symbol BTCUSDT".to_owned(),
        name => format!("--column {name}=THEIRS or --value {name}=…"),
    };
    format!("there is no '{}' ({}): say which with {way}", column.name, column.doc)
}

/// The side in our words. That of an order is refused where that of a position is meant: the two are opposite.
fn side<'t>(table: &Table, text: &str) -> Result<Value<'t>, BadRow> {
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    let (sides, allowed) = match table.name {
        "trades" => ([("buy", &["buy", "b", "bid"][..]), ("sell", &["sell", "s", "a", "ask"])], "buy or sell"),
        _ => (
            [("long", &["long"][..]), ("short", &["short"])],
            "long or short, of the position (a forced SELL order closes a long)",
        ),
    };
    let found = sides.iter().find(|(_, names)| is(names));
    found.map(|(side, _)| Value::Text(side)).ok_or_else(|| BadRow::new("side", allowed, text))
}

#[cfg(test)]
mod tests {
    use super::super::reading::BadRows;
    use super::super::taken::{Taken, read, rows};
    use super::*;

    fn said(columns: &[(&str, &str)], values: &[(&str, &str)]) -> Settings {
        let pairs = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Settings {
            symbol: Some("BTC-USDT-SWAP".to_owned()),
            exchange: Some("Binance".to_owned()),
            columns: pairs(columns),
            values: pairs(values),
            ..Settings::default()
        }
    }

    fn of(kind: &str, text: &str, settings: &Settings) -> Result<Vec<Taken>> {
        rows(READERS, kind, "mine.csv", text, settings)
    }

    fn problem(kind: &str, text: &str, settings: &Settings) -> String {
        of(kind, text, settings).unwrap_err().to_string()
    }

    #[test]
    fn usual_names_are_found() {
        let text = "date,open,high,low,close,volume\n2025-06-09 00:00:00+00:00,1,3,0.5,2,10\n";
        let taken = of("candles", text, &said(&[], &[])).unwrap();
        let row = &taken[0];
        assert_eq!((row.exchange.as_str(), row.symbol.as_str(), row.ts), ("binance", "BTCUSDT", 1_749_427_200_000));
        assert_eq!(row.values, "1 3 0.5 2 10 null");
        let line = r#"{"ts":1781308799023,"px":63561.0,"sz":0.00017,"side":"B"}"#;
        let taken = of("trades", &format!("{line}\n{}\n", line.replace("\"B\"", "\"A\"")), &said(&[], &[])).unwrap();
        assert_eq!(taken[0].values, "63561 0.00017 buy");
        assert_eq!(taken[1].values, "63561 0.00017 sell");
        let text = "venue,pair,ts,oi\nokx,ETH-USDT-SWAP,1767225600,5\n";
        let taken = of("open_interest", text, &Settings::default()).unwrap();
        assert_eq!((taken[0].exchange.as_str(), taken[0].symbol.as_str()), ("okx", "ETHUSDT"));
    }

    #[test]
    fn columns_and_values_are_taken_as_said() {
        let text = "ts,settled,rate,mark\n5,1767225600000,0.0001,1\n";
        let taken = of("funding", text, &said(&[("ts", "settled")], &[("interval_hours", "8")])).unwrap();
        assert_eq!((taken[0].ts, taken[0].values.as_str()), (1_767_225_600_000, "0.0001 8"));
        assert!(problem("funding", text, &said(&[], &[])).starts_with(
            "mine.csv: there is no 'interval_hours' (length of the funding interval): say which with --column \
             interval_hours=THEIRS or --value interval_hours=…, found ts, settled"
        ));
        assert_eq!(
            problem("funding", text, &said(&[("hours", "x")], &[])),
            "funding has no column 'hours', it has ts, exchange, symbol, funding_rate, interval_hours"
        );
        assert!(problem("funding", text, &said(&[("ts", "nope")], &[])).contains("has no column 'nope'"));
        let both = said(&[("interval_hours", "x")], &[("interval_hours", "8")]);
        assert_eq!(problem("funding", text, &both), "'interval_hours' is given as a column and as a value");
        let nobody = Settings::default();
        assert!(problem("trades", "ts,price,size,side\n", &nobody).contains("say which with --venue binance"));
    }

    #[test]
    fn sides_are_those_of_the_table() {
        let text = "ts,side,price,size,usd\n1767225600000,Long,100,1,100\n1767225600000,SELL,100,1,100\n";
        let settings = said(&[], &[]);
        let read = read(READERS, "liquidations", "mine.csv", text, &settings, BadRows::Skip).unwrap();
        assert_eq!((read.rows[0].values.as_str(), read.bad), ("long 100 null 1 100", 1));
        assert_eq!(
            read.first_bad.unwrap(),
            "mine.csv:3: 'side' must be long or short, of the position (a forced SELL order closes a long), was 'SELL'"
        );
    }

    #[test]
    fn bad_cells_name_file_and_line() {
        let settings = said(&[], &[]);
        for (text, message) in [
            ("ts,price,size,side\nx,1,1,buy\n", "mine.csv:2: 'ts' must be an instant, was 'x'"),
            ("ts,price,size,side\n1767225600000,?,1,buy\n", "mine.csv:2: 'price' must be a number, was '?'"),
            ("ts,price,size,side\n1767225600000,1,,buy\n", "mine.csv:2: there is no 'size' (traded quantity)"),
            ("ts,price,size,side\n1767225600000,1,1,both\n", "mine.csv:2: 'side' must be buy or sell, was 'both'"),
            ("ts,price,size,side\n1767225600000,1\n", "mine.csv:2: has 2 fields, the file has 4 columns"),
            ("{\"ts\":1767225600000,\"px\":[1]}\n", "mine.csv:1: 'price' must be a number or a text, was '[1]'"),
        ] {
            let found = problem("trades", text, &settings);
            assert!(found.starts_with(message), "{found}");
        }
    }

    #[test]
    fn a_stray_quote_spoils_its_own_line_alone() {
        let row = "1767225600000,1,1,buy\n";
        let text = format!("ts,price,size,side\n{row}\"{row}{row}");
        let read = read(READERS, "trades", "mine.csv", &text, &said(&[], &[]), BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (2, 1));
        let quoted = "ts,price,size,side\n\"1767225600000\",\"1\",1,\"buy\"\n";
        assert_eq!(of("trades", quoted, &said(&[], &[])).unwrap().len(), 1);
    }

    #[test]
    fn a_line_that_is_no_line_is_refused_before_it_takes_memory() {
        let long = "1".repeat(3 << 20);
        let body = problem("trades", &format!("ts,price,size,side\n{long}\n"), &said(&[], &[]));
        assert!(body.contains("longer than 1 MiB"), "{body}");
        let head = problem("trades", &format!("ts{long}\n"), &said(&[], &[]));
        assert!(head.contains("line 1: it is longer than 1 MiB"), "{head}");
    }
}

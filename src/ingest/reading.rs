//! What every reader of an exchange's files shares: who it is, what the user says beside the files, and where rows go.
//!
//! A reader turns the lines of one kind of file into rows of one market table: instants in milliseconds, quantities in base
//! units, sides of positions. [`Out`] checks each row, names file and line of a bad one, and counts what is left out.

use std::fmt;

use crate::error::{Error, Result};
use crate::ingest::plausible::Guard;
use crate::ingest::source::Source;
use crate::ingest::symbols::{canonical, is_inverse};
use crate::ingest::trigger::{RateOf, Rates, Tiers, USUAL_RATE, trigger};
use crate::market::tables::{Column, Kind, LIQUIDATIONS, Table};

/// Reads one kind of file of one exchange.
pub struct Reader {
    /// As the command names it: `binance`.
    pub exchange: &'static str,
    /// As the exchange names it: `aggTrades`.
    pub kind: &'static str,
    /// The market table of its rows.
    pub table: &'static Table,
    /// What the files are, in one line.
    pub about: &'static str,
    /// Reads a whole file.
    pub read: fn(&mut Source<'_>, &Settings, &mut Out<'_>) -> Result<()>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.exchange, self.kind)
    }
}

/// What a user says beside the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The symbol of files that do not name it.
    pub symbol: Option<String>,
    /// Base units (or USD, of inverse contracts) per contract, where it is not known.
    pub contract_size: Option<f64>,
    /// The exchange whose market is meant, of vendors' files that do not name it.
    pub exchange: Option<String>,
    /// The price of the market at the instant of a vendor's map that does not hold it.
    pub price: Option<f64>,
    /// Whether rows are taken that look like a mistake of units.
    pub trust: bool,
    /// Columns of one's own files: ours, theirs.
    pub columns: Vec<(String, String)>,
    /// Margin brackets by which triggers are worked out, instead of those that the root has.
    pub tiers: Option<Tiers>,
    /// Values of columns that one's own files do not have.
    pub values: Vec<(String, String)>,
}

/// What happens to rows that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRows {
    /// The first one ends the work.
    #[default]
    Error,
    /// They are left out and counted.
    Skip,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Null,
    /// A number.
    Number(f64),
    /// A text.
    Text(&'a str),
}

/// A row of a market table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// Lower case.
    pub exchange: &'a str,
    /// BASEQUOTE in upper case.
    pub symbol: &'a str,
    /// Milliseconds since the epoch, UTC.
    pub ts: i64,
    /// What makes it the same row as another of this file at this instant: an id, or a hash of the line. `None` if every
    /// line is a row of its own.
    pub identity: Option<u64>,
    /// The table's other columns, in its order.
    pub values: &'a [Value<'a>],
}

/// Identities have 63 bits; a larger id is as good without its highest one.
pub const MAX_IDENTITY: u64 = u64::MAX >> 1;

/// A row that could be read, of an exchange that its reader knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<const N: usize> {
    /// BASEQUOTE in upper case.
    pub symbol: String,
    /// Milliseconds since the epoch, UTC.
    pub ts: i64,
    /// See [`Row::identity`].
    pub identity: Option<u64>,
    /// The table's other columns, in its order.
    pub values: [Value<'static>; N],
}

/// Takes rows.
pub trait Sink {
    /// Takes one row.
    ///
    /// # Errors
    ///
    /// It cannot be kept.
    fn take(&mut self, row: &Row<'_>) -> Result<()>;
    /// Is told whose rate the trigger of a row was worked out with.
    fn note_rate(&mut self, _row: &Row<'_>, _rate: RateOf) {}
    /// Is told what a unit of a row's open interest is worth, as its file says.
    fn note_worth(&mut self, _row: &Row<'_>, _worth: f64) {}
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow(pub String);

impl BadRow {
    /// Makes the reason: `'price' must be a positive number, was -1`.
    pub fn new(column: &str, allowed: &str, was: impl fmt::Display) -> BadRow {
        BadRow(format!("'{column}' must be {allowed}, was '{was}'"))
    }
}

/// What numbers a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Any,
    NotNegative,
    Positive,
}

impl Range {
    fn of(column: &Column) -> Range {
        match column.name {
            "funding_rate" => Range::Any,
            "volume" | "taker_buy_volume" | "open_interest" | "floor" | "maintenance_amount" | "price_low" => {
                Range::NotNegative
            }
            _ => Range::Positive,
        }
    }

    fn has(self, number: f64) -> bool {
        match self {
            Range::Any => number.is_finite(),
            Range::NotNegative => (0.0..=1e18).contains(&number),
            Range::Positive => number > 0.0 && number <= 1e18,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Range::Any => "a number",
            Range::NotNegative => "a number of at least 0",
            Range::Positive => "a positive number",
        }
    }
}

/// What one of a row's values must be.
#[derive(Debug, Clone, Copy)]
struct Rule {
    column: &'static Column,
    range: Range,
}

/// Where a reader puts its rows.
pub struct Out<'a> {
    table: &'static Table,
    rules: Vec<Rule>,
    /// Whether a row has a highest and a lowest price.
    is_bar: bool,
    sink: &'a mut dyn Sink,
    file: String,
    policy: BadRows,
    guard: Guard,
    rates: Option<&'a Rates<'a>>,
    /// Rows taken.
    pub rows: u64,
    /// Rows left out.
    pub bad: u64,
    /// The first of them, with file and line.
    pub first_bad: Option<String>,
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("file", &self.file).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Letters of an exchange or a symbol, at most: they are names of folders.
const LONGEST_NAME: usize = 64;

/// 2009-01-01, before any of these markets, and 2100-01-01.
const PLAUSIBLE_MS: std::ops::Range<i64> = 1_230_768_000_000..4_102_444_800_000;

impl<'a> Out<'a> {
    /// Makes the end of a reader of this table.
    pub fn new(table: &'static Table, policy: BadRows, sink: &'a mut dyn Sink) -> Out<'a> {
        let rules = columns(table).map(|column| Rule { column, range: Range::of(column) }).collect();
        let is_bar = table.columns.iter().any(|column| column.name == "high");
        let (file, guard) = (String::new(), Guard::Refuse);
        Out { table, rules, is_bar, sink, file, policy, guard, rates: None, rows: 0, bad: 0, first_bad: None }
    }

    /// Says whether rows are taken that look like a mistake, and where maintenance margin rates come from.
    pub fn with(self, guard: Guard, rates: &'a Rates<'a>) -> Out<'a> {
        Out { guard, rates: Some(rates), ..self }
    }

    /// Whether rows that look like a mistake are refused.
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// Says which file is read from here on.
    pub fn begin(&mut self, file: &str) {
        file.clone_into(&mut self.file);
    }

    /// Takes a row, if it can be used.
    ///
    /// # Errors
    ///
    /// It cannot be used and bad rows are errors, or it cannot be kept.
    pub fn push(&mut self, line: u64, row: &Row<'_>) -> Result<()> {
        match self.check(row) {
            Ok(()) => {
                self.rows += 1;
                match row.values {
                    // Readers say what is printed; what it means for the trigger is the same on every exchange.
                    [Value::Text(side), Value::Null, Value::Number(bankruptcy), size, usd]
                        if std::ptr::eq(self.table, &LIQUIDATIONS) =>
                    {
                        let (rate, whose) = match (self.rates, size) {
                            (Some(rates), Value::Number(size)) => {
                                rates.rate(row.exchange, row.symbol, row.ts, *size, *bankruptcy)?
                            }
                            _ => (USUAL_RATE, RateOf::Usual),
                        };
                        let price = trigger(*bankruptcy, side, is_inverse(row.symbol), rate);
                        let [price, bankruptcy] = [price, *bankruptcy].map(Value::Number);
                        self.sink.note_rate(row, whose);
                        self.sink.take(&Row { values: &[Value::Text(side), price, bankruptcy, *size, *usd], ..*row })
                    }
                    _ => self.sink.take(row),
                }
            }
            Err(bad) => self.refuse(line, &bad),
        }
    }

    /// Takes a row of open interest, if it can be used, whose file also says what all of it is worth.
    ///
    /// # Errors
    ///
    /// As [`Out::push`].
    pub fn push_with_value(&mut self, line: u64, row: &Row<'_>, value: Option<f64>) -> Result<()> {
        let before = self.rows;
        self.push(line, row)?;
        if let ([Value::Number(amount)], Some(value)) = (row.values, value)
            && self.rows > before
            && *amount > 0.0
            && value > 0.0
        {
            self.sink.note_worth(row, value / amount);
        }
        Ok(())
    }

    /// Takes what could be read of an entry of an answer or a message, so that its other entries are read in any case.
    ///
    /// # Errors
    ///
    /// As [`Out::push`].
    pub fn give<const N: usize>(&mut self, line: u64, exchange: &str, entry: Result<Entry<N>, BadRow>) -> Result<()> {
        match entry {
            Ok(Entry { symbol, ts, identity, values }) => {
                self.push(line, &Row { exchange, symbol: &symbol, ts, identity, values: &values })
            }
            Err(bad) => self.refuse(line, &bad),
        }
    }

    /// Leaves out a line.
    ///
    /// # Errors
    ///
    /// Bad rows are errors.
    pub fn refuse(&mut self, line: u64, bad: &BadRow) -> Result<()> {
        let message = format!("{}:{line}: {}", self.file, bad.0);
        if self.policy == BadRows::Error {
            return Err(Error::new(format!("{message} (--on-bad-rows skip leaves such rows out)")));
        }
        self.bad += 1;
        self.first_bad.get_or_insert(message);
        Ok(())
    }

    fn check(&self, row: &Row<'_>) -> Result<(), BadRow> {
        if !PLAUSIBLE_MS.contains(&row.ts) {
            return Err(BadRow::new("ts", "an instant between 2009 and 2100", format!("{} ms", row.ts)));
        }
        for (name, value) in [("exchange", row.exchange), ("symbol", row.symbol)] {
            let is_usable = !value.is_empty()
                && value.len() <= LONGEST_NAME
                && !value.starts_with('.')
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
            if !is_usable {
                return Err(BadRow::new(name, "at most 64 letters, digits, '_', '-' or '.'", value));
            }
        }
        for (Rule { column, range }, value) in self.rules.iter().zip(row.values) {
            match (value, column.kind) {
                (Value::Number(number), Kind::Number) if range.has(*number) => {}
                (Value::Number(number), Kind::Number) => {
                    return Err(BadRow::new(column.name, range.allowed(), number));
                }
                (Value::Text(_), Kind::Text) => {}
                (Value::Null, _) if column.optional => {}
                (Value::Null, _) => return Err(BadRow::new(column.name, "there", "empty")),
                (value, _) => return Err(BadRow::new(column.name, column.kind.expected(), format!("{value:?}"))),
            }
        }
        if self.is_bar
            && let [Value::Number(open), Value::Number(high), Value::Number(low), Value::Number(close), ..] = row.values
            && (high < low || open.max(*close) > *high || open.min(*close) < *low)
        {
            return Err(BadRow(format!("open {open} and close {close} must lie between low {low} and high {high}")));
        }
        Ok(())
    }
}

/// The columns of a table that a row's values are of: all but its time and its key.
pub fn columns(table: &'static Table) -> impl Iterator<Item = &'static Column> {
    let time = time_column(table);
    table.columns.iter().filter(move |column| !matches!(column.name, "exchange" | "symbol") && column.name != time)
}

/// The name of the column by which a table is sorted.
pub fn time_column(table: &'static Table) -> &'static str {
    table.columns.iter().find(|column| column.kind == Kind::Time).map_or("ts", |column| column.name)
}

/// How a file writes instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// Microseconds since the epoch.
    Microseconds,
    /// Nanoseconds since the epoch.
    Nanoseconds,
    /// A date and a time.
    Text,
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeUnit::Seconds => "s",
            TimeUnit::Milliseconds => "ms",
            TimeUnit::Microseconds => "µs",
            TimeUnit::Nanoseconds => "ns",
            TimeUnit::Text => "a date and a time",
        })
    }
}

/// Milliseconds of an instant: a number of s, ms, µs or ns, which its size tells apart, or `2026-01-31 12:00:00`, in UTC
/// where no zone is said (`+02:00`).
///
/// Files change their unit over the years (Binance's spot archive from ms to µs in 2025), so no reader may assume one.
pub fn instant(text: &str) -> Option<i64> {
    instant_and_unit(text).map(|(ts, _)| ts)
}

/// Milliseconds of an instant, and how it is written.
pub fn instant_and_unit(text: &str) -> Option<(i64, TimeUnit)> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(match number.unsigned_abs() {
            0..100_000_000_000 => (number * 1_000, TimeUnit::Seconds),
            100_000_000_000..100_000_000_000_000 => (number, TimeUnit::Milliseconds),
            100_000_000_000_000..100_000_000_000_000_000 => (number / 1_000, TimeUnit::Microseconds),
            _ => (number / 1_000_000, TimeUnit::Nanoseconds),
        });
    }
    if let Ok(seconds) = text.parse::<f64>()
        && (0.0..1e11).contains(&seconds)
    {
        return Some(((seconds * 1e3).round() as i64, TimeUnit::Seconds));
    }
    let text = text.trim_end_matches('Z').replacen('T', " ", 1);
    let in_utc = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| chrono::NaiveDateTime::parse_from_str(&text, format).ok())
        .map(|time| time.and_utc().timestamp_millis());
    let zoned = || chrono::DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%:z").ok();
    let ts = in_utc.or_else(|| zoned().map(|time| time.timestamp_millis()))?;
    Some((ts, TimeUnit::Text))
}

/// The first day in a name, `2026-01-31` or `20260131`, as milliseconds.
pub fn day_in(name: &str) -> Option<i64> {
    let date = |at: usize| {
        let starts = at == 0 || !name.as_bytes()[at - 1].is_ascii_digit();
        let text = |length: usize| {
            let text = name.get(at..at + length)?;
            let ends = !name.as_bytes().get(at + length).is_some_and(u8::is_ascii_digit);
            (starts && ends && text.starts_with("20")).then_some(text)
        };
        let dashed = text(10).and_then(|text| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
        dashed.or_else(|| text(8).and_then(|text| chrono::NaiveDate::parse_from_str(text, "%Y%m%d").ok()))
    };
    let day = (0..name.len()).find_map(date)?;
    day.and_hms_opt(0, 0, 0).map(|time| time.and_utc().timestamp_millis())
}

/// Checks that a row is of the market for which its file is named, if it is named for one.
///
/// # Errors
///
/// It is of another.
pub fn check_named(named: Option<&str>, column: &str, name: &str) -> Result<(), BadRow> {
    match named {
        Some(named) if canonical(named) != canonical(name) => {
            Err(BadRow::new(column, &format!("{named}, for which the file is named"), name))
        }
        _ => Ok(()),
    }
}

/// The day since when an answer without a date is known, which the file's name must hold.
///
/// # Errors
///
/// The name holds no day; `example` is one that does.
pub fn day_of(source: &Source<'_>, example: &str) -> Result<i64> {
    day_in(&source.file).ok_or_else(|| {
        Error::new(format!(
            "{}: the answer holds no date: put the day since when it is known into the file's name, as in {example}",
            source.name
        ))
    })
}

/// An identity of bytes, of a line or an id: what is equal has the same.
pub fn identity_of(bytes: &[u8]) -> u64 {
    // FNV-1a: the same on every platform and in every version.
    let hash =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash & MAX_IDENTITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_found_in_names() {
        for name in ["leverageBracket-2026-01-31.json", "20260131.json", "a-20260131-b", "2026-01-31"] {
            assert_eq!(day_in(name), Some(1_769_817_600_000), "{name}");
        }
        for name in ["a.json", "120260131", "2026-13-01", "BTCUSDT-2026-01", "ü2026"] {
            assert_eq!(day_in(name), None, "{name}");
        }
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        for text in [
            "1767225600",
            "1767225600000",
            "1767225600000000",
            "1767225600000000000",
            "1767225600.0",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00Z",
            " 1767225600000 ",
            "2026-01-01 00:00:00.000",
            "2026-01-01 00:00:00+00:00",
            "2026-01-01T02:00:00.000+02:00",
        ] {
            assert_eq!(instant(text), Some(1_767_225_600_000), "{text}");
        }
        assert_eq!(instant("1739502302.9294"), Some(1_739_502_302_929));
        for text in ["", "x", "NaN", "inf", "-", "2026-13-01 00:00:00", "1e30"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}

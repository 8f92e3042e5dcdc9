//! Rows that look like a mistake of units, which nothing later would notice: a heatmap of them looks like any other.
//!
//! In: the rows of one key in order of time, those of the root among the new ones. Out: nothing, or an error that names the
//! key, both values, and what may be wrong. What is watched:
//!
//! | table | refused |
//! |---|---|
//! | candles, trades, liquidations | a price several times the one before it: other units (1000PEPE and PEPE), another market |
//! | candles | bars less than a second apart: a time in another unit; bars that are not as far apart as the file's name says |
//! | open interest | new rows beside steady ones of the root that are about twice, half or many times as much: both sides, or contracts |
//! | open interest | a value that, divided by the amount, is not the price of the root's candles |
//!
//! Only pairs with a new row are looked at, so what was once accepted is not asked about again. Each limit is far from what
//! markets do, and a limit that is wrong for a market can be passed: `Settings::trust`.

use std::collections::VecDeque;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use chrono::DateTime;

use super::settlement::HOUR_MS;
use crate::error::{Error, Result};
use crate::market::tables::Table;

const DAY_MS: i64 = 24 * HOUR_MS;

/// Whether rows that look like a mistake are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// They end the work.
    Refuse,
    /// They are taken as they are.
    Trust,
}

/// The end of every refusal.
const HOW_TO_TRUST: &str = "(--trust takes the rows as they are)";

/// What is watched of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Watched {
    /// The value of a row that is compared with the row before.
    enters: &'static str,
    /// The value with which the next row is compared.
    leaves: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// A price that from row to row is less than this many times the one before.
    Price { factor: f64, is_bar: bool },
    /// A quantity that changes by itself, but not where the root's rows end.
    Quantity,
}

/// Close to open is continuous whatever the step; a price differs by days without rows.
fn watched(table: &Table) -> Option<Watched> {
    let price = |enters, leaves, factor, is_bar| Watched { enters, leaves, kind: Kind::Price { factor, is_bar } };
    Some(match table.name {
        "candles" | "daily_candles" => price("open", "close", 5.0, true),
        "trades" => price("price", "price", 5.0, false),
        // Positions with little leverage or with much beside them are bankrupt far from the market.
        "liquidations" => price("price", "price", 30.0, false),
        "open_interest" => Watched { enters: "open_interest", leaves: "open_interest", kind: Kind::Quantity },
        _ => return None,
    })
}

/// Times of rows further apart than a day may differ by more: by this power of the days between them.
const DRIFT: f64 = 0.7;

/// Rows of a quantity that are remembered, of the root and of the files each.
pub(super) const REMEMBERED: usize = 12;
/// How many of them there must be.
const NEEDED: usize = 2;
/// How much the largest of them may exceed the smallest, so that a step beside them means something.
const STEADY: f64 = 1.3;
/// What counts as twice: both sides instead of one.
const TWICE: std::ops::RangeInclusive<f64> = 1.75..=2.3;
/// What counts as many times: contracts instead of base units.
const MANY: f64 = 5.0;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    ts: i64,
    value: f64,
    is_new: bool,
}

/// Watches the rows of one key.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    /// `candles of binance BTCUSDT`.
    name: String,
    last: Option<Point>,
    /// Of the root, of the files.
    remembered: [VecDeque<Point>; 2],
}

impl Watch {
    /// Begins with a key; `None` if nothing of this table is watched.
    pub fn of(table: &Table, exchange: &str, symbol: &str) -> Option<Watch> {
        let name = format!("{} of {exchange} {symbol}", table.name.replace('_', " "));
        watched(table).map(|watched| Watch { watched, name, last: None, remembered: Default::default() })
    }

    /// The columns that are looked at.
    pub fn columns(&self) -> [&'static str; 3] {
        ["ts", self.watched.enters, self.watched.leaves]
    }

    /// Looks at the rows that follow in time.
    ///
    /// # Errors
    ///
    /// They look like a mistake.
    pub fn see(&mut self, batch: &RecordBatch, is_new: impl Fn(usize) -> bool) -> Result<()> {
        let (Some(times), Some(enters), Some(leaves)) = (
            batch.column_by_name("ts").and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>()),
            numbers(batch, self.watched.enters),
            numbers(batch, self.watched.leaves),
        ) else {
            return Ok(());
        };
        for row in 0..batch.num_rows() {
            if enters.is_null(row) || leaves.is_null(row) {
                continue;
            }
            let point = Point { ts: times.value(row), value: enters.value(row), is_new: is_new(row) };
            match (self.watched.kind, self.last) {
                (Kind::Quantity, _) => self.check_quantities(point)?,
                (Kind::Price { factor, is_bar }, Some(last)) if last.is_new || point.is_new => {
                    self.check_prices(last, point, factor, is_bar)?;
                }
                _ => {}
            }
            self.last = Some(Point { value: leaves.value(row), ..point });
        }
        Ok(())
    }

    /// Looks at a row of the root and the one that takes its place.
    ///
    /// # Errors
    ///
    /// It looks like a mistake.
    pub fn replaced(&self, batch: &RecordBatch, old: usize, new: usize) -> Result<()> {
        let times = batch.column_by_name("ts").and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let (Some(times), Some(values)) = (times, numbers(batch, self.watched.enters)) else { return Ok(()) };
        let point = |row: usize, is_new| Point { ts: times.value(row), value: values.value(row), is_new };
        let (old, new) = (point(old, false), point(new, true));
        match self.watched.kind {
            Kind::Price { factor, .. } => self.check_price(old, new, factor),
            Kind::Quantity => self.check_quantity(old, new),
        }
    }

    fn check_prices(&self, last: Point, point: Point, factor: f64, is_bar: bool) -> Result<()> {
        let step = point.ts - last.ts;
        if is_bar && step > 0 && step < 1_000 {
            return Err(self.refusal(format!(
                "two bars are {step} ms apart, at {} and {}: is their time in another unit?",
                shown(last.ts),
                shown(point.ts)
            )));
        }
        self.check_price(last, point, factor)
    }

    fn check_price(&self, last: Point, point: Point, factor: f64) -> Result<()> {
        let times = times(last.value, point.value);
        let days = (point.ts - last.ts) as f64 / DAY_MS as f64;
        if times < factor || times < factor * days.max(1.0).powf(DRIFT) {
            return Ok(());
        }
        let allowed = factor * days.max(1.0).powf(DRIFT);
        Err(self.refusal(format!(
            "the price {} at {} and {} at {} differ {times:.4} times, allowed are {allowed:.0}: is one of them in another \
             unit, or of another market?",
            last.value,
            shown(last.ts),
            point.value,
            shown(point.ts)
        )))
    }

    /// Remembers a row, and compares the latest ones of the root with the latest ones of the files.
    fn check_quantities(&mut self, point: Point) -> Result<()> {
        let remembered = &mut self.remembered[usize::from(point.is_new)];
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(point);
        let [of_root, of_files] = &self.remembered;
        let (ours, others) = if point.is_new { (of_files, of_root) } else { (of_root, of_files) };
        let (Some(ours), Some(others)) = (steady(ours), steady(others)) else { return Ok(()) };
        // Beside each other: no further apart than some steps, so that the market itself has not moved.
        let near = (3 * ours.step.max(others.step)).clamp(6 * HOUR_MS, 3 * DAY_MS);
        if ours.first.saturating_sub(others.last) > near {
            return Ok(());
        }
        let (root, new) = if point.is_new { (others, ours) } else { (ours, others) };
        let at = |rows: Steady, is_new| Point { ts: rows.last, value: rows.middle, is_new };
        self.check_quantity(at(root, false), at(new, true))
    }

    /// Compares what the root has with what is new.
    fn check_quantity(&self, root: Point, new: Point) -> Result<()> {
        let times = times(root.value, new.value);
        if !(TWICE.contains(&times) || times >= MANY) {
            return Ok(());
        }
        let is_more = new.value > root.value;
        let why = match (times >= MANY, is_more) {
            (true, _) => "contracts, quote or another unit instead of base units?",
            (false, true) => "do the new rows count both sides instead of one?",
            (false, false) => "do the rows of the root count both sides instead of one?",
        };
        Err(self.refusal(format!(
            "the root has {} until {}, the new rows {} at {}, {times:.4} times: {why}",
            root.value,
            shown(root.ts),
            new.value,
            shown(new.ts)
        )))
    }

    /// Compares values per amount with prices of the same instants, of which half must be alike.
    ///
    /// # Errors
    ///
    /// They are not: the amounts are not base units of one side.
    pub fn worth(&self, pairs: &[Worth]) -> Result<()> {
        let mut ratios: Vec<(f64, &Worth)> = pairs.iter().map(|worth| (worth.implied / worth.price, worth)).collect();
        ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
        let Some((ratio, worth)) = ratios.get(ratios.len() / 2) else { return Ok(()) };
        if (0.75..=1.33).contains(ratio) {
            return Ok(());
        }
        let why = match *ratio {
            0.4..0.6 => "do the amounts count both sides instead of one?",
            1.7..2.4 => "do the values count both sides instead of one?",
            _ => "are the amounts contracts, or another unit, instead of base units?",
        };
        Err(self.refusal(format!(
            "the value is {} per unit at {}, and the candles of the root say {}: {why}",
            worth.implied,
            shown(worth.ts),
            worth.price
        )))
    }

    fn refusal(&self, what: String) -> Error {
        Error::new(format!("{}: {what} {HOW_TO_TRUST}", self.name))
    }
}

/// What a unit of open interest is worth, as its file says, and the price of that instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// Milliseconds.
    pub ts: i64,
    /// Value / amount.
    pub implied: f64,
    /// Of the candle.
    pub price: f64,
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a Float64Array> {
    batch.column_by_name(name)?.as_primitive_opt::<Float64Type>()
}

/// How many times the smaller the larger is; values that are not positive say nothing.
fn times(one: f64, other: f64) -> f64 {
    if one > 0.0 && other > 0.0 { (one / other).max(other / one) } else { 1.0 }
}

/// Rows that hardly differ.
#[derive(Debug, Clone, Copy)]
struct Steady {
    first: i64,
    last: i64,
    step: i64,
    middle: f64,
}

fn steady(points: &VecDeque<Point>) -> Option<Steady> {
    let (first, last) = (points.front()?.ts, points.back()?.ts);
    let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
    values.sort_by(f64::total_cmp);
    let (smallest, largest) = (values.first()?, values.last()?);
    let is_steady = values.len() >= NEEDED && *smallest > 0.0 && largest / smallest < STEADY;
    let step = (last - first) / (values.len() as i64 - 1).max(1);
    is_steady.then(|| Steady { first, last, step, middle: values[values.len() / 2] })
}

fn shown(ts: i64) -> String {
    DateTime::from_timestamp_millis(ts)
        .map_or_else(|| format!("{ts} ms"), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The distance of the bars of a file, compared with what its name says: `BTCUSDT-1m-2026-01.csv`.
#[derive(Debug)]
pub struct Steps {
    /// What the name says, and its milliseconds.
    named: Option<(String, i64)>,
    last: Option<i64>,
    /// Distances that are as the name says, and others.
    right: u64,
    wrong: u64,
    /// The first of the others.
    other: i64,
}

/// Distances without which nothing is said: a file of two bars may have a gap between them.
const DISTANCES_NEEDED: u64 = 4;

impl Steps {
    /// Begins with the name of a file; without an interval between its parts nothing is refused.
    pub fn named(file: &str) -> Steps {
        let named = file.split(['-', '_', '.']).find_map(|part| Some((part.to_owned(), interval_ms(part)?)));
        Steps { named, last: None, right: 0, wrong: 0, other: 0 }
    }

    /// Looks at the next bar.
    pub fn see(&mut self, ts: i64) {
        let distance = self.last.replace(ts).map(|last| (ts - last).abs());
        let (Some((_, step)), Some(distance)) = (&self.named, distance.filter(|distance| *distance > 0)) else {
            return;
        };
        if distance == *step {
            self.right += 1;
        } else {
            self.wrong += 1;
            self.other = if self.wrong == 1 { distance } else { self.other };
        }
    }

    /// Says whether most bars were as far apart as the name says.
    ///
    /// # Errors
    ///
    /// They were not.
    pub fn check(&self, file: &str, guard: Guard) -> Result<()> {
        let is_right = self.right >= self.wrong || self.right + self.wrong < DISTANCES_NEEDED;
        match &self.named {
            Some((name, _)) if !is_right && guard == Guard::Refuse => Err(Error::new(format!(
                "{file}: is named for bars of {name}, and {} of {} are another distance apart, {} s: is it another file? \
                 {HOW_TO_TRUST}",
                self.wrong,
                self.right + self.wrong,
                self.other as f64 / 1e3
            ))),
            _ => Ok(()),
        }
    }
}

/// Milliseconds of `1m`, `4h`, `1d` or `1w`; months have no fixed length.
fn interval_ms(name: &str) -> Option<i64> {
    let unit = match name.bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => HOUR_MS,
        b'd' => DAY_MS,
        b'w' => 7 * DAY_MS,
        _ => return None,
    };
    let count: i64 = name.get(..name.len() - 1)?.parse().ok()?;
    (1..=60).contains(&count).then_some(count * unit)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::super::find_reader;
    use super::super::job::{Folder, Job};
    use super::super::reading::{BadRows, Settings};
    use super::super::spool::KeySummary;
    use super::*;

    /// 2026-01-01 00:00 UTC.
    const START: i64 = 1_767_225_600_000;
    const MINUTE: i64 = 60_000;

    /// Ingests a text as a file of Binance's archive.
    fn ingest(root: &Path, kind: &str, name: &str, text: &str, trust: bool) -> Result<KeySummary> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let place = Folder { root: root.to_owned() };
        let job = Job {
            reader: find_reader("binance", kind).unwrap(),
            files: &[file],
            settings: Settings { trust, ..Settings::default() },
            bad_rows: BadRows::Error,
            dry_run: false,
            scratch: place.scratch(),
            progress: Arc::default(),
        };
        Ok(job.run(&place)?.keys.into_values().next().unwrap())
    }

    /// Bars of this step from a minute on, whose price is about this.
    fn klines(from: i64, count: i64, step: i64, price: f64) -> String {
        let bar = |bar: i64| {
            let (ts, open) = (START + (from + bar * step) * MINUTE, price * (1.0 + 0.001 * bar as f64));
            let close = open * 1.001;
            format!("{ts},{open},{close},{open},{close},10,0,0,0,0,0,0\n")
        };
        (0..count).map(bar).collect()
    }

    /// That a second file is refused with these words, and taken if it is trusted; `None` if it is taken in any case.
    fn after(
        [kind, name]: [&str; 2],
        first: &str,
        [other_kind, other_name]: [&str; 2],
        second: &str,
        refusal: Option<&str>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        if !first.is_empty() {
            ingest(&root, kind, name, first, false).unwrap();
        }
        let taken = ingest(&root, other_kind, other_name, second, false);
        match refusal {
            None => drop(taken.unwrap()),
            Some(refusal) => {
                let error = taken.unwrap_err().to_string();
                assert!(error.contains(refusal) && error.contains("--trust"), "{error}");
                assert!(!error.contains('\n'));
                ingest(&root, other_kind, other_name, second, true).unwrap();
            }
        }
    }

    const KLINES: [&str; 2] = ["klines", "PEPEUSDT-1m-2026-01.csv"];

    #[test]
    fn prices_in_another_unit_are_refused() {
        let first = klines(0, 60, 1, 0.01);
        let of = |from: i64, price: f64| klines(from, 60, 1, price);
        let jump = Some("candles of binance PEPEUSDT: the price 0.0106");
        // 1000PEPE right behind PEPE, before it, in place of it, and a month later.
        after(KLINES, &first, KLINES, &of(60, 10.0), jump);
        after(KLINES, &first, KLINES, &of(-60, 10.0), Some("the price 10.6"));
        after(KLINES, &first, KLINES, &of(0, 10.0), Some("differ 1000.0000 times, allowed are 5"));
        after(
            KLINES,
            &first,
            KLINES,
            &of(30 * 1_440, 10.0),
            Some("is one of them in another unit, or of another market?"),
        );
        // Within one file, and between the years, which are two files.
        after(KLINES, "", KLINES, &format!("{first}{}", of(60, 10.0)), jump);
        after(KLINES, "", KLINES, &format!("{}{}", of(-60, 10.0), first), Some("the price 10.6"));
        // What markets do: half or three times as much over night, ten times in a quarter, anything after years.
        after(KLINES, &first, KLINES, &of(60, 0.03), None);
        after(KLINES, &first, KLINES, &of(90 * 1_440, 0.1), None);
        after(KLINES, &first, KLINES, &of(-1_000 * 1_440, 1.0), None);
    }

    #[test]
    fn what_was_trusted_once_is_not_asked_about_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for (name, text) in [(KLINES, klines(0, 60, 1, 0.01)), (KLINES, klines(60, 60, 1, 10.0))] {
            ingest(&root, name[0], name[1], &text, true).unwrap();
        }
        assert_eq!(ingest(&root, KLINES[0], KLINES[1], &klines(60, 60, 1, 10.0), false).unwrap().files, 0);
        ingest(&root, KLINES[0], KLINES[1], &klines(120, 60, 1, 10.0), false).unwrap();
    }

    #[test]
    fn trades_and_liquidations_are_watched_too() {
        let trades = |from: i64, count: i64, price: f64| -> String {
            let trade = |id: i64| format!("{id},{price},1,{id},{id},{},true\n", START + id * 1_000);
            (from..from + count).map(trade).collect()
        };
        let kind = ["aggTrades", "PEPEUSDT-aggTrades-2026-01.csv"];
        let refusal = Some("trades of binance PEPEUSDT: the price 0.01 at 2026-01-01 00:01:39 and 10 at");
        after(kind, "", kind, &[trades(0, 100, 0.01), trades(100, 100, 10.0)].concat(), refusal);
        after(kind, &trades(0, 100, 0.01), kind, &trades(100, 9, 10.0), refusal);
        // On the next day, in another file of the root.
        after(kind, &trades(0, 100, 0.01), kind, &trades(86_400, 9, 10.0), refusal);
        after(kind, &trades(0, 100, 0.01), kind, &trades(100, 9, 0.012), None);

        let order = |second: i64, price: f64| {
            let ts = START + second * 1_000;
            format!(r#"{{"o":{{"s":"PEPEUSDT","S":"SELL","q":"1","p":"{price}","T":{ts}}}}}"#)
        };
        let kind = ["forceOrder", "stream.jsonl"];
        after(kind, &order(0, 0.01), kind, &order(1, 10.0), Some("liquidations of binance PEPEUSDT"));
        after(kind, &order(0, 0.01), kind, &order(1, 0.1), None);
    }

    #[test]
    fn bars_fit_their_time() {
        let name = ["klines", "BTCUSDT-5m-2026-01.csv"];
        after(name, "", name, &klines(0, 60, 5, 100.0), None);
        let refusal = "BTCUSDT-5m-2026-01.csv: is named for bars of 5m, and 59 of 59 are another distance apart, 60 s";
        after(name, "", name, &klines(0, 60, 1, 100.0), Some(refusal));
        // Gaps, and names without an interval or with one of no fixed length.
        after(
            name,
            "",
            name,
            &[klines(0, 9, 5, 100.0), klines(90, 9, 5, 100.0), klines(900, 9, 5, 100.0)].concat(),
            None,
        );
        for file in ["BTCUSDT-1mo-2026.csv", "BTCUSDT-a.csv"] {
            after(name, "", ["klines", file], &klines(0, 60, 7, 100.0), None);
        }
        let bars: String = (0..9).map(|bar| format!("{},1,1,1,1,1,0,0,0,0,0,0\n", START + bar)).collect();
        after(name, "", ["klines", "BTCUSDT-a.csv"], &bars, Some("two bars are 1 ms apart"));
        // One file in ms and µs.
        let mixed = klines(0, 60, 5, 100.0) + &klines(300, 9, 5, 100.0).replace("00000,", "00000000,");
        let refusal = "'open_time' must be ms as in the rows before (--trust takes it as µs), was '1767243600000000'";
        after(name, "", name, &mixed, Some(refusal));
    }

    const METRICS: [&str; 2] = ["metrics", "BTCUSDT-metrics-2026-01.csv"];

    /// Open interest every five minutes from a minute on: amounts that vary a little, and what a unit is worth.
    fn metrics(from: i64, count: i64, amount: f64, worth: f64) -> String {
        let row = |row: i64| {
            let ts = DateTime::from_timestamp_millis(START + (from + row * 5) * MINUTE).unwrap();
            let amount = amount * (1.0 + 0.01 * (row % 3) as f64);
            format!("{},BTCUSDT,{amount},{},1,1,1,1\n", ts.format("%Y-%m-%d %H:%M:%S"), amount * worth)
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn open_interest_of_both_sides_or_in_contracts_is_refused() {
        let first = metrics(0, 100, 80_000.0, 1.0);
        let of = |from: i64, amount: f64| metrics(from, 100, amount, 1.0);
        let both = Some("do the new rows count both sides instead of one?");
        // Right behind, before, in place of, and between the rows of the root.
        after(METRICS, &first, METRICS, &of(500, 160_000.0), both);
        after(METRICS, &first, METRICS, &of(-500, 160_000.0), both);
        after(METRICS, &first, METRICS, &of(0, 160_000.0), both);
        after(METRICS, &first, METRICS, &of(2, 160_000.0), both);
        after(METRICS, &first, METRICS, &of(500, 40_000.0), Some("do the rows of the root count both sides"));
        after(METRICS, &first, METRICS, &of(500, 8e6), Some("contracts, quote or another unit"));
        after(METRICS, &first, METRICS, &of(500, 8e6), Some("open interest of binance BTCUSDT: the root has 80"));
        // In the file of the year before.
        after(METRICS, &metrics(-500, 100, 80_000.0, 1.0), METRICS, &of(0, 160_000.0), both);
        // What markets do: half as much more, twice as much after days, and a new market that grows from nothing.
        after(METRICS, &first, METRICS, &of(500, 120_000.0), None);
        after(METRICS, &first, METRICS, &of(10 * 1_440, 160_000.0), None);
        let grows: String = (0..12).map(|row| metrics(row * 5, 1, 2f64.powi(row as i32), 1.0)).collect();
        after(METRICS, &grows, METRICS, &of(60, 8_000.0), None);
        after(METRICS, "", METRICS, &[grows, of(60, 8_000.0)].concat(), None);
    }

    #[test]
    fn values_of_open_interest_are_compared_with_candles() {
        let flat = |price: f64| -> String {
            let bar = |bar: i64| format!("{},{price},{price},{price},{price},1,0,0,0,0,0,0\n", START + bar * MINUTE);
            (0..3 * 1_440).map(bar).collect()
        };
        let named = ["klines", "BTCUSDT-1m-2026-01.csv"];
        let of = |worth: f64| metrics(0, 3 * 288, 80_000.0, worth);
        after(named, &flat(50_000.0), METRICS, &of(50_400.0), None);
        let refusal = "the value is 25000 per unit at 2026-01-02 00:00:00, and the candles of the root say 50000: do the amounts \
             count both sides";
        after(named, &flat(50_000.0), METRICS, &of(25_000.0), Some(refusal));
        after(named, &flat(50_000.0), METRICS, &of(100_000.0), Some("do the values count both sides"));
        after(named, &flat(50_000.0), METRICS, &of(500.0), Some("are the amounts contracts, or another unit"));
        // Without candles of these days nothing can be said.
        after(named, "", METRICS, &of(500.0), None);
        after(named, &flat(50_000.0), METRICS, &metrics(30 * 1_440, 288, 80_000.0, 500.0), None);
    }
}

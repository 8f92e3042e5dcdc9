//! The price at which a position was liquidated, of a print that states the price at which its margin was used up.
//!
//! In: the bankruptcy price that most exchanges print, the side, the kind of contract, and a maintenance margin rate. Out: the
//! trigger. A position is liquidated where its equity is the maintenance margin, and bankrupt where it is nothing; between
//! the two lies the margin, so linear trigger = bankruptcy / (1 − s·rate), inverse = bankruptcy × (1 + s·rate), with s = +1 of
//! a long and −1 of a short. Not to convert would move every level by the rate, which is more than the whole distance to
//! liquidation at 100x.
//!
//! The rate is that of the exchange's brackets ([`Tiers`]) where they are known for the symbol at the instant, and otherwise
//! [`USUAL_RATE`]. The bracket is that of the quantity which was printed; where an exchange closes a position in parts, the
//! position was larger and its rate may have been higher.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMillisecondType};

use crate::error::{Error, Result};
use crate::market::tables::{LEVERAGE_TIERS, time_type};

/// The maintenance margin rate of the first bracket of the large coins, where no bracket is known: 0.4 %.
pub const USUAL_RATE: f64 = 0.004;

/// The trigger of a bankruptcy price; `side` is the position's, `long` or `short`.
///
/// ```
/// use liqsql::ingest::trigger::trigger;
/// assert_eq!(trigger(49_800.0, "long", false, 0.004), 50_000.0);
/// assert_eq!(trigger(50_000.0, "long", true, 0.004), 50_200.0);
/// ```
pub fn trigger(bankruptcy: f64, side: &str, is_inverse: bool, rate: f64) -> f64 {
    let sign = if side == "long" { 1.0 } else { -1.0 };
    if is_inverse { bankruptcy * (1.0 + sign * rate) } else { bankruptcy / (1.0 - sign * rate) }
}

/// Whose maintenance margin rate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateOf {
    /// That of the exchange's bracket.
    Tier,
    /// The usual one.
    Usual,
}

/// What a bracket's floor counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// Quantity × price.
    Quote,
    /// Quantity.
    Base,
    /// Quantity / this many base units.
    Contracts(f64),
}

/// A margin bracket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tier {
    /// The first instant at which it is known, in milliseconds.
    pub known_since: i64,
    /// What the floor counts.
    pub unit: Unit,
    /// From here on.
    pub floor: f64,
    /// Fraction of the notional.
    pub rate: f64,
    /// Deducted from notional × rate, in the unit of the floor.
    pub deducted: f64,
}

/// The brackets of each exchange and symbol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tiers {
    of_key: BTreeMap<(String, String), Vec<Tier>>,
}

impl Tiers {
    /// Adds brackets of a market, in any order.
    pub fn add(&mut self, exchange: &str, symbol: &str, tiers: impl IntoIterator<Item = Tier>) {
        let of_key = self.of_key.entry((exchange.to_owned(), symbol.to_owned())).or_default();
        of_key.extend(tiers);
        of_key.sort_by(|one, other| one.known_since.cmp(&other.known_since).then(one.floor.total_cmp(&other.floor)));
    }

    /// The share of its notional that a position must hold as margin: of the brackets that were known last at that instant,
    /// that of the position's size. `None` if none was known.
    ///
    /// ```
    /// use liqsql::ingest::trigger::{Tier, Tiers, Unit};
    /// let mut tiers = Tiers::default();
    /// let tier = Tier { known_since: 0, unit: Unit::Quote, floor: 0.0, rate: 0.004, deducted: 0.0 };
    /// tiers.add("binance", "BTCUSDT", [tier, Tier { floor: 300_000.0, rate: 0.005, deducted: 300.0, ..tier }]);
    /// assert_eq!(tiers.rate("binance", "BTCUSDT", 1, 2.0, 100_000.0), Some(0.004));
    /// let of_second = tiers.rate("binance", "BTCUSDT", 1, 6.0, 100_000.0).unwrap_or_default();
    /// assert!((of_second - 0.0045).abs() < 1e-12); // 0.005 − 300 / 600,000
    /// assert_eq!(tiers.rate("binance", "ETHUSDT", 1, 2.0, 100_000.0), None);
    /// ```
    pub fn rate(&self, exchange: &str, symbol: &str, ts: i64, size: f64, price: f64) -> Option<f64> {
        let tiers = self.of_key.get(&(exchange.to_owned(), symbol.to_owned()))?;
        let known = tiers.get(..tiers.partition_point(|tier| tier.known_since <= ts))?;
        let since = known.last()?.known_since;
        let notional = |tier: &Tier| match tier.unit {
            Unit::Quote => size * price,
            Unit::Base => size,
            Unit::Contracts(base) => size / base,
        };
        let is_of_size = |tier: &&Tier| tier.known_since == since && tier.floor <= notional(tier);
        let tier = known.iter().rev().find(is_of_size)?;
        // What is deducted makes the requirement continuous from bracket to bracket.
        let rate = tier.rate - tier.deducted / notional(tier);
        Some(rate).filter(|rate| *rate > 0.0 && *rate < 1.0)
    }

    /// Reads rows of the table `leverage_tiers` of one exchange and symbol, without these two columns.
    ///
    /// # Errors
    ///
    /// A column is missing or of another type.
    pub fn of_rows(batch: &RecordBatch) -> Result<Vec<Tier>> {
        let column = |name: &str, data_type: &DataType| {
            let column = batch.column_by_name(name);
            let column =
                column.ok_or_else(|| Error::new(format!("{}: has no column '{name}'", LEVERAGE_TIERS.name)))?;
            cast(column, data_type)
                .map_err(|error| Error::because(format!("{}: column '{name}'", LEVERAGE_TIERS.name), error))
        };
        let numbers = |name: &str| Ok(column(name, &DataType::Float64)?.as_primitive::<Float64Type>().clone());
        let known_since = column("known_since", &time_type())?.as_primitive::<TimestampMillisecondType>().clone();
        let units: StringViewArray = column("unit", &DataType::Utf8View)?.as_string_view().clone();
        let (floors, rates): (Float64Array, Float64Array) = (numbers("floor")?, numbers("maintenance_margin_rate")?);
        let deducted: Float64Array = numbers("maintenance_amount")?;
        let sizes: Option<Float64Array> = numbers("contract_size").ok();
        let tier = |row: usize| {
            let size = sizes.as_ref().filter(|sizes| !sizes.is_null(row)).map(|sizes| sizes.value(row));
            let unit = match (units.value(row), size) {
                ("quote_notional", _) => Unit::Quote,
                ("base", _) => Unit::Base,
                ("contracts", Some(size)) => Unit::Contracts(size),
                // A bracket whose unit is not known says nothing.
                _ => return None,
            };
            let (floor, rate, deducted) = (floors.value(row), rates.value(row), deducted.value(row));
            Some(Tier { known_since: known_since.value(row), unit, floor, rate, deducted })
        };
        Ok((0..batch.num_rows()).filter_map(tier).collect())
    }
}

/// Looks for the brackets of an exchange and a symbol.
type Load<'a> = Box<dyn Fn(&str, &str) -> Result<Vec<Tier>> + 'a>;

/// Where rates come from: what the user says, or what the root has, which is looked for once per symbol.
pub struct Rates<'a> {
    said: Option<&'a Tiers>,
    load: Load<'a>,
    loaded: RefCell<BTreeMap<(String, String), Tiers>>,
}

impl fmt::Debug for Rates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("said", &self.said).field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

impl<'a> Rates<'a> {
    /// Makes them of brackets that were said, and of a way to look for others.
    pub fn new(said: Option<&'a Tiers>, load: impl Fn(&str, &str) -> Result<Vec<Tier>> + 'a) -> Rates<'a> {
        Rates { said, load: Box::new(load), loaded: RefCell::default() }
    }

    /// The rate of a position, and whose it is.
    ///
    /// # Errors
    ///
    /// The brackets of the root cannot be read.
    pub fn rate(&self, exchange: &str, symbol: &str, ts: i64, size: f64, price: f64) -> Result<(f64, RateOf)> {
        let said = self.said.and_then(|tiers| tiers.rate(exchange, symbol, ts, size, price));
        if let Some(rate) = said {
            return Ok((rate, RateOf::Tier));
        }
        let mut loaded = self.loaded.borrow_mut();
        let tiers = match loaded.entry((exchange.to_owned(), symbol.to_owned())) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                let mut tiers = Tiers::default();
                tiers.add(exchange, symbol, (self.load)(exchange, symbol)?);
                place.insert(tiers)
            }
        };
        let found = tiers.rate(exchange, symbol, ts, size, price);
        Ok(found.map_or((USUAL_RATE, RateOf::Usual), |rate| (rate, RateOf::Tier)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::find_reader;
    use super::super::job::{Folder, Job, Summary};
    use super::super::reading::{BadRows, Settings};
    use super::*;

    fn ingest(root: &Path, kind: &str, name: &str, text: &str, tiers: Option<Tiers>) -> Summary {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let place = Folder { root: root.to_owned() };
        let job = Job {
            reader: find_reader("binance", kind).unwrap(),
            files: &[file],
            settings: Settings { tiers, ..Settings::default() },
            bad_rows: BadRows::Error,
            dry_run: false,
            scratch: place.scratch(),
            progress: Arc::default(),
        };
        job.run(&place).unwrap()
    }

    /// 2026-01-01 00:00 UTC.
    const START: i64 = 1_767_225_600_000;

    fn order(symbol: &str, ts: i64, quantity: f64) -> String {
        format!("{{\"o\":{{\"s\":\"{symbol}\",\"S\":\"SELL\",\"q\":\"{quantity}\",\"p\":\"1000\",\"T\":{ts}}}}}\n")
    }

    fn triggers(root: &Path, symbol: &str) -> Vec<f64> {
        let path = format!("liquidations/exchange=binance/symbol={symbol}/date=2026-01-01/part.parquet");
        let file = fs::File::open(root.join(path)).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let prices =
            |batch: RecordBatch| batch.column_by_name("price").unwrap().as_primitive::<Float64Type>().values().to_vec();
        batches.flat_map(|batch| prices(batch.unwrap())).map(|price| (price * 1e6).round() / 1e6).collect()
    }

    const BRACKETS: &str = r#"[{"symbol":"ALTUSDT","brackets":[
        {"notionalFloor":0,"notionalCap":5000,"maintMarginRatio":0.01,"initialLeverage":50,"cum":0},
        {"notionalFloor":5000,"notionalCap":50000,"maintMarginRatio":0.02,"initialLeverage":25,"cum":50}]}]"#;

    #[test]
    fn rates_are_those_of_the_brackets_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        ingest(root, "leverageBracket", "leverageBracket-2025-12-01.json", BRACKETS, None);
        let orders = [order("ALTUSDT", START, 2.0), order("ALTUSDT", START + 1, 10.0), order("BTCUSDT", START, 2.0)];
        let summary = ingest(root, "forceOrder", "stream.jsonl", &orders.concat(), None);
        // The second is of the second bracket: 0.02 − 50 / 10,000.
        let rounded = |rate: f64| (1_000.0 / (1.0 - rate) * 1e6).round() / 1e6;
        assert_eq!(triggers(root, "ALTUSDT"), [rounded(0.01), rounded(0.015)]);
        assert_eq!(triggers(root, "BTCUSDT"), [rounded(0.004)]);
        let counts = |symbol: &str| {
            let key = &summary.keys[&("binance".to_owned(), symbol.to_owned())];
            (key.rates_of_tiers, key.usual_rates)
        };
        assert_eq!((counts("ALTUSDT"), counts("BTCUSDT")), ((2, 0), (0, 1)));

        // Brackets that were not known yet say nothing, and what is said goes before what the root has.
        let other = tempfile::tempdir().unwrap();
        ingest(other.path(), "leverageBracket", "leverageBracket-2026-01-02.json", BRACKETS, None);
        ingest(other.path(), "forceOrder", "stream.jsonl", &orders[0], None);
        assert_eq!(triggers(other.path(), "ALTUSDT"), [rounded(0.004)]);
        let mut said = Tiers::default();
        said.add(
            "binance",
            "ALTUSDT",
            [Tier { known_since: 0, unit: Unit::Base, floor: 0.0, rate: 0.5, deducted: 0.0 }],
        );
        let third = tempfile::tempdir().unwrap();
        ingest(third.path(), "forceOrder", "stream.jsonl", &orders[0], Some(said));
        assert_eq!(triggers(third.path(), "ALTUSDT"), [2_000.0]);
    }

    #[test]
    fn brackets_count_in_their_unit_and_the_latest_known_hold() {
        let mut tiers = Tiers::default();
        let tier = |known_since: i64, unit: Unit, floor: f64, rate: f64| Tier {
            known_since,
            unit,
            floor,
            rate,
            deducted: 0.0,
        };
        tiers.add("okx", "A", [tier(5, Unit::Contracts(0.1), 100.0, 0.02), tier(5, Unit::Contracts(0.1), 0.0, 0.01)]);
        tiers.add("okx", "A", [tier(9, Unit::Base, 0.0, 0.03)]);
        let rate = |ts: i64, size: f64| tiers.rate("okx", "A", ts, size, 50_000.0);
        assert_eq!(
            [rate(4, 1.0), rate(5, 9.9), rate(8, 10.0), rate(9, 10.0)],
            [None, Some(0.01), Some(0.02), Some(0.03)]
        );
    }
}

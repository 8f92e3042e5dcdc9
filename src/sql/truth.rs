//! What became known of liquidations and positions, as the functions read it that compare a map with it.
//!
//! In: rows with ts, symbol, side and notional_usd, of realised liquidations or positions, and the price where the
//! comparison needs one. Out: the rows of each key in order of time. They are read whole, before the bars.
//!
//! Invariant: rows are in order of time, then of side, price and USD, so that their order of arrival shows nowhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::arguments::Arguments;
use super::bars::{Judge, Rows as BarRows};
use super::exec::{Start, time_text};
use super::keys::Key;
use super::model_settings::{ModelSettings, length_text};
use super::provider::{Input, Wanted};
use super::spec::{Fallback, Limits, Parameter, ParameterKind};
use crate::market::{Column, Kind, Layout};
use crate::model::book::Book;
use crate::model::replay::Replay;
use crate::model::score::hourly::HourlyReplay;
use crate::model::score::means::Resampling;
use crate::model::side::Side;

/// The relation of what became known.
pub const TRUTH: Parameter = Parameter {
    name: "truth",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "what became known: ts, exchange, symbol, side (of the position), notional_usd, and the price that 'kind' needs",
};

/// Whether truth is of one exchange.
pub const MATCH_EXCHANGE: Parameter = Parameter {
    name: "match_exchange",
    kind: ParameterKind::Boolean,
    fallback: Fallback::Value("true"),
    unit: "",
    doc: "whether truth belongs to bars of its exchange; false: to those of its symbol (truth of all exchanges together)",
};

/// What is fitted on.
pub const TRAIN: Parameter = Parameter {
    name: "train",
    kind: ParameterKind::TimeRange,
    fallback: Fallback::Derived("before test; without both the first half of the time, of kind hourly"),
    unit: "",
    doc: "time on which null models (or a mix) are fitted; to its end, exclusive",
};

/// What is scored.
pub const TEST: Parameter = Parameter {
    name: "test",
    kind: ParameterKind::TimeRange,
    fallback: Fallback::Derived("after train; without both the second half, of other kinds all"),
    unit: "",
    doc: "time that is scored; to its end, exclusive",
};

/// Draws of the bootstrap.
pub const RESAMPLES: Parameter = Parameter {
    name: "resamples",
    kind: ParameterKind::Number(Limits {
        low: 0.0,
        low_included: true,
        high: 100_000.0,
        words: "a whole number up to 100000",
    }),
    fallback: Fallback::Value("1000"),
    unit: "",
    doc: "resamples of days from which intervals are drawn; 0 for none",
};

/// Seed of the bootstrap.
pub const SEED: Parameter = Parameter {
    name: "seed",
    kind: ParameterKind::Number(Limits {
        low: 0.0,
        low_included: true,
        high: 9_007_199_254_740_991.0,
        words: "a whole number from 0 to 2^53 - 1",
    }),
    fallback: Fallback::Value("1"),
    unit: "",
    doc: "the same seed draws the same resamples",
};

/// Which price truth must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruthKind {
    /// None: sums of USD.
    Hourly,
    /// The liquidation price of positions.
    Prices,
    /// The trigger price of single orders.
    Orders,
}

macro_rules! truth_columns {
    ($exchange:expr $(, $price:literal, $doc:literal)?) => {
        const {
            &[
                Column::new("ts", Kind::Time, "", "when it happened, or was seen"),
                Column { optional: $exchange, ..Column::new("exchange", Kind::Text, "", "exchange") },
                Column::new("symbol", Kind::Text, "", "symbol"),
                Column::new("side", Kind::Text, "", "side of the position: long or short"),
                Column::new("notional_usd", Kind::Number, "USD", "value"),
                $(Column::new($price, Kind::Number, "quote per base", $doc),)?
            ] as &[Column]
        }
    };
}

/// More than any market is worth: such a row is a mistake, and the sums of such rows have no digits left.
const MOST_USD: f64 = 1e15;

const SIDE: usize = 3;
const USD: usize = 4;
const PRICE: usize = 5;

impl TruthKind {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["hourly", "prices", "orders"];

    /// Reads a name of [`TruthKind::NAMES`].
    pub fn from_name(name: &str) -> TruthKind {
        match name {
            "prices" => TruthKind::Prices,
            "orders" => TruthKind::Orders,
            _ => TruthKind::Hourly,
        }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn columns(self, match_exchange: bool) -> &'static [Column] {
        match (self, match_exchange) {
            (TruthKind::Hourly, true) => truth_columns!(false),
            (TruthKind::Hourly, false) => truth_columns!(true),
            (TruthKind::Prices, true) => truth_columns!(false, "liquidation_price", "price at which it is closed"),
            (TruthKind::Prices, false) => truth_columns!(true, "liquidation_price", "price at which it is closed"),
            (TruthKind::Orders, true) => truth_columns!(false, "price", "price at which it was triggered"),
            (TruthKind::Orders, false) => truth_columns!(true, "price", "price at which it was triggered"),
        }
    }
}

/// How truth is read and compared.
#[derive(Debug, Clone)]
pub struct TruthSettings {
    /// Which price it must have.
    pub kind: TruthKind,
    /// Whether its exchange matters.
    pub match_exchange: bool,
    /// What is fitted on, as given.
    pub train: Option<Range<i64>>,
    /// What is scored, as given.
    pub test: Option<Range<i64>>,
    /// How intervals are drawn.
    pub resampling: Resampling,
}

impl TruthSettings {
    /// Binds the arguments that all comparisons share.
    ///
    /// # Errors
    ///
    /// An argument is not as it must be, or train and test overlap.
    pub fn bind(arguments: &Arguments<'_>, kind: TruthKind) -> Result<(TruthSettings, Input)> {
        let (train, test) = (arguments.time_range("train")?, arguments.time_range("test")?);
        if let (Some(train), Some(test)) = (&train, &test)
            && train.start < test.end
            && test.start < train.end
        {
            return plan_err!(
                "{}: 'train' and 'test' must not overlap, were {} and {}",
                arguments.function(),
                range_text(train),
                range_text(test)
            );
        }
        for (name, leaves_nothing) in [
            ("train", test.is_none() && train.as_ref().is_some_and(|train| train.end == i64::MAX)),
            ("test", train.is_none() && test.as_ref().is_some_and(|test| test.start == i64::MIN)),
        ] {
            if leaves_nothing {
                let other = if name == "train" { "test" } else { "train" };
                return plan_err!("{}: '{name}' leaves no time for '{other}': give both", arguments.function());
            }
        }
        let match_exchange = arguments.boolean("match_exchange")?.unwrap_or(true);
        let resampling = Resampling {
            seed: arguments.whole_number("seed")?.unwrap_or(1) as u64,
            resamples: arguments.whole_number("resamples")?.unwrap_or(1000),
        };
        let input = Input {
            parameter: "truth",
            relation: arguments.relation("truth")?,
            wanted: Wanted::Columns(kind.columns(match_exchange)),
        };
        Ok((TruthSettings { kind, match_exchange, train, test, resampling }, input))
    }

    /// Reads the truth of a call whose inputs are those of the model, then the truth.
    ///
    /// # Errors
    ///
    /// As [`Truth::read`].
    pub fn gather(&self, function: &'static str, model: &ModelSettings, start: &Start<'_>) -> Result<Arc<Truth>> {
        let at = model.readings().len();
        let judge = Judge::new(function, model.bad_rows, start.counter("bad_rows"));
        let without_price = start.counter("truth_without_price");
        Ok(Arc::new(Truth::read(self, &start.schemas[at], &start.gathered[at], &judge, &without_price)?))
    }

    /// Returns the settings as EXPLAIN shows them.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let range = |range: &Option<Range<i64>>| range.as_ref().map_or_else(|| "derived".to_owned(), range_text);
        vec![
            ("match_exchange", self.match_exchange.to_string()),
            ("train", range(&self.train)),
            ("test", range(&self.test)),
            ("resamples", self.resampling.resamples.to_string()),
            ("seed", self.resampling.seed.to_string()),
        ]
    }

    /// Returns what is fitted on and what is scored, where a key has this truth and bars from an open to a close.
    ///
    /// One that is not given ends or begins where the other begins or ends; of none each is half, by whole days, of the
    /// time for which there are both.
    pub fn ranges(&self, truth: &[TruthRow], bars: Option<(i64, i64)>) -> (Range<i64>, Range<i64>) {
        const DAY: i64 = 86_400_000;
        let (first, end) = match (truth.first(), truth.last(), bars) {
            (Some(first), Some(last), Some((open, close))) => {
                (first.ts.max(open), last.ts.saturating_add(1).min(close))
            }
            _ => (0, 0),
        };
        match (&self.train, &self.test) {
            (Some(train), Some(test)) => (train.clone(), test.clone()),
            (Some(train), None) => (train.clone(), train.end..i64::MAX),
            (None, Some(test)) => (i64::MIN..test.start, test.clone()),
            (None, None) => {
                let end = end.max(first);
                let half = ((first + (end - first) / 2).div_euclid(DAY) * DAY).clamp(first, end);
                (first..half, half..end)
            }
        }
    }

    /// Returns what is fitted on and what is scored; neither where none was given.
    pub fn given_ranges(&self) -> (Option<Range<i64>>, Option<Range<i64>>) {
        match (&self.train, &self.test) {
            (None, None) => (None, None),
            _ => {
                let (train, test) = self.ranges(&[], None);
                (Some(train), Some(test))
            }
        }
    }
}

/// Takes a replay by the hour.
///
/// # Errors
///
/// Its bars do not divide an hour.
pub fn by_the_hour(function: &str, key: &Key, replay: Replay<Book>) -> Result<Box<HourlyReplay>> {
    let interval = replay.interval();
    match HourlyReplay::new(replay) {
        Some(replay) => Ok(Box::new(replay)),
        None => exec_err!("{function}: bars of ({key}) must divide an hour, 'interval' was {}", length_text(interval)),
    }
}

/// Writes a range as it is given.
pub fn range_text(range: &Range<i64>) -> String {
    let text = |ts: i64, open: i64| if ts == open { String::new() } else { time_text(ts) };
    format!("{}..{}", text(range.start, i64::MIN), text(range.end, i64::MAX))
}

/// One row of truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthRow {
    /// Milliseconds since the epoch.
    pub ts: i64,
    /// Of the position.
    pub side: Side,
    /// Its price, where the kind has one.
    pub price: f64,
    /// USD.
    pub usd: f64,
}

/// What became known, by key.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    rows: BTreeMap<Key, Vec<TruthRow>>,
    match_exchange: bool,
}

impl Truth {
    /// Reads the rows of the gathered relation; those without a price are counted and left out.
    ///
    /// # Errors
    ///
    /// A column is missing, or a row cannot be used and bad rows are errors.
    pub fn read(
        settings: &TruthSettings,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        judge: &Judge,
        without_price: &Count,
    ) -> Result<Truth> {
        let function = judge.function();
        let columns = settings.kind.columns(settings.match_exchange);
        let layout =
            Layout::find(columns, schema).map_err(|error| exec_datafusion_err!("{function}: 'truth' {error}"))?;
        let mut truth = Truth { rows: BTreeMap::new(), match_exchange: settings.match_exchange };
        for batch in batches {
            let rows = BarRows::try_new(function, columns, &layout, batch)?;
            for row in 0..rows.len() {
                if settings.kind != TruthKind::Hourly && rows.numbers(PRICE).is_null(row) {
                    without_price.add(1);
                    continue;
                }
                let read = || {
                    let ts = match settings.match_exchange {
                        true => rows.instant(row)?,
                        false => rows.instant_of_symbol(row)?,
                    };
                    let price = if settings.kind == TruthKind::Hourly { 0.0 } else { rows.price(row, PRICE)? };
                    let usd = rows.quantity(row, USD)?;
                    if usd > MOST_USD {
                        return Err(rows.defect(
                            row,
                            "notional_usd",
                            format!("be at most {MOST_USD:e}"),
                            format!("{usd:e}"),
                        ));
                    }
                    Ok(TruthRow { ts, side: rows.side(row, SIDE)?, price, usd })
                };
                match read() {
                    Ok(read) => truth.rows_of(rows.exchange(row), rows.symbol(row)).push(read),
                    Err(defect) => judge.judge(&defect)?,
                }
            }
        }
        for rows in truth.rows.values_mut() {
            rows.sort_by(|a, b| {
                let order = a.ts.cmp(&b.ts).then(a.side.index().cmp(&b.side.index()));
                order.then(a.price.total_cmp(&b.price)).then(a.usd.total_cmp(&b.usd))
            });
        }
        Ok(truth)
    }

    fn rows_of(&mut self, exchange: &str, symbol: &str) -> &mut Vec<TruthRow> {
        let exchange = if self.match_exchange { exchange } else { "" };
        self.rows.entry(Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() }).or_default()
    }

    /// Returns the rows that belong to the bars of a key, in order of time.
    pub fn of(&self, key: &Key) -> &[TruthRow] {
        let found = match self.match_exchange {
            true => self.rows.get(key),
            false => self.rows.get(&Key { exchange: String::new(), symbol: key.symbol.clone() }),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Returns the keys of the truth, in words, where a key of bars has none though its symbol has.
    pub fn of_others(&self, key: &Key) -> Option<String> {
        let others: Vec<String> =
            self.rows.keys().filter(|other| other.symbol == key.symbol).map(|other| format!("({other})")).collect();
        (self.of(key).is_empty() && !others.is_empty()).then(|| others.join(", "))
    }

    /// Returns the bytes that the rows of a key take.
    pub fn memory(&self, key: &Key) -> usize {
        size_of_val(self.of(key))
    }
}

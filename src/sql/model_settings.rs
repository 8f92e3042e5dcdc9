//! The parameters that every estimating function shares: declared once, bound once, shown once.
//!
//! # Warm-up
//!
//! What stands at an instant was opened before it, so a query with a lower bound on time needs bars from before that bound;
//! but not all of them, because what was opened long ago has closed. `warmup` says from how long before the first instant
//! wanted bars are read, with an empty book. What is missed is what was opened earlier and still stands. Share of the USD
//! within 50 % of the price that a shorter warm-up missed, default model (BTC: 46 days from 2025-12-01, DOGE: 81 days, both
//! five-minute bars; the simulated BTC: 75 days), with open interest and estimated from volume:
//!
//! ```text
//! warm-up   BTC OI   volume   DOGE OI   volume   simulated OI   volume
//!  7 days   52 %     48 %     14 %      41 %     15 %           79 %
//! 14 days   26 %     31 %     2.3 %     30 %     1.4 %          56 %
//! 30 days   6.8 %    8.5 %    0.04 %    12 %     0.004 %        26 %
//! 60 days   –        –        0.0004 %  1.4 %    0              6.1 %
//! ```
//!
//! With open interest the slowest of them halves every eight days or so; without it the 30-day mean of volume halves every
//! twenty. The default of 180 days leaves about 0.1 % of the latter and 0.00002 % of the former.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, SchemaRef, TimestampMillisecondType};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};

use super::arguments::Arguments;
use super::bars::BadRows;
use super::exec::{Reading, Start};
use super::keys::Key;
use super::provider::{Input, Wanted};
use super::spec::{Fallback, Limits, Parameter, ParameterKind};
use crate::market::Layout;
use crate::market::tables::{LEVERAGE_TIERS, MODEL_BARS};
use crate::model::closing::Closing;
use crate::model::leverage::MarginRule;
use crate::model::margin::{Bracket, BracketUnit};
use crate::model::opening::Opening;
use crate::model::parameters::{Entry, Parameters, Preset, Scale};
use crate::model::smooth::Model;

const LEVERAGE: Limits = Limits { low: 1.0, low_included: true, high: 1000.0, words: "a leverage between 1 and 1000" };
const WEIGHT: Limits = Limits { low: 0.0, low_included: true, high: f64::MAX, words: "zero or a positive number" };
const RATE: Limits = Limits { low: 0.0, low_included: true, high: 0.5, words: "a fraction between 0 and 0.5" };
const SHARE: Limits = Limits { low: 0.0, low_included: true, high: 1.0, words: "a fraction between 0 and 1" };
const JITTER: Limits = Limits { low: 0.0, low_included: true, high: 3.0, words: "a number between 0 and 3" };
const COVERAGE: Limits = Limits { low: 0.0, low_included: false, high: 1.0, words: "a fraction above 0, at most 1" };

/// The time whose liquidations the shipped weights were fitted to: 2025-12-08 to 2026-06-01.
const FITTED_ON: Range<i64> = 1_765_152_000_000..1_780_272_000_000;

/// Time from which bars are read before the first instant wanted, where positions close with open interest.
const WARM_UP: i64 = 180 * 86_400_000;

/// The same where half is left after a time: after so many halvings a millionth is left.
const WARM_UP_HALF_LIVES: f64 = 20.0;

/// Most tiers that make sense; each costs time and memory.
const MOST_TIERS: usize = 64;

/// The `bars` argument of the estimating functions.
pub const BARS_PARAMETER: Parameter = Parameter {
    name: "bars",
    kind: ParameterKind::Relation,
    fallback: Fallback::Required,
    unit: "",
    doc: "price bars with open interest (see liq_bars); open interest may be absent",
};

/// What is done with unusable rows.
pub const ON_BAD_ROWS: Parameter = Parameter {
    name: "on_bad_rows",
    kind: ParameterKind::Choice(BadRows::NAMES),
    fallback: Fallback::Value("'error'"),
    unit: "",
    doc: "whether a NULL, NaN, impossible, duplicate or backward row is an error or left out and counted",
};

/// From when on bars are read.
pub(crate) const WARMUP: Parameter = Parameter {
    name: "warmup",
    kind: ParameterKind::Interval,
    fallback: Fallback::Derived("180 days; 20 half lives with closing => 'half_life'; all bars with 'never'"),
    unit: "",
    doc: "how long before the first instant wanted the first bar is read; the book starts empty there",
};

/// Length of the bars.
pub const INTERVAL: Parameter = Parameter {
    name: "interval",
    kind: ParameterKind::Interval,
    fallback: Fallback::Derived("smallest ts difference in the first 100 bars of the key, at most 7 days"),
    unit: "",
    doc: "length of a bar",
};

macro_rules! shared {
    ($($name:ident: $sql:literal, $kind:expr, $fallback:expr, $unit:literal, $doc:literal;)*) => {
        $(pub(crate) const $name: Parameter =
            Parameter { name: $sql, kind: $kind, fallback: $fallback, unit: $unit, doc: $doc };)*
    };
}

shared! {
    PRESET: "preset", ParameterKind::Choice(Preset::NAMES), Fallback::Value("'default'"), "",
        "named set of assumptions; arguments given beside it override it";
    TIERS: "tiers", ParameterKind::NumberList(LEVERAGE), Fallback::Derived("of the preset"), "",
        "leverages that positions are assumed to have";
    WEIGHTS: "weights", ParameterKind::NumberList(WEIGHT),
        Fallback::Derived("of the preset; proportional to distance if only tiers are given"), "share of capital",
        "one weight a tier; only their ratios matter";
    MAINTENANCE_MARGIN_RATE: "maintenance_margin_rate", ParameterKind::Number(RATE), Fallback::Value("0.004"),
        "fraction", "rate where leverage_tiers has none";
    LEVERAGE_TIERS_PARAMETER: "leverage_tiers", ParameterKind::Relation, Fallback::Derived("none"), "",
        "margin brackets: their rate and largest leverage hold from the instant since when they are known";
    POSITION_NOTIONAL: "position_notional", ParameterKind::Number(WEIGHT), Fallback::Value("0"), "quote",
        "size of a position, which picks its bracket; 0 is the first";
    JITTER_PARAMETER: "jitter", ParameterKind::Number(JITTER), Fallback::Derived("0.6; 0 in never_closes; 0.9 in model => 'deep'"),
        "ln(distance)", "each tier is spread over exp(-j), exp(-j/2), 1, exp(j/2), exp(j) of its distance; 0 is none";
    CHURN: "churn", ParameterKind::Number(SHARE), Fallback::Derived("0.05; 1 in never_closes"), "share of turnover",
        "part of the volume beyond the change of open interest that opens and closes positions";
    OPENING: "opening", ParameterKind::Choice(Opening::NAMES), Fallback::Derived("'turnover'; 'volume' in never_closes"),
        "", "what opens positions";
    CLOSING: "closing", ParameterKind::Choice(Closing::NAMES), Fallback::Derived("'hazard', or of the preset"), "",
        "what closes positions apart from liquidation";
    HALF_LIFE: "half_life", ParameterKind::Interval, Fallback::Value("INTERVAL '7 days'"), "",
        "time after which half is left, with closing => 'half_life'";
    WICK_RETENTION: "wick_retention", ParameterKind::Number(SHARE), Fallback::Derived("0; 0.25 in model => 'deep'"),
        "share", "what stays of a level that only a wick reached: price passed it and the bar closed back";
    AGE_HALF_LIFE: "age_half_life", ParameterKind::Interval, Fallback::Derived("never; 30 days in model => 'deep'"), "",
        "time after which half of everything has closed by age, beside what 'closing' closes";
    ENTRY: "entry", ParameterKind::Choice(Entry::NAMES), Fallback::Derived("'uniform'; 'hlc3' in never_closes"), "",
        "where in the bar positions enter";
    SCALE: "scale", ParameterKind::Choice(Scale::NAMES), Fallback::Value("'book'"), "",
        "USD as if everybody stayed, or times coverage as realised feeds report on average";
    COVERAGE_PARAMETER: "coverage", ParameterKind::Number(COVERAGE), Fallback::Value("0.091"), "share of the book",
        "what realised feeds report, with scale => 'expected'";
}

/// Declares the parameters of an estimating function: `bars`, its own, then the shared ones.
macro_rules! model_parameters {
    ($($own:expr),* $(,)?) => {{
        use $crate::sql::model_settings as shared;
        &[
            shared::BARS_PARAMETER,
            $($own,)*
            shared::INTERVAL,
            shared::PRESET,
            shared::TIERS,
            shared::WEIGHTS,
            shared::MAINTENANCE_MARGIN_RATE,
            shared::LEVERAGE_TIERS_PARAMETER,
            shared::POSITION_NOTIONAL,
            shared::JITTER_PARAMETER,
            shared::CHURN,
            shared::OPENING,
            shared::CLOSING,
            shared::HALF_LIFE,
            shared::WICK_RETENTION,
            shared::AGE_HALF_LIFE,
            shared::ENTRY,
            shared::SCALE,
            shared::COVERAGE_PARAMETER,
            shared::ON_BAD_ROWS,
        ]
    }};
}
pub(crate) use model_parameters;

/// The shared arguments of one call.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// The model's assumptions.
    pub parameters: Parameters,
    /// Length of a bar in milliseconds, `None` to infer it.
    pub interval: Option<i64>,
    /// What is done with unusable rows.
    pub bad_rows: BadRows,
    /// How the book is shown, of the functions that show it.
    pub model: Model,
    /// How long before the first instant wanted bars are read from; `None` where all are. Of the functions that take it.
    warmup: Option<Option<i64>>,
    preset: Preset,
    has_tiers: bool,
    position_notional: f64,
}

impl ModelSettings {
    /// Binds the shared arguments.
    ///
    /// # Errors
    ///
    /// Arguments that are each allowed do not go together.
    pub fn bind(arguments: &Arguments<'_>) -> Result<(ModelSettings, Vec<Input>)> {
        let function = arguments.function();
        let preset = arguments.choice("preset")?.and_then(Preset::from_name).unwrap_or(Preset::Default);
        let mut parameters = Parameters::preset(preset);
        let shows_a_model = arguments.declares("model");
        let model = if shows_a_model { arguments.choice("model")?.and_then(Model::from_name) } else { None };
        let model = model.unwrap_or_default();
        model.apply(&mut parameters);
        if let Some(rate) = arguments.number("maintenance_margin_rate")? {
            parameters.maintenance_margin_rate = rate;
        }
        let tiers = arguments.number_list("tiers")?;
        let weights = arguments.number_list("weights")?;
        if let Some(tiers) = &tiers {
            if tiers.len() > MOST_TIERS {
                return plan_err!("{function}: 'tiers' must have at most {MOST_TIERS} leverages, has {}", tiers.len());
            }
            let mut sorted = tiers.clone();
            sorted.sort_by(f64::total_cmp);
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return plan_err!("{function}: 'tiers' must not repeat a leverage, has {} twice", pair[0]);
            }
            parameters.tiers.clone_from(tiers);
        }
        match weights {
            Some(weights) if weights.len() != parameters.tiers.len() => {
                return plan_err!(
                    "{function}: 'weights' must have one number for each of the {} tiers, has {}",
                    parameters.tiers.len(),
                    weights.len()
                );
            }
            Some(weights) => parameters.weights = weights,
            None if tiers.is_some() || preset == Preset::Uncalibrated => {
                parameters.weights =
                    Parameters::uncalibrated_weights(&parameters.tiers, parameters.maintenance_margin_rate);
            }
            None => {}
        }
        if let Some(jitter) = arguments.number("jitter")? {
            parameters.jitter = jitter;
        }
        if let Some(churn) = arguments.number("churn")? {
            parameters.churn = churn;
        }
        if let Some(opening) = arguments.choice("opening")?.and_then(Opening::from_name) {
            parameters.opening = opening;
        }
        let half_life = arguments.interval("half_life")?;
        match arguments.choice("closing")? {
            Some("hazard") => parameters.closing = Closing::Hazard,
            Some("never") => parameters.closing = Closing::Never,
            Some("half_life") if !matches!(parameters.closing, Closing::HalfLife { .. }) => {
                parameters.closing = Closing::HalfLife { milliseconds: 7.0 * 86_400_000.0 };
            }
            _ => {}
        }
        if let Some(half_life) = half_life {
            match &mut parameters.closing {
                Closing::HalfLife { milliseconds } => *milliseconds = half_life as f64,
                other => {
                    return plan_err!(
                        "{function}: 'half_life' goes only with closing => 'half_life', closing was '{other}'"
                    );
                }
            }
        }
        if let Some(share) = arguments.number("wick_retention")? {
            parameters.wick_retention = share;
        }
        if let Some(half_life) = arguments.interval("age_half_life")? {
            parameters.age_half_life = Some(half_life as f64);
        }
        if let Some(entry) = arguments.choice("entry")?.and_then(Entry::from_name) {
            parameters.entry = entry;
        }
        if let Some(scale) = arguments.choice("scale")?.and_then(Scale::from_name) {
            parameters.scale = scale;
        }
        if let Some(coverage) = arguments.number("coverage")? {
            if parameters.scale != Scale::Expected {
                return plan_err!("{function}: 'coverage' goes only with scale => 'expected', scale was 'book'");
            }
            parameters.coverage = coverage;
        }
        if parameters.mix(None).tiers.iter().all(|tier| tier.weight == 0.0) {
            return plan_err!(
                "{function}: no tier is left: 'weights' must not all be zero, and a leverage must leave more than \
                 0.05 % between entry and liquidation at a maintenance margin rate of {}",
                parameters.maintenance_margin_rate
            );
        }
        let leverage_tiers = arguments.optional_relation("leverage_tiers")?;
        let position_notional = arguments.number("position_notional")?;
        if position_notional.is_some() && leverage_tiers.is_none() {
            return plan_err!("{function}: 'position_notional' goes only with 'leverage_tiers'");
        }
        let warmup = if arguments.declares("warmup") {
            let given = arguments.interval("warmup")?;
            Some(given.or(match parameters.closing {
                Closing::Hazard => Some(WARM_UP),
                Closing::HalfLife { milliseconds } => Some((milliseconds * WARM_UP_HALF_LIVES) as i64),
                Closing::Never => None,
            }))
        } else {
            None
        };
        let settings = ModelSettings {
            parameters,
            warmup,
            interval: arguments.interval("interval")?,
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
            model,
            preset,
            has_tiers: leverage_tiers.is_some(),
            position_notional: position_notional.unwrap_or(0.0),
        };
        let mut inputs = vec![Input {
            parameter: "bars",
            relation: arguments.relation("bars")?,
            wanted: Wanted::Columns(MODEL_BARS),
        }];
        if let Some(relation) = leverage_tiers {
            inputs.push(Input {
                parameter: "leverage_tiers",
                relation,
                wanted: Wanted::Columns(LEVERAGE_TIERS.columns),
            });
        }
        Ok((settings, inputs))
    }

    /// Reads the margin rules of every key where the brackets are the second input.
    ///
    /// # Errors
    ///
    /// A bracket is incomplete or has an unknown unit.
    pub fn gathered_rules(&self, function: &str, start: &Start<'_>) -> Result<BTreeMap<Key, Vec<MarginRule>>> {
        let brackets = start.gathered.get(1).map_or(&[][..], Vec::as_slice);
        self.margin_rules(function, start.schemas.get(1), brackets)
    }

    /// Returns the first instant of which bars are read so that what stands at `wanted` is known; `None` for all.
    pub fn first_bar(&self, wanted: Option<i64>) -> Option<i64> {
        let warmup = self.warmup.flatten()?;
        wanted.map(|wanted| wanted.saturating_sub(warmup))
    }

    /// Whether the weights are shipped ones that were fitted on data of this time: their fit saw what it is tested on.
    pub fn weights_saw(&self, range: &Range<i64>) -> bool {
        let shipped = [Preset::Default, Preset::HalfLife].map(|preset| Parameters::preset(preset).weights);
        shipped.contains(&self.parameters.weights) && range.start < FITTED_ON.end && FITTED_ON.start < range.end
    }

    /// Returns how the inputs are read: bars by key in order of time, brackets whole.
    pub fn readings(&self) -> Vec<Reading> {
        let mut readings = vec![keyed_by_market()];
        if self.has_tiers {
            readings.push(Reading::Gathered);
        }
        readings
    }

    /// Returns every shared parameter as EXPLAIN shows it, and the mix that follows from them.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let parameters = &self.parameters;
        let mut shown = vec![
            ("preset", self.preset.name().to_owned()),
            ("mix", mix_text(parameters)),
            ("maintenance_margin_rate", parameters.maintenance_margin_rate.to_string()),
        ];
        if self.has_tiers {
            shown.push(("leverage_tiers", "given".to_owned()));
            shown.push(("position_notional", self.position_notional.to_string()));
        }
        shown.extend([
            ("jitter", parameters.jitter.to_string()),
            ("churn", parameters.churn.to_string()),
            ("opening", parameters.opening.to_string()),
            ("closing", parameters.closing.to_string()),
        ]);
        if let Closing::HalfLife { milliseconds } = parameters.closing {
            shown.push(("half_life", length_text(milliseconds as i64)));
        }
        let age =
            parameters.age_half_life.map_or_else(|| "never".to_owned(), |half_life| length_text(half_life as i64));
        shown.extend([("wick_retention", parameters.wick_retention.to_string()), ("age_half_life", age)]);
        shown.extend([("entry", parameters.entry.name().to_owned()), ("scale", parameters.scale.name().to_owned())]);
        if parameters.scale == Scale::Expected {
            shown.push(("coverage", parameters.coverage.to_string()));
        }
        shown.push(("interval", self.interval.map_or_else(|| "inferred".to_owned(), length_text)));
        if let Some(warmup) = self.warmup {
            shown.push(("warmup", warmup.map_or_else(|| "all bars".to_owned(), length_text)));
        }
        shown.push(("on_bad_rows", self.bad_rows.name().to_owned()));
        shown
    }

    /// Reads the margin rules of every key from the gathered brackets.
    ///
    /// # Errors
    ///
    /// A bracket is incomplete or has an unknown unit.
    pub fn margin_rules(
        &self,
        function: &str,
        schema: Option<&SchemaRef>,
        batches: &[RecordBatch],
    ) -> Result<BTreeMap<Key, Vec<MarginRule>>> {
        let Some(schema) = schema.filter(|_| self.has_tiers) else { return Ok(BTreeMap::new()) };
        let mut rules = BTreeMap::new();
        for (key, dated) in brackets_by_key(function, schema, batches)? {
            let of_key = dated
                .iter()
                .filter_map(|(since, brackets)| MarginRule::from_brackets(*since, brackets, self.position_notional));
            rules.insert(key, of_key.collect());
        }
        Ok(rules)
    }
}

/// Bars and their kin: rows of one (exchange, symbol) in one partition, in order of time.
pub fn keyed_by_market() -> Reading {
    Reading::Ordered { keys: vec!["exchange".to_owned(), "symbol".to_owned()], time: "ts".to_owned() }
}

/// Brackets by the instant since when they are known, sorted, each table sorted by floor.
pub type DatedBrackets = BTreeMap<i64, Vec<Bracket>>;

/// Reads the rows of `leverage_tiers`.
///
/// # Errors
///
/// A value is NULL, not finite or negative, a unit is unknown, or contracts have no size.
pub fn brackets_by_key(
    function: &str,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<BTreeMap<Key, DatedBrackets>> {
    let layout = Layout::find(LEVERAGE_TIERS.columns, schema)
        .map_err(|error| exec_datafusion_err!("{function}: 'leverage_tiers' {error}"))?;
    let mut found: BTreeMap<Key, DatedBrackets> = BTreeMap::new();
    for batch in batches {
        let columns = layout
            .normalise(batch)
            .map_err(|error| exec_datafusion_err!("{function}: 'leverage_tiers' cannot be read: {error}"))?;
        let (exchange, symbol, unit) =
            (columns[0].as_string_view(), columns[1].as_string_view(), columns[3].as_string_view());
        let since = columns[2].as_primitive::<TimestampMillisecondType>();
        for row in 0..batch.num_rows() {
            let number = |position: usize| {
                let array = columns[position].as_primitive::<Float64Type>();
                array.is_valid(row).then(|| array.value(row))
            };
            let name = |position: usize| LEVERAGE_TIERS.columns[position].name;
            if let Some(position) = columns.iter().take(4).position(|column| column.is_null(row)) {
                return exec_err!("{function}: 'leverage_tiers' has a NULL in '{}'", name(position));
            }
            let key = Key { exchange: exchange.value(row).to_owned(), symbol: symbol.value(row).to_owned() };
            let required = |position: usize| match number(position) {
                Some(value) if value.is_finite() && value >= 0.0 => Ok(value),
                other => exec_err!(
                    "{function}: '{}' of leverage_tiers must be zero or a positive number, was {} for ({key})",
                    name(position),
                    other.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
                ),
            };
            let (unit, size) = match unit.value(row) {
                "quote_notional" => (BracketUnit::QuoteNotional, 1.0),
                "base" => (BracketUnit::BaseSize, 1.0),
                "contracts" => (
                    BracketUnit::BaseSize,
                    match number(9) {
                        Some(size) if size > 0.0 => size,
                        // Only the first bracket can be used without it, which needs no limits.
                        _ => f64::INFINITY,
                    },
                ),
                other => {
                    return exec_err!(
                        "{function}: 'unit' of leverage_tiers must be one of 'quote_notional', 'base', 'contracts', \
                         was '{other}' for ({key})"
                    );
                }
            };
            let floor = required(4)?;
            let bracket = Bracket {
                unit,
                floor: if floor == 0.0 { 0.0 } else { floor * size },
                cap: match number(5) {
                    None => f64::INFINITY,
                    Some(_) => required(5)? * size,
                },
                maintenance_margin_rate: required(6)?,
                max_leverage: required(7)?,
                maintenance_amount: required(8)?,
            };
            found.entry(key).or_default().entry(since.value(row)).or_default().push(bracket);
        }
    }
    for brackets in found.values_mut().flat_map(BTreeMap::values_mut) {
        brackets.sort_by(|a, b| a.floor.total_cmp(&b.floor).then(a.cap.total_cmp(&b.cap)));
    }
    Ok(found)
}

fn mix_text(parameters: &Parameters) -> String {
    let mix = parameters.mix(None);
    let used = mix.tiers.iter().filter(|tier| tier.weight > 0.0);
    let text: Vec<String> = used.map(|tier| format!("{}x {:.3}", tier.leverage, tier.weight)).collect();
    format!("[{}]", text.join(", "))
}

/// Writes a length of time: `1h`, `5m`, `1d 12h`, `250ms`.
pub fn length_text(milliseconds: i64) -> String {
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (length, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0ms".to_owned() } else { parts.join(" ") }
}

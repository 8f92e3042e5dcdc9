//! `liq_calibrate`: the mix of leverages that explains realised liquidations best, and whether it should be used.
//!
//! In: bars and realised liquidations. Out: per key rows of one report: each tier's fitted share of capital beside the
//! starting one, `coverage`, and how much better the fitted mix is on the test range. What is recommended goes into
//! `weights =>` (and `coverage =>`) of every estimating function.
//!
//! Invariant: only the train range enters the fit, only the test range its gain; a mix whose gain on the test range is not
//! clearly above zero is not recommended.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::book::Book;
use crate::model::calibrate::{Calibration, calibrate};
use crate::model::leverage::MarginRule;
use crate::model::parameters::Scale;
use crate::model::replay::Replay;
use crate::model::score::hourly::{HourlyReplay, Realised};
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel, ModelRun};
use crate::sql::model_settings::{ModelSettings, model_parameters};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Returns, Spec};
use crate::sql::truth::{
    MATCH_EXCHANGE, RESAMPLES, SEED, TEST, TRAIN, TRUTH, Truth, TruthKind, TruthSettings, by_the_hour,
};

const COLUMNS: &[Column] = &[
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new(
        "item",
        Kind::Text,
        "",
        "weight (of a tier), coverage, objective (of the fit), or what was measured on test: log_error, r2, spearman",
    ),
    Column::optional("leverage", Kind::Number, "", "the tier, of a weight"),
    Column::optional("start", Kind::Number, "", "under the starting mix"),
    Column::optional("fitted", Kind::Number, "", "under the fitted mix"),
    Column::optional("gain", Kind::Number, "", "how much better the fitted mix is on test"),
    Column::optional("low", Kind::Number, "", "lower limit of the 95 % interval: of the weight, or of the gain"),
    Column::optional("high", Kind::Number, "", "upper limit of the 95 % interval"),
    Column::optional(
        "is_identified",
        Kind::Boolean,
        "",
        "of a weight: whether the data say more of it than the prior, which is the starting mix",
    ),
    Column::new(
        "is_recommended",
        Kind::Boolean,
        "",
        "whether the gain in log_error on test is above zero with its interval",
    ),
    Column::new("n", Kind::Integer, "", "hours that it rests on"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_calibrate",
    summary: "The leverage mix that explains realised liquidations best, and whether it gains on held-out time",
    parameters: model_parameters![TRUTH, MATCH_EXCHANGE, TRAIN, TEST, RESAMPLES, SEED],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT item, leverage, start, fitted, gain, low, high, is_recommended FROM liq_calibrate(\
              (SELECT * FROM liq_bars(candles, open_interest => open_interest) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT'), liquidations)",
};

/// The function.
#[derive(Debug)]
pub struct LiqCalibrate;

impl TableFunction for LiqCalibrate {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (model, mut inputs) = ModelSettings::bind(arguments)?;
        if model.parameters.scale != Scale::Book {
            return plan_err!("{}: 'scale' must be 'book': coverage is one of the results", SPEC.name);
        }
        let (truth, input) = TruthSettings::bind(arguments, TruthKind::Hourly)?;
        inputs.push(input);
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(Calibrations { model, truth }), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Calibrations {
    model: ModelSettings,
    truth: TruthSettings,
}

impl Operator for Calibrations {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.truth.shown();
        settings.extend(self.model.shown());
        settings
    }

    fn readings(&self) -> Vec<Reading> {
        let mut readings = self.model.readings();
        readings.push(Reading::Gathered);
        readings
    }

    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        Vec::new()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let rules = self.model.gathered_rules(SPEC.name, &start)?;
        let truth = self.truth.gather(SPEC.name, &self.model, &start)?;
        let operator = self.clone();
        let make = Box::new(move |key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let parameters = &operator.model.parameters;
            let replay = Replay::new(parameters, interval, rules, Book::new(parameters));
            let replay = Some(by_the_hour(SPEC.name, key, replay)?);
            let (operator, truth, held) = (operator.clone(), Arc::clone(&truth), truth.memory(key));
            Ok(Box::new(KeyCalibration { operator, truth, held, replay, bars: None, ready: None }))
        });
        let bars = BarsInput { parameter: "bars", interval: self.model.interval, bad_rows: self.model.bad_rows };
        Ok(Box::new(ModelRun::over_bars(self, &bars, rules, &start, make)?))
    }
}

#[derive(Debug)]
struct KeyCalibration {
    operator: Calibrations,
    truth: Arc<Truth>,
    held: usize,
    replay: Option<Box<HourlyReplay>>,
    /// Open of the first bar, and close of the last one.
    bars: Option<(i64, i64)>,
    ready: Option<Calibration>,
}

impl KeyModel for KeyCalibration {
    fn bar(&mut self, _key: &Key, bar: &Bar, _rows: &mut Rows) -> Result<()> {
        if let Some(replay) = &mut self.replay {
            let close = bar.ts.saturating_add(replay.replay().interval());
            self.bars = Some((self.bars.map_or(bar.ts, |(first, _)| first), close));
            replay.take(bar);
        }
        Ok(())
    }

    fn end(&mut self, key: &Key) -> Result<()> {
        let rows = self.truth.of(key);
        if let Some(others) = self.truth.of_others(key) {
            return exec_err!(
                "{}: truth is of {others}, bars are of ({key}): match_exchange => false joins them on the symbol alone",
                SPEC.name
            );
        }
        let Some(replay) = self.replay.take().filter(|_| !rows.is_empty()) else { return Ok(()) };
        let (train, test) = self.operator.truth.ranges(rows, self.bars);
        let mut realised = Realised::default();
        rows.iter().for_each(|row| realised.add(row.ts, row.side, row.usd));
        let mix = self.operator.model.parameters.mix(None);
        let hours = replay.finish();
        match calibrate(&hours, &realised, &mix, &train, &test, self.operator.truth.resampling) {
            Ok(calibration) => self.ready = Some(calibration),
            Err(unfit) => return exec_err!("{}: ({key}) {unfit}", SPEC.name),
        }
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        let Some(calibration) = self.ready.take() else { return false };
        struct Item {
            item: &'static str,
            leverage: Option<f64>,
            /// Start, fitted, gain, low, high.
            numbers: [Option<f64>; 5],
            is_identified: Option<bool>,
            hours: usize,
        }
        let mut push = |item: Item| {
            rows.text(0, &key.exchange, 1);
            rows.text(1, &key.symbol, 1);
            rows.text(2, item.item, 1);
            rows.optional_number(3, item.leverage);
            for (column, number) in (4..).zip(item.numbers) {
                rows.optional_number(column, number);
            }
            rows.optional_boolean(9, item.is_identified);
            rows.optional_boolean(10, Some(calibration.is_recommended));
            rows.integer(11, i64::try_from(item.hours).unwrap_or(i64::MAX));
            rows.end(1);
        };
        let (train, test) = (calibration.train_hours, calibration.test_hours);
        for tier in &calibration.tiers {
            push(Item {
                item: "weight",
                leverage: Some(tier.leverage),
                numbers: [
                    Some(tier.start),
                    Some(tier.weight),
                    None,
                    tier.interval.map(|interval| interval.low),
                    tier.interval.map(|interval| interval.high),
                ],
                is_identified: Some(tier.is_identified),
                hours: train,
            });
        }
        for (item, start, fitted) in [
            ("coverage", calibration.start_coverage, calibration.coverage),
            ("objective", calibration.start_objective, calibration.objective),
        ] {
            let numbers = [Some(start), Some(fitted), None, None, None];
            push(Item { item, leverage: None, numbers, is_identified: None, hours: train });
        }
        for gain in &calibration.gains {
            let interval = gain.interval;
            let numbers = [
                gain.start,
                gain.fitted,
                gain.gain,
                interval.map(|limits| limits.low),
                interval.map(|limits| limits.high),
            ];
            push(Item { item: gain.measure, leverage: None, numbers, is_identified: None, hours: test });
        }
        false
    }

    fn memory(&self) -> usize {
        self.replay.as_ref().map_or(0, |replay| replay.memory()) + self.held
    }
}

//! An indicator as the engine calls it: types, constants, NULLs and limits, the same for all.
//!
//! In: columns of numbers, coerced to `Float64`, and a constant. Out: `Float64`, nullable. Each row is taken once, in
//! order, and its result is known at once: the engine may stream, and results do not depend on how rows are batched.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{Documentation, LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use crate::market::Kind;
use crate::model::indicators::{Atr, Ema, Rsi};
use crate::sql::spec::{ParameterKind, Spec};

/// What a window function computes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Indicator {
    Ema,
    Rsi,
    Atr,
}

impl Indicator {
    fn begin(self, periods: u32) -> State {
        match self {
            Indicator::Ema => State::Ema(Ema::new(periods)),
            Indicator::Rsi => State::Rsi(Rsi::new(periods)),
            Indicator::Atr => State::Atr(Atr::new(periods)),
        }
    }
}

/// A window function. Its last parameter is `periods`, the others are columns.
#[derive(Debug)]
pub(super) struct Window {
    spec: &'static Spec,
    indicator: Indicator,
    signature: Signature,
    documentation: Documentation,
}

impl Window {
    pub(super) fn new(spec: &'static Spec, indicator: Indicator) -> Window {
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(spec.parameters.iter().map(|parameter| parameter.name.to_owned()).collect());
        Window { spec, indicator, signature, documentation: spec.documentation("Indicators") }
    }

    /// Reads the number of periods from the expression of the last argument.
    fn periods(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> Result<u32> {
        let (Some(parameter), Some(expression)) = (self.spec.parameters.last(), arguments.last()) else {
            return internal_err!("{}: is called without arguments", self.spec.name);
        };
        let (function, name) = (self.spec.name, parameter.name);
        let ParameterKind::Number(limits) = parameter.kind else {
            return internal_err!("{function}: '{name}' is not declared as a number");
        };
        if !collect_columns(expression).is_empty() {
            return plan_err!("{function}: '{name}' must be a constant ({}), was {expression}", limits.words);
        }
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let no_columns = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
        let value = expression.evaluate(&no_columns)?.into_array(1)?;
        match ScalarValue::try_from_array(&value, 0)?.cast_to(&DataType::Float64)? {
            ScalarValue::Float64(Some(number)) if limits.allow(number) && number.fract() == 0.0 => Ok(number as u32),
            ScalarValue::Float64(Some(number)) => {
                plan_err!("{function}: '{name}' must be {}, was {number}", limits.words)
            }
            _ => plan_err!("{function}: '{name}' must be {}, was NULL", limits.words),
        }
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

impl Eq for Window {}

impl Hash for Window {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl WindowUDFImpl for Window {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let parameters = self.spec.parameters;
        if types.len() != parameters.len() {
            return plan_err!(
                "{}: takes {} arguments ({}), was given {}",
                self.spec.name,
                parameters.len(),
                self.spec.parameter_names(),
                types.len()
            );
        }
        let coerced = parameters.iter().zip(types).map(|(parameter, found)| {
            if Kind::Number.accepts(found) {
                Ok(Kind::Number.data_type())
            } else {
                plan_err!("{}: '{}' must be {}, was {found}", self.spec.name, parameter.name, Kind::Number.expected())
            }
        });
        coerced.collect()
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        // The constant is read once, not evaluated for every row.
        let columns = self.spec.parameters.len() - 1;
        arguments.input_exprs().iter().take(columns).cloned().collect()
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let periods = self.periods(arguments.input_exprs())?;
        Ok(Box::new(Series { spec: self.spec, state: self.indicator.begin(periods) }))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Float64, true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn limit_effect(&self, _arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // Later rows do not matter: the first rows of the result need the first rows of the input only.
        LimitEffect::None
    }
}

/// The state of an indicator.
#[derive(Debug)]
enum State {
    Ema(Ema),
    Rsi(Rsi),
    Atr(Atr),
}

/// The series of one partition.
#[derive(Debug)]
struct Series {
    spec: &'static Spec,
    state: State,
}

impl Series {
    /// Takes the next row; a row with a NULL is passed over.
    fn next(&mut self, columns: &[ArrayRef], row: usize) -> Result<Option<f64>> {
        if columns.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let value = |position: usize| {
            let value = columns[position].as_primitive::<Float64Type>().value(row);
            self.spec.parameters[position].check(self.spec.name, value)
        };
        match &mut self.state {
            State::Ema(ema) => Ok(ema.next(value(0)?)),
            State::Rsi(rsi) => Ok(rsi.next(value(0)?)),
            State::Atr(atr) => {
                let (high, low, close) = (value(0)?, value(1)?, value(2)?);
                if high < low {
                    return exec_err!("{}: 'high' must not be below 'low' ({low}), was {high}", self.spec.name);
                }
                Ok(atr.next(high, low, close))
            }
        }
    }
}

impl PartitionEvaluator for Series {
    fn is_causal(&self) -> bool {
        true
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn evaluate(&mut self, columns: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        // The engine asks for each row once, in order: the range is that row.
        Ok(ScalarValue::Float64(self.next(columns, range.start)?))
    }

    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let mut results = Float64Builder::with_capacity(rows);
        for row in 0..rows {
            results.append_option(self.next(columns, row)?);
        }
        Ok(Arc::new(results.finish()))
    }
}

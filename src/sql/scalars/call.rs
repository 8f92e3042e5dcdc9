//! A scalar as the engine calls it: types, NULLs and limits, the same for all.
//!
//! In: constants and columns, coerced to `Float64` and `Utf8View`. Out: a constant if all arguments are constants, else
//! a column. Invariant: a row with a NULL argument is NULL and is not checked further.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, StringViewBuilder};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::market::Kind;
use crate::model::side::Side;
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Spec};

/// Most numbers that a scalar takes.
const MOST_NUMBERS: usize = 8;

/// What a scalar computes of checked arguments.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    /// Of a side and numbers, in the order of the declaration, defaults filled in: a number, or none.
    Position(fn(Side, &[f64]) -> Result<Option<f64>>),
    /// Of a number: a text.
    NumberToText(fn(f64) -> &'static str),
    /// Of a text: a part of it.
    TextToText(fn(&str) -> &str),
}

/// A scalar function.
#[derive(Debug)]
pub(super) struct Scalar {
    spec: &'static Spec,
    kernel: Kernel,
    signature: Signature,
    documentation: Documentation,
}

impl Scalar {
    pub(super) fn new(spec: &'static Spec, kernel: Kernel) -> Scalar {
        Scalar {
            spec,
            kernel,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: spec.documentation("Liquidation Functions"),
        }
    }

    fn required(&self) -> usize {
        self.spec.parameters.iter().filter(|parameter| matches!(parameter.fallback, Fallback::Required)).count()
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

fn kind(parameter: &Parameter) -> Kind {
    if matches!(parameter.kind, ParameterKind::Number(_)) { Kind::Number } else { Kind::Text }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let parameters = self.spec.parameters;
        if types.len() < self.required() || types.len() > parameters.len() {
            return plan_err!(
                "{}: takes {} arguments ({}), was given {}",
                self.spec.name,
                if self.required() == parameters.len() {
                    parameters.len().to_string()
                } else {
                    format!("{} to {}", self.required(), parameters.len())
                },
                self.spec.parameter_names(),
                types.len()
            );
        }
        let coerced = parameters.iter().zip(types).map(|(parameter, found)| {
            let kind = kind(parameter);
            if kind.accepts(found) {
                Ok(kind.data_type())
            } else {
                plan_err!("{}: '{}' must be {}, was {found}", self.spec.name, parameter.name, kind.expected())
            }
        });
        coerced.collect()
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.kernel {
            Kernel::Position(_) => Kind::Number.data_type(),
            Kernel::NumberToText(_) | Kernel::TextToText(_) => Kind::Text.data_type(),
        })
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arguments = self
            .spec
            .parameters
            .iter()
            .zip(&args.args)
            .map(|(parameter, value)| Argument::new(self.spec.name, parameter, value))
            .collect::<Result<Vec<_>>>()?;
        let array: ArrayRef = match (self.kernel, arguments.as_slice()) {
            (Kernel::Position(compute), [side, numbers @ ..]) if numbers.len() <= MOST_NUMBERS => {
                // Trailing arguments that are not given are zero in every declaration.
                let mut values = [0.0; MOST_NUMBERS];
                let mut builder = Float64Builder::with_capacity(rows);
                for row in 0..rows {
                    if arguments.iter().any(|argument| argument.is_null(row)) {
                        builder.append_null();
                        continue;
                    }
                    for (value, argument) in values.iter_mut().zip(numbers) {
                        *value = argument.number(row)?;
                    }
                    builder.append_option(compute(side.side(row)?, &values[..self.spec.parameters.len() - 1])?);
                }
                Arc::new(builder.finish())
            }
            (Kernel::NumberToText(compute), [number]) => {
                let mut builder = StringViewBuilder::with_capacity(rows);
                for row in 0..rows {
                    builder.append_option(if number.is_null(row) { None } else { Some(compute(number.number(row)?)) });
                }
                Arc::new(builder.finish())
            }
            (Kernel::TextToText(compute), [text]) => {
                let mut builder = StringViewBuilder::with_capacity(rows);
                for row in 0..rows {
                    builder.append_option((!text.is_null(row)).then(|| compute(text.text(row))));
                }
                Arc::new(builder.finish())
            }
            _ => return internal_err!("{}: its kernel does not fit its declaration", self.spec.name),
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// One argument: a column, or a constant as a column of one row.
struct Argument {
    function: &'static str,
    parameter: &'static Parameter,
    values: ArrayRef,
    constant: bool,
}

impl Argument {
    fn new(function: &'static str, parameter: &'static Parameter, value: &ColumnarValue) -> Result<Argument> {
        let (values, constant) = match value.cast_to(&kind(parameter).data_type(), None)? {
            ColumnarValue::Array(array) => (array, false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        Ok(Argument { function, parameter, values, constant })
    }

    fn at(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    fn is_null(&self, row: usize) -> bool {
        self.values.is_null(self.at(row))
    }

    fn number(&self, row: usize) -> Result<f64> {
        self.parameter.check(self.function, self.values.as_primitive::<Float64Type>().value(self.at(row)))
    }

    fn text(&self, row: usize) -> &str {
        self.values.as_string_view().value(self.at(row))
    }

    fn side(&self, row: usize) -> Result<Side> {
        match Side::from_name(self.text(row)) {
            Some(side) => Ok(side),
            None => exec_err!(
                "{}: '{}' must be {}, was '{}'",
                self.function,
                self.parameter.name,
                self.parameter.kind.expected(),
                self.text(row)
            ),
        }
    }
}

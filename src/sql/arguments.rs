//! Arguments become typed values, once; every argument error is made here.
//!
//! In: the expressions of a call, in the order of the declaration, NULL where an argument was not given. Out: values of
//! the declared kinds. An error names the function, the argument, what is allowed, and the value.

use arrow::array::Array;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use super::relation::Relation;
use super::spec::{Fallback, Parameter, ParameterKind, Spec};
use crate::market::tables::time_type;

/// The arguments of one call.
#[derive(Debug)]
pub struct Arguments<'a> {
    spec: &'static Spec,
    expressions: &'a [Expr],
}

impl<'a> Arguments<'a> {
    /// Takes the arguments of a call, in the order of the declaration; trailing ones may be left out.
    ///
    /// # Errors
    ///
    /// There are more arguments than parameters, or a required one is missing.
    pub fn new(spec: &'static Spec, expressions: &'a [Expr]) -> Result<Arguments<'a>> {
        if spec.parameters.is_empty() && !expressions.is_empty() {
            return plan_err!("{}: takes no arguments, was given {}", spec.name, expressions.len());
        }
        if expressions.len() > spec.parameters.len() {
            return plan_err!(
                "{}: takes at most {} arguments ({}), was given {}",
                spec.name,
                spec.parameters.len(),
                spec.parameter_names(),
                expressions.len()
            );
        }
        let arguments = Arguments { spec, expressions };
        for parameter in spec.parameters {
            if matches!(parameter.fallback, Fallback::Required) && arguments.expression(parameter.name).is_none() {
                return plan_err!("{}: missing argument '{}': {}", spec.name, parameter.name, parameter.doc);
            }
        }
        Ok(arguments)
    }

    /// Returns the function's name.
    pub fn function(&self) -> &'static str {
        self.spec.name
    }

    fn parameter(&self, name: &str) -> &'static Parameter {
        let position = self.spec.position(name);
        debug_assert!(position.is_some(), "Invariant: '{name}' is declared");
        &self.spec.parameters[position.unwrap_or(0)]
    }

    /// Returns an argument that was given and is not NULL.
    fn expression(&self, name: &str) -> Option<&'a Expr> {
        let expression = self.expressions.get(self.spec.position(name)?)?;
        match expression {
            Expr::Literal(value, _) if value.is_null() => None,
            expression => Some(expression),
        }
    }

    /// Makes the error of an argument whose value is not what its declaration says.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn refuse<T>(&self, name: &str, was: &dyn std::fmt::Display) -> Result<T> {
        let parameter = self.parameter(name);
        plan_err!("{}: '{name}' must be {}, was {was}", self.spec.name, parameter.kind.expected())
    }

    fn constant(&self, name: &str) -> Result<Option<&'a ScalarValue>> {
        match self.expression(name) {
            None => Ok(None),
            Some(Expr::Literal(value, _)) => Ok(Some(value)),
            Some(Expr::Placeholder(placeholder)) => {
                plan_err!("{}: '{name}' is given as {}, which has no value", self.spec.name, placeholder.id)
            }
            Some(other) => {
                plan_err!(
                    "{}: '{name}' must be a constant ({}), was {}",
                    self.spec.name,
                    self.parameter(name).kind.expected(),
                    shown(other)
                )
            }
        }
    }

    /// Whether the function has a parameter of this name.
    pub fn declares(&self, name: &str) -> bool {
        self.spec.position(name).is_some()
    }

    /// Whether an argument was given.
    pub fn has(&self, name: &str) -> bool {
        self.expression(name).is_some()
    }

    /// Returns the names and values of the arguments that were given and are no relations.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let values = self.spec.parameters.iter().filter(|parameter| !matches!(parameter.kind, ParameterKind::Relation));
        values
            .filter_map(|parameter| self.expression(parameter.name).map(|value| (parameter.name, shown(value))))
            .collect()
    }

    /// Returns a relation that must be given.
    pub fn relation(&self, name: &str) -> Result<Relation> {
        match self.optional_relation(name)? {
            Some(relation) => Ok(relation),
            None => self.refuse(name, &"NULL"),
        }
    }

    /// Returns a relation that may be left out.
    pub fn optional_relation(&self, name: &str) -> Result<Option<Relation>> {
        let Some(expression) = self.expression(name) else { return Ok(None) };
        match Relation::from_expr(expression) {
            Some(Ok(relation)) => Ok(Some(relation)),
            Some(Err(error)) => {
                plan_err!("{}: '{name}': {}", self.spec.name, error.message())
            }
            None => self.refuse(name, &shown(expression)),
        }
    }

    /// Returns a number within the declared limits.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let ParameterKind::Number(limits) = self.parameter(name).kind else { return self.refuse(name, &value) };
        match as_number(value) {
            Some(number) if limits.allow(number) => Ok(Some(number)),
            // A number within the limits that is written as text would read as if it were refused for its value.
            _ if value.try_as_str().is_some() => self.refuse(name, &format!("the text {}", Shown(value))),
            _ => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns a whole number within the declared limits, whose words must say that it is whole.
    pub fn whole_number(&self, name: &str) -> Result<Option<usize>> {
        match self.number(name)? {
            Some(number) if number.fract() != 0.0 => self.refuse(name, &number),
            number => Ok(number.map(|number| number as usize)),
        }
    }

    /// Returns a list of numbers, each within the declared limits, not empty; one number is a list of one.
    pub fn number_list(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let ParameterKind::NumberList(limits) = self.parameter(name).kind else { return self.refuse(name, &value) };
        if let Some(number) = as_number(value) {
            return if limits.allow(number) { Ok(Some(vec![number])) } else { self.refuse(name, &number) };
        }
        let Some(items) = list_items(value) else { return self.refuse(name, &Shown(value)) };
        let numeric = items.data_type().is_numeric() && items.null_count() == 0 && !items.is_empty();
        let cast = if numeric { arrow::compute::cast(&items, &DataType::Float64).ok() } else { None };
        let Some(cast) = cast else { return self.refuse(name, &Shown(value)) };
        let numbers: Vec<f64> =
            arrow::array::AsArray::as_primitive::<Float64Type>(&cast).values().iter().copied().collect();
        match numbers.iter().find(|number| !limits.allow(**number)) {
            Some(number) => self.refuse(name, &format!("{number} in the list")),
            None => Ok(Some(numbers)),
        }
    }

    /// Returns one of the declared names, in lower case; for an alias the name for which it stands.
    pub fn choice(&self, name: &str) -> Result<Option<&'static str>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let text = match value {
            value if value.data_type().is_integer() => Some(value.to_string()),
            value => value.try_as_str().flatten().map(str::to_owned),
        };
        let is = |name: &str| text.as_ref().is_some_and(|text| name.eq_ignore_ascii_case(text));
        let found = match self.parameter(name).kind {
            ParameterKind::Choice(names) => names.iter().find(|name| is(name)),
            ParameterKind::Alias(names) => {
                names.iter().find(|spellings| spellings.iter().any(|name| is(name))).and_then(|names| names.first())
            }
            _ => None,
        };
        match found {
            Some(name) => Ok(Some(name)),
            None => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns a text.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        match value.try_as_str().flatten() {
            Some(text) => Ok(Some(text.to_owned())),
            None => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns a list of texts, not empty.
    pub fn text_list(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let Some(items) = list_items(value) else { return self.refuse(name, &Shown(value)) };
        let texts: Option<Vec<String>> = (0..items.len())
            .map(|i| {
                ScalarValue::try_from_array(&items, i).ok().and_then(|v| v.try_as_str().flatten().map(str::to_owned))
            })
            .collect();
        match texts.filter(|texts| !texts.is_empty()) {
            Some(texts) => Ok(Some(texts)),
            None => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns `true` or `false`.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.constant(name)? {
            None => Ok(None),
            Some(ScalarValue::Boolean(Some(value))) => Ok(Some(*value)),
            Some(value) => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns a positive length of time in milliseconds.
    pub fn interval(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        match interval_milliseconds(value) {
            Some(milliseconds) if milliseconds > 0 => Ok(Some(milliseconds)),
            _ => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns a range of instants in milliseconds since the epoch; an end that is left open is the first or last there is.
    pub fn time_range(&self, name: &str) -> Result<Option<std::ops::Range<i64>>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let instant = |text: &str, open: i64| match text.trim() {
            "" => Some(open),
            text => match ScalarValue::from(text).cast_to(&time_type()) {
                Ok(ScalarValue::TimestampMillisecond(milliseconds, _)) => milliseconds,
                _ => None,
            },
        };
        let ends = value.try_as_str().flatten().and_then(|text| text.split_once(".."));
        let range = ends.and_then(|(from, to)| Some(instant(from, i64::MIN)?..instant(to, i64::MAX)?));
        match range.filter(|range| range.start < range.end) {
            Some(range) => Ok(Some(range)),
            None => self.refuse(name, &Shown(value)),
        }
    }

    /// Returns an instant in milliseconds since the epoch.
    pub fn timestamp(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.constant(name)? else { return Ok(None) };
        let accepted = matches!(value.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
            || value.try_as_str().is_some();
        match value.cast_to(&time_type()) {
            Ok(ScalarValue::TimestampMillisecond(Some(milliseconds), _)) if accepted => Ok(Some(milliseconds)),
            _ => self.refuse(name, &Shown(value)),
        }
    }
}

fn as_number(value: &ScalarValue) -> Option<f64> {
    if !value.data_type().is_numeric() {
        return None;
    }
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => number,
        _ => None,
    }
}

fn list_items(value: &ScalarValue) -> Option<arrow::array::ArrayRef> {
    match value {
        ScalarValue::List(list) => Some(list.value(0)),
        ScalarValue::LargeList(list) => Some(list.value(0)),
        ScalarValue::FixedSizeList(list) => Some(list.value(0)),
        _ => None,
    }
}

/// Returns the milliseconds of an interval or duration; `None` if it holds months, whose length varies, or parts of a
/// millisecond.
fn interval_milliseconds(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 86_400_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let whole = interval.months == 0 && interval.nanoseconds % 1_000_000 == 0;
            whole.then(|| i64::from(interval.days).checked_mul(DAY)?.checked_add(interval.nanoseconds / 1_000_000))?
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            Some(i64::from(interval.days) * DAY + i64::from(interval.milliseconds))
        }
        ScalarValue::DurationSecond(Some(seconds)) => seconds.checked_mul(1000),
        ScalarValue::DurationMillisecond(Some(milliseconds)) => Some(*milliseconds),
        ScalarValue::DurationMicrosecond(Some(micros)) => (micros % 1000 == 0).then_some(micros / 1000),
        ScalarValue::DurationNanosecond(Some(nanos)) => (nanos % 1_000_000 == 0).then_some(nanos / 1_000_000),
        _ => None,
    }
}

/// A constant as a user would write it.
struct Shown<'a>(&'a ScalarValue);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(Some(text)) = self.0.try_as_str() {
            return write!(f, "'{text}'");
        }
        // Intervals, times and lists have a form for readers only as arrays.
        let text = self.0.to_array().ok().and_then(|array| arrow::util::display::array_value_to_string(&array, 0).ok());
        match (self.0.data_type(), text) {
            (DataType::Interval(_), Some(text)) => write!(f, "INTERVAL '{text}'"),
            (_, Some(text)) if !self.0.is_null() => f.write_str(&text),
            _ => write!(f, "{}", self.0),
        }
    }
}

fn shown(expression: &Expr) -> String {
    match expression {
        Expr::Literal(value, _) => Shown(value).to_string(),
        Expr::Column(column) => format!("the column '{column}'"),
        Expr::OuterReferenceColumn(_, column) => format!("the column '{column}' of another relation"),
        Expr::ScalarSubquery(_) => "a subquery".to_owned(),
        other => other.human_display().to_string(),
    }
}

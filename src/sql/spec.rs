//! One declaration per table function: its name, what it takes, what it returns, and how to say so.
//!
//! From it come the planning of named arguments, every argument error, the help of the command line, the result of
//! `liq_functions()`, completion, the function table of the README, and the tests of the registry. Nothing about a
//! function is written twice.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{DocSection, Documentation};

use crate::market::Column;

/// What an argument may be.
#[derive(Debug, Clone, Copy)]
pub enum ParameterKind {
    /// A table name, a quoted name, a subquery, a CTE or another table function.
    Relation,
    /// One of a few names.
    Choice(&'static [&'static str]),
    /// One of a few names, each given with its aliases behind it; digits may be written as a number.
    Alias(&'static [&'static [&'static str]]),
    /// A number within limits.
    Number(Limits),
    /// Numbers, each within limits, as `[1, 2, 3]`, or one number.
    NumberList(Limits),
    /// A positive length of time without months, as `INTERVAL '1 hour'`.
    Interval,
    /// An instant, as `TIMESTAMP '2026-01-31 12:00:00'` or text of that form.
    Timestamp,
    /// `true` or `false`.
    Boolean,
    /// The name of a column.
    Name,
    /// Names of columns, as `['exchange', 'symbol']`.
    NameList,
    /// A text; the words say which.
    Text(&'static str),
    /// Time from an instant to another, the later one exclusive, as text: `2026-01-01..2026-02-01`.
    TimeRange,
}

impl ParameterKind {
    /// Returns the type as users write it.
    pub fn type_name(&self) -> &'static str {
        match self {
            ParameterKind::Relation => "relation",
            ParameterKind::Choice(_) | ParameterKind::Alias(_) | ParameterKind::Name | ParameterKind::Text(_) => "text",
            ParameterKind::TimeRange => "time range",
            ParameterKind::Number(_) => "number",
            ParameterKind::NumberList(_) => "number or list of numbers",
            ParameterKind::Interval => "interval",
            ParameterKind::Timestamp => "timestamp",
            ParameterKind::Boolean => "boolean",
            ParameterKind::NameList => "list of texts",
        }
    }

    /// Returns the words of an error message: `must be …`.
    pub fn expected(&self) -> String {
        match self {
            ParameterKind::Relation => {
                "a table name, a quoted name, a subquery in parentheses, a CTE or a table function".to_owned()
            }
            ParameterKind::Choice(names) => {
                format!("one of {}", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "))
            }
            ParameterKind::Alias(names) => {
                let spelled = names.iter().filter_map(|spellings| {
                    let (name, aliases) = spellings.split_first()?;
                    Some(format!("'{name}' (also {})", aliases.join(", ")))
                });
                format!("one of {}", spelled.collect::<Vec<_>>().join(", "))
            }
            ParameterKind::Number(limits) => limits.words.to_owned(),
            ParameterKind::NumberList(limits) => {
                format!("a number or a list of numbers such as [1, 2], each {}", limits.words)
            }
            ParameterKind::Interval => "a positive interval without months, such as INTERVAL '1 hour'".to_owned(),
            ParameterKind::Timestamp => "an instant, such as TIMESTAMP '2026-01-31 12:00:00'".to_owned(),
            ParameterKind::Boolean => "true or false".to_owned(),
            ParameterKind::Name => "the name of a column, as text".to_owned(),
            ParameterKind::NameList => "a list of column names such as ['exchange', 'symbol']".to_owned(),
            ParameterKind::Text(words) => (*words).to_owned(),
            ParameterKind::TimeRange => {
                "FROM..TO, such as '2026-01-01..2026-02-01' or '2026-01-01..', TO exclusive".to_owned()
            }
        }
    }
}

/// Limits of a number, and the words that say them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Smallest value.
    pub low: f64,
    /// Whether the smallest value itself is allowed.
    pub low_included: bool,
    /// Largest value, always allowed.
    pub high: f64,
    /// As said in an error message: `must be …`.
    pub words: &'static str,
}

impl Limits {
    /// Any finite number above zero.
    pub const POSITIVE: Limits = Limits { low: 0.0, low_included: false, high: f64::MAX, words: "a positive number" };

    /// Whether a number is allowed.
    pub fn allow(&self, value: f64) -> bool {
        value.is_finite() && value <= self.high && (value > self.low || (self.low_included && value == self.low))
    }
}

/// What holds where an argument is not given, or is NULL.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// It must be given.
    Required,
    /// Something that depends on the data or on other arguments, said in words.
    Derived(&'static str),
    /// A value, as written in SQL.
    Value(&'static str),
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Name, as in `name => value`.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
    /// What holds where it is not given.
    pub fallback: Fallback,
    /// Unit; empty where there is none.
    pub unit: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
}

impl Parameter {
    /// Returns a number if it is within the limits of a parameter of numbers.
    ///
    /// # Errors
    ///
    /// It is not; the error names the function, the parameter, what is allowed, and the number.
    pub fn check(&self, function: &str, value: f64) -> Result<f64> {
        match self.kind {
            ParameterKind::Number(limits) if !limits.allow(value) => {
                exec_err!("{function}: '{}' must be {}, was {value}", self.name, limits.words)
            }
            _ => Ok(value),
        }
    }

    /// Returns the default as shown to users.
    pub fn default_text(&self) -> &'static str {
        match self.fallback {
            Fallback::Required => "required",
            Fallback::Derived(words) => words,
            Fallback::Value(value) => value,
        }
    }
}

/// What a function returns.
#[derive(Debug, Clone, Copy)]
pub enum Returns {
    /// The same columns whatever the input.
    Columns(&'static [Column]),
    /// Columns that depend on the input, said in words.
    Derived(&'static str),
}

/// The declaration of a table function.
#[derive(Debug)]
pub struct Spec {
    /// Name in SQL.
    pub name: &'static str,
    /// What it does, in one line without a full stop.
    pub summary: &'static str,
    /// Parameters, in the order of positional arguments.
    pub parameters: &'static [Parameter],
    /// What it returns.
    pub returns: Returns,
    /// A query that runs on the embedded sample.
    pub example: &'static str,
}

impl Spec {
    /// Returns the position of a parameter.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name)
    }

    /// Returns the names of the parameters, joined for a message.
    pub fn parameter_names(&self) -> String {
        self.parameters.iter().map(|parameter| parameter.name).collect::<Vec<_>>().join(", ")
    }

    /// Returns what the engine shows of a scalar or window function.
    pub fn documentation(&self, label: &'static str) -> Documentation {
        let section = DocSection { include: true, label, description: None };
        let description = format!("{}. Returns {}.", self.summary, self.column_names());
        let documentation = Documentation::builder(section, description, self.signature())
            .with_sql_example(format!("```sql\n{}\n```", self.example));
        self.parameters
            .iter()
            .fold(documentation, |documentation, parameter| documentation.with_argument(parameter.name, parameter.doc))
            .build()
    }

    /// Returns the call as a user would write it, with the required arguments only.
    pub fn signature(&self) -> String {
        let shown = self.parameters.iter().map(|parameter| match parameter.fallback {
            Fallback::Required => parameter.name.to_owned(),
            Fallback::Derived(_) => format!("{} => …", parameter.name),
            Fallback::Value(value) => format!("{} => {value}", parameter.name),
        });
        format!("{}({})", self.name, shown.collect::<Vec<_>>().join(", "))
    }

    /// Returns the columns as shown to users.
    pub fn column_names(&self) -> String {
        match self.returns {
            Returns::Columns(columns) => columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "),
            Returns::Derived(words) => words.to_owned(),
        }
    }

    /// Returns the schema where it does not depend on the input, else an empty one.
    pub fn schema(&self) -> SchemaRef {
        match self.returns {
            Returns::Columns(columns) => Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>())),
            Returns::Derived(_) => Arc::new(Schema::empty()),
        }
    }
}

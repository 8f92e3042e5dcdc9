//! What went wrong, in one line a person can act on.
//!
//! [`one_line`] is the only place that knows how the engine decorates its errors; what its sentences mean is the
//! matter of `diagnosis`. [`Failure`] is what every part of the command line hands up: the sentence and, where there is
//! one, the file, the line, and the place in that line.

mod diagnosis;
mod excerpt;
pub(crate) mod nothing_found;
mod suggestion;
mod wording;

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;

pub(crate) use diagnosis::{Diagnosis, Finding};
pub(crate) use excerpt::Excerpt;
pub(crate) use wording::reworded;

use super::storage::explanation;

/// Words that say which layer of the engine failed. They nest, and tell a user of SQL nothing.
const LAYERS: &[&str] = &[
    "Error during planning: ",
    "External error: ",
    "External: ",
    "Execution error: ",
    "This feature is not implemented: ",
    "Arrow error: ",
    "Parquet error: ",
    "Parquet argument error: ",
    "Object Store error: ",
    "IO error: ",
    "Io error: ",
    "SQL error: ",
    "Schema error: ",
    "Internal error: ",
    "Invalid or Unsupported Configuration: ",
    "ExecutionJoin error: ",
    "FFI error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "Invalid argument error: ",
    "sql parser error: ",
    "type_coercion\ncaused by\n",
];

/// Where the engine stops describing the problem and starts asking for a bug report or printing its stack.
const TAILS: &[&str] = &["This issue was likely caused by a bug in DataFusion", "\n\nbacktrace:"];

/// After that request, the engine may still say which calls it would have taken.
const SIGNATURES: &str = " No function matches the given name and argument types";

/// Between a description of what was being done and the error that it met.
const CAUSED_BY: &str = "\ncaused by\n";

/// A failed statement, script or setting: what happened and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The file as the user named it, and the line in it, counted from 1. None when the error has no place.
    pub(crate) place: Option<(String, u64)>,
    /// One line, without an `error: ` before it. It is complete without the excerpt.
    pub(crate) message: String,
    /// The line of the script with the fault marked, where something knew the fault.
    pub(crate) excerpt: Option<Excerpt>,
}

impl Failure {
    /// A failure that belongs to no line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), excerpt: None }
    }

    /// A failure at a line of a script.
    pub(crate) fn at(script: &str, line: u64, message: impl Into<String>) -> Self {
        Self { place: Some((script.to_owned(), line)), message: message.into(), excerpt: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((script, line)) => write!(f, "{script}:{line}: error: {}", self.message)?,
            None => write!(f, "error: {}", self.message)?,
        }
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::new(one_line(&error))
    }
}

/// Returns the sentence at the heart of an engine error: no layer names, no chain of contexts, no request for a bug
/// report, no line breaks, and a lower-case beginning.
///
/// `Resources exhausted` stays: it is what a user searches for when a memory limit was set.
pub(crate) fn one_line(error: &DataFusionError) -> String {
    // What a store says is a sentence already, and begins with a name.
    if let Some(explanation) = explanation(error) {
        return explanation;
    }
    sentence(&innermost(error))
}

/// The same for a message that came as text.
pub(crate) fn sentence(message: &str) -> String {
    lower_first(&undecorated(message))
}

/// Removes the parser's ` at Line: 3, Column: 7` and returns the place it named.
pub(crate) fn take_location(message: &str) -> (String, Option<Location>) {
    let taken = || {
        let (before, position) = message.rsplit_once(" at Line: ")?;
        let (line, column) = position.split_once(", Column: ")?;
        let rest = column.trim_start_matches(|c: char| c.is_ascii_digit());
        let column = column[..column.len() - rest.len()].parse().ok()?;
        Some((format!("{before}{rest}"), Location::new(line.parse().ok()?, column)))
    };
    match taken() {
        Some((message, location)) => (message, Some(location)),
        None => (message.to_owned(), None),
    }
}

fn innermost(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Shared(inner) => innermost(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => innermost(first),
            None => "unknown error".to_owned(),
        },
        DataFusionError::External(inner) => innermost_of_any(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => innermost_of_arrow(inner),
        DataFusionError::ParquetError(inner) => match inner.as_ref() {
            ParquetError::External(inner) => innermost_of_any(inner.as_ref()),
            ParquetError::General(message) => message.clone(),
            other => other.to_string(),
        },
        DataFusionError::SQL(inner, note) => match inner.as_ref() {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
            ParserError::RecursionLimitExceeded => {
                format!("the statement is nested too deeply{}", note.as_deref().unwrap_or_default())
            }
        },
        DataFusionError::ResourcesExhausted(message) => format!("Resources exhausted: {message}"),
        DataFusionError::Internal(message) => message.clone(),
        DataFusionError::ObjectStore(inner) => inner.to_string(),
        DataFusionError::IoError(inner) => inner.to_string(),
        other => other.message().into_owned(),
    }
}

fn innermost_of_any(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        innermost(inner)
    } else if let Some(inner) = error.downcast_ref::<ArrowError>() {
        innermost_of_arrow(inner)
    } else {
        error.to_string()
    }
}

fn innermost_of_arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::ExternalError(inner) => innermost_of_any(inner.as_ref()),
        ArrowError::DivideByZero => "divide by zero".to_owned(),
        other => other.to_string(),
    }
}

/// Strips decoration from text, for errors that the engine had already turned into a string when it wrapped them.
fn undecorated(message: &str) -> String {
    let mut rest = message;
    let mut signatures = "";
    for tail in TAILS {
        if let Some(end) = rest.find(tail) {
            if let Some(start) = rest[end..].find(SIGNATURES) {
                signatures = &rest[end + start..];
            }
            // The engine puts a full stop between its own sentence and the request.
            rest = rest[..end].trim_end().trim_end_matches('.');
        }
    }
    if let Some(cause) = rest.rfind(CAUSED_BY) {
        rest = &rest[cause + CAUSED_BY.len()..];
    }
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    rest.split_whitespace().chain(signatures.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// Lower-cases the first word if it is an ordinary one: `BTCUSDT` and `Int64` are names and stay as they are.
fn lower_first(message: &str) -> String {
    let first = message.split_whitespace().next().unwrap_or_default();
    let mut letters = first.chars();
    let ordinary = letters.next().is_some_and(|c| c.is_ascii_uppercase())
        && letters.all(|c| c.is_ascii_lowercase() || c == ':' || c == ',');
    if !ordinary || message.starts_with("Resources exhausted") {
        return message.to_owned();
    }
    let mut lowered = message.to_owned();
    lowered[..1].make_ascii_lowercase();
    lowered
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn layers_are_stripped() {
        let error = DataFusionError::Plan("liq_heatmap: 'price_step' must be a positive number, was -5".into());
        assert_eq!(one_line(&error), "liq_heatmap: 'price_step' must be a positive number, was -5");
        let error = DataFusionError::NotImplemented("Unsupported thing".into());
        assert_eq!(one_line(&error), "unsupported thing");
        let nested = DataFusionError::External(Box::new(DataFusionError::Execution("Bad row".into())));
        assert_eq!(one_line(&nested), "bad row");
        let shared = DataFusionError::Shared(Arc::new(nested));
        assert_eq!(one_line(&shared), "bad row");
        let arrow = DataFusionError::from(ArrowError::ExternalError(Box::new(shared)));
        assert_eq!(one_line(&arrow), "bad row");
        let text = DataFusionError::Execution("External error: Error during planning: no such step".into());
        assert_eq!(one_line(&text), "no such step");
    }

    #[test]
    fn contexts_are_stripped() {
        let error = DataFusionError::Plan("cannot add".into()).context("type_coercion").context("outer");
        assert_eq!(one_line(&error), "cannot add");
        let text = DataFusionError::Execution("while reading\ncaused by\nExecution error: no file".into());
        assert_eq!(one_line(&text), "no file");
        let collection = DataFusionError::Collection(vec![DataFusionError::Plan("first".into()), error]);
        assert_eq!(one_line(&collection), "first");
    }

    #[test]
    fn requests_for_a_bug_report_are_stripped() {
        assert_eq!(one_line(&DataFusionError::Internal("Odd plan".into())), "odd plan");
        let wrapped = DataFusionError::Execution(DataFusionError::Internal("Odd plan".into()).to_string());
        assert_eq!(one_line(&wrapped), "odd plan");
    }

    #[test]
    fn it_is_one_line_and_keeps_names() {
        assert_eq!(one_line(&DataFusionError::Plan("a\n  b".into())), "a b");
        assert_eq!(one_line(&DataFusionError::Plan("BTCUSDT is unknown".into())), "BTCUSDT is unknown");
        let exhausted = DataFusionError::ResourcesExhausted("Failed to allocate 5 MB".into());
        assert_eq!(one_line(&exhausted), "Resources exhausted: Failed to allocate 5 MB");
    }

    #[test]
    fn the_parsers_position_is_taken_out() {
        let (message, location) = take_location("Expected: end of statement, found: 2 at Line: 12, Column: 5");
        assert_eq!(message, "Expected: end of statement, found: 2");
        assert_eq!(location, Some(Location::new(12, 5)));
        assert_eq!(take_location("no position").1, None);
    }

    #[test]
    fn a_failure_begins_with_its_place() {
        let failure = Failure::at("queries/x.sql", 12, "no such table");
        assert_eq!(failure.to_string(), "queries/x.sql:12: error: no such table");
        assert_eq!(Failure::new("no such table").to_string(), "error: no such table");
    }
}

//! What an error means for the statement that made it: the sentence, the place, and the name that was meant.
//!
//! ```text
//!   engine's error ──► what it says (typed, or by its words) ──► names of the session ──► sentence
//!   statement's words ───────────────────────────────────────────────────────────────► place
//! ```
//!
//! The place is, in this order: the span that the engine or a table function's planner attached, the argument of which
//! the sentence speaks, the one word that it quotes. Run-time errors of rows have none.

use std::collections::BTreeSet;

use datafusion::common::{Column, DataFusionError, SchemaError, TableReference};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::suggestion::{from_elsewhere, listed, nearest};
use super::wording::{matched, reworded};
use super::{one_line, sentence};
use crate::cli::script::Unparsed;
use crate::sql::spec::{Fallback, Spec};

/// Letters of a message at most. What is longer is a dump of the engine that nobody reads to its end.
const LONGEST: usize = 280;

/// Words with which a statement begins.
const STATEMENTS: &[&str] =
    &["SELECT", "WITH", "CREATE", "DROP", "INSERT", "COPY", "EXPLAIN", "SHOW", "SET", "DESCRIBE", "VALUES", "RESET"];

/// Words with which a part of a query begins, in the order of the parts.
const CLAUSES: &[&str] = &[
    "FROM",
    "JOIN",
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "QUALIFY",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "USING",
];

/// Names of types that can be written in a statement.
const TYPES: &[&str] = &[
    "int",
    "integer",
    "bigint",
    "smallint",
    "tinyint",
    "float",
    "double",
    "real",
    "decimal",
    "numeric",
    "text",
    "varchar",
    "string",
    "char",
    "boolean",
    "timestamp",
    "timestamptz",
    "date",
    "time",
    "interval",
    "bytea",
];

/// The schema that the engine makes up when it is asked for.
const INFORMATION_SCHEMA: &str = "information_schema";

/// How our indicators are called.
const OVER: &str = "OVER (PARTITION BY exchange, symbol ORDER BY ts)";

/// What is said about an error, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// One line.
    pub(crate) message: String,
    /// The words that it is about.
    pub(crate) place: Option<Span>,
}

/// Looks at the errors of one statement.
pub(crate) struct Diagnosis<'a> {
    /// The statement without space and comments.
    words: Vec<&'a TokenWithSpan>,
    state: SessionState,
}

impl<'a> Diagnosis<'a> {
    /// Takes what is needed to look at errors. Names are read when there is an error to explain, not before.
    pub(crate) fn new(statement: &'a Unparsed, context: &SessionContext) -> Self {
        Self { words: statement.words(), state: context.state() }
    }

    /// An error of the engine, while it planned or ran the statement.
    pub(crate) fn of_engine(&self, error: &DataFusionError) -> Finding {
        // Views and nested statements have places of their own, which mean nothing in this script.
        let spot = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .and_then(|span| self.word_at(Location::new(span.start.line, span.start.column)));
        let message = match schema_error(error) {
            Some(SchemaError::FieldNotFound { field, valid_fields }) => self.no_column(field, valid_fields, spot),
            Some(SchemaError::AmbiguousReference { field }) => ambiguous(field, error),
            Some(SchemaError::DuplicateQualifiedField { qualifier, .. }) => {
                format!("two relations are called '{}': give one of them another name with AS", bare(qualifier))
            }
            Some(SchemaError::DuplicateUnqualifiedField { name }) => {
                format!("two columns are called '{name}': give one of them another name with AS")
            }
            None => self.explained(&one_line(error)),
        };
        let end = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.end);
        // Of a call whose arguments could not be read, the engine knows no more than its name.
        let is_call = spot.is_some_and(|spot| table_function(self.text(spot)).is_some());
        let inner = if is_call && message.contains('\'') { self.place_of(&message, None) } else { None };
        let place = match spot {
            _ if inner.is_some() => inner,
            Some(spot) => {
                let whole = self.whole(spot, &message);
                let end = end.map_or(whole.end, |end| whole.end.max(Location::new(end.line, end.column)));
                Some(Span::new(whole.start, end))
            }
            None => self.place_of(&message, None),
        };
        Finding { message: shortened(message), place }
    }

    /// An error that is only known by its text.
    pub(crate) fn of_text(&self, message: &str) -> Finding {
        let message = self.explained(message);
        Finding { place: self.place_of(&message, None), message: shortened(message) }
    }

    /// An error of the program itself, in words that need no change.
    pub(crate) fn of_binding(&self, line: Option<u64>, message: String) -> Finding {
        let variable = matched("variable '{}' {}", &message).map(|parts| format!("${}", parts[0]));
        let is = |word: &&&TokenWithSpan| {
            matches!(&word.token, Token::Placeholder(name) if Some(name) == variable.as_ref())
                && line.is_none_or(|line| word.span.start.line == line)
        };
        let place = self.words.iter().find(is).map(|word| word.span);
        Finding { message, place }
    }

    /// An error of the parser, and where it stopped. It knows no place if the statement ended too early.
    pub(crate) fn of_parser(&self, stopped: Option<Location>, message: &str) -> Finding {
        let stop = stopped.map_or(Some(self.words.len()), |location| self.word_at(location));
        let message = reworded(message).replace("found: EOF", "found: the end of the statement");
        let message = message.replace("expected: end of statement", "expected: the end of the statement");
        if let Some(finding) = self.no_type(&message) {
            return finding;
        }
        let Some(stop) = stop.filter(|_| message.starts_with("expected: ")) else {
            let place = stopped.map(|start| Span::new(start, Location::new(start.line, start.column + 1)));
            return Finding { place: place.or_else(|| self.place_of(&message, None)), message: shortened(message) };
        };
        let (hint, at) = self.syntax(stop, &message);
        let place = match self.words.get(at) {
            Some(word) => Some(word.span),
            None => self.words.last().map(|last| {
                let end = last.span.end;
                Span::new(Location::new(end.line, end.column + 1), Location::new(end.line, end.column + 2))
            }),
        };
        Finding { message: shortened(format!("{message}{hint}")), place }
    }

    /// What would make the statement right, and the word that is wrong: seldom the one where the parser stopped.
    fn syntax(&self, stop: usize, message: &str) -> (String, usize) {
        let here = |hint: &str| (hint.to_owned(), stop);
        let found = self.text(stop);
        let before = stop.checked_sub(1);
        let is_end = message.starts_with("expected: the end of the statement");
        if message.starts_with("expected: an SQL statement") {
            return match nearest(found, STATEMENTS.iter().copied()) {
                Some(meant) => here(&format!(", did you mean {meant}?")),
                None => here(""),
            };
        }
        if found == "=>" || (found == ">" && before.is_some_and(|before| self.text(before) == "=")) {
            return here("; at least is written >=");
        }
        if found == "#" {
            return here("; a comment begins with --");
        }
        let after = |word: &str| before.is_some_and(|before| self.text(before).eq_ignore_ascii_case(word));
        if ["/", "//", ":", "~", "."].contains(&found)
            && self.words[..stop]
                .iter()
                .rev()
                .take(2)
                .any(|word| ["FROM", "JOIN", "TO", "LOCATION"].iter().any(|keyword| is_word(word, keyword)))
        {
            return here("; a file or an address is written in single quotes");
        }
        if is_word_at(&self.words, 0, "COPY") && found.eq_ignore_ascii_case("FROM") {
            return here("; COPY only writes, COPY … TO 'file': a file is read with SELECT … FROM 'file'");
        }
        if after("OVER") {
            return here("; OVER follows the call of a function, such as avg(close) OVER (…)");
        }
        if let Some(filter) = self.words[..stop].iter().rposition(|word| is_word(word, "FILTER"))
            && self.text(filter + 1) == "("
            && !self.text(filter + 2).eq_ignore_ascii_case("WHERE")
        {
            return here("; it is written FILTER (WHERE …)");
        }
        // A mistyped keyword is read as a name, and only what follows it cannot be.
        let suspect = before.filter(|before| *before > 0 && self.is_name(*before));
        if let Some(suspect) = suspect
            && let Some(meant) = nearest(self.text(suspect), CLAUSES.iter().copied())
        {
            return (format!("; did you mean {meant} instead of '{}'?", self.text(suspect)), suspect);
        }
        if self.is_name(stop)
            && let Some(meant) = nearest(found, CLAUSES.iter().copied())
        {
            return here(&format!(", did you mean {meant}?"));
        }
        if ["GROUP", "ORDER", "PARTITION"].iter().any(|word| found.eq_ignore_ascii_case(word))
            && !self.text(stop + 1).eq_ignore_ascii_case("BY")
        {
            return here(&format!("; it is written {} BY", found.to_ascii_uppercase()));
        }
        if is_end && CLAUSES.iter().any(|word| found.eq_ignore_ascii_case(word)) {
            return here(
                "; the order is SELECT, FROM, WHERE, GROUP BY, HAVING, QUALIFY, ORDER BY, LIMIT, each at most once",
            );
        }
        if before.is_some_and(|before| self.text(before) == ",") && !self.is_name(stop) {
            return here("; there is a comma too many before it");
        }
        if let Some(call) = self.words[..stop].windows(3).rposition(|words| {
            matches!(&words[0].token, Token::Word(word) if table_function(&word.value).is_some())
                && words[1].token == Token::LParen
                && matches!(&words[2].token, Token::Word(word) if ["SELECT", "WITH"].iter().any(|w| word.value.eq_ignore_ascii_case(w)))
        }) {
            let name = self.text(call);
            let hint = format!("; a subquery as an argument has parentheses of its own: {name}((SELECT …))");
            return (hint, call + 2);
        }
        if found == ")" && is_end {
            return here("; there is no ( for it");
        }
        let can_begin_an_item = matches!(
            self.words.get(stop).map(|word| &word.token),
            Some(Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_))
        );
        let count = |keyword: &str| self.words.iter().filter(|word| is_word(word, keyword)).count();
        if count("CASE") > count("END")
            && let Some(case) = self.words.iter().rposition(|word| is_word(word, "CASE"))
        {
            return ("; CASE … WHEN … THEN … needs an END".to_owned(), case);
        }
        if is_end && can_begin_an_item {
            return here("; is a comma or an operator missing before it?");
        }
        here("")
    }

    /// A sentence of the engine in our words, with the name that was meant.
    fn explained(&self, message: &str) -> String {
        let message = sentence(message);
        if let Some(parts) = matched("table '{}' not found", &message) {
            return self.no_table(parts[0]);
        }
        for kind in ["table", "view"] {
            if let Some(parts) = matched(&format!("{kind} '{{}}' doesn't exist."), &message) {
                return self.no_table(parts[0]);
            }
        }
        if let Some(parts) = matched("table function '{}' not found{}", &message) {
            return self.no_table_function(parts[0]);
        }
        if let Some(parts) = matched("invalid function '{}'. Did you mean '{}'?", &message) {
            return self.no_function(parts[0]);
        }
        if let Some(parts) = matched("invalid qualifier {}", &message) {
            return match nearest(parts[0], self.relations().iter().map(String::as_str)) {
                Some(meant) => format!("no table '{}' in this query, did you mean '{meant}'?", parts[0]),
                None => format!("no table '{}' in this query", parts[0]),
            };
        }
        if let Some(setting) = self.no_setting(&message) {
            return setting;
        }
        let format = matched("unable to find factory for {}", &message)
            .or_else(|| matched("there is no registered file format with ext {}", &message));
        if let Some(format) = format {
            let mut known: Vec<&str> = self.state.table_factories().keys().map(String::as_str).collect();
            known.sort_unstable();
            return format!("no file format '{}'; there are {}", format[0].to_ascii_lowercase(), listed(known));
        }
        if let Some(parts) = matched("unsupported date_trunc granularity: '{}'. Supported values are: {}", &message) {
            return match nearest(parts[0], parts[1].split(", ")) {
                Some(meant) => format!("no unit '{}' of time, did you mean '{meant}'?", parts[0]),
                None => format!("no unit '{}' of time; there are {}", parts[0], parts[1]),
            };
        }
        if let Some(finding) = self.no_type(&message) {
            return finding.message;
        }
        reworded(&message)
    }

    fn no_type(&self, message: &str) -> Option<Finding> {
        let parts = matched("unsupported SQL type {}", message)?;
        let name = parts[0].to_ascii_lowercase();
        let message = match nearest(&name, TYPES.iter().copied()) {
            Some(meant) => format!("no type '{name}', did you mean '{meant}'?"),
            None => format!("no type '{name}'; there are {}", listed(TYPES.iter().copied())),
        };
        Some(Finding { place: self.place_of(&message, None), message })
    }

    /// A column that no relation has. `spot` is the first word of its name in the statement.
    fn no_column(&self, field: &Column, valid: &[Column], spot: Option<usize>) -> String {
        // The engine lists the columns that SELECT made beside those that it made them of.
        let mut seen = BTreeSet::new();
        let is_new = |column: &&Column| seen.insert((column.relation.clone(), column.name.clone()));
        let valid: Vec<&Column> =
            valid.iter().filter(|column| !column.name.contains(['(', ' '])).filter(is_new).collect();
        let name = field.name.as_str();
        let spot = spot.or_else(|| self.only_word(name, None));
        let word = spot.map(|first| if field.relation.is_some() { first + 2 } else { first });
        let quoted = word
            .and_then(|word| self.words.get(word))
            .is_some_and(|word| matches!(&word.token, Token::Word(word) if word.quote_style.is_some()));
        let written = word.map_or(name, |word| self.text(word));
        let written = if written.eq_ignore_ascii_case(name) { written } else { name };
        let no_column = match &field.relation {
            Some(relation) => format!("no column '{}.{name}'", bare(relation)),
            None => format!("no column '{written}'"),
        };
        let same_relation = |column: &Column| match (&field.relation, &column.relation) {
            (Some(asked), Some(has)) => asked.resolved_eq(has) || asked.table() == has.table(),
            (asked, _) => asked.is_none(),
        };
        if let Some(relation) = &field.relation
            && !valid.iter().any(|column| same_relation(column))
        {
            if let Some(same) = valid.iter().find(|column| column.name == name) {
                return format!("{no_column}, did you mean '{}'?", full_name(same));
            }
            let mut relations: Vec<&str> = valid.iter().filter_map(|c| c.relation.as_ref()).map(bare).collect();
            relations.dedup();
            return match nearest(bare(relation), relations.iter().copied()) {
                Some(meant) => format!("no table '{}' in this query, did you mean '{meant}'?", bare(relation)),
                None if relations.is_empty() => format!("no table '{}' in this query", bare(relation)),
                None => format!("no table '{}' in this query; there are {}", bare(relation), listed(relations)),
            };
        }
        let mut names: Vec<&str> =
            valid.iter().filter(|column| same_relation(column)).map(|column| column.name.as_str()).collect();
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        let is_value = word.is_some_and(|word| {
            (quoted || self.text(word).chars().any(|c| c.is_ascii_uppercase())) && self.follows_comparison(word)
        });
        let text_in_quotes = || format!("{no_column}; text is written in single quotes: '{written}'");
        if let Some(same) = names.iter().find(|other| other.eq_ignore_ascii_case(name)) {
            return if quoted {
                format!("{no_column}, did you mean '{same}'? (a quoted name keeps its capitals)")
            } else {
                format!("{no_column}, did you mean \"{same}\"? (a name with capitals is written in double quotes)")
            };
        }
        if is_value {
            return text_in_quotes();
        }
        if let Some(meant) = nearest(name, names.iter().copied()) {
            let mut owners = valid.iter().filter(|column| column.name == meant && same_relation(column));
            let meant = match (owners.next(), field.relation.is_some() || owners.next().is_some()) {
                (Some(column), true) => full_name(column),
                _ => meant.to_owned(),
            };
            return format!("{no_column}, did you mean '{meant}'?");
        }
        if self.is_alias(name) {
            return format!("{no_column} yet: SELECT names it later; repeat its expression, or use a subquery");
        }
        if quoted {
            return text_in_quotes();
        }
        if table_function(name).is_some() {
            return format!("{no_column}; {}", in_from(name));
        }
        if self.has_function(name) {
            return format!("{no_column}; the function is written {name}()");
        }
        if word.is_some_and(|word| is_word_at(&self.words, word, "NOT")) {
            return "NOT needs a condition after it".to_owned();
        }
        if !names.is_empty() {
            return format!("{no_column}; there are {}", listed(names));
        }
        // After an operator the parser reads FROM as the name of a column.
        let swallowed = (1..self.words.len()).find(|at| {
            let operators = [Token::StringConcat, Token::Plus, Token::Minus, Token::Div, Token::Mod, Token::Eq];
            is_word(self.words[*at], "FROM") && operators.contains(&self.words[at - 1].token)
        });
        if let Some(from) = swallowed {
            return format!("expected: an expression after {}, found: FROM", self.words[from - 1].token);
        }
        if self.words.iter().any(|word| is_word(word, "FROM")) {
            format!("{no_column} here, where only constants can stand")
        } else {
            format!("{no_column}: the statement has no FROM")
        }
    }

    fn no_table(&self, reference: &str) -> String {
        let catalog = &self.state.config_options().catalog;
        // The engine writes every name in full, and does not quote what needs it.
        let reference = reference.strip_prefix(&format!("{}.", catalog.default_catalog)).unwrap_or(reference);
        let reference = reference.strip_prefix(&format!("{}.", catalog.default_schema)).unwrap_or(reference);
        if reference.contains(['/', '\\']) {
            return format!("no file '{reference}', or its name tells no format: .parquet, .csv, .json, .ndjson");
        }
        let (schema, name) = match reference.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, reference),
        };
        if let Some(schema) = schema {
            let schemas = self.schemas();
            if !schemas.iter().any(|known| known == schema) {
                return match nearest(schema, schemas.iter().map(String::as_str)) {
                    Some(meant) => format!("no schema '{schema}', did you mean '{meant}'?"),
                    None => format!("no schema '{schema}'; there are {}", listed(schemas.iter().map(String::as_str))),
                };
            }
            let tables = self.tables_of(schema);
            return match nearest(name, tables.iter().map(String::as_str)) {
                Some(meant) => format!("no table '{schema}.{name}', did you mean '{schema}.{meant}'?"),
                None => format!("no table '{schema}.{name}'; there are {}", listed(tables.iter().map(String::as_str))),
            };
        }
        if self.defined_by_with().iter().any(|defined| defined == name) {
            return format!(
                "no table '{name}' yet: a query can read itself only after WITH RECURSIVE, as {name} AS (SELECT … UNION \
                 ALL SELECT … FROM {name})"
            );
        }
        if table_function(name).is_some() {
            return format!("no table '{name}'; {}", in_from(name));
        }
        let mut tables = self.defined_by_with();
        tables.extend(self.tables_of(&catalog.default_schema));
        if let Some(same) = tables.iter().find(|table| table.eq_ignore_ascii_case(name)) {
            return format!("no table '{name}', did you mean '{same}'? (a quoted name keeps its capitals)");
        }
        let functions = crate::sql::functions::all().map(|spec| spec.name);
        let meant = nearest(name, tables.iter().map(String::as_str));
        match meant.or_else(|| nearest(name, functions)) {
            Some(meant) if table_function(meant).is_some() => format!("no table '{name}'; {}", in_from(meant)),
            Some(meant) => format!("no table '{name}', did you mean '{meant}'?"),
            None if tables.is_empty() => format!("no table '{name}'"),
            None => format!("no table '{name}'; there are {}", listed(tables.iter().map(String::as_str))),
        }
    }

    fn no_table_function(&self, name: &str) -> String {
        let said = format!("no table function '{name}'");
        if self.tables_of(&self.state.config_options().catalog.default_schema).iter().any(|table| table == name) {
            return format!("{said}: '{name}' is a table, without parentheses");
        }
        if self.has_function(name) {
            return format!("{said}: '{name}' computes a value, and stands in SELECT");
        }
        let mut names: Vec<&str> = crate::sql::functions::all().map(|spec| spec.name).collect();
        let mut others: Vec<&str> = self.state.table_functions().keys().map(String::as_str).collect();
        others.sort_unstable();
        names.extend(others);
        match nearest(name, names.iter().copied()) {
            Some(meant) => format!("{said}, did you mean '{meant}'?"),
            None => format!("{said}; liq_functions() lists them"),
        }
    }

    fn no_function(&self, name: &str) -> String {
        let said = format!("no function '{name}'");
        if table_function(name).is_some() || self.state.table_functions().contains_key(name) {
            return format!("'{name}' is a table function: it stands after FROM");
        }
        if crate::sql::windows::specs().any(|spec| spec.name == name) {
            return format!("'{name}' is a window function: it needs {OVER}");
        }
        if self.state.window_functions().contains_key(name) {
            return format!("'{name}' is a window function: it needs OVER (ORDER BY …)");
        }
        if let Some(here) = from_elsewhere(name) {
            return format!("{said}; it is written {here}");
        }
        let ours = crate::sql::scalars::specs().chain(crate::sql::windows::specs()).map(|spec| spec.name);
        let mut names: Vec<&str> = ours.collect();
        let mut others: Vec<&str> = self
            .state
            .scalar_functions()
            .keys()
            .chain(self.state.aggregate_functions().keys())
            .chain(self.state.window_functions().keys())
            .map(String::as_str)
            .collect();
        others.sort_unstable();
        names.extend(others);
        let tables = crate::sql::functions::all().map(|spec| spec.name);
        match nearest(name, names.iter().copied()) {
            Some(meant) => format!("{said}, did you mean '{meant}'?"),
            None => match nearest(name, tables) {
                Some(meant) => format!("{said}; {}", in_from(meant)),
                None => said,
            },
        }
    }

    /// A setting, or an option of a file format, that does not exist or has a wrong value.
    fn no_setting(&self, message: &str) -> Option<String> {
        let sets = self.words.first().is_some_and(|word| is_word(word, "SET") || is_word(word, "RESET"));
        let shows = matched("'{}' is not a variable which can be viewed with 'SHOW'", message);
        if let Some(parts) = &shows
            && parts[0].is_empty()
        {
            return Some("expected: a setting or TABLES after SHOW, found: the end of the statement".to_owned());
        }
        let option = matched("config value \"{}\" not found on {}", message);
        let unknown = option.is_some() || matched("could not find config namespace {}", message).is_some();
        if !sets {
            if let Some(parts) = shows {
                return Some(nearest_setting(parts[0], &self.settings()));
            }
            let option = option?[0];
            let options = self.state.default_table_options().entries();
            let mut names: Vec<&str> = options
                .iter()
                .filter_map(|entry| entry.key.rsplit('.').next())
                .filter(|name| !name.is_empty())
                .collect();
            names.sort_unstable();
            names.dedup();
            return Some(match nearest(option, names) {
                Some(meant) => format!("no option '{option}', did you mean '{meant}'?"),
                None => format!("no option '{option}'"),
            });
        }
        let end = self.words.iter().position(|word| word.token == Token::Eq || is_word(word, "TO"))?;
        let key: String = self.words.get(1..end)?.iter().map(|word| text_of(word)).collect();
        if unknown {
            return Some(nearest_setting(&key, &self.settings()));
        }
        let value: String = self.words.get(end + 1..)?.iter().map(|word| text_of(word)).collect();
        let must = match message {
            "invalid digit found in string" | "cannot parse integer from empty string" => "be a whole number",
            "provided string was not `true` or `false`" => "be true or false",
            "invalid float literal" => "be a number",
            _ => return Some(format!("setting '{key}' cannot be '{value}': {}", reworded(message))),
        };
        Some(format!("setting '{key}' must {must}, was '{value}'"))
    }

    fn settings(&self) -> Vec<String> {
        let mut names: Vec<String> = self.state.config_options().entries().into_iter().map(|entry| entry.key).collect();
        names.extend(self.state.runtime_env().config_entries().into_iter().map(|entry| entry.key));
        names.sort();
        names
    }

    fn schemas(&self) -> Vec<String> {
        let catalog = self.state.catalog_list().catalog(&self.state.config_options().catalog.default_catalog);
        let mut names = catalog.map_or_else(Vec::new, |catalog| catalog.schema_names());
        names.push(INFORMATION_SCHEMA.to_owned());
        names.sort();
        names.dedup();
        names
    }

    fn tables_of(&self, schema: &str) -> Vec<String> {
        if schema == INFORMATION_SCHEMA {
            return ["columns", "df_settings", "parameters", "routines", "schemata", "tables", "views"]
                .map(str::to_owned)
                .to_vec();
        }
        let catalog = self.state.catalog_list().catalog(&self.state.config_options().catalog.default_catalog);
        let schema = catalog.and_then(|catalog| catalog.schema(schema));
        let mut names = schema.map_or_else(Vec::new, |schema| schema.table_names());
        names.sort();
        names
    }

    fn has_function(&self, name: &str) -> bool {
        self.state.scalar_functions().contains_key(name)
            || self.state.aggregate_functions().contains_key(name)
            || self.state.window_functions().contains_key(name)
    }

    /// Names after WITH: `name AS (` that follows WITH, RECURSIVE or a comma.
    fn defined_by_with(&self) -> Vec<String> {
        let mut names = Vec::new();
        for at in 1..self.words.len() {
            let begins = ["WITH", "RECURSIVE"].iter().any(|word| is_word(self.words[at - 1], word))
                || self.words[at - 1].token == Token::Comma;
            let defines = is_word_at(&self.words, at + 1, "AS")
                && self.words.get(at + 2).is_some_and(|word| word.token == Token::LParen);
            if begins && defines && self.is_name(at) {
                names.push(self.text(at).to_lowercase());
            }
        }
        names
    }

    /// Names that relations have in this query: what follows FROM, JOIN and AS.
    fn relations(&self) -> Vec<String> {
        let follows = |at: usize| ["FROM", "JOIN", "AS"].iter().any(|word| is_word(self.words[at - 1], word));
        (1..self.words.len())
            .filter(|at| self.is_name(*at) && (follows(*at) || self.is_name(*at - 1)))
            .map(|at| self.text(at).to_lowercase())
            .collect()
    }

    /// Whether SELECT gives this name to an expression.
    fn is_alias(&self, name: &str) -> bool {
        (1..self.words.len()).any(|at| is_word(self.words[at - 1], "AS") && self.text(at).eq_ignore_ascii_case(name))
    }

    fn follows_comparison(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|at| self.words.get(at)) else { return false };
        matches!(
            before.token,
            Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq
        ) || is_word(before, "LIKE")
            || is_word(before, "ILIKE")
            || (before.token == Token::LParen && at > 1 && is_word(self.words[at - 2], "IN"))
    }

    /// The index of the word that covers a location.
    fn word_at(&self, location: Location) -> Option<usize> {
        self.words.iter().position(|word| word.span.start <= location && location < word.span.end)
    }

    /// A word as it was written, without the quotes of a name. Empty after the last one.
    fn text(&self, at: usize) -> &str {
        match self.words.get(at).map(|word| &word.token) {
            Some(Token::Word(word)) => &word.value,
            Some(Token::Number(text, _) | Token::SingleQuotedString(text) | Token::Placeholder(text)) => text,
            Some(token) => symbol(token),
            None => "",
        }
    }

    /// Whether a word is an ordinary name and no keyword.
    fn is_name(&self, at: usize) -> bool {
        matches!(self.words.get(at).map(|word| &word.token), Some(Token::Word(word)) if word.keyword == Keyword::NoKeyword)
    }

    /// The range of which the engine gave the beginning: a whole argument, a name with its table, or the word itself.
    fn whole(&self, spot: usize, message: &str) -> Span {
        if let Some((function, parameter)) = speaks_of(message)
            && let Some(range) = self.argument(function, parameter, Some(spot))
        {
            return range;
        }
        // What the engine leaves out of its span: the sign of a number, the type before a constant.
        let introduced = spot.checked_sub(1).filter(|before| {
            let before = self.words[*before];
            before.token == Token::Minus || ["INTERVAL", "TIMESTAMP", "DATE"].iter().any(|word| is_word(before, word))
        });
        let is_text = matches!(self.words[spot].token, Token::SingleQuotedString(_) | Token::Number(..));
        let first = self.words[introduced.filter(|_| is_text).unwrap_or(spot)].span;
        let mut end = self.words[spot].span.end;
        let mut at = spot;
        while self.words.get(at + 1).is_some_and(|word| word.token == Token::Period)
            && let Some(part) = self.words.get(at + 2)
        {
            end = part.span.end;
            at += 2;
        }
        Span::new(first.start, end)
    }

    /// The place of which a message speaks, where nothing attached one.
    fn place_of(&self, message: &str, line: Option<u64>) -> Option<Span> {
        let span = |at: usize| self.words[at].span;
        if let Some((function, parameter)) = speaks_of(message) {
            let column = message.split_once("column '").and_then(|(_, rest)| rest.split_once('\''));
            let literal = column.and_then(|(column, _)| self.only_word(column, line)).filter(|at| self.is_string(*at));
            return literal
                .map(span)
                .or_else(|| self.argument(function, parameter, None))
                .or_else(|| self.only_word(parameter, line).map(span))
                .or_else(|| self.only_word(function.name, line).map(span));
        }
        if let Some((name, _)) = message.strip_prefix("no function ").and_then(|rest| rest.split_once('(')) {
            return self.only_word(name, line).map(span);
        }
        let Some((quoted, _)) = message.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')) else {
            // A part of the statement that the message names in capitals.
            let is_capital = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
            let capitals = message.split(|c: char| !c.is_alphanumeric()).find(is_capital)?;
            return self.only_word(capitals, line).map(span);
        };
        if let Some(at) = self.only_word(quoted, line) {
            return Some(span(at));
        }
        // The words of `sample.candels`.
        let parts: Vec<&str> = quoted.split('.').collect();
        let begins = |at: &usize| {
            parts.iter().enumerate().all(|(part, text)| self.text(at + 2 * part).eq_ignore_ascii_case(text))
        };
        let first = (0..self.words.len()).find(begins).filter(|_| parts.len() > 1)?;
        Some(Span::new(span(first).start, span(first + 2 * (parts.len() - 1)).end))
    }

    fn is_string(&self, at: usize) -> bool {
        matches!(self.words[at].token, Token::SingleQuotedString(_))
    }

    /// The one word of the statement that is this name or this text; of several the only one in `line`.
    fn only_word(&self, text: &str, line: Option<u64>) -> Option<usize> {
        let is = |at: &usize| match &self.words[*at].token {
            Token::Word(word) if word.quote_style.is_some() => word.value == text,
            Token::Word(word) => word.value.eq_ignore_ascii_case(text),
            // An option with its prefix, or the ending of a file.
            Token::SingleQuotedString(string) => {
                string == text || string.rsplit_once('.').is_some_and(|(_, last)| last == text)
            }
            Token::Placeholder(name) => name.strip_prefix('$') == Some(text),
            Token::Number(digits, _) => digits == text,
            _ => false,
        };
        let only = |mut found: Box<dyn Iterator<Item = usize> + '_>| found.next().filter(|_| found.next().is_none());
        let all = || (0..self.words.len()).filter(is);
        match line {
            Some(line) => only(Box::new(all().filter(|at| self.words[*at].span.start.line == line))),
            None => None,
        }
        .or_else(|| only(Box::new(all())))
    }

    /// The value of an argument in a call of `function`: from after its name to the comma. Of several calls the one that
    /// holds the word `inside`, or the only one that gives the argument.
    fn argument(&self, function: &Spec, parameter: &str, inside: Option<usize>) -> Option<Span> {
        let position = function.position(parameter)?;
        let mut found: Vec<(usize, usize)> = Vec::new();
        for call in 0..self.words.len() {
            let begins = matches!(&self.words[call].token, Token::Word(word) if word.value.eq_ignore_ascii_case(function.name))
                && self.words.get(call + 1).is_some_and(|word| word.token == Token::LParen);
            if !begins {
                continue;
            }
            let arguments = self.arguments(call + 2);
            let is_named = |(from, _): &(usize, usize)| self.is_assignment(from + 1);
            let named =
                arguments.iter().find(|range| is_named(range) && self.text(range.0).eq_ignore_ascii_case(parameter));
            let range = match named {
                Some((from, to)) => Some((from + 2, *to)),
                None => arguments.get(position).filter(|range| !is_named(range)).copied(),
            };
            // An error inside the argument's own subquery has a place of its own.
            found
                .extend(range.filter(|(from, to)| from < to && inside.is_none_or(|at| from - 1 <= at + 1 && at < *to)));
        }
        let (from, to) = match found.as_slice() {
            [one] => *one,
            [.., last] if inside.is_some() => *last,
            _ => return None,
        };
        Some(Span::new(self.words[from].span.start, self.words[to - 1].span.end))
    }

    /// The ranges of the arguments of a call, of which `start` is the first word.
    fn arguments(&self, start: usize) -> Vec<(usize, usize)> {
        let mut depth = 0_usize;
        let mut from = start;
        let mut ranges = Vec::new();
        for at in start..self.words.len() {
            match self.words[at].token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
                Token::RParen => {
                    ranges.push((from, at));
                    return ranges;
                }
                Token::Comma if depth == 0 => {
                    ranges.push((from, at));
                    from = at + 1;
                }
                _ => {}
            }
        }
        ranges
    }

    fn is_assignment(&self, at: usize) -> bool {
        matches!(self.words.get(at).map(|word| &word.token), Some(Token::RArrow | Token::Assignment))
    }
}

/// The error of names that is at the heart of an engine error, if it is one.
fn schema_error(error: &DataFusionError) -> Option<&SchemaError> {
    match error {
        DataFusionError::SchemaError(inner, _) => Some(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => schema_error(inner),
        DataFusionError::Shared(inner) => schema_error(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(schema_error),
        DataFusionError::External(inner) => inner.downcast_ref::<DataFusionError>().and_then(schema_error),
        _ => None,
    }
}

/// The engine keeps the relations that have the column in notes beside its error.
fn ambiguous(field: &Column, error: &DataFusionError) -> String {
    let notes = error.diagnostic().map_or(&[][..], |diagnostic| &diagnostic.notes);
    let mut owners: Vec<&str> = Vec::new();
    for note in notes {
        if let Some(column) = note.message.strip_prefix("possible column ") {
            owners.push(column);
        }
    }
    match owners.as_slice() {
        [one, .., other] => format!("column '{}' is in several tables: write {one} or {other}", field.name),
        _ => format!("column '{}' is in several tables: write the table before it", field.name),
    }
}

/// The function and the argument of which one of our own messages speaks: `liq_heatmap: 'step' must be …`.
fn speaks_of(message: &str) -> Option<(&'static Spec, &str)> {
    let (function, rest) = message.split_once(": ")?;
    let spec = specs().find(|spec| spec.name == function)?;
    let quoted = rest.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')).map_or("", |(quoted, _)| quoted);
    Some((spec, quoted))
}

/// Every function of ours.
fn specs() -> impl Iterator<Item = &'static Spec> {
    crate::sql::functions::all().chain(crate::sql::scalars::specs()).chain(crate::sql::windows::specs())
}

fn table_function(name: &str) -> Option<&'static Spec> {
    crate::sql::functions::all().find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// How a table function is called.
fn in_from(name: &str) -> String {
    let Some(spec) = table_function(name) else { return format!("'{name}' is a table function") };
    let required = spec.parameters.iter().filter(|parameter| matches!(parameter.fallback, Fallback::Required));
    let mut arguments: Vec<&str> = required.map(|parameter| parameter.name).collect();
    if arguments.len() < spec.parameters.len() {
        arguments.push("…");
    }
    format!("the table function is written FROM {}({})", spec.name, arguments.join(", "))
}

fn nearest_setting(key: &str, settings: &[String]) -> String {
    let tail = |setting: &str| setting.rsplit('.').next().unwrap_or_default().to_owned();
    let by_tail = settings.iter().find(|setting| tail(setting) == tail(key));
    match by_tail.map(String::as_str).or_else(|| nearest(key, settings.iter().map(String::as_str))) {
        Some(meant) => format!("no setting '{key}', did you mean '{meant}'?"),
        None => format!("no setting '{key}'; SHOW ALL lists them"),
    }
}

fn bare(reference: &TableReference) -> &str {
    reference.table()
}

fn full_name(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", bare(relation), column.name),
        None => column.name.clone(),
    }
}

fn is_word(word: &TokenWithSpan, text: &str) -> bool {
    matches!(&word.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn is_word_at(words: &[&TokenWithSpan], at: usize, text: &str) -> bool {
    words.get(at).is_some_and(|word| is_word(word, text))
}

fn text_of(word: &TokenWithSpan) -> String {
    match &word.token {
        Token::SingleQuotedString(text) => text.clone(),
        token => token.to_string(),
    }
}

fn symbol(token: &Token) -> &'static str {
    match token {
        Token::RArrow => "=>",
        Token::Eq => "=",
        Token::Gt => ">",
        Token::Comma => ",",
        Token::LParen => "(",
        Token::RParen => ")",
        Token::Sharp => "#",
        Token::Colon => ":",
        Token::Div => "/",
        Token::DuckIntDiv => "//",
        Token::Tilde => "~",
        Token::Period => ".",
        _ => "",
    }
}

/// Cuts what is too long at the end of a word.
fn shortened(message: String) -> String {
    if message.chars().count() <= LONGEST {
        return message;
    }
    let cut: String = message.chars().take(LONGEST).collect();
    let end = cut.rfind(' ').unwrap_or(cut.len());
    format!("{} …", cut[..end].trim_end_matches([',', ';', ':']))
}

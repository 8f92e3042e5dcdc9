//! Variables: `$name` in a statement, declared in a script's header, set from outside, bound in the parsed statement.
//!
//! ```text
//! -- $symbol text = 'BTCUSDT'  which pair        declaration: name, type, default, doc
//! --set symbol=ETHUSDT                           a setting: always text, read by the declared type
//! WHERE symbol = $symbol                         bound to a typed literal in the syntax tree
//! ```
//!
//! Nothing here touches the text of a statement: a value can never become syntax.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use chrono::DateTime;
use datafusion::arrow::compute::kernels::cast_utils::{parse_interval_month_day_nano, string_to_timestamp_nanos};
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Interval, ObjectNamePart, TableFactor,
    TimezoneInfo, TypedString, UnaryOperator, Value as SqlValue, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::error::Failure;

/// What a variable may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Number,
    /// True or false.
    Boolean,
    /// An instant; without an offset it is UTC.
    Timestamp,
    /// A length of time such as `5 minutes`.
    Interval,
    /// The name of a relation, for an argument of a table function.
    Table,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Text, Self::Integer, Self::Number, Self::Boolean, Self::Timestamp, Self::Interval, Self::Table];

    /// The word for it in a declaration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Interval => "interval",
            Self::Table => "table",
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Timestamp => "a timestamp",
            Self::Interval => "an interval",
            Self::Table => "a table",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// A checked value, ready to stand in a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// SQL NULL, possible only as a default.
    Null,
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Integer`].
    Integer(i64),
    /// See [`Kind::Number`]; always finite.
    Number(f64),
    /// See [`Kind::Boolean`].
    Boolean(bool),
    /// See [`Kind::Timestamp`]: ISO text in UTC without an offset.
    Timestamp(String),
    /// See [`Kind::Interval`]: text that the engine reads as an interval.
    Interval(String),
    /// See [`Kind::Table`].
    Table(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(value) | Self::Timestamp(value) | Self::Interval(value) | Self::Table(value) => {
                write!(f, "'{}'", value.replace('\'', "''"))
            }
        }
    }
}

impl Value {
    /// Reads `text` as a value of `kind`.
    ///
    /// # Errors
    /// Names the variable, the type and the text.
    pub(crate) fn parse(name: &str, kind: Kind, text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let value = match kind {
            Kind::Text => Some(Self::Text(text.to_owned())),
            Kind::Integer => trimmed.parse().ok().map(Self::Integer),
            Kind::Number => trimmed.parse().ok().filter(|n: &f64| n.is_finite()).map(Self::Number),
            Kind::Boolean => boolean(trimmed).map(Self::Boolean),
            Kind::Timestamp => timestamp(trimmed).map(Self::Timestamp),
            Kind::Interval => {
                parse_interval_month_day_nano(trimmed).is_ok().then(|| Self::Interval(trimmed.to_owned()))
            }
            Kind::Table => (!trimmed.is_empty()).then(|| Self::Table(trimmed.to_owned())),
        };
        value.ok_or_else(|| {
            let example = match kind {
                Kind::Timestamp => " such as 2024-06-01T12:00:00Z",
                Kind::Interval => " such as '5 minutes'",
                _ => "",
            };
            format!("variable '{name}' must be {}{example}, was '{text}'", kind.with_article())
        })
    }

    /// Reads `text` as the narrowest of integer, number, boolean and text that it can be.
    pub(crate) fn infer(text: &str) -> Self {
        let trimmed = text.trim();
        if let Ok(value) = trimmed.parse() {
            return Self::Integer(value);
        }
        // `inf` and `nan` parse as floating point, but as a bare word they are far more likely to be names.
        if trimmed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && let Some(value) = trimmed.parse().ok().filter(|n: &f64| n.is_finite())
        {
            return Self::Number(value);
        }
        match trimmed {
            "true" | "TRUE" => Self::Boolean(true),
            "false" | "FALSE" => Self::Boolean(false),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// The literal that stands for this value in a statement. None for a table, which is not a value.
    fn literal(&self) -> Option<Expr> {
        Some(match self {
            Self::Null => sql_value(SqlValue::Null),
            Self::Text(text) => sql_value(SqlValue::SingleQuotedString(text.clone())),
            Self::Integer(value) => signed(value.unsigned_abs().to_string(), *value < 0),
            Self::Number(value) => {
                // `{:?}` keeps a decimal point or an exponent, so that 5 stays a floating-point number.
                signed(format!("{:?}", value.abs()), value.is_sign_negative() && *value != 0.0)
            }
            Self::Boolean(value) => sql_value(SqlValue::Boolean(*value)),
            Self::Timestamp(text) => Expr::TypedString(TypedString {
                data_type: DataType::Timestamp(None, TimezoneInfo::None),
                value: SqlValue::SingleQuotedString(text.clone()).into(),
                uses_odbc_syntax: false,
            }),
            Self::Interval(text) => Expr::Interval(Interval {
                value: Box::new(sql_value(SqlValue::SingleQuotedString(text.clone()))),
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            }),
            Self::Table(_) => return None,
        })
    }
}

/// One `-- $name type = default  doc` line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declaration {
    /// Without the `$`.
    pub(crate) name: String,
    /// What the variable may hold.
    pub(crate) kind: Kind,
    /// Used when nothing sets the variable.
    pub(crate) default: Option<Value>,
    /// What it is for.
    pub(crate) doc: String,
    /// Where it stands in the script.
    pub(crate) line: u64,
}

impl Declaration {
    /// Reads the text after `--`. None if it does not begin with `$`, and so is an ordinary comment.
    ///
    /// # Errors
    /// Says what is wrong with a line that begins like a declaration.
    pub(crate) fn parse(comment: &str, line: u64) -> Option<Result<Self, String>> {
        let text = comment.trim().strip_prefix('$')?;
        Some(Self::parse_after_dollar(text, line))
    }

    fn parse_after_dollar(text: &str, line: u64) -> Result<Self, String> {
        let (name, rest) = first_word(text);
        if !is_name(name) {
            return Err(format!("a variable's name must be letters, digits and underscores, was '{name}'"));
        }
        let (kind_name, rest) = first_word(rest);
        let Some(kind) = Kind::named(kind_name) else {
            let allowed = Kind::ALL.map(Kind::name).join(", ");
            return Err(format!("variable '{name}' must have one of the types {allowed}, was '{kind_name}'"));
        };
        let (default, doc) = match rest.strip_prefix('=') {
            Some(rest) => {
                let (value, doc) = default_value(name, rest.trim_start())?;
                let default = match value {
                    DefaultText::Null => Value::Null,
                    DefaultText::Given(text) => Value::parse(name, kind, &text)?,
                };
                (Some(default), doc)
            }
            None => (None, rest),
        };
        Ok(Self { name: name.to_owned(), kind, default, doc: doc.trim().to_owned(), line })
    }
}

enum DefaultText {
    Null,
    Given(String),
}

/// Splits `'it''s'  doc` or `0.5  doc` into the value and the doc. `INTERVAL '…'` and `TIMESTAMP '…'` may be written
/// as in SQL.
fn default_value<'a>(name: &str, text: &'a str) -> Result<(DefaultText, &'a str), String> {
    let (word, rest) = first_word(text);
    if word.eq_ignore_ascii_case("null") {
        return Ok((DefaultText::Null, rest));
    }
    let quoted_part = if (word.eq_ignore_ascii_case("interval") || word.eq_ignore_ascii_case("timestamp"))
        && rest.starts_with('\'')
    {
        rest
    } else {
        text
    };
    let Some(quoted) = quoted_part.strip_prefix('\'') else {
        if word.is_empty() {
            return Err(format!("variable '{name}' must have a default after '='"));
        }
        return Ok((DefaultText::Given(word.to_owned()), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '\'' {
            value.push(letter);
        } else if letters.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Ok((DefaultText::Given(value), &quoted[at + 1..]));
        }
    }
    Err(format!("the default of variable '{name}' must end with a quote"))
}

/// What `$name` stands for while one script (or the REPL) runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    values: BTreeMap<String, Value>,
    /// How a user of this program sets a variable, for messages.
    how_to_set: &'static str,
}

impl Scope {
    /// Reads every setting by its declared type, and fills in defaults. A setting that `declarations` do not name has
    /// its type inferred.
    ///
    /// # Errors
    /// The line of the declaration, for a value of the wrong type and for a variable that nothing sets.
    pub(crate) fn resolve(
        script: &str,
        declarations: &[Declaration],
        settings: &BTreeMap<String, String>,
        how_to_set: &'static str,
    ) -> Result<Self, Failure> {
        let mut values: BTreeMap<String, Value> =
            settings.iter().map(|(name, text)| (name.clone(), Value::infer(text))).collect();
        for declaration in declarations {
            let name = &declaration.name;
            let value = match (settings.get(name), &declaration.default) {
                (Some(text), _) => Value::parse(name, declaration.kind, text),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => Err(unset(declaration, how_to_set)),
            };
            let value = value.map_err(|message| Failure::at(script, declaration.line, message))?;
            values.insert(name.clone(), value);
        }
        Ok(Self { values, how_to_set })
    }
}

fn unset(declaration: &Declaration, how_to_set: &str) -> String {
    let Declaration { name, kind, doc, .. } = declaration;
    let doc = if doc.is_empty() { String::new() } else { format!(" ({doc})") };
    format!("variable '{name}'{doc} is not set: {}", how_to_set.replace("NAME", name).replace("VALUE", kind.name()))
}

/// Replaces every `$name` of a parsed statement. Numbered placeholders (`$1`) belong to PREPARE and stay.
///
/// # Errors
/// The line, if the parser kept it, and what is wrong: a variable that nothing sets, or a table where a value stands.
pub(crate) fn bind(statement: &mut Statement, scope: &Scope) -> Result<(), (Option<u64>, String)> {
    let mut binder = Binder { scope };
    let outcome = match statement {
        Statement::Statement(statement) => statement.visit(&mut binder),
        Statement::Explain(explain) => return bind(&mut explain.statement, scope),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut binder),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    match outcome {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => Err(*problem),
    }
}

struct Binder<'a> {
    scope: &'a Scope,
}

/// Boxed because the visitor keeps it on the stack at every level of a deep statement.
type Problem = Box<(Option<u64>, String)>;

impl Binder<'_> {
    fn value(&self, placeholder: &ValueWithSpan) -> Result<Option<(&str, &Value)>, Problem> {
        let SqlValue::Placeholder(text) = &placeholder.value else {
            return Ok(None);
        };
        let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) else {
            return Ok(None);
        };
        match self.scope.values.get_key_value(name) {
            Some((name, value)) => Ok(Some((name, value))),
            None => {
                let how = self.scope.how_to_set.replace("NAME", name);
                Err(Box::new((line_of(placeholder), format!("variable '{name}' is not set: {how}"))))
            }
        }
    }

    /// Puts a relation where a table function takes one, also in the calls nested inside it.
    fn bind_relations(&self, arguments: &mut [FunctionArg]) -> ControlFlow<Problem> {
        for argument in arguments {
            let (FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg)) =
                argument;
            let FunctionArgExpr::Expr(expression) = arg else {
                continue;
            };
            match expression {
                Expr::Value(placeholder) => match self.value(placeholder) {
                    Ok(Some((_, Value::Table(name)))) => *expression = relation(name),
                    Ok(_) => {}
                    Err(problem) => return ControlFlow::Break(problem),
                },
                Expr::Function(call) => {
                    if let FunctionArguments::List(list) = &mut call.args {
                        self.bind_relations(&mut list.args)?;
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Binder<'_> {
    type Break = Problem;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Problem> {
        match factor {
            TableFactor::Table { args: Some(call), .. } => self.bind_relations(&mut call.args),
            TableFactor::Function { args, .. } => self.bind_relations(args),
            TableFactor::TableFunction { expr: Expr::Function(call), .. } => match &mut call.args {
                FunctionArguments::List(list) => self.bind_relations(&mut list.args),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Problem> {
        let Expr::Value(placeholder) = expression else {
            return ControlFlow::Continue(());
        };
        match self.value(placeholder) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some((name, value))) => match value.literal() {
                Some(literal) => {
                    *expression = literal;
                    ControlFlow::Continue(())
                }
                None => {
                    let message =
                        format!("variable '{name}' is a table: it can stand only as an argument of a table function");
                    ControlFlow::Break(Box::new((line_of(placeholder), message)))
                }
            },
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

/// A table name as an identifier, so that case and schema work as after FROM; anything else (a path) as a string.
fn relation(name: &str) -> Expr {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(name).ok().and_then(|mut parser| {
        let parts = parser.parse_object_name(false).ok()?;
        let whole = parser.peek_token() == datafusion::sql::sqlparser::tokenizer::Token::EOF;
        whole.then_some(parts.0)
    });
    let identifiers: Option<Vec<Ident>> = parsed.and_then(|parts| {
        parts
            .into_iter()
            .map(|part| match part {
                ObjectNamePart::Identifier(identifier) => Some(identifier),
                ObjectNamePart::Function(_) => None,
            })
            .collect()
    });
    match identifiers {
        Some(mut parts) if parts.len() == 1 => Expr::Identifier(parts.remove(0)),
        Some(parts) if !parts.is_empty() => Expr::CompoundIdentifier(parts),
        _ => sql_value(SqlValue::SingleQuotedString(name.to_owned())),
    }
}

fn sql_value(value: SqlValue) -> Expr {
    Expr::Value(value.into())
}

fn signed(digits: String, negative: bool) -> Expr {
    let number = sql_value(SqlValue::Number(digits, false));
    if negative { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) } } else { number }
}

fn line_of(value: &ValueWithSpan) -> Option<u64> {
    Some(value.span.start.line).filter(|line| *line > 0)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn timestamp(text: &str) -> Option<String> {
    let instant = DateTime::from_timestamp_nanos(string_to_timestamp_nanos(text).ok()?);
    Some(instant.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// Whether `name` can follow a `$`.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(|c: char| c.is_whitespace() || c == '=') {
        // `= 5`: the sign is not part of the word before it, nor a word of its own.
        Some(end) if end > 0 => (&text[..end], text[end..].trim_start()),
        Some(_) => ("", text),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn declare(text: &str) -> Declaration {
        Declaration::parse(text, 1).expect("a declaration").expect("a valid one")
    }

    fn bound(sql: &str, settings: &[(&str, Kind, &str)]) -> Result<String, String> {
        let values = settings
            .iter()
            .map(|(name, kind, text)| ((*name).to_owned(), Value::parse(name, *kind, text).expect("a valid value")))
            .collect();
        let scope = Scope { values, how_to_set: "use --set NAME=VALUE" };
        let mut statement = DFParser::parse_sql(sql).expect("valid SQL").pop_front().expect("one statement");
        bind(&mut statement, &scope).map_err(|(_, message)| message)?;
        Ok(statement.to_string())
    }

    #[test]
    fn declarations_have_type_default_and_doc() {
        let symbol = declare(" $symbol text = 'it''s'  which pair");
        assert_eq!(symbol.default, Some(Value::Text("it's".into())));
        assert_eq!(symbol.doc, "which pair");
        let share = declare(" $share number = 0.5 of the largest");
        assert_eq!((share.default, share.doc.as_str()), (Some(Value::Number(0.5)), "of the largest"));
        let step = declare("$step interval=INTERVAL '5 minutes' width");
        assert_eq!((step.default, step.doc.as_str()), (Some(Value::Interval("5 minutes".into())), "width"));
        let at = declare("$at timestamp = NULL the instant");
        assert_eq!((at.default, at.doc.as_str()), (Some(Value::Null), "the instant"));
        let source = declare("$source table");
        assert_eq!((source.kind, source.default), (Kind::Table, None));
        assert!(Declaration::parse(" an ordinary comment", 1).is_none());
    }

    #[test]
    fn faulty_declarations_say_why() {
        let message = |text| Declaration::parse(text, 1).expect("a declaration").expect_err("a fault");
        assert_eq!(message("$x integer = abc"), "variable 'x' must be an integer, was 'abc'");
        assert!(message("$x is the pair").contains("one of the types text, integer"));
        assert!(message("$x text = 'open").contains("must end with a quote"));
        assert!(message("$x text =").contains("must have a default"));
        assert!(message("$9 text").contains("name must be letters"));
    }

    #[test]
    fn values_are_read_by_their_type() {
        let message = |kind, text| Value::parse("x", kind, text).expect_err("a fault");
        assert_eq!(message(Kind::Integer, "abc"), "variable 'x' must be an integer, was 'abc'");
        assert_eq!(message(Kind::Number, "nan"), "variable 'x' must be a number, was 'nan'");
        assert_eq!(
            message(Kind::Timestamp, "soon"),
            "variable 'x' must be a timestamp such as 2024-06-01T12:00:00Z, was 'soon'"
        );
        assert_eq!(
            message(Kind::Interval, "often"),
            "variable 'x' must be an interval such as '5 minutes', was 'often'"
        );
        assert_eq!(
            Value::parse("x", Kind::Timestamp, "2024-06-01T12:00:00+02:00"),
            Ok(Value::Timestamp("2024-06-01T10:00:00".into()))
        );
        assert_eq!(Value::parse("x", Kind::Boolean, "off"), Ok(Value::Boolean(false)));
    }

    #[test]
    fn undeclared_values_get_a_type() {
        assert_eq!(Value::infer("5"), Value::Integer(5));
        assert_eq!(Value::infer("-5.5"), Value::Number(-5.5));
        assert_eq!(Value::infer("true"), Value::Boolean(true));
        assert_eq!(Value::infer("BTCUSDT"), Value::Text("BTCUSDT".into()));
        assert_eq!(Value::infer("inf"), Value::Text("inf".into()));
        assert_eq!(Value::infer(""), Value::Text(String::new()));
    }

    #[test]
    fn placeholders_become_literals() {
        let sql = "SELECT $t, $i, $n, $b WHERE ts > $ts - $d";
        let settings = [
            ("t", Kind::Text, "it's; DROP"),
            ("i", Kind::Integer, "-5"),
            ("n", Kind::Number, "5"),
            ("b", Kind::Boolean, "true"),
            ("ts", Kind::Timestamp, "2024-06-01"),
            ("d", Kind::Interval, "5 minutes"),
        ];
        assert_eq!(
            bound(sql, &settings).expect("bound"),
            "SELECT 'it''s; DROP', -5, 5.0, true WHERE ts > TIMESTAMP '2024-06-01T00:00:00' - INTERVAL '5 minutes'"
        );
        assert_eq!(bound("EXPLAIN SELECT $i", &settings).expect("bound"), "EXPLAIN SELECT -5");
        assert_eq!(bound("COPY (SELECT $i) TO 'x.csv'", &settings).expect("bound"), "COPY (SELECT -5) TO x.csv");
        assert_eq!(bound("SELECT '$i', $1", &settings).expect("bound"), "SELECT '$i', $1");
    }

    #[test]
    fn tables_stand_where_relations_do() {
        let settings = [
            ("source", Kind::Table, "sample.candles"),
            ("path", Kind::Table, "data/x y.parquet"),
            ("step", Kind::Interval, "1 hour"),
        ];
        assert_eq!(
            bound("SELECT * FROM liq_pools(liq_heatmap($source, step => $step), bars => $source)", &settings)
                .expect("bound"),
            "SELECT * FROM liq_pools(liq_heatmap(sample.candles, step => INTERVAL '1 hour'), bars => sample.candles)"
        );
        assert_eq!(bound("SELECT * FROM f($path)", &settings).expect("bound"), "SELECT * FROM f('data/x y.parquet')");
        assert!(bound("SELECT $source", &settings).expect_err("a table").contains("is a table"));
    }

    #[test]
    fn an_unset_variable_says_how_to_set_it() {
        let message = bound("SELECT $x", &[]).expect_err("unset");
        assert_eq!(message, "variable 'x' is not set: use --set x=VALUE");
        let failure =
            Scope::resolve("q.sql", &[declare("$x text  the pair")], &BTreeMap::new(), "use --set NAME=VALUE")
                .expect_err("unset");
        assert_eq!(failure.to_string(), "q.sql:1: error: variable 'x' (the pair) is not set: use --set x=text");
    }
}

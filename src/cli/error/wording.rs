//! The engine's sentences in this program's words.
//!
//! The engine speaks of its own types and parts: `Cannot cast string 'abc' to value of Int32 type`. [`REWORDED`] says
//! what such a sentence means to the author of a statement: `cannot read 'abc' as an integer`. A sentence that is not in
//! the list keeps its words, and loses what only a programmer of the engine can read. Nothing here knows the statement.

use super::sentence;

/// What the engine says, and what is said instead. `{}` stands for any text; `{0}` is the first of these, `{0:type}` as
/// the word for a type, `{0:a}` the same with its article, `{0:exact}` with its width, `{0:name}` without the names of the tables it is from,
/// `{0:count}` as the number of names in it.
const REWORDED: &[(&str, &str)] = &[
    // Values
    ("cannot cast string '{}' to value of {} type", "cannot read '{0}' as {1:a}"),
    (
        "error parsing timestamp from '{}' using format '{}': {}",
        "cannot read '{0}' as a timestamp by the format '{1}': {2}",
    ),
    ("error parsing timestamp from '{}': {}", "cannot read '{0}' as a timestamp, such as '2026-01-31 12:00:00'"),
    ("error parsing {} as {}", "cannot read '{0}' as {1:a}"),
    ("invalid input syntax for type interval: \"{}\"", "cannot read '{0}' as an interval, such as INTERVAL '1 hour'"),
    ("invalid interval type in expression: \"{}\"", "cannot read '{0}' as an interval, such as INTERVAL '1 hour'"),
    ("Can't cast value {} to type {}", "{0} is out of range for {1:exact}"),
    (
        "date part '{}' not supported",
        "there is no part '{0}' of a time; there are year, quarter, month, week, day, hour, \
      minute, second, millisecond, microsecond, dow, doy, epoch",
    ),
    ("regex parse error: {} ^ error: {}", "cannot read the regular expression '{0}': {1}"),
    ("regex parse error: {} error: {}", "cannot read the regular expression {0}: {1}"),
    (
        "argument #{} must be an INTEGER, TIMESTAMP, DATE or NULL, got {}",
        "argument {0} must be a whole number, a timestamp or a date, was {1:type}",
    ),
    // Types
    (
        "cannot coerce arithmetic expression Timestamp({}) {} Utf8{}",
        "cannot compute timestamp {1} text: a length of time \
      is written INTERVAL '1 day'",
    ),
    (
        "cannot coerce arithmetic expression Timestamp({}) {} {}Int{}",
        "cannot compute timestamp {1} integer: a length of \
      time is written INTERVAL '1 day'",
    ),
    ("cannot coerce arithmetic expression {} + {} to valid types", "cannot compute {0:type} + {1:type}"),
    ("cannot coerce arithmetic expression {} - {} to valid types", "cannot compute {0:type} - {1:type}"),
    ("cannot coerce arithmetic expression {} * {} to valid types", "cannot compute {0:type} * {1:type}"),
    ("cannot coerce arithmetic expression {} / {} to valid types", "cannot compute {0:type} / {1:type}"),
    ("cannot coerce arithmetic expression {} % {} to valid types", "cannot compute {0:type} % {1:type}"),
    (
        "cannot infer common argument type for comparison operation Timestamp({}) {} {}Int{}",
        "cannot compare a timestamp with an integer: an instant is written in quotes, such as '2026-01-31'",
    ),
    ("cannot infer common argument type for comparison operation {} >= {}", "cannot compare {0:a} with {1:a}"),
    ("cannot infer common argument type for comparison operation {} <= {}", "cannot compare {0:a} with {1:a}"),
    ("cannot infer common argument type for comparison operation {} != {}", "cannot compare {0:a} with {1:a}"),
    ("cannot infer common argument type for comparison operation {} > {}", "cannot compare {0:a} with {1:a}"),
    ("cannot infer common argument type for comparison operation {} < {}", "cannot compare {0:a} with {1:a}"),
    ("cannot infer common argument type for comparison operation {} = {}", "cannot compare {0:a} with {1:a}"),
    (
        "cannot infer common argument type for logical boolean operation {} AND {}",
        "AND needs a condition on both sides, was {0:type} AND {1:type}",
    ),
    (
        "cannot infer common argument type for logical boolean operation {} OR {}",
        "OR needs a condition on both sides, was {0:type} OR {1:type}",
    ),
    ("cannot create filter with non-boolean predicate '{}' returning {}", "'{0:name}' is {1:a}, not a condition"),
    ("unary operator '{}' requires a boolean expression, got {}", "{0} needs a condition, was {1:a}"),
    (
        "unary operator '{}' only supports signed numeric, interval and timestamp types",
        "'{0}' needs a number or an interval",
    ),
    // Groups
    (
        "column in {} must be in GROUP BY or an aggregate function: While expanding wildcard, column \"{}\" must {}",
        "column '{1:name}' must be in GROUP BY, or in an aggregate such as max({1:name})",
    ),
    (
        "HAVING clause references: {} must appear in the GROUP BY clause {}",
        "HAVING filters groups and there is no GROUP BY: rows are filtered with WHERE",
    ),
    (
        "aggregate functions are not allowed in the WHERE clause{}",
        "an aggregate cannot stand in WHERE, which filters rows: groups are filtered with HAVING",
    ),
    (
        "aggregate function calls cannot be nested: '{}' is nested inside '{}'",
        "an aggregate cannot stand in an aggregate: compute '{0:name}' in a subquery",
    ),
    (
        "physical plan does not support logical expression WindowFunction({}",
        "a window function cannot stand here: filter its result with QUALIFY, or compute it in a subquery",
    ),
    (
        "physical plan does not support logical expression AggregateFunction({}",
        "an aggregate cannot stand here: compute it in a subquery",
    ),
    (
        "cannot find column with position {} in SELECT clause. Valid columns: 1 to {}",
        "no column '{0}' in SELECT, which has {1}",
    ),
    ("order by column out of bounds, specified: {}, max: {}", "no column '{0}' in SELECT, which has {1}"),
    (
        "for SELECT DISTINCT, ORDER BY expressions {} must appear in select list",
        "SELECT DISTINCT can be ordered only by what it selects: '{0:name}' is not selected",
    ),
    (
        "projections require unique expression names but the expression \"{}\" at position {} and \"{}\" at position {} have \
      the same name. {}",
        "column '{0:name}' is selected twice: give one of them another name with AS",
    ),
    ("UNION queries have different number of columns", "both sides of UNION must have the same number of columns"),
    (
        "INTERSECT queries have different number of columns",
        "both sides of INTERSECT must have the same number of columns",
    ),
    ("EXCEPT queries have different number of columns", "both sides of EXCEPT must have the same number of columns"),
    (
        "too many columns! The subquery should only return one column: {}",
        "a subquery that stands for a value must return one column, returns {0:count}: {0:name}",
    ),
    ("scalar subquery returned more than one row", "a subquery that stands for a value returned more than one row"),
    ("WITH query name \"{}\" specified more than once", "'{0}' is defined twice in WITH"),
    ("the window {} is not defined!", "no window '{0}': it is defined with WINDOW {0} AS (…)"),
    (
        "inconsistent data length across values list: got {} values in row {} but expected {}",
        "the rows of VALUES must be equally long: expected {2} values, one has {0}",
    ),
    ("LIMIT must be >= 0, '{}' was provided", "LIMIT must not be negative, was {0}"),
    ("OFFSET must be >=0, '{}' was provided", "OFFSET must not be negative, was {0}"),
    ("expected LIMIT to be an integer or null, but got {}", "LIMIT must be a whole number, was {0:type}"),
    ("expected OFFSET to be an integer or null, but got {}", "OFFSET must be a whole number, was {0:type}"),
    // Tables and files
    (
        "inserting into a ListingTable backed by a single file is not supported, {}",
        "cannot insert into a table that is one file: only one whose LOCATION is a folder, ending with /, can grow",
    ),
    ("{} not supported for Base table", "{0} is not supported: the files of a table are only read"),
    ("unsupported SQL statement: {} {}", "{0} is not supported"),
    ("unsupported SQL statement: {}", "{0} is not supported"),
    ("unsupported logical plan: CreateIndex", "CREATE INDEX is not supported"),
    ("unsupported logical plan: {}", "{0} is not supported"),
    (
        "missing LOCATION clause in CREATE EXTERNAL TABLE statement",
        "CREATE EXTERNAL TABLE needs LOCATION 'file or folder/'",
    ),
    ("no files found at file://{}. Cannot infer schema {}", "no files at '{0}'"),
    ("no files found at {}. Cannot infer schema {}", "no files at '{0}'"),
    (
        "format not explicitly set and unable to get file extension! Use STORED AS to define file format.",
        "the name of the file does not tell its format: add STORED AS CSV, PARQUET or JSON",
    ),
    ("prepared statement '{}' does not exist", "no prepared statement '{0}'"),
    ("unsupported ast node {} { {}", "{0} is not supported"),
    // Reading a statement
    ("the statement is nested too deeply (current limit: {})", "the statement is nested deeper than {0} levels"),
    ("unterminated string literal", "a string is not closed: a quote inside a string is written twice, ''"),
    ("expected close delimiter '{}' before EOF.", "a name is not closed: {0} is missing"),
    ("unexpected EOF while in a multi-line comment", "a comment is not closed: */ is missing"),
    ("expected: COLLATION, {} after DROP, found: {}", "expected: TABLE, VIEW or SCHEMA after DROP, found: {1}"),
    ("function '{}' does not support named arguments", "'{0}' takes its arguments by position, without names"),
    ("failed to parse number from '{}', limit '{}'", "must be a size such as 512M or 2G"),
    ("variable [\"{}\"] has no type information", "no variable '{0}'"),
    ("substring without for/from is not valid {}", "substr needs a start: substr(text, start)"),
    ("unsupported type '{}'. Must be {}. Error {}", "no type '{0}': must be {1}"),
];

/// Names of the engine's types, by their beginning, and the words for what they hold.
const TYPES: &[(&str, &str)] = &[
    ("Utf8", "text"),
    ("LargeUtf8", "text"),
    ("String", "text"),
    ("Int", "integer"),
    ("Integer", "integer"),
    ("UInt", "integer"),
    ("u8", "single character"),
    ("Float", "number"),
    ("Decimal", "number"),
    ("Numeric", "number"),
    ("Boolean", "boolean"),
    ("bool", "boolean"),
    ("Timestamp", "timestamp"),
    ("Date", "date"),
    ("Time", "time"),
    ("Interval", "interval"),
    ("Duration", "interval"),
    ("List", "list"),
    ("Struct", "struct"),
    ("Null", "NULL"),
];

/// Names of SQL for types whose width matters.
const WIDTHS: &[(&str, &str)] = &[
    ("Int8", "tinyint"),
    ("Int16", "smallint"),
    ("Int32", "int"),
    ("Int64", "bigint"),
    ("UInt8", "tinyint unsigned"),
    ("UInt16", "smallint unsigned"),
    ("UInt32", "int unsigned"),
    ("UInt64", "bigint unsigned"),
];

/// Returns what the engine's sentence means.
pub(crate) fn reworded(message: &str) -> String {
    let message = sentence(message);
    if let Some(refused) = signature(&message) {
        return refused;
    }
    for (pattern, words) in REWORDED {
        if let Some(parts) = matched(pattern, &message) {
            return filled(words, &parts);
        }
    }
    plain(&message)
}

/// The texts for which each `{}` of a pattern stands, if the message has its form.
pub(crate) fn matched<'a>(pattern: &str, message: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split("{}");
    let mut rest = message.strip_prefix(pieces.next()?)?;
    let mut parts = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let end = match (piece, pieces.peek()) {
            ("", None) => rest.len(),
            (piece, None) => rest.len().checked_sub(piece.len()).filter(|_| rest.ends_with(piece))?,
            (piece, Some(_)) => rest.find(piece)?,
        };
        parts.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    rest.is_empty().then_some(parts)
}

fn filled(words: &str, parts: &[&str]) -> String {
    let mut text = String::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((hole, after)) = after.split_once('}') else { break };
        let (index, form) = hole.split_once(':').unwrap_or((hole, ""));
        let part = index.parse().ok().and_then(|index: usize| parts.get(index)).copied().unwrap_or_default();
        match form {
            "exact" => {
                let known = WIDTHS.iter().find(|(engine, _)| *engine == part);
                text.push_str(known.map_or(part, |(_, name)| name));
            }
            "type" => text.push_str(type_name(part)),
            "a" => text.push_str(&with_article(part)),
            "name" => text.push_str(&unqualified(&plain(part))),
            "count" => text.push_str(&part.split(", ").count().to_string()),
            _ => text.push_str(part),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A refused call: `Function 'f' …: 'f(Float64, Utf8)' … Candidate functions: f(Int64) f(Float64)`.
fn signature(message: &str) -> Option<String> {
    let (what, rest) = message.split_once(" No function matches the given name and argument types '")?;
    // What our own functions say is complete.
    if let Some((_, said)) = what.split_once("user-defined coercion failed with: ") {
        let said = sentence(said).trim_end_matches('.').to_owned();
        return Some(match said.rsplit_once(", was ") {
            Some((said, was)) => format!("{said}, was {}", type_name(was)),
            None => said,
        });
    }
    let (call, candidates) = rest.split_once("'. You might need to add explicit type casts. Candidate functions: ")?;
    let (name, given) = call.trim_end_matches(')').split_once('(')?;
    let shown = |types: &str| {
        let types = arguments(types);
        format!("{name}({})", types.iter().map(|argument| parameter(argument)).collect::<Vec<_>>().join(", "))
    };
    let mut known: Vec<String> = Vec::new();
    for candidate in candidates.split(&format!("{name}(")).skip(1) {
        let candidate = shown(candidate.trim().trim_end_matches(')'));
        if !candidate.contains("UserDefined") && !known.contains(&candidate) {
            known.push(candidate);
        }
    }
    let given = shown(given);
    Some(match known.as_slice() {
        [] => format!("no function {given}: the arguments do not fit '{name}'"),
        known => format!("no function {given}; there is {}", known.join(", ")),
    })
}

/// Splits at commas outside parentheses: `Timestamp(ms, "UTC"), Utf8` is two.
fn arguments(types: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut start = 0;
    let mut found = Vec::new();
    for (at, letter) in types.char_indices() {
        match letter {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(types[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = types[start..].trim();
    if !last.is_empty() {
        found.push(last);
    }
    found
}

/// One argument of a signature, which may have a name: `percentile: Float64`.
fn parameter(argument: &str) -> String {
    match argument.split_once(": ") {
        Some((name, data_type)) => format!("{name}: {}", type_name(data_type)),
        None => type_name(argument).to_owned(),
    }
}

/// The word of SQL for an engine's type.
pub(crate) fn type_name(engine: &str) -> &str {
    let engine = engine.trim();
    let known = TYPES.iter().find(|(prefix, _)| {
        engine.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| !c.is_lowercase()))
            || engine.strip_prefix(prefix) == Some("View")
    });
    match known {
        Some((_, name)) => name,
        None => engine,
    }
}

fn with_article(engine: &str) -> String {
    match type_name(engine) {
        name @ ("text" | "NULL") => name.to_owned(),
        name if name.starts_with(['a', 'e', 'i', 'o']) => format!("an {name}"),
        name => format!("a {name}"),
    }
}

/// Drops the tables from names: `max(candles.close)` is `max(close)`.
pub(crate) fn unqualified(expression: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut text = String::new();
    let mut word = String::new();
    for letter in expression.chars() {
        match letter {
            '.' if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => word.clear(),
            letter if is_name(letter) => word.push(letter),
            letter => {
                text.push_str(&word);
                word.clear();
                text.push(letter);
            }
        }
    }
    text.push_str(&word);
    text
}

/// A sentence without what only a programmer of the engine can read: typed literals become literals of SQL, and the
/// dump of a syntax tree is cut off.
fn plain(message: &str) -> String {
    let mut text = message.to_owned();
    for (open, close, quote) in [
        ("Int64(", ")", ""),
        ("Int32(", ")", ""),
        ("UInt64(", ")", ""),
        ("Float64(", ")", ""),
        ("Boolean(", ")", ""),
        ("Utf8View(\"", "\")", "'"),
        ("LargeUtf8(\"", "\")", "'"),
        ("Utf8(\"", "\")", "'"),
    ] {
        let mut from = 0;
        while let Some(start) = text[from..].find(open).map(|at| from + at) {
            let inner = start + open.len();
            // `UInt64(` also ends like `Int64(`.
            let is_word = !text[..start].ends_with(|c: char| c.is_alphanumeric());
            let Some(end) = text[inner..].find(close).map(|at| inner + at).filter(|_| is_word) else {
                from = inner;
                continue;
            };
            let literal = format!("{quote}{}{quote}", &text[inner..end]);
            text.replace_range(start..end + close.len(), &literal);
            from = start + literal.len();
        }
    }
    if let Some(dump) = dump(&text) {
        text.truncate(dump);
        text.truncate(text.trim_end().trim_end_matches(':').len());
    }
    let text = text.replace(", got ", ", was ").replace("expected: identifier", "expected: a name");
    text.trim_end().trim_end_matches(['.', '!']).trim_end().to_owned()
}

/// Where a syntax tree begins: `Substring { expr: Identifier(…`.
fn dump(text: &str) -> Option<usize> {
    let brace = text.find(" { ").filter(|at| text[*at..].contains(": "))?;
    let mut start = text[..brace].rfind(' ').map_or(0, |at| at + 1);
    // Trees stand in each other: `Projection(Select { …`.
    if let Some(open) = text[start..brace].find('(') {
        start = start.min(start + open);
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_the_text_in_their_gaps() {
        assert_eq!(matched("no '{}' in {}", "no 'a' in b c"), Some(vec!["a", "b c"]));
        assert_eq!(matched("no '{}'", "no 'it's'"), Some(vec!["it's"]));
        assert_eq!(matched("no '{}'", "no 'a' in b"), None);
        assert_eq!(matched("the end", "the end"), Some(vec![]));
        assert_eq!(matched("the end", "the end of it"), None);
    }

    #[test]
    fn every_gap_of_the_words_is_in_the_pattern() {
        for (pattern, words) in REWORDED {
            let gaps = pattern.matches("{}").count();
            for hole in words.split('{').skip(1) {
                let index: usize = hole[..1].parse().expect("a number");
                assert!(index < gaps, "{pattern}");
            }
            assert_eq!(pattern.split_whitespace().collect::<Vec<_>>().join(" "), *pattern, "one space between words");
        }
    }

    #[test]
    fn types_have_the_words_of_sql() {
        for (engine, name) in [
            ("Utf8View", "text"),
            ("Int32", "integer"),
            ("Timestamp(ms, \"UTC\")", "timestamp"),
            ("Interval(MonthDayNano)", "interval"),
            ("Decimal128(38, 10)", "number"),
            ("Map(x)", "Map(x)"),
        ] {
            assert_eq!(type_name(engine), name);
        }
        assert_eq!(with_article("Int8"), "an integer");
        assert_eq!(with_article("Utf8"), "text");
    }

    #[test]
    fn refused_calls_show_what_would_fit() {
        let message = "Function 'round' failed to match any signature, errors: Error during planning: x \
             No function matches the given name and argument types 'round(Float64, Utf8)'. You might need to add explicit \
             type casts.\n\tCandidate functions:\n\tround(Decimal, Int32)\n\tround(Float64)\n\tround(Float32)";
        assert_eq!(
            reworded(message),
            "no function round(number, text); there is round(number, integer), round(number)"
        );
        let ours = "Function 'liq_price' user-defined coercion failed with: Error during planning: liq_price: takes 5 to \
             7 arguments, was given 2. No function matches the given name and argument types 'liq_price(Utf8, Int64)'. You \
             might need to add explicit type casts.\n\tCandidate functions:\n\tliq_price(UserDefined)";
        assert_eq!(reworded(ours), "liq_price: takes 5 to 7 arguments, was given 2");
    }

    #[test]
    fn what_only_a_programmer_can_read_is_left_out() {
        assert_eq!(plain("cannot use Int64(1) / Utf8(\"x\") here"), "cannot use 1 / 'x' here");
        assert_eq!(plain("unsupported thing Pivot { table: Table { name: x } }"), "unsupported thing");
        assert_eq!(unqualified("max(candles.close) > 0.5"), "max(close) > 0.5");
    }
}

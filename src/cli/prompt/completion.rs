//! Completion and hints: what a word at the cursor could become, and what a call still takes. Pure; [`Vocabulary`] is
//! what they choose from.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use crate::cli::script::{TAKE_A_STATEMENT, tokenize};

/// Words of SQL that are worth completing.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "QUALIFY",
    "RIGHT",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "TABLE",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Keywords that a relation follows.
const BEFORE_RELATIONS: &[&str] = &["FROM", "JOIN", "INTO", "TABLE", "DESCRIBE"];

/// Keywords that a column follows.
const BEFORE_COLUMNS: &[&str] = &["WHERE", "BY", "AND", "OR", "ON", "HAVING"];

/// Keywords that a file's name follows, in quotes.
const BEFORE_FILES: &[&str] = &["FROM", "JOIN", "LOCATION", "TO"];

/// Commands that a file's name follows.
const TAKE_A_FILE: &[&str] = &["\\i", "\\ir", "\\o", "\\data", "\\plot"];

/// Columns that a hint may take; what is longer would push the line that is typed around.
const HINT_COLUMNS: usize = 70;

/// Everything that a word can become.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// Names of all functions.
    pub(crate) functions: Vec<String>,
    /// What our own functions take and return.
    pub(crate) own_functions: Vec<OwnFunction>,
    /// Names of tables, with their schema where it is needed, and their columns.
    pub(crate) tables: Vec<(String, Vec<String>)>,
    /// Variables that are set.
    pub(crate) variables: Vec<String>,
    /// Backslash commands, with what follows them.
    pub(crate) commands: Vec<(String, String)>,
    /// Output formats.
    pub(crate) formats: Vec<String>,
}

/// A function of this crate.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnFunction {
    pub(crate) name: String,
    /// Whether its arguments may be given by name.
    pub(crate) has_named_arguments: bool,
    pub(crate) parameters: Vec<OwnParameter>,
    /// Of a table function whose columns do not depend on its input.
    pub(crate) columns: Vec<String>,
}

/// A parameter of a function of this crate.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnParameter {
    pub(crate) name: String,
    /// None where it must be given.
    pub(crate) default: Option<String>,
    pub(crate) doc: String,
}

impl Vocabulary {
    /// Whether this crate has a function of that name.
    pub(crate) fn is_own_function(&self, name: &str) -> bool {
        self.own_function(name).is_some()
    }

    fn own_function(&self, name: &str) -> Option<&OwnFunction> {
        self.own_functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }
}

/// Returns where in `text` the word at its end begins, and what it can become.
pub(crate) fn complete(text: &str, vocabulary: &Vocabulary) -> (usize, Vec<String>) {
    let line_start = text.rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line_start..];
    if line.trim_start().starts_with('\\') && !takes_sql(line) {
        let (start, candidates) = complete_command(line, vocabulary);
        return (line_start + start, candidates);
    }
    let start = word_start(text);
    let Some(statement) = statement_before(&text[..start]) else {
        return (start, Vec::new());
    };
    (start, candidates(&statement, &text[start..], vocabulary))
}

/// Whether what is typed at the end of `text` is the name of a file.
pub(crate) fn is_file(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or_default().trim_start();
    if let Some((command, argument)) = line.split_once(char::is_whitespace)
        && TAKE_A_FILE.contains(&command)
    {
        return !takes_sql(line) && (command != "\\plot" || !argument.trim().is_empty());
    }
    let Some(quote) = open_quote(text) else { return false };
    let Some(statement) = statement_before(&text[..quote]) else { return false };
    matches!(statement.last(), Some(Token::Word(word))
        if BEFORE_FILES.iter().any(|keyword| word.value.eq_ignore_ascii_case(keyword)))
}

/// What to say behind the cursor: what the call around it still takes, or what the argument being typed means.
pub(crate) fn hint(text: &str, vocabulary: &Vocabulary) -> Option<String> {
    let line = text.rsplit('\n').next().unwrap_or_default();
    if line.is_empty() && text.len() > line.len() {
        return still_open(text).map(str::to_owned);
    }
    if line.starts_with('\\') && !takes_sql(line) {
        let name = line.split_whitespace().next()?;
        let (_, takes) = vocabulary.commands.iter().find(|(command, _)| command == name)?;
        let nothing_yet = line.len() == name.len();
        return (nothing_yet && !takes.is_empty()).then(|| format!(" {takes}"));
    }
    // Behind a word there is nothing to say yet: it may become another.
    if !text.ends_with(['(', ',', ' ']) || text.trim_end().ends_with(';') {
        return None;
    }
    let statement = statement_before(text)?;
    let call = call_around(&statement)?;
    let function = vocabulary.own_function(call.function)?;
    let text = match statement.last()? {
        Token::RArrow => {
            let Some(Token::Word(name)) = statement.iter().rev().nth(1) else { return None };
            let parameter = function.parameters.iter().find(|p| p.name.eq_ignore_ascii_case(&name.value))?;
            match &parameter.default {
                Some(default) => format!("{default}: {}", parameter.doc),
                None => parameter.doc.clone(),
            }
        }
        Token::LParen | Token::Comma => {
            let open = function.parameters.iter().enumerate().filter(|(position, parameter)| {
                *position >= call.positional && !call.named.contains(&parameter.name.as_str())
            });
            let shown = open.map(|(_, parameter)| match &parameter.default {
                Some(default) if function.has_named_arguments => format!("{} => {default}", parameter.name),
                Some(default) => format!("[{}: {default}]", parameter.name),
                None => parameter.name.clone(),
            });
            shown.collect::<Vec<_>>().join(", ")
        }
        _ => return None,
    };
    (!text.is_empty()).then(|| shortened(&text))
}

/// Why a statement goes on in the next line.
fn still_open(text: &str) -> Option<&'static str> {
    let tokenized = tokenize(text, 0, &GenericDialect {});
    if tokenized.error.is_some() {
        let at = tokenized.ranges.last().map_or(0, |range| range.end);
        return Some(match text[at..].chars().next() {
            Some('/') => "the comment is open: */ closes it",
            Some('"') => "the name is open: \" closes it",
            Some('$') => "the text is open: it ends as it begins",
            _ => "the text is open: ' closes it",
        });
    }
    let count = |kind: Token| tokenized.tokens.iter().filter(|token| token.token == kind).count();
    Some(if count(Token::LParen) > count(Token::RParen) { "a parenthesis is open: ) closes it" } else { "; runs it" })
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= HINT_COLUMNS {
        return text.to_owned();
    }
    let start: String = text.chars().take(HINT_COLUMNS - 1).collect();
    format!("{start}\u{2026}")
}

/// Whether a statement follows a command on its line.
fn takes_sql(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let takes = words.next().is_some_and(|command| TAKE_A_STATEMENT.contains(&command));
    takes && words.take(2).any(|word| KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)))
}

/// The tokens of the statement at the end of `text`; None inside a string or a comment.
fn statement_before(text: &str) -> Option<Vec<Token>> {
    let tokenized = tokenize(text, 0, &GenericDialect {});
    if tokenized.error.is_some() {
        return None;
    }
    let is_open_comment = |token: &TokenWithSpan| matches!(&token.token, Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) if !comment.ends_with('\n'));
    if tokenized.tokens.last().is_some_and(is_open_comment) {
        return None;
    }
    let tokens: Vec<Token> = tokenized.tokens.into_iter().map(|token| token.token).collect();
    let statement = tokens.rsplit(|token| *token == Token::SemiColon).next().unwrap_or_default();
    Some(statement.iter().filter(|token| !matches!(token, Token::Whitespace(_))).cloned().collect())
}

/// Where the single-quoted text begins that is open at the end of `text`.
fn open_quote(text: &str) -> Option<usize> {
    let tokenized = tokenize(text, 0, &GenericDialect {});
    tokenized.error.as_ref()?;
    let at = tokenized.ranges.last().map_or(0, |range| range.end);
    text[at..].starts_with('\'').then_some(at)
}

fn candidates(statement: &[Token], word: &str, vocabulary: &Vocabulary) -> Vec<String> {
    if let Some(prefix) = word.strip_prefix('$') {
        let variables = vocabulary.variables.iter().filter(|name| name.starts_with(prefix));
        return variables.map(|name| format!("${name}")).collect();
    }
    if let Some((relation, prefix)) = word.rsplit_once('.')
        && let Some(columns) = columns_of(relation, statement, vocabulary)
    {
        let columns = columns.iter().filter(|column| starts_with(column, prefix));
        return columns.map(|column| format!("{relation}.{column}")).collect();
    }
    let tables = || vocabulary.tables.iter().map(|(name, _)| name).filter(|name| starts_with(name, word)).cloned();
    let functions =
        || vocabulary.functions.iter().filter(|name| starts_with(name, word)).map(|name| format!("{name}("));
    let mut found: Vec<String> = parameters_at(statement, vocabulary)
        .into_iter()
        .filter(|name| starts_with(name, word))
        .map(|name| format!("{name} => "))
        .collect();
    let after_relation_keyword = matches!(statement.last(), Some(Token::Word(last))
        if BEFORE_RELATIONS.iter().any(|keyword| last.value.eq_ignore_ascii_case(keyword)));
    if after_relation_keyword {
        found.extend(tables());
        if !word.is_empty() {
            found.extend(functions());
        }
    } else if word.is_empty() {
        // Behind a keyword or a comma anything could stand; columns are what one looks for.
        let wants_columns = matches!(statement.last(), Some(Token::Word(last))
            if BEFORE_COLUMNS.iter().any(|keyword| last.value.eq_ignore_ascii_case(keyword)));
        if wants_columns {
            found.extend(columns_of_mentioned_relations(statement, vocabulary));
        }
    } else {
        let lower = word.chars().all(|c| !c.is_ascii_uppercase());
        let keywords = KEYWORDS.iter().filter(|keyword| starts_with(keyword, word));
        let keywords: Vec<String> =
            keywords.map(|keyword| if lower { keyword.to_ascii_lowercase() } else { (*keyword).to_owned() }).collect();
        // Whoever types SQL in capitals means the keyword: `FRO` is FROM and not also `from_unixtime`.
        if lower || keywords.is_empty() {
            found.extend(columns_of_mentioned_relations(statement, vocabulary).filter(|name| starts_with(name, word)));
            found.extend(tables());
            found.extend(functions());
        }
        found.extend(keywords);
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|candidate| seen.insert(candidate.clone()));
    found
}

/// The columns of a relation by its name, or by the other name that the statement gives it: `candles c`, `liq_map(…) AS m`.
fn columns_of<'a>(relation: &str, statement: &[Token], vocabulary: &'a Vocabulary) -> Option<&'a Vec<String>> {
    let named =
        |name: &str| vocabulary.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(name)).map(|(_, c)| c);
    if let Some(columns) = named(relation) {
        return Some(columns);
    }
    let is = |token: &Token, name: &str| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
    statement.iter().enumerate().skip(1).find_map(|(at, token)| {
        if !is(token, relation) || statement.get(at + 1) == Some(&Token::Period) {
            return None;
        }
        let before = if is(&statement[at - 1], "as") { at.checked_sub(2)? } else { at - 1 };
        match &statement[before] {
            Token::Word(word) => named(&word.value),
            Token::RParen => {
                let mut depth = 0_usize;
                let open = statement[..=before].iter().rposition(|token| {
                    match token {
                        Token::RParen => depth += 1,
                        Token::LParen => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    *token == Token::LParen && depth == 0
                })?;
                match statement.get(open.checked_sub(1)?)? {
                    Token::Word(word) => vocabulary.own_function(&word.value).map(|function| &function.columns),
                    _ => None,
                }
            }
            _ => None,
        }
    })
}

/// The innermost call that is open where a statement ends.
struct Call<'a> {
    function: &'a str,
    /// Arguments given by name.
    named: Vec<&'a str>,
    /// Arguments given by position.
    positional: usize,
}

fn call_around(statement: &[Token]) -> Option<Call<'_>> {
    let mut depth = 0_usize;
    let mut named = Vec::new();
    let mut commas = 0;
    for (at, token) in statement.iter().enumerate().rev() {
        match token {
            Token::RParen => depth += 1,
            Token::LParen if depth > 0 => depth -= 1,
            Token::LParen => {
                let Some(Token::Word(function)) = at.checked_sub(1).and_then(|at| statement.get(at)) else {
                    return None;
                };
                let positional = usize::saturating_sub(commas, named.len());
                return Some(Call { function: &function.value, named, positional });
            }
            Token::Comma if depth == 0 => commas += 1,
            Token::Word(word) if depth == 0 && statement.get(at + 1) == Some(&Token::RArrow) => {
                named.push(word.value.as_str());
            }
            _ => {}
        }
    }
    None
}

/// Parameters of the innermost call around the cursor that it does not name yet, if an argument can begin here.
fn parameters_at(statement: &[Token], vocabulary: &Vocabulary) -> Vec<String> {
    if !matches!(statement.last(), Some(Token::LParen | Token::Comma)) {
        return Vec::new();
    }
    let Some(call) = call_around(statement) else { return Vec::new() };
    let Some(function) = vocabulary.own_function(call.function).filter(|function| function.has_named_arguments) else {
        return Vec::new();
    };
    let names = function.parameters.iter().map(|parameter| &parameter.name);
    names.filter(|name| !call.named.contains(&name.as_str())).cloned().collect()
}

/// Columns of the tables and functions that the statement names, or of all tables as long as it names none.
fn columns_of_mentioned_relations<'a>(
    statement: &[Token],
    vocabulary: &'a Vocabulary,
) -> impl Iterator<Item = String> + use<'a> {
    let is_mentioned = |name: &str| {
        statement.iter().any(|token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name)))
    };
    let tables = vocabulary.tables.iter().map(|(name, columns)| (name, columns));
    let functions = vocabulary.own_functions.iter().map(|function| (&function.name, &function.columns));
    let mentioned: Vec<&'a Vec<String>> =
        functions.chain(tables).filter(|(name, _)| is_mentioned(name)).map(|(_, columns)| columns).collect();
    let chosen =
        if mentioned.is_empty() { vocabulary.tables.iter().map(|(_, columns)| columns).collect() } else { mentioned };
    chosen.into_iter().flatten().cloned()
}

fn complete_command(line: &str, vocabulary: &Vocabulary) -> (usize, Vec<String>) {
    let indent = line.len() - line.trim_start().len();
    let Some(space) = line[indent..].find(char::is_whitespace) else {
        let word = &line[indent..];
        let names = vocabulary.commands.iter().map(|(name, _)| name);
        return (indent, names.filter(|command| command.starts_with(word)).cloned().collect());
    };
    let command = &line[indent..indent + space];
    let start = line.rfind(char::is_whitespace).map_or(line.len(), |at| at + 1);
    let word = &line[start..];
    let names: Vec<&String> = match command {
        "\\d" => vocabulary.tables.iter().map(|(name, _)| name).collect(),
        "\\df" | "\\h" => vocabulary.own_functions.iter().map(|function| &function.name).collect(),
        "\\set" | "\\unset" => vocabulary.variables.iter().collect(),
        "\\format" => vocabulary.formats.iter().collect(),
        _ => Vec::new(),
    };
    (start, names.into_iter().filter(|name| starts_with(name, word)).cloned().collect())
}

fn word_start(line: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || "_$.".contains(c);
    line.char_indices().rev().take_while(|(_, c)| is_part(*c)).last().map_or(line.len(), |(at, _)| at)
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Vocabulary {
            functions: owned(&["liq_heatmap", "liq_pools", "avg"]),
            own_functions: vec![OwnFunction {
                name: "liq_heatmap".into(),
                has_named_arguments: true,
                parameters: [
                    ("bars", None),
                    ("step", Some("1 hour")),
                    ("price_step", Some("0.1 %")),
                    ("model", Some("'precise'")),
                ]
                .map(|(name, default)| OwnParameter {
                    name: name.into(),
                    default: default.map(str::to_owned),
                    doc: format!("what {name} means"),
                })
                .to_vec(),
                columns: owned(&["ts", "intensity"]),
            }],
            tables: vec![
                ("candles".into(), owned(&["ts", "close"])),
                ("funding".into(), owned(&["ts", "funding_rate"])),
                ("sample.candles".into(), owned(&["ts"])),
            ],
            variables: owned(&["symbol"]),
            commands: [("\\d", "[table]"), ("\\df", "[function]"), ("\\q", "")]
                .map(|(n, a)| (n.into(), a.into()))
                .to_vec(),
            formats: owned(&["csv", "table"]),
        }
    }

    fn completed(line: &str) -> Vec<String> {
        complete(line, &vocabulary()).1
    }

    #[test]
    fn words_of_sql_keep_their_case() {
        assert_eq!(completed("SEL"), ["SELECT"]);
        assert_eq!(completed("sel"), ["select"]);
        assert_eq!(completed("SELECT av"), ["avg("]);
        assert_eq!(completed("SELECT * FU"), ["FULL"]);
        assert_eq!(completed("SELECT * fu"), ["funding_rate", "funding", "full"]);
    }

    #[test]
    fn relations_follow_from() {
        assert_eq!(completed("SELECT * FROM "), ["candles", "funding", "sample.candles"]);
        assert_eq!(completed("SELECT * FROM liq"), ["liq_heatmap(", "liq_pools("]);
        assert_eq!(complete("SELECT *\nFROM\nfu", &vocabulary()), (14, vec!["funding".to_owned()]));
    }

    #[test]
    fn parameters_stand_in_their_call() {
        assert_eq!(completed("SELECT * FROM liq_heatmap("), ["bars => ", "step => ", "price_step => ", "model => "]);
        assert_eq!(completed("SELECT * FROM liq_heatmap(f(1, 2), step => 1, pr"), ["price_step => "]);
        assert!(completed("SELECT * FROM liq_heatmap(bars) WHERE (").is_empty());
    }

    #[test]
    fn columns_follow_the_tables_named() {
        assert_eq!(completed("SELECT * FROM funding WHERE fund"), ["funding_rate", "funding"]);
        assert_eq!(completed("SELECT candles.cl"), ["candles.close"]);
        assert!(completed("SELECT 'cand").is_empty());
        assert_eq!(completed("SELECT $s"), ["$symbol"]);
    }

    #[test]
    fn other_names_of_relations_are_known() {
        assert_eq!(completed("SELECT * FROM candles c WHERE c.cl"), ["c.close"]);
        assert_eq!(completed("SELECT * FROM liq_heatmap(candles, step => f(1)) AS h WHERE h.int"), ["h.intensity"]);
        assert!(completed("SELECT * FROM candles c WHERE d.cl").is_empty());
        assert_eq!(completed("SELECT * FROM candles WHERE "), ["ts", "close"]);
    }

    #[test]
    fn columns_of_functions_are_known() {
        assert_eq!(
            completed("SELECT * FROM liq_heatmap(candles) WHERE int"),
            ["intensity", "intersect", "interval", "into"]
        );
    }

    #[test]
    fn files_follow_quotes_and_commands() {
        for text in
            ["SELECT * FROM 'da", "COPY t TO '", "SELECT 1;\nCREATE EXTERNAL TABLE t LOCATION 's", "\\i x", "\\o "]
        {
            assert!(is_file(text), "{text}");
        }
        for text in ["SELECT 'da", "SELECT * FROM da", "WHERE x = '", "\\d x", "\\plot ", "\\plot SELECT 1"] {
            assert!(!is_file(text), "{text}");
        }
    }

    #[test]
    fn hints_say_what_a_call_takes() {
        let hint = |text| hint(text, &vocabulary()).unwrap_or_default();
        assert_eq!(hint("SELECT * FROM liq_heatmap("), "bars, step => 1 hour, price_step => 0.1 %, model => 'precise'");
        assert_eq!(
            hint("SELECT * FROM liq_heatmap(candles, "),
            "step => 1 hour, price_step => 0.1 %, model => 'precise'"
        );
        assert_eq!(hint("SELECT * FROM liq_heatmap(f(a, b), step => 1, "), "price_step => 0.1 %, model => 'precise'");
        assert_eq!(hint("SELECT * FROM liq_heatmap(candles, step => "), "1 hour: what step means");
        assert_eq!(hint("\\df"), " [function]");
        assert_eq!(hint("SELECT 1\n"), "; runs it");
        assert_eq!(hint("SELECT (1\n"), "a parenthesis is open: ) closes it");
        assert_eq!(hint("SELECT 'a;\n"), "the text is open: ' closes it");
        for nothing in ["", "SELECT ", "SELECT avg(", "SELECT 'liq_heatmap(", "liq_heatmap(candles", "\\df x", "\\q"] {
            assert_eq!(hint(nothing), "", "{nothing}");
        }
    }

    #[test]
    fn commands_complete_their_arguments() {
        assert_eq!(completed("\\d"), ["\\d", "\\df"]);
        assert_eq!(complete("\\d fu", &vocabulary()), (3, vec!["funding".to_owned()]));
        assert_eq!(completed("\\format c"), ["csv"]);
    }
}

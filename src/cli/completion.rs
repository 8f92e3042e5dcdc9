//! Completion: what a word at the cursor could become. Pure; [`Vocabulary`] is what it may choose from.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

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

/// Everything that a word can become.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// Names of all functions.
    pub(crate) functions: Vec<String>,
    /// Named parameters of our own functions.
    pub(crate) parameters: Vec<(String, Vec<String>)>,
    /// Names of tables, with their schema where it is needed, and their columns.
    pub(crate) tables: Vec<(String, Vec<String>)>,
    /// Variables that are set.
    pub(crate) variables: Vec<String>,
    /// Backslash commands.
    pub(crate) commands: Vec<String>,
    /// Output formats.
    pub(crate) formats: Vec<String>,
}

/// Returns where in `line` the word at its end begins, and what it can become. `before` is what was typed on the
/// lines above.
pub(crate) fn complete(before: &str, line: &str, vocabulary: &Vocabulary) -> (usize, Vec<String>) {
    if before.is_empty() && line.trim_start().starts_with('\\') {
        return complete_command(line, vocabulary);
    }
    let start = word_start(line);
    let word = &line[start..];
    let text = format!("{before}{}", &line[..start]);
    let mut tokens = Vec::new();
    if Tokenizer::new(&GenericDialect {}, &text).tokenize_with_location_into_buf(&mut tokens).is_err() {
        // Inside a string or a comment.
        return (start, Vec::new());
    }
    let tokens: Vec<Token> =
        tokens.into_iter().map(|token| token.token).filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    // Only the statement at the cursor matters.
    let statement = tokens.rsplit(|token| *token == Token::SemiColon).next().unwrap_or_default();
    (start, candidates(statement, word, vocabulary))
}

fn candidates(statement: &[Token], word: &str, vocabulary: &Vocabulary) -> Vec<String> {
    if let Some(prefix) = word.strip_prefix('$') {
        let variables = vocabulary.variables.iter().filter(|name| name.starts_with(prefix));
        return variables.map(|name| format!("${name}")).collect();
    }
    if let Some((relation, prefix)) = word.rsplit_once('.')
        && let Some((_, columns)) = vocabulary.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(relation))
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
    } else if !word.is_empty() {
        let lower = word.chars().all(|c| !c.is_ascii_uppercase());
        let keywords = KEYWORDS.iter().filter(|keyword| starts_with(keyword, word));
        let keywords: Vec<String> =
            keywords.map(|keyword| if lower { keyword.to_ascii_lowercase() } else { (*keyword).to_owned() }).collect();
        // Whoever types SQL in capitals means the keyword: `FRO` is FROM and not also `from_unixtime`.
        if lower || keywords.is_empty() {
            found.extend(columns_of_mentioned_tables(statement, vocabulary).filter(|name| starts_with(name, word)));
            found.extend(tables());
            found.extend(functions());
        }
        found.extend(keywords);
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|candidate| seen.insert(candidate.clone()));
    found
}

/// Parameters of the innermost call around the cursor that it does not name yet, if an argument can begin here.
fn parameters_at(statement: &[Token], vocabulary: &Vocabulary) -> Vec<String> {
    if !matches!(statement.last(), Some(Token::LParen | Token::Comma)) {
        return Vec::new();
    }
    let mut depth = 0_usize;
    let mut named = Vec::new();
    for (at, token) in statement.iter().enumerate().rev() {
        match token {
            Token::RParen => depth += 1,
            Token::LParen if depth > 0 => depth -= 1,
            Token::LParen => {
                let Some(Token::Word(function)) = at.checked_sub(1).and_then(|at| statement.get(at)) else {
                    return Vec::new();
                };
                let known = vocabulary.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(&function.value));
                let all = known.map(|(_, parameters)| parameters.as_slice()).unwrap_or_default();
                return all.iter().filter(|name| !named.contains(&name.as_str())).cloned().collect();
            }
            Token::Word(word) if depth == 0 && statement.get(at + 1) == Some(&Token::RArrow) => {
                named.push(word.value.as_str());
            }
            _ => {}
        }
    }
    Vec::new()
}

/// Columns of the tables that the statement names, or of all tables as long as it names none.
fn columns_of_mentioned_tables<'a>(
    statement: &[Token],
    vocabulary: &'a Vocabulary,
) -> impl Iterator<Item = String> + use<'a> {
    let is_mentioned = |name: &str| {
        statement.iter().any(|token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name)))
    };
    let mentioned: Vec<&'a Vec<String>> =
        vocabulary.tables.iter().filter(|(name, _)| is_mentioned(name)).map(|(_, columns)| columns).collect();
    let chosen =
        if mentioned.is_empty() { vocabulary.tables.iter().map(|(_, columns)| columns).collect() } else { mentioned };
    chosen.into_iter().flatten().cloned()
}

fn complete_command(line: &str, vocabulary: &Vocabulary) -> (usize, Vec<String>) {
    let indent = line.len() - line.trim_start().len();
    let Some(space) = line[indent..].find(char::is_whitespace) else {
        let word = &line[indent..];
        return (indent, vocabulary.commands.iter().filter(|command| command.starts_with(word)).cloned().collect());
    };
    let command = &line[indent..indent + space];
    let start = line.rfind(char::is_whitespace).map_or(line.len(), |at| at + 1);
    let word = &line[start..];
    let names: Vec<&String> = match command {
        "\\d" => vocabulary.tables.iter().map(|(name, _)| name).collect(),
        "\\df" => vocabulary.functions.iter().collect(),
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
            parameters: vec![("liq_heatmap".into(), owned(&["step", "price_step", "model"]))],
            tables: vec![
                ("candles".into(), owned(&["ts", "close"])),
                ("funding".into(), owned(&["ts", "funding_rate"])),
                ("sample.candles".into(), owned(&["ts"])),
            ],
            variables: owned(&["symbol"]),
            commands: owned(&["\\d", "\\df", "\\q"]),
            formats: owned(&["csv", "table"]),
        }
    }

    fn completed(line: &str) -> Vec<String> {
        complete("", line, &vocabulary()).1
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
        assert_eq!(complete("SELECT *\nFROM\n", "fu", &vocabulary()), (0, vec!["funding".to_owned()]));
    }

    #[test]
    fn parameters_stand_in_their_call() {
        assert_eq!(completed("SELECT * FROM liq_heatmap("), ["step => ", "price_step => ", "model => "]);
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
    fn commands_complete_their_arguments() {
        assert_eq!(completed("\\d"), ["\\d", "\\df"]);
        assert_eq!(complete("", "\\d fu", &vocabulary()), (3, vec!["funding".to_owned()]));
        assert_eq!(completed("\\format c"), ["csv"]);
    }
}

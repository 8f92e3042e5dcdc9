//! Scripts: text cut into statements that remember their line, the variables that a header declares, secrets.
//!
//! ```text
//! text ──► tokens (strings, comments and dollar quotes are one token each) ──► cut at `;` ──► statements
//! ```
//!
//! Nothing is parsed here beyond tokens: a script stops at its first error, so a later statement may well be wrong.

use std::sync::Arc;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::error::{Failure, one_line, take_location};
use super::excerpt::Excerpt;
use super::variables::Declaration;
use super::wording::reworded;

/// Parts of an option's key that make its value a secret.
const SECRET_KEYS: &[&str] = &["secret", "password", "token", "key_id"];

/// Operators that an expression may have side by side: more than people write, less than overflows a stack.
const LONGEST_CHAIN: usize = 2_000;

/// What stands in for a secret in messages and output.
const MASK: &str = "***";

/// A script, cut but not parsed.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// As the user named it; messages begin with it.
    pub(crate) name: String,
    /// As it was written, to show where a fault is.
    pub(crate) text: Arc<str>,
    /// The variables of its header.
    pub(crate) declarations: Vec<Declaration>,
    /// In order.
    pub(crate) statements: Vec<Unparsed>,
    /// A string or comment that never ends; everything before it can still run.
    pub(crate) unreadable: Option<Failure>,
}

/// The tokens of one statement, with their places in the script.
#[derive(Debug, Clone)]
pub(crate) struct Unparsed {
    tokens: Vec<TokenWithSpan>,
    /// The line of the first token that is neither space nor comment.
    pub(crate) line: u64,
}

impl Script {
    /// Cuts `text` at the semicolons that end statements.
    ///
    /// # Errors
    /// A header line that begins like a declaration and is not one.
    pub(crate) fn read(name: &str, text: &str, dialect: &dyn Dialect) -> Result<Self, Failure> {
        let mut tokens = Vec::new();
        // A byte order mark is the editor's, not the author's.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let unreadable =
            Tokenizer::new(dialect, text).tokenize_with_location_into_buf(&mut tokens).err().map(|error| {
                let secrets: Vec<String> = Unparsed::new(tokens.clone()).map_or_else(Vec::new, |torn| torn.secrets());
                let place = Span::new(error.location, Location::new(error.location.line, error.location.column + 1));
                let mut failure = Failure::at(name, error.location.line, mask(&reworded(&error.message), &secrets));
                failure.excerpt = Excerpt::of(text, place, &secrets);
                failure
            });
        let declarations = declarations(name, &tokens).map_err(|mut failure| {
            let line = failure.place.as_ref().map_or(1, |(_, line)| *line);
            let place = Span::new(Location::new(line, 1), Location::new(line + 1, 1));
            failure.excerpt = Excerpt::of(text, place, &[]);
            failure
        })?;
        let mut statements = Vec::new();
        let mut current = Vec::new();
        for token in tokens {
            if token.token == Token::SemiColon {
                statements.extend(Unparsed::new(std::mem::take(&mut current)));
            } else {
                current.push(token);
            }
        }
        // What precedes an unreadable token is a torn statement, not a last one without its semicolon.
        if unreadable.is_none() {
            statements.extend(Unparsed::new(current));
        }
        Ok(Self { name: name.to_owned(), text: text.into(), declarations, statements, unreadable })
    }

    /// The script with nothing but one of its statements.
    pub(crate) fn only(&self, statement: &Unparsed) -> Self {
        Self {
            name: self.name.clone(),
            text: Arc::clone(&self.text),
            declarations: self.declarations.clone(),
            statements: vec![statement.clone()],
            unreadable: None,
        }
    }

    /// Whether a statement mentions the value of a secret option.
    pub(crate) fn has_secrets(&self) -> bool {
        self.statements.iter().any(|statement| !statement.secrets().is_empty())
    }
}

impl Unparsed {
    /// None if there is nothing but space and comments.
    fn new(tokens: Vec<TokenWithSpan>) -> Option<Self> {
        let line = tokens.iter().find(|token| !is_space(&token.token))?.span.start.line;
        Some(Self { tokens, line })
    }

    /// What it is made of, without space and comments.
    pub(crate) fn words(&self) -> Vec<&TokenWithSpan> {
        self.tokens.iter().filter(|token| !is_space(&token.token)).collect()
    }

    /// Parses the statement.
    ///
    /// # Errors
    /// The place in the script, if the parser knew it, and the message.
    pub(crate) fn parse(
        &self,
        dialect: &dyn Dialect,
        recursion_limit: usize,
    ) -> Result<Statement, (Option<Location>, String)> {
        if let Some(place) = self.end_of_longest_chain() {
            let message =
                format!("more than {LONGEST_CHAIN} operators one after another: write IN (…), VALUES or a join");
            return Err((Some(place), message));
        }
        let parsed = DFParserBuilder::new(self.tokens.clone())
            .with_dialect(dialect)
            .with_recursion_limit(recursion_limit)
            .build()
            .and_then(|mut parser| parser.parse_statements());
        let mut statements = parsed.map_err(|error| {
            let (message, place) = take_location(&one_line(&error));
            (place, explained(mask(&message, &self.secrets())))
        })?;
        match (statements.pop_front(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            _ => Err((None, "expected one statement".to_owned())),
        }
    }

    /// Where an expression or a row of queries grows too long, if one does. Every operator of `a + b + c …` is one level
    /// of the tree, which the parser does not count, and the planner would overflow its stack.
    fn end_of_longest_chain(&self) -> Option<Location> {
        // Operators since the last comma, and set operators, of every parenthesis around the word.
        let mut chains = vec![(0_usize, 0_usize)];
        for word in self.words() {
            match &word.token {
                Token::LParen => chains.push((0, 0)),
                Token::RParen if chains.len() > 1 => {
                    chains.pop();
                }
                token => {
                    let (operators, sets) = chains.last_mut()?;
                    match token {
                        Token::Comma => *operators = 0,
                        token if is_operator(token) => *operators += 1,
                        token if is_set_operator(token) => *sets += 1,
                        _ => {}
                    }
                    if *operators > LONGEST_CHAIN || *sets > LONGEST_CHAIN {
                        return Some(word.span.start);
                    }
                }
            }
        }
        None
    }

    /// The values of options whose key says that they are secret: `'aws.secret_access_key' 'xyz'`.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        let mut after_key = false;
        for token in self.tokens.iter().map(|token| &token.token) {
            match token {
                token if is_space(token) => {}
                Token::Eq | Token::RArrow | Token::Colon => {}
                Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("to") => {}
                Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => {
                    if after_key && !text.is_empty() {
                        secrets.push(text.clone());
                    }
                    after_key = !after_key && is_secret_key(text);
                }
                Token::Number(text, _) if after_key => {
                    secrets.push(text.clone());
                    after_key = false;
                }
                Token::Word(word) => after_key = is_secret_key(&word.value),
                _ => after_key = false,
            }
        }
        secrets
    }
}

/// Whether the REPL may run `text`: every statement in it has ended, outside strings and comments.
pub(crate) fn is_complete(text: &str, dialect: &dyn Dialect) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') {
        return true;
    }
    let mut tokens = Vec::new();
    match Tokenizer::new(dialect, text).tokenize_with_location_into_buf(&mut tokens) {
        Ok(()) => match tokens.iter().rev().find(|token| !is_space(&token.token)) {
            Some(last) => last.token == Token::SemiColon,
            // Only comments so far.
            None => true,
        },
        // More lines may close the string or comment; any other fault is for the parser to report.
        Err(error) => !["nterminated", "EOF", "close delimiter"].iter().any(|sign| error.message.contains(sign)),
    }
}

/// Whether the value of an option with this key must not be shown.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|secret| key.contains(secret))
}

/// Replaces every secret in `text`.
pub(crate) fn mask(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// Adds the one rule about variables that the parser's words do not convey.
fn explained(message: String) -> String {
    match message.split_once("found: $") {
        Some((_, name)) if message.contains("dentifier") => {
            let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            format!(
                "{message} (a variable stands where a value stands, or as an argument of a table function: \
                 '${name}' cannot follow FROM)"
            )
        }
        _ => message,
    }
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
        token => is_one_of(token, &["AND", "OR"]),
    }
}

fn is_set_operator(token: &Token) -> bool {
    is_one_of(token, &["UNION", "INTERSECT", "EXCEPT"])
}

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if words.iter().any(|other| word.value.eq_ignore_ascii_case(other)))
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// Reads the comments before the first statement.
fn declarations(script: &str, tokens: &[TokenWithSpan]) -> Result<Vec<Declaration>, Failure> {
    let mut declarations: Vec<Declaration> = Vec::new();
    for token in tokens.iter().take_while(|token| is_space(&token.token)) {
        let Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) = &token.token else {
            continue;
        };
        let line = token.span.start.line;
        let Some(parsed) = Declaration::parse(comment, line) else {
            continue;
        };
        let declaration = parsed.map_err(|message| Failure::at(script, line, message))?;
        if declarations.iter().any(|other| other.name == declaration.name) {
            return Err(Failure::at(script, line, format!("variable '{}' is declared twice", declaration.name)));
        }
        declarations.push(declaration);
    }
    Ok(declarations)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    use super::*;

    fn read(text: &str) -> Script {
        Script::read("x.sql", text, &GenericDialect {}).expect("a script")
    }

    fn parsed(text: &str) -> Vec<(u64, String)> {
        read(text)
            .statements
            .iter()
            .map(|statement| {
                let parsed = statement.parse(&GenericDialect {}, 50).expect("a statement");
                (statement.line, parsed.to_string())
            })
            .collect()
    }

    #[test]
    fn semicolons_in_strings_and_comments_do_not_cut() {
        let text = "SELECT ';';\n-- one; two\n/* three; */ SELECT $$;$$, $a$;$a$, \"x;\" ;\n\n;;SELECT 3 -- end;\n";
        let statements = parsed(text);
        assert_eq!(statements.len(), 3);
        assert_eq!(statements[0], (1, "SELECT ';'".to_owned()));
        assert_eq!(statements[1].0, 3);
        assert_eq!(statements[2], (5, "SELECT 3".to_owned()));
    }

    #[test]
    fn engine_statements_and_named_arguments_parse() {
        assert_eq!(parsed("SELECT * FROM f(a => 1, b => '2')").len(), 1);
        assert_eq!(parsed("SET a.b = 1; SHOW ALL; EXPLAIN SELECT 1; COPY (SELECT 1) TO 'x.csv'").len(), 4);
        assert_eq!(parsed("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'").len(), 1);
    }

    #[test]
    fn errors_carry_the_line_of_the_script() {
        let script = read("SELECT 1;\n\nSELECT\n  1 +\n  ) ;");
        let (place, _) = script.statements[1].parse(&GenericDialect {}, 50).expect_err("faulty");
        assert_eq!((script.statements[1].line, place), (3, Some(Location::new(5, 3))));
        let (_, message) = read("SELECT * FROM $t").statements[0].parse(&GenericDialect {}, 50).expect_err("faulty");
        assert!(message.contains("'$t' cannot follow FROM"), "{message}");
    }

    #[test]
    fn an_open_string_is_reported_after_what_precedes_it() {
        let script = read("SELECT 1;\nSELECT 'open");
        assert_eq!(script.statements.len(), 1);
        let failure = script.unreadable.expect("an open string");
        assert_eq!(failure.place.expect("a place").1, 2);
    }

    #[test]
    fn only_the_header_declares() {
        let script = read("-- A question.\n-- $a text = 'x'  doc\n\n-- $b integer\nSELECT 1;\n-- $c text\n");
        let names: Vec<_> = script.declarations.iter().map(|d| (d.name.as_str(), d.line)).collect();
        assert_eq!(names, [("a", 2), ("b", 4)]);
        let failure = Script::read("x.sql", "\n-- $a color\n", &GenericDialect {}).expect_err("faulty");
        assert_eq!(failure.place, Some(("x.sql".to_owned(), 2)));
        assert!(Script::read("x.sql", "-- $a text\n-- $a text\n", &GenericDialect {}).is_err());
    }

    #[test]
    fn unfinished_input_waits_for_more() {
        let complete = |text| is_complete(text, &GenericDialect {});
        for text in ["", "\\q", "SELECT 1;", "SELECT ';';  ", "SELECT 1; -- done", "-- note"] {
            assert!(complete(text), "{text}");
        }
        for text in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "/* ;", "SELECT $$;", "SELECT 1; SELECT 2", "SELECT \"a;"]
        {
            assert!(!complete(text), "{text}");
        }
    }

    #[test]
    fn secrets_are_found_and_masked() {
        let script = read(
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://b/x' \
             OPTIONS ('aws.access_key_id' 'AK', 'aws.secret_access_key' 'SK', 'aws.region' 'eu'); \
             SET x.password = 'PW'; SET y.token TO 'TK'",
        );
        assert_eq!(script.statements[0].secrets(), ["AK", "SK"]);
        assert_eq!(script.statements[1].secrets(), ["PW"]);
        assert_eq!(script.statements[2].secrets(), ["TK"]);
        assert_eq!(mask("found: 'SK'", &script.statements[0].secrets()), "found: '***'");
    }
}

//! Scripts: text cut into statements and backslash commands that remember their line, the variables that a header
//! declares, secrets.
//!
//! ```text
//! text ──► tokens (strings, comments and dollar quotes are one token each) ──► cut at `;` ──► statements
//!     └──► lines that begin with `\` where a statement could begin ─────────────────────────► commands
//! ```
//!
//! Nothing is parsed here beyond tokens: a script stops at its first error, so a later statement may well be wrong.
//! What follows a command on its line is taken as it stands, so a file's name needs no quotes.

use std::ops::Range;
use std::sync::Arc;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::error::{Excerpt, Failure, one_line, reworded, take_location};
use super::storage::secrets_in_url;
use super::variables::Declaration;

/// Parts of an option's key that make its value a secret.
const SECRET_KEYS: &[&str] = &["secret", "password", "token", "key_id"];

/// Operators that an expression may have side by side: more than people write, less than overflows a stack.
const LONGEST_CHAIN: usize = 2_000;

/// Letters of a secret that is replaced wherever it occurs.
const SHORTEST_SECRET: usize = 4;

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
    /// What it does, in order.
    pub(crate) items: Vec<Item>,
    /// A string or comment that never ends; everything before it can still run.
    pub(crate) unreadable: Option<Failure>,
}

/// One thing that a script does.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A statement of SQL.
    Statement(Unparsed),
    /// A backslash command.
    Command(Command),
}

/// A backslash command, such as `\set symbol BTCUSDT` or `\plot SELECT …;`.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// With its backslash.
    pub(crate) name: String,
    /// What follows the name on its line, without the statement.
    pub(crate) argument: String,
    /// The statement that it is to work on.
    pub(crate) statement: Option<Unparsed>,
    /// Where it stands in the script.
    pub(crate) line: u64,
}

/// Commands after whose argument a statement may follow, up to its semicolon.
pub(crate) const TAKE_A_STATEMENT: &[&str] = &["\\plot", "\\explain", "\\watch"];

/// Words that begin the statement after a command's argument.
const BEGIN_A_STATEMENT: &[&str] = &["select", "with", "from", "values", "table", "show", "describe", "explain"];

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
        // A byte order mark is the editor's, not the author's.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { name, text, dialect, items: Vec::new(), declarations: None, unreadable: None };
        let mut at = Some(0);
        while let Some(from) = at {
            at = reader.read_from(from)?;
        }
        let Reader { items, declarations, unreadable, .. } = reader;
        let declarations = declarations.unwrap_or_default();
        Ok(Self { name: name.to_owned(), text: text.into(), declarations, items, unreadable })
    }

    /// The statements alone.
    #[cfg(test)]
    pub(crate) fn statements(&self) -> impl Iterator<Item = &Unparsed> {
        self.items.iter().filter_map(|item| match item {
            Item::Statement(statement) => Some(statement),
            Item::Command(_) => None,
        })
    }

    /// The script with nothing but one of its statements.
    pub(crate) fn only(&self, statement: &Unparsed) -> Self {
        Self {
            name: self.name.clone(),
            text: Arc::clone(&self.text),
            declarations: self.declarations.clone(),
            items: vec![Item::Statement(statement.clone())],
            unreadable: None,
        }
    }

    /// Whether a statement mentions the value of a secret option, or a command sets a secret variable.
    pub(crate) fn has_secrets(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Statement(statement) => !statement.secrets().is_empty(),
            Item::Command(command) => command.has_secret(),
        })
    }
}

impl Command {
    fn has_secret(&self) -> bool {
        let sets = self.name == "\\set" && self.argument.split_whitespace().next().is_some_and(is_secret_key);
        sets || !secrets_in_url(&self.argument).is_empty()
            || self.statement.as_ref().is_some_and(|statement| !statement.secrets().is_empty())
    }
}

/// Cuts a text, and starts anew behind every command: what a command's line holds is not SQL.
struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    dialect: &'a dyn Dialect,
    items: Vec<Item>,
    /// Those before the first item; None until it is reached.
    declarations: Option<Vec<Declaration>>,
    unreadable: Option<Failure>,
}

impl Reader<'_> {
    /// Reads from a place in the text to its end, or to the end of the first command, which it returns.
    fn read_from(&mut self, from: usize) -> Result<Option<usize>, Failure> {
        let (tokenized, to) = tokenize_part(self.text, from, self.dialect);
        if self.declarations.is_none() {
            let declared = declarations(self.name, &tokenized.tokens).map_err(|mut failure| {
                let line = failure.place.as_ref().map_or(1, |(_, line)| *line);
                let place = Span::new(Location::new(line, 1), Location::new(line + 1, 1));
                failure.excerpt = Excerpt::of(self.text, place, &[]);
                failure
            });
            self.declarations = Some(declared?);
        }
        let mut current: Vec<TokenWithSpan> = Vec::new();
        for (index, token) in tokenized.tokens.iter().enumerate() {
            match token.token {
                Token::SemiColon => self.items.extend(Unparsed::new(std::mem::take(&mut current)).map(Item::Statement)),
                Token::Backslash if current.iter().all(|token| is_space(&token.token)) => {
                    return self.command(tokenized.ranges[index].start).map(Some);
                }
                _ => current.push(token.clone()),
            }
        }
        if let Some((place, message)) = tokenized.error {
            // What precedes an unreadable token is a torn statement, not a last one without its semicolon.
            let secrets = Unparsed::new(current).map_or_else(Vec::new, |torn| torn.secrets());
            self.unreadable = Some(self.failure(place, &message, &secrets));
            return Ok(None);
        }
        let open = Unparsed::new(current);
        if to == self.text.len() {
            self.items.extend(open.map(Item::Statement));
            return Ok(None);
        }
        // A line that begins with a command follows.
        let start = to + self.text[to..].len() - self.text[to..].trim_start().len();
        match open {
            None => self.command(start).map(Some),
            Some(statement) => {
                let command = first_word(&self.text[start..]);
                let message =
                    format!("the statement that begins in line {} must end with ; before '{command}'", statement.line);
                Err(Failure::at(self.name, location_of(self.text, start).line, message))
            }
        }
    }

    /// What cannot be read, and where.
    fn failure(&self, at: Location, message: &str, secrets: &[String]) -> Failure {
        let place = Span::new(at, Location::new(at.line, at.column + 1));
        let mut failure = Failure::at(self.name, at.line, mask(&reworded(message), secrets));
        failure.excerpt = Excerpt::of(self.text, place, secrets);
        failure
    }

    /// Reads the command at `start` and returns where it ends.
    fn command(&mut self, start: usize) -> Result<usize, Failure> {
        let rest = &self.text[start..];
        let line_end = start + rest.find('\n').unwrap_or(rest.len());
        let line = self.text[start..line_end].trim_end();
        let name = first_word(line).trim_end_matches(';');
        let argument = &line[name.len()..];
        let mut command = Command {
            name: name.to_owned(),
            argument: argument.to_owned(),
            statement: None,
            line: location_of(self.text, start).line,
        };
        let statement_at = TAKE_A_STATEMENT.contains(&name).then(|| statement_in(argument)).flatten();
        let mut end = line_end;
        if let Some(at) = statement_at {
            command.argument = argument[..at].to_owned();
            let (tokenized, to) = tokenize_part(self.text, start + name.len() + at, self.dialect);
            let semicolon = tokenized.tokens.iter().position(|token| token.token == Token::SemiColon);
            match (semicolon, tokenized.error) {
                (Some(at), _) => {
                    end = tokenized.ranges[at].end;
                    command.statement = Unparsed::new(tokenized.tokens[..at].to_vec());
                }
                (None, None) => {
                    end = to;
                    command.statement = Unparsed::new(tokenized.tokens);
                }
                (None, Some((place, message))) => {
                    let secrets = Unparsed::new(tokenized.tokens).map_or_else(Vec::new, |torn| torn.secrets());
                    self.unreadable = Some(self.failure(place, &message, &secrets));
                    return Ok(self.text.len());
                }
            }
        }
        command.argument = command.argument.trim().trim_end_matches(';').trim_end().to_owned();
        self.items.push(Item::Command(command));
        Ok(end)
    }
}

/// Cuts a text into tokens from byte `from` on up to the next line that begins with a command, and returns where that
/// line begins. So a script of many commands is not read anew for each of them.
fn tokenize_part(text: &str, from: usize, dialect: &dyn Dialect) -> (Tokenized, usize) {
    let mut to = next_command_line(text, from);
    loop {
        let tokenized = tokenize_range(text, from..to, dialect);
        if tokenized.error.is_none() || to == text.len() {
            return (tokenized, to);
        }
        // The line may be inside a string or a comment, which ends further on.
        to = next_command_line(text, to);
    }
}

/// Where the first line behind `from` begins that begins with a backslash; the end of the text if there is none.
fn next_command_line(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(end) = text[at..].find('\n') {
        at += end + 1;
        if text[at..].trim_start_matches([' ', '\t']).starts_with('\\') {
            return at;
        }
    }
    text.len()
}

fn location_of(text: &str, at: usize) -> Location {
    let before = &text[..at];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() as u64;
    Location { line: before.matches('\n').count() as u64 + 1, column: column + 1 }
}

/// The tokens of a text from some place on, each with its bytes in the whole text.
pub(crate) struct Tokenized {
    pub(crate) tokens: Vec<TokenWithSpan>,
    pub(crate) ranges: Vec<Range<usize>>,
    /// Where something cannot be read, and why. Everything before it is in `tokens`.
    pub(crate) error: Option<(Location, String)>,
}

/// Cuts `text` from byte `from` on into tokens whose lines and columns are those of the whole text.
pub(crate) fn tokenize(text: &str, from: usize, dialect: &dyn Dialect) -> Tokenized {
    tokenize_range(text, from..text.len(), dialect)
}

fn tokenize_range(text: &str, range: Range<usize>, dialect: &dyn Dialect) -> Tokenized {
    let Range { start: from, end: to } = range;
    let begin = location_of(text, from);
    let shifted = |at: Location| Location {
        line: at.line + begin.line - 1,
        column: if at.line == 1 { at.column + begin.column - 1 } else { at.column },
    };
    let mut tokens = Vec::new();
    let outcome = Tokenizer::new(dialect, &text[from..to]).tokenize_with_location_into_buf(&mut tokens);
    let error = outcome.err().map(|error| (shifted(error.location), error.message));
    let mut place = Location { line: 1, column: 1 };
    let mut bytes = from;
    let mut letters = text[from..to].chars();
    let mut byte_of = |target: Location| {
        while place < target {
            let Some(letter) = letters.next() else { break };
            bytes += letter.len_utf8();
            if letter == '\n' {
                place = Location { line: place.line + 1, column: 1 };
            } else {
                place.column += 1;
            }
        }
        bytes
    };
    let ranges = tokens.iter().map(|token| byte_of(token.span.start)..byte_of(token.span.end)).collect();
    for token in &mut tokens {
        token.span = Span { start: shifted(token.span.start), end: shifted(token.span.end) };
    }
    Tokenized { tokens, ranges, error }
}

/// Where in a command's argument a statement begins: at the first word, outside quotes, that begins statements. The first
/// words may be options and a file.
fn statement_in(argument: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += argument[at..].len() - argument[at..].trim_start().len();
        let rest = &argument[at..];
        let quoted = ['\'', '"'].iter().find_map(|quote| {
            let inner = rest.strip_prefix(*quote)?;
            inner.find(*quote).map(|closing| &rest[..closing + 2])
        });
        let word = match quoted {
            Some(word) => word,
            None => rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default(),
        };
        let begins = BEGIN_A_STATEMENT.iter().any(|begin| begin.eq_ignore_ascii_case(word));
        if begins || rest.starts_with('(') {
            return Some(at);
        }
        if word.is_empty() {
            return None;
        }
        at += word.len();
    }
}

/// Whether nothing but space precedes a place on its line.
fn begins_line(text: &str, at: usize) -> bool {
    text[..at].chars().rev().take_while(|c| *c != '\n').all(char::is_whitespace)
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

impl Unparsed {
    /// None if there is nothing but space and comments.
    fn new(tokens: Vec<TokenWithSpan>) -> Option<Self> {
        let line = tokens.iter().find(|token| !is_space(&token.token))?.span.start.line;
        Some(Self { tokens, line })
    }

    /// The statement with EXPLAIN before it.
    pub(crate) fn explained(&self, analyze: bool) -> Self {
        let place = Span::new(Location { line: self.line, column: 1 }, Location { line: self.line, column: 1 });
        let word = |keyword: &str| TokenWithSpan { token: Token::make_keyword(keyword), span: place };
        let space = || TokenWithSpan { token: Token::Whitespace(Whitespace::Space), span: place };
        let mut tokens = vec![word("EXPLAIN"), space()];
        if analyze {
            tokens.extend([word("ANALYZE"), space()]);
        }
        tokens.extend(self.tokens.iter().cloned());
        Self { tokens, line: self.line }
    }

    /// The statement as it was written.
    pub(crate) fn text(&self) -> String {
        self.tokens.iter().map(|token| token.token.to_string()).collect::<String>().trim().to_owned()
    }

    /// Whether it begins with one of these words.
    pub(crate) fn begins_with(&self, keywords: &[Keyword]) -> bool {
        let first = self.tokens.iter().find(|token| !is_space(&token.token)).map(|token| &token.token);
        matches!(first, Some(Token::Word(word)) if keywords.contains(&word.keyword))
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

    /// The values of options whose key says that they are secret: `'aws.secret_access_key' 'xyz'`; passwords and
    /// signatures in URLs.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        let mut after_key = false;
        // Elsewhere a word is a name: `WHERE token = 'BTC'` keeps no secret.
        let sets = self.begins_with(&[Keyword::SET]);
        for token in self.tokens.iter().map(|token| &token.token) {
            match token {
                token if is_space(token) => {}
                Token::Eq | Token::RArrow | Token::Colon => {}
                Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("to") => {}
                Token::SingleQuotedString(text)
                | Token::DoubleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::NationalStringLiteral(text)
                | Token::UnicodeStringLiteral(text) => {
                    secrets.extend(secrets_in_url(text));
                    if after_key && !text.is_empty() {
                        secrets.push(text.clone());
                    }
                    after_key = !after_key && is_secret_key(text);
                }
                Token::DollarQuotedString(text) if after_key => {
                    secrets.push(text.value.clone());
                    after_key = false;
                }
                Token::Number(text, _) if after_key => {
                    secrets.push(text.clone());
                    after_key = false;
                }
                Token::Word(word) if after_key && sets => {
                    secrets.push(word.value.clone());
                    after_key = false;
                }
                // `SET a.secret.key`: the last word of the name decides, or one before it.
                Token::Period => {}
                Token::Word(word) => after_key = sets && is_secret_key(&word.value),
                _ => after_key = false,
            }
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

/// What the prompt does with what was typed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Every statement in it has ended, outside strings and comments: it runs.
    Whole,
    /// It wants more lines.
    Unfinished,
    /// Its last line, from this byte on, is a command; the statement before is kept as it stands.
    Interrupted(usize),
}

/// Tells whether `text` can run.
pub(crate) fn typed(text: &str, dialect: &dyn Dialect) -> Typed {
    let mut from = 0;
    loop {
        let tokenized = tokenize(text, from, dialect);
        let mut statement_from = None;
        let mut command = None;
        for (token, range) in tokenized.tokens.iter().zip(&tokenized.ranges) {
            match token.token {
                Token::SemiColon => statement_from = None,
                Token::Backslash if statement_from.is_none() || begins_line(text, range.start) => {
                    command = Some(range.start);
                    break;
                }
                ref token if is_space(token) => {}
                _ => statement_from = statement_from.or(Some(range.start)),
            }
        }
        match (command, statement_from) {
            (Some(at), Some(_)) => return Typed::Interrupted(at),
            (Some(at), None) => {
                let line = text[at..].lines().next().unwrap_or_default();
                let name = first_word(line);
                let statement = TAKE_A_STATEMENT.contains(&name).then(|| statement_in(&line[name.len()..])).flatten();
                let Some(statement) = statement else {
                    from = at + line.len();
                    if from >= text.len() {
                        return Typed::Whole;
                    }
                    continue;
                };
                from = at + name.len() + statement;
            }
            (None, open) => {
                return match tokenized.error {
                    None if open.is_some() => Typed::Unfinished,
                    None => Typed::Whole,
                    // More lines may close the string or comment; any other fault is for the parser to report.
                    Some((_, message))
                        if ["nterminated", "EOF", "close delimiter"].iter().any(|s| message.contains(s)) =>
                    {
                        Typed::Unfinished
                    }
                    Some(_) => Typed::Whole,
                };
            }
        }
    }
}

/// Whether the value of an option with this key must not be shown.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|secret| key.contains(secret))
}

/// Replaces every secret in `text`. What is too short to be one is replaced only where it stands in quotes: otherwise a key
/// of one letter would make every message unreadable.
pub(crate) fn mask(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        if secret.chars().count() >= SHORTEST_SECRET {
            text.replace(secret.as_str(), MASK)
        } else {
            text.replace(&format!("'{secret}'"), &format!("'{MASK}'"))
        }
    })
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

    fn statement(script: &Script, index: usize) -> &Unparsed {
        script.statements().nth(index).expect("a statement")
    }

    fn parsed(text: &str) -> Vec<(u64, String)> {
        read(text)
            .statements()
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
        let (place, _) = statement(&script, 1).parse(&GenericDialect {}, 50).expect_err("faulty");
        assert_eq!((statement(&script, 1).line, place), (3, Some(Location::new(5, 3))));
        let (_, message) = statement(&read("SELECT * FROM $t"), 0).parse(&GenericDialect {}, 50).expect_err("faulty");
        assert!(message.contains("'$t' cannot follow FROM"), "{message}");
    }

    #[test]
    fn an_open_string_is_reported_after_what_precedes_it() {
        let script = read("SELECT 1;\nSELECT 'open");
        assert_eq!(script.items.len(), 1);
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

    fn commands(text: &str) -> Vec<(String, String, Option<String>, u64)> {
        let script = read(text);
        let commands = script.items.iter().filter_map(|item| match item {
            Item::Command(command) => Some(command),
            Item::Statement(_) => None,
        });
        commands
            .map(|command| {
                let statement = command.statement.as_ref();
                let statement = statement.map(|s| s.parse(&GenericDialect {}, 50).expect("a statement").to_string());
                (command.name.clone(), command.argument.clone(), statement, command.line)
            })
            .collect()
    }

    #[test]
    fn commands_end_with_their_line() {
        let text =
            "\\set symbol 'BTCUSDT';\nSELECT 1;\n-- a note\n  \\i it's here.sql\nSELECT 2; \\timing\nSELECT ';';";
        let expected = [("\\set", "symbol 'BTCUSDT'", 1), ("\\i", "it's here.sql", 4), ("\\timing", "", 5)];
        let found = commands(text);
        let found: Vec<_> = found.iter().map(|(n, a, s, l)| (n.as_str(), a.as_str(), *l, s.is_none())).collect();
        assert_eq!(found, expected.map(|(name, argument, line)| (name, argument, line, true)));
        let lines: Vec<u64> = read(text).statements().map(|statement| statement.line).collect();
        assert_eq!(lines, [2, 5, 6]);
    }

    #[test]
    fn a_command_may_take_a_statement() {
        let text =
            "\\plot map.txt SELECT ';',\n 2; SELECT 3;\n\\explain analyze SELECT 1\n;\\watch 5\n\\plot\nSELECT 4";
        let found = commands(text);
        assert_eq!(found[0], ("\\plot".into(), "map.txt".into(), Some("SELECT ';', 2".into()), 1));
        assert_eq!(found[1], ("\\explain".into(), "analyze".into(), Some("SELECT 1".into()), 3));
        assert_eq!(found[2], ("\\watch".into(), "5".into(), None, 4));
        assert_eq!(found[3], ("\\plot".into(), String::new(), None, 5));
        let faulty = read("\\plot SELECT 1,\n  2 +;\nSELECT )");
        let (line, _) = statement(&faulty, 0).parse(&GenericDialect {}, 50).expect_err("faulty");
        assert_eq!(line, Some(Location::new(3, 8)));
    }

    #[test]
    fn a_quoted_file_may_stand_before_the_statement() {
        let found = commands("\\plot 'my map.txt' SELECT 1;");
        assert_eq!(found[0], ("\\plot".into(), "'my map.txt'".into(), Some("SELECT 1".into()), 1));
    }

    #[test]
    fn a_statement_ends_before_a_command() {
        let failure = Script::read("x.sql", "SELECT 1;\nSELECT 2\n\\timing\n", &GenericDialect {}).expect_err("torn");
        assert_eq!(
            failure.to_string(),
            "x.sql:3: error: the statement that begins in line 2 must end with ; before '\\timing'"
        );
        assert!(Script::read("x.sql", "SELECT '\n\\timing'", &GenericDialect {}).is_ok());
    }

    #[test]
    fn unfinished_input_waits_for_more() {
        let typed = |text| typed(text, &GenericDialect {});
        for text in [
            "",
            "\\q",
            "SELECT 1;",
            "SELECT ';';  ",
            "SELECT 1; -- done",
            "-- note",
            "\\set a it's",
            "\\plot SELECT 1;",
            "\\plot\n",
        ] {
            assert_eq!(typed(text), Typed::Whole, "{text}");
        }
        for text in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1 -- ;",
            "/* ;",
            "SELECT $$;",
            "SELECT 1; SELECT 2",
            "SELECT \"a;",
            "SELECT '\n\\q",
            "\\plot SELECT 1",
            "\\explain analyze SELECT '\n;",
        ] {
            assert_eq!(typed(text), Typed::Unfinished, "{text}");
        }
        assert_eq!(typed("SELECT 1\n  \\q"), Typed::Interrupted(11));
    }

    #[test]
    fn secrets_are_found_and_masked() {
        let script = read(
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://b/x' \
             OPTIONS ('aws.access_key_id' 'AK', 'aws.secret_access_key' 'SK', 'aws.region' 'eu'); \
             SET x.password = 'PW'; SET y.token TO TK; SELECT 1 WHERE token = 'BTC' AND b = 2; \
             CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x' OPTIONS ('aws.secret_access_key' $$DQ$$, 'x.token' E'ES')",
        );
        assert_eq!(statement(&script, 0).secrets(), ["AK", "SK"]);
        assert_eq!(statement(&script, 1).secrets(), ["PW"]);
        assert_eq!(statement(&script, 2).secrets(), ["TK"]);
        assert!(statement(&script, 3).secrets().is_empty());
        assert_eq!(statement(&script, 4).secrets(), ["DQ", "ES"]);
        assert_eq!(
            mask("expected: x, found: longer", &["x".to_owned(), "longer".to_owned()]),
            "expected: x, found: ***"
        );
        assert_eq!(mask("found: 'SK'", &statement(&script, 0).secrets()), "found: '***'");
    }
}

//! Colours of SQL at the prompt: what a text looks like, letter for letter, with escape codes between. Pure.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Whitespace};

use crate::cli::script::{TAKE_A_STATEMENT, tokenize};

const RESET: &str = "\x1b[0m";

/// Bold blue, for words of SQL.
const KEYWORD: &str = "\x1b[1;34m";
/// Magenta, for functions of this crate.
const FUNCTION: &str = "\x1b[35m";
/// Green, for texts.
const TEXT: &str = "\x1b[32m";
/// Cyan, for numbers.
const NUMBER: &str = "\x1b[36m";
/// Yellow, for variables and commands.
const VARIABLE: &str = "\x1b[33m";
/// Grey, for comments, and for what the prompt says by itself.
const QUIET: &str = "\x1b[90m";

/// Words that the parser knows as keywords and people use as names.
const NAMES: &[&str] =
    &["symbol", "exchange", "price", "value", "side", "ts", "date", "open", "close", "high", "low", "volume"];

/// Keywords that stand directly before a parenthesis; another word there is a function.
const BEFORE_PARENTHESES: &[&str] = &["in", "values", "over", "and", "or", "not", "exists", "on", "using", "as", "by"];

/// Returns `text` with colours. `is_own_function` knows the functions of this crate.
pub(crate) fn highlight(text: &str, is_own_function: impl Fn(&str) -> bool) -> String {
    let mut colored = String::with_capacity(text.len() * 2);
    let indent = text.len() - text.trim_start().len();
    let mut at = 0;
    if text[indent..].starts_with('\\') {
        // The command's name, and its argument as it is; a statement behind it is SQL.
        let line_end = text.find('\n').unwrap_or(text.len());
        let name_end = indent + text[indent..line_end].find(char::is_whitespace).unwrap_or(line_end - indent);
        paint(&mut colored, VARIABLE, &text[..name_end]);
        at = name_end;
        let takes_words = TAKE_A_STATEMENT.contains(&&text[indent..name_end]);
        if !takes_words {
            colored.push_str(&text[at..line_end]);
            at = line_end;
        }
    }
    let tokenized = tokenize(text, at, &GenericDialect {});
    for (token, range) in tokenized.tokens.iter().zip(&tokenized.ranges) {
        let part = &text[range.clone()];
        let color = match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => Some(QUIET),
            Token::Word(word) if word.quote_style.is_some() => None,
            Token::Word(word) if is_own_function(&word.value) => Some(FUNCTION),
            Token::Word(word) => {
                let is_one_of = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(&word.value));
                let is_call = text[range.end..].starts_with('(') && !is_one_of(BEFORE_PARENTHESES);
                (word.keyword != Keyword::NoKeyword && !is_one_of(NAMES) && !is_call).then_some(KEYWORD)
            }
            Token::Number(..) => Some(NUMBER),
            Token::Placeholder(_) => Some(VARIABLE),
            Token::SingleQuotedString(_) | Token::DollarQuotedString(_) | Token::EscapedStringLiteral(_) => Some(TEXT),
            _ => None,
        };
        match color {
            Some(color) => paint(&mut colored, color, part),
            None => colored.push_str(part),
        }
        at = range.end;
    }
    // A text or comment that is still open.
    if at < text.len() {
        let color = if text[at..].starts_with("/*") { QUIET } else { TEXT };
        paint(&mut colored, color, &text[at..]);
    }
    colored
}

/// What the prompt says by itself, beside what the user typed.
pub(crate) fn quiet(text: &str) -> String {
    let mut colored = String::with_capacity(text.len() + 10);
    paint(&mut colored, QUIET, text);
    colored
}

/// The prompt itself.
pub(crate) fn prompt(text: &str) -> String {
    format!("\x1b[1m{text}{RESET}")
}

fn paint(colored: &mut String, color: &str, text: &str) {
    for (index, line) in text.split('\n').enumerate() {
        // A colour ends with its line, so that the terminal's own handling of lines cannot spread it.
        if index > 0 {
            colored.push('\n');
        }
        if !line.is_empty() {
            colored.push_str(color);
            colored.push_str(line);
            colored.push_str(RESET);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn highlighted(text: &str) -> String {
        highlight(text, |name| name.starts_with("liq_"))
    }

    /// The text without its colours.
    fn plain(colored: &str) -> String {
        let mut parts = colored.split("\x1b[");
        let mut text = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| text.push_str(part.split_once('m').map_or("", |(_, rest)| rest)));
        text
    }

    #[test]
    fn no_letter_is_lost() {
        for text in [
            "",
            "SELECT ts, 'it''s' FROM liq_map(bars, at => $now) -- note\nWHERE x > 1.5e3 /* two\nlines */;",
            "SELECT 'open\nstring",
            "SELECT /* open",
            "\\set symbol it's",
            "\\plot map.txt SELECT 1;\nSELECT 2",
            "SELECT \"a b\", $$x;$$, 人生",
            "  \\q",
        ] {
            assert_eq!(plain(&highlighted(text)), text);
        }
    }

    #[test]
    fn words_have_their_colors() {
        assert_eq!(highlighted("abs(1)"), format!("abs({NUMBER}1{RESET})"));
        assert_eq!(highlighted("SELECT symbol"), format!("{KEYWORD}SELECT{RESET} symbol"));
        assert_eq!(highlighted("liq_map(1)"), format!("{FUNCTION}liq_map{RESET}({NUMBER}1{RESET})"));
        assert_eq!(highlighted("'a"), format!("{TEXT}'a{RESET}"));
        assert_eq!(highlighted("\\d candles"), format!("{VARIABLE}\\d{RESET} candles"));
        assert_eq!(highlighted("'a\nb'"), format!("{TEXT}'a{RESET}\n{TEXT}b'{RESET}"));
    }
}

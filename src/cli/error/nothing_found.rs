//! Why a query found nothing: a symbol or an exchange that is not in the table.
//!
//! `WHERE symbol = 'BTCUSD'` is no error, and an empty result does not say that there is only `BTCUSDT`. The note is for a
//! person at a terminal, is true of the table that it names, and is left out where asking the table takes too long.

use std::time::Duration;

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::suggestion::{listed, nearest};

/// What a person would not notice after a query.
const PATIENCE: Duration = Duration::from_millis(300);

/// Keys that people type.
const KEYS: &[&str] = &["symbol", "exchange"];

/// Returns a note about the first key in the statement, with its variables bound, that no row of its table has.
pub(crate) async fn why(statement: &str, context: &SessionContext) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize().ok()?;
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let table = table(&tokens)?;
    for (key, wanted) in compared(&tokens) {
        let keys = tokio::time::timeout(PATIENCE, keys(context, table, key)).await.ok()??;
        if !keys.iter().any(|known| known == wanted) {
            let hint = match nearest(wanted, keys.iter().map(String::as_str)) {
                Some(meant) => format!(", did you mean '{meant}'?"),
                None => format!("; there are {}", listed(keys.iter().map(String::as_str))),
            };
            return Some(format!("note: {table} has no {key} '{wanted}'{hint}"));
        }
    }
    None
}

/// The market table that the statement reads, unless it defines one of that name itself.
fn table(tokens: &[Token]) -> Option<&'static str> {
    crate::market::TABLES.iter().map(|table| table.name).find(|name| {
        let at = tokens.iter().position(|token| matches!(token, Token::Word(word) if word.value == *name));
        let is_defined = |at: usize| matches!(tokens.get(at + 1), Some(Token::Word(word)) if word.value == "AS");
        let is_qualified = |at: usize| at > 0 && tokens.get(at - 1) == Some(&Token::Period);
        at.is_some_and(|at| !is_defined(at) && !is_qualified(at))
    })
}

/// Every `key = 'text'` and every text of `key IN (…)`.
fn compared(tokens: &[Token]) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let Some(key) = KEYS.iter().find(|key| word.value.eq_ignore_ascii_case(key)) else { continue };
        match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(Token::Eq), Some(Token::SingleQuotedString(text))) => found.push((*key, text.as_str())),
            (Some(Token::Word(word)), Some(Token::LParen)) if word.value.eq_ignore_ascii_case("IN") => {
                found.extend(tokens[at + 3..].iter().take_while(|token| **token != Token::RParen).filter_map(
                    |token| match token {
                        Token::SingleQuotedString(text) => Some((*key, text.as_str())),
                        _ => None,
                    },
                ));
            }
            _ => {}
        }
    }
    found
}

async fn keys(context: &SessionContext, table: &str, key: &str) -> Option<Vec<String>> {
    let frame = context.table(table).await.ok()?.select_columns(&[key]).ok()?.distinct().ok()?;
    let mut keys = Vec::new();
    for batch in frame.collect().await.ok()? {
        let column = batch.columns().first()?;
        for row in 0..column.len() {
            keys.push(array_value_to_string(column, row).ok()?);
        }
    }
    keys.sort();
    Some(keys).filter(|keys| !keys.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_no_row_has_are_named() {
        let context = SessionContext::new();
        crate::register_all(&context).expect("a new session");
        crate::sql::sample::register(&context).await.expect("a new session");
        for (sql, note) in [
            (
                "SELECT 1 FROM candles WHERE symbol = 'BTCUSD'",
                Some("candles has no symbol 'BTCUSD', did you mean 'BTCUSDT'?"),
            ),
            (
                "SELECT 1 FROM f(candles) WHERE exchange IN ('binance', 'x')",
                Some("candles has no exchange 'x'; there are "),
            ),
            ("SELECT 1 FROM candles WHERE symbol = 'BTCUSDT' AND close < 0", None),
            ("WITH candles AS (SELECT 1) SELECT 1 FROM candles WHERE symbol = 'x'", None),
            ("SELECT 1 FROM other WHERE symbol = 'x'", None),
        ] {
            let said = why(sql, &context).await;
            match note {
                Some(note) => assert!(said.as_ref().is_some_and(|said| said.contains(note)), "{sql}: {said:?}"),
                None => assert_eq!(said, None, "{sql}"),
            }
        }
    }
}

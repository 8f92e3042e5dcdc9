//! What a reader makes of a text, for the tests of readers.

use super::reading::{BadRows, Out, Reader, Row, Settings, Sink, Value};
use super::source::Source;
use crate::error::Result;

/// A row that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken {
    pub(super) exchange: String,
    pub(super) symbol: String,
    pub(super) ts: i64,
    pub(super) identity: Option<u64>,
    /// The numbers in their order, with what is not known.
    pub(super) numbers: Vec<Option<f64>>,
    /// The texts in their order.
    pub(super) texts: Vec<String>,
    /// All values as one text, without the last digits, in which divisions differ: `long 50000 null 0.5 25000`.
    pub(super) values: String,
}

/// What became of a text.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) rows: Vec<Taken>,
    pub(super) bad: u64,
    pub(super) first_bad: Option<String>,
}

impl Sink for Vec<Taken> {
    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let (mut numbers, mut texts, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for value in row.values {
            match value {
                Value::Null => {
                    numbers.push(None);
                    values.push("null".to_owned());
                }
                Value::Number(number) => {
                    numbers.push(Some(*number));
                    values.push(((number * 1e9).round() / 1e9).to_string());
                }
                Value::Text(text) => {
                    texts.push((*text).to_owned());
                    values.push((*text).to_owned());
                }
            }
        }
        let (exchange, symbol, values) = (row.exchange.to_owned(), row.symbol.to_owned(), values.join(" "));
        self.push(Taken { exchange, symbol, ts: row.ts, identity: row.identity, numbers, texts, values });
        Ok(())
    }
}

/// Runs the reader of a kind over a text, as a file of this name.
pub(super) fn read(
    readers: &[Reader],
    kind: &str,
    file: &str,
    text: &str,
    settings: &Settings,
    bad_rows: BadRows,
) -> Result<Read> {
    let reader = readers.iter().find(|reader| reader.kind == kind).unwrap();
    let mut rows = Vec::new();
    let mut out = Out::new(reader.table, bad_rows, &mut rows);
    out.begin(file);
    (reader.read)(&mut Source::of_bytes(file, text.as_bytes()), settings, &mut out)?;
    let (bad, first_bad) = (out.bad, out.first_bad.take());
    Ok(Read { rows, bad, first_bad })
}

/// The rows of a text of which every row can be used.
pub(super) fn rows(readers: &[Reader], kind: &str, file: &str, text: &str, settings: &Settings) -> Result<Vec<Taken>> {
    read(readers, kind, file, text, settings, BadRows::Error).map(|read| read.rows)
}

/// Asserts that numbers are these but for rounding.
pub(super) fn near(found: &[Option<f64>], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        let found = found.unwrap();
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} is not {expected}");
    }
}

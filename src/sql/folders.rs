//! What the name of a folder says: `symbol=BTC%2FUSDT` is the key `symbol` with the value `BTC/USDT`, and which predicates
//! that decides.

use arrow::array::{Array, AsArray, RecordBatch};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;

/// Whether a predicate speaks of keys alone, so that the names of folders decide it.
pub(crate) fn is_decided_by(filter: &Expr, is_key: impl Fn(&str) -> bool) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && !filter.is_volatile() && columns.iter().all(|column| is_key(&column.name))
}

/// Which rows, one per folder and with its keys as columns, pass all predicates.
///
/// # Errors
///
/// A predicate names another column, or cannot be computed.
pub(crate) fn passing(keys: &RecordBatch, filters: &[&Expr], state: &dyn Session) -> Result<Vec<bool>> {
    let mut passes = vec![true; keys.num_rows()];
    if passes.is_empty() {
        return Ok(passes);
    }
    let schema = DFSchema::try_from(keys.schema())?;
    for filter in filters {
        let predicate = state.create_physical_expr((*filter).clone(), &schema)?;
        let result = predicate.evaluate(keys)?.into_array(keys.num_rows())?;
        let result = result.as_boolean();
        for (row, passes) in passes.iter_mut().enumerate() {
            *passes &= result.is_valid(row) && result.value(row);
        }
    }
    Ok(passes)
}

/// Reads a folder `key=value`. None if it is not one.
///
/// The value is decoded, as whoever writes such folders encodes what cannot stand in a path. A folder cannot be found by
/// it again: several names may have the same value.
pub(crate) fn key_value(folder: &str) -> Option<(&str, String)> {
    let (key, value) = folder.split_once('=')?;
    (!key.is_empty()).then(|| (key, decoded(value)))
}

/// Whether a file or a folder is no data: markers and work in progress, which other programs leave beside theirs.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Puts bytes in place of their codes, `/` for `%2F`. What is not a code stays as it is, and so does the whole text if
/// the bytes are not UTF-8.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match after {
            [high, low, after @ ..] if first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) * 16 + digit(*low));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The value of a hexadecimal digit.
fn digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_what_is_no_code_stays() {
        for (folder, value) in [
            ("s=BTCUSDT", "BTCUSDT"),
            ("s=BTC%2FUSDT", "BTC/USDT"),
            ("s=BTC%2fUSDT", "BTC/USDT"),
            ("s=%E5%B8%81安", "币安"),
            ("s=100%25", "100%"),
            ("s=100%", "100%"),
            ("s=%2", "%2"),
            ("s=%zz%2F%+1", "%zz/%+1"),
            ("s=%252F", "%2F"),
            ("s=%FF%2F", "%FF%2F"),
            ("s=a=b", "a=b"),
            ("s=", ""),
            ("s=__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(key_value(folder), Some(("s", value.to_owned())), "{folder}");
        }
        for folder in ["", "s", "=s", "="] {
            assert_eq!(key_value(folder), None, "{folder}");
        }
    }

    #[test]
    fn markers_are_hidden_and_keys_are_not() {
        for name in ["_SUCCESS", "_temporary", ".cache", ".part.parquet", ".a=1"] {
            assert!(is_hidden(name), "{name}");
        }
        for name in ["part.parquet", "a_b", "_a=1", "symbol=_X", ""] {
            assert!(!is_hidden(name), "{name}");
        }
    }
}

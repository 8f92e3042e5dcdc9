//! JSON files: one value per line, as streams are recorded, or one value in the whole file, as an API answers.
//!
//! A file of lines is read line by line, whatever its size. A file that is one value is read whole: an answer of an API
//! has a few thousand entries.

use std::io::BufRead;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::ingest::reading::{BadRow, Out, instant};
use crate::ingest::source::Source;

/// Bytes of a file that is one value, at most: what is larger is no answer of an API.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads every value of a file: each line, or each entry of the array that the file is, or the one value.
///
/// # Errors
///
/// The file cannot be read, or is no JSON, or `each` refuses a value and bad rows are errors.
pub fn each_value(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    mut each: impl FnMut(&Value, u64, &mut Out<'_>) -> Result<Result<(), BadRow>>,
) -> Result<()> {
    let name = source.name.clone();
    let failed = |error: std::io::Error| Error::because(name.clone(), error);
    let mut line = 0;
    let mut text = String::new();
    let mut give = |value: &Value, line: u64, out: &mut Out<'_>| match each(value, line, out)? {
        Ok(()) => Ok(()),
        Err(bad) => out.refuse(line, &bad),
    };
    loop {
        text.clear();
        let read = std::io::Read::take(source.reader(), LARGEST).read_line(&mut text).map_err(failed)?;
        if read as u64 >= LARGEST {
            return Err(Error::new(format!("{name}: line {} is longer than 512 MB", line + 1)));
        }
        if read == 0 {
            return if line == 0 { Err(Error::new(format!("{name}: the file is empty"))) } else { Ok(()) };
        }
        line += 1;
        let trimmed = text.trim().trim_start_matches('\u{feff}');
        if trimmed.is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(trimmed) {
            Ok(Value::Array(entries))
                if line == 1 && entries.iter().all(|entry| !entry.is_number() && !entry.is_string()) =>
            {
                for entry in &entries {
                    give(entry, line, out)?;
                }
            }
            Ok(value) => give(&value, line, out)?,
            // The first line alone is no value: the file is one value over many lines.
            Err(error) if line == 1 && error.is_eof() => {
                let mut whole = std::mem::take(&mut text);
                let mut rest = std::io::Read::take(source.reader(), LARGEST);
                std::io::Read::read_to_string(&mut rest, &mut whole).map_err(failed)?;
                if rest.limit() == 0 {
                    return Err(Error::new(format!("{name}: one JSON value of more than 512 MB")));
                }
                let value = serde_json::from_str::<Value>(whole.trim_start_matches('\u{feff}'));
                return match value.map_err(|error| Error::because(name.clone(), error))? {
                    Value::Array(entries) => entries.iter().try_for_each(|entry| give(entry, 1, out)),
                    value => give(&value, 1, out),
                };
            }
            Err(error) => out.refuse(line, &BadRow(format!("no JSON: {error}")))?,
        }
    }
}

/// A member of an object.
///
/// # Errors
///
/// It has none of this name.
pub fn member<'v>(value: &'v Value, name: &str) -> Result<&'v Value, BadRow> {
    value.get(name).filter(|member| !member.is_null()).ok_or_else(|| BadRow(format!("has no '{name}'")))
}

/// A member that is a list.
///
/// # Errors
///
/// It is something else.
pub fn list<'v>(value: &'v Value, name: &str) -> Result<&'v [Value], BadRow> {
    let member = member(value, name)?;
    member.as_array().map(Vec::as_slice).ok_or_else(|| BadRow::new(name, "a list", member))
}

/// A member as text.
///
/// # Errors
///
/// It is something else.
pub fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, BadRow> {
    let member = member(value, name)?;
    member.as_str().ok_or_else(|| BadRow::new(name, "text", member))
}

/// A member as a number; exchanges write most numbers as texts.
///
/// # Errors
///
/// It is none.
pub fn number(value: &Value, name: &str) -> Result<f64, BadRow> {
    as_number(member(value, name)?).ok_or_else(|| BadRow::new(name, "a number", &value[name]))
}

/// A number, or a text that is one.
pub fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}

/// A member as a number; `None` if it is missing, null or an empty text.
///
/// # Errors
///
/// It is something else.
pub fn optional_number(value: &Value, name: &str) -> Result<Option<f64>, BadRow> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(_) => number(value, name).map(Some),
    }
}

/// A member as milliseconds since the epoch: a number or a text of s, ms, µs or ns, or a date and a time.
///
/// # Errors
///
/// It is no instant.
pub fn time(value: &Value, name: &str) -> Result<i64, BadRow> {
    let member = member(value, name)?;
    let read = match member {
        Value::String(text) => instant(text),
        other => instant(&other.to_string()),
    };
    read.ok_or_else(|| BadRow::new(name, "an instant", member))
}

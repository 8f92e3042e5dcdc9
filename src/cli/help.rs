//! What the program says about itself: its commands, tables and functions, as text. Pure.

use std::fmt::Write as _;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::execution::SessionState;

use super::error::Failure;
use super::output::width;
use super::shell::COMMANDS;
use super::tables::Listed;
use crate::sql::spec::{Fallback, Returns, Spec};

/// Columns of a table that a list of tables shows.
const LISTED_COLUMNS: usize = 6;

/// The least room that a wrapped column is given.
const NARROWEST: usize = 30;

/// The backslash commands.
pub(crate) fn commands(room: Option<usize>) -> String {
    let rows = COMMANDS
        .iter()
        .map(|command| vec![format!("{} {}", command.name, command.takes), command.meaning.to_owned()])
        .collect::<Vec<_>>();
    format!(
        "{}Tab completes. Statements end with ; and may go over several lines.\nCtrl-C cancels a query; twice at an empty \
         prompt it quits, as Ctrl-D does.\nA line that begins with a space is not remembered.\n",
        aligned(&rows, room)
    )
}

/// Tables, where they come from, and their first columns.
pub(crate) fn tables(tables: &[Listed], room: Option<usize>) -> String {
    // Under another root the sample is worth a line for each of its tables.
    let shows_sample = !tables.iter().any(|table| table.is_default && table.market.is_some());
    let mut rows = vec![["table", "kind", "from", "columns"].map(str::to_owned).to_vec()];
    let mut hidden = false;
    for table in tables {
        if !table.is_default && table.name.starts_with("sample.") && !shows_sample {
            hidden = true;
            continue;
        }
        let mut columns = table.columns.iter().take(LISTED_COLUMNS).cloned().collect::<Vec<_>>().join(", ");
        if table.columns.len() > LISTED_COLUMNS {
            columns.push_str(", \u{2026}");
        }
        rows.push(vec![table.name.clone(), table.kind().to_owned(), table.source.clone(), columns]);
    }
    let mut text = aligned(&rows, room);
    if hidden {
        text.push_str("The sample is in schema sample, too: sample.candles, \u{2026}\n");
    }
    text
}

/// The columns of one table. What a market table's columns mean is known, also where its files do not say it.
pub(crate) fn columns(table: &str, schema: &Schema, source: &str, room: Option<usize>) -> String {
    let market = crate::market::table(table.rsplit('.').next().unwrap_or(table)).filter(|_| !source.is_empty());
    let rows = schema
        .fields()
        .iter()
        .map(|field| {
            let nullable = if field.is_nullable() { "" } else { "not null" };
            let said = |keys: &[&str]| keys.iter().find_map(|key| field.metadata().get(*key)).cloned();
            let column = market.and_then(|table| table.columns.iter().find(|column| column.name == field.name()));
            let unit = said(&["unit"]).or_else(|| column.map(|column| column.unit.to_owned()));
            let doc = said(&["doc", "description", "comment"]).or_else(|| column.map(|column| column.doc.to_owned()));
            vec![
                field.name().clone(),
                type_name(field.data_type()),
                nullable.to_owned(),
                unit.unwrap_or_default(),
                doc.unwrap_or_default(),
            ]
        })
        .collect::<Vec<_>>();
    let mut text = aligned(&rows, room);
    if !source.is_empty() {
        let _ = writeln!(text, "from {source}");
    }
    text
}

/// A type as one would write it in a CAST; the engine's own name where that is not common knowledge.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, zone) => {
            format!("timestamp{}", zone.as_ref().map_or(String::new(), |z| format!(" {z}")))
        }
        other => other.to_string(),
    }
}

/// Every function of ours: those of tables, then scalars, then windows.
pub(crate) fn specs() -> impl Iterator<Item = &'static Spec> {
    crate::sql::functions::all().chain(crate::sql::scalars::specs()).chain(crate::sql::windows::specs())
}

/// Every function with one line.
pub(crate) fn functions(room: Option<usize>) -> String {
    let rows: Vec<Vec<String>> = specs().map(|spec| vec![spec.name.to_owned(), spec.summary.to_owned()]).collect();
    aligned(&rows, room)
}

/// One function: what it takes and returns.
///
/// # Errors
/// There is none of that name.
pub(crate) fn function(name: &str, room: Option<usize>) -> Result<String, Failure> {
    let name = name.trim_end_matches(['(', ')', ';']);
    let Some(spec) = specs().find(|spec| spec.name.eq_ignore_ascii_case(name)) else {
        let near = crate::sql::nearest(name, specs().map(|spec| spec.name));
        let hint = near.map_or_else(|| "\\df lists them".to_owned(), |near| format!("did you mean '{near}'?"));
        return Err(Failure::new(format!("no function '{name}': {hint}")));
    };
    let with_unit = |unit: &str| if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let parameters: Vec<Vec<String>> = spec
        .parameters
        .iter()
        .map(|parameter| {
            vec![
                format!("  {}", parameter.name),
                format!("{}{}", parameter.kind.type_name(), with_unit(parameter.unit)),
                match parameter.fallback {
                    Fallback::Required => format!("{} (required)", parameter.doc),
                    _ => format!("{} (default: {})", parameter.doc, parameter.default_text()),
                },
            ]
        })
        .collect();
    let columns: Vec<Vec<String>> = match spec.returns {
        Returns::Columns(columns) => columns
            .iter()
            .map(|column| vec![format!("  {}", column.name), column.unit.to_owned(), column.doc.to_owned()])
            .collect(),
        Returns::Derived(words) => vec![vec![format!("  {words}")]],
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {}", spec.name, spec.summary);
    let _ = write!(text, "parameters\n{}returns\n{}", aligned(&parameters, room), aligned(&columns, room));
    let _ = writeln!(text, "example\n  {}", spec.example);
    Ok(text)
}

/// Names in as many columns as fit, read from top to bottom.
pub(crate) fn in_columns(names: &[&str], room: usize) -> String {
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0) + 2;
    let columns = (room / widest).max(1);
    let height = names.len().div_ceil(columns);
    let mut text = String::new();
    for row in 0..height {
        let mut line = String::new();
        for name in names.iter().skip(row).step_by(height) {
            let _ = write!(line, "{name}{}", " ".repeat(widest - width(name)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One function of the engine: what it says of itself. None if it has none of that name.
pub(crate) fn engine_function(name: &str, state: &SessionState, room: Option<usize>) -> Option<String> {
    let name = name.trim_end_matches(['(', ')', ';']).to_ascii_lowercase();
    let scalar = state.scalar_functions().get(&name).map(|function| function.documentation());
    let aggregate = || state.aggregate_functions().get(&name).map(|function| function.documentation());
    let window = || state.window_functions().get(&name).map(|function| function.documentation());
    let Some(documentation) = scalar.or_else(aggregate).or_else(window)? else {
        return Some(format!("{name}: a function of the engine\n"));
    };
    let description = documentation.description.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = format!("{}\n", wrapped(&description, room.unwrap_or(usize::MAX)).join("\n"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {}", documentation.syntax_example);
    if let Some(arguments) = &documentation.arguments {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let rows: Vec<Vec<String>> =
            arguments.iter().map(|(name, meaning)| vec![format!("  {name}"), one_line(meaning)]).collect();
        text.push_str(&aligned(&rows, room));
    }
    Some(text)
}

/// Rows of text with their columns under each other. The last column is wrapped where it would leave the terminal.
pub(crate) fn aligned(rows: &[Vec<String>], room: Option<usize>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let indent: usize = widths.iter().take(columns.saturating_sub(1)).map(|width| width + 2).sum();
    let last_room = room.map_or(usize::MAX, |room| room.saturating_sub(indent).max(NARROWEST));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let mut rest = Vec::new();
        for (position, (cell, column)) in row.iter().zip(&widths).enumerate() {
            let mut cell = cell.clone();
            if position + 1 == columns {
                rest = wrapped(&cell, last_room);
                cell = if rest.is_empty() { String::new() } else { rest.remove(0) };
            }
            let _ = write!(line, "{cell}{}  ", " ".repeat(column.saturating_sub(width(&cell))));
        }
        text.push_str(line.trim_end());
        text.push('\n');
        for line in rest {
            let _ = writeln!(text, "{}{line}", " ".repeat(indent));
        }
    }
    text
}

/// A text cut between words into lines of at most `room` columns; a longer word has a line of its own.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    if width(text) <= room {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| width(line) + 1 + width(word) <= room) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["a".to_owned(), "first".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(aligned(&rows, None), "a     first\nlong\n");
        let rows = [vec!["a".to_owned(), "one two three four five six seven eight".to_owned()]];
        assert_eq!(aligned(&rows, Some(10)), "a  one two three four five six\n   seven eight\n");
    }

    #[test]
    fn names_are_read_downwards() {
        assert_eq!(in_columns(&["a", "b", "c", "d", "e"], 8), "a  d\nb  e\nc\n");
        assert_eq!(in_columns(&["a", "long name"], 5), "a\nlong name\n");
    }

    #[test]
    fn functions_of_every_kind_are_listed_and_explained() {
        let listed = functions(None);
        for name in ["liq_heatmap", "liq_price", "ema"] {
            assert!(listed.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
            let explained = function(name, None).expect("listed");
            assert!(explained.starts_with(&format!("{name}: ")) && explained.contains("SELECT "), "{explained}");
        }
        assert!(function("ema", None).expect("listed").contains("  periods  "));
        let pools = function("liq_pools", None).expect("listed");
        for shown in ["mean cell of its frame (default: 0.85)", "at_extreme", "returns\n", "example\n"] {
            assert!(pools.contains(shown), "{shown} is not in\n{pools}");
        }
        let error = function("liq_poolz", None).expect_err("no such function").to_string();
        assert!(error.contains("did you mean 'liq_pools'?"), "{error}");
    }

    #[test]
    fn every_command_is_in_the_help() {
        let help = commands(None);
        assert!(COMMANDS.iter().all(|command| help.contains(command.name)));
    }
}

//! What tells the rows of a chart apart: the columns of text with several values, and the name of each row's line.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use super::super::RenderError;
use super::super::frame::{Origin, subject};
use super::panels::MOST_LINES;
use super::{Rows, columns, series};

/// Texts by number, for rows that repeat a handful of them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: HashMap<String, usize>,
    /// In the order of their numbers.
    pub(super) found: Vec<String>,
}

impl Texts {
    /// The number of a text: those of new ones count up from 0.
    pub(super) fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let next = self.found.len();
        self.numbers.insert(text.to_owned(), next);
        self.found.push(text.to_owned());
        next
    }
}

/// What to do about two rows that would be one point.
pub(super) const TELL_APART: &str = "filter with WHERE, or add a column of text that tells them apart";

/// What the rows say of whose they are, and what tells their lines apart.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) exchanges: Vec<String>,
    pub(super) symbols: Vec<String>,
    /// Columns with several values.
    telling: Vec<String>,
    /// Columns of which only the rows `all` are drawn: sums stand beside their parts.
    sums: Vec<String>,
}

impl Names {
    pub(super) fn of(result: &Rows, without: &[&str]) -> Result<Self, RenderError> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut order = Vec::new();
        for batch in &result.batches {
            for name in texts(batch).into_iter().filter(|name| !without.contains(&name.as_str())) {
                let column = columns::named_text(batch, &name)?;
                let found = values.entry(name.clone()).or_default();
                if !order.contains(&name) {
                    order.push(name);
                }
                for value in column.iter().flatten() {
                    // Texts with many values are prose, not names.
                    if found.len() <= MOST_LINES && !found.iter().any(|known| known == value) {
                        found.push(value.to_owned());
                    }
                }
            }
        }
        let of = |name: &str| values.get(name).cloned().unwrap_or_default();
        let mut names = Self { exchanges: of("exchange"), symbols: of("symbol"), ..Self::default() };
        names.exchanges.sort();
        names.symbols.sort();
        let mut candidates = Vec::new();
        for name in order {
            let found = of(&name);
            if found.len() > 1 && found.iter().any(|value| value == "all") {
                names.sums.push(name);
            } else if found.len() > 1 && name == "side" {
                // Longs and shorts are never one line.
                names.telling.push(name);
            } else if found.len() > 1 && found.len() <= MOST_LINES {
                candidates.push(name);
            }
        }
        names.telling = telling(result, &names.sums, names.telling.clone(), candidates)?;
        Ok(names)
    }

    /// Whose rows they are, as they say themselves, or as the query asked for.
    pub(super) fn subject(&self, origin: &Origin, noun: &str) -> String {
        let one = |names: &[String], asked: &Option<String>| match names {
            [] => asked.clone(),
            [one] => Some(one.clone()),
            _ => None,
        };
        let exchange: Vec<String> = one(&self.exchanges, &origin.exchange).into_iter().collect();
        subject(&exchange, one(&self.symbols, &origin.symbol).as_deref(), noun)
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.sums.iter().map(|name| format!("rows with {name} 'all'")).collect()
    }
}

/// The columns of text that tell rows apart, in the order of the result.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let fields = batch.schema_ref().fields().iter();
    let is_text = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    };
    fields.filter(|field| is_text(field.data_type())).map(|field| field.name().clone()).collect()
}

/// Of the columns with several values those without which two rows would be the same point: of one row per instant, none.
fn telling(
    result: &Rows,
    sums: &[String],
    mut chosen: Vec<String>,
    candidates: Vec<String>,
) -> Result<Vec<String>, RenderError> {
    let numbers = ["shock", "step"];
    let is_asked = !candidates.is_empty();
    let rows_told_apart = |names: &[String]| -> Result<usize, RenderError> {
        let (mut seen, mut found, mut text) = (HashSet::new(), Texts::default(), String::new());
        for batch in &result.batches {
            let time = series::time_column(batch).map(|time| columns::named_time(batch, &time)).transpose()?;
            let labels =
                Labels::of(batch, &Names { telling: names.to_vec(), sums: sums.to_vec(), ..Names::default() })?;
            let numbers: Vec<Float64Array> =
                numbers.iter().map(|name| columns::named_number(batch, name)).collect::<Result<_, _>>()?;
            for row in (0..batch.num_rows()).filter(|_| is_asked) {
                if labels.write(row, &mut text) {
                    let number = |column: &Float64Array| columns::value(Some(column), row).map(f64::to_bits);
                    let time = time.as_ref().filter(|time| time.is_valid(row)).map(|time| time.value(row));
                    let numbers = [numbers.first(), numbers.get(1)].map(|column| column.and_then(number));
                    seen.insert((time, numbers, found.number(&text)));
                }
            }
        }
        Ok(seen.len())
    };
    let mut told_apart = rows_told_apart(&chosen)?;
    for name in candidates {
        chosen.push(name);
        let with_it = rows_told_apart(&chosen)?;
        if with_it > told_apart {
            told_apart = with_it;
        } else {
            chosen.pop();
        }
    }
    Ok(chosen)
}

/// The names of a batch's rows.
pub(super) struct Labels {
    telling: Vec<StringArray>,
    sums: Vec<StringArray>,
}

impl Labels {
    pub(super) fn of(batch: &RecordBatch, names: &Names) -> Result<Self, RenderError> {
        let read = |names: &[String]| -> Result<Vec<StringArray>, RenderError> {
            names.iter().map(|name| columns::named_text(batch, name)).collect()
        };
        Ok(Self { telling: read(&names.telling)?, sums: read(&names.sums)? })
    }

    /// The name of a row's line, or `None` if the row is part of a sum that is drawn instead.
    pub(super) fn at(&self, row: usize) -> Option<String> {
        let mut name = String::new();
        self.write(row, &mut name).then_some(name)
    }

    /// As [`Labels::at`], in place of what `name` was. Whether there is one.
    pub(super) fn write(&self, row: usize, name: &mut String) -> bool {
        name.clear();
        if self.sums.iter().any(|sum| columns::text_value(Some(sum), row) != Some("all")) {
            return false;
        }
        let words = self.telling.iter().filter_map(|column| columns::text_value(Some(column), row));
        for (index, word) in words.enumerate() {
            if index > 0 {
                name.push(' ');
            }
            name.push_str(word);
        }
        true
    }
}

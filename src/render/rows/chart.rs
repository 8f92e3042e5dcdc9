//! Rows that are neither a heatmap nor a map to panels of lines, bars and intervals.
//!
//! Any result with `ts` and numbers is a series over time: columns that are measured alike share a panel, and what tells
//! several rows of one instant apart (a side, an exchange, a preset) becomes the name of a line.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use super::super::frame::{Chart, ChartX, Origin, Panel, Point, Series, SeriesMark, Tone, Unit, subject};
use super::super::{RenderError, axis};
use super::{LARGEST_USD, LATEST_MS, Rows, Selection, columns};

/// Lines that a legend can hold.
const MOST_LINES: usize = 12;
/// Panels that a picture can hold.
const MOST_PANELS: usize = 6;
/// Different scores that rows may have; those beyond [`MOST_PANELS`] are named, not drawn.
const MOST_SCORES: usize = 64;

/// Numbers by which rows are told apart or counted; they are no measurements.
const NO_SERIES: [&str; 9] =
    ["rank", "pool_id", "step", "level_id", "jitter", "leverage", "interval_hours", "shock", "ts"];

/// Whether a result has instants and something that is measured.
pub(super) fn is_series(batch: &RecordBatch) -> bool {
    // With prices of buckets it was meant as a heatmap, and what it lacks of one is worth an error.
    let has_buckets = columns::has(batch, "price_low") || columns::has(batch, "price_high");
    time_column(batch).is_some() && !has_buckets && !measured(batch).is_empty()
}

/// Whether its rows are of more than one instant.
pub(super) fn has_several_instants(result: &Rows) -> bool {
    let mut first = None;
    result.batches.iter().any(|batch| {
        let times = time_column(batch).and_then(|time| columns::named_time(batch, &time).ok());
        times.is_some_and(|times| times.iter().flatten().any(|ts| *first.get_or_insert(ts) != ts))
    })
}

/// The column of instants: `ts`, or the first there is.
fn time_column(batch: &RecordBatch) -> Option<String> {
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64);
    let schema = batch.schema_ref();
    let times = || schema.fields().iter().filter(|field| is_time(field.data_type()));
    times().find(|field| field.name() == "ts").or_else(|| times().next()).map(|field| field.name().clone())
}

/// The names of the columns that are drawn as series.
fn measured(batch: &RecordBatch) -> Vec<String> {
    let fields = batch.schema_ref().fields().iter();
    let numbers = fields.filter(|field| field.data_type().is_numeric());
    numbers.map(|field| field.name().clone()).filter(|name| !NO_SERIES.contains(&name.as_str())).collect()
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

/// What the rows say of whose they are, and what tells their lines apart.
#[derive(Debug, Default)]
struct Names {
    exchanges: Vec<String>,
    symbols: Vec<String>,
    /// Columns with several values.
    telling: Vec<String>,
    /// Columns of which only the rows `all` are drawn: sums stand beside their parts.
    sums: Vec<String>,
}

impl Names {
    fn of(result: &Rows, without: &[&str]) -> Result<Self, RenderError> {
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
    fn subject(&self, origin: &Origin, noun: &str) -> String {
        let one = |names: &[String], asked: &Option<String>| match names {
            [] => asked.clone(),
            [one] => Some(one.clone()),
            _ => None,
        };
        let exchange: Vec<String> = one(&self.exchanges, &origin.exchange).into_iter().collect();
        subject(&exchange, one(&self.symbols, &origin.symbol).as_deref(), noun)
    }

    fn notes(&self) -> Vec<String> {
        self.sums.iter().map(|name| format!("rows with {name} 'all'")).collect()
    }
}

/// Of the columns with several values those without which two rows would be the same point: of one row per instant, none.
fn telling(
    result: &Rows,
    sums: &[String],
    mut chosen: Vec<String>,
    candidates: Vec<String>,
) -> Result<Vec<String>, RenderError> {
    let numbers = ["shock", "step"];
    let rows_told_apart = |names: &[String]| -> Result<usize, RenderError> {
        let mut seen = BTreeSet::new();
        for batch in &result.batches {
            let time = time_column(batch).map(|time| columns::named_time(batch, &time)).transpose()?;
            let labels =
                Labels::of(batch, &Names { telling: names.to_vec(), sums: sums.to_vec(), ..Names::default() })?;
            let numbers: Vec<Float64Array> =
                numbers.iter().map(|name| columns::named_number(batch, name)).collect::<Result<_, _>>()?;
            for row in 0..batch.num_rows() {
                if let Some(label) = labels.at(row) {
                    let number = |column: &Float64Array| columns::value(Some(column), row).map(f64::to_bits);
                    let time = time.as_ref().filter(|time| time.is_valid(row)).map(|time| time.value(row));
                    seen.insert((time, numbers.iter().map(number).collect::<Vec<_>>(), label));
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
struct Labels {
    telling: Vec<StringArray>,
    sums: Vec<StringArray>,
}

impl Labels {
    fn of(batch: &RecordBatch, names: &Names) -> Result<Self, RenderError> {
        let read = |names: &[String]| -> Result<Vec<StringArray>, RenderError> {
            names.iter().map(|name| columns::named_text(batch, name)).collect()
        };
        Ok(Self { telling: read(&names.telling)?, sums: read(&names.sums)? })
    }

    /// The name of a row's line, or `None` if the row is part of a sum that is drawn instead.
    fn at(&self, row: usize) -> Option<String> {
        if self.sums.iter().any(|sum| columns::text_value(Some(sum), row) != Some("all")) {
            return None;
        }
        let words: Vec<&str> =
            self.telling.iter().filter_map(|column| columns::text_value(Some(column), row)).collect();
        Some(words.join(" "))
    }
}

/// Numbers over time: the columns of one or several results in panels below each other.
pub(super) fn series(results: &[&Rows], selection: &Selection) -> Result<Chart, RenderError> {
    if !results.iter().any(|result| has_several_instants(result)) {
        return Err(RenderError::Empty { reason: "all rows are of one instant, a series needs two".to_owned() });
    }
    let mut chart = Chart::default();
    let mut panels = Panels::default();
    for result in results {
        let names = Names::of(result, &[])?;
        if chart.subject.is_empty() {
            chart.subject = names.subject(&result.origin, "over time");
            chart.origin = result.origin.clone();
        } else {
            chart.origin = chart.origin.with(&result.origin);
        }
        chart.notes.extend(names.notes());
        panels.add(result, &names, selection)?;
    }
    if panels.0.is_empty() {
        let reason = match selection.range {
            Some(range) => format!("no row with a number within {}", range.label()),
            None => "no row has an instant and a number".to_owned(),
        };
        return Err(RenderError::Empty { reason });
    }
    chart.panels = panels.into_panels(&mut chart.notes)?;
    Ok(chart)
}

/// Panels by what their columns measure.
#[derive(Debug, Default)]
struct Panels(Vec<(String, Panel)>);

impl Panels {
    fn add(&mut self, result: &Rows, names: &Names, selection: &Selection) -> Result<(), RenderError> {
        let Some(first) = result.batches.first() else { return Ok(()) };
        let Some(time) = time_column(first) else { return Ok(()) };
        let measured = measured(first);
        let mut last = i64::MIN;
        for batch in &result.batches {
            last = columns::named_time(batch, &time)?.iter().flatten().fold(last, i64::max);
        }
        // (column, line) → points
        let mut lines: BTreeMap<(usize, String), Vec<Point>> = BTreeMap::new();
        for batch in &result.batches {
            let ts = columns::named_time(batch, &time)?;
            let labels = Labels::of(batch, names)?;
            let values: Vec<Float64Array> =
                measured.iter().map(|name| columns::named_number(batch, name)).collect::<Result<_, _>>()?;
            for row in 0..batch.num_rows() {
                if ts.is_null(row) || ts.value(row).unsigned_abs() > LATEST_MS {
                    continue;
                }
                if selection.range.is_some_and(|range| !range.contains(ts.value(row), last)) {
                    continue;
                }
                let Some(label) = labels.at(row) else { continue };
                for (column, values) in values.iter().enumerate() {
                    let y = if values.is_null(row) { f64::NAN } else { drawable(values.value(row)) };
                    let point = Point { x: ts.value(row) as f64, y, interval: None };
                    lines.entry((column, label.clone())).or_default().push(point);
                }
            }
        }
        lines.retain(|_, points| points.iter().any(|point| point.y.is_finite()));
        for ((column, label), mut points) in lines {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            if let Some(pair) = points.windows(2).find(|pair| pair[0].x == pair[1].x) {
                return Err(RenderError::Ambiguous {
                    what: format!("of {} and one line", axis::instant(pair[0].x as i64)),
                    advice: "filter with WHERE, or add a column of text that tells them apart",
                });
            }
            if let Some(name) = measured.get(column) {
                self.push(name, &label, points);
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &str, label: &str, points: Vec<Point>) {
        let (family, unit) = family(name);
        let position = self.0.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            let title = match unit {
                Unit::Usd => family.replace('_', " ").replace("usd", "USD"),
                _ => family.clone(),
            };
            self.0.push((family, Panel { title, unit, ..Panel::default() }));
            self.0.len() - 1
        });
        let Some((_, panel)) = self.0.get_mut(position) else { return };
        let words = if label.is_empty() { name.to_owned() } else { format!("{name} {label}") };
        let is_bar = ["funding_rate", "liquidated", "opened", "closed"].iter().any(|word| name.contains(word));
        let mark = if is_bar { SeriesMark::Bar } else { SeriesMark::Line };
        let tone = tone(&words, panel.series.len());
        panel.series.push(Series { name: words, mark, tone, points });
    }

    /// The panels from top to bottom: what a trader looks at first stands on top.
    fn into_panels(mut self, notes: &mut Vec<String>) -> Result<Vec<Panel>, RenderError> {
        self.0.sort_by_key(|(_, panel)| match panel.unit {
            Unit::Price => 0,
            Unit::Usd => 1,
            Unit::Percent | Unit::Number => 2,
        });
        let mut panels: Vec<Panel> = self.0.into_iter().map(|(_, panel)| panel).collect();
        for panel in &panels {
            check_lines(panel.series.len())?;
        }
        if panels.len() > MOST_PANELS {
            let left_out: Vec<String> = panels.drain(MOST_PANELS..).map(|panel| panel.title).collect();
            notes.push(format!("not drawn: {}", left_out.join(", ")));
        }
        Ok(panels)
    }
}

/// Beyond this nothing can be laid out; it is a gap.
fn drawable(value: f64) -> f64 {
    if value.abs() <= LARGEST_USD { value } else { f64::NAN }
}

fn check_lines(count: usize) -> Result<(), RenderError> {
    if count > MOST_LINES {
        return Err(RenderError::TooManyLines { count, most: MOST_LINES });
    }
    Ok(())
}

/// What a column shares its panel with, and how its values are written, as its name says.
fn family(name: &str) -> (String, Unit) {
    let words: Vec<&str> = name.split('_').collect();
    let last = words.last().copied().unwrap_or_default();
    let action = words.iter().find(|word| matches!(**word, "opened" | "closed" | "liquidated" | "swept"));
    let share = words.iter().rev().find(|word| {
        matches!(**word, "rate" | "bias" | "share" | "distance" | "move" | "drift" | "drawdown" | "reversal")
    });
    match (name, last) {
        ("funding_rate", _) => (name.to_owned(), Unit::Percent),
        // Bars that lie over each other hide each other.
        (_, "usd") => action.map_or(("usd".to_owned(), Unit::Usd), |action| (format!("{action}_usd"), Unit::Usd)),
        ("open" | "high" | "low" | "close", _) | (_, "price") => ("price".to_owned(), Unit::Price),
        _ => match share {
            Some(share) => ((*share).to_owned(), Unit::Percent),
            None if matches!(last, "size" | "volume") => (last.to_owned(), Unit::Number),
            None => (name.to_owned(), Unit::Number),
        },
    }
}

fn tone(words: &str, position: usize) -> Tone {
    if words.contains("long") {
        Tone::Long
    } else if words.contains("short") {
        Tone::Short
    } else if matches!(words, "price" | "close") {
        Tone::Neutral
    } else {
        Tone::Kind(position)
    }
}

/// What forced closes set off, step by step: the price, and what has been liquidated.
pub(super) fn cascade(result: &Rows) -> Result<Chart, RenderError> {
    #[derive(Default)]
    struct Chain {
        shock: f64,
        steps: Vec<(f64, f64, f64, f64)>,
    }
    let names = Names::of(result, &["side"])?;
    if names.symbols.len() > 1 {
        return Err(RenderError::SeveralSymbols { symbols: names.symbols });
    }
    let mut chains: BTreeMap<(String, i64), Chain> = BTreeMap::new();
    let mut instants: BTreeSet<i64> = BTreeSet::new();
    for batch in &result.batches {
        let shock = columns::number(batch, "shock")?;
        let step = columns::number(batch, "step")?;
        let from = columns::number(batch, "price_from")?;
        let to = columns::number(batch, "price_to")?;
        let cumulative = columns::number(batch, "cumulative_usd")?;
        let labels = Labels::of(batch, &names)?;
        if columns::has(batch, "ts") {
            instants.extend(columns::time(batch, "ts")?.iter().flatten());
        }
        for row in 0..batch.num_rows() {
            if [&shock, &step, &from, &to, &cumulative].iter().any(|column| column.is_null(row)) {
                continue;
            }
            let values = [&shock, &step, &from, &to, &cumulative].map(|column| drawable(column.value(row)));
            let Some(label) = labels.at(row).filter(|_| values.iter().all(|value| value.is_finite())) else { continue };
            // Shocks are compared as they are written.
            let key = (label, (shock.value(row) * 1e9).round() as i64);
            let chain = chains.entry(key).or_default();
            chain.shock = shock.value(row);
            chain.steps.push((step.value(row), from.value(row), to.value(row), cumulative.value(row)));
        }
    }
    if chains.is_empty() {
        return Err(RenderError::Empty { reason: "the cascade has no steps".to_owned() });
    }
    if let (Some(&first), Some(&last)) = (instants.first(), instants.last())
        && first != last
    {
        let (count, first, last) = (instants.len(), axis::instant(first), axis::instant(last));
        return Err(RenderError::SeveralInstants { count, first, last });
    }
    check_lines(chains.len())?;
    let is_one = chains.len() == 1;
    let mut prices = Vec::new();
    let mut amounts = Vec::new();
    for (position, ((label, _), mut chain)) in chains.into_iter().enumerate() {
        chain.steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some(&(first, from, _, _)) = chain.steps.first() else { continue };
        let name = [label, format!("shock {}", axis::signed_percent(chain.shock))];
        let name = name.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let tone = match is_one {
            true if chain.shock < 0.0 => Tone::Long,
            true => Tone::Short,
            false => Tone::Kind(position),
        };
        let at = |x: f64, y: f64| Point { x, y, interval: None };
        let price = [at(first - 1.0, from)].into_iter().chain(chain.steps.iter().map(|step| at(step.0, step.2)));
        let amount = [at(first - 1.0, 0.0)].into_iter().chain(chain.steps.iter().map(|step| at(step.0, step.3)));
        let line = |points| Series { name: name.clone(), mark: SeriesMark::Line, tone, points };
        prices.push(line(price.collect()));
        amounts.push(line(amount.collect()));
    }
    let mut notes = names.notes();
    notes.extend(instants.first().map(|at| format!("map of {} UTC", axis::instant(*at))));
    Ok(Chart {
        subject: names.subject(&result.origin, "liquidation cascade"),
        origin: result.origin.clone(),
        x: ChartX::Number("step".to_owned()),
        panels: vec![
            Panel { title: "price".to_owned(), unit: Unit::Price, series: prices, labels: Vec::new() },
            Panel { title: "liquidated so far, USD".to_owned(), unit: Unit::Usd, series: amounts, labels: Vec::new() },
        ],
        notes,
    })
}

/// Scores with their intervals, one panel per score, one line per null.
pub(super) fn scores(result: &Rows) -> Result<Chart, RenderError> {
    let names = Names::of(result, &["score", "null"])?;
    let mut panels: Vec<Panel> = Vec::new();
    for batch in &result.batches {
        let score = columns::text(batch, "score")?;
        let null = columns::text(batch, "null")?;
        let value = columns::number(batch, "value")?;
        let low = columns::number(batch, "low")?;
        let high = columns::number(batch, "high")?;
        let labels = Labels::of(batch, &names)?;
        for row in 0..batch.num_rows() {
            let (Some(label), false, false) = (labels.at(row), score.is_null(row), value.is_null(row)) else {
                continue;
            };
            let title = score.value(row);
            let position = panels.iter().position(|panel| panel.title == title);
            if position.is_none() && panels.len() >= MOST_SCORES {
                return Err(RenderError::TooManyLines { count: panels.len() + 1, most: MOST_SCORES });
            }
            let position = position.unwrap_or_else(|| {
                let series =
                    Series { name: String::new(), mark: SeriesMark::Interval, tone: Tone::Kind(0), points: Vec::new() };
                panels.push(Panel { title: title.to_owned(), series: vec![series], ..Panel::default() });
                panels.len() - 1
            });
            let Some(panel) = panels.get_mut(position) else { continue };
            let words =
                [label, columns::text_value(Some(&null), row).map_or_else(String::new, |null| format!("over {null}"))];
            let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
            panel.labels.push(if words.is_empty() { "map".to_owned() } else { words.join(" ") });
            let is_known = [&low, &high].iter().all(|end| end.is_valid(row) && drawable(end.value(row)).is_finite());
            let interval = is_known.then(|| (low.value(row), high.value(row)));
            let y = (panel.labels.len() - 1) as f64;
            if let Some(series) = panel.series.first_mut() {
                series.points.push(Point { x: value.value(row), y, interval });
            }
        }
    }
    if panels.is_empty() {
        return Err(RenderError::Empty { reason: "'score' or 'value' is null in all rows".to_owned() });
    }
    let mut notes = names.notes();
    if panels.len() > MOST_PANELS {
        let left_out: Vec<String> = panels.drain(MOST_PANELS..).map(|panel| panel.title).collect();
        notes.push(format!("not drawn: {}", left_out.join(", ")));
    }
    Ok(Chart {
        subject: names.subject(&result.origin, "scores"),
        origin: result.origin.clone(),
        x: ChartX::Value,
        panels,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_values_are_written() {
        for (name, family_name, unit) in [
            ("funding_rate", "funding_rate", Unit::Percent),
            ("hit_rate", "rate", Unit::Percent),
            ("long_usd", "usd", Unit::Usd),
            ("opened_usd", "opened_usd", Unit::Usd),
            ("close", "price", Unit::Price),
            ("magnet_price", "price", Unit::Price),
            ("open_interest", "open_interest", Unit::Number),
            ("standing_share_of_open_interest", "share", Unit::Percent),
            ("close_reversal", "reversal", Unit::Percent),
            ("volume", "volume", Unit::Number),
        ] {
            assert_eq!(family(name), (family_name.to_owned(), unit), "{name}");
        }
    }
}

//! Rows with instants and numbers to lines and bars over time.
//!
//! Any result with `ts` and numbers is a series: columns that are measured alike share a panel, and what tells several
//! rows of one instant apart (a side, an exchange, a preset) becomes the name of a line.

use arrow::array::{Array, Float64Array, RecordBatch};
use arrow::datatypes::DataType;

use super::super::frame::{Chart, Panel, Point, Series, SeriesMark, Tone, Unit, ignored_label, is_drawable};
use super::super::{RenderError, axis};
use super::names::{Labels, Names, TELL_APART, Texts};
use super::{Rows, Selection, columns, panels};

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
///
/// # Errors
///
/// An instant has no date.
pub(super) fn has_several_instants(result: &Rows) -> Result<bool, RenderError> {
    let mut first = None;
    for batch in &result.batches {
        let Some(time) = time_column(batch) else { continue };
        if columns::named_time(batch, &time)?.iter().flatten().any(|ts| *first.get_or_insert(ts) != ts) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The column of instants: `ts`, or the first there is.
pub(super) fn time_column(batch: &RecordBatch) -> Option<String> {
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

/// Numbers over time: the columns of one or several results in panels below each other.
pub(super) fn series(results: &[&Rows], selection: &Selection) -> Result<Chart, RenderError> {
    let mut has_several = false;
    for result in results {
        // All are looked at: each may hold an instant that has no date.
        has_several |= has_several_instants(result)?;
    }
    if !has_several {
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
    if panels.found.is_empty() {
        let reason = match selection.range {
            Some(range) => format!("no row with a number within {}", range.label()),
            None => "no row has an instant and a number".to_owned(),
        };
        return Err(RenderError::Empty { reason });
    }
    chart.notes.extend(ignored_label(panels.ignored_rows));
    chart.panels = panels.into_panels(&mut chart.notes)?;
    Ok(chart)
}

/// Panels by what their columns measure.
#[derive(Debug, Default)]
struct Panels {
    found: Vec<(String, Panel)>,
    /// Rows without an instant.
    ignored_rows: usize,
}

impl Panels {
    fn add(&mut self, result: &Rows, names: &Names, selection: &Selection) -> Result<(), RenderError> {
        let Some(first) = result.batches.first() else { return Ok(()) };
        let Some(time) = time_column(first) else { return Ok(()) };
        let measured = measured(first);
        let mut last = i64::MIN;
        for batch in &result.batches {
            last = columns::named_time(batch, &time)?.iter().flatten().fold(last, i64::max);
        }
        // line → column → points
        let (mut found, mut lines, mut name) = (Texts::default(), Vec::new(), String::new());
        for batch in &result.batches {
            let ts = columns::named_time(batch, &time)?;
            let labels = Labels::of(batch, names)?;
            let values: Vec<Float64Array> =
                measured.iter().map(|name| columns::named_number(batch, name)).collect::<Result<_, _>>()?;
            for row in 0..batch.num_rows() {
                if !labels.write(row, &mut name) {
                    continue;
                }
                if ts.is_null(row) {
                    self.ignored_rows += 1;
                    continue;
                }
                if selection.range.is_some_and(|range| !range.contains(ts.value(row), last)) {
                    continue;
                }
                let line = found.number(&name);
                if line == lines.len() {
                    lines.push(vec![Vec::new(); measured.len()]);
                }
                for (points, values) in lines.get_mut(line).into_iter().flatten().zip(&values) {
                    // What has no place on an axis is a gap.
                    let value = columns::value(Some(values), row).filter(|value| is_drawable(*value));
                    points.push(Point { x: ts.value(row) as f64, y: value.unwrap_or(f64::NAN), interval: None });
                }
            }
        }
        let lines = found.found.into_iter().zip(lines);
        let mut lines: Vec<(usize, String, Vec<Point>)> = lines
            .flat_map(|(label, columns)| {
                columns.into_iter().enumerate().map(move |(column, points)| (column, label.clone(), points))
            })
            .filter(|(_, _, points)| points.iter().any(|point| point.y.is_finite()))
            .collect();
        lines.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for (column, label, mut points) in lines {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            if let Some(pair) = points.windows(2).find(|pair| pair[0].x == pair[1].x) {
                let what = format!("of {} and one line", axis::instant(pair[0].x as i64));
                return Err(RenderError::Ambiguous { what, advice: TELL_APART });
            }
            if let Some(name) = measured.get(column) {
                self.push(name, &label, points);
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &str, label: &str, points: Vec<Point>) {
        let (family, unit) = family(name);
        let position = self.found.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            let title = match unit {
                Unit::Usd => family.replace('_', " ").replace("usd", "USD"),
                _ => family.clone(),
            };
            self.found.push((family, Panel { title, unit, ..Panel::default() }));
            self.found.len() - 1
        });
        let Some((_, panel)) = self.found.get_mut(position) else { return };
        let words = if label.is_empty() { name.to_owned() } else { format!("{name} {label}") };
        let is_bar = ["funding_rate", "liquidated", "opened", "closed"].iter().any(|word| name.contains(word));
        let mark = if is_bar { SeriesMark::Bar } else { SeriesMark::Line };
        let tone = tone(&words, panel.series.len());
        panel.series.push(Series { name: words, mark, tone, points });
    }

    /// The panels from top to bottom: what a trader looks at first stands on top.
    fn into_panels(mut self, notes: &mut Vec<String>) -> Result<Vec<Panel>, RenderError> {
        self.found.sort_by_key(|(_, panel)| match panel.unit {
            Unit::Price => 0,
            Unit::Usd => 1,
            Unit::Percent | Unit::Number => 2,
        });
        let found: Vec<Panel> = self.found.into_iter().map(|(_, panel)| panel).collect();
        for panel in &found {
            panels::check_lines(panel.series.len())?;
        }
        Ok(panels::drawn(found, notes))
    }
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

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::super::Frame;
    use super::*;

    fn rows(instants: &[Option<i64>], values: &[f64]) -> Rows {
        let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        samples::rows(vec![("ts", samples::instants(instants)), ("value", samples::numbers(&values))])
    }

    fn drawn(instants: &[Option<i64>], values: &[f64]) -> Result<Chart, String> {
        series(&[&rows(instants, values)], &Selection::default()).map_err(|error| error.to_string())
    }

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

    #[test]
    fn an_instant_without_a_date_is_an_error_as_of_a_heatmap() {
        let late = 9_000_000_000_000_000;
        let said = "render: column 'ts' must hold instants within 31,000 years of 1970, was 9000000000000000 ms";
        assert_eq!(drawn(&[Some(0), Some(late)], &[1.0, 2.0]).unwrap_err(), said);
        assert_eq!(drawn(&[Some(0), Some(1), Some(late)], &[1.0, 2.0, 3.0]).unwrap_err(), said);
        // Beside a picture, where a series of one instant is left out, it is no less wrong.
        let sound = rows(&[Some(0), Some(1)], &[1.0, 2.0]);
        let frames = Frame::all_from_results(&[sound, rows(&[Some(late)], &[1.0])], &Selection::default());
        assert_eq!(frames.unwrap_err().to_string(), said);
    }

    #[test]
    fn rows_without_an_instant_are_counted_and_values_without_a_place_are_gaps() {
        let chart = drawn(&[Some(0), None, Some(1), Some(2)], &[1.0, 2.0, 1e308, 4.0]).unwrap();
        assert_eq!(chart.notes, ["1 row with nulls ignored"]);
        let points = &chart.panels[0].series[0].points;
        assert_eq!(points.iter().map(|point| point.y.is_finite()).collect::<Vec<_>>(), [true, false, true]);
    }
}

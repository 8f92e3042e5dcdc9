//! Rows of scores to panels: one per score, in it a line for each null model, with the value and its interval.

use arrow::array::Array;

use super::super::RenderError;
use super::super::frame::{Chart, ChartX, Panel, Point, Series, SeriesMark, Tone, ignored_label, is_drawable};
use super::names::{Labels, Names};
use super::{Rows, columns, panels};

/// Different scores that rows may have; those that do not fit on a picture are named, not drawn.
const MOST_SCORES: usize = 64;

/// Scores with their intervals.
pub(super) fn scores(result: &Rows) -> Result<Chart, RenderError> {
    let names = Names::of(result, &["score", "null_model"])?;
    let mut found: Vec<Panel> = Vec::new();
    let mut ignored_rows = 0;
    for batch in &result.batches {
        let score = columns::text(batch, "score")?;
        let null = columns::text(batch, "null_model")?;
        let value = columns::number(batch, "value")?;
        let low = columns::number(batch, "low")?;
        let high = columns::number(batch, "high")?;
        let labels = Labels::of(batch, &names)?;
        for row in 0..batch.num_rows() {
            let Some(label) = labels.at(row) else { continue };
            if score.is_null(row) || value.is_null(row) {
                ignored_rows += 1;
                continue;
            }
            let panel = panel_of(&mut found, score.value(row))?;
            let over = columns::text_value(Some(&null), row).map_or_else(String::new, |null| format!("over {null}"));
            let words: Vec<String> = [label, over].into_iter().filter(|word| !word.is_empty()).collect();
            panel.labels.push(if words.is_empty() { "map".to_owned() } else { words.join(" ") });
            let end = |column| columns::value(Some(column), row).filter(|end| is_drawable(*end));
            // Whoever negates a score swaps its ends.
            let interval = end(&low).zip(end(&high)).map(|(low, high)| (low.min(high), low.max(high)));
            // A value without a place leaves its line empty, and is missed there.
            let x = if is_drawable(value.value(row)) { value.value(row) } else { f64::NAN };
            let point = Point { x, y: (panel.labels.len() - 1) as f64, interval: interval.filter(|_| x.is_finite()) };
            if let Some(series) = panel.series.first_mut() {
                series.points.push(point);
            }
        }
    }
    if found.is_empty() {
        return Err(RenderError::Empty { reason: "'score' or 'value' is null in all rows".to_owned() });
    }
    let has_value =
        |panel: &Panel| panel.series.iter().flat_map(|series| &series.points).any(|point| point.x.is_finite());
    let (drawable, empty): (Vec<Panel>, Vec<Panel>) = found.into_iter().partition(has_value);
    if drawable.is_empty() {
        return Err(RenderError::Empty { reason: "no 'value' is a number that can be drawn".to_owned() });
    }
    let mut notes = names.notes();
    if !empty.is_empty() {
        let titles: Vec<&str> = empty.iter().map(|panel| panel.title.as_str()).collect();
        notes.push(format!("no value of: {}", titles.join(", ")));
    }
    notes.extend(ignored_label(ignored_rows));
    let panels = panels::drawn(drawable, &mut notes);
    let subject = names.subject(&result.origin, "scores");
    Ok(Chart { subject, origin: result.origin.clone(), x: ChartX::Value, panels, notes })
}

/// The panel of a score; a new one for a new score.
fn panel_of<'a>(panels: &'a mut Vec<Panel>, title: &str) -> Result<&'a mut Panel, RenderError> {
    let position = panels.iter().position(|panel| panel.title == title).unwrap_or(panels.len());
    if position == panels.len() {
        let (mark, tone) = (SeriesMark::Interval, Tone::Kind(0));
        let series = Series { name: String::new(), mark, tone, points: Vec::new() };
        panels.push(Panel { title: title.to_owned(), series: vec![series], ..Panel::default() });
    }
    let count = panels.len();
    let too_many = RenderError::TooManyLines { count, most: MOST_SCORES };
    panels.get_mut(position).filter(|_| count <= MOST_SCORES).ok_or(too_many)
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::*;

    type Row = (&'static str, Option<f64>, f64, f64);

    /// Rows (score, value, low, high).
    fn drawn(rows: &[Row]) -> Result<Chart, String> {
        let number = |of: fn(&Row) -> Option<f64>| samples::numbers(&rows.iter().map(of).collect::<Vec<_>>());
        let titles: Vec<Option<&str>> = rows.iter().map(|row| Some(row.0)).collect();
        let nulls: Vec<String> = (0..rows.len()).map(|row| format!("n{row}")).collect();
        let nulls: Vec<Option<&str>> = nulls.iter().map(|null| Some(null.as_str())).collect();
        let rows = samples::rows(vec![
            ("score", samples::words(&titles)),
            ("null_model", samples::words(&nulls)),
            ("value", number(|row| row.1)),
            ("low", number(|row| Some(row.2))),
            ("high", number(|row| Some(row.3))),
        ]);
        scores(&rows).map_err(|error| error.to_string())
    }

    #[test]
    fn intervals_are_ordered_once() {
        let chart = drawn(&[("a", Some(0.5), 0.9, 0.1), ("a", Some(0.3), 0.1, 0.5), ("a", Some(0.2), f64::NAN, 1.0)]);
        let intervals: Vec<_> = chart.unwrap().panels[0].series[0].points.iter().map(|point| point.interval).collect();
        assert_eq!(intervals, [Some((0.1, 0.9)), Some((0.1, 0.5)), None]);
    }

    #[test]
    fn a_value_without_a_place_leaves_its_line_empty() {
        let rows = [("a", Some(f64::NAN), 0.1, 0.2), ("a", Some(0.3), 0.1, 0.5), ("a", Some(1e308), -1e24, 1e24)];
        let chart = drawn(&rows).unwrap();
        let points = &chart.panels[0].series[0].points;
        assert_eq!(points.iter().map(|point| point.x.is_finite()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((points[1].y, points[2].interval), (1.0, None));
        assert_eq!(chart.panels[0].labels, ["over n0", "over n1", "over n2"]);
    }

    #[test]
    fn scores_without_any_value_are_named_and_alone_an_error() {
        let sound = ("a", Some(0.3), 0.1, 0.5);
        let chart = drawn(&[sound, ("b", Some(f64::NAN), 0.1, 0.2), ("b", None, 0.1, 0.2)]).unwrap();
        assert_eq!(chart.panels.len(), 1);
        assert_eq!(chart.notes, ["no value of: b", "1 row with nulls ignored"]);
        let error = drawn(&[("b", Some(f64::INFINITY), 0.1, 0.2)]).unwrap_err();
        assert_eq!(error, "render: nothing to draw: no 'value' is a number that can be drawn");
        let error = drawn(&[("b", None, 0.1, 0.2)]).unwrap_err();
        assert_eq!(error, "render: nothing to draw: 'score' or 'value' is null in all rows");
    }
}

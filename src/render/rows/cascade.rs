//! Rows of a cascade to two panels, step by step: the price, and what has been liquidated so far.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Float64Array, RecordBatch};

use super::super::frame::{Chart, ChartX, LARGEST_VALUE, Panel, Point, Series, SeriesMark, Tone, Unit, ignored_label};
use super::super::{RenderError, axis};
use super::names::{Labels, Names, TELL_APART};
use super::{Rows, columns, panels};

/// Shocks are shares of the price; nothing falls by more than all of it.
const SHOCKS: std::ops::RangeInclusive<f64> = -1.0..=1e6;
const MOST_STEPS: f64 = 1e6;

/// A step of a chain. What a row does not say is not a number: its line has a gap there.
#[derive(Debug, Clone, Copy)]
struct Step {
    number: f64,
    from: f64,
    to: f64,
    cumulative_usd: f64,
}

/// The columns of a batch.
struct Steps {
    shock: Float64Array,
    step: Float64Array,
    from: Float64Array,
    to: Float64Array,
    cumulative: Float64Array,
}

impl Steps {
    fn of(batch: &RecordBatch) -> Result<Self, RenderError> {
        let of = |name| columns::number(batch, name);
        let (shock, step) = (of("shock")?, of("step")?);
        let (from, to, cumulative) = (of("price_from")?, of("price_to")?, of("cumulative_usd")?);
        Ok(Self { shock, step, from, to, cumulative })
    }

    fn has_null(&self, row: usize) -> bool {
        [&self.shock, &self.step, &self.from, &self.to, &self.cumulative].iter().any(|column| column.is_null(row))
    }

    /// A row's shock and step, `None` if either is null.
    fn at(&self, row: usize) -> Result<Option<(f64, Step)>, RenderError> {
        let shock = columns::optional_bounded(Some(&self.shock), row, "shock", SHOCKS)?;
        let number = columns::optional_bounded(Some(&self.step), row, "step", 0.0..=MOST_STEPS)?;
        let price = |column, name| columns::optional_price(Some(column), row, name);
        let (from, to) = (price(&self.from, "price_from")?, price(&self.to, "price_to")?);
        let sums = 0.0..=LARGEST_VALUE;
        let sum = columns::optional_bounded(Some(&self.cumulative), row, "cumulative_usd", sums)?;
        let or_gap = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Ok(shock.zip(number).map(|(shock, number)| {
            (shock, Step { number, from: or_gap(from), to: or_gap(to), cumulative_usd: or_gap(sum) })
        }))
    }
}

/// What a shock sets off.
#[derive(Debug, Default)]
struct Chain {
    shock: f64,
    steps: Vec<Step>,
}

impl Chain {
    /// `binance shock -5 %`.
    fn name(&self, label: &str) -> String {
        let shock = format!("shock {}", axis::signed_percent(self.shock));
        if label.is_empty() { shock } else { format!("{label} {shock}") }
    }

    /// Orders the steps.
    ///
    /// # Errors
    ///
    /// Two rows are the same step: their chain would jump to and fro between them.
    fn sort(&mut self, label: &str) -> Result<(), RenderError> {
        self.steps.sort_by(|a, b| a.number.total_cmp(&b.number));
        match self.steps.windows(2).find(|pair| pair[0].number == pair[1].number) {
            Some(pair) => Err(RenderError::Ambiguous {
                what: format!("step {} of {}", axis::given(pair[0].number), self.name(label)),
                advice: TELL_APART,
            }),
            None => Ok(()),
        }
    }

    /// The points of a line that begins before the first step.
    fn line(&self, start: impl Fn(&Step) -> f64, value: impl Fn(&Step) -> f64) -> Vec<Point> {
        let at = |x: f64, y: f64| Point { x, y, interval: None };
        let first = self.steps.first().map(|step| at(step.number - 1.0, start(step)));
        first.into_iter().chain(self.steps.iter().map(|step| at(step.number, value(step)))).collect()
    }
}

/// What forced closes set off.
pub(super) fn cascade(result: &Rows) -> Result<Chart, RenderError> {
    let names = Names::of(result, &["side"])?;
    if names.symbols.len() > 1 {
        return Err(RenderError::SeveralSymbols { symbols: names.symbols });
    }
    let mut chains: BTreeMap<(String, i64), Chain> = BTreeMap::new();
    let mut instants: BTreeSet<i64> = BTreeSet::new();
    let mut ignored_rows = 0;
    for batch in &result.batches {
        let steps = Steps::of(batch)?;
        let labels = Labels::of(batch, &names)?;
        if columns::has(batch, "ts") {
            instants.extend(columns::time(batch, "ts")?.iter().flatten());
        }
        for row in 0..batch.num_rows() {
            let Some(label) = labels.at(row) else { continue };
            ignored_rows += usize::from(steps.has_null(row));
            let Some((shock, step)) = steps.at(row)? else { continue };
            // Shocks are compared as they are written.
            let chain = chains.entry((label, (shock * 1e9).round() as i64)).or_default();
            chain.shock = shock;
            chain.steps.push(step);
        }
    }
    if chains.values().flat_map(|chain| &chain.steps).all(|step| step.to.is_nan() && step.cumulative_usd.is_nan()) {
        return Err(RenderError::Empty { reason: "the cascade has no steps".to_owned() });
    }
    if let (Some(&first), Some(&last)) = (instants.first(), instants.last())
        && first != last
    {
        let (count, first, last) = (instants.len(), axis::instant(first), axis::instant(last));
        return Err(RenderError::SeveralInstants { count, first, last });
    }
    panels::check_lines(chains.len())?;
    let is_one = chains.len() == 1;
    let (mut prices, mut amounts) = (Vec::new(), Vec::new());
    for (position, ((label, _), mut chain)) in chains.into_iter().enumerate() {
        chain.sort(&label)?;
        let name = chain.name(&label);
        let tone = match is_one {
            true if chain.shock < 0.0 => Tone::Long,
            true => Tone::Short,
            false => Tone::Kind(position),
        };
        let line = |points| Series { name: name.clone(), mark: SeriesMark::Line, tone, points };
        prices.push(line(chain.line(|step| step.from, |step| step.to)));
        amounts.push(line(chain.line(|_| 0.0, |step| step.cumulative_usd)));
    }
    let mut notes = names.notes();
    notes.extend(instants.first().map(|at| format!("map of {} UTC", axis::instant(*at))));
    notes.extend(ignored_label(ignored_rows));
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

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::*;

    /// Step, from, to.
    type Row = (Option<f64>, f64, Option<f64>);

    /// Steps of a shock of five per cent, each of an exchange.
    fn rows(steps: &[Row], exchanges: &[&str]) -> Rows {
        let column = |of: fn(&Row) -> Option<f64>| samples::numbers(&steps.iter().map(of).collect::<Vec<_>>());
        let exchanges: Vec<Option<&str>> = exchanges.iter().copied().map(Some).collect();
        samples::rows(vec![
            ("exchange", samples::words(&exchanges)),
            ("shock", column(|_| Some(-0.05))),
            ("step", column(|step| step.0)),
            ("price_from", column(|step| Some(step.1))),
            ("price_to", column(|step| step.2)),
            ("liquidated_usd", column(|_| Some(1e6))),
            ("cumulative_usd", column(|_| Some(1e6))),
        ])
    }

    fn drawn(rows: &Rows) -> Result<Chart, String> {
        cascade(rows).map_err(|error| error.to_string())
    }

    const TWICE: [Row; 2] = [(Some(1.0), 100.0, Some(95.0)), (Some(1.0), 200.0, Some(190.0))];

    #[test]
    fn a_step_is_of_one_row() {
        assert_eq!(
            drawn(&rows(&TWICE, &["a", "a"])),
            Err(
                "render: several rows are step 1 of shock -5 %; filter with WHERE, or add a column of text that tells \
                 them apart"
                    .to_owned()
            )
        );
        let both = drawn(&rows(&TWICE, &["a", "b"])).unwrap();
        let names: Vec<&str> = both.panels[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["a shock -5 %", "b shock -5 %"]);
    }

    #[test]
    fn what_is_no_price_is_an_error() {
        for (from, to, said) in [
            (100.0, -95.0, "column 'price_to' must hold prices above 0, of at most 1e15, was -95"),
            (f64::NAN, 95.0, "column 'price_from' must hold prices above 0, of at most 1e15, was NaN"),
        ] {
            let steps = [(Some(1.0), 100.0, Some(95.0)), (Some(2.0), from, Some(to)), (Some(3.0), 93.0, Some(90.0))];
            assert_eq!(drawn(&rows(&steps, &["a"; 3])), Err(format!("render: {said}")));
        }
        let steps = [(Some(f64::NAN), 100.0, Some(95.0))];
        let error = drawn(&rows(&steps, &["a"])).unwrap_err();
        assert_eq!(error, "render: column 'step' must hold numbers from 0 to 1000000, was NaN");
    }

    #[test]
    fn a_step_with_a_null_is_a_gap_and_counted() {
        let steps = [
            (Some(1.0), 100.0, Some(95.0)),
            (Some(2.0), 95.0, None),
            (Some(3.0), 93.0, Some(90.0)),
            (None, 90.0, None),
        ];
        let chart = drawn(&rows(&steps, &["a"; 4])).unwrap();
        let line: Vec<f64> = chart.panels[0].series[0].points.iter().map(|point| point.y).collect();
        assert!(line[2].is_nan() && [line[0], line[1], line[3]] == [100.0, 95.0, 90.0], "{line:?}");
        assert_eq!(chart.notes, ["2 rows with nulls ignored"]);
    }
}

//! Heatmaps and maps written as CoinGlass's answers, and read back.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use liqsql::ingest::find_reader;
use liqsql::ingest::reading::{BadRows, Out, Row, Settings, Sink, Value};
use liqsql::ingest::source::Source;
use liqsql::render::{Rows, to_coinglass};
use proptest::prelude::*;

/// 2026-01-31 12:00 UTC.
const NOON: i64 = 1_769_860_800_000;

/// A row of the market table `heatmap`.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    ts: i64,
    price: f64,
    side: String,
    leverage: Option<f64>,
    low: f64,
    high: f64,
    usd: f64,
}

#[derive(Default)]
struct Cells(Vec<Cell>);

impl Sink for Cells {
    fn take(&mut self, row: &Row<'_>) -> liqsql::error::Result<()> {
        assert_eq!((row.exchange, row.symbol), ("binance", "BTCUSDT"));
        let [
            Value::Number(price),
            Value::Text(side),
            leverage,
            Value::Number(low),
            Value::Number(high),
            Value::Number(usd),
            Value::Number(_),
        ] = row.values
        else {
            panic!("{row:?}");
        };
        let leverage = if let Value::Number(leverage) = leverage { Some(*leverage) } else { None };
        let (price, low, high, usd) = (*price, *low, *high, *usd);
        self.0.push(Cell { ts: row.ts, price, side: (*side).to_owned(), leverage, low, high, usd });
        Ok(())
    }
}

fn read(kind: &str, text: &str) -> Vec<Cell> {
    let (exchange, symbol) = (Some("binance".to_owned()), Some("BTCUSDT".to_owned()));
    let reader = find_reader("coinglass", kind).unwrap();
    let mut cells = Cells::default();
    let mut out = Out::new(reader.table, BadRows::Error, &mut cells);
    let settings = Settings { exchange, symbol, ..Settings::default() };
    (reader.read)(&mut Source::of_bytes("a.json", text.as_bytes()), &settings, &mut out).unwrap();
    cells.0
}

fn rows(cells: &[Cell], is_map: bool) -> Rows {
    let numbers =
        |of: &dyn Fn(&Cell) -> Option<f64>| -> ArrayRef { Arc::new(cells.iter().map(of).collect::<Float64Array>()) };
    let texts =
        |of: &dyn Fn(&Cell) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(cells.iter().map(of))) };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(TimestampMillisecondArray::from_iter_values(cells.iter().map(|cell| cell.ts)))),
        ("exchange", texts(&|_| "binance".to_owned())),
        ("symbol", texts(&|_| "BTCUSDT".to_owned())),
        ("price", numbers(&|cell| Some(cell.price))),
        ("side", texts(&|cell| cell.side.clone())),
        ("leverage", numbers(&|cell| cell.leverage)),
        ("price_low", numbers(&|cell| Some(cell.low))),
        ("price_high", numbers(&|cell| Some(cell.high))),
        ("notional_usd", numbers(&|cell| Some(cell.usd))),
    ];
    if is_map {
        columns.push(("cumulative_usd", numbers(&|cell| Some(cell.usd))));
    }
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Rows::from(vec![RecordBatch::try_from_iter_with_nullable(columns).unwrap()])
}

/// The same cells, whose edges are computed prices.
fn assert_same(found: &[Cell], expected: &[Cell], step: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        let is_near = |a: f64, b: f64| (a - b).abs() < step * 2e-6;
        assert!(
            is_near(found.low, expected.low) && is_near(found.high, expected.high),
            "{found:?} is not {expected:?}"
        );
        assert_eq!(Cell { low: expected.low, high: expected.high, ..found.clone() }, *expected);
    }
}

/// Cells of a grid of prices at instants, each on the side of its centre.
fn cells(steps: &[(i64, f64)], amounts: &[(usize, usize, f64)], first: i64, step: f64) -> Vec<Cell> {
    let mut found: Vec<Cell> = Vec::new();
    for (column, level, usd) in amounts {
        let Some((ts, price)) = steps.get(*column) else { continue };
        let (low, high) = ((first + *level as i64) as f64 * step, (first + *level as i64 + 1) as f64 * step);
        let side = if (low + high) / 2.0 <= *price { "long" } else { "short" };
        let cell = Cell { ts: *ts, price: *price, side: side.to_owned(), leverage: None, low, high, usd: *usd };
        if !found.iter().any(|other| (other.ts, other.low.to_bits()) == (cell.ts, cell.low.to_bits())) {
            found.push(cell);
        }
    }
    found.sort_by(|a, b| (a.ts, a.low).partial_cmp(&(b.ts, b.low)).unwrap());
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the steps of time and price, gaps and amounts: what is read is what was written, to the last digit.
    #[test]
    fn a_heatmap_comes_back(
        gaps in proptest::collection::vec((1i64..4, 1.0f64..2e5), 1..12),
        amounts in proptest::collection::vec((0usize..12, 0usize..40, 1e-3f64..1e12), 1..60),
        first in 1i64..5_000,
        step in prop_oneof![Just(0.0001), Just(0.1), Just(1.0), Just(200.0), 0.01f64..500.0],
        minutes in prop_oneof![Just(1i64), Just(5), Just(60), Just(1_440)],
    ) {
        let mut ts = NOON;
        let steps: Vec<(i64, f64)> = gaps.iter().map(|(gap, price)| {
            ts += gap * minutes * 60_000;
            (ts, *price)
        }).collect();
        let expected = cells(&steps, &amounts, first, step);
        prop_assume!(!expected.is_empty());
        let text = to_coinglass(&[rows(&expected, false)]).unwrap();
        assert_same(&read("heatmap", &text), &expected, step);
    }

    /// The same of a map, with its leverages.
    #[test]
    fn a_map_comes_back(
        price in 1.0f64..2e5,
        amounts in proptest::collection::vec((0usize..40, proptest::option::of(1u32..125), 1e-3f64..1e12), 1..60),
        first in 1i64..5_000,
        step in prop_oneof![Just(0.0001), Just(0.1), Just(200.0), 0.01f64..500.0],
    ) {
        let mut expected: Vec<Cell> = Vec::new();
        for (level, leverage, usd) in amounts {
            let [cell] = cells(&[(NOON, price)], &[(0, level, usd)], first, step).try_into().unwrap();
            let cell = Cell { leverage: leverage.map(f64::from), ..cell };
            if !expected.iter().any(|other| other.low == cell.low && other.leverage == cell.leverage) {
                expected.push(cell);
            }
        }
        expected.sort_by(|a, b| (a.low, a.leverage).partial_cmp(&(b.low, b.leverage)).unwrap());
        let text = to_coinglass(&[rows(&expected, true)]).unwrap();
        assert_same(&read("map", &text), &expected, step);
    }
}

#[test]
fn an_answer_that_was_read_is_written_as_it_was() {
    let text = "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"y_axis\":[74604.75,74665.24,74725.73],\
        \"liquidation_leverage_data\":[[0,0,2288867.26],[0,2,318624.82],[1,1,1527940.12]],\"price_candlesticks\":\
        [[1722676500,\"74700\",\"74700\",\"74700\",\"74700\",\"0\"],\
        [1722676800,\"74650.5\",\"74650.5\",\"74650.5\",\"74650.5\",\"0\"]],\"update_time\":1722677100000}}\n";
    assert_eq!(to_coinglass(&[rows(&read("heatmap", text), false)]).unwrap(), text);
}

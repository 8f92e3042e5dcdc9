//! The market that benches measure on: random walks from fixed seeds, the same in every run.
//!
//! Prices move between limits around 60,000, so that a cell of 60 stays near 0.1 % of price over any length of history.
//! Amounts are of the size that a large perpetual has: what a benchmark does with them depends on how far price swings
//! and how often it returns, not on the amounts.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::col;
use liqsql::market::tables::{BARS, CANDLES, OPEN_INTEREST, POSITIONS, TRADES, Table};
use liqsql::model::bar::Bar;
use liqsql::model::book::Book;
use liqsql::model::margin::liquidation_price_at_leverage;
use liqsql::model::parameters::Parameters;
use liqsql::model::replay::Replay;
use liqsql::model::side::Side;

/// 2018-01-01, the open of the first bar.
pub(crate) const START_MS: i64 = 1_514_764_800_000;

/// Length of a bar.
pub(crate) const INTERVAL_MS: i64 = 300_000;

/// Price around which every walk stays, quote per base.
const PRICE: f64 = 60_000.0;

/// Smallest difference of two prices.
const TICKS_PER_UNIT: f64 = 10.0;

/// Maintenance margin rate of the positions.
const MAINTENANCE_MARGIN_RATE: f64 = 0.004;

/// A linear congruential generator, of which the upper bits are used.
struct Random(u64);

impl Random {
    /// Returns a number from 0 to below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number of mean 0 and standard deviation 1, nearly normal: twelve shares, less their mean.
    fn deviation(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

/// How a price moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) seed: u64,
    /// Standard deviation of a bar, a fraction of the price.
    pub(crate) swing: f64,
    /// The price stays between 60,000 divided and multiplied by this.
    pub(crate) limit: f64,
}

impl Walk {
    /// About 50 % a year, between 30,000 and 120,000.
    pub(crate) const USUAL: Walk = Walk { seed: 1, swing: 0.0015, limit: 2.0 };
    /// A quarter of the usual swing.
    pub(crate) const QUIET: Walk = Walk { seed: 2, swing: 0.000_375, limit: 2.0 };
    /// Four times the usual swing.
    pub(crate) const VOLATILE: Walk = Walk { seed: 3, swing: 0.006, limit: 2.0 };

    fn next(&self, random: &mut Random, price: f64, swing: f64) -> f64 {
        let moved = price * random.deviation() * swing;
        let next = if price + moved > PRICE * self.limit || price + moved < PRICE / self.limit {
            price - moved
        } else {
            price + moved
        };
        (next * TICKS_PER_UNIT).round() / TICKS_PER_UNIT
    }

    /// Returns the first bars of the walk; those of a longer walk begin with them.
    pub(crate) fn bars(&self, count: usize) -> Vec<Bar> {
        const MOVES: usize = 8;
        let swing = self.swing / (MOVES as f64).sqrt();
        let mut random = Random(self.seed);
        let (mut price, mut open_interest) = (PRICE, 80_000.0);
        let bars = (0..count).map(|i| {
            let open = price;
            let (mut low, mut high) = (open, open);
            for _ in 0..MOVES {
                price = self.next(&mut random, price, swing);
                (low, high) = (low.min(price), high.max(price));
            }
            let before: f64 = open_interest;
            let change = before * 0.001 * random.deviation();
            open_interest = if (60_000.0..100_000.0).contains(&(before + change)) { before + change } else { before };
            Bar {
                ts: START_MS + i as i64 * INTERVAL_MS,
                open,
                high,
                low,
                close: price,
                volume: 200.0 + 600.0 * random.share() + 1e5 * (high - low) / open,
                open_interest: Some(before),
                open_interest_close: Some(open_interest),
            }
        });
        bars.collect()
    }
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// Makes the rows of a file: the table's columns without the keys, which are in the names of folders.
fn rows(table: &Table, columns: Vec<ArrayRef>) -> RecordBatch {
    let schema = table.schema();
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|&column| !matches!(schema.field(column).name().as_str(), "exchange" | "symbol"))
        .collect();
    RecordBatch::try_new(Arc::new(schema.project(&kept).unwrap()), columns).unwrap()
}

/// Puts the keys beside the rows of a file, as a table in memory has them.
pub(crate) fn with_keys(table: &Table, rows: &RecordBatch) -> RecordBatch {
    let key = |value: &'static str| texts(std::iter::repeat_n(value, rows.num_rows()));
    let columns = table.columns.iter().map(|column| match column.name {
        "exchange" => key("binance"),
        "symbol" => key("BTCUSDT"),
        name => Arc::clone(rows.column_by_name(name).unwrap()),
    });
    RecordBatch::try_new(table.schema(), columns.collect()).unwrap()
}

/// Returns bars as rows of `candles`.
pub(crate) fn candles(bars: &[Bar]) -> RecordBatch {
    let column = |value: fn(&Bar) -> f64| numbers(bars.iter().map(value));
    let columns = vec![
        times(bars.iter().map(|bar| bar.ts)),
        column(|bar| bar.open),
        column(|bar| bar.high),
        column(|bar| bar.low),
        column(|bar| bar.close),
        column(|bar| bar.volume),
        column(|bar| bar.volume * 0.5),
    ];
    rows(&CANDLES, columns)
}

/// Returns what bars say of open interest as rows of `open_interest`.
pub(crate) fn open_interest(bars: &[Bar]) -> RecordBatch {
    let values = bars.iter().filter_map(|bar| bar.open_interest);
    rows(&OPEN_INTEREST, vec![times(bars.iter().map(|bar| bar.ts)), numbers(values)])
}

/// Returns bars as rows of `bars`, without funding.
pub(crate) fn bars(bars: &[Bar]) -> RecordBatch {
    let candles = candles(bars);
    let at_close = numbers(bars.iter().filter_map(|bar| bar.open_interest_close));
    let mut columns = candles.columns().to_vec();
    columns.extend([Arc::clone(open_interest(bars).column(1)), at_close]);
    columns.push(arrow::array::new_null_array(&arrow::datatypes::DataType::Float64, bars.len()));
    rows(&BARS, columns)
}

/// Trades of one market, about ten a second.
pub(crate) struct Trades {
    random: Random,
    ts: i64,
    price: f64,
    left: usize,
}

impl Trades {
    pub(crate) fn new(count: usize) -> Trades {
        Trades { random: Random(4), ts: START_MS, price: PRICE, left: count }
    }

    /// Returns the rows of the next day, `None` after the last.
    pub(crate) fn day(&mut self) -> Option<RecordBatch> {
        const DAY_MS: i64 = 86_400_000;
        let day = self.ts.div_euclid(DAY_MS);
        let (mut ts, mut price, mut size, mut side) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while self.left > 0 && self.ts.div_euclid(DAY_MS) == day {
            self.left -= 1;
            // Three of four trades are at the price of the one before.
            if self.random.share() < 0.25 {
                self.price = Walk::USUAL.next(&mut self.random, self.price, 0.000_05);
            }
            ts.push(self.ts);
            price.push(self.price);
            // Most are small: the cube of a share, in thousandths.
            size.push((self.random.share().powi(3) * 5000.0).ceil() / 1000.0 + 0.001);
            side.push(if self.random.share() < 0.5 { "buy" } else { "sell" });
            self.ts += (self.random.share() * 200.0) as i64;
        }
        let columns =
            vec![times(ts.into_iter()), numbers(price.into_iter()), numbers(size.into_iter()), texts(side.into_iter())];
        (!columns[0].is_empty()).then(|| rows(&TRADES, columns))
    }
}

/// Returns four leverages of equal weight, without jitter.
pub(crate) fn four_tiers() -> Parameters {
    Parameters { tiers: vec![10.0, 25.0, 50.0, 100.0], weights: vec![1.0; 4], jitter: 0.0, ..Parameters::default() }
}

/// Drives an empty book through bars.
pub(crate) fn replay(parameters: &Parameters, bars: &[Bar]) -> Replay<Book> {
    let mut replay = Replay::new(parameters, INTERVAL_MS, Vec::new(), Book::new(parameters));
    for bar in bars {
        replay.begin(bar);
        replay.end(bar);
    }
    replay
}

/// Cuts rows into batches of the size that the engine makes.
pub(crate) fn batches(rows: &RecordBatch) -> Vec<RecordBatch> {
    const SIZE: usize = 8192;
    (0..rows.num_rows()).step_by(SIZE).map(|at| rows.slice(at, SIZE.min(rows.num_rows() - at))).collect()
}

/// Makes a table of rows in memory, and declares the order that market tables have.
pub(crate) fn in_memory(batches: Vec<RecordBatch>) -> Arc<MemTable> {
    let order = ["exchange", "symbol", "ts"].map(|name| col(name).sort(true, false)).to_vec();
    Arc::new(MemTable::try_new(batches[0].schema(), vec![batches]).unwrap().with_sort_order(vec![order]))
}

/// Returns one snapshot of real positions: as many accounts, entries within a tenth of the price, 2x to 50x.
pub(crate) fn positions(count: usize) -> RecordBatch {
    let mut random = Random(5);
    let (mut sides, mut sizes, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let (mut leverages, mut liquidations, mut notionals) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let side = if random.share() < 0.5 { Side::Long } else { Side::Short };
        let entry = (PRICE * (0.9 + 0.2 * random.share()) * TICKS_PER_UNIT).round() / TICKS_PER_UNIT;
        let leverage = [2.0, 3.0, 5.0, 10.0, 20.0, 25.0, 40.0, 50.0][(random.share() * 8.0) as usize];
        let size = random.share().powi(3) * 10.0 + 0.001;
        sides.push(side.name());
        sizes.push(size);
        entries.push(entry);
        leverages.push(leverage);
        liquidations.push(liquidation_price_at_leverage(side, entry, leverage, MAINTENANCE_MARGIN_RATE));
        notionals.push(size * PRICE);
    }
    let accounts = StringArray::from_iter_values((0..count).map(|i| format!("0x{i:040x}")));
    let columns = vec![
        times(std::iter::repeat_n(START_MS, count)),
        arrow::compute::cast(&accounts, &arrow::datatypes::DataType::Utf8View).unwrap(),
        texts(sides.into_iter()),
        numbers(sizes.into_iter()),
        numbers(entries.into_iter()),
        numbers(leverages.into_iter()),
        Arc::new(Float64Array::from(liquidations)),
        numbers(notionals.into_iter()),
    ];
    rows(&POSITIONS, columns)
}

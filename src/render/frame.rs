//! Rows of query results to a frame: what a picture shows, on its axes, before any size or colour is chosen.
//!
//! ```text
//! ts     price_low price_high side  notional_usd          price ▲
//! 00:00  97,000    97,100     long  1.2e6                       │ . █ █ .     dense grid, USD,
//! 01:00  97,000    97,100     long  1.2e6           ──►         │ █ █ . ×     × = no frame at this ts
//! 03:00  98,000    98,100     short 4.0e5                       └───────► ts
//! ```
//!
//! The sides of a cell are summed, as traders know the picture: price itself separates long from short. So are several
//! exchanges and leverages at one instant and price. A bucket wider than the smallest one is spread over the rows it
//! covers in proportion, so that the sum over a column is what the rows say.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};

use super::{RenderError, axis, columns};

/// Cells a dense grid may have: 400 MB.
pub(super) const MOST_CELLS: u64 = 50_000_000;

/// Larger numbers are mistakes in the rows, and would not fit beside an axis either.
pub(super) const LARGEST_PRICE: f64 = 1e15;
const LARGEST_USD: f64 = 1e24;
/// Some 31,000 years from the epoch, in milliseconds.
const LATEST_MS: u64 = 1_000_000_000_000_000;

const HEATMAP_COLUMNS: [&str; 5] = ["ts", "price_low", "price_high", "side", "notional_usd"];
const MAP_COLUMNS: [&str; 5] = ["price_low", "price_high", "side", "notional_usd", "cumulative_usd"];
const CANDLE_COLUMNS: [&str; 5] = ["ts", "open", "high", "low", "close"];

/// What a picture shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Time × price.
    Heatmap(Heatmap),
    /// Price at one instant, with cumulative amounts.
    Map(Map),
}

/// Notional by time and price.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Those summed, sorted; empty if the rows do not say.
    pub exchanges: Vec<String>,
    /// The one symbol, if the rows say.
    pub symbol: Option<String>,
    /// Columns of the grid.
    pub time: TimeAxis,
    /// Rows of the grid.
    pub price: PriceAxis,
    /// USD, column by column: the cell of `column` and `row` is at `column * price.count + row`, row 0 is the lowest.
    pub cells: Vec<f64>,
    /// Per column: whether any row has this `ts`. The others are gaps in the data, not empty books.
    pub is_present: Vec<bool>,
    /// Per column: the current price, the mean over exchanges. It is the close of the last bar before `ts`.
    pub current: Vec<Option<f64>>,
    /// Per column: the candle of the bars that open within the column. Empty if no result has candles.
    pub candles: Vec<Option<Candle>>,
    /// The largest cell.
    pub max_usd: f64,
    /// Long and short notional that stands in the last column.
    pub last_usd: (f64, f64),
    /// Rows left out because their notional, `ts` or a price was null.
    pub ignored_rows: usize,
}

impl Heatmap {
    /// What is shown: `binance BTCUSDT liquidation heatmap`.
    pub fn subject(&self) -> String {
        subject(&self.exchanges, self.symbol.as_deref(), "liquidation heatmap")
    }

    /// From the first to the last column: `2026-02-10 00:00 … 2026-03-16 23:00 UTC`.
    pub fn range_label(&self) -> String {
        format!("{} UTC", axis::instants(self.time.first_ms, self.time.last_ms()))
    }
}

impl Map {
    /// What is shown: `binance BTCUSDT liquidation map`.
    pub fn subject(&self) -> String {
        subject(&self.exchanges, self.symbol.as_deref(), "liquidation map")
    }
}

fn subject(exchanges: &[String], symbol: Option<&str>, noun: &str) -> String {
    let exchanges = (!exchanges.is_empty()).then(|| exchanges.join("+"));
    let words: Vec<&str> = exchanges.as_deref().into_iter().chain(symbol).chain([noun]).collect();
    words.join(" ")
}

/// Equal steps of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeAxis {
    /// Milliseconds since the epoch, UTC, of the first column.
    pub first_ms: i64,
    /// Milliseconds between two columns.
    pub step_ms: i64,
    /// Columns.
    pub count: usize,
}

impl TimeAxis {
    /// The `ts` of the last column.
    pub fn last_ms(&self) -> i64 {
        self.first_ms.saturating_add(self.step_ms.saturating_mul(self.count.saturating_sub(1) as i64))
    }

    /// The end of the last column.
    pub fn end_ms(&self) -> i64 {
        self.last_ms().saturating_add(self.step_ms)
    }

    fn column(&self, ms: i64) -> Option<usize> {
        let column = usize::try_from((ms.checked_sub(self.first_ms)?).div_euclid(self.step_ms)).ok()?;
        (column < self.count).then_some(column)
    }
}

/// Equal steps of price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceAxis {
    /// Lower edge of row 0.
    pub low: f64,
    /// Height of a row.
    pub step: f64,
    /// Rows.
    pub count: usize,
}

impl PriceAxis {
    /// Upper edge of the last row.
    pub fn high(&self) -> f64 {
        self.low + self.step * self.count as f64
    }
}

/// The prices traded within one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
}

/// Notional by price at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Those summed, sorted; empty if the rows do not say.
    pub exchanges: Vec<String>,
    /// The one symbol, if the rows say.
    pub symbol: Option<String>,
    /// The instant, if the rows say.
    pub at_ms: Option<i64>,
    /// The current price: as stated, or worked out from `distance`, or between the sides.
    pub current: Option<f64>,
    /// By price, lowest first.
    pub rows: Vec<MapRow>,
    /// See [`Heatmap::ignored_rows`].
    pub ignored_rows: usize,
}

/// One price bucket of a [`Map`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapRow {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Positions that are liquidated when price falls to here.
    pub long_usd: f64,
    /// Positions that are liquidated when price rises to here.
    pub short_usd: f64,
    /// All longs from the current price down to and with this bucket, if longs stand here.
    pub cumulative_long_usd: Option<f64>,
    /// All shorts from the current price up to and with this bucket, if shorts stand here.
    pub cumulative_short_usd: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heatmap,
    Map,
}

impl Frame {
    /// Finds the heatmap or map among the results of a script's statements and lays it out.
    ///
    /// Columns are found by name, extra columns are ignored. The last result that has the columns of a heatmap (`ts`,
    /// `price_low`, `price_high`, `side`, `notional_usd`) or of a map (`cumulative_usd` in addition, `ts` optional) is
    /// drawn; `exchange`, `symbol` and `price` are used if present. Candles are the last result that has `ts`, `open`,
    /// `high`, `low` and `close`; those of other symbols are left out.
    ///
    /// # Errors
    ///
    /// [`RenderError`] if there is no such result or it is empty, if a column has an unusable type or value, if there
    /// are several symbols, or if the grid would have more than 50 million cells.
    pub fn try_from_results(results: &[Vec<RecordBatch>]) -> Result<Self, RenderError> {
        let mut chosen = None;
        for result in results {
            let Some(first) = result.first() else {
                continue;
            };
            if missing(first, &MAP_COLUMNS).is_empty() {
                chosen = Some((Kind::Map, result));
            } else if missing(first, &HEATMAP_COLUMNS).is_empty() {
                chosen = Some((Kind::Heatmap, result));
            }
        }
        let Some((kind, result)) = chosen else {
            return Err(nothing_found(results));
        };
        let cells = Cells::read(result, kind)?;
        match kind {
            Kind::Map => cells.into_map().map(Self::Map),
            Kind::Heatmap => {
                let candles = results
                    .iter()
                    .rev()
                    .find(|result| result.first().is_some_and(|batch| missing(batch, &CANDLE_COLUMNS).is_empty()));
                cells.into_heatmap(candles.map_or(&[], Vec::as_slice)).map(Self::Heatmap)
            }
        }
    }
}

fn missing(batch: &RecordBatch, names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().filter(|name| !columns::has(batch, name)).collect()
}

fn nothing_found(results: &[Vec<RecordBatch>]) -> RenderError {
    // The result that comes closest is the one that was meant.
    let closest =
        results.iter().filter_map(|result| result.first()).min_by_key(|batch| missing(batch, &HEATMAP_COLUMNS).len());
    match closest {
        Some(batch) => RenderError::MissingColumns {
            missing: missing(batch, &HEATMAP_COLUMNS),
            found: batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
        },
        None => RenderError::Empty { reason: "the results have no rows".to_string() },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Long,
    Short,
}

/// A row of the result.
#[derive(Debug, Clone, Copy)]
struct Cell {
    ts: Option<i64>,
    low: f64,
    high: f64,
    side: Side,
    usd: f64,
    price: Option<f64>,
    cumulative_usd: Option<f64>,
    distance: Option<f64>,
}

/// The rows of the result, checked.
#[derive(Debug)]
struct Cells {
    rows: Vec<Cell>,
    exchanges: BTreeSet<String>,
    symbols: BTreeSet<String>,
    ignored_rows: usize,
}

impl Cells {
    fn read(batches: &[RecordBatch], kind: Kind) -> Result<Self, RenderError> {
        let total = batches.iter().map(RecordBatch::num_rows).sum();
        let mut cells = Self {
            rows: Vec::with_capacity(total),
            exchanges: BTreeSet::new(),
            symbols: BTreeSet::new(),
            ignored_rows: 0,
        };
        for batch in batches {
            cells.read_batch(batch, kind)?;
        }
        cells.check(total)?;
        Ok(cells)
    }

    fn read_batch(&mut self, batch: &RecordBatch, kind: Kind) -> Result<(), RenderError> {
        let ts =
            if kind == Kind::Heatmap || columns::has(batch, "ts") { Some(columns::time(batch, "ts")?) } else { None };
        let low = columns::number(batch, "price_low")?;
        let high = columns::number(batch, "price_high")?;
        let side = columns::text(batch, "side")?;
        let usd = columns::number(batch, "notional_usd")?;
        let price = columns::optional_number(batch, "price")?;
        let cumulative = columns::optional_number(batch, "cumulative_usd")?;
        let distance = columns::optional_number(batch, "distance")?;
        let exchange = columns::optional_text(batch, "exchange")?;
        let symbol = columns::optional_text(batch, "symbol")?;

        for row in 0..batch.num_rows() {
            let ts_value = ts.as_ref().filter(|ts| ts.is_valid(row)).map(|ts| ts.value(row));
            let is_incomplete = ts.is_some() && ts_value.is_none()
                || usd.is_null(row)
                || low.is_null(row)
                || high.is_null(row)
                || side.is_null(row);
            if is_incomplete {
                self.ignored_rows += 1;
                continue;
            }
            let cell = Cell {
                ts: ts_value,
                low: bounded(&low, row, "price_low", 0.0, LARGEST_PRICE)?,
                high: bounded(&high, row, "price_high", 0.0, LARGEST_PRICE)?,
                side: side_at(&side, row)?,
                usd: bounded(&usd, row, "notional_usd", 0.0, LARGEST_USD)?,
                price: columns::value(price.as_ref(), row).filter(is_price),
                cumulative_usd: columns::value(cumulative.as_ref(), row)
                    .filter(|usd| (0.0..=LARGEST_USD).contains(usd)),
                distance: columns::value(distance.as_ref(), row),
            };
            if let Some(ts) = ts_value.filter(|ts| ts.unsigned_abs() > LATEST_MS) {
                return Err(RenderError::ColumnValue {
                    column: "ts".to_string(),
                    allowed: "instants within 31,000 years of 1970".to_string(),
                    was: format!("{ts} ms"),
                });
            }
            if cell.high <= cell.low {
                return Err(RenderError::ColumnValue {
                    column: "price_high".to_string(),
                    allowed: format!("a price above 'price_low' ({})", cell.low),
                    was: cell.high.to_string(),
                });
            }
            insert_name(&mut self.exchanges, columns::text_value(exchange.as_ref(), row));
            insert_name(&mut self.symbols, columns::text_value(symbol.as_ref(), row));
            self.rows.push(cell);
        }
        Ok(())
    }

    fn check(&self, total: usize) -> Result<(), RenderError> {
        if total == 0 {
            return Err(RenderError::Empty { reason: "the result has no rows".to_string() });
        }
        if self.rows.is_empty() {
            let reason = format!("'notional_usd', 'side', 'ts' or a price is null in all {total} rows");
            return Err(RenderError::Empty { reason });
        }
        if self.symbols.len() > 1 {
            return Err(RenderError::SeveralSymbols { symbols: self.symbols.iter().cloned().collect() });
        }
        if self.rows.iter().all(|row| row.usd == 0.0) {
            let reason = format!("'notional_usd' is zero in all {} rows", self.rows.len());
            return Err(RenderError::Empty { reason });
        }
        Ok(())
    }

    fn into_heatmap(self, candles: &[RecordBatch]) -> Result<Heatmap, RenderError> {
        let instants: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.ts).collect();
        let (time_step, columns) = time_steps(&instants);
        let (low, price_step, rows) = price_steps(&self.rows);
        if columns.checked_mul(rows).is_none_or(|cells| cells > MOST_CELLS) {
            return Err(RenderError::TooManyCells { columns, time_step: axis::duration(time_step), rows, price_step });
        }
        let time =
            TimeAxis { first_ms: instants.first().copied().unwrap_or(0), step_ms: time_step, count: columns as usize };
        let price = PriceAxis { low, step: price_step, count: rows as usize };

        let mut cells = vec![0.0; time.count * price.count];
        let mut is_present = vec![false; time.count];
        let mut last_usd = (0.0, 0.0);
        // Each exchange repeats its price on every row of a frame: the mean is over distinct prices.
        let mut prices: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for row in &self.rows {
            let Some(column) = row.ts.and_then(|ts| time.column(ts)) else {
                continue;
            };
            is_present[column] = true;
            spread(&mut cells[column * price.count..(column + 1) * price.count], price, row);
            if column + 1 == time.count {
                match row.side {
                    Side::Long => last_usd.0 += row.usd,
                    Side::Short => last_usd.1 += row.usd,
                }
            }
            if let Some(price) = row.price {
                prices.entry(column).or_default().insert(price.to_bits());
            }
        }
        let mut current = vec![None; time.count];
        for (column, prices) in prices {
            let sum: f64 = prices.iter().map(|&bits| f64::from_bits(bits)).sum();
            current[column] = Some(sum / prices.len() as f64);
        }

        let symbol = self.symbols.into_iter().next();
        let candles = read_candles(candles, symbol.as_deref(), time)?;
        if !candles.is_empty() {
            for (current, candle) in current.iter_mut().zip(&candles) {
                *current = current.or(candle.map(|candle| candle.close));
            }
        }
        let max_usd = cells.iter().copied().fold(0.0, f64::max);
        Ok(Heatmap {
            exchanges: self.exchanges.into_iter().collect(),
            symbol,
            time,
            price,
            cells,
            is_present,
            current,
            candles,
            max_usd,
            last_usd,
            ignored_rows: self.ignored_rows,
        })
    }

    fn into_map(mut self) -> Result<Map, RenderError> {
        let instants: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.ts).collect();
        if let (Some(&first), Some(&last)) = (instants.first(), instants.last())
            && instants.len() > 1
        {
            return Err(RenderError::SeveralInstants {
                count: instants.len(),
                first: axis::instant(first),
                last: axis::instant(last),
            });
        }
        // Sorted so that sums do not depend on the order in which the rows came.
        self.rows.sort_by(|a, b| {
            a.low
                .total_cmp(&b.low)
                .then(a.high.total_cmp(&b.high))
                .then(a.side.cmp(&b.side))
                .then(a.usd.total_cmp(&b.usd))
        });
        let is_summed = self
            .rows
            .windows(2)
            .any(|pair| (pair[0].low, pair[0].high, pair[0].side) == (pair[1].low, pair[1].high, pair[1].side));
        let current = current_price(&self.rows);

        let mut rows: Vec<MapRow> = Vec::new();
        for cell in &self.rows {
            if rows.last().is_none_or(|row| (row.low, row.high) != (cell.low, cell.high)) {
                rows.push(MapRow {
                    low: cell.low,
                    high: cell.high,
                    long_usd: 0.0,
                    short_usd: 0.0,
                    cumulative_long_usd: None,
                    cumulative_short_usd: None,
                });
            }
            let Some(row) = rows.last_mut() else { continue };
            match cell.side {
                Side::Long => {
                    row.long_usd += cell.usd;
                    row.cumulative_long_usd = cell.cumulative_usd;
                }
                Side::Short => {
                    row.short_usd += cell.usd;
                    row.cumulative_short_usd = cell.cumulative_usd;
                }
            }
        }
        if is_summed {
            // The stated sums are each of one exchange or leverage.
            accumulate(&mut rows);
        }
        Ok(Map {
            exchanges: self.exchanges.into_iter().collect(),
            symbol: self.symbols.into_iter().next(),
            at_ms: instants.first().copied(),
            current,
            rows,
            ignored_rows: self.ignored_rows,
        })
    }
}

fn accumulate(rows: &mut [MapRow]) {
    let mut sum = 0.0;
    for row in rows.iter_mut().rev().filter(|row| row.long_usd > 0.0) {
        sum += row.long_usd;
        row.cumulative_long_usd = Some(sum);
    }
    sum = 0.0;
    for row in rows.iter_mut().filter(|row| row.short_usd > 0.0) {
        sum += row.short_usd;
        row.cumulative_short_usd = Some(sum);
    }
}

/// The mean of the stated prices, else the price from which the distances are measured, else the middle of the sides.
fn current_price(rows: &[Cell]) -> Option<f64> {
    let stated: BTreeSet<u64> = rows.iter().filter_map(|row| row.price).map(f64::to_bits).collect();
    if !stated.is_empty() {
        return Some(stated.iter().map(|&bits| f64::from_bits(bits)).sum::<f64>() / stated.len() as f64);
    }
    let nearest = rows
        .iter()
        .filter_map(|row| row.distance.filter(|distance| *distance > -1.0).map(|distance| (distance, row)))
        .min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    if let Some((distance, row)) = nearest {
        return Some((row.low + row.high) / 2.0 / (1.0 + distance)).filter(is_price);
    }
    let longs = rows.iter().filter(|row| row.side == Side::Long).map(|row| row.high).reduce(f64::max);
    let shorts = rows.iter().filter(|row| row.side == Side::Short).map(|row| row.low).reduce(f64::min);
    match (longs, shorts) {
        (Some(below), Some(above)) => Some((below + above) / 2.0),
        (one, other) => one.or(other),
    }
}

/// The smallest difference of two instants, and the columns needed to place them all.
fn time_steps(instants: &BTreeSet<i64>) -> (i64, u64) {
    let (Some(&first), Some(&last)) = (instants.first(), instants.last()) else {
        return (1, 0);
    };
    let step = instants
        .iter()
        .zip(instants.iter().skip(1))
        .map(|(earlier, later)| later.saturating_sub(*earlier))
        .min()
        // One frame alone says nothing about its step; an hour is what a heatmap has by default.
        .unwrap_or(3_600_000)
        .max(1);
    (step, (last.abs_diff(first) / step.unsigned_abs()).saturating_add(1))
}

/// The lowest price, the smallest bucket and the number of rows that cover all buckets.
fn price_steps(rows: &[Cell]) -> (f64, f64, u64) {
    let low = rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    let step = rows.iter().map(|row| row.high - row.low).fold(f64::INFINITY, f64::min);
    let count = (high - low) / step;
    // Edges are computed prices: they are a whole number of steps apart only up to rounding.
    if (count - count.round()).abs() < SNAP {
        (low, (high - low) / count.round(), count.round() as u64)
    } else {
        (low, step, count.ceil() as u64)
    }
}

/// Parts of a row by which an edge may miss the grid and still be meant to lie on it.
const SNAP: f64 = 1e-3;

/// Adds a bucket to the rows of the grid that it covers, in proportion.
fn spread(column: &mut [f64], axis: PriceAxis, cell: &Cell) {
    let snapped = |price: f64| {
        let edge = (price - axis.low) / axis.step;
        if (edge - edge.round()).abs() < SNAP { edge.round() } else { edge }
    };
    let (from, to) = (snapped(cell.low), snapped(cell.high));
    let first = from.floor().max(0.0) as usize;
    let end = to.ceil() as usize;
    let width = to - from;
    for (row, sum) in column.iter_mut().enumerate().take(end).skip(first) {
        let covered = to.min(row as f64 + 1.0) - from.max(row as f64);
        *sum += if width > 0.0 { cell.usd * (covered / width) } else { cell.usd };
    }
}

fn read_candles(
    batches: &[RecordBatch],
    symbol: Option<&str>,
    time: TimeAxis,
) -> Result<Vec<Option<Candle>>, RenderError> {
    /// The candles of several exchanges at one instant.
    struct Sum {
        open: f64,
        close: f64,
        high: f64,
        low: f64,
        count: f64,
    }
    let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
    let mut symbols = BTreeSet::new();
    for batch in batches {
        let ts: TimestampMillisecondArray = columns::time(batch, "ts")?;
        let open = columns::number(batch, "open")?;
        let high = columns::number(batch, "high")?;
        let low = columns::number(batch, "low")?;
        let close = columns::number(batch, "close")?;
        let names: Option<StringArray> = columns::optional_text(batch, "symbol")?;
        for row in 0..batch.num_rows() {
            let name = columns::text_value(names.as_ref(), row);
            let is_other_symbol = matches!((symbol, name), (Some(symbol), Some(name)) if symbol != name);
            let is_incomplete =
                [&open, &high, &low, &close].iter().any(|column| column.is_null(row) || !is_price(&column.value(row)));
            if is_other_symbol || is_incomplete || ts.is_null(row) || time.column(ts.value(row)).is_none() {
                continue;
            }
            insert_name(&mut symbols, name);
            let sum = sums.entry(ts.value(row)).or_insert(Sum {
                open: 0.0,
                close: 0.0,
                high: f64::NEG_INFINITY,
                low: f64::INFINITY,
                count: 0.0,
            });
            sum.open += open.value(row);
            sum.close += close.value(row);
            sum.high = sum.high.max(high.value(row));
            sum.low = sum.low.min(low.value(row));
            sum.count += 1.0;
        }
    }
    if symbols.len() > 1 {
        return Err(RenderError::SeveralSymbols { symbols: symbols.into_iter().collect() });
    }
    if sums.is_empty() {
        return Ok(Vec::new());
    }
    let mut candles: Vec<Option<Candle>> = vec![None; time.count];
    for (ts, sum) in sums {
        let Some(candle) = time.column(ts).and_then(|column| candles.get_mut(column)) else {
            continue;
        };
        let candle = candle.get_or_insert(Candle {
            open: sum.open / sum.count,
            high: sum.high,
            low: sum.low,
            close: sum.close / sum.count,
        });
        candle.high = candle.high.max(sum.high);
        candle.low = candle.low.min(sum.low);
        candle.close = sum.close / sum.count;
    }
    Ok(candles)
}

fn is_price(price: &f64) -> bool {
    (0.0..=LARGEST_PRICE).contains(price)
}

fn bounded(column: &Float64Array, row: usize, name: &str, least: f64, most: f64) -> Result<f64, RenderError> {
    let value = column.value(row);
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(RenderError::ColumnValue {
        column: name.to_string(),
        allowed: format!("numbers from {least} to {most:e}"),
        was: value.to_string(),
    })
}

fn side_at(column: &StringArray, row: usize) -> Result<Side, RenderError> {
    match column.value(row) {
        "long" => Ok(Side::Long),
        "short" => Ok(Side::Short),
        other => Err(RenderError::ColumnValue {
            column: "side".to_string(),
            allowed: "'long' or 'short'".to_string(),
            was: format!("'{other}'"),
        }),
    }
}

fn insert_name(names: &mut BTreeSet<String>, name: Option<&str>) {
    // Millions of rows repeat a handful of names: allocate only for new ones.
    if let Some(name) = name
        && !names.contains(name)
    {
        names.insert(name.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(ts: i64, low: f64, high: f64, side: Side, usd: f64) -> Cell {
        Cell { ts: Some(ts), low, high, side, usd, price: None, cumulative_usd: None, distance: None }
    }

    fn cells(rows: Vec<Cell>) -> Cells {
        Cells { rows, exchanges: BTreeSet::new(), symbols: BTreeSet::new(), ignored_rows: 0 }
    }

    #[test]
    fn missing_instants_are_gaps() {
        let heatmap = cells(vec![
            cell(0, 100.0, 101.0, Side::Long, 1.0),
            cell(10, 100.0, 101.0, Side::Long, 2.0),
            cell(30, 102.0, 103.0, Side::Short, 3.0),
        ])
        .into_heatmap(&[])
        .unwrap();
        assert_eq!(heatmap.time, TimeAxis { first_ms: 0, step_ms: 10, count: 4 });
        assert_eq!(heatmap.price, PriceAxis { low: 100.0, step: 1.0, count: 3 });
        assert_eq!(heatmap.is_present, [true, true, false, true]);
        assert_eq!(heatmap.cells, [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!(heatmap.last_usd, (0.0, 3.0));
    }

    #[test]
    fn a_wide_bucket_is_spread_and_its_sum_is_kept() {
        let heatmap = cells(vec![cell(0, 100.0, 101.0, Side::Long, 1.0), cell(0, 100.5, 102.5, Side::Long, 8.0)])
            .into_heatmap(&[])
            .unwrap();
        assert_eq!(heatmap.cells, [3.0, 4.0, 2.0]);
    }

    #[test]
    fn buckets_of_a_tenth_of_a_cent_land_in_their_row() {
        let rows = (0..1_000)
            .map(|k| cell(0, f64::from(k) * 1e-3, f64::from(k + 1) * 1e-3, Side::Long, f64::from(k)))
            .collect();
        let heatmap = cells(rows).into_heatmap(&[]).unwrap();
        assert_eq!(heatmap.price.count, 1_000);
        assert!(heatmap.cells.iter().enumerate().all(|(k, &usd)| usd == k as f64));
    }

    #[test]
    fn several_exchanges_of_a_map_are_accumulated_anew() {
        let map = cells(vec![
            cell(0, 98.0, 99.0, Side::Long, 1.0),
            cell(0, 99.0, 100.0, Side::Long, 2.0),
            cell(0, 99.0, 100.0, Side::Long, 4.0),
            cell(0, 101.0, 102.0, Side::Short, 8.0),
        ])
        .into_map()
        .unwrap();
        assert_eq!(
            map.rows.iter().map(|row| row.cumulative_long_usd).collect::<Vec<_>>(),
            [Some(7.0), Some(6.0), None]
        );
        assert_eq!(map.rows[2].cumulative_short_usd, Some(8.0));
        assert_eq!(map.current, Some(100.5));
    }

    #[test]
    fn a_grid_that_does_not_fit_is_refused() {
        let error = cells(vec![
            cell(0, 100.0, 101.0, Side::Long, 1.0),
            cell(1, 100.0, 101.0, Side::Long, 1.0),
            cell(3_600_000_000, 100.0, 101.0, Side::Long, 1.0),
        ])
        .into_heatmap(&[])
        .unwrap_err();
        assert!(error.to_string().contains("3600000001 time buckets of 1 ms"), "{error}");
    }
}

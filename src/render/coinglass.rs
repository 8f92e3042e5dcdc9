//! Heatmaps and maps as CoinGlass's API (v4) answers them, for programs that draw such answers.
//!
//! ```text
//! heatmap  {"code":"0","msg":"success","data":{"y_axis":[price…],"liquidation_leverage_data":[[x,y,USD]…],
//!           "price_candlesticks":[[seconds,"open","high","low","close","USD"]…],"update_time":milliseconds}}
//! map      {"code":"0","msg":"success","data":{"data":{"price":[[price,USD,leverage,null]…]…},"last_price":price,
//!           "update_time":milliseconds}}
//! ```
//!
//! In: the results of a script, of which the last heatmap or map is written, and candles where another statement has some.
//! Out: one answer. Rows are found and checked as for a picture, and what no picture can show is refused here, too. Reading
//! an answer (`liqsql ingest coinglass`) gives back the cells that were written:
//!
//! - A level of `y_axis`, or of a map, is the centre of its cell. `y_axis` has every level from the lowest to the highest.
//! - Column `x` is the state at the close of candle `x`, so candle `x` holds the bars of the step BEFORE the column's `ts`,
//!   and closes at the price of the column, from which sides are read. Steps without rows are no columns.
//! - A side has no place in an answer: the longs and shorts of the one cell in which the price lies become one amount.
//! - Where no statement has candles (`ts`, `open`, `high`, `low`, `close`), or none of a step, a candle is the price of its
//!   column, with no volume. Volumes are those of the bars at their closes.
//! - Several exchanges are summed. Leverage has a place in maps alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};

use super::frame::{Candle, Frame, Heatmap, Map, PriceAxis};
use super::rows::columns;
use super::{RenderError, Rows, Selection, axis};

const BOOK_COLUMNS: [&str; 4] = ["price_low", "price_high", "side", "notional_usd"];
const CANDLE_COLUMNS: [&str; 5] = ["ts", "open", "high", "low", "close"];

/// Parts of a cell's height by which a level may differ from its centre: what is shorter to write is no other level.
const TIDY: f64 = 1e-6;

/// Writes the last heatmap or map of a script's results as CoinGlass's API answers one, ended by a line break.
///
/// # Errors
///
/// As [`Frame::try_from_results`], and [`RenderError::ColumnValue`] if neither the rows nor candles tell the price of a
/// column.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
/// use liqsql::render::{Rows, to_coinglass};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let noon = 1_769_860_800_000;
/// let heatmap = RecordBatch::try_from_iter([
///     ("ts", Arc::new(TimestampMillisecondArray::from(vec![noon, noon])) as ArrayRef),
///     ("price_low", Arc::new(Float64Array::from(vec![90.0, 110.0]))),
///     ("price_high", Arc::new(Float64Array::from(vec![100.0, 120.0]))),
///     ("side", Arc::new(StringArray::from(vec!["long", "short"]))),
///     ("notional_usd", Arc::new(Float64Array::from(vec![1.0e6, 2.5]))),
///     ("price", Arc::new(Float64Array::from(vec![105.5, 105.5]))),
/// ])?;
/// assert_eq!(
///     to_coinglass(&[Rows::from(vec![heatmap])])?,
///     "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"y_axis\":[95,105,115],\
///      \"liquidation_leverage_data\":[[0,0,1000000],[0,2,2.5]],\
///      \"price_candlesticks\":[[1769857200,\"105.5\",\"105.5\",\"105.5\",\"105.5\",\"0\"]],\
///      \"update_time\":1769860800000}}\n"
/// );
/// # Ok(())
/// # }
/// ```
pub fn to_coinglass(results: &[Rows]) -> Result<String, RenderError> {
    let book = book_of(results)?;
    match Frame::try_from_results(std::slice::from_ref(book), &Selection::default())? {
        Frame::Heatmap(heatmap) => Ok(heatmap_answer(&heatmap, &columns_of(&heatmap, book, results)?)),
        Frame::Map(map) => map_answer(&map, book),
        Frame::Chart(_) => Err(no_book()),
    }
}

fn has(result: &Rows, names: &[&str]) -> bool {
    result.batches.first().is_some_and(|batch| names.iter().all(|name| columns::has(batch, name)))
}

/// The last heatmap or map, or else the last pools.
fn book_of(results: &[Rows]) -> Result<&Rows, RenderError> {
    let books = || results.iter().rev().filter(|result| has(result, &BOOK_COLUMNS));
    if let Some(book) = books().find(|book| !has(book, &["pool_id"])).or_else(|| books().next()) {
        return Ok(book);
    }
    Err(match results.iter().all(|result| result.batches.is_empty()) {
        true => RenderError::Empty { reason: "the results have no rows".to_owned() },
        false => no_book(),
    })
}

fn no_book() -> RenderError {
    let reason = format!("no result is a heatmap or a map, which have the columns {}", BOOK_COLUMNS.join(", "));
    RenderError::Empty { reason }
}

/// A column of a heatmap that has rows.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Where it is on the time axis.
    position: usize,
    /// Its instant.
    ts: i64,
    /// The step before it.
    candle: Candle,
    volume_usd: f64,
}

fn columns_of(heatmap: &Heatmap, book: &Rows, results: &[Rows]) -> Result<Vec<Column>, RenderError> {
    // Instants need not lie on the axis, which has equal steps.
    let mut instants: BTreeMap<usize, i64> = BTreeMap::new();
    for batch in &book.batches {
        for ts in columns::time(batch, "ts")?.iter().flatten() {
            if let Some(position) = heatmap.time.column(ts).filter(|position| is_present(heatmap, *position)) {
                let latest = instants.entry(position).or_insert(ts);
                *latest = ts.max(*latest);
            }
        }
    }
    let candles: Vec<&Rows> =
        results.iter().filter(|result| has(result, &CANDLE_COLUMNS) && !has(result, &BOOK_COLUMNS)).collect();
    let before = match candles.last() {
        Some(candles) => Before::of(heatmap, &instants, candles)?,
        None => Before::default(),
    };
    instants
        .into_iter()
        .map(|(position, ts)| {
            let candle = before.candles.get(position).copied().flatten();
            let price = heatmap.current.get(position).copied().flatten().or(candle.map(|candle| candle.close));
            let price = price.ok_or_else(|| RenderError::ColumnValue {
                column: "price".to_owned(),
                allowed: "the price at every 'ts', or another statement the candles before".to_owned(),
                was: format!("null at {}", axis::instant(ts)),
            })?;
            let Candle { open, high, low, .. } =
                candle.unwrap_or(Candle { open: price, high: price, low: price, close: price });
            let candle = Candle { open, high: high.max(price), low: low.min(price), close: price };
            let volume_usd = before.volumes.get(position).copied().unwrap_or_default();
            Ok(Column { position, ts, candle, volume_usd })
        })
        .collect()
}

fn is_present(heatmap: &Heatmap, position: usize) -> bool {
    heatmap.is_present.get(position).copied().unwrap_or_default()
}

/// The bars of the steps before the columns, each by the position of its column; empty if there are none.
#[derive(Debug, Default)]
struct Before {
    candles: Vec<Option<Candle>>,
    volumes: Vec<f64>,
}

impl Before {
    fn of(heatmap: &Heatmap, instants: &BTreeMap<usize, i64>, candles: &Rows) -> Result<Before, RenderError> {
        // A picture draws over each column the bars that open within it: those of one step before are drawn over columns
        // that are one step earlier.
        let earlier = one_step_earlier(heatmap, instants)?;
        match Frame::try_from_results(&[candles.clone(), earlier], &Selection::default())? {
            Frame::Heatmap(earlier) if !earlier.candles.is_empty() => {
                Ok(Before { volumes: volumes(&earlier, candles)?, candles: earlier.candles })
            }
            _ => Ok(Before::default()),
        }
    }
}

/// Columns of the same markets, one step earlier, in which next to nothing stands.
fn one_step_earlier(heatmap: &Heatmap, instants: &BTreeMap<usize, i64>) -> Result<Rows, RenderError> {
    let owners = heatmap.exchanges.len().max(1);
    let mut ts = Vec::with_capacity(instants.len() * owners);
    for position in instants.keys() {
        let steps = i64::try_from(*position).unwrap_or(i64::MAX).saturating_sub(1);
        let at = heatmap.time.first_ms.saturating_add(heatmap.time.step_ms.saturating_mul(steps));
        ts.extend(std::iter::repeat_n(at, owners));
    }
    let count = ts.len();
    let names = |names: &mut dyn Iterator<Item = &str>| -> ArrayRef {
        Arc::new(names.take(count).map(Some).collect::<StringArray>())
    };
    let numbers = |number: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![number; count])) };
    let mut found: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(TimestampMillisecondArray::from(ts))),
        ("price_low", numbers(1.0)),
        ("price_high", numbers(2.0)),
        ("notional_usd", numbers(1.0)),
        ("side", names(&mut std::iter::repeat("long"))),
    ];
    if let Some(symbol) = &heatmap.symbol {
        found.push(("symbol", names(&mut std::iter::repeat(symbol.as_str()))));
    }
    if !heatmap.exchanges.is_empty() {
        found.push(("exchange", names(&mut heatmap.exchanges.iter().map(String::as_str).cycle())));
    }
    Ok(Rows::from(vec![RecordBatch::try_from_iter(found)?]))
}

/// What was traded within each column, in USD: the sum of volume × close over the bars whose candles are drawn there.
fn volumes(heatmap: &Heatmap, candles: &Rows) -> Result<Vec<f64>, RenderError> {
    let mut found = vec![0.0; heatmap.time.count];
    let symbol = heatmap.symbol.as_deref();
    for batch in &candles.batches {
        let Some(volume) = columns::optional_number(batch, "volume")? else { continue };
        let (ts, close) = (columns::time(batch, "ts")?, columns::number(batch, "close")?);
        let symbols = columns::optional_text(batch, "symbol")?;
        let exchanges = columns::optional_text(batch, "exchange")?;
        for row in (0..batch.num_rows()).filter(|row| ts.is_valid(*row)) {
            let is_other = columns::text_value(symbols.as_ref(), row)
                .is_some_and(|name| symbol.is_some_and(|symbol| symbol != name));
            let is_elsewhere = columns::text_value(exchanges.as_ref(), row).is_some_and(|name| {
                !heatmap.exchanges.is_empty() && !heatmap.exchanges.iter().any(|exchange| exchange == name)
            });
            let usd = columns::value(Some(&volume), row).zip(columns::value(Some(&close), row));
            let usd = usd.map(|(volume, close)| volume * close).filter(|usd| usd.is_finite() && *usd > 0.0);
            let sum = heatmap.time.column(ts.value(row)).and_then(|position| found.get_mut(position));
            if let (Some(sum), Some(usd), false) = (sum, usd, is_other || is_elsewhere) {
                *sum += usd;
            }
        }
    }
    Ok(found)
}

/// Writes to a text, which cannot fail.
macro_rules! write_to {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out, $($text)*);
    }};
}

/// Writes values with commas between.
fn list<T>(out: &mut String, values: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, value);
    }
}

fn heatmap_answer(heatmap: &Heatmap, columns: &[Column]) -> String {
    let mut out = String::from("{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"y_axis\":[");
    list(&mut out, levels(heatmap.price), |out, level| write_to!(out, "{level}"));
    out.push_str("],\"liquidation_leverage_data\":[");
    let cells = columns.iter().enumerate().flat_map(|(x, column)| {
        let from = column.position * heatmap.price.count;
        let cells = heatmap.cells.get(from..from + heatmap.price.count).unwrap_or_default();
        cells.iter().enumerate().filter(|(_, usd)| **usd > 0.0).map(move |(y, usd)| (x, y, usd))
    });
    list(&mut out, cells, |out, (x, y, usd)| write_to!(out, "[{x},{y},{usd}]"));
    out.push_str("],\"price_candlesticks\":[");
    list(&mut out, columns, |out, Column { ts, candle, volume_usd, .. }| {
        let Candle { open, high, low, close } = candle;
        let opens = seconds(ts.saturating_sub(heatmap.time.step_ms));
        write_to!(out, "[{opens},\"{open}\",\"{high}\",\"{low}\",\"{close}\",\"{volume_usd}\"]");
    });
    out.push(']');
    if let Some(last) = columns.last() {
        write_to!(out, ",\"update_time\":{}", last.ts);
    }
    out.push_str("}}\n");
    out
}

/// The centres of the cells of an axis. One level would not tell how high its cell is, so an empty one stands above it.
fn levels(axis: PriceAxis) -> impl Iterator<Item = f64> {
    (0..axis.count.max(2)).map(move |row| tidy(axis.low + (row as f64 + 0.5) * axis.step, axis.step))
}

/// The price with the fewest decimals that is no other level.
fn tidy(price: f64, height: f64) -> f64 {
    let rounded = |decimals: i32| {
        let scale = 10.0_f64.powi(decimals);
        (price * scale).round() / scale
    };
    (0..=15).map(rounded).find(|rounded| (rounded - price).abs() <= height * TIDY).unwrap_or(price)
}

/// Seconds of milliseconds, with a fraction where there is one.
fn seconds(ms: i64) -> String {
    if ms % 1_000 == 0 { (ms / 1_000).to_string() } else { (ms as f64 / 1e3).to_string() }
}

fn map_answer(map: &Map, book: &Rows) -> Result<String, RenderError> {
    let levels = map_levels(book)?;
    let mut out = String::from("{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"data\":{");
    list(&mut out, levels, |out, (level, by_leverage)| {
        let level = f64::from_bits(level);
        write_to!(out, "\"{level}\":[");
        list(out, by_leverage, |out, (leverage, usd)| match leverage.map(f64::from_bits) {
            Some(leverage) => write_to!(out, "[{level},{usd},{leverage},null]"),
            None => write_to!(out, "[{level},{usd},null,null]"),
        });
        out.push(']');
    });
    out.push('}');
    if let Some(price) = map.current {
        write_to!(out, ",\"last_price\":{price}");
    }
    if let Some(at) = map.at_ms {
        write_to!(out, ",\"update_time\":{at}");
    }
    out.push_str("}}\n");
    Ok(out)
}

/// USD by leverage. The bits of positive numbers are ordered as they are; none comes first.
type ByLeverage = BTreeMap<Option<u64>, f64>;

/// By the bits of its price what stands at a level of rows that a map was made of.
fn map_levels(book: &Rows) -> Result<BTreeMap<u64, ByLeverage>, RenderError> {
    let mut levels: BTreeMap<u64, ByLeverage> = BTreeMap::new();
    let mut height = f64::INFINITY;
    for batch in &book.batches {
        let (low, high) = (columns::number(batch, "price_low")?, columns::number(batch, "price_high")?);
        let (usd, side) = (columns::number(batch, "notional_usd")?, columns::text(batch, "side")?);
        let leverage = columns::optional_number(batch, "leverage")?;
        for row in 0..batch.num_rows() {
            if low.is_null(row) || high.is_null(row) || usd.is_null(row) || side.is_null(row) {
                continue;
            }
            let (low, high, usd) = (low.value(row), high.value(row), usd.value(row));
            height = height.min(high - low);
            let level = levels.entry(tidy(f64::midpoint(low, high), high - low).to_bits()).or_default();
            if usd > 0.0 {
                let leverage = columns::value(leverage.as_ref(), row).filter(|leverage| *leverage > 0.0);
                *level.entry(leverage.map(f64::to_bits)).or_default() += usd;
            }
        }
    }
    // The smallest distance of two levels tells how high their cells are: an empty one says so where no two are neighbours.
    let found: BTreeSet<u64> = levels.keys().copied().collect();
    let distances = found.iter().zip(found.iter().skip(1)).map(|(a, b)| f64::from_bits(*b) - f64::from_bits(*a));
    if let Some(last) = found.last().map(|level| f64::from_bits(*level))
        && distances.fold(f64::INFINITY, f64::min) > height * (1.0 + 2.0 * TIDY)
    {
        levels.entry(tidy(last + height, height).to_bits()).or_default();
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31 12:00 UTC.
    const NOON: i64 = 1_769_860_800_000;
    const HOUR: i64 = 3_600_000;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> Rows {
        Rows::from(vec![
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap(),
        ])
    }

    fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(values))
    }

    fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
        Arc::new(values.collect::<Float64Array>())
    }

    fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }

    /// Hours after noon, price, lower edge of a cell of 10, side, USD.
    type Cell = (i64, Option<f64>, f64, &'static str, f64);

    fn heatmap_of(rows: &[Cell], exchange: &'static str) -> Rows {
        rows_of(rows, exchange, "BTCUSDT")
    }

    fn rows_of(rows: &[Cell], exchange: &'static str, symbol: &'static str) -> Rows {
        batch(vec![
            ("ts", times(rows.iter().map(|row| NOON + row.0 * HOUR))),
            ("exchange", texts(rows.iter().map(|_| exchange))),
            ("symbol", texts(rows.iter().map(|_| symbol))),
            ("price", numbers(rows.iter().map(|row| row.1))),
            ("side", texts(rows.iter().map(|row| row.3))),
            ("price_low", numbers(rows.iter().map(|row| Some(row.2)))),
            ("price_high", numbers(rows.iter().map(|row| Some(row.2 + 10.0)))),
            ("notional_usd", numbers(rows.iter().map(|row| Some(row.4)))),
        ])
    }

    fn heatmap() -> Rows {
        heatmap_of(
            &[
                (0, Some(105.0), 90.0, "long", 1.5),
                (0, Some(105.0), 110.0, "short", 1e7),
                (1, Some(106.0), 120.0, "short", 2.0),
                // Two hours later nothing is known.
                (3, Some(121.25), 90.0, "long", 0.1 + 0.2),
                (3, Some(121.25), 120.0, "short", 3.0),
            ],
            "binance",
        )
    }

    /// Minutes after noon, prices, and volume.
    fn candles_of(rows: &[(i64, [f64; 4], f64)], exchange: &'static str, symbol: &'static str) -> Rows {
        let price = |at: usize| numbers(rows.iter().map(|row| Some(row.1[at])));
        batch(vec![
            ("ts", times(rows.iter().map(|row| NOON + row.0 * 60_000))),
            ("exchange", texts(rows.iter().map(|_| exchange))),
            ("symbol", texts(rows.iter().map(|_| symbol))),
            ("open", price(0)),
            ("high", price(1)),
            ("low", price(2)),
            ("close", price(3)),
            ("volume", numbers(rows.iter().map(|row| Some(row.2)))),
        ])
    }

    fn candlesticks(text: &str) -> &str {
        let from = text.find("\"price_candlesticks\":").unwrap() + "\"price_candlesticks\":".len();
        &text[from..text.find(",\"update_time\"").unwrap()]
    }

    fn error(results: &[Rows]) -> String {
        to_coinglass(results).unwrap_err().to_string()
    }

    #[test]
    fn a_heatmap_has_every_level_and_a_candle_before_each_column() {
        assert_eq!(
            to_coinglass(&[heatmap()]).unwrap(),
            "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"y_axis\":[95,105,115,125],\"liquidation_leverage_data\":\
             [[0,0,1.5],[0,2,10000000],[1,3,2],[2,0,0.30000000000000004],[2,3,3]],\"price_candlesticks\":\
             [[1769857200,\"105\",\"105\",\"105\",\"105\",\"0\"],[1769860800,\"106\",\"106\",\"106\",\"106\",\"0\"],\
             [1769868000,\"121.25\",\"121.25\",\"121.25\",\"121.25\",\"0\"]],\"update_time\":1769871600000}}\n"
        );
    }

    #[test]
    fn candles_are_the_bars_of_the_step_before() {
        let candles = candles_of(
            &[
                (-90, [1.0, 2.0, 0.5, 1.0], 9.0),
                (-60, [100.0, 104.0, 99.0, 103.0], 2.0),
                (-30, [103.0, 109.0, 102.0, 105.0], 4.0),
                (0, [105.0, 105.5, 105.0, 105.5], 1.0),
                (120, [120.0, 121.0, 119.0, 120.0], 0.0),
                (180, [7.0, 8.0, 6.0, 7.0], 9.0),
            ],
            "binance",
            "BTCUSDT",
        );
        // 2 × 103 + 4 × 105 USD. The close of the second column is its price, though no bar reached it.
        let expected = "[[1769857200,\"100\",\"109\",\"99\",\"105\",\"626\"],\
             [1769860800,\"105\",\"106\",\"105\",\"106\",\"105.5\"],\
             [1769868000,\"120\",\"121.25\",\"119\",\"121.25\",\"0\"]]";
        // In whatever order the statements stand, and of the last of several.
        for results in
            [[candles.clone(), heatmap()], [heatmap(), candles.clone()], [heatmap_of(&[], "binance"), heatmap()]]
        {
            let text = to_coinglass(&results).unwrap();
            assert_eq!(candlesticks(&text) == expected, results.iter().any(|result| has(result, &CANDLE_COLUMNS)));
        }
        let others = candles_of(&[(-60, [1.0; 4], 9.0)], "okx", "BTCUSDT");
        let without = to_coinglass(&[heatmap()]).unwrap();
        assert_eq!(to_coinglass(&[heatmap(), others]).unwrap(), without);
        assert_eq!(
            to_coinglass(&[heatmap(), candles_of(&[(-60, [1.0; 4], 9.0)], "binance", "ETHUSDT")]).unwrap(),
            without
        );
    }

    #[test]
    fn where_rows_state_no_price_it_is_the_close_before() {
        let unpriced = heatmap_of(&[(0, None, 90.0, "long", 1.0)], "binance");
        let candles = candles_of(
            &[(-60, [100.0, 104.0, 99.0, 103.0], 2.0), (0, [1.0, 2.0, 0.5, 1.5], 2.0)],
            "binance",
            "BTCUSDT",
        );
        let text = to_coinglass(&[unpriced.clone(), candles]).unwrap();
        assert_eq!(candlesticks(&text), "[[1769857200,\"100\",\"104\",\"99\",\"103\",\"206\"]]");
        assert_eq!(
            error(&[unpriced]),
            "render: column 'price' must hold the price at every 'ts', or another statement the candles before, was null at \
             2026-01-31 12:00"
        );
    }

    #[test]
    fn exchanges_are_summed_and_both_sides_of_a_cell_are_one_amount() {
        let mut both =
            heatmap_of(&[(0, Some(104.0), 100.0, "long", 1.0), (0, Some(104.0), 100.0, "short", 2.0)], "binance");
        both.batches.extend(heatmap_of(&[(0, Some(106.0), 100.0, "long", 4.0)], "okx").batches);
        let mut candles = candles_of(&[(-60, [100.0, 104.0, 99.0, 103.0], 1.0)], "binance", "BTCUSDT");
        candles.batches.extend(candles_of(&[(-60, [102.0, 108.0, 101.0, 105.0], 1.0)], "okx", "BTCUSDT").batches);
        assert_eq!(
            to_coinglass(&[both, candles]).unwrap(),
            "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"y_axis\":[105,115],\"liquidation_leverage_data\":[[0,0,7]],\
             \"price_candlesticks\":[[1769857200,\"101\",\"108\",\"99\",\"105\",\"208\"]],\"update_time\":1769860800000}}\n"
        );
    }

    #[test]
    fn levels_are_written_with_the_decimals_that_tell_them_apart() {
        let axis = PriceAxis { low: 0.1 + 0.2, step: 0.1, count: 3 };
        assert_eq!(levels(axis).collect::<Vec<_>>(), [0.35, 0.45, 0.55]);
        let real = PriceAxis { low: 74_574.505, step: 60.49, count: 2 };
        assert_eq!(levels(real).collect::<Vec<_>>(), [74_604.75, 74_665.24]);
        assert_eq!(tidy(1.0 / 3.0, 1e-12), 0.333_333_333_333_333_3);
        assert_eq!(
            (seconds(1_500), seconds(-2_000), seconds(1_769_857_200_000)),
            ("1.5".into(), "-2".into(), "1769857200".into())
        );
    }

    fn map_of(rows: &[(f64, Option<f64>, &'static str, f64)]) -> Rows {
        batch(vec![
            ("ts", times(rows.iter().map(|_| NOON))),
            ("symbol", texts(rows.iter().map(|_| "BTCUSDT"))),
            ("price", numbers(rows.iter().map(|_| Some(104.5)))),
            ("side", texts(rows.iter().map(|row| row.2))),
            ("leverage", numbers(rows.iter().map(|row| row.1))),
            ("price_low", numbers(rows.iter().map(|row| Some(row.0)))),
            ("price_high", numbers(rows.iter().map(|row| Some(row.0 + 10.0)))),
            ("notional_usd", numbers(rows.iter().map(|row| Some(row.3)))),
            ("cumulative_usd", numbers(rows.iter().map(|row| Some(row.3)))),
        ])
    }

    #[test]
    fn a_map_has_levels_by_leverage() {
        let rows =
            [(110.0, Some(50.0), "short", 7.0), (90.0, Some(25.0), "long", 2.5), (90.0, Some(100.0), "long", 4.0)];
        let expected = "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"data\":{\"95\":[[95,2.5,25,null],[95,4,100,null]],\
             \"115\":[[115,7,50,null]],\"125\":[]},\"last_price\":104.5,\"update_time\":1769860800000}}\n";
        assert_eq!(to_coinglass(&[map_of(&rows)]).unwrap(), expected);
        // Neighbours tell the height; a heatmap of another statement is not the last one.
        let rows = [(90.0, None, "long", 1.0), (100.0, None, "long", 1.0), (100.0, None, "short", 2.0)];
        assert_eq!(
            to_coinglass(&[heatmap(), map_of(&rows)]).unwrap(),
            "{\"code\":\"0\",\"msg\":\"success\",\"data\":{\"data\":{\"95\":[[95,1,null,null]],\"105\":[[105,3,null,null]]},\
             \"last_price\":104.5,\"update_time\":1769860800000}}\n"
        );
    }

    #[test]
    fn what_is_no_picture_is_no_answer() {
        let (mut two, eth) = (heatmap(), candles_of(&[], "binance", "BTCUSDT"));
        let series = batch(vec![("ts", times([NOON].into_iter())), ("funding", numbers([Some(1.0)].into_iter()))]);
        assert_eq!(error(&[]), "render: nothing to draw: the results have no rows");
        assert_eq!(
            error(std::slice::from_ref(&series)),
            "render: nothing to draw: no result is a heatmap or a map, which have the columns price_low, price_high, side, \
             notional_usd"
        );
        assert_eq!(error(&[series, heatmap_of(&[], "binance")]), "render: nothing to draw: the result has no rows");
        two.batches.extend(heatmap().batches);
        assert!(
            error(&[two, eth])
                .starts_with("render: several rows are the longs between 90 and 100 at 2026-01-31 12:00;")
        );
        let twice = candles_of(&[(-60, [1.0; 4], 1.0), (-60, [1.0; 4], 1.0)], "binance", "BTCUSDT");
        assert!(error(&[heatmap(), twice]).starts_with("render: several rows are the candle of 2026-01-31 11:00;"));
        let mut several = heatmap();
        several.batches.extend(rows_of(&[(0, None, 90.0, "long", 1.0)], "binance", "ETHUSDT").batches);
        assert!(error(&[several]).starts_with("render: a picture shows one symbol, found 2: BTCUSDT, ETHUSDT;"));
    }
}

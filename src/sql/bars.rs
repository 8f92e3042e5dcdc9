//! Rows of `bars` or `candles` as the model takes them, each checked.
//!
//! A bar with a NULL, NaN, infinite or non-positive price, with high below low, with a negative volume or open interest,
//! or out of order is a defect of the data, and what the model would make of it is worse than an error. So it is one,
//! which names the key, the instant, the column and the value, unless the query says `on_bad_rows => 'skip'`.
//!
//! Hardly any batch has a defect, so what a row must be is first asked of a whole batch, column by column. Where it holds
//! of all rows, a row is read by its position and no more; where it does not, each row is checked and named.

use std::fmt;
use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Float64Type, TimestampMillisecondType};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::physical_plan::metrics::Count;

use super::exec::time_text;
use super::keys::Key;
use crate::market::tables::MODEL_BARS;
use crate::market::{Column, Layout};
use crate::model::bar::Bar;
use crate::model::side::Side;

/// Prices outside are taken for defects: no market trades there, and the price axis would need gigabytes.
const PRICES: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// Instants outside are taken for defects: with these no sum of an instant and a length of time overflows.
const INSTANTS: std::ops::RangeInclusive<i64> = -6_311_520_000_000_000..=6_311_520_000_000_000;

/// What is done with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRows {
    /// The query fails with an error that names the row.
    Error,
    /// The row is left out and counted.
    Skip,
}

impl BadRows {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["error", "skip"];

    /// Reads a name of [`BadRows::NAMES`].
    pub fn from_name(name: &str) -> BadRows {
        if name == "skip" { BadRows::Skip } else { BadRows::Error }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Why a row cannot be used. Boxed, because rows are read into results and hardly any has a defect.
#[derive(Debug)]
pub struct Defect(Box<Parts>);

#[derive(Debug)]
struct Parts {
    column: &'static str,
    must: String,
    was: String,
    exchange: String,
    symbol: String,
    ts: Option<i64>,
}

impl Defect {
    /// Makes a defect of what a key has at an instant.
    pub fn of(key: &Key, ts: i64, column: &'static str, must: impl Into<String>, was: impl Into<String>) -> Defect {
        Defect(Box::new(Parts {
            column,
            must: must.into(),
            was: was.into(),
            exchange: key.exchange.clone(),
            symbol: key.symbol.clone(),
            ts: Some(ts),
        }))
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { column, must, was, exchange, symbol, ts } = self.0.as_ref();
        let ts = ts.map_or_else(|| "NULL".to_owned(), time_text);
        write!(f, "'{column}' must {must}, was {was} at ({exchange}, {symbol}, {ts})")
    }
}

/// Counts or raises defects.
#[derive(Debug, Clone)]
pub struct Judge {
    function: &'static str,
    bad_rows: BadRows,
    skipped: Count,
}

impl Judge {
    /// Makes a judge for a function; `skipped` counts the rows left out.
    pub fn new(function: &'static str, bad_rows: BadRows, skipped: Count) -> Judge {
        Judge { function, bad_rows, skipped }
    }

    /// Returns the function for which it judges.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Leaves a row out, or makes the error.
    pub fn judge(&self, defect: &Defect) -> Result<()> {
        match self.bad_rows {
            BadRows::Skip => {
                self.skipped.add(1);
                Ok(())
            }
            BadRows::Error => Err(self.error(defect)),
        }
    }

    fn error(&self, defect: &Defect) -> DataFusionError {
        exec_datafusion_err!("{}: {defect}; on_bad_rows => 'skip' leaves such rows out", self.function)
    }

    /// Checks that a row comes after the last one of its key, and not within half a bar of it.
    pub fn check_order(
        &self,
        exchange: &str,
        symbol: &str,
        ts: i64,
        last: Option<i64>,
        interval: Option<i64>,
    ) -> Result<bool> {
        let Some(last) = last else { return Ok(true) };
        let spacing = ts - last;
        let must = if ts == last {
            "not occur twice for a key".to_owned()
        } else if spacing < 0 {
            format!("not go backwards (it follows {})", time_text(last))
        } else if let Some(interval) = interval.filter(|interval| spacing * 2 < *interval) {
            format!("not be closer than half a bar of {} ms to the one before ({})", interval, time_text(last))
        } else {
            return Ok(true);
        };
        let key = Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() };
        self.judge(&Defect::of(&key, ts, "ts", must, time_text(ts))).map(|()| false)
    }
}

/// An ASCII word of at most 12 letters, recognised in either case by the view of a text alone.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// View of the word in lower case: its length in four bytes, then its letters.
    view: u128,
    /// The bit of each letter that tells lower case from upper case.
    case: u128,
}

impl Word {
    /// Makes a word; `text` must be letters in lower case.
    ///
    /// # Panics
    ///
    /// When compiled, for a text that is longer than a view holds, or not of such letters.
    pub const fn new(text: &str) -> Word {
        let letters = text.as_bytes();
        assert!(letters.len() <= 12, "Invariant: a word fits into a view");
        let (mut view, mut case) = (letters.len() as u128, 0);
        let mut place = 0;
        while place < letters.len() {
            assert!(letters[place].is_ascii_lowercase(), "Invariant: a word is of letters in lower case");
            view |= (letters[place] as u128) << (32 + 8 * place);
            case |= 0x20 << (32 + 8 * place);
            place += 1;
        }
        Word { view, case }
    }

    /// Whether the view of a text is that of the word, in either case.
    #[inline]
    pub const fn is(self, view: u128) -> bool {
        // No other byte than the two forms of a letter becomes its lower case by this bit.
        view | self.case == self.view
    }
}

const LONG: Word = Word::new("long");
const SHORT: Word = Word::new("short");

#[inline]
fn is_price(value: f64) -> bool {
    // Not NaN: no comparison holds of it.
    (value >= *PRICES.start()) & (value <= *PRICES.end())
}

#[inline]
fn is_quantity(value: f64) -> bool {
    (0.0..f64::INFINITY).contains(&value)
}

/// Returns the least and the greatest of numbers, `None` if one is NaN.
fn limits(values: &[f64]) -> Option<(f64, f64)> {
    // Eight at a time and without a branch, which is compiled to vectors.
    let (mut least, mut greatest, mut nan) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8], [0_u64; 8]);
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (place, value) in eight.iter().enumerate() {
            least[place] = if *value < least[place] { *value } else { least[place] };
            greatest[place] = if *value > greatest[place] { *value } else { greatest[place] };
            nan[place] |= u64::from(value.is_nan());
        }
    }
    let least = least.iter().chain(rest).fold(f64::INFINITY, |least, value| least.min(*value));
    let greatest = greatest.iter().chain(rest).fold(f64::NEG_INFINITY, |greatest, value| greatest.max(*value));
    let any_nan = nan.iter().any(|nan| *nan > 0) || rest.iter().any(|value| value.is_nan());
    (!any_nan).then_some((least, greatest))
}

/// A column of numbers, and what holds of all of them.
#[derive(Debug)]
struct Numbers {
    array: Float64Array,
    /// No row is NULL.
    are_known: bool,
    /// Every row has a price; none is NULL.
    are_prices: bool,
    /// Every row that is not NULL has a quantity.
    are_quantities: bool,
}

impl Numbers {
    fn new(array: &Float64Array) -> Numbers {
        let nulls = array.null_count();
        if nulls == array.len() {
            let none = nulls == 0;
            return Numbers { array: array.clone(), are_known: none, are_prices: none, are_quantities: true };
        }
        // What stands where a row is NULL may be anything. If it is no quantity, rows are checked one by one.
        let limits = limits(array.values());
        let both = |is: fn(f64) -> bool| limits.is_some_and(|(least, greatest)| is(least) && is(greatest));
        Numbers {
            array: array.clone(),
            are_known: nulls == 0,
            are_prices: nulls == 0 && both(is_price),
            are_quantities: both(is_quantity),
        }
    }
}

/// The columns of one batch, in the market's types.
#[derive(Debug)]
pub struct Rows {
    columns: &'static [Column],
    arrays: Vec<ArrayRef>,
    /// By position; `None` for columns of other types.
    numbers: Vec<Option<Numbers>>,
    ts: TimestampMillisecondArray,
    exchange: StringViewArray,
    symbol: StringViewArray,
    /// Every row has a symbol and a usable instant.
    has_instants: bool,
    /// All rows have the same exchange and symbol.
    is_one_key: bool,
    /// For each row, where the rows of its key end; found once asked for.
    key_ends: OnceLock<Vec<usize>>,
    /// Open, high, low, close and volume, where every row is a candle that can be used.
    candles: Option<[ScalarBuffer<f64>; 5]>,
    rows: usize,
}

impl Rows {
    /// Converts a batch; `columns` begin with ts, exchange, symbol.
    ///
    /// # Errors
    ///
    /// A value does not fit its type.
    pub fn try_new(function: &str, columns: &'static [Column], layout: &Layout, batch: &RecordBatch) -> Result<Rows> {
        let arrays = layout
            .normalise(batch)
            .map_err(|error| exec_datafusion_err!("{function}: a column cannot be read: {error}"))?;
        let position = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or(0);
        let ts = arrays[position("ts")].as_primitive::<TimestampMillisecondType>().clone();
        let exchange = arrays[position("exchange")].as_string_view().clone();
        let symbol = arrays[position("symbol")].as_string_view().clone();
        let (first, last) = (*INSTANTS.start(), *INSTANTS.end());
        let has_instants = ts.null_count() == 0
            && symbol.null_count() == 0
            && ts.values().iter().fold(true, |all, ts| all & (*ts >= first) & (*ts <= last));
        let is_one_key = [&exchange, &symbol].iter().all(|names| {
            let views = names.views();
            // Each is compared with the next: comparing two slices of integers is comparing their bytes.
            names.null_count() == 0 && views.get(1..).is_none_or(|others| *others == views[..others.len()])
        });
        let numbers = arrays.iter().map(|array| match array.data_type() {
            DataType::Float64 => Some(Numbers::new(array.as_primitive::<Float64Type>())),
            _ => None,
        });
        let numbers: Vec<Option<Numbers>> = numbers.collect();
        let mut rows = Rows {
            columns,
            numbers,
            ts,
            exchange,
            symbol,
            has_instants,
            is_one_key,
            key_ends: OnceLock::new(),
            candles: None,
            arrays,
            rows: batch.num_rows(),
        };
        rows.candles = rows.find_candles();
        Ok(rows)
    }

    fn find_candles(&self) -> Option<[ScalarBuffer<f64>; 5]> {
        let names = self.columns.get(3..8)?.iter().map(|column| column.name);
        if !names.eq(["open", "high", "low", "close", "volume"]) {
            return None;
        }
        self.instants()?;
        let (high, low) = (self.prices(4)?, self.prices(5)?);
        let usable = self.prices(3).is_some() && self.prices(6).is_some() && self.quantities(7).is_some();
        let usable = usable && high.iter().zip(low).fold(true, |all, (high, low)| all & (high >= low));
        usable.then(|| [3, 4, 5, 6, 7].map(|position| self.numbers(position).values().clone()))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the exchange of a row; empty where it is NULL, which [`Rows::instant`] refuses.
    pub fn exchange(&self, row: usize) -> &str {
        if self.exchange.is_null(row) { "" } else { self.exchange.value(row) }
    }

    /// Returns the symbol of a row; empty where it is NULL, which [`Rows::instant`] refuses.
    pub fn symbol(&self, row: usize) -> &str {
        if self.symbol.is_null(row) { "" } else { self.symbol.value(row) }
    }

    /// Returns the row after those from a row on that have its exchange and its symbol.
    ///
    /// The row there may have the same key all the same, because that texts are equal is seen of their views alone. A row
    /// whose key has a NULL stands alone.
    pub fn key_end(&self, row: usize) -> usize {
        if self.is_one_key { self.rows } else { self.key_ends.get_or_init(|| self.find_key_ends())[row] }
    }

    fn find_key_ends(&self) -> Vec<usize> {
        let (exchanges, symbols) = (self.exchange.views(), self.symbol.views());
        let is_known = |row: usize| self.exchange.is_valid(row) && self.symbol.is_valid(row);
        let mut ends = vec![self.rows; self.rows];
        for row in (1..self.rows).rev() {
            let same = symbols[row] == symbols[row - 1] && exchanges[row] == exchanges[row - 1];
            ends[row - 1] = if same && is_known(row) && is_known(row - 1) { ends[row] } else { row };
        }
        ends
    }

    /// Returns the instants of all rows if each has a key and one that can be used: what [`Rows::instant`] returns.
    pub fn instants(&self) -> Option<&[i64]> {
        (self.has_instants && self.exchange.null_count() == 0).then(|| self.ts.values().as_ref())
    }

    /// Returns a column if every row of it has a price: what [`Rows::price`] returns.
    pub fn prices(&self, position: usize) -> Option<&[f64]> {
        let numbers = self.numbers[position].as_ref().filter(|numbers| numbers.are_prices)?;
        Some(numbers.array.values().as_ref())
    }

    /// Returns a column if every row of it has a quantity: what [`Rows::quantity`] returns.
    pub fn quantities(&self, position: usize) -> Option<&[f64]> {
        let numbers = self.numbers[position].as_ref().filter(|numbers| numbers.are_known && numbers.are_quantities)?;
        Some(numbers.array.values().as_ref())
    }

    /// Returns a column of numbers by its position in the declaration.
    pub fn numbers(&self, position: usize) -> &Float64Array {
        match &self.numbers[position] {
            Some(numbers) => &numbers.array,
            None => self.arrays[position].as_primitive::<Float64Type>(),
        }
    }

    /// Returns a column by its position in the declaration.
    pub fn array(&self, position: usize) -> &ArrayRef {
        &self.arrays[position]
    }

    /// Returns a column of texts by its position in the declaration.
    pub fn texts(&self, position: usize) -> &StringViewArray {
        self.arrays[position].as_string_view()
    }

    /// Makes a defect of a row.
    pub fn defect(&self, row: usize, column: &'static str, must: impl Into<String>, was: impl Into<String>) -> Defect {
        let text = |array: &StringViewArray| {
            if array.is_null(row) { "NULL".to_owned() } else { array.value(row).to_owned() }
        };
        Defect(Box::new(Parts {
            column,
            must: must.into(),
            was: was.into(),
            exchange: text(&self.exchange),
            symbol: text(&self.symbol),
            ts: self.ts.is_valid(row).then(|| self.ts.value(row)),
        }))
    }

    /// Returns the instant of a row whose time and key are not NULL.
    #[inline]
    pub fn instant(&self, row: usize) -> Result<i64, Defect> {
        if self.exchange.is_null(row) {
            return Err(self.defect(row, "exchange", "not be NULL", "NULL"));
        }
        self.instant_of_symbol(row)
    }

    /// Returns the instant of a row whose time and symbol are not NULL; its exchange may be.
    #[inline]
    pub fn instant_of_symbol(&self, row: usize) -> Result<i64, Defect> {
        if self.has_instants { Ok(self.ts.value(row)) } else { self.checked_instant(row) }
    }

    fn checked_instant(&self, row: usize) -> Result<i64, Defect> {
        if self.symbol.is_null(row) {
            return Err(self.defect(row, "symbol", "not be NULL", "NULL"));
        }
        if self.ts.is_null(row) {
            return Err(self.defect(row, "ts", "not be NULL", "NULL"));
        }
        let ts = self.ts.value(row);
        if !INSTANTS.contains(&ts) {
            return Err(self.defect(row, "ts", "be within 200,000 years of 1970", format!("{ts} ms")));
        }
        Ok(ts)
    }

    /// Returns a number, `None` for NULL.
    #[inline]
    pub fn optional(&self, row: usize, position: usize) -> Option<f64> {
        let numbers = self.numbers(position);
        numbers.is_valid(row).then(|| numbers.value(row))
    }

    /// Returns a price: not NULL, finite, positive.
    #[inline]
    pub fn price(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match &self.numbers[position] {
            Some(numbers) if numbers.are_prices => Ok(numbers.array.value(row)),
            _ => self.checked_price(row, position),
        }
    }

    fn checked_price(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match self.optional(row, position) {
            Some(price) if is_price(price) => Ok(price),
            other => {
                let must = format!("be a price between {:e} and {:e}", PRICES.start(), PRICES.end());
                Err(self.defect(row, self.columns[position].name, must, shown(other)))
            }
        }
    }

    /// Returns a quantity: not NULL, finite, zero or more.
    #[inline]
    pub fn quantity(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match &self.numbers[position] {
            Some(numbers) if numbers.are_known && numbers.are_quantities => Ok(numbers.array.value(row)),
            _ => self.checked_quantity(row, position),
        }
    }

    fn checked_quantity(&self, row: usize, position: usize) -> Result<f64, Defect> {
        match self.optional(row, position) {
            Some(quantity) if is_quantity(quantity) => Ok(quantity),
            other => Err(self.defect(row, self.columns[position].name, "be zero or a positive number", shown(other))),
        }
    }

    /// Returns a side: `long` or `short`.
    #[inline]
    pub fn side(&self, row: usize, position: usize) -> Result<Side, Defect> {
        let sides = self.texts(position);
        let (long, short) = (LONG.is(sides.views()[row]), SHORT.is(sides.views()[row]));
        // Which of the two it is cannot be foreseen, and is no branch.
        if (long | short) && sides.is_valid(row) {
            return Ok(if short { Side::Short } else { Side::Long });
        }
        self.checked_side(row, position)
    }

    fn checked_side(&self, row: usize, position: usize) -> Result<Side, Defect> {
        let sides = self.texts(position);
        let name = sides.is_valid(row).then(|| sides.value(row));
        name.and_then(Side::from_name).ok_or_else(|| {
            let was = name.map_or_else(|| "NULL".to_owned(), |name| format!("'{name}'"));
            self.defect(row, self.columns[position].name, "be 'long' or 'short'", was)
        })
    }

    /// Returns a quantity that may be NULL.
    #[inline]
    pub fn optional_quantity(&self, row: usize, position: usize) -> Result<Option<f64>, Defect> {
        match &self.numbers[position] {
            Some(numbers) if numbers.are_quantities => {
                Ok(numbers.array.is_valid(row).then(|| numbers.array.value(row)))
            }
            _ => match self.optional(row, position) {
                None => Ok(None),
                Some(_) => self.checked_quantity(row, position).map(Some),
            },
        }
    }

    /// Returns a row of `bars` as the model takes it. The rows must have been read with [`MODEL_BARS`].
    pub fn bar(&self, row: usize) -> Result<Bar, Defect> {
        debug_assert!(std::ptr::eq(self.columns, MODEL_BARS), "Invariant: the layout is that of bars");
        let mut bar = self.candle(row)?;
        bar.open_interest = self.optional_quantity(row, 8)?;
        bar.open_interest_close = self.optional_quantity(row, 9)?;
        Ok(bar)
    }

    /// Returns a row of `candles` as a bar without open interest. Both begin with the same columns.
    pub fn candle(&self, row: usize) -> Result<Bar, Defect> {
        match &self.candles {
            Some([open, high, low, close, volume]) => Ok(Bar {
                ts: self.ts.value(row),
                open: open[row],
                high: high[row],
                low: low[row],
                close: close[row],
                volume: volume[row],
                open_interest: None,
                open_interest_close: None,
            }),
            None => self.checked_candle(row),
        }
    }

    fn checked_candle(&self, row: usize) -> Result<Bar, Defect> {
        let bar = Bar {
            ts: self.instant(row)?,
            open: self.price(row, 3)?,
            high: self.price(row, 4)?,
            low: self.price(row, 5)?,
            close: self.price(row, 6)?,
            volume: self.quantity(row, 7)?,
            open_interest: None,
            open_interest_close: None,
        };
        if bar.high < bar.low {
            return Err(self.defect(row, "high", format!("not be below 'low' ({})", bar.low), bar.high.to_string()));
        }
        Ok(bar)
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::market::tables::CANDLES;

    /// Exchange, symbol, and ts, open, high, low, close, volume, each of which may be NULL.
    type Candle<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>, [Option<f64>; 5]);

    fn read(candles: &[Candle<'_>]) -> Rows {
        let number = |place: usize| -> ArrayRef {
            Arc::new(candles.iter().map(|(_, _, _, numbers)| numbers[place]).collect::<Float64Array>())
        };
        let ts: TimestampMillisecondArray = candles.iter().map(|(_, _, ts, _)| *ts).collect();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(ts.with_timezone("UTC")),
            Arc::new(candles.iter().map(|(exchange, ..)| *exchange).collect::<StringViewArray>()),
            Arc::new(candles.iter().map(|(_, symbol, ..)| *symbol).collect::<StringViewArray>()),
            number(0),
            number(1),
            number(2),
            number(3),
            number(4),
        ];
        let names = CANDLES.columns.iter().map(|column| column.name);
        let fields: Vec<Field> =
            names.zip(&arrays).map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let layout = Layout::find(CANDLES.columns, &batch.schema()).unwrap();
        Rows::try_new("f", CANDLES.columns, &layout, &batch).unwrap()
    }

    const USABLE: Candle<'_> =
        (Some("binance"), Some("BTCUSDT"), Some(60_000), [Some(2.0), Some(4.0), Some(1.0), Some(3.0), Some(0.0)]);

    fn shown_candle(rows: &Rows, row: usize) -> String {
        match rows.candle(row) {
            Ok(bar) => format!("{bar:?}"),
            Err(defect) => defect.to_string(),
        }
    }

    #[test]
    fn a_row_is_the_same_whatever_the_others_of_its_batch_are() {
        let (exchange, symbol, ts, numbers) = USABLE;
        let with = |place: usize, value: Option<f64>| {
            let mut numbers = numbers;
            numbers[place] = value;
            (exchange, symbol, ts, numbers)
        };
        let mut candles = vec![
            USABLE,
            (None, symbol, ts, numbers),
            (exchange, None, ts, numbers),
            (exchange, symbol, None, numbers),
            (exchange, symbol, Some(i64::MIN), numbers),
            (exchange, symbol, Some(*INSTANTS.end()), numbers),
            (exchange, symbol, Some(*INSTANTS.end() + 1), numbers),
            with(1, Some(0.5)),
        ];
        for place in 0..5 {
            let values = [0.0, -0.0, -1.0, 1e-12, 1e12, 1.1e12, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
            candles.push(with(place, None));
            candles.extend(values.map(|value| with(place, Some(value))));
        }
        let together = read(&candles);
        let alone = candles.iter().map(|candle| shown_candle(&read(&[*candle]), 0));
        for (row, alone) in alone.enumerate() {
            assert_eq!(shown_candle(&together, row), alone, "{:?}", candles[row]);
            let beside = read(&[USABLE, candles[row], USABLE]);
            assert_eq!(shown_candle(&beside, 1), alone);
            assert_eq!(shown_candle(&beside, 2), shown_candle(&beside, 0));
            // What is said of a whole batch is what is said of its rows.
            for position in 3..8 {
                let one = read(&[candles[row]]);
                assert_eq!(one.prices(position).is_some(), one.price(0, position).is_ok());
                assert_eq!(one.quantities(position).is_some(), one.quantity(0, position).is_ok());
                assert_eq!(one.instants().is_some(), one.instant(0).is_ok());
            }
        }
        let usable = read(&[USABLE; 3]);
        assert!(usable.candles.is_some() && together.candles.is_none());
        assert_eq!(usable.instants(), Some(&[60_000; 3][..]));
        assert_eq!(usable.prices(4), Some(&[4.0; 3][..]));
        assert_eq!(usable.quantities(7), Some(&[0.0; 3][..]));
        assert_eq!(usable.prices(7), None);
        assert_eq!(read(&[]).instants(), Some(&[][..]));
    }

    #[test]
    fn rows_of_a_key_end_where_a_name_changes_or_is_null() {
        let named = |exchange, symbol| (exchange, symbol, USABLE.2, USABLE.3);
        let ends = |names: &[(Option<&'static str>, Option<&'static str>)]| {
            let rows = read(&names.iter().map(|(exchange, symbol)| named(*exchange, *symbol)).collect::<Vec<_>>());
            (0..rows.len()).map(|row| rows.key_end(row)).collect::<Vec<_>>()
        };
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(ends(&[]), [0; 0]);
        assert_eq!(ends(&[(a, b)]), [1]);
        assert_eq!(ends(&[(a, a), (a, a), (a, a)]), [3, 3, 3]);
        assert_eq!(ends(&[(a, a), (a, a), (a, b), (a, b), (b, b)]), [2, 2, 4, 4, 5]);
        assert_eq!(ends(&[(a, a), (None, a), (None, a), (a, None), (a, a), (a, a)]), [1, 2, 3, 4, 6, 6]);
        // Names that do not fit into a view may be told apart by where they stand. They are met again, no more.
        let long = Some("a name of more than twelve letters");
        let ends = ends(&[(long, a), (long, a), (a, a)]);
        assert!(ends == [1, 2, 3] || ends == [2, 2, 3]);
    }

    #[test]
    fn a_word_is_seen_of_its_view_in_either_case_and_no_other_text_is() {
        const BUY: Word = Word::new("buy");
        let texts =
            ["buy", "BUY", "Buy", "bUy", "", "b", "bu", "buys", "sell", "long", "LONG", "Short", "shor", "short "];
        let others = ["a long text that does not fit into a view", "\u{2}uy", "b\u{55}\u{59}", "b\u{95}y"];
        let array: StringViewArray = texts.iter().chain(&others).map(|text| Some(*text)).collect();
        for (row, view) in array.views().iter().enumerate() {
            let text = array.value(row);
            assert_eq!(BUY.is(*view), text.eq_ignore_ascii_case("buy"), "{text}");
            let side = if LONG.is(*view) {
                Some(Side::Long)
            } else if SHORT.is(*view) {
                Some(Side::Short)
            } else {
                None
            };
            assert_eq!(side, Side::from_name(text), "{text}");
        }
    }
}

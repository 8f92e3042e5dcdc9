//! Answers "what about a hundred symbols and years of minutes?": a data root of any size, from the price process alone.
//!
//! The market with traders holds every position and ends in memory; at this size neither time nor memory would do. So
//! nobody trades here:
//!
//! | table | what it is |
//! |---|---|
//! | `candles` | the reference price of each symbol, by steps of 15 seconds, and volume that follows its activity |
//! | `open_interest` | every five minutes, a random process that falls with large moves; no positions stand behind it |
//! | `funding` | every eight hours, a random process that leans with the price of the last day |
//!
//! Trades, liquidations, positions and margin tables are not made, and a map of such a market estimates nothing that is
//! there: it is for tests of size and speed. Whatever the length of a bar, the prices are the same: bars of five minutes
//! are five bars of one minute.
//!
//! Each symbol is made alone, by whichever thread is free, and written a year at a time, so memory holds one year of one
//! symbol per thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use chrono::{DateTime, Datelike};

use super::price::{DAY_SECONDS, ReferencePrices};
use super::random::{Draw, MeanReverting};
use super::{DAY_MS, HOUR_MS, MINUTE_MS, SimulationConfig, SymbolConfig};
use crate::error::{Error, Result};
use crate::ingest::parquet::write_file;
use crate::market::tables::{CANDLES, FUNDING, OPEN_INTEREST, Table};

const EXCHANGE: &str = "binance";
/// Steps of a minute.
const STEPS: i64 = 4;
const OPEN_INTEREST_MS: i64 = 5 * MINUTE_MS;
const FUNDING_HOURS: i64 = 8;
/// Nobody is forced to trade, which makes prices calmer than those of a market with traders; this makes up for it.
const STAND_IN_FOR_TRADERS: f64 = 1.9;
/// Streams of random numbers: of the prices, and of each symbol's description and of what is drawn beside its price.
const PRICE_STREAM: u64 = 3_000;
const SYMBOL_STREAM: u64 = 10_000;
const VOLUME_STREAM: u64 = 20_000;
const OPEN_INTEREST_STREAM: u64 = 30_000;

/// What decides a wide market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WideMarket {
    /// Seed of all random numbers.
    pub seed: u64,
    /// How many symbols, all on one exchange: `BTCUSDT`, `ETHUSDT`, then `SIM003USDT` and so on.
    pub symbols: usize,
    /// Days from 2026-01-01.
    pub days: usize,
    /// Length of a bar: whole minutes that fill a day.
    pub interval_ms: i64,
}

/// What was written of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Name of the table.
    pub table: &'static str,
    /// Rows of all symbols.
    pub rows: usize,
    /// Files of all symbols.
    pub files: usize,
}

impl WideMarket {
    /// Most symbols.
    pub const MOST_SYMBOLS: usize = 999;
    /// Most days: a hundred years.
    pub const MOST_DAYS: usize = 36_525;

    /// Checks that the market can be made.
    ///
    /// # Errors
    ///
    /// A sentence that names the field, its value and what is allowed.
    pub fn validate(&self) -> std::result::Result<(), String> {
        for (name, value, most) in [("symbols", self.symbols, Self::MOST_SYMBOLS), ("days", self.days, Self::MOST_DAYS)]
        {
            if !(1..=most).contains(&value) {
                return Err(format!("'{name}' must be 1 to {most}, was {value}"));
            }
        }
        let fills = self.interval_ms > 0 && self.interval_ms % MINUTE_MS == 0 && DAY_MS % self.interval_ms == 0;
        if !fills {
            return Err(format!(
                "a bar must be whole minutes that fill a day, such as 1m, 5m or 1h, was {} ms",
                self.interval_ms
            ));
        }
        Ok(())
    }

    /// Makes the market and writes it under a data root. Every symbol is made alone; `threads` of them at a time.
    ///
    /// # Errors
    ///
    /// The market is not valid (see [`WideMarket::validate`]), or a file cannot be written.
    pub fn write(&self, root: &Path, threads: usize) -> Result<Vec<Written>> {
        self.validate().map_err(Error::new)?;
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<Written>> {
            let mut written = Vec::new();
            loop {
                let symbol = next.fetch_add(1, Ordering::Relaxed);
                if symbol >= self.symbols {
                    return Ok(written);
                }
                let made = self.write_symbol(root, symbol);
                if made.is_err() {
                    // The others need not begin what will not be finished.
                    next.store(self.symbols, Ordering::Relaxed);
                }
                written.extend(made?);
            }
        };
        let parts: Vec<Result<Vec<Written>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.clamp(1, self.symbols)).map(|_| scope.spawn(work)).collect();
            let ended = threads.into_iter().map(|thread| thread.join());
            ended.map(|ended| ended.unwrap_or_else(|_| Err(Error::new("a thread that makes symbols failed")))).collect()
        });
        let mut totals =
            [&CANDLES, &OPEN_INTEREST, &FUNDING].map(|table| Written { table: table.name, rows: 0, files: 0 });
        for part in parts {
            for written in part? {
                for total in totals.iter_mut().filter(|total| total.table == written.table) {
                    total.rows += written.rows;
                    total.files += written.files;
                }
            }
        }
        Ok(totals.to_vec())
    }

    fn write_symbol(&self, root: &Path, number: usize) -> Result<Vec<Written>> {
        let sample = SimulationConfig::sample(self.seed);
        let symbol = Symbol::describe(&sample, number);
        let mut tape = Tape::start(&sample, symbol, number);
        let mut files = Files { root, symbol: tape.symbol.config.name.clone(), written: Vec::new() };
        let end_ms = sample.start_ms + self.days as i64 * DAY_MS;
        let mut ts_ms = sample.start_ms;
        while ts_ms < end_ms {
            let year = year_of(ts_ms)?;
            let rows = usize::try_from((end_ms - ts_ms).min(366 * DAY_MS) / self.interval_ms).unwrap_or(0);
            let mut candles = Columns::with_capacity(rows);
            let (mut open_interest, mut funding) = (Columns::default(), Columns::default());
            while ts_ms < end_ms && year_of(ts_ms)? == year {
                let day_end_ms = ts_ms + DAY_MS;
                while ts_ms < day_end_ms {
                    let mut bar = Bar::open(tape.log_price);
                    for minute_ms in (ts_ms..ts_ms + self.interval_ms).step_by(MINUTE_MS as usize) {
                        if minute_ms % OPEN_INTEREST_MS == 0 {
                            open_interest.push(minute_ms, [tape.open_interest()]);
                        }
                        if minute_ms % (FUNDING_HOURS * HOUR_MS) == 0 {
                            funding.push(minute_ms, [tape.funding_rate(), FUNDING_HOURS as f64]);
                        }
                        tape.minute(minute_ms, &mut bar);
                    }
                    candles.push(ts_ms, tape.symbol.candle(&bar));
                    ts_ms += self.interval_ms;
                }
            }
            let candle_names = ["open", "high", "low", "close", "volume", "taker_buy_volume"];
            files.write(&CANDLES, year, candles.finish(candle_names)?)?;
            files.write(&OPEN_INTEREST, year, open_interest.finish(["open_interest"])?)?;
            files.write(&FUNDING, year, funding.finish(["funding_rate", "interval_hours"])?)?;
        }
        Ok(files.written)
    }
}

fn year_of(ts_ms: i64) -> Result<i32> {
    DateTime::from_timestamp_millis(ts_ms)
        .map(|time| time.year())
        .ok_or_else(|| Error::new(format!("{ts_ms} ms is no instant of the calendar")))
}

/// A symbol and how much is traded and held of it.
#[derive(Debug)]
struct Symbol {
    config: SymbolConfig,
    /// Ticks of one quote unit, and lots of one base unit.
    ticks: f64,
    lots: f64,
    /// Usual open interest, base units.
    open_interest: f64,
    /// Usual volume of a minute, base units.
    minute_volume: f64,
}

impl Symbol {
    /// The first symbols are those of the sample; the others are drawn, and their prices have five digits.
    fn describe(sample: &SimulationConfig, number: usize) -> Symbol {
        let mut draw = Draw::new(sample.seed, SYMBOL_STREAM + number as u64);
        let known = sample.symbols.get(number).and_then(|config| {
            let of_symbol = sample.markets.iter().filter(|market| market.symbol == config.name);
            Some((config.clone(), of_symbol.map(|market| market.open_interest).next()?))
        });
        let (mut config, open_interest) = known.unwrap_or_else(|| {
            let price = draw.lognormal(4.0, 2.2).clamp(1e-3, 5e3);
            let price_decimals = (4.0 - libm::log10(price).floor()).clamp(0.0, 8.0) as u32;
            let config = SymbolConfig {
                name: format!("SIM{:03}USDT", number + 1),
                start_price: price,
                history_start_price: price,
                price_decimals,
                // A lot is worth about a dime, or is one unit.
                size_decimals: (libm::log10(price).floor() + 1.0).max(0.0) as u32,
                lots_per_order_unit: 1,
                beta: 0.8 + 0.7 * draw.uniform(),
                own_daily_volatility: 0.004 + 0.008 * draw.uniform(),
                depth: 0.042,
            };
            (config, draw.lognormal(1.2e8, 1.0) / price)
        });
        config.own_daily_volatility *= STAND_IN_FOR_TRADERS;
        let ticks = libm::pow(10.0, f64::from(config.price_decimals)).round();
        let lots = libm::pow(10.0, f64::from(config.size_decimals)).round();
        // All that stands changes hands in about a day.
        let minute_volume = open_interest * draw.lognormal(1.2, 0.3) / 1_440.0;
        Symbol { config, ticks, lots, open_interest, minute_volume }
    }

    /// A price on the tick, at least one tick.
    fn price(&self, log_price: f64) -> f64 {
        (libm::exp(log_price) * self.ticks).round().max(1.0) / self.ticks
    }

    fn candle(&self, bar: &Bar) -> [f64; 6] {
        [
            self.price(bar.open),
            self.price(bar.high),
            self.price(bar.low),
            self.price(bar.close),
            bar.volume_lots / self.lots,
            bar.taker_lots / self.lots,
        ]
    }
}

/// A bar that is being made: log prices and whole lots.
#[derive(Debug)]
struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume_lots: f64,
    taker_lots: f64,
}

impl Bar {
    fn open(log_price: f64) -> Bar {
        Bar { open: log_price, high: log_price, low: log_price, close: log_price, volume_lots: 0.0, taker_lots: 0.0 }
    }
}

/// One symbol as time goes on.
#[derive(Debug)]
struct Tape {
    symbol: Symbol,
    prices: ReferencePrices,
    log_price: f64,
    volume: Draw,
    standing: Draw,
    /// How much people want to hold, over days and over hours, in log open interest.
    appetite: MeanReverting,
    restlessness: MeanReverting,
    /// What large moves closed and was not opened again yet, in log open interest.
    wound: f64,
    healing: f64,
    /// Where price was when open interest was last asked for.
    last_log_price: f64,
    premium: MeanReverting,
}

impl Tape {
    fn start(sample: &SimulationConfig, symbol: Symbol, number: usize) -> Tape {
        let step_seconds = 60.0 / STEPS as f64;
        let prices = ReferencePrices::of_many(
            std::slice::from_ref(&symbol.config),
            number as u64,
            sample.daily_volatility * STAND_IN_FOR_TRADERS,
            step_seconds,
            sample.seed,
            PRICE_STREAM,
        );
        let mut standing = Draw::new(sample.seed, OPEN_INTEREST_STREAM + number as u64);
        let seconds = OPEN_INTEREST_MS as f64 / 1_000.0;
        let log_price = libm::log(symbol.config.start_price);
        Tape {
            prices,
            log_price,
            volume: Draw::new(sample.seed, VOLUME_STREAM + number as u64),
            appetite: MeanReverting::new(6.0 * DAY_SECONDS, 0.22, seconds, &mut standing),
            restlessness: MeanReverting::new(10_800.0, 0.02, seconds, &mut standing),
            wound: 0.0,
            healing: libm::exp(-seconds / (2.5 * DAY_SECONDS)),
            last_log_price: log_price,
            premium: MeanReverting::new(DAY_SECONDS, 0.8, FUNDING_HOURS as f64 * 3_600.0, &mut standing),
            standing,
            symbol,
        }
    }

    /// Moves price by a minute, and adds what was traded in it to a bar.
    fn minute(&mut self, ts_ms: i64, bar: &mut Bar) {
        let mut activity = 0.0;
        let mut moved = 0.0;
        for step in 0..STEPS {
            self.prices.advance(ts_ms + step * MINUTE_MS / STEPS, &[], &[]);
            // There is one symbol; the loop only says so to the compiler.
            for symbol in &self.prices.symbols {
                self.log_price = symbol.log_price();
                activity += symbol.activity / STEPS as f64;
                moved += symbol.standard_move;
            }
            bar.high = bar.high.max(self.log_price);
            bar.low = bar.low.min(self.log_price);
        }
        bar.close = self.log_price;
        let volume = self.symbol.minute_volume * activity * self.volume.lognormal(1.0, 0.35);
        let lots = (volume * self.symbol.lots).round();
        let share = (0.5 + 0.04 * moved + 0.06 * self.volume.normal()).clamp(0.02, 0.98);
        bar.volume_lots += lots;
        bar.taker_lots += (lots * share).round();
    }

    /// Open interest at the next instant of its table, base units in whole lots.
    fn open_interest(&mut self) -> f64 {
        self.appetite.advance(self.standing.normal());
        self.restlessness.advance(self.standing.normal());
        let moved = (self.log_price - self.last_log_price).abs();
        self.last_log_price = self.log_price;
        self.wound = (self.wound * self.healing + 1.5 * (moved - 0.006).max(0.0)).min(0.8);
        let standing = libm::exp(self.appetite.value + self.restlessness.value - self.wound);
        (self.symbol.open_interest * standing * self.symbol.lots).round().max(1.0) / self.symbol.lots
    }

    /// The funding rate that is settled next, to the eighth decimal.
    fn funding_rate(&mut self) -> f64 {
        self.premium.advance(self.standing.normal());
        let trend = self.prices.symbols.first().map_or(0.0, |symbol| symbol.momentum() / 0.03);
        let rate = 0.000_07 + 0.000_09 * (self.premium.value + trend / (1.0 + trend.abs()));
        (rate.clamp(-0.003, 0.003) * 1e8).round() / 1e8
    }
}

/// Rows of a table under construction.
#[derive(Debug)]
struct Columns<const N: usize> {
    ts: Vec<i64>,
    values: [Vec<f64>; N],
}

impl<const N: usize> Default for Columns<N> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<const N: usize> Columns<N> {
    fn with_capacity(rows: usize) -> Self {
        Self { ts: Vec::with_capacity(rows), values: std::array::from_fn(|_| Vec::with_capacity(rows)) }
    }

    fn push(&mut self, ts_ms: i64, row: [f64; N]) {
        self.ts.push(ts_ms);
        for (column, value) in self.values.iter_mut().zip(row) {
            column.push(value);
        }
    }

    fn finish(self, names: [&'static str; N]) -> Result<RecordBatch> {
        let ts: ArrayRef = Arc::new(TimestampMillisecondArray::from(self.ts).with_timezone("UTC"));
        let values = self.values.into_iter().map(|values| Arc::new(Float64Array::from(values)) as ArrayRef);
        let columns = std::iter::once(("ts", ts)).chain(names.into_iter().zip(values));
        RecordBatch::try_from_iter(columns).map_err(|error| Error::because("simulated rows", error))
    }
}

/// The files of one symbol.
#[derive(Debug)]
struct Files<'a> {
    root: &'a Path,
    symbol: String,
    written: Vec<Written>,
}

impl Files<'_> {
    fn write(&mut self, table: &'static Table, year: i32, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut path: PathBuf = self.root.join(table.name);
        path.extend([format!("exchange={EXCHANGE}"), format!("symbol={}", self.symbol), format!("year={year:04}")]);
        path.push("part.parquet");
        write_file(&path, table, &rows)?;
        self.written.push(Written { table: table.name, rows: rows.num_rows(), files: 1 });
        Ok(())
    }
}

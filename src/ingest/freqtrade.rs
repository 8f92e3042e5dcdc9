//! Freqtrade: the files that `freqtrade download-data` keeps, Feather (Arrow, LZ4) or JSON.
//!
//! In: `candles`, `funding_rate` and `trades` of `user_data/data/{exchange}`, `.feather`, `.json` and `.json.gz`. Out:
//! rows of the market tables. The name of a file tells its market: `BTC_USDT_USDT-5m-futures.feather` is the perpetual
//! `BTC/USDT:USDT`, `BTC_USDT-5m.feather` is spot and becomes a market of `{exchange}-spot`; its exchange is the name
//! of the folder only, so the user says it (`--venue`).
//!
//! Freqtrade gets its data through CCXT, so volumes are those of [`super::ccxt`], in base units; amounts of trades it
//! has made base units itself. Funding stood in `open` of a candle, all else 0, and of newer files stands in
//! `funding_rate`. Candles of mark prices have no volume and are refused: they are no trades.
//!
//! A Feather file is read whole. Nothing in it is believed: what an Arrow file says of itself is checked before it is
//! used, so that a file that was cut short or made up is an error and neither a panic nor an allocation without bound.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::ipc;
use lz4_flex::frame::FrameDecoder;
use serde_json::Value as Json;

use super::ccxt::{Settled, candle, each_row, market_of, settled_at};
use super::documents::{as_number, time};
use super::reading::{BadRow, Entry, Out, Reader, Settings, Value, identity_of, instant};
use super::settlement::{Settlement, give_settlements};
use super::source::Source;
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, TRADES};

const VENDOR: &str = "freqtrade";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader {
        exchange: VENDOR,
        kind: "candles",
        table: &CANDLES,
        about: "candles, .feather or .json, named as BTC_USDT_USDT-5m-futures.feather",
        read: candles,
    },
    Reader {
        exchange: VENDOR,
        kind: "funding_rate",
        table: &FUNDING,
        about: "funding, named as BTC_USDT_USDT-1h-funding_rate.feather",
        read: funding,
    },
    Reader {
        exchange: VENDOR,
        kind: "trades",
        table: &TRADES,
        about: "trades, named as BTC_USDT_USDT-trades.feather",
        read: trades,
    },
];

/// Quote currencies, by which a pair in a file's name is told from other words.
const QUOTES: [&str; 12] = ["USDT", "USDC", "USD", "BUSD", "FDUSD", "TUSD", "USDE", "DAI", "EUR", "BTC", "ETH", "BNB"];

/// What the name of a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// As CCXT writes it: `BTC/USDT:USDT`.
    pub(super) pair: String,
    /// Of what the rows are: empty (spot), `futures`, `mark`, `funding_rate`, `trades`, …
    rows: String,
}

impl Named {
    /// `BTC_USDT_USDT-5m-futures.feather`: pair, bar, and what the rows are; also `BTCUSDT-5m.json`.
    pub(super) fn of(file: &str) -> Option<Named> {
        let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
        let mut parts = stem.split('-');
        let pair = parts.next()?;
        if !pair.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
            return None;
        }
        let pair = match pair.split('_').collect::<Vec<_>>().as_slice() {
            [base, quote] if !base.is_empty() && QUOTES.contains(quote) => format!("{base}/{quote}"),
            [base, quote, settled] if QUOTES.contains(quote) && [base, quote].contains(&settled) => {
                format!("{base}/{quote}:{settled}")
            }
            [whole] if QUOTES.iter().any(|quote| whole.strip_suffix(quote).is_some_and(|base| base.len() > 1)) => {
                (*whole).to_owned()
            }
            _ => return None,
        };
        let rows: Vec<&str> = parts.skip_while(|part| part.starts_with(|first: char| first.is_ascii_digit())).collect();
        let rows = rows.join("-");
        Some(Named { pair, rows })
    }
}

/// Checks that a file is named for these rows, if it is named as freqtrade does.
fn check_name(source: &Source<'_>, allowed: &[&str]) -> Result<()> {
    let Some(rows) = Named::of(&source.file).map(|named| named.rows) else { return Ok(()) };
    let why = match rows.as_str() {
        rows if allowed.contains(&rows) => return Ok(()),
        "mark" | "index" | "premiumIndex" => {
            "these prices are no trades and have no volume: the candles are '-futures'"
        }
        "funding_rate" => "that is the kind funding_rate",
        "trades" => "that is the kind trades",
        "" | "futures" => "that is the kind candles",
        _ => "that is no kind",
    };
    Err(Error::new(format!("{}: the file is named for '{rows}': {why}", source.name)))
}

/// How the rows of a file are written.
enum Format {
    Json,
    Feather(Feather),
}

impl Format {
    fn of(source: &mut Source<'_>) -> Result<Format> {
        match source.peek()? {
            Some(b'[' | b' ' | b'\t' | b'\r' | b'\n' | 0xef) => Ok(Format::Json),
            Some(b'A') => Ok(Format::Feather(Feather::read(source)?)),
            None => Err(Error::new(format!("{}: the file is empty", source.name))),
            Some(_) => Err(Error::new(format!(
                "{}: is neither Feather (version 2) nor JSON: freqtrade convert-data makes either",
                source.name
            ))),
        }
    }
}

fn candles(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    check_name(source, &["", "futures"])?;
    let market = market_of(source, settings)?;
    let (exchange, symbol) = (market.exchange(), market.symbol);
    match Format::of(source)? {
        Format::Json => each_row(source, out, |row, line, out| out.give(line, &exchange, candle(row, &symbol))),
        Format::Feather(feather) => feather.each_batch(|batch, first| {
            let ts = batch.instants("date")?;
            let mut numbers = Vec::with_capacity(5);
            for name in ["open", "high", "low", "close", "volume"] {
                numbers.push((name, batch.numbers(name)?));
            }
            for row in 0..batch.rows() {
                let entry = || -> Result<Entry<6>, BadRow> {
                    let mut values = [Value::Null; 6];
                    for (value, (name, column)) in values.iter_mut().zip(&numbers) {
                        *value = Value::Number(number(column, name, row)?);
                    }
                    Ok(Entry { symbol: symbol.clone(), ts: there(&ts, "date", row)?, identity: None, values })
                };
                out.give(first + row as u64, &exchange, entry())?;
            }
            Ok(())
        }),
    }
}

fn funding(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    check_name(source, &["funding_rate"])?;
    let market = market_of(source, settings)?;
    if market.settled == Settled::Spot {
        return Err(Error::new(format!("{}: there is no funding of {}, a spot market", source.name, market.symbol)));
    }
    // The interval shows in the distance of the rows, so all are read first: a few thousand per year.
    let mut settlements = Vec::new();
    let mut see = |line: u64, ts: i64, rate: f64| {
        settlements.push(Settlement { line, symbol: market.symbol.clone(), ts: settled_at(ts), rate, hours: None });
    };
    match Format::of(source)? {
        Format::Json => each_row(source, out, |row, line, out| match funding_row(row) {
            Ok((ts, rate)) => {
                see(line, ts, rate);
                Ok(())
            }
            Err(bad) => out.refuse(line, &bad),
        })?,
        Format::Feather(feather) => feather.each_batch(|batch, first| {
            let ts = batch.instants("date")?;
            let name = if batch.has("funding_rate") { "funding_rate" } else { "open" };
            let (rates, closes) =
                (batch.numbers(name)?, if name == "open" { Some(batch.numbers("close")?) } else { None });
            for row in 0..batch.rows() {
                let line = first + row as u64;
                let read = || -> Result<(i64, f64), BadRow> {
                    if let Some(closes) = &closes {
                        is_no_candle(number(closes, "close", row)?)?;
                    }
                    Ok((there(&ts, "date", row)?, number(&rates, name, row)?))
                };
                match read() {
                    Ok((ts, rate)) => see(line, ts, rate),
                    Err(bad) => out.refuse(line, &bad)?,
                }
            }
            Ok(())
        })?,
    }
    give_settlements(&market.exchange(), &settlements, out)
}

/// `[instant, rate]`, or a candle whose open is the rate and whose other values are 0.
fn funding_row(row: &Json) -> Result<(i64, f64), BadRow> {
    let bad = || BadRow(format!("must be [instant, rate] or [instant, rate, 0, 0, 0, 0], was {row}"));
    let (ts, rate) = match row.as_array().map(Vec::as_slice) {
        Some([ts, rate]) => (ts, rate),
        Some([ts, rate, _, _, close, _]) => {
            is_no_candle(as_number(close).unwrap_or(0.0))?;
            (ts, rate)
        }
        _ => return Err(bad()),
    };
    let ts = time(&serde_json::json!({ "date": ts }), "date")?;
    Ok((ts, as_number(rate).ok_or_else(|| BadRow::new("rate", "a number", rate))?))
}

fn is_no_candle(close: f64) -> Result<(), BadRow> {
    if close == 0.0 { Ok(()) } else { Err(BadRow::new("close", "0, as it is of funding: this is a candle", close)) }
}

fn trades(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    check_name(source, &["trades"])?;
    let market = market_of(source, settings)?;
    if market.settled == Settled::Inverse {
        return Err(Error::new(format!(
            "{}: freqtrade does not trade inverse contracts, what its amounts of {} are is not known",
            source.name, market.symbol
        )));
    }
    let (exchange, symbol) = (market.exchange(), market.symbol);
    match Format::of(source)? {
        Format::Json => each_row(source, out, |row, line, out| out.give(line, &exchange, trade_row(row, &symbol))),
        Format::Feather(feather) => feather.each_batch(|batch, first| {
            let ts = batch.instants("timestamp")?;
            let (ids, sides) = (batch.texts("id")?, batch.texts("side")?);
            let (prices, amounts) = (batch.numbers("price")?, batch.numbers("amount")?);
            for row in 0..batch.rows() {
                let text = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
                let entry = || -> Result<Entry<3>, BadRow> {
                    let (price, amount) = (number(&prices, "price", row)?, number(&amounts, "amount", row)?);
                    let side = text(&sides).unwrap_or_default();
                    trade(&symbol, there(&ts, "timestamp", row)?, text(&ids).as_deref(), &side, price, amount)
                };
                out.give(first + row as u64, &exchange, entry())?;
            }
            Ok(())
        }),
    }
}

/// `[instant, id, type, side, price, amount, cost]`.
fn trade_row(row: &Json, symbol: &str) -> Result<Entry<3>, BadRow> {
    let Some([ts, id, _, side, price, amount, _]) = row.as_array().map(Vec::as_slice) else {
        return Err(BadRow(format!("must be [instant, id, type, side, price, amount, cost], was {row}")));
    };
    let ts = time(&serde_json::json!({ "timestamp": ts }), "timestamp")?;
    let number = |name: &str, value: &Json| as_number(value).ok_or_else(|| BadRow::new(name, "a number", value));
    let (price, amount) = (number("price", price)?, number("amount", amount)?);
    trade(symbol, ts, id.as_str(), side.as_str().unwrap_or_default(), price, amount)
}

fn trade(symbol: &str, ts: i64, id: Option<&str>, side: &str, price: f64, amount: f64) -> Result<Entry<3>, BadRow> {
    let side = match side {
        "buy" => "buy",
        "sell" => "sell",
        other => return Err(BadRow::new("side", "buy or sell", other)),
    };
    let identity = id.filter(|id| !id.is_empty()).map(|id| identity_of(id.as_bytes()));
    let values = [Value::Number(price), Value::Number(amount), Value::Text(side)];
    Ok(Entry { symbol: symbol.to_owned(), ts, identity, values })
}

/// Bytes of a file, and of what is unpacked of one batch, at most: a year of one-minute candles is 25 MB.
const LARGEST: u64 = 2 << 30;

/// Rows of a batch, at most.
const MOST_ROWS: i64 = 1 << 28;

/// The first and last bytes of an Arrow file.
const MAGIC: &[u8; 6] = b"ARROW1";

/// An Arrow file whose columns are flat.
struct Feather {
    name: String,
    bytes: Buffer,
    schema: SchemaRef,
    batches: Vec<Place>,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: usize,
    /// The length of what describes it, and then of its values.
    head: usize,
    body: usize,
}

impl Place {
    /// The place that a footer states, if it lies before this end.
    fn of(block: &ipc::Block, end: usize) -> Option<Place> {
        let offset = usize::try_from(block.offset()).ok()?;
        let head = usize::try_from(block.metaDataLength()).ok()?;
        let body = usize::try_from(block.bodyLength()).ok()?;
        (offset.checked_add(head)?.checked_add(body)? <= end).then_some(Place { offset, head, body })
    }
}

/// Why a file cannot be read.
type Reason = String;

impl Feather {
    fn read(source: &mut Source<'_>) -> Result<Feather> {
        let name = source.name.clone();
        let failed = |error: std::io::Error| Error::because(name.clone(), error);
        let mut bytes = Vec::new();
        if source.reader().take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)? as u64 > LARGEST {
            return Err(Error::new(format!("{name}: the file has more than 2 GB")));
        }
        let described = Feather::described(&bytes);
        let (schema, batches) =
            described.map_err(|why| Error::new(format!("{name}: is no whole Feather file: {why}")))?;
        Ok(Feather { name, bytes: Buffer::from_vec(bytes), schema, batches })
    }

    /// What the end of the file says of it.
    fn described(bytes: &[u8]) -> Result<(SchemaRef, Vec<Place>), Reason> {
        // Magic and two bytes at the start; length of the footer and magic at the end.
        let end = bytes.len().checked_sub(10).filter(|end| *end >= 8).ok_or("it is too short")?;
        let (body, tail) = bytes.split_at(end);
        let length = tail.strip_suffix(MAGIC).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
        let length = length.filter(|_| bytes.starts_with(MAGIC)).ok_or("it does not end as one, it was cut short")?;
        let start = usize::try_from(length).ok().and_then(|length| end.checked_sub(length)).filter(|start| *start >= 8);
        let footer = body.get(start.ok_or("its footer is larger than the file")?..).unwrap_or_default();
        let footer = ipc::root_as_footer(footer).map_err(|error| format!("its footer cannot be read ({error})"))?;
        let schema = footer.schema().ok_or("it has no schema")?;
        if schema.endianness() != ipc::Endianness::Little {
            return Err("its numbers are big-endian".to_owned());
        }
        if footer.dictionaries().is_some_and(|dictionaries| !dictionaries.is_empty()) {
            return Err("it has dictionaries, which freqtrade's files do not".to_owned());
        }
        let fields = schema.fields().into_iter().flatten().map(|field| {
            let name = field.name().unwrap_or_default();
            let data_type = data_type(field).ok_or_else(|| format!("column '{name}' is of a type that is not read"))?;
            Ok(Field::new(name, data_type, true))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, Reason>>()?));
        let places = footer.recordBatches().into_iter().flatten().map(|block| Place::of(block, end));
        Ok((schema, places.collect::<Option<Vec<_>>>().ok_or("a batch lies outside of it")?))
    }

    /// Hands over every batch, with the number of its first row.
    fn each_batch(&self, mut each: impl FnMut(&Batch<'_>, u64) -> Result<()>) -> Result<()> {
        let mut first = 1;
        for place in &self.batches {
            let batch = self.batch(*place).map_err(|why| {
                Error::new(format!("{}: the batch from row {first} on cannot be read: {why}", self.name))
            })?;
            each(&Batch { name: &self.name, batch: &batch }, first)?;
            first += batch.num_rows() as u64;
        }
        Ok(())
    }

    fn batch(&self, Place { offset, head, body }: Place) -> Result<RecordBatch, Reason> {
        let (values, head) = (offset + head, self.bytes.get(offset..offset + head).unwrap_or_default());
        // A mark and a length stand before the message, in old files the length alone.
        let message = if head.starts_with(&[0xff; 4]) { head.get(8..) } else { head.get(4..) };
        let message = ipc::root_as_message(message.unwrap_or_default()).map_err(|error| error.to_string())?;
        let batch = message.header_as_record_batch().ok_or("it is something else")?;
        let body = self.bytes.slice_with_length(values, body);
        self.check(&batch, &body)?;
        let version = message.version();
        ipc::reader::read_record_batch(&body, batch, Arc::clone(&self.schema), &HashMap::new(), None, &version)
            .map_err(|error| error.to_string())
    }

    /// Checks what the library takes for granted: that there are as many columns and values as the schema says, that
    /// they lie inside of the batch, and that they unpack to what is said of them.
    fn check(&self, batch: &ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), Reason> {
        let rows = batch.length();
        if !(0..=MOST_ROWS).contains(&rows) {
            return Err(format!("it has {rows} rows"));
        }
        if batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty()) {
            return Err("its columns are not flat".to_owned());
        }
        let is_packed = match batch.compression() {
            None => false,
            Some(packed) if packed.codec() == ipc::CompressionType::LZ4_FRAME => true,
            Some(packed) => return Err(format!("it is packed as {:?}, not as LZ4", packed.codec())),
        };
        let mut nodes = batch.nodes().into_iter().flatten();
        let mut buffers = batch.buffers().into_iter().flatten();
        let mut unpacked = 0;
        for field in self.schema.fields() {
            let node = nodes.next().filter(|node| node.length() == rows && (0..=rows).contains(&node.null_count()));
            let node = node.ok_or("its columns are not those of the schema")?;
            let (count, width) = match field.data_type() {
                DataType::Null => (0, 0),
                DataType::Utf8 => (3, 4),
                DataType::LargeUtf8 => (3, 8),
                DataType::Int32 | DataType::Float32 => (2, 4),
                _ => (2, 8),
            };
            let rows = rows as u64;
            for index in 0..count {
                let buffer = buffers.next().ok_or("its columns are not those of the schema")?;
                let size = size_of(buffer, body, is_packed)?;
                unpacked += size;
                if unpacked > LARGEST {
                    return Err("it unpacks to more than 2 GB".to_owned());
                }
                let is_whole = match index {
                    // Which values are there, a bit for each; not needed if all are.
                    0 => node.null_count() == 0 || size >= rows.div_ceil(8),
                    // Numbers, or where each text begins.
                    1 => size % width == 0 && size >= rows * width,
                    _ => true,
                };
                if !is_whole {
                    return Err(format!("column '{}' has less than {rows} values", field.name()));
                }
            }
        }
        Ok(())
    }
}

/// The type of a column; `None` if it is not flat, or no number, instant or text.
fn data_type(field: ipc::Field<'_>) -> Option<DataType> {
    if field.dictionary().is_some() || field.children().is_some_and(|children| !children.is_empty()) {
        return None;
    }
    Some(match field.type_type() {
        // A column of texts of which none is there.
        ipc::Type::Null => DataType::Null,
        ipc::Type::Utf8 => DataType::Utf8,
        ipc::Type::LargeUtf8 => DataType::LargeUtf8,
        ipc::Type::Int => match field.type_as_int().map(|int| (int.bitWidth(), int.is_signed()))? {
            (32, true) => DataType::Int32,
            (64, true) => DataType::Int64,
            (64, false) => DataType::UInt64,
            _ => return None,
        },
        ipc::Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            ipc::Precision::SINGLE => DataType::Float32,
            ipc::Precision::DOUBLE => DataType::Float64,
            _ => return None,
        },
        ipc::Type::Timestamp => {
            let unit = match field.type_as_timestamp()?.unit() {
                ipc::TimeUnit::SECOND => TimeUnit::Second,
                ipc::TimeUnit::MILLISECOND => TimeUnit::Millisecond,
                ipc::TimeUnit::MICROSECOND => TimeUnit::Microsecond,
                ipc::TimeUnit::NANOSECOND => TimeUnit::Nanosecond,
                _ => return None,
            };
            // Whatever zone is shown, the instant is that of UTC.
            DataType::Timestamp(unit, None)
        }
        _ => return None,
    })
}

/// The size of a buffer when it is unpacked, after having seen that it unpacks to that.
fn size_of(buffer: &ipc::Buffer, body: &[u8], is_packed: bool) -> Result<u64, Reason> {
    let (offset, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
    let inside =
        offset.ok().zip(length.ok()).and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?));
    let bytes = inside.ok_or("a column lies outside of it")?;
    if !is_packed || bytes.is_empty() {
        return Ok(bytes.len() as u64);
    }
    let (size, packed) = bytes.split_first_chunk().ok_or("a column has no length")?;
    let size = match i64::from_le_bytes(*size) {
        // Left as it was, because packing would have made it larger.
        -1 => return Ok(packed.len() as u64),
        size => u64::try_from(size).ok().filter(|size| *size <= LARGEST).ok_or("a column unpacks to more than 2 GB")?,
    };
    if size > 0 {
        let mut unpacked = FrameDecoder::new(packed).take(size + 1);
        let found = std::io::copy(&mut unpacked, &mut std::io::sink()).map_err(|error| error.to_string())?;
        if found != size {
            return Err("a column does not unpack to what is said of it".to_owned());
        }
    }
    Ok(size)
}

/// A batch of a file.
struct Batch<'f> {
    name: &'f str,
    batch: &'f RecordBatch,
}

impl Batch<'_> {
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn has(&self, name: &str) -> bool {
        self.batch.column_by_name(name).is_some()
    }

    fn column(&self, name: &str) -> Result<&ArrayRef> {
        self.batch.column_by_name(name).ok_or_else(|| {
            let schema = self.batch.schema();
            let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::new(format!("{}: has no column '{name}', found {}", self.name, found.join(", ")))
        })
    }

    /// A column as another type.
    fn column_as(
        &self,
        name: &str,
        allowed: &str,
        is_such: fn(&DataType) -> bool,
        wanted: &DataType,
    ) -> Result<ArrayRef> {
        let column = self.column(name)?;
        if !is_such(column.data_type()) {
            let found = column.data_type();
            return Err(Error::new(format!("{}: column '{name}' must be {allowed}, was {found}", self.name)));
        }
        cast(column, wanted).map_err(|error| Error::because(format!("{}: column '{name}'", self.name), error))
    }

    fn numbers(&self, name: &str) -> Result<Float64Array> {
        let column = self.column_as(name, "numbers", DataType::is_numeric, &DataType::Float64)?;
        Ok(column.as_primitive().clone())
    }

    fn texts(&self, name: &str) -> Result<StringArray> {
        let is_text = |found: &DataType| matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Null);
        Ok(self.column_as(name, "texts", is_text, &DataType::Utf8)?.as_string().clone())
    }

    /// Milliseconds since the epoch: instants, or whole numbers, whose size tells their unit.
    fn instants(&self, name: &str) -> Result<Vec<Option<i64>>> {
        let is_instant = |found: &DataType| matches!(found, DataType::Timestamp(_, _) | DataType::Int64);
        let ticks = self.column_as(name, "instants", is_instant, &DataType::Int64)?;
        let ticks = ticks.as_primitive::<Int64Type>().iter();
        Ok(match self.column(name)?.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => ticks.map(|tick| tick?.checked_mul(1_000)).collect(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => ticks.collect(),
            DataType::Timestamp(TimeUnit::Microsecond, _) => ticks.map(|tick| Some(tick?.div_euclid(1_000))).collect(),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                ticks.map(|tick| Some(tick?.div_euclid(1_000_000))).collect()
            }
            _ => ticks.map(|tick| instant(&tick?.to_string())).collect(),
        })
    }
}

/// A value that must be there.
fn there<T: Copy>(values: &[Option<T>], name: &str, row: usize) -> Result<T, BadRow> {
    values.get(row).copied().flatten().ok_or_else(|| BadRow::new(name, "there", "empty"))
}

/// See [`there`].
fn number(column: &Float64Array, name: &str, row: usize) -> Result<f64, BadRow> {
    if column.is_valid(row) { Ok(column.value(row)) } else { Err(BadRow::new(name, "there", "empty")) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, LargeStringArray, NullArray, TimestampMillisecondArray, TimestampNanosecondArray};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions};

    use super::super::reading::BadRows;
    use super::super::taken::{Taken, rows};
    use super::*;

    const START: i64 = 1_767_225_600_000;

    fn settings() -> Settings {
        Settings { exchange: Some("binance".to_owned()), ..Settings::default() }
    }

    fn read(kind: &str, file: &str, bytes: &[u8]) -> Result<Vec<Taken>> {
        let reader = READERS.iter().find(|reader| reader.kind == kind).unwrap();
        let mut rows = Vec::new();
        let mut out = Out::new(reader.table, BadRows::Error, &mut rows);
        out.begin(file);
        (reader.read)(&mut Source::of_bytes(file, bytes), &settings(), &mut out)?;
        Ok(rows)
    }

    fn values(rows: &[Taken]) -> Vec<(i64, &str)> {
        rows.iter().map(|row| (row.ts - START, row.values.as_str())).collect()
    }

    fn feather(columns: &[(&str, ArrayRef)], packed: Option<CompressionType>) -> Vec<u8> {
        let batch =
            RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, Arc::clone(column)))).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
        let mut bytes = Vec::new();
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        // Two batches, as of a long file.
        let middle = batch.num_rows() / 2;
        writer.write(&batch.slice(0, middle)).unwrap();
        writer.write(&batch.slice(middle, batch.num_rows() - middle)).unwrap();
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    const LZ4: Option<CompressionType> = Some(CompressionType::LZ4_FRAME);

    fn numbers(numbers: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(numbers.to_vec()))
    }

    fn dates(count: i64) -> ArrayRef {
        let dates = (0..count).map(|row| START + row * 300_000);
        Arc::new(TimestampMillisecondArray::from_iter_values(dates).with_timezone("UTC"))
    }

    /// So many candles, the values of which change little, so that columns are packed.
    fn bars(count: i64) -> Vec<(&'static str, ArrayRef)> {
        let same = |value: f64| numbers(&vec![value; usize::try_from(count).unwrap()]);
        vec![
            ("date", dates(count)),
            ("open", same(100.0)),
            ("high", same(110.0)),
            ("low", same(90.0)),
            ("close", same(105.0)),
            ("volume", same(1.5)),
        ]
    }

    #[test]
    fn names_tell_the_market_and_the_rows() {
        for (file, pair, rows) in [
            ("BTC_USDT_USDT-5m-futures.feather", "BTC/USDT:USDT", "futures"),
            ("BTC_USDT-5m.feather", "BTC/USDT", ""),
            ("ETH_USD_ETH-1h-mark.json", "ETH/USD:ETH", "mark"),
            ("1000PEPE_USDT_USDT-1Mo-funding_rate.json", "1000PEPE/USDT:USDT", "funding_rate"),
            ("BTC_USDT_USDT-trades.feather", "BTC/USDT:USDT", "trades"),
            ("BTCUSDT-1m-2026-02.json", "BTCUSDT", ""),
            ("BTCUSDT.json", "BTCUSDT", ""),
        ] {
            let named = Named { pair: pair.to_owned(), rows: rows.to_owned() };
            assert_eq!(Named::of(file), Some(named), "{file}");
        }
        for file in [
            "",
            "dump.json",
            "OHLCV_2024-1h.json",
            "BTC_USDT_EUR-1h.json",
            "USDT-1h.json",
            "_USDT.json",
            "ohlcv-BTC_USDT.json",
        ] {
            assert_eq!(Named::of(file), None, "{file}");
        }
    }

    #[test]
    fn candles_are_read_however_they_are_packed() {
        let expected: Vec<_> = (0..4).map(|row| (row * 300_000, "100 110 90 105 1.5 null")).collect();
        for packed in [None, LZ4] {
            let rows = read("candles", "data/BTC_USDT_USDT-5m-futures.feather", &feather(&bars(4), packed)).unwrap();
            assert_eq!(values(&rows), expected);
            assert_eq!((rows[0].exchange.as_str(), rows[0].symbol.as_str()), ("binance", "BTCUSDT"));
        }
        let spot = read("candles", "BTC_USDT-5m.feather", &feather(&bars(4), LZ4)).unwrap();
        assert_eq!((spot[0].exchange.as_str(), values(&spot)), ("binance-spot", expected.clone()));
        let json: String = (0..4).map(|row| format!("[{},100,110,90,105,1.5],", START + row * 300_000)).collect();
        let json = format!("[{}]", json.trim_end_matches(','));
        let rows = read("candles", "BTC_USDT_USDT-5m-futures.json", json.as_bytes()).unwrap();
        assert_eq!(values(&rows), expected);
        // Thousands of rows, so that a column is packed into several blocks.
        assert_eq!(read("candles", "BTC_USDT-5m.feather", &feather(&bars(100_000), LZ4)).unwrap().len(), 100_000);
    }

    #[test]
    fn dates_are_read_in_every_unit() {
        let nanoseconds =
            Arc::new(TimestampNanosecondArray::from(vec![START * 1_000_000, START * 1_000_000 + 999_999]));
        let seconds = arrow::array::TimestampSecondArray::from(vec![START / 1_000; 2]).with_timezone("UTC");
        let microseconds =
            arrow::array::TimestampMicrosecondArray::from(vec![START * 1_000; 2]).with_timezone("+02:00");
        let whole = Arc::new(Int64Array::from(vec![START; 2]));
        let columns: [ArrayRef; 4] = [nanoseconds, Arc::new(seconds), Arc::new(microseconds), whole];
        for column in columns {
            let mut bars = bars(2);
            bars[0].1 = Arc::clone(&column);
            let rows = read("candles", "BTC_USDT-5m.feather", &feather(&bars, None)).unwrap();
            assert_eq!(values(&rows), [(0, "100 110 90 105 1.5 null"); 2], "{}", column.data_type());
        }
    }

    fn refused(kind: &str, file: &str, bytes: &[u8]) -> String {
        read(kind, file, bytes).unwrap_err().to_string()
    }

    #[test]
    fn files_of_other_rows_are_refused() {
        for (kind, file, why) in [
            (
                "candles",
                "BTC_USDT_USDT-1h-mark.feather",
                "named for 'mark': these prices are no trades and have no volume",
            ),
            ("candles", "BTC_USDT_USDT-1h-index.feather", "have no volume: the candles are '-futures'"),
            ("candles", "BTC_USDT_USDT-1h-funding_rate.feather", "that is the kind funding_rate"),
            ("candles", "BTC_USDT_USDT-trades.feather", "that is the kind trades"),
            ("funding_rate", "BTC_USDT_USDT-1h-futures.feather", "that is the kind candles"),
            ("trades", "BTC_USDT-1h.json", "named for '': that is the kind candles"),
            ("candles", "BTC_USDT_USDT-1h-x.json", "that is no kind"),
            ("funding_rate", "BTC_USDT-1h-funding_rate.json", "there is no funding of BTCUSDT, a spot market"),
            ("trades", "BTC_USD_BTC-trades.json", "freqtrade does not trade inverse contracts"),
            ("candles", "dump.feather", "neither its rows nor its name tell the symbol"),
        ] {
            let bad = refused(kind, file, &feather(&bars(2), LZ4));
            assert!(bad.contains(why), "{file}: {bad}");
        }
        let nobody = rows(READERS, "candles", "BTC_USDT-1h.json", "[]", &Settings::default()).unwrap_err().to_string();
        assert!(nobody.contains("say --venue"), "{nobody}");
    }

    #[test]
    fn bad_candles_are_named() {
        let with = |position: usize, column: ArrayRef| {
            let mut bars = bars(2);
            bars[position].1 = column;
            refused("candles", "BTC_USDT-5m.feather", &feather(&bars, LZ4))
        };
        for (column, why) in [
            (numbers(&[1.5, f64::NAN]), "BTC_USDT-5m.feather:2: 'volume' must be a number of at least 0, was 'NaN'"),
            (numbers(&[-1.0, 1.0]), ":1: 'volume' must be a number of at least 0, was '-1'"),
            (
                Arc::new(Float64Array::from(vec![Some(1.0), None])) as ArrayRef,
                ":2: 'volume' must be there, was 'empty'",
            ),
            (Arc::new(StringArray::from(vec!["1", "2"])), "column 'volume' must be numbers, was Utf8"),
        ] {
            let bad = with(5, column);
            assert!(bad.contains(why), "{bad}");
        }
        let bad = with(0, Arc::new(TimestampMillisecondArray::from(vec![Some(START), None])));
        assert!(bad.contains(":2: 'date' must be there, was 'empty'"), "{bad}");
        let bad = with(0, Arc::new(TimestampMillisecondArray::from(vec![5; 2])));
        assert!(bad.contains(":1: 'ts' must be an instant between 2009 and 2100"), "{bad}");
        assert!(with(0, numbers(&[1.0, 2.0])).contains("column 'date' must be instants, was Float64"));
        let bad = refused("candles", "BTC_USDT-5m.feather", &feather(&bars(2)[..5], LZ4));
        assert!(bad.contains("has no column 'volume', found date, open, high, low, close"), "{bad}");
        let bad = refused("candles", "BTC_USDT-5m.json", b"[[1767225600000,100,110,90,105]]");
        assert!(bad.contains("must be [instant, open, high, low, close, volume]"), "{bad}");
    }

    #[test]
    fn funding_stands_in_its_own_column_or_in_the_open() {
        let hours = |hours: &[i64]| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_iter_values(hours.iter().map(|hour| START + hour * 3_600_000 + 4)))
        };
        let dates = hours(&[0, 8, 16]);
        let (rates, zeros) = (numbers(&[0.0001, -0.0002, 0.0]), numbers(&[0.0; 3]));
        let now = feather(&[("date", Arc::clone(&dates)), ("funding_rate", Arc::clone(&rates))], LZ4);
        let mut columns = vec![("date", dates), ("open", rates)];
        columns.extend(["high", "low", "close", "volume"].map(|name| (name, Arc::clone(&zeros))));
        let before = feather(&columns, LZ4);
        let day = START + 28_800_000;
        let json = format!("[[{START},0.0001],[{day},-0.0002,0.0,0.0,0.0,0.0],[{},0,0,0,0,0]]", day + 28_800_000);
        let expected = [(0, "0.0001 8"), (28_800_000, "-0.0002 8"), (57_600_000, "0 8")];
        for (file, bytes) in [
            ("BTC_USDT_USDT-1h-funding_rate.feather", now.as_slice()),
            ("BTC_USDT_USDT-8h-funding_rate.feather", &before),
            ("BTC_USDT_USDT-1h-funding_rate.json", json.as_bytes()),
        ] {
            let rows = read("funding_rate", file, bytes).unwrap();
            assert_eq!(values(&rows), expected, "{file}");
            assert_eq!((rows[0].exchange.as_str(), rows[0].symbol.as_str()), ("binance", "BTCUSDT"));
        }
        // Candles under another name are no rates.
        let bad = refused("funding_rate", "BTCUSDT_PERP.feather", &feather(&bars(2), LZ4));
        assert!(bad.contains("neither its rows nor its name"), "{bad}");
        columns[4].1 = numbers(&[0.0, 50_000.0, 0.0]);
        let bad = refused("funding_rate", "BTC_USDT_USDT-1h-funding_rate.feather", &feather(&columns, None));
        assert!(bad.contains(":2: 'close' must be 0, as it is of funding: this is a candle, was '50000'"), "{bad}");
        for (row, why) in [
            ("[1767225600000,1,1,1,1,1]", "'close' must be 0, as it is of funding"),
            ("[1767225600000,1,1]", "must be [instant, rate] or [instant, rate, 0, 0, 0, 0]"),
            ("[1767225600000,\"x\"]", "'rate' must be a number, was '\"x\"'"),
            ("[\"soon\",0.1]", "'date' must be an instant"),
        ] {
            let bad = refused("funding_rate", "BTC_USDT_USDT-1h-funding_rate.json", format!("[{row}]").as_bytes());
            assert!(bad.contains(why), "{bad}");
        }
    }

    #[test]
    fn trades_are_in_base_units() {
        let columns = |sides: &[&str]| -> Vec<(&'static str, ArrayRef)> {
            vec![
                ("timestamp", Arc::new(Int64Array::from(vec![START, START + 1]))),
                ("id", Arc::new(LargeStringArray::from(vec![Some("7"), None]))),
                ("type", Arc::new(NullArray::new(2))),
                ("side", Arc::new(StringArray::from(sides.to_vec()))),
                ("price", numbers(&[100.0, 101.0])),
                ("amount", numbers(&[0.5, 2.0])),
                ("cost", numbers(&[50.0, 202.0])),
            ]
        };
        let json = format!(r#"[[{START},"7",null,"buy",100.0,0.5,50.0],[{},null,null,"sell",101,2,202]]"#, START + 1);
        for (file, bytes) in [
            ("BTC_USDT_USDT-trades.feather", feather(&columns(&["buy", "sell"]), LZ4)),
            ("BTC_USDT_USDT-trades.json", json.into_bytes()),
        ] {
            let rows = read("trades", file, &bytes).unwrap();
            assert_eq!(values(&rows), [(0, "100 0.5 buy"), (1, "101 2 sell")]);
            assert_eq!(rows.iter().map(|row| row.identity).collect::<Vec<_>>(), [Some(identity_of(b"7")), None]);
        }
        let bad = refused("trades", "BTC_USDT-trades.feather", &feather(&columns(&["buy", "long"]), None));
        assert!(bad.contains(":2: 'side' must be buy or sell, was 'long'"), "{bad}");
        for (row, why) in [
            ("[1767225600000,\"7\",null,\"buy\",100,0.5]", "must be [instant, id, type, side, price, amount, cost]"),
            ("[1767225600000,\"7\",null,null,100,0.5,50]", "'side' must be buy or sell, was ''"),
            ("[1767225600000,\"7\",null,\"buy\",null,0.5,50]", "'price' must be a number, was 'null'"),
            ("[1767225600000,\"7\",null,\"buy\",100,0,50]", "'size' must be a positive number, was '0'"),
        ] {
            let bad = refused("trades", "BTC_USDT-trades.json", format!("[{row}]").as_bytes());
            assert!(bad.contains(why), "{bad}");
        }
    }

    #[test]
    fn files_of_another_format_are_refused() {
        for (bytes, why) in [
            (&b""[..], "the file is empty"),
            (b"FEA1", "is neither Feather (version 2) nor JSON: freqtrade convert-data makes either"),
            (b"PAR1", "is neither Feather"),
            (b"\x89HDF", "is neither Feather"),
            (b"ARROW1", "is no whole Feather file: it is too short"),
            (b"ARROW1\0\0 and then something else", "it does not end as one, it was cut short"),
            (b"ARROW1\0\0\xff\xff\xff\x7fARROW1", "its footer is larger than the file"),
            (b"ARROW1\0\0\x04\0\0\0ARROW1", "its footer is larger than the file"),
            (b"ARROW1\0\0\xff\xff\xff\xff\x04\0\0\0ARROW1", "its footer cannot be read"),
        ] {
            let bad = refused("candles", "BTC_USDT-5m.feather", bytes);
            assert!(bad.contains(why), "{bad}");
        }
    }

    #[test]
    fn columns_that_are_not_flat_and_other_packings_are_refused() {
        let mut bars = bars(2);
        let words = StringArray::from(vec!["a", "b"]);
        let dictionary =
            cast(&words, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))).unwrap();
        let views = cast(&words, &DataType::Utf8View).unwrap();
        let lists = cast(&words, &DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))).unwrap();
        for (column, why) in [
            (dictionary, "it has dictionaries"),
            (views, "column 'x' is of a type that is not read"),
            (lists, "column 'x' is of a type that is not read"),
        ] {
            bars.push(("x", column));
            let bad = refused("candles", "BTC_USDT-5m.feather", &feather(&bars, None));
            assert!(bad.contains(why), "{bad}");
            bars.pop();
        }
    }

    /// Where an eight-byte number stands.
    fn find(bytes: &[u8], number: i64) -> usize {
        bytes.windows(8).position(|window| window == number.to_le_bytes()).unwrap()
    }

    #[test]
    fn what_is_said_of_packed_columns_is_not_believed() {
        // Two batches of 2,000 rows: columns of 16,000 bytes.
        let whole = feather(&bars(4_000), LZ4);
        let at = find(&whole, 16_000);
        for (size, why) in [
            (15_999, "a column does not unpack to what is said of it"),
            (16_001, "a column does not unpack to what is said of it"),
            (3 << 30, "a column unpacks to more than 2 GB"),
            (i64::MAX, "a column unpacks to more than 2 GB"),
            (-2, "a column unpacks to more than 2 GB"),
        ] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&i64::to_le_bytes(size));
            let bad = refused("candles", "BTC_USDT-5m.feather", &bytes);
            assert!(bad.contains("the batch from row 1 on cannot be read") && bad.contains(why), "{size}: {bad}");
        }
    }

    #[test]
    fn files_that_were_cut_short_are_errors() {
        let whole = feather(&bars(4), LZ4);
        for length in 0..whole.len() {
            let bad = read("candles", "BTC_USDT-5m.feather", &whole[..length]);
            assert!(bad.is_err(), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn made_up_files_never_panic() {
        let mut texts = bars(6);
        texts.push(("x", Arc::new(StringArray::from(vec![Some("a"), None, Some("bc"), None, None, Some("d")]))));
        texts.push(("y", Arc::new(LargeStringArray::from(vec!["a"; 6]))));
        texts.push(("z", Arc::new(Float64Array::from(vec![None, Some(1.0), None, Some(2.0), None, None]))));
        for packed in [None, LZ4] {
            let mut bytes = feather(&texts, packed);
            for at in 0..bytes.len() {
                let before = bytes[at];
                for byte in [before ^ 1, before ^ 0x80, 0, 0xff, 0x7f, before.wrapping_add(8)] {
                    bytes[at] = byte;
                    let _ = read("candles", "BTC_USDT-5m.feather", &bytes);
                }
                bytes[at] = before;
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn files_with_many_wrong_bytes_never_panic(wrong in proptest::collection::vec((0.0..1.0, proptest::num::u8::ANY), 1..12)) {
            let mut bytes = feather(&bars(40), LZ4);
            for (at, byte) in wrong {
                let at = (at * bytes.len() as f64) as usize;
                bytes[at] = byte;
            }
            let _ = read("candles", "BTC_USDT-5m.feather", &bytes);
        }
    }
}

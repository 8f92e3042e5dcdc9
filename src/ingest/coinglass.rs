//! CoinGlass: answers of its API (v4; v3 where only names differ) that the user has saved, one per file or one per line.
//!
//! In: `heatmap` and `map`, where the vendor estimates that liquidations stand; `priceHistory`, `openInterestHistoryCoin`,
//! `fundingRateHistory`, `liquidationHistory` and `liquidationOrders`. Out: rows of the market tables; those of `heatmap`
//! and `map` have the columns of `liq_heatmap`. The shapes are those of CoinGlass's documentation and of answers in public
//! code; what the documentation leaves open is decided here, and said:
//!
//! - A level of `y_axis` is the centre of its cell, as a chart draws it; a cell ends half-way to its neighbours, and the
//!   outer ones are as high beyond their level as within. A level of a map is the centre of a cell as high as the smallest
//!   distance of two levels, because a map leaves out levels where nothing stands.
//! - Column `x` is the state at the CLOSE of candle `x`, and `price` is that close. The vendor works a column out with the
//!   candle below it, so it is not known before; whoever scores a map must not see it sooner. The last candle may still be
//!   open: its column may be of up to one candle earlier than its `ts`.
//! - The side follows from the price: what stands at or below it is a long, what stands above it a short.
//! - USD are taken as they are. A cell of nothing is no row.
//! - What is of an interval stands at `time`, its start. Open interest and funding are those at its open. Open interest is
//!   taken as of one side, and rates as of 8 hours (of Hyperliquid and dYdX as of one): answers tell neither. Rates between
//!   settlements are left out.
//! - Of sums of liquidations the newest of a file is left out: it may have been running, and would be taken again when it had
//!   grown. Pages that overlap by one interval lose nothing.
//!
//! Of heatmaps and maps of the same instant the later one stays, in a file and in a root: a vendor may repaint its past. Those
//! of several models or ranges are of the same market: a root of its own keeps each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use serde_json::Value as Json;

use super::documents::{as_number, each_value, number, text, time};
use super::reading::{BadRow, Entry, Out, Reader, Row, Settings, Value, identity_of, instant};
use super::settlement::HOUR_MS;
use super::source::Source;
use super::symbols::canonical;
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, FUNDING, HEATMAP, LIQUIDATIONS, OPEN_INTEREST};

/// The vendor, as the command names it. Rows are of the exchanges whose markets they tell of.
const VENDOR: &str = "coinglass";

/// What is read.
pub static READERS: &[Reader] = &[
    Reader {
        exchange: VENDOR,
        kind: "heatmap",
        table: &HEATMAP,
        about: "liquidation heatmaps of a pair or a coin, any model",
        read: heatmap,
    },
    Reader {
        exchange: VENDOR,
        kind: "map",
        table: &HEATMAP,
        about: "liquidation maps; the instant in the file's name, as in map-2026-01-31T12-00.json (UTC)",
        read: map,
    },
    Reader {
        exchange: VENDOR,
        kind: "priceHistory",
        table: &CANDLES,
        about: "candles; volumes in USD become base units at the close",
        read: price_history,
    },
    Reader {
        exchange: VENDOR,
        kind: "openInterestHistoryCoin",
        table: &OPEN_INTEREST,
        about: "open interest, asked for with unit=coin",
        read: open_interest_history,
    },
    Reader {
        exchange: VENDOR,
        kind: "fundingRateHistory",
        table: &FUNDING,
        about: "funding rates at the settlements every 8 hours (Hyperliquid, dYdX: every hour)",
        read: funding_rate_history,
    },
    Reader {
        exchange: VENDOR,
        kind: "liquidationHistory",
        table: &LIQUIDATIONS,
        about: "sums of liquidations per interval, but for the newest of a file, which may still be running",
        read: liquidation_history,
    },
    Reader {
        exchange: VENDOR,
        kind: "liquidationOrders",
        table: &LIQUIDATIONS,
        about: "single liquidations, answers or messages of the stream",
        read: liquidation_orders,
    },
];

/// What an answer holds; it may have been saved without what the API puts around it.
fn answered(answer: &Json) -> Result<&Json, BadRow> {
    if let Some(code) = answer.get("code").filter(|code| !code.is_null() && as_number(code) != Some(0.0)) {
        let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
        let message = answer.get("msg").and_then(Json::as_str).unwrap_or_default();
        return Err(BadRow(format!("the answer is an error: code {code} {message}").trim_end().to_owned()));
    }
    match answer.get("data") {
        Some(Json::Null) => Err(BadRow("has no 'data'".to_owned())),
        Some(data) => Ok(data),
        None => Ok(answer),
    }
}

/// A member by the first of its names that is there: v4 renamed some.
fn either<'v>(value: &'v Json, names: &[&'static str]) -> Result<(&'static str, &'v Json), BadRow> {
    let found = names.iter().find_map(|name| Some((*name, value.get(name).filter(|member| !member.is_null())?)));
    found.ok_or_else(|| BadRow(format!("has no '{}'", names.first().copied().unwrap_or_default())))
}

/// See [`either`].
fn either_number(value: &Json, names: &[&'static str]) -> Result<f64, BadRow> {
    let (name, _) = either(value, names)?;
    number(value, name)
}

/// See [`either`].
fn either_list<'v>(value: &'v Json, names: &[&'static str]) -> Result<(&'static str, &'v [Json]), BadRow> {
    let (name, member) = either(value, names)?;
    let found = member.as_array().ok_or_else(|| BadRow(format!("'{name}' must be a list")))?;
    Ok((name, found))
}

/// Whose market rows are of, where the file does not say.
fn said(source: &Source<'_>, settings: &Settings) -> Result<(String, String)> {
    let missing = |what: &str, way: &str| {
        Error::new(format!("{}: the answer does not say of which {what} it is: say --{way}", source.name))
    };
    let exchange = settings.exchange.as_deref();
    let exchange =
        exchange.ok_or_else(|| missing("exchange", "venue binance, or --venue all for a sum over several"))?;
    let symbol = settings.symbol.as_deref().ok_or_else(|| missing("symbol", "symbol BTCUSDT"))?;
    Ok((exchange.to_ascii_lowercase(), canonical(symbol)))
}

/// What the file says, if the user does not say something else, or else what the user says.
fn agreed(what: &str, flag: &str, named: Option<String>, said: Option<String>) -> Result<String, BadRow> {
    match (named, said) {
        (Some(named), Some(said)) if named != said => {
            Err(BadRow::new(what, &format!("{said}, as --{flag} says"), named))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Err(BadRow(format!("the answer does not say of which {what} it is: say --{flag}"))),
    }
}

/// See [`agreed`].
fn agreed_exchange(named: Option<&str>, settings: &Settings) -> Result<String, BadRow> {
    let said = settings.exchange.as_deref().map(str::to_ascii_lowercase);
    agreed("exchange", "venue", named.map(str::to_ascii_lowercase), said)
}

/// See [`agreed`].
fn agreed_symbol(named: Option<&str>, settings: &Settings) -> Result<String, BadRow> {
    agreed("symbol", "symbol", named.map(canonical), settings.symbol.as_deref().map(canonical))
}

/// What stands in a cell of a frame.
#[derive(Debug, Clone, Copy)]
struct Cell {
    low: f64,
    centre: f64,
    high: f64,
    leverage: Option<f64>,
    usd: f64,
}

/// All cells of one market at one instant.
#[derive(Debug)]
struct Frame {
    line: u64,
    price: f64,
    /// By price.
    cells: Vec<Cell>,
}

/// The frames of a file, of each market and instant the last one.
#[derive(Debug, Default)]
struct Frames(BTreeMap<(String, String, i64), Frame>);

impl Frames {
    fn give(self, out: &mut Out<'_>) -> Result<()> {
        for ((exchange, symbol, ts), Frame { line, price, cells }) in self.0 {
            let largest = cells.iter().map(|cell| cell.usd).fold(0.0, f64::max);
            for Cell { low, centre, high, leverage, usd } in cells {
                let values = [
                    Value::Number(price),
                    Value::Text(if centre <= price { "long" } else { "short" }),
                    leverage.map_or(Value::Null, Value::Number),
                    Value::Number(low),
                    Value::Number(high),
                    Value::Number(usd),
                    Value::Number(usd / largest),
                ];
                let row = Row { exchange: &exchange, symbol: &symbol, ts, identity: None, values: &values };
                out.push(line, &row)?;
            }
        }
        Ok(())
    }
}

fn heatmap(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let (exchange, symbol) = said(source, settings)?;
    let mut frames = Frames::default();
    each_value(source, out, |answer, line, out| {
        let read = answered(answer).and_then(|data| {
            let entries = either_list(data, &["liquidation_leverage_data", "liq"])?;
            Ok((Columns::of(data)?, Levels::of(data)?, entries))
        });
        let (columns, levels, (name, entries)) = match read {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        // By column, then by level.
        let mut grid: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); columns.closes.len()];
        for (index, entry) in entries.iter().enumerate() {
            let place = |part: &str| format!("{name}[{index}]{part}");
            let taken = heatmap_cell(entry, place, &columns, &levels).and_then(|(column, level, usd)| {
                match grid.get_mut(column).map(|cells| cells.entry(level)) {
                    Some(Slot::Occupied(_)) => {
                        Err(BadRow::new(&place(""), "the only entry of its column and level", entry))
                    }
                    Some(Slot::Vacant(slot)) => {
                        slot.insert(usd);
                        Ok(())
                    }
                    None => Ok(()),
                }
            });
            if let Err(bad) = taken {
                out.refuse(line, &bad)?;
            }
        }
        for ((ts, price), cells) in columns.closes.iter().zip(grid) {
            let cells = cells.into_iter().filter(|(_, usd)| *usd > 0.0);
            let cells = cells.filter_map(|(level, usd)| levels.cell(level, usd)).collect();
            frames.0.insert((exchange.clone(), symbol.clone(), *ts), Frame { line, price: *price, cells });
        }
        Ok(Ok(()))
    })?;
    frames.give(out)
}

/// Column, level and USD of an entry `[x, y, USD]`.
fn heatmap_cell(
    entry: &Json,
    place: impl Fn(&str) -> String,
    columns: &Columns,
    levels: &Levels,
) -> Result<(usize, usize, f64), BadRow> {
    let Some([x, y, usd, ..]) = entry.as_array().map(Vec::as_slice) else {
        return Err(BadRow::new(&place(""), "[x, y, USD]", entry));
    };
    let position = |value: &Json, part: &str, of: &str, count: usize| {
        let found = as_number(value).filter(|number| number.fract() == 0.0 && (0.0..count as f64).contains(number));
        found.map(|number| number as usize).ok_or_else(|| {
            let allowed = format!("the position of one of {count} {of}, from 0");
            BadRow::new(&place(part), &allowed, value)
        })
    };
    let column = position(x, "[0]", "candles", columns.closes.len())?;
    let level = position(y, "[1]", "levels", levels.centres.len())?;
    Ok((column, level, amount(usd, || place("[2]"))?))
}

/// USD, which may be none.
fn amount(value: &Json, name: impl Fn() -> String) -> Result<f64, BadRow> {
    let found = as_number(value).filter(|usd| *usd >= 0.0);
    found.ok_or_else(|| BadRow::new(&name(), "a number of at least 0", value))
}

/// The columns of a heatmap: when each candle closes, and at which price.
#[derive(Debug)]
struct Columns {
    closes: Vec<(i64, f64)>,
}

impl Columns {
    fn of(data: &Json) -> Result<Columns, BadRow> {
        let (name, candles) = either_list(data, &["price_candlesticks", "prices"])?;
        let mut opens: Vec<(i64, f64)> = Vec::with_capacity(candles.len());
        for (index, candle) in candles.iter().enumerate() {
            let refused = |allowed: &str| BadRow::new(&format!("{name}[{index}]"), allowed, candle);
            let Some([ts, _, _, _, close, ..]) = candle.as_array().map(Vec::as_slice) else {
                return Err(refused("[time, open, high, low, close, volume]"));
            };
            let ts = instant_of(ts).ok_or_else(|| refused("[time, …] with an instant"))?;
            let close = as_number(close).filter(|close| *close > 0.0);
            let close = close.ok_or_else(|| refused("[time, open, high, low, close, …] with a positive close"))?;
            if opens.last().is_some_and(|(before, _)| *before >= ts) {
                return Err(refused("later than the one before"));
            }
            opens.push((ts, close));
        }
        let lengths = opens.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let closes = match (opens.as_slice(), lengths.min()) {
            ([], _) => return Err(BadRow(format!("'{name}' is empty"))),
            // One candle does not tell its length, but an answer may tell its own instant.
            ([(open, price)], _) => {
                let ts = time(data, "update_time").map_err(|_| {
                    BadRow(format!(
                        "'{name}' must hold several candles, or 'update_time' be there: one does not tell its length"
                    ))
                })?;
                if ts < *open {
                    return Err(BadRow::new("update_time", "no earlier than the candle", ts));
                }
                vec![(ts, *price)]
            }
            // Where candles are missing, each still closes one length after it opened.
            (opens, length) => opens.iter().map(|(ts, close)| (ts + length.unwrap_or_default(), *close)).collect(),
        };
        Ok(Columns { closes })
    }
}

/// An instant that is no member of an object.
fn instant_of(value: &Json) -> Option<i64> {
    value.as_str().map_or_else(|| instant(&value.to_string()), instant)
}

/// The price levels of a heatmap.
#[derive(Debug)]
struct Levels {
    centres: Vec<f64>,
    /// One more than centres.
    edges: Vec<f64>,
}

impl Levels {
    fn of(data: &Json) -> Result<Levels, BadRow> {
        let (name, levels) = either_list(data, &["y_axis", "y"])?;
        let mut centres: Vec<f64> = Vec::with_capacity(levels.len());
        for (index, level) in levels.iter().enumerate() {
            let before = centres.last().copied().unwrap_or(0.0);
            let centre = as_number(level).filter(|centre| *centre > before).ok_or_else(|| {
                BadRow::new(&format!("{name}[{index}]"), "a positive price above the one before", level)
            })?;
            centres.push(centre);
        }
        let ([first, second, ..], [.., last_but_one, last]) = (centres.as_slice(), centres.as_slice()) else {
            return Err(BadRow(format!("'{name}' must hold several prices: one does not tell the height of its cell")));
        };
        let lowest = first - (second - first) / 2.0;
        let highest = last + (last - last_but_one) / 2.0;
        let between = centres.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
        let edges = std::iter::once(lowest.max(0.0)).chain(between).chain([highest]).collect();
        Ok(Levels { centres, edges })
    }

    fn cell(&self, level: usize, usd: f64) -> Option<Cell> {
        let (low, high) = (*self.edges.get(level)?, *self.edges.get(level + 1)?);
        Some(Cell { low, centre: *self.centres.get(level)?, high, leverage: None, usd })
    }
}

fn map(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let named = instant_in(&source.file);
    let mut frames = Frames::default();
    each_value(source, out, |answer, line, out| {
        let read = answered(answer).and_then(|data| Ok((market_maps(data)?, map_state(data, named, settings)?)));
        let (maps, (ts, price)) = match read {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        for map in maps {
            match market_of(map, settings).and_then(|market| Ok((market, map_cells(map)?))) {
                Ok(((exchange, symbol), cells)) => {
                    frames.0.insert((exchange, symbol, ts), Frame { line, price, cells });
                }
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        Ok(Ok(()))
    })?;
    frames.give(out)
}

/// The maps of an answer: the one that it is, `{"data": {"48935": …}}`, or one per exchange,
/// `{"data": [{"liqMapV2": {"48935": …}, "instrument": {"exName", "instrumentId"}}]}`.
fn market_maps(data: &Json) -> Result<Vec<&Json>, BadRow> {
    match data.get("data").unwrap_or(data) {
        Json::Array(maps) => Ok(maps.iter().collect()),
        map @ Json::Object(_) => Ok(vec![map]),
        _ => Err(BadRow("'data' must hold prices, or a list of maps".to_owned())),
    }
}

/// Instant and price of an answer. Answers state a price at times, and hardly ever an instant.
fn map_state(data: &Json, named: Option<i64>, settings: &Settings) -> Result<(i64, f64), BadRow> {
    let ts = match data.get("update_time") {
        Some(_) => time(data, "update_time")?,
        None => named.ok_or_else(|| {
            let example = "map-2026-01-31T12-00.json (UTC)";
            BadRow(format!("holds no instant: put that of the answer into the file's name, as in {example}"))
        })?,
    };
    let stated = match either(data, &["last_price", "lastPrice"]) {
        Ok((name, _)) => Some(number(data, name)?),
        Err(_) => None,
    };
    match (stated, settings.price) {
        (Some(stated), Some(said)) if stated != said => {
            Err(BadRow::new("last_price", &format!("{said}, as --price says"), stated))
        }
        (Some(price), _) | (None, Some(price)) => Ok((ts, price)),
        (None, None) => Err(BadRow("does not hold the price of the market: say --price".to_owned())),
    }
}

/// Exchange and symbol of a map.
fn market_of(map: &Json, settings: &Settings) -> Result<(String, String), BadRow> {
    let named = |name: &str| map.get("instrument").and_then(|instrument| instrument.get(name)).and_then(Json::as_str);
    Ok((agreed_exchange(named("exName"), settings)?, agreed_symbol(named("instrumentId"), settings)?))
}

/// The cells of a map, of levels `"price": [[price, USD, leverage, …], …]`.
fn map_cells(map: &Json) -> Result<Vec<Cell>, BadRow> {
    let levels = map.get("liqMapV2").unwrap_or(map).as_object();
    let levels = levels.ok_or_else(|| BadRow("'liqMapV2' must hold prices".to_owned()))?;
    // By level, then by leverage: as bits, by which positive numbers are ordered, too. None comes first.
    let mut grid: Vec<(f64, BTreeMap<Option<u64>, f64>)> = Vec::with_capacity(levels.len());
    for (key, entries) in levels {
        let centre = key.parse().ok().filter(|centre: &f64| centre.is_finite() && *centre > 0.0);
        let centre = centre.ok_or_else(|| BadRow::new("a level", "a positive price", key))?;
        let entries = entries.as_array().ok_or_else(|| BadRow(format!("'{key}' must be a list")))?;
        let mut by_leverage: BTreeMap<Option<u64>, f64> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = format!("{key}[{index}]");
            let Some([_, usd, rest @ ..]) = entry.as_array().map(Vec::as_slice) else {
                return Err(BadRow::new(&name, "[price, USD, leverage, …]", entry));
            };
            let leverage = match rest.first() {
                None | Some(Json::Null) => None,
                Some(leverage) => {
                    let found = as_number(leverage).filter(|leverage| *leverage > 0.0);
                    Some(found.ok_or_else(|| BadRow::new(&format!("{name}[2]"), "a positive number", leverage))?)
                }
            };
            *by_leverage.entry(leverage.map(f64::to_bits)).or_default() += amount(usd, || format!("{name}[1]"))?;
        }
        grid.push((centre, by_leverage));
    }
    grid.sort_by(|one, other| one.0.total_cmp(&other.0));
    let height = grid.windows(2).map(|pair| pair[1].0 - pair[0].0).reduce(f64::min);
    let Some(height) = height else {
        return Err(BadRow("must hold several levels: one does not tell the height of its cell".to_owned()));
    };
    if height <= 0.0 {
        return Err(BadRow("must hold every level once".to_owned()));
    }
    let mut cells = Vec::new();
    for (centre, by_leverage) in grid {
        let (low, high) = ((centre - height / 2.0).max(0.0), centre + height / 2.0);
        for (leverage, usd) in by_leverage.into_iter().filter(|(_, usd)| *usd > 0.0) {
            cells.push(Cell { low, centre, high, leverage: leverage.map(f64::from_bits), usd });
        }
    }
    Ok(cells)
}

/// The first instant in a name, UTC: a date with hours and minutes, and seconds if it has them, with any signs between and
/// around, or ten or thirteen digits since the epoch. A date alone is none: a map of the evening must not be one of midnight.
fn instant_in(name: &str) -> Option<i64> {
    let groups: Vec<&str> =
        name.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect();
    (0..groups.len()).find_map(|at| {
        let here = groups.get(at..)?;
        let (date, clock) = match here {
            [epoch, ..] if matches!(epoch.len(), 10 | 13) => return instant(epoch),
            [whole, ..] if matches!(whole.len(), 12 | 14) => (whole[..8].to_owned(), whole[8..].to_owned()),
            [date, rest @ ..] if date.len() == 8 => ((*date).to_owned(), clock_of(rest)?),
            [year, month, day, rest @ ..] if [year.len(), month.len(), day.len()] == [4, 2, 2] => {
                (format!("{year}{month}{day}"), clock_of(rest)?)
            }
            _ => return None,
        };
        let text = format!("{date}{clock}{}", if clock.len() == 4 { "00" } else { "" });
        let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").ok()?;
        Some(time.and_utc().timestamp_millis())
    })
}

/// Hours, minutes and perhaps seconds at the beginning of groups of digits.
fn clock_of(groups: &[&str]) -> Option<String> {
    match groups {
        [whole, ..] if matches!(whole.len(), 4 | 6) => Some((*whole).to_owned()),
        [hour, minute, second, ..] if [hour.len(), minute.len(), second.len()] == [2, 2, 2] => {
            Some(format!("{hour}{minute}{second}"))
        }
        [hour, minute, ..] if [hour.len(), minute.len()] == [2, 2] => Some(format!("{hour}{minute}")),
        _ => None,
    }
}

/// The entries of a history: a list, or the one entry that a line of a list is.
fn entries(answer: &Json) -> Result<&[Json], BadRow> {
    match answered(answer)? {
        Json::Array(entries) => Ok(entries),
        entry @ Json::Object(_) => Ok(std::slice::from_ref(entry)),
        _ => Err(BadRow("'data' must be a list".to_owned())),
    }
}

/// Reads every entry of a history, each with the instant at which its interval starts.
fn each_entry(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    mut each: impl FnMut(&Json, i64, u64, &mut Out<'_>) -> Result<Result<(), BadRow>>,
) -> Result<()> {
    each_value(source, out, |answer, line, out| {
        let entries = match entries(answer) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            let ts = either(entry, &["time", "t"]).and_then(|(name, _)| time(entry, name));
            let outcome = match ts {
                Ok(ts) => each(entry, ts, line, out)?,
                Err(bad) => Err(bad),
            };
            if let Err(bad) = outcome {
                out.refuse(line, &bad)?;
            }
        }
        Ok(Ok(()))
    })
}

fn price_history(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let (exchange, symbol) = said(source, settings)?;
    each_entry(source, out, |entry, ts, line, out| {
        let candle = candle(entry).map(|values| Entry { symbol: symbol.clone(), ts, identity: None, values });
        out.give(line, &exchange, candle).map(Ok)
    })
}

/// Open, high, low, close and volume of a candle; what the takers bought is not told.
fn candle(entry: &Json) -> Result<[Value<'static>; 6], BadRow> {
    let (open, high) = (number(entry, "open")?, number(entry, "high")?);
    let (low, close) = (number(entry, "low")?, number(entry, "close")?);
    let volume = number(entry, "volume_usd")? / close;
    let [open, high, low, close, volume] = [open, high, low, close, volume].map(Value::Number);
    Ok([open, high, low, close, volume, Value::Null])
}

/// Coins that there can be at most, of the two whose open interest is asked for most.
const MOST_COINS: [(&str, f64); 2] = [("BTC", 21e6), ("ETH", 200e6)];

fn open_interest_history(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let (exchange, symbol) = said(source, settings)?;
    let most = MOST_COINS.iter().find(|(coin, _)| symbol.starts_with(&format!("{coin}USD"))).map(|(_, most)| *most);
    each_entry(source, out, |entry, ts, line, out| {
        let open = either_number(entry, &["open", "o"]).and_then(|open| match most {
            Some(most) if open > most => {
                let allowed = format!("coins, of which there are at most {most}: ask for unit=coin, not for USD");
                Err(BadRow::new("open", &allowed, open))
            }
            _ => Ok(open),
        });
        let state =
            open.map(|open| Entry { symbol: symbol.clone(), ts, identity: None, values: [Value::Number(open)] });
        out.give(line, &exchange, state).map(Ok)
    })
}

/// Hours between settlements, of which the answers do not tell.
fn settlement_hours(exchange: &str) -> i64 {
    if matches!(exchange, "hyperliquid" | "dydx") { 1 } else { 8 }
}

fn funding_rate_history(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let (exchange, symbol) = said(source, settings)?;
    let hours = settlement_hours(&exchange);
    each_entry(source, out, |entry, ts, line, out| {
        // Between settlements the rate runs, and nobody pays it.
        if ts.rem_euclid(hours * HOUR_MS) != 0 {
            return Ok(Ok(()));
        }
        // In per cent.
        let values = either_number(entry, &["open", "o"]).map(|rate| [rate / 100.0, hours as f64].map(Value::Number));
        let settlement = values.map(|values| Entry { symbol: symbol.clone(), ts, identity: None, values });
        out.give(line, &exchange, settlement).map(Ok)
    })
}

/// Names of the sums of longs and of shorts, of a pair and of a coin.
const SUMS: [(&str, [&str; 2]); 2] = [
    ("long", ["long_liquidation_usd", "aggregated_long_liquidation_usd"]),
    ("short", ["short_liquidation_usd", "aggregated_short_liquidation_usd"]),
];

fn liquidation_history(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let (exchange, symbol) = said(source, settings)?;
    let name = source.name.clone();
    // By instant and side: USD, and where they stand. A later answer knows better.
    let mut sums: BTreeMap<i64, [(u64, f64); 2]> = BTreeMap::new();
    each_entry(source, out, |entry, ts, line, _| {
        let [long, short] = SUMS.map(|(_, names)| {
            let (name, member) = either(entry, &names)?;
            Ok((line, amount(member, || name.to_owned())?))
        });
        Ok(match (long, short) {
            (Ok(long), Ok(short)) => {
                sums.insert(ts, [long, short]);
                Ok(())
            }
            (Err(bad), _) | (_, Err(bad)) => Err(bad),
        })
    })?;
    // The newest interval may not have been over, and a sum that grows would be taken twice.
    if sums.pop_last().is_some() && sums.is_empty() {
        return Err(Error::new(format!("{name}: holds one interval, which may not have been over: ask for more")));
    }
    for (ts, of_sides) in sums {
        for ((side, _), (line, usd)) in SUMS.iter().zip(of_sides).filter(|(_, (_, usd))| *usd > 0.0) {
            let values = [Value::Text(side), Value::Null, Value::Null, Value::Null, Value::Number(usd)];
            out.push(line, &Row { exchange: &exchange, symbol: &symbol, ts, identity: None, values: &values })?;
        }
    }
    Ok(())
}

fn liquidation_orders(source: &mut Source<'_>, settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_value(source, out, |answer, line, out| {
        // What the stream says of the subscription itself, and answers to a ping.
        if answer.get("data").is_none() && answer.get("price").is_none() && answer.get("code").is_none() {
            return Ok(Ok(()));
        }
        let entries = match entries(answer) {
            Ok(entries) => entries,
            Err(bad) => return Ok(Err(bad)),
        };
        for entry in entries {
            match liquidation_order(entry, settings) {
                Ok((exchange, order)) => out.give(line, &exchange, Ok(order))?,
                Err(bad) => out.refuse(line, &bad)?,
            }
        }
        Ok(Ok(()))
    })
}

/// The exchange and the row of an order. Its side is that of the order: who sells closes a long.
///
/// Which of an exchange's prices is meant is not documented. Bybit and OKX publish the bankruptcy price alone, so it is
/// that; of the others it is taken for the trigger, from which an average price differs little.
fn liquidation_order(entry: &Json, settings: &Settings) -> Result<(String, Entry<5>), BadRow> {
    let (name, _) = either(entry, &["exchange_name", "exName"])?;
    let exchange = agreed_exchange(Some(text(entry, name)?), settings)?;
    let side = match number(entry, "side")? {
        1.0 => "short",
        2.0 => "long",
        other => return Err(BadRow::new("side", "1 (buy) or 2 (sell)", other)),
    };
    let price = number(entry, "price")?;
    let usd = either_number(entry, &["usd_value", "volUsd"])?;
    let (trigger, bankruptcy) = match exchange.as_str() {
        "bybit" | "okx" => (Value::Null, Value::Number(price)),
        _ => (Value::Number(price), Value::Null),
    };
    let values = [Value::Text(side), trigger, bankruptcy, Value::Number(usd / price), Value::Number(usd)];
    // Pages overlap: the same order stands in both.
    let identity = Some(identity_of(entry.to_string().as_bytes()));
    Ok((exchange, Entry { symbol: canonical(text(entry, "symbol")?), ts: time(entry, "time")?, identity, values }))
}

#[cfg(test)]
mod tests {
    use super::super::reading::BadRows;
    use super::super::taken::{self, Taken};
    use super::*;

    /// 2026-01-31 12:00 UTC.
    const NOON: i64 = 1_769_860_800_000;
    const FIVE_MINUTES: i64 = 300_000;

    fn said() -> Settings {
        let (exchange, symbol) = (Some("Binance".to_owned()), Some("BTC-USDT-SWAP".to_owned()));
        Settings { exchange, symbol, ..Settings::default() }
    }

    fn rows_with(kind: &str, file: &str, text: &str, settings: &Settings) -> Result<Vec<Taken>> {
        taken::rows(READERS, kind, file, text, settings)
    }

    fn rows(kind: &str, text: &str) -> Vec<Taken> {
        rows_with(kind, "a.json", text, &said()).unwrap()
    }

    fn refusal_with(kind: &str, file: &str, text: &str, settings: &Settings) -> String {
        rows_with(kind, file, text, settings).unwrap_err().to_string()
    }

    /// The message without its file and its advice.
    fn refusal(kind: &str, text: &str) -> String {
        let message = refusal_with(kind, "a.json", text, &said());
        let message = message.strip_prefix("a.json:1: ").unwrap_or(&message);
        message.strip_suffix(" (--on-bad-rows skip leaves such rows out)").unwrap_or(message).to_owned()
    }

    fn texts(rows: &[Taken]) -> Vec<(i64, &str)> {
        rows.iter().map(|row| (row.ts, row.values.as_str())).collect()
    }

    /// Three candles of five minutes from noon, and levels at 90, 100 and 110.
    fn heatmap_of(cells: &str) -> String {
        format!(
            r#"{{"code":"0","msg":"success","data":{{"y_axis":[90,100,110],"liquidation_leverage_data":[{cells}],
            "price_candlesticks":[[1769860800,"101","106","99","102","5000"],[1769861100,"102","103","97","98","1"],
            [1769861400,"98","98","98","98","0"]],"update_time":1769861437000}}}}"#
        )
    }

    #[test]
    fn a_column_is_the_state_at_the_close_of_its_candle_and_a_level_the_centre_of_its_cell() {
        let found = rows("heatmap", &heatmap_of("[1,2,300.5],[0,0,50],[0,2,200],[1,0,0],[0,1,\"100\"]"));
        // Price, side, leverage, low, high, USD, share of the largest of the frame.
        assert_eq!(
            texts(&found),
            [
                (NOON + FIVE_MINUTES, "102 long null 85 95 50 0.25"),
                (NOON + FIVE_MINUTES, "102 long null 95 105 100 0.5"),
                (NOON + FIVE_MINUTES, "102 short null 105 115 200 1"),
                (NOON + 2 * FIVE_MINUTES, "98 short null 105 115 300.5 1"),
            ]
        );
        assert!(found.iter().all(|row| row.exchange == "binance" && row.symbol == "BTCUSDT" && row.identity.is_none()));
    }

    #[test]
    fn the_side_follows_from_the_price() {
        // The close falls from 102 to 98: what stands at 100 is a long before, and a short after.
        let found = rows("heatmap", &heatmap_of("[0,1,1],[1,1,1]"));
        let sides: Vec<&str> = found.iter().map(|row| row.texts[0].as_str()).collect();
        assert_eq!(sides, ["long", "short"]);
        // At the price itself: a long.
        let at_the_price = heatmap_of("[0,1,1]").replace("\"102\",\"5000\"", "\"100\",\"5000\"");
        assert_eq!(rows("heatmap", &at_the_price)[0].texts, ["long"]);
    }

    #[test]
    fn cells_end_half_way_to_their_neighbours_also_where_levels_are_uneven() {
        let text = heatmap_of("[0,0,1],[0,1,1],[0,2,1]").replace("[90,100,110]", "[74604.75,\"74665.24\",74800]");
        let found = rows("heatmap", &text);
        let edges: Vec<(f64, f64)> =
            found.iter().map(|row| (row.numbers[2].unwrap(), row.numbers[3].unwrap())).collect();
        let expected = [(74_574.505, 74_634.995), (74_634.995, 74_732.62), (74_732.62, 74_867.38)];
        for (found, expected) in edges.iter().zip(expected) {
            assert!((found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9, "{edges:?}");
        }
        assert_eq!((edges[0].1, edges[1].1), (edges[1].0, edges[2].0));
    }

    #[test]
    fn older_names_and_bare_contents_are_read_alike() {
        let expected = rows("heatmap", &heatmap_of("[0,0,50]"));
        let older = heatmap_of("[0,0,50]")
            .replace("y_axis", "y")
            .replace("liquidation_leverage_data", "liq")
            .replace("price_candlesticks", "prices");
        assert_eq!(rows("heatmap", &older), expected);
        let bare = heatmap_of("[0,0,50]").replace(r#"{"code":"0","msg":"success","data":"#, "");
        assert_eq!(rows("heatmap", bare.strip_suffix('}').unwrap()), expected);
        let listed = format!("[{}]", heatmap_of("[0,0,50]"));
        assert_eq!(rows("heatmap", &listed), expected);
    }

    #[test]
    fn where_candles_are_missing_each_still_closes_one_length_after_it_opened() {
        let found = rows("heatmap", &heatmap_of("[1,0,1],[2,0,1]").replace("1769861400", "1769862000"));
        assert_eq!(found.iter().map(|row| row.ts - NOON).collect::<Vec<_>>(), [2 * FIVE_MINUTES, 5 * FIVE_MINUTES]);
    }

    #[test]
    fn of_answers_of_one_instant_the_later_one_stays() {
        let line = |cells: &str| heatmap_of(cells).replace('\n', "");
        let text = format!("{}\n{}\n", line("[0,0,50],[0,1,60]"), line("[0,0,70],[2,0,5]"));
        let found = rows("heatmap", &text);
        assert_eq!(
            texts(&found),
            [(NOON + FIVE_MINUTES, "102 long null 85 95 70 1"), (NOON + 3 * FIVE_MINUTES, "98 long null 85 95 5 1")]
        );
    }

    #[test]
    fn one_candle_needs_an_instant() {
        let text = heatmap_of("[0,0,50]");
        let (head, tail) = (text.find(",[1769861100").unwrap(), text.find("],\"update_time").unwrap());
        let one = format!("{}{}", &text[..head], &text[tail..]);
        assert_eq!(rows("heatmap", &one)[0].ts, 1_769_861_437_000);
        assert_eq!(
            refusal("heatmap", &one.replace(",\"update_time\":1769861437000", "")),
            "'price_candlesticks' must hold several candles, or 'update_time' be there: one does not tell its length"
        );
        assert_eq!(
            refusal("heatmap", &one.replace("1769861437000", "1769860799000")),
            "'update_time' must be no earlier than the candle, was '1769860799000'"
        );
    }

    #[test]
    fn what_is_wrong_in_a_heatmap_is_named() {
        let wrong = |cells: &str| refusal("heatmap", &heatmap_of(cells));
        for (cells, message) in [
            (
                "[0,0,1],[3,0,1]",
                "'liquidation_leverage_data[1][0]' must be the position of one of 3 candles, from 0, was '3'",
            ),
            ("[0,3,1]", "'liquidation_leverage_data[0][1]' must be the position of one of 3 levels, from 0, was '3'"),
            (
                "[-1,0,1]",
                "'liquidation_leverage_data[0][0]' must be the position of one of 3 candles, from 0, was '-1'",
            ),
            (
                "[0.5,0,1]",
                "'liquidation_leverage_data[0][0]' must be the position of one of 3 candles, from 0, was '0.5'",
            ),
            ("[0,0,-1]", "'liquidation_leverage_data[0][2]' must be a number of at least 0, was '-1'"),
            ("[0,0,null]", "'liquidation_leverage_data[0][2]' must be a number of at least 0, was 'null'"),
            ("[0,0]", "'liquidation_leverage_data[0]' must be [x, y, USD], was '[0,0]'"),
            ("7", "'liquidation_leverage_data[0]' must be [x, y, USD], was '7'"),
            (
                "[0,0,1],[0,0,2]",
                "'liquidation_leverage_data[1]' must be the only entry of its column and level, was '[0,0,2]'",
            ),
        ] {
            assert_eq!(wrong(cells), message);
        }
        let replaced = |from: &str, to: &str| refusal("heatmap", &heatmap_of("[0,0,1]").replace(from, to));
        for (from, to, message) in [
            ("[90,100,110]", "[90,90,110]", "'y_axis[1]' must be a positive price above the one before, was '90'"),
            ("[90,100,110]", "[0,100,110]", "'y_axis[0]' must be a positive price above the one before, was '0'"),
            ("[90,100,110]", "[90]", "'y_axis' must hold several prices: one does not tell the height of its cell"),
            ("[90,100,110]", "5", "'y_axis' must be a list"),
            ("y_axis", "z", "has no 'y_axis'"),
            ("price_candlesticks", "z", "has no 'price_candlesticks'"),
            ("liquidation_leverage_data", "z", "has no 'liquidation_leverage_data'"),
            (
                "\"102\",\"5000\"",
                "\"0\",\"5000\"",
                "'price_candlesticks[0]' must be [time, open, high, low, close, …] with a positive close, was \
                 '[1769860800,\"101\",\"106\",\"99\",\"0\",\"5000\"]'",
            ),
            (
                "1769860800",
                "\"noon\"",
                "'price_candlesticks[0]' must be [time, …] with an instant, was '[\"noon\",\"101\",\"106\",\"99\",\"102\",\
                 \"5000\"]'",
            ),
            (
                "1769861400",
                "1769861100",
                "'price_candlesticks[2]' must be later than the one before, was \
                 '[1769861100,\"98\",\"98\",\"98\",\"98\",\"0\"]'",
            ),
            (
                "[1769861400,\"98\",\"98\",\"98\",\"98\",\"0\"]",
                "[1769861400]",
                "'price_candlesticks[2]' must be [time, open, high, low, close, volume], was '[1769861400]'",
            ),
            ("1769860800", "17698608", "'ts' must be an instant between 2009 and 2100, was '17698908000 ms'"),
        ] {
            assert_eq!(replaced(from, to), message);
        }
        let empty = heatmap_of("").replace("[[1769860800", "[], \"rest\": [[1769860800");
        assert_eq!(refusal("heatmap", &empty), "'price_candlesticks' is empty");
        // Where bad rows are left out, the others of the answer are taken.
        let text = heatmap_of("[0,0,1],[9,9,9],[0,0,2],[0,2,4]");
        let read = taken::read(READERS, "heatmap", "a.json", &text, &said(), BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (2, 2));
        assert_eq!(read.rows[0].values, "102 long null 85 95 1 0.25");
        assert!(read.first_bad.unwrap().contains("a.json:1: 'liquidation_leverage_data[1][0]'"));
    }

    #[test]
    fn answers_of_errors_and_unnamed_markets_are_refused() {
        let text = r#"{"code":"40001","msg":"Upgrade plan"}"#;
        for kind in ["heatmap", "priceHistory", "openInterestHistoryCoin", "fundingRateHistory", "liquidationHistory"] {
            assert_eq!(refusal(kind, text), "the answer is an error: code 40001 Upgrade plan", "{kind}");
            assert_eq!(refusal(kind, r#"{"code":"0","data":null}"#), "has no 'data'", "{kind}");
            let no_symbol = Settings { symbol: None, ..said() };
            assert_eq!(
                refusal_with(kind, "a.json", "", &no_symbol),
                "a.json: the answer does not say of which symbol it is: say --symbol BTCUSDT"
            );
            assert_eq!(
                refusal_with(kind, "a.json", "", &Settings { exchange: None, ..said() }),
                "a.json: the answer does not say of which exchange it is: say --venue binance, or --venue all for a sum over \
                 several"
            );
        }
        for kind in ["map", "liquidationOrders"] {
            assert_eq!(refusal(kind, text), "the answer is an error: code 40001 Upgrade plan", "{kind}");
        }
        assert_eq!(refusal("priceHistory", r#"{"code":0,"data":7}"#), "'data' must be a list");
        assert_eq!(refusal("priceHistory", r#"{"code":500}"#), "the answer is an error: code 500");
    }

    const MAP: &str = r#"{"code":"0","data":{"data":{"48935":[[48935,1579370.77,25,null],[48936,20,25,null],
        [48935,400,"50",null]],"49000":[[49000,0,25,null]],"48805":[[48805,800,null,null]],"49065":[[49065,1,100]]}}}"#;

    fn map_settings() -> Settings {
        Settings { price: Some(48_950.0), ..said() }
    }

    #[test]
    fn a_map_is_a_frame_by_leverage() {
        let found = rows_with("map", "map-2026-01-31T12-00.json", MAP, &map_settings()).unwrap();
        // The smallest distance of levels is 65; entries of one leverage are summed.
        assert_eq!(
            texts(&found),
            [
                (NOON, "48950 long null 48772.5 48837.5 800 0.000506524"),
                (NOON, "48950 long 25 48902.5 48967.5 1579390.77 1"),
                (NOON, "48950 long 50 48902.5 48967.5 400 0.000253262"),
                (NOON, "48950 short 100 49032.5 49097.5 1 0.000000633"),
            ]
        );
    }

    #[test]
    fn a_map_of_several_exchanges_says_their_markets_and_its_price() {
        let text = r#"{"code":"0","data":{"last_price":77860,"update_time":1769860800000,"data":[
            {"liqMapV2":{"77000":[[77000,5,null,null]],"78000":[[78000,7,null,null]]},
             "instrument":{"exName":"Binance","instrumentId":"BTCUSDT"}},
            {"liqMapV2":{"77000":[[77000,3,null,null]],"78000":[]},
             "instrument":{"exName":"OKX","instrumentId":"BTC-USDT-SWAP"}}]}}"#;
        let found = rows_with("map", "a.json", text, &Settings::default()).unwrap();
        let of: Vec<_> =
            found.iter().map(|row| (row.exchange.as_str(), row.symbol.as_str(), row.values.as_str())).collect();
        assert_eq!(
            of,
            [
                ("binance", "BTCUSDT", "77860 long null 76500 77500 5 0.714285714"),
                ("binance", "BTCUSDT", "77860 short null 77500 78500 7 1"),
                ("okx", "BTCUSDT", "77860 long null 76500 77500 3 1"),
            ]
        );
        assert!(found.iter().all(|row| row.ts == NOON));
        // As the chart of the website has it.
        let one = r#"{"lastPrice":"77860","liqMapV2":{"77000":[[77000,5,null,null]],"78000":[]},"instrument":{"exName":"Bybit",
            "instrumentId":"BTCUSDT"}}"#;
        let found = rows_with("map", "1769860800000.json", one, &Settings::default()).unwrap();
        assert_eq!((found[0].exchange.as_str(), found[0].ts), ("bybit", NOON));
        // What the user says must not be something else.
        let wrong = |settings: Settings| refusal_with("map", "1769860800.json", one, &settings);
        let wrong_price = wrong(Settings { price: Some(1.0), ..Settings::default() });
        assert!(wrong_price.contains("'last_price' must be 1, as --price says, was '77860'"), "{wrong_price}");
        let wrong_market = wrong(said());
        assert!(wrong_market.contains("'exchange' must be binance, as --venue says, was 'bybit'"), "{wrong_market}");
        let wrong_symbol = wrong(Settings { symbol: Some("ETHUSDT".to_owned()), ..Settings::default() });
        assert!(wrong_symbol.contains("'symbol' must be ETHUSDT, as --symbol says, was 'BTCUSDT'"), "{wrong_symbol}");
    }

    #[test]
    fn what_is_wrong_in_a_map_is_named() {
        let refusal = |text: &str, file: &str, settings: &Settings| {
            let message = refusal_with("map", file, text, settings);
            let message = message.strip_prefix(&format!("{file}:1: ")).unwrap_or(&message).to_owned();
            message.strip_suffix(" (--on-bad-rows skip leaves such rows out)").unwrap_or(&message).to_owned()
        };
        for file in ["map.json", "map-2026-01-31.json", "map-2026-01-31-7d.json", "20260131.json"] {
            assert_eq!(
                refusal(MAP, file, &map_settings()),
                "holds no instant: put that of the answer into the file's name, as in map-2026-01-31T12-00.json (UTC)"
            );
        }
        let of = |text: &str| refusal(text, "20260131-1200.json", &map_settings());
        assert_eq!(refusal(MAP, "20260131-1200.json", &said()), "does not hold the price of the market: say --price");
        assert_eq!(
            refusal(MAP, "20260131-1200.json", &Settings { exchange: None, ..map_settings() }),
            "the answer does not say of which exchange it is: say --venue"
        );
        for (from, to, message) in [
            ("[48936,20,25,null]", "[48936]", "'48935[1]' must be [price, USD, leverage, …], was '[48936]'"),
            ("[48936,20,25,null]", "[48936,-20,25]", "'48935[1][1]' must be a number of at least 0, was '-20'"),
            ("[48936,20,25,null]", "[48936,20,0]", "'48935[1][2]' must be a positive number, was '0'"),
            ("\"49065\":", "\"cheap\":", "'a level' must be a positive price, was 'cheap'"),
            ("\"49065\":", "\"49000.0\":", "must hold every level once"),
            ("[[49065,1,100]]", "7", "'49065' must be a list"),
        ] {
            assert_eq!(of(&MAP.replace(from, to)), message);
        }
        assert_eq!(
            of(r#"{"data":{"data":{"1":[[1,1,1]]}}}"#),
            "must hold several levels: one does not tell the height of its cell"
        );
        assert_eq!(of(r#"{"data":{"data":7}}"#), "'data' must hold prices, or a list of maps");
        assert_eq!(of(r#"{"data":{"data":[7]}}"#), "'liqMapV2' must hold prices");
    }

    #[test]
    fn instants_are_found_in_names() {
        for name in [
            "map-2026-01-31T12-00.json",
            "2026-01-31 12:00:00.json",
            "20260131T120000Z.json",
            "BTCUSD_260327-map-20260131_1200-7d.json",
            "202601311200.json",
            "20260131120000",
            "map_1769860800.json",
            "map_1769860800000_7d.json",
        ] {
            assert_eq!(instant_in(name), Some(NOON), "{name}");
        }
        for name in ["", "map", "2026-01-31", "20260131", "2026-01-31-30d.json", "2026-01-31T24-00", "2026-13-31T12-00"]
        {
            assert_eq!(instant_in(name), None, "{name}");
        }
    }

    #[test]
    fn candles_have_volumes_in_base_units() {
        let text = r#"{"code":"0","data":[{"time":1769860800000,"open":"101","high":"106","low":"99","close":"100",
            "volume_usd":"5000"},{"time":1769864400000,"open":"100","high":"100","low":"100","close":"100","volume_usd":"0"}]}"#;
        let found = rows("priceHistory", text);
        assert_eq!(texts(&found), [(NOON, "101 106 99 100 50 null"), (NOON + HOUR_MS, "100 100 100 100 0 null")]);
        assert_eq!((found[0].exchange.as_str(), found[0].symbol.as_str()), ("binance", "BTCUSDT"));
        // One candle per line, without what is around them.
        let lines = "{\"time\":1769860800000,\"open\":101,\"high\":106,\"low\":99,\"close\":100,\"volume_usd\":5000}\n";
        assert_eq!(texts(&rows("priceHistory", lines)), [(NOON, "101 106 99 100 50 null")]);
        for (from, to, message) in [
            ("\"volume_usd\":\"5000\"", "\"v\":1", "has no 'volume_usd'"),
            ("\"99\"", "\"x\"", "'low' must be a number, was '\"x\"'"),
            ("\"high\":\"106\"", "\"high\":\"98\"", "open 101 and close 100 must lie between low 99 and high 98"),
            ("\"close\":\"100\",\n", "\"close\":\"0\",\n", "'close' must be a positive number, was '0'"),
            ("1769860800000", "\"x\"", "'time' must be an instant, was '\"x\"'"),
            ("\"time\":1769860800000,", "", "has no 'time'"),
        ] {
            assert_eq!(refusal("priceHistory", &text.replace(from, to)), message);
        }
    }

    #[test]
    fn open_interest_is_the_state_at_the_start_of_an_interval_in_coins() {
        let text = r#"{"code":"0","data":[{"time":1769860800000,"open":"90123.5","high":"95000","low":"90000","close":"91000"}]}"#;
        assert_eq!(texts(&rows("openInterestHistoryCoin", text)), [(NOON, "90123.5")]);
        let older = r#"{"code":"0","data":[{"t":1769860800,"o":"90123.5","h":"95000","l":"90000","c":"91000"}]}"#;
        assert_eq!(rows("openInterestHistoryCoin", older), rows("openInterestHistoryCoin", text));
        let usd = text.replace("90123.5", "2644845344");
        assert_eq!(
            refusal("openInterestHistoryCoin", &usd),
            "'open' must be coins, of which there are at most 21000000: ask for unit=coin, not for USD, was '2644845344'"
        );
        let of_doge = Settings { symbol: Some("DOGEUSDT".to_owned()), ..said() };
        assert_eq!(rows_with("openInterestHistoryCoin", "a", &usd, &of_doge).unwrap()[0].values, "2644845344");
        assert_eq!(refusal("openInterestHistoryCoin", &text.replace("open", "oops")), "has no 'open'");
    }

    #[test]
    fn funding_is_in_per_cent_and_settled_every_eight_hours() {
        let text = r#"{"code":"0","data":[
            {"time":1769846400000,"open":"0.004603","high":"0.009388","low":"-0.005063","close":"0.009229"},
            {"time":1769860800000,"open":"0.007","high":"0.01","low":"0.007","close":"0.01"},
            {"time":1769875200000,"open":"-0.01","high":"0.01","low":"-0.01","close":"0.01"}]}"#;
        // Noon is between two settlements.
        let found = rows("fundingRateHistory", text);
        assert_eq!(texts(&found), [(NOON - 4 * HOUR_MS, "0.00004603 8"), (NOON + 4 * HOUR_MS, "-0.0001 8")]);
        let of_hyperliquid = Settings { exchange: Some("Hyperliquid".to_owned()), ..said() };
        let found = rows_with("fundingRateHistory", "a", text, &of_hyperliquid).unwrap();
        assert_eq!(texts(&found)[1], (NOON, "0.00007 1"));
        assert_eq!(found[0].exchange, "hyperliquid");
        assert_eq!(
            refusal("fundingRateHistory", &text.replace("\"0.004603\"", "\"low\"")),
            "'open' must be a number, was '\"low\"'"
        );
    }

    #[test]
    fn sums_of_liquidations_are_of_positions_and_the_newest_is_left_out() {
        let entry = |time: i64, long: &str, short: &str| {
            format!(r#"{{"time":{time},"long_liquidation_usd":"{long}","short_liquidation_usd":"{short}"}}"#)
        };
        let answer = |entries: &[String]| format!(r#"{{"code":"0","data":[{}]}}"#, entries.join(","));
        let text = answer(&[
            entry(NOON, "2369935.5", "6947459.25"),
            entry(NOON + HOUR_MS, "0", "7"),
            entry(NOON + 2 * HOUR_MS, "1", "1"),
        ]);
        let found = rows("liquidationHistory", &text);
        // Side of the positions, trigger, bankruptcy price, size, USD.
        let expected = [
            (NOON, "long null null null 2369935.5"),
            (NOON, "short null null null 6947459.25"),
            (NOON + HOUR_MS, "short null null null 7"),
        ];
        assert_eq!(texts(&found), expected);
        let of_coin = text.replace("long_liq", "aggregated_long_liq").replace("short_liq", "aggregated_short_liq");
        assert_eq!(texts(&rows("liquidationHistory", &of_coin)), expected);
        // A later answer has the interval that was still running whole.
        let later = answer(&[entry(NOON + HOUR_MS, "3", "8"), entry(NOON + 2 * HOUR_MS, "5", "0")]);
        let found = rows("liquidationHistory", &format!("{text}\n{later}\n"));
        assert_eq!(
            texts(&found)[2..],
            [(NOON + HOUR_MS, "long null null null 3"), (NOON + HOUR_MS, "short null null null 8")]
        );
        assert_eq!(
            refusal("liquidationHistory", &answer(&[entry(NOON, "1", "1")])),
            "a.json: holds one interval, which may not have been over: ask for more"
        );
        for (from, to, message) in [
            ("\"7\"", "\"-7\"", "'short_liquidation_usd' must be a number of at least 0, was '\"-7\"'"),
            ("long_liquidation_usd", "l", "has no 'long_liquidation_usd'"),
        ] {
            assert_eq!(refusal("liquidationHistory", &text.replace(from, to)), message);
        }
    }

    #[test]
    fn a_forced_sell_closes_a_long() {
        let text = r#"{"code":"0","data":[
            {"exchange_name":"BINANCE","symbol":"BTCUSDT","base_asset":"BTC","price":50000,"usd_value":25000,"side":2,
             "time":1769860800123},
            {"exchange_name":"Bybit","symbol":"BTCUSDT","base_asset":"BTC","price":50200,"usd_value":25100,"side":1,
             "time":1769860800124},
            {"exchange_name":"OKX","symbol":"BTC-USD-SWAP","base_asset":"BTC","price":50000,"usd_value":100,"side":"2",
             "time":1769860800125}]}"#;
        let found = rows_with("liquidationOrders", "a.json", text, &Settings::default()).unwrap();
        let of: Vec<_> =
            found.iter().map(|row| (row.exchange.as_str(), row.symbol.as_str(), row.values.as_str())).collect();
        // Bybit and OKX publish the bankruptcy price: the trigger lies 0.4 % before it.
        assert_eq!(
            of,
            [
                ("binance", "BTCUSDT", "long 50000 null 0.5 25000"),
                ("bybit", "BTCUSDT", "short 50000 50200 0.5 25100"),
                ("okx", "BTCUSD", "long 50200 50000 0.002 100"),
            ]
        );
        assert_eq!(found[0].ts, NOON + 123);
        assert!(found.iter().all(|row| row.identity.is_some()));
        assert_ne!(found[0].identity, found[1].identity);
        // The same order in two pages has one identity.
        let twice = rows_with("liquidationOrders", "a", &format!("[{text},{text}]"), &Settings::default()).unwrap();
        assert_eq!(twice[0].identity, twice[3].identity);
        // A message of the stream, after the answer to the subscription.
        let stream = "{\"event\":\"subscribed\"}\n{\"channel\":\"liquidationOrders\",\"data\":[{\"baseAsset\":\"BTC\",\
            \"exName\":\"Binance\",\"price\":50000.00,\"side\":2,\"symbol\":\"BTCUSDT\",\"time\":1769860800123,\
            \"volUsd\":25000}]}\n";
        assert_eq!(rows("liquidationOrders", stream)[0].values, "long 50000 null 0.5 25000");
        for (from, to, message) in [
            ("\"side\":2", "\"side\":3", "'side' must be 1 (buy) or 2 (sell), was '3'"),
            ("\"exchange_name\":\"BINANCE\",", "", "has no 'exchange_name'"),
            ("\"usd_value\":25000,", "", "has no 'usd_value'"),
            (
                "\"price\":50000,\"usd_value\":25000",
                "\"price\":0,\"usd_value\":25000",
                "'price' must be a positive number, was '0'",
            ),
            ("\"symbol\":\"BTCUSDT\",", "", "has no 'symbol'"),
        ] {
            assert_eq!(refusal("liquidationOrders", &text.replacen(from, to, 1)), message);
        }
        let wrong = refusal_with("liquidationOrders", "a", text, &Settings { symbol: None, ..said() });
        assert!(wrong.contains("'exchange' must be binance, as --venue says, was 'bybit'"), "{wrong}");
    }
}

//! Hyperliquid: files of its public buckets, and answers of its API.
//!
//! In: `asset_ctxs` (`s3://hyperliquid-archive/asset_ctxs/{YYYYMMDD}.csv.lz4`); `node_fills_by_block`
//! (`s3://hl-mainnet-node-data/node_fills_by_block/hourly/{YYYYMMDD}/{H}.lz4`, one block per line) and the older shapes of a
//! line, `[user, fill]` and a fill alone; answers `clearinghouseState` and `meta` of the API. Out: rows of the market
//! tables, of perpetuals of the main exchange only, as COIN + `USDC`: coins `@1` and `A/USDC` (spot) and `dex:A` (markets of
//! builders) are left out. Quantities are in the coin, open interest is of one side, numbers are texts.
//!
//! Funding: `asset_ctxs` states, about every minute, the rate that runs for the hour, and at the end of the hour that rate
//! is paid. So the last rate of an hour is the settled one, and it stands at the end of the hour: of the rows from 10:00:00
//! to 10:59:59 the last, at 11:00. If the second half of an hour has no row, the rate at its end is not known and the hour
//! is left out; that also keeps a late row of midnight in a day's file from being taken for an hour.
//!
//! A trade stands in the fills twice, once for each user; the taker's fill has `crossed`. A liquidation is a fill with
//! `liquidation`, which both users' fills have; the liquidated user's is the row, its trigger is the mark price there.

use serde_json::Value as Json;

use super::delimited::{Delimited, Record};
use super::documents::{each_value, list, member, number, optional_number, text, time};
use super::reading::{BadRow, Out, Reader, Row, Settings, Value, day_of, identity_of};
use super::settlement::{HOUR_MS, Running, Seen};
use super::source::Source;
use crate::error::{Error, Result};
use crate::market::tables::{FUNDING, LEVERAGE_TIERS, LIQUIDATIONS, OPEN_INTEREST, POSITIONS, TRADES};

const EXCHANGE: &str = "hyperliquid";

/// Margin tables of a smaller number are not listed: they have one tier, with that leverage.
const LISTED_MARGIN_TABLES: u64 = 50;

/// What is read.
pub static READERS: &[Reader] = &[
    Reader {
        exchange: EXCHANGE,
        kind: "asset_ctxs",
        table: &OPEN_INTEREST,
        about: "open interest of the archive",
        read: open_interest,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "asset_ctxs-funding",
        table: &FUNDING,
        about: "funding of the same files: the last rate of each hour, at its end",
        read: funding,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "fills",
        table: &TRADES,
        about: "trades of a node's fills (node_fills_by_block)",
        read: trades,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "fills-liquidations",
        table: &LIQUIDATIONS,
        about: "liquidations of the same files",
        read: liquidations,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "clearinghouse",
        table: &POSITIONS,
        about: "positions of clearinghouseState answers; without a 'user' in it the file's name is the account",
        read: positions,
    },
    Reader {
        exchange: EXCHANGE,
        kind: "meta",
        table: &LEVERAGE_TIERS,
        about: "margin tiers of the API; the file's name holds the date since when they are known",
        read: leverage_tiers,
    },
];

/// The symbol of a coin; `None` if it is no perpetual of the main exchange.
pub(super) fn symbol_of_coin(coin: &str) -> Option<String> {
    let is_other = coin.starts_with('@') || coin.contains([':', '/']);
    (!is_other).then(|| format!("{}USDC", coin.to_ascii_uppercase()))
}

const ASSET_CTXS: [&str; 12] = [
    "time",
    "coin",
    "funding",
    "open_interest",
    "prev_day_px",
    "day_ntl_vlm",
    "premium",
    "oracle_px",
    "mark_px",
    "mid_px",
    "impact_bid_px",
    "impact_ask_px",
];

/// Hands over symbol, instant and number of every row of `asset_ctxs` that has this number.
fn each_asset_ctx(
    source: &mut Source<'_>,
    out: &mut Out<'_>,
    column: &str,
    mut each: impl FnMut(&Record<'_>, String, i64, f64, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    let file = Delimited::open(source, &ASSET_CTXS)?;
    let (ts, coin, column) = (file.column("time")?, file.column("coin")?, file.column(column)?);
    file.each(out, |record, out| {
        let row = || -> Result<Option<(String, i64, f64)>, BadRow> {
            let number = record.optional_number(Some(column))?;
            let (Some(symbol), Some(number)) = (symbol_of_coin(record.text(coin)?), number) else { return Ok(None) };
            Ok(Some((symbol, record.instant(ts)?, number)))
        };
        match row() {
            Ok(Some((symbol, ts, number))) => each(record, symbol, ts, number, out).map(Ok),
            Ok(None) => Ok(Ok(())),
            Err(bad) => Ok(Err(bad)),
        }
    })
}

fn open_interest(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_asset_ctx(source, out, "open_interest", |record, symbol, ts, amount, out| {
        // Instants are not put on the minute: some minutes have two rows.
        let identity = Some(identity_of(record.bytes()));
        let values = [Value::Number(amount)];
        out.push(record.line, &Row { exchange: EXCHANGE, symbol: &symbol, ts, identity, values: &values })
    })
}

fn funding(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let mut running = Running::default();
    each_asset_ctx(source, out, "funding", |record, symbol, ts, rate, _| {
        let end = ts.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
        running.see(EXCHANGE, &symbol, end, Seen { line: record.line, ts, rate });
        Ok(())
    })?;
    running.give(Some(1.0), |before, _| before <= HOUR_MS / 2, out)
}

/// What is done with a fill: its user, if it is known, the fill, and its line.
type EachFill = fn(Option<&str>, &Json, u64, &mut Out<'_>) -> Result<Result<(), BadRow>>;

/// Hands over every fill, with its user where the file states it. What `each` refuses leaves the other fills of its line.
fn each_fill(source: &mut Source<'_>, out: &mut Out<'_>, each: EachFill) -> Result<()> {
    each_value(source, out, |value, line, out| {
        let Some(events) = value.get("events") else { return one_fill(value, line, out, each) };
        let Some(events) = events.as_array() else { return Ok(Err(BadRow::new("events", "a list", events))) };
        for event in events {
            if let Err(bad) = one_fill(event, line, out, each)? {
                out.refuse(line, &bad)?;
            }
        }
        Ok(Ok(()))
    })
}

/// `[user, fill]`, or a fill alone, which may have a `user`.
fn one_fill(event: &Json, line: u64, out: &mut Out<'_>, each: EachFill) -> Result<Result<(), BadRow>> {
    let (user, fill) = match event.as_array().map(Vec::as_slice) {
        Some([Json::String(user), fill]) if fill.is_object() => (Some(user.as_str()), fill),
        None if event.is_object() => (event.get("user").and_then(Json::as_str), event),
        _ => return Ok(Err(BadRow("is neither a block with 'events', nor [user, fill], nor a fill".to_owned()))),
    };
    each(user, fill, line, out)
}

/// Pushes what could be read of a fill.
fn push_fill<const N: usize>(
    fill: &Json,
    symbol: &str,
    values: Result<[Value<'_>; N], BadRow>,
    line: u64,
    out: &mut Out<'_>,
) -> Result<Result<(), BadRow>> {
    let row = || -> Result<(i64, u64, [Value<'_>; N]), BadRow> {
        let tid = member(fill, "tid")?;
        let identity = tid.as_u64().ok_or_else(|| BadRow::new("tid", "a whole number", tid))?;
        Ok((time(fill, "time")?, identity, values?))
    };
    match row() {
        Ok((ts, identity, values)) => {
            let row = Row { exchange: EXCHANGE, symbol, ts, identity: Some(identity), values: &values };
            out.push(line, &row).map(Ok)
        }
        Err(bad) => Ok(Err(bad)),
    }
}

/// Whether the user of a fill bought.
fn has_bought(fill: &Json) -> Result<bool, BadRow> {
    match text(fill, "side")? {
        "B" => Ok(true),
        "A" => Ok(false),
        other => Err(BadRow::new("side", "B or A", other)),
    }
}

fn trades(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_fill(source, out, trade)
}

fn trade(_user: Option<&str>, fill: &Json, line: u64, out: &mut Out<'_>) -> Result<Result<(), BadRow>> {
    let start = || -> Result<(Option<String>, bool), BadRow> {
        let crossed = member(fill, "crossed")?;
        let crossed = crossed.as_bool().ok_or_else(|| BadRow::new("crossed", "true or false", crossed))?;
        Ok((symbol_of_coin(text(fill, "coin")?), crossed))
    };
    let symbol = match start() {
        Ok((Some(symbol), true)) => symbol,
        // The maker's half of a trade, or another market.
        Ok(_) => return Ok(Ok(())),
        Err(bad) => return Ok(Err(bad)),
    };
    let values = || -> Result<[Value<'_>; 3], BadRow> {
        let side = if has_bought(fill)? { "buy" } else { "sell" };
        Ok([Value::Number(number(fill, "px")?), Value::Number(number(fill, "sz")?), Value::Text(side)])
    };
    push_fill(fill, &symbol, values(), line, out)
}

fn liquidations(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    each_fill(source, out, liquidation)
}

fn liquidation(user: Option<&str>, fill: &Json, line: u64, out: &mut Out<'_>) -> Result<Result<(), BadRow>> {
    let Some(liquidation) = fill.get("liquidation").filter(|liquidation| !liquidation.is_null()) else {
        return Ok(Ok(()));
    };
    let start = || -> Result<Option<String>, BadRow> {
        let liquidated = text(liquidation, "liquidatedUser")?;
        let Some(user) = user else {
            let missing = "has a 'liquidation' and no user: which of its two users was liquidated is not known";
            return Err(BadRow(missing.to_owned()));
        };
        // The other half is the fill of whoever took the position over.
        Ok(symbol_of_coin(text(fill, "coin")?).filter(|_| user.eq_ignore_ascii_case(liquidated)))
    };
    let symbol = match start() {
        Ok(Some(symbol)) => symbol,
        Ok(None) => return Ok(Ok(())),
        Err(bad) => return Ok(Err(bad)),
    };
    let values = || -> Result<[Value<'_>; 5], BadRow> {
        // Who is liquidated sells a long and buys back a short.
        let side = if has_bought(fill)? { "short" } else { "long" };
        let (price, size) = (number(fill, "px")?, number(fill, "sz")?);
        let [trigger, size, usd] = [number(liquidation, "markPx")?, size, size * price].map(Value::Number);
        Ok([Value::Text(side), trigger, Value::Null, size, usd])
    };
    push_fill(fill, &symbol, values(), line, out)
}

fn positions(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let file = source.file.clone();
    let named = file.rsplit_once('.').map_or(file.as_str(), |(name, _)| name);
    each_value(source, out, |state, line, out| {
        let entries = list(state, "assetPositions");
        let (ts, entries) = match entries.and_then(|entries| Ok((time(state, "time")?, entries))) {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        let stated = ["user", "account"].iter().find_map(|name| state.get(name)?.as_str());
        for entry in entries {
            if let Err(bad) = position(entry, stated.unwrap_or(named), ts, line, out)? {
                out.refuse(line, &bad)?;
            }
        }
        Ok(Ok(()))
    })
}

fn position(entry: &Json, account: &str, ts: i64, line: u64, out: &mut Out<'_>) -> Result<Result<(), BadRow>> {
    let row = || -> Result<Option<(String, [Value<'_>; 7])>, BadRow> {
        let position = member(entry, "position")?;
        let signed = number(position, "szi")?;
        let Some(symbol) = symbol_of_coin(text(position, "coin")?).filter(|_| signed != 0.0) else { return Ok(None) };
        let side = if signed > 0.0 { "long" } else { "short" };
        let stated = optional_number(position, "liquidationPx")?.filter(|price| *price > 0.0);
        let values = [
            Value::Text(account),
            Value::Text(side),
            Value::Number(signed.abs()),
            Value::Number(number(position, "entryPx")?),
            Value::Number(number(member(position, "leverage")?, "value")?),
            stated.map_or(Value::Null, Value::Number),
            Value::Number(number(position, "positionValue")?.abs()),
        ];
        Ok(Some((symbol, values)))
    };
    match row() {
        Ok(Some((symbol, values))) => {
            // An answer that was recorded twice has the same time.
            let identity = Some(identity_of(format!("{account} {entry}").as_bytes()));
            out.push(line, &Row { exchange: EXCHANGE, symbol: &symbol, ts, identity, values: &values }).map(Ok)
        }
        Ok(None) => Ok(Ok(())),
        Err(bad) => Ok(Err(bad)),
    }
}

/// A tier: from which notional on, and with which leverage.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tier {
    floor: f64,
    max_leverage: f64,
}

fn leverage_tiers(source: &mut Source<'_>, _settings: &Settings, out: &mut Out<'_>) -> Result<()> {
    let dated = day_of(source, "meta-2026-01-31.json");
    each_value(source, out, |meta, line, out| {
        let stated = meta.get("time").is_some_and(|time| !time.is_null()).then(|| time(meta, "time"));
        let known_since = match (stated, &dated) {
            (Some(Ok(ts)), _) => ts,
            (None, Ok(ts)) => *ts,
            (Some(Err(bad)), _) => return Ok(Err(bad)),
            (None, Err(error)) => return Err(Error::new(error.to_string())),
        };
        let universe = match list(meta, "universe") {
            Ok(universe) => universe,
            Err(bad) => return Ok(Err(bad)),
        };
        for coin in universe {
            if let Err(bad) = coin_tiers(meta, coin, known_since, line, out)? {
                out.refuse(line, &bad)?;
            }
        }
        Ok(Ok(()))
    })
}

fn coin_tiers(meta: &Json, coin: &Json, known_since: i64, line: u64, out: &mut Out<'_>) -> Result<Result<(), BadRow>> {
    let read = || -> Result<Option<(String, Vec<Tier>)>, BadRow> {
        let Some(symbol) = symbol_of_coin(text(coin, "name")?) else { return Ok(None) };
        Ok(Some((symbol, tiers_of(meta, coin)?)))
    };
    let (symbol, tiers) = match read() {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(Ok(())),
        Err(bad) => return Ok(Err(bad)),
    };
    let (mut deducted, mut rate_below) = (0.0, None);
    for (index, tier) in tiers.iter().enumerate() {
        let rate = 1.0 / (2.0 * tier.max_leverage);
        // So that the requirement does not jump where one tier ends and the next begins.
        deducted += tier.floor * (rate - rate_below.unwrap_or(rate));
        rate_below = Some(rate);
        let values = [
            Value::Text("quote_notional"),
            Value::Number(tier.floor),
            tiers.get(index + 1).map_or(Value::Null, |next| Value::Number(next.floor)),
            Value::Number(rate),
            Value::Number(tier.max_leverage),
            Value::Number(deducted),
            Value::Null,
        ];
        let row = Row { exchange: EXCHANGE, symbol: &symbol, ts: known_since, identity: None, values: &values };
        out.push(line, &row)?;
    }
    Ok(Ok(()))
}

/// The tiers of a coin: of its margin table, or, where it has none, one with the coin's leverage.
fn tiers_of(meta: &Json, coin: &Json) -> Result<Vec<Tier>, BadRow> {
    let single = |max_leverage: f64| Ok(vec![Tier { floor: 0.0, max_leverage }]);
    // Answers of before the tables were introduced name none.
    let Some(wanted) = coin.get("marginTableId").filter(|id| !id.is_null()) else {
        return single(number(coin, "maxLeverage")?);
    };
    let id = wanted.as_u64().ok_or_else(|| BadRow::new("marginTableId", "a whole number", wanted))?;
    let tables = meta.get("marginTables").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let table = tables.iter().find_map(|entry| match entry.as_array().map(Vec::as_slice) {
        Some([known, table]) if known.as_u64() == Some(id) => Some(table),
        _ => None,
    });
    let Some(table) = table else {
        if (1..LISTED_MARGIN_TABLES).contains(&id) {
            return single(id as f64);
        }
        return Err(BadRow::new("marginTableId", "below 50 or one of 'marginTables'", id));
    };
    let mut tiers = Vec::<Tier>::new();
    for entry in list(table, "marginTiers")? {
        let tier = Tier { floor: number(entry, "lowerBound")?, max_leverage: number(entry, "maxLeverage")? };
        if tiers.last().is_some_and(|last| last.floor >= tier.floor) {
            return Err(BadRow::new("lowerBound", "larger than that of the tier before", tier.floor));
        }
        if tier.max_leverage <= 0.0 {
            return Err(BadRow::new("maxLeverage", "a positive number", tier.max_leverage));
        }
        tiers.push(tier);
    }
    Ok(tiers)
}

#[cfg(test)]
mod tests {
    use super::super::reading::BadRows;
    use super::super::taken;
    use super::*;

    /// 2025-11-13 00:00 UTC.
    const DAY: i64 = 1_762_992_000_000;

    fn read_with(kind: &str, file: &str, text: &str, policy: BadRows) -> Result<taken::Read> {
        taken::read(READERS, kind, file, text, &Settings::default(), policy)
    }

    fn read(kind: &str, file: &str, text: &str) -> Vec<(String, i64, String)> {
        let rows = read_with(kind, file, text, BadRows::Error).unwrap().rows;
        rows.into_iter().map(|row| (row.symbol, row.ts, row.values)).collect()
    }

    fn error(kind: &str, file: &str, text: &str) -> String {
        read_with(kind, file, text, BadRows::Error).unwrap_err().to_string()
    }

    fn row(symbol: &str, ts: i64, values: &str) -> (String, i64, String) {
        (symbol.to_owned(), ts, values.to_owned())
    }

    const HEADER: &str = "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px\n";

    fn ctxs(rows: &str) -> String {
        format!("{HEADER}{rows}")
    }

    #[test]
    fn open_interest_is_in_coins_at_its_own_instant() {
        let text = ctxs(
            "2025-11-13T00:01:00Z,BTC,0.0000125,27890.12,101500.0,3.1e9,0.0001,101702.0,101701.0,101700.5,101700.0,101701.0\n\
             2025-11-13T00:01:03Z,BTC,0.0000125,27890.5,101500.0,3.1e9,,101702.0,101701.0,,,\n\
             2025-11-13 00:02:00,kPEPE,-0.00001,5000000,0.005,1000.0,,0.005,0.005,,,\n\
             2025-11-13T00:01:00Z,OLD,0.0,,1.0,0.0,,1.0,1.0,,,\n\
             2025-11-13T00:01:00Z,xyz:TSLA,0.0,12.0,1.0,0.0,,1.0,1.0,,,\n\
             2025-11-13T00:01:00Z,@107,0.0,12.0,1.0,0.0,,1.0,1.0,,,\n",
        );
        let rows = read("asset_ctxs", "20251113.csv.lz4", &text);
        let expected = [
            row("BTCUSDC", DAY + 60_000, "27890.12"),
            row("BTCUSDC", DAY + 63_000, "27890.5"),
            row("KPEPEUSDC", DAY + 120_000, "5000000"),
        ];
        assert_eq!(rows, expected);
        // Without the header.
        assert_eq!(read("asset_ctxs", "a.csv", text.strip_prefix(HEADER).unwrap()), expected);
    }

    #[test]
    fn repetitions_of_a_line_have_one_identity() {
        let line = "2025-11-13T00:01:00Z,BTC,0.0000125,27890.12,1,1,,1,1,,,\n";
        let rows = read_with("asset_ctxs", "a.csv", &ctxs(&line.repeat(2)), BadRows::Error).unwrap().rows;
        assert!(rows[0].identity.is_some());
        assert_eq!(rows[0].identity, rows[1].identity);
    }

    #[test]
    fn bad_rows_of_asset_ctxs_are_named() {
        let text = ctxs("2025-11-13T00:01:00Z,BTC,0.0000125,-1,1,1,,1,1,,,\n");
        let message = error("asset_ctxs", "a.csv", &text);
        assert!(message.starts_with("a.csv:2: 'open_interest' must be a number of at least 0, was '-1'"), "{message}");
        let text = ctxs("2025-11-13T00:01:00Z,BTC,x,1,1,1,,1,1,,,\nnever,BTC,0.1,1,1,1,,1,1,,,\n");
        let read = read_with("asset_ctxs-funding", "a.csv", &text, BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (0, 2));
        assert_eq!(read.first_bad.unwrap(), "a.csv:2: 'funding' must be a number, was 'x'");
    }

    #[test]
    fn the_last_rate_of_an_hour_is_paid_at_its_end() {
        let text = ctxs(
            "2025-11-13T00:00:00Z,BTC,0.0000100,1,1,1,,1,1,,,\n\
             2025-11-13T00:59:00Z,BTC,0.0000125,1,1,1,,1,1,,,\n\
             2025-11-13T00:59:00Z,ETH,-0.00002,1,1,1,,1,1,,,\n\
             2025-11-13T01:00:02Z,BTC,0.0000130,1,1,1,,1,1,,,\n\
             2025-11-13T01:58:59Z,BTC,0.0000140,1,1,1,,1,1,,,\n\
             2025-11-13T02:00:00Z,BTC,0.0000999,1,1,1,,1,1,,,\n",
        );
        let expected = [
            row("BTCUSDC", DAY + HOUR_MS, "0.0000125 1"),
            row("BTCUSDC", DAY + 2 * HOUR_MS, "0.000014 1"),
            row("ETHUSDC", DAY + HOUR_MS, "-0.00002 1"),
        ];
        // The row at 02:00:00 alone says nothing of the rate at 03:00.
        assert_eq!(read("asset_ctxs-funding", "20251113.csv", &text), expected);
    }

    fn fill(coin: &str, side: &str, crossed: bool, tid: u64, more: &str) -> String {
        format!(
            r#"{{"coin":"{coin}","px":"100.5","sz":"2.0","side":"{side}","time":1762992000123,"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0","hash":"0x00","oid":1,"crossed":{crossed},"fee":"0.1","tid":{tid},"feeToken":"USDC","twapId":null{more}}}"#
        )
    }

    fn block(events: &[(&str, String)]) -> String {
        let events: Vec<_> = events.iter().map(|(user, fill)| format!(r#"["{user}",{fill}]"#)).collect();
        let events = events.join(",");
        format!("{{\"block_time\":\"2025-11-13T00:00:00.123456789\",\"block_number\":1,\"events\":[{events}]}}\n")
    }

    #[test]
    fn a_trade_is_one_row_with_the_side_of_the_taker() {
        let text = [
            block(&[("0xa", fill("BTC", "B", false, 7, "")), ("0xb", fill("BTC", "A", true, 7, ""))]),
            block(&[("0xa", fill("@107", "B", true, 8, "")), ("0xb", fill("xyz:TSLA", "A", true, 9, ""))]),
            block(&[("0xa", fill("PURR/USDC", "B", true, 8, ""))]),
            block(&[]),
            block(&[("0xa", fill("ETH", "B", true, 10, ""))]),
        ];
        let rows = read_with("fills", "0.lz4", &text.concat(), BadRows::Error).unwrap().rows;
        assert_eq!(rows.iter().map(|row| row.identity).collect::<Vec<_>>(), [Some(7), Some(10)]);
        let expected = [row("BTCUSDC", DAY + 123, "100.5 2 sell"), row("ETHUSDC", DAY + 123, "100.5 2 buy")];
        assert_eq!(read("fills", "0.lz4", &text.concat()), expected);
    }

    #[test]
    fn older_shapes_of_a_fill_are_read() {
        let expected = [row("BTCUSDC", DAY + 123, "100.5 2 buy")];
        let alone = fill("BTC", "B", true, 7, "");
        assert_eq!(read("fills", "a", &alone), expected);
        assert_eq!(read("fills", "a", &format!("[{alone}]")), expected);
        assert_eq!(read("fills", "a", &format!(r#"["0xa",{alone}]"#)), expected);
        assert_eq!(read("fills", "a", &format!(r#"[["0xa",{alone}]]"#)), expected);
    }

    #[test]
    fn bad_fills_leave_the_others_of_their_block() {
        let bad = fill("BTC", "B", true, 7, "").replace("\"100.5\"", "\"-1\"");
        let text = block(&[("0xa", bad.clone()), ("0xb", fill("BTC", "A", true, 8, ""))]);
        let message = error("fills", "0.lz4", &text);
        assert!(message.starts_with("0.lz4:1: 'price' must be a positive number, was '-1'"), "{message}");
        let read = read_with("fills", "0.lz4", &text, BadRows::Skip).unwrap();
        assert_eq!((read.rows.len(), read.bad), (1, 1));
        for (from, to, expected) in [
            ("\"side\":\"B\"", "\"side\":\"buy\"", "'side' must be B or A, was 'buy'"),
            ("\"tid\":7", "\"tid\":null", "has no 'tid'"),
            ("\"crossed\":true", "\"crossed\":1", "'crossed' must be true or false, was '1'"),
        ] {
            let message = error("fills", "0.lz4", &fill("BTC", "B", true, 7, "").replace(from, to));
            assert!(message.contains(expected), "{message}");
        }
        assert!(error("fills", "0.lz4", "{\"events\":[3]}").contains("nor [user, fill]"));
    }

    #[test]
    fn a_liquidation_is_the_row_of_the_liquidated_user() {
        let more = r#","liquidation":{"liquidatedUser":"0xAb","markPx":"100.0","method":"market"}"#;
        let text = [
            block(&[("0xab", fill("BTC", "A", true, 7, more)), ("0xc", fill("BTC", "B", false, 7, more))]),
            block(&[("0xab", fill("ETH", "B", true, 8, more)), ("0xc", fill("ETH", "A", false, 8, more))]),
            block(&[("0xab", fill("@1", "A", true, 9, more)), ("0xab", fill("BTC", "A", true, 10, ""))]),
        ];
        let rows = read_with("fills-liquidations", "0.lz4", &text.concat(), BadRows::Error).unwrap().rows;
        assert_eq!(rows.iter().map(|row| row.identity).collect::<Vec<_>>(), [Some(7), Some(8)]);
        let expected =
            [row("BTCUSDC", DAY + 123, "long 100 null 2 201"), row("ETHUSDC", DAY + 123, "short 100 null 2 201")];
        assert_eq!(read("fills-liquidations", "0.lz4", &text.concat()), expected);
        let message = error("fills-liquidations", "a", &fill("BTC", "A", true, 7, more));
        assert!(message.contains("which of its two users was liquidated is not known"), "{message}");
    }

    fn state(user: &str, liquidation: &str) -> String {
        format!(
            r#"{{{user}"time":1762992000000,"marginSummary":{{"accountValue":"1"}},"assetPositions":[{{"type":"oneWay","position":{{"coin":"ETH","szi":"-0.5","entryPx":"2986.3","positionValue":"1400.25","unrealizedPnl":"1","returnOnEquity":"0.1","leverage":{{"type":"isolated","value":20,"rawUsd":"-95.05"}},"liquidationPx":{liquidation},"marginUsed":"4.9","maxLeverage":25}}}},{{"type":"oneWay","position":{{"coin":"BTC","szi":"0.0","entryPx":null,"leverage":{{"type":"cross","value":3}}}}}}]}}"#
        )
    }

    #[test]
    fn positions_have_side_and_account() {
        let text =
            format!("{}\n{}\n{}\n", state("\"user\":\"0xab\",", "\"3105.5\""), state("", "null"), state("", "\"-3\""));
        let rows = read("clearinghouse", "0xcd.json.gz", &text);
        let expected = [
            row("ETHUSDC", DAY, "0xab short 0.5 2986.3 20 3105.5 1400.25"),
            row("ETHUSDC", DAY, "0xcd short 0.5 2986.3 20 null 1400.25"),
            row("ETHUSDC", DAY, "0xcd short 0.5 2986.3 20 null 1400.25"),
        ];
        assert_eq!(rows, expected);
        let message = error("clearinghouse", "a.json", &state("", "null").replace("\"2986.3\"", "\"x\""));
        assert!(message.starts_with("a.json:1: 'entryPx' must be a number, was '\"x\"'"), "{message}");
        assert!(error("clearinghouse", "a.json", "{\"time\":1762992000000}").contains("has no 'assetPositions'"));
    }

    const META: &str = r#"{"universe":[{"szDecimals":5,"name":"BTC","maxLeverage":40,"marginTableId":56},{"szDecimals":1,"name":"ATOM","maxLeverage":5,"marginTableId":5},{"szDecimals":0,"name":"OLD","maxLeverage":3}],"marginTables":[[56,{"description":"tiered 40x","marginTiers":[{"lowerBound":"0.0","maxLeverage":40},{"lowerBound":"150000000.0","maxLeverage":20}]}]]}"#;

    #[test]
    fn tiers_do_not_jump() {
        let expected = [
            row("BTCUSDC", DAY, "quote_notional 0 150000000 0.0125 40 0 null"),
            row("BTCUSDC", DAY, "quote_notional 150000000 null 0.025 20 1875000 null"),
            row("ATOMUSDC", DAY, "quote_notional 0 null 0.1 5 0 null"),
            row("OLDUSDC", DAY, "quote_notional 0 null 0.166666667 3 0 null"),
        ];
        for file in ["meta-2025-11-13.json", "meta_20251113.json"] {
            assert_eq!(read("meta", file, META), expected, "{file}");
        }
        let timed = META.replacen('{', "{\"time\":1762992000000,", 1);
        assert_eq!(read("meta", "meta-2024-01-01.json", &timed), expected);
    }

    #[test]
    fn tiers_need_a_date_and_their_table() {
        for file in ["meta.json", "meta-1762992000000.json"] {
            let message = error("meta", file, META);
            assert!(message.contains("put the day since when it is known into the file's name"), "{message}");
        }
        let message = error("meta", "20251113.json", &META.replace("[56,", "[57,"));
        assert!(message.contains("'marginTableId' must be below 50 or one of 'marginTables', was '56'"), "{message}");
        let message = error("meta", "20251113.json", &META.replace("\"150000000.0\"", "\"0\""));
        assert!(message.contains("'lowerBound' must be larger than that of the tier before, was '0'"), "{message}");
    }
}

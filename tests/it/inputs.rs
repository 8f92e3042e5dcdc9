//! What a function is given must not change what it says: the form of a relation, the types of its columns, the size of
//! batches, the number of partitions, the columns and times that are asked for. And what comes later must not change
//! what was said before.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;

use crate::slt::{fixed_config, query, rows_of, session, with_large_stack};

/// Two days of every market of the sample.
const BARS: &str = "liq_bars((SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-03'), open_interest => open_interest, \
                    funding => funding)";

/// Five hours of one market, with prices that every type of number holds exactly.
const ROUND_BARS: &str = "SELECT ts, exchange, symbol, round(open) AS open, round(high) AS high, round(low) AS low, \
                          round(close) AS close, round(volume) AS volume, round(open_interest) AS open_interest, \
                          round(open_interest_close) AS open_interest_close \
                          FROM liq_bars(candles, open_interest => open_interest, interval => INTERVAL '5 minutes') \
                          WHERE ts < TIMESTAMP '2026-01-01 05:00:00'";

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

#[test]
fn a_data_frame_is_a_relation() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        let frame = context.sql(ROUND_BARS).await.unwrap();
        let batches = frame.clone().collect().await.unwrap();
        let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
        context.register_table("stored_bars", Arc::new(table)).unwrap();
        context.register_table("my_bars", frame.into_view()).unwrap();
        let expected = sorted(query(&context, &format!("SELECT * FROM liq_flows(({ROUND_BARS}))")).await);
        assert_eq!(expected.len(), 4 * 60 * 2);
        for relation in ["my_bars", "'my_bars'", "(SELECT * FROM my_bars)", "public.my_bars", "stored_bars"] {
            let found = query(&context, &format!("SELECT * FROM liq_flows({relation})")).await;
            assert_eq!(sorted(found), expected, "{relation}");
        }
        // And a function is a relation of the other interface.
        let frame = context.sql("SELECT * FROM liq_flows(my_bars)").await.unwrap();
        let frame = frame.filter(datafusion::prelude::col("side").eq(datafusion::prelude::lit("long"))).unwrap();
        assert_eq!(frame.count().await.unwrap(), expected.len() / 2);
    });
}

async fn register_as(context: &SessionContext, name: &str, batch: &RecordBatch, retyped: &[(&[&str], DataType)]) {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let wanted = retyped.iter().find(|(names, _)| names.contains(&field.name().as_str()));
        let data_type = wanted.map_or_else(|| field.data_type().clone(), |(_, data_type)| data_type.clone());
        columns.push(cast(column, &data_type).unwrap());
        fields.push(Field::new(field.name(), data_type, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let table = MemTable::try_new(schema, vec![vec![batch]]).unwrap();
    context.register_table(name, Arc::new(table)).unwrap();
}

/// Columns, and the type that they are cast to.
type Retyped<'a> = (&'a [&'a str], DataType);

#[test]
fn every_type_of_a_column_gives_the_same_answer() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        let batches = context.sql(ROUND_BARS).await.unwrap().collect().await.unwrap();
        let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
        register_as(&context, "plain", &batch, &[]).await;
        let expected = sorted(query(&context, "SELECT * FROM liq_flows(plain)").await);
        assert!(!expected.is_empty());

        let mut variants: Vec<(String, Vec<Retyped>)> = Vec::new();
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            for zone in [None, Some("UTC"), Some("+00:00"), Some("+02:00"), Some("America/New_York")] {
                let data_type = DataType::Timestamp(unit, zone.map(Into::into));
                variants.push((format!("{data_type}"), vec![(&["ts"], data_type)]));
            }
        }
        let dictionary = |key, value| DataType::Dictionary(Box::new(key), Box::new(value));
        for data_type in [
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            dictionary(DataType::Int32, DataType::Utf8),
            dictionary(DataType::UInt16, DataType::LargeUtf8),
            dictionary(DataType::Int8, DataType::Utf8View),
        ] {
            variants.push((format!("{data_type}"), vec![(&["exchange", "symbol"], data_type)]));
        }
        const PRICES: &[&str] = &["open", "high", "low", "close"];
        for data_type in [
            DataType::Float32,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt64,
            DataType::Decimal128(18, 4),
            DataType::Decimal256(40, 8),
        ] {
            variants.push((format!("{data_type}"), vec![(PRICES, data_type)]));
        }
        for (i, (name, retyped)) in variants.iter().enumerate() {
            let table = format!("variant_{i}");
            register_as(&context, &table, &batch, retyped).await;
            let found = query(&context, &format!("SELECT * FROM liq_flows({table})")).await;
            assert_eq!(sorted(found), expected, "{name}");
        }
    });
}

/// Two inputs whose keys are the same text in different types meet all the same, on every number of partitions.
#[test]
fn keys_of_different_text_types_meet() {
    with_large_stack(|| async {
        for partitions in [1, 2, 5] {
            let context = session(fixed_config().with_target_partitions(partitions)).await;
            for (name, data_type) in
                [("plain", "Utf8"), ("large", "LargeUtf8"), ("dictionary", "Dictionary(Int32, Utf8)")]
            {
                query(
                    &context,
                    &format!(
                        "CREATE TABLE {name} AS SELECT ts, arrow_cast(exchange, '{data_type}') AS exchange, \
                         arrow_cast(symbol, '{data_type}') AS symbol, open_interest FROM open_interest \
                         WHERE ts < TIMESTAMP '2026-01-02'"
                    ),
                )
                .await;
            }
            const CANDLES: &str = "(SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-02')";
            for call in ["asof_join({candles}, {other})", "liq_bars({candles}, open_interest => {other})"] {
                let mut answers = Vec::new();
                for other in ["open_interest", "plain", "large", "dictionary"] {
                    let call = call.replace("{candles}", CANDLES).replace("{other}", other);
                    let found = query(
                        &context,
                        &format!("SELECT exchange, symbol, count(*), count(open_interest) FROM {call} GROUP BY 1, 2"),
                    )
                    .await;
                    answers.push((other, sorted(found)));
                }
                for (other, answer) in &answers[1..] {
                    assert_eq!(answer, &answers[0].1, "{call} of {other} on {partitions} partitions");
                }
            }
        }
    });
}

/// The longest chain of functions over some bars.
fn confirmations(bars: &str) -> String {
    format!(
        "funding_confirmations(liq_pools(liq_heatmap({bars}, max_distance => 0.1)), funding, bars => {bars}, \
         horizon => INTERVAL '6 hours')"
    )
}

/// Every function that reads the sample, small enough to compare as text.
fn calls() -> Vec<String> {
    vec![
        format!("liq_heatmap({BARS}, price_step => 100, max_distance => 0.1)"),
        format!("liq_flows({BARS})"),
        format!("liq_map({BARS}, at => TIMESTAMP '2026-01-02 12:00:00')"),
        format!("liq_levels((SELECT * FROM {BARS}), at => TIMESTAMP '2026-01-01 06:00:00')"),
        format!("liq_heatmap({BARS}, price_step => 100, max_distance => 0.1, model => 'deep', by_leverage => true)"),
        format!("liq_smooth(liq_heatmap({BARS}, max_distance => 0.1), model => 'zones', bandwidth => 0.004)"),
        format!(
            "(SELECT ts, exchange, symbol, pool_id, side, price_low, price_high, rank, born_ts, at_extreme FROM \
             liq_pools(liq_heatmap({BARS}, max_distance => 0.1), bars => {BARS}))"
        ),
        confirmations(BARS),
        format!("liq_cascade(liq_heatmap({BARS}, max_distance => 0.1), 1e7, shock => [-0.01, 0.02])"),
        format!("stop_zones(liq_heatmap({BARS}, max_distance => 0.1), 'short', 90000)"),
        BARS.to_owned(),
        "asof_join((SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-03'), funding)".to_owned(),
        "stop_runs((SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-05'), volume_z => 1, displacement_z => 1)"
            .to_owned(),
        "stop_runs((SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-05'), INTERVAL '10 minutes', \
         window => INTERVAL '6 hours', volume_z => 1, displacement_z => 1, horizon => INTERVAL '45 minutes')"
            .to_owned(),
        "(SELECT ts, exchange, symbol, ema(close, 20) OVER series AS ema, rsi(close, 14) OVER series AS rsi, \
         atr(high, low, close, 14) OVER series AS atr FROM candles WHERE ts < TIMESTAMP '2026-01-03' \
         WINDOW series AS (PARTITION BY exchange, symbol ORDER BY ts))"
            .to_owned(),
    ]
}

#[test]
fn batches_and_partitions_do_not_matter() {
    with_large_stack(|| async {
        for call in calls() {
            let sql = format!("SELECT * FROM {call}");
            let mut expected: Option<Vec<Vec<String>>> = None;
            for (batch_size, partitions) in [(8192, 1), (8192, 2), (8192, 5), (7, 1), (7, 5), (1, 2)] {
                let config = fixed_config().with_batch_size(batch_size).with_target_partitions(partitions);
                let context = session(config).await;
                let found = sorted(query(&context, &sql).await);
                assert!(!found.is_empty(), "{sql}");
                match &expected {
                    None => expected = Some(found),
                    Some(expected) => {
                        let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
                        assert_eq!(found.len(), expected.len(), "{sql}, {batch_size} rows, {partitions} partitions");
                        assert!(differs.is_none(), "{sql}, {batch_size} rows, {partitions} partitions: {differs:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_plan_can_be_executed_again() {
    with_large_stack(|| async {
        // On one partition nothing is repartitioned; what repartitions is the engine's, and runs once.
        let context = session(fixed_config().with_target_partitions(1)).await;
        for call in calls() {
            let frame = context.sql(&format!("SELECT * FROM {call}")).await.unwrap();
            let plan = frame.create_physical_plan().await.unwrap();
            let mut answers = Vec::new();
            for _ in 0..2 {
                let batches = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
                answers.push(rows_of(&batches));
            }
            assert!(!answers[0].is_empty(), "{call}");
            assert!(answers[0] == answers[1], "{call}");
        }
    });
}

/// What the heatmap of a prefix of the bars shows is what the heatmap of all bars shows up to there.
#[test]
fn later_bars_do_not_change_the_heatmap() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        let heatmap = |until: &str| {
            format!(
                "SELECT * FROM liq_heatmap(liq_bars((SELECT * FROM candles WHERE ts < TIMESTAMP '{until}'), \
                 open_interest => open_interest), price_step => 100, max_distance => 0.1)"
            )
        };
        let full = query(&context, &heatmap("2026-01-03")).await;
        for until in ["2026-01-01T09:00:00Z", "2026-01-01T17:35:00Z", "2026-01-02T05:10:00Z"] {
            let prefix = query(&context, &heatmap(until)).await;
            let expected: Vec<Vec<String>> = full.iter().filter(|row| row[0].as_str() < until).cloned().collect();
            assert!(expected.len() > 1000);
            assert_eq!(sorted(prefix), sorted(expected), "{until}");
        }
    });
}

/// What is said, and how often it came true, is what was known then.
#[test]
fn later_data_do_not_change_what_was_confirmed() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        let call = |until: &str| {
            let candles = format!("(SELECT * FROM candles WHERE ts < TIMESTAMP '{until}')");
            let bars = format!("liq_bars({candles}, open_interest => open_interest)");
            let funding = format!("(SELECT * FROM funding WHERE ts < TIMESTAMP '{until}')");
            format!("SELECT * FROM {}", confirmations(&bars).replace(" funding,", &format!(" {funding},")))
        };
        let full = query(&context, &call("2026-01-05")).await;
        assert!(full.iter().any(|row| row[12] != "NULL"), "some signal has a history");
        for until in ["2026-01-02T09:00:00Z", "2026-01-03T17:35:00Z"] {
            let prefix = query(&context, &call(until)).await;
            let expected: Vec<Vec<String>> = full.iter().filter(|row| row[0].as_str() < until).cloned().collect();
            assert!(expected.len() > 100);
            assert_eq!(sorted(prefix), sorted(expected), "{until}");
        }
    });
}

#[test]
fn later_bars_do_not_change_what_was_at_an_instant() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for function in ["liq_levels", "liq_map"] {
            for columns in ["*", "ts, exchange, symbol, open, high, low, close, volume, open_interest"] {
                let call = |until: &str| {
                    format!(
                        "SELECT * FROM {function}((SELECT {columns} FROM liq_bars(candles, \
                         open_interest => open_interest) WHERE ts <= TIMESTAMP '{until}'), \
                         at => TIMESTAMP '2026-01-01 06:00:00')"
                    )
                };
                let short = sorted(query(&context, &call("2026-01-01 06:00:00")).await);
                let long = sorted(query(&context, &call("2026-01-02 00:00:00")).await);
                assert!(short.len() > 1000);
                assert!(short == long, "{function} over {columns}");
            }
        }
    });
}

#[test]
fn too_little_memory_is_an_error_that_names_the_operator() {
    with_large_stack(|| async {
        for (call, operator) in [
            ("liq_heatmap(candles)", "LiqHeatmapExec"),
            ("liq_map(candles)", "LiqMapExec"),
            ("liq_flows(candles)", "LiqFlowsExec"),
            ("liq_levels(candles)", "LiqLevelsExec"),
        ] {
            let runtime = RuntimeEnvBuilder::new().with_memory_limit(200 * 1024, 1.0).build_arc().unwrap();
            let context = SessionContext::new_with_config_rt(fixed_config().with_target_partitions(1), runtime);
            liqsql::register_all(&context).unwrap();
            liqsql::sql::sample::register(&context).await.unwrap();
            let sql = format!("SELECT count(*) FROM {call} WHERE exchange = 'binance' AND symbol = 'BTCUSDT'");
            let error = context.sql(&sql).await.unwrap().collect().await.unwrap_err().to_string();
            assert!(error.contains("Resources exhausted"), "{call}: {error}");
            assert!(error.contains(operator), "{call}: {error}");
        }
    });
}

#[test]
fn one_column_and_no_column_are_parts_of_the_whole() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for call in calls() {
            let frame = context.sql(&format!("SELECT * FROM {call}")).await.unwrap();
            let names: Vec<String> = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
            let whole = query(&context, &format!("SELECT * FROM {call}")).await;
            let count = query(&context, &format!("SELECT count(*) FROM {call}")).await;
            assert_eq!(count[0][0], whole.len().to_string(), "{call}");
            for (i, name) in names.iter().enumerate() {
                let mut column: Vec<String> = whole.iter().map(|row| row[i].clone()).collect();
                column.sort();
                let found = sorted(query(&context, &format!("SELECT {name} FROM {call}")).await);
                assert!(found.into_iter().flatten().eq(column), "{name} of {call}");
            }
        }
    });
}

#[test]
fn a_predicate_on_time_chooses_rows_and_changes_none() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for call in calls().into_iter().filter(|call| !call.starts_with("liq_levels")) {
            let whole = query(&context, &format!("SELECT * FROM {call}")).await;
            for (predicate, from, to) in [
                ("ts >= TIMESTAMP '2026-01-02 12:00:00'", "2026-01-02T12:00:00Z", "9"),
                ("ts < TIMESTAMP '2026-01-02 12:00:00'", "", "2026-01-02T11:59:59Z"),
                ("ts = TIMESTAMP '2026-01-02 12:00:00'", "2026-01-02T12:00:00Z", "2026-01-02T12:00:00Z"),
                (
                    "ts > TIMESTAMP '2026-01-02 10:00:00' AND '2026-01-02 12:00:00' >= ts AND symbol = 'BTCUSDT'",
                    "2026-01-02T10:00:01Z",
                    "2026-01-02T12:00:00Z",
                ),
                ("ts BETWEEN '2026-01-02' AND '2026-01-02 01:00:00'", "2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z"),
            ] {
                let expected = whole.iter().filter(|row| {
                    row[0].as_str() >= from
                        && row[0].as_str() <= to
                        && (!predicate.contains("symbol") || row[2] == "BTCUSDT")
                });
                let found = query(&context, &format!("SELECT * FROM {call} WHERE {predicate}")).await;
                let expected = sorted(expected.cloned().collect());
                assert_eq!(found.len(), expected.len(), "{call} WHERE {predicate}");
                assert!(sorted(found) == expected, "{call} WHERE {predicate}");
            }
        }
    });
}

/// Price reflected about its middle, in logarithm: what was a long is a short. The margin rule is not symmetric in ln(price),
/// so the sides swap only nearly.
#[test]
fn a_mirrored_market_swaps_the_sides() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for view in [
            "CREATE VIEW original AS SELECT * FROM liq_bars((SELECT * FROM candles WHERE exchange = 'binance' \
             AND symbol = 'BTCUSDT'), open_interest => open_interest)",
            "CREATE VIEW mirrored AS SELECT ts, exchange, symbol, 7.2e9 / open AS open, 7.2e9 / low AS high, \
             7.2e9 / high AS low, 7.2e9 / close AS close, volume, open_interest, open_interest_close FROM original",
        ] {
            context.sql(view).await.unwrap();
        }
        let sql = "SELECT o.side, abs(o.size / m.size - 1) < 0.02 AS close FROM \
                   (SELECT side, sum(standing_size) AS size FROM liq_flows(original) GROUP BY side) AS o JOIN \
                   (SELECT side, sum(standing_size) AS size FROM liq_flows(mirrored) GROUP BY side) AS m \
                   ON o.side <> m.side ORDER BY 1";
        let rows = query(&context, sql).await;
        assert!(rows.len() == 2 && rows.iter().all(|row| row[1] == "true"), "{rows:?}");
        for model in ["precise", "zones", "deep"] {
            // Base units of the whole map, and how far they stand from the price on average.
            let side = |bars: &str| {
                format!(
                    "SELECT side, sum(base) AS size, sum(base * abs(ln((price_low + price_high) / 2 / price))) / sum(base) \
                     AS away FROM (SELECT *, notional_usd * 2 / (price_low + price_high) AS base FROM \
                     liq_map({bars}, model => '{model}', price_step => 20, tiers => [25, 50])) GROUP BY side"
                )
            };
            let sql = format!(
                "SELECT o.side, abs(o.size / m.size - 1) < 0.02, abs(o.away - m.away) < 0.003, o.away, m.away \
                 FROM ({}) AS o JOIN ({}) AS m ON o.side <> m.side ORDER BY 1",
                side("original"),
                side("mirrored")
            );
            let rows = query(&context, &sql).await;
            assert!(rows.len() == 2 && rows.iter().all(|row| row[1..3] == ["true", "true"]), "{model}: {rows:?}");
        }
    });
}

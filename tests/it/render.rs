//! Pictures in the terminal through the public interface: which results are drawn, what is refused, what comes out.

#![cfg(feature = "cli")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::Int32Type;
use liqsql::render::{
    Chart, ColorDepth, Frame, Heatmap, Options, Origin, OriginKind, Prices, RenderError, Rows, Scale, Screen,
    Selection, to_text,
};

/// 2026-02-10 00:00 UTC.
const START: i64 = 1_770_681_600_000;
const HOUR: i64 = 3_600_000;

/// Rows (hour, price_low, side, notional_usd) of buckets that are 100 high, price standing at 97,450.
fn heatmap(rows: &[(i64, f64, &str, f64)]) -> RecordBatch {
    batch(vec![
        ("ts", Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| START + row.0 * HOUR)))),
        ("exchange", Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "binance")))),
        ("symbol", Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "BTCUSDT")))),
        ("price", Arc::new(Float64Array::from_iter_values(rows.iter().map(|_| 97_450.0)))),
        ("side", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)))),
        ("price_low", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)))),
        ("price_high", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1 + 100.0)))),
        ("notional_usd", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.3)))),
    ])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The batch with one column replaced.
fn with(batch_in: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = batch_in.schema();
    batch(
        schema
            .fields()
            .iter()
            .zip(batch_in.columns())
            .map(|(field, old)| {
                (field.name().as_str(), if field.name() == name { Arc::clone(&column) } else { Arc::clone(old) })
            })
            .collect(),
    )
}

fn without(batch_in: &RecordBatch, names: &[&str]) -> RecordBatch {
    let kept: Vec<usize> = (0..batch_in.num_columns())
        .filter(|&index| !names.contains(&batch_in.schema().field(index).name().as_str()))
        .collect();
    batch_in.project(&kept).unwrap()
}

fn sample() -> RecordBatch {
    let rows: Vec<(i64, f64, &str, f64)> = (0..48)
        .flat_map(|hour| {
            (0..30).map(move |level| {
                let usd = 1.0e5 * f64::from((level * 7 + hour as i32) % 13);
                let low = 96_000.0 + 100.0 * f64::from(level);
                (hour, low, if low < 97_450.0 { "long" } else { "short" }, usd)
            })
        })
        .collect();
    heatmap(&rows)
}

/// A picture in a terminal.
#[derive(Debug, Clone)]
struct Picture {
    options: Options,
    screen: Screen,
}

fn plain(width: u16, height: u16) -> Picture {
    let screen = Screen { width, height, color: ColorDepth::None };
    Picture { options: Options::default(), screen }
}

fn colored(width: u16, height: u16, color: ColorDepth) -> Picture {
    Picture { options: Options::default(), screen: Screen { width, height, color } }
}

fn rows(results: &[Vec<RecordBatch>]) -> Vec<Rows> {
    let origin = Origin { kind: OriginKind::Estimated, ..Origin::default() };
    results.iter().map(|batches| Rows { batches: batches.clone(), origin: origin.clone() }).collect()
}

fn draw(results: &[Vec<RecordBatch>], picture: &Picture) -> Result<String, RenderError> {
    to_text(&Frame::try_from_results(&rows(results), &Selection::default())?, &picture.options, picture.screen)
}

fn heatmap_of(results: &[Vec<RecordBatch>]) -> Heatmap {
    match Frame::try_from_results(&rows(results), &Selection::default()).unwrap() {
        Frame::Heatmap(heatmap) => heatmap,
        other => panic!("expected a heatmap, was {other:?}"),
    }
}

fn error(results: &[Vec<RecordBatch>]) -> String {
    draw(results, &colored(80, 24, ColorDepth::TrueColor)).unwrap_err().to_string()
}

#[test]
fn a_small_heatmap_as_characters() {
    // Two buckets at 97,000 and 98,900 over four hours, nothing at hour 2: its columns are blank.
    let rows = [
        (0, 97_000.0, "long", 1.0e6),
        (1, 97_000.0, "long", 1.0e6),
        (3, 97_000.0, "long", 1.0e6),
        (0, 98_900.0, "short", 4.0e6),
        (1, 98_900.0, "short", 4.0e6),
        (3, 98_900.0, "short", 2.5e6),
    ];
    let mut options = plain(52, 15);
    options.options = Options { threshold: 0.0, scale: Scale::Linear, ..Options::default() };
    let picture = draw(&[vec![heatmap(&rows)]], &options).unwrap();
    let expected = "\
binance BTCUSDT heatmap · 2026-02-10 · estimated
@@@@@@@@@@@@@@@@@@@@           **********┤   99,000
                                         │
                                         ┤   98,500
                                         │
                                         ┤   98,000
                                         │
                                         │
oooooooooooooooooooo           oooooooooo◄ 97,450.0
                                         │
--------------------           ----------┤   97,000
┴─────────┴─────────┴─────────┴──────────┘
Feb 10  01:00     02:00     03:00         UTC
$0 ...::- $1M --===+ $2M +***## $3M #%%@@@ ≥$4M
max $4M · threshold 0: 0 hidden · scale: linear
";
    assert_eq!(picture, expected, "{picture}");
}

#[test]
fn the_heatmap_is_found_among_other_results() {
    let other = batch(vec![("answer", Arc::new(Float64Array::from(vec![42.0])))]);
    let expected = draw(&[vec![sample()]], &plain(80, 24)).unwrap();
    assert_eq!(draw(&[vec![other.clone()], vec![], vec![sample()], vec![other]], &plain(80, 24)).unwrap(), expected);
}

#[test]
fn batches_do_not_change_the_picture() {
    let whole = sample();
    let parts: Vec<RecordBatch> =
        (0..whole.num_rows()).step_by(97).map(|from| whole.slice(from, 97.min(whole.num_rows() - from))).collect();
    let options = colored(80, 24, ColorDepth::TrueColor);
    assert_eq!(draw(&[parts], &options).unwrap(), draw(&[vec![whole]], &options).unwrap());
}

#[test]
fn any_string_type_and_any_time_unit_is_read() {
    let rows = [(0, 97_000.0, "long", 1.0e6), (1, 98_000.0, "short", 2.0e6)];
    let base = heatmap(&rows);
    let expected = heatmap_of(&[vec![base.clone()]]);

    let sides = ["long", "short"];
    let string_types: [ArrayRef; 3] = [
        Arc::new(LargeStringArray::from_iter_values(sides)),
        Arc::new(StringViewArray::from_iter_values(sides)),
        Arc::new(sides.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for column in string_types {
        let name = column.data_type().to_string();
        assert_eq!(heatmap_of(&[vec![with(&base, "side", column)]]), expected, "{name}");
    }
    let ms = [START, START + HOUR];
    let times: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from_iter_values(ms.map(|ms| ms / 1_000))),
        Arc::new(TimestampMillisecondArray::from_iter_values(ms).with_timezone("+00:00")),
        Arc::new(TimestampMicrosecondArray::from_iter_values(ms.map(|ms| ms * 1_000)).with_timezone("+02:00")),
        Arc::new(TimestampNanosecondArray::from_iter_values(ms.map(|ms| ms * 1_000_000))),
    ];
    for column in times {
        let name = column.data_type().to_string();
        assert_eq!(heatmap_of(&[vec![with(&base, "ts", column)]]), expected, "{name}");
    }
}

#[test]
fn exchanges_are_summed() {
    let rows = [(0, 97_000.0, "long", 1.0e6), (1, 98_000.0, "short", 2.0e6)];
    let binance = heatmap(&rows);
    let bybit = with(&binance, "exchange", Arc::new(StringArray::from(vec!["bybit", "bybit"])));
    let frame = heatmap_of(&[vec![binance, bybit]]);
    assert_eq!(frame.exchanges, ["binance", "bybit"]);
    assert_eq!(frame.subject(), "binance+bybit BTCUSDT liquidation heatmap");
    assert_eq!(frame.cells.iter().copied().fold(0.0, f64::max), 4.0e6);
    assert_eq!(frame.cells.iter().sum::<f64>(), 6.0e6);
}

#[test]
fn nulls_are_ignored_and_counted() {
    let rows = [(0, 97_000.0, "long", 1.0e6), (1, 98_000.0, "short", 2.0e6)];
    let notional = Arc::new(Float64Array::from(vec![None, Some(2.0e6)]));
    let results = [vec![with(&heatmap(&rows), "notional_usd", notional)]];
    assert_eq!(heatmap_of(&results).ignored_rows, 1);
    let picture = draw(&results, &plain(120, 24)).unwrap();
    assert!(picture.contains("1 row with nulls ignored"), "{picture}");
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let base = heatmap(&[(0, 97_000.0, "long", 1.0e6), (0, 98_000.0, "short", 2.0e6)]);

    assert_eq!(error(&[]), "render: nothing to draw: the results have no rows");
    assert_eq!(error(&[vec![base.slice(0, 0)]]), "render: nothing to draw: the result has no rows");
    assert_eq!(
        error(&[vec![with(&base, "notional_usd", Arc::new(Float64Array::from(vec![None, None])))]]),
        "render: nothing to draw: 'notional_usd', 'side', 'ts' or a price is null in all 2 rows",
    );
    assert_eq!(
        error(&[vec![without(&base, &["price_low", "side"])]]),
        "render: nothing here can be drawn, though a table can be printed: a heatmap lacks 'price_low', 'side', and a \
         series 'ts' with a number beside it; columns found: ts, exchange, symbol, price, price_high, notional_usd",
    );
    assert_eq!(
        error(&[vec![with(&base, "symbol", Arc::new(StringArray::from(vec!["ETHUSDT", "BTCUSDT"])))]]),
        "render: a picture shows one symbol, found 2: BTCUSDT, ETHUSDT; filter with WHERE symbol = '…', or draw an \
         .html page, which lets you choose",
    );
    assert_eq!(
        error(&[vec![with(&base, "side", Arc::new(StringArray::from(vec!["long", "buy"])))]]),
        "render: column 'side' must hold 'long' or 'short', was 'buy'",
    );
    assert_eq!(
        error(&[vec![with(&base, "notional_usd", Arc::new(Float64Array::from(vec![1.0, f64::NAN])))]]),
        "render: column 'notional_usd' must hold numbers from 0 to 1e24, was NaN",
    );
    assert_eq!(
        error(&[vec![with(&base, "price_high", Arc::new(Float64Array::from(vec![97_000.0, 98_100.0])))]]),
        "render: column 'price_high' must hold a price above 'price_low' (97000), was 97000",
    );
    assert_eq!(
        error(&[vec![with(&base, "ts", Arc::new(StringArray::from(vec!["a", "b"])))]]),
        "render: column 'ts' must be a timestamp, was Utf8",
    );
}

#[test]
fn options_out_of_range_are_named() {
    let results = [vec![sample()]];
    let error = |options: Options| {
        let picture = Picture { options, ..colored(80, 24, ColorDepth::TrueColor) };
        draw(&results, &picture).unwrap_err().to_string()
    };
    let small = draw(&results, &plain(20, 5)).unwrap_err().to_string();
    assert_eq!(small, "render: too small for a picture: at least 40x12, was 20x5");
    assert_eq!(
        error(Options { threshold: -1.0, ..Options::default() }),
        "render: 'threshold' must be a number of at least 0, was -1",
    );
    assert_eq!(
        error(Options { prices: Some(Prices::Between(2.0, 1.0)), ..Options::default() }),
        "render: 'prices' must be two prices from 0 to 1e15, the lower one first, was 2 to 1",
    );
    assert_eq!(
        error(Options { prices: Some(Prices::Between(10.0, 20.0)), ..Options::default() }),
        "render: nothing to draw: no cell between the 'prices' 10 and 20, the rows have 96,000.0 to 99,000.0",
    );
}

#[test]
fn every_size_is_kept_to() {
    let candles = batch(vec![
        ("ts", Arc::new(TimestampMillisecondArray::from_iter_values((0..48).map(|hour| START + hour * HOUR)))),
        ("open", Arc::new(Float64Array::from(vec![97_400.0; 48]))),
        ("high", Arc::new(Float64Array::from(vec![97_800.0; 48]))),
        ("low", Arc::new(Float64Array::from(vec![97_100.0; 48]))),
        ("close", Arc::new(Float64Array::from(vec![97_500.0; 48]))),
    ]);
    let map = map();
    for results in [vec![vec![sample()]], vec![vec![candles], vec![sample()]], vec![vec![map]]] {
        for (width, height) in [(40, 12), (41, 13), (80, 24), (120, 40), (200, 60), (333, 12), (40, 99)] {
            let picture = draw(&results, &plain(width, height)).unwrap();
            assert!(picture.lines().count() <= usize::from(height), "{width}x{height}\n{picture}");
            assert!(
                picture.lines().all(|line| line.chars().count() <= usize::from(width)),
                "{width}x{height}\n{picture}"
            );
            for color in [ColorDepth::TrueColor, ColorDepth::Ansi256] {
                let options = colored(width, height, color);
                assert_eq!(draw(&results, &options).unwrap().lines().count(), picture.lines().count());
            }
        }
    }
    // Sizes no terminal has must not take all memory.
    assert!(draw(&[vec![sample()]], &plain(u16::MAX, u16::MAX)).unwrap().lines().count() <= 1_000);
}

#[test]
fn the_largest_cell_is_yellow_and_the_hidden_one_is_dark() {
    // One column of two buckets: the upper half is far above the mean, the lower one below the threshold.
    let rows = [(0, 97_000.0, "long", 1.0), (0, 98_000.0, "short", 5.0e6)];
    let results = [vec![without(&heatmap(&rows), &["price"])]];
    let mut options = colored(80, 24, ColorDepth::TrueColor);
    options.options.prices = Some(Prices::Between(97_000.0, 98_100.0));
    let picture = draw(&results, &options).unwrap();
    let lines: Vec<&str> = picture.lines().collect();
    assert!(lines[1].contains("48;2;253;231;37m"), "{:?}", lines[1]);
    assert!(lines[19].starts_with("\x1b[48;2;26;2;36m"), "{:?}", lines[19]);
    assert!(picture.contains("1 of 2 cells below $2.1M hidden"), "{picture}");

    options.screen.color = ColorDepth::Ansi256;
    let picture = draw(&results, &options).unwrap();
    // (5, 4, 0) of the cube.
    assert!(picture.lines().nth(1).is_some_and(|line| line.contains("48;5;220m")), "{picture}");
    assert!(!picture.contains(";2;"), "{picture}");
}

#[test]
fn a_thin_level_survives_shrinking() {
    // 20,000 rows of price in 19 lines; one of them bright for one hour of 500.
    let mut rows: Vec<(i64, f64, &str, f64)> = (0..500).map(|hour| (hour, 100.0, "long", 1.0)).collect();
    rows.push((250, 2_000_000.0, "short", 9.0e9));
    let mut options = plain(80, 24);
    options.options.threshold = 0.0;
    let picture = draw(&[vec![without(&heatmap(&rows), &["price"])]], &options).unwrap();
    let bright = picture.lines().skip(1).take(19).flat_map(str::chars).filter(|character| *character == '@').count();
    assert_eq!(bright, 1, "{picture}");
}

#[test]
fn candles_are_drawn_and_give_the_current_price() {
    let candles = batch(vec![
        ("ts", Arc::new(TimestampMillisecondArray::from_iter_values((0..96).map(|half| START + half * HOUR / 2)))),
        ("symbol", Arc::new(StringArray::from(vec!["BTCUSDT"; 96]))),
        ("open", Arc::new(Float64Array::from(vec![97_400.0; 96]))),
        ("high", Arc::new(Float64Array::from(vec![97_800.0; 96]))),
        ("low", Arc::new(Float64Array::from(vec![97_100.0; 96]))),
        ("close", Arc::new(Float64Array::from_iter_values((0..96).map(|half| 97_400.0 + f64::from(half))))),
    ]);
    let frame = heatmap_of(&[vec![candles.clone()], vec![sample()]]);
    let candle = frame.candles[0].unwrap();
    assert_eq!((candle.open, candle.high, candle.low, candle.close), (97_400.0, 97_800.0, 97_100.0, 97_401.0));
    // The price that the rows state is the one from which distances are measured; candles speak where it is missing.
    let picture = draw(&[vec![candles.clone()], vec![sample()]], &plain(80, 24)).unwrap();
    assert!(picture.contains("◄ 97,450.0"), "{picture}");
    let priceless = without(&sample(), &["price"]);
    let picture = draw(&[vec![candles.clone()], vec![priceless]], &plain(80, 24)).unwrap();
    assert!(picture.contains("◄ 97,495.0"), "{picture}");

    // Two candles of one instant and nothing that tells them apart: neither is drawn.
    let twice = vec![candles.clone(), candles.clone()];
    assert_eq!(
        error(&[twice, vec![sample()]]),
        "render: several rows are the candle of 2026-02-10 00:00; add the column that tells them apart \
         ('exchange', 'symbol'), or filter with WHERE",
    );
    // Nor are two books summed that nothing tells apart.
    let message = error(&[vec![sample(), sample()]]);
    assert!(
        message
            .starts_with("render: several rows are the longs between 96,000 and 96,100 at 2026-02-10 00:00; sum them"),
        "{message}"
    );

    // Those of another symbol are not this market.
    let other = with(&candles, "symbol", Arc::new(StringArray::from(vec!["ETHUSDT"; 96])));
    assert!(heatmap_of(&[vec![other], vec![sample()]]).candles.is_empty());
}

fn map() -> RecordBatch {
    batch(vec![
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![START; 4]))),
        ("symbol", Arc::new(StringArray::from(vec!["BTCUSDT"; 4]))),
        ("price", Arc::new(Float64Array::from(vec![97_450.0; 4]))),
        ("side", Arc::new(StringArray::from(vec!["long", "long", "short", "short"]))),
        ("price_low", Arc::new(Float64Array::from(vec![97_200.0, 97_300.0, 97_500.0, 97_700.0]))),
        ("price_high", Arc::new(Float64Array::from(vec![97_300.0, 97_400.0, 97_600.0, 97_800.0]))),
        ("notional_usd", Arc::new(Float64Array::from(vec![4.0e6, 1.0e6, 2.0e6, 3.0e6]))),
        ("cumulative_usd", Arc::new(Float64Array::from(vec![5.0e6, 1.0e6, 2.0e6, 5.0e6]))),
    ])
}

#[test]
fn a_map_is_bars_by_price() {
    let picture = draw(&[vec![map()]], &plain(60, 16)).unwrap();
    let expected = "\
BTCUSDT liquidation map · 2026-02-10 00:00 UTC · estimated
price from  # short above  = long below  notional cumulative
    97,700 │######################      │     $3M        $5M
    97,600 │
    97,500 │###########│###                   $2M        $2M
  97,450.0 ◄------------------------------------------------
    97,400 │
    97,300 │=====│==                          $1M        $1M
    97,200 │============================│     $4M        $5M
longs $5M · shorts $5M · a line sums 100 of price
";
    assert_eq!(picture, expected, "{picture}");
}

#[test]
fn a_map_of_several_instants_is_refused() {
    let later = Arc::new(TimestampMillisecondArray::from(vec![START, START, START, START + HOUR]));
    assert_eq!(
        error(&[vec![with(&map(), "ts", later)]]),
        "render: a map or a cascade shows one 'ts', found 2 from 2026-02-10 00:00 to 2026-02-10 01:00; filter with WHERE ts = …",
    );
}

#[test]
fn a_title_replaces_the_default_and_cannot_carry_escapes() {
    let mut options = plain(80, 24);
    options.options.title = Some("mine \x1b[31m".to_string());
    assert!(draw(&[vec![sample()]], &options).unwrap().starts_with("mine ?[31m\n"));
}

fn chart_of(columns: Vec<(&str, ArrayRef)>) -> Result<Chart, String> {
    let rows = rows(&[vec![batch(columns)]]);
    match Frame::try_from_results(&rows, &Selection::default()) {
        Ok(Frame::Chart(chart)) => Ok(chart),
        Ok(other) => panic!("expected a chart, was {other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn hours(hours: &[i64]) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(hours.iter().map(|hour| START + hour * HOUR)))
}

fn numbers(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn numbers_over_time_are_panels_of_lines() {
    let chart = chart_of(vec![
        ("ts", hours(&[0, 0, 1, 1])),
        ("exchange", words(&["binance", "bybit", "binance", "bybit"])),
        ("symbol", words(&["BTCUSDT"; 4])),
        ("close", numbers(&[1.0, 2.0, 3.0, f64::NAN])),
        ("funding_rate", numbers(&[1e-4, 2e-4, 3e-4, 4e-4])),
        ("rank", numbers(&[1.0; 4])),
    ])
    .unwrap();
    assert_eq!(chart.subject, "BTCUSDT over time");
    let panels: Vec<_> = chart.panels.iter().map(|panel| (panel.title.as_str(), panel.series.len())).collect();
    assert_eq!(panels, [("price", 2), ("funding_rate", 2)]);
    assert_eq!(chart.panels[0].series[1].name, "close bybit");
    let points = &chart.panels[0].series[0].points;
    assert_eq!(
        points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>(),
        [(START as f64, 1.0), ((START + HOUR) as f64, 3.0)]
    );
    // Longs and shorts are never one line, whatever the instants.
    let sides =
        vec![("ts", hours(&[0, 1, 2])), ("side", words(&["long", "short", "long"])), ("usd", numbers(&[1.0; 3]))];
    let names: Vec<_> = chart_of(sides).unwrap().panels[0].series.iter().map(|series| series.name.clone()).collect();
    assert_eq!(names, ["usd long", "usd short"]);
    // Of sums that stand beside their parts the sums are drawn.
    let sums =
        vec![("ts", hours(&[0, 0, 1])), ("band", words(&["all", "L1", "all"])), ("usd", numbers(&[3.0, 1.0, 4.0]))];
    let chart = chart_of(sums).unwrap();
    assert_eq!((chart.panels[0].series.len(), chart.notes[0].as_str()), (1, "rows with band 'all'"));
}

#[test]
fn series_that_say_too_little_are_refused() {
    let twice = vec![("ts", hours(&[0, 0])), ("close", numbers(&[1.0, 2.0]))];
    assert_eq!(
        chart_of(twice).unwrap_err(),
        "render: nothing to draw: all rows are of one instant, a series needs two"
    );
    let twice = vec![("ts", hours(&[0, 0, 1])), ("close", numbers(&[1.0, 2.0, 3.0]))];
    let message = chart_of(twice).unwrap_err();
    assert!(message.starts_with("render: several rows are of 2026-02-10 00:00 and one line; filter"), "{message}");
    let hostile = vec![("ts", hours(&[0, 1, 2])), ("value", numbers(&[1e308, -1e308, 1.0]))];
    let chart = chart_of(hostile).unwrap();
    assert_eq!(chart.panels[0].series[0].points.iter().filter(|point| point.y.is_finite()).count(), 1);
}

#[test]
fn a_cascade_is_of_one_instant() {
    let cascade = |instants: &[i64]| {
        chart_of(vec![
            ("ts", hours(instants)),
            ("shock", numbers(&[-0.05, -0.05])),
            ("step", numbers(&[1.0, 2.0])),
            ("price_from", numbers(&[100.0, 95.0])),
            ("price_to", numbers(&[95.0, 93.0])),
            ("liquidated_usd", numbers(&[2e6, 1e6])),
            ("cumulative_usd", numbers(&[2e6, 3e6])),
        ])
    };
    let chart = cascade(&[0, 0]).unwrap();
    let line =
        |panel: usize| chart.panels[panel].series[0].points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>();
    assert_eq!(line(0), [(0.0, 100.0), (1.0, 95.0), (2.0, 93.0)]);
    assert_eq!(line(1), [(0.0, 0.0), (1.0, 2e6), (2.0, 3e6)]);
    assert!(cascade(&[0, 1]).unwrap_err().contains("a map or a cascade shows one 'ts', found 2"));
}

#[test]
fn pools_are_those_of_the_picture_and_alone_they_are_a_map() {
    let pools = |hour: i64| {
        batch(vec![
            ("ts", hours(&[hour, hour])),
            ("pool_id", numbers(&[1.0, 2.0])),
            ("price", numbers(&[97_450.0; 2])),
            ("side", words(&["long", "short"])),
            ("price_low", numbers(&[96_000.0, 98_000.0])),
            ("price_high", numbers(&[96_300.0, 98_100.0])),
            ("notional_usd", numbers(&[5e6, 4e6])),
            ("distance", numbers(&[-0.01, 0.006])),
        ])
    };
    // The sample ends at hour 47.
    assert_eq!(heatmap_of(&[vec![sample()], vec![pools(47)]]).pools[0].label(), "$5M · -1 %");
    assert!(heatmap_of(&[vec![sample()], vec![pools(46)]]).pools.is_empty());
    assert!(heatmap_of(&[vec![sample()], vec![pools(48)]]).pools.is_empty());
    let Frame::Map(map) = Frame::try_from_results(&rows(&[vec![pools(3)]]), &Selection::default()).unwrap() else {
        panic!("pools alone are a map");
    };
    assert_eq!((map.rows.len(), map.rows[0].long_usd, map.current), (2, 5e6, Some(97_450.0)));
    let inverted = with(&pools(47), "price_high", numbers(&[95_000.0, 98_100.0]));
    let error = error(&[vec![sample()], vec![inverted]]);
    assert_eq!(error, "render: column 'price_high' must hold a price above 'price_low' (96000), was 95000");
}

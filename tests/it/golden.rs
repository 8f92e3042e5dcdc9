//! A market worked by hand, equal to the cent.
//!
//! The numbers of the comments were made apart from this crate, by arithmetic on the equations of the model, one bucket
//! after the other; the tests compare the functions with them.
//!
//! Four bars of five minutes, one tier of 10x, no jitter, maintenance margin 0.4 %, churn 0.05:
//!
//! ```text
//! bar    low  high  close  volume     OI0     OI1
//! 00:00   99   101    100    1000   10000   10200
//! 00:05  100   102    102     800   10200   10100
//! 00:10   90   102     91    3000   10100    9000
//! 00:15   91    92     92     500    9000    9000
//!
//! distance   long  1 − (1 − 1/10)/0.996 = 0.096385542    ln(1 − d) = −0.101352494
//!            short (1 + 1/10)/1.004 − 1 = 0.095617530    ln(1 + d) =  0.091318159
//! turnover   0.10 / 0.096385542 = 1.0375
//! ```
//!
//! Buckets are 0.0002 wide in ln(price); a cohort fills those from floor((ln low + ln(1 ∓ d))/0.0002) to that of the
//! high, each with the same quantity. Its USD is quantity × the mean price of the centres, exp((k + ½)·0.0002).
//!
//! ```text
//! bar     long buckets    mean centre     short buckets    mean centre
//! 00:00   22468…22568     90.35234759     23432…23532     109.56489257     101 buckets
//! 00:05   22519…22618     91.26949970     23482…23581     110.65493493     100
//! 00:10   21992…22618     86.63943899     22955…23581     105.04145980     627
//! 00:15   22047…22102     82.68227292     23010…23065     100.24380061      56
//!
//! bar     churned g = 0.05 × 1.0375 × (V − |ΔOI|)/2     opens up + g      keep = 1 − (down + g)/OI0
//! 00:00   0.05 × 1.0375 × (1000 −  200)/2 = 20.75        220.75            0.997925
//! 00:05   0.05 × 1.0375 × ( 800 −  100)/2 = 18.15625      18.15625         0.988416054
//! 00:10   0.05 × 1.0375 × (3000 − 1100)/2 = 49.28125      49.28125         0.886209777
//! 00:15   0.05 × 1.0375 × ( 500 −    0)/2 = 12.96875      12.96875         0.998559028
//! ```
//!
//! 00:00 opens 220.75 × 90.35234759 = 19,945.28 long and 220.75 × 109.56489257 = 24,186.45 short.
//! 00:05 sweeps nothing (its low of 100 is above every long, its high of 102 below every short), keeps 0.988416054 of both (19,945.28 × 0.011583946 = 231.05 is closed) and opens 18.15625 × 91.26949970 = 1,657.11.
//! 00:10 sweeps longs from bucket 22499 (the first whose centre is at or above ln 90): of the first cohort the 70 buckets
//! 22499…22568, and the whole second cohort: 13,705.63 + 1,657.11 = 15,362.74. Of the rest, 6,008.60, it keeps
//! 0.886209777 (683.72 is closed) and opens 49.28125 × 86.63943899 = 4,269.70.
//! 00:15 sweeps from bucket 22554 (ln 91): of the third cohort 22554…22618, that is 65/627 of its quantity: 467.92.

use datafusion::prelude::SessionContext;

use crate::slt::{fixed_config, query, session, with_large_stack};

const BARS: &str = "SELECT to_timestamp_seconds(t) AS ts, 'binance' AS exchange, 'BTCUSDT' AS symbol, * FROM (VALUES
    (1767225600, 100, 101,  99, 100, 1000, 10000, 10200),
    (1767225900, 100, 102, 100, 102,  800, 10200, 10100),
    (1767226200, 102, 102,  90,  91, 3000, 10100,  9000),
    (1767226500,  91,  92,  91,  92,  500,  9000,  9000))
  AS bars (t, open, high, low, close, volume, open_interest, open_interest_close)";

/// A cent, halved.
const TOLERANCE: f64 = 0.005;

async fn market(bars: &str) -> SessionContext {
    let context = session(fixed_config()).await;
    query(&context, &format!("CREATE TABLE bars AS {bars}")).await;
    context
}

/// Compares a table of numbers with what was worked out; the first columns may be texts.
async fn assert_rows(context: &SessionContext, sql: &str, expected: &[(&str, &[f64])]) {
    let found = query(context, sql).await;
    assert_eq!(found.len(), expected.len(), "{sql}\n{found:#?}");
    for (row, (name, numbers)) in found.iter().zip(expected) {
        assert_eq!(row[0], *name, "{sql}\n{found:#?}");
        assert_eq!(row.len(), numbers.len() + 1, "{sql}");
        for (text, number) in row[1..].iter().zip(*numbers) {
            let value: f64 = text.parse().unwrap();
            assert!((value - number).abs() <= TOLERANCE, "{sql}\n{name}: {value} is not {number}\n{found:#?}");
        }
    }
}

#[test]
fn flows_are_those_worked_by_hand() {
    with_large_stack(|| async {
        let context = market(BARS).await;
        // open interest, opened, closed, liquidated, standing, size
        assert_rows(
            &context,
            "SELECT concat(to_char(ts, '%H:%M'), ' ', side), open_interest, opened_usd, closed_usd, liquidated_usd, \
             standing_usd, standing_size FROM liq_flows(bars, tiers => [10], weights => [1], jitter => 0)",
            &[
                ("00:00 long", &[10200.0, 19945.28, 0.0, 0.0, 19945.28, 220.75]),
                ("00:00 short", &[10200.0, 24186.45, 0.0, 0.0, 24186.45, 220.75]),
                ("00:05 long", &[10100.0, 1657.11, 231.05, 0.0, 21371.35, 236.35]),
                ("00:05 short", &[10100.0, 2009.08, 280.17, 0.0, 25915.35, 236.35]),
                ("00:10 long", &[9000.0, 4269.70, 683.72, 15362.74, 9594.58, 108.63]),
                ("00:10 short", &[9000.0, 5176.57, 2948.91, 0.0, 28143.01, 258.74]),
                ("00:15 long", &[9000.0, 1072.29, 13.15, 467.92, 10185.80, 116.34]),
                ("00:15 short", &[9000.0, 1300.04, 40.55, 0.0, 29402.50, 271.33]),
            ],
        )
        .await;
    });
}

/// Cohort by cohort, with `keep` of each bar multiplied up:
///
/// ```text
/// 1 long 00:00   opened 19,945.28, × 0.988416054 = 19,714.24 before the sweep of 13,705.63; the rest, 6,008.60,
///                × 0.886209777 × 0.998559028 = 5,317.21 stands
/// 3 long 00:05   opened 1,657.11, all swept at 00:10
/// 5 long 00:10   opened 4,269.70, swept 467.92 at 00:15, (4,269.70 − 467.92) × 0.998559028 = 3,796.30 stands
/// ```
#[test]
fn levels_are_those_worked_by_hand() {
    with_large_stack(|| async {
        let context = market(BARS).await;
        // entry low and high, liquidation low and high, opened, closed, liquidated, open
        assert_rows(
            &context,
            "SELECT concat(level_id, ' ', side, ' ', fate), entry_low, entry_high, liquidation_low, liquidation_high, \
             opened_usd, closed_usd, liquidated_usd, open_usd \
             FROM liq_levels(bars, tiers => [10], weights => [1], jitter => 0) ORDER BY level_id",
            &[
                ("1 long open", &[99.0, 101.0, 89.458, 91.265, 19945.28, 922.44, 13705.63, 5317.21]),
                ("2 short open", &[99.0, 101.0, 108.466, 110.657, 24186.45, 3031.00, 0.0, 21155.45]),
                ("3 long swept", &[100.0, 102.0, 90.361, 92.169, 1657.11, 0.0, 1657.11, 0.0]),
                ("4 short open", &[100.0, 102.0, 109.562, 111.753, 2009.08, 231.18, 0.0, 1777.90]),
                ("5 long open", &[90.0, 102.0, 81.325, 92.169, 4269.70, 5.48, 467.92, 3796.30]),
                ("6 short open", &[90.0, 102.0, 98.606, 111.753, 5176.57, 7.46, 0.0, 5169.12]),
                ("7 long open", &[91.0, 92.0, 82.229, 83.133, 1072.29, 0.0, 0.0, 1072.29]),
                ("8 short open", &[91.0, 92.0, 99.701, 100.797, 1300.04, 0.0, 0.0, 1300.04]),
            ],
        )
        .await;
    });
}

/// The buckets that stand after the last bar, put whole into cells of 1.00 by their centres.
#[test]
fn the_map_is_that_worked_by_hand() {
    with_large_stack(|| async {
        let context = market(BARS).await;
        // price, notional, cumulative from the price outwards
        assert_rows(
            &context,
            "SELECT concat(side, ' ', round(price_low)), price, notional_usd, cumulative_usd \
             FROM liq_map(bars, tiers => [10], weights => [1], jitter => 0, price_step => 1) ORDER BY price_low",
            &[
                ("long 81.0", &[92.0, 269.19, 10185.80]),
                ("long 82.0", &[92.0, 1287.65, 9916.61]),
                ("long 83.0", &[92.0, 566.34, 8628.96]),
                ("long 84.0", &[92.0, 391.27, 8062.62]),
                ("long 85.0", &[92.0, 395.91, 7671.35]),
                ("long 86.0", &[92.0, 393.78, 7275.44]),
                ("long 87.0", &[92.0, 391.47, 6881.65]),
                ("long 88.0", &[92.0, 388.97, 6490.18]),
                ("long 89.0", &[92.0, 5710.56, 6101.21]),
                ("long 90.0", &[92.0, 390.64, 390.64]),
                ("short 98.0", &[92.0, 162.84, 162.84]),
                ("short 99.0", &[92.0, 760.44, 923.28]),
                ("short 100.0", &[92.0, 1324.49, 2247.77]),
                ("short 101.0", &[92.0, 390.36, 2638.13]),
                ("short 102.0", &[92.0, 394.21, 3032.34]),
                ("short 103.0", &[92.0, 389.93, 3422.27]),
                ("short 104.0", &[92.0, 393.69, 3815.96]),
                ("short 105.0", &[92.0, 389.17, 4205.12]),
                ("short 106.0", &[92.0, 392.84, 4597.96]),
                ("short 107.0", &[92.0, 396.55, 4994.51]),
                ("short 108.0", &[92.0, 5588.51, 10583.02]),
                ("short 109.0", &[92.0, 10159.38, 20742.40]),
                ("short 110.0", &[92.0, 7754.38, 28496.79]),
                ("short 111.0", &[92.0, 905.71, 29402.50]),
            ],
        )
        .await;
    });
}

/// Frames of five minutes. 00:05 is the first cohort alone: of its 101 buckets of 220.75/101 units, 31 have their centre
/// below 90, 55 between 90 and 91, and 15 above.
#[test]
fn the_heatmap_is_that_worked_by_hand() {
    with_large_stack(|| async {
        let context = market(BARS).await;
        assert_rows(
            &context,
            "SELECT concat(to_char(ts, '%H:%M'), ' ', side, ' ', round(price_low)), price, notional_usd \
             FROM liq_heatmap(bars, step => INTERVAL '5 minutes', tiers => [10], weights => [1], jitter => 0, \
             price_step => 1) WHERE ts < TIMESTAMP '2026-01-01T00:15:00'",
            &[
                ("00:05 long 89.0", &[100.0, 6079.02]),
                ("00:05 long 90.0", &[100.0, 10878.55]),
                ("00:05 long 91.0", &[100.0, 2987.71]),
                ("00:05 short 108.0", &[100.0, 5941.32]),
                ("00:05 short 109.0", &[100.0, 10769.53]),
                ("00:05 short 110.0", &[100.0, 7475.60]),
                ("00:10 long 89.0", &[102.0, 6008.60]),
                ("00:10 long 90.0", &[102.0, 11328.76]),
                ("00:10 long 91.0", &[102.0, 3866.78]),
                ("00:10 long 92.0", &[102.0, 167.21]),
                ("00:10 short 108.0", &[102.0, 5872.50]),
                ("00:10 short 109.0", &[102.0, 11043.38]),
                ("00:10 short 110.0", &[102.0, 8311.87]),
                ("00:10 short 111.0", &[102.0, 687.60]),
            ],
        )
        .await;
    });
}

/// Open interest unknown: 0.45 × 288 × the mean of the volumes, weighted by (1 − α)^age, α = 2/(30 × 288 + 1).
///
/// ```text
/// 00:00   129.6 × 1000                       = 129,600.00   the first bar changes nothing: g = 0.05 × 1.0375 × 500 = 25.9375
/// 00:05   129.6 × (1000 w + 800)/(w + 1)     = 116,638.50   falls by 12,961.5, more than was traded: g = 0
/// 00:10                                        207,380.00   rises by 90,741.50: 90,741.50 × 86.63943899 = 7,861,792.73
/// 00:15                                        171,722.62   keeps 0.828057779
/// ```
///
/// Four bars are too few for a mean; that is why an early book without open interest is not to be trusted.
#[test]
fn without_open_interest_it_is_estimated_from_volume() {
    with_large_stack(|| async {
        let context = market(BARS).await;
        assert_rows(
            &context,
            "SELECT concat(to_char(ts, '%H:%M'), ' ', side), open_interest, opened_usd, closed_usd, liquidated_usd, \
             standing_usd FROM liq_flows((SELECT ts, exchange, symbol, open, high, low, close, volume FROM bars), \
             tiers => [10], weights => [1], jitter => 0)",
            &[
                ("00:00 long", &[129_600.0, 2343.514, 0.0, 0.0, 2343.514]),
                ("00:00 short", &[129_600.0, 2841.839, 0.0, 0.0, 2841.839]),
                ("00:05 long", &[116_638.5, 0.0, 234.379, 0.0, 2109.135]),
                ("00:05 short", &[116_638.5, 0.0, 284.217, 0.0, 2557.623]),
                ("00:10 long", &[207_380.001, 7_861_792.733, 0.0, 1466.303, 7_862_435.566]),
                ("00:10 short", &[207_380.001, 9_531_619.722, 0.0, 0.0, 9_534_177.345]),
                ("00:15 long", &[171_722.623, 0.0, 1_203_743.443, 861_575.409, 5_797_116.714]),
                ("00:15 short", &[171_722.623, 0.0, 1_639_327.627, 0.0, 7_894_849.718]),
            ],
        )
        .await;
    });
}

/// Data are missing after the first bar, and open interest has halved when they resume: 10200 at its close, 5100 at the
/// next open. Before anything else everything shrinks by 5100/10200, which counts as closed: 19,945.28 / 2 = 9,972.64.
#[test]
fn a_lower_open_interest_after_a_gap_shrinks_the_book() {
    with_large_stack(|| async {
        let context = market(
            "SELECT to_timestamp_seconds(t) AS ts, 'binance' AS exchange, 'BTCUSDT' AS symbol, * FROM (VALUES
               (1767225600, 100, 101,  99, 100, 1000, 10000, 10200),
               (1767312000, 100, 102, 100, 102,    0,  5100,  5100))
             AS bars (t, open, high, low, close, volume, open_interest, open_interest_close)",
        )
        .await;
        assert_rows(
            &context,
            "SELECT concat(to_char(ts, '%d'), ' ', side), opened_usd, closed_usd, liquidated_usd, standing_usd, \
             standing_size FROM liq_flows(bars, tiers => [10], weights => [1], jitter => 0, \
             interval => INTERVAL '5 minutes')",
            &[
                ("01 long", &[19945.28, 0.0, 0.0, 19945.28, 220.75]),
                ("01 short", &[24186.45, 0.0, 0.0, 24186.45, 220.75]),
                ("02 long", &[0.0, 9972.64, 0.0, 9972.64, 110.375]),
                ("02 short", &[0.0, 12093.23, 0.0, 12093.23, 110.375]),
            ],
        )
        .await;
    });
}

/// Two bars at 50x, whose range is wider than the distance: 1.6064 % long, 1.5936 % short, turnover 6.225.
///
/// ```text
/// bar   low high  volume    OI0    OI1     g                                  keep
/// 1      98  102    1000  10000  10200     0.05 × 6.225 × 400 = 124.5        0.98755       opens 324.5
/// 2      99  101    1000  10200  10200     0.05 × 6.225 × 500 = 155.625      0.984742647   opens 155.625
///
/// long buckets  22843…23043 and 22894…22994, 201 and 101    a low of 98 reaches from 22925, one of 99 from 22976
/// ```
///
/// An hour may pass the level of what it opened, so it sweeps that too: 119 of the 201 long buckets, 19,053.91.
/// Fifteen minutes or less spare it, and the second bar sweeps 68 of those 201.
#[test]
fn bars_longer_than_a_quarter_hour_sweep_what_they_opened() {
    with_large_stack(|| async {
        for (seconds, expected) in [
            (
                3600,
                [
                    ("1 long", &[31922.07, 0.0, 19053.91, 12868.16][..]),
                    ("1 short", &[32960.10, 0.0, 19847.36, 13112.73]),
                    ("2 long", &[15311.60, 196.33, 2904.07, 25079.36]),
                    ("2 short", &[15809.50, 200.07, 3416.50, 25305.66]),
                ],
            ),
            (
                900,
                [
                    ("1 long", &[31922.07, 0.0, 0.0, 31922.07][..]),
                    ("1 short", &[32960.10, 0.0, 0.0, 32960.10]),
                    ("2 long", &[15311.60, 320.08, 10943.45, 35970.15]),
                    ("2 short", &[15809.50, 322.58, 11817.64, 36629.37]),
                ],
            ),
        ] {
            let context = market(&format!(
                "SELECT to_timestamp_seconds(1767225600 + {seconds} * n) AS ts, 'binance' AS exchange, \
                 'BTCUSDT' AS symbol, * FROM (VALUES
                   (0, 100, 102, 98, 100, 1000, 10000, 10200),
                   (1, 100, 101, 99, 100, 1000, 10200, 10200))
                 AS bars (n, open, high, low, close, volume, open_interest, open_interest_close)"
            ))
            .await;
            assert_rows(
                &context,
                &format!(
                    "SELECT concat(1 + (to_unixtime(ts) - 1767225600) / {seconds}, ' ', side), opened_usd, closed_usd, \
                     liquidated_usd, standing_usd FROM liq_flows(bars, tiers => [50], weights => [1], jitter => 0)"
                ),
                &expected,
            )
            .await;
        }
    });
}

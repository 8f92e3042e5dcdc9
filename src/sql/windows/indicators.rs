//! The declarations of `ema`, `rsi` and `atr`.

use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

/// Most periods: two years of minutes. An average over more says nothing that a plain one does not.
const MOST_PERIODS: f64 = 1_000_000.0;

/// Far beyond any price; sums and products of these stay finite.
const FINITE: Limits =
    Limits { low: -1e150, low_included: true, high: 1e150, words: "a finite number between -1e150 and 1e150" };

const WHOLE: Limits =
    Limits { low: 1.0, low_included: true, high: MOST_PERIODS, words: "a whole number from 1 to 1,000,000" };

const PERIODS: Parameter = parameter("periods", WHOLE, "number of values of the first average, a constant");

const fn parameter(name: &'static str, limits: Limits, doc: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Number(limits), fallback: Fallback::Required, unit: "", doc }
}

pub(super) static EMA: Spec = Spec {
    name: "ema",
    summary: "Exponential moving average: begins with the mean of the first values, then a weight of 2/(periods + 1)",
    parameters: &[parameter("value", FINITE, "a column of numbers, such as close"), PERIODS],
    returns: Returns::Derived("the average in the unit of the value; NULL for the first periods - 1 values"),
    example: "SELECT ts, close, ema(close, 20) OVER (PARTITION BY exchange, symbol ORDER BY ts) AS ema \
              FROM daily_candles ORDER BY symbol, ts LIMIT 30",
};

pub(super) static RSI: Spec = Spec {
    name: "rsi",
    summary: "Relative strength index after Wilder, 0 to 100; 50 where nothing moved",
    parameters: &[parameter("value", FINITE, "a column of numbers, such as close"), PERIODS],
    returns: Returns::Derived("the index; NULL for the first periods values"),
    example: "SELECT ts, close, rsi(close, 14) OVER (PARTITION BY exchange, symbol ORDER BY ts) AS rsi \
              FROM daily_candles ORDER BY symbol, ts LIMIT 30",
};

pub(super) static ATR: Spec = Spec {
    name: "atr",
    summary: "Average true range after Wilder; the range of the first bar is high - low",
    parameters: &[
        parameter("high", FINITE, "highest price of the bar"),
        parameter("low", FINITE, "lowest price of the bar"),
        parameter("close", FINITE, "last price of the bar"),
        PERIODS,
    ],
    returns: Returns::Derived("the average in the unit of the prices; NULL for the first periods - 1 bars"),
    example: "SELECT ts, close, atr(high, low, close, 14) OVER (PARTITION BY exchange, symbol ORDER BY ts) AS atr \
              FROM daily_candles ORDER BY symbol, ts LIMIT 30",
};

//! `liq_price`, `liq_price_inverse`, `liq_price_at_leverage`, `bankruptcy_price`: at which price a position ends.
//!
//! In: a side and the numbers of one position. Out: a price in quote per base, NULL where the position has none: a
//! linear long whose level would be at or below zero, an inverse short with as much coin behind it as it owes.
//!
//! One bracket only: its rate and amount are arguments. `liq_price_tiered` picks the bracket from an exchange's table.

use datafusion::common::{Result, exec_err};

use crate::model::margin;
use crate::model::side::Side;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

const FINITE: Limits = Limits { low: f64::MIN, low_included: true, high: f64::MAX, words: "a finite number" };

const BELOW_ONE: Limits =
    Limits { low: 0.0, low_included: true, high: 1.0 - f64::EPSILON / 2.0, words: "a fraction from 0 to below 1" };

const LEVERAGE: Limits = Limits { low: 1.0, low_included: true, high: f64::MAX, words: "a leverage of at least 1" };

const fn required(name: &'static str, limits: Limits, unit: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Number(limits), fallback: Fallback::Required, unit, doc }
}

const fn zero_unless_given(name: &'static str, limits: Limits, unit: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Number(limits), fallback: Fallback::Value("0"), unit, doc }
}

const SIDE: Parameter = Parameter {
    name: "side",
    kind: ParameterKind::Choice(&["long", "short"]),
    fallback: Fallback::Required,
    unit: "",
    doc: "side of the position, in any case",
};
const ENTRY_PRICE: Parameter = required("entry_price", Limits::POSITIVE, "quote per base", "mean entry price");
const SIZE: Parameter = required("size", Limits::POSITIVE, "base", "quantity of the position");
// Cross margin that other contracts have used up is negative.
const MARGIN: Parameter =
    required("margin", FINITE, "quote", "margin behind the position, with what was added, without its own profit");
const RATE: Parameter =
    required("maintenance_margin_rate", BELOW_ONE, "fraction", "rate of the bracket that holds, 0.004 is 0.4 %");
// Bybit's rule until 2025-09-02, maintenance margin on the entry price, is rate 0 and the margin as a negative amount.
const AMOUNT: Parameter = zero_unless_given(
    "maintenance_amount",
    FINITE,
    "as margin",
    "what the bracket deducts from notional × rate; negative adds to it",
);
const FEE: Parameter =
    zero_unless_given("fee_rate", BELOW_ONE, "fraction", "closing fee that the exchange includes in the trigger");

/// The declaration of `liq_price`.
pub static LIQ_PRICE: Spec = Spec {
    name: "liq_price",
    summary: "Liquidation price of a linear position, margined in the quote currency",
    parameters: &[SIDE, ENTRY_PRICE, SIZE, MARGIN, RATE, AMOUNT, FEE],
    returns: Returns::Derived("a price in quote per base, NULL for a long that no price can liquidate"),
    example: "SELECT liq_price('long', 100000, 0.5, 5000, 0.004) AS liquidation_price",
};

/// The declaration of `liq_price_inverse`.
pub static LIQ_PRICE_INVERSE: Spec = Spec {
    name: "liq_price_inverse",
    summary: "Liquidation price of an inverse position, margined in the coin",
    parameters: &[
        SIDE,
        ENTRY_PRICE,
        required("size_usd", Limits::POSITIVE, "USD", "contracts × face value"),
        required(
            "margin_coin",
            FINITE,
            "coin",
            "margin behind the position, with what was added, without its own profit",
        ),
        RATE,
        AMOUNT,
        FEE,
    ],
    returns: Returns::Derived("a price in quote per base, NULL for a short that no price can liquidate"),
    example: "SELECT liq_price_inverse('long', 37643.1, 200, 0.00268058, 0.004) AS liquidation_price",
};

/// The declaration of `liq_price_at_leverage`.
pub static LIQ_PRICE_AT_LEVERAGE: Spec = Spec {
    name: "liq_price_at_leverage",
    summary: "Liquidation price of a linear position that was opened with a leverage and nothing added since",
    parameters: &[SIDE, ENTRY_PRICE, required("leverage", LEVERAGE, "", "notional / initial margin"), RATE],
    returns: Returns::Derived("a price in quote per base, NULL for a long that no price can liquidate"),
    example: "SELECT liq_price_at_leverage('short', 100000, 25, 0.004) AS liquidation_price",
};

/// The declaration of `bankruptcy_price`.
pub static BANKRUPTCY_PRICE: Spec = Spec {
    name: "bankruptcy_price",
    summary: "Price at which the margin of a linear position is used up, which published forced orders usually carry",
    parameters: &[SIDE, ENTRY_PRICE, SIZE, MARGIN],
    returns: Returns::Derived("a price in quote per base, NULL for a long backed by its whole notional"),
    example: "SELECT bankruptcy_price('long', 10000, 1, 200) AS bankruptcy_price",
};

pub(super) fn linear(side: Side, numbers: &[f64]) -> Result<Option<f64>> {
    let &[entry_price, size, margin, rate, amount, fee] = numbers else { return Ok(None) };
    check_rates(&LIQ_PRICE, rate, fee)?;
    Ok(margin::liquidation_price(side, entry_price, size, margin, rate, amount, fee))
}

pub(super) fn inverse(side: Side, numbers: &[f64]) -> Result<Option<f64>> {
    let &[entry_price, size_usd, margin_coin, rate, amount, fee] = numbers else { return Ok(None) };
    check_rates(&LIQ_PRICE_INVERSE, rate, fee)?;
    Ok(margin::liquidation_price_inverse(side, entry_price, size_usd, margin_coin, rate, amount, fee))
}

pub(super) fn at_leverage(side: Side, numbers: &[f64]) -> Result<Option<f64>> {
    let &[entry_price, leverage, rate] = numbers else { return Ok(None) };
    Ok(margin::liquidation_price_at_leverage(side, entry_price, leverage, rate))
}

pub(super) fn bankruptcy(side: Side, numbers: &[f64]) -> Result<Option<f64>> {
    let &[entry_price, size, margin] = numbers else { return Ok(None) };
    Ok(margin::bankruptcy_price(side, entry_price, size, margin))
}

/// Together the rates must leave something: at 1 the equation has no solution, above it a wrong one.
fn check_rates(spec: &Spec, rate: f64, fee: f64) -> Result<()> {
    if rate + fee < 1.0 {
        return Ok(());
    }
    exec_err!("{}: 'fee_rate' must be below 1 - maintenance_margin_rate ({rate}), was {fee}", spec.name)
}

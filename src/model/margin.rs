//! At which price an exchange closes a position: exact margin arithmetic, linear and inverse, with brackets.
//!
//! One equation covers the venues that margin each position alone. A position is liquidated at the mark price `P` where
//!
//! ```text
//! equity(P) = maintenance(P) + closing fee(P)
//!
//! linear   equity = M + s·q·(P − E)        notional = q·P    (q base units, M quote)
//! inverse  equity = M + s·Q·(1/E − 1/P)    notional = Q/P    (Q USD of contracts, M coin)
//! maintenance = notional · rate − amount
//! ```
//!
//! with `s = +1` for a long and `−1` for a short, `E` the entry price, `M` the margin assigned to the position (with
//! added margin, without unrealised profit), `rate` and `amount` those of the bracket in which the notional AT THE
//! LIQUIDATION PRICE falls. Solved for `P` inside one bracket:
//!
//! ```text
//! linear   P = (s·q·E − M − amount) / (q·(s − rate − fee))
//! inverse  P = Q·(s + rate + fee) / (M + amount + s·Q/E)
//! ```
//!
//! Sources: Binance FAQ "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts"
//! (b3c689c1f50a44cabb3a84e663b81d93), Bybit help "Liquidation Price (USDT Contract)" with the mark-price rule in force
//! since 2025-09-02, OKX 360053909592, Hyperliquid docs "Liquidations". Cross margin joins positions through one
//! balance and has no price of its own per position; give the margin that stands behind the position.

use super::side::Side;

/// Returns the liquidation price of a linear position (margin and profit in the quote currency).
///
/// * `entry_price`: quote per base; `size`: base units, positive; `margin`: quote.
/// * `maintenance_margin_rate`: fraction (0.004 is 0.4 %); `maintenance_amount`: quote, the bracket's deduction;
///   `fee_rate`: the closing fee that the exchange includes in the trigger, as a fraction (0 on Binance and Hyperliquid).
///
/// Returns `None` where price cannot fall far enough: a long whose level would be at or below zero.
///
/// ```
/// use liqsql::model::{margin::liquidation_price, side::Side};
/// // Bybit's own example: 50x long at 20,000 with a rate of 0.5 %, by today's mark-price rule.
/// let price = liquidation_price(Side::Long, 20_000.0, 1.0, 400.0, 0.005, 0.0, 0.0).unwrap();
/// assert!((price - 19_698.49).abs() < 0.01);
/// ```
pub fn liquidation_price(
    side: Side,
    entry_price: f64,
    size: f64,
    margin: f64,
    maintenance_margin_rate: f64,
    maintenance_amount: f64,
    fee_rate: f64,
) -> Option<f64> {
    let s = side.sign();
    let price =
        (s * size * entry_price - margin - maintenance_amount) / (size * (s - maintenance_margin_rate - fee_rate));
    (price.is_finite() && price > 0.0).then_some(price)
}

/// Returns the liquidation price of an inverse position (margin and profit in the coin).
///
/// * `entry_price`: quote per base; `size_usd`: contracts × face value, positive; `margin_coin`: coin.
/// * `maintenance_amount`: coin; the other arguments as for [`liquidation_price`].
///
/// Returns `None` where the position has no liquidation price: a short that is backed by as much coin as it owes.
///
/// ```
/// use liqsql::model::{margin::liquidation_price_inverse, side::Side};
/// let long = liquidation_price_inverse(Side::Long, 37_643.1, 200.0, 0.00268058, 0.004, 0.0, 0.0).unwrap();
/// assert!((long - 25_119.97).abs() < 0.01);
/// // A short with margin equal to its whole notional cannot be liquidated.
/// assert_eq!(liquidation_price_inverse(Side::Short, 10_000.0, 10_000.0, 1.0, 0.004, 0.0, 0.0), None);
/// ```
pub fn liquidation_price_inverse(
    side: Side,
    entry_price: f64,
    size_usd: f64,
    margin_coin: f64,
    maintenance_margin_rate: f64,
    maintenance_amount: f64,
    fee_rate: f64,
) -> Option<f64> {
    let s = side.sign();
    let price = size_usd * (s + maintenance_margin_rate + fee_rate)
        / (margin_coin + maintenance_amount + s * size_usd / entry_price);
    (price.is_finite() && price > 0.0).then_some(price)
}

/// Returns the liquidation price of a linear position that was opened with `leverage` and nothing added since.
///
/// Initial margin is notional / leverage, so the size cancels. Returns `None` for a long without a level (1x).
///
/// ```
/// use liqsql::model::{margin::liquidation_price_at_leverage, side::Side};
/// let price = liquidation_price_at_leverage(Side::Long, 100_000.0, 10.0, 0.004).unwrap();
/// assert!((price - 90_361.4458).abs() < 1e-4);
/// assert_eq!(liquidation_price_at_leverage(Side::Long, 100_000.0, 1.0, 0.004), None);
/// ```
pub fn liquidation_price_at_leverage(
    side: Side,
    entry_price: f64,
    leverage: f64,
    maintenance_margin_rate: f64,
) -> Option<f64> {
    let s = side.sign();
    let price = entry_price * (1.0 - s / leverage) / (1.0 - s * maintenance_margin_rate);
    (price.is_finite() && price > 0.0).then_some(price)
}

/// Returns the price at which the margin of a linear position is used up (equity zero, no fee).
///
/// Forced orders are usually limited to, and published with, this price, not the trigger. Returns `None` where it is
/// not positive.
pub fn bankruptcy_price(side: Side, entry_price: f64, size: f64, margin: f64) -> Option<f64> {
    let price = entry_price - side.sign() * margin / size;
    (price.is_finite() && price > 0.0).then_some(price)
}

/// In which unit the limits of a bracket are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BracketUnit {
    /// Notional in the quote currency (Binance USDⓈ-M, Bybit linear, Hyperliquid).
    QuoteNotional,
    /// Quantity in base units, or in contracts converted to base (OKX: the rate holds for the whole position).
    BaseSize,
}

/// One bracket of an exchange's margin table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bracket {
    /// Unit of `floor` and `cap`.
    pub unit: BracketUnit,
    /// Lower limit.
    pub floor: f64,
    /// Upper limit; infinite for the last bracket.
    pub cap: f64,
    /// Maintenance margin rate, a fraction.
    pub maintenance_margin_rate: f64,
    /// Largest leverage allowed.
    pub max_leverage: f64,
    /// What is deducted from notional × rate, in the quote currency.
    pub maintenance_amount: f64,
}

/// A liquidation price and the bracket that holds at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BracketedPrice {
    /// The price, `None` where the position has none.
    pub liquidation_price: Option<f64>,
    /// Position of the bracket in the table that was given, counted from 0.
    pub bracket: usize,
}

/// Returns the liquidation price of a linear position under a table of brackets, sorted by `floor`.
///
/// The bracket is the one in which the notional AT THE LIQUIDATION PRICE lies (Binance: "if the bracket at the
/// liquidation price differs, it is calculated again with that bracket"). With continuous tables, which the published
/// maintenance amounts make, exactly one bracket agrees with its own price. A table with jumps may leave a hole
/// between two brackets; then the higher bracket holds, because its requirement is the one that triggers first.
/// Brackets by base size need no search: size does not change with price.
///
/// Returns `None` if the table is empty.
pub fn liquidation_price_bracketed(
    side: Side,
    entry_price: f64,
    size: f64,
    margin: f64,
    brackets: &[Bracket],
    fee_rate: f64,
) -> Option<BracketedPrice> {
    let price_in = |bracket: &Bracket| {
        liquidation_price(
            side,
            entry_price,
            size,
            margin,
            bracket.maintenance_margin_rate,
            bracket.maintenance_amount,
            fee_rate,
        )
    };
    for (index, bracket) in brackets.iter().enumerate() {
        let last = index + 1 == brackets.len();
        let price = price_in(bracket);
        // No price means that the level would lie at or below zero, where the notional is smallest.
        let amount = match bracket.unit {
            BracketUnit::QuoteNotional => size * price.unwrap_or(0.0),
            BracketUnit::BaseSize => size,
        };
        if amount <= bracket.cap || last {
            return Some(BracketedPrice { liquidation_price: price, bracket: index });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: Option<f64>, expected: f64, tolerance: f64) {
        let actual = actual.expect("has a liquidation price");
        assert!((actual - expected).abs() <= tolerance, "was {actual}, expected {expected}");
    }

    // Binance FAQ b3c689c1f50a44cabb3a84e663b81d93: isolated long 3,683.979 at 1,456.84 with a wallet of 1,535,443.01,
    // and the same in cross, where the margin of the other contracts and their profit move the wallet.
    #[test]
    fn binance_linear_published() {
        close(liquidation_price(Side::Long, 1456.84, 3683.979, 1_535_443.01, 0.1, 135_365.0, 0.0), 1114.78, 0.005);
        let cross = 1_535_443.01 - 71_200.811_44 - 56_354.57;
        close(liquidation_price(Side::Long, 1456.84, 3683.979, cross, 0.1, 135_365.0, 0.0), 1153.26, 0.005);
        // Sample of GET /fapi/v2/positionRisk, hedge mode.
        close(liquidation_price(Side::Long, 6563.665, 20.0, 13_200.707_269_08, 0.005, 50.0, 0.0), 5930.78, 0.005);
    }

    // Sample of the COIN-M positionRisk endpoint: two contracts of 100 USD, isolated.
    #[test]
    fn binance_inverse_published() {
        close(
            liquidation_price_inverse(Side::Long, 37_643.100_000_21, 200.0, 0.002_680_58, 0.004, 0.0, 0.0),
            25_119.974_457_6,
            1e-4,
        );
    }

    // freqtrade's test suite (test_get_liquidation_price), Binance, OKX and Gate rows.
    #[test]
    fn freqtrade_rows() {
        for (side, size, entry, margin, expected) in [
            (Side::Short, 1.0, 10.0, 2.0, 11.891_089_108_910_89),
            (Side::Long, 1.0, 10.0, 2.0, 8.070_707_070_707_071),
            (Side::Short, 30.0, 10.0, 60.0, 11.881_518_151_815_18),
            (Side::Long, 15_000.0, 0.1, 300.0, 0.080_807_407_407_407_41),
        ] {
            close(liquidation_price(side, entry, size, margin, 0.01, 0.01, 0.0), expected, 1e-9 * expected);
        }
        for (side, margin, expected) in [
            (Side::Short, 3.333_333_333_333_333_5, 13.193_482_419_684_678),
            (Side::Long, 3.333_333_333_333_333_5, 6.738_090_425_173_506),
            (Side::Short, 2.0, 11.874_134_177_716_21),
        ] {
            close(liquidation_price(side, 10.0, 1.0, margin, 0.01, 0.0, 0.0006), expected, 1e-9 * expected);
        }
    }

    // Hyperliquid positions recorded live (freqtrade tests/exchange/test_hyperliquid.py). The rate is half of 1/max
    // leverage; the margin is the published isolated margin.
    #[test]
    fn hyperliquid_recorded() {
        for (side, price, size, margin, max_leverage, expected, relative) in [
            (Side::Long, 2458.5, 0.015, 36.864_593, 50.0, 0.869_158_25, 1e-6),
            (Side::Long, 63_287.0, 0.00039, 24.673_292, 50.0, 22.371_665_37, 4e-5),
            (Side::Short, 2642.8, 0.019, 25.091_876, 50.0, 3_924.183_220_43, 1e-6),
            (Side::Short, 0.14333, 351.0, 25.136_807, 20.0, 0.209_702_28, 1e-6),
            (Side::Long, 173.06, 0.6, 20.735_658, 20.0, 142.051_866_67, 1e-6),
            (Side::Short, 67_400.0, 0.00031, 20.887_308, 50.0, 133_443.973_171_51, 1e-6),
            (Side::Long, 250.0, 0.5, 25.0, 10.0, 210.526_315_789_473_7, 1e-9),
        ] {
            close(
                liquidation_price(side, price, size, margin, 0.5 / max_leverage, 0.0, 0.0),
                expected,
                relative * expected,
            );
        }
    }

    // Bybit help "Bankruptcy Price (USDT Contract)": 50x long at 10,000.
    #[test]
    fn bankruptcy_published() {
        close(bankruptcy_price(Side::Long, 10_000.0, 1.0, 200.0), 9800.0, 1e-6);
        // dYdX docs, contract loss mechanism: 500 short at 1 with equity 100 on top of its proceeds.
        close(bankruptcy_price(Side::Short, 1.0, 500.0, 100.0), 1.2, 1e-9);
    }

    // dYdX docs, "Liquidations": equity 1,000, short 3 at 3,000, maintenance fraction 5 %.
    #[test]
    fn dydx_published_inputs() {
        close(liquidation_price(Side::Short, 3000.0, 3.0, 1000.0, 0.05, 0.0, 0.0), 3_174.603_174_6, 0.01);
    }

    #[test]
    fn a_price_lies_in_its_own_bracket() {
        // Binance BTCUSDT, as known since 2025-10-31, first four brackets.
        let bracket = |floor, cap, rate, max_leverage, amount| Bracket {
            unit: BracketUnit::QuoteNotional,
            floor,
            cap,
            maintenance_margin_rate: rate,
            max_leverage,
            maintenance_amount: amount,
        };
        let table = [
            bracket(0.0, 300e3, 0.004, 150.0, 0.0),
            bracket(300e3, 800e3, 0.005, 100.0, 300.0),
            bracket(800e3, 3e6, 0.0065, 75.0, 1500.0),
            bracket(3e6, f64::INFINITY, 0.01, 50.0, 12_000.0),
        ];
        for side in Side::BOTH {
            for size in [0.5, 3.0, 3.3, 8.0, 9.5, 30.0, 40.0] {
                for leverage in [2.0, 10.0, 50.0] {
                    let entry = 100_000.0;
                    let margin = entry * size / leverage;
                    let found = liquidation_price_bracketed(side, entry, size, margin, &table, 0.0).expect("a table");
                    let bracket = &table[found.bracket];
                    if let Some(price) = found.liquidation_price {
                        let notional = size * price;
                        assert!(notional > bracket.floor && notional <= bracket.cap);
                        let maintenance = notional * bracket.maintenance_margin_rate - bracket.maintenance_amount;
                        let equity = margin + side.sign() * size * (price - entry);
                        assert!((equity - maintenance).abs() < 1e-6 * notional);
                    }
                }
            }
        }
    }
}

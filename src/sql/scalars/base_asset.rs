//! `base_asset`: the coin of a symbol, in the spellings that exchanges use.
//!
//! ```text
//! BTCUSDT, BTCUSDC, BTCUSD, BTCBUSD, BTCUSD_PERP, BTC-USDT-SWAP, BTC/USDT:USDT, BTCPERP → BTC
//! ```
//!
//! In: a symbol. Out: the part before the quote, in the case in which it is written; the symbol itself where no quote is
//! known. A multiplier stays, because the price is that of the multiple: `1000PEPEUSDT` is `1000PEPE`.

use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "base_asset",
    summary: "Coin of a symbol: BTC of BTCUSDT, BTC-USDT-SWAP or BTC/USDT:USDT",
    parameters: &[Parameter {
        name: "symbol",
        kind: ParameterKind::Name,
        fallback: Fallback::Required,
        unit: "",
        doc: "symbol as an exchange writes it; a multiplier such as 1000 stays",
    }],
    returns: Returns::Derived("the part of the symbol before its quote; the symbol itself where no quote is known"),
    example: "SELECT base_asset('BTCUSDT') AS coin",
};

/// Quotes of contracts, the longer before what it ends with.
const QUOTES: &[&str] = &["FDUSD", "USDT", "USDC", "BUSD", "USD"];

/// Coins that end like the first letter of a quote: `BNBUSD` is BNB in USD, not BN in BUSD.
const ENDING_IN_B: &[&str] = &["ARB", "BNB", "SHIB", "TRB"];

const SEPARATORS: [char; 4] = ['/', '-', '_', ':'];

pub(super) fn base_asset(symbol: &str) -> &str {
    let mut parts = symbol.split(SEPARATORS);
    let first = parts.next().unwrap_or(symbol);
    if first.is_empty() {
        return symbol;
    }
    match parts.next() {
        // The separator already stands between coin and quote: BUSD-USDT is BUSD.
        Some(second) if QUOTES.iter().any(|quote| quote.eq_ignore_ascii_case(second)) => first,
        Some(_) => without_quote(first),
        None => without_quote(without_ending(first, "PERP").unwrap_or(first)),
    }
}

fn without_quote(text: &str) -> &str {
    for quote in QUOTES {
        let Some(coin) = without_ending(text, quote) else { continue };
        if *quote == "BUSD" {
            // Safe: a quote is ASCII, so one byte more ends at a character.
            let longer = &text[..coin.len() + 1];
            if ENDING_IN_B
                .iter()
                .any(|known| without_ending(longer, known).is_some() || known.eq_ignore_ascii_case(longer))
            {
                return longer;
            }
        }
        return coin;
    }
    text
}

/// Takes an ending off, in any case; `None` where it is not there or nothing would be left.
fn without_ending<'a>(text: &'a str, ending: &str) -> Option<&'a str> {
    let length = text.len().checked_sub(ending.len()).filter(|length| *length > 0)?;
    let (rest, end) = text.split_at_checked(length)?;
    end.eq_ignore_ascii_case(ending).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::base_asset;

    #[test]
    fn spellings_of_exchanges() {
        for (symbol, coin) in [
            ("BTCUSDT", "BTC"),
            ("BTCUSDC", "BTC"),
            ("BTCUSD", "BTC"),
            ("BTCBUSD", "BTC"),
            ("BTCFDUSD", "BTC"),
            ("BTCUSD_PERP", "BTC"),
            ("BTCUSD_260327", "BTC"),
            ("BTC-USDT-SWAP", "BTC"),
            ("BTC-PERPETUAL", "BTC"),
            ("BTC_USDC-PERPETUAL", "BTC"),
            ("BTC/USDT:USDT", "BTC"),
            ("BTCPERP", "BTC"),
            ("PERPUSDT", "PERP"),
            ("1000PEPEUSDT", "1000PEPE"),
            ("1000SHIBUSDT", "1000SHIB"),
            ("1000SHIBUSD", "1000SHIB"),
            ("BNBUSD", "BNB"),
            ("BNBBUSD", "BNB"),
            ("ARBUSD_PERP", "ARB"),
            ("DOTUSD_PERP", "DOT"),
            ("BUSD-USDT", "BUSD"),
            ("btcusdt", "btc"),
            ("kPEPE", "kPEPE"),
            ("ETHBTC", "ETHBTC"),
            ("USDT", "USDT"),
            ("", ""),
            ("-", "-"),
            ("ÄUSDT", "Ä"),
        ] {
            assert_eq!(base_asset(symbol), coin, "{symbol}");
        }
    }
}

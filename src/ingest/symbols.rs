//! The names of markets: each exchange's own to BASEQUOTE in upper case.

/// `BTC-USDT-SWAP`, `BTC/USDT:USDT`, `btcusdt` and `BTCUSD_PERP` to `BTCUSDT` and `BTCUSD`. Dated contracts keep their date.
pub fn canonical(name: &str) -> String {
    let name = name.split(':').next().unwrap_or(name).to_ascii_uppercase();
    let name = name.trim_end_matches("-SWAP").trim_end_matches("_PERP").trim_end_matches("-PERPETUAL");
    name.chars().filter(|letter| !matches!(letter, '-' | '/')).collect()
}

/// Whether contracts of a market are worth a fixed amount of USD and settled in the coin: `BTCUSD`, `BTC-USD-SWAP`, and
/// dated ones, `BTCUSD_260327` (Binance), `BTC-USD-260327` (OKX), `BTCUSDZ26` (Bybit).
pub fn is_inverse(name: &str) -> bool {
    let symbol = canonical(name);
    let symbol = undated(&symbol);
    symbol.ends_with("USD") && !symbol.ends_with("BUSD") && !symbol.ends_with("FDUSD")
}

/// A canonical name without the date of delivery: six digits, or, on Bybit, a month's letter and two digits of the year.
fn undated(symbol: &str) -> &str {
    let bare = symbol.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match symbol.len() - bare.len() {
        6 => bare.trim_end_matches('_'),
        2 => bare.strip_suffix(|letter| "FGHJKMNQUVXZ".contains(letter)).unwrap_or(symbol),
        _ => symbol,
    }
}

/// USD per inverse contract, of the exchanges whose contracts are of one size for all coins but Bitcoin (Binance, OKX).
pub fn contract_usd(name: &str) -> f64 {
    if canonical(name).starts_with("BTCUSD") { 100.0 } else { 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_exchange_become_one() {
        for (name, symbol) in [
            ("BTCUSDT", "BTCUSDT"),
            ("btcusdt", "BTCUSDT"),
            ("BTC-USDT-SWAP", "BTCUSDT"),
            ("BTC-USD-SWAP", "BTCUSD"),
            ("BTCUSD_PERP", "BTCUSD"),
            ("BTC/USDT:USDT", "BTCUSDT"),
            ("1000PEPEUSDT", "1000PEPEUSDT"),
            ("BTCUSD_260327", "BTCUSD_260327"),
        ] {
            assert_eq!(canonical(name), symbol, "{name}");
        }
        assert!(is_inverse("BTC-USD-SWAP") && is_inverse("BTCUSD_PERP") && is_inverse("BTCUSD_260327"));
        assert!(is_inverse("BTC-USD-261225") && is_inverse("BTCUSDZ26") && is_inverse("BTCUSD"));
        for name in ["BTCUSDT", "BTCBUSD", "BTC-USDT-SWAP", "BTCUSDT_260327", "BTC-USDT-261225", "BTCPERP", "USDZ2"] {
            assert!(!is_inverse(name), "{name}");
        }
        assert_eq!((contract_usd("BTCUSD_PERP"), contract_usd("BTC-USD-SWAP")), (100.0, 100.0));
        assert_eq!((contract_usd("ETHUSD_PERP"), contract_usd("BCH-USD-SWAP")), (10.0, 10.0));
    }
}

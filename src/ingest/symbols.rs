//! The names of markets: each exchange's own to BASEQUOTE in upper case.

/// `BTC-USDT-SWAP`, `BTC/USDT:USDT`, `btcusdt` and `BTCUSD_PERP` to `BTCUSDT` and `BTCUSD`. Dated contracts keep their date.
pub fn canonical(name: &str) -> String {
    let name = name.split(':').next().unwrap_or(name).to_ascii_uppercase();
    let name = name.trim_end_matches("-SWAP").trim_end_matches("_PERP").trim_end_matches("-PERPETUAL");
    name.chars().filter(|letter| !matches!(letter, '-' | '/')).collect()
}

/// Whether contracts of a market are worth a fixed amount of USD and settled in the coin: `BTCUSD`, `BTC-USD-SWAP`.
pub fn is_inverse(name: &str) -> bool {
    let symbol = canonical(name);
    let symbol = symbol.split('_').next().unwrap_or(&symbol);
    symbol.ends_with("USD") && !symbol.ends_with("BUSD") && !symbol.ends_with("FDUSD")
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
        assert!(!is_inverse("BTCUSDT") && !is_inverse("BTCBUSD") && !is_inverse("BTC-USDT-SWAP"));
    }
}

-- What stands now, by price, and how much would go if price moved there?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the map; NULL is after the last bar
-- $max_distance number = 0.1  how far from the price, as a fraction

SELECT ts, exchange, symbol, price, side, price_low, price_high, notional_usd, cumulative_usd, distance
FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $max_distance)
WHERE exchange = $exchange AND symbol = $symbol
ORDER BY price_low DESC, side DESC;

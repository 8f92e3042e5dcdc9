-- What stands now, by price and leverage, with the cumulative long and short curves?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the map; NULL is after the last bar
-- $max_distance number = 0.1  how far from the price, as a fraction

SELECT
  price,
  side,
  price_low,
  price_high,
  sum(notional_usd) FILTER (WHERE leverage >= 100) AS x100_usd,
  sum(notional_usd) FILTER (WHERE leverage >= 50 AND leverage < 100) AS x50_usd,
  sum(notional_usd) FILTER (WHERE leverage >= 25 AND leverage < 50) AS x25_usd,
  sum(notional_usd) FILTER (WHERE leverage >= 10 AND leverage < 25) AS x10_usd,
  sum(notional_usd) FILTER (WHERE leverage < 10) AS below_x10_usd,
  sum(notional_usd) AS notional_usd,
  max(cumulative_usd) FILTER (WHERE side = 'long') AS cumulative_long_usd,
  max(cumulative_usd) FILTER (WHERE side = 'short') AS cumulative_short_usd
FROM liq_map(
  liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $max_distance, by_leverage => true)
WHERE exchange = $exchange AND symbol = $symbol
GROUP BY price, side, price_low, price_high
ORDER BY price_low DESC, side DESC;

-- The same, one row per leverage, which the picture draws.
SELECT ts, exchange, symbol, price, side, price_low, price_high, leverage, notional_usd, cumulative_usd
FROM liq_map(
  liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $max_distance, by_leverage => true)
WHERE exchange = $exchange AND symbol = $symbol
ORDER BY price_low DESC, side DESC, leverage;

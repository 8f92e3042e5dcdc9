-- What stands now, by price and exchange, with the cumulative long and short curves of all?
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the maps; NULL is after the last bar
-- $price_step number = NULL  height of a price cell; NULL is 0.1 % of the first price of the exchange
-- $max_distance number = 0.1  how far from the price, as a fraction

SELECT
  symbol,
  price,
  side,
  price_low,
  price_high,
  exchange,
  notional_usd,
  cumulative_usd,
  sum(notional_usd) OVER (PARTITION BY side, price_low) AS all_usd,
  -- From the price outwards; the exchanges of one cell share one sum.
  sum(notional_usd) OVER (
    PARTITION BY side ORDER BY CASE side WHEN 'long' THEN -price_low ELSE price_low END) AS all_cumulative_usd
FROM liq_map(
  liq_bars(candles, open_interest => open_interest), at => $at, price_step => $price_step, max_distance => $max_distance)
WHERE symbol = $symbol
ORDER BY price_low DESC, side DESC, exchange;

-- Which pools stand above and below now: how large, how old, and do they hold the high or low of a day, a week, a month?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  as of which instant; NULL is the last frame
-- $top number = 8  how many of each side, the largest first
-- $max_distance number = 0.15  how far from the price, as a fraction

SELECT
  ts,
  price,
  side,
  rank,
  pool_id,
  price_low,
  price_high,
  peak_price,
  distance,
  notional_usd,
  share,
  round(date_part('epoch', ts - born_ts) / 86400, 1) AS age_days,
  at_extreme
FROM liq_pools(
  liq_heatmap(liq_bars(candles, open_interest => open_interest), max_distance => $max_distance),
  bars => candles)
WHERE exchange = $exchange AND symbol = $symbol AND (ts <= $at OR $at IS NULL)
QUALIFY ts = max(ts) OVER () AND rank <= $top
ORDER BY price_low DESC;

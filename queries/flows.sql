-- What did each day open, close and sweep, and what stood at its end? USD are at liquidation prices, so that of equal sizes
-- the shorts, which are liquidated higher, are more.
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $from timestamp = '2026-02-15'  first day
-- $to timestamp = '2026-03-08'  end, not included

SELECT
  date_trunc('day', ts) AS day,
  side,
  sum(opened_usd) AS opened_usd,
  sum(closed_usd) AS closed_usd,
  sum(liquidated_usd) AS liquidated_usd,
  last_value(standing_usd ORDER BY ts) AS standing_usd,
  last_value(standing_size / open_interest ORDER BY ts) AS standing_share_of_open_interest
FROM liq_flows(liq_bars(candles, open_interest => open_interest))
WHERE exchange = $exchange AND symbol = $symbol AND ts >= $from AND ts < $to
GROUP BY day, side
ORDER BY day, side;

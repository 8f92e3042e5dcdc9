-- Where do exchanges disagree: what stands at each distance from the price, exchange by exchange?
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the maps; NULL is after the last bar
-- $band number = 0.01  width of a band of distance, as a fraction of the price

WITH bands AS (
  SELECT
    exchange,
    side,
    floor(distance / $band) * $band AS distance_from,
    sum(notional_usd) AS notional_usd
  FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at, max_distance => 0.1)
  WHERE symbol = $symbol
  GROUP BY 1, 2, 3
)
SELECT
  side,
  distance_from,
  exchange,
  notional_usd,
  notional_usd / sum(notional_usd) OVER (PARTITION BY exchange, side) AS share_of_exchange,
  notional_usd / sum(notional_usd) OVER (PARTITION BY side, distance_from) AS share_of_band
FROM bands
ORDER BY side, distance_from, exchange;

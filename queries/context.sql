-- What lies beside the map: momentum, the long averages, the four-year cycle, and what stands near the price?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  as of which instant; NULL is after the last bar
-- $within number = 0.05  how far from the price, as a fraction

WITH map AS (
  SELECT
    ts,
    price,
    sum(notional_usd) FILTER (WHERE side = 'short') AS above_usd,
    sum(notional_usd) FILTER (WHERE side = 'long') AS below_usd
  FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $within)
  WHERE exchange = $exchange AND symbol = $symbol
  GROUP BY ts, price
),
days AS (
  SELECT
    ts + INTERVAL '1 day' AS closed,
    rsi(close, 14) OVER series AS rsi_14,
    CASE WHEN row_number() OVER series >= 111 THEN avg(close) OVER last_111 END AS mean_111,
    CASE WHEN row_number() OVER series >= 350 THEN 2 * avg(close) OVER last_350 END AS twice_mean_350
  FROM daily_candles
  WHERE exchange = $exchange AND symbol = $symbol
  WINDOW
    series AS (PARTITION BY exchange, symbol ORDER BY ts),
    last_111 AS (PARTITION BY exchange, symbol ORDER BY ts ROWS BETWEEN 110 PRECEDING AND CURRENT ROW),
    last_350 AS (PARTITION BY exchange, symbol ORDER BY ts ROWS BETWEEN 349 PRECEDING AND CURRENT ROW)
),
halvings (halving) AS (
  VALUES (TIMESTAMP '2012-11-28'), (TIMESTAMP '2016-07-09'), (TIMESTAMP '2020-05-11'), (TIMESTAMP '2024-04-20')
),
cycle AS (
  SELECT max(halving) AS last_halving FROM halvings JOIN map ON halving <= map.ts
)
SELECT
  map.ts,
  price,
  rsi_14,
  CASE WHEN rsi_14 >= 70 THEN 'overbought' WHEN rsi_14 <= 30 THEN 'oversold' WHEN rsi_14 > 0 THEN 'neutral' END AS momentum,
  mean_111,
  twice_mean_350,
  -- From 1 on the Pi Cycle Top indicator is on.
  mean_111 / twice_mean_350 AS pi_cycle,
  last_halving,
  -- From 0 at a halving to 1 four years after it.
  (date_part('epoch', map.ts) - date_part('epoch', last_halving)) / (1461 * 86400.0) AS cycle_position,
  above_usd,
  below_usd,
  above_usd / (above_usd + below_usd) AS share_above
FROM map
  CROSS JOIN cycle
  LEFT JOIN days ON closed <= map.ts
QUALIFY row_number() OVER (ORDER BY closed DESC) = 1;

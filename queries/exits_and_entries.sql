-- Where could a position exit, and where enter after a sweep: the nearest large pools around the price, with reward and risk?
--
-- The exit is the near edge of a pool ahead. Entering now, the stop is the far edge of the nearest pool behind. Entering
-- after that pool was swept, the entry is its far edge and the stop as far beyond as the pool is wide.
--
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  as of which instant; NULL is the last frame
-- $min_share number = 0.03  a pool is large from this share of what stands on its side
-- $min_distance number = 0.005  exits nearer to the price than this fraction are passed over
-- $max_distance number = 0.15  how far from the price, as a fraction
-- $exits number = 3  how many pools ahead

WITH edges AS (
  SELECT
    *,
    CASE side WHEN 'short' THEN price_low ELSE price_high END AS near_edge,
    CASE side WHEN 'short' THEN price_high ELSE price_low END AS far_edge
  FROM liq_pools(
    liq_heatmap(liq_bars(candles, open_interest => open_interest), max_distance => $max_distance),
    min_share => $min_share)
  WHERE exchange = $exchange AND symbol = $symbol AND (ts <= $at OR $at IS NULL)
  QUALIFY ts = max(ts) OVER ()
),
exits AS (
  SELECT *, row_number() OVER (PARTITION BY side ORDER BY abs(near_edge - price)) AS nth
  FROM edges
  WHERE abs(near_edge - price) >= $min_distance * price
),
nearest AS (
  SELECT * FROM edges QUALIFY row_number() OVER (PARTITION BY side ORDER BY abs(near_edge - price)) = 1
),
plans AS (
  SELECT
    CASE ahead.side WHEN 'short' THEN 'long' ELSE 'short' END AS direction,
    entry,
    CASE entry WHEN 'now' THEN ahead.price ELSE behind.far_edge END AS entry_price,
    CASE entry WHEN 'now' THEN behind.far_edge ELSE 2 * behind.far_edge - behind.near_edge END AS stop_price,
    ahead.near_edge AS exit_price,
    ahead.nth,
    ahead.price,
    ahead.notional_usd AS exit_pool_usd,
    behind.notional_usd AS swept_usd
  FROM exits AS ahead
  JOIN nearest AS behind ON behind.side <> ahead.side
  CROSS JOIN (VALUES ('now'), ('after sweep')) AS entries (entry)
  WHERE ahead.nth <= $exits
)
SELECT
  direction,
  entry,
  entry_price,
  stop_price,
  exit_price,
  (entry_price - price) / price AS entry_distance,
  abs(exit_price - entry_price) / entry_price AS reward,
  abs(entry_price - stop_price) / entry_price AS risk,
  abs(exit_price - entry_price) / abs(entry_price - stop_price) AS reward_over_risk,
  exit_pool_usd,
  swept_usd
FROM plans
ORDER BY direction, entry DESC, nth;

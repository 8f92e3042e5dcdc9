-- Which liquidations were large: single ones, and bursts of one side within seconds?
-- $symbol text = 'BTCUSDT'  which pair, on every exchange
-- $from timestamp = '2026-02-24'  first instant
-- $to timestamp = '2026-03-03'  last instant
-- $quantile number = 0.998  a single one is large above this share of its exchange's liquidations in that time
-- $gap interval = '10 seconds'  a burst goes on as long as no gap between two is longer
-- $least integer = 3  liquidations that make a burst
-- $burst_usd number = 20000000  USD that make a burst

SELECT
  ts,
  exchange,
  side,
  coalesce(price, bankruptcy_price) AS price,
  size,
  notional_usd,
  percent_rank() OVER (PARTITION BY exchange ORDER BY notional_usd) AS larger_than
FROM liquidations
WHERE symbol = $symbol AND ts >= $from AND ts <= $to
QUALIFY larger_than >= $quantile
ORDER BY notional_usd DESC;

-- Bursts: a liquidation begins a new one where the last of its exchange and side is longer ago than the gap.
WITH marked AS (
  SELECT
    *,
    CAST(coalesce(ts - lag(ts) OVER series > $gap, true) AS INT) AS begins
  FROM liquidations
  WHERE symbol = $symbol AND ts >= $from AND ts <= $to
  WINDOW series AS (PARTITION BY exchange, side ORDER BY ts)
),
numbered AS (
  SELECT
    *,
    sum(begins) OVER (PARTITION BY exchange, side ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS burst
  FROM marked
)
SELECT
  min(ts) AS ts,
  exchange,
  side,
  count(*) AS liquidations,
  sum(notional_usd) AS notional_usd,
  max(notional_usd) AS largest_usd,
  round(date_part('epoch', max(ts)) - date_part('epoch', min(ts)), 3) AS seconds,
  min(coalesce(price, bankruptcy_price)) AS price_low,
  max(coalesce(price, bankruptcy_price)) AS price_high
FROM numbered
GROUP BY exchange, side, burst
HAVING count(*) >= $least AND sum(notional_usd) >= $burst_usd
ORDER BY notional_usd DESC;

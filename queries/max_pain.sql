-- Max pain per coin, all exchanges: which price on each side liquidates the most per distance to it?
-- $at timestamp = NULL  instant of the maps; NULL is after the last bar
-- $min_distance number = 0.005  nearest price considered, as a fraction: next to the price any little is much per distance
-- $max_distance number = 0.1  farthest price considered

WITH cells AS (
  -- Exchanges differ in price: their cells meet at equal distance of the far edge.
  SELECT
    base_asset(symbol) AS coin,
    side,
    price,
    notional_usd,
    CASE side WHEN 'long' THEN 1 - price_low / price ELSE price_high / price - 1 END AS distance
  FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $max_distance)
),
curve AS (
  SELECT
    coin,
    side,
    distance,
    avg(price) OVER (PARTITION BY coin) AS price,
    max(distance) FILTER (WHERE distance <= $max_distance) OVER (PARTITION BY coin, side) AS farthest,
    sum(notional_usd) OVER (PARTITION BY coin, side ORDER BY distance) AS cumulative_usd
  FROM cells
),
ranked AS (
  SELECT
    *,
    cumulative_usd / (100 * distance) AS usd_per_pct,
    row_number() OVER (PARTITION BY coin, side ORDER BY cumulative_usd / distance DESC, distance) AS place
  FROM curve
  WHERE distance BETWEEN $min_distance AND $max_distance
)
SELECT
  coin,
  side,
  price,
  price * CASE side WHEN 'long' THEN 1 - distance ELSE 1 + distance END AS max_pain_price,
  distance,
  cumulative_usd AS liquidated_usd,
  usd_per_pct,
  -- True: it rises all the way, and a larger $max_distance gives a farther price.
  distance = farthest AS at_limit
FROM ranked
WHERE place = 1
ORDER BY coin, side;

-- How much do models disagree: for each pair of them and side, how alike is what stands at each distance?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the maps; NULL is after the last bar
-- $band number = 0.005  width of a band of distance, as a fraction of the price
-- $max_distance number = 0.1  how far from the price

WITH bars AS (
  SELECT * FROM liq_bars(candles, open_interest => open_interest) WHERE exchange = $exchange AND symbol = $symbol
),
maps AS (
  SELECT 'precise' AS model, * FROM liq_map(bars, at => $at, max_distance => $max_distance)
  UNION ALL
  SELECT 'zones', * FROM liq_map(bars, at => $at, max_distance => $max_distance, model => 'zones')
  UNION ALL
  SELECT 'deep', * FROM liq_map(bars, at => $at, max_distance => $max_distance, model => 'deep')
  UNION ALL
  SELECT 'half_life', * FROM liq_map(bars, at => $at, max_distance => $max_distance, preset => 'half_life')
  UNION ALL
  SELECT 'never_closes', * FROM liq_map(bars, at => $at, max_distance => $max_distance, preset => 'never_closes')
  UNION ALL
  SELECT 'uncalibrated', * FROM liq_map(bars, at => $at, max_distance => $max_distance, preset => 'uncalibrated')
),
bands AS (
  SELECT model, side, floor(abs(distance) / $band) AS band, notional_usd AS usd, notional_usd * distance AS usd_distance
  FROM maps
  WHERE abs(distance) < $max_distance
),
shares AS (
  -- A band in which one has nothing counts as zero, where any other has something.
  SELECT
    model,
    side,
    band,
    sum(usd) / sum(sum(usd)) OVER (PARTITION BY model, side) AS share,
    sum(sum(usd)) OVER (PARTITION BY model, side) AS usd,
    sum(sum(usd_distance)) OVER (PARTITION BY model, side) / sum(sum(usd)) OVER (PARTITION BY model, side) AS centre
  FROM (
    SELECT * FROM bands
    UNION ALL
    SELECT models.model, places.side, places.band, 0, 0
    FROM (SELECT DISTINCT model FROM bands) AS models CROSS JOIN (SELECT DISTINCT side, band FROM bands) AS places)
  GROUP BY model, side, band
),
ranked AS (
  -- Equal shares have the mean of their ranks.
  SELECT
    *,
    rank() OVER (PARTITION BY model, side ORDER BY share)
      + (count(*) OVER (PARTITION BY model, side, share) - 1) / 2.0 AS share_rank
  FROM shares
)
SELECT
  a.model AS model_a,
  b.model AS model_b,
  a.side,
  count(*) AS bands,
  sum(least(a.share, b.share)) AS overlap,
  corr(a.share_rank, b.share_rank) AS spearman,
  max(a.usd) AS usd_a,
  max(b.usd) AS usd_b,
  max(a.centre) AS centre_a,
  max(b.centre) AS centre_b,
  max(b.centre - a.centre) AS centre_difference
FROM ranked AS a
JOIN ranked AS b ON a.model < b.model AND a.side = b.side AND a.band = b.band
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

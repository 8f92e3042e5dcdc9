-- How much do exchanges disagree: for each pair of them and side, how alike is what stands at each distance?
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the maps; NULL is after the last bar
-- $band number = 0.005  width of a band of distance, as a fraction of the price
-- $max_distance number = 0.1  how far from the price

WITH bands AS (
  SELECT exchange, side, floor(abs(distance) / $band) AS band, notional_usd AS usd, notional_usd * distance AS usd_distance
  FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at, max_distance => $max_distance)
  WHERE symbol = $symbol AND abs(distance) < $max_distance
),
shares AS (
  -- A band in which one has nothing counts as zero, where any other has something.
  SELECT
    exchange,
    side,
    band,
    sum(usd) / sum(sum(usd)) OVER (PARTITION BY exchange, side) AS share,
    sum(sum(usd)) OVER (PARTITION BY exchange, side) AS usd,
    sum(sum(usd_distance)) OVER (PARTITION BY exchange, side) / sum(sum(usd)) OVER (PARTITION BY exchange, side) AS centre
  FROM (
    SELECT * FROM bands
    UNION ALL
    SELECT exchanges.exchange, places.side, places.band, 0, 0
    FROM (SELECT DISTINCT exchange FROM bands) AS exchanges CROSS JOIN (SELECT DISTINCT side, band FROM bands) AS places)
  GROUP BY exchange, side, band
),
ranked AS (
  -- Equal shares have the mean of their ranks.
  SELECT
    *,
    rank() OVER (PARTITION BY exchange, side ORDER BY share)
      + (count(*) OVER (PARTITION BY exchange, side, share) - 1) / 2.0 AS share_rank
  FROM shares
)
SELECT
  a.exchange AS exchange_a,
  b.exchange AS exchange_b,
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
JOIN ranked AS b ON a.exchange < b.exchange AND a.side = b.side AND a.band = b.band
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

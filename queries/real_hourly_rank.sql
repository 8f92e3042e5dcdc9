-- Does the hourly sweep rank realised liquidations? Spearman by side, and swept over realised USD.
--
-- It reads two views. For five-minute candles, open interest and hourly liquidations in CSV files:
--
--   CREATE EXTERNAL TABLE klines STORED AS CSV OPTIONS ('format.has_header' 'true', 'format.compression' 'gzip')
--     LOCATION 'klines_5m.csv.gz';
--   CREATE EXTERNAL TABLE oi STORED AS CSV OPTIONS ('format.has_header' 'true', 'format.compression' 'gzip')
--     LOCATION 'open_interest_5m.csv.gz';
--   CREATE EXTERNAL TABLE realised STORED AS CSV OPTIONS ('format.has_header' 'true')
--     LOCATION 'realised_liquidations_1h.csv';
--   CREATE VIEW real_candles AS
--     SELECT to_timestamp_millis(open_time) AS ts, 'binance' AS exchange, 'BTCUSDT' AS symbol,
--            open, high, low, close, volume FROM klines;
--   CREATE VIEW real_open_interest AS
--     SELECT to_timestamp_millis(create_time_ms) AS ts, 'binance' AS exchange, 'BTCUSDT' AS symbol,
--            sum_open_interest AS open_interest FROM oi;
--   CREATE VIEW real_bars AS
--     SELECT * FROM liq_bars(real_candles, open_interest => real_open_interest);
--   CREATE VIEW real_liquidations AS
--     SELECT to_timestamp_millis(timestamp) AS ts, 'long' AS side, "longUsd" AS notional_usd FROM realised
--     UNION ALL
--     SELECT to_timestamp_millis(timestamp), 'short', "shortUsd" FROM realised;
--
-- $from timestamp = '2025-12-08'  first hour scored; earlier bars fill the book
-- $to timestamp = '2026-01-15'  end, not included
-- $preset text = 'default'  assumptions: default, never_closes, half_life, uncalibrated

WITH swept AS (
  SELECT date_trunc('hour', ts) AS hour, side, sum(liquidated_usd) AS swept_usd
  FROM liq_flows(real_bars, preset => $preset)
  WHERE ts >= $from AND ts < $to
  GROUP BY hour, side
),
ranked AS (
  -- Equal values share the mean of their ranks.
  SELECT
    side,
    swept_usd,
    notional_usd,
    rank() OVER (PARTITION BY side ORDER BY swept_usd)
      + (count(*) OVER (PARTITION BY side, swept_usd) - 1) / 2.0 AS swept_rank,
    rank() OVER (PARTITION BY side ORDER BY notional_usd)
      + (count(*) OVER (PARTITION BY side, notional_usd) - 1) / 2.0 AS realised_rank
  FROM swept
  JOIN (SELECT date_trunc('hour', ts) AS hour, side, notional_usd FROM real_liquidations) AS realised USING (hour, side)
)
SELECT
  side,
  count(*) AS hours,
  corr(swept_rank, realised_rank) AS spearman,
  sum(swept_usd) / sum(notional_usd) AS swept_over_realised
FROM ranked
GROUP BY side
UNION ALL
SELECT 'both', count(*), NULL, sum(swept_usd) / sum(notional_usd) FROM ranked
ORDER BY side;

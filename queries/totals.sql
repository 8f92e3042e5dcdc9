-- What stands long and short over time, by leverage, which side has more, and what it pays?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $from timestamp = '2026-02-15'  first instant shown; earlier bars still fill the book
-- $to timestamp = '2026-03-08'  last instant shown
-- $step interval = '1 day'  time between rows

WITH standing AS (
  -- After the last bar of each step.
  SELECT
    date_bin($step, ts) + $step AS ts,
    side,
    leverage,
    last_value(standing_usd ORDER BY ts) AS usd,
    last_value(standing_size ORDER BY ts) AS size
  FROM liq_flows(liq_bars(candles, open_interest => open_interest), by_leverage => true)
  WHERE exchange = $exchange AND symbol = $symbol AND ts >= $from - $step AND ts < $to
  GROUP BY 1, 2, 3
),
totals AS (
  SELECT
    ts,
    coalesce(leverage_band(leverage), 'all') AS leverage_band,
    sum(usd) FILTER (WHERE side = 'long') AS long_usd,
    sum(usd) FILTER (WHERE side = 'short') AS short_usd,
    sum(size) FILTER (WHERE side = 'long') AS long_size,
    sum(size) FILTER (WHERE side = 'short') AS short_size
  FROM standing
  WHERE ts >= $from
  GROUP BY GROUPING SETS ((ts, leverage_band(leverage)), (ts))
)
SELECT
  ts,
  leverage_band,
  long_usd,
  short_usd,
  long_usd - short_usd AS delta_usd,
  (long_usd - short_usd) / nullif(long_usd + short_usd, 0) AS bias,
  -- Valued at their liquidation prices, shorts of low leverage weigh more than longs; in base units they do not.
  (long_size - short_size) / nullif(long_size + short_size, 0) AS size_bias
FROM totals
ORDER BY ts, leverage_band;

-- What longs pay shorts, which the picture draws below.
SELECT ts, exchange, symbol, funding_rate
FROM funding
WHERE exchange = $exchange AND symbol = $symbol AND ts >= $from AND ts < $to
ORDER BY ts;

-- Which way is every market going, how fast, and how far has it run: EMA, ATR and RSI now, for all symbols?
-- $interval interval = '4 hours'  length of a bar
-- $periods integer = 50  periods of the moving average
-- $over integer = 6  bars over which its slope is taken

WITH indicators AS (
  SELECT
    ts,
    exchange,
    symbol,
    close,
    ema(close, $periods) OVER series AS ema,
    atr(high, low, close, 14) OVER series AS atr,
    rsi(close, 14) OVER series AS rsi
  FROM to_candles(candles, $interval)
  WINDOW series AS (PARTITION BY exchange, symbol ORDER BY ts)
),
sloped AS (
  SELECT *, (ema / lag(ema, $over) OVER (PARTITION BY exchange, symbol ORDER BY ts) - 1) / $over AS slope
  FROM indicators
)
SELECT
  ts,
  exchange,
  symbol,
  close,
  CASE
    WHEN slope IS NULL THEN NULL
    WHEN slope > 0 AND close > ema THEN 'up'
    WHEN slope < 0 AND close < ema THEN 'down'
    ELSE 'turning'
  END AS trend,
  slope AS slope_per_bar,
  (close - ema) / atr AS atrs_from_ema,
  atr / close AS atr_share,
  rsi,
  ema
FROM sloped
QUALIFY row_number() OVER (PARTITION BY exchange, symbol ORDER BY ts DESC) = 1
ORDER BY slope DESC;

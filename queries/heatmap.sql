-- Where are liquidations likely to stand, over time and price?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $from timestamp = '2026-02-20'  first instant shown; earlier bars still fill the book
-- $to timestamp = '2026-03-06'  last instant shown
-- $step interval = '1 hour'  time between columns
-- $max_distance number = 0.15  how far from the price, as a fraction
-- $model text = 'precise'  precise (exact levels), zones (broad areas) or deep (a wide book of its own)

SELECT ts, exchange, symbol, price, side, price_low, price_high, notional_usd, intensity
FROM liq_heatmap(
  liq_bars(candles, open_interest => open_interest),
  step => $step, max_distance => $max_distance, model => $model
)
WHERE exchange = $exchange AND symbol = $symbol AND ts >= $from AND ts <= $to
ORDER BY ts, side, price_low;

-- The candles of the same time, which the picture draws over the heatmap.
SELECT * FROM to_candles((SELECT * FROM candles WHERE exchange = $exchange AND symbol = $symbol), $step)
WHERE ts >= $from AND ts < $to
ORDER BY ts;

-- The pools of the last instant, which the picture labels.
SELECT ts, exchange, symbol, price, side, pool_id, price_low, price_high, peak_price, notional_usd, share, rank, distance
FROM liq_pools(
  liq_heatmap(
    liq_bars(candles, open_interest => open_interest),
    step => $step, max_distance => $max_distance, model => $model
  )
)
WHERE exchange = $exchange AND symbol = $symbol AND ts <= $to
QUALIFY ts = max(ts) OVER ()
ORDER BY notional_usd DESC;

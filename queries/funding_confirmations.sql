-- What do funding and the largest pools say together, and how often did the same signals come true before?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $from timestamp = '2026-02-20'  first instant shown; earlier frames are the cases that are counted
-- $to timestamp = '2026-03-06'  last instant shown
-- $horizon interval = '24 hours'  time after which price is compared

WITH bars AS (
  SELECT * FROM liq_bars(candles, open_interest => open_interest) WHERE exchange = $exchange AND symbol = $symbol
)
SELECT
  ts, price, direction, confirmations, magnet_price, magnet_usd, distance,
  funding_rate, funding_state, hit_rate, base_rate, cases, episodes, reasons
FROM funding_confirmations(
  liq_pools(liq_heatmap(bars, step => INTERVAL '8 hours')),
  funding, bars => bars, horizon => $horizon
)
WHERE ts >= $from AND ts <= $to
ORDER BY ts;

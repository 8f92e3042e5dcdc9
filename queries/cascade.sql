-- What would a shock set off: how much is liquidated, where does price end, does it run away?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the map; NULL is after the last bar
-- $depth number = 50000000  USD of forced orders that move the price by one per cent
-- $scale text = 'expected'  expected: as much as realised feeds report; book: as if everybody stayed

SELECT
  max(ts) AS ts,
  shock,
  first_value(side ORDER BY step) AS side,
  first_value(price_from ORDER BY step) AS price,
  last_value(price_to ORDER BY step) AS price_end,
  last_value(price_to ORDER BY step) / first_value(price_from ORDER BY step) - 1 AS move,
  max(cumulative_usd) AS liquidated_usd,
  max(amplification) AS largest_amplification,
  -- A step sets off a larger one.
  max(amplification) > 1 AS runs_away,
  max(step) AS steps
FROM liq_cascade(
  liq_map(liq_bars(candles, open_interest => open_interest), at => $at, scale => $scale),
  $depth,
  shock => [-0.1, -0.05, -0.03, -0.02, -0.01, 0.01, 0.02, 0.03, 0.05, 0.1])
WHERE exchange = $exchange AND symbol = $symbol
GROUP BY shock
ORDER BY shock;

-- The steps of some of them, which the picture draws.
SELECT ts, exchange, symbol, shock, step, side, price_from, price_to, liquidated_usd, cumulative_usd, amplification
FROM liq_cascade(
  liq_map(liq_bars(candles, open_interest => open_interest), at => $at, scale => $scale),
  $depth,
  shock => [-0.1, -0.05, -0.02, 0.02, 0.05, 0.1])
WHERE exchange = $exchange AND symbol = $symbol
ORDER BY shock, step;

-- What became of the positions that were opened, by leverage: liquidated, closed, or still open? USD are at liquidation
-- prices: equal sizes are more on the short side.
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = '2026-02-01'  as of which instant

SELECT
  leverage,
  side,
  count(*) AS levels,
  sum(opened_usd) AS opened_usd,
  sum(liquidated_usd) / sum(opened_usd) AS liquidated_share,
  sum(closed_usd) / sum(opened_usd) AS closed_share,
  sum(open_usd) / sum(opened_usd) AS open_share
FROM liq_levels(liq_bars(candles, open_interest => open_interest), at => $at)
WHERE exchange = $exchange AND symbol = $symbol
GROUP BY leverage, side
ORDER BY leverage, side;

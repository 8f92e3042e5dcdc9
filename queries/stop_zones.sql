-- Where not to put a stop: what stands in the price bands between my entry and the largest loss I accept?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $at timestamp = NULL  instant of the map; NULL is after the last bar
-- $side text = 'long'  side of my position
-- $entry_price number = NULL  my entry; NULL is the current price
-- $max_loss number = 0.05  largest loss, as a fraction of the entry
-- $bands number = 20  how many bands

SELECT price, price_low, price_high, loss, exposure_usd, cumulative_usd, share, rank, verdict
FROM stop_zones(
  liq_map(liq_bars(candles, open_interest => open_interest), at => $at),
  $side,
  $entry_price,
  max_loss => $max_loss,
  bands => $bands)
WHERE exchange = $exchange AND symbol = $symbol
ORDER BY loss;

-- Where were stops run, how far did price go, how much of it was liquidations, and how much came back?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $from timestamp = '2026-02-24'  first run
-- $to timestamp = '2026-03-03'  last run
-- $interval interval = '5 minutes'  length of the bars that are compared
-- $volume_z number = 3  how many deviations the volume of a bar stands out
-- $displacement_z number = 3  how many deviations its reach stands out
-- $horizon interval = '1 hour'  how long price has to come back

SELECT
  runs.ts,
  runs.side,
  runs.bars,
  runs.price_from,
  runs.price_to,
  runs.displacement,
  runs.notional_usd,
  coalesce(sum(liquidations.notional_usd), 0) AS liquidated_usd,
  runs.volume_z,
  runs.displacement_z,
  runs.reversal,
  runs.close_reversal
FROM
  stop_runs(candles, $interval, volume_z => $volume_z, displacement_z => $displacement_z, horizon => $horizon) AS runs
  LEFT JOIN liquidations
    ON liquidations.exchange = runs.exchange AND liquidations.symbol = runs.symbol AND liquidations.side = runs.side
    AND liquidations.ts >= runs.ts AND liquidations.ts < runs.end_ts
WHERE runs.exchange = $exchange AND runs.symbol = $symbol AND runs.ts >= $from AND runs.ts <= $to
GROUP BY ALL
ORDER BY runs.ts;

-- How it usually ends, over all of the data: what stays of a move is 1 - close_reversal.
SELECT
  exchange,
  symbol,
  side,
  count(*) AS runs,
  avg(displacement) AS mean_displacement,
  median(reversal) AS median_reversal,
  median(close_reversal) AS median_close_reversal,
  avg(CAST(reversal >= 1 AS INT)) AS share_all_back
FROM stop_runs(candles, $interval, volume_z => $volume_z, displacement_z => $displacement_z, horizon => $horizon)
GROUP BY exchange, symbol, side
ORDER BY exchange, symbol, side;

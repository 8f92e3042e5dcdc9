-- Did the map predict anything? Every score stands beside null models that know only price, volume and open interest.
--
-- Fitted on one time range, scored on a later one. `weights_saw_test` marks weights that were fitted on data of the scored
-- time. None of it says where price goes: the last two results test just that, pool against mirror level.
-- liqsql render -f queries/proof.sql -o proof.html draws the scores and the pools' rates.
--
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $train text = '2026-01-08..2026-02-08'  time on which null models and mixes are fitted
-- $test text = '2026-02-08..2026-03-17'  time that is scored
-- $match_exchange boolean = true  false where liquidations are those of all exchanges together

-- Hourly swept against realised USD, of four presets.
WITH bars AS (
  SELECT * FROM liq_bars(candles, open_interest => open_interest) WHERE exchange = $exchange AND symbol = $symbol
), scores AS (
  SELECT 'default' AS preset, * FROM liq_score(bars, liquidations, preset => 'default', train => $train, test => $test, match_exchange => $match_exchange)
  UNION ALL
  SELECT 'never_closes', * FROM liq_score(bars, liquidations, preset => 'never_closes', train => $train, test => $test, match_exchange => $match_exchange)
  UNION ALL
  SELECT 'half_life', * FROM liq_score(bars, liquidations, preset => 'half_life', train => $train, test => $test, match_exchange => $match_exchange)
  UNION ALL
  SELECT 'uncalibrated', * FROM liq_score(bars, liquidations, preset => 'uncalibrated', train => $train, test => $test, match_exchange => $match_exchange)
)
SELECT score, preset, null_model, side, round(value, 4) AS value, round(low, 4) AS low, round(high, 4) AS high, n, weights_saw_test
FROM scores
WHERE (score IN ('spearman', 'partial_rank', 'r2_gain') AND side = 'both') OR (score = 'spearman' AND side <> 'both')
ORDER BY score, null_model NULLS FIRST, side, preset;

-- The mix that the train range alone asks for, and what it gains on the test range.
SELECT item, leverage, round(start, 4) AS start, round(fitted, 4) AS fitted, round(gain, 4) AS gain, round(low, 4) AS low,
  round(high, 4) AS high, is_identified, is_recommended, n
FROM liq_calibrate(
  (SELECT * FROM liq_bars(candles, open_interest => open_interest) WHERE exchange = $exchange AND symbol = $symbol),
  liquidations, train => $train, test => $test, match_exchange => $match_exchange);

-- Are pools reached within a day more often than mirror levels at the same distance, and what do three rules on them bring
-- after fees and slippage, beside the same rules on mirror and random levels?
SELECT score, kind, null_model, side, round(value, 5) AS value, round(low, 5) AS low, round(high, 5) AS high, n
FROM pool_score(
  liq_pools(liq_heatmap(
    (SELECT * FROM liq_bars(candles, open_interest => open_interest) WHERE exchange = $exchange AND symbol = $symbol))),
  candles)
WHERE exchange = $exchange AND symbol = $symbol AND side = 'both'
  AND score IN ('reached_share', 'reached_share_gain', 'near_miss_share_gain', 'net_return', 'net_return_gain')
ORDER BY score, kind, null_model NULLS FIRST;

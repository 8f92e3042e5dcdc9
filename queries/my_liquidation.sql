-- Where is my position liquidated, does that price lie in a hot zone now, and what goes before it?
-- $exchange text = 'binance'  which exchange
-- $symbol text = 'BTCUSDT'  which pair
-- $side text = 'long'  side of my position
-- $entry_price number = NULL  my entry; NULL is the current price
-- $leverage number = 20  my leverage, margin isolated
-- $at timestamp = NULL  instant of the map; NULL is after the last bar

WITH cells AS (
  SELECT
    ts,
    price,
    price_low,
    price_high,
    notional_usd,
    notional_usd / max(notional_usd) OVER () AS intensity,
    cume_dist() OVER (ORDER BY notional_usd) AS percentile,
    -- The rate of the exchange's first bracket as known last, else 0.4 %.
    liq_price_at_leverage($side, coalesce($entry_price, price), $leverage, coalesce((
      SELECT last_value(maintenance_margin_rate ORDER BY known_since) FROM leverage_tiers
      WHERE exchange = $exchange AND symbol = $symbol AND floor = 0), 0.004)) AS mine
  FROM liq_map(liq_bars(candles, open_interest => open_interest), at => $at)
  WHERE exchange = $exchange AND symbol = $symbol AND side = lower($side)
),
found AS (
  SELECT
    ts,
    price,
    mine AS liquidation_price,
    mine / price - 1 AS distance,
    -- The cell that holds it, if anything stands there.
    coalesce(sum(notional_usd) FILTER (WHERE mine >= price_low AND mine < price_high), 0) AS cell_usd,
    coalesce(sum(intensity) FILTER (WHERE mine >= price_low AND mine < price_high), 0) AS intensity,
    coalesce(sum(percentile) FILTER (WHERE mine >= price_low AND mine < price_high), 0) AS percentile,
    -- Cells nearer to the price, and of the own one its share.
    sum(notional_usd * least(1, greatest(0,
      CASE lower($side) WHEN 'long' THEN price_high - mine ELSE mine - price_low END / (price_high - price_low))))
      AS liquidated_before_usd
  FROM cells
  GROUP BY ts, price, mine
)
SELECT
  *,
  CASE
    WHEN liquidation_price IS NULL THEN 'no price liquidates it'
    WHEN CASE lower($side) WHEN 'long' THEN distance >= 0 ELSE distance <= 0 END THEN 'gone: price is beyond it'
    WHEN abs(distance) > 0.5 THEN 'farther than the map reaches'
    WHEN percentile = 0 THEN 'empty: nothing stands here'
    WHEN percentile > 0.75 THEN 'hot: among the fullest quarter of the cells of the side'
    WHEN percentile > 0.25 THEN 'ordinary'
    ELSE 'quiet: among the emptiest quarter of the cells of the side'
  END AS verdict
FROM found;

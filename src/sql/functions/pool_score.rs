//! `pool_score`: whether pools were reached more often than mirror levels, and what rules on them brought, with intervals.
//!
//! In: pools, and the bars of the same markets. Out: per key rows like those of `liq_score`: of `pool_touches` the shares
//! reached, of each rule of `pool_trades` the mean returns, each beside its null levels, with the gain over them and an
//! interval over resampled days. What comes out is what there is: no result is left out for being one that shows nothing.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;

use super::TableFunction;
use super::pool_touches::NEAR;
use super::pool_trades::{CONFIRM, FEE_BPS, HORIZON, MAX_DISTANCE, SLIPPAGE_BPS, STOP_BUFFER, trade_settings};
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::pool_trades::{PoolTrades, TradeRates, TradeRule, TradeSettings};
use crate::model::score::Score;
use crate::model::score::means::Resampling;
use crate::model::side::Side;
use crate::model::touches::{TouchRates, TouchRule, Touches};
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel};
use crate::sql::model_settings::{INTERVAL, ON_BAD_ROWS, length_text};
use crate::sql::pool_frames::{self, Frames, LATER_BARS, POOLS};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Returns, Spec};
use crate::sql::truth::{RESAMPLES, SEED};

const COLUMNS: &[Column] = &[
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("kind", Kind::Text, "", "touches, or the rule of the trades"),
    Column::new("score", Kind::Text, "", "what is measured; …_gain: how much pools are above the null level"),
    Column::optional("null_model", Kind::Text, "", "the null level whose value it is; NULL: the pools"),
    Column::new("side", Kind::Text, "", "of touches the side of the pool, of trades that of the trade; or both"),
    Column::optional(
        "value",
        Kind::Number,
        "share, or fraction of entry notional",
        "NULL where there is nothing to measure",
    ),
    Column::optional("low", Kind::Number, "see value", "lower limit of its 95 % interval over resampled days"),
    Column::optional("high", Kind::Number, "see value", "upper limit of its 95 % interval"),
    Column::new("n", Kind::Integer, "", "pools or trades that it rests on"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "pool_score",
    summary: "Whether pools are reached more often than mirror levels, and what rules on them bring, with intervals",
    parameters: &[
        POOLS,
        LATER_BARS,
        HORIZON,
        NEAR,
        MAX_DISTANCE,
        CONFIRM,
        STOP_BUFFER,
        FEE_BPS,
        SLIPPAGE_BPS,
        RESAMPLES,
        SEED,
        INTERVAL,
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT kind, score, null_model, value, low, high, n FROM pool_score(liq_pools(liq_heatmap(liq_bars(candles, \
              open_interest => open_interest))), candles) WHERE exchange = 'binance' AND symbol = 'BTCUSDT' AND side = 'both'",
};

/// The function.
#[derive(Debug)]
pub struct PoolScore;

impl TableFunction for PoolScore {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let settings = trade_settings(arguments, TradeRule::ExitAtPool)?;
        let near = arguments.number("near")?.unwrap_or(TouchRule::default().near);
        let (bars, inputs) = pool_frames::bind(arguments)?;
        let operator = PoolScores {
            settings,
            touch: TouchRule { horizon: settings.horizon, near },
            resampling: Resampling {
                seed: settings.seed,
                resamples: arguments.whole_number("resamples")?.unwrap_or(1000),
            },
            bars,
        };
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct PoolScores {
    /// Of every rule but for the rule.
    settings: TradeSettings,
    touch: TouchRule,
    resampling: Resampling,
    bars: BarsInput,
}

impl Operator for PoolScores {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        vec![
            ("horizon", length_text(settings.horizon)),
            ("near", self.touch.near.to_string()),
            ("max_distance", settings.max_distance.to_string()),
            ("confirm", length_text(settings.confirm)),
            ("stop_buffer", settings.stop_buffer.to_string()),
            ("fee_bps", settings.fee_bps.to_string()),
            ("slippage_bps", settings.slippage_bps.to_string()),
            ("resamples", self.resampling.resamples.to_string()),
            ("seed", self.resampling.seed.to_string()),
            ("interval", self.bars.interval.map_or_else(|| "inferred".to_owned(), length_text)),
            ("on_bad_rows", self.bars.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        pool_frames::readings()
    }

    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        Vec::new()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let operator = self.clone();
        pool_frames::start(self, &self.bars, &start, move |interval, frames| {
            let rule = |rule| Rule {
                rule,
                trades: PoolTrades::new(TradeSettings { rule, ..operator.settings }, interval),
                rates: TradeRates::default(),
            };
            Box::new(KeyPools {
                touches: Touches::new(operator.touch, interval),
                touch_rates: TouchRates::default(),
                rules: [TradeRule::ExitAtPool, TradeRule::SweepReversal, TradeRule::PoolToPool].map(rule),
                frames,
                resampling: operator.resampling,
                ready: Vec::new(),
            })
        })
    }
}

#[derive(Debug)]
struct Rule {
    rule: TradeRule,
    trades: PoolTrades,
    rates: TradeRates,
}

#[derive(Debug)]
struct KeyPools {
    touches: Touches,
    touch_rates: TouchRates,
    rules: [Rule; 3],
    frames: Frames,
    resampling: Resampling,
    ready: Vec<(&'static str, Score)>,
}

impl KeyPools {
    fn collect(&mut self) {
        while let Some(touch) = self.touches.pop() {
            self.touch_rates.add(&touch);
        }
        for rule in &mut self.rules {
            while let Some(trade) = rule.trades.pop() {
                rule.rates.add(&trade);
            }
        }
    }
}

impl KeyModel for KeyPools {
    fn bar(&mut self, _key: &Key, bar: &Bar, _rows: &mut Rows) -> Result<()> {
        for frame in self.frames.until(bar.ts) {
            self.touches.frame(frame.ts, frame.price, &frame.pools);
            for rule in &mut self.rules {
                rule.trades.frame(frame.ts, frame.price, &frame.pools);
            }
        }
        self.touches.bar(bar);
        for rule in &mut self.rules {
            rule.trades.bar(bar);
        }
        self.collect();
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.touches.end();
        for rule in &mut self.rules {
            rule.trades.end();
        }
        self.collect();
        let touches = self.touch_rates.rows(self.resampling).into_iter().map(|score| ("touches", score));
        self.ready.extend(touches);
        for rule in &self.rules {
            let scores = rule.rates.rows(self.resampling).into_iter().map(|score| (rule.rule.name(), score));
            self.ready.extend(scores);
        }
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        for (kind, score) in std::mem::take(&mut self.ready) {
            rows.text(0, &key.exchange, 1);
            rows.text(1, &key.symbol, 1);
            rows.text(2, kind, 1);
            rows.text(3, score.score, 1);
            rows.optional_text(4, score.null);
            rows.text(5, score.side.map_or("both", Side::name), 1);
            rows.optional_number(6, score.value);
            rows.optional_number(7, score.low);
            rows.optional_number(8, score.high);
            rows.integer(9, i64::try_from(score.n).unwrap_or(i64::MAX));
            rows.end(1);
        }
        false
    }

    fn memory(&self) -> usize {
        let trades: usize = self.rules.iter().map(|rule| rule.trades.memory()).sum();
        self.touches.memory() + trades + self.frames.memory()
    }
}

//! `pool_trades`: what trading on pools would have brought, beside mirror and random levels.
//!
//! In: pools, and the bars of the same markets. Out: the trades of one rule: on pools, on their mirrors, and on random levels
//! at about their distance, each with its result after fees and slippage. Rules and terms are in
//! [`crate::model::pool_trades`]. Evidence, not advice.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::pool_trades::{PoolTrades as Trades, Trade, TradeRule, TradeSettings};
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel};
use crate::sql::model_settings::{INTERVAL, ON_BAD_ROWS, length_text};
use crate::sql::pool_frames::{self, Frames, LATER_BARS, POOLS};
use crate::sql::provider::FunctionTable;
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};
use crate::sql::truth::SEED;

const COLUMNS: &[Column] = &[
    Column::new("ts", Kind::Time, "", "open of the bar of the entry"),
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("basis", Kind::Text, "", "pool, or its null levels: mirror, random"),
    Column::new("side", Kind::Text, "", "side of the trade: long or short"),
    Column::new("pool_id", Kind::Integer, "", "number of the pool, or of the pool whose null level it is"),
    Column::new("frame_ts", Kind::Time, "", "instant of the frame in which the pool was seen"),
    Column::new("pool_usd", Kind::Number, "USD", "what stood in the pool"),
    Column::new("level", Kind::Number, "quote per base", "the level that gave the signal"),
    Column::new("entry_price", Kind::Number, "quote per base", "open of that bar, before slippage"),
    Column::new("target", Kind::Number, "quote per base", "where it ends with a gain"),
    Column::new("stop", Kind::Number, "quote per base", "where it ends with a loss"),
    Column::new("reason", Kind::Text, "", "why it ended: target, stop, horizon; or open"),
    Column::optional("exit_ts", Kind::Time, "", "when it ended; NULL: open"),
    Column::optional("exit_price", Kind::Number, "quote per base", "price of the exit, before slippage"),
    Column::optional("is_ambiguous", Kind::Boolean, "", "whether the bar reached stop and target; the stop was taken"),
    Column::optional("gross_return", Kind::Number, "fraction of entry notional", "before costs"),
    Column::optional("costs", Kind::Number, "fraction of entry notional", "fees and slippage of both orders"),
    Column::optional("net_return", Kind::Number, "fraction of entry notional", "gross_return - costs"),
];

const BPS: Limits =
    Limits { low: 0.0, low_included: true, high: 1000.0, words: "a number of basis points from 0 to 1000" };
const FRACTION: Limits = Limits { low: 0.0, low_included: false, high: 1.0, words: "a fraction above 0, at most 1" };

/// How far pools may be.
pub(super) const MAX_DISTANCE: Parameter = Parameter {
    name: "max_distance",
    kind: ParameterKind::Number(FRACTION),
    fallback: Fallback::Value("0.05"),
    unit: "fraction of price",
    doc: "pools farther from price do not count",
};

/// How long a trade may last.
pub(super) const HORIZON: Parameter = Parameter {
    name: "horizon",
    kind: ParameterKind::Interval,
    fallback: Fallback::Value("INTERVAL '24 hours'"),
    unit: "",
    doc: "longest time in a trade, or from a frame to a touch",
};

/// How long a reversal may take.
pub(super) const CONFIRM: Parameter = Parameter {
    name: "confirm",
    kind: ParameterKind::Interval,
    fallback: Fallback::Value("INTERVAL '1 hour'"),
    unit: "",
    doc: "time from a sweep to the close back inside, of the rules that wait for one",
};

/// How far beyond the extreme a stop is.
pub(super) const STOP_BUFFER: Parameter = Parameter {
    name: "stop_buffer",
    kind: ParameterKind::Number(Limits {
        low: 0.0,
        low_included: true,
        high: 0.5,
        words: "a fraction between 0 and 0.5",
    }),
    fallback: Fallback::Value("0.0005"),
    unit: "fraction of the extreme",
    doc: "how far beyond the extreme of a sweep the stop is",
};

/// Fee of an order.
pub(super) const FEE_BPS: Parameter = Parameter {
    name: "fee_bps",
    kind: ParameterKind::Number(BPS),
    fallback: Fallback::Value("5"),
    unit: "basis points",
    doc: "fee of each order",
};

/// Slippage of an order.
pub(super) const SLIPPAGE_BPS: Parameter = Parameter {
    name: "slippage_bps",
    kind: ParameterKind::Number(BPS),
    fallback: Fallback::Value("2"),
    unit: "basis points",
    doc: "what each order loses to the market",
};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "pool_trades",
    summary: "Trades of a rule on pools with fees and slippage, beside the same rule on mirror and random levels",
    parameters: &[
        POOLS,
        LATER_BARS,
        Parameter {
            name: "rule",
            kind: ParameterKind::Choice(TradeRule::NAMES),
            fallback: Fallback::Value("'exit_at_pool'"),
            unit: "",
            doc: "towards the largest pool and out at it; against a swept pool after the reversal; from there to the pool on the other side",
        },
        MAX_DISTANCE,
        HORIZON,
        CONFIRM,
        STOP_BUFFER,
        FEE_BPS,
        SLIPPAGE_BPS,
        SEED,
        INTERVAL,
        ON_BAD_ROWS,
    ],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT basis, count(*) AS trades, avg(net_return) AS mean_net_return FROM pool_trades(liq_pools(liq_heatmap(\
              liq_bars(candles, open_interest => open_interest))), candles) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT' GROUP BY basis ORDER BY basis",
};

/// The function.
#[derive(Debug)]
pub struct PoolTrades;

impl TableFunction for PoolTrades {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let rule = arguments.choice("rule")?.and_then(TradeRule::from_name).unwrap_or(TradeRule::ExitAtPool);
        let settings = trade_settings(arguments, rule)?;
        let (bars, inputs) = pool_frames::bind(arguments)?;
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(TradeTable { settings, bars }), inputs)))
    }
}

/// Binds what all rules share.
pub(super) fn trade_settings(arguments: &Arguments<'_>, rule: TradeRule) -> Result<TradeSettings> {
    let default = TradeSettings::of(rule);
    Ok(TradeSettings {
        rule,
        max_distance: arguments.number("max_distance")?.unwrap_or(default.max_distance),
        horizon: arguments.interval("horizon")?.unwrap_or(default.horizon),
        confirm: arguments.interval("confirm")?.unwrap_or(default.confirm),
        stop_buffer: arguments.number("stop_buffer")?.unwrap_or(default.stop_buffer),
        fee_bps: arguments.number("fee_bps")?.unwrap_or(default.fee_bps),
        slippage_bps: arguments.number("slippage_bps")?.unwrap_or(default.slippage_bps),
        seed: arguments.whole_number("seed")?.unwrap_or(1) as u64,
    })
}

#[derive(Debug, Clone)]
struct TradeTable {
    settings: TradeSettings,
    bars: BarsInput,
}

impl Operator for TradeTable {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        vec![
            ("rule", settings.rule.name().to_owned()),
            ("max_distance", settings.max_distance.to_string()),
            ("horizon", length_text(settings.horizon)),
            ("confirm", length_text(settings.confirm)),
            ("stop_buffer", settings.stop_buffer.to_string()),
            ("fee_bps", settings.fee_bps.to_string()),
            ("slippage_bps", settings.slippage_bps.to_string()),
            ("seed", settings.seed.to_string()),
            ("interval", self.bars.interval.map_or_else(|| "inferred".to_owned(), length_text)),
            ("on_bad_rows", self.bars.bad_rows.name().to_owned()),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        pool_frames::readings()
    }

    fn keeps(&self) -> Keeps {
        Keeps::WithinKeys
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        // A row waits for bars up to the end of its horizon.
        Vec::new()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let (settings, wanted) = (self.settings, start.wanted);
        pool_frames::start(self, &self.bars, &start, move |interval, frames| {
            Box::new(KeyTrades { trades: Trades::new(settings, interval), frames, wanted })
        })
    }
}

#[derive(Debug)]
struct KeyTrades {
    trades: Trades,
    frames: Frames,
    wanted: TimeBounds,
}

impl KeyTrades {
    fn emit(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool {
        let mut emitted = 0;
        while emitted < limit {
            let Some(trade) = self.trades.pop() else { return false };
            if self.wanted.contain(trade.entry_ts) {
                write(key, &trade, rows);
                emitted += 1;
            }
        }
        true
    }
}

fn write(key: &Key, trade: &Trade, rows: &mut Rows) {
    rows.time(0, trade.entry_ts, 1);
    rows.text(1, &key.exchange, 1);
    rows.text(2, &key.symbol, 1);
    rows.text(3, trade.basis.name(), 1);
    rows.text(4, trade.side.name(), 1);
    rows.integer(5, trade.pool_id);
    rows.time(6, trade.frame_ts, 1);
    rows.number(7, trade.pool_usd);
    rows.number(8, trade.level);
    rows.number(9, trade.entry_price);
    rows.number(10, trade.target);
    rows.number(11, trade.stop);
    rows.text(12, trade.reason.name(), 1);
    let ending = trade.ending.as_ref();
    rows.optional_time(13, ending.map(|ending| ending.ts));
    rows.optional_number(14, ending.map(|ending| ending.price));
    rows.optional_boolean(15, ending.map(|ending| ending.is_ambiguous));
    rows.optional_number(16, ending.map(|ending| ending.gross_return));
    rows.optional_number(17, ending.map(|ending| ending.fees + ending.slippage));
    rows.optional_number(18, ending.map(crate::model::pool_trades::Ending::net_return));
    rows.end(1);
}

impl KeyModel for KeyTrades {
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()> {
        for frame in self.frames.until(bar.ts) {
            self.trades.frame(frame.ts, frame.price, &frame.pools);
        }
        self.trades.bar(bar);
        self.emit(key, usize::MAX, rows);
        Ok(())
    }

    fn end(&mut self, _key: &Key) -> Result<()> {
        self.trades.end();
        Ok(())
    }

    fn drain(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool {
        self.emit(key, limit, rows)
    }

    fn memory(&self) -> usize {
        self.trades.memory() + self.frames.memory()
    }
}

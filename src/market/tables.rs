//! The market tables: names, columns, units, keys and order.
//!
//! The key of every table is (`exchange`, `symbol`), its order `ts`. `exchange` is lower case (`binance`, `bybit`,
//! `okx`, `hyperliquid`), `symbol` is BASEQUOTE in upper case (`BTCUSDT`; inverse `BTCUSD`). Time is the OPEN of a bar.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Metadata key under which a field carries its documentation.
pub const DOC: &str = "doc";

/// Metadata key under which a field carries its unit.
pub const UNIT: &str = "unit";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An instant, `Timestamp(Millisecond, UTC)`.
    Time,
    /// Text, `Utf8View`.
    Text,
    /// A number, `Float64`.
    Number,
    /// A whole number, `Int64`.
    Integer,
    /// True or false.
    Boolean,
}

impl Kind {
    /// Returns the type in which every column of this kind is held.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Time => time_type(),
            Kind::Text => DataType::Utf8View,
            Kind::Number => DataType::Float64,
            Kind::Integer => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
        }
    }

    /// Returns the words of an error message: `must be …`.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Time => "a timestamp or a date",
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::Integer => "a whole number",
            Kind::Boolean => "true or false",
        }
    }

    /// Whether a column of this type can be read as this kind.
    pub fn accepts(self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (_, DataType::Dictionary(_, values)) => self.accepts(values),
            (_, DataType::Null) => true,
            (Kind::Time, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) => true,
            (Kind::Text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
            (Kind::Number, data_type) => data_type.is_numeric(),
            (Kind::Integer, data_type) => data_type.is_integer(),
            (Kind::Boolean, DataType::Boolean) => true,
            _ => false,
        }
    }
}

/// Returns the type of time, everywhere.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// One column of a market table, or of what a function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name, by which it is found.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be absent from a relation, or null in it.
    pub optional: bool,
    /// Unit of a number; empty for others.
    pub unit: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
}

impl Column {
    /// Declares a column that must be there.
    pub const fn new(name: &'static str, kind: Kind, unit: &'static str, doc: &'static str) -> Column {
        Column { name, kind, optional: false, unit, doc }
    }

    /// Declares a column that may be absent or null.
    pub const fn optional(name: &'static str, kind: Kind, unit: &'static str, doc: &'static str) -> Column {
        Column { name, kind, optional: true, unit, doc }
    }

    /// Returns the Arrow field, with documentation and unit in its metadata.
    pub fn field(&self) -> Field {
        let mut metadata = HashMap::from([(DOC.to_owned(), self.doc.to_owned())]);
        if !self.unit.is_empty() {
            metadata.insert(UNIT.to_owned(), self.unit.to_owned());
        }
        Field::new(self.name, self.kind.data_type(), self.optional).with_metadata(metadata)
    }
}

/// A market table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Name, under which a data root and the sample register it.
    pub name: &'static str,
    /// What a row is, in one line.
    pub doc: &'static str,
    /// Columns, in order.
    pub columns: &'static [Column],
    /// Whether files are kept by day (`date=`) rather than by year.
    pub by_day: bool,
}

impl Table {
    /// Returns the Arrow schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
    }
}

const TS: Column = Column::new("ts", Kind::Time, "", "open of the bar, or instant of the event");
const EXCHANGE: Column = Column::new("exchange", Kind::Text, "", "exchange, lower case");
const SYMBOL: Column = Column::new("symbol", Kind::Text, "", "BASEQUOTE, upper case");

const OPEN: Column = Column::new("open", Kind::Number, "quote per base", "first price");
const HIGH: Column = Column::new("high", Kind::Number, "quote per base", "highest price");
const LOW: Column = Column::new("low", Kind::Number, "quote per base", "lowest price");
const CLOSE: Column = Column::new("close", Kind::Number, "quote per base", "last price");
const VOLUME: Column = Column::new("volume", Kind::Number, "base", "traded quantity");
const TAKER_BUY_VOLUME: Column =
    Column::optional("taker_buy_volume", Kind::Number, "base", "part of the volume in which the buyer was the taker");
const OPEN_INTEREST_AT_OPEN: Column =
    Column::optional("open_interest", Kind::Number, "base", "open interest of one side when the bar opens");
const OPEN_INTEREST_AT_CLOSE: Column =
    Column::optional("open_interest_close", Kind::Number, "base", "open interest of one side when the bar closes");

/// Price bars.
pub static CANDLES: Table = Table {
    name: "candles",
    doc: "a price bar",
    columns: &[TS, EXCHANGE, SYMBOL, OPEN, HIGH, LOW, CLOSE, VOLUME, TAKER_BUY_VOLUME],
    by_day: false,
};

/// Single trades.
pub static TRADES: Table = Table {
    name: "trades",
    doc: "a trade",
    columns: &[
        TS,
        EXCHANGE,
        SYMBOL,
        Column::new("price", Kind::Number, "quote per base", "trade price"),
        Column::new("size", Kind::Number, "base", "traded quantity"),
        Column::new("side", Kind::Text, "", "side of the taker: buy or sell"),
    ],
    by_day: true,
};

/// Open interest over time.
pub static OPEN_INTEREST: Table = Table {
    name: "open_interest",
    doc: "open interest at an instant",
    columns: &[
        TS,
        EXCHANGE,
        SYMBOL,
        Column::new(
            "open_interest",
            Kind::Number,
            "base",
            "open contracts of ONE side (every contract has a long and a short)",
        ),
    ],
    by_day: false,
};

/// Settled funding.
pub static FUNDING: Table = Table {
    name: "funding",
    doc: "a settled funding rate",
    columns: &[
        TS,
        EXCHANGE,
        SYMBOL,
        Column::new(
            "funding_rate",
            Kind::Number,
            "fraction per interval",
            "what longs pay to shorts; negative: shorts pay",
        ),
        Column::new("interval_hours", Kind::Number, "hours", "length of the funding interval"),
    ],
    by_day: false,
};

/// Realised forced closes.
pub static LIQUIDATIONS: Table = Table {
    name: "liquidations",
    doc: "a realised liquidation",
    columns: &[
        TS,
        EXCHANGE,
        SYMBOL,
        Column::new("side", Kind::Text, "", "side of the POSITION that was liquidated: long or short"),
        Column::optional("price", Kind::Number, "quote per base", "trigger price"),
        Column::optional("bankruptcy_price", Kind::Number, "quote per base", "price at which the margin was used up"),
        Column::optional("size", Kind::Number, "base", "liquidated quantity; null of sums that state USD alone"),
        Column::new("notional_usd", Kind::Number, "USD", "value as the exchange states it"),
    ],
    by_day: true,
};

/// Real positions, where a venue publishes them.
pub static POSITIONS: Table = Table {
    name: "positions",
    doc: "an open position in a snapshot",
    columns: &[
        Column::new("ts", Kind::Time, "", "instant of the snapshot"),
        EXCHANGE,
        SYMBOL,
        Column::new("account", Kind::Text, "", "who holds it, a pseudonym"),
        Column::new("side", Kind::Text, "", "long or short"),
        Column::new("size", Kind::Number, "base", "quantity, positive"),
        Column::new("entry_price", Kind::Number, "quote per base", "mean entry price"),
        Column::new("leverage", Kind::Number, "", "notional / initial margin"),
        Column::optional(
            "liquidation_price",
            Kind::Number,
            "quote per base",
            "as the exchange states it; null if it has none",
        ),
        Column::new("notional_usd", Kind::Number, "USD", "value as the exchange states it"),
    ],
    by_day: true,
};

/// Exchanges' margin brackets, with the instant since when they are known.
pub static LEVERAGE_TIERS: Table = Table {
    name: "leverage_tiers",
    doc: "a margin bracket of an exchange",
    columns: &[
        EXCHANGE,
        SYMBOL,
        Column::new("known_since", Kind::Time, "", "first instant at which the bracket is known"),
        Column::new("unit", Kind::Text, "", "unit of floor and cap: quote_notional, base or contracts"),
        Column::new("floor", Kind::Number, "see unit", "lower limit"),
        Column::optional("cap", Kind::Number, "see unit", "upper limit; null for the last bracket"),
        Column::new("maintenance_margin_rate", Kind::Number, "fraction", "0.004 is 0.4 %"),
        Column::new("max_leverage", Kind::Number, "", "largest leverage allowed"),
        Column::new("maintenance_amount", Kind::Number, "quote", "deducted from notional × rate"),
        Column::optional("contract_size", Kind::Number, "base", "base units per contract, where unit is contracts"),
    ],
    by_day: false,
};

/// Somebody else's heatmaps and maps, such as a vendor's: the columns that `liq_heatmap` returns, so that whatever reads
/// its result reads these.
///
/// A frame is all rows of one key and instant. Where another file has the same instant, its frame takes the place of the
/// whole frame before.
pub static HEATMAP: Table = Table {
    name: "heatmap",
    doc: "a cell of a liquidation heatmap as somebody else published it",
    columns: &[
        Column::new("ts", Kind::Time, "", "instant of the frame: nothing later is in it"),
        EXCHANGE,
        SYMBOL,
        Column::new("price", Kind::Number, "quote per base", "current price: the last close before the frame"),
        Column::new("side", Kind::Text, "", "side of the positions: long stands below price, short above"),
        Column::optional("leverage", Kind::Number, "", "leverage of the positions; null for all together"),
        Column::new("price_low", Kind::Number, "quote per base", "lower limit of the cell, included"),
        Column::new("price_high", Kind::Number, "quote per base", "upper limit of the cell, excluded"),
        Column::new("notional_usd", Kind::Number, "USD", "what would be liquidated here, as published"),
        Column::new("intensity", Kind::Number, "0..1", "notional_usd / the largest of the same frame"),
    ],
    by_day: true,
};

/// Daily price bars, for long averages.
pub static DAILY_CANDLES: Table =
    Table { name: "daily_candles", doc: "a daily price bar", columns: CANDLES.columns, by_day: false };

/// What the model reads: candles with open interest and funding beside them.
pub static BARS: Table = Table {
    name: "bars",
    doc: "a price bar with open interest",
    columns: &[
        TS,
        EXCHANGE,
        SYMBOL,
        OPEN,
        HIGH,
        LOW,
        CLOSE,
        VOLUME,
        TAKER_BUY_VOLUME,
        OPEN_INTEREST_AT_OPEN,
        OPEN_INTEREST_AT_CLOSE,
        Column::optional("funding_rate", Kind::Number, "fraction per interval", "last settled funding rate"),
    ],
    by_day: false,
};

/// The columns of `bars` that the model uses; others are not read.
pub static MODEL_BARS: &[Column] =
    &[TS, EXCHANGE, SYMBOL, OPEN, HIGH, LOW, CLOSE, VOLUME, OPEN_INTEREST_AT_OPEN, OPEN_INTEREST_AT_CLOSE];

/// Every table that a data root may hold, in the order in which they are listed.
pub static TABLES: &[&Table] = &[
    &CANDLES,
    &TRADES,
    &OPEN_INTEREST,
    &FUNDING,
    &LIQUIDATIONS,
    &POSITIONS,
    &LEVERAGE_TIERS,
    &HEATMAP,
    &DAILY_CANDLES,
];

/// Returns the table of a name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.name == name)
}

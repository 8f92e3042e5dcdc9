//! What we estimate: where leveraged positions stand and when they are closed by force.
//!
//! Pure Rust: no Arrow, no DataFusion, no clock, no I/O. Everything here is a function of the bars and the parameters.
//!
//! ```text
//!            parameters ─► mix (tiers × jitters)
//!                             │
//!   bars ──────────────► book: snapshot, sweep, close, open ─► flows of the bar
//!                             │                         └────► levels (one record a cohort)
//!                             └─► grid: the book at an instant, in display cells ─► smooth
//!
//!   cells, read back as snapshots ─► pools ─► signals, touches, pool_trades
//!                                └─► cascade, stop_zones
//!   bars ─► stop_runs, indicators, extremes
//! ```
//!
//! | file | question it answers |
//! |---|---|
//! | [`side`] | which side of the market a position is on |
//! | [`margin`] | at which price an exchange closes a position |
//! | [`leverage`] | which leverages are assumed, and with which share of the capital |
//! | [`opening`] | how much opens in a bar |
//! | [`closing`] | how much leaves in a bar without being liquidated |
//! | [`parameters`] | every assumption in one place, and the named presets |
//! | [`bar`] | what the model reads, and its open interest where none is published |
//! | [`replay`] | what happens in a bar, in which order |
//! | [`book`] | what stands, by liquidation price, before and after each bar |
//! | [`levels`] | what became of each cohort |
//! | [`grid`] | the book at an instant, in display cells |
//! | [`smooth`] | exact levels, broad areas, or a wide book |
//! | [`snapshot`] | such cells read back, as the functions that read a map take them |
//! | [`pools`] | which neighbouring cells are one pool, and which pool of a later frame is the same |
//! | [`extremes`] | whether a price is the highest or lowest of a day, a week, a month |
//! | [`signals`] | what funding and pools say together, and how often it came true |
//! | [`cascade`] | what a shock of the price sets off |
//! | [`stop_zones`] | where a stop would stand among the liquidations of others |
//! | [`stop_runs`] | where volume and price burst together, and how much came back |
//! | [`touches`] | whether price reached a pool, and its mirror as often |
//! | [`pool_trades`] | what trading on pools would have brought, beside mirrors and random levels |
//! | [`score`] | how good a map is, beside what could be said without it |
//! | [`calibrate`] | which mix of leverages fits what was liquidated |
//! | [`indicators`] | EMA, RSI and ATR of a series |
//!
//! A liquidation map is an assumption about positions that nobody publishes, not the truth about them.

pub mod bar;
pub mod book;
pub mod calibrate;
pub mod cascade;
pub mod closing;
pub mod extremes;
pub mod grid;
pub mod indicators;
pub mod levels;
pub mod leverage;
pub mod margin;
pub mod opening;
pub mod parameters;
pub mod pool_trades;
pub mod pools;
pub mod prices;
pub mod replay;
pub mod score;
pub mod side;
pub mod signals;
pub mod smooth;
pub mod snapshot;
pub mod stop_runs;
pub mod stop_zones;
pub mod touches;

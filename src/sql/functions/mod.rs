//! The table functions: one file each, and the list of them.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::Result;

use super::arguments::Arguments;
use super::spec::Spec;

pub mod asof_join;
pub mod funding_confirmations;
pub mod liq_bars;
pub mod liq_bucket;
pub mod liq_calibrate;
pub mod liq_cascade;
pub mod liq_flows;
pub mod liq_functions;
pub mod liq_heatmap;
pub mod liq_levels;
pub mod liq_map;
pub mod liq_pools;
pub mod liq_price_tiered;
pub mod liq_score;
pub mod liq_smooth;
pub mod pool_score;
pub mod pool_touches;
pub mod pool_trades;
pub mod read_market;
pub mod stop_runs;
pub mod stop_zones;
pub mod to_candles;

/// A table function: its declaration, and how a call is bound.
pub trait TableFunction: Debug + Send + Sync + 'static {
    /// Returns the declaration.
    fn spec(&self) -> &'static Spec;
    /// Binds a call: checks its arguments and captures them. Pure, apart from the schemas of catalog tables where the
    /// function's own schema depends on them.
    ///
    /// # Errors
    ///
    /// An argument is not as it must be.
    fn bind(&self, arguments: &Arguments<'_>, session: &dyn Session) -> Result<Arc<dyn TableProvider>>;
}

/// Every table function, in the order in which they are listed.
pub static FUNCTIONS: &[&dyn TableFunction] = &[
    &read_market::ReadMarket,
    &to_candles::ToCandles,
    &asof_join::AsofJoin,
    &liq_bars::LiqBars,
    &liq_levels::LiqLevels,
    &liq_flows::LiqFlows,
    &liq_heatmap::LiqHeatmap,
    &liq_map::LiqMap,
    &liq_bucket::LiqBucket,
    &liq_price_tiered::LiqPriceTiered,
    &liq_smooth::LiqSmooth,
    &liq_pools::LiqPools,
    &funding_confirmations::FundingConfirmations,
    &liq_cascade::LiqCascade,
    &stop_zones::StopZones,
    &stop_runs::StopRuns,
    &pool_touches::PoolTouches,
    &pool_trades::PoolTrades,
    &pool_score::PoolScore,
    &liq_score::LiqScore,
    &liq_calibrate::LiqCalibrate,
    &liq_functions::LiqFunctions,
];

/// Returns every declaration.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    FUNCTIONS.iter().map(|function| function.spec())
}

/// A function as the engine calls it.
#[derive(Debug)]
pub(crate) struct Registered(pub(crate) &'static dyn TableFunction);

impl TableFunctionImpl for Registered {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let arguments = Arguments::new(self.0.spec(), args.exprs())?;
        self.0.bind(&arguments, args.session())
    }
}

//! How you ask: table functions, scalars and window functions on a DataFusion session.
//!
//! ```text
//!   SELECT … FROM liq_heatmap(bars, step => INTERVAL '1 hour')
//!        │ planner      named arguments to positions, relations to plans
//!        ▼
//!   arguments           typed values, once; every argument error
//!        │ bind         pure: no I/O, no clock
//!        ▼
//!   provider            resolves the inputs, pushes columns, keys and times into them
//!        │ scan
//!        ▼
//!   exec ◄── run ──►    streaming, per key; the model or another kernel does the work
//! ```
//!
//! | file | responsible for |
//! |---|---|
//! | [`spec`] | the declaration of a function, from which help, errors and docs come |
//! | [`functions`] | one file a function, and the list of them |
//! | [`scalars`] | margin arithmetic on single values |
//! | [`windows`] | indicators over the rows of a series |
//! | [`planner`], [`arguments`], [`relation`] | calls |
//! | [`provider`], [`bounds`] | what is read |
//! | [`exec`] | the one physical operator |
//! | [`model_settings`], [`model_run`], [`bars`], [`keys`], [`rows`] | what the estimating functions share |
//! | [`frames`], [`stream`], [`asof`], [`closed_bars`] | what the functions that read heatmaps and maps share |
//! | [`root`], `folders`, [`sample`] | market tables on disk, in object storage, and in the binary |

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::{SessionConfig, SessionContext};

pub mod arguments;
pub mod asof;
pub mod bars;
pub mod bounds;
pub mod closed_bars;
pub mod exec;
pub(crate) mod folders;
pub mod frames;
pub mod functions;
pub mod keys;
pub mod model_run;
pub mod model_settings;
pub mod planner;
pub mod pool_frames;
pub mod provider;
pub mod relation;
pub mod root;
pub mod rows;
pub mod sample;
pub mod scalars;
pub mod spec;
pub mod stream;
pub mod truth;
pub mod windows;

/// Registers every table function, scalar and window function on a session.
///
/// # Errors
///
/// The session refuses a planner, which a DataFusion session does not.
pub fn register_all(context: &SessionContext) -> Result<()> {
    for function in functions::FUNCTIONS {
        context.register_udtf(function.spec().name, Arc::new(functions::Registered(*function)));
    }
    for scalar in scalars::all() {
        context.register_udf(scalar);
    }
    for window in windows::all() {
        context.register_udwf(window);
    }
    let checked = windows::CheckedOver::new(windows::specs().map(|spec| spec.name));
    context.state_ref().write().register_expr_planner(Arc::new(checked))?;
    context.register_relation_planner(Arc::new(planner::NamedArguments::new(functions::all())))
}

/// Returns the settings under which the functions plan best.
///
/// Sorted files stay sorted: they are neither split into byte ranges nor sorted again, and predicates are applied
/// while Parquet is decoded. A session with other settings gives the same rows, with more work.
pub fn session_config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    let options = config.options_mut();
    options.optimizer.prefer_existing_sort = true;
    options.optimizer.repartition_file_scans = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.sql_parser.collect_spans = true;
    config
}

/// Returns the name nearest to a mistyped one, if one is near.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

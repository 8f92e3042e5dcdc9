//! Indicators over the rows of a series: `ema`, `rsi`, `atr`, each as `f(…) OVER (PARTITION BY … ORDER BY …)`.
//!
//! In: the values of a partition, in order. Out: a number a row, NULL while the indicator warms up. The arithmetic is in
//! [`crate::model::indicators`].
//!
//! ```text
//!   SELECT ts, ema(close, 20) OVER (PARTITION BY exchange, symbol ORDER BY ts) FROM candles
//!
//!   row        1  …  19   20    21    NULL   23
//!   result     ·     ·    mean  ema   NULL   ema      a row without a value is passed over: NULL out, the state holds
//! ```
//!
//! * A row with NULL in a value is as if it were not there, apart from the NULL beside it.
//! * A value that is not finite is an error; `periods` is a constant.
//! * Each row depends on all rows of its partition up to it, so a window frame, which says otherwise, is refused, and so
//!   are `FILTER`, `DISTINCT` and `RESPECT NULLS`. Without `ORDER BY` there is no series: that is refused too. Rows that
//!   are equal in the order of `ORDER BY` come in any order; a `ts` occurs once for a key.
//! * A predicate on `ts` beside the call applies before it and moves the start of the series; to warm up on earlier rows,
//!   put the call into a subquery.
//!
//! Nothing is held but the state of each partition: over rows that come in order the engine streams.

use datafusion::logical_expr::WindowUDF;

use super::spec::Spec;

mod call;
mod indicators;
mod over;

pub(super) use over::CheckedOver;

use call::{Indicator, Window};

/// Every window function, in the order in which they are listed: its declaration and what it computes.
static WINDOWS: &[(&Spec, Indicator)] =
    &[(&indicators::EMA, Indicator::Ema), (&indicators::RSI, Indicator::Rsi), (&indicators::ATR, Indicator::Atr)];

/// Returns every window function, ready to be registered.
pub fn all() -> Vec<WindowUDF> {
    WINDOWS.iter().map(|(spec, indicator)| WindowUDF::from(Window::new(spec, *indicator))).collect()
}

/// Returns every declaration.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    WINDOWS.iter().map(|(spec, _)| *spec)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::sql::spec::Fallback;
    use crate::sql::{register_all, sample, session_config};

    #[test]
    fn names_are_unique_and_every_argument_is_required() {
        let names: BTreeSet<&str> = specs().map(|spec| spec.name).collect();
        assert_eq!(names.len(), WINDOWS.len());
        for spec in specs() {
            assert!(spec.parameters.iter().all(|parameter| matches!(parameter.fallback, Fallback::Required)));
            assert_eq!(spec.parameters.last().map(|parameter| parameter.name), Some("periods"));
        }
    }

    #[tokio::test]
    async fn every_example_runs_and_every_window_is_documented() {
        let context = SessionContext::new_with_config(session_config());
        register_all(&context).expect("a new session");
        sample::register(&context).await.expect("a new session");
        for window in all() {
            let documentation = window.documentation().expect("documented");
            assert!(!documentation.description.is_empty());
        }
        for spec in specs() {
            let frame = context.sql(spec.example).await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            let batches = frame.collect().await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            assert!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>() > 0, "{}", spec.name);
        }
    }
}

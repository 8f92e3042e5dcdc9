//! What OVER may say of an indicator.
//!
//! The engine hands a window function its rows and nothing of the OVER clause. A function that reads the whole series
//! would silently ignore a frame, a FILTER or a missing ORDER BY, so they are refused when the call is planned from SQL.
//! Calls that a program builds by hand are not planned from SQL and are not checked.

use std::collections::BTreeSet;

use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::WindowFrameBound;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};

/// Checks the OVER clause of the window functions it knows.
#[derive(Debug)]
pub(in crate::sql) struct CheckedOver {
    names: BTreeSet<&'static str>,
}

impl CheckedOver {
    /// Makes a checker for a set of functions.
    pub(in crate::sql) fn new(names: impl IntoIterator<Item = &'static str>) -> CheckedOver {
        CheckedOver { names: names.into_iter().collect() }
    }
}

impl ExprPlanner for CheckedOver {
    fn plan_window(&self, call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let Some(name) = self.names.get(call.func_def.name()) else { return Ok(PlannerResult::Original(call)) };
        if call.order_by.is_empty() {
            return plan_err!(
                "{name}: OVER must have an ORDER BY, such as OVER (PARTITION BY exchange, symbol ORDER BY ts)"
            );
        }
        let frame = &call.window_frame;
        if !frame.start_bound.is_unbounded() || frame.end_bound != WindowFrameBound::CurrentRow {
            return plan_err!("{name}: takes no window frame, it reads all rows up to the current one; was {frame}");
        }
        if call.filter.is_some() {
            return plan_err!("{name}: takes no FILTER; a row with NULL is passed over");
        }
        if call.distinct {
            return plan_err!("{name}: takes no DISTINCT");
        }
        if call.null_treatment == Some(NullTreatment::RespectNulls) {
            return plan_err!("{name}: takes no RESPECT NULLS; a row with NULL is passed over");
        }
        Ok(PlannerResult::Original(call))
    }
}

//! What a query's predicates say about time.
//!
//! The model is causal: an upper bound on the output's `ts` bounds the input as well. A lower bound does not, because
//! positions opened earlier still stand; it only tells which rows need not be made.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, lit};

use crate::market::tables::time_type;

/// An inclusive range of instants in milliseconds, open where `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeBounds {
    /// First instant wanted.
    pub from: Option<i64>,
    /// Last instant wanted.
    pub to: Option<i64>,
}

impl TimeBounds {
    /// Reads the bounds that predicates, joined by AND, set on a column.
    ///
    /// Predicates that are not comparisons of the column with a constant are passed over: the bounds may be wider than
    /// what is asked, never narrower.
    pub fn of<'a>(column: &str, predicates: impl IntoIterator<Item = &'a Expr>) -> TimeBounds {
        let mut bounds = TimeBounds::default();
        for predicate in predicates {
            bounds.narrow(column, predicate);
        }
        bounds
    }

    fn narrow(&mut self, column: &str, predicate: &Expr) {
        match predicate {
            Expr::BinaryExpr(binary) if binary.op == Operator::And => {
                self.narrow(column, &binary.left);
                self.narrow(column, &binary.right);
            }
            Expr::BinaryExpr(binary) => {
                let (op, instant) = if is_column(&binary.left, column) {
                    (Some(binary.op), instant(&binary.right))
                } else if is_column(&binary.right, column) {
                    (binary.op.swap(), instant(&binary.left))
                } else {
                    return;
                };
                let Some(instant) = instant else { return };
                match op {
                    Some(Operator::Eq) => {
                        self.raise(instant.floor);
                        self.lower(instant.ceiling);
                    }
                    Some(Operator::Gt | Operator::GtEq) => self.raise(instant.floor),
                    Some(Operator::Lt | Operator::LtEq) => self.lower(instant.ceiling),
                    _ => {}
                }
            }
            Expr::Between(between) if !between.negated && is_column(&between.expr, column) => {
                if let Some(low) = instant(&between.low) {
                    self.raise(low.floor);
                }
                if let Some(high) = instant(&between.high) {
                    self.lower(high.ceiling);
                }
            }
            _ => {}
        }
    }

    fn raise(&mut self, from: i64) {
        self.from = Some(self.from.map_or(from, |known| known.max(from)));
    }

    fn lower(&mut self, to: i64) {
        self.to = Some(self.to.map_or(to, |known| known.min(to)));
    }

    /// Whether an instant lies within the bounds.
    pub fn contain(&self, ts: i64) -> bool {
        self.from.is_none_or(|from| ts >= from) && self.to.is_none_or(|to| ts <= to)
    }

    /// Returns the predicates on a column that say the same.
    pub fn predicates(&self, column: &Expr) -> Vec<Expr> {
        let mut predicates = Vec::new();
        if let Some(from) = self.from {
            predicates.push(column.clone().gt_eq(instant_literal(from)));
        }
        if let Some(to) = self.to {
            predicates.push(column.clone().lt_eq(instant_literal(to)));
        }
        predicates
    }
}

/// A constant of milliseconds since the epoch.
pub fn instant_literal(ts: i64) -> Expr {
    lit(ScalarValue::TimestampMillisecond(Some(ts), Some("UTC".into())))
}

fn is_column(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::Column(column) if column.name == name)
}

/// An instant in milliseconds; two where it lies between them.
struct Instant {
    floor: i64,
    ceiling: i64,
}

fn instant(expression: &Expr) -> Option<Instant> {
    let Expr::Literal(value, _) = expression else { return None };
    let (count, per_millisecond) = match value {
        ScalarValue::TimestampSecond(Some(seconds), _) => (seconds.checked_mul(1000)?, 1),
        ScalarValue::TimestampMillisecond(Some(milliseconds), _) => (*milliseconds, 1),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => (*micros, 1000),
        ScalarValue::TimestampNanosecond(Some(nanos), _) => (*nanos, 1_000_000),
        other => match other.cast_to(&time_type()) {
            Ok(ScalarValue::TimestampMillisecond(Some(milliseconds), _)) => (milliseconds, 1),
            _ => return None,
        },
    };
    let floor = count.div_euclid(per_millisecond);
    let ceiling = if count.rem_euclid(per_millisecond) == 0 { floor } else { floor + 1 };
    Some(Instant { floor, ceiling })
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;

    use super::*;

    #[test]
    fn comparisons_narrow_and_the_rest_is_passed_over() {
        let at = instant_literal;
        let bounds = |predicates: &[Expr]| TimeBounds::of("ts", predicates);
        let between = TimeBounds { from: Some(10), to: Some(20) };
        assert_eq!(bounds(&[col("ts").gt(at(10)).and(col("ts").lt_eq(at(20)))]), between);
        assert_eq!(bounds(&[col("ts").between(at(10), at(20)), at(5).lt_eq(col("ts"))]), between);
        assert_eq!(bounds(&[col("ts").eq(at(7))]), TimeBounds { from: Some(7), to: Some(7) });
        assert_eq!(bounds(&[col("ts").gt(at(1)).or(col("ts").lt(at(0)))]), TimeBounds::default());
        assert_eq!(bounds(&[col("price").gt(lit(3.0)), col("ts").not_eq(at(3))]), TimeBounds::default());
    }

    #[test]
    fn finer_units_are_rounded_outwards() {
        let nanos = lit(ScalarValue::TimestampNanosecond(Some(1_500_000), None));
        let bounds = TimeBounds::of("ts", &[col("ts").gt(nanos.clone()), col("ts").lt(nanos)]);
        assert_eq!(bounds, TimeBounds { from: Some(1), to: Some(2) });
    }
}

//! `leverage_band`: five names for how leveraged a position is.
//!
//! In: a leverage. Out: `L1` to `L5`. The limits are this project's own; the charts that show such bands publish none.

use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "leverage_band",
    summary: "Band of a leverage: L1 from 100x, L2 from 50x, L3 from 25x, L4 from 10x, L5 below",
    parameters: &[Parameter {
        name: "leverage",
        kind: ParameterKind::Number(Limits {
            low: 1.0,
            low_included: true,
            high: f64::MAX,
            words: "a leverage of at least 1",
        }),
        fallback: Fallback::Required,
        unit: "",
        doc: "notional / initial margin",
    }],
    returns: Returns::Derived("one of L1, L2, L3, L4, L5"),
    example: "SELECT leverage_band(20) AS band",
};

pub(super) fn leverage_band(leverage: f64) -> &'static str {
    match leverage {
        100.0.. => "L1",
        50.0.. => "L2",
        25.0.. => "L3",
        10.0.. => "L4",
        _ => "L5",
    }
}

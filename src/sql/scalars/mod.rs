//! Margin arithmetic and market words on single values: `liq_price` and its kin, `leverage_band`, `base_asset`.
//!
//! In: constants or columns of any numeric or text type. Out: a number or a text a row. A NULL argument makes a NULL
//! result; a value that cannot be is an error that names the function, the argument, what is allowed, and the value.
//! The arithmetic itself is in [`crate::model::margin`].

use datafusion::logical_expr::ScalarUDF;

use super::spec::Spec;

pub mod base_asset;
mod call;
pub mod leverage_band;
pub mod liq_price;

use call::{Kernel, Scalar};

/// Every scalar, in the order in which they are listed: its declaration and what it computes.
static SCALARS: &[(&Spec, Kernel)] = &[
    (&liq_price::LIQ_PRICE, Kernel::Position(liq_price::linear)),
    (&liq_price::LIQ_PRICE_INVERSE, Kernel::Position(liq_price::inverse)),
    (&liq_price::LIQ_PRICE_AT_LEVERAGE, Kernel::Position(liq_price::at_leverage)),
    (&liq_price::BANKRUPTCY_PRICE, Kernel::Position(liq_price::bankruptcy)),
    (&leverage_band::SPEC, Kernel::NumberToText(leverage_band::leverage_band)),
    (&base_asset::SPEC, Kernel::TextToText(base_asset::base_asset)),
];

/// Returns every scalar, ready to be registered.
pub fn all() -> Vec<ScalarUDF> {
    SCALARS.iter().map(|(spec, kernel)| ScalarUDF::from(Scalar::new(spec, *kernel))).collect()
}

/// Returns every declaration.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    SCALARS.iter().map(|(spec, _)| *spec)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::sql::spec::Fallback;

    #[test]
    fn names_are_unique_and_only_trailing_arguments_are_optional() {
        let names: BTreeSet<&str> = specs().map(|spec| spec.name).collect();
        assert_eq!(names.len(), SCALARS.len());
        for spec in specs() {
            let required = spec.parameters.iter().map(|p| matches!(p.fallback, Fallback::Required));
            assert!(required.is_sorted_by(|a, b| a >= b), "{}", spec.name);
        }
    }

    #[tokio::test]
    async fn every_example_runs_and_every_scalar_is_documented() {
        let context = SessionContext::new();
        for scalar in all() {
            let documentation = scalar.documentation().expect("documented");
            assert!(!documentation.description.is_empty());
            context.register_udf(scalar);
        }
        for spec in specs() {
            let frame = context.sql(spec.example).await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            let batches = frame.collect().await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1, "{}", spec.name);
        }
    }
}

//! Which leverages rows have: each by itself, or in bands where there are many, and what states none.

use std::collections::BTreeSet;

use arrow::array::Float64Array;

use super::super::frame::NOT_STATED;
use super::super::{RenderError, axis};
use super::columns;

/// No exchange lends a thousandth of this.
const LARGEST: f64 = 1e6;

/// As the legend of a map can tell apart by colour.
const MOST_LEVERAGES: usize = 6;
/// The lower bounds of the leverage bands L5 to L1.
const BANDS: [(f64, &str); 5] = [(0.0, "<10x"), (10.0, "10–24x"), (25.0, "25–49x"), (50.0, "50–99x"), (100.0, "≥100x")];

/// The leverage of a row. Null, 0 and what is below it state none.
///
/// # Errors
///
/// It is no number, or larger than any.
pub(super) fn stated(column: Option<&Float64Array>, row: usize) -> Result<Option<f64>, RenderError> {
    match columns::value(column, row) {
        Some(leverage) if leverage > 0.0 && leverage <= LARGEST => Ok(Some(leverage)),
        Some(leverage) if leverage.is_nan() || leverage > LARGEST => {
            let allowed = format!("numbers up to {}", axis::given(LARGEST));
            Err(columns::wrong_value("leverage", allowed, axis::given(leverage)))
        }
        _ => Ok(None),
    }
}

/// The parts that leverage divides rows into.
#[derive(Debug, Default)]
pub(super) struct Leverages {
    /// Lower bounds, ascending.
    floors: Vec<f64>,
    /// A name for each, and one for the rows that state no leverage if there are such; empty if no row states one.
    pub(super) names: Vec<String>,
}

impl Leverages {
    /// Of positive leverages, and `None` for a row without.
    pub(super) fn of(rows: impl Iterator<Item = Option<f64>>) -> Self {
        let mut is_all_stated = true;
        let mut found: BTreeSet<u64> = BTreeSet::new();
        for leverage in rows {
            match leverage {
                // Positive numbers are ordered as their bits are.
                Some(leverage) => _ = found.insert(leverage.to_bits()),
                None => is_all_stated = false,
            }
        }
        let found: Vec<f64> = found.into_iter().map(f64::from_bits).collect();
        let mut leverages = Self::each(&found);
        if leverages.names.len() > MOST_LEVERAGES {
            leverages = Self::in_bands(&found);
        }
        if !is_all_stated && !leverages.names.is_empty() {
            leverages.names.push(NOT_STATED.to_owned());
        }
        leverages
    }

    fn each(found: &[f64]) -> Self {
        let mut each = Self::default();
        for leverage in found {
            let name = format!("{}x", axis::number(*leverage));
            // What is written alike is one.
            if each.names.last() != Some(&name) {
                each.floors.push(*leverage);
                each.names.push(name);
            }
        }
        each
    }

    fn in_bands(found: &[f64]) -> Self {
        let mut bands = Self::default();
        for (index, (floor, name)) in BANDS.iter().enumerate() {
            let end = BANDS.get(index + 1).map_or(f64::INFINITY, |(floor, _)| *floor);
            if found.iter().any(|leverage| *leverage >= *floor && *leverage < end) {
                bands.floors.push(*floor);
                bands.names.push((*name).to_owned());
            }
        }
        bands
    }

    /// Where the part of a leverage stands among the names.
    pub(super) fn position(&self, leverage: Option<f64>) -> usize {
        match leverage {
            Some(leverage) => self.floors.iter().rposition(|floor| leverage >= *floor).unwrap_or(0),
            None => self.floors.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[Option<f64>]) -> Vec<String> {
        Leverages::of(found.iter().copied()).names
    }

    #[test]
    fn what_states_no_leverage_is_a_part_of_its_own() {
        assert_eq!(names(&[Some(20.0), None, Some(5.0)]), ["5x", "20x", "not stated"]);
        assert_eq!(names(&[None, None]), [""; 0]);
        let leverages = Leverages::of([Some(20.0), None, Some(5.0)].into_iter());
        assert_eq!([Some(5.0), Some(20.0), None].map(|leverage| leverages.position(leverage)), [0, 1, 2]);
    }

    #[test]
    fn null_and_what_is_not_above_zero_state_no_leverage() {
        let column = Float64Array::from(vec![Some(20.0), None, Some(0.0), Some(-5.0), Some(f64::NAN)]);
        let found = [0, 1, 2, 3].map(|row| stated(Some(&column), row).unwrap());
        assert_eq!(found, [Some(20.0), None, None, None]);
        assert!(stated(Some(&column), 4).is_err());
    }

    #[test]
    fn many_leverages_are_bands() {
        let many: Vec<Option<f64>> = [2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 125.0].into_iter().map(Some).collect();
        assert_eq!(names(&many), ["<10x", "10–24x", "25–49x", "50–99x", "≥100x"]);
        assert_eq!(names(&[many, vec![None]].concat()).last().map(String::as_str), Some("not stated"));
        assert_eq!(names(&[Some(5.0001), Some(5.0002)]), ["5x"]);
    }
}

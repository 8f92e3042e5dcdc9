//! Correlations of ranks and least squares: what the scores are computed with.
//!
//! In: samples as slices of one length, and how often each observation counts. Out: finite numbers, or `None` where the
//! sample does not determine one: too few observations, nothing varies, lengths differ, a value is not finite.
//!
//! ```text
//!   values ─► Order (sorted once) ─► mid-ranks under any weights ─► RankCorrelations ─► Spearman, partial
//!   columns, y ─► pivoted Gram-Schmidt ─► LeastSquares ─► predictions ─► R²
//! ```
//!
//! Invariant: sums run in the order of the sample and only `+ − × ÷ √` are used, so the bits are the same on every
//! platform. Ranks are multiples of ½: their sums are exact and do not depend on the order at all.

/// A spread below this share of the largest value is rounding, not variation.
const SMALLEST_SPREAD: f64 = 1e-12;

/// What is left of a column or rank after the others are taken out of it, as a share of its variance: below this it is
/// a combination of them.
const SMALLEST_REST: f64 = 1e-9;

/// The same for the length of a column in a least-squares fit.
const SMALLEST_LENGTH: f64 = 1e-8;

fn is_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// A sample sorted once: the ranks of every reweighting of it follow in one pass.
#[derive(Debug, Clone)]
pub struct Order {
    /// Indices of the sample, smallest value first.
    sorted: Vec<usize>,
    /// Where in `sorted` each group of equal values ends.
    ends: Vec<usize>,
}

impl Order {
    /// Sorts a sample; `None` if a value is not finite.
    pub fn new(values: &[f64]) -> Option<Order> {
        if !is_finite(values) {
            return None;
        }
        let mut sorted: Vec<usize> = (0..values.len()).collect();
        sorted.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let starts = (1..sorted.len()).filter(|&i| values[sorted[i]] != values[sorted[i - 1]]);
        let ends = starts.chain((!sorted.is_empty()).then_some(sorted.len())).collect();
        Some(Order { sorted, ends })
    }

    /// Returns how many observations there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Returns the rank of each observation, from 1, where each counts `weights` times; equal values share their mean
    /// rank. One weight an observation.
    pub fn mid_ranks(&self, weights: &[f64]) -> Vec<f64> {
        let mut ranks = vec![0.0; self.sorted.len()];
        let (mut from, mut below) = (0, 0.0);
        for &end in &self.ends {
            let group = &self.sorted[from..end];
            let weight: f64 = group.iter().map(|&i| weights[i]).sum();
            for &i in group {
                ranks[i] = below + (weight + 1.0) / 2.0;
            }
            below += weight;
            from = end;
        }
        ranks
    }
}

/// Returns the rank of each value, from 1; equal values share their mean rank. `None` if a value is not finite.
///
/// ```
/// use liqsql::model::score::statistics::mid_ranks;
/// assert_eq!(mid_ranks(&[10.0, 30.0, 20.0, 20.0]), Some(vec![1.0, 4.0, 2.5, 2.5]));
/// ```
pub fn mid_ranks(values: &[f64]) -> Option<Vec<f64>> {
    Some(Order::new(values)?.mid_ranks(&vec![1.0; values.len()]))
}

/// Returns Pearson's correlation.
///
/// ```
/// use liqsql::model::score::statistics::pearson;
/// assert_eq!(pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), Some(1.0));
/// assert_eq!(pearson(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
/// ```
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() {
        return None;
    }
    let (x, y) = (centred(x)?, centred(y)?);
    Some((dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()).clamp(-1.0, 1.0))
}

/// Takes the mean away; `None` if the values do not vary.
fn centred(values: &[f64]) -> Option<Vec<f64>> {
    let mean = mean(values)?;
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let spread = dot(&centred, &centred).sqrt();
    let varies = is_finite(&[spread]) && spread > SMALLEST_SPREAD * largest * (values.len() as f64).sqrt();
    varies.then_some(centred)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty() && is_finite(values)).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns Spearman's rank correlation, ties at their mean rank.
///
/// ```
/// use liqsql::model::score::statistics::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1e9]), Some(1.0));
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    partial_rank(x, y, &[])
}

/// Returns what is left of the rank correlation of `x` and `y` once the ranks of `controls` are known.
///
/// It is the correlation of the residuals of both ranks from a regression on the ranks of the controls. Controls that
/// do not vary, or are monotone in one another, are used once.
///
/// ```
/// use liqsql::model::score::statistics::{partial_rank, spearman};
/// let cause = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
/// let (x, y) = ([2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0], [1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 8.0, 7.0]);
/// assert!(spearman(&x, &y).is_some_and(|all| all > 0.9));
/// assert!(partial_rank(&x, &y, &[&cause]).is_some_and(|rest| rest < 0.8));
/// // Nothing is left of what the controls say already.
/// assert_eq!(partial_rank(&x, &y, &[&cause, &x]), None);
/// ```
pub fn partial_rank(x: &[f64], y: &[f64], controls: &[&[f64]]) -> Option<f64> {
    let samples: Vec<&[f64]> = controls.iter().copied().chain([x, y]).collect();
    if samples.iter().any(|sample| sample.len() != x.len()) {
        return None;
    }
    let orders = samples.iter().map(|sample| Order::new(sample)).collect::<Option<Vec<_>>>()?;
    let known: Vec<usize> = (0..controls.len()).collect();
    RankCorrelations::new(&orders, &vec![1.0; x.len()]).given(controls.len(), controls.len() + 1, &known)
}

/// Rank correlations of several variables of one sample, each with each.
#[derive(Debug, Clone)]
pub struct RankCorrelations {
    variables: usize,
    /// Observations that count.
    observations: usize,
    /// Row by row; zero, the diagonal too, where a variable does not vary.
    correlations: Vec<f64>,
}

impl RankCorrelations {
    /// Computes them for orders of one length, where each observation counts `weights` times.
    pub fn new(orders: &[Order], weights: &[f64]) -> RankCorrelations {
        let counted: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0.0).collect();
        let total: f64 = counted.iter().map(|&i| weights[i]).sum();
        let middle = (total + 1.0) / 2.0;
        let ranks: Vec<Vec<f64>> = orders
            .iter()
            .map(|order| {
                let ranks = order.mid_ranks(weights);
                counted.iter().map(|&i| ranks[i] - middle).collect()
            })
            .collect();
        let weights: Vec<f64> = counted.iter().map(|&i| weights[i]).collect();
        let variables = orders.len();
        let mut correlations = vec![0.0; variables * variables];
        for (i, a) in ranks.iter().enumerate() {
            let weighted: Vec<f64> = a.iter().zip(&weights).map(|(rank, weight)| rank * weight).collect();
            for (j, b) in ranks.iter().enumerate().skip(i) {
                correlations[i * variables + j] = dot(&weighted, b);
            }
        }
        let variances: Vec<f64> = (0..variables).map(|i| correlations[i * variables + i]).collect();
        for i in 0..variables {
            for j in i..variables {
                // The root of the product, so that equal ranks correlate to exactly one.
                let scale = (variances[i] * variances[j]).sqrt();
                let correlation = if scale > 0.0 { correlations[i * variables + j] / scale } else { 0.0 };
                correlations[i * variables + j] = correlation;
                correlations[j * variables + i] = correlation;
            }
        }
        RankCorrelations { variables, observations: counted.len(), correlations }
    }

    /// Returns Spearman's correlation of two variables.
    pub fn between(&self, a: usize, b: usize) -> Option<f64> {
        self.given(a, b, &[])
    }

    /// Returns the partial rank correlation of two variables given others.
    ///
    /// The controls are eliminated from the matrix of correlations one by one, which is the regression of ranks on
    /// ranks; one that the earlier ones determine is passed over.
    pub fn given(&self, a: usize, b: usize, controls: &[usize]) -> Option<f64> {
        if self.observations < controls.len() + 3 {
            return None;
        }
        let chosen: Vec<usize> = controls.iter().copied().chain([a, b]).collect();
        let n = chosen.len();
        let mut rest: Vec<f64> = Vec::with_capacity(n * n);
        for &i in &chosen {
            rest.extend(chosen.iter().map(|&j| self.correlations[i * self.variables + j]));
        }
        for pivot in 0..controls.len() {
            let variance = rest[pivot * n + pivot];
            if variance < SMALLEST_REST {
                continue;
            }
            for i in pivot + 1..n {
                let share = rest[i * n + pivot] / variance;
                for j in pivot + 1..n {
                    rest[i * n + j] -= share * rest[pivot * n + j];
                }
            }
        }
        let (a, b) = (n - 2, n - 1);
        let (variance_a, variance_b) = (rest[a * n + a], rest[b * n + b]);
        let left = variance_a > SMALLEST_REST && variance_b > SMALLEST_REST;
        left.then(|| (rest[a * n + b] / (variance_a * variance_b).sqrt()).clamp(-1.0, 1.0))
    }
}

/// A linear fit with an intercept.
#[derive(Debug, Clone, PartialEq)]
pub struct LeastSquares {
    /// Mean of the y that was fitted.
    mean: f64,
    /// Means of the columns.
    centres: Vec<f64>,
    coefficients: Vec<f64>,
}

impl LeastSquares {
    /// Fits y on columns by ordinary least squares.
    ///
    /// Columns that do not vary, or that others determine, get the coefficient zero. `None` if there are not at least
    /// two observations more than columns.
    ///
    /// ```
    /// use liqsql::model::score::statistics::LeastSquares;
    /// let (x, same) = ([0.0, 1.0, 2.0, 3.0, 4.0], [7.0; 5]);
    /// let fit = LeastSquares::fit(&[&x, &same], &[1.0, 3.0, 5.0, 7.0, 9.0]);
    /// let predicted = fit.and_then(|fit| fit.predict(&[&[10.0], &[0.0]]));
    /// assert!(predicted.is_some_and(|y| (y[0] - 21.0).abs() < 1e-12));
    /// ```
    pub fn fit(columns: &[&[f64]], y: &[f64]) -> Option<LeastSquares> {
        let fits = columns.iter().all(|column| column.len() == y.len() && is_finite(column));
        if !fits || !is_finite(y) || y.len() < columns.len() + 2 {
            return None;
        }
        let mean_y = mean(y)?;
        let centres = columns.iter().map(|column| mean(column)).collect::<Option<Vec<_>>>()?;
        let mut coefficients = vec![0.0; columns.len()];
        let varying: Vec<(usize, Vec<f64>)> =
            columns.iter().enumerate().filter_map(|(i, column)| Some((i, centred(column)?))).collect();
        let (places, varying): (Vec<usize>, Vec<Vec<f64>>) = varying.into_iter().unzip();
        let solved = solve(varying, y.iter().map(|y| y - mean_y).collect());
        for (place, coefficient) in places.into_iter().zip(solved) {
            coefficients[place] = coefficient;
        }
        is_finite(&coefficients).then_some(LeastSquares { mean: mean_y, centres, coefficients })
    }

    /// Returns the coefficients, one a column.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Returns what the fit says of other rows; `None` if the columns are not as many, or not of one length.
    pub fn predict(&self, columns: &[&[f64]]) -> Option<Vec<f64>> {
        let rows = columns.first().map_or(0, |column| column.len());
        if columns.len() != self.coefficients.len() || columns.iter().any(|column| column.len() != rows) {
            return None;
        }
        let mut predicted = vec![self.mean; rows];
        for ((column, centre), coefficient) in columns.iter().zip(&self.centres).zip(&self.coefficients) {
            for (y, x) in predicted.iter_mut().zip(*column) {
                *y += coefficient * (x - centre);
            }
        }
        Some(predicted)
    }
}

/// Returns the coefficients that bring the columns nearest to `y`, without an intercept; zero for columns that others
/// determine.
///
/// Modified Gram-Schmidt with column pivoting, `y` carried along as one more column: as stable as Householder's method
/// (Björck 1967, Solving linear least squares problems by Gram-Schmidt orthogonalization). Own code, because the linear
/// algebra crates choose their kernels by processor, and scores must have the same bits everywhere.
pub(in crate::model) fn solve(mut columns: Vec<Vec<f64>>, mut y: Vec<f64>) -> Vec<f64> {
    let n = columns.len();
    let lengths: Vec<f64> = columns.iter().map(|column| dot(column, column).sqrt()).collect();
    for (column, length) in columns.iter_mut().zip(&lengths).filter(|(_, length)| **length > 0.0) {
        column.iter_mut().for_each(|x| *x /= length);
    }
    // In the order in which columns were chosen: the column, its triangle's row over all columns, its share of y.
    let mut rows: Vec<(usize, Vec<f64>, f64)> = Vec::with_capacity(n);
    let mut open: Vec<usize> = (0..n).filter(|&i| lengths[i] > 0.0).collect();
    while !open.is_empty() {
        let lengths: Vec<f64> = open.iter().map(|&i| dot(&columns[i], &columns[i]).sqrt()).collect();
        // Of equal ones the first, so that the choice does not depend on chance.
        let (at, length) =
            lengths.into_iter().enumerate().fold((0, -1.0), |best, next| if next.1 > best.1 { next } else { best });
        if length < SMALLEST_LENGTH {
            break;
        }
        let chosen = open.remove(at);
        let direction: Vec<f64> = columns[chosen].iter().map(|x| x / length).collect();
        let mut row = vec![0.0; n];
        row[chosen] = length;
        for &other in &open {
            row[other] = take_out(&direction, &mut columns[other]);
        }
        let share = take_out(&direction, &mut y);
        rows.push((chosen, row, share));
    }
    let mut coefficients = vec![0.0; n];
    for (chosen, row, share) in rows.iter().rev() {
        // Columns chosen earlier have zeros in this row, those never chosen the coefficient zero.
        let others: f64 = dot(row, &coefficients);
        coefficients[*chosen] = (share - others) / row[*chosen];
    }
    for (coefficient, length) in coefficients.iter_mut().zip(&lengths).filter(|(_, length)| **length > 0.0) {
        *coefficient /= length;
    }
    coefficients
}

/// Takes the part along a unit vector out of another and returns how long it was.
fn take_out(direction: &[f64], from: &mut [f64]) -> f64 {
    let share = dot(direction, from);
    for (x, d) in from.iter_mut().zip(direction) {
        *x -= share * d;
    }
    share
}

/// Returns R² of predictions: 1 − their squared errors over those of the mean of `y`.
///
/// The mean is that of the `y` given here, the test's own, the usual out-of-sample R² and the harder one: a level that
/// has drifted since the fit counts against the prediction. Below zero where the prediction is worse than that mean.
///
/// ```
/// use liqsql::model::score::statistics::r_squared;
/// assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(1.0));
/// assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), Some(0.0));
/// ```
pub fn r_squared(y: &[f64], predicted: &[f64]) -> Option<f64> {
    if y.len() != predicted.len() || !is_finite(predicted) {
        return None;
    }
    let centred = centred(y)?;
    let errors: f64 = y.iter().zip(predicted).map(|(y, predicted)| (y - predicted) * (y - predicted)).sum();
    Some(1.0 - errors / dot(&centred, &centred))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-12)
    }

    #[test]
    fn spearman_by_hand() {
        // Ranks 1, 2.5, 2.5, 4 and 2, 1, 3, 4: covariance 1.5² + 0 + 0 + 1.5² … over √(4.5 · 5).
        let (x, y) = ([1.0, 5.0, 5.0, 9.0], [20.0, 10.0, 30.0, 40.0]);
        let by_hand = (-1.5 * -0.5 + 0.0 + 0.0 + 1.5 * 1.5) / (4.5f64 * 5.0).sqrt();
        assert!(near(spearman(&x, &y), by_hand));
        assert_eq!(spearman(&x, &x.map(|x| -x)), Some(-1.0));
    }

    #[test]
    fn what_is_not_determined_is_none() {
        let (x, constant) = ([1.0, 2.0, 4.0, 3.0], [0.1; 4]);
        for strange in [f64::NAN, f64::INFINITY] {
            let strange = [1.0, 2.0, 3.0, strange];
            assert_eq!(mid_ranks(&strange), None);
            assert_eq!((pearson(&x, &strange), spearman(&x, &strange)), (None, None));
            assert_eq!(LeastSquares::fit(&[&strange], &x), None);
            assert_eq!(r_squared(&x, &strange), None);
        }
        assert_eq!((pearson(&x, &constant), spearman(&x, &constant)), (None, None));
        assert_eq!((pearson(&[], &[]), spearman(&[], &[])), (None, None));
        assert_eq!((pearson(&x, &x[1..]), spearman(&x, &x[1..])), (None, None));
        assert_eq!(r_squared(&constant, &x), None);
        // Two observations are always on a line; as many as there are unknowns are always fitted.
        assert_eq!(spearman(&x[..2], &x[..2]), None);
        assert_eq!(LeastSquares::fit(&[&x[..2]], &x[..2]), None);
    }

    #[test]
    fn one_control_is_the_textbook_formula() {
        let x = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0];
        let y = [2.0, 7.0, 1.0, 8.0, 2.5, 8.5, 1.5, 8.2];
        let z = [1.0, 6.0, 1.1, 8.0, 0.3, 3.0, 9.0, 8.8];
        let r = |a: &[f64], b: &[f64]| spearman(a, b).unwrap();
        let (xy, xz, yz) = (r(&x, &y), r(&x, &z), r(&y, &z));
        let by_hand = (xy - xz * yz) / ((1.0 - xz * xz) * (1.0 - yz * yz)).sqrt();
        assert!(near(partial_rank(&x, &y, &[&z]), by_hand));
        // The same control again, or one that does not vary, changes nothing.
        let squared = z.map(|z| z * z);
        assert!(near(partial_rank(&x, &y, &[&z, &squared, &[7.0; 8]]), by_hand));
    }

    fn column(n: usize) -> impl Strategy<Value = Vec<f64>> {
        // Few values, so that there are ties.
        prop::collection::vec((0u8..12).prop_map(f64::from), n)
    }

    proptest! {
        #[test]
        fn partial_is_the_correlation_of_residuals(x in column(30), y in column(30), a in column(30), b in column(30)) {
            let [x_ranks, y_ranks, a_ranks, b_ranks] = [&x, &y, &a, &b].map(|v| mid_ranks(v).unwrap());
            let controls = [a_ranks.as_slice(), b_ranks.as_slice()];
            let residuals = |ranks: &[f64]| {
                let predicted = LeastSquares::fit(&controls, ranks).unwrap().predict(&controls).unwrap();
                ranks.iter().zip(predicted).map(|(rank, predicted)| rank - predicted).collect::<Vec<_>>()
            };
            if let Some(partial) = partial_rank(&x, &y, &[&a, &b]) {
                let expected = pearson(&residuals(&x_ranks), &residuals(&y_ranks)).unwrap();
                prop_assert!((partial - expected).abs() < 1e-9, "{} is not {}", partial, expected);
            }
        }

        #[test]
        fn weights_are_repetitions(x in column(12), y in column(12), weights in prop::collection::vec(0usize..4, 12)) {
            let repeated = |values: &[f64]| -> Vec<f64> {
                values.iter().zip(&weights).flat_map(|(value, &n)| std::iter::repeat_n(*value, n)).collect()
            };
            let weights: Vec<f64> = weights.iter().map(|&n| n as f64).collect();
            let orders = [Order::new(&x).unwrap(), Order::new(&y).unwrap()];
            let weighted = RankCorrelations::new(&orders, &weights).between(0, 1);
            if weights.iter().filter(|weight| **weight > 0.0).count() >= 3 {
                prop_assert_eq!(weighted, spearman(&repeated(&x), &repeated(&y)));
            }
            let ranks = mid_ranks(&repeated(&x)).unwrap();
            prop_assert_eq!(repeated(&orders[0].mid_ranks(&weights)), ranks);
        }

        #[test]
        fn residuals_of_a_fit_are_at_right_angles(y in column(20), a in column(20), b in column(20), scale in -6i32..6) {
            let b: Vec<f64> = b.iter().map(|b| b * 10f64.powi(scale)).collect();
            let fit = LeastSquares::fit(&[&a, &b], &y).unwrap();
            let rest: Vec<f64> =
                y.iter().zip(fit.predict(&[&a, &b]).unwrap()).map(|(y, predicted)| y - predicted).collect();
            for column in [&a, &b] {
                let length = dot(column, column).sqrt().max(1e-300);
                prop_assert!((dot(&rest, column) / length).abs() < 1e-9);
            }
            prop_assert!(rest.iter().sum::<f64>().abs() < 1e-9);
        }
    }

    #[test]
    fn columns_that_others_determine_do_not_explode() {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 11)).collect();
        let same: Vec<f64> = x.iter().map(|x| 3.0 * x + 1.0).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 * x - 5.0).collect();
        let columns = [x.as_slice(), same.as_slice(), &[0.3; 40], &[0.0; 40]];
        let fit = LeastSquares::fit(&columns, &y).unwrap();
        assert!(fit.coefficients().iter().all(|coefficient| coefficient.abs() < 10.0));
        assert!(r_squared(&y, &fit.predict(&columns).unwrap()).unwrap() > 1.0 - 1e-12);
    }

    /// Longley's regression, six nearly dependent columns, against the values that NIST certifies
    /// (<https://www.itl.nist.gov/div898/strd/lls/data/Longley.shtml>).
    #[test]
    fn longley() {
        let y = [
            60323.0, 61122.0, 60171.0, 61187.0, 63221.0, 63639.0, 64989.0, 63761.0, 66019.0, 67857.0, 68169.0, 66513.0,
            68655.0, 69564.0, 69331.0, 70551.0,
        ];
        let columns = [
            [83.0, 88.5, 88.2, 89.5, 96.2, 98.1, 99.0, 100.0, 101.2, 104.6, 108.4, 110.8, 112.6, 114.2, 115.7, 116.9],
            [
                234289.0, 259426.0, 258054.0, 284599.0, 328975.0, 346999.0, 365385.0, 363112.0, 397469.0, 419180.0,
                442769.0, 444546.0, 482704.0, 502601.0, 518173.0, 554894.0,
            ],
            [
                2356.0, 2325.0, 3682.0, 3351.0, 2099.0, 1932.0, 1870.0, 3578.0, 2904.0, 2822.0, 2936.0, 4681.0, 3813.0,
                3931.0, 4806.0, 4007.0,
            ],
            [
                1590.0, 1456.0, 1616.0, 1650.0, 3099.0, 3594.0, 3547.0, 3350.0, 3048.0, 2857.0, 2798.0, 2637.0, 2552.0,
                2514.0, 2572.0, 2827.0,
            ],
            [
                107608.0, 108632.0, 109773.0, 110929.0, 112075.0, 113270.0, 115094.0, 116219.0, 117388.0, 118734.0,
                120445.0, 121950.0, 123366.0, 125368.0, 127852.0, 130081.0,
            ],
            std::array::from_fn(|i| 1947.0 + i as f64),
        ];
        let fit = LeastSquares::fit(&columns.each_ref().map(|column| column.as_slice()), &y).unwrap();
        let certified = [
            15.0618722713733,
            -0.358191792925910e-01,
            -2.02022980381683,
            -1.03322686717359,
            -0.511041056535807e-01,
            1829.15146461355,
        ];
        for (found, certified) in fit.coefficients().iter().zip(certified) {
            assert!((found / certified - 1.0).abs() < 1e-9, "{found} is not {certified}");
        }
        let at_zero = fit.predict(&[[0.0].as_slice(); 6]).unwrap()[0];
        assert!((at_zero / -3482258.63459582 - 1.0).abs() < 1e-9);
    }
}

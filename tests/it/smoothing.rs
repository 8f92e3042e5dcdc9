//! What must hold of smoothing, for any frame: nothing is lost, nothing crosses the price, and how fine the cells are
//! changes what is seen by no more than a cell can.

use liqsql::model::grid::Grid;
use liqsql::model::side::Side;
use liqsql::model::smooth::Smoother;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::{check, near};

/// Cells of one side as (position, USD), a price on their far side, a step and a width.
#[derive(Debug, Clone)]
struct Standing {
    side: Side,
    step: f64,
    price: f64,
    sigma: f64,
    cells: Vec<(i64, f64)>,
}

fn standing() -> impl Strategy<Value = Standing> {
    let step = prop_oneof![Just(0.1), Just(1.0), Just(50.0), 0.001..100.0f64];
    let sigma = prop_oneof![Just(0.0025), Just(0.01), 1e-5..0.1f64];
    let cells = prop::collection::btree_map(0i64..400, 0.0..1e8f64, 1..60);
    (any::<bool>(), step, 500i64..20_000, 0.0..1.0f64, sigma, cells).prop_map(
        |(long, step, at, inside, sigma, cells)| {
            let side = if long { Side::Long } else { Side::Short };
            let mut cells: Vec<(i64, f64)> =
                cells.into_iter().map(|(away, usd)| (at - away * side.sign() as i64, usd)).collect();
            cells.sort_by_key(|(index, _)| *index);
            Standing { side, step, price: (at as f64 + inside) * step, sigma, cells }
        },
    )
}

fn spread(grid: Grid, standing: &Standing, cells: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let mut out = Vec::new();
    Smoother::new(grid, standing.sigma).spread(standing.side, Some(standing.price), cells, &mut out).unwrap();
    out
}

#[test]
fn smoothing_loses_nothing_and_stays_on_its_side() {
    check(31, 400, standing(), |standing| {
        let grid = Grid::new(standing.step);
        let out = spread(grid.clone(), &standing, &standing.cells);
        let total = |cells: &[(i64, f64)]| cells.iter().map(|(_, usd)| usd).sum::<f64>();
        prop_assert!(near(total(&out), total(&standing.cells), 1e-12));
        prop_assert!(out.is_sorted_by(|a, b| a.0 < b.0) && out.iter().all(|(_, usd)| *usd > 0.0));
        for (index, _) in &out {
            match standing.side {
                Side::Long => prop_assert!(grid.price_low(*index) <= standing.price, "{index}"),
                Side::Short => prop_assert!(grid.price_low(index + 1) >= standing.price, "{index}"),
            }
        }
        Ok(())
    });
}

#[test]
fn smoothing_is_the_sum_of_its_parts() {
    check(32, 200, standing(), |standing| {
        let whole = spread(Grid::new(standing.step), &standing, &standing.cells);
        let (a, b) = standing.cells.split_at(standing.cells.len() / 2);
        let parts = [spread(Grid::new(standing.step), &standing, a), spread(Grid::new(standing.step), &standing, b)];
        for (index, usd) in whole {
            let sum: f64 = parts.iter().flatten().filter(|(i, _)| *i == index).map(|(_, usd)| usd).sum();
            prop_assert!((usd - sum).abs() <= 1e-9 * (usd + 1.0), "{index}: {usd} of {sum}");
        }
        Ok(())
    });
}

#[test]
fn coarse_cells_see_the_same_to_within_a_cell() {
    // A level is moved by at most half a coarse cell, and the density of a cut normal distribution is at most
    // 2 / (σ √2π): so no cumulative share differs by more than the product.
    check(33, 200, standing(), |standing| {
        const COARSE: i64 = 5;
        let fine = spread(Grid::new(standing.step), &standing, &standing.cells);
        let mut joined: Vec<(i64, f64)> = Vec::new();
        for (index, usd) in &standing.cells {
            let coarse = index.div_euclid(COARSE);
            match joined.last_mut() {
                Some(last) if last.0 == coarse => last.1 += usd,
                _ => joined.push((coarse, *usd)),
            }
        }
        let coarse = spread(Grid::new(standing.step * COARSE as f64), &standing, &joined);
        let total: f64 = joined.iter().map(|(_, usd)| usd).sum();
        let low = standing.cells.iter().map(|(index, _)| *index).min().unwrap_or(0) as f64 * standing.step;
        let moved = (standing.step * COARSE as f64 / low).ln_1p();
        let bound = 2.0 * moved / (standing.sigma * (2.0 * std::f64::consts::PI).sqrt()) + 2e-4;
        for (limit, _) in &coarse {
            let below = |cells: &[(i64, f64)], limit: i64| {
                cells.iter().filter(|(index, _)| *index < limit).map(|(_, usd)| usd).sum::<f64>()
            };
            let difference = (below(&coarse, *limit) - below(&fine, limit * COARSE)).abs() / total.max(1e-300);
            prop_assert!(difference <= bound, "{difference} of {bound} at {limit}");
        }
        Ok(())
    });
}

#[test]
fn smoothing_does_not_depend_on_the_unit_of_the_price() {
    let factor = select(vec![1e-6, 0.125, 3.0, 1000.0]);
    check(34, 200, (standing(), factor), |(standing, factor)| {
        let scaled = Standing { step: standing.step * factor, price: standing.price * factor, ..standing.clone() };
        let out = spread(Grid::new(standing.step), &standing, &standing.cells);
        let other = spread(Grid::new(scaled.step), &scaled, &scaled.cells);
        let total: f64 = out.iter().map(|(_, usd)| usd).sum();
        for (index, usd) in &out {
            let same: f64 = other.iter().filter(|(i, _)| i == index).map(|(_, usd)| usd).sum();
            prop_assert!((usd - same).abs() <= 1e-9 * total, "{index}: {usd} and {same}");
        }
        Ok(())
    });
}

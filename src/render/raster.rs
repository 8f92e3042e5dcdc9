//! Fits a grid of any size to the cells of a picture by taking maxima.
//!
//! A level is one row of thousands: the mean over the rows that share a character would wash it out, and picking one
//! row would lose it. Every source row lies in exactly one target row (the one its centre is in), so that a level never
//! becomes thicker than it must.

use std::ops::Range;

/// Which of `count` source cells of size `step` from `origin` on fall on each of `targets` equal parts of `low..high`.
///
/// Empty ranges are parts outside the source. Where parts are smaller than cells, a cell is repeated.
pub(super) fn spans(origin: f64, step: f64, count: usize, low: f64, high: f64, targets: usize) -> Vec<Range<usize>> {
    let part = (high - low) / targets as f64;
    let clamp = |index: f64| index.clamp(0.0, count as f64) as usize;
    (0..targets)
        .map(|target| {
            let from = (low + part * target as f64 - origin) / step;
            let to = from + part / step;
            // Cells whose centre, index + 0.5, lies within from..to.
            let range = clamp((from - 0.5).ceil())..clamp((to - 0.5).ceil());
            if !range.is_empty() {
                return range;
            }
            let middle = ((from + to) / 2.0).floor();
            if middle >= 0.0 && middle < count as f64 { middle as usize..middle as usize + 1 } else { 0..0 }
        })
        .collect()
}

/// The largest cell of a rectangle of a grid stored column by column.
pub(super) fn largest(cells: &[f64], rows: usize, columns: &Range<usize>, within: &Range<usize>) -> f64 {
    columns
        .clone()
        .filter_map(|column| cells.get(column * rows + within.start..column * rows + within.end))
        .flatten()
        .fold(0.0, |largest, &cell| if cell > largest { cell } else { largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_every_cell_once() {
        let spans = spans(0.0, 1.0, 7, 0.0, 7.0, 3);
        assert_eq!(spans, [0..2, 2..5, 5..7]);
    }

    #[test]
    fn growing_repeats_cells() {
        assert_eq!(spans(0.0, 1.0, 2, 0.0, 2.0, 6), [0..1, 0..1, 0..1, 1..2, 1..2, 1..2]);
    }

    #[test]
    fn parts_outside_the_source_are_empty() {
        let spans = spans(10.0, 1.0, 2, 8.0, 14.0, 6);
        assert_eq!(spans.iter().filter(|span| span.is_empty()).count(), 4);
        assert_eq!(spans[2..4], [0..1, 1..2]);
    }

    #[test]
    fn one_bright_cell_among_thousands_survives() {
        let (columns, rows) = (1_000, 500);
        let mut cells = vec![0.0; columns * rows];
        cells[777 * rows + 123] = 5.0;
        let across = spans(0.0, 1.0, columns, 0.0, columns as f64, 80);
        let along = spans(0.0, 1.0, rows, 0.0, rows as f64, 20);
        let lit: Vec<(usize, usize)> = (0..80)
            .flat_map(|x| (0..20).map(move |y| (x, y)))
            .filter(|&(x, y)| largest(&cells, rows, &across[x], &along[y]) == 5.0)
            .collect();
        assert_eq!(lit, [(62, 4)]);
    }
}

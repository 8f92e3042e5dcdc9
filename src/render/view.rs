//! Which part of a heatmap is seen, what the threshold hides, and how the brightest colour is chosen.
//!
//! In: a [`Heatmap`] and the [`Options`]. Out: the prices of the picture's lower and upper edge, what the threshold
//! hides, and the notional that is drawn in full yellow. Nothing here knows of characters or pixels.

use std::ops::Range;

use super::frame::{Heatmap, Map, PriceAxis};
use super::{Options, Prices, RenderError, axis};

/// Share of the drawn cells that are not brighter than full yellow: a single giant must not darken all others.
pub(super) const BRIGHTEST: f64 = 0.995;

/// The part of a heatmap that is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    pub(super) visible: Visible,
    /// Price at the lower edge of the picture.
    pub(super) low: f64,
    /// Price at the upper edge.
    pub(super) high: f64,
}

impl View {
    /// # Errors
    ///
    /// There are no cells, or nothing stands at the prices asked for.
    pub(super) fn of(heatmap: &Heatmap, options: &Options) -> Result<Self, RenderError> {
        let axis = heatmap.price;
        if heatmap.time.count == 0 || axis.count == 0 || heatmap.cells.is_empty() {
            return Err(RenderError::Empty { reason: "the heatmap has no cells".to_owned() });
        }
        let prices = options.prices.map(|prices| prices.around(heatmap.last_price())).transpose()?;
        let within = match prices {
            Some((low, high)) => rows_within(axis, low, high),
            None => 0..axis.count,
        };
        let Some(visible) = Visible::of(heatmap, &within, options.threshold) else {
            return Err(nothing_at_these_prices(axis.low, axis.high(), prices));
        };
        let (low, high) = prices.unwrap_or_else(|| {
            let low = axis.low + axis.step * visible.rows.0 as f64;
            let high = axis.low + axis.step * visible.rows.1 as f64;
            with_price(low, high, heatmap)
        });
        Ok(Self { visible, low, high })
    }
}

/// A share of the price in an error.
pub(super) fn share_given(share: f64) -> String {
    format!("{} %", axis::given(share * 100.0))
}

impl Prices {
    /// The lower and the upper price.
    ///
    /// # Errors
    ///
    /// A share of a price that is not known.
    pub(super) fn around(self, current: Option<f64>) -> Result<(f64, f64), RenderError> {
        match (self, current) {
            (Self::Between(low, high), _) => Ok((low, high)),
            (Self::Around(share), Some(price)) => Ok(((price * (1.0 - share)).max(0.0), price * (1.0 + share))),
            (Self::Around(share), None) => Err(RenderError::InvalidOption {
                option: "prices",
                allowed: "two prices, as the rows have no 'price'",
                was: share_given(share),
            }),
        }
    }
}

/// The rows of a map that are seen, in the order of the map.
///
/// # Errors
///
/// There are no rows, or nothing stands at the prices asked for.
pub(super) fn rows_of_map(map: &Map, options: &Options) -> Result<Vec<usize>, RenderError> {
    if map.rows.is_empty() {
        return Err(RenderError::Empty { reason: "the map has no rows".to_owned() });
    }
    let prices = options.prices.map(|prices| prices.around(map.current)).transpose()?;
    let is_within = |index: &usize| {
        let middle = (map.rows[*index].low + map.rows[*index].high) / 2.0;
        prices.is_none_or(|(low, high)| middle >= low && middle < high)
    };
    let rows: Vec<usize> = (0..map.rows.len()).filter(is_within).collect();
    if rows.iter().all(|&index| map.rows[index].long_usd + map.rows[index].short_usd <= 0.0) {
        let lowest = map.rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
        let highest = map.rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
        return Err(nothing_at_these_prices(lowest, highest, prices));
    }
    Ok(rows)
}

/// What the threshold leaves of a heatmap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Visible {
    /// Cells below this are hidden.
    pub(super) threshold_usd: f64,
    /// Cells with something in them.
    pub(super) cells: usize,
    /// Those below the threshold.
    pub(super) hidden: usize,
    /// The largest cell within.
    pub(super) max_usd: f64,
    /// Rows of the grid, lowest and one past the highest, in which something is visible.
    pub(super) rows: (usize, usize),
}

impl Visible {
    pub(super) fn of(heatmap: &Heatmap, within: &Range<usize>, threshold: f64) -> Option<Self> {
        let cells = || {
            heatmap
                .cells
                .chunks_exact(heatmap.price.count)
                .flat_map(|column| column[within.clone()].iter().enumerate())
                .filter(|(_, usd)| **usd > 0.0)
                .map(|(row, &usd)| (row + within.start, usd))
        };
        let (mut count, mut sum, mut max_usd) = (0usize, 0.0, 0.0f64);
        for (_, usd) in cells() {
            count += 1;
            sum += usd;
            max_usd = max_usd.max(usd);
        }
        if count == 0 {
            return None;
        }
        // A heatmap in which all cells are equal must not vanish under a threshold above one.
        let threshold_usd = (threshold * sum / count as f64).min(max_usd);
        let (mut hidden, mut rows) = (0, (usize::MAX, 0));
        for (row, usd) in cells() {
            if usd < threshold_usd {
                hidden += 1;
            } else {
                rows = (rows.0.min(row), rows.1.max(row + 1));
            }
        }
        Some(Self { threshold_usd, cells: count, hidden, max_usd, rows })
    }
}

/// Rows whose centre lies between two prices.
pub(super) fn rows_within(axis: PriceAxis, low: f64, high: f64) -> Range<usize> {
    let row = |price: f64| (((price - axis.low) / axis.step - 0.5).ceil().clamp(0.0, axis.count as f64)) as usize;
    row(low)..row(high)
}

pub(super) fn nothing_at_these_prices(low: f64, high: f64, prices: Option<(f64, f64)>) -> RenderError {
    let found = format!(
        "{} to {}",
        axis::decimal(low, axis::price_decimals(low)),
        axis::decimal(high, axis::price_decimals(high))
    );
    let reason = match prices {
        Some((from, to)) => {
            let (from, to) = (axis::given(from), axis::given(to));
            format!("no cell between the 'prices' {from} and {to}, the rows have {found}")
        }
        None => format!("no cell at the prices {found}"),
    };
    RenderError::Empty { reason }
}

/// Widens the view so that the price is in it, by at most a fifth on each side: rows that were filtered to a narrow band
/// are meant to fill the picture even if price was elsewhere for most of the time.
fn with_price(low: f64, high: f64, heatmap: &Heatmap) -> (f64, f64) {
    let margin = (high - low) / 5.0;
    let candles = heatmap.candles.iter().flatten().flat_map(|candle| [candle.low, candle.high]);
    let prices = heatmap.current.iter().flatten().copied().chain(candles);
    let (lowest, highest) =
        prices.fold((low, high), |(lowest, highest), price| (price.min(lowest), price.max(highest)));
    (lowest.max(low - margin), highest.min(high + margin))
}

/// The notional that is drawn in full yellow.
pub(super) fn brightest(pooled: &[Option<f64>], visible: Visible) -> f64 {
    let mut drawn: Vec<f64> =
        pooled.iter().flatten().copied().filter(|usd| *usd > 0.0 && *usd >= visible.threshold_usd).collect();
    let index = (drawn.len().saturating_sub(1) as f64 * BRIGHTEST).round() as usize;
    if index >= drawn.len() {
        return visible.max_usd;
    }
    *drawn.select_nth_unstable_by(index, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::super::{Frame, Paper, Screen, to_html, to_png, to_svg, to_text};
    use super::*;

    /// Two columns of four prices.
    fn grid(cells: Vec<f64>) -> Heatmap {
        Heatmap { cells, ..samples::heatmap(2, 4) }
    }

    #[test]
    fn what_is_empty_is_an_error_in_every_way_of_drawing() {
        let frames = [Frame::Heatmap(Heatmap::default()), Frame::Map(Map::default())];
        let (options, paper) = (Options::default(), Paper::default());
        for (frame, noun) in frames.iter().zip(["heatmap has no cells", "map has no rows"]) {
            let messages = [
                to_text(frame, &options, Screen::default()).unwrap_err(),
                to_png(frame, &options, paper).unwrap_err(),
                to_svg(frame, &options, paper).unwrap_err(),
                to_html(std::slice::from_ref(frame), &options).unwrap_err(),
            ];
            let expected = format!("render: nothing to draw: the {noun}");
            assert!(messages.iter().all(|error| error.to_string() == expected), "{messages:?}");
        }
        // A grid that is said to be larger than it is has what it has.
        let short = Heatmap { cells: vec![1.0; 3], ..grid(vec![0.0; 8]) };
        assert!(matches!(View::of(&short, &options), Err(RenderError::Empty { .. })));
    }

    #[test]
    fn prices_asked_for_are_written_shortly() {
        let heatmap = Heatmap { current: vec![Some(82_533.5), None], ..grid(vec![1.0; 8]) };
        let options = Options { prices: Some(Prices::Around(0.1)), ..Options::default() };
        let error = View::of(&heatmap, &options).unwrap_err().to_string();
        assert!(error.contains("no cell between the 'prices' 74280.15 and 90786.85, the rows have"), "{error}");
    }

    #[test]
    fn the_threshold_is_a_share_of_the_mean_of_cells_that_are_not_empty() {
        let heatmap = grid(vec![0.0, 1.0, 9.0, 0.0, 0.0, 0.0, 5.0, 0.0]);
        let visible = Visible::of(&heatmap, &(0..4), 0.8).unwrap();
        // The mean of 1, 9 and 5 is 5.
        let expected = Visible { threshold_usd: 4.0, cells: 3, hidden: 1, max_usd: 9.0, rows: (2, 3) };
        assert_eq!(visible, expected);
        assert_eq!(Visible::of(&heatmap, &(3..4), 0.8), None);
        // Above the largest cell a threshold would hide all.
        assert_eq!(Visible::of(&heatmap, &(0..4), 100.0).unwrap().threshold_usd, 9.0);
    }
}

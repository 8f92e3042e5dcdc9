//! Where a stop would stand among the liquidations of others.
//!
//! In: the cells of a frame, its price, and the position whose stop is to be placed: side, entry, the largest loss that
//! is accepted. Out: equal price bands from the entry to that loss, each with what stands in it on the same side of the
//! market.
//!
//! ```text
//!                     a long, entry 100, largest loss 5 %, 5 bands
//!   95 ├────5────┼────4────┼────3────┼────2────┼────1────┤ 100
//!      clear      crowded   clear     clear     passed ◄── price 98.9: a stop there would have been hit
//! ```
//!
//! - exposure: USD of the same side within the band ([`PriceCell::usd_between`]: a cell that overlaps partly gives its
//!   share by price within its own part). Cumulative: the same from the current price to the far edge of the band, what
//!   is liquidated on the way there.
//! - passed: the whole band lies at or beyond the price. It holds nothing and has neither rank nor share.
//! - crowded: exposure above zero and at least `threshold` × the mean exposure of the bands that are not passed.
//! - rank: 1 is the least exposure; of equal ones the band nearer to the entry comes first.
//!
//! Invariants: bands do not overlap and cover the range, so exposures sum up to what stands in the range beyond the
//! price; shares sum up to 1.
//!
//! What it says: how much forced selling (of longs; buying, of shorts) would stand around a stop, so that a stop in a
//! crowded band is filled among it, at worse prices. What it does not say: that price goes there, that it turns there,
//! or where other people's stops are: a map knows liquidations only.
//!
//! [`PriceCell::usd_between`]: super::snapshot::PriceCell::usd_between

use super::side::Side;
use super::snapshot::Snapshot;

/// The position whose stop is to be placed, and how the range is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRange {
    /// Side of the position.
    pub side: Side,
    /// Its entry, quote per base.
    pub entry_price: f64,
    /// Largest loss that is accepted, as a fraction of the entry; at most 1.
    pub max_loss: f64,
    /// Number of bands, at least 1.
    pub bands: usize,
    /// A band is crowded from this many times the mean exposure on.
    pub threshold: f64,
}

/// What a band is to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Less stands in it than in a crowded one.
    Clear,
    /// Much stands in it.
    Crowded,
    /// Price is already beyond.
    Passed,
}

impl Verdict {
    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Clear => "clear",
            Verdict::Crowded => "crowded",
            Verdict::Passed => "passed",
        }
    }
}

/// One price band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopZone {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Fraction of the entry that is lost at the middle of the band.
    pub loss: f64,
    /// What stands in it on the same side.
    pub exposure_usd: f64,
    /// What stands between the current price and its far edge.
    pub cumulative_usd: f64,
    /// Its part of the exposure of all bands; `None` if passed, or where nothing stands in any.
    pub share: Option<f64>,
    /// 1 is the least exposure; `None` if passed.
    pub rank: Option<usize>,
    /// What it is to a stop.
    pub verdict: Verdict,
}

/// Cuts the range into bands, nearest to the entry first.
///
/// ```
/// use liqsql::model::side::Side;
/// use liqsql::model::snapshot::{PriceCell, Snapshot};
/// use liqsql::model::stop_zones::{StopRange, Verdict, stop_zones};
///
/// // 60 USD of longs between 96 and 98, the price at the entry of 100: two bands down to 96.
/// let cells = vec![PriceCell { side: Side::Long, leverage: None, low: 96.0, high: 98.0, usd: 60.0 }];
/// let snapshot = Snapshot { ts: 0, price: Some(100.0), cells };
/// let range = StopRange { side: Side::Long, entry_price: 100.0, max_loss: 0.04, bands: 2, threshold: 0.85 };
/// let zones = stop_zones(&snapshot, 100.0, &range);
/// assert_eq!((zones[0].low, zones[0].high, zones[0].verdict, zones[0].rank), (98.0, 100.0, Verdict::Clear, Some(1)));
/// assert_eq!((zones[1].exposure_usd, zones[1].verdict, zones[1].rank), (60.0, Verdict::Crowded, Some(2)));
/// ```
pub fn stop_zones(snapshot: &Snapshot, price: f64, range: &StopRange) -> Vec<StopZone> {
    let cells = snapshot.side(range.side);
    let between = |low: f64, high: f64| cells.iter().map(|cell| cell.usd_between(Some(price), low, high)).sum::<f64>();
    let outward = -range.side.sign();
    let edge = |band: usize| {
        let loss = range.max_loss * band as f64 / range.bands as f64;
        range.entry_price * (1.0 + outward * loss)
    };
    // Where the price has not reached the entry, what stands between them is on the way to every band.
    let mut cumulative_usd = match range.side {
        Side::Long => between(range.entry_price, f64::INFINITY),
        Side::Short => between(0.0, range.entry_price),
    };
    let mut zones: Vec<StopZone> = (0..range.bands)
        .map(|band| {
            let (near, far) = (edge(band), edge(band + 1));
            let (low, high) = (near.min(far), near.max(far));
            let passed = match range.side {
                Side::Long => low >= price,
                Side::Short => high <= price,
            };
            let exposure_usd = between(low, high);
            cumulative_usd += exposure_usd;
            StopZone {
                low,
                high,
                loss: range.max_loss * (band as f64 + 0.5) / range.bands as f64,
                exposure_usd,
                cumulative_usd,
                share: None,
                rank: None,
                verdict: if passed { Verdict::Passed } else { Verdict::Clear },
            }
        })
        .collect();
    let mut standing: Vec<&mut StopZone> = zones.iter_mut().filter(|zone| zone.verdict != Verdict::Passed).collect();
    let total: f64 = standing.iter().map(|zone| zone.exposure_usd).sum();
    // Bands of one exposure differ by rounding: what differs by less than a billionth of all is equal.
    let rounding = 1e-9 * total;
    let crowd = range.threshold * total / standing.len().max(1) as f64 - rounding;
    let rounded = |zone: &StopZone| if total > 0.0 { (zone.exposure_usd / rounding).round() } else { 0.0 };
    // A stable sort: of equal bands the one nearer to the entry stays first.
    standing.sort_by(|a, b| rounded(a).total_cmp(&rounded(b)));
    for (place, zone) in standing.into_iter().enumerate() {
        zone.rank = Some(place + 1);
        zone.share = (total > 0.0).then(|| zone.exposure_usd / total);
        if zone.exposure_usd > 0.0 && zone.exposure_usd >= crowd {
            zone.verdict = Verdict::Crowded;
        }
    }
    zones
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::PriceCell;
    use super::*;

    fn cell(side: Side, low: f64, high: f64, usd: f64) -> PriceCell {
        PriceCell { side, leverage: None, low, high, usd }
    }

    fn range(side: Side, entry_price: f64) -> StopRange {
        StopRange { side, entry_price, max_loss: 0.04, bands: 4, threshold: 0.85 }
    }

    fn run(cells: &[PriceCell], price: f64, range: &StopRange) -> Vec<StopZone> {
        let mut snapshot = Snapshot { ts: 0, price: Some(price), cells: cells.to_vec() };
        snapshot.sort();
        stop_zones(&snapshot, price, range)
    }

    #[test]
    fn bands_that_hold_the_same_are_judged_the_same() {
        let range = StopRange { side: Side::Long, entry_price: 82_345.6, max_loss: 0.07, bands: 20, threshold: 1.0 };
        let zones = run(&[cell(Side::Long, 70_000.0, 82_345.6, 1_234_567.0)], 82_345.6, &range);
        assert!(zones.iter().all(|zone| zone.verdict == Verdict::Crowded));
        assert!(zones.iter().map(|zone| zone.rank).eq((1..=20).map(Some)));
    }

    /// Bands of a long from 100: [99, 100], [98, 99], [97, 98], [96, 97].
    #[test]
    fn bands_hold_their_share_of_a_cell() {
        let cells = [cell(Side::Long, 96.5, 98.5, 80.0), cell(Side::Short, 96.0, 104.0, 999.0)];
        let zones = run(&cells, 100.0, &range(Side::Long, 100.0));
        let exposure: Vec<f64> = zones.iter().map(|zone| zone.exposure_usd).collect();
        assert_eq!(exposure, [0.0, 20.0, 40.0, 20.0]);
        let cumulative: Vec<f64> = zones.iter().map(|zone| zone.cumulative_usd).collect();
        assert_eq!(cumulative, [0.0, 20.0, 60.0, 80.0]);
        // The mean is 20: from 17 on a band is crowded. The two of 20 are equal, the nearer one comes first.
        let verdicts: Vec<&str> = zones.iter().map(|zone| zone.verdict.name()).collect();
        assert_eq!(verdicts, ["clear", "crowded", "crowded", "crowded"]);
        let ranks: Vec<Option<usize>> = zones.iter().map(|zone| zone.rank).collect();
        assert_eq!(ranks, [Some(1), Some(2), Some(4), Some(3)]);
        let shares: Vec<Option<f64>> = zones.iter().map(|zone| zone.share).collect();
        assert_eq!(shares, [Some(0.0), Some(0.25), Some(0.5), Some(0.25)]);
        assert!((zones[0].loss - 0.005).abs() < 1e-12 && (zones[3].loss - 0.035).abs() < 1e-12);
    }

    #[test]
    fn what_price_has_passed_is_no_place_for_a_stop() {
        let cells = [cell(Side::Long, 96.0, 100.0, 40.0)];
        let zones = run(&cells, 97.5, &range(Side::Long, 100.0));
        let verdicts: Vec<&str> = zones.iter().map(|zone| zone.verdict.name()).collect();
        assert_eq!(verdicts, ["passed", "passed", "clear", "crowded"]);
        assert_eq!(
            (zones[0].rank, zones[0].share, zones[0].exposure_usd, zones[0].cumulative_usd),
            (None, None, 0.0, 0.0)
        );
        // The longs' part of the cell is [96, 97.5]: a third of it in the band of the price, two thirds in the last.
        assert!((zones[2].exposure_usd - 40.0 / 3.0).abs() < 1e-9 && (zones[3].exposure_usd - 80.0 / 3.0).abs() < 1e-9);
        // A price at the lower edge has passed the band, one at the upper edge has not.
        assert_eq!(run(&cells, 99.0, &range(Side::Long, 100.0))[0].verdict, Verdict::Passed);
        assert_ne!(run(&cells, 99.0, &range(Side::Long, 100.0))[1].verdict, Verdict::Passed);
        let all = run(&cells, 90.0, &range(Side::Long, 100.0));
        assert!(all.iter().all(|zone| zone.verdict == Verdict::Passed && zone.rank.is_none()));
    }

    #[test]
    fn what_stands_between_price_and_entry_is_on_the_way() {
        // The price is above a long's entry: 30 USD stand between.
        let cells = [cell(Side::Long, 101.0, 102.0, 30.0), cell(Side::Long, 99.0, 100.0, 10.0)];
        let zones = run(&cells, 103.0, &range(Side::Long, 100.0));
        assert_eq!((zones[0].exposure_usd, zones[0].cumulative_usd), (10.0, 40.0));
        assert_eq!((zones[3].exposure_usd, zones[3].cumulative_usd), (0.0, 40.0));
    }

    #[test]
    fn nothing_stands_anywhere() {
        let zones = run(&[], 100.0, &range(Side::Long, 100.0));
        assert!(zones.iter().all(|zone| zone.verdict == Verdict::Clear && zone.share.is_none()));
        assert_eq!(zones.iter().map(|zone| zone.rank).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_mirror_swaps_the_sides() {
        let cells = [cell(Side::Long, 96.25, 98.5, 80.0), cell(Side::Long, 98.5, 100.5, 7.0)];
        let images: Vec<PriceCell> =
            cells.iter().map(|c| cell(Side::Short, 200.0 - c.high, 200.0 - c.low, c.usd)).collect();
        let zones = run(&cells, 99.75, &range(Side::Long, 100.0));
        let images = run(&images, 100.25, &range(Side::Short, 100.0));
        for (zone, image) in zones.iter().zip(&images) {
            assert!((zone.low + image.high - 200.0).abs() < 1e-9 && (zone.high + image.low - 200.0).abs() < 1e-9);
            assert!((zone.exposure_usd - image.exposure_usd).abs() < 1e-9);
            assert!((zone.cumulative_usd - image.cumulative_usd).abs() < 1e-9);
            assert_eq!((zone.verdict, zone.rank), (image.verdict, image.rank));
        }
    }

    #[test]
    fn more_bands_are_parts_of_fewer() {
        let cells = [cell(Side::Short, 99.5, 101.3, 80.0), cell(Side::Short, 102.1, 103.7, 7.0)];
        let coarse = run(&cells, 100.2, &range(Side::Short, 100.0));
        let fine = run(&cells, 100.2, &StopRange { bands: 12, ..range(Side::Short, 100.0) });
        for (zone, parts) in coarse.iter().zip(fine.chunks(3)) {
            let sum: f64 = parts.iter().map(|part| part.exposure_usd).sum();
            assert!((zone.exposure_usd - sum).abs() < 1e-9);
            assert!((zone.cumulative_usd - parts[2].cumulative_usd).abs() < 1e-9);
        }
    }
}

//! Which neighbouring bright cells are one pool, and which pool of a later frame is the same one.
//!
//! In: the frames of one market in order of time. Out: the pools of each frame, with an identity that lasts.
//!
//! ```text
//!   USD            ▇█▆
//!          ▄▆▃   ▆▅███▆▂▆▇▅
//!   ·······███···██████▃███·······  bright: threshold × mean of the frame
//!   ▂▁     └1┘   └──2──┘└3┘    ▁▂   3 is cut off where the run falls below valley × the lesser of its two peaks
//! ```
//!
//! **A pool** is a run of neighbouring bright cells of one side. A cell is bright if it holds at least `threshold` × the
//! mean of all cells of the frame that hold anything, both sides together. Of a cell that contains the price only the
//! part on its side's own side counts, and holds everything. Neighbours touch (or overlap, which no grid of ours does).
//!
//! **A run is cut at its valleys.** Let the line sink from the highest cell: where two parts meet in a cell that holds
//! less than `valley` × the smaller of their peaks they stay two, and the cell between goes with its higher neighbour (so
//! do cells beside it that hold the same). Without this, a flat map gives pools that no trader would call so: with the
//! default assumptions the largest of a side spans 7 % of price (median over the hours of 45 days of BTCUSDT, cells of
//! 100 within 20 %); with 0.8 it spans 2.7 %.
//!
//! **Identity.** Remembered are the pools of the frame before and those last seen at most `memory` ago, each with the
//! cells that it had when it was last seen. What a remembered pool p and a current pool c of its side share is taken in
//! USD, so that it does not matter into which cells their frames cut the price:
//!
//! ```text
//!   shared(p, c) = Σ over overlapping cells   min(USD_p / width_p, USD_c / width_c) × length of the overlap
//! ```
//!
//! Pairs that share something are matched in order of falling shared USD, each pool once; at a tie the older pool comes
//! first, then the current one nearer to price. A matched pool keeps number and birth; one without a match is born now
//! and has the next number. So when a pool splits, the part that shares most keeps the number and the others are new, or
//! those again that they were before a merger; when pools merge, the number that shares most stays.
//!
//! A pool that is not seen is forgotten when `memory` is over, or as soon as a frame's price stands beyond its peak: it
//! was swept, and what stands there later is another wall. For a pool that was in the frame before no such rule is
//! needed: what price has passed is no part of the current frame, so there is nothing to share. A sweep between two
//! frames, price back before the second, is not seen.

use std::cmp::Ordering;
use std::ops::Range;

use super::side::Side;
use super::snapshot::{PriceCell, Snapshot};

/// Limits nearer than this fraction of the price are one limit.
const TOUCHING: f64 = 1e-9;

/// What a pool is, and for how long it is remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolRules {
    /// A cell is bright from this multiple of the mean of its frame.
    pub threshold: f64,
    /// A run is cut where it falls below this fraction of the lesser peak beside; 0 for never.
    pub valley: f64,
    /// Time for which a pool that is not seen is remembered, milliseconds.
    pub memory: i64,
}

/// A pool of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// Running number within the market, from 1, in order of birth.
    pub id: i64,
    /// Instant of the frame in which it was first seen, milliseconds since the epoch.
    pub born_ts: i64,
    /// The side of the positions.
    pub side: Side,
    /// Lower limit, quote per base.
    pub price_low: f64,
    /// Upper limit, quote per base.
    pub price_high: f64,
    /// Middle of the largest cell; of equal ones that nearest to price.
    pub peak_price: f64,
    /// USD that stand in it.
    pub usd: f64,
    /// `usd` of all that stands on its side in the frame, 0 to 1.
    pub share: f64,
    /// 1 for the largest of its side in the frame; of equal ones the nearer to price comes first.
    pub rank: i64,
}

/// A pool as it was last seen.
#[derive(Debug, Clone)]
struct Remembered {
    id: i64,
    born_ts: i64,
    seen_ts: i64,
    side: Side,
    peak_price: f64,
    cells: Vec<PriceCell>,
}

impl Remembered {
    /// Whether price has gone through the peak.
    fn is_swept(&self, price: Option<f64>) -> bool {
        price.is_some_and(|price| match self.side {
            Side::Long => price < self.peak_price,
            Side::Short => price > self.peak_price,
        })
    }
}

/// The pools of one market, frame after frame.
///
/// Invariants: the same frames give the same pools; every bright cell is in exactly one pool; a number is never given
/// twice. What is remembered is bounded by the pools that were seen within `memory`.
///
/// ```
/// use liqsql::model::pools::{PoolRules, Pools};
/// use liqsql::model::side::Side;
/// use liqsql::model::snapshot::{PriceCell, Snapshot};
///
/// let cell = |low: f64, usd| PriceCell { side: Side::Short, leverage: None, low, high: low + 1.0, usd };
/// let frame = |ts, cells| Snapshot { ts, price: Some(100.0), cells };
/// let mut pools = Pools::new(PoolRules { threshold: 0.85, valley: 0.8, memory: 86_400_000 });
///
/// // The mean is 4: two cells at 105 are bright, then a third beside them.
/// let first = pools.frame(&frame(0, vec![cell(105.0, 5.0), cell(106.0, 6.0), cell(120.0, 1.0)]))[0];
/// assert_eq!((first.id, first.price_low, first.price_high, first.peak_price), (1, 105.0, 107.0, 106.5));
/// assert_eq!((first.usd, first.share, first.rank), (11.0, 11.0 / 12.0, 1));
/// let second = pools.frame(&frame(3_600_000, vec![cell(105.0, 5.0), cell(106.0, 6.0), cell(107.0, 7.0)]))[0];
/// assert_eq!((second.id, second.born_ts, second.price_high), (1, 0, 108.0));
/// ```
#[derive(Debug, Clone)]
pub struct Pools {
    rules: PoolRules,
    last_id: i64,
    last_ts: Option<i64>,
    /// In order of their numbers.
    remembered: Vec<Remembered>,
    /// Cells of the frame, on their own side of the price.
    cells: Vec<PriceCell>,
    /// Where the pools of the frame stand among them.
    places: Vec<Range<usize>>,
    pools: Vec<Pool>,
}

impl Pools {
    /// Makes pools that have seen nothing.
    pub fn new(rules: PoolRules) -> Pools {
        Pools {
            rules,
            last_id: 0,
            last_ts: None,
            remembered: Vec::new(),
            cells: Vec::new(),
            places: Vec::new(),
            pools: Vec::new(),
        }
    }

    /// Takes the next frame and returns its pools: longs first, each side by rising price.
    ///
    /// The snapshot is sorted, its leverages are joined, and it is later than the one before.
    pub fn frame(&mut self, snapshot: &Snapshot) -> &[Pool] {
        self.cells.clear();
        self.cells.extend(snapshot.cells.iter().filter_map(|cell| {
            let (low, high) = cell.own_part(snapshot.price);
            (cell.usd > 0.0 && high - low > TOUCHING * high).then_some(PriceCell { low, high, ..*cell })
        }));
        self.find();
        self.recognise(snapshot.ts, snapshot.price);
        &self.pools
    }

    /// Finds the pools of the frame.
    fn find(&mut self) {
        let Pools { rules, cells, places, pools, .. } = self;
        places.clear();
        pools.clear();
        let mean = cells.iter().map(|cell| cell.usd).sum::<f64>() / cells.len() as f64;
        // The mean of equal cells may come out a hair above them.
        let bright = rules.threshold * mean * (1.0 - 1e-12);
        let shorts = cells.partition_point(|cell| cell.side == Side::Long);
        for (side, range) in [(Side::Long, 0..shorts), (Side::Short, shorts..cells.len())] {
            let first = pools.len();
            let standing: f64 = cells[range.clone()].iter().map(|cell| cell.usd).sum();
            find_runs(cells, range, bright, rules.valley, places);
            pools.extend(places[first..].iter().map(|place| measure(side, &cells[place.clone()], standing)));
            rank(side, &mut pools[first..]);
        }
    }

    /// Gives the pools of the frame their numbers.
    fn recognise(&mut self, ts: i64, price: Option<f64>) {
        let (memory, last_ts) = (self.rules.memory, self.last_ts.replace(ts));
        self.remembered.retain(|pool| {
            Some(pool.seen_ts) == last_ts || (ts.saturating_sub(pool.seen_ts) <= memory && !pool.is_swept(price))
        });
        let mut known = vec![false; self.remembered.len()];
        for Pair { remembered, current, .. } in self.pairs() {
            let pool = &mut self.pools[current];
            if known[remembered] || pool.id != 0 {
                continue;
            }
            known[remembered] = true;
            let place = self.places[current].clone();
            let before = &mut self.remembered[remembered];
            (pool.id, pool.born_ts) = (before.id, before.born_ts);
            before.seen_ts = ts;
            before.peak_price = pool.peak_price;
            before.cells.clear();
            before.cells.extend_from_slice(&self.cells[place]);
        }
        for (pool, place) in self.pools.iter_mut().zip(&self.places).filter(|(pool, _)| pool.id == 0) {
            self.last_id += 1;
            (pool.id, pool.born_ts) = (self.last_id, ts);
            self.remembered.push(Remembered {
                id: pool.id,
                born_ts: ts,
                seen_ts: ts,
                side: pool.side,
                peak_price: pool.peak_price,
                cells: self.cells[place.clone()].to_vec(),
            });
        }
        self.remembered.retain(|pool| pool.seen_ts == ts || !pool.is_swept(price));
    }

    /// Returns the pairs of a remembered and a current pool that share something, those that share most first.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (remembered, before) in self.remembered.iter().enumerate() {
            let (Some(lowest), Some(highest)) = (before.cells.first(), before.cells.last()) else { continue };
            // Current pools stand in order, so those that overlap are neighbours.
            let first = self.pools.partition_point(|pool| (pool.side, pool.price_high) <= (before.side, lowest.low));
            for (current, pool) in self.pools.iter().enumerate().skip(first) {
                if pool.side != before.side || pool.price_low >= highest.high {
                    break;
                }
                let usd = shared(&before.cells, &self.cells[self.places[current].clone()]);
                if usd > 0.0 {
                    let place = current as isize;
                    let nearness = if pool.side == Side::Long { place } else { -place };
                    // Single precision: sums that differ by rounding alone are a tie.
                    pairs.push(Pair { usd: usd as f32, remembered, current, nearness });
                }
            }
        }
        let older_then_nearer = |a: &Pair, b: &Pair| a.remembered.cmp(&b.remembered).then(b.nearness.cmp(&a.nearness));
        pairs.sort_by(|a, b| b.usd.total_cmp(&a.usd).then_with(|| older_then_nearer(a, b)));
        pairs
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let cells = self.remembered.iter().map(|pool| pool.cells.capacity()).sum::<usize>() + self.cells.capacity();
        cells * size_of::<PriceCell>()
            + self.remembered.capacity() * size_of::<Remembered>()
            + self.places.capacity() * size_of::<Range<usize>>()
            + self.pools.capacity() * size_of::<Pool>()
    }
}

/// A remembered pool that may be a current one.
#[derive(Debug)]
struct Pair {
    usd: f32,
    remembered: usize,
    current: usize,
    /// The greater the nearer to price, among the current pools of a side.
    nearness: isize,
}

/// Finds the runs of bright cells of one side, cut at their valleys.
fn find_runs(cells: &[PriceCell], side: Range<usize>, bright: f64, valley: f64, places: &mut Vec<Range<usize>>) {
    let mut next = side.start;
    while next < side.end {
        let start = next;
        next += 1;
        if cells[start].usd < bright {
            continue;
        }
        let mut reach = cells[start].high;
        while next < side.end && cells[next].usd >= bright && cells[next].low <= reach * (1.0 + TOUCHING) {
            reach = reach.max(cells[next].high);
            next += 1;
        }
        cut_at_valleys(cells, start..next, valley, places);
    }
}

/// Cuts a run, cell by cell in order of falling USD, at a tie the nearer to price first.
fn cut_at_valleys(cells: &[PriceCell], run: Range<usize>, valley: f64, places: &mut Vec<Range<usize>>) {
    let (start, cells) = (run.start, &cells[run]);
    let n = cells.len();
    let usd = |place: usize| cells[place].usd;
    let falling = cells[0].side == Side::Long;
    let mut order: Vec<usize> = (0..n).collect();
    if falling {
        order.reverse();
    }
    order.sort_by(|a, b| usd(*b).total_cmp(&usd(*a)));
    // What stands above the line, in parts: at both ends of each its other end and its peak.
    let mut parts: Vec<Option<(usize, f64)>> = vec![None; n];
    let mut cuts = Vec::new();
    for place in order {
        let below = place.checked_sub(1).and_then(|below| parts[below]);
        let above = parts.get(place + 1).copied().flatten();
        if let (Some((_, one)), Some((_, other))) = (below, above)
            && usd(place) < valley * one.min(other)
        {
            // Cells as low as this one beside it are the same valley, which a finer grid cuts into more of them.
            let level = usd(place);
            let low = (0..place).rev().find(|cell| usd(*cell) != level).map_or(0, |cell| cell + 1);
            let high = (place + 1..n).find(|cell| usd(*cell) != level).unwrap_or(n);
            let goes_up = match usd(low.saturating_sub(1)).total_cmp(&usd(high.min(n - 1))) {
                Ordering::Equal => falling,
                order => order.is_lt(),
            };
            cuts.push(if goes_up { low } else { high });
        }
        let (low, below_peak) = below.unwrap_or((place, 0.0));
        let (high, above_peak) = above.unwrap_or((place, 0.0));
        let peak = usd(place).max(below_peak).max(above_peak);
        parts[place] = Some((place, peak));
        parts[low] = Some((high, peak));
        parts[high] = Some((low, peak));
    }
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts.into_iter().chain([n]) {
        places.push(start + from..start + to);
        from = to;
    }
}

/// Measures a pool, which has no number and no rank yet; `standing` is what stands on its side.
fn measure(side: Side, cells: &[PriceCell], standing: f64) -> Pool {
    let usd = cells.iter().map(|cell| cell.usd).sum::<f64>();
    let mut pool = Pool {
        id: 0,
        born_ts: 0,
        side,
        price_low: f64::MAX,
        price_high: 0.0,
        peak_price: 0.0,
        usd,
        share: usd / standing,
        rank: 0,
    };
    let mut largest = 0.0;
    for cell in cells {
        pool.price_low = pool.price_low.min(cell.low);
        pool.price_high = pool.price_high.max(cell.high);
        // Of equal cells the last of a long is the nearest to price, the first of a short.
        if cell.usd > largest || (cell.usd == largest && side == Side::Long) {
            largest = cell.usd;
            pool.peak_price = cell.low + (cell.high - cell.low) / 2.0;
        }
    }
    pool
}

/// Ranks the pools of one side.
fn rank(side: Side, pools: &mut [Pool]) {
    let mut order: Vec<usize> = (0..pools.len()).collect();
    if side == Side::Long {
        order.reverse();
    }
    order.sort_by(|a, b| pools[*b].usd.total_cmp(&pools[*a].usd));
    for (place, rank) in order.into_iter().zip(1..) {
        pools[place].rank = rank;
    }
}

/// Returns the USD that two pools share.
fn shared(one: &[PriceCell], other: &[PriceCell]) -> f64 {
    let density = |cell: &PriceCell| cell.usd / (cell.high - cell.low);
    let (mut i, mut j, mut usd) = (0, 0, 0.0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        let (low, high) = (a.low.max(b.low), a.high.min(b.high));
        // The end of one cell may be a hair beyond the beginning of the next.
        if high - low > TOUCHING * high {
            usd += density(a).min(density(b)) * (high - low);
        }
        if a.high <= b.high {
            i += 1;
        } else {
            j += 1;
        }
    }
    usd
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const RULES: PoolRules = PoolRules { threshold: 0.85, valley: 0.8, memory: 24 * HOUR };

    /// Cells of one side, `step` wide, from a price on.
    fn wall(side: Side, from: f64, step: f64, usd: &[f64]) -> Vec<PriceCell> {
        let low = |i: usize| from + i as f64 * step;
        let cell =
            |(i, usd): (usize, &f64)| PriceCell { side, leverage: None, low: low(i), high: low(i + 1), usd: *usd };
        usd.iter().enumerate().map(cell).collect()
    }

    fn frame(hour: i64, price: impl Into<Option<f64>>, walls: &[Vec<PriceCell>]) -> Snapshot {
        let mut snapshot = Snapshot { ts: hour * HOUR, price: price.into(), cells: walls.concat() };
        snapshot.sort();
        snapshot.join_leverages();
        snapshot
    }

    /// Shorts above 100 in cells of 1 from 110 on.
    fn shorts(hour: i64, usd: &[f64]) -> Snapshot {
        frame(hour, 100.0, &[wall(Side::Short, 110.0, 1.0, usd)])
    }

    fn ids(pools: &mut Pools, snapshot: &Snapshot) -> Vec<i64> {
        pools.frame(snapshot).iter().map(|pool| pool.id).collect()
    }

    fn limits(usd: &[f64], rules: PoolRules) -> Vec<(f64, f64)> {
        let mut pools = Pools::new(rules);
        pools.frame(&shorts(0, usd)).iter().map(|pool| (pool.price_low, pool.price_high)).collect()
    }

    #[test]
    fn a_frame_by_hand() {
        // 96 USD in 8 cells that hold something: the mean is 12, bright is 10.2 and more.
        let longs = wall(Side::Long, 80.0, 1.0, &[11.0, 11.0, 0.0, 1.0, 22.0, 21.0]);
        let shorts = wall(Side::Short, 110.0, 2.0, &[15.0, 10.0, 5.0]);
        let mut pools = Pools::new(PoolRules { valley: 0.0, ..RULES });
        let found = pools.frame(&frame(7, 100.0, &[shorts, longs])).to_vec();
        let side = Side::Long;
        let far = Pool {
            id: 1,
            born_ts: 7 * HOUR,
            side,
            price_low: 80.0,
            price_high: 82.0,
            // Of two equal cells the one nearer to price.
            peak_price: 81.5,
            usd: 22.0,
            share: 22.0 / 66.0,
            rank: 2,
        };
        let near = Pool {
            id: 2,
            price_low: 84.0,
            price_high: 86.0,
            peak_price: 84.5,
            usd: 43.0,
            share: 43.0 / 66.0,
            rank: 1,
            ..far
        };
        let above = Pool {
            id: 3,
            side: Side::Short,
            price_low: 110.0,
            price_high: 112.0,
            peak_price: 111.0,
            usd: 15.0,
            share: 0.5,
            rank: 1,
            ..far
        };
        assert_eq!(found, [far, near, above]);
    }

    #[test]
    fn of_equal_pools_the_nearer_ranks_first() {
        for (side, from, ranks) in [(Side::Long, 80.0, [3, 2, 1]), (Side::Short, 110.0, [1, 2, 3])] {
            let mut pools = Pools::new(RULES);
            let frame = frame(0, 100.0, &[wall(side, from, 1.0, &[5.0, 0.0, 5.0, 0.0, 5.0])]);
            assert_eq!(pools.frame(&frame).iter().map(|pool| pool.rank).collect::<Vec<_>>(), ranks);
        }
    }

    #[test]
    fn equal_cells_are_bright_at_a_threshold_of_one() {
        // The mean of three times 0.1 is more than 0.1.
        assert_eq!(limits(&[0.1, 0.1, 0.1], PoolRules { threshold: 1.0, ..RULES }), [(110.0, 113.0)]);
        assert_eq!(limits(&[1.0, 9.0, 1.0], PoolRules { threshold: 0.0, ..RULES }), [(110.0, 113.0)]);
        assert!(limits(&[5.0, 9.0, 5.0], PoolRules { threshold: 9.0, ..RULES }).is_empty());
        assert!(limits(&[], RULES).is_empty());
    }

    #[test]
    fn runs_are_cut_at_valleys() {
        let cut = |usd: &[f64], valley| limits(usd, PoolRules { threshold: 0.0, valley, ..RULES });
        // 6 is less than 0.8 × 8 and goes with 10, its higher neighbour.
        assert_eq!(cut(&[10.0, 6.0, 8.0], 0.8), [(110.0, 112.0), (112.0, 113.0)]);
        assert_eq!(cut(&[8.0, 6.0, 10.0], 0.8), [(110.0, 111.0), (111.0, 113.0)]);
        // It is not less than 0.75 × 8.
        assert_eq!(cut(&[10.0, 6.0, 8.0], 0.75), [(110.0, 113.0)]);
        // A slope has no valley, however steep, and a small hump on it is none of its own.
        assert_eq!(cut(&[10.0, 5.0, 2.0, 1.0], 1.0), [(110.0, 114.0)]);
        assert_eq!(cut(&[10.0, 4.0, 4.5, 1.0], 0.8), [(110.0, 114.0)]);
        // The hump of 4.5 joins 10; the two then meet 10 over a valley of 2.
        assert_eq!(cut(&[10.0, 4.0, 4.5, 2.0, 10.0], 0.8), [(110.0, 113.0), (113.0, 115.0)]);
        // A flat valley stays whole; between equal neighbours it goes to the one nearer to price.
        assert_eq!(cut(&[9.0, 2.0, 2.0, 9.0], 0.8), [(110.0, 113.0), (113.0, 114.0)]);
        assert_eq!(cut(&[8.0, 2.0, 2.0, 9.0], 0.8), [(110.0, 111.0), (111.0, 114.0)]);
        assert_eq!(cut(&[9.0, 2.0, 9.0], 0.8), [(110.0, 112.0), (112.0, 113.0)]);
        let mut pools = Pools::new(PoolRules { threshold: 0.0, ..RULES });
        let mirrored = pools.frame(&frame(0, 100.0, &[wall(Side::Long, 80.0, 1.0, &[9.0, 2.0, 9.0])])).to_vec();
        assert_eq!((mirrored[0].price_high, mirrored[1].price_low), (81.0, 81.0));
        // Both lesser peaks stand for themselves.
        assert_eq!(cut(&[9.0, 4.0, 6.0, 3.0, 9.0], 0.8), [(110.0, 112.0), (112.0, 113.0), (113.0, 115.0)]);
    }

    #[test]
    fn a_gap_or_another_side_ends_a_run() {
        let mut pools = Pools::new(RULES);
        let walls = [
            wall(Side::Long, 98.0, 1.0, &[5.0, 5.0]),
            wall(Side::Short, 100.0, 1.0, &[5.0]),
            wall(Side::Short, 101.5, 1.0, &[5.0]),
        ];
        let found = pools.frame(&frame(0, 100.0, &walls)).to_vec();
        assert_eq!(found.iter().map(|pool| pool.price_low).collect::<Vec<_>>(), [98.0, 100.0, 101.5]);
        // Limits that differ by rounding are one limit; cells that overlap are not counted as two walls.
        let mut cells = wall(Side::Short, 110.0, 0.1, &[5.0, 5.0]);
        cells[1].low += 1e-9;
        cells.extend(wall(Side::Short, 110.15, 0.1, &[5.0]));
        assert_eq!(pools.frame(&frame(1, 100.0, &[cells])).len(), 1);
    }

    #[test]
    fn a_side_counts_on_its_own_side_of_the_price_only() {
        let mut pools = Pools::new(RULES);
        let walls = [wall(Side::Long, 95.0, 2.0, &[4.0, 4.0, 4.0]), wall(Side::Short, 97.0, 2.0, &[4.0, 4.0])];
        // The third long begins at the price; the first short ends there; the second short and long contain nothing of it.
        let found = pools.frame(&frame(0, 99.0, &walls)).to_vec();
        assert_eq!(
            found.iter().map(|pool| (pool.price_low, pool.price_high)).collect::<Vec<_>>(),
            [(95.0, 99.0), (99.0, 101.0)]
        );
        assert_eq!(found[0].share, 1.0);
        // A cell around the price ends at it.
        let found = pools.frame(&frame(1, 98.0, &walls)).to_vec();
        assert_eq!(
            found.iter().map(|pool| (pool.price_low, pool.price_high)).collect::<Vec<_>>(),
            [(95.0, 98.0), (98.0, 101.0)]
        );
        assert_eq!((found[0].peak_price, found[0].id, found[1].id), (97.5, 1, 2));
        // Without a price there are no sides of it.
        assert_eq!(pools.frame(&frame(2, None, &walls))[0].price_high, 101.0);
    }

    #[test]
    fn a_pool_keeps_its_number_while_it_drifts() {
        let mut pools = Pools::new(RULES);
        for hour in 0..40 {
            let mut usd = vec![1.0; 60];
            usd[hour..hour + 3].fill(50.0 + hour as f64);
            let found = pools.frame(&shorts(hour as i64, &usd)).to_vec();
            assert_eq!((found.len(), found[0].id, found[0].born_ts), (1, 1, 0), "hour {hour}");
        }
        // A jump by more than its width is another pool.
        let mut usd = vec![1.0; 60];
        usd[10..13].fill(50.0);
        assert_eq!(ids(&mut pools, &shorts(40, &usd)), [2]);
    }

    #[test]
    fn flicker_gives_no_new_numbers() {
        let mut pools = Pools::new(RULES);
        for hour in 0..200 {
            // The wall at 110 is dim in most frames, the one at 113 is split and whole by turns.
            let first = if hour % 7 == 0 { 9.0 } else { 1.0 };
            let valley = if hour % 2 == 0 { 9.0 } else { 1.0 };
            let found = ids(&mut pools, &shorts(hour, &[first, 1.0, 1.0, 9.0, 12.0, valley, 9.0, 9.0, 1.0, 1.0]));
            assert!(found.iter().all(|id| (1..=3).contains(id)), "hour {hour}: {found:?}");
        }
    }

    #[test]
    fn a_split_and_a_merger() {
        let mut pools = Pools::new(RULES);
        assert_eq!(ids(&mut pools, &shorts(0, &[9.0, 9.0, 9.0, 9.0, 9.0, 9.0])), [1]);
        // The larger part keeps the number, the other is new.
        assert_eq!(ids(&mut pools, &shorts(1, &[9.0, 9.0, 1.0, 9.0, 9.0, 9.0])), [2, 1]);
        // Merged: the number that shares most; the other is remembered and comes back.
        assert_eq!(ids(&mut pools, &shorts(2, &[9.0, 9.0, 9.0, 9.0, 9.0, 9.0])), [1]);
        assert_eq!(ids(&mut pools, &shorts(3, &[9.0, 9.0, 1.0, 9.0, 9.0, 9.0])), [2, 1]);
        // The same, 25 hours later: what was merged for longer than the memory is new.
        assert_eq!(ids(&mut pools, &shorts(4, &[9.0, 9.0, 9.0, 9.0, 9.0, 9.0])), [1]);
        assert_eq!(ids(&mut pools, &shorts(28, &[9.0, 9.0, 1.0, 9.0, 9.0, 9.0])), [3, 1]);
    }

    #[test]
    fn at_a_tie_the_older_pool_and_the_nearer_part_come_first() {
        let mut pools = Pools::new(RULES);
        assert_eq!(ids(&mut pools, &shorts(0, &[9.0, 1.0, 1.0, 1.0, 1.0])), [1]);
        assert_eq!(ids(&mut pools, &shorts(1, &[9.0, 1.0, 9.0, 1.0, 1.0])), [1, 2]);
        // Both share 9 with the run over all three cells.
        assert_eq!(ids(&mut pools, &shorts(2, &[9.0, 9.0, 9.0, 1.0, 1.0])), [1]);
        for (side, from, expected) in [(Side::Short, 110.0, [1, 2]), (Side::Long, 80.0, [2, 1])] {
            let mut pools = Pools::new(RULES);
            assert_eq!(ids(&mut pools, &frame(0, 100.0, &[wall(side, from, 1.0, &[9.0, 9.0, 9.0])])), [1]);
            assert_eq!(ids(&mut pools, &frame(1, 100.0, &[wall(side, from, 1.0, &[9.0, 0.0, 9.0])])), expected);
        }
    }

    #[test]
    fn what_has_faded_is_remembered_for_a_time() {
        let dim: &[f64] = &[1.0, 1.0, 1.0, 1.0, 9.0];
        let bright: &[f64] = &[9.0, 1.0, 1.0, 1.0, 9.0];
        for (back, expected) in [(23, [1, 2]), (24, [1, 2]), (25, [3, 2])] {
            let mut pools = Pools::new(RULES);
            assert_eq!(ids(&mut pools, &shorts(0, bright)), [1, 2]);
            for hour in 1..back {
                assert_eq!(ids(&mut pools, &shorts(hour, dim)), [2]);
            }
            assert_eq!(ids(&mut pools, &shorts(back, bright)), expected, "back after {back} hours");
        }
        // Memory is longer than the history.
        let mut pools = Pools::new(PoolRules { memory: i64::MAX, ..RULES });
        assert_eq!(ids(&mut pools, &shorts(0, bright)), [1, 2]);
        assert_eq!(ids(&mut pools, &shorts(1, dim)), [2]);
        assert_eq!(ids(&mut pools, &shorts(1_000_000, bright)), [1, 2]);
    }

    #[test]
    fn the_frame_before_is_remembered_however_old() {
        let mut pools = Pools::new(RULES);
        assert_eq!(ids(&mut pools, &shorts(0, &[9.0, 1.0, 9.0])), [1, 2]);
        assert_eq!(ids(&mut pools, &shorts(1, &[1.0, 1.0, 9.0])), [2]);
        // Nothing for ten days: the pool of the last frame is the same, the one that had faded is not.
        assert_eq!(ids(&mut pools, &shorts(240, &[9.0, 1.0, 9.0])), [3, 2]);
    }

    #[test]
    fn what_was_swept_is_another_wall_later() {
        let wall = wall(Side::Short, 110.0, 1.0, &[4.0, 9.0, 4.0]);
        let walls = [wall.clone()];
        // Price at the peak is not beyond it; a hair above is.
        for (price, expected) in [(111.5, 1), (111.6, 2), (130.0, 2)] {
            let mut pools = Pools::new(PoolRules { threshold: 0.2, ..RULES });
            assert_eq!(ids(&mut pools, &frame(0, 100.0, &walls)), [1]);
            assert!(ids(&mut pools, &frame(1, price, &[])).is_empty());
            assert_eq!(ids(&mut pools, &frame(2, 100.0, &walls)), [expected], "{price}");
            // The same where it had faded before.
            let mut pools = Pools::new(PoolRules { threshold: 0.2, ..RULES });
            assert_eq!(ids(&mut pools, &frame(0, 100.0, &walls)), [1]);
            assert!(ids(&mut pools, &frame(1, 100.0, &[])).is_empty());
            assert!(ids(&mut pools, &frame(2, price, &[])).is_empty());
            assert_eq!(ids(&mut pools, &frame(3, 100.0, &walls)), [expected], "{price}");
        }
        // Partly passed it is still seen, and keeps its number.
        let mut pools = Pools::new(PoolRules { threshold: 0.2, ..RULES });
        assert_eq!(ids(&mut pools, &frame(0, 100.0, &walls)), [1]);
        assert_eq!(ids(&mut pools, &frame(1, 112.5, &walls)), [1]);
        assert_eq!(ids(&mut pools, &frame(2, 100.0, &walls)), [1]);
    }

    #[test]
    fn what_price_has_passed_entirely_cannot_match() {
        let mut pools = Pools::new(RULES);
        assert_eq!(ids(&mut pools, &frame(0, 115.0, &[wall(Side::Long, 100.0, 1.0, &[9.0, 9.0])])), [1]);
        // The map of the next frame is coarser: a cell of it begins below the old wall and ends within. All of it that
        // can hold longs lies below the price.
        assert_eq!(ids(&mut pools, &frame(1, 99.0, &[wall(Side::Long, 90.0, 11.0, &[9.0])])), [2]);
        // Nor a wall of the other side.
        assert_eq!(ids(&mut pools, &frame(2, 99.0, &[wall(Side::Short, 100.0, 1.0, &[9.0, 9.0])])), [3]);
    }

    #[test]
    fn other_cells_are_the_same_walls() {
        // Two walls of 12 each, in cells of 1, of 0.4, and of 3 from another origin.
        let fine = |step: f64, from: f64| {
            let cells = (30.0 / step).round() as usize;
            let usd: Vec<f64> = (0..cells)
                .map(|i| {
                    let (low, high) = (from + i as f64 * step, from + (i + 1) as f64 * step);
                    let within = |a: f64, b: f64| (high.min(b) - low.max(a)).max(0.0);
                    12.0 / 4.0 * within(112.0, 116.0) + 12.0 / 6.0 * within(123.0, 129.0) + 0.01 * step
                })
                .collect();
            wall(Side::Short, from, step, &usd)
        };
        let mut pools = Pools::new(PoolRules { valley: 0.0, ..RULES });
        for (hour, (step, from)) in
            [(1.0, 110.0), (0.4, 110.0), (3.0, 109.0), (1.0, 110.0), (2.5, 108.3)].into_iter().enumerate()
        {
            assert_eq!(
                ids(&mut pools, &frame(hour as i64, 100.0, &[fine(step, from)])),
                [1, 2],
                "cells of {step} from {from}"
            );
        }
    }

    #[test]
    fn neighbours_share_nothing_through_rounding() {
        let mut pools = Pools::new(RULES);
        let mut cells = wall(Side::Short, 110.0, 0.1, &[9.0]);
        cells[0].high += 1e-10;
        assert_eq!(ids(&mut pools, &frame(0, 100.0, &[cells])), [1]);
        assert_eq!(ids(&mut pools, &frame(1, 100.0, &[wall(Side::Short, 110.1, 0.1, &[9.0])])), [2]);
        // A cell that price has all but left holds nothing that could be told apart.
        assert!(ids(&mut pools, &frame(2, 110.2 - 1e-9, &[wall(Side::Short, 110.1, 0.1, &[9.0])])).is_empty());
    }

    #[test]
    fn two_sides_are_born_in_order() {
        let mut pools = Pools::new(RULES);
        let walls = [wall(Side::Short, 110.0, 1.0, &[9.0, 0.0, 9.0]), wall(Side::Long, 80.0, 1.0, &[9.0, 0.0, 9.0])];
        assert_eq!(ids(&mut pools, &frame(0, 100.0, &walls)), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_remembered_does_not_grow() {
        // Walls at pseudo-random places in every minute of ten days.
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        let mut pools = Pools::new(RULES);
        let mut largest = [0; 2];
        for minute in 0..14_400 {
            let usd: Vec<f64> = (0..200).map(|_| random() * random()).collect();
            let mut snapshot = shorts(0, &usd);
            snapshot.ts = minute * 60_000;
            pools.frame(&snapshot);
            let half = usize::from(minute >= 7200);
            largest[half] = pools.remembered.len().max(largest[half]);
        }
        assert!(largest[1] <= 1440 && largest[1] <= largest[0] * 11 / 10, "{largest:?}");
        assert!(pools.memory() < 1 << 20, "{}", pools.memory());
    }
}

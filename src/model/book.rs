//! What stands, by liquidation price: one dense ladder of 2 bp buckets per side and tier.
//!
//! Jitters of a tier share its ladder: they differ only in where they enter it. Both sides of a tier shrink by the
//! same factor, held as one lazy scale, so a bar costs one multiplication per tier plus the buckets that it sweeps and
//! fills, however much stands. A ladder remembers which part of it is occupied; sweeping walks only that.
//!
//! ```text
//! quantity in a bucket = stored × scale of the tier      USD of a bucket = quantity × price at its centre
//! ```

use super::parameters::Parameters;
use super::prices::{Prices, bucket_of, first_centre_at_or_above, last_centre_at_or_below};
use super::replay::{Opened, Reach, Standing};
use super::side::Side;

/// Below this a scale is folded into what is stored: far from where a double loses digits, and rare.
pub(crate) const SMALLEST_SCALE: f64 = 1e-12;

/// A bucket that holds less than this share of its side is empty.
pub(crate) const EMPTY_SHARE: f64 = 1e-9;

/// Running sums are recomputed from the buckets after this many changes,
const CHANGES_BETWEEN_SUMS: u32 = 4096;

/// or when they have fallen below this share of their peak, so that rounding never grows beyond about 1e-10.
const FALL_BETWEEN_SUMS: f64 = 1.0 / 64.0;

/// Buckets that are added to at once.
const BLOCK: usize = 8;

/// One for the first `count` of a block, zero for the others.
const SHARES: [[f64; BLOCK]; BLOCK + 1] = {
    let mut shares = [[0.0; BLOCK]; BLOCK + 1];
    let mut count = 0;
    while count <= BLOCK {
        let mut i = 0;
        while i < count {
            shares[count][i] = 1.0;
            i += 1;
        }
        count += 1;
    }
    shares
};

/// What one bar did to one side of one tier, in USD at liquidation prices.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    /// Opened.
    pub opened_usd: f64,
    /// Closed without liquidation.
    pub closed_usd: f64,
    /// Swept.
    pub liquidated_usd: f64,
}

/// What one bar did to one side, and what stands after it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// What the bar did.
    pub flow: Flow,
    /// USD that stand, at liquidation prices.
    pub standing_usd: f64,
    /// Base units that stand.
    pub standing_size: f64,
}

/// Buckets of one side and tier, in stored units.
#[derive(Debug, Clone)]
struct Ladder {
    first: i32,
    stored: Vec<f64>,
    /// Occupied buckets are within `low ..= high`; none if `low > high`.
    low: i32,
    high: i32,
    quantity: f64,
    usd: f64,
    peak: f64,
    changes: u32,
}

impl Ladder {
    fn new() -> Self {
        Ladder {
            first: 0,
            stored: Vec::new(),
            low: i32::MAX,
            high: i32::MIN,
            quantity: 0.0,
            usd: 0.0,
            peak: 0.0,
            changes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.low > self.high
    }

    /// The bucket after the last that has a place; there is none before the first is covered.
    fn end(&self) -> i32 {
        self.first + self.stored.len() as i32
    }

    #[cold]
    fn cover(&mut self, low: i32, high: i32) {
        const SLACK: i32 = 512;
        if self.stored.is_empty() {
            self.first = low - SLACK;
        } else if low < self.first {
            let added = (self.first - low + SLACK) as usize;
            self.stored.splice(0..0, std::iter::repeat_n(0.0, added));
            self.first -= added as i32;
        }
        let needed = (high - self.first + 1) as usize;
        if needed > self.stored.len() {
            self.stored.resize(needed + SLACK as usize, 0.0);
        }
    }

    fn slice(&self, low: i32, high: i32) -> &[f64] {
        &self.stored[(low - self.first) as usize..(high + 1 - self.first) as usize]
    }

    fn slice_mut(&mut self, low: i32, high: i32) -> &mut [f64] {
        &mut self.stored[(low - self.first) as usize..(high + 1 - self.first) as usize]
    }

    /// Adds to every bucket of a run.
    ///
    /// A run has about six buckets and its length changes from bar to bar, so that a loop over them ends where the processor
    /// does not expect it. A whole block is added instead, zero to the buckets of it that are not of the run.
    #[inline]
    fn add(&mut self, low: i32, high: i32, each: f64) {
        let start = (low - self.first) as usize;
        let mut count = (high + 1 - low) as usize;
        for block in self.stored[start..].as_chunks_mut::<BLOCK>().0 {
            for (bucket, share) in block.iter_mut().zip(&SHARES[count.min(BLOCK)]) {
                *bucket += each * share;
            }
            if count <= BLOCK {
                break;
            }
            count -= BLOCK;
        }
    }

    /// Adds the same quantity to each of several runs of buckets, spread evenly within each; returns the USD added, before
    /// the division by the scale.
    fn fill(&mut self, runs: &[(i32, i32)], quantity: f64, scale: f64, prices: &mut Prices) -> f64 {
        let (mut lowest, mut highest) = (self.low, self.high);
        for &(low, high) in runs {
            (lowest, highest) = (lowest.min(low), highest.max(high));
        }
        if lowest < self.first || highest + BLOCK as i32 > self.end() {
            self.cover(lowest, highest + BLOCK as i32);
        }
        prices.cover(lowest, highest);
        let stored = quantity / scale;
        let mut added = 0.0;
        // Sums in local variables: through memory each run would wait for the one before.
        let (mut quantities, mut usds) = (self.quantity, self.usd);
        for &(low, high) in runs {
            let buckets = f64::from(high - low + 1);
            let usd = quantity * (prices.sum(low, high) / buckets);
            self.add(low, high, stored / buckets);
            added += usd;
            quantities += stored;
            usds += usd / scale;
        }
        (self.low, self.high) = (lowest, highest);
        (self.quantity, self.usd) = (quantities, usds);
        self.peak = self.peak.max(quantities);
        self.changes += runs.len() as u32;
        added
    }

    /// Returns how many occupied buckets lie within `low ..= high`.
    fn reach(&self, low: i32, high: i32) -> u64 {
        let (low, high) = (low.max(self.low), high.min(self.high));
        if low > high { 0 } else { (high - low + 1) as u64 }
    }

    /// Empties `low ..= high` and returns the USD that stood there, in stored units.
    fn take(&mut self, low: i32, high: i32, prices: &Prices) -> f64 {
        let (low, high) = (low.max(self.low), high.min(self.high));
        if low > high {
            return 0.0;
        }
        let (mut quantity, mut usd) = (0.0, 0.0);
        for (stored, price) in self.slice_mut(low, high).iter_mut().zip(prices.centres(low, high)) {
            quantity += *stored;
            usd += *stored * price;
            *stored = 0.0;
        }
        if high == self.high {
            self.high = low - 1;
        } else if low == self.low {
            self.low = high + 1;
        }
        if self.is_empty() {
            self.clear();
        } else {
            self.quantity -= quantity;
            self.usd -= usd;
            self.changes += 1;
            if self.changes > CHANGES_BETWEEN_SUMS || self.quantity < self.peak * FALL_BETWEEN_SUMS {
                self.sum(prices);
            }
        }
        usd
    }

    /// Leaves a share of what stands in `low ..= high` and returns the USD that went, in stored units.
    fn thin(&mut self, low: i32, high: i32, share: f64, prices: &Prices) -> f64 {
        let (low, high) = (low.max(self.low), high.min(self.high));
        if low > high {
            return 0.0;
        }
        let (mut quantity, mut usd) = (0.0, 0.0);
        for (stored, price) in self.slice_mut(low, high).iter_mut().zip(prices.centres(low, high)) {
            let gone = *stored * (1.0 - share);
            quantity += gone;
            usd += gone * price;
            *stored *= share;
        }
        self.quantity -= quantity;
        self.usd -= usd;
        self.changes += 1;
        if self.changes > CHANGES_BETWEEN_SUMS || self.quantity < self.peak * FALL_BETWEEN_SUMS {
            self.sum(prices);
        }
        usd
    }

    fn clear(&mut self) {
        if !self.is_empty() {
            let (low, high) = (self.low, self.high);
            self.slice_mut(low, high).fill(0.0);
        }
        (self.low, self.high) = (i32::MAX, i32::MIN);
        (self.quantity, self.usd, self.peak, self.changes) = (0.0, 0.0, 0.0, 0);
    }

    fn sum(&mut self, prices: &Prices) {
        let (mut quantity, mut usd) = (0.0, 0.0);
        for (stored, price) in self.slice(self.low, self.high).iter().zip(prices.centres(self.low, self.high)) {
            quantity += stored;
            usd += stored * price;
        }
        (self.quantity, self.usd, self.peak, self.changes) = (quantity, usd, quantity, 0);
    }

    fn scale(&mut self, factor: f64, prices: &Prices) {
        if self.is_empty() {
            return;
        }
        let (low, high) = (self.low, self.high);
        for stored in self.slice_mut(low, high) {
            *stored *= factor;
        }
        self.sum(prices);
    }
}

/// The book of one (exchange, symbol).
#[derive(Debug, Clone)]
pub struct Book {
    leverages: Vec<f64>,
    /// Lazy scale of each tier.
    scales: Vec<f64>,
    /// Per tier: longs, shorts.
    ladders: Vec<[Ladder; 2]>,
    flows: Vec<[Flow; 2]>,
    prices: Prices,
    usd_factor: f64,
    wick_retention: f64,
    counts: Counts,
    /// The runs of buckets that one tier opens on one side, one a jitter. Where they are is computed for all of them before
    /// the first is filled: both loops are simple then.
    runs: Vec<(i32, i32)>,
}

/// How much a book has worked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Cohorts opened.
    pub cohorts: u64,
    /// Buckets walked by sweeps.
    pub swept: u64,
}

impl Book {
    /// Makes an empty book with a ladder per side and tier.
    pub fn new(parameters: &Parameters) -> Book {
        let tiers = parameters.tiers.len();
        Book {
            leverages: parameters.tiers.clone(),
            scales: vec![1.0; tiers],
            ladders: (0..tiers).map(|_| [Ladder::new(), Ladder::new()]).collect(),
            flows: vec![[Flow::default(); 2]; tiers],
            prices: Prices::default(),
            usd_factor: parameters.usd_factor(),
            wick_retention: parameters.wick_retention,
            counts: Counts::default(),
            runs: Vec::new(),
        }
    }

    /// Returns how much the book has worked.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the leverages of the tiers, in the order of the parameters.
    pub fn leverages(&self) -> &[f64] {
        &self.leverages
    }

    /// Returns the factor by which USD are multiplied for output.
    pub(crate) fn usd_factor(&self) -> f64 {
        self.usd_factor
    }

    /// Returns the table of bucket prices.
    pub(crate) fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Returns what the last bar did to one side of one tier, and what stands, in the output's scale.
    pub fn total(&self, side: Side, tier: usize) -> Totals {
        let flow = self.flows[tier][side.index()];
        let ladder = &self.ladders[tier][side.index()];
        Totals {
            flow: Flow {
                opened_usd: flow.opened_usd * self.usd_factor,
                closed_usd: flow.closed_usd * self.usd_factor,
                liquidated_usd: flow.liquidated_usd * self.usd_factor,
            },
            standing_usd: ladder.usd * self.scales[tier] * self.usd_factor,
            standing_size: ladder.quantity * self.scales[tier] * self.usd_factor,
        }
    }

    /// Returns what the last bar did to each side, summed over the tiers: longs, shorts.
    pub fn totals(&self) -> [Totals; 2] {
        Side::BOTH.map(|side| {
            let mut sum = Totals::default();
            for tier in 0..self.leverages.len() {
                let total = self.total(side, tier);
                sum.flow.opened_usd += total.flow.opened_usd;
                sum.flow.closed_usd += total.flow.closed_usd;
                sum.flow.liquidated_usd += total.flow.liquidated_usd;
                sum.standing_usd += total.standing_usd;
                sum.standing_size += total.standing_size;
            }
            sum
        })
    }

    /// Returns the base units that stand on a side, in the book's scale.
    pub(crate) fn quantity(&self, side: Side) -> f64 {
        self.ladders.iter().zip(&self.scales).map(|(ladders, scale)| ladders[side.index()].quantity * scale).sum()
    }

    /// Returns the occupied buckets of a side over all tiers, `None` if nothing stands.
    pub(crate) fn occupied(&self, side: Side) -> Option<(i32, i32)> {
        self.ladders
            .iter()
            .map(|ladders| &ladders[side.index()])
            .filter(|ladder| !ladder.is_empty())
            .map(|ladder| (ladder.low, ladder.high))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Returns the part of a tier's ladder within `low ..= high`: its first bucket, the stored values and their scale.
    pub(crate) fn part(&self, side: Side, tier: usize, low: i32, high: i32) -> (i32, &[f64], f64) {
        let ladder = &self.ladders[tier][side.index()];
        let (low, high) = (low.max(ladder.low), high.min(ladder.high));
        if low > high { (low, &[], 1.0) } else { (low, ladder.slice(low, high), self.scales[tier]) }
    }

    /// Returns base units by bucket for one side and tier, lowest bucket first: (bucket, quantity), empty ones left out.
    pub fn buckets(&self, side: Side, tier: usize) -> Vec<(i32, f64)> {
        let (first, stored, scale) = self.part(side, tier, i32::MIN, i32::MAX);
        let quantities = stored.iter().enumerate().filter(|(_, stored)| **stored != 0.0);
        quantities.map(|(i, stored)| (first + i as i32, stored * scale)).collect()
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let ladders = self.ladders.iter().flatten().map(|ladder| ladder.stored.capacity()).sum::<usize>();
        ladders * size_of::<f64>() + self.prices.memory() + self.ladders.len() * size_of::<[Ladder; 2]>()
    }

    fn shrink(&mut self, tier: usize, keep: f64) {
        if keep == 1.0 {
            return;
        }
        let scale = self.scales[tier];
        for (ladder, flow) in self.ladders[tier].iter_mut().zip(&mut self.flows[tier]) {
            flow.closed_usd += ladder.usd * scale * (1.0 - keep);
            if keep == 0.0 {
                ladder.clear();
            }
        }
        let scale = if keep == 0.0 { 1.0 } else { scale * keep };
        self.scales[tier] = scale;
        if scale < SMALLEST_SCALE {
            for ladder in &mut self.ladders[tier] {
                ladder.scale(scale, &self.prices);
            }
            self.scales[tier] = 1.0;
        }
    }
}

impl Standing for Book {
    fn begin(&mut self) {
        self.flows.fill([Flow::default(); 2]);
    }

    fn keep_all(&mut self, factor: f64) {
        for tier in 0..self.scales.len() {
            self.shrink(tier, factor);
        }
    }

    fn sweep(&mut self, reach: &Reach) {
        let lowest_long = first_centre_at_or_above(reach.ln_low);
        let highest_short = last_centre_at_or_below(reach.ln_high);
        // What the close passed goes wholly; what lies between it and the extreme was reached by a wick.
        let (mut whole_long, mut whole_short) = (lowest_long, highest_short);
        if self.wick_retention > 0.0 {
            let ln_close = reach.close.ln();
            whole_long = lowest_long.max(first_centre_at_or_above(ln_close));
            whole_short = highest_short.min(last_centre_at_or_below(ln_close));
        }
        for ((ladders, flows), scale) in self.ladders.iter_mut().zip(&mut self.flows).zip(&self.scales) {
            let [long, short] = ladders;
            self.counts.swept += long.reach(lowest_long, i32::MAX) + short.reach(i32::MIN, highest_short);
            flows[0].liquidated_usd += long.take(whole_long, i32::MAX, &self.prices) * scale;
            flows[1].liquidated_usd += short.take(i32::MIN, whole_short, &self.prices) * scale;
            if self.wick_retention > 0.0 {
                let share = self.wick_retention;
                flows[0].liquidated_usd += long.thin(lowest_long, whole_long - 1, share, &self.prices) * scale;
                flows[1].liquidated_usd += short.thin(whole_short + 1, highest_short, share, &self.prices) * scale;
            }
        }
    }

    fn close(&mut self, keep: &[f64]) {
        for (tier, &keep) in keep.iter().enumerate() {
            self.shrink(tier, keep);
        }
    }

    fn open(&mut self, opened: &Opened<'_>) {
        for (i, (tier, &quantity)) in opened.mix.tiers.iter().zip(opened.quantities).enumerate() {
            if quantity <= 0.0 {
                continue;
            }
            let each = quantity / tier.log_offsets.len() as f64;
            for side in [0, 1] {
                self.runs.clear();
                self.runs.extend(tier.log_offsets.iter().map(|offsets| {
                    (bucket_of(opened.ln_low + offsets[side]), bucket_of(opened.ln_high + offsets[side]))
                }));
                let ladder = &mut self.ladders[i][side];
                self.flows[i][side].opened_usd += ladder.fill(&self.runs, each, self.scales[i], &mut self.prices);
            }
            self.counts.cohorts += 2 * tier.log_offsets.len() as u64;
        }
    }
}

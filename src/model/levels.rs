//! What became of each cohort: the positions that one bar opened on one side, with one leverage and one jitter.
//!
//! A cohort covers a run of buckets with equal quantities. Sweeps cut the run from the side of the price; closes shrink
//! it by its tier's factor. Between two sweeps its remainder is its amount × (scale now / scale then), so a record is
//! touched when it opens, when a sweep reaches it, and when it is retired; never per bar.
//!
//! ```text
//! opened = closed + liquidated + open        each summed over the cohort's buckets, quantity × bucket centre
//! ```
//!
//! `closed` is accumulated from the closes, not taken as the remainder. A cohort whose remainder falls below a
//! millionth of what it opened is retired: the rest counts as closed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::book::SMALLEST_SCALE;
use super::parameters::Parameters;
use super::prices::{Prices, bucket_of, first_centre_at_or_above, last_centre_at_or_below};
use super::replay::{Opened, Reach, Standing};
use super::side::Side;

/// Share of what it opened below which a cohort is retired.
const RETIRED_SHARE: f64 = 1e-6;

/// What happened to a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Something stands.
    Open,
    /// Nothing stands, and price reached at least a part of it.
    Swept,
    /// Nothing stands, and price never reached it.
    Closed,
}

impl Fate {
    /// Returns the name used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Open => "open",
            Fate::Swept => "swept",
            Fate::Closed => "closed",
        }
    }
}

/// A cohort and its accounts, in USD at liquidation prices.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Running number in order of opening, from 1.
    pub id: i64,
    /// The side of the positions.
    pub side: Side,
    /// Index of the tier.
    pub tier: usize,
    /// Index of the jitter offset.
    pub jitter: usize,
    /// Open of the bar that opened it, milliseconds since the epoch.
    pub opened_ts: i64,
    /// Lowest entry price.
    pub entry_low: f64,
    /// Highest entry price.
    pub entry_high: f64,
    /// Liquidation price of the lowest entry.
    pub liquidation_low: f64,
    /// Liquidation price of the highest entry.
    pub liquidation_high: f64,
    /// Opened.
    pub opened_usd: f64,
    /// Closed without liquidation, so far.
    pub closed_usd: f64,
    /// Swept, so far.
    pub liquidated_usd: f64,
    /// Stands.
    pub open_usd: f64,
    /// Open of the last bar that swept a part of it.
    pub liquidated_ts: Option<i64>,
    /// What became of it.
    pub fate: Fate,
}

#[derive(Debug, Clone)]
struct Cohort {
    level: Level,
    /// The run that no sweep has reached; none if `low > high`.
    low: i32,
    high: i32,
    buckets: f64,
    /// Stored units in each bucket of that run.
    stored: f64,
    /// What wicks left of the buckets that they reached, between that run and the price.
    thinned: Vec<Thinned>,
    /// Scale at the open, in the units of the current scale.
    scale_opened: f64,
    /// Scale at which `closed_usd` was last brought up to date.
    scale_settled: f64,
}

/// A run of buckets of which wicks left a part.
#[derive(Debug, Clone, Copy)]
struct Thinned {
    low: i32,
    high: i32,
    stored: f64,
}

/// Which buckets a sweep reaches on one side: all from `reached` towards the price, of which those from `whole` on go
/// wholly and of the others a share stays.
#[derive(Debug, Clone, Copy)]
struct Swept {
    side: Side,
    reached: i32,
    whole: i32,
    retention: f64,
}

impl Swept {
    /// Splits a run into what goes wholly, what a wick reaches, and what is not reached; a part may be empty (low > high).
    fn split(&self, low: i32, high: i32) -> [(i32, i32); 3] {
        match self.side {
            Side::Long => [
                (low.max(self.whole), high),
                (low.max(self.reached), high.min(self.whole - 1)),
                (low, high.min(self.reached - 1)),
            ],
            Side::Short => [
                (low, high.min(self.whole)),
                (low.max(self.whole + 1), high.min(self.reached)),
                (low.max(self.reached + 1), high),
            ],
        }
    }
}

impl Cohort {
    /// Scale of the tier below which the cohort is retired.
    fn retirement(&self) -> f64 {
        let mut remaining = if self.low <= self.high { f64::from(self.high - self.low + 1) } else { 0.0 };
        for run in &self.thinned {
            remaining += f64::from(run.high - run.low + 1) * (run.stored / self.stored);
        }
        RETIRED_SHARE * self.scale_opened * self.buckets / remaining
    }

    /// Brings `closed_usd` up to the scale and returns the USD of one unit of it over all that is left.
    fn settle(&mut self, scale: f64, prices: &Prices) -> f64 {
        let mut per_scale = if self.low <= self.high { self.stored * prices.sum(self.low, self.high) } else { 0.0 };
        for run in &self.thinned {
            per_scale += run.stored * prices.sum(run.low, run.high);
        }
        self.level.closed_usd += per_scale * (self.scale_settled - scale);
        self.scale_settled = scale;
        per_scale
    }

    /// Liquidates what a sweep reaches, at a settled scale; returns whether anything is left.
    fn sweep(&mut self, swept: &Swept, scale: f64, prices: &Prices) -> bool {
        for run in std::mem::take(&mut self.thinned) {
            let (low, high) = self.sweep_run(run, swept, scale, prices);
            if low <= high {
                self.thinned.push(Thinned { low, high, stored: run.stored });
            }
        }
        if self.low <= self.high {
            let run = Thinned { low: self.low, high: self.high, stored: self.stored };
            (self.low, self.high) = self.sweep_run(run, swept, scale, prices);
        }
        self.low <= self.high || !self.thinned.is_empty()
    }

    /// Liquidates what a sweep reaches of one run, keeps what a wick leaves, and returns what was not reached.
    fn sweep_run(&mut self, run: Thinned, swept: &Swept, scale: f64, prices: &Prices) -> (i32, i32) {
        let [whole, wick, rest] = swept.split(run.low, run.high);
        if whole.0 <= whole.1 {
            self.level.liquidated_usd += run.stored * scale * prices.sum(whole.0, whole.1);
        }
        if wick.0 <= wick.1 {
            let stored = run.stored * swept.retention;
            self.level.liquidated_usd += (run.stored - stored) * scale * prices.sum(wick.0, wick.1);
            self.thinned.push(Thinned { low: wick.0, high: wick.1, stored });
        }
        rest
    }

    /// Returns where the cohort stands in the heap of its side: the larger, the nearer to the price.
    fn nearest_key(&self) -> f64 {
        let own = (self.low <= self.high).then_some((self.low, self.high));
        let runs = own.into_iter().chain(self.thinned.iter().map(|run| (run.low, run.high)));
        let keys = runs.map(|(low, high)| match self.level.side {
            Side::Long => f64::from(high),
            Side::Short => -f64::from(low),
        });
        keys.fold(f64::NEG_INFINITY, f64::max)
    }
}

/// A place in a heap: the key, then the cohort's place in the store and its number, which tells a reused place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    key: f64,
    place: usize,
    id: i64,
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // Equal keys: the older cohort first, so that the order of results never depends on the heap's shape.
        self.key.total_cmp(&other.key).then(other.id.cmp(&self.id))
    }
}

#[derive(Debug, Clone)]
struct TierState {
    scale: f64,
    /// Nearest to the price first: longs by their highest bucket, shorts by the negative of their lowest.
    nearest: [BinaryHeap<Entry>; 2],
    /// Largest retirement scale first.
    retiring: BinaryHeap<Entry>,
}

/// The cohorts of one (exchange, symbol).
#[derive(Debug, Clone)]
pub struct Levels {
    tiers: Vec<TierState>,
    store: Vec<Option<Cohort>>,
    free: Vec<usize>,
    finished: Vec<Level>,
    prices: Prices,
    usd_factor: f64,
    wick_retention: f64,
    next_id: i64,
}

impl Levels {
    /// Makes an empty record.
    pub fn new(parameters: &Parameters) -> Levels {
        let tier =
            || TierState { scale: 1.0, nearest: [BinaryHeap::new(), BinaryHeap::new()], retiring: BinaryHeap::new() };
        Levels {
            tiers: parameters.tiers.iter().map(|_| tier()).collect(),
            store: Vec::new(),
            free: Vec::new(),
            finished: Vec::new(),
            prices: Prices::default(),
            usd_factor: parameters.usd_factor(),
            wick_retention: parameters.wick_retention,
            next_id: 1,
        }
    }

    /// Takes out the cohorts of which nothing stands any more, in the order in which they ended.
    pub fn take_finished(&mut self) -> Vec<Level> {
        let mut finished = std::mem::take(&mut self.finished);
        for level in &mut finished {
            self.convert(level);
        }
        finished
    }

    /// Returns how many finished cohorts wait to be taken.
    pub fn finished(&self) -> usize {
        self.finished.len()
    }

    /// Returns how many cohorts were ever opened.
    pub fn opened(&self) -> u64 {
        (self.next_id - 1) as u64
    }

    /// Ends the record: returns the finished cohorts and then those that stand, by number.
    pub fn into_levels(mut self) -> Vec<Level> {
        let mut levels = self.take_finished();
        let mut standing: Vec<Cohort> = std::mem::take(&mut self.store).into_iter().flatten().collect();
        standing.sort_by_key(|cohort| cohort.level.id);
        for mut cohort in standing {
            let scale = self.tiers[cohort.level.tier].scale;
            let per_stored = cohort.settle(scale, &self.prices);
            cohort.level.open_usd = per_stored * scale;
            self.convert(&mut cohort.level);
            levels.push(cohort.level);
        }
        levels
    }

    fn convert(&self, level: &mut Level) {
        for usd in [&mut level.opened_usd, &mut level.closed_usd, &mut level.liquidated_usd, &mut level.open_usd] {
            *usd *= self.usd_factor;
        }
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        let heaps: usize = self
            .tiers
            .iter()
            .map(|tier| tier.retiring.capacity() + tier.nearest.iter().map(BinaryHeap::capacity).sum::<usize>())
            .sum();
        let thinned = if self.wick_retention > 0.0 {
            self.store.iter().flatten().map(|cohort| cohort.thinned.capacity()).sum()
        } else {
            0
        };
        heaps * size_of::<Entry>()
            + thinned * size_of::<Thinned>()
            + self.store.capacity() * size_of::<Option<Cohort>>()
            + self.finished.capacity() * size_of::<Level>()
            + self.free.capacity() * size_of::<usize>()
            + self.prices.memory()
    }

    fn cohort(&mut self, entry: Entry) -> Option<&mut Cohort> {
        self.store[entry.place].as_mut().filter(|cohort| cohort.level.id == entry.id)
    }

    fn finish(&mut self, entry: Entry, fate: Fate) {
        if let Some(cohort) = self.store[entry.place].take() {
            self.free.push(entry.place);
            let mut level = cohort.level;
            level.fate = fate;
            level.open_usd = 0.0;
            self.finished.push(level);
        }
    }

    fn retire(&mut self, tier: usize) {
        let scale = self.tiers[tier].scale;
        while let Some(&entry) = self.tiers[tier].retiring.peek() {
            if entry.key <= scale && scale > 0.0 {
                break;
            }
            self.tiers[tier].retiring.pop();
            let prices = std::mem::take(&mut self.prices);
            let fate = self.cohort(entry).filter(|cohort| cohort.retirement() == entry.key).map(|cohort| {
                let per_stored = cohort.settle(scale, &prices);
                cohort.level.closed_usd += per_stored * scale;
                if cohort.level.liquidated_ts.is_some() { Fate::Swept } else { Fate::Closed }
            });
            self.prices = prices;
            if let Some(fate) = fate {
                self.finish(entry, fate);
            }
        }
        if scale == 0.0 {
            self.tiers[tier].scale = 1.0;
        } else if scale < SMALLEST_SCALE {
            self.fold(tier);
        }
    }

    /// Makes the current scale of a tier one, and rewrites its cohorts in it.
    fn fold(&mut self, tier: usize) {
        let scale = std::mem::replace(&mut self.tiers[tier].scale, 1.0);
        let mut retiring = Vec::new();
        for (place, slot) in self.store.iter_mut().enumerate() {
            if let Some(cohort) = slot.as_mut().filter(|cohort| cohort.level.tier == tier) {
                cohort.stored *= scale;
                cohort.thinned.iter_mut().for_each(|run| run.stored *= scale);
                cohort.scale_opened /= scale;
                cohort.scale_settled /= scale;
                retiring.push(Entry { key: cohort.retirement(), place, id: cohort.level.id });
            }
        }
        self.tiers[tier].retiring = BinaryHeap::from(retiring);
    }

    fn sweep_side(&mut self, tier: usize, ts: i64, swept: &Swept) {
        // Invariant: a cohort that stands has exactly one live entry in the heap of its side and tier.
        let reached = |entry: &Entry| match swept.side {
            Side::Long => entry.key >= f64::from(swept.reached),
            Side::Short => -entry.key <= f64::from(swept.reached),
        };
        let scale = self.tiers[tier].scale;
        // What a wick leaves stands where it was, so it goes back into the heap only when all are swept.
        let mut left = Vec::new();
        while self.tiers[tier].nearest[swept.side.index()].peek().is_some_and(reached) {
            let Some(entry) = self.tiers[tier].nearest[swept.side.index()].pop() else { break };
            let prices = std::mem::take(&mut self.prices);
            let rest = self.cohort(entry).map(|cohort| {
                cohort.settle(scale, &prices);
                let before = cohort.level.liquidated_usd;
                let is_left = cohort.sweep(swept, scale, &prices);
                if cohort.level.liquidated_usd > before {
                    cohort.level.liquidated_ts = Some(ts);
                }
                is_left.then(|| (cohort.nearest_key(), cohort.retirement()))
            });
            self.prices = prices;
            match rest {
                None => {}
                Some(None) => self.finish(entry, Fate::Swept),
                Some(Some((key, retirement))) => {
                    left.push(Entry { key, ..entry });
                    self.tiers[tier].retiring.push(Entry { key: retirement, ..entry });
                }
            }
        }
        self.tiers[tier].nearest[swept.side.index()].extend(left);
    }
}

impl Standing for Levels {
    fn begin(&mut self) {}

    fn keep_all(&mut self, factor: f64) {
        for tier in 0..self.tiers.len() {
            self.tiers[tier].scale *= factor;
            self.retire(tier);
        }
    }

    fn sweep(&mut self, reach: &Reach) {
        let retention = self.wick_retention;
        let lowest_long = first_centre_at_or_above(reach.ln_low);
        let highest_short = last_centre_at_or_below(reach.ln_high);
        let (mut whole_long, mut whole_short) = (lowest_long, highest_short);
        if retention > 0.0 {
            whole_long = lowest_long.max(first_centre_at_or_above(reach.ln_close));
            whole_short = highest_short.min(last_centre_at_or_below(reach.ln_close));
        }
        let long = Swept { side: Side::Long, reached: lowest_long, whole: whole_long, retention };
        let short = Swept { side: Side::Short, reached: highest_short, whole: whole_short, retention };
        for tier in 0..self.tiers.len() {
            self.sweep_side(tier, reach.ts, &long);
            self.sweep_side(tier, reach.ts, &short);
            self.retire(tier);
        }
    }

    fn close(&mut self, keep: &[f64]) {
        for (tier, &keep) in keep.iter().enumerate() {
            if keep != 1.0 {
                self.tiers[tier].scale *= keep;
                self.retire(tier);
            }
        }
    }

    fn open(&mut self, opened: &Opened<'_>) {
        for (index, (tier, &quantity)) in opened.mix.tiers.iter().zip(opened.quantities).enumerate() {
            if quantity <= 0.0 {
                continue;
            }
            let each = quantity / tier.log_offsets.len() as f64;
            let scale = self.tiers[index].scale;
            for side in Side::BOTH {
                for (jitter, offsets) in tier.log_offsets.iter().enumerate() {
                    let offset = offsets[side.index()];
                    let low = bucket_of(opened.ln_low + offset);
                    let high = bucket_of(opened.ln_high + offset);
                    self.prices.cover(low, high);
                    let buckets = f64::from(high - low + 1);
                    let stored = each / scale / buckets;
                    let level = Level {
                        id: self.next_id,
                        side,
                        tier: index,
                        jitter,
                        opened_ts: opened.ts,
                        entry_low: opened.entry_low,
                        entry_high: opened.entry_high,
                        liquidation_low: opened.entry_low * offset.exp(),
                        liquidation_high: opened.entry_high * offset.exp(),
                        opened_usd: stored * scale * self.prices.sum(low, high),
                        closed_usd: 0.0,
                        liquidated_usd: 0.0,
                        open_usd: 0.0,
                        liquidated_ts: None,
                        fate: Fate::Open,
                    };
                    self.next_id += 1;
                    let id = level.id;
                    let cohort = Cohort {
                        level,
                        low,
                        high,
                        buckets,
                        stored,
                        thinned: Vec::new(),
                        scale_opened: scale,
                        scale_settled: scale,
                    };
                    let (key, retirement) = (cohort.nearest_key(), cohort.retirement());
                    let place = self.free.pop().unwrap_or_else(|| {
                        self.store.push(None);
                        self.store.len() - 1
                    });
                    self.store[place] = Some(cohort);
                    self.tiers[index].nearest[side.index()].push(Entry { key, place, id });
                    self.tiers[index].retiring.push(Entry { key: retirement, place, id });
                }
            }
        }
    }
}

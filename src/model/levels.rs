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
use std::collections::{BinaryHeap, VecDeque};

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

    /// Returns how near to the price the cohort stands: the bucket of it that price reaches first, negative for shorts, so
    /// that a larger number is nearer on either side. Something of it must stand.
    fn nearness(&self) -> i32 {
        let own = (self.low <= self.high).then_some((self.low, self.high));
        let runs = own.into_iter().chain(self.thinned.iter().map(|run| (run.low, run.high)));
        let nearest = runs.map(|(low, high)| if self.level.side == Side::Long { high } else { -low }).max();
        debug_assert!(nearest.is_some(), "Invariant: what is queued stands");
        nearest.unwrap_or(i32::MIN)
    }
}

/// A cohort's place in the store and its number, which tells a reused place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    place: usize,
    id: i64,
}

/// A cohort and the scale of its tier below which it is retired.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Retirement {
    scale: f64,
    entry: Entry,
}

impl Eq for Retirement {}

impl PartialOrd for Retirement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Retirement {
    fn cmp(&self, other: &Self) -> Ordering {
        // At equal scales the older cohort first, so that the order of results never depends on the heap's shape.
        self.scale.total_cmp(&other.scale).then(other.entry.id.cmp(&self.entry.id))
    }
}

/// Which cohort of a tier is retired next: the one with the largest scale.
///
/// A scale only falls, so a cohort that opens later is retired later. It goes to the end of a queue; only what a sweep
/// changed needs the heap.
#[derive(Debug, Clone, Default)]
struct Retiring {
    queue: VecDeque<Retirement>,
    heap: BinaryHeap<Retirement>,
}

impl Retiring {
    fn push(&mut self, retirement: Retirement) {
        if self.queue.back().is_none_or(|last| retirement < *last) {
            self.queue.push_back(retirement);
        } else {
            self.heap.push(retirement);
        }
    }

    fn peek(&self) -> Option<Retirement> {
        self.queue.front().max(self.heap.peek()).copied()
    }

    fn pop(&mut self) {
        if self.queue.front() > self.heap.peek() {
            self.queue.pop_front();
        } else {
            self.heap.pop();
        }
    }

    fn memory(&self) -> usize {
        (self.queue.capacity() + self.heap.capacity()) * size_of::<Retirement>()
    }
}

/// The cohorts of one side and tier by the bucket that price reaches first.
#[derive(Debug, Clone, Default)]
struct Nearest {
    first: i32,
    /// By nearness; a list may name cohorts that are retired.
    lists: Vec<Vec<Entry>>,
    /// No list above is in use.
    nearest: i32,
}

impl Nearest {
    fn push(&mut self, nearness: i32, entry: Entry) {
        /// Lists added beyond what is needed.
        const SLACK: i32 = 512;
        if self.lists.is_empty() {
            (self.first, self.nearest) = (nearness - SLACK, nearness);
        } else if nearness < self.first {
            let added = (self.first - nearness + SLACK) as usize;
            self.lists.splice(0..0, std::iter::repeat_n(Vec::new(), added));
            self.first -= added as i32;
        }
        let index = (nearness - self.first) as usize;
        if index >= self.lists.len() {
            self.lists.resize(index + SLACK as usize, Vec::new());
        }
        self.lists[index].push(entry);
        self.nearest = self.nearest.max(nearness);
    }

    /// Takes out all at or nearer than a bucket: the nearest first, of one bucket the oldest first.
    fn take(&mut self, reached: i32, taken: &mut Vec<Entry>) {
        while !self.lists.is_empty() && self.nearest >= reached.max(self.first) {
            let list = &mut self.lists[(self.nearest - self.first) as usize];
            let start = taken.len();
            taken.append(list);
            taken[start..].sort_unstable_by_key(|entry| entry.id);
            self.nearest -= 1;
        }
    }

    fn memory(&self) -> usize {
        let entries: usize = self.lists.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.lists.capacity() * size_of::<Vec<Entry>>()
    }
}

#[derive(Debug, Clone)]
struct TierState {
    scale: f64,
    /// Longs, shorts.
    nearest: [Nearest; 2],
    retiring: Retiring,
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
    /// What one sweep takes out of the lists; empty between sweeps.
    taken: Vec<Entry>,
}

impl Levels {
    /// Makes an empty record.
    pub fn new(parameters: &Parameters) -> Levels {
        let tier = || TierState {
            scale: 1.0,
            nearest: [Nearest::default(), Nearest::default()],
            retiring: Retiring::default(),
        };
        Levels {
            tiers: parameters.tiers.iter().map(|_| tier()).collect(),
            store: Vec::new(),
            free: Vec::new(),
            finished: Vec::new(),
            prices: Prices::default(),
            usd_factor: parameters.usd_factor(),
            wick_retention: parameters.wick_retention,
            next_id: 1,
            taken: Vec::new(),
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
        let of_tier =
            |tier: &TierState| tier.retiring.memory() + tier.nearest.iter().map(Nearest::memory).sum::<usize>();
        let queues: usize = self.tiers.iter().map(of_tier).sum();
        let thinned = if self.wick_retention > 0.0 {
            self.store.iter().flatten().map(|cohort| cohort.thinned.capacity()).sum()
        } else {
            0
        };
        queues
            + thinned * size_of::<Thinned>()
            + self.store.capacity() * size_of::<Option<Cohort>>()
            + self.finished.capacity() * size_of::<Level>()
            + self.free.capacity() * size_of::<usize>()
            + self.prices.memory()
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
        while let Some(Retirement { scale: due, entry }) = self.tiers[tier].retiring.peek() {
            if due <= scale && scale > 0.0 {
                break;
            }
            self.tiers[tier].retiring.pop();
            let cohort = standing(&mut self.store, entry).filter(|cohort| cohort.retirement() == due);
            let fate = cohort.map(|cohort| {
                let per_stored = cohort.settle(scale, &self.prices);
                cohort.level.closed_usd += per_stored * scale;
                if cohort.level.liquidated_ts.is_some() { Fate::Swept } else { Fate::Closed }
            });
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
                let entry = Entry { place, id: cohort.level.id };
                retiring.push(Retirement { scale: cohort.retirement(), entry });
            }
        }
        retiring.sort_unstable_by(|a, b| b.cmp(a));
        self.tiers[tier].retiring = Retiring { queue: VecDeque::from(retiring), heap: BinaryHeap::new() };
    }

    fn sweep_side(&mut self, tier: usize, ts: i64, swept: &Swept) {
        // Invariant: a cohort that stands is in exactly one list of its side and tier.
        let reached = if swept.side == Side::Long { swept.reached } else { -swept.reached };
        let scale = self.tiers[tier].scale;
        let mut taken = std::mem::take(&mut self.taken);
        self.tiers[tier].nearest[swept.side.index()].take(reached, &mut taken);
        for entry in taken.drain(..) {
            let Some(cohort) = standing(&mut self.store, entry) else { continue };
            cohort.settle(scale, &self.prices);
            let before = cohort.level.liquidated_usd;
            let is_left = cohort.sweep(swept, scale, &self.prices);
            if cohort.level.liquidated_usd > before {
                cohort.level.liquidated_ts = Some(ts);
            }
            if is_left {
                // What a wick leaves stands where it was: all were taken out before the first goes back.
                let retirement = Retirement { scale: cohort.retirement(), entry };
                self.tiers[tier].nearest[swept.side.index()].push(cohort.nearness(), entry);
                self.tiers[tier].retiring.push(retirement);
            } else {
                self.finish(entry, Fate::Swept);
            }
        }
        self.taken = taken;
    }
}

/// The cohort of an entry, if it still stands.
fn standing(store: &mut [Option<Cohort>], entry: Entry) -> Option<&mut Cohort> {
    store[entry.place].as_mut().filter(|cohort| cohort.level.id == entry.id)
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
            let ln_close = reach.close.ln();
            whole_long = lowest_long.max(first_centre_at_or_above(ln_close));
            whole_short = highest_short.min(last_centre_at_or_below(ln_close));
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
                for (jitter, (offsets, factors)) in tier.log_offsets.iter().zip(&tier.factors).enumerate() {
                    let (offset, factor) = (offsets[side.index()], factors[side.index()]);
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
                        liquidation_low: opened.entry_low * factor,
                        liquidation_high: opened.entry_high * factor,
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
                    let (nearness, retirement) = (cohort.nearness(), cohort.retirement());
                    let place = self.free.pop().unwrap_or_else(|| {
                        self.store.push(None);
                        self.store.len() - 1
                    });
                    self.store[place] = Some(cohort);
                    let entry = Entry { place, id };
                    self.tiers[index].nearest[side.index()].push(nearness, entry);
                    self.tiers[index].retiring.push(Retirement { scale: retirement, entry });
                }
            }
        }
    }
}

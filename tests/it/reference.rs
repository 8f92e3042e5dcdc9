//! The model a second time: slow, and written from its description alone, to hold the fast one against.
//!
//! Every cohort is a struct with one quantity per bucket; every bar walks all of them; there is no lazy scale, no
//! heap, no running sum, no table of prices. Of the crate it uses only the words in which a question is put: bars,
//! parameters, sides and margin rules. Open interest is resolved for all bars in advance, so nothing is postponed.
//!
//! ```text
//! bars ─► state of open interest at every open and close ─► each bar: re-anchor, (snapshot), sweep, close, open
//! ```
//!
//! Where the description is silent the choice is said at the place: `[silent]`.

use liqsql::model::bar::Bar;
use liqsql::model::closing::Closing;
use liqsql::model::leverage::MarginRule;
use liqsql::model::opening::Opening;
use liqsql::model::parameters::{Entry, Parameters, Scale};
use liqsql::model::side::Side;

/// Width of a bucket in ln(price).
const WIDTH: f64 = 0.0002;

/// Price at the centre of a bucket.
pub fn centre(bucket: i32) -> f64 {
    ((f64::from(bucket) + 0.5) * WIDTH).exp()
}

fn bucket(price: f64) -> i32 {
    (price.ln() / WIDTH).floor() as i32
}

/// Positions that one bar opened on one side, with one leverage and one jitter.
#[derive(Debug, Clone)]
pub struct Cohort {
    pub opened_ts: i64,
    pub side: Side,
    pub tier: usize,
    pub jitter: usize,
    pub liquidation_low: f64,
    pub liquidation_high: f64,
    /// Bucket of the first quantity.
    pub first: i32,
    /// Base units by bucket.
    pub quantities: Vec<f64>,
    pub opened_size: f64,
    pub opened_usd: f64,
    pub closed_usd: f64,
    pub liquidated_usd: f64,
    pub liquidated_ts: Option<i64>,
}

impl Cohort {
    pub fn size(&self) -> f64 {
        self.quantities.iter().sum()
    }

    pub fn usd(&self) -> f64 {
        self.quantities.iter().zip(self.first..).map(|(quantity, bucket)| quantity * centre(bucket)).sum()
    }

    /// `swept`, `closed` or `open`.
    pub fn fate(&self) -> &'static str {
        if self.size() > 0.0 {
            "open"
        } else if self.liquidated_ts.is_some() {
            "swept"
        } else {
            "closed"
        }
    }
}

/// What a bar did to one side of one tier, and what stands after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    pub opened_usd: f64,
    pub closed_usd: f64,
    pub liquidated_usd: f64,
    pub standing_usd: f64,
    pub standing_size: f64,
}

/// Base units by rising bucket.
pub type Buckets = Vec<(i32, f64)>;

/// One bar, by side (longs, shorts) and then by tier.
#[derive(Debug, Clone)]
pub struct Record {
    /// What stands before the bar.
    pub before: [Vec<Buckets>; 2],
    /// What the bar did.
    pub accounts: [Vec<Account>; 2],
    /// Open interest that the model used at the close.
    pub open_interest: f64,
}

/// Everything that happened.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub bars: Vec<Record>,
    /// Every cohort that ever opened something, in order of opening.
    pub cohorts: Vec<Cohort>,
}

/// What is asked of the reference besides the bars.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub parameters: &'a Parameters,
    /// Length of a bar, milliseconds.
    pub interval: i64,
    /// Margin rules by `known_since`; empty for the constant rate.
    pub rules: &'a [MarginRule],
    /// Whether cohorts below a millionth of what they opened are retired: levels do so, the book knows no cohorts.
    pub retire: bool,
    /// Whether `before` is filled.
    pub snapshots: bool,
}

/// Open interest at the open and at the close of a bar, and where the book must shrink to it.
#[derive(Debug, Clone, Copy)]
struct State {
    open: f64,
    close: f64,
    /// Factor before the snapshot: the value at the open is below the last one known.
    anchor: f64,
    /// Factor after the sweep: the first value ever is one at the close of this bar and below the estimate.
    late_anchor: f64,
}

/// The estimate from volume: 0.45 × the 30-day exponential mean of daily volume up to and with bar `last`.
fn open_interest_from_volume(bars: &[Bar], last: usize, interval: i64) -> f64 {
    let bars_per_day = 86_400_000.0 / interval as f64;
    let alpha = 2.0 / (30.0 * bars_per_day + 1.0);
    let weight = |i: usize| (1.0 - alpha).powi((last - i) as i32);
    let mean = (0..=last).map(|i| weight(i) * bars[i].volume).sum::<f64>() / (0..=last).map(weight).sum::<f64>();
    0.45 * mean * bars_per_day
}

fn states(bars: &[Bar], interval: i64) -> Vec<State> {
    let mut published = false;
    let mut previous: Option<f64> = None;
    let mut states = Vec::new();
    for (i, bar) in bars.iter().enumerate() {
        let ratio = |value: f64| previous.filter(|previous| value < *previous).map_or(1.0, |previous| value / previous);
        let state = if published || bar.open_interest.is_some() {
            published = true;
            // A gap carries the last value.
            let open = bar.open_interest.or(previous).expect("a published value came before");
            let next = bars.get(i + 1).and_then(|next| next.open_interest);
            let close = bar.open_interest_close.or(next).unwrap_or(open);
            State { open, close, anchor: ratio(open), late_anchor: 1.0 }
        } else if let Some(close) = bar.open_interest_close {
            published = true;
            // [silent] The change within the bar is unknown, so there is none; the switch happens when the value is
            // known, which is after the sweep.
            State { open: close, close, anchor: 1.0, late_anchor: ratio(close) }
        } else {
            let close = open_interest_from_volume(bars, i, interval);
            State { open: previous.unwrap_or(close), close, anchor: 1.0, late_anchor: 1.0 }
        };
        previous = Some(state.close);
        states.push(state);
    }
    states
}

/// Distances of a tier from its entry: long, short.
fn distances(leverage: f64, rate: f64) -> [f64; 2] {
    [1.0 - (1.0 - 1.0 / leverage) / (1.0 - rate), (1.0 + 1.0 / leverage) / (1.0 + rate) - 1.0]
}

/// Runs the model over the bars.
pub fn run(question: &Question<'_>, bars: &[Bar]) -> Outcome {
    let parameters = question.parameters;
    let tiers = parameters.tiers.len();
    let multipliers: Vec<f64> = if parameters.jitter == 0.0 {
        vec![1.0]
    } else {
        [-1.0, -0.5, 0.0, 0.5, 1.0].iter().map(|x| (x * parameters.jitter).exp()).collect()
    };
    let hazard = parameters.closing == Closing::Hazard;
    let states = states(bars, question.interval);
    let mut cohorts: Vec<Cohort> = Vec::new();
    let mut finished: Vec<Cohort> = Vec::new();
    let mut records = Vec::new();

    for (bar, state) in bars.iter().zip(&states) {
        let mut accounts = [vec![Account::default(); tiers], vec![Account::default(); tiers]];

        // Re-anchor. [silent] `never` and `half_life` are not bounded by open interest, so it does not touch them.
        if hazard && state.anchor < 1.0 {
            shrink(&mut cohorts, &mut accounts, &vec![state.anchor; tiers], question.retire);
        }

        // 0. Snapshot.
        let before = if question.snapshots { buckets(&cohorts, tiers) } else { Default::default() };

        // 1. Sweep.
        sweep(&mut cohorts, &mut accounts, bar, parameters.wick_retention, question.retire);
        if hazard && state.late_anchor < 1.0 {
            shrink(&mut cohorts, &mut accounts, &vec![state.late_anchor; tiers], question.retire);
        }

        // 2. Flows.
        let rule = question.rules.iter().rev().find(|rule| rule.known_since <= bar.ts);
        let rate = rule.map_or(parameters.maintenance_margin_rate, |rule| rule.maintenance_margin_rate);
        let max_leverage = rule.map_or(f64::INFINITY, |rule| rule.max_leverage);
        let usable: Vec<bool> = parameters
            .tiers
            .iter()
            .map(|&leverage| {
                leverage <= max_leverage && distances(leverage, rate).iter().all(|distance| *distance > 0.0005)
            })
            .collect();
        let weights: f64 = (0..tiers).filter(|&tier| usable[tier]).map(|tier| parameters.weights[tier]).sum();
        let change = state.close - state.open;
        let (up, down) = (change.max(0.0), (-change).max(0.0));
        let unexplained = (bar.volume - change.abs()).max(0.0);
        let churn = parameters.churn;
        let churned: Vec<f64> = parameters
            .tiers
            .iter()
            .map(|&leverage| {
                // [silent] What stands in a tier that a new rule has dropped turns over as if at 5 bp, at least.
                let turnover = 0.10 / distances(leverage, rate)[0].max(0.0005);
                (churn * turnover * unexplained / 2.0).min(state.open.min(state.close) / 2.0)
            })
            .collect();

        // 3. Close.
        let keep: Vec<f64> = match parameters.closing {
            Closing::Hazard => churned
                .iter()
                // Without open interest nothing stands.
                .map(|g| if state.open > 0.0 { (1.0 - (down + g) / state.open).max(0.0) } else { 0.0 })
                .collect(),
            Closing::Never => vec![1.0; tiers],
            Closing::HalfLife { milliseconds } => vec![0.5f64.powf(question.interval as f64 / milliseconds); tiers],
        };
        let aged = parameters.age_half_life.map_or(1.0, |half_life| 0.5f64.powf(question.interval as f64 / half_life));
        let keep: Vec<f64> = keep.iter().map(|keep| keep * aged).collect();
        shrink(&mut cohorts, &mut accounts, &keep, question.retire);

        // 4. Open.
        for tier in (0..tiers).filter(|&tier| usable[tier]) {
            let weight = parameters.weights[tier] / weights;
            let quantity = weight
                * match (parameters.opening, hazard) {
                    (Opening::OpenInterest, _) => up,
                    (Opening::Turnover, true) => up + churned[tier],
                    (Opening::Volume, true) => churned[tier],
                    (Opening::Turnover, false) => up + churn * unexplained / 2.0,
                    (Opening::Volume, false) => churn * bar.volume / 2.0,
                };
            if quantity <= 0.0 {
                continue;
            }
            let (entry_low, entry_high) = match parameters.entry {
                Entry::Uniform => (bar.low, bar.high),
                Entry::Hlc3 => ((bar.high + bar.low + bar.close) / 3.0, (bar.high + bar.low + bar.close) / 3.0),
                Entry::Close => (bar.close, bar.close),
                Entry::Open => (bar.open, bar.open),
            };
            let distances = distances(parameters.tiers[tier], rate);
            for side in Side::BOTH {
                for (jitter, multiplier) in multipliers.iter().enumerate() {
                    let distance = (distances[side as usize] * multiplier).min(0.6);
                    let factor = 1.0 - side.sign() * distance;
                    let (liquidation_low, liquidation_high) = (entry_low * factor, entry_high * factor);
                    let (first, last) = (bucket(liquidation_low), bucket(liquidation_high));
                    let count = (last - first + 1) as usize;
                    let each = quantity / multipliers.len() as f64 / count as f64;
                    let mut cohort = Cohort {
                        opened_ts: bar.ts,
                        side,
                        tier,
                        jitter,
                        liquidation_low,
                        liquidation_high,
                        first,
                        quantities: vec![each; count],
                        opened_size: 0.0,
                        opened_usd: 0.0,
                        closed_usd: 0.0,
                        liquidated_usd: 0.0,
                        liquidated_ts: None,
                    };
                    cohort.opened_size = cohort.size();
                    cohort.opened_usd = cohort.usd();
                    accounts[side as usize][tier].opened_usd += cohort.opened_usd;
                    cohorts.push(cohort);
                }
            }
        }

        // 5. Long bars sweep what they opened.
        if question.interval > 15 * 60_000 {
            sweep(&mut cohorts, &mut accounts, bar, parameters.wick_retention, question.retire);
        }

        for cohort in &cohorts {
            let account = &mut accounts[cohort.side as usize][cohort.tier];
            account.standing_usd += cohort.usd();
            account.standing_size += cohort.size();
        }
        let factor = match parameters.scale {
            Scale::Book => 1.0,
            Scale::Expected => parameters.coverage,
        };
        for account in accounts.iter_mut().flatten() {
            for amount in [
                &mut account.opened_usd,
                &mut account.closed_usd,
                &mut account.liquidated_usd,
                &mut account.standing_usd,
                &mut account.standing_size,
            ] {
                *amount *= factor;
            }
        }
        records.push(Record { before, accounts, open_interest: state.close });
        let (standing, gone) = cohorts.into_iter().partition(|cohort| cohort.size() > 0.0);
        cohorts = standing;
        finished.extend::<Vec<Cohort>>(gone);
    }
    finished.extend(cohorts);
    finished.sort_by_key(|cohort| (cohort.opened_ts, cohort.tier, cohort.side, cohort.jitter));
    Outcome { bars: records, cohorts: finished }
}

fn retire(cohort: &mut Cohort, account: &mut Account) {
    if cohort.size() < 1e-6 * cohort.opened_size {
        let rest = cohort.usd();
        cohort.closed_usd += rest;
        account.closed_usd += rest;
        cohort.quantities.fill(0.0);
    }
}

/// Every cohort shrinks to the share of its tier.
fn shrink(cohorts: &mut [Cohort], accounts: &mut [Vec<Account>; 2], keep: &[f64], retires: bool) {
    for cohort in cohorts {
        let account = &mut accounts[cohort.side as usize][cohort.tier];
        let closed = cohort.usd() * (1.0 - keep[cohort.tier]);
        cohort.quantities.iter_mut().for_each(|quantity| *quantity *= keep[cohort.tier]);
        cohort.closed_usd += closed;
        account.closed_usd += closed;
        if retires {
            retire(cohort, account);
        }
    }
}

/// Longs with a centre at or above the low and shorts with a centre at or below the high are liquidated; of those that the
/// close did not pass a share stays.
fn sweep(cohorts: &mut [Cohort], accounts: &mut [Vec<Account>; 2], bar: &Bar, retention: f64, retires: bool) {
    let (low, high, close) = (bar.low.ln(), bar.high.ln(), bar.close.ln());
    for cohort in cohorts {
        let account = &mut accounts[cohort.side as usize][cohort.tier];
        for (quantity, bucket) in cohort.quantities.iter_mut().zip(cohort.first..) {
            let ln_centre = (f64::from(bucket) + 0.5) * WIDTH;
            let reached = match cohort.side {
                Side::Long => ln_centre >= low,
                Side::Short => ln_centre <= high,
            };
            let passed = match cohort.side {
                Side::Long => ln_centre >= close,
                Side::Short => ln_centre <= close,
            };
            let stays = if passed { 0.0 } else { *quantity * retention };
            if reached && *quantity > stays {
                let usd = (*quantity - stays) * centre(bucket);
                cohort.liquidated_usd += usd;
                cohort.liquidated_ts = Some(bar.ts);
                account.liquidated_usd += usd;
                *quantity = stays;
            }
        }
        if retires {
            retire(cohort, account);
        }
    }
}

fn buckets(cohorts: &[Cohort], tiers: usize) -> [Vec<Buckets>; 2] {
    Side::BOTH.map(|side| {
        (0..tiers)
            .map(|tier| {
                let held = cohorts.iter().filter(|cohort| cohort.side == side && cohort.tier == tier);
                let mut all: Buckets =
                    held.flat_map(|cohort| (cohort.first..).zip(cohort.quantities.iter().copied())).collect();
                all.retain(|(_, quantity)| *quantity > 0.0);
                all.sort_by_key(|(bucket, _)| *bucket);
                let mut sums: Buckets = Vec::new();
                for (bucket, quantity) in all {
                    match sums.last_mut() {
                        Some(last) if last.0 == bucket => last.1 += quantity,
                        _ => sums.push((bucket, quantity)),
                    }
                }
                sums
            })
            .collect()
    })
}

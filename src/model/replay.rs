//! What happens in a bar, in which order.
//!
//! In: the bars of one (exchange, symbol) in order of time, and the parameters. Out: calls on a [`Standing`], which
//! holds what stands. For bar `i`, with open interest `OI0` at its open and `OI1` at its close:
//!
//! ```text
//! settle   what an earlier bar left open, if its OI1 was unknown until this bar's OI0 came
//! begin    margin rules known at its open; re-anchor: if OI0 < the previous OI1, everything shrinks by the ratio
//!          ── the snapshot: what stands BEFORE bar i ──
//! end      1 sweep   longs at or above the low, shorts at or below the high are liquidated;
//!                    wick_retention leaves a share of those that the close did not pass
//!          2 close   proportionally, by tier; age_half_life closes more
//!          3 open    on both sides in equal amount
//!          4 bars longer than 15 minutes sweep what they opened themselves
//! ```
//!
//! Invariant: nothing depends on a later bar, apart from an unknown `OI1`, which is the next bar's `OI0`; so a prefix
//! of the bars gives a prefix of the snapshots. Under the hazard closing what stands on a side never exceeds `OI1`, as long
//! as the margin rules do not change: a rule that lets tiers in or out changes the shares of what opens, not of what stands.

use super::bar::{Bar, VolumeOpenInterest};
use super::leverage::{MarginRule, Mix};
use super::opening::Traded;
use super::parameters::{Entry, LONGEST_BAR_THAT_SPARES_ITS_OWN, Parameters};

/// What one bar opens, the same quantities on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'a> {
    /// Open of the bar, milliseconds since the epoch.
    pub ts: i64,
    /// Lowest entry price.
    pub entry_low: f64,
    /// Highest entry price.
    pub entry_high: f64,
    /// ln of the lowest entry price.
    pub ln_low: f64,
    /// ln of the highest entry price.
    pub ln_high: f64,
    /// The tiers and their offsets.
    pub mix: &'a Mix,
    /// Base units opened per side, one a tier.
    pub quantities: &'a [f64],
}

/// How far one bar reached, in ln(price).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Open of the bar, milliseconds since the epoch.
    pub ts: i64,
    /// ln of its low.
    pub ln_low: f64,
    /// ln of its high.
    pub ln_high: f64,
    /// Its close: what lies between the close and an extreme was reached by a wick only.
    pub close: f64,
}

/// Something that holds positions by liquidation price.
///
/// All positions of a tier, of both sides, shrink by one factor; implementations apply it lazily.
pub trait Standing {
    /// A new bar begins: amounts reported per bar start at zero.
    fn begin(&mut self);
    /// Everything shrinks to `factor` of its size.
    fn keep_all(&mut self, factor: f64);
    /// Longs with a bucket centre at or above the low and shorts at or below the high are liquidated: wholly those that
    /// the close passed too, of those that a wick reached all but the share that wicks leave
    /// ([`Parameters::wick_retention`]).
    fn sweep(&mut self, reach: &Reach);
    /// Each tier shrinks to its share of `keep`.
    fn close(&mut self, keep: &[f64]);
    /// Positions are opened, spread evenly over the buckets from low to high.
    fn open(&mut self, opened: &Opened<'_>);
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    bar: Bar,
    reach: Reach,
    open_interest: f64,
}

/// Drives a [`Standing`] through the bars of one (exchange, symbol).
///
/// ```
/// use liqsql::model::{bar::Bar, book::Book, parameters::Parameters, replay::Replay};
/// let parameters = Parameters::default();
/// let mut replay = Replay::new(&parameters, 300_000, Vec::new(), Book::new(&parameters));
/// for i in 0..3 {
///     let bar = Bar {
///         ts: i * 300_000, open: 100.0, high: 101.0, low: 99.0, close: 100.0, volume: 10.0,
///         open_interest: Some(1000.0), open_interest_close: Some(1000.0),
///     };
///     replay.begin(&bar);
///     // Here `replay.standing()` is the book before the bar.
///     replay.end(&bar);
/// }
/// assert!(replay.standing().totals().iter().all(|side| side.standing_size > 0.0));
/// ```
#[derive(Debug, Clone)]
pub struct Replay<S> {
    parameters: Parameters,
    interval: i64,
    rules: Vec<MarginRule>,
    rules_applied: usize,
    mix: Mix,
    volume_estimate: VolumeOpenInterest,
    /// Whether an open interest was ever published for this key.
    published: bool,
    /// Open interest that the model used after the last bar.
    open_interest: Option<f64>,
    /// Open interest before the current bar.
    before: Option<f64>,
    reach: Reach,
    pending: Option<Pending>,
    /// Share of everything that age leaves after one bar.
    age_keep: f64,
    keep: Vec<f64>,
    quantities: Vec<f64>,
    bars: u64,
    standing: S,
}

impl<S: Standing> Replay<S> {
    /// Starts from an empty book.
    ///
    /// `interval` is the length of a bar in milliseconds; `rules` are the margin rules sorted by `known_since`, empty
    /// for the constant rate of the parameters.
    pub fn new(parameters: &Parameters, interval: i64, rules: Vec<MarginRule>, standing: S) -> Self {
        let mix = parameters.mix(None);
        let tiers = mix.tiers.len();
        Replay {
            parameters: parameters.clone(),
            interval,
            rules,
            rules_applied: 0,
            mix,
            volume_estimate: VolumeOpenInterest::new(interval),
            published: false,
            open_interest: None,
            before: None,
            reach: Reach { ts: 0, ln_low: 0.0, ln_high: 0.0, close: 0.0 },
            pending: None,
            age_keep: parameters.age_half_life.map_or(1.0, |half_life| (-(interval as f64) / half_life).exp2()),
            keep: vec![1.0; tiers],
            quantities: vec![0.0; tiers],
            bars: 0,
            standing,
        }
    }

    /// Replaces the resolved mix; its tiers must be as many as the parameters'.
    #[must_use]
    pub fn with_mix(mut self, mix: Mix) -> Self {
        debug_assert_eq!(mix.tiers.len(), self.mix.tiers.len(), "Invariant: one resolved tier per parameter");
        self.mix = mix;
        self
    }

    /// Returns what stands.
    pub fn standing(&self) -> &S {
        &self.standing
    }

    /// Returns what stands, to take finished records out of it.
    pub fn standing_mut(&mut self) -> &mut S {
        &mut self.standing
    }

    /// Ends the replay and returns what stands.
    pub fn into_standing(self) -> S {
        self.standing
    }

    /// Returns the length of a bar in milliseconds.
    pub fn interval(&self) -> i64 {
        self.interval
    }

    /// Returns the open interest that the model used after the last settled bar, base units.
    pub fn open_interest(&self) -> Option<f64> {
        self.open_interest
    }

    /// Returns how many bars were begun.
    pub fn bars(&self) -> u64 {
        self.bars
    }

    /// Returns whether the last bar still waits for its open interest at the close.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Completes an earlier bar whose open interest at the close was unknown. Returns whether there was one.
    ///
    /// It is the open interest at the open of `next`; without a next bar, or where that has none, it did not change.
    pub fn settle(&mut self, next: Option<&Bar>) -> bool {
        let Some(pending) = self.pending.take() else { return false };
        let after = next.and_then(|bar| bar.open_interest).unwrap_or(pending.open_interest);
        self.flow(&pending.bar, &pending.reach, pending.open_interest, after);
        true
    }

    /// Begins a bar: afterwards what stands is the snapshot before it.
    pub fn begin(&mut self, bar: &Bar) {
        self.settle(Some(bar));
        self.standing.begin();
        self.bars += 1;
        self.apply_rules(bar.ts);
        self.reach = reach_of(bar);
        self.published |= bar.open_interest.is_some();
        self.before = bar.open_interest.or(self.open_interest);
        self.anchor();
    }

    /// Shrinks everything where open interest before the bar is below the last one known.
    fn anchor(&mut self) {
        if self.parameters.closing.is_bounded_by_open_interest()
            && let (Some(before), Some(previous)) = (self.before, self.open_interest)
            && before < previous
        {
            self.standing.keep_all(before / previous);
        }
    }

    /// Ends a bar: it sweeps, and its positions close and open, at once or when its open interest becomes known.
    pub fn end(&mut self, bar: &Bar) {
        let reach = self.reach;
        self.standing.sweep(&reach);
        if !self.published && bar.open_interest_close.is_some() {
            // The first published value is one at a close: it is not known before, and the bar's own change is unknown.
            self.published = true;
            self.before = bar.open_interest_close;
            self.anchor();
        }
        if !self.published {
            let after = self.volume_estimate.after(bar.volume);
            let before = self.before.unwrap_or(after);
            self.flow(bar, &reach, before, after);
        } else if let Some(after) = bar.open_interest_close {
            let before = self.before.unwrap_or(after);
            self.flow(bar, &reach, before, after);
        } else {
            let open_interest = self.before.unwrap_or(0.0);
            self.open_interest = Some(open_interest);
            self.pending = Some(Pending { bar: *bar, reach, open_interest });
        }
    }

    fn apply_rules(&mut self, ts: i64) {
        let known = self.rules[self.rules_applied..].partition_point(|rule| rule.known_since <= ts);
        if known > 0 {
            self.rules_applied += known;
            self.mix = self.parameters.mix(self.rules.get(self.rules_applied - 1));
        }
    }

    fn flow(&mut self, bar: &Bar, reach: &Reach, before: f64, after: f64) {
        let parameters = &self.parameters;
        let traded = Traded { volume: bar.volume, open_interest_before: before, open_interest_after: after };
        let hazard = parameters.closing.is_bounded_by_open_interest();
        for (i, tier) in self.mix.tiers.iter().enumerate() {
            let churned = if hazard { traded.churned(parameters.churn, tier.turnover) } else { 0.0 };
            self.keep[i] = parameters.closing.keep(&traded, churned, self.interval) * self.age_keep;
            let opened = if hazard {
                traded.opened_with_hazard(parameters.opening, churned)
            } else {
                traded.opened_without_hazard(parameters.opening, parameters.churn)
            };
            self.quantities[i] = tier.weight * opened;
        }
        self.standing.close(&self.keep);
        let (entry_low, entry_high) = match parameters.entry {
            Entry::Uniform => (bar.low, bar.high),
            Entry::Hlc3 => {
                let price = (bar.high + bar.low + bar.close) / 3.0;
                (price, price)
            }
            Entry::Close => (bar.close, bar.close),
            Entry::Open => (bar.open, bar.open),
        };
        let (ln_low, ln_high) = match parameters.entry {
            Entry::Uniform => (reach.ln_low, reach.ln_high),
            _ => {
                let ln_entry = entry_low.ln();
                (ln_entry, ln_entry)
            }
        };
        self.standing.open(&Opened {
            ts: bar.ts,
            entry_low,
            entry_high,
            ln_low,
            ln_high,
            mix: &self.mix,
            quantities: &self.quantities,
        });
        if self.interval > LONGEST_BAR_THAT_SPARES_ITS_OWN {
            self.standing.sweep(reach);
        }
        self.open_interest = Some(after);
    }
}

fn reach_of(bar: &Bar) -> Reach {
    Reach { ts: bar.ts, ln_low: bar.low.ln(), ln_high: bar.high.ln(), close: bar.close }
}

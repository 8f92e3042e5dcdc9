//! What funding and pools say together, and how often that came true.
//!
//! In: the pools of a frame, the last settled funding rate, and, where bars are known, what price did afterwards. Out: a
//! direction with 0, 1 or 2 confirmations, and counts of what followed the same configuration before.
//!
//! ```text
//! magnet   the largest pool within max_distance, if it is dominance × the largest on the other side      above ─► up
//! funding  per 8 h below −threshold: oversold, shorts pay ─► up       above +threshold: overbought ─► down
//!
//!             magnet above   magnet below   no magnet
//! oversold       up 2           none 0         up 1
//! overbought    none 0         down 2        down 1
//! neutral        up 1          down 1        none 0
//! ```
//!
//! These are evidence, not advice: a map shows where forced orders would come from if price went there, not that it does.
//! So every configuration is counted against what price does anyway. Neighbouring cases share most of their horizon;
//! `episodes` counts those that do not overlap.

use std::collections::VecDeque;
use std::fmt;

use super::side::Side;

/// A pool as the rule needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// The side of its positions: shorts stand above the price, longs below.
    pub side: Side,
    /// Where its largest cell stands.
    pub peak_price: f64,
    /// USD that stand in it.
    pub usd: f64,
}

/// Where price is said to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Nothing is said.
    None,
}

impl Direction {
    /// Returns the name as in tables.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::None => "none",
        }
    }
}

/// What a funding rate says of the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FundingState {
    /// Longs pay more than the threshold.
    Overbought,
    /// Shorts pay more than the threshold.
    Oversold,
    /// Between.
    Neutral,
}

impl FundingState {
    /// Reads a rate per 8 hours.
    pub fn of(rate_per_8h: f64, threshold: f64) -> FundingState {
        if rate_per_8h > threshold {
            FundingState::Overbought
        } else if rate_per_8h < -threshold {
            FundingState::Oversold
        } else {
            FundingState::Neutral
        }
    }

    /// Returns the name as in tables.
    pub fn name(self) -> &'static str {
        match self {
            FundingState::Overbought => "overbought",
            FundingState::Oversold => "oversold",
            FundingState::Neutral => "neutral",
        }
    }

    fn direction(self) -> Direction {
        match self {
            FundingState::Overbought => Direction::Down,
            FundingState::Oversold => Direction::Up,
            FundingState::Neutral => Direction::None,
        }
    }
}

/// Thresholds of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Pools farther from price than this fraction are no magnets.
    pub max_distance: f64,
    /// How many times larger than the largest on the other side a magnet is.
    pub dominance: f64,
    /// Rate per 8 hours, a fraction, beyond which funding says something.
    pub funding_threshold: f64,
}

/// The pool that is said to attract.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Magnet {
    /// The pool.
    pub pool: Pool,
    /// (peak − price) / price.
    pub distance: f64,
    /// Its USD over those of the largest pool within reach on the other side; `None` if there is none.
    pub dominance: Option<f64>,
}

/// What is said at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Where price is said to go.
    pub direction: Direction,
    /// How many of the two say so.
    pub confirmations: u8,
    /// The pool that says so, if one does.
    pub magnet: Option<Magnet>,
    /// What funding says; `None` if no rate is known.
    pub funding: Option<FundingState>,
}

impl Rule {
    /// Judges a frame.
    ///
    /// ```
    /// use liqsql::model::side::Side;
    /// use liqsql::model::signals::{Direction, Pool, Rule};
    /// let rule = Rule { max_distance: 0.05, dominance: 1.25, funding_threshold: 0.0001 };
    /// let pools = [Pool { side: Side::Short, peak_price: 91_000.0, usd: 40e6 }];
    /// // Price 88,000, a large pool above, and shorts pay 0.02 % per 8 hours: two confirmations of a rise.
    /// let signal = rule.judge(88_000.0, &pools, Some(-0.0002));
    /// assert_eq!((signal.direction, signal.confirmations), (Direction::Up, 2));
    /// ```
    pub fn judge(&self, price: f64, pools: &[Pool], rate_per_8h: Option<f64>) -> Signal {
        let magnet = self.magnet(price, pools);
        let funding = rate_per_8h.map(|rate| FundingState::of(rate, self.funding_threshold));
        let by_funding = funding.map_or(Direction::None, FundingState::direction);
        let by_magnet = match magnet.map(|magnet| magnet.pool.side) {
            Some(Side::Short) => Direction::Up,
            Some(Side::Long) => Direction::Down,
            None => Direction::None,
        };
        let (direction, confirmations) = match (by_magnet, by_funding) {
            (Direction::None, Direction::None) => (Direction::None, 0),
            (direction, Direction::None) | (Direction::None, direction) => (direction, 1),
            (a, b) if a == b => (a, 2),
            _ => (Direction::None, 0),
        };
        Signal { direction, confirmations, magnet, funding }
    }

    fn magnet(&self, price: f64, pools: &[Pool]) -> Option<Magnet> {
        let distance = |pool: &Pool| (pool.peak_price - price) / price;
        let largest = |side: Side| {
            let within = pools.iter().filter(|pool| pool.side == side && distance(pool).abs() <= self.max_distance);
            // Of equal ones the nearer.
            within.reduce(|best, pool| {
                let nearer = distance(pool).abs() < distance(best).abs();
                if pool.usd > best.usd || (pool.usd == best.usd && nearer) { pool } else { best }
            })
        };
        let (below, above) = (largest(Side::Long), largest(Side::Short));
        let (pool, other) = match (below, above) {
            (Some(below), Some(above)) if above.usd >= below.usd => (above, Some(below)),
            (Some(below), above) => (below, above),
            (None, Some(above)) => (above, None),
            (None, None) => return None,
        };
        let dominance = other.map(|other| pool.usd / other.usd);
        let enough = pool.usd > 0.0 && dominance.is_none_or(|dominance| dominance >= self.dominance);
        enough.then_some(Magnet { pool: *pool, distance: distance(pool), dominance })
    }
}

impl Signal {
    /// Says in plain words what speaks for it; `rate_per_8h` as it was judged.
    pub fn reasons(&self, rule: &Rule, rate_per_8h: Option<f64>) -> String {
        let limit = rule.max_distance * 100.0;
        let funding = match (self.funding, rate_per_8h) {
            (Some(FundingState::Oversold), Some(rate)) => {
                format!("oversold: shorts pay {:.4} % per 8 h", -rate * 100.0)
            }
            (Some(FundingState::Overbought), Some(rate)) => {
                format!("overbought: longs pay {:.4} % per 8 h", rate * 100.0)
            }
            (Some(FundingState::Neutral), Some(rate)) => {
                format!("funding is neutral at {:.4} % per 8 h", rate * 100.0)
            }
            _ => "no funding rate is known".to_owned(),
        };
        let magnet = match &self.magnet {
            None => format!("no pool within {limit} % stands out"),
            Some(Magnet { pool, distance, dominance }) => {
                let place = if pool.side == Side::Short { "above" } else { "below" };
                let against = match dominance {
                    Some(dominance) => format!("{dominance:.2} times the largest on the other side"),
                    None => "none on the other side".to_owned(),
                };
                let (usd, at) = (Usd(pool.usd), distance * 100.0);
                format!("pool of {usd} USD {place} at {} ({at:+.2} %), {against}", pool.peak_price)
            }
        };
        let disagree = self.confirmations == 0
            && self.magnet.is_some()
            && self.funding.is_some_and(|funding| funding != FundingState::Neutral);
        if disagree { format!("{funding}; but {magnet}") } else { format!("{funding}; {magnet}") }
    }
}

/// USD in three digits: `40.0M`.
struct Usd(f64);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e9, "B"), (1e6, "M"), (1e3, "k")];
        match units.iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1}{name}", self.0 / unit),
            None => write!(f, "{:.0}", self.0),
        }
    }
}

/// What price did after one configuration, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Share of the cases of the same configuration after which price went the way that was said.
    pub hit_rate: Option<f64>,
    /// Share of all cases, whatever was said, after which it went that way.
    pub base_rate: Option<f64>,
    /// Cases of the same configuration whose horizon is over.
    pub cases: u64,
    /// Those of them that do not overlap.
    pub episodes: u64,
}

/// A magnet's side and a funding state: what is counted apart.
type Configuration = (Option<Side>, Option<FundingState>);

#[derive(Debug, Clone, Copy)]
struct Open {
    ts: i64,
    price: f64,
    configuration: Configuration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    cases: u64,
    up: u64,
    down: u64,
    episodes: u64,
    last_episode: Option<i64>,
}

/// Counts what followed each configuration, as time goes on: at an instant only what was known then.
#[derive(Debug, Clone)]
pub struct History {
    horizon: i64,
    open: VecDeque<Open>,
    last_close: Option<(i64, f64)>,
    all: Counts,
    by_configuration: Vec<(Configuration, Counts)>,
}

impl History {
    /// Starts with an empty history; `horizon` in milliseconds.
    pub fn new(horizon: i64) -> History {
        History {
            horizon,
            open: VecDeque::new(),
            last_close: None,
            all: Counts::default(),
            by_configuration: Vec::new(),
        }
    }

    /// Takes a close and the instant at which it was known. Instants rise.
    pub fn close(&mut self, known: i64, close: f64) {
        self.settle(known - 1);
        self.last_close = Some((known, close));
    }

    /// Ends the cases whose horizon is over at an instant up to which all closes were taken.
    pub fn settle(&mut self, until: i64) {
        while let Some(case) = self.open.front().copied().filter(|case| case.ts + self.horizon <= until) {
            self.open.pop_front();
            // Without a close since then nothing is known of what followed.
            if let Some((known, close)) = self.last_close.filter(|(known, _)| *known > case.ts) {
                debug_assert!(known <= case.ts + self.horizon, "Invariant: closes come in order");
                let of_configuration =
                    self.by_configuration.iter().position(|(configuration, _)| *configuration == case.configuration);
                let place = of_configuration.unwrap_or_else(|| {
                    self.by_configuration.push((case.configuration, Counts::default()));
                    self.by_configuration.len() - 1
                });
                for counts in [&mut self.all, &mut self.by_configuration[place].1] {
                    counts.cases += 1;
                    counts.up += u64::from(close > case.price);
                    counts.down += u64::from(close < case.price);
                    if counts.last_episode.is_none_or(|last| case.ts >= last + self.horizon) {
                        counts.last_episode = Some(case.ts);
                        counts.episodes += 1;
                    }
                }
            }
        }
    }

    /// Returns what is known of a signal's configuration.
    pub fn rates(&self, signal: &Signal) -> Rates {
        let configuration = configuration(signal);
        let same = self.by_configuration.iter().find(|(known, _)| *known == configuration);
        let same = same.map(|(_, counts)| *counts).unwrap_or_default();
        let share = |counts: &Counts| match signal.direction {
            _ if counts.cases == 0 => None,
            Direction::Up => Some(counts.up as f64 / counts.cases as f64),
            Direction::Down => Some(counts.down as f64 / counts.cases as f64),
            Direction::None => None,
        };
        Rates { hit_rate: share(&same), base_rate: share(&self.all), cases: same.cases, episodes: same.episodes }
    }

    /// Opens a case: what is said at an instant, at a price.
    pub fn open(&mut self, ts: i64, price: f64, signal: &Signal) {
        self.open.push_back(Open { ts, price, configuration: configuration(signal) });
    }

    /// Returns the bytes held.
    pub fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
            + self.by_configuration.capacity() * size_of::<(Configuration, Counts)>()
    }
}

fn configuration(signal: &Signal) -> Configuration {
    (signal.magnet.map(|magnet| magnet.pool.side), signal.funding)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { max_distance: 0.05, dominance: 1.25, funding_threshold: 0.0001 };

    fn pool(side: Side, peak_price: f64, usd: f64) -> Pool {
        Pool { side, peak_price, usd }
    }

    fn said(pools: &[Pool], rate: Option<f64>) -> (Direction, u8) {
        let signal = RULE.judge(88_000.0, pools, rate);
        (signal.direction, signal.confirmations)
    }

    #[test]
    fn the_table_of_the_rule() {
        let above = [pool(Side::Short, 91_000.0, 40e6), pool(Side::Long, 86_000.0, 30e6)];
        let below = [pool(Side::Short, 90_000.0, 30e6), pool(Side::Long, 85_000.0, 40e6)];
        let none = [pool(Side::Short, 90_000.0, 40e6), pool(Side::Long, 86_000.0, 40e6)];
        let (oversold, overbought, neutral) = (Some(-0.0002), Some(0.0002), Some(0.0001));
        assert_eq!(said(&above, oversold), (Direction::Up, 2));
        assert_eq!(said(&below, oversold), (Direction::None, 0));
        assert_eq!(said(&none, oversold), (Direction::Up, 1));
        assert_eq!(said(&above, overbought), (Direction::None, 0));
        assert_eq!(said(&below, overbought), (Direction::Down, 2));
        assert_eq!(said(&none, overbought), (Direction::Down, 1));
        for quiet in [neutral, None] {
            assert_eq!(said(&above, quiet), (Direction::Up, 1));
            assert_eq!(said(&below, quiet), (Direction::Down, 1));
            assert_eq!(said(&none, quiet), (Direction::None, 0));
        }
    }

    #[test]
    fn a_magnet_is_near_and_stands_out() {
        // Farther than 5 %: not seen, however large.
        assert_eq!(said(&[pool(Side::Short, 93_000.0, 1e9)], None), (Direction::None, 0));
        // 1.25 times exactly is enough, a little less is not.
        let two = |usd| [pool(Side::Short, 90_000.0, usd), pool(Side::Long, 86_000.0, 100.0)];
        assert_eq!(said(&two(125.0), None), (Direction::Up, 1));
        assert_eq!(said(&two(124.9), None), (Direction::None, 0));
        // The distant giant below does not count against the one above.
        let far = [pool(Side::Short, 90_000.0, 100.0), pool(Side::Long, 70_000.0, 1e9)];
        assert_eq!(said(&far, None), (Direction::Up, 1));
    }

    #[test]
    fn history_knows_only_what_is_over() {
        let signal = RULE.judge(100.0, &[pool(Side::Short, 102.0, 1.0)], None);
        let mut history = History::new(10);
        history.open(0, 100.0, &signal);
        history.close(5, 101.0);
        history.settle(9);
        assert_eq!(history.rates(&signal), Rates::default());
        // A close at the end of the horizon itself counts.
        history.close(10, 99.0);
        history.settle(10);
        let rates = history.rates(&signal);
        assert_eq!((rates.hit_rate, rates.base_rate, rates.cases, rates.episodes), (Some(0.0), Some(0.0), 1, 1));
        // Of two cases that overlap both count, but only the first that does not overlap is a new episode.
        for ts in [10, 12, 20] {
            history.open(ts, 100.0, &signal);
        }
        history.close(15, 103.0);
        history.close(31, 98.0);
        history.settle(31);
        let rates = history.rates(&signal);
        assert_eq!((rates.cases, rates.episodes), (3, 2));
        assert_eq!(rates.hit_rate, Some(2.0 / 3.0));
    }
}

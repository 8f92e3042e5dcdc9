//! Answers "what happens to the positions?": one market of one exchange, its margin rule, matching and liquidations.
//!
//! Amounts are whole lots and prices whole ticks, so that open interest and volume are exact sums. Every order is filled
//! at once by a market maker, which takes the other side; long and short sizes are therefore always equal.
//!
//! ```text
//! mark price ─► liquidations ┐
//! last price ─► stops, takes ├─► orders of the sub-step ─► trades at ticks ─► candle, open interest
//! time       ─► exits, opens ┘                                     └────────► forced lots, back to the price process
//! ```
//!
//! The rule is the one that Binance (USDⓈ-M) and Bybit (linear, since 2025-09-02) document: a position is closed when
//! its margin at the mark price no longer covers the maintenance margin of its bracket. Above the second bracket it is
//! first cut to the bracket below, as both exchanges describe for large positions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::{Draw, MeanReverting};
use super::trader::{Mood, STYLES, Trader, recruit, round_as_people_do};
use super::{
    Candle, ExchangeConfig, Funding, Liquidation, MarketConfig, OpenInterest, PositionSnapshot, SymbolConfig, Trade,
};
use crate::model::margin::{self, Bracket};
use crate::model::side::Side;

/// Accounts that make the market in each market.
const MARKET_MAKERS: usize = 6;
/// Positions above this bracket (counted from 0) are cut step by step, smaller ones are closed whole.
const LAST_WHOLE_BRACKET: usize = 1;
/// Largest position relative to the open interest that the market is configured for.
const LARGEST_SHARE: f64 = 0.006;
/// Arrivals per style relative to what planned holding times alone would need.
const ARRIVAL_FACTORS: [f64; STYLES.len()] = [0.8, 0.9, 1.5, 1.35];
const HOUR_MS: i64 = 3_600_000;

/// What a stop-type trigger of a position does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Close { forced: bool },
    AddMargin,
}

#[derive(Debug, Clone)]
struct Position {
    side: Side,
    lots: i64,
    entry_ticks: i64,
    /// Quote currency; falls with funding paid.
    margin: f64,
    initial_margin: f64,
    leverage: f64,
    liquidation_price: Option<f64>,
    lower: Option<(f64, Trigger)>,
    upper: Option<(f64, Trigger)>,
    expires_ms: i64,
}

/// An account's place in a market: at most one position.
#[derive(Debug, Clone)]
struct Account {
    trader: Trader,
    position: Option<Position>,
    /// Raised whenever the position changes; queue entries with an older version are ignored.
    version: u32,
}

/// Entry of a trigger queue. Positive floats order like their bits.
type Queued = (u64, u32, u32);

/// Positions by the price or time at which something happens to them; outdated entries are skipped when met.
#[derive(Debug, Default)]
struct Queues {
    long_liquidations: BinaryHeap<Queued>,
    short_liquidations: BinaryHeap<Reverse<Queued>>,
    lower_triggers: BinaryHeap<Queued>,
    upper_triggers: BinaryHeap<Reverse<Queued>>,
    expiries: BinaryHeap<Reverse<(i64, u32, u32)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct MarketMaker {
    /// Signed: positive is long.
    lots: i64,
    entry_price: f64,
}

impl MarketMaker {
    fn fill(&mut self, signed_lots: i64, price: f64) {
        let before = self.lots;
        let after = before + signed_lots;
        if before == 0 || before.signum() != after.signum() {
            self.entry_price = price;
        } else if after.abs() > before.abs() {
            let (old, new) = (before.abs() as f64, signed_lots.abs() as f64);
            self.entry_price = (self.entry_price * old + price * new) / (old + new);
        }
        self.lots = after;
    }
}

/// A candle in whole ticks and lots.
#[derive(Debug, Clone, Copy)]
struct BuildingBar {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
    taker_buy: i64,
}

#[derive(Debug)]
enum Intent {
    /// Index of the account, and its position once filled.
    Open {
        account: u32,
        position: Box<Position>,
    },
    Close,
    Liquidate {
        side: Side,
        trigger_price: f64,
        bankruptcy_price: Option<f64>,
    },
    /// Market makers among themselves.
    Churn,
}

#[derive(Debug)]
struct Order {
    offset_ms: i64,
    /// Keeps the order of arrival among equal offsets.
    sequence: u32,
    buy: bool,
    lots: i64,
    intent: Intent,
}

/// The sub-step as a market sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) ts_ms: i64,
    pub(super) duration_ms: i64,
    /// Natural logarithm of the reference price at the end of the sub-step.
    pub(super) log_reference: f64,
    pub(super) standard_move: f64,
    pub(super) activity: f64,
    /// Crowd sentiment that all exchanges share.
    pub(super) sentiment: f64,
    /// Probability that a trader forgets its care.
    pub(super) greed: f64,
    /// Willingness to open, 1 on average.
    pub(super) appetite: f64,
}

/// What a sub-step forced, in quote currency; positive bought, negative sold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Forced {
    pub(super) liquidated_usd: f64,
    pub(super) stopped_usd: f64,
}

/// One symbol on one exchange.
#[derive(Debug)]
pub(super) struct Market {
    /// Place in the sorted list of markets.
    key: usize,
    price_units: f64,
    size_units: f64,
    brackets: Vec<Bracket>,
    /// Sizes are multiples of this many lots.
    order_unit: i64,
    target_lots: f64,
    accounts: Vec<Account>,
    /// Accounts without a position, per style.
    idle: Vec<Vec<u32>>,
    mean_lots: [f64; STYLES.len()],
    opens_per_second: [f64; STYLES.len()],
    churn_mean_lots: f64,
    queues: Queues,
    makers: [MarketMaker; MARKET_MAKERS],
    /// Sum of the traders' sizes, longs then shorts.
    trader_lots: [i64; 2],
    last_log: f64,
    last_ticks: i64,
    mark_log: f64,
    /// Log distance of the mark from the reference price.
    mark_basis: f64,
    local_mood: MeanReverting,
    premium_noise: MeanReverting,
    /// Displacement by forced orders on this exchange, log price, gone within minutes.
    dislocation: f64,
    premium_sum: f64,
    premium_count: f64,
    funding_interval_ms: i64,
    draw: Draw,
    orders: Vec<Order>,
    sequence: u32,
    /// Largest breach of the margin rule after any sub-step, as a share of price; zero if there was none.
    pub(super) worst_breach: f64,
    building: Option<BuildingBar>,
    pub(super) recording: bool,
    pub(super) record_trades: bool,
    pub(super) candles: Vec<Candle>,
    pub(super) trades: Vec<Trade>,
    pub(super) open_interest: Vec<OpenInterest>,
    pub(super) funding: Vec<Funding>,
    pub(super) liquidations: Vec<Liquidation>,
    pub(super) positions: Vec<PositionSnapshot>,
}

impl Market {
    pub(super) fn new(
        key: usize,
        exchange: &ExchangeConfig,
        symbol: &SymbolConfig,
        config: &MarketConfig,
        step_seconds: f64,
        mut draw: Draw,
    ) -> Self {
        let brackets = config.brackets();
        let price_units = libm::pow(10.0, f64::from(symbol.price_decimals)).round();
        let size_units = libm::pow(10.0, f64::from(symbol.size_decimals)).round();
        let target_lots = config.open_interest * size_units;
        let standing = config.standing_positions as f64;
        let mut mean_lots = [0.0; STYLES.len()];
        let mut opens_per_second = [0.0; STYLES.len()];
        let mut accounts = Vec::new();
        let mut idle = Vec::new();
        for (index, style) in STYLES.iter().enumerate() {
            let count = (standing * style.count_share).max(4.0);
            // Traders hold both sides, twice the open interest.
            mean_lots[index] = 2.0 * target_lots * style.size_share / count;
            // Stops, targets and liquidations shorten the stay, so more must arrive to keep the number standing.
            opens_per_second[index] = ARRIVAL_FACTORS[index] * count / style.holding_mean_seconds();
            let mut places = Vec::new();
            for trader in recruit(index, (count * 2.2) as usize + 8, &mut draw) {
                places.push(accounts.len() as u32);
                accounts.push(Account { trader, position: None, version: 0 });
            }
            idle.push(places);
        }
        let start_log = libm::log(symbol.start_price);
        Self {
            key,
            price_units,
            size_units,
            brackets,
            order_unit: i64::from(symbol.lots_per_order_unit),
            target_lots,
            accounts,
            idle,
            mean_lots,
            opens_per_second,
            // Market makers trade about this share of the open interest a day among themselves, in some 11,000 trades.
            churn_mean_lots: target_lots * 0.4 / 11_000.0,
            queues: Queues::default(),
            makers: [MarketMaker::default(); MARKET_MAKERS],
            trader_lots: [0; 2],
            last_log: start_log,
            last_ticks: (symbol.start_price * price_units).round() as i64,
            mark_log: start_log,
            mark_basis: 0.0,
            local_mood: MeanReverting::new(64_800.0, 0.35, step_seconds, &mut draw),
            premium_noise: MeanReverting::new(2_400.0, 0.000_11, step_seconds, &mut draw),
            dislocation: 0.0,
            premium_sum: 0.0,
            premium_count: 0.0,
            funding_interval_ms: i64::from(exchange.funding_interval_hours) * HOUR_MS,
            draw,
            orders: Vec::new(),
            sequence: 0,
            worst_breach: 0.0,
            building: None,
            recording: false,
            record_trades: false,
            candles: Vec::new(),
            trades: Vec::new(),
            open_interest: Vec::new(),
            funding: Vec::new(),
            liquidations: Vec::new(),
            positions: Vec::new(),
        }
    }

    fn price(&self, ticks: i64) -> f64 {
        ticks as f64 / self.price_units
    }

    fn to_tick(&self, price: f64) -> f64 {
        (price * self.price_units).round() / self.price_units
    }

    fn size(&self, lots: i64) -> f64 {
        lots as f64 / self.size_units
    }

    /// Rounds a number of lots as people do, to whole order units.
    fn round_lots(&mut self, lots: f64) -> i64 {
        round_as_people_do(lots / self.order_unit as f64, &mut self.draw) * self.order_unit
    }

    /// Sums of long and of short sizes, market makers included, in lots.
    fn side_lots(&self) -> [i64; 2] {
        let mut sums = self.trader_lots;
        for maker in &self.makers {
            sums[usize::from(maker.lots < 0)] += maker.lots.abs();
        }
        sums
    }

    /// The traders' net position relative to the size the market is configured for.
    fn imbalance(&self) -> f64 {
        (self.trader_lots[0] - self.trader_lots[1]) as f64 / self.target_lots
    }

    /// What the usual open interest of this market is worth now, quote currency.
    pub(super) fn usual_open_interest_usd(&self) -> f64 {
        self.target_lots / self.size_units * self.price(self.last_ticks)
    }

    fn liquidation_price(&self, side: Side, lots: i64, entry_ticks: i64, margin: f64) -> Option<f64> {
        margin::liquidation_price_bracketed(side, self.price(entry_ticks), self.size(lots), margin, &self.brackets, 0.0)
            .and_then(|priced| priced.liquidation_price)
    }

    /// Index of the bracket that holds `notional`.
    fn bracket(&self, notional: f64) -> usize {
        self.brackets.partition_point(|bracket| bracket.cap <= notional).min(self.brackets.len() - 1)
    }

    /// Lets part of the long-lived population stand already, so that a short warm-up suffices.
    pub(super) fn populate(&mut self, ts_ms: i64) {
        let mood = Mood { sentiment: 0.0, imbalance: 0.0, greed: 0.0 };
        for (style, habits) in STYLES.iter().enumerate() {
            let standing = self.opens_per_second[style] * habits.holding_mean_seconds() * 0.85;
            for _ in 0..standing as usize {
                // Older positions were opened at other prices; how far away grows with how long the style holds.
                let spread = 0.02 * (habits.holding_median_seconds / 86_400.0).sqrt();
                let entry_log = self.last_log + spread * self.draw.normal();
                let entry_ticks = (libm::exp(entry_log) * self.price_units).round() as i64;
                if let Some((account, position)) = self.prepare(style, mood, ts_ms, entry_ticks, self.last_log) {
                    let signed = if position.side == Side::Long { position.lots } else { -position.lots };
                    self.fill_by_maker(signed, self.price(self.last_ticks));
                    self.stand(account, position);
                }
            }
        }
    }

    /// Draws a position for an idle account; `None` where none is idle or the margin rule forbids it.
    fn prepare(
        &mut self,
        style: usize,
        mood: Mood,
        ts_ms: i64,
        entry_ticks: i64,
        mark_log: f64,
    ) -> Option<(u32, Position)> {
        let places = self.idle[style].len();
        if places == 0 {
            return None;
        }
        let pick = self.draw.below(places);
        let account = self.idle[style][pick];
        let plan = self.accounts[account as usize].trader.plan(mood, &mut self.draw);
        let largest = self.target_lots * LARGEST_SHARE;
        let lots = self.round_lots((self.mean_lots[style] * plan.size_factor).min(largest));
        let entry = self.price(entry_ticks);
        let notional = self.size(lots) * entry;
        // The exchange refuses more leverage than the bracket of the position allows; people then take the largest.
        let leverage = plan.leverage.min(self.brackets[self.bracket(notional)].max_leverage).max(1.0);
        let initial_margin = notional / leverage;
        let margin = initial_margin * (1.0 + plan.extra_collateral);
        let side = if plan.long { Side::Long } else { Side::Short };
        let sign = side.sign();
        let liquidation_price = self.liquidation_price(side, lots, entry_ticks, margin);
        let mark = libm::exp(mark_log);
        // A position that would be liquidated at once is refused.
        if liquidation_price.is_some_and(|price| sign * (mark - price) <= 0.0002 * mark) {
            return None;
        }
        let to_liquidation = liquidation_price.map_or(0.9, |price| (price / entry - 1.0).abs());
        let adverse = match plan.stop_loss {
            Some(distance) => {
                let distance = distance.min(0.8 * to_liquidation);
                Some((entry * (1.0 - sign * distance), Trigger::Close { forced: true }))
            }
            None if plan.adds_margin => Some((entry * (1.0 - sign * 0.65 * to_liquidation), Trigger::AddMargin)),
            None => None,
        };
        let favourable = plan
            .take_profit
            .map(|distance| (entry * (1.0 + sign * distance).max(0.05), Trigger::Close { forced: false }));
        let (lower, upper) = if plan.long { (adverse, favourable) } else { (favourable, adverse) };
        self.idle[style].swap_remove(pick);
        Some((
            account,
            Position {
                side,
                lots,
                entry_ticks,
                margin,
                initial_margin,
                leverage,
                liquidation_price,
                lower,
                upper,
                expires_ms: ts_ms + plan.holding_ms,
            },
        ))
    }

    /// Puts a filled position on the books.
    fn stand(&mut self, account: u32, position: Position) {
        self.trader_lots[position.side as usize] += position.lots;
        self.accounts[account as usize].position = Some(position);
        self.arm(account);
    }

    /// Queues everything that can happen to the position of `account`, and outdates what was queued before.
    fn arm(&mut self, index: u32) {
        let account = &mut self.accounts[index as usize];
        account.version = account.version.wrapping_add(1);
        let version = account.version;
        let Some(position) = &account.position else {
            return;
        };
        if let Some(price) = position.liquidation_price {
            match position.side {
                Side::Long => self.queues.long_liquidations.push((price.to_bits(), index, version)),
                Side::Short => self.queues.short_liquidations.push(Reverse((price.to_bits(), index, version))),
            }
        }
        if let Some((price, _)) = position.lower {
            self.queues.lower_triggers.push((price.to_bits(), index, version));
        }
        if let Some((price, _)) = position.upper {
            self.queues.upper_triggers.push(Reverse((price.to_bits(), index, version)));
        }
        self.queues.expiries.push(Reverse((position.expires_ms, index, version)));
    }

    fn is_current(&self, index: u32, version: u32) -> bool {
        let account = &self.accounts[index as usize];
        account.version == version && account.position.is_some()
    }

    /// Takes the whole position of `index` off the books.
    fn leave(&mut self, index: u32) -> Option<Position> {
        let account = &mut self.accounts[index as usize];
        let position = account.position.take()?;
        account.version = account.version.wrapping_add(1);
        self.idle[account.trader.style].push(index);
        self.trader_lots[position.side as usize] -= position.lots;
        Some(position)
    }

    fn order(&mut self, offset_ms: i64, buy: bool, lots: i64, intent: Intent) {
        self.sequence += 1;
        self.orders.push(Order { offset_ms, sequence: self.sequence, buy, lots, intent });
    }

    fn random_offset(&mut self, moment: &Moment) -> i64 {
        self.draw.below(moment.duration_ms.max(1) as usize) as i64
    }

    /// Triggers fire as price arrives, so late in the sub-step.
    fn late_offset(&mut self, moment: &Moment) -> i64 {
        let half = (moment.duration_ms / 2).max(1);
        (half + self.draw.below(half as usize) as i64).min(moment.duration_ms - 1)
    }

    /// Runs one sub-step and returns what was forced.
    pub(super) fn step(&mut self, moment: &Moment) -> Forced {
        let seconds = moment.duration_ms as f64 / 1_000.0;
        let shock = self.draw.normal();
        self.premium_noise.advance(shock);
        let shock = self.draw.normal();
        self.local_mood.advance(shock);
        self.dislocation *= libm::exp(-seconds / 75.0);

        // Crowded longs pay more than the index: that premium is what funding answers.
        let imbalance = self.imbalance();
        let premium = self.premium_noise.value + 0.003_5 * imbalance + 0.000_08 * moment.sentiment;
        let last_before = self.last_log;
        let jitter = 0.000_03 * self.draw.normal();
        let last_after = moment.log_reference + premium + self.dislocation + jitter;
        // The mark follows the index and a slow mean of the premium, so a wick of one exchange does not liquidate.
        let mark_weight = 1.0 - libm::exp(-seconds / 150.0);
        self.mark_basis = (self.mark_basis * (1.0 - mark_weight) + (last_after - moment.log_reference) * mark_weight)
            .clamp(-0.004, 0.004);
        self.mark_log = moment.log_reference + self.mark_basis;
        self.last_log = last_after;
        self.premium_sum += last_after - moment.log_reference;
        self.premium_count += 1.0;

        let mut forced = Forced::default();
        self.liquidate_due(moment, &mut forced);
        self.trigger_due(moment, libm::exp(last_after), &mut forced);
        self.expire_due(moment);
        self.open_new(moment, last_after);
        self.churn(moment);

        let mut orders = std::mem::take(&mut self.orders);
        orders.sort_unstable_by_key(|order| (order.offset_ms, order.sequence));
        for order in orders.drain(..) {
            let share = (order.offset_ms + 1) as f64 / moment.duration_ms as f64;
            let spread = if order.buy { 0.5 } else { -0.5 } + 0.5 * self.draw.normal();
            let path = last_before + (last_after - last_before) * share + 0.000_025 * self.draw.normal();
            let ticks = ((libm::exp(path) * self.price_units + spread).round() as i64).max(1);
            self.execute(order, moment.ts_ms, ticks);
        }
        self.orders = orders;
        self.sequence = 0;
        self.note_breach();

        let local = (forced.liquidated_usd + 0.4 * forced.stopped_usd) / self.usual_open_interest_usd();
        self.dislocation = (self.dislocation + 0.10 * local).clamp(-0.003, 0.003);
        forced
    }

    /// Closes what the margin rule closes at the mark price. Afterwards no position stands beyond its level.
    fn liquidate_due(&mut self, moment: &Moment, forced: &mut Forced) {
        let mark = libm::exp(self.mark_log);
        while let Some(&(bits, index, version)) = self.queues.long_liquidations.peek() {
            if f64::from_bits(bits) < mark {
                break;
            }
            self.queues.long_liquidations.pop();
            if self.is_current(index, version) {
                self.liquidate(index, mark, moment, forced);
            }
        }
        while let Some(&Reverse((bits, index, version))) = self.queues.short_liquidations.peek() {
            if f64::from_bits(bits) > mark {
                break;
            }
            self.queues.short_liquidations.pop();
            if self.is_current(index, version) {
                self.liquidate(index, mark, moment, forced);
            }
        }
    }

    /// Liquidates the position of `index`, which is beyond its level: whole, or down to a bracket where it may stand.
    fn liquidate(&mut self, index: u32, mark: f64, moment: &Moment, forced: &mut Forced) {
        let Some(position) = self.accounts[index as usize].position.clone() else {
            return;
        };
        let side = position.side;
        let trigger_price = position.liquidation_price.unwrap_or(mark);
        let bankruptcy_price =
            margin::bankruptcy_price(side, self.price(position.entry_ticks), self.size(position.lots), position.margin);
        let mut rest = position.clone();
        loop {
            let bracket = self.bracket(self.size(rest.lots) * mark);
            if bracket <= LAST_WHOLE_BRACKET {
                rest.lots = 0;
                break;
            }
            // One unit less than the cap, so that the lower bracket certainly holds.
            let units =
                (self.brackets[bracket - 1].cap / mark * self.size_units / self.order_unit as f64).floor() as i64 - 1;
            let lots = units.max(0) * self.order_unit;
            if lots == 0 {
                rest.lots = 0;
                break;
            }
            let share = lots as f64 / rest.lots as f64;
            rest.lots = lots;
            rest.margin *= share;
            rest.initial_margin *= share;
            rest.liquidation_price = self.liquidation_price(side, rest.lots, rest.entry_ticks, rest.margin);
            if rest.liquidation_price.is_none_or(|price| side.sign() * (mark - price) > 0.0) {
                break;
            }
        }
        let lots = position.lots - rest.lots;
        if rest.lots == 0 {
            self.leave(index);
        } else {
            self.trader_lots[side as usize] -= lots;
            self.accounts[index as usize].position = Some(rest);
            self.arm(index);
        }
        let buy = side == Side::Short;
        let usd = self.size(lots) * mark;
        forced.liquidated_usd += if buy { usd } else { -usd };
        let offset = self.late_offset(moment);
        let intent = Intent::Liquidate {
            side,
            trigger_price: self.to_tick(trigger_price),
            bankruptcy_price: bankruptcy_price.map(|price| self.to_tick(price)),
        };
        self.order(offset, buy, lots, intent);
    }

    /// Fires stop-losses, take-profits and margin calls at the last price.
    fn trigger_due(&mut self, moment: &Moment, last: f64, forced: &mut Forced) {
        while let Some(&(bits, index, version)) = self.queues.lower_triggers.peek() {
            if f64::from_bits(bits) < last {
                break;
            }
            self.queues.lower_triggers.pop();
            if self.is_current(index, version) {
                let trigger = self.accounts[index as usize].position.as_ref().and_then(|position| position.lower);
                self.fire(index, trigger, moment, last, forced);
            }
        }
        while let Some(&Reverse((bits, index, version))) = self.queues.upper_triggers.peek() {
            if f64::from_bits(bits) > last {
                break;
            }
            self.queues.upper_triggers.pop();
            if self.is_current(index, version) {
                let trigger = self.accounts[index as usize].position.as_ref().and_then(|position| position.upper);
                self.fire(index, trigger, moment, last, forced);
            }
        }
    }

    fn fire(&mut self, index: u32, trigger: Option<(f64, Trigger)>, moment: &Moment, last: f64, forced: &mut Forced) {
        match trigger {
            Some((_, Trigger::Close { forced: is_stop })) => {
                let Some(position) = self.leave(index) else {
                    return;
                };
                let buy = position.side == Side::Short;
                if is_stop {
                    let usd = self.size(position.lots) * last;
                    forced.stopped_usd += if buy { usd } else { -usd };
                }
                let offset = self.late_offset(moment);
                self.order(offset, buy, position.lots, Intent::Close);
            }
            Some((_, Trigger::AddMargin)) => {
                let adds = self.draw.chance(0.6);
                let share = 0.4 + 0.9 * self.draw.uniform();
                let Some(mut position) = self.accounts[index as usize].position.take() else {
                    return;
                };
                if adds {
                    position.margin += share * position.initial_margin;
                }
                position.liquidation_price =
                    self.liquidation_price(position.side, position.lots, position.entry_ticks, position.margin);
                // People answer one margin call, seldom a second.
                match position.side {
                    Side::Long => position.lower = None,
                    Side::Short => position.upper = None,
                }
                self.accounts[index as usize].position = Some(position);
                self.arm(index);
            }
            None => {}
        }
    }

    /// Closes positions whose holding time is over.
    fn expire_due(&mut self, moment: &Moment) {
        while let Some(&Reverse((expires_ms, index, version))) = self.queues.expiries.peek() {
            if expires_ms >= moment.ts_ms + moment.duration_ms {
                break;
            }
            self.queues.expiries.pop();
            if !self.is_current(index, version) {
                continue;
            }
            if let Some(position) = self.leave(index) {
                let offset = (expires_ms - moment.ts_ms).clamp(0, moment.duration_ms - 1);
                self.order(offset, position.side == Side::Short, position.lots, Intent::Close);
            }
        }
    }

    /// Lets idle traders open positions.
    fn open_new(&mut self, moment: &Moment, last_log: f64) {
        let seconds = moment.duration_ms as f64 / 1_000.0;
        let mood = Mood {
            sentiment: moment.sentiment + self.local_mood.value,
            imbalance: self.imbalance(),
            greed: moment.greed,
        };
        for style in 0..STYLES.len() {
            // The slow styles care less about the hour.
            let haste = libm::pow(moment.activity, [0.95, 0.8, 0.4, 0.2][style]) * [0.9, 0.93, 0.98, 1.0][style];
            let mean = self.opens_per_second[style] * seconds * haste * moment.appetite;
            for _ in 0..self.draw.poisson(mean) {
                let offset = self.random_offset(moment);
                let entry_ticks = (libm::exp(last_log) * self.price_units).round() as i64;
                if let Some((account, position)) = self.prepare(style, mood, moment.ts_ms, entry_ticks, self.mark_log) {
                    let (buy, lots) = (position.side == Side::Long, position.lots);
                    self.order(offset, buy, lots, Intent::Open { account, position: Box::new(position) });
                }
            }
        }
    }

    /// Trades of market makers among themselves: volume without open interest. There is always at least one.
    fn churn(&mut self, moment: &Moment) {
        let seconds = moment.duration_ms as f64 / 1_000.0;
        let count = 1 + self.draw.poisson(11_000.0 / 86_400.0 * seconds * moment.activity * 0.8);
        let buys = 0.5 + 0.38 * (moment.standard_move / (1.0 + moment.standard_move.abs()));
        for _ in 0..count {
            let lots = self.draw.lognormal(self.churn_mean_lots * 0.42, 1.3);
            let lots = self.round_lots(lots);
            let buy = self.draw.chance(buys);
            let offset = self.random_offset(moment);
            self.order(offset, buy, lots, Intent::Churn);
        }
    }

    /// A market maker takes the other side of `signed_lots` (positive: the taker buys): the one it relieves most.
    fn fill_by_maker(&mut self, signed_lots: i64, price: f64) {
        let mut chosen = 0;
        for index in 1..MARKET_MAKERS {
            let better = if signed_lots > 0 {
                self.makers[index].lots > self.makers[chosen].lots
            } else {
                self.makers[index].lots < self.makers[chosen].lots
            };
            if better {
                chosen = index;
            }
        }
        self.makers[chosen].fill(-signed_lots, price);
    }

    fn execute(&mut self, order: Order, substep_ms: i64, ticks: i64) {
        let price = self.price(ticks);
        let signed_lots = if order.buy { order.lots } else { -order.lots };
        let ts_ms = substep_ms + order.offset_ms;
        match order.intent {
            Intent::Churn => {
                let first = self.draw.below(MARKET_MAKERS);
                let second = (first + 1 + self.draw.below(MARKET_MAKERS - 1)) % MARKET_MAKERS;
                // The longer of the two sells, which keeps inventories together.
                let (seller, buyer) =
                    if self.makers[first].lots >= self.makers[second].lots { (first, second) } else { (second, first) };
                self.makers[seller].fill(-order.lots, price);
                self.makers[buyer].fill(order.lots, price);
            }
            Intent::Open { account, mut position } => {
                let initial_margin = self.size(position.lots) * price / position.leverage;
                position.margin *= initial_margin / position.initial_margin;
                position.initial_margin = initial_margin;
                position.entry_ticks = ticks;
                position.liquidation_price =
                    self.liquidation_price(position.side, position.lots, ticks, position.margin);
                let mark = libm::exp(self.mark_log);
                if position.liquidation_price.is_some_and(|level| position.side.sign() * (mark - level) <= 0.0) {
                    // Price ran away before the order arrived, and the exchange refuses it.
                    let style = self.accounts[account as usize].trader.style;
                    self.idle[style].push(account);
                    return;
                }
                self.fill_by_maker(signed_lots, price);
                self.stand(account, *position);
            }
            Intent::Close => self.fill_by_maker(signed_lots, price),
            Intent::Liquidate { side, trigger_price, bankruptcy_price } => {
                self.fill_by_maker(signed_lots, price);
                if self.recording {
                    let size = self.size(order.lots);
                    self.liquidations.push(Liquidation {
                        ts_ms,
                        market: self.key,
                        side,
                        price: Some(trigger_price),
                        bankruptcy_price,
                        size,
                        notional_usd: cents(size * trigger_price),
                    });
                }
            }
        }
        self.last_ticks = ticks;
        if !self.recording {
            return;
        }
        let bar = self.building.get_or_insert(BuildingBar {
            open: ticks,
            high: ticks,
            low: ticks,
            close: ticks,
            volume: 0,
            taker_buy: 0,
        });
        bar.high = bar.high.max(ticks);
        bar.low = bar.low.min(ticks);
        bar.close = ticks;
        bar.volume += order.lots;
        if order.buy {
            bar.taker_buy += order.lots;
        }
        if self.record_trades {
            self.trades.push(Trade { ts_ms, market: self.key, price, size: self.size(order.lots), is_buy: order.buy });
        }
    }

    /// Records the state at the open of a bar.
    pub(super) fn record_open_interest(&mut self, ts_ms: i64) {
        let lots = self.side_lots();
        debug_assert_eq!(lots[0], lots[1], "Invariant: every contract has one long and one short");
        self.open_interest.push(OpenInterest { ts_ms, market: self.key, open_interest: self.size(lots[0]) });
    }

    /// Ends the bar that opened at `ts_ms`.
    pub(super) fn finish_bar(&mut self, ts_ms: i64) {
        if let Some(bar) = self.building.take() {
            self.candles.push(Candle {
                ts_ms,
                market: self.key,
                open: self.price(bar.open),
                high: self.price(bar.high),
                low: self.price(bar.low),
                close: self.price(bar.close),
                volume: self.size(bar.volume),
                taker_buy_volume: Some(self.size(bar.taker_buy)),
            });
        }
    }

    /// Settles funding if an interval ends at `ts_ms`: margins change, and with them liquidation prices.
    pub(super) fn settle_funding(&mut self, ts_ms: i64) {
        if ts_ms.rem_euclid(self.funding_interval_ms) != 0 || self.premium_count == 0.0 {
            return;
        }
        let hours = self.funding_interval_ms / HOUR_MS;
        let premium = self.premium_sum / self.premium_count;
        self.premium_sum = 0.0;
        self.premium_count = 0.0;
        // Interest of 0.01 % per 8 hours, and a band around it in which small premiums do not show, as exchanges do.
        let interest = 0.000_1;
        let raw = premium + (interest - premium).clamp(-0.000_2, 0.000_2);
        let eight_hours = (raw.clamp(-0.003, 0.003) * 1e8).round() / 1e8;
        let rate = eight_hours * hours as f64 / 8.0;
        let mark = libm::exp(self.mark_log);
        // Everything is queued anew, so the queues also lose their outdated entries.
        self.queues = Queues::default();
        for index in 0..self.accounts.len() as u32 {
            if let Some(mut position) = self.accounts[index as usize].position.take() {
                position.margin -= position.side.sign() * rate * self.size(position.lots) * mark;
                position.liquidation_price =
                    self.liquidation_price(position.side, position.lots, position.entry_ticks, position.margin);
                self.accounts[index as usize].position = Some(position);
                self.arm(index);
            }
        }
        if self.recording {
            self.funding.push(Funding { ts_ms, market: self.key, funding_rate: rate, interval_hours: hours as f64 });
        }
    }

    /// Records every standing position, market makers last.
    pub(super) fn record_positions(&mut self, ts_ms: i64) {
        let mark = libm::exp(self.mark_log);
        for (index, account) in self.accounts.iter().enumerate() {
            let Some(position) = &account.position else {
                continue;
            };
            let size = self.size(position.lots);
            self.positions.push(PositionSnapshot {
                ts_ms,
                market: self.key,
                account: format!("a{index:05}"),
                side: position.side,
                size,
                entry_price: self.price(position.entry_ticks),
                leverage: position.leverage,
                // A level below half a tick cannot be reached.
                liquidation_price: position
                    .liquidation_price
                    .map(|price| self.to_tick(price))
                    .filter(|price| *price > 0.0),
                notional_usd: cents(size * mark),
            });
        }
        for (index, maker) in self.makers.iter().enumerate() {
            if maker.lots == 0 {
                continue;
            }
            let size = self.size(maker.lots.abs());
            self.positions.push(PositionSnapshot {
                ts_ms,
                market: self.key,
                account: format!("maker-{}", index + 1),
                side: if maker.lots > 0 { Side::Long } else { Side::Short },
                size,
                entry_price: self.to_tick(maker.entry_price),
                leverage: 1.0,
                // Hedged elsewhere and margined across venues: no single price liquidates them.
                liquidation_price: None,
                notional_usd: cents(size * mark),
            });
        }
    }

    /// Remembers by how much, as a share of price, the nearest position stands beyond its liquidation price; nothing if
    /// the margin rule has been enforced.
    fn note_breach(&mut self) {
        let mark = libm::exp(self.mark_log);
        while let Some(&(bits, index, version)) = self.queues.long_liquidations.peek() {
            if self.is_current(index, version) {
                self.worst_breach = self.worst_breach.max((f64::from_bits(bits) - mark) / mark);
                break;
            }
            self.queues.long_liquidations.pop();
        }
        while let Some(&Reverse((bits, index, version))) = self.queues.short_liquidations.peek() {
            if self.is_current(index, version) {
                self.worst_breach = self.worst_breach.max((mark - f64::from_bits(bits)) / mark);
                break;
            }
            self.queues.short_liquidations.pop();
        }
    }
}

/// Rounds an amount of quote currency to hundredths.
fn cents(usd: f64) -> f64 {
    (usd * 100.0).round() / 100.0
}

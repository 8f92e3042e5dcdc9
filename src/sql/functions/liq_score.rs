//! `liq_score`: how well a map agrees with what became known, always beside null models.
//!
//! In: bars, and truth: realised liquidations (`hourly`), liquidation prices of real positions (`prices`), or single forced
//! orders (`orders`). Out: per key the rows of a report: the map's value of each score, that of each null model, the gain
//! over it, each with an interval over resampled days. A vendor's map is scored through `heatmap`; else the map is the
//! model's own, from the same bars.
//!
//! ```text
//!   truth, whole ─────────────┐
//!   heatmap, whole, if given ─┤
//!   bars, in order ──► book ──┴─► hourly │ prices │ orders ──► rows when the key ends
//! ```
//!
//! Invariant: what is scored at an instant is the map of bars that had closed by then; what is fitted, is fitted on `train`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::model::bar::Bar;
use crate::model::book::Book;
use crate::model::leverage::MarginRule;
use crate::model::replay::Replay;
use crate::model::score::Score;
use crate::model::score::hourly::{HourlyReplay, Realised, score_hourly};
use crate::model::score::map::Map;
use crate::model::score::orders::{ForcedOrder, OrderScores};
use crate::model::score::prices::{LiquidationPrice, PriceRules, PriceScores};
use crate::model::snapshot::Snapshot;
use crate::sql::arguments::Arguments;
use crate::sql::bars::Judge;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start};
use crate::sql::frames::{FRAME_COLUMNS, snapshots};
use crate::sql::keys::Key;
use crate::sql::model_run::{BarsInput, KeyModel, ModelRun};
use crate::sql::model_settings::{ModelSettings, length_text, model_parameters};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::rows::Rows;
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};
use crate::sql::truth::{
    MATCH_EXCHANGE, RESAMPLES, SEED, TEST, TRAIN, TRUTH, Truth, TruthKind, TruthRow, TruthSettings, by_the_hour,
};

const COLUMNS: &[Column] = &[
    Column::new("exchange", Kind::Text, "", "exchange"),
    Column::new("symbol", Kind::Text, "", "symbol"),
    Column::new("kind", Kind::Text, "", "what the map is compared with"),
    Column::new("score", Kind::Text, "", "what is measured; …_gain: how much the map is above the null model"),
    Column::optional("null_model", Kind::Text, "", "the null model whose value it is; NULL: the map itself"),
    Column::new("side", Kind::Text, "", "side of the positions: long, short or both"),
    Column::optional("value", Kind::Number, "see meaning", "the value; NULL where there is nothing to measure"),
    Column::optional("low", Kind::Number, "see meaning", "lower limit of its 95 % interval over resampled days"),
    Column::optional("high", Kind::Number, "see meaning", "upper limit of its 95 % interval"),
    Column::new("n", Kind::Integer, "", "hours, positions or orders that it rests on"),
    Column::new(
        "weights_saw_test",
        Kind::Boolean,
        "",
        "whether the weights are the shipped ones and were fitted on data of the scored time",
    ),
    Column::new("meaning", Kind::Text, "", "what the score says, and what it does not"),
];

const HEATMAP: Parameter = Parameter {
    name: "heatmap",
    kind: ParameterKind::Relation,
    fallback: Fallback::Derived("the model's own map"),
    unit: "",
    doc: "a map to score in place of the model's, with kind 'prices' or 'orders': rows of liq_heatmap or of a vendor",
};

const KIND: Parameter = Parameter {
    name: "kind",
    kind: ParameterKind::Choice(TruthKind::NAMES),
    fallback: Fallback::Value("'hourly'"),
    unit: "",
    doc: "what truth is: liquidations to sum by the hour, positions with a liquidation_price, or single orders with a price",
};

const LOOK_BACK: Parameter = Parameter {
    name: "look_back",
    kind: ParameterKind::Interval,
    fallback: Fallback::Value("INTERVAL '30 days'"),
    unit: "",
    doc: "time whose mean price and volume profile null models know, with kind => 'prices'",
};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_score",
    summary: "How well a map agrees with what became known, beside null models, with intervals",
    parameters: model_parameters![TRUTH, KIND, MATCH_EXCHANGE, TRAIN, TEST, HEATMAP, LOOK_BACK, RESAMPLES, SEED],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT score, null_model, side, value, low, high, n FROM liq_score(\
              (SELECT * FROM liq_bars(candles, open_interest => open_interest) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT'), liquidations) WHERE side = 'both'",
};

/// The function.
#[derive(Debug)]
pub struct LiqScore;

impl TableFunction for LiqScore {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let (model, mut inputs) = ModelSettings::bind(arguments)?;
        let kind = TruthKind::from_name(arguments.choice("kind")?.unwrap_or("hourly"));
        let (truth, input) = TruthSettings::bind(arguments, kind)?;
        inputs.push(input);
        let heatmap = arguments.optional_relation("heatmap")?;
        let look_back = arguments.interval("look_back")?;
        match kind {
            TruthKind::Hourly if heatmap.is_some() => {
                return plan_err!(
                    "{}: 'heatmap' goes only with kind 'prices' or 'orders': a map says nothing of what was swept",
                    SPEC.name
                );
            }
            TruthKind::Hourly | TruthKind::Orders if look_back.is_some() => {
                return plan_err!("{}: 'look_back' goes only with kind => 'prices'", SPEC.name);
            }
            _ => {}
        }
        let has_heatmap = heatmap.is_some();
        if let Some(relation) = heatmap {
            inputs.push(Input { parameter: "heatmap", relation, wanted: Wanted::Columns(FRAME_COLUMNS) });
        }
        let look_back = look_back.unwrap_or(PriceRules::default().look_back);
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(Scores { model, truth, look_back, has_heatmap }), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Scores {
    model: ModelSettings,
    truth: TruthSettings,
    look_back: i64,
    has_heatmap: bool,
}

impl Operator for Scores {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        SPEC.schema()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("kind", self.truth.kind.name().to_owned())];
        settings.extend(self.truth.shown());
        if self.truth.kind == TruthKind::Prices {
            settings.push(("look_back", length_text(self.look_back)));
        }
        settings.push(("heatmap", if self.has_heatmap { "given" } else { "of the model" }.to_owned()));
        settings.extend(self.model.shown());
        settings
    }

    fn readings(&self) -> Vec<Reading> {
        let mut readings = self.model.readings();
        readings.push(Reading::Gathered);
        if self.has_heatmap {
            readings.push(Reading::Gathered);
        }
        readings
    }

    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        Vec::new()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let brackets_end = self.model.readings().len();
        let rules = self.model.gathered_rules(SPEC.name, &start)?;
        let truth = self.truth.gather(SPEC.name, &self.model, &start)?;
        let heatmap = if self.has_heatmap {
            let (schema, batches) = (&start.schemas[brackets_end + 1], &start.gathered[brackets_end + 1]);
            let judge = Judge::new(SPEC.name, self.model.bad_rows, start.counter("bad_rows_of_heatmap"));
            Some(Arc::new(snapshots("heatmap", schema, batches, &judge)?))
        } else {
            None
        };
        let scored = start.counter("scored");
        let operator = self.clone();
        let make = Box::new(move |key: &Key, interval: i64, rules: Vec<MarginRule>| -> Result<Box<dyn KeyModel>> {
            let parameters = &operator.model.parameters;
            let replay = Replay::new(parameters, interval, rules, Book::new(parameters));
            let rows = truth.of(key);
            let comparison = match operator.truth.kind {
                TruthKind::Hourly => {
                    let replay = Some(by_the_hour(SPEC.name, key, replay)?);
                    let mut realised = Realised::default();
                    rows.iter().for_each(|row| realised.add(row.ts, row.side, row.usd));
                    Comparison::Hourly { replay, realised }
                }
                kind => {
                    let vendor = match &heatmap {
                        Some(heatmap) => Some(Vendor::of(heatmap, key, operator.truth.match_exchange)?),
                        None => None,
                    };
                    let maps = Maps { replay, vendor, last_close: None };
                    // Of truth without ranges all is scored, and what is fitted is fitted on it.
                    let (fitted, scored) = operator.truth.given_ranges();
                    match kind {
                        TruthKind::Orders => {
                            Comparison::Orders { maps, scores: Box::new(OrderScores::new(interval, scored)) }
                        }
                        _ => {
                            let rules = PriceRules { train: fitted, test: scored, look_back: operator.look_back };
                            Comparison::Prices { maps, scores: Box::new(PriceScores::new(rules)) }
                        }
                    }
                }
            };
            Ok(Box::new(KeyScores {
                operator: operator.clone(),
                interval,
                truth: Arc::clone(&truth),
                held: truth.memory(key),
                next: 0,
                comparison,
                span: None,
                follows: false,
                note: None,
                ready: Vec::new(),
                weights_saw_test: false,
                scored: scored.clone(),
            }))
        });
        let bars = BarsInput { parameter: "bars", interval: self.model.interval, bad_rows: self.model.bad_rows };
        Ok(Box::new(ModelRun::over_bars(self, &bars, rules, &start, make)?))
    }
}

/// A frame that is older than this many of the shortest steps between frames says nothing of now.
const STALE_FRAMES: i64 = 3;

/// The frames of a vendor's map for one key, in order of time.
#[derive(Debug)]
struct Vendor {
    maps: Arc<BTreeMap<Key, Vec<Snapshot>>>,
    key: Key,
    /// Position after the newest frame that is known.
    known: usize,
    /// Shortest time between two frames; a day where there is only one.
    step: i64,
}

impl Vendor {
    /// Takes the frames of a key: of its own exchange, or, where that need not match, of the first in order of names.
    fn of(maps: &Arc<BTreeMap<Key, Vec<Snapshot>>>, key: &Key, match_exchange: bool) -> Result<Vendor> {
        const DAY: i64 = 86_400_000;
        let of_symbol = || maps.keys().find(|of| !match_exchange && of.symbol == key.symbol);
        let Some(own) = maps.get_key_value(key).map(|(own, _)| own).or_else(of_symbol) else {
            let found: Vec<String> = maps.keys().map(|key| format!("({key})")).take(5).collect();
            return exec_err!(
                "{}: 'heatmap' has no frame of ({key}), it has {}; match_exchange => false joins on the symbol alone",
                SPEC.name,
                if found.is_empty() { "none".to_owned() } else { found.join(", ") }
            );
        };
        let frames = maps.get(own).map_or(&[][..], Vec::as_slice);
        let step = frames.windows(2).map(|pair| pair[1].ts - pair[0].ts).min().unwrap_or(DAY);
        Ok(Vendor { maps: Arc::clone(maps), key: own.clone(), known: 0, step })
    }

    fn frames(&self) -> &[Snapshot] {
        self.maps.get(&self.key).map_or(&[], Vec::as_slice)
    }

    /// Returns the newest frame at an instant, if it is not too old.
    fn at(&mut self, ts: i64) -> Option<&Snapshot> {
        while self.frames().get(self.known).is_some_and(|frame| frame.ts <= ts) {
            self.known += 1;
        }
        let age = self.step.saturating_mul(STALE_FRAMES);
        self.frames().get(self.known.checked_sub(1)?).filter(|frame| ts - frame.ts <= age)
    }

    fn memory(&self) -> usize {
        let cells: usize =
            self.frames().iter().map(|frame| size_of::<Snapshot>() + size_of_val(&frame.cells[..])).sum();
        cells
    }
}

/// The map before each bar: the model's, or a vendor's.
#[derive(Debug)]
struct Maps {
    replay: Replay<Book>,
    vendor: Option<Vendor>,
    /// Close of the last bar, and when it was.
    last_close: Option<(i64, f64)>,
}

impl Maps {
    /// The map at an instant; `None` where a vendor has none.
    fn at(&mut self, ts: i64) -> Option<&dyn Map> {
        match &mut self.vendor {
            None => Some(&self.replay),
            Some(vendor) => vendor.at(ts).map(|frame| frame as &dyn Map),
        }
    }

    fn memory(&self) -> usize {
        self.replay.standing().memory() + self.vendor.as_ref().map_or(0, Vendor::memory)
    }

    fn end(&mut self, bar: &Bar) {
        self.replay.end(bar);
        self.last_close = Some((bar.ts.saturating_add(self.replay.interval()), bar.close));
    }
}

#[derive(Debug)]
enum Comparison {
    Hourly { replay: Option<Box<HourlyReplay>>, realised: Realised },
    Prices { maps: Maps, scores: Box<PriceScores> },
    Orders { maps: Maps, scores: Box<OrderScores> },
}

/// Positions seen longer after the last bar than this many of its lengths are not compared with its book.
const STALE_BARS: i64 = 3;

#[derive(Debug)]
struct KeyScores {
    operator: Scores,
    interval: i64,
    truth: Arc<Truth>,
    /// Bytes of the key's own rows of truth.
    held: usize,
    /// The first row of truth that was not compared yet.
    next: usize,
    comparison: Comparison,
    /// Open of the first bar, and close of the last one.
    span: Option<(i64, i64)>,
    /// Whether the bar before was compared.
    follows: bool,
    /// What is said in place of a meaning.
    note: Option<String>,
    ready: Vec<Score>,
    weights_saw_test: bool,
    scored: Count,
}

/// Takes the rows of the next instant before `until`.
fn next_instant<'t>(rows: &'t [TruthRow], next: &mut usize, until: i64) -> Option<&'t [TruthRow]> {
    let rest = rows.get(*next..)?;
    let ts = rest.first()?.ts;
    if ts >= until {
        return None;
    }
    let count = rest.partition_point(|row| row.ts == ts);
    *next += count;
    rest.get(..count)
}

/// Compares the positions of every instant before `until` with the map as it stands.
fn compare_positions(maps: &mut Maps, scores: &mut PriceScores, rows: &[TruthRow], next: &mut usize, until: i64) {
    let interval = maps.replay.interval();
    while let Some(rows) = next_instant(rows, next, until) {
        let ts = rows.first().map_or(0, |row| row.ts);
        let Some((closed, price)) = maps.last_close else { continue };
        if ts < closed || ts - closed >= interval.saturating_mul(STALE_BARS) {
            continue;
        }
        let positions: Vec<LiquidationPrice> =
            rows.iter().map(|row| LiquidationPrice { side: row.side, price: row.price, usd: row.usd }).collect();
        if let Some(map) = maps.at(ts) {
            scores.instant(ts, price, map, &positions);
        }
    }
}

impl KeyModel for KeyScores {
    fn bar(&mut self, key: &Key, bar: &Bar, _rows: &mut Rows) -> Result<()> {
        let truth = self.truth.of(key);
        let close = bar.ts.saturating_add(self.interval);
        self.span = Some((self.span.map_or(bar.ts, |(first, _)| first), close));
        let is_first = !std::mem::replace(&mut self.follows, true);
        match &mut self.comparison {
            Comparison::Hourly { replay, .. } => {
                if let Some(replay) = replay {
                    replay.take(bar);
                }
            }
            Comparison::Prices { maps, scores } => {
                // Positions in a hole before this bar must not know its open interest.
                let waits = truth.get(self.next).is_some_and(|row| row.ts < bar.ts);
                if waits && maps.replay.is_pending() {
                    let known = maps.replay.clone();
                    maps.replay.settle(None);
                    compare_positions(maps, scores, truth, &mut self.next, bar.ts);
                    maps.replay = known;
                }
                maps.replay.settle(Some(bar));
                let closes = bar.ts.saturating_add(maps.replay.interval());
                compare_positions(maps, scores, truth, &mut self.next, closes);
                maps.replay.begin(bar);
                maps.end(bar);
                scores.bar(bar);
            }
            Comparison::Orders { maps, scores } => {
                maps.replay.settle(Some(bar));
                maps.replay.begin(bar);
                let closes = bar.ts.saturating_add(maps.replay.interval());
                // Orders between two bars were in none; of what was before the first nothing can be said.
                while let Some(rows) = next_instant(truth, &mut self.next, bar.ts) {
                    rows.iter().filter(|_| !is_first).for_each(|row| scores.order(&forced(row)));
                }
                let is_known = maps.at(bar.ts).map(|map| scores.bar(bar, map)).is_some();
                while let Some(rows) = next_instant(truth, &mut self.next, closes) {
                    rows.iter().filter(|_| is_known).for_each(|row| scores.order(&forced(row)));
                }
                // Without a vendor's frame nothing is said of the bar, as of what was before the first.
                self.follows = is_known;
                maps.end(bar);
            }
        }
        Ok(())
    }

    fn end(&mut self, key: &Key) -> Result<()> {
        let truth = self.truth.of(key);
        let resampling = self.operator.truth.resampling;
        let (train, test) = self.operator.truth.ranges(truth, self.span);
        let all = || truth.first().zip(truth.last()).map(|(first, last)| first.ts..last.ts.saturating_add(1));
        let scored = match (&self.comparison, self.operator.truth.given_ranges().1) {
            (Comparison::Hourly { .. }, _) => Some(test.clone()),
            (_, given) => given.or_else(all),
        };
        self.weights_saw_test = scored.is_some_and(|scored| self.operator.model.weights_saw(&scored));
        self.note = self.truth.of_others(key).map(|others| format!("no truth of this market: truth is of {others}"));
        self.ready = match &mut self.comparison {
            Comparison::Hourly { replay, realised } => {
                let hours = replay.take().map(|replay| replay.finish()).unwrap_or_default();
                let rows = score_hourly(&hours, realised, &train, &test, resampling);
                self.scored.add(rows.iter().map(|row| row.n).max().and_then(|n| usize::try_from(n).ok()).unwrap_or(0));
                rows
            }
            Comparison::Prices { maps, scores } => {
                maps.replay.settle(None);
                compare_positions(maps, scores, truth, &mut self.next, i64::MAX);
                self.scored.add(usize::try_from(scores.counts().positions).unwrap_or(usize::MAX));
                scores.rows(resampling)
            }
            Comparison::Orders { scores, .. } => {
                // Of orders after the last bar nothing can be said.
                scores.end();
                self.scored.add(usize::try_from(scores.counts().orders).unwrap_or(usize::MAX));
                scores.rows(resampling)
            }
        };
        Ok(())
    }

    fn drain(&mut self, key: &Key, _limit: usize, rows: &mut Rows) -> bool {
        for score in std::mem::take(&mut self.ready) {
            rows.text(0, &key.exchange, 1);
            rows.text(1, &key.symbol, 1);
            rows.text(2, self.operator.truth.kind.name(), 1);
            rows.text(3, score.score, 1);
            rows.optional_text(4, score.null);
            rows.text(5, score.side.map_or("both", crate::model::side::Side::name), 1);
            rows.optional_number(6, score.value);
            rows.optional_number(7, score.low);
            rows.optional_number(8, score.high);
            rows.integer(9, i64::try_from(score.n).unwrap_or(i64::MAX));
            rows.optional_boolean(10, Some(self.weights_saw_test));
            rows.text(11, self.note.as_deref().unwrap_or(meaning(score.score)), 1);
            rows.end(1);
        }
        false
    }

    fn memory(&self) -> usize {
        let comparison = match &self.comparison {
            Comparison::Hourly { replay, realised, .. } => {
                replay.as_ref().map_or(0, |replay| replay.memory()) + realised.memory()
            }
            Comparison::Prices { maps, scores } => maps.memory() + scores.memory(),
            Comparison::Orders { maps, scores } => maps.memory() + scores.memory(),
        };
        comparison + self.held + self.ready.capacity() * size_of::<Score>()
    }
}

fn forced(row: &TruthRow) -> ForcedOrder {
    ForcedOrder { ts: row.ts, side: row.side, price: row.price, usd: row.usd }
}

/// What a score says.
fn meaning(score: &str) -> &'static str {
    match score {
        "spearman" => "rank correlation of hourly swept and realised USD; a move alone makes both large",
        "partial_rank" => "the same, given the ranks of the hour's price move, volume and change of open interest",
        "r2" => "R² of ln(1 + realised USD) on the test range, fitted on the train range, without the map",
        "r2_gain" => "what the map adds to that R²",
        "usd_ratio" => "swept / realised USD; feeds are thinned, so the level is uncertain by a factor",
        "nats_per_usd" => "log score of the density where real prices are, above uniform within ±30 %",
        "nats_per_usd_gain" => "what the map knows more than the null model, nats per USD",
        "laplace_scale" => "scale in ln(price) that the null model was fitted with",
        "beyond_range_usd_share" => "USD farther than ±30 % from price, which are not scored",
        "wrong_side_usd_share" => "USD on the wrong side of price, which are not scored",
        "top_quarter_usd_share" => "liquidated USD in the quarter of the traversed levels where the map has most",
        "top_quarter_order_share" => "orders in the quarter of the traversed levels where the map has most",
        "top_quarter_usd_share_gain" | "top_quarter_order_share_gain" => "the map's share above that of the null model",
        "not_traversed_usd_share" | "not_traversed_order_share" => "at prices that no bar went through: not scored",
        _ => "",
    }
}

//! Bars in, a model per (exchange, symbol), rows out: what the estimating functions share of their runs.
//!
//! A model needs the length of a bar. Where it is not given, the first bars of a key are held back until it is known:
//! the smallest difference between the first hundred, or those of the first seven days if fewer. So an upper bound on time
//! that leaves seven days more does not change it. Then every bar goes to the key's model, which appends rows; at the
//! end each key is finished, in order of the names, or as soon as its rows end where keys arrive one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

use arrow::array::RecordBatch;
use datafusion::common::{Result, exec_err};
use datafusion::physical_plan::metrics::Count;

use super::bars::{BadRows, Judge, Rows as BarRows};
use super::exec::{Arrival, Operator, Run, Start, Step};
use super::keys::{Key, Keyed};
use super::model_settings::ModelSettings;
use super::rows::Rows;
use crate::market::Layout;
use crate::market::tables::MODEL_BARS;
use crate::model::bar::Bar;
use crate::model::leverage::MarginRule;

/// Bars from which the length of a bar is inferred.
pub const BARS_TO_INFER: usize = 100;

/// Time from the first bar of a key up to which bars tell their length.
pub const TIME_TO_INFER: i64 = 7 * 86_400_000;

/// Length of a bar where a key has only one.
pub const SINGLE_BAR: i64 = 300_000;

/// Returns the bound to push into bars so that those up to `to` come, and those from which their length is inferred.
pub fn pushed_bound(to: Option<i64>, interval: Option<i64>) -> Option<i64> {
    if interval.is_some() { to } else { to.map(|to| to.saturating_add(TIME_TO_INFER)) }
}

/// The model of one key.
pub trait KeyModel: Send + Debug {
    /// Takes the next bar and appends the rows that are ready.
    ///
    /// # Errors
    ///
    /// An argument does not fit the key's bars.
    fn bar(&mut self, key: &Key, bar: &Bar, rows: &mut Rows) -> Result<()>;
    /// There are no more bars.
    ///
    /// # Errors
    ///
    /// As [`KeyModel::bar`].
    fn end(&mut self, key: &Key) -> Result<()>;
    /// Appends rows that wait since the end, about `limit` at a time; returns whether more wait.
    fn drain(&mut self, key: &Key, limit: usize, rows: &mut Rows) -> bool;
    /// Returns the bytes held.
    fn memory(&self) -> usize;
}

/// Makes the model of a key, given the length of its bars in milliseconds and its margin rules.
pub type MakeModel = Box<dyn Fn(&Key, i64, Vec<MarginRule>) -> Result<Box<dyn KeyModel>> + Send>;

#[derive(Debug)]
struct State {
    last_ts: Option<i64>,
    interval: Option<i64>,
    /// Bars held back until their length is known.
    held: Vec<Bar>,
    model: Option<Box<dyn KeyModel>>,
}

/// How the bars of a call are read.
#[derive(Debug, Clone, Copy)]
pub struct BarsInput {
    /// The argument that gives them.
    pub parameter: &'static str,
    /// Length of a bar in milliseconds, `None` to infer it.
    pub interval: Option<i64>,
    /// What is done with unusable rows.
    pub bad_rows: BadRows,
}

/// The run of an estimating function.
pub struct ModelRun {
    layout: Layout,
    function: &'static str,
    judge: Judge,
    bars: Count,
    interval: Option<i64>,
    make: MakeModel,
    rules: BTreeMap<Key, Vec<MarginRule>>,
    keys: Keyed<State>,
    arrival: Arrival,
    batch_size: usize,
    rows: Rows,
    batch: Option<(BarRows, usize)>,
    current: Option<usize>,
    ending: VecDeque<usize>,
    /// The key whose rows are drained.
    draining: Option<usize>,
    ended: bool,
}

impl std::fmt::Debug for ModelRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelRun").field("function", &self.function).finish_non_exhaustive()
    }
}

impl ModelRun {
    /// Starts a partition of an operator whose inputs are those of [`ModelSettings::bind`].
    ///
    /// # Errors
    ///
    /// The bars lack a column, or a margin bracket cannot be used.
    pub fn start(
        operator: &dyn Operator,
        settings: &ModelSettings,
        start: &Start<'_>,
        make: MakeModel,
    ) -> Result<ModelRun> {
        let rules = settings.gathered_rules(operator.function(), start)?;
        let bars = BarsInput { parameter: "bars", interval: settings.interval, bad_rows: settings.bad_rows };
        Self::over_bars(operator, &bars, rules, start, make)
    }

    /// Starts a partition of an operator whose first input is bars, or candles, which are bars without open interest.
    ///
    /// # Errors
    ///
    /// The bars lack a column.
    pub fn over_bars(
        operator: &dyn Operator,
        bars: &BarsInput,
        rules: BTreeMap<Key, Vec<MarginRule>>,
        start: &Start<'_>,
        make: MakeModel,
    ) -> Result<ModelRun> {
        let function = operator.function();
        let rows = Rows::try_new(&operator.schema(), start.projection)?;
        let layout = match Layout::find(MODEL_BARS, &start.schemas[0]) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{function}: '{}' {error}", bars.parameter),
        };
        Ok(ModelRun {
            layout,
            function,
            judge: Judge::new(function, bars.bad_rows, start.counter("bad_rows")),
            bars: start.counter("bars"),
            interval: bars.interval,
            make,
            rules,
            keys: Keyed::default(),
            arrival: start.arrival,
            batch_size: start.batch_size,
            rows,
            batch: None,
            current: None,
            ending: VecDeque::new(),
            draining: None,
            ended: false,
        })
    }

    /// Takes the rows of one key from a row on, until enough rows are ready or another key's must leave first; returns where
    /// it stopped.
    fn take_rows(&mut self, batch: &BarRows, from: usize) -> Result<usize> {
        let ModelRun { function, judge, interval, make, rules, keys, arrival, rows, current, ending, .. } = self;
        let end = batch.key_end(from);
        let (mut row, mut taken) = (from, 0);
        let mut entered: Option<&mut (Key, State)> = None;
        while row < end && rows.len() < self.batch_size {
            let bar = match batch.bar(row) {
                Ok(bar) => bar,
                Err(defect) => {
                    judge.judge(&defect)?;
                    row += 1;
                    continue;
                }
            };
            if entered.is_none() {
                let (exchange, symbol) = (batch.exchange(row), batch.symbol(row));
                let new = |_: &Key| State { last_ts: None, interval: *interval, held: Vec::new(), model: None };
                let Some(place) = keys.place(exchange, symbol, new) else {
                    return exec_err!(
                        "{function}: the rows of ({exchange}, {symbol}) are not together, though the plan says that they are"
                    );
                };
                if *current != Some(place)
                    && let Some(previous) = current.replace(place)
                    && *arrival == Arrival::ByKey
                {
                    ending.push_back(previous);
                    return Ok(row);
                }
                entered = keys.get_mut(place);
            }
            let Some((key, state)) = entered.as_deref_mut() else { break };
            row += 1;
            if !judge.check_order(&key.exchange, &key.symbol, bar.ts, state.last_ts, state.interval)? {
                continue;
            }
            state.last_ts = Some(bar.ts);
            taken += 1;
            if let Some(model) = &mut state.model {
                model.bar(key, &bar, rows)?;
            } else {
                hold(key, state, bar, make, rules, rows)?;
            }
        }
        self.bars.add(taken);
        Ok(row)
    }

    fn end_key(&mut self, place: usize) -> Result<()> {
        let Some((key, state)) = self.keys.get_mut(place) else { return Ok(()) };
        if state.model.is_none() {
            release(key, state, &self.make, &self.rules, &mut self.rows)?;
        }
        if let Some(model) = &mut state.model {
            model.end(key)?;
            self.draining = Some(place);
        }
        Ok(())
    }
}

/// Takes a bar of which the length may not be known yet.
fn hold(
    key: &Key,
    state: &mut State,
    bar: Bar,
    make: &MakeModel,
    rules: &BTreeMap<Key, Vec<MarginRule>>,
    rows: &mut Rows,
) -> Result<()> {
    let late = state.held.first().is_some_and(|first| bar.ts - first.ts > TIME_TO_INFER);
    if !late {
        state.held.push(bar);
    }
    if late || state.interval.is_some() || state.held.len() >= BARS_TO_INFER {
        release(key, state, make, rules, rows)?;
    }
    match &mut state.model {
        Some(model) if late => model.bar(key, &bar, rows),
        _ => Ok(()),
    }
}

/// The length of the bars is known: makes the model and gives it what was held back.
fn release(
    key: &Key,
    state: &mut State,
    make: &MakeModel,
    rules: &BTreeMap<Key, Vec<MarginRule>>,
    rows: &mut Rows,
) -> Result<()> {
    let inferred = || smallest_difference(&state.held).unwrap_or(SINGLE_BAR);
    let interval = state.interval.unwrap_or_else(inferred);
    state.interval = Some(interval);
    let mut model = make(key, interval, rules.get(key).cloned().unwrap_or_default())?;
    for bar in std::mem::take(&mut state.held) {
        model.bar(key, &bar, rows)?;
    }
    state.model = Some(model);
    Ok(())
}

/// Returns the smallest difference in time between neighbouring bars.
fn smallest_difference(bars: &[Bar]) -> Option<i64> {
    bars.windows(2).map(|pair| pair[1].ts - pair[0].ts).min()
}

impl Run for ModelRun {
    fn feed(&mut self, _input: usize, batch: Option<RecordBatch>) -> Result<()> {
        match batch {
            Some(batch) => {
                self.batch = Some((BarRows::try_new(self.function, MODEL_BARS, &self.layout, &batch)?, 0));
            }
            None => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            if self.rows.len() >= self.batch_size {
                return Ok(Step::Ready(self.rows.finish()?));
            }
            if let Some(place) = self.draining {
                let more = match self.keys.get_mut(place) {
                    Some((key, State { model: Some(model), .. })) => model.drain(key, self.batch_size, &mut self.rows),
                    _ => false,
                };
                if !more {
                    self.keys.remove(place);
                    self.draining = None;
                }
            } else if let Some(place) = self.ending.pop_front() {
                self.end_key(place)?;
            } else if let Some((batch, row)) = self.batch.take() {
                if row < batch.len() {
                    let row = self.take_rows(&batch, row)?;
                    self.batch = Some((batch, row));
                }
            } else if !self.ended {
                return Ok(Step::Read(0));
            } else if let Some(place) = self.keys.first() {
                self.end_key(place)?;
                if self.draining.is_none() {
                    self.keys.remove(place);
                }
            } else if !self.rows.is_empty() {
                return Ok(Step::Ready(self.rows.finish()?));
            } else {
                return Ok(Step::Done);
            }
        }
    }

    fn memory(&self) -> usize {
        let of_key = |state: &State| {
            state.held.capacity() * size_of::<Bar>() + state.model.as_ref().map_or(0, |model| model.memory())
        };
        self.keys.values().map(of_key).sum::<usize>() + self.rows.memory()
    }
}

//! `asof_join`: beside every left row, the last right row at or before it.
//!
//! In: two relations with the key columns `by` and the time column `on`. Out: all left columns in order, then the right
//! columns without the `by` columns; the right time is `right_ts` (`right_` and the name of `on`), a right column whose
//! name is taken is prefixed `right_`; right columns are nullable. Every left row comes once, in its order. With several
//! right rows of one instant the last counts. NULL keys and times match nothing.
//!
//! Invariant: the row matched has the greatest time at or before the left row's among rows of the same key, and is not
//! older than `tolerance`. Semantics as Snowflake's `ASOF JOIN … MATCH_CONDITION (left.ts >= right.ts)`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{OwnedRow, RowConverter, Rows as KeyRows, SortField};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::sql::arguments::Arguments;
use crate::sql::bounds::TimeBounds;
use crate::sql::exec::{self, Arrival, Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::model_settings::length_text;
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::spec::{Fallback, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "asof_join",
    summary: "Beside every left row, the last right row at or before it",
    parameters: &[
        Parameter {
            name: "left",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "every row of it comes once",
        },
        Parameter {
            name: "right",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "of it comes the last row at or before the left row's time",
        },
        Parameter {
            name: "by",
            kind: ParameterKind::NameList,
            fallback: Fallback::Value("['exchange', 'symbol']"),
            unit: "",
            doc: "columns that must be equal",
        },
        Parameter {
            name: "on",
            kind: ParameterKind::Name,
            fallback: Fallback::Value("'ts'"),
            unit: "",
            doc: "column of the time, in both",
        },
        Parameter {
            name: "tolerance",
            kind: ParameterKind::Interval,
            fallback: Fallback::Derived("none"),
            unit: "",
            doc: "oldest right row that still counts",
        },
    ],
    returns: Returns::Derived("all left columns, then the right columns without the by columns; right_ts"),
    example: "SELECT ts, symbol, close, funding_rate, right_ts FROM asof_join(candles, funding) \
              WHERE exchange = 'binance' AND symbol = 'BTCUSDT' LIMIT 5",
};

/// The function.
#[derive(Debug)]
pub struct AsofJoin;

impl TableFunction for AsofJoin {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let by = arguments.text_list("by")?.unwrap_or_else(|| vec!["exchange".to_owned(), "symbol".to_owned()]);
        let on = arguments.text("on")?.unwrap_or_else(|| "ts".to_owned());
        let mut schemas = Vec::with_capacity(2);
        let mut inputs = Vec::with_capacity(2);
        for parameter in ["left", "right"] {
            let relation = arguments.relation(parameter)?;
            let plan = relation.plan_now(session, SPEC.name, parameter)?;
            let schema = Arc::clone(plan.schema().inner());
            for name in by.iter().chain([&on]) {
                let found = schema.fields().iter().filter(|field| field.name() == name).count();
                if found != 1 {
                    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                    return plan_err!(
                        "{}: '{parameter}' ({relation}) must have one column '{name}', has {found}; found: {}",
                        SPEC.name,
                        names.join(", ")
                    );
                }
            }
            let time = schema.field_with_name(&on)?;
            if !matches!(time.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
                return plan_err!(
                    "{}: column '{on}' of '{parameter}' must be a timestamp or a date, was {}",
                    SPEC.name,
                    time.data_type()
                );
            }
            schemas.push(schema);
            inputs.push(Input { parameter, relation, wanted: Wanted::Any });
        }
        let mut key_types = Vec::with_capacity(by.len());
        for (position, name) in by.iter().enumerate() {
            if name == &on || by[..position].contains(name) {
                return plan_err!("{}: 'by' must name each column once and not that of 'on', has '{name}'", SPEC.name);
            }
            let [left, right] = [&schemas[0], &schemas[1]].map(|schema| schema.field_with_name(name));
            let (left, right) = (left?.data_type(), right?.data_type());
            let Some(common) = key_type(left, right) else {
                return plan_err!(
                    "{}: column '{name}' must have types that can be compared, was {left} in 'left' and {right} in \
                     'right'",
                    SPEC.name
                );
            };
            key_types.push(common);
        }
        let tolerance = arguments.interval("tolerance")?;
        let operator = Asof::new(&schemas[0], &schemas[1], by, key_types, on, tolerance);
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

#[derive(Debug, Clone)]
struct Asof {
    by: Vec<String>,
    /// In which types keys are compared.
    key_types: Vec<DataType>,
    on: String,
    tolerance: Option<i64>,
    schema: SchemaRef,
    left_columns: usize,
    /// Positions of the right columns that are returned.
    right_columns: Vec<usize>,
}

impl Asof {
    fn new(
        left: &Schema,
        right: &Schema,
        by: Vec<String>,
        key_types: Vec<DataType>,
        on: String,
        tolerance: Option<i64>,
    ) -> Asof {
        let mut fields: Vec<Arc<Field>> = left.fields().to_vec();
        let mut right_columns = Vec::new();
        for (position, field) in right.fields().iter().enumerate() {
            if by.contains(field.name()) {
                continue;
            }
            let taken = |name: &str| fields.iter().any(|field| field.name() == name);
            let mut name = field.name().clone();
            if name == on || taken(&name) {
                name = format!("right_{name}");
            }
            while taken(&name) {
                name = format!("right_{name}");
            }
            fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
            right_columns.push(position);
        }
        let schema = Arc::new(Schema::new(fields));
        Asof { by, key_types, on, tolerance, schema, left_columns: left.fields().len(), right_columns }
    }
}

impl Operator for Asof {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("by", format!("[{}]", self.by.join(", "))),
            ("on", self.on.clone()),
            ("tolerance", self.tolerance.map_or_else(|| "none".to_owned(), length_text)),
        ]
    }

    fn readings(&self) -> Vec<Reading> {
        let reading = Reading::Ordered { keys: self.by.clone(), time: self.on.clone() };
        vec![reading.clone(), reading]
    }

    fn keeps(&self) -> Keeps {
        Keeps::Order
    }

    fn commutes(&self, column: &str) -> bool {
        // A left row stands or falls alone: a predicate on its own columns may be applied before the join.
        self.schema.fields().iter().take(self.left_columns).any(|field| field.name() == column)
    }

    fn input_time(&self, wanted: &TimeBounds) -> Vec<TimeBounds> {
        if self.on != "ts" {
            return Vec::new();
        }
        let from = wanted.from.zip(self.tolerance).map(|(from, tolerance)| from.saturating_sub(tolerance));
        vec![TimeBounds::default(), TimeBounds { from, to: wanted.to }]
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let [left, right] = start.schemas.as_slice() else {
            return exec_err!("{}: needs two inputs", SPEC.name);
        };
        let position = |schema: &SchemaRef, name: &str| schema.index_of(name);
        let keys = |schema: &SchemaRef| self.by.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>();
        let (left_keys, right_keys) = (keys(left)?, keys(right)?);
        let (left_time, right_time) = (position(left, &self.on)?, position(right, &self.on)?);
        // Times are compared in the finer unit of the two.
        let unit = finest(left.field(left_time).data_type(), right.field(right_time).data_type());
        let converter = RowConverter::new(self.key_types.iter().cloned().map(SortField::new).collect())?;
        let projected: SchemaRef = Arc::new(self.schema.project(start.projection)?);
        let output = start.projection.iter().map(|&column| match column.checked_sub(self.left_columns) {
            None => Output::Left(column),
            Some(right) => Output::Right(self.right_columns[right]),
        });
        Ok(Box::new(AsofRun {
            schema: projected,
            output: output.collect(),
            left: Side { keys: left_keys, time: left_time },
            right: Side { keys: right_keys, time: right_time },
            right_schema: Arc::clone(right),
            key_types: self.key_types.clone(),
            names: (self.by.clone(), self.on.clone()),
            unit,
            tolerance: self.tolerance.map(|tolerance| in_units(tolerance, unit)),
            converter,
            arrival: start.arrival,
            matched: start.counter("matched"),
            last: HashMap::new(),
            left_batch: None,
            left_ended: false,
            right_batch: None,
            right_ended: false,
            matches: Vec::new(),
            sources: Vec::new(),
            held: Vec::new(),
            last_left: None,
        }))
    }
}

/// Where an output column comes from.
#[derive(Debug, Clone, Copy)]
enum Output {
    Left(usize),
    Right(usize),
}

#[derive(Debug)]
struct Side {
    keys: Vec<usize>,
    time: usize,
}

/// A batch with its keys and times ready to compare.
struct Prepared {
    batch: RecordBatch,
    keys: KeyRows,
    /// `None` where the key or the time is NULL.
    times: Vec<Option<i64>>,
    row: usize,
}

/// The last right row of a key.
#[derive(Clone)]
struct Last {
    time: i64,
    batch: Arc<RecordBatch>,
    row: usize,
}

struct AsofRun {
    schema: SchemaRef,
    output: Vec<Output>,
    left: Side,
    right: Side,
    right_schema: SchemaRef,
    key_types: Vec<DataType>,
    /// Names of the key columns and of the time, for messages.
    names: (Vec<String>, String),
    unit: TimeUnit,
    tolerance: Option<i64>,
    converter: RowConverter,
    arrival: Arrival,
    matched: Count,
    /// Looked up by key, never iterated.
    last: HashMap<OwnedRow, Last>,
    left_batch: Option<Prepared>,
    left_ended: bool,
    right_batch: Option<(Prepared, Arc<RecordBatch>)>,
    right_ended: bool,
    /// For each left row done: the place of its right batch among the sources, and the row; none where nothing matches.
    matches: Vec<Option<(usize, usize)>>,
    sources: Vec<Arc<RecordBatch>>,
    /// Right batches of which a row may still be wanted, to account for their memory.
    held: Vec<Arc<RecordBatch>>,
    /// Time of the last left row, to see that it never goes backwards: over all keys, or of its key.
    last_left: Option<(OwnedRow, i64)>,
}

impl AsofRun {
    fn prepare(&self, batch: RecordBatch, side: &Side) -> Result<Prepared> {
        let mut keys: Vec<ArrayRef> = Vec::with_capacity(side.keys.len());
        for (&key, wanted) in side.keys.iter().zip(&self.key_types) {
            let array = batch.column(key);
            keys.push(if array.data_type() == wanted { Arc::clone(array) } else { cast(array, wanted)? });
        }
        let zone = match batch.column(side.time).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let time = cast(batch.column(side.time), &DataType::Timestamp(self.unit, zone))?;
        let time = cast(&time, &DataType::Int64)?;
        let time = time.as_primitive::<Int64Type>();
        let known = |row: usize| time.is_valid(row) && keys.iter().all(|key| key.is_valid(row));
        let times = (0..batch.num_rows()).map(|row| known(row).then(|| time.value(row))).collect();
        let keys = self.converter.convert_columns(&keys)?;
        Ok(Prepared { batch, keys, times, row: 0 })
    }

    /// Takes right rows up to a left row; returns whether all of them are known.
    fn reach(&mut self, left: &Prepared, time: i64) -> bool {
        let same_key = |(last, _): &(OwnedRow, i64)| last.row() == left.keys.row(left.row);
        if self.arrival == Arrival::ByKey && !self.last_left.as_ref().is_some_and(same_key) {
            // Earlier keys do not come again, and rows of this one are not taken yet.
            self.last.clear();
            self.last_left = Some((left.keys.row(left.row).owned(), i64::MIN));
        }
        loop {
            let Some((right, whole)) = &mut self.right_batch else { return self.right_ended };
            let Some(right_time) = right.times.get(right.row) else {
                self.right_batch = None;
                continue;
            };
            let Some(right_time) = *right_time else {
                right.row += 1;
                continue;
            };
            let key = right.keys.row(right.row);
            let ahead = match self.arrival {
                Arrival::ByTime => right_time > time,
                Arrival::ByKey => (key, right_time) > (left.keys.row(left.row), time),
            };
            if ahead {
                return true;
            }
            let last = Last { time: right_time, batch: Arc::clone(whole), row: right.row };
            match self.last.get_mut(&key.owned()) {
                // A stream that goes backwards must not replace what is newer.
                Some(known) if known.time > right_time => {}
                Some(known) => *known = last,
                None => {
                    self.last.insert(key.owned(), last);
                }
            }
            right.row += 1;
        }
    }

    fn check_order(&mut self, left: &Prepared, time: i64) -> Result<()> {
        let key = left.keys.row(left.row);
        let backwards = self.last_left.as_ref().is_some_and(|(last_key, last_time)| match self.arrival {
            Arrival::ByTime => time < *last_time,
            Arrival::ByKey => last_key.row() == key && time < *last_time,
        });
        if backwards {
            let text = |column: usize| array_value_to_string(left.batch.column(column), left.row).unwrap_or_default();
            let key: Vec<String> = self.left.keys.iter().map(|key| text(*key)).collect();
            return exec_err!(
                "{}: '{}' of 'left' must not go backwards, was {} at ({}: {}), though the plan says that it is sorted",
                SPEC.name,
                self.names.1,
                time_text(time, self.unit),
                self.names.0.join(", "),
                key.join(", ")
            );
        }
        match &mut self.last_left {
            Some((last_key, last_time)) if last_key.row() == key => *last_time = time,
            last => *last = Some((key.owned(), time)),
        }
        Ok(())
    }

    fn match_row(&mut self, left: &Prepared, time: i64) -> Option<(usize, usize)> {
        let last = self.last.get(&left.keys.row(left.row).owned())?;
        if self.tolerance.is_some_and(|tolerance| time.saturating_sub(last.time) > tolerance) {
            return None;
        }
        let source = match self.sources.iter().rposition(|source| Arc::ptr_eq(source, &last.batch)) {
            Some(source) => source,
            None => {
                self.sources.push(Arc::clone(&last.batch));
                self.sources.len() - 1
            }
        };
        Some((source, last.row))
    }

    /// Makes the output of a left batch whose rows are all matched.
    fn finish(&mut self, left: &RecordBatch) -> Result<RecordBatch> {
        let matches = std::mem::take(&mut self.matches);
        let sources = std::mem::take(&mut self.sources);
        self.matched.add(matches.iter().flatten().count());
        // Place 0 is one NULL, for rows without a match.
        let places: Vec<(usize, usize)> =
            matches.into_iter().map(|found| found.map_or((0, 0), |(source, row)| (source + 1, row))).collect();
        let columns: Result<Vec<ArrayRef>> = self
            .output
            .iter()
            .map(|output| match output {
                Output::Left(column) => Ok(Arc::clone(left.column(*column))),
                Output::Right(column) => {
                    let null = new_null_array(self.right_schema.field(*column).data_type(), 1);
                    let mut arrays: Vec<&dyn Array> = vec![&null];
                    arrays.extend(sources.iter().map(|source| source.column(*column).as_ref()));
                    Ok(interleave(&arrays, &places)?)
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)?)
    }
}

/// The type in which keys of two types are compared; `None` if they cannot be.
fn key_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    let (left, right) = (plain(left), plain(right));
    if left == right {
        Some(left)
    } else if left.is_string() && right.is_string() {
        Some(DataType::Utf8View)
    } else if left.is_numeric() && right.is_numeric() {
        comparison_coercion(&left, &right)
    } else {
        None
    }
}

fn time_text(time: i64, unit: TimeUnit) -> String {
    let milliseconds = time.div_euclid((per_second(unit) / 1000).max(1));
    exec::time_text(if unit == TimeUnit::Second { milliseconds * 1000 } else { milliseconds })
}

fn finest(left: &DataType, right: &DataType) -> TimeUnit {
    let unit = |data_type: &DataType| match data_type {
        DataType::Timestamp(unit, _) => *unit,
        DataType::Date64 => TimeUnit::Millisecond,
        _ => TimeUnit::Second,
    };
    if per_second(unit(left)) >= per_second(unit(right)) { unit(left) } else { unit(right) }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Converts a positive length of time, rounded down: nothing older than it counts.
fn in_units(milliseconds: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => milliseconds / 1000,
        unit => milliseconds.saturating_mul(per_second(unit) / 1000),
    }
}

impl Run for AsofRun {
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()> {
        match (input, batch) {
            (0, Some(batch)) => self.left_batch = Some(self.prepare(batch, &self.left)?),
            (0, None) => self.left_ended = true,
            (_, Some(batch)) => {
                let whole = Arc::new(batch.clone());
                self.held.retain(|held| Arc::strong_count(held) > 1);
                self.held.push(Arc::clone(&whole));
                self.right_batch = Some((self.prepare(batch, &self.right)?, whole));
            }
            (_, None) => self.right_ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        let Some(mut left) = self.left_batch.take() else {
            return Ok(if self.left_ended { Step::Done } else { Step::Read(0) });
        };
        while let Some(&time) = left.times.get(left.row) {
            let found = match time {
                None => None,
                Some(time) => {
                    if !self.reach(&left, time) {
                        self.left_batch = Some(left);
                        return Ok(Step::Read(1));
                    }
                    self.check_order(&left, time)?;
                    self.match_row(&left, time)
                }
            };
            self.matches.push(found);
            left.row += 1;
        }
        Ok(Step::Ready(self.finish(&left.batch)?))
    }

    fn memory(&self) -> usize {
        // What is kept of the right side are whole batches, shared by the keys whose last row is in them.
        let kept: usize = self.held.iter().map(|held| held.get_array_memory_size()).sum();
        kept + self.last.len() * (size_of::<Last>() + size_of::<OwnedRow>() + 32)
            + self.matches.capacity() * size_of::<Option<(usize, usize)>>()
    }
}

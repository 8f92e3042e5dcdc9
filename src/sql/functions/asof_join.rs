//! `asof_join`: beside every left row, the last right row at or before it.
//!
//! In: two relations with the key columns `by` and the time column `on`. Out: all left columns in order, then the right
//! columns without the `by` columns; the right time is `right_ts` (`right_` and the name of `on`), a right column whose
//! name is taken is prefixed `right_`; right columns are nullable. Every left row comes once, in its order. With several
//! right rows of one instant the last counts. NULL keys and times match nothing.
//!
//! Invariant: the row matched has the greatest time at or before the left row's among rows of the same key, and is not
//! older than `tolerance`. Semantics as Snowflake's `ASOF JOIN … MATCH_CONDITION (left.ts >= right.ts)`.
//!
//! ```text
//!   left  ─► keys as numbers, times as i64 ─┐
//!                                           ├─ merge ─► (right batch, row) of each left row ─► columns
//!   right ─► keys as numbers, times as i64 ─┘
//! ```
//!
//! Held: the last right row of each key, in the batch that it came in; once that keeps much more alive than those rows,
//! they are copied together.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::{cast, concat, interleave, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::hash_utils::RandomState;
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
        let mut kept = Vec::new();
        let output = start.projection.iter().map(|&column| match column.checked_sub(self.left_columns) {
            None => Output::Left(column),
            Some(right) => {
                kept.push(self.right_columns[right]);
                Output::Right(kept.len() - 1)
            }
        });
        let output = output.collect();
        Ok(Box::new(AsofRun {
            schema: projected,
            output,
            sides: [Side { keys: left_keys, time: left_time }, Side { keys: right_keys, time: right_time }],
            sources: Sources::new(kept, right),
            key_types: self.key_types.clone(),
            names: Names { by: self.by.clone(), on: self.on.clone(), unit },
            tolerance: self.tolerance.map(|tolerance| in_units(tolerance, unit)),
            keys: Keys::new(converter),
            keys_limit: 0,
            arrival: start.arrival,
            matched: start.counter("matched"),
            last: Vec::new(),
            left: None,
            left_ended: false,
            left_key: NONE,
            left_time: i64::MIN,
            right: None,
            right_ended: false,
            right_key: NONE,
            right_is_ahead: false,
            matches: Vec::new(),
            unmatched: 0,
        }))
    }
}

/// Where an output column comes from.
#[derive(Debug, Clone, Copy)]
enum Output {
    /// A column of the left batch.
    Left(usize),
    /// A column of those kept of the right side.
    Right(usize),
}

#[derive(Debug)]
struct Side {
    keys: Vec<usize>,
    time: usize,
}

/// No key, no source.
const NONE: usize = usize::MAX;

/// A batch with its keys and times ready to compare.
struct Prepared {
    /// Numbers of the keys; [`NONE`] where the key or the time is NULL.
    keys: Vec<usize>,
    times: ScalarBuffer<i64>,
    /// The key columns, for messages.
    names: Vec<ArrayRef>,
    /// The next row.
    row: usize,
}

impl Prepared {
    fn memory(&self) -> usize {
        self.keys.capacity() * size_of::<usize>()
    }
}

/// What messages call the columns.
#[derive(Debug)]
struct Names {
    by: Vec<String>,
    on: String,
    /// The unit of all times.
    unit: TimeUnit,
}

impl Names {
    /// Makes the error of a row that comes after one that it should precede.
    fn backwards<T>(&self, side: &str, column: &str, prepared: &Prepared, row: usize) -> Result<T> {
        let key: Vec<String> =
            prepared.names.iter().map(|name| array_value_to_string(name, row).unwrap_or_default()).collect();
        exec_err!(
            "{}: '{column}' of '{side}' must not go backwards, was {} at ({}: {}), though the plan says that it is sorted",
            SPEC.name,
            time_text(prepared.times[row], self.unit),
            self.by.join(", "),
            key.join(", ")
        )
    }
}

/// Numbers for keys: rows of either side that have one key have one number.
struct Keys {
    converter: RowConverter,
    /// Looked up by the encoded key, never iterated.
    numbers: HashMap<Arc<[u8]>, usize, RandomState>,
    /// The encoded keys by number. In this form they compare as the keys do.
    encoded: Vec<Arc<[u8]>>,
    /// Bytes of the encoded keys.
    bytes: usize,
}

impl Keys {
    fn new(converter: RowConverter) -> Keys {
        Keys { converter, numbers: HashMap::default(), encoded: Vec::new(), bytes: 0 }
    }

    fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Returns the number of each row's key.
    fn number_rows(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        let views: Option<Vec<&[u128]>> =
            columns.iter().map(|column| Some(&column.as_string_view_opt()?.views()[..])).collect();
        if let Some(views) = views {
            return self.number_texts(columns, &views, rows);
        }
        let encoded = self.converter.convert_columns(columns)?;
        let mut numbers = Vec::with_capacity(rows);
        for row in 0..rows {
            let number = match numbers.last() {
                Some(&last) if encoded.row(row) == encoded.row(row - 1) => last,
                _ => self.number(encoded.row(row).data()),
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// Numbers rows whose keys are texts. Only the first row of each key in the batch is encoded.
    fn number_texts(&mut self, columns: &[ArrayRef], views: &[&[u128]], rows: usize) -> Result<Vec<usize>> {
        // Within a batch equal views are equal texts. Equal texts may have different views, which costs a second
        // encoding but gives the same number.
        let alike = |a: usize, b: usize| views.iter().all(|views| views[a] == views[b]);
        let hasher = RandomState::default();
        let hash = |row: usize| {
            let mut hasher = hasher.build_hasher();
            for views in views {
                hasher.write_u128(views[row]);
            }
            hasher.finish() as usize
        };
        // Open addressing over the places in `firsts`, at most half full.
        let mut slots: Vec<usize> = vec![NONE; 64];
        let mut firsts: Vec<usize> = Vec::new();
        let mut places: Vec<usize> = Vec::with_capacity(rows);
        let mut last = NONE;
        // Column by column, which the compiler makes wide.
        let mut changes = vec![false; rows];
        for views in views {
            for (change, pair) in changes.iter_mut().skip(1).zip(views.windows(2)) {
                *change |= pair[0] != pair[1];
            }
        }
        for (row, change) in changes.into_iter().enumerate() {
            if !change && row > 0 {
                places.push(last);
                continue;
            }
            if firsts.len() * 2 >= slots.len() {
                let size = slots.len() * 4;
                slots.clear();
                slots.resize(size, NONE);
                for (place, &first) in firsts.iter().enumerate() {
                    let mut slot = hash(first) & (size - 1);
                    while slots[slot] != NONE {
                        slot = (slot + 1) & (size - 1);
                    }
                    slots[slot] = place;
                }
            }
            let mut slot = hash(row) & (slots.len() - 1);
            last = loop {
                match slots[slot] {
                    NONE => {
                        slots[slot] = firsts.len();
                        firsts.push(row);
                        break firsts.len() - 1;
                    }
                    place if alike(firsts[place], row) => break place,
                    _ => slot = (slot + 1) & (slots.len() - 1),
                }
            };
            places.push(last);
        }
        let firsts: UInt64Array = firsts.into_iter().map(|row| row as u64).collect();
        let columns: Vec<ArrayRef> =
            columns.iter().map(|column| take(column, &firsts, None)).collect::<Result<_, _>>()?;
        let encoded = self.converter.convert_columns(&columns)?;
        let numbers: Vec<usize> = encoded.iter().map(|row| self.number(row.data())).collect();
        for place in &mut places {
            *place = numbers[*place];
        }
        Ok(places)
    }

    /// Returns the number of an encoded key.
    fn number(&mut self, key: &[u8]) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let key: Arc<[u8]> = key.into();
        self.bytes += key.len();
        self.numbers.insert(Arc::clone(&key), self.encoded.len());
        self.encoded.push(key);
        self.encoded.len() - 1
    }

    /// Whether a key comes before another in their order.
    fn precedes(&self, a: usize, b: usize) -> bool {
        self.encoded[a] < self.encoded[b]
    }

    fn memory(&self) -> usize {
        // The head of an `Arc` is two counters; the map has a byte of control for each entry.
        let entry = size_of::<Arc<[u8]>>() + size_of::<usize>() + 1;
        self.bytes
            + self.len() * 2 * size_of::<usize>()
            + self.encoded.capacity() * size_of::<Arc<[u8]>>()
            + self.numbers.capacity() * entry
    }
}

/// The last right row of a key.
#[derive(Debug, Clone, Copy)]
struct Last {
    time: i64,
    /// [`NONE`] as long as there is no row.
    source: usize,
    row: usize,
}

impl Last {
    const NONE: Last = Last { time: i64::MIN, source: NONE, row: 0 };
}

/// Right rows of which some may still be wanted: a batch, or rows copied together.
struct Source {
    columns: Vec<ArrayRef>,
    bytes: usize,
    /// How many keys have their last row here.
    keys: usize,
    /// Place among the sources of the output that is being made, from 1; 0 where it has no row in it.
    place: usize,
}

/// The sources by number; freed numbers are used again.
struct Sources {
    /// Positions of the columns in the right batches.
    kept: Vec<usize>,
    types: Vec<DataType>,
    sources: Vec<Source>,
    free: Vec<usize>,
    /// Bytes of all sources.
    bytes: usize,
    /// Bytes from which rows are copied together.
    bytes_limit: usize,
    /// The source that is being read, else [`NONE`].
    current: usize,
    /// Sources of the output that is being made, by place less one.
    places: Vec<usize>,
}

impl Sources {
    fn new(kept: Vec<usize>, right: &Schema) -> Sources {
        let types = kept.iter().map(|&column| right.field(column).data_type().clone()).collect();
        Sources {
            kept,
            types,
            sources: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            bytes_limit: 0,
            current: NONE,
            places: Vec::new(),
        }
    }

    fn add(&mut self, columns: Vec<ArrayRef>) -> usize {
        let bytes = memory(&columns);
        self.bytes += bytes;
        let source = Source { columns, bytes, keys: 0, place: 0 };
        match self.free.pop() {
            Some(number) => {
                self.sources[number] = source;
                number
            }
            None => {
                self.sources.push(source);
                self.sources.len() - 1
            }
        }
    }

    /// Frees a source that nothing needs any more.
    fn free(&mut self, number: usize) {
        let source = &mut self.sources[number];
        if source.keys == 0 && source.place == 0 && number != self.current {
            self.bytes -= std::mem::take(&mut source.bytes);
            source.columns = Vec::new();
            self.free.push(number);
        }
    }

    /// Notes that a key's last row is not in a source any more.
    fn release(&mut self, number: usize) {
        if number != NONE {
            self.sources[number].keys -= 1;
            self.free(number);
        }
    }

    /// Ends the reading of the current source.
    fn leave(&mut self) {
        let number = std::mem::replace(&mut self.current, NONE);
        if number != NONE {
            self.free(number);
        }
    }

    /// Returns the place of a source in the output that is being made.
    fn place(&mut self, number: usize) -> usize {
        let source = &mut self.sources[number];
        if source.place == 0 {
            self.places.push(number);
            source.place = self.places.len();
        }
        source.place
    }

    /// Ends an output: sources that only it needed are freed.
    fn end_output(&mut self) {
        for number in std::mem::take(&mut self.places) {
            self.sources[number].place = 0;
            self.free(number);
        }
    }

    /// Copies the last rows together: a key that had its last row long ago keeps its whole batch alive. `newest` are the
    /// bytes of the batch to come.
    fn copy_together(&mut self, last: &mut [Last], newest: usize) {
        let mut numbers = Vec::new();
        let mut dense = vec![NONE; self.sources.len()];
        let mut rows = Vec::new();
        for last in last.iter().filter(|last| last.source != NONE) {
            if dense[last.source] == NONE {
                dense[last.source] = numbers.len();
                numbers.push(last.source);
            }
            rows.push((dense[last.source], last.row));
        }
        if !rows.is_empty() && self.types.iter().all(is_plain) {
            let columns = (0..self.types.len()).map(|column| {
                let arrays: Vec<&dyn Array> =
                    numbers.iter().map(|number| self.sources[*number].columns[column].as_ref()).collect();
                let copied = interleave(&arrays, &rows)?;
                // Copied views still point into the buffers of their batches.
                Ok(match copied.data_type() {
                    DataType::Utf8View => Arc::new(copied.as_string_view().gc()) as ArrayRef,
                    DataType::BinaryView => Arc::new(copied.as_binary_view().gc()) as ArrayRef,
                    _ => copied,
                })
            });
            // Texts too long for one array stay where they are.
            if let Ok(columns) = columns.collect::<Result<Vec<ArrayRef>>>() {
                let copied = self.add(columns);
                self.sources[copied].keys = rows.len();
                for (row, last) in last.iter_mut().filter(|last| last.source != NONE).enumerate() {
                    let old = std::mem::replace(&mut last.source, copied);
                    last.row = row;
                    self.release(old);
                }
            }
        }
        // What was copied is not copied again before as much has come.
        self.bytes_limit = self.bytes.saturating_mul(2).saturating_add(newest.saturating_mul(8));
    }

    /// Makes a right column of the output from places, 0 for NULL, and rows.
    fn column(&self, column: usize, matches: &[(usize, usize)], parts: Option<&[Part]>) -> Result<ArrayRef> {
        let data_type = &self.types[column];
        let array = |place: usize| &self.sources[self.places[place - 1]].columns[column];
        if let Some(parts) = parts.filter(|parts| parts.len() <= 1 || is_plain(data_type)) {
            let slices = parts.iter().map(|part| match part.place {
                0 => new_null_array(data_type, part.rows),
                place => array(place).slice(part.from, part.rows),
            });
            let slices: Vec<ArrayRef> = slices.collect();
            return match slices.as_slice() {
                [] => Ok(new_null_array(data_type, 0)),
                [slice] => Ok(Arc::clone(slice)),
                slices => Ok(concat(&slices.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
            };
        }
        let null = new_null_array(data_type, 1);
        let mut arrays: Vec<&dyn Array> = vec![&null];
        arrays.extend((1..=self.places.len()).map(|place| array(place).as_ref()));
        if !matches.iter().any(|(place, _)| *place == 0) && arrays.len() > 1 {
            // Without the NULL no validity need be made.
            arrays[0] = arrays[1];
        }
        Ok(interleave(&arrays, matches)?)
    }
}

/// Returns the bytes that a source of some columns takes.
fn memory(columns: &[ArrayRef]) -> usize {
    size_of::<Source>() + columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>()
}

/// Output rows whose right rows follow each other in one source, or are all NULL.
#[derive(Debug)]
struct Part {
    place: usize,
    from: usize,
    rows: usize,
}

/// Splits matches into parts; `None` if there are so many that row by row is as fast.
fn parts(matches: &[(usize, usize)]) -> Option<Vec<Part>> {
    let most = 1 + matches.len() / 64;
    let mut parts: Vec<Part> = Vec::new();
    for &(place, row) in matches {
        if let Some(part) = parts.last_mut()
            && part.place == place
            && (place == 0 || part.from + part.rows == row)
        {
            part.rows += 1;
        } else if parts.len() < most {
            parts.push(Part { place, from: row, rows: 1 });
        } else {
            return None;
        }
    }
    Some(parts)
}

/// Whether columns of a type can be put together without a thought for dictionaries or nested values.
fn is_plain(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, Boolean, LargeBinary, LargeUtf8, Utf8, Utf8View};
    data_type.is_primitive()
        || matches!(data_type, Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
}

struct AsofRun {
    schema: SchemaRef,
    output: Vec<Output>,
    sides: [Side; 2],
    sources: Sources,
    key_types: Vec<DataType>,
    names: Names,
    tolerance: Option<i64>,
    keys: Keys,
    /// Number of keys from which those are sought that can be forgotten.
    keys_limit: usize,
    arrival: Arrival,
    matched: Count,
    /// By key. Where one key comes after the other, of the left row's key alone.
    last: Vec<Last>,
    left: Option<(Prepared, RecordBatch)>,
    left_ended: bool,
    /// Key of the last left row; only where one key comes after the other.
    left_key: usize,
    /// Time of the last left row, over all keys or of its key: it never goes backwards.
    left_time: i64,
    right: Option<Prepared>,
    right_ended: bool,
    /// Key of the last right row that was looked at; only where one key comes after the other.
    right_key: usize,
    /// Whether that key comes after the left one.
    right_is_ahead: bool,
    /// For each left row done: the place of its right batch in the output, and the row. Place 0 is NULL.
    matches: Vec<(usize, usize)>,
    /// Left rows done that match nothing.
    unmatched: usize,
}

impl AsofRun {
    fn prepare(&mut self, batch: &RecordBatch, side: usize) -> Result<Prepared> {
        self.forget_keys(batch.num_rows());
        let Side { keys: columns, time } = &self.sides[side];
        let mut names: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for (&column, wanted) in columns.iter().zip(&self.key_types) {
            let array = batch.column(column);
            names.push(if array.data_type() == wanted { Arc::clone(array) } else { cast(array, wanted)? });
        }
        let zone = match batch.column(*time).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = cast(batch.column(*time), &DataType::Timestamp(self.names.unit, zone))?;
        let times = cast(&times, &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let mut keys = self.keys.number_rows(&names, batch.num_rows())?;
        self.last.resize(self.keys.len(), Last::NONE);
        let known = names
            .iter()
            .fold(times.nulls().cloned(), |known, key| NullBuffer::union(known.as_ref(), key.logical_nulls().as_ref()));
        if let Some(known) = known.filter(|known| known.null_count() > 0) {
            for (key, known) in keys.iter_mut().zip(&known) {
                if !known {
                    *key = NONE;
                }
            }
        }
        Ok(Prepared { keys, times: times.values().clone(), names, row: 0 })
    }

    /// Forgets keys that no row at hand has and no left row to come can match. Done rarely enough that its cost spreads
    /// over the keys that came since.
    fn forget_keys(&mut self, rows: usize) {
        if self.keys.len() <= self.keys_limit {
            return;
        }
        self.drop_too_old();
        let mut numbers = vec![NONE; self.keys.len()];
        let mut encoded: Vec<Arc<[u8]>> = Vec::new();
        let mut keep = |key: &mut usize| {
            if *key != NONE {
                if numbers[*key] == NONE {
                    numbers[*key] = encoded.len();
                    encoded.push(Arc::clone(&self.keys.encoded[*key]));
                }
                *key = numbers[*key];
            }
        };
        let mut at_hand = 0;
        for prepared in self.left.iter_mut().map(|(left, _)| left).chain(&mut self.right) {
            let ahead = &mut prepared.keys[prepared.row..];
            at_hand += ahead.len();
            ahead.iter_mut().for_each(&mut keep);
        }
        keep(&mut self.left_key);
        keep(&mut self.right_key);
        let mut last = Vec::new();
        for (key, known) in self.last.iter().enumerate() {
            if known.source != NONE {
                let mut key = key;
                keep(&mut key);
                last.resize(last.len().max(key + 1), Last::NONE);
                last[key] = *known;
            }
        }
        last.resize(encoded.len(), Last::NONE);
        self.last = last;
        self.keys.bytes = encoded.iter().map(|key| key.len()).sum();
        self.keys.numbers = encoded.iter().enumerate().map(|(number, key)| (Arc::clone(key), number)).collect();
        self.keys.encoded = encoded;
        self.keys_limit = 2 * self.keys.len() + at_hand + rows;
    }

    /// Drops last rows that are older than the tolerance for every left row to come.
    fn drop_too_old(&mut self) {
        let Some(tolerance) = self.tolerance.filter(|_| self.arrival == Arrival::ByTime) else { return };
        for last in self.last.iter_mut().filter(|last| last.source != NONE) {
            if self.left_time.saturating_sub(last.time) > tolerance {
                self.sources.release(last.source);
                *last = Last::NONE;
            }
        }
    }

    /// Matches left rows until the batch ends or more of the right side is needed; returns whether it has ended.
    fn match_rows(&mut self, left: &mut Prepared) -> Result<bool> {
        while let Some(&key) = left.keys.get(left.row) {
            if key == NONE {
                self.matches.push((0, 0));
                self.unmatched += 1;
                left.row += 1;
                continue;
            }
            let time = left.times[left.row];
            if self.arrival == Arrival::ByKey && key != self.left_key {
                self.enter_key(left, key)?;
            }
            if time < self.left_time {
                return self.names.backwards("left", &self.names.on, left, left.row);
            }
            self.left_time = time;
            if !self.reach(key, time)? {
                return Ok(false);
            }
            let last = self.last[key];
            if last.source == NONE || self.tolerance.is_some_and(|tolerance| time.saturating_sub(last.time) > tolerance)
            {
                self.matches.push((0, 0));
                self.unmatched += 1;
            } else {
                self.matches.push((self.sources.place(last.source), last.row));
            }
            left.row += 1;
        }
        Ok(true)
    }

    /// Goes on to the next key of the left side, where one comes after the other: those before do not come again.
    fn enter_key(&mut self, left: &Prepared, key: usize) -> Result<()> {
        let before = std::mem::replace(&mut self.left_key, key);
        self.left_time = i64::MIN;
        if before != NONE {
            if self.keys.precedes(key, before) {
                return self.names.backwards("left", &self.names.by.join(", "), left, left.row);
            }
            let last = std::mem::replace(&mut self.last[before], Last::NONE);
            self.sources.release(last.source);
        }
        self.right_is_ahead = self.right_key != NONE && self.keys.precedes(key, self.right_key);
        Ok(())
    }

    /// Takes right rows up to a left row; returns whether all of them are known.
    fn reach(&mut self, key: usize, time: i64) -> Result<bool> {
        loop {
            let Some(right) = &mut self.right else { return Ok(self.right_ended) };
            while let Some(&right_key) = right.keys.get(right.row) {
                if right_key == NONE {
                    right.row += 1;
                    continue;
                }
                let right_time = right.times[right.row];
                if self.arrival == Arrival::ByKey && right_key != self.right_key {
                    let before = std::mem::replace(&mut self.right_key, right_key);
                    if before != NONE && self.keys.precedes(right_key, before) {
                        return self.names.backwards("right", &self.names.by.join(", "), right, right.row);
                    }
                    self.right_is_ahead = self.keys.precedes(key, right_key);
                }
                if self.arrival == Arrival::ByTime || right_key == key {
                    if right_time > time {
                        return Ok(true);
                    }
                    let known = &mut self.last[right_key];
                    // A stream that goes backwards must not replace what is newer.
                    if known.time <= right_time {
                        let source = self.sources.current;
                        let before = known.source;
                        *known = Last { time: right_time, source, row: right.row };
                        if before != source {
                            self.sources.sources[source].keys += 1;
                            self.sources.release(before);
                        }
                    }
                } else if self.right_is_ahead {
                    return Ok(true);
                }
                // A key that the left side does not have, or has no more rows of: nothing will ask for it.
                right.row += 1;
            }
            self.right = None;
            self.sources.leave();
        }
    }

    /// Makes the output of a left batch whose rows are all matched.
    fn finish(&mut self, left: &RecordBatch) -> Result<RecordBatch> {
        let matches = std::mem::take(&mut self.matches);
        self.matched.add(matches.len() - std::mem::take(&mut self.unmatched));
        let parts = parts(&matches);
        let columns: Result<Vec<ArrayRef>> = self
            .output
            .iter()
            .map(|output| match output {
                Output::Left(column) => Ok(Arc::clone(left.column(*column))),
                Output::Right(column) => self.sources.column(*column, &matches, parts.as_deref()),
            })
            .collect();
        self.sources.end_output();
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
    if left.is_string() && right.is_string() {
        // Views are compared without reading the texts.
        Some(DataType::Utf8View)
    } else if left == right {
        Some(left)
    } else if left.is_numeric() && right.is_numeric() {
        comparison_coercion(&left, &right)
    } else {
        None
    }
}

fn time_text(time: i64, unit: TimeUnit) -> String {
    let milliseconds = time.div_euclid((per_second(unit) / 1000).max(1));
    exec::time_text(if unit == TimeUnit::Second { milliseconds.saturating_mul(1000) } else { milliseconds })
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
            (0, Some(batch)) => {
                self.matches.reserve_exact(batch.num_rows());
                self.left = Some((self.prepare(&batch, 0)?, batch));
            }
            (0, None) => self.left_ended = true,
            (_, Some(batch)) => {
                let prepared = self.prepare(&batch, 1)?;
                let columns: Vec<ArrayRef> =
                    self.sources.kept.iter().map(|column| Arc::clone(batch.column(*column))).collect();
                if self.sources.bytes > self.sources.bytes_limit {
                    self.drop_too_old();
                    self.sources.copy_together(&mut self.last, memory(&columns));
                }
                self.sources.current = self.sources.add(columns);
                self.right = Some(prepared);
            }
            (_, None) => self.right_ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        let Some((mut left, batch)) = self.left.take() else {
            return Ok(if self.left_ended { Step::Done } else { Step::Read(0) });
        };
        if self.match_rows(&mut left)? {
            return Ok(Step::Ready(self.finish(&batch)?));
        }
        self.left = Some((left, batch));
        Ok(Step::Read(1))
    }

    fn memory(&self) -> usize {
        let at_hand = self.left.iter().map(|(left, _)| left).chain(&self.right).map(Prepared::memory).sum::<usize>();
        self.sources.bytes
            + at_hand
            + self.keys.memory()
            + self.last.capacity() * size_of::<Last>()
            + self.matches.capacity() * size_of::<(usize, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array, StringArray, StringViewArray, TimestampMillisecondArray};
    use arrow::datatypes::Int32Type;
    use datafusion::datasource::MemTable;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext, col};

    use super::*;

    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }
    }

    /// A row: key, time, id.
    #[derive(Debug, Clone)]
    struct Row {
        name: Option<String>,
        number: Option<i64>,
        time: Option<i64>,
        id: i64,
    }

    /// Rows in the order of an arrival, with gaps: NULL times and keys stand wherever they are.
    fn rows(chance: &mut Chance, arrival: Arrival, count: usize, keys: usize) -> Vec<Row> {
        let span = 1 + chance.below(2 * count + 1);
        let mut rows: Vec<Row> = (0..count)
            .map(|_| {
                let key = chance.below(keys);
                // Some names are too long to lie in a view, and begin alike.
                let name = if key.is_multiple_of(3) {
                    format!("a name of more than 12 bytes {key}")
                } else {
                    format!("n{key}")
                };
                let number = Some((key % 2) as i64 - 1);
                Row { name: Some(name), number, time: Some(chance.below(span) as i64), id: 0 }
            })
            .collect();
        match arrival {
            Arrival::ByTime => rows.sort_by_key(|row| row.time),
            Arrival::ByKey => rows.sort_by_key(|row| (row.name.clone(), row.number, row.time)),
        }
        for (id, row) in rows.iter_mut().enumerate() {
            row.id = id as i64;
            match chance.below(40) {
                0 => row.name = None,
                1 => row.number = None,
                2 => row.time = None,
                _ => {}
            }
        }
        rows
    }

    fn table(chance: &mut Chance, rows: &[Row], views: bool, order: &[&str], most: usize) -> MemTable {
        let names: Vec<Option<&str>> = rows.iter().map(|row| row.name.as_deref()).collect();
        let texts: Vec<String> = rows.iter().map(|row| format!("the text of right row {}", row.id)).collect();
        let texts: Vec<Option<&str>> =
            texts.iter().map(|text| (text.len() % 3 != 0).then_some(text.as_str())).collect();
        let name: ArrayRef =
            if views { Arc::new(StringViewArray::from(names)) } else { Arc::new(StringArray::from(names)) };
        let batch = RecordBatch::try_from_iter_with_nullable([
            (
                "time",
                Arc::new(rows.iter().map(|row| row.time).collect::<TimestampMillisecondArray>()) as ArrayRef,
                true,
            ),
            ("name", name, true),
            ("number", Arc::new(rows.iter().map(|row| row.number).collect::<Int64Array>()), true),
            ("id", Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()), true),
            ("view", Arc::new(StringViewArray::from(texts.clone())), true),
            ("text", Arc::new(StringArray::from(texts.clone())), true),
            ("word", Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()), true),
        ])
        .unwrap();
        let mut batches = Vec::new();
        let mut from = 0;
        while from < rows.len() {
            let count = (1 + chance.below(most)).min(rows.len() - from);
            batches.push(batch.slice(from, count));
            from += count;
        }
        let order = order.iter().map(|name| col(*name).sort(true, false)).collect();
        MemTable::try_new(batch.schema(), vec![batches]).unwrap().with_sort_order(vec![order])
    }

    /// The definition, row by row.
    fn naive(left: &[Row], right: &[Row], by: &[&str], tolerance: Option<i64>) -> Vec<(i64, Option<i64>)> {
        let key = |row: &Row| -> Option<(String, i64)> {
            let name = if by.contains(&"name") { row.name.clone()? } else { String::new() };
            Some((name, if by.contains(&"number") { row.number? } else { 0 }))
        };
        left.iter()
            .map(|row| {
                let (Some(wanted), Some(time)) = (key(row), row.time) else { return (row.id, None) };
                let reached = right.iter().filter(|right| key(right).as_ref() == Some(&wanted));
                let reached = reached.filter_map(|right| Some((right.time.filter(|at| *at <= time)?, right.id)));
                let last = reached.max().filter(|(at, _)| tolerance.is_none_or(|tolerance| time - at <= tolerance));
                (row.id, last.map(|(_, id)| id))
            })
            .collect()
    }

    #[tokio::test]
    async fn every_left_row_meets_the_row_that_the_definition_names() {
        let mut matched = 0;
        for seed in 0..300 {
            let mut chance = Chance(seed);
            let arrival = if seed % 2 == 0 { Arrival::ByTime } else { Arrival::ByKey };
            let by: &[&str] = match seed / 2 % 3 {
                0 => &["name"],
                1 => &["name", "number"],
                _ => &["number"],
            };
            let keys = [1, 2, 7, 200][chance.below(4)];
            let most = [1, 3, 40, 400][chance.below(4)];
            let [left, right] = [0, 1].map(|_| {
                let count = chance.below(300);
                let mut rows = rows(&mut chance, arrival, count, keys);
                // A declared order must hold of the keys that are joined by; those are then not NULL in between.
                if arrival == Arrival::ByKey && by.len() == 1 {
                    let named = by == ["name"];
                    let name = |row: &Row| row.name.clone().filter(|_| named);
                    rows.sort_by_key(|row| (name(row), row.number.filter(|_| !named), row.time));
                    (0..).zip(&mut rows).for_each(|(id, row)| row.id = id);
                }
                rows
            });
            let order: Vec<&str> = match arrival {
                Arrival::ByTime => vec!["time"],
                Arrival::ByKey => by.iter().copied().chain(["time"]).collect(),
            };
            let tolerance = (chance.below(3) == 0).then(|| 1 + chance.below(50) as i64);
            let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
            crate::sql::register_all(&context).unwrap();
            for (name, rows) in [("a", &left), ("b", &right)] {
                let views = chance.below(2) == 0;
                let table = table(&mut chance, rows, views, &order, most);
                context.register_table(name, Arc::new(table)).unwrap();
            }
            let by_text = by.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            let tolerance_text =
                tolerance.map_or_else(String::new, |tolerance| format!(", tolerance => INTERVAL '{tolerance} ms'"));
            let sql = format!(
                "SELECT id, right_id, right_view, right_text, CAST(right_word AS VARCHAR) AS word \
                 FROM asof_join(a, b, by => [{by_text}], on => 'time'{tolerance_text})"
            );
            let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
            let mut answer = Vec::new();
            for batch in &batches {
                let number = |column: usize, row: usize| {
                    let column = batch.column(column).as_primitive::<Int64Type>();
                    column.is_valid(row).then(|| column.value(row))
                };
                for row in 0..batch.num_rows() {
                    answer.push((number(0, row).unwrap(), number(1, row)));
                    let text = number(1, row).map(|id| format!("the text of right row {id}"));
                    let text = text.filter(|text| text.len() % 3 != 0).unwrap_or_default();
                    for column in 2..5 {
                        assert_eq!(array_value_to_string(batch.column(column), row).unwrap(), text, "{seed}");
                    }
                }
            }
            let expected = naive(&left, &right, by, tolerance);
            matched += expected.iter().filter(|(_, id)| id.is_some()).count();
            assert_eq!(answer, expected, "{seed} {arrival:?} {by:?} {tolerance:?} {most}\n{left:?}\n{right:?}");
        }
        assert!(matched > 5_000, "{matched}");
    }

    #[tokio::test]
    async fn a_key_that_is_gone_does_not_keep_its_batch() {
        // Each right batch has one key that comes only there, beside 999 rows of one that stays.
        let right: Vec<Row> = (0..200_000)
            .map(|id| {
                let name = if id % 1000 == 500 { format!("gone {id}") } else { "stays".to_owned() };
                Row { name: Some(name), number: Some(0), time: Some(id), id }
            })
            .collect();
        let left: Vec<Row> = [100_500, 199_500, 199_999]
            .iter()
            .zip(["gone 500", "gone 100500", "stays"])
            .map(|(time, name)| Row { name: Some(name.to_owned()), number: Some(0), time: Some(*time), id: *time })
            .collect();
        let run = |limit: usize| {
            let (left, right) = (left.clone(), right.clone());
            async move {
                let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit, 1.0).build_arc().unwrap();
                let config = SessionConfig::new().with_target_partitions(1);
                let context = SessionContext::new_with_config_rt(config, runtime);
                crate::sql::register_all(&context).unwrap();
                for (name, rows) in [("a", left), ("b", right)] {
                    let batches = rows.chunks(1000).map(|rows| {
                        RecordBatch::try_from_iter_with_nullable([
                            (
                                "ts",
                                Arc::new(rows.iter().map(|row| row.time).collect::<TimestampMillisecondArray>())
                                    as ArrayRef,
                                true,
                            ),
                            (
                                "name",
                                Arc::new(rows.iter().map(|row| row.name.clone()).collect::<StringViewArray>()),
                                true,
                            ),
                            ("id", Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()), true),
                        ])
                        .unwrap()
                    });
                    let batches: Vec<RecordBatch> = batches.collect();
                    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
                    let table = table.with_sort_order(vec![vec![col("ts").sort(true, false)]]);
                    context.register_table(name, Arc::new(table)).unwrap();
                }
                let sql = "SELECT right_id FROM asof_join(a, b, by => ['name'])";
                context.sql(sql).await?.collect().await
            }
        };
        // 200 batches of 8 kB and more are 1.6 MB; what is wanted of them is some 40 kB.
        let batches = run(400_000).await.unwrap();
        let ids: Vec<Option<i64>> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter()).collect();
        assert_eq!(ids, [Some(500), Some(100_500), Some(199_999)]);
        let error = run(10_000).await.unwrap_err().to_string();
        assert!(error.contains("Resources exhausted") && error.contains("AsofJoinExec"), "{error}");
    }

    #[tokio::test]
    async fn keys_out_of_a_declared_order_are_an_error() {
        let row =
            |name: &str, time: i64| Row { name: Some(name.to_owned()), number: Some(0), time: Some(time), id: time };
        let good = [row("a", 1), row("b", 1)];
        let bad = [row("b", 1), row("a", 1), row("c", 1)];
        for (left, right, expected) in [
            (&bad[..], &good[..], "'name' of 'left' must not go backwards, was 1970-01-01T00:00:00.001Z at (name: a)"),
            (&good[..], &bad[..], "'name' of 'right' must not go backwards, was 1970-01-01T00:00:00.001Z at (name: a)"),
        ] {
            let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
            crate::sql::register_all(&context).unwrap();
            for (name, rows) in [("a", left), ("b", right)] {
                let table = table(&mut Chance(1), rows, true, &["name", "time"], 10);
                context.register_table(name, Arc::new(table)).unwrap();
            }
            let sql = "SELECT * FROM asof_join(a, b, by => ['name'], on => 'time')";
            let error = context.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn keys_without_a_value_match_nothing() {
        let context = SessionContext::new();
        crate::sql::register_all(&context).unwrap();
        let sql = "SELECT v FROM asof_join((SELECT TIMESTAMP '2026-01-01' AS ts, NULL AS k), \
                   (SELECT TIMESTAMP '2026-01-01' AS ts, NULL AS k, 1 AS v), by => ['k'])";
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.column(0).null_count()).sum::<usize>(), 1);
    }
}

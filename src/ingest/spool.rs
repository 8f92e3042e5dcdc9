//! Rows in the order in which files hold them to the sorted files of a root, in memory that does not grow with the files.
//!
//! ```text
//! rows ──► buffer per key and period ──sorted──► runs on disk ──merged with what is there──► one file, put in place
//! ```
//!
//! Rows of one key and period (a day, or a year) are kept in a buffer. A full buffer is sorted and appended to the run that
//! is being written, if it continues it; otherwise a new run begins. So a file that is sorted already, or nearly, becomes
//! one run, which only has to be renamed. The runs of one period are merged slice by slice.
//!
//! What is a repetition: within one file, rows of equal instant and identity. Between files (and with what the root holds),
//! of candles, open interest and funding the row of the same instant, of which the newest stays; of trades, liquidations
//! and positions as many equal rows as the file that has most of them, because two trades may well be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use arrow::array::{
    ArrayRef, AsArray, Float64Array, RecordBatch, StringViewBuilder, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef, TimestampMillisecondType};
use arrow::row::{RowConverter, Rows, SortField};
use chrono::{DateTime, Datelike};

use crate::error::{Error, Result};
use crate::ingest::parquet::properties;
use crate::ingest::reading::{Row, Sink, Value, columns, time_column};
use crate::market::tables::{Kind, Table};
use std::sync::Arc;

/// Rows of a buffer.
const BUFFERED: usize = 128 * 1024;
/// Rows of all buffers together.
const BUFFERED_IN_ALL: usize = 2 * 1024 * 1024;
/// Runs that are being written at once.
const OPEN_RUNS: usize = 64;
/// Rows that a merge reads of a run at a time.
const MERGED: usize = 16 * 1024;
const DAY: i64 = 86_400_000;

/// Where files of a root are, on this machine or elsewhere.
pub trait Place {
    /// Fetches the file of this path below the root to this machine, if there is one.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    fn fetch(&self, path: &str, into: &Path) -> Result<Option<PathBuf>>;
    /// Puts a whole file in its place.
    ///
    /// # Errors
    ///
    /// It cannot be put there.
    fn put(&self, file: &Path, path: &str) -> Result<()>;
}

/// What was done with the rows of one key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeySummary {
    /// Rows read, without bad ones.
    pub rows_in: u64,
    /// Rows that stood twice in one file, or in the root already.
    pub duplicates: u64,
    /// Rows that took the place of another of the same instant.
    pub replaced: u64,
    /// Rows of the files that were written.
    pub rows_out: u64,
    /// Files written.
    pub files: u64,
    /// First and last instant of the rows read.
    pub range: Option<(i64, i64)>,
    /// Lowest and highest price of the rows read.
    pub prices: Option<(f64, f64)>,
    /// Places in the files, as they are now, where rows are missing; of tables that have a step.
    pub gaps: u64,
    /// The longest of them, from row to row.
    pub longest_gap: Option<(i64, i64)>,
}

/// The period of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Partition {
    exchange: String,
    symbol: String,
    /// `year=2026`, `date=2026-01-31`, or empty.
    period: String,
}

impl Partition {
    fn path(&self, table: &Table) -> String {
        let period = if self.period.is_empty() { String::new() } else { format!("{}/", self.period) };
        format!("{}/exchange={}/symbol={}/{period}part.parquet", table.name, self.exchange, self.symbol)
    }
}

#[derive(Debug)]
enum ColumnBuffer {
    Numbers(Vec<f64>),
    Texts(StringViewBuilder),
}

/// Rows that are not on disk yet.
#[derive(Debug)]
struct Buffer {
    ts: Vec<i64>,
    identities: Vec<u64>,
    columns: Vec<ColumnBuffer>,
}

/// A sorted file of the rows of one source.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    source: usize,
}

/// The run that is being written.
struct OpenRun {
    run: Run,
    writer: ArrowWriter<File>,
    last: i64,
    /// Identities of the rows at the last instant.
    seen: BTreeSet<u64>,
}

struct Part {
    partition: Partition,
    buffer: Buffer,
    open: Option<OpenRun>,
    runs: Vec<Run>,
}

/// Collects rows and makes the files of a root of them.
pub struct Spool {
    table: &'static Table,
    schema: SchemaRef,
    folder: PathBuf,
    parts: Vec<Part>,
    positions: BTreeMap<Partition, usize>,
    /// The part of the last row, and the day for which it holds.
    last: Option<(usize, i64)>,
    buffered: usize,
    source: usize,
    files: u64,
    summaries: BTreeMap<(String, String), KeySummary>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Nothing of it is seen by a reader of the root; what cannot be removed does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Spool {
    /// Makes an empty one that writes its runs to a folder of its own, which it removes in the end.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn new(table: &'static Table, folder: PathBuf) -> Result<Spool> {
        fs::create_dir_all(&folder).map_err(|error| Error::because(format!("making {}", folder.display()), error))?;
        let time = table.columns.iter().filter(|column| column.name == time_column(table));
        let fields = time.chain(columns(table)).map(crate::market::tables::Column::field);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Spool {
            table,
            schema,
            folder,
            parts: Vec::new(),
            positions: BTreeMap::new(),
            last: None,
            buffered: 0,
            source: 0,
            files: 0,
            summaries: BTreeMap::new(),
        })
    }

    /// Says that rows of another file follow.
    ///
    /// # Errors
    ///
    /// Rows cannot be written.
    pub fn next_source(&mut self) -> Result<()> {
        for position in 0..self.parts.len() {
            self.flush(position)?;
            self.close(position)?;
        }
        self.source += 1;
        Ok(())
    }

    fn position(&mut self, row: &Row<'_>) -> Result<usize> {
        let day = row.ts.div_euclid(DAY);
        if let Some((position, known)) = self.last
            && known == day
            && let Some(part) = self.parts.get(position)
            && part.partition.exchange == row.exchange
            && part.partition.symbol == row.symbol
        {
            return Ok(position);
        }
        let time = DateTime::from_timestamp_millis(row.ts).ok_or_else(|| Error::new("'ts' is out of range"))?;
        let period = match (time_column(self.table), self.table.by_day) {
            (_, true) => format!("date={}", time.format("%Y-%m-%d")),
            ("ts", false) => format!("year={:04}", time.year()),
            _ => String::new(),
        };
        let partition = Partition { exchange: row.exchange.to_owned(), symbol: row.symbol.to_owned(), period };
        let position = match self.positions.get(&partition) {
            Some(position) => *position,
            None => {
                let position = self.parts.len();
                self.positions.insert(partition.clone(), position);
                let buffer = Buffer::new(self.table);
                self.parts.push(Part { partition, buffer, open: None, runs: Vec::new() });
                position
            }
        };
        self.last = Some((position, day));
        Ok(position)
    }

    fn flush(&mut self, position: usize) -> Result<()> {
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        if part.buffer.ts.is_empty() {
            return Ok(());
        }
        self.buffered -= part.buffer.ts.len();
        let buffer = std::mem::replace(&mut part.buffer, Buffer::new(self.table));
        let continues = part.open.as_ref().is_some_and(|open| buffer.ts.iter().all(|ts| *ts >= open.last));
        if !continues {
            self.close(position)?;
        }
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        let mut open = match part.open.take() {
            Some(open) => open,
            None => {
                let path = self.folder.join(format!("{}.parquet", self.files));
                self.files += 1;
                let writer = open_writer(&path, self.table, &self.schema)?;
                OpenRun { run: Run { path, source: self.source }, writer, last: i64::MIN, seen: BTreeSet::new() }
            }
        };
        let (order, duplicates) = buffer.order(&mut open.last, &mut open.seen);
        let key = (part.partition.exchange.clone(), part.partition.symbol.clone());
        let summary = self.summaries.entry(key).or_default();
        summary.duplicates += duplicates;
        buffer.note(self.table, summary);
        let failed = |error: &dyn std::fmt::Display| Error::new(format!("writing {}: {error}", self.folder.display()));
        let batch = buffer.finish(&self.schema).map_err(|error| failed(&error))?;
        let batch = take_record_batch(&batch, &UInt64Array::from(order)).map_err(|error| failed(&error))?;
        open.writer.write(&batch).map_err(|error| failed(&error))?;
        part.open = Some(open);
        if self.parts.iter().filter(|part| part.open.is_some()).count() > OPEN_RUNS {
            self.close(position)?;
        }
        Ok(())
    }

    fn close(&mut self, position: usize) -> Result<()> {
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        if let Some(open) = part.open.take() {
            let path = open.run.path.clone();
            open.writer.close().map_err(|error| Error::because(format!("writing {}", path.display()), error))?;
            part.runs.push(open.run);
        }
        Ok(())
    }

    /// Merges what was collected with what the root holds, puts the files in place, and says what was done.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub fn finish(mut self, place: &dyn Place, dry_run: bool) -> Result<BTreeMap<(String, String), KeySummary>> {
        self.next_source()?;
        let mut parts = std::mem::take(&mut self.parts);
        parts.sort_by(|a, b| a.partition.cmp(&b.partition));
        // The instants of the key whose periods are being finished.
        let mut of_key: Option<((String, String), Vec<i64>)> = None;
        for (number, part) in parts.into_iter().enumerate() {
            let path = part.partition.path(self.table);
            let existing = place.fetch(&path, &self.folder.join(format!("existing-{number}.parquet")))?;
            let key = (part.partition.exchange.clone(), part.partition.symbol.clone());
            let mut merged = Merged::default();
            let file = match (&existing, part.runs.as_slice()) {
                (None, [only]) => {
                    merged.rows = rows_of(&only.path)?;
                    merged.is_changed = true;
                    only.path.clone()
                }
                _ => {
                    let runs = existing.iter().map(|path| (path.clone(), 0));
                    let runs = runs.chain(part.runs.iter().map(|run| (run.path.clone(), run.source + 1)));
                    let file = self.folder.join(format!("merged-{number}.parquet"));
                    merged = merge(self.table, &self.schema, &runs.collect::<Vec<_>>(), &file)?;
                    file
                }
            };
            if is_one_per_instant(self.table) {
                if of_key.as_ref().is_some_and(|(known, _)| *known != key)
                    && let Some((known, times)) = of_key.take()
                {
                    self.summaries.entry(known).or_default().note_gaps(&times);
                }
                let (_, times) = of_key.get_or_insert_with(|| (key.clone(), Vec::new()));
                read_times(&file, times)?;
            }
            if merged.is_changed && !dry_run {
                place.put(&file, &path)?;
            }
            let summary = self.summaries.entry(key).or_default();
            summary.duplicates += merged.duplicates;
            summary.replaced += merged.replaced;
            summary.rows_out += merged.rows;
            summary.files += u64::from(merged.is_changed);
            // Disk space is given back as early as possible; the folder is removed in any case. What was fetched may be
            // the file of the root itself.
            for path in part.runs.iter().map(|run| &run.path).chain([&file]) {
                let _ = fs::remove_file(path);
            }
        }
        if let Some((key, times)) = of_key {
            self.summaries.entry(key).or_default().note_gaps(&times);
        }
        Ok(std::mem::take(&mut self.summaries))
    }
}

impl Sink for Spool {
    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let position = self.position(row)?;
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        part.buffer.push(row);
        self.buffered += 1;
        if part.buffer.ts.len() >= BUFFERED {
            self.flush(position)?;
        } else if self.buffered >= BUFFERED_IN_ALL {
            for position in 0..self.parts.len() {
                self.flush(position)?;
            }
        }
        Ok(())
    }
}

impl Buffer {
    fn new(table: &'static Table) -> Buffer {
        let columns = columns(table).map(|column| match column.kind {
            Kind::Text => ColumnBuffer::Texts(StringViewBuilder::new().with_deduplicate_strings()),
            _ => ColumnBuffer::Numbers(Vec::new()),
        });
        Buffer { ts: Vec::new(), identities: Vec::new(), columns: columns.collect() }
    }

    fn push(&mut self, row: &Row<'_>) {
        // Without an identity every row is its own.
        let identity = row.identity.unwrap_or(self.ts.len() as u64 | OWN);
        self.ts.push(row.ts);
        self.identities.push(identity);
        for (column, value) in self.columns.iter_mut().zip(row.values) {
            match (column, value) {
                (ColumnBuffer::Numbers(numbers), Value::Number(number)) => numbers.push(*number),
                (ColumnBuffer::Numbers(numbers), _) => numbers.push(f64::NAN),
                (ColumnBuffer::Texts(texts), Value::Text(text)) => texts.append_value(text),
                (ColumnBuffer::Texts(texts), _) => texts.append_null(),
            }
        }
    }

    /// The positions of the rows to keep, by time, and how many are repetitions of others.
    fn order(&self, last: &mut i64, seen: &mut BTreeSet<u64>) -> (Vec<u64>, u64) {
        let mut order: Vec<usize> = (0..self.ts.len()).collect();
        if !self.ts.is_sorted() {
            order.sort_by_key(|position| self.ts[*position]);
        }
        let before = order.len();
        let mut kept = Vec::with_capacity(before);
        for position in order {
            let (ts, identity) = (self.ts[position], self.identities[position]);
            if ts != *last {
                *last = ts;
                seen.clear();
            }
            if identity & OWN != 0 || seen.insert(identity) {
                kept.push(position as u64);
            }
        }
        let duplicates = (before - kept.len()) as u64;
        (kept, duplicates)
    }

    /// Adds what the rows say to the summary of their key.
    fn note(&self, table: &'static Table, summary: &mut KeySummary) {
        summary.rows_in += self.ts.len() as u64;
        for ts in &self.ts {
            let (first, last) = summary.range.unwrap_or((*ts, *ts));
            summary.range = Some((first.min(*ts), last.max(*ts)));
        }
        for (column, values) in columns(table).zip(&self.columns) {
            if let (ColumnBuffer::Numbers(numbers), "price" | "high" | "low" | "bankruptcy_price") =
                (values, column.name)
            {
                for number in numbers.iter().filter(|number| !number.is_nan()) {
                    let (low, high) = summary.prices.unwrap_or((*number, *number));
                    summary.prices = Some((low.min(*number), high.max(*number)));
                }
            }
        }
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let time = TimestampMillisecondArray::from(self.ts).with_timezone("UTC");
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(time)];
        for column in self.columns {
            arrays.push(match column {
                // What is not known was kept as NaN, which no check lets through as a value.
                ColumnBuffer::Numbers(numbers) => Arc::new(
                    numbers.into_iter().map(|number| (!number.is_nan()).then_some(number)).collect::<Float64Array>(),
                ),
                ColumnBuffer::Texts(mut texts) => Arc::new(texts.finish()),
            });
        }
        RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| Error::because("rows", error))
    }
}

/// Marks an identity that no other row has.
const OWN: u64 = 1 << 63;

fn open_writer(path: &Path, table: &'static Table, schema: &SchemaRef) -> Result<ArrowWriter<File>> {
    let doing = || format!("writing {}", path.display());
    let file = File::create_new(path).map_err(|error| Error::because(doing(), error))?;
    let properties = properties(table, 3)?;
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).map_err(|error| Error::because(doing(), error))
}

fn open_reader(path: &Path) -> Result<ParquetRecordBatchReader> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).map_err(|error| Error::because(doing(), error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::because(doing(), error))?;
    builder.with_batch_size(MERGED).build().map_err(|error| Error::because(doing(), error))
}

fn rows_of(path: &Path) -> Result<u64> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).map_err(|error| Error::because(doing(), error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::because(doing(), error))?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// Whether a key has one row per instant.
fn is_one_per_instant(table: &Table) -> bool {
    matches!(table.name, "candles" | "daily_candles" | "open_interest" | "funding")
}

fn read_times(path: &Path, times: &mut Vec<i64>) -> Result<()> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).map_err(|error| Error::because(doing(), error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::because(doing(), error))?;
    let first = ProjectionMask::leaves(builder.parquet_schema(), [0]);
    for batch in builder.with_projection(first).build().map_err(|error| Error::because(doing(), error))? {
        let batch = batch.map_err(|error| Error::because(doing(), error))?;
        if let Some(found) = batch.column(0).as_primitive_opt::<TimestampMillisecondType>() {
            times.extend(found.values());
        }
    }
    Ok(())
}

impl KeySummary {
    /// Counts the gaps of all that the root holds of a key in the periods that were touched: more than one and a half of
    /// the usual step.
    fn note_gaps(&mut self, times: &[i64]) {
        let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if steps.is_empty() {
            return;
        }
        let middle = steps.len() / 2;
        let usual = *steps.select_nth_unstable(middle).1;
        for pair in times.windows(2).filter(|pair| (pair[1] - pair[0]) * 2 > usual * 3) {
            self.gaps += 1;
            let length = pair[1] - pair[0];
            if self.longest_gap.is_none_or(|(from, to)| to - from < length) {
                self.longest_gap = Some((pair[0], pair[1]));
            }
        }
    }
}

/// What a merge did.
#[derive(Debug, Default)]
struct Merged {
    rows: u64,
    duplicates: u64,
    replaced: u64,
    /// Whether the file differs from what was there.
    is_changed: bool,
}

/// A run that is being read.
struct Input {
    reader: ParquetRecordBatchReader,
    /// Rows that were read and not merged.
    pending: Option<RecordBatch>,
    source: usize,
    has_ended: bool,
}

impl Input {
    fn read_more(&mut self, schema: &SchemaRef) -> Result<()> {
        match self.reader.next() {
            None => self.has_ended = true,
            Some(batch) => {
                let batch = batch.map_err(|error| Error::because("reading a run", error))?;
                let arrays: Result<Vec<ArrayRef>, _> = schema
                    .fields()
                    .iter()
                    .map(|field| match batch.column_by_name(field.name()) {
                        Some(column) => cast(column, field.data_type()),
                        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
                    })
                    .collect();
                let arrays = arrays.map_err(|error| Error::because("the columns of a file in the root", error))?;
                let batch = RecordBatch::try_new(Arc::clone(schema), arrays)
                    .map_err(|error| Error::because("a file in the root has other columns", error))?;
                self.pending = Some(match self.pending.take() {
                    None => batch,
                    Some(before) => {
                        concat_batches(schema, [&before, &batch]).map_err(|error| Error::because("merging", error))?
                    }
                });
            }
        }
        Ok(())
    }

    fn last(&self) -> Option<i64> {
        let times = self.pending.as_ref()?.column(0).as_primitive_opt::<TimestampMillisecondType>()?;
        times.len().checked_sub(1).map(|last| times.value(last))
    }

    /// Takes the pending rows before an instant, or all.
    fn take_before(&mut self, limit: Option<i64>) -> Option<RecordBatch> {
        let pending = self.pending.take()?;
        let Some(limit) = limit else { return Some(pending) };
        let times = pending.column(0).as_primitive::<TimestampMillisecondType>();
        let end = times.values().partition_point(|ts| *ts < limit);
        self.pending = Some(pending.slice(end, pending.num_rows() - end));
        (end > 0).then(|| pending.slice(0, end))
    }
}

/// Merges sorted runs, the oldest first; the source 0 is what the root holds.
fn merge(table: &'static Table, schema: &SchemaRef, runs: &[(PathBuf, usize)], file: &Path) -> Result<Merged> {
    let mut inputs = Vec::with_capacity(runs.len());
    for (path, source) in runs {
        inputs.push(Input { reader: open_reader(path)?, pending: None, source: *source, has_ended: false });
    }
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|error| Error::because("merging", error))?;
    let mut writer = open_writer(file, table, schema)?;
    let mut merged = Merged::default();
    let is_one_per_instant = is_one_per_instant(table);
    loop {
        for input in &mut inputs {
            while !input.has_ended && input.pending.as_ref().is_none_or(|pending| pending.num_rows() == 0) {
                input.read_more(schema)?;
            }
        }
        // Rows before the end of what every run has shown are all there.
        let limit = inputs.iter().filter(|input| !input.has_ended).filter_map(Input::last).min();
        let mut sources = Vec::new();
        let mut slices = Vec::new();
        for input in &mut inputs {
            if let Some(slice) = input.take_before(limit) {
                sources.extend(std::iter::repeat_n(input.source, slice.num_rows()));
                slices.push(slice);
            }
        }
        if slices.is_empty() {
            if limit.is_none() {
                break;
            }
            // All that is pending is of one instant: what follows may be, too.
            for input in inputs.iter_mut().filter(|input| !input.has_ended && input.last() == limit) {
                input.read_more(schema)?;
            }
            continue;
        }
        let failed = |error| Error::because("merging", error);
        let slice = concat_batches(schema, &slices).map_err(failed)?;
        let rows = converter.convert_columns(slice.columns()).map_err(failed)?;
        let kept = kept(&slice, &rows, &sources, is_one_per_instant, &mut merged);
        let batch = take_record_batch(&slice, &UInt64Array::from(kept)).map_err(failed)?;
        merged.rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|error| Error::because("writing a merged file", error))?;
    }
    writer.close().map_err(|error| Error::because("writing a merged file", error))?;
    Ok(merged)
}

/// The positions of the rows that stay, by time. Of equal rows the first ones stay; of a row that replaces another the new
/// one.
fn kept(
    slice: &RecordBatch,
    rows: &Rows,
    sources: &[usize],
    is_one_per_instant: bool,
    merged: &mut Merged,
) -> Vec<u64> {
    let times = slice.column(0).as_primitive::<TimestampMillisecondType>().values();
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|position| times[*position]);
    let mut kept = Vec::with_capacity(order.len());
    for group in order.chunk_by(|a, b| times[*a] == times[*b]) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        if group.len() == 1 {
            merged.is_changed |= sources[*first] != 0;
            kept.push(*first as u64);
        } else if is_one_per_instant {
            let is_same = rows.row(*first) == rows.row(*last);
            merged.duplicates += if is_same { group.len() as u64 - 1 } else { group.len() as u64 - 2 };
            merged.replaced += u64::from(!is_same);
            merged.is_changed |= sources[*first] != 0 || !is_same;
            kept.push(*last as u64);
        } else {
            // As many of equal rows as the source with most of them has.
            let mut of_source: BTreeMap<(&[u8], usize), usize> = BTreeMap::new();
            let mut taken: BTreeMap<&[u8], usize> = BTreeMap::new();
            for position in group {
                let bytes = rows.row(*position).data();
                let count = of_source.entry((bytes, sources[*position])).or_default();
                *count += 1;
                let taken = taken.entry(bytes).or_default();
                if *count > *taken {
                    *taken += 1;
                    merged.is_changed |= sources[*position] != 0;
                    kept.push(*position as u64);
                } else {
                    merged.duplicates += 1;
                }
            }
        }
    }
    kept
}

//! Rows in the order in which files hold them to the sorted files of a root, in memory that does not grow with the files.
//!
//! ```text
//! rows ──► buffer per key and period ──sorted──► runs on disk ──merged with what is there──► one file, put in place
//! ```
//!
//! Rows of one key and period (a day, or a year) are kept in a buffer. A full buffer is sorted and appended to the run that
//! is being written, if it continues it; otherwise a new run begins. So files that are sorted already, or nearly, and that
//! follow each other, become one run, which only has to be renamed. The runs of one period are merged slice by slice (see
//! `merge.rs`). Nothing is put in place before all files of the root are written and were found plausible.
//!
//! What is a repetition: within one file, rows of equal instant and identity, at whatever distance they stand. Between
//! files (and with what the root holds), of candles, open interest and funding the row of the same instant, of which the
//! newest stays, and of heatmaps the whole frame; of trades, liquidations and positions as many equal rows as the file that
//! has most of them, because two trades may well be equal.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use arrow::array::{
    ArrayRef, AsArray, Float64Array, RecordBatch, StringViewBuilder, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef, TimestampMillisecondType};
use chrono::{DateTime, Datelike, NaiveDate};

use super::merge::{
    Input, Instant, MERGED_AT_ONCE, Mark, Marks, MarksWriter, Merged, OWN, ROOT, Seen, Stage, marks_of, merge,
    open_reader, open_writer,
};
use super::plausible::{Guard, REMEMBERED, Watch, Worth};
use super::reading::{MAX_IDENTITY, Row, Sink, Value, columns, time_column};
use super::scratch::{Hold, Scratch};
use super::trigger::RateOf;
use crate::error::{Error, Result};
use crate::market::tables::{CANDLES, Kind, Table};

/// Rows of a buffer.
const BUFFERED: usize = 128 * 1024;
/// Rows of all buffers together.
const BUFFERED_IN_ALL: usize = 2 * 1024 * 1024;
/// Runs that are being written at once.
const OPEN_RUNS: usize = 64;
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
    /// The file of this path below the root, if it costs nothing to look into it: new rows are compared with those beside
    /// them. A root that is elsewhere has none, and nothing beside the files that are merged is compared.
    fn beside(&self, _path: &str) -> Option<PathBuf> {
        None
    }
    /// Keeps others from putting files in place, where the place can; waits until they are done.
    ///
    /// # Errors
    ///
    /// The root cannot be written.
    fn hold(&self) -> Result<Hold> {
        Ok(Hold::default())
    }
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
    /// Liquidations whose trigger was worked out with a maintenance margin rate of the exchange's brackets.
    pub rates_of_tiers: u64,
    /// Liquidations whose trigger was worked out with the usual rate, because no bracket is known.
    pub usual_rates: u64,
}

/// The period of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Period {
    Year(i32),
    Day(NaiveDate),
    /// Of tables without a time.
    All,
}

impl Period {
    /// The period before or after it.
    fn neighbour(self, distance: i32) -> Option<Period> {
        match self {
            Period::Year(year) => Some(Period::Year(year + distance)),
            Period::Day(day) => day.checked_add_signed(chrono::TimeDelta::days(distance.into())).map(Period::Day),
            Period::All => None,
        }
    }
}

/// The rows of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Partition {
    exchange: String,
    symbol: String,
    period: Period,
}

impl Partition {
    fn path(&self, table: &Table) -> String {
        let period = match self.period {
            Period::Year(year) => format!("year={year:04}/"),
            Period::Day(day) => format!("date={}/", day.format("%Y-%m-%d")),
            Period::All => String::new(),
        };
        path_of(table, &self.exchange, &self.symbol, &period)
    }

    fn key(&self) -> Key {
        (self.exchange.clone(), self.symbol.clone())
    }
}

/// The path of a file below a root; the period is `year=2026/`, `date=2026-01-31/`, or nothing.
pub(super) fn path_of(table: &Table, exchange: &str, symbol: &str, period: &str) -> String {
    format!("{}/exchange={exchange}/symbol={symbol}/{period}part.parquet", table.name)
}

/// Exchange and symbol.
type Key = (String, String);

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
    /// Where the rows of a source begin, and which it is.
    sources: Vec<(usize, u32)>,
    columns: Vec<ColumnBuffer>,
}

/// A sorted file of rows.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    /// The first and the last source of its rows.
    sources: (u32, u32),
    /// Whether rows of one instant have to be compared.
    has_ties: bool,
}

/// The run that is being written.
struct OpenRun {
    run: Run,
    writer: ArrowWriter<File>,
    /// Of tables of which a key may have several rows per instant.
    marks: Option<MarksWriter>,
    end: RunEnd,
}

/// The last row of a run.
#[derive(Debug)]
struct RunEnd {
    ts: i64,
    source: u32,
    /// Identities of the rows at that instant.
    seen: Seen,
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
    scratch: Scratch,
    parts: Vec<Part>,
    positions: BTreeMap<Partition, usize>,
    /// The part of the last row, and the day for which it holds.
    last: Option<(usize, i64)>,
    buffered: usize,
    /// Rows of a buffer, at most.
    most_buffered: usize,
    /// Parts whose run is open, the one that was not written to for longest first.
    open: VecDeque<usize>,
    source: u32,
    files: u64,
    summaries: BTreeMap<Key, KeySummary>,
    /// What open interest is worth per unit, as its files say: once a day.
    worths: BTreeMap<Key, BTreeMap<i64, (i64, f64)>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

/// A file that is ready to be put in place.
struct Finished {
    key: Key,
    path: String,
    file: PathBuf,
    merged: Merged,
}

impl Spool {
    /// Makes an empty one that writes its runs to a folder of its own, which it removes in the end.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn new(table: &'static Table, folder: PathBuf) -> Result<Spool> {
        let scratch = Scratch::make(folder)?;
        let time = table.columns.iter().filter(|column| column.name == time_column(table));
        let fields = time.chain(columns(table)).map(crate::market::tables::Column::field);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Spool {
            table,
            schema,
            scratch,
            parts: Vec::new(),
            positions: BTreeMap::new(),
            last: None,
            buffered: 0,
            most_buffered: BUFFERED,
            open: VecDeque::new(),
            source: ROOT + 1,
            files: 0,
            summaries: BTreeMap::new(),
            worths: BTreeMap::new(),
        })
    }

    /// Bytes that rows take in memory at most, before they are on disk.
    pub fn most_bytes(table: &'static Table) -> usize {
        // An instant and an identity beside the values.
        let values = columns(table).map(|column| if column.kind == Kind::Text { 16 } else { 8 });
        BUFFERED_IN_ALL * (16 + values.sum::<usize>())
    }

    /// Says that rows of another file follow.
    pub fn next_source(&mut self) {
        self.source += 1;
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
            (_, true) => Period::Day(time.date_naive()),
            ("ts", false) => Period::Year(time.year()),
            _ => Period::All,
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
        let continues = part.open.as_ref().is_some_and(|open| buffer.ts.iter().all(|ts| *ts >= open.end.ts));
        if !continues {
            self.close(position)?;
        }
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        let mut open = match part.open.take() {
            Some(open) => open,
            None => {
                let path = self.scratch.path().join(format!("{}.parquet", self.files));
                self.files += 1;
                OpenRun::create(path, self.table, &self.schema, buffer.first_source())?
            }
        };
        let (order, duplicates) = buffer.order(Instant::of(self.table), &mut open)?;
        let summary = self.summaries.entry(part.partition.key()).or_default();
        summary.duplicates += duplicates;
        buffer.note(self.table, summary);
        let failed =
            |error: &dyn std::fmt::Display| Error::new(format!("writing {}: {error}", self.scratch.path().display()));
        let batch = buffer.finish(&self.schema).map_err(|error| failed(&error))?;
        let batch = take_record_batch(&batch, &UInt64Array::from(order)).map_err(|error| failed(&error))?;
        open.writer.write(&batch).map_err(|error| failed(&error))?;
        part.open = Some(open);
        self.open.retain(|known| *known != position);
        self.open.push_back(position);
        match self.open.front() {
            Some(oldest) if self.open.len() > OPEN_RUNS => self.close(*oldest),
            _ => Ok(()),
        }
    }

    fn close(&mut self, position: usize) -> Result<()> {
        self.open.retain(|known| *known != position);
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        if let Some(open) = part.open.take() {
            part.runs.push(open.close()?);
        }
        Ok(())
    }

    /// Merges what was collected with what the root holds, puts the files in place, and says what was done.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written, or rows look like a mistake and are guarded against.
    pub fn finish(
        mut self,
        place: &dyn Place,
        guard: Guard,
        dry_run: bool,
    ) -> Result<BTreeMap<(String, String), KeySummary>> {
        for position in 0..self.parts.len() {
            self.flush(position)?;
            self.close(position)?;
        }
        let mut parts = std::mem::take(&mut self.parts);
        parts.sort_by(|a, b| a.partition.cmp(&b.partition));
        // From what the root holds now until what was made of it is there.
        let _hold = if dry_run { Hold::default() } else { place.hold()? };
        if guard == Guard::Refuse {
            self.check_worths(place)?;
        }
        let mut finished = Vec::with_capacity(parts.len());
        let of_one_key = parts.chunk_by(|a, b| a.partition.key() == b.partition.key());
        for parts in of_one_key {
            self.finish_key(parts, place, guard, &mut finished)?;
        }
        for Finished { key, path, file, merged } in finished {
            if merged.is_changed && !dry_run {
                place.put(&file, &path)?;
            }
            let summary = self.summaries.entry(key).or_default();
            summary.duplicates += merged.duplicates;
            summary.replaced += merged.replaced;
            summary.rows_out += merged.rows;
            summary.files += u64::from(merged.is_changed);
        }
        Ok(std::mem::take(&mut self.summaries))
    }

    /// Makes the files of one key, in order of time.
    fn finish_key(
        &mut self,
        parts: &[Part],
        place: &dyn Place,
        guard: Guard,
        finished: &mut Vec<Finished>,
    ) -> Result<()> {
        let Some(Part { partition: first, .. }) = parts.first() else { return Ok(()) };
        let key = first.key();
        let mut watch =
            (guard == Guard::Refuse).then(|| Watch::of(self.table, &first.exchange, &first.symbol)).flatten();
        let mut times = Vec::new();
        let mut before: Option<Period> = None;
        for part in parts {
            let period = part.partition.period;
            if let Some(watch) = &mut watch
                && before.is_none_or(|before| before.neighbour(1) != Some(period))
            {
                self.watch_neighbour(watch, &part.partition, -1, place)?;
            }
            let path = part.partition.path(self.table);
            let number = self.files;
            self.files += 1;
            let existing = place.fetch(&path, &self.scratch.path().join(format!("existing-{number}.parquet")))?;
            let (file, merged) = match (&existing, part.runs.as_slice()) {
                (None, [only]) if !only.has_ties => {
                    if let Some(watch) = &mut watch {
                        watch_file(watch, &only.path)?;
                    }
                    let rows = rows_of(&only.path)?;
                    (only.path.clone(), Merged { rows, is_changed: true, ..Merged::default() })
                }
                (existing, runs) => {
                    let file = self.scratch.path().join(format!("merged-{number}.parquet"));
                    let (inputs, duplicates) = self.inputs(existing.as_deref(), runs)?;
                    let mut merged = merge(self.table, &self.schema, &inputs, &file, Stage::Last, watch.as_mut())?;
                    merged.duplicates += duplicates;
                    // Disk space is given back as early as possible; the folder is removed in any case. What was fetched
                    // may be the file of the root itself.
                    for input in inputs.iter().filter(|input| input.path.starts_with(self.scratch.path())) {
                        remove_run(&input.path);
                    }
                    (file, merged)
                }
            };
            if Instant::of(self.table) == Instant::One {
                read_times(&file, &mut times)?;
            }
            finished.push(Finished { key: key.clone(), path, file, merged });
            let next = parts.iter().find(|next| next.partition.period > period).map(|next| next.partition.period);
            if let Some(watch) = &mut watch
                && next.is_none_or(|next| period.neighbour(1) != Some(next))
            {
                self.watch_neighbour(watch, &part.partition, 1, place)?;
            }
            before = Some(period);
        }
        self.summaries.entry(key).or_default().note_gaps(&times);
        Ok(())
    }

    /// What is merged to one file: what the root holds, and runs, of which there may be no more than can be read at once,
    /// and how many rows were left out to have fewer.
    fn inputs(&mut self, existing: Option<&Path>, runs: &[Run]) -> Result<(Vec<Input>, u64)> {
        let marks = |run: &Run| match runs.len() == 1 && run.sources.0 == run.sources.1 {
            true => Marks::Same(run.sources.0),
            // Which file it is does not matter: of an instant the last row stays.
            false if Instant::of(self.table) == Instant::One => Marks::Same(run.sources.0),
            false => Marks::Beside,
        };
        let mut inputs: Vec<Input> =
            runs.iter().map(|run| Input { path: run.path.clone(), marks: marks(run) }).collect();
        let mut duplicates = 0;
        while inputs.len() >= MERGED_AT_ONCE {
            let mut fewer = Vec::with_capacity(inputs.len() / MERGED_AT_ONCE + 1);
            for some in inputs.chunks(MERGED_AT_ONCE) {
                let path = self.scratch.path().join(format!("{}.parquet", self.files));
                self.files += 1;
                duplicates += merge(self.table, &self.schema, some, &path, Stage::Between, None)?.duplicates;
                some.iter().for_each(|input| remove_run(&input.path));
                fewer.extend(some.first().map(|first| Input { path, marks: first.marks }));
            }
            inputs = fewer;
        }
        if let Some(path) = existing {
            inputs.insert(0, Input { path: path.to_owned(), marks: Marks::Same(ROOT) });
        }
        Ok((inputs, duplicates))
    }

    /// Shows the rows of the period before or after one that is not merged.
    fn watch_neighbour(
        &self,
        watch: &mut Watch,
        partition: &Partition,
        distance: i32,
        place: &dyn Place,
    ) -> Result<()> {
        let Some(period) = partition.period.neighbour(distance) else { return Ok(()) };
        let path = Partition { period, ..partition.clone() }.path(self.table);
        let Some(file) = place.beside(&path) else { return Ok(()) };
        if let Some(rows) = rows_at_end(&file, &watch.columns(), distance < 0)? {
            watch.see(&rows, |_| false)?;
        }
        Ok(())
    }

    /// Compares what open interest is worth per unit with the candles of the root.
    fn check_worths(&mut self, place: &dyn Place) -> Result<()> {
        for ((exchange, symbol), worths) in std::mem::take(&mut self.worths) {
            let Some(watch) = Watch::of(self.table, &exchange, &symbol) else { continue };
            let mut pairs = Vec::new();
            let year = |ts: i64| DateTime::from_timestamp_millis(ts).map_or(0, |time| time.year());
            let worths: Vec<(i64, f64)> = worths.into_values().collect();
            for of_year in worths.chunk_by(|a, b| year(a.0) == year(b.0)) {
                let Some((first, _)) = of_year.first() else { continue };
                let period = Period::Year(year(*first));
                let candles = Partition { exchange: exchange.clone(), symbol: symbol.clone(), period };
                let Some(file) = place.beside(&candles.path(&CANDLES)) else { continue };
                pairs.extend(priced(&file, of_year)?);
            }
            watch.worth(&pairs)?;
        }
        Ok(())
    }
}

impl Sink for Spool {
    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let position = self.position(row)?;
        let Some(part) = self.parts.get_mut(position) else { return Ok(()) };
        part.buffer.push(row, self.source);
        self.buffered += 1;
        if part.buffer.ts.len() >= self.most_buffered {
            self.flush(position)?;
        } else if self.buffered >= BUFFERED_IN_ALL {
            for position in 0..self.parts.len() {
                self.flush(position)?;
            }
        }
        Ok(())
    }

    fn note_rate(&mut self, row: &Row<'_>, rate: RateOf) {
        let summary = self.summaries.entry((row.exchange.to_owned(), row.symbol.to_owned())).or_default();
        match rate {
            RateOf::Tier => summary.rates_of_tiers += 1,
            RateOf::Usual => summary.usual_rates += 1,
        }
    }

    fn note_worth(&mut self, row: &Row<'_>, worth: f64) {
        let of_key = self.worths.entry((row.exchange.to_owned(), row.symbol.to_owned())).or_default();
        of_key.entry(row.ts.div_euclid(DAY)).or_insert((row.ts, worth));
    }
}

impl Buffer {
    fn new(table: &'static Table) -> Buffer {
        let columns = columns(table).map(|column| match column.kind {
            Kind::Text => ColumnBuffer::Texts(StringViewBuilder::new().with_deduplicate_strings()),
            _ => ColumnBuffer::Numbers(Vec::new()),
        });
        Buffer { ts: Vec::new(), identities: Vec::new(), sources: Vec::new(), columns: columns.collect() }
    }

    fn push(&mut self, row: &Row<'_>, source: u32) {
        if self.sources.last().is_none_or(|(_, last)| *last != source) {
            self.sources.push((self.ts.len(), source));
        }
        self.ts.push(row.ts);
        self.identities.push(row.identity.map_or(OWN, |identity| identity & MAX_IDENTITY));
        for (column, value) in self.columns.iter_mut().zip(row.values) {
            match (column, value) {
                (ColumnBuffer::Numbers(numbers), Value::Number(number)) => numbers.push(*number),
                (ColumnBuffer::Numbers(numbers), _) => numbers.push(f64::NAN),
                (ColumnBuffer::Texts(texts), Value::Text(text)) => texts.append_value(text),
                (ColumnBuffer::Texts(texts), _) => texts.append_null(),
            }
        }
    }

    fn first_source(&self) -> u32 {
        self.sources.first().map_or(ROOT, |(_, source)| *source)
    }

    fn source_of(&self, position: usize) -> u32 {
        match self.sources.as_slice() {
            [(_, only)] => *only,
            sources => {
                let after = sources.partition_point(|(start, _)| *start <= position);
                after.checked_sub(1).and_then(|at| sources.get(at)).map_or(ROOT, |(_, source)| *source)
            }
        }
    }

    /// The positions of the rows that a run takes, by time, and how many are repetitions of others.
    fn order(&self, instant: Instant, open: &mut OpenRun) -> Result<(Vec<u64>, u64)> {
        let mut order: Vec<usize> = (0..self.ts.len()).collect();
        if !self.ts.is_sorted() {
            order.sort_by_key(|position| self.ts[*position]);
        }
        let OpenRun { run, marks, end, .. } = open;
        let before = order.len();
        let mut kept = Vec::with_capacity(before);
        for position in order {
            let ts = self.ts[position];
            let mark = Mark { source: self.source_of(position), identity: self.identities[position] };
            let is_tie = ts == end.ts;
            if !is_tie {
                end.seen.clear();
            }
            if !end.seen.insert(mark) {
                continue;
            }
            run.has_ties |= is_tie && (instant == Instant::One || mark.source != end.source);
            run.sources.1 = run.sources.1.max(mark.source);
            (end.ts, end.source) = (ts, mark.source);
            if let Some(marks) = marks {
                marks.write(mark)?;
            }
            kept.push(position as u64);
        }
        let duplicates = (before - kept.len()) as u64;
        Ok((kept, duplicates))
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

impl OpenRun {
    fn create(path: PathBuf, table: &'static Table, schema: &SchemaRef, source: u32) -> Result<OpenRun> {
        let writer = open_writer(&path, table, schema)?;
        let marks = (Instant::of(table) != Instant::One).then(|| MarksWriter::create(&path)).transpose()?;
        let end = RunEnd { ts: i64::MIN, source, seen: Seen::default() };
        Ok(OpenRun { run: Run { path, sources: (source, source), has_ties: false }, writer, marks, end })
    }

    fn close(self) -> Result<Run> {
        let path = &self.run.path;
        self.writer.close().map_err(|error| Error::because(format!("writing {}", path.display()), error))?;
        if let Some(marks) = self.marks {
            marks.close()?;
        }
        Ok(self.run)
    }
}

/// Removes a run that is not needed any more.
fn remove_run(path: &Path) {
    // It is removed with its folder at the latest.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(marks_of(path));
}

fn rows_of(path: &Path) -> Result<u64> {
    Ok(u64::try_from(open_reader(path)?.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// Reads the batches of a file, with some columns and some row groups, or all.
pub(super) fn each_batch(
    path: &Path,
    names: Option<&[&str]>,
    group: Option<usize>,
    mut each: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let doing = || format!("reading {}", path.display());
    let mut builder = open_reader(path)?;
    if let Some(names) = names {
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder = builder.with_projection(mask);
    }
    if let Some(group) = group {
        builder = builder.with_row_groups(vec![group]);
    }
    for batch in builder.build().map_err(|error| Error::because(doing(), error))? {
        each(batch.map_err(|error| Error::because(doing(), error))?)?;
    }
    Ok(())
}

/// Shows the rows of a file, all of them new.
fn watch_file(watch: &mut Watch, path: &Path) -> Result<()> {
    each_batch(path, Some(&watch.columns()), None, |batch| watch.see(&batch, |_| true))
}

/// The last rows of a file, or the first ones.
fn rows_at_end(path: &Path, names: &[&str], last: bool) -> Result<Option<RecordBatch>> {
    let groups = open_reader(path)?.metadata().num_row_groups();
    let Some(group) = (if last { groups.checked_sub(1) } else { (groups > 0).then_some(0) }) else { return Ok(None) };
    let mut batches = Vec::new();
    each_batch(path, Some(names), Some(group), |batch| {
        batches.push(batch);
        Ok(())
    })?;
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(None) };
    let rows = concat_batches(&schema, &batches).map_err(|error| Error::because("reading rows", error))?;
    let count = rows.num_rows().min(REMEMBERED);
    Ok(Some(rows.slice(if last { rows.num_rows() - count } else { 0 }, count)))
}

fn read_times(path: &Path, times: &mut Vec<i64>) -> Result<()> {
    each_batch(path, Some(&["ts"]), None, |batch| {
        if let Some(found) = batch.column(0).as_primitive_opt::<TimestampMillisecondType>() {
            times.extend(found.values());
        }
        Ok(())
    })
}

/// The close of the candle before each instant, where it is no more than a day old.
fn priced(path: &Path, worths: &[(i64, f64)]) -> Result<Vec<Worth>> {
    let mut pairs = Vec::new();
    let mut rest = worths.iter().peekable();
    let mut last: Option<(i64, f64)> = None;
    let mut take_before = |limit: Option<i64>, last: Option<(i64, f64)>| {
        while let Some((ts, implied)) = rest.next_if(|(ts, _)| limit.is_none_or(|limit| *ts < limit)) {
            if let Some((_, price)) = last.filter(|(at, _)| ts - at <= DAY) {
                pairs.push(Worth { ts: *ts, implied: *implied, price });
            }
        }
    };
    each_batch(path, Some(&["ts", "close"]), None, |batch| {
        let times = batch.column_by_name("ts").and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let closes = batch.column_by_name("close").and_then(|column| column.as_primitive_opt());
        let closes: Option<&Float64Array> = closes;
        let (Some(times), Some(closes)) = (times, closes) else { return Ok(()) };
        for (ts, close) in times.values().iter().zip(closes.values()) {
            take_before(Some(*ts), last);
            last = Some((*ts, *close));
        }
        Ok(())
    })?;
    take_before(None, last);
    Ok(pairs)
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

#[cfg(test)]
mod tests {
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;

    use super::super::job::Folder;
    use super::*;
    use crate::market::tables::{OPEN_INTEREST, TRADES};

    /// 2026-01-01 00:00 UTC.
    const START: i64 = 1_767_225_600_000;

    /// Instant, identity and size of a trade.
    type Trade = (i64, Option<u64>, u8);

    /// Spools trades of several files with small buffers, so that there are many runs.
    fn spooled(root: &Path, table: &'static Table, files: &[Vec<Trade>]) -> KeySummary {
        let folder = Folder { root: root.to_owned() };
        let mut spool = Spool::new(table, folder.scratch()).unwrap();
        spool.most_buffered = 4;
        for file in files {
            for (second, identity, size) in file {
                let size = Value::Number(f64::from(*size));
                let trade = [Value::Number(100.0), size, Value::Text("buy")];
                let values = if std::ptr::eq(table, &TRADES) { &trade[..] } else { &[size][..] };
                let ts = START + second * 1_000;
                let row = Row { exchange: "binance", symbol: "BTCUSDT", ts, identity: *identity, values };
                spool.take(&row).unwrap();
            }
            spool.next_source();
        }
        let summaries = spool.finish(&folder, Guard::Trust, false).unwrap();
        summaries.into_values().next().unwrap_or_default()
    }

    /// The seconds and sizes in a root, which must be in order of time.
    fn held(root: &Path, path: &str, size: &str) -> Vec<(i64, u8)> {
        let file = File::open(root.join(path)).unwrap();
        let mut found = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let times = batch.column(0).as_primitive::<TimestampMillisecondType>();
            let sizes = batch.column_by_name(size).unwrap().as_primitive::<Float64Type>();
            let rows = times.values().iter().zip(sizes.values());
            found.extend(rows.map(|(ts, size)| ((ts - START) / 1_000, *size as u8)));
        }
        assert!(found.is_sorted_by_key(|(second, _)| *second));
        found
    }

    const TRADES_PATH: &str = "trades/exchange=binance/symbol=BTCUSDT/date=2026-01-01/part.parquet";
    const INTEREST_PATH: &str = "open_interest/exchange=binance/symbol=BTCUSDT/year=2026/part.parquet";

    /// What must be held: of each file every identity once per instant, of equal trades as many as the file with most.
    fn expected(files: &[Vec<Trade>]) -> Vec<(i64, u8)> {
        let mut most: BTreeMap<(i64, u8), usize> = BTreeMap::new();
        for file in files {
            let mut seen = std::collections::BTreeSet::new();
            let mut of_file: BTreeMap<(i64, u8), usize> = BTreeMap::new();
            for (second, identity, size) in file {
                let is_new = identity.is_none_or(|identity| seen.insert((*second, identity & MAX_IDENTITY)));
                *of_file.entry((*second, *size)).or_default() += usize::from(is_new);
            }
            for (trade, count) in of_file {
                let most = most.entry(trade).or_default();
                *most = count.max(*most);
            }
        }
        most.into_iter().flat_map(|(trade, count)| std::iter::repeat_n(trade, count)).collect()
    }

    #[test]
    fn repetitions_are_found_at_any_distance() {
        let folder = tempfile::tempdir().unwrap();
        // A block that stands twice, hundreds of buffers apart, and ids that need 64 bits.
        let high = 1 << 63;
        let block: Vec<Trade> = (0..40).map(|second| (second, Some(high + second as u64), 1)).collect();
        let between: Vec<Trade> = (0..1_500).map(|second| (second, Some(10_000 + second as u64), 2)).collect();
        let file = [block.clone(), between, block.clone()].concat();
        let summary = spooled(folder.path(), &TRADES, std::slice::from_ref(&file));
        assert_eq!((summary.rows_in, summary.duplicates, summary.rows_out), (1_580, 40, 1_540));
        let found = held(folder.path(), TRADES_PATH, "size");
        assert_eq!(found.iter().filter(|(_, size)| *size == 1).count(), 40);
        // The root has them all.
        let again = spooled(folder.path(), &TRADES, &[block, file]);
        assert_eq!((again.rows_out, again.files), (1_540, 0));
        assert_eq!(again.duplicates, again.rows_in);
    }

    #[test]
    fn of_one_instant_the_newest_stays_whatever_the_distance() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |size: u8| (0..900).map(|second| (second, None, size)).collect::<Vec<Trade>>();
        // Twice within one file, and once more in another.
        let summary = spooled(folder.path(), &OPEN_INTEREST, &[[rows(1), rows(2)].concat(), rows(3)]);
        assert_eq!((summary.rows_in, summary.rows_out, summary.replaced), (2_700, 900, 900));
        let found = held(folder.path(), INTEREST_PATH, "open_interest");
        assert!(found.len() == 900 && found.iter().all(|(_, size)| *size == 3));
        // A line that stands twice in a file that is in order, where nothing would have to be merged.
        let other = tempfile::tempdir().unwrap();
        let twice: Vec<Trade> = rows(1).into_iter().flat_map(|row| [row, row]).collect();
        let summary = spooled(other.path(), &OPEN_INTEREST, &[twice]);
        assert_eq!((summary.rows_out, summary.duplicates), (900, 900));
    }

    #[test]
    fn files_that_follow_each_other_are_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let place = Folder { root: folder.path().to_owned() };
        let mut spool = Spool::new(&TRADES, place.scratch()).unwrap();
        spool.most_buffered = 4;
        let values = [Value::Number(100.0), Value::Number(1.0), Value::Text("buy")];
        for second in 0..300 {
            let ts = START + second * 1_000;
            let row = Row { exchange: "binance", symbol: "BTCUSDT", ts, identity: None, values: &values };
            spool.take(&row).unwrap();
            spool.next_source();
        }
        assert_eq!(spool.files, 1);
        let summaries = spool.finish(&place, Guard::Refuse, false).unwrap();
        assert_eq!(summaries.values().next().unwrap().rows_out, 300);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However rows are spread over files and in whatever order they stand: the same rows are held.
        #[test]
        fn what_is_held_does_not_depend_on_the_order(
            trades in proptest::collection::vec((0i64..60, proptest::option::of(0u64..12), 0u8..3), 1..400),
            cuts in proptest::collection::vec(0usize..400, 0..4),
        ) {
            let mut files = vec![trades.clone()];
            for cut in cuts {
                let last = files.last_mut().unwrap();
                let rest = last.split_off(cut.min(last.len()));
                files.push(rest);
            }
            // Sizes depend on identities, as those of real trades do.
            for trade in files.iter_mut().flatten() {
                trade.2 = trade.1.map_or(trade.2, |identity| (identity % 3) as u8);
            }
            let folder = tempfile::tempdir().unwrap();
            let summary = spooled(folder.path(), &TRADES, &files);
            let sorted = |mut rows: Vec<(i64, u8)>| { rows.sort_unstable(); rows };
            let found = sorted(held(folder.path(), TRADES_PATH, "size"));
            prop_assert_eq!(&found, &expected(&files));
            prop_assert_eq!(summary.rows_in, trades.len() as u64);
            prop_assert_eq!(summary.duplicates + summary.rows_out, summary.rows_in);

            let other = tempfile::tempdir().unwrap();
            for file in &mut files {
                file.reverse();
            }
            files.reverse();
            spooled(other.path(), &TRADES, &files);
            prop_assert_eq!(&sorted(held(other.path(), TRADES_PATH, "size")), &found);
            // What the root has already changes nothing.
            let before = fs::read(other.path().join(TRADES_PATH)).unwrap();
            prop_assert_eq!(spooled(other.path(), &TRADES, &files[..1]).files, 0);
            prop_assert_eq!(fs::read(other.path().join(TRADES_PATH)).unwrap(), before);
        }
    }
}

//! Sorted runs to one sorted file, slice by slice, so that memory depends on the number of runs and not on their length.
//!
//! What is a repetition is decided here, once all rows of an instant stand side by side (see [`super::spool`]): rows of one
//! source with the same identity, whatever the distance at which they stood in it, and then, between sources, rows of one
//! instant or equal rows. Identities are not in the files of a root: each run has them in a file beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use arrow::row::{RowConverter, Rows, SortField};

use super::parquet::properties;
use super::plausible::Watch;
use super::reading::MAX_IDENTITY;
use crate::error::{Error, Result};
use crate::market::tables::Table;

/// Rows that a merge reads of a run at a time.
const MERGED: usize = 16 * 1024;

/// Runs that are read at once: each takes two files, of which some systems allow 256.
pub(super) const MERGED_AT_ONCE: usize = 64;

/// The identity of rows that have none: each is its own.
pub(super) const OWN: u64 = MAX_IDENTITY + 1;

/// The source of rows that the root holds; files have the numbers that follow.
pub(super) const ROOT: u32 = 0;

/// What a row is beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// In which file it stood.
    pub(super) source: u32,
    pub(super) identity: u64,
}

/// The identities of the last instant's rows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Nearly every instant has one row.
    first: Option<Mark>,
    others: BTreeSet<Mark>,
}

impl Seen {
    /// Takes a row, and says whether it is no repetition.
    pub(super) fn insert(&mut self, mark: Mark) -> bool {
        if mark.identity == OWN {
            return true;
        }
        match self.first {
            None => {
                self.first = Some(mark);
                true
            }
            Some(first) => first != mark && self.others.insert(mark),
        }
    }

    pub(super) fn clear(&mut self) {
        self.first = None;
        if !self.others.is_empty() {
            self.others.clear();
        }
    }
}

/// Marks beside a run, in the order of its rows.
pub(super) struct MarksWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl MarksWriter {
    pub(super) fn create(run: &Path) -> Result<MarksWriter> {
        let path = marks_of(run);
        let file = File::create_new(&path).map_err(|error| Error::because(writing(&path), error))?;
        Ok(MarksWriter { file: BufWriter::with_capacity(1 << 16, file), path })
    }

    pub(super) fn write(&mut self, mark: Mark) -> Result<()> {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&mark.identity.to_le_bytes());
        bytes[8..].copy_from_slice(&mark.source.to_le_bytes());
        self.file.write_all(&bytes).map_err(|error| Error::because(writing(&self.path), error))
    }

    pub(super) fn close(mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::because(writing(&self.path), error))
    }
}

/// The file of the marks of a run.
pub(super) fn marks_of(run: &Path) -> PathBuf {
    run.with_extension("marks")
}

fn writing(path: &Path) -> String {
    format!("writing {}", path.display())
}

fn reading(path: &Path) -> String {
    format!("reading {}", path.display())
}

/// Where the marks of an input's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// All are of one source, and no identity matters.
    Same(u32),
    /// In the file beside it.
    Beside,
}

/// A sorted file that is merged.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) marks: Marks,
}

/// What a merge makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A run, with marks: repetitions within a source are removed, and nothing else.
    Between,
    /// The file of a root.
    Last,
}

/// What a merge did.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) rows: u64,
    pub(super) duplicates: u64,
    pub(super) replaced: u64,
    /// Whether the file differs from what was there.
    pub(super) is_changed: bool,
}

/// What the rows of one key and instant are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instant {
    /// There is one: the newest stays.
    One,
    /// Together they are one state: all those of the newest source stay.
    Frame,
    /// They are events, which may be equal: as many of equal ones stay as the source with most of them has.
    Events,
}

impl Instant {
    pub(super) fn of(table: &Table) -> Instant {
        match table.name {
            "candles" | "daily_candles" | "open_interest" | "funding" => Instant::One,
            "heatmap" => Instant::Frame,
            _ => Instant::Events,
        }
    }
}

pub(super) fn open_writer(path: &Path, table: &'static Table, schema: &SchemaRef) -> Result<ArrowWriter<File>> {
    let file = File::create_new(path).map_err(|error| Error::because(writing(path), error))?;
    let properties = properties(table, 3)?;
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))
        .map_err(|error| Error::because(writing(path), error))
}

pub(super) fn open_reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|error| Error::because(reading(path), error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::because(reading(path), error))
}

/// A run that is being read.
struct Feed {
    reader: ParquetRecordBatchReader,
    /// Rows that were read and not merged, and their marks.
    pending: Option<RecordBatch>,
    marks: Vec<Mark>,
    beside: Option<BufReader<File>>,
    source: u32,
    has_ended: bool,
}

impl Feed {
    fn open(input: &Input) -> Result<Feed> {
        let reader = open_reader(&input.path)?.with_batch_size(MERGED).build();
        let reader = reader.map_err(|error| Error::because(reading(&input.path), error))?;
        let (beside, source) = match input.marks {
            Marks::Same(source) => (None, source),
            Marks::Beside => {
                let path = marks_of(&input.path);
                let file = File::open(&path).map_err(|error| Error::because(reading(&path), error))?;
                (Some(BufReader::new(file)), ROOT)
            }
        };
        Ok(Feed { reader, pending: None, marks: Vec::new(), beside, source, has_ended: false })
    }

    fn read_more(&mut self, schema: &SchemaRef) -> Result<()> {
        let Some(batch) = self.reader.next() else {
            self.has_ended = true;
            return Ok(());
        };
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
        for _ in 0..batch.num_rows() {
            let mark = match &mut self.beside {
                None => Mark { source: self.source, identity: OWN },
                Some(beside) => {
                    let (mut identity, mut source) = ([0; 8], [0; 4]);
                    let read = beside.read_exact(&mut identity).and_then(|()| beside.read_exact(&mut source));
                    read.map_err(|error| Error::because("reading the marks of a run", error))?;
                    Mark { identity: u64::from_le_bytes(identity), source: u32::from_le_bytes(source) }
                }
            };
            self.marks.push(mark);
        }
        self.pending = Some(match self.pending.take() {
            None => batch,
            Some(before) => {
                concat_batches(schema, [&before, &batch]).map_err(|error| Error::because("merging", error))?
            }
        });
        Ok(())
    }

    fn last(&self) -> Option<i64> {
        let times = self.pending.as_ref()?.column(0).as_primitive_opt::<TimestampMillisecondType>()?;
        times.len().checked_sub(1).map(|last| times.value(last))
    }

    /// Takes the pending rows before an instant, or all.
    fn take_before(&mut self, limit: Option<i64>, marks: &mut Vec<Mark>) -> Option<RecordBatch> {
        let pending = self.pending.take()?;
        let end = limit.map_or(pending.num_rows(), |limit| {
            let times = pending.column(0).as_primitive::<TimestampMillisecondType>();
            times.values().partition_point(|ts| *ts < limit)
        });
        marks.extend(self.marks.drain(..end));
        if end == pending.num_rows() {
            return (end > 0).then_some(pending);
        }
        self.pending = Some(pending.slice(end, pending.num_rows() - end));
        (end > 0).then(|| pending.slice(0, end))
    }
}

/// Merges sorted runs, the oldest first, and has the rows of a root's file watched.
pub(super) fn merge(
    table: &'static Table,
    schema: &SchemaRef,
    inputs: &[Input],
    file: &Path,
    stage: Stage,
    mut watch: Option<&mut Watch>,
) -> Result<Merged> {
    let mut feeds = inputs.iter().map(Feed::open).collect::<Result<Vec<Feed>>>()?;
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|error| Error::because("merging", error))?;
    let mut writer = open_writer(file, table, schema)?;
    let mut merged = Merged::default();
    let instant = Instant::of(table);
    let has_marks = stage == Stage::Between && instant != Instant::One;
    let mut marks_writer = has_marks.then(|| MarksWriter::create(file)).transpose()?;
    loop {
        for feed in &mut feeds {
            while !feed.has_ended && feed.pending.as_ref().is_none_or(|pending| pending.num_rows() == 0) {
                feed.read_more(schema)?;
            }
        }
        // Rows before the end of what every run has shown are all there.
        let limit = feeds.iter().filter(|feed| !feed.has_ended).filter_map(Feed::last).min();
        let (mut slices, mut marks) = (Vec::new(), Vec::new());
        for feed in &mut feeds {
            slices.extend(feed.take_before(limit, &mut marks));
        }
        if slices.is_empty() {
            if limit.is_none() {
                break;
            }
            // All that is pending is of one instant: what follows may be, too.
            for feed in feeds.iter_mut().filter(|feed| !feed.has_ended && feed.last() == limit) {
                feed.read_more(schema)?;
            }
            continue;
        }
        let failed = |error| Error::because("merging", error);
        let slice = concat_batches(schema, &slices).map_err(failed)?;
        let rows = converter.convert_columns(slice.columns()).map_err(failed)?;
        let slice = Slice { rows: &rows, marks: &marks, batch: &slice };
        let kept = slice.kept(stage, instant, &mut merged);
        if let Some(writer) = &mut marks_writer {
            kept.positions.iter().filter_map(|at| marks.get(*at as usize)).try_for_each(|mark| writer.write(*mark))?;
        }
        if let Some(watch) = &mut watch {
            kept.replaced.iter().try_for_each(|(old, new)| watch.replaced(slice.batch, *old, *new))?;
        }
        let batch = take_record_batch(slice.batch, &UInt64Array::from(kept.positions)).map_err(failed)?;
        if let Some(watch) = &mut watch {
            watch.see(&batch, |row| kept.is_new.get(row).copied().unwrap_or(true))?;
        }
        merged.rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|error| Error::because("writing a merged file", error))?;
    }
    writer.close().map_err(|error| Error::because("writing a merged file", error))?;
    if let Some(writer) = marks_writer {
        writer.close()?;
    }
    Ok(merged)
}

/// Rows of all inputs, those of one instant in the order of the inputs.
struct Slice<'a> {
    batch: &'a RecordBatch,
    rows: &'a Rows,
    marks: &'a [Mark],
}

/// The rows that stay, by time.
#[derive(Default)]
struct Kept {
    positions: Vec<u64>,
    /// Whether it was not in the root before.
    is_new: Vec<bool>,
    /// Rows of the root and those that take their place.
    replaced: Vec<(usize, usize)>,
}

impl Kept {
    fn push(&mut self, position: usize, is_new: bool, merged: &mut Merged) {
        self.positions.push(position as u64);
        self.is_new.push(is_new);
        merged.is_changed |= is_new;
    }
}

impl Slice<'_> {
    /// Of equal rows the first ones stay; of a row or a frame that replaces another the new one.
    fn kept(&self, stage: Stage, instant: Instant, merged: &mut Merged) -> Kept {
        let times = self.batch.column(0).as_primitive::<TimestampMillisecondType>().values();
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|position| times[*position]);
        let mut kept = Kept::default();
        let mut seen = Seen::default();
        let mut group = Vec::new();
        for all in order.chunk_by(|a, b| times[*a] == times[*b]) {
            seen.clear();
            group.clear();
            group.extend(all.iter().filter(|position| seen.insert(self.marks[**position])));
            merged.duplicates += (all.len() - group.len()) as u64;
            if stage == Stage::Between || group.len() == 1 {
                for position in &group {
                    kept.push(*position, self.source(*position) != ROOT, merged);
                }
                continue;
            }
            match instant {
                Instant::One => self.keep_newest(&group, &mut kept, merged),
                Instant::Frame => self.keep_frame(&group, &mut kept, merged),
                Instant::Events => self.keep_equal(&group, &mut kept, merged),
            }
        }
        kept
    }

    fn source(&self, position: usize) -> u32 {
        self.marks[position].source
    }

    /// Of one instant, keeps the newest row.
    fn keep_newest(&self, group: &[usize], kept: &mut Kept, merged: &mut Merged) {
        let (Some(&first), Some(&last)) = (group.first(), group.last()) else { return };
        let is_same = self.rows.row(first) == self.rows.row(last);
        merged.duplicates += if is_same { group.len() as u64 - 1 } else { group.len() as u64 - 2 };
        merged.replaced += u64::from(!is_same);
        let was_there = self.source(first) == ROOT;
        if was_there && !is_same {
            kept.replaced.push((first, last));
        }
        kept.push(last, !(was_there && is_same), merged);
    }

    /// Of one instant, keeps all rows of the newest source.
    fn keep_frame(&self, group: &[usize], kept: &mut Kept, merged: &mut Merged) {
        let newest = group.iter().map(|position| self.source(*position)).max().unwrap_or(ROOT);
        let contents = |of: u32| {
            let positions = group.iter().filter(|position| self.source(**position) == of);
            let mut found: Vec<&[u8]> = positions.map(|position| self.rows.row(*position).data()).collect();
            found.sort_unstable();
            found
        };
        let is_same = contents(ROOT) == contents(newest);
        for position in group {
            if self.source(*position) == newest {
                kept.push(*position, !is_same, merged);
            } else if is_same {
                merged.duplicates += 1;
            } else {
                merged.replaced += 1;
            }
        }
    }

    /// Of one instant, keeps as many of equal rows as the source with most of them has.
    fn keep_equal(&self, group: &[usize], kept: &mut Kept, merged: &mut Merged) {
        let mut of_source: BTreeMap<(&[u8], u32), usize> = BTreeMap::new();
        let mut taken: BTreeMap<&[u8], usize> = BTreeMap::new();
        for position in group {
            let (bytes, source) = (self.rows.row(*position).data(), self.source(*position));
            let count = of_source.entry((bytes, source)).or_default();
            *count += 1;
            let taken = taken.entry(bytes).or_default();
            if *count > *taken {
                *taken += 1;
                kept.push(*position, source != ROOT, merged);
            } else {
                merged.duplicates += 1;
            }
        }
    }
}

//! Results as text or Parquet: one format per run, written batch by batch.
//!
//! ```text
//! record batches ──► -0 becomes 0, secrets masked ──► one writer per result ──► standard output | temporary file ──► FILE
//! ```
//!
//! NULL is empty in CSV and TSV, `null` in JSON and NDJSON, and `NULL` in tables and markdown, where an empty cell
//! could be an empty string. Times are ISO 8601; `ts` is UTC and ends with `Z`. Tables round to what a person reads
//! ([`readable`]); every other format is exact.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, StringArray};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use futures::StreamExt;

use super::error::{Failure, one_line};
use super::pager::{Paged, Screen};
use super::script::{is_secret_key, mask};

/// Rows that decide the widths of a table's columns. Later rows that are wider stick out.
const MEASURED_ROWS: usize = 1_000;

/// Why a result alone is not written so.
pub(crate) const WHOLE_SCRIPT: &str =
    "coinglass is made of all results of a script: use --format coinglass with -c or -f";

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for reading
    Table,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    #[value(alias = "jsonl")]
    Ndjson,
    /// A markdown table
    #[value(alias = "md")]
    Markdown,
    /// A Parquet file
    Parquet,
    /// One heatmap or map, with candles of another statement, as CoinGlass's API answers
    Coinglass,
}

impl Format {
    /// The format that a file name asks for. None if its ending is not one of ours.
    pub(crate) fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        if extension == "txt" {
            return Some(Self::Table);
        }
        Self::from_str(&extension, true).ok().filter(|format| *format != Self::Coinglass)
    }

    /// The word for it on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Markdown => "markdown",
            Self::Parquet => "parquet",
            Self::Coinglass => "coinglass",
        }
    }

    /// Whether a file in this format is spoilt by a second result after the first.
    fn holds_one_result(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Json | Self::Parquet | Self::Coinglass)
    }
}

/// How the columns of a table are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Beside each other.
    #[default]
    Aligned,
    /// Under each other, one row after the other.
    Expanded,
    /// Beside each other as long as they fit into this many columns of the terminal, else under each other.
    Fitting(usize),
}

/// Why a result could not be written.
#[derive(Debug)]
pub(crate) enum PrintError {
    /// The reader went away (`| head`). Nobody is left to tell, and nothing is wrong.
    ReaderLeft,
    /// Anything else.
    Failed(Failure),
}

impl From<DataFusionError> for PrintError {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ArrowError> for PrintError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => error.into(),
            other => Self::Failed(Failure::new(one_line(&DataFusionError::from(other)))),
        }
    }
}

impl From<ParquetError> for PrintError {
    fn from(error: ParquetError) -> Self {
        Self::Failed(DataFusionError::from(error).into())
    }
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderLeft
        } else {
            Self::Failed(Failure::new(format!("cannot write the result: {error}")))
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// Rows of the result.
    pub(crate) rows: usize,
    /// Of these, rows that a limited table did not show.
    pub(crate) hidden: usize,
    /// How long a reader took who pages through them.
    pub(crate) waited: Duration,
}

/// Writes the results of one run, one after another.
#[derive(Debug)]
pub(crate) struct Printer {
    /// How results are written from now on.
    pub(crate) format: Format,
    /// How tables are laid out.
    pub(crate) layout: Layout,
    /// Rows that are shown of each result.
    pub(crate) row_limit: Option<usize>,
    /// Whether what is longer or wider than the terminal goes through a pager.
    pub(crate) pages: bool,
    sink: Sink,
    results: usize,
    /// Whether the last result broke off: by an error, or because its query was cancelled.
    is_torn: bool,
}

impl Printer {
    /// Writes to standard output.
    pub(crate) fn to_standard_output(format: Format) -> Self {
        Self::new(format, Target::Standard(Pipe::new()))
    }

    fn new(format: Format, target: Target) -> Self {
        Self {
            format,
            layout: Layout::Aligned,
            row_limit: None,
            pages: false,
            sink: Sink::new(target),
            results: 0,
            is_torn: false,
        }
    }

    /// Writes beside `path`, and puts the file in its place only on [`Printer::finish`].
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn to_file(format: Format, path: &Path) -> Result<Self, Failure> {
        let file = Replacement::create(path)
            .map_err(|error| Failure::new(format!("cannot write '{}': {error}", path.display())))?;
        Ok(Self::new(format, Target::File(file)))
    }

    /// Whether a person watches: row counts and times make sense only then.
    pub(crate) fn is_for_reading(&self) -> bool {
        self.format == Format::Table && self.sink.is_terminal()
    }

    /// Whether results go to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.sink.is_terminal()
    }

    /// Writes one result to its end. Rows beyond the limit are counted and dropped, never kept.
    ///
    /// # Errors
    /// From the query, or from the writer.
    pub(crate) async fn print(
        &mut self,
        rows: SendableRecordBatchStream,
        secrets: &[String],
    ) -> Result<Printed, PrintError> {
        self.check()?;
        let mut printed = Printed::default();
        let manner = Manner {
            format: self.format,
            layout: self.layout,
            row_limit: self.row_limit,
            follows_another: self.results > 0,
        };
        self.results += 1;
        self.is_torn = true;
        if let Some(mut paged) = self.paged(true) {
            let outcome = print_rows(manner, &mut paged, rows, secrets, &mut printed).await;
            let ended = paged.finish(&mut printed);
            self.is_torn = false;
            return match outcome.and(ended) {
                // Whoever closes the pager has seen enough.
                Err(PrintError::ReaderLeft) => Ok(printed),
                outcome => outcome.map(|()| printed),
            };
        }
        match print_rows(manner, &mut self.sink, rows, secrets, &mut printed).await {
            // The writers of some formats turn the error of the pipe into text on its way up.
            Err(_) if self.sink.has_lost_reader() => Err(PrintError::ReaderLeft),
            outcome => {
                outcome?;
                self.is_torn = false;
                Ok(printed)
            }
        }
    }

    /// Whether this format can take another result, here.
    fn check(&self) -> Result<(), PrintError> {
        let refused = |message: String| Err(PrintError::Failed(Failure::new(message)));
        if self.is_torn && !self.sink.is_standard() {
            return refused("the file holds a part of a result that broke off: begin another with \\o FILE".to_owned());
        }
        let second = self.results > 0;
        if second && self.format.holds_one_result() && (!self.sink.is_standard() || self.format == Format::Parquet) {
            return refused(format!("a {} file holds one result: this is the second", self.format.name()));
        }
        if self.format == Format::Parquet && self.sink.is_terminal() {
            return refused("parquet is not for a terminal: use --output FILE, or redirect standard output".to_owned());
        }
        Ok(())
    }

    /// A way through the pager. The lines of a table must not be broken; those of a text may.
    fn paged(&self, is_table: bool) -> Option<Sink> {
        let mut screen = Screen::of_terminal().filter(|_| self.pages && self.sink.is_standard())?;
        if !is_table {
            screen.columns = usize::MAX;
        }
        Some(Sink::new(Target::Paged(Paged::new(screen))))
    }

    /// Writes text that is not a result, such as help or a picture.
    ///
    /// # Errors
    /// From the writer.
    pub(crate) fn write_text(&mut self, text: &str) -> Result<(), PrintError> {
        if let Some(mut paged) = self.paged(false) {
            let written = paged.write_all(text.as_bytes()).map_err(PrintError::from);
            return match written.and(paged.finish(&mut Printed::default())) {
                Err(PrintError::ReaderLeft) => Ok(()),
                outcome => outcome,
            };
        }
        self.sink.write_all(text.as_bytes())?;
        Ok(self.sink.flush()?)
    }

    /// Writes a picture, which was made to fit the terminal.
    ///
    /// # Errors
    /// From the writer.
    pub(crate) fn write_picture(&mut self, picture: &str) -> Result<(), PrintError> {
        if !self.sink.is_standard() && !matches!(self.format, Format::Table | Format::Markdown) {
            let format = self.format.name();
            return Err(PrintError::Failed(Failure::new(format!(
                "a {format} file holds rows: a picture has no place in it"
            ))));
        }
        let pages = std::mem::take(&mut self.pages);
        let written = self.write_text(picture);
        self.pages = pages;
        self.results += 1;
        written
    }

    /// Whether the file ends in a part of a result.
    pub(crate) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Whether a file in this format is spoilt by a second result.
    pub(crate) fn holds_one_result(&self) -> bool {
        self.format.holds_one_result()
    }

    /// Whether anything was written.
    pub(crate) fn has_content(&self) -> bool {
        self.results > 0
    }

    /// Ends the output; a file takes its final name now.
    ///
    /// # Errors
    /// The file cannot be completed.
    pub(crate) fn finish(self) -> Result<(), PrintError> {
        self.sink.finish(&mut Printed::default())
    }
}

/// How one result is written.
#[derive(Debug, Clone, Copy)]
struct Manner {
    format: Format,
    layout: Layout,
    row_limit: Option<usize>,
    follows_another: bool,
}

async fn print_rows(
    manner: Manner,
    sink: &mut Sink,
    mut rows: SendableRecordBatchStream,
    secrets: &[String],
    printed: &mut Printed,
) -> Result<(), PrintError> {
    if manner.format == Format::Markdown && manner.follows_another {
        writeln!(sink)?;
    }
    let schema = rows.schema();
    let mut writer = Writer::begin(manner.format, manner.layout, &schema, sink)?;
    let mut is_settled = false;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let shown = printed.rows - printed.hidden;
        let room = manner.row_limit.map_or(usize::MAX, |limit| limit.saturating_sub(shown));
        let visible = batch.num_rows().min(room);
        printed.rows += batch.num_rows();
        printed.hidden += batch.num_rows() - visible;
        if visible > 0 {
            writer.write(presentable(&batch.slice(0, visible), secrets)?)?;
        }
        if printed.hidden > 0 && !is_settled {
            // Nothing more will be shown, but counting the rest may take long.
            is_settled = true;
            writer.settle()?;
        }
    }
    writer.finish()?;
    Ok(sink.flush()?)
}

/// Where bytes go.
struct Sink(BufWriter<Target>);

enum Target {
    Standard(Pipe),
    /// Standard output, through a pager if need be.
    Paged(Paged),
    File(Replacement),
}

/// Standard output, and whether its reader has gone.
struct Pipe {
    output: io::Stdout,
    lost_reader: bool,
}

impl Pipe {
    fn new() -> Self {
        Self { output: io::stdout(), lost_reader: false }
    }

    fn noting<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            self.lost_reader |= error.kind() == io::ErrorKind::BrokenPipe;
        }
        outcome
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.output.write(bytes);
        self.noting(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.output.flush();
        self.noting(outcome)
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_standard() { "standard output" } else { "file" })
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(pipe) => pipe.write(bytes),
            Self::Paged(paged) => paged.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(pipe) => pipe.flush(),
            Self::Paged(paged) => paged.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink {
    fn new(target: Target) -> Self {
        Self(BufWriter::with_capacity(64 * 1024, target))
    }

    fn is_standard(&self) -> bool {
        matches!(self.0.get_ref(), Target::Standard(_))
    }

    fn is_terminal(&self) -> bool {
        match self.0.get_ref() {
            Target::Standard(pipe) => pipe.output.is_terminal(),
            Target::Paged(_) => true,
            Target::File(_) => false,
        }
    }

    fn has_lost_reader(&self) -> bool {
        match self.0.get_ref() {
            Target::Standard(pipe) => pipe.lost_reader,
            Target::Paged(paged) => paged.has_left(),
            Target::File(_) => false,
        }
    }

    fn settle(&mut self) -> Result<(), PrintError> {
        self.0.flush()?;
        match self.0.get_mut() {
            Target::Paged(paged) => Ok(paged.settle()?),
            Target::Standard(_) | Target::File(_) => Ok(()),
        }
    }

    fn finish(self, printed: &mut Printed) -> Result<(), PrintError> {
        let target = self.0.into_inner().map_err(|error| PrintError::from(error.into_error()))?;
        match target {
            Target::Standard(mut pipe) => Ok(pipe.flush()?),
            Target::Paged(mut paged) => {
                paged.finish()?;
                printed.waited = paged.waited();
                Ok(())
            }
            Target::File(file) => file.put_in_place(),
        }
    }
}

/// A file that replaces another at once or not at all: written under a temporary name beside it, then renamed. A device
/// or a pipe is written to as it is.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// None only after the file took its final name.
    file: Option<File>,
    /// None where the path is no ordinary file.
    temporary: Option<PathBuf>,
    path: PathBuf,
}

impl Replacement {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let before = fs::metadata(path).ok();
        if before.as_ref().is_some_and(|before| !before.is_file() && !before.is_dir()) {
            let file = File::options().write(true).open(path)?;
            return Ok(Self { file: Some(file), temporary: None, path: path.to_owned() });
        }
        // A link stays a link: what it leads to is replaced.
        let path = if before.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let temporary = temporary_beside(&path)?;
        pending(|pending| pending.push(temporary.clone()));
        let file = File::create(&temporary)?;
        if let Some(before) = before {
            // Best effort: a file that others may not read should not become one that they may.
            let _ = fs::set_permissions(&temporary, before.permissions());
        }
        Ok(Self { file: Some(file), temporary: Some(temporary), path })
    }

    /// The name under which it is written until it is whole.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    pub(crate) fn put_in_place(mut self) -> Result<(), PrintError> {
        let failed = |path: &Path, error: io::Error| {
            PrintError::Failed(Failure::new(format!("cannot write '{}': {error}", path.display())))
        };
        let (Some(file), Some(temporary)) = (self.file.take(), self.temporary.take()) else {
            return Ok(());
        };
        // Whoever wrote it by its name left other bytes behind than this handle knows; both are synchronised.
        let renamed = file.sync_all().and_then(|()| fs::rename(&temporary, &self.path));
        drop(file);
        if renamed.is_err() {
            // Best effort: the error that matters is the one above.
            let _ = fs::remove_file(&temporary);
        }
        pending(|pending| pending.retain(|path| *path != temporary));
        renamed.map_err(|error| failed(&self.path, error))
    }
}

/// `.x.csv.123.part.csv` beside `x.csv`: hidden, and with its ending, which may say the format.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    if let Some(extension) = path.extension() {
        hidden.push(".");
        hidden.push(extension);
    }
    Ok(path.with_file_name(hidden))
}

/// Files that are being written, for a program that ends in the middle.
fn pending<T>(work: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    static PENDING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    work(&mut PENDING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes every file that was not completed: the work that was to do it is gone, or too busy to be told.
pub(crate) fn remove_pending() {
    pending(std::mem::take).iter().for_each(|path| discard(path));
}

/// Removes a half-written file, and the one that the engine's writer may have begun beside it.
fn discard(path: &Path) {
    // Nothing can be done if it cannot go.
    let _ = fs::remove_file(path);
    let mut staged = path.as_os_str().to_owned();
    staged.push("#1");
    let _ = fs::remove_file(staged);
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            discard(&temporary);
            pending(|pending| pending.retain(|path| *path != temporary));
        }
    }
}

/// One result in one format.
enum Writer<'a> {
    Table(Box<Table<'a>>),
    Separated(Box<csv::Writer<&'a mut Sink>>, SchemaRef),
    Json(json::ArrayWriter<&'a mut Sink>),
    Ndjson(json::LineDelimitedWriter<&'a mut Sink>),
    Markdown(&'a mut Sink),
    Parquet(Box<ArrowWriter<&'a mut Sink>>),
}

impl<'a> Writer<'a> {
    fn begin(format: Format, layout: Layout, schema: &SchemaRef, sink: &'a mut Sink) -> Result<Self, PrintError> {
        Ok(match format {
            Format::Table => Self::Table(Box::new(Table::new(Arc::clone(schema), layout, sink))),
            Format::Csv | Format::Tsv => {
                let delimiter = if format == Format::Csv { b',' } else { b'\t' };
                let flat = flat_schema(schema);
                let mut writer = csv::WriterBuilder::new().with_delimiter(delimiter).build(sink);
                // An empty result still has a header.
                writer.write(&RecordBatch::new_empty(Arc::clone(&flat)))?;
                Self::Separated(Box::new(writer), flat)
            }
            Format::Json => Self::Json(json::WriterBuilder::new().with_explicit_nulls(true).build(sink)),
            Format::Ndjson => Self::Ndjson(json::WriterBuilder::new().with_explicit_nulls(true).build(sink)),
            Format::Markdown => {
                write_markdown_header(sink, schema)?;
                Self::Markdown(sink)
            }
            Format::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
                Self::Parquet(Box::new(ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties))?))
            }
            // It is made of all results of a script, before any is printed.
            Format::Coinglass => return Err(PrintError::Failed(Failure::new(WHOLE_SCRIPT))),
        })
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), PrintError> {
        match self {
            Self::Table(table) => table.write(batch),
            Self::Separated(writer, schema) => {
                writer.write(&flat(&batch, schema)?)?;
                Ok(())
            }
            Self::Json(writer) => Ok(writer.write(&batch)?),
            Self::Ndjson(writer) => Ok(writer.write(&batch)?),
            Self::Markdown(sink) => write_markdown_rows(sink, &batch),
            Self::Parquet(writer) => Ok(writer.write(&batch)?),
        }
    }

    /// Shows the rows so far.
    fn settle(&mut self) -> Result<(), PrintError> {
        match self {
            Self::Table(table) => table.settle(),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<(), PrintError> {
        match self {
            Self::Table(table) => table.finish(),
            Self::Separated(..) | Self::Markdown(_) => Ok(()),
            Self::Json(mut writer) => {
                writer.finish()?;
                Ok(writeln!(writer.into_inner())?)
            }
            Self::Ndjson(mut writer) => Ok(writer.finish()?),
            Self::Parquet(writer) => {
                writer.close()?;
                Ok(())
            }
        }
    }
}

/// Columns beside or under each other. The first rows are kept to measure the columns; from then on rows go straight
/// through.
struct Table<'a> {
    sink: &'a mut Sink,
    schema: SchemaRef,
    layout: Layout,
    measured: Vec<Vec<String>>,
    /// None while rows are kept.
    shape: Option<Shape>,
}

/// What the first rows decided.
enum Shape {
    /// Columns of these widths.
    Beside(Vec<usize>),
    /// The names as wide as this, and how many rows were written.
    Under(usize, usize),
}

impl<'a> Table<'a> {
    fn new(schema: SchemaRef, layout: Layout, sink: &'a mut Sink) -> Self {
        let mut table = Self { sink, schema, layout, measured: Vec::new(), shape: None };
        if layout == Layout::Expanded {
            table.shape = Some(table.under());
        }
        table
    }

    fn under(&self) -> Shape {
        Shape::Under(self.schema.fields().iter().map(|field| width(field.name())).max().unwrap_or(0), 0)
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), PrintError> {
        for row in cells(&batch)? {
            if self.shape.is_some() {
                self.write_cells(&row)?;
            } else {
                self.measured.push(row);
                if self.measured.len() == MEASURED_ROWS {
                    self.write_measured()?;
                }
            }
        }
        Ok(())
    }

    fn write_cells(&mut self, row: &[String]) -> Result<(), PrintError> {
        match &mut self.shape {
            None => Ok(()),
            Some(Shape::Beside(widths)) => write_row(self.sink, &self.schema, widths, row),
            Some(Shape::Under(name_width, written)) => {
                *written += 1;
                write_record(self.sink, &self.schema, *name_width, *written, row)
            }
        }
    }

    fn write_measured(&mut self) -> Result<(), PrintError> {
        let mut widths: Vec<usize> = self.schema.fields().iter().map(|field| width(field.name())).collect();
        for row in &self.measured {
            for (width_of_column, cell) in widths.iter_mut().zip(row) {
                let widest = cell.lines().map(width).max().unwrap_or(0);
                *width_of_column = (*width_of_column).max(widest);
            }
        }
        let total = widths.iter().map(|width| width + 3).sum::<usize>() + 1;
        if matches!(self.layout, Layout::Fitting(room) if total > room) && !self.measured.is_empty() {
            self.shape = Some(self.under());
        } else {
            write_rule(self.sink, &widths)?;
            let names: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
            write_row(self.sink, &self.schema, &widths, &names)?;
            write_rule(self.sink, &widths)?;
            self.shape = Some(Shape::Beside(widths));
        }
        for row in std::mem::take(&mut self.measured) {
            self.write_cells(&row)?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), PrintError> {
        if self.shape.is_none() {
            self.write_measured()?;
        }
        self.sink.settle()
    }

    fn finish(mut self) -> Result<(), PrintError> {
        if self.shape.is_none() {
            self.write_measured()?;
        }
        match &self.shape {
            Some(Shape::Beside(widths)) => write_rule(self.sink, widths),
            _ => Ok(()),
        }
    }
}

/// A row with its columns under each other.
fn write_record(
    sink: &mut Sink,
    schema: &Schema,
    name_width: usize,
    number: usize,
    row: &[String],
) -> Result<(), PrintError> {
    let title = format!("-[ row {number} ]");
    let rule = "-".repeat((name_width + 2).saturating_sub(title.len()).max(1));
    writeln!(sink, "{title}{rule}")?;
    for (field, cell) in schema.fields().iter().zip(row) {
        let padding = " ".repeat(name_width.saturating_sub(width(field.name())));
        let mut lines = cell.lines();
        writeln!(sink, "{}{padding} | {}", field.name(), lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(sink, "{} | {line}", " ".repeat(name_width))?;
        }
    }
    Ok(())
}

fn write_rule(sink: &mut Sink, widths: &[usize]) -> Result<(), PrintError> {
    for width in widths {
        write!(sink, "+{}", "-".repeat(width + 2))?;
    }
    Ok(writeln!(sink, "+")?)
}

/// A cell with line breaks (a plan) takes several lines; the other cells of its row are blank there.
fn write_row(sink: &mut Sink, schema: &Schema, widths: &[usize], row: &[String]) -> Result<(), PrintError> {
    let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
    for line in 0..height {
        for ((cell, column_width), field) in row.iter().zip(widths).zip(schema.fields()) {
            let text = cell.lines().nth(line).unwrap_or_default();
            let padding = " ".repeat(column_width.saturating_sub(width(text)));
            if is_right_aligned(field.data_type()) {
                write!(sink, "| {padding}{text} ")?;
            } else {
                write!(sink, "| {text}{padding} ")?;
            }
        }
        writeln!(sink, "|")?;
    }
    Ok(())
}

fn write_markdown_header(sink: &mut Sink, schema: &Schema) -> Result<(), PrintError> {
    for field in schema.fields() {
        write!(sink, "| {} ", markdown_cell(field.name()))?;
    }
    writeln!(sink, "|")?;
    for field in schema.fields() {
        let rule = if is_right_aligned(field.data_type()) { "| ---: " } else { "| --- " };
        sink.write_all(rule.as_bytes())?;
    }
    Ok(writeln!(sink, "|")?)
}

fn write_markdown_rows(sink: &mut Sink, batch: &RecordBatch) -> Result<(), PrintError> {
    for row in cells(batch)? {
        for cell in row {
            write!(sink, "| {} ", markdown_cell(&cell))?;
        }
        writeln!(sink, "|")?;
    }
    Ok(())
}

fn markdown_cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "<br>")
}

/// The rows of a batch as a person reads them.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, PrintError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for column in batch.columns() {
        match column.data_type() {
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>();
                for (row, value) in rows.iter_mut().zip(values) {
                    row.push(value.map_or_else(|| "NULL".to_owned(), readable));
                }
            }
            DataType::Float32 => {
                let values = column.as_primitive::<Float32Type>();
                for (row, value) in rows.iter_mut().zip(values) {
                    // Through text, because 0.1 as a 32-bit number is 0.10000000149 as a 64-bit one.
                    let exact = value.map(|value| value.to_string().parse().unwrap_or(f64::from(value)));
                    row.push(exact.map_or_else(|| "NULL".to_owned(), readable));
                }
            }
            _ => {
                let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
                for (index, row) in rows.iter_mut().enumerate() {
                    row.push(formatter.value(index).try_to_string()?.replace(['\r', '\t'], " "));
                }
            }
        }
    }
    Ok(rows)
}

/// A number with nine significant digits and at least two decimals, no trailing zeros, and an exponent only where
/// a row of zeros would need counting.
///
/// Prices and dollar amounts keep their cents up to the precision of a 64-bit number.
fn readable(value: f64) -> String {
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let size = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    if !(1e-6..1e15).contains(&size) {
        let (digits, exponent) = match format!("{value:.8e}").split_once('e') {
            Some((digits, exponent)) => (digits.to_owned(), exponent.to_owned()),
            None => return value.to_string(),
        };
        return format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    // Between -6 and 14 here, so the casts are exact.
    let magnitude = size.log10().floor() as i32;
    let decimals = (8 - magnitude).clamp(2, 14) as usize;
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// Columns that a terminal uses for `text`. Some coins have Chinese names, which are twice as wide.
pub(crate) fn width(text: &str) -> usize {
    text.chars()
        .map(|letter| match u32::from(letter) {
            0x0300..=0x036F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0,
            0x1100..=0x115F
            | 0x2E80..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x1F300..=0x1FAFF
            | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}

fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The schema with lists and structs as text, which is all that separated values can hold.
fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            if field.data_type().is_nested() {
                Field::new(field.name(), DataType::Utf8, true)
            } else {
                field.as_ref().clone()
            }
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn flat(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, PrintError> {
    let options = FormatOptions::default();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for column in batch.columns() {
        if !column.data_type().is_nested() {
            columns.push(Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let texts = (0..column.len())
            .map(|row| (!column.is_null(row)).then(|| formatter.value(row).try_to_string()).transpose())
            .collect::<Result<StringArray, ArrowError>>()?;
        columns.push(Arc::new(texts));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// A batch as it may be shown: no -0, no secret.
fn presentable(batch: &RecordBatch, secrets: &[String]) -> Result<RecordBatch, PrintError> {
    let columns = batch.columns().iter().map(without_negative_zero);
    let mut columns: Vec<ArrayRef> = columns.collect();
    mask_settings(batch, &mut columns);
    if !secrets.is_empty() {
        // Where the engine repeats the statement that made a table.
        for (column, field) in columns.iter_mut().zip(batch.schema_ref().fields()) {
            if field.name() == "definition"
                && let Some(texts) = column.as_string_opt::<i32>()
            {
                let masked = texts.iter().map(|text| text.map(|text| mask(text, secrets)));
                *column = Arc::new(masked.collect::<StringArray>());
            }
        }
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Masks the values of secret settings in `SHOW ALL` and in the settings table, both with `name` and `value`.
fn mask_settings(batch: &RecordBatch, columns: &mut [ArrayRef]) {
    let Ok(at) = batch.schema_ref().index_of("value") else {
        return;
    };
    let Some(names) = batch.column_by_name("name").and_then(|names| names.as_string_opt::<i32>()) else {
        return;
    };
    let Some(values) = columns.get(at).and_then(|values| values.as_string_opt::<i32>()) else {
        return;
    };
    if !names.iter().flatten().any(is_secret_key) {
        return;
    }
    let masked = names.iter().zip(values).map(|(name, value)| {
        let secret = name.is_some_and(is_secret_key);
        value.map(|value| if secret { "***" } else { value })
    });
    let masked: StringArray = masked.collect();
    columns[at] = Arc::new(masked);
}

fn without_negative_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let values: &PrimitiveArray<Float64Type> = column.as_primitive();
            let found = values.values().iter().any(|value| *value == 0.0 && value.is_sign_negative());
            if found { Arc::new(values.unary::<_, Float64Type>(|value| value + 0.0)) } else { Arc::clone(column) }
        }
        DataType::Float32 => {
            let values: &PrimitiveArray<Float32Type> = column.as_primitive();
            let found = values.values().iter().any(|value| *value == 0.0 && value.is_sign_negative());
            if found { Arc::new(values.unary::<_, Float32Type>(|value| value + 0.0)) } else { Arc::clone(column) }
        }
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Float64Array;

    use super::*;

    #[test]
    fn numbers_are_readable() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (1.0, "1.0"),
            (63_245.120_000_000_01, "63245.12"),
            (1_523_345_678.123_456, "1523345678.12"),
            (0.000_123_456_789, "0.000123456789"),
            (0.1 + 0.2, "0.3"),
            (-2.5, "-2.5"),
            (1e-9, "1e-9"),
            (1.5e20, "1.5e20"),
            (100.0, "100.0"),
        ];
        for (value, text) in cases {
            assert_eq!(readable(value), text);
        }
        assert_eq!(readable(f64::NAN), "NaN");
    }

    #[test]
    fn negative_zero_is_zero() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(-1.0)]));
        let column = without_negative_zero(&column);
        let values: &Float64Array = column.as_primitive();
        assert!(values.value(0).is_sign_positive());
        assert!(values.is_null(1));
        assert_eq!(values.value(2), -1.0);
    }

    #[test]
    fn formats_follow_the_extension() {
        let of = |name: &str| Format::of_extension(Path::new(name));
        assert_eq!(of("a.csv"), Some(Format::Csv));
        assert_eq!(of("a.MD"), Some(Format::Markdown));
        assert_eq!(of("a.jsonl"), Some(Format::Ndjson));
        assert_eq!(of("a.txt"), Some(Format::Table));
        assert_eq!(of("a.xlsx"), None);
        assert_eq!(of("a"), None);
    }

    #[test]
    fn secret_settings_are_masked() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["aws.secret_access_key", "aws.region"]));
        let values: ArrayRef = Arc::new(StringArray::from(vec!["SK", "eu"]));
        let batch = RecordBatch::try_from_iter([("name", names), ("value", values)]).expect("a batch");
        let shown = presentable(&batch, &[]).expect("a batch");
        let shown: Vec<_> = shown.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(shown, ["***", "eu"]);
    }

    #[test]
    fn wide_letters_take_two_columns() {
        assert_eq!(width("BTC"), 3);
        assert_eq!(width("人生"), 4);
    }

    #[test]
    fn a_failed_run_leaves_the_old_file() {
        let folder = std::env::temp_dir().join(format!("liqsql-output-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("x.csv");
        fs::write(&path, "old").expect("a file");
        drop(Printer::to_file(Format::Csv, &path).expect("a printer"));
        assert_eq!(fs::read_to_string(&path).expect("the file"), "old");
        assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 1);
        fs::remove_dir_all(&folder).expect("removed");
    }
}

//! `liqsql ingest`: exchanges' own files into a data root, with a bar while it runs and a table of what became of the rows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::util::pretty::pretty_format_batches;
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::{Ingest, OnBadRows};
use super::error::Failure;
use super::note;
use super::output::{Format, PrintError, Printer};
use super::storage::{BucketRoot, home_expanded};
use crate::ingest::job::{Folder, Job, Progress, Summary};
use crate::ingest::reading::{BadRows, Reader, Settings};
use crate::ingest::spool::{KeySummary, Place};
use crate::ingest::trigger::USUAL_RATE;
use crate::ingest::{check_settings, files_like, find_reader, readers};

/// How often the bar moves.
const MOVES: Duration = Duration::from_millis(200);

/// What was asked for, checked.
#[derive(Debug)]
pub(crate) enum Request {
    /// A list of what can be read.
    List,
    /// Files to read.
    Read {
        /// How.
        reader: &'static Reader,
        /// Which.
        files: Vec<PathBuf>,
        /// Where to: a folder, or the URL of one in a bucket.
        root: String,
        /// What the user says beside them.
        settings: Box<Settings>,
        /// What happens to rows that cannot be used.
        bad_rows: BadRows,
        /// Whether nothing is written.
        dry_run: bool,
    },
}

impl Request {
    /// Checks the arguments before anything is read.
    ///
    /// # Errors
    /// One line that says what is missing, or what there is.
    pub(crate) fn of(arguments: &Ingest) -> Result<Self, String> {
        if arguments.list {
            return Ok(Self::List);
        }
        let (Some(exchange), Some(kind)) = (&arguments.exchange, &arguments.kind) else {
            return Err("say whose files and of which kind; --list shows what can be read".to_owned());
        };
        let reader = find_reader(exchange, kind).map_err(|error| error.to_string())?;
        let Some(root) = &arguments.to else { return Err("say the data root to write to with --to".to_owned()) };
        if root.contains("://") && !root.starts_with("s3://") {
            return Err(format!("--to must be a folder or s3://bucket/folder, was '{root}'"));
        }
        if matches!(root.as_str(), "sample" | "none") {
            return Err(format!("--to: '{root}' is a word of --data; write './{root}' for a folder of that name"));
        }
        let files = expanded(&arguments.files)?;
        let settings = Settings {
            symbol: arguments.symbol.clone(),
            contract_size: arguments.contract_size,
            exchange: arguments.venue.clone(),
            price: arguments.price,
            trust: arguments.trust,
            columns: arguments.columns.clone(),
            values: arguments.values.clone(),
            ..Settings::default()
        };
        check_settings(reader, &settings).map_err(|error| format!("--{error}"))?;
        Ok(Self::Read {
            reader,
            files,
            root: root.clone(),
            settings: Box::new(settings),
            bad_rows: match arguments.on_bad_rows {
                OnBadRows::Error => BadRows::Error,
                OnBadRows::Skip => BadRows::Skip,
            },
            dry_run: arguments.dry_run,
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read, a row cannot be used, or the root cannot be written.
    pub(crate) async fn run(self, quiet: bool) -> Result<(), Failure> {
        let (reader, files, root, settings, bad_rows, dry_run) = match self {
            Self::List => return print(&list()?),
            Self::Read { reader, files, root, settings, bad_rows, dry_run } => {
                (reader, files, root, settings, bad_rows, dry_run)
            }
        };
        let total = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
        let (place, scratch) = opened(&root)?;
        let _cleaned = Cleaned(scratch.clone());
        let bar = if quiet { ProgressBar::hidden() } else { bar(total) };
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let mut work = tokio::task::spawn_blocking(move || {
            Job { reader, files: &files, settings: *settings, bad_rows, dry_run, scratch, progress }.run(place.as_ref())
        });
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(MOVES) => bar.set_position(seen.bytes()),
            }
        };
        bar.finish_and_clear();
        let summary = match done {
            Ok(summary) => summary.map_err(|error| Failure::new(format!("ingest: {error}")))?,
            Err(error) => return Err(Failure::new(format!("ingest: the work broke off: {error}"))),
        };
        // Rows that are lost are told even to whoever wants to hear nothing else.
        if let Some(first) = &summary.first_bad {
            note(&format!("{} bad rows were left out, the first: {first}", summary.bad_rows));
        }
        if !quiet {
            print(&table(&summary)?)?;
            if let Some(rates) = rates(&summary) {
                note(&rates);
            }
            if dry_run {
                note("nothing was written");
            }
        }
        Ok(())
    }
}

/// With which maintenance margin rates trigger prices were worked out.
fn rates(summary: &Summary) -> Option<String> {
    let sum = |of: fn(&KeySummary) -> u64| summary.keys.values().map(of).sum::<u64>();
    let (of_tiers, usual) = (sum(|key| key.rates_of_tiers), sum(|key| key.usual_rates));
    (of_tiers + usual > 0).then(|| {
        format!("trigger prices: {of_tiers} with rates of leverage_tiers, {usual} with {USUAL_RATE} as none were known")
    })
}

/// The root, and a folder of this machine for what is under way.
fn opened(root: &str) -> Result<(Box<dyn Place + Send>, PathBuf), Failure> {
    if root.contains("://") {
        let bucket = BucketRoot::open(root, tokio::runtime::Handle::current())?;
        let scratch = std::env::temp_dir().join(format!("liqsql-ingest-{}", std::process::id()));
        return Ok((Box::new(bucket), scratch));
    }
    let folder = Folder { root: PathBuf::from(home_expanded(root).as_ref()) };
    let scratch = folder.scratch();
    Ok((Box::new(folder), scratch))
}

/// Removes the folder of what is under way, also where Ctrl-C ends the work.
struct Cleaned(PathBuf);

impl Drop for Cleaned {
    fn drop(&mut self) {
        // Best effort: no reader of the root looks into it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The files that paths and patterns name.
fn expanded(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let files = paths.iter().map(|path| files_like(path)).collect::<Result<Vec<_>, _>>();
    match files.map_err(|error| error.to_string())?.concat() {
        files if files.is_empty() => Err("say which files".to_owned()),
        files => Ok(files),
    }
}

fn print(batch: &RecordBatch) -> Result<(), Failure> {
    let text = pretty_format_batches(std::slice::from_ref(batch)).map_err(|error| Failure::new(error.to_string()))?;
    match Printer::to_standard_output(Format::Table).write_text(&format!("{text}\n")) {
        Ok(()) | Err(PrintError::ReaderLeft) => Ok(()),
        Err(PrintError::Failed(failure)) => Err(failure),
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Failure> {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .map_err(|error| Failure::new(error.to_string()))
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn list() -> Result<RecordBatch, Failure> {
    let of = |field: fn(&Reader) -> &str| texts(readers().map(|reader| Some(field(reader).to_owned())));
    batch(vec![
        ("exchange", of(|reader| reader.exchange)),
        ("kind", of(|reader| reader.kind)),
        ("table", of(|reader| reader.table.name)),
        ("files", of(|reader| reader.about)),
    ])
}

fn table(summary: &Summary) -> Result<RecordBatch, Failure> {
    let instant =
        |ms: i64| DateTime::from_timestamp_millis(ms).map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string());
    let keys = || summary.keys.iter();
    let counts = |count: fn(&crate::ingest::spool::KeySummary) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(keys().map(|(_, of_key)| count(of_key))))
    };
    let gap = |(from, to): (i64, i64)| Some(format!("{} to {}", instant(from)?, instant(to)?));
    batch(vec![
        ("exchange", texts(keys().map(|((exchange, _), _)| Some(exchange.clone())))),
        ("symbol", texts(keys().map(|((_, symbol), _)| Some(symbol.clone())))),
        ("rows in", counts(|of_key| of_key.rows_in)),
        ("duplicates", counts(|of_key| of_key.duplicates)),
        ("replaced", counts(|of_key| of_key.replaced)),
        ("rows now", counts(|of_key| of_key.rows_out)),
        ("files written", counts(|of_key| of_key.files)),
        ("first", texts(keys().map(|(_, of_key)| of_key.range.and_then(|range| instant(range.0))))),
        ("last", texts(keys().map(|(_, of_key)| of_key.range.and_then(|range| instant(range.1))))),
        ("lowest price", texts(keys().map(|(_, of_key)| of_key.prices.map(|prices| prices.0.to_string())))),
        ("highest price", texts(keys().map(|(_, of_key)| of_key.prices.map(|prices| prices.1.to_string())))),
        ("gaps", counts(|of_key| of_key.gaps)),
        ("longest gap", texts(keys().map(|(_, of_key)| of_key.longest_gap.and_then(gap)))),
    ])
}

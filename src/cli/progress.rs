//! How far long work is: one line on standard error that is gone before anything else is printed.
//!
//! ```text
//!   leaves of the physical plan: rows and bytes read so far ─┐
//!                                rows that there are (statistics) ─┴──► [#####>----] 3,400,000 of 10,000,000 rows, 120 MB
//! ```
//!
//! Work that is done within half a second shows nothing. Where the number of rows is not known, or all are read and the
//! answer is still being computed, a spinner stands for the bar. The bar measures what is read, not what is returned.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use terminal_size::{Width, terminal_size_of};

use super::thousands;

/// Work that takes less is not worth a word.
const DELAY: Duration = Duration::from_millis(500);

/// Time between two looks at the plan.
const INTERVAL: Duration = Duration::from_millis(200);

/// Metrics of a scan that count rows which it read and did not pass on.
const PASSED_OVER: &[&str] = &["pushdown_rows_pruned", "page_index_rows_pruned"];

const BAR: &str = "{elapsed:>4} [{bar:30}] {wide_msg}";
const SPINNER: &str = "{elapsed:>4} {spinner} {wide_msg}";

/// The line that may be on the terminal now: statements run one after another.
static CURRENT: Mutex<Weak<Mutex<Shown>>> = Mutex::new(Weak::new());

/// Takes the line of whatever runs off the terminal. Work that was interrupted may hold its own handle for a while.
pub(crate) fn clear_current() {
    if let Some(shown) = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).upgrade() {
        lock(&shown).clear();
    }
}

/// The line of one statement. It is cleared when the last handle goes.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    shown: Arc<Mutex<Shown>>,
    /// Ends with the line.
    _task: SpawnedTask<()>,
}

/// What stands on the terminal.
#[derive(Debug)]
enum Shown {
    /// Nothing yet.
    Waiting(Option<Arc<dyn ExecutionPlan>>),
    /// The line.
    Line(Option<Arc<dyn ExecutionPlan>>, ProgressBar),
    /// Nothing any more.
    Cleared,
}

impl Progress {
    /// Begins to measure the time of one statement, if that is wanted.
    pub(crate) fn start(wanted: bool) -> Self {
        // A dumb terminal cannot take back what stands on it.
        if !wanted || std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb") {
            return Self(None);
        }
        let shown = Arc::new(Mutex::new(Shown::Waiting(None)));
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&shown);
        let watched = Arc::clone(&shown);
        let task = SpawnedTask::spawn(async move {
            tokio::time::sleep(DELAY).await;
            while lock(&watched).draw() {
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self(Some(Arc::new(Line { shown, _task: task })))
    }

    /// Takes the plan that will do the work.
    pub(crate) fn watch(&self, plan: &Arc<dyn ExecutionPlan>) {
        let Some(line) = &self.0 else { return };
        match &mut *lock(&line.shown) {
            Shown::Waiting(watched) | Shown::Line(watched, _) => *watched = Some(Arc::clone(plan)),
            Shown::Cleared => {}
        }
    }

    /// Takes the line off the terminal for good.
    pub(crate) fn clear(&self) {
        if let Some(line) = &self.0 {
            lock(&line.shown).clear();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.shown).clear();
    }
}

fn lock(shown: &Mutex<Shown>) -> std::sync::MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shown {
    /// Draws the line. False once there is none to draw any more.
    fn draw(&mut self) -> bool {
        if let Self::Waiting(plan) = self {
            let target = ProgressDrawTarget::term_like(Box::new(Terminal));
            let bar = ProgressBar::with_draw_target(None, target).with_elapsed(DELAY);
            *self = Self::Line(plan.take(), bar);
        }
        let Self::Line(plan, bar) = self else { return false };
        let read = plan.as_ref().map_or_else(Read::default, Read::of);
        let total = read.total.filter(|total| read.rows < *total && read.rows > 0);
        let style = match total {
            Some(_) => ProgressStyle::default_bar().template(BAR),
            None => ProgressStyle::default_spinner().template(SPINNER),
        };
        // The templates are constants; were one wrong, the library's own would be drawn.
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("#>-"));
        }
        if let Some(total) = total {
            bar.set_length(total);
            bar.set_position(read.rows);
        }
        bar.set_message(read.to_string());
        bar.tick();
        true
    }

    fn clear(&mut self) {
        if let Self::Line(_, bar) = self {
            bar.finish_and_clear();
        }
        *self = Self::Cleared;
    }
}

/// Standard error as a terminal that is a little narrower: a line is filled to its end, and the `^C` that the terminal
/// shows on Ctrl-C must not begin another, which nobody would clear.
#[derive(Debug)]
struct Terminal;

impl Terminal {
    /// Columns that stay free.
    const FREE: u16 = 4;

    fn write(&self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    /// Moves the cursor by so many places.
    fn go(&self, places: usize, direction: char) -> io::Result<()> {
        if places > 0 { self.write(&format!("\u{1b}[{places}{direction}")) } else { Ok(()) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        terminal_size_of(io::stderr()).map_or(80, |(Width(columns), _)| columns).saturating_sub(Self::FREE)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write(text)?;
        self.write("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.write(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What a plan has read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    rows: u64,
    bytes: u64,
    /// Rows that there are to read. None if a leaf does not know.
    total: Option<u64>,
}

impl Read {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut read = Self { total: Some(0), ..Self::default() };
        read.add(plan);
        read
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        let children = plan.children();
        if !children.is_empty() {
            for child in children {
                self.add(child);
            }
            return;
        }
        let rows = StatisticsContext::new()
            .compute(plan.as_ref(), &StatisticsArgs::new())
            .ok()
            .and_then(|statistics| statistics.num_rows.get_value().copied());
        self.total = self.total.zip(rows).map(|(total, rows)| total + rows as u64);
        let Some(metrics) = plan.metrics() else { return };
        self.rows += metrics.output_rows().unwrap_or(0) as u64;
        let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |value| amount(&value));
        self.rows += PASSED_OVER.iter().map(|name| sum(name)).sum::<u64>();
        self.bytes += sum("bytes_scanned");
    }
}

fn amount(value: &MetricValue) -> u64 {
    value.as_usize() as u64
}

impl std::fmt::Display for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = |rows: u64| thousands(usize::try_from(rows).unwrap_or(usize::MAX));
        match self.total {
            _ if self.rows == 0 => return f.write_str("working"),
            Some(total) if self.rows < total => {
                write!(f, "{} of {} rows", counted(self.rows), counted(total))?;
            }
            _ => write!(f, "{} rows read", counted(self.rows))?,
        }
        if self.bytes >= 100_000 {
            // Megabytes of a thousand thousand bytes, as disks and networks count them.
            write!(f, ", {:.1} MB", self.bytes as f64 / 1e6)?;
        }
        if self.total.is_some_and(|total| self.rows >= total) { f.write_str(", computing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn the_leaves_are_counted() {
        let context = SessionContext::new();
        crate::register_all(&context).expect("a new session");
        crate::sql::sample::register(&context).await.expect("a new session");
        let frame = context.sql("SELECT symbol, count(*) FROM candles GROUP BY symbol").await.expect("a plan");
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.expect("a plan");
        let before = Read::of(&plan);
        let total = before.total.expect("known");
        assert!(before.rows == 0 && total > 1000, "{before:?}");
        collect(Arc::clone(&plan), task).await.expect("rows");
        let after = Read::of(&plan);
        assert_eq!((after.rows, after.total), (total, Some(total)));
        assert!(after.bytes > 0, "{after:?}");
    }

    #[test]
    fn it_reads_as_a_sentence() {
        let text = |rows, bytes, total| Read { rows, bytes, total }.to_string();
        assert_eq!(text(0, 0, None), "working");
        assert_eq!(text(1_500, 2_340_000, Some(3_000)), "1,500 of 3,000 rows, 2.3 MB");
        assert_eq!(text(3_000, 0, Some(3_000)), "3,000 rows read, computing");
        assert_eq!(text(1_500, 0, None), "1,500 rows read");
    }

    #[tokio::test]
    async fn nothing_is_drawn_after_it_was_cleared() {
        let progress = Progress::start(true);
        progress.clear();
        let line = progress.0.as_ref().expect("wanted");
        assert!(!lock(&line.shown).draw());
        assert!(Progress::start(false).0.is_none());
    }
}

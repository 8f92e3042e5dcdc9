//! The session: an engine with our functions and tables in it, and the way from a parsed script to printed rows.
//!
//! ```text
//! Unparsed ──parse──► statement ──bind variables──► plan ──► rows ──► Printer
//! ```

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Select, SelectFlavor, SelectItem, Statement as SqlStatement, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion::sql::sqlparser::tokenizer::Location;
use futures::StreamExt;

use super::error::{Diagnosis, Excerpt, Failure, Finding, nothing_found};
use super::note;
use super::output::{PrintError, Printed, Printer, Replacement};
use super::progress::Progress;
use super::render::{Scanned, origin};
use super::script::{Script, Unparsed, mask};
use super::storage;
use super::tables::{Loaded, Root};
use super::variables::{Scope, bind};
use crate::render::{Origin, Rows, RowsBuilder};
use crate::sql::exec::calls;

/// What shapes a session.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Bytes that queries may reserve. None is no limit.
    pub(crate) memory_limit: Option<usize>,
    /// Parts of a query that run side by side.
    pub(crate) partitions: usize,
    /// Where the market tables are. None is the built-in sample.
    pub(crate) data: Option<String>,
    /// Whether a person reads standard error: long work then shows how far it is, and empty results may have a note.
    pub(crate) progress: bool,
}

/// An engine with our functions and tables in it.
pub(crate) struct Session {
    pub(super) context: SessionContext,
    pub(super) root: Mutex<Loaded>,
    /// Values that no message may repeat.
    secrets: Mutex<Vec<String>>,
    /// Whether a person reads standard error.
    progress: bool,
}

/// What a statement did, for the line under its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It returned rows.
    Rows(Printed, Duration),
    /// It wrote rows somewhere else.
    Written(u64, Duration),
    /// It changed the session.
    Changed(Duration),
}

/// A statement that was planned, and what it leads to.
enum Planned {
    /// Rows, what shows how far they are, and the statement with its variables bound where a person may need a note.
    Rows {
        rows: SendableRecordBatchStream,
        progress: Progress,
        bound: String,
        /// Where the rows come from, as far as the plan tells.
        origin: Origin,
    },
    Written(u64),
    Changed,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Opens an engine and fills it.
    ///
    /// # Errors
    /// The data root cannot be read, or holds no market table.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let mut config =
            crate::sql::session_config().with_target_partitions(settings.partitions).with_information_schema(true);
        // Plan errors then know their line.
        config.options_mut().sql_parser.collect_spans = true;
        storage::configure(&mut config);
        let mut runtime = storage::runtime(RuntimeEnvBuilder::new());
        if let Some(bytes) = settings.memory_limit {
            runtime = runtime.with_memory_limit(bytes, 1.0);
        }
        // Files can be named after FROM: `SELECT * FROM 'x.parquet'`.
        let context = storage::open(SessionContext::new_with_config_rt(config, runtime.build_arc()?));
        crate::register_all(&context)?;
        let session = Self { context, root: Mutex::default(), secrets: Mutex::default(), progress: settings.progress };
        session.load(Root::named(settings.data.as_deref())).await?;
        Ok(session)
    }

    /// The engine itself.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The dialect that the session is set to; `SET datafusion.sql_parser.dialect` can change it at any statement.
    pub(crate) fn dialect(&self) -> Box<dyn Dialect> {
        let name = self.context.state().config().options().sql_parser.dialect;
        dialect_from_str(name).unwrap_or_else(|| Box::new(GenericDialect {}))
    }

    /// Runs one statement of a script and prints what it returns.
    ///
    /// # Errors
    /// With the statement's line, or the reader of the output left.
    pub(crate) async fn run(
        &self,
        script: &Script,
        statement: &Unparsed,
        scope: &Scope,
        printer: &mut Printer,
    ) -> Result<Done, PrintError> {
        self.print(statement, scope, printer).await.map_err(|error| self.placed(script, statement, error))
    }

    /// Runs one statement of a script and keeps its rows; None if it returns no columns.
    ///
    /// # Errors
    /// With the statement's line.
    pub(crate) async fn collect(
        &self,
        script: &Script,
        statement: &Unparsed,
        scope: &Scope,
    ) -> Result<Option<Rows>, Failure> {
        let collected = async {
            // The progress is shown until all rows are there.
            let Planned::Rows { mut rows, progress: _progress, origin, bound } = self.plan(statement, scope).await?
            else {
                return Ok(None);
            };
            let mut builder = RowsBuilder::new(rows.schema());
            while let Some(batch) = rows.next().await {
                builder.push(batch?);
            }
            let rows = builder.finish(origin).map_err(|error| DataFusionError::External(Box::new(error)))?;
            if self.progress
                && rows.batches.iter().all(|batch| batch.num_rows() == 0)
                && let Some(why) = nothing_found::why(&bound, &self.context).await
            {
                note(&why);
            }
            Ok(Some(rows))
        };
        let collected: Result<_, Located> = collected.await;
        collected.map_err(|error| match self.placed(script, statement, error) {
            PrintError::Failed(failure) => failure,
            PrintError::ReaderLeft => Failure::new("the output was closed"),
        })
    }

    async fn print(&self, statement: &Unparsed, scope: &Scope, printer: &mut Printer) -> Result<Done, Located> {
        let start = Instant::now();
        Ok(match self.plan(statement, scope).await? {
            Planned::Rows { rows, progress, bound, .. } => {
                let secrets = self.secrets();
                let rows = if printer.is_terminal() { gone_with_first_row(rows, &progress) } else { rows };
                let printed = printer.print(rows, &secrets).await.map_err(Located::Printing)?;
                drop(progress);
                // What the user took to read is not what the query took.
                let elapsed = start.elapsed().saturating_sub(printed.waited);
                if self.progress
                    && printed.rows == 0
                    && let Some(why) = nothing_found::why(&bound, &self.context).await
                {
                    note(&why);
                }
                Done::Rows(printed, elapsed)
            }
            Planned::Written(rows) => Done::Written(rows, start.elapsed()),
            Planned::Changed => Done::Changed(start.elapsed()),
        })
    }

    async fn plan(&self, statement: &Unparsed, scope: &Scope) -> Result<Planned, Located> {
        self.remember(statement.secrets());
        let state = self.context.state();
        let limit = state.config().options().sql_parser.recursion_limit.get();
        let mut parsed = statement
            .parse(self.dialect().as_ref(), limit)
            .map_err(|(location, message)| Located::Parsing(location, message))?;
        bind(&mut parsed, scope).map_err(|(line, message)| Located::Binding(line, message))?;
        let bound = parsed.to_string();
        let progress = Progress::start(self.progress);
        if lists_tables(&parsed) {
            return Ok(Planned::Rows { rows: self.listing()?, progress, bound, origin: Origin::default() });
        }
        storage::prepare(&self.context, &mut parsed)?;
        select_all(&mut parsed);
        let copied = self.beside(&mut parsed).map_err(Located::Printing)?;
        let plan = Box::pin(state.statement_to_plan(parsed)).await?;
        let planned = Box::pin(self.execute(plan, progress, bound)).await?;
        if let Some(copied) = copied {
            copied.put_in_place().map_err(Located::Printing)?;
        }
        Ok(planned)
    }

    /// Lets COPY write a file beside the one that it names: a query that fails must not cost the file that was there.
    fn beside(&self, statement: &mut Statement) -> Result<Option<Replacement>, PrintError> {
        let Statement::CopyTo(copy) = statement else { return Ok(None) };
        let is_file = !copy.target.contains("://") && !copy.target.ends_with('/') && copy.partitioned_by.is_empty();
        let path = Path::new(&copy.target);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // In a folder that the engine has yet to make, there is nothing to lose.
        if !is_file || path.is_dir() || path.extension().is_none() || !folder.is_dir() {
            return Ok(None);
        }
        let replacement = Replacement::create(Path::new(&copy.target))
            .map_err(|error| PrintError::Failed(Failure::new(format!("cannot write '{}': {error}", copy.target))))?;
        if let Some(temporary) = replacement.temporary().and_then(Path::to_str) {
            temporary.clone_into(&mut copy.target);
        }
        Ok(Some(replacement))
    }

    async fn execute(&self, plan: LogicalPlan, progress: Progress, bound: String) -> Result<Planned, DataFusionError> {
        let changes = matches!(&plan, LogicalPlan::Ddl(_));
        let writes = matches!(&plan, LogicalPlan::Dml(_) | LogicalPlan::Copy(_));
        let room = self.make_room(&plan)?;
        let frame: DataFrame = self.context.execute_logical_plan(plan).await?;
        room.keep();
        let has_columns = !frame.schema().fields().is_empty();
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        progress.watch(&plan);
        let origin = origin(&calls(&plan), Scanned::of(&plan));
        let mut rows = execute_stream(plan, task)?;
        if writes {
            let mut written = 0;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                let counts = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
                written += counts.map_or(0, |counts| counts.iter().flatten().sum::<u64>());
            }
            return Ok(Planned::Written(written));
        }
        if changes || !has_columns {
            while let Some(batch) = rows.next().await {
                batch?;
            }
            return Ok(Planned::Changed);
        }
        Ok(Planned::Rows { rows, progress, bound, origin })
    }

    /// Gives an error its words and its place, and takes secrets out of it.
    fn placed(&self, script: &Script, statement: &Unparsed, error: Located) -> PrintError {
        let diagnosis = Diagnosis::new(statement, &self.context);
        let Finding { message, place } = match error {
            Located::Printing(PrintError::ReaderLeft) => return PrintError::ReaderLeft,
            Located::Printing(PrintError::Failed(failure)) => diagnosis.of_text(&failure.message),
            Located::Parsing(location, message) => diagnosis.of_parser(location, &message),
            Located::Binding(line, message) => diagnosis.of_binding(line, message),
            Located::Engine(error) => diagnosis.of_engine(&error),
        };
        let secrets = self.secrets();
        let line = place.map_or(statement.line, |place| place.start.line);
        let mut failure = Failure::at(&script.name, line, mask(&message, &secrets));
        failure.excerpt = place.and_then(|place| Excerpt::of(&script.text, place, &secrets));
        PrintError::Failed(failure)
    }

    fn remember(&self, secrets: Vec<String>) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if !known.contains(&secret) {
                known.push(secret);
            }
        }
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a statement is a plain SHOW TABLES.
fn lists_tables(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    matches!(statement.as_ref(), SqlStatement::ShowTables { .. }) && statement.to_string() == "SHOW TABLES"
}

/// Reads `FROM t` as `SELECT * FROM t`: the engine would select no column, and say nothing.
fn select_all(statement: &mut Statement) {
    struct FromFirst;
    impl VisitorMut for FromFirst {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
                select.projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
                select.flavor = SelectFlavor::Standard;
            }
            ControlFlow::Continue(())
        }
    }
    let _ = match statement {
        Statement::Statement(statement) => statement.visit(&mut FromFirst),
        Statement::Explain(explain) => return select_all(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut FromFirst),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
}

/// Clears the progress before anything is printed below it.
fn gone_with_first_row(rows: SendableRecordBatchStream, progress: &Progress) -> SendableRecordBatchStream {
    let shown = progress.clone();
    let schema = rows.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, rows.inspect(move |_| shown.clear())))
}

/// An error, by what is known of its place.
enum Located {
    /// Where the parser stopped.
    Parsing(Option<Location>, String),
    /// The line of a variable.
    Binding(Option<u64>, String),
    /// What the engine attached to it.
    Engine(DataFusionError),
    /// Nothing but its words.
    Printing(PrintError),
}

impl From<DataFusionError> for Located {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

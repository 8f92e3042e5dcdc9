//! The session: an engine with our functions and tables in it, and the way from a parsed script to printed rows.
//!
//! ```text
//! Unparsed ──parse──► statement ──bind variables──► plan ──► rows ──► Printer
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::catalog::memory::MemTable;
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::listing::ListingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion::sql::sqlparser::tokenizer::Location;
use futures::{FutureExt, StreamExt};

use super::diagnosis::{Diagnosis, Finding};
use super::error::Failure;
use super::excerpt::Excerpt;
use super::output::{PrintError, Printed, Printer};
use super::progress::Progress;
use super::script::{Script, Unparsed, mask};
use super::storage;
use super::variables::{Scope, bind};
use super::{note, nothing_found};

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

/// Where the market tables come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Root {
    /// The sample in the binary.
    #[default]
    Sample,
    /// None: only what the user makes.
    Nothing,
    /// A folder or a bucket.
    At(String),
}

impl Root {
    /// Reads what a user names: `sample`, `none`, a folder or a URL. A variable of the environment that is set to
    /// nothing is not set.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name.map(str::trim) {
            None | Some("" | "sample") => Self::Sample,
            Some("none") => Self::Nothing,
            Some(location) => Self::At(location.to_owned()),
        }
    }

    fn of(&self, table: &str) -> String {
        match self {
            Self::Sample => "the built-in sample".to_owned(),
            Self::Nothing => String::new(),
            Self::At(location) => format!("{}/{table}", location.trim_end_matches('/')),
        }
    }
}

/// The market tables at hand.
#[derive(Debug, Default)]
struct Loaded {
    root: Root,
    /// In the order of the market tables. A user may have put another table under the same name since.
    tables: Vec<(String, Arc<dyn TableProvider>)>,
}

/// A table as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// With its schema where that is needed.
    pub(crate) name: String,
    /// Its place among the market tables, if it is one.
    pub(crate) market: Option<usize>,
    /// Whether its name alone finds it.
    pub(crate) is_default: bool,
    /// Where it comes from.
    pub(crate) source: String,
    /// The statement that made it, of a view.
    definition: Option<String>,
    pub(crate) columns: Vec<String>,
}

/// An engine with our functions and tables in it.
pub(crate) struct Session {
    context: SessionContext,
    root: Mutex<Loaded>,
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
    Rows(SendableRecordBatchStream, Progress, Option<String>),
    Written(u64),
    Changed,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("root", &self.loaded().root).finish_non_exhaustive()
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

    /// Registers the market tables of a root instead of those of the root before, and makes views anew, which hold on
    /// to the tables that they were made over. Returns the views that cannot be made over the new tables.
    ///
    /// # Errors
    /// The root cannot be read, or holds no market table: nothing is changed.
    pub(crate) async fn load(&self, root: Root) -> Result<Vec<String>, Failure> {
        let context = &self.context;
        // Under a session of its own first: a root that cannot be read must leave this one as it is.
        let config = context.copied_config().with_create_default_catalog_and_schema(true);
        let scratch = SessionContext::new_with_config_rt(config, context.runtime_env());
        crate::register_all(&scratch)?;
        let mut names = match &root {
            Root::Sample => {
                crate::sql::sample::register(&scratch).await?;
                crate::sql::sample::FILES.iter().map(|(name, _)| (*name).to_owned()).collect()
            }
            Root::Nothing => {
                crate::sql::sample::register_schema(&scratch).await?;
                Vec::new()
            }
            Root::At(location) => {
                crate::sql::sample::register_schema(&scratch).await?;
                crate::sql::root::register(&scratch, location).await?
            }
        };
        for table in self.tables().into_iter().filter(|table| table.market.is_some()) {
            context.deregister_table(TableReference::bare(table.name))?;
        }
        let own: Vec<String> = self.tables().into_iter().map(|table| table.name).collect();
        names.retain(|name| !own.contains(name));
        let mut tables = Vec::new();
        for name in names {
            let provider = scratch.table_provider(TableReference::bare(name.clone())).await?;
            context.register_table(TableReference::bare(name.clone()), Arc::clone(&provider))?;
            tables.push((name, provider));
        }
        if let (Some(from), Some(to)) = (default_catalog(&scratch), default_catalog(context))
            && let Some(sample) = from.schema("sample")
        {
            to.register_schema("sample", sample)?;
        }
        *self.loaded() = Loaded { root, tables };
        Ok(self.remake_views().await)
    }

    /// Looks for tables that the root has and the session does not know yet.
    ///
    /// # Errors
    /// The root cannot be read.
    pub(crate) async fn refresh(&self) -> Result<(), Failure> {
        let root = self.loaded().root.clone();
        match root {
            Root::At(_) => self.load(root).await.map(|_| ()),
            Root::Sample | Root::Nothing => Ok(()),
        }
    }

    /// Makes every view anew from its definition; a view over another waits for it. Returns those that cannot be made.
    async fn remake_views(&self) -> Vec<String> {
        let mut waiting: Vec<(String, String)> = self
            .tables()
            .into_iter()
            .filter_map(|table| table.definition.map(|definition| (table.name, definition)))
            .collect();
        loop {
            let mut failed = Vec::new();
            for (name, definition) in &waiting {
                let again = replacing(definition);
                let made = async { self.context.sql(&again).await?.collect().await };
                if made.await.is_err() {
                    failed.push((name.clone(), definition.clone()));
                }
            }
            if failed.is_empty() || failed.len() == waiting.len() {
                return failed.into_iter().map(|(name, _)| name).collect();
            }
            waiting = failed;
        }
    }

    /// Every table of the session: those of the market first, then the user's own, then other schemas.
    pub(crate) fn tables(&self) -> Vec<Listed> {
        let options = self.context.state().config().options().catalog.clone();
        let Some(catalog) = self.context.catalog(&options.default_catalog) else {
            return Vec::new();
        };
        let loaded = self.loaded();
        let mut tables = Vec::new();
        for schema_name in catalog.schema_names() {
            let Some(schema) = catalog.schema(&schema_name).filter(|_| schema_name != "information_schema") else {
                continue;
            };
            let is_default = schema_name == options.default_schema;
            for table in schema.table_names() {
                // A table of a remote catalog is not at hand; it is listed without what it holds.
                let provider = schema.table(&table).now_or_never().and_then(Result::ok).flatten();
                let is_loaded = |(name, known): &(String, Arc<dyn TableProvider>)| {
                    *name == table && provider.as_ref().is_some_and(|provider| Arc::ptr_eq(provider, known))
                };
                let market = is_default.then(|| loaded.tables.iter().position(is_loaded)).flatten();
                let source = match (market, &provider) {
                    (Some(_), _) => loaded.root.of(&table),
                    _ if schema_name == "sample" => "the built-in sample".to_owned(),
                    (None, Some(provider)) => source_of(provider),
                    (None, None) => String::new(),
                };
                tables.push(Listed {
                    market,
                    name: if is_default { table } else { format!("{schema_name}.{table}") },
                    is_default,
                    source,
                    definition: provider
                        .as_ref()
                        .filter(|provider| provider.table_type() == TableType::View)
                        .and_then(|provider| provider.get_table_definition().map(str::to_owned)),
                    columns: provider.map_or_else(Vec::new, |provider| {
                        provider.schema().fields().iter().map(|field| field.name().clone()).collect()
                    }),
                });
            }
        }
        tables.sort_by(|a, b| {
            let key = |table: &Listed| (!table.is_default, table.market.is_none(), table.market, table.name.clone());
            key(a).cmp(&key(b))
        });
        tables
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the market tables are, in one line.
    pub(crate) fn description(&self) -> String {
        let loaded = self.loaded();
        match &loaded.root {
            Root::Sample => "the built-in sample (simulated market, not real data)".to_owned(),
            Root::Nothing => "no market tables".to_owned(),
            Root::At(location) => {
                let names: Vec<&str> = loaded.tables.iter().map(|(name, _)| name.as_str()).collect();
                format!("{location}: {}", names.join(", "))
            }
        }
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
    ) -> Result<Option<Vec<RecordBatch>>, Failure> {
        let collected = async {
            // The progress is shown until all rows are there.
            let Planned::Rows(mut rows, _progress, _) = self.plan(statement, scope).await? else {
                return Ok(None);
            };
            let mut batches = vec![RecordBatch::new_empty(rows.schema())];
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 {
                    batches.push(batch);
                }
            }
            if batches.len() > 1 {
                batches.remove(0);
            }
            Ok(Some(batches))
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
            Planned::Rows(rows, progress, bound) => {
                let secrets = self.secrets();
                let rows = if printer.is_terminal() { gone_with_first_row(rows, &progress) } else { rows };
                let printed = printer.print(rows, &secrets).await.map_err(Located::Printing)?;
                drop(progress);
                let elapsed = start.elapsed();
                if let Some(bound) = bound.filter(|_| printed.rows == 0)
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
        let bound = self.progress.then(|| parsed.to_string());
        let progress = Progress::start(self.progress);
        if lists_tables(&parsed) {
            return Ok(Planned::Rows(self.listing()?, progress, None));
        }
        storage::prepare(&self.context, &mut parsed)?;
        let plan = Box::pin(state.statement_to_plan(parsed)).await?;
        Ok(Box::pin(self.execute(plan, progress, bound)).await?)
    }

    /// What SHOW TABLES returns: the engine's own answer says nothing of where a table comes from.
    fn listing(&self) -> Result<SendableRecordBatchStream, DataFusionError> {
        let tables = self.tables();
        let column =
            |text: fn(&Listed) -> &str| Arc::new(StringArray::from_iter_values(tables.iter().map(text))) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("table_name", column(|table| &table.name)),
            ("kind", column(Listed::kind)),
            ("source", column(|table| &table.source)),
        ])?;
        let schema = batch.schema();
        Ok(Box::pin(MemoryStream::try_new(vec![batch], schema, None)?))
    }

    async fn execute(
        &self,
        plan: LogicalPlan,
        progress: Progress,
        bound: Option<String>,
    ) -> Result<Planned, DataFusionError> {
        let changes = matches!(&plan, LogicalPlan::Ddl(_));
        let writes = matches!(&plan, LogicalPlan::Dml(_) | LogicalPlan::Copy(_));
        let frame: DataFrame = self.context.execute_logical_plan(plan).await?;
        let has_columns = !frame.schema().fields().is_empty();
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        progress.watch(&plan);
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
        Ok(Planned::Rows(rows, progress, bound))
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
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).extend(secrets);
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Listed {
    /// What kind of table it is.
    pub(crate) fn kind(&self) -> &str {
        match (self.market, &self.definition) {
            (Some(_), _) => "market",
            (None, Some(_)) => "view",
            (None, None) if self.name.starts_with("sample.") => "market",
            (None, None) => "table",
        }
    }
}

fn default_catalog(context: &SessionContext) -> Option<Arc<dyn CatalogProvider>> {
    let name = context.state().config().options().catalog.default_catalog.clone();
    context.catalog(&name)
}

/// Where a table of the user's comes from.
fn source_of(provider: &Arc<dyn TableProvider>) -> String {
    let provider: &dyn TableProvider = provider.as_ref();
    if let Some(files) = provider.downcast_ref::<ListingTable>() {
        let paths: Vec<&str> = files.table_paths().iter().map(|path| path.as_str()).collect();
        return paths.join(", ");
    }
    match provider.table_type() {
        TableType::View => "view".to_owned(),
        _ if provider.downcast_ref::<MemTable>().is_some() => "memory".to_owned(),
        _ => String::new(),
    }
}

/// `CREATE VIEW …` as `CREATE OR REPLACE VIEW …`.
fn replacing(definition: &str) -> String {
    let rest = definition.trim_start();
    match rest.get(..6).filter(|word| word.eq_ignore_ascii_case("create")) {
        Some(_) if !rest[6..].trim_start().to_ascii_lowercase().starts_with("or ") => {
            format!("CREATE OR REPLACE{}", &rest[6..])
        }
        _ => definition.to_owned(),
    }
}

/// Whether a statement is a plain SHOW TABLES.
fn lists_tables(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    matches!(statement.as_ref(), SqlStatement::ShowTables { .. }) && statement.to_string() == "SHOW TABLES"
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

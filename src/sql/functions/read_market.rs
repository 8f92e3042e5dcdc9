//! `read_market`: files of an exchange as rows of a market table, without a data root.
//!
//! In: whose files they are, of which kind, and a path or a pattern. Out: the rows of the market table that this kind of
//! file becomes, as `liqsql ingest` would write them: in market units, checked, without repetitions, key by key in order
//! of time. That order is declared, so the functions over it need no sort.
//!
//! A pass over the files makes sorted files in a folder for temporary ones, which are then streamed and removed with the
//! query: memory is bounded, the disk is not. Each execution reads the files anew.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::TableFunction;
use crate::ingest::job::{Folder, Job, Progress};
use crate::ingest::reading::{BadRows, Reader, Settings, time_column};
use crate::ingest::spool::Spool;
use crate::ingest::{check_settings, files_like, find_reader};
use crate::sql::arguments::Arguments;
use crate::sql::model_settings::ON_BAD_ROWS;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "read_market",
    summary: "Files as an exchange publishes them, as rows of a market table",
    parameters: &[
        Parameter {
            name: "exchange",
            kind: ParameterKind::Text("the name of an exchange or a vendor, such as 'binance'"),
            fallback: Fallback::Required,
            unit: "",
            doc: "whose files they are; liqsql ingest --list shows what can be read",
        },
        Parameter {
            name: "kind",
            kind: ParameterKind::Text("a kind of file of this exchange, such as 'klines'"),
            fallback: Fallback::Required,
            unit: "",
            doc: "which of its files",
        },
        Parameter {
            name: "files",
            kind: ParameterKind::Text("a path or a pattern of paths, such as 'downloads/BTCUSDT-1m-*.zip'"),
            fallback: Fallback::Required,
            unit: "",
            doc: "files of this machine as downloaded, also .zip, .gz and .lz4; *, ? and [] match, ** any folders",
        },
        Parameter {
            name: "symbol",
            kind: ParameterKind::Text("the symbol of a market, such as 'BTCUSDT'"),
            fallback: Fallback::Derived("of the file"),
            unit: "",
            doc: "symbol of files that do not name it",
        },
        Parameter {
            name: "venue",
            kind: ParameterKind::Text("the name of an exchange, such as 'binance'"),
            fallback: Fallback::Derived("of the file"),
            unit: "",
            doc: "exchange whose market is meant, of vendors' files that do not name it",
        },
        Parameter {
            name: "contract_size",
            kind: ParameterKind::Number(Limits::POSITIVE),
            fallback: Fallback::Derived("of the exchange"),
            unit: "base units",
            doc: "size of a contract (USD of inverse ones), where it is not known",
        },
        Parameter {
            name: "price",
            kind: ParameterKind::Number(Limits::POSITIVE),
            fallback: Fallback::Derived("of the file"),
            unit: "quote per base",
            doc: "price of the market at the instant of a vendor's map that does not hold it",
        },
        Parameter {
            name: "columns",
            kind: ParameterKind::NameList,
            fallback: Fallback::Derived("of the same or a usual name"),
            unit: "",
            doc: "columns of one's own files (exchange 'table') that hold ours, as ['ts=open_time']",
        },
        Parameter {
            name: "values",
            kind: ParameterKind::NameList,
            fallback: Fallback::Derived("none"),
            unit: "",
            doc: "values of columns that one's own files do not have, as ['interval_hours=8']",
        },
        Parameter {
            name: "trust",
            kind: ParameterKind::Boolean,
            fallback: Fallback::Value("false"),
            unit: "",
            doc: "take rows that look like a mistake of units: prices that jump, open interest of both sides",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Derived("the columns of the market table that the files become"),
    example: "SELECT * FROM read_market('binance', 'klines', 'data/files/BTCUSDT-1h-*.csv') LIMIT 10",
};

/// The function.
#[derive(Debug)]
pub struct ReadMarket;

impl TableFunction for ReadMarket {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let text = |name: &str| arguments.text(name);
        let (Some(exchange), Some(kind), Some(files)) = (text("exchange")?, text("kind")?, text("files")?) else {
            return internal_err!("{}: three arguments are required", SPEC.name);
        };
        let reader = match find_reader(&exchange, &kind) {
            Ok(reader) => reader,
            Err(error) => return plan_err!("{}: {error}", SPEC.name),
        };
        if files.contains("://") {
            return plan_err!("{}: 'files' must be on this machine, was '{files}'", SPEC.name);
        }
        let settings = Settings {
            symbol: text("symbol")?,
            exchange: text("venue")?,
            contract_size: arguments.number("contract_size")?,
            price: arguments.number("price")?,
            trust: arguments.boolean("trust")?.unwrap_or(false),
            columns: pairs(arguments, "columns")?,
            values: pairs(arguments, "values")?,
            ..Settings::default()
        };
        if let Err(error) = check_settings(reader, &settings) {
            return plan_err!("{}: {error}", SPEC.name);
        }
        let bad_rows = match arguments.choice("on_bad_rows")? {
            Some("skip") => BadRows::Skip,
            _ => BadRows::Error,
        };
        let schema = reader.table.schema();
        Ok(Arc::new(MarketFiles { call: Arc::new(Call { reader, files, settings, bad_rows }), schema }))
    }
}

/// Reads a list of texts such as `ts=open_time`.
fn pairs(arguments: &Arguments<'_>, name: &str) -> Result<Vec<(String, String)>> {
    let pair = |text: String| match text.split_once('=') {
        Some((ours, theirs)) if !ours.is_empty() => Ok((ours.to_owned(), theirs.to_owned())),
        _ => plan_err!("{}: '{name}' must be a list of texts such as ['ts=open_time'], was '{text}' in it", SPEC.name),
    };
    arguments.text_list(name)?.unwrap_or_default().into_iter().map(pair).collect()
}

/// A call with its arguments.
#[derive(Debug)]
struct Call {
    reader: &'static Reader,
    files: String,
    settings: Settings,
    bad_rows: BadRows,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { symbol, exchange, contract_size, price, trust, .. } = &self.settings;
        write!(f, "exchange={}, kind={}, files={}", self.reader.exchange, self.reader.kind, self.files)?;
        let numbers = [("contract_size", contract_size), ("price", price)];
        let texts = [("symbol", symbol), ("venue", exchange)].map(|(name, text)| (name, text.clone()));
        let given = texts.into_iter().chain(numbers.map(|(name, value)| (name, value.map(|value| value.to_string()))));
        for (name, value) in given {
            if let Some(value) = value {
                write!(f, ", {name}={value}")?;
            }
        }
        for (name, pairs) in [("columns", &self.settings.columns), ("values", &self.settings.values)] {
            if !pairs.is_empty() {
                let pairs: Vec<String> = pairs.iter().map(|(ours, theirs)| format!("{ours}={theirs}")).collect();
                write!(f, ", {name}=[{}]", pairs.join(", "))?;
            }
        }
        let bad_rows = if self.bad_rows == BadRows::Skip { "skip" } else { "error" };
        write!(f, ", trust={trust}, on_bad_rows={bad_rows}")
    }
}

/// A bound call, as a table.
#[derive(Debug)]
struct MarketFiles {
    call: Arc<Call>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for MarketFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or_else(all);
        Ok(Arc::new(ReadMarketExec::try_new(Arc::clone(&self.call), &self.schema, projection)?))
    }
}

/// Reads the files, and streams what became of them.
#[derive(Debug)]
struct ReadMarketExec {
    call: Arc<Call>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ReadMarketExec {
    fn try_new(call: Arc<Call>, full: &Schema, projection: Vec<usize>) -> Result<ReadMarketExec> {
        let schema: SchemaRef = Arc::new(full.project(&projection)?);
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        let rising = |name: &str| -> Option<PhysicalSortExpr> {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new_with_schema(name, &schema).ok()?);
            Some(PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: false }))
        };
        let order = ["exchange", "symbol", time_column(call.reader.table)].into_iter().map_while(rising);
        if let Some(order) = LexOrdering::new(order) {
            equivalence.add_ordering(order);
        }
        let partitioning = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalence, partitioning, EmissionType::Final, Boundedness::Bounded)
            .with_scheduling_type(SchedulingType::Cooperative);
        Ok(ReadMarketExec { call, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DisplayAs for ReadMarketExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "{}: {}", self.name(), self.call),
            DisplayFormatType::TreeRender => write!(f, "{}", self.call),
        }
    }
}

impl ExecutionPlan for ReadMarketExec {
    fn name(&self) -> &str {
        "ReadMarketExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&schema), 2);
        let rows = builder.tx();
        let counters = Counters::new(&self.metrics, partition);
        let reservation = MemoryConsumer::new("ReadMarketExec").register(context.memory_pool());
        let batch_size = context.session_config().batch_size();
        let call = Arc::clone(&self.call);
        builder.spawn_blocking(move || {
            let folder = temporary_folder(&context)?;
            let given_up = rows.clone();
            let root = Folder { root: folder.path.clone() };
            call.collect(&root, &counters, reservation, Progress::until(move || given_up.is_closed()))?;
            for file in call.files_of(&root.root)? {
                for batch in file.batches(&schema, batch_size)? {
                    let batch = batch?.record_output(&counters.baseline);
                    // Nobody wants the rest.
                    if rows.blocking_send(Ok(batch)).is_err() {
                        return Ok(());
                    }
                }
            }
            counters.baseline.done();
            Ok(())
        });
        Ok(make_cooperative(builder.build()))
    }
}

/// What EXPLAIN ANALYZE shows.
#[derive(Debug)]
struct Counters {
    baseline: BaselineMetrics,
    rows_read: Count,
    duplicates: Count,
    bad_rows: Count,
}

impl Counters {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Counters {
        let count = |name| MetricBuilder::new(metrics).counter(name, partition);
        Counters {
            baseline: BaselineMetrics::new(metrics, partition),
            rows_read: count("rows_read"),
            duplicates: count("duplicates"),
            bad_rows: count("bad_rows"),
        }
    }
}

impl Call {
    /// Reads the files into sorted ones below a root.
    fn collect(
        &self,
        root: &Folder,
        counters: &Counters,
        reservation: MemoryReservation,
        progress: Progress,
    ) -> Result<()> {
        let failed = |error: &dyn fmt::Display| exec_datafusion_err!("{}: {error}", SPEC.name);
        let files = files_like(&at_home(&self.files)).map_err(|error| failed(&error))?;
        reservation.try_resize(memory_for(&files).min(Spool::most_bytes(self.reader.table)))?;
        let job = Job {
            reader: self.reader,
            files: &files,
            settings: self.settings.clone(),
            bad_rows: self.bad_rows,
            dry_run: false,
            scratch: root.scratch(),
            progress: Arc::new(progress),
        };
        let summary = job.run(root).map_err(|error| failed(&error))?;
        counters.bad_rows.add(usize::try_from(summary.bad_rows).unwrap_or(usize::MAX));
        for key in summary.keys.values() {
            counters.rows_read.add(usize::try_from(key.rows_in).unwrap_or(usize::MAX));
            counters.duplicates.add(usize::try_from(key.duplicates).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    /// The files below a root in the order of their keys, then of time, which is the order of their names.
    fn files_of(&self, root: &Path) -> Result<Vec<SortedFile>> {
        let mut found = Vec::new();
        for (exchange, path) in folders(&root.join(self.reader.table.name), "exchange=")? {
            for (symbol, path) in folders(&path, "symbol=")? {
                let mut periods: Vec<PathBuf> = folders(&path, "")?.into_iter().map(|(_, path)| path).collect();
                periods.push(path);
                periods.retain(|period| period.join("part.parquet").is_file());
                periods.sort();
                found.extend(periods.into_iter().map(|period| SortedFile {
                    path: period.join("part.parquet"),
                    exchange: exchange.clone(),
                    symbol: symbol.clone(),
                }));
            }
        }
        Ok(found)
    }
}

/// The folders in a folder whose names begin so, with the rest of their names, in order.
fn folders(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    // A reader of no rows makes no folder.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_prefix(prefix))
            && entry.path().is_dir()
        {
            found.push((name.to_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// A sorted file of one key.
#[derive(Debug)]
struct SortedFile {
    path: PathBuf,
    exchange: String,
    symbol: String,
}

impl SortedFile {
    /// Its rows with these columns.
    fn batches(&self, schema: &SchemaRef, batch_size: usize) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&self.path)?)?;
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let reader = builder.with_projection(mask).with_batch_size(batch_size).build()?;
        let schema = Arc::clone(schema);
        Ok(reader.map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows();
            let constant = |text: &str| Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text, rows)));
            let columns =
                schema.fields().iter().map(|field| match (field.name().as_str(), batch.column_by_name(field.name())) {
                    ("exchange", _) => Ok(constant(&self.exchange) as ArrayRef),
                    ("symbol", _) => Ok(constant(&self.symbol) as ArrayRef),
                    (_, Some(column)) => Ok(arrow::compute::cast(column, field.data_type())?),
                    (name, None) => exec_err!("{}: the sorted file lacks '{name}'", SPEC.name),
                });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        }))
    }
}

/// A folder that is removed with all that is in it.
struct TemporaryFolder {
    path: PathBuf,
    /// Keeps the engine's own folder, in which it is.
    _file: Arc<dyn SpillFile>,
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // The engine removes its folder in the end, whatever is left in it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder where the engine keeps what does not fit into memory.
fn temporary_folder(context: &TaskContext) -> Result<TemporaryFolder> {
    let file = context.runtime_env().disk_manager.create_tmp_file(SPEC.name)?;
    let Some(path) = file.path() else {
        return exec_err!("{}: needs a folder for temporary files, and the session keeps them elsewhere", SPEC.name);
    };
    let mut path = path.as_os_str().to_owned();
    path.push(".market");
    let path = PathBuf::from(path);
    std::fs::create_dir_all(&path)?;
    Ok(TemporaryFolder { path, _file: file })
}

/// A path that begins with `~/`, from the user's home.
fn at_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

/// How much more text there is in a packed file, about.
const PACKED: u64 = 10;

/// Bytes that the rows of files need at most, about: no more than their text.
fn memory_for(files: &[PathBuf]) -> usize {
    let bytes = files.iter().map(|file| {
        let length = std::fs::metadata(file).map_or(0, |file| file.len());
        let is_text =
            file.extension().is_some_and(|ending| ["csv", "json", "jsonl", "txt"].iter().any(|text| ending == *text));
        if is_text { length } else { length.saturating_mul(PACKED) }
    });
    usize::try_from(bytes.fold(0, u64::saturating_add)).unwrap_or(usize::MAX)
}

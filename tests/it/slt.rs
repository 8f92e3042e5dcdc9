//! Runs `tests/slt/*.slt`: each file is the specification of one function, as queries and their results.
//!
//! Every file has a session of its own with the functions and the embedded sample. Values are written as a reader wants
//! them: numbers in the shortest form that reads back the same, instants as `2026-01-01T00:00:00Z`, `NULL`, `(empty)` for
//! empty text; errors without the engine's prefixes; `EXPLAIN` gives the physical plan, a line a row, numbered.
//!
//! `LIQSQL_SLT=liq_map` runs only the files whose name contains that. `LIQSQL_COMPLETE=1 cargo test --test it slt`
//! rewrites the expected results with the actual ones; read every line of the difference before you keep it.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, default_normalizer, default_validator};

/// The planner recurses once per operator in unoptimised code.
const STACK: usize = 16 * 1024 * 1024;

/// Runs a future where its stack is large, also that of spawned tasks.
pub(crate) fn with_large_stack<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work())
    });
    match thread.unwrap().join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Settings under which plans and results are the same on every machine.
pub(crate) fn fixed_config() -> SessionConfig {
    liqsql::session_config().with_target_partitions(2)
}

/// Makes a session with the functions and the sample.
pub(crate) async fn session(config: SessionConfig) -> SessionContext {
    let context = SessionContext::new_with_config(config);
    liqsql::register_all(&context).unwrap();
    liqsql::sql::sample::register(&context).await.unwrap();
    context
}

struct Database {
    context: SessionContext,
}

/// An engine's error in a user's words.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Refusal {
        Refusal(message(&error))
    }
}

/// Strips what the engine puts before and after a message.
pub(crate) fn message(error: &DataFusionError) -> String {
    const PREFIXES: &[&str] = &[
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "Arrow error: ",
        "External: ",
        "Shared error: ",
        "Resources exhausted: ",
        "SQL error: ",
        "Invalid or Unsupported Configuration: ",
    ];
    let text = error.strip_backtrace();
    let mut text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    text.to_owned()
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = Refusal;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refusal> {
        let frame = self.context.sql(sql).await?;
        let fields: Vec<_> = frame.schema().fields().iter().cloned().collect();
        let is_plan = sql.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("explain"));
        let batches = frame.collect().await?;
        if fields.is_empty() || fields.iter().map(|field| field.name().as_str()).eq(["count"]) && is_change(sql) {
            return Ok(DBOutput::StatementComplete(0));
        }
        let rows = if is_plan { plan_lines(&batches) } else { rows_of(&batches) };
        Ok(DBOutput::Rows { types: fields.iter().map(|field| column_type(field.data_type())).collect(), rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "datafusion"
    }
}

fn is_change(sql: &str) -> bool {
    ["insert", "copy"].iter().any(|word| sql.trim_start().to_ascii_lowercase().starts_with(word))
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Dictionary(_, values) => column_type(values),
        DataType::Decimal128(_, _) => DefaultColumnType::FloatingPoint,
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// Runs a query and gives every value as text.
pub(crate) async fn query(context: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let frame = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}\n{}", message(&error)));
    rows_of(&frame.collect().await.unwrap_or_else(|error| panic!("{sql}\n{}", message(&error))))
}

/// Every value of some batches as text.
pub(crate) fn rows_of(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(texts).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
    }
    rows
}

fn texts(array: &ArrayRef) -> Vec<String> {
    let value: Box<dyn Fn(usize) -> String> = match array.data_type() {
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(|row| format!("{:?}", array.value(row)))
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Box::new(|row| format!("{:?}", array.value(row)))
        }
        DataType::Timestamp(_, zone) => {
            let instants = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())).unwrap();
            let instants = instants.as_primitive::<TimestampNanosecondType>().clone();
            Box::new(move |row| {
                let instant = chrono::DateTime::from_timestamp_nanos(instants.value(row));
                instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
            })
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
            return (0..array.len())
                .map(|row| {
                    let text = formatter.value(row).to_string();
                    if array.is_null(row) { "NULL".to_owned() } else { escaped(text) }
                })
                .collect();
        }
    };
    (0..array.len()).map(|row| if array.is_null(row) { "NULL".to_owned() } else { value(row) }).collect()
}

fn escaped(text: String) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text.trim_end().replace('\n', "\\n") }
}

/// The lines of a plan, numbered; a dash for each space of indentation, which a comparison by words would lose.
fn plan_lines(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut lines = Vec::new();
    for batch in batches {
        let plans = cast(batch.column(1), &DataType::Utf8).unwrap();
        for plan in plans.as_string::<i32>().iter().flatten() {
            for line in plan.lines() {
                let text = line.trim_start();
                let indentation = "-".repeat(line.len() - text.len());
                let text = text.replace(root, "ROOT").replace(root.trim_start_matches('/'), "ROOT");
                lines.push(vec![format!("{:02}){indentation}{text}", lines.len() + 1)]);
            }
        }
    }
    lines
}

/// Returns every file of a folder with an extension, sorted.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

async fn run(path: PathBuf, complete: bool) -> Result<(), String> {
    let mut config = fixed_config();
    config.options_mut().explain.physical_plan_only = true;
    config.options_mut().explain.format = datafusion::common::format::ExplainFormat::Indent;
    let context = session(config).await;
    let mut runner = Runner::new(|| {
        let context = context.clone();
        async move { Ok::<_, Refusal>(Database { context }) }
    });
    let types = sqllogictest::strict_column_validator;
    runner.with_column_validator(types);
    let result = if complete {
        let rewritten = runner.update_test_file(&path, " ", default_validator, default_normalizer, types).await;
        rewritten.map_err(|error| error.to_string())
    } else {
        runner.run_file_async(&path).await.map_err(|error| error.display(false).to_string())
    };
    runner.shutdown_async().await;
    result
}

#[test]
fn every_file_gives_its_expected_results() {
    let complete = std::env::var_os("LIQSQL_COMPLETE").is_some();
    let wanted = std::env::var("LIQSQL_SLT").unwrap_or_default();
    let mut failures = Vec::new();
    let mut count = 0;
    for path in files("tests/slt", "slt") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains(&wanted) {
            continue;
        }
        count += 1;
        if let Err(error) = with_large_stack(move || run(path, complete)) {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(count > 0, "no file of tests/slt matches '{wanted}'");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

//! Files as tables: `SELECT * FROM 's3://bucket/dir/*.parquet'`.
//!
//! ```text
//! place ──► some files ──► format and columns       when the statement is planned
//!       ──► all files that the predicates on key=value folders leave ──► scan
//! ```
//!
//! A table holds no list of its files: each scan sees what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider, UrlTableFactory};
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore};

use super::place::{Ending, Keys, Kind, Place, endings, known_endings};
use super::{explanation, problem};
use crate::cli::error::one_line;
use crate::sql::folders::{is_decided_by, passing};

/// Files whose columns are looked at before a statement is planned. Columns that only others have are not seen.
const SAMPLED_FILES: usize = 8;

/// Footers or header lines that are read at the same time.
const CONCURRENT_FOOTERS: usize = 16;

/// Text files whose header lines are compared before a statement is planned. Of more of them, this many, spread evenly.
const COMPARED_FILES: usize = 1000;

/// Bytes from the beginning of a text file in which its header line is looked for.
const HEAD_BYTES: u64 = 64 * 1024;

/// Records of text files from which the types of their columns are told. Prices may be whole numbers for long.
const INFERRED_RECORDS: usize = 20_000;

/// What other programs write for a folder without a value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Makes a table of a name that is a file, a folder, a pattern or a URL.
#[derive(Debug, Default)]
pub(super) struct FileTables {
    /// Knows the session that asks. Its own tables are not asked for.
    pub(super) session: DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for FileTables {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(place) = Place::parse(name)? else { return Ok(None) };
        let session = self.session.session_store().get_session().upgrade();
        let state = session.and_then(|session| session.read().as_any().downcast_ref::<SessionState>().cloned());
        let state = state.ok_or_else(|| problem("the session has ended"))?;
        Ok(Some(Arc::new(FileTable::open(&state, place, None).await?)))
    }
}

/// How files are read, where their endings do not say it.
pub(super) struct Reading {
    pub(super) format: Arc<dyn FileFormat>,
    /// The engine's name of the format.
    pub(super) name: String,
    /// Their columns without those of folders; found out if None.
    pub(super) columns: Option<SchemaRef>,
}

/// Files that are read as one table.
#[derive(Debug)]
pub(super) struct FileTable {
    place: Place,
    format: Arc<dyn FileFormat>,
    /// Only files with this ending; every file if None.
    ending: Option<Ending>,
    /// Columns of the files, then those of their folders, as text.
    schema: TableSchema,
}

impl FileTable {
    /// Looks at some of the files and finds out what they are.
    ///
    /// # Errors
    /// There is nothing to read, or it cannot be read together.
    pub(super) async fn open(state: &SessionState, place: Place, reading: Option<Reading>) -> Result<Self> {
        let store = state.runtime_env().object_store(&place.store_url)?;
        let place = place.resolve(&store).await?;
        let mut files = place.sample(&store).await?;
        if files.is_empty() {
            return Err(place.absent(&store).await);
        }
        let (format, name, columns, ending) = match reading {
            // Every file that a pattern or a name means is one of these; in a folder the endings tell.
            Some(Reading { format, name, columns }) => {
                let ending = if place.is_folder() { Some(only_ending(&place, &files, Some(&name))?) } else { None };
                (format, name, columns, ending)
            }
            None => {
                let ending = only_ending(&place, &files, None)?;
                (format_of(state, ending)?, ending.format.to_owned(), None, Some(ending))
            }
        };
        files.retain(|file| ending.is_none_or(|ending| has_ending(&file.location, ending)));
        let keys = place.keys_of_file(&files[0].location);
        for file in &files {
            check_keys(&place, &keys, &file.location)?;
        }
        let format = if is_array(&store, &format, &files).await? { reading_arrays(&format) } else { format };
        let columns = match columns {
            Some(columns) => columns,
            None => {
                check_headers(state, &store, &place, &format, ending, &files).await?;
                columns_of(state, &store, &place, &format, &name, &files).await?
            }
        };
        // What a folder's name says is the same for all its rows, whatever the file says.
        let fields = columns.fields().iter().filter(|field| !keys.iter().any(|(name, _)| name == field.name()));
        let fields: Vec<_> = fields.cloned().collect();
        let file_schema = Arc::new(Schema::new_with_metadata(fields, columns.metadata().clone()));
        let keys = keys.iter().map(|(name, _)| Arc::new(Field::new(name, DataType::Utf8View, true)));
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(keys.collect::<Vec<_>>()).build();
        Ok(Self { place, format, ending, schema })
    }

    fn is_on_folders(&self, filter: &Expr) -> bool {
        let keys = self.schema.table_partition_cols();
        is_decided_by(filter, |name| keys.iter().any(|key| key.name() == name))
    }

    /// Each file with the values of its folders' names, and with what its footer says.
    async fn described(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        files: Vec<ObjectMeta>,
        with_footers: bool,
    ) -> Result<Vec<PartitionedFile>> {
        let keys = self.schema.table_partition_cols();
        let describe = |file: ObjectMeta| async move {
            let values: HashMap<String, String> = self.place.keys_of_file(&file.location).into_iter().collect();
            let columns = Arc::clone(self.schema.file_schema());
            let (statistics, order) = match with_footers {
                true => {
                    let said = self.format.infer_stats_and_ordering(state, store, columns, &file).await?;
                    (said.statistics, said.ordering)
                }
                false => (Statistics::new_unknown(&columns), None),
            };
            let mut described = PartitionedFile::new_from_meta(file);
            described.partition_values = keys
                .iter()
                .map(|key| ScalarValue::Utf8View(values.get(key.name()).filter(|value| *value != NO_VALUE).cloned()))
                .collect();
            Ok::<_, DataFusionError>(described.with_statistics(Arc::new(statistics)).with_ordering(order))
        };
        futures::stream::iter(files).map(describe).buffered(CONCURRENT_FOOTERS).try_collect().await
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let decide = |filter: &&Expr| match self.is_on_folders(filter) {
            true => TableProviderFilterPushDown::Exact,
            // The engine pushes it into the Parquet reader by itself.
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(decide).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = state.runtime_env().object_store(&self.place.store_url)?;
        let (on_folders, others): (Vec<&Expr>, Vec<&Expr>) =
            filters.iter().partition(|filter| self.is_on_folders(filter));
        let wanted = |keys: &Keys| passes(keys, &on_folders, state);
        let wanted: Option<super::place::Wanted<'_>> = if on_folders.is_empty() { None } else { Some(&wanted) };
        let mut files = self.place.list(&store, wanted).await?;
        files.retain(|file| file.size > 0 && self.ending.is_none_or(|ending| has_ending(&file.location, ending)));
        let expected: Keys =
            self.schema.table_partition_cols().iter().map(|key| (key.name().clone(), String::new())).collect();
        for file in &files {
            check_keys(&self.place, &expected, &file.location)?;
        }
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        // Footers say which files a predicate leaves out. They are read once: the scan finds them remembered. A query that
        // wants a few rows of anything does not need them all.
        let with_footers = state.config().collect_statistics() && (limit.is_none() || !others.is_empty());
        let files = self.described(state, &store, files, with_footers).await?;
        let statistics: Vec<&Statistics> = files.iter().filter_map(|file| file.statistics.as_deref()).collect();
        let statistics = Statistics::try_merge_iter(statistics, self.schema.table_schema())?;
        // An order that all files have is theirs together if their times follow one another, which the engine checks.
        let order = files[0].ordering.clone().filter(|order| files.iter().all(|f| f.ordering.as_ref() == Some(order)));
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        // An array cannot be read from its middle. The engine would do so with large ones; what says how its parts are
        // divided, it does not divide again.
        let is_whole = self.format.downcast_ref::<JsonFormat>().is_some_and(|json| !json.is_newline_delimited());
        let partitioning = is_whole.then(|| Partitioning::UnknownPartitioning(groups.len()));
        let source = self.format.file_source(self.schema.clone());
        let config = FileScanConfigBuilder::new(self.place.store_url.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(order.into_iter().collect())
            .with_output_partitioning(partitioning)
            .build();
        self.format.create_physical_plan(state, config).await
    }
}

fn has_ending(location: &Path, ending: Ending) -> bool {
    location.filename().and_then(Ending::of) == Some(ending)
}

/// The one ending that all readable files have; of this format, if one is named.
fn only_ending(place: &Place, files: &[ObjectMeta], format: Option<&str>) -> Result<Ending> {
    let names = || files.iter().filter_map(|file| file.location.filename());
    let mut found: BTreeMap<Ending, usize> = BTreeMap::new();
    for ending in names().filter_map(Ending::of).filter(|ending| format.is_none_or(|format| ending.format == format)) {
        *found.entry(ending).or_default() += 1;
    }
    let shown = place.shown();
    match (found.len(), format) {
        (1, _) => {}
        (0, Some(format)) => {
            return Err(problem(format!("'{shown}' holds no {format} files, only {}", endings(names()))));
        }
        (0, None) if place.is_folder() || place.is_pattern() => {
            return Err(problem(format!("'{shown}' holds only {}; looked for {}", endings(names()), known_endings())));
        }
        (0, None) => {
            return Err(problem(format!(
                "cannot tell what is in '{shown}' by its ending: known are {}; or say it with CREATE EXTERNAL TABLE t \
                 STORED AS … LOCATION '{shown}'",
                known_endings()
            )));
        }
        _ => {
            let readable = names().find(|name| Ending::of(name).is_some()).unwrap_or_default();
            let one = readable.find('.').map_or("", |dot| &readable[dot..]);
            let folder = if shown.ends_with('/') { shown } else { "" };
            return Err(problem(format!(
                "'{shown}' holds files of several kinds: {}; name one, such as '{folder}*{one}'",
                endings(names())
            )));
        }
    }
    let first = found.into_keys().next();
    first.ok_or_else(|| problem(format!("'{shown}' holds nothing to read")))
}

fn format_of(state: &SessionState, ending: Ending) -> Result<Arc<dyn FileFormat>> {
    let factory = state
        .get_file_format_factory(ending.format)
        .ok_or_else(|| problem(format!("files of the format '{}' cannot be read", ending.format)))?;
    let mut options = HashMap::new();
    if let Some(compression) = ending.compression {
        options.insert("format.compression".to_owned(), compression.to_owned());
    }
    if ending.is_tabbed {
        options.insert("format.delimiter".to_owned(), "\t".to_owned());
    }
    if matches!(ending.format, "csv" | "json") {
        options.insert("format.schema_infer_max_rec".to_owned(), INFERRED_RECORDS.to_string());
    }
    factory.create(state, &options)
}

/// All files must lie in folders with the same keys, each of them once: there is no sense in a column that some files
/// do not have, or have twice.
fn check_keys(place: &Place, expected: &Keys, location: &Path) -> Result<()> {
    let keys = place.keys_of_file(location);
    let mut before = BTreeSet::new();
    if let Some((name, _)) = keys.iter().find(|(name, _)| !before.insert(name.as_str())) {
        let file = match place.relative(location) {
            // It is the place itself.
            file if file.is_empty() => place.shown().to_owned(),
            file => file,
        };
        return Err(problem(format!(
            "'{}' cannot be one table: '{file}' lies in two folders '{name}=…', and only one of them can be the column",
            place.shown()
        )));
    }
    let names = |keys: &Keys| keys.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("=…/");
    if expected.iter().map(|(name, _)| name).eq(keys.iter().map(|(name, _)| name)) {
        return Ok(());
    }
    let folders = |keys: &Keys| match keys.len() {
        0 => "no key=value folders".to_owned(),
        _ => format!("folders '{}=…'", names(keys)),
    };
    Err(problem(format!(
        "'{}' mixes files of different folders: '{}' is in {}, others are in {}",
        place.shown(),
        place.relative(location),
        folders(&keys),
        folders(expected)
    )))
}

/// A file as the user would write it.
fn written(place: &Place, location: &Path) -> String {
    let shown = place.shown();
    let folder = match place.is_folder() {
        true => shown,
        false => {
            let fixed = &shown[..shown.find(['*', '?', '[']).unwrap_or(shown.len())];
            fixed.rfind('/').map_or("", |slash| &fixed[..=slash])
        }
    };
    let slash = if folder.is_empty() || folder.ends_with('/') { "" } else { "/" };
    format!("{folder}{slash}{}", place.relative(location))
}

/// The beginning of a file; of a compressed one all of it, since a part of it may not be readable. What is not asked of
/// it is not sent.
async fn beginning(store: &Arc<dyn ObjectStore>, file: &ObjectMeta, is_compressed: bool) -> Result<GetResult> {
    let range = (!is_compressed).then(|| (0..file.size.min(HEAD_BYTES)).into());
    let options = GetOptions { range, ..GetOptions::default() };
    store.get_opts(&file.location, options).await.map_err(|error| DataFusionError::ObjectStore(Box::new(error)))
}

/// Whether files that would be read as one object a line hold an array of objects, by the first of them.
pub(super) async fn is_array(
    store: &Arc<dyn ObjectStore>,
    format: &Arc<dyn FileFormat>,
    files: &[ObjectMeta],
) -> Result<bool> {
    let Some(json) = format.downcast_ref::<JsonFormat>().filter(|json| json.is_newline_delimited()) else {
        return Ok(false);
    };
    let Some(file) = files.iter().find(|file| file.size > 0) else { return Ok(false) };
    let compression = FileCompressionType::from(json.options().compression);
    let head = beginning(store, file, compression.is_compressed()).await?;
    let bytes = head.into_stream().map_err(|error| DataFusionError::ObjectStore(Box::new(error))).boxed();
    let mut bytes = compression.convert_stream(bytes)?;
    loop {
        match bytes.try_next().await {
            Ok(Some(chunk)) => {
                if let Some(byte) = chunk.iter().find(|byte| !byte.is_ascii_whitespace()) {
                    return Ok(*byte == b'[');
                }
            }
            Ok(None) => return Ok(false),
            Err(error) if explanation(&error).is_some() => return Err(error),
            // What it is not is said when its columns are looked at.
            Err(_) => return Ok(false),
        }
    }
}

fn reading_arrays(format: &Arc<dyn FileFormat>) -> Arc<dyn FileFormat> {
    match format.downcast_ref::<JsonFormat>() {
        Some(json) => {
            let options = json.options().clone();
            Arc::new(JsonFormat::default().with_options(options).with_newline_delimited(false))
        }
        None => Arc::clone(format),
    }
}

/// Text files are read by the positions of their columns: all of them must have the same ones in the same order.
///
/// Of a place that is not on this disk only the files that were looked at are compared, and at most [`COMPARED_FILES`]:
/// listing all of a large bucket may take minutes.
///
/// # Errors
/// A file has other columns than the first one, or cannot be read.
pub(super) async fn check_headers(
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    place: &Place,
    format: &Arc<dyn FileFormat>,
    ending: Option<Ending>,
    files: &[ObjectMeta],
) -> Result<()> {
    let Some(csv) = format.downcast_ref::<CsvFormat>() else { return Ok(()) };
    let options = csv.options();
    let has_header = options.has_header.unwrap_or(state.config_options().catalog.has_header);
    if !has_header || !(place.is_folder() || place.is_pattern()) {
        return Ok(());
    }
    let mut files = match place.kind {
        Kind::Local => place.list(store, None).await?,
        _ => files.to_vec(),
    };
    files.retain(|file| file.size > 0 && ending.is_none_or(|ending| has_ending(&file.location, ending)));
    if files.len() < 2 {
        return Ok(());
    }
    let (count, last) = (files.len().min(COMPARED_FILES), files.len() - 1);
    let compared: Vec<ObjectMeta> = (0..count).map(|i| files[i * last / (count - 1)].clone()).collect();
    let may_be_shorter = options.truncated_rows == Some(true);
    let is_compressed = options.compression.is_compressed();
    let read = |file: ObjectMeta| async move {
        let head = beginning(store, &file, is_compressed).await?;
        let bytes = head.into_stream().map_err(|error| DataFusionError::ObjectStore(Box::new(error))).boxed();
        let lines = csv.read_to_delimited_chunks_from_stream(bytes);
        // No record is looked at: the header line alone is read.
        let (schema, _) = match csv.infer_schema_from_stream(state, 0, lines).await {
            Ok(read) => read,
            Err(error) if explanation(&error).is_some() => return Err(error),
            Err(error) => {
                let file = written(place, &file.location);
                return Err(problem(format!("'{file}' cannot be read as csv: {}", one_line(&error))));
            }
        };
        // Some programs begin every file with a mark of its encoding.
        let names = schema.fields().iter().map(|field| field.name().trim_start_matches('\u{feff}').to_owned());
        Ok::<_, DataFusionError>((file.location, names.collect::<Vec<String>>()))
    };
    let mut found = futures::stream::iter(compared).map(read).buffered(CONCURRENT_FOOTERS);
    let mut first: Option<(Path, Vec<String>)> = None;
    while let Some((location, columns)) = found.try_next().await? {
        // Blank lines are no columns.
        if columns.is_empty() {
            continue;
        }
        let Some((first_location, expected)) = &first else {
            first = Some((location, columns));
            continue;
        };
        let is_same = match may_be_shorter {
            true => expected.iter().zip(&columns).all(|(one, other)| one == other),
            false => *expected == columns,
        };
        if !is_same {
            return Err(problem(format!(
                "'{}' has columns {}, but '{}' has {}: CSV files read together must have the same columns in the same \
                 order",
                written(place, &location),
                columns.join(", "),
                written(place, first_location),
                expected.join(", ")
            )));
        }
    }
    Ok(())
}

/// The columns of some files, the first and the last among them: what was added later is in the last.
async fn columns_of(
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    place: &Place,
    format: &Arc<dyn FileFormat>,
    name: &str,
    files: &[ObjectMeta],
) -> Result<SchemaRef> {
    let full: Vec<&ObjectMeta> = files.iter().filter(|file| file.size > 0).collect();
    if full.is_empty() {
        return Err(problem(format!("'{}' is empty", place.shown())));
    }
    let last = full.len() - 1;
    let count = full.len().min(SAMPLED_FILES);
    let sampled: Vec<ObjectMeta> = (0..count).map(|i| full[i * last / (count - 1).max(1)].clone()).collect();
    let error = match format.infer_schema(state, store, &sampled).await {
        Ok(schema) => return Ok(schema),
        Err(error) => error,
    };
    if explanation(&error).is_some() {
        return Err(error);
    }
    let mut each = Vec::with_capacity(sampled.len());
    for file in &sampled {
        match format.infer_schema(state, store, std::slice::from_ref(file)).await {
            Ok(schema) => each.push(schema),
            Err(error) => {
                let file = if full.len() == 1 { place.shown().to_owned() } else { place.relative(&file.location) };
                return Err(problem(format!("'{file}' cannot be read as {name}: {}", one_line(&error))));
            }
        }
    }
    let is_csv = format.downcast_ref::<CsvFormat>().is_some();
    if (is_csv || format.downcast_ref::<JsonFormat>().is_some())
        && let Some(schema) = widened(&each, is_csv)
    {
        return Ok(schema);
    }
    Err(problem(format!("the files of '{}' cannot be read together: {}", place.shown(), one_line(&error))))
}

/// The columns of text files, each of a type for what it is in any of them: the prices of one file may be whole
/// numbers. None if there is no such type.
fn widened(schemas: &[SchemaRef], is_csv: bool) -> Option<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for field in schemas.iter().flat_map(|schema| schema.fields().iter()) {
        let Some(at) = fields.iter().position(|known| known.name() == field.name()) else {
            fields.push(field.as_ref().clone());
            continue;
        };
        let wide = match (fields[at].data_type(), field.data_type()) {
            (one, other) if one == other => continue,
            (_, DataType::Null) => continue,
            (DataType::Null, other) => other.clone(),
            (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
            // As within one file. Anything in CSV is a text, but not in JSON.
            _ if is_csv => DataType::Utf8,
            _ => return None,
        };
        fields[at] = fields[at].clone().with_data_type(wide);
    }
    Some(Arc::new(Schema::new(fields)))
}

/// Whether what is known of a folder passes the predicates that can be decided by it.
fn passes(keys: &Keys, filters: &[&Expr], state: &dyn Session) -> Result<bool> {
    let is_known = |name: &str| keys.iter().any(|(known, _)| known == name);
    let decidable: Vec<&Expr> = filters.iter().copied().filter(|filter| is_decided_by(filter, is_known)).collect();
    let fields = keys.iter().map(|(name, _)| Field::new(name, DataType::Utf8View, true));
    let columns = keys.iter().map(|(_, value)| {
        let value = (value != NO_VALUE).then_some(value.as_str());
        Arc::new(StringViewArray::from(vec![value])) as ArrayRef
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(schema, columns.collect(), &options)?;
    Ok(passing(&row, &decidable, state)? == [true])
}

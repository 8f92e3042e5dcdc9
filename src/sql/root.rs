//! Market tables under a data root: a folder or a bucket in the layout of the market tables.
//!
//! ```text
//! {root}/candles/exchange=binance/symbol=BTCUSDT/year=2026/part.parquet
//! {root}/trades/exchange=binance/symbol=BTCUSDT/date=2026-01-31/part.parquet
//! {root}/candles.parquet                                     one file for all keys is fine, too
//! ```
//!
//! Only the folders below a table's say something of its files; what begins with `_` or `.` is no part of it, and
//! whatever else lies elsewhere than in `exchange=…/symbol=…/` is an error.
//!
//! A scan lists the folders, keeps the keys and times that the query asks for, and gives each partition a run of whole
//! keys, one after the other, each in order of time. That is declared: partitioned by ranges of (exchange, symbol),
//! ordered by (exchange, symbol, ts). So a function over 1, 2 or 100 keys needs neither sort nor exchange, and holds the
//! state of one key at a time. All tables of a root split their keys at the same places, those of the candles, so that
//! their partitions belong together.
//!
//! In a bucket every list is a request. With predicates on the key, a scan makes one for the table, one for each exchange
//! that passes, and one for each key that passes; without, one for a thousand files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{Datelike, NaiveDate};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{
    DataFusionError, Result, ScalarValue, SplitPoint, Statistics, exec_datafusion_err, plan_datafusion_err, plan_err,
    project_schema, stats::Precision,
};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::options::ParquetReadOptions;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr, RangePartitioning};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore};

use super::bounds::TimeBounds;
use super::folders::{is_decided_by, is_hidden, key_value, passing};
use super::keys::Key;
use crate::market::tables::{TABLES, Table};

/// Requests for lists that are under way at the same time, for each table.
const CONCURRENT_LISTS: usize = 16;

/// Bytes read from the end of a file, which should hold its metadata and indexes: those of a year of minutes take a tenth,
/// those of a day of five million trades half. The engine's default is four times as much, of each of thousands of files.
const FOOTER: usize = 128 * 1024;

/// Files that a store lists in one request.
const PAGE: usize = 1000;

/// Registers the market tables found under a root and returns their names.
///
/// `root` is a folder or the URL of a store that the session knows.
///
/// # Errors
///
/// The root is a URL with a user or a query, cannot be listed, or holds no market table.
pub async fn register(context: &SessionContext, root: &str) -> Result<Vec<String>> {
    // What may be secret is not repeated: every message below this one names the root.
    if is_more_than_a_place(root) {
        return plan_err!("a data root must be a folder or a URL without user, password and query");
    }
    if !root.contains("://") && !std::path::Path::new(root).is_dir() {
        return plan_err!("data root '{root}' must be a folder, there is none of that name");
    }
    let with_slash = if root.ends_with('/') { root.to_owned() } else { format!("{root}/") };
    let url = ListingTableUrl::parse(&with_slash)
        .map_err(|error| plan_datafusion_err!("data root '{root}' is not a folder or a URL: {}", error.message()))?;
    let store_url = url.object_store();
    let store = context.runtime_env().object_store(&store_url)?;
    let folder = url.prefix().clone();
    let listed = store
        .list_with_delimiter(Some(&folder))
        .await
        .map_err(|error| object_error(error).context(format!("data root '{root}' cannot be listed")))?;
    let folders: BTreeSet<String> =
        listed.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
    let files: BTreeSet<String> =
        listed.objects.iter().filter_map(|o| o.location.filename().map(str::to_owned)).collect();
    let location = Location { store_url: store_url.clone(), root: folder.clone() };
    let opened = TABLES.iter().filter(|table| folders.contains(table.name)).map(|table| {
        let location = location.clone();
        async move { Ok::<_, DataFusionError>((table, RootTable::try_new(context, table, location).await?)) }
    });
    let opened = futures::future::try_join_all(opened).await?;
    let mut names = Vec::new();
    for table in TABLES {
        if let Some((_, provider)) = opened.iter().find(|(opened, _)| opened.name == table.name) {
            if let Some(provider) = provider {
                context.register_table(table.name, Arc::new(provider.clone()))?;
                names.push(table.name.to_owned());
            }
        } else if files.contains(&format!("{}.parquet", table.name)) {
            register_file(context, table, &format!("{with_slash}{}.parquet", table.name)).await?;
            names.push(table.name.to_owned());
        }
    }
    if names.is_empty() {
        let known: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let there: Vec<String> = folders.into_iter().map(|folder| format!("{folder}/")).chain(files).collect();
        return plan_err!(
            "data root '{root}' holds no market table; looked for a folder or a .parquet file named {}; {}",
            known.join(", "),
            match there.len() {
                0 => "it is empty".to_owned(),
                1..=8 => format!("it holds {}", there.join(", ")),
                more => format!("it holds {} and {} more", there[..8].join(", "), more - 8),
            }
        );
    }
    Ok(names)
}

/// Whether a URL has a user, a password, a query or a fragment.
fn is_more_than_a_place(root: &str) -> bool {
    let Some((scheme, rest)) = root.split_once("://") else { return false };
    // Only of a file may the host be left out; elsewhere further slashes are a mistake before it.
    let place = if scheme.eq_ignore_ascii_case("file") { rest } else { rest.trim_start_matches('/') };
    let host = place.split('/').next().unwrap_or_default();
    // A password that is not written as it should be may hold a slash.
    let has_user = host.contains('@') || (host.contains(':') && place.contains('@'));
    has_user || place.contains(['?', '#'])
}

/// Registers one file that holds all keys, in order of time.
pub(crate) async fn register_file(context: &SessionContext, table: &Table, url: &str) -> Result<()> {
    let mut options = ParquetReadOptions::default();
    if table.columns.iter().any(|column| column.name == "ts") {
        options = options.file_sort_order(vec![vec![col("ts").sort(true, false)]]);
    }
    context.register_parquet(table.name, url, options).await
}

/// Where a root is.
#[derive(Debug, Clone)]
struct Location {
    store_url: ObjectStoreUrl,
    root: Path,
}

impl Location {
    fn folder(&self, table: &str) -> Path {
        self.root.clone().join(table)
    }
}

/// A market table under a root.
#[derive(Debug, Clone)]
struct RootTable {
    table: &'static Table,
    location: Location,
    /// Columns of the files, then the keys, which are in the folders' names.
    schema: TableSchema,
    /// The same with the keys where the market table has them, and where each column is in `schema`.
    shown: SchemaRef,
    positions: Vec<usize>,
    has_time: bool,
}

/// A file and what its path says of it.
#[derive(Debug, Clone)]
struct Found {
    key: Key,
    /// First and last instant that its folder allows.
    from: i64,
    to: i64,
    meta: ObjectMeta,
}

impl RootTable {
    /// Makes the provider; `None` if the folder holds no file.
    ///
    /// The newest file of the first and of the last symbol of each exchange tells the columns: what an exchange adds, and
    /// what was added to a table later, is in it. That is, for each exchange, at most one list of symbols, two lists of
    /// files and two footers, all at once.
    async fn try_new(context: &SessionContext, table: &'static Table, location: Location) -> Result<Option<RootTable>> {
        let store = context.runtime_env().object_store(&location.store_url)?;
        let state = context.state();
        let keys = key_folders(&store, &location, table.name, &[], &state).await?;
        let mut sampled: BTreeSet<&Key> = BTreeSet::new();
        let exchanges: BTreeSet<&str> = keys.keys().map(|key| key.exchange.as_str()).collect();
        for exchange in exchanges {
            let mut symbols = keys.keys().filter(|key| key.exchange == exchange);
            sampled.extend(symbols.next());
            sampled.extend(symbols.next_back());
        }
        let folders = sampled.iter().filter_map(|key| keys.get(*key)).flatten().cloned().collect();
        let mut files = list(&store, table, &location, folders).await?;
        if files.is_empty() {
            files = list(&store, table, &location, vec![location.folder(table.name)]).await?;
        }
        let mut newest: BTreeMap<&Key, &Found> = BTreeMap::new();
        for file in &files {
            newest.insert(&file.key, file);
        }
        if newest.is_empty() {
            return Ok(None);
        }
        let newest: Vec<ObjectMeta> = newest.into_values().map(|file| file.meta.clone()).collect();
        let format = parquet_format(&state);
        let file_schema = format.infer_schema(&state, &store, &newest).await.map_err(|error| {
            if matches!(error.find_root(), DataFusionError::ObjectStore(_)) {
                return error;
            }
            exec_datafusion_err!(
                "{}: the files under '{}' cannot be read together: {}",
                table.name,
                location.folder(table.name),
                error.message()
            )
        })?;
        let fields: Vec<_> = file_schema
            .fields()
            .iter()
            .filter(|field| !matches!(field.name().as_str(), "exchange" | "symbol"))
            .cloned()
            .collect();
        let has_time = fields.iter().any(|field| field.name() == "ts");
        let keys = ["exchange", "symbol"].map(|name| Arc::new(Field::new(name, DataType::Utf8View, false)));
        let schema =
            TableSchema::builder(Arc::new(Schema::new(fields))).with_table_partition_cols(keys.to_vec()).build();
        let full = schema.table_schema();
        let of_table = table.columns.iter().filter_map(|column| full.index_of(column.name).ok());
        let mut positions: Vec<usize> = of_table.collect();
        positions.extend((0..full.fields().len()).filter(|position| !positions.contains(position)).collect::<Vec<_>>());
        let shown = Arc::new(full.project(&positions)?);
        Ok(Some(RootTable { table, location, schema, shown, positions, has_time }))
    }

    /// The files that pass predicates on their keys, by key and time.
    async fn files(&self, store: &Arc<dyn ObjectStore>, on_key: &[&Expr], state: &dyn Session) -> Result<Vec<Found>> {
        let folder = self.location.folder(self.table.name);
        if on_key.is_empty() {
            // One list after the other, of a thousand files each; more than that many are listed side by side, by key.
            let some: Vec<ObjectMeta> =
                store.list(Some(&folder)).take(PAGE + 1).try_collect().await.map_err(object_error)?;
            if some.len() <= PAGE {
                return read_paths(some, self.table, &folder);
            }
        }
        let keys = key_folders(store, &self.location, self.table.name, on_key, state).await?;
        list(store, self.table, &self.location, keys.into_values().flatten().collect()).await
    }

    /// Whether predicates on time leave out an instant.
    fn leave_out(&self, filters: &[Expr], instant: i64, state: &dyn Session) -> Result<bool> {
        let Ok(field) = self.shown.field_with_name("ts") else { return Ok(false) };
        let instant = ScalarValue::TimestampMillisecond(Some(instant), Some("UTC".into()));
        let Ok(instant) = instant.cast_to(field.data_type()) else { return Ok(false) };
        let schema = Arc::new(Schema::new(vec![field.clone()]));
        let batch = RecordBatch::try_new(schema, vec![instant.to_array()?])?;
        let on_time: Vec<&Expr> = filters.iter().filter(|filter| is_decided_by(filter, |name| name == "ts")).collect();
        Ok(passing(&batch, &on_time, state)? != [true])
    }

    /// The keys of the root's candles that pass predicates; `None` where there are no candles, or nothing to split.
    async fn keys_to_split(
        &self,
        store: &Arc<dyn ObjectStore>,
        on_key: &[&Expr],
        state: &dyn Session,
    ) -> Result<Option<BTreeSet<Key>>> {
        if self.table.name == "candles" || state.config().target_partitions() == 1 {
            return Ok(None);
        }
        let location = &self.location;
        let keys: BTreeSet<Key> = key_folders(store, location, "candles", on_key, state).await?.into_keys().collect();
        let any = !keys.is_empty() || !key_folders(store, location, "candles", &[], state).await?.is_empty();
        Ok(any.then_some(keys))
    }
}

/// The folders of the keys that pass predicates: one list of exchanges, and one of symbols for each that passes.
///
/// A key has several folders if their names are different codes of the same value.
async fn key_folders(
    store: &Arc<dyn ObjectStore>,
    location: &Location,
    table: &str,
    on_key: &[&Expr],
    state: &dyn Session,
) -> Result<BTreeMap<Key, Vec<Path>>> {
    let listed = store.list_with_delimiter(Some(&location.folder(table))).await.map_err(object_error)?;
    let mut exchanges: BTreeMap<Key, Vec<Path>> = BTreeMap::new();
    for (exchange, folder) in folders_of(listed, table, "exchange")? {
        exchanges.entry(Key { exchange, symbol: String::new() }).or_default().push(folder);
    }
    let on_exchange: Vec<&Expr> = on_key
        .iter()
        .filter(|filter| filter.column_refs().iter().all(|column| column.name == "exchange"))
        .copied()
        .collect();
    let passing_exchanges = keys_passing(exchanges.keys().cloned().collect(), &on_exchange, state)?;
    let mut wanted: Vec<(String, Path)> = Vec::new();
    for key in passing_exchanges {
        let folders = exchanges.remove(&key).unwrap_or_default();
        wanted.extend(folders.into_iter().map(|folder| (key.exchange.clone(), folder)));
    }
    let listed: Vec<(String, ListResult)> = futures::stream::iter(wanted)
        .map(|(exchange, folder)| async move {
            let symbols = store.list_with_delimiter(Some(&folder)).await.map_err(object_error)?;
            Ok::<_, DataFusionError>((exchange, symbols))
        })
        .buffered(CONCURRENT_LISTS)
        .try_collect()
        .await?;
    let mut folders: BTreeMap<Key, Vec<Path>> = BTreeMap::new();
    for (exchange, symbols) in listed {
        for (symbol, folder) in folders_of(symbols, table, "symbol")? {
            folders.entry(Key { exchange: exchange.clone(), symbol }).or_default().push(folder);
        }
    }
    let passing = keys_passing(folders.keys().cloned().collect(), on_key, state)?;
    folders.retain(|key, _| passing.contains(key));
    Ok(folders)
}

fn object_error(error: object_store::Error) -> DataFusionError {
    DataFusionError::ObjectStore(Box::new(error))
}

fn parquet_format(state: &dyn Session) -> ParquetFormat {
    let mut options = state.default_table_options().parquet;
    // What a user has set holds.
    if options.global.metadata_size_hint == TableParquetOptions::default().global.metadata_size_hint {
        options.global.metadata_size_hint = Some(FOOTER);
    }
    ParquetFormat::default().with_options(options)
}

/// Reads `exchange=binance`, if the folder is of this key.
fn value_of(folder: &str, name: &str) -> Option<String> {
    let (key, value) = key_value(folder)?;
    (key == name).then_some(value)
}

/// The folders of a key in a list, with their values.
///
/// What [`read_paths`] refuses is refused here, too: a predicate must not hide it.
fn folders_of(listed: ListResult, table: &str, name: &str) -> Result<Vec<(String, Path)>> {
    let is_stray = |file: &&ObjectMeta| is_parquet(file) && !file.location.filename().is_some_and(is_hidden);
    if let Some(file) = listed.objects.iter().find(is_stray) {
        return Err(misplaced(table, file.location.as_ref()));
    }
    let mut folders = Vec::with_capacity(listed.common_prefixes.len());
    for folder in listed.common_prefixes {
        let segment = folder.filename().unwrap_or_default();
        if is_hidden(segment) {
            continue;
        }
        match value_of(segment, name) {
            Some(value) => folders.push((value, folder)),
            None => return Err(misplaced(table, &format!("{folder}/"))),
        }
    }
    Ok(folders)
}

fn misplaced(table: &str, place: &str) -> DataFusionError {
    exec_datafusion_err!("{table}: '{place}' does not lie in folders exchange=…/symbol=…")
}

fn is_parquet(file: &ObjectMeta) -> bool {
    file.location.extension() == Some("parquet") && file.size > 0
}

/// Lists the Parquet files in some folders of a table with what their paths say, by key and time.
async fn list(
    store: &Arc<dyn ObjectStore>,
    table: &Table,
    location: &Location,
    folders: Vec<Path>,
) -> Result<Vec<Found>> {
    let listed: Vec<Vec<ObjectMeta>> = futures::stream::iter(folders)
        .map(|folder| async move { store.list(Some(&folder)).try_collect::<Vec<_>>().await })
        .buffered(CONCURRENT_LISTS)
        .try_collect()
        .await
        .map_err(object_error)?;
    read_paths(listed.into_iter().flatten().collect(), table, &location.folder(table.name))
}

/// Reads what the paths of Parquet files say of them, from the table's folder on.
fn read_paths(listed: Vec<ObjectMeta>, table: &Table, folder: &Path) -> Result<Vec<Found>> {
    let mut files = Vec::with_capacity(listed.len());
    for meta in listed.into_iter().filter(is_parquet) {
        // Where the root is says nothing of the files: it may well be in a folder `date=…` itself.
        let below: Vec<String> = match meta.location.prefix_match(folder) {
            Some(segments) => segments.map(|segment| segment.as_ref().to_owned()).collect(),
            None => Vec::new(),
        };
        if below.iter().any(|segment| is_hidden(segment)) {
            continue;
        }
        match read_segments(&below) {
            Some((key, from, to)) => files.push(Found { key, from, to, meta }),
            None => return Err(misplaced(table.name, meta.location.as_ref())),
        }
    }
    files.sort_by(|a, b| (&a.key, a.from, &a.meta.location).cmp(&(&b.key, b.from, &b.meta.location)));
    Ok(files)
}

/// What a file's folders below its table's say: the key, and the first and last instant. None if they are others than
/// those of the layout.
fn read_segments(below: &[String]) -> Option<(Key, i64, i64)> {
    let [exchange, symbol, folders @ .., _] = below else { return None };
    let key = Key { exchange: value_of(exchange, "exchange")?, symbol: value_of(symbol, "symbol")? };
    let (mut from, mut to) = (i64::MIN, i64::MAX);
    for folder in folders {
        match key_value(folder) {
            // Which of the two would count?
            Some(("exchange" | "symbol", _)) => return None,
            Some(("year", value)) => {
                if let Some(first) = value.parse().ok().and_then(|year| NaiveDate::from_ymd_opt(year, 1, 1)) {
                    (from, to) = (start_of(first), start_of(first.with_year(first.year() + 1).unwrap_or(first)) - 1);
                }
            }
            Some(("date", value)) => {
                if let Ok(date) = value.parse::<NaiveDate>() {
                    (from, to) = (start_of(date), start_of(date) + 86_400_000 - 1);
                }
            }
            _ => {}
        }
    }
    Some((key, from, to))
}

fn start_of(date: NaiveDate) -> i64 {
    date.and_hms_opt(0, 0, 0).map_or(0, |time| time.and_utc().timestamp_millis())
}

/// Keeps the keys that pass predicates on `exchange` and `symbol`.
fn keys_passing(keys: BTreeSet<Key>, filters: &[&Expr], state: &dyn Session) -> Result<BTreeSet<Key>> {
    let schema =
        Arc::new(Schema::new(["exchange", "symbol"].map(|name| Field::new(name, DataType::Utf8View, false)).to_vec()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(keys.iter().map(|key| &key.exchange))),
        Arc::new(StringViewArray::from_iter_values(keys.iter().map(|key| &key.symbol))),
    ];
    let passes = passing(&RecordBatch::try_new(schema, columns)?, filters, state)?;
    Ok(keys.into_iter().zip(passes).filter(|(_, passes)| *passes).map(|(key, _)| key).collect())
}

/// Whether a predicate can be decided from the key alone.
fn is_on_key(filter: &Expr) -> bool {
    is_decided_by(filter, |name| matches!(name, "exchange" | "symbol"))
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8View(Some(value.to_owned()))
}

#[async_trait]
impl TableProvider for RootTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shown)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if is_on_key(filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    // Bounds on time leave out files; the engine pushes the rest into the Parquet reader by itself.
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = state.runtime_env().object_store(&self.location.store_url)?;
        let bounds = TimeBounds::of("ts", filters);
        let on_key: Vec<&Expr> = filters.iter().filter(|filter| is_on_key(filter)).collect();
        let (mut files, to_split) =
            futures::try_join!(self.files(&store, &on_key, state), self.keys_to_split(&store, &on_key, state))?;
        let to_split = to_split.unwrap_or_else(|| files.iter().map(|file| file.key.clone()).collect());
        // `ts < midnight` does not want the file that begins at midnight.
        let without_end = match bounds.to {
            Some(to) => self.leave_out(filters, to, state)?,
            None => false,
        };
        let begins = |file: &Found, to: i64| file.from < to || (file.from == to && !without_end);
        let reaches = |file: &Found| {
            bounds.from.is_none_or(|from| file.to >= from) && bounds.to.is_none_or(|to| begins(file, to))
        };
        files.retain(reaches);
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let splits = splits(&to_split, state.config().target_partitions());
        let schema = self.schema.table_schema();
        let sorted = |name: &str| -> Result<PhysicalSortExpr> {
            let options = SortOptions { descending: false, nulls_first: false };
            Ok(PhysicalSortExpr::new(Arc::new(Column::new_with_schema(name, schema)?), options))
        };
        let keys = [sorted("exchange")?, sorted("symbol")?];
        let mut orders = vec![keys.to_vec()];
        if self.has_time {
            orders[0].push(sorted("ts")?);
            // One key alone is in order of time.
            if files.iter().all(|file| file.key == files[0].key) {
                orders.push(vec![sorted("ts")?]);
            }
        }
        let groups = self.groups(files, &splits);
        let partitioning = LexOrdering::new(keys).map(|keys| {
            let points = splits.iter().map(|key| SplitPoint::new(vec![text(&key.exchange), text(&key.symbol)]));
            RangePartitioning::try_new(keys, points.collect()).map(Partitioning::Range)
        });
        let projection = match projection {
            Some(projection) => projection.iter().map(|&column| self.positions[column]).collect(),
            None => self.positions.clone(),
        };
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let config = FileScanConfigBuilder::new(self.location.store_url.clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .with_output_ordering(orders.into_iter().filter_map(LexOrdering::new).collect())
            .with_output_partitioning(partitioning.transpose()?)
            .build();
        parquet_format(state).create_physical_plan(state, config).await
    }
}

/// Returns the first key of every partition but the first: whole keys, as evenly by number as can be.
fn splits(keys: &BTreeSet<Key>, partitions: usize) -> Vec<Key> {
    let count = partitions.clamp(1, keys.len().max(1));
    let keys: Vec<&Key> = keys.iter().collect();
    (1..count).map(|part| keys[part * keys.len() / count].clone()).collect()
}

impl RootTable {
    fn groups(&self, files: Vec<Found>, splits: &[Key]) -> Vec<FileGroup> {
        let mut groups: BTreeMap<usize, Vec<PartitionedFile>> = (0..=splits.len()).map(|i| (i, Vec::new())).collect();
        for file in files {
            let group = splits.partition_point(|split| *split <= file.key);
            let statistics = self.statistics(&file);
            let mut partitioned = PartitionedFile::new_from_meta(file.meta);
            partitioned.partition_values = vec![text(&file.key.exchange), text(&file.key.symbol)];
            partitioned = partitioned.with_statistics(Arc::new(statistics));
            groups.entry(group).or_default().push(partitioned);
        }
        groups.into_values().map(FileGroup::new).collect()
    }

    /// What the path says of a file's times, as inexact bounds: enough for the engine to see that files of a key follow
    /// one another, without reading a footer.
    fn statistics(&self, file: &Found) -> Statistics {
        let mut statistics = Statistics::new_unknown(self.schema.file_schema());
        if let Ok(position) = self.schema.file_schema().index_of("ts") {
            let data_type = self.schema.file_schema().field(position).data_type();
            let instant = |ts: i64| {
                let ts = ts.clamp(-8_640_000_000_000_000, 8_640_000_000_000_000);
                let value = ScalarValue::TimestampMillisecond(Some(ts), Some("UTC".into())).cast_to(data_type);
                value.map_or(Precision::Absent, Precision::Inexact)
            };
            let column = &mut statistics.column_statistics[position];
            column.min_value = instant(file.from);
            column.max_value = instant(file.to);
        }
        statistics
    }
}

impl fmt::Display for RootTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.location.store_url, self.location.folder(self.table.name))
    }
}

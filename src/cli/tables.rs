//! The tables of a session: the market tables of the root at hand, what the user made, and where each comes from.
//!
//! ```text
//! \data ROOT ──► a scratch session: root's tables, the user's own, views made anew ──► all swapped at once
//! ```
//!
//! A view holds on to the tables that it was made over, so another root means other views. A root that cannot be read
//! changes nothing.

use std::sync::{Arc, MutexGuard, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::catalog::memory::MemTable;
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::listing::ListingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, TableType};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::prelude::SessionContext;
use futures::FutureExt;

use super::error::Failure;
use super::session::Session;
use super::storage;

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
pub(crate) struct Loaded {
    root: Root,
    /// In the order of the market tables. A user may have put another table under the same name since.
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    /// Views that cannot be made over these tables, and the statements that made them: another root may do.
    broken: Vec<(String, String)>,
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

impl Session {
    /// Registers the market tables of a root instead of those of the root before, and makes views anew, which hold on
    /// to the tables that they were made over. Returns the views that cannot be made over the new tables.
    ///
    /// # Errors
    /// The root cannot be read, or holds no market table: nothing is changed.
    pub(crate) async fn load(&self, root: Root) -> Result<Vec<String>, Failure> {
        let context = &self.context;
        // Under a session of its own first: a root that cannot be read must leave this one as it is.
        let config = context.copied_config().with_create_default_catalog_and_schema(true);
        let scratch = storage::open(SessionContext::new_with_config_rt(config, context.runtime_env()));
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
        let listed: Vec<Listed> = self.tables().into_iter().filter(|table| table.is_default).collect();
        // What the user made keeps its name, whatever the root calls its tables.
        names.retain(|name| !listed.iter().any(|table| table.market.is_none() && table.name == *name));
        let mut tables = Vec::new();
        for name in names {
            let provider = scratch.table_provider(TableReference::bare(name.clone())).await?;
            tables.push((name, provider));
        }
        for table in listed.iter().filter(|table| table.market.is_none() && table.definition.is_none()) {
            let name = TableReference::bare(table.name.clone());
            scratch.deregister_table(name.clone())?;
            scratch.register_table(name.clone(), context.table_provider(name).await?)?;
        }
        let mut definitions = self.loaded().broken.clone();
        definitions.extend(listed.iter().filter_map(|table| Some((table.name.clone(), table.definition.clone()?))));
        let (made, broken) = remade(&scratch, definitions).await?;
        // From here on nothing waits, so that Ctrl-C leaves either the tables before or those after.
        for table in listed.iter().filter(|table| table.market.is_some() || table.definition.is_some()) {
            context.deregister_table(TableReference::bare(table.name.clone()))?;
        }
        for (name, provider) in tables.iter().chain(&made) {
            context.register_table(TableReference::bare(name.clone()), Arc::clone(provider))?;
        }
        if let (Some(from), Some(to)) = (default_catalog(&scratch), default_catalog(context))
            && let Some(sample) = from.schema("sample")
        {
            to.register_schema("sample", sample)?;
        }
        let names = broken.iter().map(|(name, _)| name.clone()).collect();
        *self.loaded() = Loaded { root, tables, broken };
        Ok(names)
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

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
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

    /// What SHOW TABLES returns: the engine's own answer says nothing of where a table comes from.
    pub(super) fn listing(&self) -> Result<SendableRecordBatchStream, DataFusionError> {
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

    /// Takes a table of the built-in sample out of the way of a user's own of that name: the sample is there so that
    /// queries run at once, and stays reachable as `sample.candles`.
    pub(super) fn make_room(&self, plan: &LogicalPlan) -> Result<Room<'_>, DataFusionError> {
        let name = match plan {
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(create)) if !create.if_not_exists => &create.name,
            LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) if !create.if_not_exists => &create.name,
            LogicalPlan::Ddl(DdlStatement::CreateView(create)) => &create.name,
            _ => return Ok(Room { context: &self.context, taken: None }),
        };
        let is_sample = self.loaded().root == Root::Sample
            && self.tables().iter().any(|table| table.market.is_some() && table.name == name.to_string());
        let taken = if is_sample { self.context.deregister_table(name.clone())? } else { None };
        Ok(Room { context: &self.context, taken: taken.map(|table| (name.clone(), table)) })
    }
}

/// A name that was freed for a table that is being made.
pub(super) struct Room<'a> {
    context: &'a SessionContext,
    taken: Option<(TableReference, Arc<dyn TableProvider>)>,
}

impl Room<'_> {
    /// The new table is made.
    pub(super) fn keep(mut self) {
        self.taken = None;
    }
}

impl Drop for Room<'_> {
    /// It was not made: the one before comes back.
    fn drop(&mut self) {
        if let Some((name, table)) = self.taken.take() {
            let _ = self.context.register_table(name, table);
        }
    }
}

/// Names with what they stand for.
type Named<T> = Vec<(String, T)>;

/// Makes views from their definitions; a view over another waits for it. Returns those that are made and those that
/// cannot be.
async fn remade(
    context: &SessionContext,
    mut waiting: Named<String>,
) -> Result<(Named<Arc<dyn TableProvider>>, Named<String>), DataFusionError> {
    let mut made = Vec::new();
    loop {
        let mut failed = Vec::new();
        for (name, definition) in &waiting {
            let again = replacing(definition);
            let work = async { context.sql(&again).await?.collect().await };
            match work.await {
                Ok(_) => {
                    made.push((name.clone(), context.table_provider(TableReference::bare(name.clone())).await?));
                }
                Err(_) => failed.push((name.clone(), definition.clone())),
            }
        }
        if failed.is_empty() || failed.len() == waiting.len() {
            return Ok((made, failed));
        }
        waiting = failed;
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

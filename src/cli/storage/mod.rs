//! Where data is: files, folders and globs, here or in an S3-compatible bucket, and single files on the web.
//!
//! ```text
//! FROM 's3://b/dir/*.parquet' ──► place ──► files ─┐
//! CREATE EXTERNAL TABLE … ──► prepare ──► external ┤
//! --data s3://b/root, COPY … TO 's3://b/x.parquet' ┴─► Stores ──settings──► store, whose errors are explained
//! ```
//!
//! Stores are made on first use, from the environment or from `OPTIONS ('aws.…' '…')`. Nothing here asks the network
//! before a statement does, and nothing waits without a bound.

mod bucket;
mod explained;
mod external;
mod files;
#[cfg(feature = "s3")]
mod patience;
mod place;
#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "what is read there is used by the client"))]
mod settings;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::{DynamicFileCatalog, TableProviderFactory};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{CopyToStatement, Statement};
use datafusion::sql::sqlparser::ast::Value;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::{Position, Url};

pub(crate) use bucket::BucketRoot;
pub(crate) use explained::explanation;
pub(crate) use place::secrets_in_url;

use explained::{About, Explaining};
use settings::{Given, Settings};

/// Bytes that are read from the end of a Parquet file to get at its footer. More is asked for where this does not do; the
/// engine's half a megabyte would fetch most files whole.
const FOOTER_BYTES: usize = 64 * 1024;

/// Prepares the runtime of a session for [`open`].
pub(crate) fn runtime(builder: RuntimeEnvBuilder) -> RuntimeEnvBuilder {
    // A list that is remembered for the whole session hides files that were added since.
    let cache = CacheManagerConfig::default().with_list_files_cache_limit(0);
    builder.with_object_store_registry(Arc::new(Stores::default())).with_cache_manager(cache)
}

/// Prepares the settings of a session for [`open`].
pub(crate) fn configure(config: &mut SessionConfig) {
    let execution = &mut config.options_mut().execution;
    execution.parquet.metadata_size_hint = Some(FOOTER_BYTES);
    // A folder is all that is below it, whoever reads it.
    execution.listing_table_ignore_subdirectory = false;
}

/// Lets a session read files that are named after FROM, and external tables from wherever they are.
pub(crate) fn open(context: SessionContext) -> SessionContext {
    let tables = Arc::new(files::FileTables::default());
    let factory: Arc<dyn datafusion::catalog::UrlTableFactory> = Arc::clone(&tables) as _;
    let catalogs = DynamicFileCatalog::new(Arc::clone(context.state().catalog_list()), factory);
    let session_id = context.session_id();
    let mut factories: HashMap<String, Arc<dyn TableProviderFactory>> = context.state().table_factories().clone();
    for factory in factories.values_mut() {
        *factory = Arc::new(external::ExternalTables { inner: Arc::clone(factory) });
    }
    let context: SessionContext = context
        .into_state_builder()
        .with_session_id(session_id)
        .with_catalog_list(Arc::new(catalogs))
        .with_table_factories(factories)
        .build()
        .into();
    tables.session.session_store().with_state(context.state_weak_ref());
    context
}

/// Takes what is ours out of a statement before it is planned: options `aws.…` make the store of their bucket.
///
/// # Errors
/// An option that is unknown, wrong, or has nothing to apply to; writing to the web, or what cannot be written.
pub(crate) fn prepare(context: &SessionContext, statement: &mut Statement) -> Result<()> {
    explained::begin_statement();
    match statement {
        Statement::Explain(explain) => prepare(context, &mut explain.statement),
        Statement::CopyTo(copy) => {
            copy.target = home_expanded(&copy.target).into_owned();
            refuse_writing_to_the_web(&copy.target)?;
            write_as_the_ending_says(copy)?;
            apply(context, &mut copy.options, std::slice::from_ref(&copy.target))
        }
        Statement::CreateExternalTable(create) => {
            for location in &mut create.locations {
                *location = home_expanded(location).into_owned();
            }
            apply(context, &mut create.options, &create.locations)
        }
        Statement::Statement(_) | Statement::Reset(_) => Ok(()),
    }
}

fn refuse_writing_to_the_web(target: &str) -> Result<()> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Err(problem(format!(
            "COPY cannot write to '{}': http and https are only read; write to a file or to s3://",
            place::without_secrets(target)
        )));
    }
    Ok(())
}

/// A path that begins with `~/`, from the user's home; anything else as it is.
pub(crate) fn home_expanded(text: &str) -> Cow<'_, str> {
    match (text.strip_prefix("~/"), std::env::home_dir().filter(|home| !home.as_os_str().is_empty())) {
        (Some(rest), Some(home)) => Cow::Owned(home.join(rest).display().to_string()),
        _ => Cow::Borrowed(text),
    }
}

/// The engine takes what follows the last dot for the name of a format. The endings here are those that are read.
fn write_as_the_ending_says(copy: &mut CopyToStatement) -> Result<()> {
    if copy.stored_as.is_some() {
        return Ok(());
    }
    let Some(ending) = place::Ending::of(copy.target.trim_end_matches('/')) else {
        return Err(problem(format!(
            "COPY writes .parquet, .csv, .tsv, .json, .ndjson, .jsonl, .arrow (and .gz, .zst of the text formats), was \
             '{}'; --output and \\o also write tables and markdown",
            place::without_secrets(&copy.target)
        )));
    };
    copy.stored_as = Some(ending.format.to_uppercase());
    let said = [("delimiter", ending.is_tabbed.then_some("\t")), ("compression", ending.compression)];
    for (name, value) in said {
        let key = format!("format.{name}");
        let is_given = |given: &str| given.eq_ignore_ascii_case(name) || given.eq_ignore_ascii_case(&key);
        if let Some(value) = value
            && !copy.options.iter().any(|(given, _)| is_given(given))
        {
            copy.options.push((key, Value::SingleQuotedString(value.to_owned())));
        }
    }
    Ok(())
}

fn apply(context: &SessionContext, options: &mut Vec<(String, Value)>, locations: &[String]) -> Result<()> {
    let mut ours = BTreeMap::new();
    let mut others = Vec::new();
    for (key, value) in options.drain(..) {
        match key.to_ascii_lowercase().strip_prefix("aws.") {
            Some(option) => {
                ours.insert(option.to_owned(), text(value));
            }
            None => others.push((key, value)),
        }
    }
    *options = others;
    if ours.is_empty() {
        return Ok(());
    }
    let settings = Settings::read(&Given { options: ours, environment: settings::environment() })?;
    for location in locations {
        let url = Url::parse(location).ok().filter(|url| url.scheme() == "s3" && url.has_host()).ok_or_else(|| {
            problem(format!("options 'aws.…' are for s3://, the location is '{}'", place::without_secrets(location)))
        })?;
        context.runtime_env().register_object_store(&url, bucket(&settings, url.host_str().unwrap_or_default())?);
    }
    Ok(())
}

/// The value of an option without its quotes.
fn text(value: Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text,
        other => other.to_string(),
    }
}

fn problem(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Configuration(message.into())
}

/// The stores of a session by scheme and host, each made when it is first asked for.
#[derive(Debug)]
struct Stores {
    local: Arc<dyn ObjectStore>,
    made: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Default for Stores {
    fn default() -> Self {
        let local = Explaining::new(Arc::new(LocalFileSystem::new()), About::Local);
        Self { local: Arc::new(local), made: Mutex::default() }
    }
}

impl Stores {
    /// Scheme, host and port; never a user or a password.
    fn key(url: &Url) -> String {
        format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<dyn ObjectStore>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.made().insert(Self::key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let key = Self::key(url);
        self.made().remove(&key).ok_or_else(|| problem(format!("no store is registered for '{key}'")))
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let key = Self::key(url);
        if let Some(store) = self.made().get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = match url.scheme() {
            "file" => return Ok(Arc::clone(&self.local)),
            "s3" => bucket(&Settings::of_environment()?, url.host_str().unwrap_or_default())?,
            "http" | "https" => web(&Settings::of_the_web()?, &key)?,
            other => {
                return Err(problem(format!("cannot read '{other}://': known are s3://, https://, http:// and files")));
            }
        };
        self.made().insert(key, Arc::clone(&store));
        Ok(store)
    }
}

#[cfg(feature = "s3")]
fn bucket(settings: &Settings, name: &str) -> Result<Arc<dyn ObjectStore>> {
    let store = settings.bucket(name)?;
    Ok(Arc::new(Explaining::new(store, About::Bucket { name: name.to_owned(), settings: settings.clone() })))
}

#[cfg(feature = "s3")]
fn web(settings: &Settings, origin: &str) -> Result<Arc<dyn ObjectStore>> {
    let store = settings.web(origin)?;
    Ok(Arc::new(Explaining::new(store, About::Web { origin: origin.to_owned(), settings: settings.clone() })))
}

#[cfg(not(feature = "s3"))]
fn bucket(_: &Settings, name: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(problem(format!("cannot read 's3://{name}': this liqsql was built without the feature 's3'")))
}

#[cfg(not(feature = "s3"))]
fn web(_: &Settings, origin: &str) -> Result<Arc<dyn ObjectStore>> {
    Err(problem(format!("cannot read '{origin}': this liqsql was built without the feature 's3'")))
}

//! The embedded sample: a simulated market in the binary, so that every saved query runs anywhere, at once.
//!
//! 75 days of 5-minute bars of BTCUSDT and ETHUSDT on two exchanges, with trades, open interest, funding, liquidations
//! and the true positions, and four years of daily candles. It is made by this crate's simulator (seed 9), it is not
//! market data.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::root::register_file;
use crate::market::tables::TABLES;

macro_rules! files {
    ($($table:literal),* $(,)?) => {
        &[$(($table, include_bytes!(concat!("../../data/", $table, ".parquet")))),*]
    };
}

/// The files, by table.
pub static FILES: &[(&str, &[u8])] = files![
    "candles",
    "trades",
    "open_interest",
    "funding",
    "liquidations",
    "positions",
    "leverage_tiers",
    "daily_candles",
];

/// Registers the sample's tables under their names, and again in the schema `sample`.
///
/// # Errors
///
/// A table of that name is registered already.
pub async fn register(context: &SessionContext) -> Result<()> {
    register_schema(context).await?;
    let catalog = default_catalog(context)?;
    let state = context.state();
    let schema = catalog
        .schema(&state.config_options().catalog.default_schema)
        .ok_or_else(|| exec_datafusion_err!("the session has no default schema"))?;
    let sample = catalog.schema("sample").ok_or_else(|| exec_datafusion_err!("the session has no schema 'sample'"))?;
    for (name, _) in FILES {
        if let Some(table) = sample.table(name).await? {
            schema.register_table((*name).to_owned(), table)?;
        }
    }
    Ok(())
}

/// Registers the sample's tables in the schema `sample` only.
///
/// # Errors
///
/// The session's catalog refuses a schema.
pub async fn register_schema(context: &SessionContext) -> Result<()> {
    let store = Arc::new(InMemory::new());
    for (name, bytes) in FILES {
        let path = format!("{name}.parquet").into();
        let put = store.put(&path, PutPayload::from_static(bytes)).await;
        put.map_err(|error| exec_datafusion_err!("the sample cannot be loaded: {error}"))?;
    }
    let url = ObjectStoreUrl::parse("sample://embedded")?;
    context.register_object_store(url.as_ref(), store as Arc<dyn ObjectStore>);
    // A session of its own registers the files, so that no name of the user's session is touched.
    let config = context.copied_config().with_create_default_catalog_and_schema(true);
    let maker = SessionContext::new_with_config_rt(config, context.runtime_env());
    let schema = Arc::new(MemorySchemaProvider::new());
    for table in TABLES.iter().filter(|table| FILES.iter().any(|(name, _)| name == &table.name)) {
        register_file(&maker, table, &format!("sample://embedded/{}.parquet", table.name)).await?;
        let provider = maker.table_provider(table.name).await?;
        schema.register_table(table.name.to_owned(), provider)?;
    }
    default_catalog(context)?.register_schema("sample", schema)?;
    Ok(())
}

fn default_catalog(context: &SessionContext) -> Result<Arc<dyn CatalogProvider>> {
    let state = context.state();
    let name = &state.config_options().catalog.default_catalog;
    context.catalog(name).ok_or_else(|| exec_datafusion_err!("the session has no catalog '{name}'"))
}

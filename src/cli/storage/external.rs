//! `CREATE EXTERNAL TABLE` wherever the files are.
//!
//! The engine makes the table, with all it offers (INSERT, orders, constraints), where it can: of files and folders. It
//! gets what it cannot do, patterns and the web, taken off its hands, and is not asked about places that hold nothing,
//! which it answers with an internal error or a table without columns.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::CreateExternalTable;

use super::files::{FileTable, Reading, check_headers, is_array};
use super::place::{Ending, Kind, Place};
use super::problem;

/// Makes external tables of one format.
#[derive(Debug)]
pub(super) struct ExternalTables {
    pub(super) inner: Arc<dyn TableProviderFactory>,
}

#[async_trait]
impl TableProviderFactory for ExternalTables {
    async fn create(&self, state: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let Some(session) = state.as_any().downcast_ref::<SessionState>() else {
            return self.inner.create(state, command).await;
        };
        let mut places = Vec::with_capacity(command.locations.len());
        for location in &command.locations {
            // A plain name is a file or a folder here, whatever its ending.
            let place = match Place::parse(location)? {
                Some(place) => Some(place),
                None => Place::parse(&format!("./{location}"))?,
            };
            places.push(place.ok_or_else(|| problem(format!("'{location}' is not a file, a folder or a URL")))?);
        }
        if let [place] = places.as_slice() {
            return self.of_one_place(session, command, place.clone()).await;
        }
        if let Some(place) = places.iter().find(|place| place.is_pattern() || place.kind == Kind::Web) {
            return Err(problem(format!(
                "'{}' must be the only LOCATION: it is a pattern or on the web",
                place.shown()
            )));
        }
        self.inner.create(state, command).await
    }
}

impl ExternalTables {
    async fn of_one_place(
        &self,
        session: &SessionState,
        command: &CreateExternalTable,
        place: Place,
    ) -> Result<Arc<dyn TableProvider>> {
        let declared = !command.schema.fields().is_empty();
        if place.is_pattern() || place.kind == Kind::Web {
            return Ok(Arc::new(FileTable::open(session, place, Some(reading(session, command)?)).await?));
        }
        if declared {
            // It may well be empty: it is going to be filled.
            return self.inner.create(session, command).await;
        }
        let store = session.runtime_env().object_store(&place.store_url)?;
        let place = place.resolve(&store).await?;
        let mut command = command.clone();
        if place.is_folder() {
            let found = place.all_below(&store).await?;
            if found.is_empty() {
                return Err(place.absent(&store).await);
            }
            let format = command.file_type.to_ascii_lowercase();
            let of_format = |ending: Ending| ending.format == format || (format == "ndjson" && ending.format == "json");
            let fits = |name: &str| Ending::of(name).is_some_and(of_format);
            // The engine takes every file in a bucket for one of the table's, a marker too.
            if !found.iter().all(|file| file.location.filename().is_some_and(fits)) {
                return Ok(Arc::new(FileTable::open(session, place, Some(reading(session, &command)?)).await?));
            }
            if !command.locations[0].ends_with('/') {
                command.locations[0].push('/');
            }
        }
        if matches!(command.file_type.to_ascii_lowercase().as_str(), "csv" | "json" | "ndjson") {
            let files = place.sample(&store).await?;
            let reading = reading(session, &command)?;
            check_headers(session, &store, &place, &reading.format, None, &files).await?;
            // The engine reads an array only if it is told to, and not if it is large.
            if is_array(&store, &reading.format, &files).await? {
                return Ok(Arc::new(FileTable::open(session, place, Some(reading)).await?));
            }
        }
        self.inner.create(session, &command).await
    }
}

fn reading(session: &SessionState, command: &CreateExternalTable) -> Result<Reading> {
    let factory = session
        .get_file_format_factory(&command.file_type)
        .ok_or_else(|| problem(format!("files of the format '{}' cannot be read", command.file_type)))?;
    let schema = command.schema.as_arrow();
    let columns = (!schema.fields().is_empty()).then(|| {
        let in_files = schema.fields().iter().filter(|field| !command.table_partition_cols.contains(field.name()));
        Arc::new(Schema::new(in_files.cloned().collect::<Vec<_>>()))
    });
    let name = command.file_type.to_ascii_lowercase();
    let name = if name == "ndjson" { "json".to_owned() } else { name };
    Ok(Reading { format: factory.create(session, &command.options)?, name, columns })
}

//! A relation given as an argument: by name, or as a plan.
//!
//! A name is looked up when the function is scanned, because the lookup may read a catalog; binding does no I/O. Where
//! a function's own schema depends on its input it must be known at once, and then only a lookup that is ready counts.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, Result, TableReference, plan_datafusion_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use futures::FutureExt;

/// Endings of files, which a session may know how to read by their name.
const FILE_ENDINGS: &[&str] =
    &[".parquet", ".csv", ".tsv", ".json", ".ndjson", ".jsonl", ".arrow", ".gz", ".zst", ".bz2", ".xz"];

/// A relation argument.
#[derive(Debug, Clone)]
pub enum Relation {
    /// The name of a table or view of the session.
    Named(TableReference),
    /// A subquery, a CTE or another table function.
    Planned(Arc<LogicalPlan>),
}

impl Relation {
    /// Reads an argument expression; `None` if it is not a relation.
    pub fn from_expr(expr: &Expr) -> Option<Result<Relation>> {
        match expr {
            Expr::Column(column) => {
                let name = match &column.relation {
                    Some(qualifier) => TableReference::parse_str(&format!("{qualifier}.{}", quoted(&column.name))),
                    None => TableReference::bare(column.name.clone()),
                };
                Some(Ok(Relation::Named(name)))
            }
            Expr::Literal(value, _) => {
                value.try_as_str().flatten().map(|name| {
                    // The dot of `'candles.csv'` does not part a schema from a table.
                    let is_file = FILE_ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
                    let name = if is_file { TableReference::bare(name) } else { TableReference::parse_str(name) };
                    Ok(Relation::Named(name))
                })
            }
            Expr::ScalarSubquery(subquery) => {
                let correlated = subquery.subquery.exists(|node| Ok(node.contains_outer_reference()));
                match correlated {
                    Ok(false) => Some(Ok(Relation::Planned(Arc::clone(&subquery.subquery)))),
                    Ok(true) => Some(plan_err!("a relation argument must not refer to columns of other relations")),
                    Err(error) => Some(Err(error)),
                }
            }
            _ => None,
        }
    }

    /// Returns the plan that reads it, looking a name up in the session's catalog.
    pub async fn plan(&self, state: &dyn Session, function: &str, parameter: &str) -> Result<LogicalPlan> {
        match self {
            Relation::Planned(plan) => Ok(plan.as_ref().clone()),
            Relation::Named(name) => {
                let resolved = self.resolve(name, state);
                let schema = state
                    .catalog_list()
                    .catalog(&resolved.catalog)
                    .and_then(|catalog| catalog.schema(&resolved.schema))
                    .ok_or_else(|| missing(function, parameter, name, None))?;
                let table = schema.table(&resolved.table).await?;
                let table = table.ok_or_else(|| missing(function, parameter, name, Some(schema.table_names())))?;
                scan(name, table)
            }
        }
    }

    /// Returns the plan that reads it if that needs no waiting.
    ///
    /// # Errors
    ///
    /// The table does not exist, or its catalog needs I/O to say so; then it can be written as `(SELECT * FROM name)`.
    pub fn plan_now(&self, state: &dyn Session, function: &str, parameter: &str) -> Result<LogicalPlan> {
        self.plan(state, function, parameter).now_or_never().unwrap_or_else(|| {
            plan_err!(
                "{function}: the columns of '{parameter}' are not known yet, write (SELECT * FROM {self}) instead"
            )
        })
    }

    fn resolve(&self, name: &TableReference, state: &dyn Session) -> datafusion::common::ResolvedTableReference {
        let catalog = &state.config_options().catalog;
        name.clone().resolve(&catalog.default_catalog, &catalog.default_schema)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Named(name) => write!(f, "{name}"),
            Relation::Planned(_) => f.write_str("subquery"),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn scan(name: &TableReference, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::scan(name.clone(), provider_as_source(table), None)?.build()
}

fn missing(function: &str, parameter: &str, name: &TableReference, tables: Option<Vec<String>>) -> DataFusionError {
    let mut tables = tables.unwrap_or_default();
    tables.sort();
    let nearest = super::nearest(name.table(), tables.iter().map(String::as_str));
    let hint = match nearest {
        Some(nearest) => format!(", did you mean '{nearest}'?"),
        None if tables.is_empty() => String::new(),
        None => format!("; there are: {}", tables.join(", ")),
    };
    plan_datafusion_err!("{function}: '{parameter}' names a table that does not exist, was '{name}'{hint}")
}

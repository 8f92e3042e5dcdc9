//! From a bound call to a plan: inputs are resolved, checked, narrowed and planned when the function is scanned.
//!
//! In: the operator, its input relations, and what the query wants (columns, predicates). Out: the physical operator
//! over planned inputs that hold only the columns, keys and times that the answer needs. Binding has done no I/O; a
//! name is looked up here.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;

use super::arguments::Arguments;
use super::bounds::TimeBounds;
use super::exec::{FunctionExec, Operator, Reading, leaves_out};
use super::relation::Relation;
use crate::market::{Column as MarketColumn, Layout};

/// Which columns of an input are read.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// These, found by name; others are ignored.
    Columns(&'static [MarketColumn]),
    /// All; these must be among them.
    All(&'static [MarketColumn]),
    /// All, whatever they are.
    Any,
}

/// One input of a call.
#[derive(Debug, Clone)]
pub struct Input {
    /// Name of the parameter.
    pub parameter: &'static str,
    /// What was given.
    pub relation: Relation,
    /// Which of its columns are read.
    pub wanted: Wanted,
}

/// A bound call, as a table.
#[derive(Debug)]
pub struct FunctionTable {
    operator: Arc<dyn Operator>,
    given: Vec<(&'static str, String)>,
    inputs: Vec<Input>,
    schema: SchemaRef,
}

/// What a query wants of a call.
struct Asked<'a> {
    /// Predicates that the inputs apply.
    exact: &'a [&'a Expr],
    /// Time that each input must give.
    times: &'a [TimeBounds],
}

impl FunctionTable {
    /// Makes the table of a bound call.
    pub fn new(arguments: &Arguments<'_>, operator: Arc<dyn Operator>, inputs: Vec<Input>) -> FunctionTable {
        FunctionTable { given: arguments.given(), ..FunctionTable::within(operator, inputs) }
    }

    /// Makes a table that another function reads and no user has called.
    pub fn within(operator: Arc<dyn Operator>, inputs: Vec<Input>) -> FunctionTable {
        let schema = operator.schema();
        FunctionTable { operator, given: Vec::new(), inputs, schema }
    }

    fn commutes(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| self.operator.commutes(&column.name))
    }

    /// Plans one input: the columns it needs, the rows that pass the pushed predicates.
    async fn plan_input(
        &self,
        state: &dyn Session,
        position: usize,
        asked: &Asked<'_>,
        first: Option<&Schema>,
        pushed: &mut BTreeSet<String>,
    ) -> Result<(Arc<dyn ExecutionPlan>, SchemaRef)> {
        let input = &self.inputs[position];
        let function = self.operator.function();
        let mut plan = input.relation.plan(state, function, input.parameter).await?;
        let schema = Arc::clone(plan.schema().inner());
        let found = |columns: &'static [MarketColumn]| match Layout::find(columns, &schema) {
            Ok(layout) => Ok(layout.present().collect::<Vec<_>>()),
            Err(error) => {
                let advice = self.operator.advice(&schema).map(|advice| format!("; {advice}")).unwrap_or_default();
                plan_err!("{function}: '{}' ({}) {error}{advice}", input.parameter, input.relation)
            }
        };
        let columns: Option<Vec<&str>> = match input.wanted {
            Wanted::Columns(columns) => Some(found(columns)?),
            Wanted::All(columns) => {
                found(columns)?;
                None
            }
            Wanted::Any => None,
        };
        let reading = self.operator.readings().get(position).cloned();
        let pushable = |name: &str| match &reading {
            _ if position == 0 => true,
            // Of keys of other types the same predicate may say something else.
            Some(Reading::Ordered { keys, .. }) => {
                let data_type = |schema: &Schema| schema.field_with_name(name).ok().map(|f| f.data_type().clone());
                let is_text = |data_type: &DataType| match data_type {
                    DataType::Dictionary(_, values) => values.is_string(),
                    other => other.is_string(),
                };
                let alike = match (first.and_then(&data_type), data_type(&schema)) {
                    (Some(first), Some(own)) => first == own || (is_text(&first) && is_text(&own)),
                    _ => false,
                };
                alike && keys.iter().any(|key| key == name)
            }
            _ => false,
        };
        let mut predicates = Vec::new();
        if let (Some(Reading::Ordered { time, .. }), Some(bounds)) = (&reading, asked.times.get(position)) {
            for predicate in bounds.predicates(&Expr::Column(Column::from_name(time))) {
                predicates.push((predicate, false));
            }
        }
        for filter in asked.exact {
            if filter.column_refs().iter().all(|column| pushable(&column.name)) {
                predicates.push(((*filter).clone(), true));
            }
        }
        for (predicate, shown) in predicates {
            // Bounds on time are a hint that a function takes as such: a filter above it would invite the engine to deal its
            // rows round to idle cores, only to gather them again by key.
            if !shown && let Some(narrowed) = handed_over(&predicate, &plan)? {
                plan = narrowed;
                continue;
            }
            let predicate = requalified(&predicate, &plan)?;
            if shown {
                pushed.insert(unqualified_text(&predicate));
            }
            plan = LogicalPlanBuilder::from(plan).filter(predicate)?.build()?;
        }
        if let Some(columns) = columns {
            let columns = columns.into_iter().map(|name| column_of(name, &plan)).collect::<Result<Vec<_>>>()?;
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        }
        Ok((state.create_physical_plan(&plan).await?, schema))
    }
}

/// The one column of a name in a plan, with its qualifier.
fn column_of(name: &str, plan: &LogicalPlan) -> Result<Expr> {
    let (qualifier, field) = plan.schema().qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(Column::from((qualifier, field))))
}

/// The plan of a function's call with a predicate on `ts` handed over to it; `None` if it is something else, or a call that
/// does not leave out rows by itself.
fn handed_over(predicate: &Expr, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = handed_over(predicate, &alias.input)? else { return Ok(None) };
            Ok(Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)))
        }
        LogicalPlan::TableScan(scan) => {
            let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
            let leaves_out = (provider.as_ref() as &dyn Any)
                .downcast_ref::<FunctionTable>()
                .and_then(|table| table.schema.field_with_name("ts").ok())
                .is_some_and(|field| leaves_out(field.data_type()));
            let on_time = predicate.column_refs().iter().all(|column| column.name == "ts");
            if !leaves_out || !on_time || scan.fetch.is_some() {
                return Ok(None);
            }
            let mut scan = scan.clone();
            scan.filters.push(requalified(predicate, plan)?);
            Ok(Some(LogicalPlan::TableScan(scan)))
        }
        _ => Ok(None),
    }
}

fn requalified(predicate: &Expr, plan: &LogicalPlan) -> Result<Expr> {
    let transformed = predicate.clone().transform(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(column_of(&column.name, plan)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(transformed.data)
}

fn unqualified_text(predicate: &Expr) -> String {
    let bare = predicate.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
            other => Transformed::no(other),
        })
    });
    match bare {
        Ok(bare) => bare.data.human_display().to_string(),
        Err(_) => predicate.human_display().to_string(),
    }
}

#[async_trait]
impl TableProvider for FunctionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if self.commutes(filter) {
                    TableProviderFilterPushDown::Exact
                } else if TimeBounds::of("ts", [*filter]) != TimeBounds::default() {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
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
        let wanted = TimeBounds::of("ts", filters);
        let times = self.operator.input_time(&wanted);
        let exact: Vec<&Expr> = filters.iter().filter(|filter| self.commutes(filter)).collect();
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let asked = Asked { exact: &exact, times: &times };
        let mut pushed = BTreeSet::new();
        let mut inputs = Vec::with_capacity(self.inputs.len());
        let mut first: Option<SchemaRef> = None;
        for position in 0..self.inputs.len() {
            let (input, schema) = self.plan_input(state, position, &asked, first.as_deref(), &mut pushed).await?;
            first.get_or_insert(schema);
            inputs.push(input);
        }
        let operator = Arc::clone(&self.operator);
        let exec = FunctionExec::try_new(operator, inputs, pushed.into_iter().collect(), wanted, projection)?;
        // A limit comes only with predicates that are all applied below.
        Ok(Arc::new(exec.called_with(self.given.clone()).limited_to(limit)))
    }
}

impl fmt::Display for FunctionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operator.function())
    }
}

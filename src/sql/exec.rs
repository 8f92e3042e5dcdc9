//! The one physical operator behind every table function.
//!
//! A function is an [`Operator`]: its arguments as data, and [`Operator::start`], which makes a [`Run`], the state of one
//! partition. The operator here does what all share: it states what it needs of its inputs (rows of a key in one
//! partition, in order of time), what it gives (the same partitioning and order where the function keeps them), shows
//! every parameter in EXPLAIN, reserves memory, counts, and stops when its stream is dropped.
//!
//! ```text
//!   input 0 ─┐                 ┌─► feed ─┐
//!   input 1 ─┼─► FunctionExec ─┤         ├─ Run ─► batches
//!   gathered ┘                 └─◄ step ─┘
//! ```
//!
//! Two orders serve: by `ts` over all keys, which files of one market have, and by key then `ts`, in which a data root
//! is read. Neither needs a sort, and rows are checked all the same: a plan is never trusted about order.
//!
//! Where fewer partitions than cores work, as over one key, each input is read ahead in a task of its own, so that
//! decoding and the function's own work overlap. A LIMIT reaches the operator, which stops and lets go of its inputs with
//! the last row.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::task::Poll;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, SplitPoint, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    ConstExpr, Distribution, EquivalenceProperties, LexOrdering, LexRequirement, OrderingRequirements, Partitioning,
    PhysicalExpr, PhysicalSortExpr, PhysicalSortRequirement, RangePartitioning,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::bounds::TimeBounds;

/// Batches of an input that wait to be read, where it is read ahead. One is being made and one being read beside them;
/// more would only hold memory.
const AHEAD: usize = 2;

/// How an operator reads one of its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Row by row in order of `time`, the rows of one key in one partition. Without keys, the whole in one partition.
    Ordered {
        /// Names of the key columns.
        keys: Vec<String>,
        /// Name of the time column.
        time: String,
    },
    /// Row by row in any order and any partition.
    Streamed,
    /// Whole, before the first row of the others: small tables.
    Gathered,
}

/// The order in which rows of several keys arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// By time, keys interleaved.
    ByTime,
    /// One key after the other.
    ByKey,
}

/// Which order of its first input a function keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeps {
    /// None, unless keys arrive one after the other.
    WithinKeys,
    /// The order of the input.
    Order,
    /// None at all.
    Nothing,
}

/// A table function with its arguments: data only, so that a plan can be compared, shown and shipped.
pub trait Operator: Debug + Send + Sync + 'static {
    /// Returns the function's name in SQL.
    fn function(&self) -> &'static str;
    /// Returns the full output schema.
    fn schema(&self) -> SchemaRef;
    /// Returns every parameter that changes the answer, defaults included, as EXPLAIN shows them.
    fn settings(&self) -> Vec<(&'static str, String)>;
    /// Returns how each input is read.
    fn readings(&self) -> Vec<Reading>;
    /// Returns which order of the first input is kept.
    fn keeps(&self) -> Keeps;
    /// Whether a predicate on this output column alone gives the same rows if applied to the first input.
    fn commutes(&self, column: &str) -> bool {
        matches!(column, "exchange" | "symbol")
    }
    /// Returns what helps where an input lacks a column, as said after the error.
    fn advice(&self, _found: &Schema) -> Option<&'static str> {
        None
    }
    /// Returns the part of the wanted time that each input must give, first input first.
    fn input_time(&self, _wanted: &TimeBounds) -> Vec<TimeBounds> {
        Vec::new()
    }
    /// Starts one partition.
    ///
    /// # Errors
    ///
    /// An input lacks a column or has one of a wrong type.
    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>>;
}

/// What a run is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// Schemas of the inputs.
    pub schemas: Vec<SchemaRef>,
    /// Rows of the gathered inputs, in the order of the readings; empty for the others.
    pub gathered: Vec<Vec<RecordBatch>>,
    /// The instants wanted; rows outside need not be made.
    pub wanted: TimeBounds,
    /// Positions of the wanted columns in the full schema.
    pub projection: &'a [usize],
    /// In which order keys arrive.
    pub arrival: Arrival,
    /// Rows a batch should have.
    pub batch_size: usize,
    metrics: &'a ExecutionPlanMetricsSet,
    partition: usize,
}

impl Start<'_> {
    /// Makes a counter that EXPLAIN ANALYZE shows.
    pub fn counter(&self, name: &'static str) -> Count {
        MetricBuilder::new(self.metrics).counter(name, self.partition)
    }
}

/// What a run wants next.
#[derive(Debug)]
pub enum Step {
    /// The next batch of an input.
    Read(usize),
    /// To hand over rows.
    Ready(RecordBatch),
    /// Nothing: it has ended.
    Done,
}

/// The state of one partition.
pub trait Run: Send {
    /// Takes the batch that a step asked for; `None` is the end of that input.
    ///
    /// # Errors
    ///
    /// A row is not as it must be.
    fn feed(&mut self, input: usize, batch: Option<RecordBatch>) -> Result<()>;
    /// Works until rows are ready or more input is needed.
    ///
    /// # Errors
    ///
    /// A row is not as it must be.
    fn step(&mut self) -> Result<Step>;
    /// Returns the bytes held.
    fn memory(&self) -> usize;
}

/// What one table function of a plan was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function's name in SQL.
    pub function: &'static str,
    /// The arguments that were given and are no relations, as EXPLAIN shows them.
    pub given: Vec<(&'static str, String)>,
    /// Every parameter that changes the answer, defaults included.
    pub settings: Vec<(&'static str, String)>,
    /// Predicates that its inputs apply: `symbol = BTCUSDT`.
    pub pushed: Vec<String>,
}

/// The calls of table functions in a plan, the outermost first.
pub fn calls(plan: &Arc<dyn ExecutionPlan>) -> Vec<Call> {
    let own = (plan.as_ref() as &dyn Any).downcast_ref::<FunctionExec>().map(FunctionExec::call);
    own.into_iter().chain(plan.children().into_iter().flat_map(calls)).collect()
}

/// The physical operator of a table function.
#[derive(Debug, Clone)]
pub struct FunctionExec {
    operator: Arc<dyn Operator>,
    /// The arguments of the call, as text.
    given: Vec<(&'static str, String)>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    /// What was pushed into the inputs, for EXPLAIN.
    pushed: Vec<String>,
    wanted: TimeBounds,
    projection: Vec<usize>,
    arrival: Arrival,
    /// Rows that each partition gives at most.
    fetch: Option<usize>,
    name: String,
    gathered: Vec<Arc<OnceCell<Vec<RecordBatch>>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FunctionExec {
    /// Makes the operator over its planned inputs.
    ///
    /// # Errors
    ///
    /// A key or time column is missing from an input, which the planning of the inputs rules out.
    pub fn try_new(
        operator: Arc<dyn Operator>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        pushed: Vec<String>,
        wanted: TimeBounds,
        projection: Vec<usize>,
    ) -> Result<FunctionExec> {
        let arrival = arrival(operator.as_ref(), &inputs)?;
        let properties = Arc::new(properties(operator.as_ref(), &inputs, &projection, arrival)?);
        let name = exec_name(operator.function());
        let gathered = inputs.iter().map(|_| Arc::new(OnceCell::new())).collect();
        Ok(FunctionExec {
            operator,
            given: Vec::new(),
            inputs,
            pushed,
            wanted,
            projection,
            arrival,
            fetch: None,
            name,
            gathered,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Notes what the call gave of its parameters.
    pub fn called_with(self, given: Vec<(&'static str, String)>) -> FunctionExec {
        FunctionExec { given, ..self }
    }

    /// Sets how many rows each partition gives at most.
    pub fn limited_to(self, fetch: Option<usize>) -> FunctionExec {
        FunctionExec { fetch, ..self }
    }

    /// Returns the call in words: the function, every setting, and the arguments that were given.
    pub fn call(&self) -> Call {
        let settings = self.operator.settings();
        let written = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let given = self.given.iter().map(|(name, value)| (*name, written(name).unwrap_or_else(|| value.clone())));
        let given = given.collect();
        Call { function: self.operator.function(), given, settings, pushed: self.pushed.clone() }
    }

    /// Where `ts` is among the wanted columns, and the instants wanted, if rows outside of them are to be left out. What a
    /// function makes beyond them is not wanted, so that its reader needs no filter above it.
    fn gate(&self) -> Option<(usize, TimeBounds)> {
        let schema = self.schema();
        let (position, field) = schema.column_with_name("ts")?;
        (self.wanted != TimeBounds::default() && leaves_out(field.data_type())).then_some((position, self.wanted))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings: Vec<(String, String)> =
            self.operator.settings().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(from) = self.wanted.from {
            settings.push(("ts >=".to_owned(), time_text(from)));
        }
        if let Some(to) = self.wanted.to {
            settings.push(("ts <=".to_owned(), time_text(to)));
        }
        // Where a function begins to read before what is wanted, as a warm-up.
        let first_input = self.operator.input_time(&self.wanted).first().and_then(|bounds| bounds.from);
        if let Some(from) = first_input.filter(|from| self.wanted.from.is_none_or(|wanted| *from < wanted)) {
            settings.push(("reads ts >=".to_owned(), time_text(from)));
        }
        if !self.pushed.is_empty() {
            settings.push(("pushed".to_owned(), format!("[{}]", self.pushed.join(", "))));
        }
        if self.projection.len() < self.operator.schema().fields().len() {
            let schema = self.schema();
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            settings.push(("projection".to_owned(), format!("[{}]", names.join(", "))));
        }
        if let Some(fetch) = self.fetch {
            settings.push(("fetch".to_owned(), fetch.to_string()));
        }
        settings
    }
}

/// Whether rows outside the wanted instants are left out where `ts` is of this type.
pub(crate) fn leaves_out(ts: &DataType) -> bool {
    matches!(ts, DataType::Timestamp(TimeUnit::Millisecond, _))
}

/// Makes `LiqHeatmapExec` of `liq_heatmap`.
fn exec_name(function: &str) -> String {
    let words = function.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    words.collect::<String>() + "Exec"
}

/// Writes an instant as ISO 8601, UTC.
pub(crate) fn time_text(ts: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(ts) {
        Some(time) => {
            let format = if ts % 1000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
            time.format(format).to_string()
        }
        None => format!("{ts} ms"),
    }
}

fn column(name: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(Arc::new(Column::new_with_schema(name, schema)?))
}

fn ascending(expr: Arc<dyn PhysicalExpr>) -> PhysicalSortExpr {
    PhysicalSortExpr::new(expr, SortOptions { descending: false, nulls_first: false })
}

/// Keys, then time.
fn key_order(keys: &[String], time: &str, schema: &Schema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    keys.iter().map(String::as_str).chain([time]).map(|name| column(name, schema)).collect()
}

/// Requires rising order. Where nulls stand does not matter, keys and times have none; so an input that is sorted with
/// nulls first is as good, and is not sorted again.
fn requirement(
    expressions: &[Arc<dyn PhysicalExpr>],
    input: &Arc<dyn ExecutionPlan>,
) -> Result<(Option<LexRequirement>, bool)> {
    let rising = |nulls_first| {
        let options = SortOptions { descending: false, nulls_first };
        LexRequirement::new(
            expressions.iter().map(|expr| PhysicalSortRequirement::new(Arc::clone(expr), Some(options))),
        )
    };
    for nulls_first in [false, true] {
        if let Some(requirement) = rising(nulls_first)
            && input.equivalence_properties().ordering_satisfy_requirement(requirement.clone())?
        {
            return Ok((Some(requirement), true));
        }
    }
    Ok((rising(false), false))
}

fn ordered_inputs<'a>(
    readings: &'a [Reading],
    inputs: &'a [Arc<dyn ExecutionPlan>],
) -> impl Iterator<Item = (&'a [String], &'a str, &'a Arc<dyn ExecutionPlan>)> {
    readings.iter().zip(inputs).filter_map(|(reading, input)| match reading {
        Reading::Ordered { keys, time } => Some((keys.as_slice(), time.as_str(), input)),
        _ => None,
    })
}

/// Keys one after the other if every ordered input comes so; rows by time otherwise.
fn arrival(operator: &dyn Operator, inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arrival> {
    let readings = operator.readings();
    let mut by_key = false;
    for (keys, time, input) in ordered_inputs(&readings, inputs) {
        let expressions = key_order(keys, time, &input.schema())?;
        let (_, satisfied) = requirement(&expressions, input)?;
        if keys.is_empty() || !satisfied {
            return Ok(Arrival::ByTime);
        }
        by_key = true;
    }
    Ok(if by_key { Arrival::ByKey } else { Arrival::ByTime })
}

fn properties(
    operator: &dyn Operator,
    inputs: &[Arc<dyn ExecutionPlan>],
    projection: &[usize],
    arrival: Arrival,
) -> Result<PlanProperties> {
    let schema: SchemaRef = Arc::new(operator.schema().project(projection)?);
    let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
    let mut partitioning = Partitioning::UnknownPartitioning(1);
    let readings = operator.readings();
    if let (Some(input), Some(reading)) = (inputs.first(), readings.first()) {
        let count = input.output_partitioning().partition_count();
        partitioning = Partitioning::UnknownPartitioning(count);
        if let Reading::Ordered { keys, time } = reading {
            let output = |name: &str| column(name, &schema).ok();
            // A key that a predicate fixes in the input is fixed in the output.
            let constants: Vec<ConstExpr> = keys
                .iter()
                .filter_map(|key| {
                    let expr = column(key, &input.schema()).ok()?;
                    let across = input.equivalence_properties().is_expr_constant(&expr)?;
                    Some(ConstExpr::new(output(key)?, across))
                })
                .collect();
            equivalence.add_constants(constants)?;
            let fixed = |key: &&String| {
                column(key, &input.schema())
                    .is_ok_and(|expr| input.equivalence_properties().is_expr_constant(&expr).is_some())
            };
            let order: Option<Vec<&str>> = match (operator.keeps(), arrival) {
                // A key that is fixed orders nothing; without it the order outlives a projection that drops the key.
                (Keeps::Order | Keeps::WithinKeys, Arrival::ByKey) => {
                    let keys = keys.iter().filter(|key| !fixed(key)).map(String::as_str);
                    Some(keys.chain([time.as_str()]).collect())
                }
                (Keeps::Order, Arrival::ByTime) => Some(vec![time.as_str()]),
                _ => None,
            };
            // Keys that come one after the other and in order of time over all, as one key alone does, leave so.
            let (_, by_time) = requirement(&[column(time, &input.schema())?], input)?;
            let alone = (arrival == Arrival::ByKey && by_time && order.is_some()).then(|| vec![time.as_str()]);
            for names in [order, alone].into_iter().flatten() {
                let order: Option<Vec<PhysicalSortExpr>> =
                    names.into_iter().map(|name| output(name).map(ascending)).collect();
                if let Some(order) = order.and_then(LexOrdering::new) {
                    equivalence.add_ordering(order);
                }
            }
            // Rows stay in their partition, so what the input says of its partitions holds, where it speaks of keys.
            let renamed = |expr: &Arc<dyn PhysicalExpr>| {
                let name = (expr.as_ref() as &dyn Any).downcast_ref::<Column>()?.name();
                keys.iter().any(|key| key == name).then(|| output(name))?
            };
            partitioning = match input.output_partitioning() {
                Partitioning::Hash(expressions, count) => match expressions.iter().map(renamed).collect() {
                    Some(expressions) => Partitioning::Hash(expressions, *count),
                    None => partitioning,
                },
                Partitioning::Range(range) => {
                    let order = range
                        .ordering()
                        .iter()
                        .map(|old| Some(PhysicalSortExpr::new(renamed(&old.expr)?, old.options)));
                    match order.collect::<Option<Vec<_>>>().and_then(LexOrdering::new) {
                        Some(order) if order.len() == range.ordering().len() => {
                            Partitioning::Range(RangePartitioning::new(order, range.split_points().to_vec()))
                        }
                        _ => partitioning,
                    }
                }
                _ => partitioning,
            };
        }
    }
    Ok(PlanProperties::new(equivalence, partitioning, EmissionType::Incremental, Boundedness::Bounded)
        .with_scheduling_type(SchedulingType::Cooperative))
}

impl DisplayAs for FunctionExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "{}", self.name)?;
                for (i, (name, value)) in self.settings().iter().enumerate() {
                    let separator = if i == 0 { ": " } else { ", " };
                    if name.ends_with('=') {
                        write!(f, "{separator}{name} {value}")?;
                    } else {
                        write!(f, "{separator}{name}={value}")?;
                    }
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                for (name, value) in self.settings() {
                    writeln!(f, "{name}={value}")?;
                }
                Ok(())
            }
        }
    }
}

impl ExecutionPlan for FunctionExec {
    fn name(&self) -> &str {
        &self.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let readings = self.operator.readings();
        let ranges_serve = share_ranges(&readings, &self.inputs);
        // Equal texts of different types have different hashes: such inputs can only be joined in one partition.
        let mut types = ordered_inputs(&readings, &self.inputs).map(|(keys, _, input)| {
            let schema = input.schema();
            keys.iter().map(|key| schema.field_with_name(key).ok().map(|f| f.data_type().clone())).collect::<Vec<_>>()
        });
        let first = types.next();
        let alike = types.all(|others| first.as_ref() == Some(&others));
        let distributions: Vec<Distribution> = readings
            .iter()
            .zip(&self.inputs)
            .map(|(reading, input)| match reading {
                // The engine would spread the rows of fewer partitions than cores anew, which helps nobody: the rows of a
                // key stay together.
                Reading::Ordered { .. } if ranges_serve => Distribution::UnspecifiedDistribution,
                Reading::Ordered { keys, .. } if !keys.is_empty() && alike => {
                    let schema = input.schema();
                    let keys: Result<Vec<_>> = keys.iter().map(|key| column(key, &schema)).collect();
                    keys.map_or(Distribution::SinglePartition, Distribution::KeyPartitioned)
                }
                Reading::Ordered { .. } | Reading::Gathered => Distribution::SinglePartition,
                Reading::Streamed => Distribution::UnspecifiedDistribution,
            })
            .collect();
        let ordered = readings.iter().filter(|reading| matches!(reading, Reading::Ordered { .. })).count();
        if ordered > 1 && ordered == distributions.len() && alike && !ranges_serve {
            InputDistributionRequirements::co_partitioned(distributions)
        } else {
            InputDistributionRequirements::new(distributions)
        }
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let readings = self.operator.readings();
        let requirements = readings.iter().zip(&self.inputs).map(|(reading, input)| match reading {
            Reading::Ordered { keys, time } => {
                let keys: &[String] = if self.arrival == Arrival::ByKey { keys } else { &[] };
                let expressions = key_order(keys, time, &input.schema()).ok()?;
                requirement(&expressions, input).ok()?.0.map(OrderingRequirements::new)
            }
            _ => None,
        });
        requirements.collect()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // The order that is kept is declared in the properties. Saying here that any order is would let the optimiser
        // move a sort of the output below the function, by the positions of columns that the input has elsewhere.
        vec![false; self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // A data root already spreads its keys over the partitions; one key is one stream and gains nothing.
        let readings = self.operator.readings();
        readings
            .iter()
            .zip(&self.inputs)
            .map(|(reading, input)| match reading {
                Reading::Ordered { keys, .. } => {
                    !keys.is_empty()
                        && !matches!(input.output_partitioning(), Partitioning::Range(_))
                        && self.arrival == Arrival::ByTime
                        && !keys_are_constant(keys, input)
                }
                Reading::Streamed => true,
                Reading::Gathered => false,
            })
            .collect()
    }

    fn apply_expressions(
        &self,
        _apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.inputs.len() {
            return internal_err!("{} has {} inputs, was given {}", self.name, self.inputs.len(), children.len());
        }
        let exec = FunctionExec::try_new(
            Arc::clone(&self.operator),
            children,
            self.pushed.clone(),
            self.wanted,
            self.projection.clone(),
        )?;
        Ok(Arc::new(exec.called_with(self.given.clone()).limited_to(self.fetch)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let gathered = self.inputs.iter().map(|_| Arc::new(OnceCell::new())).collect();
        let metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(FunctionExec { gathered, metrics, ..self.clone() }.limited_to(limit)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let reservation = MemoryConsumer::new(format!("{}[{partition}]", self.name)).register(context.memory_pool());
        let readings = self.operator.readings();
        let mut streams: Vec<Option<SendableRecordBatchStream>> = Vec::with_capacity(self.inputs.len());
        for (reading, input) in readings.iter().zip(&self.inputs) {
            streams.push(match reading {
                Reading::Gathered => None,
                _ => Some(input.execute(partition, Arc::clone(&context))?),
            });
        }
        let operator = Arc::clone(&self.operator);
        let inputs = self.inputs.clone();
        let gathered = self.gathered.clone();
        let metrics = self.metrics.clone();
        let (projection, wanted, arrival) = (self.projection.clone(), self.wanted, self.arrival);
        // Nothing beyond a limit is worth waiting for.
        let batch_size = context.session_config().batch_size();
        let batch_size = self.fetch.map_or(batch_size, |fetch| batch_size.min(fetch.max(1)));
        let left = self.fetch;
        let gate = self.gate();
        let cores_idle =
            self.properties.output_partitioning().partition_count() < context.session_config().target_partitions();
        let held_ahead = cores_idle.then(|| {
            let name = format!("{}[{partition}] reading ahead", self.name);
            MemoryConsumer::new(name).register(context.memory_pool())
        });
        let schema = self.schema();
        let started = async move {
            let mut gathered_batches = Vec::with_capacity(inputs.len());
            for ((reading, input), cell) in readings.iter().zip(&inputs).zip(&gathered) {
                gathered_batches.push(match reading {
                    Reading::Gathered => {
                        // Read once for all partitions: a repartitioned input cannot be executed twice.
                        let rows = cell.get_or_try_init(|| async {
                            input.execute(0, Arc::clone(&context))?.try_collect::<Vec<_>>().await
                        });
                        rows.await?.clone()
                    }
                    _ => Vec::new(),
                });
            }
            let run = operator.start(Start {
                schemas: inputs.iter().map(|input| input.schema()).collect(),
                gathered: gathered_batches,
                wanted,
                projection: &projection,
                arrival,
                batch_size,
                metrics: &metrics,
                partition,
            })?;
            if let Some(held) = held_ahead {
                let ahead = |stream| read_ahead(stream, held.new_empty());
                streams = streams.into_iter().map(|stream| stream.map(ahead)).collect();
            }
            let running = Running { run, streams, reservation, baseline, left, gate };
            Ok::<_, datafusion::common::DataFusionError>(stream::try_unfold(running, Running::next))
        };
        let batches = stream::once(started).try_flatten();
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, batches))))
    }
}

/// Whether the ordered inputs come in the same ranges of keys, so that partition for partition they belong together.
fn share_ranges(readings: &[Reading], inputs: &[Arc<dyn ExecutionPlan>]) -> bool {
    let mut shared: Option<(Vec<&str>, &[SplitPoint])> = None;
    for (keys, _, input) in ordered_inputs(readings, inputs) {
        let Partitioning::Range(range) = input.output_partitioning() else { return false };
        let key_of = |order: &PhysicalSortExpr| {
            let name = (order.expr.as_ref() as &dyn Any).downcast_ref::<Column>()?.name();
            let key = keys.iter().find(|key| *key == name)?;
            // Ranges that fall or put NULL elsewhere would need the same of every input; a data root has none.
            (order.options == SortOptions { descending: false, nulls_first: false }).then_some(key.as_str())
        };
        let Some(names) = range.ordering().iter().map(key_of).collect::<Option<Vec<&str>>>() else { return false };
        let own = (names, range.split_points());
        if shared.get_or_insert_with(|| own.clone()) != &own {
            return false;
        }
    }
    shared.is_some()
}

fn keys_are_constant(keys: &[String], input: &Arc<dyn ExecutionPlan>) -> bool {
    keys.iter().all(|key| {
        column(key, &input.schema()).is_ok_and(|expr| input.equivalence_properties().is_expr_constant(&expr).is_some())
    })
}

/// Reads an input in a task of its own, a few batches ahead. What waits is reserved; dropping the stream ends the task.
fn read_ahead(mut input: SendableRecordBatchStream, held: MemoryReservation) -> SendableRecordBatchStream {
    let schema = input.schema();
    let held = Arc::new(held);
    let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), AHEAD);
    let (sender, holding) = (builder.tx(), Arc::clone(&held));
    builder.spawn(async move {
        while let Some(batch) = input.next().await {
            let batch = batch.and_then(|batch| holding.try_grow(bytes_of_rows(&batch)).map(|()| batch));
            let failed = batch.is_err();
            // Whoever read this may have left; then there is nobody to tell.
            if sender.send(batch).await.is_err() || failed {
                break;
            }
            step_aside().await;
        }
        Ok(())
    });
    let batches = builder.build().then(move |batch| {
        let batch = batch.and_then(|batch| held.try_shrink(bytes_of_rows(&batch)).map(|_| batch));
        async move {
            step_aside().await;
            batch
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// Goes to the end of the worker's queue, from where an idle worker takes it.
///
/// Who takes a batch wakes the task that makes the next one, who makes one wakes the task that waits for it, and tokio
/// keeps what was woken last for the same worker: it would wait until the waker is done, and the two would hardly ever work
/// side by side.
async fn step_aside() {
    let mut stepped = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut stepped, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The rows whose instant lies within bounds.
fn within(batch: RecordBatch, ts: usize, bounds: &TimeBounds) -> Result<RecordBatch> {
    let Some(instants) = batch.column(ts).as_primitive_opt::<TimestampMillisecondType>() else { return Ok(batch) };
    let inside: BooleanArray =
        instants.iter().map(|instant| Some(instant.is_some_and(|instant| bounds.contain(instant)))).collect();
    if inside.true_count() == batch.num_rows() {
        return Ok(batch);
    }
    Ok(filter_record_batch(&batch, &inside)?)
}

/// Bytes of a batch's rows. A slice of something larger, as a table in memory gives, holds no more than its rows.
fn bytes_of_rows(batch: &RecordBatch) -> usize {
    let bytes = batch.columns().iter().map(|column| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size())
    });
    bytes.sum()
}

struct Running {
    run: Box<dyn Run>,
    streams: Vec<Option<SendableRecordBatchStream>>,
    reservation: MemoryReservation,
    baseline: BaselineMetrics,
    /// Rows that may still leave, if that is limited.
    left: Option<usize>,
    /// Where `ts` is, and the instants wanted.
    gate: Option<(usize, TimeBounds)>,
}

impl Running {
    async fn next(mut self) -> Result<Option<(RecordBatch, Running)>> {
        loop {
            if self.left == Some(0) {
                self.baseline.done();
                return Ok(None);
            }
            let step = {
                let _timer = self.baseline.elapsed_compute().timer();
                let step = self.run.step()?;
                self.reservation.try_resize(self.run.memory())?;
                step
            };
            match step {
                Step::Done => {
                    self.baseline.done();
                    return Ok(None);
                }
                Step::Ready(mut batch) => {
                    if let Some((ts, bounds)) = &self.gate {
                        batch = within(batch, *ts, bounds)?;
                        if batch.num_rows() == 0 {
                            continue;
                        }
                    }
                    if let Some(left) = &mut self.left {
                        batch = batch.slice(0, batch.num_rows().min(*left));
                        *left -= batch.num_rows();
                        if *left == 0 {
                            // Whoever has what they wanted may not ask again; nothing more is read meanwhile.
                            self.streams.clear();
                        }
                    }
                    let batch = batch.record_output(&self.baseline);
                    return Ok(Some((batch, self)));
                }
                Step::Read(input) => {
                    let batch = match self.streams.get_mut(input).and_then(Option::as_mut) {
                        Some(stream) => stream.next().await.transpose()?,
                        None => None,
                    };
                    if batch.is_none()
                        && let Some(slot) = self.streams.get_mut(input)
                    {
                        // An ended input is dropped at once, which frees its buffers and files.
                        *slot = None;
                    }
                    let _timer = self.baseline.elapsed_compute().timer();
                    self.run.feed(input, batch)?;
                }
            }
        }
    }
}

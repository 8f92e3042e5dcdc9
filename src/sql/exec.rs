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

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
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
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::bounds::TimeBounds;

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
#[derive(Debug)]
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

    /// Returns the call in words: the function, every setting, and the arguments that were given.
    pub fn call(&self) -> Call {
        let settings = self.operator.settings();
        let written = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let given = self.given.iter().map(|(name, value)| (*name, written(name).unwrap_or_else(|| value.clone())));
        let given = given.collect();
        Call { function: self.operator.function(), given, settings, pushed: self.pushed.clone() }
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
        if !self.pushed.is_empty() {
            settings.push(("pushed".to_owned(), format!("[{}]", self.pushed.join(", "))));
        }
        if self.projection.len() < self.operator.schema().fields().len() {
            let schema = self.schema();
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            settings.push(("projection".to_owned(), format!("[{}]", names.join(", "))));
        }
        settings
    }
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
        if ordered > 1 && ordered == distributions.len() && alike {
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
        Ok(Arc::new(exec.called_with(self.given.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
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
        let batch_size = context.session_config().batch_size();
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
            let running = Running { run, streams, reservation, baseline };
            Ok::<_, datafusion::common::DataFusionError>(stream::try_unfold(running, Running::next))
        };
        let batches = stream::once(started).try_flatten();
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, batches))))
    }
}

fn keys_are_constant(keys: &[String], input: &Arc<dyn ExecutionPlan>) -> bool {
    keys.iter().all(|key| {
        column(key, &input.schema()).is_ok_and(|expr| input.equivalence_properties().is_expr_constant(&expr).is_some())
    })
}

struct Running {
    run: Box<dyn Run>,
    streams: Vec<Option<SendableRecordBatchStream>>,
    reservation: datafusion::execution::memory_pool::MemoryReservation,
    baseline: BaselineMetrics,
}

impl Running {
    async fn next(mut self) -> Result<Option<(RecordBatch, Running)>> {
        loop {
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
                Step::Ready(batch) => {
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

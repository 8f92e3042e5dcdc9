//! `liq_price_tiered`: the liquidation price of each position by the exchange's own table of brackets.
//!
//! In: positions, and the brackets of their exchanges with the instant since when each table is known. Out: every column
//! of the positions, then the price, the bracket that holds at it, and its rate and amount. A computed column whose name
//! the positions already have is called `computed_…`; the exchange's own `liquidation_price` stays beside ours.
//!
//! The table is the newest known at the position's `ts`, so that a replay does not know tomorrow's brackets. The bracket
//! is the one in which the notional AT THE LIQUIDATION PRICE lies. Margin is size × entry price / leverage, or the
//! column `margin` where the positions have one and it is not NULL. Cross margin has no price of its own per position:
//! there the result is what the position would have alone.
//!
//! The arithmetic is that of linear contracts; inverse ones have `liq_price_inverse`.
//!
//! A position whose table is not known, or is counted in contracts of unknown size, has NULLs and is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::physical_plan::metrics::Count;

use super::TableFunction;
use crate::market::tables::{LEVERAGE_TIERS, POSITIONS};
use crate::market::{Column, Kind, Layout};
use crate::model::margin::{Bracket, BracketUnit, liquidation_price_bracketed};
use crate::model::side::Side;
use crate::sql::arguments::Arguments;
use crate::sql::bars::{BadRows, Defect, Judge, Rows as BarRows};
use crate::sql::exec::{Keeps, Operator, Reading, Run, Start, Step};
use crate::sql::keys::Key;
use crate::sql::model_settings::{DatedBrackets, ON_BAD_ROWS, brackets_by_key};
use crate::sql::provider::{FunctionTable, Input, Wanted};
use crate::sql::relation::Relation;
use crate::sql::spec::{Fallback, Limits, Parameter, ParameterKind, Returns, Spec};

/// What is added to the columns of the positions.
const COMPUTED: [Column; 4] = [
    Column::optional("liquidation_price", Kind::Number, "quote per base", "computed price; null where there is none"),
    Column::optional("bracket", Kind::Integer, "", "bracket at the liquidation price, from 1"),
    Column::optional("maintenance_margin_rate", Kind::Number, "fraction", "rate of the bracket"),
    Column::optional("maintenance_amount", Kind::Number, "quote", "deduction of the bracket"),
];

/// What is read of the positions.
const READ: &[Column] = &[
    POSITIONS.columns[0],
    POSITIONS.columns[1],
    POSITIONS.columns[2],
    POSITIONS.columns[4],
    POSITIONS.columns[5],
    POSITIONS.columns[6],
    Column::optional("leverage", Kind::Number, "", "notional / initial margin"),
    Column::optional("margin", Kind::Number, "quote", "margin behind the position, without its own profit"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_price_tiered",
    summary: "Liquidation price of each position by its exchange's table of margin brackets",
    parameters: &[
        Parameter {
            name: "positions",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "positions (ts, exchange, symbol, side, size, entry_price, and leverage or margin)",
        },
        Parameter {
            name: "leverage_tiers",
            kind: ParameterKind::Relation,
            fallback: Fallback::Required,
            unit: "",
            doc: "margin brackets; the newest table known at the position's ts holds",
        },
        Parameter {
            name: "fee_rate",
            kind: ParameterKind::Number(Limits {
                low: 0.0,
                low_included: true,
                high: 0.1,
                words: "a fraction between 0 and 0.1",
            }),
            fallback: Fallback::Value("0"),
            unit: "fraction",
            doc: "closing fee that the exchange includes in the trigger (OKX: the taker fee)",
        },
        ON_BAD_ROWS,
    ],
    returns: Returns::Derived(
        "the columns of positions, liquidation_price (computed_liquidation_price where positions has one), bracket, \
         maintenance_margin_rate, maintenance_amount",
    ),
    example: "SELECT symbol, side, liquidation_price, computed_liquidation_price, bracket \
              FROM liq_price_tiered(positions, leverage_tiers) LIMIT 10",
};

/// The function.
#[derive(Debug)]
pub struct LiqPriceTiered;

impl TableFunction for LiqPriceTiered {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, arguments: &Arguments<'_>, session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let relation = arguments.relation("positions")?;
        let plan = relation.plan_now(session, SPEC.name, "positions")?;
        let positions = Arc::clone(plan.schema().inner());
        match Layout::find(READ, &positions) {
            Ok(layout) if layout.has("leverage") || layout.has("margin") => {}
            Ok(_) => {
                return plan_err!("{}: 'positions' ({relation}) must have a column 'leverage' or 'margin'", SPEC.name);
            }
            Err(error) => return plan_err!("{}: 'positions' ({relation}) {error}", SPEC.name),
        }
        let operator = Tiered {
            schema: output_schema(&positions)?,
            passed: positions.fields().len(),
            fee_rate: arguments.number("fee_rate")?.unwrap_or(0.0),
            bad_rows: BadRows::from_name(arguments.choice("on_bad_rows")?.unwrap_or("error")),
        };
        let inputs = vec![
            // The plan whose columns were just read, not the name: a table replaced meanwhile has others.
            Input { parameter: "positions", relation: Relation::Planned(Arc::new(plan)), wanted: Wanted::All(READ) },
            Input {
                parameter: "leverage_tiers",
                relation: arguments.relation("leverage_tiers")?,
                wanted: Wanted::Columns(LEVERAGE_TIERS.columns),
            },
        ];
        Ok(Arc::new(FunctionTable::new(arguments, Arc::new(operator), inputs)))
    }
}

/// The columns of the positions, then the computed ones, under names that are free.
fn output_schema(positions: &Schema) -> Result<SchemaRef> {
    let mut fields: Vec<Arc<Field>> = positions.fields().iter().cloned().collect();
    for column in COMPUTED {
        let taken = |name: &str| positions.fields().iter().any(|field| field.name() == name);
        let field = column.field();
        let name = if taken(column.name) { format!("computed_{}", column.name) } else { column.name.to_owned() };
        if taken(&name) {
            return plan_err!("{}: 'positions' must not have both '{}' and '{name}'", SPEC.name, column.name);
        }
        fields.push(Arc::new(field.with_name(name)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

#[derive(Debug, Clone)]
struct Tiered {
    schema: SchemaRef,
    /// How many of the columns are those of the positions.
    passed: usize,
    fee_rate: f64,
    bad_rows: BadRows,
}

impl Operator for Tiered {
    fn function(&self) -> &'static str {
        SPEC.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("fee_rate", self.fee_rate.to_string()), ("on_bad_rows", self.bad_rows.name().to_owned())]
    }

    fn readings(&self) -> Vec<Reading> {
        vec![Reading::Streamed, Reading::Gathered]
    }

    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn commutes(&self, column: &str) -> bool {
        // Row by row: a predicate on any column that passes through holds before as after.
        self.schema.fields()[..self.passed].iter().any(|field| field.name() == column)
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Run>> {
        let layout = match Layout::find(READ, &start.schemas[0]) {
            Ok(layout) => layout,
            Err(error) => return exec_err!("{}: 'positions' {error}", SPEC.name),
        };
        Ok(Box::new(TieredRun {
            operator: self.clone(),
            projected: Arc::new(self.schema.project(start.projection)?),
            projection: start.projection.to_vec(),
            layout,
            brackets: brackets_by_key(SPEC.name, &start.schemas[1], &start.gathered[1])?,
            judge: Judge::new(SPEC.name, self.bad_rows, start.counter("bad_rows")),
            without_tiers: start.counter("without_tiers"),
            without_contract_size: start.counter("without_contract_size"),
            without_liquidation_price: start.counter("without_liquidation_price"),
            batch: None,
            ended: false,
        }))
    }
}

struct TieredRun {
    operator: Tiered,
    projected: SchemaRef,
    projection: Vec<usize>,
    layout: Layout,
    brackets: BTreeMap<Key, DatedBrackets>,
    judge: Judge,
    without_tiers: Count,
    without_contract_size: Count,
    without_liquidation_price: Count,
    batch: Option<RecordBatch>,
    ended: bool,
}

/// A position as it must be.
struct Position {
    ts: i64,
    side: Side,
    size: f64,
    entry_price: f64,
    margin: f64,
}

fn position(rows: &BarRows, row: usize) -> Result<Position, Defect> {
    let ts = rows.instant(row)?;
    let side = rows.side(row, 3)?;
    let size = rows.quantity(row, 4)?;
    if size == 0.0 {
        return Err(rows.defect(row, "size", "be a positive number", "0"));
    }
    let entry_price = rows.price(row, 5)?;
    let margin = match rows.optional(row, 7) {
        Some(margin) if margin.is_finite() => margin,
        Some(margin) => return Err(rows.defect(row, "margin", "be a finite number", margin.to_string())),
        None => match rows.optional(row, 6) {
            Some(leverage) if leverage.is_finite() && leverage > 0.0 => size * entry_price / leverage,
            other => {
                let was = other.map_or_else(|| "NULL".to_owned(), |leverage| leverage.to_string());
                return Err(rows.defect(row, "leverage", "be a positive number", was));
            }
        },
    };
    Ok(Position { ts, side, size, entry_price, margin })
}

/// Whether limits are in contracts whose size is not known: then the first limit is not finite though others follow.
fn lacks_contract_size(brackets: &[Bracket]) -> bool {
    brackets.len() > 1 && brackets[0].unit == BracketUnit::BaseSize && brackets[0].cap.is_infinite()
}

impl TieredRun {
    fn compute(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = BarRows::try_new(SPEC.name, READ, &self.layout, batch)?;
        let mut kept = Vec::with_capacity(rows.len());
        let mut price = Float64Builder::with_capacity(rows.len());
        let mut bracket = Int64Builder::with_capacity(rows.len());
        let mut rate = Float64Builder::with_capacity(rows.len());
        let mut amount = Float64Builder::with_capacity(rows.len());
        let mut key = Key { exchange: String::new(), symbol: String::new() };
        let mut dated = None;
        for row in 0..rows.len() {
            let position = match position(&rows, row) {
                Ok(position) => position,
                Err(defect) => {
                    self.judge.judge(&defect)?;
                    kept.push(false);
                    continue;
                }
            };
            kept.push(true);
            if row == 0 || key.symbol != rows.symbol(row) || key.exchange != rows.exchange(row) {
                key = Key { exchange: rows.exchange(row).to_owned(), symbol: rows.symbol(row).to_owned() };
                dated = self.brackets.get(&key);
            }
            let known = dated.and_then(|dated| dated.range(..=position.ts).next_back());
            let found = match known {
                Some((_, brackets)) if lacks_contract_size(brackets) => {
                    self.without_contract_size.add(1);
                    None
                }
                Some((_, brackets)) => {
                    let Position { side, entry_price, size, margin, .. } = position;
                    let fee_rate = self.operator.fee_rate;
                    liquidation_price_bracketed(side, entry_price, size, margin, brackets, fee_rate)
                        .map(|found| (found, &brackets[found.bracket]))
                }
                None => {
                    self.without_tiers.add(1);
                    None
                }
            };
            if found.is_some_and(|(found, _)| found.liquidation_price.is_none()) {
                self.without_liquidation_price.add(1);
            }
            price.append_option(found.and_then(|(found, _)| found.liquidation_price));
            bracket.append_option(found.map(|(found, _)| found.bracket as i64 + 1));
            rate.append_option(found.map(|(_, bracket)| bracket.maintenance_margin_rate));
            amount.append_option(found.map(|(_, bracket)| bracket.maintenance_amount));
        }
        let computed: [ArrayRef; 4] =
            [Arc::new(price.finish()), Arc::new(bracket.finish()), Arc::new(rate.finish()), Arc::new(amount.finish())];
        let remaining = kept.iter().filter(|kept| **kept).count();
        let filtered = if remaining == kept.len() { batch.clone() } else { filter_record_batch(batch, &kept.into())? };
        let columns = self.projection.iter().zip(self.projected.fields()).map(|(&position, field)| {
            let array = match position.checked_sub(self.operator.passed) {
                Some(computed_position) => &computed[computed_position],
                None => filtered.column(position),
            };
            if array.data_type() == field.data_type() { Ok(Arc::clone(array)) } else { cast(array, field.data_type()) }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(remaining));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.projected), columns, &options)?)
    }
}

impl Run for TieredRun {
    fn feed(&mut self, _input: usize, batch: Option<RecordBatch>) -> Result<()> {
        self.ended = batch.is_none();
        self.batch = batch;
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        match self.batch.take() {
            Some(batch) if batch.num_rows() == 0 => Ok(Step::Read(0)),
            Some(batch) => Ok(Step::Ready(self.compute(&batch)?)),
            None if self.ended => Ok(Step::Done),
            None => Ok(Step::Read(0)),
        }
    }

    fn memory(&self) -> usize {
        let brackets = self.brackets.values().flat_map(BTreeMap::values);
        brackets.map(|brackets| brackets.capacity() * size_of::<Bracket>()).sum()
    }
}

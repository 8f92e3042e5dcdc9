//! `liq_functions`: every table function, from its declaration.
//!
//! In: nothing. Out: a row per parameter of each function, in the order of the declaration; functions without parameters
//! have one row.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result;

use super::TableFunction;
use crate::market::{Column, Kind};
use crate::sql::arguments::Arguments;
use crate::sql::spec::{Returns, Spec};

const COLUMNS: &[Column] = &[
    Column::new("function", Kind::Text, "", "name of the function"),
    Column::new("summary", Kind::Text, "", "what it does"),
    Column::optional("position", Kind::Integer, "", "position of the parameter, from 1"),
    Column::optional("parameter", Kind::Text, "", "name of the parameter"),
    Column::optional("type", Kind::Text, "", "what it may be"),
    Column::optional("default", Kind::Text, "", "what holds where it is not given"),
    Column::optional("unit", Kind::Text, "", "unit of the parameter"),
    Column::optional("description", Kind::Text, "", "what the parameter means"),
    Column::new("columns", Kind::Text, "", "columns of the result"),
    Column::new("example", Kind::Text, "", "a query that runs on the embedded sample"),
];

/// The declaration.
pub static SPEC: Spec = Spec {
    name: "liq_functions",
    summary: "Every table function with its parameters, defaults, units, columns and an example",
    parameters: &[],
    returns: Returns::Columns(COLUMNS),
    example: "SELECT DISTINCT function, summary FROM liq_functions() ORDER BY function",
};

/// The function.
#[derive(Debug)]
pub struct LiqFunctions;

impl TableFunction for LiqFunctions {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn bind(&self, _arguments: &Arguments<'_>, _session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
        let mut texts: Vec<Vec<Option<String>>> = vec![Vec::new(); COLUMNS.len()];
        let mut positions: Vec<Option<i64>> = Vec::new();
        for spec in super::all() {
            let parameters = spec.parameters.iter().map(Some).enumerate();
            let none = (spec.parameters.is_empty()).then_some((0, None));
            for (i, parameter) in parameters.chain(none) {
                positions.push(parameter.map(|_| i as i64 + 1));
                let of = |text: fn(&crate::sql::spec::Parameter) -> String| parameter.map(text);
                let values = [
                    Some(spec.name.to_owned()),
                    Some(spec.summary.to_owned()),
                    None,
                    of(|p| p.name.to_owned()),
                    of(|p| p.kind.type_name().to_owned()),
                    of(|p| p.default_text().to_owned()),
                    of(|p| p.unit.to_owned()).filter(|unit| !unit.is_empty()),
                    of(|p| p.doc.to_owned()),
                    Some(spec.column_names()),
                    Some(spec.example.to_owned()),
                ];
                for (column, value) in texts.iter_mut().zip(values) {
                    column.push(value);
                }
            }
        }
        let mut arrays: Vec<ArrayRef> =
            texts.into_iter().map(|column| Arc::new(StringViewArray::from_iter(column)) as ArrayRef).collect();
        arrays[2] = Arc::new(Int64Array::from(positions));
        let batch = RecordBatch::try_new(SPEC.schema(), arrays)?;
        Ok(Arc::new(MemTable::try_new(SPEC.schema(), vec![vec![batch]])?))
    }
}

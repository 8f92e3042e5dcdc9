//! Typed columns of a record batch, found by name whatever their physical type.
//!
//! Engines hand back the same column as `Utf8`, `Utf8View` or a dictionary, and time in any unit with or without a
//! zone; here each becomes the one type that [`super`] reads. It knows nothing of what the columns mean.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMillisecondType};

use super::super::RenderError;

/// True if the batch has a column of this name.
pub(in crate::render) fn has(batch: &RecordBatch, name: &str) -> bool {
    batch.schema_ref().index_of(name).is_ok()
}

/// The time column as milliseconds since the epoch, UTC.
///
/// A timestamp with a zone counts from the epoch already; one without is taken as UTC.
pub(in crate::render) fn time(
    batch: &RecordBatch,
    name: &'static str,
) -> Result<TimestampMillisecondArray, RenderError> {
    let column = required(batch, name)?;
    let (DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) = column.data_type() else {
        return Err(wrong_type(name, "a timestamp", &column));
    };
    let column = cast(&column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    Ok(column.as_primitive::<TimestampMillisecondType>().clone())
}

/// A numeric column as `f64`.
pub(in crate::render) fn number(batch: &RecordBatch, name: &'static str) -> Result<Float64Array, RenderError> {
    let column = required(batch, name)?;
    let is_number = column.data_type().is_numeric() || matches!(column.data_type(), DataType::Null);
    if !is_number {
        return Err(wrong_type(name, "a number", &column));
    }
    let column = cast(&column, &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().clone())
}

/// A numeric column that may be absent.
pub(in crate::render) fn optional_number(
    batch: &RecordBatch,
    name: &'static str,
) -> Result<Option<Float64Array>, RenderError> {
    if has(batch, name) { number(batch, name).map(Some) } else { Ok(None) }
}

/// A text column of any string type.
pub(in crate::render) fn text(batch: &RecordBatch, name: &'static str) -> Result<StringArray, RenderError> {
    let column = required(batch, name)?;
    let is_text = match column.data_type() {
        DataType::Dictionary(_, values) => is_string(values),
        other => is_string(other) || matches!(other, DataType::Null),
    };
    if !is_text {
        return Err(wrong_type(name, "text", &column));
    }
    let column = cast(&column, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().clone())
}

/// A text column that may be absent.
pub(in crate::render) fn optional_text(
    batch: &RecordBatch,
    name: &'static str,
) -> Result<Option<StringArray>, RenderError> {
    if has(batch, name) { text(batch, name).map(Some) } else { Ok(None) }
}

/// A column of instants whose name comes from the rows, as [`time`].
pub(in crate::render) fn named_time(batch: &RecordBatch, name: &str) -> Result<TimestampMillisecondArray, RenderError> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(TimestampMillisecondArray::new_null(batch.num_rows()));
    };
    let column = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    Ok(column.as_primitive::<TimestampMillisecondType>().clone())
}

/// A numeric column whose name comes from the rows.
pub(in crate::render) fn named_number(batch: &RecordBatch, name: &str) -> Result<Float64Array, RenderError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(Float64Array::new_null(batch.num_rows())) };
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// A text column whose name comes from the rows.
pub(in crate::render) fn named_text(batch: &RecordBatch, name: &str) -> Result<StringArray, RenderError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(StringArray::new_null(batch.num_rows())) };
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// The value of an optional column, `None` if the column or the value is absent.
pub(in crate::render) fn value(column: Option<&Float64Array>, row: usize) -> Option<f64> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

/// See [`value`].
pub(in crate::render) fn text_value(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

fn required(batch: &RecordBatch, name: &'static str) -> Result<ArrayRef, RenderError> {
    batch.column_by_name(name).cloned().ok_or_else(|| RenderError::MissingColumns {
        missing: vec![name],
        found: batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
    })
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn wrong_type(column: &str, allowed: &'static str, array: &ArrayRef) -> RenderError {
    RenderError::ColumnType { column: column.to_string(), allowed, was: array.data_type().to_string() }
}

//! Typed columns of a record batch, found by name whatever their physical type, and the values in them that can be drawn.
//!
//! Engines hand back the same column as `Utf8`, `Utf8View` or a dictionary, and time in any unit with or without a
//! zone; here each becomes the one type that [`super`] reads. A value that has no place in any picture is an error that
//! names its column; what is null is `None`, and what that means is up to the reader.

use std::ops::RangeInclusive;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMillisecondType};

use super::super::frame::{LATEST_MS, PoolSide};
use super::super::{RenderError, axis};

/// Larger numbers are mistakes in the rows, and would not fit beside an axis either.
pub(in crate::render) const LARGEST_PRICE: f64 = 1e15;

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
    instants(&required(batch, name)?, name)
}

/// A numeric column as `f64`.
pub(in crate::render) fn number(batch: &RecordBatch, name: &'static str) -> Result<Float64Array, RenderError> {
    let column = required(batch, name)?;
    let is_number = match column.data_type() {
        DataType::Dictionary(_, values) => values.is_numeric(),
        other => other.is_numeric() || matches!(other, DataType::Null),
    };
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

/// A text column of any string type, as an engine holds it: neighbours with equal views are equal.
pub(super) fn text_views(batch: &RecordBatch, name: &'static str) -> Result<StringViewArray, RenderError> {
    match required(batch, name)?.as_string_view_opt() {
        Some(views) => Ok(views.clone()),
        None => Ok(StringViewArray::from(&text(batch, name)?)),
    }
}

/// As [`text_views`], of a column that may be absent.
pub(super) fn optional_text_views(
    batch: &RecordBatch,
    name: &'static str,
) -> Result<Option<StringViewArray>, RenderError> {
    if has(batch, name) { text_views(batch, name).map(Some) } else { Ok(None) }
}

/// A column of instants whose name comes from the rows, as [`time`].
pub(in crate::render) fn named_time(batch: &RecordBatch, name: &str) -> Result<TimestampMillisecondArray, RenderError> {
    match batch.column_by_name(name) {
        Some(column) => instants(column, name),
        None => Ok(TimestampMillisecondArray::new_null(batch.num_rows())),
    }
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

/// A value that is not null, within bounds.
pub(super) fn bounded(
    column: &Float64Array,
    row: usize,
    name: &str,
    bounds: RangeInclusive<f64>,
) -> Result<f64, RenderError> {
    let value = column.value(row);
    if bounds.contains(&value) {
        return Ok(value);
    }
    let allowed = format!("numbers from {} to {}", axis::given(*bounds.start()), axis::given(*bounds.end()));
    Err(wrong_value(name, allowed, axis::given(value)))
}

/// A value within bounds; `None` as of [`value`].
pub(super) fn optional_bounded(
    column: Option<&Float64Array>,
    row: usize,
    name: &str,
    bounds: RangeInclusive<f64>,
) -> Result<Option<f64>, RenderError> {
    let present = column.filter(|column| column.is_valid(row));
    present.map(|column| bounded(column, row, name, bounds)).transpose()
}

/// Whether something can be bought for it.
pub(super) fn is_price(price: f64) -> bool {
    price > 0.0 && price <= LARGEST_PRICE
}

/// A price that is not null.
pub(super) fn price(column: &Float64Array, row: usize, name: &str) -> Result<f64, RenderError> {
    let value = column.value(row);
    if is_price(value) {
        return Ok(value);
    }
    let allowed = format!("prices above 0, of at most {}", axis::given(LARGEST_PRICE));
    Err(wrong_value(name, allowed, axis::given(value)))
}

/// A price; `None` as of [`value`].
pub(super) fn optional_price(
    column: Option<&Float64Array>,
    row: usize,
    name: &str,
) -> Result<Option<f64>, RenderError> {
    column.filter(|column| column.is_valid(row)).map(|column| price(column, row, name)).transpose()
}

/// The edges of a bucket of prices, neither of which is null.
pub(super) fn bucket(low: &Float64Array, high: &Float64Array, row: usize) -> Result<(f64, f64), RenderError> {
    let low = bounded(low, row, "price_low", 0.0..=LARGEST_PRICE)?;
    let high = bounded(high, row, "price_high", 0.0..=LARGEST_PRICE)?;
    if high > low {
        return Ok((low, high));
    }
    let allowed = format!("a price above 'price_low' ({})", axis::given(low));
    Err(wrong_value("price_high", allowed, axis::given(high)))
}

/// A side that is not null.
pub(super) fn side(column: &StringArray, row: usize) -> Result<PoolSide, RenderError> {
    side_of(column.value(row))
}

/// The side of a name.
pub(super) fn side_of(name: &str) -> Result<PoolSide, RenderError> {
    match name {
        "long" => Ok(PoolSide::Long),
        "short" => Ok(PoolSide::Short),
        other => Err(wrong_value("side", "'long' or 'short'".to_owned(), format!("'{other}'"))),
    }
}

pub(super) fn wrong_value(column: &str, allowed: String, was: String) -> RenderError {
    RenderError::ColumnValue { column: column.to_owned(), allowed, was }
}

fn required(batch: &RecordBatch, name: &'static str) -> Result<ArrayRef, RenderError> {
    batch.column_by_name(name).cloned().ok_or_else(|| RenderError::MissingColumns {
        missing: vec![name],
        found: batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
    })
}

/// A column of instants, all of which have a date.
fn instants(column: &ArrayRef, name: &str) -> Result<TimestampMillisecondArray, RenderError> {
    let values = match column.data_type() {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    let (DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) = values else {
        return Err(wrong_type(name, "a timestamp", column));
    };
    let as_milliseconds = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    let found = as_milliseconds.as_primitive::<TimestampMillisecondType>().clone();
    let late = || found.iter().flatten().find(|ms| ms.unsigned_abs() > LATEST_MS).map(|ms| format!("{ms} ms"));
    // What does not fit in milliseconds comes back as null.
    let was = if found.null_count() > column.logical_null_count() { Some("a later one".to_owned()) } else { late() };
    match was {
        Some(was) => Err(wrong_value(name, "instants within 31,000 years of 1970".to_owned(), was)),
        None => Ok(found),
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn wrong_type(column: &str, allowed: &'static str, array: &ArrayRef) -> RenderError {
    RenderError::ColumnType { column: column.to_string(), allowed, was: array.data_type().to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampSecondArray;

    use super::*;

    #[test]
    fn an_impossible_instant_is_an_error_whatever_its_unit() {
        let of = |column: ArrayRef| instants(&column, "ts").map_err(|error| error.to_string());
        let said =
            |was: &str| Err(format!("render: column 'ts' must hold instants within 31,000 years of 1970, was {was}"));
        let late = 9_000_000_000_000_000;
        assert_eq!(of(Arc::new(TimestampMillisecondArray::from(vec![None, Some(late)]))), said("9000000000000000 ms"));
        assert_eq!(of(Arc::new(TimestampSecondArray::from(vec![i64::MIN]))), said("a later one"));
        assert!(of(Arc::new(TimestampSecondArray::from(vec![None, Some(5)]))).is_ok());
    }

    #[test]
    fn bounds_are_named_in_few_digits() {
        let column = Float64Array::from(vec![1e300, f64::NAN, 0.0, 5.0]);
        let said = |result: Result<f64, RenderError>| result.map_err(|error| error.to_string());
        assert_eq!(
            said(bounded(&column, 0, "notional_usd", 0.0..=1e24)),
            Err("render: column 'notional_usd' must hold numbers from 0 to 1e24, was 1e300".to_owned())
        );
        for (row, was) in [(0, "1e300"), (1, "NaN"), (2, "0")] {
            let expected = format!("render: column 'price' must hold prices above 0, of at most 1e15, was {was}");
            assert_eq!(said(price(&column, row, "price")), Err(expected));
        }
        assert_eq!(said(price(&column, 3, "price")), Ok(5.0));
    }
}

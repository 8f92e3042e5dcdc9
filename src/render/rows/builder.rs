//! The batches of a result as they come, in as few bytes as its picture needs.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::super::RenderError;
use super::super::frame::Origin;
use super::packed::Packing;
use super::{Kind, Rows};

/// Takes the batches of one result as they come, so that none has to be kept until the picture is drawn.
///
/// Of a heatmap, which can have millions of rows, 16 bytes of each row are kept; of anything else the batches. The picture
/// is the same as of the batches themselves.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
/// use liqsql::render::{Frame, Origin, RowsBuilder, Selection};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hour = |ms: i64| {
///     RecordBatch::try_from_iter([
///         ("ts", Arc::new(TimestampMillisecondArray::from(vec![ms])) as ArrayRef),
///         ("price_low", Arc::new(Float64Array::from(vec![95.0]))),
///         ("price_high", Arc::new(Float64Array::from(vec![96.0]))),
///         ("side", Arc::new(StringArray::from(vec!["long"]))),
///         ("notional_usd", Arc::new(Float64Array::from(vec![1.0e6]))),
///     ])
/// };
/// let mut rows = RowsBuilder::new(hour(0)?.schema());
/// rows.push(hour(0)?);
/// rows.push(hour(3_600_000)?);
/// let Frame::Heatmap(heatmap) = Frame::try_from_results(&[rows.finish(Origin::default())?], &Selection::default())?
/// else { unreachable!() };
/// assert_eq!(heatmap.cells, [1.0e6, 1.0e6]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RowsBuilder {
    schema: SchemaRef,
    packing: Option<Packing>,
    /// What is not packed.
    batches: Vec<RecordBatch>,
}

impl RowsBuilder {
    /// Starts with the columns of the result.
    pub fn new(schema: SchemaRef) -> Self {
        let is_heatmap = Kind::of_batch(&RecordBatch::new_empty(SchemaRef::clone(&schema))) == Some(Kind::Heatmap);
        Self { schema, packing: is_heatmap.then(|| Packing::new(false)), batches: Vec::new() }
    }

    /// Adds rows. What cannot be drawn of them is an error only of what is drawn of the result.
    pub fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let is_kept = match &mut self.packing {
            // The batch kept has a row that is an error when it is read: what comes after it is never looked at.
            Some(_) if !self.batches.is_empty() => false,
            Some(packing) => packing.push(&batch).is_err(),
            None => true,
        };
        if is_kept {
            self.batches.push(batch);
        }
    }

    /// The rows so far.
    ///
    /// # Errors
    ///
    /// [`RenderError::Arrow`] if Arrow refuses its own arrays.
    pub fn finish(self, origin: Origin) -> Result<Rows, RenderError> {
        let mut batches = self.batches;
        if let Some(packing) = self.packing.filter(|packing| packing.len() > 0) {
            batches.insert(0, packing.finish().into_batch()?);
        }
        if batches.is_empty() {
            // Its columns say what it would have been.
            batches.push(RecordBatch::new_empty(self.schema));
        }
        Ok(Rows { batches, origin })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::super::super::samples::{self, instants, numbers, words};
    use super::super::{Frame, Selection, TimeRange};
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Longs and shorts of two exchanges and leverages over some hours, in an order of its own, some with nulls.
    fn rows() -> RecordBatch {
        let count = 400_i64;
        let at = |row: i64| (row * 7) % count;
        let some = |of: &dyn Fn(i64) -> f64| (0..count).map(|row| Some(of(at(row)))).collect::<Vec<_>>();
        let text = |of: &dyn Fn(i64) -> Option<&'static str>| (0..count).map(|row| of(at(row))).collect::<Vec<_>>();
        let low = |row: i64| 100.0 + ((row / 8) % 10) as f64;
        let rows = samples::rows(vec![
            ("ts", instants(&(0..count).map(|row| (row % 97 != 5).then(|| at(row) / 80 * HOUR)).collect::<Vec<_>>())),
            ("price", numbers(&some(&|row| 104.5 + (row / 80) as f64 + (row % 2) as f64))),
            ("price_low", numbers(&some(&low))),
            ("price_high", numbers(&some(&|row| low(row) + if row % 3 == 0 { 2.0 } else { 1.0 }))),
            ("side", words(&text(&|row| (row % 89 != 3).then_some(if row % 4 < 2 { "long" } else { "short" })))),
            (
                "exchange",
                words(&text(&|row| Some(if row % 2 == 0 { "binance" } else { "an exchange of a long name" }))),
            ),
            ("symbol", words(&text(&|_| Some("BTCUSDT")))),
            ("leverage", numbers(&(0..count).map(|row| (at(row) % 8 < 4).then_some(25.0)).collect::<Vec<_>>())),
            ("notional_usd", numbers(&some(&|row| (row * row % 1_013) as f64 / 7.0))),
            ("intensity", numbers(&some(&|_| 0.5))),
        ]);
        rows.batches.into_iter().next().unwrap()
    }

    fn built(batch: &RecordBatch, size: usize) -> Rows {
        let mut builder = RowsBuilder::new(batch.schema());
        for from in (0..batch.num_rows()).step_by(size) {
            builder.push(batch.slice(from, size.min(batch.num_rows() - from)));
        }
        builder.finish(Origin::default()).unwrap()
    }

    fn outcome(rows: &Rows, selection: &Selection) -> [String; 2] {
        let one = Frame::try_from_results(std::slice::from_ref(rows), selection).map_err(|error| error.to_string());
        let all = Frame::all_from_results(std::slice::from_ref(rows), selection).map_err(|error| error.to_string());
        [format!("{one:?}"), format!("{all:?}")]
    }

    #[test]
    fn packed_rows_are_drawn_as_their_batches_are_whatever_the_size_of_the_batches() {
        let batch = rows();
        let range = Selection { range: Some(TimeRange::Last(2 * HOUR)) };
        for selection in [Selection::default(), range] {
            let expected = outcome(&Rows::from(vec![batch.clone()]), &selection);
            assert!(expected[1].contains("ignored_rows: "), "{}", expected[1]);
            for size in [1, 7, 64, 1_000] {
                let packed = built(&batch, size);
                assert_eq!((packed.batches.len(), packed.batches[0].num_rows()), (1, batch.num_rows()));
                assert_eq!(outcome(&packed, &selection), expected, "{size}");
                // In parts, as nobody else makes them, they are read as any other rows.
                let whole = &packed.batches[0];
                let parts = vec![whole.slice(0, 150), whole.slice(150, batch.num_rows() - 150)];
                assert_eq!(outcome(&Rows::from(parts), &selection), expected, "{size}");
            }
        }
    }

    #[test]
    fn a_row_takes_sixteen_bytes() {
        let packed = built(&rows(), 64);
        let batch = &packed.batches[0];
        let keys = |name: &str| batch.column_by_name(name).unwrap().as_any_dictionary().keys().to_data();
        for (name, other) in [("ts", "price"), ("price_low", "price_high"), ("price_low", "exchange")] {
            assert!(keys(name).ptr_eq(&keys(other)), "{name} and {other} have their own keys");
        }
        assert_eq!(keys("ts").data_type(), &arrow::datatypes::DataType::UInt32);
    }

    #[test]
    fn an_error_is_that_of_the_first_row_that_has_one() {
        let batch = rows();
        let with = |values: Vec<(&str, usize, f64)>| {
            let mut columns: Vec<_> = batch.columns().to_vec();
            for (name, row, value) in values {
                let at = batch.schema().index_of(name).unwrap();
                let column = columns[at].as_primitive::<arrow::datatypes::Float64Type>();
                let changed: Vec<_> =
                    column.iter().enumerate().map(|(at, own)| if at == row { Some(value) } else { own }).collect();
                columns[at] = numbers(&changed);
            }
            RecordBatch::try_new(batch.schema(), columns).unwrap()
        };
        for (values, said) in [
            (vec![("price", 300, -1.0), ("notional_usd", 200, f64::NAN)], "'notional_usd'"),
            (vec![("price", 200, -1.0), ("notional_usd", 300, f64::NAN)], "'price'"),
            (vec![("leverage", 201, 1e9), ("price_high", 202, 1.0)], "'leverage'"),
        ] {
            let batch = with(values);
            let expected = outcome(&Rows::from(vec![batch.clone()]), &Selection::default());
            assert!(expected[0].contains(said), "{}", expected[0]);
            for size in [1, 64, 1_000] {
                assert_eq!(outcome(&built(&batch, size), &Selection::default()), expected, "{size}");
            }
        }
    }

    #[test]
    fn what_is_no_heatmap_or_has_no_rows_stays_as_it_is() {
        let batch = rows();
        let empty = built(&batch.slice(0, 0), 1);
        assert_eq!((empty.batches.len(), empty.batches[0].num_rows()), (1, 0));
        assert_eq!(empty.batches[0].schema(), batch.schema());
        let series = batch.project(&[0, 1]).unwrap();
        assert_eq!(built(&series, 100).batches.len(), 4);
    }
}

//! Rows on their way out: one builder a column, only for the columns that are wanted.
//!
//! Texts repeat: exchanges, symbols, sides, names. Each is kept once, rows hold its number, and the column is gathered when
//! the batch is made.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMillisecondBuilder, UInt32Builder,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, internal_datafusion_err};

#[derive(Debug)]
enum Builder {
    Time(TimestampMillisecondBuilder),
    Text(Texts),
    Number(Float64Builder),
    Integer(Int64Builder),
    Boolean(BooleanBuilder),
}

/// A column of texts of which most repeat.
#[derive(Debug, Default)]
struct Texts {
    /// In order of their numbers.
    distinct: Vec<String>,
    numbers: HashMap<String, u32>,
    /// The text of the last row, which the next row most often has too.
    last: Option<u32>,
    rows: UInt32Builder,
}

impl Texts {
    fn number_of(&mut self, text: &str) -> u32 {
        if let Some(last) = self.last
            && self.distinct[last as usize] == text
        {
            return last;
        }
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.distinct.len() as u32;
                self.distinct.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        self.last = Some(number);
        number
    }

    fn append(&mut self, text: &str, n: usize) {
        let number = self.number_of(text);
        self.rows.append_value_n(number, n);
    }

    fn append_option(&mut self, text: Option<&str>) {
        let number = text.map(|text| self.number_of(text));
        self.rows.append_option(number);
    }

    /// Ends the batch. Texts are forgotten with it, so that a column of which each batch has others does not grow.
    fn finish(&mut self) -> Result<ArrayRef> {
        let distinct = StringViewArray::from_iter_values(self.distinct.drain(..));
        self.numbers.clear();
        self.last = None;
        Ok(take(&distinct, &self.rows.finish(), None)?)
    }
}

/// Builds batches of a function's output.
///
/// A row is made by appending one value to every column and calling [`Rows::end`]; a value for a column that the query
/// does not use costs nothing. Invariant: every column has as many values as rows were ended.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    /// By position in the full schema; `None` where the column is not wanted.
    builders: Vec<Option<Builder>>,
    /// Positions in the full schema, in the order of the output.
    projection: Vec<usize>,
    rows: usize,
}

impl Rows {
    /// Makes builders for the projected columns of a schema.
    ///
    /// # Errors
    ///
    /// The schema has a type that no function emits.
    pub fn try_new(full: &SchemaRef, projection: &[usize]) -> Result<Rows> {
        let mut builders: Vec<Option<Builder>> = full.fields().iter().map(|_| None).collect();
        for &position in projection {
            let builder = match full.field(position).data_type() {
                DataType::Timestamp(_, zone) => {
                    Builder::Time(TimestampMillisecondBuilder::new().with_timezone_opt(zone.clone()))
                }
                DataType::Utf8View => Builder::Text(Texts::default()),
                DataType::Float64 => Builder::Number(Float64Builder::new()),
                DataType::Int64 => Builder::Integer(Int64Builder::new()),
                DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
                other => return Err(internal_datafusion_err!("no builder for {other}")),
            };
            builders[position] = Some(builder);
        }
        let schema = Arc::new(full.project(projection)?);
        Ok(Rows { schema, builders, projection: projection.to_vec(), rows: 0 })
    }

    /// Appends an instant, `n` times.
    pub fn time(&mut self, column: usize, ts: i64, n: usize) {
        if let Some(Builder::Time(builder)) = &mut self.builders[column] {
            builder.append_value_n(ts, n);
        }
    }

    /// Appends an instant that may be null.
    pub fn optional_time(&mut self, column: usize, ts: Option<i64>) {
        if let Some(Builder::Time(builder)) = &mut self.builders[column] {
            builder.append_option(ts);
        }
    }

    /// Appends a text, `n` times.
    pub fn text(&mut self, column: usize, text: &str, n: usize) {
        if let Some(Builder::Text(builder)) = &mut self.builders[column] {
            builder.append(text, n);
        }
    }

    /// Appends a text that may be null.
    pub fn optional_text(&mut self, column: usize, text: Option<&str>) {
        if let Some(Builder::Text(builder)) = &mut self.builders[column] {
            builder.append_option(text);
        }
    }

    /// Whether a column is wanted: a value that is costly to make need not be made for others.
    pub fn wants(&self, column: usize) -> bool {
        self.builders[column].is_some()
    }

    /// Appends a number.
    pub fn number(&mut self, column: usize, value: f64) {
        if let Some(Builder::Number(builder)) = &mut self.builders[column] {
            // Adding zero turns -0 into 0, which is how a reader wants it.
            builder.append_value(value + 0.0);
        }
    }

    /// Appends a number, `n` times.
    pub fn number_n(&mut self, column: usize, value: f64, n: usize) {
        if let Some(Builder::Number(builder)) = &mut self.builders[column] {
            builder.append_value_n(value + 0.0, n);
        }
    }

    /// Appends a number that may be null.
    pub fn optional_number(&mut self, column: usize, value: Option<f64>) {
        if let Some(Builder::Number(builder)) = &mut self.builders[column] {
            builder.append_option(value.map(|value| value + 0.0));
        }
    }

    /// Appends one number a row of what an iterator yields.
    pub fn numbers(&mut self, column: usize, values: impl Iterator<Item = f64>) {
        if let Some(Builder::Number(builder)) = &mut self.builders[column] {
            values.for_each(|value| builder.append_value(value + 0.0));
        }
    }

    /// Appends a whole number.
    pub fn integer(&mut self, column: usize, value: i64) {
        if let Some(Builder::Integer(builder)) = &mut self.builders[column] {
            builder.append_value(value);
        }
    }

    /// Appends true, false or null.
    pub fn optional_boolean(&mut self, column: usize, value: Option<bool>) {
        if let Some(Builder::Boolean(builder)) = &mut self.builders[column] {
            builder.append_option(value);
        }
    }

    /// Appends a whole number that may be null.
    pub fn optional_integer(&mut self, column: usize, value: Option<i64>) {
        if let Some(Builder::Integer(builder)) = &mut self.builders[column] {
            builder.append_option(value);
        }
    }

    /// Ends `n` rows.
    pub fn end(&mut self, n: usize) {
        self.rows += n;
    }

    /// Returns how many rows wait.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Makes a batch of the rows that wait.
    ///
    /// # Errors
    ///
    /// Columns differ in length: a defect of the function.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.projection.len());
        for &position in &self.projection {
            if let Some(builder) = &mut self.builders[position] {
                columns.push(match builder {
                    Builder::Time(builder) => Arc::new(builder.finish()),
                    Builder::Text(texts) => texts.finish()?,
                    Builder::Number(builder) => Arc::new(builder.finish()),
                    Builder::Integer(builder) => Arc::new(builder.finish()),
                    Builder::Boolean(builder) => Arc::new(builder.finish()),
                });
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Returns the bytes that the waiting rows take, roughly.
    pub fn memory(&self) -> usize {
        self.rows * self.projection.len() * 16
    }
}

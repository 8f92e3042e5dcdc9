//! From a user's columns to a table's columns: found by name, checked by type, cast to one form.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;

use super::tables::Column;

/// Why a relation cannot be read as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketError {
    /// A required column is missing.
    Missing {
        /// The column.
        column: &'static str,
        /// What the relation has.
        found: Vec<String>,
    },
    /// A column has a type that cannot be read as what it holds.
    Type {
        /// The column.
        column: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The type it has.
        found: DataType,
    },
    /// The relation has two columns of a name.
    Ambiguous {
        /// The column.
        column: &'static str,
    },
}

impl fmt::Display for MarketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MarketError::Missing { column, found } => {
                write!(f, "must have a column '{column}', found: {}", found.join(", "))
            }
            MarketError::Type { column, expected, found } => {
                write!(f, "column '{column}' must be {expected}, was {found}")?;
                if *column == "ts" && (found.is_numeric() || found.is_string()) {
                    write!(f, " (to_timestamp_seconds, to_timestamp_millis and to_timestamp convert)")?;
                }
                Ok(())
            }
            MarketError::Ambiguous { column } => write!(f, "has more than one column '{column}'"),
        }
    }
}

impl std::error::Error for MarketError {}

/// Where the columns of a table are in a relation.
#[derive(Debug, Clone)]
pub struct Layout {
    columns: &'static [Column],
    /// Position in the relation, `None` for an optional column that is absent.
    positions: Vec<Option<usize>>,
}

impl Layout {
    /// Finds columns by name and checks their types.
    ///
    /// # Errors
    ///
    /// A required column is missing, a name occurs twice, or a type cannot be read as what the column holds.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use liqsql::market::{Layout, tables};
    /// let schema = Schema::new(vec![Field::new("ts", DataType::Int64, false)]);
    /// let error = Layout::find(tables::FUNDING.columns, &schema).unwrap_err();
    /// assert!(error.to_string().starts_with("column 'ts' must be a timestamp or a date, was Int64"));
    /// ```
    pub fn find(columns: &'static [Column], schema: &Schema) -> Result<Layout, MarketError> {
        let mut positions = Vec::with_capacity(columns.len());
        for column in columns {
            let mut matching = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == column.name);
            let position = match (matching.next(), matching.next()) {
                (Some(_), Some(_)) => return Err(MarketError::Ambiguous { column: column.name }),
                (Some((position, field)), None) => {
                    if !column.kind.accepts(field.data_type()) {
                        return Err(MarketError::Type {
                            column: column.name,
                            expected: column.kind.expected(),
                            found: field.data_type().clone(),
                        });
                    }
                    Some(position)
                }
                (None, _) if column.optional => None,
                (None, _) => {
                    let found = schema.fields().iter().map(|field| field.name().clone()).collect();
                    return Err(MarketError::Missing { column: column.name, found });
                }
            };
            positions.push(position);
        }
        Ok(Layout { columns, positions })
    }

    /// Returns the columns that are there, by name.
    pub fn present(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.columns
            .iter()
            .zip(&self.positions)
            .filter(|(_, position)| position.is_some())
            .map(|(column, _)| column.name)
    }

    /// Whether a column is there.
    pub fn has(&self, name: &str) -> bool {
        self.present().any(|column| column == name)
    }

    /// Returns the columns in the table's order and types; an absent one is all null.
    ///
    /// Costs nothing where a column already has its type.
    ///
    /// # Errors
    ///
    /// A value does not fit, for example a timestamp in seconds that overflows in milliseconds.
    pub fn normalise(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let strict = CastOptions { safe: false, ..Default::default() };
        self.columns
            .iter()
            .zip(&self.positions)
            .map(|(column, position)| {
                let wanted = column.kind.data_type();
                match position {
                    None => Ok(new_null_array(&wanted, batch.num_rows())),
                    Some(position) => {
                        let array = batch.column(*position);
                        if *array.data_type() == wanted {
                            Ok(Arc::clone(array))
                        } else {
                            cast_with_options(array, &wanted, &strict)
                        }
                    }
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Array, AsArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int64Array, LargeStringArray,
        StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };
    use arrow::datatypes::{Field, Float64Type, Int32Type, TimestampMillisecondType};

    use super::super::tables::OPEN_INTEREST;
    use super::*;

    fn normalised(ts: ArrayRef, exchange: ArrayRef, value: ArrayRef) -> Vec<ArrayRef> {
        let symbol: ArrayRef = Arc::new(StringArray::from(vec!["BTCUSDT"]));
        let named = [
            ("extra", Arc::clone(&value)),
            ("open_interest", value),
            ("symbol", symbol),
            ("exchange", exchange),
            ("ts", ts),
        ];
        let fields: Vec<Field> = named.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), named.into_iter().map(|(_, a)| a).collect()).unwrap();
        Layout::find(OPEN_INTEREST.columns, &schema).unwrap().normalise(&batch).unwrap()
    }

    #[test]
    fn every_unit_and_zone_of_time_is_the_same_instant() {
        let seconds = 1_767_225_600;
        let times: Vec<ArrayRef> = vec![
            Arc::new(TimestampSecondArray::from(vec![seconds])),
            Arc::new(TimestampMillisecondArray::from(vec![seconds * 1000]).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000]).with_timezone("+00:00")),
            Arc::new(TimestampNanosecondArray::from(vec![seconds * 1_000_000_000])),
            Arc::new(TimestampSecondArray::from(vec![seconds]).with_timezone("Europe/Zurich")),
            Arc::new(Date32Array::from(vec![(seconds / 86_400) as i32])),
        ];
        for ts in times {
            let columns =
                normalised(ts, Arc::new(StringArray::from(vec!["binance"])), Arc::new(Int64Array::from(vec![7])));
            assert_eq!(columns[0].as_primitive::<TimestampMillisecondType>().value(0), seconds * 1000);
        }
    }

    #[test]
    fn every_form_of_text_and_number_is_read() {
        let ts: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0]));
        let texts: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["okx"])),
            Arc::new(LargeStringArray::from(vec!["okx"])),
            Arc::new(StringViewArray::from(vec!["okx"])),
            Arc::new(vec!["okx"].into_iter().collect::<DictionaryArray<Int32Type>>()),
        ];
        let decimal = Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap();
        let numbers: Vec<ArrayRef> =
            vec![Arc::new(Float32Array::from(vec![12.5])), Arc::new(decimal), Arc::new(Int64Array::from(vec![12]))];
        for text in texts {
            for number in &numbers {
                let columns = normalised(Arc::clone(&ts), Arc::clone(&text), Arc::clone(number));
                assert_eq!(columns[1].as_string_view().value(0), "okx");
                assert!((columns[3].as_primitive::<Float64Type>().value(0) - 12.25).abs() <= 0.25);
            }
        }
    }

    #[test]
    fn refusals_name_the_column_and_what_is_allowed() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let key = [field("exchange", DataType::Utf8), field("symbol", DataType::Utf8)];
        let find = |more: Vec<Field>| {
            let fields: Vec<Field> = more.into_iter().chain(key.clone()).collect();
            Layout::find(OPEN_INTEREST.columns, &Schema::new(fields)).unwrap_err().to_string()
        };
        assert_eq!(
            find(vec![field("ts", DataType::Date32)]),
            "must have a column 'open_interest', found: ts, exchange, symbol"
        );
        assert_eq!(
            find(vec![field("ts", DataType::Date32), field("open_interest", DataType::Utf8)]),
            "column 'open_interest' must be a number, was Utf8"
        );
        assert_eq!(
            find(vec![field("ts", DataType::Date32), field("ts", DataType::Date32)]),
            "has more than one column 'ts'"
        );
    }
}

//! The one Parquet writer.
//!
//! Files are written beside their place and renamed, so that no half file is ever seen. Within a file rows are sorted by
//! time, in row groups of at most 128 Ki rows, zstd, with statistics and page index, so that a reader skips what a
//! predicate on time excludes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::file::metadata::SortingColumn;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::ColumnPath;
use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, TimestampMillisecondType};
use chrono::{DateTime, Datelike};

use crate::error::{Error, Result};
use crate::market::tables::{Table, time_type};

/// Rows of a row group, at most.
const ROWS_PER_GROUP: usize = 128 * 1024;

/// Returns how a table is written.
///
/// Times of sorted rows have small differences. Quantities hardly repeat, and bytes of equal weight compress better side
/// by side; prices on a tick repeat, and a dictionary is smaller.
///
/// # Errors
///
/// The compression level is out of range, which it is not.
pub fn properties(table: &Table, level: i32) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(level).map_err(|error| Error::because("compression level", error))?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by("liqsql".to_owned());
    for column in table.columns {
        let path = ColumnPath::from(column.name);
        let encoding = match (table.name, column.name) {
            (_, "ts") => Some(Encoding::DELTA_BINARY_PACKED),
            (_, "volume" | "taker_buy_volume") | ("open_interest", "open_interest") => {
                Some(Encoding::BYTE_STREAM_SPLIT)
            }
            ("trades", "price" | "size") | ("liquidations", "price" | "bankruptcy_price" | "size" | "notional_usd") => {
                Some(Encoding::BYTE_STREAM_SPLIT)
            }
            _ => None,
        };
        if let Some(encoding) = encoding {
            properties =
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
        }
    }
    Ok(properties.build())
}

/// Writes one file whole: beside its place, then renamed.
///
/// # Errors
///
/// The folder cannot be made, the file cannot be written, or the batch does not have the table's order.
pub fn write_file(path: &Path, table: &Table, batch: &RecordBatch) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| Error::because(doing(), error))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let half = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_half(&half, table, batch)
        .and_then(|()| fs::rename(&half, path).map_err(|error| Error::because("renaming", error)));
    written.map_err(|error| {
        // What is left of a failed write must not lie about; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&half);
        Error::because(doing(), error)
    })
}

fn write_half(half: &Path, table: &Table, batch: &RecordBatch) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::new(error.to_string());
    let mut properties = properties(table, 9)?.into_builder();
    if let Ok(position) = batch.schema().index_of("ts") {
        let sorted = SortingColumn { column_idx: position as i32, descending: false, nulls_first: false };
        properties = properties.set_sorting_columns(Some(vec![sorted]));
    }
    let file = fs::File::create_new(half).map_err(|error| failed(&error))?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).map_err(|error| failed(&error))?;
    writer.write(batch).map_err(|error| failed(&error))?;
    writer.close().map_err(|error| failed(&error))?;
    Ok(())
}

/// Writes a table under a data root, one file per key and year or day, and returns the files.
///
/// Rows must be sorted by `ts` within each key; `exchange` and `symbol` become folders and leave the files.
///
/// # Errors
///
/// A key is not usable as the name of a folder, or a file cannot be written.
pub fn write_root(root: &Path, table: &Table, batch: &RecordBatch) -> Result<Vec<PathBuf>> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| Error::new(format!("{}: has no column '{name}'", table.name)))
    };
    let text = |name: &str| {
        let array = cast(column(name)?, &DataType::Utf8View)
            .map_err(|error| Error::because(format!("{}: column '{name}'", table.name), error))?;
        Ok::<_, Error>(array.as_string_view().clone())
    };
    let (exchanges, symbols) = (text("exchange")?, text("symbol")?);
    let times = match batch.column_by_name("ts") {
        Some(array) => {
            let array = cast(array, &time_type()).map_err(|error| Error::because("column 'ts'", error))?;
            Some(array.as_primitive::<TimestampMillisecondType>().clone())
        }
        None => None,
    };
    let mut rows: BTreeMap<PathBuf, Vec<u64>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let mut path = root.join(table.name);
        for (folder, values) in [("exchange", &exchanges), ("symbol", &symbols)] {
            let value = values.value(row);
            let usable = !value.is_empty()
                && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
                && !value.starts_with('.');
            if values.is_null(row) || !usable {
                return Err(Error::new(format!(
                    "{}: '{folder}' must be letters, digits, '_', '-' or '.', was '{value}' in row {}",
                    table.name,
                    row + 1
                )));
            }
            path.push(format!("{folder}={value}"));
        }
        if let Some(times) = &times {
            let time = DateTime::from_timestamp_millis(times.value(row))
                .ok_or_else(|| Error::new(format!("{}: 'ts' is out of range in row {}", table.name, row + 1)))?;
            path.push(match table.by_day {
                true => format!("date={}", time.format("%Y-%m-%d")),
                false => format!("year={:04}", time.year()),
            });
        }
        path.push("part.parquet");
        rows.entry(path).or_default().push(row as u64);
    }
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|&column| !matches!(batch.schema().field(column).name().as_str(), "exchange" | "symbol"))
        .collect();
    let narrow = batch.project(&kept).map_err(|error| Error::because(table.name, error))?;
    let mut written = Vec::with_capacity(rows.len());
    for (path, rows) in rows {
        let part =
            take_record_batch(&narrow, &UInt64Array::from(rows)).map_err(|error| Error::because(table.name, error))?;
        write_file(&path, table, &part)?;
        written.push(path);
    }
    Ok(written)
}

//! Files of separated values: columns by name, whether or not the file names them, and fields with their errors.

use std::cell::Cell;

use std::io::BufRead;

use crate::error::{Error, Result};
use crate::ingest::plausible::Guard;
use crate::ingest::reading::{BadRow, Out, TimeUnit, instant_and_unit};
use crate::ingest::source::Source;

/// Bytes of a line, at most: a row has a few hundred.
const LONGEST_LINE: u64 = 1024 * 1024;

const TOO_LONG: &str = "it is longer than 1 MiB: this is no file of rows";

/// Ends with an error where a line is too long to be one, before it takes memory.
struct ShortLines<R> {
    inner: R,
    /// Bytes since the last line break.
    since: u64,
}

impl<R: std::io::Read> std::io::Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = &buffer[..read];
        self.since = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => (read - at - 1) as u64,
            None => self.since + read as u64,
        };
        if self.since > LONGEST_LINE {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a line: {TOO_LONG}")));
        }
        Ok(read)
    }
}

/// The columns of a file.
#[derive(Debug)]
pub struct Delimited<'s, 'a> {
    source: &'s mut Source<'a>,
    names: Vec<String>,
    /// Lines before the first row.
    header_lines: u64,
}

/// The position of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field(usize);

impl<'s, 'a> Delimited<'s, 'a> {
    /// Opens a file whose first line names its columns, or, if it begins with a digit, has these.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is empty.
    pub fn open(source: &'s mut Source<'a>, without_header: &[&str]) -> Result<Delimited<'s, 'a>> {
        let mut first = source.peek()?;
        // A byte order mark, as spreadsheets write it.
        if first == Some(0xef) {
            let mut mark = [0; 3];
            source.reader().read_exact(&mut mark).map_err(|error| Error::because(source.name.clone(), error))?;
            first = source.peek()?;
        }
        let Some(first) = first else { return Err(Error::new(format!("{}: the file is empty", source.name))) };
        if first.is_ascii_digit() || first == b'-' {
            let names = without_header.iter().map(|name| (*name).to_owned()).collect();
            return Ok(Delimited { source, names, header_lines: 0 });
        }
        let mut line = String::new();
        let mut head = std::io::Read::take(source.reader(), LONGEST_LINE);
        head.read_line(&mut line).map_err(|error| Error::because(source.name.clone(), error))?;
        if !line.ends_with('\n') && line.len() as u64 >= LONGEST_LINE {
            return Err(Error::new(format!("{}: line 1: {TOO_LONG}", source.name)));
        }
        let names = line.trim_end().split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect();
        Ok(Delimited { source, names, header_lines: 1 })
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Finds a column that may be missing.
    pub fn optional(&self, name: &str) -> Option<Field> {
        self.names.iter().position(|known| known == name).map(Field)
    }

    /// Finds a column.
    ///
    /// # Errors
    ///
    /// The file has none of this name.
    pub fn column(&self, name: &str) -> Result<Field> {
        self.optional(name).ok_or_else(|| {
            let found = self.names.join(", ");
            Error::new(format!(
                "{}: has no column '{name}', found {found}: is it another kind of file?",
                self.source.name
            ))
        })
    }

    /// Reads every row.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or `each` refuses a row and bad rows are errors.
    pub fn each(
        self,
        out: &mut Out<'_>,
        mut each: impl FnMut(&Record<'_>, &mut Out<'_>) -> Result<Result<(), BadRow>>,
    ) -> Result<()> {
        let Delimited { source, names, header_lines } = self;
        let name = source.name.clone();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // No exchange quotes separators; a stray quote must not swallow the lines after it.
            .quoting(false)
            .buffer_capacity(1 << 18)
            .from_reader(ShortLines { inner: source.reader(), since: 0 });
        let mut record = csv::ByteRecord::new();
        let units = vec![Cell::new(None); names.len()];
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(Error::because(name, error)),
            }
            let line = record.position().map_or(0, csv::Position::line) + header_lines;
            if record.len() == 1 && record.get(0).is_some_and(|field| field.trim_ascii().is_empty()) {
                continue;
            }
            if record.len() < names.len() {
                let bad = BadRow(format!("has {} fields, the file has {} columns", record.len(), names.len()));
                out.refuse(line, &bad)?;
                continue;
            }
            let row = Record { record: &record, names: &names, units: &units, guard: out.guard(), line };
            if let Err(bad) = each(&row, out)? {
                out.refuse(line, &bad)?;
            }
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Record<'r> {
    record: &'r csv::ByteRecord,
    names: &'r [String],
    /// How each column writes instants, in the rows so far.
    units: &'r [Cell<Option<TimeUnit>>],
    guard: Guard,
    /// Where it stands in the file, from 1.
    pub line: u64,
}

impl<'r> Record<'r> {
    fn name(&self, field: Field) -> &str {
        self.names.get(field.0).map_or("", String::as_str)
    }

    /// The bytes of all fields, without what separates them.
    pub fn bytes(&self) -> &'r [u8] {
        self.record.as_slice()
    }

    /// A field as text.
    ///
    /// # Errors
    ///
    /// It is not UTF-8.
    pub fn text(&self, field: Field) -> Result<&'r str, BadRow> {
        let bytes = self.record.get(field.0).unwrap_or_default();
        let text = std::str::from_utf8(bytes)
            .map_err(|_| BadRow::new(self.name(field), "text", "bytes that are not UTF-8"))?;
        let text = text.trim();
        Ok(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
    }

    /// A field as a number.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn number(&self, field: Field) -> Result<f64, BadRow> {
        let text = self.text(field)?;
        text.parse().map_err(|_| BadRow::new(self.name(field), "a number", text))
    }

    /// A field as a number, `None` if it is empty.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn optional_number(&self, field: Option<Field>) -> Result<Option<f64>, BadRow> {
        match field {
            Some(field) if !self.text(field)?.is_empty() => self.number(field).map(Some),
            _ => Ok(None),
        }
    }

    /// A field as a whole number.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn id(&self, field: Field) -> Result<u64, BadRow> {
        let text = self.text(field)?;
        text.parse().map_err(|_| BadRow::new(self.name(field), "a whole number", text))
    }

    /// A field as milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// It is no instant, or in another unit than those before it.
    pub fn instant(&self, field: Field) -> Result<i64, BadRow> {
        let text = self.text(field)?;
        let read = instant_and_unit(text).ok_or_else(|| BadRow::new(self.name(field), "an instant", text))?;
        let (ts, unit) = read;
        if let Some(before) = self.units.get(field.0) {
            match before.get() {
                Some(before) if before != unit && self.guard == Guard::Refuse => {
                    let allowed = format!("{before} as in the rows before (--trust takes it as {unit})");
                    return Err(BadRow::new(self.name(field), &allowed, text));
                }
                Some(_) => {}
                None => before.set(Some(unit)),
            }
        }
        Ok(ts)
    }

    /// A field that is `true` or `false`, in any case.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn boolean(&self, field: Field) -> Result<bool, BadRow> {
        match self.text(field)? {
            "true" | "True" | "TRUE" | "1" => Ok(true),
            "false" | "False" | "FALSE" | "0" => Ok(false),
            other => Err(BadRow::new(self.name(field), "true or false", other)),
        }
    }
}

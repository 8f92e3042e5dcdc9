//! Pictures of liquidation heatmaps and maps: rows of query results in, a picture out.
//!
//! ```text
//! rows (record batches) ──► Frame ──► back end (terminal) ──► text
//!        columns by name     axes, grid, price     colours, characters
//! ```
//!
//! [`Frame`] knows rows and no pictures: it finds the columns, checks them, and lays the cells out on a time and a
//! price axis. A back end knows frames and no rows. Neither knows SQL, reads a file, asks for the time or looks at the
//! environment: the caller states the size and the colours in [`Options`] and prints what comes back.
//!
//! The invariant: the same rows and options give the same text, whatever the size of the batches. Where many cells of a
//! heatmap share one character the largest is drawn: a mean would wash out the thin levels that matter most.
//!
//! A heatmap is an estimate unless it was made from real positions; the title says `estimated` unless
//! [`Options::title`] replaces it.

mod axis;
mod canvas;
mod color;
mod columns;
mod frame;
mod raster;
mod terminal;

use std::fmt;

use arrow::error::ArrowError;

pub use color::{ColorDepth, Scale};
pub use frame::{Candle, Frame, Heatmap, Map, MapRow, PriceAxis, TimeAxis};
pub use terminal::draw;

/// The smallest picture, in characters: below this the axes leave no room for the cells.
pub const SMALLEST_WIDTH: u16 = 40;
/// The smallest picture, in lines.
pub const SMALLEST_HEIGHT: u16 = 12;

/// The largest picture in either direction: no terminal has more, and a mistaken size must not take all memory.
const LARGEST: u16 = 1_000;

/// How a picture is to look.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Characters in a line; of more than 1,000 so many are used.
    pub width: u16,
    /// Lines, at most 1,000, of the whole picture, title and footer included. A caller that draws above a prompt leaves a line for it.
    pub height: u16,
    /// Colours the terminal understands.
    pub color: ColorDepth,
    /// Replaces the title made from the rows.
    pub title: Option<String>,
    /// Hides cells below this share of the mean non-zero cell; 0 hides nothing. Must be finite and not negative.
    pub threshold: f64,
    /// How notional becomes colour.
    pub scale: Scale,
    /// Draws only the prices between these two. `None` draws all, without the outer rows in which nothing is visible.
    pub prices: Option<(f64, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 80,
            height: 24,
            color: ColorDepth::TrueColor,
            title: None,
            threshold: 0.85,
            scale: Scale::default(),
            prices: None,
        }
    }
}

impl Options {
    /// Characters and lines to draw in.
    fn size(&self) -> (usize, usize) {
        (usize::from(self.width.min(LARGEST)), usize::from(self.height.min(LARGEST)))
    }

    /// Checks the options that have a range.
    fn validate(&self) -> Result<(), RenderError> {
        if self.width < SMALLEST_WIDTH || self.height < SMALLEST_HEIGHT {
            return Err(RenderError::TooSmall { width: self.width, height: self.height });
        }
        if !self.threshold.is_finite() || self.threshold < 0.0 {
            return Err(RenderError::InvalidOption {
                option: "threshold",
                allowed: "a number of at least 0",
                was: self.threshold.to_string(),
            });
        }
        if let Some((low, high)) = self.prices
            && !(low >= 0.0 && high <= frame::LARGEST_PRICE && low < high)
        {
            return Err(RenderError::InvalidOption {
                option: "prices",
                allowed: "two prices, the lower one first",
                was: format!("{low} to {high}"),
            });
        }
        Ok(())
    }
}

/// Why there is no picture.
#[derive(Debug)]
#[non_exhaustive]
pub enum RenderError {
    /// No result has anything that can be drawn.
    Empty {
        /// What was found instead.
        reason: String,
    },
    /// No result has the columns of a heatmap or of a map.
    MissingColumns {
        /// Columns the closest result lacks.
        missing: Vec<&'static str>,
        /// Columns it has.
        found: Vec<String>,
    },
    /// A column has a type that cannot be drawn.
    ColumnType {
        /// Its name.
        column: String,
        /// Types it may have.
        allowed: &'static str,
        /// Its type.
        was: String,
    },
    /// A column holds a value that cannot be drawn.
    ColumnValue {
        /// Its name.
        column: String,
        /// Values it may hold.
        allowed: String,
        /// The value.
        was: String,
    },
    /// One picture shows one symbol.
    SeveralSymbols {
        /// Those found, sorted.
        symbols: Vec<String>,
    },
    /// A map shows one instant.
    SeveralInstants {
        /// How many there are.
        count: usize,
        /// The first, as text.
        first: String,
        /// The last, as text.
        last: String,
    },
    /// The dense grid would not fit in a sensible amount of memory.
    TooManyCells {
        /// Time buckets.
        columns: u64,
        /// Step between two time buckets.
        time_step: String,
        /// Price rows.
        rows: u64,
        /// Height of a price row.
        price_step: f64,
    },
    /// No picture fits in this size.
    TooSmall {
        /// Characters in a line.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// An option is out of its range.
    InvalidOption {
        /// Its name.
        option: &'static str,
        /// What it may be.
        allowed: &'static str,
        /// What it was.
        was: String,
    },
    /// A column could not be read.
    Arrow(ArrowError),
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { reason } => write!(f, "render: nothing to draw: {reason}"),
            Self::MissingColumns { missing, found } => write!(
                f,
                "render: no result is a heatmap or a map: {} {} missing, columns found: {}",
                quoted(missing),
                if missing.len() == 1 { "is" } else { "are" },
                found.join(", "),
            ),
            Self::ColumnType { column, allowed, was } => {
                write!(f, "render: column '{column}' must be {allowed}, was {was}")
            }
            Self::ColumnValue { column, allowed, was } => {
                write!(f, "render: column '{column}' must hold {allowed}, was {was}")
            }
            Self::SeveralSymbols { symbols } => write!(
                f,
                "render: a picture shows one symbol, found {}: {}; filter with WHERE symbol = '…'",
                symbols.len(),
                symbols.join(", "),
            ),
            Self::SeveralInstants { count, first, last } => write!(
                f,
                "render: a map shows one 'ts', found {count} from {first} to {last}; filter with WHERE ts = …",
            ),
            Self::TooManyCells { columns, time_step, rows, price_step } => write!(
                f,
                "render: the picture would have {columns} time buckets of {time_step} × {rows} prices of {price_step}, \
                 more than {} cells; use a larger 'step' or 'price_step', or filter 'ts' or the prices",
                frame::MOST_CELLS,
            ),
            Self::TooSmall { width, height } => write!(
                f,
                "render: terminal too small: at least {SMALLEST_WIDTH}x{SMALLEST_HEIGHT}, was {width}x{height}",
            ),
            Self::InvalidOption { option, allowed, was } => {
                write!(f, "render: '{option}' must be {allowed}, was {was}")
            }
            Self::Arrow(error) => write!(f, "render: {error}"),
        }
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

impl std::error::Error for RenderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Arrow(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ArrowError> for RenderError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

//! Pictures of liquidation heatmaps, maps and what belongs to them: rows of query results in, a picture out.
//!
//! ```text
//! record batches ──► rows ──► Frame ──┬─► terminal ──► text with colours
//!                columns by name      ├─► scene ──┬─► svg
//!                                     │ (shapes)  └─► png
//!                                     └─► html ──► one page, drawn by its own script
//! ```
//!
//! `rows` finds the columns, checks them, and lays the cells out on a time and a price axis. A [`Frame`] knows no rows
//! and no pixels, a back end knows frames and no rows. None knows SQL, reads a file, asks for the time or looks at the
//! environment: the caller states the size and the colours and writes what comes back.
//!
//! The invariant: the same rows and options give the same bytes, whatever the size of the batches. Where many cells of a
//! heatmap share one character or pixel the largest is drawn: a mean would wash out the thin levels that matter most.

mod axis;
mod coinglass;
mod color;
mod frame;
mod html;
mod palette;
mod png;
mod raster;
mod rows;
mod scene;
mod svg;
mod terminal;
mod view;

use std::fmt;

use arrow::error::ArrowError;

pub use coinglass::to_coinglass;
pub use color::{ColorDepth, Scale};
pub use frame::{
    Band, Candle, Chart, ChartX, Frame, Heatmap, Layer, LayeredBy, Map, MapRow, Origin, OriginKind, Panel, Point, Pool,
    PoolSide, PriceAxis, Series, SeriesMark, Sides, TimeAxis, Tone, Unit,
};
pub use rows::{Rows, RowsBuilder, Selection, TimeRange};

/// The smallest picture, in characters: below this the axes leave no room for the cells.
pub const SMALLEST_WIDTH: u16 = 40;
/// The smallest picture, in lines.
pub const SMALLEST_HEIGHT: u16 = 12;

/// The smallest picture in a file, in units of the layout.
pub const SMALLEST_PAPER: (u32, u32) = (320, 240);
/// A mistaken size must not take all memory.
const MOST_PIXELS: f64 = 1.0e8;
/// The farthest from the current price that [`Prices::Around`] reaches.
const LARGEST_SHARE: f64 = 100.0;

/// The largest picture in a terminal in either direction: no terminal has more, and a mistaken size must not take all memory.
const LARGEST: u16 = 1_000;

/// How a picture is to look, whatever it is drawn with.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Replaces the title made from the rows.
    pub title: Option<String>,
    /// Hides cells below this share of the mean non-zero cell; 0 hides nothing. Must be finite and not negative.
    pub threshold: f64,
    /// How notional becomes colour.
    pub scale: Scale,
    /// Draws only these prices. `None` draws all, without the outer rows in which nothing is visible.
    pub prices: Option<Prices>,
    /// Light or dark paper; a terminal has its own.
    pub theme: Theme,
}

impl Default for Options {
    fn default() -> Self {
        Self { title: None, threshold: 0.85, scale: Scale::default(), prices: None, theme: Theme::default() }
    }
}

/// The prices of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prices {
    /// The lower and the upper one.
    Between(f64, f64),
    /// This share of the current price below it and above it: 0.1 is ten per cent.
    Around(f64),
}

/// The paper of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Light text on dark paper, as traders' screens are.
    #[default]
    Dark,
    /// Dark text on white paper.
    Light,
}

/// The room of a picture in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line; of more than 1,000 so many are used.
    pub width: u16,
    /// Lines, at most 1,000, of the whole picture, title and footer included. A caller that draws above a prompt leaves a line for it.
    pub height: u16,
    /// Colours the terminal understands.
    pub color: ColorDepth,
}

impl Default for Screen {
    fn default() -> Self {
        Self { width: 80, height: 24, color: ColorDepth::TrueColor }
    }
}

impl Screen {
    /// Characters and lines to draw in.
    fn size(&self) -> (usize, usize) {
        (usize::from(self.width.min(LARGEST)), usize::from(self.height.min(LARGEST)))
    }
}

/// The size of a picture in a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// Width in units of the layout: pixels at a ratio of 1.
    pub width: u32,
    /// Height in the same units.
    pub height: u32,
    /// Pixels per unit: 2 for screens of twice the density. Text and lines keep their size in relation to the picture.
    pub ratio: f64,
}

impl Default for Paper {
    fn default() -> Self {
        Self { width: 1_600, height: 900, ratio: 1.0 }
    }
}

impl Options {
    /// Checks the options that have a range.
    fn validate(&self) -> Result<(), RenderError> {
        let refused = |option, allowed, was| Err(RenderError::InvalidOption { option, allowed, was });
        if !self.threshold.is_finite() || self.threshold < 0.0 {
            return refused("threshold", "a number of at least 0", axis::given(self.threshold));
        }
        match self.prices {
            Some(Prices::Between(low, high)) if !(low >= 0.0 && high <= rows::LARGEST_PRICE && low < high) => {
                let was = format!("{} to {}", axis::given(low), axis::given(high));
                refused("prices", "two prices from 0 to 1e15, the lower one first", was)
            }
            Some(Prices::Around(share)) if !(share > 0.0 && share <= LARGEST_SHARE) => {
                refused("prices", "a share of the price above 0 %, of at most 10000 %", view::share_given(share))
            }
            _ => Ok(()),
        }
    }
}

impl Screen {
    fn validate(&self) -> Result<(), RenderError> {
        if self.width < SMALLEST_WIDTH || self.height < SMALLEST_HEIGHT {
            return Err(RenderError::TooSmall {
                smallest: (u32::from(SMALLEST_WIDTH), u32::from(SMALLEST_HEIGHT)),
                was: (u32::from(self.width), u32::from(self.height)),
            });
        }
        Ok(())
    }
}

impl Paper {
    fn validate(&self) -> Result<(), RenderError> {
        if self.width < SMALLEST_PAPER.0 || self.height < SMALLEST_PAPER.1 {
            return Err(RenderError::TooSmall { smallest: SMALLEST_PAPER, was: (self.width, self.height) });
        }
        let pixels = f64::from(self.width) * f64::from(self.height) * self.ratio * self.ratio;
        if !(0.5..=8.0).contains(&self.ratio) {
            let (allowed, was) = ("a number from 0.5 to 8", axis::given(self.ratio));
            return Err(RenderError::InvalidOption { option: "pixel-ratio", allowed, was });
        }
        if pixels > MOST_PIXELS {
            return Err(RenderError::InvalidOption {
                option: "size",
                allowed: "a picture of at most 100 million pixels",
                was: format!("{}x{} at a pixel ratio of {}", self.width, self.height, self.ratio),
            });
        }
        Ok(())
    }
}

/// Draws for a terminal.
///
/// Returns at most [`Screen::height`] lines of at most [`Screen::width`] characters, each ended by a line break. It is a
/// pure function: the caller finds out the size of the terminal and its colours, and prints.
///
/// # Errors
///
/// [`RenderError::TooSmall`], [`RenderError::InvalidOption`], or [`RenderError::Empty`] if nothing stands at the prices
/// asked for.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
/// use liqsql::render::{ColorDepth, Frame, Options, Rows, Screen, Selection, to_text};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heatmap = RecordBatch::try_from_iter([
///     ("ts", Arc::new(TimestampMillisecondArray::from(vec![0, 0])) as ArrayRef),
///     ("price_low", Arc::new(Float64Array::from(vec![95.0, 104.0]))),
///     ("price_high", Arc::new(Float64Array::from(vec![96.0, 105.0]))),
///     ("side", Arc::new(StringArray::from(vec!["long", "short"]))),
///     ("notional_usd", Arc::new(Float64Array::from(vec![1.0e6, 2.0e6]))),
///     ("price", Arc::new(Float64Array::from(vec![100.0, 100.0]))),
/// ])?;
/// let frame = Frame::try_from_results(&[Rows::from(vec![heatmap])], &Selection::default())?;
/// let picture = to_text(&frame, &Options::default(), Screen { color: ColorDepth::None, ..Screen::default() })?;
/// assert!(picture.starts_with("liquidation heatmap · 1970-01-01 00:00 UTC"));
/// # Ok(())
/// # }
/// ```
pub fn to_text(frame: &Frame, options: &Options, screen: Screen) -> Result<String, RenderError> {
    options.validate()?;
    screen.validate()?;
    terminal::draw(frame, options, screen)
}

/// Draws as the bytes of a PNG file.
///
/// # Errors
///
/// As [`to_text`].
pub fn to_png(frame: &Frame, options: &Options, paper: Paper) -> Result<Vec<u8>, RenderError> {
    options.validate()?;
    paper.validate()?;
    png::encode(&scene::draw(frame, options, paper)?, paper)
}

/// Draws as the text of an SVG file: one picture without fonts, scripts or links. The ratio of `paper` says how fine the
/// grid of a heatmap in it is; lines and text have no pixels.
///
/// # Errors
///
/// As [`to_text`].
pub fn to_svg(frame: &Frame, options: &Options, paper: Paper) -> Result<String, RenderError> {
    options.validate()?;
    paper.validate()?;
    svg::encode(&scene::draw(frame, options, paper)?)
}

/// Draws as one HTML page that needs nothing else: no network, no fonts, no library. Several frames stand below each
/// other; heatmaps (or maps) that differ in symbol, model or exchanges share one place and are chosen there.
///
/// # Errors
///
/// As [`to_text`], and [`RenderError::Empty`] without a frame.
pub fn to_html(frames: &[Frame], options: &Options) -> Result<String, RenderError> {
    options.validate()?;
    html::page(frames, options)
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
    /// One picture shows one model.
    SeveralModels {
        /// Those found, sorted.
        models: Vec<String>,
    },
    /// Rows that should be one: which of them is meant?
    Ambiguous {
        /// What several rows say: `the candle of 2026-02-10 00:00`.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A legend has a limit.
    TooManyLines {
        /// How many there would be.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A page has a limit.
    TooManyPictures {
        /// How many there would be.
        count: usize,
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
        /// The least width and height.
        smallest: (u32, u32),
        /// Those asked for.
        was: (u32, u32),
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
                "render: nothing here can be drawn, though a table can be printed: a heatmap lacks {}, and a series 'ts' with a \
                 number beside it; columns found: {}",
                quoted(missing),
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
                "render: a picture shows one symbol, found {}: {}; filter with WHERE symbol = '…', or draw an .html page, which \
                 lets you choose",
                symbols.len(),
                symbols.join(", "),
            ),
            Self::SeveralModels { models } => write!(
                f,
                "render: a picture shows one model, found {}: {}; filter with WHERE model = '…', or draw an .html page, \
                 which lets you choose",
                models.len(),
                models.join(", "),
            ),
            Self::Ambiguous { what, advice } => write!(f, "render: several rows are {what}; {advice}"),
            Self::TooManyLines { count, most } => {
                write!(f, "render: a panel holds at most {most} lines, found {count}; filter with WHERE")
            }
            Self::TooManyPictures { count } => write!(
                f,
                "render: a page holds at most {} combinations of symbol, model and exchange, found {count}; filter with WHERE",
                rows::MOST_PICTURES,
            ),
            Self::SeveralInstants { count, first, last } => write!(
                f,
                "render: a map or a cascade shows one 'ts', found {count} from {first} to {last}; filter with WHERE ts = …",
            ),
            Self::TooManyCells { columns, time_step, rows, price_step } => write!(
                f,
                "render: the picture would have {columns} time buckets of {time_step} × {rows} prices of {}, \
                 more than {} cells; use a larger 'step' or 'price_step', or filter 'ts' or the prices",
                axis::step(*price_step),
                rows::MOST_CELLS,
            ),
            Self::TooSmall { smallest, was } => write!(
                f,
                "render: too small for a picture: at least {}x{}, was {}x{}",
                smallest.0, smallest.1, was.0, was.1,
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

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_name_their_bounds_in_few_digits() {
        let said = |prices| Options { prices: Some(prices), ..Options::default() }.validate().unwrap_err().to_string();
        let between = "render: 'prices' must be two prices from 0 to 1e15, the lower one first, was";
        assert_eq!(said(Prices::Between(1.0, 1e16)), format!("{between} 1 to 1e16"));
        assert_eq!(said(Prices::Between(-1e300, 5.0)), format!("{between} -1e300 to 5"));
        let around = "render: 'prices' must be a share of the price above 0 %, of at most 10000 %, was";
        assert_eq!(said(Prices::Around(200.0)), format!("{around} 20000 %"));
        assert_eq!(said(Prices::Around(1e300)), format!("{around} 1e302 %"));
        assert_eq!(said(Prices::Around(f64::NAN)), format!("{around} NaN %"));
        assert!(Options { prices: Some(Prices::Around(100.0)), ..Options::default() }.validate().is_ok());
        let threshold = Options { threshold: -1e300, ..Options::default() }.validate().unwrap_err().to_string();
        assert_eq!(threshold, "render: 'threshold' must be a number of at least 0, was -1e300");
        let ratio = Paper { ratio: 1e300, ..Paper::default() }.validate().unwrap_err().to_string();
        assert_eq!(ratio, "render: 'pixel-ratio' must be a number from 0.5 to 8, was 1e300");
    }
}

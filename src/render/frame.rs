//! What a picture shows, on its axes, before any size or colour is chosen: no rows, no pixels.
//!
//! [`Heatmap`] is time × price, [`Map`] is price at one instant, [`Chart`] is everything else that has an x and a y: a
//! cascade, totals and funding over time, scores with their intervals. [`super::rows`] makes them from record batches,
//! the back ends draw them.

use super::axis;

/// The name of a part whose rows do not say to which leverage or exchange they belong.
pub(super) const NOT_STATED: &str = "not stated";
/// Amounts and values beyond this have no place on an axis.
pub(super) const LARGEST_VALUE: f64 = 1e24;
/// Some 31,000 years from the epoch, in milliseconds: later instants have no date.
pub(super) const LATEST_MS: u64 = 1_000_000_000_000_000;

/// What a picture shows.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a picture has one frame")]
pub enum Frame {
    /// Time × price.
    Heatmap(Heatmap),
    /// Price at one instant, with cumulative amounts.
    Map(Map),
    /// Lines, bars and intervals.
    Chart(Chart),
}

/// Where the drawn rows come from, as far as the query tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Whether somebody held these positions.
    pub kind: OriginKind,
    /// How the book is shown: `precise`, `zones`, `deep`.
    pub model: Option<String>,
    /// What the query set of the functions it calls, as name and value: `step` and `1h`.
    pub parameters: Vec<(String, String)>,
    /// Which share of the book the amounts are: `book: as if everybody stayed`.
    pub coverage: Option<String>,
    /// Whether the market itself is made up.
    pub is_simulated: bool,
    /// Whose rows the query asked for, where the rows do not say.
    pub exchange: Option<String>,
    /// See [`Origin::exchange`].
    pub symbol: Option<String>,
}

/// Whether amounts are estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginKind {
    /// From candles and open interest.
    Estimated,
    /// From positions that somebody holds.
    RealPositions,
    /// From liquidation prices that were given, whoever made them.
    Given,
    /// Both beside each other.
    EstimatedAndGiven,
    /// The rows do not say: a table or a file was read.
    #[default]
    Unknown,
}

impl OriginKind {
    /// The words of the footer.
    pub fn label(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::RealPositions => "real positions",
            Self::Given => "liquidation prices as given",
            Self::EstimatedAndGiven => "estimated and given",
            Self::Unknown => "origin not stated",
        }
    }
}

impl Origin {
    /// The words of the footer: `estimated`, or `estimated, simulated market`.
    pub fn label(&self) -> String {
        match (self.kind, self.is_simulated) {
            (kind, false) => kind.label().to_owned(),
            (OriginKind::Estimated, true) => "estimated, simulated market".to_owned(),
            (OriginKind::RealPositions, true) => "known positions, simulated market".to_owned(),
            (OriginKind::Unknown, true) => "simulated market".to_owned(),
            (kind, true) => format!("{}, simulated market", kind.label()),
        }
    }

    /// What is true of rows of both.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.kind = match (self.kind, other.kind) {
            (one, other) if one == other => one,
            (one, OriginKind::Unknown) => one,
            (OriginKind::Unknown, other) => other,
            (OriginKind::Estimated | OriginKind::EstimatedAndGiven, _)
            | (_, OriginKind::Estimated | OriginKind::EstimatedAndGiven) => OriginKind::EstimatedAndGiven,
            _ => OriginKind::Given,
        };
        both.model = self.model.clone().or(other.model.clone());
        both.coverage = self.coverage.clone().or(other.coverage.clone());
        both.parameters.extend(other.parameters.iter().filter(|one| !self.parameters.contains(one)).cloned());
        both.is_simulated |= other.is_simulated;
        both
    }

    /// The model and the parameters that the query set: `model precise`, `step 1h`. Empty if the query tells nothing.
    pub fn parameter_parts(&self) -> Vec<String> {
        let model = self.model.iter().map(|model| format!("model {model}"));
        model.chain(self.parameters.iter().map(|(name, value)| format!("{name} {value}"))).collect()
    }
}

/// Notional by time and price.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heatmap {
    /// Those summed, sorted; empty if no row says. Where only some do, the others are `not stated`, the last one.
    pub exchanges: Vec<String>,
    /// The one symbol, if the rows say.
    pub symbol: Option<String>,
    /// Where the rows come from.
    pub origin: Origin,
    /// Columns of the grid.
    pub time: TimeAxis,
    /// Rows of the grid.
    pub price: PriceAxis,
    /// USD, column by column: the cell of `column` and `row` is at `column * price.count + row`, row 0 is the lowest.
    pub cells: Vec<f64>,
    /// Beside every cell, which sides stand there.
    pub sides: Vec<Sides>,
    /// The parts of the cells by leverage, lowest leverage first and what states none last; empty if no row states one or
    /// they were not asked for.
    pub bands: Vec<Band>,
    /// Per column: whether any row has this `ts`. The others are gaps in the data, not empty books.
    pub is_present: Vec<bool>,
    /// Per column: the current price, the mean over exchanges. It is the close of the last bar before `ts`.
    pub current: Vec<Option<f64>>,
    /// Per column: the candle of the bars that open within the column. Of several exchanges it opens and closes at their
    /// means and reaches from the lowest low to the highest high. Empty if no result has candles.
    pub candles: Vec<Option<Candle>>,
    /// The pools at the last instant, largest first. Empty if no result has pools.
    pub pools: Vec<Pool>,
    /// Long and short notional that stands in the last column.
    pub last_usd: (f64, f64),
    /// Rows of this picture, its candles and its pools that were left out because a value in them was null. Rows that do
    /// not say whose they are count in every picture.
    pub ignored_rows: usize,
}

/// A part of the cells of a [`Heatmap`].
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// `100x`, or `25–49x` where there are many, or `not stated`.
    pub name: String,
    /// As [`Heatmap::cells`].
    pub cells: Vec<f64>,
}

/// Which sides stand in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides(u8);

impl Sides {
    /// Nothing stands there.
    pub const NONE: Self = Self(0);
    /// Positions that are liquidated when price falls to here.
    pub const LONG: Self = Self(1);
    /// Positions that are liquidated when price rises to here.
    pub const SHORT: Self = Self(2);

    /// Both of what either has.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// 0 nothing, 1 long, 2 short, 3 both.
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// Neighbouring bright cells of one side, as `liq_pools` finds them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// Which of the two.
    pub side: PoolSide,
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Price of the brightest cell, or the middle.
    pub price: f64,
    /// USD.
    pub usd: f64,
    /// From the current price, as a signed fraction.
    pub distance: Option<f64>,
}

/// Side of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolSide {
    /// Below price.
    Long,
    /// Above price.
    Short,
}

impl PoolSide {
    /// As the rows write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }
}

impl Pool {
    /// `$2.4M · +3.1 %`.
    pub fn label(&self) -> String {
        let usd = axis::usd(self.usd);
        match self.distance {
            Some(distance) => format!("{usd} · {}", axis::signed_percent(distance)),
            None => usd,
        }
    }

    /// `short $2.4M · +3.1 %`.
    pub(super) fn label_with_side(&self) -> String {
        format!("{} {}", self.side.name(), self.label())
    }
}

impl Heatmap {
    /// What is shown: `binance BTCUSDT liquidation heatmap`.
    pub fn subject(&self) -> String {
        subject(&self.exchanges, self.symbol.as_deref(), "liquidation heatmap")
    }

    /// From the first to the last column: `2026-02-10 00:00 … 2026-03-16 23:00 UTC`.
    pub fn range_label(&self) -> String {
        format!("{} UTC", axis::instants(self.time.first_ms, self.time.last_ms()))
    }

    /// The last known price: the one that the rows state, from which distances are measured, else a candle's close.
    pub fn last_price(&self) -> Option<f64> {
        self.current.iter().rev().find_map(|price| *price)
    }

    /// Says so if all that stands at the end on one side is below the threshold: an empty half is not an empty book.
    pub(super) fn hidden_side(&self, threshold_usd: f64) -> Option<String> {
        let from = self.cells.len().checked_sub(self.price.count)?;
        let largest = |side: Sides| {
            let cells = self.cells.iter().zip(&self.sides).skip(from);
            cells.filter(|(_, sides)| **sides == side).map(|(usd, _)| *usd).fold(0.0, f64::max)
        };
        let is_hidden = |largest: f64| largest > 0.0 && largest < threshold_usd;
        match (is_hidden(largest(Sides::LONG)), is_hidden(largest(Sides::SHORT))) {
            (true, true) => Some("all that stands at the end is below the threshold".to_owned()),
            (true, false) => Some("all longs at the end are below the threshold".to_owned()),
            (false, true) => Some("all shorts at the end are below the threshold".to_owned()),
            (false, false) => None,
        }
    }

    /// The candles of several columns as one, or the prices where there are none.
    pub fn candle(&self, columns: std::ops::Range<usize>) -> Option<Candle> {
        let candles = self.candles.get(columns).unwrap_or_default().iter().flatten().copied();
        candles.reduce(Candle::followed_by)
    }

    /// What a cell measures: `1 h × 100`.
    pub(super) fn cell_label(&self) -> String {
        format!("{} × {}", axis::duration(self.time.step_ms), axis::step(self.price.step))
    }

    /// How many of the columns the rows have: `337 of 360 steps`.
    pub fn coverage_label(&self) -> String {
        let present = self.is_present.iter().filter(|is_present| **is_present).count();
        format!("{} of {} steps", axis::count(present), axis::count(self.time.count))
    }
}

impl Map {
    /// What is shown: `binance BTCUSDT liquidation map`.
    pub fn subject(&self) -> String {
        subject(&self.exchanges, self.symbol.as_deref(), "liquidation map")
    }
}

/// What a picture says of rows that it leaves out: `2 rows with nulls ignored`.
pub(super) fn ignored_label(rows: usize) -> Option<String> {
    match rows {
        0 => None,
        1 => Some("1 row with nulls ignored".to_owned()),
        _ => Some(format!("{} rows with nulls ignored", axis::count(rows))),
    }
}

pub(super) fn subject(exchanges: &[String], symbol: Option<&str>, noun: &str) -> String {
    let exchanges = (!exchanges.is_empty()).then(|| exchanges.join("+"));
    let words: Vec<&str> = exchanges.as_deref().into_iter().chain(symbol).chain([noun]).collect();
    words.join(" ")
}

/// Equal steps of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeAxis {
    /// Milliseconds since the epoch, UTC, of the first column.
    pub first_ms: i64,
    /// Milliseconds between two columns.
    pub step_ms: i64,
    /// Columns.
    pub count: usize,
}

impl TimeAxis {
    /// The `ts` of the last column.
    pub fn last_ms(&self) -> i64 {
        self.first_ms.saturating_add(self.step_ms.saturating_mul(self.count.saturating_sub(1) as i64))
    }

    /// The end of the last column.
    pub fn end_ms(&self) -> i64 {
        self.last_ms().saturating_add(self.step_ms)
    }

    /// The column in which an instant lies.
    pub fn column(&self, ms: i64) -> Option<usize> {
        let column = ms.checked_sub(self.first_ms)?.checked_div_euclid(self.step_ms)?;
        let column = usize::try_from(column).ok()?;
        (column < self.count).then_some(column)
    }
}

/// Equal steps of price.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PriceAxis {
    /// Lower edge of row 0.
    pub low: f64,
    /// Height of a row.
    pub step: f64,
    /// Rows.
    pub count: usize,
}

impl PriceAxis {
    /// Upper edge of the last row.
    pub fn high(&self) -> f64 {
        self.low + self.step * self.count as f64
    }

    /// Decimals that write every edge.
    pub(super) fn decimals(&self) -> usize {
        axis::edge_decimals(self.low, self.low + self.step)
    }
}

/// The prices traded within one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
}

impl Candle {
    /// Both as one.
    pub(super) fn followed_by(self, next: Self) -> Self {
        Self { open: self.open, high: self.high.max(next.high), low: self.low.min(next.low), close: next.close }
    }
}

/// Notional by price at one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// See [`Heatmap::exchanges`].
    pub exchanges: Vec<String>,
    /// The one symbol, if the rows say.
    pub symbol: Option<String>,
    /// Where the rows come from.
    pub origin: Origin,
    /// The instant, if the rows say.
    pub at_ms: Option<i64>,
    /// The current price: as stated, or worked out from `distance`, or between the sides.
    pub current: Option<f64>,
    /// By price, lowest first.
    pub rows: Vec<MapRow>,
    /// The parts of the rows by leverage or by exchange, what states none last; empty if the rows do not tell them apart.
    pub layers: Vec<Layer>,
    /// What the layers are.
    pub layered_by: LayeredBy,
    /// The pools at the instant, largest first. Empty if no result has pools.
    pub pools: Vec<Pool>,
    /// See [`Heatmap::ignored_rows`].
    pub ignored_rows: usize,
}

/// What tells the layers of a [`Map`] apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayeredBy {
    /// There are none.
    #[default]
    Nothing,
    /// Low leverage first.
    Leverage,
    /// Sorted by name.
    Exchange,
}

/// A part of the rows of a [`Map`].
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `100x`, `25–49x` or `binance`, or `not stated`.
    pub name: String,
    /// USD of both sides, beside [`Map::rows`].
    pub usd: Vec<f64>,
}

/// One price bucket of a [`Map`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapRow {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Positions that are liquidated when price falls to here.
    pub long_usd: f64,
    /// Positions that are liquidated when price rises to here.
    pub short_usd: f64,
    /// All longs from the current price down to and with this bucket, if longs stand here.
    pub cumulative_long_usd: Option<f64>,
    /// All shorts from the current price up to and with this bucket, if shorts stand here.
    pub cumulative_short_usd: Option<f64>,
}

/// Panels above each other that share the meaning of x: a cascade, series over time, scores.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// What is shown: `binance BTCUSDT liquidation cascade`.
    pub subject: String,
    /// Where the rows come from.
    pub origin: Origin,
    /// What x is.
    pub x: ChartX,
    /// From top to bottom.
    pub panels: Vec<Panel>,
    /// What a reader must know of what is not shown: `leverage_band: rows 'all'`.
    pub notes: Vec<String>,
}

/// What the x of a [`Chart`] is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ChartX {
    /// Milliseconds since the epoch, UTC.
    #[default]
    Time,
    /// A plain number with a name: `step`.
    Number(String),
    /// Each panel has values on x, and its points lie on labelled lines: y is the position in [`Panel::labels`].
    Value,
}

/// One of the stacked parts of a [`Chart`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// `USD`, `funding_rate`, the name of a score.
    pub title: String,
    /// How its values are written.
    pub unit: Unit,
    /// What is drawn, in drawing order.
    pub series: Vec<Series>,
    /// With [`ChartX::Value`]: the lines from top to bottom.
    pub labels: Vec<String>,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// `$1.2M`.
    Usd,
    /// A fraction, written in per cent.
    Percent,
    /// A price.
    Price,
    /// A plain number.
    #[default]
    Number,
}

impl Unit {
    /// A value with its unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Usd => axis::usd(value),
            Self::Percent => axis::percent(value),
            Self::Price => axis::decimal(value, axis::price_decimals(value.abs())),
            Self::Number => axis::number(value),
        }
    }
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// As the legend names it.
    pub name: String,
    /// How it is drawn.
    pub mark: SeriesMark,
    /// Which colour it takes.
    pub tone: Tone,
    /// By x.
    pub points: Vec<Point>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesMark {
    /// A line through the points; it breaks at gaps ([`Point::y`] that is not a number).
    Line,
    /// A bar from zero to each point.
    Bar,
    /// A dot with its interval, with [`ChartX::Value`]; elsewhere a line.
    Interval,
}

/// The colour of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Longs, falling prices hit them.
    Long,
    /// Shorts.
    Short,
    /// Prices and what belongs to no side.
    Neutral,
    /// One of several of a kind: 0, 1, 2 …
    Kind(usize),
}

/// A value, with an interval if it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// On the x axis of the chart; the value, with [`ChartX::Value`].
    pub x: f64,
    /// On the y axis of the panel; the position of the label, with [`ChartX::Value`].
    pub y: f64,
    /// The interval of the value, its lower end first; drawn with [`ChartX::Value`].
    pub interval: Option<(f64, f64)>,
}

/// Whether a value has a place on an axis; NaN has none.
pub(super) fn is_drawable(value: f64) -> bool {
    value.abs() <= LARGEST_VALUE
}

impl Point {
    /// Whether it is drawn where x is a time or a number.
    pub(super) fn is_drawn(&self) -> bool {
        self.x.abs() <= LATEST_MS as f64 && is_drawable(self.y)
    }

    /// Whether it is drawn where x is the value and y a line.
    pub(super) fn is_drawn_as_value(&self) -> bool {
        is_drawable(self.x) && self.y >= 0.0 && is_drawable(self.y)
    }

    /// The interval, if both of its ends can be drawn.
    pub(super) fn drawn_interval(&self) -> Option<(f64, f64)> {
        self.interval.filter(|(low, high)| is_drawable(*low) && is_drawable(*high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_without_a_step_has_no_columns() {
        assert_eq!(TimeAxis::default().column(5), None);
        assert_eq!(TimeAxis { first_ms: 10, step_ms: 5, count: 2 }.column(19), Some(1));
        assert_eq!(TimeAxis { first_ms: 10, step_ms: 5, count: 2 }.column(20), None);
        assert_eq!(TimeAxis { first_ms: i64::MIN, step_ms: -1, count: 2 }.column(0), None);
    }

    #[test]
    fn ignored_rows_are_counted_in_words() {
        let labels = [0, 1, 2, 1_234].map(|rows| ignored_label(rows).unwrap_or_default());
        assert_eq!(
            labels,
            ["", "1 row with nulls ignored", "2 rows with nulls ignored", "1,234 rows with nulls ignored"]
        );
    }

    #[test]
    fn the_size_of_a_cell_is_written_as_it_is() {
        let mut heatmap = Heatmap::default();
        heatmap.time.step_ms = 7_200_000;
        for (step, expected) in [(100.0, "100"), (12.25, "12.25"), (0.1 + 0.2, "0.3"), (2.5e-10, "0.00000000025")] {
            heatmap.price.step = step;
            assert_eq!(heatmap.cell_label(), format!("2 h × {expected}"));
        }
    }
}

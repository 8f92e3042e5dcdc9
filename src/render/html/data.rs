//! Frames to the JSON that the page's script reads: names and axes as text, grids as compressed bytes.
//!
//! ```text
//! f32 or f64, little endian      byte planes                    deflate, base64
//! [a0 a1 a2 a3][b0 b1 b2 b3] ──► [a0 b0][a1 b1][a2 b2][a3 b3] ──► "7cEBDQ…"
//! ```
//!
//! The bytes of a plane resemble each other (all exponents stand together), so that they take about two thirds of the
//! room. Grids stay column by column; the script decodes those of the picture that is looked at.

use std::io::Write;

use arrow::error::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::super::color::{self, Hues, Rgb};
use super::super::frame::{
    Chart, ChartX, Heatmap, LayeredBy, Map, MapRow, NOT_STATED, Origin, Panel, Point, Pool, Series, SeriesMark,
    TimeAxis, Unit, ignored_label, is_drawable,
};
use super::super::{Options, RenderError, Scale, Theme, axis, palette, view};
use super::json::{array, null, number, numbers, object, optional_number, optional_text, text};
use super::{Section, shrink};

/// Entries of the colour table; as many as a channel has values.
const COLORS: u16 = 256;

/// All that the script reads.
pub(super) fn page(sections: &[Section<'_>], options: &Options) -> Result<String, RenderError> {
    let heatmaps: Vec<&Heatmap> = sections
        .iter()
        .filter_map(|section| match section {
            Section::Heatmaps(heatmaps) => Some(heatmaps.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect();
    let most = shrink::most_for(&heatmaps);
    let sections = sections.iter().map(|section| -> Result<String, RenderError> {
        let of = |kind: &str, frames: String| object([("kind", text(kind)), ("frames", frames)]);
        Ok(match section {
            Section::Heatmaps(frames) => {
                let frames = frames.iter().map(|frame| heatmap(frame, most, options));
                of("heatmap", array(frames.collect::<Result<Vec<_>, _>>()?))
            }
            Section::Maps(frames) => {
                let frames = frames.iter().map(|frame| map(frame, options));
                of("map", array(frames.collect::<Result<Vec<_>, _>>()?))
            }
            Section::Chart(frame) => of("chart", array([chart(frame)])),
        })
    });
    Ok(object([
        ("title", optional_text(options.title.as_deref())),
        ("theme", text(theme_name(options.theme))),
        ("threshold", number(options.threshold)),
        ("scale", text(options.scale.name())),
        ("scales", array([Scale::Linear, Scale::Sqrt, Scale::Log].map(|scale| text(scale.name())))),
        ("logSpan", number(color::LOG_SPAN)),
        ("brightest", number(view::BRIGHTEST)),
        ("papers", themed(scale_colors)),
        ("notStated", text(NOT_STATED)),
        ("sections", array(sections.collect::<Result<Vec<_>, _>>()?)),
    ]))
}

/// As the page's root element states it.
pub(super) fn theme_name(theme: Theme) -> &'static str {
    match theme {
        Theme::Dark => "dark",
        Theme::Light => "light",
    }
}

/// What depends on the theme, for both: the page can change it.
fn themed(of: impl Fn(Theme) -> String) -> String {
    object([Theme::Dark, Theme::Light].map(|theme| (theme_name(theme), of(theme))))
}

/// The colours of the cells: a table from the threshold to the brightest, and that of what is hidden.
fn scale_colors(theme: Theme) -> String {
    let channels = |Rgb(red, green, blue): Rgb| [red, green, blue];
    let at = |index: u16| palette::at(f64::from(index) / f64::from(COLORS - 1), theme);
    let table: Vec<u8> = (0..COLORS).flat_map(|index| channels(at(index))).collect();
    let nothing = channels(palette::nothing(theme)).map(f64::from);
    object([("colors", text(&STANDARD.encode(table))), ("nothing", numbers(nothing))])
}

fn hex(color: Rgb) -> String {
    text(&color.to_string())
}

fn heatmap(whole: &Heatmap, most: (usize, usize), options: &Options) -> Result<String, RenderError> {
    let prices = options.prices.map(|prices| prices.around(whole.last_price())).transpose()?;
    let (small, factors) = shrink::shrunk(whole, most);
    let end = whole.time.count.saturating_sub(1);
    let bands = small.bands.iter().zip(&whole.bands).map(|(band, own)| -> Result<String, RenderError> {
        Ok(object([
            ("name", text(&band.name)),
            ("cells", text(&packed_f32(&band.cells)?)),
            ("totals", totals(whole, &own.cells, factors, prices)?),
            ("lastUsd", pair(shrink::standing(whole, &own.cells, end))),
            ("lastLargest", pair(shrink::largest_at_end(whole, &own.cells))),
        ]))
    });
    let sums_at = shrink::shown_columns(whole, factors.0).into_iter().map(|column| instant(whole.time, column));
    let candles = small.candles.iter().flat_map(|candle| match candle {
        Some(candle) => [candle.open, candle.high, candle.low, candle.close],
        None => [f64::NAN; 4],
    });
    let sides: Vec<u8> = small.sides.iter().map(|sides| sides.bits()).collect();
    let is_present: Vec<u8> = small.is_present.iter().map(|is_present| u8::from(*is_present)).collect();
    let current = small.current.iter().map(|price| price.unwrap_or(f64::NAN));
    let shrunk = match factors {
        (1, 1) => null(),
        (columns, rows) => numbers([columns as f64, rows as f64]),
    };
    Ok(object([
        ("subject", text(&whole.subject())),
        ("symbol", optional_text(whole.symbol.as_deref())),
        ("exchanges", array(whole.exchanges.iter().map(|name| text(name)))),
        ("origin", origin(&whole.origin)),
        ("coverage", text(&whole.coverage_label())),
        ("cell", text(&format!("cells of {}", whole.cell_label()))),
        (
            "time",
            object([
                ("first", number(small.time.first_ms as f64)),
                ("step", number(small.time.step_ms as f64)),
                ("count", number(small.time.count as f64)),
                // Of the whole grid: the last block of a shrunk one may be shorter.
                ("last", number(whole.time.last_ms() as f64)),
                ("end", number(whole.time.end_ms() as f64)),
            ]),
        ),
        (
            "price",
            object([
                ("low", number(small.price.low)),
                ("step", number(small.price.step)),
                ("count", number(small.price.count as f64)),
                ("high", number(whole.price.high())),
                ("decimals", number(small.price.decimals() as f64)),
            ]),
        ),
        ("prices", prices.map_or_else(null, pair)),
        ("shrunk", shrunk),
        ("cells", text(&packed_f32(&small.cells)?)),
        ("totals", totals(whole, &whole.cells, factors, prices)?),
        ("sumsAt", if factors == (1, 1) { null() } else { numbers(sums_at) }),
        ("sides", text(&packed(&sides)?)),
        ("isPresent", text(&packed(&is_present)?)),
        ("current", text(&packed_f64(current)?)),
        ("candles", if small.candles.is_empty() { null() } else { text(&packed_f64(candles)?) }),
        ("bands", array(bands.collect::<Result<Vec<_>, _>>()?)),
        ("pools", array(whole.pools.iter().map(pool))),
        ("lastPrice", optional_number(whole.last_price())),
        ("lastUsd", pair(whole.last_usd)),
        ("lastLargest", pair(shrink::largest_at_end(whole, &whole.cells))),
        ("ignored", optional_text(ignored_label(whole.ignored_rows).as_deref())),
    ]))
}

/// Of a grid that is embedded smaller, five numbers per embedded column, one list after the other: see
/// [`shrink::Totals`]. `null` for a grid that is embedded whole.
fn totals(
    whole: &Heatmap,
    grid: &[f64],
    (across, along): shrink::Factors,
    prices: Option<(f64, f64)>,
) -> Result<String, RenderError> {
    if (across, along) == (1, 1) {
        return Ok(null());
    }
    let rows = prices.map_or(0..whole.price.count, |(low, high)| view::rows_within(whole.price, low, high));
    let totals = shrink::totals(whole, grid, across, &rows);
    let lists = [totals.sums, totals.counts, totals.largest, totals.longs, totals.shorts];
    Ok(text(&packed_f64(lists.into_iter().flatten())?))
}

fn instant(time: TimeAxis, column: usize) -> f64 {
    time.first_ms.saturating_add(time.step_ms.saturating_mul(column as i64)) as f64
}

fn pair((long, short): (f64, f64)) -> String {
    numbers([long, short])
}

fn map(map: &Map, options: &Options) -> Result<String, RenderError> {
    // All rows whatever the prices asked for, which are only what is seen first: sums begin at the current price.
    let prices = options.prices.map(|prices| prices.around(map.current)).transpose()?;
    let of = |value: fn(&MapRow) -> f64| numbers(map.rows.iter().map(value));
    let layers = map.layers.iter().map(|layer| {
        let usd = (0..map.rows.len()).map(|row| layer.usd.get(row).copied().unwrap_or(0.0));
        object([("name", text(&layer.name)), ("usd", numbers(usd))])
    });
    let layered_by = match map.layered_by {
        LayeredBy::Nothing => "side",
        LayeredBy::Leverage => "leverage",
        LayeredBy::Exchange => "exchange",
    };
    // The narrowest bucket; they begin at its multiples.
    let width = |row: &MapRow| row.high - row.low;
    let narrowest = map.rows.iter().min_by(|a, b| width(a).total_cmp(&width(b)));
    let bucket = narrowest.map_or(0.0, width);
    let decimals = narrowest.map_or(0, |row| axis::edge_decimals(row.low, row.high));
    Ok(object([
        ("subject", text(&map.subject())),
        ("symbol", optional_text(map.symbol.as_deref())),
        ("exchanges", array(map.exchanges.iter().map(|name| text(name)))),
        ("origin", origin(&map.origin)),
        ("at", optional_number(map.at_ms.map(|ms| ms as f64))),
        ("current", optional_number(map.current)),
        ("prices", prices.map_or_else(null, pair)),
        ("bucket", object([("size", number(bucket)), ("decimals", number(axis::step_decimals(bucket) as f64))])),
        ("decimals", number(decimals as f64)),
        ("low", of(|row| row.low)),
        ("high", of(|row| row.high)),
        ("longUsd", of(|row| row.long_usd)),
        ("shortUsd", of(|row| row.short_usd)),
        // JSON has no NaN: where no position of the side stands the sum is null.
        ("cumulativeLong", of(|row| row.cumulative_long_usd.unwrap_or(f64::NAN))),
        ("cumulativeShort", of(|row| row.cumulative_short_usd.unwrap_or(f64::NAN))),
        ("layeredBy", text(layered_by)),
        ("layers", array(layers)),
        ("layerColors", themed(|theme| array(Hues::on(theme).layers(map).into_iter().map(hex)))),
        ("pools", array(map.pools.iter().map(pool))),
        ("ignored", optional_text(ignored_label(map.ignored_rows).as_deref())),
    ]))
}

fn chart(chart: &Chart) -> String {
    let (x, name) = match &chart.x {
        ChartX::Time => ("time", None),
        ChartX::Number(name) => ("number", Some(name.as_str())),
        ChartX::Value => ("value", None),
    };
    object([
        ("subject", text(&chart.subject)),
        ("origin", origin(&chart.origin)),
        ("x", text(x)),
        ("xName", optional_text(name)),
        ("panels", array(chart.panels.iter().map(|one| panel(one, &chart.x)))),
        ("notes", array(chart.notes.iter().map(|note| text(note)))),
    ])
}

fn panel(panel: &Panel, x: &ChartX) -> String {
    let unit = match panel.unit {
        Unit::Usd => "usd",
        Unit::Percent => "percent",
        Unit::Price => "price",
        Unit::Number => "number",
    };
    object([
        ("title", text(&panel.title)),
        ("unit", text(unit)),
        ("labels", array(panel.labels.iter().map(|label| text(label)))),
        ("series", array(panel.series.iter().map(|one| series(one, x)))),
        ("seriesColors", themed(|theme| array(Hues::on(theme).series(panel).into_iter().map(hex)))),
    ])
}

/// What has no place is null, and so a gap.
fn series(series: &Series, x: &ChartX) -> String {
    let mark = match series.mark {
        SeriesMark::Line => "line",
        SeriesMark::Bar => "bar",
        SeriesMark::Interval => "interval",
    };
    let points = || series.points.iter();
    let has_place = |point: &Point| match x {
        ChartX::Value => point.is_drawn_as_value(),
        ChartX::Time | ChartX::Number(_) => point.is_drawn(),
    };
    let value = |value: f64, is_known: bool| if is_known { value } else { f64::NAN };
    let interval = |point: &Point| point.drawn_interval().filter(|_| *x == ChartX::Value);
    let has_intervals = points().any(|point| interval(point).is_some());
    let edge = |of: fn((f64, f64)) -> f64| match has_intervals {
        true => numbers(points().map(|point| interval(point).map_or(f64::NAN, of))),
        false => null(),
    };
    object([
        ("name", text(&series.name)),
        ("mark", text(mark)),
        ("x", numbers(points().map(|point| value(point.x, is_drawable(point.x))))),
        ("y", numbers(points().map(|point| value(point.y, has_place(point))))),
        ("low", edge(|interval| interval.0)),
        ("high", edge(|interval| interval.1)),
    ])
}

/// The model stands in the title or among the parameters: the script decides.
fn origin(origin: &Origin) -> String {
    let parameters = origin.parameters.iter().map(|(name, value)| format!("{name} {value}"));
    object([
        ("label", text(&origin.label())),
        ("model", optional_text(origin.model.as_deref())),
        ("parameters", text(&parameters.collect::<Vec<_>>().join(" · "))),
        ("coverage", optional_text(origin.coverage.as_deref())),
    ])
}

fn pool(pool: &Pool) -> String {
    object([
        ("side", text(pool.side.name())),
        ("low", number(pool.low)),
        ("high", number(pool.high)),
        ("price", number(pool.price)),
        ("usd", number(pool.usd)),
        ("label", text(&pool.label_with_side())),
    ])
}

/// As 32-bit numbers: seven digits are more than a picture tells, and half the room.
fn packed_f32(values: &[f64]) -> Result<String, RenderError> {
    packed(&planes(values.iter().map(|&value| (value as f32).to_le_bytes())))
}

fn packed_f64(values: impl IntoIterator<Item = f64>) -> Result<String, RenderError> {
    packed(&planes(values.into_iter().map(f64::to_le_bytes)))
}

/// The first bytes of all values, then the second bytes, and so on.
fn planes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    let values: Vec<[u8; N]> = values.collect();
    (0..N).flat_map(|plane| values.iter().map(move |bytes| bytes[plane])).collect()
}

fn packed(bytes: &[u8]) -> Result<String, RenderError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    // Writing to memory fails only without memory.
    Ok(STANDARD.encode(written.map_err(ArrowError::from)?))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;

    use super::*;

    pub(in super::super) fn unpacked(packed: &str) -> Vec<u8> {
        let compressed = STANDARD.decode(packed).unwrap();
        let mut bytes = Vec::new();
        flate2::read::DeflateDecoder::new(compressed.as_slice()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    pub(in super::super) fn unpacked_f32(packed: &str) -> Vec<f32> {
        let bytes = unpacked(packed);
        let count = bytes.len() / 4;
        (0..count).map(|index| f32::from_le_bytes([0, 1, 2, 3].map(|plane| bytes[plane * count + index]))).collect()
    }

    pub(in super::super) fn unpacked_f64(packed: &str) -> Vec<f64> {
        let bytes = unpacked(packed);
        let count = bytes.len() / 8;
        let value = |index: usize| [0, 1, 2, 3, 4, 5, 6, 7].map(|plane| bytes[plane * count + index]);
        (0..count).map(|index| f64::from_le_bytes(value(index))).collect()
    }

    #[test]
    fn decoding_gives_back_the_values() {
        let values: Vec<f64> = (0..10_000).map(|index| f64::from(index % 313) * 1234.5).collect();
        let decoded = unpacked_f32(&packed_f32(&values).unwrap());
        assert_eq!(decoded.len(), values.len());
        assert!(decoded.iter().zip(&values).all(|(decoded, value)| *decoded == *value as f32));
    }

    #[test]
    fn planes_stand_one_after_the_other() {
        assert_eq!(planes([[1, 2], [3, 4], [5, 6]].into_iter()), [1, 3, 5, 2, 4, 6]);
        assert_eq!(planes(std::iter::empty::<[u8; 4]>()), [0u8; 0]);
    }
}

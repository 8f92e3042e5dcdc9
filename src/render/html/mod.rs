//! Frames to one HTML page that needs nothing else: its data, its style and the script that draws it are in it.
//!
//! ```text
//! [Frame] ──► sections ──► data (JSON, compressed grids) ──► page.html ◄── page.css, the script
//!             what shares a place        shrink: larger than a screen
//! ```
//!
//! The page asks no network for anything; its policy forbids it. Texts of the rows reach it only as JSON, and the
//! script shows them only as text. All drawing is in the script, which `page.js` describes; what it decides (what the
//! threshold hides, which amount is how bright) follows `view` and `color`, so that the page and the other back ends
//! agree. The colours themselves, of both themes, and the digits of prices come with the data. Of a grid larger than a
//! screen the page has the largest cells of blocks, and per column the sums of the whole: threshold, largest cell and
//! what stands agree, but cells are counted, and the brightest is chosen, among those it has.

mod data;
mod json;
mod shrink;

use super::frame::{Chart, Frame, Heatmap, Map};
use super::palette::Palette;
use super::view::{self, View};
use super::{Options, RenderError, Theme};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One module: its files share their names.
const SCRIPT: &str = concat!(
    include_str!("text.js"),
    include_str!("grid.js"),
    include_str!("stage.js"),
    include_str!("heatmap.js"),
    include_str!("map.js"),
    include_str!("chart.js"),
    include_str!("page.js"),
);

/// What shares one place on the page.
enum Section<'a> {
    /// They differ in symbol, model or exchanges.
    Heatmaps(Vec<&'a Heatmap>),
    /// They differ in symbol, model or exchanges.
    Maps(Vec<&'a Map>),
    Chart(&'a Chart),
}

/// Draws the frames; see [`super::to_html`].
pub(super) fn page(frames: &[Frame], options: &Options) -> Result<String, RenderError> {
    let sections = sections(frames, options)?;
    let title = options.title.clone().or_else(|| sections.first().map(Section::subject)).unwrap_or_default();
    let data = data::page(&sections, options)?;
    Ok(filled(&[
        ("title", &escaped(&title)),
        ("theme", data::theme_name(options.theme)),
        ("palette", &palette()),
        ("style", STYLE),
        ("data", &data),
        ("script", SCRIPT),
    ]))
}

/// The colours that the page shares with pictures in files, as properties of its style sheet: dark ones, and light ones
/// for who asks for them.
fn palette() -> String {
    let of = |theme: Theme| {
        let palette = Palette::of(theme);
        let colors = [
            ("long", palette.hues.long),
            ("short", palette.hues.short),
            ("price", palette.price),
            ("risen", palette.risen),
            ("fallen", palette.fallen),
            ("outline", palette.outline),
        ];
        colors.map(|(name, color)| format!(" --{name}: {color};")).concat()
    };
    let light = data::theme_name(Theme::Light);
    format!(":root {{{} }}\n:root[data-theme=\"{light}\"] {{{} }}\n", of(Theme::Dark), of(Theme::Light))
}

/// Sections in the order in which their first frames stand. Frames without anything at the prices asked for are left
/// out.
///
/// # Errors
///
/// None is left.
fn sections<'a>(frames: &'a [Frame], options: &Options) -> Result<Vec<Section<'a>>, RenderError> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    let mut left_out = None;
    for frame in frames {
        match check(frame, options) {
            Ok(()) => {}
            Err(error @ RenderError::Empty { .. }) => {
                left_out.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        }
        let is_taken = sections.iter_mut().any(|section| section.take(frame));
        if !is_taken {
            sections.push(match frame {
                Frame::Heatmap(heatmap) => Section::Heatmaps(vec![heatmap]),
                Frame::Map(map) => Section::Maps(vec![map]),
                Frame::Chart(chart) => Section::Chart(chart),
            });
        }
    }
    if sections.is_empty() {
        return Err(left_out.unwrap_or_else(|| RenderError::Empty { reason: "there is no picture".to_owned() }));
    }
    Ok(sections)
}

/// Whether there is something to draw.
fn check(frame: &Frame, options: &Options) -> Result<(), RenderError> {
    match frame {
        Frame::Heatmap(heatmap) => View::of(heatmap, options).map(|_| ()),
        Frame::Map(map) => view::rows_of_map(map, options).map(|_| ()),
        Frame::Chart(_) => Ok(()),
    }
}

impl<'a> Section<'a> {
    /// Takes a frame that belongs here: one of the same kind that nothing else here stands for.
    fn take(&mut self, frame: &'a Frame) -> bool {
        match (self, frame) {
            (Self::Heatmaps(heatmaps), Frame::Heatmap(heatmap)) => {
                let key = |heatmap: &Heatmap| {
                    (heatmap.symbol.clone(), heatmap.origin.model.clone(), heatmap.exchanges.clone())
                };
                let is_new = heatmaps.iter().all(|known| key(known) != key(heatmap));
                if is_new {
                    heatmaps.push(heatmap);
                }
                is_new
            }
            (Self::Maps(maps), Frame::Map(map)) => {
                let key = |map: &Map| (map.symbol.clone(), map.origin.model.clone(), map.exchanges.clone());
                let is_new = maps.iter().all(|known| key(known) != key(map));
                if is_new {
                    maps.push(map);
                }
                is_new
            }
            _ => false,
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Heatmaps(heatmaps) => heatmaps.first().map(|heatmap| heatmap.subject()).unwrap_or_default(),
            Self::Maps(maps) => maps.first().map(|map| map.subject()).unwrap_or_default(),
            Self::Chart(chart) => chart.subject.clone(),
        }
    }
}

/// The page with its parts. What is put in is not looked at again: a part may contain what looks like a place.
fn filled(parts: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(PAGE.len() + parts.iter().map(|(_, part)| part.len()).sum::<usize>());
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(parts.iter().find(|(known, _)| *known == name).map_or("", |(_, part)| part));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A text for an HTML element.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::frame::{
        Band, Candle, ChartX, LayeredBy, NOT_STATED, Origin, Panel, PoolSide, SeriesMark, Sides, Tone, Unit,
    };
    use super::super::samples::{self, row};
    use super::super::{Prices, Scale};
    use super::data::tests::{unpacked, unpacked_f32, unpacked_f64};
    use super::*;

    fn heatmap(symbol: &str, model: &str) -> Heatmap {
        let cells = vec![0.0, 1.5e6, 3.0e6, 0.0, 2.25e6, 1.0];
        Heatmap {
            exchanges: vec!["binance".to_owned()],
            symbol: Some(symbol.to_owned()),
            origin: Origin { model: Some(model.to_owned()), ..Origin::default() },
            bands: vec![Band { name: "100x".to_owned(), cells: cells.iter().map(|usd| usd / 2.0).collect() }],
            sides: [Sides::NONE, Sides::LONG, Sides::SHORT, Sides::NONE, Sides::LONG.with(Sides::SHORT), Sides::LONG]
                .to_vec(),
            cells,
            is_present: vec![true, false],
            current: vec![Some(101.5), None],
            candles: vec![Some(Candle { open: 101.5, high: 102.0, low: 101.0, close: 101.75 }), None],
            last_usd: (2.25e6, 0.0),
            ..samples::heatmap(2, 3)
        }
    }

    fn map() -> Map {
        let mut map = samples::map(vec![row(99.0, 5.0, 0.0), row(100.0, 0.0, 7.0)]);
        map.rows[1].cumulative_short_usd = None;
        map
    }

    fn chart(y: f64) -> Chart {
        let series = samples::series("bias", SeriesMark::Line, Tone::Kind(3), &[(0.0, 1.5), (1.0, y)]);
        let panel = Panel { unit: Unit::Percent, ..samples::panel("bias", vec![series]) };
        Chart { subject: "over time".to_owned(), ..samples::chart(ChartX::Time, vec![panel]) }
    }

    fn drawn(frames: &[Frame]) -> String {
        page(frames, &Options::default()).unwrap()
    }

    /// The JSON of a page.
    fn data(page: &str) -> &str {
        let (_, rest) = page.split_once("id=\"liqsql-data\">").unwrap();
        rest.split_once("</script>").unwrap().0
    }

    /// The first text that stands under a name.
    fn text_at<'a>(data: &'a str, name: &str) -> &'a str {
        let (_, rest) = data.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split_once('"').unwrap().0
    }

    /// Reads one JSON value and returns what follows it; fails on what is no JSON.
    fn after_json(text: &str) -> &str {
        let after_list = |mut rest: &str, end: char, is_object: bool| -> usize {
            if let Some(after) = rest.strip_prefix(end) {
                return after.len();
            }
            loop {
                if is_object {
                    assert!(rest.starts_with('"'));
                    rest = after_json(rest).strip_prefix(':').unwrap();
                }
                rest = after_json(rest);
                if let Some(after) = rest.strip_prefix(end) {
                    return after.len();
                }
                rest = rest.strip_prefix(',').unwrap();
            }
        };
        let tail = |length: usize| &text[text.len() - length..];
        if let Some(rest) = text.strip_prefix('{') {
            return tail(after_list(rest, '}', true));
        }
        if let Some(rest) = text.strip_prefix('[') {
            return tail(after_list(rest, ']', false));
        }
        if let Some(rest) = text.strip_prefix('"') {
            let mut is_escaped = false;
            let end = rest.find(|character| {
                let is_end = character == '"' && !is_escaped;
                is_escaped = character == '\\' && !is_escaped;
                is_end
            });
            return &rest[end.unwrap() + 1..];
        }
        if let Some(rest) = text.strip_prefix("null") {
            return rest;
        }
        let end = text.find(|character: char| !(character.is_ascii_digit() || "+-.e".contains(character)));
        let (number, rest) = text.split_at(end.unwrap_or(text.len()));
        assert!(number.parse::<f64>().is_ok(), "{number:?} is no number");
        rest
    }

    #[test]
    fn the_page_holds_what_it_needs_and_asks_for_nothing() {
        let page = drawn(&[Frame::Heatmap(heatmap("BTCUSDT", "precise"))]);
        assert!(page.starts_with("<!doctype html>"));
        assert!(page.contains("<title>binance BTCUSDT liquidation heatmap</title>"));
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("<html lang=\"en\" data-theme=\"dark\">"));
        for forbidden in ["{{", "http://", "https://", "@import", "url(", "src="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn the_script_never_reads_text_as_html_or_code() {
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "</script", "fetch("]
        {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn hostile_names_are_only_text() {
        let name = "</script><script>alert(1)</script>\u{2028}\"'&{{data}}";
        let mut hostile = heatmap(name, name);
        hostile.exchanges = vec![name.to_owned()];
        hostile.bands[0].name = name.to_owned();
        let mut chart = chart(1.0);
        chart.notes = vec![name.to_owned()];
        let options = Options { title: Some(name.to_owned()), ..Options::default() };
        let page = page(&[Frame::Heatmap(hostile), Frame::Chart(chart)], &options).unwrap();
        assert_eq!(page.matches("<script").count(), 2, "the data and the script");
        assert_eq!(page.matches("</script").count(), 2);
        assert!(page.contains(
            "<title>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u{2028}&quot;&#39;&amp;{{data}}</title>"
        ));
        assert_eq!(after_json(data(&page)), "");
    }

    #[test]
    fn the_same_frames_give_the_same_page() {
        let frames = [Frame::Heatmap(heatmap("BTCUSDT", "precise")), Frame::Map(map()), Frame::Chart(chart(2.0))];
        assert_eq!(drawn(&frames), drawn(&frames));
    }

    #[test]
    fn the_embedded_grid_is_the_grid() {
        let heatmap = heatmap("BTCUSDT", "precise");
        let page = drawn(&[Frame::Heatmap(heatmap.clone())]);
        let data = data(&page);
        let floats: Vec<f32> = heatmap.cells.iter().map(|&usd| usd as f32).collect();
        assert_eq!(unpacked_f32(text_at(data, "cells")), floats);
        let (_, bands) = data.split_once("\"bands\"").unwrap();
        assert_eq!(unpacked_f32(text_at(bands, "cells")), floats.iter().map(|usd| usd / 2.0).collect::<Vec<_>>());
        assert_eq!(unpacked(text_at(data, "sides")), [0, 1, 2, 0, 3, 1]);
        assert_eq!(unpacked(text_at(data, "isPresent")), [1, 0]);
        assert_eq!(unpacked(text_at(data, "candles")).len(), 2 * 4 * 8);
        assert!(data.contains(r#""time":{"first":0,"step":3600000,"count":2,"last":3600000,"end":7200000}"#));
        assert!(data.contains(r#""price":{"low":100,"step":1,"count":3,"high":103,"decimals":0}"#));
        assert!(data.contains(r#""cell":"cells of 1 h × 1""#));
        assert!(data.contains(r#""shrunk":null"#));
    }

    #[test]
    fn a_grid_larger_than_a_screen_is_embedded_smaller() {
        let (columns, rows) = (2_000, 1_200);
        let mut large = heatmap("BTCUSDT", "precise");
        large.time.count = columns;
        large.price.count = rows;
        large.cells = vec![0.0; columns * rows];
        large.cells[1_234 * rows + 567] = 9.0e6;
        large.cells[1_235 * rows + 567] = 5.0e6;
        large.cells[1_999 * rows + 3] = 3.0e6;
        large.sides = vec![Sides::LONG; columns * rows];
        large.is_present = vec![true; columns];
        large.current = vec![None; columns];
        large.candles = Vec::new();
        large.bands[0].cells = large.cells.iter().map(|usd| usd / 2.0).collect();
        let page = drawn(&[Frame::Heatmap(large.clone())]);
        let data = data(&page);
        let cells = unpacked_f32(text_at(data, "cells"));
        assert_eq!(cells.len(), 1_000 * 600);
        assert_eq!(cells[617 * 600 + 283], 9.0e6);
        assert_eq!(cells.iter().sum::<f32>(), 12.0e6);
        assert!(data.contains(r#""shrunk":[2,2]"#));
        // The numbers are those of the whole grid.
        let (_, own) = data.split_once("\"cells\"").unwrap();
        let totals = unpacked_f64(text_at(own, "totals"));
        assert_eq!(totals.len(), 5 * 1_000);
        assert_eq!([0, 1, 2].map(|list| totals[list * 1_000 + 617]), [14.0e6, 2.0, 9.0e6]);
        assert_eq!((totals[3 * 1_000 + 617], totals[3 * 1_000 + 999]), (5.0e6, 3.0e6));
        assert!(data.contains(r#""sumsAt":[3600000,10800000,"#));
        let (_, band) = data.split_once("\"bands\"").unwrap();
        assert_eq!(unpacked_f64(text_at(band, "totals"))[617], 7.0e6);
        assert!(band.contains(r#""lastUsd":[1500000,0],"lastLargest":[1500000,0]"#));
        assert!(data.contains(r#""lastLargest":[3000000,0]"#));
        assert!(data.contains(r#""price":{"low":100,"step":2,"count":600,"high":1300,"decimals":0}"#));
        // Prices that are asked for need not lie between blocks: of 2 rows of one only the lower is within.
        large.cells[1_234 * rows + 566] = 2.0e6;
        let options = Options { prices: Some(Prices::Between(100.0, 667.0)), ..Options::default() };
        let page = super::page(&[Frame::Heatmap(large)], &options).unwrap();
        let (_, own) = self::data(&page).split_once("\"cells\"").unwrap();
        let totals = unpacked_f64(text_at(own, "totals"));
        assert_eq!([0, 1, 2].map(|list| totals[list * 1_000 + 617]), [2.0e6, 1.0, 2.0e6]);
    }

    #[test]
    fn a_map_is_embedded_whole_whatever_the_prices() {
        let mut map = map();
        map.rows[0].low = 95.0;
        map.rows[0].high = 96.0;
        let options = Options { prices: Some(Prices::Between(90.0, 97.0)), ..Options::default() };
        let page = page(&[Frame::Map(map)], &options).unwrap();
        let data = data(&page);
        assert!(data.contains(
            r#""prices":[90,97],"bucket":{"size":1,"decimals":0},"decimals":0,"low":[95,100],"high":[96,101]"#
        ));
        assert!(data.contains(r#""longUsd":[5,0],"shortUsd":[0,7]"#));
    }

    #[test]
    fn pools_say_their_side_and_parameters_leave_out_the_model() {
        let mut heatmap = heatmap("BTCUSDT", "precise");
        heatmap.origin.parameters = vec![("step".to_owned(), "1h".to_owned())];
        let mut pool = samples::pool(PoolSide::Short, 102.0, 103.0, 2.4e6);
        pool.distance = Some(0.031);
        heatmap.pools = vec![pool];
        let page = drawn(&[Frame::Heatmap(heatmap)]);
        assert!(data(&page).contains(r#""label":"short $2.4M · +3.1 %""#));
        assert!(data(&page).contains(r#""model":"precise","parameters":"step 1h""#));
    }

    #[test]
    fn what_is_no_number_is_null_and_all_is_json() {
        let page = drawn(&[Frame::Chart(chart(f64::NAN)), Frame::Map(map()), Frame::Heatmap(heatmap("A", "b"))]);
        let data = data(&page);
        assert!(data.contains(r#""x":[0,1],"y":[1.5,null],"low":null,"high":null"#), "{data}");
        assert!(data.contains(r#""cumulativeLong":[5,null],"cumulativeShort":[null,null]"#));
        assert_eq!(after_json(data), "");
    }

    #[test]
    fn values_have_intervals_and_what_has_no_place_is_null() {
        let points = [(0.5, 0.0), (1e308, 1.0), (f64::NAN, 2.0), (0.25, 3.0)];
        let mut series = samples::series("", SeriesMark::Interval, Tone::Kind(0), &points);
        for (point, interval) in series.points.iter_mut().zip([(0.25, 0.75), (0.0, 1.0), (0.0, 1.0), (-1e308, 1.0)]) {
            point.interval = Some(interval);
        }
        let panel = samples::panel("a", vec![series]);
        let values = drawn(&[Frame::Chart(samples::chart(ChartX::Value, vec![panel.clone()]))]);
        let expected = r#""x":[0.5,null,null,0.25],"y":[0,null,null,3],"low":[0.25,0,0,null],"high":[0.75,1,1,null]"#;
        assert!(data(&values).contains(expected), "{}", data(&values));
        // Over time there are no intervals.
        let times = drawn(&[Frame::Chart(samples::chart(ChartX::Time, vec![panel]))]);
        assert!(data(&times).contains(r#""low":null,"high":null"#), "{}", data(&times));
    }

    #[test]
    fn colours_of_both_themes_come_from_rust() {
        let layers = [("5x", 1.0), ("100x", 2.0), (NOT_STATED, 1.0)];
        let map = samples::layered(map(), LayeredBy::Leverage, &layers);
        let page = drawn(&[Frame::Map(map), Frame::Chart(chart(1.0))]);
        let data = data(&page);
        for expected in [
            r#""papers":{"dark":{"colors":""#,
            r#""nothing":[26,2,36]},"light":{"colors":""#,
            r#""nothing":[246,244,249]}},"notStated":"not stated""#,
            r##""layerColors":{"dark":["#4064be","#e84655","#8a8e9a"],"light":["#3250a5","#cd2d41","#9699a3"]}"##,
            r##""seriesColors":{"dark":["#6ed782"],"light":["#1e8c3c"]}"##,
        ] {
            assert!(data.contains(expected), "{expected}: {data}");
        }
        let (_, light) = data.split_once("\"light\":").unwrap();
        let tables = [data, light].map(|of| STANDARD.decode(text_at(of, "colors")).unwrap());
        assert_eq!(tables[0].get(765..), Some(&[253, 231, 37][..]), "yellow on dark paper");
        assert_eq!(tables[1].get(765..), Some(&[251, 205, 9][..]), "amber on light paper");
        assert!(page.contains(":root { --long: #f05856; --short: #26b29e; --price: #ffffff; --risen: #ffffff;"));
        assert!(page.contains(":root[data-theme=\"light\"] { --long: #cd2d32; --short: #008070; --price: #181a22;"));
        // Neither the script nor the style sheet has a copy.
        for (source, forbidden) in [(SCRIPT, "#5ca9fa"), (SCRIPT, "#4064be"), (SCRIPT, "#fff"), (STYLE, "--long:")] {
            assert!(!source.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn steps_keep_their_digits_and_ignored_rows_are_told() {
        let mut fine = heatmap("BTCUSDT", "precise");
        (fine.price.low, fine.price.step, fine.ignored_rows) = (100.5, 12.25, 1);
        let mut map = map();
        (map.rows[0].high, map.ignored_rows) = (99.0 + 2.5e-4, 2);
        let page = drawn(&[Frame::Heatmap(fine), Frame::Map(map)]);
        let data = data(&page);
        assert!(data.contains(r#""cell":"cells of 1 h × 12.25""#));
        assert!(data.contains(r#""price":{"low":100.5,"step":12.25,"count":3,"high":137.25,"decimals":2}"#), "{data}");
        assert!(data.contains(r#""bucket":{"size":0.0002499999999940883,"decimals":5},"decimals":5"#), "{data}");
        assert!(data.contains(r#""ignored":"1 row with nulls ignored""#) && data.contains(r#""ignored":"2 rows"#));
        assert!(!SCRIPT.contains("stepDecimals") && !SCRIPT.contains("rows with nulls"));
    }

    #[test]
    fn what_differs_only_in_names_shares_a_place() {
        let frames = [
            Frame::Heatmap(heatmap("BTCUSDT", "precise")),
            Frame::Chart(chart(1.0)),
            Frame::Heatmap(heatmap("BTCUSDT", "zones")),
            Frame::Heatmap(heatmap("ETHUSDT", "precise")),
            // The same names again: there is no dropdown that could tell them apart.
            Frame::Heatmap(heatmap("ETHUSDT", "precise")),
            Frame::Map(map()),
        ];
        let sections = sections(&frames, &Options::default()).unwrap();
        let counts = sections.iter().map(|section| match section {
            Section::Heatmaps(heatmaps) => ("heatmaps", heatmaps.len()),
            Section::Maps(maps) => ("maps", maps.len()),
            Section::Chart(_) => ("chart", 1),
        });
        assert_eq!(counts.collect::<Vec<_>>(), [("heatmaps", 3), ("chart", 1), ("heatmaps", 1), ("maps", 1)]);
    }

    #[test]
    fn without_a_picture_there_is_no_page() {
        let is_empty = |result| matches!(result, Err(RenderError::Empty { .. }));
        assert!(is_empty(page(&[], &Options::default())));
        assert!(is_empty(page(&[Frame::Heatmap(Heatmap::default())], &Options::default())));
        let far = Options { prices: Some(Prices::Between(500.0, 600.0)), ..Options::default() };
        let heatmap = Frame::Heatmap(heatmap("BTCUSDT", "precise"));
        assert!(is_empty(page(std::slice::from_ref(&heatmap), &far)));
        // A picture that has nothing there does not take the others with it.
        assert!(page(&[heatmap, Frame::Chart(chart(1.0))], &far).is_ok());
    }

    #[test]
    fn options_reach_the_script() {
        let options = Options {
            title: Some("mine".to_owned()),
            threshold: 1.25,
            theme: Theme::Light,
            prices: Some(Prices::Around(0.01)),
            scale: Scale::Log,
        };
        let page = page(&[Frame::Heatmap(heatmap("BTCUSDT", "precise"))], &options).unwrap();
        assert!(page.contains("<title>mine</title>") && page.contains("data-theme=\"light\""));
        let data = data(&page);
        assert!(data.starts_with(r#"{"title":"mine","theme":"light","threshold":1.25,"scale":"log","#));
        assert!(data.contains(r#""prices":[100.485,102.515]"#), "{data}");
    }
}

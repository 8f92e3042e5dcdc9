//! Pictures in files, made by the real program on the sample: what is decoded from them, not which bytes they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn liqsql(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liqsql"))
        .env_remove("LIQSQL_DATA")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Draws and says nothing.
fn drawn(folder: &Path, file: &str, script: &str, options: &[&str]) -> PathBuf {
    let output = liqsql(folder, &[&["--quiet", "render", "-c", script, "-o", file], options].concat());
    assert_eq!((stderr(&output).as_str(), output.status.code()), ("", Some(0)), "{file} {options:?}");
    folder.join(file)
}

/// What the program says to a picture that cannot be, with its exit code; and it leaves no file.
fn refused(folder: &Path, file: &str, script: &str, options: &[&str]) -> (Option<i32>, String) {
    let output = liqsql(folder, &[&["--quiet", "render", "-c", script, "-o", file], options].concat());
    assert!(!folder.join(file).exists(), "{file} {options:?}");
    (output.status.code(), stderr(&output).lines().next().unwrap_or_default().to_owned())
}

type Pixel = [u8; 3];

struct Image {
    width: usize,
    height: usize,
    pixels: Vec<Pixel>,
}

impl Image {
    fn read(path: &Path) -> Self {
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).expect("the picture")));
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut bytes).expect("pixels");
        let channels = info.color_type.samples();
        let pixels = bytes[..info.buffer_size()].chunks_exact(channels).map(|p| [p[0], p[1], p[2]]).collect();
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    fn count(&self, color: Pixel) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == color).count()
    }

    /// Left, top, right and bottom of the area of a colour; the colour scale, where it is one line, does not count.
    fn bounds(&self, color: Pixel) -> Option<(usize, usize, usize, usize)> {
        let mut columns = vec![0; self.width];
        for (index, _) in self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel == color) {
            columns[index % self.width] += 1;
        }
        let is_area = |index: &usize| columns[index % self.width] > 20;
        let all = || self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel == color).map(|(index, _)| index);
        let found = || all().filter(is_area);
        let (left, right) = (found().map(|i| i % self.width).min()?, found().map(|i| i % self.width).max()?);
        let (top, bottom) = (found().map(|i| i / self.width).min()?, found().map(|i| i / self.width).max()?);
        Some((left, top, right, bottom))
    }

    fn colors(&self) -> BTreeMap<Pixel, usize> {
        self.pixels.iter().fold(BTreeMap::new(), |mut colors, pixel| {
            *colors.entry(*pixel).or_default() += 1;
            colors
        })
    }
}

/// The bright end of the colour scale.
const YELLOW: Pixel = [253, 231, 37];
/// Dark paper.
const PAPER: Pixel = [19, 22, 29];

/// Three cells over four hours: the faintest one below and early, the brightest one above and late; nothing at hour 2.
const CELLS: &str = "SELECT * FROM (VALUES
    (TIMESTAMP '2026-02-10 00:00:00', 'long', 96000.0, 96500.0, 1e6, 97450.0),
    (TIMESTAMP '2026-02-10 01:00:00', 'long', 96000.0, 96500.0, 1e6, 97450.0),
    (TIMESTAMP '2026-02-10 03:00:00', 'short', 98500.0, 99000.0, 4e6, 97450.0)
  ) AS cells (ts, side, price_low, price_high, notional_usd, price)";

#[test]
fn cells_have_the_colour_and_the_place_of_their_usd() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["--threshold", "0.1", "--intensity", "linear", "--size", "800x500"];
    let image = Image::read(&drawn(folder.path(), "cells.png", CELLS, &options));
    assert_eq!((image.width, image.height), (800, 500));
    let many: Vec<Pixel> =
        image.colors().into_iter().filter(|(_, count)| *count > 2_000).map(|(color, _)| color).collect();
    assert!(many.contains(&YELLOW), "the largest cell is yellow: {many:?}");
    // The scale begins at the threshold, so what stands at a quarter of the largest is a good way up from purple.
    let faint =
        many.iter().copied().find(|color| color[2] > 100 && color[0] < 100 && color[1] > 20).expect("the faint cells");
    let yellow = image.bounds(YELLOW).expect("bounds");
    let lower = image.bounds(faint).expect("bounds");
    assert!(yellow.1 < lower.1, "shorts stand above longs: {yellow:?} {lower:?}");
    // Nothing stands at hour 2: between the cells of hour 1 and those of hour 3 there is room for one column.
    let (gap, column) = (yellow.0 - lower.2, yellow.2 - yellow.0);
    assert!(gap.abs_diff(column) < 6, "{gap} beside {column}: {lower:?} {yellow:?}");

    // Twice the pixels, the same picture.
    let fine = Image::read(&drawn(folder.path(), "fine.png", CELLS, &[&options[..], &["--pixel-ratio", "2"]].concat()));
    assert_eq!((fine.width, fine.height), (1_600, 1_000));
    let share = fine.count(YELLOW) as f64 / (4.0 * image.count(YELLOW) as f64);
    assert!((0.95..1.05).contains(&share), "{share}");

    // A threshold above the faint cells hides them.
    let hidden = drawn(
        folder.path(),
        "hidden.png",
        CELLS,
        &["--threshold", "0.9", "--intensity", "linear", "--size", "800x500"],
    );
    assert!(Image::read(&hidden).count(faint) < 200);
}

/// The picture on the README's first screen. `LIQSQL_COMPLETE=1` draws it anew.
#[test]
fn the_picture_of_the_readme_is_what_the_program_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    assert!(readme.contains("](data/heatmap.png)"));
    assert!(readme.contains("cargo run -- render -f queries/heatmap.sql -o heatmap.png"));
    let script = root.join("queries/heatmap.sql");
    let drawn = folder.path().join("heatmap.png");
    let arguments = ["--quiet", "render", "-f", script.to_str().expect("a path"), "-o", "heatmap.png"];
    assert_eq!(liqsql(folder.path(), &arguments).status.code(), Some(0));
    let kept = root.join("data/heatmap.png");
    if std::env::var_os("LIQSQL_COMPLETE").is_some() {
        fs::copy(&drawn, &kept).expect("the picture is written");
    }
    let (drawn, kept) = (Image::read(&drawn), Image::read(&kept));
    assert_eq!((drawn.width, drawn.height), (kept.width, kept.height));
    // Edges of letters may differ by a shade where another processor rounds.
    let far = |a: &Pixel, b: &Pixel| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > 3);
    let different = drawn.pixels.iter().zip(&kept.pixels).filter(|(a, b)| far(a, b)).count();
    assert!(different * 1_000 < drawn.pixels.len(), "{different} of {} pixels", drawn.pixels.len());
}

#[test]
fn the_same_rows_are_the_same_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["a.png", "a.svg", "a.html"] {
        let first = fs::read(drawn(folder.path(), file, CELLS, &[])).expect("the picture");
        assert_eq!(fs::read(drawn(folder.path(), file, CELLS, &["--partitions", "1"])).expect("the picture"), first);
    }
    // Of several partitions, in whatever order they end.
    let both = "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), max_distance => 0.05,
        price_step => 100, by_leverage => true) WHERE symbol = 'BTCUSDT' AND ts > '2026-03-14'";
    let draw = |file| fs::read(drawn(folder.path(), file, both, &["--partitions", "2"])).expect("the picture");
    let first = draw("b.html");
    assert!((0..3).all(|_| draw("b.html") == first));
}

#[test]
fn papers_titles_and_ranges_are_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let corner = |file: &str, options: &[&str]| Image::read(&drawn(folder.path(), file, CELLS, options)).pixels[0];
    let brightness = |pixel: Pixel| pixel.iter().map(|channel| u32::from(*channel)).sum::<u32>();
    assert!(brightness(corner("dark.png", &[])) < 150);
    assert!(brightness(corner("light.png", &["--theme", "light"])) > 700);

    let svg = |options: &[&str]| {
        let options = [&["--threshold", "0"], options].concat();
        fs::read_to_string(drawn(folder.path(), "a.svg", CELLS, &options)).expect("text")
    };
    let whole = svg(&[]);
    for label in ["liquidation heatmap", "2026-02-10 00:00", "2026-02-10 03:00", "UTC", "98,000", "origin not stated"] {
        assert!(whole.contains(label), "{label}");
    }
    assert!(!whole.contains("<text"), "text without fonts");
    assert!(!whole.contains("href=\"http"), "nothing from elsewhere");
    let titled = svg(&["--title", "<mine> & \"yours\""]);
    assert!(titled.contains("&lt;mine&gt; &amp; &quot;yours&quot;"), "{}", &titled[..800]);
    assert!(!titled.contains("<mine>"));
    // Two instants alone are as far apart as the one step there is.
    assert!(svg(&["--range", "2026-02-10..2026-02-10 01:00"]).contains("2026-02-10 01:00"));
    assert!(!svg(&["--range", "3h"]).contains("2026-02-10 00:00 "), "the last three hours begin at one");
    assert!(!svg(&["--prices", "95000..97000"]).contains("98,000"));
}

#[test]
fn the_origin_is_told_by_the_query() {
    let folder = tempfile::tempdir().expect("a folder");
    let svg = |script: &str| fs::read_to_string(drawn(folder.path(), "a.svg", script, &[])).expect("text");
    let estimated = svg(
        "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), max_distance => 0.07, churn => 0.9) \
         WHERE exchange = 'binance' AND symbol = 'BTCUSDT' AND ts > '2026-03-01'",
    );
    for label in ["binance BTCUSDT liquidation heatmap", "estimated", "model precise", "max_distance 0.07", "churn 0.9"]
    {
        assert!(estimated.contains(label), "{label}");
    }
    let real = svg(
        "SELECT * FROM liq_bucket(positions, 100, INTERVAL '1 day') WHERE exchange = 'binance' AND symbol = 'BTCUSDT'",
    );
    assert!(real.contains("known positions, simulated market") && !real.contains("estimated"));
}

/// Text without the colours of a terminal.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn every_saved_query_with_a_picture_is_drawn_in_every_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    for (name, subject, label) in [
        ("heatmap", "binance BTCUSDT liquidation heatmap", "threshold 0.85 × mean"),
        ("map", "binance BTCUSDT liquidation map", "longs $1.5B"),
        ("map_by_leverage", "binance BTCUSDT liquidation map", "25–49x"),
        ("map_by_exchange", "binance+bybit BTCUSDT liquidation map", "bybit"),
        ("cascade", "binance BTCUSDT liquidation cascade", "shock -5 %"),
        ("totals", "binance BTCUSDT over time", "long_usd"),
        ("pools", "binance BTCUSDT liquidation map", "shorts $1.4B"),
        ("flows", "binance BTCUSDT over time", "opened_usd long"),
    ] {
        let script = queries.join(format!("{name}.sql"));
        let script = script.to_str().expect("a path");
        let draw = |ending: &str| {
            let file = format!("{name}.{ending}");
            let output = liqsql(folder.path(), &["--quiet", "render", "-f", script, "-o", &file]);
            assert_eq!((stderr(&output).as_str(), output.status.code()), ("", Some(0)), "{file}");
            folder.path().join(&file)
        };
        let read = |ending: &str| fs::read_to_string(draw(ending)).expect("text");

        let image = Image::read(&draw("png"));
        assert_eq!((image.width, image.height, image.pixels[0]), (1_600, 900, PAPER), "{name}");
        assert!(image.colors().len() > 20, "{name}");
        let svg = read("svg");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{name}");
        assert!(svg.contains(&format!("<title>{subject}</title>")) && svg.contains(label), "{name}");
        let html = read("html");
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"), "{name}");
        assert!(html.contains(&format!("<title>{subject}</title>")), "{name}");
        assert!(html.contains("\"label\":\"estimated, simulated market\""), "{name}");
        // Characters alone, and the same picture in colours.
        let text = read("txt");
        assert!(
            text.starts_with(subject) && text.contains("simulated market") && text.contains(label),
            "{name}\n{text}"
        );
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 100), "{name}\n{text}");
        let colored = read("ans");
        assert!(colored.contains("\u{1b}[38;2;"), "{name}");
        let ends = |text: &str| {
            let lines: Vec<String> = plain(text).lines().map(|line| line.trim_end().to_owned()).collect();
            (lines.len(), lines.first().cloned(), lines.last().cloned())
        };
        assert_eq!(ends(&colored), ends(&text), "{name}");
    }
}

/// One interval is given from its end, one value is no number, and one score has none at all.
const SCORES: &str = "SELECT * FROM (VALUES
    ('hit_rate', 'uniform', 0.62, 0.71, 0.55),
    ('hit_rate', 'shuffled', 0.58, 0.5, 0.66),
    ('hit_rate', 'odd', arrow_cast('NaN', 'Float64'), 0.1, 0.2),
    ('lift', 'uniform', NULL, 0.1, 0.2)
  ) AS scores (score, null_model, value, low, high)";

#[test]
fn scores_are_dots_in_their_intervals() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |file: &str| fs::read_to_string(drawn(folder.path(), file, SCORES, &[])).expect("text");
    let text = read("a.txt");
    for line in ["hit_rate", "over odd", "0.62 [0.55, 0.71]", "0.58 [0.5, 0.66]", "1 row with nulls ignored"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("lift") && !text.contains("NaN"), "{text}");
    let (above, below) = text.split_once("over shuffled").expect("both lines");
    let uniform = above.lines().last().expect("a line");
    let place = |line: &str, letter: char| line.chars().position(|other| other == letter).expect("a mark");
    assert!(place(uniform, '├') < place(uniform, '●') && place(uniform, '●') < place(uniform, '┤'), "{text}");
    assert!(place(below.lines().next().expect("a line"), '├') > 0, "{text}");

    let svg = read("a.svg");
    assert!(svg.contains("over uniform") && svg.contains("whiskers: the stated interval") && !svg.contains("NaN"));
    let html = read("a.html");
    assert!(html.contains("\"x\":[0.62,0.58,null],\"y\":[0,1,null],\"low\":[0.55,0.5,null]"), "a gap and its place");

    let (code, message) = refused(folder.path(), "b.png", &format!("{SCORES} WHERE score = 'lift'"), &[]);
    assert_eq!(
        (code, message.as_str()),
        (Some(1), "error: render: nothing to draw: 'score' or 'value' is null in all rows")
    );
    let (_, message) = refused(folder.path(), "b.png", &format!("{SCORES} WHERE null_model = 'odd'"), &[]);
    assert_eq!(message, "error: render: nothing to draw: no 'value' is a number that can be drawn");
}

#[test]
fn a_candle_that_cannot_be_is_refused_and_one_with_nulls_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |open: &str, high: &str, low: &str| {
        format!(
            "{CELLS}; SELECT * FROM (VALUES
               (TIMESTAMP '2026-02-10 00:00:00', 97000.0, 98000.0, 96500.0, 97450.0),
               (TIMESTAMP '2026-02-10 01:00:00', {open}, {high}, {low}, 97450.0)
             ) AS bars (ts, open, high, low, close)"
        )
    };
    for (open, high, low, said) in [
        ("97000.0", "96000.0", "96500.0", "column 'high' must hold a price of at least 'low' (96500), was 96000"),
        (
            "99000.0",
            "98000.0",
            "96500.0",
            "column 'open' must hold a price from 'low' to 'high' (96500 to 98000), was 99000",
        ),
        ("97000.0", "98000.0", "-1.0", "column 'low' must hold prices above 0, of at most 1e15, was -1"),
        (
            "arrow_cast('NaN', 'Float64')",
            "98000.0",
            "96500.0",
            "column 'open' must hold prices above 0, of at most 1e15, was NaN",
        ),
    ] {
        let (code, message) = refused(folder.path(), "a.png", &script(open, high, low), &[]);
        assert_eq!((code, message), (Some(1), format!("error: render: {said}")));
    }
    let draw = |high: &str| {
        let svg = drawn(folder.path(), "a.svg", &script("97000.0", high, "96500.0"), &[]);
        fs::read_to_string(svg).expect("text")
    };
    assert!(!draw("98000.0").contains("ignored"));
    assert!(draw("NULL").contains("1 row with nulls ignored"));
}

/// A map of which only some rows state a leverage; most stands where none is stated.
const PARTLY: &str = "SELECT *, notional_usd AS cumulative_usd FROM (VALUES
    ('long', 96000.0, 97000.0, 10.0, 1e6),
    ('long', 97000.0, 98000.0, NULL, 6e6),
    ('long', 98000.0, 99000.0, 0.0, 3e6),
    ('short', 99000.0, 100000.0, 20.0, 2e6)
  ) AS cells (side, price_low, price_high, leverage, notional_usd)";

#[test]
fn rows_without_a_leverage_are_a_layer_of_a_map() {
    let folder = tempfile::tempdir().expect("a folder");
    let draw = |file: &str, options: &[&str]| drawn(folder.path(), file, PARTLY, options);
    let image = Image::read(&draw("a.png", &["--size", "800x500"]));
    let [cool, hot, grey] = [[64, 100, 190], [232, 70, 85], [138, 142, 154]].map(|color| image.count(color));
    assert!(cool > 1_000 && hot > cool && grey > 3 * hot, "{cool} {hot} {grey}");

    let text = fs::read_to_string(draw("a.txt", &[])).expect("text");
    for label in [". 10x  # 20x  ? not stated", "????????", "$6M", "$3M", "longs $10M · shorts $2M"] {
        assert!(text.contains(label), "{label}\n{text}");
    }
    let html = fs::read_to_string(draw("a.html", &[])).expect("text");
    assert!(html.contains("{\"name\":\"not stated\",\"usd\":[0,6000000,3000000,0]}"), "the layer of the page");
}

#[test]
fn what_cannot_be_drawn_is_refused_before_it_is_computed() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |file: &str, script: &str, options: &[&str]| refused(folder.path(), file, script, options);
    // The query would fail; the file's ending is looked at first.
    let (code, message) = refused("a.pdf", "SELECT nothing", &[]);
    assert_eq!(code, Some(2));
    assert!(message.starts_with("error: render: a picture's file must end in .png, .svg, .html"), "{message}");
    for (options, allowed) in [
        (&["--size", "big"][..], "WIDTHxHEIGHT"),
        (&["--size", "0x5"], "WIDTHxHEIGHT"),
        (&["--theme", "pink"], "dark, light"),
        (&["--range", "soon"], "12h, 7d or 2w"),
        (&["--prices", "5..1"], "LOW..HIGH"),
        (&["--threshold", "-1"], "at least 0"),
        (&["--intensity", "loud"], "linear, sqrt, log"),
        (&["--pixel-ratio", "100"], "0.5 to 8"),
        (&["--format", "csv"], "--format is for rows"),
    ] {
        let output = liqsql(folder.path(), &[&["render", "-c", CELLS, "-o", "a.png"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(stderr(&output).contains(allowed), "{options:?}: {}", stderr(&output));
    }
    let (_, message) = refused("a.html", CELLS, &["--size", "800x600"]);
    assert!(message.ends_with("--size does not go with 'a.html': a page fills its window"), "{message}");

    let failing = |script: &str| {
        let (code, message) = refused("a.png", script, &[]);
        assert_eq!(code, Some(1), "{script}");
        message
    };
    assert!(failing("SELECT 1 AS a").contains("nothing here can be drawn"), "{}", failing("SELECT 1 AS a"));
    let empty = format!("{CELLS} WHERE false");
    assert_eq!(failing(&empty), "error: render: nothing to draw: the result has no rows");
    let symbols = format!("SELECT 'A' AS symbol, * FROM ({CELLS}) UNION ALL SELECT 'B', * FROM ({CELLS})");
    assert!(failing(&symbols).contains("a picture shows one symbol, found 2: A, B"), "{}", failing(&symbols));
    let models = format!("SELECT 'a' AS model, * FROM ({CELLS}) UNION ALL SELECT 'b', * FROM ({CELLS})");
    assert!(failing(&models).contains("a picture shows one model, found 2: a, b"), "{}", failing(&models));
    // A page shows them all.
    drawn(folder.path(), "a.html", &symbols, &[]);
    let (_, message) = refused("b.png", CELLS, &["--range", "2020-01-01..2020-01-02"]);
    assert!(
        message.contains("no row within 2020-01-01 00:00..2020-01-02 00:00, the rows are of 2026-02-10"),
        "{message}"
    );
    let (_, message) = refused("b.png", CELLS, &["--prices", "1..2"]);
    assert!(message.contains("no cell between the 'prices' 1 and 2"), "{message}");
    let (_, message) = refused("b.png", CELLS, &["--size", "30000x30000"]);
    assert!(message.contains("at most 100 million pixels"), "{message}");
    let (_, message) = refused("b.png", CELLS, &["--size", "100x100"]);
    assert!(message.contains("too small for a picture: at least 320x240, was 100x100"), "{message}");
}

#[test]
fn a_failed_drawing_leaves_the_old_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.png");
    fs::write(&path, "old").expect("a file");
    let output = liqsql(folder.path(), &["render", "-c", "SELECT 1 AS a", "-o", "old.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "old");
    drawn(folder.path(), "old.png", CELLS, &[]);
    assert_eq!(&fs::read(&path).expect("the file")[..4], b"\x89PNG");
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("a file").file_name()).collect();
    assert_eq!(names, ["old.png"]);
    let output = liqsql(folder.path(), &["render", "-c", CELLS, "-o", "nowhere/a.png"]);
    assert!(stderr(&output).contains("cannot write 'nowhere/a.png'"), "{}", stderr(&output));
}

#[test]
fn plot_draws_to_files_with_the_options_of_render() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "{CELLS};\n\\plot a.png\n\\plot --size 400x300 --theme light --title 'my map' 'b c.svg'\n\\plot d.html SELECT 1 AS a;\n"
    );
    fs::write(folder.path().join("s.sql"), &script).expect("a script");
    let output = liqsql(folder.path(), &["--format", "csv", "-f", "s.sql"]);
    let line = "s.sql:8: error: render: nothing here can be drawn";
    assert!(stderr(&output).contains(line), "{}", stderr(&output));
    let image = Image::read(&folder.path().join("a.png"));
    assert_eq!((image.width, image.pixels[0]), (1_600, PAPER));
    let svg = fs::read_to_string(folder.path().join("b c.svg")).expect("the picture");
    assert!(svg.contains("my map") && svg.contains("width=\"400\""), "{}", &svg[..300]);
    assert!(!folder.path().join("d.html").exists());
    let output = liqsql(folder.path(), &["-c", &format!("{CELLS};\n\\plot a.pdf")]);
    assert!(stderr(&output).contains("\\plot: a picture's file must end in"), "{}", stderr(&output));
}

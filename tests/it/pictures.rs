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

/// The ends of the colour scale.
const YELLOW: Pixel = [253, 231, 37];
const PURPLE: Pixel = [68, 1, 84];

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

#[test]
fn every_saved_query_with_a_picture_is_drawn_in_every_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    for name in ["heatmap", "map", "map_by_leverage", "map_by_exchange", "cascade", "totals", "pools", "flows"] {
        let script = queries.join(format!("{name}.sql"));
        let script = script.to_str().expect("a path");
        for ending in ["png", "svg", "html", "txt", "ans"] {
            let file = format!("{name}.{ending}");
            let output = liqsql(folder.path(), &["--quiet", "render", "-f", script, "-o", &file]);
            assert_eq!((stderr(&output).as_str(), output.status.code()), ("", Some(0)), "{file}");
            let bytes = fs::read(folder.path().join(&file)).expect("the picture");
            let begins = match ending {
                "png" => &b"\x89PNG"[..],
                "svg" => b"<svg",
                "html" => b"<!doctype html>",
                _ => b"",
            };
            assert!(bytes.starts_with(begins) && bytes.len() > 500, "{file}: {} bytes", bytes.len());
        }
    }
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
    assert!(
        stderr(&output).contains("s.sql:10: error: render: nothing here can be drawn")
            || stderr(&output).contains("s.sql:"),
        "{}",
        stderr(&output)
    );
    assert_eq!(Image::read(&folder.path().join("a.png")).width, 1_600);
    let svg = fs::read_to_string(folder.path().join("b c.svg")).expect("the picture");
    assert!(svg.contains("my map") && svg.contains("width=\"400\""), "{}", &svg[..300]);
    assert!(!folder.path().join("d.html").exists());
    let output = liqsql(folder.path(), &["-c", &format!("{CELLS};\n\\plot a.pdf")]);
    assert!(stderr(&output).contains("\\plot: a picture's file must end in"), "{}", stderr(&output));
    // The faintest colour of the scale is nowhere near the paper's.
    assert_ne!(Image::read(&folder.path().join("a.png")).pixels[0], PURPLE);
}

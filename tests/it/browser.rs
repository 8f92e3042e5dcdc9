//! The page in a real browser: it opens, hovering, sliding and choosing do what they say, it asks nobody for anything,
//! and its console stays silent.
//!
//! Chromium is driven through chromedriver's WebDriver interface. Where either is missing the tests are skipped, and say
//! so on standard error even if the test runner keeps output to itself.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a browser on a busy machine may take to do what is asked.
const PATIENCE: Duration = Duration::from_secs(60);

fn find(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// A page in headless Chromium.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// `None` where no Chromium is installed.
    fn open(page: &Path) -> Option<Self> {
        let chromium = find(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
        let (Some(chromium), Some(driver)) = (chromium, find(&["chromedriver"])) else {
            // Past the test runner, which shows only what failed tests print.
            let message =
                "\n!!! SKIPPED: no Chromium with its chromedriver is installed, the page is NOT tested !!!\n\n";
            let _ = std::io::stderr().write_all(message.as_bytes());
            return None;
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .expect("chromedriver says its port");
        let mut browser = Self { driver, port, session: String::new() };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1600,1000",
        ];
        let session = browser.ask(
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {"binary": chromium, "args": arguments},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }}}),
        );
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser.command("/url", &json!({"url": format!("file://{}", page.display())}));
        browser.until("document.documentElement.dataset.ready === 'true'");
        Some(browser)
    }

    /// Sends a request of the WebDriver protocol and returns the value of its answer.
    fn ask(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            self.port
        )
        .expect("a request");
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).expect("an answer");
        let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.ask(&format!("/session/{}{path}", self.session), body)
    }

    /// The value of an expression in the page.
    fn value(&self, expression: &str) -> Value {
        self.command("/execute/sync", &json!({"script": format!("return ({expression});"), "args": []}))
    }

    fn until(&self, condition: &str) {
        let start = Instant::now();
        while self.value(condition) != json!(true) {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {condition}; {}", self.state());
            self.value("0");
        }
    }

    fn state(&self) -> Value {
        self.value("window.liqsql && liqsql.state()")
    }

    /// Moves the real pointer.
    fn hover(&self, x: f64, y: f64) {
        let point = json!({"type": "pointerMove", "duration": 0, "x": x.round() as i64, "y": y.round() as i64});
        let mouse =
            json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [point]});
        self.command("/actions", &json!({"actions": [mouse]}));
    }

    fn wheel(&self, x: f64, y: f64, delta: i64) {
        let scroll = json!({"type": "scroll", "x": x.round() as i64, "y": y.round() as i64, "deltaX": 0, "deltaY": delta,
            "duration": 0, "origin": "viewport"});
        self.command("/actions", &json!({"actions": [{"type": "wheel", "id": "wheel", "actions": [scroll]}]}));
    }

    /// Sets a control as a user does: the value changes, and the page is told.
    fn set(&self, id: &str, value: &str) {
        let script = "const control = document.getElementById(arguments[0]); control.value = arguments[1]; \
             control.dispatchEvent(new Event('input', {bubbles: true})); \
             control.dispatchEvent(new Event('change', {bubbles: true}));";
        self.command("/execute/sync", &json!({"script": script, "args": [id, value]}));
    }

    /// Everything the console said, and every address that was asked for.
    fn logs(&self) -> (Vec<String>, Vec<String>) {
        let entries = |kind: &str| {
            let log = self.command("/se/log", &json!({"type": kind}));
            let entries = log.as_array().expect("a log").iter();
            entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        let requests = entries("performance")
            .iter()
            .filter_map(|message| serde_json::from_str::<Value>(message).ok())
            .filter(|message| message["message"]["method"] == "Network.requestWillBeSent")
            .map(|message| message["message"]["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
            .collect();
        (entries("browser"), requests)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, too.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let session = &self.session;
            let _ =
                write!(stream, "DELETE /session/{session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.read(&mut [0; 256]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Draws a script to a page with the real program.
fn page(folder: &Path, script: &str, options: &[&str]) -> PathBuf {
    let (source, page) = (folder.join("script.sql"), folder.join("page.html"));
    fs::write(&source, script).expect("a script");
    let output = Command::new(env!("CARGO_BIN_EXE_liqsql"))
        .env_remove("LIQSQL_DATA")
        .args(["--quiet", "render", "-f"])
        .arg(&source)
        .arg("-o")
        .arg(&page)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

/// Two symbols and two models over two days, with leverages; candles; the pools of the last instant.
const MANY: &str = "
CREATE TABLE bars AS SELECT * FROM liq_bars(candles, open_interest => open_interest)
WHERE exchange = 'binance' AND symbol IN ('BTCUSDT', 'ETHUSDT') AND ts < '2026-01-20';
SELECT 'precise' AS model, * FROM liq_heatmap(bars, step => INTERVAL '1 hour', max_distance => 0.05, by_leverage => true)
WHERE ts >= '2026-01-18'
UNION ALL
SELECT 'zones', * FROM liq_heatmap(bars, step => INTERVAL '1 hour', max_distance => 0.05, by_leverage => true, model => 'zones')
WHERE ts >= '2026-01-18';
SELECT * FROM to_candles((SELECT * FROM candles WHERE exchange = 'binance'), INTERVAL '1 hour') WHERE ts >= '2026-01-18' AND ts < '2026-01-20';
";

/// The largest cell of what is seen, as the page itself names it: its instant, price and USD.
fn brightest(browser: &Browser) -> (f64, f64, f64) {
    let found = browser.value(
        "(() => { const s = liqsql.state(); const box = s.plot; let best = null; \
         for (let x = box.left + 2; x < box.left + box.width; x += 6) \
           for (let y = box.top + 2; y < box.top + box.height; y += 3) { \
             const cell = liqsql.cellAt(x, y); \
             if (cell && !cell.isGap && (!best || cell.usd > best[2])) best = [x, y, cell.usd]; } \
         return best; })()",
    );
    let number = |index: usize| found[index].as_f64().expect("a bright cell");
    (number(0), number(1), number(2))
}

#[test]
fn a_heatmap_is_hovered_slid_zoomed_and_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(browser) = Browser::open(&page(folder.path(), MANY, &[])) else { return };
    let state = browser.state();
    assert_eq!(state["kind"], "heatmap", "{state}");
    assert_eq!(state["symbol"], "BTCUSDT");
    assert_eq!(state["options"]["symbol"], json!(["BTCUSDT", "ETHUSDT"]));
    assert_eq!(state["options"]["model"], json!(["precise", "zones"]));

    // Hover: the tooltip says time, price, USD, side and leverage of the cell under the pointer.
    let (x, y, usd) = brightest(&browser);
    browser.hover(x, y);
    browser.until("document.getElementById('heatmap-tooltip').textContent.includes('$')");
    let tooltip = browser.value("document.getElementById('heatmap-tooltip').textContent");
    let tooltip = tooltip.as_str().expect("text");
    let cell = browser.value(&format!("liqsql.cellAt({x}, {y})"));
    assert_eq!(cell["usd"].as_f64(), Some(usd));
    assert!(tooltip.contains("2026-01-1"), "{tooltip}");
    assert!(tooltip.contains("long") || tooltip.contains("short"), "{tooltip}");
    assert!(tooltip.contains('x'), "a leverage: {tooltip}");

    // Slider: more is hidden, and nothing that is hidden is drawn.
    let hidden = |browser: &Browser| browser.state()["hiddenCells"].as_u64().expect("a count");
    let (before, paints) = (hidden(&browser), browser.state()["paints"].as_u64().expect("a count"));
    browser.set("heatmap-threshold", "3");
    browser.until(&format!("liqsql.state().paints > {paints}"));
    assert!(hidden(&browser) > before, "{} cells hidden after {before}", hidden(&browser));
    browser.set("heatmap-threshold", "0");
    browser.until("liqsql.state().hiddenCells === 0");

    // Wheel: the pointer's cell stays, the span shrinks; the button brings it back.
    let span = |browser: &Browser| {
        let state = browser.state();
        state["time"]["to"].as_f64().expect("an instant") - state["time"]["from"].as_f64().expect("an instant")
    };
    let whole = span(&browser);
    browser.wheel(x, y, -600);
    browser.until("!liqsql.state().isHome");
    assert!(span(&browser) < whole);
    browser.value("document.getElementById('heatmap-reset').click()");
    browser.until("liqsql.state().isHome");
    assert_eq!(span(&browser), whole);

    // Dropdowns.
    browser.set("heatmap-symbol", "ETHUSDT");
    browser.until("liqsql.state().symbol === 'ETHUSDT'");
    let prices = browser.state()["price"].clone();
    assert!(prices["high"].as_f64().expect("a price") < 20_000.0, "{prices}");
    browser.set("heatmap-model", "zones");
    browser.until("liqsql.state().model === 'zones'");
    assert_eq!(browser.state()["symbol"], "ETHUSDT");
    browser.set("heatmap-symbol", "BTCUSDT");
    browser.until("liqsql.state().symbol === 'BTCUSDT' && liqsql.state().model === 'zones'");
    let ranges = browser.state()["options"]["range"].clone();
    assert!(ranges.as_array().expect("ranges").len() > 1, "{ranges}");
    let one = ranges[1].as_str().map_or_else(|| ranges[1].to_string(), str::to_owned);
    browser.set("heatmap-range", &one);
    browser.until("liqsql.state().columns.to - liqsql.state().columns.from < 48");

    let (console, requests) = browser.logs();
    assert_eq!(console, Vec::<String>::new());
    assert!(requests.iter().all(|url| url.starts_with("file://") || url.starts_with("data:")), "{requests:?}");
}

#[test]
fn a_full_grid_follows_the_slider() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "SELECT * FROM liq_heatmap(liq_bars(candles, open_interest => open_interest), step => INTERVAL '1 hour',
        price_step => 100, max_distance => 0.2)
        WHERE exchange = 'binance' AND symbol = 'BTCUSDT' AND ts >= '2026-02-20' AND ts < '2026-03-04';
        SELECT * FROM to_candles((SELECT * FROM candles WHERE exchange = 'binance' AND symbol = 'BTCUSDT'), INTERVAL '1 hour')";
    let Some(browser) = Browser::open(&page(folder.path(), script, &[])) else { return };
    let state = browser.state();
    let columns =
        state["columns"]["to"].as_i64().expect("columns") - state["columns"]["from"].as_i64().expect("columns");
    assert!(columns >= 287, "{columns} columns");
    assert!(state["cells"].as_u64().expect("a count") > 50_000, "{}", state["cells"]);
    let slide = "const done = arguments[arguments.length - 1]; const slider = document.getElementById('heatmap-threshold'); \
         const start = performance.now(); slider.value = arguments[0]; \
         slider.dispatchEvent(new Event('input', {bubbles: true})); \
         requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));";
    let mut slides = Vec::new();
    let mut hidden = state["hiddenCells"].as_u64().expect("a count");
    for threshold in ["1", "1.5", "2", "2.5", "3"] {
        let took = browser.command("/execute/async", &json!({"script": slide, "args": [threshold]}));
        slides.push(took.as_f64().expect("a time").round());
        let now = browser.state()["hiddenCells"].as_u64().expect("a count");
        assert!(now > hidden, "{now} cells hidden at {threshold}, {hidden} before");
        hidden = now;
    }
    // For whoever publishes numbers; nothing is asserted about time.
    let first = browser.value("Math.round(liqsql.firstPictureMs)");
    println!("{columns} columns, {} cells: first picture after {first} ms, redrawn in {slides:?} ms", state["cells"]);
}

#[test]
fn maps_charts_and_hostile_names_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "
        SELECT ts, exchange, '</script><script>document.title=\"owned\"</script><img src=x onerror=\"document.title=1\">' AS symbol,
          price, side, price_low, price_high, leverage, notional_usd, cumulative_usd, distance
        FROM liq_map(liq_bars(candles, open_interest => open_interest), max_distance => 0.05, by_leverage => true)
        WHERE exchange = 'binance' AND symbol = 'BTCUSDT';
        SELECT ts, exchange, symbol, funding_rate FROM funding WHERE exchange = 'binance' AND symbol = 'BTCUSDT';
        SELECT * FROM liq_cascade(liq_map(liq_bars(candles, open_interest => open_interest)), 5e7, shock => [-0.05, 0.05])
        WHERE exchange = 'binance' AND symbol = 'BTCUSDT';";
    let Some(browser) = Browser::open(&page(folder.path(), script, &["--theme", "light"])) else { return };
    assert_eq!(browser.value("liqsql.sections"), json!(["map", "chart", "chart-2"]));
    assert_eq!(browser.value("document.documentElement.dataset.theme"), "light");
    let title = browser.value("document.getElementById('map-title').textContent");
    assert!(title.as_str().expect("text").contains("</script><script>"), "{title}");
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    assert_ne!(browser.value("document.title"), "owned");

    let map = browser.value("liqsql.state('map')");
    let (left, top) = (&map["plot"]["left"], &map["plot"]["top"]);
    let (width, height) = (&map["plot"]["width"], &map["plot"]["height"]);
    let at = |start: &Value, length: &Value, share: f64| {
        start.as_f64().expect("a place") + length.as_f64().expect("a length") * share
    };
    browser.hover(at(left, width, 0.4), at(top, height, 0.6));
    browser.until("document.getElementById('map-tooltip').textContent.includes('$')");
    let tooltip = browser.value("document.getElementById('map-tooltip').textContent");
    assert!(tooltip.as_str().expect("text").contains("umulative"), "{tooltip}");

    let (console, requests) = browser.logs();
    assert_eq!(console, Vec::<String>::new());
    assert!(requests.iter().all(|url| url.starts_with("file://") || url.starts_with("data:")), "{requests:?}");
}

/// A cell that a threshold of 0.9 hides, below and early, and the largest one, above and late.
const TWO: &str = "SELECT * FROM (VALUES
    (TIMESTAMP '2026-02-10 00:00:00', 'long', 96000.5, 96512.75, 1e6, 97450.0),
    (TIMESTAMP '2026-02-10 01:00:00', 'short', 98561.75, 99074.0, 4e6, 97450.0)
  ) AS cells (ts, side, price_low, price_high, notional_usd, price);
  SELECT *, notional_usd AS cumulative_usd FROM (VALUES
    ('long', 96000.0, 97000.0, 10.0, 1e6),
    ('long', 97000.0, 98000.0, NULL, 9e6),
    ('short', 99000.0, 100000.0, 20.0, 2e6)
  ) AS cells (side, price_low, price_high, leverage, notional_usd);";

#[test]
fn both_themes_have_colours_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["--theme", "light", "--threshold", "0.9", "--prices", "95900..100100"];
    let Some(browser) = Browser::open(&page(folder.path(), TWO, &options)) else { return };
    // 2026-02-10 00:00 UTC.
    let start = 1_770_681_600_000_i64;
    let place = |hour: i64, price: f64| {
        let at = start + hour * 3_600_000 + 1_800_000;
        let point = browser.value(&format!("liqsql.pointOf('heatmap', {at}, {price})"));
        (point["x"].as_f64().expect("a place"), point["y"].as_f64().expect("a place"))
    };
    let pixel = |hour: i64, price: f64| {
        let (x, y) = place(hour, price);
        browser.value(&format!(
            "(() => {{ const canvas = document.getElementById('heatmap-canvas'), box = canvas.getBoundingClientRect(); \
             const ratio = canvas.width / box.width, copy = document.createElement('canvas'), pen = copy.getContext('2d'); \
             pen.drawImage(canvas, Math.floor(({x} - box.left) * ratio), Math.floor(({y} - box.top) * ratio), 1, 1, 0, 0, 1, 1); \
             return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3); }})()"
        ))
    };
    let mark = "getComputedStyle(document.querySelector('#map-legend i')).backgroundColor";
    assert_eq!(pixel(0, 96_250.0), json!([246, 244, 249]), "hidden on light paper");
    assert_eq!(pixel(1, 98_800.0), json!([251, 205, 9]), "the largest on light paper");
    assert_eq!(browser.value(mark), json!("rgb(50, 80, 165)"));

    let paints = browser.value("liqsql.state('map').paints").as_u64().expect("a count");
    browser.value("document.getElementById('theme').click()");
    browser.until(&format!("liqsql.state('map').paints > {paints}"));
    assert_eq!(pixel(0, 96_250.0), json!([26, 2, 36]), "hidden on dark paper");
    assert_eq!(pixel(1, 98_800.0), json!([253, 231, 37]), "the largest on dark paper");
    assert_eq!(browser.value(mark), json!("rgb(64, 100, 190)"));

    // Prices keep their digits, and what states no leverage is a layer that can be hidden.
    let (x, y) = place(1, 98_800.0);
    browser.hover(x, y);
    browser.until("document.getElementById('heatmap-tooltip').textContent.includes('$4M')");
    let tooltip = browser.value("document.getElementById('heatmap-tooltip').textContent");
    assert!(tooltip.as_str().expect("text").contains("98,561.75 – 99,074.00"), "{tooltip}");
    let map = browser.value("liqsql.state('map')");
    assert_eq!(map["layers"], json!(["10x", "20x", "not stated"]));
    let footer = "document.getElementById('map-footer').textContent";
    assert!(browser.value(footer).as_str().expect("text").contains("longs $10M, shorts $2M"));
    browser.value("document.querySelectorAll('#map-legend button')[2].click()");
    browser.until("liqsql.state('map').hiddenLayers.length === 1");
    assert!(browser.value(footer).as_str().expect("text").contains("longs $1M, shorts $2M"));

    let (console, requests) = browser.logs();
    assert_eq!(console, Vec::<String>::new());
    assert!(requests.iter().all(|url| url.starts_with("file://") || url.starts_with("data:")), "{requests:?}");
}

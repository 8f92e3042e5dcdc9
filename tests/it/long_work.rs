//! Work that takes long or returns much: bounded memory, Ctrl-C, the progress on a terminal.
// There is no runtime here whose worker could be blocked: the tests wait for another process.
#![allow(clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn liqsql(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liqsql"));
    command.args(arguments).env_remove("LIQSQL_DATA").stdin(Stdio::null());
    command
}

/// The most memory that a process ever held, in kilobytes, as long as it runs.
#[cfg(target_os = "linux")]
fn peak(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
#[cfg(target_os = "linux")]
fn ten_million_rows_take_less_than_300_megabytes() {
    let sql = "SELECT value, value * 1.5 AS price, 'BTCUSDT' AS symbol FROM generate_series(1, 10000000)";
    for (format, rows) in [("csv", 10_000_000), ("parquet", 10_000_000), ("table", 1_000_000), ("json", 1_000_000)] {
        let sql = format!("{sql} LIMIT {rows}");
        let mut child =
            liqsql(&["--format", format, "-c", &sql]).stdout(Stdio::null()).spawn().expect("the program starts");
        let mut most = 0;
        let status = loop {
            most = most.max(peak(&child).unwrap_or(0));
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{format}");
        assert!(most > 10_000, "{format}: the memory was never seen");
        assert!(most < 300_000, "{format}: {most} kB");
    }
}

/// Presses Ctrl-C once the statement runs, and returns how long the program took to end.
#[cfg(unix)]
fn interrupted(arguments: &[&str], output: Stdio) -> Duration {
    let mut child = liqsql(arguments).stdout(output).stderr(Stdio::piped()).spawn().expect("the program starts");
    // Long enough to have begun on a busy machine; the work would take hours.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().expect("a child").is_none(), "{arguments:?} ended by itself");
    let start = Instant::now();
    let pressed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(pressed.success());
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().expect("it ends");
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let elapsed = start.elapsed();
    let mut said = String::new();
    child.stderr.take().expect("its errors").read_to_string(&mut said).expect("text");
    assert_eq!((status.code(), said.as_str()), (Some(130), ""), "{arguments:?}");
    elapsed
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_any_work_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.csv").display().to_string();
    let many = "SELECT value FROM generate_series(1, 100000000000)";
    let cross = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let bars = "(SELECT to_timestamp_millis(value * 60000) AS ts, 'b' AS exchange, 'x' AS symbol, 100.0 AS open, \
                101.0 AS high, 99.0 AS low, 100.0 AS close, 1000.0 AS volume, 500.0 AS taker_buy_volume \
                FROM generate_series(1, 1000000000))";
    let heatmap = format!("SELECT count(*) FROM liq_heatmap({bars}, step => INTERVAL '1 hour')");
    let sort = "SELECT value FROM generate_series(1, 1000000000) ORDER BY value % 1000003";
    for (arguments, output) in [
        // Every worker is inside one batch.
        (&["-c", cross][..], Stdio::null()),
        (&["-c", sort], Stdio::null()),
        (&["-c", &heatmap], Stdio::null()),
        (&["--format", "csv", "-c", many], Stdio::null()),
        // Nobody reads this pipe, so a worker waits in a write.
        (&["--format", "csv", "-c", many], Stdio::piped()),
        (&["-c", many, "--output", &file], Stdio::null()),
    ] {
        // A second is what is promised; a busy machine may take longer to notice.
        let elapsed = interrupted(arguments, output);
        assert!(elapsed < Duration::from_secs(5), "{arguments:?}: {elapsed:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "a half-written file stays");
}

#[test]
fn a_reader_that_leaves_is_no_error_in_any_format() {
    for format in ["tsv", "parquet"] {
        let sql = "SELECT value, random() AS x FROM generate_series(1, 3000000)";
        let mut child = liqsql(&["--format", format, "-c", sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("its output"));
        reader.fill_buf().expect("the beginning");
        drop(reader);
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(std::str::from_utf8(&output.stderr).expect("text"), "", "{format}");
        assert_eq!(output.status.code(), Some(0), "{format}");
    }
}

#[test]
fn no_progress_without_a_terminal() {
    let sql = "SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b WHERE a.value < b.value";
    let output = liqsql(&["--format", "csv", "-c", sql]).output().expect("the program starts");
    assert_eq!(std::str::from_utf8(&output.stderr).expect("text"), "");
    assert_eq!(output.stdout, b"count(*)\n449985000\n");
}

/// Everything that the program writes to a terminal of 100 columns.
#[cfg(unix)]
fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<u8> {
    typed_on_a_terminal(arguments, variables, None)
}

/// The same, with a key that is pressed after a while.
#[cfg(unix)]
fn typed_on_a_terminal(arguments: &[&str], variables: &[(&str, &str)], key: Option<(Duration, u8)>) -> Vec<u8> {
    use std::io::Write as _;

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    let size = PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_liqsql"));
    command.args(arguments);
    command.env_remove("LIQSQL_DATA");
    command.env("TERM", "xterm-256color");
    for (name, value) in variables {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("its output");
    // Kept to the end: it types an end of file when it goes.
    let mut keys = pair.master.take_writer().expect("its input");
    if let Some((delay, key)) = key {
        std::thread::sleep(delay);
        keys.write_all(&[key]).expect("it reads");
    }
    let mut bytes = Vec::new();
    // On some systems a terminal whose program has ended reads as an error, which is its end.
    let _ = reader.read_to_end(&mut bytes);
    child.wait().expect("the program ends");
    bytes
}

#[test]
#[cfg(unix)]
fn progress_is_drawn_and_gone_before_the_result() {
    let sql =
        "SELECT count(*) AS n FROM generate_series(1, 60000) a, generate_series(1, 60000) b WHERE a.value < b.value";
    let bytes = on_a_terminal(&["-c", sql], &[("NO_COLOR", "1")]);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("rows read") || text.contains("working"), "{text:?}");
    // Colours would be of the form ESC [ … m.
    assert!(
        !text.split('\u{1b}').skip(1).any(|code| code.split_once('m').is_some_and(|(c, _)| c.len() < 8)),
        "{text:?}"
    );
    let size = |lines: u16| std::num::NonZeroU16::new(lines).expect("not 0");
    let mut screen = vt100::Parser::new(size(30), size(100), 0);
    screen.process(&bytes);
    let shown = screen.screen().contents();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(lines[..5], ["+------------+", "|          n |", "+------------+", "| 1799970000 |", "+------------+"]);
    assert!(lines[5].starts_with("(1 row, "), "{shown}");
    assert_eq!(lines.len(), 6, "{shown}");

    let quiet = on_a_terminal(&["--quiet", "-c", sql], &[]);
    assert!(!String::from_utf8_lossy(&quiet).contains("read"));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_no_progress_behind() {
    let sql = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let bytes = typed_on_a_terminal(&["-c", sql], &[], Some((Duration::from_secs(2), 3)));
    assert!(String::from_utf8_lossy(&bytes).contains(" read") || String::from_utf8_lossy(&bytes).contains("working"));
    let size = |lines: u16| std::num::NonZeroU16::new(lines).expect("not 0");
    let mut screen = vt100::Parser::new(size(30), size(100), 0);
    screen.process(&bytes);
    let shown = screen.screen().contents();
    assert!(!shown.contains("read") && !shown.contains("working"), "{shown:?}");
}

#[test]
#[cfg(unix)]
fn an_empty_result_names_the_key_that_is_not_there() {
    let text = |sql: &str| String::from_utf8_lossy(&on_a_terminal(&["-c", sql], &[])).into_owned();
    let note = "note: candles has no symbol 'BTCUSD', did you mean 'BTCUSDT'?";
    assert!(text("SELECT ts FROM candles WHERE symbol = 'BTCUSD'").contains(note));
    assert!(!text("SELECT ts FROM candles WHERE symbol = 'BTCUSDT' AND close < 0").contains("note: "));
    let piped = liqsql(&["-c", "SELECT ts FROM candles WHERE symbol = 'BTCUSD'"]).output().expect("the program starts");
    assert_eq!(std::str::from_utf8(&piped.stderr).expect("text"), "");
}

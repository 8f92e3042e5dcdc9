//! Everyday mistakes in statements, each run by the real program: what a user sees is one snapshot, to be read as such.
//!
//! `mistakes.txt` holds them, one a paragraph, under headings that begin with `#`. Whatever the message, some things hold
//! for all: one line that says all, exit code 1, no words of the engine, a mark that lies under the statement.

use std::fmt::Write as _;
use std::process::{Command, Output, Stdio};

const MISTAKES: &str = include_str!("mistakes.txt");

/// What no message about a mistake of the user may say.
const FORBIDDEN: &[&str] = &[
    "nternal error",
    "bug in DataFusion",
    "xternal error",
    "Error during planning",
    "Execution error",
    "caused by",
    "acktrace",
    "panicked",
    "Some(",
    "None",
    "Utf8",
    "Int64(",
    "Float64",
    "Timestamp(ms",
    "Literal(",
    "Column {",
    "Ident",
    "Span(",
    "datafusion.public",
    "ListingTable",
    "got ",
    "EOF",
];

fn liqsql(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liqsql"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("LIQSQL_DATA")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

/// The message of one statement, which must be a mistake.
fn message(sql: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("x.csv"), "a;b\n1;2\n").expect("a file");
    let output = liqsql(&folder, &["--format", "csv", "-c", sql]);
    assert_eq!(output.status.code(), Some(1), "{sql}\n{}", said(&output));
    said(&output).to_owned()
}

/// The text above the mark.
fn marked(message: &str) -> Option<String> {
    let lines: Vec<&str> = message.lines().collect();
    let [_, source, mark] = lines.as_slice() else { return None };
    let width = |text: &str| text.chars().map(|c| if u32::from(c) > 0x2E80 { 2 } else { 1 }).sum::<usize>();
    let (start, length) = (mark.find('^').expect("a mark"), mark.matches('^').count());
    let mut column = 0;
    let mut text = String::new();
    for letter in source.chars() {
        if (start..start + length).contains(&column) {
            text.push(letter);
        }
        column += width(&letter.to_string());
    }
    Some(text)
}

#[test]
fn every_mistake_ends_in_one_clear_line() {
    let mut report = String::new();
    let (mut mistakes, mut with_place) = (0, 0);
    let paragraphs: Vec<&str> = MISTAKES.trim().split("\n\n").collect();
    // Each takes the time of a start; two at once keep the test short.
    let half = paragraphs.len().div_ceil(2);
    let messages: Vec<Option<String>> = std::thread::scope(|scope| {
        let run = |part: &[&str]| -> Vec<Option<String>> {
            part.iter().map(|sql| (!sql.starts_with("# ")).then(|| message(sql))).collect()
        };
        let second = scope.spawn(move || run(&paragraphs[half..]));
        let mut all = run(&MISTAKES.trim().split("\n\n").collect::<Vec<_>>()[..half]);
        all.extend(second.join().expect("all run"));
        all
    });
    for (sql, message) in MISTAKES.trim().split("\n\n").zip(messages) {
        let Some(message) = message else {
            writeln!(report, "{sql}\n").expect("a string");
            continue;
        };
        mistakes += 1;
        let first = message.lines().next().expect("a line");
        assert!(first.starts_with("-c:") && first.contains(": error: "), "{sql}\n{message}");
        assert!(first.chars().count() <= 300, "{sql}\n{message}");
        for word in FORBIDDEN {
            assert!(!first.contains(word), "{word} is in\n{sql}\n{message}");
        }
        match message.lines().count() {
            1 => {}
            3 => {
                with_place += 1;
                // What is missing at the end has its mark after it.
                let text = marked(&message).expect("a mark");
                let is_missing = ["the end of the statement", "is missing"].iter().any(|words| first.contains(words));
                assert!(!text.trim().is_empty() || is_missing, "{sql}\n{message}");
            }
            _ => panic!("{sql}\n{message}"),
        }
        writeln!(report, "{}\n{message}", sql.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"))
            .expect("a string");
    }
    assert!(mistakes >= 250, "{mistakes}");
    assert!(with_place * 10 >= mistakes * 9, "{with_place} of {mistakes} have a place");
    insta::assert_snapshot!("mistakes", report);
}

#[test]
fn the_mark_lies_under_the_fault() {
    for (sql, fault) in [
        ("SELECT ts, clse FROM candles", "clse"),
        ("SELECT '人生' AS a, c.clse FROM candles c", "c.clse"),
        ("SELECT ts\nFROM candles\nWHERE sybol = 'BTCUSDT'", "sybol"),
        ("SELECT * FROM candels", "candels"),
        ("SELECT avrage(close) FROM candles", "avrage"),
        ("SELECT ts FORM candles", "FORM"),
        ("SELECT * FROM liq_heatmap(liq_bars(candles), price_step => -5)", "-5"),
        ("SELECT * FROM liq_heatmap(liq_bars(candles), step => INTERVAL '1 month')", "INTERVAL '1 month'"),
        ("SELECT * FROM liq_heatmap(liq_bars(candles), price_stp => 5)", "price_stp"),
        ("SELECT * FROM liq_heatmap(liq_bars(candles), NULL, -5)", "-5"),
        ("SELECT * FROM liq_heatmap(funding)", "funding"),
        ("SELECT 1 WHERE $a > $b", "$a"),
        ("CREATE TABLE t AS SELECT clse FROM candles", "clse"),
        ("EXPLAIN SELECT clse FROM candles", "clse"),
        ("COPY (SELECT clse FROM candles) TO 'x.csv'", "clse"),
    ] {
        let message = message(sql);
        assert_eq!(marked(&message).as_deref(), Some(fault), "{message}");
    }
}

#[test]
fn of_two_calls_the_faulty_one_is_marked() {
    let call = |step: &str| format!("SELECT ts FROM liq_heatmap(liq_bars(candles), step => INTERVAL '{step}')");
    let sql = format!("{} UNION ALL {}", call("4 hours"), call("-4 hours"));
    assert_eq!(marked(&message(&sql)).as_deref(), Some("INTERVAL '-4 hours'"));
}

#[test]
fn a_view_does_not_lend_its_places() {
    let message = message("CREATE VIEW v AS SELECT close FROM candles;\nSELECT\nopen FROM v");
    assert!(message.starts_with("-c:3: error: no column 'open'; there are close\n"), "{message}");
}

#[test]
fn quiet_says_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = liqsql(&folder, &["--quiet", "-c", "SELECT clse FROM candles"]);
    assert_eq!(said(&output), "-c:1: error: no column 'clse', did you mean 'close'?\n");
}

#[test]
fn a_secret_is_not_in_the_excerpt() {
    let message =
        message("CREATE EXTERNAL TABLE t STORED AS NOPE LOCATION 'x' OPTIONS ('aws.secret_access_key' 'hush')");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(!message.contains("hush"), "{message}");
}

#[test]
fn depth_and_length_have_a_limit_and_no_crash() {
    let nested = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(message(&nested).lines().next(), Some("-c:1: error: the statement is nested deeper than 50 levels"));
    let subqueries = format!("{}candles{}", "SELECT * FROM (".repeat(100), ")".repeat(100));
    assert!(message(&subqueries).contains("nested deeper than 50 levels"));
    let chain = format!("SELECT 1{}", " + 1".repeat(2_001));
    assert!(message(&chain).contains("more than 2000 operators one after another"));
    let unions = format!("SELECT 1, 2{}", " UNION ALL SELECT 1, 2".repeat(2_001));
    assert!(message(&unions).contains("more than 2000 operators one after another"));
    let folder = tempfile::tempdir().expect("a folder");
    let long = format!("SELECT 1 AS a FROM candles WHERE close = 0{} LIMIT 1", " OR close > 1".repeat(500));
    let output = liqsql(&folder, &["--format", "csv", "-c", &long]);
    assert_eq!(said(&output), "");
    assert_eq!(output.stdout, b"a\n1\n");
}

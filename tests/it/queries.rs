//! Every saved query runs on the embedded sample, with the real binary, and its first rows stay as they are.
//!
//! A query that reads tables of the user's own (its name begins with `real_`) is only checked to parse and to say which
//! table is missing. `INSTA_UPDATE=always` writes new snapshots.

use std::path::Path;
use std::process::Command;

const LINES_SHOWN: usize = 24;

fn run(path: &Path) -> (String, String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_liqsql"))
        .args(["--quiet", "--format", "csv", "-f"])
        .arg(path)
        .env_remove("LIQSQL_DATA")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn saved_queries_answer_on_the_sample() {
    insta::glob!("../../queries", "*.sql", |path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(path).unwrap();
        assert!(source.starts_with("-- "), "{name} opens with the question it answers");
        let (rows, errors, succeeded) = run(path);
        if name.starts_with("real_") {
            assert!(!succeeded && errors.contains("real_"), "{name}: {errors}");
            return;
        }
        assert!(succeeded, "{name}: {errors}");
        let lines: Vec<&str> = rows.lines().collect();
        assert!(lines.len() > 1, "{name} has rows");
        let mut shown: Vec<String> = lines.iter().take(LINES_SHOWN).map(|line| rounded(line)).collect();
        shown.push(format!("… {} lines in all", lines.len()));
        insta::assert_snapshot!(name, shown.join("\n"));
    });
}

/// Nine significant digits: what a platform's mathematics library may change is behind them.
fn rounded(line: &str) -> String {
    let round = |field: &str| match field.parse::<f64>() {
        Ok(number) if field.contains('.') => format!("{number:.8e}").parse::<f64>().unwrap().to_string(),
        _ => field.to_owned(),
    };
    line.split(',').map(round).collect::<Vec<_>>().join(",")
}

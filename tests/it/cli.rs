//! The real program, run as a user runs it: exit codes, messages, variables, formats, files, pipes.
//!
//! The statements here need no market: what the functions return is tested elsewhere.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn liqsql() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liqsql"));
    // What the developer has set must not decide a test.
    command.env_remove("LIQSQL_DATA").env_remove("COLUMNS").env_remove("LINES").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    liqsql().args(arguments).output().expect("the program starts")
}

fn run_with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = liqsql()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

/// What it printed, of a run that must succeed without a word on standard error.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(stderr(&output), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    stdout(&output).to_owned()
}

/// What it said on standard error, of a run that must end with this code.
fn refused(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    stderr(&output).to_owned()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn script(&self, name: &str, text: &str) -> String {
        fs::write(self.0.path().join(name), text).expect("a file");
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn success_is_0_failure_is_1_misuse_is_2() {
    assert_eq!(run(&["-c", "SELECT 1"]).status.code(), Some(0));
    assert_eq!(run(&["-c", "SELECT nope"]).status.code(), Some(1));
    assert_eq!(run(&["--no-such-option"]).status.code(), Some(2));
    assert_eq!(run(&["--format", "xml", "-c", "SELECT 1"]).status.code(), Some(2));
    assert_eq!(run(&["--memory-limit", "lots", "-c", "SELECT 1"]).status.code(), Some(2));
    assert_eq!(run(&["--help"]).status.code(), Some(0));
}

#[test]
fn messages_begin_with_file_and_line() {
    let folder = Folder::new();
    let script = folder.script("x.sql", "-- a comment\nSELECT 1;\n\n/* two\nlines */ SELECT nope;\n");
    let message = refused(1, &["--quiet", "-f", &script]);
    assert!(message.starts_with(&format!("{script}:5: error: no column 'nope'")), "{message}");
    assert_eq!(message.lines().count(), 1);

    // The line of the fault, not of the statement's beginning.
    let script = folder.script("y.sql", "SELECT 1,\n  2,\n  );\n");
    let message = refused(1, &["-f", &script]);
    assert!(
        message.starts_with(&format!("{script}:3: error: expected: the end of the statement, found: )")),
        "{message}"
    );

    let message = refused(1, &["-c", "SELECT 1;\nSELEC 2"]);
    let excerpt = "  2 | SELEC 2\n    | ^^^^^\n";
    assert_eq!(
        message,
        format!("-c:2: error: expected: an SQL statement, found: SELEC, did you mean SELECT?\n{excerpt}")
    );

    let message = refused(1, &["-f", "no-such-file.sql"]);
    assert!(message.starts_with("error: cannot read 'no-such-file.sql'"), "{message}");
}

#[test]
fn it_stops_at_the_first_error() {
    let output = run(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT nope; SELECT 3 AS c"]);
    assert_eq!(stdout(&output), "a\n1\n");
    assert_eq!(output.status.code(), Some(1));

    let output = run(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT 'open"]);
    assert_eq!(stdout(&output), "a\n1\n");
    assert!(stderr(&output).starts_with("-c:1: error: a string is not closed"), "{}", stderr(&output));
}

#[test]
fn sources_run_in_the_order_given() {
    let folder = Folder::new();
    let script = folder.script("x.sql", "SELECT 2 AS a");
    let output = run_with_input(
        &["--format", "ndjson", "-c", "SELECT 1 AS a", "-f", &script, "-f", "-", "-c", "SELECT 4 AS a"],
        "SELECT 3 AS a;",
    );
    assert_eq!(stdout(&output), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n");
}

#[test]
fn standard_input_is_a_script() {
    let output = run_with_input(&["--format", "csv"], "CREATE TABLE t AS SELECT 5 AS a;\nSELECT * FROM t;\n");
    assert_eq!(stdout(&output), "a\n5\n");
    let output = run_with_input(&[], "SELECT 1;\nSELECT nope;\n");
    assert!(stderr(&output).starts_with("<stdin>:2: error: "), "{}", stderr(&output));
}

#[test]
fn semicolons_in_strings_and_comments_do_not_cut() {
    let text =
        "SELECT ';' AS a -- one; two\n, $$x;y$$ AS b, $t$;$t$ AS c /* ; /* nested; */ */;;\n; SELECT 'it''s;' AS d";
    assert_eq!(
        printed(&["--format", "ndjson", "-c", text]),
        "{\"a\":\";\",\"b\":\"x;y\",\"c\":\";\"}\n{\"d\":\"it's;\"}\n"
    );
}

#[test]
fn declared_variables_have_types_and_defaults() {
    let folder = Folder::new();
    let script = folder.script(
        "x.sql",
        "-- A question.\n\
         -- $symbol text = 'BTCUSDT'  which pair\n\
         -- $count integer = -2\n\
         -- $share number = 1\n\
         -- $flag boolean = true\n\
         -- $since timestamp = '2024-01-01'\n\
         -- $step interval = '90 minutes'\n\
         SELECT $symbol AS a, $count AS b, $share AS c, $flag AS d, $since + $step AS e, arrow_typeof($share) AS f;\n",
    );
    assert_eq!(
        printed(&["--format", "csv", "-f", &script]),
        "a,b,c,d,e,f\nBTCUSDT,-2,1.0,true,2024-01-01T01:30:00,Float64\n"
    );
    let set = ["--set", "symbol=it's; SELECT 2", "--set", "count=7", "--set", "flag=off"];
    let set_since = ["--set", "since=2024-06-01T12:00:00+02:00"];
    let arguments = [&["--format", "csv", "-f", &script][..], &set, &set_since].concat();
    assert_eq!(printed(&arguments), "a,b,c,d,e,f\nit's; SELECT 2,7,1.0,false,2024-06-01T11:30:00,Float64\n");
}

#[test]
fn wrong_missing_and_unknown_variables_are_named() {
    let folder = Folder::new();
    let script = folder.script("x.sql", "-- $n integer  how many rows\n-- $m integer = 1\nSELECT $n, $m;\n");
    assert_eq!(
        refused(1, &["-f", &script]),
        format!("{script}:1: error: variable 'n' (how many rows) is not set: use --set n=integer\n")
    );
    assert_eq!(
        refused(1, &["-f", &script, "--set", "n=abc"]),
        format!("{script}:1: error: variable 'n' must be an integer, was 'abc'\n")
    );
    let message = refused(2, &["-f", &script, "--set", "n=1", "--set", "count=2"]);
    assert!(message.starts_with("error: --set: no script declares 'count': declared are m, n\n"), "{message}");
    let message = refused(1, &["-c", "SELECT\n$x"]);
    assert_eq!(message, "-c:2: error: variable 'x' is not set: use --set x=VALUE\n  2 | $x\n    | ^^\n");
    let faulty = folder.script("y.sql", "-- $n color\nSELECT 1;\n");
    assert!(refused(1, &["-f", &faulty]).starts_with(&format!("{faulty}:1: error: variable 'n' must have one of")));
}

#[test]
fn undeclared_variables_of_a_command_get_a_type() {
    let sql = "SELECT $a + 1 AS a, $b AS b, arrow_typeof($c) AS c, $d AS d";
    let set = ["--set", "a=1", "--set", "b=2.5", "--set", "c=true", "--set", "d=x=y"];
    let arguments = [&["--format", "csv", "-c", sql][..], &set].concat();
    assert_eq!(printed(&arguments), "a,b,c,d\n2,2.5,Boolean,x=y\n");
}

const MIXED: &str = "SELECT * FROM (VALUES (1, -0.0, 'a,b|c', TIMESTAMP '2024-01-01T00:00:00'), (2, NULL, NULL, NULL)) \
                     AS t(i, f, s, ts) ORDER BY i";

#[test]
fn every_text_format_shows_null_zero_and_time() {
    assert_eq!(printed(&["--format", "csv", "-c", MIXED]), "i,f,s,ts\n1,0.0,\"a,b|c\",2024-01-01T00:00:00\n2,,,\n");
    assert_eq!(
        printed(&["--format", "tsv", "-c", MIXED]),
        "i\tf\ts\tts\n1\t0.0\ta,b|c\t2024-01-01T00:00:00\n2\t\t\t\n"
    );
    assert_eq!(
        printed(&["--format", "json", "-c", MIXED]),
        "[{\"i\":1,\"f\":0.0,\"s\":\"a,b|c\",\"ts\":\"2024-01-01T00:00:00\"},\
         {\"i\":2,\"f\":null,\"s\":null,\"ts\":null}]\n"
    );
    assert_eq!(
        printed(&["--format", "ndjson", "-c", MIXED]),
        "{\"i\":1,\"f\":0.0,\"s\":\"a,b|c\",\"ts\":\"2024-01-01T00:00:00\"}\n\
         {\"i\":2,\"f\":null,\"s\":null,\"ts\":null}\n"
    );
    assert_eq!(
        printed(&["--format", "markdown", "-c", MIXED]),
        "| i | f | s | ts |\n| ---: | ---: | --- | --- |\n\
         | 1 | 0.0 | a,b\\|c | 2024-01-01T00:00:00 |\n| 2 | NULL | NULL | NULL |\n"
    );
    assert_eq!(
        printed(&["-c", MIXED]),
        "+---+------+-------+---------------------+\n\
         | i | f    | s     | ts                  |\n"
            .replace("f    ", "   f ")
            + "+---+------+-------+---------------------+\n\
               | 1 |  0.0 | a,b|c | 2024-01-01T00:00:00 |\n\
               | 2 | NULL | NULL  | NULL                |\n\
               +---+------+-------+---------------------+\n"
    );
}

#[test]
fn an_empty_result_keeps_its_columns() {
    let empty = "SELECT 1 AS a, 'x' AS b WHERE false";
    assert_eq!(printed(&["--format", "csv", "-c", empty]), "a,b\n");
    assert_eq!(printed(&["--format", "json", "-c", empty]), "[]\n");
    assert_eq!(printed(&["--format", "ndjson", "-c", empty]), "");
    assert_eq!(printed(&["-c", empty]), "+---+---+\n| a | b |\n+---+---+\n+---+---+\n");
}

#[test]
fn statements_without_rows_print_nothing() {
    let folder = Folder::new();
    let target = folder.path("t.csv");
    let sql = format!(
        "CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT * FROM t; SET datafusion.execution.batch_size = 100; \
         COPY t TO '{target}'; DROP VIEW v"
    );
    assert_eq!(printed(&["-c", &sql]), "");
    assert_eq!(fs::read_to_string(target).expect("the copy"), "a\n1\n");
}

#[test]
fn the_ending_of_output_decides_the_format() {
    let folder = Folder::new();
    for (name, expected) in [
        ("x.csv", "a\n1\n"),
        ("x.tsv", "a\n1\n"),
        ("x.json", "[{\"a\":1}]\n"),
        ("x.jsonl", "{\"a\":1}\n"),
        ("x.md", "| a |\n| ---: |\n| 1 |\n"),
    ] {
        let path = folder.path(name);
        assert_eq!(printed(&["-c", "SELECT 1 AS a", "--output", &path]), "");
        assert_eq!(fs::read_to_string(path).expect("the file"), expected, "{name}");
    }
    let path = folder.path("x.dat");
    assert!(refused(2, &["-c", "SELECT 1", "--output", &path]).contains("no format ends like"));
    assert_eq!(printed(&["-c", "SELECT 1 AS a", "--output", &path, "--format", "csv"]), "");
    assert_eq!(fs::read_to_string(path).expect("the file"), "a\n1\n");
}

#[test]
fn parquet_can_be_read_back() {
    let folder = Folder::new();
    let path = folder.path("x.parquet");
    printed(&["-c", "SELECT value FROM generate_series(1, 20000)", "--output", &path]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(Path::new(&path)).expect("the file"));
    assert_eq!(reader.expect("a Parquet file").metadata().file_metadata().num_rows(), 20_000);
    let sql = format!("SELECT sum(value) AS s FROM '{path}'");
    assert_eq!(printed(&["--format", "csv", "-c", &sql]), "s\n200010000\n");
}

#[test]
fn a_failed_run_leaves_the_old_file() {
    let folder = Folder::new();
    let path = folder.script("x.csv", "old");
    refused(1, &["-c", "SELECT 1 AS a; SELECT nope", "--output", &path]);
    let message = refused(1, &["-c", "SELECT 1 AS a; SELECT 2", "--output", &path]);
    assert_eq!(message, "-c:1: error: a csv file holds one result: this is the second\n");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "old");
    assert_eq!(folder.names(), ["x.csv"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    for format in ["table", "csv", "json", "ndjson", "markdown"] {
        let mut child = liqsql()
            .args(["--format", format, "-c", "SELECT value FROM generate_series(1, 3000000)"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("its output"));
        if format == "json" {
            let mut start = [0; 16];
            reader.read_exact(&mut start).expect("the beginning");
        } else {
            reader.read_line(&mut line).expect("the first line");
        }
        drop(reader);
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(stderr(&output), "", "{format}");
        assert_eq!(output.status.code(), Some(0), "{format}");
    }
}

#[test]
fn a_memory_limit_ends_in_an_error() {
    let sql = "SELECT value FROM generate_series(1, 3000000) ORDER BY value DESC";
    let message = refused(1, &["--memory-limit", "1MB", "--format", "csv", "-c", sql]);
    assert!(message.starts_with("-c:1: error: Resources exhausted: "), "{message}");
}

#[test]
fn secrets_stay_out_of_messages() {
    let sql = "CREATE EXTERNAL TABLE t STORED AS NOPE LOCATION 'x' OPTIONS ('aws.secret_access_key' 'hush') 'hush'";
    let message = refused(1, &["-c", sql]);
    assert!(!message.contains("hush"), "{message}");
}

#[test]
fn render_needs_something_to_draw() {
    let message = refused(2, &["render"]);
    assert!(message.starts_with("error: render: give a script with -f FILE, or SQL with -c SQL"), "{message}");
    let message = refused(1, &["render", "-c", "SELECT 1 AS a"]);
    assert!(message.starts_with("error: render: nothing here can be drawn"), "{message}");
}

#[test]
fn commands_work_in_scripts() {
    let folder = Folder::new();
    folder.script("inner.sql", "-- $n integer = 1\nSELECT $n AS n;\n\\set n 8\n\\q\nSELECT 'not reached';\n");
    let script = folder.script(
        "outer.sql",
        "-- $n integer  a number\n\\set n 7\n\\echo it's $n; begin\nSELECT $n AS n; \\ir inner.sql\nSELECT $n AS n;\n",
    );
    assert_eq!(printed(&["--format", "csv", "-f", &script]), "it's $n; begin\nn\n7\nn\n7\nn\n8\n");

    let text = "\\x\nSELECT 1 AS a, NULL AS longer;\n\\x off\n\\format csv\nSELECT 2 AS b;";
    assert_eq!(printed(&["-c", text]), "-[ row 1 ]-\na      | 1\nlonger | NULL\nb\n2\n");

    let file = folder.path("o.md");
    let text = format!("\\o {file}\nSELECT 1 AS a; SELECT 2 AS b;\n\\o\nSELECT 3 AS c;");
    assert_eq!(printed(&["--format", "csv", "-c", &text]), "c\n3\n");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "| a |\n| ---: |\n| 1 |\n\n| b |\n| ---: |\n| 2 |\n");
}

#[test]
fn faulty_commands_say_where_and_what() {
    let folder = Folder::new();
    let circle = folder.script("circle.sql", "\n\\ir circle.sql\n");
    for (text, expected) in [
        ("SELECT 1;\n\\tming", "-c:2: error: no such command '\\tming': did you mean '\\timing'?"),
        ("\\i", "-c:1: error: \\i: must be given a file"),
        ("\\i none.sql", "-c:1: error: cannot read 'none.sql'"),
        ("\\set 1x 2", "-c:1: error: a variable's name must be letters, digits and underscores, was '1x'"),
        ("\\unset x", "-c:1: error: variable 'x' is not set"),
        ("\\format xlsx", "-c:1: error: format must be one of table|csv"),
        ("\\x maybe", "-c:1: error: \\x: must be on, off or auto, was 'maybe'"),
        ("\\limit few", "-c:1: error: \\limit: must be a number of rows or off, was 'few'"),
        ("\\watch 0", "-c:1: error: \\watch: must be 0.1 to 86400 seconds, was '0'"),
        ("\\plot", "-c:1: error: \\plot: there is no query yet"),
        ("\\explain twice", "-c:1: error: \\explain: must be followed by analyze or a query, was 'twice'"),
        ("\\d nothing", "-c:1: error: no table 'nothing': \\d lists them"),
        ("\\d candels", "-c:1: error: no table 'candels': did you mean 'candles'?"),
        ("\\data nowhere", "-c:1: error: data root 'nowhere' must be a folder"),
        ("SELECT 1\n\\timing", "-c:2: error: the statement that begins in line 1 must end with ; before '\\timing'"),
        ("\\e", "-c:1: error: \\e: works at the prompt only"),
    ] {
        let message = refused(1, &["-c", text]);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
    let message = refused(1, &["-f", &circle]);
    assert!(message.contains("circle.sql:2: error: \\ir: scripts call each other 16 deep"), "{message}");
}

#[test]
fn explain_shows_the_plan_alone() {
    let text = printed(&["-c", "\\explain SELECT ts FROM candles LIMIT 1;"]);
    assert!(text.starts_with("DataSourceExec: ") && text.lines().count() == 1, "{text}");
    let text = printed(&["-c", "SELECT ts FROM candles LIMIT 1; \\explain analyze"]);
    assert!(text.contains("output_rows=1"), "{text}");
}

#[test]
fn functions_of_the_engine_are_explained_too() {
    let text = printed(&["-c", "\\df date_bin"]);
    assert!(text.contains("date_bin(") && text.contains("interval"), "{text}");
    assert!(printed(&["-c", "\\h count"]).contains("count("));
    assert!(refused(1, &["-c", "\\df liq_poolz"]).contains("did you mean 'liq_pools'?"));
}

#[test]
fn tables_are_listed_with_their_source() {
    let text = printed(&["--format", "csv", "-c", "CREATE VIEW mine AS SELECT 1 AS a; SHOW TABLES"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["table_name,kind,source", "candles,market,the built-in sample"]);
    assert_eq!(lines[9], "mine,view,view");
    let text = printed(&["--data", "none", "-c", "\\data"]);
    assert_eq!(text, "no market tables\n");
    assert_eq!(
        printed(&["--data", "none", "--format", "csv", "-c", "SELECT count(*) > 0 AS any FROM sample.candles"]),
        "any\ntrue\n"
    );
}

#[test]
fn a_statement_may_begin_with_from_and_a_command_with_a_comment() {
    assert_eq!(printed(&["--format", "csv", "-c", "-- a note\nFROM candles ORDER BY ts LIMIT 1"]).lines().count(), 2);
    let text = "CREATE TABLE t AS FROM candles; SELECT count(*) > 0 AS some FROM (FROM t)";
    assert_eq!(printed(&["--format", "csv", "-c", text]), "some\ntrue\n");
}

#[test]
fn tables_of_the_user_stand_before_those_of_the_sample() {
    let folder = Folder::new();
    let file = folder.script("c.csv", "ts,exchange,symbol,open,high,low,close,volume\n2026-01-01,x,YUSDT,1,2,1,2,5\n");
    let own =
        format!("CREATE EXTERNAL TABLE candles STORED AS CSV LOCATION '{file}' OPTIONS ('format.has_header' 'true')");
    let text = format!("{own}; SELECT count(*) AS n FROM candles; SELECT count(*) > 1 AS sample FROM sample.candles");
    assert_eq!(printed(&["--format", "csv", "-c", &text]), "n\n1\nsample\ntrue\n");
    let text = "CREATE VIEW candles AS SELECT * FROM sample.candles LIMIT 2; SELECT count(*) AS n FROM candles";
    assert_eq!(printed(&["--format", "csv", "-c", text]), "n\n2\n");
    // What could not be made leaves the sample's table.
    let output = run_with_input(&["--format", "csv"], "CREATE TABLE candles AS SELECT 1/0 AS a;");
    assert_eq!(output.status.code(), Some(1));
    let message = refused(1, &["-c", &format!("{own}; {own}")]);
    assert!(message.contains("'candles' already exists"), "{message}");
    // A quoted file is a relation, too.
    let output = liqsql()
        .current_dir(folder.0.path())
        .args(["--format", "csv", "-c", "SELECT count(*) AS n FROM liq_bars('c.csv', interval => INTERVAL '1 day')"])
        .output()
        .expect("the program starts");
    assert_eq!(stdout(&output), "n\n1\n", "{}", stderr(&output));
}

#[test]
#[cfg(unix)]
fn what_is_written_to_keeps_its_nature() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let (real, link) = (folder.path("real.csv"), folder.path("link.csv"));
    fs::write(&real, "old").expect("a file");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("its mode");
    symlink(&real, &link).expect("a link");
    printed(&["-o", &link, "-c", "SELECT 1 AS a"]);
    assert_eq!(fs::read_to_string(&real).expect("the file"), "a\n1\n");
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert_eq!(fs::metadata(&real).expect("the file").permissions().mode() & 0o777, 0o600);
    // A device is written to as it is. (That of a test has no name of its own.)
    printed(&["--format", "csv", "-o", "/proc/self/fd/1", "-c", "SELECT 1 AS a"]);
}

#[test]
fn a_copy_that_fails_leaves_the_file_that_was_there() {
    let folder = Folder::new();
    let path = folder.path("x.csv");
    printed(&["-c", &format!("COPY (SELECT 1 AS a) TO '{path}'")]);
    let before = fs::read_to_string(&path).expect("the file");
    assert_eq!(before, "a\n1\n");
    let faulty = format!("COPY (SELECT 1 / (value - 500000) AS a FROM generate_series(1, 1000000)) TO '{path}'");
    refused(1, &["-c", &faulty]);
    assert_eq!(fs::read_to_string(&path).expect("the file"), before);
    assert_eq!(folder.names(), ["x.csv"]);
    let message = refused(1, &["-c", "COPY (SELECT 1 AS a) TO '/proc/x.csv'"]);
    assert!(message.starts_with("-c:1: error: cannot write '/proc/x.csv'"), "{message}");
}

#[test]
#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "the thread is the test's own: no runtime waits for it")]
fn a_program_that_is_ended_leaves_no_half_file() {
    for signal in ["-TERM", "-HUP"] {
        let folder = Folder::new();
        let path = folder.path("x.csv");
        let mut child = liqsql()
            .args(["-o", &path, "-c", "SELECT value FROM generate_series(1, 100000000000)"])
            .spawn()
            .expect("the program starts");
        while folder.names().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // The shell's own `kill`, which is everywhere.
        let kill = format!("kill {signal} {}", child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(killed.success());
        assert_ne!(child.wait().expect("it ends").code(), Some(0));
        assert_eq!(folder.names(), Vec::<String>::new(), "{signal}");
    }
}

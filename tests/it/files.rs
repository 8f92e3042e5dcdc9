//! Text files as tables and as what COPY writes: which columns, which kind of JSON, which endings, which types.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Where the program runs, and its home.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).expect("a file")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_liqsql"))
            .env_remove("LIQSQL_DATA")
            .env("HOME", self.path())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .args(arguments)
            .output()
            .expect("the program starts")
    }

    /// What statements print as CSV.
    fn printed(&self, sql: &str) -> String {
        let output = self.run(&["--quiet", "--format", "csv", "-c", sql]);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{sql}");
        text(&output.stdout)
    }

    /// What is said about a statement that must fail.
    fn refused(&self, sql: &str) -> String {
        let output = self.run(&["--quiet", "-c", sql]);
        assert_eq!(output.status.code(), Some(1), "{sql}: {}", text(&output.stderr));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn text_files_with_other_orders_of_columns_are_not_read_together() {
    let folder = Folder::new();
    folder.write("sw/1.csv", "sym,open,close\nA,1,2\n");
    folder.write("sw/2.csv", "sym,close,open\nB,3,4\n");
    let expected = "'sw/2.csv' has columns sym, close, open, but 'sw/1.csv' has sym, open, close: CSV files read \
                    together must have the same columns in the same order";
    for sql in [
        "SELECT * FROM 'sw/*.csv'",
        "SELECT * FROM 'sw/'",
        "SELECT * FROM 'sw'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'sw/'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'sw/*.csv'",
    ] {
        let message = folder.refused(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
    assert_eq!(folder.printed("SELECT open FROM 'sw/2.csv'"), "open\n4\n");
    // Compressed ones too.
    for (columns, file) in [("1 AS open, 2 AS close", "1"), ("2 AS close, 1 AS open", "2")] {
        folder.printed(&format!(
            "COPY (SELECT {columns}) TO 'packed/{file}.csv.gz' STORED AS CSV OPTIONS ('format.compression' 'gzip')"
        ));
    }
    let message = folder.refused("SELECT * FROM 'packed/*.csv.gz'");
    assert!(
        message.contains("'packed/2.csv.gz' has columns close, open, but 'packed/1.csv.gz' has open, close"),
        "{message}"
    );
}

/// It may be any of them, not just one of the few whose types are looked at.
#[test]
fn one_other_file_among_many_is_found() {
    let folder = Folder::new();
    for file in 0..60 {
        let header = if file == 31 { "b\ta" } else { "a\tb" };
        folder.write(&format!("many/{file:02}.tsv"), &format!("{header}\n{file}\t0\n"));
    }
    let message = folder.refused("SELECT sum(a) FROM 'many/*.tsv'");
    assert!(message.contains("'many/31.tsv' has columns b, a, but 'many/00.tsv' has a, b"), "{message}");
}

#[test]
fn text_files_of_the_same_columns_are_read_together() {
    let folder = Folder::new();
    // An empty file has no columns; quotes are no part of a name; whole numbers are numbers.
    folder.write("same/1.csv", "a,b\n1,x\n");
    folder.write("same/2.csv", "");
    folder.write("same/3.csv", "a,\"b\"\r\n2.5,y\r\n");
    assert_eq!(folder.printed("SELECT a, b FROM 'same/*.csv' ORDER BY b"), "a,b\n1.0,x\n2.5,y\n");
}

#[test]
fn what_output_writes_as_json_is_read() {
    let folder = Folder::new();
    let output =
        folder.run(&["--output", "x.json", "-c", "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y' ORDER BY a"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&folder.bytes("x.json")).starts_with('['));
    folder.write("spaced.json", "\n  [{\"a\": 1, \"b\": \"x\"},\n {\"a\": 2, \"b\": \"y\"}]\n");
    for from in ["x.json", "spaced.json", "x*.json"] {
        let rows = folder.printed(&format!("SELECT a, b FROM '{from}' ORDER BY a"));
        assert_eq!(rows, "a,b\n1,x\n2,y\n", "{from}");
    }
    let sql = "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION 'x.json'; SELECT a, b FROM t ORDER BY a";
    assert_eq!(folder.printed(sql), "a,b\n1,x\n2,y\n");
    folder.write("lines.json", "{\"a\":3}\n");
    assert_eq!(folder.printed("SELECT a FROM 'lines.json'"), "a\n3\n");
}

/// The engine divides large files among its threads, which an array does not stand.
#[test]
fn a_large_array_is_read_whole() {
    let folder = Folder::new();
    let filler = "x".repeat(100);
    let mut array = String::from("[");
    for n in 0..120_000 {
        let comma = if n == 0 { "" } else { "," };
        write!(array, "{comma}{{\"n\":{n},\"filler\":\"{filler}\"}}").expect("memory");
    }
    array.push(']');
    assert!(array.len() > 12 << 20);
    folder.write("large.json", &array);
    assert_eq!(folder.printed("SELECT count(*) AS c, sum(n) AS s FROM 'large.json'"), "c,s\n120000,7199940000\n");
}

#[test]
fn copy_writes_what_the_ending_says() {
    let folder = Folder::new();
    let select = "SELECT 1 AS a, 'x' AS b";
    for (name, expected) in [
        ("x.csv", "a,b\n1,x\n"),
        ("x.tsv", "a\tb\n1\tx\n"),
        ("x.json", "{\"a\":1,\"b\":\"x\"}\n"),
        ("x.ndjson", "{\"a\":1,\"b\":\"x\"}\n"),
        ("x.jsonl", "{\"a\":1,\"b\":\"x\"}\n"),
    ] {
        folder.printed(&format!("COPY ({select}) TO '{name}'"));
        assert_eq!(text(&folder.bytes(name)), expected, "{name}");
    }
    let (gzip, zstd) = ([0x1f, 0x8b], [0x28, 0xb5]);
    for (name, magic) in [
        ("y.csv.gz", gzip),
        ("y.tsv.gz", gzip),
        ("y.ndjson.gz", gzip),
        ("y.csv.zst", zstd),
        ("y.tsv.zst", zstd),
        ("y.jsonl.zst", zstd),
    ] {
        folder.printed(&format!("COPY ({select}) TO '{name}'"));
        assert_eq!(folder.bytes(name)[..2], magic, "{name}");
        assert_eq!(folder.printed(&format!("SELECT a, b FROM '{name}'")), "a,b\n1,x\n", "{name}");
    }
    for name in ["z.parquet", "z.arrow"] {
        folder.printed(&format!("COPY ({select}) TO '{name}'"));
        assert_eq!(folder.printed(&format!("SELECT a, b FROM '{name}'")), "a,b\n1,x\n", "{name}");
    }
    // What is said wins over the ending.
    folder.printed(&format!("COPY ({select}) TO 'semi.tsv' OPTIONS ('format.delimiter' ';')"));
    assert_eq!(text(&folder.bytes("semi.tsv")), "a;b\n1;x\n");
    folder.printed(&format!("COPY ({select}) TO 'x.txt' STORED AS CSV"));
    assert_eq!(text(&folder.bytes("x.txt")), "a,b\n1,x\n");
}

#[test]
fn copy_names_the_endings_it_knows() {
    let folder = Folder::new();
    for name in ["x.md", "x.xls", "x.txt", "x.parquet.gz"] {
        let message = folder.refused(&format!("COPY (SELECT 1 AS a) TO '{name}'"));
        let expected = format!(
            "COPY writes .parquet, .csv, .tsv, .json, .ndjson, .jsonl, .arrow (and .gz, .zst of the text formats), was \
             '{name}'; --output and \\o also write tables and markdown"
        );
        assert!(message.contains(&expected), "{message}");
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_tilde_is_the_home() {
    let folder = Folder::new();
    folder.printed("COPY (SELECT 7 AS a) TO '~/out/x.csv'");
    assert_eq!(text(&folder.bytes("out/x.csv")), "a\n7\n");
    assert!(!folder.path().join("~").exists());
    assert_eq!(folder.printed("SELECT a FROM '~/out/x.csv'"), "a\n7\n");
    assert_eq!(folder.printed("SELECT a FROM '~/out/*.csv'"), "a\n7\n");
    for location in ["~/out/x.csv", "~/out/"] {
        let sql = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{location}'; SELECT a FROM t");
        assert_eq!(folder.printed(&sql), "a\n7\n", "{location}");
    }
}

#[test]
fn prices_may_be_whole_numbers_for_long() {
    let folder = Folder::new();
    let whole: String = (0..5000).map(|n| format!("{n}\n")).collect();
    folder.write("one.csv", &format!("price\n{whole}1.5\n"));
    assert_eq!(folder.printed("SELECT max(price) AS m, count(*) AS n FROM 'one.csv'"), "m,n\n4999.0,5001\n");
    // In one file of several, too.
    folder.write("several/1.csv", &format!("price\n{whole}"));
    folder.write("several/2.csv", "price\n0.5\n");
    assert_eq!(folder.printed("SELECT min(price) + 0.25 AS m FROM 'several/*.csv' WHERE price > 0"), "m\n0.75\n");
}

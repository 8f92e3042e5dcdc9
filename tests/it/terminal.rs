//! The prompt in a terminal: the real binary in a pseudo-terminal whose screen is read back as a person sees it.

#![allow(clippy::disallowed_methods, reason = "these threads are the test's own: no runtime waits for them")]

use std::fs;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// How long a screen may take to show what it must. Only a failure waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

fn nonzero(side: u16) -> NonZero<u16> {
    NonZero::new(side).expect("a side")
}

/// A terminal with the program in it.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    home: tempfile::TempDir,
    /// Keeps the terminal open.
    _pair: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn open(arguments: &[&str]) -> Self {
        Self::open_with(arguments, &[], |_| {})
    }

    fn open_with(arguments: &[&str], variables: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        let (columns, rows) = (100, 30);
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let home = tempfile::tempdir().expect("a folder");
        prepare(home.path());
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_liqsql"));
        command.args(arguments);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("HOME", home.path());
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command.cwd(home.path());
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(nonzero(rows), nonzero(columns), 500)));
        let mut output = pair.master.try_clone_reader().expect("its output");
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = output.read(&mut bytes) {
                if read == 0 {
                    break;
                }
                shown.lock().expect("the screen").process(&bytes[..read]);
            }
        });
        let keyboard = pair.master.take_writer().expect("its keyboard");
        Self { screen, keyboard, child, home, _pair: pair.master }
    }

    /// Opened, and ready to be typed at.
    fn ready(arguments: &[&str]) -> Self {
        let terminal = Self::open(arguments);
        terminal.wait_for("the prompt", |screen| screen.lines().last() == Some("liqsql>"));
        terminal
    }

    fn text(&self) -> String {
        let contents = self.screen.lock().expect("the screen").screen().contents();
        contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// The colours of the screen, as the escape codes that draw it.
    fn colors(&self) -> String {
        self.screen.lock().expect("the screen").screen().contents_formatted()
    }

    fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a key");
        self.keyboard.flush().expect("a key");
    }

    /// Types a line.
    fn line(&mut self, text: &str) {
        self.keys(text);
        self.keys("\r");
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if is_there(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "{what} did not appear:\n{text}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait(&self, words: &str) -> String {
        self.wait_for(words, |text| text.contains(words))
    }

    /// Waits until the last line is an empty prompt below these words.
    fn answered(&self, words: &str) -> String {
        let ready = |text: &str| text.contains(words) && text.lines().last() == Some("liqsql>");
        self.wait_for(&format!("{words} and a prompt"), ready)
    }

    /// Throws away what is typed.
    fn cancel(&mut self) {
        self.keys(CTRL_C);
        self.wait_for("an empty prompt", |text| text.lines().last() == Some("liqsql>"));
    }

    /// The exit code, of a program that must be ending.
    fn ended(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.exit_code();
            }
            assert!(start.elapsed() < PATIENCE, "it goes on:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn history(&self) -> String {
        fs::read_to_string(self.home.path().join(".local/share/liqsql/history")).unwrap_or_default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const TAB: &str = "\t";
const UP: &str = "\x1b[A";

#[test]
fn it_says_what_is_loaded_and_leaves_on_request() {
    for leave in ["\\q", "exit", "quit;"] {
        let mut terminal = Terminal::ready(&[]);
        assert!(
            terminal.text().contains("the built-in sample (simulated market, not real data)"),
            "{}",
            terminal.text()
        );
        terminal.line(leave);
        assert_eq!(terminal.ended(), 0, "{leave}");
    }
    let mut terminal = Terminal::ready(&["--data", "none"]);
    assert!(terminal.text().contains("no market tables"), "{}", terminal.text());
    terminal.keys(CTRL_D);
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn statements_of_several_lines_are_edited_and_remembered_whole() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("SELECT 1 AS one,");
    terminal.line("  ';' AS semicolon -- ;");
    terminal.wait("semicolon -- ;");
    terminal.line(";");
    let text = terminal.answered("(1 row");
    assert!(text.contains("|   1 | ;         |"), "{text}");
    // One step back in the history brings all three lines.
    terminal.keys(UP);
    terminal.wait_for("the statement again", |text| text.matches("SELECT 1 AS one,").count() == 2);
    terminal.cancel();
    terminal.line("\\r");
    assert_eq!(terminal.history().matches("SELECT 1 AS one").count(), 1, "{}", terminal.history());
}

#[test]
fn a_command_in_the_middle_keeps_the_statement() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("SELECT 41 + 1");
    terminal.line("\\x");
    terminal.wait("columns stand under each other");
    terminal.wait_for("the statement again", |text| text.matches("SELECT 41 + 1").count() == 2);
    terminal.line(";");
    terminal.answered("| 42");
    terminal.line("SELECT 1");
    terminal.line("\\r");
    terminal.line("SELECT 2 AS two;");
    terminal.answered("two | 2");
    terminal.line("SELECT 3");
    terminal.line("\\q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn tab_completes_and_lists() {
    let mut terminal = Terminal::ready(&[]);
    terminal.keys("SELECT * FROM liq_hea");
    terminal.keys(TAB);
    terminal.wait("SELECT * FROM liq_heatmap(");
    terminal.keys("candles, max_d");
    terminal.keys(TAB);
    terminal.wait("candles, max_distance => ");
    terminal.cancel();

    // In the second line of a statement the list must not eat the first.
    terminal.line("SELECT *");
    terminal.keys("FROM fund");
    terminal.keys(TAB);
    terminal.wait("FROM funding");
    terminal.keys(TAB);
    let text = terminal.wait("funding_confirmations(");
    assert_eq!(text.lines().rev().take(2).collect::<Vec<_>>(), ["FROM funding", "liqsql> SELECT *"], "{text}");
    terminal.cancel();

    terminal.keys("\\tim");
    terminal.keys(TAB);
    terminal.wait("liqsql> \\timing");
    terminal.cancel();
}

#[test]
fn files_are_completed_in_quotes_and_after_commands() {
    let mut terminal = Terminal::open_with(&[], &[], |home| {
        fs::write(home.join("my_trades.csv"), "ts,price\n1,2\n").expect("a file");
        fs::write(home.join("morning.sql"), "SELECT 7 AS seven;\n").expect("a file");
    });
    terminal.wait("liqsql>");
    terminal.keys("SELECT * FROM 'my_");
    terminal.keys(TAB);
    terminal.wait("FROM 'my_trades.csv");
    terminal.line("';");
    terminal.answered("(1 row");
    terminal.keys("\\i mor");
    terminal.keys(TAB);
    terminal.wait("\\i morning.sql");
    terminal.line("");
    terminal.answered("seven");
}

#[test]
fn hints_and_colors_help_while_typing() {
    let mut terminal = Terminal::ready(&[]);
    terminal.keys("SELECT liq_price(");
    let text = terminal.wait("side, entry_price, size");
    assert!(text.ends_with('\u{2026}') || text.contains("maintenance"), "{text}");
    // Magenta for our function, grey for the hint.
    let colors = terminal.colors();
    assert!(colors.contains("35mliq_price"), "{colors:?}");
    terminal.cancel();

    let mut plain = Terminal::open_with(&[], &[("NO_COLOR", "1")], |_| {});
    plain.wait("liqsql>");
    plain.keys("SELECT liq_price(");
    plain.wait("liq_price(");
    assert!(!plain.colors().contains("35mliq_price"), "{:?}", plain.colors());
}

#[test]
fn ctrl_c_cancels_a_query_and_keeps_the_session() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("CREATE TABLE kept AS SELECT 5 AS five;");
    terminal.answered("done");
    terminal.line("SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b;");
    thread::sleep(Duration::from_millis(300));
    terminal.keys(CTRL_C);
    terminal.answered("interrupted");
    terminal.line("SELECT five FROM kept;");
    terminal.answered("(1 row");

    // A line that is typed goes away; at an empty prompt the second Ctrl-C leaves.
    terminal.keys("SELECT nonsense");
    terminal.wait("nonsense");
    terminal.keys(CTRL_C);
    terminal.wait_for("a prompt", |text| text.lines().last() == Some("liqsql>"));
    assert!(!terminal.text().contains("once more"), "{}", terminal.text());
    terminal.keys(CTRL_C);
    terminal.answered("Ctrl-C once more, or \\q, quits");
    terminal.keys(CTRL_C);
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn watch_sees_files_that_appear() {
    let mut terminal = Terminal::open_with(&[], &[], |home| {
        fs::create_dir(home.join("prints")).expect("a folder");
        fs::write(home.join("prints/a.csv"), "x\n1\n").expect("a file");
    });
    terminal.wait("liqsql>");
    terminal.line("SELECT count(*) AS found FROM 'prints/';");
    terminal.answered("|     1 |");
    terminal.line("\\watch 0.2");
    terminal.wait("every 0.2 s, Ctrl-C ends");
    fs::write(terminal.home.path().join("prints/b.csv"), "x\n2\n3\n").expect("a file");
    terminal.wait("|     3 |");
    terminal.keys(CTRL_C);
    terminal.answered("interrupted");
}

#[test]
fn plot_draws_the_last_result_or_a_query() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("\\plot");
    terminal.answered("\\plot: there is no query yet");
    terminal.line("\\set map 'liq_bars'");
    terminal.keys("\\plot SELECT * FROM liq_map(liq_bars(candles, open_interest => open_interest))");
    terminal.line(" WHERE exchange = 'binance' AND symbol = 'BTCUSDT';");
    let text = terminal.answered("longs $");
    let picture: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("binance")).collect();
    assert!(picture.len() > 20 && picture.iter().all(|line| line.chars().count() <= 100), "{text}");
    terminal.line("\\plot map.txt");
    terminal.answered("'map.txt' is written");
    let drawn = fs::read_to_string(terminal.home.path().join("map.txt")).expect("the picture");
    assert!(drawn.starts_with("binance BTCUSDT liquidation map"), "{drawn}");
    terminal.line("\\plot map.gif");
    terminal.answered("must end in");
}

#[test]
fn plot_draws_all_results_of_a_script() {
    let mut terminal = Terminal::ready(&[]);
    let query = concat!(env!("CARGO_MANIFEST_DIR"), "/queries/heatmap.sql");
    terminal.line("\\pager off");
    terminal.line("\\limit 1");
    terminal.line(&format!("\\i {query}"));
    terminal.answered("not shown");
    terminal.line("\\plot");
    terminal.answered("binance BTCUSDT liquidation heatmap");
}

#[test]
fn a_result_that_breaks_off_is_not_kept() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("\\o torn.csv");
    terminal.line("SELECT 1 / (value - 300000) AS a FROM generate_series(1, 1000000);");
    terminal.answered("divide by zero");
    terminal.line("SELECT 2 AS b;");
    terminal.answered("broke off: begin another");
    terminal.line("\\o");
    terminal.answered("'torn.csv' is not written");
    assert!(!terminal.home.path().join("torn.csv").exists());
}

#[test]
fn the_editor_takes_what_is_typed() {
    let editor = [("EDITOR", "sed -i s/SELEC/SELECT/")];
    let mut terminal = Terminal::open_with(&[], &editor, |_| {});
    terminal.wait("liqsql>");
    terminal.line("SELEC 5");
    terminal.line(" AS five");
    terminal.line("\\e");
    terminal.wait("SELECT 5");
    terminal.line(";");
    terminal.answered("| five |");
}

#[test]
fn long_results_are_paged_and_cut() {
    let pager = [("PAGER", "sed -u s/^/paged:/")];
    let mut terminal = Terminal::open_with(&[], &pager, |_| {});
    terminal.wait("liqsql>");
    terminal.line("SELECT 1 AS short;");
    assert!(!terminal.answered("(1 row").contains("paged:"));
    terminal.line("SELECT value FROM generate_series(1, 5000);");
    let text = terminal.answered("(5,000 rows, 4,000 not shown");
    assert!(text.contains("paged:|  1000 |"), "{text}");
    terminal.line("SELECT repeat('wide', 50) AS wide;");
    terminal.wait("paged:| widewide");
    terminal.line("\\limit 3");
    terminal.line("SELECT value FROM generate_series(1, 5000);");
    terminal.answered("(5,000 rows, 4,997 not shown");
    terminal.line("\\pager off");
    terminal.line("\\limit off");
    terminal.line("SELECT value + 70000 AS v FROM generate_series(1, 200);");
    let text = terminal.answered("(200 rows");
    assert!(text.contains("| 70200 |") && !text.contains("paged:| 70200"), "{text}");
}

#[test]
fn results_go_to_a_file_and_back() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("\\o out.csv");
    terminal.line("SELECT 1 AS a, 'x' AS b;");
    terminal.answered("(1 row");
    terminal.line("\\o");
    terminal.answered("'out.csv' is written");
    assert_eq!(fs::read_to_string(terminal.home.path().join("out.csv")).expect("the file"), "a,b\n1,x\n");
    terminal.line("SELECT 2 AS back;");
    terminal.answered("| back |");
    // Leaving completes a file that is open.
    terminal.line("\\o last.json");
    terminal.line("SELECT 3 AS c;");
    terminal.answered("(1 row");
    terminal.line("\\q");
    assert_eq!(terminal.ended(), 0);
    assert_eq!(fs::read_to_string(terminal.home.path().join("last.json")).expect("the file"), "[{\"c\":3}]\n");
}

#[test]
fn secrets_and_lines_that_begin_with_a_space_are_not_remembered() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("SELECT 'kept';");
    terminal.answered("kept");
    terminal.line(" SELECT 'private';");
    terminal.answered("private");
    terminal.line("\\set api_token hush1");
    terminal.line("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x' OPTIONS ('aws.secret_access_key' 'hush2');");
    terminal.answered("error");
    terminal.line("\\set");
    terminal.answered("***");
    terminal.line("\\q");
    terminal.ended();
    let history = terminal.history();
    assert!(history.contains("kept"), "{history}");
    assert!(!history.contains("private") && !history.contains("hush"), "{history}");
    let text = terminal.text();
    let (_, answer) = text.split_once("error: ").expect("an error");
    assert!(!answer.contains("hush"), "{text}");
}

#[test]
fn the_root_is_switched_and_views_follow() {
    let mut terminal = Terminal::ready(&[]);
    terminal.line("CREATE VIEW counted AS SELECT count(*) AS n FROM candles;");
    terminal.answered("done");
    terminal.line("SHOW TABLES;");
    let text = terminal.answered("| counted");
    let first = text.lines().position(|line| line.starts_with("| candles")).expect("candles");
    let view = text.lines().position(|line| line.starts_with("| counted")).expect("the view");
    assert!(first < view && text.contains("| candles               | market | the built-in sample |"), "{text}");
    let root = terminal.home.path().join("root/candles/exchange=x/symbol=YUSDT/year=2026");
    fs::create_dir_all(&root).expect("a folder");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/candles.parquet");
    fs::copy(sample, root.join("part.parquet")).expect("a file");
    terminal.line("\\data root");
    terminal.answered("root: candles");
    terminal.line("SELECT * FROM counted;");
    terminal.answered("|");
    terminal.line("\\d");
    terminal.answered("root/candles");
    terminal.line("\\data nowhere");
    terminal.answered("data root 'nowhere' must be a folder");
    terminal.line("SELECT count(*) > 0 AS still_there FROM candles;");
    terminal.answered("| true ");
    terminal.line("\\data none");
    terminal.answered("cannot be made over these tables: counted");
    terminal.line("SELECT n FROM counted;");
    terminal.answered("no table 'counted'");
    // It comes back with tables that it can be made over.
    terminal.line("\\data sample");
    terminal.answered("the built-in sample");
    terminal.line("SELECT n > 0 AS again FROM counted;");
    terminal.answered("| again |");
}

#[test]
fn settings_of_the_user_run_first() {
    let mut terminal = Terminal::open_with(&[], &[], |home| {
        fs::create_dir_all(home.join(".config/liqsql")).expect("a folder");
        fs::write(home.join(".config/liqsql/init.sql"), "\\timing off\n\\set symbol ETHUSDT\nSELECT nope;\n")
            .expect("a file");
    });
    terminal.wait("init.sql:3: error: ");
    terminal.line("SELECT $symbol AS set_by_me;");
    let text = terminal.answered("| ETHUSDT");
    assert!(text.contains("(1 row)"), "{text}");

    let mut terminal = Terminal::open_with(&["--no-init"], &[], |home| {
        fs::create_dir_all(home.join(".config/liqsql")).expect("a folder");
        fs::write(home.join(".config/liqsql/init.sql"), "\\echo not me\n").expect("a file");
    });
    terminal.wait("liqsql>");
    terminal.line("SELECT 1;");
    assert!(!terminal.answered("(1 row").contains("not me"));
}

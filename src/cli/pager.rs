//! A pager for what is longer or wider than the terminal.
//!
//! ```text
//! lines ──► kept until they exceed the screen ──► the terminal itself, if they never do
//!                                             └──► the pager's standard input, from the first line on
//! ```
//!
//! `LIQSQL_PAGER` or `PAGER` name it; else it is `less`, told to chop long lines and to leave the screen as it is.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::output::width;

/// How much fits on a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) columns: usize,
    /// Without the one that the prompt needs.
    pub(crate) rows: usize,
}

impl Screen {
    /// That of standard output; None if it is no terminal.
    pub(crate) fn of_terminal() -> Option<Self> {
        use std::io::IsTerminal;
        // Nothing can be paged or measured there.
        if env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
            return None;
        }
        let (columns, rows) = terminal_size::terminal_size().filter(|_| io::stdout().is_terminal())?;
        (columns.0 > 0 && rows.0 > 1).then(|| Self { columns: columns.0.into(), rows: usize::from(rows.0) - 1 })
    }

    fn holds(self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        text.lines().count() <= self.rows && text.lines().all(|line| width(line) <= self.columns)
    }
}

/// Text on its way to the terminal, by way of a pager if there is much of it.
#[derive(Debug)]
pub(crate) struct Paged {
    screen: Screen,
    kept: Vec<u8>,
    state: State,
    /// How long the pager's user took.
    waited: Duration,
}

#[derive(Debug)]
enum State {
    /// Everything so far fits on the screen.
    Keeping,
    /// The pager runs.
    Paging(Child),
    /// There is no pager, or its user has seen enough.
    Direct,
    Left,
}

impl Paged {
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, kept: Vec::new(), state: State::Keeping, waited: Duration::ZERO }
    }

    /// Whether the pager was closed before everything was written.
    pub(crate) fn has_left(&self) -> bool {
        matches!(self.state, State::Left)
    }

    /// How long its reader kept it waiting.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Shows what was kept so far: more is long in coming, or will not come.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if matches!(self.state, State::Keeping) {
            self.state = State::Direct;
            let kept = std::mem::take(&mut self.kept);
            io::stdout().write_all(&kept)?;
        }
        self.flush()
    }

    /// Ends the text, and waits until its reader has closed the pager.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.settle().or_else(|error| if self.has_left() { Ok(()) } else { Err(error) })?;
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        if let State::Paging(child) = &mut self.state {
            let start = Instant::now();
            drop(child.stdin.take());
            // How the pager ended is between it and its user.
            let _ = child.wait();
            self.waited += start.elapsed();
            self.state = State::Left;
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        match start() {
            Some(child) => {
                self.state = State::Paging(child);
                self.write_all(&kept)
            }
            None => {
                self.state = State::Direct;
                io::stdout().write_all(&kept)
            }
        }
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Keeping => {
                self.kept.extend_from_slice(bytes);
                if !self.screen.holds(&self.kept) {
                    self.open()?;
                }
                Ok(bytes.len())
            }
            State::Paging(child) => {
                let start = Instant::now();
                let written = child.stdin.as_mut().map(|input| input.write(bytes));
                self.waited += start.elapsed();
                match written {
                    Some(Ok(written)) => Ok(written),
                    // Closed by its user: nobody wants the rest.
                    Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                        self.close();
                        Err(error)
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                }
            }
            State::Direct => io::stdout().write(bytes),
            State::Left => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Keeping | State::Left => Ok(()),
            State::Paging(child) => child.stdin.as_mut().map_or(Ok(()), Write::flush),
            State::Direct => io::stdout().flush(),
        }
    }
}

impl Drop for Paged {
    /// A query that was cancelled leaves its first rows in the pager, and the prompt waits for its user.
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn start() -> Option<Child> {
    let named = ["LIQSQL_PAGER", "PAGER"].into_iter().find_map(|name| env::var(name).ok());
    let words = named.unwrap_or_else(|| "less".to_owned());
    let mut words = words.split_whitespace();
    let program = words.next()?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // Chop long lines, show colours, and leave what was seen on the screen.
        command.env("LESS", "SRX");
    }
    command.spawn().ok()
}

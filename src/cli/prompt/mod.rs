//! The prompt: reads until a statement is whole, gives it to the shell, and decides what Ctrl-C means.
//!
//! The shell works in a task of its own; it is locked while it works, so that a cancelled query leaves its state behind.
//! Statements that hold a secret are kept out of the history.

mod completion;
mod editor;
mod highlight;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use etcetera::BaseStrategy;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::arguments::Options;
use super::error::Failure;
use super::interrupt::{Outcome, until_interrupted};
use super::output::{Format, PrintError, Printer, WHOLE_SCRIPT};
use super::script::{Script, Typed, typed};
use super::session::{Session, Settings};
use super::shell::{COMMANDS, Flow, Manner, Shell};
use super::{has_colors, help, note, read_script};
use crate::sql::spec::{Fallback, Returns, Spec};
use completion::{OwnFunction, OwnParameter, Vocabulary};
use editor::{Lines, is_plain_word};

const PROMPT: &str = "liqsql> ";

/// How a variable is set at the prompt, in messages.
const HOW_TO_SET: &str = "use \\set NAME VALUE";

/// What statements typed at the prompt are called. Their failures are shown without a place.
pub(crate) const TYPED: &str = "prompt";

/// Opens the prompt and stays until the user leaves.
///
/// # Errors
/// The session cannot be opened, or the terminal cannot be used.
pub(crate) fn open(runtime: &Runtime, settings: &Settings, options: &Options) -> Result<(), Failure> {
    let settings = settings.clone();
    let opened = runtime.block_on(until_interrupted(async move { Session::open(&settings).await }))?;
    let Outcome::Finished(session) = opened else {
        return Ok(());
    };
    let session = Arc::new(session?);
    let format = options.format.unwrap_or(Format::Table);
    if format == Format::Parquet {
        return Err(Failure::new("parquet is not for a terminal: use \\o FILE at the prompt, or --output"));
    }
    if format == Format::Coinglass {
        return Err(Failure::new(WHOLE_SCRIPT));
    }
    let description = session.description();
    let manner = Manner {
        how_to_set: HOW_TO_SET,
        variables: options.settings.iter().cloned().collect(),
        quiet: options.quiet,
        is_prompt: true,
    };
    let shell = Shell::new(session, Printer::to_standard_output(format), manner);
    let repl = Repl { runtime, shell: Arc::new(Mutex::new(shell)) };
    if !options.quiet {
        repl.say(&format!(
            "liqsql {}: {description}\nEnd statements with ; \u{b7} \\? for help \u{b7} \\q to quit\n",
            env!("CARGO_PKG_VERSION"),
        ));
    }
    if !options.no_init {
        repl.run_init_file();
    }
    let outcome = repl.read_lines();
    repl.close();
    outcome
}

struct Repl<'a> {
    runtime: &'a Runtime,
    shell: Arc<Mutex<Shell>>,
}

impl Repl<'_> {
    fn read_lines(&self) -> Result<(), Failure> {
        let mut lines = Lines::open(has_colors(io::stdout().is_terminal()))?;
        let mut begun = String::new();
        let mut leaves = false;
        loop {
            match lines.read(PROMPT, &begun, self.vocabulary()) {
                Ok(text) => {
                    begun.clear();
                    leaves = false;
                    if text.trim().is_empty() {
                        continue;
                    }
                    let (mut text, dialect) = (text, self.shell.blocking_lock().session().dialect());
                    if let Typed::Interrupted(at) = typed(&text, dialect.as_ref()) {
                        // The statement before the command stays in the line.
                        text[..at].trim_end().clone_into(&mut begun);
                        text.drain(..at);
                        if text.trim() == "\\r" {
                            begun.clear();
                            continue;
                        }
                        if !begun.is_empty() {
                            begun.push('\n');
                        }
                    } else if Script::read(TYPED, &text, dialect.as_ref()).is_ok_and(|script| !script.has_secrets()) {
                        lines.remember(&text);
                    }
                    if is_edit(&text) {
                        match self.edited(&begun) {
                            Ok(edited) => begun = edited,
                            Err(failure) => note(&failure.to_string()),
                        }
                    } else if self.take(&text) == Flow::Leave {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Interrupted) if leaves && lines.was_empty() => return Ok(()),
                Err(ReadlineError::Interrupted) => {
                    // What was being typed is gone; only at an empty prompt it is a wish to leave.
                    leaves = lines.was_empty();
                    begun.clear();
                    if leaves {
                        note("Ctrl-C once more, or \\q, quits");
                    }
                }
                Err(ReadlineError::Eof) => return Ok(()),
                // The terminal changed its size.
                Err(ReadlineError::Signal(_)) => {}
                Err(error) => return Err(Failure::new(format!("cannot read the terminal: {error}"))),
            }
        }
    }

    /// Runs what was typed.
    fn take(&self, text: &str) -> Flow {
        let plain = text.trim().trim_end_matches(';').to_ascii_lowercase();
        let text = match plain.as_str() {
            "help" => "\\?",
            _ if is_plain_word(text) => "\\q",
            _ => text,
        };
        let dialect = self.shell.blocking_lock().session().dialect();
        let outcome = Script::read(TYPED, text, dialect.as_ref()).and_then(|script| self.run(script));
        outcome.unwrap_or_else(|mut failure| {
            failure.place.take_if(|(script, _)| script == TYPED);
            note(&failure.to_string());
            Flow::On
        })
    }

    fn run(&self, script: Script) -> Result<Flow, Failure> {
        let shell = Arc::clone(&self.shell);
        let pages = shell.blocking_lock().pages();
        let work = async move { shell.lock_owned().await.run(&script).await };
        match self.runtime.block_on(until_interrupted(work))? {
            Outcome::Finished(Ok(flow)) => Ok(flow),
            Outcome::Finished(Err(PrintError::Failed(failure))) => Err(failure),
            Outcome::Finished(Err(PrintError::ReaderLeft)) => Ok(Flow::Leave),
            Outcome::Interrupted => {
                // Waits for a pager that is still open: it has the terminal.
                self.shell.blocking_lock().interrupted(pages);
                note("\ninterrupted");
                Ok(Flow::On)
            }
        }
    }

    /// Runs `liqsql/init.sql` in the platform's folder for settings, if there is one. What is wrong in it is said, and the
    /// prompt opens all the same.
    fn run_init_file(&self) {
        let Some(path) = init_file().filter(|path| path.is_file()) else { return };
        let dialect = self.shell.blocking_lock().session().dialect();
        let script = read_script(&path).and_then(|(name, text)| Script::read(&name, &text, dialect.as_ref()));
        if let Err(failure) = script.and_then(|script| self.run(script)) {
            note(&failure.to_string());
        }
    }

    /// What is typed, or else the last statement, as the user's editor left it.
    fn edited(&self, begun: &str) -> Result<String, Failure> {
        let refused = |error: io::Error| Failure::new(format!("\\e: {error}"));
        let text = match begun.trim() {
            "" => self.shell.blocking_lock().last_text().map_or_else(String::new, |last| last + ";\n"),
            _ => begun.to_owned(),
        };
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let path = std::env::temp_dir().join(format!("liqsql-{}-{nanoseconds}.sql", std::process::id()));
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(refused)?;
        let named = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
        let named = named.unwrap_or_else(|| "vi".to_owned());
        let mut words = named.split_whitespace();
        let status = std::process::Command::new(words.next().unwrap_or("vi")).args(words).arg(&path).status();
        let text = status.and_then(|_| std::fs::read_to_string(&path));
        let _ = std::fs::remove_file(&path);
        let text = text.map_err(|error| Failure::new(format!("\\e: cannot run '{named}': {error}")))?;
        Ok(text.trim_end().to_owned())
    }

    fn vocabulary(&self) -> Vocabulary {
        let shell = self.shell.blocking_lock();
        let session = shell.session();
        let state = session.context().state();
        let mut functions: Vec<String> = state
            .table_functions()
            .keys()
            .chain(state.scalar_functions().keys())
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .cloned()
            .chain(help::specs().map(|spec| spec.name.to_owned()))
            .collect();
        functions.sort();
        functions.dedup();
        let of_tables = crate::sql::functions::all().map(|spec| own_function(spec, true));
        // Scalars take their arguments by position only.
        let scalars = crate::sql::scalars::specs().map(|spec| own_function(spec, false));
        let windows = crate::sql::windows::specs().map(|spec| own_function(spec, true));
        Vocabulary {
            functions,
            own_functions: of_tables.chain(scalars).chain(windows).collect(),
            tables: session.tables().into_iter().map(|table| (table.name, table.columns)).collect(),
            variables: shell.variables().cloned().collect(),
            commands: COMMANDS.iter().map(|command| (command.name.to_owned(), command.takes.to_owned())).collect(),
            formats: Format::value_variants().iter().map(|format| format.name().to_owned()).collect(),
        }
    }

    fn say(&self, text: &str) {
        // Whoever closed the terminal does not read this either.
        let _ = self.shell.blocking_lock().say(text);
    }

    /// Completes the file of \o.
    fn close(self) {
        let Some(shell) = Arc::into_inner(self.shell) else { return };
        if let Err(PrintError::Failed(failure)) = shell.into_inner().finish() {
            note(&failure.to_string());
        }
    }
}

fn own_function(spec: &Spec, has_named_arguments: bool) -> OwnFunction {
    let parameters = spec.parameters.iter().map(|parameter| OwnParameter {
        name: parameter.name.to_owned(),
        default: match parameter.fallback {
            Fallback::Required => None,
            _ => Some(parameter.default_text().to_owned()),
        },
        doc: parameter.doc.to_owned(),
    });
    let columns = match spec.returns {
        Returns::Columns(columns) => columns.iter().map(|column| column.name.to_owned()).collect(),
        Returns::Derived(_) => Vec::new(),
    };
    OwnFunction { name: spec.name.to_owned(), has_named_arguments, parameters: parameters.collect(), columns }
}

fn is_edit(text: &str) -> bool {
    text.trim().trim_end_matches(';') == "\\e"
}

fn init_file() -> Option<PathBuf> {
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.config_dir().join("liqsql").join("init.sql"))
}

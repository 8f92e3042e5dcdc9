//! The prompt: reads lines until a statement is whole, runs it, and knows the backslash commands.
//!
//! Lines are read one by one, with a prompt of their own; the history keeps the whole statement. Statements that hold
//! a secret are kept out of the history.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use datafusion::common::TableReference;
use etcetera::BaseStrategy;
use futures::FutureExt;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::runtime::Runtime;

use super::arguments::Options;
use super::completion::{Vocabulary, complete};
use super::error::Failure;
use super::interrupt::{Outcome, until_interrupted};
use super::output::{Format, PrintError, Printer};
use super::script::{Script, Unparsed, is_complete, is_secret_key};
use super::session::{Done, Session, Settings};
use super::variables::{Value, is_name};
use super::{formats, note, read_script, render, summary};
use crate::sql::spec::{Fallback, Returns, Spec};

const PROMPT: &str = "liqsql> ";
const CONTINUATION: &str = "   ...> ";

/// Rows of a table that the prompt shows. More would only push the question out of sight.
const SHOWN_ROWS: usize = 200;

/// How a variable is set at the prompt, in messages.
const HOW_TO_SET: &str = "use \\set NAME VALUE";

/// What statements typed at the prompt are called. Their failures are shown without a place.
const TYPED: &str = "prompt";

/// Backslash commands: name, arguments, meaning.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("\\?", "", "this help"),
    ("\\q", "", "quit"),
    ("\\d", "[table]", "tables, or the columns of one"),
    ("\\df", "[function]", "functions, or the parameters and columns of one"),
    ("\\h", "[function]", "the same"),
    ("\\set", "[name value]", "set a variable, or list them"),
    ("\\unset", "name", "forget a variable"),
    ("\\timing", "", "show times, or stop showing them"),
    ("\\format", "[format]", "how results are written"),
    ("\\i", "file", "run a script"),
    ("\\plot", "", "run the last query again and draw it"),
];

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
    let mut repl = Repl {
        runtime,
        session: Arc::new(session?),
        variables: options.settings.iter().cloned().collect(),
        format: options.format.unwrap_or(Format::Table),
        timing: true,
        quiet: options.quiet,
        last_query: None,
    };
    if repl.format == Format::Parquet {
        return Err(Failure::new("parquet is not for a terminal: use COPY (…) TO 'file.parquet' at the prompt"));
    }
    if !options.quiet {
        repl.say(&format!(
            "liqsql {}: {}\nEnd statements with ; \u{b7} \\? for help \u{b7} \\q to quit\n",
            env!("CARGO_PKG_VERSION"),
            repl.session.loaded()
        ));
    }
    repl.read_lines()
}

struct Repl<'a> {
    runtime: &'a Runtime,
    session: Arc<Session>,
    variables: BTreeMap<String, String>,
    format: Format,
    timing: bool,
    quiet: bool,
    last_query: Option<Script>,
}

/// Whether the prompt goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Quit,
}

impl Repl<'_> {
    fn read_lines(&mut self) -> Result<(), Failure> {
        let mut editor = editor()?;
        let history = history_file();
        if let Some(history) = &history {
            // The first session has none.
            let _ = editor.load_history(history);
        }
        let mut pending = String::new();
        loop {
            if let Some(assistant) = editor.helper_mut() {
                assistant.before.clone_from(&pending);
                assistant.vocabulary.replace(self.vocabulary());
            }
            let prompt = if pending.is_empty() { PROMPT } else { CONTINUATION };
            match editor.readline(prompt) {
                Ok(line) => {
                    pending.push_str(&line);
                    if !is_complete(&pending, self.session.dialect().as_ref()) {
                        pending.push('\n');
                        continue;
                    }
                    let text = std::mem::take(&mut pending);
                    if !text.trim().is_empty() {
                        if !self.holds_secret(&text) {
                            remember(&mut editor, history.as_deref(), &text);
                        }
                        if self.take(&text) == Next::Quit {
                            return Ok(());
                        }
                    }
                }
                Err(ReadlineError::Interrupted) => pending.clear(),
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => {
                    return Err(Failure::new(format!("cannot read the terminal: {error}")));
                }
            }
        }
    }

    fn take(&mut self, text: &str) -> Next {
        let trimmed = text.trim();
        let outcome = if trimmed.starts_with('\\') { self.command(trimmed) } else { self.statements(text) };
        match outcome {
            Ok(next) => next,
            Err(failure) => {
                note(&failure.to_string());
                Next::Read
            }
        }
    }

    fn statements(&mut self, text: &str) -> Result<Next, Failure> {
        let script = Script::read(TYPED, text, self.session.dialect().as_ref())?;
        self.run(script).map_err(|mut failure| {
            failure.place.take_if(|(script, _)| script == TYPED);
            failure
        })
    }

    fn run(&mut self, script: Script) -> Result<Next, Failure> {
        let session = Arc::clone(&self.session);
        let variables = self.variables.clone();
        let (format, timing, quiet) = (self.format, self.timing, self.quiet);
        let work = async move {
            let limit = (format == Format::Table).then_some(SHOWN_ROWS);
            let mut printer = Printer::to_standard_output(format, limit);
            let mut last_query = None;
            let done = |_: &Printer, statement: &Unparsed, done: Done| {
                if matches!(done, Done::Rows(..)) {
                    last_query = Some(script.only(statement));
                }
                let hides_rows = matches!(done, Done::Rows(printed, _) if printed.hidden > 0);
                let says_something = !matches!(done, Done::Changed(_)) || timing;
                if hides_rows || (!quiet && says_something) {
                    note(&summary(done, timing));
                }
            };
            let outcome = session.run(&script, &variables, HOW_TO_SET, &mut printer, done).await;
            (outcome, last_query)
        };
        match self.runtime.block_on(until_interrupted(work))? {
            Outcome::Finished((outcome, last_query)) => {
                self.last_query = last_query.or(self.last_query.take());
                match outcome {
                    Ok(()) => Ok(Next::Read),
                    Err(PrintError::Failed(failure)) => Err(failure),
                    Err(PrintError::ReaderLeft) => Ok(Next::Quit),
                }
            }
            Outcome::Interrupted => {
                note("\ninterrupted");
                Ok(Next::Read)
            }
        }
    }

    fn command(&mut self, text: &str) -> Result<Next, Failure> {
        let text = text.trim_end_matches(';').trim_end();
        let (command, argument) = match text.split_once(char::is_whitespace) {
            Some((command, argument)) => (command, argument.trim()),
            None => (text, ""),
        };
        match command {
            "\\q" => return Ok(Next::Quit),
            "\\?" => self.say(&help()),
            "\\d" if argument.is_empty() => self.say(&self.tables()),
            "\\d" => self.say(&self.columns(argument)?),
            "\\df" | "\\h" if argument.is_empty() => self.say(&functions()),
            "\\df" | "\\h" => self.say(&function(argument)?),
            "\\set" => self.set(argument)?,
            "\\unset" => {
                if self.variables.remove(argument.trim_start_matches('$')).is_none() {
                    return Err(Failure::new(format!("variable '{argument}' is not set")));
                }
            }
            "\\timing" => {
                self.timing = !self.timing;
                self.say(if self.timing { "times are shown\n" } else { "times are not shown\n" });
            }
            "\\format" => self.set_format(argument)?,
            "\\i" if argument.is_empty() => return Err(Failure::new("\\i: must be given a file")),
            "\\i" => {
                let (name, text) = read_script(&PathBuf::from(argument.trim_matches('\'')))?;
                let script = Script::read(&name, &text, self.session.dialect().as_ref())?;
                return self.run(script);
            }
            "\\plot" => return self.plot(),
            _ => {
                return Err(Failure::new(format!("no such command '{command}': \\? lists them")));
            }
        }
        Ok(Next::Read)
    }

    fn set(&mut self, argument: &str) -> Result<(), Failure> {
        let (name, value) = match argument.split_once(|c: char| c.is_whitespace() || c == '=') {
            Some((name, value)) => (name, value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim()),
            None => (argument, ""),
        };
        if name.is_empty() {
            let rows: Vec<Vec<String>> = self
                .variables
                .iter()
                .map(|(name, value)| {
                    let shown = if is_secret_key(name) { "***".to_owned() } else { Value::infer(value).to_string() };
                    vec![name.clone(), shown]
                })
                .collect();
            self.say(&aligned(&rows));
            return Ok(());
        }
        let name = name.trim_start_matches('$');
        if !is_name(name) {
            return Err(Failure::new(format!(
                "a variable's name must be letters, digits and underscores, was '{name}'"
            )));
        }
        if value.is_empty() {
            return Err(Failure::new(format!("\\set {name}: must be given a value")));
        }
        let unquoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
        let value = unquoted.map_or_else(|| value.to_owned(), |value| value.replace("''", "'"));
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    fn set_format(&mut self, argument: &str) -> Result<(), Failure> {
        if argument.is_empty() {
            self.say(&format!("{}\n", self.format.name()));
            return Ok(());
        }
        self.format = match Format::from_str(argument, true) {
            Ok(Format::Parquet) => {
                return Err(Failure::new("parquet is not for a terminal: use COPY (…) TO 'file.parquet'"));
            }
            Ok(format) => format,
            Err(_) => {
                return Err(Failure::new(format!("format must be one of {}, was '{argument}'", formats())));
            }
        };
        Ok(())
    }

    /// Runs the last query again instead of keeping its rows: a result can be larger than memory.
    fn plot(&self) -> Result<Next, Failure> {
        let Some(script) = self.last_query.clone() else {
            return Err(Failure::new("\\plot: there is no result yet"));
        };
        let session = Arc::clone(&self.session);
        let variables = self.variables.clone();
        let work = async move {
            let results = session.collect(&script, &variables, HOW_TO_SET).await?;
            render::picture(&results, None)
        };
        match self.runtime.block_on(until_interrupted(work))? {
            Outcome::Finished(picture) => self.say(&picture?),
            Outcome::Interrupted => note("\ninterrupted"),
        }
        Ok(Next::Read)
    }

    fn tables(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.all_tables().into_iter().map(|(name, columns)| vec![name, columns.join(", ")]).collect();
        aligned(&rows)
    }

    fn columns(&self, table: &str) -> Result<String, Failure> {
        let reference = TableReference::parse_str(table.trim_end_matches(';'));
        let session = Arc::clone(&self.session);
        let found = self
            .runtime
            .block_on(until_interrupted(async move { session.context().table_provider(reference).await }))?;
        let Outcome::Finished(provider) = found else {
            return Ok(String::new());
        };
        let provider = provider.map_err(|_| Failure::new(format!("no table '{table}': \\d lists them")))?;
        let rows: Vec<Vec<String>> = provider
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let nullable = if field.is_nullable() { "" } else { "not null" };
                let doc = ["doc", "description", "comment"].iter().find_map(|key| field.metadata().get(*key));
                vec![
                    field.name().clone(),
                    field.data_type().to_string(),
                    nullable.to_owned(),
                    doc.cloned().unwrap_or_default(),
                ]
            })
            .collect();
        Ok(aligned(&rows))
    }

    /// Every table and its columns. Columns of a table that is not at hand (a remote catalog) are left out.
    fn all_tables(&self) -> Vec<(String, Vec<String>)> {
        let context = self.session.context();
        let options = context.state().config().options().catalog.clone();
        let mut tables = Vec::new();
        let Some(catalog) = context.catalog(&options.default_catalog) else {
            return tables;
        };
        for schema_name in catalog.schema_names() {
            let Some(schema) = catalog.schema(&schema_name).filter(|_| schema_name != "information_schema") else {
                continue;
            };
            for table in schema.table_names() {
                let provider = schema.table(&table).now_or_never().and_then(Result::ok).flatten();
                let columns = provider
                    .map(|provider| provider.schema().fields().iter().map(|field| field.name().clone()).collect());
                let name = if schema_name == options.default_schema { table } else { format!("{schema_name}.{table}") };
                tables.push((name, columns.unwrap_or_default()));
            }
        }
        tables.sort_by(|(a, _), (b, _)| (a.contains('.'), a).cmp(&(b.contains('.'), b)));
        tables
    }

    fn vocabulary(&self) -> Vocabulary {
        let state = self.session.context().state();
        let mut functions: Vec<String> = state
            .table_functions()
            .keys()
            .chain(state.scalar_functions().keys())
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .cloned()
            .chain(crate::sql::functions::all().map(|spec| spec.name.to_owned()))
            .collect();
        functions.sort();
        functions.dedup();
        // Scalars take their arguments by position only.
        let parameters = crate::sql::functions::all().chain(crate::sql::windows::specs()).map(|spec| {
            let names = spec.parameters.iter().map(|parameter| parameter.name.to_owned()).collect();
            (spec.name.to_owned(), names)
        });
        Vocabulary {
            functions,
            parameters: parameters.collect(),
            tables: self.all_tables(),
            variables: self.variables.keys().cloned().collect(),
            commands: COMMANDS.iter().map(|(name, ..)| (*name).to_owned()).collect(),
            formats: Format::value_variants().iter().map(|format| format.name().to_owned()).collect(),
        }
    }

    fn holds_secret(&self, text: &str) -> bool {
        if let Some(setting) = text.trim().strip_prefix("\\set") {
            return setting.split_whitespace().next().is_some_and(is_secret_key);
        }
        Script::read(TYPED, text, self.session.dialect().as_ref()).is_ok_and(|script| script.has_secrets())
    }

    fn say(&self, text: &str) {
        // Whoever closed the terminal does not read this either.
        let _ = Printer::to_standard_output(Format::Table, None).write_text(text);
    }
}

fn help() -> String {
    let rows: Vec<Vec<String>> = COMMANDS
        .iter()
        .map(|(name, arguments, meaning)| vec![format!("{name} {arguments}"), (*meaning).to_owned()])
        .collect();
    format!("{}Ctrl-C cancels a query, Ctrl-D quits, Tab completes.\n", aligned(&rows))
}

/// Every function of ours: those of tables, then scalars, then windows.
fn specs() -> impl Iterator<Item = &'static Spec> {
    crate::sql::functions::all().chain(crate::sql::scalars::specs()).chain(crate::sql::windows::specs())
}

fn functions() -> String {
    let rows: Vec<Vec<String>> = specs().map(|spec| vec![spec.name.to_owned(), spec.summary.to_owned()]).collect();
    aligned(&rows)
}

fn function(name: &str) -> Result<String, Failure> {
    let name = name.trim_end_matches(['(', ')', ';']);
    let Some(spec) = specs().find(|spec| spec.name.eq_ignore_ascii_case(name)) else {
        let near = crate::sql::nearest(name, specs().map(|spec| spec.name));
        let hint = near.map_or_else(|| "\\df lists them".to_owned(), |near| format!("did you mean '{near}'?"));
        return Err(Failure::new(format!("no function '{name}': {hint}")));
    };
    let with_unit = |unit: &str| if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let parameters: Vec<Vec<String>> = spec
        .parameters
        .iter()
        .map(|parameter| {
            vec![
                format!("  {}", parameter.name),
                format!("{}{}", parameter.kind.type_name(), with_unit(parameter.unit)),
                match parameter.fallback {
                    Fallback::Required => format!("{} (required)", parameter.doc),
                    _ => format!("{} (default: {})", parameter.doc, parameter.default_text()),
                },
            ]
        })
        .collect();
    let columns: Vec<Vec<String>> = match spec.returns {
        Returns::Columns(columns) => columns
            .iter()
            .map(|column| vec![format!("  {}", column.name), column.unit.to_owned(), column.doc.to_owned()])
            .collect(),
        Returns::Derived(words) => vec![vec![format!("  {words}")]],
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {}", spec.name, spec.summary);
    let _ = write!(text, "parameters\n{}returns\n{}", aligned(&parameters), aligned(&columns));
    let _ = writeln!(text, "example\n  {}", spec.example);
    Ok(text)
}

/// Rows of text with their columns under each other.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Completes words for the line editor. It asks for the rest of its traits too, and gets their defaults.
struct Assistant {
    /// What was typed on the lines above.
    before: String,
    vocabulary: RefCell<Vocabulary>,
    files: FilenameCompleter,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.before.is_empty() && line.trim_start().starts_with("\\i ") {
            return self.files.complete(line, position, context);
        }
        let typed = line.get(..position).unwrap_or(line);
        let (start, candidates) = complete(&self.before, typed, &self.vocabulary.borrow());
        let pairs = candidates
            .into_iter()
            .map(|candidate| Pair { display: candidate.trim_end_matches(" => ").to_owned(), replacement: candidate });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Validator for Assistant {}

impl Helper for Assistant {}

fn editor() -> Result<Editor<Assistant, DefaultHistory>, Failure> {
    let refused = |error: ReadlineError| Failure::new(format!("cannot use the terminal: {error}"));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .auto_add_history(false)
        .build();
    let mut editor = Editor::with_config(config).map_err(refused)?;
    editor.set_helper(Some(Assistant {
        before: String::new(),
        vocabulary: RefCell::default(),
        files: FilenameCompleter::new(),
    }));
    Ok(editor)
}

/// `liqsql/history` in the platform's folder for data, made if it is missing. None where there is no such folder:
/// the prompt then has no memory, and works.
fn history_file() -> Option<PathBuf> {
    let folder = etcetera::base_strategy::choose_native_strategy().ok()?.data_dir().join("liqsql");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Adds to the history and writes it at once, so that a crash loses nothing. A full disk is no reason to stop.
fn remember(editor: &mut Editor<Assistant, DefaultHistory>, history: Option<&Path>, text: &str) {
    if matches!(editor.add_history_entry(text.trim_end()), Ok(true))
        && let Some(history) = history
    {
        let _ = editor.append_history(history);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["a".to_owned(), "first".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(aligned(&rows), "a     first\nlong\n");
    }

    #[test]
    fn functions_of_every_kind_are_listed_and_explained() {
        let listed = functions();
        for name in ["liq_heatmap", "liq_price", "ema"] {
            assert!(listed.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
            let explained = function(name).expect("listed");
            assert!(explained.starts_with(&format!("{name}: ")) && explained.contains("SELECT "), "{explained}");
        }
        assert!(function("ema").expect("listed").contains("  periods  "));
        let pools = function("liq_pools").expect("listed");
        for shown in ["mean cell of its frame (default: 0.85)", "at_extreme", "returns\n", "example\n"] {
            assert!(pools.contains(shown), "{shown} is not in\n{pools}");
        }
        let error = function("liq_poolz").expect_err("no such function").to_string();
        assert!(error.contains("did you mean 'liq_pools'?"), "{error}");
    }

    #[test]
    fn every_command_is_in_the_help() {
        let help = help();
        assert!(COMMANDS.iter().all(|(name, ..)| help.contains(name)));
    }
}

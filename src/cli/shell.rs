//! The shell: what scripts and the prompt share. It runs statements and backslash commands one after the other, and
//! holds what they change: variables, the output, how results look.
//!
//! ```text
//! Script ──► statement ──► Session ──► rows ──► output (standard output, or the file of \o)
//!       └──► command   ──► this shell's state, or text, or a picture
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::ValueEnum;
use datafusion::arrow::array::AsArray;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::keywords::Keyword;

use super::arguments::{Drawing, Plot};
use super::error::Failure;
use super::output::{Format, Layout, PrintError, Printer, WHOLE_SCRIPT};
use super::pager::Screen;
use super::script::{Command, Item, Script, Unparsed, is_secret_key};
use super::session::{Done, Session};
use super::storage;
use super::tables::Root;
use super::variables::{Scope, Value, is_name};
use super::{formats, help, note, read_script, render, summary};
use crate::render::Rows;

/// Rows of a table that the prompt shows. More would only push the question out of sight.
const SHOWN_ROWS: usize = 1_000;

/// Scripts that call one another; more are a circle.
const DEEPEST: usize = 16;

/// Seconds between two runs of \watch.
const WATCH_SECONDS: f64 = 2.0;

/// How often \watch looks for tables that the root did not have before.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// A backslash command, for help and completion.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    /// What follows the name.
    pub(crate) takes: &'static str,
    pub(crate) meaning: &'static str,
}

const fn declared(name: &'static str, takes: &'static str, meaning: &'static str) -> Declared {
    Declared { name, takes, meaning }
}

/// Every backslash command.
pub(crate) const COMMANDS: &[Declared] = &[
    declared("\\?", "", "this help"),
    declared("\\q", "", "quit; in a script, end it"),
    declared("\\d", "[table]", "tables and where they come from, or the columns of one"),
    declared("\\dt", "[table]", "the same"),
    declared("\\df", "[function]", "functions, or the parameters and columns of one"),
    declared("\\h", "[function]", "the same"),
    declared("\\data", "[root]", "read the market tables from a folder, s3://bucket/root, sample or none"),
    declared("\\i", "file", "run a script"),
    declared("\\ir", "file", "run a script that lies beside this one"),
    declared("\\set", "[name value]", "set a variable, or list them"),
    declared("\\unset", "name", "forget a variable"),
    declared("\\format", "[format]", "how results are written"),
    declared("\\x", "[on|off|auto]", "columns under each other"),
    declared("\\limit", "[rows|off]", "rows that the prompt shows of a result"),
    declared("\\pager", "[on|off]", "page what is longer or wider than the terminal"),
    declared("\\timing", "[on|off]", "show times"),
    declared("\\o", "[file]", "write results to a file (format by its ending), or to the terminal again"),
    declared(
        "\\plot",
        "[options] [file] [query;]",
        "draw the last result, or a query, here or to a .png, .svg, .html or text file; options as of render",
    ),
    declared("\\explain", "[analyze] [query;]", "how the last query, or this one, is run"),
    declared("\\watch", "[seconds] [query;]", "run the last query or \\plot again and again until Ctrl-C"),
    declared("\\echo", "[text]", "write a line"),
    declared("\\e", "", "edit what is typed, or the last statement, in $EDITOR (at the prompt)"),
    declared("\\r", "", "forget what is typed (at the prompt)"),
];

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next item.
    On,
    /// The script ends here.
    Leave,
}

/// What \watch repeats.
#[derive(Debug, Clone)]
enum Last {
    Query(Script),
    Picture(Script, Drawing),
}

/// How a shell begins.
#[derive(Debug)]
pub(crate) struct Manner {
    /// How a variable is set, in messages.
    pub(crate) how_to_set: &'static str,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) quiet: bool,
    /// Whether a person types at a prompt.
    pub(crate) is_prompt: bool,
}

/// What runs scripts.
#[derive(Debug)]
pub(crate) struct Shell {
    session: Arc<Session>,
    how_to_set: &'static str,
    variables: BTreeMap<String, String>,
    quiet: bool,
    is_prompt: bool,
    timing: bool,
    output: Printer,
    /// That of \o.
    file: Option<(PathBuf, Printer)>,
    last: Option<Last>,
    /// Paths of the scripts that run, the outermost first.
    running: Vec<PathBuf>,
}

impl Shell {
    pub(crate) fn new(session: Arc<Session>, mut output: Printer, manner: Manner) -> Self {
        let Manner { how_to_set, variables, quiet, is_prompt } = manner;
        if is_prompt {
            output.row_limit = Some(SHOWN_ROWS);
            output.pages = true;
        }
        Self {
            session,
            how_to_set,
            variables,
            quiet,
            is_prompt,
            timing: true,
            output,
            file: None,
            last: None,
            running: Vec::new(),
        }
    }

    /// The session under it.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Names of the variables that are set.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &String> {
        self.variables.keys()
    }

    /// The statement of the last query, as it was written.
    pub(crate) fn last_text(&self) -> Option<String> {
        let (Last::Query(script) | Last::Picture(script, _)) = self.last.as_ref()?;
        script.items.iter().find_map(|item| match item {
            Item::Statement(statement) => Some(statement.text()),
            Item::Command(_) => None,
        })
    }

    /// Runs a script and stops at its first error.
    ///
    /// # Errors
    /// With the place in the script, or the reader of the output left.
    pub(crate) async fn run(&mut self, script: &Script) -> Result<Flow, PrintError> {
        self.running.push(PathBuf::from(&script.name));
        let outcome = self.run_items(script).await;
        self.running.pop();
        outcome
    }

    async fn run_items(&mut self, script: &Script) -> Result<Flow, PrintError> {
        // What is not set must be known before anything runs; what a \set in the script sets is not an error yet.
        let mut scope = self.scope(script);
        if let (Err(failure), false) = (&scope, script.items.iter().any(|item| matches!(item, Item::Command(_)))) {
            return Err(PrintError::Failed(failure.clone()));
        }
        for item in &script.items {
            match item {
                Item::Statement(statement) => {
                    let scope = scope.as_ref().map_err(|failure| PrintError::Failed(failure.clone()))?;
                    self.statement(script, statement, scope).await?;
                }
                Item::Command(command) => {
                    let flow = Box::pin(self.command(script, command)).await.map_err(|error| match error {
                        PrintError::Failed(failure) => PrintError::Failed(self.at(script, command, failure)),
                        PrintError::ReaderLeft => PrintError::ReaderLeft,
                    })?;
                    if flow == Flow::Leave {
                        return Ok(Flow::Leave);
                    }
                    scope = self.scope(script);
                }
            }
        }
        match &script.unreadable {
            Some(failure) => Err(PrintError::Failed(failure.clone())),
            None => Ok(Flow::On),
        }
    }

    /// Runs a script for its rows alone: one list of batches for each statement that returns columns. Of its commands
    /// only those count that change what later statements return.
    ///
    /// # Errors
    /// With the place in the script.
    pub(crate) async fn collect(&mut self, script: &Script) -> Result<Vec<Rows>, Failure> {
        self.running.push(PathBuf::from(&script.name));
        let outcome = self.collect_items(script).await;
        self.running.pop();
        outcome
    }

    async fn collect_items(&mut self, script: &Script) -> Result<Vec<Rows>, Failure> {
        let mut results = Vec::new();
        for item in &script.items {
            match item {
                Item::Statement(statement) => {
                    let scope = self.scope(script)?;
                    results.extend(self.session.collect(script, statement, &scope).await?);
                }
                Item::Command(command) => match command.name.as_str() {
                    "\\q" => return Ok(results),
                    "\\i" | "\\ir" => {
                        let included = self.included(command).map_err(|failure| self.at(script, command, failure))?;
                        results.extend(Box::pin(self.collect(&included)).await?);
                    }
                    "\\set" | "\\unset" | "\\data" => {
                        let outcome = Box::pin(self.command(script, command)).await;
                        outcome.map_err(|error| self.at(script, command, failure_of(error)))?;
                    }
                    _ => {}
                },
            }
        }
        match &script.unreadable {
            Some(failure) => Err(failure.clone()),
            None => Ok(results),
        }
    }

    /// Ends the output: a file takes its final name now.
    ///
    /// # Errors
    /// A file cannot be completed.
    pub(crate) fn finish(mut self) -> Result<(), PrintError> {
        self.close_file()?;
        self.output.finish()
    }

    /// Writes text that is not a result.
    ///
    /// # Errors
    /// From the writer.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), PrintError> {
        self.output.write_text(text)
    }

    fn scope(&self, script: &Script) -> Result<Scope, Failure> {
        Scope::resolve(&script.name, &script.declarations, &self.variables, self.how_to_set)
    }

    fn at(&self, script: &Script, command: &Command, mut failure: Failure) -> Failure {
        failure.place.get_or_insert((script.name.clone(), command.line));
        failure
    }

    async fn statement(&mut self, script: &Script, statement: &Unparsed, scope: &Scope) -> Result<(), PrintError> {
        let session = Arc::clone(&self.session);
        let output = self.file.as_mut().map_or(&mut self.output, |(_, file)| file);
        let done = session.run(script, statement, scope, output).await?;
        let explains = statement.begins_with(&[Keyword::EXPLAIN, Keyword::SHOW, Keyword::DESCRIBE, Keyword::DESC]);
        if matches!(done, Done::Rows(..)) && !explains {
            self.last = Some(Last::Query(script.only(statement)));
        }
        let hides_rows = matches!(done, Done::Rows(printed, _) if printed.hidden > 0);
        if self.is_prompt {
            let says_something = !matches!(done, Done::Changed(_)) || self.timing;
            if hides_rows || (!self.quiet && says_something) {
                note(&summary(done, self.timing));
            }
        } else if hides_rows || (!self.quiet && self.output.is_for_reading()) {
            note(&summary(done, self.timing));
        }
        Ok(())
    }

    async fn command(&mut self, script: &Script, command: &Command) -> Result<Flow, PrintError> {
        let argument = command.argument.as_str();
        let room = self.room();
        match command.name.as_str() {
            "\\q" => return Ok(Flow::Leave),
            "\\?" => self.say(&help::commands(room))?,
            "\\d" | "\\dt" if argument.is_empty() => self.say(&help::tables(&self.session.tables(), room))?,
            "\\d" | "\\dt" => {
                let text = self.columns(argument).await?;
                self.say(&text)?;
            }
            "\\df" | "\\h" if argument.is_empty() => self.say(&help::functions(room))?,
            "\\df" | "\\h" => {
                let ours = help::function(argument, room);
                let engine = || help::engine_function(argument, &self.session.context().state(), room);
                let text = ours.or_else(|failure| engine().ok_or(failure)).map_err(PrintError::Failed)?;
                self.say(&text)?;
            }
            "\\data" => self.data(argument).await?,
            "\\i" | "\\ir" => {
                let included = self.included(command).map_err(PrintError::Failed)?;
                // What leaves a script leaves that script alone.
                self.run(&included).await?;
                if self.last.is_some() {
                    // A picture is drawn of all results of a script, as `render` does.
                    self.last = Some(Last::Query(included));
                }
            }
            "\\set" => self.set(argument)?,
            "\\unset" => {
                if self.variables.remove(argument.trim_start_matches('$')).is_none() {
                    return Err(failed(format!("variable '{argument}' is not set")));
                }
            }
            "\\timing" => {
                self.timing = switched("\\timing", argument, self.timing)?;
                self.tell(if self.timing { "times are shown" } else { "times are not shown" })?;
            }
            "\\pager" => {
                self.output.pages = switched("\\pager", argument, self.output.pages)?;
                self.tell(if self.output.pages { "long results are paged" } else { "nothing is paged" })?;
            }
            "\\x" => self.set_layout(argument)?,
            "\\limit" => self.set_limit(argument)?,
            "\\format" => self.set_format(argument)?,
            "\\o" => self.redirect(argument)?,
            // To standard output even while results go to a file: a line of text has no place among rows.
            "\\echo" => self.say(&format!("{}\n", unquoted(argument)))?,
            "\\r" => {}
            "\\plot" => self.plot(script, command).await?,
            "\\explain" => self.explain(script, command).await?,
            "\\watch" => self.watch(script, command).await?,
            "\\e" => return Err(failed("\\e: works at the prompt only")),
            name => {
                let known = COMMANDS.iter().map(|command| command.name);
                let near = crate::sql::nearest(name, known);
                let hint = near.map_or_else(|| "\\? lists them".to_owned(), |near| format!("did you mean '{near}'?"));
                return Err(failed(format!("no such command '{name}': {hint}")));
            }
        }
        Ok(Flow::On)
    }

    /// Columns of the terminal that reads what is said.
    fn room(&self) -> Option<usize> {
        Screen::of_terminal().map(|screen| screen.columns)
    }

    /// Says what a command did, to whoever is there.
    fn tell(&mut self, text: &str) -> Result<(), PrintError> {
        if self.is_prompt && !self.quiet {
            return self.say(&format!("{text}\n"));
        }
        Ok(())
    }

    async fn columns(&self, table: &str) -> Result<String, PrintError> {
        // A file is named in quotes, and its dot does not part a schema from a table.
        let file = table.strip_prefix('\'').and_then(|table| table.strip_suffix('\''));
        let reference = file.map_or_else(|| TableReference::parse_str(table), TableReference::bare);
        match self.session.context().table_provider(reference).await {
            Ok(provider) => {
                let listed = self.session.tables().into_iter().find(|listed| listed.name.eq_ignore_ascii_case(table));
                Ok(help::columns(
                    table,
                    &provider.schema(),
                    listed.as_ref().map_or("", |listed| &listed.source),
                    self.room(),
                ))
            }
            Err(_) => {
                let tables = self.session.tables();
                let near = crate::sql::nearest(table, tables.iter().map(|table| table.name.as_str()));
                let hint = near.map_or_else(|| "\\d lists them".to_owned(), |near| format!("did you mean '{near}'?"));
                Err(failed(format!("no table '{table}': {hint}")))
            }
        }
    }

    async fn data(&mut self, root: &str) -> Result<(), PrintError> {
        if !root.is_empty() {
            let broken = self
                .session
                .load(Root::named(Some(&storage::home_expanded(unquoted(root)))))
                .await
                .map_err(PrintError::Failed)?;
            if !broken.is_empty() {
                note(&format!("views that cannot be made over these tables: {}", broken.join(", ")));
            }
        }
        let description = self.session.description();
        if root.is_empty() { self.say(&format!("{description}\n")) } else { self.tell(&description) }
    }

    fn included(&self, command: &Command) -> Result<Script, Failure> {
        let name = &command.name;
        if command.argument.is_empty() {
            return Err(Failure::new(format!("{name}: must be given a file")));
        }
        if self.running.len() >= DEEPEST {
            return Err(Failure::new(format!(
                "{name}: scripts call each other {DEEPEST} deep, do they go in a circle?"
            )));
        }
        let mut path = file(&command.argument);
        if name == "\\ir"
            && let Some(folder) = self.running.last().and_then(|script| script.parent())
        {
            path = folder.join(path);
        }
        let (name, text) = read_script(&path)?;
        Script::read(&name, &text, self.session.dialect().as_ref())
    }

    fn set(&mut self, argument: &str) -> Result<(), PrintError> {
        let separates = |c: char| c.is_whitespace() || c == '=';
        let (name, value) = match argument.split_once(separates) {
            Some((name, value)) => (name, value.trim_start_matches(separates).trim()),
            None => (argument, ""),
        };
        if name.is_empty() {
            let rows = self.variables.iter().map(|(name, value)| {
                let shown = if is_secret_key(name) { "***".to_owned() } else { Value::infer(value).to_string() };
                vec![name.clone(), shown]
            });
            let text = help::aligned(&rows.collect::<Vec<_>>(), None);
            return self.say(&text);
        }
        let name = name.trim_start_matches('$');
        if !is_name(name) {
            return Err(failed(format!("a variable's name must be letters, digits and underscores, was '{name}'")));
        }
        if value.is_empty() {
            return Err(failed(format!("\\set {name}: must be given a value")));
        }
        let unquoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
        let value = unquoted.map_or_else(|| value.to_owned(), |value| value.replace("''", "'"));
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    fn set_format(&mut self, argument: &str) -> Result<(), PrintError> {
        if argument.is_empty() {
            let name = self.output.format.name();
            return self.say(&format!("{name}\n"));
        }
        self.output.format = match Format::from_str(argument, true) {
            Ok(Format::Parquet) => {
                return Err(failed("parquet is not for a terminal: use \\o FILE, or COPY (…) TO 'file.parquet'"));
            }
            Ok(Format::Coinglass) => return Err(failed(WHOLE_SCRIPT)),
            Ok(format) => format,
            Err(_) => return Err(failed(format!("format must be one of {}, was '{argument}'", formats()))),
        };
        Ok(())
    }

    fn set_layout(&mut self, argument: &str) -> Result<(), PrintError> {
        self.output.layout = match (argument, self.output.layout) {
            ("", Layout::Aligned) | ("on", _) => Layout::Expanded,
            ("", _) | ("off", _) => Layout::Aligned,
            ("auto", _) => Layout::Fitting(Screen::of_terminal().map_or(80, |screen| screen.columns)),
            _ => return Err(failed(format!("\\x: must be on, off or auto, was '{argument}'"))),
        };
        self.tell(match self.output.layout {
            Layout::Aligned => "columns stand beside each other",
            Layout::Expanded => "columns stand under each other",
            Layout::Fitting(_) => "columns stand under each other where they do not fit",
        })
    }

    fn set_limit(&mut self, argument: &str) -> Result<(), PrintError> {
        match argument {
            "" => {}
            "off" => self.output.row_limit = None,
            _ => match argument.replace(['_', ','], "").parse() {
                Ok(limit) => self.output.row_limit = Some(limit),
                Err(_) => return Err(failed(format!("\\limit: must be a number of rows or off, was '{argument}'"))),
            },
        }
        let text = match self.output.row_limit {
            Some(limit) => format!("at most {limit} rows of a result are shown"),
            None => "all rows are shown".to_owned(),
        };
        self.tell(&text)
    }

    fn redirect(&mut self, argument: &str) -> Result<(), PrintError> {
        self.close_file()?;
        if argument.is_empty() {
            return Ok(());
        }
        let path = file(argument);
        let format = Format::of_extension(&path).unwrap_or(self.output.format);
        let file = Printer::to_file(format, &path).map_err(PrintError::Failed)?;
        self.file = Some((path, file));
        Ok(())
    }

    fn close_file(&mut self) -> Result<(), PrintError> {
        let Some((path, file)) = self.file.take() else {
            return Ok(());
        };
        if !file.has_content() {
            return self.tell(&format!("nothing was written to '{}'", path.display()));
        }
        if file.is_torn() {
            note(&format!("'{}' is not written: a result in it broke off", path.display()));
            return Ok(());
        }
        file.finish()?;
        self.tell(&format!("'{}' is written", path.display()))
    }

    /// The statement that a command works on: its own, or the last query.
    fn subject(&self, script: &Script, command: &Command) -> Result<Script, PrintError> {
        match (&command.statement, &self.last) {
            (Some(statement), _) => Ok(script.only(statement)),
            (None, Some(Last::Query(last) | Last::Picture(last, _))) => Ok(last.clone()),
            (None, None) => Err(failed(format!("{}: there is no query yet", command.name))),
        }
    }

    /// Runs the query again instead of keeping its rows: a result can be larger than memory.
    async fn plot(&mut self, script: &Script, command: &Command) -> Result<(), PrintError> {
        let words = words(&command.argument).map_err(|message| failed(format!("\\plot: {message}")))?;
        let Plot { drawing, file: path } = Plot::read(words).map_err(failed)?;
        let path = path.map(|path| file(&path));
        if path.is_none() {
            drawing.check_terminal().map_err(|message| failed(format!("\\plot: {message}")))?;
        }
        // Before the query: what cannot be drawn need not be computed.
        let target = path.as_deref().map(|path| render::Target::of(path, &drawing)).transpose();
        let target = target.map_err(|message| failed(format!("\\plot: {message}")))?;
        let subject = self.subject(script, command)?;
        let results = self.collect(&subject).await.map_err(PrintError::Failed)?;
        match &target {
            None => {
                let picture = render::picture(&results, &drawing).map_err(PrintError::Failed)?;
                self.file.as_mut().map_or(&mut self.output, |(_, file)| file).write_picture(&picture)?;
            }
            Some(target) => {
                target.write(&results, &drawing).map_err(PrintError::Failed)?;
                self.tell(&format!("'{}' is written", target.path.display()))?;
            }
        }
        // \watch draws in the terminal, whatever the size and the paper of the file.
        let drawing = match target {
            Some(_) => Drawing { size: None, theme: None, pixel_ratio: None, ..drawing },
            None => drawing,
        };
        self.last = Some(Last::Picture(subject, drawing));
        Ok(())
    }

    async fn explain(&mut self, script: &Script, command: &Command) -> Result<(), PrintError> {
        let analyze = match command.argument.as_str() {
            "" => false,
            word if word.eq_ignore_ascii_case("analyze") => true,
            word => return Err(failed(format!("\\explain: must be followed by analyze or a query, was '{word}'"))),
        };
        let mut subject = self.subject(script, command)?;
        // Of a script, its last statement.
        let last = subject.items.iter().rposition(|item| matches!(item, Item::Statement(_)));
        subject.items = last.map(|last| vec![subject.items.swap_remove(last)]).unwrap_or_default();
        for item in &mut subject.items {
            if let Item::Statement(statement) = item {
                *statement = statement.explained(analyze);
            }
        }
        let mut text = String::new();
        let results = self.collect(&subject).await.map_err(PrintError::Failed)?;
        for batch in results.iter().flat_map(|result| &result.batches) {
            let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (Some(kinds), Some(plans)) = (column("plan_type"), column("plan")) else { continue };
            for (kind, plan) in kinds.iter().zip(plans) {
                // The logical plan says the same once more, without our functions' arguments.
                if kind.is_some_and(|kind| kind != "logical_plan") {
                    text.push_str(plan.unwrap_or_default().trim_end());
                    text.push('\n');
                }
            }
        }
        self.say(&text)
    }

    async fn watch(&mut self, script: &Script, command: &Command) -> Result<(), PrintError> {
        let text = command.argument.as_str();
        let seconds = if text.is_empty() { Some(WATCH_SECONDS) } else { text.parse().ok() };
        let Some(seconds) = seconds.filter(|seconds: &f64| (0.1..=86_400.0).contains(seconds)) else {
            return Err(failed(format!("\\watch: must be 0.1 to 86400 seconds, was '{text}'")));
        };
        if self.file.as_ref().is_some_and(|(_, file)| file.holds_one_result()) {
            return Err(failed("\\watch: the file of \\o holds one result: \\o alone writes to the terminal again"));
        }
        let drawing = match (&command.statement, &self.last) {
            (None, Some(Last::Picture(_, drawing))) => Some(drawing.clone()),
            _ => None,
        };
        let subject = self.subject(script, command)?;
        let clears = Screen::of_terminal().is_some() && self.file.is_none();
        let pages = std::mem::take(&mut self.output.pages);
        let outcome = self.repeat(&subject, drawing.as_ref(), clears, seconds).await;
        self.output.pages = pages;
        outcome
    }

    async fn repeat(
        &mut self,
        subject: &Script,
        drawing: Option<&Drawing>,
        clears: bool,
        seconds: f64,
    ) -> Result<(), PrintError> {
        let mut looked = Instant::now();
        loop {
            // Files that appeared since are found by the query itself; this finds whole tables.
            if looked.elapsed() > LOOK_AGAIN {
                looked = Instant::now();
                if let Err(failure) = self.session.refresh().await {
                    note(&failure.to_string());
                }
            }
            let time = Utc::now().format("%Y-%m-%d %H:%M:%S UTC");
            let header = format!("{time}, every {seconds} s, Ctrl-C ends\n");
            if let Some(drawing) = drawing {
                let results = self.collect(subject).await.map_err(PrintError::Failed)?;
                let picture = render::picture(&results, drawing).map_err(PrintError::Failed)?;
                self.say(&format!("{}{picture}{header}", if clears { CLEAR } else { "" }))?;
            } else {
                self.say(&format!("{}{header}", if clears { CLEAR } else { "" }))?;
                self.run_items(subject).await?;
            }
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
    }

    /// After Ctrl-C: what was under way is forgotten, what was written stays.
    pub(crate) fn interrupted(&mut self, pages: bool) {
        self.running.clear();
        self.output.pages = pages;
        // The rows so far; if the terminal is gone there is nobody to tell.
        let _ = self.output.write_text("");
    }

    /// Whether long results are paged.
    pub(crate) fn pages(&self) -> bool {
        self.output.pages
    }
}

fn failed(message: impl Into<String>) -> PrintError {
    PrintError::Failed(Failure::new(message))
}

fn failure_of(error: PrintError) -> Failure {
    match error {
        PrintError::Failed(failure) => failure,
        PrintError::ReaderLeft => Failure::new("the output was closed"),
    }
}

/// The other of on and off, or the one that is named.
fn switched(command: &str, argument: &str, now: bool) -> Result<bool, PrintError> {
    match argument {
        "" => Ok(!now),
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(failed(format!("{command}: must be on or off, was '{argument}'"))),
    }
}

/// The file that an argument names.
fn file(argument: &str) -> PathBuf {
    PathBuf::from(storage::home_expanded(unquoted(argument)).into_owned())
}

/// The words of an argument; quotes hold a word with spaces together, and one with nothing in it.
fn words(argument: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in argument.chars() {
        match (quote, character) {
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if character == open => quote = None,
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    match quote {
        Some(quote) => Err(format!("the quote {quote} is not closed")),
        None => Ok(words),
    }
}

/// An argument without the quotes that a name with spaces may have.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_hold_words_together() {
        let read = |text: &str| words(text).expect("words");
        assert_eq!(read("--title 'a b'  x.png"), ["--title", "a b", "x.png"]);
        assert_eq!(read("--title '' \"it's\""), ["--title", "", "it's"]);
        assert_eq!(read("  "), Vec::<String>::new());
        assert_eq!(words("o'brien.svg").expect_err("an open quote"), "the quote ' is not closed");
    }
}

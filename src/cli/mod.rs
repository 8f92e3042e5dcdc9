//! The command line: arguments, scripts, the prompt, and what goes to standard output.
//!
//! ```text
//! arguments ──► sources (-c, -f, standard input) ──► script ──► shell ──► session ──► output
//!               prompt (editor, completion) ─────────────┘       └─► commands, variables, render (pictures)
//! ```
//!
//! This is the only part of the crate that reads arguments and the environment, prints, and ends a process.

mod arguments;
mod error;
mod help;
mod ingest;
mod interrupt;
mod output;
mod pager;
mod progress;
mod prompt;
mod render;
mod script;
mod session;
mod shell;
mod simulate;
mod storage;
mod tables;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arguments::{Action, Arguments, Drawing, Options, Render, Source, usage};
use error::Failure;
use interrupt::{Outcome, until_interrupted};
use output::{Format, PrintError, Printer};
use script::{Item, Script};
use session::{Done, Session, Settings};
use shell::{Manner, Shell};
use tokio::runtime::Runtime;

/// The engine's planner recurses deeply, above all in builds without optimisation. Only what is used takes memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// The exit code of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// How a variable is set on the command line, in messages.
const HOW_TO_SET: &str = "use --set NAME=VALUE";

/// How a run ended, when not by an error.
enum Ended {
    /// All was done, or the reader of the output left.
    Well,
    /// By Ctrl-C.
    Interrupted,
    /// The command line asked for something that cannot be.
    Misused(String),
}

/// Runs the program with these arguments, the first of which is its name.
///
/// The exit code is 0, 1 for a failed statement, 2 for a usage error, or 130 after Ctrl-C.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (ended, quiet) = match Arguments::read(arguments) {
        Ok(arguments) => {
            let quiet = arguments.options.quiet;
            (start(arguments), quiet)
        }
        Err(error) => return explain_usage(&error),
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => ExitCode::from(INTERRUPTED),
        Ok(Ended::Misused(message)) => explain_usage(&usage(message)),
        Err(mut failure) => {
            // One line, for whoever reads it with a program.
            failure.excerpt.take_if(|_| quiet);
            note(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn explain_usage(error: &clap::Error) -> ExitCode {
    // Help and version go to standard output, whose reader may have left.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn start(arguments: Arguments) -> Result<Ended, Failure> {
    let Arguments { input, options, action } = arguments;
    let partitions = match options.partitions {
        Some(partitions) => usize::from(partitions),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let settings = Settings {
        memory_limit: options.memory_limit,
        partitions,
        data: options.data.clone(),
        progress: !options.quiet && io::stderr().is_terminal(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than a query keeps busy, to draw its progress.
        .worker_threads(partitions + 1)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    interrupt::end_when_asked().map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let ended = match action {
        Some(Action::Simulate(simulate)) => {
            let quiet = options.quiet;
            interruptible(&runtime, async move { simulate::run(&simulate, quiet).await.map(|()| Ended::Well) })
        }
        Some(Action::Ingest(_)) if options.format.is_some() || options.output.is_some() => {
            return Ok(Ended::Misused(
                "ingest: --format and --output are for rows; --to says where to write".to_owned(),
            ));
        }
        Some(Action::Ingest(ingest)) => match ingest::Request::of(&ingest) {
            Ok(request) => {
                let quiet = options.quiet;
                interruptible(&runtime, async move { request.run(quiet).await.map(|()| Ended::Well) })
            }
            Err(message) => return Ok(Ended::Misused(format!("ingest: {message}"))),
        },
        Some(Action::Render(render)) => {
            if options.format.is_some() {
                return Ok(Ended::Misused(
                    "render: --format is for rows; the ending of --output says what kind of picture is drawn"
                        .to_owned(),
                ));
            }
            let target = options.output.as_deref().map(|path| render::Target::of(path, &render.drawing)).transpose();
            if target.as_ref().is_ok_and(Option::is_none)
                && let Err(message) = render.drawing.check_terminal()
            {
                return Ok(Ended::Misused(format!("render: {message}")));
            }
            let target = match target {
                Ok(target) => target,
                Err(message) => return Ok(Ended::Misused(format!("render: {message}"))),
            };
            let Render { input, drawing } = render;
            interruptible(&runtime, async move { draw(&settings, &input.sources, &options, &drawing, target).await })
        }
        None if input.sources.is_empty() && io::stdin().is_terminal() => {
            if options.output.is_some() {
                return Ok(Ended::Misused("--output needs -c, -f or a script on standard input".to_owned()));
            }
            prompt::open(&runtime, &settings, &options).map(|()| Ended::Well)
        }
        None => {
            let sources = if input.sources.is_empty() { vec![Source::StandardInput] } else { input.sources };
            let format = match chosen_format(&options) {
                Ok(format) => format,
                Err(message) => return Ok(Ended::Misused(message)),
            };
            interruptible(&runtime, async move {
                match format {
                    Format::Coinglass => export(&settings, &sources, &options).await,
                    format => run_sources(&settings, &sources, &options, format).await,
                }
            })
        }
    };
    // A worker that is still busy must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_millis(200));
    output::remove_pending();
    ended
}

fn interruptible(
    runtime: &Runtime,
    work: impl Future<Output = Result<Ended, Failure>> + Send + 'static,
) -> Result<Ended, Failure> {
    match runtime.block_on(until_interrupted(work))? {
        Outcome::Finished(ended) => ended,
        Outcome::Interrupted => Ok(Ended::Interrupted),
    }
}

fn chosen_format(options: &Options) -> Result<Format, String> {
    match (options.format, &options.output) {
        (Some(format), _) => Ok(format),
        (None, None) => Ok(Format::Table),
        (None, Some(path)) => Format::of_extension(path).ok_or_else(|| {
            format!("--output: no format ends like '{}': name one with --format {}", path.display(), formats())
        }),
    }
}

fn formats() -> String {
    let names: Vec<&str> = <Format as clap::ValueEnum>::value_variants().iter().map(|format| format.name()).collect();
    names.join("|")
}

async fn run_sources(
    settings: &Settings,
    sources: &[Source],
    options: &Options,
    format: Format,
) -> Result<Ended, Failure> {
    let texts = read_sources(sources)?;
    let session = Arc::new(Session::open(settings).await?);
    let scripts = cut(&session, &texts)?;
    let variables: BTreeMap<String, String> = options.settings.iter().cloned().collect();
    if let Some(message) = undeclared(sources, &scripts, &variables) {
        return Ok(Ended::Misused(message));
    }
    let output = match &options.output {
        Some(path) => Printer::to_file(format, path)?,
        None => Printer::to_standard_output(format),
    };
    let mut shell = Shell::new(session, output, in_script(variables, options));
    for script in &scripts {
        match shell.run(script).await {
            Ok(_) => {}
            Err(PrintError::ReaderLeft) => return Ok(Ended::Well),
            Err(PrintError::Failed(failure)) => return Err(failure),
        }
    }
    match shell.finish() {
        Ok(()) | Err(PrintError::ReaderLeft) => Ok(Ended::Well),
        Err(PrintError::Failed(failure)) => Err(failure),
    }
}

fn in_script(variables: BTreeMap<String, String>, options: &Options) -> Manner {
    Manner { how_to_set: HOW_TO_SET, variables, quiet: options.quiet, is_prompt: false }
}

/// All results of the scripts, for whoever makes one thing of them.
enum Collected {
    Results(Box<Shell>, Vec<crate::render::Rows>),
    Misused(String),
}

async fn collected(settings: &Settings, sources: &[Source], options: &Options) -> Result<Collected, Failure> {
    let texts = read_sources(sources)?;
    let session = Arc::new(Session::open(settings).await?);
    let scripts = cut(&session, &texts)?;
    let variables: BTreeMap<String, String> = options.settings.iter().cloned().collect();
    if let Some(message) = undeclared(sources, &scripts, &variables) {
        return Ok(Collected::Misused(message));
    }
    let mut shell = Shell::new(session, Printer::to_standard_output(Format::Table), in_script(variables, options));
    let mut results = Vec::new();
    for script in &scripts {
        results.extend(shell.collect(script).await?);
    }
    Ok(Collected::Results(Box::new(shell), results))
}

/// Writes the last heatmap or map as a vendor's API answers one.
async fn export(settings: &Settings, sources: &[Source], options: &Options) -> Result<Ended, Failure> {
    let (mut shell, results) = match collected(settings, sources, options).await? {
        Collected::Results(shell, results) => (shell, results),
        Collected::Misused(message) => return Ok(Ended::Misused(message)),
    };
    let answer = crate::render::to_coinglass(&results).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(path) = &options.output {
        render::write(path, answer.as_bytes())?;
        return Ok(Ended::Well);
    }
    match shell.say(&answer) {
        Ok(()) | Err(PrintError::ReaderLeft) => Ok(Ended::Well),
        Err(PrintError::Failed(failure)) => Err(failure),
    }
}

async fn draw(
    settings: &Settings,
    sources: &[Source],
    options: &Options,
    drawing: &Drawing,
    target: Option<render::Target>,
) -> Result<Ended, Failure> {
    let (mut shell, results) = match collected(settings, sources, options).await? {
        Collected::Results(shell, results) => (shell, results),
        Collected::Misused(message) => return Ok(Ended::Misused(message)),
    };
    let is_page = target.as_ref().is_some_and(render::Target::is_page);
    let pictures = crate::render::Frame::count(&results);
    if pictures > 1 && !is_page && !options.quiet {
        note(&format!("note: the last of {pictures} pictures is drawn; an .html page holds all"));
    }
    if let Some(target) = target {
        target.write(&results, drawing)?;
        if !options.quiet {
            note(&format!("'{}' is written", target.path.display()));
        }
        return Ok(Ended::Well);
    }
    match shell.say(&render::picture(&results, drawing)?) {
        Ok(()) | Err(PrintError::ReaderLeft) => Ok(Ended::Well),
        Err(PrintError::Failed(failure)) => Err(failure),
    }
}

/// Reads every source before anything runs: a misspelt file name must not leave half the work done.
fn read_sources(sources: &[Source]) -> Result<Vec<(String, String)>, Failure> {
    sources
        .iter()
        .map(|source| match source {
            Source::Command(text) => Ok(("-c".to_owned(), text.clone())),
            Source::File(path) => read_script(path),
            Source::StandardInput => {
                let mut text = String::new();
                match io::stdin().read_to_string(&mut text) {
                    Ok(_) => Ok(("<stdin>".to_owned(), text)),
                    Err(error) => Err(Failure::new(format!("cannot read standard input: {error}"))),
                }
            }
        })
        .collect()
}

fn read_script(path: &PathBuf) -> Result<(String, String), Failure> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::new(format!("cannot read '{name}': {error}"))),
    }
}

fn cut(session: &Session, texts: &[(String, String)]) -> Result<Vec<Script>, Failure> {
    let dialect = session.dialect();
    texts.iter().map(|(name, text)| Script::read(name, text, dialect.as_ref())).collect()
}

/// A --set that no script declares is a misspelling; without scripts there is nothing to declare it.
fn undeclared(sources: &[Source], scripts: &[Script], variables: &BTreeMap<String, String>) -> Option<String> {
    if sources.iter().any(|source| matches!(source, Source::Command(_))) {
        return None;
    }
    // A script that runs others may set what those declare.
    let runs_others = |item: &Item| matches!(item, Item::Command(command) if command.name.starts_with("\\i"));
    if scripts.iter().flat_map(|script| &script.items).any(runs_others) {
        return None;
    }
    let declared: BTreeSet<&str> =
        scripts.iter().flat_map(|script| &script.declarations).map(|declaration| declaration.name.as_str()).collect();
    let unknown = variables.keys().find(|name| !declared.contains(name.as_str()))?;
    let known = if declared.is_empty() {
        "no variables are declared".to_owned()
    } else {
        format!("declared are {}", declared.into_iter().collect::<Vec<_>>().join(", "))
    };
    Some(format!("--set: no script declares '{unknown}': {known}"))
}

/// The line under a result.
fn summary(done: Done, with_time: bool) -> String {
    let (text, elapsed) = match done {
        Done::Rows(printed, elapsed) => {
            let rows = counted(printed.rows);
            let text =
                if printed.hidden > 0 { format!("{rows}, {} not shown", thousands(printed.hidden)) } else { rows };
            (text, elapsed)
        }
        Done::Written(rows, elapsed) => {
            (format!("{} written", counted(usize::try_from(rows).unwrap_or(usize::MAX))), elapsed)
        }
        Done::Changed(elapsed) => ("done".to_owned(), elapsed),
    };
    if with_time { format!("({text}, {:.3} s)", elapsed.as_secs_f64()) } else { format!("({text})") }
}

fn counted(rows: usize) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{} rows", thousands(rows)) }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Whether colours may be written to a stream. `NO_COLOR` (no-color.org) outranks everything.
fn has_colors(is_terminal: bool) -> bool {
    let variable = |name| std::env::var(name).unwrap_or_default();
    is_terminal && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb"
}

/// Says something beside the results. If standard error is closed there is nobody to say it to.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_count_in_thousands() {
        let printed = output::Printed { rows: 1_234_567, hidden: 1_234_367, waited: Duration::ZERO };
        let done = Done::Rows(printed, Duration::from_millis(21));
        assert_eq!(summary(done, true), "(1,234,567 rows, 1,234,367 not shown, 0.021 s)");
        assert_eq!(summary(Done::Written(1, Duration::ZERO), false), "(1 row written)");
        assert_eq!(thousands(100), "100");
    }
}

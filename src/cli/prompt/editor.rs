//! The line editor: what rustyline asks for while a statement is typed. What it answers is computed elsewhere
//! ([`complete`], [`hint`], [`highlight`], [`typed`]).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use etcetera::BaseStrategy;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::BellStyle;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper};

use super::completion::{Vocabulary, complete, hint, is_file};
use super::highlight::{highlight, prompt, quiet};
use crate::cli::error::Failure;
use crate::cli::help::in_columns;
use crate::cli::pager::Screen;
use crate::cli::script::{Typed, typed};

/// Statements that the history keeps.
const REMEMBERED: usize = 10_000;

/// Candidates of a completion that are shown.
const LISTED: usize = 120;

/// Words that stand alone on the first line and are no SQL.
pub(crate) const PLAIN_WORDS: &[&str] = &["help", "exit", "quit"];

/// An editor with a history.
pub(crate) struct Lines {
    editor: Editor<Assistant, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    /// Takes the terminal, and reads the history of earlier sessions.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub(crate) fn open(has_colors: bool) -> Result<Self, Failure> {
        let refused = |error: ReadlineError| Failure::new(format!("cannot use the terminal: {error}"));
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .bell_style(BellStyle::None)
            .history_ignore_space(true)
            .history_ignore_dups(true)
            .map_err(refused)?
            .max_history_size(REMEMBERED)
            .map_err(refused)?
            .auto_add_history(false)
            .color_mode(if has_colors { ColorMode::Enabled } else { ColorMode::Disabled })
            .build();
        let mut editor = Editor::with_config(config).map_err(refused)?;
        // Lists are printed by us: the editor's own would be overwritten in a statement of several lines.
        let printer = editor.create_external_printer().ok();
        editor.set_helper(Some(Assistant {
            vocabulary: RefCell::default(),
            files: FilenameCompleter::new(),
            printer: RefCell::new(printer.map(|printer| Box::new(printer) as Box<dyn ExternalPrinter>)),
            is_empty: Cell::new(true),
        }));
        let history = history_file();
        if let Some(history) = &history {
            // The first session has none.
            let _ = editor.load_history(history);
        }
        Ok(Self { editor, history })
    }

    /// Reads until a statement is whole. `begun` is already in the line.
    ///
    /// # Errors
    /// Ctrl-C, Ctrl-D, or the terminal cannot be read.
    pub(crate) fn read(&mut self, prompt: &str, begun: &str, vocabulary: Vocabulary) -> Result<String, ReadlineError> {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.vocabulary.replace(vocabulary);
            assistant.is_empty.set(begun.is_empty());
        }
        self.editor.readline_with_initial(prompt, (begun, ""))
    }

    /// Whether nothing was typed when the last read ended.
    pub(crate) fn was_empty(&self) -> bool {
        self.editor.helper().is_none_or(|assistant| assistant.is_empty.get())
    }

    /// Adds to the history and writes it at once, so that a crash loses nothing. A full disk is no reason to stop.
    pub(crate) fn remember(&mut self, text: &str) {
        if matches!(self.editor.add_history_entry(text.trim_end()), Ok(true))
            && let Some(history) = &self.history
        {
            let _ = self.editor.append_history(history);
            only_for_its_owner(history);
        }
    }
}

/// `liqsql/history` in the platform's folder for data, made if it is missing. None where there is no such folder:
/// the prompt then has no memory, and works.
fn history_file() -> Option<PathBuf> {
    let folder = etcetera::base_strategy::choose_native_strategy().ok()?.data_dir().join("liqsql");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// What was asked is nobody else's business.
#[cfg(unix)]
fn only_for_its_owner(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

#[cfg(not(unix))]
fn only_for_its_owner(_: &Path) {}

struct Assistant {
    vocabulary: RefCell<Vocabulary>,
    files: FilenameCompleter,
    /// Prints above the line that is typed.
    printer: RefCell<Option<Box<dyn ExternalPrinter>>>,
    is_empty: Cell<bool>,
}

impl Assistant {
    /// Extends the word by what all candidates have in common; where that is nothing, lists them.
    fn chosen(&self, typed: &str, start: usize, pairs: Vec<Pair>) -> (usize, Vec<Pair>) {
        let [first, _, ..] = pairs.as_slice() else { return (start, pairs) };
        let shared =
            pairs.iter().fold(first.replacement.as_str(), |shared, pair| common_start(shared, &pair.replacement));
        let word = typed.get(start..).unwrap_or_default();
        if shared.len() > word.len() || (shared.len() == word.len() && shared != word) {
            return (start, vec![Pair { display: shared.to_owned(), replacement: shared.to_owned() }]);
        }
        let mut names: Vec<&str> = pairs.iter().take(LISTED).map(|pair| pair.display.as_str()).collect();
        let more = format!("\u{2026} {} more", pairs.len().saturating_sub(LISTED));
        if pairs.len() > LISTED {
            names.push(&more);
        }
        if let Some(printer) = self.printer.borrow_mut().as_mut() {
            let _ = printer.print(in_columns(&names, Screen::of_terminal().map_or(80, |screen| screen.columns)));
        }
        (start, Vec::new())
    }
}

/// What two names begin with, letter for letter.
fn common_start<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
    &a[..same.unwrap_or(a.len().min(b.len()))]
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or(line);
        if is_file(typed) {
            let (start, pairs) = self.files.complete_path(line, position)?;
            return Ok(self.chosen(typed, start, pairs));
        }
        let (start, candidates) = complete(typed, &self.vocabulary.borrow());
        let pairs = candidates
            .into_iter()
            .map(|candidate| Pair { display: candidate.trim_end_matches(" => ").to_owned(), replacement: candidate });
        Ok(self.chosen(typed, start, pairs.collect()))
    }
}

/// A hint that is read and never typed by itself.
struct Reminder(String);

impl Hint for Reminder {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Reminder;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Reminder> {
        self.is_empty.set(line.is_empty());
        if position < line.len() {
            return None;
        }
        hint(line, &self.vocabulary.borrow()).map(Reminder)
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let vocabulary = self.vocabulary.borrow();
        Cow::Owned(highlight(line, |name| vocabulary.is_own_function(name)))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, text: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(prompt(text))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(quiet(hint))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        // A letter can change the colour of everything behind it; moving the cursor changes nothing.
        kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let whole = is_plain_word(text) || typed(text, &GenericDialect {}) != Typed::Unfinished;
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for Assistant {}

/// Whether the whole line is `help`, `exit` or `quit`.
pub(crate) fn is_plain_word(text: &str) -> bool {
    PLAIN_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text.trim().trim_end_matches(';')))
}

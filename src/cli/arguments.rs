//! What the program was asked to do: arguments, options and environment, nothing of what they lead to.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::output::Format;
use super::variables::is_name;

/// Crypto liquidation heatmaps in SQL.
///
/// Without -c or -f it opens a prompt, or runs standard input as a script if that is not a terminal.
#[derive(Debug, Parser)]
#[command(name = "liqsql", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) input: Input,

    #[command(flatten)]
    pub(crate) options: Options,

    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to run.
#[derive(Debug, Default, Args)]
pub(crate) struct Input {
    /// Run these statements and exit (repeatable)
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    commands: Vec<String>,

    /// Run this script and exit; - is standard input (repeatable, in the order given)
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Both of the above in the order given; filled in after parsing.
    #[arg(skip)]
    pub(crate) sources: Vec<Source>,
}

/// One -c or -f.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The text itself.
    Command(String),
    /// A script in a file.
    File(PathBuf),
    /// A script on standard input.
    StandardInput,
}

/// Options that every way of running shares.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How results are written [default: by the ending of --output, else table]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Write results to this file, at once or not at all
    #[arg(short = 'o', long, global = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Set a variable (repeatable)
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,

    /// Print results and errors only
    #[arg(short = 'q', long, global = true)]
    pub(crate) quiet: bool,

    /// Memory that queries may use, such as 512MB or 2GB
    #[arg(long, global = true, value_name = "SIZE", value_parser = memory_size)]
    pub(crate) memory_limit: Option<usize>,

    /// Parts of a query that run side by side [default: number of processors]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: Option<u16>,

    /// Where the market tables are: a folder, s3://bucket/root, sample or none [default: the built-in sample]
    #[arg(long, global = true, value_name = "ROOT", env = "LIQSQL_DATA")]
    pub(crate) data: Option<String>,

    /// Do not run init.sql before the prompt
    #[arg(long)]
    pub(crate) no_init: bool,
}

/// What to do other than running SQL for its rows.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Draw the results of a script in the terminal
    Render(Render),
    /// Write a simulated market with known positions
    Simulate(Simulate),
}

/// `liqsql render`.
#[derive(Debug, Args)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) input: Input,

    /// Columns and rows of the picture, such as 120x40 [default: the terminal's size]
    #[arg(long, value_name = "COLSxROWS", value_parser = picture_size)]
    pub(crate) size: Option<(u16, u16)>,
}

/// `liqsql simulate`.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The same seed makes the same market
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,

    /// Length of the market
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) days: u32,

    /// The market of the sample in the binary (75 days), one file per table
    #[arg(long, conflicts_with = "days")]
    pub(crate) sample: bool,

    /// Folder to write the market tables to
    #[arg(long, value_name = "ROOT")]
    pub(crate) to: String,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// Usage, help and version, each with its exit code.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut read = Self::from_arg_matches(&matches)?;
        read.input.put_in_order(&matches);
        if let (Some(Action::Render(render)), Some((_, matches))) = (&mut read.action, matches.subcommand()) {
            render.input.put_in_order(matches);
            if render.input.sources.is_empty() {
                return Err(usage("render: give a script with -f FILE, or SQL with -c SQL"));
            }
        }
        if read.action.is_some() && !read.input.sources.is_empty() {
            return Err(usage("-c and -f stand after the subcommand, or without one"));
        }
        Ok(read)
    }
}

/// A usage error in this program's words, exit code 2.
pub(crate) fn usage(message: impl std::fmt::Display) -> clap::Error {
    Arguments::command().error(clap::error::ErrorKind::ValueValidation, message)
}

impl Input {
    /// The parser keeps -c and -f apart; their order is in the indices of their values.
    fn put_in_order(&mut self, matches: &ArgMatches) {
        let commands = self.commands.drain(..).map(Source::Command);
        let files = self
            .files
            .drain(..)
            .map(|file| if file.as_os_str() == "-" { Source::StandardInput } else { Source::File(file) });
        let command_places = matches.indices_of("commands").into_iter().flatten();
        let file_places = matches.indices_of("files").into_iter().flatten();
        let mut sources: Vec<(usize, Source)> = command_places.zip(commands).chain(file_places.zip(files)).collect();
        sources.sort_by_key(|(place, _)| *place);
        self.sources = sources.into_iter().map(|(_, source)| source).collect();
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if is_name(name.trim_start_matches('$')) => {
            Ok((name.trim_start_matches('$').to_owned(), value.to_owned()))
        }
        _ => Err(format!("must be NAME=VALUE with a name of letters, digits and underscores, was '{text}'")),
    }
}

/// Reads `512MB`, `2G` or a number of bytes. Units count by 1024, as the engine's own settings do.
fn memory_size(text: &str) -> Result<usize, String> {
    let refused = || format!("must be a size such as 512MB or 2GB, was '{text}'");
    let text_of_number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[text_of_number.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "K" | "KB" | "KIB" => 1024.0,
        "M" | "MB" | "MIB" => 1024.0 * 1024.0,
        "G" | "GB" | "GIB" => 1024.0 * 1024.0 * 1024.0,
        "T" | "TB" | "TIB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(refused()),
    };
    let bytes = text_of_number.trim().parse::<f64>().map_err(|_| refused())? * unit;
    if bytes.is_finite() && bytes >= 1.0 { Ok(bytes as usize) } else { Err(refused()) }
}

fn picture_size(text: &str) -> Result<(u16, u16), String> {
    let refused = || format!("must be COLUMNSxROWS such as 120x40, each 1 to 1000, was '{text}'");
    let (columns, rows) = text.split_once(['x', 'X']).ok_or_else(refused)?;
    let side = |text: &str| text.parse::<u16>().ok().filter(|side| (1..=1000).contains(side)).ok_or_else(refused);
    Ok((side(columns)?, side(rows)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::read(std::iter::once("liqsql").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sources_keep_their_order() {
        let arguments = read(&["-f", "a.sql", "-c", "SELECT 1", "-f", "-", "--quiet"]).expect("arguments");
        let expected = [Source::File("a.sql".into()), Source::Command("SELECT 1".into()), Source::StandardInput];
        assert_eq!(arguments.input.sources, expected);
        assert!(arguments.options.quiet);
    }

    #[test]
    fn options_stand_before_and_after_a_subcommand() {
        for arguments in
            [["--set", "a=1=2", "render", "-c", "SELECT 1"], ["render", "-c", "SELECT 1", "--set", "a=1=2"]]
        {
            let arguments = read(&arguments).expect("arguments");
            assert_eq!(arguments.options.settings, [("a".to_owned(), "1=2".to_owned())]);
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for faulty in [
            &["--format", "coinglass"][..],
            &["--set", "novalue"],
            &["--memory-limit", "lots"],
            &["--partitions", "0"],
            &["render"],
            &["-c", "SELECT 1", "render", "-c", "SELECT 1"],
            &["render", "-c", "SELECT 1", "--size", "big"],
        ] {
            assert_eq!(read(faulty).expect_err("a usage error").exit_code(), 2, "{faulty:?}");
        }
    }

    #[test]
    fn sizes_count_by_1024() {
        assert_eq!(memory_size("512MB"), Ok(512 << 20));
        assert_eq!(memory_size("1.5g"), Ok(3 << 29));
        assert_eq!(memory_size("100"), Ok(100));
        assert!(memory_size("-1MB").is_err());
        assert_eq!(picture_size("120x40"), Ok((120, 40)));
        assert!(picture_size("0x40").is_err());
    }
}

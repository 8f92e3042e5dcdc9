//! What the program was asked to do: arguments, options and environment, nothing of what they lead to.

use std::ffi::OsString;
use std::path::PathBuf;

use chrono::{NaiveDate, NaiveDateTime};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::output::Format;
use super::variables::is_name;
use crate::render::{Prices, TimeRange};
use crate::simulate::wide::WideMarket;

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
    /// Draw the results of a script, in the terminal or to a .png, .svg, .html, .txt or .ans file
    Render(Render),
    /// Read exchanges' own files into the market tables of a data root
    Ingest(Ingest),
    /// Write a simulated market with known positions
    Simulate(Simulate),
}

/// `liqsql render`.
#[derive(Debug, Args)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) input: Input,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

/// How results are drawn, for `liqsql render` and `\plot`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct Drawing {
    /// Size of the picture: 1600x900 pixels, or 120x40 characters [default: 1600x900, or the terminal's size]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = picture_size)]
    pub(crate) size: Option<(u32, u32)>,

    /// Pixels per unit of --size, 2 for fine screens; text keeps its share of the picture [default: 1]
    #[arg(long, value_name = "RATIO", value_parser = ratio, allow_hyphen_values = true)]
    pub(crate) pixel_ratio: Option<f64>,

    /// Paper of a .png, .svg or .html picture [default: dark]
    #[arg(long, value_enum)]
    pub(crate) theme: Option<Paper>,

    /// Title of the picture [default: made from the rows]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,

    /// Time shown: the last 12h, 7d or 2w, or FROM..TO such as 2026-02-20..2026-03-06 (UTC) [default: all rows]
    #[arg(long, value_name = "RANGE", value_parser = time_range, allow_hyphen_values = true)]
    pub(crate) range: Option<TimeRange>,

    /// Prices shown: 85000..105000, or 10% around the current price [default: where something is visible]
    #[arg(long, value_name = "RANGE", value_parser = prices, allow_hyphen_values = true)]
    pub(crate) prices: Option<Prices>,

    /// Hide cells below this share of the mean cell [default: 0.85]
    #[arg(long, value_name = "SHARE", value_parser = threshold, allow_hyphen_values = true)]
    pub(crate) threshold: Option<f64>,

    /// How notional becomes colour [default: linear]
    #[arg(long, value_enum)]
    pub(crate) intensity: Option<Intensity>,
}

/// The paper of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Paper {
    /// As traders' screens are
    Dark,
    /// For print and documents
    Light,
}

/// How notional becomes colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Intensity {
    /// In proportion
    Linear,
    /// Square root
    Sqrt,
    /// Logarithm
    Log,
}

/// What follows `\plot` on its line, without the query.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Plot {
    #[command(flatten)]
    pub(crate) drawing: Drawing,
    /// The file to draw to.
    pub(crate) file: Option<String>,
}

impl Plot {
    /// Reads the words after `\plot`.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub(crate) fn read(words: Vec<String>) -> Result<Self, String> {
        Self::try_parse_from(words).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!("\\plot: {}", line.trim_start_matches("error: "))
        })
    }
}

/// `liqsql ingest`.
#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Whose files they are: binance, …
    pub(crate) exchange: Option<String>,

    /// Which of them: klines, aggTrades, …
    pub(crate) kind: Option<String>,

    /// Files as downloaded, also .zip, .gz and .lz4; patterns in quotes
    pub(crate) files: Vec<PathBuf>,

    /// Data root to write to: a folder, or s3://bucket/folder
    #[arg(long, value_name = "ROOT")]
    pub(crate) to: Option<String>,

    /// Symbol of files that do not name it
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) symbol: Option<String>,

    /// Base units per contract (USD of inverse contracts), where it is not known
    #[arg(long, value_name = "SIZE", value_parser = positive)]
    pub(crate) contract_size: Option<f64>,

    /// Exchange whose market is meant, of vendors' files that do not name it
    #[arg(long, value_name = "EXCHANGE")]
    pub(crate) venue: Option<String>,

    /// Price of the market at the instant of a vendor's map that does not hold it
    #[arg(long, value_name = "PRICE", value_parser = positive)]
    pub(crate) price: Option<f64>,

    /// Column of one's own files (exchange 'table') that holds what we call NAME; repeatable
    #[arg(long = "column", value_name = "NAME=THEIRS", value_parser = setting)]
    pub(crate) columns: Vec<(String, String)>,

    /// Value of a column that one's own files do not have; repeatable
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) values: Vec<(String, String)>,

    /// Take rows that look like a mistake of units: prices that jump, open interest of both sides
    #[arg(long)]
    pub(crate) trust: bool,

    /// What happens to rows that cannot be used
    #[arg(long, value_enum, default_value_t = OnBadRows::Error)]
    pub(crate) on_bad_rows: OnBadRows,

    /// Do everything but writing to the root
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// List the kinds of files that can be read
    #[arg(long)]
    pub(crate) list: bool,
}

/// What happens to rows that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadRows {
    /// The first one ends the work
    Error,
    /// They are left out and counted
    Skip,
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

    /// This many symbols WITHOUT traders, for tests of size and speed: candles, open interest and funding that no
    /// position stands behind, written a year at a time
    #[arg(long, value_name = "N", conflicts_with = "sample",
          value_parser = clap::value_parser!(u16).range(1..=WideMarket::MOST_SYMBOLS as i64))]
    pub(crate) symbols: Option<u16>,

    /// Length of a bar of --symbols: whole minutes that fill a day, such as 1m or 1h [default: 5m]
    #[arg(long, value_name = "LENGTH", requires = "symbols", value_parser = bar_length)]
    pub(crate) bar: Option<i64>,

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

/// Reads the length of a bar, in milliseconds: `5m` or `1h`.
fn bar_length(text: &str) -> Result<i64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let length = digits.parse::<i64>().ok().zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
    length
        .filter(|length| *length > 0 && 86_400_000 % length == 0)
        .ok_or_else(|| format!("must be whole minutes that fill a day, such as 1m, 5m or 1h, was '{text}'"))
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

fn picture_size(text: &str) -> Result<(u32, u32), String> {
    let refused = || format!("must be WIDTHxHEIGHT such as 1600x900, each 1 to 30000, was '{text}'");
    let (width, height) = text.split_once(['x', 'X']).ok_or_else(refused)?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=30_000).contains(side)).ok_or_else(refused);
    Ok((side(width)?, side(height)?))
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("must be a positive number, was '{text}'"))
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.5..=8.0).contains(ratio));
    ratio.ok_or_else(|| format!("must be a number from 0.5 to 8, was '{text}'"))
}

fn threshold(text: &str) -> Result<f64, String> {
    let threshold = text.parse::<f64>().ok().filter(|threshold| threshold.is_finite() && *threshold >= 0.0);
    threshold.ok_or_else(|| format!("must be a number of at least 0, was '{text}'"))
}

/// Reads `85000..105000` or `10%`.
fn prices(text: &str) -> Result<Prices, String> {
    let refused = || format!("must be LOW..HIGH such as 85000..105000, or a share such as 10%, was '{text}'");
    let number = |text: &str| text.trim().replace(',', "").parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(share) = text.strip_suffix('%') {
        let share = number(share).filter(|share| *share > 0.0 && *share <= 10_000.0).ok_or_else(refused)?;
        return Ok(Prices::Around(share / 100.0));
    }
    let (low, high) = text.split_once("..").ok_or_else(refused)?;
    match (number(low), number(high)) {
        (Some(low), Some(high)) if low >= 0.0 && low < high => Ok(Prices::Between(low, high)),
        _ => Err(refused()),
    }
}

/// Reads `12h`, `7d`, `2026-02-20..2026-03-06`, `2026-02-20 12:00..` or `..2026-03-06`.
fn time_range(text: &str) -> Result<TimeRange, String> {
    let refused =
        || format!("must be a length such as 12h, 7d or 2w, or FROM..TO such as 2026-02-20..2026-03-06, was '{text}'");
    let Some((from, to)) = text.split_once("..") else {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: i64 = match &text[digits.len()..] {
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(refused()),
        };
        let count = digits.trim().parse::<i64>().ok().filter(|count| (1..=1_000_000).contains(count));
        return count.map(|count| TimeRange::Last(count * unit)).ok_or_else(refused);
    };
    let side = |text: &str| match text.trim() {
        "" => Ok(None),
        text => instant(text).map(Some).ok_or_else(refused),
    };
    match (side(from)?, side(to)?) {
        (None, None) => Err(refused()),
        (Some(from), Some(to)) if from > to => Err(refused()),
        (from, to) => Ok(TimeRange::Between(from, to)),
    }
}

/// Milliseconds since the epoch of `2026-02-20`, `2026-02-20 12:00` or `2026-02-20T12:00:00Z`, UTC.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim_end_matches('Z').replace('T', " ");
    let time = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
        .or_else(|| NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    Some(time.and_utc().timestamp_millis())
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
            &["--format", "xml"][..],
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

    #[test]
    fn ranges_are_lengths_or_instants() {
        const DAY: i64 = 86_400_000;
        assert_eq!(time_range("12h"), Ok(TimeRange::Last(DAY / 2)));
        assert_eq!(time_range("2w"), Ok(TimeRange::Last(14 * DAY)));
        assert_eq!(time_range("1970-01-02..1970-01-03 12:00"), Ok(TimeRange::Between(Some(DAY), Some(5 * DAY / 2))));
        assert_eq!(time_range("1970-01-02T00:00:00Z.."), Ok(TimeRange::Between(Some(DAY), None)));
        for faulty in ["", "..", "7", "7y", "0d", "-1d", "2026-13-01..", "1970-01-03..1970-01-02", "tomorrow", "ü"] {
            assert!(time_range(faulty).is_err(), "{faulty}");
        }
        assert_eq!(prices("85,000..105000"), Ok(Prices::Between(85_000.0, 105_000.0)));
        assert_eq!(prices("10%"), Ok(Prices::Around(0.1)));
        for faulty in ["", "10", "5..4", "0%", "-1%", "nan..1", "1..inf"] {
            assert!(prices(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn plot_reads_the_options_of_render() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let plot = Plot::read(words("--theme light map.png")).expect("options and a file");
        assert_eq!((plot.file.as_deref(), plot.drawing.theme), (Some("map.png"), Some(Paper::Light)));
        let error = Plot::read(words("--size big")).expect_err("a size");
        assert!(error.starts_with("\\plot: invalid value 'big' for '--size"), "{error}");
    }
}

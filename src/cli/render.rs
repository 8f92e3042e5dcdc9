//! Pictures, in the terminal and in files: how much room and how many colours there are, what the options ask for, and
//! what a plan says of its rows. What is drawn is `crate::render`'s affair.

use std::any::Any;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use terminal_size::{Height, Width};

use super::arguments::{self, Drawing, Intensity};
use super::error::Failure;
use super::output::{PrintError, Replacement};
use crate::render::{
    ChartX, ColorDepth, Frame, Options, Origin, OriginKind, Paper, RenderError, Rows, Scale, Screen, Selection, Theme,
};
use crate::sql::exec::Call;

/// Columns and rows of a picture where nothing tells how large the terminal is.
const FALLBACK: (u32, u32) = (100, 30);

/// Rows of a terminal that stay free for the prompt and the command above the picture.
const FREE_ROWS: u32 = 2;

/// Draws results for the terminal, or whoever reads standard output.
///
/// # Errors
/// The results have no columns that a picture can show.
pub(crate) fn picture(results: &[Rows], drawing: &Drawing) -> Result<String, Failure> {
    let color = colors(io::stdout().is_terminal(), |name| std::env::var(name).ok());
    text(results, drawing, drawing.size.unwrap_or_else(room), color)
}

fn text(results: &[Rows], drawing: &Drawing, size: (u32, u32), color: ColorDepth) -> Result<String, Failure> {
    // The back end takes no more than it can use.
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
    let screen = Screen { width: side(size.0), height: side(size.1), color };
    let frame = Frame::try_from_results(results, &drawing.selection()).map_err(refused)?;
    drawing.check(std::slice::from_ref(&frame))?;
    crate::render::to_text(&frame, &drawing.options(), screen).map_err(refused)
}

fn refused(error: RenderError) -> Failure {
    Failure::new(error.to_string())
}

impl Drawing {
    fn options(&self) -> Options {
        let default = Options::default();
        Options {
            title: self.title.clone(),
            threshold: self.threshold.unwrap_or(default.threshold),
            scale: self.intensity.map_or(default.scale, |intensity| match intensity {
                Intensity::Linear => Scale::Linear,
                Intensity::Sqrt => Scale::Sqrt,
                Intensity::Log => Scale::Log,
            }),
            prices: self.prices,
            theme: match self.theme {
                Some(arguments::Paper::Light) => Theme::Light,
                Some(arguments::Paper::Dark) | None => Theme::Dark,
            },
        }
    }

    /// Refuses what would be ignored.
    fn check(&self, frames: &[Frame]) -> Result<(), Failure> {
        let has = |is_it: fn(&Frame) -> bool| frames.iter().any(is_it);
        let is_heatmap = |frame: &Frame| matches!(frame, Frame::Heatmap(_));
        let is_chart = |frame: &Frame| matches!(frame, Frame::Chart(_));
        let is_series = |frame: &Frame| matches!(frame, Frame::Chart(chart) if chart.x == ChartX::Time);
        let unused = if !has(is_heatmap) && self.threshold.is_some() {
            Some(("--threshold", "a heatmap"))
        } else if !has(is_heatmap) && self.intensity.is_some() {
            Some(("--intensity", "a heatmap"))
        } else if frames.iter().all(is_chart) && self.prices.is_some() {
            Some(("--prices", "a heatmap or a map"))
        } else if !has(is_heatmap) && !has(is_series) && self.range.is_some() {
            Some(("--range", "a heatmap or a series over time"))
        } else {
            None
        };
        match unused {
            Some((option, what)) => Err(Failure::new(format!("render: {option} goes with {what}; this is none"))),
            None => Ok(()),
        }
    }

    /// Refuses what a terminal cannot do.
    ///
    /// # Errors
    /// Names the option.
    pub(crate) fn check_terminal(&self) -> Result<(), String> {
        match (self.theme, self.pixel_ratio) {
            (Some(_), _) => Err("--theme needs a file: a terminal has its own colours".to_owned()),
            (None, Some(_)) => Err("--pixel-ratio needs a file: text has no pixels".to_owned()),
            (None, None) => Ok(()),
        }
    }

    fn selection(&self) -> Selection {
        Selection { range: self.range }
    }

    fn paper(&self) -> Paper {
        let default = Paper::default();
        let (width, height) = self.size.unwrap_or((default.width, default.height));
        Paper { width, height, ratio: self.pixel_ratio.unwrap_or(default.ratio) }
    }
}

/// Writes a file as a whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot write '{}': {error}", path.display()));
    let mut file = Replacement::create(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.put_in_place().map_err(|error| match error {
        PrintError::Failed(failure) => failure,
        PrintError::ReaderLeft => failed(io::Error::from(io::ErrorKind::BrokenPipe)),
    })
}

/// A file to draw to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Png,
    Svg,
    Html,
    Text(ColorDepth),
}

/// The endings that a picture's file may have.
const ENDINGS: &str = ".png, .svg, .html, .txt or .ans (text with a terminal's colours)";

impl Target {
    /// Decides by its ending what a file will hold.
    ///
    /// # Errors
    /// Another ending, or an option that the kind of file does not have.
    pub(crate) fn of(path: &Path, drawing: &Drawing) -> Result<Self, String> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let kind = match ending.as_deref() {
            Some("png") => Kind::Png,
            Some("svg") => Kind::Svg,
            Some("html" | "htm") => Kind::Html,
            Some("txt") => Kind::Text(ColorDepth::None),
            Some("ans") => Kind::Text(ColorDepth::TrueColor),
            _ => return Err(format!("a picture's file must end in {ENDINGS}, was '{}'", path.display())),
        };
        let unused = match kind {
            Kind::Html if drawing.size.is_some() => Some(("--size", "a page fills its window")),
            Kind::Html if drawing.pixel_ratio.is_some() => Some(("--pixel-ratio", "a page follows its screen")),
            Kind::Text(_) if drawing.pixel_ratio.is_some() => Some(("--pixel-ratio", "text has no pixels")),
            Kind::Text(_) if drawing.theme.is_some() => Some(("--theme", "text has the colours of its terminal")),
            _ => None,
        };
        match unused {
            Some((option, why)) => Err(format!("{option} does not go with '{}': {why}", path.display())),
            None => Ok(Self { path: path.to_owned(), kind }),
        }
    }

    /// Whether the file holds more than one picture.
    pub(crate) fn is_page(&self) -> bool {
        self.kind == Kind::Html
    }

    /// Draws results to the file, as a whole or not at all.
    ///
    /// # Errors
    /// The results have no columns that a picture can show, or the file cannot be written.
    pub(crate) fn write(&self, results: &[Rows], drawing: &Drawing) -> Result<(), Failure> {
        write(&self.path, &self.bytes(results, drawing)?)
    }

    fn bytes(&self, results: &[Rows], drawing: &Drawing) -> Result<Vec<u8>, Failure> {
        let options = drawing.options();
        let selection = drawing.selection();
        let frame = || {
            let frame = Frame::try_from_results(results, &selection).map_err(refused)?;
            drawing.check(std::slice::from_ref(&frame))?;
            Ok::<_, Failure>(frame)
        };
        match self.kind {
            Kind::Png => crate::render::to_png(&frame()?, &options, drawing.paper()).map_err(refused),
            Kind::Svg => {
                crate::render::to_svg(&frame()?, &options, drawing.paper()).map(String::into_bytes).map_err(refused)
            }
            Kind::Html => {
                let frames = Frame::all_from_results(results, &selection).map_err(refused)?;
                drawing.check(&frames)?;
                crate::render::to_html(&frames, &options).map(String::into_bytes).map_err(refused)
            }
            Kind::Text(color) => {
                text(results, drawing, drawing.size.unwrap_or(FALLBACK), color).map(String::into_bytes)
            }
        }
    }
}

/// Functions whose rows are estimates of what stands.
const ESTIMATING: [&str; 6] = ["liq_levels", "liq_flows", "liq_heatmap", "liq_map", "liq_score", "liq_calibrate"];
/// Parameters that are not written in a picture: those that have a place of their own, and those of where and when.
const NOT_SHOWN: [&str; 5] = ["model", "at", "by", "on", "by_leverage"];

/// What the calls of table functions in a plan say of its rows.
pub(crate) fn origin(calls: &[Call], scanned: Scanned) -> Origin {
    let estimating = calls.iter().find(|call| ESTIMATING.contains(&call.function));
    let is_given = calls.iter().any(|call| matches!(call.function, "liq_bucket" | "liq_price_tiered"));
    let kind = match (estimating, is_given, scanned.positions) {
        (Some(_), true, true) => OriginKind::EstimatedAndGiven,
        (Some(_), _, _) => OriginKind::Estimated,
        (None, true, true) => OriginKind::RealPositions,
        (None, true, false) => OriginKind::Given,
        (None, false, _) => OriginKind::Unknown,
    };
    let is_simulated = scanned.sample;
    let setting = |call: &Call, name: &str| {
        call.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    };
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in calls.iter().flat_map(|call| &call.given) {
        if !NOT_SHOWN.contains(name) && !parameters.iter().any(|(known, was)| known == name && was == value) {
            parameters.push(((*name).to_owned(), value.clone()));
        }
    }
    let coverage = estimating.and_then(|call| match setting(call, "scale")?.as_str() {
        "expected" => Some(format!("expected: the book × {}", setting(call, "coverage")?)),
        _ => Some("book: as if everybody stayed".to_owned()),
    });
    // One key that all calls are narrowed to.
    let key = |name: &str| {
        let values = |call: &Call| {
            let prefix = format!("{name} = ");
            call.pushed.iter().find_map(|predicate| predicate.strip_prefix(&prefix).map(str::to_owned))
        };
        let mut found: Vec<String> = calls.iter().filter_map(values).collect();
        found.dedup();
        found.pop().filter(|_| found.is_empty())
    };
    Origin {
        kind,
        model: calls.iter().find_map(|call| setting(call, "model")),
        parameters,
        coverage,
        is_simulated,
        exchange: key("exchange"),
        symbol: key("symbol"),
    }
}

/// What a plan reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Files of the embedded sample, whose market is simulated.
    pub(crate) sample: bool,
    /// Files or tables in which accounts hold positions.
    pub(crate) positions: bool,
}

impl Scanned {
    /// Looks at everything that a plan scans.
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let scan = (plan.as_ref() as &dyn Any).downcast_ref::<DataSourceExec>();
        let files = scan.and_then(|scan| (scan.data_source().as_ref() as &dyn Any).downcast_ref::<FileScanConfig>());
        let schema = files.map_or_else(|| plan.schema(), |files| Arc::clone(files.file_schema()));
        let has = |name: &str| schema.column_with_name(name).is_some();
        let own = Self {
            sample: files.is_some_and(|files| files.object_store_url.as_str().starts_with("sample://")),
            positions: plan.children().is_empty() && has("liquidation_price") && has("entry_price") && has("size"),
        };
        plan.children().into_iter().map(Self::of).fold(own, |both, one| Self {
            sample: both.sample || one.sample,
            positions: both.positions || one.positions,
        })
    }
}

fn room() -> (u32, u32) {
    if io::stdout().is_terminal()
        && let Some((Width(columns), Height(rows))) = terminal_size::terminal_size()
        && columns > 0
    {
        return (u32::from(columns), u32::from(rows).saturating_sub(FREE_ROWS).max(1));
    }
    let side =
        |name| std::env::var(name).ok().and_then(|text| text.trim().parse::<u32>().ok()).filter(|side| *side > 0);
    (side("COLUMNS").unwrap_or(FALLBACK.0), side("LINES").unwrap_or(FALLBACK.1))
}

/// How many colours the reader of standard output can see. `NO_COLOR` (no-color.org) outranks everything.
fn colors(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> ColorDepth {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
    if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return ColorDepth::None;
    }
    let forced = is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE");
    if !forced && (!is_terminal || variable("TERM").is_some_and(|terminal| terminal == "dumb")) {
        return ColorDepth::None;
    }
    match variable("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => ColorDepth::TrueColor,
        _ => ColorDepth::Ansi256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &'static str, given: &[(&'static str, &str)], settings: &[(&'static str, &str)]) -> Call {
        let owned = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
        };
        Call { function, given: owned(given), settings: owned(settings), pushed: vec!["symbol = BTCUSDT".to_owned()] }
    }

    #[test]
    fn an_estimate_says_so_and_what_was_set() {
        let sample = Scanned { sample: true, positions: false };
        let heatmap = call(
            "liq_heatmap",
            &[("step", "1h"), ("model", "zones"), ("max_distance", "0.1")],
            &[("model", "zones"), ("scale", "expected"), ("coverage", "0.091")],
        );
        let origin = origin(&[heatmap, call("liq_bars", &[("step", "1h"), ("on_bad_rows", "skip")], &[])], sample);
        assert_eq!(origin.label(), "estimated, simulated market");
        assert_eq!((origin.exchange.as_deref(), origin.symbol.as_deref()), (None, Some("BTCUSDT")));
        assert_eq!(origin.kind, OriginKind::Estimated);
        assert_eq!(origin.parameter_parts(), ["model zones", "step 1h", "max_distance 0.1", "on_bad_rows skip"]);
        assert_eq!(origin.coverage.as_deref(), Some("expected: the book × 0.091"));
    }

    #[test]
    fn positions_that_somebody_holds_are_no_estimate_unless_an_estimate_made_them() {
        let bucket = call("liq_bucket", &[("price_step", "50")], &[]);
        let (prices, positions) = (Scanned::default(), Scanned { sample: false, positions: true });
        assert_eq!(origin(std::slice::from_ref(&bucket), positions).kind, OriginKind::RealPositions);
        assert_eq!(origin(std::slice::from_ref(&bucket), prices).kind, OriginKind::Given);
        let both = [bucket, call("liq_levels", &[], &[])];
        assert_eq!(origin(&both, prices).kind, OriginKind::Estimated);
        assert_eq!(origin(&both, positions).kind, OriginKind::EstimatedAndGiven);
        assert_eq!(origin(&[], prices), Origin::default());
    }

    #[test]
    fn the_ending_decides_and_options_that_do_nothing_are_refused() {
        let drawing = Drawing::default();
        for (name, kind) in [("a.png", Kind::Png), ("A.SVG", Kind::Svg), ("a.b.html", Kind::Html)] {
            assert_eq!(Target::of(Path::new(name), &drawing).expect("a known ending").kind, kind);
        }
        for name in ["a.pdf", "png", "a", ".png"] {
            let error = Target::of(Path::new(name), &drawing).expect_err("no known ending");
            assert!(error.starts_with("a picture's file must end in .png, .svg, .html"), "{error}");
        }
        let sized = Drawing { size: Some((800, 600)), ..Drawing::default() };
        let error = Target::of(Path::new("a.html"), &sized).expect_err("a page has no size");
        assert_eq!(error, "--size does not go with 'a.html': a page fills its window");
    }

    fn seen(is_terminal: bool, variables: &[(&str, &str)]) -> ColorDepth {
        colors(is_terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colors_follow_the_environment() {
        assert!(matches!(seen(true, &[]), ColorDepth::Ansi256));
        assert!(matches!(seen(true, &[("COLORTERM", "truecolor")]), ColorDepth::TrueColor));
        assert!(matches!(seen(true, &[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), ColorDepth::None));
        assert!(matches!(seen(false, &[("COLORTERM", "truecolor")]), ColorDepth::None));
        assert!(matches!(seen(false, &[("FORCE_COLOR", "1")]), ColorDepth::Ansi256));
        assert!(matches!(seen(true, &[("TERM", "dumb")]), ColorDepth::None));
    }
}

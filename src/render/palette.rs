//! Colours of the pictures in files, images and pages alike, for dark and for light paper.

use super::Theme;
use super::color::{self, ColorScale, Hues, Rgb};

/// Colours by what they are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) background: Rgb,
    /// Behind bars and lines.
    pub(super) plot: Rgb,
    /// Titles.
    pub(super) strong: Rgb,
    /// Labels of axes.
    pub(super) ink: Rgb,
    /// Footers.
    pub(super) faint: Rgb,
    pub(super) grid: Rgb,
    /// Frames, ticks.
    pub(super) edge: Rgb,
    /// The current price.
    pub(super) price: Rgb,
    pub(super) on_price: Rgb,
    /// As users of CoinGlass know it: what falling prices liquidate is red.
    pub(super) cumulative_long: Rgb,
    pub(super) cumulative_short: Rgb,
    /// A candle that rose, one that fell, and the edge that parts both from the cells.
    pub(super) risen: Rgb,
    pub(super) fallen: Rgb,
    pub(super) outline: Rgb,
    /// What tells parts apart.
    pub(super) hues: &'static Hues,
}

const DARK: Palette = Palette {
    background: color::ON_DARK.paper,
    plot: Rgb(24, 28, 37),
    strong: color::ON_DARK.neutral,
    ink: Rgb(186, 190, 202),
    faint: Rgb(146, 151, 166),
    grid: Rgb(40, 45, 57),
    edge: Rgb(84, 90, 106),
    price: Rgb(255, 255, 255),
    on_price: Rgb(16, 18, 24),
    cumulative_long: Rgb(240, 80, 90),
    cumulative_short: Rgb(48, 190, 130),
    risen: Rgb(255, 255, 255),
    fallen: Rgb(255, 76, 84),
    outline: Rgb(14, 10, 20),
    hues: &color::ON_DARK,
};

const LIGHT: Palette = Palette {
    background: color::ON_LIGHT.paper,
    plot: Rgb(250, 250, 252),
    strong: color::ON_LIGHT.neutral,
    ink: Rgb(62, 66, 78),
    faint: Rgb(98, 103, 118),
    grid: Rgb(229, 231, 237),
    edge: Rgb(165, 170, 183),
    price: Rgb(24, 26, 34),
    on_price: Rgb(255, 255, 255),
    cumulative_long: Rgb(215, 45, 60),
    cumulative_short: Rgb(16, 145, 90),
    risen: Rgb(255, 255, 255),
    fallen: Rgb(235, 50, 62),
    outline: Rgb(28, 24, 36),
    hues: &color::ON_LIGHT,
};

impl Palette {
    pub(super) fn of(theme: Theme) -> Self {
        match theme {
            Theme::Dark => DARK,
            Theme::Light => LIGHT,
        }
    }
}

/// Colours of a scale, looked up: a picture has a million cells and evaluates few hundred colours.
#[derive(Debug)]
pub(super) struct Colors {
    scale: ColorScale,
    colors: Vec<Rgb>,
    /// What the threshold hides, and what is not there.
    pub(super) nothing: Rgb,
}

/// Finer than 8 bits per channel can tell apart.
const STEPS: usize = 1024;

impl Colors {
    pub(super) fn new(scale: ColorScale, theme: Theme) -> Self {
        let colors = (0..=STEPS).map(|step| at(step as f64 / STEPS as f64, theme)).collect();
        Self { scale, colors, nothing: nothing(theme) }
    }

    pub(super) fn of(&self, usd: f64) -> Rgb {
        let position = self.scale.position(usd);
        position.map_or(self.nothing, |position| self.at(position))
    }

    /// The colour of a position of 0..=1.
    pub(super) fn at(&self, position: f64) -> Rgb {
        let step = (position * STEPS as f64).round() as usize;
        self.colors.get(step.min(STEPS)).copied().unwrap_or(self.nothing)
    }
}

/// The colour of what the threshold hides, and of what is not there.
pub(super) fn nothing(theme: Theme) -> Rgb {
    match theme {
        Theme::Dark => color::NOTHING,
        Theme::Light => Rgb(246, 244, 249),
    }
}

/// On light paper what is few fades into the paper, so that what is most still stands out; the order of the hues stays.
pub(super) fn at(position: f64, theme: Theme) -> Rgb {
    let color = color::viridis(position);
    match theme {
        Theme::Dark => color,
        Theme::Light => {
            let faded = color.blended(Rgb(250, 246, 252), 0.62 * (1.0 - position).powi(2));
            // Full yellow would be the brightest colour, and lost on white.
            faded.blended(Rgb(250, 196, 0), 0.75 * (position - 0.6).max(0.0) / 0.4)
        }
    }
}

//! Colours of the pictures in files, for dark and for light paper.

use super::super::Theme;
use super::super::color::{self, ColorScale, Rgb};

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
    pub(super) long: Rgb,
    pub(super) short: Rgb,
    /// As users of CoinGlass know it: what falling prices liquidate is red.
    pub(super) cumulative_long: Rgb,
    pub(super) cumulative_short: Rgb,
    /// A candle that rose, one that fell, and the edge that parts both from the cells.
    pub(super) risen: Rgb,
    pub(super) fallen: Rgb,
    pub(super) outline: Rgb,
    kinds: &'static [Rgb; KINDS],
    leverages: &'static [Rgb; 6],
}

/// Lines of a panel that can be told apart.
const KINDS: usize = 12;

const DARK_KINDS: [Rgb; KINDS] = [
    Rgb(92, 169, 250),
    Rgb(250, 184, 60),
    Rgb(190, 140, 255),
    Rgb(110, 215, 130),
    Rgb(255, 128, 176),
    Rgb(80, 220, 230),
    Rgb(240, 120, 70),
    Rgb(200, 205, 110),
    Rgb(140, 150, 255),
    Rgb(205, 165, 135),
    Rgb(235, 235, 240),
    Rgb(130, 175, 165),
];

const LIGHT_KINDS: [Rgb; KINDS] = [
    Rgb(30, 105, 200),
    Rgb(200, 125, 0),
    Rgb(125, 65, 200),
    Rgb(30, 140, 60),
    Rgb(205, 50, 120),
    Rgb(0, 140, 160),
    Rgb(200, 75, 20),
    Rgb(120, 125, 20),
    Rgb(70, 80, 215),
    Rgb(135, 90, 55),
    Rgb(50, 50, 60),
    Rgb(70, 115, 105),
];

/// Cool for low leverage, hot for high leverage: what is liquidated first glows.
const DARK_LEVERAGES: [Rgb; 6] =
    [Rgb(64, 100, 190), Rgb(66, 160, 205), Rgb(120, 200, 165), Rgb(240, 205, 95), Rgb(245, 145, 65), Rgb(232, 70, 85)];

const LIGHT_LEVERAGES: [Rgb; 6] =
    [Rgb(50, 80, 165), Rgb(60, 140, 190), Rgb(95, 180, 145), Rgb(230, 185, 50), Rgb(230, 120, 40), Rgb(205, 45, 65)];

const DARK: Palette = Palette {
    background: Rgb(19, 22, 29),
    plot: Rgb(24, 28, 37),
    strong: Rgb(240, 241, 245),
    ink: Rgb(186, 190, 202),
    faint: Rgb(146, 151, 166),
    grid: Rgb(40, 45, 57),
    edge: Rgb(84, 90, 106),
    price: Rgb(255, 255, 255),
    on_price: Rgb(16, 18, 24),
    long: Rgb(240, 88, 86),
    short: Rgb(38, 178, 158),
    cumulative_long: Rgb(240, 80, 90),
    cumulative_short: Rgb(48, 190, 130),
    risen: Rgb(255, 255, 255),
    fallen: Rgb(255, 76, 84),
    outline: Rgb(14, 10, 20),
    kinds: &DARK_KINDS,
    leverages: &DARK_LEVERAGES,
};

const LIGHT: Palette = Palette {
    background: Rgb(255, 255, 255),
    plot: Rgb(250, 250, 252),
    strong: Rgb(22, 24, 32),
    ink: Rgb(62, 66, 78),
    faint: Rgb(98, 103, 118),
    grid: Rgb(229, 231, 237),
    edge: Rgb(165, 170, 183),
    price: Rgb(24, 26, 34),
    on_price: Rgb(255, 255, 255),
    long: Rgb(205, 45, 50),
    short: Rgb(0, 128, 112),
    cumulative_long: Rgb(215, 45, 60),
    cumulative_short: Rgb(16, 145, 90),
    risen: Rgb(255, 255, 255),
    fallen: Rgb(235, 50, 62),
    outline: Rgb(28, 24, 36),
    kinds: &LIGHT_KINDS,
    leverages: &LIGHT_LEVERAGES,
};

impl Palette {
    pub(super) fn of(theme: Theme) -> Self {
        match theme {
            Theme::Dark => DARK,
            Theme::Light => LIGHT,
        }
    }

    /// The colour of one of several of a kind.
    pub(super) fn kind(&self, index: usize) -> Rgb {
        self.kinds.get(index % KINDS).copied().unwrap_or(self.ink)
    }

    /// The colour of one of `count` leverages, lowest first: the ends are always the coolest and the hottest.
    pub(super) fn leverage(&self, index: usize, count: usize) -> Rgb {
        let last = self.leverages.len() - 1;
        let place = index as f64 / count.saturating_sub(1).max(1) as f64 * last as f64;
        let (below, share) = ((place as usize).min(last), place.fract());
        let at = |index: usize| self.leverages.get(index.min(last)).copied().unwrap_or(self.ink);
        at(below).blended(at(below + 1), share)
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
        let nothing = match theme {
            Theme::Dark => color::NOTHING,
            Theme::Light => Rgb(246, 244, 249),
        };
        Self { scale, colors, nothing }
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

/// On light paper what is few fades into the paper, so that what is most still stands out; the order of the hues stays.
fn at(position: f64, theme: Theme) -> Rgb {
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

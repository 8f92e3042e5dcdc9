//! How much becomes which colour, which colours tell things apart, and which of them a terminal can show.

use std::fmt;

use colorous::VIRIDIS;

use super::Theme;
use super::frame::{LayeredBy, Map, NOT_STATED, Panel, PoolSide, SeriesMark, Tone};

/// Colours a terminal understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorDepth {
    /// 24-bit colours.
    #[default]
    TrueColor,
    /// The 256 indexed colours of xterm.
    Ansi256,
    /// No escape sequence at all: characters stand for intensity.
    None,
}

/// How notional becomes colour between the threshold and the brightest cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// In proportion: purple few, green more, yellow most.
    #[default]
    Linear,
    /// Square root: brighter, for books with a few giants.
    Sqrt,
    /// Logarithm: each doubling is the same step; small levels are almost as bright as large ones.
    Log,
}

impl Scale {
    /// Its name, as the footer states it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Sqrt => "sqrt",
            Self::Log => "log",
        }
    }
}

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

impl Rgb {
    /// Darker by a factor of 0..1.
    pub(super) fn dimmed(self, factor: f64) -> Self {
        let dim = |channel: u8| (f64::from(channel) * factor).round() as u8;
        Self(dim(self.0), dim(self.1), dim(self.2))
    }

    /// Mixed with another colour, of which `share` (0..1) is taken.
    pub(super) fn blended(self, other: Self, share: f64) -> Self {
        let blend = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share).round() as u8;
        Self(blend(self.0, other.0), blend(self.1, other.1), blend(self.2, other.2))
    }

    /// Perceived brightness, 0..1 (weights of ITU-R BT.601).
    pub(super) fn brightness(self) -> f64 {
        (0.299 * f64::from(self.0) + 0.587 * f64::from(self.1) + 0.114 * f64::from(self.2)) / 255.0
    }

    /// The nearest of the colours 16..=255 of xterm: a 6×6×6 cube and 24 greys. The first 16 follow the user's theme.
    pub(super) fn ansi256(self) -> u8 {
        const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];
        let nearest =
            |channel: u8| (0..6u8).min_by_key(|&index| CUBE[usize::from(index)].abs_diff(channel)).unwrap_or(0);
        let (red, green, blue) = (nearest(self.0), nearest(self.1), nearest(self.2));
        let cube = Rgb(CUBE[usize::from(red)], CUBE[usize::from(green)], CUBE[usize::from(blue)]);
        let mean = (u16::from(self.0) + u16::from(self.1) + u16::from(self.2)) / 3;
        let step = (mean.saturating_sub(3) / 10).min(23) as u8;
        let level = 8 + 10 * step;
        if self.distance(Rgb(level, level, level)) < self.distance(cube) {
            232 + step
        } else {
            16 + 36 * red + 6 * green + blue
        }
    }

    fn distance(self, other: Self) -> u32 {
        let squared = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        squared(self.0, other.0) + squared(self.1, other.1) + squared(self.2, other.2)
    }
}

/// As style sheets and SVG write it: `#fde725`.
impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(red, green, blue) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Lines of a panel that can be told apart.
const KINDS: usize = 12;
/// Steps from cool to hot.
const LEVERAGES: usize = 6;

/// Colours that tell the parts of a picture apart, on one kind of paper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hues {
    /// Positions that falling prices liquidate: their forced orders sell.
    pub(super) long: Rgb,
    /// Positions that rising prices liquidate: their forced orders buy.
    pub(super) short: Rgb,
    /// Prices and what belongs to no side.
    pub(super) neutral: Rgb,
    /// What all is drawn on.
    pub(super) paper: Rgb,
    /// The layer of what does not say where it belongs.
    pub(super) not_stated: Rgb,
    /// Exchanges, shocks, presets: never taken for a side.
    kinds: [Rgb; KINDS],
    /// Cool for low leverage, hot for high leverage: what is liquidated first glows.
    leverages: [Rgb; LEVERAGES],
}

/// On dark paper, and in a terminal.
pub(super) const ON_DARK: Hues = Hues {
    long: Rgb(240, 88, 86),
    short: Rgb(38, 178, 158),
    neutral: Rgb(240, 241, 245),
    paper: Rgb(19, 22, 29),
    not_stated: Rgb(138, 142, 154),
    kinds: [
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
    ],
    leverages: [
        Rgb(64, 100, 190),
        Rgb(66, 160, 205),
        Rgb(120, 200, 165),
        Rgb(240, 205, 95),
        Rgb(245, 145, 65),
        Rgb(232, 70, 85),
    ],
};

/// On white paper.
pub(super) const ON_LIGHT: Hues = Hues {
    long: Rgb(205, 45, 50),
    short: Rgb(0, 128, 112),
    neutral: Rgb(22, 24, 32),
    paper: Rgb(255, 255, 255),
    not_stated: Rgb(150, 153, 163),
    kinds: [
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
    ],
    leverages: [
        Rgb(50, 80, 165),
        Rgb(60, 140, 190),
        Rgb(95, 180, 145),
        Rgb(230, 185, 50),
        Rgb(230, 120, 40),
        Rgb(205, 45, 65),
    ],
};

impl Hues {
    pub(super) fn on(theme: Theme) -> &'static Self {
        match theme {
            Theme::Dark => &ON_DARK,
            Theme::Light => &ON_LIGHT,
        }
    }

    pub(super) fn side(&self, side: PoolSide) -> Rgb {
        match side {
            PoolSide::Long => self.long,
            PoolSide::Short => self.short,
        }
    }

    /// The colours of a map's layers.
    pub(super) fn layers(&self, map: &Map) -> Vec<Rgb> {
        let is_stated = |name: &str| name != NOT_STATED;
        let stated = map.layers.iter().filter(|layer| is_stated(&layer.name)).count();
        let colors = map.layers.iter().enumerate().map(|(index, layer)| match map.layered_by {
            _ if !is_stated(&layer.name) => self.not_stated,
            LayeredBy::Leverage => self.leverage(index, stated),
            LayeredBy::Exchange | LayeredBy::Nothing => self.kind(index),
        });
        colors.collect()
    }

    /// The colours of a panel's series.
    pub(super) fn series(&self, panel: &Panel) -> Vec<Rgb> {
        let mut seen: Vec<(Tone, SeriesMark)> = Vec::new();
        let mut colors = Vec::new();
        for series in &panel.series {
            // A line and a bar of one colour are told apart by their shape.
            let own = (series.tone, series.mark);
            colors.push(self.tone(series.tone, seen.iter().filter(|other| **other == own).count()));
            seen.push(own);
        }
        colors
    }

    /// One of several of a kind.
    fn kind(&self, index: usize) -> Rgb {
        self.kinds.get(index % KINDS).copied().unwrap_or(self.neutral)
    }

    /// One of `count` leverages, lowest first: the ends are the coolest and the hottest; one alone is neither.
    fn leverage(&self, index: usize, count: usize) -> Rgb {
        let share = if count > 1 { index as f64 / (count - 1) as f64 } else { 0.5 };
        let place = share.clamp(0.0, 1.0) * (LEVERAGES - 1) as f64;
        let at = |index: usize| self.leverages.get(index.min(LEVERAGES - 1)).copied().unwrap_or(self.neutral);
        at(place as usize).blended(at(place as usize + 1), place.fract())
    }

    /// The colour of a tone that stands for so many others `before` it: shades, as those of a side must look like it.
    fn tone(&self, tone: Tone, before: usize) -> Rgb {
        let own = match tone {
            Tone::Long => self.long,
            Tone::Short => self.short,
            Tone::Neutral => self.neutral,
            Tone::Kind(index) => return self.kind(index),
        };
        match (tone, before) {
            (_, 0) => own,
            (Tone::Long | Tone::Short, 1) => own.blended(self.neutral, 0.5),
            (Tone::Neutral, 1) | (Tone::Long | Tone::Short, 2) => own.blended(self.paper, 0.45),
            _ => own.blended(self.kind(before), 0.6),
        }
    }
}

/// Where nothing stands or what stands is below the threshold: darker than the darkest colour of the scale.
pub(super) const NOTHING: Rgb = Rgb(26, 2, 36);

/// Characters from nothing to the brightest cell, for terminals without colour.
const CHARACTERS: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// Notional in USD to a position on the colour scale, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColorScale {
    /// Below this nothing is drawn.
    low: f64,
    /// From here on everything is as bright as can be.
    high: f64,
    scale: Scale,
}

impl ColorScale {
    pub(super) fn new(low: f64, high: f64, scale: Scale) -> Self {
        Self { low, high: if high > low { high } else { low * 2.0 + f64::MIN_POSITIVE }, scale }
    }

    /// 0..=1, or `None` for what is hidden.
    pub(super) fn position(&self, usd: f64) -> Option<f64> {
        if usd <= 0.0 || usd < self.low {
            return None;
        }
        let share = ((usd - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        Some(match self.scale {
            Scale::Linear => share,
            Scale::Sqrt => share.sqrt(),
            Scale::Log => (1.0 + share * LOG_SPAN).ln() / (1.0 + LOG_SPAN).ln(),
        })
    }

    /// The notional that stands at a position; the inverse of [`Self::position`].
    pub(super) fn usd(&self, position: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => position,
            Scale::Sqrt => position * position,
            Scale::Log => ((position * (1.0 + LOG_SPAN).ln()).exp() - 1.0) / LOG_SPAN,
        };
        self.low + share * (self.high - self.low)
    }

    pub(super) fn color(&self, usd: f64) -> Rgb {
        self.position(usd).map_or(NOTHING, viridis)
    }

    pub(super) fn character(&self, usd: f64) -> char {
        self.position(usd).map_or(CHARACTERS[0], character)
    }
}

/// A logarithm needs a smallest value: this share of the range counts as the first step.
pub(super) const LOG_SPAN: f64 = 100.0;

/// Purple for few, green for more, yellow for most.
pub(super) fn viridis(position: f64) -> Rgb {
    let color = VIRIDIS.eval_continuous(position.clamp(0.0, 1.0));
    Rgb(color.r, color.g, color.b)
}

/// The character of a position; never the blank, which is for what is hidden.
pub(super) fn character(position: f64) -> char {
    let steps = CHARACTERS.len() - 1;
    CHARACTERS[1 + ((position * steps as f64) as usize).min(steps - 1)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::frame::Layer;
    use super::super::samples;
    use super::*;

    #[test]
    fn ansi256_takes_the_nearest_of_cube_and_greys() {
        assert_eq!(Rgb(0, 0, 0).ansi256(), 16);
        assert_eq!(Rgb(255, 255, 255).ansi256(), 231);
        assert_eq!(Rgb(255, 0, 0).ansi256(), 196);
        assert_eq!(Rgb(128, 128, 128).ansi256(), 244);
        assert_eq!(Rgb(8, 8, 8).ansi256(), 232);
        // The yellow end of viridis is (253, 231, 37): cube (5, 4, 0), 215 being nearer to 231 than 255.
        assert_eq!(viridis(1.0), Rgb(253, 231, 37));
        assert_eq!(viridis(1.0).ansi256(), 16 + 36 * 5 + 6 * 4);
    }

    fn map(layered_by: LayeredBy, names: &[&str]) -> Map {
        let layers = names.iter().map(|name| Layer { name: (*name).to_owned(), usd: Vec::new() }).collect();
        Map { layers, layered_by, ..Map::default() }
    }

    #[test]
    fn leverage_is_cool_to_hot_and_what_states_none_is_grey() {
        let hues = ON_DARK;
        let [coolest, .., hottest] = hues.leverages;
        let five = hues.layers(&map(LayeredBy::Leverage, &["1x", "2x", "3x", "4x", "5x"]));
        assert_eq!((five[0], five[4]), (coolest, hottest));
        assert_eq!(five[2], hues.leverages[2].blended(hues.leverages[3], 0.5));
        // One alone is neither cool nor hot.
        assert_eq!(hues.layers(&map(LayeredBy::Leverage, &["20x"])), [five[2]]);
        let unstated = hues.layers(&map(LayeredBy::Leverage, &["5x", "20x", NOT_STATED]));
        assert_eq!(unstated, [coolest, hottest, hues.not_stated]);
        let exchanges = hues.layers(&map(LayeredBy::Exchange, &["a", "b", NOT_STATED]));
        assert_eq!(exchanges, [hues.kinds[0], hues.kinds[1], hues.not_stated]);
    }

    #[test]
    fn series_of_one_tone_are_shades_that_differ() {
        let (line, bar) = (SeriesMark::Line, SeriesMark::Bar);
        let of = |marks: &[(Tone, SeriesMark)]| Panel {
            series: marks.iter().map(|&(tone, mark)| samples::series("", mark, tone, &[])).collect(),
            ..Panel::default()
        };
        for hues in [ON_DARK, ON_LIGHT] {
            for tone in [Tone::Long, Tone::Short, Tone::Neutral] {
                let colors = hues.series(&of(&[(tone, line); 5]));
                let different: BTreeSet<[u8; 3]> = colors.iter().map(|color| [color.0, color.1, color.2]).collect();
                assert_eq!(different.len(), 5, "{tone:?}: {colors:?}");
            }
            let both = hues.series(&of(&[(Tone::Long, line), (Tone::Long, bar), (Tone::Kind(13), bar)]));
            assert_eq!(both, [hues.long, hues.long, hues.kinds[1]]);
        }
    }

    #[test]
    fn colours_are_written_as_style_sheets_read_them() {
        assert_eq!(Rgb(253, 231, 7).to_string(), "#fde707");
    }

    #[test]
    fn the_scale_hides_below_and_saturates_above() {
        let scale = ColorScale::new(100.0, 500.0, Scale::Sqrt);
        assert_eq!(scale.position(0.0), None);
        assert_eq!(scale.position(99.0), None);
        assert_eq!(scale.position(100.0), Some(0.0));
        assert_eq!(scale.position(200.0), Some(0.5));
        assert_eq!(scale.position(9_000.0), Some(1.0));
        assert_eq!(scale.color(99.0), NOTHING);
        assert_eq!(scale.color(100.0), Rgb(68, 1, 84));
        assert_eq!(scale.color(500.0), Rgb(253, 231, 37));
        assert_eq!(scale.character(99.0), ' ');
        assert_eq!(scale.character(100.0), '.');
        assert_eq!(scale.character(500.0), '@');
    }

    #[test]
    fn usd_is_the_inverse_of_position() {
        for scale in [Scale::Linear, Scale::Sqrt, Scale::Log] {
            let scale = ColorScale::new(100.0, 500.0, scale);
            for usd in [100.0, 150.0, 320.0, 500.0] {
                let back = scale.usd(scale.position(usd).unwrap());
                assert!((back - usd).abs() < 1e-9, "{scale:?}: {usd} came back as {back}");
            }
        }
    }
}

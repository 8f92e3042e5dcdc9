//! How much becomes which colour, and which colours a terminal can show.

use colorous::VIRIDIS;

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

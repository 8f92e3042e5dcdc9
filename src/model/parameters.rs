//! Every assumption of the model in one place, and the presets under which they go by one name.

use super::closing::Closing;
use super::leverage::{MarginRule, Mix, jitter_offsets};
use super::opening::Opening;

const DAY: f64 = 86_400_000.0;

/// Where inside a bar positions enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Spread evenly over the buckets from low to high.
    Uniform,
    /// At (high + low + close) / 3.
    Hlc3,
    /// At the close.
    Close,
    /// At the open.
    Open,
}

impl Entry {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["uniform", "hlc3", "close", "open"];

    /// Reads a name of [`Entry::NAMES`].
    pub fn from_name(name: &str) -> Option<Entry> {
        match name {
            "uniform" => Some(Entry::Uniform),
            "hlc3" => Some(Entry::Hlc3),
            "close" => Some(Entry::Close),
            "open" => Some(Entry::Open),
            _ => None,
        }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// In which scale USD are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What would be liquidated if everybody stayed.
    Book,
    /// The book times the coverage: what realised liquidation feeds report on average.
    Expected,
}

impl Scale {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["book", "expected"];

    /// Reads a name of [`Scale::NAMES`].
    pub fn from_name(name: &str) -> Option<Scale> {
        match name {
            "book" => Some(Scale::Book),
            "expected" => Some(Scale::Expected),
            _ => None,
        }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A named set of assumptions; single parameters given beside it override it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The hazard book with the fitted mix.
    Default,
    /// What paid maps say of themselves: opens on volume, never closes.
    NeverCloses,
    /// Turnover opens, half leaves every seven days: the simplest strong alternative.
    HalfLife,
    /// The hazard book with weights proportional to distance: for symbols nobody has calibrated.
    Uncalibrated,
}

impl Preset {
    /// Names as written in SQL.
    pub const NAMES: &'static [&'static str] = &["default", "never_closes", "half_life", "uncalibrated"];

    /// Reads a name of [`Preset::NAMES`].
    pub fn from_name(name: &str) -> Option<Preset> {
        match name {
            "default" => Some(Preset::Default),
            "never_closes" => Some(Preset::NeverCloses),
            "half_life" => Some(Preset::HalfLife),
            "uncalibrated" => Some(Preset::Uncalibrated),
            _ => None,
        }
    }

    /// Returns the name as written in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Leverages of the default mix.
const DEFAULT_TIERS: [f64; 10] = [2.0, 3.0, 5.0, 10.0, 20.0, 25.0, 50.0, 75.0, 100.0, 125.0];

/// Shares of capital of the default mix, fitted on Binance, Bybit and OKX BTC liquidations of December 2025 to
/// February 2026. The data identify 10x and up, as groups; 2x to 5x come from the leverage that Hyperliquid publishes.
const DEFAULT_WEIGHTS: [f64; 10] = [0.145, 0.213, 0.294, 0.176, 0.068, 0.050, 0.022, 0.014, 0.003, 0.014];

/// Share of the book that realised liquidation feeds report, under the default mix. It drifts.
pub const DEFAULT_COVERAGE: f64 = 0.091;

/// Bars longer than this sweep the positions that they opened themselves.
pub(crate) const LONGEST_BAR_THAT_SPARES_ITS_OWN: i64 = 15 * 60 * 1000;

/// Everything that changes the model's answer, apart from the bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Leverages.
    pub tiers: Vec<f64>,
    /// Shares of capital, one a tier; only their ratios matter.
    pub weights: Vec<f64>,
    /// Maintenance margin rate where no margin rules are known, a fraction.
    pub maintenance_margin_rate: f64,
    /// Half-width of the jitter in ln(distance); 0 is none.
    pub jitter: f64,
    /// Share of unexplained turnover that opens and closes positions.
    pub churn: f64,
    /// How positions open.
    pub opening: Opening,
    /// How positions leave.
    pub closing: Closing,
    /// Share that stays of what only a wick reached: price passed the level and the bar closed back inside. 0 is none.
    pub wick_retention: f64,
    /// Time after which half of everything has closed by age alone, in milliseconds; `None` for never.
    pub age_half_life: Option<f64>,
    /// Where inside the bar they enter.
    pub entry: Entry,
    /// In which scale USD are reported.
    pub scale: Scale,
    /// Share of the book that feeds report; used by [`Scale::Expected`].
    pub coverage: f64,
}

impl Parameters {
    /// Returns the assumptions of a preset.
    pub fn preset(preset: Preset) -> Parameters {
        let default = Parameters {
            tiers: DEFAULT_TIERS.to_vec(),
            weights: DEFAULT_WEIGHTS.to_vec(),
            maintenance_margin_rate: 0.004,
            jitter: 0.6,
            churn: 0.05,
            opening: Opening::Turnover,
            closing: Closing::Hazard,
            wick_retention: 0.0,
            age_half_life: None,
            entry: Entry::Uniform,
            scale: Scale::Book,
            coverage: DEFAULT_COVERAGE,
        };
        match preset {
            Preset::Default => default,
            Preset::NeverCloses => Parameters {
                tiers: vec![5.0, 10.0, 25.0, 50.0, 100.0],
                weights: vec![0.15, 0.30, 0.25, 0.20, 0.10],
                jitter: 0.0,
                churn: 1.0,
                opening: Opening::Volume,
                closing: Closing::Never,
                entry: Entry::Hlc3,
                ..default
            },
            Preset::HalfLife => Parameters { closing: Closing::HalfLife { milliseconds: 7.0 * DAY }, ..default },
            Preset::Uncalibrated => {
                let weights = Self::uncalibrated_weights(&default.tiers, default.maintenance_margin_rate);
                Parameters { weights, ..default }
            }
        }
    }

    /// Returns weights proportional to the distance of each tier: what is nearer is held by fewer.
    pub fn uncalibrated_weights(tiers: &[f64], maintenance_margin_rate: f64) -> Vec<f64> {
        tiers
            .iter()
            .map(|&leverage| {
                super::leverage::distance(super::side::Side::Long, leverage, maintenance_margin_rate).max(0.0)
            })
            .collect()
    }

    /// Resolves the mix under a margin rule, or under the constant rate where none is known.
    pub fn mix(&self, rule: Option<&MarginRule>) -> Mix {
        let (rate, max_leverage) =
            rule.map_or((self.maintenance_margin_rate, f64::INFINITY), |r| (r.maintenance_margin_rate, r.max_leverage));
        Mix::new(&self.tiers, &self.weights, rate, max_leverage, &self.jitters())
    }

    /// Returns the jitter offsets in ln(distance).
    pub fn jitters(&self) -> Vec<f64> {
        jitter_offsets(self.jitter)
    }

    /// Returns the factor by which reported USD are multiplied.
    pub fn usd_factor(&self) -> f64 {
        match self.scale {
            Scale::Book => 1.0,
            Scale::Expected => self.coverage,
        }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters::preset(Preset::Default)
    }
}

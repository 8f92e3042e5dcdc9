//! Which side of the market a position is on.

use std::fmt;

/// The side of a POSITION, never of an order.
///
/// A long is liquidated when price falls to its level, a short when price rises to it. The forced order that closes a
/// long is a sell; exchanges that publish the order's side are translated when their files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Gains when price rises; its liquidation price lies below the entry.
    Long,
    /// Gains when price falls; its liquidation price lies above the entry.
    Short,
}

impl Side {
    /// Both sides, longs first: the order in which every function emits them.
    pub const BOTH: [Side; 2] = [Side::Long, Side::Short];

    /// Returns `+1` for a long, `-1` for a short.
    pub fn sign(self) -> f64 {
        match self {
            Side::Long => 1.0,
            Side::Short => -1.0,
        }
    }

    /// Returns the name used in every table: `long` or `short`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Long => "long",
            Side::Short => "short",
        }
    }

    /// Reads `long` or `short`, in any case.
    ///
    /// `buy` and `sell` are not accepted: they name orders, and the forced order of a long is a sell.
    pub fn from_name(name: &str) -> Option<Side> {
        if name.eq_ignore_ascii_case("long") {
            Some(Side::Long)
        } else if name.eq_ignore_ascii_case("short") {
            Some(Side::Short)
        } else {
            None
        }
    }

    /// Returns `0` for a long and `1` for a short, to index pairs.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

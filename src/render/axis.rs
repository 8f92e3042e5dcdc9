//! Round numbers on the price axis, calendar labels on the time axis, and how prices and money are written.

use chrono::{DateTime, Datelike, Months, NaiveDateTime, NaiveTime, Timelike};

use super::frame::LATEST_MS;

/// No label has more.
const MOST_DECIMALS: usize = 12;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The smallest 1, 2 or 5 × 10ⁿ that is at least `least`, with the decimals needed to write its multiples.
pub(super) fn round_step(least: f64) -> (f64, usize) {
    if !(least.is_finite() && least > 0.0) {
        return (1.0, 0);
    }
    let exponent = least.log10().floor() as i32;
    // One more power than needed, for a logarithm that rounds down just below a whole number.
    for exponent in [exponent, exponent + 1] {
        for factor in [1.0, 2.0, 5.0] {
            let step = factor * 10f64.powi(exponent);
            if step >= least * (1.0 - 1e-9) {
                return (step, decimals(exponent));
            }
        }
    }
    (10f64.powi(exponent + 2), decimals(exponent + 2))
}

/// Decimals of a power of ten.
fn decimals(exponent: i32) -> usize {
    usize::try_from(-exponent).unwrap_or(0).min(MOST_DECIMALS)
}

/// Multiples of `step` within `low..=high`.
pub(super) fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // A picture has at most thousands of lines; anything more is a step lost to rounding.
    if !(last - first).is_finite() || last - first > 10_000.0 {
        return Vec::new();
    }
    let count = (last - first + 1.0).max(0.0) as usize;
    (0..count).map(|index| (first + index as f64) * step).collect()
}

/// A number with separated thousands: `97,432.10`.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::with_capacity(text.len() + 8);
    if value < 0.0 {
        out.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Decimals with which a market of this price is written: about six significant digits.
pub(super) fn price_decimals(price: f64) -> usize {
    if !(price.is_finite() && price > 0.0) {
        return 0;
    }
    (0..=MOST_DECIMALS).find(|&decimals| 10f64.powi(-(decimals as i32)) <= price * 1e-5).unwrap_or(MOST_DECIMALS)
}

/// Money in three digits at most: `$950`, `$1.2K`, `$35M`, `$2.1B`.
pub(super) fn usd(value: f64) -> String {
    let mut scaled = value.abs();
    let mut unit = 0;
    const UNITS: [&str; 5] = ["", "K", "M", "B", "T"];
    // 999.5 would be written 1000.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1_000.0;
        unit += 1;
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let decimals = usize::from(scaled < 9.95 && scaled != scaled.trunc());
    format!("{sign}${scaled:.decimals$}{}", UNITS[unit])
}

/// A fraction in per cent, with three digits at most: `3.1 %`, `0.01 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", number(fraction * 100.0))
}

/// A fraction in per cent with its sign: `+3.1 %`.
pub(super) fn signed_percent(fraction: f64) -> String {
    let sign = if fraction > 0.0 { "+" } else { "" };
    format!("{sign}{}", percent(fraction))
}

/// Decimals that write every multiple of a step. Steps are computed: what differs by a millionth is the same step.
pub(super) fn step_decimals(step: f64) -> usize {
    let is_written = |decimals: &usize| {
        let scaled = step * 10f64.powi(*decimals as i32);
        scaled >= 0.5 && (scaled - scaled.round()).abs() < 1e-6 * scaled
    };
    (0..=MOST_DECIMALS).find(is_written).unwrap_or(MOST_DECIMALS)
}

/// A step, or what lies between two edges, as it is: `12.25`, `0.00000000025`.
pub(super) fn step(step: f64) -> String {
    let decimals = step_decimals(step);
    // Below what decimals can write.
    if step * 10f64.powi(decimals as i32) < 0.5 { given(step) } else { decimal(step, decimals) }
}

/// Decimals that write two neighbouring edges to a thousandth of what lies between them.
pub(super) fn edge_decimals(low: f64, high: f64) -> usize {
    let step = high - low;
    let is_written = |decimals: &usize| {
        let factor = 10f64.powi(*decimals as i32);
        [low, high].iter().all(|edge| (edge * factor - (edge * factor).round()).abs() < 1e-3 * step * factor)
    };
    step_decimals(step).max((0..=MOST_DECIMALS).find(is_written).unwrap_or(MOST_DECIMALS))
}

/// A value in an error: as it was given, but for digits that nobody counts.
pub(super) fn given(value: f64) -> String {
    let is_plain = value == 0.0 || !value.is_finite() || (1e-6..1e15).contains(&value.abs());
    // Twelve digits are more than anybody writes, and leave out the noise of what was computed.
    let short: f64 = format!("{value:.11e}").parse().unwrap_or(value);
    if is_plain { short.to_string() } else { format!("{short:e}") }
}

/// A plain number with about three digits: `0.839`, `12.5`, `1,234`.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(2 - magnitude).unwrap_or(0).min(9);
    let text = decimal(value, decimals);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Whether a character of a name would break a line, reach a terminal as a command, or turn the direction of text around.
pub(super) fn is_harmful(letter: char) -> bool {
    let is_mark = matches!(
        letter,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let is_separator = matches!(letter, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    letter.is_control() || is_mark || is_separator
}

/// A count with separated thousands.
pub(super) fn count(value: usize) -> String {
    decimal(value as f64, 0)
}

/// An instant as `2026-02-10 00:00`.
pub(super) fn instant(ms: i64) -> String {
    match date_time(ms) {
        Some(time) if time.second() != 0 => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        Some(time) => time.format("%Y-%m-%d %H:%M").to_string(),
        None => format!("{ms} ms"),
    }
}

/// The day of an instant as `2026-02-10`.
fn day(ms: i64) -> String {
    date_time(ms).map_or_else(|| format!("{ms} ms"), |time| time.format("%Y-%m-%d").to_string())
}

/// Two instants, or one if they are the same.
pub(super) fn instants(first: i64, last: i64) -> String {
    if first == last { instant(first) } else { format!("{} … {}", instant(first), instant(last)) }
}

/// Two days, or one if they are the same.
pub(super) fn days(first: i64, last: i64) -> String {
    let (first, last) = (day(first), day(last));
    if first == last { first } else { format!("{first} … {last}") }
}

/// A span of time in its largest whole unit: `1 h`, `5 min`.
pub(super) fn duration(ms: i64) -> String {
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")] {
        if ms % unit == 0 {
            return format!("{} {name}", ms / unit);
        }
    }
    format!("{ms} ms")
}

/// A label on the time axis: the instant it names, the column of its tick, the column of its first character, its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeLabel {
    pub(super) ms: i64,
    pub(super) tick: usize,
    pub(super) start: usize,
    pub(super) text: String,
}

/// Distances between ticks, finest first.
#[derive(Debug, Clone, Copy)]
enum TickStep {
    Milliseconds(i64),
    Months(u32),
}

const TICK_STEPS: [TickStep; 28] = [
    TickStep::Milliseconds(SECOND),
    TickStep::Milliseconds(5 * SECOND),
    TickStep::Milliseconds(15 * SECOND),
    TickStep::Milliseconds(30 * SECOND),
    TickStep::Milliseconds(MINUTE),
    TickStep::Milliseconds(2 * MINUTE),
    TickStep::Milliseconds(5 * MINUTE),
    TickStep::Milliseconds(10 * MINUTE),
    TickStep::Milliseconds(15 * MINUTE),
    TickStep::Milliseconds(30 * MINUTE),
    TickStep::Milliseconds(HOUR),
    TickStep::Milliseconds(2 * HOUR),
    TickStep::Milliseconds(3 * HOUR),
    TickStep::Milliseconds(4 * HOUR),
    TickStep::Milliseconds(6 * HOUR),
    TickStep::Milliseconds(12 * HOUR),
    TickStep::Milliseconds(DAY),
    TickStep::Milliseconds(2 * DAY),
    TickStep::Milliseconds(3 * DAY),
    TickStep::Milliseconds(7 * DAY),
    TickStep::Milliseconds(14 * DAY),
    TickStep::Months(1),
    TickStep::Months(2),
    TickStep::Months(3),
    TickStep::Months(6),
    TickStep::Months(12),
    TickStep::Months(24),
    TickStep::Months(60),
];

/// Labels for `width` columns that show the time from `first` to `end` (exclusive), as dense as fits.
///
/// Two labels are at least two columns apart and none leaves the axis. A label at midnight is a date, one at the start
/// of a year is the year; if no date is among them the first label carries it.
pub(super) fn time_labels(first: i64, end: i64, width: usize) -> Vec<TimeLabel> {
    let has_date = |ms: i64| ms.unsigned_abs() <= 2 * LATEST_MS;
    if end <= first || width == 0 || !has_date(first) || !has_date(end) {
        return Vec::new();
    }
    for step in TICK_STEPS {
        // Cheap bound before any calendar arithmetic: every label needs at least six columns.
        let step_ms = match step {
            TickStep::Milliseconds(ms) => ms,
            TickStep::Months(months) => i64::from(months) * 28 * DAY,
        };
        if end.saturating_sub(first) / step_ms > width as i64 / 6 + 1 {
            continue;
        }
        let labels = labels_at(ticks(first, end, step), first, end, width, step);
        let fits = labels.windows(2).all(|pair| pair[0].start + pair[0].text.len() + 2 <= pair[1].start)
            && labels.iter().all(|label| label.start + label.text.len() <= width);
        if fits && !labels.is_empty() {
            return labels;
        }
    }
    // Nothing round lies within: name the first instant.
    let text = instant(first);
    if text.len() <= width { vec![TimeLabel { ms: first, tick: 0, start: 0, text }] } else { Vec::new() }
}

fn ticks(first: i64, end: i64, step: TickStep) -> Vec<i64> {
    match step {
        TickStep::Milliseconds(step) => {
            // Weeks begin on Monday; the epoch was a Thursday.
            let origin = if step % (7 * DAY) == 0 { 4 * DAY } else { 0 };
            let mut tick = origin + (first - origin).div_euclid(step) * step;
            if tick < first {
                tick += step;
            }
            (0..).map_while(|index: i64| Some(tick + index * step).filter(|&tick| tick < end)).collect()
        }
        TickStep::Months(months) => month_ticks(first, end, months).unwrap_or_default(),
    }
}

fn month_ticks(first: i64, end: i64, months: u32) -> Option<Vec<i64>> {
    let start = date_time(first)?.date();
    let month_index = start.year().checked_mul(12)?.checked_add(start.month0() as i32)?;
    let rounded = month_index.div_euclid(months as i32) * months as i32;
    let mut date = chrono::NaiveDate::from_ymd_opt(rounded.div_euclid(12), rounded.rem_euclid(12) as u32 + 1, 1)?;
    let mut ticks = Vec::new();
    loop {
        let ms = date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        if ms >= end {
            return Some(ticks);
        }
        if ms >= first {
            ticks.push(ms);
        }
        date = date.checked_add_months(Months::new(months))?;
    }
}

fn labels_at(ticks: Vec<i64>, first: i64, end: i64, width: usize, step: TickStep) -> Vec<TimeLabel> {
    let times: Vec<(i64, NaiveDateTime)> =
        ticks.into_iter().filter_map(|ms| date_time(ms).map(|time| (ms, time))).collect();
    let has_date = times.iter().any(|(_, time)| time.time() == NaiveTime::MIN);
    times
        .into_iter()
        .enumerate()
        .map(|(index, (ms, time))| {
            let clock = if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
            let format = if index == 0 && !has_date {
                format!("%b %-d {clock}")
            } else if time.time() != NaiveTime::MIN {
                clock.to_string()
            } else if time.ordinal0() == 0 {
                "%Y".to_string()
            } else if matches!(step, TickStep::Months(_)) {
                "%b".to_string()
            } else {
                "%b %-d".to_string()
            };
            let text = time.format(&format).to_string();
            // The exact product can leave i64 only for spans no chart has; f64 is exact enough for a column.
            let tick = ((ms - first) as f64 / (end - first) as f64 * width as f64) as usize;
            let tick = tick.min(width - 1);
            let start = tick.saturating_sub(text.len() / 2).min(width.saturating_sub(text.len()));
            TimeLabel { ms, tick, start, text }
        })
        .collect()
}

fn date_time(ms: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(ms).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-10 00:00 UTC.
    const START: i64 = 1_770_681_600_000;

    fn texts(labels: &[TimeLabel]) -> Vec<&str> {
        labels.iter().map(|label| label.text.as_str()).collect()
    }

    #[test]
    fn steps_are_one_two_or_five() {
        assert_eq!(round_step(730.0), (1000.0, 0));
        assert_eq!(round_step(1000.0), (1000.0, 0));
        assert_eq!(round_step(1001.0), (2000.0, 0));
        assert_eq!(round_step(0.03), (0.05, 2));
        assert_eq!(round_step(0.5), (0.5, 1));
        assert_eq!(round_step(f64::NAN), (1.0, 0));
        assert_eq!(multiples(95.0, 111.0, 5.0), [95.0, 100.0, 105.0, 110.0]);
    }

    #[test]
    fn numbers_are_written_as_traders_read_them() {
        assert_eq!(decimal(97_432.1, 1), "97,432.1");
        assert_eq!(decimal(1_000_000.0, 0), "1,000,000");
        assert_eq!(decimal(0.001_23, 5), "0.00123");
        assert_eq!(usd(950.0), "$950");
        assert_eq!(usd(999.7), "$1.0K");
        assert_eq!(usd(1_234_567.0), "$1.2M");
        assert_eq!(usd(35_400_000.0), "$35M");
        assert_eq!(usd(2_000_000_000.0), "$2B");
        assert_eq!(price_decimals(97_432.0), 1);
        assert_eq!(price_decimals(0.000_012), 10);
        assert_eq!(number(0.8391), "0.839");
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(1234.6), "1,235");
        assert_eq!(number(-0.0), "0");
        assert_eq!(percent(0.0001), "0.01 %");
        assert_eq!(signed_percent(0.0312), "+3.12 %");
        assert_eq!(signed_percent(-0.5), "-50 %");
    }

    #[test]
    fn steps_and_edges_keep_the_digits_that_tell_them_apart() {
        let steps = [100.0, 12.25, 0.1 + 0.2, 1e-5, 2.5e-10, 2_500.0, 100.0 / 3.0, 1e-20];
        let written = ["100", "12.25", "0.3", "0.00001", "0.00000000025", "2,500", "33.33333", "1e-20"];
        assert_eq!(steps.map(step), written);
        assert_eq!(edge_decimals(96_000.5, 96_000.6), 1);
        assert_eq!(edge_decimals(100.25, 101.25), 2);
        assert_eq!(edge_decimals(96_000.0, 96_100.0), 0);
        assert_eq!(edge_decimals(1e-7, 1.0025e-7), 11);
        assert_eq!(edge_decimals(0.0, 0.0), 12);
    }

    #[test]
    fn values_in_errors_are_short() {
        let values =
            [0.0, -1.0, 97_000.0, 0.1 + 0.2, 74_280.150_000_000_01, f64::NAN, f64::INFINITY, 1e300, -2.5e-9, 1e15];
        let written = ["0", "-1", "97000", "0.3", "74280.15", "NaN", "inf", "1e300", "-2.5e-9", "1e15"];
        assert_eq!(values.map(given), written);
    }

    #[test]
    fn a_month_is_labelled_by_days() {
        let labels = time_labels(START, START + 35 * DAY, 70);
        assert_eq!(texts(&labels), ["Feb 16", "Feb 23", "Mar 2", "Mar 9", "Mar 16"]);
        assert_eq!(labels[0].tick, 12);
    }

    #[test]
    fn a_day_change_is_a_date_among_hours() {
        let labels = time_labels(START + 18 * HOUR, START + 30 * HOUR, 60);
        assert!(texts(&labels).contains(&"Feb 11"), "{labels:?}");
        assert!(texts(&labels).contains(&"22:00"), "{labels:?}");
    }

    #[test]
    fn an_axis_without_midnight_still_names_the_date() {
        let labels = time_labels(START + HOUR, START + 7 * HOUR, 60);
        assert_eq!(labels[0].text, "Feb 10 02:00");
    }

    #[test]
    fn ticks_are_the_instants_of_the_labels() {
        let labels = time_labels(START, START + 35 * DAY, 70);
        assert_eq!((labels[0].ms, labels[0].text.as_str()), (START + 6 * DAY, "Feb 16"));
        assert_eq!(time_labels(START + 1, START + 2, 40)[0].ms, START + 1);
        assert!(time_labels(START, START, 40).is_empty());
        assert!(time_labels(i64::MIN, i64::MAX, 40).is_empty());
        for years in 1..30 {
            for width in [60, 120, 250, 400] {
                let labels = time_labels(START, START + years * 365 * DAY, width);
                assert!(labels.len() > 1, "{years} years, {width} characters: {labels:?}");
            }
        }
    }

    #[test]
    fn a_year_change_is_the_year() {
        let labels = time_labels(START - 200 * DAY, START, 70);
        assert!(texts(&labels).contains(&"2026"), "{labels:?}");
    }

    #[test]
    fn labels_never_overlap_or_leave_the_axis() {
        for width in [8, 20, 33, 70, 190] {
            for hours in [1, 2, 7, 24, 90, 840, 9_000, 80_000] {
                let labels = time_labels(START + 7 * MINUTE, START + 7 * MINUTE + hours * HOUR, width);
                for pair in labels.windows(2) {
                    assert!(pair[0].start + pair[0].text.len() < pair[1].start, "{width} {hours}: {labels:?}");
                }
                assert!(labels.iter().all(|label| label.start + label.text.len() <= width), "{width} {hours}");
            }
        }
    }
}

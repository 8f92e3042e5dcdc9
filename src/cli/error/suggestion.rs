//! Names that a mistyped one may have meant.
//!
//! Pure: who asks brings the names. `diagnosis` knows which names can stand where the mistyped one stands.

/// Names of a list that a message shows at most.
const SHOWN: usize = 12;

/// With this our functions begin.
const PREFIX: &str = "liq_";

/// How alike two names must be, from 0 to 1.
const ALIKE: f64 = 0.8;

/// What other systems call things, and how the same is written here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("any_value", "first_value(x)"),
    ("arg_max", "first_value(x ORDER BY y DESC)"),
    ("arg_min", "first_value(x ORDER BY y)"),
    ("argmax", "first_value(x ORDER BY y DESC)"),
    ("argmin", "first_value(x ORDER BY y)"),
    ("cast", "CAST(x AS type)"),
    ("charindex", "strpos(text, part)"),
    ("convert", "CAST(x AS type)"),
    ("countif", "count(*) FILTER (WHERE condition)"),
    ("date_add", "ts + INTERVAL '1 day'"),
    ("date_diff", "ts - other"),
    ("date_sub", "ts - INTERVAL '1 day'"),
    ("dateadd", "ts + INTERVAL '1 day'"),
    ("datediff", "ts - other"),
    ("day", "date_part('day', ts)"),
    ("first", "first_value(x ORDER BY ts)"),
    ("getdate", "now()"),
    ("group_concat", "string_agg(x, ',')"),
    ("hour", "date_part('hour', ts)"),
    ("if", "CASE WHEN condition THEN a ELSE b END"),
    ("iff", "CASE WHEN condition THEN a ELSE b END"),
    ("iif", "CASE WHEN condition THEN a ELSE b END"),
    ("isnull", "coalesce(x, y)"),
    ("last", "last_value(x ORDER BY ts)"),
    ("len", "length(text)"),
    ("listagg", "string_agg(x, ',')"),
    ("max_by", "first_value(x ORDER BY y DESC)"),
    ("min_by", "first_value(x ORDER BY y)"),
    ("minute", "date_part('minute', ts)"),
    ("month", "date_part('month', ts)"),
    ("percentile", "percentile_cont(x, 0.5)"),
    ("quantile", "percentile_cont(x, 0.5)"),
    ("sma", "avg(x) OVER (PARTITION BY exchange, symbol ORDER BY ts ROWS 19 PRECEDING)"),
    ("strftime", "to_char(ts, '%Y-%m-%d')"),
    ("sumif", "sum(x) FILTER (WHERE condition)"),
    ("time_bucket", "date_bin(INTERVAL '5 minutes', ts)"),
    ("unix_timestamp", "to_unixtime(ts)"),
    ("year", "date_part('year', ts)"),
];

/// Returns the name nearest to a mistyped one, if one is near: alike, or the mistyped one with a part more
/// (`heatmap` is near `liq_heatmap`). Case does not matter.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        // A beginning that every function of ours has makes none of them alike.
        let alike = match (name.strip_prefix(PREFIX), candidate.strip_prefix(PREFIX)) {
            (Some(name), Some(candidate)) => strsim::jaro_winkler(name, candidate),
            _ => strsim::jaro_winkler(&name, &candidate),
        };
        let has_part = |whole: &str, part: &str| {
            part.len() >= 4 && (whole.ends_with(&format!("_{part}")) || whole.starts_with(&format!("{part}_")))
        };
        if has_part(&candidate, &name) || has_part(&name, &candidate) { alike.max(0.9) } else { alike }
    };
    let mut best: Option<(f64, &str)> = None;
    for candidate in names {
        let likeness = likeness(candidate);
        // Of equally near ones the first: who asks brings the likeliest first.
        if likeness > ALIKE && best.is_none_or(|(other, _)| likeness > other) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Returns how something is written here whose name in other systems was used.
pub(crate) fn from_elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(other, _)| *other == name).map(|(_, here)| *here)
}

/// Names one after another, the first ones if they are many.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let names = ["liq_heatmap", "liq_map", "liq_pools", "ts", "close"];
        assert_eq!(nearest("liq_heatmpa", names), Some("liq_heatmap"));
        assert_eq!(nearest("heatmap", names), Some("liq_heatmap"));
        assert_eq!(nearest("Clse", names), Some("close"));
        assert_eq!(nearest("orders", names), None);
        assert_eq!(nearest("liq_score", ["liq_cascade", "liq_smooth"]), None);
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(["a"; 13]), format!("{}…", "a, ".repeat(12)));
    }

    #[test]
    fn what_others_say_is_sorted() {
        assert!(ELSEWHERE.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(from_elsewhere("len"), Some("length(text)"));
    }
}

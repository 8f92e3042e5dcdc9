//! JSON that may stand inside a `<script>` element: written here, read by the page's `JSON.parse`.
//!
//! No text of the rows can end the element or begin a comment in it, and every number is one that JSON knows: what is
//! not finite becomes `null`.

use std::fmt::Write;

/// A text with its quotes.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // `</script>` and `<!--` would be read by the HTML parser, the separators by older JavaScript parsers.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(&mut out, character),
            other if other.is_control() => escape(&mut out, other),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Only for the characters above, which all fit in four hexadecimal digits.
fn escape(out: &mut String, character: char) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, "\\u{:04x}", u32::from(character));
}

pub(super) fn optional_text(value: Option<&str>) -> String {
    value.map_or_else(null, text)
}

/// A number; `null` for infinities and NaN.
pub(super) fn number(value: f64) -> String {
    // Rust writes no exponent, and as many digits as are needed to read back the same number.
    if value.is_finite() { value.to_string() } else { null() }
}

pub(super) fn optional_number(value: Option<f64>) -> String {
    value.map_or_else(null, number)
}

pub(super) fn numbers(values: impl IntoIterator<Item = f64>) -> String {
    array(values.into_iter().map(number))
}

/// Of values that are JSON already.
pub(super) fn array(values: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&value);
    }
    out.push(']');
    out
}

/// Of values that are JSON already. The names are ours: none needs an escape.
pub(super) fn object<const N: usize>(members: [(&str, String); N]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        out.push_str(value);
    }
    out.push('}');
    out
}

pub(super) fn null() -> String {
    "null".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_the_script() {
        assert_eq!(
            text("</script><!-- & \u{2028}\u{2029} \"\\\n"),
            r#""\u003c/script\u003e\u003c!-- \u0026 \u2028\u2029 \"\\\u000a""#
        );
    }

    #[test]
    fn what_is_no_number_is_null() {
        assert_eq!(numbers([1.5, f64::NAN, f64::INFINITY, -0.1, 1e21]), "[1.5,null,null,-0.1,1000000000000000000000]");
    }

    #[test]
    fn objects_and_arrays_are_separated_by_commas() {
        assert_eq!(object([("a", array([])), ("b", array([null(), text("x")]))]), r#"{"a":[],"b":[null,"x"]}"#);
    }
}

//! The first line of a picture in a terminal: what is shown, when, whether it is an estimate, what the query set.

use super::super::frame::Origin;
use super::super::{Options, axis};
use super::canvas::{Canvas, Style};
use super::{SEPARATOR, length, shortened, with_appended};

/// What a picture shows, with its first and last instant if it has any; the most complete words first.
pub(super) fn heads(subject: &str, instants: Option<(i64, i64)>) -> Vec<Vec<String>> {
    let subject = subject.to_owned();
    let short = subject.replace("liquidation ", "");
    let with_times = match instants {
        None => Vec::new(),
        Some((first, last)) if first == last => {
            let at = format!("{} UTC", axis::instant(first));
            vec![vec![subject.clone(), at.clone()], vec![short.clone(), at]]
        }
        Some((first, last)) => {
            let (times, days) = (axis::instants(first, last), axis::days(first, last));
            vec![
                vec![subject.clone(), format!("{times} UTC")],
                vec![subject.clone(), format!("{days} UTC")],
                vec![short.clone(), days],
            ]
        }
    };
    with_times.into_iter().chain([vec![subject], vec![short]]).collect()
}

/// The first line, and what of the origin found no room in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Title {
    text: String,
    /// Whether amounts are estimates, if the title does not say it: the footer has to.
    pub(super) untold_kind: Option<String>,
    /// Model and parameters, most important first.
    pub(super) untold_parameters: Vec<String>,
}

impl Title {
    /// `heads` is what the picture shows, the most complete one first.
    pub(super) fn new(options: &Options, heads: &[Vec<String>], origin: &Origin, width: usize) -> Self {
        let kind = origin.label();
        let parameters = origin.parameter_parts();
        if let Some(title) = &options.title {
            return Self { text: shortened(title, width), untold_kind: Some(kind), untold_parameters: parameters };
        }
        let texts = heads.iter().map(|head| [head.as_slice(), std::slice::from_ref(&kind)].concat().join(SEPARATOR));
        let fitting = texts.enumerate().find(|(_, text)| length(text) <= width);
        let (text, untold_parameters) = match fitting {
            Some((0, text)) => {
                let (text, count) = with_appended(text, &parameters, width);
                (text, parameters.get(count..).unwrap_or_default().to_vec())
            }
            Some((_, text)) => (text, parameters),
            None => {
                let head = heads.last().map(|head| head.join(SEPARATOR)).unwrap_or_default();
                let room = width.saturating_sub(length(&kind) + length(SEPARATOR));
                (format!("{}{SEPARATOR}{kind}", shortened(&head, room)), parameters)
            }
        };
        Self { text, untold_kind: None, untold_parameters }
    }

    pub(super) fn draw(&self, canvas: &mut Canvas) {
        canvas.text(0, 0, &self.text, Style::BOLD);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::OriginKind;
    use super::*;

    pub(in super::super) fn origin() -> Origin {
        Origin {
            kind: OriginKind::Estimated,
            model: Some("zones".to_owned()),
            parameters: vec![("step".to_owned(), "1h".to_owned())],
            coverage: None,
            ..Origin::default()
        }
    }

    pub(in super::super) fn heads() -> Vec<Vec<String>> {
        vec![vec!["binance BTCUSDT map".to_owned(), "2026".to_owned()], vec!["BTCUSDT map".to_owned()]]
    }

    #[test]
    fn the_title_drops_parameters_before_the_range_and_never_the_origin() {
        let title = |width| Title::new(&Options::default(), &heads(), &origin(), width);
        assert_eq!(title(80).text, "binance BTCUSDT map · 2026 · estimated · model zones · step 1h");
        assert_eq!(title(55).text, "binance BTCUSDT map · 2026 · estimated · model zones");
        assert_eq!(title(55).untold_parameters, ["step 1h"]);
        assert_eq!(title(38).text, "binance BTCUSDT map · 2026 · estimated");
        assert_eq!(title(30).text, "BTCUSDT map · estimated");
        assert_eq!(title(20).text, "BTCUSDT… · estimated");
    }

    #[test]
    fn the_words_get_fewer() {
        let joined = |instants| {
            let heads = super::heads("BTCUSDT liquidation map", instants);
            heads.iter().map(|head| head.join(" · ")).collect::<Vec<_>>()
        };
        let range = [
            "BTCUSDT liquidation map · 1970-01-01 00:00 … 1970-01-01 01:00 UTC",
            "BTCUSDT liquidation map · 1970-01-01 UTC",
            "BTCUSDT map · 1970-01-01",
            "BTCUSDT liquidation map",
            "BTCUSDT map",
        ];
        assert_eq!(joined(Some((0, 3_600_000))), range);
        let at = [
            "BTCUSDT liquidation map · 1970-01-01 00:00 UTC",
            "BTCUSDT map · 1970-01-01 00:00 UTC",
            "BTCUSDT liquidation map",
            "BTCUSDT map",
        ];
        assert_eq!(joined(Some((0, 0))), at);
        assert_eq!(joined(None), at[2..]);
    }
}

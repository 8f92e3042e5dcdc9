//! The layers: which part of the crate may know of which other, read from the source.
//!
//! ```text
//! exchange files → ingest → market tables → model → sql → render
//! ```

use std::fs;
use std::path::{Path, PathBuf};

/// What a layer may name: parts of this crate, and words that it must not contain.
struct Layer {
    folder: &'static str,
    /// Paths after `crate::` that are allowed; a prefix counts.
    allowed: &'static [&'static str],
    forbidden: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { folder: "market", allowed: &["market"], forbidden: &["datafusion", "parquet", "tokio", "object_store"] },
    Layer {
        folder: "model",
        allowed: &["model"],
        forbidden: &[
            "arrow",
            "datafusion",
            "parquet",
            "tokio",
            "object_store",
            "chrono",
            "std::time",
            "std::fs",
            "std::env",
            "std::io",
            "HashMap",
            "HashSet",
            "rand",
        ],
    },
    Layer { folder: "ingest", allowed: &["ingest", "market", "error"], forbidden: &["datafusion"] },
    Layer {
        folder: "simulate",
        allowed: &["simulate", "market", "ingest", "error", "model::margin", "model::side"],
        forbidden: &["datafusion"],
    },
    Layer { folder: "sql", allowed: &["sql", "market", "model", "ingest"], forbidden: &[] },
    Layer { folder: "render", allowed: &["render", "market", "error"], forbidden: &["datafusion"] },
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file, without comments, each `use` on one line; a comment may speak of what the code must not use.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut in_use = false;
    for (i, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with("//") {
            continue;
        }
        let code = trimmed.split(" // ").next().unwrap_or_default();
        match lines.last_mut() {
            Some((_, last)) if in_use => last.push_str(code),
            _ => {
                in_use = ["use ", "pub use ", "pub(crate) use "].iter().any(|word| code.starts_with(word));
                lines.push((i + 1, code.to_owned()));
            }
        }
        in_use &= !code.ends_with(';');
    }
    lines
}

/// Where a word stands by itself: not inside a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

/// The parts of the crate that a line names: `crate::x`, `crate::{x, y::z}`.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "liqsql::"] {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let group = group.split('}').next().unwrap_or_default();
                found.extend(group.split(',').map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()));
            } else {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
                let (path, after) = rest.split_at(end.unwrap_or(rest.len()));
                match after.strip_prefix('{') {
                    Some(group) => {
                        let group = group.split('}').next().unwrap_or_default();
                        found.extend(group.split(',').map(|item| format!("{path}{}", item.trim())));
                    }
                    None => found.push(path.to_owned()),
                }
            }
        }
    }
    found
}

fn is_allowed(path: &str, allowed: &[&str]) -> bool {
    allowed.iter().any(|allowed| path == *allowed || path.strip_prefix(allowed).is_some_and(|r| r.starts_with("::")))
}

#[test]
fn layers_know_only_what_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for layer in LAYERS {
        let mut files = Vec::new();
        sources(&root.join(layer.folder), &mut files);
        assert!(!files.is_empty(), "src/{} has no source", layer.folder);
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let place = path.strip_prefix(&root).unwrap().display().to_string();
            let tests = text.lines().position(|line| line == "#[cfg(test)]").unwrap_or(usize::MAX);
            for (number, line) in code(&text) {
                for word in layer.forbidden {
                    if has_word(&line, word) {
                        problems.push(format!("{place}:{number}: {} must not use {word}: {line}", layer.folder));
                    }
                }
                for path in named(&line) {
                    if !is_allowed(&path, layer.allowed) {
                        problems.push(format!("{place}:{number}: {} must not use crate::{path}", layer.folder));
                    }
                }
                // From the top file of a layer, super is the crate; modules of tests lie one deeper.
                let depth = place.matches('/').count();
                if number < tests && line.contains(&"super::".repeat(depth + 1)) {
                    problems.push(format!("{place}:{number}: {} leaves its layer through super", layer.folder));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_part_of_the_crate_is_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let known = LAYERS.iter().any(|layer| layer.folder == name)
            || ["cli", "lib.rs", "main.rs", "error.rs"].contains(&name.as_str());
        assert!(known, "src/{name} has no rule here: say what it may use");
    }
}

/// Only the program prints and reads the process's environment.
#[test]
fn only_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut problems = Vec::new();
    for path in files {
        let place = path.strip_prefix(&root).unwrap().display().to_string();
        if place.starts_with("cli/") || place == "main.rs" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code(before_tests) {
            for word in ["println!", "print!", "eprintln!", "eprint!", "dbg!", "todo!", "unimplemented!"] {
                if line.contains(word) {
                    problems.push(format!("{place}:{number}: {word}"));
                }
            }
            if line.contains("tokio::spawn") || line.contains("block_on(") {
                problems.push(format!("{place}:{number}: {line}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[cfg(test)]
mod reader {
    use super::{has_word, is_allowed, named};

    #[test]
    fn finds_what_a_line_names() {
        assert_eq!(named("use crate::model::{bar::Bar, book};"), ["model::bar::Bar", "model::book"]);
        assert_eq!(named("use crate::{market, error::Error};"), ["market", "error::Error"]);
        assert_eq!(named("let x = crate::sql::root::f(crate::market::y);"), ["sql::root::f", "market::y"]);
        assert!(named("let crater = 1;").is_empty());
        assert!(has_word("use arrow::array;", "arrow") && !has_word("let narrow = 1;", "arrow"));
        assert!(
            is_allowed("model::margin::x", &["model::margin"]) && !is_allowed("model::marginal", &["model::margin"])
        );
    }
}

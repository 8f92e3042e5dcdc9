//! What a text after FROM, or a LOCATION, names: a file, a folder, or every file that matches a pattern.
//!
//! ```text
//! 's3://bucket/dir/symbol=B*/year=2025/*.parquet'
//!   store └────┘ base└─┘ pattern └────────────────┘   symbol and year are columns
//! ```
//!
//! Patterns are expanded here, level by level, for files and buckets alike: `*`, `?`, `[…]` within a name, `**` for any
//! number of folders. What the predicates on `key=value` folders leave out is not listed.

use std::path::{Component, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::{StreamExt, TryStreamExt};
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::problem;
use crate::sql::folders::{is_hidden, key_value};
use crate::sql::nearest;

/// Requests for lists that are under way at the same time.
const CONCURRENT_LISTS: usize = 16;

/// Folders that are looked into to see what a pattern finds: the first and the last half of these.
const SAMPLED_FOLDERS: usize = 32;

/// How patterns match: within one name, and never a hidden file.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Query parameters of URLs that are signatures, keys or tokens.
const SECRET_PARAMETERS: &[&str] = &["signature", "credential", "token", "sig", "key", "secret", "password"];

/// What kind of store a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Bucket,
    Web,
}

/// A file, a folder, or a pattern of files.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As the user wrote it.
    shown: String,
    pub(super) kind: Kind,
    pub(super) store_url: ObjectStoreUrl,
    /// The file, the folder, or the folder above the pattern.
    base: Path,
    /// The segments from the first with a wildcard.
    pattern: Vec<String>,
    is_folder: bool,
    /// Where what the user wrote begins in `base`: folders above it are not columns.
    written_from: usize,
}

/// Columns that folders' names hold, in the order of the folders.
pub(super) type Keys = Vec<(String, String)>;

/// Whether folders with these keys are wanted.
pub(super) type Wanted<'a> = &'a (dyn Fn(&Keys) -> Result<bool> + Send + Sync);

impl Place {
    /// Reads a text. None if it is not clearly a file, a folder or a URL, so that it may be a table.
    ///
    /// # Errors
    /// It is one, and cannot be read.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        match text.split_once("://") {
            Some(("s3", rest)) => Self::in_bucket(text, rest).map(Some),
            Some(("http" | "https", _)) => Self::on_the_web(text).map(Some),
            Some(("file", _)) => {
                let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                let path =
                    path.ok_or_else(|| problem(format!("'{text}' is not a path; write 'file:///folder/file'")))?;
                let mut path = path.display().to_string();
                if text.ends_with('/') && !path.ends_with('/') {
                    path.push('/');
                }
                Self::local(text, &path).map(Some)
            }
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Err(problem(format!(
                "cannot read '{}': known are s3://, https://, http:// and files",
                without_secrets(text)
            ))),
            _ if looks_like_a_file(text) => Self::local(text, text).map(Some),
            _ => Ok(None),
        }
    }

    fn in_bucket(text: &str, rest: &str) -> Result<Self> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let wrong = |why: String| problem(format!("'{}' is not a place in a bucket: {why}", without_secrets(text)));
        if bucket.is_empty() || bucket.contains(['@', '?', '#', '*']) {
            return Err(wrong("write s3://bucket/folder/ or s3://bucket/folder/file.parquet".to_owned()));
        }
        let (fixed, pattern) = split_at_wildcard(key);
        let base = Path::parse(fixed.join("/")).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            shown: text.to_owned(),
            kind: Kind::Bucket,
            store_url: ObjectStoreUrl::parse(format!("s3://{bucket}")).map_err(|error| wrong(error.to_string()))?,
            base,
            pattern,
            is_folder: key.is_empty() || key.ends_with('/'),
            written_from: 0,
        })
    }

    fn on_the_web(text: &str) -> Result<Self> {
        let shown = without_secrets(text);
        let wrong = |why: &str| problem(format!("cannot read '{shown}': {why}"));
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a URL with a user or a password is not supported"));
        }
        if url.query().is_some() {
            return Err(wrong("a URL with a query, such as a signed one, is not supported"));
        }
        if text.ends_with('/') || has_wildcard(text) {
            return Err(wrong("files on the web cannot be listed; name one file"));
        }
        Ok(Self {
            kind: Kind::Web,
            store_url: ObjectStoreUrl::parse(url.origin().ascii_serialization())?,
            base: Path::from_url_path(url.path()).map_err(|error| wrong(&error.to_string()))?,
            pattern: Vec::new(),
            is_folder: false,
            written_from: 0,
            shown,
        })
    }

    fn local(text: &str, path: &str) -> Result<Self> {
        let wrong = |why: String| problem(format!("'{text}' is not a path: {why}"));
        let path = match (path.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest).display().to_string(),
            _ => path.to_owned(),
        };
        // A file may be named like a pattern.
        let (fixed, pattern) = if std::path::Path::new(&path).exists() {
            (path.split('/').collect(), Vec::new())
        } else {
            split_at_wildcard(&path)
        };
        let joined = fixed.join("/");
        let named = match (joined.is_empty(), path.starts_with('/')) {
            (false, _) => joined,
            (true, true) => "/".to_owned(),
            (true, false) => ".".to_owned(),
        };
        let absolute = absolute(&named).map_err(|error| wrong(error.to_string()))?;
        let base = Path::from_absolute_path(&absolute).map_err(|error| wrong(error.to_string()))?;
        let written = fixed.iter().filter(|segment| !matches!(**segment, "" | "." | "..")).count();
        Ok(Self {
            shown: text.to_owned(),
            kind: Kind::Local,
            store_url: ObjectStoreUrl::local_filesystem(),
            is_folder: pattern.is_empty() && (path.ends_with('/') || absolute.is_dir()),
            written_from: base.parts().count().saturating_sub(written),
            base,
            pattern,
        })
    }

    /// The file, the folder, or the folder above the pattern.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// As the user wrote it, without secrets.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A file below it, as the user would name it from there.
    pub(super) fn relative(&self, location: &Path) -> String {
        match location.prefix_match(&self.base) {
            Some(segments) => segments.map(|segment| segment.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
            None => location.to_string(),
        }
    }

    /// Whether it says by wildcards which files it means.
    pub(super) fn is_pattern(&self) -> bool {
        !self.pattern.is_empty()
    }

    /// Whether it is everything below a folder.
    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Looks whether a name without a `/` at its end is a file or a folder: first for what its ending suggests.
    pub(super) async fn resolve(mut self, store: &Arc<dyn ObjectStore>) -> Result<Self> {
        if self.is_folder || self.is_pattern() {
            return Ok(self);
        }
        let may_be_folder = self.kind == Kind::Bucket;
        let looks_like_folder = may_be_folder && Ending::of(&self.shown).is_none();
        if looks_like_folder && self.is_folder_in(store).await? {
            self.is_folder = true;
            return Ok(self);
        }
        match store.head(&self.base).await {
            Ok(_) => Ok(self),
            Err(object_store::Error::NotFound { .. }) => {
                if may_be_folder && !looks_like_folder && self.is_folder_in(store).await? {
                    self.is_folder = true;
                    return Ok(self);
                }
                Err(self.absent(store).await)
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn is_folder_in(&self, store: &Arc<dyn ObjectStore>) -> Result<bool> {
        Ok(store.list(Some(&self.base)).try_next().await.map_err(store_error)?.is_some())
    }

    /// The keys in the names of the folders above a file.
    pub(super) fn keys_of_file(&self, location: &Path) -> Keys {
        let mut segments: Vec<_> = location.parts().skip(self.written_from).collect();
        segments.pop();
        segments.iter().filter_map(|segment| key(segment.as_ref())).collect()
    }

    fn keys_of_folder(&self, folder: &Path) -> Keys {
        folder.parts().skip(self.written_from).filter_map(|segment| key(segment.as_ref())).collect()
    }

    /// Some of the files, enough to see what they are: all of them if they are few.
    pub(super) async fn sample(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<ObjectMeta>> {
        self.walk(store, Some(1000), None).await
    }

    /// The files, by their paths, without those in folders that are not wanted.
    ///
    /// Without predicates on folders it is one request for a thousand files; with them, one request for each folder that
    /// may hold wanted ones.
    pub(super) async fn list(
        &self,
        store: &Arc<dyn ObjectStore>,
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<ObjectMeta>> {
        let mut files = self.walk(store, None, wanted).await?;
        if let Some(wanted) = wanted {
            let mut kept = Vec::with_capacity(files.len());
            for file in files {
                if wanted(&self.keys_of_file(&file.location))? {
                    kept.push(file);
                }
            }
            files = kept;
        }
        Ok(files)
    }

    /// Up to a thousand of the files below a folder, of whatever kind.
    pub(super) async fn all_below(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<ObjectMeta>> {
        store.list(Some(&self.base)).take(1000).try_collect().await.map_err(store_error)
    }

    async fn walk(
        &self,
        store: &Arc<dyn ObjectStore>,
        most: Option<usize>,
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<ObjectMeta>> {
        if !self.is_folder && !self.is_pattern() {
            let file = store.head(&self.base).await.map_err(store_error)?;
            return Ok(vec![file]);
        }
        let everything = ["**".to_owned(), "*".to_owned()];
        let pattern: &[String] = if self.is_folder { &everything } else { &self.pattern };
        let whole = Pattern::new(&pattern.join("/")).map_err(|error| self.bad_pattern(&error))?;
        let matches = |location: &Path| self.matches(&whole, location);
        let mut folders = vec![self.base.clone()];
        let mut files = Vec::new();
        let mut rest = pattern;
        while let Some((segment, more)) = rest.split_first() {
            if more.is_empty() {
                for listed in self.look_into(store, folders).await? {
                    files.extend(listed.objects);
                }
                break;
            }
            if !has_wildcard(segment) {
                folders = folders.iter().map(|folder| self.inside(folder, segment)).collect::<Result<Vec<Path>>>()?;
            } else if segment == "**" || (wanted.is_none() && is_anything(segment)) {
                files = self.everything_below(store, folders, most, wanted).await?;
                break;
            } else {
                let segment = Pattern::new(segment).map_err(|error| self.bad_pattern(&error))?;
                let mut below = Vec::new();
                for listed in self.look_into(store, folders).await? {
                    let named = |folder: &Path| folder.filename().is_some_and(|n| segment.matches_with(n, MATCHING));
                    below.extend(listed.common_prefixes.into_iter().filter(named));
                }
                folders = below;
            }
            if let Some(wanted) = wanted {
                folders = self.wanted(folders, wanted)?;
            }
            if most.is_some() && folders.len() > SAMPLED_FOLDERS {
                folders.drain(SAMPLED_FOLDERS / 2..folders.len() - SAMPLED_FOLDERS / 2);
            }
            rest = more;
        }
        files.retain(|file| matches(&file.location));
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(files)
    }

    /// A folder in another, by its name as the user wrote it.
    fn inside(&self, folder: &Path, name: &str) -> Result<Path> {
        // Joining would encode what is listed as it is.
        Path::parse(format!("{folder}/{name}"))
            .map_err(|_| problem(format!("'{}' is not a pattern: '{name}' is not the name of a folder", self.shown)))
    }

    async fn look_into(&self, store: &Arc<dyn ObjectStore>, folders: Vec<Path>) -> Result<Vec<ListResult>> {
        futures::stream::iter(folders)
            .map(|folder| async move { store.list_with_delimiter(Some(&folder)).await })
            .buffered(CONCURRENT_LISTS)
            .try_collect()
            .await
            .map_err(store_error)
    }

    async fn everything_below(
        &self,
        store: &Arc<dyn ObjectStore>,
        folders: Vec<Path>,
        most: Option<usize>,
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<ObjectMeta>> {
        let mut files = Vec::new();
        let mut whole = Vec::new();
        match wanted {
            None => whole = folders,
            // Folders named key=value are looked at one by one, as long as there are any.
            Some(wanted) => {
                let mut level = folders;
                while !level.is_empty() {
                    let mut below = Vec::new();
                    for listed in self.look_into(store, level).await? {
                        files.extend(listed.objects);
                        let (keyed, plain): (Vec<_>, Vec<_>) = listed
                            .common_prefixes
                            .into_iter()
                            .partition(|folder| folder.filename().is_some_and(|name| key(name).is_some()));
                        whole.extend(plain);
                        below.extend(keyed);
                    }
                    level = self.wanted(below, wanted)?;
                }
            }
        }
        let most = most.unwrap_or(usize::MAX);
        let mut listed = futures::stream::iter(whole)
            .map(|folder| async move { store.list(Some(&folder)).take(most).try_collect::<Vec<ObjectMeta>>().await })
            .buffered(CONCURRENT_LISTS);
        while let Some(mut found) = listed.try_next().await.map_err(store_error)? {
            files.append(&mut found);
            if files.len() >= most {
                break;
            }
        }
        Ok(files)
    }

    fn wanted(&self, folders: Vec<Path>, wanted: Wanted<'_>) -> Result<Vec<Path>> {
        let mut kept = Vec::with_capacity(folders.len());
        for folder in folders {
            if wanted(&self.keys_of_folder(&folder))? {
                kept.push(folder);
            }
        }
        Ok(kept)
    }

    fn matches(&self, pattern: &Pattern, location: &Path) -> bool {
        let relative = self.relative(location);
        if self.is_folder && relative.split('/').any(is_hidden) {
            return false;
        }
        pattern.matches_with(&relative, MATCHING)
    }

    fn bad_pattern(&self, error: &glob::PatternError) -> DataFusionError {
        problem(format!("'{}' is not a pattern: {}", self.shown, error.msg))
    }

    /// Says that there is nothing to read, and what there is instead.
    pub(super) async fn absent(&self, store: &Arc<dyn ObjectStore>) -> DataFusionError {
        let shown = &self.shown;
        if self.is_folder || self.is_pattern() {
            let found = match self.all_below(store).await {
                Ok(found) => found,
                Err(error) => return error,
            };
            let is_missing = self.kind == Kind::Local && !PathBuf::from(format!("/{}", self.base)).exists();
            let holds = match found.is_empty() {
                true => "holds no files".to_owned(),
                false => format!("holds only {}", endings(found.iter().filter_map(|file| file.location.filename()))),
            };
            if self.is_folder {
                return problem(match is_missing {
                    true => format!("folder '{shown}' does not exist{}", self.near(store).await),
                    false => format!("folder '{shown}' {holds}; looked for {}", known_endings()),
                });
            }
            let wildcard = shown.find(['*', '?', '[']).unwrap_or(shown.len());
            let folder = match shown[..wildcard].rfind('/') {
                Some(slash) => format!("folder '{}'", &shown[..=slash]),
                None => "this folder".to_owned(),
            };
            let holds = if is_missing { "does not exist".to_owned() } else { holds.replace("only ", "") };
            return problem(format!("no file matches '{shown}': {folder} {holds}"));
        }
        let what = if self.kind == Kind::Local { "file " } else { "" };
        problem(format!("{what}'{shown}' does not exist{}", self.near(store).await))
    }

    /// Suggests what is beside the missing file and is named much like it.
    async fn near(&self, store: &Arc<dyn ObjectStore>) -> String {
        let Some(name) = self.base.filename() else { return String::new() };
        let parent: Path = self.base.parts().take(self.base.parts().count().saturating_sub(1)).collect();
        let names: Vec<String> = match self.kind {
            Kind::Web => return String::new(),
            Kind::Local => std::fs::read_dir(format!("/{parent}"))
                .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
                .unwrap_or_default(),
            Kind::Bucket => {
                // The first page is enough for a suggestion.
                let listed = store.list(Some(&parent)).take(1000).try_collect::<Vec<_>>().await.unwrap_or_default();
                let below = |file: &ObjectMeta| {
                    let mut relative = file.location.prefix_match(&parent)?;
                    relative.next().map(|segment| segment.as_ref().to_owned())
                };
                listed.iter().filter_map(below).collect()
            }
        };
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => {
                let folder = self.shown.trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
                let slash = if folder.is_empty() { "" } else { "/" };
                format!(", did you mean '{folder}{slash}{near}'?")
            }
            None => String::new(),
        }
    }
}

fn store_error(error: object_store::Error) -> DataFusionError {
    DataFusionError::ObjectStore(Box::new(error))
}

/// Reads `symbol=BTCUSDT`.
fn key(segment: &str) -> Option<(String, String)> {
    key_value(segment).map(|(name, value)| (name.to_owned(), value))
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a segment leaves nothing out, so that one long list is cheaper than a short one for each folder.
fn is_anything(segment: &str) -> bool {
    segment == "*" || segment.split_once('=').is_some_and(|(name, value)| value == "*" && !has_wildcard(name))
}

fn split_at_wildcard(path: &str) -> (Vec<&str>, Vec<String>) {
    let segments: Vec<&str> = path.split('/').collect();
    match segments.iter().position(|segment| has_wildcard(segment)) {
        Some(first) => (segments[..first].to_vec(), segments[first..].iter().map(|s| (*s).to_owned()).collect()),
        None => (segments, Vec::new()),
    }
}

/// The path from the root, without `.` and `..`.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    if let Ok(found) = std::fs::canonicalize(path) {
        return Ok(found);
    }
    let mut plain = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

fn looks_like_a_file(text: &str) -> bool {
    text.contains('/') || Ending::of(text).is_some() || std::path::Path::new(text).exists()
}

/// What the ending of a file's name says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ending {
    /// The engine's name of the format.
    pub(super) format: &'static str,
    pub(super) is_tabbed: bool,
    /// The engine's name of the compression.
    pub(super) compression: Option<&'static str>,
}

const FORMATS: &[(&str, &str, bool)] = &[
    (".parquet", "parquet", false),
    (".csv", "csv", false),
    (".tsv", "csv", true),
    (".json", "json", false),
    (".ndjson", "json", false),
    (".jsonl", "json", false),
    (".arrow", "arrow", false),
];

const COMPRESSIONS: &[(&str, &str)] = &[(".gz", "gzip"), (".zst", "zstd"), (".bz2", "bzip2"), (".xz", "xz")];

impl Ending {
    /// None if it says nothing.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (name, compression) = COMPRESSIONS
            .iter()
            .find_map(|(ending, compression)| Some((name.strip_suffix(ending)?.to_owned(), Some(*compression))))
            .unwrap_or((name, None));
        let (_, format, is_tabbed) = FORMATS.iter().find(|(ending, ..)| name.ends_with(ending))?;
        // These compress within.
        if compression.is_some() && matches!(*format, "parquet" | "arrow") {
            return None;
        }
        Some(Self { format, is_tabbed: *is_tabbed, compression })
    }
}

pub(super) fn known_endings() -> String {
    let endings: Vec<&str> = FORMATS.iter().map(|(ending, ..)| *ending).collect();
    endings.join(", ")
}

/// `.csv (3), .txt (1)`.
pub(super) fn endings<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for name in names {
        let ending = name.find('.').filter(|dot| *dot > 0).map_or("files without an ending", |dot| &name[dot..]);
        *counts.entry(ending.to_owned()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(ending, count)| format!("{ending} ({count})")).collect();
    match counts.len() {
        0..=6 => counts.join(", "),
        more => format!("{} and {} more endings", counts[..5].join(", "), more - 5),
    }
}

/// Where the user and the password of a URL end, of what follows its `://`, without the query.
///
/// A password that is not written as it should be may hold a slash: what looks like a port and is no number is one.
fn end_of_user(place: &str) -> Option<usize> {
    let host = place.split('/').next().unwrap_or_default();
    let odd_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
    match odd_port {
        true => place.rfind('@'),
        false => host.rfind('@'),
    }
}

/// The password and the signatures in a URL: what must neither be shown nor kept.
pub(crate) fn secrets_in_url(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("://") else { return Vec::new() };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut secrets = Vec::new();
    if let Some(end) = end_of_user(place) {
        let user = &place[..end];
        secrets.push(user.split_once(':').map_or(user, |(_, password)| password).to_owned());
    }
    for parameter in query.split(['&', '#']) {
        if let Some((name, value)) = parameter.split_once('=') {
            let name = name.to_ascii_lowercase();
            if SECRET_PARAMETERS.iter().any(|secret| name.contains(secret)) {
                secrets.push(value.to_owned());
            }
        }
    }
    secrets.retain(|secret| !secret.is_empty());
    secrets
}

/// A text without the user, the password and the query of the URLs in it.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | ')')).unwrap_or(after.len());
        let (url, remainder) = after.split_at(end);
        let (place, query) = url.split_once('?').map_or((url, false), |(place, _)| (place, true));
        match end_of_user(place) {
            Some(end) => {
                shown.push_str("***");
                shown.push_str(&place[end..]);
            }
            None => shown.push_str(place),
        }
        if query {
            shown.push_str("?***");
        }
        rest = remainder;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).expect("readable").expect("a place")
    }

    fn refused(text: &str) -> String {
        Place::parse(text).expect_err("not readable").message().into_owned()
    }

    #[test]
    fn names_of_tables_are_not_places() {
        for name in ["candles", "no_such_table", "a.b", "no*such"] {
            assert!(Place::parse(name).expect("fine").is_none(), "{name}");
        }
        for name in ["x.csv", "x.ndjson.zst", "dir/x", "./x", "s3://b/x", "https://h/x.parquet", "*.parquet"] {
            assert!(Place::parse(name).expect("fine").is_some(), "{name}");
        }
    }

    #[test]
    fn a_place_is_a_store_a_base_and_a_pattern() {
        let bucket = place("s3://bucket/dir/symbol=B*/year=2025/*.parquet");
        assert_eq!(bucket.store_url.as_str(), "s3://bucket/");
        assert_eq!(
            (bucket.base.as_ref(), bucket.pattern.join("/")),
            ("dir", "symbol=B*/year=2025/*.parquet".to_owned())
        );
        assert!(!bucket.is_folder());
        assert!(place("s3://bucket").is_folder() && place("s3://bucket/dir/").is_folder());
        assert!(!place("s3://bucket/dir").is_folder());
        let web = place("https://host:8443/a%20b/x.parquet");
        assert_eq!((web.store_url.as_str(), web.base.as_ref()), ("https://host:8443/", "a b/x.parquet"));
        let here = std::env::current_dir().and_then(std::fs::canonicalize).expect("a folder");
        assert_eq!(format!("/{}", place("src/../src/*.parquet").base), here.join("src").display().to_string());
    }

    #[test]
    fn folders_named_by_the_user_are_columns() {
        let place = place("no-such/symbol=B*/year=2025/*.parquet");
        let file = place.base.clone().join("symbol=BTC").join("year=2025").join("x=1.parquet");
        let keys = [("symbol", "BTC"), ("year", "2025")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(place.keys_of_file(&file), keys);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(refused("gs://b/x").contains("known are s3://, https://, http:// and files"));
        assert!(refused("s3:///x").contains("write s3://bucket/folder/"));
        assert!(refused("https://host/dir/").contains("name one file"));
        let message = refused("https://user:hunter2@host/x.parquet");
        assert!(message.contains("'https://***@host/x.parquet'") && !message.contains("hunter2"), "{message}");
        let message = refused("https://host/x.parquet?X-Amz-Signature=abc");
        assert!(message.contains("'https://host/x.parquet?***'") && !message.contains("abc"), "{message}");
    }

    #[test]
    fn endings_say_the_format() {
        let ending = |format, is_tabbed, compression| Some(Ending { format, is_tabbed, compression });
        assert_eq!(Ending::of("a/x.parquet"), ending("parquet", false, None));
        assert_eq!(Ending::of("X.TSV.GZ"), ending("csv", true, Some("gzip")));
        assert_eq!(Ending::of("x.jsonl.zst"), ending("json", false, Some("zstd")));
        assert_eq!(Ending::of("x.parquet.gz"), None);
        assert_eq!(Ending::of("x.gz"), None);
        assert_eq!(
            endings(["a.csv", "b.csv", "c", "d.tar.gz"].into_iter()),
            ".csv (2), .tar.gz (1), files without an ending (1)"
        );
    }

    #[test]
    fn secrets_of_urls_are_found_and_left_out() {
        let url = "https://u:hunter2@h/x.parquet?X-Amz-Credential=AK&X-Amz-Signature=abc&part=1";
        assert_eq!(secrets_in_url(url), ["hunter2", "AK", "abc"]);
        assert_eq!(
            without_secrets(&format!("cannot read '{url}' now")),
            "cannot read 'https://***@h/x.parquet?***' now"
        );
        let odd = "https://u:hunter2/a+b@h/x.parquet";
        assert_eq!(secrets_in_url(odd), ["hunter2/a+b"]);
        assert_eq!(without_secrets(odd), "https://***@h/x.parquet");
        for plain in ["s3://bucket/key=1/x", "http://h:9000/a@b/x", "s3://bucket/a@b/x.csv"] {
            assert!(secrets_in_url(plain).is_empty());
            assert_eq!(without_secrets(plain), plain);
        }
    }
}

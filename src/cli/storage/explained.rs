//! Errors of stores in one sentence: which bucket, which key, what happened, and what to do about it.
//!
//! ```text
//! Generic S3 error: Error performing GET http://… in 1.2s, after 3 retries … - Server returned … <?xml …><Code>SlowDown…
//!   └─► s3://bucket/key cannot be read: the server answered 503 SlowDown to all 4 tries
//! ```
//!
//! The sentence is an error of its own at the end of the chain, so that it can be found again whatever the engine wraps
//! around it. It never holds a key, a token, or the query of a URL.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use futures::StreamExt;
use futures::stream::BoxStream;
use hyper::body::Bytes;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::settings::Settings;

/// The sentence for an error of a store.
#[derive(Debug)]
struct Explained(String);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Explained {}

/// What was last said of a failed write. The engine drops the cause when the end of a file cannot be written, and calls it
/// an internal error.
static LAST_FAILED_WRITE: Mutex<Option<String>> = Mutex::new(None);

/// How that error of the engine begins.
const CAUSE_WAS_DROPPED: &str = "Error encountered while finalizing writes";

/// Forgets the failures of statements before.
pub(super) fn begin_statement() {
    *LAST_FAILED_WRITE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Finds the sentence in an error that has one somewhere in its chain.
pub(crate) fn explanation(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Explained(sentence)) = error.downcast_ref() {
            return Some(sentence.clone());
        }
        // An input error passes over what it holds.
        let held = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if let Some(Explained(sentence)) = held.and_then(|held| held.downcast_ref()) {
            return Some(sentence.clone());
        }
        if let Some(DataFusionError::Internal(message)) = error.downcast_ref()
            && message.starts_with(CAUSE_WAS_DROPPED)
        {
            return LAST_FAILED_WRITE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        next = error.source();
    }
    None
}

/// What a store is, for the sentences about it.
#[derive(Debug, Clone)]
pub(super) enum About {
    /// The files of this machine.
    Local,
    /// A bucket.
    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "made by the feature"))]
    Bucket { name: String, settings: Settings },
    /// A host on the web.
    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "made by the feature"))]
    Web { origin: String, settings: Settings },
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Reading,
    Listing,
    Writing,
    Deleting,
}

impl Doing {
    fn failed(self) -> &'static str {
        match self {
            Doing::Reading => "cannot be read",
            Doing::Listing => "cannot be listed",
            Doing::Writing => "cannot be written",
            Doing::Deleting => "cannot be deleted",
        }
    }
}

impl About {
    /// The place as a user would write it.
    fn place(&self, key: &Path, doing: Doing) -> String {
        let folder = if doing == Doing::Listing && !key.as_ref().is_empty() { "/" } else { "" };
        match self {
            About::Local => format!("'/{key}{folder}'"),
            About::Bucket { name, .. } => format!("s3://{name}/{key}{folder}"),
            About::Web { origin, .. } => format!("{origin}/{key}{folder}"),
        }
    }

    /// Puts the sentence into an error, and keeps the kinds that the engine tells apart.
    fn explain(&self, error: object_store::Error, key: &Path, doing: Doing) -> object_store::Error {
        use object_store::Error as E;
        if explanation(&error).is_some() {
            return error;
        }
        let sentence = self.sentence(&error, key, doing);
        if doing == Doing::Writing {
            *LAST_FAILED_WRITE.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.clone());
        }
        let source = Box::new(Explained(sentence));
        match error {
            E::NotFound { path, .. } => E::NotFound { path, source },
            E::AlreadyExists { path, .. } => E::AlreadyExists { path, source },
            E::Precondition { path, .. } => E::Precondition { path, source },
            E::NotModified { path, .. } => E::NotModified { path, source },
            E::PermissionDenied { path, .. } => E::PermissionDenied { path, source },
            E::Unauthenticated { path, .. } => E::Unauthenticated { path, source },
            E::NotSupported { .. } => E::NotSupported { source },
            _ => E::Generic { store: "store", source },
        }
    }

    fn sentence(&self, error: &object_store::Error, key: &Path, doing: Doing) -> String {
        let place = self.place(key, doing);
        let cause = match self {
            About::Local => local_cause(error),
            About::Bucket { name, settings } => match answer::cause(error, settings, Some(name)) {
                answer::Cause::Bucket(what) => return format!("s3://{name}: {what}"),
                answer::Cause::Absent if doing != Doing::Writing => return format!("{place} does not exist"),
                answer::Cause::Absent => "the bucket or the key does not exist".to_owned(),
                answer::Cause::Other(cause) => cause,
            },
            About::Web { settings, .. } => match answer::cause(error, settings, None) {
                answer::Cause::Absent => return format!("{place} does not exist (404)"),
                answer::Cause::Bucket(cause) | answer::Cause::Other(cause) => cause,
            },
        };
        match (self, error) {
            (About::Local, object_store::Error::NotFound { .. }) => format!("{place} does not exist"),
            _ => format!("{place} {}: {cause}", doing.failed()),
        }
    }
}

/// What the operating system said.
fn local_cause(error: &object_store::Error) -> String {
    let innermost = innermost(error);
    match innermost.downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => innermost.to_string(),
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// What a server answered, or why it did not.
#[cfg(feature = "s3")]
mod answer {
    use std::error::Error;

    use object_store::client::{HttpError, HttpErrorKind};

    use super::innermost;
    use crate::cli::storage::patience::Silence;
    use crate::cli::storage::settings::Settings;

    /// What went wrong.
    pub(super) enum Cause {
        /// The place is not there.
        Absent,
        /// It is about the bucket, whatever the key.
        Bucket(String),
        /// A cause after a colon.
        Other(String),
    }

    /// Whether the server answered that it will not.
    pub(super) fn is_refusal(error: &object_store::Error) -> bool {
        matches!(status(&error.to_string()), Some("400" | "401" | "403"))
    }

    /// Reads the chain of an error. The client offers the kind of a failed connection as a type, what the server
    /// answered only as text.
    pub(super) fn cause(error: &object_store::Error, settings: &Settings, bucket: Option<&str>) -> Cause {
        // Two errors in one: where it was, and what the outer one says of the inner.
        let text = error.to_string();
        let tries = tries(&text);
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(silence) = error.downcast_ref::<Silence>() {
                return Cause::Other(format!("{silence}{}", counted(tries)));
            }
            next = error.source();
        }
        if let Some(status) = status(&text) {
            return answered(error, status, &text, tries, settings, bucket);
        }
        if text.contains("redirect without LOCATION") {
            return Cause::Bucket(elsewhere(None, settings));
        }
        Cause::Other(unanswered(error, &text, tries, settings))
    }

    fn answered(
        error: &object_store::Error,
        status: &str,
        text: &str,
        tries: usize,
        settings: &Settings,
        bucket: Option<&str>,
    ) -> Cause {
        let code = element(text, "Code").unwrap_or_default();
        let server = || format!("the server '{}'", settings.endpoint());
        match (status, code) {
            (_, "NoSuchBucket") => Cause::Bucket(format!("there is no such bucket at '{}'", settings.endpoint())),
            ("404", _) => Cause::Absent,
            (_, "InvalidAccessKeyId") => Cause::Other(format!(
                "{} does not know the access key ({status} {code}); check AWS_ACCESS_KEY_ID",
                server()
            )),
            (_, "SignatureDoesNotMatch") => Cause::Other(format!(
                "the secret key does not belong to the access key ({status} {code}); check AWS_SECRET_ACCESS_KEY"
            )),
            (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => Cause::Other(format!(
                "the session token has expired or is wrong ({status} {code}); renew AWS_SESSION_TOKEN"
            )),
            (_, "RequestTimeTooSkewed") => {
                Cause::Other(format!("the clock of this machine is wrong ({status} {code})"))
            }
            (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException")
            | ("301" | "307", _)
                if bucket.is_some() =>
            {
                Cause::Bucket(elsewhere(element(text, "Region"), settings))
            }
            ("403", "" | "AccessDenied") if bucket.is_some() => Cause::Other(format!(
                "access denied ({}); the keys are wrong or may not do this",
                if code.is_empty() { "403" } else { "403 AccessDenied" }
            )),
            ("401" | "403", "") => Cause::Other(format!("access denied ({status})")),
            (status, code) => {
                let code = if code.is_empty() { String::new() } else { format!(" {code}") };
                let said = match element(text, "Message") {
                    Some(message) if !status.starts_with('5') => format!(": {}", hidden(message, settings)),
                    _ => String::new(),
                };
                let times = match tries {
                    _ if matches!(error, object_store::Error::NotSupported { .. }) => String::new(),
                    1 => String::new(),
                    tries => format!(" to all {tries} tries"),
                };
                Cause::Other(format!("the server answered {status}{code}{times}{said}"))
            }
        }
    }

    /// The bucket is in another region.
    fn elsewhere(region: Option<&str>, settings: &Settings) -> String {
        let is = region.map_or_else(|| "another region".to_owned(), |region| format!("the region '{region}'"));
        format!("the bucket is in {is}, not in '{}'; set AWS_REGION", settings.region())
    }

    fn unanswered(error: &object_store::Error, text: &str, tries: usize, settings: &Settings) -> String {
        let tried = counted(tries);
        let last = innermost(error);
        let mut kind = None;
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = next {
            kind = kind.or_else(|| error.downcast_ref::<HttpError>().map(HttpError::kind));
            next = error.source();
        }
        let chain = chain(error);
        let says = |words: &[&str]| words.iter().any(|word| chain.contains(word));
        let host = host_of(text).unwrap_or_else(|| settings.endpoint());
        if says(&["dns error", "failed to lookup address", "Name or service not known"]) {
            return format!("the host of '{host}' is not found{tried}");
        }
        if says(&[
            "certificate",
            "CertificateRequired",
            "UnknownIssuer",
            "InvalidContentType",
            "received corrupt message",
        ]) {
            return format!("no secure connection to '{host}': {}{tried}", hidden(&last.to_string(), settings));
        }
        if let Some(error) = last.downcast_ref::<std::io::Error>() {
            match error.kind() {
                std::io::ErrorKind::ConnectionRefused => return format!("'{host}' refuses connections{tried}"),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                    return format!("'{host}' broke the connection off{tried}");
                }
                _ => {}
            }
        }
        match kind {
            Some(HttpErrorKind::Timeout | HttpErrorKind::Connect) if says(&["timed out", "deadline has elapsed"]) => {
                format!("no connection to '{host}' within {:?}{tried}", settings.connect_timeout)
            }
            _ if says(&["end of file before message length", "IncompleteMessage", "incomplete message"]) => {
                format!("the answer was cut short{tried}")
            }
            _ if says(&["message completed", "closed before message"]) => {
                format!("'{host}' broke the connection off{tried}")
            }
            _ => format!("{}{tried}", hidden(&last.to_string(), settings)),
        }
    }

    fn chain(error: &(dyn Error + 'static)) -> String {
        let mut words = String::new();
        let mut next = Some(error);
        while let Some(error) = next {
            words.push_str(&error.to_string());
            words.push('\n');
            next = error.source();
        }
        words
    }

    /// `403` of `… status code: 403 Forbidden: …`.
    fn status(text: &str) -> Option<&str> {
        let (_, after) = text.split_once("status code: ")?;
        let status = after.get(..3)?;
        status.bytes().all(|byte| byte.is_ascii_digit()).then_some(status)
    }

    /// `SlowDown` of `<Code>SlowDown</Code>`.
    fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        let (content, _) = after.split_once("</")?;
        (content.len() <= 300).then_some(content.trim())
    }

    /// How often it was tried, of `…, after 3 retries, …`.
    fn tries(text: &str) -> usize {
        let retries = text.split_once(", after ").and_then(|(_, after)| after.split_once(" retries"));
        retries.and_then(|(number, _)| number.parse::<usize>().ok()).map_or(1, |retries| retries + 1)
    }

    fn counted(tries: usize) -> String {
        if tries > 1 { format!(" ({tries} tries)") } else { String::new() }
    }

    /// `http://host:9000` of the URL in the text.
    fn host_of(text: &str) -> Option<String> {
        let start = text.find("http://").or_else(|| text.find("https://"))?;
        let url = url::Url::parse(text[start..].split_whitespace().next()?).ok()?;
        Some(url.origin().ascii_serialization())
    }

    fn hidden(text: &str, settings: &Settings) -> String {
        settings.secrets().iter().fold(super::super::place::without_secrets(text), |text, secret| {
            if secret.is_empty() { text } else { text.replace(secret, "***") }
        })
    }
}

#[cfg(not(feature = "s3"))]
mod answer {
    use crate::cli::storage::settings::Settings;

    pub(super) enum Cause {
        #[allow(dead_code, reason = "the feature tells causes apart")]
        Absent,
        #[allow(dead_code, reason = "the feature tells causes apart")]
        Bucket(String),
        Other(String),
    }

    pub(super) fn is_refusal(_: &object_store::Error) -> bool {
        false
    }

    pub(super) fn cause(error: &object_store::Error, _: &Settings, _: Option<&str>) -> Cause {
        Cause::Other(error.to_string())
    }
}

/// A store whose errors are sentences.
#[derive(Debug)]
pub(super) struct Explaining {
    inner: Arc<dyn ObjectStore>,
    about: Arc<About>,
}

impl Explaining {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, about: About) -> Self {
        Self { inner, about: Arc::new(about) }
    }

    fn explain<T>(&self, result: Result<T>, key: &Path, doing: Doing) -> Result<T> {
        result.map_err(|error| self.about.explain(error, key, doing))
    }

    fn explain_each<T: Send + 'static>(
        &self,
        items: BoxStream<'static, Result<T>>,
        key: Path,
        doing: Doing,
    ) -> BoxStream<'static, Result<T>> {
        let about = Arc::clone(&self.about);
        items.map(move |item| item.map_err(|error| about.explain(error, &key, doing))).boxed()
    }

    /// What is on the web can be read, and nothing else.
    fn refuse(&self, key: &Path, doing: Doing) -> Result<()> {
        let About::Web { .. } = self.about.as_ref() else { return Ok(()) };
        let why = if doing == Doing::Listing { "name one file" } else { "http and https are only read" };
        let sentence = format!("{} {}: {why}", self.about.place(key, doing), doing.failed());
        Err(object_store::Error::NotSupported { source: Box::new(Explained(sentence)) })
    }
}

impl fmt::Display for Explaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.about.as_ref() {
            About::Local => f.write_str("files"),
            About::Bucket { name, .. } => write!(f, "s3://{name}"),
            About::Web { origin, .. } => f.write_str(origin),
        }
    }
}

#[async_trait]
impl ObjectStore for Explaining {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.refuse(location, Doing::Writing)?;
        self.explain(self.inner.put_opts(location, payload, options).await, location, Doing::Writing)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refuse(location, Doing::Writing)?;
        let upload = self.inner.put_multipart_opts(location, options).await;
        let inner = self.explain(upload, location, Doing::Writing)?;
        Ok(Box::new(ExplainingUpload { inner, about: Arc::clone(&self.about), key: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let mut result = self.inner.get_opts(location, options).await;
        // The answer to HEAD has no body that says why. Asked once more with GET, the server tells.
        if let (true, Err(error), About::Bucket { .. }) = (is_head, &result, self.about.as_ref())
            && answer::is_refusal(error)
        {
            let one_byte = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
            if let Err(error) = self.inner.get_opts(location, one_byte).await {
                result = Err(error);
            }
        }
        let mut result = self.explain(result, location, Doing::Reading)?;
        result.payload = match result.payload {
            GetResultPayload::Stream(body) => {
                GetResultPayload::Stream(self.explain_each(body, location.clone(), Doing::Reading))
            }
            file => file,
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.explain(self.inner.get_ranges(location, ranges).await, location, Doing::Reading)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.explain_each(self.inner.delete_stream(locations), Path::default(), Doing::Deleting)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.cloned().unwrap_or_default();
        match self.refuse(&key, Doing::Listing) {
            Ok(()) => self.explain_each(self.inner.list(prefix), key, Doing::Listing),
            Err(error) => futures::stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.cloned().unwrap_or_default();
        match self.refuse(&key, Doing::Listing) {
            Ok(()) => self.explain_each(self.inner.list_with_offset(prefix, offset), key, Doing::Listing),
            Err(error) => futures::stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.cloned().unwrap_or_default();
        self.refuse(&key, Doing::Listing)?;
        self.explain(self.inner.list_with_delimiter(prefix).await, &key, Doing::Listing)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.refuse(to, Doing::Writing)?;
        self.explain(self.inner.copy_opts(from, to, options).await, to, Doing::Writing)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.refuse(to, Doing::Writing)?;
        self.explain(self.inner.rename_opts(from, to, options).await, to, Doing::Writing)
    }
}

#[derive(Debug)]
struct ExplainingUpload {
    inner: Box<dyn MultipartUpload>,
    about: Arc<About>,
    key: Path,
}

#[async_trait]
impl MultipartUpload for ExplainingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let (about, key) = (Arc::clone(&self.about), self.key.clone());
        Box::pin(async move { part.await.map_err(|error| about.explain(error, &key, Doing::Writing)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.inner.complete().await;
        completed.map_err(|error| self.about.explain(error, &self.key, Doing::Writing))
    }

    async fn abort(&mut self) -> Result<()> {
        let aborted = self.inner.abort().await;
        aborted.map_err(|error| self.about.explain(error, &self.key, Doing::Writing))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn the_sentence_is_found_whatever_is_around_it() {
        let sentence = || Box::new(Explained("s3://b/k cannot be read: because".to_owned()));
        let store = || object_store::Error::Generic { store: "store", source: sentence() };
        let wrapped: Vec<DataFusionError> = vec![
            DataFusionError::ObjectStore(Box::new(store())),
            DataFusionError::from(ParquetError::External(Box::new(store()))).context("reading"),
            DataFusionError::from(std::io::Error::other(store())),
            DataFusionError::from(std::io::Error::from(store())),
            DataFusionError::External(Box::new(std::io::Error::other(*sentence()))),
            DataFusionError::from(datafusion::arrow::error::ArrowError::ExternalError(Box::new(
                DataFusionError::Shared(Arc::new(DataFusionError::ObjectStore(Box::new(store())))),
            ))),
        ];
        for error in wrapped {
            assert_eq!(explanation(&error), Some("s3://b/k cannot be read: because".to_owned()), "{error:?}");
        }
        assert_eq!(explanation(&DataFusionError::Plan("x".to_owned())), None);
    }

    #[cfg(feature = "s3")]
    #[test]
    fn answers_become_causes() {
        use crate::cli::storage::settings::Given;
        let settings = Settings::read(&Given {
            options: [("access_key_id", "AKID"), ("secret_access_key", "s3cr3t")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Given::default()
        })
        .expect("settings");
        let about = About::Bucket { name: "b".to_owned(), settings };
        let sentence = |text: &str| {
            let error = object_store::Error::Generic { store: "S3", source: text.to_owned().into() };
            about.sentence(&error, &Path::from("dir/k"), Doing::Reading)
        };
        let answer = |status: &str, code: &str| {
            format!(
                "Error performing GET https://s3/b/dir/k in 1s, after 3 retries, max_retries: 3, retry_timeout: 20s  - \
                 Server returned non-2xx status code: {status}: <Error><Code>{code}</Code><Message>AKID s3cr3t \
                 said</Message><Region>eu-9</Region></Error>"
            )
        };
        for (status, code, expected) in [
            ("403 Forbidden", "InvalidAccessKeyId", "does not know the access key (403 InvalidAccessKeyId)"),
            ("403 Forbidden", "SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"),
            ("403 Forbidden", "AccessDenied", "s3://b/dir/k cannot be read: access denied (403 AccessDenied)"),
            ("400 Bad Request", "ExpiredToken", "renew AWS_SESSION_TOKEN"),
            ("404 Not Found", "NoSuchKey", "s3://b/dir/k does not exist"),
            (
                "404 Not Found",
                "NoSuchBucket",
                "s3://b: there is no such bucket at 'https://s3.us-east-1.amazonaws.com'",
            ),
            (
                "503 Slow Down",
                "SlowDown",
                "s3://b/dir/k cannot be read: the server answered 503 SlowDown to all 4 tries",
            ),
            (
                "400 Bad Request",
                "AuthorizationHeaderMalformed",
                "in the region 'eu-9', not in 'us-east-1'; set AWS_REGION",
            ),
            ("400 Bad Request", "Odd", "the server answered 400 Odd to all 4 tries: *** *** said"),
        ] {
            let found = sentence(&answer(status, code));
            assert!(found.contains(expected), "{found}");
            assert!(!found.contains("s3cr3t") && !found.contains("AKID"), "{found}");
        }
    }
}

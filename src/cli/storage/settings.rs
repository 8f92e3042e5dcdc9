//! How a store is reached: settings from `OPTIONS ('aws.…' '…')` and from the environment, checked before any request.
//!
//! An option wins over the environment. Every value that cannot be is an error that names where it was set, because the
//! client underneath would say "builder error", or ask an address that does not answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use datafusion::common::Result;

use super::problem;
use crate::sql::nearest;

/// A setting: the option without its `aws.`, and the variables that set it, the first of which wins.
struct Setting {
    option: &'static str,
    variables: &'static [&'static str],
}

const ACCESS_KEY_ID: Setting = Setting { option: "access_key_id", variables: &["AWS_ACCESS_KEY_ID"] };
const SECRET_ACCESS_KEY: Setting = Setting { option: "secret_access_key", variables: &["AWS_SECRET_ACCESS_KEY"] };
const SESSION_TOKEN: Setting = Setting { option: "session_token", variables: &["AWS_SESSION_TOKEN"] };
const REGION: Setting = Setting { option: "region", variables: &["AWS_REGION", "AWS_DEFAULT_REGION"] };
const ENDPOINT: Setting =
    Setting { option: "endpoint", variables: &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"] };
const ALLOW_HTTP: Setting = Setting { option: "allow_http", variables: &["AWS_ALLOW_HTTP"] };
const SKIP_SIGNATURE: Setting = Setting { option: "skip_signature", variables: &["AWS_SKIP_SIGNATURE"] };
const VIRTUAL_HOSTED: Setting =
    Setting { option: "virtual_hosted_style_request", variables: &["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] };
const MAX_RETRIES: Setting = Setting { option: "max_retries", variables: &["AWS_MAX_RETRIES"] };
const RETRY_TIMEOUT: Setting = Setting { option: "retry_timeout", variables: &["AWS_RETRY_TIMEOUT"] };
const CONNECT_TIMEOUT: Setting = Setting { option: "connect_timeout", variables: &["AWS_CONNECT_TIMEOUT"] };
const TIMEOUT: Setting = Setting { option: "timeout", variables: &["AWS_TIMEOUT"] };

const SETTINGS: &[Setting] = &[
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    REGION,
    ENDPOINT,
    ALLOW_HTTP,
    SKIP_SIGNATURE,
    VIRTUAL_HOSTED,
    MAX_RETRIES,
    RETRY_TIMEOUT,
    CONNECT_TIMEOUT,
    TIMEOUT,
];

/// Other names of options, as other programs have them.
const ALIASES: &[(&str, &str)] = &[("token", "session_token"), ("endpoint_url", "endpoint")];

/// Variables that say where keys come from when they are not given, and what a bucket needs; the client reads them.
const PASSED_ON: &[&str] = &[
    "AWS_CHECKSUM_ALGORITHM",
    "AWS_CONDITIONAL_PUT",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IMDSV1_FALLBACK",
    "AWS_METADATA_ENDPOINT",
    "AWS_REQUEST_PAYER",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_S3_EXPRESS",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_BUCKET_KEY_ENABLED",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_UNSIGNED_PAYLOAD",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Ways to get keys that are not given: one of each list is enough. Without any, the client would ask the metadata address
/// of a cloud machine, which on any other machine does not answer.
const SOURCES_OF_KEYS: &[&[&str]] = &[
    &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"],
    &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    &["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
    &["AWS_METADATA_ENDPOINT"],
];

/// The variables of the process that begin with `AWS_` and hold something.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
        .collect()
}

/// What was set, where.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// By their keys without `aws.`, in lower case.
    pub(super) options: BTreeMap<String, String>,
    /// By their names.
    pub(super) environment: BTreeMap<String, String>,
}

/// A value and where it was set, for messages.
struct Found {
    place: String,
    value: String,
}

impl Given {
    fn find(&self, setting: &Setting) -> Option<Found> {
        if let Some(value) = self.options.get(setting.option) {
            return Some(Found { place: format!("'aws.{}'", setting.option), value: value.clone() });
        }
        setting.variables.iter().find_map(|name| {
            let value = self.environment.get(*name)?.clone();
            Some(Found { place: (*name).to_owned(), value })
        })
    }

    fn text(&self, setting: &Setting) -> Option<String> {
        self.find(setting).map(|found| found.value)
    }

    fn switch(&self, setting: &Setting) -> Result<bool> {
        let Some(found) = self.find(setting) else { return Ok(false) };
        match found.value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(problem(format!("{} must be true or false, was '{}'", found.place, found.value))),
        }
    }

    fn count(&self, setting: &Setting, default: usize) -> Result<usize> {
        let Some(found) = self.find(setting) else { return Ok(default) };
        found
            .value
            .parse()
            .ok()
            .filter(|count| *count <= 100)
            .ok_or_else(|| problem(format!("{} must be a number from 0 to 100, was '{}'", found.place, found.value)))
    }

    fn duration(&self, setting: &Setting, default: Duration) -> Result<Duration> {
        let Some(found) = self.find(setting) else { return Ok(default) };
        duration(&found.value).ok_or_else(|| {
            problem(format!("{} must be a time such as '5s', '500ms' or '2m', was '{}'", found.place, found.value))
        })
    }
}

/// Reads `5s`, `500ms`, `1.5s` or `2m`; none is not a time.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|time| !time.is_zero())
}

/// How a bucket, or a file on the web, is reached.
#[derive(Clone)]
pub(super) struct Settings {
    keys: Option<Keys>,
    region: String,
    endpoint: Option<Endpoint>,
    allow_http: bool,
    skip_signature: bool,
    virtual_hosted: bool,
    pub(super) max_retries: usize,
    pub(super) retry_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    /// Where keys come from if they are not given.
    has_source_of_keys: bool,
    passed_on: Vec<(String, String)>,
}

#[derive(Clone)]
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

#[derive(Clone)]
struct Endpoint {
    url: String,
    is_plain: bool,
}

impl fmt::Debug for Settings {
    /// Without keys: what is printed for a developer is printed all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("region", &self.region).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the environment alone.
    ///
    /// # Errors
    /// See [`Settings::read`].
    pub(super) fn of_environment() -> Result<Self> {
        Self::read(&Given { options: BTreeMap::new(), environment: environment() })
    }

    /// Reads what holds for the web, too: how long it is waited for. Keys and buckets do not matter there.
    ///
    /// # Errors
    /// See [`Settings::read`].
    pub(super) fn of_the_web() -> Result<Self> {
        let patience = [MAX_RETRIES, RETRY_TIMEOUT, CONNECT_TIMEOUT, TIMEOUT];
        let mut environment = environment();
        environment.retain(|name, _| patience.iter().any(|setting| setting.variables.contains(&name.as_str())));
        Self::read(&Given { options: BTreeMap::new(), environment })
    }

    /// Reads and checks what was set.
    ///
    /// # Errors
    /// An option that does not exist, a value that cannot be, one key without the other.
    pub(super) fn read(given: &Given) -> Result<Self> {
        let mut options = BTreeMap::new();
        for (option, value) in &given.options {
            let alias = ALIASES.iter().find(|(alias, _)| alias == option);
            let name = alias.map_or(option.as_str(), |(_, name)| *name);
            if !SETTINGS.iter().any(|setting| setting.option == name) {
                return Err(unknown_option(option));
            }
            options.insert(name.to_owned(), value.clone());
        }
        let given = &Given { options, environment: given.environment.clone() };
        Ok(Self {
            keys: keys(given)?,
            region: given.text(&REGION).unwrap_or_else(|| "us-east-1".to_owned()),
            endpoint: given.find(&ENDPOINT).map(endpoint).transpose()?,
            allow_http: given.switch(&ALLOW_HTTP)?,
            skip_signature: given.switch(&SKIP_SIGNATURE)?,
            virtual_hosted: given.switch(&VIRTUAL_HOSTED)?,
            max_retries: given.count(&MAX_RETRIES, 3)?,
            retry_timeout: given.duration(&RETRY_TIMEOUT, Duration::from_secs(20))?,
            connect_timeout: given.duration(&CONNECT_TIMEOUT, Duration::from_secs(3))?,
            timeout: given.duration(&TIMEOUT, Duration::from_secs(20))?,
            has_source_of_keys: SOURCES_OF_KEYS
                .iter()
                .any(|names| names.iter().all(|name| given.environment.contains_key(*name))),
            passed_on: given
                .environment
                .iter()
                .filter(|(name, _)| PASSED_ON.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }

    /// Where the bucket's server is, for messages.
    pub(super) fn endpoint(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.url.clone(),
            None => format!("https://s3.{}.amazonaws.com", self.region),
        }
    }

    /// The region that requests are signed for.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Values that no message may repeat.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let keys = self.keys.iter();
        keys.flat_map(|keys| [Some(keys.id.as_str()), Some(&keys.secret), keys.token.as_deref()]).flatten().collect()
    }

    /// Checks what the client would stumble over much later, or wait for in vain.
    fn check(&self, bucket: &str) -> Result<()> {
        if bucket.is_empty() {
            return Err(problem("'s3://' must be followed by a bucket: s3://bucket/folder/"));
        }
        if let Some(endpoint) = &self.endpoint
            && endpoint.is_plain
            && !self.allow_http
        {
            return Err(problem(format!(
                "s3://{bucket}: the endpoint '{}' is not encrypted; to use it all the same set AWS_ALLOW_HTTP=true, or \
                 'aws.allow_http' 'true' in OPTIONS",
                endpoint.url
            )));
        }
        if self.keys.is_none() && !self.skip_signature && !self.has_source_of_keys {
            return Err(problem(format!(
                "s3://{bucket}: there are no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (~/.aws is not \
                 read), or AWS_SKIP_SIGNATURE=true for a public bucket"
            )));
        }
        Ok(())
    }
}

fn unknown_option(option: &str) -> datafusion::error::DataFusionError {
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.option).collect();
    match nearest(option, names.iter().copied()) {
        Some(near) => problem(format!("there is no option 'aws.{option}', did you mean 'aws.{near}'?")),
        None => problem(format!("there is no option 'aws.{option}': known are aws.{}", names.join(", aws."))),
    }
}

/// Both keys from the same place: a secret of the environment does not belong to an option's key.
fn keys(given: &Given) -> Result<Option<Keys>> {
    let in_options =
        [ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN].iter().any(|key| given.options.contains_key(key.option));
    let source = if in_options {
        Given { options: given.options.clone(), environment: BTreeMap::new() }
    } else {
        Given { options: BTreeMap::new(), environment: given.environment.clone() }
    };
    let name = |setting: &Setting| {
        if in_options { format!("'aws.{}'", setting.option) } else { setting.variables[0].to_owned() }
    };
    match (source.text(&ACCESS_KEY_ID), source.text(&SECRET_ACCESS_KEY), source.text(&SESSION_TOKEN)) {
        (Some(id), Some(secret), token) => Ok(Some(Keys { id, secret, token })),
        (None, None, None) => Ok(None),
        (None, None, Some(_)) => Err(problem(format!(
            "{} is set without {} and {}",
            name(&SESSION_TOKEN),
            name(&ACCESS_KEY_ID),
            name(&SECRET_ACCESS_KEY)
        ))),
        (Some(_), None, _) => {
            Err(problem(format!("{} is set without {}", name(&ACCESS_KEY_ID), name(&SECRET_ACCESS_KEY))))
        }
        (None, Some(_), _) => {
            Err(problem(format!("{} is set without {}", name(&SECRET_ACCESS_KEY), name(&ACCESS_KEY_ID))))
        }
    }
}

fn endpoint(found: Found) -> Result<Endpoint> {
    let wrong =
        |was: &str| problem(format!("{} must be a URL such as 'https://host' or 'http://host:9000'{was}", found.place));
    let url = url::Url::parse(&found.value).map_err(|_| wrong(&format!(", was '{}'", found.value)))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(", without a user or a password"));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
        return Err(wrong(&format!(", was '{}'", super::place::without_secrets(&found.value))));
    }
    Ok(Endpoint { url: found.value.trim_end_matches('/').to_owned(), is_plain: url.scheme() == "http" })
}

#[cfg(feature = "s3")]
mod client {
    use std::sync::Arc;

    use object_store::aws::AmazonS3Builder;
    use object_store::http::HttpBuilder;
    use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

    use super::*;
    use crate::cli::storage::patience::Patience;

    impl Settings {
        /// Makes the store of a bucket. No request is made.
        ///
        /// # Errors
        /// There are no keys, or the endpoint is not encrypted and need not be; see [`Settings::check`].
        pub(in crate::cli::storage) fn bucket(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
            self.check(bucket)?;
            let mut builder = AmazonS3Builder::new();
            for (name, value) in &self.passed_on {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder = builder
                .with_bucket_name(bucket)
                .with_region(&self.region)
                .with_skip_signature(self.skip_signature)
                .with_virtual_hosted_style_request(self.virtual_hosted)
                .with_client_options(self.client_options().with_allow_http(self.allow_http))
                .with_http_connector(Patience(self.timeout))
                .with_retry(self.retries());
            if let Some(endpoint) = &self.endpoint {
                builder = builder.with_endpoint(self.endpoint_of(endpoint, bucket));
            }
            if let Some(keys) = &self.keys {
                builder = builder.with_access_key_id(&keys.id).with_secret_access_key(&keys.secret);
                if let Some(token) = &keys.token {
                    builder = builder.with_token(token);
                }
            }
            let store = builder.build().map_err(|error| problem(format!("s3://{bucket}: {error}")))?;
            Ok(Arc::new(store))
        }

        /// Makes the store of a host on the web. No request is made.
        ///
        /// # Errors
        /// The host's name is not one.
        pub(in crate::cli::storage) fn web(&self, origin: &str) -> Result<Arc<dyn ObjectStore>> {
            // Who writes http:// knows that it is not encrypted.
            let store = HttpBuilder::new()
                .with_url(origin)
                .with_client_options(self.client_options().with_allow_http(true))
                .with_http_connector(Patience(self.timeout))
                .with_retry(self.retries())
                .build()
                .map_err(|error| problem(format!("{origin}: {error}")))?;
            Ok(Arc::new(store))
        }

        /// The client wants the bucket in the host's name if it is to be there; a user need not repeat it.
        fn endpoint_of(&self, endpoint: &Endpoint, bucket: &str) -> String {
            match endpoint.url.split_once("://") {
                Some((scheme, host)) if self.virtual_hosted && !host.starts_with(&format!("{bucket}.")) => {
                    format!("{scheme}://{bucket}.{host}")
                }
                _ => endpoint.url.clone(),
            }
        }

        fn client_options(&self) -> ClientOptions {
            // How long an answer takes is bounded by `Patience`.
            ClientOptions::new().with_connect_timeout(self.connect_timeout).with_timeout_disabled()
        }

        fn retries(&self) -> RetryConfig {
            RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: self.max_retries,
                retry_timeout: self.retry_timeout,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Settings> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Settings::read(&Given { options: owned(options), environment: owned(environment) })
    }

    fn refused(options: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
        read(options, environment)
            .and_then(|settings| settings.check("b"))
            .expect_err("a mistake")
            .message()
            .into_owned()
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")];

    #[test]
    fn an_option_wins_and_the_first_variable_counts() {
        let settings = read(
            &[("timeout", "500ms"), ("endpoint_url", "https://option")],
            &[
                ("AWS_TIMEOUT", "7s"),
                ("AWS_ENDPOINT", "https://c"),
                ("AWS_REGION", "eu-1"),
                ("AWS_DEFAULT_REGION", "x"),
            ],
        )
        .expect("settings");
        assert_eq!(settings.timeout, Duration::from_millis(500));
        assert_eq!((settings.endpoint().as_str(), settings.region()), ("https://option", "eu-1"));
        let settings = read(&[], &[("AWS_ENDPOINT", "https://c"), ("AWS_ENDPOINT_URL_S3", "https://a/")]);
        assert_eq!(settings.expect("settings").endpoint(), "https://a");
        let settings = read(&[], &[]).expect("settings");
        assert_eq!(settings.endpoint(), "https://s3.us-east-1.amazonaws.com");
        assert_eq!((settings.max_retries, settings.retry_timeout), (3, Duration::from_secs(20)));
    }

    #[test]
    fn mistakes_name_the_place_the_value_and_what_is_allowed() {
        for (environment, message) in [
            (("AWS_TIMEOUT", "5"), "AWS_TIMEOUT must be a time such as '5s', '500ms' or '2m', was '5'"),
            (
                ("AWS_CONNECT_TIMEOUT", "0s"),
                "AWS_CONNECT_TIMEOUT must be a time such as '5s', '500ms' or '2m', was '0s'",
            ),
            (("AWS_MAX_RETRIES", "many"), "AWS_MAX_RETRIES must be a number from 0 to 100, was 'many'"),
            (("AWS_ALLOW_HTTP", "maybe"), "AWS_ALLOW_HTTP must be true or false, was 'maybe'"),
            (
                ("AWS_ENDPOINT", "localhost:9000"),
                "AWS_ENDPOINT must be a URL such as 'https://host' or 'http://host:9000', was 'localhost:9000'",
            ),
            (("AWS_ACCESS_KEY_ID", "AK"), "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"),
            (
                ("AWS_SESSION_TOKEN", "T"),
                "AWS_SESSION_TOKEN is set without AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
        ] {
            assert_eq!(refused(&[], &[environment]), message);
        }
        assert_eq!(
            refused(&[("max_retrys", "1")], &[]),
            "there is no option 'aws.max_retrys', did you mean 'aws.max_retries'?"
        );
        assert!(refused(&[("zzz", "1")], &[]).contains("known are aws.access_key_id, aws.secret_access_key"));
        let message = refused(&[("endpoint", "https://u:hunter2@host")], &[]);
        assert!(!message.contains("hunter2") && message.contains("without a user or a password"), "{message}");
        // A secret of the environment does not complete a key of the options.
        assert_eq!(
            refused(&[("access_key_id", "x")], &KEYS),
            "'aws.access_key_id' is set without 'aws.secret_access_key'"
        );
    }

    #[test]
    fn what_would_hang_or_puzzle_is_refused_first() {
        let message = refused(&[], &[]);
        assert!(message.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{message}");
        assert!(message.contains("AWS_SKIP_SIGNATURE=true for a public bucket"), "{message}");
        let plain = [KEYS[0], KEYS[1], ("AWS_ENDPOINT", "http://127.0.0.1:9000")];
        let message = refused(&[], &plain);
        assert!(message.contains("'http://127.0.0.1:9000' is not encrypted"), "{message}");
        assert!(message.contains("AWS_ALLOW_HTTP=true"), "{message}");
        for environment in [
            vec![("AWS_SKIP_SIGNATURE", "true")],
            vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")],
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/x"), ("AWS_ROLE_ARN", "arn")],
            vec![plain[0], plain[1], plain[2], ("AWS_ALLOW_HTTP", "true")],
        ] {
            read(&[], &environment).and_then(|settings| settings.check("b")).expect("enough to begin with");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for text in ["", "5", "s", "-1s", "5 parsecs", "1e3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let settings = read(&[], &KEYS).expect("settings");
        let printed = format!("{settings:?}");
        assert!(!printed.contains("AK") && !printed.contains("SK"), "{printed}");
        assert_eq!(settings.secrets(), ["AK", "SK"]);
    }
}

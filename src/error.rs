//! The error of everything that is not a query: files, simulation, pictures.

use std::fmt;

/// What went wrong, in one line for a user.
///
/// Queries fail with DataFusion's error, because they run in its session; this type is for the rest.
#[derive(Debug)]
pub struct Error {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of a message.
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), source: None }
    }

    /// Makes an error of what was being done and what stopped it.
    pub fn because(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error { message: message.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

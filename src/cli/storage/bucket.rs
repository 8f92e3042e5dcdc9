//! A data root in a bucket, to which files are written whole.
//!
//! In: sorted files on this machine. Out: the same files below the root. A bucket shows an object once its upload is
//! complete, so nobody sees half of one; but nothing keeps two writers apart: of two that write one file at the same time
//! the later one stays.

use std::fs::File;
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

use super::place::{Kind, Place as Named};
use super::{Stores, explanation, problem};
use crate::error::{Error, Result as Outcome};
use crate::ingest::spool::Place;

/// A root in a bucket. Its methods block, and are for threads that may.
#[derive(Debug)]
pub(crate) struct BucketRoot {
    store: Arc<dyn ObjectStore>,
    root: Path,
    runtime: Handle,
}

impl BucketRoot {
    /// Takes the URL of a root; the store is made as the environment says, and nothing is asked of it.
    ///
    /// # Errors
    /// It is no place in a bucket, or the environment does not say how to reach it.
    pub(crate) fn open(url: &str, runtime: Handle) -> Result<Self> {
        let place = Named::parse(url)?.filter(|place| place.kind == Kind::Bucket && !place.is_pattern());
        let place = place.ok_or_else(|| {
            problem(format!(
                "a root must be a folder or s3://bucket/folder, was '{}'",
                super::place::without_secrets(url)
            ))
        })?;
        let store = Stores::default().get_store(place.store_url.as_ref())?;
        Ok(Self { store, root: place.base().clone(), runtime })
    }

    fn object(&self, path: &str) -> Outcome<Path> {
        let whole = if self.root.as_ref().is_empty() { path.to_owned() } else { format!("{}/{path}", self.root) };
        Path::parse(whole).map_err(|error| Error::because(path, error))
    }
}

/// The sentence of a store that explains its errors.
fn explained(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(explanation(error).unwrap_or_else(|| error.to_string()))
}

impl Place for BucketRoot {
    fn fetch(&self, path: &str, into: &FilePath) -> Outcome<Option<PathBuf>> {
        let object = self.object(path)?;
        let failed = |error: std::io::Error| Error::because(format!("writing {}", into.display()), error);
        self.runtime.block_on(async {
            let found = match self.store.get(&object).await {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(explained(&error)),
            };
            let mut file = File::create(into).map_err(failed)?;
            let mut bytes = found.into_stream();
            while let Some(part) = bytes.try_next().await.map_err(|error| explained(&error))? {
                file.write_all(&part).map_err(failed)?;
            }
            Ok(Some(into.to_owned()))
        })
    }

    fn put(&self, file: &FilePath, path: &str) -> Outcome<()> {
        let object = self.object(path)?;
        self.runtime.block_on(async {
            let failed = |error: std::io::Error| Error::because(format!("reading {}", file.display()), error);
            let mut source = tokio::fs::File::open(file).await.map_err(failed)?;
            let mut upload = BufWriter::new(Arc::clone(&self.store), object);
            let copied = match tokio::io::copy(&mut source, &mut upload).await {
                Ok(_) => upload.shutdown().await,
                Err(error) => Err(error),
            };
            copied.map_err(|error| explained(&error))
        })
    }
}

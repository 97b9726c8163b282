//! A repository in an object store of the S3 kind: no lock, no directories, only objects that are made once (`If-None-Match: *`) and,
//! for `latest` and stale signatures, replaced only if nobody else did meanwhile (`If-Match`).
//!
//! The crate underneath is asynchronous; this file is where that ends. It must never write without a condition: a store that ignores
//! conditions would let two publishers win, so it is put to the test before the first write.

use std::future::Future;
use std::io::{Read, Seek};
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion};
use proofmark_core::Digest;

use super::{Found, Lock, Stamp, Store, StoreError, Stored};
use crate::exit::IoContext;
use crate::interrupt;

/// What two writers are told apart with; its content says so.
const PROBE: &str = ".conditions";
const PROBE_TEXT: &[u8] = b"Proofmark asks for this object whether the store honours If-None-Match and If-Match.\n";

/// A repository in a bucket.
pub struct Objects {
    store: Box<dyn ObjectStore>,
    prefix: Path,
    place: String,
    runtime: tokio::runtime::Runtime,
}

impl Objects {
    /// A bucket of S3 or its like: `BUCKET/PREFIX`. Credentials, region and endpoint come from the standard `AWS_` environment variables;
    /// plain HTTP is refused unless `AWS_ALLOW_HTTP=true`.
    pub fn s3(bucket_and_prefix: &str) -> Result<Self, StoreError> {
        let (bucket, prefix) = bucket_and_prefix.split_once('/').unwrap_or((bucket_and_prefix, ""));
        let place = format!("s3://{bucket_and_prefix}");
        let unfit =
            |have: String| StoreError::Unfit { place: place.clone(), want: "s3://BUCKET or s3://BUCKET/PREFIX, and AWS_ settings", have };
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|error| unfit(error.to_string()))?;
        // One provider for the process; an error only says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() };
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        // Whatever the environment says: without conditions there is no repository.
        let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        let builder = if region.is_none() { builder.with_region("us-east-1") } else { builder };
        let store = builder.build().map_err(|error| unfit(error.to_string()))?;
        Self::new(Box::new(store), prefix, place.clone())
    }

    /// Any store of the crate that knows conditional puts.
    pub fn new(store: Box<dyn ObjectStore>, prefix: Path, place: String) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().at("start", "a runtime")?;
        Ok(Objects { store, prefix, place, runtime })
    }

    fn path(&self, path: &str) -> Path {
        path.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |whole, part| whole.join(part))
    }

    /// Waits here for what the crate does elsewhere; a signal ends the wait.
    fn wait<T>(&self, path: &str, future: impl Future<Output = Result<T, Error>>) -> Result<Result<T, Error>, StoreError> {
        self.runtime.block_on(async {
            let mut future = pin!(future);
            loop {
                match tokio::time::timeout(Duration::from_millis(100), &mut future).await {
                    Ok(Err(error @ (Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. }))) => {
                        return Ok(Err(error));
                    }
                    Ok(Err(error)) => return Err(self.failed(path, &error)),
                    Ok(done) => return Ok(done),
                    Err(_) => interrupt::check()?,
                }
            }
        })
    }

    fn failed(&self, path: &str, error: &Error) -> StoreError {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !why.contains(&text) {
                why = format!("{why}: {text}");
            }
            cause = inner.source();
        }
        StoreError::Object { path: format!("{}/{path}", self.place), why }
    }

    fn put(&self, path: &str, bytes: Vec<u8>, mode: PutMode) -> Result<bool, StoreError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.wait(path, self.store.put_opts(&self.path(path), PutPayload::from(bytes), options))? {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    /// Refuses a store that does not honour conditions: costs two small requests.
    fn check_conditions(&self) -> Result<(), StoreError> {
        let unfit = |have: &str| StoreError::Unfit {
            place: self.place.clone(),
            want: "a store that honours If-None-Match and If-Match when it writes, so that two publishers cannot both win",
            have: have.into(),
        };
        let create = || self.put(PROBE, PROBE_TEXT.to_vec(), PutMode::Create);
        if create()? && create()? {
            return Err(unfit("one that wrote over an object in spite of If-None-Match"));
        }
        if self.swap(PROBE, PROBE_TEXT, Some(&Stamp("\"00000000000000000000000000000000\"".into())))? {
            return Err(unfit("one that wrote over an object in spite of If-Match"));
        }
        Ok(())
    }
}

impl Store for Objects {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read_stamped(path, limit)?.map(|(bytes, _)| bytes))
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Stored>>, StoreError> {
        let get = async {
            let mut chunks = self.store.get(&self.path(path)).await?.into_stream();
            let mut file = tempfile::tempfile().map_err(|error| Error::Generic { store: "temporary file", source: error.into() })?;
            while let Some(chunk) = chunks.try_next().await? {
                std::io::Write::write_all(&mut file, &chunk)
                    .map_err(|error| Error::Generic { store: "temporary file", source: error.into() })?;
            }
            Ok(file)
        };
        match self.wait(path, get)? {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path, &error)),
            Ok(mut file) => {
                file.rewind().at("rewind", path)?;
                Ok(Some(Box::new(file)))
            }
        }
    }

    // In one piece: what S3 takes as one put (5 GiB) is more than a bundle may have (FORMAT.md section 10).
    fn create(&self, path: &str, content: &mut dyn Read) -> Result<bool, StoreError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).at("read", path)?;
        self.put(path, bytes, PutMode::Create)
    }

    fn read_stamped(&self, path: &str, limit: usize) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        let get = async {
            let got = self.store.get_opts(&self.path(path), GetOptions::default()).await?;
            let tag = got.meta.e_tag.clone();
            let mut bytes = Vec::new();
            let mut chunks = got.into_stream();
            while bytes.len() <= limit
                && let Some(chunk) = chunks.try_next().await?
            {
                bytes.extend_from_slice(&chunk);
            }
            bytes.truncate(limit + 1);
            Ok((bytes, tag))
        };
        match self.wait(path, get)? {
            Ok((bytes, Some(tag))) => Ok(Some((bytes, Stamp(tag)))),
            Ok((_, None)) => {
                Err(StoreError::Unfit { place: self.place(), want: "a store that gives entity tags", have: format!("none for {path}") })
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    fn swap(&self, path: &str, bytes: &[u8], stamp: Option<&Stamp>) -> Result<bool, StoreError> {
        let mode = match stamp {
            None => PutMode::Create,
            Some(Stamp(tag)) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
        };
        self.put(path, bytes.to_vec(), mode)
    }

    fn exists(&self, path: &str) -> Result<bool, StoreError> {
        match self.wait(path, self.store.head(&self.path(path)))? {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(directory);
        match self.wait(directory, self.store.list_with_delimiter(Some(&path)))? {
            Ok(listed) => {
                let objects = listed.objects.into_iter().map(|object| object.location);
                let names = objects.chain(listed.common_prefixes).filter_map(|path| path.filename().map(str::to_owned));
                let mut names: Vec<String> = names.collect();
                names.sort();
                Ok(names)
            }
            Err(error) => Err(self.failed(directory, &error)),
        }
    }

    fn walk(&self, directory: &str) -> Result<Vec<Found>, StoreError> {
        let path = self.path(directory);
        let found = self.wait(directory, self.store.list(Some(&path)).try_collect::<Vec<_>>())?;
        let mut found: Vec<Found> = found
            .map_err(|error| self.failed(directory, &error))?
            .into_iter()
            .filter_map(|object| {
                let parts: Vec<_> = object.location.prefix_match(&self.prefix)?.collect();
                let path = parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
                Some(Found { path, size: object.size, written: object.last_modified.timestamp() })
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        match self.wait(path, self.store.delete(&self.path(path)))? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    fn claim(&self, path: &str, digest: Digest) -> Result<Option<String>, StoreError> {
        let (claim, line) = (format!("{path}.claim"), format!("{digest}\n"));
        if self.put(&claim, line.clone().into_bytes(), PutMode::Create)? {
            return Ok(None);
        }
        let there = self.read(&claim, line.len())?.unwrap_or_default();
        Ok((there != line.as_bytes()).then(|| String::from_utf8_lossy(&there).trim_end().to_owned()))
    }

    fn lock(&self) -> Result<Box<dyn Lock>, StoreError> {
        self.check_conditions()?;
        Ok(Box::new(NoLock))
    }
}

/// Nobody is kept away: conditions decide who wins.
struct NoLock;
impl Lock for NoLock {}

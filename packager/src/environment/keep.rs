//! What is made of a locked environment and of nothing else, and therefore only once: the library of the deterministic machine, what rustc
//! says of a target. It must never keep what depends on a host.

use std::fs;

use super::TIME;
use super::cache::Cache;
use super::error::EnvironmentError;
use super::tree::Seal;
use crate::exit::IoContext;
use crate::{digest, files};

/// Keeps what is a function of an environment that is all layers, so that it is made once; makes it anew where a part of it is the host's.
#[derive(Debug)]
pub struct Keep<'a> {
    pub(super) cache: &'a Cache,
    /// Digest of the lock, if it is all layers.
    pub(super) lock: Option<String>,
}

impl Keep<'_> {
    /// The bytes that `make` makes, called `title`, of this environment and of `recipe` alone.
    pub fn derived<E: From<EnvironmentError>>(
        &self,
        title: &str,
        recipe: &str,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let Some(lock) = &self.lock else { return make() };
        let name = digest::sha256(format!("proofmark derived 1\n{lock}\n{title}\n{recipe}").as_bytes());
        if let Some(files) = self.cache.tree(&name)? {
            let path = files.join("made");
            return Ok(fs::read(&path).at("read", path).map_err(EnvironmentError::from)?);
        }
        let bytes = make()?;
        self.cache.make_tree(|directory| {
            files::write(&directory.join("made"), &bytes, false, TIME)?;
            Ok((Some(name), Seal::of(directory, vec![title.into()])?, ()))
        })?;
        Ok(bytes)
    }
}

//! A store that is cut off at a chosen operation, and what a poller may see at any moment.

use proofmark::repository::Repository;
use proofmark::store::{Found, Lock, Stamp, Store, StoreError, Stored};
use proofmark_core::{Digest, json};
use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

/// Fails one of the operations that change something, before or after it has happened; then all that follow, as if the process were gone.
pub struct Faulty {
    store: Rc<dyn Store>,
    operations: Rc<Cell<usize>>,
    fail_at: usize,
    is_after: bool,
}

impl Faulty {
    fn change<T>(&self, mut operation: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let number = self.operations.replace(self.operations.get() + 1);
        let gone = || StoreError::Object { path: "injected".into(), why: format!("cut off at operation {number}") };
        if number == self.fail_at && self.is_after {
            operation()?;
        }
        if number >= self.fail_at { Err(gone()) } else { operation() }
    }
}

impl Store for Faulty {
    fn place(&self) -> String {
        self.store.place()
    }
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.read(path, limit)
    }
    fn open(&self, path: &str) -> Result<Option<Box<dyn Stored>>, StoreError> {
        self.store.open(path)
    }
    fn create(&self, path: &str, content: &mut dyn Read) -> Result<bool, StoreError> {
        self.change(|| self.store.create(path, content))
    }
    fn read_stamped(&self, path: &str, limit: usize) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        self.store.read_stamped(path, limit)
    }
    fn swap(&self, path: &str, bytes: &[u8], stamp: Option<&Stamp>) -> Result<bool, StoreError> {
        self.change(|| self.store.swap(path, bytes, stamp))
    }
    fn exists(&self, path: &str) -> Result<bool, StoreError> {
        self.store.exists(path)
    }
    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        self.store.list(directory)
    }
    fn walk(&self, directory: &str) -> Result<Vec<Found>, StoreError> {
        self.store.walk(directory)
    }
    fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.change(|| self.store.remove(path))
    }
    fn claim(&self, path: &str, digest: Digest) -> Result<Option<String>, StoreError> {
        self.change(|| self.store.claim(path, digest))
    }
    fn lock(&self) -> Result<Box<dyn Lock>, StoreError> {
        self.change(|| self.store.lock())
    }
}

/// A store that several repositories of one test look at.
pub struct Shared(pub Rc<dyn Store>);

impl Shared {
    pub fn faulty(&self, operations: &Rc<Cell<usize>>, fail_at: usize, is_after: bool) -> Box<dyn Store> {
        Box::new(Faulty { store: self.0.clone(), operations: operations.clone(), fail_at, is_after })
    }
    pub fn whole(&self) -> Box<dyn Store> {
        self.faulty(&Rc::default(), usize::MAX, false)
    }
}

/// Whatever `latest` names is whole, and so is every index that lies there: what a poller may see at this moment.
pub fn check_view(store: &Shared, least: (u64, u64)) -> (u64, u64) {
    let latest: proofmark_core::latest::Latest = json::parse(&store.0.read("latest", 1024).unwrap().unwrap(), "latest").unwrap();
    let repository = Repository::open(store.whole(), None).unwrap();
    for version in 1..=latest.index.max(repository.newest_index().unwrap()) {
        repository.published_version(version).unwrap();
    }
    let heads = repository.heads().unwrap();
    assert!(heads.newest >= latest.head, "latest names a head that is there");
    assert!(heads.current.is_some(), "the newest head verifies");
    let view = (latest.index, latest.head);
    assert!(view.0 >= least.0 && view.1 >= least.1, "latest went back from {least:?} to {view:?}");
    view
}

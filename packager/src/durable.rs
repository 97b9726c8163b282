//! Files that are there whole or not at all, also after a power cut: write beside, sync, one rename or link, sync the directory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes `path` with this content and mode. `false`: there is a file of that name, and it was left alone.
///
/// `scratch` is a directory of the same file system, where the file grows. A reader sees all of it or no file.
pub fn create(scratch: &Path, path: &Path, mode: u32, content: &mut dyn Read) -> io::Result<bool> {
    match beside(scratch, mode, content)?.persist_noclobber(path) {
        Ok(_) => sync_directory(path).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Puts `path` in place by one rename, whatever was there.
pub fn replace(scratch: &Path, path: &Path, mode: u32, content: &mut dyn Read) -> io::Result<()> {
    beside(scratch, mode, content)?.persist(path).map_err(|error| error.error)?;
    sync_directory(path)
}

fn beside(scratch: &Path, mode: u32, content: &mut dyn Read) -> io::Result<tempfile::NamedTempFile> {
    // Its mode is 0600 until all is written.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(scratch)?;
    io::copy(content, &mut file)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

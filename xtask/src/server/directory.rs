//! A temporary directory that only we may read, removed with its owner.

use std::{
    collections::hash_map::RandomState,
    env,
    fs::{self, DirBuilder},
    hash::BuildHasher,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
};

/// How many names may be taken before we think that something else is wrong.
const ATTEMPTS: usize = 20;

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes `NAME-PID-RANDOM` in the system's directory for temporary files.
    pub(super) fn create(name: &str) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            // std's only source of randomness: the keys of a new hash map.
            let random = RandomState::new().hash_one(attempt);
            // Short, because the path of a Unix socket in here may have some 100 bytes only.
            let path =
                env::temp_dir().join(format!("{name}-{}-{:08x}", process::id(), random >> 32));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => {
                    let what = format!("cannot make the directory {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), what));
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Usually the supervising shell was here first; and a leftover is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

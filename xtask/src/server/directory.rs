//! A temporary directory that only we may read, removed with its owner.

use std::{
    collections::hash_map::RandomState,
    env,
    fs::{self, DirBuilder},
    hash::BuildHasher,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{self, Command},
};

/// How many names may be taken before we think that something else is wrong.
const ATTEMPTS: usize = 20;

/// In KiB. Containers often have 64 MiB only, which one etcd takes at once for its log.
const ROOM: u64 = 2 << 20;

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes `NAME-PID-RANDOM` in the system's directory for temporary files.
    pub(super) fn create(name: &str) -> io::Result<Self> {
        Self::create_in(&env::temp_dir(), name)
    }

    /// The same where nothing waits for a disk, if the system has such a place and there is room:
    /// else a server that syncs every write is as slow as the disk.
    pub(super) fn create_in_memory(name: &str) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        match has_room(memory) {
            true => Self::create_in(memory, name),
            false => Self::create(name),
        }
    }

    fn create_in(parent: &Path, name: &str) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            // std's only source of randomness: the keys of a new hash map.
            let random = RandomState::new().hash_one(attempt);
            // Short, because the path of a Unix socket in here may have some 100 bytes only.
            let path = parent.join(format!("{name}-{}-{:08x}", process::id(), random >> 32));
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

/// Whether files of a few servers fit. std cannot tell; where `df` is missing, neither can we.
fn has_room(directory: &Path) -> bool {
    let told = Command::new("df").arg("-kP").arg(directory).output();
    let told = told.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    // The second line: the file system, its size, what is used, what is left.
    let left = told.ok().and_then(|table| {
        let line = table.lines().nth(1)?;
        line.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    left.is_some_and(|left| left >= ROOM)
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Usually the supervising shell was here first; and a leftover is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

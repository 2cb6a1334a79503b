//! Where things are.

use anyhow::{Context as _, Result};
use std::{
    env,
    path::{Path, PathBuf, absolute},
    sync::OnceLock,
};

/// The root of the workspace, wherever we were called from.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package = package_of_this_run().unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        package.parent().map_or(package.clone(), Path::to_owned)
    })
}

/// Cargo's target directory.
pub(crate) fn target() -> Result<PathBuf> {
    match target_variable() {
        Some(directory) => absolute(&directory)
            .with_context(|| format!("cannot make {} absolute", directory.display())),
        None => Ok(root().join("target")),
    }
}

/// The directory of what we downloaded.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(target()?.join("tools"))
}

fn target_variable() -> Option<PathBuf> {
    ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
        .into_iter()
        .find_map(|name| env::var_os(name).filter(|value| !value.is_empty()))
        .map(PathBuf::from)
}

/// What `cargo run` says goes before what was compiled in: two checkouts that share a target
/// directory share this program, too.
fn package_of_this_run() -> Option<PathBuf> {
    let package = env::var_os("CARGO_PKG_NAME")?;
    (package == env!("CARGO_PKG_NAME")).then_some(())?;
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

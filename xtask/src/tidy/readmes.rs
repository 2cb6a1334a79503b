//! Every crate introduces itself.

use super::{Finding, Source};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let crates: BTreeSet<PathBuf> = sources
        .iter()
        .filter(|source| source.path.iter().count() > 2)
        .filter_map(|source| Some(Path::new("crates").join(source.crate_name()?)))
        .collect();
    crates
        .into_iter()
        .map(|directory| directory.join("README.md"))
        .filter(|readme| !sources.iter().any(|source| source.path == *readme))
        .map(|readme| Finding::new(&readme, 1, "is missing; write what the crate is for"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_without_one() {
        let findings = check(&[Source::new("crates/kv-lock/src/lib.rs", "")]);
        assert_eq!(findings[0].path, Path::new("crates/kv-lock/README.md"));
    }

    #[test]
    fn green_with_one() {
        let sources = [
            Source::new("crates/kv-lock/README.md", "A lock."),
            Source::new("crates/kv-lock/src/lib.rs", ""),
            Source::new("crates/notes.txt", ""),
            Source::new("xtask/src/main.rs", ""),
        ];
        assert_eq!(check(&sources), []);
    }
}

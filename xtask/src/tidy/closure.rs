//! The first thing a newcomer builds is small.

use super::Finding;
use std::{collections::BTreeSet, path::Path};

const MOST_CRATES: usize = 150;

/// Counts the crates in the output of `cargo tree --prefix none`.
pub(super) fn check(tree: &str) -> Vec<Finding> {
    let crates = count(tree);
    if crates <= MOST_CRATES {
        return Vec::new();
    }
    let what = format!(
        "the quickstart needs {crates} crates, {MOST_CRATES} are the most; \
         see `cargo tree -e normal,dev -p kv-examples`"
    );
    vec![Finding::new(Path::new("examples/Cargo.toml"), 1, what)]
}

/// Lines such as `serde v1.0.228 (*)`; a crate in two versions counts twice.
fn count(tree: &str) -> usize {
    let crates: BTreeSet<(Option<&str>, Option<&str>)> = tree
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace())
        .map(|mut words| (words.next(), words.next()))
        .collect();
    crates.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_version_once() {
        assert_eq!(count("a v1.0.0\nb v1.0.0\n\na v1.0.0 (*)\na v2.0.0\n"), 3);
    }

    #[test]
    fn red_above_the_limit_and_green_at_it() {
        let tree =
            |crates: usize| -> String { (0..crates).map(|n| format!("c{n} v1.0.0\n")).collect() };
        assert_eq!(check(&tree(MOST_CRATES)), []);
        assert_eq!(check(&tree(MOST_CRATES + 1)).len(), 1);
    }
}

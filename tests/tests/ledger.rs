//! Every case of the contract in scope is answered somewhere: sections A to J by the suite's own
//! table, the others by tests that carry the case's number in their names.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Waits (the end of J), layers (L) and lifecycle, errors, factory (M), as far as there is something
/// to test yet.
const IN_SCOPE: &[u16] = &[
    110, 111, 112, 113, 114, 115, 116, 117, 118, //
    128, 129, 130, 131, 132, 134, 135, 136, 137, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156,
    157, 158, 159, 160, 161,
];

/// Cases, of the suite or beside it, that need a failing network, a killed server or a cluster.
const WITH_FAULTS: &[u16] = &[28, 41, 54, 62];

#[test]
fn every_case_in_scope_has_a_test() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for directory in ["tests/tests", "crates/kv-memory", "crates/kv-wrappers"] {
        for path in sources(&top.join(directory)) {
            found.extend(numbers(&fs::read_to_string(path).unwrap()));
        }
    }
    let wanted = IN_SCOPE.iter().chain(WITH_FAULTS);
    let missing: Vec<_> = wanted.filter(|id| !found.contains(id)).collect();
    assert!(
        missing.is_empty(),
        "no test named after the cases {missing:?}"
    );
}

#[test]
fn names_are_read() {
    let text = "fn case_12_a() {}\n    async fn case_7() {}\n// fn case_x\nfn staircase_9() {}";
    assert_eq!(numbers(text), [12, 7]);
}

/// The numbers of the functions called `case_…`.
fn numbers(text: &str) -> Vec<u16> {
    text.split("fn case_")
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|it: char| !it.is_ascii_digit())?;
            rest[..end].parse().ok()
        })
        .collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}

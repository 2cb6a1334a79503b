//! A module says what it holds. These names say that nobody knows.

use super::{Finding, Source};
use std::path::{Component, Path};

const MEANINGLESS: [&str; 4] = ["utils", "types", "helpers", "common"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.has_extension("rs"))
        .flat_map(check_file)
        .collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let advice = |name: &str| format!("a module called `{name}`; name it after what it holds");
    let mut findings = Vec::new();
    if let Some(name) = meaningless_part(&source.path) {
        findings.push(Finding::new(&source.path, 1, advice(name)));
    }
    for (line, text) in source.code_lines() {
        if let Some(name) = declared_module(text).filter(|name| MEANINGLESS.contains(name)) {
            findings.push(Finding::new(&source.path, line, advice(name)));
        }
    }
    findings
}

fn meaningless_part(path: &Path) -> Option<&'static str> {
    let stem = path.with_extension("");
    let mut parts = stem.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    parts.find_map(|part| MEANINGLESS.into_iter().find(|name| *name == part))
}

/// The name in `pub(crate) mod name {` or `mod name;`.
fn declared_module(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    (words.next()? == "mod").then_some(())?;
    Some(words.next()?.trim_end_matches(['{', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_on_files_directories_and_declarations() {
        let sources = [
            Source::new("crates/kv-core/src/utils.rs", ""),
            Source::new("tests/tests/common/mod.rs", ""),
            Source::new("src/lib.rs", "\npub(crate) mod helpers;\nmod types {\n"),
        ];
        let lines: Vec<usize> = check(&sources).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 1, 2, 3]);
    }

    #[test]
    fn green_on_names_that_say_something() {
        let sources = [
            Source::new(
                "src/common_prefix.rs",
                "mod lease;\n// mod utils;\nmodel types;\n",
            ),
            Source::new("docs/types.md", "mod types;"),
        ];
        assert_eq!(check(&sources), []);
    }
}

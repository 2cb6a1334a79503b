//! `audit`: what is built from other people's code, by whose leave, and where from.
//!
//! It needs no network: licences and sources are judged from what Cargo knows. Advisories are not
//! looked up; `cargo audit` does that where its database can be reached.

use crate::{cargo, table};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{collections::BTreeMap, process::ExitCode};

/// Licences that may be mixed with ours. Of "A OR B" one is enough, of "A AND B" both are needed.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that must not come in: TLS is rustls with ring.
const REFUSED: [(&str, &str); 4] = [
    ("aws-lc-rs", "rustls runs on ring only"),
    ("aws-lc-sys", "rustls runs on ring only"),
    ("native-tls", "TLS is rustls"),
    ("openssl-sys", "TLS is rustls"),
];

pub(crate) fn run() -> Result<ExitCode> {
    let arguments = ["metadata", "--all-features", "--format-version", "1"];
    let json = cargo::read(cargo::command()?.args(arguments))?;
    let json: Value = serde_json::from_str(&json).context("`cargo metadata` is not JSON")?;
    let crates = parse(&json);
    let mut licences: BTreeMap<&str, usize> = BTreeMap::new();
    for it in crates.iter().filter(|it| it.source.is_some()) {
        *licences.entry(&it.licence).or_default() += 1;
    }
    let mut rows = vec![table::row(["licence", "crates"])];
    rows.extend(
        licences
            .iter()
            .map(|(licence, count)| table::row([*licence, &count.to_string()])),
    );
    for line in table::lines(&rows) {
        println!("{line}");
    }
    let findings: Vec<String> = crates.iter().flat_map(judge).collect();
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

struct Crate {
    name: String,
    licence: String,
    /// Where it comes from; none for our own.
    source: Option<String>,
}

fn parse(json: &Value) -> Vec<Crate> {
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let packages = json["packages"].as_array();
    let packages = packages.into_iter().flatten();
    packages
        .map(|package| Crate {
            name: text(&package["name"]).unwrap_or_default(),
            licence: text(&package["license"]).unwrap_or_default(),
            source: text(&package["source"]),
        })
        .collect()
}

/// What is wrong with a crate.
fn judge(it: &Crate) -> Vec<String> {
    let Some(source) = &it.source else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if !source.starts_with("registry+") {
        findings.push(format!(
            "{}: it must come from the registry, not from {source}",
            it.name
        ));
    }
    if !is_allowed(&it.licence) {
        findings.push(format!(
            "{}: its licence `{}` is not one of ours",
            it.name, it.licence
        ));
    }
    if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == it.name) {
        findings.push(format!(
            "{}: {why}; `cargo tree -i {0}` tells who wants it",
            it.name
        ));
    }
    findings
}

fn is_allowed(licence: &str) -> bool {
    // Older crates write a slash for "or".
    let licence = licence.replace('/', " OR ").replace(['(', ')'], " ");
    let known =
        |it: &str| LICENCES.contains(&it.split_whitespace().collect::<Vec<_>>().join(" ").as_str());
    // All that is joined by "and" must hold; each of them may offer a choice.
    licence
        .split(" AND ")
        .all(|part| part.split(" OR ").any(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_choice_is_enough_and_all_of_a_list_are_needed() {
        for licence in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(licence), "{licence}");
        }
        for licence in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0 WITH something",
        ] {
            assert!(!is_allowed(licence), "{licence}");
        }
    }

    #[test]
    fn a_stranger_is_found_and_our_own_are_left_alone() {
        let json = serde_json::json!({ "packages": [
            { "name": "ours", "license": null, "source": null },
            { "name": "good", "license": "MIT", "source": "registry+x" },
            { "name": "forked", "license": "MIT", "source": "git+x" },
            { "name": "openssl-sys", "license": "MIT", "source": "registry+x" },
            { "name": "copyleft", "license": "GPL-3.0", "source": "registry+x" },
        ]});
        let findings: Vec<_> = parse(&json).iter().flat_map(judge).collect();
        assert_eq!(findings.len(), 3, "{findings:?}");
        for name in ["forked", "openssl-sys", "copyleft"] {
            assert!(
                findings.iter().any(|it| it.starts_with(name)),
                "{name}: {findings:?}"
            );
        }
    }
}

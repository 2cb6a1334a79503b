//! Every package is private and obeys the workspace's lints.

use super::Finding;
use crate::metadata::Package;

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |what: &str| findings.push(Finding::new(&package.manifest, 1, what));
    if !package.is_private {
        report("may be published; add `publish.workspace = true`");
    }
    if !inherits_lints(&package.manifest_text) {
        report("has lints of its own; add `[lints]` with `workspace = true`");
    }
    findings
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .any(|line| {
            if line.starts_with('[') {
                section = line;
            }
            let line = line.replace(' ', "");
            (section == "[lints]" && line == "workspace=true")
                || (section.is_empty() && line == "lints.workspace=true")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(is_private: bool, manifest_text: &str) -> Package {
        Package {
            is_private,
            manifest_text: manifest_text.to_owned(),
            ..Package::default()
        }
    }

    #[test]
    fn red_on_public_packages_and_lints_of_their_own() {
        let sources = [
            package(false, "[lints]\nworkspace = true"),
            package(true, "[package]\nname = \"x\""),
            package(true, "[dependencies.x]\nworkspace = true\n[lints.rust]\n"),
        ];
        assert_eq!(check(&sources).len(), 3);
    }

    #[test]
    fn green_on_private_packages_with_shared_lints() {
        let manifests = [
            "[lints]\nworkspace = true # all",
            "lints.workspace=true\n[package]",
        ];
        assert_eq!(
            check(&manifests.map(|manifest| package(true, manifest))),
            []
        );
    }
}

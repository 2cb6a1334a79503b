//! What Cargo knows about the workspace.

use crate::{cargo, project};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A member of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its `Cargo.toml`, relative to the root.
    pub(crate) manifest: PathBuf,
    pub(crate) manifest_text: String,
    /// `publish = false`.
    pub(crate) is_private: bool,
    /// The normal ones: neither for tests nor for build scripts.
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Dependency {
    /// The package, whatever it was renamed to.
    pub(crate) package: String,
    /// What features call it.
    pub(crate) name: String,
    pub(crate) is_optional: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) required_features: Vec<String>,
}

impl Package {
    /// Its benchmarks (`bench`), examples (`example`), and so on.
    pub(crate) fn targets_of_kind(&self, kind: &str) -> impl Iterator<Item = &Target> {
        self.targets
            .iter()
            .filter(move |target| target.kinds.iter().any(|k| k == kind))
    }
}

/// Asks Cargo for the members of the workspace.
pub(crate) fn read() -> Result<Vec<Package>> {
    let json =
        cargo::read(cargo::command()?.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let json: Value = serde_json::from_str(&json).context("`cargo metadata` is not JSON")?;
    let mut packages = parse(&json);
    for package in &mut packages {
        package.manifest_text = fs::read_to_string(&package.manifest)
            .with_context(|| format!("cannot read {}", package.manifest.display()))?;
        if let Ok(relative) = package.manifest.strip_prefix(project::root()) {
            package.manifest = relative.to_owned();
        }
    }
    Ok(packages)
}

/// The member of this name.
pub(crate) fn package<'a>(packages: &'a [Package], name: &str) -> Result<&'a Package> {
    packages
        .iter()
        .find(|package| package.name == name)
        .with_context(|| format!("the workspace has no package `{name}`"))
}

fn parse(json: &Value) -> Vec<Package> {
    list(&json["packages"]).iter().map(parse_package).collect()
}

fn parse_package(json: &Value) -> Package {
    let features = json["features"].as_object();
    Package {
        name: text(&json["name"]),
        manifest: Path::new(&text(&json["manifest_path"])).to_owned(),
        manifest_text: String::new(),
        // `null` means anywhere, an empty list means nowhere.
        is_private: json["publish"].as_array().is_some_and(Vec::is_empty),
        dependencies: list(&json["dependencies"])
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| Dependency {
                package: text(&dependency["name"]),
                name: text(
                    &dependency[if dependency["rename"].is_null() {
                        "name"
                    } else {
                        "rename"
                    }],
                ),
                is_optional: dependency["optional"] == true,
            })
            .collect(),
        features: features
            .into_iter()
            .flatten()
            .map(|(name, parts)| (name.clone(), texts(parts)))
            .collect(),
        targets: list(&json["targets"])
            .iter()
            .map(|target| Target {
                name: text(&target["name"]),
                kinds: texts(&target["kind"]),
                required_features: texts(&target["required-features"]),
            })
            .collect(),
    }
}

fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn texts(json: &Value) -> Vec<String> {
    list(json).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_the_rules_need() {
        let packages = parse(&json!({ "packages": [{
            "name": "kv-factory",
            "manifest_path": "/p/Cargo.toml",
            "publish": [],
            "features": { "redis": ["dep:store"] },
            "dependencies": [
                { "name": "kv-redis", "rename": "store", "kind": null, "optional": true },
                { "name": "proptest", "rename": null, "kind": "dev", "optional": false },
            ],
            "targets": [{ "name": "b", "kind": ["bench"], "required-features": ["x"] }],
        }]}));
        let factory = package(&packages, "kv-factory").unwrap();
        assert!(factory.is_private);
        assert_eq!(
            factory.dependencies.len(),
            1,
            "development dependencies are left out"
        );
        let store = &factory.dependencies[0];
        assert_eq!(
            (store.package.as_str(), store.name.as_str()),
            ("kv-redis", "store")
        );
        assert!(store.is_optional);
        assert_eq!(factory.targets_of_kind("bench").count(), 1);
        assert!(package(&packages, "kv-core").is_err());
    }
}

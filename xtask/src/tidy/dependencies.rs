//! Who may depend on whom: everybody on the contract, hardly anybody on a provider.

use super::Finding;
use crate::metadata::{Dependency, Package};

/// What a package is for. A new package needs a line here before it may depend on anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Core,
    Provider,
    Wrappers,
    Conformance,
    Consumer,
    Factory,
    /// Programs: they may see everything.
    Program,
    Xtask,
}

fn role(package: &str) -> Option<Role> {
    Some(match package {
        "kv-core" => Role::Core,
        "kv-memory" | "kv-redis" | "kv-etcd" => Role::Provider,
        "kv-wrappers" => Role::Wrappers,
        "kv-conformance" => Role::Conformance,
        "kv-scheduler" | "kv-lock" | "kv-ratelimit" | "kv-cache" => Role::Consumer,
        "kv-factory" => Role::Factory,
        "kv-cli" | "kv-examples" | "kv-tests" => Role::Program,
        "xtask" => Role::Xtask,
        _ => return None,
    })
}

impl Role {
    fn may_use(self, other: Self) -> bool {
        match self {
            Self::Core | Self::Xtask => false,
            Self::Provider | Self::Wrappers | Self::Conformance => other == Self::Core,
            Self::Consumer => matches!(other, Self::Core | Self::Consumer),
            Self::Factory => matches!(other, Self::Core | Self::Wrappers | Self::Provider),
            Self::Program => other != Self::Xtask,
        }
    }

    fn may_use_drivers(self) -> bool {
        matches!(self, Self::Provider | Self::Factory | Self::Program)
    }
}

const DRIVERS: [&str; 2] = ["redis", "etcd-client"];

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
    let mut findings = Vec::new();
    for package in packages {
        let Some(own) = role(&package.name) else {
            let what = "an unknown package; give it a role in xtask/src/tidy/dependencies.rs";
            findings.push(Finding::new(&package.manifest, 1, what));
            continue;
        };
        for dependency in &package.dependencies {
            let other = role(&dependency.package).filter(|_| is_member(&dependency.package));
            let what = match other {
                Some(other) if !own.may_use(other) => breaks_layers(package, dependency),
                Some(Role::Provider)
                    if own == Role::Factory && !is_behind_feature(package, dependency) =>
                {
                    needs_feature(dependency)
                }
                None if is_driver(dependency) && !own.may_use_drivers() => uses_driver(dependency),
                _ => continue,
            };
            findings.push(Finding::new(
                &package.manifest,
                line_of(package, dependency),
                what,
            ));
        }
    }
    findings
}

fn is_driver(dependency: &Dependency) -> bool {
    DRIVERS.contains(&dependency.package.as_str())
}

fn is_behind_feature(package: &Package, dependency: &Dependency) -> bool {
    let switch = format!("dep:{}", dependency.name);
    dependency.is_optional
        && package
            .features
            .values()
            .flatten()
            .any(|part| *part == switch)
}

fn breaks_layers(package: &Package, dependency: &Dependency) -> String {
    format!(
        "{} must not depend on {}; see the map in ARCHITECTURE.md",
        package.name, dependency.package
    )
}

fn needs_feature(dependency: &Dependency) -> String {
    format!(
        "{0} must be optional, behind a feature with `dep:{0}`",
        dependency.name
    )
}

fn uses_driver(dependency: &Dependency) -> String {
    format!(
        "the driver `{}` belongs to its provider; use kv-core",
        dependency.package
    )
}

fn line_of(package: &Package, dependency: &Dependency) -> usize {
    let is_its_line = |line: &str| {
        let rest = line.strip_prefix(dependency.name.as_str());
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    package
        .manifest_text
        .lines()
        .position(is_its_line)
        .map_or(1, |position| position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| Dependency {
            package: (*name).to_owned(),
            name: (*name).to_owned(),
            is_optional: false,
        });
        Package {
            name: name.to_owned(),
            dependencies: dependencies.collect(),
            ..Package::default()
        }
    }

    fn workspace(changed: Package) -> Vec<Package> {
        let mut packages: Vec<Package> = [
            "kv-core",
            "kv-memory",
            "kv-redis",
            "kv-wrappers",
            "kv-conformance",
            "kv-lock",
            "kv-cache",
            "kv-factory",
            "kv-examples",
            "xtask",
        ]
        .into_iter()
        .filter(|name| *name != changed.name)
        .map(|name| package(name, &[]))
        .collect();
        packages.push(changed);
        packages
    }

    fn findings(name: &str, dependencies: &[&str]) -> usize {
        check(&workspace(package(name, dependencies))).len()
    }

    #[test]
    fn red_on_each_broken_border() {
        for (name, dependency) in [
            ("kv-core", "kv-memory"),
            ("kv-core", "redis"),
            ("kv-core", "etcd-client"),
            ("kv-lock", "kv-redis"),
            ("kv-lock", "kv-wrappers"),
            ("kv-lock", "redis"),
            ("kv-wrappers", "kv-memory"),
            ("kv-wrappers", "kv-lock"),
            ("kv-wrappers", "redis"),
            ("kv-conformance", "kv-wrappers"),
            ("kv-memory", "kv-redis"),
            ("kv-redis", "kv-wrappers"),
            ("kv-factory", "kv-lock"),
            ("kv-factory", "kv-redis"),
            ("xtask", "kv-core"),
            ("kv-examples", "xtask"),
        ] {
            assert_eq!(findings(name, &[dependency]), 1, "{name} on {dependency}");
        }
        assert_eq!(findings("kv-new", &[]), 1, "a package without a role");
    }

    #[test]
    fn green_on_the_map() {
        for (name, dependencies) in [
            ("kv-core", &["bytes"][..]),
            ("kv-redis", &["kv-core", "redis"]),
            ("kv-wrappers", &["kv-core"]),
            ("kv-cache", &["kv-core", "kv-lock"]),
            ("kv-factory", &["kv-core", "kv-wrappers"]),
            ("kv-examples", &["kv-redis", "redis"]),
            ("xtask", &["clap"]),
        ] {
            assert_eq!(
                findings(name, dependencies),
                0,
                "{name} on {dependencies:?}"
            );
        }
    }

    #[test]
    fn the_factory_has_providers_behind_features() {
        let mut factory = package("kv-factory", &["kv-redis"]);
        factory.dependencies[0].is_optional = true;
        assert_eq!(
            check(&workspace(factory.clone())).len(),
            1,
            "optional, but nothing turns it on"
        );
        factory
            .features
            .insert("redis".to_owned(), vec!["dep:kv-redis".to_owned()]);
        assert_eq!(check(&workspace(factory)), []);
    }

    #[test]
    fn says_in_which_line() {
        let mut core = package("kv-core", &["redis"]);
        core.manifest_text =
            "[dependencies]\nredis-other = \"1\"\nredis.workspace = true\n".to_owned();
        assert_eq!(check(&workspace(core))[0].line, 3);
    }
}

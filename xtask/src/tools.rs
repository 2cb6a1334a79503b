//! The programs we need and where they are.
//!
//! An environment variable wins, then `PATH`, then what `setup` downloaded into `target/tools`.

mod debian;
pub(crate) mod python;

use crate::{cargo, project};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A program, and how to ask for its version.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    variable: &'static str,
    /// The argument that makes it print its version.
    version: &'static str,
    /// What that begins with, in lower case.
    aliases: &'static [&'static str],
}

/// Programs that come together.
#[derive(Debug)]
pub(crate) struct Bundle {
    name: &'static str,
    pub(crate) tools: &'static [&'static Tool],
    /// Their Debian packages; what those depend on comes too.
    packages: &'static [&'static str],
    /// What to type elsewhere: the package manager's program and the command.
    elsewhere: &'static [(&'static str, &'static str)],
}

const REDIS_NAMES: &[&str] = &["redis", "valkey"];

pub(crate) static REDIS_SERVER: Tool = Tool {
    name: "redis-server",
    variable: "KV_REDIS_SERVER",
    version: "--version",
    aliases: REDIS_NAMES,
};
static REDIS_CLI: Tool = Tool {
    name: "redis-cli",
    variable: "KV_REDIS_CLI",
    version: "--version",
    aliases: REDIS_NAMES,
};
pub(crate) static ETCD_SERVER: Tool = Tool {
    name: "etcd",
    variable: "KV_ETCD",
    version: "--version",
    aliases: &["etcd"],
};
pub(crate) static ETCD_CTL: Tool = Tool {
    name: "etcdctl",
    variable: "KV_ETCDCTL",
    version: "version",
    aliases: &["etcdctl"],
};
pub(crate) static PROMTOOL: Tool = Tool {
    name: "promtool",
    variable: "KV_PROMTOOL",
    version: "--version",
    aliases: &["promtool"],
};
static PROTOC: Tool = Tool {
    name: "protoc",
    variable: "KV_PROTOC",
    version: "--version",
    aliases: &["libprotoc"],
};

pub(crate) static REDIS: Bundle = Bundle {
    name: "redis",
    tools: &[&REDIS_SERVER, &REDIS_CLI],
    packages: &["redis-server", "redis-tools"],
    elsewhere: &[
        ("brew", "brew install redis"),
        ("dnf", "sudo dnf install redis"),
        ("pacman", "sudo pacman -S redis"),
        ("apk", "sudo apk add redis"),
        ("zypper", "sudo zypper install redis"),
        ("nix-env", "nix-env -iA nixpkgs.redis"),
    ],
};

pub(crate) static ETCD: Bundle = Bundle {
    name: "etcd",
    tools: &[&ETCD_SERVER, &ETCD_CTL],
    packages: &["etcd-server", "etcd-client"],
    elsewhere: &[
        ("brew", "brew install etcd"),
        ("dnf", "sudo dnf install etcd"),
        ("pacman", "sudo pacman -S etcd"),
        ("apk", "sudo apk add etcd etcd-ctl"),
        ("zypper", "sudo zypper install etcd etcdctl"),
        ("nix-env", "nix-env -iA nixpkgs.etcd"),
    ],
};

/// For `promtool` alone, which parses the queries of a dashboard.
pub(crate) static PROMETHEUS: Bundle = Bundle {
    name: "prometheus",
    tools: &[&PROMTOOL],
    packages: &["prometheus"],
    elsewhere: &[
        ("brew", "brew install prometheus"),
        ("dnf", "sudo dnf install golang-github-prometheus"),
        ("pacman", "sudo pacman -S prometheus"),
        ("apk", "sudo apk add prometheus"),
        (
            "zypper",
            "sudo zypper install golang-github-prometheus-prometheus",
        ),
        ("nix-env", "nix-env -iA nixpkgs.prometheus"),
    ],
};

/// Every program that we supply or download.
pub(crate) const ALL: [&Tool; 6] = [
    &REDIS_SERVER,
    &REDIS_CLI,
    &ETCD_SERVER,
    &ETCD_CTL,
    &PROMTOOL,
    &PROTOC,
];

/// A program that has been seen to run.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
}

#[derive(Debug)]
pub(crate) enum Origin {
    Variable(&'static str),
    Path,
    Download,
    Crate,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Path => f.write_str("PATH"),
            Self::Download => f.write_str("downloaded by setup"),
            Self::Crate => f.write_str("crate protoc-bin-vendored"),
        }
    }
}

/// Finds a program of the bundle, and downloads the bundle if it is nowhere.
pub(crate) fn ensure(bundle: &Bundle, tool: &'static Tool) -> Result<Found> {
    if let Some(found) = find(bundle, tool)? {
        return Ok(found);
    }
    debian::install(bundle, tool)?;
    find(bundle, tool)?.with_context(|| {
        format!(
            "the packages {} do not contain {}",
            bundle.packages.join(", "),
            tool.name
        )
    })
}

/// `protoc`; its last resort is a crate, so nothing is ever downloaded for it.
pub(crate) fn protoc() -> Result<Found> {
    if let Some(found) = installed(&PROTOC)? {
        return Ok(found);
    }
    let path = protoc_bin_vendored::protoc_bin_path()
        .with_context(|| format!("set {} to a protoc", PROTOC.variable))?;
    let version = version(&PROTOC, &path)?;
    Ok(Found {
        name: PROTOC.name,
        version,
        path,
        origin: Origin::Crate,
    })
}

/// The files of this name on a search path that may be executed.
pub(crate) fn executables(path: &std::ffi::OsStr, name: &str) -> Vec<PathBuf> {
    env::split_paths(path)
        .map(|directory| directory.join(name))
        .filter(|p| is_executable(p))
        .collect()
}

fn find(bundle: &Bundle, tool: &'static Tool) -> Result<Option<Found>> {
    if let Some(found) = installed(tool)? {
        return Ok(Some(found));
    }
    let path = debian::program(&project::tools()?, bundle, tool);
    // One that does not run (the system was upgraded below it) will be downloaded again.
    let Ok(version) = version(tool, &path) else {
        return Ok(None);
    };
    Ok(Some(Found {
        name: tool.name,
        version,
        path,
        origin: Origin::Download,
    }))
}

fn installed(tool: &'static Tool) -> Result<Option<Found>> {
    let name = tool.name;
    if let Some(path) = env::var_os(tool.variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let version = version(tool, &path).with_context(|| {
            format!(
                "{}={} is not a {name}; correct or unset it",
                tool.variable,
                path.display()
            )
        })?;
        return Ok(Some(Found {
            name,
            version,
            path,
            origin: Origin::Variable(tool.variable),
        }));
    }
    // Version managers put shims on the path that only complain: hence the look at the version.
    let on_path = executables(&env::var_os("PATH").unwrap_or_default(), name);
    Ok(on_path.into_iter().find_map(|path| {
        let version = version(tool, &path).ok()?;
        Some(Found {
            name,
            version,
            path,
            origin: Origin::Path,
        })
    }))
}

/// Runs it: a file of the right name may be a shim, a broken link, or another program.
fn version(tool: &Tool, path: &Path) -> Result<String> {
    let printed = cargo::read(Command::new(path).arg(tool.version))?;
    let lower = printed.to_lowercase();
    match version_in(&printed) {
        Some(version) if tool.aliases.iter().any(|alias| lower.starts_with(alias)) => {
            Ok(version.to_owned())
        }
        _ => bail!(
            "asked for its version, {} prints: {}",
            path.display(),
            printed.trim()
        ),
    }
}

/// `7.0.15` in `Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0`.
fn version_in(printed: &str) -> Option<&str> {
    let word = printed
        .split_whitespace()
        .map(|word| word.trim_start_matches(['v', '=']))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))?;
    Some(word)
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_each_program_prints() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(version_in(redis), Some("7.0.15"));
        assert_eq!(version_in("redis-cli 7.0.15"), Some("7.0.15"));
        assert_eq!(
            version_in("etcd Version: 3.4.23\nGit SHA: Not provided"),
            Some("3.4.23")
        );
        assert_eq!(
            version_in("etcdctl version: 3.4.23\nAPI version: 3.4"),
            Some("3.4.23")
        );
        assert_eq!(
            version_in("promtool, version 2.42.0+ds (branch: debian/sid, revision: 1)"),
            Some("2.42.0+ds")
        );
        assert_eq!(version_in("libprotoc 31.1"), Some("31.1"));
        assert_eq!(version_in("command not found"), None);
    }

    #[test]
    fn protoc_is_always_there() {
        assert!(protoc().unwrap().path.exists());
    }
}

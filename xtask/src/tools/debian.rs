//! Debian packages without root: downloaded by apt-get with lists and caches of our own, unpacked
//! by dpkg, never installed.

use super::{Bundle, Tool, executables, version};
use crate::{cargo, project};
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Names of directories that are not finished; a killed run may leave one.
const UNFINISHED: &str = ".unfinished-";

/// Where a downloaded program is: a wrapper that finds the libraries which came along.
pub(super) fn program(tools: &Path, bundle: &Bundle, tool: &Tool) -> PathBuf {
    tools
        .join("debian")
        .join(bundle.name)
        .join("bin")
        .join(tool.name)
}

/// Downloads a bundle into `target/tools/debian`, where it appears whole or not at all.
pub(super) fn install(bundle: &Bundle, wanted: &Tool) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| !executables(&path, name).is_empty();
    if !(has("apt-get") && has("dpkg")) {
        bail!(missing(bundle, wanted, has));
    }
    let tools = project::tools()?;
    let destination = tools.join("debian").join(bundle.name);
    let parent = tools.join("debian");
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;

    let lock_path = tools.join("lock");
    let lock = File::create(&lock_path)
        .and_then(|lock| lock.lock().map(|()| lock))
        .with_context(|| format!("cannot lock {}", lock_path.display()))?;
    // Whoever held the lock before us may have done the work.
    if runs(&tools, bundle) {
        return Ok(());
    }
    remove_unfinished(&parent)?;

    eprintln!(
        "downloading {} into {} (nothing is installed)",
        bundle.packages.join(", "),
        destination.display()
    );
    let unpacked = download(bundle, &tools, &parent).with_context(|| {
        format!(
            "could not get {0} from the package archive (no network?); \
             `sudo apt-get install {1}` or {2}=/path/to/{0} does as well",
            wanted.name,
            bundle.packages.join(" "),
            wanted.variable,
        )
    })?;
    if destination.exists() {
        fs::remove_dir_all(&destination)
            .with_context(|| format!("cannot replace {}", destination.display()))?;
    }
    fs::rename(unpacked.path(), &destination)
        .with_context(|| format!("cannot make {}", destination.display()))?;
    // What it named is there no more.
    let _moved = unpacked.keep();
    drop(lock);
    Ok(())
}

fn runs(tools: &Path, bundle: &Bundle) -> bool {
    bundle
        .tools
        .iter()
        .all(|tool| version(tool, &program(tools, bundle, tool)).is_ok())
}

fn missing(bundle: &Bundle, tool: &Tool, has: impl Fn(&str) -> bool) -> String {
    let command = bundle.elsewhere.iter().find(|(manager, _)| has(manager));
    let advice = match command {
        Some((_, command)) => format!("install it with `{command}`"),
        None => format!("install {}", bundle.name),
    };
    format!(
        "{} was not found in {}, PATH or target/tools, and there is no apt-get to download it \
         with; {advice}, or set {} to its path",
        tool.name, tool.variable, tool.variable
    )
}

fn remove_unfinished(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A directory with the packages in `root/`, and in `bin/` a wrapper for each program, all tried.
fn download(bundle: &Bundle, tools: &Path, parent: &Path) -> Result<tempfile::TempDir> {
    let apt = Apt::prepare(&tools.join("apt"))?;
    // One unreachable third-party archive is no harm if ours answers; if not, here is the reason.
    let complaints = apt.update(tools)?;
    let reason = || match complaints.as_str() {
        "" => "apt-get update had no complaint".to_owned(),
        complaints => format!("apt-get update complained:\n{complaints}"),
    };
    let packages = apt.packages_to_get(bundle).with_context(reason)?;

    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        // Readable by other users too, as the rest of `target/` is.
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent)?;
    let archives = unfinished.path().join("archives");
    let root = unfinished.path().join("root");
    fs::create_dir(&archives)?;
    fs::create_dir(&root)?;
    let mut arguments = vec!["download"];
    arguments.extend(packages.iter().map(String::as_str));
    apt.read(&arguments, &archives).with_context(reason)?;
    for archive in fs::read_dir(&archives)? {
        cargo::read(
            Command::new("dpkg")
                .arg("-x")
                .arg(archive?.path())
                .arg(&root),
        )?;
    }
    fs::remove_dir_all(&archives)?;

    let bin = unfinished.path().join("bin");
    fs::create_dir(&bin)?;
    let libraries = library_directories(&root)?;
    for tool in bundle.tools {
        let path = bin.join(tool.name);
        fs::write(&path, wrapper(tool, &root, &libraries)?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        version(tool, &path)
            .with_context(|| format!("the downloaded {} does not run", tool.name))?;
    }
    Ok(unfinished)
}

/// A script that may be moved together with the directory it is in, as it is after a download.
fn wrapper(tool: &Tool, root: &Path, libraries: &[PathBuf]) -> Result<String> {
    let program = ["usr/bin", "usr/sbin", "bin", "sbin"]
        .map(|directory| format!("{directory}/{}", tool.name))
        .into_iter()
        .find(|program| root.join(program).exists())
        .with_context(|| format!("the packages contain no {}", tool.name))?;
    let mut script = String::from(
        "#!/bin/sh\n\
         # Written by `cargo xtask setup`: the program with the libraries that came along.\n\
         root=${0%/*}/../root\n",
    );
    if !libraries.is_empty() {
        let paths: Vec<String> = libraries
            .iter()
            .map(|directory| format!("$root/{}", directory.display()))
            .collect();
        let paths = paths.join(":");
        script.push_str(&format!(
            "LD_LIBRARY_PATH={paths}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n\
             export LD_LIBRARY_PATH\n"
        ));
    }
    script.push_str(&format!("exec \"$root/{program}\" \"$@\"\n"));
    Ok(script)
}

/// The directories, relative to `root`, that hold shared libraries.
fn library_directories(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        let mut holds_libraries = false;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains(".so") {
                holds_libraries = true;
            }
        }
        if holds_libraries && let Ok(relative) = directory.strip_prefix(root) {
            found.push(relative.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// apt-get with a state of its own. It reads the system's sources, keys, proxies and package status.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn prepare(directory: &Path) -> Result<Self> {
        for needed in ["state/lists/partial", "cache/archives/partial", "log"] {
            fs::create_dir_all(directory.join(needed))
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let configuration = directory.join("apt.conf");
        fs::write(&configuration, configuration_text(directory))?;
        Ok(Self { configuration })
    }

    fn read(&self, arguments: &[&str], directory: &Path) -> Result<String> {
        cargo::read(&mut self.command(arguments, directory))
    }

    /// Fetches the lists and returns apt's complaints: most of them are no error to it.
    fn update(&self, directory: &Path) -> Result<String> {
        let mut update = self.command(&["update"], directory);
        let output = update.output().context("cannot run apt-get")?;
        Ok(String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned())
    }

    fn command(&self, arguments: &[&str], directory: &Path) -> Command {
        let mut apt = Command::new("apt-get");
        apt.arg("-c")
            .arg(&self.configuration)
            .args(["-q", "-y"])
            .args(arguments);
        // We read some of what it prints.
        apt.current_dir(directory).env("LC_ALL", "C");
        apt
    }

    /// The bundle's packages and those of their dependencies that this system lacks.
    fn packages_to_get(&self, bundle: &Bundle) -> Result<Vec<String>> {
        let mut arguments = vec!["--simulate", "--no-install-recommends", "install"];
        arguments.extend(bundle.packages);
        let mut packages = to_install(&self.read(&arguments, Path::new("/"))?);
        // If they are installed after all (but not on our PATH), apt would not name them.
        for package in bundle.packages {
            if !packages.iter().any(|listed| listed == package) {
                packages.push((*package).to_owned());
            }
        }
        Ok(packages)
    }
}

/// The names in lines such as `Inst liblzf1 (3.6-3 Debian:12/stable [amd64])`.
fn to_install(simulation: &str) -> Vec<String> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn configuration_text(directory: &Path) -> String {
    let at = |name: &str| {
        directory
            .join(name)
            .as_os_str()
            .to_string_lossy()
            .into_owned()
    };
    format!(
        "// Written by `cargo xtask setup` and read after the system's own files.\n\
         Dir::State \"{}\";\n\
         Dir::State::status \"/var/lib/dpkg/status\";\n\
         Dir::Cache \"{}\";\n\
         Dir::Log \"{}\";\n\
         Debug::NoLocking \"1\";\n\
         // It could not write into our directories.\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"2\";\n\
         // The system's hooks touch what is not ours.\n\
         #clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         #clear DPkg::Pre-Install-Pkgs;\n\
         #clear DPkg::Post-Invoke;\n\
         // Descriptions and icons for software centres.\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n",
        at("state"),
        at("cache"),
        at("log"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{REDIS, REDIS_SERVER};

    #[test]
    fn reads_the_packages_apt_would_install() {
        let simulation = "Reading package lists...\n\
                          Inst liblzf1 (3.6-3 Debian:12.15/oldstable [amd64])\n\
                          Inst libssl3 [3.0.1] (3.0.2 Debian:12 [amd64])\n\
                          Conf liblzf1 (3.6-3 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(to_install(simulation), ["liblzf1", "libssl3"]);
    }

    #[test]
    fn a_wrapper_runs_the_program_from_wherever_it_was_moved() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(place.path().join("bin")).unwrap();
        fs::write(root.join("usr/lib/libx.so.1"), "").unwrap();
        let program = root.join("usr/bin/redis-server");
        fs::write(&program, "#!/bin/sh\necho \"$LD_LIBRARY_PATH $1\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let libraries = library_directories(&root).unwrap();
        assert_eq!(libraries, [PathBuf::from("usr/lib")]);

        let script = wrapper(&REDIS_SERVER, &root, &libraries).unwrap();
        fs::write(place.path().join("bin/run"), script).unwrap();
        let moved = tempfile::tempdir().unwrap();
        let moved = moved.path().join("a b");
        fs::rename(place.path(), &moved).unwrap();
        let printed = cargo::read(Command::new("sh").arg(moved.join("bin/run")).arg("hello"));
        let printed = printed.unwrap();
        assert!(
            printed.contains("usr/lib") && printed.trim().ends_with("hello"),
            "{printed}"
        );
    }

    #[test]
    fn elsewhere_the_error_is_a_command_to_type() {
        let error = missing(&REDIS, &REDIS_SERVER, |manager| manager == "brew");
        assert!(error.contains("`brew install redis`") && error.contains("KV_REDIS_SERVER"));
    }
}

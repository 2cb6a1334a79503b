//! Other people's libraries on the same work: `xtask/peers/NAME`, each a workspace of its own so
//! that its dependencies are never ours.

use super::{Report, arguments, read_rows, spawn};
use crate::{cargo, flags, project, services};
use anyhow::{Result, bail};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

pub(super) fn run(flags: &flags::Bench, report: &mut Report) -> Result<()> {
    let directory = project::root().join("xtask/peers");
    let peers = peers_in(&directory);
    if peers.is_empty() {
        report.unavailable("peers", "there is no xtask/peers/NAME/Cargo.toml");
    }
    for peer in peers {
        let name = peer.file_name().unwrap_or_default().to_string_lossy();
        if let Err(error) = compare(&peer, flags, report) {
            report.unavailable(&name, &format!("{error:#}"));
        }
    }
    Ok(())
}

/// Runs one peer; whatever goes wrong with it is a reason, not our failure.
fn compare(peer: &Path, flags: &flags::Bench, report: &mut Report) -> Result<()> {
    let (variable, binary) = services::redis_binary()?;
    let mut cargo = cargo::command()?;
    cargo
        .args(["run", "--release", "--manifest-path"])
        .arg(peer.join("Cargo.toml"))
        .arg("--")
        .args(arguments(flags))
        .env(variable, binary)
        // Its own directory, so that two versions of a dependency do not evict each other.
        .env(
            "CARGO_TARGET_DIR",
            project::target()?
                .join("peers")
                .join(peer.file_name().unwrap_or_default()),
        );
    let before = report.len();
    let mut peer = spawn(cargo.env("RUST_BACKTRACE", "0").stderr(Stdio::piped()))?;
    let errors = peer.stderr.take();
    let last_words = thread::spawn(move || errors.map(last_words).unwrap_or_default());
    read_rows(&mut peer, report)?;
    let status = peer.wait()?;
    let last_words = last_words.join().unwrap_or_default();
    if !status.success() {
        bail!("{last_words} ({status})");
    }
    if report.len() == before {
        bail!("it printed no row");
    }
    Ok(())
}

/// Shows all that is said and returns the last line that may be a reason.
fn last_words(errors: impl Read) -> String {
    let mut last = String::new();
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        eprintln!("{line}");
        if !line.trim().is_empty() && !line.starts_with("note:") {
            last = line.trim().to_owned();
        }
    }
    last
}

/// In the order of their names. A directory that cannot be read has no peers in it.
fn peers_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut peers: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|peer| peer.join("Cargo.toml").is_file())
        .collect();
    peers.sort();
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        let errors =
            "Compiling\nthread 'main' panicked at a.rs:1:2:\nneeds a JVM\nnote: run with\n\n";
        assert_eq!(last_words(errors.as_bytes()), "needs a JVM");
    }

    #[test]
    fn a_peer_is_a_directory_with_a_manifest() {
        let place = tempfile::tempdir().unwrap();
        for peer in ["b", "a", "notes"] {
            fs::create_dir(place.path().join(peer)).unwrap();
        }
        for peer in ["b", "a"] {
            fs::write(place.path().join(peer).join("Cargo.toml"), "").unwrap();
        }
        assert_eq!(
            peers_in(place.path()),
            [place.path().join("a"), place.path().join("b")]
        );
        assert!(peers_in(&place.path().join("none")).is_empty());
    }
}

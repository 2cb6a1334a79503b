//! Worker processes, and their journals.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// At a time, in each process.
const PLACES: &str = "20";
/// In milliseconds: longer than the network is silent, shorter than a process is stopped.
const LEASE: &str = "1000";
/// In milliseconds.
const WORK: &str = "50";

/// Worker processes. Dropping it ends them.
pub(crate) struct Fleet {
    url: String,
    workers: Vec<Child>,
    directory: TempDir,
}

impl Fleet {
    pub(crate) fn start(url: &str, workers: usize) -> Self {
        let mut fleet = Self {
            url: url.to_owned(),
            workers: Vec::new(),
            directory: tempfile::tempdir().unwrap(),
        };
        for _ in 0..workers {
            let worker = fleet.spawn();
            fleet.workers.push(worker);
        }
        fleet
    }

    /// Kills one, as the system does that runs out of memory, and starts another.
    pub(crate) fn replace(&mut self, worker: usize) {
        self.workers[worker].kill().unwrap();
        self.workers[worker].wait().unwrap();
        self.workers[worker] = self.spawn();
    }

    /// Stops one in the midst of whatever it does.
    pub(crate) fn stop(&self, worker: usize) {
        signal(&self.workers[worker], "STOP");
    }

    /// All that were stopped go on.
    pub(crate) fn go_on(&self) {
        for worker in &self.workers {
            signal(worker, "CONT");
        }
    }

    /// Ends all; returns the lines of their journal.
    pub(crate) fn end(self) -> Vec<String> {
        let journal = self.journal();
        for mut worker in self.workers.into_iter() {
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        let text = fs::read_to_string(journal).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_worker-for-tests"))
            .args([&self.url, "jobs"])
            .arg(self.journal())
            .args([PLACES, LEASE, WORK])
            // It ends when this closes.
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }
}

fn signal(worker: &Child, signal: &str) {
    let pid = worker.id().to_string();
    let status = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid)
        .status();
    assert!(status.unwrap().success());
}

//! Programs that append to a list, and their journals.

use crate::history::{Grant, History};
use kv_tests::kinds::Kind;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// How an appender writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Fenced,
    Bare,
}

/// Programs. Dropping it ends them.
pub(crate) struct Fleet {
    url: String,
    way: Way,
    kind: Kind,
    programs: Vec<Child>,
    /// Who has read the list, and thinks about it.
    pub(crate) readers: mpsc::UnboundedReceiver<usize>,
    told: mpsc::UnboundedSender<usize>,
    directory: TempDir,
}

/// In milliseconds: shorter than a program is stopped.
const LEASE: &str = "400";
const WORK: &str = "30";

impl Fleet {
    pub(crate) fn start(url: String, way: Way, kind: Kind, programs: usize) -> Self {
        let (told, readers) = mpsc::unbounded_channel();
        let mut fleet = Self {
            url,
            way,
            kind,
            programs: Vec::new(),
            readers,
            told,
            directory: tempfile::tempdir().unwrap(),
        };
        for number in 0..programs {
            let program = fleet.spawn(number);
            fleet.programs.push(program);
        }
        fleet
    }

    /// Kills one in the midst of whatever it does, and starts another.
    pub(crate) fn replace(&mut self, number: usize) {
        self.programs[number].kill().unwrap();
        self.programs[number].wait().unwrap();
        self.programs[number] = self.spawn(number);
    }

    pub(crate) fn stop(&self, number: usize) {
        self.signal(number, "STOP");
    }

    pub(crate) fn go_on(&self, number: usize) {
        self.signal(number, "CONT");
    }

    /// Ends all; returns what they noted.
    pub(crate) fn end(mut self) -> History {
        for program in &mut self.programs {
            program.kill().unwrap();
            program.wait().unwrap();
        }
        let text = self.journal();
        let mut history = History::default();
        // What the last were about to note when they were killed is not whole.
        for line in text.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["refused", _] => {}
                ["written", fence] => history.acknowledged.push(number(fence)),
                ["granted", fence, asked, granted, ref held @ ..] => history.grants.push(Grant {
                    fence: number(fence),
                    asked: number(asked),
                    granted: number(granted),
                    held: match *held {
                        [first, last] => Some((number(first), number(last))),
                        _ => None,
                    },
                }),
                _ => panic!("{line}"),
            }
        }
        history
    }

    /// How many writes came too late by now.
    pub(crate) fn refused(&self) -> usize {
        let is_refused = |it: &&str| it.starts_with("refused");
        self.journal().lines().filter(is_refused).count()
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.directory.path().join("journal")).unwrap()
    }

    fn spawn(&self, number: usize) -> Child {
        let mut program = Command::new(env!("CARGO_BIN_EXE_appender-for-tests"))
            .arg(&self.url)
            .arg(self.directory.path().join("journal"))
            .args([
                match self.way {
                    Way::Fenced => "fenced",
                    Way::Bare => "bare",
                },
                self.kind.name(),
                LEASE,
                WORK,
            ])
            // It ends when this closes.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, told) = (program.stdout.take().unwrap(), self.told.clone());
        thread::spawn(move || {
            for _ in BufReader::new(output).lines().map_while(Result::ok) {
                _ = told.send(number);
            }
        });
        program
    }

    fn signal(&self, number: usize, signal: &str) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.programs[number].id().to_string())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for program in &mut self.programs {
            _ = program.kill();
            _ = program.wait();
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

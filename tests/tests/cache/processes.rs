//! Several processes that ask for one entry.

use kv_tests::server::{Etcd, Redis};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const PROCESSES: usize = 4;
const ASKERS: usize = 1000;

struct Asker {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asker {
    fn start(url: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_asker-for-tests"))
            .args([url, &ASKERS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn go_on(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// How many loads there were, how many were served, and with what.
    fn end(&mut self) -> [usize; 3] {
        let line = self.line();
        println!("{line}");
        let words: Vec<&str> = line.split(' ').collect();
        let ["loads", loads, "served", served, "of", value] = words[..] else {
            panic!("{line:?}");
        };
        assert!(self.process.wait().unwrap().success());
        [loads, served, value].map(|it| it.parse().unwrap())
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// K1.
fn one_loads_for_all_processes(url: &str) {
    let mut askers: Vec<_> = (0..PROCESSES).map(|_| Asker::start(url)).collect();
    for expected in ["ready", "asking"] {
        for asker in &mut askers {
            assert_eq!(asker.line(), expected);
        }
        // All of them wait now, and it has not been loaded.
        for asker in &mut askers {
            asker.go_on();
        }
    }
    let loader = askers.iter_mut().map(Asker::end).reduce(|all, one| {
        assert_eq!(all[2], one[2], "all have got what one has loaded");
        [all[0] + one[0], all[1] + one[1], one[2]]
    });
    let [loads, served, value] = loader.unwrap();
    assert_eq!((loads, served), (1, PROCESSES * ASKERS));
    let processes = askers.iter().map(|it| it.process.id() as usize);
    assert!(processes.into_iter().any(|it| it == value));
}

#[test]
fn one_loads_for_all_processes_on_redis() {
    let server = Redis::start();
    one_loads_for_all_processes(&server.url());
}

#[test]
fn one_loads_for_all_processes_on_etcd() {
    let server = Etcd::start();
    one_loads_for_all_processes(&server.url());
}

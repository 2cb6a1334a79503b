//! Several processes that ask about the same subject.

use crate::bounds::{Passed, excess};
use kv_tests::server::{Etcd, Redis};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const PROCESSES: usize = 4;

struct Caller {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a process tells in the end.
#[derive(Debug, Default)]
struct Told {
    passed: Vec<Passed>,
    asked: u64,
    errors: u64,
}

impl Caller {
    fn start(url: &str, arguments: [&str; 4]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_caller-for-tests"))
            .arg(url)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut caller = Self {
            process,
            input,
            output,
        };
        assert_eq!(caller.line(), "ready");
        caller
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn told(&mut self) -> Told {
        let mut told = Told::default();
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["asked", asked, "errors", errors, ..] => {
                    println!("{line}");
                    told.asked = asked.parse().unwrap();
                    told.errors = errors.parse().unwrap();
                    break;
                }
                [asked, answered] => {
                    let micros = |text: &str| Duration::from_micros(text.parse().unwrap());
                    told.passed.push((micros(asked), micros(answered)));
                }
                _ => panic!("{line:?}"),
            }
        }
        assert!(self.process.wait().unwrap().success());
        told
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(url: &str, arguments: [&str; 4]) -> Told {
    let mut callers = Vec::new();
    for _ in 0..PROCESSES {
        callers.push(Caller::start(url, arguments));
    }
    for caller in &mut callers {
        caller.input.write_all(b"go\n").unwrap();
    }
    let mut all = Told::default();
    for mut caller in callers {
        let told = caller.told();
        all.asked += told.asked;
        all.errors += told.errors;
        all.passed.extend(told.passed);
    }
    all
}

/// R10: 500 at the same time, from four processes, on 100 units.
fn exactly_as_many_pass_as_there_are(url: String) {
    for tier in ["strict", "mirrored"] {
        let quota = match tier {
            "strict" => "100/day",
            _ => "100/day fixed",
        };
        let told = run(&url, [quota, tier, "125", "0"]);
        assert_eq!((told.asked, told.errors), (500, 0));
        // Both are on one key: the second finds the state of another rule, which means unused.
        assert_eq!(told.passed.len(), 100, "{tier}");
    }
}

/// R1, R5: for two seconds, far more than the quota.
fn no_span_of_time_sees_too_much(url: String) {
    let unit = Duration::from_millis(5);
    for (tier, slack) in [
        ("strict", Duration::ZERO),
        ("mirrored", Duration::ZERO),
        ("leased", Duration::from_millis(100)),
    ] {
        let told = run(&url, ["200/s burst 40", tier, "8", "2000"]);
        assert_eq!(told.errors, 0);
        assert_eq!(excess(&told.passed, 40, unit, slack), None, "{tier}");
        assert!(told.passed.len() > 40, "{tier}: {}", told.passed.len());
        println!("{tier}: {} of {} passed", told.passed.len(), told.asked);
    }
}

#[test]
fn exactly_as_many_pass_as_there_are_on_redis() {
    let server = Redis::start();
    exactly_as_many_pass_as_there_are(server.url());
}

#[test]
fn exactly_as_many_pass_as_there_are_on_etcd() {
    let server = Etcd::start();
    exactly_as_many_pass_as_there_are(server.url());
}

#[test]
fn no_span_of_time_sees_too_much_on_redis() {
    let server = Redis::start();
    no_span_of_time_sees_too_much(server.url());
}

#[test]
fn no_span_of_time_sees_too_much_on_etcd() {
    let server = Etcd::start();
    no_span_of_time_sees_too_much(server.url());
}

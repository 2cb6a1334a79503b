//! The curve: one line for each while, which reads as well in a file as on a terminal.

use crate::{
    INTERVAL, Phase,
    load::{Call, Ending},
    stack::Stack,
};
use kv_core::Stopwatch;
use std::time::Duration;

/// How many lines go below one heading.
const PAGE: usize = 20;

/// The width of a bar.
const BAR: f64 = 16.0;

/// Prints lines and remembers what the next one needs.
pub(crate) struct Curve<'a> {
    stack: &'a Stack,
    watch: Stopwatch,
    lines: usize,
    attempts: u64,
    fallbacks: u64,
    /// How many calls an interval can have.
    most: f64,
    longest: Duration,
}

/// What a line says, for those who judge it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    pub(crate) answered: u64,
    pub(crate) fell_back: u64,
    pub(crate) refused: u64,
}

impl<'a> Curve<'a> {
    /// `rate` is how many calls a second there are if none of them takes any time.
    pub(crate) fn new(stack: &'a Stack, rate: f64) -> Self {
        Self {
            stack,
            watch: Stopwatch::start(),
            lines: 0,
            attempts: stack.attempts(),
            fallbacks: stack.fallbacks(),
            most: rate * INTERVAL.as_secs_f64(),
            longest: Duration::ZERO,
        }
    }

    /// Prints what came of the calls of an interval.
    pub(crate) fn print(&mut self, phase: Phase, calls: &[Call]) -> Line {
        if self.lines.is_multiple_of(PAGE) {
            println!(
                "{:>8} {:<9} {:>8} {:<16} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:<9} {:>8} {:>8}",
                "time",
                "server",
                "answered",
                "",
                "fell back",
                "timeout",
                "unavail",
                "refused",
                "overload",
                "attempts",
                "breaker",
                "p50",
                "p99"
            );
        }
        self.lines += 1;
        let count = |end| calls.iter().filter(|it| it.end == end).count() as u64;
        let attempts = self.stack.attempts();
        let fallbacks = self.stack.fallbacks();
        let line = Line {
            answered: count(Ending::Answered),
            fell_back: fallbacks - self.fallbacks,
            refused: count(Ending::Refused),
        };
        let width = (line.answered as f64 / self.most * BAR).ceil().min(BAR);
        let mut took: Vec<Duration> = calls.iter().map(|it| it.took).collect();
        took.sort_unstable();
        self.longest = self.longest.max(took.last().copied().unwrap_or_default());
        println!(
            "{:>6.2} s {phase:<9} {:>8} {:<16} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:<9} {:>8} {:>8}",
            self.watch.elapsed().as_secs_f64(),
            line.answered,
            "#".repeat(width as usize),
            line.fell_back,
            count(Ending::TimedOut),
            count(Ending::Unavailable),
            line.refused,
            count(Ending::Overloaded),
            per_call(attempts - self.attempts, calls.len()),
            self.stack.breaker().to_string(),
            at(&took, 50),
            at(&took, 99),
        );
        (self.attempts, self.fallbacks) = (attempts, fallbacks);
        line
    }

    /// How long the longest call took.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }
}

fn per_call(attempts: u64, calls: usize) -> String {
    match calls {
        0 => "-".to_owned(),
        calls => format!("{:.2}", attempts as f64 / calls as f64),
    }
}

/// How long so many of a hundred calls took at most.
fn at(took: &[Duration], part: usize) -> String {
    match took.len() {
        0 => "-".to_owned(),
        count => format!(
            "{:.1} ms",
            took[(count - 1) * part / 100].as_secs_f64() * 1e3
        ),
    }
}

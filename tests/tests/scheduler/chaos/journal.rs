//! What the journals of the workers and the books of the store must agree on.

use std::{collections::HashMap, fmt};

/// A task that has ended, by the store.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// How many claims there were.
    pub(crate) attempts: u32,
    /// The number of the attempt whose result was kept.
    pub(crate) result: u32,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    tasks: usize,
    begun: usize,
    lapses: u32,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            begun,
            lapses,
        } = self;
        write!(
            f,
            "{tasks} tasks: {begun} handlers begun, {lapses} claims lapsed, none lost"
        )
    }
}

/// Compares what the store says of each task with the lines `id attempt` that handlers wrote when they
/// were begun.
pub(crate) fn check(ends: &[Run], lines: &[String]) -> Result<Verdict, String> {
    let mut begun: HashMap<&str, Vec<u32>> = HashMap::new();
    for line in lines {
        let (id, attempt) = line
            .split_once(' ')
            .ok_or_else(|| format!("no line: {line}"))?;
        let attempt = attempt.parse().map_err(|_| format!("no number: {line}"))?;
        begun.entry(id).or_default().push(attempt);
    }
    let mut verdict = Verdict {
        tasks: ends.len(),
        begun: lines.len(),
        lapses: 0,
    };
    for Run {
        id,
        attempts,
        result,
    } in ends
    {
        let mut attempts_begun = begun.remove(&**id).ok_or_else(|| format!("{id}: lost"))?;
        attempts_begun.sort_unstable();
        // Each claim begins a handler at most once, however often its answer is lost.
        if attempts_begun.windows(2).any(|it| it[0] == it[1]) {
            return Err(format!(
                "{id}: an attempt was begun twice: {attempts_begun:?}"
            ));
        }
        if result != attempts || attempts_begun.last() != Some(result) {
            return Err(format!(
                "{id}: the result is of attempt {result}, the last was {attempts}, begun were \
                 {attempts_begun:?}"
            ));
        }
        verdict.lapses += attempts - 1;
    }
    match begun.keys().next() {
        None => Ok(verdict),
        Some(id) => Err(format!("{id}: was never scheduled")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, check};

    fn run(id: &str, attempts: u32, result: u32) -> Run {
        let id = id.to_owned();
        Run {
            id,
            attempts,
            result,
        }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_checker_finds_what_must_not_be() {
        let good = check(
            &[run("a", 1, 1), run("b", 2, 2)],
            &lines(&["a 1", "b 1", "b 2"]),
        );
        assert_eq!(good.unwrap().lapses, 1);
        // A claim whose worker died before the handler.
        assert!(check(&[run("a", 2, 2)], &lines(&["a 2"])).is_ok());
        for (ends, journal) in [
            (run("a", 1, 1), &["b 1"][..]),
            (run("a", 1, 1), &[]),
            (run("a", 1, 1), &["a 1", "a 1"]),
            (run("a", 2, 1), &["a 1", "a 2"]),
            (run("a", 2, 2), &["a 1", "a 2", "a 3"]),
            (run("a", 1, 1), &["a 1", "b 1"]),
            (run("a", 1, 1), &["a"]),
        ] {
            assert!(check(&[ends], &lines(journal)).is_err(), "{journal:?}");
        }
    }
}

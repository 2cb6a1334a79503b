//! The task list: JSON lines, checked one by one.

use jiff::Timestamp as Instant;
use kv_core::Timestamp;
use serde::Deserialize;
use std::{collections::HashSet, fmt, io, time::Duration};

/// One line of the list, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) tenant: String,
    pub(crate) id: String,
    /// When it is due, on the store's clock.
    pub(crate) run_at: Timestamp,
    pub(crate) payload: String,
}

/// A line that is no task, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) number: usize,
    pub(crate) reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.reason)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: String,
    id: String,
    run_at: String,
    payload: serde_json::Value,
}

/// Reads a list; times such as `+250` count from `start`. Bad lines are told, the others are kept.
pub(crate) fn read(
    input: impl io::BufRead,
    start: Timestamp,
) -> io::Result<(Vec<Task>, Vec<BadLine>)> {
    let mut tasks = Vec::new();
    let mut bad = Vec::new();
    let mut seen = HashSet::new();
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        match parse(&line, start) {
            Ok(task) if seen.insert((task.tenant.clone(), task.id.clone())) => tasks.push(task),
            Ok(task) => bad.push(BadLine {
                number,
                reason: format!(
                    "task `{}` of tenant `{}` is there already",
                    task.id, task.tenant
                ),
            }),
            Err(reason) => bad.push(BadLine { number, reason }),
        }
    }
    Ok((tasks, bad))
}

fn parse(line: &[u8], start: Timestamp) -> Result<Task, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        // Each line is a document of its own; "line 1" of it would only confuse.
        error.to_string().replace(" at line 1 column", " at column")
    })?;
    for (name, text) in [("tenant", &line.tenant), ("id", &line.id)] {
        if text.is_empty() {
            return Err(format!("`{name}` must not be empty"));
        }
    }
    Ok(Task {
        run_at: due(&line.run_at, start)?,
        tenant: line.tenant,
        id: line.id,
        payload: line.payload.to_string(),
    })
}

fn due(text: &str, start: Timestamp) -> Result<Timestamp, String> {
    if let Some(millis) = text.strip_prefix('+') {
        return match millis.parse() {
            Ok(millis) => Ok(start.saturating_add(Duration::from_millis(millis))),
            Err(_) => Err(format!(
                "`run_at` is `{text}`; after the `+` whole milliseconds are expected"
            )),
        };
    }
    match text.parse::<Instant>() {
        Ok(instant) => Ok(Timestamp::from_micros(instant.as_microsecond())),
        Err(_) => Err(format!(
            "`run_at` is `{text}`; expected RFC 3339, or `+` and milliseconds from the start"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, read};

    fn list(text: &str) -> (Vec<super::Task>, Vec<String>) {
        let (tasks, bad) = read(text.as_bytes(), Timestamp::from_micros(1_000_000)).unwrap();
        (tasks, bad.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let (tasks, bad) = list(
            "{\"tenant\":\"a\",\"id\":\"1\",\"run_at\":\"+250\",\"payload\":{\"n\":1}}\n\n\
             {\"tenant\":\"a\",\"id\":\"2\",\"run_at\":\"1970-01-01T00:00:02+00:00\",\"payload\":null}",
        );
        assert_eq!(bad, [""; 0]);
        let times: Vec<_> = tasks.iter().map(|it| it.run_at.as_micros()).collect();
        assert_eq!(times, [1_250_000, 2_000_000]);
        assert_eq!(tasks[0].payload, "{\"n\":1}");
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_the_rest_is_kept() {
        let good = "{\"tenant\":\"a\",\"id\":\"1\",\"run_at\":\"+0\",\"payload\":1}";
        let other_tenant = good.replace("\"a\"", "\"b\"");
        let text = [
            good,
            "nonsense",
            good,
            &other_tenant,
            &good.replace("+0", "tomorrow"),
            &good.replace("+0", "+soon"),
            &good.replace("\"1\"", "\"\""),
        ]
        .join("\n");
        let (tasks, bad) = list(&text);
        assert_eq!(tasks.len(), 2);
        assert_eq!(bad.len(), 5);
        assert!(
            bad[0].starts_with("line 2: expected ident at column 2"),
            "{}",
            bad[0]
        );
        assert_eq!(bad[1], "line 3: task `1` of tenant `a` is there already");
        assert!(bad[2].starts_with("line 5: `run_at` is `tomorrow`"));
        assert!(bad[3].starts_with("line 6: `run_at` is `+soon`"));
        assert_eq!(bad[4], "line 7: `id` must not be empty");
    }

    #[test]
    fn the_list_that_comes_along_is_good() {
        let (tasks, bad) = list(include_str!("tasks.jsonl"));
        assert_eq!((tasks.len(), bad.len()), (10_000, 0));
        let last = tasks.iter().map(|it| it.run_at).max().unwrap();
        assert!(last.as_micros() <= 4_000_000);
    }
}

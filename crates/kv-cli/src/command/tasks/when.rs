//! Instants: for people as seen from now, for programs as RFC 3339 has them.

use crate::command::span::span;
use kv_core::Timestamp;
use kv_scheduler::State;
use serde_json::{Value as Json, json};
use std::time::{Duration, UNIX_EPOCH};

/// The end of the year 9999, up to which RFC 3339 goes, in seconds.
const LAST: u64 = 253_402_300_799;

/// RFC 3339 with microseconds, or the microseconds themselves where it ends.
pub(super) fn json(at: Timestamp) -> Json {
    let micros = at.as_micros();
    match u64::try_from(micros) {
        Ok(since) if since / 1_000_000 <= LAST => {
            let at = UNIX_EPOCH + Duration::from_micros(since);
            humantime::format_rfc3339_micros(at).to_string().into()
        }
        _ => micros.into(),
    }
}

/// `in 59m 59s`, or `3s ago`.
pub(super) fn line(at: Timestamp, now: Timestamp) -> String {
    match at > now {
        true => format!("in {}", span(at.saturating_since(now))),
        false => format!("{} ago", span(now.saturating_since(at))),
    }
}

/// The name of a state, and what its time means.
pub(super) struct Told {
    pub(super) state: &'static str,
    /// As in `due in 5m`.
    pub(super) what: &'static str,
    pub(super) at: Option<Timestamp>,
}

impl Told {
    pub(super) fn of(state: Option<State>) -> Self {
        let told = |state, what, at| Self {
            state,
            what,
            at: Some(at),
        };
        match state {
            Some(State::Pending { due }) => told("pending", "due", due),
            Some(State::Running {
                lease_ends,
                is_cancelled,
            }) => {
                let name = match is_cancelled {
                    true => "cancelling",
                    false => "running",
                };
                told(name, "lease ends", lease_ends)
            }
            Some(State::Done { kept_until }) => told("done", "goes", kept_until),
            Some(State::Dead { kept_until }) => told("dead", "goes", kept_until),
            // One that cannot be read, or of a newer library.
            _ => Self {
                state: "unknown",
                what: "",
                at: None,
            },
        }
    }

    pub(super) fn line(&self, now: Timestamp) -> String {
        let at = self.at.map(|at| line(at, now)).unwrap_or_default();
        format!("{} {at}", self.what)
    }

    /// Adds the state and its instant to a document.
    pub(super) fn put_into(&self, document: &mut Json) {
        document["state"] = json!(self.state);
        let name = match self.what {
            "due" => "due",
            "lease ends" => "lease_ends",
            "goes" => "kept_until",
            _ => return,
        };
        document[name] = json!(self.at.map(json));
    }
}

#[cfg(test)]
mod tests {
    use super::{json, line};
    use kv_core::Timestamp;
    use std::time::Duration;

    #[test]
    fn instants_are_read_as_people_and_programs_do() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let in_an_hour = now.saturating_add(Duration::from_secs(3_599));
        assert_eq!(line(in_an_hour, now), "in 59m 59s");
        assert_eq!(line(now, in_an_hour), "59m 59s ago");
        assert_eq!(json(now), "2023-11-14T22:13:20.000000Z");
        assert_eq!(json(Timestamp::from_micros(-7)), -7);
        assert_eq!(json(Timestamp::from_micros(i64::MAX)), i64::MAX);
    }
}

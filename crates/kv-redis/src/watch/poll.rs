//! Watching keys on a server that pushes no changes: what was seen is compared with what is.

use super::{look::Look, subscriber::Change};
use bytes::Bytes;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// By how much a deadline may seem to move between two looks without being another.
const SLACK: Duration = Duration::from_millis(100);

/// What was seen of each key last.
#[derive(Default)]
pub(super) struct Seen(HashMap<Bytes, State>);

/// Enough of a key's state to tell it from another.
#[derive(Clone, Copy)]
enum State {
    Missing,
    Present {
        content: u64,
        ends: Option<Duration>,
    },
}

impl Seen {
    /// Remembers a look; answers what changed since the last one, if there was one.
    pub(super) fn compare(&mut self, key: &Bytes, look: Look, now: Duration) -> Option<Change> {
        let (state, change) = match look {
            Look::Missing => (State::Missing, Change::Delete),
            Look::Present { value, left, dump } => {
                let mut content = DefaultHasher::new();
                (value.as_ref(), dump).hash(&mut content);
                let state = State::Present {
                    content: content.finish(),
                    ends: left.map(|left| now.saturating_add(left)),
                };
                (state, Change::Put(value))
            }
            Look::Torn | Look::Refused(_) => return None,
        };
        let before = self.0.insert(key.clone(), state)?;
        (!before.is_same(state)).then_some(change)
    }

    /// Keeps what was seen of these keys.
    pub(super) fn retain(&mut self, keep: impl Fn(&Bytes) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

impl State {
    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Missing, Self::Missing) => true,
            (
                Self::Present { content, ends },
                Self::Present {
                    content: other,
                    ends: then,
                },
            ) => {
                let same_end = match (ends, then) {
                    (Some(ends), Some(then)) => ends.abs_diff(then) <= SLACK,
                    (ends, then) => ends == then,
                };
                content == other && same_end
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_compared_with_the_one_before() {
        let mut seen = Seen::default();
        let key = Bytes::from("k");
        let present = |value: &str, left: Option<u64>| Look::Present {
            value: Some(value.into()),
            left: left.map(Duration::from_millis),
            dump: None,
        };
        let mut compare = |look, now| seen.compare(&key, look, Duration::from_millis(now));
        assert_eq!(compare(Look::Missing, 0), None);
        assert_eq!(compare(Look::Missing, 1), None);
        let put = |value: &str| Some(Change::Put(Some(value.into())));
        assert_eq!(compare(present("a", None), 2), put("a"));
        assert_eq!(compare(present("a", None), 3), None);
        assert_eq!(compare(present("b", None), 4), put("b"));
        assert_eq!(compare(present("b", Some(9_000)), 5), put("b"));
        assert_eq!(compare(present("b", Some(8_000)), 1_000), None);
        assert_eq!(compare(present("b", Some(9_000)), 1_005), put("b"));
        assert_eq!(compare(Look::Missing, 1_006), Some(Change::Delete));
    }
}

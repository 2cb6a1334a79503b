//! Watching keys on a server that pushes no changes: what was seen is compared with what is.

use super::{board::Board, look::Look};
use bytes::Bytes;
use kv_core::subscription::Change;
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
pub(super) enum State {
    Missing,
    Present {
        content: u64,
        ends: Option<Duration>,
    },
    /// It came or went during the look: the next one tells a change, whatever it finds.
    Unknown,
}

impl Seen {
    /// Remembers a look and tells what changed since the last one, if there was one.
    pub(super) fn tell(&mut self, board: &mut Board, key: &Bytes, look: Look, now: Duration) {
        if let Look::Refused(failure) = &look {
            board.refuse(key, failure);
            return;
        }
        board.expect_end(key, &look, now);
        if let Some(change) = self.compare(key, look, now) {
            board.tell(key, change);
        }
    }

    fn compare(&mut self, key: &Bytes, look: Look, now: Duration) -> Option<Change> {
        let Some(state) = State::of(&look, now) else {
            self.0.entry(key.clone()).or_insert(State::Unknown);
            return None;
        };
        let change = match look {
            Look::Present { value, .. } => Change::Put(value),
            _ => Change::Delete,
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
    /// What a look tells, if anything.
    pub(super) fn of(look: &Look, now: Duration) -> Option<Self> {
        match look {
            Look::Missing => Some(Self::Missing),
            Look::Present { value, left, dump } => {
                let mut content = DefaultHasher::new();
                (value, dump).hash(&mut content);
                Some(Self::Present {
                    content: content.finish(),
                    ends: left.map(|left| now.saturating_add(left)),
                })
            }
            Look::Torn | Look::Refused(_) => None,
        }
    }

    pub(super) fn is_same(self, other: Self) -> bool {
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
    use kv_core::subscription::{Kind, Subscriber};
    use std::sync::Arc;

    fn present(value: &str, left: Option<u64>) -> Look {
        Look::Present {
            value: Some(value.into()),
            left: left.map(Duration::from_millis),
            dump: None,
        }
    }

    fn put(value: &str) -> Option<Change> {
        Some(Change::Put(Some(value.into())))
    }

    #[test]
    fn a_look_is_compared_with_the_one_before() {
        let mut seen = Seen::default();
        let key = Bytes::from("k");
        let mut compare = |look, now| seen.compare(&key, look, Duration::from_millis(now));
        assert_eq!(compare(Look::Missing, 0), None);
        assert_eq!(compare(Look::Missing, 1), None);
        assert_eq!(compare(present("a", None), 2), put("a"));
        assert_eq!(compare(present("a", None), 3), None);
        assert_eq!(compare(present("b", None), 4), put("b"));
        assert_eq!(compare(present("b", Some(9_000)), 5), put("b"));
        assert_eq!(compare(present("b", Some(8_000)), 1_000), None);
        assert_eq!(compare(present("b", Some(9_000)), 1_005), put("b"));
        assert_eq!(compare(Look::Missing, 1_006), Some(Change::Delete));
    }

    #[test]
    fn a_key_that_changed_during_the_first_look_is_told_by_the_second() {
        for (second, told) in [
            (present("a", None), put("a")),
            (Look::Missing, Some(Change::Delete)),
        ] {
            let mut seen = Seen::default();
            let key = Bytes::from("k");
            let mut compare = |look, now| seen.compare(&key, look, Duration::from_millis(now));
            assert_eq!(compare(Look::Torn, 0), None);
            assert_eq!(compare(second.clone(), 1), told);
            assert_eq!(compare(Look::Torn, 2), None);
            assert_eq!(compare(second, 3), None, "as before");
        }
    }

    /// Somebody who watches a key since `seen` was told what the look found.
    fn watched(seen: &mut Seen, board: &mut Board, look: Look) -> Arc<Subscriber> {
        let (subscriber, _live) = board.join(Kind::Keys, vec![Bytes::from("k")]);
        armed(seen, board, look);
        subscriber
    }

    fn armed(seen: &mut Seen, board: &mut Board, look: Look) {
        let mut work = board.take_work().unwrap();
        work.found.push(look.clone());
        seen.tell(board, &work.arm[0].0, look, Duration::ZERO);
        board.finish(work, Duration::ZERO);
    }

    #[test]
    fn the_look_for_a_second_watcher_tells_the_first_what_changed() {
        let (mut seen, mut board) = (Seen::default(), Board::default());
        let (first, _live) = board.join(Kind::Keys, vec![Bytes::from("k")]);
        let mut work = board.take_work().unwrap();
        // The second one comes before the first one's look is answered.
        let (_second, _live) = board.join(Kind::Keys, vec![Bytes::from("k")]);
        work.found.push(present("a", None));
        seen.tell(
            &mut board,
            &Bytes::from("k"),
            present("a", None),
            Duration::ZERO,
        );
        board.finish(work, Duration::ZERO);
        assert_eq!(first.take(), []);
        armed(&mut seen, &mut board, present("b", None));
        assert_eq!(first.take().len(), 1);
    }

    #[test]
    fn who_loses_the_permission_is_told() {
        let (mut seen, mut board) = (Seen::default(), Board::default());
        let subscriber = watched(&mut seen, &mut board, present("a", None));
        let denied =
            crate::error::Failure::new(kv_core::ErrorKind::Denied, kv_core::Outcome::Final, "no");
        let key = Bytes::from("k");
        seen.tell(&mut board, &key, Look::Refused(denied), Duration::ZERO);
        assert!(subscriber.has_ended());
    }
}

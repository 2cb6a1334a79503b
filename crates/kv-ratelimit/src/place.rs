//! Where the state of a limit is on the store.

use bytes::{BufMut, BytesMut};
use kv_core::{Key, KeyGroup, Result};
use std::cell::RefCell;

/// The state of a policy for a subject, `{rl:SUBJECT}:POLICY`. All of a subject are one group, so that several limits
/// of it are asked in one call.
pub(crate) fn limit(subject: &[u8], policy: &str) -> Result<Key> {
    ROOM.with_borrow_mut(|room| {
        let length = LIMIT.len() + 3 * subject.len() + 2 + policy.len();
        if length > ROOM_SIZE / 4 {
            let mut key = BytesMut::with_capacity(length);
            write(&mut key, subject, policy);
            return Key::new(key.freeze());
        }
        if room.capacity() < length {
            // Begins from the front again if none of its keys is left.
            room.reserve(ROOM_SIZE);
        }
        write(room, subject, policy);
        Key::new(room.split().freeze())
    })
}

/// All keys of a budget, which are changed together.
pub(crate) fn budget(name: &[u8]) -> Result<KeyGroup> {
    let mut tag = b"budget:".to_vec();
    escape(name, &mut tag);
    KeyGroup::new(tag)
}

fn write(key: &mut BytesMut, subject: &[u8], policy: &str) {
    key.extend_from_slice(LIMIT);
    escape(subject, key);
    key.extend_from_slice(b"}:");
    key.extend_from_slice(policy.as_bytes());
}

fn escape(name: &[u8], tag: &mut impl BufMut) {
    let is_plain = |byte: &u8| !matches!(byte, b'}' | b'%');
    let mut rest = name;
    // Most have nothing to escape, and go in one piece.
    while let Some(at) = rest.iter().position(|it| !is_plain(it)) {
        tag.put_slice(&rest[..at]);
        // It would end the tag; and what escapes it is escaped itself.
        tag.put_slice(if rest[at] == b'}' { b"%7D" } else { b"%25" });
        rest = &rest[at + 1..];
    }
    tag.put_slice(rest);
}

const LIMIT: &[u8] = b"{rl:";
/// How long a buffer is that keys share.
const ROOM_SIZE: usize = 2_048;

thread_local! {
    /// Where keys are put one after the other. It is kept as long as any of them.
    static ROOM: RefCell<BytesMut> = RefCell::default();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{budget, limit};

    #[test]
    fn different_subjects_and_policies_are_different_places() {
        let of = |subject: &str, policy| limit(subject.as_bytes(), policy).unwrap();
        assert_eq!(of("ann", "api").as_bytes(), b"{rl:ann}:api");
        assert_eq!(of("", "api").as_bytes(), b"{rl:}:api");
        assert_ne!(of("a}", "api"), of("a%7D", "api"));
        assert_ne!(of("a}:b", "c"), of("a", "b}:c"));
        assert_eq!(of("ann", "api").group(), of("ann", "login").group());
    }

    #[test]
    fn keys_that_share_a_buffer_stay_as_they_are() {
        let subjects: Vec<_> = (0..200).map(|it| "a}%".repeat(it)).collect();
        let keys: Vec<_> = subjects
            .iter()
            .map(|it| limit(it.as_bytes(), "api").unwrap())
            .collect();
        for (subject, key) in subjects.iter().zip(keys) {
            let subject = subject.replace('%', "%25").replace('}', "%7D");
            assert_eq!(key.as_bytes(), format!("{{rl:{subject}}}:api").as_bytes());
        }
    }

    #[test]
    fn different_budgets_are_different_places() {
        let of = |name: &str| budget(name.as_bytes()).unwrap().key(":used");
        assert_eq!(of("ann").as_bytes(), b"{budget:ann}:used");
        assert_ne!(of("a}"), of("a%7D"));
        assert_ne!(of("a}:b"), of("a"));
    }
}

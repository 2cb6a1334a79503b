//! Where the state of a limit is on the store.

use kv_core::{Key, KeyGroup, Result};

/// All that is known of a subject, in one group: several limits of one subject are asked in one call.
pub(crate) fn group(subject: &[u8]) -> Result<KeyGroup> {
    tagged(b"rl:", subject)
}

/// All keys of a budget, which are changed together.
pub(crate) fn budget(name: &[u8]) -> Result<KeyGroup> {
    tagged(b"budget:", name)
}

/// The key of a policy's state.
pub(crate) fn key(group: &KeyGroup, policy: &str) -> Key {
    let mut suffix = Vec::with_capacity(1 + policy.len());
    suffix.push(b':');
    suffix.extend_from_slice(policy.as_bytes());
    group.key(suffix)
}

fn tagged(head: &[u8], name: &[u8]) -> Result<KeyGroup> {
    let mut tag = Vec::with_capacity(head.len() + name.len());
    tag.extend_from_slice(head);
    escape(name, &mut tag);
    KeyGroup::new(tag)
}

fn escape(subject: &[u8], tag: &mut Vec<u8>) {
    for &byte in subject {
        match byte {
            // It would end the tag; and what escapes it is escaped itself.
            b'}' => tag.extend(b"%7D"),
            b'%' => tag.extend(b"%25"),
            _ => tag.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{budget, group, key};

    #[test]
    fn different_subjects_and_policies_are_different_places() {
        let of = |subject: &str, policy| key(&group(subject.as_bytes()).unwrap(), policy);
        assert_eq!(of("ann", "api").as_bytes(), b"{rl:ann}:api");
        assert_eq!(of("", "api").as_bytes(), b"{rl:}:api");
        assert_ne!(of("a}", "api"), of("a%7D", "api"));
        assert_ne!(of("a}:b", "c"), of("a", "b}:c"));
        assert_eq!(of("ann", "api").group(), of("ann", "login").group());
    }

    #[test]
    fn different_budgets_are_different_places() {
        let of = |name: &str| budget(name.as_bytes()).unwrap().key(":used");
        assert_eq!(of("ann").as_bytes(), b"{budget:ann}:used");
        assert_ne!(of("a}"), of("a%7D"));
        assert_ne!(of("a}:b"), of("a"));
    }
}

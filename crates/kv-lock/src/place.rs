//! Where a lock is on the store.

use kv_core::{Key, KeyGroup, Result};

/// The keys of a lock, in one group.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who holds it, with the lease.
    pub(crate) holder: Key,
    /// The last fence.
    pub(crate) fence: Key,
    /// The channel that tells waiters that it is free.
    pub(crate) free: Key,
}

impl Place {
    /// Any bytes are a name.
    pub(crate) fn of(name: &[u8]) -> Result<Self> {
        let group = group("lock", name)?;
        Ok(Self {
            holder: group.key(":holder"),
            fence: group.key(":fence"),
            free: group.key(":free"),
        })
    }
}

/// The keys of what has this name; kinds that do not keep each other out have other groups.
pub(crate) fn group(kind: &str, name: &[u8]) -> Result<KeyGroup> {
    let mut tag = format!("{kind}:").into_bytes();
    for &byte in name {
        match byte {
            // It would end the tag; and what escapes it is escaped itself.
            b'}' => tag.extend(b"%7D"),
            b'%' => tag.extend(b"%25"),
            _ => tag.push(byte),
        }
    }
    KeyGroup::new(tag)
}

/// The name in a key of such a group; `None` for all other keys.
pub(crate) fn name_in(key: &Key, kind: &str, part: &str) -> Option<Vec<u8>> {
    let rest = key.as_bytes().strip_prefix(b"{")?;
    let rest = rest.strip_prefix(kind.as_bytes())?.strip_prefix(b":")?;
    let tag = rest.strip_suffix(part.as_bytes())?.strip_suffix(b"}")?;
    let name: Vec<u8> = percent_encoding::percent_decode(tag).collect();
    // Others may write keys that look alike.
    let is_ours = group(kind, &name).is_ok_and(|it| it.key(part) == *key);
    is_ours.then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Place, group, name_in};
    use kv_core::Key;

    #[test]
    fn different_names_are_different_places() {
        let of = |name: &str| Place::of(name.as_bytes()).unwrap().holder;
        assert_eq!(of("orders/42").as_bytes(), b"{lock:orders/42}:holder");
        assert_eq!(of("").as_bytes(), b"{lock:}:holder");
        assert_ne!(of("a}"), of("a%7D"));
        assert_ne!(of("a%7D"), of("a%257D"));
    }

    #[test]
    fn a_key_tells_the_name() {
        let holder = |key: &Key| name_in(key, "lock", ":holder");
        for name in ["orders/42", "", "a}b{c", "%7D%", "ü %"] {
            let place = Place::of(name.as_bytes()).unwrap();
            assert_eq!(holder(&place.holder).unwrap(), name.as_bytes());
            assert_eq!(holder(&place.fence), None);
            let other = group("rw", name.as_bytes()).unwrap().key(":holder");
            assert_eq!(holder(&other), None);
        }
        let bytes = Place::of(b"\xff\x00").unwrap().holder;
        assert_eq!(holder(&bytes).unwrap(), b"\xff\x00");
        for foreign in ["{lock:%61}:holder", "{lock:a}b}:holder", "lock:a"] {
            assert_eq!(holder(&Key::new(foreign).unwrap()), None, "{foreign}");
        }
    }
}

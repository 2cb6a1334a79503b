//! What processes tell each other about a cache.

use crate::tags::{Change, TagName};

/// Of this form; a process that hears another one's cannot go by it.
const FORMAT: u8 = 1;
/// The form, the kind, the sender and the number.
const HEAD: usize = 1 + 1 + 16 + 8;

/// Who tells something: a process, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Boot(pub(crate) u128);

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) boot: Boot,
    /// What is counted has the next number; others have the one of the last that was.
    pub(crate) number: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The entry is gone, or another one: copies are dropped.
    Removed(Vec<u8>),
    /// Copies are stale.
    Expired(Vec<u8>),
    /// That has become of all copies with this tag; of all there are, for `None`.
    Tag(Option<TagName>, Change),
    /// What had this number was not done.
    Nothing,
    /// The sender is there, and has sent so many. It is not counted. The stamp is the sender's own: when it was
    /// sent, in nanoseconds.
    Beat(u64),
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let stamp;
        let (kind, name) = match &self.what {
            What::Removed(key) => (b'r', &key[..]),
            What::Expired(key) => (b'e', &key[..]),
            What::Tag(Some(tag), Change::Removed) => (b'R', &tag[..]),
            What::Tag(Some(tag), Change::Expired) => (b'E', &tag[..]),
            What::Tag(None, Change::Removed) => (b'C', &[][..]),
            What::Tag(None, Change::Expired) => (b'A', &[][..]),
            What::Nothing => (b'n', &[][..]),
            What::Beat(nanos) => {
                stamp = nanos.to_be_bytes();
                (b'b', &stamp[..])
            }
        };
        let mut bytes = Vec::with_capacity(HEAD + name.len());
        bytes.extend([FORMAT, kind]);
        bytes.extend(self.boot.0.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(name);
        bytes
    }

    /// `None` for what is none of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[format, kind], rest) = bytes.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (number, name) = rest.split_first_chunk()?;
        if format != FORMAT {
            return None;
        }
        let what = match (kind, name) {
            (b'r', name) => What::Removed(name.to_vec()),
            (b'e', name) => What::Expired(name.to_vec()),
            (b'R', tag) => What::Tag(Some(tag.into()), Change::Removed),
            (b'E', tag) => What::Tag(Some(tag.into()), Change::Expired),
            (b'C', []) => What::Tag(None, Change::Removed),
            (b'A', []) => What::Tag(None, Change::Expired),
            (b'n', []) => What::Nothing,
            (b'b', stamp) => What::Beat(u64::from_be_bytes(stamp.try_into().ok()?)),
            _ => return None,
        };
        Some(Self {
            boot: Boot(u128::from_be_bytes(*boot)),
            number: u64::from_be_bytes(*number),
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        for what in [
            What::Removed(b"t1/c:{a}".to_vec()),
            What::Expired(Vec::new()),
            What::Tag(Some(b"red"[..].into()), Change::Removed),
            What::Tag(Some(b"red"[..].into()), Change::Expired),
            What::Tag(None, Change::Removed),
            What::Tag(None, Change::Expired),
            What::Nothing,
            What::Beat(1 << 50),
        ] {
            let message = Message {
                boot: Boot(7 << 90),
                number: 1 << 40,
                what,
            };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let message = Message {
            boot: Boot(1),
            number: 1,
            what: What::Beat(3),
        };
        let good = message.encode();
        for end in 0..good.len() {
            assert_eq!(Message::decode(&good[..end]), None);
        }
        assert_eq!(Message::decode(&[&good[..], b"x"].concat()), None);
        for (at, byte) in [(0, 2), (1, b'x')] {
            let mut wrong = good.clone();
            wrong[at] = byte;
            assert_eq!(Message::decode(&wrong), None);
        }
    }
}

//! An entry as it lies on the store.
//!
//! ```text
//!  0      1        2       3         11     19      27     35     43
//! | 0xCA | format | flags | version | since | fresh | life | took | what the codec wrote ...
//!   1 byte 1        1       8         8 µs    8 ms    8 ms   8 µs   big endian
//! ```
//!
//! Where the flag says so the versions of its tags come before what the codec wrote: those of all entries, the
//! number of its own, and for each of these its length, its name and its versions.
//!
//! ```text
//! | removed | expired | count | length | name | removed | expired | length ...
//!   8         8         2       2        ...    8         8
//! ```
//!
//! A reader takes what it knows. Another format, or a flag that it does not know, was written by a newer
//! program: that is no entry for this one, which leaves it alone. So programs of both versions can run side by
//! side, the older ones without this entry.

use crate::{
    freshness::Terms,
    tags::{LONGEST_TAG, MOST_TAGS, TagVersions, Versions},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kv_core::{Timestamp, Value};
use std::time::Duration;

/// Tells an entry from anything else.
const MAGIC: u8 = 0xca;
const FORMAT: u8 = 1;
/// There is nothing: what is remembered is just that.
const MISSING: u8 = 1;
/// The versions of its tags are told.
const TAGGED: u8 = 2;
const KNOWN_FLAGS: u8 = MISSING | TAGGED;
const HEADER: usize = 43;

/// What is known of an entry besides its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The token that came with the lease of its load.
    pub(crate) version: u64,
    /// The store's time that came with it: its age counts from then.
    pub(crate) since: Timestamp,
    pub(crate) terms: Terms,
    pub(crate) content: Content,
    pub(crate) tags: TagVersions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Value,
    Missing,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A newer program wrote it.
    Newer,
    /// It is damaged, or something else.
    Damaged,
}

impl Envelope {
    pub(crate) fn seal(&self, payload: &[u8]) -> Value {
        let mut out = BytesMut::with_capacity(HEADER + payload.len());
        out.put_u8(MAGIC);
        out.put_u8(FORMAT);
        let is_tagged = self.tags != TagVersions::default();
        let missing = match self.content {
            Content::Value => 0,
            Content::Missing => MISSING,
        };
        out.put_u8(missing | if is_tagged { TAGGED } else { 0 });
        out.put_u64(self.version);
        out.put_i64(self.since.as_micros());
        // Rounded down: it is never given more time than it has.
        out.put_u64(millis(self.terms.fresh));
        out.put_u64(millis(self.terms.life));
        out.put_u64(u64::try_from(self.terms.took.as_micros()).unwrap_or(u64::MAX));
        if is_tagged {
            put_tags(&mut out, &self.tags);
        }
        out.put_slice(payload);
        Value::from(out.freeze())
    }

    /// The envelope, and what is in it.
    pub(crate) fn open(value: Value) -> Result<(Self, Bytes), Unreadable> {
        let mut bytes = value.into_bytes();
        match bytes[..] {
            [MAGIC, FORMAT, ..] => {}
            [MAGIC, newer, ..] if newer > FORMAT => return Err(Unreadable::Newer),
            _ => return Err(Unreadable::Damaged),
        }
        if bytes.len() < HEADER {
            return Err(Unreadable::Damaged);
        }
        bytes.advance(2);
        let flags = bytes.get_u8();
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Unreadable::Newer);
        }
        let version = bytes.get_u64();
        let since = Timestamp::from_micros(bytes.get_i64());
        let terms = Terms {
            fresh: Duration::from_millis(bytes.get_u64()),
            life: Duration::from_millis(bytes.get_u64()),
            took: Duration::from_micros(bytes.get_u64()),
        };
        let content = match flags & MISSING {
            0 => Content::Value,
            _ => Content::Missing,
        };
        let tags = match flags & TAGGED {
            0 => TagVersions::default(),
            _ => get_tags(&mut bytes).ok_or(Unreadable::Damaged)?,
        };
        let envelope = Self {
            version,
            since,
            terms,
            content,
            tags,
        };
        Ok((envelope, bytes))
    }

    /// How old it is at that time of the store.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        now.saturating_since(self.since)
    }
}

/// There are no more and none longer than their numbers hold: whoever names them sees to it.
fn put_tags(out: &mut BytesMut, tags: &TagVersions) {
    put_versions(out, tags.all);
    out.put_u16(tags.named.len() as u16);
    for (tag, versions) in &tags.named {
        out.put_u16(tag.len() as u16);
        out.put_slice(tag);
        put_versions(out, *versions);
    }
}

fn get_tags(bytes: &mut Bytes) -> Option<TagVersions> {
    let all = get_versions(bytes)?;
    let mut named = Vec::new();
    let count = bytes.try_get_u16().ok()?;
    if usize::from(count) > MOST_TAGS {
        return None;
    }
    for _ in 0..count {
        let length = usize::from(bytes.try_get_u16().ok()?);
        if !(1..=LONGEST_TAG).contains(&length) || length > bytes.len() {
            return None;
        }
        let tag = bytes.split_to(length)[..].into();
        named.push((tag, get_versions(bytes)?));
    }
    Some(TagVersions { all, named })
}

fn put_versions(out: &mut BytesMut, versions: Versions) {
    out.put_u64(versions.removed);
    out.put_u64(versions.expired);
}

fn get_versions(bytes: &mut Bytes) -> Option<Versions> {
    Some(Versions {
        removed: bytes.try_get_u64().ok()?,
        expired: bytes.try_get_u64().ok()?,
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Content, Envelope, HEADER, Unreadable};
    use crate::{
        freshness::Terms,
        tags::{TagVersions, Versions},
    };
    use kv_core::{Timestamp, Value};
    use proptest::prelude::*;
    use std::time::Duration;

    fn envelope() -> Envelope {
        Envelope {
            version: 0x0102_0304_0506_0708,
            since: Timestamp::from_micros(0x1112_1314_1516_1718),
            terms: Terms {
                fresh: Duration::from_millis(300_000),
                life: Duration::from_millis(7_500_000),
                took: Duration::from_micros(1_234),
            },
            content: Content::Value,
            tags: TagVersions::default(),
        }
    }

    fn tagged() -> Envelope {
        let versions = |removed, expired| Versions { removed, expired };
        let named = vec![
            (b"red"[..].into(), versions(3, 4)),
            (b"}"[..].into(), versions(5, 6)),
        ];
        let all = versions(1, 2);
        Envelope {
            tags: TagVersions { all, named },
            ..envelope()
        }
    }

    /// What is on stores already is read for ever.
    #[test]
    fn the_bytes_are_these() {
        let sealed = envelope().seal(b"{}");
        let golden = b"\xca\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x11\x12\x13\x14\x15\x16\x17\x18\0\0\0\0\0\x04\x93\xe0\0\0\0\0\0\x72\x70\xe0\0\0\0\0\0\0\x04\xd2{}";
        assert_eq!(sealed.as_bytes(), golden);
        let (opened, payload) = Envelope::open(sealed).unwrap();
        assert_eq!((opened, &payload[..]), (envelope(), &b"{}"[..]));
        assert_eq!(golden.len(), HEADER + 2);

        let sealed = tagged().seal(b"{}");
        let told = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\x02\0\x03red\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\x01}\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06{}";
        assert_eq!(sealed.as_bytes()[2], 2);
        assert_eq!(sealed.as_bytes()[3..HEADER], golden[3..HEADER]);
        assert_eq!(&sealed.as_bytes()[HEADER..], told);
        let (opened, payload) = Envelope::open(sealed.clone()).unwrap();
        assert_eq!((opened, &payload[..]), (tagged(), &b"{}"[..]));
        for end in HEADER..HEADER + told.len() - 2 {
            let cut = Value::from(&sealed.as_bytes()[..end]);
            assert_eq!(Envelope::open(cut), Err(Unreadable::Damaged));
        }
    }

    #[test]
    fn what_newer_programs_wrote_is_told_from_what_is_damaged() {
        let sealed = envelope().seal(b"{}");
        let with = |at: usize, byte| {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] = byte;
            Envelope::open(Value::from(bytes)).map(drop)
        };
        assert_eq!(with(1, 2), Err(Unreadable::Newer));
        assert_eq!(with(2, 4), Err(Unreadable::Newer));
        assert_eq!(with(1, 0), Err(Unreadable::Damaged));
        assert_eq!(with(0, b'{'), Err(Unreadable::Damaged));
        let open = |bytes: &[u8]| Envelope::open(Value::from(bytes)).map(drop);
        assert_eq!(open(b""), Err(Unreadable::Damaged));
        assert_eq!(
            open(&sealed.as_bytes()[..HEADER - 1]),
            Err(Unreadable::Damaged)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_opened_or_refused(bytes in any::<Vec<u8>>(), version in any::<u64>(), payload in any::<Vec<u8>>()) {
            let _ = Envelope::open(Value::from(bytes));
            let envelope = Envelope { version, content: Content::Missing, ..envelope() };
            let (opened, inside) = Envelope::open(envelope.seal(&payload)).unwrap();
            prop_assert_eq!((opened, &inside[..]), (envelope, &payload[..]));
            let tagged = tagged();
            let (opened, inside) = Envelope::open(tagged.seal(&payload)).unwrap();
            prop_assert_eq!((opened, &inside[..]), (tagged, &payload[..]));
        }
    }
}

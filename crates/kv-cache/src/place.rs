//! Where the entries of a cache lie.

use crate::{
    key::{CacheKey, escape, unescape},
    tags::TagName,
};
use kv_core::{Context, Error, Key, KeyFormat, KeyGroup, Result, Segment};
use std::cell::Cell;

thread_local! {
    /// A lookup needs its key no longer than it takes.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static PREFIX: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A key as the store sees it: what this process keeps entries by, as it would by a `PhysicalKey`. As a box it is
/// looked up by bytes that are not copied.
pub(crate) type Physical = Box<[u8]>;

/// What the names of a cache's entries become.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// How each key begins: a brace and the name of the cache.
    head: Box<[u8]>,
    format: KeyFormat,
}

/// The keys of one entry on the store, in one group. Each is made when it is needed: a hit needs two of them.
#[derive(Clone, Debug)]
pub(crate) struct Entry(KeyGroup);

/// Where the versions of a cache's tags lie: all in one group.
#[derive(Clone, Debug)]
pub(crate) struct TagKeys(KeyGroup);

impl Place {
    /// Of the cache with this name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut head = b"{cache:".to_vec();
        let begin = head.len();
        head.extend_from_slice(name.as_bytes());
        escape(&mut head, begin, |byte| {
            matches!(byte, b':' | b'{' | b'}' | b'%')
        });
        head.push(b':');
        Ok(Self {
            head: head.into(),
            format: KeyFormat::new(":")?,
        })
    }

    /// The channel on which processes tell each other of this cache.
    pub(crate) fn news(&self) -> Result<Key> {
        Ok(self.group()?.key(":news"))
    }

    pub(crate) fn tags(&self) -> Result<TagKeys> {
        Ok(TagKeys(self.group()?))
    }

    fn group(&self) -> Result<KeyGroup> {
        let tag = self.head.strip_prefix(b"{").unwrap_or(&self.head);
        KeyGroup::new(tag.strip_suffix(b":").unwrap_or(tag))
    }

    /// How the keys of all entries begin.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The name whose key [`with_key`](Self::with_key) shows; `None` if there is none.
    pub(crate) fn name(&self, key: &[u8]) -> Option<Vec<u8>> {
        let written = key.strip_prefix(&*self.head)?.strip_suffix(b"}")?;
        let name = unescape(written)?;
        // What is escaped needlessly is somebody else's.
        let is_ours = self.with_key(&name[..], |bytes| bytes == key);
        is_ours.then_some(name)
    }

    /// Shows the entry's key, as callers have it, in a buffer that is used again.
    pub(crate) fn with_key<T>(
        &self,
        key: &(impl CacheKey + ?Sized),
        see: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        // Taken, not borrowed: a key that writes itself may look something up in turn.
        let mut buffer = BUFFER.take();
        buffer.clear();
        buffer.extend_from_slice(&self.head);
        key.write(&mut buffer);
        // A brace would end the tag; and what escapes it is escaped itself.
        escape(&mut buffer, self.head.len(), |byte| {
            matches!(byte, b'}' | b'%')
        });
        buffer.push(b'}');
        let seen = see(&mut buffer);
        BUFFER.set(buffer);
        seen
    }

    /// Where no store keeps callers apart: what is loaded for one is not for another.
    pub(crate) fn put_below_caller(&self, key: &mut Vec<u8>) -> Result<()> {
        Context::with_current(|context| {
            let Some(context) = context else {
                return Ok(());
            };
            let parts = [context.tenant_id(), context.user_id()];
            let parts = parts.map(|it| it.map_or(Segment::Absent, Segment::Present));
            let mut prefix = PREFIX.take();
            prefix.clear();
            for part in parts {
                self.format.append(part, &mut prefix)?;
            }
            Key::prefix_in(key, &prefix);
            PREFIX.set(prefix);
            Ok(())
        })
    }
}

impl TagKeys {
    /// Where it is counted how often the entries of this tag were removed, and how often expired; all there are, for
    /// `None`.
    pub(crate) fn of(&self, tag: Option<&TagName>) -> [Key; 2] {
        [&b":removed"[..], b":expired"].map(|kind| match tag {
            Some(tag) => self.0.key([kind, b":", tag].concat()),
            None => self.0.key(kind),
        })
    }

    /// Where each change is counted.
    pub(crate) fn changes(&self) -> Key {
        self.0.key(":changes")
    }
}

impl Entry {
    /// By the key that [`Place::with_key`] shows.
    pub(crate) fn new(key: &[u8]) -> Result<Self, Error> {
        let tag = key.strip_prefix(b"{").and_then(|it| it.strip_suffix(b"}"));
        KeyGroup::new(tag.unwrap_or(key)).map(Self)
    }

    /// The envelope.
    pub(crate) fn data(&self) -> Key {
        self.0.key(":data")
    }

    /// Who loads, held for as long as that may take.
    pub(crate) fn lease(&self) -> Key {
        self.0.key(":lease")
    }

    /// The record of the versions.
    pub(crate) fn version(&self) -> Key {
        self.0.key(":version")
    }

    /// There if the entry has been expired.
    pub(crate) fn expired(&self) -> Key {
        self.0.key(":expired")
    }

    /// The channel on which it is told that a load has ended.
    pub(crate) fn told(&self) -> Key {
        self.0.key(":told")
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Place, TagName};
    use kv_core::Context;

    fn key(cache: &str, name: &str) -> Vec<u8> {
        Place::new(cache).unwrap().with_key(name, |key| key.clone())
    }

    #[test]
    fn different_caches_and_names_are_different_places() {
        assert_eq!(key("products", "42"), b"{cache:products:42}");
        assert_eq!(key("products", ""), b"{cache:products:}");
        assert_ne!(key("a:b", "c"), key("a", "b:c"));
        assert_ne!(key("a", "x}"), key("a", "x%7D"));
        let news = Place::new("a").unwrap().news().unwrap();
        assert_eq!(news.as_bytes(), b"{cache:a}:news");
        let tags = Place::new("a").unwrap().tags().unwrap();
        let tag: TagName = b"x}"[..].into();
        let keys = [tags.of(None), tags.of(Some(&tag))].concat();
        let keys = keys.iter().map(kv_core::Key::as_bytes);
        let all = [
            &b"{cache:a}:removed"[..],
            b"{cache:a}:expired",
            b"{cache:a}:removed:x}",
            b"{cache:a}:expired:x}",
        ];
        assert!(keys.eq(all));
        assert_eq!(tags.changes().as_bytes(), b"{cache:a}:changes");
        let entry = Entry::new(&key("a", "x}:y")).unwrap();
        assert_eq!(entry.data().as_bytes(), b"{cache:a:x%7D:y}:data");
        assert_eq!(entry.data().group(), entry.lease().group());
    }

    #[test]
    fn a_key_tells_its_name() {
        let place = Place::new("a:b").unwrap();
        for name in [&b"42"[..], b"", b"x}:y%{", b"100%7D", b"\xff}", b"{}:data"] {
            let key = place.with_key(name, |key| key.clone());
            assert_eq!(place.name(&key).as_deref(), Some(name));
        }
        for other in [
            &b"{cache:a:x}"[..],
            b"{cache:a%3Ab:x",
            b"{cache:a%3Ab:%}",
            b"{cache:a%3Ab:%7}",
            b"{cache:a%3Ab:%7g}",
            b"{cache:a%3Ab:%7d}",
            b"{cache:a%3Ab:%41}",
            b"{cache:a%3Ab}",
        ] {
            assert_eq!(place.name(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_key_may_look_something_up_while_it_writes_itself() {
        struct Nested;
        impl crate::CacheKey for Nested {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&key("inner", "x"));
            }
        }
        let place = Place::new("outer").unwrap();
        let seen = place.with_key(&Nested, |key| key.clone());
        assert_eq!(seen, b"{cache:outer:{cache:inner:x%7D}");
    }

    #[tokio::test]
    async fn callers_are_apart_without_a_store() {
        let place = Place::new("p").unwrap();
        let of = |context: Context| {
            let place = place.clone();
            context.scope(async move {
                place.with_key("k", |key| {
                    place.put_below_caller(key).unwrap();
                    key.clone()
                })
            })
        };
        let ann = of(Context::tenant("a:b")).await;
        assert_ne!(ann, of(Context::tenant("a").with_user("b")).await);
        assert_ne!(ann, key("p", "k"));
        assert_eq!(ann, of(Context::tenant("a:b")).await);
    }
}

//! One entry with one tag, and what is said of both to a store.

use super::{life, store::Store};
use crate::{
    envelope::{Content, Envelope},
    far::{tagging, transitions},
    freshness::Terms,
    place::{Entry, Place, TagKeys},
    tags::{TagName, TagVersions, Versions},
};
use kv_core::{Mark, Timestamp, Value};
use std::time::Duration;

/// Where things lie.
pub(super) struct Site {
    pub(super) entry: Entry,
    pub(super) keys: TagKeys,
    pub(super) red: TagName,
}

impl Site {
    pub(super) fn new() -> Self {
        Self {
            entry: Entry::new(b"{cache:c:k}").unwrap(),
            keys: Place::new("c").unwrap().tags().unwrap(),
            red: b"red"[..].into(),
        }
    }

    /// The version of the changes, and those of the tag.
    pub(super) fn versions(&self, store: &mut Store) -> (u64, Versions) {
        let tags = [Some(self.red.clone())];
        let txns = tagging::versions(&self.keys, &tags);
        let mut replies: Vec<_> = txns.iter().map(|it| store.commit(it)).collect();
        let (changes, versions) = tagging::versions_read(&mut replies).unwrap();
        (changes[0], versions[0])
    }

    /// The versions then, and whether all of them were issued just now.
    pub(super) fn begin(&self, store: &mut Store, versions: Versions) -> (Versions, bool) {
        let txns = tagging::begin(&self.keys, Some(&self.red), versions, life());
        let replies: Vec<_> = txns.iter().map(|it| store.commit(it)).collect();
        let (_, versions) = self.versions(&mut store.clone());
        (versions, replies.iter().all(|it| it.applied))
    }

    pub(super) fn fill(&self, store: &mut Store) {
        let (versions, _) = self.begin(store, Versions::default());
        let nonce = Mark::from("before");
        let seized = store.commit(&transitions::seize(&self.entry, &nonce, life()));
        let version = transitions::seized(seized).unwrap().version;
        let envelope = self.seal(version, 0, versions);
        store.commit(&transitions::fill(&self.entry, &nonce, envelope, life()));
    }

    pub(super) fn seal(&self, version: u64, value: u8, versions: Versions) -> Value {
        let terms = Terms {
            fresh: Duration::from_secs(60),
            life: Duration::from_secs(60),
            took: Duration::ZERO,
        };
        let tags = TagVersions {
            all: Versions::default(),
            named: vec![(self.red.clone(), versions)],
        };
        let envelope = Envelope {
            version,
            since: Timestamp::from_micros(0),
            terms,
            content: Content::Value,
            tags,
        };
        envelope.seal(&[value])
    }

    pub(super) fn open(value: Value) -> (u8, Versions) {
        let (envelope, payload) = Envelope::open(value).unwrap();
        (payload[0], envelope.tags.named[0].1)
    }
}

//! The store for one caller.

use super::{fallback::Rank, tagging, time::StoreTime};
use crate::{
    across::{Channel, Number, What},
    place::TagKeys,
    tags::{Change, Known, Sight, TagName, Versions},
};
use kv_core::{
    CallOptions, Clock, Deadline, Key, Kv, Lifetime, Outcome, Result, Timestamp, Txn, TxnReply,
    Value,
};
use std::{sync::Arc, time::Duration};

/// What is the same for all that a caller asks for.
#[derive(Clone)]
pub(crate) struct FarCaller {
    pub(super) kv: Kv,
    pub(super) channel: Option<Arc<Channel>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) time: Arc<StoreTime>,
    pub(super) deadline: Duration,
    pub(super) tags: TagKeys,
    pub(super) tag_life: Lifetime,
    pub(super) rank: Rank,
}

impl FarCaller {
    /// All entries of a tag are gone, or stale; all there are, for `None`.
    pub(crate) async fn change(&self, tag: Option<&TagName>, change: Change) -> Result<()> {
        let txn = tagging::change(&self.tags, tag, change, self.tag_life);
        let what = What::Tag(tag.cloned(), change);
        self.commit_and_tell(txn, what).await.map(drop)
    }

    /// Reads the versions of those tags of which nothing is known.
    pub(crate) async fn see(&self, sight: &mut Sight) -> Result<()> {
        let Some(unknown) = sight.unknown() else {
            return Ok(());
        };
        let asked = self.clock.monotonic();
        let txns = tagging::versions(&self.tags, &unknown);
        let mut replies = self.commit_all(txns).await?;
        self.learn(sight, &unknown, &mut replies, asked)
    }

    /// Whether tags that were named by a load are known as they were before it began. The version of the changes was
    /// known then.
    pub(crate) async fn see_late(&self, sight: &mut Sight, late: &[TagName]) -> Result<bool> {
        let before = sight.changes();
        let asked = self.clock.monotonic();
        let unknown: Vec<_> = late.iter().cloned().map(Some).collect();
        let txns = tagging::versions(&self.tags, &unknown);
        let mut replies = self.commit_all(txns).await?;
        let (changes, versions) = tagging::versions_read(&mut replies)?;
        // Also if that is in vain: the next load knows it from before.
        for (tag, versions) in late.iter().zip(versions) {
            sight.learn(Some(tag), self.known(versions, asked));
        }
        // What others have begun since the question they may have removed since.
        let begun = self.begin(sight).await?;
        let is_same = changes.iter().all(|it| Some(*it) == before);
        Ok(is_same && begun == Begun::ByUs)
    }

    /// Gives versions to tags that have none.
    pub(crate) async fn begin(&self, sight: &mut Sight) -> Result<Begun> {
        let missing = sight.not_begun();
        let has_changes = sight.changes() != Some(0);
        if missing.is_empty() && has_changes {
            return Ok(Begun::ByUs);
        }
        let asked = self.clock.monotonic();
        let mut txns = Vec::new();
        for (tag, versions) in &missing {
            txns.extend(tagging::begin(
                &self.tags,
                tag.as_ref(),
                *versions,
                self.tag_life,
            ));
        }
        if !has_changes {
            txns.push(tagging::begin_changes(&self.tags));
        }
        let mut replies = self.commit_all(txns).await?;
        if !has_changes && let Some(mut reply) = replies.pop() {
            let versions = Versions {
                removed: reply.token(0)?,
                expired: 0,
            };
            sight.learn_changes(self.known(versions, asked));
        }
        let mut replies = replies.into_iter();
        let mut begun = Begun::ByUs;
        let mut token = |there: u64| -> Result<u64> {
            if there != 0 {
                return Ok(there);
            }
            let Some(mut reply) = replies.next() else {
                return Ok(0);
            };
            if !reply.applied {
                begun = Begun::ByOthers;
            }
            reply.token(0)
        };
        for (tag, versions) in missing {
            let versions = Versions {
                removed: token(versions.removed)?,
                expired: token(versions.expired)?,
            };
            sight.learn(tag.as_ref(), self.known(versions, asked));
        }
        Ok(begun)
    }

    /// The store has told its time, to a question from then.
    pub(super) fn told(&self, time: Timestamp, asked: Duration) {
        self.time.told(time, asked, self.clock.monotonic());
    }

    /// Where it would be told that something does not hold any more, if anybody listens.
    pub(crate) fn heard(&self) -> Option<Number> {
        self.channel.as_ref().and_then(|it| it.number())
    }

    /// In the same call the versions of tags of which nothing is known.
    pub(super) async fn commit_seeing(&self, txn: Txn, sight: &mut Sight) -> Result<TxnReply> {
        let Some(unknown) = sight.unknown() else {
            return self.commit(txn).await;
        };
        let asked = self.clock.monotonic();
        let mut txns = vec![txn];
        txns.extend(tagging::versions(&self.tags, &unknown));
        let replies = self.commit_all(txns).await;
        // The first may be done though another one is not.
        let mut replies = replies.map_err(|it| it.with_outcome(Outcome::Unknown))?;
        let reply = replies.remove(0);
        self.learn(sight, &unknown, &mut replies, asked)?;
        Ok(reply)
    }

    /// Tells the other processes in the same step.
    pub(super) async fn commit_and_tell(&self, txn: Txn, what: What) -> Result<TxnReply> {
        let Some(channel) = &self.channel else {
            return self.commit(txn).await;
        };
        let telling = channel.tell(what);
        let done = self.commit(txn.then(telling.op())).await;
        channel.settle(telling, &done, |it| it.applied);
        done
    }

    /// What the store has now, whatever its layers remember.
    pub(super) async fn read(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        let options = self.options().without_near_cache();
        self.kv.with(options).get_many(keys).await
    }

    pub(super) async fn commit(&self, txn: Txn) -> Result<TxnReply> {
        self.within().commit_one(txn).await
    }

    pub(crate) fn within(&self) -> Kv {
        self.kv.with(self.options())
    }

    fn options(&self) -> CallOptions {
        let deadline = Deadline::on(self.clock.clone(), self.deadline);
        CallOptions::new().with_deadline(deadline)
    }

    /// One answer for each.
    async fn commit_all(&self, txns: Vec<Txn>) -> Result<Vec<TxnReply>> {
        self.within().commit(txns).await?.into_iter().collect()
    }

    fn learn(
        &self,
        sight: &mut Sight,
        tags: &[Option<TagName>],
        replies: &mut [TxnReply],
        asked: Duration,
    ) -> Result<()> {
        let (changes, versions) = tagging::versions_read(replies)?;
        if let Some(&removed) = changes.first() {
            let versions = Versions {
                removed,
                expired: 0,
            };
            sight.learn_changes(self.known(versions, asked));
        }
        for (tag, versions) in tags.iter().zip(versions) {
            sight.learn(tag.as_ref(), self.known(versions, asked));
        }
        Ok(())
    }

    fn known(&self, versions: Versions, read: Duration) -> Known {
        Known {
            versions,
            read,
            heard: self.heard(),
        }
    }
}

/// Whose versions tags have that had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Those that were issued for us, or those that were known.
    ByUs,
    /// Somebody was faster.
    ByOthers,
}

//! What is done to tags on the store: transactions and what their answers mean, without any I/O.
//!
//! All records of a cache's tags are in one group, so that each change is told by one more token, the changes', in
//! the same step. Processes remember what they have read, and so ask seldom.

use crate::{
    place::TagKeys,
    tags::{Change, TagName, Versions},
};
use kv_core::{Guard, Key, Lifetime, Op, Read, Result, Ttl, Txn, TxnReply};

/// So many tags are read in one step: no store takes any number of reads, and etcd 40.
const AT_ONCE: usize = 16;

/// The versions of these tags; of all entries for `None`.
pub(crate) fn versions(keys: &TagKeys, tags: &[Option<TagName>]) -> Vec<Txn> {
    let read = |tags: &[Option<TagName>]| {
        let changes = Txn::new().then(Read::LastToken {
            key: keys.changes(),
        });
        tags.iter().fold(changes, |txn, tag| {
            let [removed, expired] = keys.of(tag.as_ref());
            txn.then(Read::LastToken { key: removed })
                .then(Read::LastToken { key: expired })
        })
    };
    match tags {
        [] => vec![read(&[])],
        tags => tags.chunks(AT_ONCE).map(read).collect(),
    }
}

/// The answers to [`versions`]: the version of the changes, of each step, and those of the tags.
pub(crate) fn versions_read(replies: &mut [TxnReply]) -> Result<(Vec<u64>, Vec<Versions>)> {
    let mut changes = Vec::new();
    let mut all = Vec::new();
    for reply in replies {
        changes.push(reply.token(0)?);
        for at in (1..reply.answers.len()).step_by(2) {
            all.push(Versions {
                removed: reply.token(at)?,
                expired: reply.token(at + 1)?,
            });
        }
    }
    Ok((changes, all))
}

/// The first versions of a tag, so that a loss of its records does not make it what it was before: for each that is
/// missing a step, which answers with a token either way.
pub(crate) fn begin(
    keys: &TagKeys,
    tag: Option<&TagName>,
    versions: Versions,
    life: Lifetime,
) -> Vec<Txn> {
    let [removed, expired] = keys.of(tag);
    let ttl = ttl(tag, life);
    let missing = [(removed, versions.removed), (expired, versions.expired)];
    let missing = missing.into_iter().filter(|(_, version)| *version == 0);
    missing.map(|(key, _)| begin_record(key, ttl)).collect()
}

/// The first version of the changes, so that its loss is noticed.
pub(crate) fn begin_changes(keys: &TagKeys) -> Txn {
    begin_record(keys.changes(), Ttl::Never)
}

/// All entries of a tag are gone, or stale.
pub(crate) fn change(keys: &TagKeys, tag: Option<&TagName>, change: Change, life: Lifetime) -> Txn {
    let [removed, expired] = keys.of(tag);
    let key = match change {
        Change::Removed => removed,
        Change::Expired => expired,
    };
    let ttl = ttl(tag, life);
    Txn::new()
        .then(Op::NextToken { key, ttl })
        .then(Op::NextToken {
            key: keys.changes(),
            ttl: Ttl::Never,
        })
}

fn begin_record(key: Key, ttl: Ttl) -> Txn {
    Txn::new()
        .when(Guard::absent(&key))
        .then(Op::NextToken {
            key: key.clone(),
            ttl,
        })
        .otherwise(Read::LastToken { key })
}

/// There may be any number of tags, so their records end; what they belong to is loaded anew then.
fn ttl(tag: Option<&TagName>, life: Lifetime) -> Ttl {
    tag.map_or(Ttl::Never, |_| Ttl::In(life))
}

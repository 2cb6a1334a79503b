//! Sorted sets: each member is a key with its score, and an entry in an index in the order of the
//! scores. Both change in one transaction, so whoever relies on one relies on the other.

mod pop;
mod read;
mod write;

use crate::{
    error::{Answer, Failure},
    layout::{self, Layout},
    optimistic::{Optimist, View},
};
use bytes::Bytes;
use kv_core::{Key, Member, RangeOptions, Score, ScoreBound, ScoreRange, ScoredMember, Scores};

pub(crate) use self::{pop::pop, write::decode};

/// Adds members or moves them; how many are new.
pub(crate) async fn add(store: &Optimist, key: &Key, members: &[(Member, Score)]) -> Answer<u64> {
    let plan = |view: &mut View<'_>| view.zadd(key, members);
    let (count, done) = store.run(key.as_bytes(), plan).await?;
    Ok(count.absent(&done))
}

/// Removes members; how many were there.
pub(crate) async fn remove(store: &Optimist, key: &Key, members: &[Member]) -> Answer<u64> {
    let plan = |view: &mut View<'_>| view.zrem(key, members);
    let (count, done) = store.run(key.as_bytes(), plan).await?;
    Ok(count.there(&done))
}

/// Reads a member's score.
pub(crate) async fn score(store: &Optimist, key: &Key, member: &Member) -> Answer<Option<Score>> {
    let plan = |view: &mut View<'_>| view.zscore(key, member.as_bytes());
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

/// Counts the members in a range of scores.
pub(crate) async fn count(store: &Optimist, key: &Key, range: ScoreRange) -> Answer<u64> {
    let plan = |view: &mut View<'_>| view.zcount(key, range);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

/// Reads members by rank.
pub(crate) async fn by_rank(
    store: &Optimist,
    key: &Key,
    (start, stop): (i64, i64),
    scores: Scores,
) -> Answer<Vec<ScoredMember>> {
    let plan = |view: &mut View<'_>| view.zrange(key, start, stop);
    Ok(show(store.run(key.as_bytes(), plan).await?.0, scores))
}

/// Reads members by score.
pub(crate) async fn by_score(
    store: &Optimist,
    key: &Key,
    range: ScoreRange,
    options: &RangeOptions,
) -> Answer<Vec<ScoredMember>> {
    let plan = |view: &mut View<'_>| view.zrangebyscore(key, range, options);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

fn show(members: Vec<(Member, Score)>, scores: Scores) -> Vec<ScoredMember> {
    let show = |(member, score)| match scores {
        Scores::Include => ScoredMember::new(member, Some(score)),
        Scores::Omit => ScoredMember::new(member, None),
    };
    members.into_iter().map(show).collect()
}

/// The part of an index where a range of scores lies.
fn part(layout: &Layout, key: &Key, range: ScoreRange) -> layout::Range {
    use layout::score::{behind, encode};
    let from = match range.min {
        ScoreBound::Included(score) => Some(encode(score)),
        ScoreBound::Excluded(score) => behind(score),
    };
    let to = match range.max {
        ScoreBound::Included(score) => behind(score),
        ScoreBound::Excluded(score) => Some(encode(score)),
    };
    layout.scores(key.as_bytes(), from, to)
}

/// The member and the score of an entry.
pub(crate) fn parse(layout: &Layout, key: &Key, entry: &[u8]) -> Answer<(Member, Score)> {
    let parsed = layout.entry_of(key.as_bytes(), entry);
    let (score, member) =
        parsed.ok_or_else(|| Failure::codec("an entry of the index has no score"))?;
    Ok((Bytes::copy_from_slice(member).into(), score))
}

//! Sorted sets. Scores travel as text that reads back as the same number.

use crate::{
    decode, encode,
    encode::{bound, digits},
    error::Answer,
    link::Link,
    scripts::{POP, POP_WITH_SCORES},
};
use kv_core::{Key, Member, Order, RangeOptions, Result, Score, ScoreRange, ScoredMember, Scores};
use redis::RedisWrite;

/// How many members one call of a script removes: it holds up everybody else meanwhile.
const POP_STEP: u32 = 200;

pub(crate) async fn add(link: &Link, key: Key, members: Vec<(Member, Score)>) -> Result<u64> {
    if members.is_empty() {
        return Ok(0);
    }
    /// Room for the text of a time in microseconds; a longer one makes the buffer grow.
    const SCORE: usize = 20;
    let length = |(member, _): &(Member, Score)| member.as_bytes().len() + SCORE;
    let bytes = key.as_bytes().len() + members.iter().map(length).sum::<usize>();
    let mut command = encode::command("ZADD", 1 + members.len() * 2, bytes);
    command.write_arg(key.as_bytes());
    // The server takes the pairs in order: of a member given twice the last score counts.
    for (member, score) in &members {
        command.write_arg(encode::score(*score).as_bytes());
        command.write_arg(member.as_bytes());
    }
    let answer = link.command(&command).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn remove(link: &Link, key: Key, members: Vec<Member>) -> Result<u64> {
    if members.is_empty() {
        return Ok(0);
    }
    let command = encode::with_list("ZREM", [key.as_bytes()], &members);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn score(link: &Link, key: Key, member: Member) -> Result<Option<Score>> {
    let command = encode::with("ZSCORE", [key.as_bytes(), member.as_bytes()]);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::score)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn count(link: &Link, key: Key, range: ScoreRange) -> Result<u64> {
    let (min, max) = (bound(range.min), bound(range.max));
    let args = [key.as_bytes(), min.as_bytes(), max.as_bytes()];
    let answer = link.command(&encode::with("ZCOUNT", args)).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn range_by_rank(
    link: &Link,
    key: Key,
    start: i64,
    stop: i64,
    scores: Scores,
) -> Result<Vec<ScoredMember>> {
    let (start, stop) = (digits(start), digits(stop));
    let args = [key.as_bytes(), start.as_bytes(), stop.as_bytes()];
    let command = encode::with_list("ZRANGE", args, scores_arg(scores));
    let answer = link.command(&command).await;
    answer
        .and_then(|reply| decode::members(reply, scores))
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn range_by_score(
    link: &Link,
    key: Key,
    range: ScoreRange,
    options: RangeOptions,
) -> Result<Vec<ScoredMember>> {
    let (min, max) = (bound(range.min), bound(range.max));
    let (offset, limit) = (
        digits(options.offset),
        digits(options.limit.map_or(-1, i64::from)),
    );
    let mut args: Vec<&[u8]> = Vec::with_capacity(9);
    args.push(key.as_bytes());
    // Read backwards, the range begins at its upper end.
    match options.order {
        Order::Ascending => args.extend([min.as_bytes(), max.as_bytes(), b"BYSCORE"]),
        Order::Descending => args.extend([max.as_bytes(), min.as_bytes(), b"BYSCORE", b"REV"]),
    }
    if options.offset > 0 || options.limit.is_some() {
        args.extend([b"LIMIT", offset.as_bytes(), limit.as_bytes()]);
    }
    args.extend(scores_arg(options.scores));
    let answer = link.command(&encode::with_list("ZRANGE", [], &args)).await;
    answer
        .and_then(|reply| decode::members(reply, options.scores))
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn pop_by_score(
    link: &Link,
    key: Key,
    max: Score,
    limit: u32,
    scores: Scores,
) -> Result<Vec<ScoredMember>> {
    let mut popped = Vec::new();
    while popped.len() < limit as usize {
        let step = (limit - popped.len() as u32).min(POP_STEP);
        let found = match pop_step(link, &key, max, step, scores).await {
            Ok(found) => found,
            Err(failure) if popped.is_empty() => return Err(failure.about(&key)),
            // What is removed already belongs to the caller.
            Err(_) => return Ok(popped),
        };
        let last = found.len() < step as usize;
        if popped.is_empty() {
            popped = found;
        } else {
            popped.extend(found);
        }
        if last {
            break;
        }
    }
    Ok(popped)
}

async fn pop_step(
    link: &Link,
    key: &Key,
    max: Score,
    step: u32,
    scores: Scores,
) -> Answer<Vec<ScoredMember>> {
    let script = match scores {
        Scores::Omit => &POP,
        Scores::Include => &POP_WITH_SCORES,
    };
    let (max, step) = (encode::score(max), digits(step));
    let args = [max.as_bytes(), step.as_bytes()];
    let call = |by| Ok(encode::script(script, by, key.as_bytes(), &args));
    decode::members(link.script(call).await?, scores)
}

fn scores_arg(scores: Scores) -> &'static [&'static [u8]] {
    match scores {
        Scores::Omit => &[],
        Scores::Include => &[b"WITHSCORES"],
    }
}

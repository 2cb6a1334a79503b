//! Stores whose sorted sets are not.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{
    Command, Member, RangeOptions, Reply, Result, Score, ScoreBound, ScoreRange, ScoredMember,
    Scores,
};
use std::cmp::Reverse;

saboteurs! {
    "the first score stays" [77] first_score_stays;
    "zadd counts what it was given" [77] zadd_counts_given;
    "ties are ordered by arrival" [78] ties_by_arrival;
    "ties are ordered without regard to case" [78] ties_without_case;
    "the upper end of a range is left out" [78] upper_end_open;
    "open ends are closed" [79] ends_closed;
    "limit and offset are ignored" [79] options_ignored;
    "descending reverses scores, not ties" [79] ties_not_reversed;
    "scores lose their fraction" [81] whole_scores;
    "popped scores have fourteen digits" [81] short_scores;
    "of a member added twice the first score counts" [82] first_of_two;
    "zrem counts what it was given" [83] zrem_counts_given;
    "a drained set stays" [84] drained_stays;
    "zadd drops the deadline" [85] drops_deadline;
    "a pop leaves the member" [86, 87] pop_leaves;
    "a pop returns another member" [86] pop_returns_another;
    "a pop ignores the highest score" [86] pop_ignores_max;
    "a pop takes at most a hundred" [86] pop_takes_a_hundred;
    "a pop reads, then removes" [87] read_then_remove;
    "empty members are dropped" [89] empty_dropped;
    "zadd replaces a string" [90] replaces_string;
}

async fn first_score_stays(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::ZAdd { key, members } = command else {
        return on.ask(command).await;
    };
    let mut new = Vec::new();
    for (member, score) in members {
        if on.zscore(&key, &member).await?.is_none() {
            new.push((member, score));
        }
    }
    Ok(Reply::ZAdd(on.zadd(&key, new).await?))
}

async fn zadd_counts_given(on: Hand<'_>, command: Command) -> Result<Reply> {
    let given = match &command {
        Command::ZAdd { members, .. } => members.len() as u64,
        _ => 0,
    };
    match on.ask(command).await? {
        Reply::ZAdd(_) => Ok(Reply::ZAdd(given)),
        reply => Ok(reply),
    }
}

/// Sorts the answer of a range once more.
async fn resorted<K: Ord>(
    on: &Hand<'_>,
    command: Command,
    by: impl Fn(&ScoredMember) -> K,
) -> Result<Reply> {
    let Command::ZRangeByScore {
        key,
        range,
        options,
    } = &command
    else {
        return on.ask(command).await;
    };
    if *options != RangeOptions::default() {
        return on.ask(command).await;
    }
    let mut members = on.range(key, *range).await?;
    members.sort_by_key(|it| (it.score, by(it)));
    for it in &mut members {
        it.score = None;
    }
    Ok(Reply::ZRangeByScore(members))
}

async fn ties_by_arrival(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::ZAdd { members, .. } = &command {
        let mut arrivals = on.notes.arrivals.lock();
        for (member, _) in members {
            let next = arrivals.len();
            arrivals.entry(member.clone()).or_insert(next);
        }
    }
    resorted(&on, command, |it| {
        on.notes.arrivals.lock().get(&it.member).copied()
    })
    .await
}

async fn ties_without_case(on: Hand<'_>, command: Command) -> Result<Reply> {
    resorted(&on, command, |it| it.member.as_bytes().to_ascii_lowercase()).await
}

async fn upper_end_open(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZRangeByScore { range, .. } = &mut command
        && let ScoreBound::Included(max) = range.max
        && max != Score::MAX
    {
        *range = ScoreRange::new(range.min, ScoreBound::Excluded(max));
    }
    on.ask(command).await
}

async fn ends_closed(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    let close = |bound: ScoreBound| match bound {
        ScoreBound::Excluded(score) => ScoreBound::Included(score),
        included => included,
    };
    if let Command::ZRangeByScore { range, .. } | Command::ZCount { range, .. } = &mut command {
        *range = ScoreRange::new(close(range.min), close(range.max));
    }
    on.ask(command).await
}

async fn options_ignored(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZRangeByScore { options, .. } = &mut command {
        *options = RangeOptions::default()
            .order(options.order)
            .scores(options.scores);
    }
    on.ask(command).await
}

async fn ties_not_reversed(on: Hand<'_>, command: Command) -> Result<Reply> {
    let descending = RangeOptions::default().order(kv_core::Order::Descending);
    let Command::ZRangeByScore {
        key,
        range,
        options,
    } = &command
    else {
        return on.ask(command).await;
    };
    if *options != descending {
        return on.ask(command).await;
    }
    let mut members = on.range(key, *range).await?;
    members.sort_by_key(|it| Reverse(it.score));
    Ok(Reply::ZRangeByScore(members))
}

async fn whole_scores(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZAdd { members, .. } = &mut command {
        for (_, score) in members {
            *score = Score::new(score.get().trunc())?;
        }
    }
    on.ask(command).await
}

async fn short_scores(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::ZPopByScore(mut members) => {
            for score in members.iter_mut().filter_map(|it| it.score.as_mut()) {
                let text = format!("{:.13e}", score.get());
                *score = Score::new(text.parse().unwrap_or_default())?;
            }
            Ok(Reply::ZPopByScore(members))
        }
        reply => Ok(reply),
    }
}

async fn first_of_two(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZAdd { members, .. } = &mut command {
        members.reverse();
    }
    on.ask(command).await
}

async fn zrem_counts_given(on: Hand<'_>, command: Command) -> Result<Reply> {
    let given = match &command {
        Command::ZRem { members, .. } => members.len() as u64,
        _ => 0,
    };
    match on.ask(command).await? {
        Reply::ZRem(_) => Ok(Reply::ZRem(given)),
        reply => Ok(reply),
    }
}

async fn drained_stays(on: Hand<'_>, command: Command) -> Result<Reply> {
    match &command {
        Command::ZRem { key, .. } | Command::ZPopByScore { key, .. } => {
            on.notes.keys.lock().insert(key.clone());
        }
        Command::Exists { keys } if keys.iter().any(|key| on.notes.keys.lock().contains(key)) => {
            return Ok(Reply::Exists(keys.len() as u64));
        }
        _ => {}
    }
    on.ask(command).await
}

async fn drops_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let set = match &command {
        Command::ZAdd { key, .. } => Some(key.clone()),
        _ => None,
    };
    let reply = on.ask(command).await?;
    if let Some(key) = set {
        on.persist(&key).await?;
    }
    Ok(reply)
}

async fn pop_leaves(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::ZPopByScore {
        key, max, limit, ..
    } = command
    else {
        return on.ask(command).await;
    };
    let mut members = on.range(&key, ScoreRange::up_to(max)).await?;
    members.truncate(limit as usize);
    Ok(Reply::ZPopByScore(members))
}

async fn pop_returns_another(on: Hand<'_>, command: Command) -> Result<Reply> {
    let other = match &command {
        Command::ZPopByScore {
            key, max, limit: 1, ..
        } => on
            .range(key, ScoreRange::up_to(*max))
            .await?
            .into_iter()
            .nth(1),
        _ => None,
    };
    match (on.ask(command).await?, other) {
        (Reply::ZPopByScore(_), Some(other)) => Ok(Reply::ZPopByScore(vec![other])),
        (reply, _) => Ok(reply),
    }
}

async fn pop_ignores_max(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZPopByScore { max, .. } = &mut command {
        *max = Score::MAX;
    }
    on.ask(command).await
}

async fn pop_takes_a_hundred(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZPopByScore { limit, .. } = &mut command {
        *limit = (*limit).min(100);
    }
    on.ask(command).await
}

async fn read_then_remove(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::ZPopByScore {
        key,
        max,
        limit,
        scores,
    } = command
    else {
        return on.ask(command).await;
    };
    let mut members = on.range(&key, ScoreRange::up_to(max)).await?;
    members.truncate(limit as usize);
    gap().await;
    let names: Vec<Member> = members.iter().map(|it| it.member.clone()).collect();
    on.zrem(&key, names).await?;
    if scores == Scores::Omit {
        members.iter_mut().for_each(|it| it.score = None);
    }
    Ok(Reply::ZPopByScore(members))
}

async fn empty_dropped(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::ZAdd { members, .. } = &mut command {
        members.retain(|(member, _)| !member.as_bytes().is_empty());
    }
    on.ask(command).await
}

async fn replaces_string(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::ZAdd { key, .. } = &command
        && on.get(key).await.is_ok_and(|value| value.is_some())
    {
        on.delete(key).await?;
    }
    on.ask(command).await
}

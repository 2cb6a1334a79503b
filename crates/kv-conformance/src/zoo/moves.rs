//! Stores whose moves lose, double or misplace members.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{
    Command, ErrorKind, Fate, Guard, Moved, RelativeScore, Reply, Result, ScoreRange, ZMove, ZMoved,
};

saboteurs! {
    "a move takes one more than its limit" [230] one_more;
    "a move tells ties in the reverse order" [230] ties_reversed;
    "a move takes late members too" [88, 230, 243] late_ones;
    "sources are drained from the last" [231, 232] last_source_first;
    "a member leaves all of its sources" [231] leaves_all;
    "lapsed leases are not claimed again" [88, 232] no_reclaims;
    "a target takes one more than its capacity" [233] over_capacity;
    "members claimed again need a free place" [233] reclaims_need_room;
    "tallies are forgotten" [88, 234] forgets_tally;
    "what is taken stays" [235, 241] taken_stays;
    "what is kept is taken" [235] kept_is_taken;
    "what is dropped stays" [244] dropped_stays;
    "what is dropped is sent" [244] dropped_is_sent;
    "what is dropped has no place among the bodies" [244] dropped_has_no_place;
    "hashes that fields are dropped from may be of any type" [239] dropped_unseen;
    "a member taken out stays" [236] pop_leaves;
    "the next score is the first source's" [237] next_of_first;
    "a move never says that more is due" [233, 237] never_more;
    "moves do not look at their guards" [238] ignores_guards;
    "a move that cannot be made is made in part" [239] moves_in_part;
    "a move drops deadlines" [241] drops_deadlines;
    "leases end a thousand times too early" [88, 243] short_leases;
    "members are read, then moved" [240] read_then_moved;
    "an ack does not look at the claim" [88] acks_anything;
}

/// The step of a move; other commands go on to the store.
macro_rules! step {
    ($on:ident, $command:ident) => {
        match $command {
            Command::ZMove { step } => *step,
            other => return $on.ask(other).await,
        }
    };
}

async fn with_step(on: Hand<'_>, command: Command, change: impl Fn(&mut ZMove)) -> Result<Reply> {
    let mut step = step!(on, command);
    change(&mut step);
    Ok(Reply::ZMove(on.zmove(step).await?))
}

async fn one_more(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| step.limit = (step.limit + 1).min(200)).await
}

async fn ties_reversed(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut moved = on.zmove(step!(on, command)).await?;
    let ties = moved
        .members
        .chunk_by_mut(|one, other| (one.source, one.before) == (other.source, other.before));
    ties.for_each(<[Moved]>::reverse);
    Ok(Reply::ZMove(moved))
}

async fn late_ones(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        for source in &mut step.sources {
            source.max = RelativeScore::Exact(kv_core::Score::MAX);
        }
    })
    .await
}

async fn last_source_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut step = step!(on, command);
    let last = step.sources.len().saturating_sub(1);
    step.sources.reverse();
    let mut moved = on.zmove(step).await?;
    for it in &mut moved.members {
        it.source = last - it.source;
    }
    Ok(Reply::ZMove(moved))
}

async fn leaves_all(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let moved = on.zmove(step.clone()).await?;
    for source in step
        .sources
        .iter()
        .filter(|it| Some(&it.key) != step.target.as_ref())
    {
        let members = moved.members.iter().map(|it| it.member.clone());
        on.zrem(&source.key, members.collect()).await?;
    }
    Ok(Reply::ZMove(moved))
}

async fn no_reclaims(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        if step.sources.len() > 1 {
            let target = step.target.clone();
            step.sources.retain(|it| Some(&it.key) != target.as_ref());
        }
    })
    .await
}

async fn over_capacity(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        step.capacity = step.capacity.map(|it| it + 1);
    })
    .await
}

async fn reclaims_need_room(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    if let (Some(target), Some(capacity)) = (&step.target, step.capacity)
        && on.range(target, ScoreRange::ALL).await?.len() as u64 >= capacity
    {
        return Ok(Reply::ZMove(ZMoved::new(
            Vec::new(),
            on.now().await?,
            None,
            true,
        )));
    }
    Ok(Reply::ZMove(on.zmove(step).await?))
}

async fn forgets_tally(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut step = step!(on, command);
    let counted: Vec<bool> = step.sources.iter().map(|it| it.tally.is_some()).collect();
    step.sources.iter_mut().for_each(|it| it.tally = None);
    let mut moved = on.zmove(step).await?;
    for it in &mut moved.members {
        it.tally = counted[it.source].then_some(1);
    }
    Ok(Reply::ZMove(moved))
}

async fn taken_stays(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        step.hashes.iter_mut().for_each(|it| it.fate = Fate::Keep);
    })
    .await
}

async fn kept_is_taken(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        step.hashes.iter_mut().for_each(|it| it.fate = Fate::Take);
    })
    .await
}

/// Where the hashes stand whose fields are dropped.
fn dropped(step: &ZMove) -> Vec<usize> {
    let hashes = step.hashes.iter().enumerate();
    let dropped = hashes.filter(|(_, it)| it.fate == Fate::Drop);
    dropped.map(|(at, _)| at).collect()
}

async fn dropped_stays(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut step = step!(on, command);
    let dropped = dropped(&step);
    for &at in &dropped {
        step.hashes[at].fate = Fate::Keep;
    }
    let mut moved = on.zmove(step).await?;
    for it in &mut moved.members {
        dropped.iter().for_each(|&at| it.bodies[at] = Ok(None));
    }
    Ok(Reply::ZMove(moved))
}

async fn dropped_is_sent(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        for at in dropped(step) {
            step.hashes[at].fate = Fate::Take;
        }
    })
    .await
}

async fn dropped_has_no_place(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let dropped = dropped(&step);
    let mut moved = on.zmove(step).await?;
    for it in &mut moved.members {
        for &at in dropped.iter().rev() {
            drop(it.bodies.remove(at));
        }
    }
    Ok(Reply::ZMove(moved))
}

async fn dropped_unseen(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut step = step!(on, command);
    let dropped = dropped(&step);
    step.hashes.retain(|it| it.fate != Fate::Drop);
    let mut moved = on.zmove(step).await?;
    for it in &mut moved.members {
        dropped
            .iter()
            .for_each(|&at| it.bodies.insert(at, Ok(None)));
    }
    Ok(Reply::ZMove(moved))
}

async fn pop_leaves(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let moved = on.zmove(step.clone()).await?;
    if step.target.is_none() {
        for it in &moved.members {
            let source = &step.sources[it.source].key;
            on.zadd(source, vec![(it.member.clone(), it.before)])
                .await?;
        }
    }
    Ok(Reply::ZMove(moved))
}

async fn next_of_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let first = step.sources.first().map(|it| it.key.clone());
    let mut moved = on.zmove(step).await?;
    let Some(first) = first else {
        return Ok(Reply::ZMove(moved));
    };
    let left = on.range(&first, ScoreRange::ALL).await?;
    moved.next = left.first().and_then(|it| it.score);
    Ok(Reply::ZMove(moved))
}

async fn never_more(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut moved = on.zmove(step!(on, command)).await?;
    moved.more = false;
    Ok(Reply::ZMove(moved))
}

async fn ignores_guards(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| step.when.clear()).await
}

async fn moves_in_part(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut step = step!(on, command);
    let answer = on.zmove(step.clone()).await;
    if let Err(error) = &answer
        && [ErrorKind::WrongType, ErrorKind::NotAnInteger].contains(&error.kind())
        && step.when.is_empty()
    {
        step.sources.iter_mut().for_each(|it| it.tally = None);
        // What comes of the rest is not told either.
        let _ = on.zmove(step).await;
    }
    Ok(Reply::ZMove(answer?))
}

async fn drops_deadlines(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let moved = on.zmove(step.clone()).await?;
    for key in step.sources.iter().map(|it| &it.key).chain(&step.target) {
        on.persist(key).await?;
    }
    Ok(Reply::ZMove(moved))
}

async fn short_leases(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_step(on, command, |step| {
        if let RelativeScore::Now(offset) = &mut step.score {
            *offset /= 1000;
        }
    })
    .await
}

async fn read_then_moved(on: Hand<'_>, command: Command) -> Result<Reply> {
    let step = step!(on, command);
    let now = on.now().await?;
    let mut chosen = Vec::new();
    for (at, source) in step.sources.iter().enumerate() {
        let due = on
            .range(&source.key, ScoreRange::up_to(source.max.at(now)))
            .await?;
        let due = due
            .into_iter()
            .filter_map(|it| Some((it.member, at, it.score?)));
        chosen.extend(due);
    }
    chosen.truncate(step.limit as usize);
    gap().await;
    let mut members = Vec::new();
    for (member, at, before) in chosen {
        let source = &step.sources[at];
        on.zrem(&source.key, vec![member.clone()]).await?;
        let mut it = Moved::new(member.clone(), at, before);
        if let Some(target) = &step.target {
            let after = step.score.at(now);
            on.zadd(target, vec![(member.clone(), after)]).await?;
            it.after = Some(after);
        }
        for hash in &step.hashes {
            let field = kv_core::Field::from(member.as_bytes());
            let found = on.fields(&hash.key).await?;
            let body = found.into_iter().find(|(name, _)| *name == field);
            it.bodies.push(Ok(body.map(|(_, value)| value)));
        }
        if let Some(key) = source.tally.clone() {
            let (field, by) = (member.as_bytes().into(), 1);
            if let Reply::HIncrement(sum) = on.ask(Command::HIncrement { key, field, by }).await? {
                it.tally = Some(sum);
            }
        }
        members.push(it);
    }
    let more = members.len() == step.limit as usize;
    Ok(Reply::ZMove(ZMoved::new(members, now, None, more)))
}

async fn acks_anything(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Commit { mut txns } = command else {
        return on.ask(command).await;
    };
    for txn in &mut txns {
        txn.when
            .retain(|it| !matches!(it, Guard::ScoreIs { .. } | Guard::FieldIs { .. }));
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

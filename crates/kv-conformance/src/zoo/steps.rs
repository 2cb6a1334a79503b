//! Stores whose transactions do their steps wrongly.

use super::{commits::txns, hand::Hand, saboteurs};
use kv_core::{
    Command, Content, Expiry, Key, Op, OpReply, Read, Reply, Result, TimeToLive, Ttl, Txn,
    TxnReply, Value,
};

saboteurs! {
    "the steps of a transaction run from the last" [205, 206] last_step_first;
    "reads in a transaction see the state before it" [206] reads_first;
    "a range is removed without its limit" [205] range_without_limit;
    "a set in a transaction drops its deadline" [212] drops_deadline;
    "counting in a transaction starts the deadline anew" [212] restarts_deadline;
    "a persist in a transaction leaves the deadline" [220] leaves_deadline;
    "a persist in a transaction always says true" [220] persist_says_true;
    "a persist in a transaction is done if it is refused too" [220] persists_anyway;
    "steps without elements create their key" [213] creates_for_nothing;
    "a drained set passes its deadline on" [214] passes_deadline_on;
    "relative scores are milliseconds" [215] milliseconds;
    "relative scores are told by the caller's last look at the clock" [215] stale_clock;
    "a reply does not tell its time" [215] tells_no_time;
    "marks are text" [216] marks_are_text;
}

/// Changes each step.
async fn with_steps(on: Hand<'_>, command: Command, change: impl Fn(&mut Op)) -> Result<Reply> {
    let mut txns = txns!(on, command);
    let steps = txns.iter_mut().flat_map(|txn| &mut txn.then);
    steps.for_each(change);
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn last_step_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    txns.iter_mut().for_each(|txn| txn.then.reverse());
    let mut replies = on.commit(txns).await?;
    for reply in replies.iter_mut().flatten().filter(|it| it.applied) {
        reply.answers.reverse();
    }
    Ok(Reply::Commit(replies))
}

async fn reads_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let is_read = |op: &Op| matches!(op, Op::Read(_));
    let mut early = Vec::new();
    for txn in &txns {
        let reads = txn.then.iter().filter(|op| is_read(op)).cloned();
        let mut look = Txn::new();
        look.then = reads.collect();
        early.push(on.commit_one(look).await);
    }
    let mut replies = on.commit(txns.clone()).await?;
    for ((txn, reply), early) in txns.iter().zip(&mut replies).zip(early) {
        let (Ok(reply), Ok(early)) = (reply, early) else {
            continue;
        };
        let steps = txn.then.iter().zip(&mut reply.answers);
        let reads = steps.filter(|(op, _)| is_read(op));
        for ((_, answer), early) in reads.zip(early.answers) {
            *answer = early;
        }
    }
    Ok(Reply::Commit(replies))
}

async fn range_without_limit(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_steps(on, command, |op| {
        if let Op::ZRemRange { limit, .. } = op {
            *limit = 200;
        }
    })
    .await
}

async fn drops_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_steps(on, command, |op| {
        if let Op::Set { ttl, .. } = op {
            *ttl = Ttl::Never;
        }
    })
    .await
}

async fn restarts_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    for txn in &mut txns {
        let timed = txn.then.iter().filter_map(|op| match op {
            Op::Increment {
                key,
                ttl_if_created: Ttl::In(lifetime),
                ..
            } => Some((key.clone(), Expiry::In(*lifetime))),
            _ => None,
        });
        for (key, expiry) in timed.collect::<Vec<_>>() {
            on.ask(Command::Expire { key, expiry }).await?;
        }
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

/// Changes the answer of each persist that was done.
fn with_persists(txns: &[Txn], reply: &mut [Result<TxnReply>], change: impl Fn(&mut OpReply)) {
    for (txn, reply) in txns.iter().zip(reply) {
        let Ok(reply) = reply else {
            continue;
        };
        let steps = txn.then.iter().zip(&mut reply.answers);
        let persists = steps.filter(|(op, _)| matches!(op, Op::Persist { .. }));
        if reply.applied {
            persists.for_each(|(_, answer)| change(answer));
        }
    }
}

async fn leaves_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let mut looking = txns.clone();
    for op in looking.iter_mut().flat_map(|txn| &mut txn.then) {
        if let Op::Persist { key } = op {
            *op = Op::Read(Read::Ttl { key: key.clone() });
        }
    }
    let mut replies = on.commit(looking).await?;
    with_persists(&txns, &mut replies, |answer| {
        *answer = OpReply::Flag(matches!(answer, OpReply::Ttl(TimeToLive::In(_))));
    });
    Ok(Reply::Commit(replies))
}

async fn persist_says_true(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let mut replies = on.commit(txns.clone()).await?;
    with_persists(&txns, &mut replies, |answer| *answer = OpReply::Flag(true));
    Ok(Reply::Commit(replies))
}

async fn persists_anyway(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let replies = on.commit(txns.clone()).await?;
    for op in txns.iter().flat_map(|txn| &txn.then) {
        if let Op::Persist { key } = op {
            on.persist(key).await?;
        }
    }
    Ok(Reply::Commit(replies))
}

async fn creates_for_nothing(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_steps(on, command, |op| match op {
        Op::HSet { fields, .. } if fields.is_empty() => {
            fields.push(("".into(), Content::Value("".into())));
        }
        _ => {}
    })
    .await
}

async fn passes_deadline_on(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let keys = txns.iter().flat_map(|txn| &txn.then).filter_map(Op::key);
    let keys: Vec<Key> = keys.cloned().collect();
    for key in &keys {
        if let TimeToLive::In(left) = on.time_to_live(key).await? {
            let deadline = on.now().await?.saturating_add(left);
            on.notes.deadlines.lock().insert(key.clone(), deadline);
        }
    }
    let replies = on.commit(txns).await?;
    for key in keys {
        let deadline = on.notes.deadlines.lock().get(&key).copied();
        if let Some(deadline) = deadline {
            let expiry = Expiry::At(deadline);
            on.ask(Command::Expire { key, expiry }).await?;
        }
    }
    Ok(Reply::Commit(replies))
}

/// Scores told by a clock of this kind.
async fn by(on: Hand<'_>, command: Command, clock: impl Fn(i64) -> f64) -> Result<Reply> {
    let now = on.now().await?.as_micros();
    let mut txns = txns!(on, command);
    for op in txns.iter_mut().flat_map(|txn| &mut txn.then) {
        if let Op::ZAdd { members, .. } = op {
            for (_, score) in members {
                if let kv_core::RelativeScore::Now(offset) = score {
                    *score = clock(now + *offset).try_into()?;
                }
            }
        }
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn milliseconds(on: Hand<'_>, command: Command) -> Result<Reply> {
    by(on, command, |micros| (micros / 1000) as f64).await
}

async fn stale_clock(on: Hand<'_>, command: Command) -> Result<Reply> {
    by(on, command, |micros| micros as f64).await
}

async fn tells_no_time(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut replies = on.commit(txns!(on, command)).await?;
    for reply in replies.iter_mut().flatten() {
        reply.now = None;
    }
    Ok(Reply::Commit(replies))
}

async fn marks_are_text(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut replies = on.commit(txns!(on, command)).await?;
    for answer in replies.iter_mut().flatten().flat_map(|it| &mut it.answers) {
        match answer {
            OpReply::Mark(Some(mark)) => {
                *mark = String::from_utf8_lossy(mark.as_bytes()).into_owned().into();
            }
            OpReply::Value(Some(value)) => {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                *value = Value::from(text);
            }
            _ => {}
        }
    }
    Ok(Reply::Commit(replies))
}

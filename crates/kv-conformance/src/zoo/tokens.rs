//! Stores whose tokens do not fence.

use super::{
    commits::txns,
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{Command, Content, Key, Op, OpReply, Read, Reply, Result, Ttl, Txn};

saboteurs! {
    "tokens start anew without a record" [217] start_anew;
    "tokens are the time alone" [217] time_alone;
    "tokens are read, then written" [219] read_then_written;
    "the last token is the next one" [218] last_is_next;
    "a lost token is one" [218] lost_is_one;
}

/// Takes tokens in some other way; steps of other kinds are done as they are.
async fn taken(
    on: Hand<'_>,
    command: Command,
    instead: impl AsyncFn(&Hand<'_>, &Key, Ttl) -> Result<Op>,
) -> Result<Reply> {
    let mut replies = Vec::new();
    for mut txn in txns!(on, command) {
        let mut failed = None;
        for op in &mut txn.then {
            if let Op::NextToken { key, ttl } = op {
                match instead(&on, key, *ttl).await {
                    Ok(other) => *op = other,
                    Err(error) => failed = Some(error),
                }
            }
        }
        let reply = match failed {
            Some(error) => Err(error),
            None => on.commit_one(txn.clone()).await,
        };
        replies.push(reply.map(|mut reply| {
            for (op, answer) in txn.then.iter().zip(&mut reply.answers) {
                match (op, &answer) {
                    (Op::Increment { .. }, OpReply::Integer(sum)) => {
                        *answer = OpReply::Token(sum.unsigned_abs());
                    }
                    (Op::Set { content, .. }, OpReply::Done) => {
                        let text = String::from_utf8_lossy(content.as_bytes());
                        if let Ok(token) = text.parse::<u64>()
                            && token > 1_000_000_000
                            && matches!(content, Content::Mark(_))
                        {
                            *answer = OpReply::Token(token);
                        }
                    }
                    _ => {}
                }
            }
            reply
        }));
    }
    Ok(Reply::Commit(replies))
}

async fn start_anew(on: Hand<'_>, command: Command) -> Result<Reply> {
    taken(on, command, async |_, key, ttl| {
        Ok(Op::Increment {
            key: key.clone(),
            by: 1,
            ttl_if_created: ttl,
        })
    })
    .await
}

fn record(key: &Key, token: u64, ttl: Ttl) -> Op {
    Op::Set {
        key: key.clone(),
        content: Content::Mark(token.to_string().into()),
        ttl,
    }
}

async fn time_alone(on: Hand<'_>, command: Command) -> Result<Reply> {
    taken(on, command, async |on, key, ttl| {
        // As a store that reads its clock by the millisecond.
        let millis = on.now().await?.as_micros().unsigned_abs() / 1000;
        Ok(record(key, millis * 1000, ttl))
    })
    .await
}

async fn read_then_written(on: Hand<'_>, command: Command) -> Result<Reply> {
    taken(on, command, async |on, key, ttl| {
        let read = Read::LastToken { key: key.clone() };
        let last = on.commit_one(Txn::new().then(read)).await?.token(0)?;
        gap().await;
        let first = 2_000_000_000_000_000;
        Ok(record(key, last.max(first) + 1, ttl))
    })
    .await
}

/// Changes what is told of last tokens.
async fn told(on: Hand<'_>, command: Command, change: impl Fn(u64) -> u64) -> Result<Reply> {
    let txns = txns!(on, command);
    let mut replies = on.commit(txns.clone()).await?;
    for (txn, reply) in txns.iter().zip(&mut replies) {
        let Ok(reply) = reply else { continue };
        let last = |read: &Read| matches!(read, Read::LastToken { .. });
        let steps: Vec<bool> = match reply.applied {
            true => txn
                .then
                .iter()
                .map(|op| matches!(op, Op::Read(read) if last(read)))
                .collect(),
            false => txn.otherwise.iter().map(last).collect(),
        };
        for (is_last, answer) in steps.into_iter().zip(&mut reply.answers) {
            if let OpReply::Token(token) = answer
                && is_last
            {
                *token = change(*token);
            }
        }
    }
    Ok(Reply::Commit(replies))
}

async fn last_is_next(on: Hand<'_>, command: Command) -> Result<Reply> {
    told(on, command, |token| if token == 0 { 0 } else { token + 1 }).await
}

async fn lost_is_one(on: Hand<'_>, command: Command) -> Result<Reply> {
    told(on, command, |token| token.max(1)).await
}

//! Stores whose transactions are none.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{Command, Error, ErrorKind, Guard, Op, OpReply, Reply, Result, Txn, TxnReply};

saboteurs! {
    "guards are ignored" [64, 99, 201, 202] guards_ignored;
    "only the first guard is judged" [99, 204] first_guard_only;
    "guards are judged from the last" [204] last_guard_first;
    "what is missing has no number" [202] missing_has_no_number;
    "what is missing equals the empty value" [202] missing_is_empty;
    "a count may reach its limit" [201, 202] count_reaches_limit;
    "counters are compared as floats" [201] counters_as_floats;
    "a guard on another type does not hold" [203] wrong_type_refuses;
    "what cannot be done is done in part" [100, 207] done_in_part;
    "a refused transaction writes all the same" [99, 210] refused_writes;
    "the other branch is not read" [64, 210] other_branch_unread;
    "a list stops at its first failure" [209] stops_at_failure;
    "a failure fails the whole list" [209] fails_whole_list;
    "a list runs from its end" [208] runs_backwards;
    "all guards of a list are judged first" [208] guards_first;
    "the steps of a transaction are seen one by one" [211] one_by_one;
    "a delete of a missing key refuses the transaction" [98] delete_needs_key;
    "delete-if does not compare" [38] deletes_anyway;
    "a long transaction loses its end" [101] loses_end;
}

/// The transactions of a commit; other commands go on to the store.
macro_rules! txns {
    ($on:ident, $command:ident) => {
        match $command {
            Command::Commit { txns } => txns,
            other => return $on.ask(other).await,
        }
    };
}

pub(super) use txns;

/// Changes each guard.
async fn with_guards(
    on: Hand<'_>,
    command: Command,
    change: impl Fn(&mut Vec<Guard>),
) -> Result<Reply> {
    let mut txns = txns!(on, command);
    txns.iter_mut().for_each(|txn| change(&mut txn.when));
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn guards_ignored(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, Vec::clear).await
}

async fn first_guard_only(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| guards.truncate(1)).await
}

async fn last_guard_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| guards.reverse()).await
}

async fn missing_has_no_number(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| {
        let needed = guards.iter().filter_map(|guard| match guard {
            Guard::AtMost { key, .. } => Some(Guard::exists(key)),
            _ => None,
        });
        let needed: Vec<_> = needed.collect();
        guards.extend(needed);
    })
    .await
}

async fn missing_is_empty(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| {
        for guard in guards {
            match guard {
                Guard::ValueIs { mark, .. } | Guard::FieldIs { mark, .. } => {
                    mark.take_if(|it| it.as_bytes().is_empty());
                }
                _ => {}
            }
        }
    })
    .await
}

async fn count_reaches_limit(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| {
        for guard in guards {
            if let Guard::CountBelow { limit, .. } = guard {
                *limit = limit.saturating_add(1);
            }
        }
    })
    .await
}

async fn counters_as_floats(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_guards(on, command, |guards| {
        for guard in guards {
            if let Guard::AtMost { limit, .. } = guard {
                *limit = *limit as f64 as i64;
            }
        }
    })
    .await
}

async fn wrong_type_refuses(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let guarded: Vec<bool> = txns.iter().map(|txn| !txn.when.is_empty()).collect();
    let replies = on.commit(txns).await?.into_iter().zip(guarded);
    let replies = replies.map(|(reply, guarded)| match reply {
        Err(error) if guarded && error.kind() == ErrorKind::WrongType => {
            Ok(TxnReply::refused(Vec::new()))
        }
        other => other,
    });
    Ok(Reply::Commit(replies.collect()))
}

fn only(op: &Op) -> Txn {
    Txn::new().then(op.clone())
}

async fn done_in_part(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let replies = on.commit(txns.clone()).await?;
    for (txn, reply) in txns.iter().zip(&replies) {
        if reply.is_err() && txn.when.is_empty() {
            for op in &txn.then {
                if on.commit_one(only(op)).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(Reply::Commit(replies))
}

async fn refused_writes(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let replies = on.commit(txns.clone()).await?;
    for (mut txn, reply) in txns.into_iter().zip(&replies) {
        if reply.as_ref().is_ok_and(|it| !it.applied) {
            txn.when.clear();
            // Reads of the other branch may be of the same keys.
            txn.otherwise.clear();
            on.commit_one(txn).await?;
        }
    }
    Ok(Reply::Commit(replies))
}

async fn other_branch_unread(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut replies = on.commit(txns!(on, command)).await?;
    for reply in replies.iter_mut().flatten() {
        if !reply.applied {
            reply.answers.clear();
        }
    }
    Ok(Reply::Commit(replies))
}

async fn stops_at_failure(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut replies: Vec<Result<TxnReply>> = Vec::new();
    for txn in txns!(on, command) {
        let failed = replies.last().and_then(|it| it.as_ref().err());
        let reply = match failed {
            Some(error) => Err(error.duplicate()),
            None => on.commit_one(txn).await,
        };
        replies.push(reply);
    }
    Ok(Reply::Commit(replies))
}

async fn fails_whole_list(on: Hand<'_>, command: Command) -> Result<Reply> {
    let replies = on.commit(txns!(on, command)).await?;
    match replies.iter().find_map(|it| it.as_ref().err()) {
        Some(error) if replies.len() > 1 => Err(error.duplicate()),
        _ => Ok(Reply::Commit(replies)),
    }
}

async fn runs_backwards(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    txns.reverse();
    let mut replies = on.commit(txns).await?;
    replies.reverse();
    Ok(Reply::Commit(replies))
}

async fn guards_first(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    let looks = txns.iter().map(|txn| {
        let mut look = txn.clone();
        look.then.clear();
        look
    });
    let looks = on.commit(looks.collect()).await?;
    for (txn, look) in txns.iter_mut().zip(&looks) {
        txn.when.clear();
        if look.as_ref().is_ok_and(|it| !it.applied) {
            txn.then.clear();
        }
    }
    let done = on.commit(txns).await?;
    let replies = looks.into_iter().zip(done).map(|(look, done)| match look {
        Ok(look) if look.applied => done,
        other => other,
    });
    Ok(Reply::Commit(replies.collect()))
}

async fn one_by_one(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut replies = Vec::new();
    for txn in txns!(on, command) {
        if !txn.when.is_empty() {
            replies.push(on.commit_one(txn).await);
            continue;
        }
        let mut answers = Vec::new();
        for op in &txn.then {
            answers.extend(on.commit_one(only(op)).await?.answers);
            gap().await;
        }
        replies.push(Ok(TxnReply::applied(answers)));
    }
    Ok(Reply::Commit(replies))
}

async fn delete_needs_key(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    for txn in &txns {
        for op in &txn.then {
            if let Op::Delete { key } = op
                && !on.exists(key).await?
            {
                let error = Error::new(ErrorKind::Conflict, "there is no such key");
                return Err(error.with_key(key));
            }
        }
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn deletes_anyway(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    for op in txns.iter_mut().flat_map(|txn| &mut txn.then) {
        if let Op::DeleteIf { key, .. } = op {
            *op = Op::Delete { key: key.clone() };
        }
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn loses_end(on: Hand<'_>, command: Command) -> Result<Reply> {
    // No store may have a lower limit than one more.
    const LONG: usize = 15;
    let mut txns = txns!(on, command);
    let lengths: Vec<usize> = txns.iter().map(|txn| txn.then.len()).collect();
    txns.iter_mut().for_each(|txn| txn.then.truncate(LONG));
    let mut replies = on.commit(txns).await?;
    for (reply, length) in replies.iter_mut().zip(lengths) {
        if let Ok(reply) = reply
            && reply.applied
        {
            reply.answers.resize(length, OpReply::Done);
        }
    }
    Ok(Reply::Commit(replies))
}

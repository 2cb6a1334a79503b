//! Stores that lose messages, or send ones that nobody meant.

use super::{commits::txns, hand::Hand, saboteurs};
use kv_core::{Command, Key, Op, Reply, Result, Value};

saboteurs! {
    "every seventh message is lost" [109, 270] loses_some;
    "payloads are text" [270] payloads_are_text;
    "a refused transaction sends its messages" [271] refused_sends;
    "a transaction sends no messages" [271, 272] sends_nothing;
    "every added member sends its message" [272] sends_always;
}

async fn loses_some(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::Notify { .. } = &command {
        let mut keys = on.notes.keys.lock();
        // One key for each message since the last that was lost.
        let count = keys.len();
        if count == 6 {
            keys.clear();
            return Ok(Reply::Notify(()));
        }
        keys.insert(Key::new(format!("message {count}"))?);
    }
    on.ask(command).await
}

async fn payloads_are_text(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Notify { payload, .. } = &mut command {
        let text = String::from_utf8_lossy(payload.as_bytes()).into_owned();
        *payload = Value::from(text);
    }
    on.ask(command).await
}

async fn refused_sends(on: Hand<'_>, command: Command) -> Result<Reply> {
    let txns = txns!(on, command);
    let replies = on.commit(txns.clone()).await?;
    for (txn, reply) in txns.into_iter().zip(&replies) {
        if reply.as_ref().is_ok_and(|it| it.applied) {
            continue;
        }
        for op in txn.then {
            if let Op::Notify(notice) = op {
                on.notify(notice).await?;
            }
        }
    }
    Ok(Reply::Commit(replies))
}

async fn sends_nothing(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    for op in txns.iter_mut().flat_map(|txn| &mut txn.then) {
        match op {
            Op::ZAdd {
                notify_if_first, ..
            } => *notify_if_first = None,
            Op::Notify(_) => *op = Op::Read(kv_core::Read::Now),
            _ => {}
        }
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

async fn sends_always(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut txns = txns!(on, command);
    for txn in &mut txns {
        let notices = txn.then.iter_mut().filter_map(|op| match op {
            Op::ZAdd {
                notify_if_first, ..
            } => notify_if_first.take(),
            _ => None,
        });
        let notices: Vec<_> = notices.map(Op::Notify).collect();
        txn.then.extend(notices);
    }
    Ok(Reply::Commit(on.commit(txns).await?))
}

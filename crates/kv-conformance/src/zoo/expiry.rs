//! Stores that keep time badly.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{Command, Lifetime, Reply, Result, TimeToLive, Timestamp, Ttl, Visitor, When};
use std::time::Duration;

saboteurs! {
    "a ttl is forgotten" [16, 17, 19] ttl_forgotten;
    "a ttl is rounded up to ten seconds" [16, 17] rounded_up;
    "a ttl is rounded down to seconds" [17, 18] rounded_down;
    "a key without deadline reads as missing" [19] no_expiry_is_missing;
    "a huge ttl wraps" [20] huge_wraps;
    "set keeps the old deadline" [21] set_keeps;
    "keep forgets the deadline" [22] keep_forgets;
    "keep starts the deadline anew" [22] keep_restarts;
    "a deadline in the past is none" [23] past_is_none;
    "persist always says true" [24] persist_says_true;
    "expire says true for a missing key" [24] expire_says_true;
    "expired keys are counted" [25] expired_are_counted;
    "expired keys are listed" [25, 72] expired_are_listed;
    "deleting an expired key counts" [25] expired_are_deleted;
    "deadlines are kept in the handle" [26] kept_in_the_handle;
    "a reader cleans up what it did not find" [27] reader_cleans_up;
    "the deadline follows in a second step" [28] second_step;
    "only the first key of a batch gets the deadline" [29] first_of_a_batch;
}

/// Changes what a command says about time to live.
struct EachTtl(fn(Ttl) -> Ttl);

impl Visitor for EachTtl {
    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        *ttl = (self.0)(*ttl);
        Ok(())
    }
}

async fn with_ttl(on: Hand<'_>, mut command: Command, change: fn(Ttl) -> Ttl) -> Result<Reply> {
    command.visit(&mut EachTtl(change))?;
    on.ask(command).await
}

fn lifetime(millis: u64) -> Ttl {
    Ttl::after(Duration::from_millis(millis)).unwrap_or(Ttl::Never)
}

async fn ttl_forgotten(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::In(_) => Ttl::Never,
        other => other,
    })
    .await
}

async fn rounded_up(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::In(span) => lifetime(span.as_millis().next_multiple_of(10_000)),
        other => other,
    })
    .await
}

async fn rounded_down(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::In(span) => lifetime((span.as_millis() / 1000 * 1000).max(1)),
        other => other,
    })
    .await
}

async fn no_expiry_is_missing(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::TimeToLive(TimeToLive::NoExpiry) => Ok(Reply::TimeToLive(TimeToLive::Missing)),
        reply => Ok(reply),
    }
}

async fn huge_wraps(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::In(span) => lifetime(u64::from(span.as_millis() as u32).max(1)),
        other => other,
    })
    .await
}

async fn set_keeps(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::Unset | Ttl::Never => Ttl::Keep,
        other => other,
    })
    .await
}

async fn keep_forgets(on: Hand<'_>, command: Command) -> Result<Reply> {
    with_ttl(on, command, |ttl| match ttl {
        Ttl::Keep => Ttl::Never,
        other => other,
    })
    .await
}

/// It reads the remaining time, then writes it: rounded, and from now on.
async fn keep_restarts(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Set { key, options, .. } = &mut command
        && options.ttl == Ttl::Keep
    {
        let left = on.ask(Command::TimeToLive { key: key.clone() }).await?;
        options.ttl = match left {
            Reply::TimeToLive(TimeToLive::In(left)) => {
                Lifetime::new(left.max(Duration::from_millis(1_500))).map(Ttl::In)?
            }
            _ => Ttl::Never,
        };
    }
    on.ask(command).await
}

async fn past_is_none(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    let now = on.now().await?;
    if let Command::Set { options, .. } = &mut command
        && matches!(options.ttl, Ttl::At(deadline) if deadline < now)
    {
        options.ttl = Ttl::Never;
    }
    on.ask(command).await
}

async fn persist_says_true(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Persist(_) => Ok(Reply::Persist(true)),
        reply => Ok(reply),
    }
}

async fn expire_says_true(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Expire(_) => Ok(Reply::Expire(true)),
        reply => Ok(reply),
    }
}

/// Notes every key that was written with a deadline and not deleted since.
fn note(on: &Hand<'_>, command: &Command) {
    match command {
        Command::Set { key, options, .. } if matches!(options.ttl, Ttl::In(_)) => {
            on.notes.keys.lock().insert(key.clone());
        }
        Command::Delete { keys } => on.notes.keys.lock().retain(|key| !keys.contains(key)),
        _ => {}
    }
}

async fn expired_are_counted(on: Hand<'_>, command: Command) -> Result<Reply> {
    note(&on, &command);
    let Command::Exists { keys } = command else {
        return on.ask(command).await;
    };
    let noted = keys
        .iter()
        .filter(|key| on.notes.keys.lock().contains(*key))
        .count() as u64;
    let there = on.count(Command::Exists { keys }).await?;
    Ok(Reply::Exists(there.max(noted)))
}

async fn expired_are_listed(on: Hand<'_>, command: Command) -> Result<Reply> {
    note(&on, &command);
    match on.ask(command).await? {
        Reply::Scan(mut page) => {
            let noted = on.notes.keys.lock().clone();
            let new: Vec<_> = noted
                .into_iter()
                .filter(|key| !page.keys.contains(key))
                .collect();
            page.keys.extend(new);
            Ok(Reply::Scan(page))
        }
        reply => Ok(reply),
    }
}

async fn expired_are_deleted(on: Hand<'_>, command: Command) -> Result<Reply> {
    let noted = match &command {
        Command::Delete { keys } => keys
            .iter()
            .filter(|key| on.notes.keys.lock().contains(*key))
            .count() as u64,
        _ => 0,
    };
    note(&on, &command);
    match on.ask(command).await? {
        Reply::Delete(count) => Ok(Reply::Delete(count.max(noted))),
        reply => Ok(reply),
    }
}

async fn kept_in_the_handle(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    let now = on.now().await?;
    match &mut command {
        Command::Set { key, options, .. } => {
            if let Ttl::In(span) = options.ttl {
                let deadline = now.saturating_add(span.as_duration());
                on.notes.deadlines.lock().insert(key.clone(), deadline);
                options.ttl = Ttl::Never;
            }
        }
        Command::Get { key } => drop_if_due(&on, key, now).await?,
        Command::Exists { keys } => {
            for key in keys {
                drop_if_due(&on, key, now).await?;
            }
        }
        _ => {}
    }
    on.ask(command).await
}

async fn drop_if_due(on: &Hand<'_>, key: &kv_core::Key, now: Timestamp) -> Result<()> {
    let deadline = on.notes.deadlines.lock().get(key).copied();
    if deadline.is_some_and(|deadline| deadline <= now) {
        on.delete(key).await?;
    }
    Ok(())
}

async fn reader_cleans_up(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Get { key } = command else {
        return on.ask(command).await;
    };
    let value = on.get(&key).await?;
    if value.is_none() {
        gap().await;
        on.delete(&key).await?;
    }
    Ok(Reply::Get(value))
}

async fn second_step(on: Hand<'_>, command: Command) -> Result<Reply> {
    match command {
        Command::Set {
            key,
            value,
            options,
        } if matches!(options.ttl, Ttl::In(_)) && options.when == When::Always => {
            let reply = on.set(&key, value.clone(), Ttl::Never).await?;
            gap().await;
            on.set(&key, value, options).await?;
            Ok(Reply::Set(reply))
        }
        other => on.ask(other).await,
    }
}

async fn first_of_a_batch(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::SetMany { items, options } = command else {
        return on.ask(command).await;
    };
    let mut answers = Vec::with_capacity(items.len());
    for (at, (key, value)) in items.into_iter().enumerate() {
        let mut options = options.clone();
        if at > 0 {
            options.ttl = Ttl::Never;
        }
        answers.push(
            on.set(&key, value, options)
                .await
                .map(|reply| reply.applied),
        );
    }
    Ok(Reply::SetMany(answers))
}

//! Stores whose conditions do not hold.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{
    Command, Error, ErrorKind, Mark, Reply, Result, SetOptions, SetReply, Ttl, Value, When,
};

saboteurs! {
    "conditions are lost on the way" [31, 34, 36, 37, 44] conditions_lost;
    "a refused write moves the deadline" [31] refusal_moves_deadline;
    "a conditional write has no deadline" [32] no_deadline;
    "a conditional write on a structure is an error" [33] structure_is_an_error;
    "a conditional write replaces a structure" [33] structure_is_replaced;
    "if present creates" [34] present_creates;
    "if absent is checked, then set" [35] check_then_set;
    "a refused write tells nothing" [36, 37] refusal_tells_nothing;
    "compare-and-set creates a missing key" [37, 42] compare_creates;
    "compare-and-set ignores blanks and case" [37] lenient_compare;
    "a deleted value never compares equal again" [39] remembers_deletes;
    "a write of the same value is refused" [40] same_value_refused;
    "compare-and-set is checked, then set" [41] compare_then_set;
    "an empty value counts as absent" [36, 42] empty_is_absent;
}

/// The parts of a conditional write of one string; other commands go on to the store.
macro_rules! conditional {
    ($on:ident, $command:ident) => {
        match $command {
            Command::Set {
                key,
                value,
                options,
            } if options.when != When::Always => (key, value, options),
            other => return $on.ask(other).await,
        }
    };
}

async fn conditions_lost(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Set { options, .. } = &mut command {
        options.when = When::Always;
    }
    on.ask(command).await
}

async fn refusal_moves_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    let ttl = options.ttl;
    let reply = on.set(&key, value, options).await?;
    if let (false, Some(current)) = (reply.applied, &reply.current) {
        on.set(&key, current.clone(), ttl).await?;
    }
    Ok(Reply::Set(reply))
}

async fn no_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, mut options) = conditional!(on, command);
    options.ttl = Ttl::Never;
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn structure_is_an_error(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    on.get(&key).await?;
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn structure_is_replaced(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    if on.get(&key).await.is_err() {
        on.delete(&key).await?;
        return Ok(Reply::Set(on.set(&key, value, Ttl::Never).await?));
    }
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn present_creates(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Set { options, .. } = &mut command
        && options.when == When::IfPresent
    {
        options.when = When::Always;
    }
    on.ask(command).await
}

async fn check_then_set(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    if options.when != When::IfAbsent {
        return Ok(Reply::Set(on.set(&key, value, options).await?));
    }
    if on.exists(&key).await? {
        return Ok(Reply::Set(SetReply::refused(on.get(&key).await?)));
    }
    gap().await;
    Ok(Reply::Set(on.set(&key, value, options.ttl).await?))
}

async fn refusal_tells_nothing(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Set(mut reply) => {
            reply.current = None;
            Ok(Reply::Set(reply))
        }
        reply => Ok(reply),
    }
}

async fn compare_creates(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, mut options) = conditional!(on, command);
    if matches!(options.when, When::IfValue(_)) && !on.exists(&key).await? {
        options.when = When::Always;
    }
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn lenient_compare(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, mut options) = conditional!(on, command);
    let lenient = |bytes: &[u8]| bytes.trim_ascii().to_ascii_lowercase();
    if let When::IfValue(mark) = &options.when
        && let Ok(Some(current)) = on.get(&key).await
        && lenient(mark.as_bytes()) == lenient(current.as_bytes())
    {
        options.when = When::IfValue(Mark::new(current.into_bytes()));
    }
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn remembers_deletes(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::Delete { keys } = &command {
        on.notes.keys.lock().extend(keys.iter().cloned());
    }
    let (key, value, options) = conditional!(on, command);
    if matches!(options.when, When::IfValue(_)) && on.notes.keys.lock().contains(&key) {
        return Ok(Reply::Set(SetReply::refused(None)));
    }
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn same_value_refused(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    if matches!(&options.when, When::IfValue(mark) if mark.as_bytes() == value.as_bytes()) {
        return Ok(Reply::Set(SetReply::refused(Some(value))));
    }
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

async fn compare_then_set(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    let When::IfValue(mark) = &options.when else {
        return Ok(Reply::Set(on.set(&key, value, options).await?));
    };
    let current: Option<Value> = on.get(&key).await?;
    if current
        .as_ref()
        .is_none_or(|it| it.as_bytes() != mark.as_bytes())
    {
        return Ok(Reply::Set(SetReply::refused(current)));
    }
    gap().await;
    Ok(Reply::Set(on.set(&key, value, options.ttl).await?))
}

async fn empty_is_absent(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, value, options) = conditional!(on, command);
    let wants_absence = match &options.when {
        When::IfAbsent => true,
        When::IfValue(mark) => mark.as_bytes().is_empty(),
        When::Always | When::IfPresent => false,
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a condition unknown to the zoo",
            ));
        }
    };
    let current = on.get(&key).await.ok().flatten();
    let absent = current.is_none_or(|it| it.as_bytes().is_empty());
    let options = match wants_absence && absent {
        true => SetOptions::from(options.ttl),
        false => options,
    };
    Ok(Reply::Set(on.set(&key, value, options).await?))
}

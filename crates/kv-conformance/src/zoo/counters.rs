//! Stores that cannot count.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{Command, Error, ErrorKind, Key, Reply, Result, Ttl, Value};

saboteurs! {
    "counters start at one" [46] start_at_one;
    "adding zero creates nothing" [46] zero_creates_nothing;
    "counters are padded" [47] padded;
    "blanks around a number are ignored" [48] lenient_numbers;
    "what is no number counts as zero" [48] no_number_is_zero;
    "an overflow wraps" [49] overflow_wraps;
    "an overflow stays at the largest" [49] overflow_saturates;
    "counting replaces a structure" [50, 90, 95] replaces_structure;
    "increment drops the deadline" [51] drops_deadline;
    "increment starts the deadline anew" [52] restarts_deadline;
    "a counter's deadline is forgotten" [28, 52] forgets_deadline;
    "increment reads, then writes" [53] read_then_write;
}

/// The parts of an increment; other commands go on to the store.
macro_rules! increment {
    ($on:ident, $command:ident) => {
        match $command {
            Command::Increment {
                key,
                by,
                ttl_if_created,
            } => (key, by, ttl_if_created),
            other => return $on.ask(other).await,
        }
    };
}

async fn add(on: &Hand<'_>, key: &Key, by: i64, ttl_if_created: Ttl) -> Result<Reply> {
    let key = key.clone();
    on.ask(Command::Increment {
        key,
        by,
        ttl_if_created,
    })
    .await
}

async fn number(on: &Hand<'_>, key: &Key) -> Result<Option<i64>> {
    let value = on.get(key).await?;
    let number = value.and_then(|it| it.to_str().ok()?.trim().parse().ok());
    Ok(number)
}

async fn start_at_one(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    let first = !on.exists(&key).await?;
    add(&on, &key, by + i64::from(first), ttl).await
}

async fn zero_creates_nothing(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    if by == 0 && !on.exists(&key).await? {
        return Ok(Reply::Increment(0));
    }
    add(&on, &key, by, ttl).await
}

async fn padded(on: Hand<'_>, command: Command) -> Result<Reply> {
    let counter = matches!(&command, Command::Get { .. });
    match on.ask(command).await? {
        Reply::Get(Some(value)) if counter && value.to_str().is_ok_and(is_number) => {
            let text = format!("{:0>4}", value.to_str()?);
            Ok(Reply::Get(Some(text.into())))
        }
        reply => Ok(reply),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

async fn lenient_numbers(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    if let Ok(Some(value)) = on.get(&key).await
        && let Some(number) = value
            .to_str()
            .ok()
            .and_then(|it| it.trim().parse::<i64>().ok())
        && value != number.to_string().as_str()
    {
        on.set(&key, number.to_string().into(), Ttl::Keep).await?;
    }
    add(&on, &key, by, ttl).await
}

async fn no_number_is_zero(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    match add(&on, &key, by, ttl).await {
        Err(error) if error.kind() == ErrorKind::NotAnInteger => {
            on.set(&key, by.to_string().into(), Ttl::Keep).await?;
            Ok(Reply::Increment(by))
        }
        answer => answer,
    }
}

async fn overflow_wraps(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    at_the_end(on, key, by, ttl, i64::wrapping_add).await
}

async fn overflow_saturates(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    at_the_end(on, key, by, ttl, i64::saturating_add).await
}

async fn at_the_end(
    on: Hand<'_>,
    key: Key,
    by: i64,
    ttl: Ttl,
    sum: fn(i64, i64) -> i64,
) -> Result<Reply> {
    match add(&on, &key, by, ttl).await {
        Err(error) if error.kind() == ErrorKind::Overflow => {
            let sum = sum(number(&on, &key).await?.unwrap_or_default(), by);
            on.set(&key, sum.to_string().into(), Ttl::Keep).await?;
            Ok(Reply::Increment(sum))
        }
        answer => answer,
    }
}

async fn replaces_structure(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    match add(&on, &key, by, ttl).await {
        Err(error) if error.kind() == ErrorKind::WrongType => {
            on.delete(&key).await?;
            add(&on, &key, by, ttl).await
        }
        answer => answer,
    }
}

async fn drops_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    let there = on.exists(&key).await?;
    let reply = add(&on, &key, by, ttl).await?;
    if there {
        on.persist(&key).await?;
    }
    Ok(reply)
}

async fn restarts_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    let reply = add(&on, &key, by, ttl).await?;
    if let (Ttl::In(_), Some(value)) = (ttl, on.get(&key).await?) {
        on.set(&key, value, ttl).await?;
    }
    Ok(reply)
}

async fn forgets_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, _) = increment!(on, command);
    add(&on, &key, by, Ttl::Never).await
}

async fn read_then_write(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (key, by, ttl) = increment!(on, command);
    let old = match on.get(&key).await? {
        Some(_) => number(&on, &key)
            .await?
            .ok_or_else(|| Error::new(ErrorKind::NotAnInteger, "the value is no integer"))?,
        None => 0,
    };
    gap().await;
    let sum = old.wrapping_add(by);
    on.set(&key, Value::from(sum.to_string()), ttl).await?;
    Ok(Reply::Increment(sum))
}

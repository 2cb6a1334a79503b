//! Commands about one key, whatever it holds, and the store's clock.

use crate::{
    decode, encode,
    encode::{By, TtlArgs, deadline_millis, digits},
    error::{Answer, Failure},
    link::Link,
    scripts::INCREMENT_UNTIL,
};
use kv_core::{Expiry, Key, Result, SetOptions, SetReply, TimeToLive, Timestamp, Ttl, Value, When};
use redis::{Cmd, Pipeline, Value as RedisValue};

pub(crate) async fn ping(link: &Link) -> Answer<()> {
    link.everywhere(&encode::with("PING", [])).await
}

pub(crate) async fn get(link: &Link, key: Key) -> Result<Option<Value>> {
    let answer = link.command(&encode::with("GET", [key.as_bytes()])).await;
    answer
        .and_then(decode::string)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn set(
    link: &Link,
    key: Key,
    value: Value,
    options: SetOptions,
) -> Result<SetReply> {
    let encode = |by| encode::set(key.as_bytes(), value.as_bytes(), &options, by);
    let answer = match (&options.when, encode(By::Hash)) {
        // Boxed, so that the usual case does not carry the room for this one.
        (When::IfValue(_), _) => Box::pin(link.script(encode)).await,
        (_, Ok(command)) => link.command(&command).await,
        (_, Err(failure)) => Err(failure),
    };
    decode::set(answer, &options.when).map_err(|failure| failure.about(&key))
}

pub(crate) async fn increment(link: &Link, key: Key, by: i64, ttl: Ttl) -> Result<i64> {
    let add = || encode::with("INCRBY", [key.as_bytes(), digits(by).as_bytes()]);
    let answer = match ttl {
        Ttl::Unset | Ttl::Never | Ttl::Keep => link.command(&add()).await,
        Ttl::At(deadline) => Box::pin(increment_until(link, &key, by, deadline)).await,
        ttl => Box::pin(increment_for(link, &key, add(), ttl)).await,
    };
    answer
        .and_then(decode::integer)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn expire(link: &Link, key: Key, expiry: Expiry) -> Result<bool> {
    let (name, number) = match expiry {
        Expiry::In(span) | Expiry::Held(span) => ("PEXPIRE", digits(span.as_millis())),
        Expiry::At(deadline) => ("PEXPIREAT", digits(deadline_millis(deadline))),
        _ => return Err(Failure::unsupported("this deadline").about(&key)),
    };
    let command = encode::with(name, [key.as_bytes(), number.as_bytes()]);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::flag)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn persist(link: &Link, key: Key) -> Result<bool> {
    let answer = link
        .command(&encode::with("PERSIST", [key.as_bytes()]))
        .await;
    answer
        .and_then(decode::flag)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn time_to_live(link: &Link, key: Key) -> Result<TimeToLive> {
    let answer = link.command(&encode::with("PTTL", [key.as_bytes()])).await;
    answer
        .and_then(decode::time_to_live)
        .map_err(|failure| failure.about(&key))
}

/// The server's clock, in microseconds.
pub(crate) async fn now(link: &Link) -> Answer<Timestamp> {
    let reply = link.command(&encode::with("TIME", [])).await?;
    let mut parts = decode::list(reply)?.into_iter();
    let mut next = || {
        parts
            .next()
            .ok_or_else(Failure::unexpected_reply)
            .and_then(decode::integer)
    };
    let (seconds, micros) = (next()?, next()?);
    let micros = seconds
        .checked_mul(1_000_000)
        .and_then(|whole| whole.checked_add(micros));
    micros
        .map(Timestamp::from_micros)
        .ok_or_else(Failure::unexpected_reply)
}

/// Creates the counter with its time to live, if it is missing, and adds: one transaction.
async fn increment_for(link: &Link, key: &Key, add: Cmd, ttl: Ttl) -> Answer<RedisValue> {
    let ttl = TtlArgs::new(ttl)?;
    let create: Vec<&[u8]> = ttl.iter().collect();
    let create = encode::with_list("SET", [key.as_bytes(), b"0", b"NX"], &create);
    let mut both = Pipeline::with_capacity(2);
    both.add_command(create).add_command(add);
    let sum = link.transaction(&mut both).await?.pop();
    decode::single(sum.ok_or_else(Failure::unexpected_reply)?)
}

/// The same with an instant, which may be past: then a counter made before the addition would be
/// gone by then, and the addition would make one without a deadline.
async fn increment_until(
    link: &Link,
    key: &Key,
    by: i64,
    deadline: Timestamp,
) -> Answer<RedisValue> {
    let (by, deadline) = (digits(by), digits(deadline_millis(deadline)));
    let args = [by.as_bytes(), deadline.as_bytes()];
    link.script(|named| {
        Ok(encode::script(
            &INCREMENT_UNTIL,
            named,
            key.as_bytes(),
            &args,
        ))
    })
    .await
}

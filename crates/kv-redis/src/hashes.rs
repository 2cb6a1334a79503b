//! Hashes.

use crate::{decode, encode, link::Link};
use kv_core::{Field, Key, Result, Value};
use redis::RedisWrite;

pub(crate) async fn set(link: &Link, key: Key, fields: Vec<(Field, Value)>) -> Result<u64> {
    if fields.is_empty() {
        return Ok(0);
    }
    let length = |(field, value): &(Field, Value)| field.as_bytes().len() + value.as_bytes().len();
    let bytes = key.as_bytes().len() + fields.iter().map(length).sum::<usize>();
    let mut command = encode::command("HSET", 1 + fields.len() * 2, bytes);
    command.write_arg(key.as_bytes());
    for (field, value) in &fields {
        command.write_arg(field.as_bytes());
        command.write_arg(value.as_bytes());
    }
    let answer = link.command(&command).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn get(link: &Link, key: Key, field: Field) -> Result<Option<Value>> {
    let command = encode::with("HGET", [key.as_bytes(), field.as_bytes()]);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::string)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn get_many(
    link: &Link,
    key: Key,
    fields: Vec<Field>,
) -> Result<Vec<Option<Value>>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let command = encode::with_list("HMGET", [key.as_bytes()], &fields);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::strings)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn get_all(link: &Link, key: Key) -> Result<Vec<(Field, Value)>> {
    let answer = link
        .command(&encode::with("HGETALL", [key.as_bytes()]))
        .await;
    let pairs = answer.and_then(decode::pairs);
    let pairs = pairs.map_err(|failure| failure.about(&key))?;
    let named = |(name, value): (Value, Value)| (Field::new(name.into_bytes()), value);
    Ok(pairs.into_iter().map(named).collect())
}

pub(crate) async fn increment(link: &Link, key: Key, field: Field, by: i64) -> Result<i64> {
    let by = encode::digits(by);
    let args = [key.as_bytes(), field.as_bytes(), by.as_bytes()];
    let answer = link.command(&encode::with("HINCRBY", args)).await;
    answer
        .and_then(decode::integer)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn delete(link: &Link, key: Key, fields: Vec<Field>) -> Result<u64> {
    if fields.is_empty() {
        return Ok(0);
    }
    let command = encode::with_list("HDEL", [key.as_bytes()], &fields);
    let answer = link.command(&command).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

pub(crate) async fn len(link: &Link, key: Key) -> Result<u64> {
    let answer = link.command(&encode::with("HLEN", [key.as_bytes()])).await;
    answer
        .and_then(decode::count)
        .map_err(|failure| failure.about(&key))
}

//! Strings, many at a time, in steps that neither hold the server up nor fill the memory.

use crate::{
    decode,
    encode::{self, By},
    error::{Answer, Failure},
    link::Link,
};
use kv_core::{Capabilities, Key, Result, SetOptions, Value};
use redis::Pipeline;
use std::collections::HashSet;

/// How many keys a command names at most: it holds up everybody else meanwhile.
const KEYS: usize = 1000;
/// How many writes are sent at a time at most, ...
const WRITES: usize = 5000;
/// ... and how many bytes of them; one value may be longer.
const BYTES: usize = 2 << 20;

pub(crate) async fn get(link: &Link, keys: Vec<Key>) -> Answer<Vec<Option<Value>>> {
    if keys.len() <= KEYS {
        return get_step(link, &keys).await;
    }
    let mut values = Vec::with_capacity(keys.len());
    for step in keys.chunks(KEYS) {
        values.extend(get_step(link, step).await?);
    }
    Ok(values)
}

/// Writes the items in order. What follows a step that failed as a whole is not sent.
pub(crate) async fn set(
    link: &Link,
    limits: &Capabilities,
    items: Vec<(Key, Value)>,
    options: SetOptions,
) -> Vec<Result<bool>> {
    let mut answers = Vec::with_capacity(items.len());
    let mut rest = items.as_slice();
    let mut broken: Option<Failure> = None;
    while !rest.is_empty() {
        let (step, behind) = rest.split_at(step_length(rest));
        rest = behind;
        match &broken {
            Some(failure) => {
                answers.extend(step.iter().map(|(key, _)| Err(failure.clone().about(key))))
            }
            None => broken = set_step(link, limits, step, &options, &mut answers).await,
        }
    }
    answers
}

pub(crate) async fn delete(link: &Link, keys: Vec<Key>) -> Result<u64> {
    count(link, "UNLINK", &keys).await
}

pub(crate) async fn exists(link: &Link, mut keys: Vec<Key>) -> Result<u64> {
    // The server counts a key as often as it is named.
    if keys.len() > 1 {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    count(link, "EXISTS", &keys).await
}

async fn get_step(link: &Link, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let reply = link.command(&encode::with_list("MGET", [], keys)).await?;
    let values = decode::strings(reply)?;
    match values.len() == keys.len() {
        true => Ok(values),
        false => Err(Failure::unexpected_reply()),
    }
}

/// How many items make one step.
fn step_length(items: &[(Key, Value)]) -> usize {
    let mut bytes = 0;
    let fits = |(key, value): &&(Key, Value)| {
        bytes += key.as_bytes().len() + value.as_bytes().len();
        bytes <= BYTES
    };
    items.iter().take(WRITES).take_while(fits).count().max(1)
}

/// Sends one step and adds an answer for each of its items. Returns what the rest fails with, if the
/// step failed as a whole.
async fn set_step(
    link: &Link,
    limits: &Capabilities,
    items: &[(Key, Value)],
    options: &SetOptions,
    answers: &mut Vec<Result<bool>>,
) -> Option<Failure> {
    let mut pipeline = Pipeline::with_capacity(items.len());
    let mut sendable = Vec::with_capacity(items.len());
    for (key, value) in items {
        let fits = limits
            .fits_key(key)
            .and_then(|()| limits.fits_value(Some(key), value.as_bytes().len()));
        // A script is made known by its first call.
        let by = if pipeline.is_empty() {
            By::Text
        } else {
            By::Hash
        };
        let encoded = fits.and_then(|()| {
            encode::set(key.as_bytes(), value.as_bytes(), options, by)
                .map_err(|failure| failure.about(key))
        });
        sendable.push(encoded.map(|command| {
            pipeline.add_command(command);
        }));
    }
    let sent = match pipeline.is_empty() {
        true => Ok(Vec::new()),
        false => link.pipeline(&pipeline).await,
    };
    let (mut replies, failure) = match sent {
        Ok(replies) => (replies.into_iter(), None),
        Err(failure) => (Vec::new().into_iter(), Some(failure)),
    };
    answers.extend(sendable.into_iter().zip(items).map(|(sendable, (key, _))| {
        sendable?;
        let answer = match (&failure, replies.next()) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(reply)) => decode::set(decode::single(reply), &options.when),
            (None, None) => Err(Failure::unexpected_reply()),
        };
        answer
            .map(|reply| reply.applied)
            .map_err(|failure| failure.about(key))
    }));
    failure.map(|failure| failure.of_the_rest())
}

/// Sums up what a command that counts keys answers.
async fn count(link: &Link, name: &'static str, keys: &[Key]) -> Result<u64> {
    let mut total = 0;
    for step in keys.chunks(KEYS) {
        let answer = link.command(&encode::with_list(name, [], step)).await;
        total += answer
            .and_then(decode::count)
            .map_err(|failure| match keys {
                [key] => failure.about(key),
                _ => kv_core::Error::from(failure),
            })?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, WRITES, step_length};
    use kv_core::{Key, Value};

    fn items(count: usize, bytes: usize) -> Vec<(Key, Value)> {
        let item = (Key::new("k").unwrap(), Value::from(vec![0; bytes - 1]));
        vec![item; count]
    }

    #[test]
    fn steps_are_bounded_by_count_and_bytes_and_never_empty() {
        assert_eq!(step_length(&items(3, 100)), 3);
        assert_eq!(step_length(&items(WRITES + 1, 10)), WRITES);
        assert_eq!(step_length(&items(10, BYTES / 4)), 4);
        assert_eq!(step_length(&items(2, BYTES + 1)), 1);
    }
}

//! Strings, many at a time, in steps that neither hold the server up nor fill the memory.

use crate::{
    decode,
    encode::{self, By},
    error::{Answer, Failure},
    link::Link,
};
use futures_util::future::join;
use kv_core::{Capabilities, Error, Key, Outcome, Result, SetOptions, Value, When};
use redis::{Cmd, Pipeline, Value as RedisValue};
use std::collections::HashSet;

/// How many keys a command names at most: it holds up everybody else meanwhile.
const KEYS: usize = 1000;
/// How many writes are sent at a time at most, ...
const WRITES: usize = 2000;
/// ... and how many bytes of them; one value may be longer.
const BYTES: usize = 1 << 20;

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
    let encode = |items| Step::encode(limits, items, &options);
    let mut answers = Vec::with_capacity(items.len());
    let (mut step, mut rest) = encode(&items);
    loop {
        // While the server works on one step, the next one is made ready.
        let next = async {
            tokio::task::yield_now().await;
            encode(rest)
        };
        let (sent, (next, behind)) = join(step.send(link), next).await;
        let failure = sent.iter().find_map(|it| it.as_ref().err());
        let failure = failure.map(Failure::of_the_rest);
        answers.extend(step.answers(sent, &options.when));
        if let Some(failure) = failure {
            let unsent = rest.iter().map(|(key, _)| Err(failure.clone().about(key)));
            answers.extend(unsent);
            return answers;
        }
        if rest.is_empty() {
            return answers;
        }
        (step, rest) = (next, behind);
    }
}

pub(crate) async fn delete(link: &Link, keys: Vec<Key>) -> Result<u64> {
    let mut deleted = 0;
    let done = count(link, "UNLINK", &keys, &mut deleted).await;
    done.map_err(|error| in_part(error, "deleted so far", deleted))?;
    Ok(deleted)
}

pub(crate) async fn exists(link: &Link, mut keys: Vec<Key>) -> Result<u64> {
    // The server counts a key as often as it is named.
    if keys.len() > 1 {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    let mut found = 0;
    count(link, "EXISTS", &keys, &mut found).await?;
    Ok(found)
}

/// The error of a write in steps, of which some were done: the call as a whole is neither applied
/// nor not applied, whatever is known about the step that failed.
pub(crate) fn in_part(error: Error, fact: &'static str, done: u64) -> Error {
    match done {
        0 => error,
        _ => error
            .with_outcome(Outcome::Unknown)
            .with_context(fact, done),
    }
}

async fn get_step(link: &Link, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let values = match link.is_divided() {
        true => get_each(link, keys).await?,
        false => decode::strings(link.command(&encode::with_list("MGET", [], keys)).await?)?,
    };
    match values.len() == keys.len() {
        true => Ok(values),
        false => Err(Failure::unexpected_reply()),
    }
}

/// The same with one command for each key: those of different slots cannot share one, and while a
/// slot is on its way from one server to another, nor can those of one.
async fn get_each(link: &Link, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    let mut values = Vec::with_capacity(keys.len());
    for reply in link.each(&one_by_one("MGET", keys)).await {
        values.extend(decode::strings(decode::single(reply?)?)?);
    }
    Ok(values)
}

fn one_by_one(name: &'static str, keys: &[Key]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.add_command(encode::with(name, [key.as_bytes()]));
    }
    pipeline
}

/// How many items make one step.
fn step_length(items: &[(Key, Value)]) -> usize {
    let mut bytes = 0;
    let fits = |(key, value): &&(Key, Value)| {
        bytes += key.as_bytes().len() + value.as_bytes().len();
        bytes <= BYTES
    };
    let fitting = items.iter().take(WRITES).take_while(fits).count();
    // One item is a step, however long it is.
    fitting.max(1).min(items.len())
}

/// Writes that are sent together.
struct Step<'a> {
    items: &'a [(Key, Value)],
    /// What is wrong with an item, for those that are not sent.
    refused: Vec<(usize, Error)>,
    pipeline: Pipeline,
}

impl<'a> Step<'a> {
    /// Makes a step of the first items, and returns the others with it.
    fn encode(
        limits: &Capabilities,
        items: &'a [(Key, Value)],
        options: &SetOptions,
    ) -> (Self, &'a [(Key, Value)]) {
        let (items, rest) = items.split_at(step_length(items));
        let mut refused = Vec::new();
        let mut pipeline = Pipeline::with_capacity(items.len());
        for (at, (key, value)) in items.iter().enumerate() {
            // A script is made known by its first call.
            let by = match pipeline.is_empty() {
                true => By::Text,
                false => By::Hash,
            };
            match encode_item(limits, key, value, options, by) {
                Ok(command) => {
                    pipeline.add_command(command);
                }
                Err(error) => refused.push((at, error)),
            }
        }
        let step = Self {
            items,
            refused,
            pipeline,
        };
        (step, rest)
    }

    async fn send(&self, link: &Link) -> Vec<Answer<RedisValue>> {
        match self.pipeline.is_empty() {
            true => Vec::new(),
            false => link.each(&self.pipeline).await,
        }
    }

    /// An answer for each item.
    fn answers(
        self,
        sent: Vec<Answer<RedisValue>>,
        when: &When,
    ) -> impl Iterator<Item = Result<bool>> {
        let mut replies = sent.into_iter();
        let mut refused = self.refused.into_iter().peekable();
        self.items.iter().enumerate().map(move |(at, (key, _))| {
            if let Some((_, error)) = refused.next_if(|(refused, _)| *refused == at) {
                return Err(error);
            }
            let answer = match replies.next() {
                Some(reply) => decode::set(reply.and_then(decode::single), when),
                None => Err(Failure::unexpected_reply()),
            };
            answer
                .map(|reply| reply.applied)
                .map_err(|failure| failure.about(key))
        })
    }
}

fn encode_item(
    limits: &Capabilities,
    key: &Key,
    value: &Value,
    options: &SetOptions,
    by: By,
) -> Result<Cmd> {
    limits.fits_key(key)?;
    limits.fits_value(Some(key), value.as_bytes().len())?;
    encode::set(key.as_bytes(), value.as_bytes(), options, by).map_err(|failure| failure.about(key))
}

/// Sums up what a command that counts keys answers.
pub(crate) async fn count(
    link: &Link,
    name: &'static str,
    keys: &[Key],
    total: &mut u64,
) -> Result<()> {
    for step in keys.chunks(KEYS) {
        let answers = match link.is_divided() {
            true => link.each(&one_by_one(name, step)).await,
            false => vec![link.command(&encode::with_list(name, [], step)).await],
        };
        let answers = answers.into_iter();
        let counts = answers.map(|it| it.and_then(decode::single).and_then(decode::count));
        let mut failed = None;
        for count in counts {
            match count {
                Ok(count) => *total += count,
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        if let Some(failure) = failed {
            return Err(match keys {
                [key] => failure.about(key),
                _ => failure.into(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{BYTES, KEYS, WRITES, step_length};
    use crate::fake::Fake;
    use kv_core::{Key, Outcome, Value};

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

    /// Keys of which the server refuses the one at this place, where a step should begin.
    fn refused_at(place: usize) -> Vec<Key> {
        let name = |at| match at == place {
            true => "refused".to_owned(),
            false => format!("k{at}"),
        };
        (0..=place).map(|at| Key::new(name(at)).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_delete_that_fails_half_done_is_unknown_and_says_how_much() {
        let server = Fake::start("127.0.0.1:0").await;
        let kv = server.kv().await;
        let error = kv.delete_many(refused_at(KEYS)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.context("deleted so far"), Some("1000"));
        let error = kv.delete_many(refused_at(0)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Final);
        assert_eq!(error.context("deleted so far"), None);
        let error = kv.exists_many(refused_at(KEYS)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Final);
        server.stop().await;
    }
}

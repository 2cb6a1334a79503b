//! Many keys at a time, in steps that etcd takes.

use crate::{
    answers,
    error::{Answer, Failure},
    layout::{Record, header, header::End},
    optimistic::{MOST_OPS, Optimist, View},
    place::Ending,
    strings,
};
use bytes::Bytes;
use etcd_client::{Compare, CompareOp, DeleteOptions, PutOptions, Txn, TxnOp, TxnOpResponse};
use kv_core::{Capabilities, Error, Key, Outcome, Result, SetOptions, Timestamp, Ttl, Value, When};
use std::collections::HashSet;

/// How many bytes are sent at a time at most; one value may be longer.
const BYTES: usize = 1_000_000;
/// How many keys are deleted in one transaction: deleting one is a transaction of its own, of so many
/// operations at most.
const DELETED: usize = MOST_OPS - DELETE_OPS;
const DELETE_OPS: usize = 3;

/// Deletes keys; how many were there.
pub(crate) async fn delete(store: &Optimist, keys: Vec<Key>) -> Result<u64> {
    let mut deleted = 0;
    for keys in distinct(keys).chunks(DELETED) {
        let step = delete_step(store, keys).await;
        deleted +=
            step.map_err(|failure| in_part(named(failure, keys), "deleted so far", deleted))?;
    }
    Ok(deleted)
}

/// Counts how many of the keys are there.
pub(crate) async fn exists(store: &Optimist, keys: Vec<Key>) -> Result<u64> {
    let mut found = 0;
    if let [key] = &keys[..] {
        // One string is one exchange.
        let raw = store.layout.string(key.as_bytes());
        let answer = store.link.get(raw, None).await.and_then(|mut found| {
            let value = found.take_kvs().pop().map(|it| it.into_key_value().1);
            value
                .map(|value| header::decode(value.into(), 0))
                .transpose()
        });
        let content = answer.map_err(|failure| failure.about(key))?;
        if content.is_some_and(|it| !it.end.is_past(store.clock.now())) {
            return Ok(1);
        }
    }
    for keys in distinct(keys).chunks(MOST_OPS / 2) {
        let plan = |view: &mut View<'_>| {
            let raw: Vec<_> = keys
                .iter()
                .map(Key::as_bytes)
                .flat_map(|key| [view.layout.string(key), view.layout.record(key)])
                .collect();
            view.expect(raw);
            let mut count = 0;
            let mut unread = None;
            for key in keys {
                match view.is_there(key) {
                    Ok(there) => count += u64::from(there),
                    // All that is missing is read at once.
                    Err(interrupt) => unread = Some(interrupt),
                }
            }
            match unread {
                Some(interrupt) => Err(interrupt),
                None => Ok(count),
            }
        };
        let first = keys.first().map_or(&b""[..], Key::as_bytes);
        let ran = store.run(first, plan).await;
        found += ran.map_err(|failure| named(failure, keys))?.0;
    }
    Ok(found)
}

/// Writes the items in order. What follows a step that failed as a whole is not sent.
pub(crate) async fn set(
    store: &Optimist,
    limits: &Capabilities,
    items: Vec<(Key, Value)>,
    options: &SetOptions,
) -> Vec<Result<bool>> {
    let mut answers: Vec<Result<bool>> = Vec::with_capacity(items.len());
    let mut rest = &items[..];
    while let Some((key, value)) = rest.first() {
        if let Err(error) = fits(limits, key, value) {
            answers.push(Err(error));
            rest = &rest[1..];
            continue;
        }
        let blind = matches!(
            (&options.when, options.ttl),
            (
                When::Always,
                Ttl::Unset | Ttl::Never | Ttl::In(_) | Ttl::Held(_)
            )
        );
        let length = if blind { step_of(limits, rest) } else { 1 };
        let (step, behind) = rest.split_at(length);
        let sent = match blind {
            true => set_step(store, step, options.ttl).await.map(|()| true),
            false => {
                let set = strings::set(store, key, value.clone(), options).await;
                set.map(|reply| reply.applied)
            }
        };
        rest = behind;
        match sent {
            Ok(applied) => answers.extend(step.iter().map(|_| Ok(applied))),
            Err(failure) => {
                let lost = failure.outcome() != Outcome::Final;
                answers.extend(step.iter().map(|(key, _)| Err(failure.clone().about(key))));
                if lost {
                    let unsent = failure.of_the_rest();
                    answers.extend(rest.iter().map(|(key, _)| Err(unsent.clone().about(key))));
                    return answers;
                }
            }
        }
    }
    answers
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

async fn delete_step(store: &Optimist, keys: &[Key]) -> Answer<u64> {
    let each = match keys {
        [key] => vec![store.link.txn(delete_one(store, key)).await?],
        _ => {
            let each: Vec<_> = keys
                .iter()
                .map(|key| TxnOp::txn(delete_one(store, key)))
                .collect();
            let mut response = store.link.txn(Txn::new().and_then(each)).await?;
            let of_one = |answer| match answer {
                TxnOpResponse::Txn(answer) => Ok(answer),
                _ => Err(Failure::unexpected_reply()),
            };
            let answers = answers::take(&mut response, keys.len())?;
            answers.map(of_one).collect::<Answer<_>>()?
        }
    };
    let now = store.clock.now();
    let mut count = 0;
    for mut answer in each {
        let operations = match answer.succeeded() {
            true => 1,
            false => DELETE_OPS,
        };
        let mut deleted = Vec::with_capacity(operations);
        for answer in answers::take(&mut answer, operations)? {
            let TxnOpResponse::Delete(mut answer) = answer else {
                return Err(Failure::unexpected_reply());
            };
            let before = answer.take_prev_kvs().pop();
            let before = before.map(|it| Bytes::from(it.into_key_value().1));
            deleted.push((before, answer.deleted() > 0));
        }
        let mut deleted = deleted.into_iter();
        let mut next = || deleted.next().unwrap_or_default();
        let (string, record, elements) = (next().0, next().0, next().1);
        count += u64::from(was_there(string, record, elements, now));
    }
    Ok(count)
}

/// Deletes whatever is at a key. Without a record it is no structure, and etcd takes several times as
/// long to delete a range in which there is nothing as to delete a key.
fn delete_one(store: &Optimist, key: &Key) -> Txn {
    let told = || Some(DeleteOptions::new().with_prev_key());
    let (string, record) = (
        store.layout.string(key.as_bytes()),
        store.layout.record(key.as_bytes()),
    );
    let elements = store.layout.elements(key.as_bytes());
    let all = DeleteOptions::new().with_range(elements.to_key);
    Txn::new()
        .when([Compare::create_revision(
            record.clone(),
            CompareOp::Equal,
            0,
        )])
        .and_then([TxnOp::delete(string.clone(), told())])
        .or_else([
            TxnOp::delete(string, told()),
            TxnOp::delete(record, told()),
            TxnOp::delete(elements.from_key, Some(all)),
        ])
}

/// Whether what was deleted was a key.
fn was_there(string: Option<Bytes>, record: Option<Bytes>, elements: bool, now: Timestamp) -> bool {
    // What is not in our format was there, too.
    let lives = |end: Answer<End>| end.map_or(true, |end| !end.is_past(now));
    let string = string.is_some_and(|raw| lives(header::decode(raw, 0).map(|it| it.end)));
    let record = record.is_some_and(|raw| lives(Record::decode(&raw).map(|it| it.end)));
    string || (record && elements)
}

/// How many of the next items go in one transaction: each key once.
fn step_of(limits: &Capabilities, items: &[(Key, Value)]) -> usize {
    let mut keys = HashSet::new();
    let mut bytes = 0;
    let fit = items.iter().take(MOST_OPS / 2).take_while(|(key, value)| {
        bytes += key.as_bytes().len() + value.as_bytes().len() + 64;
        (bytes <= BYTES || keys.is_empty()) && fits(limits, key, value).is_ok() && keys.insert(key)
    });
    fit.count().max(1)
}

async fn set_step(store: &Optimist, items: &[(Key, Value)], ttl: Ttl) -> Answer<()> {
    if let Ttl::Unset | Ttl::Never = ttl {
        let put = |(key, value): &(Key, Value)| {
            let raw = header::encode(value.as_bytes(), End::Never);
            TxnOp::put(store.layout.string(key.as_bytes()), raw, None::<PutOptions>)
        };
        let ops: Vec<_> = items.iter().map(put).collect();
        store.link.txn(Txn::new().and_then(ops)).await?;
        return Ok(());
    }
    let plan = |view: &mut View<'_>| {
        for (key, value) in items {
            view.write_string(key, value.as_bytes(), ttl, Ending::NEVER)?;
        }
        Ok(())
    };
    let first = items.first().map_or(&b""[..], |(key, _)| key.as_bytes());
    store.run(first, plan).await?;
    Ok(())
}

fn fits(limits: &Capabilities, key: &Key, value: &Value) -> Result<()> {
    limits.fits_key(key)?;
    limits.fits_value(Some(key), value.as_bytes().len())
}

fn distinct(mut keys: Vec<Key>) -> Vec<Key> {
    if keys.len() > 1 {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    keys
}

/// The error of a step about some keys: it names one if there is no other.
fn named(failure: Failure, keys: &[Key]) -> Error {
    match keys {
        [key] => failure.about(key),
        _ => failure.into(),
    }
}

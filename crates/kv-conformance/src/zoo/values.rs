//! Stores that lose, bend or mix up plain values.

use super::{hand::Hand, saboteurs};
use kv_core::{Command, Error, ErrorKind, Key, Reply, Result, Value, Visitor, When};

saboteurs! {
    "a missing key is an empty value" [1, 2] missing_is_empty;
    "a missing key is an error" [1, 2] missing_is_an_error;
    "the first write stays" [3] first_write_stays;
    "values are text" [4, 43] values_are_text;
    "falsy values are misses" [5] falsy_is_a_miss;
    "equal values share a place" [6] shared_values;
    "a slash at the end of a key is dropped" [7] trimmed_keys;
    "keys are cut at a thousand bytes" [8] cut_keys;
    "an empty value is a miss" [4, 10] empty_is_a_miss;
    "values are cut at 512 bytes" [11] cut_values;
    "delete always says true" [2, 12] delete_says_true;
    "exists counts duplicates" [13] exists_counts_duplicates;
    "each handle has a cache of its own" [15] private_cache;
    "an error becomes a miss" [90, 95] error_is_a_miss;
}

async fn missing_is_empty(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Get(None) => Ok(Reply::Get(Some(Value::default()))),
        reply => Ok(reply),
    }
}

async fn missing_is_an_error(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Get(None) => Err(Error::new(ErrorKind::Unexpected, "there is no such key")),
        reply => Ok(reply),
    }
}

async fn first_write_stays(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Set { options, .. } = &mut command {
        options.when = When::IfAbsent;
    }
    on.ask(command).await
}

async fn values_are_text(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Get(Some(value)) => Ok(Reply::Get(value.to_str().is_ok().then_some(value))),
        reply => Ok(reply),
    }
}

async fn falsy_is_a_miss(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Get(Some(value)) => {
            let falsy = [&b"false"[..], b"0", b"null"].contains(&value.as_bytes());
            Ok(Reply::Get((!falsy).then_some(value)))
        }
        reply => Ok(reply),
    }
}

async fn shared_values(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    let alias = |key: &Key| on.notes.aliases.lock().get(key).cloned();
    match &mut command {
        Command::Set { key, value, .. } => {
            let mut values = on.notes.values.lock();
            let twin = values
                .iter()
                .find(|(other, it)| *it == value && *other != key);
            let twin = twin.map(|(key, _)| key.clone());
            if let Some(twin) = alias(key).or(twin) {
                on.notes.aliases.lock().insert(key.clone(), twin.clone());
                *key = twin;
            }
            values.insert(key.clone(), value.clone());
        }
        Command::Get { key } => *key = alias(key).unwrap_or_else(|| key.clone()),
        _ => {}
    }
    on.ask(command).await
}

/// Changes every key of a command.
struct EachKey(fn(&[u8]) -> &[u8]);

impl Visitor for EachKey {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        *key = Key::new(self.0(key.as_bytes()).to_vec())?;
        Ok(())
    }
}

async fn trimmed_keys(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    command.visit(&mut EachKey(|key| key.strip_suffix(b"/").unwrap_or(key)))?;
    on.ask(command).await
}

async fn cut_keys(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    command.visit(&mut EachKey(|key| &key[..key.len().min(1000)]))?;
    on.ask(command).await
}

async fn empty_is_a_miss(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Get(value) => Ok(Reply::Get(value.filter(|it| !it.as_bytes().is_empty()))),
        reply => Ok(reply),
    }
}

async fn cut_values(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Set { value, .. } = &mut command {
        let bytes = value.as_bytes();
        *value = Value::from(&bytes[..bytes.len().min(512)]);
    }
    on.ask(command).await
}

async fn delete_says_true(on: Hand<'_>, command: Command) -> Result<Reply> {
    let asked = match &command {
        Command::Delete { keys } => keys.len() as u64,
        _ => 0,
    };
    match on.ask(command).await? {
        Reply::Delete(_) => Ok(Reply::Delete(asked)),
        reply => Ok(reply),
    }
}

async fn exists_counts_duplicates(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Exists { keys } = command else {
        return on.ask(command).await;
    };
    let mut count = 0;
    for key in &keys {
        count += u64::from(on.exists(key).await?);
    }
    Ok(Reply::Exists(count))
}

async fn private_cache(on: Hand<'_>, command: Command) -> Result<Reply> {
    match command {
        Command::Get { key } => {
            let cached = on.notes.values.lock().get(&key).cloned();
            if cached.is_some() {
                return Ok(Reply::Get(cached));
            }
            Ok(Reply::Get(on.get(&key).await?))
        }
        Command::Set {
            key,
            value,
            options,
        } => {
            on.notes.values.lock().insert(key.clone(), value.clone());
            Ok(Reply::Set(on.set(&key, value, options).await?))
        }
        Command::Delete { keys } => {
            on.notes.values.lock().retain(|key, _| !keys.contains(key));
            on.ask(Command::Delete { keys }).await
        }
        other => on.ask(other).await,
    }
}

async fn error_is_a_miss(on: Hand<'_>, command: Command) -> Result<Reply> {
    let reads = matches!(command, Command::Get { .. });
    match on.ask(command).await {
        Err(_) if reads => Ok(Reply::Get(None)),
        answer => answer,
    }
}

//! Stores whose hashes leak.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{Command, Error, ErrorKind, Field, Reply, Result, Value};

saboteurs! {
    "hset returns the number of fields" [91] hset_returns_total;
    "hgetall of a missing hash is an error" [91] missing_is_an_error;
    "hget_many drops missing fields" [91] drops_missing;
    "hdel counts what it was given" [92] hdel_counts_given;
    "the last field stays as an empty one" [92] last_field_stays;
    "hset drops the deadline" [93] drops_deadline;
    "empty fields are dropped" [94] empty_dropped;
    "values of hashes are text" [94] values_are_text;
    "a wrong type reads as an empty hash" [90, 95] wrong_type_is_empty;
    "a hash is read, then rewritten" [96] read_then_write;
}

async fn hset_returns_total(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::HSet { key, fields } = command else {
        return on.ask(command).await;
    };
    on.hset(&key, fields).await?;
    Ok(Reply::HSet(on.count(Command::HLen { key }).await?))
}

async fn missing_is_an_error(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::HGetAll(fields) if fields.is_empty() => {
            Err(Error::new(ErrorKind::Unexpected, "there is no such hash"))
        }
        reply => Ok(reply),
    }
}

async fn drops_missing(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::HGetMany(mut values) => {
            values.retain(Option::is_some);
            Ok(Reply::HGetMany(values))
        }
        reply => Ok(reply),
    }
}

async fn hdel_counts_given(on: Hand<'_>, command: Command) -> Result<Reply> {
    let given = match &command {
        Command::HDel { fields, .. } => fields.len() as u64,
        _ => 0,
    };
    match on.ask(command).await? {
        Reply::HDel(_) => Ok(Reply::HDel(given)),
        reply => Ok(reply),
    }
}

async fn last_field_stays(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::HDel { key, fields } = command else {
        return on.ask(command).await;
    };
    let all = on.fields(&key).await?;
    let last = all.iter().all(|(field, _)| fields.contains(field));
    if let (true, Some((field, _))) = (last, all.into_iter().next()) {
        on.hset(&key, vec![(field, Value::default())]).await?;
        return Ok(Reply::HDel(1));
    }
    on.ask(Command::HDel { key, fields }).await
}

async fn drops_deadline(on: Hand<'_>, command: Command) -> Result<Reply> {
    let hash = match &command {
        Command::HSet { key, .. } => Some(key.clone()),
        _ => None,
    };
    let reply = on.ask(command).await?;
    if let Some(key) = hash {
        on.persist(&key).await?;
    }
    Ok(reply)
}

async fn empty_dropped(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::HSet { fields, .. } = &mut command {
        fields.retain(|(field, _)| *field != Field::default());
    }
    on.ask(command).await
}

async fn values_are_text(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::HGet(Some(value)) => {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            Ok(Reply::HGet(Some(text.into())))
        }
        reply => Ok(reply),
    }
}

async fn wrong_type_is_empty(on: Hand<'_>, command: Command) -> Result<Reply> {
    let (one, all) = (
        matches!(command, Command::HGet { .. }),
        matches!(command, Command::HGetAll { .. }),
    );
    match on.ask(command).await {
        Err(error) if error.kind() == ErrorKind::WrongType && one => Ok(Reply::HGet(None)),
        Err(error) if error.kind() == ErrorKind::WrongType && all => Ok(Reply::HGetAll(Vec::new())),
        answer => answer,
    }
}

async fn read_then_write(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::HSet { key, fields } = command else {
        return on.ask(command).await;
    };
    let mut all = on.fields(&key).await?;
    let old = all.len();
    gap().await;
    all.retain(|(field, _)| fields.iter().all(|(new, _)| new != field));
    all.extend(fields);
    on.delete(&key).await?;
    on.hset(&key, all.clone()).await?;
    Ok(Reply::HSet((all.len() - old.min(all.len())) as u64))
}

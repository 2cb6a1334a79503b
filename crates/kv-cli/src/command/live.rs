//! What takes time: watching, waiting, and waking others.

use crate::{
    args::{Raw, Wait, Watched},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use futures_util::{FutureExt, TryStreamExt, future};
use kv_core::{Error, ErrorKind, Event, Key, Kv, Mark, Prefix, Scope, Value, Watch};
use serde_json::json;
use std::{io, pin::pin};

pub(super) async fn watch(
    kv: &Kv,
    watched: Watched,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let mut left = watched.events.unwrap_or(u64::MAX);
    // Asked for first: from here on Ctrl-C ends the watch and not the process.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let _ = interrupted.as_mut().now_or_never();
    let mut events = kv.watch(what(watched)?).await?;
    out.note("watching; Ctrl-C ends it");
    while left > 0 {
        let next = future::select(interrupted.as_mut(), events.try_next());
        let event = match next.await {
            future::Either::Left((signal, _)) => {
                signal?;
                return Ok(Exit::Found);
            }
            future::Either::Right((event, _)) => event?,
        };
        let Some(event) = event else {
            break;
        };
        show(event, out)?;
        left -= 1;
    }
    Ok(Exit::Found)
}

pub(super) async fn wait(kv: &Kv, wait: Wait, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let scope = Scope::whole(kv);
    if let Some(pattern) = wait.keys {
        let mut waiting = scope
            .wait_for_keys(pattern.into_bytes(), wait.count)
            .timeout(wait.timeout)
            .candidates(wait.candidate.into_iter().map(Raw::into_bytes));
        if let Some(value) = wait.value {
            waiting = waiting.value(value.into_bytes());
        }
        let found = waiting.await.map_err(in_time)?;
        for key in found {
            let json = json!({ "key": text::json(key.as_bytes()) });
            out.result(|| text::line(key.as_bytes()), json)?;
        }
        return Ok(Exit::Found);
    }
    let key = Key::new(wait.key.map(Raw::into_bytes).unwrap_or_default())?;
    let found: Value = match wait.value {
        None => scope.wait_for_key(&key, wait.timeout).await,
        Some(value) => {
            let value = Mark::from(value.into_bytes());
            scope.wait_for_value(&key, value, wait.timeout).await
        }
    }
    .map_err(in_time)?;
    let json = json!({
        "key": text::json(key.as_bytes()),
        "value": text::json(found.as_bytes()),
    });
    out.result(|| text::lines(found.as_bytes()), json)?;
    Ok(Exit::Found)
}

pub(super) async fn notify(
    kv: &Kv,
    channel: Raw,
    payload: Raw,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let channel = Key::new(channel.into_bytes())?;
    kv.notify(&channel, payload.into_bytes()).await?;
    let json = json!({ "channel": text::json(channel.as_bytes()), "sent": true });
    out.result(|| "sent".to_owned(), json)?;
    Ok(Exit::Found)
}

fn what(watched: Watched) -> kv_core::Result<Watch> {
    let keys = |names: Vec<Raw>| -> kv_core::Result<Vec<Key>> {
        let names = names.into_iter().map(Raw::into_bytes);
        names.map(Key::new).collect()
    };
    if !watched.prefix.is_empty() {
        let prefixes = watched.prefix.into_iter().map(Raw::into_bytes);
        return Ok(Watch::Prefixes(prefixes.map(Prefix::new).collect()));
    }
    match watched.channel.is_empty() {
        true => Ok(Watch::Keys(keys(watched.keys)?)),
        false => Ok(Watch::Channels(keys(watched.channel)?)),
    }
}

/// The wait's own end is an answer; the store's timeouts are errors.
fn in_time(error: Error) -> Failure {
    match error.kind() == ErrorKind::Timeout && error.context("elapsed").is_some() {
        true => Failure::NotInTime(error),
        false => error.into(),
    }
}

fn show(event: Event, out: &mut Output<'_>) -> io::Result<()> {
    let (json, name) = (text::json, text::line);
    match event {
        Event::Put { key, value } => {
            let value = value.as_ref().map(Value::as_bytes);
            let shown = value.map(|it| format!("  {}", name(it)));
            let line = || {
                format!(
                    "put      {}{}",
                    name(key.as_bytes()),
                    shown.unwrap_or_default()
                )
            };
            let value = value.map(json);
            let json = json!({ "event": "put", "key": json(key.as_bytes()), "value": value });
            out.result(line, json)
        }
        Event::Delete { key } => out.result(
            || format!("delete   {}", name(key.as_bytes())),
            json!({ "event": "delete", "key": json(key.as_bytes()) }),
        ),
        Event::Message { channel, payload } => {
            let (channel, payload) = (channel.as_bytes(), payload.as_bytes());
            out.result(
                || format!("message  {}  {}", name(channel), name(payload)),
                json!({ "event": "message", "channel": json(channel), "payload": json(payload) }),
            )
        }
        Event::Resync => out.result(
            || "resync   some changes may have been missed; read again".to_owned(),
            json!({ "event": "resync" }),
        ),
        // Kinds that a newer contract adds.
        _ => Ok(()),
    }
}

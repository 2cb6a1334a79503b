//! Strings, counters and deadlines.

use crate::{
    args::{Raw, Set},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use kv_core::{Key, Kv, SetOptions, TimeToLive, Ttl, When};
use serde_json::json;
use std::{
    io::{self, Read},
    time::Duration,
};

pub(super) async fn get(
    kv: &Kv,
    key: Raw,
    raw: bool,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let key = Key::new(key.into_bytes())?;
    let found = kv.get(&key).await?;
    let name = text::json(key.as_bytes());
    match &found {
        Some(value) if raw => out.raw(value.as_bytes())?,
        Some(value) => {
            let json = json!({ "key": name, "value": text::json(value.as_bytes()) });
            out.result(|| text::lines(value.as_bytes()), json)?;
        }
        None => out.for_programs(json!({ "key": name, "value": null }))?,
    }
    Ok(Exit::found(found.is_some()))
}

pub(super) async fn set(kv: &Kv, set: Set, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let options = options(&set)?;
    let key = Key::new(set.key.into_bytes())?;
    let value = match set.value {
        Some(value) => value.into_bytes(),
        None => {
            let mut value = Vec::new();
            io::stdin().lock().read_to_end(&mut value)?;
            value
        }
    };
    let reply = kv.set_with(&key, value, options).await?;
    let name = text::json(key.as_bytes());
    if reply.applied {
        out.result(|| "ok".to_owned(), json!({ "key": name, "applied": true }))?;
        return Ok(Exit::Found);
    }
    let current = reply.current.as_ref();
    let text = || match current {
        Some(current) => format!("refused; the key has {}", text::line(current.as_bytes())),
        None => "refused; no string is at the key".to_owned(),
    };
    let current = current.map(|it| text::json(it.as_bytes()));
    out.result(
        text,
        json!({ "key": name, "applied": false, "current": current }),
    )?;
    Ok(Exit::Absent)
}

pub(super) async fn del(kv: &Kv, keys: Vec<Raw>, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let keys = keys.into_iter().map(Raw::into_bytes);
    let deleted = kv.delete_many(keys).await?;
    out.result(
        || format!("{deleted} deleted"),
        json!({ "deleted": deleted }),
    )?;
    Ok(Exit::found(deleted > 0))
}

pub(super) async fn incr(
    kv: &Kv,
    key: Raw,
    by: i64,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let key = Key::new(key.into_bytes())?;
    let sum = kv.increment(&key, by).await?;
    let json = json!({ "key": text::json(key.as_bytes()), "value": sum });
    out.result(|| sum.to_string(), json)?;
    Ok(Exit::Found)
}

pub(super) async fn ttl(kv: &Kv, key: Raw, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let key = Key::new(key.into_bytes())?;
    let left = kv.time_to_live(&key).await?;
    let (state, span) = match left {
        TimeToLive::Missing => ("missing", None),
        TimeToLive::NoExpiry => ("no_expiry", None),
        TimeToLive::In(span) => ("expires", Some(span)),
    };
    let text = || match span {
        Some(span) => humantime::format_duration(span).to_string(),
        None => state.replace('_', " "),
    };
    let millis = span.as_ref().map(Duration::as_millis);
    let json = json!({ "key": text::json(key.as_bytes()), "state": state, "ttl_ms": millis });
    out.result(text, json)?;
    Ok(Exit::found(left != TimeToLive::Missing))
}

fn options(set: &Set) -> kv_core::Result<SetOptions> {
    let ttl = match set.ttl {
        Some(span) => Ttl::after(span)?,
        None if set.keep_ttl => Ttl::Keep,
        None if set.no_ttl => Ttl::Never,
        None => Ttl::Unset,
    };
    let when = match &set.if_value {
        Some(value) => When::IfValue(value.clone().into_bytes().into()),
        None if set.if_absent => When::IfAbsent,
        None if set.if_present => When::IfPresent,
        None => When::Always,
    };
    Ok(SetOptions::default().ttl(ttl).when(when))
}

//! Caches, as they lie on a store.

mod stat;
mod told;

use self::told::Done;
use crate::{
    args::{
        Raw,
        cache::{CacheVerb, How},
    },
    exit::{Exit, Failure},
    output::Output,
    store::CacheStores,
    text,
};
use kv_cache::{CacheAdmin, EntryState};
use serde_json::json;
use std::time::Duration;

/// Who types can wait for longer than who asks a cache.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs one of the commands, in the name of the tenant that the store is bound to.
pub(crate) async fn run(
    stores: &CacheStores,
    verb: CacheVerb,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let admin = |cache: &str| {
        let mut settings = stores.settings.clone();
        settings.deadline = settings.deadline.max(PATIENCE);
        match (&stores.fallback, &settings.fallback) {
            (Some(kv), Some(named)) => {
                let deadline = named.deadline.unwrap_or_default();
                let fallback = named.on(kv).deadline(deadline.max(settings.deadline));
                CacheAdmin::with_fallback(cache, &stores.kv, fallback, &settings)
            }
            _ => CacheAdmin::new(cache, &stores.kv, &settings),
        }
    };
    match verb {
        CacheVerb::Stat { cache, limit } => stat::stat(&admin(&cache)?, &cache, limit, out).await,
        CacheVerb::Get { cache, key } => get(&admin(&cache)?, &cache, key, out).await,
        CacheVerb::Rm { cache, keys, how } => rm(&admin(&cache)?, &cache, keys, how, out).await,
        CacheVerb::RmTag { cache, tags, how } => {
            rm_tag(&admin(&cache)?, &cache, tags, how, out).await
        }
        CacheVerb::Clear { cache, how } => clear(&admin(&cache)?, &cache, how, out).await,
    }
}

async fn get(
    admin: &CacheAdmin,
    cache: &str,
    key: Raw,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let key = key.into_bytes();
    let Some(entry) = admin.inspect(&key).await? else {
        return Ok(Exit::Absent);
    };
    out.result(|| told::page(&entry), told::document(cache, &entry))?;
    let envelope = entry.stored.and_then(|it| it.envelope.ok());
    Ok(Exit::found(
        envelope.is_some_and(|it| it.state != EntryState::Removed),
    ))
}

async fn rm(
    admin: &CacheAdmin,
    cache: &str,
    keys: Vec<Raw>,
    how: How,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let done = Done::of(how);
    for key in keys {
        let key = key.into_bytes();
        match done {
            Done::Removed => admin.remove(&key).await?,
            Done::Expired => admin.expire(&key).await?,
        }
        let json = json!({ "cache": cache, "key": text::json(&key), "done": done.word() });
        out.result(|| format!("{} {}", done.word(), text::line(&key)), json)?;
    }
    Ok(Exit::Found)
}

async fn rm_tag(
    admin: &CacheAdmin,
    cache: &str,
    tags: Vec<Raw>,
    how: How,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let done = Done::of(how);
    for tag in tags {
        let tag = tag.into_bytes();
        match done {
            Done::Removed => admin.remove_tag(&tag).await?,
            Done::Expired => admin.expire_tag(&tag).await?,
        }
        let json = json!({ "cache": cache, "tag": text::json(&tag), "done": done.word() });
        let text = || format!("{} all with the tag {}", done.word(), text::line(&tag));
        out.result(text, json)?;
    }
    Ok(Exit::Found)
}

async fn clear(
    admin: &CacheAdmin,
    cache: &str,
    how: How,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let done = Done::of(how);
    match done {
        Done::Removed => admin.clear().await?,
        Done::Expired => admin.expire_all().await?,
    }
    let json = json!({ "cache": cache, "done": done.word() });
    out.result(|| format!("{} all entries", done.word()), json)?;
    Ok(Exit::Found)
}

//! Locks that are held.

use super::span::span;
use crate::{
    args::locks::{List, LockVerb, Release},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use kv_core::Kv;
use kv_lock::{ForcedRelease, LockInfo, LockManager};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Runs one of the commands, in the name of the tenant that the store is bound to.
pub(crate) async fn run(kv: &Kv, verb: LockVerb, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let locks = LockManager::new(kv)?;
    match verb {
        LockVerb::Ls(list) => ls(&locks, list, out).await,
        LockVerb::Show { lock } => show(&locks, &lock.into_bytes(), out).await,
        LockVerb::Release(release) => free(&locks, release, out).await,
    }
}

async fn ls(locks: &LockManager, list: List, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let (mut found, mut after) = (Vec::new(), list.after);
    loop {
        // Never more than asked for, so nothing is lost between this list and the next.
        let room = list.limit - found.len() as u32;
        let page = locks.list(room, after.as_ref()).await?;
        found.extend(page.locks);
        after = page.next;
        if after.is_none() || found.len() as u32 == list.limit {
            break;
        }
    }
    if found.is_empty() {
        return Ok(Exit::Absent);
    }
    let rows = found.iter().map(|it| {
        let cells = [
            text::line(&it.name),
            text::line(&it.metadata),
            holder(it),
            fence(it),
            left(it.left),
        ];
        (cells, document(it))
    });
    out.rows(["lock", "metadata", "holder", "fence", "ends in"], rows)?;
    if let Some(next) = after {
        let next = next.to_string();
        out.note(&format!("there may be more: --after {next}"));
        out.for_programs(json!({ "next": next }))?;
    }
    Ok(Exit::Found)
}

async fn show(locks: &LockManager, name: &[u8], out: &mut Output<'_>) -> Result<Exit, Failure> {
    let Some(held) = locks.inspect(name).await? else {
        return Ok(Exit::Absent);
    };
    let page = || {
        let lines = [
            ("lock", text::line(&held.name)),
            ("holder", holder(&held)),
            ("metadata", text::line(&held.metadata)),
            ("fence", fence(&held)),
            ("ends in", left(held.left)),
        ];
        let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
        let lines = lines.map(|(name, value)| format!("{name:<8}  {value}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    out.result(page, document(&held))?;
    Ok(Exit::Found)
}

async fn free(
    locks: &LockManager,
    release: Release,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let name = release.lock.into_bytes();
    let forced = match &release.holder {
        Some(holder) => locks.force_release_from(&name, holder).await?,
        None => locks.force_release(&name).await?,
    };
    let (is_released, other) = match &forced {
        ForcedRelease::Released => (true, None),
        ForcedRelease::Free => (false, None),
        ForcedRelease::HeldBy(other) => (false, Some(other)),
    };
    let text = || match (is_released, other) {
        (true, _) => "released".to_owned(),
        (false, None) => "nobody holds it".to_owned(),
        (false, Some(other)) => format!("refused; it is held by {}", holder(other)),
    };
    let json = json!({
        "lock": text::json(&name),
        "released": is_released,
        "held_by": other.map(|it| document(it)),
    });
    out.result(text, json)?;
    Ok(Exit::found(is_released))
}

fn document(held: &LockInfo) -> Json {
    json!({
        "lock": text::json(&held.name),
        "holder": held.holder.as_ref().map(ToString::to_string),
        "metadata": text::json(&held.metadata),
        "fence": held.fence.map(|it| it.get()),
        "left_ms": held.left.as_ref().map(Duration::as_millis),
    })
}

fn holder(held: &LockInfo) -> String {
    let name = held.holder.as_ref().map(ToString::to_string);
    name.unwrap_or_else(|| "(unknown)".to_owned())
}

fn fence(held: &LockInfo) -> String {
    held.fence.map(|it| it.to_string()).unwrap_or_default()
}

fn left(left: Option<Duration>) -> String {
    left.map_or_else(|| "never".to_owned(), span)
}

//! Locks that are held.

mod told;

use crate::{
    args::locks::{List, LockVerb, Release},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use kv_core::Kv;
use kv_lock::{ControlError, ForcedRelease, LockInfo, LockKind, LockManager};
use serde_json::json;
use std::collections::HashSet;

/// Runs one of the commands, in the name of the tenant that the store is bound to.
pub(crate) async fn run(kv: &Kv, verb: LockVerb, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let locks = LockManager::new(kv)?;
    match verb {
        LockVerb::Ls(list) => ls(&locks, list, out).await,
        LockVerb::Show { lock, kind } => {
            let name = lock.into_bytes();
            show(&locks, &name, kind.map(LockKind::from), out).await
        }
        LockVerb::Release(release) => free(&locks, release, out).await,
    }
}

/// So many keys are looked at for a page; most of them are records of fences, not of holders.
const PAGE: u32 = 500;

async fn ls(locks: &LockManager, list: List, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let (mut found, mut after) = (Vec::<LockInfo>::new(), list.after);
    let mut unreadable = Vec::new();
    let mut known = HashSet::new();
    loop {
        // Never more than asked for, so nothing is lost between this list and the next.
        let room = list.limit - found.len() as u32;
        let mut page = locks.list(PAGE, after.as_ref()).await?;
        if page.locks.len() > room as usize {
            // No more locks than keys.
            page = locks.list(room, after.as_ref()).await?;
        }
        let new = |it: &LockInfo| known.insert((it.name.clone(), it.kind));
        found.extend(page.locks.into_iter().filter(new));
        unreadable.extend(page.unreadable);
        after = page.next;
        if after.is_none() || found.len() as u32 == list.limit {
            break;
        }
    }
    for it in &unreadable {
        let (name, kind) = (text::line(&it.name), it.kind);
        out.note(&format!("cannot read {kind} {name}: {}", it.error));
    }
    if found.is_empty() {
        return match unreadable.into_iter().next() {
            Some(it) => Err(it.error.into()),
            None => Ok(Exit::Absent),
        };
    }
    out.rows_of(told::HEADER, &found, told::rows, told::document)?;
    for it in &unreadable {
        out.for_programs(told::unreadable(it))?;
    }
    if let Some(next) = after {
        let next = next.to_string();
        out.note(&format!("there may be more: --after {next}"));
        out.for_programs(json!({ "next": next }))?;
    }
    Ok(Exit::Found)
}

async fn show(
    locks: &LockManager,
    name: &[u8],
    kind: Option<LockKind>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let held = match kind {
        Some(kind) => locks.inspect_as(kind, name).await?,
        None => locks.inspect(name).await?,
    };
    let Some(held) = held else {
        out.note(&told::nobody(name));
        return Ok(Exit::Absent);
    };
    out.result(|| told::page(&held), told::document(&held))?;
    Ok(Exit::Found)
}

async fn free(
    locks: &LockManager,
    release: Release,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let name = release.lock.into_bytes();
    let forced = match (&release.holder, release.kind) {
        (Some(holder), _) => locks.force_release_from(&name, holder).await?,
        (None, Some(kind)) => locks.force_release_as(kind.into(), &name).await?,
        (None, None) => locks.force_release(&name).await?,
    };
    let (is_released, others) = match &forced {
        ForcedRelease::Released => (true, &[][..]),
        ForcedRelease::Free => (false, &[][..]),
        ForcedRelease::HeldBy(others) => (false, &others[..]),
    };
    let text = || match (is_released, others) {
        (true, _) => "released".to_owned(),
        (false, []) => told::nobody(&name),
        (false, others) => format!("refused; it is held by {}", told::holders(others)),
    };
    let json = json!({
        "lock": text::json(&name),
        "released": is_released,
        "held_by": others.iter().map(told::document).collect::<Vec<_>>(),
    });
    out.result(text, json)?;
    Ok(Exit::found(is_released))
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => Self::Store(error),
            ControlError::SeveralKinds { .. } | ControlError::OtherKind { .. } => {
                Self::Usage(format!("{error}: --kind"))
            }
            other => Self::Usage(other.to_string()),
        }
    }
}

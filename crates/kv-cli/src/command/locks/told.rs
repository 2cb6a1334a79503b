//! Locks as people and programs are told of them.

use crate::{command::span::span, text};
use kv_lock::{HolderInfo, HolderName, LockInfo, PermitsInfo, Role, UnreadableLock, WaiterInfo};
use serde_json::{Value as Json, json};
use std::time::Duration;

pub(super) const HEADER: [&str; 8] = [
    "lock", "kind", "as", "metadata", "holder", "fence", "waiting", "ends in",
];

/// One for each holder.
pub(super) fn rows(lock: &LockInfo) -> Vec<[String; 8]> {
    let kind = match &lock.permits {
        Some(permits) => format!("{}, {}", lock.kind, used(permits)),
        None => lock.kind.to_string(),
    };
    let of_lock = move |cells: [String; 5]| {
        let [role, metadata, holder, fence, left] = cells;
        let waiting = match lock.waiting.len() {
            0 => String::new(),
            some => some.to_string(),
        };
        let (name, kind) = (text::line(&lock.name), kind.clone());
        [name, kind, role, metadata, holder, fence, waiting, left]
    };
    let held = lock.holders.iter().map(|it| {
        [
            role(it.role),
            text::line(&it.metadata),
            name(it.holder.as_ref()),
            fence(it),
            left(it.left),
        ]
    });
    let more = (lock.left_out > 0).then(|| {
        let mut cells = [const { String::new() }; 5];
        cells[0] = format!("{} more", lock.left_out);
        cells
    });
    held.chain(more).map(of_lock).collect()
}

/// The lock, then each holder, then who waits; what there is to say of each on lines of their own.
pub(super) fn page(lock: &LockInfo) -> String {
    let mut about = vec![
        ("lock", text::line(&lock.name)),
        ("kind", lock.kind.to_string()),
    ];
    if let Some(permits) = &lock.permits {
        about.push(("permits", used(permits)));
    }
    if lock.holders.iter().all(|it| it.fence.is_none()) {
        let last = lock.last_fence.map(|it| it.to_string());
        about.push(("last fence", last.unwrap_or_default()));
    }
    let mut blocks = vec![block(about)];
    blocks.extend(lock.holders.iter().map(|it| {
        block([
            ("holder", name(it.holder.as_ref())),
            ("as", role(it.role)),
            ("metadata", text::line(&it.metadata)),
            ("fence", fence(it)),
            ("ends in", left(it.left)),
        ])
    }));
    blocks.extend(lock.waiting.iter().map(|it| {
        block([
            ("waits", name(it.holder.as_ref())),
            ("metadata", text::line(&it.metadata)),
            ("for", it.waited.map(span).unwrap_or_default()),
        ])
    }));
    blocks.join("\n\n")
}

pub(super) fn document(lock: &LockInfo) -> Json {
    json!({
        "lock": text::json(&lock.name),
        "kind": lock.kind.as_str(),
        "holders": lock.holders.iter().map(holder).collect::<Vec<_>>(),
        "left_out": lock.left_out,
        "waiting": lock.waiting.iter().map(waiter).collect::<Vec<_>>(),
        "permits": lock.permits.map(|it| json!({ "in_use": it.in_use, "size": it.size })),
        "last_fence": lock.last_fence.map(|it| it.get()),
    })
}

pub(super) fn unreadable(lock: &UnreadableLock) -> Json {
    json!({
        "unreadable": text::json(&lock.name),
        "kind": lock.kind.as_str(),
        "error": lock.error.to_string(),
    })
}

/// The names of all who hold these.
pub(super) fn holders(locks: &[LockInfo]) -> String {
    let holders = locks.iter().flat_map(|it| &it.holders);
    let names: Vec<_> = holders.map(|it| name(it.holder.as_ref())).collect();
    names.join(", ")
}

pub(super) fn nobody(lock: &[u8]) -> String {
    format!(
        "nobody holds {}; `kv locks ls` tells what is held",
        text::line(lock)
    )
}

fn holder(of: &HolderInfo) -> Json {
    let (role, permits) = match of.role {
        Role::Permits(count) => ("permits", Some(count)),
        other => (word(other), None),
    };
    json!({
        "holder": of.holder.as_ref().map(ToString::to_string),
        "as": role,
        "permits": permits,
        "metadata": text::json(&of.metadata),
        "fence": of.fence.map(|it| it.get()),
        "left_ms": of.left.map(millis),
    })
}

fn waiter(of: &WaiterInfo) -> Json {
    json!({
        "holder": of.holder.as_ref().map(ToString::to_string),
        "metadata": text::json(&of.metadata),
        "waited_ms": of.waited.map(millis),
        "left_ms": of.left.map(millis),
    })
}

/// Programs read no longer numbers.
fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}

/// What has nothing to say is left out.
fn block<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(name, value)| format!("{name:<10}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn role(role: Role) -> String {
    match role {
        Role::Permits(1) => "1 permit".to_owned(),
        Role::Permits(count) => format!("{count} permits"),
        other => word(other).to_owned(),
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Leader => "leader",
        Role::Reader => "reader",
        Role::Writer => "writer",
        _ => "holder",
    }
}

fn used(permits: &PermitsInfo) -> String {
    let size = permits.size.map(|it| it.to_string());
    let size = size.as_deref().unwrap_or("?");
    format!("{} of {size}", permits.in_use)
}

fn name(holder: Option<&HolderName>) -> String {
    holder.map_or_else(|| "(unknown)".to_owned(), ToString::to_string)
}

fn fence(of: &HolderInfo) -> String {
    of.fence.map(|it| it.to_string()).unwrap_or_default()
}

fn left(left: Option<Duration>) -> String {
    left.map_or_else(|| "never".to_owned(), span)
}

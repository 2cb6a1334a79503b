//! Entries as people and programs are told of them.

use crate::{args::cache::How, command::span::span, text};
use kv_cache::{EntryInfo, EntryState, EnvelopeFault, EnvelopeInfo, StoredEntry, TagState};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What became of entries.
#[derive(Clone, Copy)]
pub(super) enum Done {
    Removed,
    Expired,
}

impl Done {
    pub(super) fn of(how: How) -> Self {
        match how.expire {
            true => Self::Expired,
            false => Self::Removed,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Expired => "expired",
        }
    }
}

/// What there is to say, a line each; then the value as it is.
pub(super) fn page(entry: &EntryInfo) -> String {
    let mut lines = vec![
        ("key", text::line(&entry.key)),
        ("state", state(entry).to_owned()),
    ];
    if let Some(stored) = &entry.stored {
        lines.push(("ends in", never(stored.left)));
        lines.push(("bytes", stored.bytes.to_string()));
        if let Ok(envelope) = &stored.envelope {
            lines.extend(about(envelope));
        }
    }
    if let Some(loading) = entry.loading {
        let words = format!(
            "somebody loads or writes it, for {} at most",
            never(loading.left)
        );
        lines.push(("loading", words));
    }
    let lines = lines.into_iter();
    let mut page: Vec<_> = lines.map(|(name, it)| format!("{name:<9}  {it}")).collect();
    let envelope = entry
        .stored
        .as_ref()
        .and_then(|it| it.envelope.as_ref().ok());
    match envelope.map(|it| &it.payload) {
        Some(Some(payload)) => page.push(format!("\n{}", text::lines(payload))),
        Some(None) => page.push("\nIt is remembered that there is nothing.".to_owned()),
        None => {}
    }
    page.join("\n")
}

pub(super) fn document(cache: &str, entry: &EntryInfo) -> Json {
    let stored = entry.stored.as_ref();
    let mut document = json!({
        "cache": cache,
        "key": text::json(&entry.key),
        "state": state(entry),
        "bytes": stored.map(|it| it.bytes),
        "left_ms": stored.and_then(|it| it.left).map(millis),
        "loading": entry.loading.map(|it| json!({ "left_ms": it.left.map(millis) })),
    });
    let envelope = stored.and_then(|it| it.envelope.as_ref().ok());
    if let (Some(envelope), Some(fields)) = (envelope, document.as_object_mut()) {
        fields.extend(of_envelope(envelope));
    }
    document
}

fn about(envelope: &EnvelopeInfo) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("version", envelope.version.to_string()),
        ("age", span(envelope.age)),
        ("loaded in", span(envelope.took)),
    ];
    if !envelope.fresh_for.is_zero() {
        lines.push(("fresh for", span(envelope.fresh_for)));
    }
    match envelope.of_all {
        TagState::Removed => lines.push(("cleared", "since it was loaded".to_owned())),
        TagState::Expired => lines.push(("expired", "with all, since it was loaded".to_owned())),
        _ => {}
    }
    lines.extend(envelope.tags.iter().map(|tag| {
        let since = match tag.state {
            TagState::Removed => ", removed since",
            TagState::Expired => ", expired since",
            _ => "",
        };
        ("tag", format!("{}{since}", text::line(&tag.name)))
    }));
    lines
}

fn of_envelope(envelope: &EnvelopeInfo) -> [(String, Json); 8] {
    let tags = envelope.tags.iter();
    let tags = tags.map(|it| json!({ "tag": text::json(&it.name), "state": word(it.state) }));
    [
        ("version", json!(envelope.version)),
        ("age_ms", json!(millis(envelope.age))),
        ("fresh_ms", json!(millis(envelope.fresh_for))),
        ("took_ms", json!(millis(envelope.took))),
        ("all", json!(word(envelope.of_all))),
        ("tags", tags.collect()),
        ("nothing", json!(envelope.payload.is_none())),
        (
            "value",
            envelope.payload.as_ref().map(|it| text::json(it)).into(),
        ),
    ]
    .map(|(name, it)| (name.to_owned(), it))
}

/// What a program would find.
fn state(entry: &EntryInfo) -> &'static str {
    let envelope = match &entry.stored {
        None => return "absent",
        Some(StoredEntry { envelope, .. }) => envelope,
    };
    match envelope {
        Ok(it) => match it.state {
            EntryState::Fresh => "fresh",
            EntryState::Stale => "stale",
            _ => "removed",
        },
        Err(EnvelopeFault::Newer) => "newer",
        Err(_) => "damaged",
    }
}

fn word(tag: TagState) -> &'static str {
    match tag {
        TagState::Holds => "holds",
        TagState::Expired => "expired",
        _ => "removed",
    }
}

fn never(left: Option<Duration>) -> String {
    left.map_or_else(|| "never".to_owned(), span)
}

/// Programs read no longer numbers.
fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}

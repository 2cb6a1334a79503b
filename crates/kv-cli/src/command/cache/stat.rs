//! How many entries there are.

use crate::{
    command::span::span,
    exit::{Exit, Failure},
    output::Output,
};
use kv_cache::{CacheAdmin, EntryInfo, EntryState};
use serde_json::{Value as Json, json};
use std::{collections::HashSet, time::Duration};

/// So many keys are looked at for a page.
const PAGE: u32 = 500;
/// Entries are counted by spans below these, and the rest.
const BOUNDS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
    Duration::from_secs(30 * 86_400),
];

/// Ends with the page on which so many are reached.
pub(super) async fn stat(
    admin: &CacheAdmin,
    cache: &str,
    limit: u64,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let mut counts = Counts::default();
    // Some stores repeat a key.
    let (mut known, mut after) = (HashSet::new(), None);
    loop {
        let page = admin.list(PAGE, after.as_ref()).await?;
        for entry in page.entries {
            if known.insert(entry.key.clone()) {
                counts.add(&entry);
            }
        }
        let unreadable = page.unreadable.into_iter().map(|it| it.key);
        counts.unreadable += unreadable.filter(|it| known.insert(it.clone())).count() as u64;
        after = page.next;
        if after.is_none() || known.len() as u64 >= limit {
            break;
        }
    }
    if known.is_empty() {
        return Ok(Exit::Absent);
    }
    let is_all = after.is_none();
    if !is_all {
        out.note("there may be more; --limit says after how many it ends");
    }
    let entries = counts.entries();
    let json = json!({
        "cache": cache,
        "entries": entries,
        "complete": is_all,
        "bytes": counts.bytes,
        "fresh": counts.fresh,
        "stale": counts.stale,
        "removed": counts.removed,
        "unreadable": counts.unreadable,
        "loading": counts.loading,
        "by_age": counts.by_age.document(),
        "by_left": counts.by_left.document(),
    });
    out.result(|| counts.page(), json)?;
    Ok(Exit::found(entries > 0))
}

#[derive(Default)]
struct Counts {
    bytes: u64,
    fresh: u64,
    stale: u64,
    removed: u64,
    unreadable: u64,
    loading: u64,
    by_age: Spans,
    by_left: Spans,
}

/// How many are below which of the bounds, and how many below none.
#[derive(Default)]
struct Spans([u64; BOUNDS.len() + 1]);

impl Counts {
    fn add(&mut self, entry: &EntryInfo) {
        self.loading += u64::from(entry.loading.is_some());
        let Some(stored) = &entry.stored else {
            return;
        };
        self.bytes += stored.bytes as u64;
        self.by_left.add(stored.left.unwrap_or(Duration::MAX));
        let Ok(envelope) = &stored.envelope else {
            self.unreadable += 1;
            return;
        };
        self.by_age.add(envelope.age);
        match envelope.state {
            EntryState::Fresh => self.fresh += 1,
            EntryState::Stale => self.stale += 1,
            _ => self.removed += 1,
        }
    }

    fn entries(&self) -> u64 {
        self.fresh + self.stale + self.removed + self.unreadable
    }

    fn page(&self) -> String {
        let number = |it: u64| it.to_string();
        let lines = [
            ("entries", number(self.entries())),
            ("bytes", number(self.bytes)),
            ("fresh", number(self.fresh)),
            ("stale", number(self.stale)),
            ("removed", number(self.removed)),
            ("unreadable", number(self.unreadable)),
            ("loading", number(self.loading)),
            ("age", self.by_age.line()),
            ("life left", self.by_left.line()),
        ];
        let lines = lines.map(|(name, it)| format!("{name:<10}  {it}"));
        lines.join("\n")
    }
}

impl Spans {
    fn add(&mut self, it: Duration) {
        let at = BOUNDS.iter().position(|bound| it < *bound);
        self.0[at.unwrap_or(BOUNDS.len())] += 1;
    }

    /// What there is none of is left out.
    fn line(&self) -> String {
        let words = self.each().filter(|(_, count)| *count > 0);
        let words = words.map(|(bound, count)| match bound {
            Some(bound) => format!("below {}: {count}", span(bound)),
            None => format!("more: {count}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn document(&self) -> Json {
        let each = self.each().map(|(bound, count)| {
            let bound = bound.map(|it| it.as_secs() * 1_000);
            json!({ "below_ms": bound, "entries": count })
        });
        each.collect()
    }

    fn each(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.0)
    }
}

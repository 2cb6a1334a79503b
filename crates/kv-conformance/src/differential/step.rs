use super::answer::Answer;
use futures_util::{TryStreamExt, stream};
use kv_core::{Command, Error, Key, Kv, Prefixes, Result, ScanFrom, Timestamp, Visitor};
use std::collections::BTreeSet;

/// One step of a trace.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A command.
    Call(Command),
    /// All pages of a scan: where one ends is each store's own affair.
    ScanAll { prefixes: Prefixes, limit: u32 },
}

impl Step {
    /// Asks a store; scores near an instant are told by their distance from it.
    pub(super) async fn execute(&self, kv: &Kv, now: Timestamp) -> Answer {
        match self {
            Self::Call(command) => Answer::new(command, kv.call(command.clone()).await, now),
            Self::ScanAll { prefixes, limit } => {
                Answer::of_scan(scan_all(kv, prefixes, *limit).await)
            }
        }
    }

    /// The name of the method.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Call(command) => command.spec().name,
            Self::ScanAll { .. } => "scan_page",
        }
    }

    /// The keys it names; none means that it may meet any.
    pub(super) fn keys(&self) -> BTreeSet<Key> {
        struct Keys(BTreeSet<Key>);
        impl Visitor for Keys {
            fn key(&mut self, key: &mut Key) -> Result<()> {
                self.0.insert(key.clone());
                Ok(())
            }
        }
        let mut keys = Keys(BTreeSet::new());
        if let Self::Call(command) = self {
            // The visitor never fails.
            let _ = command.clone().visit(&mut keys);
        }
        keys.0
    }
}

async fn scan_all(kv: &Kv, prefixes: &Prefixes, limit: u32) -> Result<BTreeSet<Key>> {
    let first = (kv, ScanFrom::Start);
    let pages = stream::try_unfold(Some(first), |next| async move {
        let Some((kv, from)) = next else {
            return Ok::<_, Error>(None);
        };
        let page = kv.scan_page(prefixes.clone(), from, limit).await?;
        let next = page.next.map(|cursor| (kv, ScanFrom::Cursor(cursor)));
        Ok(Some((page.keys, next)))
    });
    pages
        .try_fold(BTreeSet::new(), async |mut all, keys| {
            all.extend(keys);
            Ok(all)
        })
        .await
}

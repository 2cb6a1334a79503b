//! Listening to streams of changes.

use super::Bench;
use crate::failure::{Failure, Verdict, ensure};
use futures_util::StreamExt;
use kv_core::{Event, Events, Key, Kv, Value, Watch};
use std::time::Duration;
use tokio::time::timeout;

/// A stream of changes, and the handle on which it was opened.
pub(crate) struct Listener {
    kv: Kv,
    events: Events,
    patience: Duration,
}

impl Bench {
    /// Starts to listen.
    pub(crate) async fn listen(&self, watch: Watch) -> Verdict<Listener> {
        self.listen_on(&self.kv, watch).await
    }

    /// Starts to listen through this handle.
    pub(crate) async fn listen_on(&self, kv: &Kv, watch: Watch) -> Verdict<Listener> {
        let events = kv.watch(watch).await?;
        Ok(Listener {
            kv: kv.clone(),
            events,
            patience: self.patience(),
        })
    }
}

impl Listener {
    /// The next event, whatever it is.
    pub(crate) async fn next(&mut self) -> Verdict<Event> {
        let patience = self.patience;
        match timeout(patience, self.events.next()).await {
            Ok(Some(event)) => Ok(event?),
            Ok(None) => Err(Failure::new("the stream ended")),
            Err(_) => Err(Failure::new(format!(
                "nothing was told within {patience:?}"
            ))),
        }
    }

    /// The end of the stream: its error, if it has one.
    pub(crate) async fn end(&mut self) -> Verdict<Vec<kv_core::Error>> {
        let patience = self.patience;
        let mut errors = Vec::new();
        loop {
            match timeout(patience, self.events.next()).await {
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => errors.push(error),
                Ok(None) => return Ok(errors),
                Err(_) => return Err(Failure::new(format!("no end within {patience:?}"))),
            }
        }
    }

    /// What comes within a span.
    pub(crate) async fn during(&mut self, span: Duration) -> Verdict<Vec<Event>> {
        let mut all = Vec::new();
        let collect = async {
            while let Some(event) = self.events.next().await {
                all.push(event?);
            }
            Ok::<_, Failure>(())
        };
        if let Ok(ended) = timeout(span, collect).await {
            ended?;
        }
        Ok(all)
    }

    /// Waits until this is told of the key. Other events are passed over.
    pub(crate) async fn hears(&mut self, what: &str, key: &Key, told: Told<'_>) -> Verdict {
        self.hears_all(what, &[(key, told)]).await
    }

    /// Waits until all of this is told, in whatever order. Other events are passed over.
    pub(crate) async fn hears_all(&mut self, what: &str, news: &[(&Key, Told<'_>)]) -> Verdict {
        let patience = self.patience;
        let deadline = tokio::time::Instant::now() + patience;
        let mut open = news.to_vec();
        while let Some(&(key, told)) = open.first() {
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{what}: `{key}` was not told to be {told:?} within {patience:?}"
            );
            let event = match timeout(patience, self.events.next()).await {
                Ok(Some(event)) => event?,
                Ok(None) => return Err(Failure::new(format!("{what}: the stream ended"))),
                Err(_) => {
                    return Err(Failure::new(format!(
                        "{what}: nothing was told within {patience:?}"
                    )));
                }
            };
            let mut left = Vec::new();
            for (key, told) in open {
                if !tells(&self.kv, &event, key, told).await? {
                    left.push((key, told));
                }
            }
            open = left;
        }
        Ok(())
    }
}

/// What is to be told of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// That it was written.
    Written,
    /// That it was written, and holds this string then.
    Holds(&'a str),
    /// That it is gone.
    Gone,
}

/// Whether an event says that of a key.
async fn tells(kv: &Kv, event: &Event, key: &Key, told: Told<'_>) -> Verdict<bool> {
    Ok(match (event, told) {
        (Event::Put { key: it, .. }, Told::Written) => it == key,
        (Event::Put { key: it, value }, Told::Holds(text)) if it == key => {
            let held = match value {
                Some(value) => Some(value.clone()),
                None => kv.get(key).await?,
            };
            held == Some(Value::from(text))
        }
        (Event::Delete { key: it }, Told::Gone) => it == key,
        // What may have been missed is read again, as every caller has to.
        (Event::Resync, _) => is(kv, key, told).await?,
        _ => false,
    })
}

async fn is(kv: &Kv, key: &Key, told: Told<'_>) -> Verdict<bool> {
    Ok(match told {
        Told::Gone => !kv.exists(key).await?,
        Told::Written => kv.exists(key).await?,
        Told::Holds(text) => kv.get(key).await? == Some(Value::from(text)),
    })
}

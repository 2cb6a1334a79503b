//! What watchers ask for and are told, in short words.

use crate::patience::PATIENCE;
use futures_util::StreamExt;
use kv_core::{Event, Events, Key, Kv, Prefix, Watch};
use tokio::time::timeout;

/// A key by its name.
///
/// # Panics
/// If it is not one.
pub fn key(name: &str) -> Key {
    match Key::try_from(name) {
        Ok(key) => key,
        Err(error) => panic!("{name:?} is no key: {error}"),
    }
}

/// A watch of some keys.
///
/// # Panics
/// If one is no key.
pub fn keys<const N: usize>(names: [&str; N]) -> Watch {
    Watch::Keys(names.map(key).into())
}

/// A watch of some channels.
///
/// # Panics
/// If one is no key.
pub fn channels<const N: usize>(names: [&str; N]) -> Watch {
    Watch::Channels(names.map(key).into())
}

/// A watch of all that begins with some prefixes.
pub fn ranges<const N: usize>(names: [&str; N]) -> Watch {
    Watch::Prefixes(names.into_iter().map(Prefix::from).collect())
}

/// A key was written.
///
/// # Panics
/// If it is no key.
pub fn put(name: &str, value: Option<&str>) -> Event {
    let value = value.map(Into::into);
    Event::Put {
        key: key(name),
        value,
    }
}

/// A key is gone.
///
/// # Panics
/// If it is no key.
pub fn delete(name: &str) -> Event {
    Event::Delete { key: key(name) }
}

/// A message was sent.
///
/// # Panics
/// If the channel is no key.
pub fn message(channel: &str, payload: &str) -> Event {
    Event::Message {
        channel: key(channel),
        payload: payload.into(),
    }
}

/// The next event, which must come.
///
/// # Panics
/// If it does not, or the stream fails or ends.
pub async fn next(events: &mut Events) -> Event {
    match timeout(PATIENCE, events.next()).await {
        Ok(Some(Ok(event))) => event,
        Ok(other) => panic!("no event but {other:?}"),
        Err(_) => panic!("no event within {PATIENCE:?}"),
    }
}

/// Skips events until one comes; answers those before it.
///
/// # Panics
/// If it does not come.
pub async fn next_is(events: &mut Events, wanted: &Event) -> Vec<Event> {
    let mut seen = Vec::new();
    let found = timeout(PATIENCE, async {
        loop {
            match next(events).await {
                event if event == *wanted => return,
                event => seen.push(event),
            }
        }
    });
    if found.await.is_err() {
        panic!("{wanted:?} does not come; instead {seen:?}");
    }
    seen
}

/// Whatever is under way has come when this write's event has: nothing else may wait before it.
/// Where a store tells that a key was written and not what, no value is expected.
///
/// # Panics
/// If anything else comes first.
pub async fn nothing_but(events: &mut Events, writer: &Kv, name: &str) {
    let unlike_the_last = fastrand::u64(..).to_string();
    if let Err(error) = writer.set(name, &*unlike_the_last).await {
        panic!("{name} could not be written: {error}");
    }
    match next(events).await {
        Event::Put { key: told, value } if told == key(name) => {
            let right = value.is_none_or(|it| it == *unlike_the_last);
            assert!(right, "an older value of {name} was told");
        }
        event => panic!("{event:?} before {name} was written"),
    }
}

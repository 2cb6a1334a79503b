//! What is told of a cluster, and what its servers have to do for it.

use crate::{PATIENCE, ask};
use futures_util::StreamExt;
use kv_core::{Clock, Event, Events, Key, Kv, Prefix, SystemClock, Watch};
use redis::Connection;
use std::time::Duration;
use tokio::time::timeout;

pub(crate) fn key(name: &str) -> Key {
    Key::try_from(name).unwrap()
}

pub(crate) fn keys(names: &[&str]) -> Watch {
    Watch::Keys(names.iter().map(|it| key(it)).collect())
}

pub(crate) fn channels(names: &[&str]) -> Watch {
    Watch::Channels(names.iter().map(|it| key(it)).collect())
}

pub(crate) fn range(prefix: &str) -> Watch {
    Watch::Prefixes(Prefix::from(prefix).into())
}

pub(crate) fn put(name: &str, value: Option<&str>) -> Event {
    let key = key(name);
    let value = value.map(Into::into);
    Event::Put { key, value }
}

pub(crate) fn message(channel: &str, payload: &str) -> Event {
    let channel = key(channel);
    let payload = payload.into();
    Event::Message { channel, payload }
}

/// The next event, which must come.
pub(crate) async fn next(events: &mut Events) -> Event {
    let Ok(event) = timeout(PATIENCE, events.next()).await else {
        panic!("no event within {PATIENCE:?}");
    };
    event.unwrap().unwrap()
}

/// Skips events until one comes; answers how many of those skipped were gaps.
pub(crate) async fn next_is(events: &mut Events, wanted: &Event) -> usize {
    let mut gaps = 0;
    loop {
        match next(events).await {
            event if event == *wanted => return gaps,
            Event::Resync => gaps += 1,
            _ => {}
        }
    }
}

/// Does what a watcher does, reads again whenever it is told something, until it reads this.
pub(crate) async fn reads(kv: &Kv, events: &mut Events, name: &str, wanted: &str) {
    loop {
        next(events).await;
        if kv.get(name).await.unwrap() == Some(wanted.into()) {
            return;
        }
    }
}

/// Waits until a write is told of as itself, and gaps are over.
pub(crate) async fn is_live(kv: &Kv, events: &mut Events, name: &str) {
    let live = async {
        loop {
            let value = fastrand::u64(..).to_string();
            kv.set(name, value).await.unwrap();
            while let event = next(events).await
                && event != Event::Resync
            {
                if matches!(event, Event::Put { key: told, .. } if told == key(name)) {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, live).await.unwrap();
}

/// How many connections of a server watch.
pub(crate) fn connections(server: &mut Connection) -> usize {
    let list: String = ask(server, &["CLIENT", "LIST"]);
    let field = |line: &str, name: &str| {
        let mut fields = line.split(' ');
        fields.find_map(|it| Some(it.strip_prefix(name)?.to_owned()))
    };
    let watches = |line: &&str| {
        field(line, "flags=").unwrap().contains('t') || field(line, "sub=").unwrap() != "0"
    };
    list.lines().filter(watches).count()
}

pub(crate) async fn pause(span: Duration) {
    let clock = SystemClock;
    clock.sleep_until(clock.now().saturating_add(span)).await;
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            pause(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        panic!("not within {PATIENCE:?}: {what}");
    }
}

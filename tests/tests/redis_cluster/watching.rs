//! What is told of a cluster, and what its servers have to do for it.

use crate::ask;
use kv_core::{Event, Events, Kv};
use kv_tests::{
    patience::PATIENCE,
    watching::{key, next},
};
use redis::Connection;
use tokio::time::timeout;

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

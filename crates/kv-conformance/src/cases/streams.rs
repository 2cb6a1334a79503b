//! J: how streams of changes begin and end.

use super::cases;
use crate::{
    bench::{Bench, Told},
    failure::{Verdict, ensure_eq, ensure_error},
};
use kv_core::{Capability, Event, Key, Watch};
use std::time::Duration;

cases! {
    'J' 107 "a stream that is dropped leaves the others alone" [Strings, Watch] dropped;
    'J' 273 "a closed store ends its streams" [Strings, Watch] closed;
    'J' 274 "watching nothing is refused, and a key named twice is one key" [Strings, Watch] edges;
}

async fn dropped(b: Bench) -> Verdict {
    let key = b.key("a");
    let mut stays = b.listen(keys([&key])).await?;
    let mut below = b.listen(Watch::Prefixes(b.prefix("").into())).await?;
    for round in 0..200 {
        let own = b.key(format!("own{}", round % 7));
        let watch = match round % 3 {
            0 => keys([&key]),
            1 => keys([&own, &key]),
            _ => Watch::Prefixes(b.prefix(format!("own{}", round % 7)).into()),
        };
        let mut brief = b.listen(watch).await?;
        if round % 20 == 0 {
            let written = if round % 3 == 2 { &own } else { &key };
            b.kv.set(written, "seen").await?;
            brief
                .hears("a brief listener", written, Told::Written)
                .await?;
        }
        drop(brief);
    }
    for value in ["1", "2"] {
        b.kv.set(&key, value).await?;
        stays
            .hears("after others were dropped", &key, Told::Holds(value))
            .await?;
        below
            .hears("after others were dropped", &key, Told::Holds(value))
            .await?;
    }
    drop(stays);
    let mut later = b.listen(keys([&key])).await?;
    b.kv.delete(&key).await?;
    later
        .hears("after the first was dropped", &key, Told::Gone)
        .await?;
    below
        .hears("after the first was dropped", &key, Told::Gone)
        .await
}

async fn closed(b: Bench) -> Verdict {
    if !b.opens_independent_handles() {
        b.note("the backend has one handle, which the suite needs itself");
        return Ok(());
    }
    let kv = b.open().await?;
    let key = b.key("a");
    let mut watches = vec![keys([&key]), Watch::Prefixes(b.prefix("").into())];
    if b.has(Capability::Channels) {
        watches.push(Watch::Channels(vec![b.key("channel")]));
    }
    let mut listeners = Vec::new();
    for watch in watches {
        listeners.push(b.listen_on(&kv, watch).await?);
    }
    let mut other = b.listen(keys([&key])).await?;
    kv.close().await;
    for listener in &mut listeners {
        let errors = listener.end().await?;
        let kinds: Vec<_> = errors.iter().map(kv_core::Error::kind).collect();
        ensure_eq!(
            kinds,
            [kv_core::ErrorKind::Closed],
            "the errors at the end of a stream"
        );
    }
    let answer = kv.watch(keys([&key])).await.map(drop);
    ensure_error!(answer, Closed, "a watch on a closed store");
    b.kv.set(&key, "v").await?;
    other
        .hears("on another handle", &key, Told::Holds("v"))
        .await
}

async fn edges(b: Bench) -> Verdict {
    let key = b.key("a");
    for watch in [Watch::Keys(Vec::new()), Watch::Channels(Vec::new())] {
        let what = format!("{watch:?}");
        ensure_error!(b.kv.watch(watch).await.map(drop), InvalidArgument, "{what}");
    }
    let mut twice = b.listen(keys([&key, &key])).await?;
    b.kv.set(&key, "v").await?;
    twice
        .hears("a key named twice", &key, Told::Holds("v"))
        .await?;
    let more = twice.during(Duration::from_millis(250)).await?;
    let puts = more.iter().filter(|it| matches!(it, Event::Put { .. }));
    ensure_eq!(puts.count(), 0, "how often one write was told once more");
    Ok(())
}

fn keys<const N: usize>(keys: [&Key; N]) -> Watch {
    Watch::Keys(keys.map(Key::clone).into())
}

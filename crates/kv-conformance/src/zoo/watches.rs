//! Stores that do not tell of every change, or of what is none.

use super::{
    Saboteur,
    listen::{Ear, layer},
};
use futures_util::{
    future,
    stream::{self, StreamExt},
};
use kv_core::{Command, Event, Events, Prefix, Reply, Result, TimeToLive, Watch};

/// Makes the file's part of the zoo out of async functions.
macro_rules! deaf {
    ($($name:literal [$($case:literal),+] mutes [$($muted:literal),*] $run:ident;)*) => {
        pub(super) const SABOTEURS: &[Saboteur] = &[$(
            Saboteur {
                name: $name,
                caught_by: &[$($case),+],
                layer: || layer($name, |ear, watch| Box::pin($run(ear, watch)), &[$($muted),*]),
            },
        )*];
    };
}

deaf! {
    "every third event is lost" [103, 275] mutes [] loses_some;
    "a deletion is told as a write" [103, 106, 276] mutes [] deletion_is_a_write;
    "an event is held back until the next one" [103, 105, 108] mutes [] holds_back;
    "a stream is live only when it is read" [103, 105, 109, 270] mutes [] live_when_read;
    "a range is told of its siblings" [104] mutes [] tells_siblings;
    "a watcher of one key is told of all" [108] mutes [] tells_all;
    "the end of a key is told at its last write" [106] mutes [] ends_early;
    "the end of a key is told twice" [106] mutes [] ends_twice;
    "a stream that is dropped takes the others along" [107, 108] mutes [] takes_along;
    "a lag is not told" [109] mutes [] hides_lag;
    "a closed store's streams just end" [273] mutes [] just_ends;
    "a key named twice is told twice" [274] mutes [] told_twice;
    "removing fields wakes nobody" [275] mutes ["hdel"] muted;
    "a move wakes nobody" [276] mutes ["zmove"] muted;
    "a transaction wakes nobody" [276] mutes ["commit"] muted;
}

async fn loses_some(on: Ear, watch: Watch) -> Result<Events> {
    let mut count = 0;
    on.each(watch, move |event| {
        count += 1;
        match count % 3 {
            0 => Vec::new(),
            _ => vec![event],
        }
    })
    .await
}

async fn deletion_is_a_write(on: Ear, watch: Watch) -> Result<Events> {
    on.each(watch, |event| match event {
        Event::Delete { key } => vec![Event::Put { key, value: None }],
        other => vec![other],
    })
    .await
}

async fn holds_back(on: Ear, watch: Watch) -> Result<Events> {
    let mut last = None;
    on.each(watch, move |event| {
        last.replace(event).into_iter().collect()
    })
    .await
}

async fn live_when_read(on: Ear, watch: Watch) -> Result<Events> {
    let late = async move { on.watch(watch).await };
    let events = stream::once(late).flat_map(|events| match events {
        Ok(events) => events,
        Err(error) => stream::once(future::ready(Err(error))).boxed(),
    });
    Ok(events.boxed())
}

async fn tells_siblings(on: Ear, watch: Watch) -> Result<Events> {
    let Watch::Prefixes(prefixes) = watch else {
        return on.watch(watch).await;
    };
    let shorter = prefixes.as_slice().iter().map(|prefix| {
        let bytes = prefix.as_bytes();
        Prefix::new(bytes[..bytes.len().saturating_sub(1)].to_vec())
    });
    on.watch(Watch::Prefixes(shorter.collect())).await
}

async fn tells_all(on: Ear, watch: Watch) -> Result<Events> {
    match watch {
        Watch::Keys(_) => on.watch(Watch::Prefixes(Prefix::ALL.into())).await,
        other => on.watch(other).await,
    }
}

async fn ends_early(on: Ear, watch: Watch) -> Result<Events> {
    let events = on.watch(watch).await?;
    let told = events.then(move |event| {
        let on = on.clone();
        async move {
            let Ok(Event::Put { key, .. }) = &event else {
                return vec![event];
            };
            let asked = on.ask(Command::TimeToLive { key: key.clone() }).await;
            match asked {
                Ok(Reply::TimeToLive(TimeToLive::In(_))) => {
                    let end = Event::Delete { key: key.clone() };
                    vec![event, Ok(end)]
                }
                _ => vec![event],
            }
        }
    });
    Ok(told.flat_map(stream::iter).boxed())
}

async fn ends_twice(on: Ear, watch: Watch) -> Result<Events> {
    on.each(watch, |event| match event {
        Event::Delete { .. } => vec![event.clone(), event],
        other => vec![other],
    })
    .await
}

async fn takes_along(on: Ear, watch: Watch) -> Result<Events> {
    struct OnDrop(Ear);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.dropped.send_modify(|count| *count += 1);
        }
    }
    let events = on.watch(watch).await?;
    let mut dropped = on.dropped.subscribe();
    let held = OnDrop(on);
    let ended = async move {
        // The sender lives as long as the layer.
        let _ = dropped.changed().await;
    };
    let events = events.take_until(Box::pin(ended));
    Ok(events
        .map(move |event| {
            let _ = &held;
            event
        })
        .boxed())
}

async fn hides_lag(on: Ear, watch: Watch) -> Result<Events> {
    on.each(watch, |event| match event {
        Event::Resync => Vec::new(),
        other => vec![other],
    })
    .await
}

async fn just_ends(on: Ear, watch: Watch) -> Result<Events> {
    let events = on.watch(watch).await?;
    Ok(events
        .take_while(|event| future::ready(event.is_ok()))
        .boxed())
}

async fn told_twice(on: Ear, watch: Watch) -> Result<Events> {
    let twice = match &watch {
        Watch::Keys(keys) => keys.windows(2).any(|pair| pair[0] == pair[1]),
        _ => false,
    };
    on.each(watch, move |event| match twice {
        true => vec![event.clone(), event],
        false => vec![event],
    })
    .await
}

async fn muted(on: Ear, watch: Watch) -> Result<Events> {
    let muted = on.muted.clone();
    on.each(watch, move |mut event| {
        let silent = event.key_mut().is_some_and(|key| muted.lock().remove(key));
        match silent {
            true => Vec::new(),
            false => vec![event],
        }
    })
    .await
}

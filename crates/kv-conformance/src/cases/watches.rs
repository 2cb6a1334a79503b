//! J: streams of changes of keys and of ranges.

use super::cases;
use crate::{
    bench::{Bench, Told, together},
    failure::{Failure, Verdict, ensure, ensure_eq},
};
use kv_core::{Event, Key, Prefixes, Value, Watch};
use std::{collections::BTreeSet, time::Duration};

cases! {
    'J' 103 "a watched key tells of its writes and of its end" [Strings, Watch] one_key;
    'J' 104 "a watched range tells of its keys and of no sibling" [Strings, Watch] range;
    'J' 105 "no change is lost between watching and reading" [Strings, Watch] nothing_lost;
    'J' 106 "the end of a key is told at its deadline, never before, and once" [Strings, Expiry, StoreTime, Watch] expiry;
    'J' 108 "three watchers are told of their own keys only" [Strings, Watch] three;
}

/// How long something is listened for that must not come.
const QUIET: Duration = Duration::from_millis(250);

fn keys<const N: usize>(keys: [&Key; N]) -> Watch {
    Watch::Keys(keys.map(Key::clone).into())
}

fn about(event: &mut Event) -> Option<Key> {
    event.key_mut().map(|key| key.clone())
}

async fn one_key(b: Bench) -> Verdict {
    let (there, missing) = (b.key("there"), b.key("missing"));
    b.kv.set(&there, "0").await?;
    let mut listener = b.listen(keys([&there, &missing])).await?;
    for key in [&there, &missing] {
        for value in ["1", "2"] {
            b.kv.set(key, value).await?;
            listener.hears("a set", key, Told::Holds(value)).await?;
        }
        b.kv.delete(key).await?;
        listener.hears("a delete", key, Told::Gone).await?;
        b.kv.set(key, "again").await?;
        listener
            .hears("a set after a delete", key, Told::Holds("again"))
            .await?;
    }
    // What happens while nobody reads is told later, the last state at the end.
    for round in 0..50 {
        b.kv.set(&there, round.to_string()).await?;
    }
    listener
        .hears("fifty sets", &there, Told::Holds("49"))
        .await?;
    let other = b.open().await?;
    other.set(&there, "from afar").await?;
    listener
        .hears("a set by another handle", &there, Told::Holds("from afar"))
        .await
}

async fn range(b: Bench) -> Verdict {
    let mut roots = vec![b.key("p/"), b.key("t[1]*x/"), b.grouped("g", ":p/")];
    roots.push(b.key("back\\slash?"));
    for root in &roots {
        let bytes = root.as_bytes();
        let key = |rest: &[u8]| Key::new([bytes, rest].concat());
        let mut listener = b.listen(Watch::Prefixes(Prefixes::from(bytes))).await?;
        let (first, second, end) = (key(b"a")?, key(b"b/c")?, key(b"end")?);
        b.kv.set(&first, "1").await?;
        b.kv.set(&second, "2").await?;
        // Neighbours: shorter, in its place, beside it, and what a pattern would take in.
        let shorter = Key::new(bytes[..bytes.len() - 1].to_vec())?;
        let mut beside = bytes.to_vec();
        if let Some(last) = beside.last_mut() {
            *last += 1;
        }
        let siblings = [
            shorter,
            Key::new(beside)?,
            b.key("t1yx/a"),
            b.key("p"),
            b.key("px/a"),
        ];
        for sibling in siblings
            .iter()
            .filter(|it| !it.as_bytes().starts_with(bytes))
        {
            b.kv.set(sibling, "sibling").await?;
            b.kv.delete(sibling).await?;
        }
        b.kv.delete(&first).await?;
        b.kv.set(&end, "3").await?;
        let mut heard: Vec<Event> = Vec::new();
        let mut told = BTreeSet::new();
        while !told.contains(&end) {
            let mut event = listener.next().await?;
            match about(&mut event) {
                Some(key) => {
                    let within = key.as_bytes().starts_with(bytes);
                    ensure!(within, "below `{root}`: told of `{key}`");
                    told.insert(key);
                }
                None => told.extend(b.scan(Prefixes::from(bytes)).await?),
            }
            heard.push(event);
        }
        heard.extend(listener.during(QUIET).await?);
        for event in &mut heard {
            match about(event) {
                Some(key) => {
                    told.insert(key);
                }
                None => told.extend([first.clone(), second.clone()]),
            }
        }
        for key in [&first, &second] {
            ensure!(told.contains(key), "not told of `{key}`: {heard:?}");
        }
        let strange = told.iter().find(|it| !it.as_bytes().starts_with(bytes));
        ensure!(strange.is_none(), "below `{root}`: told of {strange:?}");
        b.kv.delete(&end).await?;
        listener.hears("a delete", &end, Told::Gone).await?;
    }
    Ok(())
}

async fn nothing_lost(b: Bench) -> Verdict {
    const RUNS: usize = 1000;
    const AT_ONCE: usize = 20;
    for batch in 0..RUNS / AT_ONCE {
        let runs = (0..AT_ONCE).map(|at| {
            let key = b.key(format!("{batch}.{at}"));
            // In some runs the last write comes when the watcher has read and does not listen yet.
            follow(b.clone(), key, at % 4 == 0)
        });
        together(runs).await?;
    }
    Ok(())
}

const LAST: &str = "last";

/// Watches, then reads, while somebody writes: what is known at the end is what was written last.
async fn follow(b: Bench, key: Key, last_after_read: bool) -> Verdict {
    let kv = &b.kv;
    let writer = {
        let (kv, key) = (kv.clone(), key.clone());
        tokio::spawn(async move {
            for value in ["first", "second", LAST] {
                if value == LAST && last_after_read {
                    break;
                }
                others_run().await;
                kv.set(&key, value).await?;
            }
            Ok::<_, kv_core::Error>(())
        })
    };
    others_run().await;
    let mut listener = b.listen(Watch::Keys(vec![key.clone()])).await?;
    let mut known = kv.get(&key).await?;
    if last_after_read {
        let wrote = writer.await;
        wrote.map_err(|error| Failure::new(format!("the writer died: {error}")))??;
        kv.set(&key, LAST).await?;
    }
    while known != Some(Value::from(LAST)) {
        let told = listener.next().await;
        let told = told.map_err(|failure| {
            let known = known.as_ref();
            let known = known.map(|it| it.as_bytes().escape_ascii().to_string());
            Failure::new(format!("with {known:?} known of `{key}`: {failure}"))
        })?;
        known = match told {
            Event::Put {
                value: Some(value), ..
            } => Some(value),
            _ => kv.get(&key).await?,
        };
    }
    Ok(())
}

/// Gives way to other tasks, now and then for longer.
async fn others_run() {
    for _ in 0..fastrand::u32(0..30) {
        tokio::task::yield_now().await;
    }
}

async fn expiry(b: Bench) -> Verdict {
    let unit = b.granularity().max(Duration::from_millis(150));
    let all = b.keys("k", 6);
    let [before, during, moved, kept, gone, again] = &all[..] else {
        return Err(Failure::new("there are six keys"));
    };
    // One has its deadline before it is watched, the others get theirs later.
    let (_, first) = b.written(b.kv.set_for(before, "v", unit * 3)).await?;
    let mut listener = b.listen(Watch::Keys(all.clone())).await?;
    let was_there = b.now().await? < first.before.saturating_add(unit * 3);
    let (_, second) = b.written(b.kv.set_for(during, "v", unit * 2)).await?;
    b.kv.set_for(moved, "v", unit * 2).await?;
    let (was_moved, third) = b.written(b.kv.expire(moved, unit * 5)).await?;
    b.kv.set_for(kept, "v", unit * 2).await?;
    let was_kept = b.kv.persist(kept).await?;
    b.kv.set_for(gone, "v", unit * 2).await?;
    b.kv.delete(gone).await?;
    let (_, once) = b.written(b.kv.set_for(again, "v", unit * 2)).await?;
    let (_, fourth) = b.written(b.kv.set_for(again, "w", unit * 4)).await?;
    let was_replaced = fourth.after < once.before.saturating_add(unit * 2);
    let mut open = vec![
        (during, second, unit * 2),
        (before, first, unit * 3),
        (again, fourth, unit * 4),
        (moved, third, unit * 5),
    ];
    // On a slow machine one can have ended before its next write: then it is told of, or not, at that
    // moment.
    let outcomes = [
        (before, was_there),
        (moved, was_moved),
        (kept, was_kept),
        (again, was_replaced),
        (gone, false),
    ];
    let too_slow_for = |key: &Key| {
        let mut outcomes = outcomes.iter();
        outcomes.any(|(it, in_time)| *it == key && !in_time)
    };
    open.retain(|(key, ..)| !too_slow_for(key));
    let mut ended: Vec<Key> = Vec::new();
    while !open.is_empty() {
        // How soon is for a benchmark to say: a busy machine is late, and nothing is wrong with that.
        let event = listener.next().await.map_err(|failure| {
            let open: Vec<_> = open.iter().map(|(key, ..)| key.to_string()).collect();
            Failure::new(format!("not told of the end of {open:?}: {failure}"))
        })?;
        let seen = b.now().await?;
        match event {
            Event::Delete { key } if too_slow_for(&key) => {}
            Event::Delete { key } => {
                ensure!(!ended.contains(&key), "told twice of the end of `{key}`");
                let Some(at) = open.iter().position(|(it, ..)| **it == key) else {
                    return Err(Failure::new(format!(
                        "told of the end of `{key}`, which stays"
                    )));
                };
                let (_, written, lifetime) = open.remove(at);
                let due = written.before.saturating_add(lifetime);
                let early = due.saturating_since(seen);
                ensure!(
                    early.is_zero(),
                    "told of the end of `{key}` {early:?} too early"
                );
                ensure_eq!(
                    b.kv.exists(&key).await?,
                    false,
                    "whether `{key}` is there after its end"
                );
                ended.push(key);
            }
            _ => {}
        }
    }
    for event in listener.during(QUIET).await? {
        let again = matches!(&event, Event::Delete { key } if ended.contains(key) || (key == kept && was_kept));
        ensure!(!again, "told once more: {event:?}");
    }
    ensure_eq!(
        b.kv.exists(kept).await?,
        was_kept,
        "whether a persisted key is there"
    );
    Ok(())
}

async fn three(b: Bench) -> Verdict {
    let [one, two, other] = ["w/one", "w/two", "other"].map(|name| b.key(name));
    let mut first = b.listen(keys([&one])).await?;
    let mut both = b.listen(keys([&one, &other])).await?;
    let mut below = b.listen(Watch::Prefixes(b.prefix("w/").into())).await?;
    for key in [&one, &two, &other] {
        b.kv.set(key, "v").await?;
    }
    let mut expected = [
        (&mut first, BTreeSet::from([&one])),
        (&mut both, BTreeSet::from([&one, &other])),
        (&mut below, BTreeSet::from([&one, &two])),
    ];
    for (at, (listener, wanted)) in expected.iter_mut().enumerate() {
        let mut told = BTreeSet::new();
        while told.len() < wanted.len() {
            let mut event = listener.next().await?;
            match about(&mut event) {
                Some(key) => {
                    told.insert(key);
                }
                None => told.extend(wanted.iter().map(|key| (*key).clone())),
            }
        }
        for mut event in listener.during(QUIET / 2).await? {
            told.extend(about(&mut event));
        }
        let told: BTreeSet<&Key> = told.iter().collect();
        ensure_eq!(told, *wanted, "the keys that watcher {at} was told of");
    }
    drop(first);
    b.kv.delete(&one).await?;
    both.hears("after one left", &one, Told::Gone).await?;
    below.hears("after one left", &one, Told::Gone).await
}

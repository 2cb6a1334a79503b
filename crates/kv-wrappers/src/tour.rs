//! Every place that a value can go to and come back from, for the tests of layers that change values.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use futures_util::{FutureExt, StreamExt};
use kv_core::{
    Event, Events, Fate, Guard, Key, Kv, Layer, Mark, Op, Prefix, Read, RelativeScore, Result,
    ScoreRange, SetOptions, Ttl, Txn, Value, Watch, When, ZMove,
};
use kv_memory::MemoryStore;

/// A handle through these layers, from the store outwards.
pub(crate) async fn open(
    store: &MemoryStore,
    layers: impl IntoIterator<Item = std::sync::Arc<dyn Layer>>,
) -> Kv {
    let builder = layers.into_iter();
    let builder = builder.fold(Kv::builder(store.clone()), kv_core::KvBuilder::layer);
    builder.connect().await.unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

/// The event that a subscription has waiting.
pub(crate) fn next(events: &mut Events) -> Result<Event> {
    let next = events.next().now_or_never();
    next.expect("nothing was told").expect("the stream ended")
}

/// Sends the text through everything that carries values, and wants it back each time.
pub(crate) async fn tour(kv: &Kv, text: &str) {
    let value = || Some(Value::from(text));
    let watched = Watch::Keys(vec![key("set")]);
    let mut changes = kv.watch(watched).await.unwrap();
    let channel = Watch::Channels(vec![key("channel")]);
    let mut messages = kv.watch(channel).await.unwrap();

    kv.set("set", text).await.unwrap();
    assert_eq!(kv.get("set").await.unwrap(), value());
    let put = Event::Put {
        key: key("set"),
        value: value(),
    };
    assert_eq!(next(&mut changes).unwrap(), put);
    let options = SetOptions::from(When::IfAbsent);
    let refused = kv.set_with("set", "other", options).await.unwrap();
    assert_eq!((refused.applied, refused.current), (false, value()));
    kv.set_many([("many:1", text), ("many:2", text)])
        .await
        .unwrap();
    let found = kv.get_many(["many:1", "none", "many:2"]).await.unwrap();
    assert_eq!(found, [value(), None, value()]);

    kv.hset_many("hash", [("f", text), ("", text)])
        .await
        .unwrap();
    assert_eq!(kv.hget("hash", "f").await.unwrap(), value());
    let found = kv.hget_many("hash", ["", "none", "f"]).await.unwrap();
    assert_eq!(found, [value(), None, value()]);
    let all = kv.hgetall_map("hash").await.unwrap();
    assert!(all.len() == 2 && all.values().all(|it| *it == text));

    kv.notify("channel", text).await.unwrap();
    let message = Event::Message {
        channel: key("channel"),
        payload: text.into(),
    };
    assert_eq!(next(&mut messages).unwrap(), message);

    transactions(kv, text, &mut messages).await;
    moves(kv, text).await;
}

async fn transactions(kv: &Kv, text: &str, messages: &mut Events) {
    let value = || Some(Value::from(text));
    let mark = || Some(Mark::from("a mark"));
    let name = || key("{t}:s");
    let marked = || key("{t}:m");
    let hash = || key("{t}:h");
    let set = |key, content| Op::Set {
        key,
        content,
        ttl: Ttl::Never,
    };
    let fields = vec![
        ("v".into(), Value::from(text).into()),
        ("m".into(), Mark::from("a mark").into()),
    ];
    let reads = || {
        [
            Read::Get { key: name() },
            Read::GetMark { key: marked() },
            Read::HGet {
                key: hash(),
                field: "v".into(),
            },
            Read::HGetMark {
                key: hash(),
                field: "m".into(),
            },
        ]
    };
    let write = Txn::new()
        .then(set(name(), Value::from(text).into()))
        .then(set(marked(), Mark::from("a mark").into()))
        .then(Op::HSet {
            key: hash(),
            fields,
        })
        .then(Op::ZAdd {
            key: key("{t}:z"),
            members: vec![("m".into(), RelativeScore::NOW)],
            notify_if_first: Some(kv_core::Notice::new(key("channel"), text)),
        });
    kv.commit_one(write).await.unwrap();
    let told = next(messages).unwrap();
    assert!(matches!(told, Event::Message { payload, .. } if payload == text));

    let when = || Txn::new().when(Guard::value_is(marked(), "a mark"));
    let held = reads().into_iter().fold(when(), |txn, it| txn.then(it));
    let never = Txn::new().when(Guard::value_is(marked(), "another"));
    let failed = reads().into_iter().fold(never, Txn::otherwise);
    let mut answers = kv.commit([held, failed]).await.unwrap();
    for (answer, applied) in answers.iter_mut().zip([true, false]) {
        let answer = answer.as_mut().unwrap();
        assert_eq!(answer.applied, applied);
        assert_eq!(answer.value(0).unwrap(), value());
        assert_eq!(answer.mark(1).unwrap(), mark());
        assert_eq!(answer.value(2).unwrap(), value());
        assert_eq!(answer.mark(3).unwrap(), mark());
    }
    // What is counted in a transaction is read as a mark.
    let count = Txn::new().then(Op::Increment {
        key: key("{t}:n"),
        by: 5,
        ttl_if_created: Ttl::Never,
    });
    let read = Txn::new().then(Read::GetMark { key: key("{t}:n") });
    let mut counted = kv.commit_one(count).await.unwrap();
    let mut found = kv.commit_one(read).await.unwrap();
    assert_eq!(counted.integer(0).unwrap(), 5);
    assert_eq!(found.mark(0).unwrap(), Some("5".into()));
}

async fn moves(kv: &Kv, text: &str) {
    kv.zadd("{q}:due", [("a", 1), ("b", 2)]).await.unwrap();
    for hash in ["{q}:bodies", "{q}:more"] {
        kv.hset_many(hash, [("a", text), ("b", text)])
            .await
            .unwrap();
    }
    let claim = ZMove::new(2)
        .from_counted(key("{q}:due"), 10, key("{q}:tally"))
        .to(key("{q}:lease"), 20)
        .with(key("{q}:bodies"), Fate::Keep)
        .with(key("{q}:more"), Fate::Take);
    let moved = kv.zmove(claim).await.unwrap();
    assert_eq!(moved.members.len(), 2);
    for member in &moved.members {
        let bodies = member.all_bodies().unwrap();
        assert_eq!(bodies, [Some(text.into()), Some(text.into())]);
        assert_eq!(member.tally, Some(1));
    }
}

/// All that the store holds in strings and hashes.
pub(crate) async fn stored(raw: &Kv) -> Vec<Value> {
    let keys: Vec<_> = raw.scan(Prefix::ALL).collect().await;
    let mut stored = Vec::new();
    for key in keys {
        let key = key.unwrap();
        if let Ok(value) = raw.get(&key).await {
            stored.extend(value);
        } else if let Ok(fields) = raw.hgetall(&key).await {
            stored.extend(fields.into_iter().map(|(_, value)| value));
        } else {
            assert!(raw.zcount(&key, ScoreRange::ALL).await.is_ok());
        }
    }
    stored
}

//! Atomic commands, limits, messages and streams of two tenants on one store.

use kv_core::{
    Context, ErrorKind, Event, Fate, Guard, Key, Kv, Op, OpReply, Prefix, Read, Rule, Score,
    Throttle, Ttl, Txn, Watch, ZMove,
};
use kv_memory::MemoryStore;
use kv_tests::watching::next;
use kv_wrappers::{KeyResolver, KeySettings};
use std::time::Duration;

async fn tenants() -> [Kv; 2] {
    let settings = KeySettings {
        namespace: "cache".to_owned(),
        ..KeySettings::default()
    };
    let kv = Kv::builder(MemoryStore::default())
        .layer(KeyResolver::new(settings).unwrap())
        .connect()
        .await
        .unwrap();
    ["t1", "t2"].map(|tenant| kv.bind(Context::tenant(tenant)))
}

fn key(name: &str) -> Key {
    format!("{{mail}}:{name}").try_into().unwrap()
}

fn set(key: &Key) -> Op {
    Op::Set {
        key: key.clone(),
        content: kv_core::Content::Value("v".into()),
        ttl: Ttl::Never,
    }
}

#[tokio::test]
async fn case_129_atomic_steps_are_prefixed_and_their_errors_are_not() {
    let [ours, theirs] = tenants().await;
    let (a, z, lease, body) = (key("a"), key("z"), key("lease"), key("body"));
    let txn = Txn::new().when(Guard::absent(&a)).then(set(&a));
    assert!(ours.commit_one(txn.clone()).await.unwrap().applied);
    assert!(theirs.commit_one(txn).await.unwrap().applied);
    theirs.delete(&a).await.unwrap();
    let read = Txn::new().then(Read::Get { key: a.clone() });
    let reply = ours.commit_one(read).await.unwrap();
    assert_eq!(reply.answers, [OpReply::Value(Some("v".into()))]);

    ours.zadd(&z, [("m", 1)]).await.unwrap();
    ours.hset(&body, "m", "ours").await.unwrap();
    let step = ZMove::new(9)
        .from(&z, 9)
        .to(&lease, 5)
        .with(&body, Fate::Take);
    let moved = theirs.zmove(step.clone()).await.unwrap();
    assert!(moved.applied && moved.members.is_empty());
    let moved = ours.zmove(step.clone()).await.unwrap();
    let bodies = moved.members[0].all_bodies().unwrap();
    assert_eq!(bodies, [Some("ours".into())]);
    assert_eq!(
        ours.zscore(&lease, "m").await.unwrap(),
        Some(Score::from(5))
    );

    let rule = Rule::gcra(1, Duration::from_secs(3600), 1).unwrap();
    let request = Throttle::new().limit(key("limit"), rule);
    assert!(ours.throttle(request.clone()).await.unwrap().allowed);
    assert!(!ours.throttle(request.clone()).await.unwrap().allowed);
    assert!(theirs.throttle(request).await.unwrap().allowed);

    let wrong = Txn::new().when(Guard::field_exists(&a, "f"));
    let error = ours.commit_one(wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongType);
    assert_eq!(error.key(), Some("{mail}:a"));
    let error = ours.zmove(step.from(&a, 1)).await.unwrap_err();
    assert_eq!(error.key(), Some("{mail}:a"));
}

#[tokio::test]
async fn case_129_tenants_hear_of_their_own_keys_and_channels_in_their_own_words() {
    let [ours, theirs] = tenants().await;
    let (a, plain) = (key("a"), Key::try_from("plain").unwrap());
    let keys = Watch::Keys(vec![a.clone(), plain.clone()]);
    let all = Watch::Prefixes(Prefix::ALL.into());
    let channel = Watch::Channels(vec![plain.clone()]);
    let mut streams = Vec::new();
    for watch in [keys, all, channel] {
        streams.push(ours.watch(watch).await.unwrap());
    }
    for key in [&a, &plain] {
        theirs.commit_one(Txn::new().then(set(key))).await.unwrap();
    }
    theirs.notify(&plain, "theirs").await.unwrap();
    for key in [&a, &plain] {
        ours.commit_one(Txn::new().then(set(key))).await.unwrap();
    }
    ours.notify(&plain, "ours").await.unwrap();

    for events in &mut streams[..2] {
        for expected in [&a, &plain] {
            match next(events).await {
                Event::Put { key, .. } => assert_eq!(&key, expected),
                other => panic!("expected a write of `{expected}`, got {other:?}"),
            }
        }
    }
    let payload = "ours".into();
    let expected = Event::Message {
        channel: plain,
        payload,
    };
    assert_eq!(next(&mut streams[2]).await, expected);
}

mod ring;

use super::*;
use crate::{KeyResolver, KeySettings, tour};
use kv_core::{
    Context, Error, ErrorKind, Event, Fate, Kv, Outcome, ScoreRange, SetOptions, Watch, ZMove,
};
use kv_memory::MemoryStore;

const SECRET: &str = "the plain text of the secret";

fn secret(byte: u8) -> EncryptionKey {
    EncryptionKey::new([byte; 32])
}

fn usual() -> EncryptConfig {
    EncryptConfig::new("k1", secret(1))
}

fn layer(config: EncryptConfig) -> Arc<dyn Layer> {
    Arc::new(Encrypt::new(config).unwrap())
}

fn resolver() -> Arc<dyn Layer> {
    Arc::new(KeyResolver::new(KeySettings::default()).unwrap())
}

async fn through(store: &MemoryStore, config: EncryptConfig) -> Kv {
    tour::open(store, [layer(config)]).await
}

/// The same store through the layer, and as it is.
async fn opened(config: EncryptConfig) -> (Kv, Kv) {
    let store = MemoryStore::default();
    let kv = through(&store, config).await;
    (kv, tour::open(&store, []).await)
}

fn is_codec<T: fmt::Debug>(answer: Result<T>) -> Error {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
    let told = format!("{error} {error:?}");
    assert!(!told.contains("plain text"), "{told}");
    error
}

#[tokio::test]
async fn case_141_values_go_everywhere_and_nothing_stored_shows_them() {
    for config in [usual(), usual().integers(Integers::Plain)] {
        let (kv, raw) = opened(config).await;
        let mut messages = raw
            .watch(Watch::Channels(vec![tour::key("channel")]))
            .await
            .unwrap();
        tour::tour(&kv, SECRET).await;
        let stored = tour::stored(&raw).await;
        let hides = |bytes: &[u8]| {
            !bytes
                .windows(5)
                .any(|it| SECRET.as_bytes().windows(5).any(|of| of == it))
        };
        assert!(stored.len() > 12, "{}", stored.len());
        assert!(stored.iter().all(|it| hides(it.as_bytes())));
        let encrypted = stored
            .iter()
            .filter(|it| it.as_bytes().starts_with(b"\xC1\x10\x02k1"));
        // All but the marks and the counters.
        assert_eq!(encrypted.count(), stored.len() - 5);
        for _ in 0..2 {
            let message = tour::next(&mut messages).unwrap();
            assert!(matches!(message, Event::Message { payload, .. } if hides(payload.as_bytes())));
        }
    }
}

#[tokio::test]
async fn equal_values_are_stored_as_different_bytes() {
    let (kv, raw) = opened(usual()).await;
    kv.set("a", SECRET).await.unwrap();
    let first = raw.get("a").await.unwrap();
    kv.set("a", SECRET).await.unwrap();
    assert_ne!(raw.get("a").await.unwrap(), first);
}

#[tokio::test]
async fn case_141_damage_anywhere_is_a_codec_error() {
    let (kv, raw) = opened(usual().key("k3", secret(3))).await;
    kv.set("a", SECRET).await.unwrap();
    let good = raw.get("a").await.unwrap().unwrap();
    let good = good.as_bytes();
    let check = async |bad: &[u8]| {
        raw.set("a", bad).await.unwrap();
        let error = is_codec(kv.get("a").await);
        assert_eq!((error.operation(), error.key()), (Some("get"), Some("a")));
        assert_eq!(error.outcome(), Outcome::Final);
    };
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        check(&bad).await;
    }
    for end in 0..good.len() {
        check(&good[..end]).await;
    }
    check(&[good, b"x"].concat()).await;
    raw.set("a", good).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), Some(SECRET.into()));
}

#[tokio::test]
async fn case_141_a_value_opens_in_its_own_place_only() {
    let (kv, raw) = opened(usual()).await;
    kv.set("a", SECRET).await.unwrap();
    kv.hset_many("h", [("f", SECRET), ("", SECRET)])
        .await
        .unwrap();
    let string = raw.get("a").await.unwrap().unwrap();
    let field = raw.hget("h", "f").await.unwrap().unwrap();
    let unnamed = raw.hget("h", "").await.unwrap().unwrap();

    raw.set("b", &string).await.unwrap();
    is_codec(kv.get("b").await);
    is_codec(kv.get_many(["a", "b"]).await);
    is_codec(kv.set_with("b", "x", kv_core::When::IfAbsent).await);
    raw.hset("h", "g", &field).await.unwrap();
    is_codec(kv.hget("h", "g").await);
    is_codec(kv.hgetall("h").await);
    raw.hset("other", "f", &field).await.unwrap();
    is_codec(kv.hget("other", "f").await);
    // Neither between a string and a hash, be the field empty.
    raw.delete("h").await.unwrap();
    raw.set("h", &unnamed).await.unwrap();
    is_codec(kv.get("h").await);
    raw.hset("a2", "", &string).await.unwrap();
    is_codec(kv.hget("a2", "").await);
    // What one key and field are together is no other key and field.
    let (at, moved) = (tour::key("ab"), tour::key("a"));
    let ring = KeyRing::new(&usual()).unwrap();
    let place = |key, field| At {
        key: Some(key),
        field,
        is_message: false,
        is_change: false,
    };
    let sealed = ring.seal(place(&at, Some(b"c")), SECRET.into());
    let (_, sealed) = sealed.unwrap();
    let refused = ring.open(place(&moved, Some(b"bc")), sealed.clone());
    is_codec(refused.map_err(Error::from));
    assert!(ring.open(place(&at, Some(b"c")), sealed).is_ok());
}

#[tokio::test]
async fn case_141_a_value_stays_with_its_tenant_wherever_the_layer_stands() {
    let store = MemoryStore::default();
    let raw = tour::open(&store, []).await;
    let inside = tour::open(&store, [layer(usual()), resolver()]).await;
    let outside = tour::open(&store, [resolver(), layer(usual())]).await;
    let [ann, bob] = ["ann", "bob"].map(Context::tenant);
    for (writer, reader) in [(&inside, &outside), (&outside, &inside)] {
        let (writer, reader) = (writer.bind(ann.clone()), reader.bind(ann.clone()));
        writer.set("{x}a", SECRET).await.unwrap();
        writer.hset("h", "f", SECRET).await.unwrap();
        assert_eq!(reader.get("{x}a").await.unwrap(), Some(SECRET.into()));
        assert_eq!(reader.hget("h", "f").await.unwrap(), Some(SECRET.into()));

        let physical = writer.resolve("{x}a").unwrap();
        let stolen = raw.get(physical.as_bytes()).await.unwrap().unwrap();
        for thief in [&inside, &outside] {
            let thief = thief.bind(bob.clone());
            let physical = thief.resolve("{x}a").unwrap();
            raw.set(physical.as_bytes(), &stolen).await.unwrap();
            is_codec(thief.get("{x}a").await);
        }
    }
    let mut changes = outside
        .bind(ann.clone())
        .watch(Watch::Keys(vec![tour::key("{x}a")]))
        .await
        .unwrap();
    inside.bind(ann).set("{x}a", "new").await.unwrap();
    let told = tour::next(&mut changes).unwrap();
    assert!(matches!(told, Event::Put { value: Some(value), .. } if value == "new"));
}

#[tokio::test]
async fn case_141_a_rotation_reads_with_all_keys_and_writes_with_the_new_one() {
    let store = MemoryStore::default();
    let raw = tour::open(&store, []).await;
    let old = through(&store, usual()).await;
    // First every reader learns the new key, then writers use it, then the old one goes.
    let learning = through(&store, usual().key("k2", secret(2))).await;
    let using = through(
        &store,
        EncryptConfig::new("k2", secret(2)).key("k1", secret(1)),
    )
    .await;
    let done = through(&store, EncryptConfig::new("k2", secret(2))).await;

    old.set("a", SECRET).await.unwrap();
    for kv in [&old, &learning, &using] {
        assert_eq!(kv.get("a").await.unwrap(), Some(SECRET.into()));
    }
    using.set("b", SECRET).await.unwrap();
    let stored = raw.get("b").await.unwrap().unwrap();
    assert!(stored.as_bytes().starts_with(b"\xC1\x10\x02k2"));
    for kv in [&learning, &using, &done] {
        assert_eq!(kv.get("b").await.unwrap(), Some(SECRET.into()));
    }
    let error = is_codec(old.get("b").await);
    assert_eq!(error.context("key"), Some("k2"));
    assert_eq!(error.context("known"), Some("k1"));
    is_codec(done.get("a").await);
    // Another key under a name that was used is found out.
    let wrong = through(&store, EncryptConfig::new("k1", secret(9))).await;
    is_codec(wrong.get("a").await);
}

#[tokio::test]
async fn case_141_plain_values_pass_in_that_mode_only() {
    let store = MemoryStore::default();
    let raw = tour::open(&store, []).await;
    let strict = through(&store, usual()).await;
    let lenient = through(&store, usual().plain_values(PlainValues::Read)).await;
    raw.set("a", "from before").await.unwrap();
    let error = is_codec(strict.get("a").await);
    assert!(
        error.to_string().contains("plain_values = \"read\""),
        "{error}"
    );
    assert_eq!(lenient.get("a").await.unwrap(), Some("from before".into()));
    lenient.set("a", "anew").await.unwrap();
    assert_eq!(strict.get("a").await.unwrap(), Some("anew".into()));
    // A frame is a frame in both.
    raw.set("a", &b"\xC1\x10\x02k1 too short"[..])
        .await
        .unwrap();
    is_codec(lenient.get("a").await);
    // What another layer of this crate made is plain to this one.
    raw.set("a", &b"\xC1\x00packed"[..]).await.unwrap();
    is_codec(strict.get("a").await);
    assert!(lenient.get("a").await.is_ok());
}

#[tokio::test]
async fn case_141_counters_are_refused_or_plain() {
    let (strict, raw) = opened(usual()).await;
    let left = strict.capabilities();
    let all = raw.capabilities();
    let lost: Vec<_> = all.can.iter().filter(|&it| !left.has(it)).collect();
    assert_eq!(
        lost,
        [
            Capability::CompareValue,
            Capability::Counters,
            Capability::HashCounters
        ]
    );
    let refused = strict.increment("n", 1).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let refused = strict.hincrement("h", "n", 1).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    strict.set("pin", "1234").await.unwrap();
    let stored = raw.get("pin").await.unwrap().unwrap();
    assert!(stored.as_bytes().len() > 4 && stored != "1234");
    raw.set("pin", "1234").await.unwrap();
    is_codec(strict.get("pin").await);

    let (kv, raw) = opened(usual().integers(Integers::Plain)).await;
    kv.set("n", "41").await.unwrap();
    assert_eq!(kv.increment("n", 1).await.unwrap(), 42);
    assert_eq!(kv.get("n").await.unwrap(), Some("42".into()));
    assert_eq!(kv.hincrement("h", "n", 2).await.unwrap(), 2);
    assert_eq!(kv.hget("h", "n").await.unwrap(), Some("2".into()));
    kv.set("n", "0042").await.unwrap();
    assert_ne!(raw.get("n").await.unwrap(), Some("0042".into()));
}

#[tokio::test]
async fn what_was_applied_although_its_answer_cannot_be_read_is_in_doubt() {
    let (kv, raw) = opened(usual()).await;
    raw.set("{t}a", "forged").await.unwrap();
    kv.set("{t}b", SECRET).await.unwrap();
    let read = |name| {
        kv_core::Txn::new().then(kv_core::Read::Get {
            key: tour::key(name),
        })
    };
    let mut answers = kv.commit([read("{t}a"), read("{t}b")]).await.unwrap();
    let good = answers.pop().unwrap().unwrap().value(0).unwrap();
    assert_eq!(good, Some(SECRET.into()), "beside a bad one");
    let error = is_codec(answers.pop().unwrap());
    assert_eq!(error.outcome(), Outcome::Unknown);
}

/// The claim must not be lost with the body: it says who has the member, and nobody else does.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_an_error_of_its_own_and_the_move_stands() {
    let (kv, raw) = opened(usual()).await;
    let (due, lease) = (tour::key("{q}:due"), tour::key("{q}:lease"));
    let (bodies, more) = (tour::key("{q}:bodies"), tour::key("{q}:more"));
    kv.hset_many(&bodies, [("a", SECRET), ("b", SECRET)])
        .await
        .unwrap();
    raw.hset(&bodies, "b", "forged").await.unwrap();
    kv.hset(&more, "b", SECRET).await.unwrap();
    kv.zadd(&due, [("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    let claim = ZMove::new(9)
        .from_counted(&due, 10, tour::key("{q}:tally"))
        .to(&lease, 20)
        .with(&bodies, Fate::Keep)
        .with(&more, Fate::Keep);
    let moved = kv.zmove(claim).await.unwrap();
    let claimed: Vec<_> = moved.members.iter().map(|it| &it.member).collect();
    assert_eq!(claimed, ["a", "b", "c"]);
    assert!(moved.members.iter().all(|it| it.tally == Some(1)));
    let [a, b, c] = &moved.members[..] else {
        panic!("{moved:?}");
    };
    assert_eq!(a.all_bodies().unwrap(), [Some(SECRET.into()), None]);
    assert_eq!(c.all_bodies().unwrap(), [None, None]);
    let [Err(forged), Ok(Some(good))] = &b.bodies[..] else {
        panic!("{b:?}");
    };
    assert_eq!(*good, SECRET);
    let error = is_codec::<()>(Err(forged.duplicate()));
    assert_eq!(error.operation(), Some("zmove"));
    assert_eq!(error.key(), Some("{q}:bodies"));
    // The caller knows what became of it, so nothing is in doubt.
    assert_eq!(error.outcome(), Outcome::Final);
    is_codec(b.all_bodies());
    assert_eq!(kv.zcount(&lease, ScoreRange::ALL).await.unwrap(), 3);
}

/// Who can write to the store could otherwise make an old message a value, or a value a message.
#[tokio::test]
async fn a_message_is_no_value_though_channel_and_key_have_one_name() {
    let (kv, raw) = opened(usual()).await;
    let both = || Watch::Channels(vec![tour::key("a")]);
    let mut sealed = raw.watch(both()).await.unwrap();
    let mut opened = kv.watch(both()).await.unwrap();
    kv.notify("a", SECRET).await.unwrap();
    tour::next(&mut opened).unwrap();
    let Event::Message { payload, .. } = tour::next(&mut sealed).unwrap() else {
        panic!("no message");
    };
    raw.set("a", &payload).await.unwrap();
    is_codec(kv.get("a").await);
    kv.set("a", SECRET).await.unwrap();
    let stored = raw.get("a").await.unwrap().unwrap();
    raw.notify("a", &stored).await.unwrap();
    is_codec(tour::next(&mut opened));
}

#[tokio::test]
async fn a_change_that_cannot_be_made_out_is_told_without_its_value() {
    let (kv, raw) = opened(usual()).await;
    let mut changes = kv.watch(Watch::Keys(vec![tour::key("a")])).await.unwrap();
    raw.set("a", "a mark").await.unwrap();
    let key = tour::key("a");
    assert_eq!(
        tour::next(&mut changes).unwrap(),
        Event::Put { key, value: None }
    );
    let mut messages = kv
        .watch(Watch::Channels(vec![tour::key("c")]))
        .await
        .unwrap();
    raw.notify("c", "forged").await.unwrap();
    assert_eq!(
        is_codec(tour::next(&mut messages)).operation(),
        Some("watch")
    );
    kv.notify("c", SECRET).await.unwrap();
    let told = tour::next(&mut messages).unwrap();
    assert!(matches!(told, Event::Message { payload, .. } if payload == SECRET));
}

#[tokio::test]
async fn a_value_may_be_as_long_as_the_frame_leaves_room_for() {
    use std::num::NonZeroUsize;
    let config = kv_memory::MemoryConfig::default();
    let store = MemoryStore::new(config.max_value_bytes(NonZeroUsize::new(1000).unwrap()));
    let kv = through(&store, usual()).await;
    let most = kv.capabilities().max_value_bytes;
    assert_eq!(most, 1000 - 43 - 2);
    kv.set("a", vec![0; most]).await.unwrap();
    let items = [("b", vec![0; most]), ("c", vec![0; most + 1])];
    let answers = kv
        .set_many_with(items, SetOptions::default())
        .await
        .unwrap();
    assert!(matches!(&answers[..], [Ok(true), Err(error)] if error.kind() == ErrorKind::TooLarge));
}

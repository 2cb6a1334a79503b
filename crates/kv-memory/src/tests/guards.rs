use super::{
    commit::{key, set},
    fails, fixture,
};
use crate::MemoryConfig;
use kv_core::{ErrorKind, Guard, Read, RelativeRange, RelativeScore, Txn};

#[tokio::test]
async fn guards_are_judged_in_order_until_one_decides() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set(key("s"), "x").await.unwrap();
    kv.hset(key("h"), "f", "5").await.unwrap();
    kv.zadd(key("z"), [("m", 1), ("n", 2)]).await.unwrap();
    let holds = async |guard: Guard| {
        let txn = Txn::new().when(guard).then(set("w", "v"));
        Ok::<_, kv_core::Error>(kv.commit_one(txn).await?.applied)
    };
    let below = |limit| Guard::count_below(key("z"), RelativeRange::ALL, limit);
    let part = |limit| {
        Guard::count_below(
            key("z"),
            RelativeRange::new(RelativeScore::from(1), RelativeScore::from(1)),
            limit,
        )
    };
    let field_at_most = |limit| Guard::field_at_most(key("h"), "f", limit);
    let no_value = |name| Guard::ValueIs {
        key: key(name),
        mark: None,
    };
    let cases = [
        (Guard::exists(key("h")), true),
        (Guard::absent(key("z")), false),
        (Guard::value_is(key("s"), "x"), true),
        (Guard::value_is(key("h"), "x"), false),
        (no_value("h"), false),
        (no_value("s"), false),
        (no_value("none"), true),
        (Guard::field_absent(key("h"), "g"), true),
        (Guard::field_is(key("h"), "f", "5"), true),
        (Guard::field_exists(key("none"), "f"), false),
        (Guard::score_is(key("z"), "m", 1.into()), true),
        (Guard::member_absent(key("none"), "m"), true),
        (
            Guard::score_within(key("z"), "m", RelativeRange::up_to(RelativeScore::NOW)),
            true,
        ),
        (
            Guard::score_within(key("z"), "o", RelativeRange::ALL),
            false,
        ),
        (below(3), true),
        (below(2), false),
        (part(2), true),
        (part(1), false),
        (Guard::count_below(key("none"), RelativeRange::ALL, 1), true),
        (
            Guard::count_below(key("none"), RelativeRange::ALL, 0),
            false,
        ),
        (field_at_most(5), true),
        (field_at_most(4), false),
        (Guard::at_most(key("none"), -1), false),
    ];
    for (guard, held) in cases {
        assert_eq!(holds(guard.clone()).await.unwrap(), held, "{guard:?}");
    }
    fails(
        holds(Guard::at_most(key("s"), 1)).await,
        ErrorKind::NotAnInteger,
        "{g}s",
    );
    let wrong = Guard::field_exists(key("s"), "f");
    fails(holds(wrong.clone()).await, ErrorKind::WrongType, "{g}s");
    let late = Txn::new().when(Guard::absent(key("s"))).when(wrong);
    let read = late.otherwise(Read::GetMark { key: key("s") });
    let mut reply = kv.commit_one(read).await.unwrap();
    assert!(!reply.applied);
    assert_eq!(reply.mark(0).unwrap(), Some("x".into()));
}

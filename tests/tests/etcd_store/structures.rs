//! What is below a string, what a structure leaves behind, and that records stay as they are.

use crate::site::{Site, for_span, lifetime, millis, secs};
use kv_core::{
    ErrorKind, Key, KeyGroup, Kv, Op, RelativeScore, SetOptions, TimeToLive, Ttl, Txn, Value, ZMove,
};
use kv_tests::patience::until;

fn key(name: &str) -> Key {
    KeyGroup::new("g").unwrap().key(name)
}

/// As the driver knows it.
fn raw(name: &str) -> String {
    let key = key(name);
    String::from_utf8(key.as_bytes().to_vec()).unwrap()
}

async fn fill(kv: &Kv) {
    let fields = ["a", "b", "c"].map(|field| (field, "v"));
    kv.hset_many(key("h"), fields).await.unwrap();
    let members = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    kv.zadd(key("z"), members).await.unwrap();
}

#[tokio::test]
async fn a_string_hides_a_structure_and_leaves_nothing_when_it_is_deleted() {
    let site = Site::start().await;
    let kv = &site.kv;
    for round in 0..3 {
        for name in ["h", "z"] {
            fill(kv).await;
            kv.set(key(name), "v").await.unwrap();
            assert_eq!(kv.get(key(name)).await.unwrap(), Some("v".into()));
            let errors = [
                kv.hlen(key(name)).await.unwrap_err(),
                kv.zcount(key(name), (0, 1000)).await.unwrap_err(),
                kv.hset(key(name), "x", "v").await.unwrap_err(),
                kv.zadd(key(name), [("x", 1.0)]).await.unwrap_err(),
            ];
            assert!(errors.iter().all(|it| it.kind() == ErrorKind::WrongType));
            let deleted = match round {
                0 => kv.delete(key(name)).await.unwrap(),
                1 => kv.delete_many([key("h"), key("z")]).await.unwrap() == 2,
                _ => {
                    let delete = Op::Delete { key: key(name) };
                    kv.commit_one(Txn::new().then(delete))
                        .await
                        .unwrap()
                        .applied
                }
            };
            assert!(deleted);
            assert!(!kv.exists(key(name)).await.unwrap());
            assert!(site.raw.elements(&raw(name)).await.is_empty());
            assert!(site.raw.record(&raw(name)).await.is_none());
            assert!(site.raw.get(raw(name)).await.is_none());
        }
    }
}

/// Whichever way it is written: what it hid must not come to light.
#[tokio::test]
async fn a_string_with_a_deadline_over_a_structure_leaves_nothing_when_it_ends() {
    let site = Site::start().await;
    let kv = &site.kv;
    let short = Ttl::In(lifetime(millis(300)));
    let held = Ttl::Held(lifetime(millis(300)));
    for round in 0..6 {
        fill(kv).await;
        for name in ["h", "z"] {
            let name = key(name);
            match round {
                0 => drop(
                    kv.set_with(&name, "v", for_span(millis(300)))
                        .await
                        .unwrap(),
                ),
                1 => drop(
                    kv.set_with(&name, "v", SetOptions::from(held))
                        .await
                        .unwrap(),
                ),
                2 => {
                    let items = [(name.clone(), "v")];
                    let set = kv.set_many_with(items, SetOptions::from(short)).await;
                    assert!(set.unwrap().remove(0).unwrap());
                }
                3 => {
                    let (key, content) = (name.clone(), Value::from("v").into());
                    let set = Op::Set {
                        key,
                        content,
                        ttl: short,
                    };
                    kv.commit_one(Txn::new().then(set)).await.unwrap();
                }
                4 => {
                    kv.set(&name, "v").await.unwrap();
                    assert!(kv.expire(&name, lifetime(millis(300))).await.unwrap());
                }
                _ => {
                    assert!(kv.expire(&name, lifetime(millis(300))).await.unwrap());
                    let keep = SetOptions::from(Ttl::Keep);
                    kv.set_with(&name, "v", keep).await.unwrap();
                }
            }
            assert_eq!(kv.get(&name).await.unwrap(), Some("v".into()));
        }
        until("the strings end", async || {
            kv.get_many([key("h"), key("z")]).await.unwrap() == [None, None]
        })
        .await;
        for name in ["h", "z"] {
            assert!(!kv.exists(key(name)).await.unwrap(), "round {round}");
            let left = kv.time_to_live(key(name)).await.unwrap();
            assert_eq!(left, TimeToLive::Missing, "round {round}");
        }
        assert_eq!(kv.hlen(key("h")).await.unwrap(), 0, "round {round}");
        kv.hset(key("h"), "new", "w").await.unwrap();
        let all = kv.hgetall(key("h")).await.unwrap();
        assert_eq!(all, [("new".into(), "w".into())], "round {round}");
        kv.zadd(key("z"), [("new", 0.0)]).await.unwrap();
        assert_eq!(
            kv.zcount(key("z"), (0, 1000)).await.unwrap(),
            1,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_record_stays_as_it_is_whatever_happens_to_elements() {
    let site = Site::start().await;
    let kv = &site.kv;
    for expiring in [false, true] {
        fill(kv).await;
        let names = ["h", "z"];
        if expiring {
            for name in names {
                assert!(kv.expire(key(name), lifetime(secs(60))).await.unwrap());
            }
        }
        let mut before = Vec::new();
        for name in names {
            before.push(site.raw.record(&raw(name)).await.unwrap().mod_revision());
        }
        kv.hset(key("h"), "d", "v").await.unwrap();
        kv.hset(key("h"), "a", "w").await.unwrap();
        kv.hincrement(key("h"), "n", 1).await.unwrap();
        kv.hdel(key("h"), ["a", "missing"]).await.unwrap();
        kv.zadd(key("z"), [("a", 5.0), ("d", 4.0)]).await.unwrap();
        kv.zrem(key("z"), ["b"]).await.unwrap();
        kv.zpopbyscore_many(key("z"), 3.0, 1).await.unwrap();
        let step = ZMove::new(1)
            .from(key("z"), RelativeScore::NOW)
            .to(key("z"), RelativeScore::NOW);
        assert_eq!(kv.zmove(step).await.unwrap().members.len(), 1);
        let fields = vec![("e".into(), Value::from("v").into())];
        let (key, h) = (key("h"), Txn::new());
        let set = Op::HSet { key, fields };
        assert!(kv.commit_one(h.then(set)).await.unwrap().applied);
        for (name, before) in names.iter().zip(before) {
            let record = site.raw.record(&raw(name)).await.unwrap();
            assert_eq!(record.mod_revision(), before, "{name} {expiring}");
            for element in site.raw.elements(&raw(name)).await {
                assert_eq!(element.lease(), record.lease(), "{name} {expiring}");
            }
        }
    }
}

/// One that is created again must not inherit the deadline.
#[tokio::test]
async fn a_drained_structure_loses_its_record_and_a_new_one_lives_for_ever() {
    let site = Site::start().await;
    let kv = &site.kv;
    for round in 0..6 {
        fill(kv).await;
        let name = if round < 2 { "h" } else { "z" };
        assert!(kv.expire(key(name), lifetime(secs(60))).await.unwrap());
        match round {
            0 => assert_eq!(kv.hdel(key("h"), ["a", "b", "c"]).await.unwrap(), 3),
            1 => {
                for field in ["a", "b", "c"] {
                    let fields = vec![field.into()];
                    let (key, delete) = (key("h"), Txn::new());
                    let delete = delete.then(Op::HDel { key, fields });
                    assert!(kv.commit_one(delete).await.unwrap().applied);
                }
            }
            2 => assert_eq!(kv.zrem(key("z"), ["a", "b", "c"]).await.unwrap(), 3),
            3 => {
                let popped = kv.zpopbyscore_many(key("z"), 9.0, 3).await.unwrap();
                assert_eq!(popped.len(), 3);
            }
            4 => {
                let step = ZMove::new(3).from(key("z"), RelativeScore::NOW);
                let step = step.to(key("elsewhere"), RelativeScore::NOW);
                assert_eq!(kv.zmove(step).await.unwrap().members.len(), 3);
            }
            _ => {
                for member in ["a", "b", "c"] {
                    assert_eq!(kv.zrem(key("z"), [member]).await.unwrap(), 1);
                }
            }
        }
        assert!(!kv.exists(key(name)).await.unwrap(), "round {round}");
        let record = site.raw.record(&raw(name)).await;
        assert!(record.is_none(), "round {round}: {record:?}");
        fill(kv).await;
        let left = kv.time_to_live(key(name)).await.unwrap();
        assert_eq!(left, TimeToLive::NoExpiry, "round {round}");
        assert_eq!(site.raw.record(&raw(name)).await.unwrap().lease(), 0);
        for element in site.raw.elements(&raw(name)).await {
            assert_eq!(element.lease(), 0, "round {round}");
        }
    }
}

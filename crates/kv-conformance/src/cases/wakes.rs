//! J: what wakes a watcher.

use super::{cases, ops};
use crate::{
    bench::{Bench, Told},
    failure::Verdict,
};
use kv_core::{Capability, Expiry, RelativeScore, Txn, Watch, When, ZMove};
use std::time::Duration;

cases! {
    'J' 275 "every command that changes a key wakes its watchers" [Strings, Watch] every_change;
    'J' 276 "transactions and moves wake the watchers of every key they change" [Strings, Hashes, SortedSets, Commit, Move, Watch] atomic_changes;
}

async fn every_change(b: Bench) -> Verdict {
    let [s, n, h, z] = ["s", "n", "h", "z"].map(|name| b.key(format!("w/{name}")));
    let all = [&s, &n, &h, &z].map(|key| key.clone());
    let kv = &b.kv;
    let watches = [
        Watch::Keys(all.to_vec()),
        Watch::Prefixes(b.prefix("w/").into()),
    ];
    for watch in watches {
        let on = format!("{watch:?}");
        let mut listener = b.listen(watch).await?;
        kv.set(&s, "1").await?;
        listener
            .hears(&format!("set on {on}"), &s, Told::Holds("1"))
            .await?;
        kv.set_many([(&s, "2")]).await?;
        listener.hears("set_many", &s, Told::Holds("2")).await?;
        if b.has(Capability::ConditionalSet) {
            kv.set_with(&s, "3", When::IfPresent).await?;
            listener
                .hears("a conditional set", &s, Told::Holds("3"))
                .await?;
        }
        if b.has(Capability::Counters) {
            kv.increment(&n, 5).await?;
            listener.hears("increment", &n, Told::Holds("5")).await?;
        }
        if b.has(Capability::Hashes) {
            kv.hset(&h, "f", "1").await?;
            listener
                .hears("hset of a new hash", &h, Told::Written)
                .await?;
            kv.hset(&h, "g", "1").await?;
            listener.hears("hset", &h, Told::Written).await?;
            if b.has(Capability::HashCounters) {
                kv.hincrement(&h, "g", 2).await?;
                listener.hears("hincrement", &h, Told::Written).await?;
            }
            kv.hdel(&h, ["f"]).await?;
            listener.hears("hdel", &h, Told::Written).await?;
            kv.hdel(&h, ["g"]).await?;
            listener
                .hears("hdel of the last field", &h, Told::Gone)
                .await?;
        }
        if b.has(Capability::SortedSets) {
            kv.zadd(&z, [("a", 1), ("b", 2), ("c", 3)]).await?;
            listener
                .hears("zadd of a new set", &z, Told::Written)
                .await?;
            kv.zadd(&z, [("a", 5)]).await?;
            listener
                .hears("zadd of a member that is there", &z, Told::Written)
                .await?;
            kv.zrem(&z, ["a"]).await?;
            listener.hears("zrem", &z, Told::Written).await?;
            kv.zpopbyscore(&z, 9).await?;
            listener.hears("a pop", &z, Told::Written).await?;
            kv.zpopbyscore(&z, 9).await?;
            listener
                .hears("a pop of the last member", &z, Told::Gone)
                .await?;
        }
        if b.has(Capability::Expiry) {
            let past = kv_core::Timestamp::from_micros(1);
            kv.expire(&s, Expiry::At(past)).await?;
            listener
                .hears("an expiry in the past", &s, Told::Gone)
                .await?;
            kv.set_for(&s, "4", Duration::from_secs(900)).await?;
            listener
                .hears("a set with a ttl", &s, Told::Holds("4"))
                .await?;
        }
        if b.has(Capability::Scan) {
            kv.set(&s, "5").await?;
            listener
                .hears("a set before a clear", &s, Told::Holds("5"))
                .await?;
            kv.clear_prefixes(b.prefix("w/")).await?;
            listener.hears("a clear", &s, Told::Gone).await?;
        }
        kv.delete_many([&s, &n, &h, &z]).await?;
    }
    Ok(())
}

async fn atomic_changes(b: Bench) -> Verdict {
    let key = |name: &str| b.grouped("g", name);
    let [s, h, z, lease] = [":s", ":h", ":z", ":lease"].map(key);
    let all = [&s, &h, &z, &lease].map(|key| key.clone());
    let within = key(":");
    let watches = [
        Watch::Keys(all.to_vec()),
        Watch::Prefixes(kv_core::Prefixes::from(within.as_bytes())),
    ];
    for watch in watches {
        let mut listener = b.listen(watch).await?;
        // Told one after another, in whatever order; each time all of them change.
        for (round, key) in [(1, &s), (2, &h), (3, &z)] {
            let text = round.to_string();
            let fill = Txn::new()
                .then(ops::set(&s, &text))
                .then(ops::hset(&h, [("a", &text)]))
                .then(ops::zadd(&z, [("a", round), ("b", round + 1)]));
            b.kv.commit_one(fill).await?;
            listener.hears("a transaction", key, Told::Written).await?;
        }
        for key in [&z, &lease] {
            let step = ZMove::new(1)
                .from(&z, 9)
                .to(&lease, RelativeScore::NOW)
                .with(&h, kv_core::Fate::Keep);
            b.kv.zmove(step).await?;
            if *key == z {
                listener.hears("a move from it", key, Told::Written).await?;
            } else {
                let news = [(key, Told::Written), (&z, Told::Gone)];
                listener
                    .hears_all("a move of its last member", &news)
                    .await?;
            }
        }
        if b.has(Capability::Expiry) {
            b.kv.expire(&h, Duration::from_secs(900)).await?;
            let mut listener = b.listen(Watch::Keys(vec![h.clone()])).await?;
            let persist = Txn::new().then(ops::persist(&h));
            b.kv.commit_one(persist).await?;
            let what = "a deadline taken off by a transaction";
            listener.hears(what, &h, Told::Written).await?;
        }
        let dropping = ZMove::new(1)
            .from(&lease, RelativeScore::NOW)
            .with(&h, kv_core::Fate::Drop);
        b.kv.zmove(dropping).await?;
        let news = [(&h, Told::Gone), (&lease, Told::Written)];
        let what = "a move that drops the last field";
        listener.hears_all(what, &news).await?;
        let clean = [&s, &h, &lease]
            .into_iter()
            .fold(Txn::new(), |txn, key| txn.then(ops::delete(key)));
        b.kv.commit_one(clean).await?;
        for key in [&s, &h, &lease] {
            let mut listener = b.listen(Watch::Keys(vec![key.clone()])).await?;
            b.kv.commit_one(Txn::new().then(ops::set(key, "x"))).await?;
            listener.hears("a write", key, Told::Written).await?;
            b.kv.commit_one(Txn::new().then(ops::delete(key))).await?;
            listener.hears("a delete", key, Told::Gone).await?;
        }
    }
    Ok(())
}

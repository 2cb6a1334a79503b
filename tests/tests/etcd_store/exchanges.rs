//! How many exchanges with the servers commands take.

use crate::site::Site;
use kv_core::{
    Fate, Field, Guard, Key, Kv, Lifetime, Mark, Member, Moved, Op, OpReply, RelativeScore, Score,
    SetOptions, Ttl, Txn, When, ZMove,
};
use std::time::Duration;

const JOBS: u64 = 40;

/// A site, and how many exchanges about keys its server has begun.
async fn counted<T>(site: &Site, what: impl Future<Output = T>) -> (T, u64) {
    let before = site.exchanges().await;
    let answer = what.await;
    (answer, site.exchanges().await - before)
}

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

#[tokio::test]
async fn a_string_is_one_exchange() {
    let site = Site::start().await;
    let kv = &site.kv;
    assert_eq!(counted(&site, kv.set("k", "v")).await.1, 1);
    assert_eq!(counted(&site, kv.get("k")).await.1, 1);
    assert_eq!(counted(&site, kv.exists("k")).await.1, 1);
    assert_eq!(counted(&site, kv.delete("k")).await.1, 1);
    let minute = Duration::from_secs(60);
    // The first one grants the lease, which is no exchange about keys.
    assert_eq!(counted(&site, kv.set_for("k", "v", minute)).await.1, 1);
    assert_eq!(counted(&site, kv.set_for("k", "w", minute)).await.1, 1);
}

#[tokio::test]
async fn a_guard_on_what_we_wrote_is_no_exchange() {
    let site = Site::start().await;
    let kv = &site.kv;
    kv.set("k", "0").await.unwrap();
    for count in 1..=3_u32 {
        let (before, after) = ((count - 1).to_string(), count.to_string());
        let txn = Txn::new()
            .when(Guard::value_is(key("k"), before))
            .then(Op::Set {
                key: key("k"),
                content: Mark::from(after).into(),
                ttl: Ttl::Unset,
            });
        let (reply, exchanges) = counted(&site, kv.commit_one(txn)).await;
        assert!(reply.unwrap().applied);
        assert_eq!(exchanges, 1);
    }
    assert_eq!(counted(&site, kv.increment("k", 4)).await.1, 1);

    // What somebody else wrote is found out.
    site.raw.put("k", "other").await;
    let txn = Txn::new()
        .when(Guard::value_is(key("k"), "7"))
        .then(Op::Delete { key: key("k") });
    assert!(!kv.commit_one(txn).await.unwrap().applied);
    assert_eq!(kv.get("k").await.unwrap(), Some("other".into()));
}

#[tokio::test]
async fn a_lock_is_taken_and_given_back_in_two_exchanges() {
    let site = Site::start().await;
    let kv = &site.kv;
    let held = Ttl::Held(Lifetime::new(Duration::from_secs(60)).unwrap());
    for nonce in ["a", "b"] {
        let (_, exchanges) = counted(&site, async {
            let options = SetOptions::from(held).when(When::IfAbsent);
            let taken = kv.set_with("lock", nonce, options).await.unwrap();
            assert!(taken.applied);
            let release = Txn::new().then(Op::DeleteIf {
                key: key("lock"),
                mark: nonce.into(),
            });
            let released = kv.commit_one(release).await.unwrap();
            assert_eq!(released.answers, [OpReply::Flag(true)]);
        })
        .await;
        assert_eq!(exchanges, 2);
    }
}

/// However many are queued: three for a claim, one for all that are done.
#[tokio::test]
async fn forty_jobs_are_claimed_in_three_exchanges_and_done_in_one() {
    let site = Site::start().await;
    let kv = &site.kv;
    for queued in [JOBS, 3_000] {
        let jobs: Vec<_> = (0..queued).map(|it| format!("job:{it:05}")).collect();
        for (at, jobs) in jobs.chunks(1_000).enumerate() {
            let due = |it: &String| (it.clone(), Score::from(at as u32));
            kv.zadd("{q}:ready", jobs.iter().map(due).collect::<Vec<_>>())
                .await
                .unwrap();
            let bodies: Vec<_> = jobs.iter().map(|it| (it.clone(), "body")).collect();
            kv.hset_many("{q}:body", bodies).await.unwrap();
        }
        // The first claim and the first end of jobs learn what is there.
        end(kv, &claim(kv).await).await;
        for _ in 0..(queued / JOBS - 1).min(8) {
            let (claimed, exchanges) = counted(&site, claim(kv)).await;
            assert_eq!(claimed.len() as u64, JOBS);
            assert_eq!(exchanges, 3, "a claim of {queued}");
            let (_, exchanges) = counted(&site, end(kv, &claimed)).await;
            assert_eq!(exchanges, 1, "the end of forty");
        }
    }
}

async fn claim(kv: &Kv) -> Vec<Moved> {
    let step = ZMove::new(JOBS as u32)
        .from_counted(key("{q}:ready"), RelativeScore::NOW, key("{q}:tries"))
        .to(
            key("{q}:lease"),
            RelativeScore::after(Duration::from_secs(60)),
        )
        .with(key("{q}:body"), Fate::Keep);
    kv.zmove(step).await.unwrap().members
}

async fn end(kv: &Kv, claimed: &[Moved]) {
    let txns = claimed.iter().map(|it| {
        let job = it.member.as_bytes();
        let gone = |name: &str| Op::HDel {
            key: key(name),
            fields: vec![Field::from(job.to_vec())],
        };
        let tries = it.tally.unwrap().to_string();
        Txn::new()
            .when(Guard::score_is(
                key("{q}:lease"),
                Member::from(job.to_vec()),
                it.after.unwrap(),
            ))
            .when(Guard::field_is(
                key("{q}:tries"),
                Field::from(job.to_vec()),
                tries,
            ))
            .then(Op::ZRem {
                key: key("{q}:lease"),
                members: vec![job.to_vec().into()],
            })
            .then(gone("{q}:tries"))
            .then(gone("{q}:body"))
    });
    for reply in kv.commit(txns.collect::<Vec<_>>()).await.unwrap() {
        assert!(reply.unwrap().applied);
    }
}

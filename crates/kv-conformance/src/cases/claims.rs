//! G: members that are claimed, and acknowledged before their lease ends.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Fate, Guard, Key, Kv, Member, Moved, RelativeScore, ScoreRange, Txn, Value, ZMove};
use std::{collections::BTreeSet, time::Duration};

cases! {
    'G' 88 "a claimed member is hidden until its lease ends, then comes back" [SortedSets, Hashes, StoreTime, Commit, Move] leases;
    'I' 240 "sixteen claimers share a thousand members, each once" [SortedSets, Hashes, StoreTime, Move] each_once;
}

#[derive(Clone)]
struct Queue {
    due: Key,
    lease: Key,
    body: Key,
    tally: Key,
}

/// Whether two claims were made within a lease.
enum Outcome {
    Tried,
    TooSlow,
}

impl Queue {
    fn new(b: &Bench) -> Self {
        let key = |name| b.grouped("queue", name);
        Self {
            due: key(":due"),
            lease: key(":lease"),
            body: key(":body"),
            tally: key(":tally"),
        }
    }

    /// Lapsed leases first, then what is due.
    fn claim(&self, limit: u32, lease: Duration) -> ZMove {
        ZMove::new(limit)
            .from_counted(&self.lease, RelativeScore::NOW, &self.tally)
            .from_counted(&self.due, RelativeScore::NOW, &self.tally)
            .to(&self.lease, RelativeScore::after(lease))
            .with(&self.body, Fate::Keep)
    }

    /// Removes a claimed member, if the claim is still the last one.
    async fn ack(&self, kv: &Kv, claim: &Moved) -> Verdict<bool> {
        let field = claim.member.as_bytes();
        let mut txn = Txn::new();
        if let (Some(score), Some(tally)) = (claim.after, claim.tally) {
            txn = txn
                .when(Guard::score_is(&self.lease, &claim.member, score))
                .when(Guard::field_is(&self.tally, field, tally.to_string()));
        }
        let remove = kv_core::Op::ZRem {
            key: self.lease.clone(),
            members: vec![claim.member.clone()],
        };
        let forget = |key: &Key| kv_core::Op::HDel {
            key: key.clone(),
            fields: vec![field.into()],
        };
        let txn = txn
            .then(remove)
            .then(forget(&self.body))
            .then(forget(&self.tally));
        Ok(kv.commit_one(txn).await?.applied)
    }
}

async fn leases(b: Bench) -> Verdict {
    const SHORT: Duration = Duration::from_millis(200);
    let other = b.open().await?;
    let mut short = SHORT;
    // Where two claims do not fit a lease, nothing was tried: once more with a longer one.
    while let Outcome::TooSlow = lease(&b, &other, short).await? {
        short *= 4;
    }
    Ok(())
}

async fn lease(b: &Bench, other: &Kv, short: Duration) -> Verdict<Outcome> {
    let q = Queue::new(b);
    b.kv.zadd(&q.due, [("a", 1), ("b", 2)]).await?;
    let long = Duration::from_secs(600);
    b.kv.hset(&q.body, "a", "body a").await?;

    let first = b.kv.zmove(q.claim(1, short)).await?;
    let [held] = first.members.as_slice() else {
        return Err(crate::failure::Failure::new(format!(
            "the first claim got {first:?}"
        )));
    };
    ensure_eq!(held.member, Member::from("a"), "the first claim");
    ensure_eq!(
        held.all_bodies()?,
        [Some(Value::from("body a"))],
        "its body"
    );
    let end = first.now.saturating_add(short);

    // Until the lease ends only the other one is to be had, by whomever.
    let second = other.zmove(q.claim(9, long)).await?;
    if second.now >= end {
        b.kv.delete_many([&q.due, &q.lease, &q.body, &q.tally])
            .await?;
        return Ok(Outcome::TooSlow);
    }
    let taken: Vec<_> = second.members.iter().map(|it| &it.member).collect();
    ensure_eq!(
        taken,
        [&Member::from("b")],
        "what a second claimer gets meanwhile"
    );
    loop {
        let again = b.kv.zmove(q.claim(9, long)).await?;
        match again.members.as_slice() {
            [] => ensure!(
                again.now <= end,
                "a lapsed lease was not claimed, {:?} after its end",
                again.now.saturating_since(end)
            ),
            [it] if it.member == "a" => {
                ensure!(
                    again.now >= end,
                    "claimed again {:?} before the lease ends",
                    end.saturating_since(again.now)
                );
                ensure_eq!(
                    (it.source, it.tally),
                    (0, Some(2)),
                    "the source and tally of the second claim"
                );
                ensure_eq!(
                    q.ack(&b.kv, held).await?,
                    false,
                    "the ack of the first claim, which is late"
                );
                ensure_eq!(b.kv.hlen(&q.body).await?, 1, "bodies after a late ack");
                ensure_eq!(q.ack(&b.kv, it).await?, true, "the ack of the second claim");
                ensure_eq!(q.ack(&b.kv, it).await?, false, "the same ack again");
                break;
            }
            other => ensure!(false, "a claim while two are leased got {other:?}"),
        }
    }
    ensure_eq!(
        b.kv.zscore(&q.lease, "a").await?,
        None,
        "the lease after its ack"
    );
    ensure_eq!(
        b.kv.exists(&q.body).await?,
        false,
        "whether its body is there"
    );
    ensure_eq!(b.kv.hget(&q.tally, "a").await?, None, "its tally");
    for claim in &second.members {
        ensure_eq!(
            q.ack(&b.kv, claim).await?,
            true,
            "the ack of the other claimer"
        );
    }
    ensure_eq!(
        b.kv.exists_many([&q.due, &q.lease, &q.tally]).await?,
        0,
        "what is left"
    );
    Ok(Outcome::Tried)
}

async fn each_once(b: Bench) -> Verdict {
    const MEMBERS: u32 = 1000;
    const CLAIMERS: u32 = 16;
    let q = Queue::new(&b);
    let names = || (0..MEMBERS).map(|at| format!("{at:04}"));
    b.kv.zadd(&q.due, names().zip((0..MEMBERS).map(|at| at / 3)))
        .await?;
    b.kv.hset_many(&q.body, names().map(|it| (it.clone(), it)))
        .await?;
    let claimer = |me: u32| {
        let (kv, q) = (b.kv.clone(), q.clone());
        async move {
            let limit = 1 + me % 7;
            let mut taken = Vec::new();
            loop {
                let claimed = kv.zmove(q.claim(limit, Duration::from_secs(600))).await?;
                let count = claimed.members.len();
                ensure!(count <= limit as usize, "a claim of {limit} got {count}");
                if count == 0 {
                    ensure!(!claimed.more, "a claim got nothing though more is due");
                    return Ok(taken);
                }
                for it in claimed.members {
                    let own = Some(Value::from(it.member.as_bytes()));
                    ensure_eq!(it.all_bodies()?, [own], "the body of {:?}", it.member);
                    ensure_eq!(it.tally, Some(1), "how often {:?} was claimed", it.member);
                    taken.push(it.member);
                }
                let once = taken.len() <= MEMBERS as usize;
                ensure!(
                    once,
                    "one claimer got more than the {MEMBERS} members there are"
                );
            }
        }
    };
    let taken = together((0..CLAIMERS).map(claimer)).await?;
    for (claimer, taken) in taken.iter().enumerate() {
        ensure!(
            taken.is_sorted(),
            "claimer {claimer} got members out of order: {taken:?}"
        );
    }
    let all = taken.concat();
    let distinct: BTreeSet<&Member> = all.iter().collect();
    let counts = (all.len(), distinct.len());
    ensure_eq!(
        counts,
        (MEMBERS as usize, MEMBERS as usize),
        "members claimed, and distinct ones"
    );
    ensure_eq!(
        b.kv.zcount(&q.lease, ScoreRange::ALL).await?,
        u64::from(MEMBERS),
        "leases"
    );
    ensure_eq!(
        b.kv.exists(&q.due).await?,
        false,
        "whether anything is left due"
    );
    Ok(())
}

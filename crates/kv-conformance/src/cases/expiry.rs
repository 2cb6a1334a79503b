//! B: how long a key lives.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Lifetime, SetOptions, TimeToLive, Timestamp, Ttl};
use std::time::Duration;

cases! {
    'B' 16 "a key with a ttl ends, and in time" [Strings, Expiry] ends;
    'B' 17 "a ttl below a second is kept to the store's step" [Strings, Expiry] below_a_second;
    'B' 18 "a key never ends early" [Strings, Expiry] never_early;
    'B' 19 "missing, no expiry and a remaining time are told apart" [Strings, Expiry] read_back;
    'B' 20 "a ttl of zero is refused, a huge one never wraps" [Strings, Expiry] extremes;
    'B' 21 "set without a ttl clears the deadline" [Strings, Expiry] cleared;
    'B' 22 "keep keeps the deadline, a new ttl replaces it" [Strings, Expiry] kept_or_replaced;
    'B' 23 "a deadline in the past leaves no key" [Strings, Expiry] past_deadline;
}

const LONG: Duration = Duration::from_secs(100);

async fn ends(b: Bench) -> Verdict {
    let ttl = Duration::from_secs(2).max(b.granularity() * 2);
    let key = b.key("a");
    let ((), written) = b.written(b.kv.set_for(&key, "x", ttl)).await?;
    let present = || async { Ok(b.kv.get(&key).await?.is_some()) };
    b.ends_in_time("the key", written, ttl, present).await
}

async fn below_a_second(b: Bench) -> Verdict {
    let ttl = Duration::from_millis(300);
    let key = b.key("a");
    let ((), written) = b.written(b.kv.set_for(&key, "x", ttl)).await?;
    // A store with a coarser step rounds up, to its next one.
    let most = ttl.max(b.granularity());
    if let TimeToLive::In(left) = b.kv.time_to_live(&key).await? {
        ensure!(left <= most, "a ttl of {ttl:?} reads as {left:?} at once");
    }
    let present = || async { Ok(b.kv.exists(&key).await?) };
    b.ends_in_time("the key", written, ttl, present).await
}

async fn never_early(b: Bench) -> Verdict {
    let step = b.granularity().max(Duration::from_millis(400));
    let lifetimes = [step / 4, step, step * 3 / 2, step * 3];
    let mut ways = vec![Ttl::In as fn(Lifetime) -> Ttl];
    if b.has(Capability::HeldExpiry) {
        ways.push(Ttl::Held);
    }
    let mut followed = Vec::new();
    for (way, make) in ways.into_iter().enumerate() {
        for lifetime in lifetimes {
            followed.push(follow(
                b.clone(),
                way,
                make(Lifetime::new(lifetime)?),
                lifetime,
            ));
        }
        followed.push(follow_until(b.clone(), step * 3 / 2));
    }
    together(followed).await?;
    Ok(())
}

type Followed = kv_core::BoxFuture<'static, Verdict>;

fn follow(b: Bench, way: usize, ttl: Ttl, lifetime: Duration) -> Followed {
    Box::pin(async move {
        let key = b.key(format!("{way}:{}", lifetime.as_micros()));
        let ((), written) = b.written(b.kv.set_for(&key, "x", ttl)).await?;
        let present = || async { Ok(b.kv.get(&key).await?.is_some()) };
        let what = format!("the key with {ttl:?}");
        match ttl {
            Ttl::Held(_) => b.held_ends_in_time(&what, written, lifetime, present).await,
            _ => b.ends_in_time(&what, written, lifetime, present).await,
        }
    })
}

/// The same with an instant instead of a span.
fn follow_until(b: Bench, lifetime: Duration) -> Followed {
    Box::pin(async move {
        let key = b.key(format!("at:{}", fastrand::u64(..)));
        let now = b.now().await?;
        let deadline = now.saturating_add(lifetime);
        b.kv.set_for(&key, "x", Ttl::At(deadline)).await?;
        let present = || async { Ok(b.kv.get(&key).await?.is_some()) };
        let written = crate::bench::Written {
            before: now,
            after: now,
        };
        b.ends_in_time("the key with an instant", written, lifetime, present)
            .await
    })
}

async fn read_back(b: Bench) -> Verdict {
    let (with, without, missing) = (b.key("with"), b.key("without"), b.key("missing"));
    let ((), written) = b.written(b.kv.set_for(&with, "x", LONG)).await?;
    b.kv.set_for(&without, "x", Ttl::Never).await?;

    let left = b.left(&with).await?;
    let passed = b.now().await?.saturating_since(written.before);
    let least = LONG.saturating_sub(passed + b.granularity() + Duration::from_millis(1));
    ensure!(
        left <= LONG && left >= least,
        "a ttl of {LONG:?} reads as {left:?} after {passed:?}"
    );
    b.lives_for_ever(&without).await?;
    let left = b.kv.time_to_live(&missing).await?;
    ensure_eq!(
        left,
        TimeToLive::Missing,
        "the time to live of a missing key"
    );

    let plain = b.key("plain");
    b.kv.set(&plain, "x").await?;
    b.has_default_deadline(&plain).await
}

async fn extremes(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    kv.set_for(&key, "old", Ttl::Never).await?;
    let zero = Duration::ZERO;
    ensure_error!(
        kv.set_for(&key, "new", zero).await,
        InvalidArgument,
        "a ttl of zero"
    );
    ensure_error!(
        kv.expire(&key, zero).await,
        InvalidArgument,
        "expire after zero"
    );
    for huge in [Duration::MAX, Duration::from_millis(u64::MAX)] {
        ensure_error!(
            kv.set_for(&key, "new", huge).await,
            InvalidArgument,
            "a ttl of {huge:?}"
        );
    }
    b.holds(&key, "old").await?;
    b.lives_for_ever(&key).await?;

    // The longest that parses is either kept or refused; it never wraps into the past.
    let longest = Lifetime::MAX;
    match kv.set_for(&key, "new", longest).await {
        Ok(()) => {
            b.holds(&key, "new").await?;
            let left = b.left(&key).await?;
            ensure!(
                left > longest.as_duration() / 2,
                "{longest:?} reads as {left:?}"
            );
        }
        refused => {
            ensure_error!(refused, InvalidArgument, "the longest ttl");
            b.holds(&key, "old").await?;
        }
    }
    match kv
        .set_for(
            &key,
            "end of time",
            Ttl::At(Timestamp::from_micros(i64::MAX)),
        )
        .await
    {
        Ok(()) => b.holds(&key, "end of time").await?,
        refused => {
            ensure_error!(refused, InvalidArgument, "a deadline at the end of time");
            ensure_eq!(
                kv.exists(&key).await?,
                true,
                "exists after a refused deadline"
            );
        }
    }
    let tiny = b.key("tiny");
    let ((), written) = b
        .written(kv.set_for(&tiny, "x", Duration::from_nanos(1)))
        .await?;
    let present = || async { Ok(kv.exists(&tiny).await?) };
    b.ends_in_time(
        "a ttl of a nanosecond",
        written,
        Duration::from_millis(1),
        present,
    )
    .await
}

async fn cleared(b: Bench) -> Verdict {
    let ttl = b.granularity().max(Duration::from_millis(300));
    let (plain, never) = (b.key("plain"), b.key("never"));
    b.kv.set_for(&plain, "old", ttl).await?;
    let ((), written) = b.written(b.kv.set_for(&never, "old", ttl)).await?;
    b.kv.set(&plain, "new").await?;
    b.kv.set_for(&never, "new", Ttl::Never).await?;
    b.has_default_deadline(&plain).await?;
    b.lives_for_ever(&never).await?;
    b.wait_out(written, ttl).await?;
    b.holds(&plain, "new").await?;
    b.holds(&never, "new").await
}

async fn kept_or_replaced(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    let second = Duration::from_secs(1);
    kv.set_for(&key, "1", LONG).await?;
    kv.set_for(&key, "2", Ttl::Keep).await?;
    b.holds(&key, "2").await?;
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "Keep over {LONG:?} left {left:?}"
    );

    kv.set_for(&key, "3", LONG * 4).await?;
    let left = b.left(&key).await?;
    ensure!(
        left > LONG * 2,
        "a longer ttl of {:?} left {left:?}",
        LONG * 4
    );
    kv.set_for(&key, "4", LONG / 4).await?;
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG / 4 + second,
        "a shorter ttl of {:?} left {left:?}",
        LONG / 4
    );

    kv.set_for(&key, "5", Ttl::Never).await?;
    kv.set_for(&key, "6", Ttl::Keep).await?;
    b.lives_for_ever(&key).await?;
    let new = b.key("new");
    kv.set_for(&new, "x", Ttl::Keep).await?;
    b.lives_for_ever(&new).await?;

    // What is kept is the deadline, not its length.
    let short = b.granularity().max(Duration::from_millis(300));
    let brief = b.key("brief");
    let ((), written) = b.written(kv.set_for(&brief, "1", short)).await?;
    let rewrite = || async {
        let options = SetOptions::from(Ttl::Keep);
        let here = kv.exists(&brief).await?;
        if here && b.has(Capability::ConditionalSet) {
            let present = options.when(kv_core::When::IfPresent);
            kv.set_with(&brief, "2", present).await?;
        }
        Ok(here)
    };
    b.ends_in_time("a key rewritten with Keep", written, short, rewrite)
        .await
}

async fn past_deadline(b: Bench) -> Verdict {
    let kv = &b.kv;
    let now = b.now().await?;
    let past = [
        Timestamp::from_micros(0),
        Timestamp::from_micros(1),
        Timestamp::from_micros(now.as_micros() - 60_000_000),
    ];
    for (at, past) in past.into_iter().enumerate() {
        let (new, old, expired) = (
            b.key(format!("new{at}")),
            b.key(format!("old{at}")),
            b.key(format!("expired{at}")),
        );
        kv.set_for(&old, "old", Ttl::Never).await?;
        for key in [&new, &old] {
            kv.set_for(key, "x", Ttl::At(past)).await?;
            b.lacks(key).await?;
            ensure_eq!(
                kv.exists(key).await?,
                false,
                "exists after a deadline at {past:?}"
            );
            let left = kv.time_to_live(key).await?;
            ensure_eq!(
                left,
                TimeToLive::Missing,
                "time to live after a past deadline"
            );
        }
        kv.set_for(&expired, "x", Ttl::Never).await?;
        ensure_eq!(kv.expire(&expired, past).await?, true, "expire at {past:?}");
        b.lacks(&expired).await?;
    }
    Ok(())
}

//! D: counters.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Ttl};
use std::time::Duration;

cases! {
    'D' 46 "increment adds, from zero, by any sign" [Counters] adds;
    'D' 47 "a counter reads as canonical decimal text" [Strings, Counters] text;
    'D' 48 "what is no canonical integer is not counted in" [Strings, Counters] no_integer;
    'D' 49 "an overflow is refused" [Strings, Counters] overflow;
    'D' 50 "a structure is not counted in" [Counters] structures;
    'D' 51 "increment keeps the deadline" [Strings, Counters, Expiry] keeps_deadline;
    'D' 52 "a counter gets its deadline when it is created, and then only" [Strings, Counters, Expiry] ttl_if_created;
    'D' 53 "concurrent increments are all counted, each sum returned once" [Counters] concurrent;
}

const LONG: Duration = Duration::from_secs(100);

async fn adds(b: Bench) -> Verdict {
    let (key, zero) = (b.key("a"), b.key("zero"));
    for (by, sum) in [
        (5, 5),
        (1, 6),
        (-10, -4),
        (0, -4),
        (4, 0),
        (1 << 60, 1 << 60),
    ] {
        ensure_eq!(
            b.kv.increment(&key, by).await?,
            sum,
            "the sum after adding {by}"
        );
    }
    ensure_eq!(
        b.kv.increment(&zero, 0).await?,
        0,
        "adding 0 to a missing counter"
    );
    if b.has(Capability::Strings) {
        ensure_eq!(b.kv.exists(&zero).await?, true, "exists after adding 0");
        b.holds(&zero, "0").await?;
    }
    Ok(())
}

async fn text(b: Bench) -> Verdict {
    let key = b.key("a");
    let steps = [
        (1, "1"),
        (2, "3"),
        (3, "6"),
        (-6, "0"),
        (-7, "-7"),
        (1007, "1000"),
    ];
    for (by, text) in steps {
        b.kv.increment(&key, by).await?;
        b.holds(&key, text).await?;
    }
    for text in [
        "41",
        "-1",
        "0",
        "9223372036854775806",
        "-9223372036854775808",
    ] {
        b.kv.set(&key, text).await?;
        let sum = b.kv.increment(&key, 1).await?;
        let expected: i64 = text.parse().unwrap_or_default();
        ensure_eq!(sum, expected + 1, "the sum after adding 1 to {text}");
        b.holds(&key, (expected + 1).to_string()).await?;
    }
    Ok(())
}

async fn no_integer(b: Bench) -> Verdict {
    let key = b.key("a");
    let texts = [
        "abc",
        "1.5",
        " 1",
        "1 ",
        "+1",
        "01",
        "-0",
        "",
        "-",
        "1e3",
        "0x10",
        "1\n",
        "1\0",
        "--1",
        "00",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    ];
    for text in texts {
        b.kv.set(&key, text).await?;
        let error = ensure_error!(
            b.kv.increment(&key, 1).await,
            NotAnInteger,
            "adding to {text:?}"
        );
        // The key may have such a text in it by chance.
        let told = error.to_string().replace(&key.to_string(), "");
        ensure!(
            text.len() < 3 || !told.contains(text),
            "the error shows the value: {error}"
        );
        b.holds(&key, text).await?;
    }
    b.kv.set(&key, &b"\xff\xfe"[..]).await?;
    ensure_error!(
        b.kv.increment(&key, 0).await,
        NotAnInteger,
        "adding to bytes"
    );
    Ok(())
}

async fn overflow(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    for (from, by) in [
        (i64::MAX, 1),
        (i64::MAX, i64::MAX),
        (1, i64::MAX),
        (i64::MIN, -1),
        (i64::MIN, i64::MIN),
        (-1, i64::MIN),
    ] {
        kv.set(&key, from.to_string()).await?;
        ensure_error!(kv.increment(&key, by).await, Overflow, "{from} + {by}");
        b.holds(&key, from.to_string()).await?;
    }
    for (from, by) in [
        (0, i64::MIN),
        (0, i64::MAX),
        (i64::MAX, i64::MIN),
        (i64::MIN, i64::MAX),
    ] {
        kv.set(&key, from.to_string()).await?;
        ensure_eq!(kv.increment(&key, by).await?, from + by, "{from} + {by}");
    }
    Ok(())
}

async fn structures(b: Bench) -> Verdict {
    let (hash, zset) = (b.key("hash"), b.key("zset"));
    if b.has(Capability::Hashes) {
        b.kv.hset(&hash, "f", "1").await?;
        ensure_error!(
            b.kv.increment(&hash, 1).await,
            WrongType,
            "increment of a hash"
        );
        ensure_eq!(b.kv.hlen(&hash).await?, 1, "the fields of the hash");
    }
    if b.has(Capability::SortedSets) {
        b.kv.zadd(&zset, [("m", 1)]).await?;
        ensure_error!(
            b.kv.increment(&zset, 1).await,
            WrongType,
            "increment of a sorted set"
        );
        let count = b.kv.zcount(&zset, kv_core::ScoreRange::ALL).await?;
        ensure_eq!(count, 1, "the members of the sorted set");
    }
    Ok(())
}

async fn keeps_deadline(b: Bench) -> Verdict {
    let (timed, eternal, plain) = (b.key("timed"), b.key("eternal"), b.key("plain"));
    b.kv.set_for(&timed, "1", LONG).await?;
    b.kv.set_for(&eternal, "1", Ttl::Never).await?;
    for by in 1..4 {
        b.kv.increment(&timed, by).await?;
        let left = b.left(&timed).await?;
        ensure!(
            left <= LONG && left > LONG / 2,
            "increment left {left:?} of {LONG:?}"
        );
        b.kv.increment(&eternal, by).await?;
        b.lives_for_ever(&eternal).await?;
        b.kv.increment(&plain, by).await?;
        b.has_default_deadline(&plain).await?;
    }
    Ok(())
}

async fn ttl_if_created(b: Bench) -> Verdict {
    let (slow, quick) = (b.key("slow"), b.key("quick"));
    let kv = &b.kv;
    kv.increment_with(&slow, 1, LONG).await?;
    for ttl in [LONG * 10, LONG / 10] {
        kv.increment_with(&slow, 1, ttl).await?;
        let left = b.left(&slow).await?;
        ensure!(
            left <= LONG && left > LONG / 2,
            "a second increment with {ttl:?} left {left:?}"
        );
    }
    kv.set_for(&slow, "1", Ttl::Never).await?;
    kv.increment_with(&slow, 1, LONG).await?;
    b.lives_for_ever(&slow).await?;

    let ttl = b.granularity().max(Duration::from_millis(300));
    let (first, written) = b.written(kv.increment_with(&quick, 5, ttl)).await?;
    ensure_eq!(first, 5, "the first sum");
    let sums = parking_lot::Mutex::new(first);
    let counting = || async {
        // If it is created anew, then with a deadline that is there when we look, however late.
        let sum = kv.increment_with(&quick, 5, LONG).await?;
        let goes_on = sum == *sums.lock() + 5;
        ensure!(
            goes_on || sum == 5,
            "the sum went from {} to {sum}",
            sums.lock()
        );
        *sums.lock() = sum;
        Ok(goes_on)
    };
    b.ends_in_time("the counter", written, ttl, counting)
        .await?;
    let left = b.left(&quick).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "the second counter has {left:?} left of {LONG:?}"
    );
    Ok(())
}

async fn concurrent(b: Bench) -> Verdict {
    let key = b.key("a");
    let tasks = (0..50).map(|_| {
        let (kv, key) = (b.kv.clone(), key.clone());
        async move {
            let mut sums = Vec::with_capacity(20);
            for _ in 0..20 {
                sums.push(kv.increment(&key, 1).await?);
            }
            ensure!(
                sums.is_sorted(),
                "the sums that one task saw went back: {sums:?}"
            );
            Ok(sums)
        }
    });
    let mut sums = together(tasks).await?.concat();
    sums.sort_unstable();
    let expected: Vec<i64> = (1..=1000).collect();
    let wrong = sums
        .iter()
        .zip(&expected)
        .find(|(sum, expected)| sum != expected);
    ensure!(
        wrong.is_none(),
        "the sums are not 1 to 1000, each once; first at {wrong:?}"
    );
    Ok(())
}

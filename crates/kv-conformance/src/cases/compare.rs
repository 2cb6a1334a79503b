//! C: compare-and-set, which compares values.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Failure, Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{
    BoxFuture, Capabilities, Capability, Codec, Context, Events, Key, Kv, Layer, Mark, Reply,
    Request, Result, Service, SetOptions, SetReply, Ttl, Watch, When, layer_fn,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

cases! {
    'C' 37 "compare-and-set writes on equal bytes only" [Strings, CompareValue] compare_and_set;
    'C' 39 "a value changed and changed back compares equal" [Strings, CompareValue] back_again;
    'C' 40 "reads, refusals and same-value writes keep the comparand" [Strings, CompareValue] steady;
    'C' 41 "concurrent compare-and-set loops lose no write" [Strings, CompareValue] no_lost_write;
    'C' 43 "foreign bytes are a codec error, never a panic" [Strings] foreign_bytes;
    'C' 44 "conditional writes pass through every layer" [Strings, ConditionalSet, CompareValue] through_layers;
}

fn equals(bytes: impl AsRef<[u8]>) -> When {
    When::IfValue(Mark::from(bytes.as_ref()))
}

async fn compare_and_set(b: Bench) -> Verdict {
    let (key, missing) = (b.key("a"), b.key("missing"));
    let kv = &b.kv;
    kv.set(&key, "one").await?;
    ensure_eq!(
        kv.set_with(&key, "two", equals("one")).await?,
        SetReply::applied(),
        "right"
    );
    b.holds(&key, "two").await?;
    for stale in ["one", "", "tw", "two ", "TWO", "two\0"] {
        let reply = kv.set_with(&key, "three", equals(stale)).await?;
        let expected = SetReply::refused(Some("two".into()));
        ensure_eq!(reply, expected, "comparing \"two\" with {stale:?}");
    }
    b.holds(&key, "two").await?;
    let reply = kv.set_with(&missing, "x", equals("one")).await?;
    ensure_eq!(reply, SetReply::refused(None), "comparing a missing key");
    ensure_eq!(
        kv.exists(&missing).await?,
        false,
        "exists after a refused write"
    );

    let binary: Vec<u8> = (0..=255).collect();
    kv.set(&key, &*binary).await?;
    ensure_eq!(
        kv.set_with(&key, "three", equals(&binary)).await?.applied,
        true,
        "all bytes"
    );
    if !b.has(Capability::Expiry) {
        return Ok(());
    }
    let long = Duration::from_secs(100);
    let timed = SetOptions::from(Ttl::after(long)?).when(equals("three"));
    ensure_eq!(
        kv.set_with(&key, "four", timed).await?.applied,
        true,
        "with a ttl"
    );
    ensure!(
        b.left(&key).await? > long / 2,
        "compare-and-set dropped its ttl"
    );
    let keep = SetOptions::from(Ttl::Keep).when(equals("four"));
    ensure_eq!(
        kv.set_with(&key, "five", keep).await?.applied,
        true,
        "with Keep"
    );
    ensure!(
        b.left(&key).await? > long / 2,
        "compare-and-set with Keep dropped the ttl"
    );
    let refused = SetOptions::from(Ttl::Never).when(equals("four"));
    ensure_eq!(
        kv.set_with(&key, "six", refused).await?.applied,
        false,
        "a stale one"
    );
    ensure!(
        b.left(&key).await? > long / 2,
        "a refused compare-and-set dropped the ttl"
    );
    Ok(())
}

/// Who needs more than values to be compared takes a token; here it is only told apart.
async fn back_again(b: Bench) -> Verdict {
    let key = b.key("a");
    b.kv.set(&key, "same").await?;
    b.kv.delete(&key).await?;
    let reply = b.kv.set_with(&key, "x", equals("same")).await?;
    ensure_eq!(reply, SetReply::refused(None), "comparing a deleted value");
    b.kv.set(&key, "same").await?;
    let reply = b.kv.set_with(&key, "new", equals("same")).await?;
    ensure_eq!(reply, SetReply::applied(), "comparing a recreated value");
    b.holds(&key, "new").await
}

async fn steady(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    kv.set(&key, "v").await?;
    kv.set(&key, "v").await?;
    kv.get(&key).await?;
    kv.exists(&key).await?;
    ensure_eq!(
        kv.set_with(&key, "w", equals("x")).await?.applied,
        false,
        "a stale one"
    );
    ensure_eq!(
        kv.set_with(&key, "v", equals("v")).await?.applied,
        true,
        "of the same value"
    );
    ensure_eq!(
        kv.set_with(&key, "v", equals("v")).await?.applied,
        true,
        "once more"
    );
    ensure_eq!(
        kv.set_with(&key, "w", equals("v")).await?.applied,
        true,
        "of another value"
    );
    ensure_eq!(
        kv.set_with(&key, "x", equals("v")).await?.applied,
        false,
        "of the old value"
    );
    b.holds(&key, "w").await
}

async fn no_lost_write(b: Bench) -> Verdict {
    for (tasks, each) in [(5, 10), (20, 50)] {
        let key = b.key(format!("{tasks}x{each}"));
        b.kv.set(&key, "0").await?;
        let workers = (0..tasks).map(|_| add(b.kv.clone(), key.clone(), each));
        together(workers).await?;
        b.holds(&key, (tasks * each).to_string()).await?;
    }
    Ok(())
}

/// Adds one this often, each time by what the last refusal told.
async fn add(kv: Kv, key: Key, times: u32) -> Verdict {
    /// Each refusal means that another writer got through, and they are a thousand.
    const REFUSALS: u32 = 1_000;
    for _ in 0..times {
        let mut current = kv.get(&key).await?;
        let mut refusals = 0;
        loop {
            let Some(found) = current else {
                return Err(Failure::new(
                    "the counter is gone, or a refusal did not tell it",
                ));
            };
            let number: u64 = match found.to_str()?.parse() {
                Ok(number) => number,
                Err(_) => return Err(Failure::new("the counter is no number")),
            };
            let when = equals(found.as_bytes());
            let reply = kv.set_with(&key, (number + 1).to_string(), when).await?;
            if reply.applied {
                break;
            }
            current = reply.current;
            refusals += 1;
            ensure!(
                refusals <= REFUSALS,
                "refused {refusals} times, though others write less often"
            );
        }
    }
    Ok(())
}

async fn foreign_bytes(b: Bench) -> Verdict {
    let key = b.key("a");
    let packed = Codec::MESSAGE_PACK.encode(&BTreeMap::from([("k", "v")]))?;
    let whole = Codec::JSON.encode(&BTreeMap::from([("k", "v")]))?;
    let foreign: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\xff\xfe\xfd",
        b"{\"k\"",
        &packed.as_bytes()[..2],
        &whole.as_bytes()[..whole.as_bytes().len() - 1],
        &[b'['; 4096],
    ];
    for bytes in foreign {
        b.kv.set(&key, bytes).await?;
        for codec in [Codec::JSON, Codec::MESSAGE_PACK] {
            let read =
                b.kv.with_codec(codec)
                    .get_as::<BTreeMap<String, String>>(&key)
                    .await;
            let text = bytes[..bytes.len().min(20)].escape_ascii();
            let error = ensure_error!(read, Codec, "{codec:?} of {text}");
            ensure!(
                error.key().is_some(),
                "the error does not name the key: {error}"
            );
        }
        b.holds(&key, bytes).await?;
    }
    Ok(())
}

/// Three more layers on top of the stack under test.
async fn through_layers(b: Bench) -> Verdict {
    let mut service: Arc<dyn Service> = Arc::new(Below(b.kv.clone()));
    for _ in 0..3 {
        service = layer_fn("pass", |request, next| next.call(request)).wrap(service);
    }
    let kv = Kv::from_service(service);
    kv.connect().await?;
    ensure_eq!(
        kv.capabilities(),
        b.kv.capabilities(),
        "the capabilities above the layers"
    );

    let key = b.key("a");
    let first = kv.set_with(&key, "1", When::IfAbsent).await?;
    ensure_eq!(first, SetReply::applied(), "if absent, on a missing key");
    let again = kv.set_with(&key, "2", When::IfAbsent).await?;
    ensure_eq!(
        again,
        SetReply::refused(Some("1".into())),
        "if absent, on a key"
    );
    let present = kv.set_with(&key, "3", When::IfPresent).await?;
    ensure_eq!(present, SetReply::applied(), "if present, on a key");
    let right = kv.set_with(&key, "4", equals("3")).await?;
    ensure_eq!(right, SetReply::applied(), "if value, right");
    let stale = kv.set_with(&key, "5", equals("3")).await?;
    ensure_eq!(
        stale,
        SetReply::refused(Some("4".into())),
        "if value, stale"
    );
    let many = kv
        .set_many_with([(&key, "6"), (&b.key("new"), "6")], When::IfAbsent)
        .await?;
    let many: Vec<_> = many.into_iter().map(|it| it.ok()).collect();
    ensure_eq!(many, [Some(false), Some(true)], "set_many_with if absent");
    let present = SetOptions::from(When::IfPresent);
    let missing = kv.set_with(b.key("missing"), "7", present).await?;
    ensure_eq!(
        missing,
        SetReply::refused(None),
        "if present, on a missing key"
    );
    b.holds(&key, "4").await
}

/// The stack under test, as the service below more layers.
struct Below(Kv);

impl Service for Below {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        Box::pin(self.0.call(request.command))
    }

    fn watch(&self, watch: Watch, _: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(self.0.watch(watch))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn name(&self) -> String {
        format!("{:?}", self.0)
    }

    fn inner(&self) -> Option<&dyn Service> {
        None
    }
}

//! What a store does not claim, it must refuse.

use crate::failure::{Failure, Verdict};
use kv_core::{
    Capability, Error, ErrorKind, Expiry, Key, Kv, Lifetime, Mark, Prefixes, Rule, ScanFrom,
    SetOptions, Throttle, ThrottleMode, Ttl, Txn, Watch, When, ZMove,
};
use std::time::Duration;

/// Fails unless a command that needs this capability is refused as unsupported.
pub(crate) async fn refuses(kv: &Kv, capability: Capability) -> Verdict {
    let key = Key::new("conformance:refused")?;
    let answer = ask(kv, capability, &key).await;
    match answer {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(Failure::new(format!(
            "{capability} is not claimed: expected the error Unsupported, got {:?}: {error}",
            error.kind()
        ))),
        Ok(()) => Err(Failure::new(format!(
            "{capability} is not claimed, yet a command that needs it was executed"
        ))),
    }
}

/// One command for each capability, harmless where it is executed after all.
async fn ask(kv: &Kv, capability: Capability, key: &Key) -> Result<(), Error> {
    let brief = Lifetime::new(Duration::from_secs(1))?;
    let none = Prefixes::from("conformance:refused:none");
    match capability {
        Capability::Strings => kv.get(key).await.map(drop),
        Capability::ConditionalSet => kv.set_with(key, "", When::IfPresent).await.map(drop),
        Capability::CompareValue => {
            let when = When::IfValue(Mark::from("never there"));
            kv.set_with(key, "", when).await.map(drop)
        }
        Capability::Counters => kv.increment(key, 0).await.map(drop),
        Capability::Expiry => kv.time_to_live(key).await.map(drop),
        Capability::HeldExpiry => {
            let held = SetOptions::from(Ttl::Held(brief)).when(When::IfPresent);
            kv.set_with(key, "", held).await?;
            kv.expire(key, Expiry::Held(brief)).await.map(drop)
        }
        Capability::Scan => kv.scan_page(none, ScanFrom::Start, 1_u32).await.map(drop),
        Capability::ScanAfter => {
            let after = ScanFrom::After(key.clone());
            kv.scan_page(none, after, 1_u32).await.map(drop)
        }
        Capability::Hashes => kv.hget(key, "field").await.map(drop),
        Capability::HashCounters => kv.hincrement(key, "field", 0).await.map(drop),
        Capability::SortedSets => kv.zscore(key, "member").await.map(drop),
        Capability::StoreTime => kv.now().await.map(drop),
        Capability::Commit => kv.commit([Txn::new()]).await.map(drop),
        Capability::Move => kv.zmove(ZMove::new(1).from(key, 0)).await.map(drop),
        Capability::Throttle => {
            let rule = Rule::fixed(1, Duration::from_secs(1))?;
            let look = Throttle::new().limit(key, rule).mode(ThrottleMode::Peek);
            kv.throttle(look).await.map(drop)
        }
        Capability::Channels => kv.notify(key, "").await,
        Capability::Watch => kv.watch(Watch::Keys(vec![key.clone()])).await.map(drop),
        // One that this suite does not know yet: no case needs it.
        _ => Err(Error::unsupported("unknown")),
    }
}

//! By what right a load is filled, and how it is had and given back.

use crate::{
    far::{
        FarEntry,
        transitions::{Issue, Lease},
    },
    shared::{CacheValue, Shared},
    tags::Sight,
};
use kv_core::{Error, Outcome as Sent};

/// By what right a load is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// There is no store: with our own version.
    Own(u64),
    /// A lease, with what came with it.
    Leased(Issue),
    /// None, what the store has is not ours to replace.
    Barred,
    /// None; the store could not be asked.
    None,
    /// None; the store could not be asked, and may have granted it.
    Unknown,
}

/// The lease, whoever has it, after a wait in vain.
pub(super) async fn seized<V: CacheValue>(
    shared: &Shared<V>,
    far: &FarEntry,
    sight: &mut Sight,
) -> Grant {
    let now = shared.now();
    // What was waited for may have taken long.
    sight.renew(|it| shared.trusts(it, now));
    match far.seize(sight).await {
        Ok(issue) => Grant::Leased(issue),
        Err(error) => without_store(shared, far, &error, "taking a lease"),
    }
}

pub(super) async fn give_back<V: CacheValue>(shared: &Shared<V>, lease: Lease, far: &FarEntry) {
    if !matches!(lease, Lease::Granted(_)) {
        return;
    }
    if let Err(error) = far.give_up().await {
        shared.trouble(&far.caller, &error, "giving a lease up");
    }
}

/// What is known of a lease where the store could not be asked.
pub(super) fn without_store<V: CacheValue>(
    shared: &Shared<V>,
    far: &FarEntry,
    error: &Error,
    doing: &'static str,
) -> Grant {
    shared.trouble(&far.caller, error, doing);
    match error.outcome() {
        Sent::Final => Grant::None,
        _ => Grant::Unknown,
    }
}

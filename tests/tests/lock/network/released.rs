//! Releases whose answers are lost: sent again they take nothing away from anybody.

use super::{
    Backend, FAULTS,
    line::{Line, with_each},
};
use kv_lock::Release;
use kv_tests::patience::until;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(2);

async fn what_is_given_back_is_given_back_once<S: Backend>() {
    with_each::<S, _>(FAULTS, 0..2, LEASE, given_back_once).await;
}

async fn given_back_once(line: Line) {
    let (kind, name) = (line.kind, &line.name);
    let beside = kind.beside(&line.near, name).await.unwrap();
    let others = line.held().await;
    let held = kind.acquire(&line.far, name).await.unwrap();
    assert_eq!(line.held().await, others + kind.weight(), "{line:?}");
    line.proxy.set_after(line.replies, line.mode);
    let was_held = held.check().is_ok();
    let released = held.release().await;
    assert!(released != Release::Expired || !was_held, "{line:?}");
    line.heal();
    // At the latest the lease ends it; who comes then clears it away.
    until(&format!("{line:?}: it is free"), async || {
        let Some(next) = kind.try_acquire(&line.near, name).await.unwrap() else {
            return false;
        };
        let held = line.held().await;
        assert_eq!(next.release().await, Release::Released, "{line:?}");
        held == others + kind.weight()
    })
    .await;
    assert_eq!(line.held().await, others, "{line:?}");
    if let Some(beside) = beside {
        assert_eq!(beside.release().await, Release::Released, "{line:?}");
    }
    assert!(line.is_free().await, "{line:?}");
}

crate::on_each_server! {
    what_is_given_back_is_given_back_once
}

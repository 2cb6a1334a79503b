use crate::{
    Bench, Case, Fixture, Outcome, Settings,
    failure::{Failure, Verdict},
};
use kv_core::{Capabilities, Capability, CapabilitySet, Kv, Store};
use std::{future, time::Duration};

/// A store that claims strings and keeps none.
struct Boaster;

impl Store for Boaster {
    fn name(&self) -> &'static str {
        "boaster"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE.with(Capability::Strings))
    }
}

fn fixture() -> Fixture {
    let settings = Settings::default().case_deadline(Duration::from_millis(200));
    Fixture::in_process("boaster", || Kv::builder(Boaster).connect()).settings(settings)
}

async fn run(needs: &'static [Capability], case: CaseFn) -> Outcome {
    Case::new(0, 'X', "made up", needs, case)
        .run(&fixture())
        .await
}

type CaseFn = fn(Bench) -> kv_core::BoxFuture<'static, Verdict>;

#[tokio::test]
async fn a_verdict_passes_through() {
    let passed = run(&[], |_| Box::pin(async { Ok(()) })).await;
    assert!(matches!(passed, Outcome::Passed { notes } if notes.is_empty()));
    let failed = run(&[], |_| Box::pin(async { Err(Failure::new("broken")) })).await;
    let failure = failed.failure().unwrap().to_string();
    assert!(
        failure.starts_with("broken (") && failure.contains("tests.rs:"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_unexpected_error_tells_its_line() {
    let failed = run(&[Capability::Strings], |b| {
        Box::pin(async move {
            b.kv.get("key").await?;
            Ok(())
        })
    });
    let failure = failed.await.failure().unwrap().to_string();
    assert!(failure.starts_with("unexpected error: get"), "{failure}");
    assert!(failure.contains("tests.rs:"), "{failure}");
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let failed = run(&[], |_| Box::pin(async { panic!("on purpose") })).await;
    let failure = failed.failure().unwrap().to_string();
    assert!(failure.contains("the case died"), "{failure}");
}

#[tokio::test]
async fn a_case_that_hangs_is_a_failure() {
    let failed = run(&[], |_| Box::pin(future::pending())).await;
    let failure = failed.failure().unwrap().to_string();
    assert!(failure.contains("hung"), "{failure}");
}

#[tokio::test]
async fn a_note_stands_beside_the_verdict() {
    let passed = run(&[], |b| {
        Box::pin(async move {
            b.note("only half of it");
            Ok(())
        })
    });
    assert_eq!(passed.await.to_string(), "passed, but only half of it");
}

#[tokio::test]
async fn what_is_not_claimed_must_be_refused() {
    let needs = &[Capability::Strings, Capability::Hashes, Capability::Watch];
    let refused = run(needs, |_| Box::pin(async { Err(Failure::new("was run")) })).await;
    assert_eq!(
        refused.to_string(),
        "refused, as it should be without hashes, watch"
    );
}

#[tokio::test]
async fn a_store_that_claims_what_it_lacks_fails_the_suite() {
    let report = crate::run_only(fixture(), |case| case.section == 'A').await;
    assert!(report.failed().contains(&3), "{report}");
    let text = report.to_string();
    assert!(
        text.contains("A-03 set then get: FAILED: unexpected error"),
        "{text}"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_fails() {
    let broken = Fixture::new("broken", || async {
        Err(kv_core::Error::unsupported("connect"))
    });
    let case = Case::new(0, 'X', "made up", &[], |_| Box::pin(async { Ok(()) }));
    let failure = case.run(&broken).await.failure().unwrap().to_string();
    assert!(
        failure.starts_with("the store could not be opened"),
        "{failure}"
    );
}

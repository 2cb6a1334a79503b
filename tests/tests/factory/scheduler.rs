//! The section of the scheduler.

use kv_core::Capability;
use kv_factory::Factory;
use kv_scheduler::{Retry, Scheduler, SchedulerSettings, Task, TaskError, Worker};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};

const STORE: &str = r#"
[default.database.kvstore.jobs]
provider = { backend = "memory" }
wrappers = [{ name = "default_ttl", config = { default_ttl = "1ms" } }, { name = "key_resolver" }]
"#;

#[derive(Serialize, Deserialize)]
struct Fails;

impl Task for Fails {
    const KIND: &'static str = "fails";
    type Output = ();
}

async fn fail(_: Fails) -> Result<(), TaskError> {
    Err("always".into())
}

#[tokio::test]
async fn a_worker_does_as_the_section_says() {
    let section = "[default.scheduler]\nstore = \"jobs\"\nnamespace = \"shop\"\nkeep_at_most = 1\n\
                   queues.default.concurrency = \"${PLACES:-3}\"\nretry.attempts = 1\n";
    let factory = Factory::from_str(&format!("{STORE}{section}")).unwrap();
    let settings: SchedulerSettings = factory.section("scheduler").unwrap();
    let kv = factory
        .open(settings.store.as_deref().unwrap())
        .await
        .unwrap();
    assert!(kv.capabilities().has(Capability::Move));
    let scheduler = Scheduler::from_settings(&kv, &settings).unwrap();
    for _ in 0..3 {
        scheduler.enqueue(Fails).await.unwrap();
    }
    // What is said in code counts more than the section.
    let stubborn = Retry::default().attempts(2);
    scheduler.enqueue(Fails).retry(stubborn).await.unwrap();
    let worker = Worker::from_settings(&scheduler, &settings).handle(fail);
    let report = worker.drain().await.unwrap();
    assert_eq!((report.dead, report.retried), (3, 1));
    let counts = scheduler.admin("default").unwrap().counts().await.unwrap();
    assert_eq!((counts.dead, counts.pending), (1, 1));
    let elsewhere = Scheduler::new(&kv).unwrap();
    let counts = elsewhere.admin("default").unwrap().counts().await.unwrap();
    assert_eq!(counts.pending, 0);
}

#[test]
fn a_fault_names_its_place() {
    for (section, reason) in [
        ("leese = \"1m\"", "leese"),
        ("lease = \"1ms\"", "default.scheduler.lease"),
        ("queues.\"a b\".concurrency = 1", "default.scheduler.queues"),
        (
            "queues.a.concurrency = 0",
            "default.scheduler.queues.a.concurrency",
        ),
        ("retry.max_delay = 5", "default.scheduler.retry.max_delay"),
        ("serve = \"sometimes\"", "default.scheduler.serve"),
    ] {
        let factory = Factory::from_str(&format!("[default.scheduler]\n{section}")).unwrap();
        let error = factory
            .section::<SchedulerSettings>("scheduler")
            .unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_sample_has_the_defaults_and_two_queues() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::from_file(path).unwrap();
    let settings: SchedulerSettings = factory.section("scheduler").unwrap();
    let usual = SchedulerSettings::default();
    assert_eq!(settings.lease, usual.lease);
    assert_eq!(
        (settings.keep_dead, settings.retry),
        (usual.keep_dead, usual.retry)
    );
    assert_eq!(usual.keep_dead, Duration::from_secs(30 * 24 * 3600));
    let names: Vec<_> = settings.queues.keys().map(|it| it.as_str()).collect();
    assert_eq!(names, ["default", "mail"]);
}

//! The section of locks.

use kv_factory::Factory;
use kv_lock::{LockError, LockManager, LockSettings};
use std::{path::Path, time::Duration};

const STORE: &str = r#"
[default.database.kvstore.locks]
provider = { backend = "memory" }
wrappers = [{ name = "default_ttl", config = { default_ttl = "1ms" } }, { name = "key_resolver" }]
"#;

#[tokio::test]
async fn locks_are_as_the_section_says() {
    let section = "[default.lock]\nstore = \"locks\"\nlease = \"${LEASE:-1m}\"\ngrace = \"9s\"\nwait = \"1ms\"\n";
    let factory = Factory::from_str(&format!("{STORE}{section}")).unwrap();
    let settings: LockSettings = factory.section("lock").unwrap();
    let kv = factory.open(settings.store.as_deref().unwrap());
    let kv = kv.await.unwrap();
    let locks = LockManager::from_settings(&kv, &settings).unwrap();
    let guard = locks.lock("a").acquire().await.unwrap();
    let left = guard.remaining();
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60));
    let seen = locks.inspect("a").await.unwrap().unwrap();
    // The lease, the grace and what clocks drift.
    let on_store = Duration::from_millis(60_000 + 9_000 + 602);
    let left = seen.holders[0].left.unwrap();
    assert!(left > on_store - Duration::from_secs(30) && left <= on_store);
    // It waits no longer than it is told.
    let refused = locks.lock("a").acquire().await.unwrap_err();
    assert!(matches!(refused, LockError::Timeout), "{refused}");
    // What is said in code counts more than the section.
    let more = LockManager::builder(&kv).settings(&settings);
    let more = more.lease(Duration::from_secs(5)).build().unwrap();
    let guard = more.lock("b").acquire().await.unwrap();
    assert!(guard.remaining() <= Duration::from_secs(5));
}

#[test]
fn a_fault_names_its_place() {
    for (section, reason) in [
        ("leese = \"1m\"", "leese"),
        ("lease = \"1ms\"", "default.lock.lease"),
        ("lease = \"25h\"", "default.lock.lease"),
        ("grace = \"25h\"", "default.lock.grace"),
        ("wait = 5", "default.lock.wait"),
        ("wait = \"soon\"", "default.lock.wait"),
    ] {
        let factory = Factory::from_str(&format!("[default.lock]\n{section}")).unwrap();
        let error = factory.section::<LockSettings>("lock").unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_sample_says_what_is_usual_and_how_long_to_wait() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::from_file(path).unwrap();
    let settings: LockSettings = factory.section("lock").unwrap();
    let usual = LockSettings::default();
    assert_eq!((settings.lease, settings.grace), (usual.lease, usual.grace));
    assert_eq!(settings.wait, Some(Duration::from_secs(30)));
    assert_eq!(settings.store.as_deref(), Some("default_redis"));
}

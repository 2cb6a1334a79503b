use super::{builder, factory, store};
use crate::{
    StoreUrl,
    builtin::{SCHEMES, feature_of, provider_of_scheme},
};
use kv_core::{Capabilities, CapabilitySet, Error, ErrorKind, Kv, Outcome, Store};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
};
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_name_is_one_store_however_many_ask_at_once() {
    let (mut builder, connects) = builder();
    let factory = builder.toml(store("")).build().unwrap();
    let opened = futures_util::future::join_all((0..20).map(|_| factory.open("a"))).await;
    assert!(opened.iter().all(Result::is_ok));
    factory.open("a").await.unwrap();
    assert_eq!(connects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn those_who_wait_share_a_failure_and_the_next_tries_anew() {
    let (mut builder, connects) = builder();
    let toml = store("broken = true\nport = 7\npassword = \"${WORD}\"");
    let factory = builder.toml(toml).build().unwrap();
    let opened = futures_util::future::join_all((0..20).map(|_| factory.open("a"))).await;
    assert_eq!(connects.load(Ordering::SeqCst), 1);
    for error in opened.into_iter().map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(
            error.to_string(),
            "connect: no answer; is the server running?; address: h:7; store: a"
        );
    }
    factory.open("a").await.unwrap_err();
    assert_eq!(connects.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_dropped_open_leaves_the_work_to_the_next() {
    let (mut builder, connects) = builder();
    let factory = builder.toml(store("")).build().unwrap();
    let mut dropped = Box::pin(factory.open("a"));
    let first = std::future::poll_fn(|task| Poll::Ready(dropped.as_mut().poll(task))).await;
    assert!(first.is_pending());
    drop(dropped);
    factory.open("a").await.unwrap();
    assert_eq!(connects.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_closed_store_is_opened_anew() {
    let (mut builder, connects) = builder();
    let factory = builder.toml(store("")).build().unwrap();
    let first = factory.open("a").await.unwrap();
    factory.close_all().await;
    factory.close_all().await;
    assert!(!first.is_available().await);
    let second = factory.open("a").await.unwrap();
    assert!(second.is_available().await);
    // Also if not the factory but a holder closed it.
    second.close().await;
    assert!(factory.open("a").await.unwrap().is_available().await);
    assert_eq!(connects.load(Ordering::SeqCst), 3);
}

/// A store that takes a permit to close.
struct Slow {
    gate: Arc<Semaphore>,
    closed: Arc<AtomicU32>,
}

impl Store for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE)
    }

    async fn connect(&self) -> kv_core::Result<()> {
        Ok(())
    }

    async fn close(&self) {
        self.gate.acquire().await.unwrap().forget();
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_dropped_close_leaves_the_work_to_the_next() {
    let (gate, closed) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let parts = (Arc::clone(&gate), Arc::clone(&closed));
    let mut builder = builder().0;
    let slow = move |_| {
        let (gate, closed) = parts.clone();
        Ok(Kv::builder(Slow { gate, closed }))
    };
    builder.provider("slow", slow).unwrap();
    builder.toml("[default.database.kvstore.a.provider]\nbackend = \"slow\"");
    let factory = builder.build().unwrap();
    factory.open("a").await.unwrap();

    let mut dropped = Box::pin(factory.close_all());
    let first = std::future::poll_fn(|task| Poll::Ready(dropped.as_mut().poll(task))).await;
    assert!(first.is_pending());
    drop(dropped);
    gate.add_permits(1);
    factory.close_all().await;
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shared_failure_says_what_the_first_one_says() {
    let slot = crate::slot::Slot::default();
    let fail = async || {
        tokio::task::yield_now().await;
        let error = Error::new(ErrorKind::Timeout, "no answer");
        Err(error.with_operation("connect").with_provider("slow"))
    };
    let (first, second) = futures_util::future::join(slot.open(fail), slot.open(fail)).await;
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_eq!(first.to_string(), second.to_string());
}

#[tokio::test]
async fn a_disabled_store_says_so_and_open_all_passes_over_it() {
    let toml = store("")
        + "[default.database.kvstore.b]\nenabled = false\n[default.database.kvstore.b.provider]\nbackend = \"null\"\nhost = \"${NOT_SET_WHERE_DISABLED}\"";
    let factory = factory(&toml);
    factory.validate().unwrap();
    assert_eq!(
        factory.open("b").await.unwrap_err().to_string(),
        "`default.database.kvstore.b.enabled`: the store `b` is disabled; set it to true to open the store"
    );
    let open = factory.open_all().await.unwrap();
    assert_eq!(open.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(factory.names().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn the_stack_is_printed_from_the_provider_outwards_without_what_is_disabled() {
    let toml = store("")
        + r#"
        [[default.database.kvstore.a.wrappers]]
        name = "default_ttl"
        config = { default_ttl_seconds = 3600 }
        [[default.database.kvstore.a.wrappers]]
        name = "key_resolver"
        enabled = "${RESOLVE:-false}"
        config = { default_ttl_seconds = "not looked at" }
        [[default.database.kvstore.a.wrappers]]
        name = "mark"
        [default.context]
        namespace = "shared"
        "#;
    let kv = factory(&toml).open("a").await.unwrap();
    assert_eq!(
        format!("{kv:?}"),
        "Kv(null > default_ttl(3600s) > mark(a@shared))"
    );
}

#[tokio::test]
async fn an_instances_namespace_wins_and_a_wrappers_own_field_over_both() {
    let stack = async |namespace: &str, config: &str| {
        let toml = format!(
            "[default.context]\nnamespace = \"shared\"\nmulti_tenancy_enabled = false\n[default.database.kvstore.a]\n{namespace}\n{}[[default.database.kvstore.a.wrappers]]\nname = \"key_resolver\"\nconfig = {{ {config} }}",
            store("")
        );
        let kv = factory(&toml).open("a").await.unwrap();
        let key = kv.resolve("k").unwrap();
        key.to_string()
    };
    assert_eq!(stack("", "").await, "nala:shared:k");
    assert_eq!(stack("namespace = \"cache\"", "").await, "nala:cache:k");
    assert_eq!(
        stack(
            "namespace = \"cache\"",
            "namespace = \"own\", separator = \"/\""
        )
        .await,
        "nala/own/k"
    );
}

#[tokio::test]
async fn secrets_show_nowhere() {
    let factory = factory(&store("password = \"${WORD}\""));
    let settings = factory.settings("database.kvstore.a.provider").unwrap();
    let kv = factory.open("a").await.unwrap();
    assert_eq!(format!("{factory:?}"), "Factory(a)");
    assert_eq!(
        format!("{settings:?}"),
        "Settings(default.database.kvstore.a.provider: backend, host, password)"
    );
    let all = format!("{factory:?} {settings:?} {kv:?}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[tokio::test]
async fn a_url_opens_a_bare_store_of_its_own() {
    let factory = builder().0.build().unwrap();
    let text = async |url: &str| factory.open_url(url).await.unwrap_err().to_string();
    let unknown = text("postgres://me:hunter2@h").await;
    assert!(
        unknown.starts_with("unknown URL scheme `postgres`; known schemes: "),
        "{unknown}"
    );
    let relative = text("hunter2").await;
    assert!(
        relative.starts_with("the URL cannot be parsed"),
        "{relative}"
    );
    for text in [unknown, relative] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A provider that refuses what is handed to it, or a scheme that nobody is handed, shows only here.
#[test]
fn every_form_of_a_url_reaches_its_provider() {
    let registry = crate::builtin::registry();
    for (provider, urls) in [
        ("memory", &["memory://"][..]),
        (
            "etcd",
            &["etcd://h", "etcds://h:1,i:2", "etcd://u:p@h/root"],
        ),
        (
            "redis",
            &[
                "redis://u:p@h:1/2",
                "rediss://h",
                "redis-cluster://u:p@h:1,i:2",
                "redis-cluster://h",
                "rediss-cluster://h:1,[::1]:2",
                "redis+unix:///run/redis?db=1",
                "unix:///run/redis",
                "valkey://h",
                "valkeys://h",
                "valkey-cluster://h:1,i:2",
                "valkeys-cluster://h",
                "valkey+unix:///run/valkey",
            ],
        ),
    ] {
        let mut schemes = BTreeSet::new();
        for url in urls {
            let url = StoreUrl::parse(url).unwrap();
            schemes.insert(url.scheme().to_owned());
            assert_eq!(provider_of_scheme(url.scheme()), Some(provider));
            if feature_of(provider).is_none() {
                let builder = registry.provider_of_url(&url).unwrap();
                builder.build_url(&url).unwrap();
            }
        }
        let (_, known) = SCHEMES.iter().find(|(it, _)| *it == provider).unwrap();
        let known: BTreeSet<_> = known.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(schemes, known, "of {provider}");
    }
}

use super::{Fallback, FallbackConfig, FallbackOn, FallbackWrites};
use crate::{KeyResolver, KeySettings, script::Script};
use futures_util::future::ready;
use kv_core::{
    CallOptions, Capability, CapabilitySet, Error, ErrorKind, Kv, Layer, Outcome, Reply, Service,
    TimeToLive, Ttl, VirtualClock, layer_fn,
};
use kv_memory::{MemoryConfig, MemoryStore};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A store that can be switched off, and a way to it that cannot.
struct Site {
    is_down: Arc<AtomicBool>,
    /// What lies in the store, whether it is switched off or not.
    bare: Kv,
    service: Arc<dyn Service>,
}

impl Site {
    async fn new(clock: &VirtualClock) -> Self {
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        let service = Keep::default();
        let bare = Kv::builder(store).layer(service.clone());
        let bare = bare.connect().await.unwrap();
        let service = service.0.lock().take().unwrap();
        Self {
            is_down: Arc::default(),
            bare,
            service,
        }
    }

    fn down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    fn service(&self) -> Arc<dyn Service> {
        let is_down = Arc::clone(&self.is_down);
        let switch = layer_fn("switch", move |request, next| {
            match is_down.load(Ordering::Relaxed) {
                true => Box::pin(ready(Err(Error::new(ErrorKind::Unavailable, "down")))),
                false => next.call(request),
            }
        });
        switch.wrap(Arc::clone(&self.service))
    }
}

/// Keeps the service it is put around.
#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Option<Arc<dyn Service>>>>);

impl Layer for Keep {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        *self.0.lock() = Some(Arc::clone(&inner));
        inner
    }
}

async fn sites(on: FallbackOn, writes: FallbackWrites) -> (Site, Site, Kv, VirtualClock) {
    let clock = VirtualClock::default();
    let (first, second) = (Site::new(&clock).await, Site::new(&clock).await);
    let config = FallbackConfig { on, writes };
    let fallback = Fallback::new(config, Kv::from_service(second.service()));
    let kv = Kv::from_service(fallback.wrap(first.service()));
    kv.connect().await.unwrap();
    (first, second, kv, clock)
}

const TESTED: [FallbackWrites; 2] = [FallbackWrites::Around, FallbackWrites::Through];

#[tokio::test]
async fn what_a_caller_wants_holds_for_the_second_store_too() {
    let clock = VirtualClock::default();
    let (first, second) = (Site::new(&clock).await, Site::new(&clock).await);
    let seen = Arc::<Mutex<Vec<bool>>>::default();
    let note = Arc::clone(&seen);
    let noted = layer_fn("note", move |request, next| {
        note.lock().push(request.options.allow_near_cache());
        next.call(request)
    });
    let config = FallbackConfig::new(FallbackOn::MissOrError, FallbackWrites::Through);
    let second = Kv::from_service(noted.wrap(second.service()));
    let layer = Fallback::new(config, second);
    let kv = Kv::from_service(layer.wrap(first.service()));
    kv.connect().await.unwrap();
    let kv = kv.with(CallOptions::new().without_near_cache());
    kv.set("a", "1").await.unwrap();
    kv.get("b").await.unwrap();
    first.down(true);
    kv.exists("a").await.unwrap();
    assert_eq!(*seen.lock(), [false; 3]);
}

#[tokio::test]
async fn case_137_an_error_is_answered_by_the_second_store() {
    for writes in TESTED {
        let (first, second, kv, _) = sites(FallbackOn::Error, writes).await;
        second.bare.set("a", "second").await.unwrap();
        first.bare.set("a", "first").await.unwrap();
        assert_eq!(kv.get("a").await.unwrap(), Some("first".into()));
        first.down(true);
        assert_eq!(kv.get("a").await.unwrap(), Some("second".into()));
        assert_eq!(
            kv.get_many(["a", "b"]).await.unwrap(),
            [Some("second".into()), None]
        );
        assert!(kv.exists("a").await.unwrap());
        assert_eq!(kv.time_to_live("a").await.unwrap(), TimeToLive::NoExpiry);
    }
}

#[tokio::test]
async fn case_137_a_miss_falls_back_only_if_told_to() {
    let (_, second, kv, _) = sites(FallbackOn::Error, FallbackWrites::Around).await;
    second.bare.set("a", "second").await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), None);
    let (first, second, kv, _) = sites(FallbackOn::MissOrError, FallbackWrites::Around).await;
    second.bare.set("a", "second").await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), Some("second".into()));
    first.down(true);
    assert_eq!(kv.get("a").await.unwrap(), Some("second".into()));
    // A second store that fails does not turn a miss into an error.
    first.down(false);
    second.down(true);
    assert_eq!(kv.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn case_137_it_heals_with_what_is_left_of_the_deadline() {
    let (first, second, kv, clock) = sites(FallbackOn::MissOrError, FallbackWrites::Around).await;
    second.bare.set_for("a", "value", MINUTE).await.unwrap();
    second.bare.set("b", "for ever").await.unwrap();
    first.bare.set("c", "own").await.unwrap();
    clock.advance(Duration::from_secs(20));
    let values = kv.get_many(["b", "c", "d", "a"]).await.unwrap();
    let wanted = [
        Some("for ever".into()),
        Some("own".into()),
        None,
        Some("value".into()),
    ];
    assert_eq!(values, wanted);
    let left = TimeToLive::In(Duration::from_secs(40));
    assert_eq!(first.bare.time_to_live("a").await.unwrap(), left);
    let for_ever = first.bare.time_to_live("b").await.unwrap();
    assert_eq!(for_ever, TimeToLive::NoExpiry);
    second.down(true);
    assert_eq!(kv.get("a").await.unwrap(), Some("value".into()));
}

#[tokio::test]
async fn case_137_it_never_heals_over_what_is_there() {
    let (first, second, kv, _) = sites(FallbackOn::MissOrError, FallbackWrites::Around).await;
    first.bare.hset("a", "field", "structure").await.unwrap();
    second.bare.set("a", "string").await.unwrap();
    // A batch says of a structure what it says of a missing key; the heal learns better.
    assert_eq!(kv.get_many(["a"]).await.unwrap(), [None]);
    let field = first.bare.hget("a", "field").await.unwrap();
    assert_eq!(field, Some("structure".into()));
}

#[tokio::test]
async fn case_137_an_answer_is_no_reason_to_fall_back() {
    let (first, second, kv, _) = sites(FallbackOn::MissOrError, FallbackWrites::Around).await;
    first.bare.hset("a", "field", "structure").await.unwrap();
    second.bare.set("a", "string").await.unwrap();
    let error = kv.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongType);
}

#[tokio::test]
async fn case_137_if_both_are_down_the_first_one_speaks() {
    let (first, second, kv, _) = sites(FallbackOn::MissOrError, FallbackWrites::Around).await;
    first.down(true);
    second.down(true);
    let error = kv.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let other = error.context("fallback").unwrap();
    assert!(other.starts_with("down"), "{other}");
}

#[tokio::test]
async fn case_137_writes_go_around_or_through() {
    for writes in TESTED {
        let (_, second, kv, _) = sites(FallbackOn::Error, writes).await;
        kv.set_for("a", "value", MINUTE).await.unwrap();
        kv.set_many([("b", "value"), ("c", "value")]).await.unwrap();
        assert!(kv.delete("c").await.unwrap());
        let there = second.bare.exists_many(["a", "b", "c"]).await.unwrap();
        let is_through = writes == FallbackWrites::Through;
        assert_eq!(there, if is_through { 2 } else { 0 });
        // What the second store misses is not the caller's trouble.
        second.down(true);
        kv.set("a", "value").await.unwrap();
    }
}

#[tokio::test]
async fn a_write_that_the_first_store_did_not_take_is_an_error_and_goes_nowhere() {
    for writes in TESTED {
        let (first, second, kv, _) = sites(FallbackOn::MissOrError, writes).await;
        first.down(true);
        let error = kv.set("a", "value").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(second.bare.get("a").await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_item_that_the_first_store_did_not_take_goes_nowhere() {
    let clock = VirtualClock::default();
    let (first, second) = (Site::new(&clock).await, Site::new(&clock).await);
    let fail_first_item = layer_fn("fail_first_item", |request, next| {
        Box::pin(async move {
            let mut reply = next.call(request).await?;
            if let Reply::SetMany(items) = &mut reply {
                items[0] = Err(Error::new(ErrorKind::Unavailable, "as told"));
            }
            Ok(reply)
        })
    });
    let config = FallbackConfig {
        writes: FallbackWrites::Through,
        ..FallbackConfig::default()
    };
    let fallback = Fallback::new(config, second.bare.clone());
    let kv = Kv::from_service(fallback.wrap(fail_first_item.wrap(first.service())));
    kv.connect().await.unwrap();
    let items = [("a", "value"), ("b", "value")];
    kv.set_many(items).await.unwrap_err();
    assert_eq!(second.bare.get("a").await.unwrap(), None);
    assert!(second.bare.exists("b").await.unwrap());
}

#[tokio::test]
async fn writing_through_needs_what_both_stores_can() {
    for (writes, can_expire) in [
        (FallbackWrites::Around, true),
        (FallbackWrites::Through, false),
    ] {
        let mut second = Script::default();
        second.lacks = CapabilitySet::NONE.with(Capability::Expiry);
        let config = FallbackConfig {
            writes,
            ..FallbackConfig::default()
        };
        let fallback = Fallback::new(config, Kv::from_service(Arc::new(second)));
        let first = Site::new(&VirtualClock::default()).await;
        let can = fallback.wrap(first.service()).capabilities();
        assert_eq!(can.has(Capability::Expiry), can_expire);
    }
}

#[tokio::test]
async fn what_two_stores_cannot_honour_is_subtracted() {
    for writes in TESTED {
        let (.., kv, _) = sites(FallbackOn::Error, writes).await;
        let can: Vec<_> = kv.capabilities().can.iter().collect();
        let wanted = [
            Capability::Strings,
            Capability::Expiry,
            Capability::Scan,
            Capability::ScanAfter,
        ];
        assert_eq!(can, wanted);
        let refused = [
            kv.increment("a", 1).await.err(),
            kv.set_if_absent("a", "value", Ttl::Never).await.err(),
            kv.hget("a", "field").await.err(),
            kv.now().await.err(),
        ];
        for error in refused {
            assert_eq!(error.unwrap().kind(), ErrorKind::Unsupported);
        }
    }
}

#[tokio::test]
async fn closing_leaves_the_second_store_to_its_owner() {
    let (first, second, kv, _) = sites(FallbackOn::Error, FallbackWrites::Around).await;
    kv.close().await;
    assert!(!first.bare.is_available().await);
    assert!(second.bare.is_available().await);
}

#[test]
fn settings_are_read() {
    let config: FallbackConfig =
        toml::from_str("on = \"miss_or_error\"\nwrites = \"through\"").unwrap();
    assert_eq!(config.on, FallbackOn::MissOrError);
    assert_eq!(config.writes, FallbackWrites::Through);
    let usual: FallbackConfig = toml::from_str("").unwrap();
    assert_eq!(usual, FallbackConfig::default());
    for wrong in ["on = \"miss\"", "writes = \"back\"", "store = \"x\""] {
        assert!(toml::from_str::<FallbackConfig>(wrong).is_err(), "{wrong}");
    }
}

/// The second store would mix what the first keeps apart.
#[tokio::test]
async fn a_place_where_tenants_would_meet_in_the_second_store_is_refused() {
    let resolver = |use_user_uid| {
        KeyResolver::new(KeySettings {
            use_user_uid,
            ..KeySettings::default()
        })
        .unwrap()
    };
    let bare = || Kv::builder(MemoryStore::default());
    let to = |second: Kv| {
        Fallback::new(
            FallbackConfig::new(FallbackOn::Error, FallbackWrites::Through),
            second,
        )
    };
    let apart = |second: Kv| bare().layer(resolver(false)).layer(to(second));
    let error = apart(bare().build()).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let told = error.to_string();
    assert!(
        told.contains("tenants apart") && told.contains("all would meet"),
        "{told}"
    );
    // The way out that it names for who has no tenants is one.
    assert!(told.contains("`multi_tenancy_enabled = false`"), "{told}");
    let alone = KeySettings {
        multi_tenancy_enabled: Some(false),
        ..KeySettings::default()
    };
    let alone = bare().layer(KeyResolver::new(alone).unwrap());
    let alone = alone.layer(to(bare().build()));
    alone.connect().await.unwrap();
    // Apart by tenants only is not apart by users.
    let by_users = bare().layer(resolver(true));
    let second = bare().layer(resolver(false)).build();
    let error = by_users.layer(to(second)).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("`use_user_uid = false`"),
        "{error}"
    );

    let second = bare().layer(resolver(false)).build();
    apart(second).connect().await.unwrap();
    // Further in it is handed the store's own keys.
    let inside = bare().layer(to(bare().build()));
    inside.layer(resolver(true)).connect().await.unwrap();
    bare().layer(to(bare().build())).connect().await.unwrap();
}

/// As the documentation of the layer warns.
#[tokio::test]
async fn namespaces_meet_in_a_second_store_that_they_share_from_outside_of_their_resolvers() {
    let named = |name: &str| {
        KeyResolver::new(KeySettings {
            namespace: name.into(),
            ..KeySettings::default()
        })
        .unwrap()
    };
    let shared = MemoryStore::default();
    let open = async |name, is_inside| {
        let config = FallbackConfig::new(FallbackOn::MissOrError, FallbackWrites::Through);
        let (first, second) = (
            Kv::builder(MemoryStore::default()),
            Kv::builder(shared.clone()),
        );
        let kv = match is_inside {
            true => first
                .layer(Fallback::new(config, second.build()))
                .layer(named(name)),
            false => first
                .layer(named(name))
                .layer(Fallback::new(config, second.layer(named("second")).build())),
        };
        kv.connect().await.unwrap()
    };
    for (is_inside, seen) in [(false, Some("of a".into())), (true, None)] {
        let (a, b) = (open("a", is_inside).await, open("b", is_inside).await);
        a.set("key", "of a").await.unwrap();
        assert_eq!(b.get("key").await.unwrap(), seen, "{is_inside}");
    }
}

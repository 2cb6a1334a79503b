use super::*;
use kv_core::{Capability, Key, Kv, Op, Read, SetOptions, TimeToLive, Txn, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn band() -> TtlClampConfig {
    TtlClampConfig::default()
        .min(SECOND)
        .max(HOUR)
        .missing_ttl(MINUTE)
}

struct Site {
    kv: Kv,
    raw: Kv,
    clock: VirtualClock,
}

/// The same store through the layer, and as it is; its time stands still.
async fn site(config: TtlClampConfig) -> Site {
    let clock = VirtualClock::at(Timestamp::from_micros(1_000_000_000_000_000));
    let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
    let layer = TtlClamp::new(config).unwrap();
    let layer = layer.clock(Arc::new(clock.clone())).seed(7);
    let kv = Kv::builder(store.clone()).layer(layer);
    Site {
        kv: kv.connect().await.unwrap(),
        raw: Kv::builder(store).connect().await.unwrap(),
        clock,
    }
}

impl Site {
    async fn after_set(&self, ttl: Ttl) -> TimeToLive {
        self.kv.set_with("a", "1", ttl).await.unwrap();
        self.raw.time_to_live("a").await.unwrap()
    }

    async fn after_expire(&self, expiry: Expiry) -> TimeToLive {
        self.raw.set("e", "1").await.unwrap();
        self.kv.expire("e", expiry).await.unwrap();
        self.raw.time_to_live("e").await.unwrap()
    }

    fn instant(&self, span: Duration) -> Timestamp {
        self.clock.now().saturating_add(span)
    }
}

fn held(span: Duration) -> Ttl {
    Ttl::Held(Lifetime::new(span).unwrap())
}

fn within(span: Duration) -> Ttl {
    Ttl::after(span).unwrap()
}

fn lives(span: Duration) -> TimeToLive {
    TimeToLive::In(span)
}

#[tokio::test]
async fn case_133_lifetimes_are_brought_into_the_band() {
    let it = site(band()).await;
    let short = Duration::from_millis(1);
    assert_eq!(it.after_set(within(short)).await, lives(SECOND));
    assert_eq!(it.after_set(within(2 * HOUR)).await, lives(HOUR));
    for in_range in [SECOND, 5 * SECOND, HOUR] {
        assert_eq!(it.after_set(within(in_range)).await, lives(in_range));
    }
    assert_eq!(it.after_set(Ttl::Unset).await, lives(MINUTE));
    assert_eq!(it.after_set(Ttl::Never).await, lives(HOUR));

    assert_eq!(
        it.after_set(Ttl::At(it.instant(short))).await,
        lives(SECOND)
    );
    assert_eq!(
        it.after_set(Ttl::At(it.instant(2 * HOUR))).await,
        lives(HOUR)
    );
    assert_eq!(
        it.after_set(Ttl::At(it.instant(MINUTE))).await,
        lives(MINUTE)
    );
    let past = Ttl::At(Timestamp::from_micros(1));
    assert_eq!(it.after_set(past).await, TimeToLive::Missing);

    for (asked, given) in [(short, SECOND), (2 * HOUR, HOUR), (MINUTE, MINUTE)] {
        let lifetime = Lifetime::new(asked).unwrap();
        assert_eq!(it.after_expire(lifetime.into()).await, lives(given));
        let instant = it.instant(asked);
        assert_eq!(it.after_expire(instant.into()).await, lives(given));
        let held = Expiry::Held(lifetime);
        assert_eq!(it.after_expire(held).await, lives(asked));
    }
}

#[tokio::test]
async fn what_a_holder_counts_on_stays() {
    let it = site(band().jitter(0.5)).await;
    for span in [Duration::from_millis(1), 2 * HOUR] {
        assert_eq!(it.after_set(held(span)).await, lives(span));
    }
    it.raw.set_for("a", "1", 5 * HOUR).await.unwrap();
    assert_eq!(it.after_set(Ttl::Keep).await, lives(5 * HOUR));
}

#[tokio::test]
async fn every_command_with_a_lifetime_is_covered() {
    let it = site(band()).await;
    let (kv, raw) = (&it.kv, &it.raw);
    kv.increment("n", 1).await.unwrap();
    kv.increment("n", 1).await.unwrap();
    assert_eq!(raw.time_to_live("n").await.unwrap(), lives(MINUTE));
    let options = SetOptions::from(within(2 * HOUR));
    kv.set_many_with([("m", "1")], options).await.unwrap();
    assert_eq!(raw.time_to_live("m").await.unwrap(), lives(HOUR));
    let key = |name: &'static str| Key::new(name).unwrap();
    let write = Txn::new()
        .then(Op::Set {
            key: key("{t}a"),
            content: kv_core::Value::from("1").into(),
            ttl: Ttl::Unset,
        })
        .then(Op::Increment {
            key: key("{t}b"),
            by: 1,
            ttl_if_created: within(2 * HOUR),
        });
    kv.commit_one(write).await.unwrap();
    let read = Txn::new().then(Read::Ttl { key: key("{t}a") });
    let mut read = raw
        .commit_one(read.then(Read::Ttl { key: key("{t}b") }))
        .await
        .unwrap();
    assert_eq!(read.ttl(0).unwrap(), lives(MINUTE));
    assert_eq!(read.ttl(1).unwrap(), lives(HOUR));
}

#[tokio::test]
async fn each_setting_works_alone() {
    let only = TtlClampConfig::default;
    let it = site(only().min(SECOND)).await;
    assert_eq!(it.after_set(Ttl::Unset).await, TimeToLive::NoExpiry);
    assert_eq!(it.after_set(Ttl::Never).await, TimeToLive::NoExpiry);
    assert_eq!(it.after_set(within(9 * HOUR)).await, lives(9 * HOUR));
    let it = site(only().max(HOUR)).await;
    assert_eq!(it.after_set(Ttl::Unset).await, lives(HOUR));
    let it = site(only().missing_ttl(HOUR)).await;
    assert_eq!(it.after_set(Ttl::Unset).await, lives(HOUR));
    assert_eq!(it.after_set(Ttl::Never).await, TimeToLive::NoExpiry);
}

#[tokio::test]
async fn case_133_jitter_stays_in_its_band() {
    let it = site(band().jitter(0.2)).await;
    let mut seen = std::collections::BTreeSet::new();
    let spread = async |asked: Ttl| match it.after_set(asked).await {
        TimeToLive::In(left) => left,
        other => panic!("{other:?}"),
    };
    for _ in 0..500 {
        let left = spread(within(100 * SECOND)).await;
        assert!((80 * SECOND..=100 * SECOND).contains(&left), "{left:?}");
        seen.insert(left);
        // What is cut to the longest is spread, too; what is brought up to the shortest is not cut.
        let left = spread(Ttl::Never).await;
        assert!((HOUR * 4 / 5..=HOUR).contains(&left), "{left:?}");
        assert_eq!(spread(within(Duration::from_millis(1))).await, SECOND);
    }
    assert!(seen.len() > 400, "{} of 500 differ", seen.len());
    let (low, high) = (seen.first().unwrap(), seen.last().unwrap());
    assert!(
        *low < 81 * SECOND && *high > 99 * SECOND,
        "{low:?} to {high:?}"
    );

    let whole = site(TtlClampConfig::default().jitter(1.0)).await;
    for _ in 0..100 {
        let TimeToLive::In(left) = whole.after_set(within(Duration::from_millis(3))).await else {
            panic!("a key that never was");
        };
        assert!((1..=3).contains(&left.as_millis()), "{left:?}");
    }
}

#[tokio::test]
async fn case_133_jitter_never_goes_below_the_granularity() {
    struct Coarse(Arc<dyn Service>);
    impl Service for Coarse {
        fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
            self.0.call(request)
        }
        fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
            self.0.watch(watch, context)
        }
        fn capabilities(&self) -> Capabilities {
            let mut it = self.0.capabilities();
            it.ttl_granularity = SECOND;
            it
        }
        fn name(&self) -> String {
            "coarse".to_owned()
        }
        fn inner(&self) -> Option<&dyn Service> {
            Some(&*self.0)
        }
    }
    struct MakeCoarse;
    impl Layer for MakeCoarse {
        fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
            Arc::new(Coarse(inner))
        }
    }
    let store = MemoryStore::default();
    let config = TtlClampConfig::default().jitter(1.0);
    let seen: Arc<Mutex<Vec<Ttl>>> = Arc::default();
    let note = Arc::clone(&seen);
    let kv = Kv::builder(store)
        .layer(layer_fn("note", move |request, next| {
            if let kv_core::Command::Set { options, .. } = &request.command {
                note.lock().push(options.ttl);
            }
            next.call(request)
        }))
        .layer(MakeCoarse)
        .layer(TtlClamp::new(config).unwrap().seed(1));
    let kv = kv.connect().await.unwrap();
    for _ in 0..50 {
        kv.set_for("a", "1", 2 * SECOND).await.unwrap();
        kv.set_for("a", "1", SECOND / 2).await.unwrap();
    }
    for pair in seen.lock().chunks(2) {
        let [Ttl::In(long), Ttl::In(short)] = pair else {
            panic!("{pair:?}");
        };
        assert!(
            long.as_duration() >= SECOND && long.as_duration() <= 2 * SECOND,
            "{long:?}"
        );
        assert_eq!(short.as_duration(), SECOND / 2, "no longer than asked for");
    }
}

#[tokio::test]
async fn capabilities_pass_through_and_settings_that_cannot_work_are_refused() {
    let it = site(band()).await;
    assert_eq!(it.kv.capabilities(), it.raw.capabilities());
    assert!(it.kv.capabilities().has(Capability::Expiry));
    assert_eq!(
        format!("{:?}", it.kv),
        "Kv(memory > ttl_clamp(min 1s, max 3600s, missing 60s))"
    );
    let only = TtlClampConfig::default;
    let told = |config| {
        let error = TtlClamp::new(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    assert!(told(only()).starts_with("ttl_clamp needs one of"));
    assert!(told(only().min(HOUR).max(SECOND)).starts_with("min, missing_ttl and max must"));
    assert!(
        told(only().min(HOUR).missing_ttl(SECOND)).starts_with("min, missing_ttl and max must")
    );
    assert!(told(only().min(Duration::ZERO)).starts_with("min must be longer than zero"));
    for jitter in [-0.1, 1.1, f64::NAN] {
        assert!(told(only().jitter(jitter)).starts_with("jitter must be from 0 to 1"));
    }
}

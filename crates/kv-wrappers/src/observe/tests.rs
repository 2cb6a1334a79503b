#![allow(clippy::unwrap_used, reason = "a test")]

use super::{Observe, ObserveConfig, ObserveLevel, ShowKeys};
use crate::{
    capture::{Capture, block_on, counted},
    script::{DOWN, Script, Step, poll},
};
use futures_util::StreamExt;
use kv_core::{
    Error, ErrorKind, Fate, Guard, Key, Kv, Reply, Ttl, VirtualClock, Watch, ZMove, layer_fn,
};
use kv_memory::MemoryStore;
use std::{sync::Arc, time::Duration};
use tracing::{Level, subscriber::with_default};

const SECRET: &str = "hunter2";
const WHO: &str = "alice@example.com";

fn config() -> ObserveConfig {
    ObserveConfig::new("sessions").namespace("cache")
}

async fn on_memory() -> Kv {
    let builder = Kv::builder(MemoryStore::default()).layer(Observe::new(config()).unwrap());
    builder.connect().await.unwrap()
}

/// Runs it with a subscriber and a recorder.
fn told<T>(run: impl FnOnce() -> T) -> (T, Capture, crate::capture::Counted) {
    let capture = Capture::default();
    let (out, counted) = counted(|| with_default(capture.clone(), run));
    (out, capture, counted)
}

#[test]
fn case_145_each_success_and_each_error_tells_one_event() {
    let clock = VirtualClock::default();
    let ((), capture, counted) = told(|| {
        let slow = clock.clone();
        let takes_a_while = layer_fn("slow", move |request, next| {
            slow.advance(Duration::from_millis(20));
            next.call(request)
        });
        let observe = Observe::new(config()).unwrap().clock(Arc::new(clock));
        let kv = Kv::builder(MemoryStore::default())
            .layer(takes_a_while)
            .layer(observe);
        block_on(async {
            let kv = kv.connect().await.unwrap();
            kv.set("a", "1").await.unwrap();
            kv.get("a").await.unwrap();
            kv.get("b").await.unwrap();
            kv.set_if_absent("a", "2", Ttl::Never).await.unwrap();
            kv.hget("a", "f").await.unwrap_err();
        });
    });
    let events = capture.events();
    let shown: Vec<_> = events
        .iter()
        .map(|it| {
            [
                "db.operation.name",
                "db.system.name",
                "kv.outcome",
                "error.type",
                "kv.duration",
                "kv.store",
            ]
            .map(|name| it.field(name).to_owned())
            .join(" ")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "set_with memory ok  0.02 sessions",
            "get memory hit  0.02 sessions",
            "get memory miss  0.02 sessions",
            "set_with memory refused  0.02 sessions",
            "hget memory wrong_type wrong_type 0.02 sessions",
        ]
    );
    // Each event is in the span of its call.
    let inside: Vec<_> = events.iter().map(|it| it.inside).collect();
    assert_eq!(inside, [1, 2, 3, 4, 5].map(Some));
    assert!(
        events
            .iter()
            .all(|it| it.level == Level::DEBUG && it.target == "kv")
    );
    let operations = |labels: &[&str]| counted.of("kv_operations_total", labels);
    assert_eq!(operations(&["db_operation_name=get", "outcome=hit"]), 1.0);
    assert_eq!(operations(&["db_operation_name=get", "outcome=miss"]), 1.0);
    assert_eq!(operations(&["outcome=refused"]), 1.0);
    assert_eq!(operations(&["outcome=wrong_type"]), 1.0);
    assert_eq!(
        operations(&["store=sessions", "db_system_name=memory"]),
        5.0
    );
    let durations = |labels: &[&str]| counted.of("db_client_operation_duration_seconds", labels);
    assert_eq!(durations(&[]), 5.0);
    assert_eq!(durations(&["error_type=wrong_type"]), 1.0);
    assert_eq!(counted.of("kv_operations_in_flight", &[]), 0.0);
}

#[test]
fn case_145_a_batch_tells_hits_and_misses_key_by_key_and_its_bytes() {
    let ((), capture, counted) = told(|| {
        block_on(async {
            let kv = on_memory().await;
            kv.set_many([("a", "1"), ("b", "333")]).await.unwrap();
            kv.get_many(["a", "x", "b", "y", "z"]).await.unwrap();
            kv.get("a").await.unwrap();
            kv.hset("h", "field", "four").await.unwrap();
            kv.hget_many("h", ["field", "none"]).await.unwrap();
        });
    });
    let lookups = |labels: &[&str]| counted.of("kv_lookups_total", labels);
    assert_eq!(lookups(&["db_operation_name=get_many", "result=hit"]), 2.0);
    assert_eq!(lookups(&["db_operation_name=get_many", "result=miss"]), 3.0);
    assert_eq!(lookups(&["db_operation_name=get", "result=hit"]), 1.0);
    assert_eq!(
        lookups(&["db_operation_name=hget_many", "result=miss"]),
        1.0
    );
    assert_eq!(lookups(&[]), 8.0);
    let read = |name| counted.of("kv_read_bytes_total", &[name]);
    assert_eq!(read("db_operation_name=get_many"), 4.0);
    assert_eq!(read("db_operation_name=hget_many"), 4.0);
    let written = |name| counted.of("kv_written_bytes_total", &[name]);
    assert_eq!(written("db_operation_name=set_many_with"), 4.0);
    assert_eq!(written("db_operation_name=hset_many"), 9.0);
    assert_eq!(written("db_operation_name=get_many"), 0.0);
    let spans = capture.spans();
    let sizes: Vec<_> = spans
        .iter()
        .map(|it| it.field("db.operation.batch.size"))
        .collect();
    assert_eq!(sizes, ["2", "5", "", "", ""]);
}

#[test]
fn case_145_neither_keys_nor_values_leak() {
    let run = |config: ObserveConfig| {
        told(|| {
            let script = Script::new([Step::Answer, DOWN, Step::FailItem(ErrorKind::Codec)]);
            let kv = script.under(Observe::new(config).unwrap());
            let key = format!("session:{WHO}");
            script.run(kv.set(&key, SECRET)).unwrap();
            script.run(kv.get(&key)).unwrap_err();
            let _ = script.run(kv.set_many([(&key, SECRET), (&key, SECRET)]));
        })
    };
    let ((), capture, counted) = run(config());
    let text = format!("{} {counted:?}", capture.text());
    assert!(
        text.contains("set_with cache") && !text.contains("session:"),
        "{text}"
    );
    assert!(!text.contains(SECRET) && !text.contains(WHO), "{text}");
    assert_eq!(counted.of("kv_operations_total", &["outcome=partial"]), 1.0);

    let ((), capture, _) = run(config().show_keys(ShowKeys::up_to(":")));
    let keys: Vec<_> = capture
        .spans()
        .iter()
        .map(|it| it.field("kv.key").to_owned())
        .collect();
    assert_eq!(keys, ["session:", "session:", ""]);
    let text = capture.text();
    assert!(!text.contains(SECRET) && !text.contains(WHO), "{text}");
}

#[test]
fn a_move_that_brings_a_body_nobody_can_read_is_partial() {
    let ((), _, counted) = told(|| {
        let spoil = layer_fn("spoil", |request, next| {
            Box::pin(async move {
                let mut reply = next.call(request).await?;
                if let Reply::ZMove(moved) = &mut reply {
                    let second = moved.members.iter_mut().filter(|it| it.member == "b");
                    let bodies = second.flat_map(|it| &mut it.bodies);
                    bodies.for_each(|it| *it = Err(Error::new(ErrorKind::Codec, "damaged")));
                }
                Ok(reply)
            })
        });
        let kv = Kv::builder(MemoryStore::default())
            .layer(spoil)
            .layer(Observe::new(config()).unwrap());
        block_on(async {
            let kv = kv.connect().await.unwrap();
            let key = |name: &str| Key::new(format!("{{q}}:{name}")).unwrap();
            let claim = || {
                ZMove::new(1)
                    .from(key("due"), 10)
                    .to(key("lease"), 20)
                    .with(key("bodies"), Fate::Keep)
            };
            kv.hset_many(key("bodies"), [("a", "1"), ("b", "2")])
                .await
                .unwrap();
            kv.zadd(key("due"), [("a", 1), ("b", 2)]).await.unwrap();
            kv.zmove(claim()).await.unwrap();
            kv.zmove(claim()).await.unwrap();
            let never = Guard::value_is(key("mark"), "there");
            kv.zmove(claim().when(never)).await.unwrap();
        });
    });
    for outcome in ["outcome=ok", "outcome=partial", "outcome=refused"] {
        let labels = ["db_operation_name=zmove", outcome];
        assert_eq!(counted.of("kv_operations_total", &labels), 1.0, "{outcome}");
    }
}

#[test]
fn of_a_key_is_shown_what_the_settings_say() {
    let key = |text: &str| Key::new(text.to_owned()).unwrap();
    let shown = |show: &ShowKeys, text: &str| show.of(&key(text));
    let colon = ShowKeys::up_to(":");
    assert_eq!(shown(&colon, "user:ann:x").as_deref(), Some("user:"));
    assert_eq!(shown(&colon, "ann"), None);
    assert_eq!(shown(&colon, &format!("{}:x", "a".repeat(40))), None);
    assert_eq!(shown(&ShowKeys::first(3), "user").as_deref(), Some("use"));
    assert_eq!(
        shown(&ShowKeys::first(9), "üx").as_deref(),
        Some("\\xc3\\xbcx")
    );
    // What layers put in front is not the caller's.
    let below = key("user:ann").prefixed(b"tenant:");
    assert_eq!(colon.of(&below).as_deref(), Some("user:"));
}

#[test]
fn a_dropped_call_is_cancelled_and_not_in_flight_any_more() {
    let run = |end: fn(kv_core::BoxFuture<'_, ()>)| {
        told(|| {
            let script = Script::new([Step::Hang]);
            let kv = script.under(Observe::new(config()).unwrap().clock(script.clock()));
            let mut get: kv_core::BoxFuture<'_, ()> = Box::pin(async {
                let _ = kv.get("a").await;
            });
            assert!(poll(&mut get).is_pending());
            script.clock.advance(Duration::from_secs(3));
            end(get);
        })
    };
    let ((), capture, counted) = run(|get| std::mem::forget(get));
    assert_eq!(
        counted.of("kv_operations_in_flight", &["store=sessions"]),
        1.0
    );
    assert_eq!(capture.events().len(), 0);
    let ((), capture, counted) = run(|get| drop(get));
    assert_eq!(counted.of("kv_operations_in_flight", &[]), 0.0);
    assert_eq!(
        counted.of("kv_operations_total", &["outcome=cancelled"]),
        1.0
    );
    let durations = |labels: &[&str]| counted.of("db_client_operation_duration_seconds", labels);
    assert_eq!(durations(&["error_type=cancelled"]), 1.0);
    let events = capture.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].field("kv.outcome"), "cancelled");
    assert_eq!(events[0].field("kv.duration"), "3.0");
    assert_eq!(capture.spans()[0].field("error.type"), "cancelled");
}

#[test]
fn a_watch_is_an_operation_of_its_own_and_told_while_it_lives() {
    let (events, capture, counted) = told(|| {
        block_on(async {
            let kv = on_memory().await;
            let keys = vec![Key::new("a").unwrap(), Key::new("b").unwrap()];
            let mut events = kv.watch(Watch::Keys(keys)).await.unwrap();
            kv.set("a", "1").await.unwrap();
            events.next().await.unwrap().unwrap();
            kv.delete("a").await.unwrap();
            events.next().await.unwrap().unwrap();
            events
        })
    });
    assert_eq!(counted.of("kv_watches", &["store=sessions"]), 1.0);
    assert_eq!(counted.of("kv_watch_events_total", &["event=put"]), 1.0);
    assert_eq!(counted.of("kv_watch_events_total", &["event=delete"]), 1.0);
    let durations = |labels: &[&str]| counted.of("db_client_operation_duration_seconds", labels);
    assert_eq!(durations(&["db_operation_name=watch"]), 1.0);
    assert_eq!(durations(&["db_operation_name=get"]), 0.0);
    assert_eq!(capture.spans()[0].field("db.operation.batch.size"), "2");
    assert_eq!(counted.of("kv_operations_in_flight", &[]), 0.0);
    drop(events);

    let ((), _, counted) = told(|| {
        block_on(async {
            let kv = on_memory().await;
            drop(kv.watch(Watch::Keys(vec![Key::new("a").unwrap()])).await);
        });
    });
    assert_eq!(counted.of("kv_watches", &[]), 0.0);
}

#[test]
fn a_slow_call_and_a_store_in_trouble_are_told_with_a_warning() {
    let ((), capture, _) = told(|| {
        let most = Duration::from_millis(100);
        let fine = Step::After(Duration::from_millis(90));
        let late = Step::After(Duration::from_millis(110));
        let conflict = Step::Fail(ErrorKind::Conflict, kv_core::Outcome::NotApplied);
        let script = Script::new([fine, late, DOWN, conflict]);
        let config = config().slow_after(most).level(ObserveLevel::Trace);
        let kv = script.under(Observe::new(config).unwrap().clock(script.clock()));
        for _ in 0..4 {
            let _ = script.run(kv.get("a"));
        }
    });
    let events = capture.events();
    let levels: Vec<_> = events
        .iter()
        .map(|it| (it.level, it.field("kv.slow")))
        .collect();
    let expected = [
        (Level::TRACE, ""),
        (Level::WARN, "true"),
        (Level::WARN, ""),
        (Level::TRACE, ""),
    ];
    assert_eq!(levels, expected);
    assert!(capture.spans().iter().all(|it| it.level == Level::TRACE));
    let statuses: Vec<_> = capture
        .spans()
        .iter()
        .map(|it| it.field("otel.status_code").to_owned())
        .collect();
    assert_eq!(statuses, ["", "", "ERROR", "ERROR"]);
}

#[test]
fn settings_are_read_and_those_that_cannot_work_are_refused() {
    let read = |text: &str| toml::from_str::<ObserveConfig>(text);
    let expected = ObserveConfig::new("a")
        .server("db", 6379)
        .level(ObserveLevel::Info)
        .slow_after(Duration::from_millis(250))
        .show_keys(ShowKeys::up_to("/"));
    let text = "store = \"a\"\nserver_address = \"db\"\nserver_port = 6379\nlevel = \"info\"\nslow_after = \"250ms\"\nshow_keys = { up_to = \"/\" }";
    assert_eq!(read(text).unwrap(), expected);
    assert_eq!(read("").unwrap(), ObserveConfig::default());
    assert!(read("levle = \"info\"").is_err());
    for text in [
        "slow_after = \"0s\"",
        "show_keys = { max_bytes = 0 }",
        "show_keys = { up_to = \"\" }",
    ] {
        let error = Observe::new(read(text).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

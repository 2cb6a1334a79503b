//! The seam, with a store that only writes down what it is asked.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    Capabilities, Capability, CapabilitySet, Command, Context, ErrorKind, Field, Key, Kv, Outcome,
    Place, Reply, Result, SetOptions, SetReply, Store, Ttl, Value, Visitor, layer_fn,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Clone)]
struct Recorder {
    calls: Arc<Mutex<Vec<String>>>,
    capabilities: Capabilities,
}

impl Recorder {
    fn new() -> Self {
        let can = [Capability::Strings, Capability::Hashes, Capability::Expiry];
        Self {
            calls: Arc::default(),
            capabilities: Capabilities::new(can.into_iter().collect()).with_limits(16, 8),
        }
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl Store for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        self.note(format!("get {key:?}"));
        Ok(Some("value".into()))
    }

    async fn set_with(&self, key: Key, _: Value, options: SetOptions) -> Result<SetReply> {
        self.note(format!("set {key:?} {:?}", options.ttl));
        Ok(SetReply::applied())
    }

    async fn close(&self) {
        self.note("close".to_owned());
    }
}

async fn connected(store: &Recorder) -> Kv {
    Kv::builder(store.clone()).connect().await.unwrap()
}

#[tokio::test]
async fn before_connect_and_after_close_commands_answer_closed() {
    let store = Recorder::new();
    let kv = Kv::builder(store.clone()).build();
    assert_eq!(kv.get("a").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!kv.is_available().await);
    kv.connect().await.unwrap();
    kv.connect().await.unwrap();
    assert!(kv.is_available().await);
    kv.get("a").await.unwrap();
    let clone = kv.clone();
    kv.close().await;
    clone.close().await;
    assert_eq!(clone.get("a").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(clone.connect().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        store.calls(),
        ["get Key(a)", "close"],
        "closed once, nothing sent after"
    );
}

#[tokio::test]
async fn what_the_store_lacks_is_refused_before_it_is_sent() {
    let store = Recorder::new();
    let kv = connected(&store).await;
    let error = kv.zadd("z", [("a", 1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "zadd: this store, or a layer on it, cannot do that; missing: sorted sets"
    );
    let condition = kv.set_if_absent("a", "1", Ttl::Never).await.unwrap_err();
    assert_eq!(condition.context("missing"), Some("conditional set"));
    assert!(store.calls().is_empty());
    let unclaimed = kv.hlen("h").await.unwrap_err();
    assert_eq!(
        unclaimed.kind(),
        ErrorKind::Unsupported,
        "claimed, but not implemented"
    );
}

#[tokio::test]
async fn bad_arguments_end_before_they_are_sent() {
    let store = Recorder::new();
    let kv = connected(&store).await;
    let zero = kv.set_for("a", "1", Duration::ZERO).await.unwrap_err();
    let long = kv.set_for("a", "1", Duration::MAX).await.unwrap_err();
    let empty = kv.get("").await.unwrap_err();
    let nan = kv.zadd("z", [("a", f64::NAN)]).await.unwrap_err();
    for error in [zero, long, empty, nan] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(error.outcome(), Outcome::Final);
        assert!(error.operation().is_some(), "{error:?}");
    }
    assert!(store.calls().is_empty());
}

#[tokio::test]
async fn too_long_keys_and_values_name_the_limit_and_the_callers_key() {
    let store = Recorder::new();
    let kv = Kv::builder(store.clone())
        .layer(layer_fn("prefix", |mut request, next| {
            struct Below;
            impl Visitor for Below {
                fn key(&mut self, key: &mut Key) -> Result<()> {
                    *key = key.prefixed(b"p:");
                    Ok(())
                }
            }
            request.command.visit(&mut Below).unwrap();
            next.call(request)
        }))
        .connect()
        .await
        .unwrap();
    let error = kv.get("fifteen-letters").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "get `fifteen-letters`: the key has 17 bytes on the store, which takes at most 16"
    );
    let error = kv.set("a", "nine byte").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.key(), Some("a"));
    assert!(store.calls().is_empty());
    assert_eq!(format!("{kv:?}"), "Kv(recorder > prefix)");
}

#[tokio::test]
async fn a_bound_context_wins_over_the_tasks() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let kv = Kv::builder(Recorder::new())
        .layer(layer_fn("note", move |request, next| {
            note.lock().unwrap().push(request.context.clone());
            next.call(request)
        }))
        .connect()
        .await
        .unwrap();
    let bound = kv.bind(Context::tenant("bound"));
    kv.get("a").await.unwrap();
    let scoped = async {
        kv.get("a").await.unwrap();
        bound.get("a").await.unwrap();
    };
    Context::tenant("task").scope(scoped).await;
    let expected = [
        None,
        Some(Context::tenant("task")),
        Some(Context::tenant("bound")),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn values_in_replies_know_where_they_belong() {
    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Visitor for Seen {
        fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
            let key = place.key.map_or("?".to_owned(), ToString::to_string);
            let field = place
                .field
                .map(|it| String::from_utf8(it.to_vec()).unwrap());
            self.0.push(format!(
                "{key}/{}={}",
                field.unwrap_or_default(),
                value.to_str()?
            ));
            Ok(())
        }
    }
    let key = |name: &str| Key::new(name.to_owned()).unwrap();
    let value = |text: &str| Some(Value::from(text));
    let fields = |names: &[&str]| names.iter().map(|it| Field::from(*it)).collect::<Vec<_>>();
    let cases = [
        (
            Command::GetMany {
                keys: vec![key("a"), key("b"), key("c")],
            },
            Reply::GetMany(vec![value("1"), None, value("3")]),
            vec!["a/=1", "c/=3"],
        ),
        (
            Command::HGetMany {
                key: key("h"),
                fields: fields(&["x", "y"]),
            },
            Reply::HGetMany(vec![value("1"), value("2")]),
            vec!["h/x=1", "h/y=2"],
        ),
        (
            Command::HGetAll { key: key("h") },
            Reply::HGetAll(vec![("x".into(), "1".into()), ("y".into(), "2".into())]),
            vec!["h/x=1", "h/y=2"],
        ),
        (
            Command::HGet {
                key: key("h"),
                field: "x".into(),
            },
            Reply::HGet(value("1")),
            vec!["h/x=1"],
        ),
        (
            Command::Set {
                key: key("a"),
                value: "new".into(),
                options: SetOptions::default(),
            },
            Reply::Set(SetReply::refused(value("old"))),
            vec!["a/=old"],
        ),
    ];
    for (mut command, mut reply, expected) in cases {
        let places = command.places();
        let mut seen = Seen::default();
        reply.visit(&places, &mut seen).unwrap();
        assert_eq!(seen.0, expected);
        let mut sent = Seen::default();
        command.visit(&mut sent).unwrap();
        assert!(sent.0.iter().all(|it| it == "a/=new"), "{:?}", sent.0);
    }
}

#[test]
fn capability_sets_hold_what_was_put_in() {
    for &one in Capability::ALL {
        let all_but = CapabilitySet::ALL.without(one);
        assert!(!all_but.has(one));
        assert_eq!(all_but.with(one), CapabilitySet::ALL);
        assert_eq!(all_but.iter().count(), Capability::ALL.len() - 1);
    }
}

#[tokio::test]
async fn a_layer_cannot_ask_for_more_than_the_store_can() {
    let mut store = Recorder::new();
    store.capabilities = Capabilities::new(CapabilitySet::NONE.with(Capability::Strings));
    let kv = Kv::builder(store.clone())
        .layer(layer_fn("deadline", |mut request, next| {
            if let Command::Set { options, .. } = &mut request.command {
                options.ttl = Ttl::after(Duration::from_secs(1)).unwrap();
            }
            next.call(request)
        }))
        .connect()
        .await
        .unwrap();
    let error = kv.set("a", "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(store.calls().is_empty());
}

#[tokio::test]
async fn fields_and_marks_have_a_longest_length_too() {
    let kv = connected(&Recorder::new()).await;
    let field = kv.hget("h", "nine byte").await.unwrap_err();
    assert_eq!(field.kind(), ErrorKind::TooLarge);
}

/// Its first close waits until it is dropped.
#[derive(Clone, Default)]
struct SlowToClose {
    closed: Arc<Mutex<Vec<bool>>>,
}

impl Store for SlowToClose {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE)
    }

    async fn close(&self) {
        let first = {
            let mut closed = self.closed.lock().unwrap();
            closed.push(false);
            closed.len() == 1
        };
        if first {
            std::future::pending::<()>().await;
        }
        *self.closed.lock().unwrap().last_mut().unwrap() = true;
    }
}

#[tokio::test]
async fn a_close_that_was_dropped_is_finished_by_the_next() {
    let store = SlowToClose::default();
    let kv = Kv::builder(store.clone()).connect().await.unwrap();
    let dropped = tokio::time::timeout(Duration::from_millis(1), kv.close()).await;
    assert!(dropped.is_err());
    assert!(
        !kv.is_available().await,
        "refused from the first attempt on"
    );
    kv.close().await;
    kv.close().await;
    assert_eq!(*store.closed.lock().unwrap(), [false, true]);
}

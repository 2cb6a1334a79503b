//! What the seam refuses of atomic commands before any store sees them, and what layers see of them.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    Capabilities, Capability, CapabilitySet, Command, Content, ErrorKind, Fate, Field, Guard, Key,
    KeyGroup, Kv, Mark, Member, Notice, Op, OpReply, Place, Read, RelativeRange, RelativeScore,
    Reply, Result, Rule, Score, Store, Throttle, ThrottleMode, Throttled, Ttl, Txn, TxnReply,
    Value, Visitor, ZMove, ZMoved,
};
use std::time::Duration;

/// Says yes to everything that reaches it.
struct Yes(Capabilities);

impl Store for Yes {
    fn name(&self) -> &'static str {
        "yes"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.clone()
    }

    async fn commit(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        Ok(txns.iter().map(|_| Ok(TxnReply::default())).collect())
    }

    async fn zmove(&self, _: Box<ZMove>) -> Result<ZMoved> {
        Ok(ZMoved::default())
    }

    async fn throttle(&self, _: Throttle) -> Result<Throttled> {
        Ok(Throttled::default())
    }
}

async fn kv() -> Kv {
    let capabilities = Capabilities::new(CapabilitySet::ALL).with_max_txn_ops(4);
    Kv::builder(Yes(capabilities)).connect().await.unwrap()
}

fn key(suffix: &str) -> Key {
    KeyGroup::new("g").unwrap().key(suffix)
}

fn set(key: Key) -> Op {
    Op::Set {
        key,
        content: Value::from("v").into(),
        ttl: Ttl::Never,
    }
}

fn zadd(key: Key, member: &str) -> Op {
    Op::ZAdd {
        key,
        members: vec![(member.into(), 1.into())],
        notify_if_first: None,
    }
}

fn persist(suffix: &str) -> Op {
    Op::Persist { key: key(suffix) }
}

fn trim(key: Key, limit: u32) -> Op {
    let range = RelativeRange::ALL;
    Op::ZRemRange { key, range, limit }
}

async fn kind_of(txn: Txn) -> Option<ErrorKind> {
    kv().await.commit([txn]).await.err().map(|it| it.kind())
}

#[tokio::test]
async fn keys_of_one_transaction_share_a_group_but_for_channels() {
    let other = Key::new("other").unwrap();
    let across = [
        Txn::new()
            .when(Guard::exists(key(":a")))
            .then(set(other.clone())),
        Txn::new()
            .then(set(key(":a")))
            .then(Read::Get { key: other.clone() }),
        Txn::new()
            .then(set(key(":a")))
            .otherwise(Read::Get { key: other.clone() }),
    ];
    for txn in across {
        assert_eq!(kind_of(txn).await, Some(ErrorKind::CrossGroup));
    }
    let notice = Notice::new(&other, "news");
    let told = Txn::new().then(set(key(":a"))).then(Op::Notify(notice));
    assert_eq!(kind_of(told).await, None);

    let error = kv().await;
    let error = error
        .zmove(ZMove::new(1).from(key(":a"), 1).to(&other, 2))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CrossGroup);
    assert_eq!(error.context("other key"), Some("other"));
}

#[tokio::test]
async fn each_thing_is_written_once() {
    let twice = [
        Txn::new().then(set(key(":a"))).then(set(key(":a"))),
        Txn::new()
            .then(set(key(":a")))
            .then(Op::Delete { key: key(":a") }),
        Txn::new()
            .then(zadd(key(":z"), "m"))
            .then(zadd(key(":z"), "m")),
        Txn::new().then(zadd(key(":z"), "m")).then(set(key(":z"))),
        Txn::new().then(trim(key(":z"), 1)).then(trim(key(":z"), 1)),
        Txn::new().then(zadd(key(":z"), "m")).then(Op::HDel {
            key: key(":z"),
            fields: vec!["f".into()],
        }),
        Txn::new().then(set(key(":a"))).then(Op::Expire {
            key: key(":a"),
            expiry: Duration::from_secs(1).try_into().unwrap(),
        }),
        Txn::new().then(set(key(":a"))).then(persist(":a")),
        Txn::new().then(persist(":a")).then(set(key(":a"))),
        Txn::new().then(persist(":a")).then(persist(":a")),
        Txn::new().then(persist(":a")).then(Op::Expire {
            key: key(":a"),
            expiry: Duration::from_secs(1).try_into().unwrap(),
        }),
        Txn::new()
            .then(Read::Get { key: key(":a") })
            .then(set(key(":a"))),
    ];
    for txn in twice {
        let shown = format!("{txn:?}");
        assert_eq!(
            kind_of(txn).await,
            Some(ErrorKind::InvalidArgument),
            "{shown}"
        );
    }
    let once = [
        Txn::new()
            .then(zadd(key(":z"), "m"))
            .then(zadd(key(":z"), "n")),
        Txn::new()
            .then(trim(key(":z"), 200))
            .then(zadd(key(":z"), "m")),
        Txn::new().then(zadd(key(":z"), "m")).then(Op::Expire {
            key: key(":z"),
            expiry: Duration::from_secs(1).try_into().unwrap(),
        }),
        Txn::new().then(zadd(key(":z"), "m")).then(persist(":z")),
        Txn::new(),
    ];
    for txn in once {
        assert_eq!(kind_of(txn).await, None);
    }
}

#[tokio::test]
async fn repeats_are_found_in_long_lists_too() {
    let many = |last: &str| {
        let names = (0..40).map(|it| it.to_string());
        let fields = names.chain([last.to_owned()]).map(Field::from).collect();
        Txn::new().then(Op::HDel {
            key: key(":h"),
            fields,
        })
    };
    let kv = Kv::builder(Yes(Capabilities::new(CapabilitySet::ALL)));
    let kv = kv.connect().await.unwrap();
    assert!(kv.commit([many("40")]).await.is_ok());
    assert!(kv.commit([many("7")]).await.is_err());
}

#[tokio::test]
async fn limits_are_named() {
    for limit in [0, 201] {
        let kind = kind_of(Txn::new().then(trim(key(":z"), limit))).await;
        assert_eq!(kind, Some(ErrorKind::InvalidArgument));
        let step = ZMove::new(limit).from(key(":z"), 1);
        let error = kv().await.zmove(step).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let sets = |count| (0..count).fold(Txn::new(), |txn, it| txn.then(set(key(&format!(":{it}")))));
    assert_eq!(kind_of(sets(4)).await, None);
    assert_eq!(kind_of(sets(5)).await, Some(ErrorKind::TooLarge));
    let guards = (0..5).fold(Txn::new(), |txn, _| txn.when(Guard::exists(key(":a"))));
    assert_eq!(kind_of(guards).await, Some(ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_move_that_contradicts_itself_is_refused() {
    let refused = [
        ZMove::new(1),
        ZMove::new(1).from(key(":a"), 1).from(key(":a"), 2),
        ZMove::new(1).from(key(":a"), 1).capacity(1),
        ZMove::new(1).from(key(":a"), 1).with(key(":a"), Fate::Keep),
        ZMove::new(1)
            .from_counted(key(":a"), 1, key(":t"))
            .with(key(":t"), Fate::Take),
        ZMove::new(1)
            .from(key(":a"), 1)
            .to(key(":b"), 1)
            .with(key(":b"), Fate::Keep),
    ];
    let kv = kv().await;
    for step in refused {
        let shown = format!("{step:?}");
        let error = kv.zmove(step).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{shown}");
    }
    let again = ZMove::new(200)
        .from(key(":a"), 1)
        .from(key(":b"), 1)
        .to(key(":a"), 1);
    assert!(kv.zmove(again.capacity(0)).await.is_ok());
}

#[tokio::test]
async fn a_cost_that_can_never_pass_is_refused() {
    let rule = Rule::gcra(10, Duration::from_secs(1), 5).unwrap();
    let request = || Throttle::new().limit(key(":l"), rule);
    let kv = kv().await;
    assert!(kv.throttle(request().cost(5)).await.is_ok());
    let error = kv.throttle(request().cost(6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(kv.throttle(request().cost(0)).await.is_err());
    assert!(kv.throttle(Throttle::new()).await.is_err());
    let window = Rule::fixed(10, Duration::from_secs(1)).unwrap();
    let mode = ThrottleMode::Reserve {
        max_wait: Duration::from_secs(1),
    };
    let reserve = Throttle::new().limit(key(":l"), window).mode(mode);
    assert!(kv.throttle(reserve).await.is_err());
    for zero in [
        Rule::gcra(0, Duration::from_secs(1), 1),
        Rule::gcra(1, Duration::ZERO, 1),
        Rule::gcra(1, Duration::from_secs(1), 0),
        Rule::gcra(1, Duration::from_nanos(1500), 1),
        Rule::gcra(1, Duration::from_secs(1 << 40), 1),
    ] {
        assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn what_a_transaction_needs_is_asked_of_the_capabilities() {
    let without = |it| Kv::builder(Yes(Capabilities::new(CapabilitySet::ALL).without(it)));
    let notify = Txn::new().then(Op::Notify(Notice::new(key(":c"), "news")));
    for (lacking, txn) in [
        (Capability::Commit, Txn::new()),
        (Capability::Channels, notify),
        (Capability::Expiry, Txn::new().then(persist(":a"))),
    ] {
        let kv = without(lacking).connect().await.unwrap();
        let error = kv.commit([txn]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn what_is_told_by_the_clock_is_known() {
    let by_clock = Txn::new().when(Guard::count_below(
        key(":z"),
        RelativeRange::above(RelativeScore::NOW),
        1,
    ));
    assert!(by_clock.tells_time());
    assert!(Txn::new().otherwise(Read::Now).tells_time());
    assert!(!Txn::new().then(zadd(key(":z"), "m")).tells_time());
}

/// Writes down what it is shown.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, what: &str, place: Place<'_>, bytes: &[u8]) {
        let key = place.key.map(ToString::to_string).unwrap_or_default();
        let field = place.field.unwrap_or_default().escape_ascii();
        self.0
            .push(format!("{what} {key} {field} {}", bytes.escape_ascii()));
    }
}

impl Visitor for Seen {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        self.0.push(format!("key {key}"));
        Ok(())
    }

    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        self.note("value", place, value.as_bytes());
        Ok(())
    }

    fn mark(&mut self, place: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.note("mark", place, mark.as_bytes());
        Ok(())
    }
}

#[test]
fn layers_see_every_key_value_and_mark_of_a_transaction() {
    let txn = Txn::new()
        .when(Guard::field_is(key(":h"), "owner", "me"))
        .then(Op::HSet {
            key: key(":h"),
            fields: vec![
                ("f".into(), Content::Value("secret".into())),
                ("g".into(), Content::Mark("plain".into())),
            ],
        })
        .then(persist(":p"))
        .then(Op::Notify(Notice::new(key(":c"), "news")));
    let mut command = Command::Commit { txns: vec![txn] };
    let mut seen = Seen::default();
    command.visit(&mut seen).unwrap();
    assert_eq!(
        seen.0,
        [
            "key {g}:h",
            "mark {g}:h owner me",
            "key {g}:h",
            "value {g}:h f secret",
            "mark {g}:h g plain",
            "key {g}:p",
            "key {g}:c",
            "value {g}:c  news",
        ]
    );
}

#[test]
fn what_a_transaction_answers_belongs_to_its_own_step() {
    let hget = |field: &str| Read::HGet {
        key: key(":h"),
        field: field.into(),
    };
    let txn = |suffix: &str| {
        Txn::new()
            .then(Op::Delete { key: key(":d") })
            .then(Read::Get { key: key(suffix) })
            .otherwise(hget("a"))
            .otherwise(hget("b"))
    };
    let txns = vec![txn(":1"), txn(":2"), txn(":3")];
    let places = Command::Commit { txns }.places();
    let value = |it: &str| OpReply::Value(Some(it.into()));
    let mut reply = Reply::Commit(vec![
        Ok(TxnReply::applied(vec![OpReply::Flag(true), value("one")])),
        Ok(TxnReply::refused(vec![value("x"), value("y")])),
        Ok(TxnReply::applied(vec![OpReply::Flag(true), value("three")])),
    ]);
    let mut seen = Seen::default();
    reply.visit(&places, &mut seen).unwrap();
    let expected = [
        "value {g}:1  one",
        "value {g}:h a x",
        "value {g}:h b y",
        "value {g}:3  three",
    ];
    assert_eq!(seen.0, expected);
}

#[test]
fn the_bodies_of_a_move_belong_to_their_hashes() {
    let step = ZMove::new(2)
        .when(Guard::exists(key(":gate")))
        .from_counted(key(":due"), 1, key(":tally"))
        .to(key(":lease"), RelativeScore::NOW)
        .with(key(":task"), Fate::Keep)
        .with(key(":result"), Fate::Drop)
        .with(key(":meta"), Fate::Take);
    let places = Command::ZMove {
        step: Box::new(step),
    }
    .places();
    let mut moved = kv_core::Moved::new(Member::from("id"), 0, Score::from(1));
    let bodies = [Some("body".into()), None, Some("meta".into())];
    moved.bodies = bodies.map(Ok).into();
    let mut reply = Reply::ZMove(ZMoved::new(vec![moved], Default::default(), None, false));
    let mut seen = Seen::default();
    reply.visit(&places, &mut seen).unwrap();
    assert_eq!(seen.0, ["value {g}:task id body", "value {g}:meta id meta"]);
}

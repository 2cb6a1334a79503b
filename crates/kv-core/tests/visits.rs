//! What a layer is shown: of events, of batches, of transactions.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    Capabilities, Capability, CapabilitySet, Command, Error, ErrorKind, Event, Key, Mark, Op,
    OpReply, Place, Read, Reply, Result, SetOptions, Ttl, Txn, TxnReply, Value, Visitor, When,
};

/// Notes what it sees, and refuses the value `bad`.
#[derive(Default)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        self.0.push(key.to_string());
        Ok(())
    }

    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        if *value == "bad" {
            return Err(Error::new(ErrorKind::Codec, "a bad one"));
        }
        let key = place.key.map(ToString::to_string).unwrap_or_default();
        self.0.push(format!("{key}={}", value.to_str()?));
        *value = "seen".into();
        Ok(())
    }

    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        self.0.push(format!("{ttl:?}"));
        Ok(())
    }

    fn mark(&mut self, _: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.0.push(format!("mark {}", mark.to_str()?));
        Ok(())
    }
}

fn key(name: &'static str) -> Key {
    Key::new(name).unwrap()
}

fn see(visit: impl FnOnce(&mut Seen)) -> Vec<String> {
    let mut seen = Seen::default();
    visit(&mut seen);
    seen.0
}

#[test]
fn an_event_shows_its_key_and_its_value() {
    let mut put = Event::Put {
        key: key("a"),
        value: Some("1".into()),
    };
    assert_eq!(see(|it| put.visit(it).unwrap()), ["a", "a=1"]);
    let changed = Event::Put {
        key: key("a"),
        value: Some("seen".into()),
    };
    assert_eq!(put, changed);
    let mut message = Event::Message {
        channel: key("c"),
        payload: "2".into(),
    };
    assert_eq!(see(|it| message.visit(it).unwrap()), ["c", "c=2"]);
    let mut delete = Event::Delete { key: key("a") };
    assert_eq!(see(|it| delete.visit(it).unwrap()), ["a"]);
    assert!(see(|it| Event::Resync.visit(it).unwrap()).is_empty());
    let mut bad = Event::Put {
        key: key("a"),
        value: Some("bad".into()),
    };
    assert!(bad.visit(&mut Seen::default()).is_err());
}

#[test]
fn a_bad_value_in_one_transaction_leaves_the_answers_of_the_others() {
    let read = |name| {
        let key = key(name);
        Txn::new().then(Read::Get { key })
    };
    let command = Command::Commit {
        txns: vec![read("a"), read("b"), read("c")],
    };
    let answer = |text: &str| Ok(TxnReply::applied(vec![OpReply::Value(Some(text.into()))]));
    let mut reply = Reply::Commit(vec![answer("1"), answer("bad"), answer("3")]);
    let places = command.places();
    assert_eq!(
        see(|it| reply.visit(&places, it).unwrap()),
        ["a=1", "c=3"],
        "each with its own place"
    );
    let Reply::Commit(answers) = reply else {
        panic!("another reply");
    };
    let kinds: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().map_err(Error::kind).map(|it| it.applied))
        .collect();
    assert_eq!(kinds, [Ok(true), Err(ErrorKind::Codec), Ok(true)]);
}

#[test]
fn only_what_is_refused_is_taken_out_of_a_batch() {
    let item = |name, value: &str| (key(name), Value::from(value));
    let options = SetOptions::from(Ttl::Never).when(When::IfValue("old".into()));
    let mut command = Command::SetMany {
        items: vec![
            item("a", "bad"),
            item("b", "2"),
            item("c", "bad"),
            item("d", "4"),
        ],
        options,
    };
    let mut seen = Seen::default();
    let refused = command.visit_apart(&mut seen).unwrap();
    let mut shown = seen.0;
    shown.sort();
    let expected = ["Never", "a", "b", "b=2", "c", "d", "d=4", "mark old"];
    assert_eq!(shown, expected);
    assert!(!refused.is_empty());
    let Command::SetMany { items, .. } = &command else {
        panic!("another command");
    };
    assert_eq!(*items, [item("b", "seen"), item("d", "seen")]);

    let mut reply = Reply::SetMany(vec![Ok(true), Ok(false)]);
    refused.with_operation("set_many_with").put_into(&mut reply);
    let Reply::SetMany(answers) = reply else {
        panic!("another reply");
    };
    let told: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().map_err(ToString::to_string).copied())
        .collect();
    let bad = || Err("set_many_with: a bad one".to_owned());
    assert_eq!(told, [bad(), Ok(true), bad(), Ok(false)]);
}

#[test]
fn a_transaction_is_taken_out_as_a_whole() {
    let write = |name, text: &str| {
        Txn::new().then(Op::Set {
            key: key(name),
            content: Value::from(text).into(),
            ttl: Ttl::Unset,
        })
    };
    let mut command = Command::Commit {
        txns: vec![write("a", "1"), write("b", "bad")],
    };
    let refused = command.visit_apart(&mut Seen::default()).unwrap();
    assert!(matches!(&command, Command::Commit { txns } if txns.len() == 1));
    let mut reply = Reply::Commit(vec![Ok(TxnReply::applied(vec![OpReply::Done]))]);
    refused.put_into(&mut reply);
    assert!(matches!(&reply, Reply::Commit(it) if matches!(it[..], [Ok(_), Err(_)])));

    let mut single = Command::Set {
        key: key("a"),
        value: "bad".into(),
        options: SetOptions::default(),
    };
    let error = single.visit_apart(&mut Seen::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "it has no batch to go on");
}

#[test]
fn counting_in_a_hash_needs_more_than_hashes() {
    let command = Command::HIncrement {
        key: key("h"),
        field: "f".into(),
        by: 1,
    };
    let [hashes, counters] = [Capability::Hashes, Capability::HashCounters];
    let only = |it| Capabilities::new(CapabilitySet::NONE.with(it));
    assert!(only(hashes).allow(&command).is_err());
    assert!(only(counters).allow(&command).is_err());
    let both = CapabilitySet::NONE.with(hashes).with(counters);
    assert!(Capabilities::new(both).allow(&command).is_ok());
}

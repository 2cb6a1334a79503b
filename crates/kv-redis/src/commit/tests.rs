use super::{Encoder, Scripts, lua};
use kv_core::{
    Content, Guard, Key, KeyGroup, Mark, Notice, Op, Read, RelativeScore, Score, Txn, Value,
};

fn key(suffix: &str) -> Key {
    KeyGroup::new("q").unwrap().key(suffix)
}

/// A worker lets go of a job: if it still holds the lease.
fn ack(job: &str, body: &[u8], score: u32) -> Txn {
    let hdel = |hash: &str| Op::HDel {
        key: key(hash),
        fields: vec![job.into()],
    };
    Txn::new()
        .when(Guard::score_is(key(":lease"), job, Score::from(score)))
        .when(Guard::field_is(
            key(":owner"),
            job,
            Mark::new(body.to_vec()),
        ))
        .then(Op::ZRem {
            key: key(":lease"),
            members: vec![job.into()],
        })
        .then(hdel(":body"))
        .then(hdel(":owner"))
        .then(hdel(":tries"))
        .then(Op::HIncrement {
            key: key(":stats"),
            field: "done".into(),
            by: 1,
        })
}

fn script(txn: &Txn) -> String {
    let mut encoder = Encoder::default();
    encoder.txn(txn).unwrap();
    lua::generate(&encoder.shape)
}

#[test]
fn the_script_of_an_ack_checks_only_what_nothing_else_shows() {
    let expected = include_str!("tests/ack.lua");
    let script = script(&ack("job", b"me", 7));
    assert_eq!(script, expected, "\n{script}");
}

#[test]
fn what_users_write_makes_no_new_script() {
    let scripts = Scripts::new(lua::generate);
    let of = |txn: &Txn| {
        let mut encoder = Encoder::default();
        encoder.txn(txn).unwrap();
        scripts.of(&encoder.shape).hash.clone()
    };
    let plain = of(&ack("job", b"me", 7));
    assert_eq!(plain, of(&ack("\0'\"]]\n", b"\xff", 9)));
    let many = |count: u8| {
        let fields = (0..count).map(|it| ((&[it]).into(), Content::from(Value::from("v"))));
        let members = (0..count).map(|it| ((&[it]).into(), RelativeScore::NOW));
        Txn::new()
            .then(Op::HSet {
                key: key(":h"),
                fields: fields.collect(),
            })
            .then(Op::ZAdd {
                key: key(":z"),
                members: members.collect(),
                notify_if_first: None,
            })
    };
    assert_eq!(of(&many(2)), of(&many(200)));
    assert_ne!(of(&many(2)), plain);
}

#[test]
fn keys_that_coincide_make_another_script() {
    let read = |first: &str, second: &str| {
        let get = |name| Read::Get { key: key(name) };
        script(&Txn::new().then(get(first)).then(get(second)))
    };
    assert_eq!(read(":a", ":b"), read(":x", ":y"));
    assert_ne!(read(":a", ":b"), read(":a", ":a"));
}

#[test]
fn the_arguments_are_as_many_as_the_shape_says() {
    let txn = ack("job", b"me", 7).otherwise(Read::Now);
    let mut encoder = Encoder::default();
    encoder.txn(&txn).unwrap();
    let args: Vec<&[u8]> = encoder.args.iter().map(AsRef::as_ref).collect();
    // The job is named once.
    let expected: [&[u8]; 5] = [b"job", b"7", b"me", b"done", b"1"];
    assert_eq!(args, expected);
    assert_eq!(encoder.keys.len(), 5);
    let shape = &encoder.shape;
    let fixed: usize = shape.when.iter().map(|(_, it)| it.args()).sum::<usize>()
        + shape.then.iter().map(|(_, it)| it.args()).sum::<usize>();
    assert_eq!(fixed, shape.slots.len());
}

#[test]
fn keys_are_found_again_however_many_there_are() {
    let names: Vec<String> = (0..100).map(|it| format!(":{it}")).collect();
    let both = names.iter().chain(&names);
    let txn = both.fold(Txn::new(), |txn, name| txn.when(Guard::exists(key(name))));
    let mut encoder = Encoder::default();
    encoder.txn(&txn).unwrap();
    assert_eq!(encoder.keys.len(), 100);
    let places: Vec<u16> = encoder.shape.when.iter().map(|(place, _)| *place).collect();
    assert_eq!(places[..100], places[100..]);
}

/// A message cannot be called back, so what follows one is asked about even if it is alone.
#[test]
fn what_is_asked_before_the_first_write_is_what_nothing_else_shows() {
    let delete = |name: &str| Op::Delete { key: key(name) };
    let persist = || Op::Persist { key: key(":a") };
    let notify = || Op::Notify(Notice::new(key(":news"), "news"));
    let asked = |txn: Txn| {
        let script = script(&txn);
        let asked = script.split(" permit('").skip(1);
        let names = asked.map(|it| it.split_once('\'').unwrap().0.to_owned());
        names.collect::<Vec<_>>()
    };
    let alone = Txn::new().then(delete(":a")).then(delete(":b"));
    assert_eq!(asked(alone), [""; 0]);
    let two = Txn::new().then(delete(":b")).then(persist());
    assert_eq!(asked(two), ["PERSIST"]);
    let told = Txn::new().then(notify()).then(delete(":a"));
    assert_eq!(asked(told), ["UNLINK"]);
    let last = Txn::new().then(delete(":a")).then(notify());
    assert_eq!(asked(last), [""; 0]);
    let left_out = Txn::new().then(Op::DeleteIf {
        key: key(":b"),
        mark: Mark::new(b"v".to_vec()),
    });
    let asked = asked(left_out.then(persist()));
    assert_eq!(asked, ["UNLINK", "GET", "PERSIST"]);
}

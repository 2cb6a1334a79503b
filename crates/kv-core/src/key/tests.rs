use super::{Key, KeyFormat, Prefix, Prefixes, Segment};
use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

/// Few letters, so that separators, braces and escapes meet often.
fn tricky(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(proptest::sample::select(b"a:%{}2B\xff\0".to_vec()), size)
}

fn prefix(parts: &[Option<Vec<u8>>]) -> Vec<u8> {
    let format = KeyFormat::new(":").unwrap();
    let parts = parts.iter().map(|part| match part {
        Some(bytes) => Segment::Present(bytes),
        None => Segment::Absent,
    });
    format.prefix(parts).unwrap().to_vec()
}

fn parts() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(proptest::option::of(tricky(1..4)), 3)
}

proptest! {
    #[test]
    fn different_parts_or_keys_never_meet(a in parts(), b in parts(), x in tricky(1..8), y in tricky(1..8)) {
        let (p, q) = (prefix(&a), prefix(&b));
        let (x, y) = (Key::new(x).unwrap(), Key::new(y).unwrap());
        let same = a == b && x == y;
        prop_assert_eq!(x.prefixed(&p) == y.prefixed(&q), same);
    }

    #[test]
    fn a_prefix_range_holds_nobody_elses_keys(a in parts(), b in parts(), x in tricky(1..8)) {
        let (p, q) = (prefix(&a), prefix(&b));
        let mut all = Prefixes::from(Prefix::ALL);
        all.put_below(&p);
        let key = Key::new(x).unwrap().prefixed(&q);
        prop_assert_eq!(all.contain(&key), a == b);
    }

    #[test]
    fn keys_that_share_a_buffer_are_as_those_that_do_not(a in parts(), keys in vec(tricky(1..600), 1..40)) {
        let (p, mut buffer) = (prefix(&a), BytesMut::new());
        let keys: Vec<_> = keys.into_iter().map(|key| Key::new(key).unwrap()).collect();
        let below: Vec<_> = keys.iter().map(|key| key.prefixed_in(&mut buffer, &p)).collect();
        for (key, below) in keys.iter().zip(&below) {
            prop_assert_eq!(below, &key.prefixed(&p));
            prop_assert_eq!(below.to_string(), key.to_string());
        }
    }

    #[test]
    fn a_key_in_its_own_buffer_is_prefixed_as_others_are(a in parts(), x in tricky(1..8)) {
        let (p, mut own) = (prefix(&a), x.clone());
        Key::prefix_in(&mut own, &p);
        let prefixed = Key::new(x).unwrap().prefixed(&p);
        prop_assert_eq!(own, prefixed.as_bytes());
    }

    #[test]
    fn stripping_undoes_prefixing(a in parts(), x in tricky(1..8)) {
        let p = prefix(&a);
        let x = Key::new(x).unwrap();
        prop_assert_eq!(x.prefixed(&p).without_prefix(&p), Some(x.clone()));
        prop_assert_eq!(x.prefixed(&p).to_string(), x.to_string());
    }

    #[test]
    fn ranges_below_a_prefix_hold_the_same_keys(range in tricky(0..4), x in tricky(1..8), a in parts()) {
        let p = prefix(&a);
        let mut below = Prefixes::from(Prefix::new(range.clone()));
        below.put_below(&p);
        let held = x.starts_with(&range);
        prop_assert_eq!(below.contain(&Key::new(x).unwrap().prefixed(&p)), held);
    }

    #[test]
    fn groups_survive_a_prefix(x in tricky(1..8), y in tricky(1..8), a in parts()) {
        let p = prefix(&a);
        let (x, y) = (Key::new(x).unwrap(), Key::new(y).unwrap());
        if x.group() == y.group() && (x == y || x.as_bytes()[0] == b'{' && y.as_bytes()[0] == b'{') {
            prop_assert_eq!(x.prefixed(&p).group().to_vec(), y.prefixed(&p).group().to_vec());
        }
    }
}

#[test]
fn plain_names_stay_readable() {
    let format = KeyFormat::new(":").unwrap();
    let named = |tenant| {
        let parts = [
            Segment::Present(b"nala"),
            tenant,
            Segment::Never,
            Segment::Present(b"cache"),
        ];
        let prefix = format.prefix(parts).unwrap();
        Key::new("my-key")
            .unwrap()
            .prefixed(&prefix)
            .bytes()
            .clone()
    };
    assert_eq!(
        named(Segment::Present(b"tenant-123")),
        "nala:tenant-123:cache:my-key"
    );
    assert_eq!(named(Segment::Absent), "nala::cache:my-key");
    assert_eq!(named(Segment::Never), "nala:cache:my-key");
}

#[test]
fn a_tag_keeps_its_keys_together() {
    let due = Key::new("{mail}:due").unwrap().prefixed(b"nala:t1:jobs:");
    assert_eq!(due.as_bytes(), b"{nala:t1:jobs:mail}:due");
    assert_eq!(due.group(), b"nala:t1:jobs:mail");
    assert_eq!(due.to_string(), "{mail}:due");
}

#[test]
fn a_tag_in_the_middle_is_plain_text() {
    assert_eq!(Key::new("a{b}c").unwrap().group(), b"a{b}c");
    assert_eq!(Key::new("{}c").unwrap().group(), b"{}c");
}

#[test]
fn separators_that_escapes_need_are_refused() {
    for separator in ["", "%", "a", "{", ":2"] {
        assert!(KeyFormat::new(separator.to_owned()).is_err(), "{separator}");
    }
}

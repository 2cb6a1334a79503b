use super::{
    header::{self, End},
    *,
};
use kv_core::{ErrorKind, Timestamp};
use proptest::prelude::*;

fn key(bytes: &[u8]) -> Key {
    Key::new(bytes.to_vec()).unwrap()
}

/// The bytes that older readers wrote, and that older readers must still read.
#[test]
fn the_layout_is_what_it_was() {
    let layout = Layout::new("app/");
    assert_eq!(layout.string(b"k"), b"app/k");
    assert_eq!(layout.string(b"\0k"), b"app/\0\0\0k");
    assert_eq!(layout.record(b"k"), b"app/\0\x01k");
    assert_eq!(layout.field(b"a\0b", b"f1"), b"app/\0\x02a\0\xffb\0\x01ff1");
    assert_eq!(layout.member(b"k", b"m1"), b"app/\0\x02k\0\x01mm1");
    let one = Score::new(1.0).unwrap();
    assert_eq!(
        layout.entry(b"k", one, b"m1"),
        b"app/\0\x02k\0\x01i\xbf\xf0\0\0\0\0\0\0m1"
    );
    assert_eq!(layout.message(b"c", 3), b"app/\0\x03c\0\x01\0\x03");
}

#[test]
fn headers_are_what_they_were() {
    let at = End::At(Timestamp::from_micros(0x0102_0304_0506));
    assert_eq!(header::encode(b"v", End::Never), b"v");
    assert_eq!(
        header::encode(b"v", at),
        b"\0kv\x01\x01\0\0\x01\x02\x03\x04\x05\x06v"
    );
    assert_eq!(
        header::encode(b"v", End::Lease),
        b"\0kv\x01\x02\0\0\0\0\0\0\0\0v"
    );
    assert_eq!(
        header::encode(b"\0kv", End::Never),
        b"\0kv\x01\0\0\0\0\0\0\0\0\0\0kv"
    );
    assert_eq!(
        header::encode_token(End::Lease),
        b"\0kv\x01\x12\0\0\0\0\0\0\0\0"
    );
    let token = header::decode(header::encode_token(at).into(), 42).unwrap();
    assert_eq!((&*token.value, token.end), (&b"42"[..], at));
    let record = Record {
        kind: Kind::SortedSet,
        end: at,
    };
    assert_eq!(record.encode(), b"\x01z\x01\0\0\x01\x02\x03\x04\x05\x06");
    assert_eq!(Record::decode(&record.encode()).unwrap(), record);
}

#[test]
fn a_foreign_header_is_an_error_and_other_bytes_are_a_value() {
    let refused: [&[u8]; 6] = [
        b"\0kv",
        b"\0kv\x01\x01\0\0",
        b"\0kv\x02\x01\0\0\0\0\0\0\0\0v",
        b"\0kv\x01\x07\0\0\0\0\0\0\0\0v",
        b"\0kv\x01\0\0\0\0\0\0\0\0\x01v",
        b"\0kv\x01\x02\0\0\0\0\0\0\0\x01v",
    ];
    for raw in refused {
        let failure = header::decode(Bytes::from_static(raw), 0).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Codec, "{}", raw.escape_ascii());
    }
    for raw in [&b""[..], b"\0", b"\0k", b"\0kw\x01", b"kv"] {
        let content = header::decode(Bytes::from_static(raw), 0).unwrap();
        assert_eq!((&*content.value, content.end), (raw, End::Never));
    }
    for raw in [
        &b""[..],
        b"\x01",
        b"\x01z\x01",
        b"\x02z\0\0\0\0\0\0\0\0\0",
        b"\x01x\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(Record::decode(raw).unwrap_err().kind(), ErrorKind::Codec);
    }
}

#[test]
fn keys_that_are_not_ours_are_nowhere() {
    let layout = Layout::new("app/");
    for raw in [
        &b"apps"[..],
        b"app/",
        b"app/\0",
        b"app/\0\x04k",
        b"app/\0\x02k",
        b"app/\0\x02k\0\x07",
    ] {
        assert_eq!(layout.place(raw), None, "{}", raw.escape_ascii());
    }
}

#[test]
fn everything_lies_below_the_empty_prefix() {
    for root in ["", "app/"] {
        let layout = Layout::new(root);
        let below = layout.below(b"");
        let holds = |raw: &[u8]| below.strings.iter().any(|it| it.contains(raw));
        assert!(
            holds(&layout.string(b"k"))
                && holds(&layout.string(b"\0k"))
                && holds(&layout.string(b"\xff\xff"))
        );
        assert!(
            !holds(&layout.record(b"k"))
                && !holds(&layout.field(b"k", b"f"))
                && !holds(&layout.message(b"c", 0))
        );
        assert!(below.records.contains(&layout.record(b"\xffk")));
        assert!(below.elements.contains(&layout.field(b"k", b"f")));
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    // Few different bytes, so that special ones meet.
    prop::collection::vec(
        prop::sample::select(vec![0, 1, 2, b'f', b'k', 0xfe, 0xff]),
        1..6,
    )
}

proptest! {
    #[test]
    fn places_are_found_again(name in bytes(), element in bytes()) {
        for root in ["", "app/"] {
            let layout = Layout::new(root);
            prop_assert_eq!(layout.place(&layout.string(&name)), Some(Place::String(key(&name))));
            prop_assert_eq!(layout.place(&layout.record(&name)), Some(Place::Record(key(&name))));
            let field = layout.field(&name, &element);
            prop_assert_eq!(layout.place(&field), Some(Place::Element(key(&name))));
            prop_assert_eq!(layout.field_of(&name, &field), Some(&*element));
            let message = layout.message(&name, 7);
            prop_assert_eq!(layout.place(&message), Some(Place::Message(key(&name))));
        }
    }

    #[test]
    fn elements_of_two_keys_never_mix(one in bytes(), other in bytes(), element in bytes()) {
        let layout = Layout::new("");
        let inside = layout.elements(&one).contains(&layout.field(&other, &element));
        prop_assert_eq!(inside, one == other);
    }

    #[test]
    fn a_prefix_holds_its_keys_and_no_others(prefix in bytes(), name in bytes()) {
        let layout = Layout::new("r");
        let below = layout.below(&prefix);
        let expected = name.starts_with(&prefix);
        let string = layout.string(&name);
        prop_assert_eq!(below.strings.iter().any(|it| it.contains(&string)), expected);
        prop_assert_eq!(below.records.contains(&layout.record(&name)), expected);
        prop_assert_eq!(below.elements.contains(&layout.field(&name, b"x")), expected);
    }

    #[test]
    fn scores_sort_as_their_bytes(one: f64, other: f64) {
        prop_assume!(!one.is_nan() && !other.is_nan());
        let (one, other) = (Score::new(one).unwrap(), Score::new(other).unwrap());
        prop_assert_eq!(one.cmp(&other), score::encode(one).cmp(&score::encode(other)));
        prop_assert_eq!(score::decode(score::encode(one)), Some(one));
    }

    #[test]
    fn contents_come_back(value in bytes(), deadline: i64, kind in 0..3) {
        let end = [End::Never, End::At(Timestamp::from_micros(deadline)), End::Lease][kind as usize];
        let content = header::decode(header::encode(&value, end).into(), 0).unwrap();
        prop_assert_eq!((&*content.value, content.end), (&*value, end));
    }

    #[test]
    fn garbage_never_panics(raw in prop::collection::vec(any::<u8>(), 0..24)) {
        let layout = Layout::new("");
        let _ = header::decode(raw.clone().into(), 0);
        let _ = header::decode([b"\0kv", &*raw].concat().into(), 0);
        let _ = Record::decode(&raw);
        let _ = layout.place(&raw);
        let _ = layout.entry_of(b"k", &raw);
    }
}

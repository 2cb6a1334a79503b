//! Keys, rings and frames, without a store.

use super::*;
use proptest::prelude::*;

#[test]
fn nothing_shows_a_key() {
    let text = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let key = EncryptionKey::parse(&format!(" {text}\n")).unwrap();
    assert_eq!(key.as_bytes(), &[1; 32]);
    let config = EncryptConfig::new("k1", key);
    let shown = format!("{config:?} {:?}", Encrypt::new(config.clone()).unwrap());
    let is_shown = |it: &str| {
        ["AQEB", "[1", "1, 1", "0101"]
            .iter()
            .any(|of| it.contains(of))
    };
    assert!(!is_shown(&shown), "{shown}");
    assert!(shown.contains("k1"));
    for bad in [
        &text[1..],
        "AQEB",
        "",
        &text.repeat(2),
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    ] {
        let error = EncryptionKey::parse(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!is_shown(&format!("{error} {error:?}")), "{error:?}");
    }
    let parsed = toml::from_str::<EncryptConfig>("primary = \"a\"\nkeys = { a = \"AQEBAQ\" }");
    // What TOML shows of the file around it is its own affair; the factory shows nothing.
    assert_eq!(
        parsed.unwrap_err().message(),
        "invalid value: another text, expected 32 bytes in base64, as `openssl rand -base64 32` prints"
    );
}

#[test]
fn rings_that_cannot_work_are_refused() {
    let told = |config| Encrypt::new(config).unwrap_err().to_string();
    let mut config = usual();
    config.primary = "k2".to_owned();
    assert_eq!(
        told(config),
        "primary names no key of the ring; `keys` has: k1"
    );
    assert!(
        told(EncryptConfig::new("a b", secret(1))).starts_with("the key name `a b` cannot be used")
    );
    assert!(told(EncryptConfig::new("", secret(1))).starts_with("the key name `` cannot"));
    let long = "k".repeat(33);
    assert!(told(EncryptConfig::new(&long, secret(1))).starts_with("the key name `kkk"));
    assert!(Encrypt::new(EncryptConfig::new(&long[1..], secret(1))).is_ok());
    let twice = usual().key("k2", secret(1));
    assert_eq!(
        told(twice),
        "the keys `k1` and `k2` are the same; a rotation needs a new one"
    );
}

/// The format, for good: a value that version 1 wrote.
#[test]
fn a_frame_of_version_1_opens() {
    let ring = KeyRing::new(&usual()).unwrap();
    let key = tour::key("nala:t1:cache:a");
    let at = At {
        key: Some(&key),
        field: Some(b"f"),
        is_message: false,
        is_change: false,
    };
    let stored = b"\xc1\x10\x02k1\xefM\xb6\xae_;\x91(1\xd4\xf8e\x85\xc2-\xd3IA\xcfg$J)\xd8f\x9b8\xccq<\xcdE\xea\x0bf\\\x18\x05\xe4y\xb9\xad\xc5\xed\xcd\n";
    let (key, opened) = ring.open(at, stored.as_slice().into()).unwrap();
    assert_eq!((key, opened), (Some(0), "golden".into()));
}

proptest! {
    #[test]
    fn any_value_comes_back(
        value in prop::collection::vec(any::<u8>(), 0..600),
        name in prop::collection::vec(any::<u8>(), 1..50),
        field in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
    ) {
        let ring = KeyRing::new(&usual()).unwrap();
        let key = kv_core::Key::new(name).unwrap();
        let at = At { key: Some(&key), field: field.as_deref(), is_message: false, is_change: false };
        let (_, sealed) = ring.seal(at, value.clone().into()).unwrap();
        prop_assert_eq!(sealed.as_bytes().len(), value.len() + ring.overhead());
        prop_assert_eq!(ring.open(at, sealed).unwrap(), (Some(0), Value::from(value)));
    }

    #[test]
    fn no_bytes_make_it_panic(stored in prop::collection::vec(any::<u8>(), 0..100), length in 0..60_u8) {
        let ring = KeyRing::new(&usual()).unwrap();
        let key = tour::key("a");
        let at = At { key: Some(&key), field: None, is_message: false, is_change: false };
        let framed = [&[0xC1, 0x10, length], &*stored].concat();
        prop_assert!(ring.open(at, framed.into()).is_err());
        prop_assert!(ring.open(at, stored.into()).is_err());
    }
}

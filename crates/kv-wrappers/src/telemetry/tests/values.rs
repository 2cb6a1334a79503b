//! What the layers tell that look into values.

use crate::{
    Compress, CompressConfig, Encrypt, EncryptConfig, EncryptionKey, PlainValues,
    capture::{block_on, counted},
    tour::{key as key_named, next, open},
};
use kv_core::{Event, Layer, Watch};
use kv_memory::MemoryStore;
use std::sync::Arc;

fn compress() -> Arc<dyn Layer> {
    let config = CompressConfig::default().max_unpacked_bytes(4096);
    Arc::new(Compress::new(config).unwrap().store("a"))
}

fn encrypt(config: EncryptConfig) -> Arc<dyn Layer> {
    Arc::new(Encrypt::new(config).unwrap().store("a"))
}

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::new([byte; 32])
}

/// Everything that can become of a value.
pub(super) fn every_value() {
    block_on(async {
        let store = MemoryStore::default();
        let (kv, raw) = (open(&store, [compress()]).await, open(&store, []).await);
        kv.set("packed", "x".repeat(2000)).await.unwrap();
        kv.set("short", "x").await.unwrap();
        kv.get("packed").await.unwrap();
        kv.set("long", "x".repeat(5000)).await.unwrap_err();
        let bomb = b"\xC1\x02\xFF\xFF\xFF\xFF\0\0\0\0bomb".as_slice();
        let damaged = b"\xC1\x01\0".as_slice();
        for stored in [bomb, damaged, b"foreign", b"\xC1\x55"] {
            raw.set("bad", stored).await.unwrap();
            kv.get("bad").await.unwrap_err();
        }
    });
    block_on(async {
        let store = MemoryStore::default();
        let layer = encrypt(EncryptConfig::new("old", key(1)));
        let (old, raw) = (open(&store, [layer]).await, open(&store, []).await);
        let both = EncryptConfig::new("new", key(2)).key("old", key(1));
        let lax = both.clone().plain_values(PlainValues::Read);
        let new = open(&store, [encrypt(both)]).await;
        let lax = open(&store, [encrypt(lax)]).await;
        old.set("a", "written before").await.unwrap();
        new.get("a").await.unwrap();
        new.set("b", "written after").await.unwrap();
        old.get("b").await.unwrap_err();
        let sealed = raw.get("b").await.unwrap().unwrap();
        raw.set("moved", sealed).await.unwrap();
        new.get("moved").await.unwrap_err();
        raw.set("cut", b"\xC1\x10\x03new").await.unwrap();
        new.get("cut").await.unwrap_err();
        raw.set("plain", "plain").await.unwrap();
        new.get("plain").await.unwrap_err();
        lax.get("plain").await.unwrap();
    });
}

/// A mark and a counter that a watch tells of, and a message.
fn every_event(layer: fn() -> Arc<dyn Layer>) {
    block_on(async {
        let store = MemoryStore::default();
        let (kv, raw) = (open(&store, [layer()]).await, open(&store, []).await);
        let watched = Watch::Keys(vec![key_named("mark"), key_named("counter")]);
        let mut changes = kv.watch(watched).await.unwrap();
        let channel = Watch::Channels(vec![key_named("channel")]);
        let mut messages = kv.watch(channel).await.unwrap();
        raw.set("mark", "not of this layer").await.unwrap();
        raw.increment("counter", 1).await.unwrap();
        for _ in 0..2 {
            let told = next(&mut changes).unwrap();
            assert!(matches!(told, Event::Put { .. }), "{told:?}");
        }
        raw.notify("channel", "not of this layer").await.unwrap();
        next(&mut messages).unwrap_err();
    });
}

#[test]
fn what_nobody_is_refused_does_not_count_as_refused() {
    let encrypt = || encrypt(EncryptConfig::new("new", key(2)));
    for (layer, name) in [
        (encrypt as fn() -> _, "kv_encrypt_refused_total"),
        (compress, "kv_compress_refused_total"),
    ] {
        let ((), counted) = counted(|| every_event(layer));
        // The message, which nobody can read again.
        assert_eq!(counted.of(name, &[]), 1.0, "{name}");
    }
}

#[test]
fn no_key_is_taken_for_none_at_all() {
    Encrypt::new(EncryptConfig::new("(plain)", key(1))).unwrap_err();
    let ((), counted) = counted(|| {
        let config = EncryptConfig::new("none", key(1)).plain_values(PlainValues::Read);
        block_on(async {
            let store = MemoryStore::default();
            let (kv, raw) = (
                open(&store, [encrypt(config)]).await,
                open(&store, []).await,
            );
            kv.set("sealed", "1").await.unwrap();
            raw.set("plain", "2").await.unwrap();
            kv.get_many(["sealed", "plain"]).await.unwrap();
        });
    });
    for name in ["key_name=none", "key_name=(plain)"] {
        assert_eq!(
            counted.of("kv_encrypt_opened_total", &[name]),
            1.0,
            "{name}"
        );
    }
}

#[test]
fn every_value_is_counted_once() {
    let ((), counted) = counted(every_value);
    let told = |name: &str, label: &str| counted.of(&format!("kv_{name}_total"), &[label]);
    assert_eq!(told("compress_bytes", "stage=plain"), 2001.0);
    let stored = told("compress_bytes", "stage=stored");
    assert!((4.0..100.0).contains(&stored), "{stored}");
    for (reason, count) in [
        ("too_long", 1.0),
        ("bomb", 1.0),
        ("foreign", 2.0),
        ("damaged", 1.0),
    ] {
        let reason = format!("reason={reason}");
        assert_eq!(told("compress_refused", &reason), count, "{reason}");
    }
    for (name, by_old, by_new, by_plain) in [
        ("encrypt_sealed", 1.0, 1.0, 0.0),
        ("encrypt_opened", 1.0, 0.0, 1.0),
    ] {
        assert_eq!(told(name, "key_name=old"), by_old, "{name}");
        assert_eq!(told(name, "key_name=new"), by_new, "{name}");
        assert_eq!(told(name, "key_name=(plain)"), by_plain, "{name}");
    }
    for (reason, count) in [("unknown_key", 1.0), ("plain", 1.0), ("damaged", 2.0)] {
        let reason = format!("reason={reason}");
        assert_eq!(told("encrypt_refused", &reason), count, "{reason}");
    }
}

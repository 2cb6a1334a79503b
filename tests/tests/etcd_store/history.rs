//! What operators are told who let etcd keep every version of every key.

use crate::site::{Raw, Site, open};
use kv_core::Kv;
use kv_etcd::{EtcdConfig, EtcdStore};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

const LONG: u32 = 50;

/// What is told, as a log has it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects; answers what is told meanwhile.
async fn told(url: &str, long_history: u32) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For this thread, which is the only one of the runtime.
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut config = EtcdConfig::from_url(url);
    config.long_history = long_history;
    let store = EtcdStore::new(config).unwrap();
    Kv::builder(store).connect().await.unwrap();
    let log = log.0.lock().unwrap().clone();
    String::from_utf8(log).unwrap()
}

#[track_caller]
fn warns(log: &str) {
    for word in ["WARN", "--auto-compaction-retention", "last 50 changes"] {
        assert!(log.contains(word), "no {word}: {log:?}");
    }
}

async fn write_much(kv: &Kv) {
    for number in 0..=LONG {
        kv.set("k", number.to_string()).await.unwrap();
    }
}

#[tokio::test]
async fn who_compacts_nothing_is_told_at_connect() {
    let site = Site::start().await;
    let url = site.server.url();
    assert_eq!(told(&url, LONG).await, "", "on a fresh server");
    write_much(&site.kv).await;
    warns(&told(&url, LONG).await);
    assert_eq!(told(&url, 1_000_000).await, "", "of a short history");
    assert_eq!(told(&url, 0).await, "", "to whom it was forbidden");

    let Raw(mut raw) = site.raw.clone();
    let now = raw
        .get("k", None)
        .await
        .unwrap()
        .header()
        .unwrap()
        .revision();
    raw.compact(now, None).await.unwrap();
    assert_eq!(told(&url, LONG).await, "", "on a compacted server");
    write_much(&site.kv).await;
    warns(&told(&url, LONG).await);
}

#[tokio::test]
async fn a_user_of_some_keys_is_told_too() {
    let site = Site::start().await;
    write_much(&site.kv).await;
    site.raw.ask_for_passwords().await;
    let address = site.server.address();
    warns(&told(&format!("etcd://app:s3cret@{address}/app/"), LONG).await);
    // He connects elsewhere, too, where he may read nothing; commands tell him so.
    let elsewhere = format!("etcd://app:s3cret@{address}/");
    assert_eq!(told(&elsewhere, LONG).await, "");
    open(&elsewhere).await.get("k").await.unwrap_err();
}

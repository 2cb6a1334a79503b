//! What layers of the store do for a cache.

use kv_cache::Cache;
use kv_core::Kv;
use kv_memory::MemoryStore;
use kv_wrappers::{Compress, CompressConfig};

/// Compressed above a size, however it is read.
#[tokio::test]
async fn long_values_are_short_on_the_store() {
    let store = MemoryStore::default();
    let plain = Kv::builder(store.clone()).connect().await.unwrap();
    let compress = Compress::new(CompressConfig::default()).unwrap();
    let kv = Kv::builder(store).layer(compress);
    let kv = kv.connect().await.unwrap();
    let pages = || {
        Cache::<str, String>::builder("pages")
            .far(&kv)
            .build()
            .unwrap()
    };
    for (key, length) in [("short", 100), ("long", 100_000)] {
        pages().set(key, "x".repeat(length)).await.unwrap();
        let stored = plain.get(format!("{{cache:pages:{key}}}:data")).await;
        let stored = stored.unwrap().unwrap().as_bytes().len();
        assert_eq!(stored < length, length > 1024, "{stored} of {length}");
        // By the question that may lease, and by plain reads.
        let reader = pages();
        for _ in 0..20 {
            let load = reader.get_or_load(key, |_| async { Err::<String, _>("not there") });
            assert_eq!(load.await.unwrap().len(), length);
        }
    }
}

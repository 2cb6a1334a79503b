//! A provider whose data outlive it, as a server's do.

use kv_core::{
    Capabilities, Capability, CapabilitySet, Error, ErrorKind, Key, Kv, KvBuilder, Prefixes,
    Result, ScanFrom, ScanPage, SetOptions, SetReply, Store, Ttl, Value, When,
};
use kv_factory::{Factory, FactoryBuilder, Settings};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What the server holds.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<BTreeMap<Key, Value>>>);

impl Server {
    /// The keys as the server sees them.
    pub(crate) fn keys(&self) -> Vec<String> {
        let map = self.0.lock().unwrap();
        map.keys()
            .map(|key| key.as_bytes().escape_ascii().to_string())
            .collect()
    }
}

/// A factory in which every store with `backend = "shared"` is a client of this server.
pub(crate) fn builder() -> (FactoryBuilder, Server) {
    let server = Server::default();
    let client = server.clone();
    let mut builder = Factory::builder();
    builder
        .provider("shared", move |_: Settings| -> Result<KvBuilder> {
            Ok(Kv::builder(client.clone()))
        })
        .unwrap();
    (builder, server)
}

impl Store for Server {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn capabilities(&self) -> Capabilities {
        let can = [Capability::Strings, Capability::Scan];
        Capabilities::new(CapabilitySet::from_iter(can))
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        Ok(self.0.lock().unwrap().get(&key).cloned())
    }

    async fn set_with(&self, key: Key, value: Value, options: SetOptions) -> Result<SetReply> {
        if options.when != When::Always || options.ttl != Ttl::Unset {
            return Err(Error::new(ErrorKind::Unsupported, "plain writes only"));
        }
        self.0.lock().unwrap().insert(key, value);
        Ok(SetReply::applied())
    }

    async fn scan_page(&self, prefixes: Prefixes, _: ScanFrom, _: u32) -> Result<ScanPage> {
        let map = self.0.lock().unwrap();
        let keys = map.keys().filter(|key| prefixes.contain(key)).cloned();
        Ok(ScanPage::new(keys.collect(), None))
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        let mut map = self.0.lock().unwrap();
        let before = map.len();
        map.retain(|key, _| !prefixes.contain(key));
        Ok((before - map.len()) as u64)
    }
}

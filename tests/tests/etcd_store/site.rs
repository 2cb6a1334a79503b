//! A server of one's own, a store on it, and the driver to look behind the store.

use etcd_client::{Client, GetOptions, KeyValue, Permission};
use kv_core::{Clock, Key, Kv, Lifetime, SetOptions, SystemClock, Timestamp, Ttl};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::{patience::PATIENCE, server::Etcd};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Site {
    pub(crate) server: Etcd,
    pub(crate) kv: Kv,
    /// The driver alone.
    pub(crate) raw: Raw,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::on(Etcd::start()).await
    }

    pub(crate) async fn on(server: Etcd) -> Self {
        let kv = open(&server.url()).await;
        let raw = Raw(kv.native::<Client>().unwrap());
        Self { server, kv, raw }
    }

    /// How many watches the server keeps.
    pub(crate) async fn watches(&self) -> u64 {
        self.metrics("etcd_debugging_mvcc_watcher_total ").await
    }

    /// How many exchanges about keys the server has begun.
    pub(crate) async fn exchanges(&self) -> u64 {
        let mut count = 0;
        for method in ["Range", "Put", "DeleteRange", "Txn"] {
            count += self.exchanges_of(method).await;
        }
        count
    }

    /// How many of one kind.
    pub(crate) async fn exchanges_of(&self, method: &str) -> u64 {
        const UNARY: &str = r#"grpc_service="etcdserverpb.KV",grpc_type="unary""#;
        let name = format!(r#"grpc_server_started_total{{grpc_method="{method}",{UNARY}}} "#);
        self.metrics(&name).await
    }

    /// What the server tells of itself by a name.
    async fn metrics(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().parse::<f64>().unwrap() as u64
    }
}

/// What lies on the servers.
#[derive(Clone)]
pub(crate) struct Raw(pub(crate) Client);

impl Raw {
    /// From now on only users are let in: `root`, and `app` with all that begins with `app/`.
    pub(crate) async fn ask_for_passwords(&self) {
        let mut raw = self.0.clone();
        raw.user_add("root", "pw", None).await.unwrap();
        raw.user_grant_role("root", "root").await.unwrap();
        raw.role_add("app").await.unwrap();
        let permission = Permission::read_write("app/").with_prefix();
        raw.role_grant_permission("app", permission).await.unwrap();
        raw.user_add("app", "s3cret", None).await.unwrap();
        raw.user_grant_role("app", "app").await.unwrap();
        raw.auth_enable().await.unwrap();
    }

    pub(crate) async fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.clone().put(key, value, None).await.unwrap();
    }

    pub(crate) async fn get(&self, key: impl Into<Vec<u8>>) -> Option<KeyValue> {
        let mut found = self.0.clone().get(key, None).await.unwrap();
        found.take_kvs().pop()
    }

    /// All that begins with this.
    pub(crate) async fn list(&self, prefix: impl Into<Vec<u8>>) -> Vec<KeyValue> {
        let options = GetOptions::new().with_prefix();
        let mut found = self.0.clone().get(prefix, Some(options)).await.unwrap();
        found.take_kvs()
    }

    /// Everything.
    pub(crate) async fn all(&self) -> Vec<KeyValue> {
        let options = GetOptions::new().with_all_keys();
        let mut found = self.0.clone().get("", Some(options)).await.unwrap();
        found.take_kvs()
    }

    /// The record of a structure.
    pub(crate) async fn record(&self, key: &str) -> Option<KeyValue> {
        self.get(record(key)).await
    }

    /// All elements of a structure, a sorted set's index included.
    pub(crate) async fn elements(&self, key: &str) -> Vec<KeyValue> {
        self.list([b"\0\x02", key.as_bytes(), b"\0\x01"].concat())
            .await
    }

    pub(crate) async fn leases(&self) -> BTreeSet<i64> {
        let told = self.0.clone().leases().await.unwrap();
        told.leases().iter().map(|it| it.id()).collect()
    }

    /// For how much longer a lease lives, at least; etcd tells whole seconds. `None` if it is gone.
    pub(crate) async fn left(&self, lease: i64) -> Option<Duration> {
        let told = self.0.clone().lease_time_to_live(lease, None).await;
        let left = u64::try_from(told.unwrap().ttl());
        left.ok().map(Duration::from_secs)
    }

    pub(crate) async fn revoke(&self, lease: i64) {
        self.0.clone().lease_revoke(lease).await.unwrap();
    }
}

/// Where the record of a structure lies.
pub(crate) fn record(key: &str) -> Vec<u8> {
    [b"\0\x01", key.as_bytes()].concat()
}

pub(crate) async fn open(url: &str) -> Kv {
    let mut config = EtcdConfig::from_url(url);
    config.connect_timeout = PATIENCE;
    config.response_timeout = PATIENCE;
    config.conflict_timeout = PATIENCE;
    open_with(config, Arc::new(SystemClock)).await
}

pub(crate) async fn open_with(config: EtcdConfig, clock: Arc<dyn Clock>) -> Kv {
    let store = EtcdStore::with_clock(config, clock).unwrap();
    Kv::builder(store).connect().await.unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::try_from(name).unwrap()
}

pub(crate) fn lifetime(span: Duration) -> Lifetime {
    Lifetime::new(span).unwrap()
}

pub(crate) fn for_span(span: Duration) -> SetOptions {
    SetOptions::from(Ttl::In(lifetime(span)))
}

pub(crate) const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(crate) const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

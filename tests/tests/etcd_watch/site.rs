//! A server of one's own, a store that watches, and others that do not.

use etcd_client::Client;
use kv_core::Kv;
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::{patience, server::Etcd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Site {
    pub(crate) server: Etcd,
    /// Watches.
    pub(crate) kv: Kv,
    /// A store of another process, so to speak.
    pub(crate) other: Kv,
    /// The driver alone.
    pub(crate) raw: Client,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::watching(Etcd::start(), |url| url).await
    }

    /// The store that watches goes another way to the server than the others.
    pub(crate) async fn watching(server: Etcd, way: impl FnOnce(String) -> String) -> Self {
        let kv = open(&way(server.url())).await;
        let other = Kv::builder(patience::etcd(&server.url()));
        let other = other.connect().await.unwrap();
        let raw = other.native::<Client>().unwrap();
        Self {
            server,
            kv,
            other,
            raw,
        }
    }

    /// A number that the server measures.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once(' ')?;
            (key == name).then(|| value.parse::<f64>().unwrap())
        });
        value.unwrap_or_else(|| panic!("no metric {name}")) as u64
    }

    /// How many watches the server keeps.
    pub(crate) async fn watches(&self) -> u64 {
        self.metric("etcd_debugging_mvcc_watcher_total").await
    }

    /// How many streams they are on.
    pub(crate) async fn streams(&self) -> u64 {
        self.metric("etcd_debugging_mvcc_watch_stream_total").await
    }

    /// Writes an element of a hash, and its record, as the store lays them out.
    pub(crate) async fn write_field(&self, key: &str, field: &str) {
        let never = [0; 9];
        let record = [&[1, b'h'][..], &never].concat();
        let record_key = [b"\0\x01", key.as_bytes()].concat();
        let puts = [
            etcd_client::TxnOp::put(record_key, record, None),
            etcd_client::TxnOp::put(element(key, field), "v", None),
        ];
        let txn = etcd_client::Txn::new().and_then(puts);
        self.raw.clone().txn(txn).await.unwrap();
    }

    pub(crate) async fn delete_field(&self, key: &str, field: &str) {
        let deleted = self.raw.clone().delete(element(key, field), None).await;
        assert_eq!(deleted.unwrap().deleted(), 1);
    }
}

fn element(key: &str, field: &str) -> Vec<u8> {
    [b"\0\x02", key.as_bytes(), b"\0\x01f", field.as_bytes()].concat()
}

pub(crate) async fn open(url: &str) -> Kv {
    try_open(url).await.unwrap()
}

pub(crate) async fn try_open(url: &str) -> kv_core::Result<Kv> {
    let store = EtcdStore::new(EtcdConfig::from_url(url))?;
    Kv::builder(store).connect().await
}

//! A server of one's own, with a proxy before it.

use kv_conformance::proxy::FaultProxy;
use kv_core::{Error, ErrorKind, Kv, Layer, Result, Store};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    patience::{self, until},
    server::{Etcd, Redis, Server},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;

/// The deadline of every call.
pub(crate) const RESPONSE: Duration = Duration::from_millis(1500);
/// The deadline of opening.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);
/// What a busy machine may add to a deadline before we say that a call hangs.
pub(crate) const SLACK: Duration = patience::PATIENCE;
/// A server with a provider.
pub(crate) trait Backend: Server {
    /// What its addresses begin with.
    const SCHEME: &str;

    /// A store with our deadlines.
    fn store(uri: &str) -> impl Store + use<Self>;

    /// A store that waits for a busy machine.
    fn patient(uri: &str) -> impl Store + use<Self>;

    /// A store without credentials.
    fn store_at(address: SocketAddr) -> impl Store + use<Self> {
        Self::store(&format!("{}{address}", Self::SCHEME))
    }
}

impl Backend for Redis {
    const SCHEME: &str = "redis://";

    fn store(uri: &str) -> impl Store + use<> {
        let mut config = RedisConfig::from_url(uri);
        config.connect_timeout = CONNECT;
        config.response_timeout = RESPONSE;
        RedisStore::new(config).unwrap()
    }

    fn patient(uri: &str) -> impl Store + use<> {
        patience::redis(uri)
    }
}

impl Backend for Etcd {
    const SCHEME: &str = "etcd://";

    fn store(uri: &str) -> impl Store + use<> {
        let mut config = EtcdConfig::from_url(uri);
        config.connect_timeout = CONNECT;
        // A call may take several exchanges.
        config.response_timeout = RESPONSE;
        EtcdStore::new(config).unwrap()
    }

    fn patient(uri: &str) -> impl Store + use<> {
        patience::etcd(uri)
    }
}

pub(crate) struct Site<S> {
    pub(crate) server: S,
    pub(crate) proxy: FaultProxy,
    /// Past the proxy: tells the truth.
    pub(crate) direct: Kv,
}

impl<S: Backend> Site<S> {
    pub(crate) async fn start() -> Self {
        Self::of(S::start()).await
    }

    /// With a server whose acknowledged writes survive a kill.
    pub(crate) async fn start_durable() -> Self {
        Self::of(S::start_durable()).await
    }

    /// With this server.
    pub(crate) async fn of(server: S) -> Self {
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let direct = Kv::builder(S::patient(&server.url()));
        let direct = direct.connect().await.unwrap();
        Self {
            server,
            proxy,
            direct,
        }
    }

    /// A handle that reaches the server through the proxy.
    pub(crate) async fn through(&self) -> Kv {
        open::<S>(self.proxy.address()).await
    }

    /// As [`through`](Self::through), with a layer.
    pub(crate) async fn layered(&self, layer: impl Layer) -> Kv {
        let builder = Kv::builder(S::store_at(self.proxy.address())).layer(layer);
        builder.connect().await.unwrap()
    }
}

impl Site<Redis> {
    /// How many connections the server has, without the one that asks.
    pub(crate) async fn connections(&self) -> usize {
        let mut connection: redis::aio::MultiplexedConnection = self.direct.native().unwrap();
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut connection)
            .await
            .unwrap();
        list.lines().count() - 1
    }

    /// Runs a command of the server's own, with the driver.
    pub(crate) async fn admin(&self, words: &[&str]) {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        let answer: redis::Value = command.query_async(&mut connection).await.unwrap();
        assert!(
            !matches!(answer, redis::Value::ServerError(_)),
            "{answer:?}"
        );
    }
}

pub(crate) async fn open<S: Backend>(address: SocketAddr) -> Kv {
    let builder = Kv::builder(S::store_at(address));
    builder.connect().await.unwrap()
}

/// The result of a call, which must come within the response deadline.
pub(crate) async fn bounded<T>(what: &str, call: impl Future<Output = T>) -> T {
    let Ok(result) = timeout(RESPONSE + SLACK, call).await else {
        panic!("{what} hangs: no result within {:?}", RESPONSE + SLACK);
    };
    result
}

/// The handle works again, without being opened anew.
pub(crate) async fn recovers(kv: &Kv) {
    until("the handle recovers", async || {
        bounded("a call after the fault", kv.get("recovered"))
            .await
            .is_ok()
    })
    .await;
}

/// The error of a store that could not be reached or did not answer, and of no other trouble.
pub(crate) fn expect_outage<T>(what: &str, result: Result<T>) -> Error {
    let Err(error) = result else {
        panic!("{what} succeeded during the outage");
    };
    let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
    error
}

/// Makes each `async fn<S: Backend>()` a test for each server.
macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name::<kv_tests::server::Redis>().await;
            })*
        }

        mod etcd {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name::<kv_tests::server::Etcd>().await;
            })*
        }
    };
}

pub(crate) use on_each_server;

//! A server, and both clients on one runtime.

use crate::{load::Load, reference};
use etcd_client::{CompactionOptions, KvClient};
use kv_core::{Key, Kv};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::{
    bench::{Meter, Outcome, Reading},
    server::Etcd,
};
use std::{
    cell::OnceCell,
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// A stage that is built for the first row that is wanted. Each group of rows has one of its own:
/// etcd reads more slowly after many writes.
#[derive(Default)]
pub(crate) struct Lazy(OnceCell<Stage>);

pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) kv: Kv,
    pub(crate) raw: KvClient,
    server: Etcd,
}

impl Lazy {
    pub(crate) fn get(&self) -> Outcome<&Stage> {
        if let Some(stage) = self.0.get() {
            return Ok(stage);
        }
        let stage = Stage::open()?;
        Ok(self.0.get_or_init(|| stage))
    }
}

impl Stage {
    fn open() -> Outcome<Self> {
        if env::var_os("KV_ETCD").is_none() {
            return Err("KV_ETCD must name an etcd; `cargo xtask bench` finds one".into());
        }
        let server = Etcd::start();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (kv, raw) = runtime.block_on(async {
            let raw = reference::connect(server.address()).await?;
            Outcome::Ok((connect(&server).await?, raw))
        })?;
        Ok(Self {
            runtime,
            kv,
            raw,
            server,
        })
    }

    /// Another store on the same server.
    pub(crate) async fn another(&self) -> Outcome<Kv> {
        connect(&self.server).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every key of the load.
    pub(crate) fn fill_keys(&self, load: &Load) -> Outcome {
        let items = load.keys().iter().map(|key| (key, load.value().clone()));
        self.runtime.block_on(self.kv.set_many(items))?;
        Ok(())
    }

    /// Drops what is deleted and overwritten, as every server in service does now and then.
    pub(crate) fn compact(&self) -> Outcome {
        self.runtime.block_on(async {
            let mut raw = self.raw.clone();
            let told = raw.get("\0", None).await?;
            let revision = told.header().map_or(0, |it| it.revision());
            let physically = CompactionOptions::new().with_physical();
            // What is compacted already needs it no more.
            let _ = raw.compact(revision, Some(physically)).await;
            Ok(())
        })
    }
}

pub(crate) async fn connect(server: &Etcd) -> Outcome<Kv> {
    let store = EtcdStore::new(EtcdConfig::from_url(server.url()))?;
    Ok(Kv::builder(store).connect().await?)
}

pub(crate) fn key(name: impl Into<String>) -> Outcome<Key> {
    Ok(Key::try_from(name.into())?)
}

/// Calls are those of the keys' and the leases' services; the CPU is told in steps of 10 ms.
impl Meter for &Stage {
    fn read(&self) -> Outcome<Reading> {
        let mut connection = TcpStream::connect(self.server.address())?;
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut told = String::new();
        connection.read_to_string(&mut told)?;
        let mut reading = Reading::default();
        for line in told.lines() {
            let Some((name, number)) = line.rsplit_once(' ') else {
                continue;
            };
            if name == "process_cpu_seconds_total" {
                reading.cpu = Duration::from_secs_f64(number.parse()?);
            }
            let started = name.strip_prefix("grpc_server_started_total");
            let counts = |it: &str| {
                ["etcdserverpb.KV\"", "etcdserverpb.Lease\""].map(|name| it.contains(name))
            };
            if started.is_some_and(|it| counts(it).contains(&true)) {
                reading.calls += number.parse::<f64>()? as u64;
            }
        }
        Ok(reading)
    }
}

//! A store and the other client on the same keys.

use crate::peer::{Answer, Peer};
use kv_core::{Clock, Kv, Stopwatch, SystemClock};
use kv_etcd::{EtcdConfig, EtcdStore};
use std::{ffi::OsStr, fmt::Debug, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long we wait for what has no deadline of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen, or what is wrong.
pub(crate) type Checked = Answer<String>;

pub(crate) struct Site {
    pub(crate) kv: Kv,
    pub(crate) python: Peer,
    /// What our keys begin with for others.
    root: String,
    /// The server, as `host:port`.
    address: String,
}

impl Site {
    pub(crate) async fn start(url: &str, python: &OsStr) -> Answer<Self> {
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        let hosts = rest.split('/').next().unwrap_or(rest);
        let address = hosts.split(',').next().unwrap_or(hosts).to_owned();
        // Whatever else is on the server stays as it is.
        let root = format!("interop-{}/", SystemClock.now().as_micros());
        let mut config = EtcdConfig::default();
        config.endpoints = vec![format!("http://{address}")];
        config.root = Some(root.clone());
        config.allow_clear_all = true;
        let kv = Kv::builder(EtcdStore::new(config)?).connect().await?;
        let python = Peer::start(python, &address)?;
        Ok(Self {
            kv,
            python,
            root,
            address,
        })
    }

    /// Where a key of ours lies for others.
    pub(crate) fn path(&self, key: impl AsRef<[u8]>) -> Vec<u8> {
        [self.root.as_bytes(), key.as_ref()].concat()
    }

    /// Takes along what was written.
    pub(crate) async fn end(self) -> Answer<()> {
        self.kv.clear().await?;
        self.kv.close().await;
        Ok(())
    }

    /// Waits until the server keeps watches; one of ours may be several there.
    pub(crate) async fn somebody_watches(&self) -> Answer<()> {
        self.watches(|it| it > 0).await
    }

    /// Waits until the server keeps no watches any more.
    pub(crate) async fn nobody_watches(&self) -> Answer<()> {
        self.watches(|it| it == 0).await
    }

    async fn watches(&self, are_enough: impl Fn(u64) -> bool) -> Answer<()> {
        let watch = Stopwatch::start();
        loop {
            let told = self.metric("etcd_debugging_mvcc_watcher_total").await?;
            if are_enough(told) {
                return Ok(());
            }
            if watch.elapsed() > PATIENCE {
                return Err(format!("the server keeps {told} watches still").into());
            }
            let soon = SystemClock.now().saturating_add(Duration::from_millis(20));
            SystemClock.sleep_until(soon).await;
        }
    }

    /// A number that the server measures.
    async fn metric(&self, name: &str) -> Answer<u64> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or(format!("the server has no {name}"))?.parse()?)
    }
}

/// That something is as it must be.
pub(crate) fn expect<T: Debug + PartialEq<U>, U: Debug + ?Sized>(
    what: &str,
    seen: T,
    expected: &U,
) -> Answer<()> {
    if seen == *expected {
        return Ok(());
    }
    let (seen, expected) = (short(format!("{seen:?}")), short(format!("{expected:?}")));
    Err(format!("{what}: {seen} in place of {expected}").into())
}

/// Values may be long.
fn short(text: String) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

//! The process of the other client, and what it can be told to do.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    error::Error,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};
use tokio::{
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::timeout,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Answer<T> = Result<T, Box<dyn Error>>;

/// The other client; it ends when it is dropped.
pub(crate) struct Peer {
    process: Child,
    /// One order at a time.
    talk: Mutex<Talk>,
}

struct Talk {
    orders: ChildStdin,
    answers: UnboundedReceiver<String>,
}

/// A key as the other client sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    #[serde(deserialize_with = "bytes")]
    pub(crate) key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(crate) value: Vec<u8>,
    /// 0 is none.
    pub(crate) lease: i64,
}

/// A change as the other client is told it.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// `PUT` or `DELETE`.
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) found: Found,
}

/// What the reader of the README makes of bytes.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    #[serde(deserialize_with = "bytes")]
    pub(crate) value: Vec<u8>,
    /// Null, "lease", or seconds since the Unix epoch.
    pub(crate) end: Value,
}

/// For how many seconds a lease was granted, and lives still.
#[derive(Debug, Deserialize)]
pub(crate) struct Lease {
    pub(crate) granted: i64,
    pub(crate) left: i64,
}

impl Peer {
    pub(crate) fn start(python: &OsStr, address: &str) -> Answer<Self> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(python)
            .arg(home.join("examples/interop/peer.py"))
            .arg(address)
            .arg(home.join("../crates/kv-etcd/README.md"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", python.display()))?;
        let orders = process.stdin.take().ok_or("it has no input")?;
        let output = process.stdout.take().ok_or("it has no output")?;
        let (told, answers) = unbounded_channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Until either side ends.
            lines.map(|line| told.send(line)).find(Result::is_err)
        });
        let talk = Mutex::new(Talk { orders, answers });
        Ok(Self { process, talk })
    }

    pub(crate) async fn put(&self, key: &[u8], value: &[u8]) -> Answer<()> {
        self.tell(json!({"do": "put", "key": text(key), "value": text(value)}))
            .await
    }

    pub(crate) async fn put_leased(&self, key: &[u8], value: &[u8], lease: i64) -> Answer<()> {
        let order = json!({"do": "put", "key": text(key), "value": text(value), "lease": lease});
        self.tell(order).await
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Answer<Option<Found>> {
        self.tell(json!({"do": "get", "key": text(key)})).await
    }

    pub(crate) async fn list(&self, prefix: &[u8]) -> Answer<Vec<Found>> {
        self.tell(json!({"do": "list", "prefix": text(prefix)}))
            .await
    }

    /// Whether it was there.
    pub(crate) async fn delete(&self, key: &[u8]) -> Answer<bool> {
        self.tell(json!({"do": "delete", "key": text(key)})).await
    }

    /// Watches until [`unwatch`](Self::unwatch); live when this returns.
    pub(crate) async fn watch(&self, key: &[u8]) -> Answer<()> {
        self.tell(json!({"do": "watch", "key": text(key)})).await
    }

    /// The next change of what is watched.
    pub(crate) async fn event(&self) -> Answer<Told> {
        self.tell(json!({"do": "event"})).await
    }

    pub(crate) async fn unwatch(&self) -> Answer<()> {
        self.tell(json!({"do": "unwatch"})).await
    }

    /// Writes if nothing is there; whether it did.
    pub(crate) async fn create(&self, key: &[u8], value: &[u8]) -> Answer<bool> {
        self.tell(json!({"do": "create", "key": text(key), "value": text(value)}))
            .await
    }

    /// Writes if the old value is there; whether it did.
    pub(crate) async fn replace(&self, key: &[u8], old: &[u8], new: &[u8]) -> Answer<bool> {
        let order = json!({"do": "replace", "key": text(key), "old": text(old), "new": text(new)});
        self.tell(order).await
    }

    /// Adds one, so many times; how often somebody else was faster.
    pub(crate) async fn count(&self, key: &[u8], times: u32) -> Answer<u64> {
        self.tell(json!({"do": "count", "key": text(key), "times": times}))
            .await
    }

    /// A lease that nobody renews.
    pub(crate) async fn grant(&self, seconds: i64) -> Answer<i64> {
        self.tell(json!({"do": "grant", "seconds": seconds})).await
    }

    pub(crate) async fn lease(&self, lease: i64) -> Answer<Lease> {
        self.tell(json!({"do": "lease", "lease": lease})).await
    }

    pub(crate) async fn read(&self, raw: &[u8]) -> Answer<Reading> {
        self.tell(json!({"do": "read", "raw": text(raw)})).await
    }

    async fn tell<T: DeserializeOwned>(&self, order: Value) -> Answer<T> {
        let mut talk = self.talk.lock().await;
        writeln!(talk.orders, "{order}")?;
        let what = &order["do"];
        let line = timeout(PATIENCE, talk.answers.recv()).await;
        let line = line.map_err(|_| format!("Python: {what} has no answer within {PATIENCE:?}"))?;
        let line = line.ok_or_else(|| format!("Python has ended at {what}"))?;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("Python: {what} fails: {error}").into()),
            None => Ok(serde_json::from_value(answer["answer"].take())?),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already needs nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD
        .decode(text)
        .map_err(serde::de::Error::custom)
}

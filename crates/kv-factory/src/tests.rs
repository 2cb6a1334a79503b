//! The factory from outside, on a provider that keeps nothing.

#[cfg(all(
    feature = "compress",
    feature = "encrypt",
    feature = "etcd",
    feature = "schema"
))]
mod described;
mod faults;
mod layering;
#[cfg(not(feature = "etcd"))]
mod left_out;
mod observe;
mod opening;
mod order;
mod resilience;
mod shape;
mod sharing;

use crate::{Factory, FactoryBuilder, Instance, Settings};
use kv_core::{
    Capabilities, CapabilitySet, Error, ErrorKind, Kv, KvBuilder, Layer, Result, Store, layer_fn,
};
use serde::Deserialize;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// A store without commands that counts how often it is connected.
struct Null {
    config: NullConfig,
    connects: Arc<AtomicU32>,
}

#[derive(Deserialize)]
struct NullConfig {
    host: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    broken: bool,
    #[expect(dead_code, reason = "read by nobody: a secret")]
    password: Option<String>,
}

impl Store for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE)
    }

    async fn connect(&self) -> Result<()> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if self.config.broken {
            let address = format!("{}:{}", self.config.host, self.config.port);
            let error = Error::new(ErrorKind::Unavailable, "no answer; is the server running?");
            return Err(error.with_context("address", address));
        }
        Ok(())
    }
}

/// A builder that knows `null` and the wrapper `mark`, and how often stores were connected.
fn builder() -> (FactoryBuilder, Arc<AtomicU32>) {
    let connects = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&connects);
    let null = move |settings: Settings| -> Result<KvBuilder> {
        Ok(Kv::builder(Null {
            config: settings.parse()?,
            connects: Arc::clone(&counter),
        }))
    };
    let mark = |_: Settings, instance: &Instance| -> Result<Arc<dyn Layer>> {
        let keys = instance.key_settings();
        let name = format!("mark({}@{})", instance.name(), keys.namespace);
        Ok(Arc::new(layer_fn(name, |request, next| next.call(request))))
    };
    let mut builder = Factory::builder();
    builder
        .provider("null", null)
        .unwrap()
        .wrapper("mark", mark)
        .unwrap()
        .variables(|name| match name {
            "PORT" => Some("70".to_owned()),
            "WORD" => Some("hunter2".to_owned()),
            _ => None,
        });
    (builder, connects)
}

fn factory(toml: &str) -> Factory {
    builder().0.toml(toml).build().unwrap()
}

/// A store `a` with these lines in its provider's table.
fn store(provider: &str) -> String {
    format!("[default.database.kvstore.a.provider]\nbackend = \"null\"\nhost = \"h\"\n{provider}\n")
}

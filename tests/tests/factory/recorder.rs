//! A store that notes down what reaches it and answers from the samples.

use crate::samples::reply;
use futures_util::stream;
use kv_core::{
    BoxFuture, Capabilities, CapabilitySet, Context, Event, Events, Key, Kv, KvBuilder, Layer,
    Prefix, Reply, Request, Result, Service, Store, Watch,
};
use kv_factory::{Factory, FactoryBuilder, Instance, Settings};
use std::sync::{Arc, Mutex};

/// What reached the bottom of the stack.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    requests: Arc<Mutex<Vec<Request>>>,
    watches: Arc<Mutex<Vec<Watch>>>,
}

impl Seen {
    /// The requests since the last look.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// The watches since the last look.
    pub(crate) fn take_watches(&self) -> Vec<Watch> {
        std::mem::take(&mut self.watches.lock().unwrap())
    }
}

/// A factory that knows the provider `void` and the wrapper `recorder`, which answers in its place
/// and claims these capabilities.
pub(crate) fn builder(can: CapabilitySet) -> (FactoryBuilder, Seen) {
    let seen = Seen::default();
    let recorded = seen.clone();
    let mut builder = Factory::builder();
    builder
        .provider("void", |settings: Settings| -> Result<KvBuilder> {
            settings.parse::<Nothing>()?;
            Ok(Kv::builder(Void))
        })
        .unwrap()
        .wrapper("recorder", move |_: Settings, _: &Instance| {
            let seen = recorded.clone();
            Ok(Arc::new(Recorder { seen, can }) as Arc<dyn Layer>)
        })
        .unwrap();
    (builder, seen)
}

/// A recording store with these wrappers, written as an inline list, and `[default.context]`.
pub(crate) async fn stack(can: CapabilitySet, wrappers: &str, context: &str) -> (Kv, Seen) {
    let (mut builder, seen) = builder(can);
    let toml = format!(
        "[default.context]\n{context}\n[default.database.kvstore.a]\nnamespace = \"cache\"\nprovider = {{ backend = \"void\" }}\nwrappers = [{{ name = \"recorder\" }}, {wrappers}]"
    );
    let factory = builder.toml(toml).build().unwrap();
    (factory.open("a").await.unwrap(), seen)
}

/// A layer that lets nothing through.
pub(crate) struct Recorder {
    pub(crate) seen: Seen,
    pub(crate) can: CapabilitySet,
}

impl Layer for Recorder {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let seen = self.seen.clone();
        let can = self.can;
        Arc::new(Recording { inner, seen, can })
    }
}

struct Recording {
    inner: Arc<dyn Service>,
    seen: Seen,
    can: CapabilitySet,
}

impl Service for Recording {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let answer = reply(&request.command);
        self.seen.requests.lock().unwrap().push(request);
        Box::pin(async { Ok(answer) })
    }

    /// Tells of every key or range asked for, of a key of somebody else, and ends.
    fn watch(&self, watch: Watch, _: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.seen.watches.lock().unwrap().push(watch.clone());
        let mut events: Vec<Event> = match watch {
            Watch::Keys(keys) => keys.into_iter().flat_map(put_and_delete).collect(),
            Watch::Channels(keys) => keys.into_iter().map(message).collect(),
            Watch::Prefixes(ranges) => ranges
                .as_slice()
                .iter()
                .flat_map(|range| put_and_delete(inside(range)))
                .collect(),
            other => panic!("unknown watch {other:?}"),
        };
        events.extend(put_and_delete(
            Key::try_from("nala:t2:cache:foreign").unwrap(),
        ));
        events.push(Event::Resync);
        Box::pin(async { Ok(Box::pin(stream::iter(events.into_iter().map(Ok))) as Events) })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.can)
    }

    fn name(&self) -> String {
        "recorder".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

fn put_and_delete(key: Key) -> [Event; 2] {
    let put = Event::Put {
        key: key.clone(),
        value: Some("value".into()),
    };
    [put, Event::Delete { key }]
}

fn message(channel: Key) -> Event {
    Event::Message {
        channel,
        payload: "payload".into(),
    }
}

fn inside(range: &Prefix) -> Key {
    [range.as_bytes(), b"x}found"].concat().try_into().unwrap()
}

/// A provider for which nothing is ever meant.
pub(crate) struct Void;

impl Store for Void {
    fn name(&self) -> &'static str {
        "void"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE)
    }
}

#[derive(serde::Deserialize)]
struct Nothing {}

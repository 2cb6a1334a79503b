//! What a saboteur of streams has in hand: the intact store, the stream, and notes of its own.

use futures_util::stream::{self, BoxStream, StreamExt};
use kv_core::{
    BoxFuture, Capabilities, Command, Context, Event, Events, Key, Layer, Reply, Request, Result,
    Service, Watch,
};
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::watch::Sender;

/// Answers a watch in place of the store.
pub(super) type Sabotage = fn(Ear, Watch) -> BoxFuture<'static, Result<Events>>;

/// The intact store below a saboteur of streams.
#[derive(Clone)]
pub(super) struct Ear {
    inner: Arc<dyn Service>,
    context: Option<Context>,
    /// The keys that commands of some kinds changed, since somebody was last told of them.
    pub(super) muted: Arc<Mutex<BTreeSet<Key>>>,
    /// How many streams were dropped.
    pub(super) dropped: Arc<Sender<u64>>,
}

impl Ear {
    pub(super) async fn watch(&self, watch: Watch) -> Result<Events> {
        self.inner.watch(watch, self.context.clone()).await
    }

    pub(super) async fn ask(&self, command: Command) -> Result<Reply> {
        let mut request = Request::new(command);
        request.context = self.context.clone();
        self.inner.call(request).await
    }

    /// The intact stream, with each event made into some others.
    pub(super) async fn each(
        &self,
        watch: Watch,
        change: impl FnMut(Event) -> Vec<Event> + Send + 'static,
    ) -> Result<Events> {
        let events: BoxStream<'static, Result<Event>> = self.watch(watch).await?;
        let mut change = change;
        let changed = events.flat_map(move |event| {
            let events = match event {
                Ok(event) => change(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(events)
        });
        Ok(changed.boxed())
    }
}

/// A layer that answers watches like this, and notes the keys of commands that `mutes` names.
pub(super) fn layer(
    name: &'static str,
    sabotage: Sabotage,
    mutes: &'static [&'static str],
) -> Arc<dyn Layer> {
    Arc::new(Deaf {
        name,
        sabotage,
        mutes,
    })
}

struct Deaf {
    name: &'static str,
    sabotage: Sabotage,
    mutes: &'static [&'static str],
}

impl Layer for Deaf {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Around {
            name: self.name,
            sabotage: self.sabotage,
            mutes: self.mutes,
            ear: Ear {
                inner,
                context: None,
                muted: Arc::default(),
                dropped: Arc::new(Sender::new(0)),
            },
        })
    }
}

struct Around {
    name: &'static str,
    sabotage: Sabotage,
    mutes: &'static [&'static str],
    ear: Ear,
}

impl Service for Around {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        if self.mutes.contains(&request.command.spec().name) {
            self.ear.muted.lock().extend(keys(&request.command));
        }
        self.ear.inner.call(request)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        let ear = Ear {
            context,
            ..self.ear.clone()
        };
        (self.sabotage)(ear, watch)
    }

    fn capabilities(&self) -> Capabilities {
        self.ear.inner.capabilities()
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.ear.inner)
    }
}

fn keys(command: &Command) -> Vec<Key> {
    struct Keys(Vec<Key>);
    impl kv_core::Visitor for Keys {
        fn key(&mut self, key: &mut Key) -> Result<()> {
            self.0.push(key.clone());
            Ok(())
        }
    }
    let mut keys = Keys(Vec::new());
    // The visitor never fails.
    let _ = command.clone().visit(&mut keys);
    keys.0
}

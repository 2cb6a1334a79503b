use crate::{
    FactoryBuilder, Settings, StoreUrl,
    configuration::Configuration,
    fault::Fault,
    hint::instead,
    instance::{Blueprint, assemble},
    layout::Layout,
    other::Others,
    registry::Registry,
    slot::Slot,
};
use futures_util::future;
use kv_core::{Error, ErrorKind, Kv, KvBuilder, Outcome, Result};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, sync::Arc};

/// Opens the stores of a configuration by name.
///
/// Clones share the open stores. Nothing is read again after the factory was made, except variables
/// and secrets' files, which are looked up when a store is opened or a section asked for.
#[derive(Clone)]
pub struct Factory {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    configuration: Configuration,
    registry: Registry,
    slots: BTreeMap<String, Slot>,
}

impl Factory {
    /// Begins with nothing but the providers and wrappers that are compiled in.
    pub fn builder() -> FactoryBuilder {
        FactoryBuilder::new()
    }

    /// Reads a TOML file; the environment comes from the variable `KV_ENV`, else it is `default`.
    ///
    /// # Errors
    /// As [`FactoryBuilder::build`].
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder().file(path).build()
    }

    /// As [`from_file`](Self::from_file), from text.
    ///
    /// # Errors
    /// As [`FactoryBuilder::build`].
    #[expect(
        clippy::should_implement_trait,
        reason = "the trait is implemented too; this needs no import"
    )]
    pub fn from_str(toml: &str) -> Result<Self> {
        Self::builder().toml(toml).build()
    }

    /// The names of the configured stores, sorted; disabled ones too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shared.slots.keys().map(String::as_str)
    }

    /// The environment in use.
    pub fn environment(&self) -> &str {
        self.shared.configuration.environment()
    }

    /// All environments that the configuration has, sorted.
    pub fn environments(&self) -> &[String] {
        self.shared.configuration.environments()
    }

    /// Checks every store as far as that goes without connecting: names, fields, types, orders, and
    /// that variables and files are there. Disabled stores need neither of the latter.
    ///
    /// An enabled store of a provider that is not compiled in is a fault, which names the feature: it
    /// cannot be opened. Programs that use some stores of a shared file check those, with
    /// [`validate_store`](Self::validate_store).
    ///
    /// # Errors
    /// [`ErrorKind::Config`]; several faults are told in one error.
    pub fn validate(&self) -> Result<()> {
        let mut faults = Vec::new();
        self.shared.configuration.check_templates(&mut faults);
        for name in self.names() {
            self.find_faults(name, &mut faults);
        }
        let context = self.shared.configuration.context();
        faults.extend(context.parse::<kv_wrappers::KeySettings>().err());
        all_of(faults)
    }

    /// As [`validate`](Self::validate), for one store and what it shares with others. A disabled one
    /// is well.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], also for a name that is not configured.
    pub fn validate_store(&self, name: &str) -> Result<()> {
        self.slot(name)?;
        let mut faults = Vec::new();
        self.find_faults(name, &mut faults);
        all_of(faults)
    }

    /// Opens a store, connected and with its wrappers around it.
    ///
    /// The same name gives the same store, also to those who ask at the same time: one of them
    /// connects, and if that fails, all who waited get the failure. The next call tries anew. A
    /// store that was closed is opened anew.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that is not configured or is disabled, and for a fault in the
    /// store's table; else the provider's, if the store cannot be reached.
    ///
    /// # Cancel safety
    /// May be dropped; whoever waits for the same store then opens it.
    pub async fn open(&self, name: &str) -> Result<Kv> {
        let slot = self.slot(name)?;
        slot.open(async || match self.assemble(name)? {
            Blueprint::Enabled(stack) => {
                self.check_layout(name)?;
                let connected = connect(stack).await;
                connected.map_err(|error| error.with_context("store", name))
            }
            Blueprint::Disabled => Err(self.disabled(name)),
        })
        .await
    }

    /// Opens every store that is enabled, all at the same time.
    ///
    /// # Errors
    /// The first failure, as of [`open`](Self::open). Stores that are open by then stay open until
    /// [`close_all`](Self::close_all).
    pub async fn open_all(&self) -> Result<BTreeMap<String, Kv>> {
        let enabled = self.names().map(|name| {
            let enabled = self.store(name).get::<bool>("enabled");
            enabled.map(|enabled| enabled.unwrap_or(true).then_some(name))
        });
        let enabled = enabled.collect::<Result<Vec<_>>>()?;
        let opening = enabled.into_iter().flatten().map(async |name| {
            let kv = self.open(name).await?;
            Ok::<_, Error>((name.to_owned(), kv))
        });
        Ok(future::try_join_all(opening).await?.into_iter().collect())
    }

    /// Closes every store that this factory has opened by name, for all who hold it. Data stays, and
    /// [`open`](Self::open) makes a new one, after the store is closed.
    ///
    /// # Cancel safety
    /// May be dropped; the next call closes what is left.
    pub async fn close_all(&self) {
        future::join_all(self.shared.slots.values().map(Slot::close)).await;
    }

    /// Opens a bare store by its URL: `memory://`, `redis://user:password@host:6379/0`, `rediss://…`,
    /// `redis-cluster://host:port,host:port`, `unix:///run/redis.sock`, or a scheme of a registered provider.
    ///
    /// Each call makes a store of its own, which belongs to the caller. The URL is taken as it is:
    /// `${…}` means nothing in it, and it is never shown.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL that does not parse, an unknown scheme (the known ones are
    /// listed) or unknown settings in it; else the provider's.
    pub async fn open_url(&self, url: &str) -> Result<Kv> {
        let url = StoreUrl::parse(url)?;
        let provider = self.shared.registry.provider_of_url(&url)?;
        connect(provider.build_url(&url)?).await
    }

    /// A section of the configuration as a type: `section::<Limits>("ratelimit.policies")` reads
    /// `[default.ratelimit.policies]`, under the same rules as stores: environments, `${…}`, and no
    /// unknown fields.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such section, naming those that are there, or as
    /// [`Settings::parse`].
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.settings(name)?.parse()
    }

    /// As [`section`](Self::section), `None` if there is no such section.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn find_section<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let section = self.shared.configuration.section(name).ok();
        section.map(|it| it.parse()).transpose()
    }

    /// A section of the configuration as a table.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such section, naming those that are there.
    pub fn settings(&self, name: &str) -> Result<Settings> {
        Ok(self.shared.configuration.section(name)?)
    }

    pub(crate) fn new(configuration: Configuration, registry: Registry) -> Self {
        let stores = configuration.stores();
        let slots = stores
            .fields()
            .map(|name| (name.to_owned(), Slot::default()))
            .collect();
        Self {
            shared: Arc::new(Shared {
                configuration,
                registry,
                slots,
            }),
        }
    }

    fn slot(&self, name: &str) -> Result<&Slot> {
        self.shared.slots.get(name).ok_or_else(|| {
            let message = format!(
                "there is no store `{name}`{}",
                instead(name, "configured", self.names())
            );
            Error::new(ErrorKind::Config, message)
        })
    }

    fn find_faults(&self, name: &str, faults: &mut Vec<Error>) {
        faults.extend(self.assemble(name).err());
        faults.extend(self.check_layout(name).err());
    }

    fn store(&self, name: &str) -> Settings {
        self.shared.configuration.stores().child_or_empty(name)
    }

    fn assemble(&self, name: &str) -> Result<Blueprint> {
        self.assemble_for(name, &[])
    }

    /// Stacks a store that others need, of which each needs the next.
    pub(crate) fn assemble_for(&self, name: &str, others: &[String]) -> Result<Blueprint> {
        let context = self.shared.configuration.context();
        let others = Others {
            factory: Arc::downgrade(&self.shared),
            path: [others, &[name.to_owned()]].concat(),
        };
        let registry = &self.shared.registry;
        assemble(name, &self.store(name), &context, registry, others)
    }

    /// Compares a store's keys with those of every other one. What is wrong with another store's own
    /// table is no fault of this one.
    fn check_layout(&self, name: &str) -> Result<()> {
        let Ok(Some(own)) = self.layout(name) else {
            return Ok(());
        };
        for other in self.names().filter(|&other| other != name) {
            let Ok(Some(other_layout)) = self.layout(other) else {
                continue;
            };
            // In the order of names, so that both stores tell the same.
            match name < other {
                true => own.check(&other_layout)?,
                false => other_layout.check(&own)?,
            }
        }
        Ok(())
    }

    fn layout(&self, name: &str) -> Result<Option<Layout>> {
        let context = self.shared.configuration.context();
        Layout::read(name, &self.store(name), &context, &self.shared.registry)
    }

    pub(crate) fn disabled(&self, name: &str) -> Error {
        let reason = format!("the store `{name}` is disabled; set it to true to open the store");
        let field = self.store(name).child_or_empty("enabled");
        field.fault(Fault::new(reason))
    }
}

impl From<Arc<Shared>> for Factory {
    fn from(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl FromStr for Factory {
    type Err = Error;

    fn from_str(toml: &str) -> Result<Self> {
        Self::from_str(toml)
    }
}

/// The names of the stores; settings can be secret.
impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        write!(f, "Factory({})", names.join(", "))
    }
}

/// Several faults as one error, each of them once.
fn all_of(mut faults: Vec<Error>) -> Result<()> {
    let mut texts: Vec<_> = faults.iter().map(Error::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    match (texts.len(), faults.pop()) {
        (_, None) => Ok(()),
        (1, Some(only)) => Err(only),
        (count, Some(_)) => {
            let list = texts.iter().enumerate();
            let list: Vec<_> = list
                .map(|(at, text)| format!("({}) {text}", at + 1))
                .collect();
            let message = format!("{count} faults: {}", list.join("; "));
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}

async fn connect(stack: KvBuilder) -> Result<Kv> {
    stack.connect().await.map_err(|error| {
        // Nothing is written by connecting, so nothing can be in doubt.
        match error.outcome() {
            Outcome::Unknown => error.with_outcome(Outcome::NotApplied),
            Outcome::NotApplied | Outcome::Final => error,
        }
    })
}

//! From a store's table to its stack.

use crate::{Settings, WrapperBuilder, fault::Fault, other::Others, registry::Registry};
use kv_core::{Error, ErrorKind, KvBuilder, Result};
use kv_wrappers::KeySettings;
use std::{fmt, sync::Arc};

/// The fields of a store's table.
pub(crate) const STORE: [&str; 4] = ["enabled", "namespace", "provider", "wrappers"];
/// The fields of an entry of its `wrappers`.
pub(crate) const WRAPPER: [&str; 3] = ["name", "enabled", "config"];

/// The store that a wrapper is built for.
#[derive(Clone)]
pub struct Instance {
    name: String,
    namespace: Option<String>,
    /// The shared key settings with the instance's namespace in them, as a table.
    keys: Settings,
    parsed: KeySettings,
    others: Others,
}

impl Instance {
    /// The store's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store's own namespace, if it has one.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The key settings that all wrappers share (`[default.context]`), the namespace being the
    /// store's own if it has one.
    pub fn key_settings(&self) -> &KeySettings {
        &self.parsed
    }

    pub(crate) fn others(&self) -> &Others {
        &self.others
    }

    /// The table behind [`key_settings`](Self::key_settings) with a wrapper's own fields over it.
    pub(crate) fn overridden_by(&self, settings: Settings) -> Settings {
        self.keys.clone().overlaid_with(settings)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish()
    }
}

/// What a store's table says to build.
pub(crate) enum Blueprint {
    Disabled,
    Enabled(KvBuilder),
}

/// Reads a store's table and stacks its wrappers on its provider. Connects to nothing.
pub(crate) fn assemble(
    name: &str,
    store: &Settings,
    context: &Settings,
    registry: &Registry,
    others: Others,
) -> Result<Blueprint> {
    store.only(&STORE)?;
    let wrappers = match store.child("wrappers") {
        Some(list) => list.elements()?,
        None => Vec::new(),
    };
    let is_enabled: bool = store.get("enabled")?.unwrap_or(true);
    let wrappers = wrappers
        .into_iter()
        .filter_map(|entry| Wrapper::read(entry, registry, is_enabled).transpose())
        .collect::<Result<Vec<_>>>()?;
    let provider = required(store, "provider", "a table with the `backend`")?;
    let backend: String = required(&provider, "backend", "the name of a provider")?.parse()?;
    // Programs that share a file need not all have the providers of all its stores.
    if !is_enabled && registry.is_left_out(&backend) {
        return Ok(Blueprint::Disabled);
    }
    let builder = registry.provider(&backend);
    let builder = builder.map_err(|fault| provider.child_or_empty("backend").fault(fault))?;
    if !is_enabled {
        return Ok(Blueprint::Disabled);
    }

    let provider = provider.without("backend");
    let stack = builder.build(provider.clone());
    let mut stack = stack.map_err(|error| name_table(error, &provider))?;

    let wrappers: Vec<_> = wrappers.into_iter().filter(|it| it.enabled).collect();
    let names: Vec<_> = wrappers.iter().map(|it| it.name.as_str()).collect();
    let mut instance = Instance::read(name, store, context)?;
    instance.others = others;
    for (position, wrapper) in wrappers.iter().enumerate() {
        wrapper.check_order(position, &names)?;
        let config = wrapper.entry.child_or_empty("config");
        let layer = wrapper.builder.build(config.clone(), &instance);
        stack = stack.layer(layer.map_err(|error| name_table(error, &config))?);
    }
    Ok(Blueprint::Enabled(stack))
}

impl Instance {
    pub(crate) fn read(name: &str, store: &Settings, context: &Settings) -> Result<Self> {
        // Alone first, so that a fault in it is told with its own place.
        let mut parsed: KeySettings = context.parse()?;
        let mut keys = context.clone();
        let namespace: Option<String> = store.get("namespace")?;
        if let Some(namespace) = &namespace {
            if namespace.is_empty() {
                let empty = Fault::new("the namespace is empty; name one, or drop the field");
                return Err(store.child_or_empty("namespace").fault(empty));
            }
            parsed.namespace.clone_from(namespace);
            keys = keys.overlaid_with(store.only_field("namespace"));
        }
        Ok(Self {
            name: name.to_owned(),
            namespace,
            keys,
            parsed,
            others: Others::default(),
        })
    }
}

/// An entry of a store's `wrappers`.
struct Wrapper {
    entry: Settings,
    name: String,
    enabled: bool,
    builder: Arc<dyn WrapperBuilder>,
}

impl Wrapper {
    /// None for one that this build leaves out and that nobody needs.
    fn read(entry: Settings, registry: &Registry, is_store_enabled: bool) -> Result<Option<Self>> {
        entry.only(&WRAPPER)?;
        let named = required(&entry, "name", "the name of a wrapper")?;
        let name: String = named.parse()?;
        let enabled = entry.get("enabled")?.unwrap_or(true);
        if registry.is_wrapper_left_out(&name) && !(enabled && is_store_enabled) {
            return Ok(None);
        }
        let builder = registry
            .wrapper(&name)
            .map_err(|fault| named.fault(fault))?;
        Ok(Some(Self {
            enabled,
            entry,
            name,
            builder,
        }))
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<()> {
        self.builder.check_order(position, stack).map_err(|reason| {
            let message = format!(
                "`{}` {reason}; the stack from the provider outwards: {}",
                self.name,
                stack.join(", ")
            );
            self.entry.fault(Fault::new(message))
        })
    }
}

fn required(table: &Settings, field: &str, what: &str) -> Result<Settings> {
    table.child(field).ok_or_else(|| {
        let before = format!("missing `{field}` in");
        table.fault(Fault::around(before, format!("; add {what}")))
    })
}

/// Makes a builder's error one about the configuration that says where.
fn name_table(error: Error, table: &Settings) -> Error {
    if error.kind() != ErrorKind::Config {
        let message = format!("`{}`: {error}", table.table());
        return Error::new(ErrorKind::Config, message).with_source(error);
    }
    // A field's own place is more exact; it can be of another environment.
    match error.to_string().contains(table.path()) {
        true => error,
        false => error.with_context("table", table.table()),
    }
}

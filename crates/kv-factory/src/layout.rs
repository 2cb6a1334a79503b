//! Whether stores that share a server lay out their keys in the same way. Only then no two of them
//! can meet.

use crate::{Instance, Settings, registry::Registry};
use kv_core::{Error, ErrorKind, Result};
use kv_wrappers::KeySettings;

/// The fields that say where the data are: the server, and what on it; a provider with none of them is known by all its fields.
const ADDRESS: [&str; 10] = [
    "uri",
    "url",
    "host",
    "port",
    "socket",
    "path",
    "db",
    "database",
    "endpoints",
    "root",
];

/// How a store with a key resolver lays out its keys, and where.
pub(crate) struct Layout {
    /// The resolver's table.
    table: String,
    backend: String,
    /// Never shown: it can hold a password.
    address: toml::Table,
    keys: KeySettings,
}

impl Layout {
    /// None for a store that is disabled, has no resolver, or shares its data with no other.
    pub(crate) fn read(
        name: &str,
        store: &Settings,
        context: &Settings,
        registry: &Registry,
    ) -> Result<Option<Self>> {
        if !store.get("enabled")?.unwrap_or(true) {
            return Ok(None);
        }
        let provider = store.child_or_empty("provider");
        let backend: String = provider.get("backend")?.unwrap_or_default();
        let shared = registry.provider(&backend);
        if !shared.is_ok_and(|it| it.is_shared()) {
            return Ok(None);
        }
        let Some(entry) = resolver(store)? else {
            return Ok(None);
        };
        let instance = Instance::read(name, store, context)?;
        let config = entry.child_or_empty("config");
        let keys = instance.overridden_by(config).parse()?;
        let mut address: toml::Table = provider.without("backend").parse()?;
        if address.keys().any(|it| ADDRESS.contains(&it.as_str())) {
            address.retain(|it, _| ADDRESS.contains(&it));
        }
        Ok(Some(Self {
            table: entry.table(),
            backend,
            address,
            keys,
        }))
    }

    /// Refuses two layouts on one server with the same static prefix that differ otherwise.
    pub(crate) fn check(&self, other: &Self) -> Result<()> {
        let (one, two) = (&self.keys, &other.keys);
        let meet = self.backend == other.backend
            && self.address == other.address
            && one.static_prefix == two.static_prefix;
        let without_tenants = |keys: &KeySettings| keys.multi_tenancy_enabled == Some(false);
        let field = if !meet {
            return Ok(());
        } else if one.separator != two.separator {
            "separator"
        } else if without_tenants(one) != without_tenants(two) {
            "multi_tenancy_enabled"
        } else if one.use_user_uid != two.use_user_uid {
            "use_user_uid"
        } else {
            return Ok(());
        };
        let message = format!(
            "`{}` and `{}` differ in `{field}` on the same server below the same static_prefix, so their keys could meet; give both the same, or each its own static_prefix",
            self.table, other.table
        );
        Err(Error::new(ErrorKind::Config, message))
    }
}

fn resolver(store: &Settings) -> Result<Option<Settings>> {
    let Some(wrappers) = store.child("wrappers") else {
        return Ok(None);
    };
    for entry in wrappers.elements()? {
        let name: Option<String> = entry.get("name")?;
        if name.as_deref() == Some("key_resolver") && entry.get("enabled")?.unwrap_or(true) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

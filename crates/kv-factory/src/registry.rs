//! Providers and wrappers by name. Other crates add theirs.

use crate::{Instance, Settings, StoreUrl, builtin, fault::Fault, hint::instead};
use kv_core::{Error, ErrorKind, KvBuilder, Layer, Result};
use std::{collections::BTreeMap, sync::Arc};

/// Makes a provider of its table in the configuration.
///
/// A closure `Fn(Settings) -> Result<KvBuilder>` is one. Building only reads the settings: it neither
/// connects nor starts anything, since [`Factory::validate`](crate::Factory::validate) builds too
/// and throws the result away. What takes time belongs in `Store::connect`.
pub trait ProviderBuilder: Send + Sync + 'static {
    /// Makes the provider, not yet connected, of a `.provider` table without its `backend`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings that cannot work; [`Settings::parse`] gives the right ones
    /// for unknown fields and wrong types. The factory adds the table's name to others.
    fn build(&self, settings: Settings) -> Result<KvBuilder>;

    /// The schemes of the URLs that [`Factory::open_url`](crate::Factory::open_url) hands to this
    /// provider, in lower case. None unless overridden.
    fn schemes(&self) -> &[&str] {
        &[]
    }

    /// Whether stores built of the same settings share their data, as clients of one server do. The
    /// factory then refuses key settings with which keys of two of them could meet. Yes unless
    /// overridden.
    fn is_shared(&self) -> bool {
        true
    }

    /// Makes the provider of a URL with one of its schemes. Unless overridden the URL becomes the
    /// field `uri` of the settings.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    fn build_url(&self, url: &StoreUrl) -> Result<KvBuilder> {
        self.build(url.as_field("uri"))
    }

    /// Describes the settings, for the JSON schema and the reference of
    /// [`FactoryBuilder`](crate::FactoryBuilder). Unless overridden nothing is known about them;
    /// [`Described`](crate::schema::Described) gives any builder a description.
    #[cfg(feature = "schema")]
    #[expect(unused_variables, reason = "the default describes nothing")]
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        None
    }
}

impl<F> ProviderBuilder for F
where
    F: Fn(Settings) -> Result<KvBuilder> + Send + Sync + 'static,
{
    fn build(&self, settings: Settings) -> Result<KvBuilder> {
        self(settings)
    }
}

/// Makes a layer of a wrapper's `config` table.
///
/// A closure `Fn(Settings, &Instance) -> Result<Arc<dyn Layer>>` is one. As with a provider,
/// building starts nothing.
pub trait WrapperBuilder: Send + Sync + 'static {
    /// Makes the layer of a `config` table, which is empty if the wrapper has none.
    ///
    /// # Errors
    /// As [`ProviderBuilder::build`].
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>>;

    /// Says why the wrapper cannot work at its place in a stack, if so.
    ///
    /// `stack` holds the names of all enabled wrappers from the provider outwards, this one at
    /// `position`. Unless overridden every place will do.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that starts with the wrapper's name.
    #[expect(unused_variables, reason = "the default accepts every place")]
    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        Ok(())
    }

    /// Describes the settings, for the JSON schema and the reference of
    /// [`FactoryBuilder`](crate::FactoryBuilder). Unless overridden nothing is known about them;
    /// [`Described`](crate::schema::Described) gives any builder a description.
    #[cfg(feature = "schema")]
    #[expect(unused_variables, reason = "the default describes nothing")]
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        None
    }
}

impl<F> WrapperBuilder for F
where
    F: Fn(Settings, &Instance) -> Result<Arc<dyn Layer>> + Send + Sync + 'static,
{
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        self(settings, instance)
    }
}

/// What can be named in a configuration.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    providers: BTreeMap<String, Arc<dyn ProviderBuilder>>,
    wrappers: BTreeMap<String, Arc<dyn WrapperBuilder>>,
    /// The provider of each URL scheme.
    schemes: BTreeMap<String, String>,
    /// What sections of consumers are described by.
    #[cfg(feature = "schema")]
    sections: BTreeMap<String, SectionSchema>,
}

/// Describes a section.
#[cfg(feature = "schema")]
pub(crate) type SectionSchema = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

impl Registry {
    pub(crate) fn add_provider(
        &mut self,
        name: &str,
        builder: Arc<dyn ProviderBuilder>,
    ) -> Result<()> {
        if self.providers.contains_key(name) {
            return Err(duplicate("provider", name));
        }
        for scheme in builder.schemes() {
            if let Some(owner) = self.schemes.get(*scheme) {
                let message = format!(
                    "the URL scheme `{scheme}` belongs to the provider `{owner}`, which stays in force; choose another scheme for `{name}`"
                );
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        for scheme in builder.schemes() {
            self.schemes.insert((*scheme).to_owned(), name.to_owned());
        }
        self.providers.insert(name.to_owned(), builder);
        Ok(())
    }

    pub(crate) fn add_wrapper(
        &mut self,
        name: &str,
        builder: Arc<dyn WrapperBuilder>,
    ) -> Result<()> {
        if self.wrappers.contains_key(name) {
            return Err(duplicate("wrapper", name));
        }
        self.wrappers.insert(name.to_owned(), builder);
        Ok(())
    }

    #[cfg(feature = "schema")]
    pub(crate) fn describe_section(&mut self, name: &str, schema: SectionSchema) -> Result<()> {
        if ["context", "database"].contains(&name) || self.sections.contains_key(name) {
            return Err(duplicate("section", name));
        }
        self.sections.insert(name.to_owned(), schema);
        Ok(())
    }

    #[cfg(feature = "schema")]
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, SectionSchema)> {
        self.sections.iter().map(|(name, it)| (name.as_str(), *it))
    }

    pub(crate) fn provider(&self, name: &str) -> Result<Arc<dyn ProviderBuilder>, Fault> {
        if let Some(builder) = self.providers.get(name) {
            return Ok(Arc::clone(builder));
        }
        let known = self.providers.keys().map(String::as_str);
        Err(match builtin::feature_of(name) {
            Some(feature) => not_compiled("provider", name, feature, "store"),
            None => Fault::unknown("provider", name, "registered", known),
        })
    }

    /// Whether the provider is one that this build leaves out.
    pub(crate) fn is_left_out(&self, name: &str) -> bool {
        !self.providers.contains_key(name) && builtin::feature_of(name).is_some()
    }

    pub(crate) fn wrapper(&self, name: &str) -> Result<Arc<dyn WrapperBuilder>, Fault> {
        if let Some(builder) = self.wrappers.get(name) {
            return Ok(Arc::clone(builder));
        }
        let known = self.wrappers.keys().map(String::as_str);
        Err(match builtin::feature_of_wrapper(name) {
            Some(feature) => not_compiled("wrapper", name, feature, "wrapper"),
            None => Fault::unknown("wrapper", name, "registered", known),
        })
    }

    /// Whether the wrapper is one that this build leaves out.
    pub(crate) fn is_wrapper_left_out(&self, name: &str) -> bool {
        !self.wrappers.contains_key(name) && builtin::feature_of_wrapper(name).is_some()
    }

    /// All providers, by name.
    #[cfg(feature = "schema")]
    pub(crate) fn providers(&self) -> impl Iterator<Item = (&str, &dyn ProviderBuilder)> {
        let providers = self.providers.iter();
        providers.map(|(name, builder)| (name.as_str(), &**builder))
    }

    /// All wrappers, by name.
    #[cfg(feature = "schema")]
    pub(crate) fn wrappers(&self) -> impl Iterator<Item = (&str, &dyn WrapperBuilder)> {
        let wrappers = self.wrappers.iter();
        wrappers.map(|(name, builder)| (name.as_str(), &**builder))
    }

    pub(crate) fn provider_of_url(&self, url: &StoreUrl) -> Result<&Arc<dyn ProviderBuilder>> {
        let scheme = url.scheme();
        let owner = self.schemes.get(scheme);
        owner
            .and_then(|name| self.providers.get(name))
            .ok_or_else(|| {
                let provider = builtin::provider_of_scheme(scheme);
                let missing = provider.and_then(|it| Some((it, builtin::feature_of(it)?)));
                if let Some((provider, feature)) = missing {
                    let message = format!(
                        "the provider `{provider}` of the URL scheme `{scheme}` is not compiled in; turn on the feature `{feature}` of kv-factory"
                    );
                    return Error::new(ErrorKind::Config, message);
                }
                let known = self.schemes.keys().map(String::as_str);
                let instead = instead(scheme, "known schemes", known);
                let message = format!("unknown URL scheme `{scheme}`{instead}");
                Error::new(ErrorKind::Config, message)
            })
    }
}

fn duplicate(what: &str, name: &str) -> Error {
    let message = format!(
        "the {what} `{name}` is registered already and stays in force; register this one under another name"
    );
    Error::new(ErrorKind::Config, message)
}

/// A provider or a wrapper, and what can be disabled to do without.
fn not_compiled(what: &str, name: &str, feature: &str, or: &str) -> Fault {
    Fault::around(
        format!("the {what} `{name}` is not compiled in, but named in"),
        format!("; turn on the feature `{feature}` of kv-factory, or disable the {or}"),
    )
}

#[cfg(test)]
mod tests {
    use super::not_compiled;
    use kv_core::Error;

    #[test]
    fn a_provider_that_is_not_compiled_in_names_its_feature() {
        let fault = not_compiled("provider", "redis", "redis", "store")
            .at(|| "default.a.provider.backend".to_owned());
        assert_eq!(
            Error::from(fault).to_string(),
            "the provider `redis` is not compiled in, but named in `default.a.provider.backend`; turn on the feature `redis` of kv-factory, or disable the store"
        );
    }
}

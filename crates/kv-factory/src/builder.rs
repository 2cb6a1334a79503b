use crate::{
    Factory, ProviderBuilder, WrapperBuilder, builtin,
    configuration::{Configuration, Source},
    registry::Registry,
    template::Variables,
};
use kv_core::Result;
use std::{fmt, path::PathBuf, sync::Arc};

/// Collects what a [`Factory`] is made of.
#[derive(Clone)]
pub struct FactoryBuilder {
    registry: Registry,
    sources: Vec<Source>,
    environment: Option<String>,
    variables: Variables,
}

impl FactoryBuilder {
    pub(crate) fn new() -> Self {
        Self {
            registry: builtin::registry(),
            sources: Vec::new(),
            environment: None,
            variables: Variables::default(),
        }
    }

    /// Adds a TOML file. Several are laid over one another in the order given.
    pub fn file(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// Adds TOML text, as [`file`](Self::file) does.
    pub fn toml(&mut self, text: impl Into<String>) -> &mut Self {
        self.sources.push(Source::Toml(text.into()));
        self
    }

    /// Chooses the environment that is laid over `[default]`, whatever `KV_ENV` says.
    pub fn environment(&mut self, name: impl Into<String>) -> &mut Self {
        self.environment = Some(name.into());
        self
    }

    /// Looks `${NAME}` and `KV_ENV` up here instead of in the process environment.
    pub fn variables(
        &mut self,
        look_up: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> &mut Self {
        self.variables = Variables::new(look_up);
        self
    }

    /// Registers a provider for `backend = "name"`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if the name or one of its URL schemes is
    /// taken; the first registration stays in force.
    pub fn provider(&mut self, name: &str, builder: impl ProviderBuilder) -> Result<&mut Self> {
        self.registry.add_provider(name, Arc::new(builder))?;
        Ok(self)
    }

    /// Registers a wrapper for `name = "name"`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if the name is taken; the first registration
    /// stays in force.
    pub fn wrapper(&mut self, name: &str, builder: impl WrapperBuilder) -> Result<&mut Self> {
        self.registry.add_wrapper(name, Arc::new(builder))?;
        Ok(self)
    }

    /// Describes a section of somebody else, `[default.NAME]`, for the schema and the reference below.
    /// Whoever reads it does so with [`Factory::section`]; without a description it may hold anything.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if the section is described already; the first
    /// description stays in force.
    #[cfg(feature = "schema")]
    pub fn describe_section<T: schemars::JsonSchema>(&mut self, name: &str) -> Result<&mut Self> {
        self.registry.describe_section(name, T::json_schema)?;
        Ok(self)
    }

    /// What a configuration may say, as a JSON schema (draft 7) for editors of TOML: the tables around
    /// stores, and the settings of every registered provider and wrapper.
    ///
    /// It is as strict as can be without knowing which file lies over which: nothing but a wrapper's
    /// own settings is required, since another file may have the rest.
    #[cfg(feature = "schema")]
    pub fn json_schema(&self) -> serde_json::Value {
        crate::schema::editor(&self.registry)
    }

    /// The same for people, in Markdown: every setting with its type, default and range.
    #[cfg(feature = "schema")]
    pub fn reference(&self) -> String {
        crate::schema::page(&self.registry)
    }

    /// Reads the sources and makes the factory. Nothing is opened, and no variable but `KV_ENV` read.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) for a source that cannot be read or is not
    /// TOML, an environment that is not there (those that are are listed), or a fault in how the
    /// tables are laid out. Faults in a store's own table are told by [`Factory::open`] and
    /// [`Factory::validate`].
    pub fn build(&self) -> Result<Factory> {
        let environment = self.environment.as_deref();
        let configuration = Configuration::load(&self.sources, environment, &self.variables)?;
        Ok(Factory::new(configuration, self.registry.clone()))
    }
}

impl fmt::Debug for FactoryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactoryBuilder")
            .field("sources", &self.sources.len())
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

//! URLs of stores.

use crate::{
    Settings,
    template::Variables,
    tree::{Node, Table, Value},
};
use kv_core::{Error, ErrorKind, Result};
use std::{fmt, sync::Arc};

/// A URL that names a store. It can hold a password, so its `Debug` shows the scheme only.
#[derive(Clone)]
pub struct StoreUrl(url::Url);

impl StoreUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the reason but without the URL.
    pub fn parse(text: &str) -> Result<Self> {
        let url = url::Url::parse(text).map_err(|source| {
            let message = format!(
                "the URL cannot be parsed ({source}); it has the form `scheme://host:port`, with other characters than letters, digits and `-_.~` of a password written as `%` and two digits"
            );
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(Self(url))
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The whole URL, secrets included.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether nothing but a query stands behind the scheme: no host, credentials or path.
    pub fn is_bare(&self) -> bool {
        self.0.authority().is_empty() && self.0.path().is_empty()
    }

    /// Settings of one field that holds the whole URL.
    pub fn as_field(&self, name: &str) -> Settings {
        let node = Node::field(&self.origin(), name, self.0.as_str());
        Settings::new(node, "", &Variables::default())
    }

    /// Settings with a field for each pair in the query: `memory://?max_entries=1000`. Their text
    /// serves as numbers too.
    pub fn query_fields(&self) -> Settings {
        let environment = self.origin();
        let field = |(name, text): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            let text = Node {
                environment: Arc::clone(&environment),
                value: Value::Literal(text.into_owned()),
            };
            (name.into_owned(), text)
        };
        let fields: Table = self.0.query_pairs().map(field).collect();
        let node = Node {
            environment: Arc::clone(&environment),
            value: Value::Table(fields),
        };
        Settings::new(node, "", &Variables::default())
    }

    /// What stands in errors where a table has its environment.
    fn origin(&self) -> Arc<str> {
        format!("{}: URL", self.scheme()).into()
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({}:…)", self.scheme())
    }
}

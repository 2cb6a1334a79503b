//! URLs of stores.

use crate::{
    Settings,
    template::Variables,
    tree::{Node, Table, Value},
};
use kv_core::{Error, ErrorKind, Result};
use std::{fmt, sync::Arc};

/// A URL that names a store. It can hold a password, so its `Debug` shows the scheme only.
///
/// It may name several hosts: `scheme://user:password@host:port,host:port/path`.
#[derive(Clone)]
pub struct StoreUrl {
    /// With its first host only.
    parsed: url::Url,
    /// As it was given, if it has several hosts.
    whole: Option<Arc<str>>,
}

impl StoreUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the reason but without the URL.
    pub fn parse(text: &str) -> Result<Self> {
        let parse = |text: &str| {
            url::Url::parse(text).map_err(|source| {
                let message = format!(
                    "the URL cannot be parsed ({source}); it has the form `scheme://host:port`, with other characters than letters, digits and `-_.~` of a password written as `%` and two digits"
                );
                Error::new(ErrorKind::Config, message)
            })
        };
        let Some((before, hosts, after)) = several_hosts(text) else {
            return Ok(Self {
                parsed: parse(text)?,
                whole: None,
            });
        };
        let mut each = hosts
            .split(',')
            .map(|host| parse(&[before, host, after].concat()));
        let parsed = each.next().unwrap_or_else(|| parse(text))?;
        each.try_for_each(|it| it.map(drop))?;
        Ok(Self {
            parsed,
            whole: Some(text.into()),
        })
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        self.parsed.scheme()
    }

    /// The whole URL, secrets included.
    pub fn as_str(&self) -> &str {
        self.whole
            .as_deref()
            .unwrap_or_else(|| self.parsed.as_str())
    }

    /// Whether nothing but a query stands behind the scheme: no host, credentials or path.
    pub fn is_bare(&self) -> bool {
        self.parsed.authority().is_empty() && self.parsed.path().is_empty()
    }

    /// Settings of one field that holds the whole URL.
    pub fn as_field(&self, name: &str) -> Settings {
        let node = Node::field(&self.origin(), name, self.as_str());
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
        let fields: Table = self.parsed.query_pairs().map(field).collect();
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

/// A URL with several hosts, in three parts: what stands before them, they, and what follows.
fn several_hosts(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("://")? + 3;
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    // What stands before the last `@` is no host.
    let start = text[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    let hosts = &text[start..end];
    hosts
        .contains(',')
        .then(|| (&text[..start], hosts, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::StoreUrl;

    #[test]
    fn several_hosts_stay_as_they_are() {
        let text = "etcd://ann:p%2Cw@one:1,two:2,three/app?a=1";
        let url = StoreUrl::parse(text).unwrap();
        assert_eq!((url.scheme(), url.as_str()), ("etcd", text));
        assert!(!url.is_bare() && !format!("{url:?}").contains("ann"));
        // With a comma in a password or a path there is one host.
        for text in ["redis://a:b,c@one:1", "etcd://one:1/a,b"] {
            assert_eq!(StoreUrl::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_of_several_hosts_is_checked() {
        for text in [
            "etcd://one:1,two:x",
            "etcd://one:x,two:2",
            "etcd://one,two three",
        ] {
            let error = StoreUrl::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("the URL cannot be parsed"), "{error}");
        }
    }
}

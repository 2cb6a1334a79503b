use kv_core::{Error, ErrorKind, Key, Result};
use serde::Deserialize;
use std::time::Duration;
use tracing::Level;

/// What is told of calls, and how loudly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ObserveConfig {
    /// The store's name in metrics and spans; in TOML the store's own, if absent.
    pub store: Option<String>,
    /// The namespace of the store's keys, for spans; in TOML the store's own, if absent.
    pub namespace: Option<String>,
    /// The host of the server, for spans; a layer cannot know it.
    pub server_address: Option<String>,
    /// Its port.
    pub server_port: Option<u16>,
    /// The level of spans, and of the events of calls that were answered.
    pub level: ObserveLevel,
    /// Calls that take longer are told with a warning; if absent, none is.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-exclusive-minimum" = "0s")))]
    pub slow_after: Option<Duration>,
    /// Whether spans show the beginning of keys; if absent, nothing of a key is shown anywhere.
    pub show_keys: Option<ShowKeys>,
}

impl ObserveConfig {
    /// For the store of this name.
    pub fn new(store: impl Into<String>) -> Self {
        Self {
            store: Some(store.into()),
            ..Self::default()
        }
    }

    /// With the namespace of the store's keys.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// With the server's host and port.
    #[must_use]
    pub fn server(mut self, address: impl Into<String>, port: u16) -> Self {
        self.server_address = Some(address.into());
        self.server_port = Some(port);
        self
    }

    /// With this level.
    #[must_use]
    pub fn level(mut self, level: ObserveLevel) -> Self {
        self.level = level;
        self
    }

    /// With a warning for calls that take longer.
    #[must_use]
    pub fn slow_after(mut self, span: Duration) -> Self {
        self.slow_after = Some(span);
        self
    }

    /// With the beginning of keys in spans.
    #[must_use]
    pub fn show_keys(mut self, show: ShowKeys) -> Self {
        self.show_keys = Some(show);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let complaint = if self.slow_after.is_some_and(|it| it.is_zero()) {
            "slow_after must be longer than zero; to warn of no call drop it"
        } else if self.show_keys.as_ref().is_some_and(ShowKeys::is_empty) {
            "show_keys needs at least one byte, and up_to at least one character; to show nothing drop it"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, complaint))
    }
}

/// How loud something is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObserveLevel {
    /// `trace`
    Trace,
    /// `debug`
    #[default]
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

impl From<ObserveLevel> for Level {
    fn from(level: ObserveLevel) -> Self {
        match level {
            ObserveLevel::Trace => Self::TRACE,
            ObserveLevel::Debug => Self::DEBUG,
            ObserveLevel::Info => Self::INFO,
            ObserveLevel::Warn => Self::WARN,
            ObserveLevel::Error => Self::ERROR,
        }
    }
}

/// How much of a key is shown: the names that a program gives its keys, not whom they are about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ShowKeys {
    /// Up to this, which is shown too; of a key that does not hold it within `max_bytes`, nothing.
    /// If absent, the first `max_bytes` are shown.
    #[serde(default)]
    pub up_to: Option<String>,
    /// The most that is shown.
    #[serde(default = "thirty_two")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_bytes: usize,
}

impl ShowKeys {
    /// Up to this separator, which is shown too, within 32 bytes.
    pub fn up_to(separator: impl Into<String>) -> Self {
        Self {
            up_to: Some(separator.into()),
            max_bytes: thirty_two(),
        }
    }

    /// The first bytes, whatever they are.
    pub fn first(max_bytes: usize) -> Self {
        Self {
            up_to: None,
            max_bytes,
        }
    }

    /// The shown beginning of the caller's part of a key, escaped.
    pub(super) fn of(&self, key: &Key) -> Option<String> {
        // Cut where an error would cut it, which is longer than anybody wants to see here.
        let text = key.to_string();
        let most = text.char_indices().nth(self.max_bytes);
        let head = most.map_or(text.as_str(), |(end, _)| &text[..end]);
        match &self.up_to {
            None => Some(head.to_owned()),
            Some(separator) => {
                let end = head.find(separator.as_str())? + separator.len();
                Some(head[..end].to_owned())
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.max_bytes == 0 || self.up_to.as_ref().is_some_and(String::is_empty)
    }
}

fn thirty_two() -> usize {
    32
}

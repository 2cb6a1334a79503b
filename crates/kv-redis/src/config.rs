//! What a store can be told.

use crate::target::Target;
use kv_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::{fmt, path::PathBuf, time::Duration};

/// Where the server is and how to treat it; the table of a provider in a configuration file.
///
/// The address is either a `uri`, or a `host` with its companions, or a `socket`. Durations are
/// written as `"500ms"` or `"2s"`. `Debug` shows no credentials.
///
/// ```
/// # use kv_redis::RedisConfig;
/// let config: RedisConfig = toml::from_str(
///     r#"
///     uri = "redis://cache.internal:6379/2"
///     password = "s3cret"
///     response_timeout = "250ms"
///     "#,
/// )
/// .unwrap();
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://user:password@host:port/db`, with TLS `rediss://`, or `redis+unix:///path?db=0`;
    /// the same with `valkey`. A cluster is `redis-cluster://user:password@host:port,host:port`,
    /// with TLS `rediss-cluster://`. User and password are percent-decoded.
    #[cfg_attr(feature = "schema", schemars(example = &"redis://127.0.0.1:6379/0", extend("writeOnly" = true)))]
    pub uri: Option<String>,
    /// The host's name or address, in place of a `uri`; `127.0.0.1` if neither is given.
    pub host: Option<String>,
    /// The port; 6379 if it is not given.
    pub port: Option<u16>,
    /// The path of a unix socket, in place of a `uri` or `host`.
    pub socket: Option<PathBuf>,
    /// Addresses of a cluster, `host:port`, in place of a `uri`, `host` or `socket`: one that answers
    /// is enough to find the other servers.
    pub cluster: Vec<String>,
    /// The number of the database; 0 if it is not given.
    pub db: Option<u32>,
    /// The user of the server's access control list.
    pub username: Option<String>,
    /// The password.
    #[cfg_attr(feature = "schema", schemars(extend("writeOnly" = true)))]
    pub password: Option<String>,
    /// Encrypts the connection; an empty table is enough. Certificates are always checked.
    pub tls: Option<RedisTls>,
    /// How long `connect` and each attempt to reconnect may take.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub connect_timeout: Duration,
    /// How long a command may take, waiting for a lost connection included. A batch or a `clear` that
    /// takes several round trips has as long for each.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub response_timeout: Duration,
    /// Whether `clear` may empty the whole database when no layer adds a prefix.
    pub allow_clear_all: bool,
    /// The longest key, in bytes. The server's own limit is 512 MiB.
    pub max_key_bytes: usize,
    /// The longest value, member or field, in bytes. The server's own limit is 512 MiB.
    pub max_value_bytes: usize,
    /// Whether each command is sent at once, TCP_NODELAY. Without it commands that are issued
    /// while others are under way share packets: more of them per second, each up to a round trip
    /// later.
    pub tcp_nodelay: bool,
    /// A name for the connection in the server's CLIENT LIST: printable, without spaces.
    pub client_name: Option<String>,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisTls {
    /// A PEM file with the authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's own certificate chain; `key_file` belongs to it.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the client's own private key.
    pub key_file: Option<PathBuf>,
}

impl RedisConfig {
    /// A configuration with this `uri`.
    pub fn from_url(uri: impl Into<String>) -> Self {
        Self {
            uri: Some(uri.into()),
            ..Self::default()
        }
    }

    /// What is wrong besides the address.
    pub(crate) fn check(&self) -> Result<()> {
        let spans = [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ];
        for (field, span) in spans {
            if span.is_zero() {
                return Err(wrong(format!("`{field}` must be longer than zero")));
            }
        }
        let printable = |name: &String| name.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.client_name.as_ref().is_none_or(printable) {
            return Err(wrong(
                "`client_name` must be printable ASCII without spaces",
            ));
        }
        Ok(())
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        /// Longer strings the server refuses, unless its `proto-max-bulk-len` was changed.
        const LONGEST: usize = 512 << 20;
        Self {
            uri: None,
            host: None,
            port: None,
            socket: None,
            cluster: Vec::new(),
            db: None,
            username: None,
            password: None,
            tls: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            allow_clear_all: false,
            max_key_bytes: LONGEST,
            max_value_bytes: LONGEST,
            tcp_nodelay: false,
            client_name: None,
        }
    }
}

/// The address without credentials, then the rest.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisConfig");
        match Target::parse(self) {
            Ok(target) => shown.field("address", &target.address()),
            Err(_) => shown.field("address", &"does not parse"),
        };
        shown
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("allow_clear_all", &self.allow_clear_all)
            .field("max_key_bytes", &self.max_key_bytes)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("tcp_nodelay", &self.tcp_nodelay)
            .field("client_name", &self.client_name)
            .finish_non_exhaustive()
    }
}

pub(crate) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::RedisConfig;
    use std::time::Duration;

    #[test]
    fn a_table_is_read_and_unknown_fields_are_refused() {
        let config: RedisConfig = toml::from_str(
            "host = 'cache'\nport = 7000\ntls = { ca_file = 'ca.pem' }\nconnect_timeout = '3s'",
        )
        .unwrap();
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
        assert_eq!(config.response_timeout, Duration::from_secs(1));
        for bad in ["hots = 'cache'", "tls = { insecure = true }"] {
            let error = toml::from_str::<RedisConfig>(bad).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        let cases = [
            ("response_timeout = '0s'", "response_timeout"),
            ("connect_timeout = '0ms'", "connect_timeout"),
            ("client_name = 'a b'", "client_name"),
        ];
        for (text, field) in cases {
            let config: RedisConfig = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}

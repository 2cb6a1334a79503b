//! What a store can be told.

use kv_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::{fmt, path::PathBuf, time::Duration};
use url::Url;

/// Where the servers are and how to treat them; the table of a provider in a configuration file.
///
/// The address is either a `uri` or a list of `endpoints`. Durations are written as `"500ms"` or
/// `"2s"`. `Debug` shows no credentials.
///
/// ```
/// # use kv_etcd::EtcdConfig;
/// let config: EtcdConfig = toml::from_str(
///     r#"
///     endpoints = ["https://etcd-0:2379", "https://etcd-1:2379", "https://etcd-2:2379"]
///     username = "app"
///     password = "s3cret"
///     root = "app/"
///     "#,
/// )
/// .unwrap();
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EtcdConfig {
    /// `etcd://user:password@host:port,host:port/root`, with TLS `etcds://`. User, password and root
    /// are percent-decoded.
    #[cfg_attr(feature = "schema", schemars(example = &"etcd://127.0.0.1:2379", extend("writeOnly" = true)))]
    pub uri: Option<String>,
    /// Addresses of the members, `http://host:port` or `https://host:port`, in place of a `uri`;
    /// `http://127.0.0.1:2379` if neither is given. A store sends its calls to one of them, and to
    /// the next while that one does not answer.
    pub endpoints: Vec<String>,
    /// The user.
    pub username: Option<String>,
    /// The password.
    #[cfg_attr(feature = "schema", schemars(extend("writeOnly" = true)))]
    pub password: Option<String>,
    /// How connections are encrypted; certificates are always checked.
    pub tls: Option<EtcdTls>,
    /// What all keys of this store begin with on the servers.
    pub root: Option<String>,
    /// How long `connect` may take.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub connect_timeout: Duration,
    /// How long one exchange may take. A command that takes several has as long for each.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub response_timeout: Duration,
    /// For how long a command that others get in the way of is tried again.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub conflict_timeout: Duration,
    /// By how much the clocks of all clients may differ. The store has no clock:
    /// deadlines, due times and rates are told by each client's own.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub max_clock_skew: Duration,
    /// How often a quiet connection is probed. Members cut off those who probe an idle
    /// connection more often than every 5 seconds.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s")))]
    pub keep_alive: Duration,
    /// How many changes the servers may keep before `connect` warns that nobody compacts them. 0
    /// is for no warning.
    pub long_history: u32,
    /// Whether `clear` may delete all keys when no layer adds a prefix.
    pub allow_clear_all: bool,
    /// The longest key, in bytes, the root not counted.
    pub max_key_bytes: usize,
    /// The longest value, member or field, in bytes. A transaction of 1.5 MiB, which is what servers take,
    /// must have room for it.
    pub max_value_bytes: usize,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EtcdTls {
    /// A PEM file with the authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's own certificate chain; `key_file` belongs to it.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the client's own private key.
    pub key_file: Option<PathBuf>,
    /// The name in the servers' certificates, if it is not the host's in the address.
    pub domain: Option<String>,
}

impl EtcdConfig {
    /// A configuration with this `uri`.
    pub fn from_url(uri: impl Into<String>) -> Self {
        Self {
            uri: Some(uri.into()),
            ..Self::default()
        }
    }

    /// What the configuration says, parsed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the field.
    pub(crate) fn target(&self) -> Result<Target> {
        self.check()?;
        let given = self.uri.as_deref().map(Target::parse).transpose()?;
        let mut target = given.unwrap_or_default();
        if !self.endpoints.is_empty() {
            if self.uri.is_some() {
                return Err(wrong(
                    "`uri` and `endpoints` are two ways to say the same; leave one out",
                ));
            }
            target.endpoints = self.endpoints.clone();
        }
        if target.endpoints.is_empty() {
            target.endpoints.push("http://127.0.0.1:2379".into());
        }
        // Endpoints are shown wherever something is wrong with them.
        if target.endpoints.iter().any(|it| it.contains('@')) {
            return Err(wrong(
                "the `endpoints` take no credentials; write them to `username` and `password`",
            ));
        }
        let secure = |it: &String| it.starts_with("https://");
        if !target
            .endpoints
            .iter()
            .all(|it| secure(it) || it.starts_with("http://"))
        {
            return Err(wrong(
                "each of the `endpoints` must begin with http:// or https://",
            ));
        }
        if target.endpoints.iter().any(secure) != target.endpoints.iter().all(secure) {
            return Err(wrong("the `endpoints` must all be encrypted or none"));
        }
        target.tls = target.endpoints.iter().all(secure);
        if self.tls.is_some() && !target.tls {
            return Err(wrong(
                "`tls` needs endpoints with https://, or a uri with etcds://",
            ));
        }
        for (field, ours, theirs) in [
            ("username", &self.username, &mut target.username),
            ("password", &self.password, &mut target.password),
            ("root", &self.root, &mut target.root),
        ] {
            match (ours, &theirs) {
                (Some(_), Some(_)) => {
                    return Err(wrong(format!(
                        "`{field}` is in the `uri`, too; leave one out"
                    )));
                }
                (Some(ours), None) => *theirs = Some(ours.clone()),
                (None, _) => {}
            }
        }
        if target.username.is_some() != target.password.is_some() {
            return Err(wrong("`username` and `password` belong together"));
        }
        Ok(target)
    }

    fn check(&self) -> Result<()> {
        let spans = [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("conflict_timeout", self.conflict_timeout),
            ("keep_alive", self.keep_alive),
        ];
        for (field, span) in spans {
            if span.is_zero() {
                return Err(wrong(format!("`{field}` must be longer than zero")));
            }
        }
        if let Some(EtcdTls {
            cert_file,
            key_file,
            ..
        }) = &self.tls
            && cert_file.is_some() != key_file.is_some()
        {
            return Err(wrong("`tls.cert_file` and `tls.key_file` belong together"));
        }
        Ok(())
    }
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            uri: None,
            endpoints: Vec::new(),
            username: None,
            password: None,
            tls: None,
            root: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(2),
            conflict_timeout: Duration::from_secs(5),
            max_clock_skew: Duration::from_millis(500),
            keep_alive: Duration::from_secs(6),
            long_history: 1_000_000,
            allow_clear_all: false,
            max_key_bytes: 16 << 10,
            max_value_bytes: 1 << 20,
        }
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A uri holds credentials; its endpoints are all that is shown of it. What does not parse may
        // hold them anywhere.
        let endpoints = self.target().map(|target| target.endpoints);
        let endpoints = endpoints.unwrap_or_default();
        f.debug_struct("EtcdConfig")
            .field("endpoints", &endpoints)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("conflict_timeout", &self.conflict_timeout)
            .field("max_clock_skew", &self.max_clock_skew)
            .field("keep_alive", &self.keep_alive)
            .field("long_history", &self.long_history)
            .field("allow_clear_all", &self.allow_clear_all)
            .field("max_key_bytes", &self.max_key_bytes)
            .field("max_value_bytes", &self.max_value_bytes)
            .finish_non_exhaustive()
    }
}

/// Where to connect, and as whom.
#[derive(Clone, Default)]
pub(crate) struct Target {
    pub(crate) endpoints: Vec<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) root: Option<String>,
    pub(crate) tls: bool,
}

impl Target {
    fn parse(uri: &str) -> Result<Self> {
        let wrong_uri = |what: &str| {
            wrong(format!(
                "`uri` {what}; write etcd://user:password@host:port,host:port/root"
            ))
        };
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| wrong_uri("has no scheme"))?;
        let http = match scheme {
            "etcd" | "http" => "http",
            "etcds" | "https" => "https",
            _ => return Err(wrong_uri("has an unknown scheme")),
        };
        let (authority, root) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let decoded = |text: &str, what: &str| {
            let bytes = percent_decode_str(text).decode_utf8();
            bytes
                .map(Into::into)
                .map_err(|_| wrong_uri(&format!("has a {what} that is no UTF-8")))
        };
        let mut target = Self::default();
        for host in hosts.split(',') {
            // By a scheme without a port of its own, so that each is told.
            let address = Url::parse(&format!("etcd://{host}"))
                .map_err(|_| wrong_uri("names no valid host"))?;
            if address.host_str().is_none_or(str::is_empty) || address.query().is_some() {
                return Err(wrong_uri("names no valid host"));
            }
            let port = address.port().unwrap_or(2379);
            target.endpoints.push(format!(
                "{http}://{}:{port}",
                address.host_str().unwrap_or_default()
            ));
        }
        if let Some(credentials) = credentials {
            let (user, password) = credentials
                .split_once(':')
                .ok_or_else(|| wrong_uri("has a user without a password"))?;
            target.username = Some(decoded(user, "user")?);
            target.password = Some(decoded(password, "password")?);
        }
        if !root.is_empty() {
            target.root = Some(decoded(root, "root")?);
        }
        Ok(target)
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

//! Where the server is, and who we are there.

mod cluster;

use crate::{
    cluster::Address,
    config::{RedisConfig, RedisTls, wrong},
};
use kv_core::{Error, Result};
use percent_encoding::percent_decode_str;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates, io::tcp::TcpSettings,
};
use std::{fs, path::Path, path::PathBuf, sync::Arc};
use url::{Host, Url};

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 6379;

/// An address with the credentials that belong to it. It has no `Debug` on purpose.
#[derive(Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    /// Where to ask for the servers of a cluster; none for a server alone.
    seeds: Vec<Address>,
    db: u32,
    username: Option<String>,
    password: Option<String>,
    nodelay: bool,
}

#[derive(Clone)]
enum Endpoint {
    Tcp(String, u16),
    Tls(String, u16, RedisTls),
    Unix(PathBuf),
}

impl Target {
    /// Reads the address out of a configuration.
    pub(crate) fn parse(config: &RedisConfig) -> Result<Self> {
        refuse_conflicts(config)?;
        let mut target = match (&config.uri, &config.socket) {
            (Some(uri), _) => Self::from_any_uri(uri)?,
            (None, None) if !config.cluster.is_empty() => Self::from_seeds(&config.cluster)?,
            (None, Some(path)) => Self::new(Endpoint::Unix(path.clone())),
            (None, None) => {
                let host = config
                    .host
                    .clone()
                    .unwrap_or_else(|| DEFAULT_HOST.to_owned());
                Self::new(Endpoint::Tcp(host, config.port.unwrap_or(DEFAULT_PORT)))
            }
        };
        target.encrypt(config)?;
        target.nodelay = config.tcp_nodelay;
        let twice =
            |field: &str| wrong(format!("`uri` holds a {field} and `{field}` is given too"));
        if let Some(db) = config.db {
            if target.db != 0 {
                return Err(twice("db"));
            }
            target.db = db;
        }
        let credentials = [
            ("username", &config.username, &mut target.username),
            ("password", &config.password, &mut target.password),
        ];
        for (field, given, into) in credentials {
            if given.is_some() && into.is_some() {
                return Err(twice(field));
            }
            *into = into.take().or_else(|| given.clone());
        }
        if target.username.is_some() && target.password.is_none() {
            return Err(wrong("`username` needs a `password`"));
        }
        if !target.seeds.is_empty() && target.db != 0 {
            return Err(wrong("a cluster has database 0 only; leave `db` out"));
        }
        Ok(target)
    }

    /// The address as errors and logs name it.
    pub(crate) fn address(&self) -> Arc<str> {
        match &self.endpoint {
            Endpoint::Tcp(host, port) | Endpoint::Tls(host, port, _) if host.contains(':') => {
                format!("[{host}]:{port}").into()
            }
            Endpoint::Tcp(host, port) | Endpoint::Tls(host, port, _) => {
                format!("{host}:{port}").into()
            }
            Endpoint::Unix(path) => path.display().to_string().into(),
        }
    }

    /// The driver's client; reads the certificates.
    pub(crate) fn client(&self) -> Result<Client> {
        let (address, certificates) = match &self.endpoint {
            Endpoint::Tcp(host, port) => (ConnectionAddr::Tcp(host.clone(), *port), None),
            Endpoint::Unix(path) => (ConnectionAddr::Unix(path.clone()), None),
            Endpoint::Tls(host, port, tls) => {
                let address = ConnectionAddr::TcpTls {
                    host: host.clone(),
                    port: *port,
                    insecure: false,
                    tls_params: None,
                };
                (address, Some(certificates(tls)?))
            }
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(self.db.into())
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("kv-redis", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let tcp = TcpSettings::default().set_nodelay(self.nodelay);
        let client = address.into_connection_info().and_then(|info| {
            let info = info.set_redis_settings(login).set_tcp_settings(tcp);
            match certificates {
                None => Client::open(info),
                Some(certificates) => Client::build_with_tls(info, certificates),
            }
        });
        // The driver's errors can hold what they are about.
        client.map_err(|_| match &self.endpoint {
            Endpoint::Tls(..) => wrong("the certificates or the key of `tls` do not parse as PEM"),
            _ => wrong("the driver refuses the address"),
        })
    }

    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            seeds: Vec::new(),
            db: 0,
            username: None,
            password: None,
            nodelay: false,
        }
    }

    fn from_uri(text: &str) -> Result<Self> {
        // The parser's own error could not say more without quoting.
        let uri = Url::parse(text).map_err(|_| {
            wrong("`uri` does not parse; percent-encode special characters in user and password")
        })?;
        if uri.fragment().is_some() {
            return Err(wrong(
                "`uri` must have no fragment; percent-encode a `#` in the password as %23",
            ));
        }
        let mut target = match uri.scheme() {
            "redis" | "valkey" => {
                let (host, port) = host_and_port(&uri)?;
                Self::new(Endpoint::Tcp(host, port))
            }
            "rediss" | "valkeys" => {
                let (host, port) = host_and_port(&uri)?;
                Self::new(Endpoint::Tls(host, port, RedisTls::default()))
            }
            "redis+unix" | "valkey+unix" | "unix" => {
                let path = decoded(uri.path(), "path")?;
                if uri.has_host() || !path.starts_with('/') || path.len() < 2 {
                    return Err(wrong(
                        "`uri` of a unix socket reads redis+unix:///path?db=0",
                    ));
                }
                Self::new(Endpoint::Unix(path.into()))
            }
            scheme => {
                return Err(wrong(
                    "`uri` must start with redis://, rediss://, redis-cluster://, rediss-cluster://, redis+unix://, unix:// or the same with valkey",
                )
                .with_context("scheme", scheme.escape_default()));
            }
        };
        if !uri.username().is_empty() {
            target.username = Some(decoded(uri.username(), "user")?);
        }
        target.password = uri
            .password()
            .map(|it| decoded(it, "password"))
            .transpose()?;
        let unix = matches!(target.endpoint, Endpoint::Unix(_));
        if !unix {
            target.db = match uri.path().trim_matches('/') {
                "" => 0,
                path => database(path)?,
            };
        }
        for (name, value) in uri.query_pairs() {
            match &*name {
                "db" if unix => target.db = database(&value)?,
                "user" if unix => target.username = Some(value.into_owned()),
                "pass" if unix => target.password = Some(value.into_owned()),
                _ => {
                    return Err(wrong("`uri` has an unknown parameter")
                        .with_context("parameter", name.escape_default()));
                }
            }
        }
        Ok(target)
    }

    /// Adds the `tls` table to an address that can take it.
    fn encrypt(&mut self, config: &RedisConfig) -> Result<()> {
        let Some(tls) = &config.tls else {
            return Ok(());
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err(wrong("`cert_file` and `key_file` of `tls` belong together"));
        }
        self.endpoint = match &self.endpoint {
            Endpoint::Tls(host, port, _) => Endpoint::Tls(host.clone(), *port, tls.clone()),
            Endpoint::Tcp(host, port) if config.uri.is_none() => {
                Endpoint::Tls(host.clone(), *port, tls.clone())
            }
            Endpoint::Tcp(..) => {
                return Err(wrong(
                    "`tls` is given, but `uri` is unencrypted; write rediss://",
                ));
            }
            Endpoint::Unix(_) => {
                return Err(wrong("`tls` is given, but a unix socket is not encrypted"));
            }
        };
        Ok(())
    }
}

fn refuse_conflicts(config: &RedisConfig) -> Result<()> {
    let given = [
        ("uri", config.uri.is_some()),
        ("socket", config.socket.is_some()),
        ("host", config.host.is_some()),
        ("port", config.port.is_some()),
        ("cluster", !config.cluster.is_empty()),
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(name, is)| is.then_some(name));
    match (given.next(), given.next()) {
        (Some(first @ ("uri" | "socket")), Some(second))
        | (Some(first), Some(second @ "cluster")) => Err(wrong(format!(
            "`{first}` and `{second}` are both given; keep one of them"
        ))),
        _ => Ok(()),
    }
}

fn host_and_port(uri: &Url) -> Result<(String, u16)> {
    let host = match uri.host() {
        None | Some(Host::Domain("")) => return Err(wrong("`uri` has no host")),
        Some(Host::Domain(name)) => decoded(name, "host")?,
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
    };
    Ok((host, uri.port().unwrap_or(DEFAULT_PORT)))
}

fn database(text: &str) -> Result<u32> {
    text.parse()
        .map_err(|_| wrong("the database in `uri` must be a number"))
}

fn decoded(text: &str, what: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| wrong(format!("the {what} in `uri` is not UTF-8")))?;
    Ok(decoded.into_owned())
}

/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn certificates(tls: &RedisTls) -> Result<TlsCertificates> {
    // The driver takes the process's TLS provider, and panics where several crates bring several.
    // An error means that somebody else chose in between, which is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let read = |field: &'static str, path: &Path| {
        fs::read(path).map_err(|source| {
            wrong(format!("`{field}` of `tls` cannot be read"))
                .with_context("file", path.display())
                .with_source(source)
        })
    };
    let client_tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: read("cert_file", cert)?,
            client_key: read("key_file", key)?,
        }),
        _ => None,
    };
    let root_cert = tls.ca_file.as_deref();
    let root_cert = root_cert.map(|path| read("ca_file", path)).transpose()?;
    // The driver takes a file without any for the wish to trust nobody.
    let holds_one = |pem: &Vec<u8>| pem.windows(PEM.len()).any(|it| it == PEM);
    if !root_cert.as_ref().is_none_or(holds_one) {
        return Err(wrong("`ca_file` of `tls` holds no certificate in PEM"));
    }
    Ok::<_, Error>(TlsCertificates {
        client_tls,
        root_cert,
    })
}

#[cfg(test)]
mod tests;

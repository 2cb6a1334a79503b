//! Where the server is, and who we are there.

use crate::config::{RedisConfig, RedisTls, wrong};
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
            (Some(uri), _) => Self::from_uri(uri)?,
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
                    "`uri` must start with redis://, rediss://, redis+unix://, unix:// or the same with valkey",
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
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(name, is)| is.then_some(name));
    match (given.next(), given.next()) {
        (Some(first @ ("uri" | "socket")), Some(second)) => Err(wrong(format!(
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
mod tests {
    use super::Target;
    use crate::RedisConfig;
    use kv_core::ErrorKind;

    fn parse(toml: &str) -> kv_core::Result<Target> {
        Target::parse(&toml::from_str(toml).unwrap())
    }

    fn uri(text: &str) -> kv_core::Result<Target> {
        Target::parse(&RedisConfig::from_url(text))
    }

    #[test]
    fn addresses_come_from_every_form() {
        let cases = [
            ("", "127.0.0.1:6379", 0),
            ("uri = 'redis://cache'", "cache:6379", 0),
            ("uri = 'redis://cache:7000/3'", "cache:7000", 3),
            ("uri = 'valkey://cache:7000/'\ndb = 4", "cache:7000", 4),
            ("uri = 'rediss://[::1]:7000/1'", "[::1]:7000", 1),
            ("uri = 'rediss://cache'\ntls = {}", "cache:6379", 0),
            ("uri = 'redis+unix:///run/r.sock?db=2'", "/run/r.sock", 2),
            ("uri = 'unix:///run/a%20b.sock'", "/run/a b.sock", 0),
            ("socket = '/run/r.sock'\ndb = 5", "/run/r.sock", 5),
            ("host = 'cache'\nport = 1\ntls = {}", "cache:1", 0),
        ];
        for (toml, address, db) in cases {
            let target = parse(toml).unwrap();
            assert_eq!((&*target.address(), target.db), (address, db), "{toml}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_may_stand_beside_the_uri() {
        let target = uri("redis://an%40n:p%2Fw%23%25@cache").unwrap();
        assert_eq!(target.username.as_deref(), Some("an@n"));
        assert_eq!(target.password.as_deref(), Some("p/w#%"));
        let target = uri("redis://:pw@cache").unwrap();
        assert_eq!(
            (target.username, target.password.as_deref()),
            (None, Some("pw"))
        );
        let target = parse("uri = 'redis://ann@cache'\npassword = 'pw'").unwrap();
        assert_eq!(target.username.as_deref(), Some("ann"));
        assert_eq!(target.password.as_deref(), Some("pw"));
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let cases = [
            ("uri = 'redis://a'\nhost = 'b'", ["`uri`", "`host`"]),
            ("uri = 'redis://a'\nport = 1", ["`uri`", "`port`"]),
            ("uri = 'redis://a'\nsocket = '/s'", ["`uri`", "`socket`"]),
            ("socket = '/s'\nhost = 'b'", ["`socket`", "`host`"]),
            ("uri = 'redis://a/1'\ndb = 2", ["`uri`", "`db`"]),
            (
                "uri = 'redis://:x@a'\npassword = 'y'",
                ["`uri`", "`password`"],
            ),
            ("uri = 'redis://a'\ntls = {}", ["`uri`", "`tls`"]),
            ("socket = '/s'\ntls = {}", ["socket", "`tls`"]),
            ("tls = { key_file = 'k' }", ["`cert_file`", "`key_file`"]),
            ("username = 'ann'", ["`username`", "`password`"]),
        ];
        for (toml, words) in cases {
            let error = parse(toml).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = error.to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_without_quoting_it() {
        for text in [
            "redis://:secret#word@cache",
            "redis://:secret@cache:port",
            "redis://:secret@cache/zero",
            "redis://:secret@cache?x=1",
            "redis://:secret@",
            "redis://",
            "http://:secret@cache",
            "secret",
            "rediss://:secret@cache/#insecure",
            "redis+unix://secret",
        ] {
            let error = uri(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            let shown = format!("{error} {error:?} {:?}", RedisConfig::from_url(text));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let target = parse("host = 'h'\ntls = { ca_file = '/nowhere/ca.pem' }").unwrap();
        let error = target.client().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context("file"), Some("/nowhere/ca.pem"));
    }
}

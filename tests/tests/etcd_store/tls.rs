//! TLS: both sides show certificates, and what is wrong with them is told.

use crate::site::secs;
use futures_util::StreamExt;
use kv_core::{Error, ErrorKind, Event, Kv, Outcome, Watch};
use kv_etcd::{EtcdConfig, EtcdStore, EtcdTls};
use kv_tests::{
    patience::PATIENCE,
    server::{Authority, Etcd},
};
use std::path::PathBuf;

/// The name that the server's certificate is for, besides its address in some tests.
const NAME: &str = "etcd.example";

/// A server, and a client that it trusts.
struct Site {
    authority: Authority,
    server: Etcd,
    client: (PathBuf, PathBuf),
}

impl Site {
    fn start(name: &str) -> Self {
        let authority = Authority::new("ours");
        let server = Etcd::start_with_tls(&authority, name);
        let client = authority.certify("client");
        Self {
            authority,
            server,
            client,
        }
    }

    /// What connects.
    fn config(&self) -> EtcdConfig {
        let mut tls = EtcdTls::default();
        tls.ca_file = Some(self.authority.file().to_owned());
        tls.cert_file = Some(self.client.0.clone());
        tls.key_file = Some(self.client.1.clone());
        let mut config = EtcdConfig::from_url(format!("etcds://{}", self.server.secure_address()));
        config.tls = Some(tls);
        config
    }

    /// What connects, with another table `tls`.
    fn with(&self, change: impl FnOnce(&mut EtcdTls)) -> EtcdConfig {
        let mut config = self.config();
        change(config.tls.as_mut().unwrap());
        config
    }
}

async fn open(config: EtcdConfig) -> kv_core::Result<Kv> {
    Kv::builder(EtcdStore::new(config)?).connect().await
}

/// Refused, with these words.
async fn refused(config: EtcdConfig, kind: ErrorKind, words: &[&str]) -> Error {
    let error = match open(config).await {
        Err(error) => error,
        Ok(kv) => panic!("it connects: {kv:?}"),
    };
    assert_eq!(error.kind(), kind, "{error:?}");
    let outcome = match kind {
        ErrorKind::Config => Outcome::Final,
        _ => Outcome::NotApplied,
    };
    assert_eq!(error.outcome(), outcome, "{error:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word}: {text}");
    }
    error
}

#[tokio::test]
async fn commands_and_watches_are_encrypted() {
    let site = Site::start("127.0.0.1");
    let kv = open(site.config()).await.unwrap();
    let key = crate::site::key("k");
    let mut events = kv.watch(Watch::Keys(vec![key.clone()])).await.unwrap();
    kv.set_for("k", "v", secs(60)).await.unwrap();
    assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
    let told = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    let value = Some("v".into());
    assert_eq!(told.unwrap().unwrap(), Event::Put { key, value });
    // Others reach the same, by the way without.
    let plain = crate::site::open(&site.server.url()).await;
    assert!(plain.exists("k").await.unwrap());
}

#[tokio::test]
async fn the_name_in_the_certificate_can_be_another_one() {
    let site = Site::start(NAME);
    let named = site.with(|it| it.domain = Some(NAME.to_owned()));
    open(named).await.unwrap().set("k", "v").await.unwrap();
    let words = [
        "tls.domain",
        NAME,
        &site.server.secure_address().to_string(),
    ];
    refused(site.config(), ErrorKind::Config, &words).await;
    let other = site.with(|it| it.domain = Some("redis.example".to_owned()));
    let words = ["tls.domain", NAME, "redis.example"];
    refused(other, ErrorKind::Config, &words).await;
}

#[tokio::test]
async fn a_server_that_nobody_we_trust_has_signed_is_refused() {
    let site = Site::start("127.0.0.1");
    let theirs = Authority::new("theirs");
    let words = ["tls.ca_file", "UnknownIssuer"];
    let config = site.with(|it| it.ca_file = Some(theirs.file().to_owned()));
    refused(config.clone(), ErrorKind::Config, &words).await;
    // The system's authorities have not signed it either.
    let of_the_system = site.with(|it| it.ca_file = None);
    refused(of_the_system, ErrorKind::Config, &words).await;
    // Before it knows who the server is, a client tells it no password.
    let mut with_user = config;
    with_user.username = Some("app".to_owned());
    with_user.password = Some("s3cret".to_owned());
    let error = refused(with_user, ErrorKind::Config, &words).await;
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_client_that_the_server_does_not_trust_is_told_what_to_check() {
    let site = Site::start("127.0.0.1");
    let words = ["tls.cert_file", "tls.key_file"];
    let without = site.with(|it| (it.cert_file, it.key_file) = (None, None));
    refused(without, ErrorKind::Unavailable, &words).await;
    let (certificate, key) = Authority::new("theirs").certify("client");
    let site_of = |certificate: PathBuf, key: PathBuf| {
        site.with(|it| (it.cert_file, it.key_file) = (Some(certificate), Some(key)))
    };
    // Its files are gone with the authority: that is told, too.
    let gone = refused(
        site_of(certificate, key),
        ErrorKind::Config,
        &["tls.cert_file"],
    )
    .await;
    assert!(gone.to_string().contains("cannot read"), "{gone}");
    let theirs = Authority::new("theirs");
    let (certificate, key) = theirs.certify("client");
    let strange = site_of(certificate.clone(), key);
    refused(strange, ErrorKind::Unavailable, &words).await;
    let mixed = site_of(certificate, site.client.1.clone());
    refused(mixed, ErrorKind::Config, &words).await;
}

#[tokio::test]
async fn who_mixes_up_the_ports_is_told_which_scheme_to_write() {
    let site = Site::start("127.0.0.1");
    let plain = EtcdConfig::from_url(format!("etcd://{}", site.server.secure_address()));
    refused(plain, ErrorKind::Unavailable, &["etcds://"]).await;
    let mut encrypted = site.config();
    encrypted.uri = Some(format!("etcds://{}", site.server.address()));
    refused(encrypted, ErrorKind::Unavailable, &["begins with etcd://"]).await;
}

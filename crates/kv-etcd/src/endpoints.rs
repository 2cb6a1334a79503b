//! How a connection to a member is opened.

use crate::{
    config::{EtcdConfig, EtcdTls, Target},
    error::with_causes,
};
use etcd_client::{Certificate, Identity, TlsOptions};
use kv_core::{Error, ErrorKind, Outcome, Result};
use std::path::Path;
use tonic::transport::Endpoint;

/// The members, in the order in which they were given. Nothing is sent.
pub(crate) async fn of(config: &EtcdConfig, target: &Target) -> Result<Vec<Endpoint>> {
    let tls = match target.tls {
        true => Some(tls(&config.tls.clone().unwrap_or_default()).await?),
        false => None,
    };
    let addresses = target.endpoints.iter();
    addresses
        .map(|address| endpoint(config, address, tls.clone()))
        .collect()
}

fn endpoint(config: &EtcdConfig, address: &str, tls: Option<TlsOptions>) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(address.to_owned());
    let endpoint = endpoint.map_err(|_| wrong("an endpoint is no address".into()))?;
    let endpoint = endpoint
        .connect_timeout(config.connect_timeout)
        .http2_keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(config.response_timeout)
        .keep_alive_while_idle(true)
        .tcp_keepalive(Some(config.keep_alive));
    let Some(tls) = tls else {
        return Ok(endpoint);
    };
    let encrypted = endpoint.tls_config(tls);
    encrypted.map_err(|error| {
        let causes = with_causes(&error);
        wrong(format!(
            "the driver does not take `tls.ca_file`, or not `tls.cert_file` and `tls.key_file`: {causes}"
        ))
    })
}

async fn tls(settings: &EtcdTls) -> Result<TlsOptions> {
    let read = async |field: &'static str, path: &Path| {
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || std::fs::read(path));
        let read = reading.await.map_err(std::io::Error::other).flatten();
        read.map_err(|error| wrong(format!("cannot read `tls.{field}`: {error}")))
    };
    let mut tls = TlsOptions::new();
    tls = match &settings.ca_file {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read("ca_file", path).await?)),
        None => tls.with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) {
        let certificate = read("cert_file", certificate).await?;
        tls = tls.identity(Identity::from_pem(
            certificate,
            read("key_file", key).await?,
        ));
    }
    Ok(match &settings.domain {
        Some(domain) => tls.domain_name(domain),
        None => tls,
    })
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, message).with_outcome(Outcome::Final)
}

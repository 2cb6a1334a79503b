//! Addresses of a cluster.

use super::{Endpoint, Target, host_and_port};
use crate::{cluster::Address, config::wrong};
use kv_core::Result;
use url::Url;

/// The schemes of a cluster, and what they would be for a server alone.
const SCHEMES: [(&str, &str); 4] = [
    ("redis-cluster://", "redis://"),
    ("rediss-cluster://", "rediss://"),
    ("valkey-cluster://", "valkey://"),
    ("valkeys-cluster://", "valkeys://"),
];

impl Target {
    /// Where to ask for the servers of a cluster; none for a server alone.
    pub(crate) fn seeds(&self) -> &[Address] {
        &self.seeds
    }

    /// Another server, where we are the same.
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        let endpoint = match &self.endpoint {
            Endpoint::Tls(_, _, tls) => Endpoint::Tls(host.to_owned(), port, tls.clone()),
            Endpoint::Tcp(..) | Endpoint::Unix(_) => Endpoint::Tcp(host.to_owned(), port),
        };
        Self {
            endpoint,
            ..self.clone()
        }
    }

    pub(super) fn from_any_uri(text: &str) -> Result<Self> {
        for (cluster, alone) in SCHEMES {
            if let Some(rest) = text.strip_prefix(cluster) {
                return Self::from_cluster_uri(alone, rest);
            }
        }
        Self::from_uri(text)
    }

    pub(super) fn from_seeds(addresses: &[String]) -> Result<Self> {
        let seeds = addresses.iter().map(|it| seed(it, "`cluster`"));
        let seeds = seeds.collect::<Result<Vec<_>>>()?;
        let mut target = Self::new(Endpoint::Tcp(String::new(), 0));
        if let Some(first) = seeds.first() {
            target = target.at(&first.host, first.port);
        }
        target.seeds = seeds;
        Ok(target)
    }

    /// Reads `user:password@host:port,host:port` and what follows.
    fn from_cluster_uri(scheme: &str, rest: &str) -> Result<Self> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let start = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(start);
        let hosts: Vec<_> = hosts.split(',').collect();
        let first = hosts.first().copied().unwrap_or_default();
        let mut target = Self::from_uri(&format!("{scheme}{login}{first}{tail}"))?;
        let seeds = hosts.iter().map(|it| seed(it, "`uri`"));
        target.seeds = seeds.collect::<Result<_>>()?;
        Ok(target)
    }
}

/// Reads `host:port`; the texts of wrong ones may hold a password.
fn seed(text: &str, field: &str) -> Result<Address> {
    let refused = || wrong(format!("{field} holds an address that is not host:port"));
    if text.contains(['/', '?', '#', '@']) {
        return Err(refused());
    }
    let uri = Url::parse(&format!("redis://{text}")).map_err(|_| refused())?;
    let (host, port) = host_and_port(&uri).map_err(|_| refused())?;
    Ok(Address::new(host, port))
}

//! Where a server of a cluster listens.

use std::fmt;

/// A host and a port, as the cluster's servers name each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }

    /// Reads `host:port` as a server writes it: an IPv6 address has no brackets, and where the host
    /// is missing it is that of the server that was asked.
    pub(super) fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::named(host, port.parse().ok()?, asked)
    }

    /// The address of a server that was named so by another one, if it can be reached by it.
    pub(super) fn named(host: &str, port: u16, asked: &Self) -> Option<Self> {
        match host {
            // The server has no name in a cluster that goes by names.
            "?" => None,
            "" => Some(Self::new(&*asked.host, port)),
            host => Some(Self::new(host, port)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

//! Limits by address.

use super::{KeyFn, TrustedProxies};
use bytes::Bytes;
use http::request::Parts;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// What a single customer is usually given.
const IPV6_PREFIX: u8 = 64;

/// The address of the peer, in the extensions of a request: what [`ClientIp`] looks for unless it is told where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The address of the client. Addresses of IPv6 count by their first 64 bits, since whoever has one has
/// the whole network; those of IPv4 that are mapped into IPv6 count as what they are.
///
/// Where the peer's address is depends on the server. With axum:
///
/// ```
/// # mod axum { pub mod extract { #[derive(Clone)] pub struct ConnectInfo<T>(pub T); } }
/// use axum::extract::ConnectInfo;
/// use kv_ratelimit::http::{ClientIp, TrustedProxies};
/// use std::net::SocketAddr;
///
/// // Served by `into_make_service_with_connect_info::<SocketAddr>()`.
/// let key = ClientIp::new(TrustedProxies::none())
///     .peer(|request| Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.0));
/// # let _ = key;
/// ```
///
/// With tonic: `.peer(|request| request.extensions.get::<TcpConnectInfo>()?.remote_addr())`.
#[derive(Clone)]
#[must_use]
pub struct ClientIp {
    proxies: TrustedProxies,
    peer: Arc<PeerFn>,
    ipv6_prefix: u8,
}

type PeerFn = dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync;

impl ClientIp {
    /// The peer's address, or what these proxies tell.
    pub fn new(proxies: TrustedProxies) -> Self {
        Self {
            proxies,
            peer: Arc::new(|request| request.extensions.get::<PeerAddr>().map(|it| it.0)),
            ipv6_prefix: IPV6_PREFIX,
        }
    }

    /// Where the peer's address is.
    pub fn peer(
        mut self,
        peer: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer = Arc::new(peer);
        self
    }

    /// By how many bits addresses of IPv6 count; 128 and more are all of them.
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits.min(128);
        self
    }
}

impl KeyFn for ClientIp {
    fn key(&self, request: &Parts) -> Option<Bytes> {
        let peer = (self.peer)(request).map(|it| it.ip());
        let client = self.proxies.client(peer, &request.headers)?;
        Some(Bytes::from(match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let bits = self.ipv6_prefix;
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let network = Ipv6Addr::from_bits(address.to_bits() & mask);
                format!("{network}/{bits}")
            }
        }))
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIp")
            .field("proxies", &self.proxies)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}

//! Which proxies are believed when they say for whom they ask.

use super::entry;
use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which proxies are believed when they say for whom they ask. Anybody can send such headers, so without trusted
/// proxies they are not looked at.
///
/// One header counts, `X-Forwarded-For` unless it is said otherwise: a proxy writes one of them and lets what
/// clients send in the other one pass.
///
/// ```
/// use kv_ratelimit::http::{IpNet, TrustedProxies};
///
/// let ours: Vec<IpNet> = vec!["10.0.0.0/8".parse()?, "fd00::/8".parse()?];
/// let proxies = TrustedProxies::networks(ours);
/// # let _ = proxies;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    rule: Rule,
    syntax: Syntax,
}

#[derive(Clone, Debug)]
enum Rule {
    None,
    Networks(Vec<IpNet>),
    Hops(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Syntax {
    XForwardedFor,
    Forwarded,
}

impl TrustedProxies {
    /// None: the peer is the client.
    pub fn none() -> Self {
        Self::by(Rule::None)
    }

    /// Those with addresses in these networks. The client is the first address from the right that is in
    /// none of them; what is further left it may have made up.
    pub fn networks(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self::by(Rule::Networks(networks.into_iter().collect()))
    }

    /// So many, whatever their addresses: each adds the one that it was asked by, and so the client is as many
    /// places from the right. For services that cannot be reached but through all of them: who gets around
    /// the outermost one can be anybody.
    pub fn hops(proxies: usize) -> Self {
        match proxies {
            0 => Self::none(),
            _ => Self::by(Rule::Hops(proxies)),
        }
    }

    /// They write `Forwarded` (RFC 7239), and `X-Forwarded-For` is not looked at.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        self.syntax = Syntax::Forwarded;
        self
    }

    /// The address of who asks; `None` if the proxies do not say it.
    pub(super) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.map(|it| it.to_canonical());
        match &self.rule {
            Rule::None => peer,
            Rule::Networks(networks) => self.beyond(networks, peer?, headers),
            Rule::Hops(hops) => self.entries(headers).nth(hops - 1)?,
        }
    }

    fn by(rule: Rule) -> Self {
        Self {
            rule,
            syntax: Syntax::XForwardedFor,
        }
    }

    fn beyond(&self, networks: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let is_ours = |it: &IpAddr| networks.iter().any(|network| network.contains(it));
        let mut last = peer;
        let mut entries = self.entries(headers);
        while is_ours(&last) {
            match entries.next() {
                // One of ours that asks for itself.
                None => return Some(last),
                // One of ours has written it, and does not know or does not say more.
                Some(None) => return None,
                Some(Some(address)) => last = address,
            }
        }
        Some(last)
    }

    /// The addresses that were told, from the last one; `None` in place of what is no address.
    fn entries(&self, headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
        let syntax = self.syntax;
        let name = match syntax {
            Syntax::XForwardedFor => X_FORWARDED_FOR,
            Syntax::Forwarded => FORWARDED,
        };
        let lines = headers.get_all(name).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|it| *it == b','));
        entries.map(move |it| entry::address(syntax, it).map(|address| address.to_canonical()))
    }
}

//! One entry of a header by which proxies tell for whom they ask.

use super::proxies::Syntax;
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str,
};

/// The address in an entry.
pub(super) fn address(syntax: Syntax, entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    match syntax {
        Syntax::XForwardedFor => node(entry),
        Syntax::Forwarded => forwarded(entry),
    }
}

/// An element of `Forwarded` such as `for="[2001:db8::1]:4711";proto=https`.
///
/// Elements are split at commas even between quotes, where a proxy may repeat what a client wrote. So each must
/// be whole by itself, without escapes: the pieces of one that is not are no addresses.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').filter(|it| is_plain(it))?,
            None if is_token(value) => value,
            None => return None,
        };
        if !is_token(name) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && found.replace(node(value)?).is_some() {
            return None;
        }
    }
    found
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(inner) = bracketed {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let with_port = || text.parse().ok().map(|it: SocketAddr| it.ip());
    text.parse().ok().or_else(with_port)
}

fn is_token(text: &str) -> bool {
    let is_char = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !text.is_empty() && text.bytes().all(is_char)
}

/// What can be between quotes without being escaped.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|it| matches!(it, b' '..=b'~') && !matches!(it, b'"' | b'\\'))
}

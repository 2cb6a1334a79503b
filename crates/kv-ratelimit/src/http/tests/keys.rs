//! For whom requests count.

use crate::http::{ClientIp, IpNet, KeyFn, PeerAddr, TrustedProxies, header};
use http::{HeaderName, Request, request::Parts};
use proptest::prelude::*;
use std::net::SocketAddr;

fn request(peer: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    if let Ok(ip) = peer.parse() {
        parts.extensions.insert(PeerAddr(SocketAddr::new(ip, 4711)));
    }
    parts
}

fn networks(networks: &[&str]) -> TrustedProxies {
    let networks = networks.iter().map(|it| it.parse::<IpNet>().unwrap());
    TrustedProxies::networks(networks)
}

fn client(proxies: TrustedProxies, request: &Parts) -> Option<String> {
    let key = ClientIp::new(proxies).key(request)?;
    Some(String::from_utf8(key.to_vec()).unwrap())
}

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

#[test]
fn without_trusted_proxies_headers_are_not_looked_at() {
    let spoofed = request(
        "192.0.2.1",
        &[(XFF, "198.51.100.1"), (FORWARDED, "for=198.51.100.1")],
    );
    for proxies in [
        TrustedProxies::none(),
        TrustedProxies::none().forwarded(),
        TrustedProxies::hops(0),
        networks(&[]),
        networks(&["10.0.0.0/8"]),
    ] {
        assert_eq!(client(proxies, &spoofed).as_deref(), Some("192.0.2.1"));
    }
    let nobody = request("", &[(XFF, "198.51.100.1")]);
    assert_eq!(client(TrustedProxies::none(), &nobody), None);
    assert_eq!(client(networks(&["0.0.0.0/0"]), &nobody), None);
}

#[test]
fn the_client_is_the_first_that_is_no_proxy_of_ours() {
    let ours = || networks(&["10.0.0.0/8", "fd00::/8"]);
    for (peer, told, expected) in [
        ("10.0.0.1", "192.0.2.7", Some("192.0.2.7")),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", Some("192.0.2.7")),
        ("fd00::1", "192.0.2.7,10.0.0.2", Some("192.0.2.7")),
        // What the client has made up is further left.
        (
            "10.0.0.1",
            "1.1.1.1, 10.9.9.9, 192.0.2.7",
            Some("192.0.2.7"),
        ),
        ("10.0.0.1", "\", 192.0.2.7", Some("192.0.2.7")),
        ("10.0.0.1", "192.0.2.7:1234", Some("192.0.2.7")),
        (
            "10.0.0.1",
            "[2001:db8:1:2::3]:80",
            Some("2001:db8:1:2::/64"),
        ),
        ("10.0.0.1", "[2001:db8:1:2::3]", Some("2001:db8:1:2::/64")),
        // A mapped proxy is the same proxy.
        ("::ffff:10.0.0.1", "::ffff:192.0.2.7", Some("192.0.2.7")),
        // Ours, asking for itself.
        ("10.0.0.1", "10.0.0.2", Some("10.0.0.2")),
        // One of ours has seen somebody whom it does not name.
        ("10.0.0.1", "1.1.1.1, unknown", None),
        ("10.0.0.1", "1.1.1.1, _secret, 10.0.0.2", None),
        ("10.0.0.1", "", None),
    ] {
        let request = request(peer, &[(XFF, told)]);
        assert_eq!(client(ours(), &request).as_deref(), expected, "{told}");
    }
    let direct = request("10.0.0.1", &[]);
    assert_eq!(client(ours(), &direct).as_deref(), Some("10.0.0.1"));
    let lines = request(
        "10.0.0.1",
        &[(XFF, "1.1.1.1"), (XFF, "192.0.2.7"), (XFF, "10.0.0.2")],
    );
    assert_eq!(client(ours(), &lines).as_deref(), Some("192.0.2.7"));
}

#[test]
fn hops_are_counted_from_the_right() {
    let told = "1.1.1.1, 192.0.2.7, 192.0.2.8";
    for (hops, expected) in [
        (1, Some("192.0.2.8")),
        (2, Some("192.0.2.7")),
        (4, None),
        (usize::MAX, None),
    ] {
        for peer in ["203.0.113.1", ""] {
            let request = request(peer, &[(XFF, told)]);
            let found = client(TrustedProxies::hops(hops), &request);
            assert_eq!(found.as_deref(), expected, "{hops}");
        }
    }
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    let ours = || networks(&["10.0.0.0/8"]).forwarded();
    for (told, expected) in [
        ("for=192.0.2.7", Some("192.0.2.7")),
        (
            "For=\"192.0.2.7:47011\";proto=https;by=10.0.0.1",
            Some("192.0.2.7"),
        ),
        ("for=\"[2001:db8:1:2:3::4]:80\"", Some("2001:db8:1:2::/64")),
        (
            "for=1.1.1.1, for=192.0.2.7;host=a, for=10.0.0.2",
            Some("192.0.2.7"),
        ),
        ("for=unknown", None),
        ("for=_gazonk", None),
        ("proto=https", None),
        ("for=192.0.2.7;for=192.0.2.8", None),
        // A client cannot write elements into what a proxy quotes.
        ("for=192.0.2.7;host=\"a, for=1.1.1.1\"", None),
        ("for=192.0.2.7;host=\"a, for=1.1.1.1;b=\\\"\"", None),
        ("for=192.0.2.7;host=\"a, for=1.1.1.1, b\"", None),
        // Nor swallow what the proxy adds.
        ("for=\"1.1.1.1, for=192.0.2.7", Some("192.0.2.7")),
        ("for=[2001:db8::1]", None),
        ("for=192.0.2.7;host=\"a\\\"b\"", None),
        ("for=192.0.2.7;host=\"a\"b\"", None),
    ] {
        let request = request("10.0.0.1", &[(FORWARDED, told), (XFF, "9.9.9.9")]);
        assert_eq!(client(ours(), &request).as_deref(), expected, "{told}");
    }
}

#[test]
fn addresses_of_ipv6_count_by_their_network() {
    let key = |address: &str, bits| {
        let key = ClientIp::new(TrustedProxies::none()).ipv6_prefix(bits);
        let key = key.key(&request(address, &[])).unwrap();
        String::from_utf8(key.to_vec()).unwrap()
    };
    assert_eq!(key("2001:db8:1:2:3:4:5:6", 64), "2001:db8:1:2::/64");
    assert_eq!(key("2001:db8:1:2:ffff::", 64), "2001:db8:1:2::/64");
    assert_ne!(key("2001:db8:1:3::", 64), key("2001:db8:1:2::", 64));
    assert_eq!(key("2001:db8:1:2:3:4:5:6", 48), "2001:db8:1::/48");
    assert_eq!(key("2001:db8::1", 255), "2001:db8::1/128");
    assert_eq!(key("2001:db8::1", 0), "::/0");
    assert_eq!(key("::ffff:192.0.2.1", 64), "192.0.2.1");
}

#[test]
fn a_header_names_one_or_nobody() {
    let key = header(HeaderName::from_static("x-user"));
    let of = |headers: &[(&str, &str)]| key.key(&request("", headers));
    assert_eq!(of(&[("x-user", "ann")]).unwrap(), "ann");
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[("x-user", "")]), None);
    assert_eq!(of(&[("x-user", "ann"), ("x-user", "bob")]), None);
    assert_eq!(of(&[("x-user", &"a".repeat(257))]), None);
}

#[test]
fn closures_are_keys() {
    let path = |request: &Parts| Some(request.uri.path().to_owned());
    assert_eq!(path.key(&request("", &[])).unwrap(), "/");
    let bytes = |_: &Parts| Some(vec![0_u8, 255]);
    assert_eq!(bytes.key(&request("", &[])).unwrap(), &[0, 255][..]);
}

proptest! {
    /// Whatever a client sends, a proxy of ours adds its address, and that is what counts.
    #[test]
    fn nothing_that_a_client_sends_hides_it(
        made_up in "[ -~\t]{0,60}",
        is_forwarded: bool,
        is_line_of_its_own: bool,
    ) {
        let (proxies, name, added) = match is_forwarded {
            true => (networks(&["10.0.0.0/8"]).forwarded(), FORWARDED, "for=192.0.2.7"),
            false => (networks(&["10.0.0.0/8"]), XFF, "192.0.2.7"),
        };
        let joined = format!("{made_up}, {added}");
        let headers = match is_line_of_its_own {
            true => vec![(name, made_up.as_str()), (name, added)],
            false => vec![(name, joined.as_str())],
        };
        let request = request("10.0.0.1", &headers);
        let expected = || Some("192.0.2.7".to_owned());
        prop_assert_eq!(client(proxies, &request), expected());
        let hops = match is_forwarded {
            true => TrustedProxies::hops(1).forwarded(),
            false => TrustedProxies::hops(1),
        };
        prop_assert_eq!(client(hops, &request), expected());
    }

    /// What stands in a quoted host of the proxy's own element never becomes an address of its choice.
    #[test]
    fn nothing_that_a_proxy_repeats_names_another(host in "[a-z0-9=,;:. \"\\\\]{0,40}") {
        let escaped = host.replace('\\', "\\\\").replace('"', "\\\"");
        let told = format!("for=192.0.2.7;host=\"{escaped}\"");
        let request = request("10.0.0.1", &[(FORWARDED, &told)]);
        let found = client(networks(&["10.0.0.0/8"]).forwarded(), &request);
        prop_assert!(matches!(found.as_deref(), None | Some("192.0.2.7")), "{found:?}");
    }
}

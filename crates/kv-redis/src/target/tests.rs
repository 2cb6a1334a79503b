use super::{Endpoint, Target};
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
fn a_cluster_has_several_addresses_and_one_login() {
    let cases = [
        ("uri = 'redis-cluster://a:1,b:2'", "a:1 b:2"),
        ("uri = 'valkey-cluster://a'", "a:6379"),
        (
            "uri = 'redis-cluster://u%2C:p%40@a,[::1]:7/'",
            "a:6379 [::1]:7",
        ),
        ("uri = 'rediss-cluster://u:p@a,b:2'", "a:6379 b:2"),
        (
            "cluster = ['a:1', '[::1]', 'b']\ntls = {}",
            "a:1 [::1]:6379 b:6379",
        ),
        ("uri = 'redis://a'", ""),
    ];
    for (toml, addresses) in cases {
        let target = parse(toml).unwrap();
        let seeds: Vec<_> = target.seeds().iter().map(ToString::to_string).collect();
        assert_eq!(seeds.join(" "), addresses, "{toml}");
        let tls = matches!(target.at("c", 3).endpoint, Endpoint::Tls(..));
        assert_eq!(
            tls,
            toml.contains("rediss") || toml.contains("tls"),
            "{toml}"
        );
    }
    let target = uri("redis-cluster://u%2C:p%40@a,b").unwrap().at("::1", 3);
    assert_eq!(target.username.as_deref(), Some("u,"));
    assert_eq!(target.password.as_deref(), Some("p@"));
    assert_eq!(&*target.address(), "[::1]:3");
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
        ("host = 'a'\ncluster = ['b']", ["`host`", "`cluster`"]),
        ("uri = 'redis://a'\ncluster = ['b']", ["`uri`", "`cluster`"]),
        ("uri = 'redis-cluster://a,b/3'", ["cluster", "`db`"]),
        ("cluster = ['a']\ndb = 1", ["cluster", "`db`"]),
        ("cluster = ['a:b']", ["`cluster`", "host:port"]),
        ("uri = 'redis-cluster://a'\ntls = {}", ["`uri`", "`tls`"]),
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
        "redis-cluster://:secret@",
        "redis-cluster://:secret@a,",
        "redis-cluster://a,:secret@b,c:d",
        "redis-cluster://a,secret/b",
        "redis-cluster://:secret/word@a,b",
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

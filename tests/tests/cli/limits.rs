//! `kv limits`.

use super::Answer;
use kv_cli::Exit;
use kv_core::Context;
use kv_factory::Factory;
use kv_ratelimit::{RateLimitSettings, RateLimiter};
use kv_tests::server::{Etcd, Redis};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// A configuration with two stores, one of which has the limits, with tenants in its keys. Programs have
/// all the time that a busy machine takes.
struct Site {
    path: PathBuf,
    _directory: TempDir,
    _server: Server,
}

#[expect(dead_code, reason = "held as long as the site")]
enum Server {
    Redis(Redis),
    Etcd(Etcd),
}

impl Site {
    fn redis() -> Self {
        let server = Redis::start();
        let url = server.url();
        Self::new("redis", &url, Server::Redis(server))
    }

    fn etcd() -> Self {
        let server = Etcd::start();
        let url = server.url();
        Self::new("etcd", &url, Server::Etcd(server))
    }

    fn new(backend: &str, url: &str, server: Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.toml");
        let text = format!(
            "[default.ratelimit]\nstore = \"limits\"\n\
             [default.ratelimit.policies]\n\
             login = {{ quota = \"3/day\", tier = \"strict\", deadline = \"1m\" }}\n\
             tried = {{ quota = \"1/day\", shadow = true, allow = [\"health\"], deadline = \"1m\" }}\n\
             here = {{ quota = \"5/s\", tier = \"in_process\" }}\n\
             slots = \"2 concurrent\"\n\
             [default.context]\nmulti_tenancy_enabled = true\n\
             [default.database.kvstore.other]\nprovider = {{ backend = \"memory\" }}\n\
             [default.database.kvstore.limits]\nprovider = {{ backend = \"{backend}\", uri = \"{url}\", \
             connect_timeout = \"1m\", response_timeout = \"1m\" }}\n\
             wrappers = [{{ name = \"key_resolver\" }}]\n"
        );
        std::fs::write(&path, text).unwrap();
        Self {
            path,
            _directory: directory,
            _server: server,
        }
    }

    /// The limits as a program has them.
    async fn limiter(&self) -> RateLimiter {
        let factory = Factory::from_file(&self.path).unwrap();
        let settings: RateLimitSettings = factory.section("ratelimit").unwrap();
        let kv = factory.open("limits").await.unwrap();
        RateLimiter::from_settings(&kv, &settings).unwrap()
    }

    async fn kv(&self, args: &str) -> Answer {
        let path = self.path.to_str().unwrap();
        let args = args.split_whitespace();
        let args = ["kv", "--config", path, "limits"].into_iter().chain(args);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = kv_cli::run(args, &mut out, &mut err).await;
        Answer {
            exit,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    /// The exit and the one document.
    async fn told(&self, args: &str) -> (Exit, Json) {
        let answer = self.kv(&format!("{args} --json")).await;
        assert_eq!(answer.err, "", "{args}");
        (answer.exit, answer.json().remove(0))
    }

    /// Whether a request would pass, and how many more.
    async fn left(&self, args: &str) -> (Exit, u64) {
        let (exit, told) = self.told(&format!("peek {args}")).await;
        (exit, told["remaining"].as_u64().unwrap())
    }
}

fn tenant(name: &str) -> Context {
    Context::tenant(name.to_owned())
}

async fn a_limit_is_looked_at_and_reset_for_one_tenant(site: Site) {
    let limiter = site.limiter().await;
    for who in ["ann", "bob"] {
        let uses = async {
            for _ in 0..2 {
                assert!(limiter.check("login", "a").await.unwrap().is_allowed());
            }
        };
        tenant(who).scope(uses).await;
    }
    assert_eq!(site.left("login a --tenant ann").await, (Exit::Found, 1));
    // It was not used up by looking.
    assert_eq!(site.left("login a --tenant ann").await, (Exit::Found, 1));
    assert_eq!(site.left("login b --tenant ann").await, (Exit::Found, 3));
    let (exit, told) = site.told("peek login a --cost 2 --tenant ann").await;
    assert_eq!(exit, Exit::Absent);
    assert_eq!(told["verdict"], "denied");
    assert_eq!((&told["cost"], &told["limit"]), (&json!(2), &json!(3)));
    let wait = told["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 0 && wait <= 8 * 3_600_000, "{told}");

    let (exit, told) = site.told("reset login a --tenant ann").await;
    let expected = json!({ "policy": "login", "subject": "a", "reset": true });
    assert_eq!((exit, told), (Exit::Found, expected));
    assert_eq!(site.left("login a --tenant ann").await, (Exit::Found, 3));
    assert_eq!(site.left("login a --tenant bob").await, (Exit::Found, 1));
    let used = tenant("ann").scope(limiter.check("login", "a"));
    assert_eq!(used.await.unwrap().remaining, 2);
}

async fn people_are_told_in_words(site: Site) {
    let limiter = site.limiter().await;
    let used = tenant("ann").scope(limiter.check("tried", "a"));
    assert!(used.await.unwrap().is_allowed());
    for (args, exit, words) in [
        ("login a", Exit::Found, "would pass"),
        ("tried a", Exit::Found, "not only tried out"),
        ("tried health", Exit::Found, "is not limited"),
    ] {
        let answer = site.kv(&format!("peek {args} --tenant ann")).await;
        assert_eq!((answer.exit, &*answer.err), (exit, ""), "{args}");
        assert!(answer.out.contains(words), "{args}: {}", answer.out);
    }
    let told = site.told("peek tried a --tenant ann").await.1;
    assert_eq!(told["verdict"], "would_deny");
    assert_eq!(told["limited"], true);
    let told = site.told("peek tried health --tenant ann").await.1;
    assert_eq!(told["limited"], false);
    let reset = site.kv("reset tried a --tenant ann").await;
    assert_eq!((reset.exit, &*reset.out), (Exit::Found, "reset\n"));
}

async fn what_cannot_be_done_is_told_with_what_helps(site: Site) {
    for (wrong, remedy) in [
        ("peek logon a --tenant ann", "here, login, slots, tried"),
        ("peek login a", "--tenant"),
        ("peek login a --cost 4 --tenant ann", "1 to 3"),
        ("peek here a --tenant ann", "each process"),
        ("reset here a --tenant ann", "each process"),
        ("peek slots a --tenant ann", "slot"),
        ("reset slots a --tenant ann", "kv locks release"),
    ] {
        let answer = site.kv(wrong).await;
        assert_eq!((answer.exit, &*answer.out), (Exit::Failed, ""), "{wrong}");
        assert!(answer.err.contains(remedy), "{wrong}: {}", answer.err);
    }
}

macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::redis()).await;
            })*
        }

        mod etcd {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::etcd()).await;
            })*
        }
    };
}

on_each_server! {
    a_limit_is_looked_at_and_reset_for_one_tenant
    people_are_told_in_words
    what_cannot_be_done_is_told_with_what_helps
}

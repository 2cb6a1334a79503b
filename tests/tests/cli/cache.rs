//! `kv cache`.

mod whose;

use super::Answer;
use kv_cache::{Cache, CacheSettings, Near};
use kv_cli::Exit;
use kv_core::{Context, Kv};
use kv_factory::Factory;
use kv_tests::{
    patience::until,
    server::{Etcd, Redis},
};
use serde_json::{Value as Json, json};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::sync::oneshot;

type Prices = Cache<str, u32>;

/// A configuration with two stores, one of which has the cache, with tenants in its keys. All have the time that a busy
/// machine takes.
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
            "[default.cache.\"a.b\"]\nstore = \"shared\"\ndeadline = \"1m\"\n\
             policy = {{ ttl = \"1day\", stale = \"1day\" }}\n\
             [default.cache.alone]\n\
             [default.context]\nmulti_tenancy_enabled = true\n\
             [default.database.kvstore.other]\nprovider = {{ backend = \"memory\" }}\n\
             [default.database.kvstore.shared]\nprovider = {{ backend = \"{backend}\", uri = \"{url}\", \
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

    async fn store(&self) -> Kv {
        let factory = Factory::from_file(&self.path).unwrap();
        factory.open("shared").await.unwrap()
    }

    fn settings(&self) -> CacheSettings {
        let factory = Factory::from_file(&self.path).unwrap();
        let mut caches: kv_cache::CachesSettings = factory.section("cache").unwrap();
        caches.0.remove("a.b").unwrap()
    }

    /// The cache as a program of the tenant has it.
    async fn prices(&self, tenant: &'static str) -> Prices {
        let kv = self.store().await.bind(Context::tenant(tenant));
        Cache::from_settings("a.b", Some(&kv), &self.settings()).unwrap()
    }

    async fn kv(&self, args: &str) -> Answer {
        let path = self.path.to_str().unwrap();
        let args = args.split_whitespace();
        let args = ["kv", "--config", path, "cache"].into_iter().chain(args);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = kv_cli::run(args, &mut out, &mut err).await;
        Answer {
            exit,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    /// The exit and the one document, for the tenant `ann`.
    async fn told(&self, args: &str) -> (Exit, Json) {
        let answer = self.kv(&format!("{args} --tenant ann --json")).await;
        assert_eq!(answer.err, "", "{args}");
        (answer.exit, answer.json().remove(0))
    }

    async fn state(&self, key: &str) -> (Exit, String) {
        let (exit, told) = self.told(&format!("get a.b {key}")).await;
        (exit, told["state"].as_str().unwrap().to_owned())
    }
}

async fn an_entry_is_told_as_it_lies_there(site: Site) {
    let ann = site.prices("ann").await;
    let absent = site.kv("get a.b k --tenant ann").await;
    assert_eq!(
        (absent.exit, &*absent.out, &*absent.err),
        (Exit::Absent, "", "")
    );
    ann.tagged(["red", "blue"])
        .unwrap()
        .set("k", 42)
        .await
        .unwrap();
    let (exit, told) = site.told("get a.b k").await;
    assert_eq!(exit, Exit::Found);
    for (field, is) in [
        ("cache", json!("a.b")),
        ("key", json!("k")),
        ("state", json!("fresh")),
        ("value", json!("42")),
        ("nothing", json!(false)),
        ("all", json!("holds")),
        ("loading", json!(null)),
        (
            "tags",
            json!([{ "tag": "blue", "state": "holds" }, { "tag": "red", "state": "holds" }]),
        ),
    ] {
        assert_eq!(told[field], is, "{field}: {told}");
    }
    let number = |field: &str| told[field].as_u64().unwrap();
    let day = 24 * 3_600_000;
    let (age, left) = (number("age_ms"), number("left_ms"));
    // The store tells both at one moment, each rounded down; the age counts from the lease, which was a while before.
    let while_written = age + left + 1 - 2 * day;
    assert!(while_written < 60_000, "{told}");
    let fresh = age + number("fresh_ms");
    assert!((day - 1..=day).contains(&fresh), "{told}");
    assert!(number("version") > 0 && number("bytes") > 43);

    let bob = site.kv("get a.b k --tenant bob").await;
    assert_eq!((bob.exit, &*bob.out), (Exit::Absent, ""));
    let page = site.kv("get a.b k --tenant ann").await;
    assert_eq!(page.exit, Exit::Found);
    assert!(page.out.ends_with("\n\n42\n"), "{}", page.out);
    let words: Vec<_> = page.out.split_whitespace().collect();
    for pair in [["key", "k"], ["state", "fresh"], ["tag", "blue"]] {
        assert!(words.windows(2).any(|it| it == pair), "{}", page.out);
    }
}

async fn who_loads_is_seen(site: Site) {
    let ann = site.prices("ann").await;
    let (answer, answered) = oneshot::channel::<u32>();
    let (begun, begins) = oneshot::channel::<()>();
    let load = ann.get_or_load("k", async move |_| {
        begun.send(()).unwrap();
        answered.await
    });
    let look = async {
        begins.await.unwrap();
        let (exit, told) = site.told("get a.b k").await;
        assert_eq!((exit, &told["state"]), (Exit::Absent, &json!("absent")));
        assert!(told["loading"]["left_ms"].as_u64().unwrap() > 0, "{told}");
        answer.send(7).unwrap();
    };
    let (loaded, ()) = tokio::join!(load, look);
    assert_eq!(*loaded.unwrap(), 7);
    ann.idle().await;
    let (exit, told) = site.told("get a.b k").await;
    assert_eq!((exit, &told["loading"]), (Exit::Found, &json!(null)));
}

async fn entries_are_removed_and_expired(site: Site) {
    let ann = site.prices("ann").await;
    let bob = site.prices("bob").await;
    for key in ["k", "l", "m"] {
        ann.set(key, 1).await.unwrap();
        bob.set(key, 1).await.unwrap();
    }
    let removed = site.kv("rm a.b k l nothing --tenant ann").await;
    let words = "removed k\nremoved l\nremoved nothing\n";
    assert_eq!((removed.exit, &*removed.out), (Exit::Found, words));
    let (exit, told) = site.told("rm a.b m --expire").await;
    let document = json!({ "cache": "a.b", "key": "m", "done": "expired" });
    assert_eq!((exit, told), (Exit::Found, document));
    assert!(ann.get_entry("k").await.unwrap().is_none());
    assert!(ann.get_entry("l").await.unwrap().is_none());
    let stale = ann.get_entry("m").await.unwrap().unwrap();
    assert_eq!(stale.freshness(), kv_cache::Freshness::Stale);
    assert_eq!(site.state("m").await, (Exit::Found, "stale".to_owned()));
    for key in ["k", "l", "m"] {
        assert!(bob.get(key).await.unwrap().is_some());
    }
}

async fn tags_and_all_entries_are_removed_and_expired(site: Site) {
    let ann = site.prices("ann").await;
    let bob = site.prices("bob").await;
    for prices in [&ann, &bob] {
        for (key, tags) in [("r", &["red"][..]), ("b", &["blue"]), ("p", &[])] {
            let tagged = prices.tagged(tags.iter().copied()).unwrap();
            tagged.set(key, 1).await.unwrap();
        }
    }
    let is = |exit, state: &str| (exit, state.to_owned());
    let (exit, told) = site.told("rm-tag a.b red").await;
    let document = json!({ "cache": "a.b", "tag": "red", "done": "removed" });
    assert_eq!((exit, told), (Exit::Found, document));
    assert_eq!(site.state("r").await, is(Exit::Absent, "removed"));
    let told = site.told("get a.b r").await.1;
    assert_eq!(told["tags"], json!([{ "tag": "red", "state": "removed" }]));
    // Of another program: this one may trust what it knows of tags until it hears.
    let other = site.prices("ann").await;
    assert!(other.get("r").await.unwrap().is_none());
    let expired = site.kv("rm-tag a.b blue other --expire --tenant ann").await;
    let words = "expired all with the tag blue\nexpired all with the tag other\n";
    assert_eq!((expired.exit, &*expired.out), (Exit::Found, words));
    assert_eq!(site.state("b").await, is(Exit::Found, "stale"));
    assert_eq!(site.state("p").await, is(Exit::Found, "fresh"));

    let all = site.kv("clear a.b --expire --tenant ann").await;
    assert_eq!(
        (all.exit, &*all.out),
        (Exit::Found, "expired all entries\n")
    );
    assert_eq!(site.state("p").await, is(Exit::Found, "stale"));
    let (exit, told) = site.told("clear a.b").await;
    let document = json!({ "cache": "a.b", "done": "removed" });
    assert_eq!((exit, told), (Exit::Found, document));
    let page = site.kv("get a.b p --tenant ann").await;
    assert_eq!(page.exit, Exit::Absent);
    assert!(page.out.contains("cleared"), "{}", page.out);
    let other = site.prices("ann").await;
    assert!(other.get_entry("p").await.unwrap().is_none());
    for key in ["r", "b", "p"] {
        assert!(bob.get(key).await.unwrap().is_some());
    }
}

async fn entries_are_counted(site: Site) {
    let nothing = site.kv("stat a.b --tenant ann").await;
    assert_eq!((nothing.exit, &*nothing.out), (Exit::Absent, ""));
    let ann = site.prices("ann").await;
    site.prices("bob").await.set("k", 1).await.unwrap();
    let red = ann.tagged(["red"]).unwrap();
    red.set("r", 1).await.unwrap();
    for key in ["k", "l", "m", "n"] {
        ann.set(key, 1).await.unwrap();
    }
    for change in ["rm a.b l --expire", "rm-tag a.b red", "rm a.b m"] {
        site.told(change).await;
    }
    let (exit, told) = site.told("stat a.b").await;
    assert_eq!(exit, Exit::Found);
    let mut bytes = 0;
    for key in ["k", "l", "n", "r"] {
        let one = site.told(&format!("get a.b {key}")).await.1;
        bytes += one["bytes"].as_u64().unwrap();
    }
    for (field, is) in [
        ("entries", json!(4)),
        ("complete", json!(true)),
        ("bytes", json!(bytes)),
        ("fresh", json!(2)),
        ("stale", json!(1)),
        ("removed", json!(1)),
        ("unreadable", json!(0)),
        ("loading", json!(0)),
    ] {
        assert_eq!(told[field], is, "{field}: {told}");
    }
    let count = |by: &str| -> Vec<_> {
        let spans = told[by].as_array().unwrap().iter();
        spans.map(|it| it["entries"].as_u64().unwrap()).collect()
    };
    assert_eq!(count("by_left"), [0, 0, 0, 4, 0]);
    assert_eq!(count("by_age").iter().sum::<u64>(), 4);
    let page = site.kv("stat a.b --tenant ann").await;
    let line = "life left   below 30days: 4\n";
    assert!(page.out.ends_with(line), "{}", page.out);
}

/// What a process keeps goes long before it would ask the store.
async fn processes_are_told(site: Site) {
    let settings = site.settings();
    let kv = site.store().await.bind(Context::tenant("ann"));
    let near = Near::megabytes(1).max_stale(Duration::from_secs(24 * 3600));
    let builder = Cache::<str, u32>::builder("a.b").settings(&settings);
    let ann = builder.near(near).far(settings.far(&kv)).build().unwrap();
    for (command, key) in [("rm a.b", "k"), ("rm-tag a.b", "t"), ("clear a.b", "")] {
        ann.tagged(["t"]).unwrap().set("k", 1).await.unwrap();
        let before = ann.stats().heard;
        // What is told before it listens it does not hear.
        until("other processes are told", async || {
            let done = site.kv(&format!("{command} {key} --tenant ann")).await;
            assert_eq!((done.exit, &*done.err), (Exit::Found, ""), "{command}");
            ann.stats().heard > before
        })
        .await;
        assert!(ann.get("k").await.unwrap().is_none(), "{command}");
    }
}

async fn what_cannot_be_done_is_told_with_what_helps(site: Site) {
    for (wrong, remedy) in [
        ("get a.b k", "--tenant"),
        ("get alone k --tenant ann", "each process has"),
        ("rm alone k --tenant ann", "--store"),
        ("get other k --tenant ann", "--store: other, shared"),
        ("rm a.b --tenant ann", "<KEY>"),
        ("rm-tag a.b --tenant ann", "<TAG>"),
    ] {
        let answer = site.kv(wrong).await;
        assert_eq!((answer.exit, &*answer.out), (Exit::Failed, ""), "{wrong}");
        assert!(answer.err.contains(remedy), "{wrong}: {}", answer.err);
    }
    let alone = site.kv("get alone k --store shared --tenant ann").await;
    assert_eq!((alone.exit, &*alone.err), (Exit::Absent, ""));
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
    an_entry_is_told_as_it_lies_there
    who_loads_is_seen
    entries_are_removed_and_expired
    tags_and_all_entries_are_removed_and_expired
    entries_are_counted
    processes_are_told
    what_cannot_be_done_is_told_with_what_helps
}

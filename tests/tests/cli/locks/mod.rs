//! `kv locks`.

macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::redis().await).await;
            })*
        }

        mod etcd {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::etcd().await).await;
            })*
        }
    };
}

mod kinds;

use super::{Answer, kv_at};
use kv_cli::Exit;
use kv_core::Kv;
use kv_lock::{LockGuard, LockManager};
use kv_tests::{
    patience,
    server::{Etcd, Redis},
};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// A store with locks, and its URL.
struct Site {
    locks: LockManager,
    url: String,
    _server: Server,
}

#[expect(dead_code, reason = "held as long as the site")]
enum Server {
    Redis(Redis),
    Etcd(Etcd),
}

impl Site {
    async fn redis() -> Self {
        let server = Redis::start();
        let url = server.url();
        let kv = Kv::builder(patience::redis(&url));
        Self::new(&kv.connect().await.unwrap(), url, Server::Redis(server))
    }

    async fn etcd() -> Self {
        let server = Etcd::start();
        let url = server.url();
        let kv = Kv::builder(patience::etcd(&url));
        Self::new(&kv.connect().await.unwrap(), url, Server::Etcd(server))
    }

    fn new(kv: &Kv, url: String, server: Server) -> Self {
        Self {
            locks: LockManager::new(kv).unwrap(),
            url,
            _server: server,
        }
    }

    async fn hold(&self, name: impl AsRef<[u8]>, metadata: &'static str) -> LockGuard {
        let lock = self.locks.lock(name).metadata(metadata);
        lock.acquire().await.unwrap()
    }

    async fn kv(&self, args: &str) -> Answer {
        let args: Vec<_> = args.split_whitespace().collect();
        kv_at(&self.url, &[&["locks"], &args[..]].concat()).await
    }

    /// The exit and the text, where all is well.
    async fn told(&self, args: &str) -> (Exit, String) {
        let answer = self.kv(args).await;
        assert_eq!(answer.err, "", "{args}");
        (answer.exit, answer.out)
    }

    /// The name under which this one holds it.
    async fn holder(&self, lock: &str, metadata: &str) -> String {
        let shown = &self.json(&format!("show {lock}")).await[0];
        let mut holders = shown["holders"].as_array().unwrap().iter();
        let found = holders.find(|it| it["metadata"] == metadata).unwrap();
        found["holder"].as_str().unwrap().to_owned()
    }

    async fn shows_nobody(&self, lock: &str) {
        let answer = self.kv(&format!("show {lock}")).await;
        assert_eq!((answer.exit, &*answer.out), (Exit::Absent, ""));
        assert_eq!(
            answer.err.trim_end(),
            NOBODY.replace(" a;", &format!(" {lock};"))
        );
    }

    async fn json(&self, args: &str) -> Vec<Json> {
        self.kv(&format!("{args} --json")).await.json()
    }
}

const NOBODY: &str = "nobody holds a; `kv locks ls` tells what is held";

fn nothing() -> (Exit, String) {
    (Exit::Absent, String::new())
}

fn names(rows: &[Json]) -> Vec<String> {
    let names = rows.iter().filter_map(|it| it["lock"].as_str());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort();
    names
}

async fn locks_are_listed_page_by_page(site: Site) {
    assert_eq!(site.told("ls").await, nothing());
    let mut guards = Vec::new();
    for number in 0..9 {
        let name = format!("orders/{number}");
        guards.push(site.hold(name, "host=a\n\x1b[2J").await);
    }
    let free = site.hold("free", "").await;
    free.release().await;
    let whole = site.json("ls").await;
    let expected: Vec<_> = (0..9).map(|it| format!("orders/{it}")).collect();
    assert_eq!(names(&whole), expected);
    let fences: Vec<_> = guards.iter().map(|it| it.fence().get()).collect();
    for row in &whole {
        let holder = &row["holders"][0];
        assert!(fences.contains(&holder["fence"].as_u64().unwrap()), "{row}");
        // The rest of the lease and of the grace.
        let left = holder["left_ms"].as_u64().unwrap();
        assert!((1..=18_000).contains(&left), "{row}");
    }
    let (mut after, mut paged) = (String::new(), Vec::new());
    loop {
        let answer = site.kv(&format!("ls --limit 4 {after} --json")).await;
        let page = answer.json();
        paged.extend(names(&page));
        let Some(next) = page.last().and_then(|it| it["next"].as_str()) else {
            break;
        };
        assert!(answer.err.contains(next), "{}", answer.err);
        assert!(names(&page).len() <= 4);
        after = format!("--after {next}");
    }
    paged.sort();
    assert_eq!(paged, expected);
    let table = site.kv("ls").await.out;
    assert!(
        table.contains("orders/8") && table.contains("host=a\\n"),
        "{table}"
    );
    assert!(!table.contains('\x1b'), "{table}");
}

async fn a_lock_is_shown(site: Site) {
    site.shows_nobody("a").await;
    let guard = site.hold("a", "host=a").await;
    let shown = &site.json("show a").await[0];
    assert_eq!(shown["kind"], "exclusive");
    let shown = &shown["holders"][0];
    assert_eq!(
        (&shown["metadata"], &shown["as"]),
        (&json!("host=a"), &json!("owner"))
    );
    assert_eq!(shown["fence"], guard.fence().get());
    let (exit, text) = site.told("show a").await;
    assert_eq!(exit, Exit::Found);
    let says = |name: &str, what: &str| {
        let line = text.lines().find(|it| it.starts_with(name));
        line.is_some_and(|it| it.contains(what))
    };
    let holder = shown["holder"].as_str().unwrap();
    let fence = guard.fence().to_string();
    for (name, what) in [
        ("lock", "a"),
        ("kind", "exclusive"),
        ("holder", holder),
        ("as", "owner"),
        ("metadata", "host=a"),
        ("fence", &*fence),
        ("ends in", "s"),
    ] {
        assert!(says(name, what), "{name}: {text}");
    }
    guard.release().await;
    site.shows_nobody("a").await;
    assert!(site.json("show a").await.is_empty());
}

async fn a_lock_is_freed_for_whom_one_means(site: Site) {
    let free = (Exit::Absent, format!("{NOBODY}\n"));
    assert_eq!(site.told("release a --whoever").await, free);
    let first = site.hold("a", "").await;
    let expected = format!("release a --holder {}", site.holder("a", "").await);
    first.release().await;
    assert_eq!(site.told(&expected).await, free);
    let second = site.hold("a", "second").await;
    // Who was looked at is gone; the next one is spared.
    let refused = site.kv(&expected).await;
    assert_eq!(refused.exit, Exit::Absent);
    assert!(
        refused.out.starts_with("refused; it is held by "),
        "{}",
        refused.out
    );
    let refused = &site.json(&expected).await[0];
    assert_eq!(refused["released"], false);
    let holder = &refused["held_by"][0]["holders"][0];
    assert_eq!(holder["metadata"], "second");
    let holder = holder["holder"].as_str().unwrap();
    let released = site.json(&format!("release a --holder {holder}")).await;
    let expected = json!({"lock": "a", "released": true, "held_by": []});
    assert_eq!(released, [expected]);
    let third = site.locks.lock("a").try_acquire().await.unwrap().unwrap();
    assert!(third.fence() > second.fence());
    let released = (Exit::Found, "released\n".to_owned());
    assert_eq!(site.told("release a --whoever").await, released);
    site.shows_nobody("a").await;
}

async fn what_is_meant_must_be_said(site: Site) {
    let guard = site.hold("a", "").await;
    for wrong in [
        "release a",
        "release a --holder x",
        "release a --whoever --holder 000000000000000000000000000000000",
        "release a --whoever --kind latch",
        "release a --holder 000000000000000000000000000000000 --kind rw",
        "ls --limit 0",
        "ls --after =",
        "ls --after AAAA",
        "--tenant acme ls",
    ] {
        let answer = site.kv(wrong).await;
        assert_eq!((answer.exit, &*answer.out), (Exit::Failed, ""), "{wrong}");
        assert!(answer.err.contains("error"), "{wrong}: {}", answer.err);
    }
    let shown = &site.json("show a").await[0];
    assert_eq!(shown["holders"][0]["fence"], guard.fence().get());
}

/// A configuration with two stores: one has the locks, with tenants in its keys.
fn configured(url: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    let text = format!(
        "[default.lock]\nstore = \"locks\"\n\
         [default.context]\nmulti_tenancy_enabled = true\n\
         [default.database.kvstore.other]\nprovider = {{ backend = \"memory\" }}\n\
         [default.database.kvstore.locks]\nprovider = {{ backend = \"redis\", uri = \"{url}\" }}\n\
         wrappers = [{{ name = \"key_resolver\" }}]\n"
    );
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[tokio::test]
async fn the_section_names_the_store_and_tenants_are_apart() {
    let site = Site::redis().await;
    let (_dir, path) = configured(&site.url);
    let factory = kv_factory::Factory::from_file(&path).unwrap();
    let kv = factory.open("locks").await.unwrap();
    let locks = LockManager::new(&kv).unwrap();
    let tenant = |name: &str| kv_core::Context::tenant(name.to_owned());
    let hold = async {
        let lock = locks.lock("a").acquire().await.unwrap();
        let reader = locks.rw("r").read().acquire().await.unwrap();
        let permits = locks.semaphore("s", 2).acquire(1).await.unwrap();
        (lock, reader, permits)
    };
    let _ann = tenant("ann").scope(hold).await;
    let run = async |args: &str| {
        let path = path.to_str().unwrap();
        let args = args.split_whitespace();
        let all: Vec<_> = ["kv", "--config", path, "--json", "locks"]
            .into_iter()
            .chain(args)
            .collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = kv_cli::run(all, &mut out, &mut err).await;
        (
            exit,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    };
    let (exit, out, _) = run("ls --tenant ann").await;
    assert_eq!(exit, Exit::Found);
    assert_eq!(out.lines().count(), 3, "{out}");
    assert_eq!(run("ls --tenant bob").await.0, Exit::Absent);
    for lock in ["a", "r", "s"] {
        for other in ["show", "release --whoever"] {
            let other = format!("{other} {lock} --tenant bob");
            assert_eq!(run(&other).await.0, Exit::Absent, "{other}");
        }
    }
    let (exit, _, err) = run("show a").await;
    assert_eq!(exit, Exit::Failed);
    assert!(err.contains("--tenant"), "{err}");
    for lock in ["a", "r", "s"] {
        let released = run(&format!("release {lock} --whoever --tenant ann")).await;
        assert_eq!(released.0, Exit::Found, "{lock}");
    }
}

on_each_server! {
    locks_are_listed_page_by_page
    a_lock_is_shown
    a_lock_is_freed_for_whom_one_means
    what_is_meant_must_be_said
}

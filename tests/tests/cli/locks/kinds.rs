//! `kv locks` where several hold one lock, and where several kinds have one name.

use super::{Site, names, nothing};
use kv_cli::Exit;
use kv_core::Stopwatch;
use kv_tests::patience::PATIENCE;
use serde_json::json;

async fn readers_are_shown_and_one_is_freed(site: Site) {
    let read = |metadata: &'static str| site.locks.rw("r").read().metadata(metadata);
    let _ann = read("host=a").acquire().await.unwrap();
    let bob = read("host=b\n").acquire().await.unwrap();
    let write = site.locks.rw("r").write().metadata("host=c");
    let waits = tokio::spawn(async move { write.acquire().await });
    let watch = Stopwatch::start();
    let shown = loop {
        let shown = site.json("show r").await.remove(0);
        if !shown["waiting"].as_array().unwrap().is_empty() {
            break shown;
        }
        assert!(watch.elapsed() < PATIENCE, "{shown}");
    };
    assert_eq!(shown["kind"], "rw");
    assert_eq!(shown["last_fence"], bob.fence().get());
    assert_eq!(shown["waiting"][0]["metadata"], "host=c");
    let text = site.told("show r").await.1;
    for expected in ["host=b\\n", "reader", "host=c", "last fence"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let table = site.told("ls").await.1;
    assert_eq!(table.matches("reader").count(), 2, "{table}");
    let bobs = site.holder("r", "host=b\n").await;
    let released = (Exit::Found, "released\n".to_owned());
    let free = format!("release r --holder {bobs}");
    assert_eq!(site.told(&free).await, released);
    let refused = site.told(&free).await;
    assert!(
        refused.1.starts_with("refused; it is held by "),
        "{}",
        refused.1
    );
    assert_eq!(site.told("release r --whoever --kind rw").await, released);
    let writer = tokio::time::timeout(PATIENCE, waits).await.unwrap();
    let writer = writer.unwrap().unwrap();
    assert!(writer.fence() > bob.fence());
    let shown = &site.json("show r --kind rw").await[0]["holders"][0];
    assert_eq!(
        (&shown["as"], &shown["metadata"]),
        (&json!("writer"), &json!("host=c"))
    );
    assert_eq!(shown["fence"], writer.fence().get());
}

async fn permits_are_shown_with_how_many_there_are(site: Site) {
    let permits = async |count, metadata: &'static str| {
        let lock = site.locks.semaphore("s", 5).permits(count).unwrap();
        lock.metadata(metadata).acquire().await.unwrap()
    };
    let _guards = [permits(3, "host=a").await, permits(1, "host=b").await];
    let shown = &site.json("show s").await[0];
    assert_eq!(shown["kind"], "semaphore");
    assert_eq!(shown["permits"], json!({"in_use": 4, "size": 5}));
    let holders = shown["holders"].as_array().unwrap();
    let mut counts: Vec<_> = holders.iter().map(|it| it["permits"].as_u64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(1), Some(3)]);
    let text = site.told("show s").await.1;
    for expected in ["4 of 5", "3 permits", "1 permit", "host=b"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let table = site.told("ls").await.1;
    assert_eq!(table.matches("semaphore, 4 of 5").count(), 2, "{table}");
    let ann = site.holder("s", "host=a").await;
    let released = (Exit::Found, "released\n".to_owned());
    assert_eq!(
        site.told(&format!("release s --holder {ann}")).await,
        released
    );
    assert_eq!(site.json("ls").await[0]["permits"]["in_use"], 1);
    assert_eq!(site.told("release s --whoever").await, released);
    assert_eq!(site.told("ls").await, nothing());
}

async fn what_else_has_the_name_is_told_with_what_helps(site: Site) {
    let _lock = site.hold("a", "").await;
    let _reader = site.locks.rw("a").read().acquire().await.unwrap();
    site.locks.latch("l", 2).arrive("x").await.unwrap();
    for (args, expected) in [
        (
            "show a",
            "error: \"a\" is held as exclusive and as rw; say which kind is meant: --kind\n",
        ),
        (
            "release a --whoever",
            "error: \"a\" is held as exclusive and as rw; say which kind is meant: --kind\n",
        ),
        (
            "show a --kind semaphore",
            "error: \"a\" is not held as semaphore, but as exclusive and as rw; name that kind, or none: --kind\n",
        ),
        ("show l", "error: \"l\" is a latch: nobody holds it, "),
        (
            "release l --whoever",
            "error: \"l\" is a latch: nobody holds it, ",
        ),
    ] {
        let answer = site.kv(args).await;
        assert_eq!((answer.exit, &*answer.out), (Exit::Failed, ""), "{args}");
        assert!(answer.err.starts_with(expected), "{args}: {}", answer.err);
    }
    let both: Vec<_> = site.json("ls").await;
    assert_eq!(names(&both), ["a", "a"]);
    let released = (Exit::Found, "released\n".to_owned());
    assert_eq!(site.told("release a --whoever --kind rw").await, released);
    assert_eq!(site.json("show a").await[0]["kind"], "exclusive");
}

on_each_server! {
    readers_are_shown_and_one_is_freed
    permits_are_shown_with_how_many_there_are
    what_else_has_the_name_is_told_with_what_helps
}

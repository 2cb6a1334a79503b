//! Strings that a client writes and reads that nobody here wrote: `etcdctl`.

use crate::site::{Site, for_span, secs};
use kv_core::TimeToLive;
use kv_tests::patience::{PATIENCE, until};
use std::{env, process::Command};

/// Runs `etcdctl`; answers what it prints.
async fn etcdctl(site: &Site, words: &[&str]) -> String {
    let Some(program) = env::var_os("KV_ETCDCTL") else {
        panic!("KV_ETCDCTL is not set: this test needs etcdctl; `cargo xtask test` finds it");
    };
    let mut command = Command::new(program);
    command
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints=http://{}", site.server.address()))
        .args(words);
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = running.await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn strings_are_read_and_written_both_ways() {
    let site = Site::start().await;
    let kv = &site.kv;
    for (name, value) in [("a", "1"), ("a/b:c", "with spaces"), ("ü", "ß\n\t")] {
        etcdctl(&site, &["put", name, "--", value]).await;
        assert_eq!(kv.get(name).await.unwrap(), Some(value.into()));
        let left = kv.time_to_live(name).await.unwrap();
        assert_eq!(left, TimeToLive::NoExpiry);
        let ours = format!("{value}, too");
        kv.set(name, &*ours).await.unwrap();
        let told = etcdctl(&site, &["get", name, "--print-value-only"]).await;
        assert_eq!(told, format!("{ours}\n"));
    }
    etcdctl(&site, &["put", "n", "41"]).await;
    assert_eq!(kv.increment("n", 1).await.unwrap(), 42);
    let told = etcdctl(&site, &["get", "n", "--print-value-only"]).await;
    assert_eq!(told, "42\n");
    etcdctl(&site, &["del", "n"]).await;
    assert!(!kv.exists("n").await.unwrap());
    // What has a deadline gets rid of it when another client writes it.
    kv.set_with("a", "v", for_span(secs(60))).await.unwrap();
    etcdctl(&site, &["put", "a", "2"]).await;
    assert_eq!(kv.get("a").await.unwrap(), Some("2".into()));
    let left = kv.time_to_live("a").await.unwrap();
    assert_eq!(left, TimeToLive::NoExpiry);
    // A structure is hidden by it as by ours.
    kv.hset("h", "f", "v").await.unwrap();
    etcdctl(&site, &["put", "h", "string"]).await;
    assert_eq!(kv.get("h").await.unwrap(), Some("string".into()));
    assert!(kv.delete("h").await.unwrap());
    assert!(!kv.exists("h").await.unwrap());
}

#[tokio::test]
async fn who_waits_for_a_key_is_woken_by_what_etcdctl_puts() {
    let site = Site::start().await;
    let scope = site.kv.scope("training", "workers").unwrap();
    scope.set("probe", "v").await.unwrap();
    let written = site.raw.all().await.remove(0);
    let prefix = written.key_str().unwrap().strip_suffix("probe").unwrap();
    let name = format!("{prefix}ready");

    let waiting = scope.wait_for_key("ready", PATIENCE);
    let putting = async {
        let waits = async || site.watches().await > 0;
        until("somebody waits", waits).await;
        etcdctl(&site, &["put", &name, "go"]).await;
    };
    let (woken, ()) = tokio::join!(waiting, putting);
    assert_eq!(woken.unwrap(), "go");

    // It also reads what was there before.
    let value = scope.wait_for_key("ready", secs(1)).await.unwrap();
    assert_eq!(value, "go");
    let waiting = scope.wait_for_value("ready", "on", PATIENCE);
    let words = ["put", &name, "on"];
    let putting = etcdctl(&site, &words);
    let (woken, _) = tokio::join!(waiting, putting);
    assert_eq!(woken.unwrap(), "on");
}

//! The program itself, as far as it needs no server.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
};

/// Two stores; one of them is there twice to be looked for.
const CONFIG: &str = r#"
[default.context]
multi_tenancy_enabled = true

[default.database.kvstore.bare]
provider = { backend = "memory" }

[default.database.kvstore.tenants]
provider = { backend = "memory" }
wrappers = [{ name = "key_resolver" }]
"#;

fn kv(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.args(args).stdin(Stdio::null());
    for name in ["KV_CONFIG", "KV_ENV", "KV_STORE"] {
        command.env_remove(name);
    }
    command
}

fn on_memory(args: &[&str]) -> Output {
    let args = [&["--url", "memory://"], args].concat();
    kv(&args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

fn directory_with(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("config")).unwrap();
    fs::write(directory.path().join("config/settings.toml"), config).unwrap();
    directory
}

fn in_directory(directory: &Path, args: &[&str]) -> Output {
    kv(args).current_dir(directory).output().unwrap()
}

#[test]
fn found_is_0_absent_is_1_wrong_is_2() {
    let set = on_memory(&["set", "a", "1", "--ttl", "30s"]);
    assert_eq!((code(&set), out(&set)), (0, "ok\n"));
    let get = on_memory(&["get", "a"]);
    assert_eq!((code(&get), out(&get)), (1, ""));
    for wrong in [
        &["get"][..],
        &["get", ""],
        &["set", "a"],
        &["set", "a", "1", "--stdin"],
        &["set", "a", "1", "--ttl", "soon"],
        &["set", "a", "1", "--ttl", "0s"],
        &["set", "a", "1", "--if-absent", "--if-present"],
        &["incr", "a", "much"],
        &["zrange", "a", "x"],
        &["zrange", "a", "--by-score", "nan"],
        &["zrange", "a", "--rev"],
        &["watch"],
        &["watch", "a", "--prefix", "b"],
        &["wait", "a", "--count", "2", "--timeout", "1s"],
        &["--tenant", "t", "get", "a"],
        &["frobnicate"],
        &["tasks", "show", "default"],
        &["tasks", "show", "default", "a@b"],
        &["tasks", "retry", "default"],
        &["tasks", "retry", "default", "a", "--all-dead"],
        &["tasks", "run", "default", "a", "--in", "soon"],
        &["tasks", "ls", "no queue"],
        &["tasks", "ls", "default", "--state", "lost"],
        &["tasks", "ls", "default", "--limit", "0"],
        &["tasks", "--namespace", "", "queues"],
        &["limits", "ls"],
        &["limits", "peek", "login"],
        &["limits", "peek", "login", "a", "--cost", "0"],
        &["limits", "reset", "login"],
        &["cache", "stat"],
        &["cache", "stat", "prices", "--limit", "0"],
        &["cache", "get", "prices"],
        &["cache", "rm", "prices"],
        &["cache", "rm-tag", "prices", "--expire"],
        &["cache", "rm-tag", "prices", ""],
        &["cache", "clear"],
        &["cache", "clear", "prices", "--tenant", "t"],
    ] {
        let output = on_memory(wrong);
        assert_eq!((code(&output), out(&output)), (2, ""), "{wrong:?}");
        assert!(err(&output).contains("error: "), "{wrong:?}: {output:?}");
    }
}

#[test]
fn memory_is_said_to_end_with_the_command() {
    let output = on_memory(&["incr", "n", "-5"]);
    assert_eq!(out(&output), "-5\n");
    assert!(err(&output).contains("starts empty and ends with it"));
    let output = kv(&["--help"]).output().unwrap();
    assert_eq!(code(&output), 0);
    assert!(out(&output).contains("lives as long as one command"));
    assert!(out(&output).contains("Exit codes"));
}

#[test]
fn a_wait_that_is_over_is_1_and_says_what_is_missing() {
    let output = on_memory(&["wait", "a", "--timeout", "10ms"]);
    assert_eq!((code(&output), out(&output)), (1, ""));
    assert!(err(&output).contains("wait_for_key `a`"), "{output:?}");
    let keys = ["wait", "--keys", "r:*", "--candidate", "r:7"];
    let output = on_memory(&[&keys[..], &["--timeout", "10ms"]].concat());
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("missing: r:7"), "{output:?}");
    let output = on_memory(&["wait", "--keys", "r:*", "--count", "0"]);
    assert_eq!((code(&output), out(&output)), (0, ""));
}

#[test]
fn the_configuration_is_found_and_its_stores_are_named() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = in_directory(nowhere.path(), &["get", "a"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("--config") && err(&output).contains("--url"));

    let there = directory_with(CONFIG);
    let output = in_directory(there.path(), &["get", "a"]);
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("--store: bare, tenants"),
        "{output:?}"
    );
    let output = in_directory(there.path(), &["get", "a", "--store", "bear"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("bare"), "{output:?}");
    let output = in_directory(
        there.path(),
        &["--env", "moon", "--store", "bare", "get", "a"],
    );
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("default"), "{output:?}");

    let config = there.path().join("config/settings.toml");
    let named = kv(&["ttl", "a", "--json"])
        .env("KV_CONFIG", config)
        .env("KV_STORE", "bare")
        .output()
        .unwrap();
    assert_eq!(code(&named), 1);
    assert_eq!(
        out(&named),
        "{\"key\":\"a\",\"state\":\"missing\",\"ttl_ms\":null}\n"
    );
}

#[test]
fn tenants_are_named() {
    let there = directory_with(CONFIG);
    let tenants = ["--store", "tenants", "incr", "n"];
    let output = in_directory(there.path(), &tenants);
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("name one with --tenant"),
        "{output:?}"
    );
    let with = [&tenants[..], &["--tenant", "acme", "--user", "ann"]].concat();
    let output = in_directory(there.path(), &with);
    assert_eq!((code(&output), out(&output)), (0, "1\n"));
}

#[test]
fn tasks_have_tenants_on_a_bare_store_too() {
    let tenant = ["--tenant", "acme", "tasks"];
    for args in [
        &["queues"][..],
        &["ls", "default"],
        &["show", "default", "a"],
    ] {
        let output = on_memory(&[&tenant[..], args].concat());
        assert_eq!((code(&output), out(&output)), (1, ""), "{output:?}");
    }
    let output = on_memory(&[&tenant[..], &["retry", "default", "a", "--json"]].concat());
    assert_eq!(out(&output), "{\"queue\":\"default\",\"requeued\":0}\n");
}

/// The other store would answer, too: only the one that demands a tenant refuses.
#[test]
fn the_configuration_says_where_the_tasks_are() {
    let tasks = |section: &str| {
        let there = directory_with(&format!("{CONFIG}\n[default.scheduler]\n{section}"));
        in_directory(there.path(), &["tasks", "queues"])
    };
    let output = tasks("store = \"bare\"\nnamespace = \"shop\"");
    assert_eq!((code(&output), out(&output)), (1, ""), "{output:?}");
    for (section, reason) in [
        ("", "--store: bare, tenants"),
        ("store = \"tenants\"", "tenant"),
        ("store = \"bare\"\nnamespce = \"shop\"", "namespace"),
        ("store = \"bare\"\nlease = \"1ms\"", "scheduler.lease"),
    ] {
        let output = tasks(section);
        assert_eq!(code(&output), 2, "{section}: {output:?}");
        assert!(err(&output).contains(reason), "{section}: {output:?}");
    }
}

#[test]
fn the_configuration_says_which_limits_there_are() {
    let limits = |section: &str, args: &[&str]| {
        let there = directory_with(&format!("{CONFIG}\n{section}"));
        in_directory(there.path(), &[&["limits"], args].concat())
    };
    let section = "[default.ratelimit.policies]\nlogin = \"5/min\"\n\
         api = { quota = \"100/s burst 200\", tier = \"leased\", on_error = \"local\", \
         local_share = 0.25, shadow = true, flood_guard = 4, allow = [\"health\"] }\n";
    let table = limits(section, &["ls"]);
    assert_eq!(code(&table), 0, "{table:?}");
    for cell in [
        "5/1m burst 5",
        "leased",
        "local, share 0.25",
        "only tried out, flood guard at 4 times the quota, 1 name not limited",
    ] {
        assert!(out(&table).contains(cell), "{}", out(&table));
    }
    let documents = limits(section, &["ls", "--json"]);
    assert_eq!(
        out(&documents),
        "{\"allow\":[\"health\"],\"deadline_ms\":50,\"flood_guard\":4,\"local_share\":0.25,\
         \"on_error\":\"local\",\"policy\":\"api\",\"quota\":\"100/1s burst 200\",\"shadow\":true,\
         \"tier\":\"leased\"}\n\
         {\"allow\":[],\"deadline_ms\":50,\"flood_guard\":null,\"local_share\":null,\
         \"on_error\":\"fail\",\"policy\":\"login\",\"quota\":\"5/1m burst 5\",\"shadow\":false,\
         \"tier\":\"auto\"}\n"
    );
    assert_eq!(code(&limits("[default.ratelimit]", &["ls"])), 1);
    for (section, reason) in [
        ("", "[default.ratelimit.policies]"),
        (
            "[default.ratelimit.policies]\nlogin = \"often\"",
            "`login`: `often` is no quota",
        ),
        (
            "[default.ratelimit.policies]\nlogin = { quota = \"1/s\", max_batch = 5 }",
            "`login`: `max_batch` is about the tier `leased`",
        ),
    ] {
        let output = limits(section, &["ls"]);
        assert_eq!((code(&output), out(&output)), (2, ""), "{section}");
        assert!(err(&output).contains(reason), "{section}: {output:?}");
    }
    // Two stores, and the section names none.
    let output = limits(section, &["peek", "login", "a"]);
    assert!(
        err(&output).contains("--store: bare, tenants"),
        "{output:?}"
    );
    let output = limits(
        section,
        &["peek", "login", "a", "--store", "bare", "--json"],
    );
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(out(&output).contains("\"remaining\":5"), "{output:?}");
}

#[test]
fn completions_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = kv(&["completions", shell]).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(out(&output).contains("hgetall"), "{shell}");
        assert_eq!(err(&output), "");
    }
}

#[test]
fn the_value_can_come_from_the_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("value");
    fs::write(&path, b"\xff\n").unwrap();
    let output = kv(&["--url", "memory://", "set", "a", "--stdin", "--if-present"])
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert_eq!(out(&output), "refused; no string is at the key\n");
}

#[test]
fn a_reader_who_has_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = kv(&["--url", "memory://", "incr", "n", "--json"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert!(!err(&output).contains("error"), "{output:?}");
}

//! What a configuration may say, and what it is told if it says something else.

use crate::recorder::{self, stack};
use kv_core::{CapabilitySet, ErrorKind, Layer, layer_fn};
use kv_factory::{Factory, Instance, Settings};
use serde::Deserialize;
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn refused(toml: &str) -> String {
    let factory = Factory::from_str(toml).unwrap();
    let error = factory.open("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert_eq!(
        factory.validate().unwrap_err().to_string(),
        error.to_string()
    );
    error.to_string()
}

fn memory(more: &str) -> String {
    format!(
        "[default.database.kvstore.a]\nprovider = {{ backend = \"memory\" }}\nwrappers = [{more}]"
    )
}

#[tokio::test]
async fn case_154_unknown_names_are_answered_with_the_known_ones() {
    let provider = "[default.database.kvstore.a]\nprovider = { backend = \"memroy\" }";
    let text = refused(provider).await;
    let place = "unknown provider `memroy` in `default.database.kvstore.a.provider.backend`";
    let hint = "; did you mean `memory`? registered: etcd, memory, redis";
    assert_eq!(text, format!("{place}{hint}"));
    let told = refused(&memory("{ name = \"default_tll\" }")).await;
    let (told, known) = told.split_once("? registered: ").unwrap();
    assert_eq!(
        told,
        "unknown wrapper `default_tll` in `default.database.kvstore.a.wrappers[0].name`; did you mean `default_ttl`"
    );
    let known: Vec<_> = known.split(", ").collect();
    assert!(known.contains(&"encrypt") && known.contains(&"key_resolver"));
}

#[tokio::test]
async fn case_154_unknown_fields_name_table_and_field() {
    let provider =
        "[default.database.kvstore.a]\nprovider = { backend = \"memory\", max_entry = 5 }";
    let text = refused(provider).await;
    let place = "unknown field `max_entry` in `default.database.kvstore.a.provider`; ";
    assert!(text.starts_with(place), "{text}");
    assert!(text.contains("max_entries"), "{text}");
    let ttl = "{ name = \"default_ttl\", config = { ttl = 5 } }";
    assert_eq!(
        refused(&memory(ttl)).await,
        "unknown field `ttl` in `default.database.kvstore.a.wrappers[0].config`; known fields: default_ttl, default_ttl_seconds"
    );
}

#[tokio::test]
async fn case_154_calls_meet_the_last_wrapper_first_and_no_disabled_one() {
    #[derive(Deserialize)]
    struct Tap {
        label: String,
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let (mut builder, seen) = recorder::builder(CapabilitySet::ALL);
    let entries = Arc::clone(&log);
    let tap = move |settings: Settings, _: &Instance| -> kv_core::Result<Arc<dyn Layer>> {
        let Tap { label } = settings.parse()?;
        let log = Arc::clone(&entries);
        let name = label.clone();
        Ok(Arc::new(layer_fn(name, move |request, next| {
            log.lock().unwrap().push(label.clone());
            next.call(request)
        })))
    };
    builder.wrapper("tap", tap).unwrap();
    let toml = r#"
        [default.database.kvstore.a]
        provider = { backend = "void" }
        wrappers = [
            { name = "recorder" },
            { name = "tap", config = { label = "inner" } },
            { name = "tap", enabled = false, config = { label = "disabled" } },
            { name = "tap", config = { label = "middle" } },
            { name = "tap", config = { label = "outer" } },
        ]
        "#;
    let kv = builder.toml(toml).build().unwrap().open("a").await.unwrap();
    assert_eq!(
        format!("{kv:?}"),
        "Kv(void > recorder > inner > middle > outer)"
    );
    kv.get("k").await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["outer", "middle", "inner"]);
    assert_eq!(seen.take().len(), 1);
}

#[tokio::test]
async fn case_154_an_impossible_order_is_refused_with_the_reason() {
    let text = refused(&memory(
        "{ name = \"key_resolver\" }, { name = \"key_resolver\" }",
    ))
    .await;
    assert!(
        text.contains("would put the prefix in front of every key twice"),
        "{text}"
    );
    let (kv, _) = stack(
        CapabilitySet::ALL,
        "{ name = \"key_resolver\", enabled = false }, { name = \"key_resolver\" }",
        "",
    )
    .await;
    assert_eq!(
        format!("{kv:?}"),
        "Kv(void > recorder > key_resolver(nala:[tenant]:cache))"
    );
}

#[derive(Debug, Deserialize)]
struct Login {
    user: String,
    password: String,
    port: u16,
    #[serde(default)]
    note: String,
}

const LOGIN: &str = r#"
[default.login]
user = "${KV_CASE_156_USER:-guest}"
password = "${KV_CASE_156_PASSWORD}"
port = "${KV_CASE_156_PORT:-6379}"
note = "costs $5, or $${KV_CASE_156_USER}"
"#;

#[test]
fn case_156_variables_present_missing_default_and_escaped() {
    let with = |set: &'static [(&str, &str)]| {
        let mut builder = Factory::builder();
        builder.toml(LOGIN).variables(move |name| {
            let found = set.iter().find(|(it, _)| *it == name)?;
            Some(found.1.to_owned())
        });
        builder.build().unwrap()
    };
    let login: Login = with(&[
        ("KV_CASE_156_PASSWORD", "s3cret"),
        ("KV_CASE_156_PORT", "7000"),
    ])
    .section("login")
    .unwrap();
    assert_eq!(login.user, "guest");
    assert_eq!(login.password, "s3cret");
    assert_eq!(login.port, 7000);
    assert_eq!(login.note, "costs $5, or ${KV_CASE_156_USER}");

    let error = with(&[]).section::<Login>("login").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "`default.login.password`: the variable `KV_CASE_156_PASSWORD` is not set; set it, or write `${KV_CASE_156_PASSWORD:-default}`"
    );

    let secret = with(&[
        ("KV_CASE_156_PASSWORD", "s3cret"),
        ("KV_CASE_156_PORT", "s3cret"),
    ]);
    let error = secret.section::<Login>("login").unwrap_err();
    let shown = format!(
        "{error} {error:?} {secret:?} {:?}",
        secret.settings("login").unwrap()
    );
    assert!(shown.contains("default.login.port"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn case_156_without_more_the_process_environment_is_asked() {
    let factory = Factory::from_str("[default.s]\npath = \"${PATH}\"").unwrap();
    let path: String = factory.section("s.path").unwrap();
    assert_eq!(path, std::env::var("PATH").unwrap());
}

#[tokio::test]
async fn case_157_urls_open_bare_stores_and_bad_schemes_list_the_known() {
    let factory = Factory::builder().build().unwrap();
    for url in ["memory://", "memory:", "memory://?max_entries=1"] {
        let kv = factory.open_url(url).await.unwrap();
        kv.set("k", "v").await.unwrap();
        assert_eq!(
            kv.set("l", "v").await.is_err(),
            url.ends_with("=1"),
            "{url}"
        );
        assert_eq!(format!("{kv:?}"), "Kv(memory)");
    }
    for (url, wanted) in [
        ("etdc://user:s3cret@h", "unknown URL scheme `etdc`; "),
        (
            "memory://?max_entry=s3cret",
            "unknown field `max_entry` in `memory: URL`; ",
        ),
        (
            "memory://?max_entries=s3cret",
            "`memory: URL.max_entries`: expected ",
        ),
        ("memory://:s3cret@", "the URL cannot be parsed "),
        ("memory://s3cret/", "a `memory:` URL has no host"),
        ("s3cret", "the URL cannot be parsed "),
    ] {
        let error = factory.open_url(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
        assert!(error.to_string().starts_with(wanted), "{url}: {error}");
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
    let error = factory.open_url("http://h").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown URL scheme `http`; known schemes: etcd, etcds, memory, redis, redis+unix, redis-cluster, rediss, rediss-cluster, unix, valkey, valkey+unix, valkey-cluster, valkeys, valkeys-cluster"
    );
}

#[tokio::test]
async fn case_157_credentials_are_decoded_for_the_server_and_shown_to_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("p@ss/w%rd") {
            let read = client.read_buf(&mut heard).await.unwrap();
            assert_ne!(read, 0, "no password in {}", heard.escape_ascii());
        }
        let refusal = b"-WRONGPASS invalid username-password pair\r\n";
        client.write_all(&refusal.repeat(8)).await.unwrap();
    });
    let factory = Factory::builder().build().unwrap();
    let url = format!("redis://ann:p%40ss%2Fw%25rd@127.0.0.1:{port}/0");
    let error = factory.open_url(&url).await.unwrap_err();
    server.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
    for secret in ["p@ss/w%rd", "p%40ss"] {
        assert!(!shown.contains(secret), "{shown}");
    }

    // The same through a table, now that nobody listens.
    let toml = format!(
        r#"
        [default.database.kvstore.a.provider]
        backend = "redis"
        uri = "redis://:${{PW}}@127.0.0.1:{port}"
        connect_timeout = "300ms"
        "#
    );
    let mut builder = Factory::builder();
    builder
        .toml(toml)
        .variables(|name| (name == "PW").then(|| "s3cret".to_owned()));
    let error = builder.build().unwrap().open("a").await.unwrap_err();
    assert_eq!(error.context("store"), Some("a"), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn every_file_in_config_is_valid_in_every_environment() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let files = fs::read_dir(&directory).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert!(
        files.iter().any(|path| path.ends_with("settings.toml")),
        "{files:?}"
    );
    for path in files {
        let load = |environment: &str| {
            let mut builder = Factory::builder();
            builder
                .file(&path)
                .environment(environment)
                .variables(|_| None);
            builder.build().unwrap()
        };
        for environment in load("default").environments() {
            let factory = load(environment);
            assert!(factory.names().next().is_some(), "{}", path.display());
            if let Err(error) = factory.validate() {
                panic!("{} in {environment}: {error}", path.display());
            }
        }
    }
}

//! The wrappers that shape what is written, as a configuration names them.

use super::{builder, factory, store};

/// The store's stack with these wrappers, or what opening it says.
async fn open(wrappers: &str) -> String {
    let toml = format!(
        "{}[default.database.kvstore.a]\nwrappers = [{wrappers}]",
        store("")
    );
    match factory(&toml).open("a").await {
        Ok(kv) => format!("{kv:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_stack_is_built_from_its_names() {
    assert_eq!(
        open(
            r#"{ name = "read_only" },
               { name = "size_limit", config = { max_value_bytes = 65536 } },
               { name = "ttl_clamp", config = { min = "1s", max = "1day", missing_ttl = "1h", jitter = 0.1 } }"#
        )
        .await,
        "Kv(null > read_only > size_limit(65536 bytes) > ttl_clamp(min 1s, max 86400s, missing 3600s, jitter 10%))"
    );
}

#[tokio::test]
async fn faults_are_told_with_their_place() {
    let table = "table: default.database.kvstore.a.wrappers[0].config";
    assert_eq!(
        open(r#"{ name = "size_limit", config = { max_value_bytes = 0 } }"#).await,
        format!("max_value_bytes must be at least 1; to refuse all writes use read_only; {table}")
    );
    assert_eq!(
        open(r#"{ name = "ttl_clamp" }"#).await,
        format!("ttl_clamp needs one of min, max, missing_ttl and jitter; {table}")
    );
    assert_eq!(
        open(r#"{ name = "ttl_clamp", config = { min = "0s" } }"#).await,
        format!(
            "min must be longer than zero and at most a thousand years; to do without it drop the setting; {table}"
        )
    );
    assert_eq!(
        open(r#"{ name = "read_only", config = { on = true } }"#).await,
        "unknown field `on` in `default.database.kvstore.a.wrappers[0].config`; known fields: none"
    );
}

#[cfg(not(all(feature = "compress", feature = "encrypt")))]
#[tokio::test]
async fn what_is_left_out_names_its_feature_and_may_be_disabled() {
    for name in ["compress", "encrypt"] {
        if crate::builtin::feature_of_wrapper(name).is_none() {
            continue;
        }
        assert_eq!(
            open(&format!("{{ name = \"{name}\" }}")).await,
            format!(
                "the wrapper `{name}` is not compiled in, but named in `default.database.kvstore.a.wrappers[0].name`; turn on the feature `{name}` of kv-factory, or disable the wrapper"
            )
        );
        let disabled = open(&format!("{{ name = \"{name}\", enabled = false }}")).await;
        assert_eq!(disabled, "Kv(null)");
        let whole = format!(
            "{}[default.database.kvstore.a]\nenabled = false\nwrappers = [{{ name = \"{name}\" }}]",
            store("")
        );
        factory(&whole).validate().unwrap();
    }
}

#[cfg(feature = "compress")]
#[tokio::test]
async fn compression_is_named_and_checked() {
    assert_eq!(
        open(r#"{ name = "compress" }"#).await,
        "Kv(null > compress(zstd from 1024 bytes))"
    );
    let config = r#"{ algorithm = "lz4", threshold_bytes = 512, max_unpacked_bytes = 1048576, legacy = "read" }"#;
    assert_eq!(
        open(&format!("{{ name = \"compress\", config = {config} }}")).await,
        "Kv(null > compress(lz4 from 512 bytes, legacy values read))"
    );
    assert_eq!(
        open(r#"{ name = "compress", config = { level = 40 } }"#).await,
        "zstd has no level 40; choose one from 1 to 22, or a negative one down to -131072 that is faster still; table: default.database.kvstore.a.wrappers[0].config"
    );
    assert_eq!(
        open(r#"{ name = "compress", config = { algorithm = "gzip" } }"#).await,
        "`default.database.kvstore.a.wrappers[0].config.algorithm`: expected one of: zstd, lz4"
    );
}

#[cfg(feature = "encrypt")]
#[tokio::test]
async fn encryption_keys_come_from_variables_and_files_and_are_never_shown() {
    let (old, new) = ("BwcH".repeat(10) + "Bwc=", "CQkJ".repeat(10) + "CQk=");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, format!("{new}\n")).unwrap();
    let open = async |keys: &str| {
        let config = format!(
            "{{ primary = \"new\", plain_values = \"read\", integers = \"plain\", keys = {keys} }}"
        );
        let toml = format!(
            "{}[default.database.kvstore.a]\nwrappers = [{{ name = \"encrypt\", config = {config} }}]",
            store("")
        );
        let mut builder = builder().0;
        let old = old.clone();
        builder.toml(toml).variables(move |name| match name {
            "OLD" => Some(old.clone()),
            "SHORT" => Some("c2hvcnQ=".to_owned()),
            _ => None,
        });
        let factory = builder.build().unwrap();
        match factory.open("a").await {
            Ok(kv) => format!("{kv:?} {factory:?}"),
            Err(error) => format!("{error} {error:?}"),
        }
    };
    let file = file.display();
    let good = open(&format!(
        "{{ old = \"${{OLD}}\", new = \"${{file:{file}}}\" }}"
    ))
    .await;
    assert_eq!(
        good,
        "Kv(null > encrypt(new of 2, plain values read, integers plain)) Factory(a)"
    );
    let place = "default.database.kvstore.a.wrappers[0].config";
    for (keys, told) in [
        (
            "{ new = \"${SHORT}\" }".to_owned(),
            format!(
                "`{place}.keys.new`: expected 32 bytes in base64, as `openssl rand -base64 32` prints, found something else that is not one; the value is not shown"
            ),
        ),
        (
            "{ new = 5 }".to_owned(),
            format!(
                "`{place}.keys.new`: expected 32 bytes in base64, as `openssl rand -base64 32` prints, found an integer"
            ),
        ),
        (
            "{ new = \"${NONE}\" }".to_owned(),
            format!("`{place}.keys.new`: "),
        ),
        (
            "{ old = \"${OLD}\" }".to_owned(),
            "primary names no key of the ring; `keys` has: old".to_owned(),
        ),
        (
            "{ old = \"${OLD}\", new = \"${OLD}\" }".to_owned(),
            "the keys `new` and `old` are the same".to_owned(),
        ),
    ] {
        let text = open(&keys).await;
        assert!(text.starts_with(&told), "{text}");
        for secret in [&*old, &*new, "c2hvcnQ"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

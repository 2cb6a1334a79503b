//! Errors as text: they are what a person at a broken deployment has.

use super::{builder, factory, store};
use kv_core::{ErrorKind, Outcome};
use serde::{Deserialize, de};

/// What opening the store `a` says.
async fn open(toml: &str) -> String {
    let error = factory(toml).open("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert_eq!(error.outcome(), Outcome::Final, "{error:?}");
    error.to_string()
}

/// What building from this text says.
fn build(toml: &str) -> String {
    let error = builder().0.toml(toml).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn names_that_nobody_knows() {
    let provider = "[default.database.kvstore.a.provider]\nbackend = \"nul\"";
    let registered = registered(&["null"]);
    assert_eq!(
        open(provider).await,
        format!(
            "unknown provider `nul` in `default.database.kvstore.a.provider.backend`; did you mean `null`? registered: {registered}"
        )
    );
    let wrapper = store("[[default.database.kvstore.a.wrappers]]\nname = \"key_resolve\"");
    let told = open(&wrapper).await;
    let (told, known) = told.split_once("? registered: ").unwrap();
    assert_eq!(
        told,
        "unknown wrapper `key_resolve` in `default.database.kvstore.a.wrappers[0].name`; did you mean `key_resolver`"
    );
    let known: Vec<_> = known.split(", ").collect();
    assert!(known.is_sorted() && known.contains(&"mark") && known.contains(&"timeout"));
    let error = factory(&store("")).open("b").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no store `b`; did you mean `a`? configured: a"
    );
}

fn registered<'a>(more: &[&'a str]) -> String {
    let mut names: Vec<&'a str> = more.to_vec();
    names.extend(cfg!(feature = "etcd").then_some("etcd"));
    names.extend(cfg!(feature = "memory").then_some("memory"));
    names.extend(cfg!(feature = "redis").then_some("redis"));
    names.sort_unstable();
    names.join(", ")
}

#[tokio::test]
async fn fields_that_nobody_knows() {
    assert_eq!(
        open(&store("hots = \"x\"")).await,
        "unknown field `hots` in `default.database.kvstore.a.provider`; did you mean `host`? known fields: broken, host, password, port"
    );
    assert_eq!(
        open(&store("[default.database.kvstore.a.wrapper]")).await,
        "unknown field `wrapper` in `default.database.kvstore.a`; did you mean `wrappers`? known fields: enabled, namespace, provider, wrappers"
    );
    let entry = "[[default.database.kvstore.a.wrappers]]\nname = \"key_resolver\"";
    assert_eq!(
        open(&store(&format!("{entry}\nnamespace = \"x\""))).await,
        "unknown field `namespace` in `default.database.kvstore.a.wrappers[0]`; known fields: config, enabled, name"
    );
    assert_eq!(
        open(&store(&format!(
            "{entry}\nconfig = {{ seperator = \"/\" }}"
        )))
        .await,
        "unknown field `seperator` in `default.database.kvstore.a.wrappers[0].config`; did you mean `separator`? known fields: multi_tenancy_enabled, namespace, require_tenant, separator, static_prefix, use_user_uid"
    );
    assert_eq!(
        open(&store(&format!(
            "{entry}\n[default.context]\ntenancy = true"
        )))
        .await,
        "unknown field `tenancy` in `default.context`; known fields: multi_tenancy_enabled, namespace, require_tenant, separator, static_prefix, use_user_uid"
    );
}

#[test]
fn an_error_names_the_environment_the_field_was_written_in() {
    let toml = store("") + "[production.database.kvstore.a.provider]\nprot = 1";
    let factory = builder().0.toml(toml).environment("production").build();
    let error = factory.unwrap().validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown field `prot` in `production.database.kvstore.a.provider`; did you mean `port`? known fields: broken, host, password, port"
    );
}

#[tokio::test]
async fn missing_and_mistyped_fields() {
    assert_eq!(
        open("[default.database.kvstore.a]").await,
        "missing `provider` in `default.database.kvstore.a`; add a table with the `backend`"
    );
    assert_eq!(
        open("[default.database.kvstore.a.provider]\nbackend = \"null\"").await,
        "missing field `host` in `default.database.kvstore.a.provider`; add it"
    );
    assert_eq!(
        open(&store("port = \"70\"")).await,
        "`default.database.kvstore.a.provider.port`: expected u16, found a string"
    );
    assert_eq!(
        open(&store("port = 70000")).await,
        "`default.database.kvstore.a.provider.port`: expected u16, found an integer that is not one; the value is not shown"
    );
    assert_eq!(
        open(&store("port = \"${WORD}\"")).await,
        "`default.database.kvstore.a.provider.port`: expected u16, found a string"
    );
    assert_eq!(
        open("[default.database.kvstore]\na = 1").await,
        "`default.database.kvstore.a`: expected a table, found an integer"
    );
    assert_eq!(
        open(&store(
            "[default.database.kvstore.a.wrappers]\nname = \"mark\""
        ))
        .await,
        "`default.database.kvstore.a.wrappers`: expected a list, found a table"
    );
}

#[tokio::test]
async fn a_missing_variable_says_where_and_what_to_do() {
    assert_eq!(
        open(&store("password = \"${KV_PASSWORD}\"")).await,
        "`default.database.kvstore.a.provider.password`: the variable `KV_PASSWORD` is not set; set it, or write `${KV_PASSWORD:-default}`"
    );
    assert_eq!(
        open(&store("password = \"${KV_PASSWORD\"")).await,
        "`default.database.kvstore.a.provider.password`: a `${` is never closed; write `$${` for a literal `${`"
    );
    assert_eq!(
        open(&store("password = \"${file:/no/such}\"")).await,
        "`default.database.kvstore.a.provider.password`: the file `/no/such` cannot be read (entity not found); create it, or correct the path"
    );
}

#[tokio::test]
async fn wrappers_that_cannot_work() {
    let twice = |name: &str, config: &str| {
        let entry = format!("[[default.database.kvstore.a.wrappers]]\nname = \"{name}\"\n{config}");
        store(&format!("{entry}\n{entry}"))
    };
    assert_eq!(
        open(&twice("key_resolver", "")).await,
        "`default.database.kvstore.a.wrappers[0]`: `key_resolver` stands in the stack twice and would put the prefix in front of every key twice; the stack from the provider outwards: key_resolver, key_resolver"
    );
    assert_eq!(
        open(&twice("default_ttl", "config = { default_ttl = \"1h\" }")).await,
        "`default.database.kvstore.a.wrappers[0]`: `default_ttl` stands in the stack twice and would never act, since the outer one fills in every ttl before it; the stack from the provider outwards: default_ttl, default_ttl"
    );
    assert_eq!(
        factory(&twice("mark", ""))
            .validate()
            .err()
            .map(|it| it.to_string()),
        None
    );
}

#[tokio::test]
async fn default_ttl_takes_exactly_one_span() {
    let with = |config: &str| {
        store(&format!(
            "[[default.database.kvstore.a.wrappers]]\nname = \"default_ttl\"\nconfig = {{ {config} }}"
        ))
    };
    for good in [
        "default_ttl_seconds = 3600",
        "default_ttl_seconds = 0.25",
        "default_ttl_seconds = \"${PORT}\"",
        "default_ttl = \"1h\"",
    ] {
        factory(&with(good)).open("a").await.unwrap();
    }
    let table = "default.database.kvstore.a.wrappers[0].config";
    for (bad, wanted) in [
        (
            "",
            format!(
                "default_ttl needs one of `default_ttl_seconds = 3600` and `default_ttl = \"1h\"`; table: {table}"
            ),
        ),
        (
            "default_ttl_seconds = 1, default_ttl = \"1s\"",
            format!(
                "default_ttl_seconds and default_ttl say the same thing twice; keep one; table: {table}"
            ),
        ),
        (
            "default_ttl_seconds = -1",
            format!(
                "default_ttl_seconds must be a number of seconds above zero and below a thousand years; table: {table}"
            ),
        ),
        (
            "default_ttl_seconds = 0",
            format!(
                "`{table}`: a ttl must be longer than zero; to remove a key use delete, to keep it for ever Ttl::Never"
            ),
        ),
        (
            "default_ttl = \"soon\"",
            format!(
                "`{table}.default_ttl`: expected a duration, found a string that is not one; the value is not shown"
            ),
        ),
    ] {
        assert_eq!(open(&with(bad)).await, wanted, "{bad}");
    }
}

#[test]
fn what_stands_in_the_wrong_place() {
    assert_eq!(
        build("x = 1"),
        "the field `x` in the configuration stands outside of any environment; put it below `[default]`"
    );
    assert_eq!(
        build("[default.contxt]\nmulti_tenancy_enabled = true"),
        "`default.contxt`: this section looks like `context` misspelt; correct it, or rename it"
    );
    assert_eq!(
        build("[default.databse.kvstore.a]"),
        "`default.databse`: this section looks like `database` misspelt; correct it, or rename it"
    );
    factory("[default.content]\nlanguage = \"en\"");
    assert_eq!(
        build("[default.database.kvstores]"),
        "unknown field `kvstores` in `default.database`; did you mean `kvstore`? known fields: kvstore"
    );
    assert_eq!(
        build("[production.x]\n[staging.x]"),
        "there is no environment `default` (it is used where `KV_ENV` is not set); present: production, staging"
    );
    let mut builder = builder().0;
    builder
        .toml("[default.x]\n[production.x]")
        .environment("prodction");
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "there is no environment `prodction` (it was asked for by name); did you mean `production`? present: default, production"
    );
    assert_eq!(
        builder
            .clone()
            .file("/no/such.toml")
            .build()
            .unwrap_err()
            .to_string(),
        "the configuration `/no/such.toml` cannot be read (entity not found)"
    );
}

#[test]
fn a_syntax_error_names_the_line_and_does_not_quote_it() {
    let text = build("[default.a]\n\npassword = hunter2\n");
    assert!(
        text.starts_with("the configuration, line 3: not valid TOML: "),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn validate_tells_all_faults_at_once() {
    let toml = store("port = \"x\"")
        + "[default.database.kvstore.b.provider]\nbackend = \"null\"\n[default.s]\nx = \"${\"";
    assert_eq!(
        factory(&toml).validate().unwrap_err().to_string(),
        "3 faults: (1) `default.database.kvstore.a.provider.port`: expected u16, found a string; (2) `default.s.x`: a `${` is never closed; write `$${` for a literal `${`; (3) missing field `host` in `default.database.kvstore.b.provider`; add it"
    );
}

/// Refuses every text and quotes it as Rust would.
#[derive(Debug)]
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(de::Error::custom(format!("bad token {text:?}")))
    }
}

#[test]
fn a_types_own_words_are_not_passed_on() {
    #[derive(Debug, Deserialize)]
    struct S {
        #[expect(dead_code, reason = "never made")]
        x: Picky,
    }
    for value in ["\"hunter2\"", "\"${WORD}\"", "'${ESCAPED}'"] {
        let mut builder = builder().0;
        builder.toml(format!("[default.s]\nx = {value}"));
        builder.variables(|name| match name {
            "WORD" => Some("hunter2".to_owned()),
            "ESCAPED" => Some("\"hunter2\\".to_owned()),
            _ => None,
        });
        let error = builder.build().unwrap().section::<S>("s").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`default.s.x`: the value is refused by its type; it is not shown here"
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

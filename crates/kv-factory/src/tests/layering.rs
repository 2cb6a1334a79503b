use super::{builder, factory};
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
struct Limits {
    burst: u32,
    rate: f64,
    names: Vec<String>,
    mode: Mode,
    nested: Option<Nested>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Nested {
    on: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Strict,
    Lax { slack: u8 },
}

const LIMITS: &str = r#"
[default.limits.policies]
burst = 5
rate = 1
names = ["a", "b"]
mode = "strict"
nested = { on = true }

[production.limits.policies]
burst = "${PORT}"
rate = "${RATE:-0.5}"
names = ["c"]
mode = { lax = { slack = 3 } }
nested = { on = "${ON:-false}" }
"#;

#[test]
fn the_environment_lies_over_the_default_field_by_field() {
    let section = |environment: &str| {
        let mut builder = builder().0;
        let factory = builder
            .toml(LIMITS)
            .environment(environment)
            .build()
            .unwrap();
        assert_eq!(factory.environment(), environment);
        factory.section::<Limits>("limits.policies").unwrap()
    };
    assert_eq!(
        section("default"),
        Limits {
            burst: 5,
            rate: 1.0,
            names: vec!["a".to_owned(), "b".to_owned()],
            mode: Mode::Strict,
            nested: Some(Nested { on: true }),
        }
    );
    assert_eq!(
        section("production"),
        Limits {
            burst: 70,
            rate: 0.5,
            names: vec!["c".to_owned()],
            mode: Mode::Lax { slack: 3 },
            nested: Some(Nested { on: false }),
        }
    );
}

#[test]
fn the_variable_chooses_the_environment_and_a_name_wins_over_it() {
    let toml = "[default.s]\nx = 1\n[production.s]\nx = 2\n[staging.s]\nx = 3";
    let mut builder = builder().0;
    builder.toml(toml).variables(|name| {
        assert_eq!(name, "KV_ENV");
        Some("production".to_owned())
    });
    assert_eq!(builder.build().unwrap().environment(), "production");
    builder.environment("staging");
    let factory = builder.build().unwrap();
    assert_eq!(factory.environment(), "staging");
    assert_eq!(factory.environments(), ["default", "production", "staging"]);
}

#[test]
fn later_sources_lie_over_earlier_ones() {
    #[derive(Deserialize)]
    struct S {
        x: u8,
        y: u8,
    }
    let mut builder = builder().0;
    builder
        .toml("[default.s]\nx = 1\ny = 1")
        .toml("[default.s]\ny = 2");
    let s: S = builder.build().unwrap().section("s").unwrap();
    assert_eq!((s.x, s.y), (1, 2));
}

#[test]
fn text_stays_text_even_if_it_looks_like_a_number() {
    #[derive(Deserialize)]
    struct S {
        password: String,
        maybe: Option<String>,
    }
    let toml = "[default.s]\npassword = \"${PORT}\"\nmaybe = \"$${PORT}\"";
    let s: S = factory(toml).section("s").unwrap();
    assert_eq!(s.password, "70");
    assert_eq!(s.maybe.as_deref(), Some("${PORT}"));
}

#[test]
fn other_names_of_a_field_are_known_too() {
    #[derive(Deserialize)]
    struct S {
        #[serde(alias = "timeout_ms")]
        timeout: u8,
    }
    let s: S = factory("[default.s]\ntimeout_ms = 4").section("s").unwrap();
    assert_eq!(s.timeout, 4);
}

#[test]
fn a_missing_section_is_told_from_a_faulty_one() {
    let factory = factory("[default.scheduler]\nx = 1\n[default.cache.sessions]\nx = 1");
    assert_eq!(factory.find_section::<u8>("lock").unwrap(), None);
    assert!(factory.find_section::<u8>("scheduler").is_err());
    let text = |name: &str| factory.section::<u8>(name).unwrap_err().to_string();
    assert_eq!(
        text("schedular"),
        "there is no section `schedular` in `default`; did you mean `scheduler`? present: cache, scheduler"
    );
    assert_eq!(
        text("cache.users"),
        "there is no section `cache.users` in `default.cache`; present: sessions"
    );
}

#[tokio::test]
async fn stores_that_share_a_server_lay_out_their_keys_alike() {
    let check = async |host: &str, config: &str| {
        let entry = |name: &str, host: &str, config: &str| {
            format!(
                "[default.database.kvstore.{name}]\nprovider = {{ backend = \"null\", host = \"{host}\", password = \"{name}\" }}\nwrappers = [{{ name = \"key_resolver\", config = {{ {config} }} }}]\n"
            )
        };
        let factory = factory(&(entry("a", "h", "") + &entry("b", host, config)));
        let told = factory.validate().err().map(|it| it.to_string());
        for name in ["a", "b"] {
            let opened = factory.open(name).await.err().map(|it| it.to_string());
            assert_eq!(opened, told);
        }
        told
    };
    for (field, config) in [
        ("separator", "separator = \"/\""),
        ("multi_tenancy_enabled", "multi_tenancy_enabled = false"),
        ("use_user_uid", "use_user_uid = true"),
    ] {
        let wanted = format!(
            "`default.database.kvstore.a.wrappers[0]` and `default.database.kvstore.b.wrappers[0]` differ in `{field}` on the same server below the same static_prefix, so their keys could meet; give both the same, or each its own static_prefix"
        );
        assert_eq!(check("h", config).await, Some(wanted));
        assert_eq!(check("elsewhere", config).await, None);
        let own = format!("static_prefix = \"own\", {config}");
        assert_eq!(check("h", &own).await, None);
    }
    assert_eq!(check("h", "multi_tenancy_enabled = true").await, None);
    assert_eq!(check("h", "namespace = \"x\"").await, None);
}

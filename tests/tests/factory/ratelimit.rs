//! The section of rate limits.

use kv_factory::Factory;
use kv_ratelimit::{RateLimitSettings, RateLimiter};
use std::path::Path;

const STORE: &str = r#"
[default.database.kvstore.limits]
provider = { backend = "memory" }
wrappers = [{ name = "key_resolver" }]
"#;

#[tokio::test]
async fn limits_are_as_the_section_says() {
    let section = "[default.ratelimit]\nstore = \"limits\"\n\
         [default.ratelimit.policies]\nlogin = \"${LOGIN:-2/h}\"\n\
         api = { quota = \"1/h\", shadow = true, allow = [\"internal:*\"] }\n";
    let factory = Factory::from_str(&format!("{STORE}{section}")).unwrap();
    let settings: RateLimitSettings = factory.section("ratelimit").unwrap();
    let kv = factory.open(settings.store.as_deref().unwrap());
    let kv = kv.await.unwrap();
    let limiter = RateLimiter::from_settings(&kv, &settings).unwrap();
    for allowed in [true, true, false] {
        let decision = limiter.check("login", "ann").await.unwrap();
        assert_eq!(decision.is_allowed(), allowed);
    }
    // What is only tried out passes.
    for _ in 0..2 {
        assert!(limiter.check("api", "ann").await.unwrap().is_allowed());
    }
    let names = limiter.policies();
    let names: Vec<_> = names.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["api", "login"]);
}

#[test]
fn a_fault_names_its_place_and_what_helps() {
    for (section, place, remedy) in [
        ("polices = {}", "polices", "policies"),
        ("local_capacity = 0", "ratelimit.local_capacity", ""),
        ("policies.login = 5", "ratelimit.policies.login", "quota"),
        (
            "policies.login = { tier = \"auto\" }",
            "ratelimit.policies.login",
            "quota",
        ),
        (
            "policies.login = { quota = \"1/s\", deadline = 5 }",
            "ratelimit.policies.login.deadline",
            "duration",
        ),
        (
            "policies.login = { quota = \"1/s\", teir = \"auto\" }",
            "ratelimit.policies.login",
            "tier",
        ),
        (
            "policies.login = { quota = \"1/s\", tier = \"fast\" }",
            "ratelimit.policies.login.tier",
            "in_process",
        ),
    ] {
        let factory = Factory::from_str(&format!("[default.ratelimit]\n{section}")).unwrap();
        let error = factory.section::<RateLimitSettings>("ratelimit");
        let error = error.unwrap_err().to_string();
        assert!(error.contains(place) && error.contains(remedy), "{error}");
    }
    let section = "[default.ratelimit.policies]\nlogin = \"often\"";
    let factory = Factory::from_str(section).unwrap();
    let settings: RateLimitSettings = factory.section("ratelimit").unwrap();
    let error = settings.policies().unwrap_err().to_string();
    assert!(
        error.contains("`login`") && error.contains("100/min burst 20"),
        "{error}"
    );
}

#[test]
fn the_sample_has_policies_that_make_sense() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::from_file(path).unwrap();
    let settings: RateLimitSettings = factory.section("ratelimit").unwrap();
    assert_eq!(settings.store.as_deref(), Some("default_redis"));
    let policies = settings.policies().unwrap();
    let quotas: Vec<_> = policies.values().map(|it| it.quota().to_string()).collect();
    assert_eq!(
        quotas,
        [
            "100/1s burst 200",
            "5/1m burst 2",
            "100000/month calendar UTC"
        ]
    );
}

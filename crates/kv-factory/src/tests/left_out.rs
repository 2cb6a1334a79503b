//! Settings that name a provider which this build leaves out.

use super::factory;
use kv_core::ErrorKind;

const ETCD: &str = "[default.database.kvstore.a.provider]\nbackend = \"etcd\"";

#[tokio::test]
async fn it_names_its_feature() {
    let url = factory("").open_url("etcd://h:1,h:2").await.unwrap_err();
    let open = factory(ETCD).open("a").await.unwrap_err();
    let validate = factory(ETCD).validate().unwrap_err();
    for told in [open, url, validate] {
        assert_eq!(told.kind(), ErrorKind::Config, "{told:?}");
        let told = told.to_string();
        assert!(
            told.starts_with("the provider `etcd` ") && told.contains("the feature `etcd`"),
            "{told}"
        );
    }
}

#[test]
fn a_disabled_store_needs_no_provider() {
    let disabled = format!("[default.database.kvstore.a]\nenabled = false\n{ETCD}");
    factory(&disabled).validate().unwrap();
    // One that nobody knows is a slip of the pen, disabled or not.
    let unknown = disabled.replace("etcd", "etdc");
    factory(&unknown).validate().unwrap_err();
}

#[cfg(all(feature = "memory", feature = "redis"))]
#[tokio::test]
async fn the_stores_beside_it_are_well() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/settings.toml");
    let sample = std::fs::read_to_string(sample).unwrap();
    for environment in ["default", "production"] {
        let mut builder = super::builder().0;
        builder.toml(&sample).environment(environment);
        let factory = builder.variables(|_| None).build().unwrap();
        for name in ["default_local", "default_redis"] {
            factory.validate_store(name).unwrap();
        }
        factory.open("default_local").await.unwrap();
        // All of them are not: one of them cannot be opened, and that is all that is wrong.
        let store = factory.validate_store("default_etcd").unwrap_err();
        let all = factory.validate().unwrap_err();
        assert_eq!(all.to_string(), store.to_string());
        let place = "`default.database.kvstore.default_etcd.provider.backend`";
        for word in ["`etcd`", place, "disable the store"] {
            assert!(all.to_string().contains(word), "{all}");
        }
        let opened = factory.open_all().await.map(drop);
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Config);
        factory.close_all().await;
    }
    let missing = factory(&sample).validate_store("default_etdc").unwrap_err();
    assert!(missing.to_string().contains("did you mean `default_etcd`"));
}

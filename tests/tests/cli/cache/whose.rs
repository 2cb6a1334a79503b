//! Which store's entries it is about, and whose.

use super::*;

/// What programs have there that cannot reach the first one goes as well.
#[tokio::test]
async fn entries_go_from_the_second_store_too() {
    let site = Site::redis();
    let mut text = std::fs::read_to_string(&site.path).unwrap();
    let other = Redis::start();
    let url = other.url();
    text += &format!(
        "[default.database.kvstore.second]\nprovider = {{ backend = \"redis\", uri = \"{url}\", \
         connect_timeout = \"1m\", response_timeout = \"1m\" }}\n\
         wrappers = [{{ name = \"key_resolver\" }}]\n\
         [default.cache.\"a.b\".fallback]\nstore = \"second\"\nlife = \"1h\"\n"
    );
    std::fs::write(&site.path, text).unwrap();
    let kv = site.store().await;
    let second = Factory::from_file(&site.path).unwrap();
    let second = second.open("second").await.unwrap();
    let prices = || {
        let ann = Context::tenant("ann");
        let (kv, second) = (kv.bind(ann.clone()), second.bind(ann));
        Prices::from_settings_with_fallback("a.b", &kv, &second, &site.settings()).unwrap()
    };
    kv.close().await;
    for (key, command) in [
        ("k", "rm a.b k"),
        ("l", "rm-tag a.b fruit"),
        ("m", "clear a.b"),
    ] {
        // One that has not seen the tags before they change.
        let loader = prices().tagged(["fruit"]).unwrap();
        let load = loader.cached(key, async { Ok::<u32, &str>(1) });
        assert_eq!(*load.await.unwrap(), 1);
        loader.idle().await;
        let shown = prices().get(key).await.unwrap();
        assert_eq!(shown.as_deref(), Some(&1), "{key}");
        let answer = site.kv(&format!("{command} --tenant ann")).await;
        assert_eq!((answer.exit, &*answer.err), (Exit::Found, ""), "{command}");
        assert!(prices().get(key).await.is_err(), "{command}");
    }
    second.close().await;

    // One that cannot be opened keeps nobody from the first.
    drop(other);
    let removed = site.kv("rm a.b k --tenant ann").await;
    assert_eq!(removed.exit, Exit::Found);
    assert!(removed.err.contains("fallback"), "{}", removed.err);
}

/// Who forgets the tenant is told what it is about.
#[tokio::test]
async fn without_a_tenant_it_is_about_entries_of_none() {
    let site = Site::redis();
    // A tenant counts where there is one.
    let text = std::fs::read_to_string(&site.path).unwrap();
    let text = text.replace("multi_tenancy_enabled = true\n", "");
    std::fs::write(&site.path, text).unwrap();
    let ann = site.prices("ann").await;
    ann.set("k", 1).await.unwrap();
    let cleared = site.kv("clear a.b").await;
    assert_eq!(cleared.exit, Exit::Found);
    assert!(cleared.err.contains("--tenant"), "{}", cleared.err);
    assert!(ann.get("k").await.unwrap().is_some());
}

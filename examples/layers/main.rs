//! A stack of layers without TOML, one of them written here, and two tenants who never meet.
//!
//! ```text
//! cargo run --example layers
//! ```

use futures_util::TryStreamExt;
use kv_core::{Codec, Context, Kv, When, layer_fn};
use kv_memory::MemoryStore;
use kv_wrappers::{DefaultTtl, KeyResolver, KeySettings};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    visits: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kv_core::Result<()> {
    // A layer of our own: tells which commands failed, and never sees more than it asks for.
    let tell_failures = layer_fn("tell_failures", |request, next| {
        Box::pin(async move {
            let name = request.command.spec().name;
            let reply = next.call(request).await;
            if let Err(error) = &reply {
                println!("{name} failed: {error}");
            }
            reply
        })
    });
    let settings = KeySettings {
        namespace: "profiles".to_owned(),
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let kv = Kv::builder(MemoryStore::default())
        .layer(DefaultTtl::new(Duration::from_secs(3600))?)
        .layer(KeyResolver::new(settings)?)
        .layer(tell_failures)
        .connect()
        .await?
        .with_codec(Codec::MESSAGE_PACK);
    println!("{kv:?}");

    let acme = kv.bind(Context::tenant("acme"));
    let globex = kv.bind(Context::tenant("globex"));
    let ann = Profile {
        name: "Ann".to_owned(),
        visits: 1,
    };
    acme.set_as("ann", &ann).await?;
    println!(
        "acme's   {:?} lies at {}",
        acme.get_as::<Profile>("ann").await?,
        acme.resolve("ann")?
    );
    println!(
        "globex's {:?} would lie at {}",
        globex.get_as::<Profile>("ann").await?,
        globex.resolve("ann")?
    );

    // Compare and set: of two writers who read the same, one wins.
    acme.set("motto", "move fast").await?;
    let seen = || When::IfValue("move fast".into());
    let first = acme.set_with("motto", "move carefully", seen()).await?;
    let second = acme.set_with("motto", "move faster", seen()).await?;
    println!(
        "first applied: {}, second applied: {}",
        first.applied, second.applied
    );

    let keys: Vec<_> = acme.scan("").try_collect().await?;
    let names: Vec<_> = keys.iter().map(ToString::to_string).collect();
    println!(
        "acme's keys: {names:?}; globex deletes {} of them",
        globex.clear().await?
    );

    // Every call needs a tenant here; this one has none, and our layer tells.
    assert!(kv.get("ann").await.is_err());
    kv.close().await;
    Ok(())
}

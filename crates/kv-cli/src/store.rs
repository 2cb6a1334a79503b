//! Opens the store that was asked for.

use crate::{args::StoreArgs, exit::Failure, output::Output};
use kv_cache::{CacheSettings, CachesSettings};
use kv_core::{Context, ErrorKind, Kv};
use kv_factory::Factory;
use kv_lock::LockSettings;
use kv_ratelimit::RateLimitSettings;
use kv_scheduler::SchedulerSettings;
use std::{env, path::PathBuf};

/// Where the configuration is unless told.
const USUAL_CONFIG: &str = "config/settings.toml";

pub(crate) async fn open(choice: &StoreArgs, out: &mut Output<'_>) -> Result<Kv, Failure> {
    let kv = match &choice.url {
        Some(url) => bare(url).await?,
        None => configured(choice, &factory(choice)?, None).await?,
    };
    Ok(ready(kv, choice, out))
}

/// The store of a scheduler, and what the configuration says of it.
pub(crate) async fn open_scheduler(
    choice: &StoreArgs,
    out: &mut Output<'_>,
) -> Result<(Kv, SchedulerSettings), Failure> {
    let (kv, settings) = match &choice.url {
        Some(url) => (bare(url).await?, SchedulerSettings::default()),
        None => {
            let factory = factory(choice)?;
            let settings = factory.find_section::<SchedulerSettings>("scheduler")?;
            let settings = settings.unwrap_or_default();
            let usual = settings.store.as_deref();
            (configured(choice, &factory, usual).await?, settings)
        }
    };
    Ok((ready(kv, choice, out), settings))
}

/// The store that locks are on. What else the configuration says of them is for who acquires them.
pub(crate) async fn open_locks(choice: &StoreArgs, out: &mut Output<'_>) -> Result<Kv, Failure> {
    let kv = match &choice.url {
        Some(url) => bare(url).await?,
        None => {
            let factory = factory(choice)?;
            let settings = factory.find_section::<LockSettings>("lock")?;
            let usual = settings.and_then(|it| it.store);
            configured(choice, &factory, usual.as_deref()).await?
        }
    };
    Ok(ready(kv, choice, out))
}

/// What the configuration says of rate limits; a bare store has no policies.
pub(crate) fn limit_settings(choice: &StoreArgs) -> Result<(Factory, RateLimitSettings), Failure> {
    if choice.url.is_some() {
        return Err(Failure::Usage(
            "policies of rate limits are in a configuration; name it with --config, and the store with --store"
                .to_owned(),
        ));
    }
    let factory = factory(choice)?;
    let settings = factory.find_section::<RateLimitSettings>("ratelimit")?;
    let settings = settings.ok_or_else(|| {
        Failure::Usage(
            "the configuration has no rate limits; add a table [default.ratelimit.policies]"
                .to_owned(),
        )
    })?;
    Ok((factory, settings))
}

/// The store that limits are on.
pub(crate) async fn open_limits(
    choice: &StoreArgs,
    factory: &Factory,
    settings: &RateLimitSettings,
    out: &mut Output<'_>,
) -> Result<Kv, Failure> {
    let kv = configured(choice, factory, settings.store.as_deref()).await?;
    Ok(ready(kv, choice, out))
}

/// What a cache is on, and what the configuration says of it.
pub(crate) struct CacheStores {
    pub(crate) kv: Kv,
    /// The second store, if the configuration names one.
    pub(crate) fallback: Option<Kv>,
    pub(crate) settings: CacheSettings,
}

impl CacheStores {
    pub(crate) async fn close(&self) {
        self.kv.close().await;
        if let Some(fallback) = &self.fallback {
            fallback.close().await;
        }
    }
}

/// The stores that a cache is on. One that is told stands alone.
pub(crate) async fn open_cache(
    choice: &StoreArgs,
    cache: &str,
    out: &mut Output<'_>,
) -> Result<CacheStores, Failure> {
    if let Some(url) = &choice.url {
        return Ok(CacheStores {
            kv: ready(bare(url).await?, choice, out),
            fallback: None,
            settings: CacheSettings::default(),
        });
    }
    let factory = factory(choice)?;
    let caches = factory.find_section::<CachesSettings>("cache")?;
    let section = caches.and_then(|mut it| it.0.remove(cache));
    let is_told = choice.store.is_some() || env::var_os("KV_STORE").is_some();
    if !is_told && section.as_ref().is_some_and(|it| it.store.is_none()) {
        return Err(Failure::Usage(format!(
            "by its section the cache `{cache}` is on no store: each process has entries of its own; \
             if programs have it on one, name it with --store"
        )));
    }
    let settings = section.unwrap_or_default();
    let kv = configured(choice, &factory, settings.store.as_deref()).await?;
    if context(choice).is_none() && keeps_tenants_apart(&kv) {
        out.note("note: without --tenant it is about entries that are no tenant's");
    }
    let fallback = match &settings.fallback {
        Some(fallback) if !is_told => match factory.open(&fallback.store).await {
            Ok(kv) => Some(kv),
            Err(error) if error.kind() == ErrorKind::Config => return Err(error.into()),
            Err(error) => {
                // What is there ends soon; the first one is what counts.
                out.note(&format!(
                    "note: the fallback of the cache is left out: {error}"
                ));
                None
            }
        },
        _ => None,
    };
    Ok(CacheStores {
        kv: ready(kv, choice, out),
        fallback,
        settings,
    })
}

fn keeps_tenants_apart(kv: &Kv) -> bool {
    let key = |tenant: &'static str| {
        let mut key = b"k".to_vec();
        let bound = kv.bind(Context::tenant(tenant));
        bound.resolve_in(&mut key).ok().map(|()| key)
    };
    key("a") != key("b")
}

async fn bare(url: &str) -> Result<Kv, Failure> {
    Ok(Factory::from_str("")?.open_url(url).await?)
}

fn ready(kv: Kv, choice: &StoreArgs, out: &mut Output<'_>) -> Kv {
    if is_in_memory(&kv) {
        out.note(
            "note: this store is in the memory of this command: it starts empty and ends with it; \
             choose one that lasts with --store or --url",
        );
    }
    match context(choice) {
        Some(context) => kv.bind(context),
        None => kv,
    }
}

fn factory(choice: &StoreArgs) -> Result<Factory, Failure> {
    let named = choice.config.clone();
    let path = match named.or_else(|| env::var_os("KV_CONFIG").map(PathBuf::from)) {
        Some(path) => path,
        None if PathBuf::from(USUAL_CONFIG).exists() => USUAL_CONFIG.into(),
        None => {
            return Err(Failure::Usage(format!(
                "there is no {USUAL_CONFIG} here; name the configuration with --config or KV_CONFIG, \
                 or a bare store with --url redis://127.0.0.1:6379"
            )));
        }
    };
    let mut builder = Factory::builder();
    builder.file(path);
    if let Some(environment) = &choice.env {
        builder.environment(environment);
    }
    Ok(builder.build()?)
}

async fn configured(
    choice: &StoreArgs,
    factory: &Factory,
    usual: Option<&str>,
) -> Result<Kv, Failure> {
    let wanted = choice.store.clone().or_else(|| env::var("KV_STORE").ok());
    let name = match wanted.or_else(|| usual.map(str::to_owned)) {
        Some(name) => name,
        None => only_one(factory)?,
    };
    Ok(factory.open(&name).await?)
}

fn only_one(factory: &Factory) -> Result<String, Failure> {
    let names: Vec<&str> = factory.names().collect();
    match names[..] {
        [] => Err(Failure::Usage(
            "the configuration has no store; add a table [default.database.kvstore.NAME]"
                .to_owned(),
        )),
        [only] => Ok(only.to_owned()),
        _ => Err(Failure::Usage(format!(
            "the configuration has several stores; choose one with --store: {}",
            names.join(", ")
        ))),
    }
}

/// Without wrappers no tenant is part of a key.
pub(crate) fn keys_can_be_named(choice: &StoreArgs) -> Result<(), Failure> {
    if choice.url.is_some() && context(choice).is_some() {
        let message = "--tenant and --user mean nothing for the keys of a bare store by its --url";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(())
}

/// In whose name to call.
pub(crate) fn context(choice: &StoreArgs) -> Option<Context> {
    let context = match &choice.tenant {
        Some(tenant) => Context::tenant(tenant.clone()),
        None => Context::new(),
    };
    match &choice.user {
        Some(user) => Some(context.with_user(user.clone())),
        None => choice.tenant.is_some().then_some(context),
    }
}

#[cfg(feature = "memory")]
fn is_in_memory(kv: &Kv) -> bool {
    kv.native::<kv_memory::MemoryStore>().is_ok()
}

#[cfg(not(feature = "memory"))]
fn is_in_memory(_: &Kv) -> bool {
    false
}

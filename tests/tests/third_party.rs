//! What another crate can add: a provider and a wrapper defined here, named in TOML.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use kv_conformance::{Fixture, Tenancy};
use kv_core::{
    BoxFuture, Capabilities, Capability, CapabilitySet, Context, Error, ErrorKind, Events, Key, Kv,
    KvBuilder, Layer, Outcome, Prefixes, Reply, Request, Result, ScanFrom, ScanPage, Service,
    SetOptions, SetReply, Store, Ttl, Value, Visitor, Watch, When,
};
use kv_factory::{Factory, FactoryBuilder, Instance, ProviderBuilder, Settings, WrapperBuilder};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// A notebook: strings on numbered pages, first come first served.
struct Notebook {
    pages: u32,
    entries: Mutex<BTreeMap<Key, Value>>,
}

#[derive(Deserialize)]
struct NotebookConfig {
    /// How many entries it has room for.
    pages: u32,
}

struct NotebookBuilder;

impl ProviderBuilder for NotebookBuilder {
    fn build(&self, settings: Settings) -> Result<KvBuilder> {
        let NotebookConfig { pages } = settings.parse()?;
        if pages == 0 {
            return Err(Error::new(ErrorKind::Config, "a notebook needs pages"));
        }
        Ok(Kv::builder(Notebook {
            pages,
            entries: Mutex::default(),
        }))
    }

    fn schemes(&self) -> &[&str] {
        &["notebook"]
    }

    fn build_url(&self, url: &kv_factory::StoreUrl) -> Result<KvBuilder> {
        self.build(url.query_fields())
    }
}

impl Store for Notebook {
    fn name(&self) -> &'static str {
        "notebook"
    }

    fn capabilities(&self) -> Capabilities {
        let can = [
            Capability::Strings,
            Capability::ConditionalSet,
            Capability::Scan,
        ];
        Capabilities::new(CapabilitySet::from_iter(can))
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        Ok(self.entries.lock().unwrap().get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        let entries = self.entries.lock().unwrap();
        Ok(keys.iter().map(|key| entries.get(key).cloned()).collect())
    }

    async fn set_with(&self, key: Key, value: Value, options: SetOptions) -> Result<SetReply> {
        let mut entries = self.entries.lock().unwrap();
        let current = entries.get(&key).cloned();
        let wanted = match options.when {
            When::Always => true,
            When::IfAbsent => current.is_none(),
            When::IfPresent => current.is_some(),
            _ => return Err(Error::unsupported("set_with")),
        };
        // Without deadlines, keeping one and having none are the same.
        if !matches!(options.ttl, Ttl::Unset | Ttl::Never | Ttl::Keep) {
            return Err(Error::unsupported("set_with"));
        }
        if !wanted {
            return Ok(SetReply::refused(current));
        }
        if current.is_none() && entries.len() >= self.pages as usize {
            let full = Error::new(ErrorKind::Unavailable, "the notebook is full");
            return Err(full.with_outcome(Outcome::NotApplied).with_key(&key));
        }
        entries.insert(key, value);
        Ok(SetReply::applied())
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        options: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        let mut answers = Vec::with_capacity(items.len());
        for (key, value) in items {
            let answer = self.set_with(key, value, options.clone()).await;
            answers.push(answer.map(|it| it.applied));
        }
        Ok(answers)
    }

    async fn delete_many(&self, keys: Vec<Key>) -> Result<u64> {
        let mut entries = self.entries.lock().unwrap();
        Ok(keys.iter().filter_map(|key| entries.remove(key)).count() as u64)
    }

    async fn exists_many(&self, mut keys: Vec<Key>) -> Result<u64> {
        keys.sort_unstable();
        keys.dedup();
        let entries = self.entries.lock().unwrap();
        Ok(keys.iter().filter(|key| entries.contains_key(key)).count() as u64)
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        let after = match from {
            ScanFrom::Cursor(cursor) => Some(Key::try_from(cursor.as_bytes())?),
            ScanFrom::After(_) => return Err(Error::unsupported("scan_page")),
            _ => None,
        };
        let entries = self.entries.lock().unwrap();
        let ahead = entries.keys().filter(|key| Some(*key) > after.as_ref());
        let mut found = ahead.filter(|key| prefixes.contain(key)).cloned();
        let keys: Vec<_> = found.by_ref().take(limit.max(1) as usize).collect();
        let more = found.next().is_some();
        let last = keys.last().filter(|_| more);
        let next = last.map(|key| kv_core::Cursor::new(key.bytes().clone()));
        Ok(ScanPage::new(keys, next))
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        if prefixes.as_slice().iter().any(|range| range.is_all()) {
            return Err(Error::new(ErrorKind::Denied, "clear needs a prefix here"));
        }
        let mut entries = self.entries.lock().unwrap();
        let before = entries.len();
        entries.retain(|key, _| !prefixes.contain(key));
        Ok((before - entries.len()) as u64)
    }
}

/// Refuses keys with a word that the house does not want to see.
struct Decency(String);

#[derive(Deserialize)]
struct DecencyConfig {
    word: String,
}

struct DecencyBuilder;

impl WrapperBuilder for DecencyBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let DecencyConfig { word } = settings.parse()?;
        assert_eq!(
            (instance.name(), instance.namespace()),
            ("notes", Some("diary"))
        );
        assert_eq!(instance.key_settings().namespace, "diary");
        assert_eq!(instance.key_settings().static_prefix, "house");
        Ok(Arc::new(Decency(word)))
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        let resolver = stack.iter().position(|&name| name == "key_resolver");
        match resolver {
            Some(resolver) if resolver > position => {
                Err("must stand outside of key_resolver to see the caller's own keys".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Layer for Decency {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let word = self.0.clone();
        Arc::new(DecencyService { inner, word })
    }
}

struct DecencyService {
    inner: Arc<dyn Service>,
    word: String,
}

impl Visitor for &DecencyService {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        let indecent = key.to_string().contains(&self.word);
        match indecent {
            true => Err(Error::new(ErrorKind::Denied, "not that word").with_key(key)),
            false => Ok(()),
        }
    }
}

impl Service for DecencyService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        let operation = request.command.spec().name;
        match request.command.visit(&mut { self }) {
            Ok(()) => self.inner.call(request),
            Err(error) => Box::pin(async { Err(error.with_operation(operation)) }),
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("decency({} letters)", self.word.len())
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

fn builder() -> FactoryBuilder {
    let mut builder = Factory::builder();
    builder
        .provider("notebook", NotebookBuilder)
        .unwrap()
        .wrapper("decency", DecencyBuilder)
        .unwrap();
    builder
}

/// The store `notes` with these wrappers.
fn notes(wrappers: &str) -> Factory {
    let toml = format!(
        r#"
        [default.context]
        static_prefix = "house"
        [default.database.kvstore.notes]
        namespace = "diary"
        provider = {{ backend = "notebook", pages = 3 }}
        wrappers = [{wrappers}]
        "#
    );
    builder().toml(toml).build().unwrap()
}

const RESOLVER: &str = "{ name = \"key_resolver\" }";
const DECENCY: &str = "{ name = \"decency\", config = { word = \"damn\" } }";

#[tokio::test]
async fn case_155_a_provider_and_a_wrapper_of_another_crate_work_from_toml() {
    let factory = notes(&format!("{RESOLVER}, {DECENCY}"));
    factory.validate().unwrap();
    let kv = factory.open("notes").await.unwrap();
    assert_eq!(
        format!("{kv:?}"),
        "Kv(notebook > key_resolver(house:[tenant]:diary) > decency(4 letters))"
    );
    let ann = kv.bind(Context::tenant("ann"));
    ann.set("monday", "rain").await.unwrap();
    assert_eq!(ann.get("monday").await.unwrap().unwrap(), "rain");
    assert_eq!(kv.get("monday").await.unwrap(), None);
    assert_eq!(
        ann.resolve("monday").unwrap().to_string(),
        "house:ann:diary:monday"
    );
    let error = ann.set("damn monday", "rain").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.to_string(), "set_with `damn monday`: not that word");
    let error = ann.increment("count", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    ann.set_many([("a", "1"), ("b", "2")]).await.unwrap();
    let error = ann.set("c", "3").await.unwrap_err();
    assert_eq!(error.to_string(), "set_with `c`: the notebook is full");
    assert_eq!(ann.clear().await.unwrap(), 3);
}

#[tokio::test]
async fn case_155_their_faults_name_the_table() {
    let text = |factory: Factory| factory.validate().unwrap_err().to_string();
    assert_eq!(
        text(notes(&format!("{DECENCY}, {RESOLVER}"))),
        "`default.database.kvstore.notes.wrappers[0]`: `decency` must stand outside of key_resolver to see the caller's own keys; the stack from the provider outwards: decency, key_resolver"
    );
    assert_eq!(
        text(notes(
            "{ name = \"decency\", config = { wrod = \"damn\" } }"
        )),
        "unknown field `wrod` in `default.database.kvstore.notes.wrappers[0].config`; did you mean `word`? known fields: word"
    );
    let none = "[default.database.kvstore.notes.provider]\nbackend = \"notebook\"\npages = 0";
    assert_eq!(
        text(builder().toml(none).build().unwrap()),
        "a notebook needs pages; table: default.database.kvstore.notes.provider"
    );
    let factory = builder().build().unwrap();
    let kv = factory.open_url("notebook://?pages=1").await.unwrap();
    kv.set("k", "v").await.unwrap();
}

#[tokio::test]
async fn case_155_a_second_registration_fails_and_the_first_stays() {
    let refuse = |_: Settings| -> Result<KvBuilder> { panic!("the second one was asked") };
    let ignore = |_: Settings, _: &Instance| -> Result<Arc<dyn Layer>> {
        panic!("the second one was asked")
    };
    let mut builder = builder();
    for (error, wanted) in [
        (
            builder.provider("notebook", refuse).unwrap_err(),
            "the provider `notebook` is registered already and stays in force; register this one under another name",
        ),
        (
            builder.provider("memory", refuse).unwrap_err(),
            "the provider `memory` is registered already and stays in force; register this one under another name",
        ),
        (
            builder.wrapper("decency", ignore).unwrap_err(),
            "the wrapper `decency` is registered already and stays in force; register this one under another name",
        ),
        (
            builder.provider("scrapbook", NotebookBuilder).unwrap_err(),
            "the URL scheme `notebook` belongs to the provider `notebook`, which stays in force; choose another scheme for `scrapbook`",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string(), wanted);
    }
    let toml = format!(
        "[default.context]\nstatic_prefix = \"house\"\n[default.database.kvstore.notes]\nnamespace = \"diary\"\nprovider = {{ backend = \"notebook\", pages = 1 }}\nwrappers = [{DECENCY}]"
    );
    let kv = builder
        .toml(toml)
        .build()
        .unwrap()
        .open("notes")
        .await
        .unwrap();
    assert_eq!(format!("{kv:?}"), "Kv(notebook > decency(4 letters))");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_passes_conformance_bare_and_with_a_resolver() {
    for (name, wrappers, tenancy) in [
        ("bare", "", Tenancy::Shared),
        ("key_resolver", RESOLVER, Tenancy::InKeys),
    ] {
        let fixture = Fixture::in_process(format!("notebook/{name}"), move || async move {
            let toml = format!(
                "[default.database.kvstore.notes]\nprovider = {{ backend = \"notebook\", pages = 100_000 }}\nwrappers = [{wrappers}]"
            );
            builder().toml(toml).build()?.open("notes").await
        });
        let settings = kv_conformance::Settings::default().tenancy(tenancy);
        let report = kv_conformance::run(fixture.settings(settings)).await;
        report.assert_passed();
    }
}

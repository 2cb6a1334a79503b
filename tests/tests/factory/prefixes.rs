//! Whose keys are whose.

use crate::{
    recorder::{Recorder, Seen, Void, stack},
    samples::KEYS,
};
use futures_util::{FutureExt, StreamExt};
use kv_core::{
    CapabilitySet, Command, Context, Event, Events, Key, Kv, Layer, Prefix, Prefixes, Reply,
    Request, ScanFrom, Service, Watch,
};
use kv_wrappers::{KeyResolver, KeySettings};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::sync::Arc;

const RESOLVER: &str = "{ name = \"key_resolver\" }";

fn keys(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|&key| key.try_into().unwrap()).collect()
}

async fn told(events: Events) -> Vec<String> {
    let text = |event| match event {
        Event::Put { key, .. } => format!("put {key}"),
        Event::Delete { key } => format!("delete {key}"),
        Event::Message { channel, .. } => format!("message {channel}"),
        Event::Resync => "resync".to_owned(),
        other => panic!("unknown event {other:?}"),
    };
    events.map(|event| text(event.unwrap())).collect().await
}

#[tokio::test]
async fn case_129_watches_are_prefixed_and_events_are_not() {
    let (kv, seen) = stack(CapabilitySet::ALL, RESOLVER, "").await;
    let kv = kv.bind(Context::tenant("t1"));
    let physical = keys(&[
        "nala:t1:cache:plain",
        "{nala:t1:cache:mail}:due",
        "nala:t1:cache:nala:t1:cache:plain",
    ]);

    let events = kv.watch(Watch::Keys(keys(&KEYS))).await.unwrap();
    assert_eq!(seen.take_watches(), [Watch::Keys(physical.clone())]);
    let changes = KEYS.map(|key| [format!("put {key}"), format!("delete {key}")]);
    let mut wanted = changes.concat();
    wanted.push("resync".to_owned());
    assert_eq!(told(events).await, wanted);

    let events = kv.watch(Watch::Channels(keys(&KEYS))).await.unwrap();
    assert_eq!(seen.take_watches(), [Watch::Channels(physical)]);
    let mut wanted = KEYS.map(|key| format!("message {key}")).to_vec();
    wanted.push("resync".to_owned());
    assert_eq!(told(events).await, wanted);

    let all = Watch::Prefixes(Prefix::ALL.into());
    let events = kv.watch(all).await.unwrap();
    let ranges = ["nala:t1:cache:", "{nala:t1:cache:"].map(Prefix::from);
    let wanted = Watch::Prefixes(ranges.into_iter().collect());
    assert_eq!(seen.take_watches(), [wanted]);
    assert_eq!(
        told(events).await,
        [
            "put x}found",
            "delete x}found",
            "put {x}found",
            "delete {x}found",
            "resync"
        ]
    );
}

/// The seam itself, so that any bytes can be a namespace.
struct Instance {
    service: Arc<dyn Service>,
    seen: Seen,
}

/// Who a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    tenant: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    namespace: String,
}

impl Owner {
    fn context(&self) -> Option<Context> {
        let tenant = self.tenant.clone().map(Context::tenant);
        match &self.user {
            None => tenant,
            Some(user) => Some(tenant.unwrap_or_default().with_user(user.clone())),
        }
    }

    /// What is left of it under these settings.
    fn effective(&self, settings: &KeySettings) -> Self {
        Self {
            tenant: self
                .tenant
                .clone()
                .filter(|_| settings.multi_tenancy_enabled != Some(false)),
            user: self.user.clone().filter(|_| settings.use_user_uid),
            namespace: self.namespace.clone(),
        }
    }

    fn instance(&self, settings: &KeySettings) -> Instance {
        let mut settings = settings.clone();
        settings.namespace.clone_from(&self.namespace);
        let seen = Seen::default();
        let recorder = Recorder {
            seen: seen.clone(),
            can: CapabilitySet::ALL,
        };
        let bottom = recorder.wrap(Arc::new(Bottom));
        let service = KeyResolver::new(settings).unwrap().wrap(bottom);
        Instance { service, seen }
    }
}

/// Never reached.
struct Bottom;

impl Service for Bottom {
    fn call(&self, _: Request) -> kv_core::BoxFuture<'_, kv_core::Result<Reply>> {
        unreachable!("the recorder answers")
    }

    fn watch(
        &self,
        _: Watch,
        _: Option<Context>,
    ) -> kv_core::BoxFuture<'_, kv_core::Result<Events>> {
        unreachable!("the recorder answers")
    }

    fn capabilities(&self) -> kv_core::Capabilities {
        Kv::builder(Void).build().capabilities()
    }

    fn name(&self) -> String {
        "bottom".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        None
    }
}

impl Instance {
    fn send(&self, command: Command, context: Option<Context>) -> (Command, Reply) {
        let mut request = Request::new(command);
        request.context = context;
        let reply = self.service.call(request).now_or_never().unwrap().unwrap();
        (self.seen.take().pop().unwrap().command, reply)
    }

    fn physical(&self, key: &Key, context: Option<Context>) -> Key {
        match self.send(Command::Get { key: key.clone() }, context).0 {
            Command::Get { key } => key,
            other => panic!("{other:?}"),
        }
    }

    /// The ranges that `clear` empties.
    fn range(&self, context: Option<Context>) -> Prefixes {
        let clear = Command::Clear {
            prefixes: Prefix::ALL.into(),
        };
        match self.send(clear, context).0 {
            Command::Clear { prefixes } => prefixes,
            other => panic!("{other:?}"),
        }
    }
}

/// Few letters, so that separators, braces and escapes meet often.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    vec(select(b"a:/%{}\\3A\xc3\xbc".to_vec()), 1..4)
}

fn name() -> impl Strategy<Value = String> {
    let letters = select(vec!["a", ":", "/", "%", "{", "}", "\\", "3A", "ü", "名"]);
    vec(letters, 1..4).prop_map(|letters| letters.concat())
}

fn owner() -> impl Strategy<Value = Owner> {
    (option::of(tricky()), option::of(tricky()), name()).prop_map(|(tenant, user, namespace)| {
        Owner {
            tenant,
            user,
            namespace,
        }
    })
}

/// Two owners that are often nearly the same.
fn two_owners() -> impl Strategy<Value = (Owner, Owner)> {
    (owner(), owner(), 0..16_u8).prop_map(|(a, mut b, same)| {
        if same & 1 != 0 {
            b.tenant.clone_from(&a.tenant);
        }
        if same & 2 != 0 {
            b.user.clone_from(&a.user);
        }
        if same & 4 != 0 {
            b.namespace.clone_from(&a.namespace);
        }
        if same & 8 != 0 {
            // What an escape would look like if it were not escaped itself.
            b.namespace = b.namespace.replace(':', "%3A").replace('{', "%7B");
        }
        (a, b)
    })
}

fn settings() -> impl Strategy<Value = KeySettings> {
    let separator = select(vec![":", "/", "::", "\\"]);
    let tenancy = select(vec![None, Some(false)]);
    (separator, tenancy, any::<bool>()).prop_map(
        |(separator, multi_tenancy_enabled, use_user_uid)| KeySettings {
            separator: separator.to_owned(),
            multi_tenancy_enabled,
            use_user_uid,
            ..KeySettings::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn case_130_different_owners_or_keys_never_meet(
        (a, b) in two_owners(),
        settings in settings(),
        x in tricky(),
        y in tricky(),
    ) {
        let (one, two) = (a.instance(&settings), b.instance(&settings));
        let (x, y) = (Key::new(x).unwrap(), Key::new(y).unwrap());
        let same_owner = a.effective(&settings) == b.effective(&settings);
        let (stored_x, stored_y) = (one.physical(&x, a.context()), two.physical(&y, b.context()));

        prop_assert_eq!(stored_x == stored_y, same_owner && x == y, "{:?} {:?}", stored_x, stored_y);
        prop_assert!(one.range(a.context()).contain(&stored_x));
        prop_assert_eq!(one.range(a.context()).contain(&stored_y), same_owner);
        prop_assert_eq!(stored_x.to_string(), x.to_string(), "errors name the caller's key");
    }

    #[test]
    fn case_130_what_is_encoded_is_decoded(owner in owner(), settings in settings(), range in tricky()) {
        let instance = owner.instance(&settings);
        let scan = Command::Scan {
            prefixes: Prefix::new(range.clone()).into(),
            from: ScanFrom::Start,
            limit: 10,
        };
        let (_, reply) = instance.send(scan, owner.context());
        let Reply::Scan(page) = reply else { panic!("{reply:?}") };
        prop_assert!(!page.keys.is_empty());
        for key in page.keys {
            prop_assert!(key.as_bytes().starts_with(&range), "{:?} is not in the range", key);
            let stored = instance.physical(&key, owner.context());
            prop_assert!(instance.range(owner.context()).contain(&stored));
        }
    }
}

#[tokio::test]
async fn case_130_an_absent_tenant_is_told_from_a_present_one() {
    let (kv, _) = stack(CapabilitySet::ALL, RESOLVER, "").await;
    let without = kv.resolve("foo").unwrap().to_string();
    let with = kv.bind(Context::tenant("cache")).resolve("foo").unwrap();
    assert_eq!(without, "nala::cache:foo");
    assert_eq!(with.to_string(), "nala:cache:cache:foo");
    let (never, _) = stack(
        CapabilitySet::ALL,
        RESOLVER,
        "multi_tenancy_enabled = false",
    )
    .await;
    let key = never.bind(Context::tenant("t1")).resolve("my-key").unwrap();
    assert_eq!(key.to_string(), "nala:cache:my-key");
}

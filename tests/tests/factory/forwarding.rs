//! What reaches the store, command by command.

use crate::{
    recorder::{Seen, builder, stack},
    samples::{commands, reply},
};
use kv_core::{
    CallOptions, Capability, CapabilitySet, Command, Context, ErrorKind, Expiry, Field, Key, Kv,
    Mark, Member, Place, Places, Prefix, Prefixes, Reply, Result, Ttl, Value, Visitor,
};
use std::time::Duration;

const RESOLVER: &str = "{ name = \"key_resolver\" }";
/// With room for nothing: what is answered from memory does not reach the store.
const NEAR: &str = "{ name = \"near_cache\", config = { deadlines = \"bounded\", max_value_bytes = 0, negative_ttl = \"0s\" } }";
const FLIGHT: &str = "{ name = \"single_flight\" }";
const TTL: &str = "{ name = \"default_ttl\", config = { default_ttl_seconds = 3600 } }";
/// Those that change nothing while the store is well.
const AGAINST_TROUBLE: [&str; 5] = [
    "{ name = \"timeout\", config = { timeout = \"1m\" } }",
    "{ name = \"hedge\", config = { after = \"1m\" } }",
    "{ name = \"retry\" }",
    "{ name = \"circuit_breaker\" }",
    "{ name = \"concurrency_limit\", config = { limit = 8 } }",
];
const FALLBACK: &str = "{ name = \"fallback\", config = { store = \"b\" } }";

/// As small as the samples are, everything is stored as it is.
const COMPRESS: &str = "{ name = \"compress\", config = { legacy = \"read\" } }";
const ENCRYPT: &str = "{ name = \"encrypt\", config = { primary = \"k\", plain_values = \"read\", integers = \"plain\", keys = { k = \"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\" } } }";
const LIMIT: &str = "{ name = \"size_limit\", config = { max_value_bytes = 4096 } }";
const CLAMP: &str = "{ name = \"ttl_clamp\", config = { missing_ttl = \"1h\" } }";
const OBSERVE: &str = "{ name = \"observe\", config = { show_keys = { up_to = \":\" } } }";

/// The key on the store, by the rule as a reader of the documentation would apply it.
fn physical(key: &[u8]) -> Vec<u8> {
    match key.strip_prefix(b"{") {
        Some(rest) => [b"{nala:t1:cache:", rest].concat(),
        None => [b"nala:t1:cache:", key].concat(),
    }
}

/// The ranges on the store: keys with and without a tag live apart.
fn physical_ranges(ranges: &Prefixes) -> Prefixes {
    let both = |range: &Prefix| -> Vec<Prefix> {
        let bytes = range.as_bytes();
        let plain = [b"nala:t1:cache:", bytes].concat();
        let tagged = [
            b"{nala:t1:cache:",
            bytes.strip_prefix(b"{").unwrap_or(bytes),
        ]
        .concat();
        match bytes {
            [] => vec![plain.into(), tagged.into()],
            [b'{', ..] => vec![plain.into(), tagged.into()],
            _ => vec![plain.into()],
        }
    };
    ranges.as_slice().iter().flat_map(both).collect()
}

/// What a wrapper is expected to change.
#[derive(Clone, Copy)]
struct Expected {
    resolves: bool,
    fills_in: bool,
    /// How every value on the store begins, but whole numbers.
    frame: Option<[u8; 2]>,
}

/// What stands for a value in its frame.
const FRAMED: &str = "framed";

fn is_number(value: &Value) -> bool {
    kv_core::number::parse(value.as_bytes()).is_some()
}

/// Puts [`FRAMED`] in the place of each value in such a frame.
struct Frames([u8; 2]);

impl Visitor for Frames {
    fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
        if value.as_bytes().starts_with(&self.0) {
            *value = FRAMED.into();
        }
        Ok(())
    }
}

impl Visitor for Expected {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        if self.resolves {
            *key = Key::new(physical(key.as_bytes()))?;
        }
        Ok(())
    }

    fn prefixes(&mut self, prefixes: &mut Prefixes) -> Result<()> {
        if self.resolves {
            *prefixes = physical_ranges(prefixes);
        }
        Ok(())
    }

    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        if self.fills_in && *ttl == Ttl::Unset {
            *ttl = Ttl::after(Duration::from_secs(3600))?;
        }
        Ok(())
    }

    fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
        if self.frame.is_some() && !is_number(value) {
            *value = FRAMED.into();
        }
        Ok(())
    }
}

/// Everything in a command or reply, contents too, which `Debug` hides.
#[derive(Default)]
struct Contents(Vec<String>);

impl Contents {
    fn note(&mut self, what: &str, bytes: &[u8]) -> Result<()> {
        self.0.push(format!("{what} {}", bytes.escape_ascii()));
        Ok(())
    }

    fn of(command: &Command) -> Vec<String> {
        let mut contents = Self(vec![format!("{command:?}")]);
        command.clone().visit(&mut contents).unwrap();
        contents.0
    }

    fn of_reply(mut reply: Reply) -> Vec<String> {
        let mut contents = Self(vec![format!("{reply:?}")]);
        reply.visit(&Places::default(), &mut contents).unwrap();
        contents.0
    }
}

impl Visitor for Contents {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        self.note("key", key.as_bytes())
    }

    fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
        self.note("value", value.as_bytes())
    }

    fn mark(&mut self, _: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.note("mark", mark.as_bytes())
    }

    fn field(&mut self, field: &mut Field) -> Result<()> {
        self.note("field", field.as_bytes())
    }

    fn member(&mut self, member: &mut Member) -> Result<()> {
        self.note("member", member.as_bytes())
    }

    fn expiry(&mut self, expiry: &mut Expiry) -> Result<()> {
        self.0.push(format!("{expiry:?}"));
        Ok(())
    }
}

async fn check(kv: &Kv, seen: &Seen, expected: Expected) {
    let kv = kv.bind(Context::tenant("t1"));
    let kv = kv.with(CallOptions::new().without_near_cache());
    let can = kv.capabilities();
    let known = commands().into_iter().filter(|it| can.allow(it).is_ok());
    for command in known {
        let name = command.spec().name;
        let mut wanted = command.clone();
        wanted.visit(&mut { expected }).unwrap();
        let mut answer = reply(&command);
        if let Reply::Scan(page) = &mut answer {
            page.keys = found(&command, expected);
        }

        if kv.capabilities().allow(&command).is_err() {
            let refused = kv.call(command).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "`{name}`");
            assert_eq!(refused.context("missing"), Some("compare value"));
            assert!(expected.frame.is_some() && seen.take().is_empty());
            continue;
        }
        let got = kv.call(command).await.unwrap();
        let mut requests = seen.take();
        assert_eq!(requests.len(), 1, "`{name}` reached the store {requests:?}");
        if let Some(frame) = expected.frame {
            requests[0].command.visit(&mut Frames(frame)).unwrap();
        }
        assert_eq!(Contents::of(&requests[0].command), Contents::of(&wanted));
        assert_eq!(requests[0].context, Some(Context::tenant("t1")), "`{name}`");
        assert!(!requests[0].options.allow_near_cache(), "`{name}`");
        assert_eq!(Contents::of_reply(got), Contents::of_reply(answer));
    }
}

/// The keys that a caller gets from a scan: one in each range on the store, in its own spelling.
fn found(command: &Command, expected: Expected) -> Vec<Key> {
    let Command::Scan { prefixes, .. } = command else {
        return Vec::new();
    };
    let key = |bytes: Vec<u8>| Key::new(bytes).unwrap();
    let bare = |range: &Prefix| key([range.as_bytes(), b"x}found"].concat());
    if !expected.resolves {
        return prefixes.as_slice().iter().map(bare).collect();
    }
    let own = |range: &Prefix| {
        let bytes = range.as_bytes();
        let tagged = [b"{", bytes.strip_prefix(b"{").unwrap_or(bytes), b"x}found"].concat();
        match bytes {
            [] => vec![bare(range), key(tagged)],
            // What a plain range holds below `{…` has a tag for a caller, so it is in the other.
            [b'{', ..] => vec![key(tagged)],
            _ => vec![bare(range)],
        }
    };
    prefixes.as_slice().iter().flat_map(own).collect()
}

#[tokio::test]
async fn case_128_each_wrapper_forwards_every_command_once() {
    let all = format!(
        "{}, {TTL}, {RESOLVER}, {OBSERVE}",
        AGAINST_TROUBLE.join(", ")
    );
    let (packed, encrypted) = (Some([0xC1, 0]), Some([0xC1, 0x10]));
    let mut stacks = vec![
        (RESOLVER.to_owned(), true, false, None),
        (TTL.to_owned(), false, true, None),
        (OBSERVE.to_owned(), false, false, None),
        (NEAR.to_owned(), false, false, None),
        (FLIGHT.to_owned(), false, false, None),
        (format!("{NEAR}, {FLIGHT}, {RESOLVER}"), true, false, None),
        (format!("{TTL}, {RESOLVER}"), true, true, None),
        (format!("{RESOLVER}, {TTL}"), true, true, None),
        (all, true, true, None),
        (LIMIT.to_owned(), false, false, None),
        (CLAMP.to_owned(), false, true, None),
        (COMPRESS.to_owned(), false, false, packed),
        (format!("{RESOLVER}, {COMPRESS}"), true, false, packed),
        (ENCRYPT.to_owned(), false, false, encrypted),
        (
            format!("{ENCRYPT}, {COMPRESS}, {RESOLVER}"),
            true,
            false,
            encrypted,
        ),
    ];
    stacks.extend(AGAINST_TROUBLE.map(|it| (it.to_owned(), false, false, None)));
    for (wrappers, resolves, fills_in, frame) in stacks {
        let (kv, seen) = stack(CapabilitySet::ALL, &wrappers, "").await;
        if frame.is_none() {
            assert_eq!(kv.capabilities().can, CapabilitySet::ALL, "{kv:?}");
        }
        let expected = Expected {
            resolves,
            fills_in,
            frame,
        };
        check(&kv, &seen, expected).await;
    }
}

#[tokio::test]
async fn case_128_a_fallback_forwards_what_two_stores_can_keep() {
    let (mut builder, seen) = builder(CapabilitySet::ALL);
    let store = "provider = { backend = \"void\" }\nwrappers = [{ name = \"recorder\" }";
    let toml = format!(
        "[default.database.kvstore.a]\n{store}, {FALLBACK}]\n[default.database.kvstore.b]\n{store}]"
    );
    let factory = builder.toml(toml).build().unwrap();
    let kv = factory.open("a").await.unwrap();
    assert!(kv.capabilities().has(Capability::Strings));
    assert!(!kv.capabilities().has(Capability::Commit));
    let expected = Expected {
        resolves: false,
        fills_in: false,
        frame: None,
    };
    check(&kv, &seen, expected).await;
}

#[tokio::test]
async fn case_147_capabilities_pass_through_and_what_lacks_is_refused_above() {
    let stacked = format!(
        "{}, {TTL}, {RESOLVER}, {OBSERVE}",
        AGAINST_TROUBLE.join(", ")
    );
    let all = CapabilitySet::ALL;
    for missing in all.iter() {
        let can = all.without(missing);
        let (kv, seen) = stack(can, &stacked, "").await;
        let kv = kv.bind(Context::tenant("t1"));
        assert_eq!(kv.capabilities().can, can);
        let mut refused = 0;
        for command in commands() {
            let (name, needs) = (command.spec().name, command.needs());
            match kv.call(command).await {
                Ok(_) => assert!(!needs.has(missing), "`{name}` without {missing}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "`{name}`: {error}");
                    assert!(needs.has(missing), "`{name}` needs no {missing}");
                    refused += 1;
                }
            }
        }
        assert_eq!(seen.take().len(), commands().len() - refused);
    }
}

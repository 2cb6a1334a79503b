//! A: plain values.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Failure, Verdict, ensure, ensure_eq},
};
use kv_core::{COMMANDS, Capability, Codec, TimeToLive};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt};

cases! {
    'A' 1 "a key never written reads as none" [Strings] never_written;
    'A' 2 "a missing key is no error" [Strings] missing_is_no_error;
    'A' 3 "set then get" [Strings] set_then_get;
    'A' 4 "values of every shape survive" [Strings] shapes;
    'A' 5 "typed values survive, falsy ones too" [Strings] typed;
    'A' 6 "one value under many keys, one key many times" [Strings] no_cross_talk;
    'A' 10 "an empty value is present" [Strings] empty_value;
    'A' 12 "delete tells whether it was there" [Strings] delete;
    'A' 13 "exists follows set and delete" [Strings] exists;
    'A' 14 "no getset and no getdel are offered" [] not_offered;
    'A' 15 "two handles see each other's writes" [Strings] two_handles;
}

async fn never_written(b: Bench) -> Verdict {
    b.lacks(&b.key("never")).await
}

async fn missing_is_no_error(b: Bench) -> Verdict {
    let key = b.key("missing");
    b.lacks(&key).await?;
    ensure_eq!(b.kv.exists(&key).await?, false, "exists of a missing key");
    ensure_eq!(b.kv.delete(&key).await?, false, "delete of a missing key");
    if b.has(Capability::Expiry) {
        let left = b.kv.time_to_live(&key).await?;
        ensure_eq!(left, TimeToLive::Missing, "time to live of a missing key");
    }
    b.lacks(&key).await
}

async fn set_then_get(b: Bench) -> Verdict {
    let key = b.key("a");
    b.kv.set(&key, "first").await?;
    b.holds(&key, "first").await?;
    b.kv.set(&key, "the second, longer one").await?;
    b.holds(&key, "the second, longer one").await?;
    b.kv.set(&key, "3").await?;
    b.holds(&key, "3").await
}

async fn shapes(b: Bench) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).collect();
    let shapes: [&[u8]; 11] = [
        b"",
        &every_byte,
        &b"text and more text ".repeat(540),
        br#"{"looks": ["like", "json", null]}"#,
        br#"""quoted" and 'quoted'"#,
        b"\xff\xfe\x80 is not UTF-8",
        "\u{1f980} crab".as_bytes(),
        b"null",
        b"nil",
        b"line\r\nbreak\r\n",
        b"\0",
    ];
    for (at, shape) in shapes.into_iter().enumerate() {
        b.kv.set(b.key(at.to_string()), shape).await?;
    }
    for (at, shape) in shapes.into_iter().enumerate() {
        b.holds(&b.key(at.to_string()), shape).await?;
    }
    Ok(())
}

async fn typed(b: Bench) -> Verdict {
    for codec in [Codec::JSON, Codec::MESSAGE_PACK] {
        survives(&b, codec, None::<u8>).await?;
        survives(&b, codec, false).await?;
        survives(&b, codec, 0_u8).await?;
        survives(&b, codec, String::new()).await?;
        survives(&b, codec, 1_000_000_000_000_000_000_i64).await?;
        survives(&b, codec, i64::MIN).await?;
        survives(&b, codec, i64::MAX).await?;
        survives(&b, codec, 1e63_f64).await?;
        survives(&b, codec, Vec::<u8>::new()).await?;
        let nested = BTreeMap::from([
            ("empty".to_owned(), BTreeMap::new()),
            (
                "lists".to_owned(),
                BTreeMap::from([
                    ("a".to_owned(), vec![Some(1.5), None]),
                    (String::new(), vec![]),
                ]),
            ),
        ]);
        survives(&b, codec, nested).await?;
    }
    let absent = b.kv.get_as::<Option<u8>>(b.key("absent")).await?;
    ensure_eq!(absent, None, "a typed read of a missing key");
    Ok(())
}

async fn survives<T>(b: &Bench, codec: Codec, value: T) -> Verdict
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + Sync,
{
    let kv = b.kv.with_codec(codec);
    let key = b.key("typed");
    kv.set_as(&key, &value).await?;
    let read = kv.get_as::<T>(&key).await?;
    ensure_eq!(read, Some(value), "a typed value with {codec:?}");
    Ok(())
}

async fn no_cross_talk(b: Bench) -> Verdict {
    let same = b.keys("same", 100);
    let writes = same.iter().cloned().map(|key| {
        let kv = b.kv.clone();
        async move { Ok(kv.set(key, "the same").await?) }
    });
    together(writes).await?;
    let rewritten = &same[50];
    for at in 0..100 {
        b.kv.set(rewritten, at.to_string()).await?;
        b.holds(rewritten, at.to_string()).await?;
    }
    for key in same.iter().filter(|key| *key != rewritten) {
        b.holds(key, "the same").await?;
    }
    Ok(())
}

async fn empty_value(b: Bench) -> Verdict {
    let (key, other) = (b.key("empty"), b.key("other"));
    b.kv.set(&key, "").await?;
    b.kv.set(&other, "").await?;
    b.holds(&key, "").await?;
    ensure_eq!(b.kv.exists(&key).await?, true, "exists of an empty value");
    let many = b.kv.get_many([&key, &b.key("missing")]).await?;
    let present: Vec<_> = many.iter().map(Option::is_some).collect();
    ensure_eq!(
        present,
        [true, false],
        "get_many of an empty value and a missing one"
    );
    if b.has(Capability::ConditionalSet) {
        let written = b.kv.set_if_absent(&key, "x", kv_core::Ttl::Never).await?;
        ensure_eq!(written, false, "set_if_absent over an empty value");
    }
    if b.has(Capability::Scan) {
        let listed = b.scan(b.everything()).await?;
        ensure!(
            listed.contains(&key),
            "scan does not list a key with an empty value"
        );
    }
    let deleted = b.kv.delete_many([&key, &other]).await?;
    ensure_eq!(deleted, 2, "delete_many of two empty values");
    b.lacks(&key).await
}

async fn delete(b: Bench) -> Verdict {
    let key = b.key("a");
    b.kv.set(&key, "x").await?;
    ensure_eq!(
        b.kv.delete(&key).await?,
        true,
        "delete of a key that is there"
    );
    b.lacks(&key).await?;
    ensure_eq!(b.kv.delete(&key).await?, false, "delete of a deleted key");
    b.lacks(&key).await
}

async fn exists(b: Bench) -> Verdict {
    let key = b.key("a");
    ensure_eq!(b.kv.exists(&key).await?, false, "exists before set");
    b.kv.set(&key, "x").await?;
    ensure_eq!(b.kv.exists(&key).await?, true, "exists after set");
    let keys = [&key, &key, &b.key("missing"), &key];
    ensure_eq!(
        b.kv.exists_many(keys).await?,
        1,
        "exists_many of one key named three times"
    );
    b.kv.delete(&key).await?;
    ensure_eq!(b.kv.exists(&key).await?, false, "exists after delete");
    Ok(())
}

async fn not_offered(b: Bench) -> Verdict {
    let offered: Vec<_> = COMMANDS
        .iter()
        .map(|spec| spec.name.replace('_', ""))
        .filter(|name| name.contains("getset") || name.contains("getdel"))
        .collect();
    if !offered.is_empty() {
        return Err(Failure::new(format!(
            "{offered:?} is offered: this case must test it"
        )));
    }
    b.note("the contract offers no getset and no getdel");
    Ok(())
}

async fn two_handles(b: Bench) -> Verdict {
    let second = b.open().await?;
    let key = b.key("a");
    b.lacks(&key).await?;
    second.set(&key, "from the second").await?;
    b.holds(&key, "from the second").await?;
    b.kv.set(&key, "from the first").await?;
    let seen = second.get(&key).await?;
    ensure!(
        seen.as_ref().is_some_and(|it| *it == "from the first"),
        "the second handle does not see the first one's write"
    );
    ensure_eq!(
        second.delete(&key).await?,
        true,
        "delete through the second handle"
    );
    b.lacks(&key).await
}

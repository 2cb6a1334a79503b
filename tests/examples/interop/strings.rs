//! Strings without a deadline: as they are, for both sides.

use crate::site::{Checked, Site, expect};
use futures_util::TryStreamExt;
use kv_core::{ErrorKind, Key, SetOptions, TimeToLive, Ttl, When};

/// Keys and values that a careless client would change on the way.
fn samples() -> Vec<(&'static [u8], Vec<u8>)> {
    vec![
        (b"plain", b"text".into()),
        (b"a/b:c d", b"with spaces".into()),
        ("ü/名前".as_bytes(), "ß\n\t€".into()),
        (b"empty", Vec::new()),
        (b"\xff\xfe", (0..=255).collect()),
        (b"zero", b"\0".into()),
        (b"large", vec![7; 1 << 20]),
    ]
}

pub(crate) async fn written_here_read_there(site: &Site) -> Checked {
    let samples = samples();
    for (name, value) in &samples {
        site.kv.set(*name, value.clone()).await?;
        let found = site.python.get(&site.path(name)).await?;
        let found = found.ok_or_else(|| format!("Python does not see {}", name.escape_ascii()))?;
        expect("value", &found.value, &value)?;
        expect("lease", found.lease, &0)?;
    }
    // A key that begins with NUL is kept apart from what lies behind NUL.
    site.kv.set(&b"\0k"[..], "v").await?;
    let found = site.python.get(&site.path(b"\0\0\0k")).await?;
    expect("value", found.map(|it| it.value), &Some(b"v".to_vec()))?;
    Ok(format!("{} keys, up to 1 MiB", samples.len() + 1))
}

pub(crate) async fn written_there_read_here(site: &Site) -> Checked {
    let samples = samples();
    for (name, value) in &samples {
        site.python.put(&site.path(name), value).await?;
        let found = site.kv.get(*name).await?;
        expect("value", found, &Some(value.clone().into()))?;
        expect("exists", site.kv.exists(*name).await?, &true)?;
        let left = site.kv.time_to_live(*name).await?;
        expect("time to live", left, &TimeToLive::NoExpiry)?;
    }
    Ok(format!("{} keys, up to 1 MiB", samples.len()))
}

pub(crate) async fn listed_on_both_sides(site: &Site) -> Checked {
    site.kv.set("jobs/ours", "1").await?;
    site.python.put(&site.path("jobs/theirs"), b"2").await?;
    // Structures lie elsewhere: a list of strings has nothing of them.
    site.kv.hset("jobs/hash", "field", "v").await?;
    site.kv.zadd("jobs/set", [("member", 1.0)]).await?;
    let theirs = site.python.list(&site.path("jobs/")).await?;
    let names: Vec<Vec<u8>> = theirs.into_iter().map(|it| it.key).collect();
    let strings = ["jobs/ours", "jobs/theirs"];
    expect("Python lists", names, &strings.map(|it| site.path(it)))?;
    let ours = site.kv.scan(kv_core::Prefix::from("jobs/"));
    let mut ours: Vec<Key> = ours.try_collect().await?;
    ours.sort_unstable();
    let all = ["jobs/hash", "jobs/ours", "jobs/set", "jobs/theirs"];
    expect(
        "we list",
        ours,
        &all.map(Key::try_from)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?,
    )?;
    Ok("2 strings there; 4 keys, 2 of them structures, here".to_owned())
}

pub(crate) async fn deleted_here(site: &Site) -> Checked {
    site.python.put(&site.path("gone"), b"v").await?;
    expect("deleted", site.kv.delete("gone").await?, &true)?;
    let found = site.python.get(&site.path("gone")).await?;
    expect("Python still sees it", found.is_some(), &false)?;
    expect("deleted again", site.kv.delete("gone").await?, &false)?;
    Ok("gone for Python".to_owned())
}

pub(crate) async fn deleted_there(site: &Site) -> Checked {
    site.kv.set("gone", "v").await?;
    expect(
        "deleted",
        site.python.delete(&site.path("gone")).await?,
        &true,
    )?;
    expect("we read", site.kv.get("gone").await?, &None)?;
    expect("exists", site.kv.exists("gone").await?, &false)?;
    Ok("gone for us".to_owned())
}

pub(crate) async fn compared_and_set(site: &Site) -> Checked {
    let (kv, python, path) = (&site.kv, &site.python, site.path("turn"));
    let ours = async |old: &str, new: &str| {
        let options = SetOptions::from(When::IfValue(old.into()));
        kv.set_with("turn", new, options).await.map(|it| it.applied)
    };
    kv.set("turn", "ours").await?;
    expect(
        "theirs on ours",
        python.replace(&path, b"ours", b"theirs").await?,
        &true,
    )?;
    expect("ours on what is gone", ours("ours", "late").await?, &false)?;
    expect("ours on theirs", ours("theirs", "ours again").await?, &true)?;
    expect(
        "theirs on what is gone",
        python.replace(&path, b"theirs", b"late").await?,
        &false,
    )?;
    expect(
        "the value",
        kv.get("turn").await?,
        &Some("ours again".into()),
    )?;
    Ok("2 of 4 applied: those that saw the last value".to_owned())
}

pub(crate) async fn created_once(site: &Site) -> Checked {
    let (kv, python) = (&site.kv, &site.python);
    expect(
        "theirs",
        python.create(&site.path("lock"), b"theirs").await?,
        &true,
    )?;
    let ours = kv.set_if_absent("lock", "ours", Ttl::Never).await?;
    expect("ours behind theirs", ours, &false)?;
    python.delete(&site.path("lock")).await?;
    let ours = kv.set_if_absent("lock", "ours", Ttl::Never).await?;
    expect("ours", ours, &true)?;
    let theirs = python.create(&site.path("lock"), b"theirs").await?;
    expect("theirs behind ours", theirs, &false)?;
    expect("the value", kv.get("lock").await?, &Some("ours".into()))?;
    Ok("the first one wins, whoever it is".to_owned())
}

pub(crate) async fn counted_together(site: &Site) -> Checked {
    const TIMES: u32 = 100;
    let path = site.path("count");
    site.kv.set("count", "0").await?;
    let ours = async {
        for _ in 0..TIMES {
            site.kv.increment("count", 1).await?;
        }
        Ok::<_, kv_core::Error>(())
    };
    let (ours, lost) = tokio::join!(ours, site.python.count(&path, TIMES));
    ours?;
    let lost = lost?;
    let sum = site.python.get(&path).await?.map(|it| it.value);
    let expected = (2 * TIMES).to_string();
    expect("the sum", sum, &Some(expected.clone().into_bytes()))?;
    expect(
        "our sum",
        site.kv.get("count").await?,
        &Some(expected.into()),
    )?;
    Ok(format!(
        "{TIMES} each, at the same time; Python met us {lost} times"
    ))
}

pub(crate) async fn marked_values_are_told_apart(site: &Site) -> Checked {
    let (kv, python) = (&site.kv, &site.python);
    // What begins as our headers do gets one that says so; the reader takes it off.
    let value = b"\0kv, and more";
    kv.set("marked", value.to_vec()).await?;
    let found = python
        .get(&site.path("marked"))
        .await?
        .ok_or("Python does not see it")?;
    expect("on the store", found.value.len(), &(13 + value.len()))?;
    let reading = python.read(&found.value).await?;
    expect(
        "read",
        (reading.value, reading.end.is_null()),
        &(value.to_vec(), true),
    )?;
    // One that is none is told and not guessed.
    python.put(&site.path("marked"), value).await?;
    let error = kv.get("marked").await.err().map(|it| it.kind());
    expect("a foreign header", error, &Some(ErrorKind::Codec))?;
    let refused = python.read(value).await.is_err();
    expect("the reader refuses it", refused, &true)?;
    Ok("a value that begins with 00 6b 76".to_owned())
}

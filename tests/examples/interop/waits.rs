//! Waiting: each side is woken by what the other writes.

use crate::site::{Checked, PATIENCE, Site, expect};
use futures_util::StreamExt;
use kv_core::{Event, Key, Scope, Stopwatch, Watch};
use std::time::Duration;
use tokio::time::timeout;

pub(crate) async fn python_watches_what_we_do(site: &Site) -> Checked {
    let (python, path) = (&site.python, site.path("watched"));
    python.watch(&path).await?;
    let watch = Stopwatch::start();
    site.kv.set("watched", "1").await?;
    let told = python.event().await?;
    let woken = watch.elapsed();
    let put = ("PUT".to_owned(), path.clone(), b"1".to_vec());
    expect("told", (told.kind, told.found.key, told.found.value), &put)?;
    site.kv.set("watched", "2").await?;
    expect("told", python.event().await?.found.value, &b"2".to_vec())?;
    site.kv.delete("watched").await?;
    expect("told", python.event().await?.kind, "DELETE")?;
    python.unwatch().await?;
    Ok(format!(
        "written, written over, deleted; woken after {}",
        millis(woken)
    ))
}

pub(crate) async fn we_watch_what_python_does(site: &Site) -> Checked {
    let (python, path) = (&site.python, site.path("watched"));
    let key = Key::try_from("watched")?;
    let mut events = site.kv.watch(Watch::Keys(vec![key.clone()])).await?;
    let mut next = async || match timeout(PATIENCE, events.next()).await {
        Ok(Some(event)) => Ok(event?),
        _ => Err(Box::<dyn std::error::Error>::from("nothing is told")),
    };
    let put = |value: &str| Event::Put {
        key: key.clone(),
        value: Some(value.into()),
    };
    python.put(&path, b"1").await?;
    expect("told", next().await?, &put("1"))?;
    python.put(&path, b"2").await?;
    expect("told", next().await?, &put("2"))?;
    python.delete(&path).await?;
    expect("told", next().await?, &Event::Delete { key: key.clone() })?;
    drop(events);
    site.nobody_watches().await?;
    Ok("written, written over, deleted".to_owned())
}

pub(crate) async fn wait_for_key_wakes(site: &Site) -> Checked {
    let scope = scope(site)?;
    let waiting = scope.wait_for_key("ready", PATIENCE);
    let putting = async {
        site.somebody_watches().await?;
        let watch = Stopwatch::start();
        site.python.put(&ours(site, "ready"), b"go").await?;
        Ok::<_, Box<dyn std::error::Error>>(watch)
    };
    let (woken, watch) = tokio::join!(waiting, putting);
    let took = watch?.elapsed();
    expect("the value", woken?, "go")?;
    site.nobody_watches().await?;
    Ok(format!("{} after Python began to write", millis(took)))
}

pub(crate) async fn wait_for_value_wakes(site: &Site) -> Checked {
    let scope = scope(site)?;
    let path = ours(site, "phase");
    site.python.put(&path, b"one").await?;
    let waiting = scope.wait_for_value("phase", "three", PATIENCE);
    let putting = async {
        site.somebody_watches().await?;
        site.python.put(&path, b"two").await?;
        site.python.put(&path, b"three").await
    };
    let (woken, put) = tokio::join!(waiting, putting);
    put?;
    expect("the value", woken?, "three")?;
    site.nobody_watches().await?;
    Ok("the third value of three".to_owned())
}

pub(crate) async fn wait_for_keys_wakes(site: &Site) -> Checked {
    let scope = scope(site)?;
    let waiting = async {
        let waiting = scope.wait_for_keys("rank:*/ready", 3);
        waiting.timeout(PATIENCE).await
    };
    let putting = async {
        site.somebody_watches().await?;
        scope.set("rank:0/ready", "1").await?;
        for rank in 1..3 {
            // The scope writes `/` in a key as it is.
            let path = ours(site, &format!("rank:{rank}/ready"));
            site.python.put(&path, b"1").await?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (ready, put) = tokio::join!(waiting, putting);
    put?;
    let names: Vec<Key> = ready?;
    let expected = [0, 1, 2].map(|rank| Key::try_from(format!("rank:{rank}/ready")));
    expect(
        "ready",
        names,
        &expected.into_iter().collect::<Result<Vec<_>, _>>()?,
    )?;
    Ok("a barrier of three, two of them Python's".to_owned())
}

fn scope(site: &Site) -> kv_core::Result<Scope> {
    site.kv.scope("training", "workers")
}

/// A key of the scope, as others see it.
fn ours(site: &Site, key: &str) -> Vec<u8> {
    site.path(format!("training/workers/{key}"))
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

//! Strings with a deadline: a header of 13 bytes before the value, and a lease that removes both.

use crate::{
    peer::Found,
    site::{Checked, PATIENCE, Site, expect},
};
use futures_util::StreamExt;
use kv_core::{Clock, Event, Key, Lifetime, SystemClock, TimeToLive, Ttl, Watch};
use std::time::Duration;
use tokio::time::timeout;

/// By how much the clocks of the two sides may differ; they are on one machine.
const SKEW: f64 = 1.0;

pub(crate) async fn header_is_read_and_the_lease_removes_it(site: &Site) -> Checked {
    const SECONDS: u8 = 2;
    let (python, path) = (&site.python, site.path("timed"));
    python.watch(&path).await?;
    let life = Duration::from_secs(SECONDS.into());
    site.kv.set_for("timed", "value", life).await?;
    let deadline = seconds_now() + f64::from(SECONDS);
    let told = python.event().await?;
    let found = found(site, "timed").await?;
    expect("what is told", &told.found.value, &&found.value)?;
    expect("length", found.value.len(), &(13 + "value".len()))?;
    expect("magic and version", &found.value[..5], &b"\0kv\x01\x01")?;
    let reading = python.read(&found.value).await?;
    expect("read", reading.value, &b"value".to_vec())?;
    let end = reading.end.as_f64().ok_or("the reader sees no deadline")?;
    expect("the deadline is near", (end - deadline).abs() < SKEW, &true)?;
    let lease = python.lease(found.lease).await?;
    let lives = lease.granted >= i64::from(SECONDS) && lease.left > 0;
    expect("the lease lives as long", lives, &true)?;
    // Nobody deletes it but etcd.
    expect("told", python.event().await?.kind, "DELETE")?;
    let late = seconds_now() - end;
    expect("removed early", late < -SKEW, &false)?;
    expect("we read", site.kv.get("timed").await?, &None)?;
    python.unwatch().await?;
    Ok(format!(
        "13 bytes and the value; removed {late:.1} s after its deadline"
    ))
}

pub(crate) async fn held_ends_with_the_lease(site: &Site) -> Checked {
    let life = Lifetime::new(Duration::from_secs(2))?;
    site.kv.set_for("held", "mine", Ttl::Held(life)).await?;
    let found = found(site, "held").await?;
    let reading = site.python.read(&found.value).await?;
    let expected = (b"mine".to_vec(), Some("lease"));
    expect("read", (reading.value, reading.end.as_str()), &expected)?;
    let lease = site.python.lease(found.lease).await?;
    expect(
        "the lease lives",
        lease.left >= 0 && lease.granted >= 2,
        &true,
    )?;
    Ok(format!("on a lease of {} s", lease.granted))
}

pub(crate) async fn a_header_written_there_counts_here(site: &Site) -> Checked {
    let deadline = SystemClock.now().as_micros() + 60_000_000;
    let header = [b"\0kv\x01\x01", &deadline.to_be_bytes()[..]].concat();
    let lease = site.python.grant(65).await?;
    let raw = [&header[..], b"value"].concat();
    let path = site.path("theirs");
    site.python.put_leased(&path, &raw, lease).await?;
    expect(
        "we read",
        site.kv.get("theirs").await?,
        &Some("value".into()),
    )?;
    let TimeToLive::In(left) = site.kv.time_to_live("theirs").await? else {
        return Err("we see no deadline".into());
    };
    let minute = Duration::from_secs(55)..=Duration::from_secs(60);
    expect("about a minute", minute.contains(&left), &true)?;
    // A deadline that has passed counts, whatever the lease says.
    let past = [b"\0kv\x01\x01", &1_i64.to_be_bytes()[..], b"value"].concat();
    site.python.put_leased(&path, &past, lease).await?;
    expect("we read", site.kv.get("theirs").await?, &None)?;
    Ok("read, with its time to live; not read behind its deadline".to_owned())
}

pub(crate) async fn a_lease_of_python_removes_a_plain_string(site: &Site) -> Checked {
    let key = Key::try_from("leased")?;
    let mut events = site.kv.watch(Watch::Keys(vec![key.clone()])).await?;
    let lease = site.python.grant(2).await?;
    let path = site.path("leased");
    site.python.put_leased(&path, b"plain", lease).await?;
    expect(
        "we read",
        site.kv.get("leased").await?,
        &Some("plain".into()),
    )?;
    let left = site.kv.time_to_live("leased").await?;
    expect("time to live", left, &TimeToLive::NoExpiry)?;
    let gone = Event::Delete { key };
    let told = timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            if event? == gone {
                return Ok(());
            }
        }
        Err(Box::<dyn std::error::Error>::from("the watch has ended"))
    });
    told.await.map_err(|_| "its end is not told")??;
    expect("we read", site.kv.get("leased").await?, &None)?;
    Ok("read as it is, without a time to live; its end is told".to_owned())
}

pub(crate) async fn written_over_loses_its_deadline(site: &Site) -> Checked {
    let path = site.path("over");
    let life = Duration::from_secs(60);
    site.kv.set_for("over", "1", life).await?;
    site.python.put(&path, b"2").await?;
    expect("we read", site.kv.get("over").await?, &Some("2".into()))?;
    let left = site.kv.time_to_live("over").await?;
    expect("time to live", left, &TimeToLive::NoExpiry)?;
    // And the other way round: what is there compares by its value, not by its header.
    site.kv.set_for("over", "3", life).await?;
    let replaced = site.python.replace(&path, b"3", b"4").await?;
    expect(
        "Python compares the value without the header",
        replaced,
        &false,
    )?;
    let raw = found(site, "over").await?.value;
    let replaced = site.python.replace(&path, &raw, b"4").await?;
    expect("Python compares all bytes", replaced, &true)?;
    expect("we read", site.kv.get("over").await?, &Some("4".into()))?;
    Ok("by a put, and by compare-and-set on all bytes".to_owned())
}

async fn found(site: &Site, key: &str) -> Result<Found, Box<dyn std::error::Error>> {
    let found = site.python.get(&site.path(key)).await?;
    Ok(found.ok_or_else(|| format!("Python does not see {key}"))?)
}

fn seconds_now() -> f64 {
    SystemClock.now().as_micros() as f64 / 1e6
}

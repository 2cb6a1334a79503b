//! Loads, fills and what comes in between.

use super::*;
use crate::site::{Site, heard};
use kv_core::{TxnReply, Value};

fn envelope(text: &str) -> Option<Value> {
    Some(text.into())
}

async fn one_loads_and_the_others_wait_or_read(site: Site) {
    let entry = &Entry::new("a");
    let mut events = site.listen(channel()).await;
    let mut ann = site.commit(get_or_lease(entry, "ann")).await;
    assert!(ann.applied && ann.token(1).unwrap() > 0);
    let mut bob = site.commit(get_or_lease(entry, "bob")).await;
    assert!(!bob.applied);
    assert_eq!(bob.value(0).unwrap(), None);
    assert_eq!(bob.mark(1).unwrap(), Some("ann".into()));
    // Nor is it taken from her by who cannot read what is there.
    let mut blind = site.commit(lease_unread(entry, "bob")).await;
    assert!(!blind.applied);
    assert_eq!(blind.mark(0).unwrap(), Some("ann".into()));
    // Re-sent: she finds her own lease and its version.
    let mut again = site.commit(get_or_lease(entry, "ann")).await;
    assert_eq!(again.mark(1).unwrap(), Some("ann".into()));
    assert!(again.token(2).unwrap() > 0);

    assert!(site.commit(fill(entry, "ann", "one")).await.applied);
    assert_eq!(heard(&mut events).await, "filled");
    let mut resent = site.commit(fill(entry, "ann", "one")).await;
    assert!(!resent.applied);
    assert_eq!(resent.mark(0).unwrap(), None);
    let mut bob = site.commit(get_or_lease(entry, "bob")).await;
    assert_eq!(bob.value(0).unwrap(), envelope("one"));
    assert_eq!(bob.mark(1).unwrap(), None);
}

async fn a_stale_entry_is_served_while_one_refreshes_it(site: Site) {
    let entry = &Entry::new("a");
    site.commit(get_or_lease(entry, "ann")).await;
    site.commit(fill(entry, "ann", "one")).await;
    let mut bob = site.commit(refresh_lease(entry, "bob")).await;
    assert!(bob.applied);
    assert_eq!(bob.value(3).unwrap(), envelope("one"));
    assert_eq!(bob.value(4).unwrap(), None);
    assert_eq!(Some(bob.time(2).unwrap()), bob.now);
    let mut cid = site.commit(refresh_lease(entry, "cid")).await;
    assert!(!cid.applied);
    assert_eq!(cid.value(0).unwrap(), envelope("one"));
    assert!(!site.commit(give_up(entry, "cid")).await.applied);
    let mut events = site.listen(channel()).await;
    assert!(site.commit(give_up(entry, "bob")).await.applied);
    assert_eq!(heard(&mut events).await, "failed");

    let mut cid = site.commit(refresh_lease(entry, "cid")).await;
    assert!(cid.applied && cid.token(1).unwrap() > bob.token(1).unwrap());
}

async fn a_fill_that_began_before_an_invalidation_is_dropped(site: Site) {
    let entry = &Entry::new("a");
    let mut ann = site.commit(get_or_lease(entry, "ann")).await;
    let mut events = site.listen(channel()).await;
    let mut told = site.listen(news()).await;
    let mut version = ann.token(1).unwrap();
    for _ in 0..2 {
        let removed = site.commit(invalidate(entry)).await.token(3).unwrap();
        assert!(removed > version);
        assert_eq!(heard(&mut events).await, "removed");
        assert_eq!(heard(&mut told).await, "removed a");
        version = removed;
    }

    assert!(!site.commit(fill(entry, "ann", "old")).await.applied);
    let mut bob = site.commit(get_or_lease(entry, "bob")).await;
    assert!(bob.applied && bob.token(1).unwrap() > version);

    assert!(!site.commit(fill(entry, "ann", "old")).await.applied);
    assert!(site.commit(fill(entry, "bob", "new")).await.applied);
    assert_eq!(
        site.kv.get(entry.key("data")).await.unwrap(),
        envelope("new")
    );
    site.commit(expire(entry)).await;
    site.commit(invalidate(entry)).await;
    for name in ["data", "expired", "lease"] {
        assert!(!site.kv.exists(entry.key(name)).await.unwrap(), "{name}");
    }
}

async fn an_expired_entry_is_there_but_known_as_stale(site: Site) {
    let entry = &Entry::new("a");
    site.commit(get_or_lease(entry, "ann")).await;
    site.commit(fill(entry, "ann", "one")).await;
    let version = site
        .commit(refresh_lease(entry, "ann"))
        .await
        .token(1)
        .unwrap();
    let mut events = site.listen(channel()).await;
    let mut told = site.listen(news()).await;
    assert!(site.commit(expire(entry)).await.token(2).unwrap() > version);
    assert_eq!(heard(&mut events).await, "expired");
    assert_eq!(heard(&mut told).await, "expired a");
    assert!(
        !site
            .commit(fill(entry, "ann", "loaded before"))
            .await
            .applied
    );
    let mut bob = site.commit(get_or_lease(entry, "bob")).await;
    assert_eq!(bob.value(0).unwrap(), envelope("one"));
    assert!(bob.value(3).unwrap().is_some());
    let mut seen = site.commit(look(entry)).await;
    assert_eq!(seen.value(0).unwrap(), envelope("one"));
    assert!(seen.value(1).unwrap().is_some());
    assert!(seen.time(2).unwrap() >= bob.time(4).unwrap());
    let glanced = site.kv.get_many(glance(entry)).await.unwrap();
    assert!(glanced[0].is_some());
    assert_eq!(glanced[1], envelope("one"));
    site.commit(refresh_lease(entry, "bob")).await;
    site.commit(fill(entry, "bob", "two")).await;
    let mut cid = site.commit(get_or_lease(entry, "cid")).await;
    assert_eq!(cid.value(0).unwrap(), envelope("two"));
    assert_eq!(cid.value(3).unwrap(), None);
    let glanced = site.kv.get_many(glance(entry)).await.unwrap();
    assert_eq!(glanced, [None, envelope("two")]);
}

async fn a_write_takes_the_lease_away_from_a_loader(site: Site) {
    let entry = &Entry::new("a");
    site.commit(get_or_lease(entry, "ann")).await;
    assert!(site.commit(seize(entry, "bob")).await.token(1).unwrap() > 0);

    let mut told = site.listen(news()).await;
    assert!(!site.commit(write(entry, "ann", "late")).await.applied);
    assert!(!site.commit(fill(entry, "ann", "loaded")).await.applied);
    assert!(site.commit(write(entry, "bob", "written")).await.applied);
    assert_eq!(heard(&mut told).await, "removed a");
    assert!(!site.commit(write(entry, "bob", "again")).await.applied);
    site.commit(expire(entry)).await;
    assert_eq!(heard(&mut told).await, "expired a");
    assert_eq!(
        site.kv.get(entry.key("data")).await.unwrap(),
        envelope("written")
    );
}

/// The version of the changes, and those of the tags.
fn tokens(reply: &mut TxnReply) -> Vec<u64> {
    (0..reply.answers.len())
        .map(|at| reply.token(at).unwrap())
        .collect()
}

async fn a_tag_changes_for_all_its_entries_at_once(site: Site) {
    let mut events = site.listen(news()).await;
    let all = &["red", "*"];
    let [lease, mut kept] = site
        .commit_all([get_or_lease(&Entry::new("a"), "n"), versions(all)])
        .await;
    assert!(lease.applied);
    let mut kept = tokens(&mut kept);
    assert_eq!(kept, [0; 5]);
    for (name, kind, changed) in [
        ("red", "removed", 1),
        ("red", "expired", 2),
        ("*", "removed", 3),
        ("*", "expired", 4),
    ] {
        site.commit(bump(name, kind)).await;
        assert_eq!(heard(&mut events).await, name);
        let now = tokens(&mut site.commit(versions(all)).await);
        for at in 0..5 {
            // The changes' is greater with each.
            let is_changed = at == 0 || at == changed;
            assert_eq!(now[at] > kept[at], is_changed, "{name} {kind} {at}");
            assert!(now[at] >= kept[at]);
        }
        kept = now;
    }
}

async fn a_tag_is_begun_once_and_anew_after_a_loss(site: Site) {
    let mut first = site.commit(begin("red", "removed")).await;
    assert!(first.applied);
    let first = first.token(0).unwrap();
    assert!(first > 0);
    let mut again = site.commit(begin("red", "removed")).await;
    assert!(!again.applied);
    assert_eq!(again.token(0).unwrap(), first);
    assert!(site.kv.delete(tag("red", "removed")).await.unwrap());
    let mut anew = site.commit(begin("red", "removed")).await;
    assert!(anew.applied && anew.token(0).unwrap() > first);
    let mut changes = site.commit(versions(&[])).await;
    assert_eq!(changes.token(0).unwrap(), 0, "nothing was removed");
}

crate::on_each_store! {
    one_loads_and_the_others_wait_or_read
    a_stale_entry_is_served_while_one_refreshes_it
    a_fill_that_began_before_an_invalidation_is_dropped
    an_expired_entry_is_there_but_known_as_stale
    a_write_takes_the_lease_away_from_a_loader
    a_tag_changes_for_all_its_entries_at_once
    a_tag_is_begun_once_and_anew_after_a_loss
}

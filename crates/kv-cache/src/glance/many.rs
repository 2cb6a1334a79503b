//! A look at many entries, in one question.
//!
//! Nobody takes turns for it: who asks for as many at once reads them for itself.

use super::{Glanced, Hint, Own, OwnLook, Sought, judge, refused};
use crate::{
    cache::Cache,
    envelope::Envelope,
    far::{FarEntry, transitions::Found},
    key::CacheKey,
    shared::CacheValue,
    tags::{Sight, TagName, Verdict},
};
use kv_core::Result;
use std::{collections::HashSet, time::Duration};

/// So many are looked for in one question, with a deadline of its own.
const AT_ONCE: usize = 256;
/// So many tags of theirs are asked for; an entry that has others goes its own way.
const MOST_TAGS: usize = 1024;

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// As [`glance`](Self::glance), for many. If the store does not answer for some of them it is asked for none of the
    /// others: all are refused.
    pub(crate) async fn glance_many(&self, sought: &[Sought<'_, K, V>]) -> Result<Vec<Own<V>>> {
        let mut all = Vec::with_capacity(sought.len());
        for part in sought.chunks(AT_ONCE) {
            match self.glance_part(part).await? {
                Ok(part) => all.extend(part),
                Err(Hint::Refused) => {
                    let is_hit = |it: &Own<V>| matches!(it, Own::Hit(_));
                    for missed in all.iter_mut().filter(|it| !is_hit(it)) {
                        *missed = Own::Not(Hint::Refused);
                    }
                    all.resize_with(sought.len(), || Own::Not(Hint::Refused));
                    break;
                }
                Err(hint) => all.extend(part.iter().map(|_| Own::Not(hint.clone()))),
            }
        }
        Ok(all)
    }

    /// Or what is said of all of them.
    async fn glance_part(
        &self,
        sought: &[Sought<'_, K, V>],
    ) -> Result<std::result::Result<Vec<Own<V>>, Hint>> {
        let shared = &*self.shared;
        let asked = shared.now();
        let looks: Result<Vec<_>> = sought.iter().map(|it| self.own_look(*it)).collect();
        let looks = looks?;
        let own = || looks.iter().flatten();
        let first = own().next().map(|it| &it.far);
        // They are one caller's: what is known of all entries is known for each.
        let now = own().map(|it| it.far.may_glance(&it.sight)).min().flatten();
        let (Some(first), Some(now)) = (first, now) else {
            return Ok(Err(Hint::Unseen));
        };
        let entries: Vec<_> = own().map(|it| &it.far).collect();
        let mut known = Sight::new(shared.scope()?);
        known.renew(|it| shared.trusts(it, asked));
        let read = async {
            let found = FarEntry::glance(&entries, now).await?;
            for tag in tags(&found) {
                known.see(&tag, |it| shared.trusts(it, asked));
            }
            // For all at once: none is to wait for another.
            first.caller.see(&mut known).await?;
            Result::Ok(found)
        };
        let mut found = match read.await {
            Ok(found) => found.into_iter(),
            Err(error) => return Ok(Err(refused(shared, &first.caller, error))),
        };
        let mut all = Vec::with_capacity(looks.len());
        for look in looks {
            all.push(match look {
                Some(mut own) => {
                    let found = found.next().flatten();
                    let glanced = own.judge_known(found, asked).await;
                    own.end(glanced)
                }
                None => Own::Not(Hint::Unseen),
            });
        }
        Ok(Ok(all))
    }
}

impl<V: CacheValue> OwnLook<'_, V> {
    /// As [`judge`], without a question to the store.
    async fn judge_known(&mut self, found: Option<Found>, asked: Duration) -> Glanced<V> {
        let shared = self.shared;
        if let Some(found) = &found
            && let Ok((envelope, _)) = Envelope::open(found.value.clone())
        {
            for (tag, _) in &envelope.tags.named {
                self.sight.see(tag, |it| shared.trusts(it, asked));
            }
            match self.sight.verdict(&envelope.tags) {
                Some((Verdict::Holds, _)) => {}
                Some(_) => return Glanced::Not(Hint::Outdated(0)),
                None => return Glanced::Not(Hint::Unseen),
            }
        }
        let (far, known) = (&self.far, self.known);
        judge(
            shared,
            far,
            self.key,
            known,
            &mut self.sight,
            (found, asked),
        )
        .await
    }
}

fn tags(found: &[Option<Found>]) -> HashSet<TagName> {
    let found = found.iter().flatten();
    let envelopes = found.filter_map(|it| Envelope::open(it.value.clone()).ok());
    let tags = envelopes.flat_map(|(envelope, _)| envelope.tags.named);
    tags.map(|(tag, _)| tag).take(MOST_TAGS).collect()
}

//! What has to be asked of the server so that it tells what the subscribers want.

use super::{super::look::Look, Board};
use crate::error::{Answer, Failure};
use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::sync::oneshot;

/// A subscriber that waits until it is live.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) names: Vec<Bytes>,
    pub(super) done: oneshot::Sender<Answer<()>>,
}

/// What the server has to be asked before the subscribers that wait are live.
pub(in crate::watch) struct Work {
    round: u64,
    losses: u64,
    pub(in crate::watch) arm: Vec<(Bytes, u64)>,
    pub(in crate::watch) subscribe: Vec<Bytes>,
    pub(in crate::watch) unsubscribe: Vec<Bytes>,
    pub(in crate::watch) cover: Option<Cover>,
    jobs: Vec<Job>,
    missed: HashSet<u64>,
    /// What the looks that armed the keys found.
    pub(in crate::watch) found: Vec<Look>,
    /// Names that the server does not permit.
    pub(in crate::watch) refused: HashMap<Bytes, Failure>,
    /// Why the server tells of no further ranges, should it be so.
    pub(in crate::watch) shut: Option<Failure>,
}

pub(in crate::watch) struct Cover {
    pub(in crate::watch) before: Vec<Bytes>,
    pub(in crate::watch) after: Vec<Bytes>,
}

impl Work {
    /// Tells those who wait for it that it was not done.
    pub(in crate::watch) fn fail(self, failure: &Failure) {
        for job in self.jobs {
            let _ = job.done.send(Err(failure.clone()));
        }
    }
}

impl Board {
    /// What is to be asked of the server, if anything.
    pub(in crate::watch) fn take_work(&mut self) -> Option<Work> {
        let idle = self.unarmed.is_empty() && self.turned.is_empty() && !self.uncovered;
        if idle && self.jobs.is_empty() && self.missed.is_empty() {
            return None;
        }
        let unarmed = std::mem::take(&mut self.unarmed).into_iter();
        let arm = unarmed.filter_map(|name| Some((self.keys.get(&name)?.born, name)));
        let arm = arm.map(|(born, name)| (name, born)).collect();
        let mut subscribe = Vec::new();
        let mut unsubscribe = Vec::new();
        for name in std::mem::take(&mut self.turned) {
            match self.channels.get(&name) {
                Some(topic) if topic.is_empty() => {
                    self.channels.remove(&name);
                    unsubscribe.push(name);
                }
                Some(topic) if !topic.ready => subscribe.push(name),
                _ => {}
            }
        }
        let cover = self.cover();
        Some(Work {
            round: self.round,
            losses: self.losses,
            arm,
            subscribe,
            unsubscribe,
            cover,
            jobs: std::mem::take(&mut self.jobs),
            missed: std::mem::take(&mut self.missed),
            found: Vec::new(),
            refused: HashMap::new(),
            shut: None,
        })
    }

    /// The server has done what it was asked.
    pub(in crate::watch) fn finish(&mut self, work: Work, now: Duration) {
        if work.losses == self.losses {
            self.made_ready(&work, now);
        }
        for (name, failure) in &work.refused {
            for topics in [&mut self.keys, &mut self.channels] {
                if let Some(topic) = topics.get_mut(name) {
                    topic.ready = false;
                    let subscribers = topic.subscribers().iter();
                    subscribers.for_each(|it| it.end(failure.clone()));
                }
            }
        }
        if let Some(failure) = &work.shut {
            let shut = self.ranges.iter_mut().filter(|(_, topic)| !topic.ready);
            let subscribers = shut.flat_map(|(_, topic)| topic.subscribers());
            subscribers.for_each(|it| it.end(failure.clone()));
        }
        // Otherwise all is asked once more: they are live after that, and may have missed more.
        if work.round != self.round {
            self.missed.extend(work.missed);
            self.jobs.extend(work.jobs);
            return;
        }
        for job in work.jobs {
            let refused = job.names.iter().find_map(|it| match &work.shut {
                Some(failure) if !is_within(it, &self.covered) => Some(failure),
                _ => work.refused.get(it),
            });
            let _ = job.done.send(refused.cloned().map_or(Ok(()), Err));
        }
        for id in work.missed {
            if let Some(subscriber) = self.watchers.get(&id) {
                subscriber.resync();
            }
        }
    }

    fn made_ready(&mut self, work: &Work, now: Duration) {
        if work.round == self.round {
            for ((name, born), look) in work.arm.iter().zip(&work.found) {
                if let Some(topic) = self.keys.get_mut(name) {
                    topic.ready |= topic.born == *born;
                    self.expect_end(name, look, now);
                }
            }
        }
        for name in &work.subscribe {
            if let Some(topic) = self.channels.get_mut(name) {
                topic.ready = true;
            }
        }
        if let Some(Cover { after, .. }) = &work.cover {
            self.covered.clone_from(after);
        }
        for (name, topic) in self.ranges.iter_mut() {
            topic.ready = is_within(name, &self.covered);
        }
    }

    fn cover(&mut self) -> Option<Cover> {
        if !std::mem::take(&mut self.uncovered) {
            return None;
        }
        self.stale_since = None;
        let after = self.ranges.cover();
        let before = self.covered.clone();
        let shrinks = before.iter().any(|range| !after.contains(range));
        if shrinks {
            // What is under way while the server changes over is lost.
            let waiting: HashSet<u64> = self.jobs.iter().map(|job| job.id).collect();
            let concerned = self.watchers.keys().filter(|id| !waiting.contains(id));
            self.missed.extend(concerned);
            // So is the push of an end that was told.
            self.owed.clear();
        }
        (before != after).then_some(Cover { before, after })
    }
}

/// Whether a key or range lies in one of these ranges.
pub(in crate::watch) fn is_within(name: &[u8], ranges: &[Bytes]) -> bool {
    ranges.iter().any(|range| name.starts_with(range))
}

//! What both sides are asked, and how it is spread over tasks.

use bytes::Bytes;
use kv_tests::bench::Outcome;
use std::sync::Arc;
use tokio::{runtime::Runtime, task::JoinSet};

/// The keys, the value, and how many of them one call takes.
#[derive(Clone)]
pub(crate) struct Load {
    keys: Arc<[String]>,
    value: Bytes,
    batch: usize,
}

impl Load {
    pub(crate) fn new(keys: u64, batch: usize) -> Self {
        Self {
            keys: (0..keys).map(|it| format!("key:{it:012}")).collect(),
            value: Bytes::from(vec![b'v'; 100]),
            batch,
        }
    }

    /// The same with keys of their own.
    pub(crate) fn below(self, prefix: &str) -> Self {
        let keys = self.keys.iter().map(|key| format!("{prefix}{key}"));
        Self {
            keys: keys.collect(),
            ..self
        }
    }

    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(crate) fn value(&self) -> &Bytes {
        &self.value
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Lets so many tasks, each with a clone of the client, do the operations together.
    pub(crate) fn spread<C: Clone, F>(
        &self,
        (runtime, client): (&Runtime, &C),
        (tasks, ops): (u64, u64),
        work: fn(C, Share) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        runtime.block_on(async {
            let mut running = JoinSet::new();
            for task in 0..tasks {
                let share = Share {
                    load: self.clone(),
                    task,
                    seed: fastrand::u64(..),
                    count: ops / tasks + u64::from(task < ops % tasks),
                };
                running.spawn(work(client.clone(), share));
            }
            while let Some(done) = running.join_next().await {
                done??;
            }
            Ok(())
        })
    }
}

/// One task's share.
pub(crate) struct Share {
    load: Load,
    task: u64,
    seed: u64,
    count: u64,
}

impl Share {
    /// A key that is no other task's.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{name}:{}", self.task)
    }

    /// How many calls to make.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many keys or members a call is about.
    pub(crate) fn batch(&self) -> usize {
        self.load.batch
    }

    pub(crate) fn value(&self) -> Bytes {
        self.load.value.clone()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.load.value
    }

    /// A random key for each call.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = &self.load.keys;
        let mut random = fastrand::Rng::with_seed(self.seed);
        (0..self.count).map(move |_| &*keys[random.usize(..keys.len())])
    }

    /// A random member and score for each call.
    pub(crate) fn scored(&self) -> impl Iterator<Item = (&str, f64)> {
        let mut random = fastrand::Rng::with_seed(!self.seed);
        self.keys().map(move |key| (key, random.u32(..).into()))
    }

    /// A batch of keys for each call, each key once before any comes again.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &[String]> {
        let batches = self.load.keys.chunks_exact(self.load.batch);
        batches.cycle().take(self.count as usize)
    }

    /// Whether this is what was written.
    pub(crate) fn check_value(&self, value: Option<impl AsRef<[u8]>>) -> Outcome {
        match value {
            Some(value) if value.as_ref().len() == self.load.value.len() => Ok(()),
            _ => Err("read something else than was written".into()),
        }
    }

    /// Whether a call was answered for its whole batch.
    pub(crate) fn check_count(&self, count: usize) -> Outcome {
        match count == self.load.batch {
            true => Ok(()),
            false => Err(format!("{count} instead of {} were there", self.load.batch).into()),
        }
    }
}

//! The policies in force, which can change while they are used.

use crate::{
    LimitError, Policy, PolicyError, Tier, UnknownPolicy,
    local::{Locals, governed::Governed},
    policy::OnError,
    telemetry::Meters,
};
use ahash::HashMap;
use arc_swap::{ArcSwap, Guard};
use kv_core::{Capabilities, Clock, Gcra, Timers};
use parking_lot::Mutex;
use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

/// A policy in force, and what this process keeps for it.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    /// How often its quota has changed.
    pub(crate) generation: u64,
    pub(crate) timers: Timers,
    /// For others who ask for the same: half of the policy's deadline, so that it can ask for itself.
    pub(crate) patience: Timers,
    pub(crate) meters: Meters,
    /// It goes on when the policy changes.
    pub(crate) locals: Locals,
    /// The whole quota, or the share of it for when the store cannot be asked.
    pub(crate) own: Option<Governed>,
    pub(crate) flood: Option<Governed>,
}

impl Active {
    /// GCRA's numbers, if it is that, and which of its quotas it is.
    pub(crate) fn by_quota(&self) -> (Option<&Gcra>, u64) {
        (self.policy.quota.as_gcra(), self.generation)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Policies {
    active: ArcSwap<ByName>,
    /// What they are made of; held while they are.
    layers: Mutex<Layers>,
    clock: Arc<dyn Clock>,
    store: Capabilities,
    /// So many subjects are remembered for each.
    capacity: u64,
}

type ByName = HashMap<Arc<str>, Arc<Active>>;

/// Those that are in force at some time.
pub(crate) struct Now(Guard<Arc<ByName>>);

impl Now {
    pub(crate) fn get(&self, name: &str) -> Result<&Arc<Active>, LimitError> {
        self.0.get(name).ok_or_else(|| {
            let mut known: Vec<_> = self.0.keys().map(|it| it.to_string()).collect();
            known.sort_unstable();
            LimitError::UnknownPolicy(UnknownPolicy {
                name: name.to_owned(),
                known,
            })
        })
    }
}

#[derive(Clone, Debug, Default)]
struct Layers {
    configured: BTreeMap<String, Policy>,
    /// What a key of the store says, which counts more.
    over: BTreeMap<String, Policy>,
}

impl Policies {
    pub(crate) fn new(
        policies: BTreeMap<String, Policy>,
        clock: Arc<dyn Clock>,
        store: Capabilities,
        capacity: u64,
    ) -> Result<Self, PolicyError> {
        let all = Self {
            active: ArcSwap::default(),
            layers: Mutex::default(),
            clock,
            store,
            capacity,
        };
        all.replace(policies)?;
        Ok(all)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Active>, LimitError> {
        self.now().get(name).cloned()
    }

    /// All that are in force now, for who needs them no longer than a call: nobody's count of holders is
    /// touched.
    pub(crate) fn now(&self) -> Now {
        Now(self.active.load())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Active>> {
        let mut all: Vec<_> = self.active.load().values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Puts others in force, all or none. What subjects have used stays used.
    pub(crate) fn replace(&self, policies: BTreeMap<String, Policy>) -> Result<(), PolicyError> {
        let mut layers = self.layers.lock();
        let next = Layers {
            configured: policies,
            over: layers.over.clone(),
        };
        self.put(&next)?;
        *layers = next;
        Ok(())
    }

    /// Puts these in force in place of those of the same name, and of those that were laid over before.
    pub(crate) fn lay_over(&self, policies: BTreeMap<String, Policy>) -> Result<(), LimitError> {
        let mut layers = self.layers.lock();
        let next = Layers {
            configured: layers.configured.clone(),
            over: policies,
        };
        self.put(&next)?;
        *layers = next;
        Ok(())
    }

    fn put(&self, layers: &Layers) -> Result<(), PolicyError> {
        let before = self.active.load();
        let mut active = HashMap::default();
        let mut all = layers.configured.clone();
        all.extend(layers.over.clone());
        for (name, policy) in all {
            let policy = policy.settle(&name, &self.store)?;
            let name: Arc<str> = name.into();
            let next = match before.get(&name) {
                Some(same) if same.policy == policy => same.clone(),
                old => Arc::new(self.activate(&name, policy, old.map(|it| &**it))?),
            };
            active.insert(name, next);
        }
        self.active.store(Arc::new(active));
        Ok(())
    }

    fn activate(
        &self,
        name: &Arc<str>,
        policy: Policy,
        before: Option<&Active>,
    ) -> Result<Active, PolicyError> {
        let share = match (policy.tier, policy.on_error) {
            (Tier::InProcess, _) => Some(1.0),
            (_, OnError::Local { share }) => Some(share),
            _ => None,
        };
        let governed = |times: f64| {
            let gcra = policy.quota.as_gcra();
            let gcra =
                gcra.ok_or_else(|| PolicyError::new(name, "only a GCRA quota is kept here"))?;
            Governed::new(gcra, times, &self.clock).map_err(|reason| PolicyError::new(name, reason))
        };
        let own = share.map(governed).transpose()?;
        let times = policy.flood_guard.map(NonZeroU32::get);
        let flood = times.map(|it| governed(f64::from(it))).transpose()?;
        let locals = match before {
            Some(before) => before.locals.clone(),
            None => Locals::new(self.capacity),
        };
        Ok(Active {
            name: name.clone(),
            meters: Meters::new(name),
            timers: Timers::new(self.clock.clone(), policy.deadline),
            patience: Timers::new(self.clock.clone(), policy.deadline / 2),
            generation: match before {
                Some(before) if before.policy.quota == policy.quota => before.generation,
                Some(before) => before.generation + 1,
                None => 0,
            },
            policy,
            locals,
            own,
            flood,
        })
    }
}

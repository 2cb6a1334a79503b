//! The store under test and what the suite must know about it.

use kv_core::{BoxFuture, Kv, Result};
use std::{fmt, sync::Arc, time::Duration};

/// Opens one handle.
pub(crate) type Opener = Arc<dyn Fn() -> BoxFuture<'static, Result<Kv>> + Send + Sync>;

/// A store under test: its name, how to open it, and its settings.
///
/// Every case opens handles of its own, keeps to keys below a random root and removes them at the
/// end, so a fixture may point at a server that others use too.
#[derive(Clone)]
pub struct Fixture {
    name: String,
    backends: Arc<dyn Fn() -> Opener + Send + Sync>,
    handles: Handles,
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handles {
    /// Every handle opened is one more on the same backend.
    Independent,
    /// The backend lives and dies with its one handle.
    Clones,
}

impl Fixture {
    /// A store whose every handle, opened anew, sees the same data: a server.
    pub fn new<F, Fut>(name: impl Into<String>, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Kv>> + Send + 'static,
    {
        let opener = opener(open);
        Self::with(name, Handles::Independent, move || Arc::clone(&opener))
    }

    /// A store that lives inside the process: each handle opened is a new, empty one, and a case's
    /// second handle is a clone of its first.
    pub fn in_process<F, Fut>(name: impl Into<String>, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Kv>> + Send + 'static,
    {
        let opener = opener(open);
        Self::with(name, Handles::Clones, move || Arc::clone(&opener))
    }

    /// A store of which each case gets its own backend: `backend` makes one, and what it returns
    /// opens any number of handles on it.
    pub fn per_case<B, F, Fut>(name: impl Into<String>, backend: B) -> Self
    where
        B: Fn() -> F + Send + Sync + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Kv>> + Send + 'static,
    {
        Self::with(name, Handles::Independent, move || opener(backend()))
    }

    /// With these settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn backend(&self) -> Opener {
        (self.backends)()
    }

    pub(crate) fn handles(&self) -> Handles {
        self.handles
    }

    pub(crate) fn known(&self) -> &Settings {
        &self.settings
    }

    fn with(
        name: impl Into<String>,
        handles: Handles,
        backends: impl Fn() -> Opener + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            backends: Arc::new(backends),
            handles,
            settings: Settings::default(),
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What the suite cannot learn from the store's capabilities.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How late a key may end, beyond the store's own granularity; a second by default. A store that
    /// judges deadlines whenever it is asked sets zero and is tested more sharply.
    pub slack: Duration,
    /// How much later still a key may end that is held by the store's clock alone; nothing by default.
    /// For stores that end such keys in batches.
    pub held_slack: Duration,
    /// The deadline that a layer of the stack gives to writes that say nothing about one. At least
    /// ten minutes, or cases that expect a key to stay will not find it.
    pub unset_ttl: Option<Duration>,
    /// What the stack does with the tenant of a call.
    pub tenancy: Tenancy,
    /// The longest value that the suite sends, in bytes; 4 MiB by default. Where the store's limit is
    /// higher, the refusal of one byte more is not tried.
    pub max_value_test: usize,
    /// How long a case may take before it counts as hung; a minute by default.
    pub case_deadline: Duration,
}

/// What a stack does with the tenant of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tenancy {
    /// Nothing: all callers see the same keys, and clearing them all must be refused.
    Shared,
    /// The caller's tenant, where there is one, is part of every key: clearing stays within it.
    InKeys,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slack: Duration::from_secs(1),
            held_slack: Duration::ZERO,
            unset_ttl: None,
            tenancy: Tenancy::Shared,
            max_value_test: 4 << 20,
            case_deadline: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// With this much lateness allowed for the end of a key.
    #[must_use]
    pub fn slack(mut self, slack: Duration) -> Self {
        self.slack = slack;
        self
    }

    /// With this much more lateness allowed for the end of a held key.
    #[must_use]
    pub fn held_slack(mut self, slack: Duration) -> Self {
        self.held_slack = slack;
        self
    }

    /// With a layer that gives this deadline to writes that say nothing about one.
    #[must_use]
    pub fn unset_ttl(mut self, ttl: Duration) -> Self {
        self.unset_ttl = Some(ttl);
        self
    }

    /// With a layer that does this with the caller's tenant.
    #[must_use]
    pub fn tenancy(mut self, tenancy: Tenancy) -> Self {
        self.tenancy = tenancy;
        self
    }

    /// With values up to this many bytes.
    #[must_use]
    pub fn max_value_test(mut self, bytes: usize) -> Self {
        self.max_value_test = bytes;
        self
    }

    /// With this much time for each case.
    #[must_use]
    pub fn case_deadline(mut self, deadline: Duration) -> Self {
        self.case_deadline = deadline;
        self
    }
}

fn opener<F, Fut>(open: F) -> Opener
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Kv>> + Send + 'static,
{
    Arc::new(move || Box::pin(open()))
}

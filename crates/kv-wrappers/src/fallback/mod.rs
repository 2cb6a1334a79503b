mod fill;
mod meters;

use self::meters::{Meters, Why};
use crate::telemetry::{StoreName, describe};
use kv_core::{
    Access, BoxFuture, CallOptions, Capabilities, Capability, CapabilitySet, Command, Context,
    Error, ErrorKind, Events, Key, Kv, Layer, Repeat, Reply, Request, Result, Service, TimeToLive,
    Watch,
};
use serde::Deserialize;
use std::{fmt, sync::Arc};

/// What is left of a stack's capabilities: what two stores without a transaction between them can
/// honour.
const SHARED: CapabilitySet = CapabilitySet::NONE
    .with(Capability::Strings)
    .with(Capability::Expiry)
    .with(Capability::Scan)
    .with(Capability::ScanAfter);

/// When a second store is asked, and whether it is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FallbackConfig {
    /// When a read falls back.
    pub on: FallbackOn,
    /// Where writes go.
    pub writes: FallbackWrites,
}

impl FallbackConfig {
    /// Both at once.
    pub fn new(on: FallbackOn, writes: FallbackWrites) -> Self {
        Self { on, writes }
    }
}

/// When a read falls back to the second store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackOn {
    /// When the first cannot be reached, does not answer in time, or is overloaded.
    #[default]
    Error,
    /// Also when a `get` or `get_many` misses there. What the second has is then written to the
    /// first.
    MissOrError,
}

/// Where writes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackWrites {
    /// To the first store only; the second is filled by others.
    #[default]
    Around,
    /// To the first store and, once they are applied there, to the second.
    Through,
}

/// Lets reads fall back to a second store when the first is away.
///
/// Only reads do: a write that the first store did not take is an error, whatever the second could
/// do with it. `WrongType`, `InvalidArgument` and other answers of the first store are answers. If the
/// second fails too, the first one's error is returned, with the other's in the fact `fallback`.
///
/// With [`FallbackOn::MissOrError`] a missed string that the second store has is written to the first
/// with what is left of its deadline, and only if nothing is there; if something is by then, that is
/// the answer. This needs transactions in the second store, which read string and deadline in one
/// step, and conditional writes in the first; without them nothing is written.
///
/// # What reads can see
/// What the second store has can be older than what the first had. A write through that fails in the
/// second store is not told: the first has it. So all that depends on one order of events is
/// subtracted from the capabilities: conditions, counters, transactions, structures, watches,
/// messages. What is left is strings with deadlines, and listing and clearing; listing asks the first
/// store only, since pages of two stores do not fit together.
///
/// # Its place
/// The second store gets keys and values as they are at this place. Outside of a layer that keeps tenants
/// apart they would meet there: connecting is refused unless the second store keeps them apart, too.
/// Namespaces are not looked at: where stores of several fall back to one from outside of their
/// resolvers, the same key of a caller is one key there, and each reads what the others wrote. Put it
/// further in then, or give each a second store of its own namespace. Outside of an
/// [`Encrypt`](crate::Encrypt) it gets plain values.
///
/// # Lifecycle
/// Connecting connects both. Closing closes the first; the second belongs to who made it.
///
/// # Cancel safety
/// May be dropped; a write through may then be in the first store only.
#[derive(Clone)]
pub struct Fallback {
    config: FallbackConfig,
    second: Kv,
    store: StoreName,
}

impl Fallback {
    /// A layer that falls back to this store. Keys get there as they are at the layer's place in the
    /// stack.
    pub fn new(config: FallbackConfig, second: Kv) -> Self {
        Self {
            config,
            second,
            store: StoreName::default(),
        }
    }

    /// With this name of the first store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}", self.config, self.second)
    }
}

impl Layer for Fallback {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("fallback");
        Arc::new(FallbackService {
            inner,
            meters: Meters::new(&self.store),
            layer: self.clone(),
        })
    }
}

struct FallbackService {
    inner: Arc<dyn Service>,
    meters: Meters,
    layer: Fallback,
}

impl Service for FallbackService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let FallbackConfig { on, writes } = self.layer.config;
        match (&request.command, request.command.spec().access) {
            (Command::Scan { .. }, _) => self.inner.call(request),
            (Command::Get { .. } | Command::GetMany { .. }, _) if on == FallbackOn::MissOrError => {
                Box::pin(self.read_and_fill(request))
            }
            (_, Access::Read) => Box::pin(self.read(request)),
            (command, Access::Write)
                if writes == FallbackWrites::Through && command.repeat() == Repeat::Safe =>
            {
                Box::pin(self.write_through(request))
            }
            (_, Access::Write) => self.inner.call(request),
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        let mut left = self.inner.capabilities();
        let second = self.layer.second.capabilities();
        let is_through = self.layer.config.writes == FallbackWrites::Through;
        left.can = left
            .can
            .iter()
            .filter(|&it| SHARED.has(it) && (!is_through || second.has(it)))
            .collect();
        if is_through {
            left.max_key_bytes = left.max_key_bytes.min(second.max_key_bytes);
            left.max_value_bytes = left.max_value_bytes.min(second.max_value_bytes);
        }
        left
    }

    fn name(&self) -> String {
        let FallbackConfig { on, writes } = self.layer.config;
        let on = match on {
            FallbackOn::Error => "error",
            FallbackOn::MissOrError => "miss or error",
        };
        let writes = match writes {
            FallbackWrites::Around => "around",
            FallbackWrites::Through => "through",
        };
        format!("fallback({:?} on {on}, writes {writes})", self.layer.second)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.inner.connect().await?;
            let second = self.layer.second.connect().await;
            second.map_err(|error| error.with_context("store", "the one to fall back to"))?;
            self.check_callers_stay_apart()
        })
    }
}

impl FallbackService {
    /// What the layers further in keep apart must not meet in the second store.
    fn check_callers_stay_apart(&self) -> Result<()> {
        let probe = Key::new("probe")?;
        let [one, other_tenant, other_user] = [("a", "a"), ("b", "a"), ("a", "b")]
            .map(|(tenant, user)| Context::tenant(tenant).with_user(user));
        for (other, who, setting) in [
            (&other_tenant, "tenants", "multi_tenancy_enabled = false"),
            (&other_user, "users", "use_user_uid = false"),
        ] {
            let first = [&one, other].map(|it| self.inner.resolve(&probe, Some(it)));
            let second =
                [&one, other].map(|it| self.layer.second.bind(it.clone()).resolve(probe.clone()));
            let is_apart = matches!(&first, [Ok(one), Ok(other)] if one != other);
            let would_meet = matches!(&second, [Ok(one), Ok(other)] if one == other);
            if is_apart && would_meet {
                let message = format!(
                    "fallback stands outside of a layer that keeps {who} apart, such as key_resolver, and the second store does not: all would meet there; put it further in, give the second store a key_resolver, or, if there are no {who}, say `{setting}` in the first one's, which changes its keys"
                );
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        Ok(())
    }

    async fn read(&self, request: Request) -> Result<Reply> {
        let asked = request.clone();
        match self.inner.call(request).await {
            Err(error) if is_away(&error) => {
                let second = self.second(asked.context, asked.options);
                let answer = second.call(asked.command).await;
                self.meters
                    .fell_back(Why::Error, answer.as_ref().ok().map(is_found));
                answer.map_err(|other| error.with_context("fallback", other))
            }
            answer => answer,
        }
    }

    async fn write_through(&self, request: Request) -> Result<Reply> {
        let Request {
            mut command,
            context,
            options,
            ..
        } = request.clone();
        let reply = self.inner.call(request).await?;
        if let (Command::SetMany { items, .. }, Reply::SetMany(applied)) = (&mut command, &reply) {
            let mut applied = applied.iter();
            items.retain(|_| matches!(applied.next(), Some(Ok(true))));
        }
        // The first store has it, which is what counts.
        let _ = self.second(context, options).call(command).await;
        Ok(reply)
    }

    /// The second store, for whom the call is and as it is wanted.
    fn second(&self, context: Option<Context>, options: CallOptions) -> Kv {
        let second = self.layer.second.with(options);
        match context {
            Some(context) => second.bind(context),
            None => second,
        }
    }
}

/// Whether the store was not there to answer.
fn is_away(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Overloaded
    )
}

/// Whether a read found anything at all.
fn is_found(reply: &Reply) -> bool {
    match reply {
        Reply::Get(value) => value.is_some(),
        Reply::GetMany(values) => values.iter().any(Option::is_some),
        Reply::Exists(count) => *count > 0,
        Reply::TimeToLive(left) => *left != TimeToLive::Missing,
        _ => true,
    }
}

#[cfg(test)]
mod tests;

//! Spans and events, at a level that is only known when the program runs.

use super::{ObserveConfig, ending::Ending, meters::Operation};
use crate::telemetry::TARGET;
use kv_core::{ErrorKind, Key};
use metrics::SharedString;
use std::{fmt, time::Duration};
use tracing::{Level, Span, field::Empty};

/// What spans and events say of every call.
pub(super) struct Tracer {
    config: ObserveConfig,
    level: Level,
    store: SharedString,
    provider: SharedString,
}

/// `tracing` wants levels that are known when the program is built, each in a place of its own.
macro_rules! at_level {
    ($level:expr, $what:ident, $($rest:tt)*) => {
        match $level {
            Level::TRACE => tracing::$what!(target: TARGET, Level::TRACE, $($rest)*),
            Level::DEBUG => tracing::$what!(target: TARGET, Level::DEBUG, $($rest)*),
            Level::INFO => tracing::$what!(target: TARGET, Level::INFO, $($rest)*),
            Level::WARN => tracing::$what!(target: TARGET, Level::WARN, $($rest)*),
            Level::ERROR => tracing::$what!(target: TARGET, Level::ERROR, $($rest)*),
        }
    };
}

impl Tracer {
    pub(super) fn new(config: ObserveConfig, store: SharedString, provider: SharedString) -> Self {
        Self {
            level: config.level.into(),
            config,
            store,
            provider,
        }
    }

    /// A span, or none if nobody wants it; what it says is only put together if somebody does.
    pub(super) fn span(&self, at: Operation) -> Span {
        let config = &self.config;
        at_level!(
            self.level,
            span,
            "call",
            otel.name = self.name(at),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = &*self.provider,
            db.operation.name = at.name,
            db.namespace = config.namespace,
            db.operation.batch.size = Empty,
            server.address = config.server_address,
            server.port = config.server_port,
            error.r#type = Empty,
            kv.store = &*self.store,
            kv.key = Empty,
            kv.outcome = Empty,
        )
    }

    /// What takes a look at the call.
    pub(super) fn detail(&self, span: &Span, keys: usize, key: Option<&Key>) {
        if span.is_disabled() {
            return;
        }
        if keys > 1 {
            span.record("db.operation.batch.size", keys as u64);
        }
        if let (Some(show), Some(key)) = (&self.config.show_keys, key) {
            span.record("kv.key", show.of(key));
        }
    }

    /// The one event of a call, and the rest of its span.
    pub(super) fn ended(&self, span: &Span, at: Operation, ending: Ending, took: Duration) {
        if !span.is_disabled() {
            span.record("kv.outcome", ending.outcome());
            span.record("error.type", ending.error_type());
            if matches!(ending, Ending::Failed(_)) {
                span.record("otel.status_code", "ERROR");
            }
        }
        let is_slow = self.config.slow_after.is_some_and(|most| took > most);
        let level = match ending {
            _ if is_slow => Level::WARN.min(self.level),
            Ending::Failed(kind) if is_trouble(kind) => Level::WARN.min(self.level),
            _ => self.level,
        };
        span.in_scope(|| {
            at_level!(
                level,
                event,
                db.system.name = &*self.provider,
                db.operation.name = at.name,
                error.r#type = ending.error_type(),
                kv.store = &*self.store,
                kv.outcome = ending.outcome(),
                kv.duration = took.as_secs_f64(),
                kv.slow = is_slow.then_some(true),
                "call ended"
            );
        });
    }

    /// By the conventions: the operation, then what it is on.
    fn name(&self, at: Operation) -> String {
        match &self.config.namespace {
            Some(namespace) => format!("{} {namespace}", at.name),
            None => at.name.to_owned(),
        }
    }
}

/// Whether an operator has to know, rather than the program that asked.
fn is_trouble(kind: ErrorKind) -> bool {
    use ErrorKind::{Closed, Codec, Config, Denied, Overloaded, Timeout, Unavailable, Unexpected};
    matches!(
        kind,
        Closed | Codec | Config | Denied | Overloaded | Timeout | Unavailable | Unexpected
    )
}

/// The name in a printed stack, with what is worth seeing.
impl fmt::Display for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "observe({}, {}",
            self.store,
            self.level.as_str().to_lowercase()
        )?;
        if let Some(most) = self.config.slow_after {
            write!(f, ", slow after {most:?}")?;
        }
        if self.config.show_keys.is_some() {
            f.write_str(", shows keys")?;
        }
        f.write_str(")")
    }
}

use kv_core::{
    Access, BoxFuture, Capabilities, Capability, CapabilitySet, Command, Context, Error, ErrorKind,
    Events, Layer, Op, Reply, Request, Result, Service, ThrottleMode, Watch,
};
use std::sync::Arc;

/// What only writes need.
const WRITING: CapabilitySet = CapabilitySet::NONE
    .with(Capability::ConditionalSet)
    .with(Capability::CompareValue)
    .with(Capability::Counters)
    .with(Capability::HashCounters)
    .with(Capability::HeldExpiry)
    .with(Capability::Move);

/// Refuses everything that changes something, before it reaches the store.
///
/// Reads and watches pass; so do transactions that only read, and a throttle that only peeks. Sending
/// a message changes something.
///
/// # What it subtracts
/// What only writes need: conditional sets and comparing ones, counters, held deadlines, moves. What
/// reads need as well stays, so a plain `set` gets to this layer and is refused here.
///
/// # Errors
/// [`ErrorKind::Denied`] for what would change something.
///
/// # Cost
/// No box: a call that passes is handed on as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

impl ReadOnly {
    /// The layer; it has no settings.
    pub fn new() -> Self {
        Self
    }
}

impl Layer for ReadOnly {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(ReadOnlyService { inner })
    }
}

struct ReadOnlyService {
    inner: Arc<dyn Service>,
}

impl Service for ReadOnlyService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        match writes(&request.command) {
            false => self.inner.call(request),
            true => {
                let error = refusal(&request.command);
                Box::pin(async { Err(error) })
            }
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        let left = self.inner.capabilities();
        WRITING.iter().fold(left, Capabilities::without)
    }

    fn name(&self) -> String {
        "read_only".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// Whether the command changes anything. One that the table calls a write, and that this does not know
/// better, does.
fn writes(command: &Command) -> bool {
    match command {
        Command::Commit { txns } => {
            let mut ops = txns.iter().flat_map(|txn| &txn.then);
            ops.any(|op| !matches!(op, Op::Read(_)))
        }
        Command::Throttle { request } => request.mode != ThrottleMode::Peek,
        _ => command.spec().access == Access::Write,
    }
}

fn refusal(command: &Command) -> Error {
    let message = "this store is for reading only; write through a stack without `read_only`";
    let error = Error::new(ErrorKind::Denied, message).with_operation(command.spec().name);
    match command.key() {
        Some(key) => error.with_key(key),
        None => error,
    }
}

#[cfg(test)]
mod tests;

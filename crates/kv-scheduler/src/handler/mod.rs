//! What does the work: plain async functions, as services that any layer of tower wraps.

mod context;
mod extract;
mod router;

use crate::{BoxError, Task, TaskError, envelope::Envelope};
use bytes::Bytes;
use kv_core::Value;
use std::{fmt, sync::Arc};

pub use self::{
    context::Ctx,
    extract::{Data, FromCtx},
};
pub(crate) use self::{
    context::{Claim, StopReason},
    extract::SharedData,
    router::{Route, Router, UNABLE},
};

/// The longest result that is kept, in bytes.
const MAX_RESULT: usize = 256 << 10;

/// A task on its way to its handler: what layers see.
#[derive(Clone)]
pub struct TaskRequest {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) ctx: Ctx,
}

impl TaskRequest {
    /// The name of its kind.
    pub fn kind(&self) -> &str {
        &self.envelope.kind
    }

    /// The payload as it is stored.
    pub fn payload(&self) -> &Bytes {
        &self.envelope.payload
    }

    /// What is known of this attempt.
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }
}

/// Shows neither payload nor data.
impl fmt::Debug for TaskRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRequest")
            .field("kind", &self.kind())
            .field("ctx", &self.ctx)
            .finish_non_exhaustive()
    }
}

/// What a handler made of a task.
#[derive(Clone, Debug)]
pub struct TaskResponse {
    /// Encoded where the task keeps its result.
    pub(crate) result: Option<Value>,
}

/// What does the work of one kind of task: an async function of the task and up to six
/// [extractors](FromCtx), in any order.
///
/// ```
/// # use kv_scheduler::{Ctx, Data, Task, TaskError};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Report { month: u8 }
/// # impl Task for Report { const KIND: &'static str = "report"; type Output = u64; }
/// # struct Db;
/// async fn report(report: Report, ctx: Ctx, db: Data<Db>) -> Result<u64, TaskError> {
///     ctx.progress(&"half done").await?;
/// #   let _ = (report.month, db);
///     Ok(42)
/// }
/// # fn takes<H: kv_scheduler::Handler<Report, A>, A>(_: H) {}
/// # takes(report);
/// ```
pub trait Handler<T: Task, Args>: Clone + Send + Sync + 'static {
    /// Does the work.
    fn call(self, task: T, ctx: Ctx) -> impl Future<Output = Result<T::Output, TaskError>> + Send;
}

macro_rules! handler {
    ($($Arg:ident),*) => {
        #[allow(non_snake_case, reason = "the names of the types serve for their values")]
        #[allow(unused_variables, reason = "a handler without extractors takes nothing from it")]
        impl<F, Fut, T, E, $($Arg,)*> Handler<T, (E, $($Arg,)*)> for F
        where
            T: Task,
            F: Fn(T, $($Arg,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<T::Output, E>> + Send,
            E: Into<TaskError>,
            $($Arg: FromCtx,)*
        {
            async fn call(self, task: T, ctx: Ctx) -> Result<T::Output, TaskError> {
                $(let $Arg = $Arg::from_ctx(&ctx)?;)*
                self(task, $($Arg,)*).await.map_err(Into::into)
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, G);
handler!(A, B, C, D, G, H);

/// A handler as a service.
pub(crate) async fn serve<T: Task, A, H: Handler<T, A>>(
    handler: H,
    request: TaskRequest,
) -> Result<TaskResponse, BoxError> {
    let envelope = request.envelope;
    let payload = Value::new(envelope.payload.clone());
    let task = envelope.codec.decode::<T>(&payload).map_err(|error| {
        TaskError::dead(format!("the payload is not of this kind: {error}")).boxed()
    })?;
    let output = handler.call(task, request.ctx).await;
    let output = output.map_err(TaskError::boxed)?;
    let keeps = envelope.retention.done().is_some();
    let result = keeps.then(|| envelope.codec.encode(&output)).transpose();
    let result = result.map_err(|error| TaskError::dead(format!("its result: {error}")).boxed())?;
    let bytes = result.as_ref().map_or(0, |it| it.as_bytes().len());
    if bytes > MAX_RESULT {
        let why = format!(
            "its result has {bytes} bytes, {MAX_RESULT} are the most; store it elsewhere and return \
             its key"
        );
        return Err(TaskError::dead(why).boxed());
    }
    Ok(TaskResponse { result })
}

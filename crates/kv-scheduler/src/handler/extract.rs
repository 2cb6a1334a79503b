//! What a handler can ask for besides its task.

use super::Ctx;
use crate::{Scheduler, TaskError, TraceContext};
use kv_core::Context;
use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// Something that a handler can ask for besides its task.
pub trait FromCtx: Sized + Send + 'static {
    /// Gets it.
    ///
    /// # Errors
    /// What is to become of the task if it is not there.
    fn from_ctx(ctx: &Ctx) -> Result<Self, TaskError>;
}

/// Something that the worker was given, by its type.
#[derive(Debug)]
pub struct Data<D: ?Sized>(Arc<D>);

impl<D: ?Sized> Clone for Data<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: ?Sized> Deref for Data<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.0
    }
}

/// A worker that was not given it does not count as an attempt: the task is put off, for one that was
/// (unless it is delivered at most once, and has left the store by then).
impl<D: Send + Sync + 'static> FromCtx for Data<D> {
    fn from_ctx(ctx: &Ctx) -> Result<Self, TaskError> {
        match ctx.shared_data().get::<D>() {
            Some(data) => Ok(Self(data)),
            None => {
                tracing::error!(
                    data = type_name::<D>(),
                    kind = ctx.kind(),
                    "a handler asks for data that its worker was not given: Worker::data"
                );
                Err(TaskError::snooze(super::router::UNABLE))
            }
        }
    }
}

impl FromCtx for Ctx {
    fn from_ctx(ctx: &Ctx) -> Result<Self, TaskError> {
        Ok(ctx.clone())
    }
}

/// Cancelled when the handler is to stop.
impl FromCtx for CancellationToken {
    fn from_ctx(ctx: &Ctx) -> Result<Self, TaskError> {
        Ok(ctx.token().clone())
    }
}

/// To schedule more.
impl FromCtx for Scheduler {
    fn from_ctx(ctx: &Ctx) -> Result<Self, TaskError> {
        Ok(ctx.scheduler().clone())
    }
}

/// For whom the task was scheduled.
impl FromCtx for Option<Context> {
    fn from_ctx(_: &Ctx) -> Result<Self, TaskError> {
        Ok(Context::current())
    }
}

/// The trace that the task belongs to.
impl FromCtx for Option<TraceContext> {
    fn from_ctx(_: &Ctx) -> Result<Self, TaskError> {
        Ok(TraceContext::current())
    }
}

/// What a worker was given, one of each type.
#[derive(Clone, Default)]
pub(crate) struct SharedData(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl SharedData {
    pub(crate) fn insert<D: Send + Sync + 'static>(&mut self, data: Arc<D>) {
        self.0.insert(TypeId::of::<D>(), data);
    }

    fn get<D: Send + Sync + 'static>(&self) -> Option<Arc<D>> {
        let data = self.0.get(&TypeId::of::<D>())?.clone();
        data.downcast().ok()
    }
}

impl fmt::Debug for SharedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kinds of data", self.0.len())
    }
}

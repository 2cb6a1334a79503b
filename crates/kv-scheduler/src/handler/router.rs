//! Which handler does which kind of task.

use super::{Handler, TaskRequest, TaskResponse, serve};
use crate::{BoxError, Task};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

/// A task that this worker cannot do comes back after this time, for another that can.
pub(crate) const UNABLE: Duration = Duration::from_secs(10);

/// A handler with the layers around it.
pub(crate) type Route = BoxCloneSyncService<TaskRequest, TaskResponse, BoxError>;

/// Which handler does which kind of task.
#[derive(Clone, Default)]
pub(crate) struct Router {
    routes: HashMap<Arc<str>, Route>,
    /// A kind that was given two handlers.
    doubled: Option<&'static str>,
}

impl Router {
    pub(crate) fn add<T: Task, A: 'static, H: Handler<T, A>>(&mut self, handler: H) {
        let service = tower::service_fn(move |request| serve(handler.clone(), request));
        let route = BoxCloneSyncService::new(service);
        if self.routes.insert(T::KIND.into(), route).is_some() {
            self.doubled = Some(T::KIND);
        }
    }

    pub(crate) fn doubled(&self) -> Option<&'static str> {
        self.doubled
    }

    /// Puts a layer around all handlers so far.
    pub(crate) fn wrap<L, S>(&mut self, layer: &L)
    where
        L: Layer<Route, Service = S>,
        S: Service<TaskRequest, Response = TaskResponse> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        for route in self.routes.values_mut() {
            let wrapped = layer.layer(route.clone()).map_err(Into::into);
            *route = BoxCloneSyncService::new(wrapped);
        }
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Route> {
        self.routes.get(kind).cloned()
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<str>> {
        self.routes.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

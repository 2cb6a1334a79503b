//! All members as one service, as the driver takes them.

use super::{
    Members,
    exchange::{Request, Response},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{BoxError, Service};

#[derive(Clone)]
pub(super) struct Route(pub(super) Arc<Members>);

impl Service<Request> for Route {
    type Response = Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    /// A call waits for itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(Arc::clone(&self.0).send(request))
    }
}

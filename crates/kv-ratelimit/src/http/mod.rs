//! A layer of tower that limits requests over HTTP and gRPC.
//!
//! ```text
//! CORS, tracing, whoever knows the tenant      outside, so that refusals have their headers and spans as well
//!   RateLimitLayer                             asks; answers 429 itself
//!     compression, timeouts, the handler       inside
//! ```
//!
//! One layer asks one limit. Layers can be put around each other, the one that concerns more requests inside, so
//! that what a tenant's own limit denies does not count for the limit that all share; each tells of its limit in
//! the same headers.
//!
//! The store is asked in the caller's task: tenants and users that an outer layer has put into the task
//! ([`kv_core::Context::scope`]) are those of the limit.
//!
//! ```
//! use http::{Request, Response};
//! use kv_core::Context;
//! use std::{future::Future, pin::Pin, task::{self, Poll}};
//! use tower_service::Service;
//!
//! /// Puts the tenant of a request into the context: outside of the limit, so that each tenant has its own.
//! #[derive(Clone)]
//! struct Tenants<S>(S);
//!
//! impl<S, B, R> Service<Request<B>> for Tenants<S>
//! where
//!     S: Service<Request<B>, Response = Response<R>>,
//!     S::Future: Send + 'static,
//! {
//!     type Response = S::Response;
//!     type Error = S::Error;
//!     type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;
//!
//!     fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, request: Request<B>) -> Self::Future {
//!         // As whoever has checked the caller's token says.
//!         let tenant = request.extensions().get::<String>().cloned();
//!         let answer = self.0.call(request);
//!         match tenant {
//!             Some(tenant) => Box::pin(Context::tenant(tenant).scope(answer)),
//!             None => Box::pin(answer),
//!         }
//!     }
//! }
//! ```

mod client_ip;
mod entry;
mod grpc;
mod headers;
mod key;
mod layer;
mod policy;
mod problem;
mod proxies;
mod refusal;
#[cfg(test)]
mod tests;

pub use self::{
    client_ip::{ClientIp, PeerAddr},
    grpc::GrpcStatus,
    headers::Headers,
    key::{Header, KeyFn, NoKey, header},
    layer::{RateLimitLayer, RateLimited},
    policy::PolicyFn,
    problem::ProblemJson,
    proxies::TrustedProxies,
    refusal::{Refusal, Responder},
};
pub use ipnet::IpNet;

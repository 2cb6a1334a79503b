//! The layer and its service.

use super::{Headers, KeyFn, NoKey, PolicyFn, ProblemJson, Refusal, Responder, headers};
use crate::{Decision, LimitError, PolicyError, RateLimiter, Source, policy::Enforcement};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use kv_core::telemetry::TARGET;
use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_layer::Layer;
use tower_service::Service;

/// A layer of tower that lets requests pass as far as a limit allows, and answers the others itself.
///
/// Requests `OPTIONS` are not limited, since browsers send them on their own before others (CORS); see
/// [`skip`](Self::skip). Put the layer *inside* of the one for CORS: a browser does not show a page a 429 that lacks
/// its headers.
///
/// ```
/// use kv_ratelimit::{Policy, RateLimiter, http::{RateLimitLayer, header}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let limiter = RateLimiter::builder(&kv)
///     .policy("free", Policy::new("5/s".parse()?))
///     .policy("pro", Policy::new("50/s".parse()?))
///     .build()?;
/// let plan = |request: &http::request::Parts| match request.headers.get("x-plan") {
///     Some(plan) if plan == "pro" => "pro",
///     _ => "free",
/// };
/// let tenant = header(http::HeaderName::from_static("x-tenant"));
/// let layer = RateLimitLayer::new(&limiter, plan, tenant)?;
/// // axum: Router::new().route(…).layer(layer); tonic: Server::builder().layer(layer.responder(GrpcStatus))
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RateLimitLayer<P = ProblemJson> {
    gate: Arc<Gate>,
    responder: Arc<P>,
}

/// A service whose requests are limited, as [`RateLimitLayer`] makes it.
#[derive(Debug)]
pub struct RateLimited<S, P = ProblemJson> {
    inner: S,
    layer: RateLimitLayer<P>,
}

/// What all requests go by.
#[derive(Clone)]
struct Gate {
    limiter: RateLimiter,
    policy: Arc<dyn PolicyFn>,
    key: Arc<dyn KeyFn>,
    no_key: NoKey,
    cost: Arc<dyn Fn(&Parts) -> u64 + Send + Sync>,
    skip: Arc<dyn Fn(&Parts) -> bool + Send + Sync>,
    headers: Headers,
}

/// What came of asking.
enum Asked {
    /// Not at all: it is not limited.
    Free,
    Decided(Decision, Option<Told>),
    NoKey,
    Undecided(LimitError),
}

/// What clients are told of a decision besides it.
struct Told {
    window: Option<Duration>,
}

impl RateLimitLayer {
    /// Limits by a policy, which is a name or a function of the request, those whom the key tells apart.
    ///
    /// # Errors
    /// For a policy that is a name: [`LimitError::UnknownPolicy`]; [`LimitError::NotPossible`] for a quota of concurrency;
    /// [`LimitError::Policy`] for a name that headers cannot tell, which are those with other characters than the
    /// printable ones of ASCII.
    pub fn new(
        limiter: &RateLimiter,
        policy: impl PolicyFn,
        key: impl KeyFn,
    ) -> Result<Self, LimitError> {
        if let Some(name) = policy.always() {
            let limit = limiter.limit(name, "")?;
            limit.accept()?;
            if headers::quoted(name).is_none() {
                let reason = "headers cannot tell its name: rename it in printable ASCII";
                return Err(PolicyError::new(name, reason).into());
            }
        }
        let gate = Gate {
            limiter: limiter.clone(),
            policy: Arc::new(policy),
            key: Arc::new(key),
            no_key: NoKey::default(),
            cost: Arc::new(|_| 1),
            skip: Arc::new(|request| request.method == Method::OPTIONS),
            headers: Headers::default(),
        };
        Ok(Self {
            gate: Arc::new(gate),
            responder: Arc::new(ProblemJson),
        })
    }
}

impl<P> RateLimitLayer<P> {
    /// What becomes of requests without a key: unless it is said they share one.
    #[must_use]
    pub fn no_key(self, no_key: NoKey) -> Self {
        self.with(|gate| gate.no_key = no_key)
    }

    /// What a request costs: 1 unless it is said. One that costs 0 is not limited.
    #[must_use]
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.cost = Arc::new(cost))
    }

    /// Which requests are not limited, in place of those that are `OPTIONS`.
    #[must_use]
    pub fn skip(self, skip: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.skip = Arc::new(skip))
    }

    /// What answers tell of the limit.
    #[must_use]
    pub fn headers(self, headers: Headers) -> Self {
        self.with(|gate| gate.headers = headers)
    }

    /// Who answers what does not pass, in place of [`ProblemJson`].
    #[must_use]
    pub fn responder<Q>(self, responder: Q) -> RateLimitLayer<Q> {
        RateLimitLayer {
            gate: self.gate,
            responder: Arc::new(responder),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Gate)) -> Self {
        change(Arc::make_mut(&mut self.gate));
        self
    }
}

impl<S, P> Layer<S> for RateLimitLayer<P> {
    type Service = RateLimited<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimited {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, P, B, R> Service<Request<B>> for RateLimited<S, P>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    P: Responder<R>,
    B: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that has said that it is ready answers this request.
        let next = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, next);
        let RateLimitLayer { gate, responder } = self.layer.clone();
        // All of it as it is polled, within whatever outer layers put around that.
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let asked = gate.ask(&parts).await;
            if let Some(refusal) = asked.refusal() {
                let mut response = responder.respond(&parts, refusal);
                asked.tell(gate.headers, response.headers_mut());
                return Ok(response);
            }
            let mut response = ready.call(Request::from_parts(parts, body)).await?;
            asked.tell(gate.headers, response.headers_mut());
            Ok(response)
        })
    }
}

impl Gate {
    async fn ask(&self, request: &Parts) -> Asked {
        if (self.skip)(request) {
            return Asked::Free;
        }
        let cost = (self.cost)(request);
        if cost == 0 {
            return Asked::Free;
        }
        let key = match (self.key.key(request), &self.no_key) {
            (Some(key), _) => key,
            (None, NoKey::Share(key)) => key.clone(),
            (None, NoKey::Pass) => return Asked::Free,
            (None, NoKey::Refuse) => return Asked::NoKey,
        };
        let policy = self.policy.policy(request);
        let asked = self.decide(&policy, key, cost).await;
        asked.unwrap_or_else(|error| {
            match &error {
                // The limiter tells about its store by itself.
                LimitError::Store(error) => tracing::debug!(target: TARGET, %error, "a request was refused undecided"),
                LimitError::Cost(_) => {}
                error => tracing::warn!(target: TARGET, %error, "a request was refused, since its limit is set up wrong"),
            }
            Asked::Undecided(error)
        })
    }

    async fn decide(&self, policy: &str, key: Bytes, cost: u64) -> Result<Asked, LimitError> {
        let limit = self.limiter.limit(policy, key)?.cost(cost);
        let decision = limit.check().await?;
        let policy = &limit.active.policy;
        // A client is told of limits that it has, and that somebody knows about.
        let is_told = policy.enforcement == Enforcement::Enforced
            && !matches!(decision.source, Source::AllowList | Source::Fallback);
        let told = is_told.then(|| Told {
            window: policy.quota().period(),
        });
        Ok(Asked::Decided(decision, told))
    }
}

impl Asked {
    fn refusal(&self) -> Option<Refusal<'_>> {
        match self {
            Self::Free => None,
            Self::Decided(decision, _) if decision.is_allowed() => None,
            Self::Decided(decision, _) => Some(match decision.source {
                Source::Fallback => Refusal::Fallback(decision),
                _ => Refusal::Limited(decision),
            }),
            Self::NoKey => Some(Refusal::NoKey),
            Self::Undecided(error) => Some(Refusal::Undecided(error)),
        }
    }

    fn tell(&self, how: Headers, headers: &mut HeaderMap) {
        if let Self::Decided(decision, Some(told)) = self {
            how.tell(decision, told.window, headers);
        }
    }
}

impl<P> Clone for RateLimitLayer<P> {
    fn clone(&self) -> Self {
        Self {
            gate: self.gate.clone(),
            responder: self.responder.clone(),
        }
    }
}

impl<S: Clone, P> Clone for RateLimited<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("limiter", &self.limiter)
            .field("policy", &self.policy.always())
            .field("no_key", &self.no_key)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

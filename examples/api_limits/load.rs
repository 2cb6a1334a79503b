//! Clients that ask more than they may.

use crate::{
    Failure,
    service::{Service, TENANT, TENANTS, Tenant},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kv_core::{Clock, Stopwatch, SystemClock};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};

/// How often a single client asks in a second at most.
pub(crate) const RATE: u32 = 10;

pub(crate) type HttpClient = Client<HttpConnector, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Admitted,
    Denied,
    /// The store could not be asked.
    Undecided,
    Strange,
}

/// A request as its client saw it: when it was sent and answered, from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) tenant: &'static str,
    pub(crate) ending: Ending,
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
}

pub(crate) struct Load {
    goes_on: Arc<AtomicBool>,
    clients: JoinSet<()>,
    told: UnboundedReceiver<Call>,
    calls: Vec<Call>,
}

impl Load {
    pub(crate) fn start(service: &Service) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let goes_on = Arc::new(AtomicBool::new(true));
        let begin = Stopwatch::start();
        let mut clients = JoinSet::new();
        for tenant in TENANTS {
            for _ in 0..tenant.clients {
                let (tell, goes_on) = (tell.clone(), goes_on.clone());
                clients.spawn(asks(service.address, tenant, begin, tell, goes_on));
            }
        }
        Self {
            goes_on,
            clients,
            told,
            calls: Vec::new(),
        }
    }

    /// What was answered since the last time.
    pub(crate) fn since(&mut self) -> Vec<Call> {
        let mut since = Vec::new();
        while let Ok(call) = self.told.try_recv() {
            since.push(call);
        }
        self.calls.extend(&since);
        since
    }

    /// All that was answered.
    pub(crate) async fn stop(mut self) -> Vec<Call> {
        self.goes_on.store(false, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.since();
        self.calls
    }
}

pub(crate) fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) async fn ask(
    client: &HttpClient,
    address: SocketAddr,
    tenant: &Tenant,
) -> Result<(StatusCode, HeaderMap, String), Failure> {
    let request = Request::get(format!("http://{address}/")).header(TENANT, tenant.name);
    let (parts, body) = client
        .request(request.body(String::new())?)
        .await?
        .into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    ))
}

async fn asks(
    address: SocketAddr,
    tenant: Tenant,
    begin: Stopwatch,
    tell: UnboundedSender<Call>,
    goes_on: Arc<AtomicBool>,
) {
    let client = client();
    while goes_on.load(Ordering::Relaxed) {
        let sent = begin.elapsed();
        let answer = ask(&client, address, &tenant).await;
        let ending = match answer.map(|(status, _, _)| status.as_u16()) {
            Ok(200) => Ending::Admitted,
            Ok(429) => Ending::Denied,
            Ok(503) => Ending::Undecided,
            _ => Ending::Strange,
        };
        let call = Call {
            tenant: tenant.name,
            ending,
            sent,
            answered: begin.elapsed(),
        };
        // Who no longer listens has heard enough.
        if tell.send(call).is_err() {
            return;
        }
        let took = begin.elapsed() - sent;
        let pause = (Duration::from_secs(1) / RATE).saturating_sub(took);
        SystemClock.sleep(pause).await;
    }
}

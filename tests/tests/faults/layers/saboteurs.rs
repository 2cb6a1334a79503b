//! Layers that break what the others promise: the proof must find each of them out.

use super::{Layer, on_memory};
use kv_core::{
    BoxFuture, Command, Error, ErrorKind, Outcome, Reply, Request, Result, Service, layer_fn,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

type Sabotage = for<'a> fn(Request, &'a dyn Service) -> BoxFuture<'a, Result<Reply>>;

/// Each with a part of what is said of it.
const SABOTEURS: [(&str, Sabotage, &str); 9] = [
    (
        "counts again after an unknown outcome",
        repeats_counting,
        "something was applied twice",
    ),
    (
        "repeats writes with a condition",
        repeats_conditions,
        "for what it had done itself",
    ),
    (
        "tells an unknown outcome as not applied",
        tells_not_applied,
        "applied",
    ),
    (
        "takes an error for a miss",
        misses,
        "a read told what is not so",
    ),
    (
        "takes an error in a batch for misses",
        misses_many,
        "a read told what is not so",
    ),
    (
        "answers a miss with something",
        finds,
        "a read told what is not so",
    ),
    (
        "acknowledges what was not sent",
        acknowledges,
        "an acknowledged write was lost",
    ),
    (
        "waits for a store that fails",
        waits,
        "a call takes longer than",
    ),
    (
        "tells an outage as another trouble",
        renames,
        "no fault explains Codec",
    ),
];

#[tokio::test]
async fn saboteurs_are_found_out() {
    for (name, sabotage, expected) in SABOTEURS {
        let layer = Arc::new(layer_fn(name, sabotage));
        let said = found_out(name, layer).await;
        assert!(said.contains(expected), "{name}: {said}");
    }
}

/// A breaker that never closes again.
#[tokio::test]
async fn a_layer_that_does_not_recover_is_found_out() {
    let failures = AtomicU64::new(0);
    let failures = Arc::new(failures);
    let layer = layer_fn("stays open", move |request, next| {
        let failures = Arc::clone(&failures);
        Box::pin(async move {
            if failures.load(Ordering::Relaxed) > 10 {
                let error = Error::new(ErrorKind::Unavailable, "for good");
                return Err(error.with_outcome(Outcome::NotApplied));
            }
            let reply = next.call(request).await;
            failures.fetch_add(u64::from(reply.is_err()), Ordering::Relaxed);
            reply
        })
    });
    let said = found_out("stays open", Arc::new(layer)).await;
    assert!(said.contains("it does not recover"), "{said}");
}

async fn found_out(name: &str, layer: Arc<dyn Layer>) -> String {
    match on_memory(7, Some(layer)).await {
        Ok((report, counts)) => panic!("{name} was not found out: {report:?}, {counts}"),
        Err(said) => {
            println!("{name}: {said}");
            said
        }
    }
}

fn repeats_counting(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    match &request.command {
        Command::Increment { .. } => repeat(request, next),
        _ => next.call(request),
    }
}

fn repeats_conditions(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    match &request.command {
        Command::Set { .. } => repeat(request, next),
        _ => next.call(request),
    }
}

fn repeat(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        match next.call(request.clone()).await {
            Err(_) => next.call(request).await,
            reply => reply,
        }
    })
}

fn tells_not_applied(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        let reply = next.call(request).await;
        reply.map_err(|error| error.with_outcome(Outcome::NotApplied))
    })
}

fn misses(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    let is_get = matches!(request.command, Command::Get { .. });
    Box::pin(async move {
        match next.call(request).await {
            Err(_) if is_get => Ok(Reply::Get(None)),
            reply => reply,
        }
    })
}

fn misses_many(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        match (request.command.clone(), next.call(request).await) {
            (Command::GetMany { keys }, Err(_)) => Ok(Reply::GetMany(vec![None; keys.len()])),
            (_, reply) => reply,
        }
    })
}

fn finds(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        match next.call(request).await {
            Ok(Reply::Get(None)) => Ok(Reply::Get(Some("there".into()))),
            reply => reply,
        }
    })
}

fn acknowledges(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    let is_set = matches!(request.command, Command::Set { .. });
    Box::pin(async move {
        match next.call(request).await {
            Err(_) if is_set => Ok(Reply::Set(kv_core::SetReply::applied())),
            reply => reply,
        }
    })
}

fn waits(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        match next.call(request).await {
            Err(_) => pending().await,
            reply => reply,
        }
    })
}

fn renames(request: Request, next: &dyn Service) -> BoxFuture<'_, Result<Reply>> {
    Box::pin(async move {
        let reply = next.call(request).await;
        reply.map_err(|_| Error::new(ErrorKind::Codec, "as if the bytes were wrong"))
    })
}

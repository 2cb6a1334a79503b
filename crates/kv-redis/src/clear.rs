//! Deleting ranges of keys without holding the server up: SCAN and UNLINK, never KEYS or FLUSHDB.

use crate::{
    batch::{self, in_part},
    encode,
    link::{Link, Server},
    scan,
};
use kv_core::{Error, ErrorKind, Prefixes, Result};

/// How many entries of the server's table one step looks at.
const STEP: u32 = 1000;

/// The refusal to clear a store that no prefix confines.
pub(crate) fn denied() -> Error {
    Error::new(
        ErrorKind::Denied,
        "clearing all keys of the database needs `allow_clear_all = true` in the provider's configuration; with a prefix only its own keys are cleared",
    )
}

pub(crate) async fn clear(link: &Link, prefixes: &Prefixes) -> Result<u64> {
    if prefixes.as_slice().is_empty() {
        return Ok(0);
    }
    let mut cleared = 0;
    let done = clear_all(link, prefixes, &mut cleared).await;
    done.map_err(|error| in_part(error, "cleared so far", cleared))?;
    Ok(cleared)
}

async fn clear_all(link: &Link, prefixes: &Prefixes, cleared: &mut u64) -> Result<()> {
    let mut next = Some(link.first_server().await?);
    while let Some(server) = next {
        // Who is not there cannot be visited, and nobody must think that it was.
        link.all_served()?;
        clear_server(link, &server, prefixes, cleared).await?;
        next = link.server_behind(&server);
    }
    Ok(link.all_served()?)
}

async fn clear_server(
    link: &Link,
    server: &Server,
    prefixes: &Prefixes,
    cleared: &mut u64,
) -> Result<()> {
    let pattern = encode::pattern(prefixes.as_slice());
    let mut cursor = 0;
    loop {
        let step = scan::step(link, server, pattern.as_deref(), cursor, STEP).await?;
        let own: Vec<_> = scan::within(step.keys, prefixes).collect();
        batch::count(link, "UNLINK", &own, cleared).await?;
        if step.next == 0 {
            return Ok(());
        }
        cursor = step.next;
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::Fake;
    use kv_core::Outcome;

    #[tokio::test]
    async fn a_clear_that_fails_half_done_is_unknown_and_says_how_much() {
        let server = Fake::start("127.0.0.1:0").await;
        let kv = server.kv().await;
        let error = kv.clear().await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.context("cleared so far"), Some("2"));
        server.stop().await;
    }
}

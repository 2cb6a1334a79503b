//! The store with its wrappers, and the trouble it is in.

use kv_core::Clock as _;
use kv_core::{Error, ErrorKind, Kv, Layer, Outcome, Result, SystemClock, layer_fn};
use kv_factory::{Factory, Instance, Settings};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const WRAPPERS: &str = include_str!("wrappers.toml");
/// A store in this process that falls back to the other one.
const LOCAL: &str = "local";

/// What the example runs on.
pub(crate) struct Stack {
    pub(crate) factory: Factory,
    pub(crate) kv: Kv,
    /// Strings only, and in front of the other.
    pub(crate) local: Kv,
    pub(crate) trouble: Trouble,
}

/// Opens the store of this name.
pub(crate) async fn open(store: &str) -> Result<Stack> {
    let trouble = Trouble::default();
    let injected = trouble.clone();
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::builder()
        .wrapper("trouble", move |_: Settings, _: &Instance| {
            Ok(Arc::new(injected.layer()) as Arc<dyn Layer>)
        })?
        .file(settings)
        .toml(format!("[default.database.kvstore.{store}]\n{WRAPPERS}"))
        .toml(format!(
            r#"
            [default.database.kvstore.{LOCAL}]
            provider = {{ backend = "memory" }}
            wrappers = [
                {{ name = "fallback", config = {{ store = "{store}", on = "miss_or_error" }} }},
                {{ name = "observe" }},
            ]
            "#
        ))
        .build()?;
    Ok(Stack {
        kv: factory.open(store).await?,
        local: factory.open(LOCAL).await?,
        factory,
        trouble,
    })
}

/// Loses some calls and delays others; during an outage it loses all.
#[derive(Clone, Default)]
pub(crate) struct Trouble {
    is_out: Arc<AtomicBool>,
}

impl Trouble {
    pub(crate) fn begin_outage(&self) {
        self.is_out.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end_outage(&self) {
        self.is_out.store(false, Ordering::Relaxed);
    }

    fn layer(&self) -> impl Layer + use<> {
        let is_out = Arc::clone(&self.is_out);
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(7)));
        layer_fn("trouble", move |request, next| {
            let fate = random.lock().unwrap_or_else(PoisonError::into_inner).u8(..);
            let is_out = is_out.load(Ordering::Relaxed);
            Box::pin(async move {
                if is_out || fate < 4 {
                    let lost = Error::new(ErrorKind::Unavailable, "lost on purpose");
                    return Err(lost.with_outcome(Outcome::NotApplied));
                }
                if fate < 8 {
                    SystemClock.sleep(Duration::from_millis(10)).await;
                }
                next.call(request).await
            })
        })
    }
}

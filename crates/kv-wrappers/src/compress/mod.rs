mod config;
mod frame;
mod meters;

use self::{
    frame::{HEADER, Packer, Refusal},
    meters::Meters,
};
use crate::{
    telemetry::{StoreName, describe},
    transformed::{At, Transform, Transformed},
};
use kv_core::{Capabilities, Layer, Result, Service, Value};
use std::{fmt, sync::Arc};

pub use self::config::{Algorithm, CompressConfig, LegacyValues};

/// Stores long values compressed.
///
/// Each value is stored in a frame that says how it is packed, so both algorithms can be read at any
/// time, and the setting can be changed in a running fleet once all readers have this layer. A value
/// that would not get shorter is stored as it is, 2 bytes longer. A whole number in its canonical
/// spelling is stored without a frame, so that counters work as ever.
///
/// Values everywhere are covered: strings, fields of hashes, steps of transactions, bodies of moves,
/// messages, events. Members, fields and keys stay as they are, and so do
/// [`Mark`](kv_core::Mark)s: what is written as one is to be read as one.
///
/// # What it subtracts
/// [`CompareValue`](kv_core::Capability::CompareValue), since equal values need not be packed to equal
/// bytes, and 2 bytes of the longest value. A longer one can pass all the same if it gets shorter.
///
/// # Errors
/// [`ErrorKind::Codec`](kv_core::ErrorKind::Codec) when what is read is damaged, unpacks to more than
/// `max_unpacked_bytes`, or was not written by this layer; see [`LegacyValues`].
/// [`ErrorKind::TooLarge`](kv_core::ErrorKind::TooLarge) for a value longer than `max_unpacked_bytes`.
/// Where a command had been applied when its answer turns out to be unreadable, the outcome is
/// *unknown*; a body that a move brings has an error of its own.
///
/// # Cost
/// A read and a `set` take one box more. Packing is done in the caller's task: a value of many
/// megabytes holds up a worker of the runtime for as long as it takes.
#[derive(Clone)]
pub struct Compress {
    packer: Arc<Packer>,
    store: StoreName,
}

impl Compress {
    /// A layer with these settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) for a level that the algorithm lacks, and for
    /// a limit of zero or of 4 GiB and more.
    pub fn new(config: CompressConfig) -> Result<Self> {
        Ok(Self {
            packer: Arc::new(Packer::new(config)?),
            store: StoreName::default(),
        })
    }

    /// With this name of the store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compress")
            .field(self.packer.config())
            .finish()
    }
}

impl Layer for Compress {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("compress");
        let packing = Packing {
            packer: Arc::clone(&self.packer),
            meters: Meters::new(&self.store),
        };
        Arc::new(Transformed::new(inner, Arc::new(packing)))
    }
}

/// The packer at work on one store.
struct Packing {
    packer: Arc<Packer>,
    meters: Meters,
}

impl Packing {
    fn told(&self, at: At<'_>, answer: Result<Value, Refusal>) -> Result<Value> {
        answer.map_err(|refusal| {
            if !at.is_change {
                self.meters.refused(&refusal);
            }
            refusal.into()
        })
    }
}

impl Transform for Packing {
    const IS_BOUND: bool = false;
    const GROWS_EVENLY: bool = false;

    fn write(&self, at: At<'_>, value: Value) -> Result<Value> {
        let plain = value.as_bytes().len();
        let packed = self.told(at, self.packer.pack(value))?;
        self.meters.packed([plain, packed.as_bytes().len()]);
        Ok(packed)
    }

    fn read(&self, at: At<'_>, value: Value) -> Result<Value> {
        self.told(at, self.packer.unpack(value))
    }

    fn capabilities(&self, mut inner: Capabilities) -> Capabilities {
        let most = inner.max_value_bytes.saturating_sub(HEADER);
        inner.max_value_bytes = most.min(self.packer.config().max_unpacked_bytes);
        inner
    }

    fn name(&self) -> String {
        let CompressConfig {
            algorithm,
            level,
            threshold_bytes,
            legacy,
            ..
        } = self.packer.config();
        let algorithm = match (algorithm, level) {
            (Algorithm::Lz4, _) => "lz4".to_owned(),
            (Algorithm::Zstd, None) => "zstd".to_owned(),
            (Algorithm::Zstd, Some(level)) => format!("zstd {level}"),
        };
        let legacy = match legacy {
            LegacyValues::Refuse => "",
            LegacyValues::Read => ", legacy values read",
        };
        format!("compress({algorithm} from {threshold_bytes} bytes{legacy})")
    }
}

#[cfg(test)]
mod tests;

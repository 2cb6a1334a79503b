//! What is stored: a frame that says how it is packed. ADR 0009 has it byte by byte.

use super::{Algorithm, CompressConfig, LegacyValues};
use crate::transformed::FRAME;
use bytes::Bytes;
use kv_core::{Error, ErrorKind, Outcome, Result, Value, number};
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

const STORED: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// What stands before a value that is stored as it is.
pub(super) const HEADER: usize = 2;
/// The header, the length of the value, its checksum.
const PACKED_HEADER: usize = HEADER + 4 + 4;
/// A number of 64 bits is never longer.
const NUMBER: usize = 20;

pub(super) struct Packer {
    config: CompressConfig,
    level: i32,
    /// Contexts of zstd, which are dear to make. As many as calls were at it at once.
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl Packer {
    pub(super) fn new(config: CompressConfig) -> Result<Self> {
        Ok(Self {
            level: config.checked_level()?,
            config,
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
        })
    }

    pub(super) fn config(&self) -> &CompressConfig {
        &self.config
    }

    pub(super) fn pack(&self, value: Value) -> Result<Value, Refusal> {
        let content = value.as_bytes();
        let limit = self.config.max_unpacked_bytes;
        if content.len() > limit {
            let length = content.len();
            return Err(Refusal::TooLong { length, limit });
        }
        if is_number(content) {
            return Ok(value);
        }
        if content.len() >= self.config.threshold_bytes.max(1)
            && let Some(packed) = self.packed(content)?
        {
            return Ok(packed.into());
        }
        let mut frame = Vec::with_capacity(HEADER + content.len());
        frame.extend_from_slice(&[FRAME, STORED]);
        frame.extend_from_slice(content);
        Ok(frame.into())
    }

    pub(super) fn unpack(&self, value: Value) -> Result<Value, Refusal> {
        let stored = value.into_bytes();
        match *stored {
            [FRAME, STORED, ..] => Ok(stored.slice(HEADER..).into()),
            [FRAME, method @ (LZ4 | ZSTD), ..] => self.unpacked(method, &stored),
            [FRAME, method, ..] => Err(Refusal::Unknown { method }),
            _ if self.config.legacy == LegacyValues::Read || is_number(&stored) => {
                Ok(stored.into())
            }
            _ => Err(Refusal::Foreign),
        }
    }

    /// The frame, if it is shorter than that of the value as it is.
    fn packed(&self, content: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let stored = HEADER + content.len();
        let room = match self.config.algorithm {
            Algorithm::Lz4 => lz4_flex::block::get_maximum_output_size(content.len()),
            // What does not fit is of no use.
            Algorithm::Zstd => content.len(),
        };
        let mut frame = vec![0; PACKED_HEADER + room];
        let (header, body) = frame.split_at_mut(PACKED_HEADER);
        let (method, packed) = match self.config.algorithm {
            Algorithm::Lz4 => (LZ4, lz4_flex::block::compress_into(content, body).ok()),
            Algorithm::Zstd => (ZSTD, self.zstd(content, body)?),
        };
        let Some(packed) = packed.filter(|it| PACKED_HEADER + it < stored) else {
            return Ok(None);
        };
        // The length fits: it is at most `max_unpacked_bytes`.
        let length = content.len() as u32;
        header[..HEADER].copy_from_slice(&[FRAME, method]);
        header[HEADER..6].copy_from_slice(&length.to_be_bytes());
        header[6..].copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        frame.truncate(PACKED_HEADER + packed);
        frame.shrink_to_fit();
        Ok(Some(frame))
    }

    fn unpacked(&self, method: u8, stored: &Bytes) -> Result<Value, Refusal> {
        let Some((header, body)) = stored.split_first_chunk::<PACKED_HEADER>() else {
            return Err(Refusal::Damaged);
        };
        let [_, _, a, b, c, d, sum @ ..] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let limit = self.config.max_unpacked_bytes;
        // Before a byte is reserved: this is where a bomb ends.
        if length > limit {
            return Err(Refusal::Bomb { length, limit });
        }
        let mut content = vec![0; length];
        let unpacked = match method {
            LZ4 => lz4_flex::block::decompress_into(body, &mut content).ok(),
            _ => self.unzstd(body, &mut content)?,
        };
        if unpacked != Some(length) || crc32fast::hash(&content) != u32::from_be_bytes(sum) {
            return Err(Refusal::Damaged);
        }
        Ok(content.into())
    }

    fn zstd(&self, content: &[u8], body: &mut [u8]) -> Result<Option<usize>, Refusal> {
        let pooled = self.compressors.lock().pop();
        let mut compressor = match pooled {
            Some(it) => it,
            None => Compressor::new(self.level).map_err(Refusal::NoContext)?,
        };
        let packed = compressor.compress_to_buffer(content, body).ok();
        self.compressors.lock().push(compressor);
        Ok(packed)
    }

    fn unzstd(&self, body: &[u8], content: &mut [u8]) -> Result<Option<usize>, Refusal> {
        let pooled = self.decompressors.lock().pop();
        let mut decompressor = match pooled {
            Some(it) => it,
            None => Decompressor::new().map_err(Refusal::NoContext)?,
        };
        let unpacked = decompressor.decompress_to_buffer(body, content).ok();
        self.decompressors.lock().push(decompressor);
        Ok(unpacked)
    }
}

/// Why a value cannot be packed or unpacked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It could be written, but not read again.
    TooLong { length: usize, limit: usize },
    /// It would unpack to more than there is room for.
    Bomb { length: usize, limit: usize },
    /// It is in no frame.
    Foreign,
    /// It is in a frame that we do not know.
    Unknown { method: u8 },
    /// It is not what was packed.
    Damaged,
    /// zstd cannot be set up.
    NoContext(std::io::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let codec = |message: String| Self::new(ErrorKind::Codec, message);
        match refusal {
            Refusal::TooLong { length, limit } => {
                let message = format!(
                    "the value has {length} bytes; max_unpacked_bytes allows {limit}, and a longer one could not be read again"
                );
                Self::new(ErrorKind::TooLarge, message)
            }
            Refusal::Bomb { length, limit } => codec(format!(
                "the value unpacks to {length} bytes; max_unpacked_bytes allows {limit}"
            )),
            Refusal::Foreign => codec(
                "the value was not written by `compress`; if it is older than the layer set legacy = \"read\"".to_owned(),
            ),
            Refusal::Unknown { method } => {
                codec("the value is in a frame of another layer, or of a newer version".to_owned())
                    .with_context("frame", format_args!("{method:#04x}"))
            }
            Refusal::Damaged => codec("the compressed value is damaged".to_owned()),
            Refusal::NoContext(source) => {
                let message = "zstd could not be set up, most likely for want of memory";
                Self::new(ErrorKind::Unexpected, message)
                    .with_outcome(Outcome::NotApplied)
                    .with_source(source)
            }
        }
    }
}

/// Counters count in strings and fields, and `get` reads them: so a whole number is stored as it is.
fn is_number(bytes: &[u8]) -> bool {
    bytes.len() <= NUMBER && number::parse(bytes).is_some()
}

//! How typed values become bytes.

use crate::{Error, ErrorKind, Result, Value};
use serde::{Serialize, de::DeserializeOwned};

/// How typed values become bytes: a format and, if wanted, compression.
///
/// ```
/// # use kv_core::Codec;
/// let codec = Codec::MESSAGE_PACK;
/// let bytes = codec.encode(&("ann", 7)).unwrap();
/// assert_eq!(codec.decode::<(String, u8)>(&bytes).unwrap(), ("ann".to_owned(), 7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    format: Format,
    compression: Option<Compression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    MessagePack,
}

/// When and how far to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Shorter values stay as they are, in bytes.
    pub threshold: usize,
    /// The longest value that is unpacked, in bytes: a bomb ends here.
    pub max_unpacked: usize,
}

impl Default for Compression {
    /// From 1 KiB on, and up to 64 MiB.
    fn default() -> Self {
        Self {
            threshold: 1024,
            max_unpacked: 64 << 20,
        }
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::JSON
    }
}

impl Codec {
    /// JSON: readable with any tool.
    pub const JSON: Self = Self {
        format: Format::Json,
        compression: None,
    };

    /// MessagePack with named fields: shorter than JSON, and as tolerant of added fields.
    pub const MESSAGE_PACK: Self = Self {
        format: Format::MessagePack,
        compression: None,
    };

    /// The same format, compressed with LZ4.
    ///
    /// The first byte of what is stored says whether the rest is packed; so values of a compressed
    /// and of a plain codec do not mix.
    #[cfg(feature = "compression")]
    #[must_use]
    pub fn compressed(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Makes bytes of a value.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`] if the type cannot be written in this format.
    pub fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Value> {
        let bytes = match self.format {
            Format::Json => serde_json::to_vec(value).map_err(|_| failed("encoded", "")),
            Format::MessagePack => {
                rmp_serde::to_vec_named(value).map_err(|_| failed("encoded", ""))
            }
        }?;
        Ok(match self.compression {
            None => bytes.into(),
            Some(compression) => pack::pack(bytes, compression).into(),
        })
    }

    /// Makes a value of bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`] if they are not what [`encode`](Self::encode) makes of this type.
    pub fn decode<T: DeserializeOwned>(&self, value: &Value) -> Result<T> {
        let unpacked;
        let bytes = match self.compression {
            None => value.as_bytes(),
            Some(compression) => {
                unpacked = pack::unpack(value.as_bytes(), compression)?;
                &unpacked
            }
        };
        match self.format {
            Format::Json => serde_json::from_slice(bytes)
                .map_err(|error| failed("decoded", &json_place(&error))),
            Format::MessagePack => rmp_serde::from_slice(bytes).map_err(|_| failed("decoded", "")),
        }
    }
}

/// Of the source nothing is told but the position: serde's messages can quote the value.
fn failed(what: &str, place: &str) -> Error {
    let message = format!("the value could not be {what} as this type{place}");
    Error::new(ErrorKind::Codec, message)
}

fn json_place(error: &serde_json::Error) -> String {
    match error.line() {
        // Errors of values that serde buffers have no position.
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    }
}

#[cfg(feature = "compression")]
mod pack {
    use super::Compression;
    use crate::{Error, ErrorKind, Result};
    use std::borrow::Cow;

    const PLAIN: u8 = 0;
    const LZ4: u8 = 1;

    pub(super) fn pack(bytes: Vec<u8>, compression: Compression) -> Vec<u8> {
        // What could not be read again is not packed.
        let packable = compression.threshold..=compression.max_unpacked;
        if packable.contains(&bytes.len()) {
            let packed = lz4_flex::compress_prepend_size(&bytes);
            if packed.len() < bytes.len() {
                return [&[LZ4], &*packed].concat();
            }
        }
        [&[PLAIN], &*bytes].concat()
    }

    pub(super) fn unpack(bytes: &[u8], compression: Compression) -> Result<Cow<'_, [u8]>> {
        match bytes.split_first() {
            Some((&PLAIN, plain)) => Ok(plain.into()),
            Some((&LZ4, packed)) => unpack_lz4(packed, compression).map(Cow::from),
            _ => Err(corrupt()),
        }
    }

    fn unpack_lz4(packed: &[u8], compression: Compression) -> Result<Vec<u8>> {
        let (size, packed) = lz4_flex::block::uncompressed_size(packed).map_err(|_| corrupt())?;
        if size > compression.max_unpacked {
            let limit = compression.max_unpacked;
            return Err(Error::new(
                ErrorKind::Codec,
                format!("the value unpacks to {size} bytes; at most {limit} are allowed"),
            ));
        }
        lz4_flex::decompress(packed, size).map_err(|_| corrupt())
    }

    fn corrupt() -> Error {
        Error::new(
            ErrorKind::Codec,
            "the value is not one of a compressed codec, or it is damaged",
        )
    }
}

/// Without the feature no codec has a compression, and nothing comes here.
#[cfg(not(feature = "compression"))]
mod pack {
    use super::Compression;
    use crate::Result;
    use std::borrow::Cow;

    pub(super) fn pack(bytes: Vec<u8>, _: Compression) -> Vec<u8> {
        bytes
    }

    pub(super) fn unpack(bytes: &[u8], _: Compression) -> Result<Cow<'_, [u8]>> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Codec;
    use crate::ErrorKind;

    #[test]
    fn an_error_never_quotes_the_value() {
        let value = Codec::JSON.encode("my password").unwrap();
        let error = Codec::JSON.decode::<u8>(&value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Codec);
        assert!(
            !format!("{error} {error:?}").contains("password"),
            "{error:?}"
        );
    }

    #[test]
    fn an_error_without_a_position_quotes_nothing_either() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(tag = "t")]
        enum Tagged {
            #[expect(dead_code, reason = "only its shape counts")]
            A { n: u8 },
        }
        let value = br#"{"t":"A","n":"x at line SECRET"}"#.into();
        let error = Codec::JSON.decode::<Tagged>(&value).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("SECRET"),
            "{error:?}"
        );
    }

    #[cfg(feature = "compression")]
    #[test]
    fn what_is_too_long_to_be_unpacked_is_stored_plain() {
        let codec = Codec::JSON.compressed(super::Compression {
            threshold: 10,
            max_unpacked: 100,
        });
        let long = "a".repeat(10_000);
        let stored = codec.encode(&long).unwrap();
        assert_eq!(codec.decode::<String>(&stored).unwrap(), long);
    }

    #[cfg(feature = "compression")]
    #[test]
    fn compression_shrinks_what_is_long_and_refuses_bombs_and_damage() {
        let codec = Codec::JSON.compressed(super::Compression::default());
        let long = "a".repeat(10_000);
        let packed = codec.encode(&long).unwrap();
        assert!(packed.as_bytes().len() < 1_000);
        assert_eq!(codec.decode::<String>(&packed).unwrap(), long);
        let short = codec.encode("a").unwrap();
        assert_eq!(short.as_bytes(), b"\0\"a\"");

        let narrow = Codec::JSON.compressed(super::Compression {
            max_unpacked: 100,
            ..Default::default()
        });
        for bad in [
            packed.as_bytes(),
            b"",
            b"\x01\xff",
            b"\x07\"a\"",
            &packed.as_bytes()[..20],
        ] {
            let error = narrow.decode::<String>(&bad.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Codec);
        }
    }
}

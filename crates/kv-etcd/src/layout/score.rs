//! Scores as bytes that sort as the scores do.

use kv_core::Score;

/// The sign bit is flipped for positive numbers and all bits for negative ones; big-endian, that
/// sorts from minus infinity to infinity.
pub(crate) fn encode(score: Score) -> [u8; 8] {
    let bits = score.get().to_bits();
    let flipped = match bits >> 63 {
        0 => bits ^ 1 << 63,
        _ => !bits,
    };
    flipped.to_be_bytes()
}

/// The score of these bytes; `None` for what is no number.
pub(crate) fn decode(bytes: [u8; 8]) -> Option<Score> {
    let flipped = u64::from_be_bytes(bytes);
    let bits = match flipped >> 63 {
        0 => !flipped,
        _ => flipped ^ 1 << 63,
    };
    Score::new(f64::from_bits(bits)).ok()
}

/// The bytes of the next score; `None` behind the last.
pub(crate) fn behind(score: Score) -> Option<[u8; 8]> {
    let next = u64::from_be_bytes(encode(score)).checked_add(1)?;
    Some(next.to_be_bytes())
}

//! Bytes that lie where they are looked at.

use std::ops::Deref;

/// Bytes, of which up to `N` lie in the place itself and more in a box.
///
/// Most keys and members are short: comparing them then costs no look at another place in memory,
/// which is what a lookup among very many spends its time on. They are always copied in, so that
/// bytes cut out of a larger buffer do not keep that alive.
pub(crate) enum Short<const N: usize> {
    Here { length: u8, bytes: [u8; N] },
    Boxed(Box<[u8]>),
}

impl<const N: usize> Short<N> {
    const FITS: () = assert!(N <= u8::MAX as usize, "a length is one byte");

    pub(crate) fn new(from: &[u8]) -> Self {
        let () = Self::FITS;
        let mut bytes = [0; N];
        let Some(place) = bytes.get_mut(..from.len()) else {
            return Self::Boxed(from.into());
        };
        place.copy_from_slice(from);
        let length = from.len() as u8;
        Self::Here { length, bytes }
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Here { length, bytes } => &bytes[..usize::from(*length)],
            Self::Boxed(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Short;

    #[test]
    fn bytes_of_any_length_are_kept() {
        for length in 0..100 {
            let bytes: Vec<u8> = (0..length).collect();
            let kept = Short::<30>::new(&bytes);
            assert_eq!(*kept, bytes[..]);
            assert_eq!(matches!(kept, Short::Here { .. }), length <= 30);
        }
        assert_eq!(size_of::<Short<30>>(), 32);
    }
}

//! Ranges of the store's keys.

/// From one key to just before another, bytewise. An empty end means the end of all keys, as
/// [`END`] says it to etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    pub(crate) from_key: Vec<u8>,
    pub(crate) to_key: Vec<u8>,
}

/// What etcd takes for "up to the last key".
pub(crate) const END: [u8; 1] = [0];

impl Range {
    /// All keys that start with these bytes.
    pub(crate) fn prefix(start: Vec<u8>) -> Self {
        let to_key = behind(&start);
        match start.is_empty() {
            // An empty key is none to etcd; the first one is a lone 00.
            true => Self {
                from_key: vec![0],
                to_key,
            },
            false => Self {
                from_key: start,
                to_key,
            },
        }
    }

    /// The same from its beginning to the end of what starts with `root`.
    pub(crate) fn until_end_of(mut self, root: &[u8]) -> Self {
        self.to_key = behind(root);
        self
    }

    /// The same from just behind a key on.
    pub(crate) fn after(mut self, key: &[u8]) -> Self {
        self.from_key = successor(key);
        self
    }

    /// The same up to a key, that one included.
    pub(crate) fn up_to(mut self, key: &[u8]) -> Self {
        self.to_key = successor(key);
        self
    }

    /// The same up to just before a key.
    pub(crate) fn before(mut self, key: &[u8]) -> Self {
        self.to_key = key.to_vec();
        self
    }

    /// Whether no key can lie in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.to_key != END && self.from_key >= self.to_key
    }

    /// Whether a key lies in it.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key >= &*self.from_key && (self.to_key == END || key < &*self.to_key)
    }
}

/// The first key behind a key.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The first key behind all that start with these bytes.
fn behind(start: &[u8]) -> Vec<u8> {
    let Some(last) = start.iter().rposition(|&byte| byte != 0xff) else {
        return END.to_vec();
    };
    let mut end = start[..=last].to_vec();
    end[last] += 1;
    end
}

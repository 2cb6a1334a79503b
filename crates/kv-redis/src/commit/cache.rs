//! Scripts by the shapes that they are for.

use super::shape::Shape;
use foldhash::HashMap;
use parking_lot::Mutex;
use redis::Script;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How many scripts are kept. Shapes come from the program's own text, so a program that has more
/// makes lists of steps where one step with a list would do.
const MOST: usize = 1000;

/// The scripts of one kind that were made so far.
pub(crate) struct Scripts {
    made: Mutex<HashMap<Shape, Arc<Generated>>>,
    /// Whether it was told that there are too many.
    told: AtomicBool,
    generate: fn(&Shape) -> String,
}

/// A script that was made for one shape.
pub(crate) struct Generated {
    pub(crate) code: String,
    pub(crate) hash: String,
    /// Its reply ends with the server's time.
    pub(super) tells_time: bool,
}

impl Scripts {
    /// With what makes a script.
    pub(crate) fn new(generate: fn(&Shape) -> String) -> Self {
        let made = Mutex::default();
        Self {
            made,
            told: AtomicBool::new(false),
            generate,
        }
    }

    /// The script of a shape.
    pub(crate) fn of(&self, shape: &Shape) -> Arc<Generated> {
        if let Some(script) = self.made.lock().get(shape) {
            return Arc::clone(script);
        }
        let script = Arc::new(Generated::new((self.generate)(shape), shape.tells_time()));
        let mut scripts = self.made.lock();
        let is_full = scripts.len() >= MOST;
        if is_full && let Some(other) = scripts.keys().next().cloned() {
            // Which one goes matters little: it is made again when it is wanted.
            scripts.remove(&other);
        }
        let script = Arc::clone(scripts.entry(shape.clone()).or_insert(script));
        // Whoever is told may do anything, also call us.
        drop(scripts);
        if is_full && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "transactions of more than {MOST} shapes: each is a script, which servers before Redis 7.4 and Valkey 8 keep until SCRIPT FLUSH; write lists as one step, or as transactions of one length"
            );
        }
        script
    }
}

impl Generated {
    fn new(code: String, tells_time: bool) -> Self {
        let hash = Script::new(&code).get_hash().to_owned();
        Self {
            code,
            hash,
            tells_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Scripts};
    use crate::commit::shape::{Guard, Shape};
    use std::sync::Arc;

    fn shape(keys: u16) -> Shape {
        let when = (0..keys).map(|place| (place, Guard::Exists)).collect();
        Shape {
            when,
            keys,
            ..Shape::default()
        }
    }

    #[test]
    fn a_script_is_made_once_and_their_number_is_bounded() {
        let scripts = Scripts::new(|shape| format!("{shape:?}"));
        let (first, again) = (scripts.of(&shape(1)), scripts.of(&shape(1)));
        assert!(Arc::ptr_eq(&first, &again));
        for place in 0..MOST as u16 + 10 {
            let when = vec![(place, Guard::Exists)];
            let shape = Shape {
                when,
                ..Shape::default()
            };
            scripts.of(&shape);
        }
        assert_eq!(scripts.made.lock().len(), MOST);
    }
}

//! What is made of several parts.

use super::{Parts, Walk, Walker};
use crate::{
    Error, Result, SetOptions, When,
    command::{ScanFrom, ScanPage, ScoredMember, SetReply},
};

impl<T: Walk> Walk for Option<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().try_for_each(|it| it.walk(walker))
    }
}

impl<T: Walk> Walk for Box<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        (**self).walk(walker)
    }
}

/// The elements of a reply belong to the places of the request, one each.
impl<T: Walk> Walk for Vec<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().enumerate().try_for_each(|(index, it)| {
            walker.enter(index);
            it.walk(walker)
        })
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.iter().for_each(|it| it.failures(see));
    }
}

impl<T: Walk> Walk for Result<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().try_for_each(|it| it.walk(walker))
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.as_ref().err().into_iter().for_each(see);
    }
}

impl<A: Walk, B: Walk> Walk for (A, B) {
    const PARTS: Parts = A::PARTS.and(B::PARTS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.0.walk(walker)?;
        self.1.walk(walker)
    }
}

impl Walk for SetOptions {
    const PARTS: Parts = Parts::MARKS.and(Parts::TTLS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.ttl.walk(walker)?;
        match &mut self.when {
            When::IfValue(mark) => mark.walk(walker),
            When::Always | When::IfAbsent | When::IfPresent => Ok(()),
        }
    }
}

impl Walk for SetReply {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.current.walk(walker)
    }
}

impl Walk for ScanFrom {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::After(key) => key.walk(walker),
            Self::Start | Self::Cursor(_) => Ok(()),
        }
    }
}

impl Walk for ScanPage {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.keys.iter_mut().try_for_each(|key| key.walk(walker))
    }
}

impl Walk for ScoredMember {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.member.walk(walker)
    }
}

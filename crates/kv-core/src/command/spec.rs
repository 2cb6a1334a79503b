use super::Parts;
use crate::{Capability, CapabilitySet, Op, When, command::Command};

/// The static facts about a command.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The method on `Kv` and on `Store`.
    pub name: &'static str,
    /// The variant of `Command` and of `Reply`.
    pub variant: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whether it changes anything.
    pub access: Access,
    /// What the store must be able to do, whatever the arguments are.
    pub needs: Capability,
    /// Whether it may be repeated after an unknown outcome.
    pub repeat: Repeat,
    /// What layers find in the command.
    pub request: Parts,
    /// What layers find in the reply.
    pub reply: Parts,
}

/// Whether a command changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It may write.
    Write,
}

/// Whether a command may be repeated when it is unknown whether it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The same state results; a count in the reply may be lower.
    Safe,
    /// It could be applied twice, or report a refusal of its own doing.
    Never,
}

impl Command {
    /// Whether this command, with these arguments, may be repeated after an unknown outcome.
    pub fn repeat(&self) -> Repeat {
        match self {
            Self::Set { options, .. } | Self::SetMany { options, .. }
                if options.when != When::Always =>
            {
                Repeat::Never
            }
            _ => self.spec().repeat,
        }
    }

    /// What the store must be able to do for this command with these arguments.
    pub fn needs(&self) -> CapabilitySet {
        let mut needs = CapabilitySet::NONE.with(self.spec().needs);
        match self {
            Self::Set { options, .. } | Self::SetMany { options, .. } => {
                match options.when {
                    When::Always => {}
                    When::IfAbsent | When::IfPresent => {
                        needs = needs.with(Capability::ConditionalSet);
                    }
                    When::IfValue(_) => needs = needs.with(Capability::CompareValue),
                }
                needs = options.ttl.needs(needs);
            }
            Self::Increment { ttl_if_created, .. } => needs = ttl_if_created.needs(needs),
            Self::HIncrement { .. } => needs = needs.with(Capability::Hashes),
            Self::Expire {
                expiry: crate::Expiry::Held(_),
                ..
            } => needs = needs.with(Capability::HeldExpiry),
            Self::Scan {
                from: super::ScanFrom::After(_),
                ..
            } => needs = needs.with(Capability::ScanAfter),
            Self::Commit { txns } => {
                let ops = txns.iter().flat_map(|txn| &txn.then);
                needs = ops.fold(needs, |needs, op| op.needs(needs));
            }
            _ => {}
        }
        needs
    }
}

impl Op {
    fn needs(&self, needs: CapabilitySet) -> CapabilitySet {
        match self {
            Self::Set { ttl, .. }
            | Self::Increment {
                ttl_if_created: ttl,
                ..
            }
            | Self::NextToken { ttl, .. } => ttl.needs(needs),
            Self::Expire {
                expiry: crate::Expiry::Held(_),
                ..
            } => needs.with(Capability::HeldExpiry),
            Self::Expire { .. } | Self::Persist { .. } => needs.with(Capability::Expiry),
            Self::Notify(_)
            | Self::ZAdd {
                notify_if_first: Some(_),
                ..
            } => needs.with(Capability::Channels),
            _ => needs,
        }
    }
}

impl crate::Ttl {
    fn needs(self, needs: CapabilitySet) -> CapabilitySet {
        match self {
            Self::Unset | Self::Never => needs,
            Self::Keep | Self::In(_) | Self::At(_) => needs.with(Capability::Expiry),
            Self::Held(_) => needs.with(Capability::HeldExpiry),
        }
    }
}

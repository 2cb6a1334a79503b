#![doc = include_str!("../README.md")]

mod atomic;
mod capability;
mod clock;
mod codec;
mod command;
mod context;
mod error;
mod key;
mod kv;
pub mod number;
mod options;
mod relative;
#[cfg(feature = "schema")]
pub mod schema;
mod scope;
mod score;
mod service;
mod store;
#[cfg(feature = "telemetry")]
pub mod telemetry;
mod template;
mod throttle;
mod timers;
mod ttl;
mod uptime;
mod value;
mod watch;

use std::pin::Pin;

pub use self::{
    atomic::{
        Bodies, ClaimOrder, Content, Fate, Guard, MAX_MEMBERS, Moved, Notice, Op, OpReply, Read,
        Source, Structure, Txn, TxnReply, ZMove, ZMoved,
    },
    capability::{Capabilities, Capability, CapabilitySet, DeadlineClock},
    clock::{Clock, Stopwatch, SystemClock, Timestamp, VirtualClock},
    codec::{Codec, Compression},
    command::{
        Access, Arg, COMMANDS, Command, Cursor, Parts, Place, Places, Refused, Repeat, Reply,
        ScanFrom, ScanPage, ScoredMember, SetReply, Spec, Store, Visitor, Walk, Walker,
    },
    context::Context,
    error::{Error, ErrorKind, Outcome, Result},
    key::{Key, KeyFormat, KeyGroup, PhysicalKey, Prefix, Prefixes, Segment},
    kv::{Health, Kv, KvBuilder},
    options::{CallOptions, Deadline},
    relative::{RelativeBound, RelativeRange, RelativeScore},
    scope::{Cleanup, Scope, WaitForKeys},
    score::{Order, RangeOptions, Score, ScoreBound, ScoreRange, Scores},
    service::{Layer, LayerFn, Request, Service, layer_fn},
    template::{NameTemplate, TemplateError},
    throttle::{
        Gcra, Limit, LimitState, Rule, StateText, StateWrite, Throttle, ThrottleMode, ThrottleStep,
        Throttled, Window,
    },
    timers::Timers,
    ttl::{Expiry, Lifetime, SetOptions, TimeToLive, Ttl, When},
    value::{Field, Mark, Member, Value},
    watch::{Event, Events, Watch, subscription},
};

/// A boxed future, as the seam's methods return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

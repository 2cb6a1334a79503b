//! What a row of the command table becomes. No logic here: only forwarding.

/// Turns the command table into the enums, the provider trait, the dispatcher and the typed handle.
macro_rules! commands {
    ($(
        #[doc = $summary:literal]
        $(#[doc = $doc:literal])*
        $access:ident $repeat:ident $needs:ident
        fn $name:ident as $Variant:ident($($arg:ident: $ty:ty),* $(,)?) -> $out:ty;
    )*) => {
        /// One operation, as data.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum Command {
            $(
                #[doc = $summary]
                #[allow(missing_docs, reason = "the arguments are those of the method")]
                $Variant { $($arg: $ty),* },
            )*
        }

        /// The answer to a [`Command`]; the variant has the command's name.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Reply {
            $(#[doc = $summary] $Variant($out),)*
        }

        /// The static facts about every command, in the order of the table.
        pub const COMMANDS: &[Spec] = &[$(
            Spec {
                name: stringify!($name),
                variant: stringify!($Variant),
                summary: $summary,
                access: Access::$access,
                needs: Capability::$needs,
                repeat: Repeat::$repeat,
                request: Parts::NONE$(.and(<$ty as Walk>::PARTS))*,
                reply: <$out as Walk>::PARTS,
            },
        )*];

        /// The position of each command in [`COMMANDS`].
        #[derive(Clone, Copy)]
        enum Row { $($Variant,)* }

        impl Command {
            /// The static facts about this command.
            pub fn spec(&self) -> &'static Spec {
                &COMMANDS[self.position()]
            }

            /// Where its facts stand in [`COMMANDS`]: an index for what is kept per command.
            pub fn position(&self) -> usize {
                let row = match self { $(Self::$Variant { .. } => Row::$Variant,)* };
                row as usize
            }

            /// The key or channel of a command on exactly one; for errors and spans.
            pub fn key(&self) -> Option<&Key> {
                match self {
                    $(Self::$Variant { $($arg),* } => {
                        let keys = [None, $($arg.as_key()),*];
                        keys.into_iter().flatten().next()
                    })*
                }
            }
        }

        impl Reply {
            /// Shows the errors of single items in the answer to a batch: the call itself went well.
            pub fn failures(&self, mut see: impl FnMut(&Error)) {
                match self { $(Self::$Variant(out) => Walk::failures(out, &mut see),)* }
            }
        }

        impl Walk for Command {
            const PARTS: Parts = Parts::KEYS.and(Parts::VALUES).and(Parts::MARKS).and(Parts::TTLS);

            fn walk<'a>(&'a mut self, _walker: &mut Walker<'_, 'a>) -> Result<()> {
                match self {
                    $(Self::$Variant { $($arg),* } => { $($arg.walk(_walker)?;)* Ok(()) })*
                }
            }
        }

        impl Walk for Reply {
            const PARTS: Parts = Parts::KEYS.and(Parts::VALUES);

            fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
                match self { $(Self::$Variant(out) => out.walk(walker),)* }
            }
        }

        /// What a provider implements: any subset of the commands, as ordinary async methods. A
        /// method left out answers [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), and
        /// `capabilities` must not claim it.
        ///
        /// A provider is handed to [`Kv::builder`](crate::Kv::builder); `kv-conformance` tells
        /// whether it keeps the contract. The methods' semantics are those of the same methods of
        /// [`Kv`](crate::Kv).
        pub trait Store: Send + Sync + 'static {
            /// The provider's name, as in errors and in a printed stack.
            fn name(&self) -> &'static str;

            /// What the store can do; asked again after `connect`.
            fn capabilities(&self) -> Capabilities;

            /// Establishes the connection. Called once, before any command.
            fn connect(&self) -> impl Future<Output = Result<()>> + Send {
                async { Ok(()) }
            }

            /// Lets go of connections and background tasks; data stays. Called once; no command
            /// starts after it.
            fn close(&self) -> impl Future<Output = ()> + Send {
                async {}
            }

            /// Asks the store for a sign of life.
            fn ping(&self) -> impl Future<Output = Result<()>> + Send {
                async { Ok(()) }
            }

            /// A handle on the driver, if it has one of this type.
            #[expect(unused_variables, reason = "the default has none")]
            fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
                None
            }

            /// Streams changes. The subscription is live before this returns.
            #[expect(unused_variables, reason = "the default refuses")]
            fn watch(&self, watch: Watch) -> impl Future<Output = Result<Events>> + Send {
                async { Err(Error::unsupported("watch")) }
            }

            $(
                #[doc = $summary]
                #[allow(unused_variables, clippy::boxed_local, reason = "the default refuses")]
                fn $name(&self, $($arg: $ty),*) -> impl Future<Output = Result<$out>> + Send {
                    async { Err(Error::unsupported(stringify!($name))) }
                }
            )*
        }

        /// Boxes each arm on its own: one block for all would be as large as the largest.
        pub(crate) fn dispatch<S: Store>(store: &S, command: Command) -> BoxFuture<'_, Result<Reply>> {
            match command {
                $(Command::$Variant { $($arg),* } => Box::pin(async move {
                    let answer = store.$name($($arg),*).await;
                    answer.map(Reply::$Variant).map_err(|error| {
                        error.with_operation(stringify!($name)).with_provider(store.name())
                    })
                }),)*
            }
        }

        /// One method per command. Each takes whatever converts into its arguments; see [`Arg`].
        impl Kv {
            $(
                #[doc = $summary]
                $(#[doc = $doc])*
                ///
                /// # Errors
                /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an argument
                /// that does not parse, before anything is sent;
                /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the store lacks
                /// the capability; else the provider's.
                pub async fn $name(&self, $($arg: impl Arg<$ty>),*) -> Result<$out> {
                    let name = |error: Error| error.with_operation(stringify!($name));
                    let command = Command::$Variant { $($arg: $arg.into_arg().map_err(name)?),* };
                    match self.send(command)?.await? {
                        Reply::$Variant(out) => Ok(out),
                        _ => Err(name(Error::new(
                            crate::ErrorKind::Unexpected,
                            "a layer answered with another command's reply",
                        ))),
                    }
                }
            )*
        }
    };
}

pub(crate) use commands;

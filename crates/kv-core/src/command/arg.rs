use super::ScanFrom;
use crate::{
    Error, Expiry, Field, Key, Lifetime, Mark, Member, Order, Prefixes, RangeOptions, Result,
    Score, ScoreRange, Scores, SetOptions, Throttle, Ttl, Txn, Value, ZMove,
};

/// What a method of [`Kv`](crate::Kv) accepts for an argument of type `T`.
///
/// Everything that converts into `T` by `From` or `TryFrom` is accepted, for lists any iterator of
/// such things. Bad input ends here, before anything is sent.
pub trait Arg<T> {
    /// Parses the argument.
    ///
    /// # Errors
    /// As the conversion into `T`.
    fn into_arg(self) -> Result<T>;
}

macro_rules! single {
    ($($ty:ty),* $(,)?) => {$(
        impl<A> Arg<$ty> for A
        where
            A: TryInto<$ty>,
            Error: From<A::Error>,
        {
            fn into_arg(self) -> Result<$ty> {
                Ok(self.try_into()?)
            }
        }
    )*};
}

single!(
    Expiry,
    Field,
    Key,
    Lifetime,
    Mark,
    Member,
    Order,
    Prefixes,
    RangeOptions,
    ScanFrom,
    Score,
    ScoreRange,
    Scores,
    SetOptions,
    Throttle,
    Ttl,
    Txn,
    Box<ZMove>,
    Value,
    i64,
    u32,
);

impl<A, B, X, Y> Arg<(X, Y)> for (A, B)
where
    A: Arg<X>,
    B: Arg<Y>,
{
    fn into_arg(self) -> Result<(X, Y)> {
        Ok((self.0.into_arg()?, self.1.into_arg()?))
    }
}

impl<I, T> Arg<Vec<T>> for I
where
    I: IntoIterator<Item: Arg<T>>,
{
    fn into_arg(self) -> Result<Vec<T>> {
        let items = self.into_iter();
        // Collecting results would not trust the size hint, and grow step by step.
        let mut args = Vec::with_capacity(items.size_hint().0);
        for item in items {
            args.push(item.into_arg()?);
        }
        Ok(args)
    }
}

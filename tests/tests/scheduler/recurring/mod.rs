//! Tasks that come again and again.

mod beat;
mod calendar;
mod ends;
mod policies;
mod races;
mod year;

//! What a configuration may say, described from the types that hold it.

pub(crate) mod catalogue;
mod described;
mod editor;
pub(crate) mod example;
mod page;
pub(crate) mod setting;
mod tables;
mod text;

pub use described::Described;

pub(crate) use self::{editor::editor, page::page};

//! Case 142.

mod bounds;
mod place;
mod races;
mod site;
mod watching;
mod writes;

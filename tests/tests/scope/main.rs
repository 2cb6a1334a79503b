//! Scopes: namespaces of keys that processes write and wait for, on every store, bare and below
//! tenants.

#![allow(clippy::unwrap_used, reason = "a test")]

mod cleanup;
mod idle;
mod one_key;
mod several_keys;
mod site;

//! The tables around the settings of providers and wrappers.

use crate::instance::{STORE, WRAPPER};
use schemars::{Schema, json_schema};

/// A store's table, its `provider` and `wrappers` left to others.
pub(super) fn store() -> Schema {
    let [enabled, namespace, provider, wrappers] = STORE;
    json_schema!({
        "description": "A store, by the name that the program asks for.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            enabled: {
                "description": "Whether the store can be opened. A disabled one needs neither its variables nor its provider in the program.",
                "type": "boolean",
                "default": true,
            },
            namespace: {
                "description": "The namespace of the store's keys, in place of the one in `[context]`.",
                "type": "string",
                "minLength": 1,
            },
            provider: {
                "description": "Where the data are: the `backend`, which is the name of a provider, and that provider's settings.",
                "type": "object",
            },
            wrappers: {
                "description": "What stands around the provider, from there outwards: a call meets the last one first.",
                "type": "array",
                "items": { "type": "object" },
            },
        },
    })
}

/// An entry of `wrappers`, its `name` and `config` left to others.
pub(super) fn wrapper() -> Schema {
    let [name, enabled, config] = WRAPPER;
    json_schema!({
        "description": "A wrapper of a store.",
        "type": "object",
        "additionalProperties": false,
        "required": [name],
        "properties": {
            name: {
                "description": "Which wrapper.",
                "type": "string",
            },
            enabled: {
                "description": "A disabled wrapper is not there at all.",
                "type": "boolean",
                "default": true,
            },
            config: {
                "description": "The wrapper's own settings.",
                "type": "object",
                "additionalProperties": true,
            },
        },
    })
}

//! Commands by name, as settings write them.

use kv_core::{COMMANDS, Error, ErrorKind, Result};

/// The command of this name in the table, as the method on `Kv` is called.
///
/// # Errors
/// [`ErrorKind::Config`], listing the names, if there is none.
pub(crate) fn command(name: &str) -> Result<&'static str> {
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) {
        return Ok(spec.name);
    }
    let names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
    let message = format!(
        "there is no command `{}`; known are {}",
        name.escape_debug(),
        names.join(", ")
    );
    Err(Error::new(ErrorKind::Config, message))
}

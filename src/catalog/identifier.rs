//! Names of datasets, tables, columns, principals and purposes.

use crate::error::{Error, Result};

/// A plain SQL name, so that it can be asked for without quotes: `[a-z_][a-z0-9_]*`, at most 63 characters.
pub fn check_sql_name(what: &str, name: &str) -> Result<()> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    if starts && name.len() <= 63 && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{what} '{name}' is not a plain SQL name: use at most 63 of a-z, 0-9 and _, not starting with a digit"
    )))
}

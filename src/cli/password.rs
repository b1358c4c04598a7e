//! A password from whoever sits there, unseen, or from a line of standard input.

use crate::error::{Error, Result};
use std::io::IsTerminal;

/// Errors: `CONFIGURATION` where there is none, or it was typed differently the second time.
pub fn read() -> Result<String> {
    let fail = |e: std::io::Error| Error::configuration(format!("the password cannot be read: {e}"));
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(fail)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let typed = rpassword::prompt_password("password: ").map_err(fail)?;
    match rpassword::prompt_password("once more: ").map_err(fail)? == typed {
        true => Ok(typed),
        false => Err(Error::configuration("the two passwords are not the same")),
    }
}

//! The demo's directory: data, the annotated dataset file, a configuration with fresh tokens.

use super::data;
use crate::api::{digest, new_token};
use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DATASET: &str = include_str!("../../../examples/shop.toml");
const POLICY: &str = include_str!("../../../examples/policy.toml");
const CONFIGURATION: &str = include_str!("../../../examples/undertone.toml");

/// A directory that can be served.
pub struct Shop {
    pub config: PathBuf,
    /// What was generated, in words.
    pub counts: String,
    pub ana: String,
    pub ben: String,
}

/// In the order of the configuration.
const PRINCIPALS: [&str; 5] = ["ana", "ben", "gina", "gus", "audrey"];

/// Writes all files of the demo into `dir`, which must not hold a demo already: a ledger is never overwritten.
pub fn write(dir: &Path, customers: u64) -> Result<Shop> {
    let place = |e: std::io::Error| Error::configuration(format!("cannot write to {}: {e}", dir.display()));
    let config = dir.join("undertone.toml");
    if config.exists() {
        return Err(Error::configuration(format!(
            "{} holds a demo already: remove it or choose another --dir",
            dir.display()
        )));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(place)?;
    let counts = data::write(&dir.join("data"), customers)?;
    let tokens = PRINCIPALS.iter().map(|_| new_token()).collect::<Result<Vec<_>>>()?;
    fs::write(dir.join("shop.toml"), DATASET).map_err(place)?;
    fs::write(dir.join("policy.toml"), POLICY).map_err(place)?;
    for (name, token) in PRINCIPALS.iter().zip(&tokens) {
        let path = dir.join(format!("{name}.token"));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(place)?;
        file.write_all(token.as_bytes()).map_err(place)?;
    }
    fs::write(&config, configuration(&tokens)).map_err(place)?;
    let mut tokens = tokens.into_iter();
    let (ana, ben) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
    Ok(Shop { config, counts, ana, ben })
}

/// The example configuration with the digests of these tokens in the place of its own.
fn configuration(tokens: &[String]) -> String {
    let mut fresh = tokens.iter().map(|token| digest(token));
    let line = |line: &str| match line.strip_prefix("token_sha256 = ").and_then(|_| fresh.next()) {
        Some(digest) => format!("token_sha256 = \"{digest}\"\n"),
        None => format!("{line}\n"),
    };
    CONFIGURATION.lines().map(line).collect()
}

//! `undertone demo`: a generated dataset, a server, and a short session with it over gRPC.

mod data;
mod setup;
mod tour;

use crate::error::{Error, Result};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct DemoArgs {
    /// Where to write dataset, configuration and ledger: an empty or a new directory. A temporary one if left out.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only write the files.
    #[arg(long, requires = "dir")]
    prepare: bool,
    /// Leave the server running afterwards, and say how to connect.
    #[arg(long, conflicts_with = "prepare")]
    keep: bool,
    /// Customers of the generated shop; each has about 15 orders and 3 tickets.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    customers: u64,
}

pub async fn demo(args: DemoArgs) -> Result<()> {
    let temporary = std::env::temp_dir().join(format!("undertone-demo-{}", std::process::id()));
    let dir = args.dir.clone().unwrap_or(temporary);
    let shop = setup::write(&dir, args.customers)?;
    if args.prepare {
        return super::show(format!("wrote {} with {}\n", dir.display(), shop.counts));
    }
    let toured = tour::tour(&shop, args.keep).await;
    if args.dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|e| Error::internal(format!("cannot remove {}: {e}", dir.display())))?;
    }
    toured
}

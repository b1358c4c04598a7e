//! `undertone ledger`.

use super::show;
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::ledger::{Ledger, Location};
use crate::server::{self, Config};
use clap::Subcommand;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum LedgerCommand {
    /// Write a copy of the ledger as it is now, while servers run; either store can be restored from it.
    Backup {
        /// The configuration that names the ledger.
        #[arg(long)]
        config: PathBuf,
        /// The copy, which must not be there yet.
        #[arg(long, short)]
        output: PathBuf,
    },
    /// Fill an empty ledger from a copy. No server may run.
    Restore {
        #[arg(long)]
        config: PathBuf,
        copy: PathBuf,
    },
    /// Print the number of audit entries and the hash of the last one. Kept elsewhere, they prove later that nothing before was changed or lost.
    Head {
        #[arg(long)]
        config: PathBuf,
    },
    /// Go on with a ledger that is older than its anchor says. What was charged since is lost, and so all grants of it are used up: governance grants anew.
    AcceptLoss {
        #[arg(long)]
        config: PathBuf,
        /// Why; it goes into the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Go on with this machine's clock where it is behind the ledger's last entry, because that was written by a wrong one.
    AcceptClock {
        #[arg(long)]
        config: PathBuf,
        /// Why; it goes into the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Print a new key for ledger.encryption_key.
    Key,
}

/// The ledger of a configuration, where there is one: a wrong path makes none.
pub async fn existing(config: &Config) -> Result<Ledger> {
    match config.ledger()? {
        Location::Sqlite(path) if !path.exists() => {
            Err(Error::configuration(format!("there is no ledger {}: start the server once", path.display())))
        }
        _ => config.open_ledger().await,
    }
}

async fn open(config: &Path) -> Result<Ledger> {
    existing(&server::load(config)?).await
}

pub async fn run(command: LedgerCommand) -> Result<()> {
    match command {
        LedgerCommand::Backup { config, output } => {
            let ledger = open(&config).await?;
            let place = |e: std::io::Error| Error::configuration(format!("cannot write {}: {e}", output.display()));
            let file = File::options().write(true).create_new(true).mode(0o600).open(&output).map_err(place)?;
            let mut file = BufWriter::new(file);
            let copied = async {
                let head = ledger.back_up(&mut file).await?;
                file.flush().and_then(|()| file.get_ref().sync_all()).map_err(place)?;
                Ok(head)
            };
            let (entries, hash) = copied.await.inspect_err(|_| {
                // Half a copy is none; where it cannot be removed, restoring it says so.
                let _ = fs::remove_file(&output);
            })?;
            show(format!("{} has {entries} audit entries; the last one's hash is {}\n", output.display(), hex(&hash)))
        }
        LedgerCommand::Restore { config, copy } => {
            let place = |e: std::io::Error| Error::configuration(format!("cannot read {}: {e}", copy.display()));
            let file = BufReader::new(File::open(&copy).map_err(place)?);
            let (entries, hash) = Ledger::restore(&server::load(&config)?.ledger()?, file).await?;
            show(format!("{entries} audit entries were restored; the last one's hash is {}\n", hex(&hash)))
        }
        LedgerCommand::Head { config } => {
            let (entries, hash) = open(&config).await?.head().await?;
            show(format!("{entries} {}\n", hex(&hash)))
        }
        LedgerCommand::AcceptLoss { config, reason } => {
            open(&config).await?.accept_loss(&reason).await?;
            show("the loss is accepted, and all grants are used up\n")
        }
        LedgerCommand::AcceptClock { config, reason } => {
            open(&config).await?.accept_clock(&reason).await?;
            show("the ledger goes by this machine's clock again\n")
        }
        LedgerCommand::Key => show(crate::api::new_key()? + "\n"),
    }
}

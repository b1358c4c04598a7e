//! `undertone policy`: over a ledger that this machine reaches, or over a server as governance.

use super::client::Client;
use super::ledger::existing;
use super::profile::ServerArgs;
use super::{Shape, connect, render, shaped, show};
use crate::api::{effect_message, version_message};
use crate::catalog::Outline;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::policy::{Policy, effect};
use crate::proto;
use crate::server::{self, Config};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Check a policy file by itself, and with a configuration against its datasets and principals.
    Check {
        file: PathBuf,
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Print the policy in force, or an earlier version of it.
    Show {
        #[command(flatten)]
        source: SourceArgs,
        #[arg(long, default_value_t = 0)]
        version: i64,
    },
    /// Compare a policy file with the policy in force, line by line.
    Diff {
        #[command(flatten)]
        source: SourceArgs,
        file: PathBuf,
    },
    /// Show what a policy file would do to the accounts that there are. Changes nothing.
    Simulate {
        #[command(flatten)]
        source: SourceArgs,
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Put a policy file in force at once, as the operator of this machine. Over a server, `propose` it.
    Apply {
        /// The configuration that names the ledger; servers may be running, and go by the new policy at once.
        #[arg(long)]
        config: PathBuf,
        /// The configuration's policy file if left out.
        file: Option<PathBuf>,
        /// Why; it goes into the audit log.
        #[arg(long)]
        reason: String,
        /// The hash of the policy that the file was made from: fails where another one is in force. Needed where calls made the policy in force.
        #[arg(long)]
        based_on: Option<String>,
    },
    /// Propose a policy file, for others to approve.
    Propose {
        #[command(flatten)]
        server: ServerArgs,
        file: PathBuf,
        #[arg(long)]
        reason: String,
    },
    /// Show all versions.
    History {
        #[command(flatten)]
        source: SourceArgs,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
}

/// Where the policy in force is read.
#[derive(Args)]
pub struct SourceArgs {
    /// The configuration that names the ledger, in the place of a server.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

enum Source {
    Machine(Box<Config>, Ledger),
    Server(Client),
}

impl SourceArgs {
    async fn open(&self) -> Result<Source> {
        match &self.config {
            Some(path) => {
                let config = server::load(path)?;
                let ledger = existing(&config).await?;
                Ok(Source::Machine(Box::new(config), ledger))
            }
            None => Ok(Source::Server(connect(&self.server).await?.0)),
        }
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| Error::configuration(format!("cannot read {}: {e}", file.display())))
}

fn policy(file: &Path) -> Result<Policy> {
    Policy::read(&read(file)?).map_err(|e| Error { message: format!("{}: {}", file.display(), e.message), ..e })
}

/// Checks it against the declarations of a configuration's datasets.
fn check(policy: &Policy, config: &Config) -> Result<Vec<Outline>> {
    let outlines = config.datasets.iter().map(|dataset| Outline::read(&dataset.file)).collect::<Result<Vec<_>>>()?;
    server::check_policy(policy, &outlines, config)?;
    Ok(outlines)
}

async fn in_force(ledger: &Ledger) -> Result<Policy> {
    ledger.policy().await?.map_or(Ok(Policy::default()), Policy::of_version)
}

pub async fn run(command: PolicyCommand) -> Result<()> {
    match command {
        PolicyCommand::Check { file, config } => {
            let policy = policy(&file)?;
            let notes = match config {
                Some(config) => {
                    let outlines = check(&policy, &server::load(&config)?)?;
                    policy.without_rules(&outlines).iter().map(|note| format!("note: {note}\n")).collect()
                }
                None => String::new(),
            };
            let document = &policy.document;
            let counts = format!("{} datasets, {} grants", document.datasets.len(), document.grants.len());
            show(format!("{notes}{}: {counts}, hash {}: fine\n", file.display(), policy.hash))
        }
        PolicyCommand::Show { source, version } => show(match source.open().await? {
            Source::Server(mut client) => client.policy(version).await?.text,
            Source::Machine(_, ledger) => {
                let found = ledger.policies().await?.into_iter().find(|p| version == 0 || p.version == version);
                let missing = || Error::configuration("the ledger has no such version of a policy");
                found.ok_or_else(missing)?.document
            }
        }),
        PolicyCommand::Diff { source, file } => {
            let before = match source.open().await? {
                Source::Server(mut client) => Policy::read(&client.policy(0).await?.text)?,
                Source::Machine(_, ledger) => in_force(&ledger).await?,
            };
            show(before.diff(&policy(&file)?, &file.display().to_string()))
        }
        PolicyCommand::Simulate { source, file, format } => {
            let effect = match source.open().await? {
                Source::Server(mut client) => {
                    let based_on = client.policy(0).await?.version.unwrap_or_default().hash;
                    client.simulate(document(read(&file)?, based_on)).await?.effect.unwrap_or_default()
                }
                Source::Machine(config, ledger) => {
                    let after = policy(&file)?;
                    check(&after, &config)?;
                    let before = in_force(&ledger).await?;
                    effect_message(effect(&before, &after, &ledger.accounts().await?)?, &before, &after)
                }
            };
            shaped(format, &effect, render::effect)
        }
        PolicyCommand::Apply { config, file, reason, based_on } => {
            let config = server::load(&config)?;
            let policy = match file {
                Some(file) => policy(&file)?,
                None => config.policy()?,
            };
            check(&policy, &config)?;
            let ledger = existing(&config).await?;
            let (effect, before) = server::apply_policy(&ledger, &policy, &reason, based_on).await?;
            let version = ledger.policy().await?.map_or(0, |policy| policy.version);
            let effect = render::effect(&effect_message(effect, &before, &policy));
            show(format!("{effect}policy {version} is in force, with hash {}\n", policy.hash))
        }
        PolicyCommand::Propose { server, file, reason } => {
            let mut client = connect(&server).await?.0;
            let based_on = client.policy(0).await?.version.unwrap_or_default().hash;
            let proposal = client.propose(document(read(&file)?, based_on), reason).await?;
            show(render::proposals(&[proposal]))
        }
        PolicyCommand::History { source, format } => {
            let versions = match source.open().await? {
                Source::Server(mut client) => client.policies().await?,
                Source::Machine(_, ledger) => ledger.policies().await?.into_iter().map(version_message).collect(),
            };
            shaped(format, &versions, |versions| render::policies(versions))
        }
    }
}

fn document(text: String, based_on: String) -> proto::Edit {
    proto::Edit { kind: Some(proto::edit::Kind::Policy(proto::NewPolicy { text, based_on })) }
}

//! Commands of governance, auditors and those who ask for a budget, over a server.

use super::profile::ServerArgs;
use super::{Shape, connect, render, shaped, show};
use crate::error::{Code, Error, Result};
use crate::proto::{self, edit::Kind};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum GovernCommand {
    /// Show all accounts with their balances, and the pools, teams and tiers behind them.
    Accounts {
        #[command(flatten)]
        server: ServerArgs,
        /// Only this dataset.
        #[arg(long, default_value = "")]
        dataset: String,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Show proposals and requests for budgets, with what each would do.
    Proposals {
        #[command(flatten)]
        server: ServerArgs,
        /// Those that are decided too.
        #[arg(long)]
        all: bool,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Approve somebody else's proposal. The last approval that it needs puts it in force.
    Approve {
        #[command(flatten)]
        server: ServerArgs,
        proposal: i64,
        #[arg(long)]
        reason: String,
        /// The hash of the policy for which you saw its effect, as `govern proposals` shows it: fails where another one is in force by now.
        #[arg(long)]
        based_on: Option<String>,
    },
    /// Reject a proposal.
    Reject {
        #[command(flatten)]
        server: ServerArgs,
        proposal: i64,
        #[arg(long)]
        reason: String,
    },
    /// Propose to move a part of a grant that was not spent to another one of the same dataset. A holder is PRINCIPAL/PURPOSE or team:NAME.
    Move {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long)]
        dataset: String,
        #[arg(long)]
        from: String,
        #[arg(long)]
        to: String,
        #[arg(long)]
        epsilon: String,
        #[arg(long, default_value = "")]
        delta: String,
        #[arg(long)]
        reason: String,
    },
    /// Propose to end a grant.
    Revoke {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long)]
        dataset: String,
        #[arg(long)]
        principal: String,
        #[arg(long)]
        purpose: String,
        #[arg(long)]
        reason: String,
    },
    /// Stop all accounts of a holder at once: a principal, team:NAME or tier:NAME; without a holder, everybody's on the dataset.
    Freeze {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long)]
        dataset: String,
        #[arg(long, default_value = "")]
        holder: String,
        #[arg(long)]
        reason: String,
        /// Let them go on.
        #[arg(long)]
        lift: bool,
    },
}

/// PRINCIPAL/PURPOSE or team:NAME.
fn holder(text: &str) -> Result<proto::Holder> {
    match (text.strip_prefix("team:"), text.split_once('/')) {
        (Some(team), _) => Ok(proto::Holder { team: team.to_owned(), ..Default::default() }),
        (None, Some((principal, purpose))) => {
            Ok(proto::Holder { principal: principal.to_owned(), purpose: purpose.to_owned(), team: String::new() })
        }
        (None, None) => {
            Err(Error::new(Code::InvalidRequest, format!("'{text}' is neither PRINCIPAL/PURPOSE nor team:NAME")))
        }
    }
}

pub async fn run(command: GovernCommand) -> Result<()> {
    match command {
        GovernCommand::Accounts { server, dataset, format } => {
            let accounts = connect(&server).await?.0.accounts(dataset).await?;
            shaped(format, &accounts, render::accounts)
        }
        GovernCommand::Proposals { server, all, format } => {
            let proposals = connect(&server).await?.0.proposals(!all).await?;
            shaped(format, &proposals, |proposals| render::proposals(proposals))
        }
        GovernCommand::Approve { server, proposal, reason, based_on } => {
            let mut client = connect(&server).await?.0;
            let based_on = match based_on {
                Some(hash) => hash,
                None => client.policy(0).await?.version.unwrap_or_default().hash,
            };
            let decided = client.decide(proposal, true, reason, based_on).await?;
            show(render::proposals(&[decided]))
        }
        GovernCommand::Reject { server, proposal, reason } => {
            let decided = connect(&server).await?.0.decide(proposal, false, reason, String::new()).await?;
            show(render::proposals(&[decided]))
        }
        GovernCommand::Move { server, dataset, from, to, epsilon, delta, reason } => {
            let (from, to) = (Some(holder(&from)?), Some(holder(&to)?));
            let kind = Kind::Move(proto::Move { dataset, from, to, epsilon, delta });
            propose(&server, kind, reason).await
        }
        GovernCommand::Revoke { server, dataset, principal, purpose, reason } => {
            propose(&server, Kind::Revoke(proto::Revoke { principal, dataset, purpose }), reason).await
        }
        GovernCommand::Freeze { server, dataset, holder, reason, lift } => {
            connect(&server).await?.0.freeze(proto::FreezeRequest { dataset, holder, reason, lift }).await?;
            show(if lift { "they may go on\n" } else { "they are frozen\n" })
        }
    }
}

async fn propose(server: &ServerArgs, kind: Kind, reason: String) -> Result<()> {
    let proposal = connect(server).await?.0.propose(proto::Edit { kind: Some(kind) }, reason).await?;
    show(render::proposals(&[proposal]))
}

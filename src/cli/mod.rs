//! The command line: a server, its clients, a token maker and a demonstration.

mod client;
mod demo;
mod render;
mod serve;

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use clap::{Args, Parser, Subcommand, ValueEnum};
use client::Client;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Private answers from SQL, with honest error bars and budgets that hold.
#[derive(Parser)]
#[command(name = "undertone", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the datasets of a configuration file until interrupted.
    Serve {
        /// The configuration; examples/undertone.toml explains every key.
        #[arg(long)]
        config: PathBuf,
        /// Listen here instead of at the configured address; port 0 takes a free one.
        #[arg(long)]
        listen: Option<SocketAddr>,
    },
    /// Ask a question and print the answer with its error bars.
    Query {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        question: QuestionArgs,
        /// Name of this question for retries; the same name gets the same answer and pays once.
        #[arg(long)]
        query_id: Option<String>,
        /// Pay for a new draw even if this question was answered before.
        #[arg(long)]
        fresh: bool,
    },
    /// Show what a question would cost and how accurate it would be. Costs nothing.
    Quote {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        question: QuestionArgs,
    },
    /// Show what is left of your budgets.
    Budget {
        #[command(flatten)]
        server: ServerArgs,
        /// Only this dataset.
        #[arg(long)]
        dataset: Option<String>,
    },
    /// Show what may be asked about.
    Datasets {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make credentials.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Let a principal ask again whose charged question failed, once you know why it did.
    Unfreeze {
        /// The configuration that names the ledger; the server may be running.
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        dataset: String,
        #[arg(long)]
        principal: String,
        /// What you found; it goes into the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Generate a dataset, serve it, and hold a short session with it.
    Demo(demo::DemoArgs),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a new token, once, and the lines for the server's configuration.
    Issue {
        /// The principal that it will stand for.
        #[arg(long)]
        principal: String,
    },
}

#[derive(Args)]
struct ServerArgs {
    /// The server's address.
    #[arg(long, env = "UNDERTONE_URL", default_value = "http://127.0.0.1:50061")]
    url: String,
    /// Your token.
    #[arg(long, env = "UNDERTONE_TOKEN", hide_env_values = true)]
    token: String,
}

#[derive(Args)]
struct QuestionArgs {
    /// The question: one SELECT.
    sql: String,
    #[arg(long, env = "UNDERTONE_DATASET")]
    dataset: String,
    /// Why you ask; may be left out where you have one grant only.
    #[arg(long, env = "UNDERTONE_PURPOSE", default_value = "")]
    purpose: String,
    /// Total epsilon of the question; the dataset's default if left out.
    #[arg(long, default_value = "")]
    epsilon: String,
    /// What private keys may cost in delta; the dataset's default if left out.
    #[arg(long, default_value = "")]
    delta: String,
    /// Groups that one privacy unit may take part in, at most the dataset's.
    #[arg(long, default_value_t = 0)]
    max_groups: u64,
    /// Rows that one privacy unit may add to one group, at most the dataset's.
    #[arg(long, default_value_t = 0)]
    max_rows: u64,
    /// The noise; the dataset's default if left out.
    #[arg(long)]
    mechanism: Option<MechanismArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MechanismArg {
    Laplace,
    Gaussian,
}

/// Parses the arguments, runs, and says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve { config, listen } => serve::serve(&config, listen).await,
        Command::Query { server, question, query_id, fresh } => {
            let mut client = Client::connect(&server.url, &server.token).await?;
            let answer = client.execute(question.message(), query_id.unwrap_or_default(), fresh, true).await?;
            show(&render::answer(&answer)?)
        }
        Command::Quote { server, question } => {
            let quote = Client::connect(&server.url, &server.token).await?.quote(question.message()).await?;
            show(&render::quote(&quote))
        }
        Command::Budget { server, dataset } => {
            let balances =
                Client::connect(&server.url, &server.token).await?.balances(dataset.unwrap_or_default()).await?;
            show(&render::balances(&balances))
        }
        Command::Datasets { server } => {
            let datasets = Client::connect(&server.url, &server.token).await?.datasets().await?;
            show(&render::datasets(&datasets))
        }
        Command::Token { command: TokenCommand::Issue { principal } } => {
            let token = crate::api::new_token()?;
            show(&format!(
                "token (shown once; give it to {principal}):\n  {token}\n\nfor the server's configuration:\n\n[[principal]]\nname = \"{principal}\"\ntoken_sha256 = \"{}\"\n",
                crate::api::digest(&token)
            ))
        }
        Command::Unfreeze { config, dataset, principal, reason } => {
            let ledger = Ledger::open(&crate::server::load(&config)?.ledger.path).await?;
            ledger.unfreeze(&dataset, &principal, &reason).await?;
            show(&format!("'{principal}' may ask about '{dataset}' again\n"))
        }
        Command::Demo(args) => demo::demo(args).await,
    }
}

/// Prints to standard output; a closed pipe is a normal end.
fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::internal(format!("cannot write: {e}"))),
        _ => Ok(()),
    }
}

impl QuestionArgs {
    fn message(self) -> crate::proto::Question {
        use crate::proto::Mechanism;
        let mechanism = match self.mechanism {
            None => Mechanism::Unspecified,
            Some(MechanismArg::Laplace) => Mechanism::Laplace,
            Some(MechanismArg::Gaussian) => Mechanism::Gaussian,
        };
        crate::proto::Question {
            dataset: self.dataset,
            sql: self.sql,
            purpose: self.purpose,
            epsilon: self.epsilon,
            delta: self.delta,
            max_groups_contributed: self.max_groups,
            max_rows_contributed: self.max_rows,
            mechanism: mechanism.into(),
        }
    }
}

//! The command line: a server, its clients, a token maker and a demonstration.

mod audit;
mod calibrate;
mod check;
mod client;
mod demo;
mod exit;
mod format;
mod govern;
mod ledger;
mod password;
mod policy;
mod profile;
mod render;
mod serve;

use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::hex::hex;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use client::Client;
use format::{Format, Sink};
use profile::{ServerArgs, Target};
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Private answers from SQL, with honest error bars and budgets that hold.
#[derive(Parser)]
#[command(name = "undertone", version, about, max_term_width = 100, after_help = exit::HELP)]
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
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a question would cost and how accurate it would be. Costs nothing.
    Quote {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        question: QuestionArgs,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Show how a question would be answered: its noisy tables, their keys, limits, noise and shares of the price. Costs nothing.
    Explain {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        question: QuestionArgs,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Pay for one more draw of noise, to make an answer that you have more accurate.
    Refine {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        refinement: RefinementArgs,
        /// Show what it would cost and how accurate the answer would be, and pay nothing.
        #[arg(long)]
        quote: bool,
        /// Name of the new answer for retries; the same name gets the same answer and pays once.
        #[arg(long)]
        query_id: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show an answer that was paid for again, byte for byte. Costs nothing.
    Answer {
        #[command(flatten)]
        server: ServerArgs,
        /// The query id that `query` printed.
        query_id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show the receipt of an answer that was paid for.
    Receipt {
        #[command(flatten)]
        server: ServerArgs,
        /// The query id that `query` printed.
        query_id: String,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Show what is left of your budgets.
    Budget {
        #[command(flatten)]
        server: ServerArgs,
        /// Only this dataset.
        #[arg(long)]
        dataset: Option<String>,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Ask governance for a budget, beside what you have.
    Request {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long, env = "UNDERTONE_DATASET")]
        dataset: String,
        #[arg(long, env = "UNDERTONE_PURPOSE")]
        purpose: String,
        #[arg(long)]
        epsilon: String,
        #[arg(long, default_value = "")]
        delta: String,
        /// What it is for; governance and auditors read it.
        #[arg(long)]
        justification: String,
    },
    /// Show what became of your requests for budgets.
    Requests {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Show what may be asked about.
    Datasets {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// Check a server's configuration with its datasets, or one dataset file, and read all their files through.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print a script that completes commands in a shell.
    Completions { shell: clap_complete::Shell },
    /// Make credentials.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Find bounds that nobody declared, for all who ask about a dataset: the dataset's pool pays, and each account once, with its first
    /// question that needs them.
    Calibrate {
        /// The configuration that names the dataset and the ledger; the server may be running.
        #[arg(long)]
        config: PathBuf,
        /// A question that needs the bounds.
        sql: String,
        #[arg(long)]
        dataset: String,
        /// What finding them is to cost in all; the dataset's default if left out.
        #[arg(long, default_value = "")]
        epsilon: String,
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,
    },
    /// See the policy, and change it: budgets, roles, purposes, tiers and permissions.
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Govern: look at accounts and proposals, decide, move, revoke and freeze. Needs a token of governance.
    Govern {
        #[command(subcommand)]
        command: govern::GovernCommand,
    },
    /// Prove what was granted and spent.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
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
    /// Look after the ledger: copies, restores, keys and clocks.
    Ledger {
        #[command(subcommand)]
        command: ledger::LedgerCommand,
    },
    /// Generate a dataset, serve it, and hold a short session with it.
    Demo(demo::DemoArgs),
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Recompute the log's chain of hashes and every balance from its entries, and compare them with the ledger.
    Verify {
        /// The configuration that names the ledger; the server may be running.
        #[arg(long, required_unless_present = "log")]
        config: Option<PathBuf>,
        /// A log that `audit export` wrote, in the place of a ledger.
        #[arg(long, conflicts_with = "config")]
        log: Option<PathBuf>,
    },
    /// Write the log out.
    Export {
        #[arg(long)]
        config: PathBuf,
        #[arg(long, value_enum, default_value_t = audit::LogFormat::Ndjson)]
        format: audit::LogFormat,
        /// Write there instead of to standard output.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a new token, once, and the lines for the server's configuration.
    Issue {
        /// The principal that it will stand for.
        #[arg(long)]
        principal: String,
    },
    /// Print the line for the server's configuration by which a principal is known by a password too, for SQL tools that know no tokens.
    /// Asks for it, or reads a line of standard input.
    Password {
        #[arg(long)]
        principal: String,
    },
}

#[derive(Args)]
struct QuestionArgs {
    /// The question: one SELECT.
    sql: String,
    /// The dataset that is asked.
    #[arg(long, env = "UNDERTONE_DATASET")]
    dataset: Option<String>,
    /// Why you ask; may be left out where you have one grant only.
    #[arg(long, env = "UNDERTONE_PURPOSE")]
    purpose: Option<String>,
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
    /// The value of $1, $2, ... or of one ? after the other: a number, true, false or null, else text; date:2026-01-31,
    /// timestamp:2026-01-31T12:00:00 and text:12 say what they are.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    param: Vec<String>,
    /// The noise; the dataset's default if left out.
    #[arg(long)]
    mechanism: Option<MechanismArg>,
    /// In the place of epsilon: what counts and sums may be off by, for the smallest price that does it.
    #[arg(long, value_name = "NUMBER", conflicts_with = "epsilon")]
    error: Option<f64>,
    /// The same as a share of --magnitude, for example 0.05.
    #[arg(long, value_name = "SHARE", requires = "magnitude", conflicts_with_all = ["epsilon", "error"])]
    relative_error: Option<f64>,
    /// About how large the counts and sums are.
    #[arg(long, value_name = "NUMBER", requires = "relative_error")]
    magnitude: Option<f64>,
    /// Show counts, and sums of what is never negative, as 0 where noise makes them negative.
    #[arg(long)]
    non_negative: bool,
    /// Make the totals of GROUPING SETS and ROLLUP the sums of their parts.
    #[arg(long)]
    consistent: bool,
    /// How sure the error is to be; 0.95 if left out.
    #[arg(long, value_name = "PROBABILITY")]
    confidence: Option<f64>,
}

#[derive(Args)]
struct RefinementArgs {
    /// The query id of the answer, which `query` printed.
    answer: String,
    /// What the draw is to cost; the dataset's default epsilon if left out.
    #[arg(long, default_value = "")]
    epsilon: String,
    /// The noise; the dataset's default if left out.
    #[arg(long)]
    mechanism: Option<MechanismArg>,
    /// In the place of epsilon: what counts and sums may be off by then, for the smallest price that does it.
    #[arg(long, value_name = "NUMBER", conflicts_with = "epsilon")]
    error: Option<f64>,
    /// The same as a share of --magnitude, for example 0.05.
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["epsilon", "error"])]
    relative_error: Option<f64>,
    /// About how large the counts and sums are; the median of the answer's values if left out.
    #[arg(long, value_name = "NUMBER", requires = "relative_error")]
    magnitude: Option<f64>,
    /// How sure the error is to be; 0.95 if left out.
    #[arg(long, value_name = "PROBABILITY")]
    confidence: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MechanismArg {
    /// Whichever has the least error at the price.
    Automatic,
    Laplace,
    Gaussian,
}

#[derive(Args)]
struct OutputArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write there instead of to standard output.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Text for people, or JSON with the field names of the gRPC interface.
#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    Table,
    Json,
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
            exit::code(e.code)
        }
    }
}

async fn connect(server: &ServerArgs) -> Result<(Client, Target)> {
    let target = server.resolve()?;
    Ok((Client::connect(&target).await?, target))
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve { config, listen } => serve::serve(&config, listen).await,
        Command::Query { server, question, query_id, fresh, output } => {
            let sink = Sink::open(output.format, output.output.as_deref())?;
            let (mut client, target) = connect(&server).await?;
            let question = question.message(&target)?;
            let query_id = query_id.unwrap_or_else(new_query_id);
            let paid = async {
                let answer = client.execute(question, query_id.clone(), fresh, true).await?;
                sink.write(&answer, output.format)
            };
            paid.await.map_err(|e| found_again(e, &query_id))
        }
        Command::Refine { server, refinement, quote: true, output, .. } => {
            let quote = connect(&server).await?.0.quote_refinement(refinement.message()).await?;
            let shape = if output.format == Format::Json { Shape::Json } else { Shape::Table };
            shaped(shape, &quote, render::quote)
        }
        Command::Refine { server, refinement, query_id, output, .. } => {
            let sink = Sink::open(output.format, output.output.as_deref())?;
            let query_id = query_id.unwrap_or_else(new_query_id);
            let paid = async {
                let answer = connect(&server).await?.0.refine(refinement.message(), query_id.clone()).await?;
                sink.write(&answer, output.format)
            };
            paid.await.map_err(|e| found_again(e, &query_id))
        }
        Command::Quote { server, question, format } => {
            let (mut client, target) = connect(&server).await?;
            let quote = client.quote(question.message(&target)?).await?;
            shaped(format, &quote, render::quote)
        }
        Command::Explain { server, question, format } => {
            let (mut client, target) = connect(&server).await?;
            let quote = client.quote(question.message(&target)?).await?;
            shaped(format, &quote, render::explanation)
        }
        Command::Answer { server, query_id, output } => {
            let sink = Sink::open(output.format, output.output.as_deref())?;
            sink.write(&connect(&server).await?.0.answer(query_id).await?, output.format)
        }
        Command::Receipt { server, query_id, format } => {
            let answer = connect(&server).await?.0.answer(query_id).await?;
            shaped(format, &answer.receipt.unwrap_or_default(), render::receipt)
        }
        Command::Budget { server, dataset, format } => {
            let balances = connect(&server).await?.0.balances(dataset.unwrap_or_default()).await?;
            shaped(format, &balances, |balances| render::balances(balances))
        }
        Command::Datasets { server, format } => {
            let datasets = connect(&server).await?.0.datasets().await?;
            shaped(format, &datasets, |datasets| render::datasets(datasets))
        }
        Command::Check { file } => show(check::check(&file).await?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "undertone", &mut script);
            show(script)
        }
        Command::Token { command: TokenCommand::Issue { principal } } => {
            let token = crate::api::new_token()?;
            show(format!(
                "token (shown once; give it to {principal}):\n  {token}\n\nfor the server's configuration:\n\n[[principal]]\nname = \"{principal}\"\ntoken_sha256 = \"{}\"\n",
                crate::api::digest(&token)
            ))
        }
        Command::Token { command: TokenCommand::Password { principal } } => {
            let hash = crate::api::password_hash(&password::read()?)?;
            show(format!(
                "# a line for principal \"{principal}\" of the server's configuration:\npassword_argon2 = \"{hash}\"\n"
            ))
        }
        Command::Calibrate { config, sql, dataset, epsilon, format } => {
            let ask = Ask { sql, dataset, ..Ask::default() };
            shaped(format, &calibrate::calibrate(&config, &ask, &epsilon).await?, render::calibration)
        }
        Command::Request { server, dataset, purpose, epsilon, delta, justification } => {
            let request = crate::proto::RequestBudgetRequest { dataset, purpose, epsilon, delta, justification };
            let proposal = connect(&server).await?.0.request_budget(request).await?;
            show(render::proposals(&[proposal]))
        }
        Command::Requests { server, format } => {
            let requests = connect(&server).await?.0.requests().await?;
            shaped(format, &requests, |requests| render::proposals(requests))
        }
        Command::Policy { command } => policy::run(command).await,
        Command::Govern { command } => govern::run(command).await,
        Command::Audit { command: AuditCommand::Verify { config, log } } => match (config, log) {
            (Some(config), _) => show(audit::verify(&config).await?),
            (None, log) => show(audit::verify_log(&log.unwrap_or_default())?),
        },
        Command::Audit { command: AuditCommand::Export { config, format, output } } => {
            let log = audit::export(&config, format).await?;
            match output {
                Some(file) => std::fs::write(&file, log)
                    .map_err(|e| Error::configuration(format!("cannot write {}: {e}", file.display()))),
                None => show(log),
            }
        }
        Command::Unfreeze { config, dataset, principal, reason } => {
            let ledger = ledger::existing(&crate::server::load(&config)?).await?;
            ledger.unfreeze(&dataset, &principal, &reason).await?;
            show(format!("'{principal}' may ask about '{dataset}' again\n"))
        }
        Command::Ledger { command } => ledger::run(command).await,
        Command::Demo(args) => demo::demo(args).await,
    }
}

fn new_query_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

/// Whatever happened to what was asked under this id, it finds what was paid for.
fn found_again(e: Error, query_id: &str) -> Error {
    match e.code {
        Code::Internal | Code::ExecutionFailed | Code::LedgerUnavailable | Code::Unreachable => {
            Error { message: format!("{} (query id {query_id})", e.message), ..e }
        }
        _ => e,
    }
}

fn shaped<T: Serialize>(shape: Shape, value: &T, text: impl Fn(&T) -> String) -> Result<()> {
    match shape {
        Shape::Table => show(text(value)),
        Shape::Json => {
            let json = serde_json::to_string_pretty(value).map_err(|e| Error::internal(e.to_string()))?;
            show(json + "\n")
        }
    }
}

/// Prints to standard output; a closed pipe is a normal end.
fn show(bytes: impl AsRef<[u8]>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes.as_ref()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::internal(format!("cannot write: {e}"))),
        _ => Ok(()),
    }
}

impl RefinementArgs {
    fn message(self) -> crate::proto::Refinement {
        let RefinementArgs { answer, epsilon, error, relative_error, magnitude, confidence, .. } = self;
        let accuracy = Some(crate::proto::Accuracy { error, relative_error, magnitude, confidence });
        crate::proto::Refinement { of: answer, epsilon, accuracy, mechanism: mechanism(self.mechanism) }
    }
}

fn mechanism(wanted: Option<MechanismArg>) -> i32 {
    use crate::proto::Mechanism;
    let wanted = match wanted {
        None => Mechanism::Unspecified,
        Some(MechanismArg::Automatic) => Mechanism::Automatic,
        Some(MechanismArg::Laplace) => Mechanism::Laplace,
        Some(MechanismArg::Gaussian) => Mechanism::Gaussian,
    };
    wanted.into()
}

impl QuestionArgs {
    fn message(self, target: &Target) -> Result<crate::proto::Question> {
        Ok(crate::proto::Question {
            dataset: target.dataset(self.dataset)?,
            sql: self.sql,
            purpose: target.purpose(self.purpose),
            epsilon: self.epsilon,
            delta: self.delta,
            max_groups_contributed: self.max_groups,
            max_rows_contributed: self.max_rows,
            mechanism: mechanism(self.mechanism),
            non_negative: self.non_negative,
            consistent: self.consistent,
            accuracy: Some(crate::proto::Accuracy {
                error: self.error,
                relative_error: self.relative_error,
                magnitude: self.magnitude,
                confidence: self.confidence,
            }),
            parameters: self.param.iter().map(|text| parameter(text)).collect(),
        })
    }
}

/// A parameter's value by its looks.
fn parameter(text: &str) -> crate::proto::Parameter {
    use crate::proto::parameter::Value;
    let value = match (text.split_once(':'), text.parse::<i64>(), text.parse::<f64>()) {
        (Some(("date", value)), ..) => Value::Date(value.into()),
        (Some(("timestamp", value)), ..) => Value::Timestamp(value.into()),
        (Some(("text", value)), ..) => Value::Text(value.into()),
        (_, Ok(value), _) => Value::Whole(value),
        (.., Ok(value)) => Value::Number(value),
        _ => match text.to_lowercase().as_str() {
            "null" => Value::Null(true),
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => Value::Text(text.into()),
        },
    };
    crate::proto::Parameter { value: Some(value) }
}

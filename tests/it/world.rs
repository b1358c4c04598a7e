//! A small hospital dataset, a server over it, and clients.
//!
//! visits(patient_id unit, hospital, diagnosis, age, cost, visit_date), patients(patient_id unit, region, birth_year) and
//! items(item_id, visit_id -> visits -> patient, price) are protected, hospitals(hospital, city, beds) is public.

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use undertone::proto::budget_service_client::BudgetServiceClient;
use undertone::proto::query_service_client::QueryServiceClient;
use undertone::proto::{self, execute_response::Event};
use undertone::server::{self, Running};

pub const HOSPITALS: [(&str, &str, i64); 4] =
    [("A", "Ulm", 400), ("B", "Ulm", 250), ("C", "Graz", 900), ("D", "Linz", 60)];
/// The patient whom attacks are after.
pub const TARGET: i64 = 4242;

/// What a world is made of.
#[derive(Clone)]
pub struct Recipe {
    pub patients: i64,
    pub seed: u64,
    /// Whether the target's rows are there.
    pub target: bool,
    /// Order of rows, which must not matter.
    pub shuffle: Option<u64>,
    pub max_epsilon: &'static str,
    pub mechanism: &'static str,
    /// Whether bounds that are not declared may be found out.
    pub private_bounds: bool,
    /// For private keys; 0 forbids them.
    pub delta: &'static str,
    pub groups: u64,
    pub rows: u64,
    /// Ana's and Ben's grants.
    pub grants: [&'static str; 2],
    /// Delta of each grant.
    pub grant_delta: &'static str,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            patients: 200,
            seed: 11,
            target: true,
            shuffle: None,
            max_epsilon: "1e9",
            mechanism: "laplace",
            private_bounds: false,
            delta: "0",
            groups: 4,
            rows: 4,
            grants: ["1e12", "0.5"],
            grant_delta: "1e-6",
        }
    }
}

/// Files on disk and how to serve them.
pub struct World {
    pub dir: TempDir,
}

pub const ANA: &str = "ana-token";
pub const BEN: &str = "ben-token";
pub const GINA: &str = "gina-token";
pub const GUS: &str = "gus-token";
pub const GIL: &str = "gil-token";
pub const AUDREY: &str = "audrey-token";
pub const OTTO: &str = "otto-token";
/// Who set budgets, read the log and run the server.
const STAFF: [(&str, &str); 5] = [("gina", GINA), ("gus", GUS), ("gil", GIL), ("audrey", AUDREY), ("otto", OTTO)];

impl World {
    pub fn new(recipe: &Recipe) -> World {
        let dir = tempfile::tempdir().unwrap();
        write_tables(dir.path(), recipe);
        std::fs::write(dir.path().join("clinic.toml"), dataset_file(recipe)).unwrap();
        std::fs::write(dir.path().join("undertone.toml"), config_file()).unwrap();
        std::fs::write(dir.path().join("policy.toml"), policy_file(recipe)).unwrap();
        World { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command of the program in the world's directory: whether it succeeded, and what it said.
    pub fn run(&self, args: &[&str]) -> (bool, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_undertone"));
        let output = command.args(args).current_dir(self.dir.path()).env("UNDERTONE_LOG", "off").output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// A server in this process.
    pub async fn serve(&self) -> Running {
        let mut config = server::load(&self.path("undertone.toml")).unwrap();
        config.listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
        server::start(&config).await.unwrap()
    }
}

fn write_tables(dir: &Path, recipe: &Recipe) {
    let (mut visits, mut patients, mut items) = (Vec::new(), Vec::new(), Vec::new());
    let ids = (1..=recipe.patients).filter(|id| *id != TARGET).chain(recipe.target.then_some(TARGET));
    for id in ids {
        // Each patient's rows depend on the patient alone, so that worlds with and without the target are neighbours.
        let mut own = StdRng::seed_from_u64(recipe.seed ^ (id as u64).wrapping_mul(0x9E37_79B9));
        patients.push((id, ["north", "south"][own.random_range(0..2)], 1930 + own.random_range(0..80i64)));
        for _ in 0..own.random_range(1..7) {
            let visit = id * 100 + visits.len() as i64 % 100;
            let hospital = HOSPITALS[own.random_range(0..3)].0;
            let diagnosis = ["flu", "hiv", "asthma", "kuru"][own.random_range(0..4)];
            let (age, cost) = (own.random_range(0..120i64), own.random_range(0..600_000) as f64 / 100.0);
            visits.push((visit, id, hospital, diagnosis, age, cost, 18_000 + own.random_range(0..2000)));
            for _ in 0..own.random_range(0..3) {
                items.push((items.len() as i64, visit, own.random_range(1..100i64)));
            }
        }
    }
    // Items of a visit that does not exist belong to nobody.
    items.push((items.len() as i64, -1, 50));
    if let Some(seed) = recipe.shuffle {
        let mut rng = StdRng::seed_from_u64(seed);
        visits.shuffle(&mut rng);
        patients.shuffle(&mut rng);
        items.shuffle(&mut rng);
    }
    std::fs::create_dir_all(dir.join("visits")).unwrap();
    for (i, part) in visits.chunks(visits.len().div_ceil(2)).enumerate() {
        write_visits(&dir.join(format!("visits/{i}.parquet")), part);
    }
    parquet(
        &dir.join("patients.parquet"),
        vec![
            ("patient_id", Arc::new(Int64Array::from_iter_values(patients.iter().map(|p| p.0)))),
            ("region", Arc::new(StringArray::from_iter_values(patients.iter().map(|p| p.1)))),
            ("birth_year", Arc::new(Int64Array::from_iter_values(patients.iter().map(|p| p.2)))),
        ],
    );
    let lines = items.iter().map(|(id, visit, price)| format!("{id},{visit},{price}\n")).collect::<String>();
    std::fs::write(dir.join("items.csv"), format!("item_id,visit_id,price\n{lines}")).unwrap();
    let lines = HOSPITALS.iter().map(|(name, city, beds)| format!("{name},{city},{beds}\n")).collect::<String>();
    std::fs::write(dir.join("hospitals.csv"), format!("hospital,city,beds\n{lines}")).unwrap();
}

/// Visit, patient, hospital, diagnosis, age, cost and day.
pub type Visit = (i64, i64, &'static str, &'static str, i64, f64, i32);

/// Every tenth age has no cost.
pub fn write_visits(path: &Path, visits: &[Visit]) {
    parquet(
        path,
        vec![
            ("visit_id", Arc::new(Int64Array::from_iter_values(visits.iter().map(|v| v.0)))),
            ("patient_id", Arc::new(Int64Array::from_iter_values(visits.iter().map(|v| v.1)))),
            ("hospital", Arc::new(StringArray::from_iter_values(visits.iter().map(|v| v.2)))),
            ("diagnosis", Arc::new(StringArray::from_iter_values(visits.iter().map(|v| v.3)))),
            ("age", Arc::new(Int64Array::from_iter_values(visits.iter().map(|v| v.4)))),
            ("cost", Arc::new(visits.iter().map(|v| (v.4 % 10 != 0).then_some(v.5)).collect::<Float64Array>())),
            ("visit_date", Arc::new(Date32Array::from_iter_values(visits.iter().map(|v| v.6)))),
        ],
    );
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn dataset_file(recipe: &Recipe) -> String {
    let Recipe { max_epsilon, delta, groups, rows, mechanism, private_bounds, .. } = recipe;
    let declared = |name: &str, most: u64| if most == 0 { String::new() } else { format!("{name} = {most}") };
    let groups = declared("max_groups_contributed", *groups);
    let rows = declared("max_rows_contributed", *rows);
    format!(
        r#"
[dataset]
name = "clinic"
privacy_unit = "one patient"
default_epsilon = "0.1"
max_epsilon = "{max_epsilon}"
mechanism = "{mechanism}"
default_delta = "{delta}"
{groups}
private_bounds = {private_bounds}
{rows}
max_rows_per_unit = 100

[[table]]
name = "visits"
path = "visits"
format = "parquet"
unit = "patient_id"
column = [
    {{ name = "visit_id" }},
    {{ name = "patient_id" }},
    {{ name = "hospital", domain = {{ table = "hospitals", column = "hospital" }} }},
    {{ name = "diagnosis", tier = "health" }},
    {{ name = "age", bounds = [0, 120] }},
    {{ name = "cost", bounds = [0, 5000] }},
    {{ name = "visit_date", bounds = ["2019-04-01", "2024-12-31"] }},
]

[[table]]
name = "patients"
path = "patients.parquet"
format = "parquet"
unit = "patient_id"
column = [
    {{ name = "patient_id" }},
    {{ name = "region", domain = ["north", "south", "moon"] }},
    {{ name = "birth_year", bounds = [1900, 2030] }},
]

[[table]]
name = "items"
path = "items.csv"
format = "csv"
unit = {{ column = "visit_id", references = "visits.visit_id" }}
column = [
    {{ name = "item_id", type = "BIGINT" }},
    {{ name = "visit_id", type = "BIGINT" }},
    {{ name = "price", type = "BIGINT", bounds = [0, 100] }},
]

[[table]]
name = "hospitals"
path = "hospitals.csv"
format = "csv"
public = true
column = [
    {{ name = "hospital", type = "VARCHAR" }},
    {{ name = "city", type = "VARCHAR" }},
    {{ name = "beds", type = "BIGINT" }},
]
"#
    )
}

fn config_file() -> String {
    let digest = |token| undertone::api::digest(token);
    format!(
        r#"
[server]
max_request_bytes = 1000000
deadline_seconds = 20

[ledger]
path = "ledger.sqlite"

[policy]
file = "policy.toml"

[[dataset]]
file = "clinic.toml"

[[principal]]
name = "ana"
token_sha256 = "{}"

[[principal]]
name = "ben"
token_sha256 = "{}"
"#,
        digest(ANA),
        digest(BEN)
    ) + &STAFF
        .map(|(name, token)| format!("\n[[principal]]\nname = \"{name}\"\ntoken_sha256 = \"{}\"\n", digest(token)))
        .concat()
}

fn policy_file(recipe: &Recipe) -> String {
    let Recipe { grants: [ana, ben], grant_delta, .. } = recipe;
    format!(
        r#"
[[role]]
name = "governance"
principals = ["gina", "gus", "gil"]

[[role]]
name = "auditor"
principals = ["audrey"]

[[role]]
name = "operator"
principals = ["otto"]

[[dataset]]
name = "clinic"
pool_epsilon = "1e12"
pool_delta = "{grant_delta}"

[[grant]]
principal = "ana"
dataset = "clinic"
purpose = "research"
epsilon = "{ana}"
delta = "{grant_delta}"

[[grant]]
principal = "ben"
dataset = "clinic"
purpose = "research"
epsilon = "{ben}"
delta = "{grant_delta}"
"#
    )
}

/// Puts a token on every call, and the caller's trace where there is one.
#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>, Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        if let Some(trace) = &self.1 {
            request.metadata_mut().insert("traceparent", trace.clone());
        }
        Ok(request)
    }
}

/// A principal's connection.
#[derive(Clone)]
pub struct Caller {
    plain: Channel,
    token: Token,
    channel: InterceptedService<Channel, Token>,
}

impl Caller {
    pub async fn connect(address: &str, token: &str) -> Caller {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let token = Token(format!("Bearer {token}").parse().unwrap(), None);
        Caller { plain: channel.clone(), channel: InterceptedService::new(channel, token.clone()), token }
    }

    /// The same within a trace, as W3C's `traceparent` names it.
    pub fn within(self, traceparent: &str) -> Caller {
        let token = Token(self.token.0.clone(), Some(traceparent.parse().unwrap()));
        Caller { channel: InterceptedService::new(self.plain.clone(), token), ..self }
    }

    pub async fn to(running: &Running, token: &str) -> Caller {
        Caller::connect(&running.address.to_string(), token).await
    }

    pub async fn execute(&self, request: proto::ExecuteRequest) -> Result<proto::Answer, Status> {
        let mut client = QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(1 << 28);
        answered(client.execute(request).await?.into_inner()).await
    }

    /// One more draw for an answer, under a query id of the server's choice.
    pub async fn refine(&self, refinement: proto::Refinement) -> Result<proto::Answer, Status> {
        let mut client = QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(1 << 28);
        let request = proto::RefineRequest { refinement: Some(refinement), query_id: String::new() };
        answered(client.refine(request).await?.into_inner()).await
    }

    pub async fn quote_refinement(&self, refinement: proto::Refinement) -> Result<proto::QuoteResponse, Status> {
        let mut client = QueryServiceClient::new(self.channel.clone());
        let request = proto::QuoteRefinementRequest { refinement: Some(refinement) };
        Ok(client.quote_refinement(request).await?.into_inner())
    }

    /// Asks at this epsilon, under a query id of the server's choice.
    pub async fn ask(&self, sql: &str, epsilon: &str) -> Result<proto::Answer, Status> {
        self.execute(request(sql, epsilon)).await
    }

    pub async fn quote(&self, sql: &str, epsilon: &str) -> Result<proto::QuoteResponse, Status> {
        self.quote_of(request(sql, epsilon).question.unwrap()).await
    }

    pub async fn quote_of(&self, question: proto::Question) -> Result<proto::QuoteResponse, Status> {
        let mut client = QueryServiceClient::new(self.channel.clone());
        Ok(client.quote(proto::QuoteRequest { question: Some(question) }).await?.into_inner())
    }

    pub async fn get_answer(&self, query_id: &str) -> Result<proto::Answer, Status> {
        let mut client = QueryServiceClient::new(self.channel.clone());
        let found = client.get_answer(proto::GetAnswerRequest { query_id: query_id.into() }).await?;
        Ok(found.into_inner().answer.unwrap())
    }

    /// The account's and the pool's state.
    pub async fn balance(&self) -> (proto::AccountState, proto::AccountState) {
        let mut client = BudgetServiceClient::new(self.channel.clone());
        let found = client.get_balances(proto::GetBalancesRequest { dataset: "clinic".into() }).await.unwrap();
        let balance = found.into_inner().balances.remove(0);
        (balance.account.unwrap(), balance.pool.unwrap())
    }
}

/// To the end of the stream: a call that is dropped early is reset, and a server bears only so many resets.
async fn answered(mut events: Streaming<proto::ExecuteResponse>) -> Result<proto::Answer, Status> {
    let mut answer = None;
    while let Some(event) = events.message().await? {
        if let Some(Event::Answer(found)) = event.event {
            answer = Some(found);
        }
    }
    answer.ok_or_else(|| Status::aborted("the stream ended without an answer"))
}

pub fn request(sql: &str, epsilon: &str) -> proto::ExecuteRequest {
    let question =
        proto::Question { dataset: "clinic".into(), sql: sql.into(), epsilon: epsilon.into(), ..Default::default() };
    proto::ExecuteRequest { question: Some(question), query_id: String::new(), fresh: false }
}

/// The stable code of a refusal.
pub fn code(status: &Status) -> &str {
    status.metadata().get("undertone-code").map_or("", |v| v.to_str().unwrap())
}

/// The one batch of an Arrow IPC stream.
pub fn batch(ipc: &[u8]) -> RecordBatch {
    let mut reader = arrow::ipc::reader::StreamReader::try_new(ipc, None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

/// Rows as text, floats to six digits.
pub fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns().iter().map(|column| {
        let formatter = ArrayFormatter::try_new(column, &options).unwrap();
        let text = |row| match formatter.value(row).to_string() {
            text if column.data_type().is_floating() && text != "NULL" => {
                format!("{:.6}", text.parse::<f64>().unwrap())
            }
            text => text,
        };
        (0..batch.num_rows()).map(text).collect::<Vec<_>>()
    });
    let columns: Vec<_> = columns.collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect()
}

/// Equal text, or numbers within a part of themselves: a mean of private rows is made of integers on a lattice, not of floats.
pub fn same(a: &[Vec<String>], b: &[Vec<String>], within: f64) -> bool {
    let cell = |(x, y): (&String, &String)| match (x.parse::<f64>(), y.parse::<f64>()) {
        (Ok(x), Ok(y)) => (x - y).abs() <= within * x.abs().max(1.0),
        _ => x == y,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.len() == y.len() && x.iter().zip(y).all(cell))
}

/// Plain DataFusion over the same files.
pub async fn plain(world: &World) -> SessionContext {
    let context = SessionContext::new();
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    context.register_parquet("visits", path("visits"), ParquetReadOptions::default()).await.unwrap();
    context.register_parquet("patients", path("patients.parquet"), ParquetReadOptions::default()).await.unwrap();
    context.register_csv("items", path("items.csv"), CsvReadOptions::default()).await.unwrap();
    context.register_csv("hospitals", path("hospitals.csv"), CsvReadOptions::default()).await.unwrap();
    context
}

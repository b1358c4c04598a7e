//! What Flight SQL tells before anything is paid: a function of text and policy, and nothing of what one may not see.

use crate::world::{ANA, BEN, Recipe, World};
use arrow::datatypes::Schema;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use arrow_flight::{FlightInfo, IpcMessage};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use tonic::transport::{Channel, Endpoint};
use undertone::server::Running;

struct Tool(FlightSqlServiceClient<Channel>);

impl Tool {
    async fn to(running: &Running, token: &str) -> Tool {
        let channel = Endpoint::from_shared(format!("http://{}", running.address)).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.set_token(token.to_owned());
        client.set_header("undertone-allow-bursts", "true");
        Tool(client)
    }

    /// What flight information says, but for its ticket, which is random.
    async fn told(&mut self, sql: &str) -> String {
        match self.0.execute(sql.to_owned(), None).await {
            Ok(info) => {
                let schema = Schema::try_from(IpcMessage(info.schema.clone())).unwrap();
                format!("{} {:?}", shown(&schema), FlightInfo { schema: Default::default(), endpoint: vec![], ..info })
            }
            Err(e) => format!("refused: {e}"),
        }
    }

    /// The rows of flight information, as text.
    async fn rows(&mut self, info: FlightInfo) -> String {
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let batches: Result<Vec<_>, FlightError> = self.0.do_get(ticket).await.unwrap().try_collect().await;
        arrow::util::pretty::pretty_format_batches(&batches.unwrap()).unwrap().to_string()
    }

    async fn read(&mut self, sql: &str) -> String {
        let info = self.0.execute(sql.to_owned(), None).await.unwrap();
        self.rows(info).await
    }

    /// All that metadata tell.
    async fn looked_around(&mut self) -> String {
        let everything = CommandGetTables {
            catalog: None,
            db_schema_filter_pattern: None,
            table_name_filter_pattern: None,
            table_types: vec![],
            include_schema: true,
        };
        let schemas = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None };
        let infos = [
            self.0.get_catalogs().await.unwrap(),
            self.0.get_db_schemas(schemas).await.unwrap(),
            self.0.get_tables(everything).await.unwrap(),
        ];
        let mut told = String::new();
        for info in infos {
            told += &self.rows(info).await;
        }
        told + &self.read("SELECT * FROM undertone.columns").await
    }
}

/// A schema with its metadata, but for the digest of the question, which is of the version of the files too.
fn shown(schema: &Schema) -> String {
    let mut metadata: BTreeMap<String, String> = schema.metadata().clone().into_iter().collect();
    if let Some(quote) = metadata.get_mut("undertone.quote") {
        let mut told: serde_json::Value = serde_json::from_str(quote).unwrap();
        assert!(told["question_digest"].take().is_string());
        *quote = told.to_string();
    }
    let fields = schema.fields().iter().map(|field| format!("{} {}\n", field.name(), field.data_type()));
    format!("{metadata:?}\n{}", fields.collect::<String>())
}

/// Statements of all kinds: those that are priced, those that are refused, and previews.
const STATEMENTS: [&str; 12] = [
    "SELECT count(*) AS n FROM visits WHERE patient_id = 4242",
    "SELECT hospital, count(*) AS n, avg(age) AS mean FROM visits GROUP BY hospital",
    "SELECT max(cost) AS top FROM visits",
    "SELECT region, count(*) AS n FROM patients GROUP BY region",
    "SELECT hospital, beds FROM hospitals",
    "SELECT * FROM visits",
    "SELECT diagnosis FROM visits WHERE patient_id = 4242 LIMIT 1",
    "SELECT * FROM clinic.main.visits WHERE 1 = 0",
    "SELECT ssn FROM visits",
    "SELECT sum(costs) FROM visits",
    "SELECT arrow_metadata(diagnosis), arrow_typeof(diagnosis) FROM visits LIMIT 1",
    "SELECT count(*) AS n FROM visits WHERE patient_id = '4242'",
];

/// Schemas, prices, refusals, handles and metadata are the same bytes whether the target is in the data or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_before_paying_says_nothing_about_data() {
    let mut told = Vec::new();
    for target in [true, false] {
        let world = World::new(&Recipe { target, patients: 100, ..Recipe::default() });
        let running = world.serve().await;
        let mut ana = Tool::to(&running, ANA).await;
        let mut all = vec![ana.looked_around().await];
        for sql in STATEMENTS {
            let said = ana.told(sql).await;
            assert!(said.starts_with("refused") || said.contains("total_records: -1, total_bytes: -1"), "{said}");
            all.push(said);
            let prepared = ana.0.prepare(sql.to_owned(), None).await;
            all.push(prepared.map_or_else(|e| e.to_string(), |p| shown(p.dataset_schema().unwrap())));
        }
        let prepared =
            ana.0.prepare("SELECT count(*) AS n FROM visits WHERE patient_id = ?".into(), None).await.unwrap();
        all.extend([prepared.dataset_schema().unwrap(), prepared.parameter_schema().unwrap()].map(shown));
        told.push(all);
        running.stop().await.unwrap();
    }
    for (with, without) in told[0].iter().zip(&told[1]) {
        assert_eq!(with, without);
    }
}

/// Neither metadata nor messages name what somebody may not read.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_read_is_not_named() {
    let world = World::new(&Recipe { patients: 50, ..Recipe::default() });
    let policy = std::fs::read_to_string(world.path("policy.toml")).unwrap()
        + "\n[[permission]]\ndataset = \"clinic\"\ntable = \"visits\"\ncolumns = [\"age\"]\nprincipals = [\"ana\"]\n"
        + "\n[[permission]]\ndataset = \"clinic\"\ntable = \"items\"\nprincipals = [\"ana\"]\n";
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    let running = world.serve().await;
    let (mut ana, mut ben) = (Tool::to(&running, ANA).await, Tool::to(&running, BEN).await);
    let names = |told: &str| (told.contains("age"), told.contains("items"));
    // The schemas of tables are bytes in there.
    let around = [ana.looked_around().await, ben.looked_around().await];
    assert_eq!(around.each_ref().map(|told| names(told)), [(true, true), (false, false)]);
    for (sql, shown) in [
        ("SELECT nothing FROM visits", "diagnosis"),
        ("SELECT count(*) FROM nothing", "visits"),
        ("SELECT * FROM visits WHERE 1 = 0", "diagnosis"),
    ] {
        let told = [ana.told(sql).await, ben.told(sql).await];
        for (told, knows) in told.iter().zip([true, false]) {
            let (age, items) = names(&told.replace("message", ""));
            assert!(told.contains(shown) && knows == (age || items), "{sql}: {told}");
        }
    }
    // A table of which no row may be counted is not there either, and neither `*` nor a parameter tells of a column.
    for sql in [
        "SELECT * FROM items WHERE 1 = 0",
        "SELECT count(*) AS n FROM (SELECT * FROM visits) t",
        "SELECT * FROM visits",
    ] {
        let told = ben.told(sql).await;
        assert!(told.starts_with("refused") && !names(&told.replace("message", "")).0, "{sql}: {told}");
    }
    let hidden = ben.0.prepare("SELECT count(*) AS n FROM visits WHERE age > ?".into(), None).await;
    assert!(hidden.err().unwrap().to_string().contains("may not be read"));
    // By name it is what its column is for any question.
    let told = ben.told("SELECT age FROM visits WHERE 1 = 0").await;
    assert!(told.starts_with("refused"), "{told}");
    running.stop().await.unwrap();
}

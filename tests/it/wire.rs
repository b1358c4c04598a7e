//! The server as a client meets it: credentials, bad input, limits, budgets, replay, restart.

use crate::world::{ANA, BEN, Caller, Recipe, World, batch, code, request, rows};
use tonic::Code;
use tonic::transport::Channel;
use undertone::proto::query_service_client::QueryServiceClient;
use undertone::proto::{self, catalog_service_client::CatalogServiceClient};

const COUNT: &str = "SELECT count(*) AS n FROM visits";

#[tokio::test(flavor = "multi_thread")]
async fn every_call_but_health_needs_exactly_one_token() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let channel = Channel::from_shared(format!("http://{}", running.address)).unwrap().connect().await.unwrap();
    let headers: [&[&str]; 9] = [
        &[],
        &[""],
        &["Bearer "],
        &["Bearer wrong"],
        &["Basic YW5hOmFuYQ=="],
        &["Token ana-token"],
        &["ana-token"],
        &["Bearer ana-token", "Bearer ben-token"],
        &["Bearer ana-token "],
    ];
    for values in headers {
        let mut asked = tonic::Request::new(request(COUNT, "1"));
        for value in values {
            asked.metadata_mut().append("authorization", value.parse().unwrap());
        }
        // Identity comes from the token alone, whatever else is claimed.
        asked.metadata_mut().insert("x-principal", "ana".parse().unwrap());
        let refused = QueryServiceClient::new(channel.clone()).execute(asked).await.unwrap_err();
        assert_eq!((refused.code(), code(&refused)), (Code::Unauthenticated, "UNAUTHENTICATED"), "{values:?}");
        let refused = CatalogServiceClient::new(channel.clone()).list_datasets(proto::ListDatasetsRequest {}).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let status = health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    assert_eq!(status.into_inner().status, 1);

    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let list = || {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request })
    };
    let mut reflection = ServerReflectionClient::new(channel);
    assert_eq!(reflection.server_reflection_info(list()).await.unwrap_err().code(), Code::Unauthenticated);
    let mut asked = tonic::Request::new(list());
    asked.metadata_mut().insert("authorization", format!("Bearer {ANA}").parse().unwrap());
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    match answers.message().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            assert!(list.service.iter().any(|s| s.name == "undertone.v1.QueryService"));
        }
        other => panic!("{other:?}"),
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_for_nothing_and_the_server_goes_on() {
    let world = World::new(&Recipe { patients: 20, max_epsilon: "2", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let before = ana.balance().await;
    for (epsilon, wanted) in [
        ("0", "INVALID_EPSILON"),
        ("-1", "INVALID_EPSILON"),
        ("NaN", "INVALID_EPSILON"),
        ("inf", "INVALID_EPSILON"),
        ("-inf", "INVALID_EPSILON"),
        ("x", "INVALID_EPSILON"),
        ("1e-19", "INVALID_EPSILON"),
        ("2.000000000000000001", "EPSILON_ABOVE_MAXIMUM"),
        ("1e300", "EPSILON_ABOVE_MAXIMUM"),
    ] {
        let refused = ana.ask(COUNT, epsilon).await.unwrap_err();
        assert_eq!(
            (refused.code(), code(&refused)),
            (Code::InvalidArgument, wanted),
            "{epsilon}: {}",
            refused.message()
        );
        assert_eq!(code(&ana.quote(COUNT, epsilon).await.unwrap_err()), wanted);
    }
    let long_or = format!("{COUNT} WHERE {}", vec!["age = 1"; 20_000].join(" OR "));
    let deep = format!("{COUNT} WHERE {}age{} > 1", "(".repeat(10_000), ")".repeat(10_000));
    for (sql, wanted) in [
        ("SELEC", "SYNTAX"),
        ("SELECT count(*) FROM nowhere", "UNKNOWN_TABLE"),
        ("SELECT count(nothing) FROM visits", "UNKNOWN_COLUMN"),
        ("SELECT * FROM visits", "PRIVATE_ROWS"),
        (&long_or, "SQL_TOO_LONG"),
        (&deep, "SQL_TOO_LONG"),
    ] {
        let refused = ana.ask(sql, "1").await.unwrap_err();
        assert_eq!(code(&refused), wanted, "{}", refused.message());
    }
    let refused = ana.ask(&"x".repeat(2_000_000), "1").await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Code::OutOfRange, "REQUEST_TOO_LARGE"), "{}", refused.message());

    let mut other = request(COUNT, "1");
    other.question.as_mut().unwrap().dataset = "secret".into();
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "UNKNOWN_DATASET");
    let mut other = request(COUNT, "1");
    other.question.as_mut().unwrap().purpose = "marketing".into();
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "NO_GRANT");
    let mut other = request(COUNT, "1");
    other.question.as_mut().unwrap().max_groups_contributed = 5;
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "INVALID_REQUEST");
    let mut other = request(COUNT, "1");
    other.question.as_mut().unwrap().mechanism = 77;
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "INVALID_REQUEST");
    let mut other = request(COUNT, "1");
    other.query_id = "two words".into();
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "INVALID_REQUEST");

    // Too much noise to draw, and too large an answer: a function of text and public tables, so it is said at once, for nothing.
    let values = (0..650).map(|i| format!("WHEN {i} THEN {i}")).collect::<Vec<_>>().join(" ");
    let sums = (0..10).map(|i| format!("sum(age + {i})")).collect::<Vec<_>>().join(", ");
    let wide = format!(
        "SELECT CASE age {values} END AS a, CASE patient_id {values} END AS b, {sums} FROM visits GROUP BY a, b"
    );
    let refused = ana.ask(&wide, "1").await.unwrap_err();
    assert_eq!(code(&refused), "UNSUPPORTED_SQL", "{}", refused.message());
    let many = (0..11).map(|i| format!("hospitals h{i}")).collect::<Vec<_>>().join(", ");
    let refused = ana.ask(&format!("SELECT * FROM {many}"), "1").await.unwrap_err();
    assert_eq!(code(&refused), "ANSWER_TOO_LARGE", "{}", refused.message());
    // So little epsilon that no threshold could be named is refused, and quotes go on.
    for epsilon in ["1e-14", "1e-17"] {
        let refused = ana.quote("SELECT DISTINCT diagnosis FROM visits", epsilon).await.unwrap_err();
        assert!(["INVALID_EPSILON", "PRIVATE_KEYS"].contains(&code(&refused)), "{}", refused.message());
    }
    // A message never outgrows the headers that carry it.
    let refused = ana.ask(&format!("SELECT \"{}\" FROM visits", "x".repeat(30_000)), "1").await.unwrap_err();
    assert_eq!(code(&refused), "UNKNOWN_COLUMN");

    assert_eq!(ana.balance().await, before);
    assert_eq!(batch(&ana.ask(COUNT, "1").await.unwrap().table).num_rows(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_paid_once_and_replayed_byte_for_byte() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let mut asked = request(COUNT, "1");
    asked.query_id = "first".into();

    let quote = ana.quote(COUNT, "1").await.unwrap();
    let answer = ana.execute(asked.clone()).await.unwrap();
    let receipt = answer.receipt.clone().unwrap();
    assert_eq!((quote.price, quote.columns, quote.releases), (receipt.price, receipt.columns, receipt.releases));
    let paid = ana.balance().await;
    assert_eq!((paid.0.spent_epsilon.as_str(), paid.1.spent_epsilon.as_str()), ("1", "1"));

    // The same id: the same bytes, now, at the same time, later, over GetAnswer; nothing is charged.
    let again = futures::future::join_all((0..8).map(|_| ana.execute(asked.clone()))).await;
    for replay in again.into_iter().map(Result::unwrap).chain([ana.get_answer("first").await.unwrap()]) {
        assert!(replay.replayed);
        assert_eq!(
            (&replay.table, &replay.intervals, &replay.receipt),
            (&answer.table, &answer.intervals, &answer.receipt)
        );
    }
    // Another text of the same question is not asked again either.
    let same = ana.ask("select COUNT(*) AS n from visits v", "1").await.unwrap();
    assert!(same.replayed && same.table == answer.table && same.query_id != answer.query_id);
    assert_eq!(same.receipt.as_ref().unwrap().query_id, "first");
    assert_eq!(ana.get_answer(&same.query_id).await.unwrap().table, answer.table);
    assert_eq!(ana.balance().await, paid);

    // The id stands for one request, and belongs to one principal.
    let mut other = asked.clone();
    other.question.as_mut().unwrap().sql = "SELECT count(age) FROM visits".into();
    assert_eq!(code(&ana.execute(other).await.unwrap_err()), "QUERY_ID_REUSED");
    assert_eq!(code(&ben.get_answer("first").await.unwrap_err()), "UNKNOWN_QUERY_ID");

    // Many calls at once under one new id are one draw.
    let mut asked = request("SELECT count(age) AS n FROM visits", "1");
    asked.query_id = "burst".into();
    let burst = futures::future::join_all((0..16).map(|_| ana.execute(asked.clone()))).await;
    let tables: Vec<_> = burst.into_iter().map(|a| a.unwrap().table).collect();
    assert!(tables.iter().all(|t| *t == tables[0]));
    assert_eq!(ana.balance().await.0.spent_epsilon, "2");

    // A fresh draw is always paid, and differs.
    let mut fresh = request("SELECT sum(cost) AS n FROM visits", "0.5");
    fresh.fresh = true;
    let draws = futures::future::join_all((0..4).map(|_| ana.execute(fresh.clone()))).await;
    let values: std::collections::BTreeSet<_> = draws.into_iter().map(|a| rows(&batch(&a.unwrap().table))).collect();
    assert_eq!(values.len(), 4);
    assert_eq!(ana.balance().await.0.spent_epsilon, "4");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_a_restart_gives_nothing_back() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let mut fresh = request(COUNT, "0.25");
    fresh.fresh = true;
    assert!(ben.execute(fresh.clone()).await.is_ok() && ben.execute(fresh.clone()).await.is_ok());
    assert!(!ben.quote(COUNT, "0.25").await.unwrap().affordable);
    let refused = ben.execute(fresh.clone()).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Code::PermissionDenied, "BUDGET_EXHAUSTED"), "{}", refused.message());
    assert!(ana.execute(fresh.clone()).await.is_ok());
    // Gaussian noise has no pure epsilon: from here on only the zCDP ledger counts for Ben, and it is spent.
    let mut gaussian = fresh.clone();
    gaussian.question.as_mut().unwrap().mechanism = proto::Mechanism::Gaussian.into();
    assert_eq!(code(&ben.execute(gaussian.clone()).await.unwrap_err()), "BUDGET_EXHAUSTED");
    let answer = ana.execute(gaussian).await.unwrap();
    let receipt = answer.receipt.unwrap();
    assert_eq!(receipt.price.unwrap().epsilon, "");
    assert_eq!(receipt.columns[0].mechanism, "discrete Gaussian");

    let before = (ana.balance().await, ben.balance().await);
    drop((ana, ben));
    running.stop().await.unwrap();
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    assert_eq!((ana.balance().await, ben.balance().await), before);
    assert_eq!(code(&ben.execute(fresh).await.unwrap_err()), "BUDGET_EXHAUSTED");
    running.stop().await.unwrap();
}

/// Charges of many callers at once never exceed a grant, and the last affordable one is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_charges_never_oversell() {
    let world = World::new(&Recipe { patients: 20, grants: ["1", "1"], ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let mut fresh = request(COUNT, "0.1");
    fresh.fresh = true;
    let outcomes = futures::future::join_all((0..40).map(|_| ana.execute(fresh.clone()))).await;
    let answered = outcomes.iter().filter(|o| o.is_ok()).count();
    assert!(
        outcomes
            .iter()
            .all(|o| o.as_ref().is_ok_and(|a| !a.replayed) || o.as_ref().is_err_and(|e| code(e) == "BUDGET_EXHAUSTED"))
    );
    assert_eq!(answered, 10);
    assert_eq!(ana.balance().await.0.spent_epsilon, "1");
    running.stop().await.unwrap();
}

/// A charged question that fails is told so at the deadline, once: then its principal's accounts are frozen until an operator lets
/// them go on. A restart does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_freezes_the_account() {
    let world = World::new(&Recipe { patients: 3_000, ..Recipe::default() });
    let path = world.path("undertone.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replacen("deadline_seconds = 20", "deadline_seconds = 1", 1)).unwrap();
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let mut asked = request(COUNT, "1");
    asked.query_id = "before".into();
    let before = ana.execute(asked.clone()).await.unwrap();

    // Too much work for the deadline, by many rows and a long expression.
    let terms = (0..60).map(|i| format!("v.age * {i} % 7 = a.beds % {}", i + 3)).collect::<Vec<_>>().join(" OR ");
    let heavy = format!(
        "SELECT count(*) FROM visits v CROSS JOIN (SELECT a.beds FROM hospitals a, hospitals b, hospitals c, hospitals d, hospitals e, hospitals f) a WHERE {terms}"
    );
    let started = std::time::Instant::now();
    let failed = ana.ask(&heavy, "1").await.unwrap_err();
    assert_eq!((failed.code(), code(&failed)), (Code::Internal, "EXECUTION_FAILED"), "{}", failed.message());
    assert!(started.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(ana.balance().await.0.spent_epsilon, "2");

    let frozen = ana.ask("SELECT sum(age) FROM visits", "1").await.unwrap_err();
    assert_eq!((frozen.code(), code(&frozen)), (Code::PermissionDenied, "ACCOUNT_FROZEN"), "{}", frozen.message());
    assert!(!ana.quote(COUNT, "1").await.unwrap().affordable);
    assert_eq!(ana.balance().await.0.spent_epsilon, "2");
    // What was paid for stays readable, and others go on.
    assert_eq!(ana.execute(asked.clone()).await.unwrap().table, before.table);
    assert!(ben.ask(COUNT, "0.1").await.is_ok());

    drop((ana, ben));
    running.stop().await.unwrap();
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    assert_eq!(code(&ana.ask("SELECT sum(age) FROM visits", "1").await.unwrap_err()), "ACCOUNT_FROZEN");
    let unfreeze = |principal: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_undertone"))
            .args([
                "unfreeze",
                "--dataset",
                "clinic",
                "--principal",
                principal,
                "--reason",
                "too much work",
                "--config",
            ])
            .arg(&path)
            .output()
            .unwrap()
    };
    let refused = unfreeze("ben");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("no account of 'ben'"));
    assert!(unfreeze("ana").status.success());
    assert!(ana.ask("SELECT sum(age) FROM visits", "1").await.is_ok());
    running.stop().await.unwrap();
}

/// One principal's questions never take all places: another's is answered while they run.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_all_places() {
    let world = World::new(&Recipe { patients: 3_000, ..Recipe::default() });
    let path = world.path("undertone.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let few = "deadline_seconds = 6\nmax_concurrent_queries = 2";
    std::fs::write(&path, config.replacen("deadline_seconds = 20", few, 1)).unwrap();
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let terms = (0..60).map(|i| format!("v.age * {i} % 7 = a.beds % {}", i + 3)).collect::<Vec<_>>().join(" OR ");
    let heavy = |n: usize| {
        format!(
            "SELECT count(*) + {n} FROM visits v CROSS JOIN (SELECT a.beds FROM hospitals a, hospitals b, hospitals c, hospitals d, hospitals e, hospitals f) a WHERE v.age > {n} AND ({terms})"
        )
    };
    let work: Vec<_> = (0..4)
        .map(|n| {
            let (ana, sql) = (ana.clone(), heavy(n));
            tokio::spawn(async move { ana.ask(&sql, "1").await.map(|_| ()) })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let started = std::time::Instant::now();
    ben.ask(COUNT, "0.1").await.unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "{:?}", started.elapsed());
    // Ana's own wait for each other, and those that waited too long were turned away, uncharged.
    let mut outcomes = Vec::new();
    for one in work {
        outcomes.push(one.await.unwrap().map_err(|e| code(&e).to_owned()));
    }
    let known = ["EXECUTION_FAILED", "ACCOUNT_FROZEN", "SERVER_BUSY"];
    assert!(
        outcomes.iter().all(|o| o.as_ref().map_or_else(|e| known.contains(&e.as_str()), |()| true)),
        "{outcomes:?}"
    );
    let charged = outcomes.iter().filter(|o| o.as_ref().map_or_else(|e| e == "EXECUTION_FAILED", |()| true)).count();
    assert_eq!(ana.balance().await.0.charges, charged as u64, "{outcomes:?}");
    running.stop().await.unwrap();
}

/// What the real server logs about an answer and a refusal: who, what became of it, how long; no text, no literal.
#[tokio::test(flavor = "multi_thread")]
async fn logs_hold_no_literal_and_sigterm_ends_in_order() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_undertone"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(world.path("undertone.toml"))
        .env("UNDERTONE_LOG", "debug")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let ana = Caller::connect(line.trim().strip_prefix("undertone is listening on ").unwrap(), ANA).await;
    ana.ask("SELECT count(*) FROM visits WHERE diagnosis = 'whisper'", "1").await.unwrap();
    ana.ask("SELECT whisper FROM visits WHERE age = 4711", "1").await.unwrap_err();
    drop(ana);
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    for word in ["whisper", "4711", "SELECT", "visits", ANA] {
        assert!(!log.contains(word), "{word} in {log}");
    }
    for word in ["execute", "principal=\"ana\"", "code=\"OK\"", "code=\"UNKNOWN_COLUMN\"", "stopping"] {
        assert!(log.contains(word), "no {word} in {log}");
    }
}

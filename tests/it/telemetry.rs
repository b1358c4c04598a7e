//! What operators see: counters, readiness, and traces at a collector; and that none of it is about the data.

use crate::world::{ANA, BEN, Caller, Recipe, World};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use undertone::server::Running;

fn configure(world: &World, telemetry: &str) {
    let path = world.path("undertone.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}\n[telemetry]\n{telemetry}\n")).unwrap();
}

/// Status and body of a page.
async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What is counted of the same questions in two worlds, of which one lacks somebody.
async fn counters(target: bool) -> String {
    let world = World::new(&Recipe { target, ..Recipe::default() });
    configure(&world, "listen = \"127.0.0.1:0\"");
    let running: Running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    ana.ask("SELECT count(*) FROM visits", "1").await.unwrap();
    ana.ask("SELECT count(*) FROM visits", "1").await.unwrap();
    ana.ask("SELECT hospital, sum(cost) FROM visits GROUP BY hospital", "1").await.unwrap();
    ana.ask("SELECT * FROM visits", "1").await.unwrap_err();
    ben.ask("SELECT count(*) FROM visits", "0.4").await.unwrap();
    ben.ask("SELECT count(*) FROM visits", "0.4").await.unwrap();
    ben.ask("SELECT count(*) FROM visits", "0.3").await.unwrap_err();
    ana.quote("SELECT count(*) FROM visits", "1").await.unwrap();
    let (status, text) = page(running.operations.unwrap(), "/metrics").await;
    assert_eq!(status, 200);
    running.stop().await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_count_calls_and_nothing_about_anybody() {
    let text = counters(true).await;
    for line in [
        "undertone_calls_total{method=\"execute\",code=\"OK\"} 5",
        "undertone_calls_total{method=\"execute\",code=\"PRIVATE_ROWS\"} 1",
        "undertone_calls_total{method=\"execute\",code=\"BUDGET_EXHAUSTED\"} 1",
        "undertone_calls_total{method=\"quote\",code=\"OK\"} 1",
        "undertone_charges_total{dataset=\"clinic\"} 3",
        "undertone_questions_in_flight 0",
        "undertone_pool_epsilon_granted{dataset=\"clinic\"} 1000000000000.0",
        "undertone_build_info{version=",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&text), sorted(&counters(false).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_that_a_charge_can_be_written() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    configure(&world, "listen = \"127.0.0.1:0\"");
    let running = world.serve().await;
    let port = running.operations.unwrap();
    let until = async |wanted: u16| {
        for _ in 0..200 {
            if page(port, "/readyz").await.0 == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never {wanted}");
    };
    until(200).await;
    let mut other = SqliteConnectOptions::new().filename(world.path("ledger.sqlite")).connect().await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    until(503).await;
    assert_eq!(page(port, "/livez").await, (200, "alive\n".into()));
    lock.rollback().await.unwrap();
    until(200).await;
    assert_eq!(page(port, "/nothing").await.0, 404);
    running.stop().await.unwrap();
    assert!(TcpStream::connect(port).await.is_err());
}

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The real program sends each call and its steps to a collector, within the trace that the caller names; and it tells its supervisor
/// when it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_traced_to_a_collector() {
    let (collector, listener) = (Collector::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    configure(&world, &format!("otlp_endpoint = \"{endpoint}\""));
    let supervisor = UnixDatagram::bind(world.path("supervisor")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_undertone"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(world.path("undertone.toml"))
        .env("NOTIFY_SOCKET", world.path("supervisor"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("undertone is listening on ").unwrap();
    let mut told = [0; 64];
    let length = supervisor.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1\n");
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ana = Caller::connect(address, ANA).await.within(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
    ana.ask("SELECT count(*) AS whisper FROM visits WHERE age > 47", "1").await.unwrap();
    ana.ask("SELECT whisper FROM visits", "1").await.unwrap_err();
    let stop = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stop.success() && child.wait().unwrap().success());

    let sent = collector.0.lock().unwrap().clone();
    let all: Vec<Span> = sent
        .iter()
        .flat_map(|r| &r.resource_spans)
        .flat_map(|r| &r.scope_spans)
        .flat_map(|s| s.spans.clone())
        .collect();
    let text = format!("{sent:?}");
    for word in ["whisper", "visits", "SELECT", ANA] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(text.contains("service.name"));
    let trace = |span: &Span| span.trace_id.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(all.iter().all(|span| trace(span) == TRACE), "{all:?}");
    let calls: Vec<&Span> = all.iter().filter(|span| span.name == "execute").collect();
    let code = |span: &Span| format!("{:?}", span.attributes.iter().find(|a| a.key == "undertone.code").unwrap().value);
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().any(|c| code(c).contains("OK")) && calls.iter().any(|c| code(c).contains("UNKNOWN_COLUMN")));
    let answered = calls.iter().find(|c| code(c).contains("OK")).unwrap();
    let mut steps: Vec<&str> =
        all.iter().filter(|span| span.parent_span_id == answered.span_id).map(|span| span.name.as_str()).collect();
    steps.sort_unstable();
    assert_eq!(steps, ["plan", "prepare", "reserve", "run", "wait for a place"]);
}

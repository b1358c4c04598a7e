//! The ledger on a disk that fails: it gives no answer that is not paid for and kept, and it goes on where it stopped.
//!
//! Syncs that fail, a file that cannot grow, a second server on the same file, and writes of which a part is on disk. As in
//! [`crash`](crate::crash) each question has one charge whatever happens to it, and one answer whoever asks for it again.

use crate::process::{Server, serve};
use crate::world::{Caller, Recipe, World, code, request};
use futures::StreamExt;
use sqlx::{Connection, Row, SqliteConnection};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;
use undertone::accounting::{Charge, Grant};
use undertone::ledger::{
    Account, Answered, Balance, Claim, Entry, Ledger, Location, NewPolicy, Reserved, Setting, StoredAnswer, Terms,
};
use undertone::proto;

const SQL: &str = "SELECT hospital, count(*) AS n, avg(age) AS a FROM visits GROUP BY hospital";
/// Its multiples are exact, so that what is spent can be compared as text.
const EPSILON: &str = "0.5";

fn is_alive(server: &mut Server) -> bool {
    server.child.try_wait().unwrap().is_none()
}

/// The largest file that the process can write from now on, as a disk that fills up or is freed would have it.
fn limit_files(server: &Server, bytes: &str) {
    let (process, limit) = (server.child.id().to_string(), format!("--fsize={bytes}:"));
    assert!(Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap().success());
}

/// Asks for a draw of its own under this query id.
async fn ask(caller: &Caller, id: &str) -> Result<proto::Answer, Status> {
    let asked = proto::ExecuteRequest { query_id: id.to_owned(), fresh: true, ..request(SQL, EPSILON) };
    caller.execute(asked).await
}

/// What clients were given: table and intervals by query id.
#[derive(Default)]
struct Given(BTreeMap<String, (Vec<u8>, Vec<u8>)>);

impl Given {
    /// Asks, and keeps the answer.
    async fn ask(&mut self, caller: &Caller, id: &str) -> Result<(), Status> {
        let answer = ask(caller, id).await?;
        assert!(self.0.insert(id.to_owned(), (answer.table, answer.intervals)).is_none(), "{id} was answered before");
        Ok(())
    }

    /// Whether everything can be read, and asked again, as it was given.
    async fn stands(&self, caller: &Caller) {
        for (id, given) in &self.0 {
            let read = caller.get_answer(id).await.unwrap();
            assert!((read.table, read.intervals) == *given, "{id} reads otherwise");
            let replay = ask(caller, id).await.unwrap();
            assert!(replay.replayed && (replay.table, replay.intervals) == *given, "{id} was answered otherwise");
        }
    }

    /// Whether the ledger has one charge for each answer, and no others.
    async fn is_all(&self, world: &World) {
        let states = charges(world).await;
        assert!(states.keys().eq(self.0.keys()), "charged {states:?}");
        assert!(states.values().all(|state| state == "answered"), "{states:?}");
        adds_up(world).await;
    }
}

fn unavailable(id: &str, refused: &Status) {
    assert_eq!(code(refused), "LEDGER_UNAVAILABLE", "{id}: {refused}");
}

/// The ledger as an auditor reads it, who does not write: what a server left in the write-ahead log stays there.
async fn reader(world: &World) -> SqliteConnection {
    let url = format!("sqlite://{}?mode=ro", world.path("ledger.sqlite").display());
    SqliteConnection::connect(&url).await.unwrap()
}

/// The state of each charge.
async fn charges(world: &World) -> BTreeMap<String, String> {
    let mut db = reader(world).await;
    let rows = sqlx::query("SELECT query_id, state FROM charges").fetch_all(&mut db).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Whether the account and the pool have spent what the charges come to.
async fn adds_up(world: &World) {
    let charged = charges(world).await.len();
    let spent = if charged.is_multiple_of(2) { (charged / 2).to_string() } else { format!("{}.5", charged / 2) };
    let mut db = reader(world).await;
    let rows = sqlx::query("SELECT spent_epsilon, charges FROM accounts WHERE principal IN ('ana', '')");
    for row in rows.fetch_all(&mut db).await.unwrap() {
        assert_eq!((row.get::<String, _>(0), row.get::<i64, _>(1)), (spent.clone(), charged as i64));
    }
}

/// Whether `undertone audit verify` says so too.
fn is_verified(world: &World) {
    let output = Command::new(env!("CARGO_BIN_EXE_undertone"))
        .env_clear()
        .env("HOME", world.dir.path())
        .args(["audit", "verify", "--config"])
        .arg(world.path("undertone.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn shim(world: &World) -> PathBuf {
    let (source, made) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fsync_shim.c"), world.path("shim.so"));
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).args([source, "-ldl"]).status().unwrap();
    assert!(compiled.success());
    made
}

/// Breaks the disk after more and more of what a question writes, from nothing to all of it, and mends it each time.
///
/// So it fails before the charge is on disk, and between charge and answer.
async fn break_at_each_stage(world: &World, given: &mut Given, ana: &Caller, breaks: impl Fn(usize), mends: impl Fn()) {
    let mut charged_in_vain = 0;
    for room in 0.. {
        assert!(room < 40, "a question needs less");
        let id = format!("after-{room}");
        breaks(room);
        let Err(refused) = given.ask(ana, &id).await else {
            assert!(room > 0, "a question needs more than nothing");
            break;
        };
        unavailable(&id, &refused);
        assert_eq!(code(&ana.get_answer(&id).await.unwrap_err()), "UNKNOWN_QUERY_ID", "{id}");
        // What is on disk can be read all the while, and it adds up.
        given.stands(ana).await;
        let states = charges(world).await;
        let state = states.get(&id).map(String::as_str);
        assert!(matches!(state, None | Some("reserved")), "{id} is {state:?}");
        charged_in_vain += usize::from(state.is_some());
        assert_eq!(ana.balance().await.0.charges, states.len() as u64);
        adds_up(world).await;

        mends();
        given.ask(ana, &id).await.unwrap();
        given.is_all(world).await;
    }
    mends();
    assert!(charged_in_vain > 0, "nothing failed between charge and answer");
}

/// A server that dies of its disk may leave its last write in the log, though nobody was told of it: it counts or it does not, and it does not
/// count twice.
async fn die_and_begin_again(world: &World, given: &mut Given, server: Server, mends: impl Fn()) {
    let ana = server.ana().await;
    unavailable("last", &given.ask(&ana, "last").await.unwrap_err());
    drop(server);
    mends();
    let server = Server::begin(world);
    let ana = server.ana().await;
    adds_up(world).await;
    given.stands(&ana).await;
    given.ask(&ana, "last").await.unwrap();
    given.stands(&ana).await;
    drop(server);
    given.is_all(world).await;
    is_verified(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_gives_no_answer_and_loses_none() {
    let world = World::new(&Recipe { patients: 50, ..Recipe::default() });
    let (shim, broken) = (shim(&world), world.path("broken"));
    let environment = [("LD_PRELOAD", shim.as_os_str()), ("UNDERTONE_FAIL_SYNC", broken.as_os_str())];
    let server = Server::begin_in(&world, &environment, &[]);
    let ana = server.ana().await;
    let mut given = Given::default();
    given.ask(&ana, "first").await.unwrap();

    let breaks = |syncs| std::fs::write(&broken, vec![b'.'; syncs]).unwrap();
    let mends = || std::fs::remove_file(&broken).unwrap();
    break_at_each_stage(&world, &mut given, &ana, breaks, mends).await;
    breaks(0);
    die_and_begin_again(&world, &mut given, server, mends).await;
}

fn length(world: &World, name: &str) -> u64 {
    std::fs::metadata(world.path(name)).map_or(0, |file| file.len())
}

/// A limit on the size of files fails writes as a full disk does, at any place of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_charges_and_not_the_server() {
    let world = World::new(&Recipe { patients: 50, ..Recipe::default() });
    let mut given = Given::default();
    let server = Server::begin(&world);
    given.ask(&server.ana().await, "first").await.unwrap();
    drop(server);

    // A soft limit: it can be lifted while the server runs.
    let largest = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"].map(|name| length(&world, name));
    let limit = format!("--fsize={}:", largest.into_iter().max().unwrap() + 150_000);
    let mut server = Server::begin_in(&world, &[], &["prlimit", &limit]);
    let ana = server.ana().await;
    let mut asked = 0;
    let (failed, refused) = loop {
        assert!(asked < 300, "the disk is never full");
        let id = format!("more-{asked}");
        match given.ask(&ana, &id).await {
            Ok(()) => asked += 1,
            Err(refused) => break (id, refused),
        }
    };
    assert!(asked > 0, "the disk was full from the start");
    unavailable(&failed, &refused);
    assert!(is_alive(&mut server));
    given.stands(&ana).await;
    assert_eq!(ana.balance().await.0.charges, charges(&world).await.len() as u64);
    adds_up(&world).await;
    // Once there is room it goes on, and what failed can be asked again.
    limit_files(&server, "unlimited");
    given.ask(&ana, &failed).await.unwrap();
    given.is_all(&world).await;

    // All writes of a question are at the end of the log. Room for two frames more each time.
    let breaks = |room: usize| {
        let room = (room * 2 * (FRAME_HEADER + SERVERS_PAGE)) as u64;
        limit_files(&server, &(length(&world, "ledger.sqlite-wal") + room).to_string());
    };
    break_at_each_stage(&world, &mut given, &ana, breaks, || limit_files(&server, "unlimited")).await;
    breaks(0);
    // The limit dies with the server.
    die_and_begin_again(&world, &mut given, server, || {}).await;
}

/// Two writers would each be right by themselves and spend more than there is together.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_ledger_is_refused() {
    let world = World::new(&Recipe { patients: 50, ..Recipe::default() });
    let mut given = Given::default();
    let mut first = Server::begin(&world);
    let ana = first.ana().await;
    given.ask(&ana, "before").await.unwrap();

    let mut second = serve(&world, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        match second.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > Duration::from_secs(60) => {
                second.kill().unwrap();
                second.wait().unwrap();
                panic!("two servers run on one ledger");
            }
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut said = String::new();
    second.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success(), "{said}");
    assert!(said.contains("another server") && said.contains("ledger.url"), "{said}");

    assert!(is_alive(&mut first));
    given.ask(&ana, "after").await.unwrap();
    given.stands(&ana).await;
    // What marks the ledger as taken goes with the process, however that ends.
    drop(first);
    let next = Server::begin(&world);
    let ana = next.ana().await;
    given.stands(&ana).await;
    given.ask(&ana, "next").await.unwrap();
    given.is_all(&world).await;
}

const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// That of a ledger which a server makes.
const SERVERS_PAGE: usize = 4096;
/// The smallest that there is, so that each byte of a log can be tried.
const PAGE: usize = 512;
/// Questions that the log of the torn ledger has.
const QUESTIONS: usize = 4;

async fn open(path: &Path) -> Ledger {
    Ledger::open(&Location::Sqlite(path.to_owned())).await.unwrap()
}

fn account() -> Account {
    Account { dataset: "clinic".into(), principal: "ana".into(), purpose: "research".into() }
}

fn claim(query_id: &str) -> Claim {
    let charge = Charge::pure("0.1".parse().unwrap());
    Claim {
        query_id: query_id.into(),
        account: account(),
        request: vec![1],
        question: query_id.as_bytes().to_vec(),
        before: None,
        tiers: vec![],
        policy: None,
        charge,
        pool_charge: charge,
        releases: 1,
        fresh: true,
        call: "execute",
    }
}

fn query_id(n: usize) -> String {
    format!("q{n}")
}

/// An answer of about a page.
fn bytes(n: usize) -> Vec<u8> {
    (0..400).map(|at| (at * (n + 7) % 251) as u8).collect()
}

/// All that can be read from a ledger.
#[derive(PartialEq)]
struct Contents {
    balances: Vec<Balance>,
    entries: Vec<Entry>,
    answers: Vec<Option<StoredAnswer>>,
}

impl Contents {
    async fn of(ledger: &Ledger) -> Contents {
        let mut answers = Vec::new();
        for n in 0..QUESTIONS {
            answers.push(ledger.answer("ana", &query_id(n)).await.unwrap());
        }
        Contents {
            balances: ledger.balances().await.unwrap(),
            entries: ledger.audit_entries(0).await.unwrap(),
            answers,
        }
    }
}

/// A ledger's two files, and what it held after each commit that is in its log.
struct Torn {
    file: Vec<u8>,
    log: Vec<u8>,
    /// Length of the log and contents, the oldest first.
    commits: Vec<(usize, Contents)>,
}

impl Torn {
    async fn make() -> Torn {
        let dir = tempfile::tempdir().unwrap();
        let (path, log) = (dir.path().join("ledger.sqlite"), dir.path().join("ledger.sqlite-wal"));
        let mut db = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL")))
            .execute(&mut db)
            .await
            .unwrap();
        db.close().await.unwrap();
        let ledger = open(&path).await;
        let grant = Grant::new("100".parse().unwrap(), "1e-6".parse().unwrap());
        let accounts = [Account::pool("clinic"), account()];
        let settings =
            accounts.into_iter().map(|account| Setting { account, grant, terms: Terms::default() }).collect();
        ledger.apply(NewPolicy { settings, ..NewPolicy::default() }).await.unwrap();
        // What is in the file by now is beyond the reach of a torn log.
        ledger.reserve(claim(&query_id(0))).await.unwrap();
        let mut db = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut db).await.unwrap();
        assert_eq!(busy, 0);
        let file = std::fs::read(&path).unwrap();

        let length = || std::fs::metadata(&log).unwrap().len() as usize;
        let mut commits = vec![(length(), Contents::of(&ledger).await)];
        for n in 0..QUESTIONS {
            if n > 0 {
                assert!(matches!(ledger.reserve(claim(&query_id(n))).await, Ok(Reserved::Run { .. })));
                commits.push((length(), Contents::of(&ledger).await));
            }
            let answered = Answered { bytes: bytes(n), ..Answered::default() };
            ledger.commit(&account(), &query_id(n), answered).await.unwrap();
            commits.push((length(), Contents::of(&ledger).await));
        }
        let torn = Torn { log: std::fs::read(&log).unwrap(), file, commits };
        assert!(std::fs::read(&path).unwrap() == torn.file, "the log was written back meanwhile");
        let told: Vec<usize> = torn.commits.iter().skip(1).map(|commit| commit.0).collect();
        assert_eq!(commit_ends(&torn.log), told, "a change is not one commit");
        torn
    }

    /// Where the last three commits are in the log.
    fn last_three(&self) -> Range<usize> {
        self.commits[self.commits.len() - 4].0..self.log.len()
    }

    /// Recovers from a log that is whole until here: the ledger must be that of the last commit before, and go on.
    async fn recovers(&self, log: &[u8], until: usize, what: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        std::fs::write(&path, &self.file).unwrap();
        std::fs::write(dir.path().join("ledger.sqlite-wal"), log).unwrap();
        let ledger = open(&path).await;
        let (_, wanted) = self.commits.iter().rfind(|(end, _)| *end <= until).unwrap();
        let found = Contents::of(&ledger).await;
        assert!(found == *wanted, "{what}: {} entries, not {}", found.entries.len(), wanted.entries.len());
        if !until.is_multiple_of(8) {
            return;
        }
        // It goes on.
        let next = ledger.reserve(claim("next")).await;
        assert!(matches!(next, Ok(Reserved::Run { .. })), "{what}: {next:?}");
        assert_eq!(ledger.verify().await.unwrap().chain.entries(), wanted.entries.len() as i64 + 1, "{what}");
    }
}

/// Where the frame that holds this byte of the log begins.
fn frame(at: usize) -> usize {
    (at - WAL_HEADER) / (FRAME_HEADER + PAGE) * (FRAME_HEADER + PAGE) + WAL_HEADER
}

/// Where commits end: a frame that ends one has the size of the database in its header.
fn commit_ends(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    assert_eq!(number(8) as usize, PAGE);
    let frames = (WAL_HEADER..log.len()).step_by(FRAME_HEADER + PAGE);
    frames.filter(|frame| number(frame + 4) != 0).map(|frame| frame + FRAME_HEADER + PAGE).collect()
}

/// Runs several at a time: most of each is spent waiting for the disk.
async fn each<F: Future<Output = ()> + Send + 'static>(cases: Vec<F>) {
    let mut running = futures::stream::iter(cases).map(tokio::spawn).buffer_unordered(16);
    while let Some(ended) = running.next().await {
        ended.unwrap();
    }
}

/// A log that ends at any byte of its last three commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_off_is_the_ledger_before() {
    let torn = Arc::new(Torn::make().await);
    let last = torn.last_three();
    let cases = (last.start..=last.end).map(|at| {
        let torn = torn.clone();
        async move { torn.recovers(&torn.log[..at], at, &format!("cut at {at}")).await }
    });
    each(cases.collect()).await;
}

/// A bit that is not what was written, in frames' headers and pages: what was committed before its frame is all that there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_flipped_bit_is_the_ledger_before() {
    let torn = Arc::new(Torn::make().await);
    let flips = torn.last_three().filter(|at| at - frame(*at) < FRAME_HEADER || at.is_multiple_of(257));
    let cases = flips.map(|at| {
        let torn = torn.clone();
        async move {
            let (mut log, bit) = (torn.log.clone(), at % 8);
            log[at] ^= 1 << bit;
            torn.recovers(&log, at, &format!("bit {bit} of {at} flipped")).await;
        }
    });
    each(cases.collect()).await;
}

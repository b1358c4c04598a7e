//! Many clients of two servers over one PostgreSQL database, while the servers are killed over and over and one grant runs out.
//!
//! Clients note what they asked of which server, when, and what they were told. At the end this history is held against the ledger, by a function
//! over plain data: [`faults`]. Each rule that it knows is broken once in a history made by hand.
//!
//! *Lost runs.* The ledger gives a question up after [`MAX_ATTEMPTS`] runs, and freezes who asked it. Each call begins one run at most. So while servers
//! are killed clients call with an id until it is answered, but [`CALLS`] times at most, one time less than there are runs; the last one is kept for the end,
//! when nothing is killed. And who left more than a few reservations behind is frozen once these are older than the deadline: here that is
//! longer than the test. So nobody is frozen, however the kills fall.

use crate::postgres;
use crate::process::Server;
use crate::world::{ANA, Recipe, World, code, request};
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tonic::{Request, Status};
use undertone::accounting::{Charge, Grant, Spent};
use undertone::ledger::{Account, Entry, Ledger, Location, MAX_ATTEMPTS, Scope};
use undertone::num::Amount;
use undertone::proto::query_service_client::QueryServiceClient;
use undertone::proto::{self, execute_response::Event as Sent};

const CLIENTS: usize = 64;
const KILLS: usize = 25;
/// Kills end after this long, on whatever machine.
const LONGEST: Duration = Duration::from_secs(40);
/// Nothing that is asked here takes as long.
const PATIENCE: Duration = Duration::from_secs(120);
const SQL: &str = "SELECT hospital, count(*) AS n, avg(age) AS a FROM visits GROUP BY hospital";
const EPSILON: &str = "0.5";
/// Ana's grant. Without a delta it buys what epsilon adds up to.
const GRANT: &str = "75";
const AFFORDABLE: usize = 150;
/// Questions that clients may begin after each kill, beside one for each client. So about half of the kills come after the grant has run out,
/// whatever the machine's speed.
const EACH_KILL: usize = 6;
/// Calls with an id that is not answered, while servers are killed.
const CALLS: usize = MAX_ATTEMPTS as usize - 1;

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// Table and intervals.
    Answer(Vec<u8>),
    /// A stable code; empty where the connection was lost.
    Code(String),
}

const EXHAUSTED: &str = "BUDGET_EXHAUSTED";
/// After these the same id is asked again.
const PASSING: [&str; 3] = ["", "LEDGER_UNAVAILABLE", "SERVER_BUSY"];

impl Told {
    fn code(text: &str) -> Told {
        Told::Code(text.to_owned())
    }

    /// Whether the id need not be asked again.
    fn is_final(&self) -> bool {
        !matches!(self, Told::Code(code) if code != EXHAUSTED)
    }
}

/// One call, by the clock of all clients.
#[derive(Clone, Debug)]
struct Call {
    client: usize,
    server: usize,
    id: String,
    begun: Duration,
    ended: Duration,
    told: Told,
}

/// An entry of the audit log, as far as it matters here.
#[derive(Clone, Debug)]
enum Event {
    Charge { id: String, account: Charge, pool: Charge },
    Answer { id: String },
    Other,
}

/// What the ledger holds. Where there are two, the first is the account's and the second the pool's.
#[derive(Clone, Debug)]
struct Books {
    log: Vec<Event>,
    grants: [Grant; 2],
    spent: [Spent; 2],
    /// Whether the log's chain holds.
    verified: bool,
}

/// What is wrong with a history or with the ledger that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// A code that no client of this test should see.
    Unexpected(String, String),
    /// An id that has no outcome at one of the servers in the end.
    Unfinished(String),
    /// An id that has another outcome at each server in the end.
    ServersDiffer(String),
    /// More than one answer was given under an id.
    Different(String),
    GivenWithoutCharge(String),
    GivenAndNotKept(String),
    ChargedTwice(String),
    KeptTwice(String),
    KeptBeforeCharge(String),
    /// An entry of the log after which more is spent than was granted.
    Oversold(usize),
    RefusedAndCharged(String),
    /// One more question could be paid in the end.
    RefusedWithRoom(String),
    /// It was begun after somebody was told that nothing is left.
    ChargedAfterRefusal(String),
    /// It was answered before another one was begun, and is charged after that.
    OutOfOrder(String),
    /// An account that says something else than the log.
    DoesNotAddUp(usize),
    ChainBroken,
}

/// Holds a history against the ledger.
///
/// All questions cost the same, and what is spent only grows. So once one is refused, no other can be charged any more.
fn faults(history: &[Call], books: &Books) -> Vec<Fault> {
    let mut found = Vec::new();
    let charged = places(&books.log, |event| match event {
        Event::Charge { id, .. } => Some(id),
        _ => None,
    });
    let kept = places(&books.log, |event| match event {
        Event::Answer { id } => Some(id),
        _ => None,
    });
    found.extend(charged.iter().filter(|(_, at)| at.len() > 1).map(|(id, _)| Fault::ChargedTwice(id.to_string())));
    for (id, at) in &kept {
        if at.len() > 1 {
            found.push(Fault::KeptTwice(id.to_string()));
        }
        if charged.get(id).is_none_or(|charged| charged[0] > at[0]) {
            found.push(Fault::KeptBeforeCharge(id.to_string()));
        }
    }

    let mut spent = [Spent::NOTHING; 2];
    let mut price = None;
    for (at, event) in books.log.iter().enumerate() {
        let Event::Charge { account, pool, .. } = event else { continue };
        for (of, charge) in [*account, *pool].into_iter().enumerate() {
            if !spent[of].accepts(&books.grants[of], charge) {
                found.push(Fault::Oversold(at));
            }
            spent[of] = spent[of].plus(charge);
        }
        price = Some([*account, *pool]);
    }
    let says = |spent: &Spent| (spent.charges, spent.total);
    found.extend((0..2).filter(|of| says(&spent[*of]) != says(&books.spent[*of])).map(Fault::DoesNotAddUp));
    if !books.verified {
        found.push(Fault::ChainBroken);
    }

    let mut calls: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in history {
        calls.entry(&call.id).or_default().push(call);
    }
    let begun = |calls: &[&Call]| calls.iter().map(|call| call.begun).min();
    let is_refusal = |call: &&Call| call.told == Told::code(EXHAUSTED);
    let first_refusal = history.iter().filter(is_refusal).min_by_key(|call| call.ended);
    if let (Some(refusal), Some(price)) = (first_refusal, price)
        && (0..2).all(|of| spent[of].accepts(&books.grants[of], price[of]))
    {
        found.push(Fault::RefusedWithRoom(refusal.id.clone()));
    }
    for (id, calls) in &calls {
        let (is_charged, id) = (charged.contains_key(id), id.to_string());
        let answers: BTreeSet<_> =
            calls.iter().filter(|call| matches!(call.told, Told::Answer(_))).map(|c| &c.told).collect();
        if answers.len() > 1 {
            found.push(Fault::Different(id.clone()));
        }
        if !answers.is_empty() && !is_charged {
            found.push(Fault::GivenWithoutCharge(id.clone()));
        }
        if !answers.is_empty() && !kept.contains_key(id.as_str()) {
            found.push(Fault::GivenAndNotKept(id.clone()));
        }
        if calls.iter().any(is_refusal) && is_charged {
            found.push(Fault::RefusedAndCharged(id.clone()));
        }
        if first_refusal.is_some_and(|refusal| begun(calls) > Some(refusal.ended)) && is_charged {
            found.push(Fault::ChargedAfterRefusal(id.clone()));
        }
        for call in calls {
            if let Told::Code(code) = &call.told
                && code != EXHAUSTED
                && !PASSING.contains(&code.as_str())
            {
                found.push(Fault::Unexpected(id.clone(), code.clone()));
            }
        }
        let last = [0, 1].map(|server| calls.iter().filter(|call| call.server == server).max_by_key(|call| call.ended));
        match last.map(|call| call.map(|call| &call.told).filter(|told| told.is_final())) {
            [Some(one), Some(other)] if one == other => {}
            [Some(_), Some(_)] => found.push(Fault::ServersDiffer(id)),
            _ => found.push(Fault::Unfinished(id)),
        }
    }

    // In the order of the log: the latest beginning of what is charged so far.
    let mut order: Vec<(usize, &str)> = charged.iter().map(|(id, at)| (at[0], *id)).collect();
    order.sort_unstable();
    let mut latest: Option<Duration> = None;
    for calls in order.iter().filter_map(|(_, id)| calls.get(id)) {
        let answered = calls.iter().filter(|call| matches!(call.told, Told::Answer(_))).map(|call| call.ended).min();
        if answered.is_some_and(|answered| latest > Some(answered)) {
            found.push(Fault::OutOfOrder(calls[0].id.clone()));
        }
        latest = latest.max(begun(calls));
    }
    found
}

/// Where each id has entries of a kind.
fn places(log: &[Event], id: impl Fn(&Event) -> Option<&String>) -> BTreeMap<&str, Vec<usize>> {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, event) in log.iter().enumerate() {
        if let Some(id) = id(event) {
            found.entry(id).or_default().push(at);
        }
    }
    found
}

impl Event {
    fn of(entry: &Entry) -> Event {
        let body: serde_json::Value = serde_json::from_str(&entry.body).unwrap();
        let id = || body["query_id"].as_str().unwrap().to_owned();
        match entry.kind.as_str() {
            "charge" => {
                let account = charge(&body);
                let pool = body.get("of_pool").map_or(account, charge);
                Event::Charge { id: id(), account, pool }
            }
            "answer" => Event::Answer { id: id() },
            _ => Event::Other,
        }
    }
}

fn charge(body: &serde_json::Value) -> Charge {
    let amount = |name: &str| body[name].as_str().map(|text| Amount::written(text).unwrap());
    Charge { epsilon: amount("epsilon"), rho: amount("rho").unwrap(), delta: amount("delta").unwrap() }
}

/// A world whose ledger is this database.
fn world(database: &str) -> World {
    let recipe = Recipe { patients: 150, grants: [GRANT, "0.5"], grant_delta: "0", ..Recipe::default() };
    let world = World::new(&recipe);
    let mut config = std::fs::read_to_string(world.path("undertone.toml")).unwrap();
    let limits = "deadline_seconds = 600\ntime_bucket_millis = 20\n\
                  max_concurrent_queries = 32\nmax_concurrent_queries_per_principal = 32";
    let url = format!("url = \"{database}\"");
    for (old, new) in [("deadline_seconds = 20", limits), ("path = \"ledger.sqlite\"", &url)] {
        assert!(config.contains(old), "{config}");
        config = config.replace(old, new);
    }
    std::fs::write(world.path("undertone.toml"), config).unwrap();
    world
}

/// Unlike the other tests' clients, these find servers that are gone.
async fn connect(address: &str) -> Option<Channel> {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.ok()
}

async fn ask(channel: Channel, id: &str) -> Result<Vec<u8>, Status> {
    let question = proto::ExecuteRequest { query_id: id.to_owned(), fresh: true, ..request(SQL, EPSILON) };
    let mut question = Request::new(question);
    question.metadata_mut().insert("authorization", format!("Bearer {ANA}").parse().unwrap());
    let mut events = QueryServiceClient::new(channel).execute(question).await?.into_inner();
    let mut answer = None;
    while let Some(event) = events.message().await? {
        if let Some(Sent::Answer(found)) = event.event {
            answer = Some(found);
        }
    }
    let proto::Answer { table, intervals, .. } = answer.ok_or_else(|| Status::aborted("no answer"))?;
    let length = (table.len() as u64).to_be_bytes();
    Ok([length.as_slice(), &table, &intervals].concat())
}

/// What all clients know.
struct Scene {
    began: Instant,
    /// Addresses of the servers that are up.
    up: [Mutex<Option<String>>; 2],
    /// Questions that may be begun.
    questions: Semaphore,
    /// Ids that one client has asked, and another one is to ask too.
    shared: Mutex<Vec<String>>,
    /// Outcomes of questions that were not answered before.
    progress: AtomicUsize,
    is_over: AtomicBool,
    history: Mutex<Vec<Call>>,
}

impl Scene {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn address(&self, server: usize) -> Option<String> {
        self.up[server].lock().unwrap().clone()
    }

    async fn call(&self, client: usize, server: usize, channel: Channel, id: &str) -> Told {
        let begun = self.began.elapsed();
        let told = match tokio::time::timeout(PATIENCE, ask(channel, id)).await {
            Ok(Ok(answer)) => Told::Answer(answer),
            Ok(Err(status)) => Told::code(code(&status)),
            Err(_) => Told::code("NOTHING_IN_TIME"),
        };
        let call = Call { client, server, id: id.to_owned(), begun, ended: self.began.elapsed(), told: told.clone() };
        self.history.lock().unwrap().push(call);
        told
    }

    /// Asks servers one after the other until the outcome is final.
    async fn finish(&self, channels: &[Channel; 2], servers: impl IntoIterator<Item = usize>, id: &str) {
        for server in servers.into_iter().take(5) {
            if self.call(CLIENTS, server, channels[server].clone(), id).await.is_final() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// All ids that were asked, and whether they have a final outcome.
    fn asked(&self) -> BTreeMap<String, bool> {
        let mut asked = BTreeMap::new();
        for call in self.history.lock().unwrap().iter() {
            *asked.entry(call.id.clone()).or_default() |= call.told.is_final();
        }
        asked
    }
}

struct Client {
    number: usize,
    scene: Arc<Scene>,
    rng: StdRng,
    /// Connections, with the addresses that they lead to.
    links: [Option<(String, Channel)>; 2],
    begun: usize,
    answered: Vec<String>,
}

impl Client {
    fn new(number: usize, scene: Arc<Scene>) -> Client {
        let rng = StdRng::seed_from_u64(number as u64);
        Client { number, scene, rng, links: [None, None], begun: 0, answered: Vec::new() }
    }

    async fn run(mut self) {
        while !self.scene.is_over() {
            let shared = self.scene.shared.lock().unwrap().pop();
            if let Some(id) = shared {
                let server = self.any_server();
                self.call(server, &id).await;
            } else if self.scene.questions.try_acquire().map(|granted| granted.forget()).is_ok() {
                self.begin().await;
            } else {
                self.repeat().await;
            }
        }
    }

    fn any_server(&mut self) -> usize {
        self.rng.random_range(0..2usize)
    }

    /// Asks a new question, with [`CALLS`] calls in all.
    async fn begin(&mut self) {
        let id = format!("c{}q{}", self.number, self.begun);
        self.begun += 1;
        let mut server = self.any_server();
        match self.rng.random_range(0..10) {
            // Of both servers at once.
            0 | 1 => {
                let (Some(one), Some(other)) = (self.link(0).await, self.link(1).await) else { return };
                let (scene, number) = (self.scene.clone(), self.number);
                let both = futures::future::join(scene.call(number, 0, one, &id), scene.call(number, 1, other, &id));
                let told = both.await;
                self.heard(0, &id, &told.0);
                self.heard(1, &id, &told.1);
            }
            // Together with another client.
            2 | 3 => {
                self.scene.shared.lock().unwrap().push(id.clone());
                self.call(server, &id).await;
            }
            // Of one, and where that fails of the other.
            _ => {
                for _ in 0..CALLS {
                    match self.call(server, &id).await {
                        Some(told) if !told.is_final() => server = 1 - server,
                        _ => return,
                    }
                }
            }
        }
    }

    /// Now and then, asks again what was answered.
    async fn repeat(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(200..600))).await;
        if !self.answered.is_empty() {
            let id = self.answered[self.rng.random_range(0..self.answered.len())].clone();
            let server = self.any_server();
            if let Some(channel) = self.link(server).await {
                let told = self.scene.call(self.number, server, channel, &id).await;
                self.keep_link(server, &told);
            }
        }
    }

    /// Asks once; None where nothing was asked, because the end came before the server was up.
    async fn call(&mut self, server: usize, id: &str) -> Option<Told> {
        let channel = self.link(server).await?;
        let told = self.scene.call(self.number, server, channel, id).await;
        self.heard(server, id, &told);
        Some(told)
    }

    fn heard(&mut self, server: usize, id: &str, told: &Told) {
        self.keep_link(server, told);
        if told.is_final() {
            self.scene.progress.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(told, Told::Answer(_)) {
            self.answered.push(id.to_owned());
        }
    }

    /// A connection that was lost is not used again: another process may get its port.
    fn keep_link(&mut self, server: usize, told: &Told) {
        if *told == Told::code("") {
            self.links[server] = None;
        }
    }

    /// A connection to a server, as soon as it is up.
    async fn link(&mut self, server: usize) -> Option<Channel> {
        while !self.scene.is_over() {
            if let Some(address) = self.scene.address(server) {
                if let Some((known, channel)) = &self.links[server]
                    && *known == address
                {
                    return Some(channel.clone());
                }
                if let Some(channel) = connect(&address).await {
                    self.links[server] = Some((address, channel.clone()));
                    return Some(channel);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_two_servers_that_are_killed_see_one_ledger() {
    if !postgres::available() {
        return;
    }
    let database = postgres::shared().database();
    let world = world(&database);
    let mut servers = [Server::begin(&world), Server::begin(&world)];
    let scene = Arc::new(Scene {
        began: Instant::now(),
        up: [0, 1].map(|server: usize| Mutex::new(Some(servers[server].address.clone()))),
        questions: Semaphore::new(CLIENTS),
        shared: Mutex::default(),
        progress: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        history: Mutex::default(),
    });
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(Client::new(n, scene.clone()).run())).collect();

    let mut rng = StdRng::seed_from_u64(64);
    let mut kills = 0;
    while kills < KILLS && scene.began.elapsed() < LONGEST {
        let before = scene.progress.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(rng.random_range(150..500))).await;
        // On a slow machine something is to be answered all the same.
        for _ in 0..100 {
            if scene.progress.load(Ordering::Relaxed) >= before + EACH_KILL / 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let victim = rng.random_range(0..2usize);
        *scene.up[victim].lock().unwrap() = None;
        tokio::task::block_in_place(|| {
            servers[victim].kill();
            servers[victim] = Server::begin(&world);
        });
        *scene.up[victim].lock().unwrap() = Some(servers[victim].address.clone());
        scene.questions.add_permits(EACH_KILL);
        kills += 1;
    }
    scene.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    // Nothing is killed any more: whatever has no outcome gets one, and where a slow machine has not come to the end of the grant more is asked.
    let mut channels = Vec::new();
    for server in &servers {
        channels.push(connect(&server.address).await.unwrap());
    }
    let channels: [Channel; 2] = channels.try_into().unwrap();
    let mut asked = scene.asked();
    for n in asked.len()..AFFORDABLE + CLIENTS / 4 {
        asked.insert(format!("late{n}"), false);
    }
    let unfinished: Vec<&String> = asked.iter().filter(|(_, is_final)| !**is_final).map(|(id, _)| id).collect();
    println!("{kills} kills; {} ids of {} had no outcome before the end", unfinished.len(), asked.len());
    let by_turns = |n: usize| (0..2usize).cycle().skip(n % 2);
    futures::stream::iter(unfinished.into_iter().enumerate())
        .for_each_concurrent(8, |(n, id)| scene.finish(&channels, by_turns(n), id))
        .await;
    // Everything once more, of each server.
    for server in 0..2 {
        futures::stream::iter(asked.keys())
            .for_each_concurrent(8, |id| scene.finish(&channels, std::iter::repeat(server), id))
            .await;
    }

    let history = std::mem::take(&mut *scene.history.lock().unwrap());
    let ledger = Ledger::open(&Location::Postgres(database)).await.unwrap();
    let ana = Account { dataset: "clinic".into(), principal: "ana".into(), purpose: "research".into() };
    let Scope { own, pool, .. } = ledger.scope(&ana, &[]).await.unwrap().unwrap();
    let entries = ledger.audit_entries(0).await.unwrap();
    let books = Books {
        log: entries.iter().map(Event::of).collect(),
        grants: [own.grant, pool.grant],
        spent: [own.spent, pool.spent],
        verified: ledger.verify().await.is_ok(),
    };
    let told = |wanted: &Told| history.iter().filter(|call| call.told == *wanted).count();
    let (lost, refused) = (told(&Told::code("")), told(&Told::code(EXHAUSTED)));
    let resumed = entries.iter().filter(|entry| entry.kind == "resume").count();
    println!("{} calls: {lost} lost, {refused} refused; {resumed} runs resumed", history.len());
    let found = faults(&history, &books);
    for fault in &found {
        // What belongs to it, without the bytes.
        let of = |call: &&Call| format!("{fault:?}").contains(&format!("{:?}", call.id));
        for Call { client, server, id, begun, ended, told } in history.iter().filter(of) {
            let told = if let Told::Code(code) = told { code.as_str() } else { "an answer" };
            println!("{id}: client {client} of server {server}, {begun:?} to {ended:?}: '{told}'");
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(own.is_open() && pool.is_open());
    assert_eq!(own.spent.charges, AFFORDABLE as u64, "a question costs something else than {EPSILON}");
    assert!(lost > 0 && resumed > 0, "no kill hit a call, or no run was begun again");
}

/// Two questions that are answered, the second after its server was lost, and a third that cannot be paid.
fn sound() -> (Vec<Call>, Books) {
    let call = |server, id: &str, [begun, ended]: [u64; 2], told| Call {
        client: 0,
        server,
        id: id.to_owned(),
        begun: Duration::from_millis(begun),
        ended: Duration::from_millis(ended),
        told,
    };
    let answer = |id: &str| Told::Answer(id.as_bytes().to_vec());
    let mut history = vec![
        call(0, "a", [0, 10], answer("a")),
        call(0, "b", [5, 20], Told::code("")),
        call(1, "b", [30, 40], answer("b")),
        call(1, "c", [50, 60], Told::code(EXHAUSTED)),
    ];
    for server in [0, 1] {
        history.push(call(server, "a", [100, 110], answer("a")));
        history.push(call(server, "b", [100, 110], answer("b")));
        history.push(call(server, "c", [100, 110], Told::code(EXHAUSTED)));
    }
    let grant = |epsilon: &str| Grant::new(epsilon.parse().unwrap(), Amount::ZERO);
    let log = vec![Event::Other, charged("b"), charged("a"), kept("a"), kept("b")];
    let spent = [Spent::NOTHING.plus(price()).plus(price()); 2];
    (history, Books { log, grants: [grant("1"), grant("100")], spent, verified: true })
}

fn price() -> Charge {
    Charge::pure(EPSILON.parse().unwrap())
}

fn charged(id: &str) -> Event {
    Event::Charge { id: id.to_owned(), account: price(), pool: price() }
}

fn kept(id: &str) -> Event {
    Event::Answer { id: id.to_owned() }
}

#[test]
fn a_sound_history_has_no_fault() {
    let (history, books) = sound();
    let found = faults(&history, &books);
    assert!(found.is_empty(), "{found:?}");
    let found = faults(&[], &Books { log: vec![], spent: [Spent::NOTHING; 2], ..books });
    assert!(found.is_empty(), "{found:?}");
}

/// Breaks a sound history: the fault has to be found.
fn finds(fault: Fault, breaks: impl FnOnce(&mut Vec<Call>, &mut Books)) {
    let (mut history, mut books) = sound();
    breaks(&mut history, &mut books);
    let found = faults(&history, &books);
    assert!(found.contains(&fault), "{fault:?} is not among {found:?}");
}

/// Each rule, broken by itself: a checker that finds nothing in a real history has to be one that would.
#[test]
fn each_fault_of_a_history_is_found() {
    let [a, b, c, z] = ["a", "b", "c", "z"].map(|id| move || id.to_owned());
    for code in ["ACCOUNT_FROZEN", "EXECUTION_FAILED"] {
        finds(Fault::Unexpected(b(), code.to_owned()), |history, _| history[1].told = Told::code(code));
    }
    finds(Fault::Unfinished(c()), |history, _| history[9].told = Told::code(""));
    // Asked of one server alone.
    finds(Fault::Unfinished(a()), |history, _| drop(history.remove(7)));
    finds(Fault::ServersDiffer(a()), |history, _| history[7].told = Told::code(EXHAUSTED));
    finds(Fault::Different(b()), |history, _| history[2].told = Told::Answer(vec![0]));
    finds(Fault::GivenWithoutCharge(a()), |_, books| drop(books.log.remove(2)));
    finds(Fault::GivenAndNotKept(a()), |_, books| drop(books.log.remove(3)));
    finds(Fault::ChargedTwice(b()), |_, books| books.log.push(charged("b")));
    finds(Fault::KeptTwice(b()), |_, books| books.log.push(kept("b")));
    finds(Fault::KeptBeforeCharge(a()), |_, books| books.log.swap(2, 3));
    finds(Fault::KeptBeforeCharge(z()), |_, books| books.log.push(kept("z")));
    for of in [0, 1] {
        finds(Fault::Oversold(2), |_, books| books.grants[of].epsilon = "0.9".parse().unwrap());
        finds(Fault::DoesNotAddUp(of), |_, books| books.spent[of].charges += 1);
        finds(Fault::DoesNotAddUp(of), |_, books| books.spent[of].total = price());
        finds(Fault::DoesNotAddUp(of), |_, books| books.log.push(charged("z")));
    }
    finds(Fault::RefusedAndCharged(c()), |_, books| books.log.push(charged("c")));
    finds(Fault::RefusedWithRoom(c()), |_, books| books.grants[0].epsilon = "1.5".parse().unwrap());
    // Nothing was left before the first was begun.
    finds(Fault::ChargedAfterRefusal(a()), |history, _| {
        (history[3].begun, history[3].ended) = (Duration::ZERO, Duration::from_millis(1));
        history[0].begun = Duration::from_millis(2);
    });
    // The second was begun when the first had been answered, and is before it in the log.
    finds(Fault::OutOfOrder(a()), |history, _| history[1].begun = Duration::from_millis(15));
    finds(Fault::ChainBroken, |_, books| books.verified = false);
}

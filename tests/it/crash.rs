//! `kill -9` of the real server under load, over and over.
//!
//! The worst that a crash can do is to give an answer that was not paid for, to lose a charge, or to answer one paid
//! question twice with different noise. So for each query id, over all lives of the server: whatever bytes any client ever saw are the
//! bytes that every retry gets; what the ledger says was spent is what its charges add up to; every answer has its
//! charge; and the audit chain is whole.
//!
//! Kills are timed so that they land in each stage that the ledger can tell apart: before a charge, between charge and
//! answer, and after the answer is stored. The test counts them there and wants at least ten of each.

use crate::process::Server;
use crate::world::{ANA, Caller, Recipe, World, request};
use futures::{FutureExt, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, Row, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use undertone::ledger::{Ledger, Location};

const KILLS: usize = 200;
const CALLERS: usize = 6;
const SQL: &str = "SELECT hospital, count(*) AS n, avg(age) AS a FROM visits GROUP BY hospital";

/// What clients saw: table and intervals by query id.
#[derive(Default)]
struct Seen {
    answers: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    asked: Vec<String>,
    different: usize,
}

impl Seen {
    fn note(&mut self, id: &str, answer: undertone::proto::Answer) {
        let bytes = (answer.table, answer.intervals);
        let first = self.answers.entry(id.to_owned()).or_insert_with(|| bytes.clone());
        self.different += usize::from(*first != bytes);
    }
}

fn draw(id: &str) -> undertone::proto::ExecuteRequest {
    let mut asked = request(SQL, "0.5");
    asked.query_id = id.to_owned();
    asked.fresh = true;
    asked
}

/// Asks new questions, one after the other, until the server is gone.
async fn load(address: String, name: String, seen: Arc<Mutex<Seen>>) {
    let caller = Caller::connect(&address, ANA).await;
    for n in 0.. {
        let id = format!("{name}-{n}");
        seen.lock().unwrap().asked.push(id.clone());
        match caller.execute(draw(&id)).await {
            Ok(answer) => seen.lock().unwrap().note(&id, answer),
            Err(_) => return,
        }
    }
}

/// Asks what has no answer yet again, as a client does that lost its server. Whoever left many questions lying would be frozen.
async fn retry(address: &str, seen: &Mutex<Seen>) {
    let pending: Vec<String> = {
        let seen = seen.lock().unwrap();
        seen.asked.iter().filter(|id| !seen.answers.contains_key(*id)).cloned().collect()
    };
    let caller = Caller::connect(address, ANA).await;
    let answers = futures::stream::iter(&pending).map(|id| caller.execute(draw(id)).map(move |answer| (id, answer)));
    for (id, answer) in answers.buffer_unordered(8).collect::<Vec<_>>().await {
        seen.lock().unwrap().note(id, answer.unwrap_or_else(|e| panic!("{id}: {e}")));
    }
}

/// The ledger as an auditor reads it, from the file.
struct Audit {
    states: BTreeMap<String, String>,
    spent: String,
    charges: i64,
}

async fn audit(ledger: &Path) -> Audit {
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    let rows = sqlx::query("SELECT query_id, state FROM charges").fetch_all(&mut db).await.unwrap();
    let states = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let account = sqlx::query("SELECT spent_epsilon, charges FROM accounts WHERE principal = 'ana'")
        .fetch_one(&mut db)
        .await
        .unwrap();
    Audit { states, spent: account.get(0), charges: account.get(1) }
}

/// Waits until one more answer is stored, at most two seconds.
async fn until_answered(ledger: &Path) {
    let mut db = SqliteConnection::connect(&format!("sqlite://{}?mode=ro", ledger.display())).await.unwrap();
    let mut answered = async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM charges WHERE state = 'answered'");
        count.fetch_one(&mut db).await.unwrap()
    };
    let (begun, before) = (Instant::now(), answered().await);
    while answered().await == before && begun.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_lose_nothing_and_give_nothing_away() {
    let world = World::new(&Recipe { patients: 150, ..Recipe::default() });
    let ledger = world.path("ledger.sqlite");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut rng = StdRng::seed_from_u64(7);
    // Kills that found a question before its charge, between charge and answer, and after its answer was stored but before
    // the client had it.
    let mut stages = [0usize; 3];

    for kill in 0..KILLS {
        let mut life = Server::begin(&world);
        retry(&life.address, &seen).await;
        let callers: Vec<_> = (0..CALLERS)
            .map(|c| tokio::spawn(load(life.address.clone(), format!("k{kill}c{c}"), seen.clone())))
            .collect();
        let begun = Instant::now();
        // Every fourth one as soon as an answer is stored: few clients have it then, however fast or slow the machine.
        match kill % 4 {
            0 => until_answered(&ledger).await,
            _ => {
                let wait = Duration::from_millis(rng.random_range(20..120));
                tokio::time::sleep(wait.saturating_sub(begun.elapsed())).await;
            }
        }
        life.kill();
        for caller in callers {
            // A caller that could not even connect has asked nothing.
            let _ = caller.await;
        }

        let audit = audit(&ledger).await;
        let seen = seen.lock().unwrap();
        for id in seen.asked.iter().filter(|id| id.starts_with(&format!("k{kill}c")) && !seen.answers.contains_key(*id))
        {
            match audit.states.get(id).map(String::as_str) {
                None => stages[0] += 1,
                Some("reserved") => stages[1] += 1,
                Some("answered") => stages[2] += 1,
                Some(other) => panic!("{id} is {other}"),
            }
        }
        for id in seen.answers.keys() {
            assert_eq!(
                audit.states.get(id).map(String::as_str),
                Some("answered"),
                "{id} was answered and is not in the ledger"
            );
        }
        assert_eq!(audit.charges as usize, audit.states.len(), "kill {kill}: a charge was lost or made twice");
        assert_eq!(audit.spent, half(audit.states.len()), "kill {kill}: the account does not add up");
    }
    println!("kills before the charge, before the answer, after it: {stages:?}");
    assert!(stages.iter().all(|n| *n >= 10), "too few kills in a stage: {stages:?}");

    // Every question again, under its id: the same bytes where any were seen, and one charge each whatever happened.
    let mut life = Server::begin(&world);
    let caller = Caller::connect(&life.address, ANA).await;
    let asked = seen.lock().unwrap().asked.clone();
    for round in 0..2 {
        let answers = futures::stream::iter(&asked).map(|id| caller.execute(draw(id)).map(move |answer| (id, answer)));
        let answers: Vec<_> = answers.buffer_unordered(16).collect().await;
        for (id, answer) in answers {
            let answer = answer.unwrap_or_else(|e| panic!("{id} in round {round}: {e}"));
            assert!(round == 0 || answer.replayed);
            seen.lock().unwrap().note(id, answer);
        }
    }
    life.kill();
    let audit = audit(&ledger).await;
    let entries =
        Ledger::open(&Location::Sqlite(ledger.clone())).await.unwrap().verify().await.unwrap().chain.entries();
    assert!(entries > 2 * asked.len() as i64);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.different, 0, "a retry got other bytes");
    assert_eq!((audit.states.len(), audit.charges as usize), (asked.len(), asked.len()));
    assert!(audit.states.values().all(|state| state == "answered"));
    assert_eq!(audit.spent, half(asked.len()));
}

/// n times 0.5.
fn half(n: usize) -> String {
    if n.is_multiple_of(2) { (n / 2).to_string() } else { format!("{}.5", n / 2) }
}

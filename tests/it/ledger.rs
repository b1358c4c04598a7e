//! The ledger by itself, through its own interface: the same tests for each store.

use crate::postgres::{self, Postgres};
use sqlx::{AnyConnection, Connection};
use std::collections::BTreeSet;
use std::time::Duration;
use undertone::accounting::{Charge, Grant};
use undertone::error::Code;
use undertone::ledger::{
    Account, Answered, Claim, Ledger, Location, MAX_LOST, NewPolicy, Reserved, Scope, Setting, Terms,
};

pub fn account(principal: &str) -> Account {
    Account { dataset: "clinic".into(), principal: principal.into(), purpose: "research".into() }
}

pub fn claim(principal: &str, query_id: &str) -> Claim {
    Claim {
        query_id: query_id.into(),
        account: account(principal),
        request: vec![1],
        question: query_id.as_bytes().to_vec(),
        before: None,
        tiers: vec![],
        policy: None,
        charge: Charge::pure("0.1".parse().unwrap()),
        pool_charge: Charge::pure("0.1".parse().unwrap()),
        releases: 1,
        fresh: true,
        call: "execute",
    }
}

/// Runs a test in each store, where there is no ledger yet.
pub async fn in_each_store(test: impl AsyncFn(&Location)) {
    let dir = tempfile::tempdir().unwrap();
    println!("in SQLite");
    test(&Location::Sqlite(dir.path().join("ledger.sqlite"))).await;
    if postgres::available() {
        println!("in PostgreSQL");
        test(&Location::Postgres(postgres::shared().database())).await;
    }
}

pub async fn open(location: &Location) -> Ledger {
    let ledger = Ledger::open(location).await.unwrap();
    let grant = Grant::new("100".parse().unwrap(), "1e-6".parse().unwrap());
    let accounts = [Account::pool("clinic"), account("ana"), account("ben")];
    let settings = accounts.into_iter().map(|account| Setting { account, grant, terms: Terms::default() }).collect();
    ledger.apply(NewPolicy { settings, ..NewPolicy::default() }).await.unwrap();
    ledger.serve(Duration::ZERO).await.unwrap();
    ledger
}

/// A crash of the server may be somebody's doing: who lost a few reservations may ask them again, who lost many is frozen at the next
/// start, and nothing that was spent comes back.
#[tokio::test]
async fn who_loses_many_reservations_to_crashes_is_frozen() {
    in_each_store(lose_many).await;
}

async fn lose_many(location: &Location) {
    for life in 0..=MAX_LOST {
        let ledger = open(location).await;
        // One lost question of Ana's in each life, as a server that dies before it answers leaves it; Ben loses one in all.
        let reserved = ledger.reserve(claim("ana", &format!("q{life}"))).await;
        assert!(matches!(reserved, Ok(Reserved::Run { .. })), "{reserved:?}");
        if life == 0 {
            ledger.reserve(claim("ben", "b")).await.unwrap();
        }
    }
    // Servers that share a ledger may still be at work on what is younger than a question's deadline.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let ledger = open(location).await;
    for query_id in ["q0", "new"] {
        assert_eq!(ledger.reserve(claim("ana", query_id)).await.unwrap_err().code, Code::AccountFrozen);
    }
    assert!(matches!(ledger.reserve(claim("ben", "b")).await, Ok(Reserved::Run { .. })));
    assert!(!ledger.scope(&account("ben"), &[]).await.unwrap().unwrap().own.frozen);
    ledger.unfreeze("clinic", "ana", "a memory limit was too low").await.unwrap();
    assert_eq!(ledger.reserve(claim("ana", "q0")).await.unwrap_err().code, Code::ExecutionFailed);
    assert!(matches!(ledger.reserve(claim("ana", "new")).await, Ok(Reserved::Run { .. })));
    let Scope { own: ana, pool, .. } = ledger.scope(&account("ana"), &[]).await.unwrap().unwrap();
    assert_eq!(ana.spent.charges, MAX_LOST as u64 + 2);
    assert_eq!(pool.spent.charges, MAX_LOST as u64 + 3);
    ledger.verify().await.unwrap().chain.entries();
}

/// What a question that failed three times, or failed outright, leaves behind.
#[tokio::test]
async fn failures_freeze_unless_they_follow_from_released_values() {
    in_each_store(fail).await;
}

async fn fail(location: &Location) {
    let ledger = open(location).await;
    ledger.reserve(claim("ana", "large")).await.unwrap();
    ledger.fail("ana", "large", false).await.unwrap();
    ledger.reserve(claim("ana", "dead")).await.unwrap();
    ledger.fail("ana", "dead", true).await.unwrap();
    // A second report of the same failure is none.
    let entries = ledger.verify().await.unwrap().chain.entries();
    ledger.fail("ana", "dead", true).await.unwrap();
    assert_eq!(ledger.verify().await.unwrap().chain.entries(), entries);
    assert_eq!(ledger.reserve(claim("ana", "next")).await.unwrap_err().code, Code::AccountFrozen);
    assert_eq!(ledger.unfreeze("clinic", "ben", "?").await.unwrap_err().code, Code::NoGrant);
}

/// What the pool has paid before it does not pay again; and what was reserved at that price is not run at a larger one.
#[tokio::test]
async fn the_pool_pays_for_its_own_bounds_once() {
    in_each_store(buy_bounds).await;
}

async fn buy_bounds(location: &Location) {
    let ledger = open(location).await;
    let pure = |epsilon: &str| Charge::pure(epsilon.parse().unwrap());
    // The pool's own claim is paid by the pool alone.
    let own = Claim { account: Account::pool("clinic"), ..claim("", "calibration") };
    assert!(matches!(ledger.reserve(own).await, Ok(Reserved::Run { .. })));
    let spent = async || {
        let Scope { own: ana, pool, .. } = ledger.scope(&account("ana"), &[]).await.unwrap().unwrap();
        [ana, pool].map(|balance| balance.spent.total.epsilon.unwrap().to_string())
    };
    assert_eq!(spent().await, ["0", "0.1"]);
    let asked = |pool_charge| Claim { charge: pure("1"), pool_charge, ..claim("ana", "q") };
    assert!(matches!(ledger.reserve(asked(pure("0.9"))).await, Ok(Reserved::Run { .. })));
    assert_eq!(spent().await, ["1", "1"]);
    // Lost, and asked again: when its bounds are bought by now, all of its price would be drawn from the pool.
    assert!(matches!(ledger.reserve(asked(pure("0.9"))).await, Ok(Reserved::Run { .. })));
    for _ in 0..2 {
        assert_eq!(ledger.reserve(asked(pure("1"))).await.unwrap_err().code, Code::ExecutionFailed);
    }
    assert_eq!(spent().await, ["1", "1"]);
    // It is nobody's fault.
    assert!(!ledger.scope(&account("ana"), &[]).await.unwrap().unwrap().own.frozen);
    ledger.verify().await.unwrap().chain.entries();
}

/// A ledger of the first version is brought to the newest, with everything in it.
#[tokio::test]
async fn an_older_ledger_is_upgraded_and_a_newer_one_refused() {
    use sqlx::SqliteConnection;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let location = Location::Sqlite(path.clone());
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(include_str!("../../src/ledger/schema/1.sql")).execute(&mut db).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO accounts VALUES ('clinic', 'ana', 'research', 1, '100', '0', '0', '0', '7', '3', '0', 4);
         PRAGMA user_version = 1",
    )
    .execute(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();
    let ana = open(&location).await.scope(&account("ana"), &[]).await.unwrap().unwrap().own;
    assert_eq!((ana.spent.total.epsilon.unwrap().to_string(), ana.spent.charges, ana.frozen), ("7".into(), 4, false));

    if postgres::available() {
        let location = Location::Postgres(postgres::shared().database());
        drop(open(&location).await);
        let mut db = beside(&location).await;
        sqlx::raw_sql("UPDATE ledger_version SET version = 99").execute(&mut db).await.unwrap();
        let refused = Ledger::open(&location).await.err().unwrap();
        assert!(refused.code == Code::Configuration && refused.message.contains("version 99"), "{refused}");
    }

    let mut db = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let refused = Ledger::open(&location).await.err().unwrap();
    assert!(refused.code == Code::Configuration && refused.message.contains("version 99"), "{refused}");
}

/// A connection of one's own, beside the ledger's.
async fn beside(location: &Location) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let address = match location {
        Location::Sqlite(path) => format!("sqlite://{}", path.display()),
        Location::Postgres(address) => address.clone(),
    };
    AnyConnection::connect(&address).await.unwrap()
}

/// Two servers in front of one database: whatever they are asked at once, a grant is never oversold, and each refusal is one.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_never_oversell_a_grant() {
    if !postgres::available() {
        return;
    }
    let location = Location::Postgres(postgres::shared().database());
    let servers = [open(&location).await, open(&location).await];
    // Ana's grant is 100: a thousand questions of 0.1 by the pure ledger.
    let asked = (0..1_300).map(|n| {
        let server = servers[n % 2].clone();
        tokio::spawn(async move { server.reserve(claim("ana", &format!("q{n}"))).await.map(|_| n).map_err(|e| e.code) })
    });
    let mut paid = BTreeSet::new();
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Ok(n) => assert!(paid.insert(n)),
            Err(code) => assert_eq!(code, Code::BudgetExhausted),
        }
    }
    for server in &servers {
        let Scope { own: ana, pool, .. } = server.scope(&account("ana"), &[]).await.unwrap().unwrap();
        assert!(ana.spent.accepts(&ana.grant, Charge::NOTHING));
        assert_eq!([ana.spent.charges, pool.spent.charges], [paid.len() as u64; 2]);
    }
    assert!(paid.len() >= 1_000, "{}", paid.len());
    // The same query id at both is one charge, and one answer.
    let both = [&servers[0], &servers[1]].map(|server| server.reserve(claim("ben", "same")));
    for reserved in futures::future::join_all(both).await {
        assert!(matches!(reserved, Ok(Reserved::Run { .. })), "{reserved:?}");
    }
    assert_eq!(servers[0].scope(&account("ben"), &[]).await.unwrap().unwrap().own.spent.charges, 1);
    let answered = |bytes: &[u8]| Answered { bytes: bytes.to_vec(), ..Answered::default() };
    let first = servers[0].commit(&account("ben"), "same", answered(b"first")).await.unwrap();
    let second = servers[1].commit(&account("ben"), "same", answered(b"second")).await.unwrap();
    assert_eq!((first.bytes.as_slice(), second.bytes.as_slice()), (b"first".as_slice(), b"first".as_slice()));
    let entries = servers[0].verify().await.unwrap().chain.entries();
    assert_eq!(servers[1].verify().await.unwrap().chain.entries(), entries);
}

/// A database that ends in the middle of what it was told: nothing is answered while it is away, and when it is back the ledger goes on
/// with every charge that was confirmed, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_loses_no_confirmed_charge() {
    if !postgres::available() {
        return;
    }
    let postgres = Postgres::start();
    let ledger = open(&Location::Postgres(postgres.database())).await;
    let mut confirmed = 0;
    for round in 0..4 {
        let asking = (0..8).map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut paid = 0;
                for n in 0.. {
                    match ledger.reserve(claim("ana", &format!("r{round}c{caller}q{n}"))).await {
                        Ok(_) => paid += 1,
                        Err(e) => {
                            assert_eq!(e.code, Code::LedgerUnavailable);
                            // Asked again when the database is back, the one that failed is charged once, whether it was before or not.
                            return (paid, format!("r{round}c{caller}q{n}"));
                        }
                    }
                }
                unreachable!()
            })
        });
        let asking: Vec<_> = asking.collect();
        tokio::time::sleep(Duration::from_millis(120)).await;
        tokio::task::block_in_place(|| postgres.stop_at_once());
        let mut failed = Vec::new();
        for asked in asking {
            let (paid, last) = asked.await.unwrap();
            confirmed += paid;
            failed.push(last);
        }
        assert_eq!(ledger.reserve(claim("ana", "away")).await.unwrap_err().code, Code::LedgerUnavailable);
        tokio::task::block_in_place(|| postgres.restart());
        for id in failed {
            assert!(matches!(ledger.reserve(claim("ana", &id)).await, Ok(Reserved::Run { .. })));
            confirmed += 1;
        }
        let Scope { own: ana, pool, .. } = ledger.scope(&account("ana"), &[]).await.unwrap().unwrap();
        assert_eq!([ana.spent.charges, pool.spent.charges], [confirmed; 2], "round {round}");
    }
    assert!(confirmed > 50, "{confirmed}");
    ledger.verify().await.unwrap().chain.entries();
}

/// A database that would not keep what it confirms is no place for a ledger.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_syncs_is_refused() {
    if !postgres::available() {
        return;
    }
    let postgres = Postgres::start();
    let database = postgres.database();
    postgres.sql("postgres", "ALTER SYSTEM SET full_page_writes = off");
    tokio::task::block_in_place(|| postgres.restart());
    let location = Location::Postgres(database);
    let refused = Ledger::open(&location).await.err().unwrap();
    assert!(refused.code == Code::Configuration && refused.message.contains("full_page_writes"), "{refused}");
    assert!(!format!("{location:?} {location}").contains('?'), "an address's parameters may hold a password");
}

/// The ledger's time does not go back: with a clock that is far behind nothing is charged, until governance says that the earlier one was wrong.
#[tokio::test]
async fn a_clock_that_is_set_back_stops_the_ledger() {
    in_each_store(async |location| {
        let ledger = open(location).await;
        ledger.reserve(claim("ana", "before")).await.unwrap();
        let mut db = beside(location).await;
        // As if the last entry had been written in an hour.
        sqlx::query("UPDATE audit SET at = at + 3600 WHERE seq = (SELECT max(seq) FROM audit)")
            .execute(&mut db)
            .await
            .unwrap();
        let refused = ledger.reserve(claim("ana", "behind")).await.unwrap_err();
        assert_eq!(refused.code, Code::LedgerUnavailable);
        assert!(refused.message.contains("clock") && refused.message.contains("accept-clock"), "{refused}");
        ledger.accept_clock("the machine had been set to next year").await.unwrap();
        assert!(matches!(ledger.reserve(claim("ana", "behind")).await, Ok(Reserved::Run { .. })));
    })
    .await;
}

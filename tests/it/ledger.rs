//! The ledger by itself, through its own interface.

use undertone::accounting::{Charge, Grant};
use undertone::error::Code;
use undertone::ledger::{Account, Claim, Ledger, MAX_LOST, Reserved, Setting};

fn account(principal: &str) -> Account {
    Account { dataset: "clinic".into(), principal: principal.into(), purpose: "research".into() }
}

fn claim(principal: &str, query_id: &str) -> Claim {
    Claim {
        query_id: query_id.into(),
        account: account(principal),
        request: vec![1],
        question: query_id.as_bytes().to_vec(),
        before: None,
        charge: Charge::pure("0.1".parse().unwrap()),
        pool_charge: Charge::pure("0.1".parse().unwrap()),
        releases: 1,
        fresh: true,
    }
}

async fn open(path: &std::path::Path) -> Ledger {
    let ledger = Ledger::open(path).await.unwrap();
    let grant = Grant::new("100".parse().unwrap(), "1e-6".parse().unwrap());
    let accounts = [Account::pool("clinic"), account("ana"), account("ben")];
    ledger.apply(accounts.into_iter().map(|account| Setting { account, grant }).collect()).await.unwrap();
    ledger.begin().await.unwrap();
    ledger
}

/// A crash of the server may be somebody's doing: who lost a few reservations may ask them again, who lost many is frozen at the next
/// start, and nothing that was spent comes back.
#[tokio::test]
async fn who_loses_many_reservations_to_crashes_is_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    for life in 0..=MAX_LOST {
        let ledger = open(&path).await;
        // One lost question of Ana's in each life, as a server that dies before it answers leaves it; Ben loses one in all.
        let reserved = ledger.reserve(claim("ana", &format!("q{life}"))).await;
        assert!(matches!(reserved, Ok(Reserved::Run { .. })), "{reserved:?}");
        if life == 0 {
            ledger.reserve(claim("ben", "b")).await.unwrap();
        }
    }
    let ledger = open(&path).await;
    for query_id in ["q0", "new"] {
        assert_eq!(ledger.reserve(claim("ana", query_id)).await.unwrap_err().code, Code::AccountFrozen);
    }
    assert!(matches!(ledger.reserve(claim("ben", "b")).await, Ok(Reserved::Run { .. })));
    assert!(!ledger.balance(&account("ben")).await.unwrap().unwrap().0.frozen);
    ledger.unfreeze("clinic", "ana", "a memory limit was too low").await.unwrap();
    assert_eq!(ledger.reserve(claim("ana", "q0")).await.unwrap_err().code, Code::ExecutionFailed);
    assert!(matches!(ledger.reserve(claim("ana", "new")).await, Ok(Reserved::Run { .. })));
    let (ana, pool) = ledger.balance(&account("ana")).await.unwrap().unwrap();
    assert_eq!(ana.spent.charges, MAX_LOST as u64 + 2);
    assert_eq!(pool.spent.charges, MAX_LOST as u64 + 3);
    ledger.verify_audit().await.unwrap();
}

/// What a question that failed three times, or failed outright, leaves behind.
#[tokio::test]
async fn failures_freeze_unless_they_follow_from_released_values() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&dir.path().join("ledger.sqlite")).await;
    ledger.reserve(claim("ana", "large")).await.unwrap();
    ledger.fail("ana", "large", false).await.unwrap();
    ledger.reserve(claim("ana", "dead")).await.unwrap();
    ledger.fail("ana", "dead", true).await.unwrap();
    // A second report of the same failure is none.
    let entries = ledger.verify_audit().await.unwrap();
    ledger.fail("ana", "dead", true).await.unwrap();
    assert_eq!(ledger.verify_audit().await.unwrap(), entries);
    assert_eq!(ledger.reserve(claim("ana", "next")).await.unwrap_err().code, Code::AccountFrozen);
    assert_eq!(ledger.unfreeze("clinic", "ben", "?").await.unwrap_err().code, Code::NoGrant);
}

/// What the pool has paid before it does not pay again; and what was reserved at that price is not run at a larger one.
#[tokio::test]
async fn the_pool_pays_for_its_own_bounds_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&dir.path().join("ledger.sqlite")).await;
    let pure = |epsilon: &str| Charge::pure(epsilon.parse().unwrap());
    // The pool's own claim is paid by the pool alone.
    let own = Claim { account: Account::pool("clinic"), ..claim("", "calibration") };
    assert!(matches!(ledger.reserve(own).await, Ok(Reserved::Run { .. })));
    let spent = async || {
        let (ana, pool) = ledger.balance(&account("ana")).await.unwrap().unwrap();
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
    assert!(!ledger.balance(&account("ana")).await.unwrap().unwrap().0.frozen);
    ledger.verify_audit().await.unwrap();
}

/// A ledger of the first version is brought to the newest, with everything in it.
#[tokio::test]
async fn an_older_ledger_is_upgraded_and_a_newer_one_refused() {
    use sqlx::{Connection, SqliteConnection};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
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
    let (ana, _) = open(&path).await.balance(&account("ana")).await.unwrap().unwrap();
    assert_eq!((ana.spent.total.epsilon.unwrap().to_string(), ana.spent.charges, ana.frozen), ("7".into(), 4, false));

    let mut db = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let refused = Ledger::open(&path).await.err().unwrap();
    assert!(refused.code == Code::Configuration && refused.message.contains("version 99"), "{refused}");
}

//! Charges per second, and how many of them share one sync of the disk, in each store.
//!
//! A charge counts once it is on disk, so one caller gets no more of them than the disk syncs. Many callers get more, as what waits for the
//! disk is committed together. The disk's own rate is measured in the same run: 4 kB written over what is there, and a sync.
//!
//! `cargo bench --bench ledger` (with `--profile dev` it shares the build of the tests). UNDERTONE_BENCH_SECONDS is the length of each
//! measurement, and TMPDIR chooses the disk.

#[allow(dead_code)]
#[path = "../tests/it/postgres.rs"]
mod postgres;

use postgres::Postgres;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use undertone::accounting::{Charge, Grant};
use undertone::ledger::{Account, Claim, Ledger, Location, NewPolicy, Setting, Terms};

const CALLERS: [usize; 4] = [1, 8, 64, 256];
/// So that all of it ends within a minute and a half.
const LONGEST: f64 = 8.0;
const BLOCK: usize = 4096;
/// What is synced is written into a file that has its size already, as both stores' logs have most of the time.
const BLOCKS: usize = 256;

/// What a number of callers came to.
struct Measured {
    charges: u64,
    commits: u64,
    seconds: f64,
}

fn main() {
    let seconds: f64 =
        std::env::var("UNDERTONE_BENCH_SECONDS").map_or(3.0, |n| n.parse().expect("a number of seconds"));
    let length = Duration::from_secs_f64(seconds.clamp(0.1, LONGEST));
    let (runtime, scratch) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let before = syncs_per_second(scratch.path());
    let mut rows = Vec::new();
    for callers in CALLERS {
        let path = scratch.path().join(format!("{callers}.sqlite"));
        rows.push(("SQLite", callers, in_sqlite(&runtime, &path, callers, length)));
    }
    if postgres::installed() {
        let server = Postgres::start();
        for callers in CALLERS {
            rows.push(("PostgreSQL", callers, in_postgres(&runtime, &server, callers, length)));
        }
    } else {
        println!("without PostgreSQL: the Debian package `postgresql` is not installed");
    }
    let after = syncs_per_second(scratch.path());
    let syncs = (before + after) / 2.0;

    println!("the disk syncs {before:.0} times a second before, and {after:.0} after");
    println!("where charges/syncs, of a second each, is above 1, charges share syncs");
    println!(
        "{:>10} {:>7} {:>10} {:>10} {:>14} {:>13}",
        "store", "callers", "charges/s", "commits/s", "charges/commit", "charges/syncs"
    );
    for (store, callers, Measured { charges, commits, seconds }) in rows {
        let (charges, commits) = (charges as f64 / seconds, commits as f64 / seconds);
        let (shared, of_disk) = (charges / commits.max(f64::MIN_POSITIVE), charges / syncs);
        println!("{store:>10} {callers:>7} {charges:>10.0} {commits:>10.0} {shared:>14.1} {of_disk:>13.2}");
    }
}

/// The rate at which the disk takes 4 kB after 4 kB.
fn syncs_per_second(dir: &Path) -> f64 {
    let file = File::create(dir.join("syncs")).unwrap();
    file.write_all_at(&[0; BLOCK * BLOCKS], 0).unwrap();
    file.sync_all().unwrap();
    let (begun, mut syncs) = (Instant::now(), 0usize);
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[syncs as u8; BLOCK], (syncs % BLOCKS * BLOCK) as u64).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    syncs as f64 / begun.elapsed().as_secs_f64()
}

fn account() -> Account {
    Account { dataset: "bench".into(), principal: "ana".into(), purpose: "bench".into() }
}

fn claim(query_id: String) -> Claim {
    let charge = Charge::pure("0.1".parse().unwrap());
    Claim {
        question: query_id.as_bytes().to_vec(),
        query_id,
        account: account(),
        request: vec![0; 32],
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

async fn open(location: &Location) -> Ledger {
    let ledger = Ledger::open(location).await.unwrap();
    let grant = Grant::new("1e12".parse().unwrap(), "1e-6".parse().unwrap());
    let setting = |account| Setting { account, grant, terms: Terms::default() };
    let settings = vec![setting(Account::pool("bench")), setting(account())];
    ledger.apply(NewPolicy { settings, ..NewPolicy::default() }).await.unwrap();
    ledger
}

/// As many callers, each of which charges one question after the other: the number of charges, and how long they took.
async fn charge(ledger: &Ledger, callers: usize, length: Duration) -> (u64, f64) {
    let begun = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut charged = 0u64;
                while begun.elapsed() < length {
                    ledger.reserve(claim(format!("{caller}-{charged}"))).await.unwrap();
                    charged += 1;
                }
                charged
            })
        })
        .collect();
    let mut charges = 0;
    for caller in callers {
        charges += caller.await.unwrap();
    }
    (charges, begun.elapsed().as_secs_f64())
}

fn in_sqlite(runtime: &Runtime, path: &Path, callers: usize, length: Duration) -> Measured {
    runtime.block_on(async {
        let ledger = open(&Location::Sqlite(path.to_owned())).await;
        let before = commits_in_sqlite(path);
        let (charges, seconds) = charge(&ledger, callers, length).await;
        let commits = commits_in_sqlite(path).wrapping_sub(before).into();
        Measured { charges, commits, seconds }
    })
}

/// SQLite counts them in the index of its log, at this place: iChange of <https://www.sqlite.org/walformat.html>.
fn commits_in_sqlite(path: &Path) -> u32 {
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    let index = std::fs::read(index).unwrap();
    u32::from_ne_bytes(index[8..12].try_into().unwrap())
}

/// A few of its commits are the opening of the ledger, and what counts them.
fn in_postgres(runtime: &Runtime, server: &Postgres, callers: usize, length: Duration) -> Measured {
    let database = server.database();
    let before = commits_in_postgres(server, &database);
    let (charges, seconds) = runtime.block_on(async {
        let ledger = open(&Location::Postgres(database.clone())).await;
        charge(&ledger, callers, length).await
    });
    let commits = commits_in_postgres(server, &database).saturating_sub(before);
    Measured { charges, commits, seconds }
}

/// Sessions may keep their counts to themselves until they end, which those of a ledger do after it is dropped.
fn commits_in_postgres(server: &Postgres, database: &str) -> u64 {
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let begun = Instant::now();
    while server.sql(database, others) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(5), "the ledger's sessions do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    server.sql(database, commits).parse().unwrap()
}

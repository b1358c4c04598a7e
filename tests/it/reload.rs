//! What changes while a server runs: files, policy, callers, and versions of the data by schedule.

use crate::world::{ANA, BEN, Caller, Recipe, World, batch, code, request, rows, write_visits};
use std::time::{Duration, SystemTime};
use undertone::proto;

const COUNT: &str = "SELECT count(*) AS n FROM hospitals h JOIN visits v ON v.hospital = h.hospital";

fn edit(world: &World, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.path(file)).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(world.path(file), text.replacen(from, to, 1)).unwrap();
}

/// Asks with a query id of its own, and says whether an earlier answer was given.
async fn ask(caller: &Caller, query_id: &str) -> (proto::Answer, bool) {
    let answer =
        caller.execute(proto::ExecuteRequest { query_id: query_id.into(), ..request(COUNT, "1") }).await.unwrap();
    (answer.clone(), answer.replayed)
}

/// A file that changed under the server is noticed before anything is charged, and a reload opens it; what was spent stays spent.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_opens_a_new_version() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let (first, _) = ask(&ana, "first").await;
    assert!(ask(&ana, "second").await.1);
    let before = ana.balance().await;
    std::fs::write(world.path("hospitals.csv"), "hospital,city,beds\nA,Ulm,1\n").unwrap();
    assert_eq!(code(&ana.ask(COUNT, "1").await.unwrap_err()), "DATA_CHANGED");
    assert_eq!(ana.balance().await, before);

    // A file that cannot be read opens nothing, and what was answered can be read all the while.
    std::fs::write(world.path("hospitals.csv"), "hospital,city,beds\nA,Ulm\n").unwrap();
    assert!(running.reload().await.unwrap_err().message.contains("more or fewer fields"));
    assert_eq!(code(&ana.ask(COUNT, "1").await.unwrap_err()), "DATA_CHANGED");
    assert_eq!(ana.get_answer("first").await.unwrap().table, first.table);

    std::fs::write(world.path("hospitals.csv"), "hospital,city,beds\nA,Ulm,1\n").unwrap();
    running.reload().await.unwrap();
    let (answer, replayed) = ask(&ana, "third").await;
    assert!(!replayed && answer.table != first.table);
    let (account, pool) = ana.balance().await;
    assert_eq!((account.charges, pool.charges), (2, 2));
    // A reload that changes nothing is no new version.
    running.reload().await.unwrap();
    assert!(ask(&ana, "fourth").await.1);
    running.stop().await.unwrap();
}

/// Grants, callers and rules are those of the last good configuration; what was spent stays spent.
#[tokio::test(flavor = "multi_thread")]
async fn policy_changes_while_the_server_runs() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    ben.ask("SELECT count(*) FROM visits", "0.5").await.unwrap();
    assert_eq!(code(&ben.ask("SELECT count(*) FROM visits", "0.1").await.unwrap_err()), "BUDGET_EXHAUSTED");

    edit(&world, "policy.toml", "epsilon = \"0.5\"", "epsilon = \"0.7\"");
    let (done, said) = world.run(&["policy", "apply", "--config", "undertone.toml", "--reason", "a larger grant"]);
    assert!(done, "{said}");
    assert_eq!(ben.balance().await.0.spent_epsilon, "0.5");
    ben.ask("SELECT count(*) FROM visits", "0.1").await.unwrap();

    // Wrong configurations put nothing in place.
    for (from, to) in [("file = \"clinic.toml\"", "file = \"nothing.toml\""), ("name = \"ben\"", "name = \"ana\"")] {
        let good = std::fs::read_to_string(world.path("undertone.toml")).unwrap();
        edit(&world, "undertone.toml", from, to);
        assert!(running.reload().await.is_err(), "{to}");
        std::fs::write(world.path("undertone.toml"), good).unwrap();
        ben.ask("SELECT count(*) FROM visits", "0.001").await.unwrap();
    }

    // Rules of the dataset, and another token for Ben: the old one opens no door.
    edit(&world, "clinic.toml", "max_epsilon = \"1e9\"", "max_epsilon = \"1\"");
    edit(&world, "undertone.toml", &undertone::api::digest(BEN), &undertone::api::digest("another"));
    running.reload().await.unwrap();
    assert_eq!(code(&ana.ask("SELECT count(*) FROM visits", "2").await.unwrap_err()), "EPSILON_ABOVE_MAXIMUM");
    assert_eq!(code(&ben.ask("SELECT count(*) FROM visits", "0.01").await.unwrap_err()), "UNAUTHENTICATED");
    let ben = Caller::to(&running, "another").await;
    assert_eq!(ben.balance().await.0.spent_epsilon, "0.601");
    running.stop().await.unwrap();
}

/// At its moments a schedule opens a new version, whether files changed or not, and none in between; what cannot be verified is not seen.
#[tokio::test(flavor = "multi_thread")]
async fn versions_open_by_schedule() {
    let world = World::new(&Recipe { patients: 20, groups: 100, rows: 1000, ..Recipe::default() });
    edit(&world, "clinic.toml", "max_rows_per_unit", "new_version_every_minutes = 60\nmax_rows_per_unit");
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let moment = |hours: u64| Duration::from_secs((now.as_secs() / 3600 + hours) * 3600);
    let count = async |epsilon| {
        let answer = ana.ask("SELECT count(*) FROM visits", epsilon).await.unwrap();
        rows(&batch(&answer.table)).concat().concat().parse::<f64>().unwrap()
    };
    let before = count("1e8").await;
    ask(&ana, "a").await;
    write_visits(
        &world.path("visits/more.parquet"),
        &(1..=9).map(|i| (-i, i, "A", "flu", 50, 10.0, 18_500)).collect::<Vec<_>>(),
    );
    running.open_due_versions(now).await;
    assert!(ask(&ana, "b").await.1, "nothing is due yet");
    assert!((count("1.1e8").await - before).abs() < 0.5, "a new file does not join before its time");

    running.open_due_versions(moment(1)).await;
    assert!(!ask(&ana, "c").await.1);
    let more = count("1.2e8").await;
    assert!(more > before + 5.0, "{before} {more}");
    running.open_due_versions(moment(2)).await;
    assert!(!ask(&ana, "d").await.1, "a moment is a new version even where nothing changed");

    // Neither a broken file nor a declaration that nobody put in force is seen, and the last version serves on.
    std::fs::write(world.path("visits/broken.parquet"), "broken").unwrap();
    running.open_due_versions(moment(3)).await;
    assert!(!ask(&ana, "e").await.1);
    assert!((count("1.3e8").await - more).abs() < 0.5);
    // It is tried again, and opens as soon as it can be.
    std::fs::remove_file(world.path("visits/broken.parquet")).unwrap();
    write_visits(&world.path("visits/later.parquet"), &[(-100, 1, "A", "flu", 50, 10.0, 18_500)]);
    running.open_due_versions(moment(3)).await;
    let more = count("1.35e8").await;
    assert!(!ask(&ana, "f").await.1);
    std::fs::remove_file(world.path("visits/later.parquet")).unwrap();
    running.open_due_versions(moment(4)).await;
    edit(&world, "clinic.toml", "max_epsilon = \"1e9\"", "max_epsilon = \"1\"");
    running.open_due_versions(moment(5)).await;
    assert!((count("1.4e8").await - more).abs() < 1.5);
    running.stop().await.unwrap();
}

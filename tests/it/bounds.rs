//! Bounds that nobody declared: found out for a part of the price, kept, and free from then on.

use crate::world::{ANA, BEN, Caller, Recipe, World, batch, code, request, rows};
use undertone::proto;

fn world(mechanism: &'static str, grants: [&'static str; 2]) -> World {
    let recipe = Recipe {
        groups: 0,
        rows: 1000,
        target: false,
        private_bounds: true,
        delta: "1e-7",
        mechanism,
        grants,
        ..Recipe::default()
    };
    World::new(&recipe)
}

fn chosen(answer: &proto::Answer) -> Vec<proto::ChosenBound> {
    answer.receipt.as_ref().unwrap().releases[0].chosen.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_found_bounds_are_exact_where_there_is_no_noise() {
    let world = world("laplace", ["1e12", "1e12"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    // Each unit is in few groups, and all totals are far within the powers of two that are tried.
    for (sql, plain) in [
        (
            "SELECT hospital, count(*) AS n, sum(visit_id) AS s FROM visits GROUP BY hospital ORDER BY hospital",
            "SELECT hospital, count(*) AS n, sum(visit_id, contribution_bounds_per_group => (0, 1000000)) AS s FROM visits GROUP BY hospital ORDER BY hospital",
        ),
        (
            "SELECT sum(0 - visit_id) AS s FROM visits",
            "SELECT sum(0 - visit_id, contribution_bounds_per_group => (-1000000, 0)) AS s FROM visits",
        ),
    ] {
        let mut wide = request(plain, "1e9");
        wide.question.as_mut().unwrap().max_groups_contributed = 100;
        let (got, wanted) = (ana.ask(sql, "1e9").await, ana.execute(wide).await);
        let read = |answer: &proto::Answer| rows(&batch(&answer.table));
        assert_eq!(read(&got.unwrap_or_else(|e| panic!("{sql}: {}", e.message()))), read(&wanted.unwrap()), "{sql}");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_paid_once_and_shown() {
    for (mechanism, epsilon) in [("automatic", ""), ("laplace", "1")] {
        let world = world(mechanism, ["100", "100"]);
        let running = world.serve().await;
        let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
        let by_hospital = "SELECT hospital, sum(visit_id) AS s FROM visits GROUP BY hospital";
        let quote = ana.quote(by_hospital, "1").await.unwrap();
        let notes = &quote.releases[0];
        assert_eq!(notes.chosen.len(), 2, "{mechanism}");
        assert!(notes.chosen.iter().all(|bound| !bound.known && bound.price.is_some()));
        assert!(quote.columns[0].half_width == 0.0 && quote.columns[0].bounds == "limits that are found out first");
        let first = ana.ask(by_hospital, "1").await.unwrap();
        let price = first.receipt.as_ref().unwrap().price.clone().unwrap();
        assert_eq!((&price, price.epsilon.as_str()), (quote.price.as_ref().unwrap(), epsilon));
        let found = chosen(&first);
        let groups = found.iter().find(|bound| bound.what == "groups of one patient").unwrap();
        assert!(groups.known && groups.price.is_some() && (1.0..=4.0).contains(&groups.upper), "{groups:?}");
        let totals = found.iter().find(|bound| bound.what == "sum of visit_id of one patient in a group").unwrap();
        assert!(totals.known && totals.lower <= 0.0 && totals.upper >= 1.0, "{totals:?}");
        assert!(found.iter().all(|bound| (0.0..=1.0).contains(&bound.cut_off)));
        assert!(first.receipt.as_ref().unwrap().columns[0].half_width > 0.0);

        // The same question is the same, whether its bounds were known or not; and others over the same groups need to find out less.
        assert!(ana.ask(by_hospital, "1").await.unwrap().replayed);
        let again = ana.execute(proto::ExecuteRequest { fresh: true, ..request(by_hospital, "1") }).await.unwrap();
        let kept = chosen(&again);
        assert!(!again.replayed && kept.iter().all(|bound| bound.known && bound.price.is_none()));
        assert_eq!(again.receipt.unwrap().price.unwrap(), price);
        let other = ana.quote("SELECT hospital, count(*) AS n FROM visits GROUP BY hospital", "1").await.unwrap();
        assert!(other.releases[0].chosen[0].known && other.columns[0].half_width > 0.0);
        // What Ana found is not Ben's.
        let bens = ben.quote(by_hospital, "1").await.unwrap();
        assert!(bens.releases[0].chosen.iter().all(|bound| !bound.known));
        running.stop().await.unwrap();

        // Nor is it forgotten by a restart.
        let running = world.serve().await;
        let ana = Caller::to(&running, ANA).await;
        let kept = ana.quote(by_hospital, "1").await.unwrap();
        assert!(kept.releases[0].chosen.iter().all(|bound| bound.known));
        running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_and_named_bounds_need_no_finding() {
    let world = world("automatic", ["100", "100"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let found = async |sql: &str| {
        ana.quote(sql, "1").await.unwrap_or_else(|e| panic!("{sql}: {}", e.message())).releases[0].chosen.len()
    };
    assert_eq!(found("SELECT count(*) AS n FROM visits").await, 0);
    assert_eq!(found("SELECT avg(age) AS a FROM visits").await, 0);
    assert_eq!(found("SELECT avg(visit_id) AS a FROM visits").await, 1);
    assert_eq!(found("SELECT hospital, avg(visit_id) AS a, sum(visit_id) AS s FROM visits GROUP BY hospital").await, 3);
    let clause = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 2) hospital, sum(visit_id, contribution_bounds_per_group => (0, 9)) AS s FROM visits GROUP BY hospital";
    assert_eq!(found(clause).await, 0);
    // Private keys too.
    assert_eq!(found("SELECT age, count(*) AS n FROM visits GROUP BY age").await, 1);
    assert!(ana.ask("SELECT age, count(*) AS n FROM visits GROUP BY age", "1").await.is_ok());
    for (sql, wanted, words) in [
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (error = 100) hospital, count(*) AS n FROM visits GROUP BY hospital",
            "INVALID_REQUEST",
            "still to be found",
        ),
        (
            "SELECT sum(visit_id) AS a, sum(visit_id + 1) AS b, sum(visit_id + 2) AS c, sum(visit_id + 3) AS d, sum(visit_id + 4) AS e FROM visits",
            "INVALID_REQUEST",
            "at most 4",
        ),
        ("SELECT stddev(visit_id) AS a FROM visits", "MISSING_BOUNDS", "needs public bounds"),
    ] {
        let refused = ana.quote(sql, "").await.unwrap_err();
        assert!(code(&refused) == wanted && refused.message().contains(words), "{sql}: {}", refused.message());
    }
    running.stop().await.unwrap();
}

/// With one row per unit and group COUNT(*) is the count of units: numbers move up, and bounds stay those of their sums.
#[tokio::test(flavor = "multi_thread")]
async fn bounds_are_those_of_their_sums_where_counts_are_shared() {
    let world =
        World::new(&Recipe { groups: 0, rows: 1, private_bounds: true, mechanism: "automatic", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let sql = "SELECT hospital, count(*) AS n, count(DISTINCT patient_id) AS u, sum(visit_id) AS s FROM visits GROUP BY hospital";
    let what = |bounds: &[proto::ChosenBound]| bounds.iter().map(|bound| bound.what.clone()).collect::<Vec<_>>();
    let wanted = ["groups of one patient", "sum of visit_id of one patient in a group"];
    let quote = ana.quote(sql, "1e6").await.unwrap();
    assert_eq!(
        (quote.releases[0].numbers.len(), what(&quote.releases[0].chosen)),
        (2, wanted.map(String::from).to_vec())
    );
    let answer = ana.ask(sql, "1e6").await.unwrap();
    let found = chosen(&answer);
    assert_eq!(what(&found), wanted);
    assert!(found[1].upper >= 1024.0 && found[1].cut_off < 0.5, "{found:?}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_a_group_are_found_out_too() {
    let recipe = Recipe { rows: 0, private_bounds: true, delta: "1e-7", grant_delta: "1e-3", ..Recipe::default() };
    let world = World::new(&recipe);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for (sql, wanted) in [
        (
            "SELECT hospital, count(*) AS n, sum(age) AS s, avg(cost) AS c FROM visits GROUP BY hospital ORDER BY hospital",
            1,
        ),
        ("SELECT count(*) AS n, median(age) AS m FROM visits", 1),
        ("SELECT age, count(*) AS n FROM visits GROUP BY age ORDER BY age", 1),
        // Rows play no part in these.
        ("SELECT count(DISTINCT patient_id) AS n FROM visits", 0),
        ("SELECT min(age) AS least FROM visits", 0),
        ("SELECT sum(cost, contribution_bounds_per_group => (0, 100)) AS s FROM visits", 0),
        ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 5) count(*) AS n FROM visits", 0),
    ] {
        let told = |e: tonic::Status| format!("{sql}: {}", e.message());
        let quote = ana.quote(sql, "1e8").await.map_err(told).unwrap();
        let notes = &quote.releases[0];
        assert_eq!((notes.chosen.len(), notes.max_rows_contributed == 0), (wanted, wanted == 1), "{sql}");
        let answer = ana.ask(sql, "1e8").await.map_err(told).unwrap();
        for bound in chosen(&answer) {
            assert_eq!(bound.what, "rows of one patient in a group");
            // No patient has more than six visits, and with next to no noise all of them count, but for a twentieth where keys are private.
            assert!((1.0..=8.0).contains(&bound.upper) && bound.cut_off < 0.05, "{sql}: {bound:?}");
        }
    }
    // Who names a limit finds none.
    let mut limited = request("SELECT count(*) AS n FROM visits", "1").question.unwrap();
    limited.max_rows_contributed = 3;
    let quote = ana.quote_of(limited).await.unwrap();
    assert!(quote.releases[0].chosen.is_empty() && quote.releases[0].max_rows_contributed == 3);
    running.stop().await.unwrap();
}

/// What the program says, and whether it succeeded.
fn calibrate(world: &World, sql: &str, epsilon: &str) -> (bool, String) {
    let config = world.path("undertone.toml");
    let args = ["calibrate", "--config", config.to_str().unwrap(), "--dataset", "clinic", "--epsilon", epsilon, sql];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_undertone")).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn governance_finds_bounds_for_all_and_each_account_pays_once() {
    let world = world("laplace", ["100", "100"]);
    let by_hospital = "SELECT hospital, sum(visit_id) AS s FROM visits GROUP BY hospital";
    let (done, said) = calibrate(&world, by_hospital, "0.25");
    assert!(!done && said.contains("start the server once"), "{said}");
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let (done, said) = calibrate(&world, by_hospital, "0.25");
    assert!(done, "{said}");
    let bounds: Vec<&str> = said.lines().collect();
    assert!(bounds.len() == 3 && bounds[0] == "by hospital: groups of one patient: found", "{said}");
    assert!(bounds[1] == "by hospital: sum of visit_id of one patient in a group: found", "{said}");
    assert!(bounds[2].starts_with("cost the dataset's pool epsilon 0.25, rho 0."), "{said}");
    let spent = async |caller: &Caller| {
        let (account, pool) = caller.balance().await;
        (account.spent_epsilon, pool.spent_epsilon)
    };
    let pair = |account: &str, pool: &str| (account.to_owned(), pool.to_owned());
    assert_eq!(spent(&ana).await, pair("0", "0.25"));
    // Nothing is found twice.
    let (done, said) =
        calibrate(&world, "SELECT hospital, sum(visit_id) AS t, count(*) AS n FROM visits GROUP BY 1", "0.5");
    assert!(done && said.ends_with("this time it cost nothing\n"), "{said}");
    // The account pays its price, and the pool what it has not paid yet.
    let quote = ana.quote(by_hospital, "1").await.unwrap();
    assert!(quote.affordable && quote.price.as_ref().unwrap().epsilon == "1");
    // Which it does not see before: not even what its noise would be.
    assert!(quote.columns[0].half_width == 0.0 && quote.releases[0].numbers.iter().all(|n| n.noise_scale == 0.0));
    let costs = |chosen: &[proto::ChosenBound]| {
        let cost = |bound: &proto::ChosenBound| bound.price.as_ref().map(|price| price.epsilon.clone());
        chosen.iter().map(|bound| (bound.known, cost(bound))).collect::<Vec<_>>()
    };
    assert_eq!(costs(&quote.releases[0].chosen), vec![(false, Some("0.125".into())); 2]);
    assert!(
        quote.releases[0]
            .chosen
            .iter()
            .all(|b| b.found_by_governance && (b.lower, b.upper, b.cut_off) == (0.0, 0.0, 0.0))
    );
    let first = ana.ask(by_hospital, "1").await.unwrap();
    assert_eq!(costs(&chosen(&first)), vec![(true, Some("0.125".into())); 2]);
    assert!(chosen(&first).iter().all(|bound| bound.found_by_governance && bound.upper > 0.0));
    assert_eq!(spent(&ana).await, pair("1", "1"));
    // From then on they are free, and all of the price is for the answer.
    let fresh = |epsilon| proto::ExecuteRequest { fresh: true, ..request(by_hospital, epsilon) };
    let second = ana.execute(fresh("1")).await.unwrap();
    assert_eq!(costs(&chosen(&second)), vec![(true, None); 2]);
    assert_eq!(spent(&ana).await, pair("2", "2"));
    // Each account learns them once; who asks for little finds bounds of his own.
    let little = ben.ask(by_hospital, "0.4").await.unwrap();
    assert!(chosen(&little).iter().all(|bound| bound.price.is_some()));
    assert!(chosen(&little).iter().all(|bound| !bound.found_by_governance));
    assert_eq!(spent(&ben).await, pair("0.4", "2.4"));
    // Another draw is of the first one's numbers, with the bounds that were paid for then.
    let refinement = proto::Refinement { of: first.query_id.clone(), epsilon: "1".into(), ..Default::default() };
    let refined = ana.refine(refinement).await.unwrap();
    assert_eq!(costs(&chosen(&refined)), vec![(true, None); 2]);
    assert_eq!(spent(&ana).await, pair("3", "3.4"));
    for (sql, says) in [
        ("SELECT count(*) AS n FROM visits", "there is nothing to find out"),
        (
            "SELECT hospital, count(*) AS n FROM visits WHERE age > (SELECT avg(age) FROM visits) GROUP BY hospital",
            "cannot be found ahead of it",
        ),
    ] {
        let (done, said) = calibrate(&world, sql, "0.5");
        assert!(!done && said.contains(says), "{said}");
    }
    running.stop().await.unwrap();
}

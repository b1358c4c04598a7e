//! Answers that are made more accurate by further draws.

use crate::world::{ANA, BEN, Caller, Recipe, World, batch, code, request, rows, same};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use undertone::proto;

/// Tight limits, so that which groups and rows of a unit are taken matters.
fn tight() -> Recipe {
    Recipe { groups: 1, rows: 1, delta: "1e-7", ..Recipe::default() }
}

fn refinement(of: &proto::Answer, epsilon: &str) -> proto::Refinement {
    proto::Refinement { of: of.query_id.clone(), epsilon: epsilon.into(), ..Default::default() }
}

fn to_error(of: &proto::Answer, accuracy: proto::Accuracy) -> proto::Refinement {
    proto::Refinement { of: of.query_id.clone(), accuracy: Some(accuracy), ..Default::default() }
}

fn receipt(answer: &proto::Answer) -> &proto::Receipt {
    answer.receipt.as_ref().unwrap()
}

fn half_width(answer: &proto::Answer) -> f64 {
    receipt(answer).columns[0].half_width
}

fn number(answer: &proto::Answer) -> i64 {
    batch(&answer.table).column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_draw_is_of_the_same_numbers() {
    let world = World::new(&Recipe { grant_delta: "1e-3", ..tight() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for sql in [
        "SELECT hospital, count(*) AS n, sum(age) AS a, avg(cost) AS c FROM visits GROUP BY hospital ORDER BY hospital",
        "SELECT stddev(age) AS a, sum(cost) AS c FROM visits",
        // Private keys: the groups that were shown are shown again, and no others.
        "SELECT age, count(*) AS n, sum(cost) AS c FROM visits GROUP BY age ORDER BY age",
        "SELECT diagnosis, hospital, count(DISTINCT patient_id) AS u FROM visits GROUP BY diagnosis, hospital ORDER BY diagnosis, hospital",
        // Numbers that are told apart by their own epsilons alone.
        "SELECT avg(age, epsilon => 3e7) AS a, count(age, epsilon => 4e7) AS n FROM visits",
        // Later releases read what the first draw made of earlier ones.
        "SELECT count(*) AS n FROM visits WHERE age > (SELECT avg(age) FROM visits)",
        "SELECT v.hospital, count(*) AS n FROM visits v JOIN (SELECT hospital AS h, count(*) AS c FROM visits GROUP BY hospital) t ON v.hospital = t.h WHERE t.c > 30 GROUP BY v.hospital ORDER BY v.hospital",
        "SELECT hospital, region, count(*) AS n FROM visits JOIN patients USING (patient_id) GROUP BY GROUPING SETS ((hospital), (region), ()) ORDER BY hospital, region",
        "WITH t AS (SELECT hospital, count(*) AS n FROM visits GROUP BY hospital) SELECT h.city, sum(t.n) AS n FROM t JOIN hospitals h USING (hospital) GROUP BY h.city ORDER BY h.city",
    ] {
        let told = |e: tonic::Status| panic!("{sql}: {}", e.message());
        let first = ana.ask(sql, "1e8").await.unwrap_or_else(told);
        let refined = ana.refine(refinement(&first, "1e8")).await.unwrap_or_else(told);
        let both = (rows(&batch(&refined.table)), rows(&batch(&first.table)));
        assert!(same(&both.0, &both.1, 1e-3), "{sql} {both:?}");
        assert!(!rows(&batch(&first.table)).is_empty(), "{sql}");
        let (before, after) = (receipt(&first), receipt(&refined));
        assert_eq!((&after.refines, after.question_digest != before.question_digest), (&first.query_id, true));
        assert_eq!(after.price.as_ref().unwrap().delta, "0", "{sql}");
        let numbers = |receipt: &proto::Receipt| {
            receipt.releases.iter().flat_map(|r| &r.numbers).map(|n| n.draws).collect::<Vec<_>>()
        };
        assert!(numbers(before).iter().all(|draws| *draws == 1) && numbers(after).iter().all(|draws| *draws == 2));
        // And once more.
        let third = ana.refine(refinement(&refined, "1e8")).await.unwrap_or_else(told);
        assert!(same(&rows(&batch(&third.table)), &rows(&batch(&first.table)), 1e-3), "{sql}");
        assert!(numbers(receipt(&third)).iter().all(|draws| *draws == 3));
    }
    // Asked anew, other groups of each unit are taken.
    let sql = "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital ORDER BY hospital";
    let fresh = proto::ExecuteRequest { fresh: true, ..request(sql, "1e8") };
    let (first, anew) = (ana.ask(sql, "1e8").await.unwrap(), ana.execute(fresh).await.unwrap());
    assert!(!same(&rows(&batch(&first.table)), &rows(&batch(&anew.table)), 1e-3));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_draw_costs_its_own_price_once() {
    let world = World::new(&Recipe { max_epsilon: "1", ..Recipe::default() });
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    let first = ana.ask("SELECT count(*) AS n FROM visits", "0.5").await.unwrap();
    let quote = ana.quote_refinement(refinement(&first, "0.25")).await.unwrap();
    assert_eq!(quote.price.as_ref().unwrap().epsilon, "0.25");
    let refined = ana.refine(refinement(&first, "0.25")).await.unwrap();
    assert_eq!((&receipt(&refined).price, half_width(&refined)), (&quote.price, quote.columns[0].half_width));
    assert!(half_width(&refined) < half_width(&first));
    // The interval of the answer is that of the receipt.
    let ends = batch(&refined.intervals);
    let end = |at: usize| ends.column(at).as_primitive::<Int64Type>().value(0);
    assert_eq!((end(1) - end(0)) as f64, 2.0 * half_width(&refined));
    assert_eq!(ana.balance().await.0.spent_epsilon, "0.75");
    // The same again is free, and stays what it was.
    let again = ana.refine(refinement(&first, "0.25")).await.unwrap();
    assert!(again.replayed && again.table == refined.table);
    assert_eq!(ana.balance().await.0.spent_epsilon, "0.75");
    // So is the first answer.
    assert_eq!(ana.ask("SELECT count(*) AS n FROM visits", "0.5").await.unwrap().table, first.table);
    // A question that is found paid is refined as its first answer is.
    let copy = proto::ExecuteRequest { query_id: "copy".into(), ..request("SELECT count(1) AS n FROM visits", "0.5") };
    assert_eq!(ana.execute(copy).await.unwrap().table, first.table);
    let of_copy = ana.refine(proto::Refinement { of: "copy".into(), epsilon: "0.125".into(), ..Default::default() });
    assert!(half_width(&of_copy.await.unwrap()) < half_width(&first));
    assert_eq!(ana.balance().await.0.spent_epsilon, "0.875");
    // Nobody else's answers can be refined; what is too dear or cannot be paid is not charged.
    for (caller, wanted, expected) in [
        (&ben, refinement(&first, "0.1"), "UNKNOWN_QUERY_ID"),
        (&ana, proto::Refinement { of: "nothing".into(), ..Default::default() }, "UNKNOWN_QUERY_ID"),
        (&ana, proto::Refinement::default(), "INVALID_REQUEST"),
        (&ana, refinement(&first, "2"), "EPSILON_ABOVE_MAXIMUM"),
        (&ana, refinement(&first, "0"), "INVALID_EPSILON"),
    ] {
        assert_eq!(code(&caller.refine(wanted).await.unwrap_err()), expected);
    }
    let own = ben.ask("SELECT count(*) AS n FROM visits", "0.3").await.unwrap();
    assert_eq!(code(&ben.refine(refinement(&own, "0.3")).await.unwrap_err()), "BUDGET_EXHAUSTED");
    ben.refine(refinement(&own, "0.2")).await.unwrap();
    assert_eq!(ben.balance().await.0.spent_epsilon, "0.5");
    running.stop().await.unwrap();
    // It outlives the server.
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let third = ana.refine(refinement(&refined, "0.5")).await.unwrap();
    assert!(half_width(&third) < half_width(&refined));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_buys_what_is_missing() {
    let world = World::new(&Recipe { max_epsilon: "1", grants: ["10", "10"], ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let first = ana.ask("SELECT count(*) AS n FROM visits", "0.25").await.unwrap();
    let error = |error| proto::Accuracy { error: Some(error), ..Default::default() };
    let wanted = (half_width(&first) / 2.0).ceil();
    let refined = ana.refine(to_error(&first, error(wanted))).await.unwrap();
    assert!(half_width(&refined) <= wanted && half_width(&refined) >= 0.98 * wanted - 1.0, "{}", half_width(&refined));
    // Less than what the same error costs from nothing.
    let mut alone = request("SELECT count(*) AS n FROM visits", "").question.unwrap();
    alone.accuracy = Some(error(wanted));
    let epsilon = |price: &Option<proto::Price>| price.as_ref().unwrap().epsilon.parse::<f64>().unwrap();
    let alone = ana.quote_of(alone).await.unwrap();
    let paid = epsilon(&receipt(&refined).price);
    assert!(paid < epsilon(&alone.price) && paid > 0.2, "{paid} {}", epsilon(&alone.price));
    // A share of what is known by now.
    let share = |share| proto::Accuracy { relative_error: Some(share), ..Default::default() };
    let goal = 0.3 * half_width(&first) / number(&first).abs().max(1) as f64;
    let of_known = ana.refine(to_error(&first, share(goal))).await.unwrap();
    let least = half_width(&first).max(number(&first).abs() as f64);
    assert!(half_width(&of_known) <= (goal * least).max(1.0), "{} {goal}", half_width(&of_known));
    for (wanted, expected, says) in [
        (error(1e6), "INVALID_REQUEST", "the answer has an error of 1000000 at 95 % already"),
        (error(0.5), "EPSILON_ABOVE_MAXIMUM", "ask for a wider one"),
        (share(-1.0), "INVALID_REQUEST", "relative_error must be a number above 0"),
    ] {
        let refused = ana.refine(to_error(&first, wanted)).await.unwrap_err();
        assert_eq!(code(&refused), expected, "{}", refused.message());
        assert!(refused.message().contains(says), "{}", refused.message());
    }
    let both = proto::Refinement { epsilon: "0.1".into(), ..to_error(&first, error(10.0)) };
    assert_eq!(code(&ana.refine(both).await.unwrap_err()), "INVALID_REQUEST");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_refined_is_said() {
    let world = World::new(&Recipe { delta: "1e-7", grant_delta: "1e-3", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for sql in [
        "SELECT median(age) AS m FROM visits",
        "SELECT mode(hospital) AS m, count(*) AS n FROM visits",
        "SELECT DISTINCT age FROM visits",
        "SELECT count(*) AS n FROM hospitals",
    ] {
        let answer = ana.ask(sql, "1").await.unwrap_or_else(|e| panic!("{sql}: {}", e.message()));
        let refused = ana.refine(refinement(&answer, "1")).await.unwrap_err();
        // What costs nothing is not kept.
        let expected = if sql.contains("hospitals") { "UNKNOWN_QUERY_ID" } else { "INVALID_REQUEST" };
        assert_eq!(code(&refused), expected, "{sql}: {}", refused.message());
    }
    let answer = ana.ask("SELECT count(*) AS n FROM visits", "1").await.unwrap();
    running.stop().await.unwrap();
    let policy = world.path("clinic.toml");
    let changed = std::fs::read_to_string(&policy).unwrap().replace("rows_contributed = 4", "rows_contributed = 3");
    std::fs::write(&policy, changed).unwrap();
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let refused = ana.refine(refinement(&answer, "1")).await.unwrap_err();
    assert!(refused.message().contains("has changed since this answer was made"), "{}", refused.message());
    running.stop().await.unwrap();
}

/// What only some of an answer has, or nobody reads any more.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_for_what_nobody_reads() {
    let recipe = Recipe { delta: "1e-5", grant_delta: "1e-2", grants: ["1e12", "1e12"], ..Recipe::default() };
    let world = World::new(&recipe);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    // By the number of units keys are selected once: a further draw is for the sums.
    let first = ana
        .ask("SELECT age >= 0 AS known, age, sum(cost) AS c FROM visits GROUP BY age >= 0, age", "40")
        .await
        .unwrap();
    let refined = ana.refine(refinement(&first, "40")).await.unwrap();
    let shares = |answer: &proto::Answer| {
        receipt(answer).releases[0].numbers.iter().map(|number| number.share).collect::<Vec<_>>()
    };
    assert!(shares(&first)[1] > 0.3 && shares(&refined)[1] < 1e-2, "{:?} {:?}", shares(&first), shares(&refined));
    // An error that totals have already, and their parts do not.
    let rollup = ana.ask("SELECT hospital, count(*) AS n FROM visits GROUP BY ROLLUP (hospital)", "1").await.unwrap();
    let widths = |answer: &proto::Answer| {
        let releases = &receipt(answer).releases;
        releases.iter().map(|release| release.numbers[0].half_width).collect::<Vec<_>>()
    };
    let error = |error| proto::Accuracy { error: Some(error), ..Default::default() };
    let before = widths(&rollup);
    assert!(before[0] > 2.0 * before[1], "{before:?}");
    let refined = ana.refine(to_error(&rollup, error(before[1] + 1.0))).await.unwrap();
    assert!(widths(&refined)[0] <= before[1] + 1.0, "{:?}", widths(&refined));
    let refused = ana.refine(to_error(&rollup, error(before[0]))).await.unwrap_err();
    assert!(refused.message().contains("already"), "{}", refused.message());
    // A magnitude is nothing by itself, and of no groups nothing can be more accurate.
    let magnitude = proto::Accuracy { magnitude: Some(10.0), ..Default::default() };
    assert_eq!(code(&ana.refine(to_error(&rollup, magnitude)).await.unwrap_err()), "INVALID_REQUEST");
    let none = ana.ask("SELECT age, count(*) AS n FROM visits WHERE cost > 5999 GROUP BY age", "0.1").await.unwrap();
    assert!(rows(&batch(&none.table)).is_empty());
    assert!(ana.refine(refinement(&none, "1")).await.unwrap_err().message().contains("shows no groups"));
    running.stop().await.unwrap();
}

/// What was paid while the pure ledger was not over is found when it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_draw_is_found_after_the_pure_ledger() {
    let world = World::new(&Recipe { mechanism: "automatic", grants: ["10", "10"], ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let first = ana.ask("SELECT count(*) AS n FROM visits", "0.1").await.unwrap();
    let refined = ana.refine(refinement(&first, "0.1")).await.unwrap();
    let mut gaussian = request("SELECT count(*) AS n FROM patients", "0.1");
    gaussian.question.as_mut().unwrap().mechanism = proto::Mechanism::Gaussian.into();
    ana.execute(gaussian).await.unwrap();
    assert_eq!(ana.balance().await.0.spent_epsilon, "");
    let again = ana.refine(refinement(&first, "0.1")).await.unwrap();
    assert!(again.replayed && again.table == refined.table);
    running.stop().await.unwrap();
}

/// Bounds that the first answer found are used again, and not paid again.
#[tokio::test(flavor = "multi_thread")]
async fn found_bounds_stay_what_they_were() {
    let recipe = Recipe {
        groups: 0,
        rows: 1000,
        private_bounds: true,
        grants: ["1e12", "1"],
        delta: "1e-7",
        ..Recipe::default()
    };
    let world = World::new(&Recipe { grant_delta: "1e-3", mechanism: "automatic", ..recipe });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for sql in [
        "SELECT hospital, sum(visit_id) AS s FROM visits GROUP BY hospital ORDER BY hospital",
        "SELECT age, sum(visit_id) AS s FROM visits GROUP BY age ORDER BY age",
    ] {
        let first = ana.ask(sql, "30").await.unwrap_or_else(|e| panic!("{sql}: {}", e.message()));
        let refined = ana.refine(refinement(&first, "1")).await.unwrap_or_else(|e| panic!("{sql}: {}", e.message()));
        let chosen = |answer: &proto::Answer| {
            let bounds = receipt(answer).releases[0].chosen.clone();
            bounds.into_iter().map(|bound| proto::ChosenBound { price: None, ..bound }).collect::<Vec<_>>()
        };
        assert!(chosen(&first) == chosen(&refined) && chosen(&first).len() == 2, "{sql}");
        assert!(receipt(&refined).releases[0].chosen.iter().all(|bound| bound.price.is_none()), "{sql}");
    }
    // Two releases that find out the same, each for itself.
    let twice = "SELECT a.hospital, a.s, b.c FROM (SELECT hospital, sum(visit_id) AS s FROM visits GROUP BY hospital) a JOIN (SELECT hospital, sum(visit_id) AS c, count(*) AS n FROM visits GROUP BY hospital) b ON a.hospital = b.hospital ORDER BY a.hospital";
    let fresh = Caller::to(&running, BEN).await;
    let first = fresh.ask(twice, "0.4").await.unwrap();
    fresh.refine(refinement(&first, "0.4")).await.unwrap();
    running.stop().await.unwrap();
}

/// Errors of many answers that were refined: half the variance, and intervals that hold.
#[tokio::test(flavor = "multi_thread")]
async fn two_draws_have_half_the_variance() {
    const ANSWERS: usize = 1500;
    let world = World::new(&Recipe { patients: 60, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let exact = number(&ana.ask("SELECT count(*) AS n FROM patients", "1e9").await.unwrap());
    let mut fresh = request("SELECT count(*) AS n FROM patients", "0.2");
    fresh.fresh = true;
    let pair = async || {
        let first = ana.execute(fresh.clone()).await.unwrap();
        let refined = ana.refine(refinement(&first, "0.2")).await.unwrap();
        [first, refined].map(|answer| {
            let off = (number(&answer) - exact) as f64;
            (off, off.abs() <= half_width(&answer))
        })
    };
    let pairs: Vec<_> = futures::stream::iter(0..ANSWERS).map(|_| pair()).buffer_unordered(32).collect().await;
    let variance = |at: usize| pairs.iter().map(|pair| pair[at].0.powi(2)).sum::<f64>() / ANSWERS as f64;
    // Each variance of Laplace noise is known to about 6 %, and they are dependent: 0.5 within six standard deviations.
    let ratio = variance(1) / variance(0);
    assert!((0.35..0.65).contains(&ratio), "{ratio}");
    let held = pairs.iter().filter(|pair| pair[1].1).count() as f64 / ANSWERS as f64;
    assert!(held > 0.95 - 6.0 * (0.05f64 * 0.95 / ANSWERS as f64).sqrt(), "{held}");
    running.stop().await.unwrap();
}

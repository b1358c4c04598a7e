//! SELECT WITH DIFFERENTIAL_PRIVACY, named arguments of aggregates, and parameters: what they ask for, what it costs, and what is
//! refused.

use crate::world::{ANA, Caller, Recipe, World, batch, code, request, rows, same};
use undertone::proto::{self, parameter::Value};

/// Clause, answer: at an epsilon without noise, with the limits that the text gives.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_text_bind_as_documented() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let answer =
        async |sql: &str| rows(&batch(&ana.ask(sql, "1e9").await.unwrap_or_else(|e| panic!("{sql}: {e}")).table));
    for (asked, plain) in [
        // Options alone change no answer where they do not bind.
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e9, max_groups_contributed = 100, privacy_unit_column = patient_id) hospital, COUNT(*) AS n FROM visits GROUP BY hospital ORDER BY hospital",
            "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital ORDER BY hospital",
        ),
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY hospital, COUNT(*) AS n FROM visits GROUP BY hospital HAVING COUNT(*) > 0 ORDER BY COUNT(*) DESC",
            "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital HAVING count(*) > 0 ORDER BY count(*) DESC",
        ),
        // A unit's sum is clamped: the plain question does it by hand.
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e9) SUM(age, contribution_bounds_per_group => (0, 100)) AS s FROM visits",
            "SELECT sum(CASE WHEN s > 100 THEN 100 ELSE s END, contribution_bounds_per_row => (0, 100)) AS s FROM (SELECT patient_id, sum(age) AS s FROM visits GROUP BY patient_id) t",
        ),
        (
            "SELECT sum(age, contribution_bounds_per_row => (20, 30)) AS s FROM visits",
            "SELECT sum(CASE WHEN age < 20 THEN 20 WHEN age > 30 THEN 30 ELSE age END) AS s FROM visits",
        ),
        (
            "SELECT count(*, contribution_bounds_per_group => (0, 2)) AS n FROM visits",
            "SELECT sum(CASE WHEN n > 2 THEN 2 ELSE n END, contribution_bounds_per_row => (0, 2)) AS n FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t",
        ),
        // Who is in a group counts at least as much as the lower bound.
        (
            "SELECT count(*, contribution_bounds_per_group => (3, 1000)) AS n FROM visits",
            "SELECT sum(CASE WHEN n < 3 THEN 3 ELSE n END, contribution_bounds_per_row => (0, 1000)) AS n FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t",
        ),
        // Columns without declared bounds get them from the text.
        (
            "SELECT sum(visit_id % 7, contribution_bounds_per_group => (0, 100)) AS a, sum(visit_id % 7, contribution_bounds_per_row => (0, 6)) AS b FROM visits",
            "SELECT sum(CASE WHEN v = 1 THEN 1 WHEN v = 2 THEN 2 WHEN v = 3 THEN 3 WHEN v = 4 THEN 4 WHEN v = 5 THEN 5 WHEN v = 6 THEN 6 ELSE 0 END) AS a, sum(CASE WHEN v > 6 THEN 0 ELSE v END, contribution_bounds_per_row => (0, 6)) AS b FROM (SELECT visit_id % 7 AS v, patient_id FROM visits) t",
        ),
        // Rows of one unit in all groups together: one each.
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 1) COUNT(*) AS n FROM visits",
            "SELECT count(DISTINCT patient_id) AS n FROM visits",
        ),
        // Nested clauses, and one beside a SELECT without.
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 4e8) COUNT(*) AS n FROM visits WHERE age > (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 3e8) AVG(age) FROM visits)",
            "SELECT count(*) AS n FROM visits WHERE age > (SELECT avg(age) FROM visits)",
        ),
        (
            "WITH a AS (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 4e8) COUNT(*) AS n FROM visits), b AS (SELECT count(*) AS m FROM patients) SELECT n, m FROM a CROSS JOIN b",
            "SELECT n, m FROM (SELECT count(*) AS n FROM visits) a CROSS JOIN (SELECT count(*) AS m FROM patients) b",
        ),
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 8e8) hospital, AVG(age, epsilon => 2e8) AS a, COUNT(age, epsilon => 3e8) AS n FROM visits WHERE hospital <> 'D' GROUP BY ROLLUP (hospital) HAVING COUNT(age, epsilon => 3e8) > 0 ORDER BY hospital",
            "SELECT hospital, avg(age) AS a, count(age) AS n FROM visits WHERE hospital <> 'D' GROUP BY ROLLUP (hospital) HAVING count(age) > 0 ORDER BY hospital",
        ),
    ] {
        let (got, expected) = (answer(asked).await, answer(plain).await);
        assert!(same(&got, &expected, 1e-4), "{asked}\n got {got:?}\n not {expected:?}");
    }
    // A unit's own mean is clamped, and weighs as much as its rows.
    let mean = answer("SELECT avg(age, contribution_bounds_per_group => (50, 60)) AS a FROM visits").await;
    let by_hand = "SELECT n.s / m.n AS a FROM (SELECT sum(CASE WHEN x < 50 THEN 50 WHEN x > 60 THEN 60 ELSE x END * n, contribution_bounds_per_group => (0, 1e6)) AS s FROM (SELECT patient_id, CAST(sum(age) AS DOUBLE) / count(*) AS x, count(*) AS n FROM visits GROUP BY patient_id) t) n CROSS JOIN (SELECT CAST(count(*) AS DOUBLE) AS n FROM visits) m";
    let by_hand = answer(by_hand).await;
    assert!(same(&mean, &by_hand, 1e-6), "{mean:?} {by_hand:?}");
    // An aggregate of ORDER BY is its SELECT's.
    let ordered = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e9) hospital FROM visits GROUP BY hospital ORDER BY COUNT(*) DESC LIMIT 1";
    let plain =
        "SELECT hospital FROM (SELECT hospital, count(*) AS n FROM visits GROUP BY hospital) t ORDER BY n DESC LIMIT 1";
    assert_eq!(answer(ordered).await, answer(plain).await);
    // Columns keep the names that the text gives them.
    let named = ana.ask("SELECT WITH DIFFERENTIAL_PRIVACY SUM(age, contribution_bounds_per_row => (0, 9)), 1 + COUNT(*) FROM visits", "1").await;
    let schema = batch(&named.unwrap().table).schema();
    assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["sum(age)", "1 + count(*)"]);
    running.stop().await.unwrap();
}

/// (question, request's epsilon, price in epsilon, noise scales of the first release)
const PRICES: &[(&str, &str, &str, &[f64])] = &[
    ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*) FROM visits", "", "2", &[2.0]),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2, max_groups_contributed = 2) hospital, COUNT(*) FROM visits GROUP BY hospital",
        "",
        "2",
        &[4.0],
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2, max_rows_contributed = 6) hospital, COUNT(*) FROM visits GROUP BY hospital",
        "",
        "2",
        &[3.0],
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*, epsilon => 0.5), SUM(age, contribution_bounds_per_group => (0, 30)) FROM visits",
        "",
        "2",
        &[8.0, 20.0],
    ),
    // What no aggregate asks for is not charged.
    ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*, epsilon => 0.5) FROM visits", "", "0.5", &[8.0]),
    ("SELECT COUNT(*, epsilon => 0.5) FROM visits", "1", "0.5", &[8.0]),
    // A mean is a sum and a count, which share its part.
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) AVG(age, epsilon => 1, contribution_bounds_per_group => (0, 100)) FROM visits",
        "",
        "1",
        &[8.0, 400.0],
    ),
    // What has no clause gets the request's epsilon: the rest of it where the request names one, else the default.
    (
        "SELECT a.n, b.n AS m FROM (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*) AS n FROM visits) a CROSS JOIN (SELECT count(*) AS n FROM patients) b",
        "",
        "2.1",
        &[2.0],
    ),
    (
        "SELECT a.n, b.n AS m FROM (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*) AS n FROM visits) a CROSS JOIN (SELECT count(*) AS n FROM patients) b",
        "3",
        "3",
        &[2.0],
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) hospital, COUNT(*) FROM visits GROUP BY ROLLUP (hospital)",
        "",
        "2",
        &[16.0],
    ),
    // No lower bound is below what an absent unit adds.
    ("SELECT SUM(age, contribution_bounds_per_group => (10, 40)) FROM visits", "1", "1", &[40.0]),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_text_sets_its_price_and_noise() {
    let world = World::new(&Recipe { delta: "1e-6", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for (sql, epsilon, price, scales) in PRICES {
        let quote = ana.quote(sql, epsilon).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(quote.price.unwrap().epsilon, *price, "{sql}");
        let found: Vec<f64> = quote.releases[0].numbers.iter().map(|n| n.noise_scale).collect();
        let near = found.iter().zip(*scales).all(|(a, b)| (a - b).abs() < 1e-6 * b);
        assert!(near && found.len() == scales.len(), "{sql}: {found:?}");
    }
    // A request's own limit on rows does not make the text's bounds any narrower.
    for (bounds, scale) in [("(0, 4)", 8.0), ("(0, 1)", 4.0), ("(2, 3)", 12.0)] {
        let sql = format!(
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1, max_rows_contributed = 8) hospital, COUNT(*, contribution_bounds_per_group => {bounds}) FROM visits GROUP BY hospital"
        );
        let mut question = request(&sql, "").question.unwrap();
        question.max_rows_contributed = 1;
        let quote = ana.quote_of(question).await.unwrap();
        assert_eq!(quote.releases[0].numbers[0].noise_scale, scale, "{bounds}");
    }
    // How private keys are selected, and at which delta.
    let keys = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1, delta = 1e-7, group_selection_strategy = GAUSSIAN_THRESHOLD) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis";
    let quote = ana.quote(keys, "").await.unwrap();
    assert_eq!(
        (quote.releases[0].numbers[0].mechanism.as_str(), quote.price.unwrap().delta.as_str()),
        ("discrete Gaussian", "0.0000001")
    );
    let laplace = ana.quote(&keys.replace("GAUSSIAN", "LAPLACE"), "").await.unwrap();
    assert_eq!(laplace.releases[0].numbers[0].mechanism, "discrete Laplace");
    // What asks for the same in other words is the same question, whatever its columns are called.
    let clause = ana
        .quote("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1) COUNT(*) AS n FROM visits", "")
        .await
        .unwrap();
    let field = ana.quote("select count(1) as m from visits v", "1.0").await.unwrap();
    let other = ana.quote("SELECT count(*) AS n FROM visits", "2").await.unwrap();
    assert_eq!(clause.question_digest, field.question_digest);
    assert_ne!(clause.question_digest, other.question_digest);
    running.stop().await.unwrap();
}

/// (question, request's epsilon, code, words)
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 0) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "epsilon must be finite and positive, but is 0",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = -1) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "but is -1",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = CAST('nan' AS DOUBLE)) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "but is nan",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = CAST('inf' AS DOUBLE)) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "but is inf",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = NULL) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "but is NULL",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1 + 1) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "no constant",
    ),
    ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e-30) COUNT(*) FROM visits", "", "INVALID_EPSILON", "1e-18"),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 101) COUNT(*) FROM visits",
        "",
        "EPSILON_ABOVE_MAXIMUM",
        "maximum of 100",
    ),
    (
        "SELECT a.n FROM (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 60) COUNT(*) AS n FROM visits) a JOIN (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 50) COUNT(*) AS n FROM visits) b ON a.n > b.n",
        "",
        "EPSILON_ABOVE_MAXIMUM",
        "epsilon 110 in all",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 2) COUNT(*) FROM visits",
        "1",
        "INVALID_EPSILON",
        "more than the request's 1",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1) COUNT(*, epsilon => 0.6), SUM(age, epsilon => 0.6) FROM visits",
        "",
        "INVALID_EPSILON",
        "own epsilons exceed",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1) COUNT(*, epsilon => 1), SUM(age) FROM visits",
        "",
        "INVALID_EPSILON",
        "leave nothing",
    ),
    (
        "SELECT COUNT(*, epsilon => 0) FROM visits",
        "1",
        "INVALID_EPSILON",
        "epsilon of count must be finite and positive",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = 1.5) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis",
        "1",
        "INVALID_REQUEST",
        "delta must be in the interval [0, 1], but is 1.5",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = -1e-6) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis",
        "1",
        "INVALID_REQUEST",
        "but is -1e-6",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = 1e-3) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis",
        "1",
        "INVALID_REQUEST",
        "above the maximum of 0.000001",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = 0) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis",
        "1",
        "PRIVATE_KEYS",
        "needs a delta above 0",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (group_selection_strategy = PUBLIC_GROUPS) diagnosis, COUNT(*) FROM visits GROUP BY diagnosis",
        "1",
        "PRIVATE_KEYS",
        "PUBLIC_GROUPS needs keys with public values",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (group_selection_strategy = TOP) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "LAPLACE_THRESHOLD, GAUSSIAN_THRESHOLD or PUBLIC_GROUPS, but is TOP",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 5) hospital, COUNT(*) FROM visits GROUP BY hospital",
        "1",
        "INVALID_REQUEST",
        "above this dataset's 4",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 0) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "above 0, but is 0",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = NULL) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "lift the limit",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 1.5) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "whole number",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 1, max_groups_contributed = 1) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "give one of them",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1, epsilon = 2) COUNT(*) FROM visits",
        "",
        "INVALID_REQUEST",
        "given twice",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (kappa = 1) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "no option kappa; known are epsilon",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (privacy_unit_column = hospital) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "must be the dataset's privacy unit (one patient)",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (privacy_unit_column = p) COUNT(*) FROM (SELECT patient_id + 0 AS p FROM visits) t",
        "1",
        "INVALID_REQUEST",
        "unchanged",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (privacy_unit_column = nobody) COUNT(*) FROM visits",
        "1",
        "UNKNOWN_COLUMN",
        "nobody",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (privacy_unit_column = 1) COUNT(*) FROM visits",
        "1",
        "INVALID_REQUEST",
        "name of a column",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon 1) COUNT(*) FROM visits",
        "1",
        "SYNTAX",
        "OPTIONS holds name = value",
    ),
    ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1 COUNT(*) FROM visits", "1", "SYNTAX", "OPTIONS"),
    ("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS epsilon COUNT(*) FROM visits", "1", "SYNTAX", "brackets"),
    (
        "SELECT WITH ANONYMIZATION OPTIONS (epsilon = 1) COUNT(*) FROM visits",
        "1",
        "UNSUPPORTED_SQL",
        "comes DIFFERENTIAL_PRIVACY",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1) hospital FROM visits GROUP BY hospital",
        "",
        "UNSUPPORTED_SQL",
        "needs an aggregate",
    ),
    ("SELECT WITH DIFFERENTIAL_PRIVACY SUM(beds) FROM hospitals", "1", "UNSUPPORTED_SQL", "reads no private rows"),
    (
        "SELECT count(*) FROM (SELECT WITH DIFFERENTIAL_PRIVACY patient_id, COUNT(*) AS n FROM visits GROUP BY patient_id) t",
        "1",
        "UNSUPPORTED_SQL",
        "groups by the privacy unit",
    ),
    (
        "SELECT sum(age, contribution_bounds_per_group => (5, 1)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "lower bound of contribution_bounds_per_group must not be above its upper bound, but 5 is above 1",
    ),
    ("SELECT sum(age, contribution_bounds_per_group => 5) FROM visits", "1", "INVALID_REQUEST", "a pair of numbers"),
    (
        "SELECT sum(age, contribution_bounds_per_group => (0, age)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "a pair of numbers",
    ),
    (
        "SELECT sum(age, contribution_bounds_per_group => (0, CAST('inf' AS DOUBLE))) FROM visits",
        "1",
        "INVALID_REQUEST",
        "must be finite",
    ),
    (
        "SELECT sum(age, contribution_bounds_per_group => (0, 481)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "goes beyond (0, 480)",
    ),
    (
        "SELECT sum(age, contribution_bounds_per_row => (-1, 20)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "goes beyond (0, 120)",
    ),
    (
        "SELECT avg(age, contribution_bounds_per_group => (0, 121)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "never for more",
    ),
    (
        "SELECT count(*, contribution_bounds_per_group => (0, 5)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "goes beyond (0, 4)",
    ),
    ("SELECT count(*, contribution_bounds_per_group => (0, 1.5)) FROM visits", "1", "INVALID_REQUEST", "whole numbers"),
    (
        "SELECT count(*, contribution_bounds_per_row => (0, 1)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "count takes no contribution_bounds_per_row",
    ),
    (
        "SELECT count(DISTINCT patient_id, contribution_bounds_per_group => (0, 1)) FROM visits",
        "1",
        "INVALID_REQUEST",
        "takes no contribution bounds",
    ),
    ("SELECT sum(age, bounds => (0, 1)) FROM visits", "1", "INVALID_REQUEST", "no argument bounds"),
    ("SELECT sum(age, epsilon => 1, epsilon => 1) FROM visits", "1", "INVALID_REQUEST", "given twice"),
    ("SELECT sum(age, epsilon := 1) FROM visits", "1", "INVALID_REQUEST", "epsilon => value"),
    ("SELECT sum(age, report_format => JSON) FROM visits", "1", "INVALID_REQUEST", "leave report_format out"),
    ("SELECT coalesce(age, epsilon => 1) FROM visits", "1", "UNSUPPORTED_SQL", "takes no named arguments"),
    (
        "SELECT sum(n, epsilon => 1) OVER () FROM (SELECT count(*) AS n FROM visits) t",
        "1",
        "UNSUPPORTED_SQL",
        "without OVER",
    ),
    ("SELECT sum(beds, epsilon => 1) FROM hospitals", "1", "UNSUPPORTED_SQL", "reads no private rows"),
    ("SELECT sum(visit_id) FROM visits", "1", "MISSING_BOUNDS", "sum(x, contribution_bounds_per_row => (low, high))"),
    (
        "SELECT count(*) AS select WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1) FROM visits",
        "1",
        "UNSUPPORTED_SQL",
        "comes right after the SELECT",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = CAST(1.9 AS INT)) COUNT(*) FROM visits",
        "",
        "INVALID_EPSILON",
        "no constant",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e-18) hospital, COUNT(*) FROM visits GROUP BY ROLLUP (hospital)",
        "",
        "INVALID_EPSILON",
        "too small to be shared by 2 groupings",
    ),
    ("SELECT avg(age, epsilon => 1e-18) FROM visits", "1", "INVALID_EPSILON", "too small to be shared out"),
    ("SELECT \"sum#0\"(age) FROM visits", "1", "UNSUPPORTED_SQL", "is not supported"),
];

#[tokio::test(flavor = "multi_thread")]
async fn options_that_cannot_be_are_refused() {
    let world = World::new(&Recipe { patients: 20, max_epsilon: "100", delta: "1e-6", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let mut wrong = Vec::new();
    for (sql, epsilon, wanted, words) in REFUSED {
        match ana.quote(sql, epsilon).await {
            Ok(_) => wrong.push(format!("accepted: {sql}")),
            Err(e) if code(&e) == *wanted && e.message().contains(words) => {}
            Err(e) => {
                wrong.push(format!("{sql}\n   wanted {wanted} '{words}'\n   got    {} {}", code(&e), e.message()))
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_their_literals() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let ask = async |sql: &str, values: &[Value]| {
        let mut request = request(sql, "1e9");
        let question = request.question.as_mut().unwrap();
        question.parameters = values.iter().map(|value| proto::Parameter { value: Some(value.clone()) }).collect();
        ana.execute(request).await
    };
    let text = |text: &str| Value::Text(text.into());
    for (sql, values, plain) in [
        (
            "SELECT count(*) FROM visits WHERE age > $1 AND hospital = $2",
            vec![Value::Whole(30), text("A")],
            "SELECT count(*) FROM visits WHERE age > 30 AND hospital = 'A'",
        ),
        (
            "SELECT count(*) FROM visits WHERE hospital = $2 AND age > $1 AND age > $1",
            vec![Value::Whole(30), text("A")],
            "SELECT count(*) FROM visits WHERE age > 30 AND hospital = 'A'",
        ),
        (
            "SELECT count(*) FROM visits WHERE age > ? AND hospital = ?",
            vec![Value::Whole(-30), text("A")],
            "SELECT count(*) FROM visits WHERE age > -30 AND hospital = 'A'",
        ),
        (
            "SELECT count(*) FROM visits WHERE cost < ? OR visit_date > ?",
            vec![Value::Number(99.5), Value::Date("2022-01-31".into())],
            "SELECT count(*) FROM visits WHERE cost < 99.5 OR visit_date > DATE '2022-01-31'",
        ),
        (
            "SELECT count(*) FROM visits WHERE visit_date < ?",
            vec![Value::Timestamp("2022-01-31 12:00:00".into())],
            "SELECT count(*) FROM visits WHERE visit_date < TIMESTAMP '2022-01-31 12:00:00'",
        ),
        (
            "SELECT count(coalesce(?, cost)) FROM visits WHERE ?",
            vec![Value::Null(true), Value::Boolean(true)],
            "SELECT count(cost) FROM visits",
        ),
        (
            "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital ORDER BY hospital LIMIT ?",
            vec![Value::Whole(2)],
            "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital ORDER BY hospital LIMIT 2",
        ),
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = ?) SUM(age, contribution_bounds_per_row => (?, ?)) AS s FROM visits",
            vec![Value::Number(1e9), Value::Whole(0), Value::Number(50.0)],
            "SELECT sum(age, contribution_bounds_per_row => (0, 50)) AS s FROM visits",
        ),
        (
            "SELECT count(*) FROM visits WHERE diagnosis = $1",
            vec![text("x' OR 1 = 1 --")],
            "SELECT count(*) FROM visits WHERE diagnosis = 'x'",
        ),
    ] {
        let got = ask(sql, &values).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let expected = ask(plain, &[]).await.unwrap();
        assert_eq!(rows(&batch(&got.table)), rows(&batch(&expected.table)), "{sql}");
    }
    for (sql, values, words) in [
        ("SELECT count(*) FROM visits WHERE age > $1", vec![], "parameter 1 has no value"),
        (
            "SELECT count(*) FROM visits WHERE age > ? AND age < ?",
            vec![Value::Whole(1)],
            "parameter 2 has no value: the question came with 1",
        ),
        (
            "SELECT count(*) FROM visits WHERE age > ?",
            vec![Value::Whole(1), Value::Whole(2)],
            "2 parameters and uses 1",
        ),
        ("SELECT count(*) FROM visits WHERE age > $2", vec![Value::Whole(1), Value::Whole(2)], "uses 1 of them"),
        ("SELECT count(*) FROM visits WHERE age > ? AND age < $1", vec![Value::Whole(1)], "not both ways"),
        ("SELECT count(*) FROM visits WHERE age > $x", vec![Value::Whole(1)], "are written $1, $2"),
        ("SELECT count(*) FROM visits WHERE age > $0", vec![Value::Whole(1)], "are written $1, $2"),
        ("SELECT count(*) FROM visits WHERE visit_date > $1", vec![Value::Date("tomorrow".into())], "not a valid DATE"),
        ("SELECT count(*) FROM ?", vec![text("visits")], ""),
        (
            "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = ?) COUNT(*) FROM visits",
            vec![Value::Number(f64::NAN)],
            "but is nan",
        ),
    ] {
        let e = ask(sql, &values).await.expect_err(sql);
        assert!(e.message().contains(words), "{sql}: {}", e.message());
    }
    running.stop().await.unwrap();
}

//! Totals of several groupings that are the sums of their parts.

use crate::world::{ANA, Caller, Recipe, World, batch, code, request, rows};
use std::collections::BTreeMap;
use undertone::proto;

const ROLLUP: &str = "SELECT hospital, region, count(*) AS n, sum(cost) AS c, avg(age) AS a, count(DISTINCT patient_id) AS u FROM visits JOIN patients USING (patient_id) GROUP BY ROLLUP (hospital, region) ORDER BY hospital, region";

fn consistent(sql: &str, epsilon: &str) -> proto::ExecuteRequest {
    let mut asked = request(sql, epsilon);
    asked.question.as_mut().unwrap().consistent = true;
    asked
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

/// The numbers of a column by hospital and region, where NULL is all of them.
fn by_keys(answer: &proto::Answer, column: usize) -> BTreeMap<(String, String), f64> {
    let rows = rows(&batch(&answer.table));
    rows.into_iter().map(|row| ((row[0].clone(), row[1].clone()), number(&row[column]))).collect()
}

/// Whether each total is the sum of its parts.
fn adds_up(numbers: &BTreeMap<(String, String), f64>) -> bool {
    let sum = |total: &(String, String)| -> f64 {
        let is_part = |key: &&(String, String)| match (total.0.as_str(), total.1.as_str()) {
            ("NULL", _) => key.0 != "NULL" && key.1 == "NULL",
            (hospital, _) => key.0 == hospital && key.1 != "NULL",
        };
        numbers.iter().filter(|(key, _)| is_part(key)).map(|(_, number)| number).sum()
    };
    let totals = numbers.iter().filter(|(key, _)| key.1 == "NULL");
    totals.into_iter().all(|(key, total)| (sum(key) - total).abs() < 1e-6 * total.abs().max(1e6))
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_the_sums_of_their_parts() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for epsilon in ["0.5", "2"] {
        let (plain, made) =
            (ana.ask(ROLLUP, epsilon).await.unwrap(), ana.execute(consistent(ROLLUP, epsilon)).await.unwrap());
        assert_eq!(by_keys(&made, 2).len(), 4 * 3 + 4 + 1);
        for column in [2, 3] {
            assert!(!adds_up(&by_keys(&plain, column)), "{epsilon}");
            assert!(adds_up(&by_keys(&made, column)), "{epsilon} {:?}", by_keys(&made, column));
        }
        // Each number is within its interval, and that is no narrower than noise is wide.
        let (table, ends) = (rows(&batch(&made.table)), rows(&batch(&made.intervals)));
        let notes = &made.receipt.as_ref().unwrap().releases;
        for (row, ends) in table.iter().zip(&ends) {
            let release = usize::from(row[1] == "NULL") + usize::from(row[0] == "NULL");
            for column in 0..2 {
                let [value, low, high] =
                    [&row[column + 2], &ends[2 * column], &ends[2 * column + 1]].map(|text| number(text));
                assert!(low <= value && value <= high, "{row:?} {ends:?}");
                assert!(high - low > 1.99 * notes[release].numbers[column].half_width, "{row:?} {ends:?}");
            }
        }
        assert!(notes.iter().all(|note| note.summary.contains("counts of rows and sums are made to add up")));
        let columns = &made.receipt.as_ref().unwrap().columns;
        assert!(columns[0].half_width == 0.0 && columns[0].has_interval);
    }
    // What is consistent stays what it is.
    let (plain, made) = (ana.ask(ROLLUP, "1e9").await.unwrap(), ana.execute(consistent(ROLLUP, "1e9")).await.unwrap());
    for (column, noise) in [(2, 0.5), (3, 30.0)] {
        for (a, b) in by_keys(&plain, column).values().zip(by_keys(&made, column).values()) {
            assert!((a - b).abs() < noise, "{a} {b}");
        }
    }
    // The clause says the same.
    let clause = ROLLUP.replacen("SELECT", "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (consistent = true)", 1);
    let quoted = ana.quote_of(consistent(ROLLUP, "1").question.unwrap()).await.unwrap();
    assert_eq!(ana.quote(&clause, "1").await.unwrap().question_digest, quoted.question_digest);
    assert_ne!(ana.quote(ROLLUP, "1").await.unwrap().question_digest, quoted.question_digest);
    // A further draw is consistent too.
    let of = proto::Refinement { of: made.query_id.clone(), epsilon: "0.5".into(), ..Default::default() };
    assert!(adds_up(&by_keys(&ana.refine(of).await.unwrap(), 2)));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_has_less_noise_with_its_parts() {
    let world = World::new(&Recipe { groups: 1, rows: 1, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    // One row for each patient: the two groupings are of the same numbers.
    let sql = "SELECT region, count(*) AS n FROM patients GROUP BY ROLLUP (region) ORDER BY region";
    let exact = rows(&batch(&ana.ask(sql, "1e9").await.unwrap().table));
    let mut squares = [0.0, 0.0];
    for _ in 0..120 {
        for (at, asked) in [request(sql, "0.2"), consistent(sql, "0.2")].into_iter().enumerate() {
            let answer = ana.execute(proto::ExecuteRequest { fresh: true, ..asked }).await.unwrap();
            let rows = rows(&batch(&answer.table));
            squares[at] += rows.iter().zip(&exact).map(|(a, b)| (number(&a[1]) - number(&b[1])).powi(2)).sum::<f64>();
        }
    }
    // Of four numbers that one sum binds, a quarter of the squares goes; by 120 answers of four numbers known to about a tenth each.
    let ratio = squares[1] / squares[0];
    assert!((0.4..1.1).contains(&ratio), "{ratio}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_consistent_is_said() {
    let world = World::new(&Recipe { delta: "1e-7", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    // One value each, so that there are few groups, and two to the thirtieth effects.
    let keys: Vec<String> = (0..30).map(|at| format!("CASE WHEN age > {at} THEN 1 ELSE 1 END")).collect();
    let many = format!("SELECT count(*) AS n FROM visits GROUP BY ROLLUP ({})", keys.join(", "));
    for (sql, says) in [
        ("SELECT count(*) AS n FROM visits", "of which there are none here"),
        ("SELECT hospital, count(*) AS n FROM visits GROUP BY hospital", "of which there are none here"),
        ("SELECT age, count(*) AS n FROM visits GROUP BY ROLLUP (age)", "private keys show some"),
        ("SELECT hospital, avg(age) AS a FROM visits GROUP BY ROLLUP (hospital)", "counts of rows and sums"),
        (
            "SELECT hospital, age > 50 AS old, count(*) AS n FROM visits GROUP BY CUBE (hospital, age > 50)",
            "hold one another, as in ROLLUP",
        ),
        (
            "SELECT hospital, count(DISTINCT patient_id) FILTER (WHERE age > 9) AS n FROM visits GROUP BY ROLLUP (hospital)",
            "counts of rows and sums",
        ),
        (
            "SELECT hospital, count(*) AS n FROM visits JOIN patients USING (patient_id) GROUP BY ROLLUP (hospital) UNION ALL SELECT region, count(*) AS n FROM visits JOIN patients USING (patient_id) GROUP BY ROLLUP (region)",
            "share a total",
        ),
        (many.as_str(), "too many keys"),
    ] {
        let refused = ana.execute(consistent(sql, "1")).await.unwrap_err();
        assert_eq!(code(&refused), "INVALID_REQUEST", "{sql}: {}", refused.message());
        assert!(refused.message().contains(says), "{sql}: {}", refused.message());
    }
    let mut both = consistent("SELECT hospital, count(*) AS n FROM visits GROUP BY ROLLUP (hospital)", "1");
    both.question.as_mut().unwrap().non_negative = true;
    assert!(ana.execute(both).await.unwrap_err().message().contains("ask for one of the two"));
    // Sums that are no whole numbers add up in a cube too.
    let cube = "SELECT hospital, age > 50 AS old, sum(cost) AS c FROM visits GROUP BY CUBE (hospital, age > 50)";
    ana.execute(consistent(cube, "1")).await.unwrap();
    assert_eq!(ana.balance().await.0.charges, 1);
    running.stop().await.unwrap();
}

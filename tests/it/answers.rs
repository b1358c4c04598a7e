//! Answers at an epsilon so large that there is no noise, against plain DataFusion on the same files.

use crate::world::{ANA, Caller, Recipe, World, batch, plain, rows, same};

/// Bounds that do not bind, so that the private answer is the plain one.
fn wide() -> Recipe {
    Recipe { groups: 100, rows: 1000, ..Recipe::default() }
}

/// Bounded contributions, worked out by hand from the plain rows.
#[tokio::test(flavor = "multi_thread")]
async fn bounds_bind_as_documented() {
    let world = World::new(&Recipe { groups: 2, rows: 3, ..Recipe::default() });
    let (running, context) = (world.serve().await, plain(&world).await);
    let ana = Caller::to(&running, ANA).await;
    for (private, bounded) in [
        (
            "SELECT count(*) FROM visits",
            "SELECT sum(least(n, 3)) FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id)",
        ),
        (
            "SELECT sum(age) FROM visits",
            "SELECT sum(least(s, 360)) FROM (SELECT patient_id, sum(least(age, 120)) AS s FROM visits GROUP BY patient_id)",
        ),
        (
            "SELECT hospital, sum(CAST(cost AS BIGINT)) AS s FROM visits WHERE patient_id <= 1 GROUP BY hospital ORDER BY hospital",
            "SELECT h.hospital, coalesce(s, 0) AS s FROM hospitals h LEFT JOIN (SELECT hospital, least(sum(least(CAST(cost AS BIGINT), 5000)), 15000) AS s FROM visits WHERE patient_id <= 1 GROUP BY hospital) t ON h.hospital = t.hospital ORDER BY h.hospital",
        ),
    ] {
        let expected = context.sql(bounded).await.unwrap().collect().await.unwrap();
        let expected: Vec<_> = expected.iter().flat_map(rows).collect();
        let got = rows(&batch(&ana.ask(private, "1e9").await.unwrap().table));
        if private.contains("GROUP BY") {
            // One patient in more than two hospitals keeps two of them.
            let kept = got.iter().filter(|row| row[1] != "0").count();
            assert!(kept <= 2, "{got:?}");
            assert!(got.iter().zip(&expected).all(|(g, e)| g == e || g[1] == "0"), "{got:?} {expected:?}");
        } else {
            assert_eq!(got, expected, "{private}");
        }
    }
    // A unit with more rows than the limit keeps its own mean, with the weight of the limit.
    let mean = rows(&batch(&ana.ask("SELECT avg(age) FROM visits", "1e9").await.unwrap().table));
    let weighed = "SELECT sum(m * least(n, 3)) / sum(least(n, 3)) FROM (SELECT patient_id, avg(age) AS m, count(*) AS n FROM visits GROUP BY patient_id)";
    let expected = rows(&context.sql(weighed).await.unwrap().collect().await.unwrap()[0]);
    assert!(same(&mean, &expected, 1e-6), "{mean:?} {expected:?}");
    // Every patient counts once, in at most two of the hospitals.
    let per_hospital = rows(&batch(
        &ana.ask("SELECT hospital, count(DISTINCT patient_id) AS n FROM visits GROUP BY hospital", "1e9")
            .await
            .unwrap()
            .table,
    ));
    let total: i64 = per_hospital.iter().map(|row| row[1].parse::<i64>().unwrap()).sum();
    let expected = context
        .sql("SELECT sum(least(n, 2)) FROM (SELECT patient_id, count(DISTINCT hospital) AS n FROM visits GROUP BY patient_id)")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(total.to_string(), rows(&expected[0])[0][0]);
    running.stop().await.unwrap();
}

/// Empty groups are rows like others: no NULL, no missing row, whatever is in them.
#[tokio::test(flavor = "multi_thread")]
async fn empty_groups_are_complete() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let sql = "SELECT hospital, count(*) AS n, sum(cost) AS s, avg(cost) AS a FROM visits WHERE patient_id = 99999 GROUP BY hospital";
    let answer = ana.ask(sql, "1e9").await.unwrap();
    let expected: Vec<Vec<String>> =
        ["A", "B", "C", "D"].map(|h| [h, "0", "0.000000", "2500.000000"].map(String::from).to_vec()).into();
    let got = rows(&batch(&answer.table));
    let close = |text: &str, value: f64| (text.parse::<f64>().unwrap() - value).abs() < 0.1;
    assert!(
        got.iter().zip(&expected).all(|(g, e)| g[..2] == e[..2] && close(&g[2], 0.0) && close(&g[3], 2500.0)),
        "{got:?}"
    );
    // At an ordinary epsilon the same rows come back, each with noise of its own.
    let noisy = rows(&batch(&ana.ask(sql, "0.5").await.unwrap().table));
    assert_eq!(noisy.iter().map(|r| r[0].clone()).collect::<Vec<_>>(), ["A", "B", "C", "D"]);
    assert!(noisy.iter().flatten().all(|cell| cell != "NULL"));
    running.stop().await.unwrap();
}

/// Public inputs of releases are one table, whatever number of releases read it and however often it is asked; and the order of
/// public rows is that of the question.
#[tokio::test(flavor = "multi_thread")]
async fn public_inputs_are_the_same_for_every_reader() {
    let world = World::new(&wide());
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let some = "SELECT k FROM (SELECT hospital AS k FROM hospitals UNION ALL SELECT city FROM hospitals UNION ALL SELECT 'q') u LIMIT 3";
    let both = format!(
        "WITH z AS ({some}) SELECT a.n, b.m FROM (SELECT count(*) AS n FROM visits v JOIN z ON v.hospital = z.k) a CROSS JOIN (SELECT sum(1) AS m FROM visits v JOIN z ON v.hospital = z.k) b"
    );
    let (mut seen, mut keys) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for _ in 0..20 {
        let mut asked = crate::world::request(&both, "1e9");
        asked.fresh = true;
        seen.insert(rows(&batch(&ana.execute(asked).await.unwrap().table)).remove(0));
        keys.insert(rows(&batch(&ana.ask(some, "").await.unwrap().table)));
    }
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), [[["A"], ["B"], ["C"]]]);
    assert!(seen.len() == 1 && seen.iter().all(|row| row[0] == row[1] && row[0] != "0"), "{seen:?}");
    running.stop().await.unwrap();
}

/// Parts and starts of dates with declared bounds are public keys, complete, and count what ranges of dates count.
#[tokio::test(flavor = "multi_thread")]
async fn calendars_are_public_keys() {
    let world = World::new(&wide());
    let (running, context) = (world.serve().await, plain(&world).await);
    let ana = Caller::to(&running, ANA).await;
    let within = async |from: String, to: String| {
        let sql = format!("SELECT count(*) FROM visits WHERE visit_date >= DATE '{from}' AND visit_date < DATE '{to}'");
        rows(&context.sql(&sql).await.unwrap().collect().await.unwrap()[0]).remove(0).remove(0)
    };
    let ask = async |sql: &str| rows(&batch(&ana.ask(sql, "1e9").await.unwrap_or_else(|e| panic!("{sql}: {e}")).table));

    let years = ask("SELECT EXTRACT(YEAR FROM visit_date) AS y, count(*) AS n FROM visits GROUP BY y").await;
    let wanted =
        (2019..2025).map(async |y| [y.to_string(), within(format!("{y}-01-01"), format!("{}-01-01", y + 1)).await]);
    let mut wanted: Vec<Vec<String>> = futures::future::join_all(wanted).await.into_iter().map(Vec::from).collect();
    wanted.push(vec!["NULL".into(), "0".into()]);
    assert_eq!(years, wanted);

    let months =
        ask("SELECT date_trunc('month', visit_date) AS m, count(*) AS n FROM visits GROUP BY m ORDER BY m").await;
    // From April 2019 to December 2024, and NULL.
    assert_eq!((months.len(), months[0][0].as_str(), months[69][0].as_str()), (70, "2019-04-01T00:00:00", "NULL"));
    for pair in months[..69].windows(2) {
        let (from, to) = (pair[0][0][..10].to_owned(), pair[1][0][..10].to_owned());
        assert_eq!(pair[0][1], within(from, to).await, "{pair:?}");
    }
    let total: i64 = months.iter().map(|row| row[1].parse::<i64>().unwrap()).sum();
    assert_eq!(total.to_string(), ask("SELECT count(*) AS n FROM visits").await[0][0]);

    // Steps of 90 days from an origin on; the first one holds the first declared day.
    let steps = ask(
        "SELECT date_bin(INTERVAL '90 days', visit_date, DATE '2020-01-01') AS b, count(*) AS n FROM visits GROUP BY b",
    )
    .await;
    assert_eq!((steps.len(), steps[0][0].as_str(), steps[25][0].as_str()), (26, "2019-01-06T00:00:00", "NULL"));
    for pair in steps[..25].windows(2) {
        assert_eq!(pair[0][1], within(pair[0][0][..10].to_owned(), pair[1][0][..10].to_owned()).await, "{pair:?}");
    }
    // Equal parts of a declared range, upwards and downwards; before it and after it there is nobody by declaration.
    let buckets = ask("SELECT width_bucket(age, 20, 120, 5) AS b, count(*) AS n FROM visits GROUP BY b").await;
    assert_eq!(
        buckets.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
        ["0", "1", "2", "3", "4", "5", "6", "NULL"]
    );
    for (at, row) in buckets[..7].iter().enumerate() {
        let (low, high) = (20 * at as i64, 20 * (at as i64 + 1));
        let sql = format!("SELECT count(*) FROM visits WHERE age >= {low} AND age < {high}");
        assert_eq!(row[1], rows(&context.sql(&sql).await.unwrap().collect().await.unwrap()[0])[0][0], "{row:?}");
    }
    // A whole number is divided towards zero, and so is its range.
    let halves = ask("SELECT width_bucket(age / 200, 0, 1, 10) AS b, count(*) AS n FROM visits GROUP BY b").await;
    let everybody = ask("SELECT count(*) AS n FROM visits").await;
    assert_eq!((halves[0][0].as_str(), &halves[0][1]), ("1", &everybody[0][0]), "{halves:?}");
    let down =
        ask("SELECT width_bucket(cost, 6000.0, 1000, 2) AS b, count(*) AS n FROM visits WHERE cost > 1000 GROUP BY b")
            .await;
    assert_eq!(down.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["1", "2", "3", "NULL"]);

    // They are numbers and moments like others.
    let same = ask("SELECT sum(date_part('month', visit_date)) AS s, count(date_trunc('week', visit_date)) AS n FROM visits WHERE EXTRACT(dow FROM visit_date) IN (0, 6) AND date_trunc('year', visit_date) = TIMESTAMP '2021-01-01T00:00:00'").await;
    let days = ask("SELECT EXTRACT(MONTH FROM visit_date) AS m, EXTRACT(DOW FROM visit_date) AS d, count(*) AS n FROM visits WHERE EXTRACT(YEAR FROM visit_date) = 2021 GROUP BY m, d HAVING count(*) > 0").await;
    let number = |row: &Vec<String>, at: usize| row[at].parse::<i64>().unwrap();
    let weekend: Vec<&Vec<String>> = days.iter().filter(|row| row[1] == "0" || row[1] == "6").collect();
    let sum: i64 = weekend.iter().map(|row| number(row, 0) * number(row, 2)).sum();
    let count: i64 = weekend.iter().map(|row| number(row, 2)).sum();
    assert_eq!(same[0], [sum.to_string(), count.to_string()]);
    running.stop().await.unwrap();
}

/// Zero has one sign as a key, and NaN is one value.
#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_are_one_group() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for keys in ["THEN 0.0 ELSE -0.0", "THEN CAST('NaN' AS DOUBLE) ELSE -CAST('NaN' AS DOUBLE)"] {
        let sql = format!("SELECT CASE WHEN age > 50 {keys} END AS z, count(*) AS n FROM visits GROUP BY z");
        let got = rows(&batch(&ana.ask(&sql, "1e9").await.unwrap().table));
        let all = rows(&batch(&ana.ask("SELECT count(*) AS n FROM visits", "1e9").await.unwrap().table));
        assert_eq!((got.len(), &got[0][1]), (1, &all[0][0]), "{sql}: {got:?}");
    }
    running.stop().await.unwrap();
}

/// Where noise chose the row, its interval holds as often as it says for the row that was chosen; and so does that of a product
/// of several values of one release.
#[tokio::test(flavor = "multi_thread")]
async fn intervals_of_chosen_rows_hold() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let groups = "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital";
    let exact: Vec<f64> =
        rows(&batch(&ana.ask(groups, "1e9").await.unwrap().table)).iter().map(|row| row[1].parse().unwrap()).collect();
    let value = |hospital: &str| exact[["A", "B", "C", "D"].iter().position(|h| *h == hospital).unwrap()];
    // At this epsilon the noise decides which hospital is first.
    let draws = 200;
    for (sql, exact_of) in [
        (format!("{groups} ORDER BY n DESC LIMIT 1"), 1),
        (format!("SELECT hospital, n + 0 AS n FROM ({groups}) t ORDER BY n LIMIT 1"), 1),
        (
            format!(
                "SELECT a.hospital, b.hospital AS other, a.n + b.n AS s FROM ({groups}) a JOIN ({groups}) b ON a.n < b.n ORDER BY s DESC LIMIT 1"
            ),
            2,
        ),
    ] {
        let mut held = 0;
        for _ in 0..draws {
            let mut asked = crate::world::request(&sql, "0.02");
            asked.fresh = true;
            let answer = ana.execute(asked).await.unwrap();
            assert!(answer.receipt.unwrap().columns.iter().all(|c| c.simultaneous), "{sql}");
            let (table, ends) = (rows(&batch(&answer.table)), rows(&batch(&answer.intervals)));
            let exact: f64 = table[0][..exact_of].iter().map(|hospital| value(hospital)).sum();
            let (low, high): (f64, f64) = (ends[0][0].parse().unwrap(), ends[0][1].parse().unwrap());
            held += usize::from((low..=high).contains(&exact));
        }
        // 95 % of 200 is 190; five standard deviations below it is 175.
        assert!(held >= 175, "{sql}: {held} of {draws}");
    }
    // A row that was not chosen by noise has its own interval.
    let answer = ana.ask(&format!("{groups} ORDER BY hospital LIMIT 1"), "0.5").await.unwrap();
    assert!(!answer.receipt.unwrap().columns[0].simultaneous);
    running.stop().await.unwrap();
}

/// Error bars hold as often as they say, for outputs and for what is computed from them.
#[tokio::test(flavor = "multi_thread")]
async fn intervals_hold_as_often_as_they_say() {
    let world = World::new(&Recipe::default());
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let sql = "SELECT count(*) AS n, sum(age) AS s, avg(age) AS a, sum(age) / (count(*) + 1000) AS r FROM visits";
    let exact = batch(&ana.ask(sql, "1e9").await.unwrap().table);
    let exact: Vec<f64> = rows(&exact)[0].iter().map(|v| v.parse().unwrap()).collect();
    let draws = 300;
    let mut held = [0; 4];
    for _ in 0..draws {
        let mut asked = crate::world::request(sql, "4");
        asked.fresh = true;
        let ends = rows(&batch(&ana.execute(asked).await.unwrap().intervals)).remove(0);
        for (i, held) in held.iter_mut().enumerate() {
            let (low, high): (f64, f64) = (ends[2 * i].parse().unwrap(), ends[2 * i + 1].parse().unwrap());
            *held += usize::from((low..=high).contains(&exact[i]));
        }
    }
    // 95 % of 300 is 285; five standard deviations below it is 266.
    assert!(held.iter().all(|h| *h >= 266), "{held:?} of {draws}");
    // A direct output's interval is exact, so it is not wider than it says either.
    assert!(held[0] < draws && held[1] < draws, "{held:?} of {draws}");
    running.stop().await.unwrap();
}

/// Those cells of each row that are numbers.
fn numbers(table: &[u8]) -> Vec<Vec<f64>> {
    let of_row = |row: Vec<String>| row.iter().filter_map(|v| v.parse().ok()).collect();
    rows(&batch(table)).into_iter().map(of_row).collect()
}

/// Error bars of quantiles hold, and are one draw for all quantiles of a column; many of them are that draw themselves.
#[tokio::test(flavor = "multi_thread")]
async fn error_bars_of_quantiles_hold() {
    let world = World::new(&Recipe { patients: 2_000, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let quantile = |q: usize, bars: &str| {
        format!("percentile_cont({}{bars}) WITHIN GROUP (ORDER BY age) AS q{q}", q as f64 / 100.0)
    };
    let of = |fractions: &[usize], bars| {
        let calls: Vec<String> = fractions.iter().map(|q| quantile(*q, bars)).collect();
        format!("SELECT {} FROM visits", calls.join(", "))
    };
    let quartiles = of(&[25, 50, 75], ", error_bars => true");
    let many: Vec<usize> = (1..=16).map(|i| i * 6).collect();
    let grouped = "SELECT hospital, median(age, error_bars => true) AS m FROM visits WHERE hospital <> 'D' GROUP BY hospital ORDER BY hospital";
    for (sql, chosen) in [(quartiles.as_str(), 3), (&of(&many, ""), 0), (grouped, 1)] {
        let exact = numbers(&ana.ask(sql, "1e9").await.unwrap().table);
        let (mut held, mut of, mut widths) = (0, 0, 0.0);
        for _ in 0..30 {
            let mut asked = crate::world::request(sql, "4");
            asked.fresh = true;
            let answer = ana.execute(asked).await.unwrap();
            let release = &answer.receipt.as_ref().unwrap().releases[0];
            let trees = release.numbers.iter().filter(|n| n.mechanism == "tree of discrete Laplace counts").count();
            assert_eq!((trees, release.numbers.len()), (1, chosen + 1), "{release:?}");
            assert_eq!(release.price.as_ref().unwrap().epsilon, "4");
            let found = numbers(&answer.table).into_iter().zip(numbers(&answer.intervals));
            for (exact, (values, ends)) in exact.iter().zip(found).filter(|(exact, _)| exact[0] > 0.0) {
                for ((exact, value), ends) in exact.iter().zip(values).zip(ends.chunks(2)) {
                    assert!((ends[0]..=ends[1]).contains(&value), "{value} {ends:?}");
                    held += usize::from((ends[0]..=ends[1]).contains(exact));
                    of += 1;
                    widths += ends[1] - ends[0];
                }
            }
        }
        assert!(held * 100 >= of * 95, "{sql}: {held} of {of}");
        assert!(widths / (of as f64) < 60.0, "{sql}: {widths} in {of}");
    }
    // One more of many is free.
    let scale = async |sql: &str| ana.ask(sql, "1").await.unwrap().receipt.unwrap().releases[0].numbers[0].noise_scale;
    assert_eq!(scale(&of(&many, "")).await, scale(&of(&[many, vec![99]].concat(), "")).await);
    running.stop().await.unwrap();
}

/// Keys that are private are those of the data where many units have them, and the count of units that selected a key is the count
/// that is shown.
#[tokio::test(flavor = "multi_thread")]
async fn private_keys_of_many_units_are_shown() {
    let world = World::new(&Recipe {
        patients: 2_000,
        groups: 12,
        rows: 8,
        delta: "1e-7",
        grant_delta: "1e-5",
        ..Recipe::default()
    });
    let (running, context) = (world.serve().await, plain(&world).await);
    let ana = Caller::to(&running, ANA).await;
    for sql in [
        "SELECT diagnosis, count(*) AS n, count(DISTINCT patient_id) AS p, avg(age) AS a FROM visits GROUP BY diagnosis ORDER BY diagnosis",
        "SELECT DISTINCT diagnosis FROM visits ORDER BY diagnosis",
        "SELECT hospital, diagnosis, sum(age) AS s FROM visits GROUP BY hospital, diagnosis ORDER BY hospital, diagnosis",
        "SELECT age % 3 = 0 AS t, age % 3 AS r, count(*) AS n FROM visits GROUP BY age % 3 ORDER BY r",
        "SELECT CASE WHEN age % 2 = 0 THEN diagnosis END AS d, count(*) AS n FROM visits GROUP BY d ORDER BY d",
        "SELECT count(*) AS keys, sum(n) AS n FROM (SELECT diagnosis, count(*) AS n FROM visits GROUP BY diagnosis) t",
    ] {
        let expected = context.sql(sql).await.unwrap().collect().await.unwrap();
        let expected: Vec<_> = expected.iter().flat_map(rows).collect();
        let got = rows(&batch(&ana.ask(sql, "1e9").await.unwrap_or_else(|e| panic!("{sql}: {e}")).table));
        assert!(same(&got, &expected, 1e-6), "{sql}\n got {got:?}\n not {expected:?}");
    }
    // Histograms and choices are those of the keys that are shown.
    let sql = "SELECT diagnosis, histogram(hospital) AS h, max(age) AS m, count(*) AS n FROM visits GROUP BY diagnosis ORDER BY diagnosis";
    let plain = "SELECT diagnosis, max(age) AS m FROM visits GROUP BY diagnosis ORDER BY diagnosis";
    let expected = context.sql(plain).await.unwrap().collect().await.unwrap();
    let expected: Vec<_> = expected.iter().flat_map(rows).collect();
    let got = rows(&batch(&ana.ask(sql, "1e9").await.unwrap().table));
    assert_eq!(got.len(), expected.len());
    for (row, wanted) in got.iter().zip(&expected) {
        let pairs: Vec<(String, i64)> = serde_json::from_str(&row[1]).unwrap();
        assert_eq!((&row[0], &row[2]), (&wanted[0], &wanted[1]));
        assert_eq!(pairs.iter().map(|(_, n)| n).sum::<i64>().to_string(), row[3], "{row:?}");
    }
    // Without an ORDER BY the rows come in the order of their keys.
    let keys = rows(&batch(
        &ana.ask("SELECT diagnosis, count(*) AS n FROM visits GROUP BY diagnosis", "1e9").await.unwrap().table,
    ));
    assert!(keys.is_sorted() && keys.len() == 4, "{keys:?}");

    // Public keys by themselves are no secret, and free.
    let public = ana.ask("SELECT DISTINCT region, birth_year < 1970 AS old FROM patients", "1").await.unwrap();
    assert_eq!((batch(&public.table).num_rows(), public.receipt.unwrap().price.unwrap().epsilon), (9, "0".into()));

    // Keys of one unit are not shown, whatever they are; nor is the number of groups that there are.
    for sql in [
        "SELECT visit_id + 0 AS v, count(*) AS n FROM visits GROUP BY v",
        "SELECT DISTINCT cost FROM visits WHERE patient_id = 4242",
        "SELECT diagnosis, sum(cost) AS s FROM visits WHERE patient_id = 4242 GROUP BY diagnosis",
    ] {
        let answer = ana.ask(sql, "0.5").await.unwrap();
        assert_eq!(batch(&answer.table).num_rows(), 0, "{sql}");
        let receipt = answer.receipt.unwrap();
        assert_eq!(receipt.releases[0].groups, 0);
        let price = receipt.price.unwrap();
        assert_eq!((price.epsilon.as_str(), price.delta.as_str()), ("", "0.0000001"), "{sql}");
    }
    // However many combinations public keys have beside a private one, nobody's rows can fail the question.
    let many = (1..=12)
        .map(|i| format!("EXTRACT(second FROM CASE WHEN age >= 0 OR age < {i} THEN DATE '2024-01-01' END)"))
        .collect::<Vec<_>>()
        .join(", ");
    let sql = format!(
        "SELECT diagnosis, count(*) AS n FROM visits GROUP BY diagnosis, CASE WHEN patient_id <> 7 THEN 'o' ELSE 't' END, {many}"
    );
    assert!(batch(&ana.ask(&sql, "0.5").await.unwrap().table).num_rows() <= 4);

    // What it costs comes from the delta that the grant keeps for keys.
    assert_eq!(ana.balance().await.0.spent_delta, "0.0000012");
    let mut asked = crate::world::request("SELECT DISTINCT diagnosis FROM visits", "0.5");
    let question = asked.question.as_mut().unwrap();
    question.delta = "2e-7".into();
    assert_eq!(crate::world::code(&ana.execute(asked.clone()).await.unwrap_err()), "INVALID_REQUEST");
    asked.question.as_mut().unwrap().delta = "0".into();
    assert_eq!(crate::world::code(&ana.execute(asked).await.unwrap_err()), "PRIVATE_KEYS");
    running.stop().await.unwrap();
}

/// The interval of the count that selected its own key holds for the keys that are shown, those near the threshold above all.
#[tokio::test(flavor = "multi_thread")]
async fn intervals_of_selected_keys_hold() {
    let world = World::new(&Recipe { patients: 60, groups: 1, delta: "1e-3", grant_delta: "0.9", ..Recipe::default() });
    let (running, context) = (world.serve().await, plain(&world).await);
    let ana = Caller::to(&running, ANA).await;
    // Five groups of about twelve units, and a threshold of about as many.
    let sql = "SELECT patient_id % 5 AS k, count(DISTINCT patient_id) AS n FROM visits GROUP BY k";
    let exact: Vec<Vec<String>> =
        context.sql(sql).await.unwrap().collect().await.unwrap().iter().flat_map(rows).collect();
    let (mut shown, mut held, mut low) = (0u32, 0u32, 0u32);
    for _ in 0..300 {
        let mut asked = crate::world::request(sql, "0.45");
        asked.fresh = true;
        let answer = ana.execute(asked).await.unwrap();
        let threshold = answer.receipt.as_ref().unwrap().releases[0].threshold;
        let ends = rows(&batch(&answer.intervals));
        for (row, ends) in rows(&batch(&answer.table)).iter().zip(&ends) {
            let exact: f64 = exact.iter().find(|e| e[0] == row[0]).unwrap()[1].parse().unwrap();
            let (lower, upper): (f64, f64) = (ends[0].parse().unwrap(), ends[1].parse().unwrap());
            assert!(row[1].parse::<u64>().unwrap() >= threshold && lower >= 1.0, "{row:?} {ends:?}");
            shown += 1;
            held += u32::from((lower..=upper).contains(&exact));
            low += u32::from(exact < threshold as f64);
        }
    }
    // Five standard deviations below 95 % of what was shown; most of it by luck.
    assert!(shown > 100 && low * 2 > shown, "{shown} shown, {low} of them by luck");
    let least = f64::from(shown) * 0.95 - 5.0 * (f64::from(shown) * 0.95 * 0.05).sqrt();
    assert!(f64::from(held) >= least, "{held} of {shown}");
    running.stop().await.unwrap();
}

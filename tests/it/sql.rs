//! What is refused, with which code, where and why; and the algebra of what is accepted.

use crate::world::{Recipe, World};
use expect_test::{Expect, expect};
use std::sync::Arc;
use undertone::algebra::{Domain, Relation};
use undertone::catalog::{self, Dataset, ReaderOptions, session};
use undertone::engine::Workers;
use undertone::error::Error;
use undertone::sql::{self, Statement};

async fn clinic(world: &World) -> Arc<Dataset> {
    let state = session(&ReaderOptions::default()).unwrap();
    catalog::load(&world.path("clinic.toml"), &state).await.unwrap()
}

/// Plans as the server does, on a thread whose stack holds what the limits let through.
async fn plan(dataset: &Arc<Dataset>, text: &str) -> Result<Statement, Error> {
    let (text, dataset) = (text.to_owned(), dataset.clone());
    Workers::start(1).unwrap().compute(move || sql::plan(&text, &[], &dataset)).await
}

/// (statement, code, place as line:column or empty, words of the message)
const REFUSED: &[(&str, &str, &str, &str)] = &[
    // Raw rows, in every disguise.
    ("SELECT * FROM visits", "PRIVATE_ROWS", "1:1", "aggregate them"),
    ("SELECT age + 1 FROM visits WHERE patient_id = 4242", "PRIVATE_ROWS", "1:1", "one patient"),
    ("SELECT 1 FROM visits WHERE patient_id = 4242", "PRIVATE_ROWS", "1:1", ""),
    ("SELECT h.city FROM visits v JOIN hospitals h ON v.hospital = h.hospital", "PRIVATE_ROWS", "1:1", ""),
    ("SELECT v.age FROM visits v JOIN (SELECT count(*) AS n FROM visits) t ON true", "PRIVATE_ROWS", "1:1", ""),
    ("SELECT * FROM (SELECT count(*) AS n FROM visits) t JOIN visits ON n > 0", "PRIVATE_ROWS", "1:1", ""),
    ("WITH v AS (SELECT * FROM visits) SELECT age FROM v ORDER BY age", "PRIVATE_ROWS", "1:34", ""),
    ("SELECT age FROM visits LIMIT 1", "UNSUPPORTED_SQL", "1:24", "limit the groups"),
    (
        "SELECT count(*) FROM (SELECT * FROM visits ORDER BY cost DESC LIMIT 1) t",
        "UNSUPPORTED_SQL",
        "1:63",
        "limit the groups",
    ),
    ("SELECT patient_id, count(*) FROM visits GROUP BY patient_id", "PRIVATE_ROWS", "1:1", ""),
    ("SELECT min(cost) FROM visits", "UNSUPPORTED_SQL", "1:8", "one unit's value"),
    ("SELECT max(age), count(*) FROM visits", "UNSUPPORTED_SQL", "1:8", "use avg"),
    // Private keys.
    ("SELECT diagnosis, count(*) FROM visits GROUP BY diagnosis", "PRIVATE_KEYS", "1:8", "declared domain"),
    ("SELECT age % 10 AS a, count(*) FROM visits GROUP BY age % 10", "PRIVATE_KEYS", "1:44", "private"),
    ("SELECT DISTINCT diagnosis FROM visits", "PRIVATE_KEYS", "1:8", "declared domain"),
    ("SELECT hospital, diagnosis FROM visits GROUP BY hospital, diagnosis", "PRIVATE_KEYS", "1:18", "diagnosis"),
    (
        "SELECT CASE WHEN age > 9 THEN diagnosis ELSE 'x' END AS k, count(*) FROM visits GROUP BY k",
        "PRIVATE_KEYS",
        "1:81",
        "",
    ),
    // Joins.
    (
        "SELECT count(*) FROM visits a JOIN visits b ON a.cost < b.cost",
        "UNSUPPORTED_SQL",
        "1:31",
        "on the privacy unit",
    ),
    ("SELECT count(*) FROM visits v, patients p", "UNSUPPORTED_SQL", "1:17", "on the privacy unit"),
    (
        "SELECT count(*) FROM visits v JOIN patients p ON v.hospital = p.region",
        "UNSUPPORTED_SQL",
        "1:31",
        "on the privacy unit",
    ),
    (
        "SELECT count(*) FROM visits v JOIN patients p ON v.patient_id = p.patient_id OR v.hospital = p.region",
        "UNSUPPORTED_SQL",
        "1:31",
        "",
    ),
    ("SELECT count(*) FROM visits v JOIN patients p ON v.patient_id = p.patient_id + 1", "UNSUPPORTED_SQL", "1:31", ""),
    (
        "SELECT count(*) FROM (SELECT patient_id + 0 AS patient_id FROM visits) v JOIN patients p ON v.patient_id = p.patient_id",
        "UNSUPPORTED_SQL",
        "1:74",
        "",
    ),
    (
        "SELECT count(*) FROM (SELECT age AS patient_id FROM visits) v JOIN patients p ON v.patient_id = p.patient_id",
        "UNSUPPORTED_SQL",
        "1:63",
        "",
    ),
    (
        "SELECT count(*) FROM (SELECT visit_id AS patient_id, patient_id AS visit_id FROM visits) v JOIN patients p ON v.patient_id = p.patient_id",
        "UNSUPPORTED_SQL",
        "1:92",
        "",
    ),
    (
        "SELECT count(*) FROM visits v LEFT JOIN patients p ON v.patient_id = p.patient_id JOIN visits w ON w.patient_id = p.patient_id",
        "UNSUPPORTED_SQL",
        "1:36",
        "",
    ),
    // A preserved public side gives keys, and nothing may see the rows that match nothing.
    (
        "SELECT h.hospital, count(*) FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital GROUP BY h.hospital",
        "UNSUPPORTED_SQL",
        "1:51",
        "which public rows match nothing is private",
    ),
    (
        "SELECT h.hospital, count(v.age) FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital WHERE v.age IS NULL GROUP BY h.hospital",
        "UNSUPPORTED_SQL",
        "1:55",
        "match nothing",
    ),
    (
        "SELECT h.hospital, sum(coalesce(v.age, 7)) FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital GROUP BY h.hospital",
        "UNSUPPORTED_SQL",
        "1:66",
        "match nothing",
    ),
    (
        "SELECT CASE WHEN v.age IS NULL THEN 'none' END AS k, count(v.age) FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital GROUP BY k",
        "UNSUPPORTED_SQL",
        "1:89",
        "match nothing",
    ),
    (
        "SELECT count(p.region) FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital JOIN patients p ON p.patient_id = v.patient_id",
        "UNSUPPORTED_SQL",
        "1:46",
        "comes its GROUP BY",
    ),
    ("SELECT h.hospital FROM hospitals h LEFT JOIN visits v ON h.hospital = v.hospital", "PRIVATE_ROWS", "1:1", ""),
    (
        "SELECT count(*) FROM visits v FULL JOIN hospitals h ON h.hospital = v.hospital",
        "UNSUPPORTED_SQL",
        "1:36",
        "one side only",
    ),
    (
        "SELECT count(*) FROM hospitals h LEFT ANTI JOIN visits v ON h.hospital = v.hospital",
        "UNSUPPORTED_SQL",
        "1:44",
        "aggregate the private rows",
    ),
    (
        "SELECT count(*) FROM visits v LEFT SEMI JOIN patients p ON v.age = p.birth_year",
        "UNSUPPORTED_SQL",
        "1:41",
        "on the privacy unit",
    ),
    (
        "SELECT count(*) FROM visits v WHERE age > 60 OR EXISTS (SELECT 1 FROM patients p WHERE p.patient_id = v.patient_id)",
        "UNSUPPORTED_SQL",
        "1:46",
        "conditions of their own",
    ),
    (
        "SELECT count(*) FROM hospitals h, LATERAL (SELECT * FROM visits v WHERE v.hospital = h.hospital) x",
        "UNSUPPORTED_SQL",
        "1:35",
        "LATERAL",
    ),
    // A foreign key carries the unit only where it is declared and unchanged.
    (
        "SELECT count(*) FROM items i JOIN visits v ON i.item_id = v.visit_id",
        "UNSUPPORTED_SQL",
        "1:30",
        "declared foreign key",
    ),
    ("SELECT count(*) FROM items i JOIN visits v ON i.visit_id = v.visit_id + 1", "UNSUPPORTED_SQL", "1:30", ""),
    ("SELECT count(*) FROM items a JOIN items b ON a.item_id = b.item_id", "UNSUPPORTED_SQL", "1:30", ""),
    (
        "SELECT count(*) FROM items i JOIN (SELECT CASE WHEN age > 3 THEN visit_id ELSE 7 END AS visit_id FROM visits) v ON i.visit_id = v.visit_id",
        "UNSUPPORTED_SQL",
        "1:30",
        "",
    ),
    (
        "SELECT t.hospital, t.n, count(*) FROM visits v JOIN (SELECT hospital, count(*) AS n FROM visits GROUP BY hospital) t ON v.hospital = t.hospital GROUP BY t.hospital",
        "PRIVATE_KEYS",
        "1:22",
        "'n' is not a key",
    ),
    // The column that USING merges would be the left side's alone.
    ("SELECT count(*) FROM visits RIGHT JOIN patients USING (patient_id)", "UNSUPPORTED_SQL", "1:49", "write ON"),
    ("SELECT count(*) FROM visits FULL JOIN patients USING (patient_id)", "UNSUPPORTED_SQL", "1:48", "write ON"),
    ("SELECT count(*) FROM visits NATURAL RIGHT JOIN patients", "UNSUPPORTED_SQL", "1:29", "write ON"),
    ("SELECT count(*) FROM visits WHERE visit_date > 5", "UNSUPPORTED_SQL", "1:1", "write a literal"),
    // Bounds.
    ("SELECT sum(visit_id) FROM visits", "MISSING_BOUNDS", "1:8", "'visit_id' has none declared"),
    ("SELECT avg(age / cost) FROM visits", "MISSING_BOUNDS", "1:8", ""),
    ("SELECT sum(1 / age) FROM visits", "MISSING_BOUNDS", "1:8", ""),
    ("SELECT sum(hospital) FROM visits", "UNSUPPORTED_SQL", "1:8", ""),
    ("SELECT sum(age * 1e200) FROM visits", "MISSING_BOUNDS", "1:8", ""),
    (
        "SELECT sum(n) FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t",
        "MISSING_BOUNDS",
        "1:8",
        "'n' has none declared",
    ),
    // Per-unit aggregates whose result would depend on the order of rows.
    (
        "SELECT count(*) FROM (SELECT patient_id, max(cost) AS c FROM visits GROUP BY patient_id) t WHERE c > 9",
        "UNSUPPORTED_SQL",
        "1:69",
        "CAST to BIGINT",
    ),
    (
        "SELECT count(*) FROM (SELECT patient_id, sum(visit_id / 2.0) AS c FROM visits GROUP BY patient_id) t WHERE c > 9",
        "MISSING_BOUNDS",
        "1:42",
        "needs public bounds",
    ),
    ("SELECT visit_id, count(*) FROM visits GROUP BY visit_id", "PRIVATE_ROWS", "1:39", "belongs to one patient"),
    (
        "SELECT v.visit_id, i.visit_id, count(*) FROM visits v JOIN items i USING (visit_id) GROUP BY v.visit_id, i.visit_id",
        "PRIVATE_ROWS",
        "1:85",
        "have in common",
    ),
    (
        "SELECT count(*) FROM (SELECT avg(age) OVER (PARTITION BY patient_id) AS s FROM visits) t WHERE s > 1",
        "UNSUPPORTED_SQL",
        "1:39",
        "divide a SUM by a COUNT",
    ),
    // Aggregates and functions without a rule.
    ("SELECT median(cost) FROM visits", "UNSUPPORTED_SQL", "1:8", "function median is not supported"),
    ("SELECT array_agg(diagnosis) FROM visits", "UNSUPPORTED_SQL", "1:8", "array_agg"),
    ("SELECT count(*),\n       stddev(cost)\nFROM visits", "UNSUPPORTED_SQL", "2:8", "stddev"),
    ("SELECT sum(DISTINCT age) FROM visits", "UNSUPPORTED_SQL", "1:12", "DISTINCT"),
    ("SELECT count(DISTINCT diagnosis) FROM visits", "UNSUPPORTED_SQL", "1:14", "privacy units"),
    ("SELECT count(DISTINCT patient_id + 0) FROM visits", "UNSUPPORTED_SQL", "1:14", "privacy units"),
    ("SELECT count(*) FILTER (WHERE age > 3) FROM visits", "UNSUPPORTED_SQL", "1:8", "CASE"),
    ("SELECT sum(age) OVER () FROM visits", "UNSUPPORTED_SQL", "1:17", "PARTITION BY"),
    (
        "SELECT count(*) FROM (SELECT rank() OVER (PARTITION BY hospital ORDER BY age) AS r FROM visits) t WHERE r = 1",
        "UNSUPPORTED_SQL",
        "1:37",
        "PARTITION BY",
    ),
    (
        "SELECT sum(beds) OVER (ORDER BY beds GROUPS 1 PRECEDING) FROM hospitals",
        "UNSUPPORTED_SQL",
        "1:1",
        "a frame goes",
    ),
    ("SELECT ntile(0) OVER (ORDER BY beds) FROM hospitals", "UNSUPPORTED_SQL", "1:8", "a literal from 1"),
    ("SELECT lag(beds, -1) OVER (ORDER BY beds) FROM hospitals", "UNSUPPORTED_SQL", "1:8", "a literal from 1"),
    ("SELECT nth_value(beds, 2) OVER (ORDER BY beds) FROM hospitals", "UNSUPPORTED_SQL", "1:8", "not supported"),
    ("SELECT rank() OVER w FROM hospitals WINDOW w AS (ORDER BY beds)", "UNSUPPORTED_SQL", "1:37", "named windows"),
    ("SELECT count(*) FROM visits WHERE random() < 0.5", "UNSUPPORTED_SQL", "1:35", "random"),
    ("SELECT count(*) FROM visits WHERE now() > visit_date", "UNSUPPORTED_SQL", "1:35", "now"),
    ("SELECT count(*) FROM visits WHERE diagnosis SIMILAR TO 'h%'", "UNSUPPORTED_SQL", "1:35", "use LIKE"),
    ("SELECT count(*) FROM visits WHERE diagnosis LIKE hospital", "UNSUPPORTED_SQL", "1:45", "must be a literal"),
    ("SELECT count(*) FROM visits WHERE age LIKE '1%'", "UNSUPPORTED_SQL", "1:1", "LIKE"),
    ("SELECT count(*) FROM visits WHERE diagnosis LIKE 'h#%' ESCAPE '#'", "UNSUPPORTED_SQL", "1:56", "backslash"),
    ("SELECT count(*) FROM visits WHERE substring(diagnosis, age, 1) = 'h'", "UNSUPPORTED_SQL", "1:35", "as literals"),
    (
        "SELECT count(*) FROM visits WHERE EXTRACT(EPOCH FROM visit_date) = 2020",
        "UNSUPPORTED_SQL",
        "1:1",
        "takes one of year",
    ),
    (
        "SELECT count(*) FROM visits WHERE date_trunc(hospital, visit_date) IS NULL",
        "UNSUPPORTED_SQL",
        "1:35",
        "takes one of",
    ),
    ("SELECT count(*) FROM visits WHERE date_part('year', age) = 1", "UNSUPPORTED_SQL", "1:35", "needs a DATE"),
    (
        "SELECT date_trunc('second', visit_date) AS s, count(*) FROM visits GROUP BY s",
        "PRIVATE_KEYS",
        "1:68",
        "no delta",
    ),
    (
        "SELECT count(*) FROM visits WHERE visit_date + INTERVAL '1 day' > DATE '2020-01-01'",
        "UNSUPPORTED_SQL",
        "1:48",
        "INTERVAL",
    ),
    (
        "SELECT date_bin(INTERVAL '1 month', visit_date) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "months differ in length",
    ),
    (
        "SELECT date_bin(INTERVAL '-1 day', visit_date) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "above 0",
    ),
    (
        "SELECT date_bin(INTERVAL '1 day', visit_date, visit_date) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "origin",
    ),
    (
        "SELECT count(*) FROM visits WHERE date_bin(INTERVAL '1 day', age) IS NULL",
        "UNSUPPORTED_SQL",
        "1:35",
        "needs a DATE",
    ),
    (
        "SELECT width_bucket(age, 5, 5, 3) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "two different numbers",
    ),
    (
        "SELECT width_bucket(age, 5, cost, 3) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "as literals",
    ),
    (
        "SELECT width_bucket(hospital, 5, 6, 3) AS b, count(*) FROM visits GROUP BY b",
        "UNSUPPORTED_SQL",
        "1:8",
        "needs a number",
    ),
    (
        "SELECT width_bucket(age, 5, 6, 3000000) AS b, count(*) FROM visits GROUP BY b",
        "PRIVATE_KEYS",
        "1:68",
        "no delta",
    ),
    ("SELECT count(*) FROM visits WHERE hospital || diagnosis = 'x'", "UNSUPPORTED_SQL", "1:44", "||"),
    ("SELECT count(CAST(cost AS DECIMAL(5, 2))) FROM visits", "UNSUPPORTED_SQL", "1:14", "DOUBLE"),
    ("SELECT count(CAST(visit_date AS VARCHAR)) FROM visits", "UNSUPPORTED_SQL", "1:14", "CAST of DATE"),
    ("SELECT count(*) FROM visits WHERE visit_date = DATE '2020-13-77'", "UNSUPPORTED_SQL", "1:53", "not a valid DATE"),
    ("SELECT count(*) FROM visits WHERE age = $1", "INVALID_REQUEST", "1:41", "parameter 1 has no value"),
    ("SELECT count(*) FROM visits WHERE age = 'x'", "UNSUPPORTED_SQL", "1:41", "not a valid BIGINT"),
    // Subqueries in expressions.
    (
        "SELECT CASE WHEN (SELECT diagnosis FROM visits WHERE patient_id = 4242) = 'hiv' THEN 1 ELSE 0 END",
        "UNSUPPORTED_SQL",
        "1:18",
        "must have one row",
    ),
    (
        "SELECT count(*) FROM visits v WHERE cost > (SELECT w.cost FROM visits w WHERE w.patient_id = v.patient_id)",
        "UNSUPPORTED_SQL",
        "1:13",
        "must have one row",
    ),
    (
        "SELECT count(*) FROM visits WHERE cost > (SELECT avg(cost) FROM visits GROUP BY hospital)",
        "UNSUPPORTED_SQL",
        "1:13",
        "must have one row",
    ),
    (
        "SELECT count(*) FROM visits WHERE hospital IN (SELECT hospital FROM patients p JOIN visits v USING (patient_id))",
        "UNSUPPORTED_SQL",
        "1:80",
        "on the privacy unit",
    ),
    (
        "SELECT count(*) FROM visits WHERE diagnosis NOT IN (SELECT diagnosis FROM visits)",
        "UNSUPPORTED_SQL",
        "1:49",
        "NOT IN over private rows",
    ),
    (
        "SELECT count(*) FROM hospitals h WHERE EXISTS (SELECT 1 FROM visits v WHERE v.hospital = h.hospital)",
        "UNSUPPORTED_SQL",
        "1:40",
        "aggregate the private rows",
    ),
    (
        "SELECT count(*) FROM visits WHERE patient_id IN (SELECT patient_id FROM visits ORDER BY cost LIMIT 5)",
        "UNSUPPORTED_SQL",
        "1:94",
        "aggregate first",
    ),
    (
        "SELECT count(*), (SELECT count(*) FROM visits v WHERE v.age > h.beds) FROM hospitals h GROUP BY h.beds",
        "UNSUPPORTED_SQL",
        "1:1",
        "",
    ),
    (
        "SELECT count(*) FROM patients p WHERE EXISTS (SELECT count(*) FROM visits v WHERE v.patient_id = p.patient_id)",
        "UNSUPPORTED_SQL",
        "1:39",
        "compare its value",
    ),
    (
        "SELECT count(*) FROM patients p WHERE 0 IN (SELECT count(*) FROM visits v WHERE v.patient_id = p.patient_id)",
        "UNSUPPORTED_SQL",
        "1:41",
        "compare its value",
    ),
    (
        "SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM hospitals h WHERE h.beds < v.cost QUALIFY row_number() OVER (ORDER BY h.beds) = 4)",
        "UNSUPPORTED_SQL",
        "1:37",
        "window function in a correlated",
    ),
    (
        "SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM hospitals h WHERE h.beds < v.cost LIMIT 0)",
        "UNSUPPORTED_SQL",
        "1:93",
        "without rows",
    ),
    (
        "SELECT count(*) FROM (SELECT last_value(age) OVER (PARTITION BY patient_id ORDER BY visit_date) AS x FROM visits) t WHERE x > 1",
        "UNSUPPORTED_SQL",
        "1:30",
        "write ROWS",
    ),
    (
        "SELECT count(*) FROM patients p WHERE (SELECT max(n) FROM (SELECT hospital, count(*) AS n FROM visits v WHERE v.patient_id = p.patient_id GROUP BY hospital) t) > 2",
        "UNSUPPORTED_SQL",
        "1:13",
        "put it into FROM",
    ),
    // Set operations and groupings.
    (
        "SELECT count(*) FROM (SELECT hospital FROM visits UNION ALL SELECT hospital FROM hospitals) t",
        "UNSUPPORTED_SQL",
        "1:51",
        "aggregate the private rows first",
    ),
    (
        "SELECT patient_id, hospital FROM visits UNION SELECT patient_id, region FROM patients",
        "PRIVATE_ROWS",
        "1:1",
        "",
    ),
    (
        "SELECT count(*) FROM (SELECT patient_id FROM visits UNION ALL SELECT visit_id FROM visits) t GROUP BY patient_id",
        "PRIVATE_KEYS",
        "1:30",
        "no delta",
    ),
    ("SELECT patient_id FROM visits INTERSECT SELECT patient_id FROM patients", "PRIVATE_ROWS", "1:1", ""),
    (
        "SELECT region FROM patients INTERSECT SELECT hospital FROM visits",
        "UNSUPPORTED_SQL",
        "1:1",
        "aggregate the private rows",
    ),
    (
        "SELECT hospital FROM hospitals EXCEPT SELECT hospital FROM visits",
        "UNSUPPORTED_SQL",
        "1:1",
        "aggregate the private rows",
    ),
    ("SELECT city FROM hospitals EXCEPT ALL SELECT 'Ulm'", "UNSUPPORTED_SQL", "1:28", "distinct rows"),
    (
        "SELECT hospital, diagnosis, count(*) FROM visits GROUP BY ROLLUP (hospital, diagnosis)",
        "PRIVATE_KEYS",
        "1:18",
        "no delta",
    ),
    (
        "SELECT patient_id, hospital, count(*) FROM visits GROUP BY ROLLUP (patient_id, hospital)",
        "UNSUPPORTED_SQL",
        "1:51",
        "in some groupings",
    ),
    (
        "SELECT count(*) FROM visits GROUP BY CUBE (age > 1, age > 2, age > 3, age > 4, age > 5, age > 6, age > 7)",
        "UNSUPPORTED_SQL",
        "1:29",
        "groupings",
    ),
    (
        "SELECT hospital, grouping(hospital), count(*) FROM visits GROUP BY ROLLUP (hospital)",
        "UNSUPPORTED_SQL",
        "1:18",
        "not supported",
    ),
    ("SELECT DISTINCT ON (hospital) hospital, patient_id FROM visits", "UNSUPPORTED_SQL", "1:17", "DISTINCT ON"),
    // Other statements and clauses.
    ("EXPLAIN SELECT count(*) FROM visits", "UNSUPPORTED_SQL", "1:1", "EXPLAIN"),
    ("COPY (SELECT * FROM visits) TO 'leak.csv'", "UNSUPPORTED_SQL", "1:1", "COPY"),
    ("INSERT INTO visits VALUES (1)", "UNSUPPORTED_SQL", "1:1", "nothing can be changed"),
    ("SET x = 1", "UNSUPPORTED_SQL", "1:1", "SET"),
    ("SELECT count(*) FROM visits; SELECT * FROM visits", "UNSUPPORTED_SQL", "1:30", "one statement"),
    ("SELECT count(*) INTO leak FROM visits", "UNSUPPORTED_SQL", "1:17", "INTO"),
    ("SELECT count(*) FROM visits TABLESAMPLE (10 PERCENT)", "UNSUPPORTED_SQL", "1:29", "TABLESAMPLE"),
    ("SELECT count(*) FROM visits FOR UPDATE", "UNSUPPORTED_SQL", "1:29", "locks nothing"),
    ("SELECT count(*) FROM visits FETCH FIRST 1 ROWS ONLY", "UNSUPPORTED_SQL", "1:29", "LIMIT"),
    (
        "WITH RECURSIVE r AS (SELECT patient_id FROM visits UNION ALL SELECT patient_id FROM r) SELECT count(*) FROM r",
        "UNSUPPORTED_SQL",
        "1:6",
        "RECURSIVE",
    ),
    ("SELECT count(*) FROM generate_series(1, 10)", "UNSUPPORTED_SQL", "1:17", "table functions"),
    ("SELECT count(*) FROM unnest(make_array(1, 2))", "UNSUPPORTED_SQL", "1:17", ""),
    ("SELECT count(*) AS n FROM visits UNION ALL SELECT TOP 1 beds FROM hospitals", "UNSUPPORTED_SQL", "1:51", "LIMIT"),
    (
        "SELECT count(*) AS n FROM visits UNION ALL BY NAME SELECT beds AS n FROM hospitals",
        "UNSUPPORTED_SQL",
        "1:44",
        "order",
    ),
    // Work that follows from public numbers.
    (
        "SELECT count(*) FROM hospitals a, hospitals b, hospitals c, hospitals d, hospitals e, hospitals f, hospitals g, hospitals h, hospitals i, hospitals j, hospitals k, hospitals l",
        "UNSUPPORTED_SQL",
        "1:17",
        "more than 10000000 rows",
    ),
    (
        "SELECT count(*) FROM visits CROSS JOIN (SELECT a.city FROM hospitals a, hospitals b, hospitals c, hospitals d, hospitals e, hospitals f, hospitals g) x",
        "UNSUPPORTED_SQL",
        "1:35",
        "could meet 16384 public rows",
    ),
    ("SELECT count(*) AS n, 3 AS n_lower FROM visits", "UNSUPPORTED_SQL", "1:28", "another name"),
    // Names.
    ("SELECT count(*) FROM visit", "UNKNOWN_TABLE", "1:22", "'visit' in dataset 'clinic'"),
    ("SELECT count(*) FROM '/etc/passwd'", "UNKNOWN_TABLE", "1:22", "there are visits"),
    ("SELECT * FROM information_schema.tables", "UNKNOWN_TABLE", "1:15", ""),
    ("SELECT count(*)\nFROM visits\nWHERE agee > 3", "UNKNOWN_COLUMN", "3:7", "agee"),
    ("SELECT count(secret) FROM visits", "UNKNOWN_COLUMN", "1:14", "secret"),
    // Syntax.
    ("SELEC 1", "SYNTAX", "1:1", ""),
    ("SELECT count(* FROM visits", "SYNTAX", "1:16", ""),
    ("", "SYNTAX", "", "empty"),
    ("SELECT 'abc", "SYNTAX", "1:8", ""),
];

#[tokio::test]
async fn refusals_have_code_place_and_remedy() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let dataset = clinic(&world).await;
    let mut wrong = Vec::new();
    for (text, code, place, words) in REFUSED {
        match sql::plan(text, &[], &dataset) {
            Ok(_) => wrong.push(format!("accepted: {text}")),
            Err(e) => {
                let at = e.at.map(|p| p.to_string()).unwrap_or_default();
                let placed = at == *place;
                if e.code.name() != *code || !placed || !e.message.contains(words) {
                    wrong.push(format!(
                        "{text}\n   wanted {code} at {place} with '{words}'\n   got    {} at {at}: {}",
                        e.code.name(),
                        e.message
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));
}

#[tokio::test]
async fn deep_and_long_text_is_refused_and_nothing_falls_over() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let dataset = clinic(&world).await;
    let select = |condition: String| format!("SELECT count(*) FROM visits WHERE {condition}");
    let deep = "(".repeat(10_000) + "age" + &")".repeat(10_000) + " > 1";
    for (text, code) in [
        (select(deep), "SQL_TOO_LONG"),
        (select("(".repeat(3_000) + "age" + &")".repeat(3_000) + " > 1"), "SQL_TOO_DEEP"),
        (select("NOT ".repeat(4_000) + "age > 1"), "SQL_TOO_DEEP"),
        (select("-".repeat(1_000).replace('-', "- ") + "age > 1"), "SQL_TOO_DEEP"),
        (select(vec!["age = 1"; 20_000].join(" OR ")), "SQL_TOO_LONG"),
        (select(vec!["1"; 4_000].join(" + ") + " > age"), "SQL_TOO_DEEP"),
        (select(format!("age > 1 -- {}", "x".repeat(200_000))), "SQL_TOO_LONG"),
    ] {
        let e = plan(&dataset, &text).await.err().unwrap_or_else(|| panic!("accepted: {}...", &text[..60]));
        assert_eq!(e.code.name(), code, "{}...: {e}", &text[..60]);
    }
    // What is short and would become a huge plan.
    let chain = |links: usize, uses: &str| {
        let ctes = (1..=links).map(|i| format!("c{i} AS (SELECT {uses} FROM c{} a, c{} b)", i - 1, i - 1));
        let ctes = std::iter::once("c0 AS (SELECT count(*) AS n FROM visits)".to_owned()).chain(ctes);
        format!("WITH {} SELECT n FROM c{links}", ctes.collect::<Vec<_>>().join(", "))
    };
    let line = |links: usize| {
        let ctes = (1..=links).map(|i| format!("c{i} AS (SELECT n FROM c{})", i - 1));
        let ctes = std::iter::once("c0 AS (SELECT count(*) AS n FROM visits)".to_owned()).chain(ctes);
        format!("WITH {} SELECT n FROM c{links}", ctes.collect::<Vec<_>>().join(", "))
    };
    let coalesce = |depth: usize| "coalesce(".repeat(depth) + "age" + &", 1)".repeat(depth);
    let between =
        |depth: usize| (0..depth).fold("age".to_owned(), |e, _| format!("CAST({e} BETWEEN 1 AND 2 AS BIGINT)"));
    let nullif = |depth: usize| "nullif(".repeat(depth) + "age" + &", 1)".repeat(depth);
    let in_list = |depth: usize| {
        (0..depth).fold("age".to_owned(), |e, _| format!("CAST({e} IN ({}) AS BIGINT)", vec!["1"; 200].join(",")))
    };
    let one = "SELECT count(*) AS n FROM visits";
    for (text, code) in [
        (chain(28, "a.n + b.n AS n"), "SQL_TOO_LONG"),
        (chain(12, "a.n * b.n AS n"), "SQL_TOO_LONG"),
        (line(900), "SQL_TOO_LONG"),
        (vec![one; 500].join(" UNION ALL "), "SQL_TOO_LONG"),
        (
            format!(
                "SELECT count(*) FROM hospitals h0{}",
                (1..500).map(|i| format!(" JOIN hospitals h{i} ON h{i}.hospital = h0.hospital")).collect::<String>()
            ),
            "SQL_TOO_LONG",
        ),
        (
            format!(
                "SELECT count(*) FROM {}",
                (0..3_000).map(|i| format!("hospitals h{i}")).collect::<Vec<_>>().join(", ")
            ),
            "SQL_TOO_LONG",
        ),
        (select(coalesce(40) + " > 1"), "SQL_TOO_LONG"),
        (select(between(40) + " > 1"), "SQL_TOO_DEEP"),
        (select(nullif(40) + " > 1"), "SQL_TOO_LONG"),
        (select(in_list(7) + " > 1"), "SQL_TOO_LONG"),
        (select(format!("diagnosis = '{}'", "x".repeat(1_025))), "SQL_TOO_LONG"),
        (
            (1..14).fold("SELECT count(*) FROM visits v0".to_owned(), |sql, i| {
                format!("{sql} JOIN visits v{i} ON v{i}.patient_id = v0.patient_id")
            }),
            "SQL_TOO_LONG",
        ),
    ] {
        let e = plan(&dataset, &text).await.err().unwrap_or_else(|| panic!("accepted: {}...", &text[..60]));
        assert_eq!(e.code.name(), code, "{}...: {e}", &text[..60]);
    }
    // What is long and flat is answered, and so is what is deep within reason.
    for text in [
        select(vec!["age = 1"; 2_000].join(" OR ")),
        select(format!("age IN ({})", vec!["7"; 4_000].join(", "))),
        select(coalesce(8) + " > 1"),
        chain(3, "a.n + b.n AS n"),
        line(40),
        vec![one; 45].join(" UNION ALL "),
    ] {
        let planned = plan(&dataset, &text).await;
        assert!(planned.is_ok(), "{}...: {:?}", &text[..60], planned.err());
    }
}

/// The algebra of a statement, in a notation of one line per operator.
fn check(statement: &Statement, expected: Expect) {
    let mut text = String::new();
    for (i, fixed) in statement.query.fixed.iter().enumerate() {
        text += &format!("fixed {i}:\n");
        draw(fixed, 1, &mut text);
    }
    for (i, release) in statement.query.releases.iter().enumerate() {
        let values = |d: &Domain| format!("{} values", d.len());
        let keys: Vec<_> = release.keys.iter().map(|k| k.domain.as_ref().map_or("private".into(), values)).collect();
        text += &format!(
            "release {i}: keys [{}] measures {} outputs {:?}\n",
            keys.join(", "),
            release.measures.len(),
            release.outputs
        );
        draw(&release.input, 1, &mut text);
    }
    text += "post:\n";
    draw(&statement.query.post, 1, &mut text);
    expected.assert_eq(&text);
}

fn draw(relation: &Relation, depth: usize, text: &mut String) {
    let line = match relation {
        Relation::Public { table, columns } => format!("public {table} {columns:?}"),
        Relation::Protected { table, columns } => format!("protected {table} {columns:?}"),
        Relation::Released(id) => format!("released {id}"),
        Relation::Fixed(id) => format!("fixed {id}"),
        Relation::Rows { rows, .. } => format!("rows {}", rows.len()),
        Relation::Filter { predicate, .. } => format!("filter {predicate:?}"),
        Relation::Project { exprs, .. } => format!("project {}", exprs.len()),
        Relation::Join { kind, on, filter, .. } => format!("join {kind:?} on {on:?} filter {}", filter.is_some()),
        Relation::Aggregate { keys, folds, .. } => {
            format!("aggregate {keys:?} {:?}", folds.iter().map(|f| f.kind).collect::<Vec<_>>())
        }
        Relation::Window { call, .. } => format!("window {:?} by {:?}", call.function, call.partition),
        Relation::Cap { rows, .. } => format!("cap {rows}"),
        Relation::Sort { keys, .. } => format!("sort {}", keys.len()),
        Relation::Limit { skip, fetch, .. } => format!("limit {skip} {fetch:?}"),
        Relation::Union(_) => "union".into(),
    };
    *text += &format!("{}{line}\n", "  ".repeat(depth));
    for input in relation.inputs() {
        draw(input, depth + 1, text);
    }
}

#[tokio::test]
async fn statements_lower_to_the_algebra() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let dataset = clinic(&world).await;
    let plan_in = |dataset: &Dataset, text: &str| sql::plan(text, &[], dataset).unwrap();
    let plan = |text: &str| plan_in(&dataset, text);
    let world = World::new(&Recipe { patients: 20, delta: "1e-6", ..Recipe::default() });
    let open = clinic(&world).await;

    // COUNT and AVG share one count of the same column; the key's values come from a public table.
    check(
        &plan(
            "SELECT hospital, count(age), avg(age), sum(age) FROM visits WHERE age > 9 GROUP BY hospital ORDER BY 2 LIMIT 3",
        ),
        expect![[r#"
            release 0: keys [4 values] measures 3 outputs [Count(0), Mean { sum: 1, count: 0 }, Sum { sum: 2, whole: true }]
              filter Compare(Greater, Column(2), Literal(Int(9)))
                protected 0 [2, 4]
            post:
              project 10
                limit 0 Some(3)
                  sort 1
                    project 22
                      released 0
        "#]],
    );
    // Both sides of a join that could multiply rows are cut down per unit; the unit stays in column 0.
    check(
        &plan(
            "SELECT count(DISTINCT v.patient_id) FROM visits v LEFT JOIN patients p ON v.patient_id = p.patient_id AND v.age > p.birth_year",
        ),
        expect![[r#"
            release 0: keys [] measures 1 outputs [Count(0)]
              project 5
                join Left on [(Column(1), Column(1))] filter true
                  cap 100
                    protected 0 [1, 4]
                  cap 100
                    protected 1 [0, 2]
            post:
              project 3
                project 7
                  released 0
        "#]],
    );
    // A unique public key looks rows up without multiplying them.
    check(
        &plan("SELECT city, count(*) FROM visits JOIN hospitals USING (hospital) GROUP BY city"),
        expect![[r#"
            release 0: keys [3 values] measures 1 outputs [Count(0)]
              join Inner on [(Column(1), Column(0))] filter false
                protected 0 [2]
                public 3 [0, 1]
            post:
              project 4
                project 8
                  released 0
        "#]],
    );
    // A CTE used twice is one draw.
    check(
        &plan("WITH n AS (SELECT count(*) AS n FROM visits) SELECT a.n - b.n FROM n a CROSS JOIN n b"),
        expect![[r#"
            release 0: keys [] measures 1 outputs [Count(0)]
              protected 0 []
            post:
              project 3
                project 7
                  join Inner on [] filter false
                    project 7
                      released 0
                    project 7
                      released 0
        "#]],
    );
    // A per-unit aggregate keeps the unit.
    check(
        &plan("SELECT count(*) FROM (SELECT patient_id, count(*) AS n FROM visits GROUP BY patient_id) t WHERE n > 2"),
        expect![[r#"
            release 0: keys [] measures 1 outputs [Count(0)]
              filter Compare(Greater, Column(2), Literal(Int(2)))
                project 3
                  aggregate [Column(0), Column(1)] [Rows]
                    protected 0 [1]
            post:
              project 3
                project 7
                  released 0
        "#]],
    );
    // A declared foreign key carries the unit, and the plan compares it all the same.
    check(
        &plan("SELECT count(DISTINCT v.patient_id) FROM items i JOIN visits v ON i.visit_id = v.visit_id"),
        expect![[r#"
            release 0: keys [] measures 1 outputs [Count(0)]
              project 4
                join Inner on [(Column(1), Column(1)), (Column(0), Column(0))] filter false
                  cap 100
                    protected 2 [1]
                  cap 100
                    protected 0 [0, 1]
            post:
              project 3
                project 7
                  released 0
        "#]],
    );
    // What is beside private rows and not made row by row is computed first.
    check(
        &plan(
            "SELECT count(*) FROM visits v JOIN (SELECT city, max(hospital) AS h FROM hospitals GROUP BY city) t ON v.hospital = t.h",
        ),
        expect![[r#"
            fixed 0:
              project 2
                aggregate [Column(1)] [Max]
                  public 3 [0, 1]
            release 0: keys [] measures 1 outputs [Count(0)]
              join Inner on [(Column(1), Column(1))] filter false
                cap 100
                  protected 0 [2]
                fixed 0
            post:
              project 3
                project 7
                  released 0
        "#]],
    );
    // Keys without public values need a delta; one private key makes all of them private, and units are counted for the selection.
    check(
        &plan_in(&open, "SELECT hospital, diagnosis, sum(age) AS s FROM visits GROUP BY hospital, diagnosis"),
        expect![[r#"
            release 0: keys [4 values, private] measures 2 outputs [Sum { sum: 0, whole: true }]
              protected 0 [2, 3, 4]
            post:
              project 5
                project 9
                  released 0
        "#]],
    );
    check(
        &plan_in(&open, "SELECT DISTINCT diagnosis FROM visits WHERE age > 9"),
        expect![[r#"
        release 0: keys [private] measures 1 outputs []
          project 2
            filter Compare(Greater, Column(2), Literal(Int(9)))
              protected 0 [3, 4]
        post:
          project 1
            released 0
    "#]],
    );
    // A release that feeds another.
    check(
        &plan(
            "SELECT count(*) FROM visits v JOIN (SELECT hospital, count(*) AS n FROM visits GROUP BY hospital) t ON v.hospital = t.hospital AND t.n > 3",
        ),
        expect![[r#"
            release 0: keys [4 values] measures 1 outputs [Count(0)]
              protected 0 [2]
            release 1: keys [] measures 1 outputs [Count(0)]
              join Inner on [(Column(1), Column(0))] filter true
                protected 0 [2]
                project 8
                  released 0
            post:
              project 3
                project 7
                  released 1
        "#]],
    );
}

#[tokio::test]
async fn names_and_white_space_do_not_make_another_question() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let dataset = clinic(&world).await;
    let plan = |text: &str| sql::plan(text, &[], &dataset).unwrap().query;
    let same =
        ["SELECT count(*) FROM visits WHERE age > 9", "select COUNT( * ) from visits v\n where (v.age > 9) -- hm"];
    assert_eq!(plan(same[0]), plan(same[1]));
    for other in [
        "SELECT count(*) FROM visits WHERE age > 8",
        "SELECT count(*) FROM visits WHERE age >= 9",
        "SELECT count(age) FROM visits WHERE age > 9",
    ] {
        assert_ne!(plan(same[0]), plan(other));
    }
}

/// Texts of one meaning are one question, and what was paid for one is there for the other; texts of another meaning never are.
#[tokio::test]
async fn texts_of_one_meaning_are_one_question() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let dataset = clinic(&world).await;
    let query = |text: &str| sql::plan(text, &[], &dataset).unwrap_or_else(|e| panic!("{text}: {e}")).query;
    let same = [
        "SELECT count(*) FROM visits WHERE age > 30 AND hospital = 'A' AND (cost < 10 OR diagnosis = 'flu')",
        "select COUNT ( 1 )\n from visits v where ('A' = v.hospital) and (diagnosis = 'flu' or cost < 10.0) and ((30 < age))",
        "SELECT count(*) AS n FROM visits AS x WHERE x.hospital = 'A' AND age > 30 AND age > 30 AND (10.00 > cost OR diagnosis = 'flu')",
    ];
    for text in same {
        assert_eq!(query(text), query(same[0]), "{text}");
    }
    let join = [
        "SELECT count(*) FROM visits v JOIN patients p ON v.patient_id = p.patient_id AND v.age > p.birth_year",
        "SELECT count(*) FROM visits a, patients b WHERE b.birth_year < a.age AND b.patient_id = a.patient_id",
    ];
    assert_eq!(query(join[0]), query(join[1]));
    for other in [
        "SELECT count(*) FROM visits WHERE age >= 30 AND hospital = 'A' AND (cost < 10 OR diagnosis = 'flu')",
        "SELECT count(*) FROM visits WHERE age > 30 AND (hospital = 'A' AND cost < 10 OR diagnosis = 'flu')",
        "SELECT count(*) FROM visits WHERE 30 > age AND hospital = 'A' AND (cost < 10 OR diagnosis = 'flu')",
        "SELECT count(*) FROM visits WHERE age > 30 AND hospital = 'a' AND (cost < 10 OR diagnosis = 'flu')",
        "SELECT count(cost) FROM visits WHERE age > 30 AND hospital = 'A' AND (cost < 10 OR diagnosis = 'flu')",
    ] {
        assert_ne!(query(other), query(same[0]), "{other}");
    }
}

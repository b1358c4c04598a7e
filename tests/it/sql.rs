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
    for (one, other) in [
        (
            "SELECT sum(age) FROM visits WHERE age BETWEEN 10 AND 20",
            "SELECT sum((v.age)) AS s FROM visits v WHERE 10 <= age AND age <= 20",
        ),
        (
            "SELECT count(*) FROM (SELECT * FROM visits WHERE age > 5) t",
            "WITH w AS (SELECT * FROM visits WHERE age > 5) SELECT count(*) FROM w",
        ),
        (
            "SELECT count(*) FROM visits WHERE hospital IN ('A', 'B')",
            "SELECT count(*) FROM visits WHERE hospital = 'B' OR hospital = 'A'",
        ),
        ("SELECT sum(age * 2 + cost) FROM visits", "SELECT sum(cost + 2 * age) FROM visits"),
        (
            "SELECT avg(CASE WHEN age > 3 AND cost > 1 THEN age END) FROM visits",
            "SELECT avg(CASE WHEN 1 < cost AND 3 < age THEN age END) AS a FROM visits",
        ),
        ("SELECT count(*) FROM visits WHERE cost > 1.50", "SELECT count(*) FROM visits WHERE cost > 15e-1"),
        (
            "SELECT hospital, count(*) FROM visits GROUP BY hospital",
            "SELECT v.hospital AS h, count(1) AS n FROM visits AS v GROUP BY 1",
        ),
        (
            "SELECT count(*) FROM visits WHERE age > 1 AND hospital = 'A' OR age > 1 AND hospital = 'B'",
            "SELECT count(*) FROM visits WHERE age > 1 AND (hospital = 'A' OR hospital = 'B')",
        ),
        (
            "SELECT count(*) FROM visits WHERE visit_date > DATE '2021-01-31'",
            "SELECT count(*) FROM visits WHERE visit_date > DATE '2020-12-31' + INTERVAL '1 month'",
        ),
        (
            "SELECT count(*) FROM visits v, patients p, hospitals h WHERE v.patient_id = p.patient_id AND h.hospital = v.hospital",
            "SELECT count(*) FROM visits a JOIN patients b ON b.patient_id = a.patient_id JOIN hospitals c ON c.hospital = a.hospital",
        ),
    ] {
        assert_eq!(query(one), query(other), "{one}\n{other}");
    }
    for (one, other) in [
        ("SELECT sum(age - cost) FROM visits", "SELECT sum(cost - age) FROM visits"),
        (
            "SELECT count(*) FROM visits WHERE age > 1 OR cost > 1",
            "SELECT count(*) FROM visits WHERE age > 1 AND cost > 1",
        ),
        ("SELECT count(*) FROM visits WHERE NOT (age > 1)", "SELECT count(*) FROM visits WHERE age > 1"),
        (
            "SELECT count(*) FROM visits WHERE hospital LIKE 'a%'",
            "SELECT count(*) FROM visits WHERE hospital ILIKE 'a%'",
        ),
        ("SELECT count(*, epsilon => 1) FROM visits", "SELECT count(*, epsilon => 2) FROM visits"),
        (
            "SELECT sum(age, contribution_bounds_per_row => (0, 1)) FROM visits",
            "SELECT sum(age, contribution_bounds_per_group => (0, 1)) FROM visits",
        ),
        (
            "SELECT count(*) FROM visits v LEFT JOIN patients p USING (patient_id)",
            "SELECT count(*) FROM visits v JOIN patients p USING (patient_id)",
        ),
    ] {
        assert_ne!(query(one), query(other), "{one}\n{other}");
    }
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

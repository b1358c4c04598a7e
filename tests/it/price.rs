//! What a price buys: the noise that is chosen for it, and the price that is found for an error.

use crate::world::{ANA, BEN, Caller, Recipe, World, batch, code, request, rows};
use undertone::proto;

const COUNT: &str = "SELECT count(*) AS n FROM visits";
const BY_HOSPITAL: &str = "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital";

fn world(grants: [&'static str; 2]) -> World {
    World::new(&Recipe {
        mechanism: "automatic",
        max_epsilon: "1",
        delta: "1e-7",
        grants,
        groups: 4,
        ..Recipe::default()
    })
}

fn accuracy(sql: &str, accuracy: proto::Accuracy) -> proto::ExecuteRequest {
    let mut request = request(sql, "");
    request.question.as_mut().unwrap().accuracy = Some(accuracy);
    request
}

fn error(error: f64) -> proto::Accuracy {
    proto::Accuracy { error: Some(error), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_chosen_for_the_price() {
    let world = world(["1", "1"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let choice = async |sql: &str| {
        let quote = ana.quote(sql, "0.1").await.unwrap_or_else(|e| panic!("{sql}: {}", e.message()));
        let release = quote.releases[0].clone();
        (release.numbers[0].mechanism.clone(), release.choice, quote.price.unwrap().epsilon)
    };
    let (mechanism, why, epsilon) = choice(COUNT).await;
    assert_eq!((mechanism.as_str(), epsilon.as_str()), ("discrete Laplace", "0.1"));
    assert!(why.starts_with("Laplace noise: for as much of the grant Gaussian noise would have 1."), "{why}");
    let (mechanism, why, epsilon) = choice(BY_HOSPITAL).await;
    assert_eq!((mechanism.as_str(), epsilon.as_str()), ("discrete Gaussian", ""));
    assert!(why.starts_with("Gaussian noise: for as much of the grant Laplace noise would have "), "{why}");
    // Private keys end the pure ledger.
    let (mechanism, ..) = choice("SELECT age, count(DISTINCT patient_id) AS n FROM visits GROUP BY age").await;
    assert_eq!(mechanism, "discrete Gaussian");
    // What is asked for is done.
    let mut fixed = request(BY_HOSPITAL, "0.1").question.unwrap();
    fixed.mechanism = proto::Mechanism::Laplace.into();
    let quote = ana.quote_of(fixed).await.unwrap();
    assert_eq!(quote.releases[0].choice, "Laplace noise, as the question or the dataset's policy asks");
    // An epsilon of a tenth of the grant buys ten questions, whichever noise they have.
    let mut answered = 0;
    for sql in [BY_HOSPITAL; 12] {
        let asked = ana.execute(proto::ExecuteRequest { fresh: true, ..request(sql, "0.1") }).await;
        answered += usize::from(asked.is_ok());
    }
    assert!(answered >= 10, "{answered}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_noisy_count_serves_all_that_need_it() {
    let world = World::new(&Recipe { rows: 1, mechanism: "automatic", delta: "1e-7", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    for (sql, numbers) in [
        ("SELECT count(*) AS n, count(DISTINCT patient_id) AS u FROM visits", 1),
        // The threshold of private keys too.
        ("SELECT age, count(*) AS n, count(DISTINCT patient_id) AS u FROM visits GROUP BY age", 1),
        ("SELECT count(age) AS n, avg(age) AS a FROM visits", 2),
        ("SELECT avg(age) AS a, stddev(age) AS s, count(age) AS n FROM visits", 3),
        ("SELECT count(*) AS n, count(*) FILTER (WHERE age > 30) AS u FROM visits", 2),
    ] {
        let quote = ana.quote(sql, "1").await.unwrap();
        let found = &quote.releases[0].numbers;
        assert_eq!(found.len(), numbers, "{sql}");
        assert!((found.iter().map(|number| number.share).sum::<f64>() - 1.0).abs() < 1e-9, "{sql}");
    }
    // With several rows each, rows are not units.
    running.stop().await.unwrap();
    let world = World::new(&Recipe { rows: 2, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let quote = ana.quote("SELECT count(*) AS n, count(DISTINCT patient_id) AS u FROM visits", "1").await.unwrap();
    assert_eq!(quote.releases[0].numbers.len(), 2);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_becomes_the_smallest_price() {
    let world = world(["1", "1"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let clause =
        |options: &str| format!("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) count(*) AS n FROM visits");
    // The same asked in the request, in the clause, and as a share.
    let relative = proto::Accuracy { relative_error: Some(0.05), magnitude: Some(1e6), ..Default::default() };
    let quotes = [
        ana.quote_of(accuracy(COUNT, error(50_000.0)).question.unwrap()).await.unwrap(),
        ana.quote_of(accuracy(COUNT, relative).question.unwrap()).await.unwrap(),
        ana.quote(&clause("error = 50000"), "").await.unwrap(),
        ana.quote(&clause("relative_error = 0.05, magnitude = 1000000, confidence = 0.95"), "").await.unwrap(),
    ];
    for quote in &quotes {
        assert_eq!((&quote.price, &quote.question_digest), (&quotes[0].price, &quotes[0].question_digest));
        let half_width = quote.columns[0].half_width;
        assert!(half_width <= 50_000.0 && half_width > 49_500.0, "{half_width}");
        assert!(quote.affordable && quote.advice.is_empty());
    }
    assert!(quotes[0].releases[0].choice.contains("for the same error"), "{}", quotes[0].releases[0].choice);
    // A surer one costs more.
    let price = |quote: &proto::QuoteResponse| quote.price.as_ref().unwrap().rho.parse::<f64>().unwrap();
    let surer = ana.quote(&clause("error = 50000, confidence = 0.999"), "").await.unwrap();
    assert!(price(&surer) > 1.5 * price(&quotes[0]));
    let answer = ana.execute(accuracy(COUNT, error(50_000.0))).await.unwrap();
    assert_eq!(answer.receipt.unwrap().price, quotes[0].price);
    // Of several releases those that say so have an error, and the others the default price.
    let both = "SELECT n, a FROM (SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (error = 50000) count(*) AS n FROM visits) x CROSS JOIN (SELECT avg(age) AS a FROM visits) y";
    let both = ana.quote(both, "").await.unwrap();
    assert!(both.columns[0].half_width <= 50_000.0 && both.columns[1].mechanism.starts_with("ratio"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_too_dear_says_what_could_be_had() {
    let world = world(["1", "0.01"]);
    let running = world.serve().await;
    let (ana, ben) = (Caller::to(&running, ANA).await, Caller::to(&running, BEN).await);
    // Above what one question may cost.
    let refused = ana.quote_of(accuracy(COUNT, error(1.0)).question.unwrap()).await.unwrap_err();
    assert_eq!(code(&refused), "EPSILON_ABOVE_MAXIMUM", "{}", refused.message());
    let words = refused.message();
    assert!(words.starts_with("an error of 1 at 95 % costs epsilon "), "{words}");
    let possible = words.split("what can be paid is an error of ").nth(1).and_then(|rest| rest.split(' ').next());
    let possible: f64 = possible.unwrap_or_else(|| panic!("{words}")).parse().unwrap();
    assert!(
        possible > 1.0 && ana.quote_of(accuracy(COUNT, error(possible)).question.unwrap()).await.is_ok(),
        "{words}"
    );
    let less = accuracy(COUNT, error(possible * 0.97)).question.unwrap();
    assert!(ana.quote_of(less).await.is_err(), "{words}");
    // Above what is left: the quote tells, and asking is refused with the same words.
    let asked = accuracy(COUNT, error(possible));
    let quote = ben.quote_of(asked.question.clone().unwrap()).await.unwrap();
    assert!(
        !quote.affordable && quote.advice.contains("is left; what can be paid is an error of "),
        "{}",
        quote.advice
    );
    let refused = ben.execute(asked).await.unwrap_err();
    assert_eq!(code(&refused), "BUDGET_EXHAUSTED");
    assert!(refused.message().contains(&quote.advice), "{}", refused.message());
    let wide = quote.advice.split("what can be paid is an error of ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(ben.execute(accuracy(COUNT, error(wide.parse().unwrap()))).await.is_ok(), "{wide}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_cannot_be_are_refused() {
    let world = world(["1", "1"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let clause =
        |options: &str, what: &str| format!("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {what} FROM visits");
    for (options, what, words) in [
        ("error = 0", "count(*)", "error must be a number above 0"),
        ("error = 'much'", "count(*)", "error must be a number, but is much"),
        ("error = 5, epsilon = 1", "count(*)", "give one of them"),
        ("error = 5, relative_error = 0.1", "count(*)", "give one of them"),
        ("relative_error = 0.1", "count(*)", "needs the magnitude"),
        ("magnitude = 100", "count(*)", "magnitude is for relative_error"),
        ("confidence = 0.9", "count(*)", "give an error with it"),
        ("error = 5, confidence = 1", "count(*)", "confidence must be from 0.5"),
        ("error = 5e4", "avg(age)", "of counts and sums alone"),
        ("error = 5e4", "count(*), median(age)", "of counts and sums alone"),
        ("error = 5e4", "sum(age, epsilon => 0.1)", "an epsilon of their own"),
    ] {
        let refused = ana.quote(&clause(options, what), "").await.unwrap_err();
        assert!(
            code(&refused) == "INVALID_REQUEST" && refused.message().contains(words),
            "{options}: {}",
            refused.message()
        );
    }
    let mut both = accuracy(COUNT, error(50_000.0)).question.unwrap();
    both.epsilon = "0.1".into();
    let refused = ana.quote_of(both).await.unwrap_err();
    assert!(refused.message().contains("give one of them"), "{}", refused.message());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_not_negative_on_request() {
    let world = World::new(&Recipe { patients: 20, rows: 1, max_epsilon: "1", groups: 1, ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    // Some hospitals have nobody, and there is noise of twenty.
    let sql = "SELECT hospital, count(*) AS n, sum(age) AS s, sum(age - 60) AS d FROM visits WHERE age > 119 GROUP BY hospital";
    let clause =
        sql.replace("SELECT hospital", "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (non_negative = true) hospital");
    let least = async |sql: &str, non_negative: bool| {
        let mut least = [f64::INFINITY; 3];
        for _ in 0..8 {
            let mut asked = proto::ExecuteRequest { fresh: true, ..request(sql, "0.1") };
            asked.question.as_mut().unwrap().non_negative = non_negative;
            let answer = ana.execute(asked).await.unwrap();
            let (table, ends) = (rows(&batch(&answer.table)), rows(&batch(&answer.intervals)));
            for (row, ends) in table.iter().zip(&ends) {
                for (at, least) in least.iter_mut().enumerate() {
                    let [value, low, high]: [f64; 3] =
                        [&row[at + 1], &ends[2 * at], &ends[2 * at + 1]].map(|text| text.parse().unwrap());
                    assert!(low <= value && value <= high, "{row:?} {ends:?}");
                    *least = least.min(low);
                }
            }
        }
        least
    };
    for (sql, asked) in [(sql, true), (clause.as_str(), false)] {
        let [count, sum, difference] = least(sql, asked).await;
        assert!(count == 0.0 && sum == 0.0 && difference < 0.0, "{count} {sum} {difference}");
    }
    assert!(least(sql, false).await.iter().all(|least| *least < 0.0));
    running.stop().await.unwrap();
}

/// Laplace noise has no case any more once the pure ledger is over; what it answered before is still the answer.
#[tokio::test(flavor = "multi_thread")]
async fn noise_is_chosen_for_the_ledger_that_is_left() {
    let world = world(["1", "1"]);
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let other = "SELECT count(*) AS n FROM visits WHERE age > 50";
    let noise = async |sql: &str| ana.quote(sql, "0.1").await.unwrap().releases[0].numbers[0].mechanism.clone();
    let first = ana.ask(COUNT, "0.1").await.unwrap();
    assert_eq!(noise(other).await, "discrete Laplace");
    ana.ask(BY_HOSPITAL, "0.1").await.unwrap();
    assert_eq!(noise(other).await, "discrete Gaussian");
    assert_eq!(ana.quote(other, "0.1").await.unwrap().price.unwrap().epsilon, "");
    let again = ana.ask(COUNT, "0.1").await.unwrap();
    assert!(again.replayed && again.table == first.table);
    running.stop().await.unwrap();
}

//! The demo's session, over real gRPC.

use super::setup::Shop;
use crate::cli::client::Client;
use crate::cli::profile::Target;
use crate::cli::{render, serve, show};
use crate::error::{Code, Error, Result};
use crate::proto::{Answer, Question};
use crate::server::{self, Running};
use std::net::SocketAddr;

const DATASET: &str = "shop";
const PURPOSE: &str = "service-quality";

/// Serves the shop, asks, shows, restarts; with `keep` the server stays until it is interrupted.
pub async fn tour(shop: &Shop, keep: bool) -> Result<()> {
    show(format!("undertone demo: {}, generated\n", shop.counts))?;
    let running = serve(shop).await?;
    let (mut ana, mut ben) = clients(&running, shop).await?;

    title("What may be asked", "undertone datasets")?;
    show(render::datasets(&ana.datasets().await?))?;

    let by_topic =
        "SELECT topic, count(*) AS tickets, avg(minutes) AS minutes FROM tickets GROUP BY topic ORDER BY tickets DESC";
    title(
        "A quote: what it would cost, and how accurate it would be. No data is read",
        &format!("undertone quote --epsilon 1 \"{by_topic}\""),
    )?;
    show(render::quote(&ana.quote(question(by_topic, "1")).await?))?;

    title("The answer, with its error bars", &format!("undertone query --epsilon 1 \"{by_topic}\""))?;
    let first = ask(&mut ana, by_topic, "1").await?;
    show(render::answer(&first)?)?;

    let joined = "SELECT department, sum(amount) AS revenue, count(DISTINCT customer_id) AS customers\n  FROM orders JOIN categories ON orders.category = categories.category\n  WHERE quantity >= 2 GROUP BY department HAVING count(DISTINCT customer_id) > 0 ORDER BY revenue DESC";
    title(
        "A join with a public table, and an exact condition on noisy counts",
        &format!("undertone query --epsilon 1 \"{joined}\""),
    )?;
    let second = ask(&mut ana, joined, "1").await?;
    show(render::answer(&second)?)?;

    title("Its receipt", "kept with the answer, in the ledger")?;
    show(render::receipt(&second.receipt.unwrap_or_default()))?;

    title("Raw rows are refused, for nothing", "undertone query \"SELECT * FROM tickets\"")?;
    let refusal =
        expect_refusal(ana.execute(question("SELECT * FROM tickets", ""), String::new(), false, false).await)?;
    show(format!("{refusal}\n"))?;

    title(
        "Ben's grant is small, and runs out; Ana's does not",
        "undertone query --epsilon 0.3 \"SELECT count(*) FROM orders\"",
    )?;
    let orders = "SELECT count(*) AS orders FROM orders";
    show(format!("ben:\n{}", render::answer(&ask(&mut ben, orders, "0.3").await?)?))?;
    let refusal = expect_refusal(ben.execute(question(orders, "0.3"), String::new(), true, false).await)?;
    if refusal.code != Code::BudgetExhausted {
        return Err(refusal);
    }
    show(format!(
        "\nben, again with a fresh draw:\n{refusal}\n\nana:\n{}",
        render::answer(&ask(&mut ana, orders, "0.3").await?)?
    ))?;

    title("What is left", "undertone budget")?;
    let before = ana.balances(String::new()).await?;
    show(render::balances(&before))?;

    title("After a restart nothing that was spent has come back, and what was answered is answered again", "")?;
    drop((ana, ben));
    running.stop().await?;
    let running = serve(shop).await?;
    let (mut ana, _) = clients(&running, shop).await?;
    let after = ana.balances(String::new()).await?;
    show(render::balances(&after))?;
    let replayed = ana.execute(question(by_topic, "1"), first.query_id.clone(), false, false).await?;
    if before != after || !replayed.replayed || replayed.table != first.table {
        return Err(Error::internal("the ledger changed over a restart"));
    }
    show(format!("the first answer again, byte for byte: {} bytes, nothing charged\n", replayed.table.len()))?;

    if keep {
        keep_serving(&running, shop).await?;
    }
    drop(ana);
    running.stop().await
}

async fn serve(shop: &Shop) -> Result<Running> {
    let mut config = server::load(&shop.config)?;
    config.listen_at(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    server::start(&config).await
}

async fn clients(running: &Running, shop: &Shop) -> Result<(Client, Client)> {
    let url = format!("http://{}", running.address);
    let connect = async |token: &str| Client::connect(&Target::local(&url, token)).await;
    Ok((connect(&shop.ana).await?, connect(&shop.ben).await?))
}

fn question(sql: &str, epsilon: &str) -> Question {
    Question {
        dataset: DATASET.into(),
        sql: sql.into(),
        purpose: PURPOSE.into(),
        epsilon: epsilon.into(),
        ..Question::default()
    }
}

async fn ask(client: &mut Client, sql: &str, epsilon: &str) -> Result<Answer> {
    client.execute(question(sql, epsilon), String::new(), false, true).await
}

fn expect_refusal(result: Result<Answer>) -> Result<Error> {
    match result {
        Ok(_) => Err(Error::internal("a question that must be refused was answered")),
        Err(refusal) => Ok(refusal),
    }
}

fn title(title: &str, command: &str) -> Result<()> {
    let command = if command.is_empty() { String::new() } else { format!("$ {command}\n\n") };
    show(format!("\n== {title}\n\n{command}"))
}

async fn keep_serving(running: &Running, shop: &Shop) -> Result<()> {
    show(format!(
        "\n== The server keeps running until Ctrl-C. In another terminal:\n\n  export UNDERTONE_URL=http://{} UNDERTONE_TOKEN={} UNDERTONE_DATASET={DATASET}\n  cargo run -q -- query \"SELECT region, count(*) AS customers FROM customers GROUP BY region\"\n\nor from Python:\n\n  import undertone\n  client = undertone.connect(dataset=\"{DATASET}\", purpose=\"{PURPOSE}\")\n  client.query(\"SELECT region, count(*) AS customers FROM customers GROUP BY region\")\n",
        running.address, shop.ana
    ))?;
    let mut signals = serve::Signals::listen()?;
    while !matches!(signals.next().await, serve::Signal::Stop) {}
    Ok(())
}

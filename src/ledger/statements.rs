//! The ledger's rules as statements within the writer's transaction. Each either does all it says or returns an error, and
//! then the writer takes back what it did.

use super::{
    Account, Answered, Balance, Claim, FoundBounds, Kind, MAX_ATTEMPTS, MAX_LOST, StoredAnswer, accounts, audit,
    damaged, date, policies, unavailable,
};
use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::num::Amount;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// What a claim came to, before it is durable.
pub enum Decision {
    Run {
        releases: usize,
        charged_at: i64,
    },
    Stored(StoredAnswer),
    /// Run too often: charged, and never to be answered.
    GivenUp,
}

/// An amount as it was written here.
pub fn parse(text: &str) -> Result<Amount> {
    Amount::written(text).ok_or_else(damaged)
}

/// An account as the log has it.
pub fn named(account: &Account) -> serde_json::Value {
    match account.is_pool() {
        true => json!({ "dataset": account.dataset, "pool": true }),
        false => json!({ "dataset": account.dataset, "principal": account.principal, "purpose": account.purpose }),
    }
}

/// Whose a row is.
pub fn account(row: &AnyRow) -> Result<Account> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
    Ok(Account { dataset: text("dataset")?, principal: text("principal")?, purpose: text("purpose")? })
}

fn stored(row: &AnyRow) -> Result<StoredAnswer> {
    let query_id = row.try_get("query_id").map_err(unavailable)?;
    Ok(StoredAnswer { query_id, account: account(row)?, bytes: row.try_get("bytes").map_err(unavailable)? })
}

/// A charge, with the answer that stands under its query id.
async fn charge(db: &mut AnyConnection, principal: &str, query_id: &str) -> Result<Option<AnyRow>> {
    let row = sqlx::query(
        "SELECT mine.query_id, mine.dataset, mine.principal, mine.purpose, mine.request, mine.question, mine.releases, mine.state, mine.attempts,
                mine.charged_at, mine.pool_epsilon, mine.pool_rho, coalesce(mine.answer, other.answer) AS bytes,
                coalesce(mine.expired_at, other.expired_at) AS expired_at
         FROM charges mine LEFT JOIN charges other ON other.principal = mine.principal AND other.query_id = mine.same_as
         WHERE mine.principal = $1 AND mine.query_id = $2",
    );
    row.bind(principal).bind(query_id).fetch_optional(db).await.map_err(unavailable)
}

/// The answer of a charge that has one.
fn kept(row: &AnyRow) -> Result<StoredAnswer> {
    let query_id: String = row.try_get("query_id").map_err(unavailable)?;
    not_expired(row, &query_id).and_then(|()| stored(row))
}

fn not_expired(row: &AnyRow, query_id: &str) -> Result<()> {
    let expired: Option<i64> = row.try_get("expired_at").map_err(unavailable)?;
    expired.map_or(Ok(()), |at| {
        let message = format!(
            "the answer under query id '{query_id}' was kept until {}: asked again under a new query id, the question is answered anew, and paid",
            date(at)
        );
        Err(Error::new(Code::AnswerExpired, message))
    })
}

fn state(row: &AnyRow) -> Result<String> {
    row.try_get("state").map_err(unavailable)
}

/// The answer under a query id of this principal, if it was committed.
pub async fn answer(db: &mut AnyConnection, principal: &str, query_id: &str) -> Result<Option<StoredAnswer>> {
    match charge(db, principal, query_id).await? {
        Some(row) if state(&row)? == "answered" => kept(&row).map(Some),
        _ => Ok(None),
    }
}

/// The query ids of the newest answers that a principal paid for and that are kept, the newest first.
pub async fn newest(db: &mut AnyConnection, principal: &str, most: u32) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT query_id FROM charges WHERE principal = $1 AND state = 'answered' AND same_as IS NULL AND expired_at IS NULL
         ORDER BY charged_at DESC, query_id LIMIT $2",
    );
    let rows = rows.bind(principal).bind(i64::from(most)).fetch_all(db).await.map_err(unavailable)?;
    rows.iter().map(|row| row.try_get("query_id").map_err(unavailable)).collect()
}

/// What is needed to draw once more for an answer under a query id.
pub async fn drawn(
    db: &mut AnyConnection,
    principal: &str,
    query_id: &str,
) -> Result<Option<(Account, Option<Vec<u8>>)>> {
    let row = sqlx::query(
        "SELECT paid.drawn, paid.expired_at, paid.dataset, paid.principal, paid.purpose FROM charges mine
         JOIN charges paid ON paid.principal = mine.principal AND paid.query_id = coalesce(mine.same_as, mine.query_id)
         WHERE mine.principal = $1 AND mine.query_id = $2 AND mine.state = 'answered'",
    );
    let row = row.bind(principal).bind(query_id).fetch_optional(db).await.map_err(unavailable)?;
    let read = |row: AnyRow| {
        not_expired(&row, query_id)?;
        Ok((account(&row)?, row.try_get("drawn").map_err(unavailable)?))
    };
    row.map(read).transpose()
}

/// The question that was charged under a query id and is not answered yet.
pub async fn charged(db: &mut AnyConnection, principal: &str, query_id: &str) -> Result<Option<Vec<u8>>> {
    let row = charge(db, principal, query_id).await?;
    row.filter(|row| state(row).is_ok_and(|state| state == "reserved"))
        .map(|row| row.try_get("question").map_err(unavailable))
        .transpose()
}

/// Whether anything was charged under a query id, whatever became of it.
pub async fn is_charged(db: &mut AnyConnection, principal: &str, query_id: &str) -> Result<bool> {
    charge(db, principal, query_id).await.map(|row| row.is_some())
}

/// The committed answer to this very request under this query id, if there is one.
pub async fn replay(
    db: &mut AnyConnection,
    principal: &str,
    query_id: &str,
    request: &[u8],
) -> Result<Option<StoredAnswer>> {
    let Some(row) = charge(db, principal, query_id).await? else { return Ok(None) };
    same_request(&row, query_id, request)?;
    if state(&row)? == "answered" { kept(&row).map(Some) } else { Ok(None) }
}

fn same_request(row: &AnyRow, query_id: &str, request: &[u8]) -> Result<()> {
    let known: Vec<u8> = row.try_get("request").map_err(unavailable)?;
    if known == request {
        return Ok(());
    }
    Err(Error::new(
        Code::QueryIdReused,
        format!(
            "query id '{query_id}' was used for another request (text, epsilon, limits and `fresh` count): choose a new one"
        ),
    ))
}

/// Decides a claim and debits every account in its scope, or none.
pub async fn reserve(db: &mut AnyConnection, now: i64, claim: &Claim) -> Result<Decision> {
    let known = charge(db, &claim.account.principal, &claim.query_id).await?;
    if let Some(row) = known {
        return again(db, now, claim, &row).await;
    }
    if !claim.fresh
        && let Some(earlier) = earlier(db, &claim.account, &claim.question, claim.before.as_deref()).await?
        && let Some(earlier) = answer(db, &claim.account.principal, &earlier).await?
    {
        insert(db, now, claim, Paid::Before(&earlier.query_id)).await?;
        let mut body = named(&claim.account);
        body["query_id"] = claim.query_id.as_str().into();
        body["same_as"] = earlier.query_id.as_str().into();
        body["call"] = claim.call.into();
        audit::append(db, now, "reuse", &body).await.map_err(unavailable)?;
        return Ok(Decision::Stored(StoredAnswer { query_id: claim.query_id.clone(), ..earlier }));
    }
    if claim.policy.is_some() && policies::in_force(db).await? != claim.policy {
        return Err(Error::new(
            Code::PolicyChanged,
            "the policy has changed meanwhile; nothing was charged: ask again",
        ));
    }
    let payers = payers(db, now, claim).await?;
    for (balance, charge) in &payers {
        accounts::debit(db, now, balance, *charge).await?;
    }
    insert(db, now, claim, Paid::Now).await?;
    let mut body = named(&claim.account);
    body["query_id"] = claim.query_id.as_str().into();
    accounts::put_charge(&mut body, &claim.charge);
    if claim.pool_charge != claim.charge {
        accounts::put_charge(&mut body["of_pool"], &claim.pool_charge);
    }
    let others = payers.iter().map(|(balance, _)| &balance.account);
    let others: Vec<&str> =
        others.filter(|a| matches!(a.kind(), Kind::Team(_) | Kind::Tier(_))).map(|a| a.principal.as_str()).collect();
    if !others.is_empty() {
        body["also"] = others.into();
    }
    if let Some(policy) = &claim.policy {
        body["policy"] = policy.as_str().into();
    }
    body["question"] = hex(&claim.question).into();
    body["call"] = claim.call.into();
    audit::append(db, now, "charge", &body).await.map_err(unavailable)?;
    Ok(Decision::Run { releases: claim.releases, charged_at: now })
}

/// Every account in a claim's scope with what it is to pay, where all of them can.
async fn payers(db: &mut AnyConnection, now: i64, claim: &Claim) -> Result<Vec<(Balance, Charge)>> {
    let own = accounts::find(db, now, &claim.account).await?.ok_or_else(|| no_grant(&claim.account))?;
    let pool = accounts::pool_of(db, now, &own).await?.ok_or_else(|| no_grant(&claim.account))?;
    let mut payers = Vec::new();
    let team = own.team();
    for account in team.iter().chain(&claim.tiers) {
        let other = accounts::find(db, now, account).await?.ok_or_else(|| no_grant(account))?;
        payers.push((other, claim.charge));
    }
    // A claim of the pool's own is paid once.
    if !claim.account.is_pool() {
        payers.insert(0, (own, claim.charge));
    }
    payers.push((pool, claim.pool_charge));
    for (balance, charge) in &payers {
        usable(balance)?;
        if !balance.spent.accepts(&balance.grant, *charge) {
            return Err(exhausted(balance, *charge));
        }
    }
    Ok(payers)
}

/// Whether an account may pay at all.
fn usable(balance: &Balance) -> Result<()> {
    if balance.frozen {
        return Err(frozen(&balance.account));
    }
    if let Some(reason) = &balance.held {
        let message = format!("governance has frozen {}: {reason}. Nothing was charged", balance.account);
        return Err(Error::new(Code::AccountFrozen, message));
    }
    if balance.expired {
        let message =
            format!("the grant of {} has expired: ask governance for another. Nothing was charged", balance.account);
        return Err(Error::new(Code::NoGrant, message));
    }
    Ok(())
}

/// Which charge pays for a claim.
enum Paid<'a> {
    Now,
    /// That of this query id, whose answer stands under the claim's id too.
    Before(&'a str),
}

async fn insert(db: &mut AnyConnection, now: i64, claim: &Claim, paid: Paid<'_>) -> Result<()> {
    let (charge, state, same_as) = match &paid {
        Paid::Now => (claim.charge, "reserved", None),
        Paid::Before(query_id) => (Charge::NOTHING, "answered", Some(*query_id)),
    };
    let pool = matches!(paid, Paid::Now).then_some(claim.pool_charge).filter(|pool| *pool != claim.charge);
    sqlx::query(
        "INSERT INTO charges (principal, query_id, dataset, purpose, request, question, releases, epsilon, rho, delta,
                              state, attempts, charged_at, same_as, pool_epsilon, pool_rho)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14, $15)",
    )
    .bind(&claim.account.principal)
    .bind(&claim.query_id)
    .bind(&claim.account.dataset)
    .bind(&claim.account.purpose)
    .bind(&claim.request)
    .bind(&claim.question)
    .bind(claim.releases as i64)
    .bind(charge.epsilon.map(|e| e.to_string()))
    .bind(charge.rho.to_string())
    .bind(charge.delta.to_string())
    .bind(state)
    .bind(now)
    .bind(same_as)
    .bind(pool.and_then(|pool| pool.epsilon).map(|e| e.to_string()))
    .bind(pool.map(|pool| pool.rho.to_string()))
    .execute(db)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// Whether what the pool paid is what a claim takes of it now: less was to be paid while governance's bounds were still to be bought, and more is drawn once
/// they are.
fn covers(row: &AnyRow, claim: &Claim) -> Result<bool> {
    let Some(rho) = row.try_get::<Option<String>, _>("pool_rho").map_err(unavailable)? else { return Ok(true) };
    let epsilon: Option<String> = row.try_get("pool_epsilon").map_err(unavailable)?;
    let (rho, epsilon) = (parse(&rho)?, epsilon.as_deref().map(parse).transpose()?);
    let Charge { epsilon: now, rho: rho_now, .. } = claim.pool_charge;
    Ok(rho_now <= rho && epsilon.is_none_or(|paid| now.is_some_and(|now| now <= paid)))
}

/// The same query id again: replay, resume or give up; never a second charge.
async fn again(db: &mut AnyConnection, now: i64, claim: &Claim, row: &AnyRow) -> Result<Decision> {
    same_request(row, &claim.query_id, &claim.request)?;
    let attempts: i64 = row.try_get("attempts").map_err(unavailable)?;
    match state(row)?.as_str() {
        "answered" => Ok(Decision::Stored(kept(row)?)),
        "reserved" if attempts < MAX_ATTEMPTS => {
            let question: Vec<u8> = row.try_get("question").map_err(unavailable)?;
            if question != claim.question {
                let message = "this question was charged and not answered, and its data or policy has changed since: ask it under a new query id";
                return Err(Error::new(Code::QueryIdReused, message));
            }
            let own = accounts::find(db, now, &claim.account).await?.ok_or_else(|| no_grant(&claim.account))?;
            usable(&own)?;
            // The others have paid, and may be gone; but nothing is run for those that governance stopped.
            let (team, pool) = (own.team(), Account::pool(&claim.account.dataset));
            for account in team.iter().chain(&claim.tiers).chain([&pool]) {
                let other = accounts::find(db, now, account).await?;
                other.filter(|other| other.held.is_some()).map_or(Ok(()), |other| usable(&other))?;
            }
            if !covers(row, claim)? {
                fail(db, now, &claim.account.principal, &claim.query_id, false).await?;
                return Ok(Decision::GivenUp);
            }
            sqlx::query("UPDATE charges SET attempts = attempts + 1 WHERE principal = $1 AND query_id = $2")
                .bind(&claim.account.principal)
                .bind(&claim.query_id)
                .execute(&mut *db)
                .await
                .map_err(unavailable)?;
            let body =
                json!({ "principal": claim.account.principal, "query_id": claim.query_id, "attempt": attempts + 1 });
            audit::append(db, now, "resume", &body).await.map_err(unavailable)?;
            let releases: i64 = row.try_get("releases").map_err(unavailable)?;
            Ok(Decision::Run {
                releases: releases.unsigned_abs() as usize,
                charged_at: row.try_get("charged_at").map_err(unavailable)?,
            })
        }
        "reserved" => {
            fail(db, now, &claim.account.principal, &claim.query_id, true).await?;
            Ok(Decision::GivenUp)
        }
        _ => Ok(Decision::GivenUp),
    }
}

/// The query id of an account's answer to a question, under either of two digests.
pub async fn earlier(
    db: &mut AnyConnection,
    account: &Account,
    question: &[u8],
    before: Option<&[u8]>,
) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT query_id FROM charges WHERE dataset = $1 AND principal = $2 AND purpose = $3 AND question IN ($4, $5) AND state = 'answered' AND same_as IS NULL AND expired_at IS NULL
         ORDER BY charged_at, query_id LIMIT 1",
    )
    .bind(&account.dataset)
    .bind(&account.principal)
    .bind(&account.purpose)
    .bind(question)
    .bind(before.unwrap_or(question))
    .fetch_optional(db)
    .await;
    row.map_err(unavailable)?.map(|row| row.try_get("query_id").map_err(unavailable)).transpose()
}

/// Stores the answer of a reservation. False where it is no longer reserved: then another run was first, and its bytes count.
pub async fn commit(
    db: &mut AnyConnection,
    now: i64,
    (principal, query_id): (&str, &str),
    Answered { bytes, bounds, drawn }: &Answered,
    digest: &str,
) -> Result<bool> {
    let changed = sqlx::query(
        "UPDATE charges SET state = 'answered', answered_at = $1, answer = $2, drawn = $3 WHERE principal = $4 AND query_id = $5 AND state = 'reserved'",
    )
    .bind(now)
    .bind(bytes.as_slice())
    .bind(drawn.as_deref())
    .bind(principal)
    .bind(query_id)
    .execute(&mut *db)
    .await
    .map_err(unavailable)?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    let body = json!({ "principal": principal, "query_id": query_id, "answer_sha256": digest });
    audit::append(db, now, "answer", &body).await.map_err(unavailable)?;
    for found in bounds {
        keep_bounds(db, now, (principal, query_id), found).await?;
    }
    Ok(true)
}

/// Bounds are their account's from now on; those that it found out before stay.
async fn keep_bounds(
    db: &mut AnyConnection,
    now: i64,
    (principal, query_id): (&str, &str),
    FoundBounds { asked, found, charge }: &FoundBounds,
) -> Result<()> {
    let kept = sqlx::query(
        "INSERT INTO bounds (dataset, principal, purpose, asked, found, query_id, found_at, epsilon, rho)
         SELECT dataset, principal, purpose, $1, $2, query_id, $3, $6, $7 FROM charges WHERE principal = $4 AND query_id = $5
         ON CONFLICT DO NOTHING",
    )
    .bind(asked.as_slice())
    .bind(found)
    .bind(now)
    .bind(principal)
    .bind(query_id)
    .bind(charge.and_then(|charge| charge.epsilon).map(|epsilon| epsilon.to_string()))
    .bind(charge.map(|charge| charge.rho.to_string()))
    .execute(&mut *db)
    .await
    .map_err(unavailable)?;
    if kept.rows_affected() == 0 {
        return Ok(());
    }
    // No digest of what was found: it could be guessed.
    let body = json!({ "principal": principal, "query_id": query_id, "asked": hex(asked) });
    audit::append(db, now, "bounds", &body).await.map_err(unavailable)
}

/// What an account has found out about bounds.
pub async fn bounds(db: &mut AnyConnection, account: &Account) -> Result<Vec<FoundBounds>> {
    let rows = sqlx::query(
        "SELECT asked, found, epsilon, rho FROM bounds WHERE dataset = $1 AND principal = $2 AND purpose = $3",
    )
    .bind(&account.dataset)
    .bind(&account.principal)
    .bind(&account.purpose)
    .fetch_all(db)
    .await;
    let found = |row: &AnyRow| {
        let text = |column: &str| row.try_get::<Option<String>, _>(column).map_err(unavailable);
        let [epsilon, rho] = [text("epsilon")?, text("rho")?].map(|text| text.as_deref().map(parse).transpose());
        let (epsilon, rho) = (epsilon?, rho?);
        Ok(FoundBounds {
            asked: row.try_get("asked").map_err(unavailable)?,
            found: row.try_get("found").map_err(unavailable)?,
            charge: rho.map(|rho| Charge { epsilon, rho, delta: Amount::ZERO }),
        })
    };
    rows.map_err(unavailable)?.iter().map(found).collect()
}

/// Deletes answers that were made before a moment, and what is needed to draw once more for them.
pub async fn expire(db: &mut AnyConnection, now: i64, dataset: &str, before: i64) -> Result<()> {
    let expired = sqlx::query(
        "UPDATE charges SET answer = NULL, drawn = NULL, expired_at = $1
         WHERE dataset = $2 AND principal <> '' AND state = 'answered' AND same_as IS NULL AND expired_at IS NULL AND answered_at < $3",
    )
    .bind(now)
    .bind(dataset)
    .bind(before)
    .execute(&mut *db)
    .await
    .map_err(unavailable)?;
    match expired.rows_affected() {
        0 => Ok(()),
        answers => {
            let body = json!({ "dataset": dataset, "before": before, "answers": answers });
            audit::append(db, now, "expiry", &body).await.map_err(unavailable)
        }
    }
}

/// Closes all that is reserved, of a ledger that may be older than what was answered: it may have been seen.
pub async fn close_reserved(db: &mut AnyConnection) -> Result<()> {
    let closed = sqlx::query("UPDATE charges SET state = 'failed' WHERE state = 'reserved'").execute(db).await;
    closed.map(|_| ()).map_err(unavailable)
}

/// Closes a reservation that could not be answered. It stays charged. What failed may have failed because of somebody's rows, so
/// it must not be repeated: the principal's accounts of the dataset are frozen. A question without any release reads no
/// private rows, and freezes nothing; neither does one whose failure follows from released values alone.
pub async fn fail(db: &mut AnyConnection, now: i64, principal: &str, query_id: &str, freeze: bool) -> Result<()> {
    let failed = sqlx::query(
        "UPDATE charges SET state = 'failed' WHERE principal = $1 AND query_id = $2 AND state = 'reserved' RETURNING dataset, releases",
    )
    .bind(principal)
    .bind(query_id)
    .fetch_optional(&mut *db)
    .await
    .map_err(unavailable)?;
    let Some(failed) = failed else { return Ok(()) };
    let dataset: String = failed.try_get("dataset").map_err(unavailable)?;
    let body = json!({ "dataset": dataset, "principal": principal, "query_id": query_id });
    audit::append(db, now, "failure", &body).await.map_err(unavailable)?;
    if freeze && failed.try_get::<i64, _>("releases").map_err(unavailable)? > 0 {
        accounts::set_frozen(db, &dataset, principal, true).await?;
        audit::append(db, now, "freeze", &body).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Reservations that were lost longer ago than this are not held against anybody.
const LOST_SECONDS: i64 = 86_400;

/// What was reserved longer ago than this many seconds, and is not closed, was lost by its server. Of each principal a few may be asked again under their
/// query ids; who lost many may be the cause, and is frozen.
pub async fn lost(db: &mut AnyConnection, now: i64, older_than: i64) -> Result<()> {
    let lost = sqlx::query(
        "SELECT dataset, principal, count(*) AS lost FROM charges
         WHERE state = 'reserved' AND releases > 0 AND charged_at > $1 AND charged_at <= $2 AND principal <> ''
         GROUP BY dataset, principal HAVING count(*) > $3",
    )
    .bind(now - LOST_SECONDS)
    .bind(now - older_than)
    .bind(MAX_LOST)
    .fetch_all(&mut *db)
    .await
    .map_err(unavailable)?;
    for row in &lost {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
        let (dataset, principal) = (text("dataset")?, text("principal")?);
        if accounts::set_frozen(db, &dataset, &principal, true).await? > 0 {
            let lost: i64 = row.try_get("lost").map_err(unavailable)?;
            let body = json!({ "dataset": dataset, "principal": principal, "lost": lost });
            audit::append(db, now, "freeze", &body).await.map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Lets a principal ask again. What was lost before stays charged and is closed.
pub async fn unfreeze(db: &mut AnyConnection, now: i64, dataset: &str, principal: &str, reason: &str) -> Result<()> {
    if accounts::set_frozen(db, dataset, principal, false).await? == 0 {
        let message = format!("no account of '{principal}' on dataset '{dataset}' is frozen");
        return Err(Error::new(Code::NoGrant, message));
    }
    sqlx::query("UPDATE charges SET state = 'failed' WHERE dataset = $1 AND principal = $2 AND state = 'reserved'")
        .bind(dataset)
        .bind(principal)
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
    let body = json!({ "dataset": dataset, "principal": principal, "reason": reason });
    audit::append(db, now, "unfreeze", &body).await.map_err(unavailable)
}

fn frozen(account: &Account) -> Error {
    let message = format!(
        "the accounts of '{}' on dataset '{}' are frozen, because a charged question could not be answered: an operator must look into it and run `undertone unfreeze`. Nothing was charged",
        account.principal, account.dataset
    );
    Error::new(Code::AccountFrozen, message)
}

fn no_grant(account: &Account) -> Error {
    let message = format!("there is no grant for {account}: ask governance for one, or name another purpose");
    Error::new(Code::NoGrant, message)
}

fn exhausted(balance: &Balance, charge: Charge) -> Error {
    let whose = balance.account.to_string();
    let price = match charge.epsilon {
        Some(epsilon) => format!("epsilon {epsilon}"),
        None if charge.delta.is_zero() => format!("rho {}", charge.rho),
        None => format!("rho {} and delta {}", charge.rho, charge.delta),
    };
    let kept = balance.spent.kept;
    let delta_left = balance.grant.delta_key.minus(balance.spent.total.delta.plus(kept.delta));
    let (left, with_laplace) = (balance.spent.remaining(&balance.grant), balance.spent.largest_epsilon(&balance.grant));
    let noise = if left > with_laplace { " with Gaussian noise" } else { "" };
    let remedy = match left {
        _ if charge.delta > delta_left => format!(
            "of delta {delta_left} is left for private keys: ask for less delta, group by columns with public values, or ask governance for a larger grant"
        ),
        left if left.is_zero() && kept != Charge::NOTHING => {
            "what is left is reserved for others: ask governance for a share of your own".to_owned()
        }
        left if left.is_zero() => match balance.terms.window {
            Some(window) => format!(
                "nothing is left until {}: ask then, or ask governance for a larger grant",
                date(window.next(balance.since))
            ),
            None => "nothing is left: ask governance for a larger grant".to_owned(),
        },
        left => format!("a question of at most epsilon {left}{noise} still fits; or ask governance for a larger grant"),
    };
    Error::new(
        Code::BudgetExhausted,
        format!("this question costs {price} and {whose} cannot pay it; {remedy}. Nothing was charged"),
    )
}

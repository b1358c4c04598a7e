//! Accounts as rows: what is granted, spent and held back.

use super::statements::{account, named, parse};
use super::{Account, Balance, Kind, Setting, Terms, Window, audit, damaged, unavailable};
use crate::accounting::{Charge, Grant, Spent};
use crate::error::{Code, Error, Result};
use crate::num::Amount;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

fn amount(row: &AnyRow, column: &str) -> Result<Amount> {
    let text: String = row.try_get(column).map_err(unavailable)?;
    parse(&text)
}

/// 1 or 0.
fn flag(row: &AnyRow, column: &str) -> Result<bool> {
    row.try_get::<i64, _>(column).map(|flag| flag != 0).map_err(unavailable)
}

/// A charge in these columns: of epsilon, which is infinite where it is NULL, of rho and of delta.
pub fn charge(row: &AnyRow, [epsilon, rho, delta]: [&str; 3]) -> Result<Charge> {
    let pure: Option<String> = row.try_get(epsilon).map_err(unavailable)?;
    let epsilon = pure.map(|text| parse(&text)).transpose()?;
    Ok(Charge { epsilon, rho: amount(row, rho)?, delta: amount(row, delta)? })
}

fn spent(row: &AnyRow, columns: [&str; 3], charges: &str) -> Result<Spent> {
    let charges: i64 = row.try_get(charges).map_err(unavailable)?;
    Ok(Spent { total: charge(row, columns)?, charges: charges.unsigned_abs(), kept: Charge::NOTHING })
}

/// Writes a charge into an entry of the log, or nothing but it where there is none yet.
pub fn put_charge(body: &mut Value, charge: &Charge) {
    body["epsilon"] = charge.epsilon.map(|epsilon| epsilon.to_string()).into();
    body["rho"] = charge.rho.to_string().into();
    body["delta"] = charge.delta.to_string().into();
}

/// An account as it is at a moment: in a new window, nothing is spent.
fn balance(row: &AnyRow, now: i64) -> Result<Balance> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
    let some = |column: &str| text(column).map(|text| Some(text).filter(|text| !text.is_empty()));
    let window = some("refills")?.map(|name| Window::of_name(&name).ok_or_else(damaged)).transpose()?;
    let began: i64 = row.try_get("since").map_err(unavailable)?;
    let since = window.map_or(began, |window| window.start(now).max(began));
    let expires_at: Option<i64> = row.try_get("expires_at").map_err(unavailable)?;
    let of_window = spent(row, ["spent_epsilon", "spent_rho", "spent_delta"], "charges")?;
    Ok(Balance {
        account: account(row)?,
        grant: Grant {
            epsilon: amount(row, "epsilon")?,
            delta_key: amount(row, "delta_key")?,
            delta_conversion: amount(row, "delta_conversion")?,
            rho_limit: amount(row, "rho_limit")?,
        },
        terms: Terms {
            team: some("team")?,
            max_epsilon: some("max_epsilon")?.as_deref().map(parse).transpose()?,
            default_epsilon: some("default_epsilon")?.as_deref().map(parse).transpose()?,
            window,
            expires_at,
            reserved: amount(row, "reserved")?,
        },
        spent: if since > began { Spent::NOTHING } else { of_window },
        lifetime: spent(row, ["life_epsilon", "life_rho", "life_delta"], "life_charges")?,
        since,
        renewed: since > began,
        frozen: flag(row, "frozen")?,
        held: some("held")?,
        expired: expires_at.is_some_and(|end| end <= now),
    })
}

/// All active accounts, pools included.
pub async fn balances(db: &mut AnyConnection, now: i64) -> Result<Vec<Balance>> {
    let rows = sqlx::query("SELECT * FROM accounts WHERE active = 1 ORDER BY dataset, principal, purpose");
    rows.fetch_all(db).await.map_err(unavailable)?.iter().map(|row| balance(row, now)).collect()
}

/// All accounts, those whose grant was withdrawn too, and whether it is in force. At a moment of 0 they are as they are written: no window is new.
pub async fn all_balances(db: &mut AnyConnection, now: i64) -> Result<Vec<(Balance, bool)>> {
    let rows = sqlx::query("SELECT * FROM accounts ORDER BY dataset, principal, purpose").fetch_all(db).await;
    let read = |row: &AnyRow| Ok((balance(row, now)?, flag(row, "active")?));
    rows.map_err(unavailable)?.iter().map(read).collect()
}

/// The accounts of a dataset that have a share of its pool for themselves.
async fn reserved(db: &mut AnyConnection, now: i64, dataset: &str) -> Result<Vec<Balance>> {
    let rows = sqlx::query("SELECT * FROM accounts WHERE active = 1 AND reserved <> '0' AND dataset = $1");
    rows.bind(dataset).fetch_all(db).await.map_err(unavailable)?.iter().map(|row| balance(row, now)).collect()
}

pub async fn find(db: &mut AnyConnection, now: i64, account: &Account) -> Result<Option<Balance>> {
    let row =
        sqlx::query("SELECT * FROM accounts WHERE dataset = $1 AND principal = $2 AND purpose = $3 AND active = 1")
            .bind(&account.dataset)
            .bind(&account.principal)
            .bind(&account.purpose)
            .fetch_optional(db)
            .await;
    row.map_err(unavailable)?.as_ref().map(|row| balance(row, now)).transpose()
}

/// A pool as one account sees it: what is reserved for others is not for it.
pub async fn pool_of(db: &mut AnyConnection, now: i64, account: &Balance) -> Result<Option<Balance>> {
    let Some(pool) = find(db, now, &Account::pool(&account.account.dataset)).await? else { return Ok(None) };
    let reserved = reserved(db, now, &account.account.dataset).await?;
    Ok(Some(pool.beside(account, &reserved)))
}

/// Makes the accounts those of `settings`. What was spent stays whatever the new limits are; an account that is not named any
/// more can spend nothing, and finds its spending again if it is named later.
pub async fn apply(db: &mut AnyConnection, now: i64, settings: &[Setting]) -> Result<()> {
    let before = balances(db, now).await?;
    for old in before.iter().filter(|old| !settings.iter().any(|s| s.account == old.account)) {
        let account = &old.account;
        sqlx::query("UPDATE accounts SET active = 0 WHERE dataset = $1 AND principal = $2 AND purpose = $3")
            .bind(&account.dataset)
            .bind(&account.principal)
            .bind(&account.purpose)
            .execute(&mut *db)
            .await
            .map_err(unavailable)?;
        audit::append(db, now, "grant withdrawn", &named(account)).await.map_err(unavailable)?;
    }
    for setting in settings {
        let Setting { account, grant, terms } = setting;
        if before.iter().any(|old| old.account == *account && old.grant == *grant && old.terms == *terms) {
            continue;
        }
        let stored = sqlx::query_scalar::<_, String>(
            "SELECT refills FROM accounts WHERE dataset = $1 AND principal = $2 AND purpose = $3",
        )
        .bind(&account.dataset)
        .bind(&account.principal)
        .bind(&account.purpose)
        .fetch_optional(&mut *db)
        .await
        .map_err(unavailable)?;
        let written = |amount: Option<Amount>| amount.map(|amount| amount.to_string()).unwrap_or_default();
        sqlx::query(
            "INSERT INTO accounts (dataset, principal, purpose, active, epsilon, delta_key, delta_conversion, rho_limit,
                                   spent_epsilon, spent_rho, spent_delta, charges, life_epsilon, since,
                                   team, max_epsilon, default_epsilon, refills, expires_at, reserved, frozen, held)
             VALUES ($1, $2, $3, 1, $4, $5, $6, $7, '0', '0', '0', 0, '0', 0, $8, $9, $10, $11, $12, $13,
                     (SELECT coalesce(max(frozen), 0) FROM accounts WHERE dataset = $1 AND principal = $2),
                     (SELECT coalesce(max(held), '') FROM accounts WHERE dataset = $1 AND principal = $2))
             ON CONFLICT (dataset, principal, purpose) DO UPDATE SET active = 1, epsilon = excluded.epsilon,
                delta_key = excluded.delta_key, delta_conversion = excluded.delta_conversion, rho_limit = excluded.rho_limit,
                team = excluded.team, max_epsilon = excluded.max_epsilon, default_epsilon = excluded.default_epsilon,
                refills = excluded.refills, expires_at = excluded.expires_at, reserved = excluded.reserved,
                frozen = excluded.frozen, held = excluded.held",
        )
        .bind(&account.dataset)
        .bind(&account.principal)
        .bind(&account.purpose)
        .bind(grant.epsilon.to_string())
        .bind(grant.delta_key.to_string())
        .bind(grant.delta_conversion.to_string())
        .bind(grant.rho_limit.to_string())
        .bind(terms.team.clone().unwrap_or_default())
        .bind(written(terms.max_epsilon))
        .bind(written(terms.default_epsilon))
        .bind(terms.window.map_or("", Window::name))
        .bind(terms.expires_at)
        .bind(terms.reserved.to_string())
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
        let window = terms.window.map_or("", Window::name);
        if stored.as_deref() != Some(window) {
            // Whatever was spent counts in the window that is now, or for good.
            sqlx::query(
                "UPDATE accounts SET spent_epsilon = life_epsilon, spent_rho = life_rho, spent_delta = life_delta,
                                     charges = life_charges, since = $1
                 WHERE dataset = $2 AND principal = $3 AND purpose = $4",
            )
            .bind(terms.window.map_or(0, |window| window.start(now)))
            .bind(&account.dataset)
            .bind(&account.principal)
            .bind(&account.purpose)
            .execute(&mut *db)
            .await
            .map_err(unavailable)?;
        }
        let mut body = named(account);
        body["terms"] = written_terms(grant, terms);
        audit::append(db, now, "grant", &body).await.map_err(unavailable)?;
    }
    Ok(())
}

/// A grant as the log has it: what is not set is not there.
pub fn written_terms(grant: &Grant, terms: &Terms) -> Value {
    let mut body = json!({ "epsilon": grant.epsilon.to_string(), "delta": grant.delta().to_string() });
    let Terms { team, max_epsilon, default_epsilon, window, expires_at, reserved } = terms;
    let amount = |amount: Option<Amount>| amount.map(|amount| Value::from(amount.to_string()));
    for (name, value) in [
        ("team", team.clone().map(Value::from)),
        ("max_epsilon", amount(*max_epsilon)),
        ("default_epsilon", amount(*default_epsilon)),
        ("window", window.map(|window| window.name().into())),
        ("expires_at", expires_at.map(Value::from)),
        ("reserved", amount(Some(*reserved).filter(|share| !share.is_zero()))),
    ] {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

/// Uses up all grants: what was charged on a ledger that is lost is not known.
pub async fn exhaust(db: &mut AnyConnection, now: i64) -> Result<()> {
    for (balance, _) in all_balances(db, now).await? {
        let (grant, spent) = (balance.grant, balance.spent.total);
        let rest = Charge {
            epsilon: Some(spent.epsilon.map_or(Amount::ZERO, |spent| grant.epsilon.minus(spent))),
            rho: grant.rho_limit.minus(spent.rho),
            delta: grant.delta_key.minus(spent.delta),
        };
        debit(db, now, &balance, rest).await?;
        let mut body = named(&balance.account);
        put_charge(&mut body, &rest);
        audit::append(db, now, "exhausted", &body).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Writes a charge to an account; where it is the first in a window, what was spent in the one before is over.
pub async fn debit(db: &mut AnyConnection, now: i64, balance: &Balance, charge: Charge) -> Result<()> {
    let account = &balance.account;
    if balance.renewed {
        let mut body = named(account);
        body["since"] = balance.since.into();
        audit::append(db, now, "window", &body).await.map_err(unavailable)?;
    }
    let (after, life) = (balance.spent.plus(charge), balance.lifetime.plus(charge));
    let epsilon = |spent: &Spent| spent.total.epsilon.map(|epsilon| epsilon.to_string());
    sqlx::query(
        "UPDATE accounts SET spent_epsilon = $1, spent_rho = $2, spent_delta = $3, charges = $4,
                             life_epsilon = $5, life_rho = $6, life_delta = $7, life_charges = $8, since = $9
         WHERE dataset = $10 AND principal = $11 AND purpose = $12",
    )
    .bind(epsilon(&after))
    .bind(after.total.rho.to_string())
    .bind(after.total.delta.to_string())
    .bind(after.charges as i64)
    .bind(epsilon(&life))
    .bind(life.total.rho.to_string())
    .bind(life.total.delta.to_string())
    .bind(life.charges as i64)
    .bind(balance.since)
    .bind(&account.dataset)
    .bind(&account.principal)
    .bind(&account.purpose)
    .execute(db)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// Freezes or thaws all accounts of a principal on a dataset after a failure: the number of those that changed.
pub async fn set_frozen(db: &mut AnyConnection, dataset: &str, principal: &str, frozen: bool) -> Result<u64> {
    let changed = sqlx::query("UPDATE accounts SET frozen = $1 WHERE dataset = $2 AND principal = $3 AND frozen <> $1")
        .bind(i64::from(frozen))
        .bind(dataset)
        .bind(principal)
        .execute(db)
        .await;
    Ok(changed.map_err(unavailable)?.rows_affected())
}

/// Stops all accounts of a holder on a dataset for a reason, or where there is none lets them go on.
pub async fn hold(
    db: &mut AnyConnection,
    now: i64,
    who: &str,
    on: (&str, &str),
    reason: &str,
    stop: bool,
) -> Result<()> {
    let (dataset, principal) = on;
    let held = if stop { reason } else { "" };
    let changed = sqlx::query("UPDATE accounts SET held = $1 WHERE dataset = $2 AND principal = $3 AND held <> $1")
        .bind(held)
        .bind(dataset)
        .bind(principal)
        .execute(&mut *db)
        .await;
    if changed.map_err(unavailable)?.rows_affected() == 0 {
        let known = sqlx::query("SELECT 1 AS known FROM accounts WHERE dataset = $1 AND principal = $2 LIMIT 1");
        let known = known.bind(dataset).bind(principal).fetch_optional(db).await.map_err(unavailable)?;
        let account = Account { principal: principal.to_owned(), ..Account::pool(dataset) };
        let whose = if account.kind() == Kind::Own {
            format!("'{principal}' on dataset '{dataset}'")
        } else {
            account.to_string()
        };
        let message = match (known, stop) {
            (None, _) => format!("there is no account of {whose}"),
            (Some(_), true) => format!("{whose} is frozen for this reason already"),
            (Some(_), false) => format!("{whose} is not frozen by governance"),
        };
        return Err(Error::new(Code::InvalidRequest, message));
    }
    let body = json!({ "dataset": dataset, "principal": principal, "reason": reason, "who": who });
    audit::append(db, now, if stop { "hold" } else { "release" }, &body).await.map_err(unavailable)
}

//! Policies and what is proposed for the next one. What their documents say is above this floor: here they are texts with a hash.

use super::{Account, Setting, accounts, audit, unavailable};
use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::hex::sha256;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A policy that is, or was, in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    pub version: i64,
    /// SHA-256 of the document, in hexadecimal.
    pub hash: String,
    /// Seconds since 1970.
    pub at: i64,
    pub author: String,
    pub approved_by: Vec<String>,
    pub reason: String,
    pub document: String,
}

/// A policy that is to be in force, with the accounts that follow from it.
#[derive(Clone, Debug, Default)]
pub struct NewPolicy {
    pub document: String,
    pub author: String,
    pub approved_by: Vec<String>,
    pub reason: String,
    /// The policy that it was made from; another one must not have come between.
    pub based_on: Option<String>,
    /// The proposal that this carries out.
    pub proposal: Option<i64>,
    pub settings: Vec<Setting>,
    /// Who gets or loses a role by it.
    pub roles: Vec<RoleChange>,
    /// Changes of rules, in words.
    pub rules: Vec<String>,
    /// Accounts that must not have spent more than they are granted then.
    pub unspent: Vec<Account>,
}

/// What a principal may do from then on, or may not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    pub principal: String,
    pub role: String,
    pub given: bool,
}

/// A change of the policy that waits for approval, or waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub id: i64,
    pub at: i64,
    pub author: String,
    /// As JSON.
    pub edit: String,
    pub reason: String,
    /// Approvals that it needs.
    pub approvals: i64,
    /// open, approved or rejected.
    pub state: String,
    pub opinions: Vec<Opinion>,
}

/// What somebody said of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    pub who: String,
    pub approves: bool,
    pub reason: String,
    pub at: i64,
    /// The hash of the policy for which it approves.
    pub policy: String,
}

fn version(row: &AnyRow) -> sqlx::Result<PolicyVersion> {
    let approved_by: String = row.try_get("approved_by")?;
    Ok(PolicyVersion {
        version: row.try_get("version")?,
        hash: row.try_get("hash")?,
        at: row.try_get("at")?,
        author: row.try_get("author")?,
        approved_by: approved_by.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        reason: row.try_get("reason")?,
        document: row.try_get("document")?,
    })
}

/// All versions, the newest first.
pub async fn policies(db: &mut AnyConnection) -> Result<Vec<PolicyVersion>> {
    let rows = sqlx::query("SELECT * FROM policies ORDER BY version DESC").fetch_all(db).await.map_err(unavailable)?;
    rows.iter().map(|row| version(row).map_err(unavailable)).collect()
}

/// The one in force.
pub async fn policy(db: &mut AnyConnection) -> Result<Option<PolicyVersion>> {
    let row = sqlx::query("SELECT * FROM policies ORDER BY version DESC LIMIT 1").fetch_optional(db).await;
    row.map_err(unavailable)?.as_ref().map(|row| version(row).map_err(unavailable)).transpose()
}

/// The hash of the one in force.
pub async fn in_force(db: &mut AnyConnection) -> Result<Option<String>> {
    let hash = sqlx::query_scalar("SELECT hash FROM policies ORDER BY version DESC LIMIT 1").fetch_optional(db).await;
    hash.map_err(unavailable)
}

/// Puts a policy in force, with its accounts. One that is in force already changes nothing.
pub async fn apply(db: &mut AnyConnection, now: i64, new: &NewPolicy) -> Result<()> {
    let (last, new_hash) = (policy(db).await?, sha256(&new.document));
    let (number, hash) = last.as_ref().map_or((0, None), |last| (last.version, Some(last.hash.clone())));
    if new.based_on.is_some() && new.based_on != hash {
        let message = "the policy has changed since this change was made from it: make it anew from the one in force";
        return Err(Error::new(Code::PolicyChanged, message));
    }
    if let Some(id) = new.proposal {
        close(db, now, id, "approved").await?;
    }
    if hash.as_ref() != Some(&new_hash) {
        sqlx::query(
            "INSERT INTO policies (version, hash, at, author, approved_by, reason, document) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(number + 1)
        .bind(&new_hash)
        .bind(now)
        .bind(&new.author)
        .bind(new.approved_by.join(" "))
        .bind(&new.reason)
        .bind(&new.document)
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
        let body = json!({
            "version": number + 1, "policy": new_hash, "author": new.author, "approved_by": new.approved_by,
            "reason": new.reason, "proposal": new.proposal,
            "rules": new.rules,
        });
        audit::append(db, now, "policy", &body).await.map_err(unavailable)?;
        for RoleChange { principal, role, given } in &new.roles {
            let body = json!({ "principal": principal, "role": role, "given": given });
            audit::append(db, now, "role", &body).await.map_err(unavailable)?;
        }
    }
    accounts::apply(db, now, &new.settings).await?;
    for account in &new.unspent {
        let balance = accounts::find(db, now, account).await?;
        if balance.is_some_and(|balance| !balance.spent.accepts(&balance.grant, Charge::NOTHING)) {
            let message = format!("{account} has spent too much of this by now: move less");
            return Err(Error::new(Code::InvalidRequest, message));
        }
    }
    Ok(())
}

async fn close(db: &mut AnyConnection, now: i64, id: i64, state: &str) -> Result<()> {
    let closed = sqlx::query("UPDATE proposals SET state = $1, decided_at = $2 WHERE id = $3 AND state = 'open'");
    let closed = closed.bind(state).bind(now).bind(id).execute(db).await.map_err(unavailable)?;
    if closed.rows_affected() == 0 {
        return Err(Error::new(Code::InvalidRequest, format!("proposal {id} is not open")));
    }
    Ok(())
}

/// Keeps a proposal: its number.
pub async fn propose(db: &mut AnyConnection, now: i64, new: &Proposal) -> Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT id FROM proposals ORDER BY id DESC LIMIT 1")
        .fetch_optional(&mut *db)
        .await
        .map_err(unavailable)?;
    let id = last.unwrap_or_default() + 1;
    sqlx::query(
        "INSERT INTO proposals (id, at, author, edit, reason, approvals, state) VALUES ($1, $2, $3, $4, $5, $6, 'open')",
    )
    .bind(id)
    .bind(now)
    .bind(&new.author)
    .bind(&new.edit)
    .bind(&new.reason)
    .bind(new.approvals)
    .execute(&mut *db)
    .await
    .map_err(unavailable)?;
    let edit: serde_json::Value = serde_json::from_str(&new.edit).unwrap_or_default();
    let body = json!({ "proposal": id, "who": new.author, "edit": edit, "reason": new.reason, "needs": new.approvals });
    audit::append(db, now, "proposal", &body).await.map_err(unavailable)?;
    Ok(id)
}

/// Keeps what somebody says of an open proposal, which a rejection closes.
pub async fn judge(db: &mut AnyConnection, now: i64, id: i64, opinion: &Opinion) -> Result<()> {
    let Opinion { who, approves, reason, policy, at: _ } = opinion;
    let open = sqlx::query("SELECT id FROM proposals WHERE id = $1 AND state = 'open'").bind(id);
    if open.fetch_optional(&mut *db).await.map_err(unavailable)?.is_none() {
        return Err(Error::new(Code::InvalidRequest, format!("proposal {id} is not open")));
    }
    if !approves {
        close(db, now, id, "rejected").await?;
    }
    let kept = sqlx::query(
        // Whoever approved may still reject, and approve for a newer policy.
        "INSERT INTO opinions (proposal, who, approves, reason, at, policy) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (proposal, who) DO UPDATE
         SET approves = excluded.approves, reason = excluded.reason, at = excluded.at, policy = excluded.policy
         WHERE excluded.approves = 0 OR opinions.policy <> excluded.policy",
    )
    .bind(id)
    .bind(who)
    .bind(i64::from(*approves))
    .bind(reason)
    .bind(now)
    .bind(policy)
    .execute(&mut *db)
    .await
    .map_err(unavailable)?;
    if kept.rows_affected() == 0 {
        return Err(Error::new(Code::InvalidRequest, format!("'{who}' has approved proposal {id} already")));
    }
    let body = json!({ "proposal": id, "who": who, "reason": reason, "policy": policy });
    audit::append(db, now, if *approves { "approval" } else { "rejection" }, &body).await.map_err(unavailable)
}

/// All proposals, the newest first.
pub async fn proposals(db: &mut AnyConnection) -> Result<Vec<Proposal>> {
    let opinions = sqlx::query("SELECT * FROM opinions ORDER BY proposal, at, who").fetch_all(&mut *db).await;
    let opinion = |row: &AnyRow| {
        let approves: i64 = row.try_get("approves")?;
        let opinion = Opinion {
            who: row.try_get("who")?,
            approves: approves != 0,
            reason: row.try_get("reason")?,
            at: row.try_get("at")?,
            policy: row.try_get("policy")?,
        };
        Ok((row.try_get::<i64, _>("proposal")?, opinion))
    };
    let opinions = opinions.map_err(unavailable)?.iter().map(opinion).collect::<sqlx::Result<Vec<_>>>();
    let opinions = opinions.map_err(unavailable)?;
    let rows = sqlx::query("SELECT * FROM proposals ORDER BY id DESC").fetch_all(db).await.map_err(unavailable)?;
    let proposal = |row: &AnyRow| {
        let id = row.try_get("id")?;
        Ok(Proposal {
            id,
            at: row.try_get("at")?,
            author: row.try_get("author")?,
            edit: row.try_get("edit")?,
            reason: row.try_get("reason")?,
            approvals: row.try_get("approvals")?,
            state: row.try_get("state")?,
            opinions: opinions.iter().filter(|(of, _)| *of == id).map(|(_, opinion)| opinion.clone()).collect(),
        })
    };
    rows.iter().map(proposal).collect::<sqlx::Result<_>>().map_err(unavailable)
}

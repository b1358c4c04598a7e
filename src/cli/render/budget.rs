//! Accounts, policies and proposals as text for people.

use super::{grid, short};
use crate::proto::edit::Kind;
use crate::proto::{
    AccountChange, AccountState, Balance, Edit, Effect, Holder, ListAccountsResponse, Opinion, PolicyVersion, Proposal,
    SharedAccount,
};
use serde_json::Value;

/// A moment as its day in UTC.
fn day(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).map(|at| at.date_naive().to_string()).unwrap_or_default()
}

/// A moment in UTC, to the minute.
fn moment(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).map(|at| at.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

const HEADER: [&str; 8] =
    ["account", "granted", "epsilon left", "spent in all", "questions", "window ends", "pooled", "state"];

fn row(name: String, state: &AccountState, pool: Option<&AccountState>, stopped: &str) -> Vec<String> {
    let loss = match (state.lifetime_charges, state.loss_epsilon.as_str()) {
        (0, _) => "nothing".to_owned(),
        (_, "") => "no bound".to_owned(),
        (_, epsilon) => format!("({}, {})", short(epsilon), state.loss_delta),
    };
    let window = match state.window_ends {
        0 => String::new(),
        ends => format!("{} ({})", day(ends), state.window),
    };
    let pool = pool.map(|pool| {
        format!("({}, {}), {} left", pool.granted_epsilon, pool.granted_delta, short(&pool.remaining_epsilon))
    });
    let ended = state.expires_at > 0
        && state.expires_at <= chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let stopped = match (stopped, state.expires_at) {
        ("", 0) => "open".to_owned(),
        ("", at) if ended => format!("expired {}", day(at)),
        ("", at) => format!("open until {}", day(at - 1)),
        (why, _) => why.to_owned(),
    };
    vec![
        name,
        format!("({}, {})", state.granted_epsilon, state.granted_delta),
        short(&state.remaining_epsilon),
        loss,
        state.lifetime_charges.to_string(),
        window,
        pool.unwrap_or_default(),
        stopped,
    ]
}

fn stopped(balance: &Balance) -> String {
    match (balance.frozen, balance.frozen_because.as_str(), balance.pool_frozen_because.as_str()) {
        (true, ..) => "frozen: a charged question failed".to_owned(),
        (false, "", "") => String::new(),
        (false, "", why) => format!("the dataset is frozen: {why}"),
        (false, why, _) => format!("frozen: {why}"),
    }
}

fn shared(account: &SharedAccount) -> Vec<String> {
    let why = account.frozen_because.as_str();
    let why = if why.is_empty() { String::new() } else { format!("frozen: {why}") };
    row(account.name.clone(), &account.state.clone().unwrap_or_default(), None, &why)
}

/// What holds for the whole table.
const PROMISES: &str = "Everything learned through an account is private at its grant (in each window, where it has one; \"spent in all\" is what all of it is private at), \
and everything that all accounts learn together at the pool's.\n";

pub fn balances(balances: &[Balance]) -> String {
    let mut rows = Vec::new();
    for balance in balances {
        let name = format!("{} for {}", balance.dataset, balance.purpose);
        rows.push(row(name, &balance.account.clone().unwrap_or_default(), balance.pool.as_ref(), &stopped(balance)));
        rows.extend(balance.shared.iter().map(shared));
    }
    grid(&HEADER.map(String::from), &rows) + PROMISES
}

pub fn accounts(accounts: &ListAccountsResponse) -> String {
    let own = accounts.balances.iter().map(|balance| {
        let name = format!("{} for {} on {}", balance.principal, balance.purpose, balance.dataset);
        row(name, &balance.account.clone().unwrap_or_default(), balance.pool.as_ref(), &stopped(balance))
    });
    let rows: Vec<_> = own.chain(accounts.shared.iter().map(shared)).collect();
    grid(&HEADER.map(String::from), &rows) + PROMISES
}

pub fn policies(versions: &[PolicyVersion]) -> String {
    let row = |version: &PolicyVersion| {
        let PolicyVersion { version, hash, at, author, approved_by, reason } = version;
        let hash = hash.get(..16).unwrap_or(hash).to_owned();
        vec![version.to_string(), moment(*at), hash, author.clone(), approved_by.join(", "), reason.clone()]
    };
    let header = ["version", "in force from", "hash", "author", "approved by", "reason"].map(String::from);
    grid(&header, &versions.iter().map(row).collect::<Vec<_>>())
}

/// A grant with its terms, from JSON: `(10, 0.000001), window monthly`.
fn terms(json: &str) -> String {
    let Ok(Value::Object(mut terms)) = serde_json::from_str(json) else { return "none".to_owned() };
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let [epsilon, delta] = ["epsilon", "delta"].map(|name| terms.remove(name).map(text).unwrap_or_default());
    let rest = terms.into_iter().map(|(name, value)| match (name.as_str(), value.as_i64()) {
        ("expires_at", Some(at)) => format!(", until {}", day(at - 1)),
        _ => format!(", {} {}", name.replace('_', " "), text(value)),
    });
    format!("({epsilon}, {delta})") + &rest.collect::<String>()
}

pub fn effect(effect: &Effect) -> String {
    let row = |change: &AccountChange| {
        let note = if change.overdrawn { "has spent more than that: can spend nothing" } else { "" };
        vec![
            change.account.clone(),
            terms(&change.before),
            terms(&change.after),
            short(&change.remaining_before),
            short(&change.remaining_after),
            note.to_owned(),
        ]
    };
    let header = ["account", "grant before", "grant after", "epsilon left before", "after", "note"].map(String::from);
    let accounts = match effect.accounts.as_slice() {
        [] => "no account changes\n".to_owned(),
        changes => grid(&header, &changes.iter().map(row).collect::<Vec<_>>()),
    };
    let rules: String = effect.rules.iter().map(|rule| format!("{rule}\n")).collect();
    let approvals = if effect.approvals == 1 { "approval" } else { "approvals" };
    let based_on = effect.based_on.as_str();
    format!(
        "{accounts}{rules}{}needs {} {approvals} of others than its author; judged by policy {based_on}\n",
        effect.diff, effect.approvals
    )
}

pub fn proposals(proposals: &[Proposal]) -> String {
    let one = |proposal: &Proposal| {
        let Proposal { id, at, author, reason, edit, state, approvals, opinions, effect: would, obstacle } = proposal;
        let given = opinions.iter().filter(|opinion| opinion.approves).count();
        let mut text = format!(
            "proposal {id} of {author}, {} UTC: {state}, {given} of {approvals} approvals\n  {}\n  because: {reason}\n",
            moment(*at),
            edit_in_words(edit.as_ref())
        );
        for Opinion { who, approves, reason, at } in opinions {
            let verb = if *approves { "approved" } else { "rejected" };
            text += &format!("  {verb} by {who}, {} UTC: {reason}\n", moment(*at));
        }
        if let Some(would) = would {
            text += &effect(would).lines().map(|line| format!("    {line}\n")).collect::<String>();
        }
        if !obstacle.is_empty() {
            text += &format!("  cannot be carried out now: {obstacle}\n");
        }
        text
    };
    match proposals {
        [] => "there are no proposals\n".to_owned(),
        some => some.iter().map(one).collect::<Vec<_>>().join("\n"),
    }
}

fn edit_in_words(edit: Option<&Edit>) -> String {
    let holder = |holder: &Option<Holder>| match holder {
        Some(Holder { principal, purpose, .. }) if !principal.is_empty() => format!("{principal} for {purpose}"),
        Some(Holder { team, .. }) => format!("team {team}"),
        None => String::new(),
    };
    let amount = |epsilon: &str, delta: &str| format!("({epsilon}, {})", if delta.is_empty() { "0" } else { delta });
    match edit.and_then(|edit| edit.kind.as_ref()) {
        None => String::new(),
        Some(Kind::Policy(new)) => format!("another policy, made from {}", new.based_on.get(..16).unwrap_or_default()),
        Some(Kind::Budget(b)) => {
            format!("{} more for {} for {} on {}", amount(&b.epsilon, &b.delta), b.principal, b.purpose, b.dataset)
        }
        Some(Kind::Move(m)) => {
            let (from, to) = (holder(&m.from), holder(&m.to));
            format!("{} of {from} to {to} on {}", amount(&m.epsilon, &m.delta), m.dataset)
        }
        Some(Kind::Revoke(r)) => format!("the end of the grant of {} for {} on {}", r.principal, r.purpose, r.dataset),
    }
}

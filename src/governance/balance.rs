//! Balances, for people and for programs.

use crate::accounting::{Charge, Grant, zcdp_epsilon};
use crate::ledger::{Balance, Kind, Scope, Window};
use crate::num::Amount;
use crate::proto;

/// An account with all that pay beside it.
pub fn balance_message(Scope { own, others, pool }: &Scope) -> proto::Balance {
    proto::Balance {
        dataset: own.account.dataset.clone(),
        principal: own.account.principal.clone(),
        purpose: own.account.purpose.clone(),
        account: Some(state_message(own)),
        pool: Some(state_message(pool)),
        frozen: own.frozen,
        frozen_because: own.held.clone().unwrap_or_default(),
        shared: others.iter().map(shared_message).collect(),
        pool_frozen_because: pool.held.clone().unwrap_or_default(),
    }
}

/// An account that several pay with.
pub fn shared_message(balance: &Balance) -> proto::SharedAccount {
    let name = match balance.account.kind() {
        Kind::Team(name) => format!("team {name}"),
        Kind::Tier(name) => format!("tier {name}"),
        Kind::Pool | Kind::Own => format!("pool of {}", balance.account.dataset),
    };
    let frozen_because = balance.held.clone().unwrap_or_default();
    proto::SharedAccount { name, state: Some(state_message(balance)), frozen_because }
}

fn state_message(balance: &Balance) -> proto::AccountState {
    let Balance { grant, spent, lifetime, terms, .. } = balance;
    let Charge { epsilon, rho, delta } = spent.total;
    let optional = |amount: Option<Amount>| amount.map(|amount| amount.to_string()).unwrap_or_default();
    let (loss_epsilon, loss_delta) = loss(grant, lifetime.total);
    proto::AccountState {
        granted_epsilon: grant.epsilon.to_string(),
        granted_delta: grant.delta().to_string(),
        spent_epsilon: optional(epsilon),
        remaining_epsilon: spent.remaining(grant).to_string(),
        spent_rho: rho.to_string(),
        rho_limit: grant.rho_limit.to_string(),
        spent_delta: delta.to_string(),
        charges: spent.charges,
        window: terms.window.map_or_else(String::new, |window| window.name().to_owned()),
        window_began: terms.window.map_or(0, |_| balance.since),
        window_ends: terms.window.map_or(0, |window: Window| window.next(balance.since)),
        lifetime_epsilon: optional(lifetime.total.epsilon),
        lifetime_rho: lifetime.total.rho.to_string(),
        lifetime_delta: lifetime.total.delta.to_string(),
        lifetime_charges: lifetime.charges,
        loss_epsilon,
        loss_delta,
        expires_at: terms.expires_at.unwrap_or_default(),
        max_epsilon: optional(terms.max_epsilon),
        default_epsilon: optional(terms.default_epsilon),
        reserved: terms.reserved.to_string(),
        kept_epsilon: optional(spent.kept.epsilon),
        kept_rho: spent.kept.rho.to_string(),
    }
}

/// (epsilon, delta) at which everything that was charged is private: by the pure ledger, or by the zCDP ledger at the grant's delta for its
/// conversion, whichever has less epsilon. What is shown follows from the sums of charges, and so says nothing about data.
fn loss(grant: &Grant, Charge { epsilon, rho, delta }: Charge) -> (String, String) {
    let pure = epsilon.filter(|_| delta.is_zero());
    let conversion = grant.delta_conversion;
    let of_zcdp = (!conversion.is_zero()).then(|| match rho.is_zero() {
        true => Amount::ZERO,
        false => Amount::charge(zcdp_epsilon(rho.to_f64(), conversion.to_f64())),
    });
    match (pure, of_zcdp) {
        (Some(pure), Some(zcdp)) if zcdp < pure => (zcdp.to_string(), conversion.plus(delta).to_string()),
        (Some(pure), _) => (pure.to_string(), "0".to_owned()),
        (None, Some(zcdp)) => (zcdp.to_string(), conversion.plus(delta).to_string()),
        (None, None) => (String::new(), String::new()),
    }
}

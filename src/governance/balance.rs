//! Balances, for people and for programs.

use crate::accounting::Charge;
use crate::ledger::Balance;
use crate::proto;

/// An account with its pool.
pub fn balance_message((account, pool): &(Balance, Balance)) -> proto::Balance {
    proto::Balance {
        dataset: account.account.dataset.clone(),
        principal: account.account.principal.clone(),
        purpose: account.account.purpose.clone(),
        account: Some(state_message(account)),
        pool: Some(state_message(pool)),
        frozen: account.frozen,
    }
}

fn state_message(balance: &Balance) -> proto::AccountState {
    let Balance { grant, spent, .. } = balance;
    let Charge { epsilon, rho, delta } = spent.total;
    proto::AccountState {
        granted_epsilon: grant.epsilon.to_string(),
        granted_delta: grant.delta().to_string(),
        spent_epsilon: epsilon.map(|e| e.to_string()).unwrap_or_default(),
        remaining_epsilon: spent.remaining(grant).to_string(),
        spent_rho: rho.to_string(),
        rho_limit: grant.rho_limit.to_string(),
        spent_delta: delta.to_string(),
        charges: spent.charges,
    }
}

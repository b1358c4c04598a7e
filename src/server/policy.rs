//! The policy when a server starts: the ledger's, or the first one.

use super::Config;
use crate::catalog::{Dataset, Outline};
use crate::error::{Code, Error, Result};
use crate::ledger::{Ledger, NewPolicy};
use crate::policy::{Effect, Policy, effect};
use std::sync::Arc;

/// Puts the policy file in force where the ledger has no policy yet. Else the ledger's holds, whatever the file says now: it was changed by calls, or the
/// file's change was not applied.
pub async fn begin(ledger: &Ledger, file: &Policy, datasets: &[Arc<Dataset>], config: &Config) -> Result<()> {
    let outlines: Vec<_> = datasets.iter().map(|dataset| Outline::of(dataset)).collect();
    let in_force = match ledger.policy().await? {
        Some(version) => {
            let in_force = Policy::of_version(version)?;
            if in_force.hash != file.hash {
                let file = config.policy.file.display();
                tracing::warn!(
                    version = in_force.version,
                    "{file} is not the policy in force: see `undertone policy diff` and `apply`"
                );
            }
            in_force
        }
        None => {
            check_policy(file, &outlines, config)?;
            apply(ledger, file, "the first policy of this ledger", None).await?;
            file.clone()
        }
    };
    for note in in_force.without_rules(&outlines) {
        tracing::warn!("{note}");
    }
    in_force.covers(&outlines)
}

/// Who puts a policy in force on the ledger's machine.
const OPERATOR: &str = "the server's operator";

/// Puts a policy in force as the machine's operator, in the place of the one that is: what it does, and that one.
///
/// `based_on`: the hash of the policy that it was made from.
///
/// Errors: `INVALID_REQUEST` without a reason, or where calls made the policy in force and it is not said that this one was made from that; `POLICY_CHANGED`.
pub async fn apply(
    ledger: &Ledger,
    policy: &Policy,
    reason: &str,
    based_on: Option<String>,
) -> Result<(Effect, Policy)> {
    let last = ledger.policy().await?;
    let is_of_calls = last.as_ref().is_some_and(|last| last.author != OPERATOR && last.hash != policy.hash);
    if is_of_calls && based_on.is_none() {
        let message = "the policy in force was made by calls, which this would take back: get it with `undertone policy show`, change that, and name its hash with --based-on";
        return Err(Error::new(Code::InvalidRequest, message));
    }
    if reason.trim().is_empty() {
        return Err(Error::new(Code::InvalidRequest, "give a reason"));
    }
    let before = last.map_or(Ok(Policy::default()), Policy::of_version)?;
    let effect = effect(&before, policy, &ledger.accounts().await?)?;
    let new = policy.succeeding(&before, effect.rules.clone())?;
    // Judged by what is in force now, it replaces nothing else.
    let based_on = based_on.or_else(|| Some(before.hash.clone()).filter(|hash| !hash.is_empty()));
    ledger.apply(NewPolicy { author: OPERATOR.to_owned(), reason: reason.to_owned(), based_on, ..new }).await?;
    Ok((effect, before))
}

/// Fails where a policy is not about the datasets that there are, or a grant or a role is somebody's who has no token.
///
/// Errors: `CONFIGURATION`.
pub fn check_policy(policy: &Policy, outlines: &[Outline], config: &Config) -> Result<()> {
    policy.fits(outlines)?;
    let is_known = |name: &String| config.principals.iter().any(|principal| principal.name == *name);
    match policy.document.roles().keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let message =
                format!("the policy names principal '{name}', which is not declared in {}", config.path.display());
            Err(Error::configuration(message))
        }
    }
}

//! The policy when a server starts: the ledger's, or the first one.

use super::Config;
use crate::catalog::{Dataset, Outline};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, NewPolicy};
use crate::policy::{Policy, effect};
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
    in_force.covers(&outlines)
}

/// Puts a policy in force as the machine's operator, in the place of the one that is.
pub async fn apply(ledger: &Ledger, policy: &Policy, reason: &str, based_on: Option<String>) -> Result<()> {
    let before = ledger.policy().await?.map_or(Ok(Policy::default()), Policy::of_version)?;
    let rules = effect(&before, policy, &ledger.accounts().await?)?.rules;
    let new = policy.succeeding(&before, rules)?;
    let author = "the server's operator".to_owned();
    // Judged by what is in force now, it replaces nothing else.
    let based_on = based_on.or_else(|| Some(before.hash).filter(|hash| !hash.is_empty()));
    ledger.apply(NewPolicy { author, reason: reason.to_owned(), based_on, ..new }).await
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

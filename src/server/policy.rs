//! The policy when a server starts: the ledger's, or the first one.

use super::Config;
use crate::catalog::{Dataset, Outline};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, NewPolicy};
use crate::policy::Policy;
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
            ledger.apply(by_operator(file, "the first policy of this ledger")?).await?;
            file.clone()
        }
    };
    in_force.covers(&outlines)
}

/// A policy as the machine's operator puts it in force.
pub fn by_operator(policy: &Policy, reason: &str) -> Result<NewPolicy> {
    Ok(NewPolicy {
        document: policy.text.clone(),
        hash: policy.hash.clone(),
        author: "the server's operator".to_owned(),
        reason: reason.to_owned(),
        settings: policy.document.settings()?,
        ..NewPolicy::default()
    })
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

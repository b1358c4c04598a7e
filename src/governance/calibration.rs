//! Bounds that governance finds out before anybody asks, for all accounts of a dataset.
//!
//! *Who pays.* The dataset's pool pays when they are found, because all accounts together may learn them. An account learns them with its first
//! question that needs them, and pays what they cost then, within that question's price; after that they are free for it as well. So both
//! promises hold, that of each account and that of all together. Bounds that an analyst finds stay that account's own: what is known to all must not depend
//! on what one analyst chose to ask, after having seen answers.

use super::accuracy::Case;
use super::open::{Asked, key, lacking};
use super::pricing::{contribution, released_as};
use crate::algebra::{Family, Relation, Release};
use crate::error::{Code, Error, Result};
use crate::mechanism::{Price, calibrate};
use crate::num::Amount;

/// The probes that find the bounds which a question needs and which are not known to all yet, with equal shares of epsilon and discrete Laplace noise:
/// one unit moves one number by one, and both kinds of ledger can pay it.
///
/// Errors: `INVALID_REQUEST` where the question needs no bounds, or some that depend on what another SELECT releases; `INVALID_EPSILON`.
pub fn calibration(case: Case, epsilon: Amount) -> Result<Vec<Asked>> {
    let Case { statement, ask, rules, .. } = case;
    let invalid = |message: &str| Error::new(Code::InvalidRequest, message);
    let contribution = contribution(ask, rules)?;
    let mut wanted = Vec::new();
    for release in &statement.query.releases {
        let as_asked = released_as(release, contribution, (ask, rules), false);
        wanted.extend(lacking(release, ask, rules).into_iter().map(|probe| (probe, probe.release(&as_asked))));
    }
    if wanted.is_empty() {
        let message = "this question needs no bounds that nobody declared: there is nothing to find out";
        return Err(invalid(message));
    }
    if wanted.iter().any(|(_, asked)| reads_released(&asked.input)) {
        let message = "bounds of a SELECT that reads what another one releases cannot be found ahead of it: give a question whose SELECTs read tables alone";
        return Err(invalid(message));
    }
    let mut new: Vec<(Vec<u8>, _, Release)> = Vec::new();
    for (probe, asked) in wanted {
        let key = key(case.scope, &asked);
        if !case.known.shared.contains_key(&key) && !new.iter().any(|(known, ..)| *known == key) {
            new.push((key, probe, asked));
        }
    }
    let price = Price::pure(epsilon.share(new.len().max(1)), Amount::ZERO);
    let made = |(key, probe, asked)| {
        let too_small = |_| Error::new(Code::InvalidEpsilon, format!("epsilon {epsilon} is too small for this"));
        Ok(Asked { probe, made: calibrate(asked, price, Family::Laplace).map_err(too_small)?, key })
    };
    new.into_iter().map(made).collect()
}

pub(super) fn reads_released(relation: &Relation) -> bool {
    matches!(relation, Relation::Released(_) | Relation::Fixed(_)) || relation.inputs().into_iter().any(reads_released)
}

//! Whether the totals of a question can be made the sums of their parts.

use super::pricing::Ask;
use crate::algebra::{Hierarchy, Query, Release, Type};
use crate::error::{Code, Error, Result};
use crate::mechanism::consistent::are_chains;

/// Most numbers that are looked at: of each group one for each set of its keys.
const MOST_WORK: u64 = 20_000_000;

/// Checks a question that asks for it, in its request or for one of its releases.
///
/// Errors: `INVALID_REQUEST` where it has no totals with parts, or some that cannot be made consistent.
pub fn check_consistency(query: &Query, ask: &Ask) -> Result<()> {
    let asked = |id: usize| ask.consistent || query.releases[id].terms.consistent;
    if !(0..query.releases.len()).any(asked) {
        return Ok(());
    }
    let wanted: Vec<&Hierarchy> =
        query.hierarchies.iter().filter(|of| of.releases.iter().any(|id| asked(*id))).collect();
    if wanted.is_empty() {
        return refuse(
            "consistent is for the totals of GROUPING SETS, ROLLUP and CUBE, of which there are none here: leave it out",
        );
    }
    wanted.into_iter().try_for_each(|hierarchy| check(query, ask, hierarchy))
}

fn check(query: &Query, ask: &Ask, hierarchy: &Hierarchy) -> Result<()> {
    let releases = || hierarchy.releases.iter().map(|id| &query.releases[*id]);
    if releases().any(|release| release.cells().is_none()) {
        return refuse(
            "totals are consistent with their parts where all parts are shown, and private keys show some: group by columns with declared values",
        );
    }
    let shared =
        |other: &Hierarchy| other != hierarchy && other.releases.iter().any(|id| hierarchy.releases.contains(id));
    if query.hierarchies.iter().any(shared) {
        return refuse(
            "two GROUP BYs of this question share a total, which cannot be the sum of the parts of both: ask for them apart",
        );
    }
    let work = |(release, keys): (&Release, &Vec<usize>)| {
        let effects = u32::try_from(keys.len()).ok().and_then(|keys| 1u64.checked_shl(keys));
        release.cells().and_then(|cells| cells.checked_mul(effects?)).unwrap_or(u64::MAX)
    };
    if releases().zip(&hierarchy.keys).map(work).fold(0, u64::saturating_add) > MOST_WORK {
        return refuse("there are too many keys, or groups, to make them consistent: group by fewer columns");
    }
    let outputs = releases().next().map_or(0, |release| release.outputs.len());
    let adding_up = |output: &usize| releases().all(|release| release.adds_up(*output));
    if !(0..outputs).any(|output| adding_up(&output)) {
        return refuse("consistent is for counts of rows and sums, of which there are none here: leave it out");
    }
    let is_whole = |output: usize| releases().any(|release| release.outputs[output].ty() == Type::Int);
    if (0..outputs).filter(adding_up).any(is_whole) && !are_chains(&hierarchy.keys) {
        return refuse(
            "whole numbers can be made consistent where groupings hold one another, as in ROLLUP, and not for CUBE: ask for such groupings",
        );
    }
    if releases().any(|release| ask.non_negative || release.terms.non_negative) {
        return refuse(
            "consistent numbers may be negative, and non_negative ones do not add up: ask for one of the two",
        );
    }
    Ok(())
}

fn refuse(message: &str) -> Result<()> {
    Err(Error::new(Code::InvalidRequest, message))
}

//! The price of a question: a function of its text and of policy, never of data.

use crate::accounting::Charge;
use crate::algebra::Contribution;
use crate::catalog::Rules;
use crate::error::{Code, Error, Result};
use crate::mechanism::{Calibrated, Family, Uncalibrated, calibrate};
use crate::num::{Amount, ParseAmountError};
use crate::sql::Statement;

/// What a client asks for beside the SQL; what it leaves out is the dataset's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub dataset: String,
    pub purpose: String,
    pub sql: String,
    /// Decimal text; empty is the dataset's default.
    pub epsilon: String,
    /// For private keys: decimal text; empty is the dataset's default.
    pub delta: String,
    pub max_groups: u64,
    pub max_rows: u64,
    pub family: Option<Family>,
}

/// A question with its noise and its price.
#[derive(Clone, Debug)]
pub struct Priced {
    pub releases: Vec<Calibrated>,
    pub charge: Charge,
}

/// Most noisy values of one question, groups times measures.
const MAX_DRAWS: u64 = 1_000_000;

/// Calibrates every release of `statement`, each with an equal share of epsilon, and each that has private keys with an equal
/// share of delta.
///
/// Errors: `INVALID_EPSILON`, `EPSILON_ABOVE_MAXIMUM`, `INVALID_REQUEST`, `PRIVATE_KEYS` where delta is zero, `UNSUPPORTED_SQL` where it would be too large.
pub fn price(statement: &Statement, ask: &Ask, rules: &Rules) -> Result<Priced> {
    let epsilon = epsilon(ask, rules)?;
    let contribution = contribution(ask, rules)?;
    let family = ask.family.unwrap_or(rules.mechanism);
    let delta = delta(ask, rules)?;
    let share = epsilon.share(statement.query.releases.len());
    let delta_share = delta.share(statement.query.releases.iter().filter(|r| r.cells().is_none()).count());
    let mut releases = Vec::new();
    for release in &statement.query.releases {
        let mut release = release.clone();
        release.contribution = contribution;
        let made = calibrate(release, share, delta_share, family).map_err(|e| match e {
            Uncalibrated::TooNoisy => Error::new(
                Code::InvalidEpsilon,
                format!("epsilon {epsilon} is too small for this question: its noise would exceed any answer"),
            ),
            Uncalibrated::NoDelta => Error::new(
                Code::PrivateKeys,
                "this question groups by private keys, which needs a delta above 0: leave delta out or raise it",
            ),
        })?;
        releases.push(made);
    }
    let draws = |made: &Calibrated| made.cells.unwrap_or(0).saturating_mul(made.release.measures.len() as u64);
    if releases.iter().map(draws).fold(0, u64::saturating_add) > MAX_DRAWS {
        let message = format!(
            "the question has more than {MAX_DRAWS} noisy values: group by fewer keys, or ask for fewer aggregates"
        );
        return Err(Error::new(Code::UnsupportedSql, message));
    }
    let sum = releases.iter().fold(Charge::NOTHING, |sum, r| sum.plus(r.charge));
    let whole = if releases.is_empty() { Amount::ZERO } else { epsilon };
    let charge = Charge { epsilon: sum.epsilon.map(|_| whole), ..sum };
    Ok(Priced { releases, charge })
}

fn epsilon(ask: &Ask, rules: &Rules) -> Result<Amount> {
    if ask.epsilon.is_empty() {
        return Ok(rules.default_epsilon);
    }
    let invalid = |why: String| {
        Error::new(
            Code::InvalidEpsilon,
            format!("epsilon '{}' {why}: give a number above 0 and at most {}", shown(&ask.epsilon), rules.max_epsilon),
        )
    };
    match ask.epsilon.parse::<Amount>() {
        Ok(epsilon) if epsilon.is_zero() => Err(invalid("is zero".into())),
        Ok(epsilon) if epsilon > rules.max_epsilon => Err(above(ask, rules)),
        Ok(epsilon) => Ok(epsilon),
        Err(ParseAmountError::TooLarge) => Err(above(ask, rules)),
        Err(e) => Err(invalid(e.to_string())),
    }
}

fn above(ask: &Ask, rules: &Rules) -> Error {
    let message = format!(
        "epsilon {} is above this dataset's maximum of {} for one question",
        shown(&ask.epsilon),
        rules.max_epsilon
    );
    Error::new(Code::EpsilonAboveMaximum, message)
}

fn delta(ask: &Ask, rules: &Rules) -> Result<Amount> {
    if ask.delta.is_empty() {
        return Ok(rules.default_delta);
    }
    let invalid = |why: String| {
        let message = format!("delta '{}' {why}: give a number from 0 to {}", shown(&ask.delta), rules.max_delta);
        Error::new(Code::InvalidRequest, message)
    };
    match ask.delta.parse::<Amount>() {
        Ok(delta) if delta > rules.max_delta => Err(invalid("is above this dataset's maximum for one question".into())),
        Ok(delta) => Ok(delta),
        Err(e) => Err(invalid(e.to_string())),
    }
}

/// The start of what a client sent, for a message.
fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

fn contribution(ask: &Ask, rules: &Rules) -> Result<Contribution> {
    let pick = |name: &str, wanted: u64, most: u64| match wanted {
        0 => Ok(most),
        wanted if wanted <= most => Ok(wanted),
        wanted => {
            let message =
                format!("{name} {wanted} is above this dataset's {most}: a question may ask for less, never for more");
            Err(Error::new(Code::InvalidRequest, message))
        }
    };
    Ok(Contribution {
        groups: pick("max_groups_contributed", ask.max_groups, rules.contribution.groups)?,
        rows: pick("max_rows_contributed", ask.max_rows, rules.contribution.rows)?,
    })
}

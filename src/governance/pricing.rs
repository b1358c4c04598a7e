//! The price of a question: a function of its text and of policy, never of data.

use super::accuracy::Case;
use super::calibration::reads_released;
use super::choice::{Asked, Why, choose, most_rho};
use super::consistency::check_consistency;
use super::open::{OpenRelease, lacking, prepare};
use crate::accounting::{Charge, Grant};
use crate::algebra::{Accuracy, Contribution, Family, Mechanism, Probe, Release};
use crate::catalog::Rules;
use crate::error::{Code, Error, Result};
use crate::mechanism::{Calibrated, Chosen, Found, Price, Uncalibrated, provisional};
use crate::num::{Amount, ParseAmountError};
use crate::sql::Parameter;

/// What a client asks for beside the SQL; what it leaves out is the dataset's.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Ask {
    pub dataset: String,
    pub purpose: String,
    pub sql: String,
    /// Values of `$1`, `$2`, ... or `?`.
    pub parameters: Vec<Parameter>,
    /// Decimal text; empty is the dataset's default.
    pub epsilon: String,
    /// For private keys: decimal text; empty is the dataset's default.
    pub delta: String,
    pub max_groups: u64,
    pub max_rows: u64,
    /// None is the dataset's.
    pub mechanism: Option<Mechanism>,
    /// In the place of epsilon.
    pub accuracy: Option<Accuracy>,
    /// Whether numbers that cannot be negative are shown as 0 where noise makes them so.
    pub non_negative: bool,
    /// Whether totals of several groupings are the sums of their parts.
    pub consistent: bool,
}

/// A question with its noise and its price.
#[derive(Clone, Debug)]
pub struct Priced {
    pub releases: Vec<Calibrated>,
    /// Why each has the noise that it has.
    pub reasons: Vec<Why>,
    /// For those whose bounds are found while they run: what stands in `releases` is provisional.
    pub open: Vec<Option<OpenRelease>>,
    /// Bounds that were found for each, while it ran or before.
    pub chosen: Vec<Vec<Chosen>>,
    pub charge: Charge,
    /// What the dataset's pool pays: all of it but for what it has paid for already.
    pub pool_charge: Charge,
    /// That of the account which asks, and whether its pure ledger is over.
    pub grant: Grant,
    pub pure_is_over: bool,
}

impl Priced {
    /// What is asked to find bounds.
    pub fn probes(&self) -> impl Iterator<Item = &super::open::Asked> {
        self.open.iter().flatten().flat_map(|open| &open.probes)
    }

    /// Noisy tables that are paid for.
    pub fn draws(&self) -> usize {
        self.releases.len() + self.probes().count()
    }

    /// Puts what was found for a release in the place of what stood for it.
    pub fn settle(&mut self, at: usize, found: &[(Probe, Found)]) -> Result<()> {
        if let Some(open) = &self.open[at] {
            let settled = open.settle(found).map_err(|_| Error::internal("bounds that cannot be used"))?;
            (self.releases[at], self.chosen[at]) = settled;
        }
        Ok(())
    }

    /// The same for all releases, by what is known of their probes: nothing is still to be found then.
    pub fn settle_all(&mut self, known: impl Fn(usize, &super::open::Asked) -> Option<Found>) -> Result<()> {
        for at in 0..self.releases.len() {
            let probes = self.open[at].iter().flat_map(|open| &open.probes);
            let found: Vec<_> = probes.filter_map(|asked| Some((asked.probe, known(at, asked)?))).collect();
            self.settle(at, &found)?;
            self.open[at] = self.open[at].as_ref().map(|open| open.answered(&found));
        }
        Ok(())
    }

    /// What is asked of each release, whatever of it is known already: the same question is the same once its bounds are found.
    pub fn intents(&self) -> Vec<String> {
        let intent = |(made, open): (&Calibrated, &Option<OpenRelease>)| match open {
            Some(open) => open.intent(),
            None => format!("{made:?}"),
        };
        self.releases.iter().zip(&self.open).map(intent).collect()
    }

    /// Whether the bounds of a release are still to be found.
    pub fn is_unsettled(&self, at: usize) -> bool {
        self.chosen[at].is_empty() && self.open[at].is_some()
    }
}

/// Most draws for one question: groups times measures, and more for quantiles.
const MAX_DRAWS: u64 = 1_000_000;

/// Calibrates every release of `statement`: each with what its text asks for, where it does, and the others with equal shares of the
/// rest of epsilon and, where their keys are private, of the request's delta. What texts ask for is added to the default, and must
/// be within an epsilon that the request names.
///
/// The noise is chosen for an account with this grant: see [`super::choice`].
///
/// Errors: `INVALID_EPSILON`, `EPSILON_ABOVE_MAXIMUM`, `INVALID_REQUEST`, `PRIVATE_KEYS` where delta is zero, `UNSUPPORTED_SQL` where it would be too large.
pub fn price(case: Case) -> Result<Priced> {
    let priced = made_for(case)?;
    case.check_maximum(&priced.charge)?;
    Ok(priced)
}

/// The same, however much what an error is asked for costs.
pub(super) fn made_for(case: Case) -> Result<Priced> {
    let Case { statement, ask, rules, grant, .. } = case;
    let contribution = contribution(ask, rules)?;
    check_consistency(&statement.query, ask)?;
    if ask.accuracy.is_some() && !ask.epsilon.is_empty() {
        let message = "epsilon is a price, and an error is what a price is found for: give one of them";
        return Err(Error::new(Code::InvalidRequest, message));
    }
    let Shares { whole, of_each, delta: delta_share } = shares(&statement.query.releases, ask, rules)?;
    if statement.query.releases.iter().any(|release| release.measures.is_empty()) {
        return Err(Error::internal("a release of nothing"));
    }
    let lacks: Vec<Vec<Probe>> = statement.query.releases.iter().map(|release| lacking(release, ask, rules)).collect();
    let hierarchies = &statement.query.hierarchies;
    let adds_up = |at: usize| hierarchies.iter().any(|hierarchy| hierarchy.releases.contains(&at));
    let asked = |(at, (release, lacks)): (usize, (&Release, &Vec<Probe>))| {
        let family = release.terms.family.or(ask.mechanism.unwrap_or(rules.mechanism).family());
        let release = released_as(release, contribution, (ask, rules), adds_up(at));
        Asked {
            epsilon: release.terms.epsilon.unwrap_or(of_each),
            delta: release.terms.delta.unwrap_or(delta_share),
            accuracy: released_accuracy(&release, ask),
            // How much noise there will be is not known yet, but that Gaussian noise bears many groups.
            family: if lacks.is_empty() { family } else { family.or(Some(of_open(grant))) },
            release: provisional(release, lacks.iter().copied()),
            earlier: vec![],
        }
    };
    let asked: Vec<Asked> = statement.query.releases.iter().zip(&lacks).enumerate().map(asked).collect();
    let prices: Vec<(Price, Option<Family>)> =
        asked.iter().map(|asked| (whole_price(asked, grant), asked.family)).collect();
    if asked.iter().zip(&lacks).any(|(asked, lacks)| asked.accuracy.is_some() && !lacks.is_empty()) {
        let message = "an error cannot be priced where bounds are still to be found: name max_groups_contributed, max_rows_contributed and contribution_bounds_per_group, or an epsilon in its place";
        return Err(Error::new(Code::InvalidRequest, message));
    }
    let made = choose(asked, grant, case.pure_is_over).map_err(|(at, e)| unmade(e, prices[at].0.epsilon))?;
    let (mut releases, mut reasons): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let mut open = vec![None; releases.len()];
    let mut chosen = vec![vec![]; releases.len()];
    for (at, lacks) in lacks.into_iter().enumerate().filter(|(_, lacks)| !lacks.is_empty()) {
        let ((price, family), release) = (prices[at], &statement.query.releases[at]);
        let family = family.unwrap_or(Family::Laplace);
        let release = released_as(release, contribution, (ask, rules), adds_up(at));
        let unmade = |e| unmade(e, price.epsilon);
        // What is asked of released rows is another question where these are other ones.
        let scope = match reads_released(&release.input) {
            true => format!("{} {:?} {:?}", case.scope, &statement.query.releases[..at], statement.query.fixed),
            false => case.scope.to_owned(),
        };
        let found = prepare(release, (price, family), lacks, (&scope, case.known)).map_err(unmade)?;
        // What is to be paid for is not looked at before.
        if found.probes.is_empty() && found.bought.is_empty() {
            (releases[at], chosen[at]) = found.settle(&[]).map_err(unmade)?;
        } else {
            releases[at] = found.provisional().map_err(unmade)?;
        }
        reasons[at] = Why::Open(family);
        open[at] = Some(found);
    }
    // From here on the terms are in what is calibrated: who asks for the same in other words asks the same.
    for made in &mut releases {
        made.release.terms = made.release.terms.remaining();
    }
    if releases.iter().map(Calibrated::draws).fold(0, u64::saturating_add) > MAX_DRAWS {
        let message = format!(
            "the question needs more than {MAX_DRAWS} draws of noise, of which a quantile with error bars has hundreds in each group: group by fewer keys, or ask for fewer aggregates"
        );
        return Err(Error::new(Code::UnsupportedSql, message));
    }
    let sum = releases.iter().fold(Charge::NOTHING, |sum, r| sum.plus(r.charge));
    // Equal shares are rounded down; what is charged is what was asked for.
    let charge = match whole {
        Some(whole) => Charge { epsilon: sum.epsilon.map(|_| whole), ..sum },
        None => sum,
    };
    let pool_charge = of_pool(charge, &releases, &open);
    Ok(Priced { releases, reasons, open, chosen, charge, pool_charge, grant: *grant, pure_is_over: case.pure_is_over })
}

/// A question's charge without what of its bounds the pool has paid for.
fn of_pool(charge: Charge, releases: &[Calibrated], open: &[Option<OpenRelease>]) -> Charge {
    let bought = || open.iter().flatten().flat_map(|open| &open.bought);
    if bought().next().is_none() {
        return charge;
    }
    let each =
        |(made, open): (&Calibrated, &Option<OpenRelease>)| open.as_ref().map_or(made.charge, OpenRelease::pool_charge);
    let sum = releases.iter().zip(open).map(each).fold(Charge::NOTHING, Charge::plus);
    let paid = bought().filter_map(|bought| bought.charge.epsilon).fold(Amount::ZERO, Amount::plus);
    // As much is lost to equal shares as in the account's own.
    Charge { epsilon: charge.epsilon.filter(|_| sum.epsilon.is_some()).map(|whole| whole.minus(paid)), ..sum }
}

/// A release with what the request says of all, and of those of several groupings, whose totals may be made to add up.
pub(super) fn released_as(
    release: &Release,
    contribution: Contribution,
    (ask, rules): (&Ask, &Rules),
    adds_up: bool,
) -> Release {
    let mut release = Release { contribution, ..release.clone() };
    release.terms.min_units = rules.min_units;
    release.terms.non_negative |= ask.non_negative;
    release.terms.consistent |= ask.consistent && adds_up;
    release
}

/// The distribution where it is chosen before bounds are.
fn of_open(grant: &Grant) -> Family {
    if grant.rho_limit.is_zero() { Family::Laplace } else { Family::Gaussian }
}

fn whole_price(asked: &Asked, grant: &Grant) -> Price {
    Price { epsilon: asked.epsilon, rho: most_rho(asked.epsilon, grant), delta: asked.delta }
}

/// Why a release of this epsilon cannot be made.
pub(super) fn unmade(e: Uncalibrated, epsilon: Amount) -> Error {
    let (code, message) = match e {
        Uncalibrated::TooNoisy => (
            Code::InvalidEpsilon,
            format!("epsilon {epsilon} is too small for this question: its noise would exceed any answer"),
        ),
        Uncalibrated::NoDelta => (
            Code::PrivateKeys,
            "this question groups by private keys, which needs a delta above 0: leave delta out or raise it".into(),
        ),
        Uncalibrated::NoError => (
            Code::InvalidRequest,
            "an error can be asked for of counts and sums alone: what else is asked for has an error that is not known before its groups are. Name an epsilon instead, or ask for the counts and sums by themselves".into(),
        ),
        Uncalibrated::TooManyBounds => (
            Code::InvalidRequest,
            "limits can be found for at most 4 sums and means of one SELECT: write them, sum(x, contribution_bounds_per_group => (low, high)), or ask for fewer".into(),
        ),
        Uncalibrated::TwoPrices => (
            Code::InvalidRequest,
            "an error is asked for, and aggregates have an epsilon of their own: give one of them".into(),
        ),
        Uncalibrated::TooExact => {
            (Code::InvalidRequest, "no noise is as small as the error that is asked for: ask for a larger one".into())
        }
        Uncalibrated::Exceeded => (
            Code::InvalidEpsilon,
            format!(
                "the aggregates' own epsilons exceed their SELECT's epsilon {epsilon}, or leave nothing of it for what has none: lower them, or raise it"
            ),
        ),
    };
    Error::new(code, message)
}

/// What each release gets that does not say.
struct Shares {
    /// The epsilon that all of it is, where all releases have equal shares.
    whole: Option<Amount>,
    of_each: Amount,
    delta: Amount,
}

fn shares(releases: &[Release], ask: &Ask, rules: &Rules) -> Result<Shares> {
    let epsilon = epsilon(ask, rules)?;
    let own = releases.iter().filter_map(|r| r.terms.epsilon).fold(Amount::ZERO, Amount::plus);
    let others = releases.iter().filter(|r| r.terms.epsilon.is_none() && released_accuracy(r, ask).is_none()).count();
    let rest = match ask.epsilon.is_empty() {
        true => epsilon,
        false => epsilon.minus(own),
    };
    let total = if others > 0 { own.plus(rest) } else { own };
    if !ask.epsilon.is_empty() && !own.is_zero() && (own > epsilon || (others > 0 && rest.is_zero())) {
        let message = format!(
            "the text asks for epsilon {own}, which is more than the request's {epsilon} or leaves nothing of it for what names none: leave one of the two out"
        );
        return Err(Error::new(Code::InvalidEpsilon, message));
    }
    if total > rules.max_epsilon {
        let message = format!(
            "the question asks for epsilon {total} in all, which is above the maximum of {} for one question",
            rules.max_epsilon
        );
        return Err(Error::new(Code::EpsilonAboveMaximum, message));
    }
    let is_own = |r: &Release| {
        r.terms.epsilon.is_some()
            || released_accuracy(r, ask).is_some()
            || r.measures.iter().any(|measure| measure.epsilon.is_some())
    };
    let whole = match releases {
        [] => Some(Amount::ZERO),
        some => (!some.iter().any(is_own)).then_some(epsilon),
    };
    let private = || releases.iter().filter(|r| r.cells().is_none());
    if rules.max_delta.is_zero() && private().any(Release::selects_keys) {
        let message = "the keys of this question are private, and policy allows no delta to show them: group by columns with public values";
        return Err(Error::new(Code::PrivateKeys, message));
    }
    let asked = delta(ask, rules)?;
    let delta = asked.share(private().filter(|r| r.terms.delta.is_none()).count());
    let all = private().map(|r| r.terms.delta.unwrap_or(delta)).fold(Amount::ZERO, Amount::plus);
    if all > rules.max_delta {
        let message = format!(
            "the question asks for delta {all} in all, which is above the maximum of {} for one question",
            rules.max_delta
        );
        return Err(Error::new(Code::InvalidRequest, message));
    }
    Ok(Shares { whole, of_each: rest.share(others), delta })
}

/// The error that a release is to have, where that is what it is priced by: not one of nothing but keys, and none with a price of its own.
pub(super) fn released_accuracy(release: &Release, ask: &Ask) -> Option<Accuracy> {
    let asked = ask.accuracy.filter(|_| release.terms.epsilon.is_none() && !release.outputs.is_empty());
    release.terms.accuracy.or(asked)
}

pub fn epsilon(ask: &Ask, rules: &Rules) -> Result<Amount> {
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
    let message =
        format!("epsilon {} is above the maximum of {} for one question", shown(&ask.epsilon), rules.max_epsilon);
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

pub(super) fn contribution(ask: &Ask, rules: &Rules) -> Result<Contribution> {
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
        total: None,
    })
}
